//! Every model that the server knows: Poe's list and models.yaml together. Which bot a name means, which models are
//! listed and what is wrong with the file is answered here and nowhere else.

mod warnings;

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use crate::config::models::{CustomModel, Lookup, ModelConfig, ModelsFile};
use crate::poe::{self, Entries, Entry, same_name};

/// Poe's models at one moment.
#[derive(Debug)]
pub struct Catalog {
    /// The models, in Poe's order.
    pub entries: Entries,
    /// When Poe gave them.
    pub fetched: SystemTime,
    /// Where they come from.
    pub source: ListSource,
}

/// Where a list comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListSource {
    /// From Poe, since this start.
    Poe,
    /// From the disk.
    Cache,
    /// From the disk, where another Poe's list lay: better than none until this one answers.
    Elsewhere,
}

impl ListSource {
    /// Its name in headers and in the admin API.
    pub fn name(self) -> &'static str {
        match self {
            ListSource::Poe => "poe",
            ListSource::Cache | ListSource::Elsewhere => "cache",
        }
    }
}

impl Catalog {
    /// How old it is.
    pub fn age(&self) -> Duration {
        self.fetched.elapsed().unwrap_or_default()
    }
}

/// All that is known of one model, whatever name it is asked for by.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// Its own name, as Poe's list, `custom_models` or `models` spells it.
    pub name: String,
    /// The bot that Poe is asked for.
    pub bot: String,
    /// The bot's entry in Poe's list.
    pub entry: Option<Entry>,
    /// Its entry in `custom_models`, if Poe's list does not have it.
    pub custom: Option<CustomModel>,
    /// What models.yaml says of it.
    pub config: ModelConfig,
    /// The name under which it is listed.
    pub listed: Option<String>,
    /// False if models.yaml disables it.
    pub is_enabled: bool,
    /// The effort in its own name: models.yaml may give settings to `gpt-5.2-high`.
    own_effort: Option<&'static str>,
}

impl Details {
    /// Its entry in Poe's list, unless that has it under another name.
    pub fn own_entry(&self) -> Option<&Entry> {
        self.entry.as_ref().filter(|entry| same_name(&entry.id, &self.name))
    }
}

/// The model that a client means by a name.
#[derive(Debug, Clone, Default)]
pub struct Model {
    details: Arc<Details>,
    /// The effort behind the name.
    pub effort: Option<&'static str>,
}

impl Model {
    /// A bot of which nothing but its name is known.
    pub fn private(bot: String) -> Model {
        let details = Details { name: bot.clone(), bot, is_enabled: true, ..Details::default() };
        Model { details: Arc::new(details), effort: None }
    }
}

impl Deref for Model {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.details
    }
}

/// What a name means.
#[derive(Debug)]
pub enum Resolved<'a> {
    /// A model that is served.
    Served(Model),
    /// A model that models.yaml disables, or one without efforts asked for with an effort.
    Disabled,
    /// None that is known. It may be the name of a private bot.
    Unknown(Nearest<'a>),
}

/// A name that is not known, and where similar ones are looked for.
#[derive(Debug)]
pub struct Nearest<'a> {
    directory: &'a ModelDirectory,
    name: &'a str,
}

impl<'a> Nearest<'a> {
    /// The listed names that are most like it, the likest first. Each look compares it with all of them.
    pub fn names(&self) -> Vec<&'a str> {
        self.directory.nearest(self.name)
    }
}

/// Poe's list and models.yaml at one moment. It is built when one of them changes; a look-up is one in a map.
#[derive(Debug, Default)]
pub struct ModelDirectory {
    file: Arc<ModelsFile>,
    catalog: Option<Arc<Catalog>>,
    /// Poe's models in its order, then those of `custom_models`, then those that only `models` has.
    all: Vec<Arc<Details>>,
    /// Own names in lower case.
    own: HashMap<String, Arc<Details>>,
    /// Own names and the names that models.yaml gives, in lower case.
    names: HashMap<String, Arc<Details>>,
    listed: Vec<Arc<Details>>,
    warnings: OnceLock<Arc<[String]>>,
}

impl ModelDirectory {
    /// Puts both together.
    pub fn new(file: Arc<ModelsFile>, catalog: Option<Arc<Catalog>>) -> ModelDirectory {
        let mut directory = ModelDirectory { file, catalog, ..ModelDirectory::default() };
        directory.all = directory.collect();
        directory.index();
        directory.listed = directory.collect_listed();
        directory
    }

    /// Whether it was built of these.
    pub fn is_of(&self, file: &Arc<ModelsFile>, catalog: Option<&Arc<Catalog>>) -> bool {
        Arc::ptr_eq(&self.file, file) && self.catalog.as_ref().map(Arc::as_ptr) == catalog.map(Arc::as_ptr)
    }

