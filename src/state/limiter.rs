//! Rate limiter of the server: a token bucket with a fair queue before it.
//!
//! Slots are not given out in the order of arrival. Every key that Poe has accepted takes turns with the others, and all
//! keys that Poe has not accepted yet share one turn, so that made-up keys delay only each other. A key that Poe has
//! refused does not wait at all for a while. Keys are kept as salted hashes.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use lru::LruCache;

use super::login_throttle::network_of;
use crate::error::{Error, Kind, Result};

/// How often a waiting request looks whether it still must.
const TICK: Duration = Duration::from_millis(250);
/// How many requests may wait for one key, and for one client address: connections are to be had for others, too.
const MAX_PER_KEY: usize = 128;
const MAX_PER_ADDRESS: usize = 256;
/// How long Poe's refusal of a key is repeated without asking again.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// How many keys of each kind are remembered.
const MAX_KEYS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// A limiter of the requests to Poe.
pub trait RateLimiter: Send + Sync {
    /// How it did so far.
    fn counts(&self) -> Counts;

    /// Waits for the turn of a request with `key` from `address`. `watch` is called now and then; its error ends the wait.
    fn wait(&self, key: &str, address: Option<IpAddr>, watch: &dyn Fn() -> Result<()>) -> Result<()>;

    /// Poe has accepted `key`.
    fn accept(&self, key: &str);

    /// Poe has refused `key` with `error`: for a while the same is answered without waiting. A key that was accepted
    /// before has a second try.
    fn reject(&self, key: &str, error: &Error);
}

/// Slots that are given out elsewhere, for several replicas together.
pub trait Slots: Send + Sync {
    /// Reserves the next slot, and says in how much time it falls due; nothing if that cannot be done now.
    fn reserve(&self) -> Option<Duration>;
}

/// A limiter. Its lock is held only to read the queue, never while a request waits.
pub struct Limiter {
    interval: Duration,
    /// How far ahead of the clock slots may be given out without a wait.
    credit: Duration,
    max_wait: Duration,
    hasher: RandomState,
    state: Mutex<State>,
    slots: Option<Box<dyn Slots>>,
    waited: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// When the slot after the last one given out falls due, at one per interval; `None` before the first.
    next: Option<Instant>,
    /// The slot that was reserved for whoever is first, where slots are given out elsewhere.
    slot: Slot,
    /// How far slots were apart lately while requests waited, and when the last one was given out.
    pace: Duration,
    last: Option<Instant>,
    queue: Vec<Waiter>,
    tickets: u64,
    /// Counts the slots given out; what was served last has the highest number.
    served: u64,
    /// When each lane was served last. A lane that is not in here goes first.
    lanes: LruCache<Lane, u64>,
    accepted: LruCache<u64, ()>,
    rejected: LruCache<u64, (Instant, Error)>,
    /// When keys that are neither asked first. Who had to go away and comes back is not behind those who came since.
    first_seen: LruCache<u64, Instant>,
}

/// A slot that is given out elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Slot {
    /// None is reserved.
    None,
    /// A thread is about to reserve one.
    Asked,
    /// One falls due at this time.
    At(Instant),
    /// None can be had: the next one is this limiter's own.
    Own,
}

/// What takes turns with others of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lane {
    /// One accepted key.
    Key(u64),
    /// All keys that Poe has not accepted yet.
    Unknown,
    /// The clients at one address, within their key's lane.
    Address(Option<u64>, Option<IpAddr>),
}

/// One request that waits.
#[derive(Debug)]
struct Waiter {
    ticket: u64,
    key: u64,
    address: Option<IpAddr>,
    joined: Instant,
    /// Its place among those of the same key and address, or of the same address while its key is unknown.
    since: Instant,
    state: Waits,
    thread: Thread,
}

#[derive(Debug, Clone, PartialEq)]
enum Waits {
    /// For its turn.
    Still,
    /// No longer: it has a slot.
    Granted,
    /// No longer: Poe has refused its key.
    Rejected(Error),
}

