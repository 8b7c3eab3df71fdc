//! Decodes Poe's events.
//!
//! Events as Poe documents them are read strictly, which is fast. What the strict reader gives back is read once more
//! by meaning ([`Loose`]): no member that is missing, doubled or of another type ends an answer or loses text.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::ends::{self, End};
use super::error_classes;
use super::loose::{Loose, Members, Wide};
use super::sse::Frame;
use crate::error::{Error, Kind, Result};
use crate::pipeline::{
    Attachment, Event, Finish, FinishReason, ToolDelta, is_progress, may_be_progress, media_type,
};

/// Turns the events of one answer into ours.
#[derive(Debug, Default)]
pub struct Decode {
    reason: Option<FinishReason>,
    /// The failure that a `finish_reason` named, unless an answer follows it all the same.
    failed: Option<Error>,
    /// The response that is streamed; the others of a multi-response wait in `others`.
    main: Option<i64>,
    others: BTreeMap<i64, String>,
    /// Our indexes of the calls so far, by Poe's: ours have no gaps, whatever a bot counts.
    calls: HashMap<usize, usize>,
    /// Half a surrogate pair, whose other half may come with the next event, and where it belongs.
    half: Option<(Place, u16)>,
    said: Said,
    /// Whether a thought came since the text was last replaced.
    has_thought: bool,
    has_files: bool,
}

/// What the text since it was last replaced is.
#[derive(Debug)]
enum Said {
    /// Nothing, or rows of progress so far.
    Progress(String),
    /// An answer.
    Answer,
}

impl Default for Said {
    fn default() -> Said {
        Said::Progress(String::new())
    }
}

/// Where characters belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    Thought,
    /// The arguments of this call.
    Call(usize),
}

/// Whether more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The answer goes on.
    More,
    /// Poe said `done`.
    Done,
}

#[derive(Deserialize)]
struct TextData {
    text: String,
    index: Option<i64>,
}

/// A chunk of OpenAI's as most bots send it.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(default, alias = "delta", alias = "message")]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    delta: Delta,
    #[serde(default, borrow)]
    finish_reason: Option<&'a str>,
    #[serde(default, alias = "message", alias = "text")]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
    /// What only the lenient reader knows.
    #[serde(
        default,
        alias = "refusal",
        alias = "function_call",
        alias = "reasoning_details",
        alias = "thinking",
        alias = "thought",
        alias = "images"
    )]
    other: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct CallDelta {
    index: usize,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: FunctionDelta,
}

#[derive(Default, Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

impl Chunk<'_> {
    /// Whether nothing stands in it that only the lenient reader knows.
    fn is_plain(&self) -> bool {
        let is_plain = |choice: &Choice<'_>| choice.error.is_none() && choice.delta.other.is_none();
        self.error.is_none() && self.choices.iter().all(is_plain)
    }
}

