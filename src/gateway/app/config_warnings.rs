//! Warnings where models.yaml and Poe's list contradict each other. They are no errors: a bot may be newer than the list, and
//! its schema may be wrong.

use std::sync::Arc;

use serde_json::Value;

use super::catalog::names;
use super::{App, Catalog, entry_of};
use crate::config::directory::Dir;
use crate::config::models::{self, ModelsFile, Shadow};
use crate::config::store::Current;
use crate::pipeline::json::schema;
use crate::poe::{Entries, Entry};
use crate::settings::Settings;

/// How many doubts are sent: each costs a walk through the whole file.
const MAX_WARNINGS: usize = 20;
/// How many parameters of a model are sent by name.
const MOST_NAMES: usize = 12;

/// What was found, and in what.
#[derive(Debug)]
pub(super) struct ComputedWarnings {
    catalog: Option<Arc<Catalog>>,
    current: Arc<Current>,
    all: Arc<[String]>,
}

impl App {
    /// What is doubtful in models.yaml by Poe's list, a line each. It is logged when it is first found.
    pub fn computed_warnings(&self) -> Arc<[String]> {
        let (catalog, current) = (self.peek_catalog(), self.config.current());
        let mut known = super::lock(&self.computed_warnings);
        let is_same = |known: &&ComputedWarnings| {
            Arc::ptr_eq(&known.current, &current)
                && known.catalog.as_ref().map(Arc::as_ptr) == catalog.as_ref().map(Arc::as_ptr)
        };
        if let Some(known) = known.as_ref().filter(is_same) {
            return Arc::clone(&known.all);
        }
        let entries = catalog.as_ref().map_or(Entries::none(), |catalog| &catalog.entries);
        let all: Arc<[String]> = computed_warnings(&current.models, entries).into();
        let rendered = known.as_ref().map_or(&[][..], |before| &before.all);
        all.iter().filter(|one| !rendered.contains(one)).for_each(|one| log::warn!("models.yaml: {one}"));
        *known = Some(ComputedWarnings { catalog, current, all: Arc::clone(&all) });
        all
    }

    /// Everything that is doubtful in models.yaml, a line each.
    pub fn config_warnings(&self) -> Vec<String> {
        let computed_warnings = self.computed_warnings();
        self.config.current().status.warnings.iter().chain(computed_warnings.iter()).cloned().collect()
    }
}

/// What `check` says of models.yaml, by the list that an earlier start kept.
///
/// # Errors
/// What is wrong with the file.
pub fn report(settings: &Settings) -> Result<String, String> {
    let kept = Catalog::kept(&Dir::new(&settings.config_dir), settings);
    let entries = kept.as_ref().map_or(Entries::none(), |kept| &kept.entries);
    models::report(&settings.config_dir, |file| computed_warnings(file, entries))
}

fn computed_warnings(file: &ModelsFile, entries: &Entries) -> Vec<String> {
    let names = names(entries);
    let is_bot = |name: &str| names.contains(&name.to_lowercase());
    let hidden = file.shadows(&is_bot).map(|Shadow { bot, field, name }| {
        let message =
            format!("{name} is the name of a bot of Poe's; it reaches {bot} now, and that bot is hidden");
        (bot, field, message)
    });
    let served = file.models().iter().filter(|(_, config)| file.is_applied() && config.enable);
    let unfit = served.flat_map(|(bot, config)| {
        let entry = entry_of(file, entries, bot).1.map(|found| found.entry);
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
