//! Router: creates the request's record, runs the checks common to all routes, answers CORS, 404 and 405, calls the handler.

use std::io;
use std::sync::Arc;

use super::locked_page;
use super::route::{Access, Match, Route, Visibility};
use super::routes;
use crate::dialect::Dialect;
use crate::error::{Error, Kind};
use crate::gateway::app::App;
use crate::gateway::context::{Admitted, Exchange};
use crate::server::answer::Answer;
use crate::server::connection::{Call, Handler};
use crate::server::head::Head;

/// Answers every request of the server.
pub struct Api {
    app: Arc<App>,
}

impl Api {
    /// The API over the state of `app`.
    pub fn new(app: Arc<App>) -> Api {
        Api { app }
    }
}

impl Handler for Api {
    fn answer(&self, call: &mut Call<'_>) -> io::Result<()> {
        let mut exchange = Exchange::new(&self.app, call);
        let found = routes::find(&exchange.head().path);
        let by_method = found.as_ref().and_then(|found| found.by_method(&exchange.head().method));
        // a path that is asked by a wrong method is that path all the same
        let route = by_method.or(found.as_ref().and_then(Match::first));
        begin_record(&mut exchange, route);
        let Some((found, route)) = found.zip(route) else { return unknown(exchange) };
        exchange.parameter.clone_from(&found.parameter);
        if let Access::Operator(handler) = route.access {
            let is_allowed = by_method.is_some();
            let handler = |request: Admitted<'_, '_>| match is_allowed {
                true => handler(request),
                false => not_allowed(request, &found),
            };
            return exchange.authenticate_operator(handler, locked_page::for_browser);
        }
        answer(exchange, &found, by_method)
    }
}

fn begin_record(exchange: &mut Exchange<'_, '_>, route: Option<&Route>) {
    exchange.record.dialect =
        route.and_then(|route| route.dialect).unwrap_or_else(|| dialect(exchange.head()));
    let is_post = exchange.head().method == "POST";
    let is_preflight = exchange.head().method == "OPTIONS";
    let visibility = match route {
        Some(route) => {
            exchange.record.endpoint = route.endpoint;
            route.visibility
        }
        // a client that asks for what is not here wants to be seen, a crawler does not
        None if is_post => Visibility::Listed,
        None => Visibility::Logged,
    };
    exchange.record.is_routine = visibility == Visibility::Routine || is_preflight;
    let is_operators = route.is_some_and(|route| matches!(route.access, Access::Operator(_)));
    // the operator's own requests are listed once the password has been checked
    if visibility == Visibility::Listed && !is_preflight && !is_operators {
        exchange.show_to_operator();
    }
}

/// Answers a request for a path that is not the operator's.
fn answer(mut exchange: Exchange<'_, '_>, found: &Match, route: Option<&'static Route>) -> io::Result<()> {
    if let Err(error) = exchange.check_sender() {
        return refuse_sender(exchange, &error, found.allow());
    }
    let method = exchange.head().method.as_str();
    match (route, method) {
        (_, "OPTIONS") => {
            let answer = preflight(exchange.head(), found.allow());
            exchange.send(answer)
        }
        (Some(route), _) => match route.access {
            Access::Public(handler) => handler(exchange),
            Access::Reader(handler) => exchange.admit_reader(handler),
            Access::Client(handler) => exchange.authenticate(handler),
            Access::Operator(handler) => exchange.authenticate_operator(handler, locked_page::for_browser),
            Access::Unserved(kind, message) => exchange.refuse(&Error::new(kind, message)),
        },
        // some programs ask like this whether there is anything
        (None, "HEAD") => exchange.send(Answer::empty(200).header("Allow", found.allow())),
        // Codex tries a WebSocket first and falls back to HTTP at this status
        (None, "GET") if exchange.head().has_token("upgrade", "websocket") => {
            let message = "WebSocket is not supported: send the request by HTTP POST";
            let error = Error::new(Kind::MethodNotAllowed, message);
            exchange.refuse_with(&error, |answer| {
                answer.with_status(426).header("Upgrade", "HTTP/1.1").header("Connection", "Upgrade")
            })
        }
        (None, _) => {
            let error = wrong_method(exchange.head(), found);
            exchange.refuse_with(&error, |answer| answer.header("Allow", found.allow()))
        }
    }
}

fn unknown(mut exchange: Exchange<'_, '_>) -> io::Result<()> {
    const ANY: &str = "GET, HEAD, POST, OPTIONS";
    if let Err(error) = exchange.check_sender() {
        return refuse_sender(exchange, &error, ANY.to_owned());
    }
    let head = exchange.head();
    if head.method == "OPTIONS" {
        let answer = preflight(head, ANY.to_owned());
        return exchange.send(answer);
    }
    let error = Error::new(Kind::NotFound, format!("no endpoint at {} {}", head.method, head.path));
    exchange.refuse(&error)
}

fn not_allowed(mut request: Admitted<'_, '_>, found: &Match) -> io::Result<()> {
    let error = wrong_method(request.head(), found);
    request.refuse_with(&error, |answer| answer.header("Allow", found.allow()))
}

fn wrong_method(head: &Head, found: &Match) -> Error {
    let message = format!("{} is not allowed here, only {}", head.method, found.allow());
    Error::new(Kind::MethodNotAllowed, message)
}

/// The API whose errors a client expects, by the request's head: Anthropic's programs all name the version of its API.
fn dialect(head: &Head) -> Dialect {
    let is_anthropics = head.header("anthropic-version").is_some()
        || head.path.trim_start_matches('/').starts_with("anthropic/");
    if is_anthropics { Dialect::Anthropic } else { Dialect::OpenAi }
}

/// The refusal of a preflight has the headers of one that passes, so that browsers show its status and body to developers
/// and not a missing header.
fn refuse_sender(mut exchange: Exchange<'_, '_>, error: &Error, allow: String) -> io::Result<()> {
    if exchange.head().method != "OPTIONS" {
        return exchange.refuse(error);
    }
    let head = exchange.head().clone();
    exchange.refuse_with(error, |answer| with_cors(answer, &head, allow))
}

/// Any page may call from any origin with any headers; no credentials are involved, keys travel in headers.
fn preflight(head: &Head, allow: String) -> Answer {
    with_cors(Answer::empty(204), head, allow)
}

fn with_cors(answer: Answer, head: &Head, allow: String) -> Answer {
    let asked = head.header("access-control-request-headers").unwrap_or("Authorization, Content-Type");
    let mut answer = answer
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
