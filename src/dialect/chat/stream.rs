//! Encodes events as `chat.completion.chunk`s.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use super::{Meta, answer, finish_reason, usage};
use crate::dialect;
use crate::dialect::custom::Unwrapping;
use crate::dialect::openai::error_value;
use crate::error::Error;
use crate::pipeline::{Event, Finish, Reply, TokenUsage, ToolDelta};

/// Encodes the answer to one request: all its choices, in a stream interleaved as they come.
///
/// Text is the hot path: everything around it is made once, and the text is escaped straight into the output.
pub struct Encoder {
    meta: Meta,
    includes_usage: bool,
    /// `data: {…,"choices":[{"index":`
    head: Vec<u8>,
    /// What closes a chunk after its `finish_reason`.
    tail: &'static [u8],
    choices: Vec<Choice>,
    /// Calls of tools that take plain text, by choice and index.
    plain_text: BTreeMap<(usize, usize), Unwrapping>,
    spent: TokenUsage,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Choice {
    /// Its first delta, with the role, has not been sent.
    #[default]
    Silent,
    Open,
    Finished,
}

impl Encoder {
    /// An encoder for `choices` choices; `includes_usage` as in `stream_options.include_usage`.
    pub fn new(meta: Meta, choices: usize, includes_usage: bool) -> Encoder {
        let model = Value::from(meta.model.as_str());
        let head = format!(
            "data: {{\"id\":\"{}\",\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":{model},\
             \"choices\":[{{\"index\":",
            meta.id, meta.created
        );
        let tail: &[u8] = if includes_usage { b"}],\"usage\":null}\n\n" } else { b"}]}\n\n" };
        Encoder {
            meta,
            includes_usage,
            head: head.into_bytes(),
            tail,
            choices: vec![Choice::Silent; choices],
            plain_text: BTreeMap::new(),
            spent: TokenUsage::default(),
        }
    }

