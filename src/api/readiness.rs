//! How the server is: whether it should be given work, and what it takes.

use std::fs;

use serde_json::json;

use crate::gateway::app::App;
use crate::server::answer::Answer;
use crate::server::connection::Call;
use crate::server::connection_slots::ShutdownPhase;

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
pub fn of(app: &App, call: &Call<'_>) -> State {
    match (call.stop().shutdown_phase(), app.config_fault()) {
        (ShutdownPhase::Draining | ShutdownPhase::Ending, _) => State::Draining,
        (ShutdownPhase::On, Some(_)) => State::ConfigBroken,
        (ShutdownPhase::On, None) => State::Ready,
    }
}

/// `GET /ready`: 200 when the server should be given work, else 503 with the reason.
pub fn ready(app: &App, call: &Call<'_>) -> Answer {
    let state = of(app, call);
    let mut body = json!({"status": state.word()});
    if let (State::ConfigBroken, Some(fault)) = (state, app.config_fault()) {
        body["error"] = fault.into(); // by line and field: anybody may ask
    }
    let status = if state == State::Ready { 200 } else { 503 };
    Answer::json(status, body.to_string().into_bytes())
}

/// The memory that the process holds, where the system states.
pub fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}
