//! Store of responses that clients can retrieve or continue by id. Bounded in number, bytes and age.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use ring::digest::{Context, SHA256};
use ring::hmac;

/// As many responses as are kept at once, however small they are.
pub const MAX_RESPONSES: usize = 10_000;

/// Whose responses: a hash of the key that a client shows, and of nothing else's. What it keeps outside this process is
/// encrypted with it, so no other hash of the key may lead to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner([u8; 32]);

impl Owner {
    /// The clients that present `key`.
    pub fn of(key: &str) -> Owner {
        let mut owner = [0; 32];
        let purpose = hmac::Key::new(hmac::HMAC_SHA256, b"poe2openai owner");
        owner.copy_from_slice(hmac::sign(&purpose, key.as_bytes()).as_ref());
        Owner(owner)
    }

    /// The hash itself. Who has it can read the responses.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The hash of an owner and an id.
type Key = [u8; 32];

/// A response, and what it was an answer to.
#[derive(Debug)]
pub struct Response {
    /// The response before it in the conversation.
    pub previous: Option<String>,
    /// What its request added to the conversation: items in JSON, one a line.
    pub input: Vec<u8>,
    /// The response itself: a JSON object.
    pub response: Vec<u8>,
    /// What it is to be found by beside its id.
    pub names: Vec<String>,
}

impl Response {
    fn size(&self) -> usize {
        const AROUND: usize = 256;
        let names: usize = self.names.iter().map(|name| AROUND + name.len()).sum();
        AROUND
            + self.previous.as_ref().map_or(0, String::len)
            + self.input.len()
            + self.response.len()
            + names
    }
}

/// The responses that are kept. Only the owner of one finds it.
pub trait ResponseStore: Send + Sync {
    /// Keeps the response called `id`. Those that were not used for the longest time make room.
    fn keep(&self, owner: Owner, id: &str, response: Response);

    /// The response called `id`, if it is kept and `owner`'s.
    fn get(&self, owner: Owner, id: &str) -> Option<Arc<Response>>;

    /// The response called `name`, by its id or another of its names.
    fn called(&self, owner: Owner, name: &str) -> Option<Arc<Response>>;

    /// All responses of the conversation that ends with `id`, oldest first; nothing if one of them is gone.
    fn conversation(&self, owner: Owner, id: &str) -> Option<Vec<Arc<Response>>>;

    /// Forgets the response called `id`; whether it was there.
    fn forget(&self, owner: Owner, id: &str) -> bool;
}

/// The responses of one process.
#[derive(Debug)]
pub struct MemoryResponseStore {
    lifetime: Duration,
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    kept: LruCache<Key, Entry>,
    /// The keys of responses by those of their names.
    named: HashMap<Key, Key>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    owner: Owner,
    used: Instant,
    response: Arc<Response>,
}

impl State {
    fn forget(&mut self, own: Key, old: &Entry) {
        self.bytes -= old.response.size();
        for name in &old.response.names {
            let name = key(old.owner, name);
            // a later response may have taken the name
            if self.named.get(&name) == Some(&own) {
                self.named.remove(&name);
            }
        }
    }
}

impl MemoryResponseStore {
    /// Keeps responses for `lifetime` after their last use, and at most `capacity` bytes of them; zero of either keeps
    /// nothing.
    pub fn new(lifetime: Duration, capacity: usize) -> MemoryResponseStore {
        let kept = LruCache::new(NonZeroUsize::new(MAX_RESPONSES + 1).unwrap_or(NonZeroUsize::MIN));
        MemoryResponseStore {
            lifetime,
            capacity,
            state: Mutex::new(State { kept, named: HashMap::new(), bytes: 0 }),
        }
    }

