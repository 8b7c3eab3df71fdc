//! Who is connected, doing what, and who must leave when the house is full or closes.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who leaves first when the house is full, and how long each may take before that.
const LEAVES_FIRST: [(Phase, Duration); 3] = [
    (Phase::Idle, Duration::ZERO),
    (Phase::Reading, Duration::from_secs(1)),
    (Phase::Receiving, Duration::from_secs(10)),
];
/// How long a head may still take once the house closes.
const LAST_CALL: Duration = Duration::from_millis(500);

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
pub struct Seat {
    number: u64,
    socket: Arc<TcpStream>,
    phase: Mutex<(Phase, Instant)>,
    seats: Arc<Seats>,
}

impl Seat {
    /// The connection itself.
    pub fn socket(&self) -> &Arc<TcpStream> {
        &self.socket
    }

    /// Enters `phase`; false when the connection has been told to leave.
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

    /// All places of the house.
    pub fn seats(&self) -> &Seats {
        &self.seats
    }

    /// Whether the connection has been told to leave.
    pub fn is_evicted(&self) -> bool {
        lock(&self.phase).0 == Phase::Evicted
    }
}

/// A place that is given back when dropped.
#[derive(Debug)]
pub struct Taken(Arc<Seat>);

impl std::ops::Deref for Taken {
    type Target = Arc<Seat>;

    fn deref(&self) -> &Arc<Seat> {
        &self.0
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let seats = &self.0.seats;
        let mut inner = lock(&seats.inner);
        if inner.seated.remove(&self.0.number).is_some() && self.0.is_evicted() {
            inner.leaving -= 1;
        }
        seats.vacated.notify_all();
    }
}

/// All places.
#[derive(Debug)]
pub struct Seats {
    limit: usize,
    inner: Mutex<Inner>,
    vacated: Condvar,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    seated: HashMap<u64, Arc<Seat>>,
    /// Evicted, but not gone yet: they hold no place any more.
    leaving: usize,
}

impl Seats {
    /// `limit` places.
    pub fn new(limit: usize) -> Arc<Seats> {
        Arc::new(Seats {
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
        if inner.seated.len() - inner.leaving >= self.limit && !inner.evict_one() {
            return Err(socket);
        }
        inner.next += 1;
        let seat = Arc::new(Seat {
            number: inner.next,
            socket: Arc::new(socket),
            phase: Mutex::new((Phase::Reading, Instant::now())),
            seats: Arc::clone(self),
        });
        inner.seated.insert(seat.number, Arc::clone(&seat));
        Ok(Taken(seat))
    }

    /// How many connections there are.
    pub fn seated(&self) -> usize {
        lock(&self.inner).seated.len()
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
    pub fn evict_idle(&self, going: Going) {
        let mut inner = lock(&self.inner);
        let seated: Vec<_> = inner.seated.values().cloned().collect();
        for seat in seated {
            inner.evict(&seat, |phase, since| match phase {
                Phase::Idle => true,
                Phase::Reading => since.elapsed() >= LAST_CALL,
                Phase::Receiving => going == Going::Ending,
                Phase::Answering | Phase::Evicted => false,
            });
        }
    }

    /// Waits until every place is free, at most until `deadline`; says whether they are.
    pub fn wait_empty(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let taken = |inner: &mut Inner| !inner.seated.is_empty();
        let waited = self.vacated.wait_timeout_while(lock(&self.inner), left, taken);
        waited.unwrap_or_else(PoisonError::into_inner).0.seated.is_empty()
    }
}

impl Inner {
    fn evict_one(&mut self) -> bool {
        LEAVES_FIRST.iter().any(|&(phase, patience)| match self.oldest(phase, patience) {
            Some(seat) => self.evict(&seat, |now, _| now == phase),
            None => false,
        })
    }

    /// The connection that has been in `wanted` longest, and for `patience` at least.
    fn oldest(&self, wanted: Phase, patience: Duration) -> Option<Arc<Seat>> {
        let waiting = self.seated.values().filter_map(|seat| {
            let (phase, since) = *lock(&seat.phase);
            (phase == wanted && since.elapsed() >= patience).then_some((since, seat))
        });
        waiting.min_by_key(|(since, _)| *since).map(|(_, seat)| Arc::clone(seat))
    }

    fn evict(&mut self, seat: &Seat, leaves: impl Fn(Phase, Instant) -> bool) -> bool {
        let mut now = lock(&seat.phase);
        if !leaves(now.0, now.1) {
            return false;
        }
        now.0 = Phase::Evicted;
        self.leaving += 1;
        // wakes the thread that reads; it may still say why before it closes
        let _ = seat.socket.shutdown(Shutdown::Read);
        true
    }
}

/// How far a server is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub enum Going {
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
    going: AtomicU8,
    waker: UnixStream,
    woken: UnixStream,
}

impl Stop {
    /// A stop that has not been asked for.
    pub fn new() -> io::Result<Stop> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        let shared = StopShared { going: AtomicU8::new(0), waker, woken };
        Ok(Stop { shared: Arc::new(shared) })
    }

    /// How far the server is.
    pub fn going(&self) -> Going {
        match self.shared.going.load(Ordering::Relaxed) {
            0 => Going::On,
            1 => Going::Draining,
            _ => Going::Ending,
        }
    }

    /// Moves on to `going`; never back.
    pub fn go(&self, going: Going) {
        self.shared.going.fetch_max(going as u8, Ordering::Relaxed);
        // a full pipe has woken the listener already
        let _ = io::Write::write(&mut &self.shared.waker, b"!");
    }

    /// Becomes readable when the server shall stop.
    pub(super) fn woken(&self) -> &UnixStream {
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
        let seats = Seats::new(2);
        let mut pairs = sockets(4).into_iter().map(|(client, server)| {
            std::mem::forget(client); // stays connected
            server
        });
        let busy = seats.take(pairs.next().unwrap()).unwrap();
        assert!(busy.enter(Phase::Answering));
        let idle = seats.take(pairs.next().unwrap()).unwrap();
        assert!(idle.enter(Phase::Idle));
        let third = seats.take(pairs.next().unwrap()).unwrap();
        assert!(idle.is_evicted() && !busy.is_evicted());
        assert_eq!((&**idle.socket()).read(&mut [0]).unwrap(), 0, "its thread wakes up");
        assert!(!idle.enter(Phase::Reading), "and learns that it must leave");
        assert!(third.enter(Phase::Answering));
        let refused = seats.take(pairs.next().unwrap()).unwrap_err();
        drop(idle);
        assert!(seats.take(refused).is_err(), "an evicted place is not free twice");
        assert!(!seats.wait_empty(Instant::now()));
        drop((busy, third));
        assert!(seats.wait_empty(Instant::now()));
    }

    #[test]
    fn a_stop_only_moves_on() {
        let stop = Stop::new().unwrap();
        assert_eq!(stop.going(), Going::On);
        stop.go(Going::Ending);
        stop.go(Going::Draining);
        assert_eq!(stop.going(), Going::Ending);
    }
}
