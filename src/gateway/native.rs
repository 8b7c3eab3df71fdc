//! Handling of a request that is passed through to one of Poe's native endpoints.
//!
//! The request has been decoded, so it is valid and its model is known; what is sent is nevertheless the client's own
//! body. Where the route is `auto` and the endpoint does not support the request, or fails, the bot protocol is used
//! instead.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::context::{Authenticated, Exchange};
use super::prepared_request::{note_key, wait_turn, watched};
use super::record::Record;
use super::stream_writer::StreamWriter;
use crate::config::models::{Route, Tools};
use crate::dialect::{DecodedRequest, messages, responses};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::gateway::model_directory::Model;
use crate::pipeline::stages::prompt_tokens;
use crate::pipeline::{ChatRequest, NativeEndpoint, TokenUsage};
use crate::poe::native::{
    self, Echo, EndpointRequest, Headers, Marks, MissingFeature, NativeRequest, Opening, Passing, Refusal,
    Unknown, Whole,
};
use crate::poe::{self, CancelCheck};
use crate::server::answer::Answer;

/// How long an endpoint's refusal of a model or a field is believed.
const BELIEVED: Duration = Duration::from_secs(3600);
/// By what this server knows again what it sent clients for itself to read.
const MARKS: Marks =
    Marks { signature: messages::SIGNATURE, seal: responses::SEAL, is_thought: responses::is_thought };
/// How often an endpoint is asked again for one request, each time without a hint that it does not know.
const MOST_HINTS: usize = 8;

/// A request that is to go through a native endpoint.
pub struct Native {
    endpoint: NativeEndpoint,
    route: Route,
    model: Model,
    /// The model's name as the client wrote it.
    name: String,
    body: Vec<u8>,
    headers: Vec<(&'static str, String)>,
    echo: Echo,
}

/// What became of it.
pub enum Outcome<T> {
    /// The answer has come.
    Answered(T),
    /// The endpoint refused: in its words, and what that means.
    Refused(Answer, Error),
    /// The bot protocol is to be used.
    Bot,
}

impl Native {
    /// The way through a native endpoint, if `decoded` is to take one; `body` is the question as it came.
    pub fn find(
        request: &Exchange<'_, '_>,
        decoded: &mut DecodedRequest,
        body: Vec<u8>,
        cancel: &CancelCheck,
    ) -> Result<Option<Native>> {
        let [chat] = decoded.chats.as_slice() else { return Ok(None) };
        let app = request.app();
        let model = app.model(&chat.model, request.client(), cancel)?;
        let route = app.route(&model);
        let Some(endpoint) = decoded.endpoint.filter(|_| route != Route::Bot) else {
            if route == Route::Native {
                log::debug!(
                    "Poe has no native endpoint for this dialect: {} uses the bot protocol",
                    model.bot
                );
            }
            return Ok(None);
        };
        let (bot, path, now) = (&model.bot, endpoint.path(), Instant::now());
        let Some(entry) = model.entry.as_ref().filter(|entry| entry.has_native_endpoint(endpoint)) else {
            return if route == Route::Auto { Ok(None) } else { Err(no_native_endpoint(&model, endpoint)) };
        };
        // models.yaml wants tools in the prompt, or the endpoint has failed
        let has_prompt_tools = model.config.tools == Tools::Prompt && !chat.tools.is_empty();
        if route == Route::Auto && (has_prompt_tools || app.endpoints.rests(bot, path, now)) {
            return Ok(None);
        }
        let (effort, defaults) = (model.effort, &model.config.parameters);
        let native_request = NativeRequest { endpoint, chat, entry, effort, defaults };
        let echo = echo(endpoint, &body, &chat.model, bot);
        let body = match decoded.earlier.take() {
            Some(earlier) if endpoint == NativeEndpoint::Responses => native::expanded(&body, earlier),
            _ => body,
        };
        let Some(body) = sendable(app, &body, &native_request, route)? else { return Ok(None) };
        let (name, headers) = (chat.model.clone(), headers(request, endpoint));
        Ok(Some(Native { endpoint, route, name, body, headers, echo, model }))
    }