impl Decode {
    /// Puts what `frame` means into `out`. An error is Poe's own, or says what of the event cannot be read.
    pub fn push(&mut self, frame: &Frame<'_>, out: &mut VecDeque<Event>) -> Result<Progress> {
        match frame.name {
            b"text" => match serde_json::from_slice::<TextData>(frame.data) {
                Ok(data) if self.half.is_none() => self.text(data.index, data.text, out),
                _ => self.loose_text(frame, out)?,
            },
            b"replace_response" => self.replacement(frame, out)?,
            b"json" | b"" | b"message" => match serde_json::from_slice::<Chunk<'_>>(frame.data) {
                Ok(chunk) if self.half.is_none() && chunk.is_plain() => self.chunk(chunk, out),
                _ => self.loose_event(frame, out)?,
            },
            b"file" => self.file(frame, out),
            b"suggested_reply" => {
                let text = string_of(frame, &["text"]).filter(|text| !text.is_empty());
                out.extend(text.map(Event::Suggestion));
            }
            b"data" => out.extend(string_of(frame, &["metadata"]).map(Event::Metadata)),
            b"error" => return Err(error_classes::of_event(frame.data)),
            b"done" => {
                self.close(out)?;
                return Ok(Progress::Done);
            }
            _ => {} // meta, ping and what may come
        }
        Ok(Progress::More)
    }

    /// The connection ended properly, but without `done`: that is the end of an answer which has said that it ends.
    pub fn end(&mut self, out: &mut VecDeque<Event>) -> Result<Progress> {
        if self.reason.is_none() && self.failed.is_none() {
            return Ok(Progress::More);
        }
        self.close(out)?;
        Ok(Progress::Done)
    }

    fn close(&mut self, out: &mut VecDeque<Event>) -> Result<()> {
        self.settle_half(out);
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.is_progress() && !self.has_thought && self.has_files {
            out.push_back(Event::Retract); // the file is the answer
        }
        for (_, other) in std::mem::take(&mut self.others) {
            self.append(format!("\n\n{other}"), out);
        }
        let reason = self.reason.unwrap_or_default();
        out.push_back(Event::Finish(Finish { reason, ..Finish::default() }));
        Ok(())
    }

    /// Whether all that was said is a row of progress.
    fn is_progress(&self) -> bool {
        matches!(&self.said, Said::Progress(text) if is_progress(text))
    }

    fn text(&mut self, index: Option<i64>, text: String, out: &mut VecDeque<Event>) {
        match self.other(index) {
            Some(other) => other.push_str(&text),
            None => self.append(text, out),
        }
    }

    fn append(&mut self, text: String, out: &mut VecDeque<Event>) {
        if text.is_empty() {
            return;
        }
        if let Said::Progress(said) = &mut self.said {
            said.push_str(&text);
            if !may_be_progress(said) {
                self.said = Said::Answer;
            }
        }
        out.push_back(Event::Text(text));
    }

    fn loose_text(&mut self, frame: &Frame<'_>, out: &mut VecDeque<Event>) -> Result<()> {
        if let Some((index, text)) = text_data(frame)? {
            match self.other(index) {
                Some(other) => other.push_str(&text.lossy()),
                None => self.say(Place::Text, text, out),
            }
        }
        Ok(())
    }

    fn replacement(&mut self, frame: &Frame<'_>, out: &mut VecDeque<Event>) -> Result<()> {
        let Some((index, text)) = text_data(frame)? else { return Ok(()) };
        match self.other(index) {
            Some(other) => *other = text.lossy(),
            None => {
                self.half = None;
                (self.said, self.has_thought) = (Said::default(), false);
                out.push_back(Event::Retract);
                self.say(Place::Text, text, out);
            }
        }
        Ok(())
    }

    /// Says characters, of which the last may be a half.
    fn say(&mut self, place: Place, text: Wide, out: &mut VecDeque<Event>) {
        if text.is_empty() {
            return;
        }
        if self.half.is_some_and(|(other, _)| other != place) {
            self.settle_half(out);
        }
        let (text, half) = text.join(self.half.take().map(|(_, half)| half));
        self.half = half.map(|half| (place, half));
        self.say_whole(place, text, out);
    }

    fn say_whole(&mut self, place: Place, text: String, out: &mut VecDeque<Event>) {
        match place {
            Place::Text => self.append(text, out),
            Place::Thought => self.think(text, out),
            Place::Call(index) if !text.is_empty() => {
                out.push_back(Event::ToolCall(ToolDelta { index, arguments: text, ..ToolDelta::default() }));
            }
            Place::Call(_) => {}
        }
    }

    /// The other half will not come.
    fn settle_half(&mut self, out: &mut VecDeque<Event>) {
        if let Some((place, _)) = self.half.take() {
            self.say_whole(place, char::REPLACEMENT_CHARACTER.into(), out);
        }
    }

    fn think(&mut self, thought: String, out: &mut VecDeque<Event>) {
        if !thought.is_empty() {
            self.has_thought = true;
            out.push_back(Event::Thinking(thought));
        }
    }

    /// The bytes of the responses that wait.
    pub fn others(&self) -> impl ExactSizeIterator<Item = usize> {
        self.others.values().map(String::len)
    }

    /// Where the text of a response other than the streamed one is collected.
    fn other(&mut self, index: Option<i64>) -> Option<&mut String> {
        let index = index?;
        match *self.main.get_or_insert(index) == index {
            true => None,
            false => Some(self.others.entry(index).or_default()),
        }
    }

    /// Our index of a call.
    fn call(&mut self, theirs: usize) -> usize {
        let next = self.calls.len();
        *self.calls.entry(theirs).or_insert(next)
    }

    fn chunk(&mut self, chunk: Chunk<'_>, out: &mut VecDeque<Event>) {
        // one answer was asked for: several choices are its parts, such as text in one and calls in the next
        for choice in chunk.choices {
            let before = out.len();
            let Delta { content, reasoning_content, reasoning, tool_calls, .. } = choice.delta;
            let thought = reasoning_content.filter(|text| !text.is_empty()).or(reasoning);
            self.think(thought.unwrap_or_default(), out);
            self.append(content.unwrap_or_default(), out);
            for call in tool_calls.into_iter().flatten() {
                out.push_back(Event::ToolCall(ToolDelta {
                    index: self.call(call.index),
                    id: call.id.filter(|id| !id.is_empty()),
                    name: call.function.name.filter(|name| !name.is_empty()),
                    arguments: call.function.arguments.unwrap_or_default(),
                }));
            }
            self.ended(choice.finish_reason, false, out.len() > before);
        }
    }

    /// Takes in a `finish_reason`. A failure is sent at the end: an `error` event may still say more of it.
    fn ended(&mut self, word: Option<&str>, is_refused: bool, has_said: bool) {
        if has_said {
            self.failed = None;
        }
        match word.and_then(ends::end) {
            _ if is_refused => self.reason = Some(FinishReason::ContentFilter),
            None => {}
            // says the least
            Some(End::Reason(FinishReason::Stop)) => drop(self.reason.get_or_insert(FinishReason::Stop)),
            Some(End::Reason(reason)) => self.reason = Some(reason),
            Some(End::Failed(kind)) => {
                let message = format!("the bot's answer ended with `{}`", word.unwrap_or_default().trim());
                let is_passing = matches!(kind, Kind::Upstream | Kind::Overloaded | Kind::RateLimited);
                self.failed = Some(Error { transient: is_passing, ..Error::new(kind, message) });
            }
        }
    }

    /// A `json` event that is not as most bots send it.
    fn loose_event(&mut self, frame: &Frame<'_>, out: &mut VecDeque<Event>) -> Result<()> {
        let text = String::from_utf8_lossy(frame.data);
        match Loose::read(text.trim()) {
            Some(value) => value.items().into_iter().try_for_each(|chunk| self.loose_chunk(chunk, out)),
            // a chunk that is cut may have held anything; `[DONE]`, signs of life and the like hold nothing
            None if frame.name == b"json" && text.trim_start().starts_with('{') => Err(unreadable(frame)),
            None => Ok(()),
        }
    }

    fn loose_chunk(&mut self, chunk: Loose<'_>, out: &mut VecDeque<Event>) -> Result<()> {
        let members = chunk.members();
        fail(&members)?;
        match members.get(&["choices"]) {
            Some(choices) => {
                choices.items().into_iter().try_for_each(|choice| self.loose_choice(&choice.members(), out))
            }
            None => self.loose_choice(&members, out),
        }
    }

    fn loose_choice(&mut self, choice: &Members<'_>, out: &mut VecDeque<Event>) -> Result<()> {
        fail(choice)?;
        let (before, has_calls) = (out.len(), !self.calls.is_empty());
        let mut is_refused = false;
        if let Some(delta) = choice.get(&["delta"]) {
            is_refused = self.loose_delta(delta, out);
        }
        // some bots send the whole message at once, some repeat it at the end of all deltas
        let is_repeated = choice.get(&["delta"]).is_some()
            && (out.len() > before || has_calls || matches!(self.said, Said::Answer));
        if let Some(message) = choice.get(&["message"]).filter(|_| !is_repeated) {
            is_refused |= self.loose_delta(message, out);
        }
        if let Some(text) = choice.get(&["text"]).and_then(Loose::string) {
            self.say(Place::Text, text, out);
        }
        let word = choice.get(&["finish_reason", "finishReason", "stop_reason"]);
        let word = word.and_then(Loose::string).map(Wide::lossy);
        self.ended(word.as_deref(), is_refused, out.len() > before);
        Ok(())
    }

    /// Whether it is a refusal.
    fn loose_delta(&mut self, delta: Loose<'_>, out: &mut VecDeque<Event>) -> bool {
        if let Some(text) = delta.string() {
            self.say(Place::Text, text, out);
            return false;
        }
        let members = delta.members();
        let thought = ["reasoning_content", "reasoning", "reasoning_details", "thinking", "thought"];
        let thoughts = thought.into_iter().filter_map(|name| {
            let mut parts = Parts { place: Place::Thought, all: Vec::new() };
            parts.add(members.get(&[name])?, 0);
            (!parts.all.is_empty()).then_some(parts)
        });
        let mut parts = thoughts.take(1).flat_map(|parts| parts.all).collect::<Vec<_>>();
        let mut content = Parts { place: Place::Text, all: Vec::new() };
        members.get(&["content"]).into_iter().for_each(|value| content.add(value, 0));
        members.get(&["images"]).into_iter().for_each(|value| content.add(value, 0));
        parts.append(&mut content.all);
        members.get(&["refusal"]).into_iter().for_each(|value| content.add(value, 0));
        let is_refused = !content.all.is_empty();
        for part in parts.into_iter().chain(content.all) {
            match part {
                Part::Said(place, text) => self.say(place, text, out),
                Part::File(url) => self.show(&url, "", "", None, out),
            }
        }
        let calls = members.get(&["tool_calls"]).map(Loose::items).unwrap_or_default();
        for (position, call) in calls.into_iter().enumerate() {
            let call = call.members();
            let function = call.get(&["function"]).unwrap_or(Loose::NULL).members();
            self.loose_call(position, &call, &function, out);
        }
        if let Some(function) = members.get(&["function_call"]) {
            self.loose_call(0, &Loose::NULL.members(), &function.members(), out);
        }
        is_refused
    }

    fn loose_call(
        &mut self,
        position: usize,
        call: &Members<'_>,
        function: &Members<'_>,
        out: &mut VecDeque<Event>,
    ) {
        let index =
            call.get(&["index"]).and_then(Loose::number).and_then(|index| usize::try_from(index).ok());
        let index = self.call(index.unwrap_or(position));
        let string = |members: &Members<'_>, name: &str| {
            let value = members.get(&[name])?;
            let text = value.string().map(Wide::lossy).or_else(|| value.scalar().map(str::to_owned))?;
            Some(text).filter(|text| !text.is_empty())
        };
        let (id, name) = (string(call, "id"), string(function, "name"));
        if self.half.is_some_and(|(place, _)| place != Place::Call(index)) {
            self.settle_half(out);
        }
        // JSON in a string; some bots send the JSON itself
        let json = |value: Loose<'_>| Wide::from(value.value().to_string().as_str());
        let arguments =
            function.get(&["arguments"]).map(|value| value.string().unwrap_or_else(|| json(value)));
        let before = self.half.take().map(|(_, half)| half);
        let (arguments, half) = arguments.unwrap_or_default().join(before);
        self.half = half.map(|half| (Place::Call(index), half));
        out.push_back(Event::ToolCall(ToolDelta { index, id, name, arguments }));
    }

    fn file(&mut self, frame: &Frame<'_>, out: &mut VecDeque<Event>) {
        let data = String::from_utf8_lossy(frame.data);
        let members = Loose::read(data.trim()).unwrap_or(Loose::NULL).members();
        let string =
            |name: &str| members.get(&[name]).and_then(Loose::string).map(Wide::lossy).unwrap_or_default();
        let inline_ref = Some(string("inline_ref")).filter(|text| !text.is_empty());
        match string("url") {
            url if url.is_empty() => {
                log::warn!("Poe sent a `file` event without a URL: {} bytes", data.len())
            }
            url => self.show(&url, &string("content_type"), &string("name"), inline_ref, out),
        }
    }

    fn show(
        &mut self,
        url: &str,
        content_type: &str,
        name: &str,
        inline_ref: Option<String>,
        out: &mut VecDeque<Event>,
    ) {
        self.has_files = true;
        let content_type = media_type(content_type, name, url).to_owned();
        let file = Attachment { url: url.to_owned(), content_type, name: name.to_owned(), inline_ref };
        out.push_back(Event::File(file));
    }
}

