//! Reads request bodies, by length or chunked, within limits of size and time.

use std::io;
use std::time::{Duration, Instant};

use super::head::Framing;
use crate::budget::Reservation;
use crate::error::{Error, Kind, Result};
use crate::json_limits;

/// A body may pause for its grace in all and must otherwise keep to this rate, in bytes per second: slow lines pass, a
/// drip does not.
const MIN_RATE: u64 = 8 << 10;
/// The most bytes that a chunk's size line or all trailers may have.
const MAX_CHUNK_LINE: usize = 256;
const MAX_TRAILERS: usize = 8 << 10;
/// The most bytes of size lines: so many, and so many for each byte of the body. Chunks of one byte pass, chunks of one
/// byte with long extensions do not.
const MAX_OVERHEAD: u64 = 64 << 10;
const OVERHEAD_PER_BYTE: u64 = 16;

/// The moment at which a body must be given up. Each byte puts it off, but never further than the grace from now: a client
/// that was fast cannot drip for as long as it was ahead.
#[derive(Debug)]
pub struct Deadline {
    at: Instant,
    grace: Duration,
}

impl Deadline {
    /// For a body that begins `now`.
    pub fn new(now: Instant, grace: Duration) -> Deadline {
        Deadline { at: now + grace, grace }
    }

    /// The moment itself.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// So many bytes have come by `now`.
    pub fn put_off(&mut self, now: Instant, bytes: usize) {
        let time = Duration::from_millis((bytes as u64).saturating_mul(1000) / MIN_RATE);
        self.at = (self.at + time).min(now + self.grace);
    }
}

/// The most bytes of a body, and the setting that says so, if one does.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// The number of bytes.
    pub bytes: u64,
    /// The setting that the error names.
    pub setting: Option<&'static str>,
}

impl From<u64> for Limit {
    fn from(bytes: u64) -> Limit {
        Limit { bytes, setting: None }
    }
}

/// Puts a body together from the bytes that arrive. Memory grows with what has arrived, not with what was announced.
#[derive(Debug)]
pub struct Decoder {
    framing: State,
    limit: Limit,
    /// Bytes of chunk size lines so far.
    overhead: u64,
    body: Vec<u8>,
    /// Covers `body`.
    memory: Reservation,
}

#[derive(Debug)]
enum State {
    Length(u64),
    ChunkSize(Vec<u8>),
    ChunkData(u64),
    ChunkEnd { seen_cr: bool },
    Trailers { line: Vec<u8>, total: usize },
    Done,
}

impl Decoder {
    /// A decoder for a body of at most `limit` bytes; one announced larger is refused here, before a byte is read.
    pub fn new(framing: Framing, limit: impl Into<Limit>) -> Result<Decoder> {
        let limit = limit.into();
        let framing = match framing {
            Framing::Length(length) if length > limit.bytes => return Err(too_large(limit)),
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize(Vec::new()),
        };
        let memory = Reservation::default();
        Ok(Decoder { framing, limit, overhead: 0, body: Vec::new(), memory })
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        matches!(self.framing, State::Done)
    }

    /// The complete body, and the memory that is reserved for it and for what is made of it. An error is a limit that
    /// the body passes.
    pub fn finish(mut self) -> Result<(Vec<u8>, Reservation)> {
        let decoded = json_limits::check_request(&self.body)?;
        self.memory.cover_request(self.body.len().saturating_add(decoded))?;
        json_limits::replace_lone_surrogates(&mut self.body);
        Ok((self.body, self.memory))
    }

