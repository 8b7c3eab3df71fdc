//! A `ChatRequest` as the body of Poe's bot query, protocol 1.2. Fields that the client did not set are absent.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::pipeline::tools::PastCalls;
use crate::pipeline::{ChatRequest, FileSource, Message, Part, Role, Tool, ToolCall, ToolChoice};

const PROTOCOL_VERSION: &str = "1.2";

#[derive(Serialize)]
struct Query<'a> {
    version: &'static str,
    r#type: &'static str,
    query: Vec<Turn<'a>>,
    user_id: &'static str,
    conversation_id: &'static str,
    message_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit_bias: Option<&'a BTreeMap<String, f64>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<OfferedTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_results: Vec<CallResult<'a>>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: Cow<'a, str>,
    content_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attached<'a>>,
    timestamp: u64,
    message_id: &'static str,
}

#[derive(Serialize)]
struct Attached<'a> {
    url: &'a str,
    content_type: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct OfferedTool<'a> {
    r#type: &'static str,
    function: OfferedFunction<'a>,
}

#[derive(Serialize)]
struct OfferedFunction<'a> {
    name: &'a str,
    description: &'a str,
    parameters: Value,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct CallResult<'a> {
    role: &'static str,
    name: &'a str,
    tool_call_id: &'a str,
    content: Cow<'a, str>,
}

/// The body of the query. Files must have been attached before; what is not at Poe is left out.
///
/// Calls and results since the last user turn travel in Poe's `tool_calls` and `tool_results`; earlier ones belong to
/// turns that are over and stand in the text, in the form that is lifted from answers.
pub fn encode(chat: &ChatRequest) -> serde_json::Result<Vec<u8>> {
    let last_user = chat.messages.iter().rposition(|message| message.role == Role::User);
    let open = last_user.map_or(0, |last| last + 1);
    let mut turns: Vec<Turn<'_>> = Vec::with_capacity(chat.messages.len());
    let names = names(chat);
    let past = PastCalls::new(&chat.tools);
    for (position, message) in chat.messages.iter().enumerate() {
        let is_open = position >= open;
        let has_call = message.role == Role::Tool || !message.tool_calls.is_empty();
        if is_open && has_call && message.joined().trim().is_empty() || is_open && message.role == Role::Tool
        {
            continue;
        }
        let mut turn = turn(message, (!is_open).then_some((&past, &names)));
        if Some(position) == last_user && !chat.parameters.is_empty() {
            turn.parameters = Some(&chat.parameters);
        }
        turns.push(turn);
    }
    if let (None, Some(turn), false) = (last_user, turns.last_mut(), chat.parameters.is_empty()) {
        turn.parameters = Some(&chat.parameters);
    }
    let offered = match chat.tool_choice {
        ToolChoice::None => &[],
        _ => chat.tools.as_slice(),
    };
    let tail = &chat.messages[open..];
    let query = Query {
        version: PROTOCOL_VERSION,
        r#type: "query",
        query: turns,
        user_id: "",
        conversation_id: "",
        message_id: "",
        temperature: chat.sampling.temperature,
        logit_bias: chat.sampling.logit_bias.as_ref(),
        stop_sequences: &chat.sampling.stop,
        tools: offered.iter().map(offer).collect(),
        tool_choice: choice(chat).filter(|_| !offered.is_empty()),
        parallel_tool_calls: chat.parallel_tool_calls.filter(|_| !offered.is_empty()),
        tool_calls: tail.iter().flat_map(|message| &message.tool_calls).map(call).collect(),
        tool_results: tail
            .iter()
            .filter(|m| m.role == Role::Tool)
            .map(|message| result(message, &names))
            .collect(),
    };
    serde_json::to_vec(&query)
}

/// Names of functions by the ids of their calls; of calls with the same id the first counts.
fn names(chat: &ChatRequest) -> HashMap<&str, &str> {
    let mut names = HashMap::new();
    for call in chat.messages.iter().flat_map(|message| &message.tool_calls) {
        names.entry(call.id.as_str()).or_insert(call.name.as_str());
    }
    names
}

