//! Encodes events as Anthropic's stream of content blocks.
//!
//! Events from below come in any order, calls even interleaved; blocks may not. Only one is open at a time, and what
//! belongs to another waits until it is complete: a text or thought as soon as something else comes, a call when its
//! arguments are a whole JSON object.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Write;

use serde_json::{Value, json};

use super::{Meta, SIGNATURE, answer, input, stop_reason, usage};
use crate::dialect;
use crate::dialect::anthropic::error_value;
use crate::error::Error;
use crate::pipeline::{Event, Finish, Reply, TokenUsage, ToolDelta};

/// Encodes the answer to one request.
pub struct Encoder {
    meta: Meta,
    /// Tokens of the question.
    prompt: u64,
    phase: Phase,
    open: Option<Open>,
    /// How many blocks were opened so far.
    blocks: usize,
    /// What waits for the open block to be complete.
    waiting: VecDeque<Open>,
    /// White space after the last block, sent with the next text: a block of it alone would be refused when it is
    /// sent back.
    blank: String,
    /// Calls that have been sent to their end, by their index.
    rendered: HashSet<usize>,
    /// The calls that wait, by their index: the number of each in the order of all blocks that ever waited.
    calls: HashMap<usize, usize>,
    /// How many blocks no longer wait.
    taken: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// `message_start` has not been sent.
    #[default]
    Silent,
    Open,
    /// `message_delta` has been sent.
    Finished,
}

/// A block that is open or waits to be, with what was not sent of it yet.
enum Open {
    Thinking(String),
    Text(String),
    Call(Call),
}

struct Call {
    index: usize,
    id: Option<String>,
    name: Option<String>,
    arguments: String,
    shape: Shape,
}

/// What the arguments of a call have turned out to be so far.
enum Shape {
    /// Nothing but white space.
    Blank,
    /// An object, sent piece by piece.
    Object(Scan),
    /// Something that Anthropic's clients cannot take: sent at its end, as an object.
    Other,
}

impl Encoder {
    /// An encoder for the answer that `meta` describes.
    pub fn new(meta: Meta) -> Encoder {
        Encoder {
            meta,
            prompt: 0,
            phase: Phase::default(),
            open: None,
            blocks: 0,
            waiting: VecDeque::new(),
            blank: String::new(),
            rendered: HashSet::new(),
            calls: HashMap::new(),
            taken: 0,
        }
    }

    fn start_message(&mut self, out: &mut Vec<u8>) {
        if self.phase != Phase::Silent {
            return;
        }
        self.phase = Phase::Open;
        let spent = TokenUsage { prompt: self.prompt, ..TokenUsage::default() };
        let message = json!({
            "id": self.meta.id, "type": "message", "role": "assistant", "model": self.meta.model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage(spent),
        });
        frame("message_start", &json!({"type": "message_start", "message": message}), out);
        ping(out);
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        match (&self.open, self.waiting.back_mut()) {
            (Some(Open::Text(_)), None) => return delta(self.blocks - 1, "text", text, out),
            (_, Some(Open::Text(held))) => held.push_str(text),
            _ => self.waiting.push_back(Open::Text(text.to_owned())),
        }
        self.pump(false, out);
    }

    fn thinking(&mut self, text: &str, out: &mut Vec<u8>) {
        match (&self.open, self.waiting.back_mut()) {
            (Some(Open::Thinking(_)), None) => return delta(self.blocks - 1, "thinking", text, out),
            (_, Some(Open::Thinking(held))) => held.push_str(text),
            _ => self.waiting.push_back(Open::Thinking(text.to_owned())),
        }
        self.pump(false, out);
    }

    fn call(&mut self, piece: &ToolDelta, out: &mut Vec<u8>) {
        if self.rendered.contains(&piece.index) {
            return; // after its end there can only be white space
        }
        let waiting =
            self.calls.get(&piece.index).and_then(|number| self.waiting.get_mut(number - self.taken));
        match waiting.or(self.open.as_mut()) {
            Some(Open::Call(call)) if call.index == piece.index => call.take(piece),
            _ => {
                self.calls.insert(piece.index, self.taken + self.waiting.len());
                self.waiting.push_back(Open::Call(Call::new(piece)));
            }
        }
        self.pump(false, out);
    }

