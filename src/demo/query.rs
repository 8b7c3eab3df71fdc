//! Parses a bot query, as strictly as Poe's own library checks it.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A well-formed query.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Query {
    /// The conversation, oldest first.
    #[serde(rename = "query")]
    pub messages: Vec<Message>,
    /// The functions that the bot may call.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub tools: Vec<Tool>,
    /// What the functions of the last turn gave back.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub tool_results: Vec<ToolResult>,
    /// OpenAI's `tool_choice`; not in Poe's documents, followed here where a query carries it.
    #[serde(default)]
    pub tool_choice: Value,
    /// The query as it came.
    #[serde(skip)]
    pub body: Value,
}

/// One turn.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Message {
    /// `system`, `user`, `bot` or `tool`.
    pub role: String,
    /// Its text.
    pub content: String,
    /// The bot's own parameters; they count on the last user turn only.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Its files.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
}

/// A file that lies at Poe.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Attachment {
    /// Where it lies.
    pub url: String,
    /// Its MIME type.
    pub content_type: String,
    /// Its name.
    pub name: String,
}

/// A function on offer, as OpenAI writes it.
#[derive(Debug, Clone, Deserialize)]
pub struct Tool {
    /// Its name and schema.
    pub function: Function,
}

/// A function's name and schema.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// JSON Schema of its arguments.
    #[serde(default)]
    pub parameters: Value,
}

/// What a function gave back.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ToolResult {
    /// The function.
    pub name: String,
    /// The result.
    pub content: String,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Query {
    /// Checks `body` and reads it. The error says which field is wrong and why.
    pub fn read(body: Value) -> Result<Query, String> {
        check(&body, &QUERY, "")?;
        if body["query"].as_array().is_some_and(Vec::is_empty) {
            return Err("query: List should have at least 1 item".into());
        }
        let query = Query::deserialize(&body).map_err(|error| error.to_string())?;
        Ok(Query { body, ..query })
    }

    /// The last turn of the user.
    pub fn last_user(&self) -> Option<&Message> {
        self.messages.iter().rev().find(|message| message.role == "user")
    }

    /// What the user said last.
    pub fn said(&self) -> &str {
        self.last_user().map_or("", |message| &message.content)
    }

    /// A parameter of the last user turn.
    pub fn parameter(&self, name: &str) -> Option<&Value> {
        self.last_user()?.parameters.get(name)
    }

    /// A count from the parameter `name`, or from a last user turn that is nothing but a number.
    pub fn count(&self, name: &str, default: u64, most: u64) -> u64 {
        let rendered = self.parameter(name).and_then(Value::as_u64);
        rendered.or_else(|| self.said().trim().parse().ok()).unwrap_or(default).min(most)
    }

    /// The files of all user turns.
    pub fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.messages.iter().flat_map(|message| &message.attachments)
    }

    /// Whether any turn contains `words`.
    pub fn mentions(&self, words: &str) -> bool {
        self.messages.iter().any(|message| message.content.contains(words))
    }
}

