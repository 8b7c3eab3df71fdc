//! Client of Poe's API: bot queries with one retry, and the list of models.

use std::io::Read;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::Agent;
use ureq::Body;
use ureq::http::Response;

use super::bot_stream::BotStream;
use super::catalog::{self, Entry};
use super::counters::Counters;
use super::error_classes::{self, EVENTS, hide};
use super::settings::Settings;
use super::transport::{self, CancelCheck, cancellable};
use crate::error::{Error, Kind, Result};

/// Everything that can stand in a path segment unescaped, and nothing that could end or leave it.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Before the second try, and between two looks at the client meanwhile.
const BACK_OFF: Duration = Duration::from_millis(250);
/// A `Retry-After` longer than this is the client's to wait for.
const MAX_BACK_OFF: Duration = Duration::from_secs(2);
const TRIES: usize = 2;
/// The most bytes of an error answer, and of the list of models, that are read.
pub const MAX_ERROR_BYTES: u64 = 64 << 10;
/// How long the body of an error answer is waited for: its status alone says enough.
const MAX_ERROR_TIME: Duration = Duration::from_secs(5);
const MAX_CATALOG_BYTES: u64 = 32 << 20;

/// Poe, as seen from here.
pub struct Poe {
    agent: Agent,
    settings: Settings,
    counters: Arc<Counters>,
}

impl Poe {
    /// Poe by `settings`. An error says what is wrong with the certificates.
    pub fn new(settings: Settings) -> Result<Poe, String> {
        Ok(Poe { agent: transport::agent(&settings)?, settings, counters: Arc::default() })
    }

    /// How the calls went so far.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(super) fn agent(&self) -> &Agent {
        &self.agent
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks `bot`. The answer's first event has arrived when this returns; an error before it is this call's, and
    /// faults that a second try may cure have had one.
    pub fn chat(&self, bot: &str, key: &str, query: &[u8], cancel: &CancelCheck) -> Result<BotStream> {
        with_retry(&self.counters, cancel, || self.try_chat(bot, key, query, cancel))
    }

    /// The same without a second try.
    pub fn chat_once(&self, bot: &str, key: &str, query: &[u8], cancel: &CancelCheck) -> Result<BotStream> {
        self.try_chat(bot, key, query, cancel).inspect_err(|error| self.counters.add_error(error))
    }

    fn try_chat(&self, bot: &str, key: &str, query: &[u8], cancel: &CancelCheck) -> Result<BotStream> {
        let url = format!("{}/bot/{}", self.settings.base_url, segment(bot)?);
        self.send_once(&url, key, query, cancel).map_err(|error| hide(error, key))
    }

    fn send_once(&self, url: &str, key: &str, query: &[u8], cancel: &CancelCheck) -> Result<BotStream> {
        let request = self
            .agent
            .post(url)
            .header("Authorization", bearer(key))
            .header("Accept", "application/json")
            .header("Content-Type", "application/json");
        let (response, ended) = cancellable(cancel, self.settings.first_byte_timeout, || request.send(query));
        let response = finished(response, ended)?;
        if response.status() != 200 {
            return Err(self.refusal(response, cancel));
        }
        if is_json(&response) {
            return Err(error_classes::of_body(&self.read(response, MAX_ERROR_BYTES, cancel)?, EVENTS));
        }
        let body = response.into_body().into_reader();
        let counters = Arc::clone(&self.counters);
        let mut bot_stream =
            BotStream::new(body, key.to_owned(), cancel.clone(), self.settings.idle_timeout, counters);
        bot_stream.await_first()?;
        Ok(bot_stream)
    }

    /// Poe's list of models. It needs no key, and an empty one is refused: `None` sends none.
    pub fn models(&self, key: Option<&str>, cancel: &CancelCheck) -> Result<Vec<Entry>> {
        let mut request = self.agent.get(format!("{}/v1/models", self.settings.base_url));
        if let Some(key) = key {
            request = request.header("Authorization", bearer(key));
        }
        let (response, ended) = cancellable(cancel, self.settings.first_byte_timeout, || request.call());
        let response = finished(response, ended)?;
        if response.status() != 200 {
            return Err(self.refusal(response, cancel));
        }
        catalog::parse(&self.read(response, MAX_CATALOG_BYTES, cancel)?)
    }

    pub(super) fn refusal(&self, response: Response<Body>, cancel: &CancelCheck) -> Error {
        let status = response.status().as_u16();
        let place = response.headers().get("location").and_then(|value| value.to_str().ok());
        if let Some(place) = place.filter(|_| response.status().is_redirection()) {
            let message =
                format!("Poe answered with status {status}, a redirect to {place}: check POE_BASE_URL");
            return Error::new(Kind::Upstream, message);
        }
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        match self.error_body(response, cancel) {
            Ok(body) => error_classes::of_status(status, retry_after.as_deref(), &body),
            Err(error) => error,
        }
    }

