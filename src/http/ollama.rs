//! Ollama's read-only face: what it tells of models. Its chats go the way of all questions.

use std::io;
use std::time::Instant;

use super::answer::Answer;
use super::catalog::Listing;
use super::connection::Call;
use super::record::Record;
use super::relay::{self, watch_client};
use super::router::{respond, send};
use crate::app::App;
use crate::dialect::catalog::Model as Listed;
use crate::dialect::ollama::{self, Model, model_name};
use crate::error::{Error, Kind, Result};

/// The doors of Ollama's API that are open here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `POST /api/chat`
    Chat,
    /// `POST /api/generate`
    Generate,
    /// `GET /api/tags`
    Tags,
    /// `POST /api/show`
    Show,
    /// `GET /api/ps`
    Running,
    /// `GET /api/version`
    Version,
}

impl Door {
    /// The door behind `/api/NAME`.
    pub fn find(name: &str) -> Option<Door> {
        Some(match name {
            "chat" => Door::Chat,
            "generate" => Door::Generate,
            "tags" => Door::Tags,
            "show" => Door::Show,
            "ps" => Door::Running,
            "version" => Door::Version,
            _ => return None,
        })
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Door::Chat => "/api/chat",
            Door::Generate => "/api/generate",
            Door::Tags => "/api/tags",
            Door::Show => "/api/show",
            Door::Running => "/api/ps",
            Door::Version => "/api/version",
        }
    }

    /// How it is opened.
    pub fn method(self) -> &'static str {
        match self {
            Door::Chat | Door::Generate | Door::Show => "POST",
            Door::Tags | Door::Running | Door::Version => "GET",
        }
    }
}

/// Answers a request to `door`.
pub fn answer(app: &App, call: &mut Call<'_>, record: &mut Record, door: Door) -> io::Result<()> {
    match door {
        Door::Chat => {
            relay::answer(app, call, record, |_, body, stamp| ollama::decode_chat(body, stamp, Instant::now))
        }
        Door::Generate => relay::answer(app, call, record, |_, body, stamp| {
            ollama::decode_generate(body, stamp, Instant::now)
        }),
        Door::Tags => respond(call, record, |call| tags(app, call)),
        Door::Show => respond(call, record, |call| show(app, call)),
        Door::Running => send(call, record, Answer::json(200, ollama::running())),
        Door::Version => send(call, record, Answer::json(200, ollama::version())),
    }
}

fn tags(app: &App, call: &Call<'_>) -> Result<Answer> {
    let listing = Listing::new(app, call)?;
    let model = |listed: Listed<'_>| Model {
        name: listed.id.to_owned(),
        created: listed.created,
        owned_by: listed.owned_by.to_owned(),
        ..Model::default()
    };
    let models: Vec<Model> = listing.models().into_iter().map(model).collect();
    Ok(Answer::json(200, ollama::tags(&models)))
}

fn show(app: &App, call: &mut Call<'_>) -> Result<Answer> {
    let name = ollama::decode_show(&relay::body(app, call)?)?;
    let wanted = model_name(&name);
    let listing = Listing::new(app, call)?;
    let Some(listed) = listing.find(wanted) else {
        return Err(Error::new(Kind::ModelNotFound, format!("model '{name}' not found")).about("model"));
    };
    let entry = app.model(listed.id, &watch_client(call))?.entry;
    let model = Model {
        name: listed.id.to_owned(),
        created: listed.created,
        owned_by: listed.owned_by.to_owned(),
        context_length: entry.as_ref().and_then(|entry| entry.context_length),
        sees: entry.as_ref().is_some_and(|entry| entry.reads("image")),
        thinks: entry.as_ref().is_some_and(|entry| entry.thinks()),
    };
    Ok(Answer::json(200, ollama::show(&model)))
}
