//! Parser of server-sent events (WHATWG), from bytes that may be split anywhere.

use crate::error::{Error, Kind, Result};

/// The most bytes that one event may have; memory is bounded by it.
const MAX_EVENT_BYTES: usize = 32 << 20;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The `event:` field; empty when there was none.
    pub name: &'a [u8],
    /// The `data:` lines, joined by LF.
    pub data: &'a [u8],
}

/// Puts events together.
#[derive(Debug, Default)]
pub struct Decoder {
    inbox: Vec<u8>,
    /// How much of `inbox` has been used.
    used: usize,
    /// How much of `inbox` is known to hold no line end.
    searched: usize,
    name: Vec<u8>,
    /// The `data:` lines so far, each with an LF behind it.
    data: Vec<u8>,
    /// The event in `name` and `data` has been handed out.
    dispatched: bool,
    state: State,
}

/// Where the decoder stands between lines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first line, where a byte order mark may stand.
    #[default]
    Start,
    /// At the beginning of a line.
    Line,
    /// After a CR: an LF that follows belongs to it.
    AfterCr,
}

impl Decoder {
    /// Takes bytes from the wire.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        if self.used > 0 {
            self.inbox.drain(..self.used);
            self.searched -= self.used.min(self.searched);
            self.used = 0;
        }
        if self.inbox.len() + self.data.len() + bytes.len() > MAX_EVENT_BYTES {
            return Err(Error::new(Kind::Upstream, "Poe sent an event that is too large"));
        }
        self.inbox.extend_from_slice(bytes);
        Ok(())
    }

    /// The bytes that are held.
    pub fn held(&self) -> usize {
        self.inbox.len() - self.used + self.data.len()
    }

    /// The next whole event.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        if std::mem::take(&mut self.dispatched) {
            self.name.clear();
            self.data.clear();
        }
        while let Some((start, end)) = self.next_line() {
            if start < end {
                self.field(start, end);
            } else if self.data.pop().is_some() || !self.name.is_empty() {
                // the LF after the last line is gone, what is left is the event's data; other than the standard wants,
                // an event with a name and no data is one: `done` needs none
                self.dispatched = true;
                return Some(Frame { name: &self.name, data: &self.data });
            }
        }
        None
    }

    /// The event at the end of a stream that lacks its blank line, if it has the name `name`. What is cut short in an
    /// event that carries something cannot be known.
    pub fn ends_with(&mut self, name: &[u8]) -> bool {
        if !std::mem::take(&mut self.dispatched) {
            // the last line may lack its end
            let end = self.inbox.len();
            if self.used < end && self.next_line().is_none() {
                let start = self.used;
                self.used = end;
                self.field(start, end);
            }
            return self.name == name;
        }
        false
    }

    /// The bounds of the next whole line in `inbox`, without its end.
    fn next_line(&mut self) -> Option<(usize, usize)> {
        self.skip_mark()?;
        if self.state == State::AfterCr {
            if *self.inbox.get(self.used)? == b'\n' {
                self.used += 1;
            }
            self.state = State::Line;
        }
        let from = self.used.max(self.searched);
        let found = self.inbox[from..].iter().position(|&byte| byte == b'\n' || byte == b'\r');
        let Some(offset) = found else {
            self.searched = self.inbox.len();
            return None;
        };
        let (start, end) = (self.used, from + offset);
        self.used = end + 1;
        self.searched = self.used;
        if self.inbox[end] == b'\r' {
            self.state = State::AfterCr;
        }
        Some((start, end))
    }

    /// A byte order mark before the first line is no part of it. `None` while it may still be one.
    fn skip_mark(&mut self) -> Option<()> {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        if self.state == State::Start {
            let head = &self.inbox[..self.inbox.len().min(MARK.len())];
            if head.len() < MARK.len() && MARK.starts_with(head) {
                return None;
            }
            self.used = if head == MARK { MARK.len() } else { 0 };
            self.state = State::Line;
        }
        Some(())
    }

    fn field(&mut self, start: usize, end: usize) {
        let line = &self.inbox[start..end];
        let (name, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[end - start..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            _ => {} // comments, ids, retry times and what may come
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        for piece in pieces {
            decoder.feed(piece).unwrap();
            while let Some(frame) = decoder.next_frame() {
                out.push((text(frame.name), text(frame.data)));
            }
        }
        out
    }

    const STREAMS: &[(&str, &[(&str, &str)])] = &[
        ("event: text\ndata: {\"a\":1}\n\n", &[("text", "{\"a\":1}")]),
        ("event:text\r\ndata:x\r\n\r\nevent: done\r\ndata: {}\r\n\r\n", &[("text", "x"), ("done", "{}")]),
        ("event: a\rdata: x\r\rdata: y\r\r", &[("a", "x"), ("", "y")]),
        ("\u{feff}data: x\n\n", &[("", "x")]),
        (": ping\n\ndata:  two \ndata:lines\n\n", &[("", " two \nlines")]),
        ("event: ping\n\nid: 7\nretry: 1\nunknown\ndata\n\n", &[("ping", ""), ("", "")]),
        ("event: text\ndata: x\n\nevent: done\n\n", &[("text", "x"), ("done", "")]),
        ("data: h\u{e9}\u{1f600}\n\n\n\ndata: \u{4f60}\n\n", &[("", "h\u{e9}\u{1f600}"), ("", "\u{4f60}")]),
        ("event: a\ndata: kept\n\nevent: b\ndata: lost at the end\n", &[("a", "kept")]),
        ("", &[]),
    ];

    #[test]
    fn events_come_out_the_same_however_they_are_cut() {
        for (stream, expected) in STREAMS {
            let expected: Vec<_> = expected.iter().map(|(n, d)| (n.to_string(), d.to_string())).collect();
            let bytes = stream.as_bytes();
            assert_eq!(decode([bytes]), expected, "{stream:?}");
            assert_eq!(decode(bytes.chunks(1)), expected, "{stream:?} byte by byte");
            for cut in 0..=bytes.len() {
                assert_eq!(decode([&bytes[..cut], &bytes[cut..]]), expected, "{stream:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let mut decoder = Decoder::default();
        let piece = vec![b'x'; 1 << 20];
        let fed =
            (0..64).take_while(|_| decoder.feed(&piece).is_ok() && decoder.next_frame().is_none()).count();
        assert!(fed <= MAX_EVENT_BYTES >> 20, "{fed}");
    }

    #[test]
    fn the_last_event_may_lack_its_blank_line() {
        for (stream, expected) in [
            ("event: text\ndata: x\n\nevent: done\ndata: {}\n", true),
            ("event: done\ndata: {}", true),
            ("event: done", true),
            ("data: x\n\n", false),
            ("event: text\ndata: {\"text\":\"event: done", false),
            ("event: done\n\ndata: x", false),
            ("", false),
        ] {
            for cut in 0..=stream.len() {
                let mut decoder = Decoder::default();
                for piece in [&stream[..cut], &stream[cut..]] {
                    decoder.feed(piece.as_bytes()).unwrap();
                    while decoder.next_frame().is_some() {}
                }
                assert_eq!(decoder.ends_with(b"done"), expected, "{stream:?} cut at {cut}");
            }
        }
    }
}
