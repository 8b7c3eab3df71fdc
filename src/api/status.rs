//! Endpoints about the server itself: liveness and readiness.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::gateway::app::App;
use crate::gateway::context::Exchange;
use crate::server::answer::Answer;
use crate::server::connection_slots::ShutdownPhase;
use crate::state::shared::SharedStatus;

const HOME: &str = concat!(
    "poe2openai ",
    env!("CARGO_PKG_VERSION"),
    ": Poe's bots for programs that speak OpenAI's or Anthropic's API.\n\nPOST /v1/chat/completions\nPOST /v1/responses\nPOST /v1/messages\nGET  /v1/models\nGET  /health\nGET  /admin\n\n\
      For programs that look for it: Ollama is running\n"
);

/// `GET /`
pub fn home(mut exchange: Exchange<'_, '_>) -> io::Result<()> {
    exchange.send(Answer::text(200, HOME))
}

/// `GET /health`
pub fn health(mut exchange: Exchange<'_, '_>) -> io::Result<()> {
    let app = exchange.app();
    let current = app.config.current();
    let body = json!({
        "status": "ok", "version": env!("CARGO_PKG_VERSION"), "uptime_seconds": app.uptime().as_secs(),
        "uploads": uploads(app),
        "config": {
            "state": current.status.state.name(), "error": current.status.location,
            "warnings": app.config_warnings().len(),
        },
    });
    exchange.send(Answer::json(200, body.to_string().into_bytes()))
}

/// The counters of the upload cache.
pub fn uploads(app: &App) -> Value {
    let counters = app.files.counters();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    json!({
        "hits": count(&counters.hits), "misses": count(&counters.misses), "joined": count(&counters.joined),
        "evictions": count(&counters.evictions), "dead": count(&counters.dead),
    })
}

/// `GET /api/hello`: whether there is a server at all.
pub fn hello(mut exchange: Exchange<'_, '_>) -> io::Result<()> {
    exchange.send(Answer::json(200, br#"{"message":"hello"}"#.to_vec()))
}

/// `POST /api/event_logging/…`: what Claude Code reports of its use is dropped.
pub fn discard_events(mut exchange: Exchange<'_, '_>) -> io::Result<()> {
    exchange.send(Answer::json(200, b"{}".to_vec()))
}

/// Whether the server should be given work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Yes.
    Ready,
    /// No: it is on its way out.
    Draining,
    /// It runs, but not with the configuration that its file asks for.
    ConfigBroken,
}

impl State {
    /// Its name, as `/ready` says it.
    pub fn word(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Draining => "draining",
            State::ConfigBroken => "config_broken",
        }
    }
}

/// How the server is now.
pub fn of(exchange: &Exchange<'_, '_>) -> State {
    match (exchange.shutdown_phase(), exchange.app().config_fault()) {
        (ShutdownPhase::On, Some(_)) => State::ConfigBroken,
        (ShutdownPhase::On, None) => State::Ready,
        _ => State::Draining,
    }
}

/// `GET /ready`: 200 when the server should be given work, else 503 with the reason.
pub fn ready(mut exchange: Exchange<'_, '_>) -> io::Result<()> {
    let state = of(&exchange);
    let mut body = json!({"status": state.word()});
    if let (State::ConfigBroken, Some(fault)) = (state, exchange.app().config_fault()) {
        body["error"] = fault.into(); // by line and field: anybody may ask
    }
    if let Some(shared) = &exchange.app().shared {
        // by one word: anybody may ask
        body["redis"] = if shared.status().fault.is_none() { "ok" } else { "unavailable" }.into();
    }
    let status = if state == State::Ready { 200 } else { 503 };
    exchange.send(Answer::json(status, body.to_string().into_bytes()))
}

/// How the state that replicas share is doing, for the operator; nothing without Redis.
pub fn shared(app: &App) -> Value {
    let Some(shared) = &app.shared else { return Value::Null };
    let SharedStatus { place, replica, fault, connections, operations, failures } = shared.status();
    json!({
        "place": place, "replica": replica, "error": fault, "connections": connections, "operations": operations, "failures": failures,
    })
}

/// The memory that the process holds, where the system states.
pub fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}
