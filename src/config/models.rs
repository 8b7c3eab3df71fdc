//! models.yaml: names, parameters and tool modes of the bots that are served.
//!
//! A wrong type ends the reading with line and field; an unknown key only warns, for files carry foreign keys.

pub mod edit;
mod faults;
mod locate;
mod mask;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use serde_yaml::Value as Yaml;

pub use faults::Fault;
pub use locate::Place;

use faults::{TWICE, describe, too_deep};

/// The file's name inside the configuration directory.
pub const FILE_NAME: &str = "models.yaml";

/// The largest file that is read: far more than all of Poe's bots need.
pub const MAX_BYTES: u64 = 4 << 20;

/// The parser's word for a text that says nothing.
const EMPTY: &str = "EOF while parsing a value";

/// How many unknown keys and hidden custom models are sent by name.
const MAX_WARNINGS: usize = 20;

const KEYS: &[&str] = &["enable", "default", "models", "custom_models", "api_token", "use_v1_api"];
const MODEL_KEYS: &[&str] = &[
    "mapping",
    "enable",
    "replace_response",
    "tools",
    "route",
    "parameters",
    "description",
    "aliases",
    "reasoning",
];
const CUSTOM_KEYS: &[&str] = &["id", "created", "owned_by"];

/// The whole file. While it is not applied ([`ModelsFile::is_applied`]), look-ups answer as if it were empty.
#[derive(Debug, Clone, Default)]
pub struct ModelsFile {
    /// Secrets stand in it.
    text: Token,
    content: Content,
    /// Names a client may use, in lower case, to the place of their model in `content.models`.
    names: HashMap<String, usize>,
    /// The bots' own names, in lower case, to the same.
    bots: HashMap<String, usize>,
    /// The custom models' names, in lower case, to their place in `content.custom_models`.
    customs: HashMap<String, usize>,
    /// Values of top-level keys that hold secrets.
    secrets: Vec<Token>,
}

/// What is to be done with a name that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lookup<'a> {
    /// The file knows it.
    Bot {
        /// The bot's own name, as the file spells it.
        name: &'a str,
        /// How the file wants it served.
        config: &'a ModelConfig,
    },
    /// The file forbids it: neither listed nor served.
    Disabled,
    /// The file says nothing about it: it is a bot's own name.
    Unlisted,
}

/// How tools reach a bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tools {
    /// Natively where the bot can, else by prompt.
    #[default]
    Auto,
    /// Always through Poe's own fields.
    Native,
    /// Always described in the prompt.
    Prompt,
}

/// By which of Poe's endpoints a bot is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// By the bot protocol.
    #[default]
    Bot,
    /// By the endpoint that speaks the client's dialect.
    Native,
    /// By that endpoint where there is one that takes the request, else by the bot protocol.
    Auto,
}

/// What the file says about one bot.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(default, expecting = "a mapping with keys such as `mapping` and `enable`")]
pub struct ModelConfig {
    /// The name under which the bot is listed, in place of its own.
    #[serde(deserialize_with = "name_or_none")]
    pub mapping: Option<String>,
    /// Listed and served; default yes.
    #[serde(deserialize_with = "or_yes")]
    pub enable: bool,
    /// The bot replaces its text as it goes, so that only the last version counts; default no.
    #[serde(deserialize_with = "or_default")]
    pub replace_response: bool,
    /// How tools reach the bot.
    #[serde(deserialize_with = "or_default")]
    pub tools: Tools,
    /// By which endpoint the bot is asked; `None` leaves it to the server.
    pub route: Option<Route>,
    /// Defaults sent with every request, under Poe's names for them.
    #[serde(deserialize_with = "or_default")]
    pub parameters: Map<String, Value>,
    /// What people read about it in the list.
    pub description: Option<String>,
    /// Further names under which the bot can be reached.
    #[serde(deserialize_with = "or_default")]
    pub aliases: Vec<String>,
    /// Whether names with a reasoning suffix (`-high`) are served; `None` leaves it to the server.
    pub reasoning: Option<bool>,
}

impl Default for ModelConfig {
    fn default() -> ModelConfig {
        ModelConfig {
            mapping: None,
            enable: true,
            replace_response: false,
            tools: Tools::Auto,
            route: None,
            parameters: Map::new(),
            description: None,
            aliases: Vec::new(),
            reasoning: None,
        }
    }
}

impl ModelConfig {
    /// The names given to the bot, each with the field that gives it.
    pub fn given_names(&self) -> impl Iterator<Item = (String, &str)> {
        let mapping = self.mapping.iter().map(|name| ("mapping".to_owned(), name.as_str()));
        let aliases = self.aliases.iter().enumerate();
        mapping.chain(aliases.map(|(at, name)| (format!("aliases[{at}]"), name.as_str())))
    }
}

