//! Generated password of the admin page, stored as a salted hash in `CONFIG_DIR`.

use std::fs;
use std::io::ErrorKind;

use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::directory::{Dir, Staged};

/// The file's name inside the configuration directory.
pub const FILE_NAME: &str = "admin-password.json";
const FORMAT: u32 = 1;
/// More than the file ever has.
const MAX_BYTES: u64 = 4096;
const SALT_BYTES: usize = 16;
/// 32 characters that are not easily confused, so that each stands for five random bits.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 100 random bits.
const LENGTH: usize = 20;
const GROUP: usize = 5;

/// Salt and hash of a password that was made here. Its 100 random bits need no slow hash function: there is no list
/// of likely ones to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminPassword {
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// A password that has just been made.
#[derive(Clone, PartialEq, Eq)]
pub struct Made {
    /// The password itself, to be printed once.
    pub password: String,
    /// Why it will not be valid at the next start, if so.
    pub unkept: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    salt: String,
    sha256: String,
}

impl AdminPassword {
    /// The password of an earlier start, or a new one that is kept for the next start if that is possible.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn open(dir: &Dir) -> Result<(AdminPassword, Option<Made>), String> {
        // two servers that start at once make one password
        let lock = dir.lock();
        if let Some(kept) = read(dir) {
            return Ok((kept, None));
        }
        let (made, password) = AdminPassword::make()?;
        let unkept = match lock {
            Ok(_lock) => made.keep(dir).err(),
            Err(error) => Some(error),
        };
        Ok((made, Some(Made { password, unkept })))
    }

    /// A new password and what is kept of it.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn make() -> Result<(AdminPassword, String), String> {
        let mut random = [0; SALT_BYTES + LENGTH];
        SystemRandom::new().fill(&mut random).map_err(|_| "the system has no random numbers".to_owned())?;
        let (salt, letters) = random.split_at(SALT_BYTES);
        let letters: Vec<u8> = letters.iter().map(|byte| LETTERS[usize::from(byte % 32)]).collect();
        let groups: Vec<_> = letters.chunks(GROUP).map(String::from_utf8_lossy).collect();
        let password = groups.join("-");
        Ok((AdminPassword { hash: hash(salt, &password), salt: salt.to_vec() }, password))
    }

    /// Whether `password` is the one that was made, in constant time.
    pub fn is(&self, password: &str) -> bool {
        hash(&self.salt, password).as_slice().ct_eq(&self.hash).into()
    }

    fn keep(&self, dir: &Dir) -> Result<(), String> {
        let file = File { format: FORMAT, salt: hex(&self.salt), sha256: hex(&self.hash) };
        let mut bytes = serde_json::to_vec(&file).map_err(|error| error.to_string())?;
        bytes.push(b'\n');
        Staged::new(&dir.at(FILE_NAME), &bytes, None)?.put()
    }
}

/// Removes the password of an earlier start: the operator has set another.
pub fn forget(dir: &Dir) {
    let path = dir.at(FILE_NAME);
    match fs::remove_file(&path) {
        Ok(()) => log::info!("{} was removed: ADMIN_PASSWORD replaces it", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => log::debug!("cannot remove {}: {error}", path.display()),
    }
}

fn read(dir: &Dir) -> Option<AdminPassword> {
    let path = dir.at(FILE_NAME);
    let about = fs::metadata(&path).ok()?;
    let file = match about.is_file() && about.len() <= MAX_BYTES {
        true => fs::read(&path).map_err(|error| error.to_string()),
        false => Err("not a file, or too large".to_owned()),
    };
    let read = file.and_then(|bytes| {
        let file: File = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        let (salt, hash) = (unhex(&file.salt), unhex(&file.sha256));
        match (file.format, salt, hash) {
            (FORMAT, Some(salt), Some(hash)) if hash.len() == SHA256.output_len() => {
                Ok(AdminPassword { salt, hash })
            }
            _ => Err("not in the expected form".to_owned()),
        }
    });
    read.inspect_err(|error| log::warn!("{}: {error}; a new password is made", path.display())).ok()
}

fn hash(salt: &[u8], password: &str) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(password.as_bytes());
    context.finish().as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let pairs = text.as_bytes().chunks(2);
    text.len().is_multiple_of(2).then(|| pairs.map(pair).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    fn place(name: &str) -> PathBuf {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_password_is_made_once_and_kept_as_a_hash() {
        let path = place("admin-password-test");
        let dir = Dir::new(&path);
        let (first, made) = AdminPassword::open(&dir).unwrap();
        let made = made.expect("a new one");
        assert_eq!((made.unkept, made.password.len()), (None, LENGTH + LENGTH / GROUP - 1));
        let file = path.join(FILE_NAME);
        assert!(!fs::read_to_string(&file).unwrap().contains(&made.password));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let (second, again) = AdminPassword::open(&dir).unwrap();
        assert!(second == first && again.is_none());
        assert!(second.is(&made.password) && !second.is("") && !second.is(&made.password[1..]));
        forget(&dir);
        let (third, made_anew) = AdminPassword::open(&dir).unwrap();
        assert!(!third.is(&made.password) && made_anew.is_some());
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_opens_nothing() {
        let path = place("admin-password-bad-test");
        let dir = Dir::new(&path);
        for bad in
            ["", "{}", r#"{"format":1,"salt":"","sha256":""}"#, r#"{"format":1,"salt":"0","sha256":"é"}"#]
        {
            fs::write(path.join(FILE_NAME), bad).unwrap();
            let (password, made) = AdminPassword::open(&dir).unwrap();
            assert!(made.is_some() && !password.is(""), "{bad}");
        }
        fs::remove_dir_all(&path).unwrap();
        let (password, made) = AdminPassword::open(&dir).unwrap();
        let made = made.expect("made anew at each start");
        assert!(made.unkept.is_some() && password.is(&made.password));
    }
}
