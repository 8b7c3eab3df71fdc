//! Cursor's variant: Responses bodies posted to Chat Completions, answered as chat completions.
//!
//! Its tools may be `custom`, with plain text for arguments. It expects calls of those in the form of functions, with the text
//! itself where a function's JSON would stand, and sends them back like that.

use std::collections::BTreeMap;

use super::{Encoder, Meta};
use crate::dialect::custom::{Unwrapping, unwrapped};
use crate::dialect::responses::{self, Names};
use crate::dialect::{self, DecodedRequest, Encoder as _, Stamp};
use crate::error::{Error, Result};
use crate::pipeline::{Event, Reply, ToolDelta};

/// Reads a body of Responses.
pub fn decode(body: &[u8], stamp: &Stamp<'_>) -> Result<DecodedRequest> {
    let request = responses::read(body, &|_| None)?;
    let meta = Meta {
        id: (stamp.make_id)("chatcmpl-"),
        created: stamp.now,
        model: request.chat.model.clone(),
        has_functions: false,
        plain_text: Default::default(),
    };
    let chat = Encoder::new(meta, 1, request.includes_usage);
    let encoder = Plain { chat, names: request.names, open: BTreeMap::new() };
    // Poe's native endpoint for chats would not understand such a body
    Ok(DecodedRequest {
        chats: vec![request.chat],
        stream: request.stream,
        endpoint: None,
        earlier: None,
        named: None,
        encoder: Box::new(encoder),
    })
}

/// Encodes calls of custom tools with their plain text, and everything else as the chat encoder does.
struct Plain {
    chat: Encoder,
    names: Names,
    /// The calls whose text is not complete.
    open: BTreeMap<usize, Unwrapping>,
}

impl Plain {
    fn call(&mut self, delta: &ToolDelta) -> ToolDelta {
        let named = delta.name.as_deref().map(|name| self.names.rendered(name));
        if named.as_ref().is_some_and(|named| named.is_custom) {
            self.open.insert(delta.index, Unwrapping::default());
        }
        let arguments = match self.open.get_mut(&delta.index) {
            Some(unwrapping) => unwrapping.push(&delta.arguments),
            None => delta.arguments.clone(),
        };
        ToolDelta { index: delta.index, id: delta.id.clone(), name: named.map(|named| named.name), arguments }
    }

    /// Emits the rest of every text.
    fn close(&mut self, choice: usize, out: &mut Vec<u8>) {
        for (index, unwrapping) in std::mem::take(&mut self.open) {
            let (_, arguments) = unwrapping.finish();
            if !arguments.is_empty() {
                let rest = Event::ToolCall(ToolDelta { index, arguments, ..ToolDelta::default() });
                self.chat.event(choice, &rest, out);
            }
        }
    }
}

impl dialect::Encoder for Plain {
    fn whole(&mut self, replies: &[Reply]) -> Vec<u8> {
        let mut replies = replies.to_vec();
        for call in replies.iter_mut().flat_map(|reply| &mut reply.tool_calls) {
            let named = self.names.rendered(&call.name);
            if named.is_custom {
                call.arguments = unwrapped(&call.arguments);
            }
            call.name = named.name;
        }
        self.chat.whole(&replies)
    }

    fn event(&mut self, index: usize, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::ToolCall(delta) => {
                let delta = self.call(delta);
                self.chat.event(index, &Event::ToolCall(delta), out);
            }
            Event::Finish(_) => {
                self.close(index, out);
                self.chat.event(index, event, out);
            }
            _ => self.chat.event(index, event, out),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.chat.end(out);
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        self.chat.error(error, out);
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        self.chat.keep_alive(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Finish, FinishReason, Role, ToolCall};
    use serde_json::{Value, json};

    const PATCH: &str = "*** Begin Patch\n+\"x\"\n*** End Patch";

    fn decoded(stream: bool) -> DecodedRequest {
        let body = json!({"model": "m", "stream": stream, "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "edit"}]},
                {"type": "function_call", "call_id": "c0", "name": "ApplyPatch", "arguments": PATCH},
                {"type": "function_call_output", "call_id": "c0", "output": "done"}],
            "tools": [{"type": "custom", "name": "ApplyPatch", "format": {"type": "grammar", "syntax": "lark",
                       "definition": "start: x"}},
                      {"type": "function", "name": "Read", "parameters": {"type": "object"}}]});
        let stamp = Stamp { now: 7, make_id: &|prefix| format!("{prefix}1") };
        super::super::decode(body.to_string().as_bytes(), &stamp).unwrap()
    }

    #[test]
    fn a_body_of_responses_is_read_and_its_plain_text_goes_both_ways() {
        let mut decoded = decoded(false);
        let turns: Vec<Role> = decoded.chats[0].messages.iter().map(|turn| turn.role).collect();
        assert_eq!(turns, [Role::User, Role::Assistant, Role::Tool]);
        let wrapped = json!({"input": PATCH}).to_string();
        assert_eq!(decoded.chats[0].messages[1].tool_calls[0].arguments, wrapped);
        assert!(decoded.chats[0].tools[0].description.as_ref().unwrap().contains("start: x"));
        let call = |name: &str, arguments: &str| ToolCall {
            id: "c".into(),
            name: name.into(),
            arguments: arguments.into(),
        };
        let tool_calls = vec![call("ApplyPatch", &wrapped), call("Read", "{}")];
        let answer = decoded.encoder.whole(&[Reply { tool_calls, ..Reply::default() }]);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["object"], "chat.completion");
        let calls = &answer["choices"][0]["message"]["tool_calls"];
        assert_eq!(
            (&calls[0]["type"], &calls[0]["function"]["arguments"]),
            (&json!("function"), &json!(PATCH))
        );
        assert_eq!(calls[1]["function"]["arguments"], "{}");
    }

    #[test]
    fn plain_text_is_streamed() {
        let mut decoded = decoded(true);
        assert!(decoded.stream);
        let mut out = Vec::new();
        let first = ToolDelta {
            index: 0,
            id: Some("c".into()),
            name: Some("ApplyPatch".into()),
            ..Default::default()
        };
        decoded.encoder.event(0, &Event::ToolCall(first), &mut out);
        for piece in json!({"input": PATCH}).to_string().chars() {
            let delta = ToolDelta { index: 0, arguments: piece.into(), ..ToolDelta::default() };
            decoded.encoder.event(0, &Event::ToolCall(delta), &mut out);
        }
        let finish = Finish { reason: FinishReason::ToolCalls, ..Finish::default() };
        decoded.encoder.event(0, &Event::Finish(finish), &mut out);
        decoded.encoder.end(&mut out);
        let text = String::from_utf8(out).unwrap();
        let mut arguments = String::new();
        for data in text.lines().filter_map(|line| line.strip_prefix("data: {")) {
            let chunk: Value = serde_json::from_str(&format!("{{{data}")).unwrap();
            let call = &chunk["choices"][0]["delta"]["tool_calls"][0];
            arguments += call["function"]["arguments"].as_str().unwrap_or_default();
        }
        assert_eq!(arguments, PATCH);
    }
}