/// A model that is listed although Poe's own list does not know it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(expecting = "a mapping with the key `id`")]
pub struct CustomModel {
    /// The bot's name.
    #[serde(deserialize_with = "trimmed")]
    pub id: String,
    /// When it was made, in seconds since 1970.
    pub created: Option<i64>,
    /// Who made it.
    pub owned_by: Option<String>,
}

/// A name given to one bot that is the own name of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow<'a> {
    /// The bot it was given to.
    pub bot: &'a str,
    /// The field that gives it, `mapping` or `aliases[0]`.
    pub field: String,
    /// The name.
    pub name: &'a str,
}

impl ModelsFile {
    /// Reads `models.yaml` in `dir`: the file and its warnings, `None` if there is none.
    ///
    /// # Errors
    /// One line that names the file, and line and field where it is wrong.
    pub fn read(dir: &Path) -> Result<Option<(ModelsFile, Vec<String>)>, String> {
        let path = dir.join(FILE_NAME);
        let named = |problem: String| format!("{}: {problem}", path.display());
        let Some(bytes) = read_bytes(&path).map_err(named)? else { return Ok(None) };
        let text = as_text(&bytes).map_err(|fault| named(fault.to_string()))?;
        let (file, warnings) = ModelsFile::parse(text).map_err(|fault| named(fault.to_string()))?;
        Ok(Some((file, warnings.into_iter().map(named).collect())))
    }

    /// Reads the text of a models.yaml: the file and its warnings.
    ///
    /// # Errors
    /// What is wrong, with line and field.
    pub fn parse(text: &str) -> Result<(ModelsFile, Vec<String>), Fault> {
        if let Some(fault) = too_deep(text) {
            return Err(fault);
        }
        let deserializer = serde_yaml::Deserializer::from_str(text);
        // An empty file, or one of comments only, is a file that says nothing.
        let content: Option<Content> = match serde_path_to_error::deserialize(deserializer) {
            Err(error) if error.inner().to_string() == EMPTY => None,
            found => found.map_err(|error| describe(text, error))?,
        };
        let (bots, names) = index(text, content.as_ref().unwrap_or(&Content::default()))?;
        let tree = tree::tree(text)?;
        let secrets = mask::secrets(&tree).into_iter().map(Token).collect();
        let content = content.unwrap_or_default();
        let customs = index_custom(text, &content.custom_models)?;
        let file = ModelsFile { text: Token(text.to_owned()), content, bots, names, customs, secrets };
        let warnings = file.warnings(&tree);
        Ok((file, warnings))
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text.0
    }

    /// `message` about a field of the bot called `bot`, such as `mapping` or `parameters.size`, with its place.
    pub fn fault(&self, bot: &str, field: &str, message: String) -> Fault {
        let place = locate::place(&self.text.0, &locate::steps(bot, field));
        Fault { place, field: format!("models.{bot}.{field}"), message }
    }

    /// Whether the file counts at all: its `enable: true`.
    pub fn is_applied(&self) -> bool {
        self.content.enable
    }

