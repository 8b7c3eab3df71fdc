//! Folds and validates answers of Anthropic's Messages by the rules of its clients.

use serde_json::{Value, json};

use crate::summary::{Summary, data};

/// Content of a body of Messages, non-streamed or streamed.
pub fn summary(body: &str) -> Summary {
    match serde_json::from_str::<Value>(body) {
        Ok(whole) => whole_answer(&whole),
        Err(_) => streamed_answer(body),
    }
}

fn whole_answer(body: &Value) -> Summary {
    if body["type"] == "error" {
        return fault(body);
    }
    let mut summary = Summary { finish: begun(body), usage: usage(&body["usage"]), ..Summary::default() };
    let mut is_over = [false; 2];
    for block in body["content"].as_array().expect("blocks") {
        let text = |name: &str| block[name].as_str().expect("text").to_owned();
        match block["type"].as_str().expect("a type") {
            "thinking" => {
                assert!(
                    !is_over[0] && !text("signature").is_empty(),
                    "reasoning comes first and is signed: {body}"
                );
                summary.thinking += &text("thinking");
            }
            "text" => {
                assert!(!is_over[1] && !text("text").trim().is_empty(), "text comes before calls: {body}");
                is_over[0] = true;
                summary.text += &text("text");
            }
            "tool_use" => {
                assert!(block["input"].is_object() && !text("id").is_empty(), "{block}");
                is_over = [true; 2];
                summary.calls.push((text("name"), block["input"].to_string()));
            }
            other => panic!("{other}: {body}"),
        }
    }
    summary
}

/// The stop reason of a message as a finish reason of Chat Completions.
fn begun(message: &Value) -> String {
    assert_eq!((&message["type"], &message["role"]), (&json!("message"), &json!("assistant")), "{message}");
    assert!(message["id"].as_str().is_some_and(|id| id.starts_with("msg_")), "{message}");
    finish(message)
}

fn finish(rendered: &Value) -> String {
    let (reason, stop) = (&rendered["stop_reason"], &rendered["stop_sequence"]);
    assert_eq!(reason == "stop_sequence", stop.is_string(), "{rendered}");
    let finish = match reason.as_str() {
        Some("end_turn" | "stop_sequence") => "stop",
        Some("max_tokens") => "length",
        Some("tool_use") => "tool_calls",
        Some("refusal") => "content_filter",
        Some(other) => panic!("{other}"),
        None => "",
    };
    finish.to_owned()
}

fn usage(usage: &Value) -> (u64, u64) {
    let tokens = |name: &str| usage[name].as_u64().unwrap_or_else(|| panic!("{name}: {usage}"));
    assert_eq!(tokens("cache_creation_input_tokens") + tokens("cache_read_input_tokens"), 0);
    (tokens("input_tokens"), tokens("output_tokens"))
}

fn fault(body: &Value) -> Summary {
    let error = &body["error"];
    assert!(error["message"].is_string() && error["type"].is_string(), "{body}");
    Summary { finish: "error".into(), ..Summary::default() }
}

fn streamed_answer(body: &str) -> Summary {
    let names: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let frames = data(body).0;
    let types: Vec<&str> = frames.iter().map(|frame| frame["type"].as_str().expect("a type")).collect();
    assert_eq!(names, types, "every event is named by its type");
    let mut summary = Summary::default();
    let mut open: Option<(u64, String)> = None;
    let (mut blocks, mut asked, mut signed) = (0, None, true);
    for (at, frame) in frames.iter().enumerate() {
        let index = frame["index"].as_u64();
        match types[at] {
            "message_start" => {
                assert!(at == 0, "a message starts once: {body}");
                assert_eq!(begun(&frame["message"]), "");
                assert_eq!(frame["message"]["content"], json!([]));
                asked = Some(usage(&frame["message"]["usage"]).0);
            }
            "content_block_start" => {
                assert!(open.is_none() && asked.is_some() && index == Some(blocks), "{body}");
                blocks += 1;
                let block = &frame["content_block"];
                let kind = block["type"].as_str().expect("a type").to_owned();
                if kind == "tool_use" {
                    assert!(block["id"].is_string() && block["input"] == json!({}), "{frame}");
                    summary.calls.push((block["name"].as_str().expect("a name").to_owned(), String::new()));
                }
                let is_late = !summary.text.is_empty() || !summary.calls.is_empty();
                assert!(kind != "thinking" || blocks == 1 || is_late, "reasoning comes first: {body}");
                signed = kind != "thinking";
                open = Some((blocks - 1, kind));
            }
            "content_block_delta" => {
                let (block, kind) = open.as_ref().expect("an open block");
                assert_eq!(index, Some(*block), "{body}");
                let piece = |name: &str| frame["delta"][name].as_str().expect("text").to_owned();
                match (kind.as_str(), frame["delta"]["type"].as_str().expect("a type")) {
                    ("text", "text_delta") => summary.text += &piece("text"),
                    ("thinking", "thinking_delta") => summary.thinking += &piece("thinking"),
                    ("thinking", "signature_delta") => signed = !piece("signature").is_empty(),
                    ("tool_use", "input_json_delta") => {
                        summary.calls.last_mut().expect("a call").1 += &piece("partial_json");
                    }
                    other => panic!("{other:?}: {body}"),
                }
            }
            "content_block_stop" => {
                assert!(open.take().is_some_and(|(block, _)| index == Some(block)) && signed, "{body}");
            }
            "message_delta" => {
                assert!(open.is_none() && types[at + 1..] == ["message_stop"], "{body}");
                summary.finish = finish(&frame["delta"]);
                summary.usage = usage(&frame["usage"]);
                assert_eq!(asked, Some(summary.usage.0), "the question costs the same at both ends: {body}");
            }
            "error" => {
                assert!(at + 1 == frames.len(), "an error is the last word: {body}");
                summary.finish = fault(frame).finish;
            }
            "message_stop" | "ping" => {}
            other => panic!("{other}: {body}"),
        }
    }
    assert!(types.last().is_some_and(|last| ["message_stop", "error"].contains(last)), "{body}");
    summary
}
