//! What all requests share.

mod catalog;
mod config_warnings;

use std::fs;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use lru::LruCache;

use ring::digest::{Digest, SHA256, digest};
use serde_json::value::RawValue;
use subtle::ConstantTimeEq;

pub use catalog::{Catalog, ListSource};
pub use config_warnings::report;

use crate::config::catalog_cache;
use crate::config::directory::Dir;
use crate::config::models::{Lookup, ModelConfig, ModelsFile, Route};
use crate::config::store::{ConfigStore, Posted, Saved};
use crate::error::{Error, Excess, Kind, Result};
use crate::pipeline::Attachment;
use crate::poe::{self, CancelCheck, Entry, Named, Poe};
use crate::settings::{Secret, Settings, Source};
use crate::state::limiter::Limiter;
use crate::state::login_throttle::LoginThrottle;
use crate::state::refusals::EndpointRefusals;
use crate::state::responses::ResponseCache;
use crate::state::single_flight::SingleFlight;
use crate::state::upload_cache::UploadCache;
use crate::telemetry::activity::Activity;
use crate::telemetry::metrics::Metrics;

pub use crate::settings::Row as SettingRow;

/// How many bots are remembered to have refused tools, against their entry in the list.
const MAX_TOOLLESS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

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
    /// Wrong passwords for the admin page.
    pub login_throttle: LoginThrottle,
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
}

