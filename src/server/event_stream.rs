//! An answer that is sent piece by piece: server-sent events, or a file. Each event is one chunk, and chunks that are
//! ready together are sent in one write.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;

use super::answer::{Answer, Audience, Common, Framing, ResponseHead};
use super::connection_slots::{ConnectionSlot, Phase};
use super::send::send;

/// A larger buffer is given back after a write: a held stream keeps no more than this.
const KEPT_BUFFER: usize = 4 << 10;

/// How far the answer to one request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Not a byte.
    Nothing,
    /// A stream that has begun and not ended.
    Open,
    /// All of it; the connection may carry the next.
    All,
    /// A stream whose end only the connection's end can show.
    UntilClose,
}

/// An answer that grows. Once begun and dropped without [`EventStream::end`] it shuts the socket, so that the client
/// sees the break.
#[derive(Debug)]
pub struct EventStream {
    slot: Arc<ConnectionSlot>,
    sent: Rc<Cell<Sent>>,
    framing: Framing,
    /// Until it has been written.
    head: Option<Box<Head>>,
    frame: Vec<u8>,
}

/// A head that waits for the first piece of the body.
#[derive(Debug)]
struct Head {
    answer: Answer,
    is_http11: bool,
    close: bool,
    common: Common,
}

impl EventStream {
    /// A stream with status 200, whose head leaves together with the first event.
    pub(crate) fn new(
        slot: Arc<ConnectionSlot>,
        sent: Rc<Cell<Sent>>,
        is_http11: bool,
        close: bool,
        content_type: &'static str,
        common: &Common,
    ) -> EventStream {
        let answer = Answer::bytes(200, content_type, Vec::new()).header("X-Accel-Buffering", "no");
        // the operator's answers say more about caches than this
        let answer = match common.audience {
            Audience::Anyone => answer.header("Cache-Control", "no-cache"),
            Audience::Operator => answer,
        };
        EventStream::body(slot, sent, is_http11, close, &answer, None, common)
    }

    /// A body of `length` bytes behind the head of `answer`; where the length is not known, one that ends with its stream.
    pub(crate) fn body(
        slot: Arc<ConnectionSlot>,
        sent: Rc<Cell<Sent>>,
        is_http11: bool,
        close: bool,
        answer: &Answer,
        length: Option<usize>,
        common: &Common,
    ) -> EventStream {
        let framing = match length {
            Some(length) => Framing::Length(length),
            None if is_http11 => Framing::Chunked,
            None => Framing::UntilClose,
        };
        let head = Head { answer: answer.clone(), is_http11, close, common: common.clone() };
        EventStream { slot, sent, framing, head: Some(Box::new(head)), frame: Vec::new() }
    }

    /// Adds headers of another server, unless the head has been sent.
    pub fn pass_on(&mut self, headers: Vec<(String, String)>) {
        if let Some(head) = &mut self.head {
            head.common.passed = headers;
        }
    }

    fn write_head(&mut self) -> io::Result<()> {
        let Some(head) = self.head.take() else { return Ok(()) };
        let Head { ref answer, is_http11, close, ref common } = *head;
        let (status, framing) = (answer.status, self.framing);
        let head = ResponseHead { status, is_http11, framing, close, common };
        head.write(answer.headers(), &mut self.frame)
    }

    /// Whether anything has been sent; until then another answer can be given instead.
    pub fn has_begun(&self) -> bool {
        self.sent.get() != Sent::Nothing
    }

    /// Sends whole frames. An error means that the client disconnected.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.push(payload)?;
        self.flush()
    }

    /// Takes whole frames, which leave with the next [`EventStream::flush`].
    pub fn push(&mut self, payload: &[u8]) -> io::Result<()> {
        if payload.is_empty() {
            return Ok(()); // an empty chunk would end the stream
        }
        if self.sent.get() == Sent::Nothing {
            self.sent.set(Sent::Open);
        }
        self.write_head()?;
        if self.framing == Framing::Chunked {
            write!(self.frame, "{:x}\r\n", payload.len())?;
        }
        self.frame.extend_from_slice(payload);
        if self.framing == Framing::Chunked {
            self.frame.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// How many bytes wait to be sent.
    pub fn pending(&self) -> usize {
        self.frame.len()
    }

    /// Sends what has been taken.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let sent = send(&self.slot, &self.frame);
        self.frame.clear();
        if self.frame.capacity() > KEPT_BUFFER {
            self.frame = Vec::new();
        }
        sent
    }

    /// Ends the stream as a whole.
    pub fn end(&mut self) -> io::Result<()> {
        self.write_head()?;
        if self.framing == Framing::Chunked {
            self.frame.extend_from_slice(b"0\r\n\r\n");
        }
        self.flush()?;
        self.sent.set(match self.framing {
            Framing::UntilClose => Sent::UntilClose,
            _ => Sent::All,
        });
        self.slot.enter(Phase::Idle);
        Ok(())
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if self.sent.get() == Sent::Open {
            // ENOTCONN only says that the client was faster
            let _ = self.slot.socket().shutdown(Shutdown::Both);
        }
    }
}
