//! Parses possible tool calls in the text, piece by piece, until they are complete or turn out to be none.

mod arguments;
mod objects;

use super::grammars::{
    BETWEEN, CALL_ID, CALLS, CHANNELS, FENCE, GEMMA_CALL, MESSAGE, NAMES, TOOL_CODE, TURN_ENDS, WRAPPERS,
};
use super::marks::{Kind, Lex, Mark, Partial, lex};
use super::offer::{Offer, Offered};
use super::repair::{Read, Value, Words};
use arguments::{Argument, Element, Given, Next};
use objects::calls_in;

/// More wrappers than this around one call are no call.
const DEEPEST: usize = 4;
/// Behind more white space than this an argument does not go on: it is looked through again with every piece.
pub const WIDEST: usize = 512;
/// Longest name of a tool or an argument, and longest header of a channel, in bytes.
pub const LONGEST_NAME: usize = 256;

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
    /// It is none: the first `len` bytes are text, of `read` bytes in all that were read to know it.
    Text { len: usize, read: usize },
    /// Calls, up to `len`, with what was opened on the way.
    Calls { found: Vec<Found>, opened: Opened, len: usize },
    /// It closes a wrapper, or ends the bot's turn, and is so many bytes long.
    Closes { len: usize, is_fence: bool },
}

/// Wrappers that were opened in front of a call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opened {
    /// How many.
    pub wrappers: usize,
    /// Whether a fence of code is among them.
    pub fence: bool,
    /// Whether an `<invoke>` or `<function>` is among them that names its tool by a child.
    pub nameless: bool,
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
    /// At the start of the answer, where OpenAI's own objects are calls too.
    Start,
    /// In text.
    Text,
    /// Behind calls or in a wrapper that is open: wrappers may close.
    Calls,
    /// The same right behind a call: more may follow without a mark.
    Behind,
}

/// A text that may begin with calls. It keeps no text itself, only how far it has read.
#[derive(Debug)]
pub struct Candidate {
    surrounding: Surrounding,
    /// What is open around it.
    outer: Opened,
    /// Everything before this is understood.
    at: usize,
    /// Length of the first mark: that much is text if the rest makes no call.
    first: usize,
    opened: Opened,
    expect: Expect,
}

/// What is to come at `at`.
#[derive(Debug)]
pub enum Expect {
    /// The opening of a call, or of a wrapper around it.
    Opening,
    /// OpenAI's object at the start of the answer.
    Envelope,
    /// The rest of JSON that is whole calls and begins there.
    Object(Value, usize),
    /// The rest of a tool's name in the element so called.
    ToolName(String),
    /// The rest of a tool's name without any mark around it.
    Head,
    /// What follows such a name; `None`: the word `function`.
    Between { tool: Option<usize>, words: Words, is_fenced: bool },
    /// The rest of a channel's header.
    Channel,
    /// The next argument or the end of a call.
    Argument(Element),
    /// The rest of JSON that is all arguments and begins there.
    Arguments(Element, Value, usize),
    /// The end of the fence around the arguments.
    FenceEnd(Element),
    /// The rest of an argument's name, and the element for its value.
    Key(Element, usize),
    /// The rest of an argument's value.
    Value(Element, Argument),
}

/// The result of one step: either it goes on with something else, or there is a verdict.
pub enum Step {
    On(Expect),
    Wait(Expect),
    Done(Verdict),
}

/// The call that `markup` is, if it is one and nothing else.
pub fn read_one(markup: &str, offer: &Offer) -> Option<Found> {
    match Candidate::new(Surrounding::Text, Opened::default()).read(markup, offer, Ending::Complete) {
        Verdict::Calls { mut found, .. } if found.len() == 1 => found.pop(),
        _ => None,
    }
}

impl Candidate {
    /// A candidate that begins in this surrounding, inside of what is open.
    pub fn new(surrounding: Surrounding, outer: Opened) -> Candidate {
        Candidate { surrounding, outer, at: 0, first: 0, opened: Opened::default(), expect: Expect::Opening }
    }

    /// Reads on in `text`, the whole text of the candidate so far. With any other `ending` than `Open` the verdict
    /// is final.
    pub fn read(&mut self, text: &str, offer: &Offer, ending: Ending) -> Verdict {
        let (surrounding, outer) = (self.surrounding, self.outer);
        let (at, first, opened) = (self.at, self.first, self.opened);
        let mut reader = Reader { text, offer, ending, surrounding, outer, at, first, opened };
        let mut expect = std::mem::replace(&mut self.expect, Expect::Opening);
        loop {
            match reader.step(expect) {
                Step::On(next) => expect = next,
                Step::Wait(next) if ending == Ending::Open => {
                    (self.at, self.first, self.opened) = (reader.at, reader.first, reader.opened);
                    self.expect = next;
                    return Verdict::Open;
                }
                Step::Wait(_) => return reader.text(text.len()),
                Step::Done(verdict) => return verdict,
            }
        }
    }

