//! Validates Responses, non-streamed and streamed, by the published schemas and the order of events, and folds them.

#[expect(dead_code, reason = "only named schemas are used here")]
#[path = "published.rs"]
mod published;

use published::check_named;
use serde_json::{Value, json};

use crate::summary::{Summary, data};

/// Panics unless `value` matches the published schema `name`.
pub fn check(value: &Value, name: &str) {
    check_named(value, name, || {
        let mut schema: Value =
            serde_json::from_str(include_str!("../schemas/responses.json")).expect("JSON");
        schema["$ref"] = format!("#/components/schemas/{name}").into();
        schema
    });
}

/// The schema of an event.
fn schema_of(event: &str) -> String {
    match event {
        "error" => "ResponseErrorEvent".into(),
        "response.output_text.delta" => "ResponseTextDeltaEvent".into(),
        "response.output_text.done" => "ResponseTextDoneEvent".into(),
        _ => {
            let words = event.split(['.', '_']).map(|word| word[..1].to_uppercase() + &word[1..]);
            words.collect::<String>() + "Event"
        }
    }
}

/// Content of a non-streamed response or a stream of events.
pub fn summary(body: &str) -> Summary {
    match serde_json::from_str::<Value>(body) {
        Ok(error)
            if error.get("error").is_some_and(|error| error.is_object()) && error.get("object").is_none() =>
        {
            check(&error, "ErrorResponse");
            Summary { finish: "error".into(), ..Summary::default() }
        }
        Ok(whole) => {
            check(&whole, "Response");
            rendered(&whole)
        }
        Err(_) => stream(body),
    }
}

