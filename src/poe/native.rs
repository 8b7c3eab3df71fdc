//! Poe's native endpoints: a request in a dialect that Poe supports is passed through, and so is its answer.

mod answer;
mod json;
mod marks;
mod request;

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::BodyReader;

use answer::{Answer, Frames, State};
pub use marks::{Marks, ours, unmarked};
pub use request::{MissingFeature, NativeRequest, is_hint, missing_feature, names, rewrite, without};

use super::client::{Poe, bearer, finished, with_retry};
use super::counters::Counters;
use super::error_classes::{self, hide};
use super::transport::{self, CancelCheck, TICK, cancellable};
use crate::budget::Reservation;
use crate::error::{Error, Kind, Result};
use crate::pipeline::{NativeEndpoint, TokenUsage};

/// What is read at once. It lies on the stack, which each held stream keeps.
const READ_BYTES: usize = 4 << 10;
/// One event, and one whole answer, of more bytes is refused.
const MAX_EVENT_BYTES: usize = 32 << 20;
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Both are held as they came and as they are sent.
const WHOLE_COPIES: usize = 2;
/// After its last event the body's end is awaited, so that the connection can be used again.
const REST_TIME: Duration = Duration::from_millis(50);
const REST_BYTES: u64 = 64 << 10;
/// A whole answer begins only when it is complete: it may take so many times as long as the beginning of a stream.
const WHOLE_TAKES: u32 = 6;

/// A request for one of the endpoints.
#[derive(Debug, Clone, Copy)]
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
    /// The client's name of the model, where it is not the bot's own.
    pub name: Option<&'a str>,
}

/// What an endpoint says to a request.
pub enum Opened {
    /// The answer begins.
    Passing(Box<Passing>),
    /// There is none.
    Refused(Refusal),
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The body in Poe's words, the key hidden.
    pub body: Vec<u8>,
    /// What it means.
    pub error: Error,
}

/// What an endpoint does not know, as far as its refusal states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// The model.
    Model,
    /// This field of the request, whatever its value.
    Field(String),
    /// The value of this field, or something inside it.
    Value(String),
    /// Something of the request, or perhaps the model: the endpoint failed in the way that it does then.
    Something,
}

/// Phrases (in lower case) of an endpoint that does not know the model.
const UNKNOWN_MODELS: &[&str] = &[
    "unknown model",
    "invalid model",
    "unsupported model",
    "model not found",
    "not a valid model",
    "not supported on this endpoint",
    "not available on this endpoint",
    "does not support this endpoint",
];
/// Phrases (in lower case) of an endpoint that does not know a field by its name.
const UNKNOWN_FIELDS: &[&str] = &[
    "unknown parameter",
    "unknown field",
    "unsupported parameter",
    "unsupported field",
    "unrecognized request argument",
    "unrecognized parameter",
    "unexpected keyword",
    "extra inputs are not permitted",
    "extra fields not permitted",
    "additional properties are not allowed",
];
/// Phrases (in lower case) of an endpoint that does not know a value, or something else that this one request asks for.
const UNKNOWN_VALUES: &[&str] =
    &["unsupported value", "does not support", "is not supported", "are not supported"];
/// The types of errors that Anthropic documents; clients know no others.
const ANTHROPICS_TYPES: &[&str] = &[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
];

impl Refusal {
    fn new(status: u16, retry_after: Option<&str>, body: Vec<u8>, key: &str) -> Refusal {
        let error = hide(error_classes::of_status(status, retry_after, &body), key);
        Refusal { status, body: hidden(body, key), error }
    }