/// Calls and results stand in the text of a turn if `past` says how.
fn turn<'m>(message: &'m Message, past: Option<(&PastCalls, &HashMap<&str, &str>)>) -> Turn<'m> {
    let mut content = message.joined();
    if let Some((past, names)) = past {
        if !message.tool_calls.is_empty() {
            content.to_mut().push_str(&format!("\n{}", past.calls(&message.tool_calls)));
        }
        if message.role == Role::Tool {
            let id = message.tool_call_id.as_deref().unwrap_or_default();
            let name = names.get(id).copied().or(message.name.as_deref()).unwrap_or_default();
            content = PastCalls::result(id, name, &content).into();
        }
    }
    Turn {
        role: match message.role {
            Role::System => "system",
            Role::User | Role::Tool => "user",
            Role::Assistant => "bot",
        },
        content: without_leading_breaks(content),
        content_type: "text/markdown",
        parameters: None,
        attachments: message.parts.iter().filter_map(attached).collect(),
        timestamp: 0,
        message_id: "",
    }
}

/// A long text is not copied for this.
fn without_leading_breaks(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => text.trim_start_matches('\n').into(),
        Cow::Owned(text) if text.starts_with('\n') => text.trim_start_matches('\n').to_owned().into(),
        text => text,
    }
}

fn attached(part: &Part) -> Option<Attached<'_>> {
    match part {
        Part::File(FileSource::Attached(file)) => {
            Some(Attached { url: &file.url, content_type: &file.content_type, name: &file.name })
        }
        _ => None,
    }
}

fn offer(tool: &Tool) -> OfferedTool<'_> {
    // Poe's own types want an object schema with its properties, also from a tool that takes nothing
    let mut parameters = match &tool.parameters {
        Some(Value::Object(schema)) => schema.clone(),
        _ => Map::new(),
    };
    parameters.entry("type").or_insert_with(|| "object".into());
    parameters.entry("properties").or_insert_with(|| Map::new().into());
    let parameters = Value::Object(parameters);
    let description = tool.description.as_deref().unwrap_or_default();
    OfferedTool {
        r#type: "function",
        function: OfferedFunction { name: &tool.name, description, parameters },
    }
}

fn choice(chat: &ChatRequest) -> Option<Value> {
    match &chat.tool_choice {
        ToolChoice::Required => Some("required".into()),
        ToolChoice::Named(name) => Some(serde_json::json!({"type": "function", "function": {"name": name}})),
        ToolChoice::Auto | ToolChoice::None => None,
    }
}

fn call(call: &ToolCall) -> Call<'_> {
    Call {
        id: &call.id,
        r#type: "function",
        function: Function { name: &call.name, arguments: &call.arguments },
    }
}

