//! Registry of open connections; evicts idle ones when the limit is reached.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::state::login_throttle::network_of;

/// Who leaves first when the server is full, and how long each may take before that. For [`Phase::Sending`] it is the
/// lag that counts, so the slowest leaves first.
const EVICTION_ORDER: [(Phase, Duration); 4] = [
    (Phase::Idle, Duration::ZERO),
    (Phase::Reading, Duration::from_secs(1)),
    (Phase::Receiving, Duration::from_secs(10)),
    (Phase::Sending, Duration::from_secs(5)),
];
/// How long a head may still take once the server closes.
const HEAD_GRACE: Duration = Duration::from_millis(500);

/// How much one server takes on, and how long it waits.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most connections at a time.
    pub connections: usize,
    /// The most connections from one client address; 0 for any number.
    pub connections_per_client: usize,
    /// For a whole head, from its first byte.
    pub head_timeout: Duration,
    /// For a connection that waits for its next request.
    pub idle_timeout: Duration,
    /// A body's grace before it must keep to a minimum rate.
    pub body_timeout: Duration,
    /// The same for the client that takes an answer.
    pub send_timeout: Duration,
    /// For load balancers to go elsewhere, once the server shall stop, before connections are refused.
    pub leave: Duration,
    /// For running answers after that.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let seconds = Duration::from_secs;
        Limits {
            connections: 1024,
            connections_per_client: 0,
            head_timeout: seconds(15),
            idle_timeout: seconds(75),
            body_timeout: seconds(30),
            send_timeout: seconds(60),
            leave: seconds(0),
            grace: seconds(20),
        }
    }
}

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
    /// Being answered, and the client does not take what is sent.
    Sending,
    /// Evicted: the connection has to close.
    Evicted,
}

/// One connection's place.
#[derive(Debug)]
pub struct ConnectionSlot {
    number: u64,
    socket: Arc<TcpStream>,
    /// The client's network, while connections are counted for each.
    client: Option<IpAddr>,
    phase: Mutex<(Phase, Instant)>,
    /// By how many milliseconds the client is behind the minimum rate. Only the connection's own thread writes it.
    lag: AtomicU64,
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

    /// A write blocks; false when the connection has been sent to leave.
    pub fn block(&self) -> bool {
        let mut now = lock(&self.phase);
        if now.0 == Phase::Evicted {
            return false;
        }
        let start = Instant::now().checked_sub(Duration::from_millis(self.lag.load(Ordering::Relaxed)));
        *now = (Phase::Sending, start.unwrap_or_else(Instant::now));
        true
    }

    /// The blocked write is over.
    pub fn unblock(&self) {
        self.enter(Phase::Answering);
    }

    /// Adds to the time by which the client is behind; returns all of it.
    pub fn add_lag(&self, time: Duration) -> Duration {
        let lag = self.lag.load(Ordering::Relaxed) + u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.lag.store(lag, Ordering::Relaxed);
        Duration::from_millis(lag)
    }

    /// Takes from the time by which the client is behind.
    pub fn reduce_lag(&self, time: Duration) {
        let lag = self.lag.load(Ordering::Relaxed);
        if lag > 0 {
            let left = lag.saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            self.lag.store(left, Ordering::Relaxed);
        }
    }

    /// Wakes the thread that reads a request's body: nothing more of it arrives.
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

/// Why a connection was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All places are taken.
    Server,
    /// The client's address has as many connections as one may have.
    Client,
}

/// All places.
#[derive(Debug)]
pub struct ConnectionSlots {
    limit: usize,
    limit_per_client: usize,
    send_timeout: Duration,
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
    /// As many places as `limits` say.
    pub fn new(limits: &Limits) -> Arc<ConnectionSlots> {
        Arc::new(ConnectionSlots {
            limit: limits.connections,
            limit_per_client: limits.connections_per_client,
            send_timeout: limits.send_timeout,
            inner: Mutex::default(),
            vacated: Condvar::new(),
            refused: AtomicU64::new(0),
        })
    }