/// What a member of a message says, piece by piece.
struct Parts {
    /// Where it belongs, as far as its parts do not say otherwise.
    place: Place,
    all: Vec<Part>,
}

enum Part {
    Said(Place, Wide),
    /// The URL of a file.
    File(String),
}

impl Parts {
    /// The deepest nesting of parts that is looked into. Each level is sliced out of the one around it and read once
    /// more, so that an event costs at most so many times its bytes.
    const DEEPEST: usize = 32;

    fn add(&mut self, value: Loose<'_>, depth: usize) {
        if depth > Parts::DEEPEST {
            return;
        }
        if let Some(text) = value.string() {
            self.say(text);
        } else if let Some(scalar) = value.scalar() {
            // of thought that is a switch, not what is thought
            if self.place == Place::Text {
                self.say(scalar.into());
            }
        } else if value.is_object() {
            self.add_object(&value.members(), depth);
        } else {
            value.items().into_iter().for_each(|item| self.add(item, depth + 1));
        }
    }

    fn say(&mut self, text: Wide) {
        match self.all.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Said(place, said)) if *place == self.place => said.push(&text),
            _ => self.all.push(Part::Said(self.place, text)),
        }
    }

    fn add_object(&mut self, part: &Members<'_>, depth: usize) {
        let kind = part.get(&["type"]).and_then(Loose::string).map(Wide::lossy).unwrap_or_default();
        let before = self.place;
        if kind.contains("thinking") || kind.contains("reasoning") {
            self.place = Place::Thought;
        }
        let url = part.get(&["image_url", "video_url", "audio_url", "file_url", "url"]).and_then(|url| {
            let inner = url.members().get(&["url"]);
            inner.unwrap_or(url).string().map(Wide::lossy)
        });
        let words = ["text", "content", "thinking", "reasoning", "summary", "refusal", "value", "parts"];
        match (part.get(&words), url) {
            (Some(words), _) => self.add(words, depth + 1),
            (None, Some(url)) if !url.is_empty() => self.all.push(Part::File(url)),
            (None, _) => {}
        }
        self.place = before;
    }
}