    /// A use makes it young again.
    fn find(&self, state: &mut State, key: Key) -> Option<Arc<Response>> {
        let entry = state.kept.get_mut(&key)?;
        if entry.used.elapsed() >= self.lifetime {
            drop_one(state, key);
            return None;
        }
        entry.used = Instant::now();
        Some(Arc::clone(&entry.response))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResponseStore for MemoryResponseStore {
    fn keep(&self, owner: Owner, id: &str, response: Response) {
        let size = response.size();
        if size > self.capacity || self.lifetime.is_zero() {
            return log::debug!("a response of {size} bytes is not stored: it is larger than the store");
        }
        let own = key(owner, id);
        let names: Vec<Key> = response.names.iter().map(|name| key(owner, name)).collect();
        let mut state = self.lock();
        let entry = Entry { owner, used: Instant::now(), response: Arc::new(response) };
        if let Some((of_old, old)) = state.kept.push(own, entry) {
            state.forget(of_old, &old);
        }
        state.bytes += size;
        state.named.extend(names.into_iter().map(|name| (name, own)));
        while state.bytes > self.capacity || state.kept.len() > MAX_RESPONSES {
            let Some((of_old, old)) = state.kept.pop_lru() else { break };
            state.forget(of_old, &old);
        }
    }

    fn get(&self, owner: Owner, id: &str) -> Option<Arc<Response>> {
        self.find(&mut self.lock(), key(owner, id))
    }

    fn called(&self, owner: Owner, name: &str) -> Option<Arc<Response>> {
        let mut state = self.lock();
        let name = key(owner, name);
        let own = state.named.get(&name).copied().unwrap_or(name);
        self.find(&mut state, own)
    }

    fn conversation(&self, owner: Owner, id: &str) -> Option<Vec<Arc<Response>>> {
        let mut state = self.lock();
        let mut found = Vec::new();
        let mut next = Some(id.to_owned());
        while let Some(id) = next.take() {
            // no more can be stored; the bound also ends a circle made by two responses with one id
            let response = self.find(&mut state, key(owner, &id)).filter(|_| found.len() < MAX_RESPONSES)?;
            next.clone_from(&response.previous);
            found.push(response);
        }
        found.reverse();
        Some(found)
    }

    fn forget(&self, owner: Owner, id: &str) -> bool {
        let mut state = self.lock();
        let is_there = self.find(&mut state, key(owner, id)).is_some();
        drop_one(&mut state, key(owner, id));
        is_there
    }
}

fn drop_one(state: &mut State, key: Key) {
    if let Some(old) = state.kept.pop(&key) {
        state.forget(key, &old);
    }
}

fn key(owner: Owner, id: &str) -> Key {
    hash(&[&owner.0, id.as_bytes()])
}

fn hash(parts: &[&[u8]]) -> Key {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn response(previous: Option<&str>, size: usize) -> Response {
        let previous = previous.map(Into::into);
        Response { previous, input: vec![b' '; size], response: Vec::new(), names: Vec::new() }
    }

    #[test]
    fn a_conversation_is_put_together_from_its_responses() {
        let (responses, owner) = (MemoryResponseStore::new(HOUR, 10_000), Owner::of("a"));
        for (id, previous) in [("1", None), ("2", Some("1")), ("3", Some("2")), ("other", None)] {
            responses.keep(owner, id, response(previous, id.len()));
        }
        let found = responses.conversation(owner, "3").unwrap();
        let previous: Vec<_> = found.iter().map(|response| response.previous.as_deref()).collect();
        assert_eq!(previous, [None, Some("1"), Some("2")]);
        assert!(responses.forget(owner, "1") && !responses.forget(owner, "1"));
        assert!(responses.conversation(owner, "3").is_none(), "a part of it is gone");
        assert!(responses.get(owner, "3").is_some());
    }

    #[test]
    fn a_conversation_may_be_as_long_as_what_is_kept() {
        let (responses, owner) = (MemoryResponseStore::new(HOUR, usize::MAX), Owner::of("a"));
        for id in 0..MAX_RESPONSES {
            let previous = id.checked_sub(1).map(|id| id.to_string());
            responses.keep(owner, &id.to_string(), response(previous.as_deref(), 0));
        }
        let last = (MAX_RESPONSES - 1).to_string();
        assert_eq!(responses.conversation(owner, &last).map(|found| found.len()), Some(MAX_RESPONSES));
        responses.keep(owner, "0", response(Some(&last), 0));
        assert!(responses.conversation(owner, &last).is_none(), "round in circles");
    }

    #[test]
    fn a_response_is_found_by_its_names_as_long_as_it_is_kept() {
        let (responses, owner) = (MemoryResponseStore::new(HOUR, 10_000), Owner::of("a"));
        let named = |size| Response { names: vec!["msg_1".into()], ..response(None, size) };
        responses.keep(owner, "1", named(1));
        let size = |owner, name| responses.called(owner, name).map(|found| found.input.len());
        assert_eq!((size(owner, "1"), size(owner, "msg_1")), (Some(1), Some(1)));
        assert_eq!((size(Owner::of("b"), "msg_1"), size(owner, "msg_2")), (None, None));
        assert!(responses.get(owner, "msg_1").is_none(), "a name is no id");
        responses.keep(owner, "2", named(2));
        assert!(responses.forget(owner, "1"));
        assert_eq!(size(owner, "msg_1"), Some(2), "the later one has it now");
        assert!(responses.forget(owner, "2") && size(owner, "msg_1").is_none());
        let state = responses.lock();
        assert_eq!((state.bytes, state.named.len()), (0, 0));
    }

    #[test]
    fn nobody_sees_a_strangers_response() {
        let responses = MemoryResponseStore::new(HOUR, 10_000);
        responses.keep(Owner::of("a"), "1", response(None, 1));
        assert!(responses.get(Owner::of("b"), "1").is_none());
        assert!(!responses.forget(Owner::of("b"), "1"));
        assert!(responses.get(Owner::of("a"), "1").is_some());
    }

    #[test]
    fn bytes_are_bounded_and_what_was_used_stays() {
        let (responses, owner) = (MemoryResponseStore::new(HOUR, 3 * 1256), Owner::of("a"));
        for id in ["1", "2", "3"] {
            responses.keep(owner, id, response(None, 1000));
        }
        assert!(responses.get(owner, "1").is_some());
        responses.keep(owner, "4", response(None, 1000));
        let is_kept = |id: &str| responses.get(owner, id).is_some();
        assert_eq!(["1", "2", "3", "4"].map(is_kept), [true, false, true, true]);
        responses.keep(owner, "large", response(None, 5000));
        assert!(!is_kept("large") && is_kept("4"));
        assert_eq!(responses.lock().bytes, 3 * 1256);
        assert!(responses.forget(owner, "4"));
        assert_eq!(responses.lock().bytes, 2 * 1256);
    }

    #[test]
    fn their_number_is_bounded() {
        let (responses, owner) = (MemoryResponseStore::new(HOUR, usize::MAX), Owner::of("a"));
        for id in 0..=MAX_RESPONSES {
            responses.keep(owner, &id.to_string(), response(None, 0));
        }
        assert_eq!(responses.lock().kept.len(), MAX_RESPONSES);
        assert!(responses.get(owner, "0").is_none() && responses.get(owner, "1").is_some());
    }

    #[test]
    fn without_time_or_room_nothing_is_kept() {
        for (lifetime, capacity) in [(Duration::ZERO, 10_000), (HOUR, 0)] {
            let responses = MemoryResponseStore::new(lifetime, capacity);
            responses.keep(Owner::of("a"), "1", response(None, 1));
            assert!(responses.get(Owner::of("a"), "1").is_none());
        }
        let responses = MemoryResponseStore::new(Duration::from_nanos(1), 10_000);
        responses.keep(Owner::of("a"), "1", response(None, 1));
        while responses.get(Owner::of("a"), "1").is_some() {}
        assert_eq!(responses.lock().bytes, 0, "what is too old makes room");
    }
}
