//! Pool of threads for connections: started on demand, reused, ended after idling.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::budget;

/// What a thread does once.
pub type Job = Box<dyn FnOnce() + Send>;

/// Enough for a TLS handshake, and for JSON and its schema at their deepest in a debug build. Only what is touched costs memory.
const STACK_BYTES: usize = 1 << 20;
/// How long a thread waits for its next connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// A pool without a bound of its own: a caller of [`Pool::run`] holds a slot, and slots are bounded.
#[derive(Clone, Default)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    idle: usize,
}

impl Pool {
    /// Runs `job` on an idle thread or on a new one. An error says that no thread could be made; the job is gone.
    pub fn run(&self, job: Job) -> io::Result<()> {
        let mut state = self.shared.lock();
        // every waiting job needs a waiting thread of its own, or it would wait for another client's end
        if state.idle > state.queue.len() {
            state.queue.push_back(job);
            self.shared.wake.notify_one();
            return Ok(());
        }
        drop(state);
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("connection".into()).stack_size(STACK_BYTES);
        thread.spawn(move || shared.work(job)).map(drop)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            job();
            next = self.wait();
        }
        budget::note_idle_thread();
    }

    fn wait(&self) -> Option<Job> {
        let mut state = self.lock();
        state.idle += 1;
        let empty = |state: &mut State| state.queue.is_empty();
        let (mut state, _) =
            self.wake.wait_timeout_while(state, IDLE_TIMEOUT, empty).unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        state.queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::sync::mpsc;
    use std::time::Instant;

    const COUNT: usize = 8;

    #[test]
    fn a_burst_starts_all_at_once_and_threads_are_used_again() {
        let pool = Pool::default();
        let burst = || {
            // the barrier opens only when all run at the same time
            let barrier = Arc::new(Barrier::new(COUNT));
            let (done, all) = mpsc::channel();
            for _ in 0..COUNT {
                let (barrier, done) = (Arc::clone(&barrier), done.clone());
                let job = move || {
                    barrier.wait();
                    done.send(thread::current().id()).unwrap();
                };
                pool.run(Box::new(job)).unwrap();
            }
            drop(done);
            let threads: HashSet<_> = all.iter().collect();
            assert_eq!(threads.len(), COUNT);
            let limit = Instant::now() + IDLE_TIMEOUT / 2;
            while pool.shared.lock().idle < COUNT {
                assert!(Instant::now() < limit, "threads do not wait for more work");
                thread::sleep(Duration::from_millis(1));
            }
            threads
        };
        let first = burst();
        assert_eq!([burst(), burst()], [first.clone(), first]);
    }
}
