//! Ollama's read-only face: what it states of models. Its chats go the way of all questions.

use std::io;
use std::time::Instant;

use super::model_list::Listing;
use super::router::{respond, send};
use crate::dialect::catalog::Model as Listed;
use crate::dialect::ollama::{self, Model, model_name};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::App;
use crate::gateway::record::Record;
use crate::gateway::relay::{self, cancel_on_disconnect};
use crate::server::answer::Answer;
use crate::server::connection::Call;

/// The endpoints of Ollama's API that are open here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
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

impl Endpoint {
    /// The endpoint behind `/api/NAME`.
    pub fn find(name: &str) -> Option<Endpoint> {
        Some(match name {
            "chat" => Endpoint::Chat,
            "generate" => Endpoint::Generate,
            "tags" => Endpoint::Tags,
            "show" => Endpoint::Show,
            "ps" => Endpoint::Running,
            "version" => Endpoint::Version,
            _ => return None,
        })
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/api/chat",
            Endpoint::Generate => "/api/generate",
            Endpoint::Tags => "/api/tags",
            Endpoint::Show => "/api/show",
            Endpoint::Running => "/api/ps",
            Endpoint::Version => "/api/version",
        }
    }

    /// How it is opened.
    pub fn method(self) -> &'static str {
        match self {
            Endpoint::Chat | Endpoint::Generate | Endpoint::Show => "POST",
            Endpoint::Tags | Endpoint::Running | Endpoint::Version => "GET",
        }
    }
}

/// Answers a request to `endpoint`.
pub fn answer(app: &App, call: &mut Call<'_>, record: &mut Record, endpoint: Endpoint) -> io::Result<()> {
    match endpoint {
        Endpoint::Chat => {
            relay::answer(app, call, record, |_, body, stamp| ollama::decode_chat(body, stamp, Instant::now))
        }
        Endpoint::Generate => relay::answer(app, call, record, |_, body, stamp| {
            ollama::decode_generate(body, stamp, Instant::now)
        }),
        Endpoint::Tags => respond(call, record, |call| tags(app, call)),
        Endpoint::Show => respond(call, record, |call| show(app, call)),
        Endpoint::Running => send(call, record, Answer::json(200, ollama::running())),
        Endpoint::Version => send(call, record, Answer::json(200, ollama::version())),
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
    let entry = app.model(listed.id, &cancel_on_disconnect(call))?.entry;
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