    /// Poe's list, if there is one.
    pub fn catalog(&self) -> Option<&Catalog> {
        self.catalog.as_deref()
    }

    /// The models of Poe's list.
    pub fn entries(&self) -> &Entries {
        self.catalog().map_or(Entries::none(), |catalog| &catalog.entries)
    }

    /// The model that a client means by `name`: in any case, with prefixes, marks, dates and efforts around it.
    pub fn resolve<'a>(&'a self, name: &'a str) -> Resolved<'a> {
        let found = poe::readings(name).find_map(|(name, effort)| Some((self.named(name)?, effort)));
        let Some((details, effort)) = found else {
            return Resolved::Unknown(Nearest { directory: self, name });
        };
        let effort = effort.or(details.own_effort);
        let has_effort = effort.is_none() || details.config.reasoning != Some(false);
        match details.is_enabled && has_effort {
            true => Resolved::Served(Model { details: Arc::clone(details), effort }),
            false => Resolved::Disabled,
        }
    }

    /// Every model that is served under a name of its own, in the order in which it is listed.
    pub fn list(&self) -> impl Iterator<Item = (&str, &Details)> {
        self.listed.iter().filter_map(|details| Some((details.listed.as_deref()?, &**details)))
    }

    /// Every model of Poe's list and of models.yaml, served or not.
    pub fn all(&self) -> impl Iterator<Item = &Details> {
        self.all.iter().map(|details| &**details)
    }

    /// What is doubtful in models.yaml by Poe's list, a line each.
    pub fn warnings(&self) -> Arc<[String]> {
        Arc::clone(self.warnings.get_or_init(|| warnings::find(self).into()))
    }

    /// The listed names most like `name`, the likest first.
    pub fn nearest(&self, name: &str) -> Vec<&str> {
        poe::nearest(self.list().map(|(listed, _)| listed), name)
    }

    /// The model whose own name is `name`, in any case.
    pub fn own(&self, name: &str) -> Option<&Details> {
        self.own.get(&name.to_lowercase()).map(|details| &**details)
    }

    fn named(&self, name: &str) -> Option<&Arc<Details>> {
        self.names.get(&name.to_lowercase()).or_else(|| self.names.get(&poe::folded(name)))
    }

    fn collect(&self) -> Vec<Arc<Details>> {
        let entries = self.entries();
        let mut all: Vec<_> = entries.iter().map(|entry| Arc::new(self.listed_by_poe(entry))).collect();
        let mut known: HashSet<String> = all.iter().map(|details| details.name.to_lowercase()).collect();
        for custom in self.file.all_custom_models() {
            if known.insert(custom.id.to_lowercase()) {
                all.push(Arc::new(self.custom(custom)));
            }
        }
        for (bot, _) in self.file.models() {
            if known.insert(bot.to_lowercase()) {
                all.push(Arc::new(self.of_file(bot)));
            }
        }
        all
    }

    fn listed_by_poe(&self, entry: &Entry) -> Details {
        Details {
            bot: entry.id.clone(),
            entry: Some(entry.clone()),
            listed: self.file.listed_name(&entry.id).map(str::to_owned),
            ..self.details(&entry.id)
        }
    }

    fn custom(&self, custom: &CustomModel) -> Details {
        let is_listed = self.file.custom_model(&custom.id).is_some();
        let listed = self.file.listed_name(&custom.id).filter(|_| is_listed);
        Details {
            custom: Some(custom.clone()),
            listed: listed.map(str::to_owned),
            ..self.details(&custom.id)
        }
    }

    /// A name of `models` that is neither in Poe's list nor a custom model: a private bot's, or another spelling of a
    /// listed one. That is listed only under a name that the file gives it.
    fn of_file(&self, name: &str) -> Details {
        let mut details = self.details(name);
        let Some(found) = self.entries().find(name) else { return details };
        details.listed = details.config.mapping.clone().filter(|_| details.is_enabled);
        details.bot.clone_from(&found.entry.id);
        details.entry = Some(found.entry.clone());
        details.own_effort = found.effort;
        // what the file says of the bot by the name that Poe lists counts more
        if let Some(config) = self.file.config_of(&found.entry.id) {
            details.config = config.clone();
            details.is_enabled &= config.enable;
        }
        details
    }

    fn details(&self, name: &str) -> Details {
        let config = self.file.config_of(name);
        Details {
            name: name.to_owned(),
            bot: name.to_owned(),
            is_enabled: config.map_or(self.file.bot_for(name) != Lookup::Disabled, |config| config.enable),
            config: config.cloned().unwrap_or_default(),
            ..Details::default()
        }
    }

