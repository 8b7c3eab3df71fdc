//! Video jobs that replicas share: any replica says how far a job is, and the one that runs it notices when another one
//! has deleted it. Encrypted as stored responses are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::Script;

use super::link::RedisLink;
use super::seal::Seal;
use crate::state::responses::Owner;
use crate::state::videos::{LIFETIME_SECONDS, MOST_OF_ONE, Video, VideoStage, VideoStore, Videos};

/// How often a job that runs looks whether it was deleted elsewhere.
const LOOK: Duration = Duration::from_secs(1);
/// How many jobs are remembered to be in Redis.
const MAX_SHARED: usize = 2000;

/// KEYS: entry, list of the owner's. ARGV: entry, lifetime, name, time, how many, what names of entries begin with.
const INSERT: &str = "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
for _, old in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1 - ARGV[5])) do
  redis.call('DEL', ARGV[6] .. old)
  redis.call('ZREM', KEYS[2], old)
end";

/// KEYS: list of the owner's. ARGV: what names of entries begin with. Returns names and entries, the oldest first.
const LIST: &str = "local found = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local entry = redis.call('GET', ARGV[1] .. name)
  if entry then found[#found + 1] = name; found[#found + 1] = entry else redis.call('ZREM', KEYS[1], name) end
end
return found";

/// The jobs of all replicas, and those of this one for the time without Redis.
pub struct RedisVideos {
    own: VideoStore,
    link: Arc<RedisLink>,
    insert: Script,
    list: Script,
    /// The jobs of this replica that are in Redis, and when that was seen last.
    shared: Mutex<HashMap<String, Instant>>,
}

/// The names of one owner's entries.
struct Names {
    seal: Seal,
    list: String,
    prefix: String,
}

impl Names {
    fn id(&self, id: &str) -> String {
        self.seal.name("id", id)
    }

    fn entry(&self, id: &str) -> String {
        format!("{}{}", self.prefix, self.id(id))
    }
}

impl RedisVideos {
    /// An empty store.
    pub fn new(link: Arc<RedisLink>) -> RedisVideos {
        let [insert, list] = [INSERT, LIST].map(Script::new);
        RedisVideos { own: VideoStore::default(), link, insert, list, shared: Mutex::default() }
    }

    fn names(&self, owner: Owner) -> Option<Names> {
        let seal = Seal::new(owner.as_bytes(), "poe2openai videos")?;
        let tag = seal.name("owner", "");
        let name = |kind| self.link.name(&format!("{kind}:{{{tag}}}"));
        Some(Names { list: name("videos"), prefix: name("video") + ":", seal })
    }

    fn sealed(&self, names: &Names, video: &Video) -> Option<Vec<u8>> {
        let text = serde_json::to_vec(&(self.link.replica(), video)).ok()?;
        names.seal.seal(&names.id(&video.id), &text)
    }

    /// The job of an entry. That of a replica that has ended has failed.
    fn opened(&self, names: &Names, name: &str, sealed: &[u8]) -> Option<Video> {
        let text = names.seal.open(name, sealed)?;
        let (replica, mut video): (String, Video) = serde_json::from_slice(&text).ok()?;
        if !video.is_over() && replica != self.link.replica() {
            let alive = self.link.alive(&replica);
            let lives =
                self.link.run(|connection| redis::cmd("EXISTS").arg(&alive).query::<bool>(connection));
            if lives == Some(false) {
                let message = "the server that made this video has ended; send the request again".to_owned();
                video.stage =
                    VideoStage::Failed { at: video.created, code: "server_error".to_owned(), message };
            }
        }
        Some(video)
    }

    /// What Redis has: nothing in it, or nothing because it is not usable.
    fn find(&self, owner: Owner, id: &str) -> Option<Option<Video>> {
        let names = self.names(owner)?;
        let entry = names.entry(id);
        let found =
            self.link.run(|connection| redis::cmd("GET").arg(&entry).query::<Option<Vec<u8>>>(connection))?;
        Some(found.and_then(|sealed| self.opened(&names, &names.id(id), &sealed)))
    }

    fn share(&self, owner: Owner, video: &Video) -> Option<()> {
        let names = self.names(owner)?;
        let sealed = self.sealed(&names, video)?;
        let mut call = self.insert.prepare_invoke();
        call.key(names.entry(&video.id)).key(&names.list).arg(sealed).arg(LIFETIME_SECONDS * 1000);
        call.arg(names.id(&video.id)).arg(video.created).arg(MOST_OF_ONE).arg(&names.prefix);
        self.link.run(|connection| call.invoke::<()>(connection))?;
        let mut shared = self.lock();
        if shared.len() >= MAX_SHARED {
            shared.clear();
        }
        shared.insert(video.id.clone(), Instant::now());
        Some(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Videos for RedisVideos {
    fn insert(&self, owner: Owner, video: Video) {
        let _ = self.share(owner, &video); // else it is this replica's alone
        self.own.insert(owner, video);
    }

    fn get(&self, owner: Owner, id: &str, now: u64) -> Option<Video> {
        match self.find(owner, id) {
            Some(Some(video)) => Some(video),
            Some(None) if self.lock().contains_key(id) => None,
            _ => self.own.get(owner, id, now),
        }
    }

    fn has(&self, owner: Owner, id: &str) -> bool {
        let seen = self.lock().get(id).copied();
        if !self.own.has(owner, id) || seen.is_none_or(|seen| seen.elapsed() < LOOK) {
            return self.own.has(owner, id);
        }
        let Some(entry) = self.names(owner).map(|names| names.entry(id)) else { return true };
        let found = self.link.run(|connection| redis::cmd("EXISTS").arg(&entry).query::<bool>(connection));
        self.lock().insert(id.to_owned(), Instant::now());
        if found == Some(false) {
            self.own.remove(owner, id);
        }
        found.unwrap_or(true)
    }

    fn list(&self, owner: Owner, now: u64) -> Vec<Video> {
        let shared = self.names(owner).and_then(|names| {
            let mut call = self.list.prepare_invoke();
            call.key(&names.list).arg(&names.prefix);
            let found: Vec<Vec<u8>> = self.link.run(|connection| call.invoke(connection))?;
            let read = |pair: &[Vec<u8>]| {
                let [name, sealed] = pair else { return None };
                self.opened(&names, std::str::from_utf8(name).ok()?, sealed)
            };
            Some(found.chunks(2).filter_map(read).collect::<Vec<_>>())
        });
        let own = self.own.list(owner, now);
        let Some(mut all) = shared else { return own };
        let known = self.lock();
        all.extend(own.into_iter().filter(|video| !known.contains_key(&video.id)));
        all.sort_by_key(|video| video.created);
        all
    }

    fn advance(&self, owner: Owner, id: &str, stage: VideoStage) {
        self.own.advance(owner, id, stage);
        let Some((video, names)) = self.own.get(owner, id, 0).zip(self.names(owner)) else { return };
        let (entry, Some(sealed)) = (names.entry(id), self.sealed(&names, &video)) else { return };
        let mut set = redis::cmd("SET");
        // what was deleted does not come back
        set.arg(entry).arg(sealed).arg("XX").arg("PX").arg(LIFETIME_SECONDS * 1000);
        let _ = self.link.run(|connection| set.exec(connection));
    }

    fn remove(&self, owner: Owner, id: &str) -> bool {
        let own = self.own.remove(owner, id);
        let shared = self.names(owner).and_then(|names| {
            let entry = names.entry(id);
            self.link.run(|connection| redis::cmd("DEL").arg(&entry).query::<bool>(connection))
        });
        let was_shared = self.lock().remove(id).is_some();
        match shared {
            Some(shared) => shared || own && !was_shared,
            None => own,
        }
    }
}
