//! Objects of Ollama's answers.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Meta, Task, Way};
use crate::pipeline::{Finish, FinishReason, ToolCall};

/// An object with a piece of the answer: `text`, `thinking` and calls.
pub fn piece(meta: &Meta, text: &str, thinking: &str, calls: &[ToolCall]) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("model".into(), meta.model.as_str().into());
    object.insert("created_at".into(), meta.created.as_str().into());
    let mut said = Map::new();
    if meta.way == Way::Chat {
        said.insert("role".into(), "assistant".into());
    }
    said.insert(if meta.way == Way::Chat { "content" } else { "response" }.into(), text.into());
    if !thinking.is_empty() && meta.shows_thought {
        said.insert("thinking".into(), thinking.into());
    }
    if !calls.is_empty() && meta.way == Way::Chat {
        said.insert("tool_calls".into(), calls.iter().enumerate().map(call).collect());
    }
    match meta.way {
        Way::Chat => drop(object.insert("message".into(), said.into())),
        Way::Generate => object.extend(said),
    }
    object.insert("done".into(), false.into());
    object
}

/// The arguments stand here as an object. A model's arguments that are none are kept as they are.
fn call((index, call): (usize, &ToolCall)) -> Value {
    let arguments = match call.arguments.trim() {
        "" => json!({}),
        text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
    };
    json!({"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}})
}

/// How long parts of the answer took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Took {
    /// From the request to the first piece; zero where it was not measured.
    pub first: Duration,
    /// From the request to the end.
    pub total: Duration,
}

/// Makes an object the last one.
pub fn finish(object: &mut Map<String, Value>, finish: &Finish, took: Took) {
    let usage = finish.usage.unwrap_or_default();
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    object.insert("done".into(), true.into());
    for (name, value) in [
        ("done_reason", Value::from(done_reason(finish.reason))),
        ("total_duration", nanoseconds(took.total).into()),
        ("load_duration", 0.into()),
        ("prompt_eval_count", usage.prompt.into()),
        ("prompt_eval_duration", nanoseconds(took.first).into()),
        ("eval_count", usage.completion.into()),
        // programs divide by it
        ("eval_duration", nanoseconds(took.total.saturating_sub(took.first)).max(1).into()),
    ] {
        object.insert(name.into(), value);
    }
}

/// The answer to a request that asked nothing.
pub fn task(meta: &Meta, task: Task) -> Map<String, Value> {
    let mut object = piece(meta, "", "", &[]);
    object.insert("done".into(), true.into());
    let reason = match task {
        Task::Load => "load",
        Task::Unload => "unload",
    };
    object.insert("done_reason".into(), reason.into());
    object
}

fn done_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls | FinishReason::ContentFilter => "stop",
        FinishReason::Length => "length",
    }
}
