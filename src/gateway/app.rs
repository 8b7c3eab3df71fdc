//! State shared by all requests.

mod access;
mod catalog;
mod check;
mod clients;
mod key_command;
mod points;
mod quota;
mod roots;
mod stores;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use lru::LruCache;

use serde_json::value::RawValue;

pub use access::{Access, Announcement, Lock};
pub use check::{Findings, check};
pub use clients::{Client, Clients};
pub use key_command::run as run_key_command;
pub use points::Expected;
pub use quota::Quota;

use crate::budget::Budget;
use crate::config::catalog_cache;
use crate::config::directory::Dir;
use crate::config::models::{ModelsFile, Route};
use crate::config::store::{ConfigStore, Posted, Saved};
use crate::error::{Error, Excess, Kind, Result};
use crate::gateway::model_directory::{Catalog, ListSource, Model, ModelDirectory, Resolved};
use crate::pipeline::Attachment;
use crate::poe::{self, CancelCheck, Poe};
use crate::settings::{Secret, Settings};
use crate::state::limiter::RateLimiter;
use crate::state::refusals::EndpointRefusals;
use crate::state::responses::ResponseStore;
use crate::state::shared::SharedStore;
use crate::state::single_flight::SingleFlight;
use crate::state::upload_cache::UploadCache;
use crate::state::videos::{RunningJobs, Videos};
use crate::telemetry::activity::Activity;
use crate::telemetry::metrics::Metrics;

pub use crate::settings::Row as SettingRow;

/// How many bots are remembered to have refused tools, against their entry in the list.
const MAX_TOOLLESS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
/// How many spellings of names that no list has are remembered.
const MAX_SPELLINGS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// What a request with files takes of the memory budget for each of its bytes: those that arrived, and the decoded ones.
const MEMORY_PER_BYTE: u64 = 3;
/// The largest body by default, as in earlier programs.
const MOST_BYTES: u64 = 1 << 30;

/// What all requests share.
pub struct App {
    /// Every setting, read once.
    pub settings: Settings,
    /// The client of Poe.
    pub poe: Poe,
    /// One request per interval for the whole server.
    pub limiter: Box<dyn RateLimiter>,
    /// Where files lie that were brought to Poe.
    pub files: Box<dyn UploadCache<Attachment>>,
    /// What Poe's native endpoints have refused.
    pub endpoints: EndpointRefusals,
    /// Responses that clients may come back to; shared, because they are kept at the very end of an answer.
    pub responses: Arc<dyn ResponseStore>,
    /// What holds the state that replicas share, if there are replicas.
    pub shared: Option<Arc<dyn SharedStore>>,
    /// Videos that were asked for.
    pub videos: Box<dyn Videos>,
    /// Those that are being made.
    pub video_jobs: RunningJobs,
    /// models.yaml
    pub config: ConfigStore,
    /// Passwords, and who has tried wrong ones.
    pub access: Access,
    /// Client keys, budgets and usage.
    pub clients: Clients,
    /// What requests did.
    pub activity: Activity,
    /// How many there were.
    pub metrics: Metrics,
    dir: Arc<Dir>,
    catalog: SingleFlight<Catalog>,
    /// The list that lies on the disk, and when Poe gave it.
    written: Mutex<Option<(Vec<Arc<RawValue>>, SystemTime)>>,
    directory: Mutex<Arc<ModelDirectory>>,
    /// The warnings about models.yaml that the log has.
    logged_warnings: Mutex<Arc<[String]>>,
    opened: Instant,
    toolless: Mutex<LruCache<String, ()>>,
    /// Names of bots that no list has, as clients write them, and as Poe knows them.
    spellings: Mutex<LruCache<String, String>>,
}

/// The client of Poe by the settings.
fn poe_client(settings: &Settings, root_certificates: Option<Vec<u8>>) -> Result<Poe, String> {
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
    poe.map_err(|error| format!("SSL_CERT_FILE: {error}"))
}

