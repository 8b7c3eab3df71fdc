//! State shared by all requests.

mod access;
mod catalog;
mod config_warnings;
mod roots;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use lru::LruCache;

use serde_json::value::RawValue;

pub use access::{Access, Announcement, Lock};
pub use catalog::{Catalog, ListSource};
pub use config_warnings::report;

use crate::config::catalog_cache;
use crate::config::directory::Dir;
use crate::config::models::{Lookup, ModelConfig, ModelsFile, Route};
use crate::config::store::{ConfigStore, Posted, Saved};
use crate::error::{Error, Excess, Kind, Result};
use crate::pipeline::Attachment;
use crate::poe::{self, CancelCheck, Entries, Entry, Named, Poe};
use crate::settings::{Secret, Settings};
use crate::state::limiter::Limiter;
use crate::state::refusals::EndpointRefusals;
use crate::state::responses::ResponseCache;
use crate::state::single_flight::SingleFlight;
use crate::state::upload_cache::UploadCache;
use crate::telemetry::activity::Activity;
use crate::telemetry::metrics::Metrics;

pub use crate::settings::Row as SettingRow;

/// How many bots are remembered to have refused tools, against their entry in the list.
const MAX_TOOLLESS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
/// How many spellings of names that no list has are remembered.
const MAX_SPELLINGS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// What all requests share.
pub struct App {
    /// Every setting, read once.
    pub settings: Settings,
    /// The client of Poe.
    pub poe: Poe,
    /// One request per interval for the whole server.
    pub limiter: Limiter,
    /// Where files lie that were brought to Poe.
    pub files: UploadCache<Attachment>,
    /// What Poe's native endpoints have refused.
    pub endpoints: EndpointRefusals,
    /// Responses that clients may come back to; shared, because they are kept at the very end of an answer.
    pub responses: Arc<ResponseCache>,
    /// models.yaml
    pub config: ConfigStore,
    /// Passwords, and who has tried wrong ones.
    pub access: Access,
    /// What requests did.
    pub activity: Activity,
    /// How many there were.
    pub metrics: Metrics,
    dir: Arc<Dir>,
    catalog: SingleFlight<Catalog>,
    /// The list that lies on the disk, and when Poe gave it.
    written: Mutex<Option<(Vec<Arc<RawValue>>, SystemTime)>>,
    computed_warnings: Mutex<Option<config_warnings::ComputedWarnings>>,
    opened: Instant,
    toolless: Mutex<LruCache<String, ()>>,
    /// Names of bots that no list has, as clients write them, and as Poe knows them.
    spellings: Mutex<LruCache<String, String>>,
}

/// A bot, and all that is known of it.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Its name at Poe.
    pub bot: String,
    /// Its entry in Poe's list.
    pub entry: Option<Entry>,
    /// What models.yaml says of it.
    pub config: ModelConfig,
    /// The effort that stood behind its name.
    pub effort: Option<&'static str>,
}

impl App {
    /// Builds the shared state; the error is a message for the operator.
    pub fn open(settings: Settings) -> Result<App, String> {
        let root_certificates = roots::certificates(&settings)?;
        let poe = Poe::new(poe::Settings {
            base_url: settings.poe_base_url.clone(),
            file_upload_url: settings.poe_file_upload_url.clone(),
            connect_timeout: settings.upstream_connect_timeout,
            first_byte_timeout: settings.upstream_first_byte_timeout,
            idle_timeout: settings.upstream_idle_timeout,
            root_certificates,
            proxies: settings.proxies.clone(),
            is_local: settings.demo,
        });
        let dir = Arc::new(Dir::new(&settings.config_dir));
        let catalog = Catalog::kept(&dir, &settings);
        if catalog.as_ref().is_some_and(|kept| kept.source == ListSource::Elsewhere) {
            log::warn!(
                "{} holds the list of another POE_BASE_URL; it is used until this one is fetched",
                dir.at(catalog_cache::FILE_NAME).display()
            );
        }
        let own = catalog.as_ref().filter(|kept| kept.source == ListSource::Cache);
        let cache_bytes = usize::try_from(settings.url_cache_size).unwrap_or(usize::MAX);
        Ok(App {
            files: UploadCache::new(settings.url_cache_ttl, cache_bytes),
            endpoints: EndpointRefusals::default(),
            responses: Arc::new(ResponseCache::new(
                settings.responses_ttl,
                usize::try_from(settings.responses_max).unwrap_or(usize::MAX),
            )),
            access: Access::open(&settings, &dir)?,
            activity: Activity::default(),
            metrics: Metrics::default(),
            config: ConfigStore::open(Arc::clone(&dir)),
            dir,
            opened: Instant::now(),
            toolless: Mutex::new(LruCache::new(MAX_TOOLLESS)),
            spellings: Mutex::new(LruCache::new(MAX_SPELLINGS)),
            poe: poe.map_err(|error| format!("SSL_CERT_FILE: {error}"))?,
            limiter: Limiter::new(
                settings.rate_limit,
                settings.rate_limit_burst,
                settings.rate_limit_max_wait,
            ),
            written: Mutex::new(own.map(|kept| (kept.raw().cloned().collect(), kept.fetched))),
            catalog: catalog.map_or_else(SingleFlight::default, SingleFlight::holding),
            computed_warnings: Mutex::default(),
            settings,
        })
    }