    /// What `endpoint` does not know, of a request with these fields. `None` if the refusal has another reason, which would
    /// be the same at the bot protocol.
    pub fn unknown(&self, endpoint: NativeEndpoint, fields: &[String]) -> Option<Unknown> {
        let said = self.error.message.to_lowercase();
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| said.contains(phrase));
        let is_json = || serde_json::from_slice::<Value>(&self.body).is_ok();
        match (self.status, self.error.kind) {
            // files, vector stores and the like, which one request names, may not be there either
            (404, _) if is_json() && !said.contains("model") => Some(Unknown::Something),
            (404 | 405 | 501, _) | (_, Kind::ModelNotFound) => Some(Unknown::Model),
            (500, _) if endpoint == NativeEndpoint::Messages => Some(Unknown::Something),
            (400 | 422, _) if says(UNKNOWN_MODELS) => Some(Unknown::Model),
            (400 | 422, Kind::Unsupported) => Some(Unknown::Field("tools".into())),
            (400 | 422, _) if says(UNKNOWN_FIELDS) => Some(self.field(fields)),
            (400 | 422, _) if says(UNKNOWN_VALUES) => Some(match self.field(fields) {
                Unknown::Field(name) => Unknown::Value(name),
                other => other,
            }),
            _ => None,
        }
    }

    /// The field of the request that the refusal speaks of, or inside which it does.
    fn field(&self, fields: &[String]) -> Unknown {
        const ALWAYS: &[&str] = &["model", "messages", "input", "stream"];
        // a request may have as many fields as the message has words
        let fields: HashSet<&str> = fields.iter().map(String::as_str).collect();
        let known = |path: &str| {
            let root = path.split(['.', '[']).next().filter(|root| !ALWAYS.contains(root))?;
            let name = (*fields.get(root)?).to_owned();
            Some(if path.len() == root.len() { Unknown::Field(name) } else { Unknown::Value(name) })
        };
        let is_in_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']');
        let paths = self.error.message.split(|c| !is_in_path(c)).map(|path| path.trim_end_matches('.'));
        let param = self.error.param.as_deref().and_then(known);
        param.or_else(|| paths.into_iter().find_map(known)).unwrap_or(Unknown::Something)
    }

    /// Whether the body has the shape in which `endpoint` states errors, in words that its clients know, so that they can be
    /// given it as it is.
    pub fn is_in_shape(&self, endpoint: NativeEndpoint) -> bool {
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else { return false };
        let error = &body["error"];
        let text_or_null = |name: &str| error[name].is_string() || error[name].is_null();
        let has_message_and_type = error["message"].is_string() && error["type"].is_string();
        match endpoint {
            NativeEndpoint::Messages => {
                let kind = error["type"].as_str().unwrap_or_default();
                has_message_and_type && body["type"] == "error" && ANTHROPICS_TYPES.contains(&kind)
            }
            NativeEndpoint::Chat | NativeEndpoint::Responses => {
                has_message_and_type && text_or_null("code") && text_or_null("param")
            }
        }
    }
}

