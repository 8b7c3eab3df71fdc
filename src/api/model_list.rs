//! Endpoints that list models.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use crate::config::models::{Lookup, ModelsFile};
use crate::dialect::catalog::{self, Model, Page};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::{Catalog, no_model};
use crate::gateway::context::{Admitted, Exchange};
use crate::poe::{Entries, Entry, readings, same_name};
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
        let entries = listing.entries().iter();
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
    let model = listing.find(name).ok_or_else(|| no_model(name))?;
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

/// Poe's models and those of models.yaml, at one moment.
pub struct Listing {
    file: Arc<ModelsFile>,
    /// None while Poe's list cannot be had: why.
    catalog: Result<Arc<Catalog>>,
}

impl Listing {
    /// The models as they are now.
    pub fn new(request: &Exchange<'_, '_>) -> Result<Listing> {
        let app = request.app();
        let file = app.models();
        match app.catalog(&request.cancel_check()) {
            Err(error) if error.kind == Kind::ClientGone => Err(error),
            // the file's own models are there without Poe
            Err(error) if file.custom_models().next().is_none() => {
                let message =
                    format!("Poe's list of models is unavailable, and no earlier copy is stored: {error}");
                Err(Error::new(Kind::Overloaded, message).retry_after(app.retry_catalog()))
            }
            catalog => Ok(Listing { file, catalog }),
        }
    }

    fn entries(&self) -> &Entries {
        self.catalog.as_ref().map_or(Entries::none(), |catalog| &catalog.entries)
    }

    /// Every model that is served, under the name it is served by.
    pub fn models(&self) -> Vec<Model<'_>> {
        let of_poe = self.entries().iter();
        let mut models: Vec<Model<'_>> = of_poe
            .filter_map(|entry| Some(self.described(entry, self.file.listed_name(&entry.id)?)))
            .collect();
        let mut taken: HashSet<String> = models.iter().map(|model| model.id.to_lowercase()).collect();
        for custom in self.file.custom_models() {
            let Some(id) = self.file.listed_name(&custom.id) else { continue };
            if taken.insert(id.to_lowercase()) {
                models.push(self.custom(id, &custom.id));
            }
        }
        models
    }

    /// The model that a client means by `name`; it is shown under the name that was asked for.
    pub fn find<'a>(&'a self, name: &'a str) -> Option<Model<'a>> {
        if let Some(model) = self.models().into_iter().find(|model| same_name(model.id, name)) {
            return Some(model);
        }
        for (reading, effort) in readings(name) {
            let bot = match self.file.bot_for(reading) {
                Lookup::Disabled => return None,
                Lookup::Bot { name, .. } => name,
                Lookup::Unlisted => reading,
            };
            let custom = self.file.custom_model(bot);
            let entry = match custom {
                Some(custom) => self.entries().exact(&custom.id),
                None => self.entries().listed(bot),
            };
            if entry.is_none() && custom.is_none() {
                continue;
            }
            // the file may speak of the bot by the name that Poe lists
            let config = self.file.config_of(entry.map_or(bot, |entry| &entry.id));
            let is_served = config
                .is_none_or(|config| config.enable && (effort.is_none() || config.reasoning != Some(false)));
            let model = || entry.map_or_else(|| self.custom(name, bot), |entry| self.described(entry, name));
            return is_served.then(model);
        }
        None
    }

    fn described<'a>(&'a self, entry: &'a Entry, id: &'a str) -> Model<'a> {
        let description = self.file.config_of(&entry.id).and_then(|config| config.description.as_deref());
        Model { description, is_renamed: !same_name(id, &entry.id), ..of_entry(entry, id) }
    }

    fn custom<'a>(&'a self, id: &'a str, bot: &str) -> Model<'a> {
        let custom = self.file.custom_model(bot);
        Model {
            id,
            created: custom
                .and_then(|custom| custom.created)
                .map_or(0, |time| u64::try_from(time).unwrap_or(0)),
            owned_by: custom.and_then(|custom| custom.owned_by.as_deref()).unwrap_or("custom"),
            description: self.file.config_of(bot).and_then(|config| config.description.as_deref()),
            ..Model::default()
        }
    }

    /// The answer with where Poe's list comes from and how old it is.
    fn labelled(&self, answer: Answer) -> Answer {
        match &self.catalog {
            Ok(catalog) => answer
                .header("Age", catalog.age().as_secs().to_string())
                .header("X-Models-Source", catalog.source.name()),
            Err(error) => {
                let why = error.message.replace(['"', '\\'], "'");
                let text = format!("Poe's list of models cannot be had, these are models.yaml's own: {why}");
                answer.header("Warning", format!("199 - \"{text}\"")).header("X-Models-Source", "none")
            }
        }
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
