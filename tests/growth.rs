//! Work grows with its input and no faster: four times the input may take about four times the processor time and memory.
//!
//! Each case doubles its input until it takes a measurable time, and compares that with four times as much. Memory is
//! counted by the allocator, time is the processor time of the thread, so that other work on the machine hardly counts.

#![expect(clippy::type_complexity, reason = "tables of cases, each a name and functions")]

#[path = "growth/events.rs"]
mod events;
#[path = "growth/requests.rs"]
mod requests;
#[path = "growth/sizes.rs"]
mod sizes;
#[path = "growth/texts.rs"]
mod texts;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

/// As long a run as noise hardly matters for.
const LONG_ENOUGH: Duration = Duration::from_micros(250);
/// No input has more units: what is still fast then is fast enough.
const MOST_UNITS: usize = 64 << 10;
/// Four times the input takes at most so many times the processor time: 4 if linear, 16 if quadratic.
const MOST_TIME: f64 = 7.5;
/// And so many times the memory, of all allocations together and at any moment: buffers grow to powers of two.
const MOST_MEMORY: f64 = 9.5;
/// What a case may allocate however small its input is.
const FIXED_MEMORY: f64 = 256.0 * 1024.0;
/// A suspicious case is measured so many times more, also with larger inputs.
const TRIES: usize = 4;

/// One kind of work on inputs of any size. What prepares the input is not measured.
type Case<'a> = &'a dyn Fn(usize) -> Box<dyn FnOnce() + 'a>;

/// All cases of one test; those that grow too fast are listed together.
struct Cases {
    bad: Vec<String>,
    count: usize,
    /// The processor time at the start.
    start: Duration,
}

impl Default for Cases {
    fn default() -> Cases {
        Cases { bad: Vec::new(), count: 0, start: cpu() }
    }
}

#[derive(Debug, Clone, Copy)]
struct Cost {
    time: Duration,
    memory: heap::Use,
}

impl Cases {
    fn check(&mut self, name: &str, case: Case<'_>) {
        self.count += 1;
        let mut units = 64;
        let mut small = measure(case, units);
        while small.time < LONG_ENOUGH && 4 * units < MOST_UNITS {
            units *= 2;
            small = measure(case, units);
        }
        let mut large = measure(case, 4 * units);
        for attempt in 0..TRIES {
            if fault(small, large).is_none() {
                return;
            }
            if attempt % 2 == 0 {
                small = best(small, measure(case, units));
                large = best(large, measure(case, 4 * units));
            } else {
                // what has its costs from some size on grows no faster behind it
                units *= 4;
                (small, large) = (large, measure(case, 4 * units));
            }
        }
        if let Some(fault) = fault(small, large) {
            let line = format!("{name}: {fault} from {units} to {} units: {small:?} {large:?}", 4 * units);
            println!("{line}");
            self.bad.push(line);
        }
    }
}

impl Drop for Cases {
    fn drop(&mut self) {
        println!("{} cases in {:?}", self.count, cpu() - self.start);
        if !std::thread::panicking() {
            assert!(self.count > 0 && self.bad.is_empty(), "{} grow too fast", self.bad.len());
        }
    }
}

fn measure(case: Case<'_>, units: usize) -> Cost {
    let work = case(units);
    let start = cpu();
    let ((), memory) = heap::used(work);
    Cost { time: cpu() - start, memory }
}

/// The processor time of this thread.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).expect("nanoseconds"))
}

fn best(one: Cost, other: Cost) -> Cost {
    Cost { time: one.time.min(other.time), memory: one.memory }
}

fn fault(small: Cost, large: Cost) -> Option<String> {
    let ratio = |part: fn(&Cost) -> f64, fixed: f64| (part(&large) - fixed) / part(&small).max(1.0);
    let time = ratio(|cost| cost.time.as_secs_f64() * 1e9, 1e6);
    let taken = ratio(|cost| cost.memory.taken as f64, FIXED_MEMORY);
    let peak = ratio(|cost| cost.memory.peak as f64, FIXED_MEMORY);
    let is_bad = time > MOST_TIME || taken > MOST_MEMORY || peak > MOST_MEMORY;
    is_bad.then(|| format!("time x {time:.1}, memory x {taken:.1}, at any moment x {peak:.1}"))
}

/// Takes a result, so that nobody leaves out the work for it.
fn keep<T>(result: T) {
    std::hint::black_box(result);
}

/// Marsaglia's xorshift generator: the same choices in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

#[test]
fn a_quadratic_walk_is_found() {
    let walk =
        |units: usize| (0..units).map(|at| (0..at).fold(0, |sum, at| std::hint::black_box(sum + at))).sum();
    let case = |units: usize| -> Box<dyn FnOnce()> { Box::new(move || keep::<usize>(walk(units))) };
    let (small, large) = (measure(&case, 1000), measure(&case, 4000));
    assert!(fault(small, large).is_some(), "{small:?} {large:?}");
    let copies = |units: usize| -> Box<dyn FnOnce()> {
        Box::new(move || (0..units).for_each(|at| keep(vec![0_u8; at])))
    };
    let (small, large) = (measure(&copies, 1000), measure(&copies, 4000));
    assert!(fault(small, large).is_some(), "{small:?} {large:?}");
}
