//! Store of client keys: reloads keys.yaml when it changes, changes it atomically, and keeps the last good keys in force
//! while the file is broken.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ring::digest::{SHA256, digest};

use super::client_keys::{ClientKey, FILE_NAME, KeyList, check, parse, render};
use super::directory::{Dir, Staged, is_mounted_alone};
use super::models::{as_text, read_bytes};
use super::store::Stamp;
use crate::error::{Error, Kind, Result};

/// The keys in force, and the file they come from.
#[derive(Debug)]
pub struct KeyStore {
    dir: Arc<Dir>,
    current: RwLock<Arc<Keys>>,
    seen: Mutex<Seen>,
}

/// The keys in force.
#[derive(Debug, Default)]
pub struct Keys {
    /// The last good ones.
    pub list: KeyList,
    /// Whether there is a file, good or not: then clients have to show a key, even if the file has none.
    pub exists: bool,
    /// What is wrong with the file.
    pub error: Option<String>,
}

#[derive(Debug, Default)]
struct Seen {
    stamp: Option<Stamp>,
    /// The hash of the content in force.
    applied: Option<Vec<u8>>,
    /// The hash of a new content, until a second look finds the same: the file may still be being written.
    candidate: Option<Option<Vec<u8>>>,
}

struct Found {
    hash: Option<Vec<u8>>,
    /// Nothing if there is no file.
    read: Result<Option<Vec<ClientKey>>, String>,
}

impl KeyStore {
    /// Reads keys.yaml in `dir`. While it is broken no key of it is accepted: an older file may have keys that were
    /// deleted since.
    pub fn open(dir: Arc<Dir>) -> KeyStore {
        let store = KeyStore { dir, current: RwLock::default(), seen: Mutex::default() };
        let mut seen = lock(&store.seen);
        seen.stamp = store.stamp();
        let found = store.look();
        store.take(&mut seen, found);
        drop(seen);
        store
    }

    /// What is in force now.
    pub fn current(&self) -> Arc<Keys> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.dir.at(FILE_NAME)
    }

    /// Whether the file can be saved, as far as one can state without trying.
    pub fn is_writable(&self) -> bool {
        self.dir.is_writable() && !is_mounted_alone(&self.path())
    }

    /// Reloads the file if it has changed and was the same at the last look. Returns whether other keys are in force.
    pub fn reload_if_changed(&self) -> bool {
        let mut seen = lock(&self.seen);
        let stamp = self.stamp();
        let is_settled =
            seen.candidate.is_none() && stamp == seen.stamp && !stamp.is_some_and(Stamp::is_fresh);
        if is_settled {
            return false;
        }
        let found = self.look();
        seen.stamp = stamp;
        let before = seen.candidate.take();
        if found.hash == seen.applied {
            return false;
        }
        if before.as_ref() != Some(&found.hash) {
            seen.candidate = Some(found.hash);
            return false;
        }
        self.take(&mut seen, found);
        true
    }

    /// Changes the keys of the file as it is now, also by other programs.
    ///
    /// # Errors
    /// Those of `edit`; or the file is broken, or cannot be written. Then everything is as before.
    pub fn change(&self, edit: &mut dyn FnMut(&mut Vec<ClientKey>) -> Result<()>) -> Result<()> {
        let mut seen = lock(&self.seen);
        let failed = |message: String| Error::new(Kind::Internal, message);
        let _lock = self.dir.lock().map_err(failed)?;
        let found = self.look();
        let mut keys = match found.read {
            Ok(keys) => keys.unwrap_or_default(),
            Err(error) => {
                let message =
                    format!("{FILE_NAME} is broken and is not overwritten, correct it first: {error}");
                return Err(Error::new(Kind::Conflict, message));
            }
        };
        edit(&mut keys)?;
        check(&keys)?;
        let path = self.path();
        if is_mounted_alone(&path) {
            let advice = "the file itself is a mount; mount its directory instead";
            return Err(failed(format!("{} cannot be written: {advice}", path.display())));
        }
        let text = render(&keys).map_err(failed)?;
        let real = fs::canonicalize(&path).unwrap_or(path);
        Staged::private(&real, text.as_bytes()).and_then(Staged::put).map_err(failed)?;
        seen.stamp = self.stamp();
        seen.candidate = None;
        self.take(&mut seen, Found { hash: Some(hash(text.as_bytes())), read: Ok(Some(keys)) });
        Ok(())
    }

    fn take(&self, seen: &mut Seen, found: Found) {
        let before = self.current();
        let name = self.path().display().to_string();
        let keys = match found.read {
            Ok(None) => {
                if before.exists {
                    log::warn!("{name} was removed: its keys are no longer accepted");
                }
                Keys::default()
            }
            Ok(Some(keys)) => {
                log::info!("{name}: {} keys", keys.len());
                Keys { list: KeyList::new(keys), exists: true, error: None }
            }
            Err(error) => {
                log::error!("{name} is not applied, the previous keys stay in force: {error}");
                let keys = before.list.keys.iter().map(|key| ClientKey::clone(key)).collect();
                Keys { list: KeyList::new(keys), exists: true, error: Some(format!("{FILE_NAME}: {error}")) }
            }
        };
        seen.applied = found.hash;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    fn look(&self) -> Found {
        match read_bytes(&self.path()) {
            Ok(Some(bytes)) => {
                let text = as_text(&bytes).map_err(|fault| fault.to_string());
                Found { hash: Some(hash(&bytes)), read: text.and_then(parse).map(Some) }
            }
            Ok(None) => Found { hash: None, read: Ok(None) },
            Err(error) => Found { hash: Some(hash(error.as_bytes())), read: Err(error) },
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        fs::metadata(self.path()).ok().map(|about| Stamp::of(&about))
    }
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    fn directory(name: &str) -> PathBuf {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn names(store: &KeyStore) -> Vec<String> {
        store.current().list.keys.iter().map(|key| key.name.clone()).collect()
    }

    fn add(store: &KeyStore, name: &str) -> Result<()> {
        store.change(&mut |keys| {
            keys.push(ClientKey::make(name, 0)?.0);
            Ok(())
        })
    }

    #[test]
    fn two_programs_change_one_file_and_what_is_broken_changes_nothing() {
        let path = directory("key-store-test");
        let open = || KeyStore::open(Arc::new(Dir::new(&path)));
        let (one, other) = (open(), open());
        assert!(!one.current().exists);
        add(&one, "a").unwrap();
        add(&other, "b").unwrap();
        assert_eq!(
            (names(&one), names(&other)),
            (vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!((one.reload_if_changed(), one.reload_if_changed()), (false, true), "at the second look");
        assert_eq!(names(&one), ["a", "b"]);
        let file = path.join(FILE_NAME);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(add(&one, "A").unwrap_err().kind, Kind::Conflict);
        let good = fs::read(&file).unwrap();
        fs::write(&file, &good[..good.len() - 30]).unwrap();
        one.reload_if_changed();
        one.reload_if_changed();
        assert_eq!(names(&one), ["a", "b"], "the last good ones");
        assert!(one.current().error.is_some() && one.current().exists);
        assert_eq!(add(&one, "c").unwrap_err().kind, Kind::Conflict);
        let locked = open();
        assert!(names(&locked).is_empty() && locked.current().exists && locked.current().error.is_some());
        fs::remove_file(&file).unwrap();
        one.reload_if_changed();
        assert!(one.reload_if_changed() && !one.current().exists && names(&one).is_empty());
        fs::remove_dir_all(&path).unwrap();
    }
}
