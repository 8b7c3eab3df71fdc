//! Poe's native endpoints: a request in a dialect that Poe supports is passed through, and so is its answer.

mod answer;
mod json;
mod marks;
mod refusal;
mod request;
mod whole;

use std::sync::Arc;

use ureq::Body;
use ureq::http::Response;

pub use answer::Echo;
use answer::{Answer, Frames, State, is_substance};
pub use json::quoted;
pub use marks::{Marks, ours, unmarked};
pub use refusal::{Refusal, Unknown};
pub use request::{
    Adapted, MissingFeature, NativeRequest, adapt, expanded, field, is_hint, missing_feature, names, without,
};
pub use whole::events;

use super::client::{Poe, bearer, finished};
use super::counters::Counters;
use super::error_classes::hide;
use super::transport::{CancelCheck, cancellable};
use super::wire::{READ_BYTES, Wire, cut_short};
use crate::budget::Reservation;
use crate::error::{Error, Kind};
use crate::pipeline::{NativeEndpoint, TokenUsage};

/// One event, and one whole answer, of more bytes is refused.
const MAX_EVENT_BYTES: usize = 32 << 20;
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Both are held as they came and as they are sent.
const WHOLE_COPIES: usize = 2;
/// A whole answer begins only when it is complete: it may take so many times as long as the beginning of a stream.
const WHOLE_TAKES: u32 = 6;
/// Headers of Poe's that are for its clients, by their names or how these begin.
const PASSED_HEADERS: [&str; 3] = ["x-request-id", "x-ratelimit-", "anthropic-ratelimit-"];
/// More of them are left out.
const MOST_HEADERS: usize = 32;

/// A request for one of the endpoints.
#[derive(Debug, Clone)]
pub struct EndpointRequest<'a> {
    /// Which endpoint.
    pub endpoint: NativeEndpoint,
    /// The key that pays.
    pub key: &'a str,
    /// Headers beside those that every request has.
    pub headers: &'a [(&'static str, String)],
    /// The body.
    pub body: &'a [u8],
    /// Whether it asks for a stream.
    pub stream: bool,
    /// What the client is to find in the answer.
    pub echo: Echo,
}

/// Headers that are passed on with an answer.
pub type Headers = Vec<(String, String)>;

/// What an endpoint answers to a request for a stream.
pub enum Opening {
    /// A stream, which has begun.
    Stream(Box<Passing>),
    /// One JSON object.
    Whole(Whole),
}

/// A complete answer.
pub struct Whole {
    /// The answer: a JSON object.
    pub body: Vec<u8>,
    /// What it took, in Poe's count.
    pub usage: Option<TokenUsage>,
    /// How much of the question came out of Poe's cache.
    pub cached: u64,
    /// For the body.
    pub memory: Reservation,
}

impl Poe {
    /// Sends a request once, and makes of the answer what `read` makes of it: [`Passing::whole`] or [`Passing::opening`].
    /// Beside it stand the headers that are passed on.
    pub fn ask_endpoint<T>(
        &self,
        request: &EndpointRequest<'_>,
        cancel: &CancelCheck,
        read: fn(Passing) -> Result<T, Refusal>,
    ) -> Result<(T, Headers), Refusal> {
        let opened =
            self.send_to_endpoint(request, cancel).and_then(|(passing, headers)| match read(passing) {
                Ok(answer) => Ok((answer, headers)),
                Err(refusal) => Err(Refusal { headers, ..refusal }),
            });
        let opened = opened.map_err(|refusal| refusal.without(request.key));
        opened.inspect_err(|refusal| self.counters().add_error(&refusal.error))
    }

    fn send_to_endpoint(
        &self,
        endpoint_request: &EndpointRequest<'_>,
        cancel: &CancelCheck,
    ) -> Result<(Passing, Headers), Refusal> {
        let EndpointRequest { endpoint, key, headers, body, stream, echo } = endpoint_request;
        let accept = if *stream { "text/event-stream" } else { "application/json" };
        let mut request = self
            .agent()
            .post(format!("{}{}", self.settings().base_url, endpoint.path()))
            .header("Authorization", bearer(key))
            .header("Accept", accept)
            .header("Content-Type", "application/json");
        for (name, value) in *headers {
            request = request.header(*name, value);
        }
        let patience = self.settings().first_byte_timeout * if *stream { 1 } else { WHOLE_TAKES };
        let (response, ended) = cancellable(cancel, patience, || request.send(*body));
        let response = finished(response, ended)?;
        let status = response.status().as_u16();
        let headers = passed_headers(&response);
        if status != 200 {
            let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            let retry_after = retry_after.map(str::to_owned);
            let body = self.error_body(response, cancel)?;
            return Err(Refusal { headers, ..Refusal::of_status(status, retry_after.as_deref(), body) });
        }
        let idle_timeout = self.settings().idle_timeout;
        let passing = Passing {
            wire: Wire::new(response.into_body().into_reader(), CancelCheck::clone(cancel), idle_timeout),
            key: (*key).to_owned(),
            frames: Frames::default(),
            answer: Answer::new(*endpoint, echo.clone()),
            counters: Arc::clone(self.counters()),
            ready: Vec::new(),
            memory: Reservation::default(),
        };
        Ok((passing, headers))
    }
}

/// The headers that are passed on to the client.
fn passed_headers(response: &Response<Body>) -> Headers {
    let is_passed = |name: &str| {
        PASSED_HEADERS.iter().any(|known| name == *known || known.ends_with('-') && name.starts_with(known))
    };
    let passed = response.headers().iter().filter(|(name, _)| is_passed(name.as_str()));
    let texts =
        passed.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    texts.take(MOST_HEADERS).collect()
}

