//! Converts a request to a native endpoint into a bot query.

use serde_json::{Map, Value, json};

use super::endpoint::openai;
use super::{NativeEndpoint, Quirk, quirk};
use crate::demo::bots::Bot;
use crate::demo::query::Query;
use crate::demo::script::Refusal;

/// A request that an endpoint lets in.
pub struct Asked {
    /// What the bot is asked.
    pub query: Query,
    /// Answered as a stream.
    pub stream: bool,
    /// Chat Completions: the stream ends with its usage.
    pub includes_usage: bool,
}

/// Fields that an endpoint takes for every model.
fn fields(endpoint: NativeEndpoint) -> &'static [&'static str] {
    match endpoint {
        NativeEndpoint::Chat => &[
            "model",
            "messages",
            "stream",
            "stream_options",
            "temperature",
            "top_p",
            "max_tokens",
            "max_completion_tokens",
            "stop",
            "n",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "logprobs",
            "top_logprobs",
        ],
        NativeEndpoint::Responses => &[
            "model",
            "input",
            "instructions", // taken, and ignored
            "stream",
            "stream_options",
            "temperature",
            "top_p",
            "top_logprobs",
            "max_output_tokens",
            "max_tool_calls",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "reasoning",
            "text",
            "include",
            "truncation",
            "store",
            "background",
            "metadata",
            "previous_response_id",
            "conversation",
            "prompt",
            "prompt_cache_key",
            "prompt_cache_retention",
            "safety_identifier",
            "service_tier",
            "user",
        ],
        NativeEndpoint::Messages => &[
            "model",
            "messages",
            "system",
            "max_tokens",
            "stream",
            "temperature",
            "top_p",
            "top_k",
            "stop_sequences",
            "tools",
            "tool_choice",
            "thinking",
            "metadata",
            "output_config",
            "context_management",
            "service_tier",
        ],
    }
}

/// Reads `body` for `bot`. `declared` are the names of its own parameters.
pub fn read(endpoint: NativeEndpoint, bot: &Bot, body: &Value, declared: &[&str]) -> Result<Asked, Refusal> {
    let given = body.as_object().ok_or_else(|| malformed(endpoint, "", "The body must be an object"))?;
    let taken = |name: &str| {
        fields(endpoint).contains(&name) || (endpoint == NativeEndpoint::Chat && declared.contains(&name))
    };
    for name in given.keys() {
        let is_quirk = matches!(quirk(bot), Some(Quirk::Without(fields)) if fields.contains(&name.as_str()));
        if is_quirk || !taken(name) {
            return Err(unknown_field(endpoint, name));
        }
    }
    if matches!(quirk(bot), Some(Quirk::Without(_))) {
        values(endpoint, given)?;
    }
    if body["previous_response_id"].is_string() {
        return Err(malformed(
            endpoint,
            "previous_response_id",
            "Responses are not kept: data retention is off",
        ));
    }
    if endpoint == NativeEndpoint::Messages && !body["max_tokens"].is_u64() {
        return Err(malformed(endpoint, "max_tokens", "max_tokens: Field required"));
    }
    let mut reading = Reading::default();
    match endpoint {
        NativeEndpoint::Chat | NativeEndpoint::Messages => {
            reading.system(&body["system"]);
            let messages = body["messages"].as_array().filter(|all| !all.is_empty());
            let messages = messages
                .ok_or_else(|| malformed(endpoint, "messages", "messages: at least one is required"))?;
            messages.iter().for_each(|message| reading.message(message));
        }
        NativeEndpoint::Responses => match &body["input"] {
            Value::String(text) => reading.turn("user", text.clone(), Vec::new()),
            Value::Array(items) => items.iter().for_each(|item| reading.item(item)),
            _ => return Err(malformed(endpoint, "input", "input is required")),
        },
    }
    let own = declared.iter().filter(|_| endpoint == NativeEndpoint::Chat);
    let own = own.filter_map(|name| Some(((*name).to_owned(), given.get(*name)?.clone())));
    let parameters: Map<String, Value> = own.collect();
    let query = reading.query(parameters, tools(&body["tools"]), &body["tool_choice"]);
    let query = query.map_err(|reason| malformed(endpoint, "messages", &reason))?;
    Ok(Asked {
        query,
        stream: body["stream"] == true,
        includes_usage: body["stream_options"]["include_usage"] == true,
    })
}

