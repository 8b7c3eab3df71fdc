//! Uploads in memory: each gets the URL under which queries may attach the file.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use super::form::{self, Field};

/// More files or bytes than these push out the oldest.
const MOST_FILES: usize = 64;
const MOST_BYTES: usize = 64 << 20;

/// All uploads that are still there.
#[derive(Default)]
pub struct Uploads {
    kept: VecDeque<Upload>,
    /// How many there ever were; the next one's id.
    pub total: u64,
}

/// One upload.
#[derive(Clone)]
pub struct Upload {
    id: u64,
    name: String,
    /// Its MIME type.
    pub mime: String,
    /// Its content; a sentence instead if Poe was given a link.
    pub bytes: Arc<Vec<u8>>,
    source: Option<String>,
    expired: bool,
}

impl Upload {
    /// Reads the form of an upload: `file`, or `download_url` with or without `download_filename`.
    pub fn read(content_type: &str, body: &[u8]) -> Result<Upload, String> {
        let mut fields = form::read(content_type, body)?;
        match fields.iter().position(|field| field.name == "file") {
            Some(at) => Upload::of_file(fields.swap_remove(at)),
            None => Upload::of_link(&fields),
        }
    }

    fn of_file(field: Field) -> Result<Upload, String> {
        let name =
            field.file_name.filter(|name| !name.is_empty()).ok_or("the field 'file' has no filename")?;
        if name.starts_with("refused.") {
            return Err("This file cannot be processed".into());
        }
        let mime = field.content_type.unwrap_or_else(|| guess(&name).into());
        Ok(Upload { id: 0, name, mime, bytes: Arc::new(field.bytes), source: None, expired: false })
    }

    /// Real Poe fetches the link. This one has no network: it believes that the file is there unless its host ends in
    /// `.invalid`, which no real host does.
    fn of_link(fields: &[Field]) -> Result<Upload, String> {
        let value = |name: &str| {
            let field = fields.iter().find(|field| field.name == name)?;
            Some(String::from_utf8_lossy(&field.bytes).into_owned())
        };
        let url = value("download_url").ok_or("either 'file' or 'download_url' is needed")?;
        let path = url
            .strip_prefix("https://")
            .or(url.strip_prefix("http://"))
            .ok_or("download_url is not an http URL")?;
        if path.split(['/', '?', ':']).next().is_some_and(|host| host.ends_with(".invalid")) {
            return Err(format!("Failed to download the file from {url}"));
        }
        let last = path
            .split(['?', '#'])
            .next()
            .and_then(|path| path.rsplit_once('/'))
            .map(|(_, last)| form::decode(last));
        let name =
            value("download_filename").or(last).filter(|name| !name.is_empty()).unwrap_or("file".into());
        let bytes = Arc::new(format!("This stands for {url}").into_bytes());
        Ok(Upload { id: 0, mime: guess(&name).into(), name, bytes, source: Some(url), expired: false })
    }

    /// Whether the upload should take its time, so that a test can send it twice at once.
    pub fn is_slow(&self) -> bool {
        self.name.starts_with("slow")
    }

    fn url(&self, base: &str) -> String {
        format!("{base}/files/{}/{}", self.id, form::encode(&self.name))
    }

    fn shown(&self, base: &str) -> Value {
        json!({"attachment_url": self.url(base), "name": self.name, "mime_type": self.mime, "bytes": self.bytes.len(),
            "source": self.source, "expired": self.expired})
    }
}

impl Uploads {
    /// Keeps `upload` and answers as Poe does.
    pub fn keep(&mut self, mut upload: Upload, base: &str) -> Value {
        self.total += 1;
        upload.id = self.total;
        let answer = json!({"attachment_url": upload.url(base), "mime_type": upload.mime});
        self.kept.push_back(upload);
        while self.kept.len() > MOST_FILES || self.bytes() > MOST_BYTES && self.kept.len() > 1 {
            self.kept.pop_front();
        }
        answer
    }

    /// The upload at `/files/{id}/…`, if it is still there.
    pub fn get(&self, id: &str) -> Option<&Upload> {
        let id: u64 = id.parse().ok()?;
        self.kept.iter().find(|upload| upload.id == id && !upload.expired)
    }

