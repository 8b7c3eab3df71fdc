//! Writer of a stream to the client: encodes events as frames, and sends keep-alives while the stream is silent.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::dialect::Encoder;
use crate::error::Error;
use crate::pipeline::Event;
use crate::server::event_stream::EventStream;

/// Events that are ready together leave in one write once they are so many bytes, or before the next wait.
const MAX_PENDING: usize = 16 << 10;

/// An encoder and the stream it writes to.
pub struct StreamWriter {
    stream: EventStream,
    encoder: Box<dyn Encoder>,
    frame: Vec<u8>,
    interval: Duration,
    last: Instant,
    /// Keep-alive frame that is sent in place of the encoder's.
    keep_alive_frame: Vec<u8>,
    /// Whether events of a passed-through stream have been sent.
    has_passed: bool,
}

impl StreamWriter {
    /// A writer that can be shared between the relay and its watch, both on one thread. Nothing is sent before the
    /// first event, or before `interval` has passed in silence.
    pub fn shared(
        stream: EventStream,
        encoder: Box<dyn Encoder>,
        interval: Duration,
    ) -> Rc<RefCell<StreamWriter>> {
        let writer = StreamWriter {
            stream,
            encoder,
            frame: Vec::new(),
            interval,
            last: Instant::now(),
            keep_alive_frame: Vec::new(),
            has_passed: false,
        };
        Rc::new(RefCell::new(writer))
    }

    /// Whether anything has left; until then another answer can be given instead.
    pub fn has_begun(&self) -> bool {
        self.stream.has_begun()
    }

    /// The answer begins: `prompt` counts the tokens of its question.
    pub fn begin(&mut self, prompt: &dyn Fn() -> u64) {
        self.encoder.begin(prompt);
    }

    /// Sends one event of choice `index`: the first at once, the others at the latest when [`StreamWriter::keep_alive`] is
    /// called, as it is before every wait. One that the dialect has no place for may leave room for a sign of life.
    pub fn send(&mut self, index: usize, event: &Event) -> io::Result<()> {
        self.encoder.event(index, event, &mut self.frame);
        if self.frame.is_empty() {
            return self.sign_if_due();
        }
        let is_first = !self.stream.has_begun();
        self.stream.push(&self.frame)?;
        self.frame.clear();
        match is_first || self.stream.pending() >= MAX_PENDING {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Sends what is pending, or a sign of life if it is time.
    pub fn keep_alive(&mut self) -> io::Result<()> {
        match self.stream.pending() {
            0 => self.sign_if_due(),
            _ => self.flush(),
        }
    }

    fn sign_if_due(&mut self) -> io::Result<()> {
        if self.last.elapsed() < self.interval {
            return Ok(());
        }
        if self.stream.pending() > 0 {
            return self.flush();
        }
        match self.keep_alive_frame.is_empty() {
            true => self.encoder.keep_alive(&mut self.frame),
            false => self.frame.extend_from_slice(&self.keep_alive_frame),
        }
        self.flush()
    }

    /// Says `keep_alive_frame` from now on when nothing else comes; an empty one leaves it to the encoder.
    pub fn set_keep_alive_frame(&mut self, keep_alive_frame: Vec<u8>) {
        self.keep_alive_frame = keep_alive_frame;
    }

    /// Adds headers of Poe's, unless the head has been sent.
    pub fn pass_on(&mut self, headers: Vec<(String, String)>) {
        self.stream.pass_on(headers);
    }

    /// Sends complete events of a passed-through stream.
    pub fn pass(&mut self, events: &[u8]) -> io::Result<()> {
        self.has_passed = true;
        self.encoder.passed(events);
        self.frame.extend_from_slice(events);
        self.flush()
    }

    /// Ends a stream whose last event has been passed; `whole` is what it sent, where that could be read.
    pub fn close(&mut self, whole: Option<&[u8]>) -> io::Result<()> {
        if let Some(whole) = whole {
            self.encoder.rendered(whole);
        }
        self.stream.end()
    }

    /// Ends the stream as a whole.
    pub fn end(&mut self) -> io::Result<()> {
        self.encoder.end(&mut self.frame);
        self.stream.push(&self.frame)?;
        self.stream.end()
    }

    /// Ends the stream with an error.
    pub fn fail(&mut self, error: &Error) -> io::Result<()> {
        match self.has_passed {
            true => self.encoder.break_off(error, &mut self.frame),
            false => self.encoder.error(error, &mut self.frame),
        }
        self.stream.push(&self.frame)?;
        self.stream.end()
    }

    fn flush(&mut self) -> io::Result<()> {
        let sent = self.stream.send(&self.frame);
        self.frame.clear();
        self.last = Instant::now();
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::chat::{Encoder as Chat, Meta};
    use crate::server::answer::Common;
    use crate::server::connection_slots::{ConnectionSlots, Limits, Taken};
    use crate::server::event_stream::Sent;

    use std::cell::Cell;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    fn writer() -> (Rc<RefCell<StreamWriter>>, TcpStream, Taken) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (server, from) = listener.accept().unwrap();
        let slot = ConnectionSlots::new(&Limits::default()).take(server, from.ip()).unwrap();
        let sent = Rc::new(Cell::new(Sent::Nothing));
        let stream =
            EventStream::new(Arc::clone(&slot), sent, true, false, "text/event-stream", &Common::default());
        let meta = Meta {
            id: "x".into(),
            created: 0,
            model: "m".into(),
            has_functions: false,
            plain_text: Default::default(),
        };
        let encoder = Box::new(Chat::new(meta, 1, false));
        (StreamWriter::shared(stream, encoder, Duration::from_secs(600)), client, slot)
    }

    fn text(words: &str) -> Event {
        Event::Text(words.to_owned())
    }

    /// Reads until `words` have come.
    fn read_until(client: &mut TcpStream, words: &str) -> String {
        let (mut all, mut piece) = (String::new(), [0; 64 << 10]);
        while !all.contains(words) {
            let count = client.read(&mut piece).unwrap();
            assert!(count > 0, "{all}");
            all += std::str::from_utf8(&piece[..count]).unwrap();
        }
        all
    }

    #[test]
    fn the_first_event_leaves_at_once_and_others_together_before_the_next_wait() {
        let (writer, mut client, _seat) = writer();
        let mut writer = writer.borrow_mut();
        writer.send(0, &text("one")).unwrap();
        assert!(!read_until(&mut client, "one").contains("two"));
        writer.send(0, &text("two")).unwrap();
        writer.send(0, &text("three")).unwrap();
        client.set_nonblocking(true).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        client.set_nonblocking(false).unwrap();
        writer.keep_alive().unwrap();
        let both = read_until(&mut client, "three");
        assert!(both.contains("two") && both.matches("\r\ndata: ").count() == 2, "a chunk for each: {both}");
        writer.end().unwrap();
        assert!(read_until(&mut client, "\r\n0\r\n\r\n").contains("[DONE]"));
    }

    #[test]
    fn what_is_pending_is_bounded() {
        let (writer, client, _seat) = writer();
        let mut writer = writer.borrow_mut();
        for _ in 0..200 {
            writer.send(0, &text(&"x".repeat(500))).unwrap();
            assert!(writer.stream.pending() < MAX_PENDING);
        }
        drop(client);
    }
}
