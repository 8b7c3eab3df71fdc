//! Decodes a `responses` request. Unknown fields are ignored, or passed on where the model declares them.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::items::{Conversation, kind};
use super::tools::{Names, Tools};
use super::{Find, Items, Sought, compaction};
use crate::dialect::{json, numbers, thinking};
use crate::error::{Error, Kind, Result};
use crate::pipeline::{ChatRequest, Format, Message, Part, Reasoning, Role, Sampling};

/// A decoded request: what is asked, and how the answer is to be rendered.
pub struct Request {
    /// What is asked.
    pub chat: ChatRequest,
    /// As server-sent events.
    pub stream: bool,
    /// `stream_options.include_usage`, which only Chat Completions has.
    pub includes_usage: bool,
    /// What the client calls its tools.
    pub names: Names,
    /// What a response repeats of its request.
    pub echo: Map<String, Value>,
    /// The items that this request adds to the conversation.
    pub input: Vec<Value>,
    /// The response that it goes on from.
    pub previous: Option<String>,
    /// The response shall be kept.
    pub stores: bool,
    /// The last item asks for a compaction.
    pub compacts: bool,
    /// `include` has `reasoning.encrypted_content`.
    pub includes_encrypted: bool,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Raw {
    model: Option<String>,
    input: Option<Value>,
    instructions: Option<Value>,
    previous_response_id: Option<String>,
    conversation: Option<Value>,
    background: Option<bool>,
    prompt: Option<Value>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    store: Option<bool>,
    include: Option<Vec<String>>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    text: Option<RawText>,
    reasoning: Option<RawReasoning>,
    #[serde(default, deserialize_with = "numbers::limit")]
    max_output_tokens: Option<u64>,
    #[serde(default, deserialize_with = "numbers::real")]
    temperature: Option<f64>,
    #[serde(default, deserialize_with = "numbers::real")]
    top_p: Option<f64>,
    #[serde(default, deserialize_with = "numbers::limit")]
    top_logprobs: Option<u64>,
    metadata: Option<Map<String, Value>>,
    truncation: Option<String>,
    extra_body: Option<Map<String, Value>>,
    poe: Option<RawPoe>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "an object")]
struct RawText {
    format: Option<RawFormat>,
    verbosity: Option<String>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawFormat {
    r#type: String,
    name: Option<String>,
    schema: Option<Value>,
    strict: Option<bool>,
    description: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "an object")]
