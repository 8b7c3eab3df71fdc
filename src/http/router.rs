//! Which method and path is answered by what; CORS, 404 and 405.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde_json::json;

use super::answer::Answer;
use super::connection::{Call, Handler};
use super::head::Head;
use super::record::{NO_ENDPOINT, Record};
use super::{admin, catalog, metrics, relay, state};
use crate::app::App;
use crate::dialect::{Dialect, chat};
use crate::error::{Error, Kind, Result};
use crate::ids::id;

/// What answers a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    Home,
    Health,
    Chat,
    Models,
    Model(String),
    Ready,
    Metrics,
    /// The admin page and its calls, by the parts of the path. It has locks of its own.
    Admin(Vec<String>),
}

impl Route {
    /// The route of `path`, forgiving what clients get wrong: a slash at the end, `/v1` twice.
    fn find(path: &str) -> Option<Route> {
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        while parts.starts_with(&["v1", "v1"]) {
            parts.remove(0);
        }
        let plain = parts.strip_prefix(&["v1"]).unwrap_or(&parts);
        match (plain, parts.as_slice()) {
            (_, [] | ["v1"]) => Some(Route::Home),
            (_, ["health"]) => Some(Route::Health),
            (_, ["ready"]) => Some(Route::Ready),
            (_, ["metrics"]) => Some(Route::Metrics),
            (_, ["admin", ..] | ["api", "admin", ..]) => {
                Some(Route::Admin(parts.iter().map(|part| decoded(part)).collect()))
            }
            (["chat", "completions"], _) => Some(Route::Chat),
            (["models"], _) => Some(Route::Models),
            // a name may hold slashes of its own
            (["models", name @ ..], _) => Some(Route::Model(decoded(&name.join("/")))),
            _ => None,
        }
    }

