//! Encodes events as the events of a response.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Write;

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::answer::{self, State, call_prefix, item_status, output, response};
use super::tools::Named;
use super::{Meta, failure_code};
use crate::dialect::custom::Unwrapping;
use crate::dialect::{self, json, openai};
use crate::error::Error;
use crate::pipeline::{Event, Finish, Reply, ToolDelta};

/// Keeps the finished response, as JSON.
pub type Keep = Box<dyn FnOnce(Vec<u8>)>;

/// Encodes the answer to one request. In a stream one item is open at a time: what comes for another while a call is
/// incomplete waits for the call, and a thought in the middle of a text waits for the text.
///
/// Text is the hot path: everything around it is made once, and the text is escaped straight into the output.
pub struct Encoder {
    meta: Meta,
    keep: Option<Keep>,
    /// How many events have been sent.
    sequence: u64,
    /// The items that are done.
    output: Vec<Value>,
    open: Open,
    waiting: Waiting,
    /// Thoughts that came in the middle of a text.
    late: String,
    /// White space for which no message was begun: between calls it is none.
    blank: String,
    finish: Option<Finish>,
    passed: Passed,
}

/// Part of a passed-through stream that is needed to report that it broke off. It is parsed only then.
#[derive(Default)]
struct Passed {
    /// Events, one of which began the response.
    created: Vec<u8>,
    /// The last events that had a number.
    last: Vec<u8>,
}

/// The data of events.
fn data(events: &[u8]) -> impl Iterator<Item = Value> + '_ {
    let lines = events.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.filter_map(|line| serde_json::from_slice(line.strip_prefix(b"data:")?).ok())
}

/// What came while a call was incomplete, in its order.
#[derive(Default)]
struct Waiting {
    events: BTreeMap<u64, Event>,
    /// The numbers of the events that are pieces of calls, by the call.
    pieces: HashMap<usize, VecDeque<u64>>,
    next: u64,
}

impl Waiting {
    fn add(&mut self, event: Event) {
        if let Event::ToolCall(delta) = &event {
            self.pieces.entry(delta.index).or_default().push_back(self.next);
        }
        self.events.insert(self.next, event);
        self.next += 1;
    }

    /// The next event; while `call` is open, the next of its pieces.
    fn take(&mut self, call: Option<usize>) -> Option<Event> {
        let number = match call {
            Some(call) => *self.pieces.get(&call)?.front()?,
            None => *self.events.first_key_value()?.0,
        };
        let event = self.events.remove(&number)?;
        if let Event::ToolCall(delta) = &event
            && let Some(pieces) = self.pieces.get_mut(&delta.index)
        {
            pieces.pop_front();
            if pieces.is_empty() {
                self.pieces.remove(&delta.index);
            }
        }
        Some(event)
    }
}

enum Open {
    Nothing,
    Thought(Piece),
    Text(Piece),
    Call(Call),
}

/// A thought or a text.
struct Piece {
    id: String,
    /// An event with the next delta, up to the delta.
    head: Vec<u8>,
    said: String,
}

struct Call {
    /// Which call of the answer.
    index: usize,
    id: String,
    call_id: String,
    named: Named,
    arguments: String,
    /// What it takes is plain text.
    unwrapping: Option<Unwrapping>,
    brackets: Brackets,
}

impl Call {
    fn push(&mut self, piece: &str) {
        self.arguments.push_str(piece);
        if self.brackets.close_in(piece) {
            // what follows an object cannot make it one
            self.brackets.are_json = is_json(&self.arguments);
        }
    }

    /// Whether nothing more can come, as far as the arguments show.
    fn is_complete(&self) -> bool {
        let is_scalar = || {
            let text = self.arguments.trim();
            text.len() <= LONGEST_SCALAR && !text.starts_with(['{', '[']) && is_json(text)
        };
        self.brackets.are_json || self.arguments.len() <= 2 * LONGEST_SCALAR && is_scalar()
    }
}

