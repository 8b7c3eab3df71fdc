//! Cache of uploads: the URL at Poe of a file that was uploaded before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use ring::digest::{Context, SHA256};

use crate::error::{Error, Kind, Result};

/// How often a caller that waits for another's upload looks whether it still must.
const TICK: Duration = Duration::from_millis(500);

/// Whose file, and which: the hash of an API key and of the whole content, or of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileKey([u8; 32]);

impl FileKey {
    /// The key of a file with `content`, uploaded for `api_key` as `kind` (its type and name, or `link`).
    pub fn new(api_key: &str, kind: &str, content: &[u8]) -> FileKey {
        let mut hash = Context::new(&SHA256);
        for part in [api_key.as_bytes(), kind.as_bytes(), content] {
            // lengths keep the parts apart
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut key = [0; 32];
        key.copy_from_slice(hash.finish().as_ref());
        FileKey(key)
    }

    /// The hash itself. Who has it can read what is kept for the file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a cache may keep: where something lies at Poe.
pub trait Kept: Clone {
    /// What it takes, in bytes.
    fn size(&self) -> usize;
}

/// What a cache outside this process may keep.
pub trait Portable: Kept + PartialEq + Send {
    /// Its bytes.
    fn to_bytes(&self) -> Vec<u8>;
    /// What was made of such bytes.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// A cache bounded by bytes and age, that lets concurrent uploads of one file be one upload.
pub trait UploadCache<V>: Send + Sync {
    /// The file of `key`, uploaded by `upload` unless it is there already or on its way. `watch` is called now and
    /// then while waiting for another request's upload; its error ends the wait.
    fn get(
        &self,
        key: FileKey,
        watch: &dyn Fn() -> Result<()>,
        upload: &mut dyn FnMut() -> Result<V>,
    ) -> Result<Found<V>>;

    /// Forgets the file of `key`: Poe does not have it any more.
    fn forget(&self, key: FileKey);

    /// How the cache did so far.
    fn counters(&self) -> &Counters;
}

/// The cache of one process.
#[derive(Debug)]
pub struct MemoryUploadCache<V> {
    lifetime: Duration,
    capacity: usize,
    state: Mutex<State<V>>,
    counters: Counters,
}

#[derive(Debug)]
struct State<V> {
    kept: LruCache<FileKey, (Instant, V)>,
    bytes: usize,
    on_the_way: HashMap<FileKey, Arc<Upload<V>>>,
}

/// An upload that others may wait for.
#[derive(Debug)]
struct Upload<V> {
    outcome: Mutex<Option<Result<Found<V>>>>,
    done: Condvar,
}

/// How the cache did.
#[derive(Debug, Default)]
pub struct Counters {
    /// Files that were at Poe already.
    pub hits: AtomicU64,
    /// Files that had to be uploaded.
    pub misses: AtomicU64,
    /// Entries evicted for size or age.
    pub evictions: AtomicU64,
    /// Uploads shared with another request.
    pub joined: AtomicU64,
    /// Entries dropped because Poe did not have the file any more.
    pub dead: AtomicU64,
}

fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A file at Poe, and whether the cache knew it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<V> {
    /// Where it lies.
    pub value: V,
    /// It came from the cache, so it may be dead by now.
    pub was_kept: bool,
}

impl<V: Kept> MemoryUploadCache<V> {
    /// Keeps entries for `lifetime` and at most `capacity` bytes of them; zero of either keeps nothing.
    pub fn new(lifetime: Duration, capacity: usize) -> MemoryUploadCache<V> {
        let state = State { kept: LruCache::unbounded(), bytes: 0, on_the_way: HashMap::new() };
        MemoryUploadCache { lifetime, capacity, state: Mutex::new(state), counters: Counters::default() }
    }

    /// As [`UploadCache::get`]; `find` may find the file elsewhere instead of uploading it.
    pub fn get_or(
        &self,
        key: FileKey,
        watch: &dyn Fn() -> Result<()>,
        find: &mut dyn FnMut() -> Result<Found<V>>,
    ) -> Result<Found<V>> {
        loop {
            let (turn, is_mine) = match self.find(key) {
                Ok(value) => {
                    add_one(&self.counters.hits);
                    return Ok(Found { value, was_kept: true });
                }
                Err(turn) => turn,
            };
            if is_mine {
                let arrival = Arrival { files: self, key, turn: &turn };
                let outcome = find();
                let was_kept = outcome.as_ref().is_ok_and(|found| found.was_kept);
                add_one(if was_kept { &self.counters.hits } else { &self.counters.misses });
                arrival.render(outcome.clone());
                return outcome;
            }
            add_one(&self.counters.joined);
            match turn.wait(watch)? {
                // the request that uploaded was cancelled: another one has to upload
                Err(error) if error.is_withdrawn() => {}
                outcome => return outcome,
            }
        }
    }

    /// Forgets the file of `key` and returns what was kept for it: Poe does not have it any more.
    pub fn take(&self, key: FileKey) -> Option<V> {
        let mut state = lock(&self.state);
        let (_, value) = state.kept.pop(&key)?;
        state.bytes -= value.size();
        add_one(&self.counters.dead);
        Some(value)
    }

    /// What is kept for `key`, or the upload that is on its way; true if the caller must do it.
    fn find(&self, key: FileKey) -> Result<V, (Arc<Upload<V>>, bool)> {
        let mut state = lock(&self.state);
        if let Some((since, value)) = state.kept.get(&key) {
            if since.elapsed() < self.lifetime {
                return Ok(value.clone());
            }
            self.drop_entry(&mut state, key);
        }
        if let Some(turn) = state.on_the_way.get(&key) {
            return Err((Arc::clone(turn), false));
        }
        let turn = Arc::new(Upload { outcome: Mutex::new(None), done: Condvar::new() });
        state.on_the_way.insert(key, Arc::clone(&turn));
        Err((turn, true))
    }

    fn drop_entry(&self, state: &mut State<V>, key: FileKey) {
        if let Some((_, value)) = state.kept.pop(&key) {
            state.bytes -= value.size();
            add_one(&self.counters.evictions);
        }
    }

    fn keep(&self, state: &mut State<V>, key: FileKey, value: V) {
        let size = value.size();
        if size > self.capacity || self.lifetime.is_zero() {
            return;
        }
        while state.bytes + size > self.capacity {
            let Some((oldest, _)) = state.kept.peek_lru() else { break };
            let oldest = *oldest;
            self.drop_entry(state, oldest);
        }
        state.bytes += size;
        if let Some((_, old)) = state.kept.put(key, (Instant::now(), value)) {
            state.bytes -= old.size();
        }
    }
}

impl<V: Kept + Send> UploadCache<V> for MemoryUploadCache<V> {
    fn get(
        &self,
        key: FileKey,
        watch: &dyn Fn() -> Result<()>,
        upload: &mut dyn FnMut() -> Result<V>,
    ) -> Result<Found<V>> {
        self.get_or(key, watch, &mut || upload().map(|value| Found { value, was_kept: false }))
    }

    fn forget(&self, key: FileKey) {
        self.take(key);
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl<V: Kept> Upload<V> {
    fn wait(&self, watch: &dyn Fn() -> Result<()>) -> Result<Result<Found<V>>> {
        let mut outcome = lock(&self.outcome);
        loop {
            if let Some(outcome) = &*outcome {
                return Ok(outcome.clone());
            }
            outcome = self.done.wait_timeout(outcome, TICK).unwrap_or_else(PoisonError::into_inner).0;
            watch()?;
        }
    }
}

/// Passes the outcome of an upload to all waiting requests, also when it panics.
struct Arrival<'a, V: Kept> {
    files: &'a MemoryUploadCache<V>,
    key: FileKey,
    turn: &'a Upload<V>,
}

impl<V: Kept> Arrival<'_, V> {
    fn render(&self, outcome: Result<Found<V>>) {
        let mut state = lock(&self.files.state);
        state.on_the_way.remove(&self.key);
        if let Ok(found) = &outcome {
            self.files.keep(&mut state, self.key, found.value.clone());
        }
        drop(state);
        *lock(&self.turn.outcome) = Some(outcome);
        self.turn.done.notify_all();
    }
}

impl<V: Kept> Drop for Arrival<'_, V> {
    fn drop(&mut self) {
        if lock(&self.turn.outcome).is_none() {
            self.render(Err(Error::new(Kind::Internal, "an upload failed")));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    impl Kept for String {
        fn size(&self) -> usize {
            self.len()
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(content: &str) -> FileKey {
        FileKey::new("api key", "image/png", content.as_bytes())
    }

    fn get(files: &MemoryUploadCache<String>, content: &str) -> Found<String> {
        files.get(key(content), &|| Ok(()), &mut || Ok(content.to_owned())).unwrap()
    }

    fn count(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    #[test]
    fn keys_distinguish_owners_kinds_and_whole_contents() {
        let keys = [
            FileKey::new("a", "b", b"c"),
            FileKey::new("ab", "", b"c"),
            FileKey::new("a", "bc", b""),
            FileKey::new("other", "b", b"c"),
            FileKey::new("a", "b", &[b'c'; 5000]),
            FileKey::new("a", "b", &[b'c'; 5001]),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
    }

    #[test]
    fn what_was_uploaded_is_found_until_it_is_forgotten() {
        let files = MemoryUploadCache::new(HOUR, 100);
        assert!(!get(&files, "a").was_kept);
        assert!(get(&files, "a").was_kept);
        files.forget(key("a"));
        assert!(!get(&files, "a").was_kept);
        let counters = files.counters();
        assert_eq!((count(&counters.hits), count(&counters.misses), count(&counters.dead)), (1, 2, 1));
    }

    #[test]
    fn room_and_age_are_bounded() {
        let files = MemoryUploadCache::new(HOUR, 10);
        for content in ["aaaa", "bbbb"] {
            get(&files, content);
        }
        get(&files, "aaaa"); // now b is the one not used for longest
        get(&files, "cccc");
        assert!(get(&files, "aaaa").was_kept && get(&files, "cccc").was_kept);
        assert!(!get(&files, "bbbb").was_kept);
        assert!(!get(&files, &"x".repeat(11)).was_kept);
        assert!(!get(&files, &"x".repeat(11)).was_kept, "larger than the whole cache");
        assert!(lock(&files.state).bytes <= 10);
        let old = MemoryUploadCache::new(Duration::ZERO, 10);
        get(&old, "a");
        assert!(!get(&old, "a").was_kept);
    }

    #[test]
    fn concurrent_uploads_of_one_file_are_one() {
        let files = MemoryUploadCache::new(HOUR, 100);
        let (begun, is_begun) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let files = &files;
            let first = scope.spawn(move || {
                files.get(key("a"), &|| Ok(()), &mut || {
                    begun.send(()).unwrap();
                    may_go.recv().unwrap();
                    Ok("there".to_owned())
                })
            });
            is_begun.recv().unwrap();
            let second =
                scope.spawn(move || files.get(key("a"), &|| Ok(()), &mut || panic!("a second upload")));
            while count(&files.counters().joined) == 0 {
                thread::yield_now();
            }
            go.send(()).unwrap();
            assert_eq!(first.join().unwrap().unwrap(), second.join().unwrap().unwrap());
        });
    }

    #[test]
    fn when_the_uploader_leaves_another_takes_over() {
        let files = MemoryUploadCache::new(HOUR, 100);
        let (begun, is_begun) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let files = &files;
            let first = scope.spawn(move || {
                files.get(key("a"), &|| Ok(()), &mut || {
                    begun.send(()).unwrap();
                    may_go.recv().unwrap();
                    Err(Error::new(Kind::ClientGone, "left"))
                })
            });
            is_begun.recv().unwrap();
            let second = scope.spawn(move || files.get(key("a"), &|| Ok(()), &mut || Ok("mine".to_owned())));
            while count(&files.counters().joined) == 0 {
                thread::yield_now();
            }
            go.send(()).unwrap();
            assert!(first.join().unwrap().is_err());
            assert_eq!(second.join().unwrap().unwrap().value, "mine");
        });
    }
}
