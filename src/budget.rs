//! Memory budget of the process for what clients and bots send. Code reserves such bytes before it holds them.
//!
//! One static budget, because memory belongs to the process: a reservation can be made wherever bytes arrive, without a
//! handle that a new endpoint could forget. Reserved are the bytes of request bodies while they arrive, what they take
//! once decoded, and answers that are held whole. What the caches keep has limits of its own.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::error::{Error, Kind, Result};

/// Reservations grow by this much, so that small pieces cost nothing.
const STEP: usize = 4 << 10;
/// When a client may try again that was refused.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// So much memory given back is worth asking the allocator to return its free pages.
const WORTH_TRIMMING: usize = 4 << 20;
/// Smaller reservations than this leave no free pages that matter.
const WORTH_COUNTING: usize = 64 << 10;
/// Requests that end within this time of each other share one such call.
const TRIM_PAUSE: Duration = Duration::from_millis(250);
/// Allocations from this size on are mapped on their own and return to the system when they are freed.
const MAPPED_BYTES: usize = 128 << 10;

/// What the program and 200 open streams take beside requests and answers (tests/small.rs).
const PROGRAM_BYTES: u64 = 32 << 20;

/// An amount of memory that reservations are taken from.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicUsize,
    used: AtomicUsize,
    /// Bytes given back since free pages were last returned to the system.
    freed: AtomicUsize,
}

static PROCESS: Budget = Budget::new(usize::MAX);
/// The thread that runs [`return_memory`].
static RETURNING: OnceLock<Thread> = OnceLock::new();

impl Budget {
    /// A budget of `limit` bytes.
    pub const fn new(limit: usize) -> Budget {
        Budget { limit: AtomicUsize::new(limit), used: AtomicUsize::new(0), freed: AtomicUsize::new(0) }
    }

    /// The budget of the process, unlimited until [`limit_process`] is called.
    pub fn of_process() -> &'static Budget {
        &PROCESS
    }

    /// The bytes that can be reserved in all.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// The bytes that are reserved now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> Result<()> {
        let limit = self.limit();
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= limit);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(drop).map_err(|_| exhausted())
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if bytes < WORTH_COUNTING {
            return;
        }
        let freed = self.freed.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if freed >= WORTH_TRIMMING
            && let Some(returning) = RETURNING.get()
        {
            returning.unpark();
        }
    }
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: &'static Budget,
    bytes: usize,
    /// What [`Reservation::grow`] has added up to.
    wanted: usize,
}

impl Default for Reservation {
    fn default() -> Reservation {
        Reservation::of(&PROCESS)
    }
}

impl Reservation {
    /// An empty reservation of `budget`.
    pub const fn of(budget: &'static Budget) -> Reservation {
        Reservation { budget, bytes: 0, wanted: 0 }
    }

    /// The bytes that are reserved.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes the reservation cover `bytes` of a request. An error is 503, or 413 where the whole budget is smaller.
    pub fn cover_request(&mut self, bytes: usize) -> Result<()> {
        self.cover(bytes, Kind::TooLarge, "the request")
    }

    /// Makes the reservation cover `bytes` of an answer. An error is 503, or 502 where the whole budget is smaller.
    pub fn cover_answer(&mut self, bytes: usize) -> Result<()> {
        self.cover(bytes, Kind::Upstream, "the bot's answer")
    }

    fn cover(&mut self, bytes: usize, too_large: Kind, what: &str) -> Result<()> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let limit = self.budget.limit();
        if bytes > limit {
            let message = format!(
                "{what} takes {} MiB of memory, and the server has {} MiB for requests and answers \
                 (MEMORY_BUDGET_MB)",
                bytes.div_ceil(1 << 20),
                limit >> 20
            );
            return Err(Error::new(too_large, message).for_good());
        }
        let rounded = bytes.checked_next_multiple_of(STEP).unwrap_or(bytes).min(limit);
        self.budget.take(rounded - self.bytes)?;
        self.bytes = rounded;
        Ok(())
    }

    /// Makes the reservation cover `more` bytes of an answer on top of those that were added before.
    pub fn grow(&mut self, more: usize) -> Result<()> {
        let wanted = self.wanted.saturating_add(more);
        self.cover_answer(wanted)?;
        self.wanted = wanted;
        Ok(())
    }

    /// Adds `bytes` that exist already, even above the limit: new work is refused until they are given back.
    pub fn add(&mut self, bytes: usize) {
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    /// Lets the next bytes that are added take the place of `bytes` added before.
    pub fn ungrow(&mut self, bytes: usize) {
        self.wanted = self.wanted.saturating_sub(bytes);
    }

    /// Gives back what is above `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.budget.give_back(self.bytes - bytes);
            self.bytes = bytes;
        }
    }
}

/// A copy reserves as much, even above the limit: what it is for exists already.
impl Clone for Reservation {
    fn clone(&self) -> Reservation {
        self.budget.used.fetch_add(self.bytes, Ordering::Relaxed);
        Reservation { ..*self }
    }
}