    /// models.yaml as it is in force now.
    pub fn models(&self) -> Arc<ModelsFile> {
        Arc::clone(&self.config.current().models)
    }

    /// Looks after models.yaml, for ever.
    pub fn watch_config(&self) {
        loop {
            if self.config.wait_and_reload() {
                self.computed_warnings();
            }
        }
    }

    /// Saves models.yaml, see [`ConfigStore::save`]: a name of Poe's list may not be given to another bot.
    pub fn save_config(&self, posted: Posted<'_>, expected: &[String]) -> Result<Saved> {
        let bots = self.peek_catalog().map(|catalog| catalog::names(&catalog.entries)).unwrap_or_default();
        let saved = self.config.save(posted, expected, &|name| bots.contains(&name.to_lowercase()));
        let saved = saved.inspect_err(|error| {
            if error.kind == Kind::Internal {
                log::warn!("models.yaml was not saved: {error}");
            }
        })?;
        let warnings = saved.warnings.iter().chain(self.computed_warnings().iter()).cloned().collect();
        Ok(Saved { warnings, ..saved })
    }

    /// The bot that a client means by `name`. An unlisted name may still be a private bot's: Poe decides.
    pub fn model(&self, name: &str, cancel: &CancelCheck) -> Result<Model> {
        if name.len() > poe::LONGEST_NAME {
            return Err(no_model(name));
        }
        let (catalog, models) = (self.known_catalog(cancel)?, self.models());
        let entries = catalog.as_ref().map_or(Entries::none(), |catalog| &catalog.entries);
        for (reading, effort) in poe::readings(name) {
            if let Some(model) = known_model(&models, entries, reading, effort) {
                let is_served =
                    model.config.enable && (model.effort.is_none() || model.config.reasoning != Some(false));
                return if is_served { Ok(model) } else { Err(no_model(name)) };
            }
        }
        let bot = lock(&self.spellings).get(name).cloned();
        Ok(Model { bot: bot.unwrap_or_else(|| name.to_owned()), ..Model::default() })
    }

    /// By which of Poe's endpoints `model` is asked.
    pub fn route(&self, model: &Model) -> Route {
        model.config.route.unwrap_or(self.settings.poe_route)
    }

    /// The same error, with what the client can do about it: the names it may have meant, or by how much its
    /// conversation of so many `tokens` is longer than the model takes.
    pub fn explain(&self, error: Error, model: &Model, name: &str, tokens: impl FnOnce() -> u64) -> Error {
        let said = error.message.trim_end_matches(['.', '!']);
        match error.kind {
            Kind::ModelNotFound => {
                let catalog = self.peek_catalog();
                let entries = catalog.as_ref().map_or(Entries::none(), |catalog| &catalog.entries);
                // a listed name that Poe refuses all the same is no suggestion
                let mut alike = entries.suggestions(name);
                alike.retain(|other| !poe::same_name(other, name));
                let message = match alike.is_empty() {
                    false => format!("{said}. Did you mean {}?", alike.join(", ")),
                    true => error.message,
                };
                Error { message, ..error }.about("model")
            }
            Kind::ContextTooLong => {
                let limit = model.entry.as_ref().and_then(|entry| entry.context_length);
                // the model's own numbers are the better ones
                let excess = error.excess.unwrap_or_else(|| Excess { tokens: tokens(), limit });
                Error { excess: Some(excess), ..error }.about("messages")
            }
            _ => error,
        }
    }

