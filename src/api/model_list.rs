//! Endpoints that list models.

use std::io;
use std::sync::Arc;

use crate::dialect::catalog::{self, Model, Page};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::{Client, no_model};
use crate::gateway::context::{Admitted, Exchange};
use crate::gateway::model_directory::{self, Details, ModelDirectory, Resolved};
use crate::poe::{Entry, same_name};
use crate::server::answer::Answer;
use crate::server::head::Head;

/// `GET /v1/models`: every model that is served, under the name it is served by.
pub fn list(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = served(&request);
    request.reply(answer)
}

/// `GET /v1/models/{name}`: the model, by any name that reaches it.
pub fn one(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = named(&request, &request.parameter);
    request.reply(answer)
}

/// `GET /api/models`: every model of Poe's list, under its own name, whatever models.yaml says.
pub fn unfiltered(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = Listing::new(&request).map(|listing| {
        let is_allowed = |entry: &&Entry| {
            let own = listing.directory.own(&entry.id);
            own.is_some_and(|details| listing.client.may_use(details))
        };
        let entries = listing.directory.entries().iter().filter(is_allowed);
        let models: Vec<Model<'_>> = entries.map(|entry| of_entry(entry, &entry.id)).collect();
        listing.labelled(Answer::json(200, catalog::list(&models)))
    });
    request.reply(answer)
}

fn served(request: &Exchange<'_, '_>) -> Result<Answer> {
    let listing = Listing::new(request)?;
    let models = listing.models();
    let body = match is_anthropic(request.head()) {
        true => catalog::anthropic_list(&models, &Page::read(request.query_pairs())?)?,
        false => catalog::list(&models),
    };
    Ok(listing.labelled(Answer::json(200, body)))
}

fn named(request: &Exchange<'_, '_>, name: &str) -> Result<Answer> {
    let listing = Listing::new(request)?;
    let found = listing.find(name).ok_or_else(|| no_model(name))?;
    let model = described(&found, shown_name(&found, name));
    let body = match is_anthropic(request.head()) {
        true => catalog::anthropic_one(&model),
        false => catalog::one(&model),
    };
    Ok(listing.labelled(Answer::json(200, body)))
}

/// Who says which version of Anthropic's API it speaks wants its shapes, and so does who asks below its name.
fn is_anthropic(head: &Head) -> bool {
    let is_below = head.path.trim_start_matches('/').starts_with("anthropic/");
    head.header("anthropic-version").is_some() || is_below
}

/// The models at one moment.
pub struct Listing {
    directory: Arc<ModelDirectory>,
    /// Who asks: models that its key may not use are left out.
    client: Client,
    /// Why Poe's list cannot be had, while it cannot.
    fault: Option<Error>,
}

impl Listing {
    /// The models as they are now.
    pub fn new(request: &Exchange<'_, '_>) -> Result<Listing> {
        let app = request.app();
        let fault = app.catalog(&request.cancel_check()).err();
        let directory = app.directory();
        match fault {
            Some(error) if error.kind == Kind::ClientGone => Err(error),
            // the file's own models are there without Poe
            Some(error) if directory.list().next().is_none() => {
                let message =
                    format!("Poe's list of models is unavailable, and no earlier copy is stored: {error}");
                Err(Error::new(Kind::Overloaded, message).retry_after(app.retry_catalog()))
            }
            fault => Ok(Listing { directory, client: request.client().clone(), fault }),
        }
    }

    /// Every model that is served, under the name it is served by.
    pub fn models(&self) -> Vec<Model<'_>> {
        let is_allowed = |(_, details): &(&str, &Details)| self.client.may_use(details);
        self.directory.list().filter(is_allowed).map(|(name, details)| described(details, name)).collect()
    }

    /// The model that a client means by `name`.
    pub fn find(&self, name: &str) -> Option<model_directory::Model> {
        match self.directory.resolve(name) {
            Resolved::Served(model) => Some(model).filter(|model| self.client.may_use(model)),
            Resolved::Disabled | Resolved::Unknown(_) => None,
        }
    }

    /// The answer with where Poe's list comes from and how old it is.
    fn labelled(&self, answer: Answer) -> Answer {
        match (self.directory.catalog(), &self.fault) {
            (Some(catalog), _) => answer
                .header("Age", catalog.age().as_secs().to_string())
                .header("X-Models-Source", catalog.source.name()),
            (None, Some(error)) => {
                let why = error.message.replace(['"', '\\'], "'");
                let text = format!("Poe's list of models cannot be had, these are models.yaml's own: {why}");
                answer.header("Warning", format!("199 - \"{text}\"")).header("X-Models-Source", "none")
            }
            (None, None) => answer,
        }
    }
}

/// The name under which a model is shown that was asked for as `name`: as the list spells it, if it has that name.
pub fn shown_name<'a>(details: &'a Details, name: &'a str) -> &'a str {
    details.listed.as_deref().filter(|listed| same_name(listed, name)).unwrap_or(name)
}

/// The model as clients see it, under the name `id`.
pub fn described<'a>(details: &'a Details, id: &'a str) -> Model<'a> {
    let description = details.config.description.as_deref();
    if let Some(entry) = &details.entry {
        return Model { description, is_renamed: !same_name(id, &entry.id), ..of_entry(entry, id) };
    }
    let custom = details.custom.as_ref();
    let created = custom.and_then(|custom| custom.created);
    Model {
        id,
        created: created.and_then(|time| u64::try_from(time).ok()).unwrap_or(0),
        owned_by: custom.and_then(|custom| custom.owned_by.as_deref()).unwrap_or("custom"),
        description,
        ..Model::default()
    }
}

fn of_entry<'a>(entry: &'a Entry, id: &'a str) -> Model<'a> {
    Model {
        id,
        created: entry.created,
        owned_by: &entry.owned_by,
        entry: entry.raw.as_deref(),
        ..Model::default()
    }
}
