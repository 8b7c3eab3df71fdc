//! Limits of untrusted JSON (requests and large events of Poe), counted on its bytes before anything is parsed.
//!
//! Parsed JSON takes far more memory than its text: `{"text":""}` is 11 bytes and becomes several hundred. So what makes
//! it costly is counted first, in one pass without recursion, for every endpoint alike. Whether it is valid JSON is the
//! parser's to say.

use crate::error::{Error, Kind, Result};

/// The most bytes of a body outside of its files, which are strings of base64.
const MOST_BYTES: usize = 16 << 20;
/// The most values, names of fields included.
const MOST_NODES: usize = 1_000_000;
/// The most items of a list at the top, such as `messages` or `input`.
const MOST_MESSAGES: usize = 20_000;
/// The most items of a list inside such an item, such as the parts of one message.
const MOST_PARTS: usize = 10_000;
/// The most items of all such lists together.
const MOST_PARTS_IN_ALL: usize = 100_000;
/// The most tools.
const MOST_TOOLS: usize = 2_000;
/// The most lists and objects inside each other: serde_json allows as many.
const DEEPEST: usize = 127;
/// The same for an event of Poe, whose text has the limits of an answer.
const MOST_NODES_OF_EVENT: usize = 50_000;
const DEEPEST_EVENT: usize = 64;
/// A string of base64 is a file from this length on.
const FILE_BYTES: usize = 1024;

/// What a body takes once it is decoded, as measured for all dialects and rounded up: for each value, for each object on
/// top of it, and for each byte of text (held by the parser, the conversation and the query) and of a file (as base64 and
/// decoded).
const NODE_COST: usize = 100;
const OBJECT_COST: usize = 800;
const TEXT_COST: usize = 4;
const FILE_COST: usize = 2;

/// The bytes of memory that `body` takes beside itself while its request is answered. An error names the field that
/// passes a limit.
pub fn check_request(body: &[u8]) -> Result<usize> {
    let start = body.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(body.len());
    match body.get(start) {
        Some(b'{' | b'[') => Scan::new(body, Limits::REQUEST).run(),
        // a form: its files are copied out of it
        _ => Ok(body.len()),
    }
}

/// Checks an event of Poe; `name` is what it is called.
pub fn check_event(name: &[u8], data: &[u8]) -> Result<()> {
    Scan::new(data, Limits::EVENT).run().map(drop).map_err(|error| {
        let name = String::from_utf8_lossy(name);
        Error::new(Kind::Upstream, format!("Poe sent an event `{name}` that is too large: {error}"))
    })
}

/// Replaces escapes of half a surrogate pair, such as `\ud83d` alone, by U+FFFD: strings that were cut in the middle of an
/// emoji, which parsers of JSON refuse. Both escapes have the same length.
pub fn replace_lone_surrogates(body: &mut [u8]) {
    if !matches!(body.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'[')) {
        return; // a form
    }
    let mut at = 0;
    while let Some(length) = body[at..].iter().position(|byte| *byte == b'\\') {
        at += length;
        let is_pair = |first: Option<u16>, second: Option<u16>| {
            matches!((first, second), (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)))
        };
        let first = code_unit(&body[at..]);
        at = match first {
            Some(0xD800..=0xDFFF) if is_pair(first, code_unit(&body[at + ESCAPE..])) => at + 2 * ESCAPE,
            Some(0xD800..=0xDFFF) => {
                body[at..at + ESCAPE].copy_from_slice(b"\\ufffd");
                at + ESCAPE
            }
            // an escaped backslash begins no escape
            _ => (at + 2).min(body.len()),
        };
    }
}

/// The length of `\u0000`.
const ESCAPE: usize = 6;

/// The code unit of the escape at the start of `text`, if it begins with one.
fn code_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)? as u16))
}

struct Limits {
    bytes: usize,
    nodes: usize,
    depth: usize,
    has_lists: bool,
}

impl Limits {
    const REQUEST: Limits = Limits { bytes: MOST_BYTES, nodes: MOST_NODES, depth: DEEPEST, has_lists: true };
    const EVENT: Limits =
        Limits { bytes: usize::MAX, nodes: MOST_NODES_OF_EVENT, depth: DEEPEST_EVENT, has_lists: false };
}

