//! The same meaning sent through all dialects becomes the same request.

use std::time::Instant;

use serde_json::{Value, json};

use super::{Stamp, chat, messages, ollama};
use crate::error::Result;
use crate::pipeline::tools::{name_results, results_behind_calls, unique_call_ids};
use crate::pipeline::{ChatRequest, Message};

/// `body` as the neutral request, by the dialect's name.
fn request(dialect: &str, body: &Value) -> Result<ChatRequest> {
    let stamp = Stamp { now: 0, make_id: &|prefix| format!("{prefix}1") };
    let body = body.to_string();
    let decoded = match dialect {
        // Chat Completions takes a body with `input` for one of Responses
        "chat" | "responses" => chat::decode(body.as_bytes(), &stamp)?,
        "messages" => messages::decode(body.as_bytes(), &stamp)?,
        _ => ollama::decode_chat(body.as_bytes(), &stamp, Instant::now)?,
    };
    let mut chat = decoded.chats.into_iter().next().unwrap();
    name_results(&mut chat.messages);
    unique_call_ids(&mut chat.messages);
    results_behind_calls(&mut chat.messages);
    Ok(chat)
}

fn with(more: Value, dialect: &str) -> Value {
    let turns = json!([{"role": "user", "content": "x"}]);
    let mut body = match dialect {
        "responses" => json!({"model": "m", "input": turns}),
        "messages" => json!({"model": "m", "max_tokens": 9, "messages": turns}),
        _ => json!({"model": "m", "messages": turns}),
    };
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

const DIALECTS: [&str; 4] = ["chat", "responses", "messages", "ollama"];

#[test]
fn tools_in_every_spelling_are_the_same_tools() {
    let odd = json!({"type": null, "properties": [], "required": null});
    for tool in [
        json!({"type": "function", "name": "f", "description": "d", "parameters": odd}),
        json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": odd}}),
        json!({"name": "f", "description": "d", "input_schema": odd, "parameters": null}),
        json!({"function": {"name": "f", "description": "d", "input_schema": odd}}),
    ] {
        for dialect in DIALECTS {
            let chat = request(dialect, &with(json!({"tools": [tool]}), dialect)).unwrap();
            let offered = &chat.tools[0];
            let schema = json!({"type": "object", "properties": {}});
            assert_eq!(
                (offered.name.as_str(), offered.description.as_deref()),
                ("f", Some("d")),
                "{dialect} {tool}"
            );
            assert_eq!(offered.parameters.as_ref(), Some(&schema), "{dialect} {tool}");
        }
    }
}

#[test]
fn a_choice_of_no_tool_is_refused() {
    let tool = json!({"type": "function", "name": "f"});
    for (dialect, choice) in [
        ("chat", json!({"type": "function", "function": {"name": "g"}})),
        ("chat", json!({"type": "custom", "custom": {"name": "g"}})),
        (
            "chat",
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"name": "g"}]}}),
        ),
        ("responses", json!({"type": "function", "name": "g"})),
        (
            "responses",
            json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]}),
        ),
        ("messages", json!({"type": "tool", "name": "g"})),
    ] {
        let body = with(json!({"tools": [tool], "tool_choice": choice}), dialect);
        let error = request(dialect, &body).err().unwrap_or_else(|| panic!("{dialect} {choice}"));
        assert_eq!(error.kind.status(), 400, "{dialect} {choice}");
    }
}

#[test]
fn allowed_tools_and_plain_text_tools_are_the_same_on_chat_as_on_responses() {
    let tools =
        json!([{"type": "custom", "name": "patch", "description": "d"}, {"type": "function", "name": "f"}]);
    let list = json!([{"type": "custom", "name": "patch"}]);
    let flat = json!({"type": "allowed_tools", "mode": "required", "tools": list});
    let nested = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": list}});
    for choice in [flat, nested] {
        let read = |dialect: &str| {
            let body = with(json!({"tools": tools, "tool_choice": choice}), dialect);
            let chat = request(dialect, &body).unwrap();
            format!("{:?} {:?}", chat.tools, chat.tool_choice)
        };
        assert_eq!(read("chat"), read("responses"), "{choice}");
        assert!(read("chat").contains("patch") && read("chat").ends_with("Required"), "{}", read("chat"));
    }
}

