//! Every transcript sent as Anthropic's Messages has the same result and the same queries to Poe as in Chat Completions.

#[path = "common/in_process.rs"]
mod in_process;
#[path = "common/messages.rs"]
mod messages;
#[path = "common/scripted_poe.rs"]
mod scripted_poe;
#[path = "common/summary.rs"]
mod summary;
#[path = "common/transcript.rs"]
mod transcript;

use in_process::{Reply, TestServer};
use scripted_poe::{Asked, Cut, Poe, Script};
use serde_json::{Map, Value, json};
use summary::Summary;
use transcript::Transcript;

#[path = "transcripts/list.rs"]
mod transcripts;

/// Fields that both dialects name alike, or that neither supports.
const SHARED: &[&str] = &[
    "model",
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
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
    "verbosity",
    "stream_options",
];
/// More than any answer has: Messages requires a limit, Chat Completions does not.
const NO_LIMIT: u64 = 1_000_000;

#[test]
fn most_transcripts_can_be_asked_in_both_dialects() {
    let requests = transcripts::NAMES.iter().map(|name| Transcript::read(name).request);
    let rendered = requests.filter(|request| as_messages(request).is_some()).count();
    let all = transcripts::NAMES.len();
    assert!(rendered * 4 > all * 3, "only {rendered} of {all}");
}

/// Asks in both dialects, whole, streamed, and with Poe's answer a byte at a time; and once more with reasoning,
/// which Messages sends only on request.
fn replay(name: &str) {
    let transcript = Transcript::read(name);
    let Some(request) = as_messages(&transcript.request) else { return };
    let poe = Poe::start(transcript.models());
    let config = transcript.config("story_messages", name);
    // every run has its own server: cached results would change the next run
    let open =
        || TestServer::open(&in_process::app(&poe.base_url, &config, &[("KEEP_ALIVE_SECONDS", "600")]));
    let json = [("Content-Type", "application/json")];
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
        let messages = |request: &Value| {
            let body = streamed(request, stream);
            play(script, &|server| server.post("/v1/messages", "key", &json, body.as_bytes()))
        };
        let again = messages(&request);
        same(&transcript, &rendered, &again);
        if summary::chat(&rendered.0.body).thinking.is_empty() {
            continue;
        }
        let mut thinking = request.clone();
        thinking.as_object_mut().expect("an object").entry("thinking").or_insert(json!({"type": "adaptive"}));
        let shown = messages(&thinking).0;
        let (chat, rendered) =
            (normal(summary::chat(&rendered.0.body)), normal(messages::summary(&shown.body)));
        assert_eq!(rendered, chat, "{}\n{}", transcript.about, shown.body);
    }
}

fn same(transcript: &Transcript, rendered: &(Reply, Asked), again: &(Reply, Asked)) {
    let about = &transcript.about;
    let mut chat = normal(summary::chat(&rendered.0.body));
    let messages = normal(messages::summary(&again.0.body));
    if transcript.request.get("thinking").is_none() {
        chat.thinking.clear();
    }
    assert_eq!(messages, chat, "{about}\n{}", again.0.body);
    // Anthropic has a status of its own for this
    let status = if again.0.status == 529 { 503 } else { again.0.status };
    assert_eq!((status, &again.0.retry_after), (rendered.0.status, &rendered.0.retry_after), "{about}");
    assert_eq!(again.1.uploads, rendered.1.uploads, "{about}");
    // the name of a schema, which stands in the prompt, is for chats alone
    if transcript.request.get("response_format").is_none() {
        assert_eq!(
            limitless(&again.1.queries),
            limitless(&rendered.1.queries),
            "Poe receives the same queries: {about}"
        );
    }
}

