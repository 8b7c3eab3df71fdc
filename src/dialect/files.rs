//! Decodes files that clients send as links, data URLs or base64, and detects their type.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use crate::error::{Error, Result};
use crate::pipeline::FileSource;

/// Bytes of an unknown type.
pub const OCTETS: &str = "application/octet-stream";

/// The MIME type by a file name's extension.
pub fn content_type_of(name: &str) -> &'static str {
    const TYPES: &[(&str, &str)] = &[
        ("pdf", "application/pdf"),
        ("txt", "text/plain"),
        ("md", "text/markdown"),
        ("csv", "text/csv"),
        ("html", "text/html"),
        ("json", "application/json"),
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("gif", "image/gif"),
        ("webp", "image/webp"),
        ("mp3", "audio/mpeg"),
        ("wav", "audio/wav"),
        ("mp4", "video/mp4"),
        ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ];
    let extension = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    TYPES.iter().find(|(known, _)| *known == extension).map_or(OCTETS, |(_, name)| *name)
}

/// A URL, or a file in base64, as a string of a request. A large file is decoded while the request is read: as text it
/// would take more memory than the file itself.
#[derive(Debug, PartialEq)]
pub enum FileText {
    /// As it came.
    Text(String),
    /// A data URL up to its comma, or nothing, and what the base64 behind it stands for.
    Decoded {
        /// `data:image/png;base64,`
        head: String,
        /// The file.
        bytes: Vec<u8>,
    },
}

/// A shorter string stays as it came.
const LARGE_BYTES: usize = 16 << 10;

impl From<&str> for FileText {
    fn from(text: &str) -> FileText {
        let head = match is_data_url(text) {
            true => text.find(',').map_or("", |comma| &text[..=comma]),
            false => "",
        };
        let decodes = text.len() >= LARGE_BYTES && (head.is_empty() || content_type_in(head).is_some());
        match decodes.then(|| STANDARD.decode(&text[head.len()..])) {
            Some(Ok(bytes)) => FileText::Decoded { head: head.to_owned(), bytes },
            // whatever is wrong with it is reported where its path is known
            _ => FileText::Text(text.to_owned()),
        }
    }
}

impl From<String> for FileText {
    fn from(text: String) -> FileText {
        FileText::Text(text)
    }
}

impl FileText {
    /// The text, as far as it is no file.
    fn head(&self) -> &str {
        match self {
            FileText::Text(text) => text,
            FileText::Decoded { head, .. } => head,
        }
    }

    /// Whether this is a link for Poe to fetch.
    pub fn is_link(&self) -> bool {
        ["http", "https"].iter().any(|scheme| has_scheme(self.head(), scheme))
    }

    /// Whether this is a data URL.
    pub fn is_data_url(&self) -> bool {
        is_data_url(self.head())
    }

    /// The string as it came: it stood where it means no file.
    pub fn into_text(self) -> String {
        match self {
            FileText::Text(text) => text,
            FileText::Decoded { head, bytes } => head + &STANDARD.encode(bytes),
        }
    }
}

impl<'de> Deserialize<'de> for FileText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FileText, D::Error> {
        struct FileTextVisitor;
        impl Visitor<'_> for FileTextVisitor {
            type Value = FileText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E>(self, text: &str) -> Result<FileText, E> {
                Ok(text.into())
            }
        }
        deserializer.deserialize_str(FileTextVisitor)
    }
}

fn has_scheme(url: &str, scheme: &str) -> bool {
    url.split_once(':').is_some_and(|(own, _)| own.eq_ignore_ascii_case(scheme))
}

fn is_data_url(text: &str) -> bool {
    has_scheme(text, "data")
}

/// The MIME type in the head of a base64 data URL.
fn content_type_in(head: &str) -> Option<&str> {
    let mut fields = head["data:".len()..].trim_end_matches(',').split(';');
    let content_type = fields.next().filter(|name| !name.is_empty()).unwrap_or("text/plain");
    fields.any(|field| field.trim().eq_ignore_ascii_case("base64")).then_some(content_type)
}

/// A file by its URL. Links are left for Poe to fetch; errors name `path`.
pub fn by_url(path: &str, url: impl Into<FileText>, name: Option<String>) -> Result<FileSource> {
    match url.into() {
        url if url.is_data_url() => data_url(path, url, name),
        FileText::Text(url) if has_scheme(&url, "http") || has_scheme(&url, "https") => {
            Ok(FileSource::Link { url, name })
        }
        _ => Err(Error::invalid(path, format!("{path} must be an http, https or data URL"))),
    }
}

