//! Who asks: client keys, what they may spend, and what was spent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value};

use super::App;
use super::points::Points;
use super::stores::OpenClients;
use crate::clock;
use crate::config::client_keys::{ClientKey, KeyHash};
use crate::config::directory::Dir;
use crate::config::key_store::KeyStore;
use crate::error::{Error, Kind, Result};
use crate::gateway::model_directory::Details;
use crate::poe;
use crate::settings::{Secret, Settings, Source};
use crate::state::budgets::{Budgets, LocalBudgets, Waiting};
use crate::state::client_keys::ClientKeys;
use crate::state::usage::{LocalUsage, OTHER, UsageTotals};
use crate::state::usage_file;

/// How often keys that other programs have changed are looked for; a change is applied at the second look.
const TICK: Duration = Duration::from_millis(400);

/// Client keys, and what is counted by them.
#[derive(Debug)]
pub struct Clients {
    /// The keys of keys.yaml.
    pub keys: Box<dyn ClientKeys>,
    /// What they may spend and have spent.
    pub budgets: Arc<dyn Budgets>,
    /// Requests that wait for a budget.
    pub waiting: Waiting,
    /// What was used.
    pub usage: Arc<dyn UsageTotals>,
    /// What Poe says that requests took.
    pub points: Points,
    /// What is counted in this process and stored by it.
    local: Option<(Arc<LocalUsage>, Arc<LocalBudgets>)>,
}

impl Clients {
    pub(super) fn open(settings: &Settings, dir: &Arc<Dir>, open: OpenClients) -> Clients {
        // a first try leaves nothing behind where nobody chose a place for it
        let is_stored = !settings.demo || settings.source("CONFIG_DIR") != Source::Default;
        let (usage, budgets) = if is_stored { usage_file::read(dir) } else { Default::default() };
        let (usage, budgets) = (Arc::new(usage), Arc::new(budgets));
        let own = KeyStore::open(Arc::clone(dir));
        let (keys, shared_budgets, shared_usage) = open(own, Arc::clone(&budgets), Arc::clone(&usage));
        Clients {
            keys,
            budgets: shared_budgets,
            waiting: Waiting::default(),
            usage: shared_usage,
            points: Points::default(),
            local: is_stored.then_some((usage, budgets)),
        }
    }
}

/// Who sends a request.
#[derive(Debug, Clone)]
pub struct Client {
    /// The key's id, or one of the words for clients without one.
    pub id: Arc<str>,
    /// What the key is called.
    pub name: Arc<str>,
    /// What the key may do; nothing: everything.
    pub key: Option<Arc<ClientKey>>,
    /// Whether the key has a name that people know it by.
    pub is_named: bool,
}

impl Default for Client {
    fn default() -> Client {
        Client::unnamed(Client::NONE)
    }
}

impl Client {
    /// The operator, on the admin page.
    pub const ADMIN: (&str, &str) = ("admin", "admin page");
    /// Clients with a Poe key of their own.
    pub const OWN: (&str, &str) = ("own", "clients' own Poe keys");
    /// Clients of which no key is asked.
    pub const NONE: (&str, &str) = ("none", "no key");

    /// A client without a key of this server: one of the words above.
    pub fn unnamed((id, name): (&str, &str)) -> Client {
        Client { id: id.into(), name: name.into(), key: None, is_named: false }
    }

    fn of(key: &Arc<ClientKey>) -> Client {
        let (id, name) = (key.id.as_str().into(), key.name.as_str().into());
        Client { id, name, key: Some(Arc::clone(key)), is_named: true }
    }

    /// The client with the key of `PROXY_API_KEYS` at `position`, from 0.
    pub fn proxy(position: usize) -> Client {
        let number = position + 1;
        let (id, name) = (format!("proxy-{number}").into(), format!("PROXY_API_KEYS {number}").into());
        Client { id, name, key: None, is_named: true }
    }

    /// Whether it may use a model. A private bot may be asked for by its name without what stands around it.
    pub fn may_use(&self, model: &Details) -> bool {
        let Some(key) = self.key.as_ref().filter(|key| !key.models.is_empty()) else { return true };
        let names = [model.bot.as_str(), &model.name, model.listed.as_deref().unwrap_or(&model.name)];
        let plain = poe::plain_name(&model.bot).filter(|_| model.entry.is_none());
        key.allows(&names) && plain.is_none_or(|plain| key.allows(&[plain]))
    }

    /// The error for a model that the key may not use.
    pub fn forbidden(name: &str) -> Error {
        let message = format!("this API key may not use the model `{name}`");
        Error::new(Kind::Forbidden, message).about("model").for_good()
    }
}

impl App {
    /// Whether clients have to show a key of this server. Where the keys cannot be read, nobody gets past them to
    /// `POE_API_KEY`; without one there is nothing behind them.
    pub fn requires_keys(&self) -> bool {
        let (settings, keys) = (&self.settings, self.clients.keys.current());
        let is_for_all = settings.proxy_api_keys.is_empty() && settings.host.is_loopback();
        let is_readable = keys.error.is_none() || !keys.list.keys.is_empty();
        let has_poe_key = settings.poe_api_key.is_some();
        keys.exists && (is_readable || has_poe_key) || has_poe_key && !is_for_all
    }