    /// What a client's `model` means, whatever its case. Given names come first: a bot's own name reaches the bot unless
    /// another bot was given that name.
    pub fn bot_for(&self, model: &str) -> Lookup<'_> {
        match self.entry(model) {
            Some((_, config)) if !config.enable => Lookup::Disabled,
            Some((name, config)) => Lookup::Bot { name, config },
            None if self.is_unchosen(model) => Lookup::Disabled,
            None => Lookup::Unlisted,
        }
    }

    /// Whether only the bots that the file names are served, and `model` is none of them.
    fn is_unchosen(&self, model: &str) -> bool {
        self.is_applied() && self.content.only_chosen && !self.customs.contains_key(&model.to_lowercase())
    }

    /// The name under which a bot of Poe's list is listed: its own if the file gives it no other. `None` if it is
    /// disabled, or if another bot was given its name.
    pub fn listed_name<'a>(&'a self, bot: &'a str) -> Option<&'a str> {
        let Some(config) = self.config_of(bot) else {
            return (self.entry(bot).is_none() && !self.is_unchosen(bot)).then_some(bot);
        };
        config.enable.then(|| config.mapping.as_deref().unwrap_or(bot))
    }

    /// What the file says about the bot whose own name is `bot`, if it is applied.
    pub fn config_of(&self, bot: &str) -> Option<&ModelConfig> {
        let place = self.bots.get(&bot.to_lowercase()).filter(|_| self.is_applied())?;
        self.content.models.get(*place).map(|(_, config)| config)
    }

    /// Every bot the file names, with what it says about it, in the file's order; applied or not.
    pub fn models(&self) -> &[(String, ModelConfig)] {
        &self.content.models
    }

    /// The models to list on top of Poe's: none while the file is not applied, and no disabled ones.
    pub fn custom_models(&self) -> impl Iterator<Item = &CustomModel> {
        self.content.custom_models.iter().filter(|model| self.custom_model(&model.id).is_some())
    }

    /// The one of them that is called `name`, in any case.
    pub fn custom_model(&self, name: &str) -> Option<&CustomModel> {
        let place = self.customs.get(&name.to_lowercase()).filter(|_| self.is_applied())?;
        self.content.custom_models.get(*place).filter(|model| self.bot_for(&model.id) != Lookup::Disabled)
    }

    /// The custom model that the file calls `name`, in any case, listed or not.
    pub fn any_custom_model(&self, name: &str) -> Option<&CustomModel> {
        self.customs.get(&name.to_lowercase()).and_then(|place| self.content.custom_models.get(*place))
    }

    /// The same as the file has them, listed or not.
    pub fn all_custom_models(&self) -> &[CustomModel] {
        &self.content.custom_models
    }

    /// The reference's key for reading Poe's list. Accepted, and not needed: the list is public.
    pub fn api_token(&self) -> Option<&str> {
        self.content.api_token.as_ref().map(|token| token.0.as_str()).filter(|token| !token.is_empty())
    }

    /// Values of top-level keys that hold secrets; never shown or logged.
    pub fn secrets(&self) -> Vec<&str> {
        self.secrets.iter().map(|token| token.0.as_str()).collect()
    }

    /// The reference's switch between two lists. Accepted, and without effect: the list comes from `/v1/models`.
    pub fn use_v1_api(&self) -> Option<bool> {
        self.content.use_v1_api
    }

    /// What the file does, in a few words for `check` and the log.
    pub fn summary(&self) -> String {
        if !self.is_applied() {
            return "not applied (enable: true is missing)".into();
        }
        let models = &self.content.models;
        let renamed = models.iter().filter(|(_, config)| config.enable && config.mapping.is_some()).count();
        let disabled = models.iter().filter(|(_, config)| !config.enable).count();
        let custom = self.custom_models().count();
        let others = if self.content.only_chosen { ", all others off" } else { "" };
        format!(
            "applied: {} models, {renamed} renamed, {disabled} disabled, {custom} custom{others}",
            models.len()
        )
    }

    fn entry(&self, model: &str) -> Option<(&str, &ModelConfig)> {
        let model = model.to_lowercase();
        let place = self.names.get(&model).or_else(|| self.bots.get(&model)).filter(|_| self.is_applied())?;
        self.content.models.get(*place).map(|(name, config)| (name.as_str(), config))
    }

    /// The names that the file gives to bots although they are the own names of others: `is_bot` knows those of Poe's
    /// list. A bot that the file itself names is judged when the file is read.
    pub fn shadows<'a>(&'a self, is_bot: &'a dyn Fn(&str) -> bool) -> impl Iterator<Item = Shadow<'a>> + 'a {
        let models = self.content.models.iter().filter(|(_, config)| self.is_applied() && config.enable);
        let given = models.flat_map(|(bot, config)| {
            config.given_names().map(move |(field, name)| Shadow { bot, field, name })
        });
        given.filter(move |given| !self.bots.contains_key(&given.name.to_lowercase()) && is_bot(given.name))
    }

    fn warnings(&self, tree: &Yaml) -> Vec<String> {
        let text = self.text();
        let mut warnings = unknown_keys(text, tree);
        let is_empty = self.content.models.is_empty() && self.content.custom_models.is_empty();
        if !is_empty && tree.get("enable").is_none_or(Yaml::is_null) {
            warnings.push("enable: missing, so the file is not applied; expected enable: true".into());
        }
        let customs = self.content.custom_models.iter().enumerate();
        let hidden: Vec<_> = customs
            .filter_map(|(at, model)| Some((at, model, *self.names.get(&model.id.to_lowercase())?)))
            .collect();
        for (at, model, place) in hidden.iter().take(MAX_WARNINGS) {
            let line = locate::line(text, &["custom_models".into(), (*at).into(), "id".into()]);
            let bot = &self.content.models[*place].0;
            let message = format!("{} is already the name given to {bot}, which wins", model.id);
            warnings.push(format!("{line}custom_models[{at}].id: {message}"));
        }
        if hidden.len() > MAX_WARNINGS {
            warnings.push(format!("{} more custom models of given names", hidden.len() - MAX_WARNINGS));
        }
        warnings
    }
}

