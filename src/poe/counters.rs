//! Counters of the calls to Poe.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Kind};

/// How the calls to Poe went so far.
#[derive(Debug, Default)]
pub struct Counters {
    retries: AtomicU64,
    uploads: AtomicU64,
    errors: Mutex<HashMap<Kind, u64>>,
}

impl Counters {
    /// Second tries after a fault that passes.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Files that requests needed at Poe.
    pub fn uploads(&self) -> u64 {
        self.uploads.load(Ordering::Relaxed)
    }

    /// Failed calls by what was wrong, those with a second try behind them too.
    pub fn errors(&self) -> Vec<(Kind, u64)> {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.iter().map(|(kind, count)| (*kind, *count)).collect()
    }

    /// Counts a second try.
    pub fn add_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_upload(&self) {
        self.uploads.fetch_add(1, Ordering::Relaxed);
    }

    /// A cancelled call is no failure of Poe's.
    pub(super) fn add_error(&self, error: &Error) {
        if !error.is_withdrawn() {
            let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
            *errors.entry(error.kind).or_default() += 1;
        }
    }
}
