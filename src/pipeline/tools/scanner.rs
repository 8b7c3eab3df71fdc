//! Reads what may be a call written into the text, piece by piece, until it is one or cannot become one.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::escaping::{CDATA, CDATA_END, content};
use super::tag::{Lex, Tag, TagKind, lex};
use super::typed_arguments::{declared_args, typed_args};
use crate::pipeline::Tool;

/// Elements that hold calls and mean nothing themselves.
const WRAPPERS: [&str; 4] = ["tool_call", "tool_calls", "function_calls", "function_call"];
/// More wrappers than this around one call are no call.
const DEEPEST: usize = 3;
/// Behind more white space than this an argument does not go on: it is looked through again with every piece.
const WIDEST: usize = 4096;

/// A tool that was offered, with what its schema says at a glance.
#[derive(Debug)]
pub struct Offered {
    name: String,
    schema: Option<Value>,
    declared: Vec<String>,
    required: Vec<String>,
}

impl Offered {
    /// The tool as offered.
    pub fn new(tool: &Tool) -> Offered {
        let (declared, required) = declared_args(tool.parameters.as_ref());
        Offered { name: tool.name.clone(), schema: tool.parameters.clone(), declared, required }
    }

    /// Whether this is its name.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name
    }

    fn declares(&self, name: &str) -> bool {
        self.declared.iter().any(|declared| declared == name)
    }
}

/// A call that was found.
#[derive(Debug, PartialEq)]
pub struct Found {
    /// The tool's name.
    pub name: String,
    /// A JSON object as text.
    pub arguments: String,
}

/// What more text has shown.
#[derive(Debug)]
pub enum Verdict {
    /// It may still become a call.
    Open,
    /// It is none: so many bytes are text, what follows them is to be looked at afresh.
    Text(usize),
    /// It is a call, and that many bytes long, wrappers opened on the way included.
    Call { found: Found, wrappers: usize, len: usize },
    /// It closes a wrapper, and is that many bytes long.
    Closes(usize),
}

/// What is known about the text behind what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// There may be more.
    Open,
    /// There is no more, and the bot had said what it wanted.
    Complete,
    /// There is no more, because the answer was cut short.
    CutShort,
}

/// Where a candidate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surrounding {
    /// In text.
    Text,
    /// Behind a call or in a wrapper that is open: wrappers may close.
    Calls,
}

/// A text, from a `<` or `{` on, that may be a call. It keeps no text itself, only how far it has read.
#[derive(Debug)]
pub struct Candidate {
    surrounding: Surrounding,
    /// Everything before this is understood.
    at: usize,
    wrappers: usize,
    expect: Expect,
}

/// What is to come at `at`.
#[derive(Debug)]
enum Expect {
    /// The opening of a call, or of a wrapper around it.
    Opening,
    /// The rest of a JSON object that is the whole call.
    Object(Json),
    /// The next argument or the end of a call.
    Argument(Element),
    /// The rest of a JSON object that is all arguments.
    Arguments(Element, Json),
    /// The rest of an argument's value.
    Value(Element, Argument),
}

/// A call whose opening tag was read.
#[derive(Debug)]
struct Element {
    tool: usize,
    form: Form,
    arguments: Given,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `<invoke name="…">`
    Invoke,
    /// `<toolname>`
    Named,
}

#[derive(Debug)]
enum Given {
    /// One by one, by name.
    Listed(Vec<(String, String)>),
    /// As one JSON object.
    Whole(String),
}

/// An argument whose value is being read.
#[derive(Debug)]
struct Argument {
    name: String,
    /// The element that must be closed.
    element: String,
    /// Where the value begins.
    from: usize,
    /// From where on its end is still to be looked for.
    search: usize,
    inside: Inside,
}

#[derive(Debug, Clone, Copy)]
enum Inside {
    Text,
    Cdata,
}

/// How far a JSON object was read.
#[derive(Debug)]
struct Json {
    search: usize,
    depth: usize,
    string: InString,
}

#[derive(Debug, Clone, Copy)]
enum InString {
    No,
    Yes,
    Escape,
}

/// The result of one step: either it goes on with something else, or there is a verdict.
enum Step {
    On(Expect),
    Wait(Expect),
    Done(Verdict),
}

/// Whether an opening may come next, for a tag that may be incomplete.
enum Fit {
    Yes,
    NotYet,
    No,
}

impl Candidate {
    /// A candidate that begins at a `<` or `{`.
    pub fn new(surrounding: Surrounding) -> Candidate {
        Candidate { surrounding, at: 0, wrappers: 0, expect: Expect::Opening }
    }

