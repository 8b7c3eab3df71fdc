//! Routes of the demo Poe, and the only file of the demo that handles HTTP.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::bots::{self, Bot, Turn};
use super::native::endpoint::NativeEndpoint;
use super::native::{self, Asked, EndpointWriter, Quirk, Tokens};
use super::player::{self, Ending, Wire};
use super::query::Query;
use super::script::{Refusal, Script, Step};
use super::state::State;
use super::uploads::{Upload, Uploads};
use super::{catalog, form};
use crate::server::{Answer, Call, Client, EventStream, Handler, ShutdownPhase, Stop};

/// Larger queries and uploads are refused, as everything here lies in memory.
const LARGEST_BODY: u64 = 64 << 20;

/// The demo Poe.
pub struct FakePoe {
    base: String,
    state: State,
    uploads: Mutex<Uploads>,
}

/// What was asked, taken out of the call so that the call can be answered.
struct Request {
    method: String,
    path: String,
    query: String,
    authorization: Option<String>,
    api_key: Option<String>,
    headers: Value,
    content_type: String,
}

/// Headers that a recorded query does not show: they contain keys.
const KEYS: [&str; 2] = ["authorization", "x-api-key"];

impl Request {
    fn of(call: &Call<'_>) -> Request {
        let head = call.head();
        let shown = head.names().filter(|name| !KEYS.contains(&name.as_str()));
        let shown = shown.map(|name| (name.clone(), json!(head.list(&name))));
        Request {
            method: head.method.clone(),
            path: head.path.clone(),
            query: head.query.clone().unwrap_or_default(),
            authorization: head.header("authorization").map(str::to_string),
            api_key: head.header("x-api-key").map(str::to_string),
            headers: Value::Object(shown.collect()),
            content_type: head.header("content-type").unwrap_or_default().to_string(),
        }
    }

    /// A parameter of the URL.
    fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| form::decode(value))
    }
}

impl Handler for FakePoe {
    fn answer(&self, call: &mut Call<'_>) -> io::Result<()> {
        let request = Request::of(call);
        let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        if segments.first() == Some(&"demo") {
            call.for_operator(); // recorded conversations are for tests, not for web pages
        }
        match (request.method.as_str(), &segments[..]) {
            ("POST", ["bot", name]) => self.bot(call, &request, &form::decode(name)),
            ("POST", ["v1", ..]) if NativeEndpoint::at(&request.path).is_some() => {
                self.endpoint(call, &request)
            }
            ("POST", ["v1", "whoami"]) => whoami(call, &request),
            ("POST", ["upload"]) => self.upload(call, &request),
            ("POST", ["demo", "reset"]) => {
                self.state.reset();
                ok(call, &json!({}))
            }
            ("POST", ["demo", "expire-files"]) => {
                self.uploads().expire();
                ok(call, &json!({}))
            }
            ("GET" | "HEAD", _) => self.get(call, &request, &segments),
            _ => refuse(call, &Refusal::new(404, "not_found_error", "There is nothing at this path")),
        }
    }
}

impl FakePoe {
    /// A demo that is reached at `base`.
    pub fn new(base: String) -> FakePoe {
        FakePoe { base, state: State::default(), uploads: Mutex::default() }
    }

    fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, call: &mut Call<'_>, request: &Request, segments: &[&str]) -> io::Result<()> {
        match segments {
            ["v1", "models"] => self.models(call, request),
            ["files", id, _] => self.file(call, id),
            ["art", _] => art(call, &request.path, request.headers["range"].as_str()),
            ["usage", view] => self.usage(call, request, view),
            ["v1", "balance"] => self.usage(call, request, "current_balance"),
            ["v1", "usage", "history"] => self.usage(call, request, "points_history"),
            ["demo", "queries"] => ok(call, &self.state.queries()),
            ["demo", "doors"] => ok(call, &self.state.endpoints()),
            ["demo", "uploads"] => {
                let shown = self.uploads().shown(&self.base);
                ok(call, &shown)
            }
            ["demo", "stats"] => {
                let stats = self.stats();
                ok(call, &stats)
            }
            _ => refuse(call, &Refusal::new(404, "not_found_error", "There is nothing at this path")),
        }
    }

    fn stats(&self) -> Value {
        let mut stats = self.state.stats();
        let uploads = self.uploads();
        stats["uploads"] = json!({"total": uploads.total, "kept": uploads.count(), "bytes": uploads.bytes()});
        stats
    }

    /// The list needs no key, but a key that is there must not be empty.
    fn models(&self, call: &mut Call<'_>, request: &Request) -> io::Result<()> {
        match request.authorization.as_deref().map(bearer) {
            Some(None | Some("wrong-key")) => refuse(call, &bots::refused(401)),
            _ => ok(call, &catalog::models(&self.base)),
        }
    }

    /// `POST /bot/{name}`: the one endpoint through which bots are asked.
    fn bot(&self, call: &mut Call<'_>, request: &Request, name: &str) -> io::Result<()> {
        let bytes = match call.body(LARGEST_BODY) {
            Ok(bytes) => bytes,
            Err(error) => return refuse(call, &malformed(error.kind.status(), &error.message)),
        };
        let body: Value = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(error) => return refuse(call, &malformed(400, &format!("The body is not JSON: {error}"))),
        };
        self.state.record(json!({"bot": name, "headers": request.headers, "body": body}), bytes.len());
        let admitted = admit(request.authorization.as_deref().and_then(bearer))
            .and_then(|()| bots::find(name).ok_or_else(|| unknown(name)));
        match admitted {
            Err(refusal) => refuse(call, &refusal),
            Ok(bot) if body["type"] == "settings" => ok(call, &catalog::settings(bot)),
            Ok(bot) => match Query::read(body) {
                Err(reason) => refuse(call, &malformed(400, &reason)),
                Ok(query) => self.play(call, bot, &query, bytes.len()),
            },
        }
    }

    fn play(&self, call: &mut Call<'_>, bot: &Bot, query: &Query, bytes: usize) -> io::Result<()> {
        let nth = self.state.count_try(bot.name, query);
        let urls = query.attachments().map(|attachment| attachment.url.as_str());
        let dead_file = self.uploads().first_dead(&self.base, urls);
        let _open = self.state.open(bot.name);
        match bot.script(&Turn { query, nth, base: &self.base, dead_file }) {
            Script::Refuse(refusal) => refuse(call, &refusal),
            Script::HangUp => Err(io::ErrorKind::ConnectionAborted.into()),
            Script::Silence => {
                player::silence(&mut Silent(ClientCheck::of(call)))?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Script::Stream(steps) => {
                self.state.charge(bot.name, bytes, now());
                let mut line = Line { client_check: ClientCheck::of(call), stream: call.event_stream() };
                match player::play(steps, &mut line)? {
                    Ending::Framed => line.stream.end(),
                    // Dropped without an end, the stream breaks off where it is.
                    Ending::Broken => Err(io::ErrorKind::ConnectionAborted.into()),
                }
            }
        }
    }

    /// `POST /v1/chat/completions`, `/v1/responses`, `/v1/messages`: bots that declare it, asked in another dialect.
    fn endpoint(&self, call: &mut Call<'_>, request: &Request) -> io::Result<()> {
        let Some(endpoint) = NativeEndpoint::at(&request.path) else { return Ok(()) };
        let refused = |call: &mut Call<'_>, refusal| refuse(call, &endpoint.refusal(refusal));
        let bytes = match call.body(LARGEST_BODY) {
            Ok(bytes) => bytes,
            Err(error) => return refused(call, malformed(error.kind.status(), &error.message)),
        };
        let body: Value = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(error) => return refused(call, malformed(400, &format!("The body is not JSON: {error}"))),
        };
        let name = body["model"].as_str().unwrap_or_default();
        let bot = bots::find(name).filter(|bot| bot.traits.declares(endpoint));
        let size = bytes.len();
        let (number, cached) =
            self.state.enter(endpoint.path(), bot.map_or("", |bot| bot.name), request.headers.clone(), bytes);
        let key = request.authorization.as_deref().map_or(request.api_key.as_deref(), bearer);
        if let Err(refusal) = admit(key) {
            return refused(call, refusal);
        }
        if endpoint == NativeEndpoint::Messages && request.headers["anthropic-version"].is_null() {
            return refused(call, malformed(400, "anthropic-version: header is required"));
        }
        let Some(bot) = bot.filter(|bot| native::quirk(bot) != Some(Quirk::Unknown)) else {
            return refused(call, endpoint.unknown(name));
        };
        match native::read(endpoint, bot, &body, &bot.traits.names()) {
            Err(refusal) => refused(call, refusal),
            Ok(asked) => {
                let tokens = Tokens { prompt: size.div_ceil(4), cached };
                let endpoint_writer =
                    EndpointWriter::new(endpoint, bot.name, number, tokens, asked.includes_usage);
                self.play_at(endpoint, call, bot, &asked, endpoint_writer, number)
            }
        }
    }

    fn play_at(
        &self,
        endpoint: NativeEndpoint,
        call: &mut Call<'_>,
        bot: &Bot,
        asked: &Asked,
        mut endpoint_writer: EndpointWriter,
        number: u64,
    ) -> io::Result<()> {
        let query = &asked.query;
        let nth = self.state.count_try(bot.name, query);
        let _open = self.state.open(bot.name);
        let aborted = || Err(io::ErrorKind::ConnectionAborted.into());
        match bot.script(&Turn { query, nth, base: &self.base, dead_file: None }) {
            Script::Refuse(refusal) => refuse(call, &endpoint.refusal(refusal)),
            Script::HangUp => aborted(),
            Script::Silence => player::silence(&mut Silent(ClientCheck::of(call))).and_then(|()| aborted()),
            Script::Stream(steps) if asked.stream => {
                let rendered = steps.filter_map(move |step| endpoint_writer.step(step));
                let line = Line { client_check: ClientCheck::of(call), stream: call.event_stream() };
                let mut line = Noted { line, state: &self.state, number };
                match player::play(rendered, &mut line)? {
                    Ending::Framed => line.line.stream.end(),
                    Ending::Broken => aborted(),
                }
            }
            Script::Stream(steps) => {
                let mut is_done = false;
                for step in steps {
                    if let Step::Event { name: "error", data } = &step {
                        let words = data["text"].as_str().unwrap_or_default();
                        return refuse(call, &endpoint.refusal(Refusal::new(500, "provider_error", words)));
                    }
                    is_done |= matches!(step, Step::Event { name: "done", .. });
                    // frames are put together, only time passes here
                    let waits = endpoint_writer.step(step).filter(|step| !matches!(step, Step::Raw(_)));
                    let ending = player::play(waits.into_iter(), &mut Silent(ClientCheck::of(call)))?;
                    if ending == Ending::Broken {
                        return aborted();
                    }
                }
                if !is_done {
                    return aborted();
                }
                let answer = endpoint_writer.whole();
                self.state.leave(number, answer.to_string().as_bytes());
                ok(call, &answer)
            }
        }
    }

    /// `POST /upload`, at real Poe on a host of its own. The key comes without `Bearer` here.
    fn upload(&self, call: &mut Call<'_>, request: &Request) -> io::Result<()> {
        let body = match call.body(LARGEST_BODY) {
            Ok(body) => body,
            Err(error) => return refuse(call, &malformed(error.kind.status(), &error.message)),
        };
        let key = request.authorization.as_deref().map(str::trim);
        if key.is_some_and(|key| key.to_ascii_lowercase().starts_with("bearer")) {
            return refuse(
                call,
                &Refusal::new(401, "authentication_error", "An upload takes the key without 'Bearer'"),
            );
        }
        if let Err(refusal) = admit(key.filter(|key| !key.is_empty())) {
            return refuse(call, &refusal);
        }
        match Upload::read(&request.content_type, &body) {
            Err(reason) => refuse(call, &malformed(400, &reason)),
            Ok(upload) => {
                if upload.is_slow() {
                    thread::sleep(Duration::from_millis(500));
                }
                let answer = self.uploads().keep(upload, &self.base);
                ok(call, &answer)
            }
        }
    }

    fn file(&self, call: &mut Call<'_>, id: &str) -> io::Result<()> {
        let upload = self.uploads().get(id).cloned();
        match upload {
            Some(upload) => call.send(Answer::file(200, &upload.mime, upload.bytes.to_vec())),
            None => refuse(call, &Refusal::new(404, "not_found_error", "This file has expired")),
        }
    }

    fn usage(&self, call: &mut Call<'_>, request: &Request, view: &str) -> io::Result<()> {
        let key = request.authorization.as_deref().and_then(bearer);
        if key == Some("poor-key") && view == "current_balance" {
            return ok(call, &json!({"current_point_balance": 0}));
        }
        if let Err(refusal) = admit(key) {
            return refuse(call, &refusal);
        }
        match view {
            "current_balance" => ok(call, &self.state.balance()),
            "points_history" => {
                let limit = request.parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(20);
                ok(
                    call,
                    &self.state.history(limit.clamp(1, 100), request.parameter("starting_after").as_deref()),
                )
            }
            _ => refuse(call, &Refusal::new(404, "not_found_error", "There is no such view of usage")),
        }
    }
}