impl App {
    /// Builds the shared state; the error is a message for the operator.
    pub fn open(settings: Settings) -> Result<App, String> {
        let root_certificates = roots::certificates(&settings)?;
        let stores = stores::open(&settings, root_certificates.as_deref())?;
        let poe = poe_client(&settings, root_certificates)?;
        let dir = Arc::new(Dir::new(&settings.config_dir));
        if let Some(fault) = dir.prepare() {
            log::warn!("{fault}");
        }
        let catalog = catalog::kept(&dir, &settings);
        if catalog.as_ref().is_some_and(|kept| kept.source == ListSource::Elsewhere) {
            log::warn!(
                "{} holds the list of another POE_BASE_URL; it is used until this one is fetched",
                dir.at(catalog_cache::FILE_NAME).display()
            );
        }
        let own = catalog.as_ref().filter(|kept| kept.source == ListSource::Cache);
        Ok(App {
            files: stores.files,
            endpoints: EndpointRefusals::default(),
            responses: stores.responses,
            shared: stores.shared,
            videos: stores.videos,
            video_jobs: RunningJobs::default(),
            access: Access::open(&settings, &dir)?,
            clients: Clients::open(&settings, &dir, stores.clients),
            activity: Activity::default(),
            metrics: Metrics::default(),
            config: ConfigStore::open(Arc::clone(&dir)),
            dir,
            opened: Instant::now(),
            toolless: Mutex::new(LruCache::new(MAX_TOOLLESS)),
            spellings: Mutex::new(LruCache::new(MAX_SPELLINGS)),
            poe,
            limiter: stores.limiter,
            written: Mutex::new(own.map(|kept| (catalog::raw(kept).cloned().collect(), kept.fetched))),
            catalog: catalog.map_or_else(SingleFlight::default, SingleFlight::holding),
            directory: Mutex::default(),
            logged_warnings: Mutex::default(),
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
        let directory = self.directory();
        let is_bot = |name: &str| directory.entries().exact(name).is_some();
        let saved = self.config.save(posted, expected, &is_bot);
        let saved = saved.inspect_err(|error| {
            if error.kind == Kind::Internal {
                log::warn!("models.yaml was not saved: {error}");
            }
        })?;
        let warnings = saved.warnings.iter().chain(self.computed_warnings().iter()).cloned().collect();
        Ok(Saved { warnings, ..saved })
    }

    /// The bot that `client` means by `name`, if its key may use it. An unlisted name may still be a private bot's: Poe
    /// decides.
    pub fn model(&self, name: &str, client: &Client, cancel: &CancelCheck) -> Result<Model> {
        if name.len() > poe::LONGEST_NAME {
            return Err(no_model(name));
        }
        self.await_catalog(cancel)?;
        let model = match self.directory().resolve(name) {
            Resolved::Served(model) => model,
            Resolved::Disabled => return Err(no_model(name)),
            Resolved::Unknown(_) => {
                let bot = lock(&self.spellings).get(name).cloned();
                Model::private(bot.unwrap_or_else(|| name.to_owned()))
            }
        };
        match client.may_use(&model) {
            true => Ok(model),
            false => Err(Client::forbidden(name)),
        }
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
                let directory = self.directory();
                // a listed name that Poe refuses all the same is no suggestion
                let mut alike = directory.nearest(name);
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

    /// Whether `key` is the server's own, and not one that the client brought.
    pub fn is_own_key(&self, key: &str) -> bool {
        self.settings.poe_api_key.as_ref().is_some_and(|own| own.expose() == key)
    }

    /// The keys and passwords of this server and of `models`, which may not be shown anywhere.
    pub fn secrets<'a>(&'a self, models: &'a ModelsFile) -> Vec<&'a str> {
        let settings = &self.settings;
        let keys = settings.poe_api_key.iter().chain(&settings.proxy_api_keys);
        keys.chain([&settings.admin_password]).map(Secret::expose).chain(models.secrets()).collect()
    }

    /// The name that Poe's list or models.yaml has for a model, if it is one that exists.
    pub fn listed_name(&self, name: &str) -> Option<String> {
        let directory = self.directory();
        let details = directory.own(name).or_else(|| directory.own(&poe::folded(name)))?;
        let is_listed = details.own_entry().is_some() || details.custom.is_some();
        Some(if is_listed { details.name.clone() } else { name.to_lowercase() })
    }

    /// Where models.yaml is wrong, if it is not the file's own words that are in force.
    pub fn config_fault(&self) -> Option<String> {
        self.config.current().status.location.clone()
    }

    /// Why nothing can be saved in `CONFIG_DIR`, if so.
    pub fn config_dir_fault(&self) -> Option<String> {
        self.dir.fault()
    }

    /// The most bytes of a request's body: `MAX_REQUEST_SIZE`, or what the memory budget has room for.
    pub fn max_request_size(&self) -> u64 {
        match self.settings.max_request_size {
            0 => (Budget::of_process().limit() as u64 / MEMORY_PER_BYTE).min(MOST_BYTES),
            bytes => bytes,
        }
    }

    /// How long the server has been open.
    pub fn uptime(&self) -> Duration {
        self.opened.elapsed()
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