    /// Asks for a whole answer.
    pub fn whole(
        mut self,
        request: &mut Authenticated<'_, '_>,
        chats: &[ChatRequest],
        cancel: &CancelCheck,
    ) -> Result<Outcome<Vec<u8>>> {
        let (whole, headers) = match self.ask(request, false, cancel, Passing::whole)? {
            Ok(opened) => opened,
            Err(refusal) => return self.refused(request, chats, refusal, cancel),
        };
        self.note(request.app(), None);
        request.pass_on(headers);
        request.record.capture_body(&whole.body);
        note_usage(&mut request.record, whole.usage, whole.cached);
        Ok(Outcome::Answered(whole.body))
    }

    /// Asks for a stream and passes it on. An error may come after a part of it has left.
    pub fn stream(
        mut self,
        request: &mut Authenticated<'_, '_>,
        chats: &[ChatRequest],
        writer: &RefCell<StreamWriter>,
        cancel: &CancelCheck,
    ) -> Result<Outcome<()>> {
        writer.borrow_mut().set_keep_alive_frame(keep_alive_frame(self.endpoint));
        let (opening, headers) = match self.ask(request, true, cancel, Passing::opening)? {
            Ok(opened) => opened,
            Err(refusal) => {
                writer.borrow_mut().set_keep_alive_frame(Vec::new());
                return self.refused(request, chats, refusal, cancel);
            }
        };
        writer.borrow_mut().pass_on(headers);
        match opening {
            Opening::Stream(mut passing) => {
                let passed = pass(&mut request.record, &mut passing, writer);
                let (usage, cached) = passing.usage();
                note_usage(&mut request.record, usage, cached);
                if let Some(fault) = passing.fault() {
                    request.record.fault = Some(fault.to_owned());
                }
                self.note(request.app(), passed.as_ref().err());
                passed?;
            }
            Opening::Whole(whole) => {
                self.note(request.app(), None);
                self.play(request, &whole, writer)?;
            }
        }
        Ok(Outcome::Answered(()))
    }

    /// Sends the request, and on route `native` once more after a failure that may pass. On `auto` the bot protocol is the
    /// second try.
    fn ask<T>(
        &mut self,
        request: &mut Authenticated<'_, '_>,
        stream: bool,
        cancel: &CancelCheck,
        read: fn(Passing) -> Result<T, Refusal>,
    ) -> Result<Result<(T, Headers), Refusal>> {
        let (app, key) = (request.app(), request.key());
        request.record.uses_native_endpoint(&self.model.bot);
        wait_turn(app, &key, request.record.address, cancel)?;
        let mut opened = self.ask_without_hints(app, &key, stream, cancel, read);
        if self.route == Route::Native
            && let Err(refusal) = &opened
            && let Some(wait) = self.second_try(app, &refusal.error)
        {
            log::debug!("retry in {} ms after: {}", wait.as_millis(), refusal.error);
            poe::pause(wait, cancel)?;
            app.poe.counters().add_retry();
            opened = self.ask_without_hints(app, &key, stream, cancel, read);
            if opened.is_err() {
                app.endpoints.second_try_failed(&self.model.bot, self.endpoint.path(), Instant::now());
            }
        }
        let error = opened.as_ref().err().map(|refusal| refusal.error.as_ref());
        note_key(app, &key, error);
        if error.is_some() {
            self.note(app, error);
        }
        Ok(opened)
    }

    /// How long to wait before a second try, if there is to be one.
    fn second_try(&self, app: &App, error: &Error) -> Option<Duration> {
        let is_allowed =
            || app.endpoints.allows_second_try(&self.model.bot, self.endpoint.path(), Instant::now());
        poe::retry_wait(error).filter(|_| is_allowed())
    }