    /// Takes bytes from the wire and says how many of them belong to this body.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        while used < bytes.len() && !self.is_done() {
            used += self.step(&bytes[used..])?;
        }
        Ok(used)
    }

    fn step(&mut self, bytes: &[u8]) -> Result<usize> {
        match &mut self.framing {
            State::Length(left) | State::ChunkData(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                self.memory.cover_request(self.body.len() + take)?;
                self.body.extend_from_slice(&bytes[..take]);
                *left -= take as u64;
                if *left == 0 {
                    self.framing = match self.framing {
                        State::Length(_) => State::Done,
                        _ => State::ChunkEnd { seen_cr: false },
                    };
                }
                return Ok(take);
            }
            State::ChunkSize(line) => {
                if push_to_line(line, bytes[0])? {
                    let size = chunk_size(line)?;
                    if self.body.len() as u64 + size > self.limit.bytes {
                        return Err(too_large(self.limit));
                    }
                    self.overhead += line.len() as u64;
                    if self.overhead > MAX_OVERHEAD + OVERHEAD_PER_BYTE * self.body.len() as u64 {
                        return Err(bad_chunk());
                    }
                    self.framing = match size {
                        0 => State::Trailers { line: Vec::new(), total: 0 },
                        size => State::ChunkData(size),
                    };
                } else if line.len() > MAX_CHUNK_LINE {
                    return Err(bad_chunk());
                }
            }
            State::ChunkEnd { seen_cr } => match (*seen_cr, bytes[0]) {
                (false, b'\r') => *seen_cr = true,
                (true, b'\n') => self.framing = State::ChunkSize(Vec::new()),
                _ => return Err(bad_chunk()),
            },
            State::Trailers { line, total } => {
                *total += 1;
                if *total > MAX_TRAILERS {
                    return Err(bad_chunk());
                }
                if push_to_line(line, bytes[0])? {
                    match line.is_empty() {
                        true => self.framing = State::Done,
                        false if is_field_line(line) => line.clear(),
                        false => return Err(bad_chunk()),
                    }
                }
            }
            State::Done => {}
        }
        Ok(1)
    }
}

/// Appends `byte` to a line of the framing; true when the line is complete, without its CR LF. A CR or an LF on its own
/// ends a line for some parsers and not for others, so it is an error.
fn push_to_line(line: &mut Vec<u8>, byte: u8) -> Result<bool> {
    match (line.last() == Some(&b'\r'), byte) {
        (true, b'\n') => {
            line.pop();
            return Ok(true);
        }
        (true, _) | (false, b'\n') => return Err(bad_chunk()),
        (false, b'\r') => {}
        (false, byte) if !is_text(byte) => return Err(bad_chunk()),
        (false, _) => {}
    }
    line.push(byte);
    Ok(false)
}

/// Whether `byte` may stand in a field value or a chunk extension (RFC 9110, section 5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// The size in a chunk's first line. Extensions are skipped; anything else after the digits is an error.
fn chunk_size(line: &[u8]) -> Result<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    let extension = rest.trim_ascii_start();
    if !(1..=15).contains(&digits.len()) || !(rest.is_empty() || extension.starts_with(b";")) {
        return Err(bad_chunk());
    }
    let digits = std::str::from_utf8(digits).map_err(|_| bad_chunk())?;
    u64::from_str_radix(digits, 16).map_err(|_| bad_chunk())
}

/// Whether `line` is `name: value`. A line that begins with a blank would continue the one before it (obs-fold).
fn is_field_line(line: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    match line.iter().position(|&byte| byte == b':') {
        None | Some(0) => false,
        Some(colon) => line[..colon].iter().all(is_token),
    }
}

fn bad_chunk() -> Error {
    Error::new(Kind::InvalidRequest, "malformed HTTP request: the chunked body is not framed correctly")
}

fn too_large(limit: Limit) -> Error {
    let bytes = limit.bytes;
    let message = match limit.setting {
        Some(name) => format!("the request body is larger than {name} allows ({bytes} bytes)"),
        None => format!("the request body is larger than the limit of {bytes} bytes"),
    };
    Error::new(Kind::TooLarge, message)
}

