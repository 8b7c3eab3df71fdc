//! Who is connected, doing what, and who must leave when the server is full or closes.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who leaves first when the server is full, and how long each may take before that.
const EVICTION_ORDER: [(Phase, Duration); 3] = [
    (Phase::Idle, Duration::ZERO),
    (Phase::Reading, Duration::from_secs(1)),
    (Phase::Receiving, Duration::from_secs(10)),
];
/// How long a head may still take once the server closes.
const HEAD_GRACE: Duration = Duration::from_millis(500);

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for another request, or for the client to hang up.
    Idle,
    /// Waiting for the rest of a head, or for the first byte of all.
    Reading,
    /// Waiting for the rest of a body.
    Receiving,
    /// Being answered.
    Answering,
    /// Told to leave.
    Evicted,
}

/// One connection's place.
#[derive(Debug)]
pub struct ConnectionSlot {
    number: u64,
    socket: Arc<TcpStream>,
    phase: Mutex<(Phase, Instant)>,
    slots: Arc<ConnectionSlots>,
}

impl ConnectionSlot {
    /// The connection itself.
    pub fn socket(&self) -> &Arc<TcpStream> {
        &self.socket
    }

    /// Enters `phase`; false when the connection has been sent to leave.
    pub fn enter(&self, phase: Phase) -> bool {
        let mut now = lock(&self.phase);
        if now.0 == Phase::Evicted {
            return false;
        }
        *now = (phase, Instant::now());
        true
    }

    /// Wakes whoever reads a request's body: nothing more of it comes.
    pub fn stop_receiving(&self) {
        if lock(&self.phase).0 == Phase::Receiving {
            let _ = self.socket.shutdown(Shutdown::Read);
        }
    }

    /// All places of the server.
    pub fn slots(&self) -> &ConnectionSlots {
        &self.slots
    }

    /// Whether the connection has been sent to leave.
    pub fn is_evicted(&self) -> bool {
        lock(&self.phase).0 == Phase::Evicted
    }
}

/// A place that is given back when dropped.
#[derive(Debug)]
pub struct Taken(Arc<ConnectionSlot>);

impl std::ops::Deref for Taken {
    type Target = Arc<ConnectionSlot>;

    fn deref(&self) -> &Arc<ConnectionSlot> {
        &self.0
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let slots = &self.0.slots;
        let mut inner = lock(&slots.inner);
        if inner.occupied.remove(&self.0.number).is_some() && self.0.is_evicted() {
            inner.leaving -= 1;
        }
        slots.vacated.notify_all();
    }
}

/// All places.
#[derive(Debug)]
pub struct ConnectionSlots {
    limit: usize,
    inner: Mutex<Inner>,
    vacated: Condvar,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    occupied: HashMap<u64, Arc<ConnectionSlot>>,
    /// Evicted, but not gone yet: they hold no place any more.
    leaving: usize,
}

impl ConnectionSlots {
    /// `limit` places.
    pub fn new(limit: usize) -> Arc<ConnectionSlots> {
        Arc::new(ConnectionSlots {
            limit,
            inner: Mutex::default(),
            vacated: Condvar::new(),
            refused: AtomicU64::new(0),
        })
    }

    /// A place for `socket`. When none is free the connection that has idled longest leaves, or else one whose
    /// request takes too long to arrive; `Err` gives the socket back when nobody can be asked to leave.
    pub fn take(self: &Arc<Self>, socket: TcpStream) -> Result<Taken, TcpStream> {
        let mut inner = lock(&self.inner);
        if inner.occupied.len() - inner.leaving >= self.limit && !inner.evict_one() {
            return Err(socket);
        }
        inner.next += 1;
        let slot = Arc::new(ConnectionSlot {
            number: inner.next,
            socket: Arc::new(socket),
            phase: Mutex::new((Phase::Reading, Instant::now())),
            slots: Arc::clone(self),
        });
        inner.occupied.insert(slot.number, Arc::clone(&slot));
        Ok(Taken(slot))
    }

    /// How many connections there are.
    pub fn occupied(&self) -> usize {
        lock(&self.inner).occupied.len()
    }

    /// How many were turned away so far.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// One more was turned away.
    pub fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets the connection that has idled longest leave, to free its descriptor.
    pub fn evict_one(&self) -> bool {
        lock(&self.inner).evict_one()
    }

    /// Lets everybody leave who is not in the middle of a request; in the end, all that are not being answered.
    pub fn evict_idle(&self, shutdown_phase: ShutdownPhase) {
        let mut inner = lock(&self.inner);
        let occupied: Vec<_> = inner.occupied.values().cloned().collect();
        for slot in occupied {
            inner.evict(&slot, |phase, since| match phase {
                Phase::Idle => true,
                Phase::Reading => since.elapsed() >= HEAD_GRACE,
                Phase::Receiving => shutdown_phase == ShutdownPhase::Ending,
                Phase::Answering | Phase::Evicted => false,
            });
        }
    }

