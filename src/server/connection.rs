//! Loop of one connection: reads a request head, calls the handler, keeps the connection open or closes it.

use std::cell::Cell;
use std::io::{self, Read};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::abort::Abort;
use super::answer::{Answer, Audience, Common};
use super::body::{self, Deadline, Decoder};
use super::connection_slots::{ConnectionSlot, ConnectionSlots, Limits, Phase, ShutdownPhase, Stop};
use super::event_stream::{EventStream, Sent};
use super::head::{self, Framing, Head};
use super::send::{send, send_whole};
use crate::budget::Reservation;
use crate::dialect::Dialect;
use crate::error::{Error, Kind, Result};
use crate::ids::id;

/// What is read from the socket at once. The buffer is on the stack, which each open stream keeps.
const READ_BYTES: usize = 4 << 10;
/// A body that no handler has read is skipped up to this size, so that the connection can be reused.
const MAX_SKIPPED: u64 = 64 << 10;
/// How long a closing connection waits for its client to have read the answer, and how much of what the client still
/// sends is read meanwhile: closing with bytes unread would make the kernel discard the answer.
const LINGER: Duration = Duration::from_secs(1);
const MAX_DRAINED: usize = 64 << 10;

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. An error means that the connection is broken; everything else is an answer.
    fn answer(&self, call: &mut Call<'_>) -> io::Result<()>;
}

/// The client's end of a connection, to be watched while waiting for something else.
#[derive(Debug, Clone)]
pub struct Client {
    socket: Arc<TcpStream>,
}

impl Client {
    /// Whether the client has hung up. A client that only closed its sending side counts as gone too: the two
    /// cannot be distinguished without sending something.
    pub fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&*self.socket, PollFlags::RDHUP)];
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        poll(&mut fds, Some(&Timespec::default())).is_ok() && fds[0].revents().intersects(gone)
    }

    /// Where the client connects from.
    pub fn address(&self) -> Option<IpAddr> {
        self.socket.peer_addr().ok().map(|address| address.ip())
    }
}

/// Why a request ended that the operator stopped.
pub fn stopped() -> Error {
    Error::new(Kind::Stopped, "the operator of this server stopped the request")
}

/// One request and the means to answer it.
pub struct Call<'c> {
    head: Head,
    wire: &'c mut Wire,
    body: Body,
    sent: Rc<Cell<Sent>>,
    close: bool,
    common: Common,
    abort: Arc<Abort>,
    /// For the body and what is made of it, until the request is answered.
    memory: Reservation,
}

/// How much of a request's body has been taken from the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Unread,
    Read,
    Broken,
}