/// The key of an `Authorization: Bearer KEY` header, unless it is empty.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, key) = authorization.trim().split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty()).then_some(key.trim())
}

/// Any key opens this Poe, but for three that show what can go wrong.
fn admit(key: Option<&str>) -> Result<(), Refusal> {
    match key {
        None | Some("wrong-key") => Err(bots::refused(401)),
        Some("poor-key") => Err(Refusal::new(
            402,
            "insufficient_credits",
            "You do not have enough points to send this message",
        )),
        Some("slow-down") => Err(bots::refused(429)),
        Some(_) => Ok(()),
    }
}

/// Whose key it is.
fn whoami(call: &mut Call<'_>, request: &Request) -> io::Result<()> {
    match admit(request.authorization.as_deref().and_then(bearer)) {
        Err(refusal) => refuse(call, &refusal),
        Ok(()) => ok(call, &json!({"user_id": 1, "handle": "demo", "name": "Demo", "profile_picture": null})),
    }
}

fn unknown(name: &str) -> Refusal {
    Refusal::new(404, "not_found_error", format!("Bot '{name}' does not exist"))
}

fn malformed(status: u16, reason: &str) -> Refusal {
    Refusal::new(status, "invalid_request_error", reason)
}

fn ok(call: &mut Call<'_>, body: &Value) -> io::Result<()> {
    call.send(Answer::json(200, body.to_string().into_bytes()))
}

