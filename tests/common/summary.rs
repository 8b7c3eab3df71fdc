//! Content of an answer in any dialect; answers with the same content are equal.

use serde_json::Value;

/// An answer, folded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// All text.
    pub text: String,
    /// All thought.
    pub thinking: String,
    /// The calls in their order: name, and arguments as JSON text.
    pub calls: Vec<(String, String)>,
    /// `stop`, `length`, `tool_calls`, `content_filter`, or `error`.
    pub finish: String,
    /// Tokens of the question and of the answer.
    pub usage: (u64, u64),
}

/// The data of every event of a stream, and whether `[DONE]` ended it.
pub fn data(body: &str) -> (Vec<Value>, bool) {
    let lines = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let json = |data: &str| serde_json::from_str(data).expect("an event is JSON");
    let is_done = body.ends_with("data: [DONE]\n\n");
    (lines.filter(|data| *data != "[DONE]").map(json).collect(), is_done)
}

/// Content of the first choice of a body of Chat Completions, non-streamed or streamed.
pub fn chat(body: &str) -> Summary {
    let mut summary = Summary::default();
    let whole = serde_json::from_str::<Value>(body).ok();
    let is_whole = whole.is_some();
    let pieces = whole.map_or_else(|| data(body).0, |whole| vec![whole]);
    for piece in &pieces {
        if piece.get("error").is_some() {
            summary.finish = "error".into();
        }
        if let Some(usage) = piece.get("usage").filter(|usage| usage.is_object()) {
            let tokens = |name: &str| usage[name].as_u64().expect("a number");
            summary.usage = (tokens("prompt_tokens"), tokens("completion_tokens"));
        }
        let choice = &piece["choices"][0];
        let said = &choice[if is_whole { "message" } else { "delta" }];
        summary.text += said["content"].as_str().unwrap_or_default();
        summary.thinking += said["reasoning_content"].as_str().unwrap_or_default();
        for (at, call) in said["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let index = call["index"].as_u64().map_or(at, |index| index as usize);
            if summary.calls.len() <= index {
                summary.calls.resize_with(index + 1, Default::default);
            }
            let (name, arguments) = &mut summary.calls[index];
            *name += call["function"]["name"].as_str().unwrap_or_default();
            *arguments += call["function"]["arguments"].as_str().unwrap_or_default();
        }
        if let Some(finish) = choice["finish_reason"].as_str() {
            summary.finish = finish.to_owned();
        }
    }
    summary
}
