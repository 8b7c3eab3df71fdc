//! Accepts connections, assigns slots, rejects connections above the limits, and drains them at shutdown.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::answer::{Answer, Common};
use super::connection::{self, Handler};
use super::connection_slots::{ConnectionSlots, Full, Limits, ShutdownPhase, Stop, Taken};
use super::send::STREAM_BUFFER;
use super::worker_pool::Pool;
use crate::dialect::Dialect;
use crate::error::{Error, Kind};
use crate::ids::id;

const BACKLOG: i32 = 1024;
/// How long a refused client may take to read why, and how many may do so at a time.
const FAREWELL: Duration = Duration::from_secs(1);
const MAX_REJECTED: u64 = 32;
/// After the grace period running answers get this long to say their last word.
const REJECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A fault that lasts is said so often.
const WARN_INTERVAL: Duration = Duration::from_secs(1);
/// Descriptors that are not connections: standard streams, listeners, files.
const SPARE_DESCRIPTORS: u64 = 16;

/// A bound port.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: Limits,
}

impl Server {
    /// Binds `address`. An IPv6 wildcard takes IPv4 clients too.
    pub fn bind(address: SocketAddr, limits: Limits) -> io::Result<Server> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_reuse_address(true)?; // the port can be bound again at once after a restart
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Server::adopt(socket.into(), limits)
    }

    /// Serves `listener`, which listens already.
    pub fn adopt(listener: TcpListener, limits: Limits) -> io::Result<Server> {
        let socket = Socket::from(listener);
        // accepted sockets inherit what follows
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(STREAM_BUFFER)?;
        let probe =
            TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(20));
        socket.set_tcp_keepalive(&probe)?;
        socket.set_nonblocking(true)?;
        Ok(Server { listener: socket.into(), limits })
    }

    /// The address that was bound; states the port when 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` asks to leave; returns when all answers have ended or the grace period is over.
    pub fn serve(self, handler: Arc<dyn Handler>, stop: &Stop) {
        let slots = ConnectionSlots::new(&self.limits);
        let grace = self.limits.grace;
        self.accept_loop(&slots, &handler, stop);
        stop.go(ShutdownPhase::Draining);
        if !wait_for_answers(&slots, Instant::now() + grace, ShutdownPhase::Draining, stop) {
            stop.go(ShutdownPhase::Ending);
            wait_for_answers(&slots, Instant::now() + REJECT_TIMEOUT, ShutdownPhase::Ending, stop);
        }
    }

    fn accept_loop(self, slots: &Arc<ConnectionSlots>, handler: &Arc<dyn Handler>, stop: &Stop) {
        let pool = Pool::default();
        let mut rejected = RejectedConnections::new(most_farewells());
        let mut warned = None;
        let mut leaves = None;
        while stop.shutdown_phase() < ShutdownPhase::Draining {
            let is_leaving = stop.shutdown_phase() == ShutdownPhase::Leaving;
            if is_leaving && *leaves.get_or_insert(Instant::now() + self.limits.leave) <= Instant::now() {
                return;
            }
            self.wait(stop, is_leaving, rejected.pending());
            rejected.expire();
            // a bounded run, so that a flood of connections does not keep the farewells waiting
            for _ in 0..64 {
                match self.listener.accept() {
                    Ok((socket, from)) => {
                        let admitted = slots.take(socket, from.ip()).map_err(|(socket, full)| {
                            slots.count_refused();
                            rejected.refuse(socket, full);
                        });
                        if let Ok(slot) = admitted {
                            self.slot(slot, &pool, handler, stop, &mut rejected);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        // out of descriptors, or the client was gone before it came in: none ends the server
                        if warned.is_none_or(|when: Instant| when.elapsed() >= WARN_INTERVAL) {
                            warned = Some(Instant::now());
                            log::warn!("cannot accept connections: {error}");
                        }
                        rejected.clear();
                        slots.make_room();
                        thread::sleep(Duration::from_millis(10));
                        break;
                    }
                }
            }
        }
    }

    fn wait(&self, stop: &Stop, is_leaving: bool, rejected_pending: bool) {
        let tick = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let mut fds = [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(stop.woken(), PollFlags::IN)];
        // once it was told to leave, the stop is readable for good
        let fds = if is_leaving { &mut fds[..1] } else { &mut fds[..] };
        // an interrupted wait is only a short one
        let _ = poll(fds, (is_leaving || rejected_pending).then_some(&tick));
    }

    fn slot(
        &self,
        slot: Taken,
        pool: &Pool,
        handler: &Arc<dyn Handler>,
        stop: &Stop,
        rejected: &mut RejectedConnections,
    ) {
        let (handler, limits, stop) = (Arc::clone(handler), self.limits.clone(), stop.clone());
        let (place, socket) = (Arc::clone(&slot), Arc::clone(slot.socket()));
        let life = move || connection::live(Arc::clone(&slot), limits, stop, &*handler);
        if let Err(error) = pool.run(Box::new(life)) {
            log::warn!("cannot start a thread for a connection: {error}");
            place.slots().count_refused();
            if let Ok(socket) = socket.try_clone() {
                rejected.refuse(socket, Full::Server);
            }
        }
    }
}

