//! models.yaml for the admin page: its text, its status, and saving it.

use std::io;

use serde_json::{Map, Value, json};

use crate::config::models;
use crate::config::store::{Posted, Saved};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::gateway::context::Admitted;
use crate::server::answer::Answer;
use crate::server::head::Head;

/// More than any file that is read: JSON says the same in more bytes.
const MAX_BODY: u64 = 4 * models::MAX_BYTES;

/// `GET /api/admin/config`
pub fn show_json(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = request.app().config.to_json().map(|(mut json, version)| {
        json.insert("version".to_owned(), version.as_str().into());
        answer_json(&Value::Object(json)).header("ETag", format!("\"{version}\""))
    });
    request.reply(answer)
}

/// `GET /api/admin/config/file`
pub fn show_yaml(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let config = &request.app().config;
    let answer = config.to_yaml().map(|(yaml, version)| {
        let body = json!({"yaml": yaml, "version": version, "backup": config.has_backup()});
        answer_json(&body).header("ETag", format!("\"{version}\""))
    });
    request.reply(answer)
}

/// `GET /api/admin/config/state`
pub fn state(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let app = request.app();
    let status = &app.config.current().status;
    request.send(answer_json(&json!({
        "state": status.state.name(),
        "error": status.error,
        "warnings": app.config_warnings(),
        "path": app.config.path().display().to_string(),
        "writable": app.config.is_writable(),
        "backup": app.config.has_backup(),
        "version": status.version,
    })))
}

/// `POST /api/admin/config`
pub fn save_json(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = saved_json(&mut request);
    request.reply(answer)
}

/// `POST /api/admin/config/file`
pub fn save_yaml(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = saved_yaml(&mut request);
    request.reply(answer)
}

/// `POST /api/admin/config/restore`: the file as it was before the last save.
pub fn restore(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = restored(&mut request);
    request.reply(answer)
}

fn restored(request: &mut Admitted<'_, '_>) -> Result<Answer> {
    let mut json = posted(request)?;
    let versions = versions(request.head(), json.remove("version"))?;
    save(request.app(), Posted::Backup, &versions)
}

fn saved_json(request: &mut Admitted<'_, '_>) -> Result<Answer> {
    let mut json = posted(request)?;
    let versions = versions(request.head(), json.remove("version"))?;
    save(request.app(), Posted::Json(&json), &versions)
}

fn saved_yaml(request: &mut Admitted<'_, '_>) -> Result<Answer> {
    let mut json = posted(request)?;
    let versions = versions(request.head(), json.remove("version"))?;
    let Some(Value::String(yaml)) = json.get("yaml") else {
        return Err(Error::invalid("yaml", "yaml: expected the text of models.yaml"));
    };
    if yaml.len() as u64 > models::MAX_BYTES {
        let message = format!("yaml: the file may have {} bytes at most", models::MAX_BYTES);
        return Err(Error::invalid("yaml", message));
    }
    save(request.app(), Posted::Yaml(yaml), &versions)
}

fn save(app: &App, posted: Posted<'_>, versions: &[String]) -> Result<Answer> {
    let Saved { version, mut warnings } = app.save_config(posted, versions)?;
    if versions.is_empty() {
        warnings
            .push("saved without conflict detection: the request has neither version nor If-Match".into());
    }
    let body = json!({"status": "success", "version": version, "warnings": warnings});
    Ok(answer_json(&body).header("ETag", format!("\"{version}\"")))
}

fn posted(request: &mut Admitted<'_, '_>) -> Result<Map<String, Value>> {
    let body = request.limited_body(MAX_BODY)?;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(json)) => Ok(json),
        Ok(_) => Err(Error::new(Kind::InvalidRequest, "expected a JSON object")),
        Err(error) => Err(Error::new(Kind::InvalidRequest, format!("the body is not valid JSON: {error}"))),
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
