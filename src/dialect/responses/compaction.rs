//! Compaction: one item replaces a long conversation. The bot writes a summary, which is stored inside the item.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::{self, State, response};
use super::stream::Encoder;
use crate::dialect;
use crate::error::{Error, Kind};
use crate::pipeline::{ChatRequest, Event, FinishReason, Format, Message, Part, Reply, Role, ToolChoice};

/// The item at the end of an input that asks for a compaction.
pub const TRIGGER: &str = "compaction_trigger";
/// What the content of an item begins with that was made here.
pub const SEAL: &str = "poe2openai.";
/// What the bot is asked.
const TASK: &str = "Sum up this conversation, so that the work can go on from your summary alone. Say what was asked, what has \
    been done and found, which files, commands and decisions matter, and what is still to do. Keep names, paths and numbers \
    exact. Answer with the summary and nothing else.";
/// What stands before a summary when the bot is shown it.
const SHOWN: &str = "Summary of the conversation so far:\n\n";

/// Makes `chat` ask for a summary.
pub fn request_summary(chat: &mut ChatRequest) {
    chat.tools.clear();
    (chat.tool_choice, chat.format, chat.sampling.max_tokens) = (ToolChoice::Auto, Format::Text, None);
    chat.messages.push(turn(TASK.into()));
}

/// The summary in an item, if it was made here, as a turn.
pub fn opened(item: &Value) -> Option<Message> {
    let sealed = item.get("encrypted_content")?.as_str()?.strip_prefix(SEAL)?;
    let summary = String::from_utf8(STANDARD.decode(sealed).ok()?).ok()?;
    Some(turn(format!("{SHOWN}{summary}")))
}

fn turn(text: String) -> Message {
    Message { role: Role::User, parts: vec![Part::Text(text)], ..Message::default() }
}

fn item(id: &str, summary: &str) -> Value {
    let sealed = format!("{SEAL}{}", STANDARD.encode(summary));
    json!({"id": id, "type": "compaction", "encrypted_content": sealed})
}

/// How a compaction is asked for.
pub enum Wanted {
    /// By an item among others: the answer is a response.
    Item,
    /// By `/responses/compact`: the answer is a list of items to go on from, these before the new one.
    List(Vec<Value>),
}

/// Encodes an answer as one compaction item.
pub struct Compacting {
    response: Encoder,
    wanted: Wanted,
    summary: String,
    reason: FinishReason,
}

impl Compacting {
    /// Puts the item into what `response` states.
    pub fn new(response: Encoder, wanted: Wanted) -> Compacting {
        Compacting { response, wanted, summary: String::new(), reason: FinishReason::Stop }
    }
}

/// Why a summary cannot replace the conversation: a client that continues from an empty one has lost everything.
fn fault(summary: &str, reason: FinishReason) -> Option<Error> {
    let why = match reason {
        FinishReason::ContentFilter => "Poe's content filter stopped the summary",
        _ if summary.trim().is_empty() => "the bot answered without a summary",
        _ => return None,
    };
    Some(Error::new(Kind::Upstream, format!("the conversation could not be compacted: {why}")))
}

impl dialect::Encoder for Compacting {
    fn whole(&mut self, replies: &[Reply]) -> Vec<u8> {
        let nothing = Reply::default();
        let reply = replies.first().unwrap_or(&nothing);
        let meta = self.response.meta();
        let item = item(&meta.item_id("cmp", 0), &reply.text);
        match &mut self.wanted {
            Wanted::Item => {
                let response = response(meta, &State::Ended(&reply.finish), vec![item]);
                self.response.keep(&response);
                response.to_string().into_bytes()
            }
            Wanted::List(before) => {
                let output: Vec<Value> = std::mem::take(before).into_iter().chain([item]).collect();
                let usage = answer::usage(reply.finish.usage.unwrap_or_default());
                let (id, created) = (&meta.id, meta.created);
                let answer = json!({
                    "id": id, "object": "response.compaction", "created_at": created, "output": output,
                    "usage": usage,
                });
                answer.to_string().into_bytes()
            }
        }
    }

    fn fault(&self, replies: &[Reply]) -> Option<Error> {
        let nothing = Reply::default();
        let reply = replies.first().unwrap_or(&nothing);
        fault(&reply.text, reply.finish.reason)
    }

    fn event(&mut self, index: usize, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Text(text) => self.summary.push_str(text),
            Event::Finish(finish) => {
                self.reason = finish.reason;
                self.response.event(index, event, out);
            }
            _ => {} // a summary has no thoughts and calls nothing
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(error) = fault(&self.summary, self.reason) {
            return self.response.error(&error, out);
        }
        let item = item(&self.response.meta().item_id("cmp", 0), &self.summary);
        self.response.whole_item(item, out);
        self.response.end(out);
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        self.response.error(error, out);
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        self.response.keep_alive(out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ResponseStore, compact, decode};
    use super::*;
    use crate::dialect::Stamp;
    use crate::pipeline::Finish;

    fn response_store() -> ResponseStore<'static> {
        ResponseStore { find: &|_| None, keep: Box::new(drop), clock: || 9 }
    }

