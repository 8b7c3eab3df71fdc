//! Writes to clients. A client that reads too slowly is dropped, and can be evicted while it blocks a write.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::connection_slots::ConnectionSlot;

/// How much the kernel keeps of a stream that its client does not take. Left alone it grows to megabytes, and with it what
/// the stages of a stream keep of the text they sent.
pub const STREAM_BUFFER: usize = 64 << 10;
/// The same for a large answer in one piece, which lies in memory anyway: a long way takes it faster.
const WHOLE_BUFFER: usize = 1 << 20;

/// The rate, in bytes per second, that a client must take on average while it blocks writes.
const MIN_RATE: u32 = 1 << 10;
/// How long one step of a blocked write takes at most.
const STEP: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

/// Sends all of `bytes` to the client in `slot`.
///
/// Time spent blocked adds to the connection's lag, and bytes taken reduce it by what they may cost at [`MIN_RATE`].
/// At `send_timeout` of lag the client is given up, so neither silence nor a trickle holds a place for longer.
pub fn send(slot: &ConnectionSlot, bytes: &[u8]) -> io::Result<()> {
    let (mut left, mut has_blocked) = (bytes, false);
    while !left.is_empty() {
        match rustix::net::send(&**slot.socket(), left, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => {
                left = &left[count..];
                slot.reduce_lag(cost(count));
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                has_blocked = true;
                wait_for_room(slot)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if has_blocked {
        slot.unblock();
    }
    Ok(())
}

/// Sends a whole answer, see [`send`].
pub fn send_whole(slot: &ConnectionSlot, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() <= STREAM_BUFFER {
        return send(slot, bytes);
    }
    // a system that allows less only makes it slower
    let buffer = |size| drop(socket2::SockRef::from(&**slot.socket()).set_send_buffer_size(size));
    buffer(WHOLE_BUFFER);
    let sent = send(slot, bytes);
    // the next answer on this connection may be a stream
    buffer(STREAM_BUFFER);
    sent
}

fn wait_for_room(slot: &ConnectionSlot) -> io::Result<()> {
    if !slot.block() {
        return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was evicted"));
    }
    let start = Instant::now();
    // room for a part only does not wake the wait, so a step's end is followed by another try to send
    match poll(&mut [PollFd::new(&**slot.socket(), PollFlags::OUT)], Some(&STEP)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    match slot.add_lag(start.elapsed()) < slot.slots().send_timeout() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly")),
    }
}

fn cost(count: usize) -> Duration {
    Duration::from_secs(count as u64) / MIN_RATE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::connection_slots::{ConnectionSlots, Limits, Phase};
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    /// A seated connection with small buffers, and its client. Much smaller ones make the kernel slow.
    fn pair(send_timeout: Duration) -> (crate::server::connection_slots::Taken, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket2::SockRef::from(&client).set_recv_buffer_size(64 << 10).unwrap();
        let (server, from) = listener.accept().unwrap();
        socket2::SockRef::from(&server).set_send_buffer_size(64 << 10).unwrap();
        let slots = ConnectionSlots::new(&Limits { send_timeout, ..Limits::default() });
        (slots.take(server, from.ip()).unwrap(), client)
    }

    #[test]
    fn a_client_that_takes_nothing_is_given_up_and_one_that_was_fast_before_too() {
        for taken in [0, 256 << 10] {
            let (slot, mut client) = pair(Duration::from_millis(300));
            let reader = thread::spawn(move || {
                client.read_exact(&mut vec![0; taken]).unwrap();
                client
            });
            let outcome = (0..).find_map(|_| send(&slot, &[0; 64 << 10]).err());
            assert_eq!(outcome.unwrap().kind(), io::ErrorKind::TimedOut, "after {taken} bytes");
            drop(reader.join().unwrap());
        }
    }

    #[test]
    fn a_slow_client_gets_all_of_it() {
        let (slot, mut client) = pair(Duration::from_secs(60));
        let reader = thread::spawn(move || {
            let (mut all, mut piece) = (0, [0; 2000]);
            while let Ok(count @ 1..) = client.read(&mut piece) {
                all += count;
                thread::yield_now();
            }
            all
        });
        send(&slot, &vec![7; 1 << 20]).unwrap();
        assert!(slot.enter(Phase::Idle));
        slot.socket().shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(reader.join().unwrap(), 1 << 20);
    }

    #[test]
    fn after_a_large_answer_the_buffer_is_that_of_streams() {
        let (slot, mut client) = pair(Duration::from_secs(60));
        let size = || socket2::SockRef::from(&**slot.socket()).send_buffer_size().unwrap();
        let before = size();
        let reader = thread::spawn(move || client.read_exact(&mut vec![0; 4 << 20]).unwrap());
        send_whole(&slot, &vec![7; 4 << 20]).unwrap();
        assert_eq!(size(), before);
        reader.join().unwrap();
    }

    #[test]
    fn a_blocked_write_ends_when_the_connection_is_evicted() {
        let (slot, client) = pair(Duration::from_secs(600));
        assert!(slot.enter(Phase::Answering));
        thread::scope(|scope| {
            let blocked = scope.spawn(|| (0..).find_map(|_| send(&slot, &[0; 64 << 10]).err()).unwrap());
            while !slot.slots().evict_blocked(Duration::ZERO) {
                thread::yield_now();
            }
            blocked.join().unwrap();
        });
        assert!(slot.is_evicted());
        drop(client);
    }
}
