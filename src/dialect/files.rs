//! Decodes files that clients send as links, data URLs or base64, and detects their type.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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

/// A file by its URL. Links are left for Poe to fetch; errors name `path`.
pub fn by_url(path: &str, url: String, name: Option<String>) -> Result<FileSource> {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "https") => Ok(FileSource::Link { url, name }),
        Some("data") => data_url(path, &url, name),
        _ => Err(Error::invalid(path, format!("{path} must be an http, https or data URL"))),
    }
}

/// A file in a URL: `data:image/png;base64,…`
pub fn data_url(path: &str, url: &str, name: Option<String>) -> Result<FileSource> {
    let broken = || Error::invalid(path, format!("{path} is not a base64 data URL"));
    let (head, content) = url["data:".len()..].split_once(',').ok_or_else(broken)?;
    let mut fields = head.split(';');
    let content_type = fields.next().filter(|name| !name.is_empty()).unwrap_or("text/plain").to_owned();
    if !fields.any(|field| field.trim().eq_ignore_ascii_case("base64")) {
        return Err(broken());
    }
    data(path, content, content_type, name)
}

/// A file in base64, white space or not. Its first bytes count for more than `content_type`, where they state.
pub fn data(path: &str, base64: &str, content_type: String, name: Option<String>) -> Result<FileSource> {
    let compact: String;
    let text = match base64.contains(|c: char| c.is_ascii_whitespace()) {
        true => {
            compact = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            &compact
        }
        false => base64,
    };
    let bytes = STANDARD
        .decode(text)
        .map_err(|e| Error::invalid(path, format!("{path} is not valid base64: {e}")))?;
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
            assert!(by_url("p", url.into(), None).is_err(), "{url}");
        }
        assert!(by_url("p", "DATA:;base64,AAEC".into(), None).is_ok());
        assert!(by_url("p", "HTTP://x".into(), None).is_ok());
    }

    #[test]
    fn the_first_bytes_determine_the_type() {
        let typed = |content: &[u8], said: &str| match data("p", &STANDARD.encode(content), said.into(), None)
        {
            Ok(FileSource::Data { content_type, .. }) => content_type,
            other => panic!("{other:?}"),
        };
        assert_eq!(typed(b"\xff\xd8\xff\xe0", "image/png"), "image/jpeg");
        assert_eq!(typed(b"RIFF\0\0\0\0WEBPVP8 ", OCTETS), "image/webp");
        assert_eq!(typed(b"%PDF-1.7", OCTETS), "application/pdf");
        assert_eq!(typed(b"plain", "text/markdown"), "text/markdown");
    }
}
