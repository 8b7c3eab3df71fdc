//! Running requests, the last ended requests, and sums by model. In memory only, and bounded.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lru::LruCache;
use serde::Serialize;

use super::inspection::Kept;

/// How many requests that ended are remembered, and of how many of them what was said.
const MAX_ENDED: usize = 500;
const MAX_INSPECTED: usize = 50;
const MAX_MODELS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);
/// The most that are reported at once.
const MAX_REPORTED: usize = MAX_ENDED;

/// The status of a request whose client disconnected; neither side of the proxy failed.
const CLIENT_GONE: u16 = 499;

/// One request, as the admin page shows it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Notes {
    /// Rises by one with every request that ends; 0 while it runs.
    pub seq: u64,
    /// The request's id.
    pub id: String,
    /// When it began, in milliseconds since 1970.
    pub time: u64,
    /// Where it came from.
    pub client: String,
    /// What the client calls itself.
    pub agent: String,
    /// Which route.
    pub endpoint: String,
    /// `POST` and the like.
    pub method: String,
    /// The model's name as the client wrote it.
    pub model: Option<String>,
    /// The bot behind it.
    pub bot: Option<String>,
    /// The name of the client's key, if it has one.
    pub key: Option<String>,
    /// What that key is counted by.
    pub key_id: Option<String>,
    /// By which of Poe's endpoints: `bot` or `native`.
    pub route: Option<&'static str>,
    /// The HTTP status; 0 while it runs.
    pub status: u16,
    /// How long the first byte of the answer took.
    pub first_byte_ms: Option<u64>,
    /// How long it took, or has taken so far.
    pub duration_ms: u64,
    /// Tokens of the question.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, thought included.
    pub completion_tokens: Option<u64>,
    /// Tokens of the thought alone.
    pub reasoning_tokens: Option<u64>,
    /// Tokens of the question that came out of Poe's cache.
    pub cached_tokens: u64,
    /// Files that it needed at Poe.
    pub uploads: u64,
    /// What it took, by estimate.
    pub points: Option<f64>,
    /// Whether the answer was wanted as a stream.
    pub stream: bool,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// What was said, while the operator looks.
    pub inspection: Option<Kept>,
}

/// What all requests for one model came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Total {
    /// Which model.
    pub model: String,
    /// How many requests.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Tokens of all questions.
    pub prompt_tokens: u64,
    /// Tokens of all answers.
    pub completion_tokens: u64,
}

/// All that the admin page shows of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The `seq` of the request that ended last.
    pub seq: u64,
    /// Whether what is said is kept.
    pub inspection: bool,
    /// Those that run, the newest first.
    pub running: Vec<Notes>,
    /// Those that ended, the newest first.
    pub requests: Vec<Notes>,
    /// Sums by model, the most used first.
    pub totals: Vec<Total>,
}

/// What ends a request.
pub type Stop = Box<dyn Fn() + Send + Sync>;

/// A request that runs.
pub struct Running {
    number: u64,
    start: Instant,
    notes: Mutex<Notes>,
    stop: Stop,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Running {
    /// What is known of the request.
    pub fn notes(&self) -> Notes {
        lock(&self.notes).clone()
    }

    /// The same with how long it has taken so far.
    fn now(&self) -> Notes {
        let duration_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Notes { duration_ms, ..self.notes() }
    }

    /// Changes what is known of the request.
    pub fn change(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut lock(&self.notes));
    }
}

/// What requests did.
#[derive(Debug)]
pub struct Activity {
    inspects: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    begun: u64,
    ended: u64,
    running: BTreeMap<u64, Arc<Running>>,
    /// The oldest first.
    last: VecDeque<Notes>,
    totals: LruCache<String, Total>,
}

impl Default for Activity {
    fn default() -> Activity {
        let state = State {
            begun: 0,
            ended: 0,
            running: BTreeMap::new(),
            last: VecDeque::new(),
            totals: LruCache::new(MAX_MODELS),
        };
        Activity { inspects: AtomicBool::new(false), state: Mutex::new(state) }
    }
}

impl Activity {
    /// A request begins, which `stop` ends.
    pub fn begin(&self, notes: Notes, stop: Stop) -> Arc<Running> {
        let mut state = lock(&self.state);
        state.begun += 1;
        let number = state.begun;
        let running = Running { number, start: Instant::now(), notes: Mutex::new(notes), stop };
        let running = Arc::new(running);
        state.running.insert(number, Arc::clone(&running));
        running
    }

    /// A request has ended, with `notes` of it. It is summed up under `model`, which no client may have made up.
    pub fn end(&self, running: &Running, mut notes: Notes, model: Option<&str>) {
        let mut state = lock(&self.state);
        state.running.remove(&running.number);
        state.ended += 1;
        notes.seq = state.ended;
        if !self.inspects() {
            notes.inspection = None; // switched off meanwhile
        }
        if let Some(model) = model {
            let total = state.totals.get_or_insert_mut(model.to_owned(), || Total {
                model: model.to_owned(),
                ..Total::default()
            });
            total.requests += 1;
            let has_failed = notes.error.is_some() || notes.status >= 400;
            total.errors += u64::from(has_failed && notes.status != CLIENT_GONE);
            total.prompt_tokens += notes.prompt_tokens.unwrap_or(0);
            total.completion_tokens += notes.completion_tokens.unwrap_or(0);
        }
        state.last.push_back(notes);
        if state.last.len() > MAX_ENDED {
            state.last.pop_front();
        }
        let inspected = state.last.iter_mut().rev().filter(|notes| notes.inspection.is_some());
        inspected.skip(MAX_INSPECTED).for_each(|notes| notes.inspection = None);
    }