/// How the limiter did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Requests that wait for their slot now.
    pub waiting: u64,
    /// Slots that had to be waited for.
    pub waited: u64,
    /// Requests that would have had to wait too long.
    pub refused: u64,
}

impl Limiter {
    /// One slot per `interval`, up to `burst` (at least 1) at once after a pause; no request waits longer than
    /// `max_wait`. An interval of zero switches the limiter off.
    pub fn new(interval: Duration, burst: u32, max_wait: Duration) -> Limiter {
        Limiter {
            interval,
            credit: interval.saturating_mul(burst.saturating_sub(1)),
            max_wait,
            hasher: RandomState::new(),
            state: Mutex::new(State {
                next: None,
                slot: Slot::Own,
                pace: interval,
                last: None,
                queue: Vec::new(),
                tickets: 0,
                served: 0,
                lanes: LruCache::new(MAX_KEYS),
                accepted: LruCache::new(MAX_KEYS),
                rejected: LruCache::new(MAX_KEYS),
                first_seen: LruCache::new(MAX_KEYS),
            }),
            slots: None,
            waited: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// The same limiter, which takes `slots` as long as they can be had.
    pub fn with_slots(self, slots: Box<dyn Slots>) -> Limiter {
        self.lock().slot = Slot::None;
        Limiter { slots: Some(slots), ..self }
    }

    fn reject_at(&self, key: u64, error: &Error, now: Instant) {
        let mut state = self.lock();
        if state.accepted.pop(&key).is_some() {
            return;
        }
        state.rejected.put(key, (now, error.clone()));
        let waits = |waiter: &&mut Waiter| waiter.key == key && waiter.state == Waits::Still;
        for waiter in state.queue.iter_mut().filter(waits) {
            waiter.state = Waits::Rejected(error.clone());
            waiter.thread.unpark();
        }
    }

    /// Takes a place in the queue.
    fn join(&self, key: u64, address: Option<IpAddr>, now: Instant) -> Result<u64> {
        let mut state = self.lock();
        if let Some((at, error)) = state.rejected.get(&key) {
            if now.saturating_duration_since(*at) < REFUSED_FOR {
                return Err(error.clone());
            }
            state.rejected.pop(&key);
        }
        let since = match state.accepted.get(&key) {
            Some(()) => now,
            None => *state.first_seen.get_or_insert(key, || now),
        };
        let ahead = state.ahead(key, address, since);
        let due = match state.slot {
            Slot::At(due) => due.max(now),
            _ => state.next.map_or(now, |next| next.max(now)),
        };
        let slots = state.pace.saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX));
        let wait = (due.duration_since(now).saturating_add(slots)).saturating_sub(self.credit);
        let of = |same: &dyn Fn(&Waiter) -> bool| state.queue.iter().filter(|waiter| same(waiter)).count();
        let is_crowded = of(&|waiter| waiter.key == key) >= MAX_PER_KEY
            || address.is_some() && of(&|waiter| waiter.address == address) >= MAX_PER_ADDRESS;
        if wait > self.max_wait || is_crowded {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(too_many(wait));
        }
        state.tickets += 1;
        let ticket = state.tickets;
        let thread = thread::current();
        state.queue.push(Waiter { ticket, key, address, joined: now, since, state: Waits::Still, thread });
        Ok(ticket)
    }

