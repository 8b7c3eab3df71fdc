//! Every transcript sent as Responses has the same result and the same queries to Poe as in Chat Completions.

#[path = "common/in_process.rs"]
mod in_process;
#[path = "common/responses.rs"]
mod responses;
#[path = "common/scripted_poe.rs"]
mod scripted_poe;
#[path = "common/summary.rs"]
mod summary;
#[path = "common/transcript.rs"]
mod transcript;

use in_process::{Reply, TestServer};
use scripted_poe::{Asked, Cut, Poe, Script};
use serde_json::{Map, Value, json};
use transcript::Transcript;

#[path = "transcripts/list.rs"]
mod transcripts;

/// Fields that both dialects name alike, or that neither supports.
const SHARED: [&str; 22] = [
    "model",
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "extra_body",
    "poe",
    "user",
    "service_tier",
    "metadata",
    "store",
    "safety_identifier",
    "prompt_cache_key",
    "web_search",
    "web_search_options",
    "aspect_ratio",
    "quality",
    "duration",
    "nonsense",
    "prediction",
    "top_logprobs",
    "verbosity",
    "stream_options",
];

#[test]
fn most_transcripts_can_be_asked_in_both_dialects() {
    let requests = transcripts::NAMES.iter().map(|name| Transcript::read(name).request);
    let rendered = requests.filter(|request| as_responses(request).is_some()).count();
    let all = transcripts::NAMES.len();
    assert!(rendered * 4 > all * 3, "only {rendered} of {all}");
}

/// Asks in both dialects, whole, streamed, and with Poe's answer a byte at a time.
fn replay(name: &str) {
    let transcript = Transcript::read(name);
    let Some(request) = as_responses(&transcript.request) else { return };
    let poe = Poe::start(transcript.models());
    let config = transcript.config("story", name);
    // every run has its own server: cached results would change the next run
    let open =
        || TestServer::open(&in_process::app(&poe.base_url, &config, &[("KEEP_ALIVE_SECONDS", "600")]));
    let play = |script: &Script, ask: &dyn Fn(&TestServer) -> Reply| {
        poe.play(script.clone());
        let reply = ask(&open());
        let mut asked = poe.asked();
        asked.uploads.sort_by_key(Value::to_string);
        (reply, asked)
    };
    let bytes = Script { cut: Cut::Everywhere, ..transcript.script.clone() };
    for (stream, script) in [(false, &transcript.script), (true, &transcript.script), (true, &bytes)] {
        let rendered = play(script, &|server| server.chat("key", &streamed(&transcript.request, stream)));
        let again = play(script, &|server| {
            let json = [("Content-Type", "application/json")];
            server.post("/v1/responses", "key", &json, streamed(&request, stream).as_bytes())
        });
        same(&transcript.about, &rendered, &again);
    }
}

fn same(about: &str, rendered: &(Reply, Asked), again: &(Reply, Asked)) {
    let (chat, responses) = (summary::chat(&rendered.0.body), responses::summary(&again.0.body));
    assert_eq!(responses, chat, "{about}\n{}", again.0.body);
    assert_eq!(
        (again.0.status, &again.0.retry_after),
        (rendered.0.status, &rendered.0.retry_after),
        "{about}"
    );
    assert_eq!(again.1.queries, rendered.1.queries, "Poe receives the same queries: {about}");
    assert_eq!(again.1.uploads, rendered.1.uploads, "{about}");
}

fn streamed(request: &Value, stream: bool) -> String {
    let mut request = request.clone();
    if stream {
        request["stream"] = true.into();
        request["stream_options"] = json!({"include_usage": true});
    }
    request.to_string()
}

/// The same request in Responses, if it can be expressed.
fn as_responses(chat: &Value) -> Option<Value> {
    let mut request = Map::new();
    for (name, value) in chat.as_object()? {
        let (name, value) = match name.as_str() {
            "messages" => ("input", items(value)?),
            "tools" if value.pointer("/0/input_schema").is_some() => return None, // Anthropic's, for chats alone
            "tools" => ("tools", value.as_array()?.iter().map(flat).collect()),
            "tool_choice" if value.is_object() => ("tool_choice", flat(value)),
            "tool_choice" => ("tool_choice", value.clone()),
            "response_format" => ("text", json!({"format": format(value)?})),
            "reasoning_effort" => ("reasoning", json!({ "effort": value })),
            "max_tokens" | "max_completion_tokens" => ("max_output_tokens", value.clone()),
            shared if SHARED.contains(&shared) => (shared, value.clone()),
            _ => return None,
        };
        if request.insert(name.into(), value).is_some()
            || name == "extra_body" && chat["extra_body"]["google"].is_object()
        {
            return None; // two names for one field, and Google's, are for chats alone
        }
    }
    Some(request.into())
}

/// `{"type", "function": {…}}` as `{"type", …}`
fn flat(nested: &Value) -> Value {
    let mut flat = nested.clone();
    if let Some(Value::Object(function)) = flat.as_object_mut().and_then(|flat| flat.remove("function")) {
        flat.as_object_mut().expect("an object").extend(function);
    }
    flat
}

fn format(nested: &Value) -> Option<Value> {
    let mut flat = json!({"type": nested["type"]});
    if nested["type"] == "json_schema" {
        flat.as_object_mut()?.extend(nested.get("json_schema")?.as_object()?.clone());
        flat.get("schema")?;
    }
    Some(flat)
}

fn items(messages: &Value) -> Option<Value> {
    let mut items = Vec::new();
    for message in messages.as_array()? {
        let (role, content) = (message["role"].as_str()?, &message["content"]);
        let known = ["role", "content", "tool_calls", "tool_call_id", "reasoning", "reasoning_content"];
        if message.as_object()?.keys().any(|field| !known.contains(&field.as_str())) {
            return None;
        }
        if role == "tool" {
            let output = parts(content, "input_text")?;
            items.push(
                json!({"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}),
            );
            continue;
        }
        if let Some(thought) = message["reasoning"].as_str() {
            items.push(json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": thought}]}));
        }
        let calls = message["tool_calls"].as_array();
        if calls.is_none() || !content.is_null() {
            let kind = if role == "assistant" { "output_text" } else { "input_text" };
            items.push(json!({"type": "message", "role": role, "content": parts(content, kind)?}));
        }
        for call in calls.into_iter().flatten() {
            let mut item = flat(call);
            item["type"] = "function_call".into();
            item["call_id"] = item["id"].clone();
            items.push(item);
        }
    }
    Some(items.into())
}

fn parts(content: &Value, text: &str) -> Option<Value> {
    let Some(parts) = content.as_array() else { return Some(content.clone()) };
    let part = |part: &Value| match part["type"].as_str()? {
        "text" => Some(json!({"type": text, "text": part["text"]})),
        "image_url" => {
            let url = &part["image_url"];
            Some(json!({"type": "input_image", "image_url": url.get("url").unwrap_or(url)}))
        }
        "file" => {
            let mut file = part["file"].clone();
            file["type"] = "input_file".into();
            Some(file)
        }
        "input_audio" => Some(part.clone()),
        _ => None,
    };
    parts.iter().map(part).collect()
}