/// Arguments should be an object. Something shorter than this may be complete without being one.
const LONGEST_SCALAR: usize = 32;

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// How far a JSON object in pieces has come, so that it is parsed once.
#[derive(Default)]
struct Brackets {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// The outermost bracket was closed.
    are_closed: bool,
    /// What they close is JSON.
    are_json: bool,
}

impl Brackets {
    /// Whether the outermost bracket is closed for the first time by the end of `piece`.
    fn close_in(&mut self, piece: &str) -> bool {
        let were_closed = self.are_closed;
        for byte in piece.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth += 1,
                b'}' | b']' if !self.in_string => {
                    self.depth = self.depth.saturating_sub(1);
                    self.are_closed |= self.depth == 0;
                }
                _ => {}
            }
        }
        self.are_closed && !were_closed
    }
}

impl Encoder {
    /// An encoder that hands the finished response to `keep`, if it is to be kept.
    pub(super) fn new(meta: Meta, keep: Option<Keep>) -> Encoder {
        Encoder {
            meta,
            keep,
            sequence: 0,
            output: Vec::new(),
            open: Open::Nothing,
            waiting: Waiting::default(),
            late: String::new(),
            blank: String::new(),
            finish: None,
            passed: Passed::default(),
        }
    }

    /// Writes one event: its name, its fields, its number.
    fn render(&mut self, name: &str, fields: Value, out: &mut Vec<u8>) {
        let mut event = json!({"type": name, "sequence_number": self.sequence});
        if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
            event.extend(fields);
        }
        self.sequence += 1;
        // writing into a Vec cannot fail
        let _ = write!(out, "event: {name}\ndata: {event}\n\n");
    }

    /// What all pieces have in common.
    pub(super) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Hands the finished response over, if it is to be kept.
    pub(super) fn keep(&mut self, response: &Value) {
        if let Some(keep) = self.keep.take() {
            keep(json::bytes(&response));
        }
    }

    /// Writes the events of a complete item.
    pub(super) fn whole_item(&mut self, item: Value, out: &mut Vec<u8>) {
        self.begin(out);
        let index = self.output.len();
        for name in ["response.output_item.added", "response.output_item.done"] {
            self.render(name, json!({"output_index": index, "item": item}), out);
        }
        self.output.push(item);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.sequence == 0 {
            self.snapshot("response.created", out);
            self.snapshot("response.in_progress", out);
        }
    }

    fn snapshot(&mut self, name: &str, out: &mut Vec<u8>) {
        let response = response(&self.meta, &State::InProgress, self.output.clone());
        self.render(name, json!({ "response": response }), out);
    }

    fn take(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Text(text) | Event::Thinking(text) if text.is_empty() => {}
            Event::Text(_) | Event::Thinking(_) | Event::ToolCall(_) if self.must_wait(event) => {
                self.waiting.add(event.clone());
            }
            Event::Text(_) | Event::Thinking(_) | Event::ToolCall(_) => {
                self.encode_now(event, out);
                self.catch_up(out);
            }
            Event::Finish(finish) => self.finish = Some(finish.clone()),
            // files stand in the text as Markdown, suggestions and metadata have no place in a response, and what was
            // retracted has been settled below
            _ => {}
        }
    }

    /// Whether a call that is incomplete is in the way.
    fn must_wait(&self, event: &Event) -> bool {
        match (&self.open, event) {
            (Open::Call(call), Event::ToolCall(delta)) if call.index == delta.index => false,
            (Open::Call(call), _) => !call.is_complete(),
            _ => false,
        }
    }

    /// Encodes an event that need not wait.
    fn encode_now(&mut self, event: &Event, out: &mut Vec<u8>) {
        let is_more = matches!((&self.open, event),
            (Open::Call(call), Event::ToolCall(delta)) if call.index == delta.index);
        if matches!(self.open, Open::Call(_)) && !is_more {
            self.close("completed", out);
        }
        match event {
            Event::Text(text) => self.text(text, out),
            Event::Thinking(text) => self.thought(text, out),
            Event::ToolCall(delta) => self.call(delta, out),
            _ => {}
        }
    }

    /// Encodes waiting events, as far as they need not wait any longer.
    fn catch_up(&mut self, out: &mut Vec<u8>) {
        while !self.waiting.events.is_empty() {
            let call = match &self.open {
                Open::Call(call) if call.is_complete() => {
                    self.close("completed", out);
                    continue;
                }
                Open::Call(call) => Some(call.index),
                _ => None,
            };
            let Some(event) = self.waiting.take(call) else { break };
            self.encode_now(&event, out);
        }
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if !matches!(self.open, Open::Text(_)) {
            if text.trim().is_empty() {
                return self.blank.push_str(text);
            }
            self.close("completed", out);
            self.open_text(out);
        }
        if let Open::Text(piece) = &mut self.open {
            delta(piece, text, &mut self.sequence, out);
        }
    }

    fn open_text(&mut self, out: &mut Vec<u8>) {
        let (index, id) = self.next_id("msg");
        let item =
            json!({"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": []});
        self.render("response.output_item.added", json!({"output_index": index, "item": item}), out);
        let part = json!({
            "item_id": id, "output_index": index, "content_index": 0, "part": answer::text_part(""),
        });
        self.render("response.content_part.added", part, out);
        let head = format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"item_id\":\"{id}\",\
             \"output_index\":{index},\"content_index\":0,\"logprobs\":[],\"delta\":"
        );
        let mut piece = Piece { id, head: head.into_bytes(), said: String::new() };
        let blank = std::mem::take(&mut self.blank);
        if !blank.is_empty() {
            delta(&mut piece, &blank, &mut self.sequence, out);
        }
        self.open = Open::Text(piece);
    }

    fn thought(&mut self, text: &str, out: &mut Vec<u8>) {
        if let Open::Text(_) = self.open {
            return self.late.push_str(text); // a text stays in one piece
        }
        if !matches!(self.open, Open::Thought(_)) {
            self.close("completed", out);
            self.open_thought(out);
        }
        if let Open::Thought(piece) = &mut self.open {
            delta(piece, text, &mut self.sequence, out);
        }
    }

    fn open_thought(&mut self, out: &mut Vec<u8>) {
        let (index, id) = self.next_id("rs");
        let item = json!({"id": id, "type": "reasoning", "summary": []});
        self.render("response.output_item.added", json!({"output_index": index, "item": item}), out);
        let part = json!({
            "item_id": id, "output_index": index, "summary_index": 0, "part": {"type": "summary_text", "text": ""},
        });
        self.render("response.reasoning_summary_part.added", part, out);
        let head = format!(
            "event: response.reasoning_summary_text.delta\ndata: {{\"type\":\"response.reasoning_summary_text.delta\",\
             \"item_id\":\"{id}\",\"output_index\":{index},\"summary_index\":0,\"delta\":"
        );
        self.open = Open::Thought(Piece { id, head: head.into_bytes(), said: String::new() });
    }

    fn call(&mut self, delta: &ToolDelta, out: &mut Vec<u8>) {
        if !matches!(&self.open, Open::Call(call) if call.index == delta.index) {
            if delta.name.is_none() {
                return log::debug!("ignored a part of a call after its end: {:?}", delta.arguments);
            }
            self.close("completed", out);
            self.open_call(delta, out);
        }
        let Open::Call(call) = &mut self.open else { return };
        call.push(&delta.arguments);
        let id = call.id.clone();
        let (name, text) = match &mut call.unwrapping {
            Some(unwrapping) => ("response.custom_tool_call_input.delta", unwrapping.push(&delta.arguments)),
            None => ("response.function_call_arguments.delta", delta.arguments.clone()),
        };
        let index = self.output.len();
        if !text.is_empty() {
            self.render(name, json!({"item_id": id, "output_index": index, "delta": text}), out);
        }
    }

    fn open_call(&mut self, delta: &ToolDelta, out: &mut Vec<u8>) {
        let named = self.meta.names.rendered(delta.name.as_deref().unwrap_or_default());
        let (index, id) = self.next_id(call_prefix(&named));
        let call_id = delta.id.clone().unwrap_or_default();
        let item = answer::call(&id, &call_id, &named, "", "in_progress");
        self.render("response.output_item.added", json!({"output_index": index, "item": item}), out);
        let unwrapping = named.is_custom.then(Unwrapping::default);
        let arguments = String::new();
        self.open = Open::Call(Call {
            index: delta.index,
            id,
            call_id,
            named,
            arguments,
            unwrapping,
            brackets: Brackets::default(),
        });
    }

    /// The place of the next item in the output, and its id.
    fn next_id(&self, prefix: &str) -> (usize, String) {
        (self.output.len(), self.meta.item_id(prefix, self.output.len()))
    }

    /// Closes the open item, which ends with `status`.
    fn close(&mut self, status: &str, out: &mut Vec<u8>) {
        let index = self.output.len();
        let item = match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => return,
            Open::Thought(Piece { id, said, .. }) => {
                let place = |field: &str, value: Value| json!({"item_id": id, "output_index": index, "summary_index": 0, field: value});
                self.render("response.reasoning_summary_text.done", place("text", said.as_str().into()), out);
                let part = json!({"type": "summary_text", "text": said});
                self.render("response.reasoning_summary_part.done", place("part", part), out);
                answer::reasoning(&self.meta, &id, &said)
            }
            Open::Text(Piece { id, said, .. }) => {
                let done = json!({
                    "item_id": id, "output_index": index, "content_index": 0, "logprobs": [], "text": said,
                });
                self.render("response.output_text.done", done, out);
                let part = json!({
                    "item_id": id, "output_index": index, "content_index": 0, "part": answer::text_part(&said),
                });
                self.render("response.content_part.done", part, out);
                answer::message(&id, &said, status)
            }
            Open::Call(call) => self.close_call(call, status, out),
        };
        self.render("response.output_item.done", json!({"output_index": index, "item": item}), out);
        let is_text = item["type"] == "message";
        self.output.push(item);
        if is_text && !self.late.is_empty() {
            let late = std::mem::take(&mut self.late);
            self.thought(&late, out);
            self.close("completed", out);
        }
    }

    fn close_call(&mut self, call: Call, status: &str, out: &mut Vec<u8>) -> Value {
        let index = self.output.len();
        let place = |fields: Value| {
            let mut event = json!({"item_id": call.id, "output_index": index});
            if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
                event.extend(fields);
            }
            event
        };
        let text = match call.unwrapping {
            Some(unwrapping) => {
                let (input, rest) = unwrapping.finish();
                if !rest.is_empty() {
                    self.render(
                        "response.custom_tool_call_input.delta",
                        place(json!({ "delta": rest })),
                        out,
                    );
                }
                self.render("response.custom_tool_call_input.done", place(json!({ "input": input })), out);
                input
            }
            None => {
                let done = place(json!({"name": call.named.name, "arguments": call.arguments}));
                self.render("response.function_call_arguments.done", done, out);
                call.arguments
            }
        };
        answer::call(&call.id, &call.call_id, &call.named, &text, status)
    }
}

