//! What goes on right now, for the admin page.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::server::answer::Answer;
use crate::server::connection::Call;

/// No call here has more to say.
const MAX_BODY: u64 = 64 << 10;

#[derive(Deserialize)]
struct Stop {
    id: String,
}

#[derive(Deserialize)]
struct Inspection {
    on: bool,
}

/// `GET /api/admin/activity?after=SEQ`.
pub fn report(app: &App, call: &Call<'_>) -> Result<Answer> {
    let query = call.head().query.as_deref().unwrap_or_default();
    let after = query.split('&').find_map(|pair| pair.strip_prefix("after="));
    let after = match after {
        Some(number) => number.parse().map_err(|_| Error::invalid("after", "after must be a number"))?,
        None => 0,
    };
    let mut body = serde_json::to_value(app.activity.report(after)).map_err(unwritable)?;
    body["counters"] = counters(app, call);
    Ok(Answer::json(200, body.to_string().into_bytes()))
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(Kind::Internal, format!("the list of requests could not be written: {error}"))
}

fn counters(app: &App, call: &Call<'_>) -> Value {
    let limiter = app.limiter.counts();
    json!({
        "uploads": uploads(app),
        "limiter": {"waited": limiter.waited, "refused": limiter.refused},
        "pool": {
            "connections": call.slots().occupied(),
            "running": app.activity.running(),
            "queued": limiter.waiting,
            "refused": call.slots().refused(),
        },
    })
}

/// The counters of the upload cache, as `/health` has them too.
pub fn uploads(app: &App) -> Value {
    let counters = app.files.counters();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    json!({
        "hits": count(&counters.hits), "misses": count(&counters.misses), "joined": count(&counters.joined),
        "evictions": count(&counters.evictions), "dead": count(&counters.dead),
    })
}

/// `POST /api/admin/activity/stop {"id"}`.
pub fn stop(app: &App, call: &mut Call<'_>) -> Result<Answer> {
    let Stop { id } = read(call)?;
    let stopped = app.activity.stop(&id);
    Ok(Answer::json(200, json!({"stopped": stopped}).to_string().into_bytes()))
}

/// `POST /api/admin/inspection {"on"}`.
pub fn inspection(app: &App, call: &mut Call<'_>) -> Result<Answer> {
    let Inspection { on } = read(call)?;
    app.activity.inspect(on);
    log::info!("the operator switched inspection {}", if on { "on" } else { "off" });
    Ok(Answer::json(200, json!({"on": on}).to_string().into_bytes()))
}

fn read<T: DeserializeOwned>(call: &mut Call<'_>) -> Result<T> {
    let body = call.body(MAX_BODY)?;
    serde_json::from_slice(&body)
        .map_err(|error| Error::new(Kind::InvalidRequest, format!("the body is invalid: {error}")))
}