    /// Ends the running request `id`; false if there is none.
    pub fn stop(&self, id: &str) -> bool {
        self.stop_where(&|notes| notes.id == id)
    }

    /// Ends the running requests that `is_meant`; false if there is none.
    pub fn stop_where(&self, is_meant: &dyn Fn(&Notes) -> bool) -> bool {
        let state = lock(&self.state);
        let meant = state.running.values().filter(|running| is_meant(&lock(&running.notes)));
        meant.map(|running| (running.stop)()).count() > 0
    }

    /// The requests that failed last, the newest first; those whose client disconnected aside.
    pub fn failed(&self, most: usize) -> Vec<Notes> {
        let state = lock(&self.state);
        let has_failed =
            |notes: &&Notes| (notes.error.is_some() || notes.status >= 400) && notes.status != CLIENT_GONE;
        state.last.iter().rev().filter(has_failed).take(most).cloned().collect()
    }

    /// The requests that run, the newest first.
    pub fn all_running(&self) -> Vec<Notes> {
        lock(&self.state).running.values().rev().map(|running| running.now()).collect()
    }

    /// How many requests run.
    pub fn running(&self) -> usize {
        lock(&self.state).running.len()
    }

    /// Whether what is said is kept.
    pub fn inspects(&self) -> bool {
        self.inspects.load(Ordering::Relaxed)
    }

    /// Keeps what is said, or not any more; then what was kept is forgotten.
    pub fn inspect(&self, on: bool) {
        let mut state = lock(&self.state);
        self.inspects.store(on, Ordering::Relaxed);
        if !on {
            state.last.iter_mut().for_each(|notes| notes.inspection = None);
        }
    }

    /// All that runs, and what has ended since the report with the number `after`.
    pub fn report(&self, after: u64) -> Report {
        let state = lock(&self.state);
        let mut totals: Vec<Total> = state.totals.iter().map(|(_, total)| total.clone()).collect();
        totals.sort_by(|one, other| (other.requests, &one.model).cmp(&(one.requests, &other.model)));
        let ended = state.last.iter().rev().take_while(|notes| notes.seq > after).take(MAX_REPORTED);
        Report {
            seq: state.ended,
            inspection: self.inspects(),
            running: state.running.values().rev().map(|running| running.now()).collect(),
            requests: ended.cloned().collect(),
            totals,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(id: &str, model: &str) -> Notes {
        Notes { id: id.into(), model: Some(model.into()), status: 200, ..Notes::default() }
    }

    fn begun(activity: &Activity, id: &str) -> (Arc<Running>, Arc<AtomicBool>) {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let end: Stop = Box::new(move || flag.store(true, Ordering::Relaxed));
        (activity.begin(Notes { status: 0, ..notes(id, "m") }, end), stop)
    }

    #[test]
    fn requests_run_and_end_and_are_recorded_once() {
        let activity = Activity::default();
        let ((slow, _), (fast, _)) = (begun(&activity, "slow"), begun(&activity, "fast"));
        fast.change(|notes| notes.bot = Some("b".into()));
        let report = activity.report(0);
        let ids: Vec<_> =
            report.running.iter().map(|notes| (notes.id.as_str(), notes.bot.as_deref())).collect();
        assert_eq!((ids, report.requests.len()), (vec![("fast", Some("b")), ("slow", None)], 0));
        activity.end(&fast, notes("fast", "m"), Some("m"));
        let report = activity.report(0);
        assert_eq!((report.requests[0].id.as_str(), report.running.len()), ("fast", 1));
        // what began before ends later, and is news all the same
        let slow_notes = Notes { prompt_tokens: Some(3), error: Some("no".into()), ..notes("slow", "m") };
        activity.end(&slow, slow_notes, Some("m"));
        let news = activity.report(report.seq);
        assert_eq!(news.requests.iter().map(|notes| notes.id.as_str()).collect::<Vec<_>>(), ["slow"]);
        let total = &news.totals[0];
        assert_eq!((total.requests, total.errors, total.prompt_tokens), (2, 1, 3));
        assert!(activity.report(news.seq).requests.is_empty());
    }

    #[test]
    fn only_what_runs_can_be_stopped() {
        let activity = Activity::default();
        let (running, stop) = begun(&activity, "a");
        let (_other, untouched) = begun(&activity, "b");
        assert!(activity.stop("a") && stop.load(Ordering::Relaxed) && !untouched.load(Ordering::Relaxed));
        activity.end(&running, notes("a", "m"), Some("m"));
        assert!(!activity.stop("a") && !activity.stop("c"));
    }

    #[test]
    fn memory_is_bounded() {
        let activity = Activity::default();
        activity.inspect(true);
        for number in 0..3000 {
            let (running, _) = begun(&activity, "x");
            let inspection = Some(Kept::default());
            let model = format!("model {number}");
            activity.end(&running, Notes { inspection, ..notes("x", &model) }, Some(&model));
        }
        let state = lock(&activity.state);
        assert_eq!((state.last.len(), state.totals.len(), state.running.len()), (MAX_ENDED, 1000, 0));
        assert_eq!(state.last.iter().filter(|notes| notes.inspection.is_some()).count(), MAX_INSPECTED);
        drop(state);
        let report = activity.report(0);
        assert_eq!((report.requests.len(), report.requests[0].seq), (MAX_REPORTED, 3000));
        activity.inspect(false);
        assert!(activity.report(0).requests.iter().all(|notes| notes.inspection.is_none()));
    }
}
