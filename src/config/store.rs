//! Store of the configuration in force: reloads models.yaml when it changes, saves it atomically, and keeps the last good
//! version in force while the file is broken.
//!
//! Beside the file are `models.yaml.bak`, the version before the last save; `models.yaml.good`, the last good version,
//! for a start that finds a broken one; and `models.yaml.broken`, the last broken one that a save replaced.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value};

use super::directory::{Dir, Staged, is_mounted_alone};
use super::models::{FILE_NAME, Fault, ModelsFile, Shadow, as_text, edit, read_bytes, without_bom};
use crate::error::{Error, Kind, Result};

/// Interval at which the file is checked for changes; a change is applied when two checks find the same file.
const TICK: Duration = Duration::from_millis(400);
/// A file that has just changed may change again without a new time on it.
const RACY: Duration = Duration::from_secs(3);
/// The version of a file that is not there.
const ABSENT: &str = "absent";

/// The configuration in force, and the file it comes from.
#[derive(Debug)]
pub struct ConfigStore {
    dir: Arc<Dir>,
    current: RwLock<Arc<Current>>,
    /// Held while the file is reloaded or written.
    seen: Mutex<Seen>,
    call: (Mutex<bool>, Condvar),
}

/// The configuration in force and the status of the file.
#[derive(Debug)]
pub struct Current {
    /// The configuration in force.
    pub models: Arc<ModelsFile>,
    /// How the file is.
    pub status: Status,
}

/// How the file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether the file is in force.
    pub state: State,
    /// What is wrong with it, in one line that begins with its name.
    pub error: Option<String>,
    /// The place of the fault by line and field alone, which may be public.
    pub location: Option<String>,
    /// What seems not to be meant, a line each.
    pub warnings: Vec<String>,
    /// A word that changes whenever the file does.
    pub version: String,
}

/// Whether the file counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was read, and is in force.
    Good,
    /// There is none.
    None,
    /// It is invalid: the last good one stays in force, if there was one.
    Broken,
}

impl State {
    /// Its name on `/health` and in the admin API.
    pub fn name(self) -> &'static str {
        match self {
            State::Good => "good",
            State::None => "none",
            State::Broken => "broken",
        }
    }
}

/// A new content for the file.
#[derive(Debug, Clone, Copy)]
pub enum Posted<'a> {
    /// What the admin page knows of it; the rest stays.
    Json(&'a Map<String, Value>),
    /// The whole text.
    Yaml(&'a str),
    /// The file as it was before the last save.
    Backup,
}

/// A save that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The file's version now.
    pub version: String,
    /// What seems not to be meant, a line each.
    pub warnings: Vec<String>,
}

/// What was last seen of the file.
#[derive(Debug, Default)]
struct Seen {
    stamp: Option<Stamp>,
    /// The version at the last check, until it is applied: the file may still be being written.
    candidate: Option<String>,
}

/// Changes when the file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What lies on the disk.
struct Found {
    version: String,
    bytes: Option<Vec<u8>>,
    /// Nothing if there is no file.
    read: Result<Option<Read>, Fault>,
}

struct Read {
    models: ModelsFile,
    warnings: Vec<String>,
}

impl ConfigStore {
    /// Reads models.yaml in `dir`. A broken one does not count: people's access must not hang on a typing error.
    pub fn open(dir: Arc<Dir>) -> ConfigStore {
        let none = Current {
            models: Arc::default(),
            status: Status {
                state: State::None,
                error: None,
                location: None,
                warnings: Vec::new(),
                version: ABSENT.into(),
            },
        };
        let config = ConfigStore {
            dir,
            current: RwLock::new(Arc::new(none)),
            seen: Mutex::default(),
            call: (Mutex::new(false), Condvar::new()),
        };
        config.begin();
        config
    }

    fn begin(&self) {
        let mut seen = lock(&self.seen);
        seen.stamp = self.stamp();
        let found = self.look();
        if found.read.is_err() {
            match self.last_good() {
                Some((name, good)) => {
                    log::warn!("{name} is used in place of {FILE_NAME}: {}", good.models.summary());
                    self.put(Current {
                        models: Arc::new(good.models),
                        status: self.current().status.clone(),
                    });
                }
                None => {
                    log::warn!(
                        "there is no earlier valid {FILE_NAME}: every bot is served under its own name"
                    )
                }
            }
        }
        self.take(found);
    }