impl Call<'_> {
    /// The request's head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Every answer to this request carries `id`, a text that can stand in a header.
    pub fn name(&mut self, id: &str) {
        id.clone_into(&mut self.common.id);
    }

    /// What is answered from here on is for the operator, and for no other web page.
    pub fn for_operator(&mut self) {
        self.common.audience = Audience::Operator;
    }

    /// Adds headers of another server to a whole answer.
    pub fn pass_on(&mut self, headers: Vec<(String, String)>) {
        self.common.passed = headers;
    }

    /// By which any thread can end this request.
    pub fn abort(&self) -> &Arc<Abort> {
        &self.abort
    }

    /// All connections of the server.
    pub fn slots(&self) -> &ConnectionSlots {
        self.wire.slot.slots()
    }

    /// The client, to be watched while waiting.
    pub fn client(&self) -> Client {
        Client { socket: Arc::clone(self.wire.slot.socket()) }
    }

    /// The server's going: an answer that waits should look at it.
    pub fn stop(&self) -> &Stop {
        &self.wire.stop
    }

    /// Reads the whole body of at most `limit` bytes. An error says why there is none: announced too large (refused
    /// before a byte is read), too slow, malformed, or ended early.
    pub fn body(&mut self, limit: impl Into<body::Limit>) -> Result<Vec<u8>> {
        self.body = Body::Broken;
        let mut decoder = Decoder::new(self.head.framing, limit)?;
        let mut deadline = Deadline::new(Instant::now(), self.wire.limits.body_timeout);
        if !decoder.is_done() && self.head.expects_continue() && self.wire.inbox.is_empty() {
            let go_on = send(&self.wire.slot, b"HTTP/1.1 100 Continue\r\n\r\n");
            go_on.map_err(|error| body::broken(&error))?;
        }
        self.wire.slot.enter(Phase::Receiving);
        while !decoder.is_done() {
            if self.wire.inbox.is_empty() {
                match self.wire.read(deadline.at()) {
                    Ok(0) if self.abort.is_requested() => return Err(stopped()),
                    Ok(0) if self.wire.slot.is_evicted() => return Err(self.wire.evicted()),
                    Ok(0) => return Err(body::broken(&io::ErrorKind::UnexpectedEof.into())),
                    Ok(count) => deadline.put_off(Instant::now(), count),
                    Err(error) => return Err(body::broken(&error)),
                }
            }
            let used = decoder.push(&self.wire.inbox)?;
            self.wire.inbox.drain(..used);
        }
        if !self.wire.slot.enter(Phase::Answering) {
            return Err(self.wire.evicted());
        }
        self.body = Body::Read;
        let (body, memory) = decoder.finish()?;
        self.memory = memory;
        Ok(body)
    }

    /// The body has become a question and is dropped: half of what was reserved for both is enough from here on.
    pub fn body_is_decoded(&mut self) {
        self.memory.shrink(self.memory.bytes() / 2);
    }

    /// Sends a whole answer.
    pub fn send(&mut self, answer: Answer) -> io::Result<()> {
        self.close |= self.ends_connection();
        let bytes = answer.print(Some(&self.head), &self.common, self.close)?;
        self.memory.add(bytes.len());
        self.sent.set(Sent::Open);
        send_whole(&self.wire.slot, &bytes)?;
        self.sent.set(Sent::All);
        // from here on nothing is owed to this client, whatever the handler still has to do
        self.wire.slot.enter(Phase::Idle);
        Ok(())
    }

    /// Begins a stream of server-sent events; nothing is sent before its first event.
    pub fn event_stream(&mut self) -> EventStream {
        self.stream("text/event-stream; charset=utf-8")
    }

    /// Begins a stream of any type; nothing is sent before its first piece.
    pub fn stream(&mut self, content_type: &'static str) -> EventStream {
        self.close |= self.ends_connection();
        let slot = Arc::clone(&self.wire.slot);
        let sent = Rc::clone(&self.sent);
        EventStream::new(slot, sent, self.head.is_http11, self.close, content_type, &self.common)
    }

    /// Begins an answer whose body follows piece by piece, with the head of `answer`; nothing is sent before its first
    /// piece. `length` is the body's, where it is known.
    pub fn body_stream(&mut self, answer: &Answer, length: Option<usize>) -> EventStream {
        self.close |= self.ends_connection();
        let (slot, sent) = (Arc::clone(&self.wire.slot), Rc::clone(&self.sent));
        EventStream::body(slot, sent, self.head.is_http11, self.close, answer, length, &self.common)
    }

    /// Whether no other request can follow: the rest of this one is in the way, or the server began to stop meanwhile.
    fn ends_connection(&mut self) -> bool {
        !self.body_is_over() || self.wire.stop.shutdown_phase() != ShutdownPhase::On
    }

    /// Skips a small body that no handler has read; false when the connection cannot be reused after it.
    fn body_is_over(&mut self) -> bool {
        match (self.body, self.head.framing) {
            (Body::Read, _) | (Body::Unread, Framing::Length(0)) => true,
            (Body::Broken, _) => false,
            (Body::Unread, Framing::Length(length)) if length > MAX_SKIPPED => false,
            (Body::Unread, _) if self.head.expects_continue() => false, // the client may send none at all
            (Body::Unread, _) => {
                let _ = self.body(MAX_SKIPPED);
                self.body == Body::Read
            }
        }
    }
}

/// The bytes of one connection.
struct Wire {
    slot: Arc<ConnectionSlot>,
    limits: Limits,
    stop: Stop,
    /// Received and not used yet: the beginning of a request, or several.
    inbox: Vec<u8>,
}

/// Lives the life of the connection in `slot`.
pub fn live(slot: Arc<ConnectionSlot>, limits: Limits, stop: Stop, handler: &dyn Handler) {
    let mut wire = Wire { slot, limits, stop, inbox: Vec::new() };
    // a client that has just come is about to ask; one that has been served may be evicted at once
    let mut phase = Phase::Reading;
    loop {
        let head = match wire.next_head(phase) {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(error) => {
                let common = Common::of(id("req_"));
                log::debug!("rejected malformed request: id={} {error}", common.id);
                let answer = Dialect::default().error_answer(&error, None);
                let refusal = Answer::json(error.kind.status(), answer).print(None, &common, true);
                if refusal.is_ok_and(|bytes| send(&wire.slot, &bytes).is_ok()) {
                    wire.linger();
                }
                return;
            }
        };
        match wire.answer(head, handler) {
            After::KeepAlive => {
                phase = Phase::Idle;
                wire.slot.enter(phase);
            }
            After::Linger => return wire.linger(),
            After::Close => return,
        }
    }
}

enum After {
    KeepAlive,
    /// Close once the client has read the answer: closing at once would make the kernel discard it.
    Linger,
    Close,
}

