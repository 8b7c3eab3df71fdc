//! A whole answer and its bytes. tiny_http prints status line, date and length.

use std::io;

use tiny_http::{HTTPVersion, Header, Response, StatusCode};

use super::head::Head;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// What every answer to one request carries, streams included.
#[derive(Debug, Clone, Default)]
pub struct Common {
    /// The request's id: OpenAI's clients look for it in `x-request-id`, Anthropic's in `request-id`.
    pub id: String,
    /// Who may read the answers.
    pub audience: Audience,
}

/// Who may read an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Audience {
    /// Any program, and any web page: keys travel in headers, so a page has only what its user gave it.
    #[default]
    Anyone,
    /// The operator and the operator's own page. Browsers add the password by themselves, so other pages must see nothing.
    Operator,
}

const SERVER: (&str, &str) = ("Server", concat!("poe2openai/", env!("CARGO_PKG_VERSION")));

const FOR_ANYONE: &[(&str, &str)] =
    &[("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "*")];

/// Pictures may come from elsewhere because Poe's do; the page asks its user before it shows one.
const FOR_OPERATOR: &[(&str, &str)] = &[
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob: https:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
];

impl Common {
    /// The headers of the answers to the request `id`, for anyone.
    pub fn of(id: impl Into<String>) -> Common {
        Common { id: id.into(), audience: Audience::Anyone }
    }

    /// The headers themselves.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let by_audience = match self.audience {
            Audience::Anyone => FOR_ANYONE,
            Audience::Operator => FOR_OPERATOR,
        };
        let ids = ["x-request-id", "request-id"].into_iter().map(|name| (name, self.id.as_str()));
        let ids = ids.filter(|(_, id)| !id.is_empty());
        [SERVER].into_iter().chain(by_audience.iter().copied()).chain(ids)
    }
}

impl Answer {
    /// An answer without a body.
    pub fn empty(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A JSON answer.
    pub fn json(status: u16, body: Vec<u8>) -> Answer {
        let headers = vec![("Content-Type", "application/json".to_owned())];
        Answer { status, headers, body }
    }

    /// A plain-text answer.
    pub fn text(status: u16, body: &str) -> Answer {
        Answer::bytes(status, "text/plain; charset=utf-8", body.as_bytes().to_vec())
    }

    /// An answer of any type.
    pub fn bytes(status: u16, content_type: &str, body: Vec<u8>) -> Answer {
        Answer { status, headers: vec![("Content-Type", content_type.to_owned())], body }
    }

    /// The same answer with another status and body.
    pub fn with(self, status: u16, body: Vec<u8>) -> Answer {
        Answer { status, body, ..self }
    }

    /// The same answer with one more header. What cannot stand in a header is left out of `value`.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        let mut value = value.into();
        value.retain(|c| c.is_ascii() && !c.is_ascii_control());
        self.headers.push((name, value));
        self
    }

    /// The answer on the wire, for the request `head` if one could be read; `close` announces the connection's end.
    pub fn print(self, head: Option<&Head>, common: &Common, close: bool) -> io::Result<Vec<u8>> {
        let version = match head.is_some_and(|head| !head.is_http11) {
            true => HTTPVersion(1, 0),
            false => HTTPVersion(1, 1),
        };
        let without_body = head.is_some_and(|head| head.method == "HEAD");
        let length = self.body.len();
        let headers = common
            .headers()
            .map(|(name, value)| (name, value.to_owned()))
            .chain(self.headers)
            .filter_map(|(name, value)| Header::from_bytes(name, value).ok())
            .collect();
        let mut wire = Vec::with_capacity(512 + length);
        Response::new(StatusCode(self.status), headers, self.body.as_slice(), Some(length), None)
            .with_chunked_threshold(usize::MAX)
            .raw_print(&mut wire, version, &[], without_body, None)?;
        if self.status == 204 {
            remove(&mut wire, b"Content-Length: 0\r\n"); // RFC 9110: a 204 has none
        }
        let connection = match (close, head.is_some_and(|head| !head.is_http11)) {
            (true, _) => "Connection: close\r\n",
            (false, true) => "Connection: keep-alive\r\n",
            (false, false) => return Ok(wire),
        };
        // tiny_http does not let its callers set this header
        let at = wire.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        wire.splice(at..at, connection.bytes());
        Ok(wire)
    }
}

fn remove(wire: &mut Vec<u8>, line: &[u8]) {
    if let Some(at) = wire.windows(line.len()).position(|window| window == line) {
        wire.drain(at..at + line.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::head;

    fn printed(answer: Answer, request: &str, close: bool) -> String {
        let head = head::parse(request.as_bytes()).unwrap();
        String::from_utf8(answer.print(Some(&head), &Common::of("req_1"), close).unwrap()).unwrap()
    }

    #[test]
    fn status_length_and_body() {
        let wire = printed(Answer::text(200, "hello"), "GET / HTTP/1.1\r\nHost: h\r\n\r\n", false);
        assert!(wire.starts_with("HTTP/1.1 200 OK\r\n"), "{wire}");
        assert!(wire.contains("\r\nContent-Length: 5\r\n"), "{wire}");
        assert!(wire.contains("\r\nAccess-Control-Allow-Origin: *\r\n"), "{wire}");
        assert!(wire.contains("\r\nDate: "), "{wire}");
        assert!(wire.contains("\r\nx-request-id: req_1\r\nrequest-id: req_1\r\n"), "{wire}");
        assert!(!wire.contains("Connection:"), "{wire}");
        assert!(wire.ends_with("\r\n\r\nhello"), "{wire}");
    }

    #[test]
    fn what_is_for_the_operator_is_for_no_other_page() {
        let common = Common { audience: Audience::Operator, ..Common::default() };
        let headers: Vec<_> = common.headers().map(|(name, _)| name).collect();
        assert!(headers.contains(&"Content-Security-Policy") && headers.contains(&"Cache-Control"));
        assert!(headers.iter().all(|name| !name.starts_with("Access-Control")), "{headers:?}");
    }

    #[test]
    fn heads_have_no_body_and_closing_is_said() {
        let wire = printed(Answer::text(404, "hello"), "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", true);
        assert!(wire.starts_with("HTTP/1.1 404 Not Found\r\nConnection: close\r\n"), "{wire}");
        assert!(wire.contains("Content-Length: 5\r\n") && wire.ends_with("\r\n\r\n"), "{wire}");
        let wire = printed(Answer::empty(204), "OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n", false);
        assert!(!wire.contains("Content-Length"), "{wire}");
        let wire = printed(Answer::text(200, "x"), "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false);
        assert!(wire.starts_with("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"), "{wire}");
    }

    #[test]
    fn a_header_cannot_end_the_head() {
        let answer = Answer::empty(200).header("X-Echo", "a\r\nSet-Cookie: b");
        let wire = printed(answer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", false);
        assert!(wire.contains("X-Echo: aSet-Cookie: b\r\n"), "{wire}");
    }
}