    const STAMP: Stamp<'static> = Stamp { now: 7, make_id: &|prefix| format!("{prefix}1") };

    fn body(more: Value) -> Vec<u8> {
        let mut input = vec![
            json!({"role": "user", "content": "do it"}),
            json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}),
            json!({"type": "function_call_output", "call_id": "c", "output": "done"}),
        ];
        input.extend(more.as_array().unwrap().iter().cloned());
        let tools = json!([{"type": "function", "name": "f"}]);
        json!({"model": "m", "stream": true, "input": input, "tools": tools}).to_string().into_bytes()
    }

    #[test]
    fn a_trigger_brings_one_item_that_the_bot_can_be_shown_again() {
        let mut decoded =
            decode(&body(json!([{"type": "compaction_trigger"}])), &STAMP, response_store()).unwrap();
        assert!(decoded.chats[0].tools.is_empty());
        assert!(decoded.chats[0].messages.last().unwrap().text().contains("Sum up"));
        let mut out = Vec::new();
        for event in [Event::Thinking("hm".into()), Event::Text("all ".into()), Event::Text("is well".into())]
        {
            decoded.encoder.event(0, &event, &mut out);
        }
        decoded.encoder.event(0, &Event::Finish(Finish::default()), &mut out);
        decoded.encoder.end(&mut out);
        let stream = String::from_utf8(out).unwrap();
        let names: Vec<_> = stream.lines().filter_map(|line| line.strip_prefix("event: response.")).collect();
        assert_eq!(names, ["created", "in_progress", "output_item.added", "output_item.done", "completed"]);
        let last = stream.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap();
        let output = serde_json::from_str::<Value>(last).unwrap()["response"]["output"].clone();
        assert_eq!((output.as_array().map(Vec::len), &output[0]["type"]), (Some(1), &json!("compaction")));
        let next = json!({"model": "m", "input": [output[0], {"role": "user", "content": "go on"}]});
        let decoded = decode(next.to_string().as_bytes(), &STAMP, response_store()).unwrap();
        assert_eq!(decoded.chats[0].messages[0].text(), format!("{SHOWN}all is well"));
    }

    #[test]
    fn a_path_of_its_own_gives_the_items_to_go_on_from() {
        let mut decoded = compact(&body(json!([])), &STAMP, response_store()).unwrap();
        assert!(!decoded.stream);
        let reply = Reply { text: "well".into(), ..Reply::default() };
        let answer: Value = serde_json::from_slice(&decoded.encoder.whole(&[reply])).unwrap();
        assert_eq!(answer["object"], "response.compaction");
        let kinds: Vec<_> =
            answer["output"].as_array().unwrap().iter().map(|item| item["type"].clone()).collect();
        assert_eq!(kinds, ["message", "compaction"]);
    }

    #[test]
    fn what_cannot_stand_for_the_conversation_is_an_error() {
        let filtered = FinishReason::ContentFilter;
        for (text, reason, is_fault) in [
            ("", FinishReason::Stop, true),
            (" \n", FinishReason::Length, true),
            ("a", filtered, true),
            ("a", FinishReason::Stop, false),
        ] {
            let finish = Finish { reason, ..Finish::default() };
            let decoded = compact(&body(json!([])), &STAMP, response_store()).unwrap();
            let reply = Reply { text: text.into(), finish: finish.clone(), ..Reply::default() };
            let status = decoded.encoder.fault(&[reply]).map(|error| error.kind.status());
            assert_eq!(status, is_fault.then_some(502), "{text:?} {reason:?}");
            let trigger = body(json!([{"type": "compaction_trigger"}]));
            let mut decoded = decode(&trigger, &STAMP, response_store()).unwrap();
            let mut out = Vec::new();
            for event in [Event::Text(text.into()), Event::Finish(finish)] {
                decoded.encoder.event(0, &event, &mut out);
            }
            decoded.encoder.end(&mut out);
            let stream = String::from_utf8(out).unwrap();
            let names: Vec<_> = stream.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
            let has_failed = names.ends_with(&["error", "response.failed"]);
            assert_eq!((has_failed, stream.contains("\"compaction\"")), (is_fault, !is_fault), "{stream}");
        }
    }

    #[test]
    fn a_strangers_seal_is_passed_over() {
        let input =
            json!([{"type": "compaction", "encrypted_content": "gAAAA"}, {"role": "user", "content": "x"}]);
        let request = json!({"model": "m", "input": input}).to_string();
        assert_eq!(decode(request.as_bytes(), &STAMP, response_store()).unwrap().chats[0].messages.len(), 1);
    }
}