    /// A place for `socket`, which connects from `address`. When none is free, connections that their clients have
    /// closed make room, or else the one that has idled longest, or one that is too slow; `Err` gives the socket back
    /// when no connection can be evicted.
    pub fn take(self: &Arc<Self>, socket: TcpStream, address: IpAddr) -> Result<Taken, (TcpStream, Full)> {
        let client = (self.limit_per_client > 0).then(|| network_of(address));
        let mut inner = lock(&self.inner);
        let of_client = |slot: &ConnectionSlot| client.is_some() && slot.client == client;
        if client.is_some()
            && inner.occupied.values().filter(|slot| of_client(slot) && !slot.is_evicted()).count()
                >= self.limit_per_client
            && !inner.make_room(of_client)
        {
            return Err((socket, Full::Client));
        }
        if inner.occupied.len() - inner.leaving >= self.limit && !inner.make_room(|_| true) {
            return Err((socket, Full::Server));
        }
        inner.next += 1;
        let slot = Arc::new(ConnectionSlot {
            number: inner.next,
            socket: Arc::new(socket),
            client,
            phase: Mutex::new((Phase::Reading, Instant::now())),
            lag: AtomicU64::new(0),
            slots: Arc::clone(self),
        });
        inner.occupied.insert(slot.number, Arc::clone(&slot));
        Ok(Taken(slot))
    }