    /// What is in force now.
    pub fn current(&self) -> Arc<Current> {
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

    /// Whether there is a copy of the file as it was before the last save.
    pub fn has_backup(&self) -> bool {
        self.dir.at(&beside("bak")).exists()
    }

    /// The configuration in force as JSON, its secret masked, and the version of the file it would be saved to.
    ///
    /// # Errors
    /// None in practice: what is in force has been read before.
    pub fn to_json(&self) -> Result<(Map<String, Value>, String)> {
        let current = self.current();
        let json = edit::to_json(current.models.text())
            .map_err(|fault| Error::new(Kind::Internal, fault.to_string()))?;
        Ok((json, current.status.version.clone()))
    }

    /// The file as it lies there, good or not, its secret masked, and its version.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn to_yaml(&self) -> Result<(String, String)> {
        let found = self.look();
        let Some(bytes) = found.bytes else {
            return match found.read {
                Err(fault) => Err(Error::new(Kind::Internal, format!("{}: {fault}", self.path().display()))),
                Ok(_) => Ok((String::new(), found.version)),
            };
        };
        let current = self.current();
        let shown = edit::masked(without_bom(&String::from_utf8_lossy(&bytes)), &current.models.secrets());
        Ok((shown, found.version))
    }

    /// Waits for one interval, or until [`ConfigStore::reload`] is called, and reloads the file if it has changed. Returns whether it had.
    pub fn wait_and_reload(&self) -> bool {
        let (called, is_called) = &self.call;
        let waited = is_called.wait_timeout_while(lock(called), TICK, |called| !*called);
        let called = std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner).0);
        let before = self.current();
        self.reload_if_changed(called);
        !Arc::ptr_eq(&before, &self.current())
    }

    /// Makes the watching thread reload the file at once.
    pub fn reload(&self) {
        let (called, is_called) = &self.call;
        *lock(called) = true;
        is_called.notify_all();
    }

    /// Reloads the file if it has changed. A change is applied when it is still the same at the next check, because
    /// half a file may be valid too; with `called` it is applied at once.
    fn reload_if_changed(&self, called: bool) {
        let mut seen = lock(&self.seen);
        let stamp = self.stamp();
        let is_settled =
            seen.candidate.is_none() && stamp == seen.stamp && !stamp.is_some_and(Stamp::is_fresh);
        if is_settled && !called {
            return;
        }
        let found = self.look();
        seen.stamp = stamp;
        let before = seen.candidate.take();
        if found.version == self.current().status.version && !called {
            return;
        }
        if before.as_ref() != Some(&found.version) && !called {
            seen.candidate = Some(found.version);
            return;
        }
        self.take(found);
    }

    /// Puts what was found in force, or says why not.
    fn take(&self, found: Found) {
        let before = self.current();
        let name = self.path().display().to_string();
        let status = |state, error, warnings| Status {
            state,
            error,
            location: None,
            warnings,
            version: found.version.clone(),
        };
        match found.read {
            Ok(Some(read)) => {
                log::info!("{name}: {}", read.models.summary());
                read.warnings.iter().for_each(|warning| log::warn!("{name}: {warning}"));
                self.keep_good(read.models.text());
                let status = status(State::Good, None, read.warnings);
                self.put(Current { models: Arc::new(read.models), status });
            }
            Ok(None) => {
                if before.status.state != State::None {
                    log::warn!("{name} was removed: every bot is served under its own name");
                }
                let status = status(State::None, None, Vec::new());
                self.put(Current { models: Arc::default(), status });
            }
            Err(fault) => {
                let error = format!("{FILE_NAME}: {fault}");
                log::error!("{name} is not applied, the previous configuration stays in force: {fault}");
                // a file that cannot be read has no line, and nothing of it is sent
                let location = if found.bytes.is_some() { fault.location() } else { fault.to_string() };
                let location = Some(format!("{FILE_NAME}: {location}").trim_end_matches(": ").to_owned());
                let status = Status { location, ..status(State::Broken, Some(error), Vec::new()) };
                self.put(Current { models: Arc::clone(&before.models), status });
            }
        }
    }

    /// Saves the file. `expected` are the versions that the saver may have started from, any if there are none; `is_bot`
    /// knows the names in Poe's list.
    ///
    /// # Errors
    /// A conflict when the file is another by now; the field that is wrong; or the system's words when it cannot be
    /// written. In each case the file and what is in force are as before.
    pub fn save(
        &self,
        posted: Posted<'_>,
        expected: &[String],
        is_bot: &dyn Fn(&str) -> bool,
    ) -> Result<Saved> {
        let mut seen = lock(&self.seen);
        let unsaved = |message: String| Error::new(Kind::Internal, message);
        let dir_lock = self.dir.lock().map_err(unsaved)?;
        let found = self.look();
        if !expected.is_empty() && !expected.contains(&found.version) {
            let message = format!(
                "{FILE_NAME} has changed on the server (version {}): reload it and re-apply your change",
                found.version
            );
            return Err(Error::new(Kind::Conflict, message).about("version"));
        }
        let text = self.text_of(posted, &found)?;
        let (models, warnings) = ModelsFile::parse(&text).map_err(|fault| refused(posted, fault))?;
        self.judge_shadows(posted, &models, is_bot)?;
        let mut rendered = warnings.clone();
        if found.bytes.as_deref() != Some(text.as_bytes()) {
            let copy = self.write(posted, &text, &found).map_err(unsaved)?;
            if let (Err(_), Some(_)) = (&found.read, &found.bytes) {
                rendered.push(format!("{FILE_NAME} was invalid; a copy is stored as {}", beside("broken")));
            }
            rendered
                .extend(copy.map(|name| format!("comments were removed; the file with comments is {name}")));
        }
        drop(dir_lock);
        seen.stamp = self.stamp();
        seen.candidate = None;
        self.keep_good(&text);
        log::info!("{} was saved: {}", self.path().display(), models.summary());
        let version = version(text.as_bytes());
        let status =
            Status { state: State::Good, error: None, location: None, warnings, version: version.clone() };
        self.put(Current { models: Arc::new(models), status });
        Ok(Saved { version, warnings: rendered })
    }

    /// The text to be saved. Of a broken file nothing can be kept but what was good before.
    fn text_of(&self, posted: Posted<'_>, found: &Found) -> Result<String> {
        let current = self.current();
        let before = match &found.read {
            Ok(Some(read)) => read.models.text(),
            Ok(None) => "",
            Err(_) => current.models.text(),
        };
        match posted {
            Posted::Backup => return self.backup(),
            Posted::Json(json) => edit::merged(before, json),
            Posted::Yaml(text) => {
                let text = without_bom(text);
                // as it was shown, good or not
                let before = String::from_utf8_lossy(found.bytes.as_deref().unwrap_or_default());
                edit::unmasked(text, without_bom(&before), &current.models.secrets())
            }
        }
        .map_err(|fault| refused(posted, fault))
    }

    fn backup(&self) -> Result<String> {
        let path = self.dir.at(&beside("bak"));
        let none = |problem: String| {
            Error::new(Kind::NotFound, format!("there is no earlier {FILE_NAME} to restore: {problem}"))
        };
        let bytes = read_bytes(&path).map_err(none)?.ok_or_else(|| none("it was saved once only".into()))?;
        as_text(&bytes).map(str::to_owned).map_err(|fault| none(fault.to_string()))
    }

    /// A name that hides a bot of Poe's is refused when it is new. One that was there before is let be: the bot may be
    /// younger than the name.
    fn judge_shadows(
        &self,
        posted: Posted<'_>,
        models: &ModelsFile,
        is_bot: &dyn Fn(&str) -> bool,
    ) -> Result<()> {
        let before = self.current();
        let known: HashSet<_> = before.models.shadows(is_bot).map(|old| (old.bot, old.name)).collect();
        match models.shadows(is_bot).find(|new| !known.contains(&(new.bot, new.name))) {
            None => Ok(()),
            Some(Shadow { bot, field, name }) => {
                let message = format!("{name} is already the name of a bot on Poe");
                Err(refused(posted, models.fault(bot, &field, message)))
            }
        }
    }

    /// Writes the file; the name of the copy that holds its comments, if it loses them.
    fn write(&self, posted: Posted<'_>, text: &str, found: &Found) -> Result<Option<String>, String> {
        let path = self.real_path()?;
        let like = fs::metadata(&path).ok();
        if found.bytes.is_none() && like.is_some() {
            // no copy could be kept of it
            return Err(format!("{} cannot be read and is not overwritten", path.display()));
        }
        if is_mounted_alone(&path) {
            let advice = "the file itself is a mount; mount its directory instead";
            return Err(format!("{} cannot be written: {advice}", path.display()));
        }
        let new = Staged::new(&path, text.as_bytes(), like.as_ref())?;
        if let Some(bytes) = &found.bytes {
            let copy = beside(if found.read.is_ok() { "bak" } else { "broken" });
            Staged::new(&self.dir.at(&copy), bytes, like.as_ref())?.put()?;
        }
        // the copy above lasts until the next save only
        let before = String::from_utf8_lossy(found.bytes.as_deref().unwrap_or_default());
        let is_kept = !matches!(posted, Posted::Json(_)) && has_comments(text);
        let commented = (has_comments(&before) && !is_kept).then(|| beside("commented"));
        if let Some(name) = &commented {
            Staged::new(&self.dir.at(name), before.as_bytes(), like.as_ref())?.put()?;
        }
        new.put()?;
        Ok(commented)
    }

    /// The file itself, where models.yaml is a link.
    fn real_path(&self) -> Result<PathBuf, String> {
        let path = self.path();
        match fs::symlink_metadata(&path) {
            Ok(about) if about.is_symlink() => fs::canonicalize(&path)
                .map_err(|error| format!("{} is a dangling symbolic link: {error}", path.display())),
            _ => Ok(path),
        }
    }

    fn look(&self) -> Found {
        let fault = |message| Fault { place: None, field: String::new(), message };
        match read_bytes(&self.path()) {
            Ok(Some(bytes)) => {
                let read = as_text(&bytes).and_then(|text| {
                    let (models, warnings) = ModelsFile::parse(text)?;
                    Ok(Some(Read { models, warnings }))
                });
                Found { version: version(&bytes), bytes: Some(bytes), read }
            }
            Ok(None) => Found { version: ABSENT.into(), bytes: None, read: Ok(None) },
            Err(error) => Found { version: version(error.as_bytes()), bytes: None, read: Err(fault(error)) },
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        fs::metadata(self.path()).ok().map(|about| Stamp::of(&about))
    }

    /// The copies that a start may find in place of a broken file, the best first.
    fn last_good(&self) -> Option<(String, Read)> {
        [beside("good"), beside("bak")].into_iter().find_map(|name| {
            let bytes = read_bytes(&self.dir.at(&name)).ok()??;
            let (models, warnings) = ModelsFile::parse(as_text(&bytes).ok()?).ok()?;
            Some((name, Read { models, warnings }))
        })
    }

    fn keep_good(&self, text: &str) {
        let name = beside("good");
        if read_bytes(&self.dir.at(&name)).ok().flatten().as_deref() != Some(text.as_bytes()) {
            self.dir.keep(&name, text.as_bytes(), fs::metadata(self.path()).ok().as_ref());
        }
    }

    fn put(&self, current: Current) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
    }
}

