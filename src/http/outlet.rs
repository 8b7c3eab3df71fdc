//! Where a stream leaves: events in, frames out, and a sign of life when nothing else comes.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::event_stream::EventStream;
use crate::dialect::Encoder;
use crate::error::Error;
use crate::exchange::Event;

/// An encoder and the stream it writes to.
pub struct Outlet {
    stream: EventStream,
    encoder: Box<dyn Encoder>,
    frame: Vec<u8>,
    interval: Duration,
    last: Instant,
}

impl Outlet {
    /// An outlet that can be shared between the relay and its watch, both on one thread. Nothing is sent before the
    /// first event, or before `interval` has passed in silence.
    pub fn shared(stream: EventStream, encoder: Box<dyn Encoder>, interval: Duration) -> Rc<RefCell<Outlet>> {
        let outlet = Outlet { stream, encoder, frame: Vec::new(), interval, last: Instant::now() };
        Rc::new(RefCell::new(outlet))
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
        self.encoder.keep_alive(&mut self.frame);
        self.flush()
    }

    /// Ends the stream as a whole.
    pub fn end(&mut self) -> io::Result<()> {
        self.encoder.end(&mut self.frame);
        self.flush()?;
        self.stream.end()
    }

    /// Ends the stream with an error.
    pub fn fail(&mut self, error: &Error) -> io::Result<()> {
        self.encoder.error(error, &mut self.frame);
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
