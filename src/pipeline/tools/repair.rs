//! Parses one JSON or almost-JSON value byte by byte, and writes it as JSON.
//!
//! Understood on top of JSON: raw line breaks and tabs in strings, escapes that JSON does not know, strings in single
//! quotes or in Gemma's `<|"|>`, a trailing comma, names without quotes, Python's `True`, `False` and `None`, and the
//! arguments of a Python call, `(a="x", b=1)`, as an object.

use std::borrow::Cow;

/// Deepest nesting; what lies deeper is no call.
const DEEPEST: usize = 64;
/// Marks that Gemma writes around a string.
const STRING_MARKS: [&str; 2] = ["<|\"|>", "<escape>"];

/// Follows a value to its end. Keeps no text itself.
#[derive(Debug)]
pub struct Value {
    /// Brackets that are open, and whether something stands in them.
    open: Vec<(Bracket, bool)>,
    state: State,
    /// Whether the string or word that is being read names a member.
    is_name: bool,
    words: Words,
    /// Everything before this has been read.
    at: usize,
    /// Where the word begins that is being read.
    from: usize,
}

/// What a bare word means that is none of JSON's or Python's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// Not JSON.
    Refused,
    /// A string, as in Gemma's `{city:Paris}`.
    Strings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Object,
    Array,
    /// Python's `(name=value, …)`.
    Arguments,
    /// Parentheses around one object: `({…})`.
    Around,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value is to come.
    Value,
    /// A value or the end of an array is to come.
    Item,
    /// A name or the closing bracket is to come.
    Name,
    /// What stands between name and value is to come.
    Colon,
    /// A comma or the closing bracket is to come.
    After,
    String(Quote),
    Escape(Quote),
    Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    Double,
    Single,
    /// One of [`STRING_MARKS`].
    Mark(&'static str),
}

/// How far a value has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// More text must come.
    More,
    /// The value ends in front of this byte.
    Whole(usize),
    /// In front of this byte, a `<`, stands a value that lacks nothing but closing brackets.
    Unclosed(usize),
    /// At this byte it is not JSON.
    Bad(usize),
}

/// Where what was read is written to.
trait Out {
    fn put(&mut self, text: &str);
}

impl Out for () {
    fn put(&mut self, _: &str) {}
}

impl Out for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
}

/// Writes `text`, one value that may be almost JSON, as JSON; `None` if it is too far from it. Closing brackets may
/// be missing at its end.
pub fn repaired(text: &str, words: Words) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut value = Value::new(0, words);
    match value.read_into(text, &mut out) {
        Read::Whole(end) if text[end..].trim().is_empty() => Some(out),
        Read::More if value.lacks_only_brackets() => {
            while let Some((bracket, is_filled)) = value.open.pop() {
                out.put(bracket.closing(is_filled));
            }
            Some(out)
        }
        _ => None,
    }
}

impl Value {
    /// A value that begins at `at` with a bracket.
    pub fn new(at: usize, words: Words) -> Value {
        Value { open: Vec::new(), state: State::Value, is_name: false, words, at, from: at }
    }

    /// Reads on in `text`, the whole text so far.
    pub fn read(&mut self, text: &str) -> Read {
        self.read_into(text, &mut ())
    }

    /// Whether what was read lacks nothing but its closing brackets.
    pub fn lacks_only_brackets(&self) -> bool {
        self.state == State::After && !self.open.is_empty()
    }

    fn read_into(&mut self, text: &str, out: &mut impl Out) -> Read {
        while let Some(&byte) = text.as_bytes().get(self.at) {
            let end = match self.state {
                State::String(quote) => self.string(text, quote, out),
                State::Escape(quote) => self.escape(text, quote, out),
                State::Word => self.word(text, out),
                _ if byte.is_ascii_whitespace() => {
                    self.at += 1;
                    None
                }
                _ => self.token(text, byte, out),
            };
            if let Some(read) = end {
                return read;
            }
        }
        Read::More
    }

