//! Where a stream leaves: events in, frames out, and a sign of life when nothing else comes.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::dialect::Encoder;
use crate::error::Error;
use crate::pipeline::Event;
use crate::server::event_stream::EventStream;

/// An encoder and the stream it writes to.
pub struct StreamWriter {
    stream: EventStream,
    encoder: Box<dyn Encoder>,
    frame: Vec<u8>,
    interval: Duration,
    last: Instant,
    /// What is said as a sign of life in place of the encoder's.
    keep_alive_frame: Vec<u8>,
    /// Events have left that somebody else has sent.
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

    /// Sends one event of choice `index`. One that the dialect has no place for may leave room for a sign of life.
    pub fn send(&mut self, index: usize, event: &Event) -> io::Result<()> {
        self.encoder.event(index, event, &mut self.frame);
        match self.frame.is_empty() {
            true => self.keep_alive(),
            false => self.flush(),
        }
    }

    /// Sends a sign of life if it is time.
    pub fn keep_alive(&mut self) -> io::Result<()> {
        if self.last.elapsed() < self.interval {
            return Ok(());
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

    /// Sends whole events that somebody else has sent.
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
        self.flush()?;
        self.stream.end()
    }

    /// Ends the stream with an error.
    pub fn fail(&mut self, error: &Error) -> io::Result<()> {
        match self.has_passed {
            true => self.encoder.break_off(error, &mut self.frame),
            false => self.encoder.error(error, &mut self.frame),
        }
        self.flush()?;
        self.stream.end()
    }

    fn flush(&mut self) -> io::Result<()> {
        let sent = self.stream.send(&self.frame);
        self.frame.clear();
        self.last = Instant::now();
        sent
    }
}
