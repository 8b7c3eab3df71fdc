//! The lists of models.

use std::sync::Arc;

use super::router::poe_key;
use super::routes::decoded;
use crate::config::models::{Lookup, ModelsFile};
use crate::dialect::catalog::{self, Model, Page};
use crate::error::{Error, Kind, Result};
use crate::gateway::app::{App, Catalog};
use crate::gateway::relay::cancel_on_disconnect;
use crate::poe::{Entry, exact, listed, readings, same_name};
use crate::server::answer::Answer;
use crate::server::connection::Call;
use crate::server::head::Head;

/// Every model that is served, under the name it is served by.
pub fn list(app: &App, call: &Call<'_>) -> Result<Answer> {
    let listing = Listing::new(app, call)?;
    let models = listing.models();
    let body = match is_anthropic(call.head()) {
        true => catalog::anthropic_list(&models, &Page::read(pairs(call.head()))?)?,
        false => catalog::list(&models),
    };
    Ok(listing.labelled(Answer::json(200, body)))
}

/// The model `name`, by any name that reaches it.
pub fn one(app: &App, call: &Call<'_>, name: &str) -> Result<Answer> {
    let listing = Listing::new(app, call)?;
    let missing =
        || Error::new(Kind::ModelNotFound, format!("the model `{name}` does not exist")).about("model");
    let model = listing.find(name).ok_or_else(missing)?;
    let body = match is_anthropic(call.head()) {
        true => catalog::anthropic_one(&model),
        false => catalog::one(&model),
    };
    Ok(listing.labelled(Answer::json(200, body)))
}

/// Every model of Poe's list, under its own name, whatever models.yaml says.
pub fn unfiltered(app: &App, call: &Call<'_>) -> Result<Answer> {
    let listing = Listing::new(app, call)?;
    let models: Vec<Model<'_>> = listing.entries().iter().map(|entry| of_entry(entry, &entry.id)).collect();
    Ok(listing.labelled(Answer::json(200, catalog::list(&models))))
}

/// Who says which version of Anthropic's API it speaks wants its shapes, and so does who asks below its name.
fn is_anthropic(head: &Head) -> bool {
    let is_below = head.path.trim_start_matches('/').starts_with("anthropic/");
    head.header("anthropic-version").is_some() || is_below
}

fn pairs(head: &Head) -> impl Iterator<Item = (String, String)> {
    let pairs = head.query.as_deref().unwrap_or_default().split('&');
    pairs.filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decoded(name), decoded(value)))
}

/// Poe's models and those of models.yaml, at one moment.
pub struct Listing {
    file: Arc<ModelsFile>,
    /// None while Poe's list cannot be had: why.
    catalog: Result<Arc<Catalog>>,
}

impl Listing {
    /// What this client may see.
    pub fn new(app: &App, call: &Call<'_>) -> Result<Listing> {
        // the list is public at Poe, but with keys of its own the proxy shows it only to those who have one
        if !app.settings.proxy_api_keys.is_empty() {
            poe_key(app, call.head())?;
        }
        let file = app.models();
        match app.catalog(&cancel_on_disconnect(call)) {
            Err(error) if error.kind == Kind::ClientGone => Err(error),
            // the file's own models are there without Poe
            Err(error) if file.custom_models().next().is_none() => {
                let message = format!("Poe's list of models cannot be had, and none was kept: {error}");
                Err(Error::new(Kind::Overloaded, message).retry_after(app.retry_catalog()))
            }
            catalog => Ok(Listing { file, catalog }),
        }
    }

    fn entries(&self) -> &[Entry] {
        self.catalog.as_ref().map_or(&[], |catalog| &catalog.entries)
    }

    /// Every model that is served, under the name it is served by.
    pub fn models(&self) -> Vec<Model<'_>> {
        let of_poe = self.entries().iter();
        let mut models: Vec<Model<'_>> = of_poe
            .filter_map(|entry| Some(self.described(entry, self.file.listed_name(&entry.id)?)))
            .collect();
        for custom in self.file.custom_models() {
            let Some(id) = self.file.listed_name(&custom.id) else { continue };
            if !models.iter().any(|model| same_name(model.id, id)) {
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
                Some(custom) => exact(self.entries(), &custom.id),
                None => listed(self.entries(), bot),
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