    /// Waits until every place is free, at most until `deadline`; says whether they are.
    pub fn wait_empty(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let taken = |inner: &mut Inner| !inner.occupied.is_empty();
        let waited = self.vacated.wait_timeout_while(lock(&self.inner), left, taken);
        waited.unwrap_or_else(PoisonError::into_inner).0.occupied.is_empty()
    }
}

impl Inner {
    fn evict_one(&mut self) -> bool {
        EVICTION_ORDER.iter().any(|&(phase, patience)| match self.oldest(phase, patience) {
            Some(slot) => self.evict(&slot, |now, _| now == phase),
            None => false,
        })
    }

    /// The connection that has been in `wanted` longest, and for `patience` at least.
    fn oldest(&self, wanted: Phase, patience: Duration) -> Option<Arc<ConnectionSlot>> {
        let waiting = self.occupied.values().filter_map(|slot| {
            let (phase, since) = *lock(&slot.phase);
            (phase == wanted && since.elapsed() >= patience).then_some((since, slot))
        });
        waiting.min_by_key(|(since, _)| *since).map(|(_, slot)| Arc::clone(slot))
    }

    fn evict(&mut self, slot: &ConnectionSlot, evicted_after: impl Fn(Phase, Instant) -> bool) -> bool {
        let mut now = lock(&slot.phase);
        if !evicted_after(now.0, now.1) {
            return false;
        }
        now.0 = Phase::Evicted;
        self.leaving += 1;
        // wakes the thread that reads; it may still say why before it closes
        let _ = slot.socket.shutdown(Shutdown::Read);
        true
    }
}

/// How far a server is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub enum ShutdownPhase {
    /// Serving.
    On = 0,
    /// No new connections; running answers finish.
    Draining = 1,
    /// The grace period is over: running answers end now.
    Ending = 2,
}

/// Ends a server from any thread.
#[derive(Debug, Clone)]
pub struct Stop {
    shared: Arc<StopShared>,
}

#[derive(Debug)]
struct StopShared {
    shutdown_phase: AtomicU8,
    waker: UnixStream,
    woken: UnixStream,
}

impl Stop {
    /// A stop that has not been asked for.
    pub fn new() -> io::Result<Stop> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        let shared = StopShared { shutdown_phase: AtomicU8::new(0), waker, woken };
        Ok(Stop { shared: Arc::new(shared) })
    }

    /// How far the server is.
    pub fn shutdown_phase(&self) -> ShutdownPhase {
        match self.shared.shutdown_phase.load(Ordering::Relaxed) {
            0 => ShutdownPhase::On,
            1 => ShutdownPhase::Draining,
            _ => ShutdownPhase::Ending,
        }
    }

    /// Moves on to `shutdown_phase`; never back.
    pub fn go(&self, shutdown_phase: ShutdownPhase) {
        self.shared.shutdown_phase.fetch_max(shutdown_phase as u8, Ordering::Relaxed);
        // a full pipe has woken the listener already
        let _ = io::Write::write(&mut &self.shared.waker, b"!");
    }

    /// Becomes readable when the server shall stop.
    pub(crate) fn woken(&self) -> &UnixStream {
        &self.shared.woken
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    fn sockets(count: usize) -> Vec<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pair = |_| {
            let client = TcpStream::connect(address).unwrap();
            (client, listener.accept().unwrap().0)
        };
        (0..count).map(pair).collect()
    }

    #[test]
    fn a_full_house_lets_the_longest_idle_leave_and_never_one_that_is_answered() {
        let slots = ConnectionSlots::new(2);
        let mut pairs = sockets(4).into_iter().map(|(client, server)| {
            std::mem::forget(client); // stays connected
            server
        });
        let busy = slots.take(pairs.next().unwrap()).unwrap();
        assert!(busy.enter(Phase::Answering));
        let idle = slots.take(pairs.next().unwrap()).unwrap();
        assert!(idle.enter(Phase::Idle));
        let third = slots.take(pairs.next().unwrap()).unwrap();
        assert!(idle.is_evicted() && !busy.is_evicted());
        assert_eq!((&**idle.socket()).read(&mut [0]).unwrap(), 0, "its thread wakes up");
        assert!(!idle.enter(Phase::Reading), "and learns that it must leave");
        assert!(third.enter(Phase::Answering));
        let refused = slots.take(pairs.next().unwrap()).unwrap_err();
        drop(idle);
        assert!(slots.take(refused).is_err(), "an evicted place is not free twice");
        assert!(!slots.wait_empty(Instant::now()));
        drop((busy, third));
        assert!(slots.wait_empty(Instant::now()));
    }

    #[test]
    fn a_stop_only_moves_on() {
        let stop = Stop::new().unwrap();
        assert_eq!(stop.shutdown_phase(), ShutdownPhase::On);
        stop.go(ShutdownPhase::Ending);
        stop.go(ShutdownPhase::Draining);
        assert_eq!(stop.shutdown_phase(), ShutdownPhase::Ending);
    }
}