/// The error that stands where an answer should be.
fn fail(members: &Members<'_>) -> Result<()> {
    let error =
        members.get(&["error"]).and_then(|error| error_classes::of_answer(&json!({"error": error.value()})));
    error.map_or(Ok(()), Err)
}

/// The text of an event and the response that it belongs to; `None` where nothing is said.
fn text_data(frame: &Frame<'_>) -> Result<Option<(Option<i64>, Wide)>> {
    let data = String::from_utf8_lossy(frame.data);
    if matches!(data.trim(), "" | "[DONE]") {
        return Ok(None);
    }
    let value = Loose::read(data.trim()).ok_or_else(|| unreadable(frame))?;
    let members = value.members();
    let said = if value.is_object() { members.get(&["text", "content"]) } else { Some(value) };
    let Some(said) = said.filter(|said| !said.is_null()) else { return Ok(None) };
    let mut parts = Parts { place: Place::Text, all: Vec::new() };
    parts.add(said, 0);
    let mut text = Wide::default();
    for part in &parts.all {
        match part {
            Part::Said(_, piece) => text.push(piece),
            Part::File(url) => text.push(&url.as_str().into()),
        }
    }
    Ok(Some((members.get(&["index"]).and_then(Loose::number), text)))
}

/// The string of an event that has it under one of `names`.
fn string_of(frame: &Frame<'_>, names: &[&str]) -> Option<String> {
    let data = String::from_utf8_lossy(frame.data);
    Loose::read(data.trim())?.members().get(names)?.string().map(Wide::lossy)
}

