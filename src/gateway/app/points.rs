//! What requests really took, by Poe's history of points: it replaces estimates once it is known.

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use lru::LruCache;

use super::App;
use crate::clock;
use crate::error::Result;
use crate::poe::{CancelCheck, Charge, same_name};
use crate::state::budgets::Millipoints;
use crate::state::usage::Labels;

/// How often the history is read while requests are not found in it yet, and the balance while nothing happens.
const INTERVAL: Duration = Duration::from_secs(20);
const BALANCE_INTERVAL: Duration = Duration::from_secs(300);
/// How long a request is looked for. An entry may say 0 at first; after so long that is what it took.
const PATIENCE: Duration = Duration::from_secs(900);
const ZERO_FOR: Duration = Duration::from_secs(120);
/// By how much Poe's clock and this one may differ.
const TOLERANCE: Duration = Duration::from_secs(5);
/// How many requests are looked for at once, how many entries of the history are remembered, and of how many bots what
/// they took.
const MAX_EXPECTED: usize = 1000;
const MAX_BOTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(499);
/// Estimates of a bot are corrected by what it took before, within these bounds.
const FACTORS: (f64, f64) = (0.02, 50.0);
/// Earlier requests of a bot count by so much less with each new one.
const FADE: f64 = 0.9;

/// A request that has ended, to be found in Poe's history.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Which bot was asked.
    pub bot: String,
    /// When it began and ended, since 1970.
    pub time: (Duration, Duration),
    /// How many queries it sent.
    pub answers: u64,
    /// By what it was counted: model, key, endpoint.
    pub labels: (String, Arc<str>, &'static str),
    /// What it seemed to take, and by the list's price alone.
    pub estimate: Millipoints,
    /// The same before earlier requests of the bot were taken into account.
    pub by_list: Millipoints,
}

/// What the account has left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Left {
    /// Points.
    pub points: f64,
    /// When Poe said so, in seconds since 1970.
    pub as_of: u64,
}

/// Requests that are looked for in Poe's history, and what it has said so far.
#[derive(Debug)]
pub struct Points {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    expected: VecDeque<Expected>,
    /// Entries of the history that have been given to a request.
    used: HashSet<String>,
    used_order: VecDeque<String>,
    /// Of each bot, in lower case, what requests took and what the list says, fading.
    bots: LruCache<String, (f64, f64)>,
    left: Option<Left>,
}

impl Default for Points {
    fn default() -> Points {
        let state = State {
            expected: VecDeque::new(),
            used: HashSet::new(),
            used_order: VecDeque::new(),
            bots: LruCache::new(MAX_BOTS),
            left: None,
        };
        Points { state: Mutex::new(state) }
    }
}

impl Points {
    /// Looks for a request from now on.
    pub fn look_for(&self, expected: Expected) {
        let mut state = self.lock();
        if state.expected.len() >= MAX_EXPECTED {
            state.expected.pop_front();
        }
        state.expected.push_back(expected);
    }

    /// By how much requests of `bot` have taken more than the list says.
    pub fn factor(&self, bot: &str) -> f64 {
        let ratio = self.lock().bots.get(&bot.to_lowercase()).map(|(took, by_list)| took / by_list);
        ratio.filter(|ratio| ratio.is_finite()).unwrap_or(1.0).clamp(FACTORS.0, FACTORS.1)
    }

    /// What the account had left when it was last asked.
    pub fn left(&self) -> Option<Left> {
        self.lock().left
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the history has to be read, if it has.
    fn oldest(&self) -> Option<Duration> {
        self.lock().expected.iter().map(|one| one.time.0).min().map(|time| time.saturating_sub(TOLERANCE))
    }

    /// Gives the entries of the history to requests: those of the same bot, at the same time. Returns what each of the
    /// found requests took.
    fn matched(&self, charges: &[Charge], now: Duration) -> Vec<(Expected, Millipoints)> {
        let mut state = self.lock();
        let mut found = Vec::new();
        let waiting = std::mem::take(&mut state.expected);
        for one in waiting {
            match state.take(&one, charges, now) {
                Some(took) => {
                    state.learn(&one, took);
                    found.push((one, took));
                }
                None if one.time.1 + PATIENCE > now => state.expected.push_back(one),
                None => {} // it stays an estimate
            }
        }
        found
    }
}

impl State {
    /// What a request took: the sum of the entries of all its queries, which have to be there.
    fn take(&mut self, one: &Expected, charges: &[Charge], now: Duration) -> Option<Millipoints> {
        let (start, end) = (one.time.0.saturating_sub(TOLERANCE), one.time.1 + TOLERANCE);
        let is_meant = |charge: &&Charge| {
            let is_bot = charge.bot_name.as_deref().is_some_and(|bot| same_name(bot, &one.bot));
            let is_known = charge.cost_points.unwrap_or(0.0) > 0.0 || charge.time() + ZERO_FOR < now;
            let is_free = charge.query_id.as_ref().is_some_and(|id| !self.used.contains(id));
            is_bot && is_known && is_free && (start..=end).contains(&charge.time())
        };
        // requests are looked for in the order of their ends: the oldest entries are theirs
        let queries = usize::try_from(one.answers.max(1)).unwrap_or(usize::MAX);
        let meant: Vec<&Charge> = charges.iter().rev().filter(is_meant).take(queries).collect();
        if meant.len() < queries {
            return None;
        }
        let points: f64 = meant.iter().map(|charge| charge.cost_points.unwrap_or(0.0).max(0.0)).sum();
        for id in meant.iter().filter_map(|charge| charge.query_id.clone()) {
            self.used_order.push_back(id.clone());
            self.used.insert(id);
        }
        while self.used_order.len() > 2 * MAX_EXPECTED {
            self.used_order.pop_front().map(|id| self.used.remove(&id));
        }
        Some((points * 1000.0).round() as Millipoints)
    }

