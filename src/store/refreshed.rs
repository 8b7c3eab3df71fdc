//! A value that is fetched when it is needed, kept for a while, and fetched by one caller at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};

/// A value with an age.
#[derive(Debug)]
pub struct Refreshed<T> {
    lifetime: Duration,
    kept: Mutex<Option<(Instant, Arc<T>)>>,
    /// Held by whoever fetches; the others wait for it and find the value, or why there is none.
    fetching: Mutex<Option<(Instant, Error)>>,
}

impl<T> Refreshed<T> {
    /// Nothing yet; a value is as good as new for `lifetime`.
    pub fn new(lifetime: Duration) -> Refreshed<T> {
        Refreshed { lifetime, kept: Mutex::new(None), fetching: Mutex::new(None) }
    }

    /// What is kept, however old.
    pub fn peek(&self) -> Option<Arc<T>> {
        lock(&self.kept).as_ref().map(|(_, value)| Arc::clone(value))
    }

    fn fresh(&self) -> Option<Arc<T>> {
        lock(&self.kept)
            .as_ref()
            .filter(|(since, _)| since.elapsed() < self.lifetime)
            .map(|(_, v)| Arc::clone(v))
    }

    /// The value, fetched if it is too old. An old value is better than an error.
    pub fn get(&self, fetch: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        if let Some(value) = self.fresh() {
            return Ok(value);
        }
        let came = Instant::now();
        let mut failed = lock(&self.fetching);
        // somebody else may have fetched it meanwhile, or tried to: then nobody waits as long once more
        match (self.fresh(), failed.as_ref()) {
            (Some(value), _) => Ok(value),
            (None, Some((when, error))) if *when >= came => self.peek().ok_or_else(|| error.clone()),
            (None, _) => self.fetch(fetch, &mut failed),
        }
    }

    fn fetch(
        &self,
        fetch: impl FnOnce() -> Result<T>,
        failed: &mut Option<(Instant, Error)>,
    ) -> Result<Arc<T>> {
        match fetch() {
            Ok(value) => {
                let value = Arc::new(value);
                *lock(&self.kept) = Some((Instant::now(), Arc::clone(&value)));
                Ok(value)
            }
            Err(error) => {
                // that this caller's client left is no news for the others
                *failed = (error.kind != Kind::ClientGone).then(|| (Instant::now(), error.clone()));
                self.peek().ok_or(error)
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn concurrent_misses_fetch_once() {
        let fetched = AtomicUsize::new(0);
        let value = Refreshed::new(Duration::from_secs(60));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| value.get(|| Ok(fetched.fetch_add(1, Ordering::SeqCst))).unwrap());
            }
        });
        assert_eq!(fetched.into_inner(), 1);
    }

    #[test]
    fn those_who_waited_share_a_failure() {
        let tried = AtomicUsize::new(0);
        let value: Refreshed<usize> = Refreshed::new(Duration::from_secs(60));
        let waiting = std::sync::Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    waiting.wait();
                    let fail = || {
                        tried.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(200));
                        Err(Error::new(Kind::Upstream, "down"))
                    };
                    assert_eq!(value.get(fail).unwrap_err().message, "down");
                });
            }
        });
        assert!(tried.into_inner() < 8);
        assert_eq!(*value.get(|| Ok(1)).unwrap(), 1, "who comes later tries again");
    }

    #[test]
    fn an_old_value_is_better_than_an_error() {
        let value = Refreshed::new(Duration::ZERO);
        let fail = || Err(Error::new(Kind::Upstream, "down"));
        assert!(value.get(fail).is_err());
        assert_eq!(*value.get(|| Ok(1)).unwrap(), 1);
        assert_eq!(*value.get(fail).unwrap(), 1);
    }
}
