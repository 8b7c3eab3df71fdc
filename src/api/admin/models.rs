//! Rows of the admin page's models table: Poe's entry and the settings of models.yaml for each model.

use std::collections::HashMap;
use std::io;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::Result;
use crate::gateway::app::App;
use crate::gateway::context::Admitted;
use crate::gateway::model_directory::Details;
use crate::poe::Entry;
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
    let directory = app.directory();
    let (config, _) = app.config.to_json()?;
    let config = by_name(&config);
    let list = List {
        age_seconds: directory.catalog().map(|catalog| catalog.age().as_secs()),
        source: directory.catalog().map_or("none", |catalog| catalog.source.name()),
        models: directory.all().map(|details| shown(details, &config)).collect(),
    };
    // keys are text and values were read from JSON: nothing can fail
    Ok(Answer::json(200, serde_json::to_vec(&list).unwrap_or_default()))
}

fn by_name(config: &Map<String, Value>) -> HashMap<String, &Value> {
    let models = config.get("models").and_then(Value::as_object);
    models.into_iter().flatten().map(|(bot, entry)| (bot.to_lowercase(), entry)).collect()
}

fn shown<'a>(details: &'a Details, config: &HashMap<String, &'a Value>) -> Shown<'a> {
    let (entry, custom) = (details.own_entry(), details.custom.as_ref());
    let about = match entry {
        Some(entry) => About {
            owned_by: Some(&entry.owned_by),
            created: Some(entry.created),
            ..entry.raw.as_deref().map(about).unwrap_or_default()
        },
        None => About {
            owned_by: custom.and_then(|custom| custom.owned_by.as_deref()),
            created: custom.and_then(|custom| custom.created).and_then(|time| u64::try_from(time).ok()),
            ..About::default()
        },
    };
    Shown {
        id: &details.name,
        name: details.listed.as_deref(),
        enabled: details.is_enabled,
        custom: custom.is_some(),
        tools: entry.is_some_and(Entry::has_tools),
        about,
        config: config.get(&details.name.to_lowercase()).copied(),
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