    /// Emits what can be sent. With `all`, nothing more follows, and every block ends.
    fn pump(&mut self, all: bool, out: &mut Vec<u8>) {
        loop {
            let at = self.blocks.saturating_sub(1);
            let is_complete = match &mut self.open {
                Some(Open::Call(call)) => call.render(at, out),
                _ => true,
            };
            if self.open.is_some() && !all && (self.waiting.is_empty() || !is_complete) {
                return;
            }
            self.close(out);
            // a call is announced by its name
            let is_nameless = matches!(self.waiting.front(), Some(Open::Call(Call { name: None, .. })));
            if is_nameless && !all {
                return;
            }
            let Some(next) = self.waiting.pop_front() else { return };
            self.taken += 1;
            if let Open::Call(call) = &next {
                self.calls.remove(&call.index);
            }
            if !is_nameless {
                self.start(next, out);
            }
        }
    }

    fn start(&mut self, mut next: Open, out: &mut Vec<u8>) {
        if let Open::Text(text) = &mut next {
            if text.trim().is_empty() {
                return self.blank.push_str(text);
            }
            text.insert_str(0, &std::mem::take(&mut self.blank));
        }
        let at = self.blocks;
        self.blocks += 1;
        let block = match &next {
            Open::Thinking(_) => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Open::Text(_) => json!({"type": "text", "text": ""}),
            Open::Call(call) => {
                let made = || format!("toolu_{}_{}", self.meta.id, call.index);
                json!({"type": "tool_use", "id": call.id.clone().unwrap_or_else(made), "name": call.name,
                    "input": {}})
            }
        };
        let start = json!({"type": "content_block_start", "index": at, "content_block": block});
        frame("content_block_start", &start, out);
        match &mut next {
            Open::Thinking(text) => delta(at, "thinking", &std::mem::take(text), out),
            Open::Text(text) => delta(at, "text", &std::mem::take(text), out),
            Open::Call(_) => {}
        }
        self.open = Some(next);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(block) = self.open.take() else { return };
        let at = self.blocks - 1;
        match block {
            Open::Thinking(_) => delta(at, "signature", SIGNATURE, out),
            Open::Text(_) => {}
            Open::Call(call) => {
                call.finish(at, out);
                self.rendered.insert(call.index);
            }
        }
        frame("content_block_stop", &json!({"type": "content_block_stop", "index": at}), out);
    }

    fn finish(&mut self, finish: &Finish, out: &mut Vec<u8>) {
        self.start_message(out);
        if self.phase == Phase::Finished {
            return;
        }
        self.pump(true, out);
        self.phase = Phase::Finished;
        let spent = finish.usage.unwrap_or(TokenUsage { prompt: self.prompt, ..TokenUsage::default() });
        let delta = json!({
            "stop_reason": stop_reason(finish, !self.rendered.is_empty()), "stop_sequence": finish.stop,
        });
        let delta = json!({"type": "message_delta", "delta": delta, "usage": usage(spent)});
        frame("message_delta", &delta, out);
    }
}

impl dialect::Encoder for Encoder {
    fn whole(&mut self, replies: &[Reply]) -> Vec<u8> {
        // one answer is asked for, so there is one
        answer::encode(&self.meta, replies.first().unwrap_or(&Reply::default()))
    }

    fn begin(&mut self, prompt: &dyn Fn() -> u64) {
        self.prompt = prompt();
    }

    fn event(&mut self, _index: usize, event: &Event, out: &mut Vec<u8>) {
        if self.phase == Phase::Finished {
            return;
        }
        match event {
            Event::Text(text) if !text.is_empty() => {
                self.start_message(out);
                self.text(text, out);
            }
            Event::Thinking(text) if !text.is_empty() => {
                self.start_message(out);
                if self.meta.shows_thought {
                    self.thinking(text, out);
                }
            }
            Event::ToolCall(piece) => {
                self.start_message(out);
                self.call(piece, out);
            }
            Event::Finish(finish) => self.finish(finish, out),
            // files stand in the text as Markdown, suggestions and metadata have no place here, and what was retracted
            // has been settled below
            Event::Text(_) | Event::Thinking(_) => {}
            Event::File(_) | Event::Suggestion(_) | Event::Metadata(_) | Event::Retract => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.finish(&Finish::default(), out); // unless it came
        frame("message_stop", &json!({"type": "message_stop"}), out);
    }

    /// The end of a stream that failed. No `message_stop` follows, so that clients do not take it for complete.
    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        if self.phase == Phase::Open {
            self.pump(true, out);
        }
        frame("error", &error_value(error), out);
    }

