//! Parses the arguments of a call: elements, pairs of names and values, or JSON.

use std::collections::HashSet;

use super::{Ending, Expect, Found, LONGEST_NAME, Reader, Step, Verdict, WIDEST, any, named};
use crate::pipeline::tools::escaping::{CDATA, CDATA_END, content};
use crate::pipeline::tools::grammars::{ARGUMENTS, CALLS, PAIRS, PARAMETERS, SEPARATOR};
use crate::pipeline::tools::marks::{Kind, Lex, Mark, Partial, lex};
use crate::pipeline::tools::repair::{Read, Value, Words, repaired};
use crate::pipeline::tools::typed_args::typed_args;

/// Most arguments of one call that is written as elements.
const MOST_ARGUMENTS: usize = 100_000;

/// A call whose tool is known.
#[derive(Debug)]
pub struct Element {
    pub tool: usize,
    /// Name of the element that is the call; `None` where the call is a name and arguments.
    pub closing: Option<String>,
    /// Name of the element around all arguments, while it is open.
    pub around: Option<String>,
    pub is_fenced: bool,
    pub words: Words,
    pub given: Given,
}

#[derive(Debug)]
pub enum Given {
    /// One by one, by name.
    Listed(Vec<(String, String)>),
    /// As one JSON object.
    Whole(String),
}

/// An argument whose value is being read.
#[derive(Debug)]
pub struct Argument {
    pub name: String,
    /// Name of the element that must be closed.
    pub element: String,
    pub is_raw: bool,
    /// Where the value begins.
    pub from: usize,
    /// From where on its end is still to be looked for.
    pub search: usize,
    pub in_cdata: bool,
}

/// What a mark between the arguments of a call means.
pub enum Next<'t> {
    /// The call ends behind the mark.
    Ends,
    /// The call ended in front of it.
    Ended,
    /// Opens or closes the element around all arguments.
    Around(Option<String>),
    /// An argument, by name.
    Argument(String, Mark<'t>),
    /// The name of an argument follows, in the pair of elements with this place in [`PAIRS`].
    Key(usize),
    /// The mark is incomplete.
    NotYet,
    /// Nothing that belongs to a call.
    Foreign,
}

