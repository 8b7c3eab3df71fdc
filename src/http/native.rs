//! The short life of a request that goes through one of Poe's own doors, as it came, and of its answer.
//!
//! The request has been decoded, so it is sound and its model is known; what is sent is the client's own body all the
//! same. Where the route is `auto` and the door does not know what it is asked, the bots' door is asked instead.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::context::{Authenticated, Exchange};
use super::order::{note_key, wait_turn};
use super::outlet::Outlet;
use super::record::Record;
use crate::app::{App, Model};
use crate::dialect::{Question, messages, responses};
use crate::error::{Error, Kind, Result};
use crate::exchange::{Ask, Door, prompt_tokens};
use crate::poe::Watch;
use crate::poe::door::{self, Knock, Lack, Marks, Opened, Passenger, Passing, Refusal, Unknown};
use crate::store::models::{Route, Tools};
use crate::store::tokens;

/// How long a door's refusal of a model or a field is believed.
const BELIEVED: Duration = Duration::from_secs(3600);
/// By what this server knows again what it told clients for itself to read.
const MARKS: Marks =
    Marks { signature: messages::SIGNATURE, seal: responses::SEAL, is_thought: responses::is_thought };
/// How often a door is asked again for one request, each time without a hint that it does not know.
const MOST_HINTS: usize = 8;

/// A request that is to go through a door.
pub struct Native {
    door: Door,
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
    /// The door refused: in its words, and what that means.
    Refused(Answer, Error),
    /// The bots' door is to be asked.
    Bot,
}

impl Native {
    /// The way through a door, if `question` is to take one; `body` is the question as it came.
    pub fn find(
        request: &Exchange<'_, '_>,
        question: &Question,
        body: Vec<u8>,
        watch: &Watch,
    ) -> Result<Option<Native>> {
        let [ask] = question.asks.as_slice() else { return Ok(None) };
        let app = request.app();
        let model = app.model(&ask.model, watch)?;
        let route = app.route(&model);
        let Some(door) = question.door.filter(|_| route != Route::Bot) else {
            if route == Route::Native {
                log::debug!(
                    "Poe has no door for this dialect, so {} is asked by the bot protocol",
                    model.bot
                );
            }
            return Ok(None);
        };
        let Some(entry) = model.entry.as_ref().filter(|entry| entry.has_door(door)) else {
            return if route == Route::Auto { Ok(None) } else { Err(no_door(&model, door)) };
        };
        let passenger = Passenger { ask, entry, effort: model.effort, defaults: &model.config.parameters };
        if route == Route::Auto && model.config.tools == Tools::Prompt && !ask.tools.is_empty() {
            return Ok(None); // models.yaml wants them in the prompt
        }
        match door::ours(door, &body, &MARKS).or_else(|| door::lack(door, &body, &passenger)) {
            Some(lack) if route == Route::Auto || lack.is_ours => {
                let (field, path) = (lack.field, door.path());
                log::debug!("{} is asked by the bot protocol for {field}: at {path} {}", model.bot, lack.why);
                return Ok(None);
            }
            Some(lack) => return Err(lacking(door, &lack)),
            None => {}
        }
        let body = door::unmarked(door, &body, &MARKS);
        if route == Route::Auto && matches!(body, Cow::Owned(_)) {
            log::debug!(
                "{} is asked by the bot protocol, which told the thoughts in this request",
                model.bot
            );
            return Ok(None);
        }
        let mut hints = app.doors.fields(&model.bot, door.path(), Instant::now());
        hints.retain(|field| door::is_hint(door, field));
        let sent = door::without(door::rewrite(door, &body, &passenger)?.into_owned(), &hints);
        if route == Route::Auto
            && app.doors.refuses(&model.bot, door.path(), &door::names(&sent), Instant::now())
        {
            return Ok(None);
        }
        let headers = headers(request, door);
        Ok(Some(Native { door, route, name: ask.model.clone(), body: sent, headers, model }))
    }