/// A list or an object that is open.
#[derive(Clone, Copy)]
struct Open<'b> {
    is_list: bool,
    items: usize,
    /// The name of the field that is read, quotes excluded.
    name: &'b [u8],
}

struct Scan<'b> {
    body: &'b [u8],
    limits: Limits,
    at: usize,
    open: Vec<Open<'b>>,
    nodes: usize,
    objects: usize,
    parts: usize,
    file_bytes: usize,
}

impl<'b> Scan<'b> {
    fn new(body: &'b [u8], limits: Limits) -> Scan<'b> {
        let open = Vec::with_capacity(limits.depth);
        Scan { body, limits, at: 0, open, nodes: 0, objects: 0, parts: 0, file_bytes: 0 }
    }

    fn run(mut self) -> Result<usize> {
        while let Some(byte) = self.body.get(self.at).copied() {
            self.at += 1;
            match byte {
                b'"' => self.string()?,
                b'{' | b'[' => self.enter(byte == b'[')?,
                b'}' | b']' => drop(self.open.pop()),
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => {}
                _ => self.scalar()?,
            }
        }
        self.weigh_text()?;
        let text = self.body.len() - self.file_bytes;
        Ok(self.nodes * NODE_COST
            + self.objects * OBJECT_COST
            + text * TEXT_COST
            + self.file_bytes * FILE_COST)
    }

    /// A number, `true`, `false` or `null`, or what is no JSON.
    fn scalar(&mut self) -> Result<()> {
        let rest = &self.body[self.at..];
        let is_end = |byte: &u8| b",:]}[{\" \n\r\t".contains(byte);
        self.at += rest.iter().position(is_end).unwrap_or(rest.len());
        self.node()
    }

    fn string(&mut self) -> Result<()> {
        let start = self.at;
        while let Some(length) = self.body[self.at..].iter().position(|byte| matches!(byte, b'"' | b'\\')) {
            self.at += length + 1;
            if self.body[self.at - 1] == b'"' {
                break;
            }
            self.at = (self.at + 1).min(self.body.len());
        }
        let text = &self.body[start..self.at.saturating_sub(1).max(start)];
        if text.len() >= FILE_BYTES && is_base64(text) {
            self.file_bytes += text.len();
        }
        let rest = self.body[self.at..].iter().find(|byte| !byte.is_ascii_whitespace());
        if rest == Some(&b':')
            && let Some(open) = self.open.last_mut()
        {
            open.name = text;
        }
        self.node()
    }

    fn enter(&mut self, is_list: bool) -> Result<()> {
        self.node()?;
        if self.open.len() >= self.limits.depth {
            return Err(self.too_many(format!("is nested deeper than {} levels", self.limits.depth)));
        }
        self.objects += usize::from(!is_list);
        self.open.push(Open { is_list, items: 0, name: b"" });
        Ok(())
    }

    /// Counts a value.
    fn node(&mut self) -> Result<()> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let fault = format!("brings the whole to more than {} values", self.limits.nodes);
            return Err(self.too_many(fault));
        }
        self.weigh_text()?;
        let depth = self.open.len();
        let Some(list) = self.open.last_mut().filter(|open| open.is_list && self.limits.has_lists) else {
            return Ok(());
        };
        list.items += 1;
        let items = list.items;
        let fault = match (depth, self.open[0].is_list, self.open[0].name) {
            (2, false, b"tools" | b"functions") if items > MOST_TOOLS => {
                format!("has more than {MOST_TOOLS} items")
            }
            (2, false, _) if items > MOST_MESSAGES => format!("has more than {MOST_MESSAGES} items"),
            (4 | 6, false, b"messages" | b"input") => {
                self.parts += 1;
                match (items > MOST_PARTS, self.parts > MOST_PARTS_IN_ALL) {
                    (true, _) => format!("has more than {MOST_PARTS} items"),
                    (_, true) => format!("brings the request to more than {MOST_PARTS_IN_ALL} parts"),
                    _ => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        // the list, not its last item
        let field = self.path(depth - 1);
        Err(Error::invalid(&field, format!("{field} {fault}")))
    }

    fn weigh_text(&self) -> Result<()> {
        if self.at.min(self.body.len()) - self.file_bytes <= self.limits.bytes {
            return Ok(());
        }
        let message = format!(
            "the request without its files (base64) is larger than the limit of {} MiB",
            self.limits.bytes >> 20
        );
        let error = Error::new(Kind::TooLarge, message);
        Err(match self.path(self.open.len()) {
            field if field.is_empty() => error,
            field => error.about(field),
        })
    }

    fn too_many(&self, fault: String) -> Error {
        match self.path(self.open.len()) {
            field if field.is_empty() => Error::new(Kind::InvalidRequest, format!("the body {fault}")),
            field => Error::invalid(&field, format!("{field} {fault}")),
        }
    }

    /// The path of the value that is read inside the first `depth` open ones, such as `messages[0].content`. Long names
    /// are left out with what is inside them: they are the client's text.
    fn path(&self, depth: usize) -> String {
        const MOST_LEVELS: usize = 6;
        const MOST_NAME: usize = 64;
        let mut path = String::new();
        for open in self.open.iter().take(depth.min(MOST_LEVELS)) {
            match (open.is_list, std::str::from_utf8(open.name)) {
                (true, _) if open.items > 0 => path.push_str(&format!("[{}]", open.items - 1)),
                (false, Ok(name)) if !name.is_empty() && name.len() <= MOST_NAME => {
                    path.push_str(if path.is_empty() { "" } else { "." });
                    path.push_str(name);
                }
                _ => break,
            }
        }
        path
    }
}

/// Whether `text`, the inside of a JSON string, is a file: base64 of either alphabet, broken into lines or not, with
/// slashes escaped or not, behind `data:…,` or bare.
fn is_base64(text: &[u8]) -> bool {
    const LONGEST_TYPE: usize = 256;
    let data = match text.strip_prefix(b"data:") {
        Some(rest) => match rest.iter().take(LONGEST_TYPE).position(|byte| *byte == b',') {
            Some(comma) => &rest[comma + 1..],
            None => return false,
        },
        None => text,
    };
    let is_fitting = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_\\".contains(byte);
    data.iter().all(is_fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(item: &str, count: usize) -> String {
        format!("[{}]", vec![item; count].join(","))
    }

    fn refused(body: &str) -> (Kind, Option<String>) {
        let error = check_request(body.as_bytes()).expect_err("a limit is passed");
        (error.kind, error.param)
    }

    #[test]
    fn each_limit_names_its_field() {
        let invalid = |param: &str| (Kind::InvalidRequest, Some(param.to_owned()));
        let part = r#"{"type":"text","text":"{[\"}"}"#;
        let rows = [
            (format!(r#"{{"messages":{}}}"#, list("{}", 20_001)), "messages"),
            (format!(r#"{{"model":"x","input":{}}}"#, list("\"a\"", 20_001)), "input"),
            (format!(r#"{{"tools":{}}}"#, list("{}", 2_001)), "tools"),
            (format!(r#"{{"functions":{}}}"#, list("{}", 2_001)), "functions"),
            (
                format!(
                    r#"{{"messages":[{{"role":"a","content":[]}},{{"content":{}}}]}}"#,
                    list(part, 10_001)
                ),
                "messages[1].content",
            ),
            (
                format!(r#"{{"messages":{}}}"#, list(&format!(r#"{{"content":{}}}"#, list(part, 9_000)), 12)),
                "messages[11].content",
            ),
            (format!(r#"{{"a":{{"b":{}}}}}"#, list("1", 1_000_001)), "a.b[999994]"),
        ];
        for (body, param) in &rows {
            assert_eq!(refused(body), invalid(param), "{:.60}", body);
        }
        let deep = format!(r#"{{"a":{}"#, "[".repeat(200));
        assert_eq!(refused(&deep).0, Kind::InvalidRequest);
        assert!(
            check_request(format!(r#"{{"a":{}1{}}}"#, "[".repeat(126), "]".repeat(126)).as_bytes()).is_ok()
        );
        let fits = [
            format!(r#"{{"messages":{}}}"#, list("{}", 20_000)),
            format!(r#"{{"messages":[{{"content":{}}}],"tools":{}}}"#, list(part, 10_000), list("{}", 2_000)),
        ];
        assert!(fits.iter().all(|body| check_request(body.as_bytes()).is_ok()));
    }

    #[test]
    fn text_has_a_limit_of_its_own_and_files_have_none_here() {
        let body = |text: &str| format!(r#"{{"messages":[{{"content":"{text}"}}]}}"#);
        let words = body(&"word ".repeat(4 << 20));
        assert_eq!(refused(&words), (Kind::TooLarge, Some("messages[0].content".to_owned())));
        let escaped = body(&"\\u4f60 ".repeat(4 << 20));
        assert_eq!(refused(&escaped).0, Kind::TooLarge);
        let base64 = "QUJD/+-_".repeat(3 << 20);
        for file in [
            base64.clone(),
            format!("data:image/png;base64,{base64}=="),
            base64.replace('/', "\\/"),
            base64.replace("QUJD", "QUJD\\r\\n"),
        ] {
            assert!(check_request(body(&file).as_bytes()).is_ok(), "{:.40}", file);
        }
        assert_eq!(refused(&body(&format!("data:text/plain,{}", "a b".repeat(8 << 20)))).0, Kind::TooLarge);
    }

    #[test]
    fn small_values_weigh_more_than_their_bytes_and_files_do_not() {
        let small = format!(r#"{{"messages":[{{"content":{}}}]}}"#, list(r#"{"text":""}"#, 10_000));
        assert!(check_request(small.as_bytes()).unwrap() > 50 * small.len());
        let file = format!(r#"{{"file":"{}"}}"#, "QUJD".repeat(1 << 20));
        assert!(check_request(file.as_bytes()).unwrap() < 3 * file.len());
        assert_eq!(check_request(b"--form\r\n").unwrap(), 8);
        assert_eq!(check_request(b"").unwrap(), 0);
    }

    #[test]
    fn an_event_has_limits_of_its_own() {
        let event = |data: String| check_event(b"json", data.as_bytes()).map_err(|error| error.message);
        assert!(event(format!(r#"{{"text":"{}"}}"#, "word ".repeat(6 << 20))).is_ok());
        assert!(event(list("1", 30_000)).is_ok());
        assert!(event(list("1", 60_000)).unwrap_err().contains("`json` that is too large"));
        assert!(event(format!("{}{}", "[".repeat(65), "]".repeat(65))).unwrap_err().contains("64 levels"));
    }

    #[test]
    fn half_a_pair_of_surrogates_is_replaced_and_nothing_else() {
        for (given, expected) in [
            (r#"["\ud83d"]"#, "\u{fffd}"),
            (r#"["a\uD83Db"]"#, "a\u{fffd}b"),
            (r#"["\ude00\ud83d"]"#, "\u{fffd}\u{fffd}"),
            (r#"["\ud83d\ud83d\ude00"]"#, "\u{fffd}\u{1f600}"),
            (r#"["\ud83d\n\ude00"]"#, "\u{fffd}\n\u{fffd}"),
            (r#"["\uD83D\uDE00\u00e4"]"#, "\u{1f600}\u{e4}"),
            (r#"["\\ud83d"]"#, "\\ud83d"),
            (r#"["\\\ud83d"]"#, "\\\u{fffd}"),
            (r#"["\"\ud83d\""]"#, "\"\u{fffd}\""),
        ] {
            let mut body = given.as_bytes().to_vec();
            replace_lone_surrogates(&mut body);
            let read: Vec<String> = serde_json::from_slice(&body).unwrap();
            assert_eq!(read, [expected], "{given}");
        }
        for text in
            [r"{", r#"["\"#, r#"["\u"#, r#"["\ud83"#, r#"["\ud83d"#, r#"["\ud83d\u"#, r"--form \ud83d", ""]
        {
            let mut body = text.as_bytes().to_vec();
            replace_lone_surrogates(&mut body);
            assert_eq!(body.len(), text.len());
        }
    }

    #[test]
    fn whatever_is_no_json_is_left_to_the_parser() {
        for body in [
            "{",
            "[",
            "{\"",
            "{\"a\\",
            "{\"a\\\"",
            "]]]]",
            "{]}[",
            "{\"a\":tru",
            "[1,,2]",
            "{\"\":1",
            "[\"a\":1]",
        ] {
            assert!(check_request(body.as_bytes()).is_ok(), "{body}");
        }
    }
}
