//! Handling of a request that is passed through to one of Poe's native endpoints.
//!
//! The request has been decoded, so it is valid and its model is known; what is sent is nevertheless the client's own
//! body. Where the route is `auto` and the endpoint does not support the request, the bot protocol is used instead.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::context::{Authenticated, Exchange};
use super::prepared_request::{note_key, wait_turn};
use super::record::Record;
use super::stream_writer::StreamWriter;
use crate::config::models::{Route, Tools};
use crate::dialect::{DecodedRequest, messages, responses};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::gateway::model_directory::Model;
use crate::pipeline::stages::prompt_tokens;
use crate::pipeline::{ChatRequest, NativeEndpoint};
use crate::poe::CancelCheck;
use crate::poe::native::{
    self, EndpointRequest, Marks, MissingFeature, NativeRequest, Opened, Passing, Refusal, Unknown,
};
use crate::server::answer::Answer;
use crate::tokens;

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
}

/// What became of it.
pub enum Outcome {
    /// The answer as one piece.
    Whole(Vec<u8>),
    /// All of the answer has left as a stream.
    Streamed,
    /// The endpoint refused: in its words, and what that means.
    Refused(Answer, Error),
    /// The bots' endpoint is to be asked.
    Bot,
}

impl Native {
    /// The way through a native endpoint, if `decoded` is to take one; `body` is the question as it came.
    pub fn find(
        request: &Exchange<'_, '_>,
        decoded: &DecodedRequest,
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
        let Some(entry) = model.entry.as_ref().filter(|entry| entry.has_native_endpoint(endpoint)) else {
            return if route == Route::Auto { Ok(None) } else { Err(no_native_endpoint(&model, endpoint)) };
        };
        let native_request =
            NativeRequest { chat, entry, effort: model.effort, defaults: &model.config.parameters };
        if route == Route::Auto && model.config.tools == Tools::Prompt && !chat.tools.is_empty() {
            return Ok(None); // models.yaml wants them in the prompt
        }
        match native::ours(endpoint, &body, &MARKS)
            .or_else(|| native::missing_feature(endpoint, &body, &native_request))
        {
            Some(missing_feature) if route == Route::Auto || missing_feature.is_ours => {
                let (field, path) = (missing_feature.field, endpoint.path());
                log::debug!(
                    "{} uses the bot protocol because of {field}: at {path} {}",
                    model.bot,
                    missing_feature.why
                );
                return Ok(None);
            }
            Some(missing_feature) => return Err(lacking(endpoint, &missing_feature)),
            None => {}
        }
        let body = native::unmarked(endpoint, &body, &MARKS);
        if route == Route::Auto && matches!(body, Cow::Owned(_)) {
            log::debug!("{} uses the bot protocol, which created the reasoning in this request", model.bot);
            return Ok(None);
        }
        let mut hints = app.endpoints.fields(&model.bot, endpoint.path(), Instant::now());
        hints.retain(|field| native::is_hint(endpoint, field));
        let sent = native::without(native::rewrite(endpoint, &body, &native_request)?.into_owned(), &hints);
        if route == Route::Auto
            && app.endpoints.refuses(&model.bot, endpoint.path(), &native::names(&sent), Instant::now())
        {
            return Ok(None);
        }
        let headers = headers(request, endpoint);
        Ok(Some(Native { endpoint, route, name: chat.model.clone(), body: sent, headers, model }))
    }

    /// Asks for a whole answer.
    pub fn whole(
        mut self,
        request: &mut Authenticated<'_, '_>,
        chats: &[ChatRequest],
        cancel: &CancelCheck,
    ) -> Result<Outcome> {
        let mut passing = match self.endpoint_request(request, false, cancel)? {
            Opened::Passing(passing) => passing,
            Opened::Refused(refusal) => return Ok(self.refused(request, chats, refusal)),
        };
        let body = passing.whole()?;
        request.record.capture_body(&body);
        note(&mut request.record, &passing);
        Ok(Outcome::Whole(body))
    }

    /// Asks for a stream and passes it on. An error may come after a part of it has left.
    pub fn stream(
        mut self,
        request: &mut Authenticated<'_, '_>,
        chats: &[ChatRequest],
        writer: &RefCell<StreamWriter>,
        cancel: &CancelCheck,
    ) -> Result<Outcome> {
        let gone = |_| Error::new(Kind::ClientGone, "the client disconnected");
        writer.borrow_mut().set_keep_alive_frame(keep_alive_frame(self.endpoint));
        let mut passing = match self.endpoint_request(request, true, cancel)? {
            Opened::Passing(passing) => passing,
            Opened::Refused(refusal) => {
                writer.borrow_mut().set_keep_alive_frame(Vec::new());
                return Ok(self.refused(request, chats, refusal));
            }
        };
        let rendered = loop {
            match passing.pass() {
                Ok(Some(events)) => {
                    writer.borrow_mut().pass(&events).map_err(gone)?;
                    request.record.capture_body(&events);
                    request.record.status = 200;
                    request.record.first_byte();
                    if let Some(keep_alive_frame) = passing.keep_alive_frame() {
                        writer.borrow_mut().set_keep_alive_frame(keep_alive_frame.to_vec());
                    }
                }
                Ok(None) => break writer.borrow_mut().close(passing.rendered()).map_err(gone),
                Err(error) => break Err(error),
            }
        };
        note(&mut request.record, &passing);
        rendered.map(|()| Outcome::Streamed)
    }

