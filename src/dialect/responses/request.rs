//! A `responses` request as an `Ask`. Unknown fields are ignored, or hints to the model where it declares them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::items::{Conversation, id_of_response, kind};
use super::tools::{Names, Tools, echoed};
use crate::dialect::json;
use crate::error::{Error, Kind, Result};
use crate::exchange::{Ask, Format, Message, Part, Reasoning, Role, Sampling};

/// A decoded request: what is asked, and how the answer is to be rendered.
pub struct Request {
    /// What is asked.
    pub ask: Ask,
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
    /// `include` has `reasoning.encrypted_content`.
    pub includes_encrypted: bool,
}

#[derive(Deserialize)]
struct Raw {
    model: Option<String>,
    input: Option<Input>,
    instructions: Option<Instructions>,
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
    max_output_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_logprobs: Option<u64>,
    metadata: Option<Map<String, Value>>,
    truncation: Option<String>,
    extra_body: Option<Map<String, Value>>,
    poe: Option<RawPoe>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Value>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Instructions {
    Text(String),
    Items(Vec<Value>),
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize, Default)]
struct RawText {
    format: Option<RawFormat>,
    verbosity: Option<String>,
}

#[derive(Deserialize)]
struct RawFormat {
    r#type: String,
    name: Option<String>,
    schema: Option<Value>,
    strict: Option<bool>,
    description: Option<String>,
}

#[derive(Deserialize, Default)]
struct RawReasoning {
    effort: Option<String>,
    summary: Option<String>,
}

#[derive(Deserialize)]
struct RawPoe {
    parameters: Option<Map<String, Value>>,
}

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

/// Reads a request's body; `find` has the items of the conversation up to an earlier response. Errors name the field,
/// as a path such as `input[0].content[1].image_url`.
pub fn read(body: &[u8], find: &dyn Fn(&str) -> Option<Vec<Value>>) -> Result<Request> {
    let raw: Raw = json::read(body)?;
    raw.into_request(find)
}