fn unreadable(frame: &Frame<'_>) -> Error {
    let name = String::from_utf8_lossy(frame.name);
    let reason = match serde_json::from_slice::<IgnoredAny>(frame.data) {
        Err(error) => error.to_string(),
        Ok(_) => "unexpected data".to_owned(),
    };
    Error::new(Kind::Upstream, format!("Poe sent a `{name}` event that is not valid JSON: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(frames: &[(&str, &str)]) -> Result<Vec<Event>> {
        let mut decode = Decode::default();
        let mut out = VecDeque::new();
        for (name, data) in frames {
            let progress = decode.push(&Frame { name: name.as_bytes(), data: data.as_bytes() }, &mut out)?;
            assert_eq!(progress == Progress::Done, *name == "done");
        }
        Ok(out.into())
    }

    fn text(text: &str) -> Event {
        Event::Text(text.into())
    }

    fn finish(reason: FinishReason) -> Event {
        Event::Finish(Finish { reason, ..Finish::default() })
    }

    #[test]
    fn text_replacements_files_and_suggestions() {
        let events = decode(&[
            ("meta", r#"{"linkify":true,"suggested_replies":true,"content_type":"text/markdown"}"#),
            ("text", r#"{"text":"wait"}"#),
            ("replace_response", r#"{"text":""}"#),
            ("replace_response", r#"{"text":"a\n\u4f60"}"#),
            ("ping", "{}"),
            ("file", r#"{"url":"u","content_type":"image/png","name":"n","inline_ref":"r"}"#),
            ("suggested_reply", r#"{"text":"more?"}"#),
            ("data", r#"{"metadata":"m"}"#),
            ("invented", "whatever"),
            ("done", "{}"),
        ]);
        let file = Attachment {
            url: "u".into(),
            content_type: "image/png".into(),
            name: "n".into(),
            inline_ref: Some("r".into()),
        };
        let expected = [
            text("wait"),
            Event::Retract,
            Event::Retract,
            text("a\n\u{4f60}"),
            Event::File(file),
            Event::Suggestion("more?".into()),
            Event::Metadata("m".into()),
            finish(FinishReason::Stop),
        ];
        assert_eq!(events.unwrap(), expected);
    }

    #[test]
    fn chunks_carry_text_thought_and_calls() {
        let events = decode(&[
            (
                "json",
                r#"{"choices":[{"delta":{"role":"assistant","content":"Hi","reasoning_content":"hm"}}]}"#,
            ),
            ("json", r#"{"choices":[]}"#),
            ("json", r#"{"id":"x"}"#),
            ("json", r#"{"choices":null}"#),
            (
                "json",
                r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
            ),
            ("json", r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}}]}"#),
            ("json", r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#),
            ("done", "{}"),
        ]);
        let call = |id: Option<&str>, arguments: &str| {
            Event::ToolCall(ToolDelta {
                index: 0,
                id: id.map(Into::into),
                name: id.map(|_| "f".into()),
                arguments: arguments.into(),
            })
        };
        let expected = [
            Event::Thinking("hm".into()),
            text("Hi"),
            call(Some("c"), ""),
            call(None, "{}"),
            finish(FinishReason::ToolCalls),
        ];
        assert_eq!(events.unwrap(), expected);
    }

    #[test]
    fn chunks_of_other_shapes_lose_nothing() {
        let call = |arguments: &str| {
            let (name, arguments) = (Some("f".into()), arguments.into());
            Event::ToolCall(ToolDelta { index: 0, id: None, name, arguments })
        };
        let rows = [
            (
                json!([{"delta": {"content": "Hi"}}, {"delta": {"tool_calls": [{"function": {"name": "f"}}]},
                "finish_reason": "tool_calls"}, {"finish_reason": "stop"}]),
                vec![text("Hi"), call("")],
                FinishReason::ToolCalls,
            ),
            (json!([{"message": {"content": "Hi"}}]), vec![text("Hi")], FinishReason::Stop),
            (
                json!([{"delta": {"content": [{"type": "text", "text": "H"}, "i", {"type": "image"}, null]}}]),
                vec![text("Hi")],
                FinishReason::Stop,
            ),
            (
                json!([{"delta": {"refusal": "No."}, "finish_reason": "stop"}]),
                vec![text("No.")],
                FinishReason::ContentFilter,
            ),
            (
                json!([{"delta": {"function_call": {"name": "f", "arguments": {"a": 1}}}}]),
                vec![call(r#"{"a":1}"#)],
                FinishReason::Stop,
            ),
        ];
        for (choices, events, reason) in rows {
            let chunk = json!({"choices": choices, "error": null}).to_string();
            let expected: Vec<_> = events.into_iter().chain([finish(reason)]).collect();
            assert_eq!(decode(&[("json", &chunk), ("done", "{}")]).unwrap(), expected, "{chunk}");
        }
    }

    #[test]
    fn calls_are_counted_without_gaps() {
        let piece =
            |index: &str| format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":{index}}}]}}}}]}}"#);
        let pieces = ["18446744073709551615", "7", "18446744073709551615", "0", "7"].map(piece);
        let frames: Vec<_> = pieces.iter().map(|data| ("json", data.as_str())).collect();
        let events = decode(&frames).unwrap();
        let indexes = events.iter().map(|event| match event {
            Event::ToolCall(delta) => delta.index,
            other => panic!("{other:?}"),
        });
        assert_eq!(indexes.collect::<Vec<_>>(), [0, 1, 0, 2, 1]);
    }

    #[test]
    fn of_several_responses_one_streams_and_the_others_follow() {
        let events = decode(&[
            ("text", r#"{"text":"a","index":0}"#),
            ("text", r#"{"text":"draft","index":1}"#),
            ("replace_response", r#"{"text":"B","index":1}"#),
            ("text", r#"{"text":"c","index":0}"#),
            ("done", "{}"),
        ]);
        assert_eq!(events.unwrap(), [text("a"), text("c"), text("\n\nB"), finish(FinishReason::Stop)]);
    }

    #[test]
    fn errors_and_nonsense_end_the_answer() {
        let error =
            decode(&[("error", r#"{"error_type":"insufficient_fund","text":"No points"}"#)]).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (Kind::InsufficientQuota, "No points"));
        assert_eq!(decode(&[("text", "{")]).unwrap_err().kind, Kind::Upstream);
        assert_eq!(decode(&[("json", "{\"choices\":[")]).unwrap_err().kind, Kind::Upstream);
        for nothing in ["{}", "{\"error\":null}", "{\"error\":{}}", "{\"error\":false}", "{\"error\":\"\"}"] {
            assert_eq!(decode(&[("json", nothing), ("done", "")]).unwrap(), [finish(FinishReason::Stop)]);
        }
        let error = decode(&[("json", r#"{"error":{"message":"prompt is too long"}}"#)]).unwrap_err();
        assert_eq!(error.kind, Kind::ContextTooLong);
    }

    /// What was said, and what was thought, of events that end well.
    fn rendered(frames: &[(&str, &str)]) -> (String, String) {
        let (mut said, mut thought) = (String::new(), String::new());
        for event in decode(&[frames, &[("done", "")]].concat()).unwrap() {
            match event {
                Event::Text(text) => said += &text,
                Event::Thinking(text) => thought += &text,
                Event::Retract => said.clear(),
                _ => {}
            }
        }
        (said, thought)
    }

    #[test]
    fn no_member_of_a_text_event_ends_an_answer_or_loses_text() {
        for (data, expected) in [
            (r#"{"text":null}"#, ""),
            (r#"{}"#, ""),
            ("", ""),
            ("null", ""),
            ("[DONE]", ""),
            (r#""bare""#, "bare"),
            (r#"{"text":5}"#, "5"),
            (r#"{"text":["a",{"type":"text","text":"b"},["c"],null]}"#, "abc"),
            (r#"{"text":{"text":"a"}}"#, "a"),
            (r#"{"text":{"value":"a"}}"#, "a"),
            (r#"{"text":"a","text":null}"#, "a"),
            (r#"{"text":"b","text":"a"}"#, "a"),
            (r#"{"content":"a"}"#, "a"),
            (r#"{"text":"a","new":{"x":[1]}}"#, "a"),
            (r#"{"text":"a\ud83db"}"#, "a\u{fffd}b"),
            (r#"{"text":"a","\ud83d":"\ud83d"}"#, "a"),
        ] {
            assert_eq!(rendered(&[("text", data)]).0, expected, "{data}");
            let replaced = rendered(&[("text", r#"{"text":"before"}"#), ("replace_response", data)]).0;
            assert_eq!(replaced, if expected.is_empty() { "before" } else { expected }, "{data}");
        }
        for index in ["0", "\"0\"", "0.0", "-1", "null", "true", "\"x\"", "[]", "{}", "1e99", "[[[]]]"] {
            let data = format!(r#"{{"text":"a","index":{index}}}"#);
            assert_eq!(rendered(&[("text", &data), ("text", &data)]).0, "aa", "{index}");
        }
        let invalid: &[u8] = b"{\"text\":\"a\xff\"}";
        let mut out = VecDeque::new();
        Decode::default().push(&Frame { name: b"text", data: invalid }, &mut out).unwrap();
        assert_eq!(out, [text("a\u{fffd}")]);
    }

    #[test]
    fn halves_of_a_character_meet_wherever_they_come() {
        let chunk = |name: &str, text: &str| format!(r#"{{"choices":[{{"delta":{{"{name}":"{text}"}}}}]}}"#);
        let (high, low) = (r#"{"text":"a\ud83d"}"#, r#"{"text":"\ude00b"}"#);
        let (high_chunk, low_chunk) = (chunk("content", r"a\ud83d"), chunk("content", r"\ude00b"));
        for frames in [
            [("text", high), ("text", low)],
            [("text", high), ("json", &low_chunk)],
            [("json", &high_chunk), ("text", low)],
            [("json", &high_chunk), ("json", &low_chunk)],
        ] {
            assert_eq!(rendered(&frames).0, "a\u{1f600}b", "{frames:?}");
            let apart = [frames[0], ("ping", "{}"), ("text", "{}"), frames[1]];
            assert_eq!(rendered(&apart).0, "a\u{1f600}b", "{frames:?}");
        }
        assert_eq!(rendered(&[("text", high)]).0, "a\u{fffd}");
        assert_eq!(rendered(&[("text", high), ("text", r#"{"text":"c"}"#)]).0, "a\u{fffd}c");
        assert_eq!(rendered(&[("text", low)]).0, "\u{fffd}b");
        assert_eq!(rendered(&[("text", high), ("replace_response", low)]).0, "\u{fffd}b");
        let thought = [chunk("reasoning", r"\ud83d"), chunk("reasoning_content", r"\ude00")];
        assert_eq!(rendered(&[("json", &thought[0]), ("json", &thought[1])]).1, "\u{1f600}");
        let between = [("text", high), ("json", thought[1].as_str()), ("text", low)];
        assert_eq!(rendered(&between), ("a\u{fffd}\u{fffd}b".into(), "\u{fffd}".into()));
    }

    #[test]
    fn thought_is_found_under_all_its_names() {
        for (delta, expected) in [
            (r#"{"reasoning_content":"","reasoning":"t"}"#, "t"),
            (r#"{"reasoning_content":"t","reasoning":"t"}"#, "t"),
            (r#"{"reasoning_content":null,"reasoning":"t"}"#, "t"),
            (r#"{"reasoning_details":[{"type":"reasoning.text","text":"t","signature":"s"}]}"#, "t"),
            (r#"{"reasoning":"t","reasoning_details":[{"type":"reasoning.summary","summary":"t"}]}"#, "t"),
            (r#"{"reasoning":"","reasoning_details":[{"type":"reasoning.encrypted","data":"x"}]}"#, ""),
            (r#"{"reasoning":{"content":"t"}}"#, "t"),
            (r#"{"reasoning":["t",{"text":"u"}]}"#, "tu"),
            (r#"{"reasoning":true,"reasoning_content":7}"#, ""),
            (r#"{"reasoning":{"effort":"high"}}"#, ""),
            (r#"{"thinking":"t"}"#, "t"),
            (r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]}]}"#, "t"),
        ] {
            let delta = format!(r#"{}, "x": 1}}"#, delta.strip_suffix('}').unwrap());
            let chunk = format!(r#"{{"choices":[{{"delta":{delta}}},{{"delta":{{"content":"a"}}}}]}}"#);
            assert_eq!(rendered(&[("json", &chunk)]), ("a".into(), expected.into()), "{delta}");
        }
    }

    #[test]
    fn content_is_found_in_all_its_shapes() {
        for (chunk, expected) in [
            (r#"{"choices":[{"delta":{"content":7}}]}"#, "7"),
            (r#"{"choices":[{"delta":{"content":"a","content":null}}]}"#, "a"),
            (r#"{"choices":[{"delta":"a"}]}"#, "a"),
            (r#"{"choices":{"delta":{"content":"a"}}}"#, "a"),
            (r#"[{"choices":[{"delta":{"content":"a"}}]}]"#, "a"),
            (r#"{"choices":[{"text":"a"}]}"#, "a"),
            (r#"{"delta":{"content":"a"}}"#, "a"),
            (r#"{"message":{"content":"a"}}"#, "a"),
            (r#"{"choices":[{"delta":{"content":"a"},"message":{"content":"a"}}]}"#, "a"),
            (r#"{"choices":[{"delta":{},"message":{"content":"a"}}]}"#, "a"),
            (r#"{"choices":[{"delta":null,"message":{"content":"a"}}]}"#, "a"),
            (r#"{"choices":[null,7,{"delta":{"content":"a"}}],"usage":"odd"}"#, "a"),
            (r#"{"choices":[{"delta":{"content":[{"type":"output_text","text":{"value":"a"}}]}}]}"#, "a"),
        ] {
            assert_eq!(rendered(&[("json", chunk)]).0, expected, "{chunk}");
            assert_eq!(rendered(&[("", chunk)]).0, expected, "without a name: {chunk}");
        }
        let repeated = [
            ("json", r#"{"choices":[{"delta":{"content":"Hello"}}]}"#),
            ("json", r#"{"choices":[{"delta":{},"message":{"content":"Hello"},"finish_reason":"stop"}]}"#),
        ];
        assert_eq!(rendered(&repeated).0, "Hello");
        let picture = r#"{"choices":[{"delta":{"content":"a","images":[{"type":"image_url","image_url":{"url":"https://x/image/1"}}]}}]}"#;
        let file = decode(&[("json", picture)]).unwrap().pop().unwrap();
        assert!(
            matches!(file, Event::File(file) if file.url == "https://x/image/1" && file.content_type == "image/png")
        );
    }

    #[test]
    fn any_finish_reason_is_an_end_and_a_failure_is_none() {
        let chunk = |delta: &str, word: &str| {
            format!(r#"{{"choices":[{{"delta":{delta},"finish_reason":{word}}}]}}"#)
        };
        let end = |frames: &[String]| {
            let frames: Vec<_> =
                frames.iter().map(|data| ("json", data.as_str())).chain([("done", "{}")]).collect();
            decode(&frames).map(|events| events.into_iter().last().unwrap())
        };
        let said = r#"{"content":"a"}"#;
        for (word, reason) in [
            (r#""MAX_TOKENS""#, FinishReason::Length),
            (r#""model_context_window_exceeded""#, FinishReason::Length),
            (r#""SAFETY""#, FinishReason::ContentFilter),
            (r#""end_turn""#, FinishReason::Stop),
            (r#""tool_use""#, FinishReason::ToolCalls),
            (r#""surprise""#, FinishReason::Stop),
            ("null", FinishReason::Stop),
            ("7", FinishReason::Stop),
        ] {
            assert_eq!(end(&[chunk(said, word)]), Ok(finish(reason)), "{word}");
        }
        for word in [r#""error""#, r#""MALFORMED_FUNCTION_CALL""#, r#""insufficient_system_resource""#] {
            for delta in ["{}", r#"{"content":""}"#, said] {
                let error = end(&[chunk(delta, word), chunk("{}", r#""stop""#)]).unwrap_err();
                assert!(error.message.contains(word.trim_matches('"')), "{error}");
            }
            let again = end(&[chunk("{}", word), chunk(said, r#""stop""#)]);
            assert_eq!(again, Ok(finish(FinishReason::Stop)), "an answer after all");
        }
        let named = [chunk("{}", r#""error""#)];
        let frames = [("json", named[0].as_str()), ("error", r#"{"text":"No points: insufficient points"}"#)];
        assert_eq!(decode(&frames).unwrap_err().kind, Kind::InsufficientQuota);
    }

    #[test]
    fn a_stream_that_said_its_end_needs_no_done() {
        let mut decode = Decode::default();
        let mut out = VecDeque::new();
        assert_eq!(decode.end(&mut out), Ok(Progress::More));
        let data = br#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#;
        decode.push(&Frame { name: b"json", data }, &mut out).unwrap();
        assert_eq!(decode.end(&mut out), Ok(Progress::Done));
        assert_eq!(out, [finish(FinishReason::Length)]);
    }

    #[test]
    fn the_last_row_of_progress_is_not_the_answer_where_a_file_is() {
        let row = (
            "replace_response",
            r#"{"text":"\ud83c\udfa8 Generating\u2026\n\u2588\u2588\u2588 100% (12s)"}"#,
        );
        let file = ("file", r#"{"url":"https://x/image/1"}"#);
        for frames in [[row, file], [file, row]] {
            assert_eq!(rendered(&frames).0, "", "{frames:?}");
        }
        assert_eq!(rendered(&[row]).0, "\u{1f3a8} Generating\u{2026}\n\u{2588}\u{2588}\u{2588} 100% (12s)");
        assert_eq!(rendered(&[("text", r#"{"text":"40%"}"#)]).0, "40%");
        let answer = ("text", r#"{"text":"It is 40% done."}"#);
        assert_eq!(
            rendered(&[row, file, answer]).0.lines().last(),
            Some("\u{2588}\u{2588}\u{2588} 100% (12s)It is 40% done.")
        );
    }

    #[test]
    fn files_of_any_shape() {
        let files = |data: &str| decode(&[("file", data), ("done", "")]).unwrap().len() - 1;
        for none in ["{}", "", "null", r#"{"url":null}"#, r#"{"url":7}"#, "{oops", r#"{"url":""}"#] {
            assert_eq!(files(none), 0, "{none}");
        }
        for one in
            [r#"{"url":"u","name":7,"content_type":[],"inline_ref":null,"x":1}"#, r#"{"url":"u","url":null}"#]
        {
            assert_eq!(files(one), 1, "{one}");
        }
    }
}