    /// Reads a bracket, a comma or a colon, or begins a string or word.
    fn token(&mut self, text: &str, byte: u8, out: &mut impl Out) -> Option<Read> {
        let is_value = matches!(self.state, State::Value | State::Item);
        let is_text = (is_value || self.state == State::Name) && !self.open.is_empty();
        match (self.state, byte) {
            (_, b'{' | b'[') if is_value => return self.enter(byte, out),
            (State::Value, b'(') if self.open.is_empty() => return self.enter(byte, out),
            (State::Name, b'{') if self.open == [(Bracket::Arguments, false)] => {
                self.open[0].0 = Bracket::Around; // `({…})`: the parentheses mean nothing
                return self.enter(byte, out);
            }
            (State::Item | State::Name | State::After, b'}' | b']' | b')') => return self.leave(byte, out),
            (State::After, b',') => {
                self.state = match self.open.last() {
                    Some((Bracket::Array, _)) => State::Item,
                    Some((Bracket::Around, _)) | None => return Some(Read::Bad(self.at)),
                    Some(_) => State::Name,
                };
                self.at += 1;
            }
            (State::Colon, b':' | b'=') if byte == b':' || self.in_arguments() => {
                out.put(":");
                self.state = State::Value;
                self.at += 1;
            }
            (_, b'"') if is_text => self.begin(State::String(Quote::Double), 1, out),
            (_, b'\'') if is_text => self.begin(State::String(Quote::Single), 1, out),
            (_, b'<') if is_text => return self.marked(text, out),
            (State::After, b'<') => return Some(Read::Unclosed(self.at)),
            _ if is_text && self.is_word(byte) => self.begin(State::Word, 0, out),
            _ => return Some(Read::Bad(self.at)),
        }
        None
    }

    fn in_arguments(&self) -> bool {
        matches!(self.open.last(), Some((Bracket::Arguments, _)))
    }

    fn is_word(&self, byte: u8) -> bool {
        match self.words {
            Words::Refused => byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte),
            Words::Strings => !b",:=\"'<>()[]{}\n".contains(&byte),
        }
    }

    /// Writes what stands in front of a member: only now is it known that there is one.
    fn member(&mut self, out: &mut impl Out) {
        self.is_name = self.state == State::Name;
        if self.state == State::Value {
            return;
        }
        if let Some((bracket, is_filled)) = self.open.last_mut() {
            match (*bracket, std::mem::replace(is_filled, true)) {
                (Bracket::Around, _) => {}
                (_, true) => out.put(","),
                (Bracket::Arguments, false) => out.put("{"),
                (_, false) => {}
            }
        }
    }

    fn begin(&mut self, state: State, len: usize, out: &mut impl Out) {
        self.member(out);
        if state != State::Word {
            out.put("\"");
        }
        self.from = self.at;
        self.at += len;
        self.state = state;
    }

    /// Begins a string behind one of [`STRING_MARKS`].
    fn marked(&mut self, text: &str, out: &mut impl Out) -> Option<Read> {
        let rest = &text[self.at..];
        if let Some(mark) = STRING_MARKS.into_iter().find(|mark| rest.starts_with(mark)) {
            self.begin(State::String(Quote::Mark(mark)), mark.len(), out);
            return None;
        }
        let may_come = STRING_MARKS.iter().any(|mark| mark.starts_with(rest));
        Some(if may_come { Read::More } else { Read::Bad(self.at) })
    }

    fn enter(&mut self, byte: u8, out: &mut impl Out) -> Option<Read> {
        if self.open.len() == DEEPEST {
            return Some(Read::Bad(self.at));
        }
        self.member(out);
        let (bracket, state, written) = match byte {
            b'{' => (Bracket::Object, State::Name, "{"),
            b'[' => (Bracket::Array, State::Item, "["),
            _ => (Bracket::Arguments, State::Name, ""),
        };
        out.put(written);
        self.open.push((bracket, false));
        self.state = state;
        self.at += 1;
        None
    }

    fn leave(&mut self, byte: u8, out: &mut impl Out) -> Option<Read> {
        match self.open.pop() {
            Some((bracket, is_filled)) if bracket.closes() == byte => out.put(bracket.closing(is_filled)),
            _ => return Some(Read::Bad(self.at)),
        }
        self.at += 1;
        self.state = State::After;
        self.open.is_empty().then_some(Read::Whole(self.at))
    }

    /// The string or word is over.
    fn end(&mut self) {
        self.state = if self.is_name { State::Colon } else { State::After };
    }

    fn string(&mut self, text: &str, quote: Quote, out: &mut impl Out) -> Option<Read> {
        let rest = &text[self.at..];
        let is_special = |byte: u8| match quote {
            Quote::Mark(_) => byte == b'<' || byte == b'"' || byte == b'\\' || byte < b' ',
            _ => byte == b'"' || byte == b'\'' || byte == b'\\' || byte < b' ',
        };
        let len = rest.bytes().position(is_special).unwrap_or(rest.len());
        out.put(&rest[..len]);
        self.at += len;
        let rest = &rest[len..];
        let &byte = rest.as_bytes().first()?;
        let mut taken = 1;
        match (quote, byte) {
            (Quote::Double, b'"') | (Quote::Single, b'\'') => {
                out.put("\"");
                self.end();
            }
            (Quote::Mark(mark), b'<') if rest.starts_with(mark) => {
                out.put("\"");
                self.end();
                taken = mark.len();
            }
            (Quote::Mark(mark), b'<') if mark.starts_with(rest) => return Some(Read::More),
            (Quote::Mark(_), b'\\') => out.put("\\\\"),
            (_, b'\\') => self.state = State::Escape(quote),
            (_, b'"') => out.put("\\\""),
            (_, b'\n') => out.put("\\n"),
            (_, b'\r') => out.put("\\r"),
            (_, b'\t') => out.put("\\t"),
            (_, 0..b' ') => out.put(&format!("\\u{byte:04x}")),
            _ => out.put(&rest[..1]),
        }
        self.at += taken;
        None
    }

    /// Reads what follows a backslash; one that JSON does not know stands for itself.
    fn escape(&mut self, text: &str, quote: Quote, out: &mut impl Out) -> Option<Read> {
        const HEX: usize = 4;
        let rest = &text[self.at..];
        let letter = rest.chars().next()?;
        match letter {
            'u' => {
                let digits = rest.bytes().skip(1).take(HEX).take_while(u8::is_ascii_hexdigit).count();
                if digits == rest.len() - 1 && digits < HEX {
                    return Some(Read::More);
                }
                out.put(if digits == HEX { "\\u" } else { "\\\\u" });
            }
            '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => {
                out.put("\\");
                out.put(&rest[..1]);
            }
            '\'' => out.put("'"),
            '\n' => out.put("\\n"),
            other => {
                out.put("\\\\");
                self.state = State::String(quote);
                if other < ' ' {
                    return None; // a control character, which the string escapes itself
                }
                out.put(&rest[..other.len_utf8()]);
            }
        }
        self.at += letter.len_utf8();
        self.state = State::String(quote);
        None
    }

    fn word(&mut self, text: &str, out: &mut impl Out) -> Option<Read> {
        let rest = &text[self.at..];
        let len = rest.bytes().position(|byte| !self.is_word(byte)).unwrap_or(rest.len());
        self.at += len;
        if self.at == text.len() {
            return None;
        }
        let word = text[self.from..self.at].trim_end();
        let written = match (self.is_name, known(word), self.words) {
            (true, ..) => quoted(word).into(),
            (false, Some(written), _) => written,
            (false, None, Words::Strings) => quoted(word).into(),
            (false, None, Words::Refused) => return Some(Read::Bad(self.from)),
        };
        out.put(&written);
        self.end();
        None
    }
}