/// The check of the file in `dir` as `check` prints it: a summary and the warnings, a line each. `computed_warnings` finds more of
/// them.
///
/// # Errors
/// As [`ModelsFile::read`].
pub fn report(
    dir: &Path,
    computed_warnings: impl FnOnce(&ModelsFile) -> Vec<String>,
) -> Result<(String, Vec<String>), String> {
    let path = dir.join(FILE_NAME);
    let Some((file, mut warnings)) = ModelsFile::read(dir)? else {
        return Ok((format!("{}: none", path.display()), Vec::new()));
    };
    warnings.extend(computed_warnings(&file).into_iter().map(|doubt| format!("{}: {doubt}", path.display())));
    Ok((format!("{}: {}", path.display(), file.summary()), warnings))
}

/// The file as written.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, expecting = "a mapping with keys such as `enable` and `models`")]
struct Content {
    /// Off unless said otherwise, as in the reference.
    #[serde(deserialize_with = "or_default")]
    enable: bool,
    /// `default: off`: only the bots that the file names are listed and served.
    #[serde(rename = "default", deserialize_with = "is_off")]
    only_chosen: bool,
    #[serde(deserialize_with = "models")]
    models: Vec<(String, ModelConfig)>,
    #[serde(deserialize_with = "or_default")]
    custom_models: Vec<CustomModel>,
    api_token: Option<Token>,
    use_v1_api: Option<bool>,
}

#[derive(Clone, Default, serde::Deserialize)]
#[serde(transparent)]
struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("••••")
    }
}

/// A key without a value counts as one that is not there: people empty a key rather than delete it.
fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn or_yes<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(true))
}

/// YAML's older versions read `off` as a boolean, and so do some programs that write it.
fn is_off<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged, expecting = "expected `on` or `off`")]
    enum Switch {
        Flag(bool),
        Word(String),
    }
    match Option::deserialize(from)? {
        None => Ok(false),
        Some(Switch::Flag(on)) => Ok(!on),
        Some(Switch::Word(word)) if word.eq_ignore_ascii_case("on") => Ok(false),
        Some(Switch::Word(word)) if word.eq_ignore_ascii_case("off") => Ok(true),
        Some(Switch::Word(_)) => Err(D::Error::custom("expected `on` or `off`")),
    }
}

fn trimmed<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(String::deserialize(from)?.trim().to_owned())
}

fn name_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name: Option<String> = Option::deserialize(from)?;
    Ok(name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()))
}

/// The models in the file's order.
fn models<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, ModelConfig)>, D::Error> {
    struct Models;

    impl<'de> Visitor<'de> for Models {
        type Value = Vec<(String, ModelConfig)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a mapping from a bot's name to what to do with it")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut models = Vec::new();
            while let Some(name) = map.next_key::<String>()? {
                if name.trim().is_empty() {
                    return Err(A::Error::custom("a model without a name"));
                }
                let config: Option<ModelConfig> = map.next_value()?;
                models.push((name, config.unwrap_or_default()));
            }
            Ok(models)
        }
    }

    from.deserialize_any(Models)
}

type Index = HashMap<String, usize>;

/// Where each bot and each name given to one is found; two bots of one name are refused.
fn index(text: &str, content: &Content) -> Result<(Index, Index), Fault> {
    let mut bots = Index::new();
    for (place, (bot, _)) in content.models.iter().enumerate() {
        if let Some(first) = bots.insert(bot.to_lowercase(), place) {
            let first = &content.models[first].0;
            let (place, message) = match first == bot {
                true => (locate::duplicate_key(text), TWICE.to_owned()),
                false => (
                    locate::place(text, &["models".into(), bot.as_str().into()]),
                    format!("the same model as models.{first}, for case does not matter"),
                ),
            };
            return Err(Fault { place, field: format!("models.{bot}"), message });
        }
    }
    let mut names = Index::new();
    for (place, (bot, config)) in content.models.iter().enumerate() {
        for (field, name) in config.given_names() {
            if let Some(owner) = owner(content, &bots, &names, name).filter(|owner| *owner != place) {
                let owner = &content.models[owner].0;
                return Err(Fault {
                    place: locate::place(text, &locate::steps(bot, &field)),
                    field: format!("models.{bot}.{field}"),
                    message: format!("{name} is the name of models.{owner} already"),
                });
            }
            names.insert(name.to_lowercase(), place);
        }
    }
    Ok((bots, names))
}

