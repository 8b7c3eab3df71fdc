//! Parses request heads: request line and headers by RFC 9110 and 9112, within limits of size and number.

use crate::error::{Error, Kind, Result};

/// The most bytes that a head may have.
pub const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_HEADERS: usize = 100;

/// Request line and headers of one request.
#[derive(Debug, Clone)]
pub struct Head {
    /// `GET`, `POST`, …, as sent.
    pub method: String,
    /// The percent-encoded path, without the query; `*` for a request about the server as a whole.
    pub path: String,
    /// What follows the `?`.
    pub query: Option<String>,
    /// HTTP/1.1, as opposed to 1.0.
    pub is_http11: bool,
    /// How the body is framed.
    pub framing: Framing,
    headers: Vec<(String, Vec<u8>)>,
}

/// How a request's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0 when there is no body.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Head {
    /// The value of the header `name` (case does not matter); `None` if it is absent or not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All values of the header `name`, as the one list that several lines of it mean.
    pub fn list(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.values(name).filter_map(|value| std::str::from_utf8(value).ok()).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// The names of all headers, in lower case.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.headers.iter().map(|(name, _)| name.to_ascii_lowercase())
    }

    /// The value of a header that decides who is let in: `None` if it is absent, and an error if there are several or
    /// it cannot be read. [`Head::header`] would take those for absent, or for the first.
    pub fn sole(&self, name: &str) -> Result<Option<&str>> {
        let mut values = self.values(name);
        let unclear = |_| Error::new(Kind::InvalidRequest, format!("the header {name} cannot be read"));
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => std::str::from_utf8(value).map(Some).map_err(unclear),
            (Some(_), Some(_)) => {
                Err(Error::new(Kind::InvalidRequest, format!("the header {name} occurs more than once")))
            }
        }
    }

    fn values<'h, 'n>(&'h self, name: &'n str) -> impl Iterator<Item = &'h [u8]> + use<'h, 'n> {
        let same = move |field: &&(String, Vec<u8>)| field.0.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|field| field.1.as_slice())
    }

    /// Whether the comma-separated header `name` holds `token`.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    /// Whether the connection may carry another request after this one.
    pub fn keeps_alive(&self) -> bool {
        if self.is_http11 {
            !self.has_token("connection", "close")
        } else {
            self.has_token("connection", "keep-alive")
        }
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.is_http11 && self.has_token("expect", "100-continue")
    }
}

/// Where the head in `bytes` ends: `Ok(None)` while it is not complete. Every line must end in CR LF; `from` is
/// how far an earlier look came.
pub fn end_of_head(bytes: &[u8], from: usize) -> Result<Option<usize>> {
    let mut at = from;
    while let Some(offset) = bytes[at..].iter().position(|&byte| byte == b'\n') {
        let end = at + offset;
        if end == 0 || bytes[end - 1] != b'\r' {
            return Err(malformed("a line of the head does not end in CR LF"));
        }
        if end >= 3 && bytes[end - 3..end] == *b"\r\n\r" {
            return Ok(Some(end + 1));
        }
        at = end + 1;
    }
    if bytes.len() > MAX_HEAD_BYTES {
        return Err(malformed(format!("the head is larger than {MAX_HEAD_BYTES} bytes")));
    }
    Ok(None)
}

/// Reads a whole head.
pub fn parse(bytes: &[u8]) -> Result<Head> {
    if bytes.len() > MAX_HEAD_BYTES {
        return Err(malformed(format!("the head is larger than {MAX_HEAD_BYTES} bytes")));
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(malformed("the head is not complete")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(malformed(format!("more than {MAX_HEADERS} headers")));
        }
        Err(httparse::Error::Version) => {
            return Err(Error::new(Kind::InvalidRequest, "only HTTP/1.0 and HTTP/1.1 are supported"));
        }
        Err(error) => return Err(malformed(error.to_string())),
    }
    let (authority, target) = split_authority(request.path.unwrap_or_default())?;
    if target == "*" && request.method != Some("OPTIONS") {
        return Err(malformed("the request target * is for OPTIONS only"));
    }
    let (path, query) = split_query(target);
    let headers = request.headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect();
    let mut head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        path,
        query,
        is_http11: request.version == Some(1),
        framing: Framing::Length(0),
        headers,
    };
    check_host(&head, authority.as_deref())?;
    head.framing = framing(&head)?;
    Ok(head)
}

/// The authority of a target in the absolute form that proxies use, and the target in origin form.
fn split_authority(target: &str) -> Result<(Option<String>, &str)> {
    let scheme = target.split_once("://").map(|(scheme, _)| scheme).unwrap_or_default();
    let is_absolute = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    if !is_absolute {
        return match target.starts_with('/') || target == "*" {
            true => Ok((None, target)),
            false => Err(malformed("the request target is not a path")),
        };
    }
    let rest = &target[scheme.len() + "://".len()..];
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match path.starts_with('/') {
        true => Ok((Some(authority.to_owned()), path)),
        false if path.is_empty() => Ok((Some(authority.to_owned()), "/")),
        false => Err(malformed("the request target has no path")),
    }
}

fn split_query(target: &str) -> (String, Option<String>) {
    let target = target.split('#').next().unwrap_or_default();
    match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (target.to_owned(), None),
    }
}

/// One Host, and the same as the target's authority if that has one: RFC 9112 lets the target decide, and code that reads
/// the header would see another host.
fn check_host(head: &Head, authority: Option<&str>) -> Result<()> {
    let mut hosts = head.values("host");
    match (head.is_http11, hosts.next(), hosts.next()) {
        (_, _, Some(_)) => Err(malformed("more than one Host header")),
        (true, None, None) => Err(malformed("the Host header is missing")),
        (_, host, None) => match (host, authority) {
            (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority.as_bytes()) => {
                Err(malformed("the Host header differs from the request target"))
            }
            (None, Some(_)) => Err(malformed("the Host header is missing")),
            _ => Ok(()),
        },
    }
}