/// A stream on its way. Dropping it before its end hangs up on Poe.
pub struct Passing {
    wire: Wire,
    key: String,
    frames: Frames,
    answer: Answer,
    counters: Arc<Counters>,
    /// Whole events that have not been passed on.
    ready: Vec<u8>,
    /// For a whole answer, or for one large event.
    memory: Reservation,
}

impl Passing {
    /// What it took so far, in Poe's count, and how much of the question came out of Poe's cache.
    pub fn usage(&self) -> (Option<TokenUsage>, u64) {
        (self.answer.usage, self.answer.cached)
    }

    /// The error that the endpoint sent in the stream, if it did; the stream is over with it.
    pub fn fault(&self) -> Option<&str> {
        self.answer.fault.as_deref()
    }

    /// The complete response, where a stream's last event repeats it.
    pub fn rendered(&self) -> Option<&[u8]> {
        self.answer.rendered.as_deref()
    }

    /// The endpoint's own keep-alive event, to be repeated.
    pub fn keep_alive_frame(&self) -> Option<&[u8]> {
        self.answer.keep_alive_frame.as_deref()
    }

    /// The next events of a stream, as they came; `None` after the last. An error if it broke off.
    pub fn pass(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.try_pass().inspect_err(|error| self.counters.add_error(error))
    }

    fn try_pass(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.ready.is_empty() && self.answer.state == State::Over {
            self.wire.read_rest();
            return Ok(None);
        }
        if self.ready.is_empty() {
            match (self.next_frame()?, self.answer.state) {
                (Some(frame), _) => self.take(&frame),
                (None, State::Open) => return Err(cut_short()),
                (None, State::Finished | State::Over) => return Ok(None),
            }
        }
        // what has come with it leaves with it
        while self.answer.state != State::Over
            && let Some(frame) = self.frames.next(false)
        {
            self.take(&frame);
        }
        Ok(Some(std::mem::take(&mut self.ready)))
    }

    /// Passes an event on. What an endpoint says of an error may hold the key.
    fn take(&mut self, frame: &[u8]) {
        let start = self.ready.len();
        self.answer.frame(frame, &mut self.ready);
        if let Some(fault) = self.answer.fault.take() {
            let shown = refusal::hidden(self.ready.split_off(start), &self.key);
            self.ready.extend_from_slice(&shown);
            self.answer.fault = Some(hide(Error::new(Kind::Upstream, fault), &self.key).message);
        }
    }

    /// The next event as it came; `None` at the end. The last may lack its blank line if it ends the answer.
    fn next_frame(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(frame) = self.frames.next(false) {
                return Ok(Some(frame));
            }
            if self.read()? == 0 {
                let last = self.frames.next(true);
                return Ok(last.or_else(|| self.frames.take_last(&self.answer)));
            }
        }
    }

    /// Reads once; 0 at the end.
    fn read(&mut self) -> Result<usize, Error> {
        let mut bytes = [0; READ_BYTES];
        let count = self.wire.read(&mut bytes)?;
        self.frames.feed(&bytes[..count]);
        match self.frames.pending() {
            few if few <= READ_BYTES => self.memory.shrink(0),
            many if many > MAX_EVENT_BYTES => {
                return Err(Error::new(Kind::Upstream, "Poe sent an event that is too large"));
            }
            many => self.memory.cover_answer(many * WHOLE_COPIES)?,
        }
        Ok(count)
    }

    /// Whether what comes is a stream, and not one JSON object or a page.
    fn is_stream(&mut self) -> Result<bool, Error> {
        loop {
            match self.frames.first() {
                Some(first) => return Ok(!matches!(first, b'{' | b'[' | b'<')),
                None if self.read()? == 0 => return Err(cut_short()),
                None => {}
            }
        }
    }

    /// The beginning of a stream. Its first event is awaited, so that an error in its place can still become an answer of
    /// its own; whatever has come behind it does not matter.
    pub fn opening(mut self) -> Result<Opening, Refusal> {
        if !self.is_stream()? {
            return self.whole().map(Opening::Whole);
        }
        loop {
            let frame = self.next_frame()?.ok_or_else(cut_short)?;
            self.take(&frame);
            if self.answer.fault.is_some() {
                return Err(Refusal::of_event(&frame));
            }
            if is_substance(&frame) || self.answer.state == State::Over {
                return Ok(Opening::Stream(Box::new(self)));
            }
            if self.ready.len() > MAX_EVENT_BYTES {
                return Err(Error::new(Kind::Upstream, "Poe sent comments in place of an answer").into());
            }
        }
    }

    /// The answer as one piece.
    pub fn whole(mut self) -> Result<Whole, Refusal> {
        let mut body = self.frames.take_rest();
        loop {
            let mut bytes = [0; READ_BYTES];
            // what has begun has been paid for
            let read = self.wire.read(&mut bytes);
            let count =
                read.map_err(|error| Error { transient: error.transient && body.is_empty(), ..error })?;
            if count == 0 {
                break;
            }
            self.memory.grow(count * WHOLE_COPIES)?;
            body.extend_from_slice(&bytes[..count]);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(Error::new(Kind::Upstream, "Poe sent an answer that is too large").into());
            }
        }
        refusal::check(&body)?;
        let broken = || Error::new(Kind::Upstream, "Poe's endpoint answered with something that is not JSON");
        let body = self.answer.whole(body).ok_or_else(broken)?;
        let (usage, cached) = self.usage();
        Ok(Whole { body, usage, cached, memory: self.memory })
    }
}
