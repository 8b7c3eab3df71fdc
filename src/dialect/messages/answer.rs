//! Encodes a reply as one `message`.

use serde_json::{Value, json};

use super::{Meta, SIGNATURE, input, stop_reason, usage};
use crate::dialect::json;
use crate::pipeline::{Reply, ToolCall};

/// The whole answer.
pub fn encode(meta: &Meta, reply: &Reply) -> Vec<u8> {
    let answer = json!({
        "id": meta.id,
        "type": "message",
        "role": "assistant",
        "model": meta.model,
        "content": content(meta, reply),
        "stop_reason": stop_reason(&reply.finish, !reply.tool_calls.is_empty()),
        "stop_sequence": reply.finish.stop,
        "usage": usage(reply.finish.usage.unwrap_or_default()),
    });
    json::bytes(&answer)
}

fn content(meta: &Meta, reply: &Reply) -> Vec<Value> {
    let mut content = Vec::new();
    if meta.shows_thought && !reply.thinking.is_empty() {
        content.push(json!({"type": "thinking", "thinking": reply.thinking, "signature": SIGNATURE}));
    }
    // a block of nothing but white space is refused by Anthropic when it is sent back
    if !reply.text.trim().is_empty() {
        content.push(json!({"type": "text", "text": reply.text}));
    }
    content.extend(reply.tool_calls.iter().map(call));
    content
}

fn call(call: &ToolCall) -> Value {
    json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input(&call.arguments)})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Finish, FinishReason, TokenUsage};

    fn meta() -> Meta {
        Meta { id: "msg_1".into(), model: "m".into(), shows_thought: true }
    }

    fn rendered(meta: &Meta, reply: &Reply) -> Value {
        serde_json::from_slice(&encode(meta, reply)).unwrap()
    }

    fn call(arguments: &str) -> ToolCall {
        ToolCall { id: "c".into(), name: "f".into(), arguments: arguments.into() }
    }

    #[test]
    fn every_part_of_a_reply_has_its_block() {
        let reply = Reply {
            text: "hi".into(),
            thinking: "hm".into(),
            tool_calls: vec![call("{\"a\":1}")],
            finish: Finish {
                reason: FinishReason::ToolCalls,
                usage: Some(TokenUsage { prompt: 3, completion: 2, reasoning: 1 }),
                ..Finish::default()
            },
            ..Reply::default()
        };
        let answer = rendered(&meta(), &reply);
        let blocks = json!([
            {"type": "thinking", "thinking": "hm", "signature": SIGNATURE},
            {"type": "text", "text": "hi"},
            {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
        ]);
        assert_eq!(answer["content"], blocks);
        assert_eq!((&answer["stop_reason"], &answer["stop_sequence"]), (&json!("tool_use"), &Value::Null));
        assert_eq!((&answer["type"], &answer["role"]), (&json!("message"), &json!("assistant")));
        let usage = &answer["usage"];
        assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(3), &json!(2)));
        assert_eq!(usage["cache_creation_input_tokens"], 0);
        assert_eq!(usage["cache_read_input_tokens"], 0);
        assert_eq!(usage["output_tokens_details"]["thinking_tokens"], 1);
        let blind = Meta { shows_thought: false, ..meta() };
        assert_eq!(rendered(&blind, &reply)["content"][0]["type"], "text");
    }

    #[test]
    fn an_input_is_an_object_whatever_the_model_wrote() {
        let rows = [
            ("", json!({})),
            (" ", json!({})),
            ("{}", json!({})),
            ("[1]", json!({"arguments": [1]})),
            ("\"x\"", json!({"arguments": "x"})),
            ("{\"a\":", json!({"arguments": "{\"a\":"})),
        ];
        for (arguments, expected) in rows {
            let reply = Reply { tool_calls: vec![call(arguments)], ..Reply::default() };
            assert_eq!(
                rendered(&meta(), &reply)["content"],
                json!([{"type": "tool_use", "id": "c", "name": "f",
                "input": expected}])
            );
        }
    }

    #[test]
    fn every_end_has_its_reason() {
        let finish = |reason, stop: Option<&str>| Finish { reason, stop: stop.map(Into::into), usage: None };
        let rows = [
            (finish(FinishReason::Stop, None), false, "end_turn"),
            (finish(FinishReason::Stop, Some("END")), false, "stop_sequence"),
            (finish(FinishReason::Stop, None), true, "tool_use"),
            (finish(FinishReason::ToolCalls, None), true, "tool_use"),
            (finish(FinishReason::ToolCalls, None), false, "end_turn"),
            (finish(FinishReason::Length, None), true, "max_tokens"),
            (finish(FinishReason::ContentFilter, None), false, "refusal"),
        ];
        for (finish, calls, expected) in rows {
            let tool_calls = if calls { vec![call("{}")] } else { Vec::new() };
            let answer = rendered(&meta(), &Reply { tool_calls, finish: finish.clone(), ..Reply::default() });
            assert_eq!(answer["stop_reason"], expected, "{finish:?}");
            assert_eq!(answer["stop_sequence"], finish.stop.map_or(Value::Null, Value::from));
        }
    }

    #[test]
    fn white_space_alone_is_no_block() {
        let reply = Reply { text: "\n ".into(), tool_calls: vec![call("{}")], ..Reply::default() };
        assert_eq!(rendered(&meta(), &reply)["content"].as_array().unwrap().len(), 1);
    }
}
