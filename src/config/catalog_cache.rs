//! Copy of Poe's list of models on disk, so that a start without network has one.

use std::time::{Duration, SystemTime};

use ring::digest::{SHA256, digest};
use serde_json::json;

use super::directory::Dir;

/// The file's name inside the configuration directory.
pub const FILE_NAME: &str = "models-cache.json";
const FORMAT: u32 = 1;
/// Fifty times what Poe's list had in 2026.
const MAX_BYTES: u64 = 32 << 20;

/// A list as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedCatalog {
    /// JSON whose `data` holds the entries as Poe wrote them.
    pub body: Vec<u8>,
    /// When Poe gave them.
    pub fetched: SystemTime,
    /// The Poe that is asked gave them, and no other one.
    pub is_own: bool,
}

#[derive(serde::Deserialize)]
struct Head {
    format: u32,
    /// A hash, for the address may hold a password.
    poe: String,
    /// In seconds since 1970.
    fetched: u64,
}

/// The list that was kept, if there is one: of the Poe at `base_url`, or of another. A file that is invalid is
/// warned of.
pub fn read(dir: &Dir, base_url: &str) -> Option<CachedCatalog> {
    let path = dir.at(FILE_NAME);
    let about = std::fs::metadata(&path).ok()?;
    let ignored = |why: String| {
        log::warn!("{} is ignored: {why}", path.display());
        None
    };
    if !about.is_file() || about.len() > MAX_BYTES {
        return ignored("not a regular file, or too large".to_owned());
    }
    let body = match std::fs::read(&path) {
        Ok(body) => body,
        Err(error) => return ignored(error.to_string()),
    };
    match serde_json::from_slice::<Head>(&body) {
        Ok(head) if head.format != FORMAT => ignored(format!("its format is {}", head.format)),
        Ok(head) => Some(CachedCatalog {
            body,
            fetched: SystemTime::UNIX_EPOCH + Duration::from_secs(head.fetched),
            is_own: head.poe == hash(base_url),
        }),
        Err(error) => ignored(error.to_string()),
    }
}

/// Keeps `entries`, JSON each, that the Poe at `base_url` gave at `fetched`.
pub fn write<'a>(dir: &Dir, base_url: &str, fetched: SystemTime, entries: impl Iterator<Item = &'a str>) {
    let seconds = fetched.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let poe = json!(hash(base_url));
    let mut body = format!("{{\"format\":{FORMAT},\"poe\":{poe},\"fetched\":{seconds},\"data\":[\n");
    for (at, entry) in entries.enumerate() {
        body += if at > 0 { ",\n" } else { "" };
        body += entry;
    }
    body += "\n]}\n";
    if body.len() as u64 <= MAX_BYTES {
        dir.keep(FILE_NAME, body.as_bytes(), None);
    }
}

fn hash(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_list_is_kept_and_known_by_its_poe() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/kept-list-test");
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let dir = Dir::new(&path);
        assert_eq!(read(&dir, "http://a"), None);
        let fetched = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        write(&dir, "http://a", fetched, [r#"{"id":"x"}"#, r#"{"id":"y"}"#].into_iter());
        let kept = read(&dir, "http://a").unwrap();
        assert_eq!((kept.fetched, kept.is_own), (fetched, true));
        let json: serde_json::Value = serde_json::from_slice(&kept.body).unwrap();
        assert_eq!(json["data"], json!([{"id": "x"}, {"id": "y"}]));
        assert!(!read(&dir, "http://b").unwrap().is_own);
        for nonsense in ["", "{", "[]", "{\"format\":1}", "\u{0}"] {
            fs::write(path.join(FILE_NAME), nonsense).unwrap();
            assert_eq!(read(&dir, "http://a"), None, "{nonsense}");
        }
        fs::remove_dir_all(&path).unwrap();
    }
}