impl Stamp {
    pub(super) fn of(about: &Metadata) -> Stamp {
        Stamp {
            device: about.dev(),
            inode: about.ino(),
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }

    pub(super) fn is_fresh(self) -> bool {
        let changed =
            SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        changed.elapsed().map_or(true, |age| age < RACY)
    }
}

/// `models.yaml.bak` for `bak`.
fn beside(ending: &str) -> String {
    format!("{FILE_NAME}.{ending}")
}

fn has_comments(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with('#') || line.contains(" #"))
}

fn version(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The line is of use to who posted lines.
fn refused(posted: Posted<'_>, fault: Fault) -> Error {
    let fault = match posted {
        Posted::Json(_) => Fault { place: None, ..fault },
        Posted::Yaml(_) | Posted::Backup => fault,
    };
    let error = Error::new(Kind::InvalidRequest, fault.to_string());
    match (fault.field.is_empty(), posted) {
        (false, _) => error.about(fault.field),
        (true, Posted::Yaml(_)) => error.about("yaml"),
        (true, Posted::Json(_) | Posted::Backup) => error,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    fn directory(name: &str) -> PathBuf {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(format!("config-test-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn mapped(config: &ConfigStore) -> Option<String> {
        let models = Arc::clone(&config.current().models);
        models.listed_name("a").filter(|name| *name != "a").map(str::to_owned)
    }

    #[test]
    fn half_a_file_never_counts() {
        let path = directory("half");
        let text = |name: &str| format!("enable: true\nmodels:\n  b: {{}}\n  a: {{mapping: {name}}}\n");
        let write = |text: &str| fs::write(path.join(FILE_NAME), text).unwrap();
        write(&text("one"));
        let config = ConfigStore::open(Arc::new(Dir::new(&path)));
        let new = text("two");
        // emptied and written bit by bit, at any speed
        for end in [0, 13, 20, 30, new.len() - 2] {
            write(&new[..end]);
            config.reload_if_changed(false);
            assert_eq!(mapped(&config).as_deref(), Some("one"), "{end}");
        }
        write(&new);
        config.reload_if_changed(false);
        assert_eq!(mapped(&config).as_deref(), Some("one"), "perhaps there is more to come");
        config.reload_if_changed(false);
        assert_eq!(mapped(&config).as_deref(), Some("two"));
        // gone for a moment, as some editors do it
        fs::remove_file(path.join(FILE_NAME)).unwrap();
        config.reload_if_changed(false);
        assert_eq!(mapped(&config).as_deref(), Some("two"));
        write(&new);
        config.reload_if_changed(false);
        config.reload_if_changed(false);
        assert_eq!((mapped(&config).as_deref(), config.current().status.state), (Some("two"), State::Good));
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn the_last_good_file_is_the_last_that_counted() {
        let path = directory("good");
        fs::write(path.join(FILE_NAME), "enable: true\nmodels: {a: {mapping: one}}\n").unwrap();
        drop(ConfigStore::open(Arc::new(Dir::new(&path))));
        fs::write(path.join(FILE_NAME), "enable: [").unwrap();
        let config = ConfigStore::open(Arc::new(Dir::new(&path)));
        assert_eq!((mapped(&config).as_deref(), config.current().status.state), (Some("one"), State::Broken));
        // without it, the copy of before the last save is better than nothing
        fs::rename(path.join(beside("good")), path.join(beside("bak"))).unwrap();
        let config = ConfigStore::open(Arc::new(Dir::new(&path)));
        assert_eq!(mapped(&config).as_deref(), Some("one"));
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn comments_outlive_two_saves() {
        let path = directory("commented");
        let before = "# mine\nenable: true\n";
        fs::write(path.join(FILE_NAME), before).unwrap();
        let config = ConfigStore::open(Arc::new(Dir::new(&path)));
        let save = |enable: bool| {
            let posted = json!({"enable": enable});
            config.save(Posted::Json(posted.as_object().unwrap()), &[], &|_| false).unwrap().warnings
        };
        assert!(save(false)[0].contains("models.yaml.commented"));
        assert_eq!(save(true), [""; 0]);
        assert_eq!(fs::read_to_string(path.join(beside("commented"))).unwrap(), before);
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_not_replaced() {
        let path = directory("unread");
        fs::create_dir(path.join(FILE_NAME)).unwrap();
        let config = ConfigStore::open(Arc::new(Dir::new(&path)));
        assert_eq!(
            config.current().status.error.as_deref(),
            Some("models.yaml: cannot be read: it is a directory")
        );
        assert_eq!(config.current().status.location, config.current().status.error, "no secret in it");
        let error = config.save(Posted::Yaml("enable: true"), &[], &|_| false).unwrap_err();
        assert!(error.message.ends_with("cannot be read and is not overwritten"), "{error}");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        fs::remove_dir_all(&path).unwrap();
    }
}