    /// Gives out the slots that are due, and says how long to wait before the next look: not at all with a slot.
    fn look(&self, ticket: u64, now: Instant) -> Result<Duration> {
        let mut state = self.lock();
        let (wait, next) = self.give_out(&mut state, now);
        let Some(waiter) = state.queue.iter().find(|waiter| waiter.ticket == ticket) else {
            return Ok(Duration::ZERO);
        };
        match &waiter.state {
            Waits::Granted => Ok(Duration::ZERO),
            Waits::Rejected(error) => Err(error.clone()),
            // others of more turns came in between
            Waits::Still if now.saturating_duration_since(waiter.joined) > self.longest() => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(too_many(self.interval))
            }
            // other replicas have taken all slots that it can wait for
            Waits::Still if next == Some(ticket) && self.is_too_late(waiter, now, wait) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(too_many(wait))
            }
            Waits::Still if next == Some(ticket) => Ok(wait.max(Duration::from_millis(1))),
            Waits::Still => Ok(TICK),
        }
    }

    /// Whether a slot that is reserved elsewhere comes too late.
    fn is_too_late(&self, waiter: &Waiter, now: Instant, wait: Duration) -> bool {
        let whole = now.saturating_duration_since(waiter.joined).saturating_add(wait);
        self.slots.is_some() && whole > self.max_wait.saturating_add(Duration::from_secs(1))
    }

    /// After so long a request does not wait any more: it joined with less, and some grace for a busy machine.
    fn longest(&self) -> Duration {
        self.max_wait.saturating_add(self.interval.max(Duration::from_secs(1)))
    }

    /// Reserves a slot for whoever is first, if there is none yet. The lock is not held meanwhile.
    fn reserve(&self) {
        let Some(slots) = &self.slots else { return };
        let mut state = self.lock();
        let is_old = |at: Instant| at.elapsed() > self.interval;
        let is_there = matches!(state.slot, Slot::Asked) || matches!(state.slot, Slot::At(at) if !is_old(at));
        if is_there || state.pick().is_none() {
            return;
        }
        state.slot = Slot::Asked;
        drop(state);
        let wait = slots.reserve();
        let now = Instant::now();
        let mut state = self.lock();
        state.slot = wait.and_then(|wait| now.checked_add(wait)).map_or(Slot::Own, Slot::At);
        if let Some(at) = state.pick() {
            state.queue[at].thread.unpark();
        }
    }

    /// When the next slot falls due; nothing if it has to be reserved first.
    fn due(&self, state: &State, now: Instant) -> Option<Duration> {
        match state.slot {
            Slot::At(due) => Some(due.saturating_duration_since(now)),
            Slot::Own => {
                let due = state.next.unwrap_or(now);
                Some(due.saturating_duration_since(now).saturating_sub(self.credit))
            }
            Slot::None | Slot::Asked => None,
        }
    }

    /// Gives out the slots that are due; returns how long it is to the next, and whose that will be.
    fn give_out(&self, state: &mut State, now: Instant) -> (Duration, Option<u64>) {
        let served = state.served;
        while let Some(at) = state.pick() {
            let wait = self.due(state, now);
            if wait != Some(Duration::ZERO) {
                // whose turn has just become the next wakes up to wait for the very moment, or to reserve the slot
                if state.served != served {
                    state.queue[at].thread.unpark();
                }
                return (wait.unwrap_or(TICK), Some(state.queue[at].ticket));
            }
            let due = state.next.unwrap_or(now);
            // a slot counts from when it was wanted, so that a late look does not slow down those behind it
            let from = due.max(state.queue[at].joined);
            // past the end of the clock there is nothing to wait for; the old slot stays the last
            state.next = Some(from.checked_add(self.interval).unwrap_or(from));
            if self.slots.is_some() {
                state.note_pace(at, now, self.interval);
                state.slot = Slot::None;
            }
            state.serve(at);
        }
        (TICK, None)
    }

    fn leave(&self, ticket: u64) {
        let mut state = self.lock();
        state.queue.retain(|waiter| waiter.ticket != ticket);
        if let Some(at) = state.pick() {
            state.queue[at].thread.unpark();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RateLimiter for Limiter {
    fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let waiting = self.lock().queue.len() as u64;
        Counts { waiting, waited: read(&self.waited), refused: read(&self.refused) }
    }

    fn wait(&self, key: &str, address: Option<IpAddr>, watch: &dyn Fn() -> Result<()>) -> Result<()> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let key = self.hasher.hash_one(key);
        let ticket = self.join(key, address.map(network_of), Instant::now())?;
        let _leaves = Leaves { limiter: self, ticket };
        let mut has_waited = false;
        loop {
            self.reserve();
            // slots are assigned by any thread that checks the queue, so that none depends on a thread that is busy elsewhere
            let wait = match self.look(ticket, Instant::now())? {
                Duration::ZERO => return Ok(()),
                wait => wait,
            };
            if !std::mem::replace(&mut has_waited, true) {
                self.waited.fetch_add(1, Ordering::Relaxed);
            }
            thread::park_timeout(wait.min(TICK));
            watch()?;
        }
    }

    fn accept(&self, key: &str) {
        if self.interval.is_zero() {
            return;
        }
        let (mut state, key) = (self.lock(), self.hasher.hash_one(key));
        state.accepted.put(key, ());
        state.rejected.pop(&key);
        state.first_seen.pop(&key);
    }

    fn reject(&self, key: &str, error: &Error) {
        if !self.interval.is_zero() {
            self.reject_at(self.hasher.hash_one(key), error, Instant::now());
        }
    }
}