    fn delta(&self, index: usize, out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&self.head);
        number(index, out);
        out.extend_from_slice(br#","delta":{"#);
        fields(out);
        out.extend_from_slice(br#"},"logprobs":null,"finish_reason":null"#);
        out.extend_from_slice(self.tail);
    }

    fn call(&mut self, choice: usize, call: &ToolDelta) -> Vec<u8> {
        if call.name.as_ref().is_some_and(|name| self.meta.plain_text.contains(name)) {
            self.plain_text.insert((choice, call.index), Unwrapping::default());
        }
        if let Some(unwrapping) = self.plain_text.get_mut(&(choice, call.index)) {
            let mut custom = json!({"input": unwrapping.push(&call.arguments)});
            if let Some(name) = &call.name {
                custom["name"] = name.as_str().into();
            }
            let mut delta = json!({"index": call.index, "custom": custom});
            if let Some(id) = &call.id {
                delta["id"] = id.as_str().into();
                delta["type"] = "custom".into();
            }
            return format!("\"tool_calls\":[{delta}]").into_bytes();
        }
        let mut function = json!({"arguments": call.arguments});
        if let Some(name) = &call.name {
            function["name"] = name.as_str().into();
        }
        if self.meta.has_functions {
            return format!("\"function_call\":{function}").into_bytes();
        }
        let mut delta = json!({"index": call.index, "function": function});
        if let Some(id) = &call.id {
            delta["id"] = id.as_str().into();
            delta["type"] = "function".into();
        }
        format!("\"tool_calls\":[{delta}]").into_bytes()
    }

    /// The end of what calls of plain text hold, where it was not certain before.
    fn finish_plain_text(&mut self, choice: usize, out: &mut Vec<u8>) {
        let is_other = |key: &(usize, usize)| key.0 != choice;
        let others = self.plain_text.keys().copied().filter(is_other).collect::<Vec<_>>();
        let mut all = std::mem::take(&mut self.plain_text);
        for key in others {
            self.plain_text.extend(all.remove(&key).map(|unwrapping| (key, unwrapping)));
        }
        for ((_, call), unwrapping) in all {
            let rest = unwrapping.finish().1;
            if !rest.is_empty() {
                let delta = json!({"index": call, "custom": {"input": rest}});
                let calls = format!("\"tool_calls\":[{delta}]");
                self.delta(choice, out, |out| out.extend_from_slice(calls.as_bytes()));
            }
        }
    }

    fn finish(&mut self, index: usize, finish: &Finish, out: &mut Vec<u8>) {
        if self.choices[index] == Choice::Finished {
            return;
        }
        self.choices[index] = Choice::Finished;
        self.finish_plain_text(index, out);
        if let Some(usage) = finish.usage {
            self.spent.prompt = usage.prompt;
            self.spent.completion += usage.completion;
            self.spent.reasoning += usage.reasoning;
        }
        out.extend_from_slice(&self.head);
        number(index, out);
        out.extend_from_slice(br#","delta":{},"logprobs":null,"finish_reason":""#);
        out.extend_from_slice(finish_reason(finish.reason, &self.meta).as_bytes());
        out.push(b'"');
        out.extend_from_slice(self.tail);
    }
}

impl dialect::Encoder for Encoder {
    fn whole(&mut self, replies: &[Reply]) -> Vec<u8> {
        answer::encode(&self.meta, replies)
    }

    fn event(&mut self, index: usize, event: &Event, out: &mut Vec<u8>) {
        let is_rendered =
            matches!(event, Event::Text(_) | Event::Thinking(_) | Event::ToolCall(_) | Event::Finish(_));
        if is_rendered && self.choices[index] == Choice::Silent {
            self.choices[index] = Choice::Open;
            self.delta(index, out, |out| out.extend_from_slice(br#""role":"assistant","content":"""#));
        }
        match event {
            Event::Text(text) => self.delta(index, out, |out| string_field("content", text, out)),
            Event::Thinking(text) => self.delta(index, out, |out| {
                string_field("reasoning_content", text, out);
                out.push(b',');
                string_field("reasoning", text, out);
            }),
            Event::ToolCall(call) if self.meta.has_functions && call.index > 0 => {} // no place in the old way
            Event::ToolCall(call) => {
                let calls = self.call(index, call);
                self.delta(index, out, |out| out.extend_from_slice(&calls));
            }
            Event::Finish(finish) => self.finish(index, finish, out),
            // files stand in the text as Markdown, suggestions and metadata have no place in a stream, and what was
            // retracted has been settled below
            Event::File(_) | Event::Suggestion(_) | Event::Metadata(_) | Event::Retract => {}
        }
    }

    /// The end of the whole stream: usage if it was asked for, and `[DONE]`.
    fn end(&mut self, out: &mut Vec<u8>) {
        if self.includes_usage {
            let chunk = json!({
                "id": self.meta.id, "object": "chat.completion.chunk", "created": self.meta.created,
                "model": self.meta.model, "choices": [], "usage": usage(self.spent),
            });
            frame(&chunk, out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// The end of a stream that failed. No `[DONE]` follows, so that clients do not take it for complete.
    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        frame(&error_value(error), out);
    }

    /// A sign of life: a comment without a blank line, because some readers take a blank line for an event.
    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": keep-alive\n");
    }
}

fn number(number: usize, out: &mut Vec<u8>) {
    // writing into a Vec cannot fail
    let _ = write!(out, "{number}");
}

fn string_field(name: &str, text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    // writing a string into a Vec cannot fail
    let _ = serde_json::to_writer(out, text);
}

fn frame(value: &Value, out: &mut Vec<u8>) {
    let _ = write!(out, "data: {value}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Encoder as _;
    use crate::error::Kind;

    fn meta() -> Meta {
        Meta {
            id: "chatcmpl-1".into(),
            created: 7,
            model: "a\"b".into(),
            has_functions: false,
            plain_text: Default::default(),
        }
    }

    fn frames(bytes: &[u8]) -> Vec<Value> {
        let text = std::str::from_utf8(bytes).unwrap();
        let data =
            text.split("\n\n").filter(|frame| !frame.is_empty()).map(|f| f.strip_prefix("data: ").unwrap());
        data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    #[test]
    fn a_stream_has_its_role_once_its_reason_once_and_usage_only_when_asked() {
        for includes_usage in [false, true] {
            let mut encoder = Encoder::new(meta(), 1, includes_usage);
            let mut out = Vec::new();
            let spent = TokenUsage { prompt: 3, completion: 2, reasoning: 1 };
            let finish = Event::Finish(Finish { usage: Some(spent), ..Finish::default() });
            for event in
                [Event::Thinking("hm\n".into()), Event::Text("\u{4f60}\"".into()), finish.clone(), finish]
            {
                encoder.event(0, &event, &mut out);
            }
            encoder.end(&mut out);
            assert!(out.ends_with(b"data: [DONE]\n\n"));
            let frames = frames(&out);
            let roles = frames.iter().filter(|f| !f["choices"][0]["delta"]["role"].is_null()).count();
            let reasons = frames.iter().filter(|f| !f["choices"][0]["finish_reason"].is_null()).count();
            assert_eq!((roles, reasons), (1, 1));
            assert_eq!(frames[0]["choices"][0]["delta"]["role"], "assistant");
            assert_eq!(frames[1]["choices"][0]["delta"]["reasoning_content"], "hm\n");
            assert_eq!(frames[1]["choices"][0]["delta"]["reasoning"], "hm\n");
            assert_eq!(frames[2]["choices"][0]["delta"]["content"], "\u{4f60}\"");
            assert_eq!(frames[2]["model"], "a\"b");
            let last = frames.last().unwrap();
            if includes_usage {
                assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(5)));
                let null = |frame: &&Value| frame.get("usage") == Some(&Value::Null);
                assert_eq!(frames.iter().filter(null).count(), frames.len() - 1);
            } else {
                assert!(frames.iter().all(|frame| frame.get("usage").is_none()));
            }
        }
    }

    #[test]
    fn calls_carry_id_type_and_name_in_their_first_delta_only() {
        let mut encoder = Encoder::new(meta(), 1, false);
        let mut out = Vec::new();
        let delta = |id: Option<&str>, arguments: &str| {
            Event::ToolCall(ToolDelta {
                index: 0,
                id: id.map(Into::into),
                name: id.map(|_| "add".into()),
                arguments: arguments.into(),
            })
        };
        encoder.event(0, &delta(Some("c1"), ""), &mut out);
        encoder.event(0, &delta(None, "{}"), &mut out);
        let frames = frames(&out);
        let call = |n: usize| frames[n]["choices"][0]["delta"]["tool_calls"][0].clone();
        let first =
            json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": ""}});
        assert_eq!(call(1), first);
        assert_eq!(call(2), json!({"index": 0, "function": {"arguments": "{}"}}));
    }

    #[test]
    fn a_failed_stream_ends_with_the_error_and_nothing_else() {
        let mut encoder = Encoder::new(meta(), 1, true);
        let mut out = Vec::new();
        encoder.error(&Error::new(Kind::Upstream, "gone"), &mut out);
        assert_eq!(
            frames(&out),
            [json!({"error": {
            "message": "gone", "type": "upstream_error", "param": null, "code": "upstream_error"}})]
        );
        assert!(!out.windows(6).any(|w| w == b"[DONE]"));
    }
}