/// `body` without `key`: services are known to repeat keys that they refuse.
fn hidden(body: Vec<u8>, key: &str) -> Vec<u8> {
    match String::from_utf8(body) {
        Ok(text) => hide(Error::new(Kind::Upstream, text), key).message.into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

impl Poe {
    /// Sends the request at an endpoint. The answer's first event has arrived when this returns; faults that a second try may cure have
    /// had one.
    pub fn endpoint_request(
        &self,
        endpoint_request: &EndpointRequest<'_>,
        cancel: &CancelCheck,
    ) -> Result<Opened> {
        let url = format!("{}{}", self.settings().base_url, endpoint_request.endpoint.path());
        let mut refusal = None;
        let opened = with_retry(self.counters(), cancel, || {
            refusal = None;
            match self
                .try_endpoint(&url, endpoint_request, cancel)
                .map_err(|error| hide(error, endpoint_request.key))?
            {
                Opened::Refused(refused) => {
                    let error = refused.error.clone();
                    refusal = Some(refused);
                    Err(error)
                }
                passing => Ok(passing),
            }
        });
        match (opened, refusal) {
            // a client that left while a second try was waited for is not refused
            (Err(error), Some(refusal)) if error.kind == refusal.error.kind => Ok(Opened::Refused(refusal)),
            (opened, _) => opened,
        }
    }

    fn try_endpoint(
        &self,
        url: &str,
        endpoint_request: &EndpointRequest<'_>,
        cancel: &CancelCheck,
    ) -> Result<Opened> {
        let accept = if endpoint_request.stream { "text/event-stream" } else { "application/json" };
        let mut request = self
            .agent()
            .post(url)
            .header("Authorization", bearer(endpoint_request.key))
            .header("Accept", accept)
            .header("Content-Type", "application/json");
        for (name, value) in endpoint_request.headers {
            request = request.header(*name, value);
        }
        let patience =
            self.settings().first_byte_timeout * if endpoint_request.stream { 1 } else { WHOLE_TAKES };
        let (response, ended) = cancellable(cancel, patience, || request.send(endpoint_request.body));
        let response = finished(response, ended)?;
        let status = response.status().as_u16();
        if status != 200 {
            let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            let retry_after = retry_after.map(str::to_owned);
            let body = self.error_body(response, cancel)?;
            let refusal = Refusal::new(status, retry_after.as_deref(), body, endpoint_request.key);
            return Ok(Opened::Refused(refusal));
        }
        let mut passing = Passing {
            body: response.into_body().into_reader(),
            key: endpoint_request.key.to_owned(),
            cancel: CancelCheck::clone(cancel),
            looked_up: Instant::now(),
            idle_timeout: self.settings().idle_timeout,
            frames: Frames::default(),
            answer: Answer::new(endpoint_request.endpoint, endpoint_request.name),
            counters: Arc::clone(self.counters()),
            ready: Vec::new(),
            memory: Reservation::default(),
        };
        if endpoint_request.stream {
            passing.await_first()?;
            if passing.answer.fault.is_some() {
                return Ok(Opened::Refused(passing.into_refusal()));
            }
        }
        Ok(Opened::Passing(Box::new(passing)))
    }
}

/// An answer on its way. Dropping it before its end hangs up on Poe.
pub struct Passing {
    body: BodyReader<'static>,
    key: String,
    cancel: CancelCheck,
    looked_up: Instant,
    idle_timeout: Duration,
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
    pub fn pass(&mut self) -> Result<Option<Vec<u8>>> {
        self.try_pass().inspect_err(|error| self.counters.add_error(error))
    }

    fn try_pass(&mut self) -> Result<Option<Vec<u8>>> {
        while self.ready.is_empty() {
            if self.answer.state == State::Over {
                self.read_rest();
                return Ok(None);
            }
            if !self.read_events()? && self.ready.is_empty() {
                return match self.answer.state {
                    State::Finished | State::Over => Ok(None),
                    State::Open => Err(cut_short()),
                };
            }
        }
        Ok(Some(std::mem::take(&mut self.ready)))
    }

    /// The answer as one piece.
    pub fn whole(&mut self) -> Result<Vec<u8>> {
        self.try_whole().inspect_err(|error| self.counters.add_error(error))
    }

    fn try_whole(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut bytes = [0; READ_BYTES];
            let count = self.read(&mut bytes).map_err(|error| hide(error, &self.key))?;
            if count == 0 {
                break;
            }
            self.memory.grow(count * WHOLE_COPIES)?;
            body.extend_from_slice(&bytes[..count]);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(Error::new(Kind::Upstream, "Poe sent an answer that is too large"));
            }
        }
        let nonsense =
            || Error::new(Kind::Upstream, "Poe's endpoint answered with something that is not JSON");
        self.answer.whole(body).ok_or_else(nonsense)
    }

    /// Waits for the first event, so that an error before it can still become an answer of its own.
    fn await_first(&mut self) -> Result<()> {
        let mut looked = 0;
        while self.answer.state == State::Open {
            if self.ready[looked..].windows(5).any(|window| window == b"data:") {
                break;
            }
            looked = self.ready.len().saturating_sub(4);
            if looked > MAX_EVENT_BYTES {
                return Err(Error::new(Kind::Upstream, "Poe sent comments in place of an answer"));
            }
            if !self.read_events().map_err(|error| hide(error, &self.key))? {
                return Err(cut_short());
            }
        }
        Ok(())
    }

    /// An answer whose first event is an error has not begun.
    fn into_refusal(self) -> Refusal {
        let text = String::from_utf8_lossy(&self.ready);
        let data = text.lines().filter_map(|line| line.strip_prefix("data:")).next_back().unwrap_or_default();
        let code = serde_json::from_str::<Value>(data).ok().and_then(|data| data["error"]["code"].as_u64());
        let status = code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
        Refusal::new(status.unwrap_or(502), None, data.trim().into(), &self.key)
    }

    /// Reads once and takes in what is complete; false at the end.
    fn read_events(&mut self) -> Result<bool> {
        let mut bytes = [0; READ_BYTES];
        let count = self.read(&mut bytes)?;
        self.frames.feed(&bytes[..count]);
        while self.answer.state != State::Over
            && let Some(frame) = self.frames.next(count == 0)
        {
            let start = self.ready.len();
            self.answer.frame(&frame, &mut self.ready);
            if self.answer.fault.is_some() {
                let rendered = hidden(self.ready.split_off(start), &self.key);
                self.ready.extend_from_slice(&rendered);
                self.answer.fault = self
                    .answer
                    .fault
                    .take()
                    .map(|fault| hide(Error::new(Kind::Upstream, fault), &self.key).message);
            }
        }
        if count == 0 && self.answer.state != State::Over {
            // some end with their last line: what says that it is the last is taken for whole
            let (rest, mut rendered) = (self.frames.take_rest(), Vec::new());
            self.answer.frame(&rest, &mut rendered);
            if self.answer.state == State::Over {
                rendered.extend_from_slice(b"\n\n");
                self.ready.append(&mut rendered);
            }
        }
        match self.frames.pending() {
            few if few <= READ_BYTES => self.memory.shrink(0),
            many => self.memory.cover_answer(many * WHOLE_COPIES)?,
        }
        if self.frames.pending() > MAX_EVENT_BYTES {
            return Err(Error::new(Kind::Upstream, "Poe sent an event that is too large"));
        }
        Ok(count > 0)
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        if self.looked_up.elapsed() >= TICK {
            (self.cancel)()?;
            self.looked_up = Instant::now();
        }
        let (count, ended) = cancellable(&self.cancel, self.idle_timeout, || self.body.read(bytes));
        if let Some(error) = ended {
            return Err(error);
        }
        count.map_err(|error| match error.get_ref().and_then(|e| e.downcast_ref()) {
            Some(error) => transport::failure(error),
            None => Error::new(Kind::Upstream, format!("Poe broke off its answer: {error}")).transient(),
        })
    }

    /// Reads the end of the body, within bounds.
    fn read_rest(&mut self) {
        let deadline = Instant::now() + REST_TIME;
        let never_cancelled: CancelCheck = std::rc::Rc::new(|| Ok(()));
        let mut bytes = [0; 1024];
        let mut rest = 0;
        while rest < REST_BYTES {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            match cancellable(&never_cancelled, left, || self.body.read(&mut bytes)) {
                (Ok(count), None) if count > 0 => rest += count as u64,
                _ => return,
            }
        }
    }
}

