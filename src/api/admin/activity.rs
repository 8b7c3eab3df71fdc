//! Running requests, recent requests and sums by model, for the admin page.

use std::io;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::status::uploads;
use crate::error::{Error, Kind, Result};
use crate::gateway::context::{Admitted, Exchange};
use crate::server::answer::Answer;
use crate::telemetry::recent_log;

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
pub fn report(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = requests_after(&request);
    request.reply(answer)
}

fn requests_after(request: &Exchange<'_, '_>) -> Result<Answer> {
    let after = after(request)?;
    let mut body = serde_json::to_value(request.app().activity.report(after)).map_err(unwritable)?;
    body["counters"] = counters(request);
    Ok(Answer::json(200, body.to_string().into_bytes()))
}

fn after(request: &Exchange<'_, '_>) -> Result<u64> {
    match request.query("after") {
        Some(number) => number.parse().map_err(|_| Error::invalid("after", "after must be a number")),
        None => Ok(0),
    }
}

/// `GET /api/admin/log?after=SEQ`: the last lines of the log. Keys and passwords never reach it.
pub fn log(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = after(&request).and_then(|after| {
        let body = serde_json::to_vec(&recent_log::after(after)).map_err(unwritable)?;
        Ok(Answer::json(200, body))
    });
    request.reply(answer)
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(Kind::Internal, format!("cannot encode the answer: {error}"))
}

fn counters(request: &Exchange<'_, '_>) -> Value {
    let (app, connections) = (request.app(), request.connections());
    let limiter = app.limiter.counts();
    json!({
        "uploads": uploads(app),
        "limiter": {"waited": limiter.waited, "refused": limiter.refused},
        "pool": {
            "connections": connections.occupied(),
            "running": app.activity.running(),
            "queued": limiter.waiting,
            "refused": connections.refused(),
        },
    })
}

/// `POST /api/admin/activity/stop {"id"}`.
pub fn stop(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = read(&mut request).map(|Stop { id }| {
        let stopped = request.app().activity.stop(&id);
        Answer::json(200, json!({"stopped": stopped}).to_string().into_bytes())
    });
    request.reply(answer)
}

/// `POST /api/admin/inspection {"on"}`.
pub fn inspection(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = read(&mut request).map(|Inspection { on }| {
        request.app().activity.inspect(on);
        log::info!("the operator switched recording of prompts {}", if on { "on" } else { "off" });
        Answer::json(200, json!({"on": on}).to_string().into_bytes())
    });
    request.reply(answer)
}

fn read<T: DeserializeOwned>(request: &mut Admitted<'_, '_>) -> Result<T> {
    let body = request.limited_body(MAX_BODY)?;
    serde_json::from_slice(&body)
        .map_err(|error| Error::new(Kind::InvalidRequest, format!("the body is invalid: {error}")))
}
