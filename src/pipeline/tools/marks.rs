//! Parses one mark of the markup of calls, from text that may break off inside it.
//!
//! A mark is a tag (`<invoke name="f">`, `</invoke>`, `<function=f>`), a special token (`<|tool_call_end|>`, with ASCII
//! or full-width bars) or a word in brackets (`[TOOL_CALLS]`).

use std::borrow::Cow;

use super::grammars::{DSML, FENCE, LITERALS, SEPARATOR};
use crate::pipeline::tools::escaping::unescape;

/// Longest mark in bytes: nothing is held back for more.
const LONGEST: usize = 1024;

/// What stands at the start of a text.
#[derive(Debug, PartialEq)]
pub enum Lex<'t> {
    /// A whole mark.
    Mark(Mark<'t>),
    /// The text breaks off, but so far it is the beginning of a mark.
    Partial(Partial<'t>),
    /// No mark, whatever follows.
    Bad,
}

/// A whole mark.
#[derive(Debug, PartialEq)]
pub struct Mark<'t> {
    /// Name without namespace; tokens keep their bars, as `|`, and `▁` is `_`.
    pub name: Cow<'t, str>,
    /// What kind of mark.
    pub kind: Kind,
    /// Value of the attribute `name`, or what follows `=`.
    pub label: Option<String>,
    /// Number of attributes.
    pub attributes: usize,
    /// Whether text inside the element is meant as it stands, without entities.
    pub is_raw: bool,
    /// Length in bytes.
    pub len: usize,
}

/// The beginning of a mark.
#[derive(Debug, PartialEq)]
pub struct Partial<'t> {
    /// As much of the name as there is; without the namespace once it is complete.
    pub name: Cow<'t, str>,
    /// Whether the name is complete.
    pub is_named: bool,
    /// Whether it closes an element.
    pub closes: bool,
}

/// What a mark does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `<a>`, and every token and literal.
    Open,
    /// `</a>`
    Close,
    /// `<a/>`
    Empty,
}

impl Mark<'_> {
    /// Whether this is the mark that the grammar writes as `pattern`.
    pub fn is(&self, pattern: &str) -> bool {
        let (name, closes) = parts(pattern);
        self.name == name && closes == (self.kind == Kind::Close)
    }
}

impl Partial<'_> {
    /// The name without a namespace.
    pub fn local(&self) -> &str {
        without_namespace(&self.name)
    }

    /// Whether this may become the mark that the grammar writes as `pattern`.
    pub fn may_be(&self, pattern: &str) -> bool {
        let (name, closes) = parts(pattern);
        self.may_be_named(name, closes) || pattern == FENCE && self.name.starts_with(FENCE)
    }

    /// Whether this may become a mark of this name.
    pub fn may_be_named(&self, name: &str, closes: bool) -> bool {
        if self.closes != closes && (self.closes || !self.name.is_empty()) {
            return false;
        }
        match self.is_named {
            true => self.name == name,
            false => name.starts_with(without_namespace(&self.name)) || may_be_namespace(&self.name),
        }
    }
}

impl Lex<'_> {
    /// Whether this is, or may become, the mark that the grammar writes as `pattern`.
    pub fn may_be(&self, pattern: &str) -> bool {
        match self {
            Lex::Mark(mark) => mark.is(pattern),
            Lex::Partial(partial) => partial.may_be(pattern),
            Lex::Bad => false,
        }
    }
}

/// Name of a pattern such as `</invoke>` or `[ARGS]`, and whether it closes.
fn parts(pattern: &str) -> (&str, bool) {
    let Some(inner) = pattern.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else {
        return (pattern, false);
    };
    match inner.strip_prefix('/') {
        Some(name) => (name, true),
        None => (inner, false),
    }
}

fn without_namespace(name: &str) -> &str {
    match name.split_once(':') {
        Some((namespace, local)) if may_be_namespace(namespace) && !local.contains(':') => local,
        _ => name,
    }
}

/// Whether a namespace may still follow: a short word.
fn may_be_namespace(name: &str) -> bool {
    const LONGEST: usize = 12;
    name.len() < LONGEST && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Reads the mark at the start of `text`.
pub fn lex(text: &str) -> Lex<'_> {
    let unnamed = || Lex::Partial(Partial { name: "".into(), is_named: false, closes: false });
    if let Some(rest) = text.strip_prefix(SEPARATOR) {
        return match lex_bare(rest) {
            Lex::Mark(mark) => Lex::Mark(Mark { len: mark.len + SEPARATOR.len(), ..mark }),
            Lex::Bad if rest.is_empty() => unnamed(),
            other => other,
        };
    }
    match SEPARATOR.starts_with(text) {
        true => unnamed(),
        false => lex_bare(text),
    }
}