    /// A sign of life: readers' timers do not see comments.
    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        ping(out);
    }
}

impl Call {
    fn new(piece: &ToolDelta) -> Call {
        let mut call =
            Call { index: piece.index, id: None, name: None, arguments: String::new(), shape: Shape::Blank };
        call.take(piece);
        call
    }

    fn take(&mut self, piece: &ToolDelta) {
        let said = |text: &&String| !text.is_empty();
        self.id = self.id.take().or_else(|| piece.id.as_ref().filter(said).cloned());
        self.name = self.name.take().or_else(|| piece.name.as_ref().filter(said).cloned());
        self.arguments.push_str(&piece.arguments);
    }

    /// Emits what has arrived of the arguments, in block `at`. Returns whether they are complete.
    fn render(&mut self, at: usize, out: &mut Vec<u8>) -> bool {
        if let Shape::Blank = self.shape {
            let begun = self.arguments.trim_start();
            match begun.chars().next() {
                None => {
                    self.arguments.clear(); // read once
                    return false;
                }
                Some('{') => self.shape = Shape::Object(Scan::default()),
                Some(_) => self.shape = Shape::Other,
            }
        }
        let Shape::Object(scan) = &mut self.shape else { return false };
        let rendered = scan.take(&self.arguments);
        if rendered > 0 {
            delta(at, "partial_json", &self.arguments[..rendered], out);
        }
        self.arguments.clear();
        scan.is_complete()
    }

    fn finish(&self, at: usize, out: &mut Vec<u8>) {
        if let Shape::Blank | Shape::Other = self.shape {
            delta(at, "partial_json", &input(&self.arguments).to_string(), out);
        }
    }
}

/// Finds the end of a JSON object that comes in pieces.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    is_complete: bool,
}

impl Scan {
    fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// How much of `piece` belongs to the object.
    fn take(&mut self, piece: &str) -> usize {
        if self.is_complete {
            return 0;
        }
        for (at, byte) in piece.bytes().enumerate() {
            match (self.in_string, byte) {
                (true, _) if self.is_escaped => self.is_escaped = false,
                (true, b'\\') => self.is_escaped = true,
                (true, b'"') => self.in_string = false,
                (true, _) => {}
                (false, b'"') => self.in_string = true,
                (false, b'{' | b'[') => self.depth += 1,
                (false, b'}' | b']') => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        self.is_complete = true;
                        return at + 1;
                    }
                }
                (false, _) => {}
            }
        }
        piece.len()
    }
}

/// A piece of block `at`: `text`, `thinking`, `signature` or `partial_json`. Text is the hot path: it is escaped straight
/// into the output.
fn delta(at: usize, field: &str, piece: &str, out: &mut Vec<u8>) {
    let kind = match field {
        "partial_json" => "input_json",
        field => field,
    };
    // writing into a Vec cannot fail, nor can writing a string into one
    let _ = write!(
        out,
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{at},\
         \"delta\":{{\"type\":\"{kind}_delta\",\"{field}\":"
    );
    let _ = serde_json::to_writer(&mut *out, piece);
    out.extend_from_slice(b"}}\n\n");
}

fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
}