/// Writes a delta of a thought or a text.
fn delta(piece: &mut Piece, text: &str, sequence: &mut u64, out: &mut Vec<u8>) {
    piece.said.push_str(text);
    out.extend_from_slice(&piece.head);
    // writing a string or a number into a Vec cannot fail
    let _ = serde_json::to_writer(&mut *out, text);
    let _ = write!(out, ",\"sequence_number\":{sequence}}}\n\n");
    *sequence += 1;
}

impl dialect::Encoder for Encoder {
    fn whole(&mut self, replies: &[Reply]) -> Vec<u8> {
        let nothing = Reply::default();
        let reply = replies.first().unwrap_or(&nothing);
        let response = response(&self.meta, &State::Ended(&reply.finish), output(&self.meta, reply));
        self.keep(&response);
        json::bytes(&response)
    }

    fn event(&mut self, _: usize, event: &Event, out: &mut Vec<u8>) {
        let is_rendered =
            matches!(event, Event::Text(_) | Event::Thinking(_) | Event::ToolCall(_) | Event::Finish(_));
        if is_rendered {
            self.begin(out);
            self.take(event, out);
        }
    }

    /// The end of the stream: whatever is open is closed, and the whole response is sent once more.
    fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        let finish = self.finish.take().unwrap_or_default();
        let status = item_status(&finish);
        loop {
            let is_last = self.waiting.events.is_empty();
            self.close(if is_last { status } else { "completed" }, out);
            if is_last {
                break;
            }
            self.catch_up(out);
        }
        if self.output.iter().all(|item| item["type"] == "reasoning") {
            self.open_text(out);
            self.close(status, out);
        }
        let output = std::mem::take(&mut self.output);
        let response = response(&self.meta, &State::Ended(&finish), output);
        self.keep(&response);
        let name = if status == "completed" { "response.completed" } else { "response.incomplete" };
        self.render(name, json!({ "response": response }), out);
    }

    /// The end of a stream that failed. A call that is open stays open, so that clients do not take it for complete.
    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        self.begin(out);
        let Error { kind, message, param, .. } = openai::for_responses(error);
        let fields = json!({"code": failure_code(kind), "message": message, "param": param});
        self.render("error", fields, out);
        let output = std::mem::take(&mut self.output);
        let response = response(&self.meta, &State::Failed(error), output);
        self.render("response.failed", json!({ "response": response }), out);
    }

    fn passed(&mut self, events: &[u8]) {
        let text = std::str::from_utf8(events).unwrap_or_default();
        let Passed { created, last } = &mut self.passed;
        if created.is_empty() && text.contains("\"response.created\"") {
            created.extend_from_slice(events);
        }
        if text.contains("\"sequence_number\"") {
            last.clear();
            last.extend_from_slice(events);
        }
    }

    /// What others began has an id and numbers that are not ours.
    fn break_off(&mut self, error: &Error, out: &mut Vec<u8>) {
        let Passed { created, last } = std::mem::take(&mut self.passed);
        let last = data(&last).filter_map(|event| event["sequence_number"].as_u64()).max();
        self.sequence = last.map_or(self.sequence, |last| last.saturating_add(1));
        let mut created = data(&created).filter(|event| event["type"] == "response.created");
        let response = created.next().map(|mut event| event["response"].take()).filter(Value::is_object);
        let Some(mut response) = response else { return self.error(error, out) };
        let Error { kind, message, param, .. } = openai::for_responses(error);
        let fields = json!({"code": failure_code(kind), "message": message, "param": param});
        self.render("error", fields, out);
        response["status"] = "failed".into();
        response["error"] = answer::failure(error);
        self.render("response.failed", json!({ "response": response }), out);
    }

    fn rendered(&mut self, whole: &[u8]) {
        if let Some(keep) = self.keep.take() {
            keep(whole.to_vec());
        }
    }

    /// A sign of life. An event and no comment, because comments do not count for some clients.
    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        match self.sequence {
            0 => self.begin(out),
            _ => self.snapshot("response.in_progress", out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ResponseStore, decode};
    use super::*;
    use crate::dialect::Stamp;
    use crate::error::Kind;

    fn encoder() -> Box<dyn dialect::Encoder> {
        let body =
            json!({"model": "m", "stream": true, "input": "x", "tools": [{"type": "function", "name": "f"}]});
        let response_store = ResponseStore { find: &|_| None, keep: Box::new(drop), clock: || 9 };
        let stamp = Stamp { now: 7, make_id: &|prefix| format!("{prefix}1") };
        decode(body.to_string().as_bytes(), &stamp, response_store).unwrap().encoder
    }

    #[test]
    fn white_space_around_calls_is_no_message_of_its_own() {
        let text = |text: &str| Event::Text(text.into());
        let call = |index, id: &str| {
            let (id, name) = (Some(id.into()), Some("f".into()));
            Event::ToolCall(ToolDelta { index, id, name, arguments: "{}".into() })
        };
        let (c, d) = (call(0, "c"), call(1, "d"));
        let thought = Event::Thinking("hm".into());
        let (one, two) = ("function_call", ["function_call", "function_call"]);
        let cases: [(Vec<Event>, Vec<&str>); 6] = [
            (vec![text("\n"), c.clone(), text("\n\n"), d.clone(), text(" ")], two.into()),
            (vec![text("\n"), text(" a"), c.clone(), text("\n")], vec!["message: \n a", one]),
            (vec![thought.clone(), text("\n"), c.clone()], vec!["reasoning", one]),
            (vec![text("\n"), thought, text("a")], vec!["reasoning", "message: \na"]),
            (vec![text(" "), text("\n")], vec!["message:  \n"]),
            (vec![], vec!["message: "]),
        ];
        let items = |response: &Value| -> Vec<String> {
            let items = response["output"].as_array().unwrap().iter();
            let said = |item: &Value| match item["content"][0]["text"].as_str() {
                // what stands at the end of a message does not count
                Some(text) if text.contains('a') => format!("message: {}", text.trim_end()),
                Some(text) => format!("message: {text}"),
                None => item["type"].as_str().unwrap().to_owned(),
            };
            items.map(said).collect()
        };
        for (mut events, expected) in cases {
            events.push(Event::Finish(Finish::default()));
            let (mut streaming, mut out) = (encoder(), Vec::new());
            events.iter().for_each(|event| streaming.event(0, event, &mut out));
            streaming.end(&mut out);
            let rendered: Vec<Value> = data(&out).collect();
            assert_eq!(items(&rendered[rendered.len() - 1]["response"]), expected, "{events:?}");
            let said = rendered.iter().filter(|event| event["type"] == "response.output_text.delta");
            let said: String = said.map(|event| event["delta"].as_str().unwrap()).collect();
            let message = expected.iter().find_map(|item| item.strip_prefix("message: "));
            assert_eq!(said, message.unwrap_or_default(), "{events:?}");
            let reply = Reply::fold(events.clone().into_iter().map(Ok)).unwrap();
            let whole: Value = serde_json::from_slice(&encoder().whole(&[reply])).unwrap();
            assert_eq!(items(&whole), expected, "{events:?}");
        }
    }

    #[test]
    fn a_stream_of_others_that_broke_off_is_ended_with_its_own_id_and_numbers() {
        let created = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":4,\"response\":{\"id\":\"resp_theirs\",\"status\":\"in_progress\",\"output\":[]}}\n\n";
        let said = "event: x\r\ndata: {\"type\":\"x\",\"sequence_number\":5,\"delta\":\"\\\"response.created\\\"\"}\r\n\r\n";
        let mut encoder = encoder();
        for events in [": hi\n\n", created, said, ": hi\n\n"] {
            encoder.passed(events.as_bytes());
        }
        let mut out = Vec::new();
        encoder.break_off(&Error::new(Kind::Upstream, "gone"), &mut out);
        let rendered: Vec<Value> = data(&out).collect();
        assert_eq!(rendered.len(), 2, "{rendered:?}");
        assert_eq!((&rendered[0]["type"], &rendered[0]["sequence_number"]), (&json!("error"), &json!(6)));
        assert_eq!(
            (&rendered[1]["type"], &rendered[1]["sequence_number"]),
            (&json!("response.failed"), &json!(7))
        );
        let response = &rendered[1]["response"];
        assert_eq!((&response["id"], &response["status"]), (&json!("resp_theirs"), &json!("failed")));
        assert_eq!(response["error"]["code"], "server_error");
    }

    #[test]
    fn a_stream_of_others_that_said_nothing_is_a_response_that_failed() {
        let mut encoder = encoder();
        encoder.passed(b": hi\n\n");
        let mut out = Vec::new();
        encoder.break_off(&Error::new(Kind::Upstream, "gone"), &mut out);
        let rendered: Vec<_> = data(&out).map(|event| event["type"].as_str().unwrap().to_owned()).collect();
        assert_eq!(rendered, ["response.created", "response.in_progress", "error", "response.failed"]);
    }
}