/// The error for a body that stopped arriving.
pub fn broken(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Error::new(Kind::RequestTimeout, "the request body arrived too slowly")
        }
        _ => Error::new(Kind::InvalidRequest, "the request body ended early"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `wire` in pieces of `step` bytes; gives the body and how many bytes were left over.
    fn decode(framing: Framing, limit: u64, wire: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>> {
        let mut decoder = Decoder::new(framing, limit)?;
        let mut used = 0;
        for piece in wire.chunks(step) {
            used += decoder.push(piece)?;
        }
        let left = wire.len() - used;
        Ok(decoder.is_done().then(|| (decoder.finish().unwrap().0, left)))
    }

    #[test]
    fn bodies_come_out_the_same_however_they_are_cut() {
        let chunked = b"4\r\nWiki\r\n6;x=\"y\"\r\npedia \r\n0\r\nTrailer: a\r\n\r\nGET /";
        for step in 1..chunked.len() {
            let (body, left) = decode(Framing::Chunked, 100, chunked, step).unwrap().unwrap();
            assert_eq!((body.as_slice(), left), (&b"Wikipedia "[..], 5), "{step}");
            let (body, left) = decode(Framing::Length(3), 3, b"abcdef", step).unwrap().unwrap();
            assert_eq!((body.as_slice(), left), (&b"abc"[..], 3));
        }
        assert_eq!(decode(Framing::Length(4), 9, b"abc", 1).unwrap(), None, "not complete");
        assert_eq!(decode(Framing::Chunked, 9, b"0\r\n\r\n", 1).unwrap(), Some((vec![], 0)));
    }

    #[test]
    fn bad_chunks_are_refused() {
        let bad = [
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            "\r\n",
            "1\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1 2\r\n",
            "ffffffffffffffff\r\n",
            "1\r\na\r\n0\r\nT: x\n\r\n",
            "0\r\n\rx",
            "1;a\rb\r\n",
            "1;a\r\r\n",
            "1;a\0\r\n",
            "1;a\x7f\r\n",
            "1\0\r\n",
            "1 \r\n",
            "1\t\r\n",
            "\t1\r\n",
            "1,\r\n",
            "1\x0b;a\r\n",
            "1_0\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\n: no name\r\n\r\n",
            "0\r\nT : blank before the colon\r\n\r\n",
            "0\r\nT: x\r\n folded\r\n\r\n",
            "0\r\n\tfolded: too\r\n\r\n",
            "0\r\nT: a\rb\r\n\r\n",
            "0\r\nT: a\0b\r\n\r\n",
            "0\r\nT\u{e9}: x\r\n\r\n",
            "0\r\nT: x\r\n\n",
        ];
        for wire in bad {
            assert!(decode(Framing::Chunked, 1 << 20, wire.as_bytes(), 1).is_err(), "{wire:?}");
        }
        let endless = "1".repeat(MAX_CHUNK_LINE + 2);
        assert!(decode(Framing::Chunked, 100, endless.as_bytes(), 64).is_err());
        let trailers = format!("0\r\n{}", "T: x\r\n".repeat(MAX_TRAILERS));
        assert!(decode(Framing::Chunked, 100, trailers.as_bytes(), 64).is_err());
        let padded = format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(1000);
        assert!(decode(Framing::Chunked, 1 << 20, padded.as_bytes(), 64).is_err(), "200 bytes for each byte");
    }

    #[test]
    fn whatever_the_grammar_allows_is_accepted() {
        let good = [
            "0005\r\nhello\r\n0\r\n\r\n",
            "5 ; a = \"b\\\"\u{e9}\" ;c\r\nhello\r\n000\r\nA:\r\nB!#$: x:y\t\u{e9}\r\n\r\n",
        ];
        for wire in good {
            let decoded = decode(Framing::Chunked, 100, wire.as_bytes(), 1).unwrap();
            assert_eq!(decoded, Some((b"hello".to_vec(), 0)), "{wire:?}");
        }
        let bytewise = "1\r\na\r\n".repeat(100_000) + "0\r\n\r\n";
        assert_eq!(
            decode(Framing::Chunked, 1 << 20, bytewise.as_bytes(), 4096).unwrap().unwrap().0.len(),
            100_000
        );
    }

    #[test]
    fn the_limit_holds_before_anything_is_kept() {
        assert_eq!(Decoder::new(Framing::Length(99_999_999_999_999), 10).unwrap_err().kind, Kind::TooLarge);
        let error = decode(Framing::Chunked, 10, b"b\r\nhello world\r\n", 1).unwrap_err();
        assert_eq!(error.kind, Kind::TooLarge);
        let decoder = Decoder::new(Framing::Length(1 << 30), 1 << 30).unwrap();
        assert_eq!(decoder.body.capacity(), 0);
    }

    #[test]
    fn a_drip_runs_into_the_deadline_and_a_slow_line_does_not() {
        let (start, grace) = (Instant::now(), Duration::from_secs(30));
        let after = |seconds| start + Duration::from_secs(seconds);
        // so many bytes each second, from the second `from` on; when it was given up
        let end = |deadline: &mut Deadline, from: u64, bytes: usize| {
            (from..3600).find(|second| {
                let is_over = deadline.at() <= after(*second);
                deadline.put_off(after(*second), bytes);
                is_over
            })
        };
        let mut deadline = Deadline::new(start, grace);
        assert!(end(&mut deadline, 0, 1).is_some_and(|second| second < 40), "one byte a second");
        let mut deadline = Deadline::new(start, grace);
        assert_eq!(end(&mut deadline, 0, 16 << 10), None, "16 KiB a second for an hour");
        let mut deadline = Deadline::new(start, grace);
        deadline.put_off(start, 512 << 20);
        assert!(end(&mut deadline, 0, 1).is_some_and(|second| second < 40), "512 MiB at once, then a drip");
    }
}
