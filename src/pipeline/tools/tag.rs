//! Reads one tag of the markup that calls are written in, from text that may break off inside it.

use super::escaping::unescape;

/// A tag longer than this, in bytes, is none: nothing is held back for it.
const LONGEST: usize = 1024;

/// What stands at a `<`.
#[derive(Debug, PartialEq)]
pub enum Lex<'t> {
    /// A whole tag.
    Tag(Tag<'t>),
    /// The text breaks off, but so far it is the beginning of a tag.
    Partial {
        /// As much of the name as there is; without the prefix once it is complete.
        name: &'t str,
        /// Whether the name is complete.
        named: bool,
        /// Whether it closes an element.
        closing: bool,
    },
    /// No tag, whatever follows.
    Bad,
}

/// A whole tag.
#[derive(Debug, PartialEq)]
pub struct Tag<'t> {
    /// The element's name, without the prefix `antml:`.
    pub name: &'t str,
    /// What kind of tag.
    pub kind: TagKind,
    /// The value of the attribute `name`.
    pub label: Option<String>,
    /// How many attributes there are.
    pub attributes: usize,
    /// The tag's length in bytes.
    pub len: usize,
}

/// What a tag does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagKind {
    /// `<a>`
    Open,
    /// `</a>`
    Close,
    /// `<a/>`
    Empty,
}

const PREFIX: &str = "antml:";

impl Lex<'_> {
    /// Whether this is, or may become, a tag that opens (or is) an element called `name`.
    pub fn may_open(&self, name: &str) -> bool {
        self.may_be(name, |kind| kind != TagKind::Close, false)
    }

    /// Whether this is, or may become, a tag that closes an element called `name`.
    pub fn may_close(&self, name: &str) -> bool {
        self.may_be(name, |kind| kind == TagKind::Close, true)
    }

    fn may_be(&self, wanted: &str, fits: fn(TagKind) -> bool, close: bool) -> bool {
        match *self {
            Lex::Tag(ref tag) => fits(tag.kind) && tag.name == wanted,
            Lex::Bad => false,
            Lex::Partial { name: "", closing: false, .. } => true, // only `<` so far
            Lex::Partial { closing, .. } if closing != close => false,
            Lex::Partial { name, named: true, .. } => name == wanted,
            Lex::Partial { name, .. } => wanted.starts_with(without_prefix(name)) || PREFIX.starts_with(name),
        }
    }
}

/// Reads the tag at the start of `text`, which begins with `<`.
pub fn lex(text: &str) -> Lex<'_> {
    let mut cursor = Cursor { text, at: 1 };
    let closing = cursor.take('/');
    let name = cursor.name();
    let may_go_on = text.len() < LONGEST;
    if cursor.at_end() {
        return if may_go_on { Lex::Partial { name, named: false, closing } } else { Lex::Bad };
    }
    if name.is_empty()
        || text.as_bytes()[name_start(closing)..].first().is_some_and(|&first| !starts_name(first))
    {
        return Lex::Bad;
    }
    match cursor.attributes() {
        Attributes::Whole { label, count, empty } if cursor.at <= LONGEST => {
            let kind = match (closing, empty) {
                (false, false) => TagKind::Open,
                (false, true) => TagKind::Empty,
                (true, false) if count == 0 => TagKind::Close,
                (true, _) => return Lex::Bad,
            };
            Lex::Tag(Tag { name: without_prefix(name), kind, label, attributes: count, len: cursor.at })
        }
        Attributes::Partial if may_go_on => Lex::Partial { name: without_prefix(name), named: true, closing },
        _ => Lex::Bad,
    }
}

