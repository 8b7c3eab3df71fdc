//! Connects to the first address that answers, IPv6 and IPv4 in turn (happy eyeballs, RFC 8305).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Ended, has_ended, resolve_name, step};

/// An address that has not answered by then does not keep the next one from being tried.
const HEAD_START: Duration = Duration::from_millis(250);
/// The most addresses that are tried.
const MAX_TRIES: usize = 8;

/// A connection to one of `addresses`, the first that answers. `TimedOut` after `limit`; cancelled like any other wait.
pub(super) fn dial(addresses: &[IpAddr], port: u16, limit: Option<Duration>) -> io::Result<Socket> {
    let start = Instant::now();
    let mut left = in_turn(addresses).into_iter().take(MAX_TRIES);
    let mut trying: Vec<Socket> = Vec::new();
    let mut next = Some(start);
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if next.is_some_and(|at| at <= Instant::now()) || trying.is_empty() {
            match left.next().map(|address| begin(SocketAddr::new(address, port))) {
                Some(Ok((socket, true))) => return Ok(socket),
                Some(Ok((socket, false))) => trying.push(socket),
                Some(Err(error)) => last = error,
                None if trying.is_empty() => return Err(last),
                None => {}
            }
            next = (left.len() > 0).then(|| Instant::now() + HEAD_START);
            continue;
        }
        if limit.is_some_and(|limit| start.elapsed() >= limit) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let until_next = next.map(|at| at.saturating_duration_since(Instant::now()));
        let until_end = limit.map(|limit| limit.saturating_sub(start.elapsed()));
        let waits = [Some(step(start.elapsed())), until_next, until_end];
        await_any(&trying, waits.into_iter().flatten().min().unwrap_or_default())?;
        for socket in std::mem::take(&mut trying) {
            match outcome(&socket) {
                Some(Ok(())) => return Ok(socket),
                Some(Err(error)) => (last, next) = (error, next.map(|_| Instant::now())),
                None => trying.push(socket),
            }
        }
        resolve_name(start.elapsed());
        if has_ended() {
            return Err(Ended::error());
        }
    }
}

/// The resolver's order, but the families by turns.
fn in_turn(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut these, mut those): (Vec<_>, Vec<_>) =
        addresses.iter().copied().rev().partition(|it: &IpAddr| it.is_ipv6() == first);
    let mut all = Vec::with_capacity(addresses.len());
    while !these.is_empty() || !those.is_empty() {
        all.extend(these.pop());
        all.extend(those.pop());
    }
    all
}

/// Begins to connect; whether that was all.
fn begin(address: SocketAddr) -> io::Result<(Socket, bool)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => Ok((socket, true)),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
            Ok((socket, false))
        }
        Err(error) => Err(error),
    }
}

fn await_any(sockets: &[Socket], wait: Duration) -> io::Result<()> {
    let mut all: Vec<_> = sockets.iter().map(|socket| PollFd::new(socket, PollFlags::OUT)).collect();
    let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(999));
    let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
    match poll(&mut all, Some(&wait)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// How the attempt ended, if it has.
fn outcome(socket: &Socket) -> Option<io::Result<()>> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut one = [PollFd::new(socket, PollFlags::OUT)];
    match poll(&mut one, Some(&now)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => None,
        Ok(_) => Some(socket.take_error().and_then(|error| error.map_or(Ok(()), Err))),
        Err(error) => Some(Err(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(30));

    fn addresses(text: &[&str]) -> Vec<IpAddr> {
        text.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_families_take_turns() {
        let all = in_turn(&addresses(&["::1", "::2", "::3", "1.1.1.1", "2.2.2.2"]));
        assert_eq!(all, addresses(&["::1", "1.1.1.1", "::2", "2.2.2.2", "::3"]));
        assert_eq!(in_turn(&addresses(&["1.1.1.1", "::1"])), addresses(&["1.1.1.1", "::1"]));
        assert!(in_turn(&[]).is_empty());
    }

    #[test]
    fn an_address_that_refuses_or_is_silent_does_not_keep_the_next_away() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // no server listens on the first, and the second (TEST-NET-1, RFC 5737) is routed nowhere
        let all = addresses(&["127.0.0.2", "192.0.2.1", "127.0.0.1"]);
        let socket = dial(&all, port, LIMIT).unwrap();
        let peer = socket.peer_addr().unwrap().as_socket().unwrap();
        assert_eq!(peer, listener.local_addr().unwrap());
    }

    #[test]
    fn the_last_refusal_is_what_is_said() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = dial(&addresses(&["127.0.0.2", "127.0.0.3"]), port, LIMIT).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(dial(&[], port, LIMIT).is_err());
    }
}
