//! Which route is answered by what; keys, request ids, CORS, 404 and 405.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;

use super::routes::{Route, decoded};
use super::{admin, media, metrics, model_list, ollama, readiness, responses};
use crate::dialect::{Dialect, chat, completions, messages};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::gateway::record::{NO_ENDPOINT, Record};
use crate::gateway::relay;
use crate::ids::id;
use crate::server::answer::Answer;
use crate::server::connection::{Call, Handler};
use crate::server::head::Head;

/// Answers every request of the server.
pub struct Api {
    app: Arc<App>,
}

impl Api {
    /// The endpoint of `app`.
    pub fn new(app: Arc<App>) -> Api {
        Api { app }
    }
}

impl Handler for Api {
    fn answer(&self, call: &mut Call<'_>) -> io::Result<()> {
        let id = request_id(call.head());
        call.name(&id);
        // written down even if the answer panics
        let mut note = Note { app: &self.app, record: Record::new(call, id) };
        answer(&self.app, call, &mut note.record)
    }
}

/// The most letters that an id from outside may have.
const MAX_ID: usize = 128;

/// The id that the client has given its request, else a new one.
fn request_id(head: &Head) -> String {
    let fits = |id: &&str| (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    head.header("x-request-id").filter(fits).map_or_else(|| id("req_"), str::to_owned)
}

/// Writes the record when the request is over, however it ends.
struct Note<'a> {
    app: &'a App,
    record: Record,
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.record.status = Kind::Internal.status();
            self.record.fault.get_or_insert_with(|| "a fault in this program".to_owned());
        }
        self.record.end(self.app);
    }
}