/// Where each custom model is found; what is invalid is refused.
fn index_custom(text: &str, models: &[CustomModel]) -> Result<Index, Fault> {
    let mut index = Index::new();
    for (at, model) in models.iter().enumerate() {
        let fault = |field: &str, message: String| Fault {
            place: locate::place(text, &["custom_models".into(), at.into(), field.into()]),
            field: format!("custom_models[{at}].{field}"),
            message,
        };
        if model.id.is_empty() {
            return Err(fault("id", "a model without a name".to_owned()));
        }
        if model.created.is_some_and(i64::is_negative) {
            return Err(fault("created", "expected seconds since 1970, which are not negative".to_owned()));
        }
        if let Some(first) = index.insert(model.id.to_lowercase(), at) {
            return Err(fault("id", format!("{} is the name of custom_models[{first}] already", model.id)));
        }
    }
    Ok(index)
}

/// Which model has `name` already: because it was given it, or because it is served under it as its own.
fn owner(content: &Content, bots: &Index, names: &Index, name: &str) -> Option<usize> {
    let name = name.to_lowercase();
    let keeps_own_name = |place: &&usize| {
        let config = &content.models[**place].1;
        config.enable && config.mapping.is_none()
    };
    names.get(&name).or_else(|| bots.get(&name).filter(keeps_own_name)).copied()
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The bytes of the file at `path`, `None` if there is none.
///
/// # Errors
/// In words that follow the file's name.
pub fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let failed = |error: io::Error| format!("cannot be read: {error}");
    let about = match fs::metadata(path) {
        Err(error) if is_missing(&error) => return Ok(None),
        about => about.map_err(failed)?,
    };
    // opening a pipe would block until another program writes
    if !about.is_file() {
        return Err(format!(
            "cannot be read: {}",
            if about.is_dir() { "it is a directory" } else { "it is no file" }
        ));
    }
    if about.len() > MAX_BYTES {
        return Err(format!("cannot be read: it has more than {MAX_BYTES} bytes"));
    }
    match fs::read(path) {
        Err(error) if is_missing(&error) => Ok(None),
        read => read.map(Some).map_err(failed),
    }
}

/// The bytes of a file as text.
///
/// # Errors
/// When they are none.
pub fn as_text(bytes: &[u8]) -> Result<&str, Fault> {
    let fault = |error: std::str::Utf8Error| {
        let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let last = good.rsplit('\n').next().unwrap_or_default();
        let place = Place { line: good.matches('\n').count() + 1, column: last.chars().count() + 1 };
        Fault { place: Some(place), field: String::new(), message: "expected UTF-8 text".to_owned() }
    };
    std::str::from_utf8(bytes).map(without_bom).map_err(fault)
}

/// The text behind the mark that editors of Windows put before it.
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// A warning for each unknown key, at whatever depth.
fn unknown_keys(text: &str, tree: &Yaml) -> Vec<String> {
    let mut found = unknown_keys_of(tree, KEYS, Vec::new());
    if let Some(models) = tree.get("models").and_then(Yaml::as_mapping) {
        for (name, model) in models {
            let at = vec!["models".into(), locate::Step::from_key(name)];
            found.extend(unknown_keys_of(model, MODEL_KEYS, at));
        }
    }
    if let Some(models) = tree.get("custom_models").and_then(Yaml::as_sequence) {
        for (place, model) in models.iter().enumerate() {
            found.extend(unknown_keys_of(model, CUSTOM_KEYS, vec!["custom_models".into(), place.into()]));
        }
    }
    // each line costs a walk through the whole text
    let rendered = found.iter().take(MAX_WARNINGS);
    let mut warnings: Vec<String> = rendered
        .map(|path| format!("{}{}: unknown key, ignored", locate::line(text, path), locate::join(path)))
        .collect();
    if found.len() > MAX_WARNINGS {
        warnings.push(format!("{} more unknown keys, ignored", found.len() - MAX_WARNINGS));
    }
    warnings
}

/// The paths of the keys of `tree` that are not among `known`.
fn unknown_keys_of(tree: &Yaml, known: &[&str], at: Vec<locate::Step>) -> Vec<Vec<locate::Step>> {
    let keys = tree.as_mapping().into_iter().flat_map(|mapping| mapping.keys());
    let strange = keys.filter(|key| !key.as_str().is_some_and(|key| known.contains(&key)));
    strange.map(|key| [at.clone(), vec![locate::Step::from_key(key)]].concat()).collect()
}