    /// Asks for a whole answer.
    pub fn whole(
        mut self,
        request: &mut Authenticated<'_, '_>,
        asks: &[Ask],
        watch: &Watch,
    ) -> Result<Outcome> {
        let mut passing = match self.knock(request, false, watch)? {
            Opened::Passing(passing) => passing,
            Opened::Refused(refusal) => return Ok(self.refused(request, asks, refusal)),
        };
        let body = passing.whole()?;
        request.record.hear_body(&body);
        note(&mut request.record, &passing);
        Ok(Outcome::Whole(body))
    }

    /// Asks for a stream and passes it on. An error may come after a part of it has left.
    pub fn stream(
        mut self,
        request: &mut Authenticated<'_, '_>,
        asks: &[Ask],
        outlet: &RefCell<Outlet>,
        watch: &Watch,
    ) -> Result<Outcome> {
        let gone = |_| Error::new(Kind::ClientGone, "the client has left");
        outlet.borrow_mut().show_life_by(sign(self.door));
        let mut passing = match self.knock(request, true, watch)? {
            Opened::Passing(passing) => passing,
            Opened::Refused(refusal) => {
                outlet.borrow_mut().show_life_by(Vec::new());
                return Ok(self.refused(request, asks, refusal));
            }
        };
        let told = loop {
            match passing.pass() {
                Ok(Some(events)) => {
                    outlet.borrow_mut().pass(&events).map_err(gone)?;
                    request.record.hear_body(&events);
                    request.record.status = 200;
                    request.record.first_byte();
                    if let Some(sign) = passing.sign() {
                        outlet.borrow_mut().show_life_by(sign.to_vec());
                    }
                }
                Ok(None) => break outlet.borrow_mut().close(passing.told()).map_err(gone),
                Err(error) => break Err(error),
            }
        };
        note(&mut request.record, &passing);
        told.map(|()| Outcome::Streamed)
    }

    /// Knocks, and once more without each hint that the door does not know: no answer hangs on a hint.
    fn knock(&mut self, request: &mut Authenticated<'_, '_>, stream: bool, watch: &Watch) -> Result<Opened> {
        let (app, key) = (request.app(), request.key());
        request.record.asks_natively(&self.model.bot);
        wait_turn(app, &key, request.record.address, watch)?;
        let mut left = MOST_HINTS;
        loop {
            let knock = Knock {
                door: self.door,
                key: &key,
                headers: &self.headers,
                body: &self.body,
                stream,
                name: (self.name != self.model.bot).then_some(&self.name),
            };
            let opened = app.poe.knock(&knock, watch)?;
            let refused = match &opened {
                Opened::Refused(refusal) => Some(&refusal.error),
                Opened::Passing(_) => None,
            };
            note_key(app, &key, refused);
            let Some(unknown) = self.unknown_hint(&opened).filter(|_| left > 0) else { return Ok(opened) };
            self.remember(app, &unknown);
            let (Unknown::Field(hint) | Unknown::Value(hint)) = unknown else { return Ok(opened) };
            log::debug!("{hint} was left out: {} does not take it for {}", self.door.path(), self.model.bot);
            self.body = door::without(std::mem::take(&mut self.body), &[hint]);
            left -= 1;
        }
    }

    /// The hint for which the door refused, if it did for one.
    fn unknown_hint(&self, opened: &Opened) -> Option<Unknown> {
        let Opened::Refused(refusal) = opened else { return None };
        let unknown = refusal.unknown(self.door, &door::names(&self.body))?;
        match &unknown {
            Unknown::Field(name) | Unknown::Value(name) if door::is_hint(self.door, name) => Some(unknown),
            _ => None,
        }
    }

