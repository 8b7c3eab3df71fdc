//! Encodes replies as one `chat.completion`.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Meta, Usage, finish_reason, usage};
use crate::dialect::{custom, json};
use crate::pipeline::{Reply, TokenUsage, ToolCall};

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    usage: Usage,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    message: Message<'a>,
    logprobs: (),
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: (),
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Value>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    suggested_replies: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
}

/// The whole answer, one choice for each reply.
pub fn encode(meta: &Meta, replies: &[Reply]) -> Vec<u8> {
    json::bytes(&Completion {
        id: &meta.id,
        object: "chat.completion",
        created: meta.created,
        model: &meta.model,
        choices: replies.iter().enumerate().map(|(index, reply)| choice(meta, index, reply)).collect(),
        usage: usage(spent(replies)),
    })
}

fn choice<'a>(meta: &'a Meta, index: usize, reply: &'a Reply) -> Choice<'a> {
    let finish_reason = finish_reason(reply.finish.reason, meta);
    Choice { index, message: message(meta, reply), logprobs: (), finish_reason }
}

fn message<'a>(meta: &Meta, reply: &'a Reply) -> Message<'a> {
    let calls = reply.tool_calls.as_slice();
    let (function_call, tool_calls) = match meta.has_functions {
        true => (calls.first().map(function), Vec::new()),
        false => (None, calls.iter().map(|called| call(meta, called)).collect()),
    };
    let pictures = reply.files.iter().filter(|file| file.content_type.starts_with("image/"));
    Message {
        role: "assistant",
        // OpenAI's own answers have null beside calls; an empty answer is still a string
        content: Some(reply.text.as_str()).filter(|text| !text.is_empty() || calls.is_empty()),
        refusal: (),
        reasoning_content: &reply.thinking,
        reasoning: &reply.thinking,
        function_call,
        tool_calls,
        images: pictures.map(|file| json!({"type": "image_url", "image_url": {"url": file.url}})).collect(),
        suggested_replies: &reply.suggestions,
        metadata: reply.metadata.as_deref(),
    }
}

fn call(meta: &Meta, call: &ToolCall) -> Value {
    if meta.plain_text.contains(&call.name) {
        let input = custom::unwrapped(&call.arguments);
        return json!({"id": call.id, "type": "custom", "custom": {"name": call.name, "input": input}});
    }
    json!({"id": call.id, "type": "function", "function": function(call)})
}

fn function(call: &ToolCall) -> Value {
    json!({"name": call.name, "arguments": call.arguments})
}

/// All choices answer one question, so it counts once.
fn spent(replies: &[Reply]) -> TokenUsage {
    let mut sum = TokenUsage::default();
    for usage in replies.iter().filter_map(|reply| reply.finish.usage) {
        sum.prompt = usage.prompt;
        sum.completion += usage.completion;
        sum.reasoning += usage.reasoning;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Attachment, Finish, FinishReason};

    #[test]
    fn every_part_of_a_reply_has_its_field() {
        let meta = Meta {
            id: "chatcmpl-1".into(),
            created: 7,
            model: "m".into(),
            has_functions: false,
            plain_text: Default::default(),
        };
        let reply = Reply {
            thinking: "hm".into(),
            tool_calls: vec![ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into() }],
            files: vec![Attachment {
                url: "u".into(),
                content_type: "image/png".into(),
                ..Attachment::default()
            }],
            suggestions: vec!["more?".into()],
            finish: Finish {
                reason: FinishReason::ToolCalls,
                usage: Some(TokenUsage { prompt: 1, completion: 2, reasoning: 1 }),
                ..Finish::default()
            },
            ..Reply::default()
        };
        let plain = Reply { text: "hi".into(), finish: reply.finish.clone(), ..Reply::default() };
        let answer: Value = serde_json::from_slice(&encode(&meta, &[reply, plain])).unwrap();
        let message = &answer["choices"][0]["message"];
        assert_eq!(message["content"], Value::Null);
        assert_eq!((&message["reasoning_content"], &message["reasoning"]), (&json!("hm"), &json!("hm")));
        assert_eq!(message["tool_calls"][0]["function"], json!({"name": "f", "arguments": "{}"}));
        assert_eq!(message["images"][0]["image_url"]["url"], "u");
        assert_eq!(message["suggested_replies"], json!(["more?"]));
        assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(
            (&answer["choices"][1]["index"], &answer["choices"][1]["message"]["content"]),
            (&json!(1), &json!("hi"))
        );
        let usage = &answer["usage"];
        assert_eq!(
            (&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]),
            (&json!(1), &json!(4), &json!(5))
        );
    }
}
