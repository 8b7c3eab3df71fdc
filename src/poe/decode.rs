//! What Poe's events mean.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::error_classes;
use super::sse::Frame;
use crate::error::{Error, Kind, Result};
use crate::pipeline::{Attachment, Event, Finish, FinishReason, ToolDelta};

/// Turns the events of one answer into ours.
#[derive(Debug, Default)]
pub struct Decode {
    reason: Option<FinishReason>,
    /// The response that is streamed; the others of a multi-response wait in `others`.
    main: Option<u64>,
    others: BTreeMap<u64, String>,
    /// Poe's indexes of the calls so far. Ours are the places here: they have no gaps, whatever a bot counts.
    calls: Vec<usize>,
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
    index: Option<u64>,
}

#[derive(Deserialize)]
struct MetaData {
    metadata: Option<String>,
}

#[derive(Deserialize)]
struct FileData {
    url: String,
    content_type: Option<String>,
    name: Option<String>,
    inline_ref: Option<String>,
}

/// An OpenAI chunk, read leniently: any field may be missing or null.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    /// What some bots send in the place of an `error` event.
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    // some bots send the whole message at once
    #[serde(default, alias = "message")]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<Words>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
    #[serde(default)]
    function_call: Option<FunctionDelta>,
}

/// Text, as a string or in parts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Plain(String),
    Parts(Vec<Words>),
    Part { text: String },
    Other(IgnoredAny),
}

impl Words {
    fn text(self) -> String {
        match self {
            Words::Plain(text) | Words::Part { text } => text,
            Words::Parts(parts) => parts.into_iter().map(Words::text).collect(),
            Words::Other(_) => String::new(),
        }
    }
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: Option<usize>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    name: Option<String>,
    /// JSON in a string; some bots send the JSON itself.
    #[serde(default)]
    arguments: Value,
}

impl FunctionDelta {
    fn parts(self) -> (Option<String>, String) {
        let arguments = match self.arguments {
            Value::String(text) => text,
            Value::Null => String::new(),
            json => json.to_string(),
        };
        (self.name.filter(|name| !name.is_empty()), arguments)
    }
}

impl Decode {
    /// Puts what `frame` means into `out`. An error is Poe's own, or says that Poe made no sense.
    pub fn push(&mut self, frame: &Frame<'_>, out: &mut VecDeque<Event>) -> Result<Progress> {
        match frame.name {
            b"text" => {
                let data: TextData = read(frame)?;
                match self.other(data.index) {
                    Some(other) => other.push_str(&data.text),
                    None => append(data.text, out),
                }
            }
            b"replace_response" => {
                let data: TextData = read(frame)?;
                match self.other(data.index) {
                    Some(other) => *other = data.text,
                    None => {
                        out.push_back(Event::Retract);
                        append(data.text, out);
                    }
                }
            }
            b"json" => self.chunk(read(frame)?, out)?,
            b"file" => {
                let FileData { url, content_type, name, inline_ref } = read(frame)?;
                let (content_type, name) = (content_type.unwrap_or_default(), name.unwrap_or_default());
                out.push_back(Event::File(Attachment { url, content_type, name, inline_ref }));
            }
            // nobody's answer shall end because of these
            b"suggested_reply" => {
                out.extend(read(frame).ok().map(|data: TextData| Event::Suggestion(data.text)));
            }
            b"data" => {
                out.extend(read(frame).ok().and_then(|data: MetaData| data.metadata).map(Event::Metadata));
            }
            b"error" => return Err(error_classes::of_event(frame.data)),
            b"done" => {
                for (_, other) in std::mem::take(&mut self.others) {
                    append(format!("\n\n{other}"), out);
                }
                let reason = self.reason.unwrap_or_default();
                out.push_back(Event::Finish(Finish { reason, ..Finish::default() }));
                return Ok(Progress::Done);
            }
            _ => {} // meta, ping and what may come
        }
        Ok(Progress::More)
    }

    /// Where the text of a response other than the streamed one is collected.
    fn other(&mut self, index: Option<u64>) -> Option<&mut String> {
        let index = index?;
        match *self.main.get_or_insert(index) == index {
            true => None,
            false => Some(self.others.entry(index).or_default()),
        }
    }

    /// Our index of a call.
    fn call(&mut self, theirs: usize) -> usize {
        self.calls.iter().position(|known| *known == theirs).unwrap_or_else(|| {
            self.calls.push(theirs);
            self.calls.len() - 1
        })
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut VecDeque<Event>) -> Result<()> {
        if let Some(error) = chunk.error.and_then(|error| error_classes::of_answer(&json!({"error": error})))
        {
            return Err(error);
        }
        // one answer was asked for: several choices are its parts, such as text in one and calls in the next
        for choice in chunk.choices.into_iter().flatten() {
            let mut is_refused = false;
            if let Some(delta) = choice.delta {
                is_refused = delta.refusal.as_ref().is_some_and(|text| !text.is_empty());
                self.delta(delta, out);
            }
            let reason = choice.finish_reason.map(|reason| match reason.as_str() {
                "length" => FinishReason::Length,
                "tool_calls" | "function_call" => FinishReason::ToolCalls,
                "content_filter" => FinishReason::ContentFilter,
                _ => FinishReason::Stop,
            });
            match reason {
                _ if is_refused => self.reason = Some(FinishReason::ContentFilter),
                // says the least
                Some(FinishReason::Stop) => drop(self.reason.get_or_insert(FinishReason::Stop)),
                reason => self.reason = reason.or(self.reason),
            }
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta, out: &mut VecDeque<Event>) {
        if let Some(thought) = delta.reasoning_content.or(delta.reasoning).filter(|text| !text.is_empty()) {
            out.push_back(Event::Thinking(thought));
        }
        append(delta.content.map(Words::text).unwrap_or_default(), out);
        append(delta.refusal.unwrap_or_default(), out);
        let old =
            delta.function_call.map(|function| CallDelta { index: None, id: None, function: Some(function) });
        for (position, call) in delta.tool_calls.into_iter().flatten().chain(old).enumerate() {
            let (name, arguments) = call.function.map(FunctionDelta::parts).unwrap_or_default();
            out.push_back(Event::ToolCall(ToolDelta {
                index: self.call(call.index.unwrap_or(position)),
                id: call.id.filter(|id| !id.is_empty()),
                name,
                arguments,
            }));
        }
    }
}

fn append(text: String, out: &mut VecDeque<Event>) {
    if !text.is_empty() {
        out.push_back(Event::Text(text));
    }
}

fn read<'a, T: Deserialize<'a>>(frame: &Frame<'a>) -> Result<T> {
    serde_json::from_slice(frame.data).map_err(|error| {
        let name = String::from_utf8_lossy(frame.name);
        Error::new(Kind::Upstream, format!("Poe sent an event `{name}` that is invalid: {error}"))
    })
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
        let error = decode(&[("json", r#"{"error":{"message":"prompt is too long"}}"#)]).unwrap_err();
        assert_eq!(error.kind, Kind::ContextTooLong);
    }
}
