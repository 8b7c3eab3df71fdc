//! Ollama's endpoints: chats, and descriptions of models.

use std::io;
use std::time::Instant;

use super::model_list::{Listing, described, shown_name};
use crate::dialect::catalog::Model as Listed;
use crate::dialect::ollama::{self, Model, model_name};
use crate::error::{Error, Kind, Result};
use crate::gateway::context::{Admitted, Authenticated, Exchange};
use crate::gateway::relay;
use crate::server::answer::Answer;

/// `POST /api/chat`
pub fn chat(request: Authenticated<'_, '_>) -> io::Result<()> {
    relay::answer(request, |body, stamp| ollama::decode_chat(body, stamp, Instant::now))
}

/// `POST /api/generate`
pub fn generate(request: Authenticated<'_, '_>) -> io::Result<()> {
    relay::answer(request, |body, stamp| ollama::decode_generate(body, stamp, Instant::now))
}

/// `GET /api/ps`
pub fn running(mut exchange: Exchange<'_, '_>) -> io::Result<()> {
    exchange.send(Answer::json(200, ollama::running()))
}

/// `GET /api/version`
pub fn version(mut exchange: Exchange<'_, '_>) -> io::Result<()> {
    exchange.send(Answer::json(200, ollama::version()))
}

/// `GET /api/tags`
pub fn tags(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let model = |listed: Listed<'_>| Model {
        name: listed.id.to_owned(),
        created: listed.created,
        owned_by: listed.owned_by.to_owned(),
        ..Model::default()
    };
    let answer = Listing::new(&request).map(|listing| {
        let models: Vec<Model> = listing.models().into_iter().map(model).collect();
        Answer::json(200, ollama::tags(&models))
    });
    request.reply(answer)
}

/// `POST /api/show`
pub fn show(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = shown(&mut request);
    request.reply(answer)
}

fn shown(request: &mut Admitted<'_, '_>) -> Result<Answer> {
    let name = ollama::decode_show(&request.body()?)?;
    let wanted = model_name(&name);
    let listing = Listing::new(request)?;
    let Some(found) = listing.find(wanted) else {
        return Err(Error::new(Kind::ModelNotFound, format!("model '{name}' not found")).about("model"));
    };
    let (listed, entry) = (described(&found, shown_name(&found, wanted)), found.entry.as_ref());
    let model = Model {
        name: listed.id.to_owned(),
        created: listed.created,
        owned_by: listed.owned_by.to_owned(),
        context_length: entry.and_then(|entry| entry.context_length),
        sees: entry.is_some_and(|entry| entry.reads("image")),
        thinks: entry.is_some_and(|entry| entry.thinks()),
    };
    Ok(Answer::json(200, ollama::show(&model)))
}