/// Who may open the admin page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Nobody: its password is empty.
    Closed,
    /// Whoever sits at this machine and knows the password that everybody knows.
    ThisMachine,
    /// Whoever knows the password.
    Password,
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
    /// Opens the server. An error is a sentence for whoever starts it.
    pub fn open(settings: Settings) -> Result<App, String> {
        let root_certificates = match &settings.ssl_cert_file {
            Some(path) => {
                Some(fs::read(path).map_err(|e| format!("SSL_CERT_FILE: {}: {e}", path.display()))?)
            }
            None => None,
        };
        let poe = Poe::new(poe::Settings {
            base_url: settings.poe_base_url.clone(),
            file_upload_url: settings.poe_file_upload_url.clone(),
            connect_timeout: settings.upstream_connect_timeout,
            first_byte_timeout: settings.upstream_first_byte_timeout,
            idle_timeout: settings.upstream_idle_timeout,
            root_certificates,
            is_local: settings.demo,
        });
        let dir = Arc::new(Dir::new(&settings.config_dir));
        let catalog = Catalog::kept(&dir, &settings);
        if catalog.as_ref().is_some_and(|kept| kept.source == ListSource::Elsewhere) {
            log::warn!(
                "{} holds the list of another POE_BASE_URL, served until this one gives its own",
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
            login_throttle: LoginThrottle::default(),
            activity: Activity::default(),
            metrics: Metrics::default(),
            config: ConfigStore::open(Arc::clone(&dir)),
            dir,
            opened: Instant::now(),
            toolless: Mutex::new(LruCache::new(MAX_TOOLLESS)),
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

    /// The bot that a client means by `name`. A name that nobody knows may still be a private bot's: Poe decides.
    pub fn model(&self, name: &str, cancel: &CancelCheck) -> Result<Model> {
        let (catalog, models) = (self.known_catalog(cancel)?, self.models());
        let entries = catalog.as_ref().map_or(&[][..], |catalog| &catalog.entries);
        for (reading, effort) in poe::readings(name) {
            if let Some(model) = known_model(&models, entries, reading, effort) {
                let is_served =
                    model.config.enable && (model.effort.is_none() || model.config.reasoning != Some(false));
                return if is_served { Ok(model) } else { Err(no_model(name)) };
            }
        }
        Ok(Model { bot: name.to_owned(), ..Model::default() })
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
                let entries = catalog.as_ref().map_or(&[][..], |catalog| &catalog.entries);
                // a listed name that Poe refuses all the same is no suggestion
                let mut alike = poe::suggestions(entries, name);
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

    /// Remembers that `bot` refuses tools.
    pub fn remember_no_tools(&self, bot: &str) {
        lock(&self.toolless).put(bot.to_owned(), ());
    }

    /// Whether Poe's key is spent for anybody who gets here. Then only programs of this machine may, no web pages.
    pub fn is_keyless(&self) -> bool {
        self.settings.poe_api_key.is_some() && self.settings.proxy_api_keys.is_empty()
    }

    /// The key to ask Poe with, for a client that shows `shown`. With keys of the proxy's own, clients show one of
    /// those and Poe's stays here; with Poe's key alone everybody who gets here (from this machine only) may use it.
    pub fn poe_key(&self, shown: Option<&str>) -> Result<String> {
        let settings = &self.settings;
        match (&settings.poe_api_key, settings.proxy_api_keys.as_slice()) {
            (Some(key), []) => Ok(key.expose().to_owned()),
            (Some(key), known) => match shown {
                Some(shown) if is_one_of(shown, known) => Ok(key.expose().to_owned()),
                Some(_) => Err(Error::new(Kind::Unauthorized, "this API key is not known here")),
                None => Err(no_key()),
            },
            (None, _) => shown.map(str::to_owned).ok_or_else(no_key),
        }
    }

    /// Who may open the admin page.
    pub fn lock(&self) -> Lock {
        match (self.settings.admin_password.is_empty(), self.settings.source("ADMIN_PASSWORD")) {
            (true, _) => Lock::Closed,
            (false, Source::Default) => Lock::ThisMachine,
            (false, _) => Lock::Password,
        }
    }

    /// Whether the admin page's password is the one that everybody knows.
    pub fn has_default_password(&self) -> bool {
        self.settings.admin_password == Settings::default().admin_password
    }

    /// Whether user name and password open the admin page. Both are always compared, and in constant time.
    pub fn opens(&self, user: &str, password: &str) -> bool {
        let same = |shown: &str, known: &str| hash(shown).as_ref().ct_eq(hash(known).as_ref());
        let user = same(user, &self.settings.admin_username);
        (user & same(password, self.settings.admin_password.expose())).into()
    }

    /// The key that the operator spends: the server's own. The embedded Poe takes any.
    pub fn own_poe_key(&self) -> Option<&str> {
        let own = self.settings.poe_api_key.as_ref().map(Secret::expose);
        own.or(self.settings.demo.then_some("demo"))
    }

    /// The keys and passwords of this server and of `models`, which nobody may see anywhere.
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
        match catalog.as_ref().and_then(|catalog| poe::listed(&catalog.entries, name)) {
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

fn hash(text: &str) -> Digest {
    digest(&SHA256, text.as_bytes())
}

/// What models.yaml or Poe's list has under this name, an effort behind it aside.
fn known_model(
    models: &ModelsFile,
    catalog: &[Entry],
    name: &str,
    effort: Option<&'static str>,
) -> Option<Model> {
    let (name, config) = match models.bot_for(name) {
        Lookup::Bot { name, config } => (name, config.clone()),
        Lookup::Disabled => (name, ModelConfig { enable: false, ..ModelConfig::default() }),
        Lookup::Unlisted if models.custom_model(name).is_some() => (name, ModelConfig::default()),
        Lookup::Unlisted => (poe::listed(catalog, name)?.id.as_str(), ModelConfig::default()),
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
fn entry_of<'a>(models: &'a ModelsFile, catalog: &'a [Entry], name: &'a str) -> (&'a str, Option<Named<'a>>) {
    match models.custom_model(name) {
        Some(custom) => {
            let entry = poe::exact(catalog, &custom.id);
            (&custom.id, entry.map(|entry| Named { entry, effort: None }))
        }
        None => (name, poe::find_model(catalog, name)),
    }
}

fn no_model(name: &str) -> Error {
    Error::new(Kind::ModelNotFound, format!("the model `{name}` does not exist")).about("model")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_key() -> Error {
    let message = "no API key was given: send it as `Authorization: Bearer YOUR_KEY`";
    Error::new(Kind::Unauthorized, message)
}

/// Compares hashes of equal length in constant time, and all of them: the time states nothing of any key.
fn is_one_of(shown: &str, known: &[Secret]) -> bool {
    let shown = hash(shown);
    let same = |key: &Secret| shown.as_ref().ct_eq(hash(key.expose()).as_ref());
    known.iter().map(same).fold(subtle::Choice::from(0), |found, same| found | same).into()
}