/// The result in terms of both dialects: Anthropic's inputs are objects, and white space alone is not text.
fn normal(mut summary: Summary) -> Summary {
    for (_, arguments) in &mut summary.calls {
        *arguments = match serde_json::from_str(arguments) {
            Ok(Value::Object(input)) => match input.get("arguments").and_then(Value::as_str) {
                Some(cut_short) if input.len() == 1 => cut_short.to_owned(),
                _ => Value::Object(input).to_string(),
            },
            Ok(other) => json!({"arguments": other}).to_string(),
            Err(_) if arguments.is_empty() => "{}".into(),
            Err(_) => arguments.clone(),
        };
    }
    if !summary.calls.is_empty() || summary.text.trim().is_empty() {
        summary.text.truncate(summary.text.trim_end().len());
    }
    summary
}

/// Queries without the limit that Messages requires.
fn limitless(queries: &[Value]) -> Vec<Value> {
    let mut queries = queries.to_vec();
    let turns = queries.iter_mut().flat_map(|query| query["body"]["query"].as_array_mut().expect("turns"));
    for turn in turns {
        let Some(parameters) = turn.get_mut("parameters").and_then(Value::as_object_mut) else { continue };
        parameters.retain(|name, _| !name.starts_with("max_"));
        if parameters.is_empty() {
            turn.as_object_mut().expect("an object").remove("parameters");
        }
    }
    queries
}

fn streamed(request: &Value, stream: bool) -> String {
    let mut request = request.clone();
    if stream {
        request["stream"] = true.into();
        request["stream_options"] = json!({"include_usage": true});
    }
    request.to_string()
}

/// The same request in Messages, if it can be expressed.
fn as_messages(chat: &Value) -> Option<Value> {
    let mut request = Map::new();
    for (name, value) in chat.as_object()? {
        let (name, value) = match name.as_str() {
            "messages" => {
                let (system, turns) = turns(value.as_array()?)?;
                request.extend(system.map(|system| ("system".to_owned(), system)));
                ("messages", turns)
            }
            "tools" => ("tools", value.as_array()?.iter().map(tool).collect::<Option<_>>()?),
            "tool_choice" => ("tool_choice", tool_choice(value)?),
            "parallel_tool_calls" => continue,
            "reasoning_effort" => ("output_config", json!({ "effort": value })),
            "thinking" => ("thinking", value.clone()),
            "response_format" if value["type"] == "text" => continue,
            "response_format" => ("output_config", json!({"format": format(value)?})),
            "max_tokens" | "max_completion_tokens" => ("max_tokens", value.clone()),
            "stop" => ("stop_sequences", stops(value)?),
            "n" if *value == json!(1) => continue,
            shared if SHARED.contains(&shared) => (shared, value.clone()),
            // n, functions, logprobs, logit_bias, sound, extra_body and the other ways to ask for thought
            _ => return None,
        };
        if request.insert(name.into(), value).is_some() {
            return None; // two names for one field
        }
    }
    if let Some(parallel) = chat["parallel_tool_calls"].as_bool() {
        let choice = request.entry("tool_choice").or_insert(json!({"type": "auto"}));
        choice["disable_parallel_tool_use"] = (!parallel).into();
    }
    request.entry("max_tokens").or_insert(NO_LIMIT.into());
    Some(request.into())
}

fn tool(tool: &Value) -> Option<Value> {
    let function = tool.get("function")?;
    let mut rendered = json!({"name": function["name"]});
    for (from, to) in [("description", "description"), ("parameters", "input_schema"), ("strict", "strict")] {
        if let Some(value) = function.get(from) {
            rendered[to] = value.clone();
        }
    }
    Some(rendered)
}

fn tool_choice(choice: &Value) -> Option<Value> {
    Some(match choice.as_str() {
        Some("required") => json!({"type": "any"}),
        Some(plain) => json!({ "type": plain }),
        None => json!({"type": "tool", "name": choice["function"]["name"].as_str()?}),
    })
}

fn format(format: &Value) -> Option<Value> {
    let schema = format["json_schema"].get("schema")?;
    Some(json!({"type": "json_schema", "schema": schema}))
}