    /// Whether `bot` is known to refuse tools, whatever its entry in the list says.
    pub fn refuses_tools(&self, bot: &str) -> bool {
        lock(&self.toolless).get(bot).is_some()
    }

    /// Remembers that Poe knows the bot that no list has and clients call `name` as `bot`.
    pub fn remember_spelling(&self, name: &str, bot: &str) {
        lock(&self.spellings).put(name.to_owned(), bot.to_owned());
    }

    /// Remembers that `bot` refuses tools.
    pub fn remember_no_tools(&self, bot: &str) {
        lock(&self.toolless).put(bot.to_owned(), ());
    }

    /// The key that the operator spends: the server's own. The embedded Poe takes any.
    pub fn own_poe_key(&self) -> Option<&str> {
        let own = self.settings.poe_api_key.as_ref().map(Secret::expose);
        own.or(self.settings.demo.then_some("demo"))
    }

    /// The keys and passwords of this server and of `models`, which may not be shown anywhere.
    pub fn secrets<'a>(&'a self, models: &'a ModelsFile) -> Vec<&'a str> {
        let settings = &self.settings;
        let keys = settings.poe_api_key.iter().chain(&settings.proxy_api_keys);
        keys.chain([&settings.admin_password]).map(Secret::expose).chain(models.secrets()).collect()
    }

    /// The name that Poe's list or models.yaml has for a model, if it is one that exists.
    pub fn listed_name(&self, name: &str) -> Option<String> {
        let (catalog, models) = (self.peek_catalog(), self.models());
        if let Some(custom) = models.custom_model(name) {
            return Some(custom.id.clone());
        }
        match catalog.as_ref().and_then(|catalog| catalog.entries.listed(name)) {
            Some(entry) => Some(entry.id.clone()),
            None => models.config_of(name).map(|_| name.to_lowercase()),
        }
    }

    /// Where models.yaml is wrong, if it is not the file's own words that are in force.
    pub fn config_fault(&self) -> Option<String> {
        self.config.current().status.location.clone()
    }

    /// How long the server has been open.
    pub fn uptime(&self) -> Duration {
        self.opened.elapsed()
    }
}

/// What models.yaml or Poe's list has under this name, an effort behind it aside.
fn known_model(
    models: &ModelsFile,
    catalog: &Entries,
    name: &str,
    effort: Option<&'static str>,
) -> Option<Model> {
    let (name, config) = match models.bot_for(name) {
        Lookup::Bot { name, config } => (name, config.clone()),
        Lookup::Disabled => (name, ModelConfig { enable: false, ..ModelConfig::default() }),
        Lookup::Unlisted if models.custom_model(name).is_some() => (name, ModelConfig::default()),
        Lookup::Unlisted => (catalog.listed(name)?.id.as_str(), ModelConfig::default()),
    };
    let (name, found) = entry_of(models, catalog, name);
    let bot = found.as_ref().map_or(name, |found| found.entry.id.as_str()).to_owned();
    // the file may speak of the bot by the name that Poe lists
    let config = models.config_of(&bot).cloned().unwrap_or(config);
    let effort = effort.or(found.as_ref().and_then(|found| found.effort));
    Some(Model { bot, entry: found.map(|found| found.entry.clone()), config, effort })
}

/// The bot's name and its entry in Poe's list. A custom model is called what it is called, whatever Poe lists that is
/// nearly so.
fn entry_of<'a>(models: &'a ModelsFile, catalog: &'a Entries, name: &'a str) -> (&'a str, Option<Named<'a>>) {
    match models.custom_model(name) {
        Some(custom) => {
            let entry = catalog.exact(&custom.id);
            (&custom.id, entry.map(|entry| Named { entry, effort: None }))
        }
        None => (name, catalog.find(name)),
    }
}

/// The error for a name that no model has; a name that is too long is cut in it.
pub fn no_model(name: &str) -> Error {
    let end =
        (0..=poe::LONGEST_NAME.min(name.len())).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    let cut = if end < name.len() { "…" } else { "" };
    Error::new(Kind::ModelNotFound, format!("the model `{}{cut}` does not exist", &name[..end]))
        .about("model")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