/// `names` are those of the calls, by their ids.
fn result<'a>(message: &'a Message, names: &HashMap<&str, &'a str>) -> CallResult<'a> {
    let id = message.tool_call_id.as_deref().unwrap_or_default();
    let name = message.name.as_deref().or_else(|| names.get(id).copied()).unwrap_or_default();
    CallResult { role: "tool", name, tool_call_id: id, content: message.joined() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(role: Role, text: &str) -> Message {
        Message { role, parts: vec![Part::Text(text.into())], ..Message::default() }
    }

    fn encoded(chat: &ChatRequest) -> Value {
        serde_json::from_slice(&encode(chat).unwrap()).unwrap()
    }

    #[test]
    fn a_plain_conversation() {
        let chat = ChatRequest {
            messages: vec![
                message(Role::System, "Be brief."),
                message(Role::User, "Hi"),
                message(Role::Assistant, "Hello"),
                message(Role::User, "Bye"),
            ],
            ..ChatRequest::default()
        };
        let turn = |role: &str, content: &str| {
            json!({"role": role, "content": content, "content_type": "text/markdown", "timestamp": 0,
                   "message_id": ""})
        };
        let expected = json!({
            "version": "1.2", "type": "query", "user_id": "", "conversation_id": "", "message_id": "",
            "query": [turn("system", "Be brief."), turn("user", "Hi"), turn("bot", "Hello"), turn("user", "Bye")],
        });
        assert_eq!(encoded(&chat), expected);
    }

    #[test]
    fn parameters_and_files_ride_on_the_last_user_turn() {
        let mut chat = ChatRequest {
            messages: vec![message(Role::User, "one"), message(Role::User, "two")],
            ..ChatRequest::default()
        };
        chat.parameters.insert("effort".into(), json!("low"));
        let file = crate::pipeline::Attachment {
            url: "https://p/x".into(),
            content_type: "image/png".into(),
            name: "x.png".into(),
            inline_ref: None,
        };
        chat.messages[1].parts.push(Part::File(FileSource::Attached(file)));
        let query = encoded(&chat);
        assert_eq!(query["query"][0].get("parameters"), None);
        assert_eq!(query["query"][1]["parameters"], json!({"effort": "low"}));
        let attached = json!([{"url": "https://p/x", "content_type": "image/png", "name": "x.png"}]);
        assert_eq!(query["query"][1]["attachments"], attached);
    }

    #[test]
    fn calls_and_results_travel_once_in_order_with_their_ids() {
        let call = |id: &str| ToolCall { id: id.into(), name: "add".into(), arguments: "{\"a\":1}".into() };
        let round = |ids: [&str; 2]| Message {
            role: Role::Assistant,
            tool_calls: ids.map(call).to_vec(),
            ..Message::default()
        };
        let result = |id: &str| Message {
            tool_call_id: Some(id.into()),
            ..message(Role::Tool, &format!("result of {id}"))
        };
        let chat = ChatRequest {
            tools: vec![Tool { name: "add".into(), description: None, parameters: None }],
            messages: vec![
                message(Role::User, "add"),
                round(["a", "b"]),
                result("b"),
                result("a"),
                round(["c", "d"]),
                result("c"),
                result("d"),
            ],
            ..ChatRequest::default()
        };
        let query = encoded(&chat);
        let ids = |list: &str, key: &str| -> Vec<String> {
            query[list].as_array().unwrap().iter().map(|v| v[key].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(ids("tool_calls", "id"), ["a", "b", "c", "d"]);
        assert_eq!(ids("tool_results", "tool_call_id"), ["b", "a", "c", "d"]);
        assert_eq!(query["tool_results"][0]["name"], "add");
        assert_eq!(query["query"].as_array().unwrap().len(), 1);
        let mut later = chat.clone();
        later.messages.push(message(Role::Assistant, "done"));
        later.messages.push(message(Role::User, "again"));
        let query = encoded(&later);
        assert_eq!(query.get("tool_calls"), None);
        let rendered: String =
            query["query"].as_array().unwrap().iter().map(|t| t["content"].to_string()).collect();
        for id in ["a", "b", "c", "d"] {
            assert_eq!(rendered.matches(&format!("result of {id}<")).count(), 1, "{rendered}");
        }
    }

    #[test]
    fn tools_without_parameters_are_offered_and_none_are_when_refused() {
        let mut chat = ChatRequest {
            messages: vec![message(Role::User, "x")],
            tools: vec![Tool { name: "now".into(), description: None, parameters: Some(json!({})) }],
            ..ChatRequest::default()
        };
        let function =
            json!({"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}});
        assert_eq!(encoded(&chat)["tools"], json!([{"type": "function", "function": function}]));
        chat.tool_choice = ToolChoice::None;
        assert_eq!(encoded(&chat).get("tools"), None);
        chat.tool_choice = ToolChoice::Required;
        assert_eq!(encoded(&chat)["tool_choice"], "required");
        chat.tools.clear(); // they are carried in the prompt
        assert_eq!(encoded(&chat).get("tool_choice"), None);
    }
}
