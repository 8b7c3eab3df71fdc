//! Cached value that one caller at a time fetches, and that is kept at any age.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};

/// How often a caller that waits for another's fetch looks whether it still must.
const TICK: Duration = Duration::from_millis(500);

/// A cached value with at most one fetch running.
#[derive(Debug)]
pub struct SingleFlight<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    kept: Option<Arc<T>>,
    fetch: Fetch,
}

/// How the last fetch went.
#[derive(Debug, Clone)]
enum Fetch {
    Never,
    Running,
    Done,
    Failed(Error),
}

impl<T> Default for SingleFlight<T> {
    fn default() -> SingleFlight<T> {
        SingleFlight { state: Mutex::new(State { kept: None, fetch: Fetch::Never }), changed: Condvar::new() }
    }
}

impl<T> SingleFlight<T> {
    /// With a value from elsewhere, which a fetch will replace.
    pub fn holding(value: T) -> SingleFlight<T> {
        let state = State { kept: Some(Arc::new(value)), fetch: Fetch::Never };
        SingleFlight { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// What is kept, however old.
    pub fn peek(&self) -> Option<Arc<T>> {
        self.lock().kept.clone()
    }

    /// What is kept, however old; only while there is nothing, what `fetch` brings, or the fetch that is under way.
    /// `watch` is called now and then while waiting for that one; its error ends the wait.
    pub fn get(&self, watch: &dyn Fn() -> Result<()>, fetch: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut state = self.lock();
        let mut waited = false;
        loop {
            match (&state.kept, &state.fetch) {
                (Some(value), _) => return Ok(Arc::clone(value)),
                // no caller waits for the same failure twice
                (None, Fetch::Failed(error)) if waited && !error.is_withdrawn() => {
                    return Err(error.clone());
                }
                (None, Fetch::Running) => {
                    waited = true;
                    state = self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
                    watch()?;
                }
                (None, _) => break,
            }
        }
        // marked under the same lock, so that no other caller begins one too
        state.fetch = Fetch::Running;
        drop(state);
        self.run(fetch)
    }

    /// What is kept, however old; only until `deadline`, what the first fetch of all brings. `watch` as in
    /// [`SingleFlight::get`].
    pub fn first(&self, deadline: Instant, watch: &dyn Fn() -> Result<()>) -> Result<Option<Arc<T>>> {
        let mut state = self.lock();
        while state.kept.is_none() && matches!(state.fetch, Fetch::Never | Fetch::Running) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state =
                self.changed.wait_timeout(state, left.min(TICK)).unwrap_or_else(PoisonError::into_inner).0;
            watch()?;
        }
        Ok(state.kept.clone())
    }

    /// Fetches anew. What is kept stays if that fails.
    pub fn refresh(&self, fetch: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        self.lock().fetch = Fetch::Running;
        self.run(fetch)
    }

    /// Does a fetch that is marked as running.
    fn run(&self, fetch: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let unfinished = Unfinished(self);
        let outcome = fetch().map(Arc::new);
        std::mem::forget(unfinished);
        let mut state = self.lock();
        match &outcome {
            Ok(value) => (state.kept, state.fetch) = (Some(Arc::clone(value)), Fetch::Done),
            Err(error) => state.fetch = Fetch::Failed(error.clone()),
        }
        self.changed.notify_all();
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks a fetch that panics as failed, so that no caller waits for it.
struct Unfinished<'a, T>(&'a SingleFlight<T>);

impl<T> Drop for Unfinished<'_, T> {
    fn drop(&mut self) {
        self.0.lock().fetch = Fetch::Failed(Error::new(Kind::Internal, "a fetch failed"));
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    fn down() -> Result<usize> {
        Err(Error::new(Kind::Upstream, "down"))
    }

    #[test]
    fn concurrent_misses_fetch_once() {
        let fetched = AtomicUsize::new(0);
        let value = SingleFlight::default();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| value.get(&|| Ok(()), || Ok(fetched.fetch_add(1, Ordering::SeqCst))).unwrap());
            }
        });
        assert_eq!(fetched.into_inner(), 1);
        assert!(value.get(&|| Ok(()), || panic!("it is there")).is_ok());
    }

    #[test]
    fn an_old_value_is_better_than_an_error_and_than_a_wait() {
        let value = SingleFlight::default();
        assert!(value.get(&|| Ok(()), down).is_err());
        assert_eq!(*value.get(&|| Ok(()), || Ok(1)).unwrap(), 1);
        assert!(value.refresh(down).is_err());
        assert_eq!(*value.get(&|| Ok(()), down).unwrap(), 1);
    }

    #[test]
    fn who_waits_for_anothers_fetch_shares_its_failure_and_may_leave() {
        let value = SingleFlight::default();
        let (begun, is_begun) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let value = &value;
            scope.spawn(move || {
                let fetch = || {
                    begun.send(()).unwrap();
                    may_go.recv().unwrap();
                    down()
                };
                assert!(value.refresh(fetch).is_err());
            });
            is_begun.recv().unwrap();
            let left = value.get(&|| Err(Error::new(Kind::ClientGone, "left")), || panic!("a second fetch"));
            assert_eq!(left.unwrap_err().kind, Kind::ClientGone);
            let looks = AtomicUsize::new(0);
            let go = &go;
            let watch = || {
                if looks.fetch_add(1, Ordering::SeqCst) == 0 {
                    go.send(()).unwrap();
                }
                Ok(())
            };
            assert_eq!(value.get(&watch, || panic!("a second fetch")).unwrap_err().message, "down");
        });
    }
}