    /// Sends the request, and once more without each hint that the endpoint does not know: no answer hangs on a hint.
    fn endpoint_request(
        &mut self,
        request: &mut Authenticated<'_, '_>,
        stream: bool,
        cancel: &CancelCheck,
    ) -> Result<Opened> {
        let (app, key) = (request.app(), request.key());
        request.record.uses_native_endpoint(&self.model.bot);
        wait_turn(app, &key, request.record.address, cancel)?;
        let mut left = MOST_HINTS;
        loop {
            let endpoint_request = EndpointRequest {
                endpoint: self.endpoint,
                key: &key,
                headers: &self.headers,
                body: &self.body,
                stream,
                name: (self.name != self.model.bot).then_some(&self.name),
            };
            let opened = app.poe.endpoint_request(&endpoint_request, cancel)?;
            let refused = match &opened {
                Opened::Refused(refusal) => Some(&refusal.error),
                Opened::Passing(_) => None,
            };
            note_key(app, &key, refused);
            let Some(unknown) = self.unknown_hint(&opened).filter(|_| left > 0) else { return Ok(opened) };
            self.remember(app, &unknown);
            let (Unknown::Field(hint) | Unknown::Value(hint)) = unknown else { return Ok(opened) };
            log::debug!(
                "{hint} was left out: {} does not take it for {}",
                self.endpoint.path(),
                self.model.bot
            );
            self.body = native::without(std::mem::take(&mut self.body), &[hint]);
            left -= 1;
        }
    }

    /// The hint for which the endpoint refused, if it did for one.
    fn unknown_hint(&self, opened: &Opened) -> Option<Unknown> {
        let Opened::Refused(refusal) = opened else { return None };
        let unknown = refusal.unknown(self.endpoint, &native::names(&self.body))?;
        match &unknown {
            Unknown::Field(name) | Unknown::Value(name) if native::is_hint(self.endpoint, name) => {
                Some(unknown)
            }
            _ => None,
        }
    }

    /// Remembers what the endpoint would refuse of every request; a value, or a passing fault, is one client's affair.
    fn remember(&self, app: &App, unknown: &Unknown) {
        let field = match unknown {
            Unknown::Model => None,
            Unknown::Field(name) => Some(name.as_str()),
            Unknown::Value(_) | Unknown::Something => return,
        };
        app.endpoints.remember(&self.model.bot, self.endpoint.path(), field, Instant::now(), BELIEVED);
    }

    /// What follows from a refusal: where only the endpoint does not know what it was asked, another endpoint may.
    fn refused(&self, request: &mut Exchange<'_, '_>, chats: &[ChatRequest], refusal: Refusal) -> Outcome {
        let app = request.app();
        if self.route == Route::Auto
            && let Some(unknown) = refusal.unknown(self.endpoint, &native::names(&self.body))
        {
            let (bot, path) = (&self.model.bot, self.endpoint.path());
            log::debug!("{bot} uses the bot protocol, because {path} refused the request: {}", refusal.error);
            request.record.route = None;
            self.remember(app, &unknown);
            return Outcome::Bot;
        }
        request.record.failed(&refusal.error);
        let tokens = || chats.first().map_or(0, |chat| prompt_tokens(chat, tokens::count));
        let error = app.explain(refusal.error.clone(), &self.model, &self.name, tokens);
        let answer = request.error_answer(&error);
        // clients recognize some kinds by their wording: a message without it is replaced
        let has_required_wording = match (refusal.error.kind, self.endpoint) {
            (Kind::ModelNotFound | Kind::InsufficientQuota | Kind::RateLimited, _) => false,
            (Kind::ContextTooLong, NativeEndpoint::Messages) => {
                refusal.error.message.contains("prompt is too long")
            }
            (Kind::ContextTooLong, _) => refusal.error.message.contains("maximum context length"),
            _ => true,
        };
        let answer = match has_required_wording && refusal.is_in_shape(self.endpoint) {
            true => answer.with(refusal.status, refusal.body),
            false => answer,
        };
        Outcome::Refused(answer, error)
    }
}

/// Writes down what the answer took and how it ended.
fn note(record: &mut Record, passing: &Passing) {
    let (usage, cached) = passing.usage();
    record.add_usage(usage, true);
    record.cached = cached;
    if let Some(fault) = passing.fault() {
        record.fault = Some(fault.to_owned());
    }
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
