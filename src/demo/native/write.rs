//! Encodes a bot's steps in the format of an endpoint: as frames of a stream, or folded into one answer.

use serde_json::{Value, json};

use super::NativeEndpoint;
use crate::demo::script::Step;

/// What a request took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tokens {
    /// Of the question.
    pub prompt: usize,
    /// Of these, already known from an earlier question.
    pub cached: usize,
}

/// Encodes one answer.
pub struct EndpointWriter {
    endpoint: NativeEndpoint,
    /// The model's name as the endpoint writes it: with a date, as Poe's endpoints do.
    model: String,
    id: String,
    tokens: Tokens,
    includes_usage: bool,
    blocks: Vec<Block>,
    /// The last block has not been closed.
    is_open: bool,
    has_begun: bool,
    sequence: u64,
    out: Vec<u8>,
}

#[derive(Debug)]
enum Block {
    Text(String),
    Call { id: String, name: String, arguments: String },
}

impl EndpointWriter {
    /// A teller for the `number`th answer of this Poe.
    pub fn new(
        endpoint: NativeEndpoint,
        bot: &str,
        number: u64,
        tokens: Tokens,
        includes_usage: bool,
    ) -> EndpointWriter {
        let (id, model) = match endpoint {
            NativeEndpoint::Chat => (format!("chatcmpl-{number:024x}"), bot.to_string()),
            NativeEndpoint::Responses => (format!("resp_{number:032x}"), format!("{bot}-2026-03-05")),
            NativeEndpoint::Messages => (format!("req_poe_{number:032x}"), format!("{bot}-20250514")),
        };
        EndpointWriter {
            endpoint,
            model,
            id,
            tokens,
            includes_usage,
            blocks: Vec::new(),
            is_open: false,
            has_begun: false,
            sequence: 0,
            out: Vec::new(),
        }
    }

    /// The steps on the wire that stand for `step`.
    pub fn step(&mut self, step: Step) -> Option<Step> {
        match &step {
            Step::Event { name, data } => match *name {
                "text" | "replace_response" => self.say(data["text"].as_str().unwrap_or_default()),
                "json" => self.delta(&data["choices"][0]["delta"]),
                "error" => self.fail(data["text"].as_str().unwrap_or_default()),
                "done" => self.end(),
                _ => return None,
            },
            Step::Raw(_) => return None,
            Step::Comment(_) | Step::Pause(_) | Step::Stall | Step::BreakOff => return Some(step),
        }
        Some(Step::Raw(std::mem::take(&mut self.out)))
    }

    fn say(&mut self, text: &str) {
        self.begin();
        if !matches!(self.blocks.last(), Some(Block::Text(_))) {
            self.open(Block::Text(String::new()));
        }
        if let Some(Block::Text(so_far)) = self.blocks.last_mut() {
            so_far.push_str(text);
        }
        self.grow(text);
    }

    /// A delta of a `json` event.
    fn delta(&mut self, delta: &Value) {
        if let Some(text) = delta["content"].as_str().filter(|text| !text.is_empty()) {
            self.say(text);
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.begin();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
            if let Some(name) = call["function"]["name"].as_str() {
                self.open(Block::Call { id: text(&call["id"]), name: name.into(), arguments: String::new() });
            }
            let piece = text(&call["function"]["arguments"]);
            if let Some(Block::Call { arguments, .. }) = self.blocks.last_mut() {
                arguments.push_str(&piece);
            }
            if !piece.is_empty() {
                self.grow(&piece);
            }
        }
    }

    fn frame(&mut self, mut data: Value) {
        let name = data["type"].as_str().map(str::to_string);
        if self.endpoint == NativeEndpoint::Responses {
            data["sequence_number"] = self.sequence.into();
            self.sequence += 1;
        }
        if let Some(name) = name.filter(|_| self.endpoint != NativeEndpoint::Chat) {
            self.out.extend_from_slice(format!("event: {name}\n").as_bytes());
        }
        self.out.extend_from_slice(format!("data: {data}\n\n").as_bytes());
    }