fn stops(stop: &Value) -> Option<Value> {
    match stop {
        Value::String(_) => Some(json!([stop])),
        // more than four are refused in chats alone
        Value::Array(stops) if stops.len() > 4 => None,
        other => Some(other.clone()),
    }
}

/// The instructions before the conversation, and the conversation. None if it is not sent turn by turn: Messages joins
/// consecutive turns of one role.
fn turns(messages: &[Value]) -> Option<(Option<Value>, Value)> {
    let (mut system, mut turns) = (None, Vec::new());
    let mut before = "";
    for (at, message) in messages.iter().enumerate() {
        let role = message["role"].as_str()?;
        let known = ["role", "content", "tool_calls", "tool_call_id", "reasoning", "reasoning_content"];
        if message.as_object()?.keys().any(|field| !known.contains(&field.as_str())) {
            return None;
        }
        if role == before && role != "tool" {
            return None;
        }
        before = role;
        match role {
            "system" | "developer" if at == 0 && messages.len() > 1 => {
                system = Some(parts(&message["content"]).filter(is_text)?);
            }
            "system" | "developer" => return None,
            "tool" => {
                let mut result = json!({"type": "tool_result", "content": parts(&message["content"])?});
                if let Some(id) = message.get("tool_call_id") {
                    result["tool_use_id"] = id.clone();
                }
                turns.push(json!({"role": "user", "content": [result]}));
            }
            "assistant" => turns.push(json!({"role": role, "content": said(message)?})),
            _ => turns.push(json!({"role": role, "content": parts(&message["content"])?})),
        }
    }
    // an answer that has begun is asked to go on
    if before == "assistant" && messages.last()?.get("tool_calls").is_none() {
        return None;
    }
    Some((system, turns.into()))
}

fn is_text(content: &Value) -> bool {
    content.as_array().into_iter().flatten().all(|block| block["type"] == "text")
}

/// Content of an assistant turn: reasoning, text, calls.
fn said(message: &Value) -> Option<Value> {
    let mut blocks = Vec::new();
    if let Some(thought) = message["reasoning_content"].as_str().or(message["reasoning"].as_str()) {
        blocks.push(json!({"type": "thinking", "thinking": thought, "signature": "s"}));
    }
    match parts(&message["content"])? {
        Value::String(text) => blocks.push(json!({"type": "text", "text": text})),
        Value::Array(parts) => blocks.extend(parts),
        _ => {}
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let (id, function) = (call.get("id")?, &call["function"]);
        let arguments = function["arguments"].as_str()?;
        // what an object would not bring back letter by letter goes as text
        let is_plain = |input: &Value| {
            let rendered = input.to_string();
            input.is_object() && rendered == arguments
        };
        let input = serde_json::from_str(arguments).ok().filter(is_plain).unwrap_or_else(|| arguments.into());
        blocks.push(json!({"type": "tool_use", "id": id, "name": function["name"], "input": input}));
    }
    Some(blocks.into())
}

fn parts(content: &Value) -> Option<Value> {
    let Some(parts) = content.as_array() else { return Some(content.clone()) };
    let part = |part: &Value| match part["type"].as_str()? {
        "text" => Some(json!({"type": "text", "text": part["text"]})),
        "image_url" => {
            let url = &part["image_url"];
            let url = url.get("url").unwrap_or(url).as_str()?;
            let source = match url.strip_prefix("data:").and_then(|data| data.split_once(";base64,")) {
                Some((kind, data)) => {
                    let kind = kind.split(';').next();
                    json!({"type": "base64", "media_type": kind, "data": data})
                }
                None => json!({"type": "url", "url": url}),
            };
            Some(json!({"type": "image", "source": source}))
        }
        "image" | "document" | "thinking" => Some(part.clone()),
        _ => None,
    };
    parts.iter().map(part).collect()
}