    fn learn(&mut self, one: &Expected, took: Millipoints) {
        let (sum, by_list) = self.bots.get_or_insert_mut(one.bot.to_lowercase(), Default::default);
        *sum = *sum * FADE + took as f64;
        *by_list = *by_list * FADE + one.by_list as f64;
    }
}

impl App {
    /// Reads Poe's history of points while requests are not found in it, and the balance, for ever.
    pub fn watch_points(&self) {
        let never_cancelled: CancelCheck = Rc::new(|| Ok(()));
        let mut is_failing = false;
        loop {
            let Some(key) = self.own_poe_key() else { return };
            let read = self.read_points(key, &never_cancelled);
            if let Err(error) = &read
                && !is_failing
            {
                log::warn!("Poe's account cannot be read, so points stay estimates: {error}");
            }
            is_failing = read.is_err();
            // what is not found yet is stored as an estimate
            thread::sleep(INTERVAL.min(self.settings.usage_write));
        }
    }

    fn read_points(&self, key: &str, cancel: &CancelCheck) -> Result<()> {
        let points = &self.clients.points;
        let now = clock::now();
        let since = points.oldest();
        let is_old = |left: Left| left.as_of + BALANCE_INTERVAL.as_secs() <= now.as_secs();
        if since.is_none() && !points.left().is_none_or(is_old) {
            return Ok(());
        }
        if let Some(since) = since {
            let charges = self.poe.charges(key, since, cancel)?;
            for (one, took) in points.matched(&charges, clock::now()) {
                let (model, id, endpoint) = &one.labels;
                let (time, labels) = (one.time.1.as_secs(), Labels { model, key: id, endpoint });
                self.clients.usage.correct(time, labels, one.estimate, took);
                self.clients.budgets.correct(id, time, one.estimate, took, now.as_secs());
            }
        }
        if let Some(balance) = self.poe.balance(key, cancel)? {
            points.lock().left = Some(Left { points: balance, as_of: now.as_secs() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(id: &str, bot: &str, seconds: u64, points: f64) -> Charge {
        let json = serde_json::json!({"query_id": id, "bot_name": bot, "creation_time": seconds * 1_000_000, "cost_points": points});
        serde_json::from_value(json).unwrap()
    }

    fn expected(bot: &str, from: u64, to: u64, key: &str) -> Expected {
        Expected {
            bot: bot.to_owned(),
            time: (Duration::from_secs(from), Duration::from_secs(to)),
            answers: 1,
            labels: ("m".to_owned(), key.into(), "e"),
            estimate: 10_000,
            by_list: 10_000,
        }
    }

    fn found(points: &Points, charges: &[Charge], now: u64) -> Vec<(String, Millipoints)> {
        let found = points.matched(charges, Duration::from_secs(now));
        found.into_iter().map(|(one, took)| (one.labels.1.to_string(), took)).collect()
    }

    #[test]
    fn entries_go_to_the_requests_of_their_bot_and_time_once() {
        let points = Points::default();
        for (bot, from, to, key) in
            [("A", 100, 110, "k1"), ("A", 112, 130, "k2"), ("B", 100, 110, "k3"), ("A", 500, 501, "k4")]
        {
            points.look_for(expected(bot, from, to, key));
        }
        let charges = [
            charge("4", "a", 120, 40.0),
            charge("3", "b", 104, 0.0),
            charge("2", "a", 104, 25.0),
            charge("1", "A", 20, 7.0),
        ];
        assert_eq!(found(&points, &charges, 131), [("k1".to_owned(), 25_000), ("k2".to_owned(), 40_000)]);
        assert_eq!(found(&points, &charges, 140), [], "an entry counts once, and 0 may be its first word");
        assert_eq!(found(&points, &charges, 300), [("k3".to_owned(), 0)]);
        assert!(points.oldest().is_some());
        assert_eq!(found(&points, &[], 5000), []);
        assert_eq!(points.oldest(), None, "what is not found stays an estimate");
    }

    #[test]
    fn all_queries_of_a_request_have_to_be_there_and_later_estimates_learn() {
        let points = Points::default();
        points.look_for(Expected { answers: 2, ..expected("A", 100, 110, "k") });
        assert_eq!(points.factor("a"), 1.0);
        assert_eq!(found(&points, &[charge("1", "A", 101, 10.0)], 111), []);
        let both = [charge("2", "A", 102, 20.0), charge("1", "A", 101, 10.0)];
        assert_eq!(found(&points, &both, 120), [("k".to_owned(), 30_000)]);
        assert!((points.factor("a") - 3.0).abs() < 1e-9, "{}", points.factor("a"));
    }
}