/// Content of a finished response.
pub fn rendered(response: &Value) -> Summary {
    let mut summary = Summary::default();
    for item in response["output"].as_array().expect("output") {
        match item["type"].as_str().expect("a type") {
            "message" => item["content"].as_array().expect("content").iter().for_each(|part| {
                summary.text += part["text"].as_str().expect("text");
            }),
            "reasoning" => item["summary"].as_array().expect("a summary").iter().for_each(|part| {
                summary.thinking += part["text"].as_str().expect("text");
            }),
            "function_call" => summary.calls.push((text(&item["name"]), text(&item["arguments"]))),
            "custom_tool_call" => {
                let arguments = json!({"input": item["input"]}).to_string();
                summary.calls.push((text(&item["name"]), arguments));
            }
            other => panic!("an item of type {other}"),
        }
    }
    let reason = response["incomplete_details"]["reason"].as_str();
    summary.finish = match (response["status"].as_str(), reason) {
        (Some("completed"), None) if summary.calls.is_empty() => "stop",
        (Some("completed"), None) => "tool_calls",
        (Some("incomplete"), Some("max_output_tokens")) => "length",
        (Some("incomplete"), Some("content_filter")) => "content_filter",
        (Some("failed"), None) => "error",
        other => panic!("a response ends as {other:?}"),
    }
    .into();
    if let Some(usage) = response["usage"].as_object() {
        let tokens = |name: &str| usage[name].as_u64().expect("a number");
        assert_eq!(tokens("total_tokens"), tokens("input_tokens") + tokens("output_tokens"));
        summary.usage = (tokens("input_tokens"), tokens("output_tokens"));
    }
    summary
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// Content of a stream from its deltas, after validation of all its events.
pub fn stream(body: &str) -> Summary {
    for frame in body.split_terminator("\n\n") {
        let (event, data) = frame.split_once('\n').expect("an event has two lines");
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        assert_eq!(event.strip_prefix("event: "), data["type"].as_str(), "events are named");
    }
    let (events, _) = data(body);
    let mut stream = Stream::default();
    for (number, event) in events.iter().enumerate() {
        check(event, &schema_of(event["type"].as_str().expect("a type")));
        assert_eq!(event["sequence_number"], number, "events are numbered in order");
        stream.take(event);
    }
    stream.end(body)
}

/// State of a stream that is being read.
#[derive(Default)]
struct Stream {
    names: Vec<String>,
    /// The id of the response.
    id: Value,
    /// Items that are done.
    done: Vec<Value>,
    /// The item that was added and is not done.
    open: Option<Item>,
    summary: Summary,
    last: Value,
}

struct Item {
    added: Value,
    /// Names of the events inside.
    events: Vec<String>,
    said: String,
    is_said: bool,
}

impl Stream {
    fn take(&mut self, event: &Value) {
        let name = text(&event["type"]);
        assert!(self.last.is_null(), "nothing follows the end: {event}");
        match name.as_str() {
            "response.created" | "response.in_progress" => {
                let place = self.names.len();
                assert_eq!(name == "response.created", place == 0, "created comes first and once");
                assert!(place > 1 || name == ["response.created", "response.in_progress"][place]);
                if self.id.is_null() {
                    self.id = event["response"]["id"].clone();
                }
                self.snapshot(event, "in_progress");
            }
            "response.output_item.added" => {
                assert!(self.open.is_none(), "one item at a time: {event}");
                assert_eq!(event["output_index"], self.done.len());
                let added = event["item"].clone();
                self.open = Some(Item { added, events: Vec::new(), said: String::new(), is_said: false });
            }
            "response.output_item.done" => self.close(event),
            "error" => {}
            "response.completed" | "response.incomplete" => {
                assert!(self.open.is_none(), "all items are done");
                self.snapshot(event, name.trim_start_matches("response."));
                assert_eq!(
                    event["response"]["output"],
                    json!(self.done),
                    "the output equals the streamed items"
                );
                self.last = event.clone();
            }
            "response.failed" => {
                assert_eq!(self.names.last().map(String::as_str), Some("error"));
                self.snapshot(event, "failed");
                self.last = event.clone();
            }
            _ => self.inside(&name, event),
        }
        self.names.push(name);
    }

    fn snapshot(&self, event: &Value, status: &str) {
        assert_eq!((&event["response"]["id"], &event["response"]["status"]), (&self.id, &json!(status)));
    }

    fn inside(&mut self, name: &str, event: &Value) {
        assert_eq!(event["output_index"], self.done.len(), "the place of the open item: {event}");
        let item = self.open.as_mut().expect("an item is open");
        assert_eq!(event["item_id"], item.added["id"], "the id of the open item");
        assert!(!item.is_said || !name.ends_with(".delta"), "nothing follows what is done: {event}");
        if let Some(delta) = event["delta"].as_str() {
            assert!(!delta.is_empty(), "an empty delta says nothing");
            item.said += delta;
            let summary = &mut self.summary;
            match name {
                "response.output_text.delta" => summary.text += delta,
                "response.reasoning_summary_text.delta" => summary.thinking += delta,
                _ => {}
            }
        } else if let Some(said) =
            ["text", "arguments", "input"].iter().find_map(|field| event[field].as_str())
        {
            assert_eq!(said, item.said, "a finished item equals its deltas");
            item.is_said = true;
        } else if name.ends_with("part.done") {
            assert_eq!(event["part"]["text"], item.said.as_str());
        }
        if !name.ends_with(".delta") || item.events.last().is_none_or(|last| last != name) {
            item.events.push(name.to_owned());
        }
    }

    fn close(&mut self, event: &Value) {
        assert_eq!(event["output_index"], self.done.len());
        let item = self.open.take().expect("an item is open");
        let done = event["item"].clone();
        for field in ["id", "type", "call_id", "name", "role", "namespace"] {
            assert_eq!(done[field], item.added[field], "{field} stays");
        }
        let kind = text(&done["type"]);
        let (order, said): (&[&str], &Value) = match kind.as_str() {
            "message" => (
                &["content_part.added", "output_text.delta", "output_text.done", "content_part.done"],
                &done["content"][0]["text"],
            ),
            "reasoning" => (
                &[
                    "reasoning_summary_part.added",
                    "reasoning_summary_text.delta",
                    "reasoning_summary_text.done",
                    "reasoning_summary_part.done",
                ],
                &done["summary"][0]["text"],
            ),
            "function_call" => {
                (&["function_call_arguments.delta", "function_call_arguments.done"], &done["arguments"])
            }
            "custom_tool_call" => {
                (&["custom_tool_call_input.delta", "custom_tool_call_input.done"], &done["input"])
            }
            other => panic!("an item of type {other}"),
        };
        assert_eq!(said.as_str(), Some(item.said.as_str()), "an item equals its deltas");
        let events: Vec<&str> = item.events.iter().map(|name| name.trim_start_matches("response.")).collect();
        let without_delta = |name: &&str| !name.ends_with(".delta") || !item.said.is_empty();
        let expected: Vec<&str> = order.iter().copied().filter(without_delta).collect();
        assert_eq!(events, expected, "the events of a {kind}");
        if kind == "function_call" {
            self.summary.calls.push((text(&done["name"]), item.said));
        } else if kind == "custom_tool_call" {
            self.summary.calls.push((text(&done["name"]), json!({"input": item.said}).to_string()));
        }
        self.done.push(done);
    }

    fn end(mut self, body: &str) -> Summary {
        assert!(!self.last.is_null(), "a stream has an end\n{body}");
        let mut rendered = rendered(&self.last["response"]);
        if rendered.finish == "error" {
            // what was open when it failed is not in the output
            self.summary.finish = "error".into();
            return self.summary;
        }
        (self.summary.finish, self.summary.usage) = (std::mem::take(&mut rendered.finish), rendered.usage);
        assert_eq!((&self.summary.text, &self.summary.thinking), (&rendered.text, &rendered.thinking));
        assert_eq!(self.summary.calls, rendered.calls);
        self.summary
    }
}
