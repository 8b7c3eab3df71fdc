//! The lists of models.

use super::answer::Answer;
use super::connection::Call;
use super::relay::watch_client;
use super::router::shown_key;
use crate::app::App;
use crate::dialect::catalog::{self, Model};
use crate::error::{Error, Kind, Result};
use crate::poe::Entry;

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

fn models(app: &App, call: &Call<'_>) -> Result<Vec<Model>> {
    // the list is public at Poe, but with keys of its own the proxy shows it only to those who have one
    if !app.settings.proxy_api_keys.is_empty() {
        app.poe_key(shown_key(call.head())?.as_deref())?;
    }
    let entries = app.catalog(&watch_client(call))?;
    let model = |entry: &Entry| Model {
        id: entry.id.clone(),
        created: entry.created,
        owned_by: entry.owned_by.clone(),
    };
    Ok(entries.iter().map(model).collect())
}
