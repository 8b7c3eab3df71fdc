//! A stream of server-sent events: one event, one chunk, one write.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;

use super::answer::{Audience, Common};
use super::connection_slots::{ConnectionSlot, Phase};

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
    head: Vec<u8>,
    frame: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Chunked,
    UntilClose,
}

impl EventStream {
    /// A stream with status 200, whose head leaves together with the first event.
    pub(crate) fn new(
        slot: Arc<ConnectionSlot>,
        sent: Rc<Cell<Sent>>,
        is_http11: bool,
        close: bool,
        content_type: &str,
        common: &Common,
    ) -> EventStream {
        let framing = if is_http11 { Framing::Chunked } else { Framing::UntilClose };
        let mut head = format!("HTTP/1.{} 200 OK\r\nContent-Type: {content_type}\r\n", u8::from(is_http11));
        head += "X-Accel-Buffering: no\r\n";
        if common.audience == Audience::Anyone {
            head += "Cache-Control: no-cache\r\n"; // the operator's answers say more
        }
        for (name, value) in common.headers() {
            head += &format!("{name}: {value}\r\n");
        }
        if framing == Framing::Chunked {
            head += "Transfer-Encoding: chunked\r\n";
        }
        if close || framing == Framing::UntilClose {
            head += "Connection: close\r\n";
        }
        head += "\r\n";
        EventStream { slot, sent, framing, head: head.into_bytes(), frame: Vec::new() }
    }

    /// Whether anything has been sent; until then another answer can be given instead.
    pub fn has_begun(&self) -> bool {
        self.sent.get() != Sent::Nothing
    }

    /// Sends whole frames. An error means that the client has left.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        if payload.is_empty() {
            return Ok(()); // an empty chunk would end the stream
        }
        if self.sent.get() == Sent::Nothing {
            self.sent.set(Sent::Open);
        }
        let head = std::mem::take(&mut self.head);
        self.frame.clear();
        self.frame.extend_from_slice(&head);
        if self.framing == Framing::Chunked {
            write!(self.frame, "{:x}\r\n", payload.len())?;
        }
        self.frame.extend_from_slice(payload);
        if self.framing == Framing::Chunked {
            self.frame.extend_from_slice(b"\r\n");
        }
        self.slot.socket().as_ref().write_all(&self.frame)
    }

    /// Ends the stream as a whole.
    pub fn end(&mut self) -> io::Result<()> {
        let mut last = std::mem::take(&mut self.head);
        if self.framing == Framing::Chunked {
            last.extend_from_slice(b"0\r\n\r\n");
        }
        self.slot.socket().as_ref().write_all(&last)?;
        self.sent.set(match self.framing {
            Framing::Chunked => Sent::All,
            Framing::UntilClose => Sent::UntilClose,
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
