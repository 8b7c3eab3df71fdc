//! Encodes events as `text_completion` chunks.

use std::io::Write;

use serde_json::{Value, json};

use super::answer::{self, add};
use super::{Meta, finish_reason};
use crate::dialect;
use crate::dialect::chat::usage;
use crate::dialect::openai::error_value;
use crate::error::Error;
use crate::pipeline::{Event, Finish, Reply, TokenUsage};

/// Encodes the answer to one request: all its choices, in a stream interleaved as they come.
pub struct Encoder {
    meta: Meta,
    includes_usage: bool,
    /// `data: {…,"choices":[{"text":`
    head: Vec<u8>,
    /// What closes a chunk after its `finish_reason`.
    tail: &'static [u8],
    choices: Vec<Choice>,
    spent: TokenUsage,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Choice {
    /// Nothing has been sent, not even the prompt where it is wanted.
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
            "data: {{\"id\":\"{}\",\"object\":\"text_completion\",\"created\":{},\"model\":{model},\
             \"choices\":[{{\"text\":",
            meta.id, meta.created
        );
        let tail: &[u8] = if includes_usage { b"}],\"usage\":null}\n\n" } else { b"}]}\n\n" };
        let choices = vec![Choice::Silent; choices];
        Encoder { meta, includes_usage, head: head.into_bytes(), tail, choices, spent: TokenUsage::default() }
    }

    fn piece(&self, index: usize, text: &str, finish_reason: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        // writing into a Vec cannot fail
        let _ = serde_json::to_writer(&mut *out, text);
        let _ = write!(out, ",\"index\":{index},\"logprobs\":null,\"finish_reason\":");
        let _ = match finish_reason {
            Some(reason) => write!(out, "\"{reason}\""),
            None => write!(out, "null"),
        };
        out.extend_from_slice(self.tail);
    }

    fn finish(&mut self, index: usize, finish: &Finish, out: &mut Vec<u8>) {
        if self.choices[index] == Choice::Finished {
            return;
        }
        self.choices[index] = Choice::Finished;
        add(&mut self.spent, finish.usage, self.meta.is_first(index));
        self.piece(index, "", Some(finish_reason(finish.reason)), out);
    }
}

impl dialect::Encoder for Encoder {
    fn whole(&mut self, replies: &[Reply]) -> Vec<u8> {
        answer::encode(&self.meta, replies)
    }

    fn event(&mut self, index: usize, event: &Event, out: &mut Vec<u8>) {
        if !matches!(event, Event::Text(_) | Event::Finish(_)) {
            return; // thought, calls and suggestions are no part of a text; files stand in it as Markdown
        }
        if self.choices[index] == Choice::Silent {
            self.choices[index] = Choice::Open;
            let echoed = self.meta.echoed(index);
            if !echoed.is_empty() {
                self.piece(index, echoed, None, out);
            }
        }
        match event {
            Event::Text(text) => self.piece(index, text, None, out),
            Event::Finish(finish) => self.finish(index, finish, out),
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.includes_usage {
            let chunk = json!({
                "id": self.meta.id, "object": "text_completion", "created": self.meta.created,
                "model": self.meta.model, "choices": [], "usage": usage(self.spent),
            });
            frame(&chunk, out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// No `[DONE]` follows, so that clients do not take it for complete.
    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        frame(&error_value(error), out);
    }

    /// A comment without a blank line, because some readers take a blank line for an event.
    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": keep-alive\n");
    }
}

fn frame(value: &Value, out: &mut Vec<u8>) {
    let _ = write!(out, "data: {value}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Encoder as _;

    #[test]
    fn each_choice_begins_with_its_prompt_and_ends_once() {
        let echo = Some(vec!["a ".into(), "b ".into()]);
        let meta = Meta { id: "cmpl-1".into(), created: 7, model: "m\"".into(), n: 1, echo };
        let mut encoder = Encoder::new(meta, 2, true);
        let usage = Some(TokenUsage { prompt: 3, completion: 2, reasoning: 1 });
        let finish = Event::Finish(Finish { usage, ..Finish::default() });
        let mut out = Vec::new();
        for (index, event) in [
            (1, Event::Thinking("hm".into())),
            (1, Event::Text("\u{4f60}\"".into())),
            (0, finish.clone()),
            (1, finish.clone()),
            (1, finish),
        ] {
            encoder.event(index, &event, &mut out);
        }
        encoder.end(&mut out);
        let text = std::str::from_utf8(&out).unwrap();
        let frames: Vec<Value> = text
            .split("\n\n")
            .filter_map(|frame| frame.strip_prefix("data: ")?.strip_prefix('{'))
            .map(|json| serde_json::from_str(&format!("{{{json}")).unwrap())
            .collect();
        let rendered: Vec<_> = frames[..frames.len() - 1]
            .iter()
            .map(|frame| {
                let choice = &frame["choices"][0];
                (
                    choice["index"].as_u64().unwrap(),
                    choice["text"].as_str().unwrap(),
                    choice["finish_reason"].as_str(),
                )
            })
            .collect();
        assert_eq!(
            rendered,
            [
                (1, "b ", None),
                (1, "\u{4f60}\"", None),
                (0, "a ", None),
                (0, "", Some("stop")),
                (1, "", Some("stop"))
            ]
        );
        assert_eq!(frames.last().unwrap()["usage"]["total_tokens"], 10);
        assert!(text.ends_with("data: [DONE]\n\n"));
    }
}
