//! The configuration directory, with atomic replacement of its files.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Access, FlockOperation, access, flock};
use rustix::io::Errno;
use rustix::process::geteuid;

/// How long another program may write there before it is in the way.
const PATIENCE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(10);
/// Who may read a new file: its owner, for it may hold a token.
const NEW_MODE: u32 = 0o600;

/// The configuration directory.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
    is_warned: AtomicBool,
}

/// Holds other programs off the directory until it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing it gives the lock back")] Option<File>);

impl Dir {
    /// The directory at `path`, which need not be there.
    pub fn new(path: impl Into<PathBuf>) -> Dir {
        Dir { path: path.into(), is_warned: AtomicBool::new(false) }
    }

    /// Where the file called `name` lies.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether files can be written there, as far as one can state without trying.
    pub fn is_writable(&self) -> bool {
        access(&self.path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }

    /// Creates the directory if it is missing, readable by this user only. Returns [`Dir::fault`].
    pub fn prepare(&self) -> Option<String> {
        let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        let fault = self.fault().or_else(|| created.err().map(|error| self.unwritable(&error, "")));
        self.is_warned.store(fault.is_some(), Ordering::Relaxed);
        fault
    }

    /// Why files cannot be written there, with what to do about it, as far as one can state without trying. A directory
    /// that is missing can be created at the start if the nearest one above it can be written.
    pub fn fault(&self) -> Option<String> {
        let above =
            self.path.ancestors().find(|path| path.exists()).filter(|path| !path.as_os_str().is_empty());
        let place = above.unwrap_or(Path::new("."));
        let error = match access(place, Access::WRITE_OK | Access::EXEC_OK) {
            _ if place.is_file() => io::Error::from(ErrorKind::NotADirectory),
            Ok(()) => return None,
            Err(error) => error.into(),
        };
        let owner = fs::metadata(place).map(|about| about.uid()).ok();
        let user = geteuid().as_raw();
        let hint = owner.filter(|owner| *owner != user).map_or_else(String::new, |owner| {
            let place = place.display();
            format!("; {place} belongs to user {owner} and this program runs as user {user}: chown -R {user} {place}")
        });
        Some(self.unwritable(&error, &hint))
    }

    fn unwritable(&self, error: &io::Error, hint: &str) -> String {
        let path = self.path.display();
        format!(
            "cannot write CONFIG_DIR ({path}): {error}; settings and state will not survive a restart{hint}"
        )
    }

    /// Waits until no other program writes there. A file system without locks means no wait.
    ///
    /// # Errors
    /// A sentence, when the directory is not there or another program writes for too long.
    pub fn lock(&self) -> Result<Lock, String> {
        let dir = File::open(&self.path).map_err(|error| unwritten(&self.path, &error))?;
        let start = Instant::now();
        loop {
            match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock(Some(dir))),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => thread::sleep(TICK),
                Err(Errno::WOULDBLOCK) => {
                    return Err(format!("{}: another program is writing there", self.path.display()));
                }
                Err(_) => return Ok(Lock(None)),
            }
        }
    }

    /// Keeps something that is good to have, but not needed: when that fails, one warning says so, once for all.
    /// The new file may be read by whom `like` may be read by.
    pub fn keep(&self, name: &str, bytes: &[u8], like: Option<&Metadata>) {
        let kept = self.lock().and_then(|_lock| Staged::new(&self.at(name), bytes, like)?.put());
        if let Err(error) = kept {
            match self.is_warned.swap(true, Ordering::Relaxed) {
                false => log::warn!("state will not survive a restart: {error}"),
                true => log::debug!("{error}"),
            }
        }
    }
}

/// A new file that lies beside the one it will replace. Dropped, it is gone.
#[derive(Debug)]
pub struct Staged {
    temporary: PathBuf,
    path: PathBuf,
}