    /// The body of an error answer; empty if it does not come soon. An error ends the wait for any answer.
    pub(super) fn error_body(&self, response: Response<Body>, cancel: &CancelCheck) -> Result<Vec<u8>> {
        let limit = MAX_ERROR_TIME.min(self.settings.idle_timeout);
        let body = self.read_within(response, MAX_ERROR_BYTES, limit, cancel);
        match (body, cancel()) {
            (Ok(body), _) => Ok(body),
            (Err(_), Err(error)) => Err(error),
            (Err(_), Ok(())) => Ok(Vec::new()),
        }
    }

    pub(super) fn read(&self, response: Response<Body>, limit: u64, cancel: &CancelCheck) -> Result<Vec<u8>> {
        self.read_within(response, limit, self.settings.idle_timeout, cancel)
    }

    /// At most `limit` bytes of a body that must be complete within `time`.
    fn read_within(
        &self,
        response: Response<Body>,
        limit: u64,
        time: Duration,
        cancel: &CancelCheck,
    ) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        let mut reader = response.into_body().into_reader().take(limit);
        let (outcome, ended) = cancellable(cancel, time, || reader.read_to_end(&mut body));
        match (outcome, ended) {
            (_, Some(error)) => Err(error),
            (Err(error), None) => {
                Err(Error::new(Kind::Upstream, format!("Poe broke off its answer: {error}")))
            }
            (Ok(_), None) => Ok(body),
        }
    }
}

/// Calls `call`, and once more after a fault that a second try may cure.
pub fn with_retry<T>(
    counters: &Counters,
    cancel: &CancelCheck,
    mut call: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut tries = 1;
    loop {
        let error = match call() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        counters.add_error(&error);
        let Some(wait) = retry_wait(&error).filter(|_| tries < TRIES) else { return Err(error) };
        log::debug!("retry in {} ms after: {error}", wait.as_millis());
        tries += 1;
        pause(wait, cancel)?;
        counters.add_retry();
    }
}

/// How long to wait before a second try after `error`; `None`: it is of no use, or too far away.
pub fn retry_wait(error: &Error) -> Option<Duration> {
    let wait = error.retry_after.unwrap_or(BACK_OFF);
    (error.transient && wait <= MAX_BACK_OFF).then_some(wait)
}

/// What a call brought, or why it ended.
pub fn finished(
    response: Result<Response<Body>, ureq::Error>,
    ended: Option<Error>,
) -> Result<Response<Body>> {
    match (response, ended) {
        (_, Some(error)) => Err(error),
        (Err(error), None) => Err(transport::failure(&error)),
        (Ok(response), None) => Ok(response),
    }
}

/// Whether an answer is one JSON text, and so no stream of events.
fn is_json(response: &Response<Body>) -> bool {
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("application/json"))
}

/// The `Authorization` header.
pub fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// A bot's name as one segment of a path: it can never reach another path.
fn segment(bot: &str) -> Result<String> {
    match bot {
        "." | ".." => {
            Err(Error::new(Kind::ModelNotFound, format!("there is no model `{bot}`")).about("model"))
        }
        _ => Ok(utf8_percent_encode(bot, SEGMENT).to_string()),
    }
}

/// Waits for `wait`, or less if the watch says so.
pub fn pause(wait: Duration, cancel: &CancelCheck) -> Result<()> {
    let end = Instant::now() + wait;
    loop {
        cancel()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(BACK_OFF));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_key_is_not_repeated() {
        let error =
            hide(Error::new(Kind::Unauthorized, "Incorrect API key: sk-12345, see sk-12345"), "sk-12345");
        assert_eq!(error.message, "Incorrect API key: ••••, see ••••");
        for no_key in ["", "demo"] {
            assert_eq!(hide(Error::new(Kind::Upstream, "no bot demo-x"), no_key).message, "no bot demo-x");
        }
    }

    #[test]
    fn a_name_never_leaves_its_segment() {
        let cases = [
            ("GPT-4o", "GPT-4o"),
            ("a b", "a%20b"),
            ("../v1/models", "..%2Fv1%2Fmodels"),
            ("a?b#c", "a%3Fb%23c"),
            ("a\\b%2F", "a%5Cb%252F"),
            ("\u{4f60}", "%E4%BD%A0"),
            ("a\r\nX: y", "a%0D%0AX%3A%20y"),
        ];
        for (name, expected) in cases {
            assert_eq!(segment(name).unwrap(), expected);
        }
        assert!(segment("..").is_err() && segment(".").is_err());
    }
}
