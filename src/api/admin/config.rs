//! models.yaml for the admin page: shown, saved, and how it is.

use serde_json::{Map, Value, json};

use crate::config::models;
use crate::config::store::{Posted, Saved};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::gateway::relay;
use crate::server::answer::Answer;
use crate::server::connection::Call;
use crate::server::head::Head;

/// More than any file that is read: JSON says the same in more bytes.
const MAX_BODY: u64 = 4 * models::MAX_BYTES;

/// Answers a request to the path below `/api/admin/` that has these parts.
pub fn answer(app: &App, call: &mut Call<'_>, parts: &[&str]) -> Result<Answer> {
    let is_read = matches!(call.head().method.as_str(), "GET" | "HEAD");
    match (parts, call.head().method.as_str()) {
        (["config"], "POST") => save_json(app, call),
        (["config", "file"], "POST") => save_yaml(app, call),
        (["config"], _) if is_read => shown(app),
        (["config", "file"], _) if is_read => shown_file(app),
        (["config", "state"], _) if is_read => Ok(state(app)),
        (["models"], _) if is_read => super::models::list(app),
        (["models"] | ["config"] | ["config", "file" | "state"], method) => {
            Err(Error::new(Kind::MethodNotAllowed, format!("{method} is not allowed here")))
        }
        _ => Err(Error::new(Kind::NotFound, "the admin API has no such path")),
    }
}

fn shown(app: &App) -> Result<Answer> {
    let (mut json, version) = app.config.to_json()?;
    json.insert("version".to_owned(), version.as_str().into());
    Ok(answer_json(&Value::Object(json)).header("ETag", format!("\"{version}\"")))
}

fn shown_file(app: &App) -> Result<Answer> {
    let (yaml, version) = app.config.to_yaml()?;
    let body = json!({"yaml": yaml, "version": version, "backup": app.config.has_backup()});
    Ok(answer_json(&body).header("ETag", format!("\"{version}\"")))
}

fn state(app: &App) -> Answer {
    let status = &app.config.current().status;
    answer_json(&json!({
        "state": status.state.name(),
        "error": status.error,
        "warnings": app.config_warnings(),
        "path": app.config.path().display().to_string(),
        "writable": app.config.is_writable(),
        "version": status.version,
    }))
}

fn save_json(app: &App, call: &mut Call<'_>) -> Result<Answer> {
    let mut json = posted(app, call)?;
    let versions = versions(call.head(), json.remove("version"))?;
    save(app, Posted::Json(&json), &versions)
}

fn save_yaml(app: &App, call: &mut Call<'_>) -> Result<Answer> {
    let mut json = posted(app, call)?;
    let versions = versions(call.head(), json.remove("version"))?;
    let Some(Value::String(yaml)) = json.get("yaml") else {
        return Err(Error::invalid("yaml", "yaml: expected the text of models.yaml"));
    };
    if yaml.len() as u64 > models::MAX_BYTES {
        let message = format!("yaml: the file may have {} bytes at most", models::MAX_BYTES);
        return Err(Error::invalid("yaml", message));
    }
    save(app, Posted::Yaml(yaml), &versions)
}

fn save(app: &App, posted: Posted<'_>, versions: &[String]) -> Result<Answer> {
    let Saved { version, mut warnings } = app.save_config(posted, versions)?;
    if versions.is_empty() {
        warnings.push(
            "saved over whatever was there: neither version nor If-Match named the version that was changed"
                .into(),
        );
    }
    let body = json!({"status": "success", "version": version, "warnings": warnings});
    Ok(answer_json(&body).header("ETag", format!("\"{version}\"")))
}

fn posted(app: &App, call: &mut Call<'_>) -> Result<Map<String, Value>> {
    let kind = call.head().header("content-type").and_then(|kind| kind.split(';').next());
    if !kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Error::new(Kind::UnsupportedEncoding, "expected Content-Type: application/json"));
    }
    let body = relay::limited_body(call, MAX_BODY.min(app.settings.max_request_size))?;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(json)) => Ok(json),
        Ok(_) => Err(Error::new(Kind::InvalidRequest, "expected a JSON object")),
        Err(error) => Err(Error::new(Kind::InvalidRequest, format!("the body is no JSON: {error}"))),
    }
}

/// The versions that the saver may have started from: of `If-Match`, and of the body. None is any, and so is `*`.
fn versions(head: &Head, in_body: Option<Value>) -> Result<Vec<String>> {
    let in_body = match in_body {
        None | Some(Value::Null) => None,
        Some(Value::String(version)) => Some(version),
        Some(_) => return Err(Error::invalid("version", "version: expected a string")),
    };
    let in_head = head.header("if-match").filter(|tags| tags.trim() != "*");
    let in_head = in_head.map(|tags| {
        let tag = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
        tags.split(',').map(tag).collect::<Vec<_>>()
    });
    Ok(in_head.unwrap_or_else(|| in_body.into_iter().collect()))
}

fn answer_json(body: &Value) -> Answer {
    Answer::json(200, body.to_string().into_bytes())
}