    /// How far behind the minimum rate a client may be before it is given up.
    pub fn send_timeout(&self) -> Duration {
        self.send_timeout
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

    /// Frees at least one descriptor, see [`ConnectionSlots::take`].
    pub fn make_room(&self) -> bool {
        lock(&self.inner).make_room(|_| true)
    }

    #[cfg(test)]
    pub fn evict_blocked(&self, lag: Duration) -> bool {
        let mut inner = lock(&self.inner);
        let slowest = inner.oldest(Phase::Sending, lag, &|_| true);
        slowest.is_some_and(|slot| inner.evict(&slot, |now, _| now == Phase::Sending))
    }

    /// Evicts all connections that are not in the middle of a request; in the last phase, all that are not being answered.
    pub fn evict_idle(&self, shutdown_phase: ShutdownPhase) {
        let mut inner = lock(&self.inner);
        let occupied: Vec<_> = inner.occupied.values().cloned().collect();
        for slot in occupied {
            inner.evict(&slot, |phase, since| match phase {
                // its thread is about to read a request that has arrived
                Phase::Idle => !is_readable(&slot.socket),
                Phase::Reading => since.elapsed() >= HEAD_GRACE,
                Phase::Receiving => shutdown_phase == ShutdownPhase::Ending,
                Phase::Answering | Phase::Sending | Phase::Evicted => false,
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
    /// Makes room among the connections that `may_leave`.
    fn make_room(&mut self, may_leave: impl Fn(&ConnectionSlot) -> bool) -> bool {
        self.evict_closed(&may_leave)
            || EVICTION_ORDER.iter().any(|&(phase, patience)| {
                let oldest = self.oldest(phase, patience, &may_leave);
                oldest.is_some_and(|slot| self.evict(&slot, |now, _| now == phase))
            })
    }

    /// Takes the places of connections whose clients have closed them, which their threads may not have noticed yet.
    fn evict_closed(&mut self, may_leave: &impl Fn(&ConnectionSlot) -> bool) -> bool {
        let occupied: Vec<_> = self.occupied.values().filter(|slot| may_leave(slot)).cloned().collect();
        let mut fds: Vec<_> =
            occupied.iter().map(|slot| PollFd::new(&*slot.socket, PollFlags::RDHUP)).collect();
        if !poll(&mut fds, Some(&Timespec::default())).is_ok_and(|count| count > 0) {
            return false;
        }
        let closed = occupied.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        // a request that came before the end may still be answered
        let closed = closed.filter(|(slot, _)| !matches!(slot.socket.peek(&mut [0]), Ok(1..)));
        closed.fold(false, |any, (slot, _)| self.evict(slot, |now, _| now != Phase::Evicted) || any)
    }

    /// The connection that has been in `wanted` longest, and for `patience` at least.
    fn oldest(
        &self,
        wanted: Phase,
        patience: Duration,
        may_leave: &impl Fn(&ConnectionSlot) -> bool,
    ) -> Option<Arc<ConnectionSlot>> {
        let waiting = self.occupied.values().filter(|slot| may_leave(slot)).filter_map(|slot| {
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
        // a blocked write ends at once; a thread that reads wakes up, and may still say why before it closes
        let how = if now.0 == Phase::Sending { Shutdown::Both } else { Shutdown::Read };
        now.0 = Phase::Evicted;
        self.leaving += 1;
        let _ = slot.socket.shutdown(how);
        true
    }
}

fn is_readable(socket: &TcpStream) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|count| count > 0)
}

/// How far a server is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub enum ShutdownPhase {
    /// Serving.
    On = 0,
    /// Still serving; each answer closes its connection, so that clients and load balancers go elsewhere.
    Leaving = 1,
    /// No new connections; running answers finish.
    Draining = 2,
    /// The grace period is over: running answers end now.
    Ending = 3,
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
            1 => ShutdownPhase::Leaving,
            2 => ShutdownPhase::Draining,
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

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn limits(connections: usize, connections_per_client: usize) -> Limits {
        Limits { connections, connections_per_client, ..Limits::default() }
    }

    fn sockets(count: usize) -> (Vec<TcpStream>, impl Iterator<Item = TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pair = |_| {
            let client = TcpStream::connect(address).unwrap();
            (client, listener.accept().unwrap().0)
        };
        let (clients, servers): (Vec<_>, Vec<_>) = (0..count).map(pair).unzip();
        (clients, servers.into_iter())
    }

    #[test]
    fn a_full_house_lets_the_longest_idle_leave_and_never_one_that_is_answered() {
        let slots = ConnectionSlots::new(&limits(2, 0));
        let (_clients, mut servers) = sockets(4);
        let mut take = || slots.take(servers.next().unwrap(), HOME);
        let busy = take().unwrap();
        assert!(busy.enter(Phase::Answering));
        let idle = take().unwrap();
        assert!(idle.enter(Phase::Idle));
        let third = take().unwrap();
        assert!(idle.is_evicted() && !busy.is_evicted());
        assert_eq!((&**idle.socket()).read(&mut [0]).unwrap(), 0, "its thread wakes up");
        assert!(!idle.enter(Phase::Reading), "and learns that it must leave");
        assert!(third.enter(Phase::Answering));
        let refused = take().unwrap_err();
        assert_eq!(refused.1, Full::Server);
        drop(idle);
        assert!(slots.take(refused.0, HOME).is_err(), "an evicted place is not free twice");
        assert!(!slots.wait_empty(Instant::now()));
        drop((busy, third));
        assert!(slots.wait_empty(Instant::now()));
    }

    #[test]
    fn of_blocked_writes_the_slowest_leaves_first_and_a_short_one_stays() {
        let slots = ConnectionSlots::new(&limits(3, 0));
        let (_clients, mut servers) = sockets(5);
        let mut blocked = |lag: u64| {
            let slot = slots.take(servers.next().unwrap(), HOME).unwrap();
            slot.add_lag(Duration::from_secs(lag));
            assert!(slot.block());
            slot
        };
        let (slow, slowest, short) = (blocked(10), blocked(20), blocked(1));
        assert!(slowest.add_lag(Duration::ZERO) > slow.add_lag(Duration::ZERO));
        let fourth = blocked(2);
        assert!(slowest.is_evicted() && !slow.is_evicted() && !short.is_evicted());
        slow.reduce_lag(Duration::from_secs(8));
        assert!(slow.block() && fourth.block());
        assert!(slots.take(servers.next().unwrap(), HOME).is_err(), "no client is slow for long enough");
    }

    #[test]
    fn a_place_whose_client_has_closed_is_free() {
        let slots = ConnectionSlots::new(&limits(2, 0));
        let (mut clients, mut servers) = sockets(4);
        let mut take = || slots.take(servers.next().unwrap(), HOME);
        let (closed, asking) = (take().unwrap(), take().unwrap());
        // the other has sent a request before it closed its sending side
        std::io::Write::write_all(&mut clients[1], b"GET").unwrap();
        clients[1].shutdown(Shutdown::Write).unwrap();
        drop(clients.remove(0));
        let third = take().unwrap();
        assert!(closed.is_evicted() && !asking.is_evicted());
        assert!(third.enter(Phase::Answering));
        assert!(take().is_err());
    }

    #[test]
    fn one_client_may_have_so_many_connections_and_its_own_idle_ones_make_room() {
        let slots = ConnectionSlots::new(&limits(100, 2));
        let (_clients, mut servers) = sockets(8);
        let mut take = |address: &str| slots.take(servers.next().unwrap(), address.parse().unwrap());
        let (one, two) = (take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap());
        assert!(one.enter(Phase::Answering) && two.enter(Phase::Answering));
        assert_eq!(take("192.0.2.1").unwrap_err().1, Full::Client);
        let other = take("192.0.2.2").unwrap();
        assert!(other.enter(Phase::Idle) && two.enter(Phase::Idle));
        let third = take("192.0.2.1").unwrap();
        assert!(two.is_evicted() && !other.is_evicted() && !third.is_evicted());
        let _network = (take("2001:db8::1").unwrap(), take("2001:db8::2").unwrap());
        assert_eq!(take("2001:db8::3").unwrap_err().1, Full::Client, "of IPv6 a network counts as one");
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