    /// The verdict on a candidate that has become too long.
    pub fn give_up(&self, text: &str) -> Verdict {
        Verdict::Text { len: self.first.max(first_letter(text)), read: text.len() }
    }
}

fn first_letter(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// One look at a candidate's text.
pub struct Reader<'t> {
    pub text: &'t str,
    pub offer: &'t Offer,
    pub ending: Ending,
    pub surrounding: Surrounding,
    pub outer: Opened,
    pub at: usize,
    pub first: usize,
    pub opened: Opened,
}

impl<'t> Reader<'t> {
    fn step(&mut self, expect: Expect) -> Step {
        match expect {
            Expect::Opening => self.opening(),
            Expect::Envelope => self.envelope(),
            Expect::Object(value, from) => self.object(value, from),
            Expect::ToolName(element) => self.tool_name(element),
            Expect::Head => self.head(),
            Expect::Between { tool, words, is_fenced } => self.between(tool, words, is_fenced),
            Expect::Channel => self.channel(),
            Expect::Argument(element) => self.argument(element),
            Expect::Arguments(element, value, from) => self.arguments(element, value, from),
            Expect::FenceEnd(element) => self.fence_end(element),
            Expect::Key(element, pair) => self.key(element, pair),
            Expect::Value(element, argument) => self.value(element, argument),
        }
    }