/// Refuses a value of a field whose other values are taken.
fn values(endpoint: NativeEndpoint, given: &Map<String, Value>) -> Result<(), Refusal> {
    match given.get("top_p") {
        Some(top_p) if top_p.as_f64() == Some(0.0) => {
            Err(malformed(endpoint, "top_p", &format!("top_p: {top_p} is not supported")))
        }
        _ => Ok(()),
    }
}

fn unknown_field(endpoint: NativeEndpoint, name: &str) -> Refusal {
    match endpoint {
        NativeEndpoint::Messages => {
            malformed(endpoint, name, &format!("{name}: Extra inputs are not permitted"))
        }
        NativeEndpoint::Chat | NativeEndpoint::Responses => {
            openai(400, &format!("Unknown parameter: '{name}'."), name, "unknown_parameter")
        }
    }
}

fn malformed(endpoint: NativeEndpoint, param: &str, message: &str) -> Refusal {
    match endpoint {
        NativeEndpoint::Messages => Refusal::new(400, "invalid_request_error", message),
        NativeEndpoint::Chat | NativeEndpoint::Responses => openai(400, message, param, "invalid_value"),
    }
}

/// The conversation so far.
#[derive(Default)]
struct Reading {
    turns: Vec<Value>,
    /// Names of functions by the ids of their calls.
    calls: Vec<(String, String)>,
    results: Vec<Value>,
}

impl Reading {
    fn system(&mut self, system: &Value) {
        let (text, _) = content(system);
        if !text.is_empty() {
            self.turn("system", text, Vec::new());
        }
    }

    fn turn(&mut self, role: &str, text: String, files: Vec<Value>) {
        if role == "user" {
            self.results.clear();
        }
        self.turns.push(json!({"role": role, "content": text, "attachments": files}));
    }

    /// A message of Chat Completions or of Messages.
    fn message(&mut self, message: &Value) {
        let (text, files) = content(&message["content"]);
        let parts = message["content"].as_array().cloned().unwrap_or_default();
        for part in parts.iter().filter(|part| part["type"] == "tool_use") {
            self.call(&part["id"], &part["name"]);
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            self.call(&call["id"], &call["function"]["name"]);
        }
        match message["role"].as_str().unwrap_or_default() {
            "system" | "developer" => self.turn("system", text, files),
            "assistant" => self.turn("bot", text, files),
            "tool" => self.result(&message["tool_call_id"], text),
            _ => {
                let results: Vec<&Value> =
                    parts.iter().filter(|part| part["type"] == "tool_result").collect();
                if results.is_empty() || !text.is_empty() {
                    self.turn("user", text, files);
                }
                for part in results {
                    self.result(&part["tool_use_id"], content(&part["content"]).0);
                }
            }
        }
    }

    /// An item of Responses.
    fn item(&mut self, item: &Value) {
        match item["type"].as_str().unwrap_or("message") {
            "function_call" => self.call(&item["call_id"], &item["name"]),
            "function_call_output" => self.result(&item["call_id"], content(&item["output"]).0),
            "message" => self.message(item),
            _ => {}
        }
    }

    fn call(&mut self, id: &Value, name: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        self.calls.push((text(id), text(name)));
    }

    fn result(&mut self, id: &Value, content: String) {
        let id = id.as_str().unwrap_or_default();
        let name = self.calls.iter().find(|(known, _)| known == id).map_or("tool", |(_, name)| name.as_str());
        let result = json!({"role": "tool", "name": name, "tool_call_id": id, "content": content});
        self.results.push(result);
    }

