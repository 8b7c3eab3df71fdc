//! Encodes events as lines of JSON.

use std::io::Write;
use std::time::Instant;

use serde_json::{Map, Value};

use super::{Meta, Task, Way, answer, error_answer};
use crate::dialect;
use crate::error::Error;
use crate::pipeline::{Event, Finish, Reply, ToolCall, ToolDelta};

/// Encodes the answer to one request.
///
/// Text is the hot path: everything around it is made once, and the text is escaped straight into the output.
pub struct Encoder {
    meta: Meta,
    /// All of a line with text before the text.
    head: Vec<u8>,
    /// All behind it.
    tail: &'static [u8],
    clock: fn() -> Instant,
    start: Instant,
    first: Option<Instant>,
    /// Calls are sent whole, before the end.
    calls: Vec<ToolCall>,
    is_done: bool,
}

impl Encoder {
    /// An encoder that measures with `clock` how long the answer takes, from now on.
    pub fn new(meta: Meta, clock: fn() -> Instant) -> Encoder {
        let (model, created) = (Value::from(meta.model.as_str()), Value::from(meta.created.as_str()));
        let (opened, tail): (_, &[u8]) = match meta.way {
            Way::Chat => (r#""message":{"role":"assistant","content":"#, b"},\"done\":false}\n"),
            Way::Generate => (r#""response":"#, b",\"done\":false}\n"),
        };
        let head = format!(r#"{{"model":{model},"created_at":{created},{opened}"#).into_bytes();
        Encoder { meta, head, tail, clock, start: clock(), first: None, calls: Vec::new(), is_done: false }
    }

    fn text(&self, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        // writing a string into a Vec cannot fail
        let _ = serde_json::to_writer(&mut *out, text);
        out.extend_from_slice(self.tail);
    }

    fn took(&self) -> answer::Took {
        let now = (self.clock)();
        let first = self.first.unwrap_or(self.start);
        answer::Took { first: first.duration_since(self.start), total: now.duration_since(self.start) }
    }

    fn take_call(&mut self, delta: &ToolDelta) {
        if self.calls.len() <= delta.index {
            self.calls.resize_with(delta.index + 1, ToolCall::default);
        }
        let call = &mut self.calls[delta.index];
        call.id.push_str(delta.id.as_deref().unwrap_or_default());
        call.name.push_str(delta.name.as_deref().unwrap_or_default());
        call.arguments.push_str(&delta.arguments);
    }

    fn finish(&mut self, finish: &Finish, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.is_done, true) {
            return;
        }
        let calls = std::mem::take(&mut self.calls);
        if !calls.is_empty() {
            line(&answer::piece(&self.meta, "", "", &calls), out);
        }
        let mut last = answer::piece(&self.meta, "", "", &[]);
        answer::finish(&mut last, finish, self.took());
        line(&last, out);
    }
}

impl dialect::Encoder for Encoder {
    fn content_type(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn whole(&mut self, replies: &[Reply]) -> Vec<u8> {
        let object = match replies.first() {
            Some(reply) => {
                let mut object = answer::piece(&self.meta, &reply.text, &reply.thinking, &reply.tool_calls);
                answer::finish(&mut object, &reply.finish, self.took());
                object
            }
            None => answer::task(&self.meta, self.meta.task.unwrap_or(Task::Load)),
        };
        Value::Object(object).to_string().into_bytes()
    }

    fn event(&mut self, _: usize, event: &Event, out: &mut Vec<u8>) {
        self.first.get_or_insert_with(self.clock);
        match event {
            Event::Text(text) => self.text(text, out),
            Event::Thinking(text) if self.meta.shows_thought => {
                line(&answer::piece(&self.meta, "", text, &[]), out);
            }
            Event::ToolCall(delta) => self.take_call(delta),
            Event::Finish(finish) => self.finish(finish, out),
            // files stand in the text as Markdown, the others have no place here
            Event::Thinking(_)
            | Event::File(_)
            | Event::Suggestion(_)
            | Event::Metadata(_)
            | Event::Retract => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let (false, Some(task)) = (self.is_done, self.meta.task) {
            line(&answer::task(&self.meta, task), out);
        }
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        out.extend_from_slice(&error_answer(error));
        out.push(b'\n');
    }

    /// A piece without text: Ollama's lines know no comments.
    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        self.text("", out);
    }
}

fn line(object: &Map<String, Value>, out: &mut Vec<u8>) {
    // writing into a Vec cannot fail
    let _ = serde_json::to_writer(&mut *out, object);
    let _ = out.write_all(b"\n");
}

#[cfg(test)]
mod tests {
    use super::super::Way;
    use super::*;
    use crate::dialect::Encoder as _;
    use crate::pipeline::{FinishReason, TokenUsage};

    use serde_json::json;

    fn encoder(way: Way, shows_thought: bool, task: Option<Task>) -> Encoder {
        let meta = Meta { model: "m".into(), created: "t".into(), way, shows_thought, task };
        Encoder::new(meta, Instant::now)
    }

    fn lines(out: &[u8]) -> Vec<Value> {
        std::str::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn finish() -> Event {
        let usage = Some(TokenUsage { prompt: 3, completion: 2, reasoning: 1 });
        Event::Finish(Finish { reason: FinishReason::Length, usage, ..Finish::default() })
    }

    #[test]
    fn a_chat_is_lines_with_one_end() {
        let mut encoder = encoder(Way::Chat, true, None);
        let mut out = Vec::new();
        let delta = |id: Option<&str>, arguments: &str| {
            Event::ToolCall(ToolDelta {
                index: 0,
                id: id.map(Into::into),
                name: id.map(|_| "f".into()),
                arguments: arguments.into(),
            })
        };
        let events = [
            Event::Thinking("hm".into()),
            Event::Text("a\nb".into()),
            delta(Some("c"), "{\"a\""),
            delta(None, ":1}"),
            finish(),
            finish(),
        ];
        events.iter().for_each(|event| encoder.event(0, event, &mut out));
        encoder.end(&mut out);
        let lines = lines(&out);
        let said: Vec<_> =
            lines.iter().map(|line| (line["message"].clone(), line["done"].as_bool().unwrap())).collect();
        let message = |more: Value| {
            let mut message = json!({"role": "assistant", "content": ""});
            message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            message
        };
        let call = json!([{"id": "c", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}]);
        assert_eq!(
            said,
            [
                (message(json!({"thinking": "hm"})), false),
                (message(json!({"content": "a\nb"})), false),
                (message(json!({"tool_calls": call})), false),
                (message(json!({})), true),
            ]
        );
        let last = &lines[3];
        assert_eq!(
            (&last["done_reason"], &last["prompt_eval_count"], &last["eval_count"]),
            (&json!("length"), &json!(3), &json!(2))
        );
        let time = |name: &str| last[name].as_u64().unwrap();
        assert!(time("total_duration") >= time("prompt_eval_duration") && time("eval_duration") > 0);
    }

    #[test]
    fn a_prompts_answer_stands_in_response() {
        let mut encoder = encoder(Way::Generate, false, None);
        let reply = Reply { text: "a".into(), thinking: "hm".into(), ..Reply::default() };
        let answer: Value = serde_json::from_slice(&encoder.whole(&[reply])).unwrap();
        assert_eq!(
            (&answer["response"], &answer["done"], answer.get("thinking")),
            (&json!("a"), &json!(true), None)
        );
    }

    #[test]
    fn errands_and_faults_are_one_line() {
        let mut out = Vec::new();
        encoder(Way::Chat, true, Some(Task::Unload)).end(&mut out);
        encoder(Way::Chat, true, None).error(&Error::invalid("x", "gone"), &mut out);
        encoder(Way::Generate, true, None).keep_alive(&mut out);
        let lines = lines(&out);
        assert_eq!(lines[2], json!({"model": "m", "created_at": "t", "response": "", "done": false}));
        assert_eq!((&lines[0]["done_reason"], &lines[0]["done"]), (&json!("unload"), &json!(true)));
        assert_eq!(lines[1], json!({"error": "gone"}));
    }
}