    fn method(&self) -> &'static str {
        match self {
            Route::Chat => "POST",
            _ => "GET",
        }
    }

    /// In whose words it answers.
    fn dialect(&self) -> Dialect {
        Dialect::OpenAi
    }

    /// Its name in metrics and on the admin page.
    fn endpoint(&self) -> &'static str {
        match self {
            Route::Home => "/",
            Route::Health => "/health",
            Route::Ready => "/ready",
            Route::Metrics => "/metrics",
            Route::Chat => "/v1/chat/completions",
            Route::Models => "/v1/models",
            Route::Model(_) => "/v1/models/{id}",
            Route::Admin(_) => "/admin",
        }
    }

    /// Whether the operator sees its requests one by one.
    fn is_watched(&self) -> bool {
        !matches!(self, Route::Home | Route::Health | Route::Ready | Route::Metrics | Route::Admin(_))
    }

    fn allow(&self) -> &'static str {
        match self {
            Route::Chat => "POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// Answers every request of the house.
pub struct Door {
    app: Arc<App>,
}

impl Door {
    /// The door of `app`.
    pub fn new(app: Arc<App>) -> Door {
        Door { app }
    }
}

impl Handler for Door {
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
    record.dialect = route.dialect();
    let asked = if head.method == "HEAD" { "GET" } else { head.method.as_str() };
    if asked != route.method() {
        let message = format!("{} is not allowed here, only {}", head.method, route.allow());
        let error = Error::new(Kind::MethodNotAllowed, message);
        return send(call, record, error_answer(record.dialect, &error).header("Allow", route.allow()));
    }
    match route {
        Route::Home => send(call, record, Answer::text(200, HOME)),
        Route::Health => send(call, record, health(app)),
        Route::Chat => relay::answer(app, call, record, |_, body, stamp| chat::decode(body, stamp)),
        Route::Ready => {
            record.is_routine = true;
            let answer = state::ready(app, call);
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
        Route::Models => respond(call, record, |call| catalog::list(app, call)),
        Route::Model(name) => respond(call, record, |call| catalog::one(app, call, &name)),
    }
}

fn behind_locks(app: &App, call: &mut Call<'_>, record: &mut Record, path: &[String]) -> io::Result<()> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    admin::answer(app, call, record, &path)
}

const HOME: &str = concat!(
    "poe2openai ",
    env!("CARGO_PKG_VERSION"),
    ": Poe's bots for programs that speak OpenAI's API.\n\nPOST /v1/chat/completions\nGET  /v1/models\nGET  /health\nGET  /admin\n"
);

fn health(app: &App) -> Answer {
    let body = json!({
        "status": "ok", "version": env!("CARGO_PKG_VERSION"), "uptime_seconds": app.uptime().as_secs(),
        "uploads": admin::uploads(app),
    });
    Answer::json(200, body.to_string().into_bytes())
}

/// Any page may call from any origin with any headers; no credentials are involved, keys travel in headers.
fn preflight(head: &Head) -> Answer {
    let asked = head.header("access-control-request-headers").unwrap_or("Authorization, Content-Type");
    let allow = Route::find(&head.path).map_or("GET, HEAD, POST, OPTIONS", |route| route.allow());
    let mut answer = Answer::empty(204)
        .header("Allow", allow)
        .header("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
        .header("Access-Control-Allow-Headers", asked)
        .header("Access-Control-Max-Age", "86400")
        .header("Vary", "Access-Control-Request-Headers");
    if head.header("access-control-request-private-network") == Some("true") {
        answer = answer.header("Access-Control-Allow-Private-Network", "true");
    }
    answer
}

/// Whether a request speaks of this machine alone. A browser tells which page asks (`Origin`) and by which name it
/// found the server (`Host`), which a page of somebody else's cannot forge.
pub fn is_local(head: &Head) -> bool {
    let host = head.header("host").map_or("localhost", |host| host);
    let origin =
        head.header("origin").map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
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

/// The key that the client shows: as a Bearer token, in `x-api-key`, or as `?key=`.
fn shown_key(head: &Head) -> Result<Option<String>> {
    if let Some(value) = head.header("authorization") {
        let malformed =
            || Error::new(Kind::Unauthorized, "the Authorization header must be `Bearer YOUR_KEY`");
        let (scheme, key) = value.trim().split_once(' ').ok_or_else(malformed)?;
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

/// An error as a whole answer, with the time after which to try again.
pub fn error_answer(dialect: Dialect, error: &Error) -> Answer {
    let answer = Answer::json(error.kind.status(), dialect.error_answer(error));
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
    record.status = error.kind.status();
    record.fault = Some(error.message.clone());
    match error.kind {
        Kind::ClientGone => Err(io::ErrorKind::BrokenPipe.into()),
        _ => send(call, record, error_answer(record.dialect, error)),
    }
}

fn respond(
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
    use crate::http::head;

    #[test]
    fn paths_are_found_however_clients_write_them() {
        let cases = [
            ("/", Some(Route::Home)),
            ("/v1", Some(Route::Home)),
            ("/health", Some(Route::Health)),
            ("/v1/chat/completions", Some(Route::Chat)),
            ("/chat/completions/", Some(Route::Chat)),
            ("/v1/v1/chat/completions", Some(Route::Chat)),
            ("//v1//models", Some(Route::Models)),
            ("/models/a%20b", Some(Route::Model("a b".into()))),
            ("/ready", Some(Route::Ready)),
            ("/admin/", Some(Route::Admin(vec!["admin".into()]))),
            ("/api/admin/try", Some(Route::Admin(vec!["api".into(), "admin".into(), "try".into()]))),
            ("/v1/models/openai/gpt", Some(Route::Model("openai/gpt".into()))),
            ("/v1/chat", None),
            ("/v2/models", None),
        ];
        for (path, route) in cases {
            assert_eq!(Route::find(path), route, "{path}");
        }
    }

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
        assert_eq!(key("/", "").unwrap(), None);
        for header in [
            "Authorization: k\r\n",
            "Authorization: Bearer \r\n",
            "Authorization: Basic k\r\n",
            "Authorization: Bearer a b\r\n",
        ] {
            assert_eq!(key("/", header).unwrap_err().kind, Kind::Unauthorized, "{header}");
        }
    }
}