    /// Sends the request, and again without each hint that the endpoint does not know: no answer hangs on a hint.
    fn ask_without_hints<T>(
        &mut self,
        app: &App,
        key: &str,
        stream: bool,
        cancel: &CancelCheck,
        read: fn(Passing) -> Result<T, Refusal>,
    ) -> Result<(T, Headers), Refusal> {
        let mut left = MOST_HINTS;
        loop {
            let (endpoint, echo) = (self.endpoint, self.echo.clone());
            let endpoint_request =
                EndpointRequest { endpoint, key, headers: &self.headers, body: &self.body, stream, echo };
            let opened = app.poe.ask_endpoint(&endpoint_request, cancel, read);
            let unknown = opened.as_ref().err().and_then(|refusal| self.unknown(refusal));
            match unknown {
                Some(Unknown::Field(ref hint) | Unknown::Value(ref hint))
                    if left > 0 && native::is_hint(endpoint, hint) =>
                {
                    log::debug!(
                        "{hint} was left out: {} does not take it for {}",
                        endpoint.path(),
                        self.model.bot
                    );
                    self.remember(app, unknown.as_ref());
                    self.body = native::without(std::mem::take(&mut self.body), std::slice::from_ref(hint));
                    left -= 1;
                }
                _ => return opened,
            }
        }
    }

    fn unknown(&self, refusal: &Refusal) -> Option<Unknown> {
        refusal.unknown(&native::names(&self.body))
    }

    /// Remembers what the endpoint would refuse of every request; a value, or a passing fault, is one client's affair.
    fn remember(&self, app: &App, unknown: Option<&Unknown>) {
        let field = match unknown {
            Some(Unknown::Model) => None,
            Some(Unknown::Field(name)) => Some(name.as_str()),
            Some(Unknown::Value(_) | Unknown::Something) | None => return,
        };
        app.endpoints.remember(&self.model.bot, self.endpoint.path(), field, Instant::now(), BELIEVED);
    }

    /// Notes whether the endpoint works. Where another route is there, one that fails again and again is left alone.
    fn note(&self, app: &App, error: Option<&Error>) {
        let (bot, path) = (&self.model.bot, self.endpoint.path());
        match error {
            None => app.endpoints.worked(bot, path),
            Some(error) if self.route == Route::Auto && is_failure(error.kind) => {
                if let Some(rest) = app.endpoints.failed(bot, path, Instant::now()) {
                    let minutes = rest.as_secs() / 60;
                    log::warn!(
                        "{path} has failed repeatedly for {bot}, which uses the bot protocol for {minutes} minutes: {error}"
                    );
                }
            }
            Some(_) => {}
        }
    }

    /// What follows from a refusal: where only the endpoint does not know what it was asked, or fails, another endpoint may
    /// answer.
    fn refused<T>(
        &self,
        request: &mut Exchange<'_, '_>,
        chats: &[ChatRequest],
        refusal: Refusal,
        cancel: &CancelCheck,
    ) -> Result<Outcome<T>> {
        let app = request.app();
        let (bot, path) = (&self.model.bot, self.endpoint.path());
        if self.route == Route::Auto {
            let unknown = self.unknown(&refusal);
            // on Messages this is also how models of other makers fail
            let wait = self.second_try(app, &refusal.error);
            if unknown.is_some() || wait.is_some() {
                log::debug!(
                    "{bot} uses the bot protocol, because {path} refused the request: {}",
                    refusal.error
                );
                self.remember(app, unknown.as_ref());
                request.record.route = None;
                if let Some(wait) = wait {
                    poe::pause(wait, cancel)?;
                    app.poe.counters().add_retry();
                    request.failed_endpoint = Some(path);
                }
                return Ok(Outcome::Bot);
            }
        }
        if refusal.status == 0 {
            return Err(*refusal.error);
        }
        request.record.failed(&refusal.error);
        let count = |chat| watched(cancel, |count| prompt_tokens(chat, count)).unwrap_or(0);
        let tokens = || chats.first().map_or(0, count);
        let error = app.explain(Error::clone(&refusal.error), &self.model, &self.name, tokens);
        let answer = request.error_answer(&error);
        let answer = match has_known_wording(&refusal, self.endpoint) {
            true if refusal.status == 200 => answer.with_body(refusal.body),
            true => answer.with_body(refusal.body).with_status(refusal.status),
            false => answer,
        };
        request.pass_on(refusal.headers);
        Ok(Outcome::Refused(answer, error))
    }