impl Reader<'_> {
    pub fn argument(&mut self, element: Element) -> Step {
        self.skip_white_space();
        match self.rest().bytes().next() {
            None => self.unclosed(element, None),
            Some(b'{') if element.is_bare() => {
                Step::On(Expect::Arguments(element, Value::new(self.at, Words::Refused), self.at))
            }
            Some(b'<' | b'[' | b']' | b'`') => self.argument_mark(element),
            Some(_) => self.refuse(),
        }
    }

    pub fn arguments(&mut self, mut element: Element, mut value: Value, from: usize) -> Step {
        let end = match value.read(self.text) {
            Read::Whole(end) => end,
            Read::More => return Step::Wait(Expect::Arguments(element, value, from)),
            Read::Unclosed(at) => match lex(&self.text[at..]) {
                Lex::Partial(_) if self.ending == Ending::Open => {
                    return Step::Wait(Expect::Arguments(element, value, from));
                }
                lexed if self.is_closing(&lexed) => at,
                _ => return Step::Done(self.text(at)),
            },
            Read::Bad(at) => return Step::Done(self.text(at)),
        };
        let object = &self.text[from..end];
        let is_json =
            object.starts_with('{') && serde_json::from_str::<&serde_json::value::RawValue>(object).is_ok();
        let words = element.words;
        let object = if is_json { Some(object.to_owned()) } else { repaired(object, words) };
        let Some(object) = object else { return Step::Done(self.text(end)) };
        element.given = Given::Whole(object);
        self.at = end;
        match (&element.closing, &element.around, element.is_fenced) {
            (None, None, false) => self.call(element, end),
            (_, _, true) => Step::On(Expect::FenceEnd(element)),
            _ => Step::On(Expect::Argument(element)),
        }
    }

    pub fn fence_end(&mut self, element: Element) -> Step {
        let behind = self.rest().trim_start();
        let at = self.text.len() - behind.len();
        if self.rest().len() - behind.len() > WIDEST {
            return self.call(element, self.at);
        }
        match behind.strip_prefix("```") {
            Some(_) => self.call(element, at + "```".len()),
            None if "```".starts_with(behind) && self.ending == Ending::Open => {
                Step::Wait(Expect::FenceEnd(element))
            }
            None => self.call(element, self.at),
        }
    }

    fn argument_mark(&mut self, mut element: Element) -> Step {
        let lexed = lex(self.rest());
        let len = if let Lex::Mark(mark) = &lexed { mark.len } else { 0 };
        match self.next(&element, &lexed) {
            Next::Ends => self.call(element, self.at + len),
            Next::Ended => self.call(element, self.at),
            Next::Around(around) => {
                self.at += len;
                element.around = around;
                match element.closing.is_none() && element.around.is_none() && !element.is_bare() {
                    true => self.call(element, self.at),
                    false => Step::On(Expect::Argument(element)),
                }
            }
            Next::Key(pair) => {
                self.at += len;
                Step::On(Expect::Key(element, pair))
            }
            Next::Argument(name, mark) => {
                self.at += len;
                if mark.kind == Kind::Empty {
                    return self.given(element, name, String::new());
                }
                let (from, search, is_raw) = (self.at, self.at, mark.is_raw);
                let element_name = mark.name.into_owned();
                let argument =
                    Argument { name, element: element_name, is_raw, from, search, in_cdata: false };
                Step::On(Expect::Value(element, argument))
            }
            Next::NotYet => self.unclosed(element, Some(&lexed)),
            Next::Foreign => self.refuse(),
        }
    }

    fn given(&self, mut element: Element, name: String, value: String) -> Step {
        if let Given::Listed(given) = &mut element.given {
            given.push((name, value));
            if given.len() > MOST_ARGUMENTS {
                return self.refuse();
            }
        }
        Step::On(Expect::Argument(element))
    }

    /// What `lexed` means between the arguments of `element`.
    pub fn next<'m>(&self, element: &Element, lexed: &Lex<'m>) -> Next<'m> {
        let is_bare = element.is_bare();
        self.next_of(element, is_bare, lexed)
    }

    fn next_of<'m>(&self, element: &Element, is_bare: bool, lexed: &Lex<'m>) -> Next<'m> {
        let found = |next| if matches!(lexed, Lex::Mark(_)) { next } else { Next::NotYet };
        let closes = |name: &str| match lexed {
            Lex::Mark(mark) => mark.kind == Kind::Close && mark.name == name,
            Lex::Partial(partial) => partial.may_be_named(name, true),
            Lex::Bad => false,
        };
        if element.around.as_deref().is_some_and(closes) {
            return found(Next::Around(None));
        }
        if element.closing.as_deref().is_some_and(closes) {
            return found(Next::Ends);
        }
        let is_named =
            element.closing.as_deref().is_some_and(|name| self.offer.find(name) == Some(element.tool));
        if self.is_closing(lexed) && !(is_named && is_bare)
            || !is_bare && !is_named && self.opens_another(lexed)
        {
            return found(Next::Ended);
        }
        if !matches!(element.given, Given::Listed(_)) {
            return Next::Foreign;
        }
        if let Some(pair) = PAIRS.iter().position(|(key, _)| lexed.may_be(key)) {
            return found(Next::Key(pair));
        }
        match lexed {
            Lex::Mark(mark) if mark.kind == Kind::Close => Next::Foreign,
            Lex::Mark(mark) => self.argument_of(element, is_bare, mark),
            Lex::Partial(partial) if !partial.closes && self.may_be_argument(element, partial) => {
                Next::NotYet
            }
            _ => Next::Foreign,
        }
    }

    fn argument_of<'m>(&self, element: &Element, is_bare: bool, mark: &Mark<'m>) -> Next<'m> {
        let tool = self.tool(element);
        let name = match &mark.label {
            Some(label) if any(PARAMETERS, |pattern| named(pattern) == mark.name) => label.clone(),
            None if mark.attributes == 0 && tool.declares(&mark.name) => mark.name.clone().into_owned(),
            None if is_bare && element.around.is_none() && any(ARGUMENTS, |pattern| mark.is(pattern)) => {
                return Next::Around(Some(mark.name.clone().into_owned()));
            }
            None if mark.attributes == 0 && tool.declares_none() => mark.name.clone().into_owned(),
            _ => return Next::Foreign,
        };
        let mark = Mark { name: mark.name.clone(), label: None, ..*mark };
        Next::Argument(name, mark)
    }

    fn may_be_argument(&self, element: &Element, partial: &Partial<'_>) -> bool {
        let tool = self.tool(element);
        let known = match partial.is_named {
            true => tool.declares(&partial.name),
            false => tool.declares_beginning(partial.local()),
        };
        known
            || tool.declares_none()
            || PARAMETERS.iter().chain(ARGUMENTS).any(|pattern| partial.may_be(pattern))
    }

    /// Whether this opens, or may open, another call, the end of the one before it being forgotten.
    fn opens_another(&self, lexed: &Lex<'_>) -> bool {
        match lexed {
            Lex::Mark(mark) if mark.label.is_some() => any(CALLS, |pattern| named(pattern) == mark.name),
            _ => lexed.may_be("<invoke>") || lexed.may_be("<tool_call>") || lexed.may_be("<function>"),
        }
    }

    pub fn key(&mut self, element: Element, pair: usize) -> Step {
        let (key, value) = PAIRS[pair];
        let rest = self.rest();
        let found = rest.find('<');
        let len = found.unwrap_or(rest.len());
        if len > LONGEST_NAME {
            return self.refuse();
        }
        if found.is_none() {
            return Step::Wait(Expect::Key(element, pair));
        }
        let closing = lex(&rest[len..]);
        let Lex::Mark(mark) = &closing else {
            let may_come =
                matches!(&closing, Lex::Partial(partial) if partial.may_be_named(named(key), true));
            return if may_come { Step::Wait(Expect::Key(element, pair)) } else { self.refuse() };
        };
        let behind = rest[len + mark.len..].trim_start();
        let white = rest.len() - behind.len() - mark.len - len;
        let opening = lex(behind);
        match &opening {
            _ if white > WIDEST || mark.kind != Kind::Close || mark.name != named(key) => self.refuse(),
            Lex::Mark(opens) if opens.is(value) && opens.kind == Kind::Open => {
                let name = rest[..len].trim().to_owned();
                self.at = self.text.len() - behind.len() + opens.len;
                let (from, search, element_name) = (self.at, self.at, named(value).to_owned());
                let argument =
                    Argument { name, element: element_name, is_raw: true, from, search, in_cdata: false };
                Step::On(Expect::Value(element, argument))
            }
            _ if behind.is_empty() => Step::Wait(Expect::Key(element, pair)),
            Lex::Partial(partial) if partial.may_be(value) => Step::Wait(Expect::Key(element, pair)),
            _ => self.refuse(),
        }
    }

    pub fn value(&mut self, element: Element, mut argument: Argument) -> Step {
        loop {
            let rest = &self.text[argument.search..];
            if argument.in_cdata {
                let Some(len) = rest.find(CDATA_END) else {
                    let begun = rest.len() - rest.trim_end_matches(']').len();
                    argument.search = self.text.len() - begun.min(CDATA_END.len() - 1);
                    return Step::Wait(Expect::Value(element, argument));
                };
                argument.search += len + CDATA_END.len();
                argument.in_cdata = false;
                continue;
            }
            let Some(at) = rest.find('<') else {
                argument.search = self.text.len();
                return Step::Wait(Expect::Value(element, argument));
            };
            argument.search += at;
            let rest = &rest[at..];
            if rest.starts_with(CDATA) {
                argument.search += CDATA.len();
                argument.in_cdata = true;
                continue;
            }
            let end = self.value_end(&element, &argument, rest);
            match end.or_else(|| self.forgotten_end(&element, &argument, rest)) {
                Some(Some(len)) => {
                    let value = argument.content(self.text);
                    self.at = argument.search + len;
                    return self.given(element, argument.name, value);
                }
                Some(None) => return Step::Wait(Expect::Value(element, argument)),
                None => argument.search += 1,
            }
        }
    }

    /// The length of the closing tag at the start of `rest`, if it ends the value of `argument`; `Some(None)` if that
    /// is still open. It does if something follows that belongs to a call: code may hold the tag itself.
    fn value_end(&self, element: &Element, argument: &Argument, rest: &str) -> Option<Option<usize>> {
        let more = self.ending == Ending::Open;
        if rest.len() < CDATA.len() && CDATA.starts_with(rest) && rest != "<" {
            return more.then_some(None);
        }
        if !rest.starts_with("</") {
            return (rest == "<" && more).then_some(None);
        }
        let mark = match lex(rest) {
            Lex::Mark(mark) if mark.kind == Kind::Close && argument.is_closed_by(&mark.name) => mark,
            Lex::Partial(partial) => {
                let may_close = partial.may_be_named(&argument.element, true)
                    || argument.is_parameter()
                        && PARAMETERS.iter().any(|name| partial.may_be_named(named(name), true));
                return (may_close && more).then_some(None);
            }
            _ => return None,
        };
        let behind = rest[mark.len..].trim_start();
        if rest.len() - behind.len() > mark.len + WIDEST {
            return None;
        }
        if behind.is_empty() {
            return Some((!more).then_some(mark.len));
        }
        if !behind.starts_with(['<', ']', '[', '`']) {
            return None;
        }
        match self.next_of(element, false, &lex(behind)) {
            Next::Foreign => None,
            Next::NotYet if more => Some(None),
            _ => Some(Some(mark.len)),
        }
    }

    /// As [`Reader::value_end`] where the closing tag was forgotten: another argument of the tool that has not been given,
    /// or the end of the call, begins a line.
    fn forgotten_end(&self, element: &Element, argument: &Argument, rest: &str) -> Option<Option<usize>> {
        let (value, more) = (&self.text[argument.from..argument.search], self.ending == Ending::Open);
        let is_line_start = value.trim_end_matches([' ', '\t']).ends_with('\n');
        if !argument.is_raw || !argument.is_parameter() || !is_line_start {
            return None;
        }
        let Given::Listed(given) = &element.given else { return None };
        let is_parameter = |name: &str| any(PARAMETERS, |pattern| named(pattern) == name);
        let closing = element.closing.as_deref();
        match lex(rest) {
            Lex::Mark(mark) if mark.kind == Kind::Open && is_parameter(&mark.name) => {
                let name = mark.label.as_deref()?;
                let is_given = name == argument.name || given.iter().any(|(known, _)| known == name);
                (self.tool(element).declares(name) && !is_given).then_some(Some(0))
            }
            Lex::Mark(mark) if mark.kind == Kind::Close && closing == Some(&*mark.name) => {
                // a value that shows a whole call has its beginning, too
                (!value.contains(&format!("<{}", mark.name))).then_some(Some(0))
            }
            Lex::Partial(partial) if more => {
                let may_open = PARAMETERS.iter().any(|pattern| partial.may_be(pattern));
                let may_end = closing.is_some_and(|name| partial.may_be_named(name, true));
                (may_open || may_end).then_some(None)
            }
            _ => None,
        }
    }

    /// The text breaks off between two arguments, perhaps within a tag. At its very end that is a call if nothing
    /// but closing tags is missing.
    fn unclosed(&self, element: Element, tag: Option<&Lex<'_>>) -> Step {
        let closing = matches!(tag, Some(Lex::Partial(partial)) if partial.closes);
        let has_all = || match &element.given {
            Given::Listed(given) => {
                let names: HashSet<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
                self.tool(&element).required.iter().all(|name| names.contains(name.as_str()))
            }
            Given::Whole(_) => true,
        };
        match (self.ending, tag) {
            (Ending::Open, _) => Step::Wait(Expect::Argument(element)),
            _ if closing => self.call(element, self.text.len()),
            (Ending::Complete, None) if !element.is_bare() && has_all() => {
                self.call(element, self.text.len())
            }
            _ => Step::Done(self.text(self.text.len())),
        }
    }

    /// The call is complete, up to `len`.
    pub fn call(&self, element: Element, len: usize) -> Step {
        let tool = self.tool(&element);
        let is_named = element.closing.as_deref() == Some(&tool.name);
        // `<toolname></toolname>` of a tool that needs arguments speaks about the tool.
        if is_named && element.is_bare() && !tool.required.is_empty() {
            return Step::Done(self.text(len));
        }
        let arguments = match element.given {
            Given::Listed(values) => typed_args(&values, tool.schema.as_ref()),
            Given::Whole(object) => object,
        };
        let found = vec![Found { name: tool.name.clone(), arguments }];
        Step::Done(Verdict::Calls { found, opened: self.opened, len })
    }
}

impl Element {
    pub fn is_bare(&self) -> bool {
        matches!(&self.given, Given::Listed(given) if given.is_empty())
    }
}

impl Argument {
    fn is_parameter(&self) -> bool {
        any(PARAMETERS, |pattern| named(pattern) == self.element)
    }

    fn is_closed_by(&self, name: &str) -> bool {
        self.element == name || self.is_parameter() && any(PARAMETERS, |pattern| named(pattern) == name)
    }

    /// The value, which ends where its end was looked for.
    fn content(&self, text: &str) -> String {
        let raw = &text[self.from..self.search];
        let raw = raw.strip_suffix(SEPARATOR).unwrap_or(raw);
        if !self.is_raw {
            return content(raw);
        }
        // a line break on either side is layout
        let inner = raw.strip_prefix("\r\n").or_else(|| raw.strip_prefix('\n')).unwrap_or(raw);
        let inner = inner.strip_suffix('\n').map_or(inner, |inner| inner.strip_suffix('\r').unwrap_or(inner));
        inner.to_owned()
    }
}
