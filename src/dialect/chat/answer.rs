//! Encodes replies as one `chat.completion`.

use serde_json::{Map, Value, json};

use super::{Meta, finish_reason, usage};
use crate::dialect::custom;
use crate::pipeline::{Reply, TokenUsage, ToolCall};

/// The whole answer, one choice for each reply.
pub fn encode(meta: &Meta, replies: &[Reply]) -> Vec<u8> {
    let choices: Vec<Value> =
        replies.iter().enumerate().map(|(index, reply)| choice(meta, index, reply)).collect();
    let answer = json!({
        "id": meta.id,
        "object": "chat.completion",
        "created": meta.created,
        "model": meta.model,
        "choices": choices,
        "usage": usage(spent(replies)),
    });
    answer.to_string().into_bytes()
}

fn choice(meta: &Meta, index: usize, reply: &Reply) -> Value {
    json!({
        "index": index,
        "message": message(meta, reply),
        "logprobs": null,
        "finish_reason": finish_reason(reply.finish.reason, meta),
    })
}

fn message(meta: &Meta, reply: &Reply) -> Map<String, Value> {
    let mut message = Map::new();
    message.insert("role".into(), "assistant".into());
    // OpenAI's own answers have null beside calls; an empty answer is still a string
    let is_only_calls = reply.text.is_empty() && !reply.tool_calls.is_empty();
    message.insert("content".into(), if is_only_calls { Value::Null } else { reply.text.as_str().into() });
    message.insert("refusal".into(), Value::Null);
    if !reply.thinking.is_empty() {
        message.insert("reasoning_content".into(), reply.thinking.as_str().into());
        message.insert("reasoning".into(), reply.thinking.as_str().into());
    }
    if !reply.tool_calls.is_empty() {
        match meta.has_functions {
            true => message.insert("function_call".into(), function(&reply.tool_calls[0])),
            false => message.insert(
                "tool_calls".into(),
                reply.tool_calls.iter().map(|called| call(meta, called)).collect(),
            ),
        };
    }
    let pictures = reply.files.iter().filter(|file| file.content_type.starts_with("image/"));
    let pictures: Vec<Value> =
        pictures.map(|file| json!({"type": "image_url", "image_url": {"url": file.url}})).collect();
    if !pictures.is_empty() {
        message.insert("images".into(), pictures.into());
    }
    if !reply.suggestions.is_empty() {
        message.insert("suggested_replies".into(), reply.suggestions.clone().into());
    }
    if let Some(metadata) = &reply.metadata {
        message.insert("metadata".into(), metadata.as_str().into());
    }
    message
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
