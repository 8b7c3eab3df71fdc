//! What keys may spend: requests a minute, and points a day and a month of UTC.
//!
//! A request reserves an estimate before it is sent and is settled with what it took. What runs counts as reserved, so
//! that requests side by side exceed a budget by one request at most.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;

/// Thousandths of a point. A point is $0.00003.
pub type Millipoints = u64;

const A_DAY: u64 = 86_400;
const A_MINUTE: Duration = Duration::from_secs(60);
/// More than there may be keys: those that were deleted are forgotten when their periods are over.
const MAX_KEYS: usize = 2048;
/// How many requests of one key may wait for others of it to end: each holds a connection.
const MAX_WAITING: usize = 128;

/// The period of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// A day of UTC.
    Day,
    /// A month of UTC.
    Month,
}

impl Period {
    /// The number of the period that `now`, in seconds since 1970, lies in.
    pub fn number(self, now: u64) -> u64 {
        match self {
            Period::Day => now / A_DAY,
            Period::Month => clock::month(now),
        }
    }

    /// When that period ends.
    pub fn end(self, now: u64) -> u64 {
        match self {
            Period::Day => (now / A_DAY + 1) * A_DAY,
            Period::Month => clock::next_month(now),
        }
    }
}

/// What a key may spend in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// In which period.
    pub period: Period,
    /// How much.
    pub most: Millipoints,
}

/// What became of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request may be sent; it has to be settled.
    Reserved,
    /// Running requests may use up what is left of this budget, by its place: decided when one of them ends.
    Busy(usize),
    /// This budget, by its place, is used up.
    Exhausted(usize),
}

/// What a key has spent and reserved in the running periods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Today.
    pub day: Millipoints,
    /// This month.
    pub month: Millipoints,
    /// By requests that run.
    pub reserved: Millipoints,
}

impl Spent {
    /// In one of the periods.
    pub fn within(&self, period: Period) -> Millipoints {
        match period {
            Period::Day => self.day,
            Period::Month => self.month,
        }
    }
}

/// What keys have spent, wherever it is counted. Times are in seconds since 1970.
pub trait Budgets: Debug + Send + Sync {
    /// Counts a request of `key` unless there were `most` within the minute before `now`, a time since 1970; then the time
    /// until there is room again.
    fn count(&self, key: &str, most: u64, now: Duration) -> Option<Duration>;

    /// Reserves `estimate` for a request of `key` where none of `budgets` is used up.
    fn reserve(&self, key: &str, budgets: &[Budget], estimate: Millipoints, now: u64) -> Verdict;

    /// Replaces what a request of `key` has reserved by what it took.
    fn settle(&self, key: &str, reserved: Millipoints, took: Millipoints, now: u64);

    /// Replaces what a request settled at `time` seemed to take by what it took.
    fn correct(&self, key: &str, time: u64, seemed: Millipoints, took: Millipoints, now: u64);

    /// What `key` has spent and reserved.
    fn spent(&self, key: &str, now: u64) -> Spent;
}

/// What one key has spent in its running periods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account(u64, Millipoints, u64, Millipoints);

impl Account {
    /// Begins the periods of `now` where others ran.
    fn turn(&mut self, now: u64) {
        let (day, month) = (Period::Day.number(now), Period::Month.number(now));
        if self.0 != day {
            (self.0, self.1) = (day, 0);
        }
        if self.2 != month {
            (self.2, self.3) = (month, 0);
        }
    }

    fn is_over(&self, now: u64) -> bool {
        self.2 != Period::Month.number(now)
    }
}

/// All accounts, as they are stored.
pub type Accounts = BTreeMap<String, Account>;

/// Budgets counted in this process.
#[derive(Debug, Default)]
pub struct LocalBudgets {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accounts: Accounts,
    reserved: HashMap<String, Millipoints>,
    /// Times of the requests within the last minute.
    requests: HashMap<String, VecDeque<Duration>>,
}

impl LocalBudgets {
    /// With what an earlier start counted.
    pub fn with(accounts: Accounts) -> LocalBudgets {
        LocalBudgets { state: Mutex::new(State { accounts, ..State::default() }) }
    }

