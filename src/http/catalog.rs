//! The lists of models.

use std::sync::Arc;

use super::answer::Answer;
use super::connection::Call;
use super::relay::watch_client;
use super::router::poe_key;
use crate::app::App;
use crate::dialect::catalog::{self, Model};
use crate::error::{Error, Kind, Result};

/// Every model.
pub fn list(app: &App, call: &Call<'_>) -> Result<Answer> {
    Ok(Answer::json(200, catalog::list(&models(app, call)?)))
}

/// The model `name`.
pub fn one(app: &App, call: &Call<'_>, name: &str) -> Result<Answer> {
    let models = models(app, call)?;
    let found = models.iter().find(|model| model.id.eq_ignore_ascii_case(name));
    let missing =
        || Error::new(Kind::ModelNotFound, format!("the model `{name}` does not exist")).about("model");
    found.map(|model| Answer::json(200, catalog::one(model))).ok_or_else(missing)
}

/// Every model that this client may see.
pub fn models(app: &App, call: &Call<'_>) -> Result<Vec<Model>> {
    // the list is public at Poe, but with keys of its own the proxy shows it only to those who have one
    if !app.settings.proxy_api_keys.is_empty() {
        poe_key(app, call.head())?;
    }
    let entries = match app.catalog(&watch_client(call)) {
        Ok(entries) => entries,
        // the file's own models are there without Poe
        Err(error) if error.kind == Kind::ClientGone || app.models.custom_models().next().is_none() => {
            return Err(error);
        }
        Err(_) => Arc::default(),
    };
    let listed = entries.iter().filter_map(|entry| Some((app.models.listed_name(&entry.id)?, entry)));
    let mut models: Vec<Model> = listed
        .map(|(name, entry)| Model {
            id: name.to_owned(),
            created: entry.created,
            owned_by: entry.owned_by.clone(),
        })
        .collect();
    for custom in app.models.custom_models() {
        let is_listed = models.iter().any(|model| model.id.eq_ignore_ascii_case(&custom.id));
        if !is_listed {
            models.push(Model {
                id: custom.id.clone(),
                created: custom.created.map_or(0, i64::unsigned_abs),
                owned_by: custom.owned_by.clone().unwrap_or_else(|| "custom".to_owned()),
            });
        }
    }
    Ok(models)
}
