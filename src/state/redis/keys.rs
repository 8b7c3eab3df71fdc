//! Client keys that replicas share: one list, of hashes, that every replica looks at a few times a second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redis::Script;

use super::link::RedisLink;
use super::seal::token;
use crate::config::client_keys::{ClientKey, KeyList, check, parse, render};
use crate::config::key_store::{KeyStore, Keys};
use crate::error::{Error, Kind, Result};
use crate::state::client_keys::ClientKeys;

/// The list outlives its last look by 90 days.
const LIFETIME: u64 = 90 * 86_400_000;
/// How often a change is tried that another replica comes before.
const TRIES: usize = 5;

/// The version of the list and, unless it is the known one, the list. ARGV: known version, lifetime.
const LOOK: &str = "local version = redis.call('HGET', KEYS[1], 'version')
if not version then return {} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if version == ARGV[1] then return {version} end
return {version, redis.call('HGET', KEYS[1], 'text')}";

/// Replaces the list unless another one has come. ARGV: version before, version, list, lifetime.
const REPLACE: &str = "if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'text', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1";

/// The keys of all replicas. The file of this one is taken over where Redis has none, and is a copy afterwards.
#[derive(Debug)]
pub struct RedisClientKeys {
    file: KeyStore,
    link: Arc<RedisLink>,
    name: String,
    look: Script,
    replace: Script,
    /// The list of Redis, once it was read.
    current: RwLock<Option<Arc<Keys>>>,
    /// Its version.
    version: Mutex<String>,
}

impl RedisClientKeys {
    /// With those of `file` until Redis has answered.
    pub fn new(file: KeyStore, link: Arc<RedisLink>) -> RedisClientKeys {
        let keys = RedisClientKeys {
            file,
            name: link.name("keys"),
            link,
            look: Script::new(LOOK),
            replace: Script::new(REPLACE),
            current: RwLock::default(),
            version: Mutex::default(),
        };
        ClientKeys::reload(&keys);
        keys
    }

    /// Applies what Redis has; whether it could be asked, and whether that is new.
    fn synchronize(&self, version: &mut String) -> Option<bool> {
        let mut call = self.look.prepare_invoke();
        call.key(&self.name).arg(&*version).arg(LIFETIME);
        let found: Vec<String> = self.link.run(|connection| call.invoke(connection))?;
        match <[String; 2]>::try_from(found) {
            Ok([new, text]) => {
                *version = new;
                match parse(&text) {
                    Ok(keys) => self.take(keys),
                    Err(error) => {
                        log::error!(
                            "the client keys in Redis are not applied, the previous ones stay in force: {error}"
                        );
                    }
                }
                Some(true)
            }
            Err(found) if found.is_empty() => {
                version.clear();
                let keys = self.current();
                // a broken file is not taken over, and one without keys closes the server all the same
                if !keys.exists || keys.error.is_some() {
                    return Some(false);
                }
                let keys: Vec<ClientKey> = keys.list.keys.iter().map(|key| ClientKey::clone(key)).collect();
                self.put(version, keys).map(|is_put| is_put.is_ok_and(|is_put| is_put))
            }
            Err(_) => Some(false),
        }
    }

    /// Replaces the list of `version`; false if there is another one.
    fn put(&self, version: &mut String, keys: Vec<ClientKey>) -> Option<Result<bool>> {
        let text = match render(&keys) {
            Ok(text) => text,
            Err(error) => return Some(Err(Error::new(Kind::Internal, error))),
        };
        let new = token();
        let mut call = self.replace.prepare_invoke();
        call.key(&self.name).arg(&*version).arg(&new).arg(text).arg(LIFETIME);
        let is_put = self.link.run(|connection| call.invoke::<u8>(connection))? == 1;
        if is_put {
            *version = new;
            self.take(keys);
        }
        Some(Ok(is_put))
    }

    /// Puts keys in force, and copies them to the file for a start without Redis.
    fn take(&self, keys: Vec<ClientKey>) {
        let copied = self.file.change(&mut |file| {
            file.clone_from(&keys);
            Ok(())
        });
        if let Err(error) = copied {
            log::debug!("the client keys are not copied to keys.yaml: {error}");
        }
        log::info!("Redis: {} client keys", keys.len());
        let keys = Keys { list: KeyList::new(keys), exists: true, error: None };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
    }

    /// Puts a file that the operator has edited, also by `poe2openai keys`, in force on all replicas.
    fn take_edit(&self) {
        let edited = self.file.current();
        if !edited.exists || edited.error.is_some() || edited.list.keys == self.current().list.keys {
            return;
        }
        let changed = ClientKeys::change(self, &mut |keys| {
            *keys = edited.list.keys.iter().map(|key| ClientKey::clone(key)).collect();
            Ok(())
        });
        if let Err(error) = changed {
            log::warn!("{} was edited and is not applied: {error}", self.file.path().display());
        }
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientKeys for RedisClientKeys {
    fn current(&self) -> Arc<Keys> {
        let shared = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        shared.unwrap_or_else(|| self.file.current())
    }

    fn reload(&self) -> bool {
        let is_shared = self.current.read().unwrap_or_else(PoisonError::into_inner).is_some();
        let file = self.file.reload_if_changed();
        if file && is_shared {
            self.take_edit();
        }
        self.synchronize(&mut self.lock()).unwrap_or(false) || file
    }

    fn change(&self, edit: &mut dyn FnMut(&mut Vec<ClientKey>) -> Result<()>) -> Result<()> {
        let unusable = || {
            let message = "Redis is not usable now, and client keys are changed for all replicas at once; try again later";
            Error::new(Kind::Overloaded, message)
        };
        let mut version = self.lock();
        for _ in 0..TRIES {
            self.synchronize(&mut version).ok_or_else(unusable)?;
            let mut keys = self.current().list.keys.iter().map(|key| ClientKey::clone(key)).collect();
            edit(&mut keys)?;
            check(&keys)?;
            if self.put(&mut version, keys).ok_or_else(unusable)?? {
                return Ok(());
            }
        }
        Err(Error::new(Kind::Conflict, "other replicas change the client keys at the same time; try again"))
    }

    fn place(&self) -> String {
        "Redis".to_owned()
    }

    fn is_writable(&self) -> bool {
        self.link.is_up()
    }
}
