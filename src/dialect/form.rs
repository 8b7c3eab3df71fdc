//! Parses `multipart/form-data` (RFC 7578) from a complete body in memory.
//!
//! Written here because the maintained readers are asynchronous, and because a body in memory needs nothing but its
//! boundaries: no part is copied.

use std::sync::Arc;

use super::files::{content_type_of, sniffed};
use crate::error::{Error, Kind, Result};
use crate::pipeline::FileSource;

/// More fields than this are no request.
const MOST_FIELDS: usize = 128;
/// The most bytes of a part's head.
const MOST_HEAD: usize = 8 << 10;

/// One field of a form.
#[derive(Debug, PartialEq, Eq)]
pub struct Field<'b> {
    /// The field's name.
    pub name: String,
    /// The file's name, if the field is a file.
    pub file_name: Option<String>,
    /// The file's MIME type, if it is given.
    pub content_type: Option<String>,
    /// The field's content.
    pub content: &'b [u8],
}

impl Field<'_> {
    /// The content as text.
    pub fn text(&self) -> Result<&str> {
        let malformed = |_| Error::invalid(&self.name, format!("{} is not valid UTF-8", self.name));
        std::str::from_utf8(self.content).map_err(malformed)
    }

    /// The content as a file, of a type that begins with one of `kinds` where the client says so; else its name decides,
    /// or it is `fallback`. Its first bytes count for more than both.
    pub fn file(&self, kinds: &[&str], fallback: &'static str) -> Result<FileSource> {
        let param = self.name.trim_end_matches("[]");
        if self.content.is_empty() {
            return Err(Error::invalid(param, format!("{param} is an empty file")));
        }
        let is_kind = |said: &String| kinds.iter().any(|kind| said.starts_with(kind));
        let by_name = || self.file_name.as_deref().map_or(fallback, content_type_of).to_owned();
        let said = || self.content_type.clone().filter(is_kind).unwrap_or_else(by_name);
        Ok(FileSource::Data {
            bytes: Arc::new(self.content.to_vec()),
            content_type: sniffed(self.content).map_or_else(said, str::to_owned),
            name: self.file_name.clone(),
        })
    }
}

/// The fields of `body`, by the boundary that its `content_type` names; `None` if it is no form.
pub fn read<'b>(content_type: &str, body: &'b [u8]) -> Option<Result<Vec<Field<'b>>>> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(content_type, "boundary").filter(|boundary| (1..=70).contains(&boundary.len()));
    Some(match boundary {
        Some(boundary) => fields(&boundary, body),
        None => Err(broken("its Content-Type names no boundary")),
    })
}

fn fields<'b>(boundary: &str, body: &'b [u8]) -> Result<Vec<Field<'b>>> {
    let mark = format!("\r\n--{boundary}").into_bytes();
    // the first boundary may be the body's first line, or follow words for people
    let mut rest = match body.strip_prefix(&mark[2..]) {
        Some(rest) => rest,
        None => {
            &body
                [find(body, &mark).ok_or_else(|| broken("its boundary does not occur in it"))? + mark.len()..]
        }
    };
    let mut fields = Vec::new();
    while !rest.starts_with(b"--") {
        if fields.len() == MOST_FIELDS {
            return Err(broken(&format!("it has more than {MOST_FIELDS} fields")));
        }
        let line = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
        let part = rest[line..]
            .strip_prefix(b"\r\n")
            .ok_or_else(|| broken("a boundary is not a line of its own"))?;
        let end = find(part, &mark).ok_or_else(|| broken("its last part does not end"))?;
        fields.push(field(&part[..end])?);
        rest = &part[end + mark.len()..];
    }
    Ok(fields)
}

fn field(part: &[u8]) -> Result<Field<'_>> {
    let window = &part[..part.len().min(MOST_HEAD)];
    let end = find(window, b"\r\n\r\n").ok_or_else(|| broken("a part has no blank line behind its head"))?;
    let head = String::from_utf8_lossy(&part[..end]);
    let header = |wanted: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim().to_owned())
    };
    let disposition =
        header("content-disposition").ok_or_else(|| broken("a part has no Content-Disposition"))?;
    Ok(Field {
        name: parameter(&disposition, "name").ok_or_else(|| broken("a part has no name"))?,
        file_name: parameter(&disposition, "filename").filter(|name| !name.is_empty()),
        content_type: header("content-type"),
        content: &part[end + 4..],
    })
}

/// `name=value` or `name="value"` among a header's parameters; within quotation marks `%22` and `\"` stand for one.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (key, value) = rest.split_once('=')?;
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                let behind = quoted[end + 1..].split_once(';').map(|(_, behind)| behind);
                (quoted[..end].replace("\\\"", "\"").replace("%22", "\""), behind)
            }
            None => match value.split_once(';') {
                Some((value, behind)) => (value.trim().to_owned(), Some(behind)),
                None => (value.trim().to_owned(), None),
            },
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = behind?;
    }
}

fn closing_quote(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    quoted.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = what.first()?;
    let mut from = 0;
    // few bytes of a file are the first of a boundary
    while let Some(at) = bytes[from..].iter().position(|byte| byte == first).map(|found| from + found) {
        if bytes[at..].starts_with(what) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

fn broken(why: &str) -> Error {
    Error::new(Kind::InvalidRequest, format!("the body is not a form: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; charset=utf-8; boundary=\"b;1\"";

    #[test]
    fn fields_and_files_are_read() {
        let body = b"hello\r\n--b;1 \r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na\r\n--b\r\n\r\n--b;1\r\n\
            content-disposition: form-data; filename=\"a;\\\"%22.png\"; name=image\r\nContent-Type: image/png\r\n\r\n\
            \x89PNG\r\n--b;1--\r\n";
        let fields = read(TYPE, body).unwrap().unwrap();
        let prompt =
            Field { name: "prompt".into(), file_name: None, content_type: None, content: b"a\r\n--b\r\n" };
        let image = Field {
            name: "image".into(),
            file_name: Some("a;\"\".png".into()),
            content_type: Some("image/png".into()),
            content: b"\x89PNG",
        };
        assert_eq!(fields, [prompt, image]);
    }

    #[test]
    fn what_is_no_form_is_refused_in_words() {
        assert!(read("application/json", b"{}").is_none());
        for (content_type, body) in [
            ("multipart/form-data", &b"--b\r\n"[..]),
            ("multipart/form-data; boundary=", b"--\r\n"),
            ("multipart/form-data; boundary=b", b""),
            ("multipart/form-data; boundary=b", b"--b"),
            ("multipart/form-data; boundary=b", b"--b\r\n\r\n"),
            ("multipart/form-data; boundary=b", b"--bc\r\n\r\n--b--"),
            ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx"),
            ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"),
            ("multipart/form-data; boundary=b", b"--b\r\nX: y\r\n\r\nx\r\n--b--"),
        ] {
            assert_eq!(read(content_type, body).unwrap().unwrap_err().kind, Kind::InvalidRequest, "{body:?}");
        }
        let many = b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n".repeat(200);
        assert!(read("multipart/form-data; boundary=b", &many).unwrap().is_err());
    }
}