    /// The first of `urls` that lies here no longer. Links to elsewhere are believed.
    pub fn first_dead<'u>(&self, base: &str, mut urls: impl Iterator<Item = &'u str>) -> Option<&'u str> {
        let files = format!("{base}/files/");
        urls.find(|url| {
            let id = url.strip_prefix(&files).and_then(|rest| rest.split('/').next());
            id.is_some_and(|id| self.get(id).is_none())
        })
    }

    /// Makes all links so far dead, as ten minutes do at Poe.
    pub fn expire(&mut self) {
        self.kept.iter_mut().for_each(|upload| upload.expired = true);
    }

    /// How many are there.
    pub fn count(&self) -> usize {
        self.kept.len()
    }

    /// How many bytes are there.
    pub fn bytes(&self) -> usize {
        self.kept.iter().map(|upload| upload.bytes.len()).sum()
    }

    /// All that are there, oldest first, without their content.
    pub fn shown(&self, base: &str) -> Value {
        self.kept.iter().map(|upload| upload.shown(base)).collect()
    }
}

/// MIME types by the end of a name.
const TYPES: &[(&str, &str)] = &[
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("json", "application/json"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
    ("mp4", "video/mp4"),
];

fn guess(name: &str) -> &'static str {
    let end = name.rsplit_once('.').map_or(String::new(), |(_, end)| end.to_ascii_lowercase());
    TYPES.iter().find(|row| row.0 == end).map_or("application/octet-stream", |row| row.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: &[u8]) -> Upload {
        let field = Field {
            name: "file".into(),
            file_name: Some(name.into()),
            content_type: None,
            bytes: bytes.to_vec(),
        };
        Upload::of_file(field).unwrap_or_else(|reason| panic!("{reason}"))
    }

    fn link(url: &str) -> Result<Upload, String> {
        Upload::read(
            "application/x-www-form-urlencoded",
            format!("download_url={}", form::encode(url)).as_bytes(),
        )
    }

    #[test]
    fn a_file_gets_a_url_and_is_found_under_it() {
        let mut uploads = Uploads::default();
        let answer = uploads.keep(file("my cat.png", b"abc"), "http://poe");
        assert_eq!(
            answer,
            json!({"attachment_url": "http://poe/files/1/my%20cat.png", "mime_type": "image/png"})
        );
        assert_eq!(uploads.get("1").map(|upload| upload.bytes.to_vec()), Some(b"abc".to_vec()));
        assert!(uploads.get("2").is_none());
    }

    #[test]
    fn expired_and_unknown_files_are_dead_and_others_are_not() {
        let mut uploads = Uploads::default();
        uploads.keep(file("a.txt", b""), "http://poe");
        let dead = |uploads: &Uploads, url: &'static str| uploads.first_dead("http://poe", [url].into_iter());
        assert_eq!(dead(&uploads, "http://poe/files/1/a.txt"), None);
        assert_eq!(dead(&uploads, "http://elsewhere/files/9/a.txt"), None);
        assert!(dead(&uploads, "http://poe/files/9/a.txt").is_some());
        uploads.expire();
        assert!(dead(&uploads, "http://poe/files/1/a.txt").is_some());
    }

    #[test]
    fn links_are_believed_but_for_those_that_cannot_be() {
        let upload = link("https://example.com/a%20b.pdf?x=1").unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!((upload.name.as_str(), upload.mime.as_str()), ("a b.pdf", "application/pdf"));
        assert!(
            link("https://gone.invalid/a.png").is_err_and(|reason| reason.starts_with("Failed to download"))
        );
        assert!(link("ftp://example.com/a").is_err());
    }

    #[test]
    fn the_oldest_make_room() {
        let mut uploads = Uploads::default();
        for _ in 0..MOST_FILES + 3 {
            uploads.keep(file("a", b"x"), "");
        }
        assert_eq!((uploads.count(), uploads.total), (MOST_FILES, MOST_FILES as u64 + 3));
        assert!(uploads.get("3").is_none() && uploads.get("4").is_some());
    }
}
