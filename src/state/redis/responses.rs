//! Stored responses that replicas share. Each is encrypted with a key that only its owner's API key gives.
//!
//! Of an owner there are two lists, all names of which are hashes: when each response was used last, and how large it
//! is. An entry begins with the name of the response before it, so that one script reads a whole conversation.

use std::sync::Arc;
use std::time::Duration;

use redis::Script;

use super::link::RedisLink;
use super::seal::{NAME, Seal};
use crate::state::responses::{MAX_RESPONSES, MemoryResponseStore, Owner, Response, ResponseStore};

/// Where the response before is not named.
const NONE: &str = "----------------------";

/// What the other scripts have in common: KEYS are the two lists, `ARGV[1]` is what names of entries begin with.
const COMMON: &str = "local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function drop(name)
  local size = redis.call('HGET', KEYS[2], name)
  if size then redis.call('HDEL', KEYS[2], name); redis.call('HINCRBY', KEYS[2], '', -size) end
  redis.call('ZREM', KEYS[1], name)
  return redis.call('DEL', ARGV[1] .. name)
end
local function use(name, ttl)
  local found = redis.call('GET', ARGV[1] .. name)
  if found then
    redis.call('PEXPIRE', ARGV[1] .. name, ttl)
    redis.call('PEXPIRE', KEYS[1], ttl)
    redis.call('PEXPIRE', KEYS[2], ttl)
    redis.call('ZADD', KEYS[1], 'XX', now, name)
  end
  return found
end
";

/// ARGV: prefix, name, entry, lifetime, bytes, number, and the other names under which it is found.
const KEEP: &str = "local ttl, bytes, most = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
for _, old in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ttl, 'LIMIT', 0, 100)) do drop(old) end
drop(ARGV[2])
local size = #ARGV[3]
while true do
  local total = tonumber(redis.call('HGET', KEYS[2], '') or 0)
  if total + size <= bytes and redis.call('ZCARD', KEYS[1]) < most then break end
  local old = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  if not old then redis.call('DEL', KEYS[2]); break end
  drop(old)
end
redis.call('SET', ARGV[1] .. ARGV[2], ARGV[3], 'PX', ttl)
redis.call('ZADD', KEYS[1], now, ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], size)
redis.call('HINCRBY', KEYS[2], '', size)
redis.call('PEXPIRE', KEYS[1], ttl)
redis.call('PEXPIRE', KEYS[2], ttl)
for i = 7, #ARGV do redis.call('SET', ARGV[1] .. ARGV[i], ARGV[2], 'PX', ttl) end";

/// ARGV: prefix, lifetime, a name by which the response may be found, its own name.
const GET: &str = "local name = ARGV[4]
if ARGV[3] ~= '' then
  local own = redis.call('GET', ARGV[1] .. ARGV[3])
  if own then name = own; redis.call('PEXPIRE', ARGV[1] .. ARGV[3], ARGV[2]) end
end
local found = use(name, ARGV[2])
if found then return {name, found} end
return {}";