/// A file in a URL: `data:image/png;base64,…`
pub fn data_url(path: &str, url: FileText, name: Option<String>) -> Result<FileSource> {
    let broken = || Error::invalid(path, format!("{path} is not a base64 data URL"));
    match url {
        FileText::Decoded { head, bytes } => {
            file(path, bytes, content_type_in(&head).ok_or_else(broken)?.to_owned(), name)
        }
        FileText::Text(url) => {
            let (head, content) = url.split_once(',').ok_or_else(broken)?;
            let content_type = content_type_in(head).ok_or_else(broken)?.to_owned();
            file(path, decoded(path, content)?, content_type, name)
        }
    }
}

/// A file in base64, white space or not. Its first bytes count for more than `content_type`, where they state.
pub fn data(path: &str, base64: FileText, content_type: String, name: Option<String>) -> Result<FileSource> {
    match base64 {
        FileText::Decoded { head, bytes } if head.is_empty() => file(path, bytes, content_type, name),
        text => file(path, decoded(path, &text.into_text())?, content_type, name),
    }
}

fn decoded(path: &str, base64: &str) -> Result<Vec<u8>> {
    let compact: String;
    let text = match base64.contains(|c: char| c.is_ascii_whitespace()) {
        true => {
            compact = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            &compact
        }
        false => base64,
    };
    STANDARD.decode(text).map_err(|e| Error::invalid(path, format!("{path} is not valid base64: {e}")))
}

fn file(path: &str, bytes: Vec<u8>, content_type: String, name: Option<String>) -> Result<FileSource> {
    if bytes.is_empty() {
        return Err(Error::invalid(path, format!("{path} is an empty file")));
    }
    let content_type = sniffed(&bytes).map_or(content_type, str::to_owned);
    Ok(FileSource::Data { bytes: Arc::new(bytes), content_type, name })
}

/// The type that a file's first bytes show, for those kinds that clients most often name wrongly.
pub fn sniffed(bytes: &[u8]) -> Option<&'static str> {
    const MARKS: &[(&[u8], &str)] = &[
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"%PDF-", "application/pdf"),
    ];
    let is_webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    let marked = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)).map(|(_, name)| *name);
    marked.or(is_webp.then_some("image/webp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_ends_with_a_colon() {
        for url in ["data", "http", "https", "DATA", "", "ftp://x", "x"] {
            assert!(by_url("p", url, None).is_err(), "{url}");
        }
        assert!(by_url("p", "DATA:;base64,AAEC", None).is_ok());
        assert!(by_url("p", "HTTP://x", None).is_ok());
    }

    #[test]
    fn a_large_file_is_the_same_file_and_a_large_text_the_same_text() {
        let content: Vec<u8> = (0..LARGE_BYTES).map(|byte| byte as u8).collect();
        for (head, is_url) in [("", false), ("data:text/csv;base64,", true), ("Data:;x=y;Base64,", true)] {
            for long in [false, true] {
                let content = if long { &content[..] } else { &content[..9] };
                let text = format!("{head}{}", STANDARD.encode(content));
                let read = || serde_json::from_value::<FileText>(text.as_str().into()).unwrap();
                assert_eq!(matches!(read(), FileText::Decoded { .. }), long);
                assert_eq!((read().is_data_url(), read().is_link()), (is_url, false));
                assert_eq!(read().into_text(), text);
                let found = match is_url {
                    true => data_url("p", read(), None),
                    false => data("p", read(), "text/csv".into(), None),
                };
                let Ok(FileSource::Data { bytes, content_type, .. }) = found else { panic!("{found:?}") };
                let expected = if head.starts_with("Data") { "text/plain" } else { "text/csv" };
                assert_eq!((bytes.as_slice(), content_type.as_str()), (content, expected));
            }
        }
        let long = "a".repeat(LARGE_BYTES);
        for text in [long.clone() + "=", long.clone() + " ", format!("data:,{long}"), format!("http:{long}")]
        {
            assert_eq!(FileText::from(text.as_str()), FileText::Text(text));
        }
        let error = data("p", format!("{long}!").as_str().into(), OCTETS.into(), None).unwrap_err();
        assert!(error.message.starts_with("p is not valid base64"), "{error}");
        // as a data URL it would be another file
        let url = format!("data:;base64,{long}");
        assert!(data("p", url.as_str().into(), OCTETS.into(), None).is_err());
    }

    #[test]
    fn the_first_bytes_determine_the_type() {
        let typed = |content: &[u8], said: &str| match data(
            "p",
            STANDARD.encode(content).into(),
            said.into(),
            None,
        ) {
            Ok(FileSource::Data { content_type, .. }) => content_type,
            other => panic!("{other:?}"),
        };
        assert_eq!(typed(b"\xff\xd8\xff\xe0", "image/png"), "image/jpeg");
        assert_eq!(typed(b"RIFF\0\0\0\0WEBPVP8 ", OCTETS), "image/webp");
        assert_eq!(typed(b"%PDF-1.7", OCTETS), "application/pdf");
        assert_eq!(typed(b"plain", "text/markdown"), "text/markdown");
    }
}