    /// What has to be stored.
    pub fn accounts(&self) -> Accounts {
        self.lock().accounts.clone()
    }

    /// Takes over what `key` has spent altogether, counted elsewhere.
    pub fn learn(&self, key: &str, day: Millipoints, month: Millipoints, now: u64) {
        let mut state = self.lock();
        let account = state.account(key, now);
        (account.1, account.3) = (day, month);
    }

    /// Counts what a request of `key` has reserved elsewhere.
    pub fn hold(&self, key: &str, reserved: Millipoints) {
        *self.lock().reserved.entry(key.to_owned()).or_default() += reserved;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn account(&mut self, key: &str, now: u64) -> &mut Account {
        if self.accounts.len() >= MAX_KEYS && !self.accounts.contains_key(key) {
            self.accounts.retain(|_, account| !account.is_over(now));
        }
        let account = self.accounts.entry(key.to_owned()).or_default();
        account.turn(now);
        account
    }

    fn release(&mut self, key: &str, reserved: Millipoints) {
        if let Some(sum) = self.reserved.get_mut(key) {
            *sum = sum.saturating_sub(reserved);
            if *sum == 0 {
                self.reserved.remove(key);
            }
        }
    }
}

impl Budgets for LocalBudgets {
    fn count(&self, key: &str, most: u64, now: Duration) -> Option<Duration> {
        let mut state = self.lock();
        if state.requests.len() >= MAX_KEYS {
            state.requests.retain(|_, times| times.back().is_some_and(|last| *last + A_MINUTE > now));
        }
        let times = state.requests.entry(key.to_owned()).or_default();
        while times.front().is_some_and(|first| *first + A_MINUTE <= now) {
            times.pop_front();
        }
        if (times.len() as u64) < most {
            times.push_back(now);
            return None;
        }
        // a limit that was lowered may have more behind it
        let at = times.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
        let free = times.get(at).map_or(A_MINUTE, |time| (*time + A_MINUTE).saturating_sub(now));
        Some(free.max(Duration::from_millis(1)))
    }

    fn reserve(&self, key: &str, budgets: &[Budget], estimate: Millipoints, now: u64) -> Verdict {
        let mut state = self.lock();
        let reserved = state.reserved.get(key).copied().unwrap_or(0);
        let account = *state.account(key, now);
        let spent = Spent { day: account.1, month: account.3, reserved };
        let is_used_up = |budget: &Budget| spent.within(budget.period) >= budget.most;
        if let Some(at) = budgets.iter().position(is_used_up) {
            return Verdict::Exhausted(at);
        }
        let is_busy = |budget: &Budget| spent.within(budget.period).saturating_add(reserved) >= budget.most;
        if let Some(at) = budgets.iter().position(is_busy) {
            return Verdict::Busy(at);
        }
        *state.reserved.entry(key.to_owned()).or_default() += estimate;
        Verdict::Reserved
    }

    fn settle(&self, key: &str, reserved: Millipoints, took: Millipoints, now: u64) {
        let mut state = self.lock();
        state.release(key, reserved);
        let account = state.account(key, now);
        account.1 = account.1.saturating_add(took);
        account.3 = account.3.saturating_add(took);
    }

    fn correct(&self, key: &str, time: u64, seemed: Millipoints, took: Millipoints, now: u64) {
        let mut state = self.lock();
        let account = state.account(key, now);
        let corrected = |sum: Millipoints| sum.saturating_add(took).saturating_sub(seemed);
        if Period::Day.number(time) == account.0 {
            account.1 = corrected(account.1);
        }
        if Period::Month.number(time) == account.2 {
            account.3 = corrected(account.3);
        }
    }

    fn spent(&self, key: &str, now: u64) -> Spent {
        let state = self.lock();
        let mut account = state.accounts.get(key).copied().unwrap_or_default();
        account.turn(now);
        Spent { day: account.1, month: account.3, reserved: state.reserved.get(key).copied().unwrap_or(0) }
    }
}

/// The requests of each key that wait for others of it to end.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<HashMap<String, usize>>);

/// The place of one that waits.
#[derive(Debug)]
pub struct Waiter<'a> {
    waiting: &'a Waiting,
    key: String,
}

