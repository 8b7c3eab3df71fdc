//! Rows of the admin page's models table: Poe's entry and the settings of models.yaml for each model.

use std::collections::{HashMap, HashSet};
use std::io;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::config::models::{Lookup, ModelsFile};
use crate::error::Result;
use crate::gateway::app::App;
use crate::gateway::context::Admitted;
use crate::poe::{Entries, Entry};
use crate::server::answer::Answer;

#[derive(Serialize)]
struct List<'a> {
    age_seconds: Option<u64>,
    source: &'static str,
    models: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    /// The bot's own name.
    id: &'a str,
    /// The name it is listed under.
    name: Option<&'a str>,
    enabled: bool,
    custom: bool,
    tools: bool,
    #[serde(flatten)]
    about: About<'a>,
    /// What the file says about it, as it says it.
    config: Option<&'a Value>,
}

#[derive(Default, Serialize)]
struct About<'a> {
    owned_by: Option<&'a str>,
    created: Option<u64>,
    description: Option<&'a RawValue>,
    display_name: Option<&'a RawValue>,
    context_length: Option<&'a RawValue>,
    max_output_tokens: Option<&'a RawValue>,
    #[serde(serialize_with = "or_empty")]
    input_modalities: Option<&'a RawValue>,
    #[serde(serialize_with = "or_empty")]
    output_modalities: Option<&'a RawValue>,
    pricing: Option<&'a RawValue>,
    #[serde(serialize_with = "or_empty")]
    supported_endpoints: Option<&'a RawValue>,
    /// As Poe declares them, those with a name.
    parameters: Vec<&'a RawValue>,
}

/// A list that is not there is an empty one.
fn or_empty<S: Serializer>(list: &Option<&RawValue>, to: S) -> Result<S::Ok, S::Error> {
    match list.filter(|list| list.get() != "null") {
        Some(list) => list.serialize(to),
        None => to.collect_seq(None::<()>),
    }
}

type Fields<'a> = HashMap<&'a str, &'a RawValue>;

/// `GET /api/admin/models`
pub fn list(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = all(request.app());
    request.reply(answer)
}

/// All models: Poe's, the file's own, and those that only the file names.
fn all(app: &App) -> Result<Answer> {
    let catalog = app.peek_catalog();
    let current = app.config.current();
    let (config, _) = app.config.to_json()?;
    let entries = catalog.as_ref().map_or(Entries::none(), |catalog| &catalog.entries);
    let file = File { models: &current.models, config: by_name(&config) };
    let mut models: Vec<Shown<'_>> = entries.iter().map(|entry| file.of_poe(entry)).collect();
    let mut known: HashSet<String> = entries.iter().map(|entry| entry.id.to_lowercase()).collect();
    let own = current.models.models().iter().map(|(bot, _)| bot.as_str());
    for bot in current.models.all_custom_models().iter().map(|custom| custom.id.as_str()).chain(own) {
        if known.insert(bot.to_lowercase()) {
            models.push(file.own(bot));
        }
    }
    let list = List {
        age_seconds: catalog.as_ref().map(|catalog| catalog.age().as_secs()),
        source: catalog.as_ref().map_or("none", |catalog| catalog.source.name()),
        models,
    };
    // keys are text and values were read from JSON: nothing can fail
    Ok(Answer::json(200, serde_json::to_vec(&list).unwrap_or_default()))
}

fn by_name(config: &Map<String, Value>) -> HashMap<String, &Value> {
    let models = config.get("models").and_then(Value::as_object);
    models.into_iter().flatten().map(|(bot, entry)| (bot.to_lowercase(), entry)).collect()
}

struct File<'a> {
    models: &'a ModelsFile,
    config: HashMap<String, &'a Value>,
}

impl<'a> File<'a> {
    fn of_poe(&self, entry: &'a Entry) -> Shown<'a> {
        let about = About {
            owned_by: Some(&entry.owned_by),
            created: Some(entry.created),
            ..entry.raw.as_deref().map(about).unwrap_or_default()
        };
        Shown {
            name: self.models.listed_name(&entry.id),
            tools: entry.has_tools(),
            ..self.shown(&entry.id, about)
        }
    }

    /// A model that Poe's list does not have. Listed is only what stands among the custom ones.
    fn own(&self, bot: &'a str) -> Shown<'a> {
        let custom = self.models.any_custom_model(bot);
        let about = About {
            owned_by: custom.and_then(|custom| custom.owned_by.as_deref()),
            created: custom.and_then(|custom| custom.created).and_then(|time| u64::try_from(time).ok()),
            ..About::default()
        };
        let name = self.models.listed_name(bot).filter(|_| self.models.custom_model(bot).is_some());
        Shown { name, custom: custom.is_some(), ..self.shown(bot, about) }
    }

    fn shown(&self, bot: &'a str, about: About<'a>) -> Shown<'a> {
        let config = self.models.config_of(bot);
        Shown {
            id: bot,
            name: None,
            enabled: config.map_or(self.models.bot_for(bot) != Lookup::Disabled, |config| config.enable),
            custom: false,
            tools: false,
            about,
            config: self.config.get(&bot.to_lowercase()).copied(),
        }
    }
}

/// The parts of Poe's entry, each as Poe wrote it; null is as good as nothing.
fn about(entry: &RawValue) -> About<'_> {
    let entry = fields(Some(entry));
    let window = fields(part(&entry, "context_window"));
    let architecture = fields(part(&entry, "architecture"));
    About {
        description: part(&entry, "description"),
        display_name: part(&fields(part(&entry, "metadata")), "display_name"),
        context_length: part(&window, "context_length").or(part(&entry, "context_length")),
        max_output_tokens: part(&window, "max_output_tokens"),
        input_modalities: part(&architecture, "input_modalities"),
        output_modalities: part(&architecture, "output_modalities"),
        pricing: part(&entry, "pricing"),
        supported_endpoints: part(&entry, "supported_endpoints"),
        parameters: part(&entry, "parameters").map(named).unwrap_or_default(),
        ..About::default()
    }
}

fn named(list: &RawValue) -> Vec<&RawValue> {
    let list: Vec<&RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
    let is_named =
        |one: &&RawValue| part(&fields(Some(one)), "name").is_some_and(|name| name.get().starts_with('"'));
    list.into_iter().filter(is_named).collect()
}

fn part<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.get(name).copied()
}

fn fields(object: Option<&RawValue>) -> Fields<'_> {
    object.and_then(|object| serde_json::from_str(object.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_without_a_name_are_left_out() {
        let entry = r#"{"id": "a", "parameters": [null, 1, {"name": null}, {"name": "size", "schema": {}}]}"#;
        let entry: Box<RawValue> = serde_json::from_str(entry).unwrap();
        let shown = serde_json::to_value(about(&entry)).unwrap();
        assert_eq!(shown["parameters"], serde_json::json!([{"name": "size", "schema": {}}]));
    }
}
