//! Totals of usage: by hour for 8 days and by day for 400 days, by model, key and endpoint. Bounded in rows, whatever
//! clients send; what does not fit is summed up under `other`.

mod rows;
mod table;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use rows::{Amounts, Code, Histogram};
pub use table::Stored;

use super::budgets::Millipoints;
use table::Table;

/// How many hours and days are kept.
pub const HOURS: u64 = 8 * 24;
/// How many days are kept.
pub const DAYS: u64 = 400;
/// What stands for everything beyond the bounds.
pub const OTHER: &str = "other";

/// What a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels<'a> {
    /// The model, if it is one that exists, else [`OTHER`].
    pub model: &'a str,
    /// The key's id.
    pub key: &'a str,
    /// The route.
    pub endpoint: &'a str,
}

/// The length of a row's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Hours since 1970.
    Hour,
    /// Days of UTC since 1970.
    Day,
}

impl Step {
    /// Its length in seconds.
    pub fn seconds(self) -> u64 {
        match self {
            Step::Hour => 3600,
            Step::Day => 86_400,
        }
    }
}

/// What is remembered of a key beside its numbers: its name, and when it was used last, in seconds since 1970.
pub type KeyNotes = BTreeMap<String, (String, u64)>;

/// Takes one row: the beginning of its time in seconds since 1970, what it belongs to, and the numbers.
pub type Visit<'v> = &'v mut dyn FnMut(u64, Labels<'_>, &Amounts);

/// Totals of usage, wherever they are kept. Times are in seconds since 1970.
pub trait UsageTotals: Debug + Send + Sync {
    /// Adds a request that ended at `time`; the key is called `name`.
    fn add(&self, time: u64, labels: Labels<'_>, name: &str, amounts: &Amounts);

    /// Replaces the estimate of a request that was added at `time` by what it took.
    fn correct(&self, time: u64, labels: Labels<'_>, estimate: Millipoints, took: Millipoints);

    /// Visits the rows of one step whose time begins from `from` on and before `to`, the oldest first.
    fn visit(&self, step: Step, from: u64, to: u64, visit: Visit<'_>);

    /// What is remembered of the keys.
    fn keys(&self) -> KeyNotes;

    /// Stores the rows outside this process; whether they have a place there.
    fn store(&self) -> bool {
        false
    }

    /// The rows of each replica since `from`, summed up, by the replica's name; nothing where there are no replicas.
    fn replicas(&self, _from: u64) -> Vec<(String, Amounts)> {
        Vec::new()
    }
}

/// Totals in the memory of this process.
#[derive(Debug, Default)]
pub struct LocalUsage {
    table: Mutex<Table>,
}

impl LocalUsage {
    /// With what an earlier start counted.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn with(stored: Stored) -> Result<LocalUsage, String> {
        Ok(LocalUsage { table: Mutex::new(Table::with(stored)?) })
    }

    /// What has to be stored.
    pub fn stored(&self, now: u64) -> Stored {
        self.lock().stored(now)
    }

    /// Adds rows that were stored.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn absorb(&self, stored: &Stored) -> Result<(), String> {
        self.lock().absorb(stored)
    }

    /// Halves the number of rows: older times lose what they say of models and endpoints.
    pub fn shrink(&self) {
        self.lock().shrink();
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UsageTotals for LocalUsage {
    fn add(&self, time: u64, labels: Labels<'_>, name: &str, amounts: &Amounts) {
        self.lock().add(time, labels, name, amounts);
    }

    fn correct(&self, time: u64, labels: Labels<'_>, estimate: Millipoints, took: Millipoints) {
        self.lock().correct(time, labels, estimate, took);
    }

    fn visit(&self, step: Step, from: u64, to: u64, visit: Visit<'_>) {
        self.lock().visit(step, from, to, visit);
    }

    fn keys(&self) -> KeyNotes {
        self.lock().keys.clone()
    }
}