/// Takes a request out of the queue, however its wait ends.
struct Leaves<'a> {
    limiter: &'a Limiter,
    ticket: u64,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.limiter.leave(self.ticket);
    }
}

impl State {
    fn lane(&self, key: u64) -> Lane {
        if self.accepted.contains(&key) { Lane::Key(key) } else { Lane::Unknown }
    }

    /// The lane within the key's lane.
    fn inner_lane(&self, key: u64, address: Option<IpAddr>) -> Lane {
        Lane::Address(self.accepted.contains(&key).then_some(key), address)
    }

    /// Who has the next slot: of the lane that has waited longest for a turn, of the address that has, the first.
    fn pick(&self) -> Option<usize> {
        let last = |lane: Lane| self.lanes.peek(&lane).copied().unwrap_or(0);
        let waiting = self.queue.iter().enumerate().filter(|(_, waiter)| waiter.state == Waits::Still);
        let turn = |waiter: &Waiter| {
            let (outer, inner) = (self.lane(waiter.key), self.inner_lane(waiter.key, waiter.address));
            (last(outer), last(inner), waiter.since, waiter.ticket)
        };
        waiting.min_by_key(|(_, waiter)| turn(waiter)).map(|(at, _)| at)
    }

    /// Slots that others take make the own ones rarer.
    fn note_pace(&mut self, at: usize, now: Instant, interval: Duration) {
        let before = self.last.replace(now).filter(|last| self.queue[at].joined <= *last);
        self.pace = match before {
            Some(last) => ((self.pace * 3 + now.saturating_duration_since(last)) / 4).max(interval),
            None => interval,
        };
    }

    fn serve(&mut self, at: usize) {
        self.served += 1;
        let waiter = &mut self.queue[at];
        waiter.state = Waits::Granted;
        waiter.thread.unpark();
        let (key, address) = (waiter.key, waiter.address);
        for lane in [self.lane(key), self.inner_lane(key, address)] {
            self.lanes.put(lane, self.served);
        }
    }

    /// How many slots are given out before a request would have its own, if no other request arrives.
    fn ahead(&self, key: u64, address: Option<IpAddr>, since: Instant) -> usize {
        let (outer, inner) = (self.lane(key), self.inner_lane(key, address));
        let (mut before, mut inside, mut outside) = (0, HashMap::new(), HashMap::new());
        for waiter in self.queue.iter().filter(|waiter| waiter.state == Waits::Still) {
            let lanes = (self.lane(waiter.key), self.inner_lane(waiter.key, waiter.address));
            match lanes {
                (lane, within) if lane == outer && within == inner => {
                    before += usize::from(waiter.since <= since);
                }
                (lane, within) if lane == outer => *inside.entry(within).or_insert(0) += 1,
                (lane, _) => *outside.entry(lane).or_insert(0) += 1,
            }
        }
        // each of the others has at most one turn more than this one
        let turns = |counts: &HashMap<Lane, usize>, own: usize| -> usize {
            counts.values().map(|count| (*count).min(own + 1)).sum()
        };
        let before = before + turns(&inside, before);
        before + turns(&outside, before)
    }
}