impl Bracket {
    fn closes(self) -> u8 {
        match self {
            Bracket::Object => b'}',
            Bracket::Array => b']',
            Bracket::Arguments | Bracket::Around => b')',
        }
    }

    fn closing(self, is_filled: bool) -> &'static str {
        match self {
            Bracket::Object => "}",
            Bracket::Array => "]",
            Bracket::Arguments if is_filled => "}",
            Bracket::Arguments => "{}",
            Bracket::Around => "",
        }
    }
}

/// A bare word as JSON, if it is one of JSON's or Python's.
fn known(word: &str) -> Option<Cow<'_, str>> {
    match word {
        "true" | "True" => return Some("true".into()),
        "false" | "False" => return Some("false".into()),
        "null" | "None" | "undefined" => return Some("null".into()),
        _ => {}
    }
    if serde_json::from_str::<serde_json::Number>(word).is_ok() {
        return Some(word.into());
    }
    let is_number = word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_digit() || b"+-._eE".contains(&byte));
    let number: f64 = is_number.then(|| word.replace('_', "").parse().ok()).flatten()?;
    let is_whole = number.fract() == 0.0 && number.abs() < 9e15;
    Some(if is_whole {
        format!("{number:.0}").into()
    } else {
        serde_json::Value::from(number).to_string().into()
    })
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str, words: Words) -> Option<serde_json::Value> {
        let out = repaired(text, words)?;
        Some(serde_json::from_str(&out).unwrap_or_else(|error| panic!("{text} became {out}: {error}")))
    }

    #[test]
    fn what_is_almost_json_becomes_json() {
        for (desc, text, json) in [
            ("JSON", r#"{"a": [1, {"b": null}], "c": "x"}"#, r#"{"a":[1,{"b":null}],"c":"x"}"#),
            ("raw line breaks and tabs", "{\"a\": \"x\n\ty\r\"}", r#"{"a":"x\n\ty\r"}"#),
            ("other control characters", "{\"a\": \"\u{1}\"}", r#"{"a":"\u0001"}"#),
            ("trailing commas", "{\"a\": [1, 2,], \"b\": {},}", r#"{"a":[1,2],"b":{}}"#),
            ("an escaped apostrophe", r#"{"a": "it\'s"}"#, r#"{"a":"it's"}"#),
            ("a regular expression", r#"{"a": "\d+\."}"#, r#"{"a":"\\d+\\."}"#),
            ("escapes of JSON", r#"{"a": "\"\\\/\n\u00e4"}"#, r#"{"a":"\"\\/\nä"}"#),
            ("an escape that breaks off", r#"{"a": "\u12"}"#, r#"{"a":"\\u12"}"#),
            ("single quotes", r#"{'a': 'say "hi"', 'b': 'it\'s'}"#, r#"{"a":"say \"hi\"","b":"it's"}"#),
            ("an apostrophe in double quotes", r#"{"a": "it's"}"#, r#"{"a":"it's"}"#),
            ("Python's words", "{'a': True, 'b': False, 'c': None}", r#"{"a":true,"b":false,"c":null}"#),
            ("Python's numbers", "[1_000, .5, +3, 2., 1e3]", "[1000,0.5,3,2,1000.0]"),
            ("names without quotes", "{a: 1, b_2: \"x\"}", r#"{"a":1,"b_2":"x"}"#),
            ("missing brackets", r#"{"a": {"b": [1"#, ""),
            ("missing brackets behind a value", r#"{"a": {"b": [1]"#, r#"{"a":{"b":[1]}}"#),
            (
                "Gemma's strings",
                r#"{a:<|"|>say "hi" \d<|"|>,b:[<escape>x<escape>]}"#,
                r#"{"a":"say \"hi\" \\d","b":["x"]}"#,
            ),
            (
                "a Python call",
                "(a='x', b=[1, {'c': None}], d=\"y\")",
                r#"{"a":"x","b":[1,{"c":null}],"d":"y"}"#,
            ),
            ("a Python call without arguments", "( )", "{}"),
            ("a call of an object", "({\"a\": 1})", r#"{"a":1}"#),
            ("a trailing comma in a call", "(a=1,)", r#"{"a":1}"#),
        ] {
            let expected = (!json.is_empty()).then(|| serde_json::from_str(json).unwrap());
            assert_eq!(parsed(text, Words::Refused), expected, "{desc}");
        }
        let gemma = parsed("{city:New York,n:3, on:true,s:<|\"|>1<|\"|>}", Words::Strings);
        assert_eq!(gemma, serde_json::from_str(r#"{"city":"New York","n":3,"on":true,"s":"1"}"#).ok());
    }

    #[test]
    fn what_is_too_far_from_json_is_refused_where_it_errs() {
        for (text, at) in [
            ("{a b}", 3),
            ("{\"a\" 1}", 5),
            ("{\"a\": 1 \"b\": 2}", 8),
            ("[1,,2]", 3),
            ("{,}", 1),
            ("[1}", 2),
            ("{\"a\": <b>}", 6),
            ("{\"a\": Paris}", 6),
            ("(1)", 2),
            ("({\"a\":1}, 2)", 8),
            ("x", 0),
            ("\"x\"", 0),
            ("(a=1]", 4),
            ("{\"a\"=1}", 4),
        ] {
            assert_eq!(Value::new(0, Words::Refused).read(text), Read::Bad(at), "{text}");
        }
        let deep = "[".repeat(DEEPEST + 1);
        assert_eq!(Value::new(0, Words::Refused).read(&deep), Read::Bad(DEEPEST));
        assert_eq!(repaired("{\"a\": \"x", Words::Refused), None);
        assert_eq!(repaired("{\"a\":", Words::Refused), None);
        assert_eq!(repaired("{} {}", Words::Refused), None);
    }

    proptest! {
        #[test]
        fn json_keeps_its_meaning_and_cuts_never_matter(
            text in "(\\{|\\}|\\[|\\]|\\(|\\)|,|:|=|\"|'|\\\\|u00e4|n|a|1|-|\\.5|True|null| |\n|ä|<|<\\|\"\\|>){0,24}",
            words in prop_oneof![Just(Words::Refused), Just(Words::Strings)],
        ) {
            let whole = Value::new(0, words).read(&text);
            let mut value = Value::new(0, words);
            let ends = text.char_indices().map(|(at, letter)| at + letter.len_utf8());
            let read = ends.map(|end| value.read(&text[..end])).find(|read| *read != Read::More);
            prop_assert_eq!(read.unwrap_or(Read::More), whole);
            let out = parsed(&text, words);
            if let (Ok(json), true) = (serde_json::from_str::<serde_json::Value>(&text), text.starts_with(['{', '['])) {
                prop_assert_eq!(out, Some(json));
            }
        }
    }
}