/// How the body is framed; whatever could be read in two ways is refused (RFC 9112, section 6).
fn framing(head: &Head) -> Result<Framing> {
    let mut lengths = head.values("content-length");
    let mut encodings = head.values("transfer-encoding");
    match (lengths.next(), encodings.next()) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(_), Some(_)) => Err(malformed("Content-Length together with Transfer-Encoding")),
        (Some(value), None) => match (content_length(value), lengths.next()) {
            (_, Some(_)) => Err(malformed("more than one Content-Length")),
            (Some(length), None) => Ok(Framing::Length(length)),
            (None, None) => Err(malformed("Content-Length is not a number")),
        },
        (None, Some(_)) if !head.is_http11 => Err(malformed("Transfer-Encoding in HTTP/1.0")),
        (None, Some(value)) if encodings.next().is_none() && value.eq_ignore_ascii_case(b"chunked") => {
            Ok(Framing::Chunked)
        }
        (None, Some(_)) => {
            Err(Error::new(Kind::NotImplemented, "the only supported transfer encoding is chunked"))
        }
    }
}

fn content_length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

fn malformed(why: impl AsRef<str>) -> Error {
    Error::new(Kind::InvalidRequest, format!("malformed HTTP request: {}", why.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Head> {
        match end_of_head(text.as_bytes(), 0)? {
            Some(end) => parse(&text.as_bytes()[..end]),
            None => Err(malformed("not complete")),
        }
    }

    #[test]
    fn good_heads() {
        let head = read("POST /v1/x?a=b#c HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n").unwrap();
        assert_eq!((head.method.as_str(), head.path.as_str()), ("POST", "/v1/x"));
        assert_eq!(head.query.as_deref(), Some("a=b"));
        assert_eq!(head.framing, Framing::Length(12));
        assert!(head.keeps_alive());
        let head = read("GET HTTP://H:80 HTTP/1.1\r\nHost: h:80\r\n\r\n").unwrap();
        assert_eq!(head.path, "/");
        let head = read("GET http://h/p HTTP/1.1\r\nhost: h\r\nConnection: a, Close\r\n\r\n").unwrap();
        assert_eq!(head.path, "/p");
        assert!(!head.keeps_alive());
        let chunked =
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\nExpect: 100-Continue\r\n\r\n";
        let head = read(chunked).unwrap();
        assert_eq!(head.framing, Framing::Chunked);
        assert!(head.expects_continue());
        assert!(!read("GET / HTTP/1.0\r\n\r\n").unwrap().keeps_alive());
        assert!(read("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap().keeps_alive());
        assert_eq!(read("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").unwrap().path, "*");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let bad = [
            ("bare LF", "GET / HTTP/1.1\nHost: h\n\n"),
            ("bare LF inside", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"),
            ("NUL in a value", "GET / HTTP/1.1\r\nHost: h\0\r\n\r\n"),
            ("NUL in the target", "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"),
            ("space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n"),
            ("folded header", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n"),
            ("no host", "GET / HTTP/1.1\r\n\r\n"),
            ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
            ("two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            ("list of lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n"),
            ("negative length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n"),
            ("signed length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n"),
            ("hex length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\n"),
            ("huge length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
            ("both", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (
                "two encodings",
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            ("chunked in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            ("HTTP/2", "GET / HTTP/2.0\r\nHost: h\r\n\r\n"),
            ("authority form", "GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n"),
            ("authority form of CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"),
            ("absolute form of another host", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"),
            ("absolute form of another port", "GET http://a:1/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("absolute form with a user", "GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n"),
            ("absolute form without a host", "GET http:///x HTTP/1.1\r\nHost: b\r\n\r\n"),
            ("absolute form, Host absent", "GET http://a/ HTTP/1.0\r\n\r\n"),
            ("a query that hides a path", "GET http://a?x=/v1 HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("asterisk for GET", "GET * HTTP/1.1\r\nHost: h\r\n\r\n"),
            ("asterisk with a path", "OPTIONS */x HTTP/1.1\r\nHost: h\r\n\r\n"),
            ("no target", "GET  HTTP/1.1\r\nHost: h\r\n\r\n"),
            ("blank in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"),
            ("bare CR in the target", "GET /a\rb HTTP/1.1\r\nHost: h\r\n\r\n"),
            ("fold right after the request line", "GET / HTTP/1.1\r\n Host: h\r\nHost: h\r\n\r\n"),
            ("blank name", "GET / HTTP/1.1\r\nHost: h\r\n\t: x\r\n\r\n"),
            ("length of nothing", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n"),
            ("length with a blank inside", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1 1\r\n\r\n"),
            ("length with a point", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1.0\r\n\r\n"),
            ("length in other digits", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \u{661}\r\n\r\n"),
            ("empty encoding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n"),
            ("quoted encoding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n"),
            (
                "encoding with a parameter",
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked;a\r\n\r\n",
            ),
            (
                "encoding with a vertical tab",
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
            ),
            ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n"),
        ];
        for (what, text) in bad {
            assert!(read(text).is_err(), "{what}");
        }
    }

    #[test]
    fn only_chunked_is_understood() {
        let error =
            read("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n").unwrap_err();
        assert_eq!(error.kind, Kind::NotImplemented);
    }

    #[test]
    fn limits() {
        let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(MAX_HEADERS));
        assert!(read(&many).unwrap_err().message.contains("headers"));
        let long = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "y".repeat(MAX_HEAD_BYTES));
        assert!(end_of_head(long.as_bytes(), 0).is_err());
    }
}