    /// Remembers what the door would refuse of every request; a value, or a passing fault, is one client's affair.
    fn remember(&self, app: &App, unknown: &Unknown) {
        let field = match unknown {
            Unknown::Model => None,
            Unknown::Field(name) => Some(name.as_str()),
            Unknown::Value(_) | Unknown::Something => return,
        };
        app.doors.remember(&self.model.bot, self.door.path(), field, Instant::now(), BELIEVED);
    }

    /// What follows from a refusal: where only the door does not know what it was asked, another door may.
    fn refused(&self, request: &mut Exchange<'_, '_>, asks: &[Ask], refusal: Refusal) -> Outcome {
        let app = request.app();
        if self.route == Route::Auto
            && let Some(unknown) = refusal.unknown(self.door, &door::names(&self.body))
        {
            let (bot, path) = (&self.model.bot, self.door.path());
            log::debug!("{bot} is asked by the bot protocol, for {path} refused it: {}", refusal.error);
            request.record.route = None;
            self.remember(app, &unknown);
            return Outcome::Bot;
        }
        request.record.fault = Some(refusal.error.message.clone());
        let tokens = || asks.first().map_or(0, |ask| prompt_tokens(ask, tokens::count));
        let error = app.explain(refusal.error.clone(), &self.model, &self.name, tokens);
        let answer = request.error_answer(&error);
        // some kinds have words by which clients know what to do: whoever does not say them is not repeated
        let is_told = match (refusal.error.kind, self.door) {
            (Kind::ModelNotFound | Kind::InsufficientQuota | Kind::RateLimited, _) => false,
            (Kind::ContextTooLong, Door::Messages) => refusal.error.message.contains("prompt is too long"),
            (Kind::ContextTooLong, _) => refusal.error.message.contains("maximum context length"),
            _ => true,
        };
        let answer = match is_told && refusal.is_in_shape(self.door) {
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

/// A sign of life before the door has said anything: of all that can be said then, what changes nothing.
fn sign(door: Door) -> Vec<u8> {
    match door {
        // a comment without a blank line, because some readers take a blank line for an event; and no event, though
        // Codex counts nothing else, because OpenAI's libraries break at any before `response.created`, the door's own
        Door::Chat | Door::Responses => b": keep-alive\n".to_vec(),
        Door::Messages => b"event: ping\ndata: {\"type\": \"ping\"}\n\n".to_vec(),
    }
}

/// Headers of the client's that mean something to the door.
fn headers(request: &Exchange<'_, '_>, door: Door) -> Vec<(&'static str, String)> {
    let given = |name: &str| request.head().list(name);
    let mut headers = Vec::new();
    headers.extend(given("poe-feature").map(|value| ("poe-feature", value)));
    if door == Door::Messages {
        let version = given("anthropic-version").unwrap_or_else(|| "2023-06-01".to_owned());
        headers.push(("anthropic-version", version));
        headers.extend(given("anthropic-beta").map(|value| ("anthropic-beta", value)));
    }
    headers
}

fn no_door(model: &Model, door: Door) -> Error {
    let bot = &model.bot;
    let others = model.entry.as_ref().map_or_else(Vec::new, |entry| {
        Door::ALL.into_iter().filter(|door| entry.has_door(*door)).map(Door::path).collect()
    });
    let instead = match others.as_slice() {
        [] => String::new(),
        paths => format!("ask it at {}, or ", paths.join(" or ")),
    };
    let message = format!(
        "the route of `{bot}` is native, but Poe's list declares no {} for it: {instead}set its route to auto or bot \
         (POE_ROUTE, or `route` in models.yaml)",
        door.path()
    );
    Error::invalid("model", message)
}

fn lacking(door: Door, Lack { field, why, .. }: &Lack) -> Error {
    let message = format!(
        "{field}: the route of this model is native, and Poe's {} cannot do this: {why}; set the route to auto or bot \
         (POE_ROUTE, or `route` in models.yaml)",
        door.path()
    );
    Error::invalid(*field, message)
}
