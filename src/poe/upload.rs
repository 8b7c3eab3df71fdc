//! Uploads files to Poe.

use std::io::Read;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::SendBody;

use super::client::{self, MAX_ERROR_BYTES, Poe};
use super::error_classes;
use super::transport::{CancelCheck, cancellable};
use crate::error::{Error, Kind, Result};
use crate::ids::id;
use crate::pipeline::{Attachment, FileSource};

#[derive(Deserialize)]
struct Uploaded {
    attachment_url: String,
    mime_type: Option<String>,
}

impl Poe {
    /// Brings a file to Poe: links are handed over for Poe to fetch, data is sent. What lies there already stays.
    pub fn upload(&self, key: &str, source: &FileSource, cancel: &CancelCheck) -> Result<Attachment> {
        match source {
            FileSource::Attached(attachment) => Ok(attachment.clone()),
            _ => {
                let uploaded = client::with_retry(self.counters(), cancel, || {
                    self.try_upload(key, source, cancel).map_err(|error| error_classes::hide(error, key))
                })?;
                self.counters().add_upload();
                Ok(uploaded)
            }
        }
    }

    /// Whether the host of uploads answers at all. Nothing is uploaded, and no key is sent.
    pub fn reach_upload_host(&self, cancel: &CancelCheck) -> Result<()> {
        let request = self.agent().get(&self.settings().file_upload_url);
        let (response, ended) = cancellable(cancel, self.settings().first_byte_timeout, || request.call());
        client::finished(response, ended).map(drop)
    }

    fn try_upload(&self, key: &str, source: &FileSource, cancel: &CancelCheck) -> Result<Attachment> {
        // unlike everywhere else at Poe, the key stands here without "Bearer"
        let request = self.agent().post(&self.settings().file_upload_url).header("Authorization", key);
        let name = name_of(source);
        let patience = self.settings().first_byte_timeout;
        let (response, ended) = match source {
            FileSource::Link { url, .. } => {
                let form = format!("download_url={}&download_filename={}", escaped(url), escaped(&name));
                let request = request.header("Content-Type", "application/x-www-form-urlencoded");
                cancellable(cancel, patience, || request.send(form.as_bytes()))
            }
            FileSource::Data { bytes, content_type, .. } => {
                let form = Multipart::new(&name, content_type);
                let request = request
                    .header("Content-Type", format!("multipart/form-data; boundary={}", form.boundary))
                    .header("Content-Length", (form.head.len() + bytes.len() + form.tail.len()).to_string());
                // the file is sent without a copy
                let mut body = form.head.as_bytes().chain(bytes.as_slice()).chain(form.tail.as_bytes());
                cancellable(cancel, patience, || request.send(SendBody::from_reader(&mut body)))
            }
            FileSource::Attached(attachment) => return Ok(attachment.clone()),
        };
        let response = client::finished(response, ended)?;
        if response.status() != 200 {
            return Err(failed(&name, self.refusal(response, cancel)));
        }
        let body = self.read(response, MAX_ERROR_BYTES, cancel)?;
        let uploaded = serde_json::from_slice::<Uploaded>(&body).ok();
        let Some(uploaded) = uploaded.filter(|uploaded| !uploaded.attachment_url.is_empty()) else {
            return Err(failed(&name, error_classes::of_body(&body, "the place of a file")));
        };
        Ok(Attachment {
            url: uploaded.attachment_url,
            content_type: uploaded.mime_type.unwrap_or_else(|| type_of(source).to_owned()),
            name,
            inline_ref: None,
        })
    }
}

/// The error of an upload.
fn failed(name: &str, error: Error) -> Error {
    let message = format!("the file `{name}` could not be uploaded: {}", error.message);
    // what is too large here is the file
    let kind = if error.kind == Kind::ContextTooLong { Kind::TooLarge } else { error.kind };
    Error { kind, message, ..error }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn type_of(source: &FileSource) -> &str {
    match source {
        FileSource::Data { content_type, .. } => content_type,
        FileSource::Attached(attachment) => &attachment.content_type,
        FileSource::Link { .. } => "application/octet-stream",
    }
}

/// The name that the client gave, or a sensible one.
fn name_of(source: &FileSource) -> String {
    let (name, fallback) = match source {
        FileSource::Link { url, name } => (name.as_deref(), name_in(url)),
        FileSource::Data { content_type, name, .. } => {
            (name.as_deref(), format!("file.{}", extension(content_type)))
        }
        FileSource::Attached(attachment) => (Some(attachment.name.as_str()), String::new()),
    };
    match name.map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) => name.to_owned(),
        None => fallback,
    }
}

/// The last segment of a URL's path.
fn name_in(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let after_host = path.split_once("://").map_or(path, |(_, rest)| rest);
    match after_host.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => name.to_owned(),
        _ => "file".to_owned(),
    }
}

/// A file name's extension by MIME type: the subtype, unless it is not what files are called.
fn extension(content_type: &str) -> &str {
    const NAMES: &[(&str, &str)] = &[
        ("image/jpeg", "jpg"),
        ("image/svg+xml", "svg"),
        ("audio/mpeg", "mp3"),
        ("audio/x-wav", "wav"),
        ("text/plain", "txt"),
        ("text/markdown", "md"),
        ("application/octet-stream", "bin"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ];
    let known = NAMES.iter().find(|(name, _)| *name == content_type).map(|(_, extension)| *extension);
    let subtype = content_type.split('/').nth(1).unwrap_or("bin");
    let plain = subtype.bytes().all(|byte| byte.is_ascii_alphanumeric());
    known.unwrap_or(if plain { subtype } else { "bin" })
}

/// What stands around a file in a form.
struct Multipart {
    boundary: String,
    head: String,
    tail: String,
}

impl Multipart {
    fn new(name: &str, content_type: &str) -> Multipart {
        let boundary = id("poe2openai");
        // as browsers escape names in forms
        let name = name.replace('\\', "\\\\").replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        let content_type = content_type.replace(['\r', '\n'], " ");
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: {content_type}\r\n\r\n"
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        Multipart { boundary, head, tail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn files_have_sensible_names() {
        let link = |url: &str| name_of(&FileSource::Link { url: url.into(), name: None });
        assert_eq!(link("https://x/a/b.png?c=d/e"), "b.png");
        assert_eq!(link("https://x/"), "file");
        assert_eq!(link("https://x"), "file");
        let data = |content_type: &str, name: Option<&str>| {
            name_of(&FileSource::Data {
                bytes: Arc::default(),
                content_type: content_type.into(),
                name: name.map(Into::into),
            })
        };
        assert_eq!(data("image/jpeg", None), "file.jpg");
        assert_eq!(data("application/pdf", None), "file.pdf");
        assert_eq!(data("application/x-weird+zip", Some(" ")), "file.bin");
        assert_eq!(data("image/png", Some("cat.png")), "cat.png");
    }

    #[test]
    fn a_name_cannot_leave_its_field() {
        let form = Multipart::new("a\"\r\nX: y", "image/png\r\nX: y");
        assert_eq!(form.head.lines().count(), 4, "{}", form.head);
    }
}