fn too_many(wait: Duration) -> Error {
    let message = "this request would wait too long for its turn under RATE_LIMIT_MS; try again later";
    Error::new(Kind::RateLimited, message).retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Joins at `at` and says how long the wait for the slot is, going through time in steps of a millisecond.
    struct Clock {
        limiter: Limiter,
        start: Instant,
    }

    impl Clock {
        fn new(interval: u64, burst: u32, max_wait: u64) -> Clock {
            Clock { limiter: Limiter::new(ms(interval), burst, ms(max_wait)), start: Instant::now() }
        }

        fn join(&self, at: u64, key: u64, address: u8) -> Result<u64> {
            self.limiter.join(key, Some(IpAddr::from([192, 0, 2, address])), self.start + ms(at))
        }

        fn accept(&self, key: u64) {
            self.limiter.lock().accepted.put(key, ());
        }

        /// The tickets that get slots in this time, each with its time, in order; they leave the queue.
        fn run(&self, span: std::ops::RangeInclusive<u64>) -> Vec<(u64, u64)> {
            let mut given = Vec::new();
            for at in span {
                self.limiter.give_out(&mut self.limiter.lock(), self.start + ms(at));
                let granted = |waiter: &&Waiter| waiter.state == Waits::Granted;
                let tickets: Vec<u64> =
                    self.limiter.lock().queue.iter().filter(granted).map(|waiter| waiter.ticket).collect();
                for ticket in tickets {
                    given.push((ticket, at));
                    self.limiter.leave(ticket);
                }
            }
            given
        }
    }

    #[test]
    fn slots_are_an_interval_apart() {
        for (interval, burst, expected) in [
            (100, 1, [0, 100, 200, 300]),
            (100, 0, [0, 100, 200, 300]),
            (100, 3, [0, 0, 0, 100]),
            (7, 2, [0, 0, 7, 14]),
        ] {
            let clock = Clock::new(interval, burst, 10_000);
            for ticket in 1..=4 {
                assert_eq!(clock.join(0, 1, 1), Ok(ticket));
            }
            let times: Vec<u64> = clock.run(0..=1000).into_iter().map(|(_, at)| at).collect();
            assert_eq!(times, expected, "{interval}/{burst}");
        }
    }

    #[test]
    fn a_pause_saves_up_no_more_than_the_burst() {
        let clock = Clock::new(100, 2, 10_000);
        clock.join(0, 1, 1).unwrap();
        assert_eq!(clock.run(0..=0).len(), 1);
        for _ in 0..4 {
            clock.join(9000, 1, 1).unwrap();
        }
        let times: Vec<u64> = clock.run(9000..=9300).into_iter().map(|(_, at)| at).collect();
        assert_eq!(times, [9000, 9000, 9100, 9200]);
    }

    #[test]
    fn a_wait_that_is_too_long_is_rejected_with_retry_after_and_takes_no_slot() {
        let clock = Clock::new(100, 1, 150);
        assert!(clock.join(0, 1, 1).is_ok() && clock.join(0, 1, 1).is_ok());
        for _ in 0..2 {
            let error = clock.join(0, 1, 1).unwrap_err();
            assert_eq!((error.kind, error.retry_after), (Kind::RateLimited, Some(ms(200))));
        }
        assert_eq!(clock.limiter.counts().refused, 2);
        assert_eq!(clock.run(0..=1000), [(1, 0), (2, 100)]);
    }

    #[test]
    fn endless_settings_do_not_overflow() {
        let limiter = Limiter::new(Duration::MAX, u32::MAX, Duration::MAX);
        let never_cancelled = || Ok(());
        assert!(limiter.wait("a", None, &never_cancelled).is_ok());
        assert!(limiter.wait("a", None, &never_cancelled).is_ok());
        assert!(Limiter::new(Duration::ZERO, 1, Duration::ZERO).wait("a", None, &never_cancelled).is_ok());
    }

    #[test]
    fn accepted_keys_take_turns_and_a_flood_of_unknown_ones_has_one_turn_together() {
        let clock = Clock::new(100, 1, 10_000);
        clock.accept(1000);
        clock.accept(2000);
        let flood = (0..130).filter(|key| clock.join(0, *key, 1).is_ok()).count();
        assert!((90..=101).contains(&flood), "as many as fit into the longest wait: {flood}");
        let many: Vec<u64> = (0..20).map(|_| clock.join(1, 2000, 1).unwrap()).collect();
        let good = clock.join(2, 1000, 1).unwrap();
        let given = clock.run(2..=2000);
        let place = given.iter().position(|(ticket, _)| *ticket == good).unwrap();
        assert!(place <= 3, "one turn for the flood, one for the other key: {place}");
        let others = given.iter().filter(|(ticket, _)| many.contains(ticket)).count();
        assert!((9..=11).contains(&others), "half of the rest: {others} of {}", given.len());
    }

    #[test]
    fn unknown_keys_of_one_address_do_not_hold_up_another_address() {
        let clock = Clock::new(100, 1, 10_000);
        (0..130).for_each(|key| drop(clock.join(0, key, 1)));
        let good = clock.join(1, 1000, 2).unwrap();
        let place = clock.run(1..=1000).iter().position(|(ticket, _)| *ticket == good);
        assert!(place.is_some_and(|place| place <= 1), "{place:?}");
    }

    #[test]
    fn an_unknown_key_that_comes_back_is_before_all_that_came_since() {
        let clock = Clock::new(100, 1, 1000);
        let mut key = 0;
        let mut fill = |at| {
            while clock.join(at, key, 1).is_ok() {
                key += 1;
            }
            key += 1;
        };
        fill(0);
        assert!(clock.join(1, 1000, 1).is_err(), "no room at first");
        clock.run(1..=900);
        fill(901);
        let good = clock.join(1000, 1000, 1).expect("those that came since have to stand back");
        assert!(clock.run(1000..=1300).iter().any(|(ticket, _)| *ticket == good));
    }

    #[test]
    fn a_refused_key_waits_for_nothing_and_neither_do_its_others() {
        let clock = Clock::new(100, 1, 10_000);
        let error = Error::new(Kind::Unauthorized, "no such key");
        let (first, second, other) = (clock.join(0, 1, 1), clock.join(0, 1, 1), clock.join(0, 2, 1));
        assert_eq!(clock.limiter.look(first.unwrap(), clock.start), Ok(Duration::ZERO));
        clock.limiter.reject_at(1, &error, clock.start);
        assert_eq!(clock.limiter.look(second.unwrap(), clock.start), Err(error.clone()));
        assert_eq!(clock.join(10, 1, 1), Err(error.clone()));
        assert_eq!(clock.run(10..=110).last().map(|(ticket, _)| *ticket), other.ok(), "it costs no slot");
        assert!(clock.join(REFUSED_FOR.as_millis() as u64, 1, 1).is_ok(), "after a while it may be good");
        // a key that has worked is not locked out by one refusal
        clock.accept(3);
        clock.limiter.reject_at(3, &error, clock.start);
        assert!(clock.join(0, 3, 1).is_ok());
    }

    #[test]
    fn waiters_are_capped_by_key_and_by_address() {
        let clock = Clock::new(1, 1, 1_000_000);
        let of_key = (0..1000).filter(|_| clock.join(0, 1, 1).is_ok()).count();
        let of_address = (0..1000).filter(|key| clock.join(0, 10 + key, 1).is_ok()).count();
        assert_eq!((of_key, of_key + of_address), (MAX_PER_KEY, MAX_PER_ADDRESS));
        assert!(clock.join(0, 2, 2).is_ok());
    }

    #[test]
    fn threads_are_served_in_turn_and_one_that_stops_waiting_holds_up_nobody() {
        let limiter = Limiter::new(ms(5), 1, Duration::from_secs(600));
        let served = AtomicU64::new(0);
        thread::scope(|scope| {
            for number in 0..32 {
                let (limiter, served) = (&limiter, &served);
                scope.spawn(move || {
                    let left = || Err(Error::new(Kind::ClientGone, "left"));
                    let stays = || Ok(());
                    let watch: &dyn Fn() -> Result<()> = if number % 4 == 0 { &left } else { &stays };
                    served.fetch_add(limiter.wait("a", None, watch).is_ok().into(), Ordering::Relaxed);
                });
            }
        });
        assert!(served.into_inner() >= 24);
        assert_eq!(limiter.counts().waiting, 0);
    }
}