fn answer(app: &App, call: &mut Call<'_>, record: &mut Record) -> io::Result<()> {
    let head = call.head();
    record.dialect = dialect(head);
    let route = Route::find(&head.path);
    record.endpoint = route.as_ref().map_or(NO_ENDPOINT, Route::endpoint);
    // a client that asks for what is not here wants to be seen, a crawler does not
    if route.as_ref().map_or(head.method == "POST", Route::is_watched) && head.method != "OPTIONS" {
        record.begin(app, call);
    }
    if let Some(Route::Admin(path)) = &route {
        return behind_locks(app, call, record, path);
    }
    if app.is_keyless() && !is_local(head) {
        let message = "this server spends its own Poe key, so only programs on its machine may ask it, and no web \
                       pages; set PROXY_API_KEYS to let others in";
        return refuse(call, record, &Error::new(Kind::Forbidden, message));
    }
    if head.method == "OPTIONS" {
        return send(call, record, preflight(head));
    }
    let Some(route) = route else {
        let error = Error::new(Kind::NotFound, format!("there is nothing at {} {}", head.method, head.path));
        return refuse(call, record, &error);
    };
    record.dialect = route.dialect(record.dialect);
    let deletes = head.method == "DELETE";
    // some programs look like this whether there is anything
    if head.method == "HEAD" && route.method() == "POST" {
        return send(call, record, Answer::empty(200).header("Allow", route.allow()));
    }
    if !route.takes(&head.method) {
        let message = format!("{} is not allowed here, only {}", head.method, route.allow());
        let error = Error::new(Kind::MethodNotAllowed, message);
        return send(call, record, error_answer(record, &error).header("Allow", route.allow()));
    }
    match route {
        Route::Home => send(call, record, Answer::text(200, HOME)),
        Route::Health => send(call, record, health(app)),
        Route::Chat => relay::answer(app, call, record, |_, body, stamp| chat::decode(body, stamp)),
        Route::Ready => {
            record.is_routine = true;
            let answer = readiness::ready(app, call);
            send(call, record, answer)
        }
        Route::Metrics if !app.settings.metrics => {
            let error = Error::new(Kind::NotFound, "METRICS is off");
            refuse(call, record, &error)
        }
        Route::Metrics => {
            record.is_routine = true;
            call.for_operator(); // no web page reads along
            let answer = metrics::answer(app, call);
            send(call, record, answer)
        }
        Route::Admin(path) => behind_locks(app, call, record, &path),
        Route::Completions => {
            relay::answer(app, call, record, |_, body, stamp| completions::decode(body, stamp))
        }
        Route::ImageGenerations => media::generation(app, call, record),
        Route::ImageEdits => media::edit(app, call, record),
        Route::Speech => media::speech(app, call, record),
        Route::Responses => responses::create(app, call, record),
        Route::Compaction => responses::compact(app, call, record),
        Route::ResponseTokens => respond(call, record, |call| responses::input_tokens(app, call)),
        Route::Response(id) if deletes => respond(call, record, |call| responses::forget(app, call, &id)),
        Route::Response(id) => respond(call, record, |call| responses::one(app, call, &id)),
        Route::ResponseItems(id) => respond(call, record, |call| responses::input_items(app, call, &id)),
        Route::ResponseCancel(id) => respond(call, record, |call| responses::cancel(app, call, &id)),
        Route::Messages => relay::answer(app, call, record, |_, body, stamp| messages::decode(body, stamp)),
        Route::CountTokens => respond(call, record, |call| relay::count_tokens(app, call)),
        Route::Hello => send(call, record, Answer::json(200, br#"{"message":"hello"}"#.to_vec())),
        Route::Events => send(call, record, Answer::json(200, b"{}".to_vec())),
        Route::Ollama(endpoint) => ollama::answer(app, call, record, endpoint),
        Route::Unserved(route) => refuse(call, record, &route.error()),
        Route::Models => respond(call, record, |call| model_list::list(app, call)),
        Route::AllModels => respond(call, record, |call| model_list::unfiltered(app, call)),
        Route::Model(name) => respond(call, record, |call| model_list::one(app, call, &name)),
    }
}

fn behind_locks(app: &App, call: &mut Call<'_>, record: &mut Record, path: &[String]) -> io::Result<()> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    admin::answer(app, call, record, &path)
}

const HOME: &str = concat!(
    "poe2openai ",
    env!("CARGO_PKG_VERSION"),
    ": Poe's bots for programs that speak OpenAI's or Anthropic's API.\n\nPOST /v1/chat/completions\nPOST /v1/responses\nPOST /v1/messages\nGET  /v1/models\nGET  /health\nGET  /admin\n\n\
      For programs that look for it: Ollama is running\n"
);

/// Whose words a request speaks, by its head: Anthropic's programs all name the version of its API.
fn dialect(head: &Head) -> Dialect {
    let is_anthropics = head.header("anthropic-version").is_some()
        || head.path.trim_start_matches('/').starts_with("anthropic/");
    if is_anthropics { Dialect::Anthropic } else { Dialect::OpenAi }
}

fn health(app: &App) -> Answer {
    let current = app.config.current();
    let body = json!({
        "status": "ok", "version": env!("CARGO_PKG_VERSION"), "uptime_seconds": app.uptime().as_secs(),
        "uploads": admin::uploads(app),
        "config": {
            "state": current.status.state.name(), "error": current.status.location,
            "warnings": app.config_warnings().len(),
        },
    });
    Answer::json(200, body.to_string().into_bytes())
}

/// Any page may call from any origin with any headers; no credentials are involved, keys travel in headers.
fn preflight(head: &Head) -> Answer {
    let asked = head.header("access-control-request-headers").unwrap_or("Authorization, Content-Type");
    let allow = Route::find(&head.path).map_or("GET, HEAD, POST, OPTIONS", |route| route.allow());
    let mut answer = Answer::empty(204)
        .header("Allow", allow)
        .header("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS")
        .header("Access-Control-Allow-Headers", asked)
        .header("Access-Control-Max-Age", "86400")
        .header("Vary", "Access-Control-Request-Headers");
    if head.header("access-control-request-private-network") == Some("true") {
        answer = answer.header("Access-Control-Allow-Private-Network", "true");
    }
    answer
}

/// Whether a request speaks of this machine alone. A browser states which page asks (`Origin`) and by which name it
/// found the server (`Host`), which a page of somebody else's cannot forge.
pub fn is_local(head: &Head) -> bool {
    let (Ok(host), Ok(origin)) = (head.sole("host"), head.sole("origin")) else { return false };
    let host = host.unwrap_or("localhost");
    let origin = origin.map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    [Some(host), origin].into_iter().flatten().all(is_local_host)
}

fn is_local_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The key to ask Poe with for this request. Where none has to be shown, it does not matter what is.
pub fn poe_key(app: &App, head: &Head) -> Result<String> {
    if let Some(key) = head.granted_key() {
        return Ok(key.to_owned());
    }
    match app.is_keyless() {
        true => app.poe_key(None),
        false => app.poe_key(shown_key(head)?.as_deref()),
    }
}

/// The key by which one client is sent from another: the one that it shows, or Poe's where none has to be shown.
pub fn client_key(app: &App, head: &Head) -> Result<String> {
    let shown = if app.is_keyless() { None } else { shown_key(head)? };
    shown.map_or_else(|| app.poe_key(None), Ok)
}

/// The key that the client shows: as a Bearer token, in `x-api-key`, or as `?key=`.
fn shown_key(head: &Head) -> Result<Option<String>> {
    // programs that have only another key send this header with nothing in it
    let shown = head.header("authorization").map(str::trim);
    if let Some(value) = shown.filter(|value| !value.is_empty() && !value.eq_ignore_ascii_case("bearer")) {
        let malformed =
            || Error::new(Kind::Unauthorized, "the Authorization header must be `Bearer YOUR_KEY`");
        let (scheme, key) = value.split_once(' ').ok_or_else(malformed)?;
        let key = key.trim();
        let is_token = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        return match scheme.eq_ignore_ascii_case("bearer") && is_token {
            true => Ok(Some(key.to_owned())),
            false => Err(malformed()),
        };
    }
    let in_query = || {
        let pairs = head.query.as_deref().unwrap_or_default().split('&');
        pairs.filter_map(|pair| pair.strip_prefix("key=")).map(decoded).next()
    };
    let key = head.header("x-api-key").map(|key| key.trim().to_owned()).or_else(in_query);
    Ok(key.filter(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic())))
}

/// An error as a whole answer to the request of `record`, with the time after which to try again.
pub fn error_answer(record: &Record, error: &Error) -> Answer {
    let dialect = record.dialect;
    let mut answer = Answer::json(dialect.status(error.kind), dialect.error_answer(error, Some(&record.id)));
    if error.is_final {
        // the SDKs of OpenAI and Anthropic go by it
        answer = answer.header("x-should-retry", "false");
    }
    match error.retry_after {
        Some(wait) => answer.header("Retry-After", wait.as_secs_f64().ceil().max(1.0).to_string()),
        None => answer,
    }
}

/// Sends a whole answer and notes it.
pub fn send(call: &mut Call<'_>, record: &mut Record, answer: Answer) -> io::Result<()> {
    record.status = answer.status;
    record.first_byte();
    call.send(answer)
}

/// Sends an error as a whole answer and notes it.
pub fn refuse(call: &mut Call<'_>, record: &mut Record, error: &Error) -> io::Result<()> {
    record.status = record.dialect.status(error.kind);
    record.fault = Some(error.message.clone());
    match error.kind {
        Kind::ClientGone => Err(io::ErrorKind::BrokenPipe.into()),
        _ => {
            let answer = error_answer(record, error);
            send(call, record, answer)
        }
    }
}

/// Sends what `make` gives, or its error.
pub fn respond(
    call: &mut Call<'_>,
    record: &mut Record,
    make: impl FnOnce(&mut Call<'_>) -> Result<Answer>,
) -> io::Result<()> {
    match make(call) {
        Ok(answer) => send(call, record, answer),
        Err(error) => refuse(call, record, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::head;

    #[test]
    fn only_this_machine_is_local() {
        let local = |headers: &str| {
            let text = format!("GET / HTTP/1.1\r\n{headers}\r\n");
            is_local(&head::parse(text.as_bytes()).unwrap())
        };
        for headers in [
            "Host: localhost:8080\r\n",
            "Host: 127.0.0.1\r\n",
            "Host: [::1]:8080\r\n",
            "Host: localhost\r\nOrigin: http://127.0.0.1:3000\r\n",
        ] {
            assert!(local(headers), "{headers}");
        }
        for headers in [
            "Host: evil.example\r\n",
            "Host: localhost\r\nOrigin: https://evil.example\r\n",
            "Host: localhost\r\nOrigin: null\r\n",
            "Host: localhost.evil.example\r\n",
        ] {
            assert!(!local(headers), "{headers}");
        }
    }

    #[test]
    fn keys_are_read_wherever_clients_put_them() {
        let key = |target: &str, header: &str| {
            let text = format!("GET {target} HTTP/1.1\r\nHost: h\r\n{header}\r\n");
            shown_key(&head::parse(text.as_bytes()).unwrap())
        };
        for header in ["Authorization: Bearer k\r\n", "authorization: bearer  k \r\n", "X-Api-Key: k\r\n"] {
            assert_eq!(key("/", header).unwrap().as_deref(), Some("k"), "{header}");
        }
        assert_eq!(key("/?a=b&key=k", "").unwrap().as_deref(), Some("k"));
        for header in ["", "Authorization:\r\n", "Authorization: Bearer \r\n"] {
            assert_eq!(key("/", header).unwrap(), None, "{header}");
            assert_eq!(key("/?key=k", header).unwrap().as_deref(), Some("k"), "{header}");
        }
        for header in ["Authorization: k\r\n", "Authorization: Basic k\r\n", "Authorization: Bearer a b\r\n"]
        {
            assert_eq!(key("/", header).unwrap_err().kind, Kind::Unauthorized, "{header}");
        }
    }
}
