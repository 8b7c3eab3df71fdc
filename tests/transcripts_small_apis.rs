//! Every transcript that Ollama's API and legacy Completions can express has the same result as in Chat Completions.

#[expect(dead_code, reason = "shared by tests of other dialects, which use all of it")]
#[path = "common/in_process.rs"]
mod in_process;
#[expect(dead_code, reason = "shared by tests of other dialects, which use all of it")]
#[path = "common/scripted_poe.rs"]
mod scripted_poe;
#[path = "common/summary.rs"]
mod summary;
#[path = "common/transcript.rs"]
mod transcript;

use in_process::{Reply, TestServer};
use scripted_poe::{Cut, Poe, Script};
use serde_json::{Map, Value, json};
use summary::{Summary, data};
use transcript::Transcript;

#[path = "transcripts/list.rs"]
mod transcripts;

/// Fields that mean nothing to either, or nothing that an answer shows.
const TOLERATED: &[&str] =
    &["user", "service_tier", "metadata", "store", "safety_identifier", "prompt_cache_key", "nonsense"];

#[test]
fn many_transcripts_can_be_asked_in_these_dialects_too() {
    let requests = || transcripts::NAMES.iter().map(|name| Transcript::read(name).request);
    let (ollama, completions) = (
        requests().filter_map(|r| as_ollama(&r)).count(),
        requests().filter_map(|r| as_completion(&r)).count(),
    );
    let all = transcripts::NAMES.len();
    assert!(ollama * 5 > all * 2 && completions > 25, "{ollama} and {completions} of {all}");
}

/// Asks in all dialects, whole, streamed, and with Poe's answer a byte at a time.
fn replay(name: &str) {
    let transcript = Transcript::read(name);
    let (ollama, completion) = (as_ollama(&transcript.request), as_completion(&transcript.request));
    if ollama.is_none() && completion.is_none() {
        return;
    }
    let poe = Poe::start(transcript.models());
    let config = transcript.config("story_small", name);
    // every run has its own server: cached results would change the next run
    let open =
        || TestServer::open(&in_process::app(&poe.base_url, &config, &[("KEEP_ALIVE_SECONDS", "600")]));
    let play = |path: &str, request: &Value, stream: bool, script: &Script| -> Reply {
        poe.play(script.clone());
        let mut request = request.clone();
        request["stream"] = stream.into();
        request["stream_options"] = if stream { json!({"include_usage": true}) } else { Value::Null };
        open().post(path, "key", &[("Content-Type", "application/json")], request.to_string().as_bytes())
    };
    let bytes = Script { cut: Cut::Everywhere, ..transcript.script.clone() };
    for (stream, script) in [(false, &transcript.script), (true, &transcript.script), (true, &bytes)] {
        let about = format!("{} (streamed: {stream})", transcript.about);
        let rendered = play("/v1/chat/completions", &transcript.request, stream, script);
        let mut chat = plain(summary::chat(&rendered.body));
        if let Some(request) = &ollama {
            let reply = play("/api/chat", request, stream, script);
            let mut again = plain(ollama_story(&reply.body));
            // the name of a schema stands in the prompt, and only chats have one
            if transcript.request.get("response_format").is_some() {
                again.usage.0 = chat.usage.0;
            }
            assert_eq!((again, reply.status), (chat.clone(), rendered.status), "{about}\n{}", reply.body);
        }
        if let Some(request) = &completion {
            let reply = play("/v1/completions", request, stream, script);
            let again = plain(completion_story(&reply.body));
            chat.thinking.clear();
            // what it is instructed to do counts with the prompt
            chat.usage.0 = again.usage.0;
            // a stream of a text that has not begun can still be refused, when a chat has sent of thought
            if again.finish != "error" {
                assert_eq!(reply.status, rendered.status, "{about}\n{}", reply.body);
            }
            assert_eq!(again, chat, "{about}\n{}", reply.body);
        }
    }
}

/// The result in terms of all dialects: arguments are objects, and the finish reason is `stop` or `length`.
fn plain(mut summary: Summary) -> Summary {
    for (_, arguments) in &mut summary.calls {
        if let Ok(object @ Value::Object(_)) = serde_json::from_str(arguments) {
            *arguments = object.to_string();
        }
    }
    if summary.finish == "tool_calls" || summary.finish == "content_filter" {
        summary.finish = "stop".into();
    }
    summary
}

/// Folds Ollama's answer, one object or lines of them.
fn ollama_story(body: &str) -> Summary {
    let mut summary = Summary::default();
    for line in body.lines() {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        assert_ne!(summary.finish, "stop", "nothing follows the end: {line}");
        if line["error"].is_string() {
            summary.finish = "error".into();
            continue;
        }
        let message = &line["message"];
        summary.text += message["content"].as_str().expect("content");
        summary.thinking += message["thinking"].as_str().unwrap_or_default();
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            let arguments = match &function["arguments"] {
                Value::String(text) => text.clone(),
                object => object.to_string(),
            };
            summary.calls.push((function["name"].as_str().expect("a name").into(), arguments));
        }
        if line["done"] == true {
            summary.finish = line["done_reason"].as_str().expect("a reason").into();
            let count = |name: &str| line[name].as_u64().expect("a number");
            summary.usage = (count("prompt_eval_count"), count("eval_count"));
        }
    }
    summary
}