fn lex_bare(text: &str) -> Lex<'_> {
    if text.starts_with('<') { tag(text) } else { literal(text) }
}

/// Whether `text` begins as `mark` does, by two bytes: most brackets in code begin no mark.
#[inline]
pub fn is_alike(text: &str, mark: &str) -> bool {
    mark.bytes().zip(text.bytes()).take(2).all(|(one, other)| one == other)
}

fn literal(text: &str) -> Lex<'_> {
    if !LITERALS.iter().any(|literal| is_alike(text, literal)) {
        return Lex::Bad;
    }
    let may_come = |literal: &&&str| literal.len() > text.len() && literal.starts_with(text);
    if !text.is_empty() && LITERALS.iter().any(|literal| may_come(&literal)) {
        return Lex::Partial(Partial { name: text.into(), is_named: false, closes: false });
    }
    let Some(name) = LITERALS.iter().find(|literal| text.starts_with(**literal)) else { return Lex::Bad };
    let (kind, len) = (Kind::Open, name.len());
    Lex::Mark(Mark { name: (*name).into(), kind, label: None, attributes: 0, is_raw: true, len })
}

fn is_bar(letter: char) -> bool {
    matches!(letter, '|' | '｜')
}

/// Reads what begins with `<`.
fn tag(text: &str) -> Lex<'_> {
    let mut cursor = Cursor { text, at: 1 };
    let closes = cursor.take('/');
    let Some(is_raw) = cursor.dsml() else {
        return Lex::Partial(Partial { name: "".into(), is_named: false, closes });
    };
    let start = cursor.at;
    if !is_raw && cursor.peek().is_some_and(is_bar) {
        return cursor.token(closes);
    }
    let name = cursor.name();
    let may_go_on = text.len() < LONGEST;
    if !name.is_empty() && !text.as_bytes().get(start).is_some_and(|&first| starts_name(first)) {
        return Lex::Bad;
    }
    if cursor.at_end() {
        let partial = Partial { name: name.into(), is_named: false, closes };
        return if may_go_on { Lex::Partial(partial) } else { Lex::Bad };
    }
    if name.is_empty() {
        return Lex::Bad;
    }
    if !is_raw && !closes && cursor.peek().is_some_and(is_bar) {
        return cursor.token_end(name);
    }
    let local = without_namespace(name);
    let partial = Partial { name: local.into(), is_named: true, closes };
    match if cursor.take('=') { cursor.assigned() } else { cursor.attributes() } {
        Attributes::Whole { label, count, empty, is_assigned } if cursor.at <= LONGEST => {
            let kind = match (closes, empty) {
                (false, false) => Kind::Open,
                (false, true) => Kind::Empty,
                (true, false) if count == 0 => Kind::Close,
                (true, _) => return Lex::Bad,
            };
            let (is_raw, len) = (is_raw || is_assigned, cursor.at);
            Lex::Mark(Mark { name: local.into(), kind, label, attributes: count, is_raw, len })
        }
        Attributes::Partial if may_go_on => Lex::Partial(partial),
        _ => Lex::Bad,
    }
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

enum Attributes {
    Whole { label: Option<String>, count: usize, empty: bool, is_assigned: bool },
    Partial,
    Bad,
}

