//! One answer as it comes from Poe.

use std::collections::VecDeque;
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::BodyReader;

use super::client::hide;
use super::counters::Counters;
use super::decode::{Decode, Progress};
use super::sse;
use super::transport::{self, CancelCheck, TICK, cancellable};
use crate::error::{Error, Kind, Result};
use crate::pipeline::Event;

/// What is read at once. It lies on the stack, which each held stream keeps.
const READ_BYTES: usize = 4 << 10;
/// After `done` the body's end is awaited, so that the connection can be used again: for so long and so many bytes.
const REST_TIME: Duration = Duration::from_millis(50);
const REST_BYTES: u64 = 64 << 10;

/// The events of one answer. Dropping it before the end hangs up on Poe.
pub struct BotStream {
    body: BodyReader<'static>,
    /// Kept to be hidden from what is sent.
    key: String,
    cancel: CancelCheck,
    /// When the watch was last called; a busy stream leaves it no silence to be called in.
    looked_up: Instant,
    idle_timeout: Duration,
    sse: sse::Decoder,
    decode: Decode,
    ready: VecDeque<Event>,
    state: State,
    counters: Arc<Counters>,
    /// Why the answer broke off; given once all events before it are.
    failed: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// Poe said `done`.
    Done,
    /// The answer broke off.
    Failed,
}

impl BotStream {
    pub(super) fn new(
        body: BodyReader<'static>,
        key: String,
        cancel: CancelCheck,
        idle_timeout: Duration,
        counters: Arc<Counters>,
    ) -> BotStream {
        BotStream {
            body,
            key,
            cancel,
            looked_up: Instant::now(),
            idle_timeout,
            sse: sse::Decoder::default(),
            decode: Decode::default(),
            ready: VecDeque::new(),
            state: State::Reading,
            counters,
            failed: None,
        }
    }

    /// Waits for the first event, so that an error before it can still become an answer of its own.
    pub(super) fn await_first(&mut self) -> Result<()> {
        while !self.ready.iter().any(is_substance) && self.state == State::Reading {
            self.read();
        }
        match self.ready.iter().any(is_substance) {
            true => Ok(()),
            false => self.failed.take().map_or(Ok(()), Err),
        }
    }

    fn read(&mut self) {
        if let Err(error) = self.try_read() {
            self.state = State::Failed;
            self.failed = Some(hide(error, &self.key));
        }
    }

    /// Reads once from Poe and decodes what is complete.
    fn try_read(&mut self) -> Result<()> {
        if self.looked_up.elapsed() >= TICK {
            (self.cancel)()?;
            self.looked_up = Instant::now();
        }
        let mut bytes = [0; READ_BYTES];
        let (count, ended) = cancellable(&self.cancel, self.idle_timeout, || self.body.read(&mut bytes));
        if let Some(error) = ended {
            return Err(error);
        }
        let count = count.map_err(|error| match error.get_ref().and_then(|e| e.downcast_ref()) {
            Some(error) => transport::failure(error),
            None => Error::new(Kind::Upstream, format!("Poe broke off its answer: {error}")).transient(),
        })?;
        if count == 0 {
            return Err(Error::new(Kind::Upstream, "Poe ended its answer without finishing it").transient());
        }
        self.sse.feed(&bytes[..count])?;
        while let Some(frame) = self.sse.next_frame() {
            if self.decode.push(&frame, &mut self.ready)? == Progress::Done {
                self.state = State::Done;
                break;
            }
        }
        Ok(())
    }

    /// Reads the end of the body, within bounds.
    fn read_rest(&mut self) {
        let deadline = Instant::now() + REST_TIME;
        let nobody: CancelCheck = Rc::new(|| Ok(()));
        let mut bytes = [0; 1024];
        let mut rest = 0;
        while rest < REST_BYTES {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            match cancellable(&nobody, left, || self.body.read(&mut bytes)) {
                (Ok(count), None) if count > 0 => rest += count as u64,
                _ => return,
            }
        }
    }
}

/// Whether an event is part of the answer. Before the first that is, an error can still have a status of its own.
fn is_substance(event: &Event) -> bool {
    !matches!(event, Event::Suggestion(_) | Event::Metadata(_) | Event::Retract)
}

impl Iterator for BotStream {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Result<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.state != State::Reading {
                let failed = self.failed.take();
                failed.iter().for_each(|error| self.counters.add_error(error));
                return failed.map(Err);
            }
            self.read();
        }
    }
}

impl Drop for BotStream {
    fn drop(&mut self) {
        if self.state == State::Done {
            self.read_rest();
        }
    }
}