impl Raw {
    fn into_request(mut self, find: &dyn Fn(&str) -> Option<Vec<Value>>) -> Result<Request> {
        let model = self.model.take().map(|model| model.trim().to_owned()).filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| Error::invalid("model", "you must provide a model parameter"))?;
        self.refuse_what_cannot_be()?;
        let previous = self.previous_response_id.take().filter(|id| !id.is_empty());
        let earlier = match &previous {
            Some(id) => find(id).ok_or_else(|| not_found(id))?,
            None => Vec::new(),
        };
        let input = self.items(&earlier, find)?;
        let mut tools = Tools::default();
        tools.add("tools", self.tools.as_deref().unwrap_or_default())?;
        for (at, item) in input.iter().enumerate().filter(|(_, item)| kind(item) == "additional_tools") {
            let more = item.get("tools").and_then(Value::as_array);
            tools.add(&format!("input[{at}].tools"), more.map_or(&[], Vec::as_slice))?;
        }
        let echo = self.echo(&model, previous.as_deref());
        let tool_choice = tools.choice(self.tool_choice.as_ref())?;
        let messages = self.messages(&earlier, &input, &tools.names)?;
        let mut parameters = Map::new();
        for extra in [self.extra_body.take(), self.poe.take().and_then(|poe| poe.parameters)] {
            parameters.extend(extra.into_iter().flatten());
        }
        let (sampling, format, reasoning) = (self.sampling()?, self.format()?, self.reasoning());
        let mut hints = std::mem::take(&mut self.rest);
        hints.extend(tools.hints);
        if let Some(verbosity) = self.text.and_then(|text| text.verbosity) {
            hints.insert("verbosity".into(), verbosity.into());
        }
        let ask = Ask {
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
            ask,
            stream: self.stream.unwrap_or(false),
            includes_usage: self.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
            names: tools.names,
            echo,
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
    fn items(&mut self, earlier: &[Value], find: &dyn Fn(&str) -> Option<Vec<Value>>) -> Result<Vec<Value>> {
        let items = match self.input.take() {
            Some(Input::Text(text)) => return Ok(vec![json!({"role": "user", "content": text})]),
            Some(Input::Items(items)) => items,
            None if !earlier.is_empty() => Vec::new(),
            None => return Err(Error::invalid("input", "you must provide an input parameter")),
        };
        let mut found: Option<(String, Vec<Value>)> = None;
        let mut own = Vec::with_capacity(items.len());
        for item in items {
            if kind(&item) != "item_reference" {
                own.push(item);
                continue;
            }
            let Some(id) = item.get("id").and_then(Value::as_str) else { continue };
            let response = id_of_response(id).unwrap_or_default();
            if found.as_ref().is_none_or(|(known, _)| *known != response) {
                found = Some((response.clone(), find(&response).unwrap_or_default()));
            }
            let has_id = |item: &&Value| item.get("id").is_some_and(|known| known == id);
            match found.iter().flat_map(|(_, items)| items).find(has_id) {
                // what the conversation has already is not said twice
                Some(item) if !earlier.iter().any(|known| has_id(&known)) => own.push(item.clone()),
                Some(_) => {}
                None => log::debug!("a reference to {id} was passed over: that item is not kept here"),
            }
        }
        Ok(own)
    }

    fn messages(&mut self, earlier: &[Value], input: &[Value], names: &Names) -> Result<Vec<Message>> {
        let mut conversation = Conversation::new(names);
        match self.instructions.take() {
            Some(Instructions::Text(text)) if !text.is_empty() => conversation.messages.push(Message {
                role: Role::System,
                parts: vec![Part::Text(text)],
                ..Message::default()
            }),
            Some(Instructions::Items(items)) => {
                for (at, item) in items.iter().enumerate() {
                    conversation.add(&format!("instructions[{at}]"), item)?;
                }
            }
            _ => {}
        }
        for item in earlier {
            conversation.add("previous_response_id", item)?;
        }
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
            ("json_schema", Some(schema)) => {
                Ok(Format::JsonSchema { name: format.name.unwrap_or_else(|| "answer".into()), schema })
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
        let effort = self.reasoning.take()?.effort?;
        Some(Reasoning { effort: Some(effort), ..Reasoning::default() })
    }

    /// Every field of a response that only repeats the request; absent ones have OpenAI's defaults.
    fn echo(&self, model: &str, previous: Option<&str>) -> Map<String, Value> {
        let format = match self.text.as_ref().and_then(|text| text.format.as_ref()) {
            Some(RawFormat { r#type, name, schema, strict, description }) if r#type == "json_schema" => {
                json!({
                    "type": "json_schema", "name": name, "schema": schema, "strict": strict.unwrap_or(false),
                    "description": description,
                })
            }
            Some(RawFormat { r#type, .. }) => json!({ "type": r#type }),
            None => json!({"type": "text"}),
        };
        let verbosity = self.text.as_ref().and_then(|text| text.verbosity.as_deref()).unwrap_or("medium");
        let instructions = match &self.instructions {
            Some(Instructions::Text(text)) => text.as_str().into(),
            Some(Instructions::Items(items)) => items.clone().into(),
            None => Value::Null,
        };
        let reasoning = self.reasoning.as_ref();
        let fields = json!({
            "background": false,
            "conversation": null,
            "instructions": instructions,
            "max_output_tokens": self.max_output_tokens,
            "max_tool_calls": null,
            "model": model,
            "parallel_tool_calls": self.parallel_tool_calls.unwrap_or(true),
            "previous_response_id": previous,
            "prompt": null,
            "prompt_cache_key": null,
            "prompt_cache_retention": null,
            "reasoning": {
                "effort": reasoning.and_then(|reasoning| reasoning.effort.as_deref()),
                "summary": reasoning.and_then(|reasoning| reasoning.summary.as_deref()),
            },
            "safety_identifier": null,
            "service_tier": "default",
            "store": self.store.unwrap_or(true),
            "temperature": self.temperature.unwrap_or(1.0),
            "text": {"format": format, "verbosity": verbosity},
            "tool_choice": self.tool_choice.clone().filter(|choice| !choice.is_null()).unwrap_or("auto".into()),
            "tools": echoed(self.tools.as_deref().unwrap_or_default()),
            "top_logprobs": 0,
            "top_p": self.top_p.unwrap_or(1.0),
            "truncation": self.truncation.as_deref().unwrap_or("disabled"),
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "metadata": self.metadata.clone().unwrap_or_default(),
        });
        let Value::Object(mut fields) = fields else { return Map::new() };
        for name in REPEATED {
            if let Some(value) = self.rest.get(name).filter(|value| !value.is_null()) {
                fields.insert(name.into(), value.clone());
            }
        }
        fields
    }
}

fn not_found(id: &str) -> Error {
    let message = format!("Previous response with id '{id}' not found.");
    Error::new(Kind::PreviousNotFound, message).about("previous_response_id")
}