fn name_start(closing: bool) -> usize {
    1 + usize::from(closing)
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn without_prefix(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

enum Attributes {
    Whole { label: Option<String>, count: usize, empty: bool },
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

    /// Everything behind the name: attributes in quotes, perhaps `/`, then `>`.
    fn attributes(&mut self) -> Attributes {
        let (mut label, mut count) = (None, 0);
        loop {
            let blanks = self.blanks();
            if self.at_end() {
                return Attributes::Partial;
            }
            if self.take('>') {
                return Attributes::Whole { label, count, empty: false };
            }
            if self.take('/') {
                return match self.peek() {
                    Some('>') => {
                        self.at += 1;
                        Attributes::Whole { label, count, empty: true }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tag<'t>(name: &'t str, kind: TagKind, label: Option<&str>, attributes: usize, len: usize) -> Lex<'t> {
        Lex::Tag(Tag { name, kind, label: label.map(String::from), attributes, len })
    }

    #[test]
    fn tags_are_read() {
        for (text, expected) in [
            ("<a>b", tag("a", TagKind::Open, None, 0, 3)),
            ("<a />", tag("a", TagKind::Empty, None, 0, 5)),
            ("</a >", tag("a", TagKind::Close, None, 0, 5)),
            ("<antml:invoke name=\"f&amp;g\">", tag("invoke", TagKind::Open, Some("f&g"), 1, 29)),
            ("</antml:invoke>", tag("invoke", TagKind::Close, None, 0, 15)),
            ("<p  string = 'true' \n name='a>b'>", tag("p", TagKind::Open, Some("a>b"), 2, 33)),
            ("<", Lex::Partial { name: "", named: false, closing: false }),
            ("</", Lex::Partial { name: "", named: false, closing: true }),
            ("<in", Lex::Partial { name: "in", named: false, closing: false }),
            ("<a ", Lex::Partial { name: "a", named: true, closing: false }),
            ("<a name", Lex::Partial { name: "a", named: true, closing: false }),
            ("<a name=\"x", Lex::Partial { name: "a", named: true, closing: false }),
            ("<a/", Lex::Partial { name: "a", named: true, closing: false }),
            ("< a>", Lex::Bad),
            ("<-", Lex::Partial { name: "-", named: false, closing: false }),
            ("<- a", Lex::Bad),
            ("<a b c>", Lex::Bad),
            ("<a b=c>", Lex::Bad),
            ("<a b=\"<\">", Lex::Bad),
            ("<a\"x\">", Lex::Bad),
            ("</a b=\"c\">", Lex::Bad),
            ("</a/>", Lex::Bad),
            ("<é>", Lex::Bad),
        ] {
            assert_eq!(lex(text), expected, "{text}");
        }
        assert_eq!(lex(&format!("<a b=\"{}", "x".repeat(LONGEST))), Lex::Bad);
    }

    /// What is read of a tag that breaks off must never rule out what the whole tag is.
    #[test]
    fn a_beginning_rules_nothing_out() {
        let long = |len: usize| format!("<a b=\"{}\">", "x".repeat(len - "<a b=\"\">".len()));
        for text in [
            format!("<{PREFIX}a/>"),
            format!("<{PREFIX}a b='c' />"),
            format!("</{PREFIX}a >"),
            long(LONGEST),
            long(LONGEST + 1),
        ] {
            let whole = lex(&text);
            let is_tag = whole != Lex::Bad;
            for end in 1..text.len() {
                let beginning = lex(&text[..end]);
                assert!(!whole.may_open("a") || beginning.may_open("a"), "{beginning:?} of {whole:?}");
                assert!(!whole.may_close("a") || beginning.may_close("a"), "{beginning:?} of {whole:?}");
                assert!(!is_tag || beginning != Lex::Bad, "{end} bytes of {whole:?}");
            }
            assert_eq!(is_tag, text.len() <= LONGEST);
        }
        let cut = format!("<{PREFIX}a/");
        assert_eq!(lex(&cut), Lex::Partial { name: "a", named: true, closing: false });
    }

    #[test]
    fn a_beginning_may_become_what_it_fits() {
        for (text, opens, closes) in [
            ("<", true, true),
            ("</", false, true),
            ("<inv", true, false),
            ("<ant", true, false),
            ("</in", false, true),
            ("<invoke ", true, false),
            ("<invokes", false, false),
            ("<inv ", false, false),
            ("<antml:invoke/>", true, false),
            ("</antml:inv", false, true),
        ] {
            assert_eq!(
                (lex(text).may_open("invoke"), lex(text).may_close("invoke")),
                (opens, closes),
                "{text}"
            );
        }
    }
}