    pub fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub fn skip_white_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, len: usize) {
        self.at += len;
        if self.first == 0 {
            self.first = self.at;
        }
    }

    /// The verdict that it is text, once `read` bytes are read.
    pub fn text(&self, read: usize) -> Verdict {
        let len = self.first.max(first_letter(self.text));
        Verdict::Text { len, read: read.max(len) }
    }

    pub fn refuse(&self) -> Step {
        Step::Done(self.text(self.at))
    }

    fn in_calls(&self) -> bool {
        self.opened.wrappers > 0 || self.surrounding == Surrounding::Behind
    }

    /// Whether nothing was opened yet behind other calls, so that a wrapper of theirs may close here.
    fn may_close(&self) -> bool {
        self.opened.wrappers == 0 && matches!(self.surrounding, Surrounding::Calls | Surrounding::Behind)
    }

    fn opening(&mut self) -> Step {
        self.skip_white_space();
        let in_calls = self.in_calls();
        match self.rest().bytes().next() {
            None if self.may_close() && self.ending != Ending::Open && self.at > 0 => {
                self.closes(self.text.len(), false)
            }
            None => Step::Wait(Expect::Opening),
            Some(b'<' | b'`') => self.opening_mark(),
            Some(b'[' | b']') if !matches!(lex(self.rest()), Lex::Bad) => self.opening_mark(),
            Some(b'f') if self.surrounding == Surrounding::Start && self.at == 0 => self.opening_mark(),
            Some(b'{') if in_calls => Step::On(Expect::Object(Value::new(self.at, Words::Refused), self.at)),
            Some(b'{' | b'[') if self.surrounding == Surrounding::Start && !in_calls => {
                Step::On(Expect::Envelope)
            }
            Some(b'[') if in_calls => self.list(),
            // what stood around or between the calls before
            Some(b',' | b';' | b')' | b'}' | b']') if in_calls && self.at < WIDEST => {
                self.at += 1;
                Step::On(Expect::Opening)
            }
            Some(_) if in_calls => Step::On(Expect::Head),
            Some(_) => self.refuse(),
        }
    }

    /// A list of calls, as JSON or as in Python.
    fn list(&mut self) -> Step {
        let inner = self.rest()[1..].trim_start();
        if self.rest().len() - inner.len() > WIDEST {
            return self.refuse();
        }
        match inner.chars().next() {
            None => Step::Wait(Expect::Opening),
            Some(letter) if letter.is_ascii_alphabetic() || letter == '_' => {
                self.at += 1;
                Step::On(Expect::Opening)
            }
            Some(_) => Step::On(Expect::Object(Value::new(self.at, Words::Refused), self.at)),
        }
    }

    fn closes(&self, len: usize, is_fence: bool) -> Step {
        Step::Done(Verdict::Closes { len, is_fence })
    }

    fn opening_mark(&mut self) -> Step {
        if self.rest().starts_with('`') && !self.may_close() && !self.rest().starts_with(TOOL_CODE) {
            // every block of code begins so
            let may_come = TOOL_CODE.starts_with(self.rest());
            return if may_come { Step::Wait(Expect::Opening) } else { self.refuse() };
        }
        let lexed = lex(self.rest());
        if self.may_close() && self.is_closing(&lexed) {
            let is_fence = lexed.may_be("```") && self.outer.fence;
            return match lexed {
                Lex::Mark(mark) => self.closes(self.at + mark.len, is_fence),
                Lex::Partial(partial) if self.ending != Ending::Open && !partial.name.is_empty() => {
                    let len = if partial.name.starts_with(FENCE) { FENCE.len() } else { self.rest().len() };
                    self.closes(self.at + len, is_fence)
                }
                _ => Step::Wait(Expect::Opening),
            };
        }
        match lexed {
            Lex::Mark(mark) => self.opened_by(mark),
            Lex::Partial(partial) if self.may_open(&partial) => Step::Wait(Expect::Opening),
            _ => self.refuse(),
        }
    }

    fn opened_by(&mut self, mark: Mark<'t>) -> Step {
        if mark.kind != Kind::Close
            && let Some(element) = self.element(&mark)
        {
            let Some(element) = element else { return self.refuse() };
            self.take(mark.len);
            return match mark.kind {
                Kind::Empty => self.call(element, self.at),
                _ => Step::On(Expect::Argument(element)),
            };
        }
        if any(CHANNELS, |pattern| mark.is(pattern)) {
            self.take(mark.len);
            return Step::On(Expect::Channel);
        }
        if self.opened.wrappers > 0 && any(NAMES, |pattern| mark.is(pattern)) && mark.kind == Kind::Open {
            self.take(mark.len);
            return Step::On(Expect::ToolName(mark.name.into_owned()));
        }
        let is_wrapper = WRAPPERS.iter().any(|wrapper| any(wrapper.opens, |pattern| mark.is(pattern)));
        if !is_wrapper || mark.kind != Kind::Open || self.opened.wrappers == DEEPEST {
            return self.refuse();
        }
        self.opened.wrappers += 1;
        self.opened.fence |= mark.is(TOOL_CODE);
        self.opened.nameless |= any(CALLS, |pattern| mark.is(pattern)) && mark.name != "tool_call";
        self.take(mark.len);
        Step::On(Expect::Opening)
    }

    fn may_open(&self, partial: &Partial<'_>) -> bool {
        let may_be = |pattern: &&str| partial.may_be(pattern);
        CALLS.iter().chain(CHANNELS).any(may_be)
            || WRAPPERS.iter().any(|wrapper| wrapper.opens.iter().any(may_be))
            || self.opened.wrappers > 0 && NAMES.iter().any(may_be)
            || !partial.closes && self.may_name_tool(partial)
    }

    fn may_name_tool(&self, partial: &Partial<'_>) -> bool {
        match partial.is_named {
            true => self.offer.find(&partial.name).is_some(),
            false => self.offer.may_be_named(partial.local()),
        }
    }

    /// Whether this closes, or may close, some wrapper. Only what was opened counts for a mark that means something
    /// else too.
    pub fn is_closing(&self, lexed: &Lex<'_>) -> bool {
        let is_fence = self.outer.fence || self.opened.fence;
        let is_nameless = self.outer.nameless || self.opened.nameless;
        let counts = |pattern: &&&str| match **pattern {
            "```" => is_fence,
            "</invoke>" | "</function>" => is_nameless,
            _ => true,
        };
        let closes = WRAPPERS.iter().flat_map(|wrapper| wrapper.closes).chain(TURN_ENDS);
        closes.filter(counts).any(|pattern| lexed.may_be(pattern))
    }

    /// The call that `mark` opens; `None` if it opens none, `Some(None)` if its tool is not on offer.
    fn element(&self, mark: &Mark<'_>) -> Option<Option<Element>> {
        let is_call = any(CALLS, |pattern| pattern.get(1..pattern.len() - 1) == Some(&mark.name));
        let name = match (&mark.label, is_call) {
            (Some(label), true) => label.as_str(),
            _ if mark.attributes == 0 => {
                return Some(Some(self.opens(self.offer.find(&mark.name)?, Some(&mark.name))));
            }
            _ => return None,
        };
        Some(self.offer.find(name).map(|tool| self.opens(tool, Some(&mark.name))))
    }

    fn opens(&self, tool: usize, closing: Option<&str>) -> Element {
        Element {
            tool,
            closing: closing.map(str::to_owned),
            around: None,
            is_fenced: false,
            words: Words::Refused,
            given: Given::Listed(Vec::new()),
        }
    }

    pub fn tool(&self, element: &Element) -> &'t Offered {
        self.offer.tool(element.tool)
    }

    /// `{"tool_calls": [`, or a call as OpenAI writes it in there.
    fn envelope(&mut self) -> Step {
        const BEGINNINGS: [&str; 6] = [
            "{\"tool_calls\":[{\"",
            "{\"type\":\"function",
            "{\"id\":\"call_",
            "{\"function\":{\"name\"",
            "[{\"type\":\"function",
            "[{\"id\":\"call_",
        ];
        const LONGEST: usize = 64;
        let window = self.rest().char_indices().take_while(|(at, _)| *at < LONGEST);
        let compact: String =
            window.map(|(_, letter)| letter).filter(|letter| !letter.is_whitespace()).collect();
        if BEGINNINGS.iter().any(|beginning| compact.starts_with(beginning)) {
            return Step::On(Expect::Object(Value::new(self.at, Words::Refused), self.at));
        }
        let may_come = BEGINNINGS.iter().any(|beginning| beginning.starts_with(&compact));
        if may_come && self.rest().len() < LONGEST { Step::Wait(Expect::Envelope) } else { self.refuse() }
    }

    fn object(&mut self, mut value: Value, from: usize) -> Step {
        let (end, missing) = match value.read(self.text) {
            Read::Whole(end) => (end, false),
            Read::Unclosed(end) => match lex(&self.text[end..]) {
                Lex::Partial(_) if self.ending == Ending::Open => {
                    return Step::Wait(Expect::Object(value, from));
                }
                lexed if self.is_closing(&lexed) => (end, true),
                _ => return Step::Done(self.text(end)),
            },
            Read::More if self.ending == Ending::Complete && value.lacks_only_brackets() => {
                (self.text.len(), true)
            }
            Read::More => return Step::Wait(Expect::Object(value, from)),
            Read::Bad(at) => return Step::Done(self.text(at)),
        };
        match calls_in(&self.text[from..end], missing, self.offer) {
            Some(found) => Step::Done(Verdict::Calls { found, opened: self.opened, len: end }),
            None => Step::Done(self.text(end)),
        }
    }

    /// The name in `<name>…</name>`.
    fn tool_name(&mut self, element: String) -> Step {
        let found = self.rest().find('<');
        let len = found.unwrap_or(self.rest().len());
        if len > LONGEST_NAME {
            return self.refuse();
        }
        if found.is_none() {
            return Step::Wait(Expect::ToolName(element));
        }
        let name = self.rest()[..len].trim();
        match (lex(&self.rest()[len..]), self.offer.find(name)) {
            (Lex::Mark(mark), Some(tool)) if mark.kind == Kind::Close && mark.name == element.as_str() => {
                self.at += len + mark.len;
                Step::On(Expect::Argument(self.opens(tool, None)))
            }
            (Lex::Partial(partial), Some(_)) if partial.may_be_named(&element, true) => {
                Step::Wait(Expect::ToolName(element))
            }
            _ => self.refuse(),
        }
    }

    /// A tool's name in front of its arguments, such as `functions.f:0`, `call:f` or Python's `print(f`.
    fn head(&mut self) -> Step {
        let rest = self.rest();
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_-.:/".contains(letter);
        let len = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
        let run = &rest[..len];
        let (bare, words) = match run.strip_prefix(GEMMA_CALL) {
            Some(bare) => (bare, Words::Strings),
            None => (run, Words::Refused),
        };
        if rest.is_empty() {
            return Step::Wait(Expect::Head);
        }
        if run.is_empty() || len > LONGEST_NAME {
            return self.refuse();
        }
        if len == rest.len() {
            return if self.may_be_head(run, bare) { Step::Wait(Expect::Head) } else { self.refuse() };
        }
        let between = |tool| Expect::Between { tool, words, is_fenced: false };
        let next = match self.offered(bare) {
            Some(tool) => between(Some(tool)),
            None if run == "function" => between(None),
            None if run == "print" && rest[len..].starts_with('(') => {
                self.at += len + 1;
                return Step::On(Expect::Head);
            }
            None => return self.refuse(),
        };
        self.at += len;
        Step::On(next)
    }

    /// The tool of this name, which may have Kimi's `:0` or Llama's `.call` behind it.
    fn offered(&self, name: &str) -> Option<usize> {
        let without_number = || {
            let (name, number) = name.rsplit_once(':')?;
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| self.offer.find(name)).flatten()
        };
        let found = self.offer.find(name).or_else(without_number);
        found.or_else(|| self.offer.find(name.strip_suffix(".call")?))
    }

    fn may_be_head(&self, run: &str, bare: &str) -> bool {
        let words = [GEMMA_CALL, "function", "print"].iter().any(|word| word.starts_with(run));
        words || self.offer.may_be_named(bare) || self.offered(bare.trim_end_matches(':')).is_some() || {
            let known =
                ".call".starts_with(bare.rsplit_once('.').map_or("-", |(name, _)| &bare[name.len()..]));
            known && bare.rsplit_once('.').is_some_and(|(name, _)| self.offer.find(name).is_some())
        }
    }

    /// Behind a tool's name: its arguments as JSON or as in Python, or the first of them as an element.
    fn between(&mut self, tool: Option<usize>, words: Words, is_fenced: bool) -> Step {
        self.skip_white_space();
        let element = tool.map(|tool| Element { is_fenced, words, ..self.opens(tool, None) });
        match (self.rest().bytes().next(), element) {
            (None, _) => Step::Wait(Expect::Between { tool, words, is_fenced }),
            (Some(b'{' | b'('), Some(element)) => {
                Step::On(Expect::Arguments(element, Value::new(self.at, words), self.at))
            }
            (Some(b'<' | b'[' | b']' | b'`'), element) => self.between_mark(element, tool, words, is_fenced),
            _ => self.refuse(),
        }
    }

    fn between_mark(
        &mut self,
        element: Option<Element>,
        tool: Option<usize>,
        words: Words,
        is_fenced: bool,
    ) -> Step {
        let lexed = lex(self.rest());
        let mark = match &lexed {
            Lex::Mark(mark) => mark,
            Lex::Partial(partial) if self.may_stand_between(partial, element.as_ref()) => {
                return Step::Wait(Expect::Between { tool, words, is_fenced });
            }
            _ => return self.refuse(),
        };
        let is_fence = mark.is("```json") || mark.is("```");
        if any(BETWEEN, |pattern| mark.is(pattern)) && !(is_fence && self.opened.fence) {
            self.at += mark.len;
            let is_fenced = is_fenced || is_fence;
            return Step::On(match tool {
                Some(_) => Expect::Between { tool, words, is_fenced },
                None => Expect::Opening,
            });
        }
        if mark.is(CALL_ID) {
            let id = self.rest()[mark.len..]
                .trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || "_- ".contains(letter));
            if self.rest().len() - id.len() > LONGEST_NAME {
                return self.refuse();
            }
            if id.is_empty() {
                return Step::Wait(Expect::Between { tool, words, is_fenced });
            }
            self.at = self.text.len() - id.len();
            return Step::On(Expect::Between { tool, words, is_fenced });
        }
        let Some(element) = element else { return self.refuse() };
        match self.next(&element, &lexed) {
            Next::Argument(..) | Next::Key(_) | Next::Around(_) => Step::On(Expect::Argument(element)),
            _ if self.is_closing(&lexed) && self.tool(&element).required.is_empty() => {
                self.call(element, self.at)
            }
            _ => self.refuse(),
        }
    }

    fn may_stand_between(&self, partial: &Partial<'_>, element: Option<&Element>) -> bool {
        let lexed = Lex::Partial(Partial { name: partial.name.clone(), ..*partial });
        partial.may_be(CALL_ID)
            || BETWEEN.iter().any(|pattern| partial.may_be(pattern))
            || self.is_closing(&lexed)
            || element.is_some_and(|element| matches!(self.next(element, &lexed), Next::NotYet))
    }

    /// The header of a channel: `commentary to=functions.f <|constrain|>json<|message|>`.
    fn channel(&mut self) -> Step {
        let rest = self.rest();
        let found = rest.find(MESSAGE);
        let len = found.unwrap_or(rest.len());
        let is_header = |letter: char| letter.is_ascii_alphanumeric() || " _.=<|>-:/".contains(letter);
        if len > LONGEST_NAME || !rest[..len].chars().all(is_header) {
            return self.refuse();
        }
        if found.is_none() {
            return Step::Wait(Expect::Channel);
        }
        let header = rest[..len].split_once("to=").map_or("", |(_, name)| name);
        let name = header.split([' ', '<']).next().unwrap_or_default();
        let Some(tool) = self.offer.find(name) else { return self.refuse() };
        self.at += len + MESSAGE.len();
        Step::On(Expect::Between { tool: Some(tool), words: Words::Refused, is_fenced: false })
    }
}

/// Name in a pattern such as `<invoke>`.
pub fn named(pattern: &str) -> &str {
    pattern.trim_matches(['<', '>'])
}

pub fn any(patterns: &[&str], fits: impl Fn(&str) -> bool) -> bool {
    patterns.iter().any(|pattern| fits(pattern))
}
