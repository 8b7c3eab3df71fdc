//! Response objects and the items of their output.

use serde_json::{Map, Value, json};

use super::Meta;
use super::tools::Named;
use crate::dialect::{custom, openai};
use crate::error::{Error, Kind};
use crate::pipeline::{Finish, FinishReason, Reply, TokenUsage};

/// How far a response has come.
pub enum State<'a> {
    /// It goes on.
    InProgress,
    /// It ended like this.
    Ended(&'a Finish),
    /// It broke off.
    Failed(&'a Error),
}

/// The response object with `output` in it.
pub fn response(meta: &Meta, state: &State<'_>, output: Vec<Value>) -> Value {
    let (status, reason) = match state {
        State::InProgress => ("in_progress", None),
        State::Ended(finish) => match finish.reason {
            FinishReason::Stop | FinishReason::ToolCalls => ("completed", None),
            FinishReason::Length => ("incomplete", Some("max_output_tokens")),
            FinishReason::ContentFilter => ("incomplete", Some("content_filter")),
        },
        State::Failed(_) => ("failed", None),
    };
    let error = match state {
        State::Failed(error) => failure(error),
        _ => Value::Null,
    };
    let usage = match state {
        State::Ended(finish) => usage(finish.usage.unwrap_or_default()),
        _ => Value::Null,
    };
    let mut response = Map::new();
    let mut set = |name: &str, value: Value| response.insert(name.to_owned(), value);
    set("id", meta.id.as_str().into());
    set("object", "response".into());
    set("created_at", meta.created.into());
    set("status", status.into());
    set(
        "completed_at",
        if status == "completed" { (meta.clock)().max(meta.created).into() } else { Value::Null },
    );
    set("error", error);
    set("incomplete_details", reason.map_or(Value::Null, |reason| json!({ "reason": reason })));
    set("output", output.into());
    set("usage", usage);
    response.extend(meta.echo.clone());
    response.into()
}

/// The output of a whole answer: thought, text, calls.
pub fn output(meta: &Meta, reply: &Reply) -> Vec<Value> {
    let mut output = Vec::new();
    let status = item_status(&reply.finish);
    if !reply.thinking.is_empty() {
        output.push(reasoning(meta, &meta.item_id("rs", 0), &reply.thinking));
    }
    if !reply.text.trim().is_empty() || reply.tool_calls.is_empty() {
        let is_last = reply.tool_calls.is_empty();
        let id = meta.item_id("msg", output.len());
        output.push(message(&id, &reply.text, if is_last { status } else { "completed" }));
    }
    let last = reply.tool_calls.len().saturating_sub(1);
    for (index, call) in reply.tool_calls.iter().enumerate() {
        let named = meta.names.rendered(&call.name);
        let status = if index == last { status } else { "completed" };
        let id = meta.item_id(call_prefix(&named), output.len());
        let text = match named.is_custom {
            true => custom::unwrapped(&call.arguments),
            false => call.arguments.clone(),
        };
        output.push(self::call(&id, &call.id, &named, &text, status));
    }
    output
}

/// The status of the item that an answer ended with.
pub fn item_status(finish: &Finish) -> &'static str {
    match finish.reason {
        FinishReason::Stop | FinishReason::ToolCalls => "completed",
        FinishReason::Length | FinishReason::ContentFilter => "incomplete",
    }
}

/// A message of the bot.
pub fn message(id: &str, text: &str, status: &str) -> Value {
    json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": [text_part(text)]})
}

/// The one part of a message.
pub fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

