//! Iterator over the events of one answer from Poe.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ureq::BodyReader;

use super::answer_limits::{AnswerLimits, Room};
use super::counters::Counters;
use super::decode::{Decode, Progress};
use super::error_classes::{self, EVENTS, hide};
use super::sse::{self, Frame};
use super::transport::CancelCheck;
use super::wire::{READ_BYTES, Wire, cut_short};
use crate::budget::Reservation;
use crate::error::{Error, Result};
use crate::json_limits;
use crate::pipeline::{Event, FinishReason};

/// The most that is kept of an answer in which no event has come.
const MAX_HEAD: usize = 16 << 10;
/// The values in an event are counted before it is parsed if it has more bytes: a smaller one cannot hold many.
const LARGE_BYTES: usize = 64 << 10;
/// An event is held as it came, as its data and as its text.
const EVENT_COPIES: usize = 3;

/// The events of one answer. Dropping it before the end hangs up on Poe.
pub struct BotStream {
    wire: Wire,
    /// Kept to be hidden from what is sent.
    key: String,
    sse: sse::Decoder,
    decode: Decode,
    ready: VecDeque<Event>,
    state: State,
    limits: AnswerLimits,
    memory: Reservation,
    counters: Arc<Counters>,
    /// Why the answer broke off; given once all events before it are.
    failed: Option<Error>,
    /// What came before the first event: it may be no stream of events.
    head: Option<Vec<u8>>,
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
            wire: Wire::new(body, cancel, idle_timeout),
            key,
            sse: sse::Decoder::default(),
            decode: Decode::default(),
            ready: VecDeque::new(),
            state: State::Reading,
            limits: AnswerLimits::default(),
            memory: Reservation::default(),
            counters,
            failed: None,
            head: Some(Vec::new()),
        }
    }

    /// Waits for the first event, so that an error before it can still become an answer of its own.
    pub(super) fn await_first(&mut self) -> Result<()> {
        while !self.ready.iter().any(is_substance) && self.state == State::Reading {
            self.drop_what_changes_nothing();
            self.read();
        }
        match self.ready.iter().any(is_substance) {
            true => Ok(()),
            false => self.failed.take().map_or(Ok(()), Err),
        }
    }

    /// Before anything was said a replacement replaces nothing, and of metadata the last counts: however many come, little
    /// waits here.
    fn drop_what_changes_nothing(&mut self) {
        let last = self.ready.iter().rposition(|event| matches!(event, Event::Metadata(_)));
        let mut at = 0..;
        self.ready.retain(|event| match (event, at.next()) {
            (Event::Retract, _) => false,
            (Event::Metadata(_), at) => at == last,
            _ => true,
        });
    }

    fn read(&mut self) {
        if let Err(error) = self.try_read() {
            self.state = State::Failed;
            self.failed = Some(hide(error, &self.key));
        }
    }

    /// Reads once from Poe and decodes what is complete.
    fn try_read(&mut self) -> Result<()> {
        let mut bytes = [0; READ_BYTES];
        let count = self.wire.read(&mut bytes)?;
        if count == 0 {
            return self.end();
        }
        if let Some(head) = self.head.as_mut().filter(|head| head.len() < MAX_HEAD) {
            head.extend_from_slice(&bytes[..count]);
        }
        self.sse.feed(&bytes[..count])?;
        self.reserve()?;
        while let Some(frame) = self.sse.next_frame() {
            self.head = None;
            if frame.data.len() > LARGE_BYTES {
                json_limits::check_event(frame.name, frame.data)?;
            }
            let known = self.ready.len();
            let progress = self.decode.push(&frame, &mut self.ready)?;
            self.ready.iter().skip(known).try_for_each(|event| self.limits.count(event))?;
            if progress == Progress::Done {
                self.state = State::Done;
                break;
            }
            if self.limits.room(self.decode.others())? == Room::Full {
                return self.end_as_too_long();
            }
        }
        Ok(())
    }

    /// The body has ended without `done`.
    fn end(&mut self) -> Result<()> {
        let progress = match self.sse.ends_with(b"done") {
            true => self.decode.push(&Frame { name: b"done", data: b"" }, &mut self.ready)?,
            false => self.decode.end(&mut self.ready)?,
        };
        if progress == Progress::Done {
            self.state = State::Done;
            return Ok(());
        }
        let text = self.head.take().unwrap_or_default();
        match text.trim_ascii_start().first() {
            Some(b'<' | b'{' | b'[') => Err(error_classes::of_body(&text, EVENTS)),
            _ => Err(cut_short()),
        }
    }

    /// Reserves memory for a large event, which is copied when it is decoded, and for responses that wait.
    fn reserve(&mut self) -> Result<()> {
        let held = self.sse.held() * EVENT_COPIES + self.decode.others().sum::<usize>();
        match held > LARGE_BYTES {
            true => self.memory.cover_answer(held),
            false => {
                self.memory.shrink(0);
                Ok(())
            }
        }
    }

    /// Ends an answer that is as long as one may be, as if the bot had stopped here.
    fn end_as_too_long(&mut self) -> Result<()> {
        self.decode.push(&Frame { name: b"done", data: b"{}" }, &mut self.ready)?;
        if let Some(Event::Finish(finish)) = self.ready.back_mut() {
            finish.reason = FinishReason::Length;
        }
        self.state = State::Failed; // so that the rest is not awaited
        Ok(())
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
            self.wire.read_rest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Reply;

    use std::rc::Rc;

    /// The answer that `wire` is, of at most `most_bytes`.
    fn answer(wire: &str, most_bytes: usize) -> (Result<Reply>, BotStream) {
        let body = ureq::Body::builder().data(wire.to_owned()).into_reader();
        let never_cancelled: CancelCheck = Rc::new(|| Ok(()));
        let mut bot_stream =
            BotStream::new(body, "key".into(), never_cancelled, Duration::from_secs(9), Arc::default());
        bot_stream.limits = AnswerLimits::of(most_bytes);
        (Reply::fold(&mut bot_stream), bot_stream)
    }

    #[test]
    fn an_answer_that_is_too_long_ends_as_such() {
        let text = |text: &str, index: u8| {
            format!("event: text\ndata: {{\"text\":\"{text}\",\"index\":{index}}}\n\n")
        };
        let wire = text("0123456789", 0).repeat(1000) + "event: done\ndata: {}\n\n";
        let (reply, mut bot_stream) = answer(&wire, 1004);
        let reply = reply.unwrap();
        assert_eq!((reply.text.len(), reply.finish.reason), (1010, FinishReason::Length));
        assert!(bot_stream.next().is_none());
        let wire = text("a", 0) + &text("0123456789", 1).repeat(1000) + "event: done\ndata: {}\n\n";
        let reply = answer(&wire, 1004).0.unwrap();
        assert_eq!((reply.text.len(), reply.finish.reason), (1 + 2 + 1010, FinishReason::Length));
        let reply = answer(&wire, 20_000).0.unwrap();
        assert_eq!((reply.text.len(), reply.finish.reason), (1 + 2 + 10_000, FinishReason::Stop));
    }

    #[test]
    fn what_changes_nothing_does_not_pile_up_before_an_answer() {
        let nothing = |at: usize| {
            format!(
                "event: data\ndata: {{\"metadata\":\"{at}\"}}\n\nevent: replace_response\ndata: {{\"text\":\"\"}}\n\n"
            )
        };
        let wire: String = (0..10_000).map(nothing).collect();
        let body = ureq::Body::builder().data(wire + "event: text\ndata: {\"text\":\"a\"}\n\n").into_reader();
        let never_cancelled: CancelCheck = Rc::new(|| Ok(()));
        let mut bot_stream =
            BotStream::new(body, "key".into(), never_cancelled, Duration::from_secs(9), Arc::default());
        bot_stream.await_first().unwrap();
        assert!(bot_stream.ready.len() < 1000, "{} events wait", bot_stream.ready.len());
        let last = bot_stream.ready.iter().rfind(|event| matches!(event, Event::Metadata(_)));
        assert_eq!(last, Some(&Event::Metadata("9999".into())));
        assert_eq!(bot_stream.ready.back(), Some(&Event::Text("a".into())));
    }
}