struct RawReasoning {
    effort: Option<String>,
    summary: Option<String>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawPoe {
    parameters: Option<Map<String, Value>>,
}

/// The name of a schema that has none.
const UNNAMED: &str = "answer";
/// Words that the published schema has for these fields. Of efforts and tiers clients send newer ones too.
const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
const TIERS: [&str; 7] = ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"];
const SUMMARIES: [&str; 4] = ["auto", "concise", "detailed", "none"];
const VERBOSITIES: [&str; 3] = ["low", "medium", "high"];
const TRUNCATIONS: [&str; 2] = ["auto", "disabled"];
const RETENTIONS: [&str; 3] = ["in_memory", "in-memory", "24h"];

/// Fields that a response repeats and that mean nothing more here.
const REPEATED: [&str; 8] = [
    "max_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "user",
    "presence_penalty",
    "frequency_penalty",
];

/// Reads a request's body; `find` has the items of earlier responses. Errors name the field, as a path such as
/// `input[0].content[1].image_url`.
pub fn read(body: &[u8], find: Find<'_>) -> Result<Request> {
    let raw: Raw = json::read(body)?;
    raw.into_request(find)
}

impl Raw {
    fn into_request(mut self, find: Find<'_>) -> Result<Request> {
        let model = self.model.take().map(|model| model.trim().to_owned()).filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| Error::invalid("model", "you must provide a model parameter"))?;
        self.refuse_what_cannot_be()?;
        let previous = self.previous_response_id.take().filter(|id| !id.is_empty());
        let earlier = || match &previous {
            Some(id) => find(Sought::Conversation(id)).map(Some).ok_or_else(|| not_found(id)),
            None => Ok(None),
        };
        let input = self.items(earlier()?, find)?;
        let mut tools = Tools::default();
        let echoed_tools = tools.add("tools", self.tools.as_deref().unwrap_or_default())?;
        for (at, item) in input.iter().enumerate().filter(|(_, item)| brings_tools(item)) {
            let more = item.get("tools").and_then(Value::as_array);
            tools.add(&format!("input[{at}].tools"), more.map_or(&[], Vec::as_slice))?;
        }
        let tool_choice = tools.choice(self.tool_choice.as_ref())?;
        let mut echo = self.echo(&model, previous.as_deref())?;
        echo.insert("tools".into(), echoed_tools.into());
        echo.insert("tool_choice".into(), tools.echoed_choice(&tool_choice, self.tool_choice.as_ref()));
        let messages = self.messages(earlier()?, &input, &tools.names)?;
        let reasoning = self.reasoning();
        let mut parameters = Map::new();
        for extra in [self.extra_body.take(), self.poe.take().and_then(|poe| poe.parameters)] {
            parameters.extend(extra.into_iter().flatten());
        }
        let (sampling, format) = (self.sampling()?, self.format()?);
        let mut hints = std::mem::take(&mut self.rest);
        hints.extend(tools.hints);
        if let Some(verbosity) = self.text.and_then(|text| text.verbosity) {
            hints.insert("verbosity".into(), verbosity.into());
        }
        let chat = ChatRequest {
            bot: model.clone(),
            model,
            messages,
            tools: tools.offered,
            tool_choice,
            parallel_tool_calls: self.parallel_tool_calls,
            sampling,
            reasoning,
            format,
            parameters,
            choices: 1,
            hints,
        };
        let asks_for = |what: &str| self.include.iter().flatten().any(|included| included == what);
        Ok(Request {
            chat,
            stream: self.stream.unwrap_or(false),
            includes_usage: self.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
            names: tools.names,
            echo,
            compacts: input.last().is_some_and(|item| kind(item) == compaction::TRIGGER),
            input,
            previous,
            stores: self.store.unwrap_or(true),
            includes_encrypted: asks_for("reasoning.encrypted_content"),
        })
    }

    fn refuse_what_cannot_be(&self) -> Result<()> {
        let is_there = |field: &Option<Value>| field.as_ref().is_some_and(|value| !value.is_null());
        let fault = if self.background == Some(true) {
            ("background", "background responses are not served here: ask for a stream instead")
        } else if is_there(&self.conversation) {
            (
                "conversation",
                "conversations are not kept here: use previous_response_id, or send the whole input",
            )
        } else if is_there(&self.prompt) {
            ("prompt", "prompt templates are not kept here: send instructions and input")
        } else if self.top_logprobs.is_some_and(|most| most > 0) {
            ("top_logprobs", "logprobs are not available: Poe's bots do not give them")
        } else {
            return Ok(());
        };
        Err(Error::invalid(fault.0, fault.1))
    }

    /// The request's own items, with those that it only refers to in their places.
    fn items(&mut self, earlier: Option<Items>, find: Find<'_>) -> Result<Vec<Value>> {
        let is_reference = |item: &Value| kind(item) == "item_reference";
        match self.input.take() {
            Some(Value::String(text)) => Ok(vec![json!({"role": "user", "content": text})]),
            Some(Value::Array(items)) if items.iter().any(is_reference) => resolved(items, earlier, find),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(Error::invalid("input", "input must be a string or a list of items")),
            None if earlier.is_some() => Ok(Vec::new()),
            None => Err(Error::invalid("input", "you must provide an input parameter")),
        }
    }