/// A thought. What clients call its encrypted content is a mark that they may send back: bots do not take thoughts back.
pub fn reasoning(meta: &Meta, id: &str, text: &str) -> Value {
    let mut item =
        json!({"id": id, "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]});
    if meta.includes_encrypted {
        item["encrypted_content"] = id.into();
    }
    item
}

/// A call, with arguments in JSON or with plain text.
pub fn call(id: &str, call_id: &str, named: &Named, text: &str, status: &str) -> Value {
    let mut item = match named.is_custom {
        true => json!({
            "id": id, "type": "custom_tool_call", "status": status, "call_id": call_id, "name": named.name,
            "input": text,
        }),
        false => json!({
            "id": id, "type": "function_call", "status": status, "call_id": call_id, "name": named.name,
            "arguments": text,
        }),
    };
    if let Some(namespace) = &named.namespace {
        item["namespace"] = namespace.as_str().into();
    }
    item
}

/// What the ids of calls begin with.
pub fn call_prefix(named: &Named) -> &'static str {
    if named.is_custom { "ctc" } else { "fc" }
}

/// OpenAI's `usage`.
pub fn usage(usage: TokenUsage) -> Value {
    json!({
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total(),
    })
}

/// Why a response failed, with the codes by which clients know what to do next.
pub fn failure(error: &Error) -> Value {
    json!({"code": failure_code(error.kind), "message": openai::for_responses(error).message})
}

/// The code of a response that failed.
pub fn failure_code(kind: Kind) -> &'static str {
    match kind {
        Kind::ContextTooLong => "context_length_exceeded",
        Kind::InsufficientQuota => "insufficient_quota",
        Kind::RateLimited => "rate_limit_exceeded",
        kind if kind.status() < 500 => "invalid_prompt",
        _ => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::ToolCall;

    fn meta() -> Meta {
        Meta {
            id: "resp_7".into(),
            created: 7,
            echo: Map::from_iter([("model".into(), "m".into())]),
            names: Default::default(),
            includes_encrypted: false,
            clock: || 9,
        }
    }

    #[test]
    fn thought_text_and_calls_stand_in_this_order_under_ids_that_name_the_response() {
        let calls = ["a", "b"].map(|id| ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into() });
        let reply =
            Reply { thinking: "hm".into(), text: "hi".into(), tool_calls: calls.into(), ..Reply::default() };
        let output = output(&Meta { includes_encrypted: true, ..meta() }, &reply);
        let ids: Vec<_> = output.iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["rs_7_0", "msg_7_1", "fc_7_2", "fc_7_3"]);
        assert_eq!(output[0]["summary"][0]["text"], "hm");
        assert!(output[0]["encrypted_content"].is_string());
        assert_eq!(output[1]["content"][0]["text"], "hi");
        assert_eq!((&output[3]["call_id"], &output[3]["arguments"]), (&json!("b"), &json!("{}")));
    }

    #[test]
    fn an_answer_without_a_word_is_an_empty_message() {
        let output = output(&meta(), &Reply::default());
        assert_eq!((output.len(), &output[0]["content"][0]["text"]), (1, &json!("")));
    }

    #[test]
    fn the_finish_reason_becomes_the_status() {
        let cases = [
            (FinishReason::Stop, "completed", Value::Null, json!(9)),
            (FinishReason::ToolCalls, "completed", Value::Null, json!(9)),
            (FinishReason::Length, "incomplete", json!({"reason": "max_output_tokens"}), Value::Null),
            (FinishReason::ContentFilter, "incomplete", json!({"reason": "content_filter"}), Value::Null),
        ];
        for (reason, status, details, completed) in cases {
            let finish = Finish {
                reason,
                usage: Some(TokenUsage { prompt: 3, completion: 2, reasoning: 1 }),
                ..Finish::default()
            };
            let response = response(&meta(), &State::Ended(&finish), Vec::new());
            assert_eq!((&response["status"], &response["incomplete_details"]), (&json!(status), &details));
            assert_eq!(
                (&response["completed_at"], &response["usage"]["total_tokens"]),
                (&completed, &json!(5))
            );
            assert_eq!((&response["model"], &response["error"]), (&json!("m"), &Value::Null));
        }
    }

    #[test]
    fn a_failure_has_the_code_that_clients_act_on() {
        let code = |kind| {
            response(&meta(), &State::Failed(&Error::new(kind, "x")), Vec::new())["error"]["code"].clone()
        };
        assert_eq!(code(Kind::ContextTooLong), "context_length_exceeded");
        assert_eq!(code(Kind::InsufficientQuota), "insufficient_quota");
        assert_eq!(code(Kind::RateLimited), "rate_limit_exceeded");
        assert_eq!(code(Kind::Forbidden), "invalid_prompt");
        assert_eq!(code(Kind::Upstream), "server_error");
        assert_eq!(code(Kind::Overloaded), "server_error");
    }
}
