//! One request per interval for the whole server: a token bucket that states callers how long to wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A token bucket. The lock is held only to take a slot; whoever took one waits outside.
#[derive(Debug)]
pub struct Limiter {
    interval: Duration,
    /// How far ahead of the clock slots may be given out without a wait.
    credit: Duration,
    max_wait: Duration,
    /// When the slot after the last one given out falls due, at one per interval; `None` before the first.
    next: Mutex<Option<Instant>>,
    waiting: AtomicU64,
    waited: AtomicU64,
    refused: AtomicU64,
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

/// Somebody who waits for a slot; until dropped.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Limiter);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limiter {
    /// One slot per `interval`, up to `burst` (at least 1) at once after a pause; nobody waits longer than
    /// `max_wait`. An interval of zero switches the limiter off.
    pub fn new(interval: Duration, burst: u32, max_wait: Duration) -> Limiter {
        let credit = interval.saturating_mul(burst.saturating_sub(1));
        Limiter {
            interval,
            credit,
            max_wait,
            next: Mutex::new(None),
            waiting: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Counts a wait for a slot.
    pub fn wait(&self) -> Waiting<'_> {
        self.waited.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// How it did so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { waiting: read(&self.waiting), waited: read(&self.waited), refused: read(&self.refused) }
    }

    /// Takes the next slot at the time `now`: `Ok` with how long to wait for it. If that would be too long, takes none:
    /// `Err` with the time after which a new try would not have to wait, if nobody else comes.
    pub fn take(&self, now: Instant) -> Result<Duration, Duration> {
        if self.interval.is_zero() {
            return Ok(Duration::ZERO);
        }
        // A panic elsewhere cannot leave an instant half written.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let due = next.map_or(now, |next| next.max(now));
        let wait = due.duration_since(now).saturating_sub(self.credit);
        if wait > self.max_wait {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(wait);
        }
        // Past the end of the clock there is nothing to wait for; the old slot stays the last.
        *next = Some(due.checked_add(self.interval).unwrap_or(due));
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn slots_are_an_interval_apart() {
        // (interval, burst, max_wait, takes as (at, expected)); all in ms
        type Take = (u64, Result<u64, u64>);
        let cases: &[(u64, u32, u64, &[Take])] = &[
            (0, 1, 0, &[(0, Ok(0)), (0, Ok(0)), (0, Ok(0))]),
            (100, 1, 1000, &[(0, Ok(0)), (0, Ok(100)), (0, Ok(200)), (50, Ok(250))]),
            (100, 1, 1000, &[(0, Ok(0)), (100, Ok(0)), (150, Ok(50)), (900, Ok(0)), (900, Ok(100))]),
            (100, 3, 1000, &[(0, Ok(0)), (0, Ok(0)), (0, Ok(0)), (0, Ok(100)), (0, Ok(200))]),
            // The bucket never holds more than the burst, however long the pause.
            (100, 2, 1000, &[(0, Ok(0)), (9000, Ok(0)), (9000, Ok(0)), (9000, Ok(100)), (9150, Ok(50))]),
            // A refused take takes no slot.
            (
                100,
                1,
                150,
                &[(0, Ok(0)), (0, Ok(100)), (0, Err(200)), (0, Err(200)), (50, Ok(150)), (50, Err(250))],
            ),
            (100, 1, 0, &[(0, Ok(0)), (99, Err(1)), (100, Ok(0))]),
            (100, 0, 1000, &[(0, Ok(0)), (0, Ok(100))]),
        ];
        for (interval, burst, max_wait, takes) in cases {
            let limiter = Limiter::new(ms(*interval), *burst, ms(*max_wait));
            let start = Instant::now();
            for (step, (at, expected)) in takes.iter().enumerate() {
                let found = limiter.take(start + ms(*at));
                assert_eq!(
                    found,
                    expected.map(ms).map_err(ms),
                    "step {step} of {interval}/{burst}/{max_wait}"
                );
            }
        }
    }

    #[test]
    fn a_clock_read_earlier_waits_longer() {
        let limiter = Limiter::new(ms(100), 1, ms(1000));
        let start = Instant::now();
        assert_eq!(limiter.take(start + ms(30)), Ok(ms(0)));
        assert_eq!(limiter.take(start), Ok(ms(130)));
    }

    #[test]
    fn endless_settings_do_not_overflow() {
        let limiter = Limiter::new(Duration::MAX, u32::MAX, Duration::MAX);
        let now = Instant::now();
        assert_eq!(limiter.take(now), Ok(Duration::ZERO));
        assert_eq!(limiter.take(now), Ok(Duration::ZERO));
    }

    #[test]
    fn threads_that_come_at_once_are_served_in_a_row() {
        const THREADS: u32 = 64;
        let limiter = Limiter::new(ms(100), 1, Duration::MAX);
        let now = Instant::now();
        let mut waits: Vec<Duration> = thread::scope(|scope| {
            let takers: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| limiter.take(now).unwrap())).collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).collect()
        });
        waits.sort();
        let expected: Vec<Duration> = (0..THREADS).map(|k| ms(100) * k).collect();
        assert_eq!(waits, expected);
    }
}