impl Wire {
    fn socket(&self) -> &TcpStream {
        self.slot.socket()
    }

    /// Waits for the next request's head. `None` when the client disconnected, or was asked to.
    fn next_head(&mut self, mut phase: Phase) -> Result<Option<Head>> {
        if self.inbox.is_empty() {
            self.inbox = Vec::new(); // an idle connection keeps no buffer
        }
        let mut seen = 0;
        let mut deadline = Instant::now()
            + match phase {
                Phase::Idle => self.limits.idle_timeout,
                _ => self.limits.head_timeout,
            };
        loop {
            skip_blank_line(&mut self.inbox);
            if !self.inbox.is_empty() && phase == Phase::Idle {
                phase = Phase::Reading;
                deadline = Instant::now() + self.limits.head_timeout;
                self.slot.enter(phase);
            }
            if let Some(end) = head::end_of_head(&self.inbox, seen)? {
                let head = head::parse(&self.inbox[..end])?;
                self.inbox.drain(..end);
                return Ok(self.slot.enter(Phase::Answering).then_some(head));
            }
            if self.slot.is_evicted() {
                return self.hung_up();
            }
            seen = self.inbox.len().saturating_sub(1);
            match self.read(deadline) {
                Ok(0) => return self.hung_up(),
                Ok(_) => {}
                Err(error) if is_timeout(&error) && !self.inbox.is_empty() => {
                    return Err(Error::new(Kind::RequestTimeout, "the request's head arrived too slowly"));
                }
                Err(_) => return Ok(None),
            }
        }
    }

    fn hung_up(&self) -> Result<Option<Head>> {
        match self.slot.is_evicted() && !self.inbox.is_empty() {
            true => Err(self.evicted()),
            false => Ok(None),
        }
    }

    /// Why the rest of a request is not awaited any longer.
    fn evicted(&self) -> Error {
        let message = match self.stop.shutdown_phase() {
            ShutdownPhase::On => "the server is full and this request was too slow",
            _ => "the server is shutting down",
        };
        Error::new(Kind::Overloaded, message)
    }

    /// Reads what is there into the inbox, or waits for something until `deadline`. 0 is the end.
    fn read(&mut self, deadline: Instant) -> io::Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket().set_read_timeout(Some(left))?;
        let mut bytes = [0; READ_BYTES];
        let count = loop {
            match self.slot.socket().as_ref().read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.inbox.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn answer(&mut self, head: Head, handler: &dyn Handler) -> After {
        let sent = Rc::new(Cell::new(Sent::Nothing));
        let close = !head.keeps_alive() || self.stop.shutdown_phase() != ShutdownPhase::On;
        let abort = Abort::new(&self.slot);
        let mut call = Call {
            head,
            wire: self,
            body: Body::Unread,
            sent: Rc::clone(&sent),
            close,
            common: Common::default(),
            abort,
            memory: Reservation::default(),
        };
        // a handler that panics leaves nothing behind but this connection, which is closed
        let outcome = catch_unwind(AssertUnwindSafe(|| handler.answer(&mut call)));
        if sent.get() == Sent::Nothing && !matches!(outcome, Ok(Err(_))) {
            let error = Error::new(Kind::Internal, "the server failed to answer this request");
            call.close = true;
            let _ =
                call.send(Answer::json(error.kind.status(), Dialect::default().error_answer(&error, None)));
        }
        let close = call.close || outcome.is_err();
        match sent.get() {
            Sent::All if !close => After::KeepAlive,
            Sent::All | Sent::UntilClose => After::Linger,
            Sent::Nothing | Sent::Open => After::Close,
        }
    }

    /// Says that no more comes and waits a moment for the client to hang up. A client that sends on beyond
    /// [`MAX_DRAINED`] is not read any more, but still has its time to read.
    fn linger(&mut self) {
        let _ = self.socket().shutdown(Shutdown::Write);
        let deadline = Instant::now() + LINGER;
        let mut drained = 0;
        while self.slot.enter(Phase::Idle) && drained < MAX_DRAINED {
            self.inbox.clear();
            match self.read(deadline) {
                Ok(0) | Err(_) => return,
                Ok(count) => drained += count,
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if let (false, Ok(left)) = (self.slot.is_evicted(), Timespec::try_from(left)) {
            // bytes that wait to be read do not end this wait, the client's end or an eviction does
            let _ = poll(&mut [PollFd::new(self.socket(), PollFlags::RDHUP)], Some(&left));
        }
    }
}

/// RFC 9112 asks servers to overlook a blank line before a request.
fn skip_blank_line(inbox: &mut Vec<u8>) {
    if inbox.starts_with(b"\r\n") {
        inbox.drain(..2);
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