impl Waiting {
    /// A place for one more request of `key`, if there is room.
    pub fn enter(&self, key: &str) -> Option<Waiter<'_>> {
        let mut all = self.lock();
        let count = all.entry(key.to_owned()).or_default();
        (*count < MAX_WAITING).then(|| {
            *count += 1;
            Waiter { waiting: self, key: key.to_owned() }
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut all = self.waiting.lock();
        if let Some(count) = all.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_795_392_000 + 12 * 3600; // 2026-11-23
    const DAY: Budget = Budget { period: Period::Day, most: 100 };

    #[test]
    fn requests_side_by_side_exceed_a_budget_by_one_at_most() {
        let budgets = LocalBudgets::default();
        let reserve = |estimate| budgets.reserve("k", &[DAY], estimate, NOON);
        assert_eq!(
            [reserve(60), reserve(60), reserve(60)],
            [Verdict::Reserved, Verdict::Reserved, Verdict::Busy(0)]
        );
        budgets.settle("k", 60, 30, NOON);
        assert_eq!((reserve(60), reserve(60)), (Verdict::Reserved, Verdict::Busy(0)));
        budgets.settle("k", 60, 60, NOON);
        budgets.settle("k", 60, 60, NOON);
        assert_eq!(reserve(1), Verdict::Exhausted(0));
        assert_eq!(budgets.spent("k", NOON), Spent { day: 150, month: 150, reserved: 0 });
        assert_eq!(budgets.reserve("other", &[DAY], 60, NOON), Verdict::Reserved);
    }

    #[test]
    fn few_requests_of_a_key_wait_and_all_give_their_place_back() {
        let waiting = Waiting::default();
        let places: Vec<_> = (0..3 * MAX_WAITING).map_while(|_| waiting.enter("k")).collect();
        assert_eq!(places.len(), MAX_WAITING);
        assert!(waiting.enter("k").is_none() && waiting.enter("other").is_some());
        drop(places);
        assert!(waiting.enter("k").is_some());
        assert!(waiting.lock().is_empty());
    }

    #[test]
    fn periods_end() {
        let budgets = LocalBudgets::default();
        let month = Budget { period: Period::Month, most: 150 };
        let later = |now| budgets.reserve("k", &[DAY, month], 1, now);
        budgets.settle("k", 0, 100, NOON);
        assert_eq!(later(NOON), Verdict::Exhausted(0));
        let tomorrow = Period::Day.end(NOON);
        assert_eq!(later(tomorrow), Verdict::Reserved);
        budgets.settle("k", 1, 50, tomorrow);
        assert_eq!(later(tomorrow), Verdict::Exhausted(1));
        assert_eq!(later(Period::Month.end(NOON)), Verdict::Reserved);
    }

    #[test]
    fn what_turns_out_later_counts_in_the_periods_that_still_run() {
        let budgets = LocalBudgets::default();
        budgets.settle("k", 0, 40, NOON);
        budgets.correct("k", NOON, 40, 70, NOON + 60);
        assert_eq!(budgets.spent("k", NOON).day, 70);
        let tomorrow = NOON + 86_400;
        budgets.settle("k", 0, 5, tomorrow);
        budgets.correct("k", NOON, 70, 10, tomorrow);
        assert_eq!((budgets.spent("k", tomorrow).day, budgets.spent("k", tomorrow).month), (5, 15));
        let kept = LocalBudgets::with(budgets.accounts());
        assert_eq!(kept.spent("k", tomorrow), budgets.spent("k", tomorrow));
    }

    #[test]
    fn a_minute_has_so_many_requests() {
        let budgets = LocalBudgets::default();
        let count = |seconds| budgets.count("k", 2, Duration::from_secs(NOON + seconds));
        assert_eq!([count(0), count(50), count(59)], [None, None, Some(Duration::from_secs(1))]);
        assert_eq!([count(60), count(61)], [None, Some(Duration::from_secs(49))]);
        assert_eq!(budgets.count("k", 1, Duration::from_secs(NOON + 61)), Some(Duration::from_secs(59)));
        assert_eq!(budgets.count("other", 1, Duration::from_secs(NOON)), None);
    }
}