    fn messages(&mut self, earlier: Option<Items>, input: &[Value], names: &Names) -> Result<Vec<Message>> {
        let mut conversation = Conversation::new(names);
        match self.instructions.take() {
            None => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(text)) => conversation.messages.push(Message {
                role: Role::System,
                parts: vec![Part::Text(text)],
                ..Message::default()
            }),
            Some(Value::Array(items)) => {
                for (at, item) in items.iter().enumerate() {
                    conversation.add(&format!("instructions[{at}]"), item)?;
                }
            }
            Some(_) => {
                return Err(Error::invalid(
                    "instructions",
                    "instructions must be a string or a list of items",
                ));
            }
        }
        earlier.into_iter().flatten().for_each(|item| conversation.recall(&item));
        for (at, item) in input.iter().enumerate() {
            conversation.add(&format!("input[{at}]"), item)?;
        }
        match conversation.messages.is_empty() {
            true => Err(Error::invalid("input", "input is empty: at least one message is needed")),
            false => Ok(conversation.messages),
        }
    }

    fn sampling(&self) -> Result<Sampling> {
        json::within("temperature", self.temperature, 0.0, 2.0)?;
        json::within("top_p", self.top_p, 0.0, 1.0)?;
        if self.max_output_tokens == Some(0) {
            return Err(Error::invalid("max_output_tokens", "max_output_tokens must be at least 1"));
        }
        Ok(Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_tokens: self.max_output_tokens,
            ..Sampling::default()
        })
    }

    fn format(&mut self) -> Result<Format> {
        let Some(format) = self.text.as_mut().and_then(|text| text.format.take()) else {
            return Ok(Format::Text);
        };
        match (format.r#type.as_str(), format.schema) {
            ("text", _) => Ok(Format::Text),
            ("json_object", _) => Ok(Format::JsonObject),
            ("json_schema", Some(schema)) if !schema.is_object() => {
                Err(Error::invalid("text.format.schema", "text.format.schema must be an object"))
            }
            ("json_schema", Some(schema)) => {
                Ok(Format::JsonSchema { name: format.name.unwrap_or_else(|| UNNAMED.into()), schema })
            }
            ("json_schema", None) => {
                Err(Error::invalid("text.format.schema", "text.format.schema is missing"))
            }
            (other, _) => Err(Error::invalid(
                "text.format.type",
                format!("text.format.type is {other}, it must be text, json_object or json_schema"),
            )),
        }
    }

    fn reasoning(&mut self) -> Option<Reasoning> {
        let effort = self.reasoning.take().and_then(|reasoning| reasoning.effort);
        let own = Reasoning { effort, ..Reasoning::default() };
        thinking::read(own, self.extra_body.as_mut(), &self.rest)
    }

    /// Every field of a response that only repeats the request; absent ones have OpenAI's defaults.
    fn echo(&self, model: &str, previous: Option<&str>) -> Result<Map<String, Value>> {
        let format = match self.text.as_ref().and_then(|text| text.format.as_ref()) {
            Some(RawFormat { r#type, name, schema, strict, description }) if r#type == "json_schema" => {
                let mut format = json!({
                    "type": "json_schema", "name": name.as_deref().unwrap_or(UNNAMED), "schema": schema,
                    "strict": strict.unwrap_or(false),
                });
                if let Some(description) = description {
                    format["description"] = description.as_str().into();
                }
                format
            }
            Some(RawFormat { r#type, .. }) => json!({ "type": r#type }),
            None => json!({"type": "text"}),
        };
        let verbosity = self.text.as_ref().and_then(|text| text.verbosity.as_deref());
        let reasoning = self.reasoning.as_ref();
        let effort = reasoning.and_then(|reasoning| reasoning.effort.as_deref());
        let summary = reasoning.and_then(|reasoning| reasoning.summary.as_deref());
        one_of("text.verbosity", verbosity, &VERBOSITIES)?;
        one_of("reasoning.summary", summary, &SUMMARIES)?;
        one_of("truncation", self.truncation.as_deref(), &TRUNCATIONS)?;
        if let Some((name, _)) = self.metadata.iter().flatten().find(|(_, value)| !value.is_string()) {
            let param = format!("metadata.{name}");
            return Err(Error::invalid(&param, format!("{param} must be a string")));
        }
        let fields = json!({
            "background": false,
            "conversation": null,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "max_tool_calls": null,
            "model": model,
            "parallel_tool_calls": self.parallel_tool_calls.unwrap_or(true),
            "previous_response_id": previous,
            "prompt": null,
            "prompt_cache_key": null,
            "prompt_cache_retention": null,
            "reasoning": {
                "effort": effort.filter(|effort| EFFORTS.contains(effort)),
                "summary": summary.filter(|summary| *summary != "none"),
            },
            "safety_identifier": null,
            "service_tier": "default",
            "store": self.store.unwrap_or(true),
            "temperature": self.temperature.unwrap_or(1.0),
            "text": {"format": format, "verbosity": verbosity.unwrap_or("medium")},
            "top_logprobs": 0,
            "top_p": self.top_p.unwrap_or(1.0),
            "truncation": "disabled", // whatever was requested: input is never truncated here
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "metadata": self.metadata.clone().unwrap_or_default(),
        });
        let Value::Object(mut fields) = fields else { return Ok(Map::new()) };
        for name in REPEATED {
            if let Some(value) = self.rest.get(name).filter(|value| !value.is_null()) {
                fields.insert(name.into(), repeated(name, value)?);
            }
        }
        Ok(fields)
    }
}

/// Whether the tools in `item` may be called from then on.
fn brings_tools(item: &Value) -> bool {
    ["additional_tools", "tool_search_output"].contains(&kind(item))
}

/// How a response repeats `value` of the field `name`.
fn repeated(name: &str, value: &Value) -> Result<Value> {
    let (fits, expected) = match name {
        "max_tool_calls" => (value.is_u64(), "a whole number"),
        "presence_penalty" | "frequency_penalty" => (value.is_number(), "a number"),
        "safety_identifier" => {
            let is_short = |text: &str| text.chars().count() <= 64;
            (value.as_str().is_some_and(is_short), "a string of at most 64 characters")
        }
        _ => (value.is_string(), "a string"),
    };
    if !fits {
        return Err(Error::invalid(name, format!("{name} must be {expected}")));
    }
    Ok(match (name, value.as_str()) {
        ("service_tier", Some(tier)) if !TIERS.contains(&tier) => "default".into(),
        ("prompt_cache_retention", retention) => {
            one_of(name, retention, &RETENTIONS)?;
            retention.map(|word| word.replace('-', "_")).into()
        }
        _ => value.clone(),
    })
}

/// Refuses a word at `param` that is none of those `known`.
fn one_of(param: &str, word: Option<&str>, known: &[&str]) -> Result<()> {
    match word {
        Some(word) if !known.contains(&word) => {
            Err(Error::invalid(param, format!("{param} is `{word}`, it must be one of {}", known.join(", "))))
        }
        _ => Ok(()),
    }
}

/// `items` with those in their places that are only referred to. Every earlier response is read once at most, and
/// nothing is said twice, so that a short request costs no more than all that is kept.
fn resolved(items: Vec<Value>, earlier: Option<Items>, find: Find<'_>) -> Result<Vec<Value>> {
    let id = |item: &Value| item.get("id").and_then(Value::as_str).map(str::to_owned);
    let referred = items.iter().filter(|item| kind(item) == "item_reference");
    let wanted: HashSet<String> = referred.filter_map(id).collect();
    let mut said: HashSet<String> = earlier.into_iter().flatten().filter_map(|item| id(&item)).collect();
    let mut found: HashMap<String, Value> = HashMap::new();
    let mut own = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        if kind(&item) != "item_reference" {
            own.push(item);
            continue;
        }
        let path = format!("input[{at}].id");
        let id_of_it = id(&item).ok_or_else(|| Error::invalid(&path, format!("{path} is missing")))?;
        // bots do not take their thoughts back, so that it does not matter whether they are kept
        if id_of_it.starts_with("rs_") || !said.insert(id_of_it.clone()) {
            continue;
        }
        if !found.contains_key(&id_of_it) {
            let held = find(Sought::Item(&id_of_it)).into_iter().flatten();
            let held = held.filter_map(|item| Some((id(&item)?, item)));
            found.extend(held.filter(|(id, _)| wanted.contains(id)));
        }
        let missing = || Error::invalid(&path, format!("Item with id '{id_of_it}' not found."));
        own.push(found.remove(&id_of_it).ok_or_else(missing)?);
    }
    Ok(own)
}

fn not_found(id: &str) -> Error {
    let message = format!("Previous response with id '{id}' not found.");
    Error::new(Kind::PreviousNotFound, message).about("previous_response_id")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::pipeline::ToolChoice;

    fn read_value(request: Value) -> Result<Request> {
        read(request.to_string().as_bytes(), &|_| None)
    }

    fn with(field: &str, value: Value) -> Result<Request> {
        let mut request = json!({"model": "m", "input": "x"});
        request[field] = value;
        read_value(request)
    }

    #[test]
    fn input_as_text_and_as_items_with_instructions_before_it() {
        let request =
            read_value(json!({"model": " m ", "input": "x", "instructions": "be brief", "stream": true}));
        let Request { chat, stream, stores, .. } = request.unwrap();
        let turns: Vec<_> = chat.messages.iter().map(|turn| (turn.role, turn.text())).collect();
        assert_eq!(turns, [(Role::System, "be brief".into()), (Role::User, "x".into())]);
        assert!(stream && stores && chat.model == "m" && chat.choices == 1);
        let items = json!([{"role": "user", "content": "x"}, {"role": "developer", "content": "y"}]);
        assert_eq!(with("input", items).unwrap().chat.messages.len(), 2);
        assert!(!with("store", json!(false)).unwrap().stores);
    }

    #[test]
    fn faults_name_the_field() {
        let cases = [
            ("model", Value::Null, "model"),
            ("model", json!(" "), "model"),
            ("input", Value::Null, "input"),
            ("input", json!([]), "input"),
            ("input", json!(7), "input"),
            ("input", json!([{"type": "reasoning", "summary": []}]), "input"),
            ("stream", json!("yes"), "stream"),
            ("temperature", json!(3), "temperature"),
            ("top_p", json!(-1), "top_p"),
            ("max_output_tokens", json!(0), "max_output_tokens"),
            ("max_output_tokens", json!("x"), "max_output_tokens"),
            ("background", json!(true), "background"),
            ("conversation", json!("conv_1"), "conversation"),
            ("conversation", json!({"id": "conv_1"}), "conversation"),
            ("prompt", json!({"id": "p"}), "prompt"),
            ("top_logprobs", json!(1), "top_logprobs"),
            ("tools", json!([{"type": "function"}]), "tools[0].name"),
            ("tool_choice", json!("maybe"), "tool_choice"),
            ("text", json!({"format": {"type": "xml"}}), "text.format.type"),
            ("text", json!({"format": {"type": "json_schema", "name": "x"}}), "text.format.schema"),
            ("text", json!({"format": {}}), "text.format"),
            ("text", json!({"format": {"type": "json_schema", "schema": 7}}), "text.format.schema"),
            ("text", json!({"format": {"type": "json_schema", "schema": [{}]}}), "text.format.schema"),
            ("text", json!({"verbosity": "loud"}), "text.verbosity"),
            ("reasoning", json!({"summary": "x"}), "reasoning.summary"),
            ("truncation", json!("bogus"), "truncation"),
            ("metadata", json!(7), "metadata"),
            ("metadata", json!({"a": 1}), "metadata.a"),
            ("max_tool_calls", json!("x"), "max_tool_calls"),
            ("service_tier", json!(7), "service_tier"),
            ("user", json!(7), "user"),
            ("safety_identifier", json!(7), "safety_identifier"),
            ("safety_identifier", json!("x".repeat(65)), "safety_identifier"),
            ("prompt_cache_key", json!(["k"]), "prompt_cache_key"),
            ("prompt_cache_retention", json!("x"), "prompt_cache_retention"),
            ("presence_penalty", json!("x"), "presence_penalty"),
            ("tools", json!([{"type": "function", "name": ""}]), "tools[0].name"),
            ("tools", json!([{"type": "function", "name": "f", "parameters": "x"}]), "tools[0].parameters"),
            ("tools", json!([{"type": 7, "name": "f"}]), "tools[0].type"),
            ("input", json!([{"type": 7, "role": "user", "content": "x"}]), "input[0].type"),
            ("instructions", json!(7), "instructions"),
        ];
        for (field, value, param) in cases {
            let error = with(field, value.clone()).err().unwrap_or_else(|| panic!("{field}: {value}"));
            assert_eq!(error.param.as_deref(), Some(param), "{field}: {value}: {error}");
            assert_eq!(error.kind, Kind::InvalidRequest);
            for rusts in ["struct ", "enum ", "variant "] {
                assert!(!error.message.contains(rusts), "{error}");
            }
        }
        for body in ["", "{", "[]", "7", "{\"model\":\"m\",\"input\":\"x\"} x"] {
            assert_eq!(read(body.as_bytes(), &|_| None).err().unwrap().kind, Kind::InvalidRequest, "{body}");
        }
    }

    #[test]
    fn null_is_as_good_as_absent() {
        for field in [
            "instructions",
            "previous_response_id",
            "conversation",
            "background",
            "prompt",
            "stream",
            "stream_options",
            "store",
            "include",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "text",
            "reasoning",
            "max_output_tokens",
            "temperature",
            "top_p",
            "top_logprobs",
            "metadata",
            "truncation",
            "user",
            "service_tier",
        ] {
            assert!(with(field, Value::Null).is_ok(), "{field}");
        }
    }

    #[test]
    fn what_codex_sends_is_understood() {
        let request = read_value(json!({
            "model": "m", "instructions": "you are Codex", "stream": true, "store": false, "tool_choice": "auto",
            "parallel_tool_calls": true, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k",
            "client_metadata": {"x": "y"}, "reasoning": {"effort": "high", "summary": "auto"},
            "text": {"verbosity": "low"},
            "input": [{"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
                      {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "late"}]},
                      {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "u"}]}],
            "tools": [{"type": "function", "name": "shell", "strict": false, "parameters": {}},
                      {"type": "custom", "name": "apply_patch", "description": "d", "format": {"type": "grammar",
                       "syntax": "lark", "definition": "start: x"}},
                      {"type": "namespace", "name": "n", "description": "", "tools": []}, {"type": "web_search"},
                      {"type": "image_generation", "output_format": "png"}]
        }));
        let request = request.unwrap();
        let names: Vec<_> = request.chat.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["shell", "apply_patch", "late"]);
        assert!(request.includes_encrypted && !request.stores);
        assert_eq!(request.chat.reasoning.unwrap().effort.as_deref(), Some("high"));
        assert_eq!(request.chat.tool_choice, ToolChoice::Auto);
        for hint in ["verbosity", "web_search_options", "client_metadata"] {
            assert!(request.chat.hints.contains_key(hint), "{hint}");
        }
        let rendered = request.echo["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone());
        assert_eq!(
            rendered.collect::<Vec<_>>(),
            ["shell", "apply_patch"],
            "what bots are not offered is not repeated"
        );
        assert_eq!(request.echo["text"], json!({"format": {"type": "text"}, "verbosity": "low"}));
        assert_eq!(request.echo["reasoning"], json!({"effort": "high", "summary": "auto"}));
        assert_eq!(request.echo["prompt_cache_key"], "k");
    }

    #[test]
    fn what_n8n_and_others_send_by_default_is_accepted() {
        for (field, value) in [
            ("background", json!(false)),
            ("truncation", json!("auto")),
            ("conversation", Value::Null),
            ("include", json!(["message.output_text.logprobs", "web_search_call.action.sources"])),
            ("stream_options", json!({"include_obfuscation": false})),
            ("top_logprobs", json!(0)),
            ("max_tool_calls", json!(3)),
            ("context_management", json!([{"type": "compaction", "compact_threshold": 1000}])),
            ("text", json!({"format": {"type": "text"}})),
            ("reasoning", json!({"summary": "auto"})),
            ("metadata", json!({"a": "b"})),
            ("include", json!(["bogus"])),
            ("reasoning", json!({"effort": "ultra", "summary": "none"})),
            ("service_tier", json!("of_tomorrow")),
            ("prompt_cache_retention", json!("in-memory")),
        ] {
            assert!(with(field, value).is_ok(), "{field}");
        }
    }

    #[test]
    fn formats_and_limits() {
        let format = |format: Value| with("text", json!({ "format": format })).unwrap().chat.format;
        assert!(matches!(format(json!({"type": "text"})), Format::Text));
        assert!(matches!(format(json!({"type": "json_object"})), Format::JsonObject));
        let schema =
            json!({"type": "json_schema", "name": "person", "schema": {"type": "object"}, "strict": true});
        assert!(matches!(format(schema), Format::JsonSchema { name, .. } if name == "person"));
        let sampling = with("max_output_tokens", json!(16)).unwrap().chat.sampling;
        assert_eq!(sampling.max_tokens, Some(16));
    }

    #[test]
    fn a_request_goes_on_from_an_earlier_response() {
        let find = |sought: Sought<'_>| {
            let item =
                |id: &str, role: &str| json!({"id": id, "type": "message", "role": role, "content": id});
            let items = vec![item("msg_x", "user"), item("msg_1_0", "assistant")];
            let is_kept =
                matches!(sought, Sought::Conversation("resp_1") | Sought::Item("msg_x" | "msg_1_0"));
            is_kept.then(|| Box::new(items.into_iter()) as Items)
        };
        let read = |request: Value| read(request.to_string().as_bytes(), &find);
        let said = |request: Value| {
            let messages = read(request).unwrap().chat.messages;
            messages.iter().map(Message::text).collect::<Vec<_>>()
        };
        let next =
            json!({"model": "m", "input": "two", "instructions": "new", "previous_response_id": "resp_1"});
        assert_eq!(said(next), ["new", "msg_x", "msg_1_0", "two"]);
        assert_eq!(said(json!({"model": "m", "previous_response_id": "resp_1"})), ["msg_x", "msg_1_0"]);
        let items = json!([{"type": "item_reference", "id": "msg_1_0"}, {"type": "item_reference", "id": "rs_gone_0"},
                           {"role": "user", "content": "two"}]);
        assert_eq!(said(json!({"model": "m", "input": items})), ["msg_1_0", "two"]);
        let both = json!({"model": "m", "input": items, "previous_response_id": "resp_1"});
        assert_eq!(said(both), ["msg_x", "msg_1_0", "two"], "nothing is said twice");
        let error =
            read(json!({"model": "m", "input": "x", "previous_response_id": "resp_2"})).err().unwrap();
        assert_eq!(
            (error.kind, error.param.as_deref()),
            (Kind::PreviousNotFound, Some("previous_response_id"))
        );
    }

    #[test]
    fn however_many_references_each_response_is_read_once_and_nothing_is_said_twice() {
        let reads = Cell::new(0);
        let find = |sought: Sought<'_>| {
            let Sought::Item(id) = sought else { return None };
            let random = id.split('_').nth(1).filter(|random| *random == "a" || *random == "b")?.to_owned();
            reads.set(reads.get() + 1);
            let item = move |at| {
                let id = format!("msg_{random}_{at}");
                json!({"id": id, "type": "message", "role": "user", "content": id})
            };
            Some(Box::new((0..100).map(item)) as Items)
        };
        let refer = |id: String| json!({"type": "item_reference", "id": id});
        let alternating = (0..1000).map(|at| refer(format!("msg_{}_{}", ["a", "b"][at % 2], at / 2 % 100)));
        let read = |input: Vec<Value>| {
            read(json!({"model": "m", "input": input}).to_string().as_bytes(), &find)
                .map(|request| request.input)
        };
        let input = read(alternating.collect()).unwrap();
        assert_eq!((input.len(), reads.get()), (200, 2));
        assert_eq!([&input[0]["id"], &input[1]["id"], &input[2]["id"]], ["msg_a_0", "msg_b_0", "msg_a_1"]);
        let thoughts =
            read((0..9).map(|at| refer(format!("rs_a_{at}"))).chain([refer("msg_a_1".into())]).collect());
        assert_eq!((thoughts.unwrap().len(), reads.get()), (1, 3), "thoughts are not looked for");
        for (id, said) in [
            (json!("msg_c_0"), "'msg_c_0' not found"),
            (json!("msg_a_100"), "not found"),
            (json!(7), "missing"),
        ] {
            let input =
                vec![json!({"role": "user", "content": "x"}), json!({"type": "item_reference", "id": id})];
            let error = read(input).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::InvalidRequest, Some("input[1].id")));
            assert!(error.message.contains(said), "{error}");
        }
    }

    #[test]
    fn unknown_fields_are_hints_and_poe_parameters_are_parameters() {
        let request = read_value(json!({"model": "m", "input": "x", "aspect_ratio": "1:1", "user": "u",
            "poe": {"parameters": {"web_search": true}}, "extra_body": {"quality": "high"}}));
        let request = request.unwrap();
        assert_eq!(request.chat.hints, *json!({"aspect_ratio": "1:1", "user": "u"}).as_object().unwrap());
        let parameters = json!({"quality": "high", "web_search": true});
        assert_eq!(request.chat.parameters, *parameters.as_object().unwrap());
        assert_eq!(request.echo["user"], "u");
    }
}