/// A place in a text that is read from left to right.
struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, letter: char) -> bool {
        let found = self.peek() == Some(letter);
        self.at += if found { letter.len_utf8() } else { 0 };
        found
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = &self.text[self.at..];
        let len = rest.find(|letter| !wanted(letter)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn name(&mut self) -> &'t str {
        self.take_while(|letter| letter.is_ascii_alphanumeric() || "_-.:".contains(letter))
    }

    fn blanks(&mut self) -> usize {
        self.take_while(|letter| letter.is_ascii_whitespace()).len()
    }

    /// Skips `|DSML|` with bars of either kind; whether it is there, or `None` if the text breaks off inside it.
    fn dsml(&mut self) -> Option<bool> {
        let rest = &self.text[self.at..];
        let mut letters = rest.chars();
        let mut len = 0;
        for wanted in DSML.chars() {
            let Some(letter) = letters.next() else { return (len == 0).then_some(false) };
            if letter != wanted && !(wanted == '|' && is_bar(letter)) {
                return Some(false);
            }
            len += letter.len_utf8();
        }
        self.at += len;
        Some(true)
    }

    /// The rest of `<|name|>` or `<|name>`, from the first bar on.
    fn token(&mut self, closes: bool) -> Lex<'t> {
        let start = self.at;
        self.at += self.peek().map_or(0, char::len_utf8);
        self.take_while(|letter| letter.is_ascii_alphanumeric() || "_-/.▁".contains(letter));
        if self.peek().is_some_and(is_bar) {
            self.at += self.peek().map_or(0, char::len_utf8);
        }
        let name = token_name(&self.text[start..self.at]);
        let may_go_on = self.text.len() < LONGEST;
        if closes {
            return Lex::Bad;
        }
        if self.at_end() && may_go_on {
            return Lex::Partial(Partial { name, is_named: false, closes });
        }
        self.closed(name)
    }

    /// The rest of `<name|>`, from the bar on.
    fn token_end(&mut self, name: &'t str) -> Lex<'t> {
        self.at += self.peek().map_or(0, char::len_utf8);
        let name: Cow<'t, str> = format!("{name}|").into();
        match self.at_end() && self.text.len() < LONGEST {
            true => Lex::Partial(Partial { name, is_named: true, closes: false }),
            false => self.closed(name),
        }
    }

    fn closed(&mut self, name: Cow<'t, str>) -> Lex<'t> {
        match self.take('>') {
            true => {
                let (kind, len) = (Kind::Open, self.at);
                Lex::Mark(Mark { name, kind, label: None, attributes: 0, is_raw: true, len })
            }
            false => Lex::Bad,
        }
    }

    /// A value right behind `=`, in quotes or not, then `>`.
    fn assigned(&mut self) -> Attributes {
        let quote = self.peek().filter(|letter| matches!(letter, '"' | '\''));
        self.at += quote.map_or(0, char::len_utf8);
        let value = self.take_while(|letter| match quote {
            Some(quote) => letter != quote && letter != '<',
            None => !matches!(letter, '>' | '<' | '\n'),
        });
        if self.at_end() {
            return Attributes::Partial;
        }
        if let Some(quote) = quote {
            if !self.take(quote) {
                return Attributes::Bad;
            }
            self.blanks();
            if self.at_end() {
                return Attributes::Partial;
            }
        }
        if value.trim().is_empty() || !self.take('>') {
            return Attributes::Bad;
        }
        let label = Some(value.trim().to_owned());
        Attributes::Whole { label, count: 1, empty: false, is_assigned: true }
    }

    /// Everything behind the name: attributes in quotes, perhaps `/`, then `>`.
    fn attributes(&mut self) -> Attributes {
        let (mut label, mut count) = (None, 0);
        loop {
            let blanks = self.blanks();
            if self.at_end() {
                return Attributes::Partial;
            }
            if self.take('>') {
                return Attributes::Whole { label, count, empty: false, is_assigned: false };
            }
            if self.take('/') {
                return match self.peek() {
                    Some('>') => {
                        self.at += 1;
                        Attributes::Whole { label, count, empty: true, is_assigned: false }
                    }
                    Some(_) => Attributes::Bad,
                    None => Attributes::Partial,
                };
            }
            if blanks == 0 {
                return Attributes::Bad;
            }
            match self.attribute() {
                Ok((name, value)) => {
                    count += 1;
                    if name == "name" {
                        let mut text = String::new();
                        unescape(value, &mut text);
                        label = Some(text);
                    }
                }
                Err(stopped) => return stopped,
            }
        }
    }

    fn attribute(&mut self) -> Result<(&'t str, &'t str), Attributes> {
        let name = self.name();
        self.blanks();
        if name.is_empty() || !self.take('=') {
            return Err(if self.at_end() { Attributes::Partial } else { Attributes::Bad });
        }
        self.blanks();
        let quote = self.peek().ok_or(Attributes::Partial)?;
        if !matches!(quote, '"' | '\'') {
            return Err(Attributes::Bad);
        }
        self.at += 1;
        let value = self.take_while(|letter| letter != quote && letter != '<');
        if self.at_end() {
            return Err(Attributes::Partial);
        }
        if self.take(quote) { Ok((name, value)) } else { Err(Attributes::Bad) }
    }
}

fn token_name(text: &str) -> Cow<'_, str> {
    match text.contains(['｜', '▁']) {
        true => text.replace('｜', "|").replace('▁', "_").into(),
        false => text.into(),
    }
}