/// A reservation is no part of the value that it is made for.
impl PartialEq for Reservation {
    fn eq(&self, _: &Reservation) -> bool {
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

fn exhausted() -> Error {
    let message =
        "the server's memory for requests and answers is in use (MEMORY_BUDGET_MB); try again later";
    Error::new(Kind::Overloaded, message).retry_after(RETRY_AFTER)
}

/// Limits the process's budget to `bytes`, or, where that is 0, to what the container or the machine allows. From here
/// on freed memory returns to the system.
pub fn limit_process(bytes: u64) {
    let limit = match bytes {
        0 => default_limit(Path::new("/")),
        bytes => usize::try_from(bytes).ok(),
    };
    PROCESS.limit.store(limit.unwrap_or(usize::MAX), Ordering::Relaxed);
    // glibc raises this by itself to up to 32 MiB, and freed blocks below it stay with the process
    heap::map_from(MAPPED_BYTES);
    let thread = thread::Builder::new().name("memory".into()).stack_size(64 << 10).spawn(return_memory);
    match thread {
        Ok(thread) => drop(RETURNING.set(thread.thread().clone())),
        Err(error) => log::warn!("freed memory may return to the system late: {error}"),
    }
}

/// Returns free pages to the system after much was freed. Small blocks that lie between others would keep them.
fn return_memory() {
    loop {
        if PROCESS.freed.load(Ordering::Relaxed) < WORTH_TRIMMING {
            thread::park();
            continue;
        }
        thread::sleep(TRIM_PAUSE);
        PROCESS.freed.store(0, Ordering::Relaxed);
        heap::trim();
    }
}

/// Three quarters of what the container's memory leaves beside [`PROGRAM_BYTES`], or half of the machine's where that is less. `None` where neither is known.
fn default_limit(root: &Path) -> Option<usize> {
    let machine = memory_of_machine(root).map(|bytes| bytes / 2);
    let container = memory_of_container(root);
    let container = container.map(|bytes| (bytes.saturating_sub(PROGRAM_BYTES) / 4 * 3).max(bytes / 4));
    let least = [machine, container].into_iter().flatten().min()?;
    usize::try_from(least).ok()
}

fn memory_of_machine(root: &Path) -> Option<u64> {
    let info = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = total.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The least limit of the process's control groups, of either version: each group's parents limit it too. A container
/// sees its own group at the top, whatever path the kernel names.
fn memory_of_container(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (top, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            names if names.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let path = path.trim_start_matches('/');
        let limit = |group: &Path| -> Option<u64> {
            fs::read_to_string(root.join(top).join(group).join(file)).ok()?.trim().parse().ok()
        };
        Path::new(path).ancestors().filter_map(limit).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_given_back_and_never_exceeded() {
        static BUDGET: Budget = Budget::new(10 << 20);
        let mut one = Reservation::of(&BUDGET);
        one.cover_request(6 << 20).unwrap();
        let mut other = Reservation::of(&BUDGET);
        other.cover_request(1).unwrap();
        let error = other.cover_request(5 << 20).unwrap_err();
        assert_eq!((error.kind, error.retry_after), (Kind::Overloaded, Some(RETRY_AFTER)));
        assert_eq!(BUDGET.used(), (6 << 20) + STEP, "a refusal takes nothing");
        one.shrink(1 << 20);
        other.cover_request(5 << 20).unwrap();
        drop((one, other));
        assert_eq!(BUDGET.used(), 0);
        let error = Reservation::of(&BUDGET).cover_request((10 << 20) + 1).unwrap_err();
        assert_eq!(error.kind, Kind::TooLarge, "trying again would be in vain");
        assert!(error.message.contains("MEMORY_BUDGET_MB"), "{error}");
    }

    #[test]
    fn threads_together_stay_within_the_budget() {
        static BUDGET: Budget = Budget::new(8 << 20);
        let most = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for size in 1..200 {
                        let mut reservation = Reservation::of(&BUDGET);
                        let _ = reservation.cover_request(size * STEP / 4);
                        most.fetch_max(BUDGET.used(), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(BUDGET.used(), 0);
        assert!((1..=8 << 20).contains(&most.into_inner()));
    }

    #[test]
    fn the_limit_is_the_containers_or_the_machines() {
        const MIB: u64 = 1 << 20;
        let mem = ("proc/meminfo", "MemTotal:        1048576 kB\nMemFree: 1 kB\n");
        type Files = [(&'static str, &'static str)];
        let rows: &[(&Files, Option<u64>)] = &[
            (&[], None),
            (&[mem], Some(512)),
            // version 2 in a container: its own group is the top
            (&[mem, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "67108864\n")], Some(24)),
            // version 2 in a unit: a parent is the narrowest
            (
                &[
                    mem,
                    ("proc/self/cgroup", "0::/a/b\n"),
                    ("sys/fs/cgroup/a/b/memory.max", "max\n"),
                    ("sys/fs/cgroup/a/memory.max", "134217728\n"),
                ],
                Some(72),
            ),
            // version 1, its path not seen inside
            (
                &[
                    mem,
                    ("proc/self/cgroup", "5:cpu:/x\n4:rdma,memory:/docker/abc\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n"),
                ],
                Some(24),
            ),
            // version 1 without a limit is a very large number
            (
                &[
                    mem,
                    ("proc/self/cgroup", "4:memory:/\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ],
                Some(512),
            ),
        ];
        for (at, (files, expected)) in rows.iter().enumerate() {
            let root = std::env::temp_dir().join(format!("poe2openai-budget-{}-{at}", std::process::id()));
            for (path, text) in *files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            let limit = default_limit(&root).map(|bytes| bytes as u64 / MIB);
            let _ = fs::remove_dir_all(&root);
            assert_eq!(limit, *expected, "{files:?}");
        }
    }
}