/// ARGV: prefix, lifetime, the name of the last, the name that ends a conversation, how many at most.
const CONVERSATION: &str = "local found, name = {}, ARGV[3]
while name ~= ARGV[4] do
  local entry = #found < tonumber(ARGV[5]) * 2 and use(name, ARGV[2])
  if not entry then return {} end
  found[#found + 1] = name
  found[#found + 1] = entry
  name = string.sub(entry, 1, #ARGV[4])
end
return found";

/// ARGV: prefix, name.
const FORGET: &str = "return drop(ARGV[2])";

/// The responses of all replicas. What could not be stored there, and copies of what was, are in the memory of this one.
pub struct RedisResponseStore {
    own: MemoryResponseStore,
    link: Arc<RedisLink>,
    lifetime: u64,
    capacity: u64,
    keep: Script,
    get: Script,
    conversation: Script,
    forget: Script,
}

/// The names of one owner's entries.
struct Names {
    seal: Seal,
    used: String,
    sizes: String,
    prefix: String,
}

impl RedisResponseStore {
    /// Keeps responses for `lifetime` after their last use, and at most `capacity` bytes of each owner.
    pub fn new(
        own: MemoryResponseStore,
        link: Arc<RedisLink>,
        lifetime: Duration,
        capacity: usize,
    ) -> RedisResponseStore {
        let script = |own: &str| Script::new(&format!("{COMMON}{own}"));
        let lifetime = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 50);
        RedisResponseStore {
            own,
            link,
            lifetime,
            capacity: capacity as u64,
            keep: script(KEEP),
            get: script(GET),
            conversation: script(CONVERSATION),
            forget: script(FORGET),
        }
    }

    fn names(&self, owner: Owner) -> Option<Names> {
        let seal = Seal::new(owner.as_bytes(), "poe2openai responses")?;
        let tag = seal.name("owner", "");
        let name = |kind| self.link.name(&format!("{kind}:{{{tag}}}"));
        Some(Names { used: name("used"), sizes: name("sizes"), prefix: name("response") + ":", seal })
    }

    /// Stores it in Redis; whether that was done.
    fn share(&self, owner: Owner, id: &str, response: &Response) -> Option<()> {
        let names = self.names(owner)?;
        let name = names.own(id);
        let previous = response.previous.as_deref().map_or_else(|| NONE.to_owned(), |id| names.own(id));
        let mut entry = previous.into_bytes();
        entry.extend(names.seal.seal(&name, &encode(response))?);
        if entry.len() as u64 > self.capacity {
            log::debug!("a response of {} bytes is not stored: it is larger than the store", entry.len());
            return Some(());
        }
        let mut call = self.keep.prepare_invoke();
        call.key(&names.used).key(&names.sizes);
        call.arg(&names.prefix).arg(name).arg(entry).arg(self.lifetime).arg(self.capacity).arg(MAX_RESPONSES);
        for other in &response.names {
            call.arg(names.other(other));
        }
        self.link.run(|connection| call.invoke::<()>(connection))
    }

    /// What Redis has: nothing in it, or nothing because it is not usable.
    fn shared(&self, owner: Owner, id: &str, other: &str) -> Option<Option<Arc<Response>>> {
        let names = self.names(owner)?;
        let other = if other.is_empty() { String::new() } else { names.other(other) };
        let mut call = self.get.prepare_invoke();
        call.key(&names.used).key(&names.sizes);
        call.arg(&names.prefix).arg(self.lifetime).arg(other).arg(names.own(id));
        let found: Vec<Vec<u8>> = self.link.run(|connection| call.invoke(connection))?;
        Some(names.responses(&found).and_then(|mut found| found.pop()))
    }

    /// What this process has: what is not in Redis, and while Redis is not usable also copies of what is.
    fn local(&self, owner: Owner, id: &str, with_copies: bool) -> Option<Arc<Response>> {
        let copy = || self.own.get(owner, &copy_of(id)).filter(|_| with_copies);
        self.own.get(owner, id).or_else(copy)
    }

    fn find(&self, owner: Owner, id: &str) -> Option<Arc<Response>> {
        match self.shared(owner, id, "") {
            Some(Some(found)) => Some(found),
            answer => self.local(owner, id, answer.is_none()),
        }
    }

    /// A conversation of which a part was made while Redis was not usable.
    fn walk(&self, owner: Owner, id: &str) -> Option<Vec<Arc<Response>>> {
        let (mut found, mut next) = (Vec::new(), Some(id.to_owned()));
        while let Some(id) = next.take() {
            let response = self.find(owner, &id).filter(|_| found.len() < MAX_RESPONSES)?;
            next.clone_from(&response.previous);
            found.push(response);
        }
        found.reverse();
        Some(found)
    }
}

impl ResponseStore for RedisResponseStore {
    fn keep(&self, owner: Owner, id: &str, response: Response) {
        match self.share(owner, id, &response) {
            Some(()) => self.own.keep(owner, &copy_of(id), Response { names: Vec::new(), ..response }),
            None => self.own.keep(owner, id, response),
        }
    }

    fn get(&self, owner: Owner, id: &str) -> Option<Arc<Response>> {
        self.find(owner, id)
    }

    fn called(&self, owner: Owner, name: &str) -> Option<Arc<Response>> {
        let shared = self.shared(owner, name, name);
        let own = || self.own.called(owner, name);
        let copy = || self.local(owner, name, true).filter(|_| shared.is_none());
        shared.clone().flatten().or_else(own).or_else(copy)
    }

    fn conversation(&self, owner: Owner, id: &str) -> Option<Vec<Arc<Response>>> {
        let names = self.names(owner)?;
        let mut call = self.conversation.prepare_invoke();
        call.key(&names.used).key(&names.sizes);
        call.arg(&names.prefix).arg(self.lifetime).arg(names.own(id)).arg(NONE).arg(MAX_RESPONSES);
        let found: Option<Vec<Vec<u8>>> = self.link.run(|connection| call.invoke(connection));
        let found = found.and_then(|found| names.responses(&found)).filter(|found| !found.is_empty());
        found.or_else(|| self.walk(owner, id))
    }

    fn forget(&self, owner: Owner, id: &str) -> bool {
        let own = [id, &copy_of(id)].map(|id| self.own.forget(owner, id));
        let shared = self.names(owner).and_then(|names| {
            let mut call = self.forget.prepare_invoke();
            call.key(&names.used).key(&names.sizes).arg(&names.prefix).arg(names.own(id));
            self.link.run(|connection| call.invoke::<u32>(connection))
        });
        // a copy alone was deleted by another replica, if Redis can be asked
        shared.map_or(own[1], |count| count > 0) || own[0]
    }
}

impl Names {
    fn own(&self, id: &str) -> String {
        self.seal.name("id", id)
    }

    fn other(&self, name: &str) -> String {
        self.seal.name("name", name)
    }

    /// The responses of pairs of name and entry, in reverse; nothing if one of them is not as it was stored.
    fn responses(&self, pairs: &[Vec<u8>]) -> Option<Vec<Arc<Response>>> {
        let read = |pair: &[Vec<u8>]| {
            let [name, entry] = pair else { return None };
            let text = self.seal.open(std::str::from_utf8(name).ok()?, entry.get(NAME..)?)?;
            decode(&text).map(Arc::new)
        };
        pairs.chunks(2).rev().map(read).collect()
    }
}

/// No id of a response has a space.
fn copy_of(id: &str) -> String {
    format!("copy {id}")
}

/// Each part behind its length; `previous` as none or one.
fn encode(response: &Response) -> Vec<u8> {
    let size = response.input.len() + response.response.len();
    let mut bytes = Vec::with_capacity(size + 64);
    let mut put = |part: &[u8]| {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    };
    put(&response.input);
    put(&response.response);
    put(&[u8::from(response.previous.is_some())]);
    put(response.previous.as_deref().unwrap_or_default().as_bytes());
    response.names.iter().for_each(|name| put(name.as_bytes()));
    bytes
}

fn decode(mut bytes: &[u8]) -> Option<Response> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
        let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        parts.push(part.to_vec());
        bytes = rest;
    }
    let mut parts = parts.into_iter();
    let (input, response, has_previous) = (parts.next()?, parts.next()?, parts.next()? == [1]);
    let previous = String::from_utf8(parts.next()?).ok()?;
    let names = parts.map(|name| String::from_utf8(name).ok()).collect::<Option<_>>()?;
    Some(Response { previous: has_previous.then_some(previous), input, response, names })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_comes_back_as_it_was() {
        for (previous, names) in
            [(None, vec![]), (Some("resp_1".to_owned()), vec!["a".into(), String::new()])]
        {
            let (input, response) = (b"1\n2\n".to_vec(), b"{}".to_vec());
            let whole = Response { previous, input, response, names };
            let bytes = encode(&whole);
            let back = decode(&bytes).unwrap();
            assert_eq!((back.previous, back.input, back.response, back.names), {
                let Response { previous, input, response, names } = whole;
                (previous, input, response, names)
            });
            assert!(decode(&bytes[..3]).is_none());
        }
        assert_eq!(NONE.len(), NAME);
    }
}
