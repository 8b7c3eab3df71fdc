//! Encodes replies as one `text_completion`.

use serde_json::{Value, json};

use super::{Meta, finish_reason};
use crate::dialect::chat::usage;
use crate::dialect::json;
use crate::pipeline::{Reply, TokenUsage};

/// The whole answer, one choice for each reply. What the bot thought is not part of the text.
pub fn encode(meta: &Meta, replies: &[Reply]) -> Vec<u8> {
    let choices: Vec<Value> =
        replies.iter().enumerate().map(|(index, reply)| choice(meta, index, reply)).collect();
    let mut spent = TokenUsage::default();
    for (index, reply) in replies.iter().enumerate() {
        add(&mut spent, reply.finish.usage, meta.is_first(index));
    }
    let answer = json!({
        "id": meta.id,
        "object": "text_completion",
        "created": meta.created,
        "model": meta.model,
        "choices": choices,
        "usage": usage(spent),
    });
    json::bytes(&answer)
}

fn choice(meta: &Meta, index: usize, reply: &Reply) -> Value {
    json!({
        "text": format!("{}{}", meta.echoed(index), reply.text),
        "index": index,
        "logprobs": null,
        "finish_reason": finish_reason(reply.finish.reason),
    })
}

/// Adds what one choice took; its prompt counts once.
pub fn add(sum: &mut TokenUsage, usage: Option<TokenUsage>, is_first: bool) {
    let Some(usage) = usage else { return };
    sum.prompt += if is_first { usage.prompt } else { 0 };
    sum.completion += usage.completion;
    sum.reasoning += usage.reasoning;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Finish, FinishReason};

    #[test]
    fn choices_come_prompt_by_prompt_and_each_prompt_counts_once() {
        let echo = Some(vec!["a".into(), "b".into()]);
        let meta = Meta { id: "cmpl-1".into(), created: 7, model: "m".into(), n: 2, echo };
        let reply = |text: &str, reason| {
            let usage = Some(TokenUsage { prompt: 10, completion: 1, reasoning: 0 });
            Reply {
                text: text.into(),
                thinking: "hm".into(),
                finish: Finish { reason, usage, ..Finish::default() },
                ..Reply::default()
            }
        };
        let replies = [
            reply("1", FinishReason::Stop),
            reply("2", FinishReason::Length),
            reply("3", FinishReason::ToolCalls),
            reply("4", FinishReason::ContentFilter),
        ];
        let answer: Value = serde_json::from_slice(&encode(&meta, &replies)).unwrap();
        let rendered: Vec<_> = answer["choices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|choice| {
                (
                    choice["index"].as_u64().unwrap(),
                    choice["text"].as_str().unwrap(),
                    choice["finish_reason"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            rendered,
            [(0, "a1", "stop"), (1, "a2", "length"), (2, "b3", "stop"), (3, "b4", "content_filter")]
        );
        assert_eq!(
            (&answer["usage"]["prompt_tokens"], &answer["usage"]["completion_tokens"]),
            (&json!(20), &json!(4))
        );
    }
}