fn frame(event: &str, value: &Value, out: &mut Vec<u8>) {
    let _ = write!(out, "event: {event}\ndata: {value}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Encoder as _;
    use crate::error::Kind;
    use crate::pipeline::{FinishReason, ToolCall};

    use proptest::prelude::*;

    fn encoder() -> Encoder {
        let mut encoder =
            Encoder::new(Meta { id: "msg_1".into(), model: "a\"b".into(), shows_thought: true });
        encoder.begin(&|| 7);
        encoder
    }

    fn rendered(encoder: &mut Encoder, events: &[Event]) -> Vec<Value> {
        let mut out = Vec::new();
        events.iter().for_each(|event| encoder.event(0, event, &mut out));
        encoder.end(&mut out);
        frames(&out)
    }

    /// The frames of a stream; the name of each is its type.
    fn frames(bytes: &[u8]) -> Vec<Value> {
        let text = std::str::from_utf8(bytes).unwrap();
        let frames = text.split_terminator("\n\n").map(|frame| {
            let (name, data) = frame.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            let value: Value = serde_json::from_str(data).unwrap();
            assert_eq!(value["type"], name);
            value
        });
        frames.collect()
    }

    /// A stream folded by the rules that clients hold it to.
    #[derive(Debug, Default, PartialEq)]
    struct Folded {
        text: String,
        thinking: String,
        calls: Vec<(String, String)>,
        blocks: Vec<String>,
        stop_reason: String,
    }

    fn fold(frames: &[Value]) -> Folded {
        let mut folded = Folded::default();
        let kinds: Vec<&str> = frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
        assert_eq!(kinds.first(), Some(&"message_start"));
        assert_eq!(kinds.iter().filter(|kind| **kind == "message_start").count(), 1);
        assert_eq!(&kinds[kinds.len() - 2..], ["message_delta", "message_stop"]);
        let mut open: Option<(u64, String)> = None;
        let mut is_signed = false;
        for frame in &frames[1..frames.len() - 1] {
            let index = frame["index"].as_u64();
            match frame["type"].as_str().unwrap() {
                "content_block_start" => {
                    assert!(open.is_none(), "one open block at a time");
                    assert_eq!(index, Some(folded.blocks.len() as u64), "numbered in order");
                    let block = &frame["content_block"];
                    let kind = block["type"].as_str().unwrap().to_owned();
                    if kind == "tool_use" {
                        assert!(block["id"].as_str().is_some_and(|id| !id.is_empty()));
                        assert_eq!(block["input"], json!({}));
                        folded.calls.push((block["name"].as_str().unwrap().into(), String::new()));
                    }
                    folded.blocks.push(kind.clone());
                    open = Some((index.unwrap(), kind));
                    is_signed = false;
                }
                "content_block_delta" => {
                    let (at, kind) = open.as_ref().expect("a delta belongs to the open block");
                    assert_eq!(index, Some(*at));
                    let delta = &frame["delta"];
                    let piece = |name: &str| delta[name].as_str().unwrap().to_owned();
                    assert!(!is_signed, "a signature is the last of a thought");
                    match (delta["type"].as_str().unwrap(), kind.as_str()) {
                        ("text_delta", "text") => folded.text += &piece("text"),
                        ("thinking_delta", "thinking") => folded.thinking += &piece("thinking"),
                        ("signature_delta", "thinking") => is_signed = !piece("signature").is_empty(),
                        ("input_json_delta", "tool_use") => {
                            folded.calls.last_mut().unwrap().1 += &piece("partial_json");
                        }
                        other => panic!("{other:?}"),
                    }
                }
                "content_block_stop" => {
                    let (at, kind) = open.take().expect("a block to stop");
                    assert_eq!(index, Some(at));
                    assert_eq!(is_signed, kind == "thinking", "a thought is signed, nothing else");
                }
                "message_delta" => {
                    assert!(open.is_none(), "every block is closed");
                    assert!(folded.stop_reason.is_empty());
                    folded.stop_reason = frame["delta"]["stop_reason"].as_str().unwrap().into();
                }
                "ping" => {}
                other => panic!("{other}"),
            }
        }
        folded
    }

    fn call(index: usize, name: Option<&str>, arguments: &str) -> Event {
        Event::ToolCall(ToolDelta {
            index,
            id: name.map(|name| format!("id-{name}")),
            name: name.map(Into::into),
            arguments: arguments.into(),
        })
    }

    fn text(text: &str) -> Event {
        Event::Text(text.into())
    }

    fn finish(reason: FinishReason) -> Event {
        Event::Finish(Finish { reason, ..Finish::default() })
    }

    #[test]
    fn a_stream_has_everything_that_clients_insist_on() {
        let usage = TokenUsage { prompt: 3, completion: 2, reasoning: 1 };
        let end = Finish { usage: Some(usage), stop: Some("END".into()), ..Finish::default() };
        let events = [
            Event::Thinking("hm\n".into()),
            text("\u{4f60}\""),
            Event::Finish(end.clone()),
            Event::Finish(end),
            text("late"),
        ];
        let frames = rendered(&mut encoder(), &events);
        let start = &frames[0]["message"];
        assert_eq!(
            (&start["id"], &start["role"], &start["model"]),
            (&json!("msg_1"), &json!("assistant"), &json!("a\"b"))
        );
        assert_eq!((&start["content"], &start["stop_reason"]), (&json!([]), &Value::Null));
        let usage = &start["usage"];
        assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(7), &json!(0)));
        assert_eq!(usage["cache_read_input_tokens"], 0);
        assert_eq!(usage["cache_creation_input_tokens"], 0);
        let folded = fold(&frames);
        assert_eq!((folded.thinking.as_str(), folded.text.as_str()), ("hm\n", "\u{4f60}\""));
        assert_eq!(folded.blocks, ["thinking", "text"]);
        let last = &frames[frames.len() - 2];
        assert_eq!(last["delta"], json!({"stop_reason": "stop_sequence", "stop_sequence": "END"}));
        assert_eq!((&last["usage"]["input_tokens"], &last["usage"]["output_tokens"]), (&json!(3), &json!(2)));
    }

    #[test]
    fn interleaved_calls_are_emitted_one_after_the_other() {
        let events = [
            text("I look."),
            call(0, Some("a"), "{\"x\""),
            call(1, Some("b"), "{\"y\":"),
            call(0, None, ":\"}\\\"{\"}"),
            text("\n"),
            call(1, None, "2}"),
            text("wait"),
            finish(FinishReason::ToolCalls),
        ];
        let folded = fold(&rendered(&mut encoder(), &events));
        assert_eq!(folded.blocks, ["text", "tool_use", "tool_use", "text"]);
        let calls = [("a", "{\"x\":\"}\\\"{\"}"), ("b", "{\"y\":2}")];
        assert_eq!(folded.calls, calls.map(|(name, arguments)| (name.to_owned(), arguments.to_owned())));
        assert_eq!((folded.text.as_str(), folded.stop_reason.as_str()), ("I look.\nwait", "tool_use"));
    }

    #[test]
    fn text_streams_on_as_soon_as_the_call_before_it_is_complete() {
        let mut encoder = encoder();
        let mut out = Vec::new();
        for event in [call(0, Some("a"), "{}"), text("on")] {
            encoder.event(0, &event, &mut out);
        }
        assert!(String::from_utf8(out).unwrap().contains(r#""text":"on""#));
    }

    #[test]
    fn arguments_are_an_object_whatever_comes() {
        let rows = [
            (&[""][..], "{}"),
            (&[" ", "\n"], "{}"),
            (&["{}", " ", "x"], "{}"),
            (&["[1", "]"], "{\"arguments\":[1]}"),
            (&["\"a\""], "{\"arguments\":\"a\"}"),
            (&[" {\"a\"", ":[{}]}"], " {\"a\":[{}]}"),
        ];
        for (pieces, expected) in rows {
            let mut events = vec![call(0, Some("f"), "")];
            events.extend(pieces.iter().map(|piece| call(0, None, piece)));
            let folded = fold(&rendered(&mut encoder(), &events));
            assert_eq!(folded.calls[0].1, expected, "{pieces:?}");
        }
    }

    #[test]
    fn white_space_alone_is_no_block() {
        let events = [text("\n"), call(0, Some("f"), "{}"), text(" "), finish(FinishReason::ToolCalls)];
        assert_eq!(fold(&rendered(&mut encoder(), &events)).blocks, ["tool_use"]);
        let folded = fold(&rendered(&mut encoder(), &[text("\n"), text("a"), text("\n")]));
        assert_eq!((folded.text.as_str(), folded.blocks.len()), ("\na\n", 1));
    }

    #[test]
    fn thought_that_was_not_requested_is_not_sent() {
        let mut blind = Encoder::new(Meta { id: "m".into(), model: "m".into(), shows_thought: false });
        let folded = fold(&rendered(&mut blind, &[Event::Thinking("hm".into()), text("hi")]));
        assert_eq!(folded.blocks, ["text"]);
    }

    #[test]
    fn a_failed_stream_ends_with_the_error_after_all_that_was_said() {
        let mut encoder = encoder();
        let mut out = Vec::new();
        for event in [call(0, Some("f"), "{\"a"), text("said")] {
            encoder.event(0, &event, &mut out);
        }
        encoder.error(&Error::new(Kind::Overloaded, "gone"), &mut out);
        let frames = frames(&out);
        let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "gone"}});
        assert_eq!(frames.last(), Some(&error));
        assert!(frames.iter().any(|frame| frame["delta"]["text"] == "said"));
        assert!(
            frames.iter().all(|frame| frame["type"] != "message_stop" && frame["type"] != "message_delta")
        );
    }

    #[test]
    fn a_failure_before_anything_was_said_is_the_error_alone() {
        let mut out = Vec::new();
        encoder().error(&Error::new(Kind::Upstream, "gone"), &mut out);
        assert_eq!(frames(&out).len(), 1);
    }

    /// What an answer is made of, before it is cut into events.
    #[derive(Debug, Clone)]
    enum Step {
        Text(String),
        Thinking(String),
        /// The next piece of a call's arguments, of so many bytes.
        Call(usize, usize),
        Other,
        Finish,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => "[a \n<\"]{0,4}".prop_map(Step::Text),
            2 => "[a \n]{0,4}".prop_map(Step::Thinking),
            6 => (0usize..4, 0usize..9).prop_map(|(index, length)| Step::Call(index, length)),
            1 => Just(Step::Other),
            1 => Just(Step::Finish),
        ];
        proptest::collection::vec(step, 0..40)
    }

    proptest! {
        /// Whatever the order of events: blocks are balanced and one at a time, and nothing is lost.
        #[test]
        fn any_order_of_events_becomes_a_well_formed_stream(
            steps in steps(), inputs in proptest::collection::vec("[a{}\\[\\]\"\\\\]{0,9}", 4), late in 0usize..5,
        ) {
            let inputs: Vec<String> =
                inputs.iter().map(|input| json!({"a": [input, {"b": 1.5}]}).to_string()).collect();
            let mut at = [0; 4];
            let mut reply = Reply::default();
            let mut order: Vec<usize> = Vec::new();
            let mut events = Vec::new();
            let piece = |index: usize, at: &mut [usize; 4], length: usize| {
                let from = at[index];
                at[index] = (from + length).min(inputs[index].len());
                // the name comes with a later piece, or right away
                let is_named = from <= late && (at[index] > late || late == 0);
                let name = format!("f{index}");
                call(index, is_named.then_some(name.as_str()), &inputs[index][from..at[index]])
            };
            for step in &steps {
                match step {
                    Step::Text(said) => {
                        reply.text.push_str(said);
                        events.push(text(said));
                    }
                    Step::Thinking(said) => {
                        reply.thinking.push_str(said);
                        events.push(Event::Thinking(said.clone()));
                    }
                    Step::Call(index, length) => {
                        if !order.contains(index) {
                            order.push(*index);
                        }
                        events.push(piece(*index, &mut at, *length));
                    }
                    Step::Other => events.push(Event::Suggestion("more?".into())),
                    Step::Finish => {}
                }
            }
            for &index in &order {
                events.push(piece(index, &mut at, usize::MAX / 2));
            }
            let extra = steps.iter().filter(|step| matches!(step, Step::Finish)).count();
            events.extend((0..extra).map(|_| finish(FinishReason::Stop)));
            let folded = fold(&rendered(&mut encoder(), &events));
            let expected: Vec<(String, String)> =
                order.iter().map(|&index| (format!("f{index}"), inputs[index].clone())).collect();
            prop_assert_eq!(&folded.calls, &expected);
            prop_assert_eq!(folded.thinking, reply.thinking);
            // white space at the very end may be left out
            prop_assert!(reply.text.starts_with(&folded.text));
            prop_assert!(reply.text[folded.text.len()..].trim().is_empty());
            prop_assert_eq!(folded.stop_reason, if order.is_empty() { "end_turn" } else { "tool_use" });
        }

        /// Nothing that comes from below, however odd, breaks the form.
        #[test]
        fn no_events_break_the_form(
            pieces in proptest::collection::vec((0usize..3, any::<bool>(), "[{}a\" \\[]{0,3}", 0usize..3), 0..30),
        ) {
            let events: Vec<Event> = pieces.iter().map(|(index, is_named, words, kind)| match kind {
                0 => text(words),
                1 => Event::Thinking(words.clone()),
                _ => call(*index, is_named.then_some("f"), words),
            }).collect();
            fold(&rendered(&mut encoder(), &events));
        }
    }

    #[test]
    fn a_whole_answer_is_one_message() {
        let call = ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into() };
        let reply = Reply { text: "hi".into(), tool_calls: vec![call], ..Reply::default() };
        let answer: Value = serde_json::from_slice(&encoder().whole(&[reply])).unwrap();
        assert_eq!((&answer["id"], &answer["content"][1]["name"]), (&json!("msg_1"), &json!("f")));
    }
}
