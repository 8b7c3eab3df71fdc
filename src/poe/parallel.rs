//! Runs work on other threads while the calling thread can still be cancelled.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, scope};
use std::time::Instant;

use super::transport::{CancelCheck, TICK};
use crate::error::{Error, Kind, Result};

const STACK_BYTES: usize = 1 << 20;
/// How far workers may be ahead of the receiver: what a slow client has not read stays at Poe.
const QUEUE: usize = 16;

/// Does `work` for each job, at most `at_once` side by side, and gives the results in the order of the jobs. When
/// `cancel` ends the wait, the workers' own watches do so too, and its error is every unfinished job's result.
pub fn run_parallel<J: Send, R: Send>(
    jobs: Vec<J>,
    at_once: usize,
    cancel: &CancelCheck,
    work: impl Fn(J, &CancelCheck) -> Result<R> + Sync,
) -> Vec<Result<R>> {
    if jobs.len() <= 1 {
        return jobs.into_iter().map(|job| work(job, cancel)).collect();
    }
    let count = jobs.len();
    let mut results: Vec<Option<Result<R>>> = (0..count).map(|_| None).collect();
    let queue = Mutex::new(jobs.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = |cancel: &CancelCheck, results: &SyncSender<(usize, Result<R>)>| {
        while let Some((index, job)) = next() {
            // the receiver is gone once the wait has been ended
            let _ = results.send((index, work(job, cancel)));
        }
    };
    let ended = fan_in(count.min(at_once), cancel, worker, |(index, result)| {
        results[index] = Some(result);
        Ok(())
    });
    let lost = ended.err().unwrap_or_else(|| Error::new(Kind::Internal, "a worker failed"));
    results.into_iter().map(|result| result.unwrap_or_else(|| Err(lost.clone()))).collect()
}

/// Runs `worker` on `count` threads and hands what they send to `take`, until all are done. An error of `cancel` or of
/// `take` ends the workers' waits.
pub fn fan_in<T: Send>(
    count: usize,
    cancel: &CancelCheck,
    worker: impl Fn(&CancelCheck, &SyncSender<T>) + Sync,
    mut take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = mpsc::sync_channel(QUEUE);
    scope(|scope| {
        let spawn = |_| {
            let (sender, cancelled, worker) = (sender.clone(), Arc::clone(&cancelled), &worker);
            let work = move || worker(&cancel_on_flag(cancelled), &sender);
            let thread =
                Builder::new().name("aside".into()).stack_size(STACK_BYTES).spawn_scoped(scope, work);
            thread
                .map(drop)
                .map_err(|error| Error::new(Kind::Overloaded, format!("cannot start a thread: {error}")))
        };
        let spawned = (0..count).try_for_each(spawn);
        drop(sender);
        let outcome = spawned.and_then(|()| drain(receiver, cancel, &mut take));
        // a worker that is still at it stops at its next look up; the scope waits for it
        cancelled.store(outcome.is_err(), Ordering::Relaxed);
        outcome
    })
}

fn cancel_on_flag(cancelled: Arc<AtomicBool>) -> CancelCheck {
    Rc::new(move || match cancelled.load(Ordering::Relaxed) {
        true => Err(Error::new(Kind::ClientGone, "cancelled")),
        false => Ok(()),
    })
}

/// Takes what the workers send. The receiver ends with this, so that no worker waits for room in the queue.
fn drain<T>(
    receiver: Receiver<T>,
    cancel: &CancelCheck,
    take: &mut impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let mut looked_up = Instant::now();
    loop {
        match receiver.try_recv() {
            Ok(item) => take(item)?,
            Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) => {
                // before every wait, as it sends what is pending
                cancel()?;
                looked_up = Instant::now();
                match receiver.recv_timeout(TICK) {
                    Ok(item) => take(item)?,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
            }
        }
        // busy workers leave no silence to look up in
        if looked_up.elapsed() >= TICK {
            cancel()?;
            looked_up = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn jobs_run_side_by_side_and_results_keep_their_order() {
        let never_cancelled: CancelCheck = Rc::new(|| Ok(()));
        let barrier = Barrier::new(3); // opens only when three run at once
        let results = run_parallel(vec![1, 2, 3], 3, &never_cancelled, |job, _| {
            barrier.wait();
            if job == 2 { Err(Error::new(Kind::Upstream, "two")) } else { Ok(job * 10) }
        });
        let results: Vec<_> =
            results.into_iter().map(|result| result.map_err(|error| error.message)).collect();
        assert_eq!(results, [Ok(10), Err("two".into()), Ok(30)]);
    }

    #[test]
    fn the_watch_ends_everybody() {
        let cancel: CancelCheck = Rc::new(|| Err(Error::new(Kind::ClientGone, "left")));
        let results = run_parallel(vec![1, 2], 2, &cancel, |_, cancel| -> Result<()> {
            loop {
                cancel()?;
                std::thread::yield_now();
            }
        });
        assert!(results.iter().all(|result| result.as_ref().unwrap_err().kind == Kind::ClientGone));
    }
}