fn cut_short() -> Error {
    Error::new(Kind::Upstream, "Poe ended its answer without finishing it").transient()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal::new(status, None, body.into(), "sk-a-long-key")
    }

    #[test]
    fn refusals_of_unknown_fields_are_recognized() {
        let fields = ["model", "messages", "tools", "reasoning_effort", "seed"].map(String::from);
        let unknown = |endpoint, status, body: &str| refusal(status, body).unknown(endpoint, &fields);
        let field = |name: &str| Some(Unknown::Field(name.into()));
        let rows = [
            (
                NativeEndpoint::Chat,
                404,
                r#"{"error":{"message":"The model `x` does not exist"}}"#,
                Some(Unknown::Model),
            ),
            (NativeEndpoint::Chat, 400, r#"{"error":{"message":"Invalid model: x"}}"#, Some(Unknown::Model)),
            (NativeEndpoint::Responses, 500, r#"{"error":{"message":"Internal server error"}}"#, None),
            (
                NativeEndpoint::Messages,
                500,
                r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"}}"#,
                Some(Unknown::Something),
            ),
            (
                NativeEndpoint::Chat,
                400,
                r#"{"error":{"message":"Unknown parameter: 'seed'.","param":"seed"}}"#,
                field("seed"),
            ),
            (
                NativeEndpoint::Chat,
                400,
                r#"{"error":{"message":"Unknown parameter: 'seed'."}}"#,
                field("seed"),
            ),
            (
                NativeEndpoint::Messages,
                400,
                r#"{"error":{"message":"seed: Extra inputs are not permitted"}}"#,
                field("seed"),
            ),
            // recorded
            (
                NativeEndpoint::Chat,
                400,
                r#"{"error":{"message":"Model kimi-k2.5-fw does not support tool calling. Use a tool-capable model or remove tools from the request.","type":"invalid_request_error","param":"model","code":"unsupported_feature_for_model"}}"#,
                field("tools"),
            ),
            (
                NativeEndpoint::Chat,
                400,
                r#"{"error":{"message":"Unsupported value: 'high' is not supported with the 'gpt-5.2-chat-latest' model. Supported values are: 'medium'.","type":"invalid_request_error"}}"#,
                Some(Unknown::Something),
            ),
            // of one value, or of what stands inside a field
            (
                NativeEndpoint::Messages,
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.0.content.0.image.source.media_type: image/x-foo is not supported"}}"#,
                Some(Unknown::Something),
            ),
            (
                NativeEndpoint::Chat,
                400,
                r#"{"error":{"message":"seed 7.5 is not supported","param":"seed"}}"#,
                Some(Unknown::Value("seed".into())),
            ),
            (
                NativeEndpoint::Messages,
                400,
                r#"{"error":{"message":"tools.0.custom.odd: Extra inputs are not permitted"}}"#,
                Some(Unknown::Value("tools".into())),
            ),
            (
                NativeEndpoint::Responses,
                400,
                r#"{"error":{"message":"Unknown parameter: 'tools[0].odd'.","param":"tools[0].odd"}}"#,
                Some(Unknown::Value("tools".into())),
            ),
            (
                NativeEndpoint::Responses,
                404,
                r#"{"error":{"message":"No such file: file-1"}}"#,
                Some(Unknown::Something),
            ),
            (NativeEndpoint::Responses, 404, "<html>nothing here</html>", Some(Unknown::Model)),
            (NativeEndpoint::Chat, 400, r#"{"error":{"message":"messages[0].content is empty"}}"#, None),
            (NativeEndpoint::Chat, 402, r#"{"error":{"message":"No points"}}"#, None),
            (NativeEndpoint::Chat, 429, "", None),
        ];
        for (endpoint, status, body, expected) in rows {
            assert_eq!(unknown(endpoint, status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn only_errors_in_the_endpoints_own_shape_pass() {
        let fits = |endpoint, body: &str| refusal(400, body).is_in_shape(endpoint);
        let openai = r#"{"error":{"message":"m","type":"t","param":"model","code":"c"}}"#;
        let poes = r#"{"error":{"code":401,"type":"authentication_error","message":"m","metadata":{}}}"#;
        let anthropics = r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
        let half = r#"{"type":"error","error":{"type":"service_unavailable","message":"m"}}"#;
        assert_eq!(
            [openai, poes, "<html>", "{}"].map(|body| fits(NativeEndpoint::Chat, body)),
            [true, false, false, false]
        );
        assert_eq!(
            [openai, poes, anthropics, half].map(|body| fits(NativeEndpoint::Messages, body)),
            [false, false, true, false]
        );
    }

    #[test]
    fn a_refused_key_is_not_repeated() {
        let refusal = refusal(401, r#"{"error":{"message":"Incorrect API key: sk-a-long-key"}}"#);
        assert!(!String::from_utf8(refusal.body).unwrap().contains("sk-a-long-key"));
        assert!(!refusal.error.message.contains("sk-a-long-key"));
    }
}
