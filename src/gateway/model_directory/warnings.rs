//! What models.yaml says and Poe's list says otherwise. These are warnings: Poe's bot may be younger than the file, and
//! its schema may be wrong.

use serde_json::Value;

use super::ModelDirectory;
use crate::config::models::Shadow;
use crate::pipeline::json::schema;
use crate::poe::Entry;

/// How many doubts are sent: each costs a walk through the whole file.
const MAX_WARNINGS: usize = 20;
/// How many parameters of a model are sent by name.
const MOST_NAMES: usize = 12;

/// What is doubtful, a line each.
pub(super) fn find(directory: &ModelDirectory) -> Vec<String> {
    let file = &directory.file;
    let is_bot = |name: &str| directory.entries().exact(name).is_some();
    let hidden = file.shadows(&is_bot).map(|Shadow { bot, field, name }| {
        let message =
            format!("{name} is the name of a bot of Poe's; it reaches {bot} now, and that bot is hidden");
        (bot, field, message)
    });
    let served = file.models().iter().filter(|(_, config)| file.is_applied() && config.enable);
    let unfit = served.flat_map(|(bot, config)| {
        let entry = directory.own(bot).and_then(|details| details.entry.as_ref());
        let unfit =
            move |(name, value): (&'_ String, &'_ Value)| Some((name.clone(), misfit(entry?, name, value)?));
        let all = config.parameters.iter().filter_map(unfit);
        all.map(move |(name, message)| (bot.as_str(), format!("parameters.{name}"), message))
    });
    let all: Vec<_> = hidden.chain(unfit).collect();
    let rendered = all.iter().take(MAX_WARNINGS);
    let mut rendered: Vec<String> =
        rendered.map(|(bot, field, message)| file.fault(bot, field, message.clone()).to_string()).collect();
    if all.len() > MAX_WARNINGS {
        rendered.push(format!("{} more of that kind", all.len() - MAX_WARNINGS));
    }
    rendered
}

/// Why the model would not take the parameter, as far as it declares any.
fn misfit(entry: &Entry, name: &str, value: &Value) -> Option<String> {
    if entry.parameters.is_empty() {
        return None;
    }
    let Some(parameter) = entry.parameter(name) else {
        let mut names: Vec<&str> =
            entry.parameters.iter().map(|one| one.name.as_str()).take(MOST_NAMES).collect();
        if entry.parameters.len() > MOST_NAMES {
            names.push("…");
        }
        return Some(format!(
            "{} declares no such parameter, but {}; it is sent all the same",
            entry.id,
            names.join(", ")
        ));
    };
    let fault = schema::check(value, &parameter.schema).err()?;
    Some(format!("not as {} declares it, sent all the same: {}", entry.id, fault.message))
}