/// Folds a body of Completions, non-streamed or streamed.
fn completion_story(body: &str) -> Summary {
    let mut summary = Summary::default();
    let whole = serde_json::from_str::<Value>(body).ok();
    for piece in whole.map_or_else(|| data(body).0, |whole| vec![whole]) {
        if piece.get("error").is_some() {
            summary.finish = "error".into();
        }
        if let Some(usage) = piece.get("usage").filter(|usage| usage.is_object()) {
            let tokens = |name: &str| usage[name].as_u64().expect("a number");
            summary.usage = (tokens("prompt_tokens"), tokens("completion_tokens"));
        }
        let choice = &piece["choices"][0];
        summary.text += choice["text"].as_str().unwrap_or_default();
        if let Some(finish) = choice["finish_reason"].as_str() {
            summary.finish = finish.into();
        }
    }
    summary
}

/// The same request for legacy Completions: one that says a single thing and wants nothing but text.
fn as_completion(chat: &Value) -> Option<Value> {
    let mut request = Map::new();
    for (name, value) in chat.as_object()? {
        match name.as_str() {
            "messages" => {
                let [message] = value.as_array()?.as_slice() else { return None };
                let text =
                    message["content"].as_str().filter(|text| !text.is_empty() && !text.contains("```"))?;
                if message["role"] != "user" || message.as_object()?.len() != 2 {
                    return None;
                }
                request.insert("prompt".into(), text.into());
            }
            "max_completion_tokens" if chat.get("max_tokens").is_none() => {
                request.insert("max_tokens".into(), value.clone());
            }
            "model" | "temperature" | "top_p" | "stop" | "max_tokens" | "seed" => {
                request.insert(name.clone(), value.clone());
            }
            tolerated if TOLERATED.contains(&tolerated) => {}
            _ => return None,
        }
    }
    Some(request.into())
}

/// The same request to Ollama, if it can be expressed.
fn as_ollama(chat: &Value) -> Option<Value> {
    let (mut request, mut options) = (Map::new(), Map::new());
    for (name, value) in chat.as_object()? {
        match name.as_str() {
            "model" => drop(request.insert(name.clone(), value.clone())),
            "messages" => {
                let messages: Option<Vec<Value>> = value.as_array()?.iter().map(message).collect();
                request.insert(name.clone(), messages.filter(|messages| !messages.is_empty())?.into());
            }
            "tools" => drop(request.insert(name.clone(), value.clone())),
            "tool_choice" if value == "auto" => {}
            "reasoning_effort" => drop(request.insert("think".into(), value.clone())),
            "response_format" => {
                let format = match value["type"].as_str()? {
                    "text" => continue,
                    "json_object" => "json".into(),
                    _ => value["json_schema"].get("schema").filter(|schema| schema.is_object())?.clone(),
                };
                request.insert("format".into(), format);
            }
            "max_tokens" | "max_completion_tokens" if value.as_u64()? > 0 => {
                if options.insert("num_predict".into(), value.clone()).is_some() {
                    return None;
                }
            }
            "stop" if value.as_array().is_none_or(|stops| stops.len() <= 4) => {
                options.insert(name.clone(), value.clone());
            }
            "temperature" | "top_p" | "seed" => drop(options.insert(name.clone(), value.clone())),
            tolerated if TOLERATED.contains(&tolerated) => {}
            _ => return None,
        }
    }
    request.insert("options".into(), options.into());
    Some(request.into())
}

/// A turn with plain text, and with calls whose arguments are objects.
fn message(turn: &Value) -> Option<Value> {
    let known = ["role", "content", "tool_calls", "tool_call_id", "reasoning", "reasoning_content"];
    if turn.as_object()?.keys().any(|field| !known.contains(&field.as_str())) {
        return None;
    }
    let mut message = json!({"role": turn["role"], "content": turn["content"]});
    if !(turn["content"].is_string() || turn["content"].is_null())
        || turn["role"] == "tool" && turn.get("tool_call_id").is_none()
    {
        return None;
    }
    if let Some(id) = turn.get("tool_call_id") {
        message["tool_call_id"] = id.clone();
    }
    let mut calls = Vec::new();
    for call in turn["tool_calls"].as_array().into_iter().flatten() {
        let text = call["function"]["arguments"].as_str()?;
        let arguments: Value = serde_json::from_str(text).ok()?;
        let again = arguments.to_string();
        if !arguments.is_object() || again != text {
            return None; // would not come back letter by letter, and letters count
        }
        calls.push(json!({"id": call.get("id")?, "function": {"name": call["function"]["name"], "arguments": arguments}}));
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    Some(message)
}
