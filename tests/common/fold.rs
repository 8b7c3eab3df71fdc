//! Folds answers to their content, so that non-streamed and streamed ones can be compared.

#[path = "published.rs"]
mod published;

use published::check;
use serde_json::{Map, Value, json};

const WHOLE: &str = include_str!("../schemas/chat.completion.json");
const CHUNK: &str = include_str!("../schemas/chat.completion.chunk.json");
const ERROR: &str = include_str!("../schemas/error.json");

/// Content of a non-streamed answer.
pub fn whole(status: u16, body: &str) -> Value {
    let body: Value = serde_json::from_str(body).expect("an answer is JSON");
    if status != 200 {
        check(&body, ERROR);
        return json!({"error": body["error"]});
    }
    check(&body, WHOLE);
    let choices = body["choices"].as_array().expect("choices").iter().map(|choice| {
        let message = &choice["message"];
        assert_eq!(message.get("reasoning"), message.get("reasoning_content"), "two names, one text");
        json!({
            "text": message["content"].as_str().unwrap_or_default(),
            "reasoning": message["reasoning"].as_str().unwrap_or_default(),
            "calls": message["tool_calls"].as_array().cloned().unwrap_or_default(),
            "function": message["function_call"],
            "finish": choice["finish_reason"],
        })
    });
    json!({"choices": choices.collect::<Vec<_>>(), "usage": body["usage"]})
}

/// The chunks of a stream, each checked, and whether `[DONE]` ended it.
pub fn chunks(body: &str) -> (Vec<Value>, bool) {
    let frames: Vec<&str> = body.split_terminator("\n\n").collect();
    let said = |frame: &&str| frame.strip_prefix("data: ").expect("nothing but data").to_owned();
    let mut said: Vec<String> = frames.iter().map(said).collect();
    let done = said.last().is_some_and(|last| last == "[DONE]");
    if done {
        said.pop();
    }
    (said.iter().map(|json| serde_json::from_str(json).expect("a chunk is JSON")).collect(), done)
}

/// Content of a finished stream.
pub fn stream(body: &str) -> Value {
    let (chunks, done) = chunks(body);
    let mut choices: Vec<Choice> = Vec::new();
    let mut folded = Map::from_iter([("choices".to_owned(), Value::Null)]);
    for chunk in &chunks {
        assert!(!folded.contains_key("error"), "an error is the last word\n{body}");
        if chunk.get("error").is_some() {
            check(chunk, ERROR);
            folded.insert("error".into(), chunk["error"].clone());
            continue;
        }
        check(chunk, CHUNK);
        assert_eq!(chunk["id"], chunks[0]["id"], "one answer has one id");
        if chunk["usage"].is_object() {
            assert_eq!(chunk["choices"], json!([]), "usage comes in a chunk of its own");
            folded.insert("usage".into(), chunk["usage"].clone());
        }
        for choice in chunk["choices"].as_array().expect("choices") {
            let index = choice["index"].as_u64().expect("an index") as usize;
            choices.resize_with(choices.len().max(index + 1), Choice::default);
            choices[index].take(choice);
        }
    }
    assert_eq!(done, !folded.contains_key("error"), "[DONE] ends what is complete\n{body}");
    folded["choices"] = choices.into_iter().map(Choice::rendered).collect();
    folded.into()
}

#[derive(Default)]
struct Choice {
    begun: bool,
    text: String,
    reasoning: String,
    calls: Vec<Value>,
    function: Value,
    finish: Value,
}

impl Choice {
    fn take(&mut self, choice: &Value) {
        assert!(self.finish.is_null(), "nothing follows finish_reason: {choice}");
        let delta = &choice["delta"];
        assert_eq!(delta.get("role").is_some(), !self.begun, "the role comes first and once: {choice}");
        assert_eq!(delta.get("reasoning"), delta.get("reasoning_content"), "two names, one text");
        self.begun = true;
        self.text += delta["content"].as_str().unwrap_or_default();
        self.reasoning += delta["reasoning"].as_str().unwrap_or_default();
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.call(call);
        }
        if let Some(function) = delta.get("function_call") {
            join(&mut self.function, function);
        }
        self.finish = choice["finish_reason"].clone();
    }

    fn call(&mut self, delta: &Value) {
        let index = delta["index"].as_u64().expect("an index") as usize;
        assert!(index <= self.calls.len(), "calls are numbered in order: {delta}");
        let first = index == self.calls.len();
        for field in ["id", "type"] {
            assert_eq!(delta.get(field).is_some(), first, "{field} comes in the first delta only: {delta}");
        }
        assert_eq!(delta["function"].get("name").is_some(), first, "so does the name: {delta}");
        if first {
            self.calls.push(json!({"id": delta["id"], "type": delta["type"], "function": null}));
        }
        join(&mut self.calls[index]["function"], &delta["function"]);
    }

    fn rendered(self) -> Value {
        json!({
            "text": self.text, "reasoning": self.reasoning, "calls": self.calls, "function": self.function,
            "finish": self.finish,
        })
    }
}

/// Adds a piece of a call to what is there of it.
fn join(function: &mut Value, piece: &Value) {
    let arguments = piece["arguments"].as_str().expect("arguments are text");
    match function["arguments"].as_str() {
        Some(before) => function["arguments"] = format!("{before}{arguments}").into(),
        None => *function = json!({"name": piece["name"], "arguments": arguments}),
    }
}