    /// Reads on in `text`, the whole text of the candidate so far. With any other `ending` than `Open` the verdict
    /// is final.
    pub fn read(&mut self, text: &str, tools: &[Offered], ending: Ending) -> Verdict {
        let mut reader = Reader {
            text,
            tools,
            ending,
            surrounding: self.surrounding,
            at: self.at,
            wrappers: self.wrappers,
        };
        let mut expect = std::mem::replace(&mut self.expect, Expect::Opening);
        loop {
            match reader.step(expect) {
                Step::On(next) => expect = next,
                Step::Wait(next) if ending == Ending::Open => {
                    self.at = reader.at;
                    self.wrappers = reader.wrappers;
                    self.expect = next;
                    return Verdict::Open;
                }
                Step::Wait(_) => return Verdict::Text(text.len()),
                Step::Done(verdict) => return verdict,
            }
        }
    }
}

/// One look at a candidate's text.
struct Reader<'t> {
    text: &'t str,
    tools: &'t [Offered],
    ending: Ending,
    surrounding: Surrounding,
    at: usize,
    wrappers: usize,
}

impl<'t> Reader<'t> {
    fn step(&mut self, expect: Expect) -> Step {
        match expect {
            Expect::Opening => self.opening(),
            Expect::Object(json) => self.object(json),
            Expect::Argument(element) => self.argument(element),
            Expect::Arguments(element, json) => self.arguments(element, json),
            Expect::Value(element, argument) => self.value(element, argument),
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_white_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// What was read so far is text.
    fn refuse(&self) -> Step {
        let first = self.text.chars().next().map_or(0, char::len_utf8);
        Step::Done(Verdict::Text(self.at.max(first)))
    }

    fn opening(&mut self) -> Step {
        self.skip_white_space();
        match self.rest().bytes().next() {
            None => Step::Wait(Expect::Opening),
            Some(b'{') if self.wrappers > 0 || self.surrounding == Surrounding::Calls => {
                Step::On(Expect::Object(Json::from(self.at)))
            }
            Some(b'<') => self.opening_tag(),
            Some(_) => self.refuse(),
        }
    }

    fn opening_tag(&mut self) -> Step {
        let lexed = lex(self.rest());
        let first = self.at == 0;
        let closes = first
            && self.surrounding == Surrounding::Calls
            && WRAPPERS.iter().any(|name| lexed.may_close(name));
        let tag = match lexed {
            Lex::Tag(tag) => tag,
            Lex::Partial { closing: true, .. } if closes && self.ending != Ending::Open => {
                return Step::Done(Verdict::Closes(self.text.len()));
            }
            ref partial if closes || self.may_open(partial) => return Step::Wait(Expect::Opening),
            _ => return self.refuse(),
        };
        if closes {
            return Step::Done(Verdict::Closes(tag.len));
        }
        if tag.kind == TagKind::Open && WRAPPERS.contains(&tag.name) && self.wrappers < DEEPEST {
            self.wrappers += 1;
            self.at += tag.len;
            return Step::On(Expect::Opening);
        }
        match self.element(&tag) {
            Some(element) if tag.kind == TagKind::Empty => self.call(element, self.at + tag.len),
            Some(element) => {
                self.at += tag.len;
                Step::On(Expect::Argument(element))
            }
            None => self.refuse(),
        }
    }

    fn may_open(&self, lexed: &Lex<'_>) -> bool {
        lexed.may_open("invoke")
            || WRAPPERS.iter().any(|name| lexed.may_open(name))
            || self.tools.iter().any(|tool| lexed.may_open(&tool.name))
    }

    /// The call that `tag` opens, if it names a tool that was offered.
    fn element(&self, tag: &Tag<'_>) -> Option<Element> {
        let (form, name) = match tag {
            Tag { kind: TagKind::Close, .. } => return None,
            Tag { name: "invoke", label: Some(label), .. } => (Form::Invoke, label.as_str()),
            Tag { attributes: 0, name, .. } => (Form::Named, *name),
            _ => return None,
        };
        let tool = self.tools.iter().position(|tool| tool.name == name)?;
        Some(Element { tool, form, arguments: Given::Listed(Vec::new()) })
    }

    fn object(&mut self, mut json: Json) -> Step {
        let Some(end) = json.end(self.text) else { return Step::Wait(Expect::Object(json)) };
        match self.lifted(&self.text[self.at..end]) {
            Some(found) => Step::Done(Verdict::Call { found, wrappers: self.wrappers, len: end }),
            None => self.refuse(),
        }
    }

    /// The call in `{"name": …, "arguments": …}`.
    fn lifted(&self, json: &str) -> Option<Found> {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
        let name: String = serde_json::from_str(fields.get("name")?.get()).ok()?;
        self.tools.iter().find(|tool| tool.name == name)?;
        let given = ["arguments", "parameters", "input"].iter().find_map(|key| fields.get(*key));
        let arguments = match given.map(|raw| raw.get()) {
            None | Some("null") => "{}".into(),
            Some(raw) if raw.starts_with('{') => raw.into(),
            Some(raw) => {
                let inner: String = serde_json::from_str(raw).ok()?; // JSON in a string, as OpenAI has it
                serde_json::from_str::<BTreeMap<String, &RawValue>>(&inner).ok()?;
                inner
            }
        };
        Some(Found { name, arguments })
    }

    fn argument(&mut self, element: Element) -> Step {
        self.skip_white_space();
        match self.rest().bytes().next() {
            None => self.unclosed(element, None),
            Some(b'{') if element.is_bare() => {
                let json = Json::from(self.at);
                Step::On(Expect::Arguments(element, json))
            }
            Some(b'<') => self.argument_tag(element),
            Some(_) => self.refuse(),
        }
    }

    fn arguments(&mut self, mut element: Element, mut json: Json) -> Step {
        let Some(end) = json.end(self.text) else { return Step::Wait(Expect::Arguments(element, json)) };
        let object = &self.text[self.at..end];
        if serde_json::from_str::<BTreeMap<String, &RawValue>>(object).is_err() {
            return self.refuse();
        }
        element.arguments = Given::Whole(object.into());
        self.at = end;
        Step::On(Expect::Argument(element))
    }

    fn argument_tag(&mut self, element: Element) -> Step {
        let lexed = lex(self.rest());
        match self.fit(&element, &lexed) {
            Fit::Yes => {}
            Fit::NotYet => return self.unclosed(element, Some(&lexed)),
            Fit::No => return self.refuse(),
        }
        let Lex::Tag(tag) = lexed else { return self.refuse() };
        if tag.kind == TagKind::Close && tag.name == self.closing(&element) {
            return self.call(element, self.at + tag.len);
        }
        if tag.kind == TagKind::Close || tag.name == "invoke" {
            return self.call(element, self.at); // the closing tag was forgotten
        }
        let (name, kind) = (tag.label.unwrap_or_else(|| tag.name.into()), tag.kind);
        self.at += tag.len;
        let (from, search) = (self.at, self.at);
        let argument = Argument { name, element: tag.name.into(), from, search, inside: Inside::Text };
        match kind {
            TagKind::Empty => Step::On(Expect::Argument(element.with(argument.name, String::new()))),
            _ => Step::On(Expect::Value(element, argument)),
        }
    }

    fn closing(&self, element: &Element) -> &'t str {
        match element.form {
            Form::Invoke => "invoke",
            Form::Named => &self.tools[element.tool].name,
        }
    }

    /// Whether `lexed` can stand between the arguments of `element`: the next argument or an end.
    fn fit(&self, element: &Element, lexed: &Lex<'_>) -> Fit {
        let closes = lexed.may_close(self.closing(element))
            || WRAPPERS
                .iter()
                .any(|name| lexed.may_close(name) && (element.form == Form::Invoke || !element.is_bare()));
        let next = element.form == Form::Invoke && !element.is_bare() && lexed.may_open("invoke");
        match lexed {
            _ if closes || next => {}
            Lex::Bad => return Fit::No,
            _ if !matches!(element.arguments, Given::Listed(_)) => return Fit::No,
            Lex::Partial { closing: true, .. } => return Fit::No,
            Lex::Partial { name, named: false, .. } if self.may_begin_argument(element, name) => {}
            Lex::Partial { name: "parameter", named: true, .. } => {}
            Lex::Partial { name, named: true, .. } if self.names_argument(element, name) => {}
            Lex::Tag(Tag {
                name: "parameter", label: Some(_), kind: TagKind::Open | TagKind::Empty, ..
            }) => {}
            Lex::Tag(Tag { name, attributes: 0, kind: TagKind::Open | TagKind::Empty, .. })
                if self.names_argument(element, name) => {}
            _ => return Fit::No,
        }
        if matches!(lexed, Lex::Tag(_)) { Fit::Yes } else { Fit::NotYet }
    }

    /// Whether an element called `name` is an argument: one that the tool declares, or any if it declares none.
    fn names_argument(&self, element: &Element, name: &str) -> bool {
        let tool = &self.tools[element.tool];
        tool.declares(name) || tool.declared.is_empty()
    }

    fn may_begin_argument(&self, element: &Element, beginning: &str) -> bool {
        let tool = &self.tools[element.tool];
        let beginning = beginning.strip_prefix("antml:").unwrap_or(beginning);
        "parameter".starts_with(beginning)
            || "antml:".starts_with(beginning)
            || tool.declared.is_empty()
            || tool.declared.iter().any(|name| name.starts_with(beginning))
    }

    fn value(&mut self, element: Element, mut argument: Argument) -> Step {
        loop {
            let rest = &self.text[argument.search..];
            if matches!(argument.inside, Inside::Cdata) {
                let Some(len) = rest.find(CDATA_END) else {
                    let begun = rest.len() - rest.trim_end_matches(']').len();
                    argument.search = self.text.len() - begun.min(CDATA_END.len() - 1);
                    return Step::Wait(Expect::Value(element, argument));
                };
                argument.search += len + CDATA_END.len();
                argument.inside = Inside::Text;
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
                argument.inside = Inside::Cdata;
                continue;
            }
            match self.value_end(&element, &argument, rest) {
                Some(Some(len)) => {
                    let value = content(&self.text[argument.from..argument.search]);
                    self.at = argument.search + len;
                    return Step::On(Expect::Argument(element.with(argument.name, value)));
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
        if CDATA.starts_with(rest) {
            return more.then_some(None);
        }
        let lexed = lex(rest);
        if !lexed.may_close(&argument.element) {
            return None;
        }
        let Lex::Tag(tag) = lexed else { return more.then_some(None) };
        let behind = rest[tag.len..].trim_start();
        if rest.len() - behind.len() > tag.len + WIDEST {
            return None;
        }
        if behind.is_empty() {
            return if more { Some(None) } else { Some(Some(tag.len)) };
        }
        if !behind.starts_with('<') {
            return None;
        }
        let ended = Element {
            tool: element.tool,
            form: element.form,
            arguments: Given::Listed(vec![Default::default()]),
        };
        match self.fit(&ended, &lex(behind)) {
            Fit::Yes => Some(Some(tag.len)),
            Fit::NotYet if more => Some(None),
            Fit::NotYet => Some(Some(tag.len)),
            Fit::No => None,
        }
    }

    /// The text breaks off between two arguments, perhaps within a tag. At its very end that is a call if nothing
    /// but closing tags is missing.
    fn unclosed(&self, element: Element, tag: Option<&Lex<'_>>) -> Step {
        let closing = matches!(tag, Some(Lex::Partial { closing: true, .. }));
        let given = match &element.arguments {
            Given::Listed(given) => {
                let required = &self.tools[element.tool].required;
                required.iter().all(|name| given.iter().any(|(given, _)| given == name))
            }
            Given::Whole(_) => true,
        };
        match (self.ending, tag) {
            (Ending::Open, _) => Step::Wait(Expect::Argument(element)),
            _ if closing => self.call(element, self.text.len()),
            (Ending::Complete, None) if given && !element.is_bare() => self.call(element, self.text.len()),
            _ => Step::Done(Verdict::Text(self.text.len())),
        }
    }

    /// The call is complete, up to `len`.
    fn call(&self, element: Element, len: usize) -> Step {
        let tool = &self.tools[element.tool];
        // `<toolname></toolname>` of a tool that needs arguments speaks about the tool.
        if element.form == Form::Named && element.is_bare() && !tool.required.is_empty() {
            return Step::Done(Verdict::Text(len));
        }
        let arguments = match element.arguments {
            Given::Listed(values) => typed_args(&values, tool.schema.as_ref()),
            Given::Whole(object) => object,
        };
        let found = Found { name: tool.name.clone(), arguments };
        Step::Done(Verdict::Call { found, wrappers: self.wrappers, len })
    }
}

impl Element {
    fn is_bare(&self) -> bool {
        matches!(&self.arguments, Given::Listed(given) if given.is_empty())
    }

    fn with(mut self, name: String, value: String) -> Element {
        if let Given::Listed(given) = &mut self.arguments {
            given.push((name, value));
        }
        self
    }
}

impl Json {
    fn from(at: usize) -> Json {
        Json { search: at, depth: 0, string: InString::No }
    }

    /// Reads on in `text`; where the object ends, once it does.
    fn end(&mut self, text: &str) -> Option<usize> {
        for (at, byte) in text.bytes().enumerate().skip(self.search) {
            self.search = at + 1;
            match (self.string, byte) {
                (InString::Escape, _) => self.string = InString::Yes,
                (InString::Yes, b'\\') => self.string = InString::Escape,
                (InString::Yes, b'"') => self.string = InString::No,
                (InString::Yes, _) => {}
                (InString::No, b'"') => self.string = InString::Yes,
                (InString::No, b'{' | b'[') => self.depth += 1,
                (InString::No, b'}' | b']') => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                (InString::No, _) => {}
            }
        }
        None
    }
}