fn refuse(call: &mut Call<'_>, refusal: &Refusal) -> io::Result<()> {
    log::debug!("the demo Poe refuses with {}: {}", refusal.status, refusal.body["error"]["message"]);
    let plain = Answer::json(refusal.status, refusal.body.to_string().into_bytes());
    call.send(refusal.headers.iter().fold(plain, |answer, (name, value)| answer.header(name, value.clone())))
}

/// What bots have painted and written.
fn art(call: &mut Call<'_>, path: &str, range: Option<&str>) -> io::Result<()> {
    let work = bots::MEDIA.iter().find(|(at, _, _)| *at == path);
    match work.and_then(|(_, mime, content)| Some((mime, BASE64_STANDARD.decode(content).ok()?))) {
        Some((mime, content)) => call.send(part(mime, content, range)),
        None => refuse(call, &Refusal::new(404, "not_found_error", "There is no such work of art")),
    }
}

/// All of a work, or the part that `Range: bytes=FIRST-LAST` names.
fn part(mime: &'static str, content: Vec<u8>, range: Option<&str>) -> Answer {
    let bounds = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = bounds.and_then(|(first, last)| Some((first.parse::<usize>().ok()?, last)))
    else {
        return Answer::bytes(200, mime, content);
    };
    let (length, last) = (content.len(), last.parse().unwrap_or(usize::MAX).min(content.len() - 1));
    match content.get(first..=last) {
        Some(piece) if first <= last => Answer::bytes(206, mime, piece.to_vec())
            .header("Content-Range", format!("bytes {first}-{last}/{length}")),
        _ => Answer::bytes(416, mime, Vec::new()).header("Content-Range", format!("bytes */{length}")),
    }
}

/// Microseconds since 1970, as Poe counts.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Looks whether it is still worth to go on.
struct ClientCheck {
    client: Client,
    stop: Stop,
}

impl ClientCheck {
    fn of(call: &Call<'_>) -> ClientCheck {
        ClientCheck { client: call.client(), stop: call.stop().clone() }
    }

    fn is_over(&self) -> bool {
        self.client.is_gone() || self.stop.shutdown_phase() == ShutdownPhase::Ending
    }
}

/// A connection on which a bot streams.
struct Line {
    client_check: ClientCheck,
    stream: EventStream,
}

impl Wire for Line {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.send(bytes)
    }
    fn is_gone(&self) -> bool {
        self.client_check.is_over()
    }
    fn sleep(&mut self, time: Duration) {
        thread::sleep(time);
    }
}

/// The same, with what is sent remembered.
struct Noted<'s> {
    line: Line,
    state: &'s State,
    number: u64,
}

impl Wire for Noted<'_> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.state.leave(self.number, bytes);
        self.line.send(bytes)
    }
    fn is_gone(&self) -> bool {
        self.line.is_gone()
    }
    fn sleep(&mut self, time: Duration) {
        self.line.sleep(time);
    }
}

/// A connection on which nothing was begun.
struct Silent(ClientCheck);

impl Wire for Silent {
    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn is_gone(&self) -> bool {
        self.0.is_over()
    }
    fn sleep(&mut self, time: Duration) {
        thread::sleep(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_its_header() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!((bearer("Bearer "), bearer("abc"), bearer("Basic abc")), (None, None, None));
    }

    #[test]
    fn some_keys_open_nothing() {
        let status = |key| admit(key).err().map(|refusal| refusal.status);
        assert_eq!(status(Some("any")), None);
        let closed = [None, Some("wrong-key"), Some("poor-key"), Some("slow-down")].map(status);
        assert_eq!(closed, [Some(401), Some(401), Some(402), Some(429)]);
    }
}