    /// Sends a whole answer as the stream that the client asked for.
    fn play(
        &self,
        request: &mut Exchange<'_, '_>,
        whole: &Whole,
        writer: &RefCell<StreamWriter>,
    ) -> Result<()> {
        let mut writer = writer.borrow_mut();
        writer.set_keep_alive_frame(Vec::new());
        writer.begin(&|| whole.usage.map_or(0, |usage| usage.prompt));
        note_usage(&mut request.record, whole.usage, whole.cached);
        for event in native::events(self.endpoint, &whole.body, whole.usage) {
            writer.send(0, &event).map_err(gone)?;
            request.record.status = 200;
            request.record.first_byte();
            request.record.capture_event(&event);
        }
        writer.end().map_err(gone)
    }
}

/// Passes a stream on, event by event, to its end.
fn pass(record: &mut Record, passing: &mut Passing, writer: &RefCell<StreamWriter>) -> Result<()> {
    while let Some(events) = passing.pass()? {
        writer.borrow_mut().pass(&events).map_err(gone)?;
        record.capture_body(&events);
        record.status = 200;
        record.first_byte();
        if let Some(keep_alive_frame) = passing.keep_alive_frame() {
            writer.borrow_mut().set_keep_alive_frame(keep_alive_frame.to_vec());
        }
    }
    writer.borrow_mut().close(passing.rendered()).map_err(gone)
}

fn gone(_: std::io::Error) -> Error {
    Error::new(Kind::ClientGone, "the client disconnected")
}

fn note_usage(record: &mut Record, usage: Option<TokenUsage>, cached: u64) {
    record.add_usage(usage, true);
    record.cached = cached;
}

/// Whether an error of this kind says that the endpoint does not work.
fn is_failure(kind: Kind) -> bool {
    matches!(kind, Kind::Upstream | Kind::Overloaded | Kind::ModelTimeout | Kind::UpstreamTimeout)
}

/// Whether clients of the dialect recognize a refusal as it came: some kinds by their wording.
fn has_known_wording(refusal: &Refusal, endpoint: NativeEndpoint) -> bool {
    let says = |words: &str| refusal.error.message.contains(words);
    let is_known = match (refusal.error.kind, endpoint) {
        (Kind::ModelNotFound | Kind::InsufficientQuota | Kind::RateLimited, _) => false,
        (Kind::ContextTooLong, NativeEndpoint::Messages) => says("prompt is too long"),
        (Kind::ContextTooLong, _) => says("maximum context length"),
        _ => true,
    };
    is_known && refusal.is_in_shape(endpoint)
}

/// The body as it is sent to the endpoint; `None` where the bot protocol is better.
fn sendable(
    app: &App,
    body: &[u8],
    native_request: &NativeRequest<'_>,
    route: Route,
) -> Result<Option<Vec<u8>>> {
    let (endpoint, bot) = (native_request.endpoint, &native_request.entry.id);
    let (path, now) = (endpoint.path(), Instant::now());
    let use_bot = |why: &str| {
        log::debug!("{bot} uses the bot protocol and not {path}: {why}");
        Ok(None)
    };
    match native::ours(endpoint, body, &MARKS).or_else(|| native::missing_feature(body, native_request)) {
        Some(missing) if route == Route::Auto || missing.is_ours => {
            return use_bot(&format!("{}: {}", missing.field, missing.why));
        }
        Some(missing) => return Err(lacking(endpoint, &missing)),
        None => {}
    }
    let body = native::unmarked(endpoint, body, &MARKS);
    if route == Route::Auto && matches!(body, Cow::Owned(_)) {
        return use_bot("the reasoning in this request was created by the bot protocol");
    }
    let adapted = native::adapt(&body, native_request)?;
    if route == Route::Auto && !adapted.unsaid.is_empty() {
        return use_bot(&format!("it has no words for {}", adapted.unsaid.join(", ")));
    }
    for name in adapted.unsaid.iter().filter(|name| app.endpoints.is_news(bot, path, name)) {
        log::warn!(
            "{name} is not sent to {bot}: {path} has no words for it; with the route auto or bot it is"
        );
    }
    let mut hints = app.endpoints.fields(bot, path, now);
    hints.retain(|field| native::is_hint(endpoint, field));
    let body = native::without(adapted.body, &hints);
    match route == Route::Auto && app.endpoints.refuses(bot, path, &native::names(&body), now) {
        true => use_bot("it has refused such a request"),
        false => Ok(Some(body)),
    }
}

/// What the client is to find in the answer, where the endpoint is sent something else.
fn echo(endpoint: NativeEndpoint, body: &[u8], name: &str, bot: &str) -> Echo {
    let mut echo = Echo::new();
    if name != bot {
        echo.push(("model", native::quoted(name)));
    }
    if endpoint == NativeEndpoint::Responses {
        let store = native::field(body, "store").unwrap_or("true");
        let previous = native::field(body, "previous_response_id").filter(|id| *id != "\"\"");
        echo.push(("store", store.to_owned()));
        echo.extend(previous.map(|id| ("previous_response_id", id.to_owned())));
    }
    echo
}

/// A sign of life before the endpoint has said anything: of all that can be said then, what changes nothing.
fn keep_alive_frame(endpoint: NativeEndpoint) -> Vec<u8> {
    match endpoint {
        // a comment without a blank line, because some readers take a blank line for an event; and no event, though
        // Codex counts nothing else, because OpenAI's libraries break at any before `response.created`, the endpoint's own
        NativeEndpoint::Chat | NativeEndpoint::Responses => b": keep-alive\n".to_vec(),
        NativeEndpoint::Messages => b"event: ping\ndata: {\"type\": \"ping\"}\n\n".to_vec(),
    }
}

/// Headers of the client's that mean something to the endpoint.
fn headers(request: &Exchange<'_, '_>, endpoint: NativeEndpoint) -> Vec<(&'static str, String)> {
    let given = |name: &str| request.head().list(name);
    let mut headers = Vec::new();
    headers.extend(given("poe-feature").map(|value| ("poe-feature", value)));
    if endpoint == NativeEndpoint::Messages {
        let version = given("anthropic-version").unwrap_or_else(|| "2023-06-01".to_owned());
        headers.push(("anthropic-version", version));
        headers.extend(given("anthropic-beta").map(|value| ("anthropic-beta", value)));
    }
    headers
}

fn no_native_endpoint(model: &Model, endpoint: NativeEndpoint) -> Error {
    let bot = &model.bot;
    let others = model.entry.as_ref().map_or_else(Vec::new, |entry| {
        NativeEndpoint::ALL
            .into_iter()
            .filter(|endpoint| entry.has_native_endpoint(*endpoint))
            .map(NativeEndpoint::path)
            .collect()
    });
    let instead = match others.as_slice() {
        [] => String::new(),
        paths => format!("use {}, or ", paths.join(" or ")),
    };
    let message = format!(
        "the route of `{bot}` is native, but Poe's list declares no {} for it: {instead}set its route to auto or bot \
         (POE_ROUTE, or `route` in models.yaml)",
        endpoint.path()
    );
    Error::invalid("model", message)
}

fn lacking(endpoint: NativeEndpoint, MissingFeature { field, why, .. }: &MissingFeature) -> Error {
    let message = format!(
        "{field}: the route of this model is native, and Poe's {} does not support this: {why}; set the route to auto or bot \
         (POE_ROUTE, or `route` in models.yaml)",
        endpoint.path()
    );
    Error::invalid(*field, message)
}