/// What a value must be.
enum Shape {
    Text,
    Number,
    Integer,
    Flag,
    Object,
    OneOf(&'static [&'static str]),
    OrNull(&'static Shape),
    List(&'static Shape),
    MapOf(&'static Shape),
    Record(&'static [Field]),
}

/// Name, whether it must be there, and what it must be. Fields not named are ignored, as Poe does.
type Field = (&'static str, bool, Shape);
const MUST: bool = true;
const MAY: bool = false;

use Shape::{Flag, Integer, List, MapOf, Number, Object, OneOf, OrNull, Record, Text};

/// `QueryRequest` of Poe's library `fastapi_poe` 0.0.83.
const QUERY: Shape = Record(&[
    ("version", MUST, Text),
    ("type", MUST, OneOf(&["query"])),
    ("query", MUST, List(&MESSAGE)),
    ("user_id", MUST, Text),
    ("conversation_id", MUST, Text),
    ("message_id", MUST, Text),
    ("temperature", MAY, OrNull(&Number)),
    ("skip_system_prompt", MAY, Flag),
    ("logit_bias", MAY, MapOf(&Number)),
    ("stop_sequences", MAY, List(&Text)),
    ("language_code", MAY, Text),
    ("adopt_current_bot_name", MAY, OrNull(&Flag)),
    ("tools", MAY, OrNull(&List(&TOOL))),
    ("tool_calls", MAY, OrNull(&List(&TOOL_CALL))),
    ("tool_results", MAY, OrNull(&List(&TOOL_RESULT))),
    ("extra_params", MAY, OrNull(&Object)),
]);

/// `ProtocolMessage`.
const MESSAGE: Shape = Record(&[
    ("role", MUST, OneOf(&["system", "user", "bot", "tool"])),
    ("content", MUST, Text),
    ("content_type", MAY, OneOf(&["text/markdown", "text/plain"])),
    ("parameters", MAY, Object),
    ("attachments", MAY, List(&ATTACHMENT)),
    ("timestamp", MAY, Integer),
    ("message_id", MAY, Text),
    ("message_type", MAY, OrNull(&OneOf(&["function_call"]))),
    ("metadata", MAY, OrNull(&Text)),
    ("sender", MAY, OrNull(&Object)),
]);

/// `Attachment`.
const ATTACHMENT: Shape = Record(&[
    ("url", MUST, Text),
    ("content_type", MUST, Text),
    ("name", MUST, Text),
    ("inline_ref", MAY, OrNull(&Text)),
    ("parsed_content", MAY, OrNull(&Text)),
]);

/// `ToolDefinition`: description and schema are not optional there.
const TOOL: Shape = Record(&[
    ("type", MUST, OneOf(&["function"])),
    (
        "function",
        MUST,
        Record(&[
            ("name", MUST, Text),
            ("description", MUST, Text),
            (
                "parameters",
                MUST,
                Record(&[
                    ("type", MUST, Text),
                    ("properties", MUST, Object),
                    ("required", MAY, OrNull(&List(&Text))),
                ]),
            ),
        ]),
    ),
]);

/// `ToolCallDefinition`; the arguments are JSON as text.
const TOOL_CALL: Shape = Record(&[
    ("id", MUST, Text),
    ("type", MUST, Text),
    ("function", MUST, Record(&[("name", MUST, Text), ("arguments", MUST, Text)])),
]);

/// `ToolResultDefinition`.
const TOOL_RESULT: Shape = Record(&[
    ("role", MUST, Text),
    ("name", MUST, Text),
    ("tool_call_id", MUST, Text),
    ("content", MUST, Text),
]);

/// Errors read like those of the library: `query[0].role: Input should be 'system', 'user', 'bot' or 'tool'`.
fn check(value: &Value, shape: &Shape, path: &str) -> Result<(), String> {
    let right = match shape {
        Text => value.is_string(),
        Number => value.is_number(),
        Integer => value.is_i64(),
        Flag => value.is_boolean(),
        Object => value.is_object(),
        OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        OrNull(inner) => return if value.is_null() { Ok(()) } else { check(value, inner, path) },
        List(inner) => return check_list(value, inner, path),
        MapOf(inner) => return check_map(value, inner, path),
        Record(fields) => return check_record(value, fields, path),
    };
    if right { Ok(()) } else { Err(fault(path, shape)) }
}

fn check_list(value: &Value, inner: &Shape, path: &str) -> Result<(), String> {
    let list = value.as_array().ok_or_else(|| fault(path, &List(&Text)))?;
    list.iter().enumerate().try_for_each(|(index, item)| check(item, inner, &format!("{path}[{index}]")))
}

fn check_map(value: &Value, inner: &Shape, path: &str) -> Result<(), String> {
    let map = value.as_object().ok_or_else(|| fault(path, &Object))?;
    map.iter().try_for_each(|(name, item)| check(item, inner, &below(path, name)))
}

fn check_record(value: &Value, fields: &[Field], path: &str) -> Result<(), String> {
    let record = value.as_object().ok_or_else(|| fault(path, &Object))?;
    for (name, required, shape) in fields {
        match record.get(*name) {
            Some(item) => check(item, shape, &below(path, name))?,
            None if *required => return Err(format!("{}: Field required", below(path, name))),
            None => {}
        }
    }
    Ok(())
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

fn fault(path: &str, shape: &Shape) -> String {
    let path = if path.is_empty() { "body" } else { path };
    let wanted = match shape {
        Text => "a valid string".into(),
        Number => "a valid number".into(),
        Integer => "a valid integer".into(),
        Flag => "a valid boolean".into(),
        List(_) => "a valid list".into(),
        Object | MapOf(_) | Record(_) | OrNull(_) => "a valid dictionary".into(),
        OneOf(words) => words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" or "),
    };
    format!("{path}: Input should be {wanted}")
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    /// A query with one user turn.
    pub fn asking(text: &str) -> Query {
        with(json!({"query": [{"role": "user", "content": text}]}))
    }

    /// A query with these fields beside the ones that each query has.
    pub fn with(fields: Value) -> Query {
        Query::read(body(fields)).unwrap()
    }

    fn body(fields: Value) -> Value {
        let mut body = json!({"version": "1.2", "type": "query", "query": [{"role": "user", "content": "hi"}],
            "user_id": "", "conversation_id": "", "message_id": ""});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    #[test]
    fn a_full_query_is_read() {
        let query = with(json!({
            "query": [
                {"role": "system", "content": "be brief", "content_type": "text/markdown"},
                {"role": "user", "content": "hello", "parameters": {"events": 3},
                 "attachments": [{"url": "u", "content_type": "image/png", "name": "n", "inline_ref": null}]}],
            "temperature": 0.5, "stop_sequences": ["x"], "logit_bias": {"1": 2}, "tools": null}));
        assert_eq!(query.said(), "hello");
        assert_eq!(query.count("events", 1, 100), 3);
        assert_eq!(query.attachments().count(), 1);
        assert!(query.tools.is_empty());
    }

    #[test]
    fn faults_name_their_field() {
        let tool = |function: Value| json!({"tools": [{"type": "function", "function": function}]});
        let rows = [
            (json!({"query": []}), "query: List should have at least 1 item"),
            (
                json!({"query": [{"role": "developer", "content": ""}]}),
                "query[0].role: Input should be 'system' or 'user' or 'bot' or 'tool'",
            ),
            (
                json!({"query": [{"role": "user", "content": null}]}),
                "query[0].content: Input should be a valid string",
            ),
            (json!({"query": [{"role": "user"}]}), "query[0].content: Field required"),
            (
                json!({"query": [{"role": "user", "content": "", "content_type": "text/html"}]}),
                "query[0].content_type: Input should be 'text/markdown' or 'text/plain'",
            ),
            (
                json!({"query": [{"role": "user", "content": "", "attachments": [{"url": "u"}]}]}),
                "query[0].attachments[0].content_type: Field required",
            ),
            (json!({"type": "report"}), "type: Input should be 'query'"),
            (json!({"temperature": "hot"}), "temperature: Input should be a valid number"),
            (json!({"logit_bias": {"5": "x"}}), "logit_bias.5: Input should be a valid number"),
            (tool(json!({"name": "f", "description": ""})), "tools[0].function.parameters: Field required"),
            (tool(json!({"name": "f", "parameters": {}})), "tools[0].function.description: Field required"),
        ];
        for (fields, expected) in rows {
            assert_eq!(Query::read(body(fields)).unwrap_err(), expected);
        }
        assert_eq!(Query::read(json!([])).unwrap_err(), "body: Input should be a valid dictionary");
    }
}
