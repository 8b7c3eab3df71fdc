//! Totals of usage of all replicas. Each replica keeps its own rows and puts a copy of them into Redis every few seconds;
//! whoever wants to see the sum reads all copies.

use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use redis::Script;

use super::link::RedisLink;
use crate::clock;
use crate::state::budgets::Millipoints;
use crate::state::usage::{Amounts, KeyNotes, Labels, LocalUsage, Step, Stored, UsageTotals, Visit};

/// How often the own rows are put into Redis, and how old those of the others may be when they are shown.
const PUSH: Duration = Duration::from_secs(3);
const FRESH: Duration = Duration::from_secs(2);
/// Rows end with the oldest time that is kept.
const LIFETIME: u64 = 400 * 86_400_000;
/// When the rows of a replica that has ended are taken over by another one, in seconds.
const ENDED: u64 = 600;

/// Puts rows into Redis. KEYS: rows, list of replicas. ARGV: rows, replica, now in seconds, lifetime.
const PUT: &str = "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])";

/// Takes the rows of one replica out of Redis that was last here before a time.
/// KEYS: list of replicas. ARGV: time in seconds, what names of rows begin with.
const TAKE: &str = "local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1)[1]
if not ended then return false end
redis.call('ZREM', KEYS[1], ended)
local rows = redis.call('GET', ARGV[2] .. ended)
redis.call('DEL', ARGV[2] .. ended)
return rows or ''";

/// The rows of all replicas.
pub struct RedisUsage {
    own: Arc<LocalUsage>,
    link: Arc<RedisLink>,
    put: Script,
    take: Script,
    others: Mutex<Others>,
    /// Whether Redis has had the rows: then they are not stored anywhere else.
    is_stored: AtomicBool,
}

#[derive(Default)]
struct Others {
    read: Option<Instant>,
    rows: Vec<(String, Arc<Stored>)>,
}

impl Debug for RedisUsage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisUsage").field("link", &self.link).finish_non_exhaustive()
    }
}

impl RedisUsage {
    /// With the rows of this replica.
    pub fn new(own: Arc<LocalUsage>, link: Arc<RedisLink>) -> Arc<RedisUsage> {
        let [put, take] = [PUT, TAKE].map(Script::new);
        let usage = Arc::new(RedisUsage {
            own,
            link,
            put,
            take,
            others: Mutex::default(),
            is_stored: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&usage);
        thread::spawn(move || keep_pushing(&weak));
        usage
    }

    /// Puts the rows of this replica into Redis; whether they are there now.
    pub fn push(&self) -> bool {
        let now = clock::now().as_secs();
        let Ok(rows) = serde_json::to_vec(&self.own.stored(now)) else { return false };
        let mut call = self.put.prepare_invoke();
        call.key(self.link.name(&format!("usage:{}", self.link.replica()))).key(self.link.name("replicas"));
        call.arg(rows).arg(self.link.replica()).arg(now).arg(LIFETIME);
        let is_put = self.link.run(|connection| call.invoke::<()>(connection)).is_some();
        self.is_stored.fetch_or(is_put, Ordering::Relaxed);
        is_put
    }

    /// Adds the rows of replicas that have ended to the own ones.
    fn take_over(&self) {
        let before = clock::now().as_secs().saturating_sub(ENDED);
        loop {
            let mut call = self.take.prepare_invoke();
            call.key(self.link.name("replicas")).arg(before).arg(self.link.name("usage:"));
            let found = self.link.run(|connection| call.invoke::<Option<Vec<u8>>>(connection));
            let Some(Some(rows)) = found else { return };
            let absorbed = read(&rows).map(|ended| self.own.absorb(&ended));
            if let Some(Err(error)) = absorbed {
                log::warn!("usage of a replica that has ended is not counted: {error}");
            }
            self.push();
        }
    }

    /// The rows of the other replicas, as of a moment ago or, without Redis, as they were last seen.
    fn others(&self) -> Vec<(String, Arc<Stored>)> {
        let mut others = self.lock();
        if others.read.is_none_or(|read| read.elapsed() > FRESH) {
            others.read = Some(Instant::now());
            if let Some(rows) = self.read_others() {
                others.rows = rows;
            }
        }
        others.rows.clone()
    }

    fn read_others(&self) -> Option<Vec<(String, Arc<Stored>)>> {
        let list = self.link.name("replicas");
        let mut range = redis::cmd("ZRANGE");
        range.arg(list).arg(0).arg(-1);
        let all: Vec<String> = self.link.run(|connection| range.query(connection))?;
        let mut found = Vec::new();
        for replica in all.into_iter().filter(|replica| replica != self.link.replica()) {
            let name = self.link.name(&format!("usage:{replica}"));
            let get = |connection: &mut redis::Connection| redis::cmd("GET").arg(&name).query(connection);
            let rows: Option<Vec<u8>> = self.link.run(get)?;
            found.extend(rows.and_then(|rows| read(&rows)).map(|rows| (replica, Arc::new(rows))));
        }
        Some(found)
    }

    /// All rows, by replica.
    fn all(&self) -> Vec<(String, Arc<Stored>)> {
        let own = Arc::new(self.own.stored(clock::now().as_secs()));
        let mut all = vec![(self.link.replica().to_owned(), own)];
        all.extend(self.others());
        all
    }

    fn lock(&self) -> MutexGuard<'_, Others> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(rows: &[u8]) -> Option<Stored> {
    serde_json::from_slice(rows).ok()
}

/// What is wrong with the rows of one replica must not hide those of the others.
fn add(sum: &LocalUsage, replica: &str, rows: &Stored) {
    if let Err(error) = sum.absorb(rows) {
        log::debug!("usage of the replica {replica} is not counted whole: {error}");
    }
}

fn keep_pushing(usage: &Weak<RedisUsage>) {
    loop {
        thread::sleep(PUSH);
        let Some(usage) = usage.upgrade() else { return };
        if usage.push() {
            usage.take_over();
        }
    }
}

impl UsageTotals for RedisUsage {
    fn add(&self, time: u64, labels: Labels<'_>, name: &str, amounts: &Amounts) {
        self.own.add(time, labels, name, amounts);
    }

    fn correct(&self, time: u64, labels: Labels<'_>, estimate: Millipoints, took: Millipoints) {
        self.own.correct(time, labels, estimate, took);
    }

    fn visit(&self, step: Step, from: u64, to: u64, visit: Visit<'_>) {
        let sum = LocalUsage::default();
        self.all().iter().for_each(|(replica, rows)| add(&sum, replica, rows));
        sum.visit(step, from, to, visit);
    }

    fn keys(&self) -> KeyNotes {
        let sum = LocalUsage::default();
        self.all().iter().for_each(|(replica, rows)| add(&sum, replica, rows));
        sum.keys()
    }

    fn store(&self) -> bool {
        self.push() || self.is_stored.load(Ordering::Relaxed)
    }

    fn replicas(&self, from: u64) -> Vec<(String, Amounts)> {
        let sum = |(replica, rows): (String, Arc<Stored>)| {
            let (table, mut sum) = (LocalUsage::default(), Amounts::default());
            add(&table, &replica, &rows);
            table.visit(Step::Hour, from, u64::MAX, &mut |_, _, row| sum.add(row));
            (replica, sum)
        };
        self.all().into_iter().map(sum).collect()
    }
}