impl Staged {
    /// Writes `bytes` beside `path` and waits until they are on the disk. Owner and mode are those of `like`. Two must
    /// not be written for one path at a time: see [`Dir::lock`].
    ///
    /// # Errors
    /// A sentence that names the path, in the system's words; then nothing is left behind.
    pub fn new(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> Result<Staged, String> {
        let mode = like.map_or(NEW_MODE, Metadata::mode) & 0o7777;
        Staged::create(path, bytes, like, mode)
    }

    /// The same for a file that only its owner may read: that of the file which is replaced, else that of the directory,
    /// so that root can write it for a server that is not root.
    ///
    /// # Errors
    /// As [`Staged::new`].
    pub fn private(path: &Path, bytes: &[u8]) -> Result<Staged, String> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let owner = fs::metadata(path).or_else(|_| fs::metadata(dir)).ok();
        Staged::create(path, bytes, owner.as_ref(), NEW_MODE)
    }

    fn create(path: &Path, bytes: &[u8], owner: Option<&Metadata>, mode: u32) -> Result<Staged, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.tmp"));
        let failed = |error: io::Error| unwritten(path, &error);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {} // perhaps left there by one who was killed
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(NEW_MODE)
            .open(&temporary)
            .map_err(failed)?;
        let staged = Staged { temporary, path: path.to_owned() };
        if let Some(owner) = owner {
            // only root may give files away, and for others it is their own already
            let _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
        }
        file.write_all(bytes).map_err(failed)?;
        rustix::fs::fchmod(&file, mode.into()).map_err(|error| failed(error.into()))?;
        file.sync_all().map_err(failed)?;
        Ok(staged)
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// As [`Staged::new`].
    pub fn put(self) -> Result<(), String> {
        fs::rename(&self.temporary, &self.path).map_err(|error| unwritten(&self.path, &error))?;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // the file is in its place; that a directory cannot be synced here and there does not undo it
        if let Err(error) = File::open(dir).and_then(|dir| dir.sync_all()) {
            log::debug!("{} cannot be synced: {error}", dir.display());
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary); // gone already once it was put
    }
}

/// Whether the file at `path` is mounted by itself, so that no other can be put in its place.
#[cfg(target_os = "linux")]
pub fn is_mounted_alone(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let about = statx(CWD, path, AtFlags::empty(), StatxFlags::empty());
    about.is_ok_and(|about| about.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Elsewhere one cannot state.
#[cfg(not(target_os = "linux"))]
pub fn is_mounted_alone(_: &Path) -> bool {
    false
}

fn unwritten(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_what_was_left_lying_is_in_nobodys_way() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dir-test");
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let (dir, file) = (Dir::new(&path), path.join("a"));
        let names =
            || fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        fs::write(path.join(".a.tmp"), "half of someth").unwrap();
        dir.keep("a", b"one", None);
        assert_eq!((fs::read(&file).unwrap(), names()), (b"one".to_vec(), vec!["a".into()]));
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, NEW_MODE, "it may hold a secret");
        let staged = Staged::new(&file, b"two", None).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"one", "until it is put");
        drop(staged);
        assert_eq!(names(), ["a"], "and nothing is left of what was not");
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let like = fs::metadata(&file).unwrap();
        Staged::new(&file, b"three", Some(&like)).unwrap().put().unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o644);
        assert!(dir.is_writable() && !Dir::new(path.join("nowhere")).is_writable());
        let error = Staged::new(Path::new("/nowhere/a"), b"", None).unwrap_err();
        assert_eq!(error, "/nowhere/a cannot be written: No such file or directory (os error 2)");
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn one_writes_at_a_time() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dir-lock-test");
        fs::create_dir_all(&path).unwrap();
        let held = Dir::new(&path).lock().unwrap();
        let other = File::open(&path).unwrap();
        let attempt = || flock(&other, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(attempt(), Err(Errno::WOULDBLOCK));
        drop(held);
        assert_eq!(attempt(), Ok(()));
        fs::remove_dir_all(&path).unwrap();
    }
}