#[test]
fn numbers_in_every_spelling_are_the_same_limit() {
    for (value, expected) in
        [(json!(150), Some(150)), (json!(150.0), Some(150)), (json!("150"), Some(150)), (json!(-1), None)]
    {
        for (dialect, more) in [
            ("chat", json!({"max_tokens": value, "temperature": "0.5"})),
            ("chat", json!({"max_completion_tokens": value, "temperature": 0.5})),
            ("responses", json!({"max_output_tokens": value, "temperature": "0.5"})),
            ("ollama", json!({"options": {"num_predict": value, "temperature": "0.5"}})),
            ("messages", json!({"max_tokens": value, "temperature": "0.5"})),
        ] {
            if dialect == "messages" && expected.is_none() {
                continue; // Anthropic's clients must state a limit
            }
            let sampling = request(dialect, &with(more, dialect)).unwrap().sampling;
            assert_eq!(
                (sampling.max_tokens, sampling.temperature),
                (expected, Some(0.5)),
                "{dialect} {value}"
            );
        }
    }
}

#[test]
fn calls_and_results_come_together() {
    let function = json!({"name": "f", "arguments": "{}"});
    let chat = json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function", "function": function},
            {"id": "b", "type": "function", "function": function}]},
        {"role": "user", "content": "wait"},
        {"role": "tool", "content": "r"}]);
    let ollama = json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "a", "function": function}, {"id": "b", "function": function}]},
        {"role": "user", "content": "wait"},
        {"role": "tool", "content": "r"}]);
    let responses = json!([
        {"role": "user", "content": "x"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
        {"role": "user", "content": "wait"},
        {"type": "function_call_output", "output": "r"}]);
    let messages = json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}},
            {"type": "tool_use", "id": "b", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "text", "text": "wait"}, {"type": "tool_result", "content": "r"}]}]);
    let bodies = [
        ("chat", json!({"model": "m", "messages": chat})),
        ("ollama", json!({"model": "m", "messages": ollama})),
        ("responses", json!({"model": "m", "input": responses})),
        ("messages", json!({"model": "m", "max_tokens": 9, "messages": messages})),
    ];
    let shown =
        |message: &Message| format!("{:?} {:?} {}", message.role, message.tool_call_id, message.text());
    for (dialect, body) in bodies {
        let turns: Vec<String> = request(dialect, &body).unwrap().messages.iter().map(shown).collect();
        let none = "Tool Some(\"b\") (no result: the call was not answered)";
        let expected = ["User None x", "Assistant None ", "Tool Some(\"a\") r", none, "User None wait"];
        assert_eq!(turns, expected, "{dialect}");
    }
}

#[test]
fn text_of_unknown_items_reaches_the_bot() {
    for (dialect, more, words) in [
        (
            "responses",
            json!({"input": [{"type": "agent_message", "author": "a", "content": [
            {"type": "encrypted_content", "encrypted_content": "go on"}]}]}),
            "go on",
        ),
        (
            "responses",
            json!({"input": [{"type": "shell_call_output", "output": [{"stdout": "a.txt"}]}]}),
            "a.txt",
        ),
        ("responses", json!({"input": [{"type": "mcp_call", "name": "n", "output": "found"}]}), "found"),
        (
            "responses",
            json!({"input": [{"type": "file_search_call", "results": [{"text": "page"}]}]}),
            "page",
        ),
        (
            "messages",
            json!({"messages": [{"role": "user", "content": [{"type": "tool_reference", "tool_name": "grep"}]}]}),
            "grep",
        ),
    ] {
        let body = with(more, dialect);
        let text = request(dialect, &body).unwrap().messages[0].text();
        assert!(text.starts_with('[') && text.contains(words), "{text}");
    }
}