    /// The client that shows the key `shown`, where keys are required.
    pub(super) fn client(&self, shown: &str) -> Result<Client> {
        let keys = self.clients.keys.current();
        if let Some(key) = keys.list.find(&KeyHash::of(shown)) {
            let refused = |why: &str| Err(Error::new(Kind::Unauthorized, format!("this API key {why}")));
            return match key {
                key if key.disabled => refused("is disabled"),
                key if key.is_expired(clock::now().as_secs()) => refused("has expired"),
                key => Ok(Client::of(key)),
            };
        }
        if let Some(position) = position_of(shown, &self.settings.proxy_api_keys) {
            return Ok(Client::proxy(position));
        }
        let message = match (keys.exists, keys.error.is_some()) {
            (false, _) => "this API key is not in PROXY_API_KEYS",
            (true, false) => "this API key is not known to this server",
            (true, true) => "this API key is not known to this server, whose keys.yaml cannot be read",
        };
        Err(Error::new(Kind::Unauthorized, message))
    }

    /// Whether the key with this id is still accepted.
    fn is_accepted(&self, id: &str, now: u64) -> bool {
        let keys = self.clients.keys.current();
        !id.starts_with("key_")
            || keys.list.by_id(id).is_some_and(|key| !key.disabled && !key.is_expired(now))
    }

    /// Ends the running requests of keys that are no longer accepted.
    pub fn stop_refused(&self) {
        let now = clock::now().as_secs();
        self.activity
            .stop_where(&|notes| !notes.key_id.as_deref().is_none_or(|id| self.is_accepted(id, now)));
    }

    /// Adds a key with these fields; the key itself is returned and not stored.
    ///
    /// # Errors
    /// The field that is wrong, or the file cannot be written.
    pub fn add_key(&self, fields: &Map<String, Value>) -> Result<(ClientKey, String)> {
        let added = add_key(&*self.clients.keys, fields)?;
        log::info!("the client key {} was added", added.0.name);
        Ok(added)
    }

    /// Changes the fields of the key with this id, and ends its requests if it is no longer accepted.
    ///
    /// # Errors
    /// As [`App::add_key`]; or there is no such key.
    pub fn change_key(&self, id: &str, fields: &Map<String, Value>) -> Result<()> {
        change_key(&*self.clients.keys, &|key| key.id == id, fields)?;
        self.stop_refused();
        Ok(())
    }

    /// Deletes the key with this id and ends its requests.
    ///
    /// # Errors
    /// There is no such key, or the file cannot be written.
    pub fn delete_key(&self, id: &str) -> Result<()> {
        delete_key(&*self.clients.keys, &|key| key.id == id)?;
        self.stop_refused();
        Ok(())
    }

    /// Looks after the client keys, for ever.
    pub fn watch_keys(&self) {
        loop {
            thread::sleep(TICK);
            self.clients.keys.reload();
            self.stop_refused();
        }
    }

    /// Stores usage at intervals, for ever.
    pub fn keep_usage(&self) {
        let mut is_warned = false;
        loop {
            thread::sleep(self.settings.usage_write);
            match self.store_usage() {
                Err(error) if !is_warned => {
                    log::warn!("usage will not survive a restart: {error}");
                    is_warned = true;
                }
                stored => is_warned &= stored.is_err(),
            }
        }
    }

    /// Stores usage now.
    ///
    /// # Errors
    /// The system's words.
    pub fn store_usage(&self) -> Result<(), String> {
        let Some((usage, budgets)) = &self.clients.local else { return Ok(()) };
        let nothing = LocalUsage::default();
        let usage = if self.clients.usage.store() { &nothing } else { &**usage };
        usage_file::write(&self.dir, usage, budgets, clock::now().as_secs())
    }

    /// The name of the key with this id, also after it was deleted.
    pub fn key_names(&self) -> BTreeMap<String, String> {
        let mut names: BTreeMap<String, String> =
            self.clients.usage.keys().into_iter().map(|(id, (name, _))| (id, name)).collect();
        let keys = self.clients.keys.current();
        names.extend(keys.list.keys.iter().map(|key| (key.id.clone(), key.name.clone())));
        names.insert(OTHER.to_owned(), OTHER.to_owned());
        names
    }
}

/// The place of a key among the known ones. All are compared, and in constant time: the time says nothing about any key.
fn position_of(shown: &str, known: &[Secret]) -> Option<usize> {
    let shown = KeyHash::of(shown);
    let is_same = known.iter().map(|key| KeyHash::of(key.expose()).is(&shown)).enumerate();
    is_same.fold(None, |found, (at, is_same)| if is_same { Some(at) } else { found })
}

/// Adds a key to a store.
///
/// # Errors
/// The field that is wrong, or the store cannot be written.
pub fn add_key(keys: &dyn ClientKeys, fields: &Map<String, Value>) -> Result<(ClientKey, String)> {
    let wrong = || Error::invalid("name", "name: expected a name for the key");
    let name = fields.get("name").and_then(Value::as_str).ok_or_else(wrong)?;
    let (mut key, secret) = ClientKey::make(name, clock::now().as_secs())?;
    key.apply(fields)?;
    keys.change(&mut |keys| {
        keys.push(key.clone());
        Ok(())
    })?;
    Ok((key, secret))
}

/// Changes the fields of the key that `is_meant`.
///
/// # Errors
/// As [`add_key`]; or there is no such key.
pub fn change_key(
    keys: &dyn ClientKeys,
    is_meant: &dyn Fn(&ClientKey) -> bool,
    fields: &Map<String, Value>,
) -> Result<()> {
    keys.change(&mut |keys| keys.iter_mut().find(|key| is_meant(key)).ok_or_else(no_key)?.apply(fields))
}

/// Deletes the key that `is_meant`.
///
/// # Errors
/// There is no such key, or the store cannot be written.
pub fn delete_key(keys: &dyn ClientKeys, is_meant: &dyn Fn(&ClientKey) -> bool) -> Result<()> {
    keys.change(&mut |keys| {
        let at = keys.iter().position(is_meant).ok_or_else(no_key)?;
        keys.remove(at);
        Ok(())
    })
}

fn no_key() -> Error {
    Error::new(Kind::NotFound, "there is no such key")
}