    fn chunk(&mut self, delta: Value, finish: Option<&str>) {
        self.frame(
            json!({"id": self.id, "object": "chat.completion.chunk", "created": CREATED, "model": self.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}),
        );
    }

    fn begin(&mut self) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        match self.endpoint {
            NativeEndpoint::Chat => self.chunk(json!({"role": "assistant", "content": ""}), None),
            NativeEndpoint::Responses => {
                for name in ["response.created", "response.in_progress"] {
                    let response = self.response("in_progress");
                    self.frame(json!({"type": name, "response": response}));
                }
            }
            NativeEndpoint::Messages => {
                let mut message = self.message();
                (message["content"], message["stop_reason"]) = (json!([]), Value::Null);
                self.frame(json!({"type": "message_start", "message": message}));
            }
        }
    }

    fn open(&mut self, block: Block) {
        self.close();
        self.is_open = true;
        self.blocks.push(block);
        let index = self.blocks.len() - 1;
        match (self.endpoint, &self.blocks[index]) {
            (NativeEndpoint::Chat, Block::Text(_)) => {}
            (NativeEndpoint::Chat, Block::Call { id, name, .. }) => {
                let call = json!({"index": self.calls() - 1, "id": id, "type": "function",
                    "function": {"name": name, "arguments": ""}});
                self.chunk(json!({"tool_calls": [call]}), None);
            }
            (NativeEndpoint::Responses, _) => {
                let item = self.item(index, "in_progress");
                self.frame(
                    json!({"type": "response.output_item.added", "output_index": index, "item": item}),
                );
            }
            (NativeEndpoint::Messages, Block::Text(_)) => self
                .frame(json!({"type": "content_block_start", "index": index,
                "content_block": {"type": "text", "text": ""}})),
            (NativeEndpoint::Messages, Block::Call { id, name, .. }) => {
                let block = json!({"type": "tool_use", "id": id, "name": name, "input": {},
                    "caller": {"type": "direct"}});
                self.frame(json!({"type": "content_block_start", "index": index, "content_block": block}));
            }
        }
    }

    fn grow(&mut self, piece: &str) {
        let index = self.blocks.len().saturating_sub(1);
        match (self.endpoint, &self.blocks[index]) {
            (NativeEndpoint::Chat, Block::Text(_)) => self.chunk(json!({"content": piece}), None),
            (NativeEndpoint::Chat, Block::Call { .. }) => {
                let call = json!({"index": self.calls() - 1, "function": {"arguments": piece}});
                self.chunk(json!({"tool_calls": [call]}), None);
            }
            (NativeEndpoint::Responses, Block::Text(_)) => self.frame(json!({"type": "response.output_text.delta",
                "item_id": format!("item_{index}"), "output_index": index, "content_index": 0, "delta": piece})),
            (NativeEndpoint::Responses, Block::Call { .. }) => {
                self.frame(json!({"type": "response.function_call_arguments.delta",
                    "item_id": format!("item_{index}"), "output_index": index, "delta": piece}));
            }
            (NativeEndpoint::Messages, Block::Text(_)) => self.frame(json!({"type": "content_block_delta", "index": index,
                "delta": {"type": "text_delta", "text": piece}})),
            (NativeEndpoint::Messages, Block::Call { .. }) => self.frame(json!({"type": "content_block_delta",
                "index": index, "delta": {"type": "input_json_delta", "partial_json": piece}})),
        }
    }

    fn close(&mut self) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        let index = self.blocks.len() - 1;
        match self.endpoint {
            NativeEndpoint::Chat => {}
            NativeEndpoint::Responses => {
                let item = self.item(index, "completed");
                self.frame(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
            }
            NativeEndpoint::Messages => self.frame(json!({"type": "content_block_stop", "index": index})),
        }
    }

    fn end(&mut self) {
        self.begin();
        self.close();
        match self.endpoint {
            NativeEndpoint::Chat => {
                self.chunk(json!({}), Some(self.finish()));
                if self.includes_usage {
                    self.frame(json!({"id": self.id, "object": "chat.completion.chunk", "created": CREATED,
                        "model": self.model, "choices": [], "usage": self.usage()}));
                }
                self.out.extend_from_slice(b"data: [DONE]\n\n");
            }
            NativeEndpoint::Responses => {
                let response = self.response("completed");
                self.frame(json!({"type": "response.completed", "response": response}));
            }
            NativeEndpoint::Messages => {
                let usage = json!({"output_tokens": self.spent()});
                self.frame(json!({"type": "message_delta",
                    "delta": {"stop_reason": self.finish(), "stop_sequence": null}, "usage": usage}));
                self.frame(json!({"type": "message_stop"}));
            }
        }
    }

    fn fail(&mut self, words: &str) {
        match self.endpoint {
            NativeEndpoint::Chat => self
                .frame(json!({"error": {"message": words, "type": "provider_error", "code": 500,
                "metadata": {}}})),
            NativeEndpoint::Responses => {
                let mut response = self.response("failed");
                response["error"] = json!({"code": "server_error", "message": words});
                self.frame(json!({"type": "response.failed", "response": response}));
            }
            NativeEndpoint::Messages => {
                self.frame(json!({"type": "error", "error": {"type": "api_error", "message": words}}));
            }
        }
    }

    /// The answer as one piece.
    pub fn whole(&self) -> Value {
        match self.endpoint {
            NativeEndpoint::Chat => {
                let texts = self.blocks.iter().filter_map(|block| match block {
                    Block::Text(text) => Some(text.as_str()),
                    Block::Call { .. } => None,
                });
                let mut message = json!({"role": "assistant", "content": texts.collect::<String>()});
                let call = |block: &Block| match block {
                    Block::Text(_) => None,
                    Block::Call { id, name, arguments } => Some(json!({"id": id, "type": "function",
                        "function": {"name": name, "arguments": arguments}})),
                };
                if self.calls() > 0 {
                    message["tool_calls"] = self.blocks.iter().filter_map(call).collect();
                }
                json!({"id": self.id, "object": "chat.completion", "created": CREATED, "model": self.model,
                    "choices": [{"index": 0, "message": message, "finish_reason": self.finish()}],
                    "usage": self.usage()})
            }
            NativeEndpoint::Responses => self.response("completed"),
            NativeEndpoint::Messages => self.message(),
        }
    }

    fn calls(&self) -> usize {
        self.blocks.iter().filter(|block| matches!(block, Block::Call { .. })).count()
    }

    fn finish(&self) -> &'static str {
        match (self.endpoint, self.calls()) {
            (NativeEndpoint::Messages, 0) => "end_turn",
            (NativeEndpoint::Messages, _) => "tool_use",
            (_, 0) => "stop",
            (_, _) => "tool_calls",
        }
    }

    /// Tokens of the answer so far; four bytes are one.
    fn spent(&self) -> usize {
        let bytes = self.blocks.iter().map(|block| match block {
            Block::Text(text) => text.len(),
            Block::Call { name, arguments, .. } => name.len() + arguments.len(),
        });
        bytes.sum::<usize>().div_ceil(4)
    }

    fn usage(&self) -> Value {
        let (spent, Tokens { prompt, cached }) = (self.spent(), self.tokens);
        match self.endpoint {
            NativeEndpoint::Chat => {
                json!({"prompt_tokens": prompt, "completion_tokens": spent, "total_tokens": prompt + spent,
                "prompt_tokens_details": {"cached_tokens": cached}})
            }
            NativeEndpoint::Responses => {
                json!({"input_tokens": prompt, "input_tokens_details": {"cached_tokens": cached},
                "output_tokens": spent, "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": prompt + spent})
            }
            // Anthropic counts what came out of the cache beside the rest, not within
            NativeEndpoint::Messages => {
                json!({"input_tokens": prompt - cached, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": cached, "output_tokens": spent, "total_tokens": prompt + spent})
            }
        }
    }

    fn message(&self) -> Value {
        let block = |block: &Block| match block {
            Block::Text(text) => json!({"type": "text", "text": text}),
            Block::Call { id, name, arguments } => json!({"type": "tool_use", "id": id, "name": name,
                "input": serde_json::from_str::<Value>(arguments).unwrap_or_default(),
                "caller": {"type": "direct"}}),
        };
        json!({"model": self.model, "id": self.id, "type": "message", "role": "assistant",
            "content": self.blocks.iter().map(block).collect::<Vec<_>>(), "stop_reason": self.finish(),
            "stop_sequence": null, "usage": self.usage()})
    }

    fn item(&self, index: usize, status: &str) -> Value {
        let id = format!("item_{index}");
        match &self.blocks[index] {
            Block::Text(text) => json!({"id": id, "type": "message", "role": "assistant", "status": status,
                "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]}),
            Block::Call { id: call, name, arguments } => {
                json!({"id": id, "type": "function_call", "status": status,
                "call_id": call, "name": name, "arguments": arguments})
            }
        }
    }

    fn response(&self, status: &str) -> Value {
        let is_done = status == "completed";
        let output: Vec<Value> =
            (0..self.blocks.len()).filter(|_| is_done).map(|index| self.item(index, status)).collect();
        json!({"id": self.id, "object": "response", "created_at": CREATED, "status": status, "model": self.model,
            "output": output, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "temperature": 1,
            "top_p": 0.98, "reasoning": {"effort": "none", "summary": null}, "text": {"format": {"type": "text"}},
            "truncation": "disabled", "usage": is_done.then(|| self.usage()), "store": false, "background": false,
            "metadata": {}, "error": null, "incomplete_details": null, "instructions": null,
            "max_output_tokens": null, "previous_response_id": null})
    }
}

/// A time that does not change: the same question has the same answer.
const CREATED: u64 = 1_774_579_388;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::script::{done, text};

    fn rendered(endpoint: NativeEndpoint, steps: Vec<Step>) -> (String, Value) {
        let mut endpoint_writer =
            EndpointWriter::new(endpoint, "demo-x", 1, Tokens { prompt: 9, cached: 4 }, true);
        let steps: Vec<Step> = steps.into_iter().filter_map(|step| endpoint_writer.step(step)).collect();
        let bytes: Vec<u8> = steps.iter().filter_map(Step::frame).flatten().collect();
        (String::from_utf8(bytes).unwrap(), endpoint_writer.whole())
    }

    #[test]
    fn each_endpoint_ends_in_its_own_way() {
        for (endpoint, end) in [
            (NativeEndpoint::Chat, "data: [DONE]\n\n"),
            (NativeEndpoint::Responses, "}\n\n"),
            (NativeEndpoint::Messages, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
        ] {
            let (stream, _) = rendered(endpoint, vec![text("hel"), text("lo"), done()]);
            assert!(stream.ends_with(end) && stream.contains("hel"), "{endpoint:?}: {stream}");
        }
    }

    #[test]
    fn whole_answers_carry_text_calls_and_usage() {
        let delta = |call: Value| Step::Event {
            name: "json",
            data: json!({"choices": [{"delta": {"tool_calls": [call]}}]}),
        };
        let steps = || {
            vec![
                text("see"),
                delta(json!({"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}})),
                delta(json!({"index": 0, "function": {"arguments": "{}"}})),
                done(),
            ]
        };
        let chat = rendered(NativeEndpoint::Chat, steps()).1;
        assert_eq!(chat["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "{}");
        assert_eq!(
            (&chat["choices"][0]["message"]["content"], &chat["usage"]["prompt_tokens"]),
            (&json!("see"), &json!(9))
        );
        let responses = rendered(NativeEndpoint::Responses, steps()).1;
        assert_eq!(
            (&responses["output"][1]["name"], &responses["output"][1]["call_id"]),
            (&json!("f"), &json!("c"))
        );
        let message = rendered(NativeEndpoint::Messages, steps()).1;
        assert_eq!(
            (&message["content"][1]["input"], &message["stop_reason"]),
            (&json!({}), &json!("tool_use"))
        );
        assert_eq!(message["usage"]["cache_read_input_tokens"], 4);
    }
}