    fn index(&mut self) {
        let is_applied = self.file.is_applied();
        for details in self.all.iter().filter(|details| is_applied || details.entry.is_some()) {
            if is_applied || details.own_entry().is_some() {
                self.own.entry(details.name.to_lowercase()).or_insert_with(|| Arc::clone(details));
            }
        }
        self.names.clone_from(&self.own);
        for (bot, config) in self.file.models().iter().filter(|_| is_applied) {
            let Some(details) = self.own.get(&bot.to_lowercase()) else { continue };
            for (_, name) in config.given_names() {
                self.names.insert(name.to_lowercase(), Arc::clone(details));
            }
        }
    }

    /// A name in the list always reaches the model that stands under it.
    fn collect_listed(&self) -> Vec<Arc<Details>> {
        let mut taken = HashSet::new();
        let mut is_listed = |details: &&Arc<Details>| {
            let Some(name) = &details.listed else { return false };
            let is_new = taken.insert(name.to_lowercase()) || details.own_entry().is_some();
            is_new
                && matches!(self.resolve(name), Resolved::Served(model) if same_name(&model.bot, &details.bot))
        };
        self.all.iter().filter(|details| is_listed(details)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "enable: true\nmodels:\n  demo-gpt-high: {mapping: fast, description: quick}\n  \
        claude-sonnet-4.5: {mapping: Sonnet, aliases: [smart]}\n  off: {enable: false, aliases: [gone]}\n  \
        private: {mapping: p}\n  calm: {reasoning: false}\ncustom_models: [{id: My-Bot}, {id: off}, {id: calm}]\n";

    fn directory(yaml: &str) -> ModelDirectory {
        let entry = |id: &str| Entry { id: id.to_owned(), ..Entry::default() };
        let ids = ["demo-gpt", "claude-sonnet-4.5", "GPT-5.2", "ÄÖÜ-Bot"];
        let entries = Entries::from(ids.map(entry).to_vec());
        let catalog = Catalog { entries, fetched: SystemTime::UNIX_EPOCH, source: ListSource::Poe };
        let (file, _) = ModelsFile::parse(yaml).unwrap();
        ModelDirectory::new(Arc::new(file), Some(Arc::new(catalog)))
    }

    fn bot(directory: &ModelDirectory, name: &str) -> String {
        match directory.resolve(name) {
            Resolved::Served(model) => model.bot.clone(),
            Resolved::Disabled => "-".to_owned(),
            Resolved::Unknown(nearest) => format!("?{}", nearest.names().join(" ")),
        }
    }

    #[test]
    fn both_sources_answer_together() {
        let directory = directory(FILE);
        let listed: Vec<_> = directory.list().map(|(name, _)| name).collect();
        assert_eq!(listed, ["demo-gpt", "Sonnet", "GPT-5.2", "ÄÖÜ-Bot", "My-Bot", "calm", "fast"]);
        for (name, expected) in [
            ("FAST", "demo-gpt"),
            ("smart", "claude-sonnet-4.5"),
            ("claude-sonnet-4-5-20250929", "claude-sonnet-4.5"),
            ("my-bot", "My-Bot"),
            ("p", "private"),
            ("off", "-"),
            ("x/gone:latest", "-"),
            ("calm-high", "-"),
            ("sonet", "?Sonnet"),
        ] {
            assert_eq!(bot(&directory, name), expected, "{name}");
        }
        let Resolved::Served(fast) = directory.resolve("fast") else { panic!("fast is served") };
        assert_eq!((fast.effort, fast.config.description.as_deref()), (Some("high"), Some("quick")));
    }

    #[test]
    fn a_file_that_does_not_count_changes_nothing() {
        let directory = directory(&FILE.replace("true", "false"));
        let listed: Vec<_> = directory.list().map(|(name, _)| name).collect();
        assert_eq!(listed, ["demo-gpt", "claude-sonnet-4.5", "GPT-5.2", "ÄÖÜ-Bot"]);
        assert!(["My-Bot", "off"].iter().all(|name| bot(&directory, name).starts_with('?')));
        assert_eq!(directory.all().count(), 9, "the admin page shows what the file has");
    }

    proptest! {
        #[test]
        fn a_name_means_the_same_whatever_stands_around_it(
            at in 0..7_usize,
            prefix in prop::sample::select(vec!["", "@", "poe/", "openai/", "openrouter/poe/", "poe/@"]),
            effort in prop::sample::select(vec!["", "-high", "-LOW"]),
            mark in prop::sample::select(vec!["", ":latest", "[1m]", ":Latest[1m]"]),
            date in prop::sample::select(vec!["", "-20250929", "@20250929", "-latest"]),
            upper in any::<bool>(),
        ) {
            let directory = directory(FILE);
            let (listed, details) = directory.list().nth(at).unwrap();
            let cased = if upper { listed.to_uppercase() } else { listed.to_lowercase() };
            let name = format!("{prefix}{cased}{date}{effort}{mark}");
            let expected = if listed == "calm" && !effort.is_empty() { "-" } else { details.bot.as_str() };
            prop_assert_eq!(bot(&directory, &name), expected, "{}", name);
        }
    }
}
