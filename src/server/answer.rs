//! Complete responses, and the writer of response heads for these and for streams.
//!
//! tiny_http provides the types for versions and statuses. Its own printing of heads supports neither `Connection` nor a 204
//! without a length, so that its bytes would have to be changed after it.

use std::borrow::Cow;
use std::io::{self, Write};

use tiny_http::{HTTPVersion, StatusCode};

use super::head::Head;
use crate::clock;

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
    /// Headers of another server that has answered. Its `x-request-id` takes the place of ours, which is in `request-id`,
    /// too.
    pub passed: Vec<(String, String)>,
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

/// Pictures, sound and video may come from elsewhere because Poe's do; the page asks its user before it loads one.
const FOR_OPERATOR: &[(&str, &str)] = &[
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob: https:; \
         media-src 'self' data: https:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
];

impl Common {
    /// The headers of the answers to the request `id`, for anyone.
    pub fn of(id: impl Into<String>) -> Common {
        Common { id: id.into(), ..Common::default() }
    }

    /// The headers themselves.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let by_audience = match self.audience {
            Audience::Anyone => FOR_ANYONE,
            Audience::Operator => FOR_OPERATOR,
        };
        let ids = ["x-request-id", "request-id"].into_iter().map(|name| (name, self.id.as_str()));
        let is_passed = |name: &str| self.passed.iter().any(|(known, _)| known == name);
        let ids = ids.filter(move |(name, id)| !id.is_empty() && !is_passed(name));
        let passed = self.passed.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        [SERVER].into_iter().chain(by_audience.iter().copied()).chain(ids).chain(passed)
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

    /// An answer of a type that is written in the source.
    pub fn bytes(status: u16, content_type: &'static str, body: Vec<u8>) -> Answer {
        Answer { status, headers: vec![("Content-Type", content_type.to_owned())], body }
    }

    /// A file whose type others say.
    pub fn file(status: u16, content_type: &str, body: Vec<u8>) -> Answer {
        Answer { status, headers: vec![("Content-Type", media_type(content_type).to_owned())], body }
    }

    /// The same answer with another body.
    pub fn with_body(self, body: Vec<u8>) -> Answer {
        Answer { body, ..self }
    }

    /// The same answer with one more header. What cannot stand in a header is left out when it is written.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// The same answer with another status.
    pub fn with_status(self, status: u16) -> Answer {
        Answer { status, ..self }
    }

    /// Its own headers.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The answer on the wire, for the request `head` if one could be read; `close` announces the connection's end.
    pub fn print(self, head: Option<&Head>, common: &Common, close: bool) -> io::Result<Vec<u8>> {
        let is_http11 = head.is_none_or(|head| head.is_http11);
        let has_body = head.is_none_or(|head| head.method != "HEAD") && self.status != 204;
        let mut wire = Vec::with_capacity(512 + self.body.len());
        ResponseHead {
            status: self.status,
            is_http11,
            framing: match self.status {
                204 => Framing::None, // RFC 9110, section 8.6: a 204 has no Content-Length
                _ => Framing::Length(self.body.len()),
            },
            close,
            common,
        }
        .write(self.headers(), &mut wire)?;
        if has_body {
            wire.extend_from_slice(&self.body);
        }
        Ok(wire)
    }
}

/// Status line and headers of any answer, whole or streamed.
pub struct ResponseHead<'a> {
    /// The HTTP status.
    pub status: u16,
    /// HTTP/1.1, as opposed to 1.0.
    pub is_http11: bool,
    /// How the client finds the end of the body.
    pub framing: Framing,
    /// Whether the connection ends after the body.
    pub close: bool,
    /// What every answer to the request carries.
    pub common: &'a Common,
}

/// How the end of a body is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// By its length.
    Length(usize),
    /// By an empty chunk.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