/// Waits until all connections have ended, at most until `deadline` or until `stop` has gone further than `shutdown_phase`.
fn wait_for_answers(
    slots: &ConnectionSlots,
    deadline: Instant,
    shutdown_phase: ShutdownPhase,
    stop: &Stop,
) -> bool {
    while Instant::now() < deadline && stop.shutdown_phase() <= shutdown_phase {
        // connections that fall idle meanwhile leave too
        slots.evict_idle(shutdown_phase);
        if slots.wait_empty(deadline.min(Instant::now() + Duration::from_millis(50))) {
            return true;
        }
    }
    false
}

/// Connections that were turned away. They stay a moment: closing at once, with their request unread, would make
/// the kernel throw away the answer that says why.
struct RejectedConnections {
    most: usize,
    leaving: VecDeque<(Instant, TcpStream)>,
}

impl RejectedConnections {
    fn new(most: usize) -> RejectedConnections {
        RejectedConnections { most, leaving: VecDeque::new() }
    }

    fn refuse(&mut self, mut socket: TcpStream, full: Full) {
        let error = match full {
            Full::Server => {
                Error::new(Kind::Overloaded, "the server has no free connection; try again in a second")
            }
            Full::Client => Error::new(
                Kind::RateLimited,
                "this address has as many connections as MAX_CONNECTIONS_PER_CLIENT allows",
            ),
        };
        let body = Dialect::default().error_answer(&error, None);
        let answer = Answer::json(error.kind.status(), body).header("Retry-After", "1");
        let Ok(bytes) = answer.print(None, &Common::of(id("req_")), true) else { return };
        // a fresh socket has room for one small answer: this never blocks
        let _ = socket.set_nonblocking(true);
        let _ = socket.write_all(&bytes);
        let _ = socket.shutdown(Shutdown::Write);
        if self.leaving.len() >= self.most {
            self.leaving.pop_front();
        }
        self.leaving.push_back((Instant::now(), socket));
    }

    fn pending(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Lets those go that have read their answer, or had the time to.
    fn expire(&mut self) {
        self.leaving.retain_mut(|(since, socket)| {
            let waits = match socket.read(&mut [0; 4096]) {
                Ok(count) => count > 0,
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
            waits && since.elapsed() < FAREWELL
        });
    }

    fn clear(&mut self) {
        self.leaving.clear();
    }
}

/// Raises the limit of open descriptors as far as the system allows and says how many connections fit into it, when
/// each takes `each` descriptors.
pub fn connections_that_fit(each: u64) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // what cannot be raised stays as it is
    let _ = setrlimit(Resource::Nofile, raised);
    let usable = descriptors().saturating_sub(SPARE_DESCRIPTORS + most_farewells() as u64);
    usize::try_from(usable / each.max(1)).unwrap_or(usize::MAX).max(1)
}

fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Refused clients may have a sixteenth of the descriptors.
fn most_farewells() -> usize {
    (descriptors() / 16).clamp(2, MAX_REJECTED) as usize
}