    fn query(
        mut self,
        parameters: Map<String, Value>,
        tools: Vec<Value>,
        choice: &Value,
    ) -> Result<Query, String> {
        if let Some(last) = self.turns.iter_mut().rev().find(|turn| turn["role"] == "user") {
            last["parameters"] = parameters.into();
        }
        let mut body = json!({"version": "1.2", "type": "query", "query": self.turns, "user_id": "",
            "conversation_id": "", "message_id": "", "tools": tools, "tool_results": self.results});
        if !choice.is_null() {
            body["tool_choice"] = choice.clone();
        }
        Query::read(body)
    }
}

/// Text and files of a message's content, in any of the three dialects.
fn content(content: &Value) -> (String, Vec<Value>) {
    if let Some(text) = content.as_str() {
        return (text.into(), Vec::new());
    }
    let (mut text, mut files) = (Vec::new(), Vec::new());
    for part in content.as_array().into_iter().flatten() {
        let url = part["image_url"]["url"].as_str().or_else(|| part["image_url"].as_str());
        let url = url.or_else(|| part["source"]["url"].as_str());
        if let Some(url) = url.filter(|url| !url.starts_with("data:")) {
            files.push(json!({"url": url, "content_type": "image/png", "name": "picture"}));
        } else if url.is_some() || part["source"]["data"].is_string() {
            files.push(json!({"url": "data:", "content_type": "image/png", "name": "picture"}));
        } else if let Some(words) = part["text"].as_str() {
            text.push(words);
        }
    }
    (text.join("\n"), files)
}

/// Functions as the bot protocol writes them, from any of the three dialects.
fn tools(tools: &Value) -> Vec<Value> {
    let tool = |tool: &Value| {
        let function = if tool["function"].is_object() { &tool["function"] } else { tool };
        let name = function["name"].as_str()?;
        let schema =
            [&function["parameters"], &function["input_schema"]].into_iter().find(|one| one.is_object());
        let mut schema = schema.cloned().unwrap_or_else(|| json!({}));
        if schema["type"].is_null() {
            schema["type"] = "object".into();
        }
        if schema["properties"].is_null() {
            schema["properties"] = json!({});
        }
        let description = function["description"].as_str().unwrap_or_default();
        Some(json!({"type": "function",
            "function": {"name": name, "description": description, "parameters": schema}}))
    };
    tools.as_array().into_iter().flatten().filter_map(tool).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::bots;

    fn chat_request(endpoint: NativeEndpoint, bot: &str, body: Value) -> Result<Asked, Refusal> {
        read(endpoint, bots::find(bot).unwrap(), &body, &["web_search"])
    }

    #[test]
    fn all_endpoints_decode_alike() {
        let chat = json!({"model": "m", "messages": [{"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]}]});
        let responses = json!({"model": "m", "input": [{"role": "system", "content": "s"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]});
        let messages = json!({"model": "m", "max_tokens": 9, "system": [{"type": "text", "text": "s"}],
            "messages": [{"role": "user", "content": "hi"}]});
        for (endpoint, body) in [
            (NativeEndpoint::Chat, chat),
            (NativeEndpoint::Responses, responses),
            (NativeEndpoint::Messages, messages),
        ] {
            let query = chat_request(endpoint, "demo-native", body).ok().unwrap().query;
            assert_eq!((query.said(), query.messages[0].content.as_str()), ("hi", "s"), "{endpoint:?}");
        }
    }

    #[test]
    fn fields_of_neither_endpoint_nor_model_are_refused() {
        let body = |more: &str| {
            let mut body =
                json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
            body[more] = json!(1);
            body
        };
        let status =
            |endpoint, bot, more| chat_request(endpoint, bot, body(more)).err().map(|refusal| refusal.status);
        assert_eq!(status(NativeEndpoint::Chat, "demo-native", "web_search"), None);
        assert_eq!(status(NativeEndpoint::Chat, "demo-native", "temperature"), None);
        assert_eq!(status(NativeEndpoint::Chat, "demo-native-picky", "temperature"), Some(400));
        assert_eq!(status(NativeEndpoint::Chat, "demo-native", "seed"), Some(400));
        assert_eq!(status(NativeEndpoint::Messages, "demo-native", "seed"), Some(400));
    }
}
