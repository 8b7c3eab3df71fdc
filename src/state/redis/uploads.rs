//! Upload cache that replicas share: the files of one replica are hits on the others.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use redis::{Script, Value};

use super::link::RedisLink;
use super::seal::{Seal, token};
use crate::error::Result;
use crate::state::upload_cache::{Counters, FileKey, Found, MemoryUploadCache, Portable, UploadCache};

/// How long a lock outlives its holder, and how often a holder that lives prolongs it.
const LOCK: Duration = Duration::from_millis(1500);
const PROLONG: Duration = Duration::from_millis(400);
/// How often a replica that waits for another's upload looks whether it has come.
const TICK: Duration = Duration::from_millis(50);

/// The entry if there is one, else 1 if the caller has the lock now, else 0.
const CLAIM: &str = "local found = redis.call('GET', KEYS[1])
if found then return found end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0";

/// Keeps the entry if there is one, and gives the lock back if it is the caller's.
const SETTLE: &str = "if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end";

/// Makes the lock longer if it is the caller's.
const EXTEND: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end";

/// The cache of one replica before that of all.
pub struct RedisUploadCache<V> {
    own: MemoryUploadCache<V>,
    link: Arc<RedisLink>,
    lifetime: Duration,
    claim: Script,
    settle: Script,
    extend: Script,
}

/// One file's names in Redis.
struct Entry {
    seal: Seal,
    entry: String,
    lock: String,
}

/// What Redis says to a replica that needs a file.
enum Claimed {
    Found(Vec<u8>),
    /// The caller has to upload it.
    Mine,
    /// Another replica uploads it.
    Busy,
}

impl<V: Portable> RedisUploadCache<V> {
    /// Keeps entries for `lifetime`, in this process as `own` does.
    pub fn new(own: MemoryUploadCache<V>, link: Arc<RedisLink>, lifetime: Duration) -> RedisUploadCache<V> {
        let [claim, settle, extend] = [CLAIM, SETTLE, EXTEND].map(Script::new);
        RedisUploadCache { own, link, lifetime, claim, settle, extend }
    }

    fn find(
        &self,
        key: FileKey,
        watch: &dyn Fn() -> Result<()>,
        upload: &mut dyn FnMut() -> Result<V>,
    ) -> Result<Found<V>> {
        let mut without = || upload().map(|value| Found { value, was_kept: false });
        let Some(entry) = self.entry(key) else { return without() };
        let token = token();
        loop {
            match self.claim(&entry, &token) {
                Some(Claimed::Found(sealed)) => match entry.value(&sealed) {
                    Some(value) => return Ok(Found { value, was_kept: true }),
                    None => return without(),
                },
                Some(Claimed::Mine) => return self.upload(&entry, &token, &mut without),
                Some(Claimed::Busy) => {
                    thread::sleep(TICK);
                    watch()?;
                }
                None => return without(),
            }
        }
    }

    fn claim(&self, entry: &Entry, token: &str) -> Option<Claimed> {
        let mut call = self.claim.prepare_invoke();
        call.key(&entry.entry).key(&entry.lock).arg(token).arg(millis(LOCK));
        Some(match self.link.run(|connection| call.invoke(connection))? {
            Value::BulkString(sealed) => Claimed::Found(sealed),
            Value::Int(1) => Claimed::Mine,
            _ => Claimed::Busy,
        })
    }

    /// Uploads while the lock is kept alive, so that a long upload is one, too.
    fn upload(
        &self,
        entry: &Entry,
        token: &str,
        upload: &mut dyn FnMut() -> Result<Found<V>>,
    ) -> Result<Found<V>> {
        let outcome = thread::scope(|scope| {
            let (_ends, end) = mpsc::channel::<()>();
            scope.spawn(move || {
                while end.recv_timeout(PROLONG) == Err(RecvTimeoutError::Timeout) {
                    let mut call = self.extend.prepare_invoke();
                    call.key(&entry.lock).arg(token).arg(millis(LOCK));
                    let _ = self.link.run(|connection| call.invoke::<()>(connection));
                }
            });
            upload()
        });
        let value =
            outcome.as_ref().ok().and_then(|found| entry.seal.seal(&entry.entry, &found.value.to_bytes()));
        let mut call = self.settle.prepare_invoke();
        call.key(&entry.entry).key(&entry.lock);
        call.arg(token).arg(value.unwrap_or_default()).arg(millis(self.lifetime));
        let _ = self.link.run(|connection| call.invoke::<()>(connection));
        outcome
    }

    fn entry(&self, key: FileKey) -> Option<Entry> {
        let seal = Seal::new(key.as_bytes(), "poe2openai upload")?;
        let name = seal.name("file", "");
        let (entry, lock) =
            (self.link.name(&format!("file:{{{name}}}")), self.link.name(&format!("lock:{{{name}}}")));
        Some(Entry { seal, entry, lock })
    }
}

impl Entry {
    fn value<V: Portable>(&self, sealed: &[u8]) -> Option<V> {
        V::from_bytes(&self.seal.open(&self.entry, sealed)?)
    }
}

impl<V: Portable> UploadCache<V> for RedisUploadCache<V> {
    fn get(
        &self,
        key: FileKey,
        watch: &dyn Fn() -> Result<()>,
        upload: &mut dyn FnMut() -> Result<V>,
    ) -> Result<Found<V>> {
        self.own.get_or(key, watch, &mut || self.find(key, watch, upload))
    }

    /// What another replica has uploaded since then stays.
    fn forget(&self, key: FileKey) {
        let dead = self.own.take(key);
        let Some(entry) = self.entry(key) else { return };
        let get = |connection: &mut redis::Connection| {
            redis::cmd("GET").arg(&entry.entry).query::<Option<Vec<u8>>>(connection)
        };
        let Some(Some(sealed)) = self.link.run(get) else { return };
        if dead.is_none() || entry.value(&sealed) == dead {
            let _ = self.link.run(|connection| redis::cmd("DEL").arg(&entry.entry).exec(connection));
        }
    }

    fn counters(&self) -> &Counters {
        self.own.counters()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 50)
}
