//! HTTP client that exposes framing, end and arrival times of an answer.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;

/// One connection.
pub struct Wire {
    pub socket: TcpStream,
    inbox: Vec<u8>,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By its length or its last chunk.
    Framed,
    /// By the connection's end, as HTTP/1.0 has it.
    Closed,
    /// The connection ended before the answer did.
    Broken,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub version: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub ending: Ending,
}

/// A piece of a stream and when it came.
#[derive(Debug, Clone)]
pub struct Event {
    pub at: Instant,
    pub piece: Piece,
}

/// What a stream is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Data(Value),
    Done,
    Comment(String),
}

impl Event {
    pub fn json(&self) -> Option<&Value> {
        match &self.piece {
            Piece::Data(value) => Some(value),
            _ => None,
        }
    }
}

impl Answer {
    /// The value of a header that must not come twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} comes twice: {:?}", self.headers);
        value
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// A part of an error: `message`, `type`, `param` or `code`.
    pub fn error(&self, part: &str) -> String {
        match &self.json()["error"][part] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

impl Wire {
    pub fn open(port: u16) -> Wire {
        Wire::open_at(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    pub fn open_at(address: SocketAddr) -> Wire {
        Wire::of(TcpStream::connect_timeout(&address, PATIENCE).expect("the server accepts"))
    }

    pub fn of(socket: TcpStream) -> Wire {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.set_nodelay(true).expect("an option");
        Wire { socket, inbox: Vec::new() }
    }

    /// Sends bytes. A server that has closed already is no failure: its answer states why.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Wire {
        let _ = self.socket.write_all(bytes.as_ref());
        self
    }

    /// Sends a request and reads its answer.
    pub fn ask(&mut self, request: &str) -> Answer {
        let is_head = request.starts_with("HEAD ");
        self.send(request).read_answer(is_head)
    }

    /// Reads the next answer.
    pub fn answer(&mut self) -> Answer {
        self.read_answer(false)
    }

    fn read_answer(&mut self, is_head: bool) -> Answer {
        let mut answer = self.head();
        if is_head || answer.status == 204 || answer.status == 100 {
            return answer;
        }
        let mut stream = Stream::new(self, answer);
        while let Some((_, bytes)) = stream.piece() {
            stream.answer.body.extend(bytes);
        }
        answer = stream.answer;
        answer
    }

    /// Sends a request and reads its answer piece by piece.
    pub fn stream(&mut self, request: &str) -> Stream<'_> {
        self.send(request);
        let head = self.head();
        Stream::new(self, head)
    }

    /// Reads the head of an answer.
    pub fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.inbox.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more(), "the connection ended before the head did: {:?}", self.inbox);
        };
        let head: Vec<u8> = self.inbox.drain(..end).collect();
        let head = String::from_utf8(head).expect("text");
        let mut lines = head.trim_end().split("\r\n");
        let mut status = lines.next().unwrap_or_default().split(' ');
        let version = status.next().unwrap_or_default().to_owned();
        let status = status.next().and_then(|status| status.parse().ok()).expect("a status");
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.into(), value.into()));
        let headers = lines.map(|line| header(line).expect("a header")).collect();
        Answer { status, version, headers, body: Vec::new(), ending: Ending::Framed }
    }

    /// Whether the server closes without another byte; waits for it.
    pub fn is_closed(&mut self) -> bool {
        self.inbox.is_empty() && !self.more()
    }

    /// Whether the server has closed by now.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        poll(&mut fds, Some(&Timespec::default())).is_ok() && fds[0].revents().contains(PollFlags::RDHUP)
    }

    /// Closes the connection.
    pub fn leave(self) {
        // dropping it closes the socket
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Reads more bytes; false at the end.
    fn more(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        match self.socket.read(&mut bytes) {
            Ok(count) => {
                self.inbox.extend_from_slice(&bytes[..count]);
                count > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came for {PATIENCE:?}, after {:?}", String::from_utf8_lossy(&self.inbox))
            }
            Err(_) => false,
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.inbox.windows(2).position(|two| two == b"\r\n") {
                let line = self.inbox.drain(..at + 2).collect::<Vec<u8>>();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.more() {
                return None;
            }
        }
    }

    fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.inbox.len() < count {
            if !self.more() {
                return None;
            }
        }
        Some(self.inbox.drain(..count).collect())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
    Over,
}

/// An answer as it comes.
pub struct Stream<'w> {
    wire: &'w mut Wire,
    /// Its head, and how it ended once it has.
    pub answer: Answer,
    framing: Framing,
    line: Vec<u8>,
    waiting: std::collections::VecDeque<Event>,
}

impl<'w> Stream<'w> {
    fn new(wire: &'w mut Wire, answer: Answer) -> Stream<'w> {
        let length = answer.header("content-length").map(|value| value.parse().expect("a number"));
        let framing = match (length, answer.header("transfer-encoding")) {
            (Some(length), None) => Framing::Length(length),
            (None, Some("chunked")) => Framing::Chunked,
            (None, None) => Framing::UntilClose,
            both => panic!("framed in two ways: {both:?}"),
        };
        Stream { wire, answer, framing, line: Vec::new(), waiting: Default::default() }
    }

    fn over(&mut self, ending: Ending) -> Option<(Instant, Vec<u8>)> {
        self.framing = Framing::Over;
        self.answer.ending = ending;
        None
    }

    /// The next piece of the body as it was framed.
    fn piece(&mut self) -> Option<(Instant, Vec<u8>)> {
        let bytes = match self.framing {
            Framing::Over => return None,
            Framing::Length(0) => return self.over(Ending::Framed),
            Framing::Length(length) => {
                self.framing = Framing::Length(0);
                self.wire.exactly(length)
            }
            Framing::Chunked => self.chunk(),
            Framing::UntilClose => {
                if self.wire.inbox.is_empty() && !self.wire.more() {
                    return self.over(Ending::Closed);
                }
                Some(std::mem::take(&mut self.wire.inbox))
            }
        };
        match bytes {
            None => self.over(Ending::Broken),
            Some(bytes) if bytes.is_empty() => self.over(Ending::Framed),
            Some(bytes) => Some((Instant::now(), bytes)),
        }
    }

    fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.wire.line()?, 16).expect("a chunk's size");
        let mut bytes = self.wire.exactly(size + 2)?;
        assert!(bytes.ends_with(b"\r\n"), "a chunk is longer than it says");
        bytes.truncate(size);
        Some(bytes)
    }

    /// The rest of the stream.
    pub fn rest(&mut self) -> Vec<Event> {
        self.by_ref().collect()
    }

    /// The first event that carries data, with what came before it.
    pub fn begin(&mut self) -> Event {
        self.by_ref().find(|event| event.json().is_some()).expect("an event")
    }

    fn take_line(&mut self, at: Instant) {
        let line = String::from_utf8(std::mem::take(&mut self.line)).expect("UTF-8");
        let piece = match line.strip_prefix("data: ") {
            Some("[DONE]") => Piece::Done,
            Some(data) => Piece::Data(serde_json::from_str(data).expect("JSON")),
            None if line.starts_with(':') => Piece::Comment(line),
            None if line.is_empty() => return,
            None => panic!("neither data nor comment: {line:?}"),
        };
        self.waiting.push_back(Event { at, piece });
    }
}

impl Iterator for Stream<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let (at, bytes) = self.piece()?;
            for byte in bytes {
                match byte {
                    b'\n' => self.take_line(at),
                    byte => self.line.push(byte),
                }
            }
        }
    }
}

/// How long `action` takes.
pub fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = action();
    (result, start.elapsed())
}