impl ResponseHead<'_> {
    /// Writes the head with these headers, up to and including the blank line. Every value passes [`field_value`].
    pub fn write<'h>(
        &self,
        headers: impl Iterator<Item = (&'h str, &'h str)>,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let version = HTTPVersion(1, u8::from(self.is_http11));
        let status = StatusCode(self.status);
        write!(out, "HTTP/{version} {} {}\r\n", status.0, status.default_reason_phrase())?;
        let mut field = |name: &str, value: &str| write!(out, "{name}: {}\r\n", field_value(value));
        match (self.close || self.framing == Framing::UntilClose, self.is_http11) {
            (true, _) => field("Connection", "close")?,
            (false, false) => field("Connection", "keep-alive")?,
            (false, true) => {}
        }
        field("Date", &clock::http_date(clock::now().as_secs()))?;
        for (name, value) in self.common.headers() {
            field(name, value)?;
        }
        for (name, value) in headers {
            field(name, value)?;
        }
        match self.framing {
            Framing::Length(length) => field("Content-Length", &length.to_string())?,
            Framing::Chunked => field("Transfer-Encoding", "chunked")?,
            Framing::None | Framing::UntilClose => {}
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// The one way by which a text becomes the value of a header: what cannot stand in one is left out.
fn field_value(text: &str) -> Cow<'_, str> {
    let fits = |c: char| c == ' ' || c.is_ascii_graphic();
    match text.chars().all(fits) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.chars().filter(|c| fits(*c)).collect()),
    }
}

/// The `type/subtype` of a content type that others have written, without parameters; `application/octet-stream` for
/// anything else.
fn media_type(text: &str) -> &str {
    let essence = text.split(';').next().unwrap_or_default().trim();
    // RFC 9110, section 5.6.2
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_token = |part: &str| (1..=127).contains(&part.len()) && part.bytes().all(is_token_byte);
    match essence.split_once('/') {
        Some((kind, subtype)) if is_token(kind) && is_token(subtype) => essence,
        _ => "application/octet-stream",
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

    #[test]
    fn no_text_becomes_a_header_of_its_own() {
        let hostile =
            ["a\r\nSet-Cookie: b", "a\nSet-Cookie: b", "a\rSet-Cookie: b", "a\0\u{85}Set-Cookie: b\u{2028}"];
        for text in hostile {
            let answers = [
                Answer::empty(200).header("X-Echo", text),
                Answer::file(200, text, Vec::new()),
                Answer::file(200, &format!("audio/{text}"), Vec::new()),
                Answer::file(200, &format!("audio/mpeg; x={text}"), Vec::new()),
                Answer::empty(200).header("Access-Control-Allow-Headers", text),
            ];
            for answer in answers {
                let wire = printed(answer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", false);
                let names = wire.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
                assert!(names.clone().all(|name| name != "Set-Cookie"), "{wire}");
                assert!(
                    wire.is_ascii() && wire.matches("\r\n").count() == wire.matches('\n').count(),
                    "{wire}"
                );
            }
        }
    }

    #[test]
    fn content_types_of_others_are_two_tokens() {
        for (text, expected) in [
            ("audio/mpeg", "audio/mpeg"),
            ("audio/mpeg; codecs=mp3", "audio/mpeg"),
            (" image/svg+xml ", "image/svg+xml"),
            ("audio/mpeg\r\nSet-Cookie: a=b", "application/octet-stream"),
            ("audio/mpeg Set-Cookie", "application/octet-stream"),
            ("audio/", "application/octet-stream"),
            ("/mpeg", "application/octet-stream"),
            ("audio/x/y", "application/octet-stream"),
            ("audio", "application/octet-stream"),
            ("", "application/octet-stream"),
            ("audio/mpé", "application/octet-stream"),
        ] {
            assert_eq!(media_type(text), expected, "{text:?}");
        }
    }

    #[test]
    fn whole_answers_and_streams_have_the_same_head() {
        let common = Common::of("req_1");
        let head = |framing, close, is_http11| {
            let mut out = Vec::new();
            let head = ResponseHead { status: 200, is_http11, framing, close, common: &common };
            head.write([("Content-Type", "text/plain")].into_iter(), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let whole = head(Framing::Length(5), false, true);
        let streamed = head(Framing::Chunked, false, true);
        assert_eq!(whole.replace("Content-Length: 5", "Transfer-Encoding: chunked"), streamed);
        assert!(
            streamed.starts_with("HTTP/1.1 200 OK\r\nDate: ") && streamed.ends_with("\r\n\r\n"),
            "{streamed}"
        );
        assert!(
            head(Framing::UntilClose, false, false).starts_with("HTTP/1.0 200 OK\r\nConnection: close\r\n")
        );
        assert!(head(Framing::Chunked, true, true).contains("Connection: close\r\n"));
        assert!(head(Framing::Length(0), false, false).contains("Connection: keep-alive\r\n"));
    }
}
