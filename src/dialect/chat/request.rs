//! Decodes a `chat.completions` request. Unknown fields are ignored, or passed on where the model declares them.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::dialect::content::{Audio, Content, Url};
use crate::dialect::files::{OCTETS, by_url, content_type_of, data, data_url};
use crate::dialect::{custom, json, numbers, thinking, tools, unknown};
use crate::error::{Error, Result};
use crate::pipeline::{
    ChatRequest, FileSource, Format, Message, Part, Reasoning, Role, Sampling, Tool, ToolCall, ToolChoice,
};

/// A decoded request: what is asked, and how the answer is to be rendered.
#[derive(Debug)]
pub struct Chat {
    /// What is asked.
    pub chat: ChatRequest,
    /// As server-sent events.
    pub stream: bool,
    /// `stream_options.include_usage`
    pub includes_usage: bool,
    /// Asked in the old way, with `functions`.
    pub has_functions: bool,
    /// The names of its tools that take plain text.
    pub plain_text: HashSet<String>,
}

/// The tools of a request.
#[derive(Default)]
struct Offered {
    tools: Vec<Tool>,
    /// The names of those that take plain text.
    plain_text: HashSet<String>,
}

impl Offered {
    /// Takes away all tools but those in `choice`, an `allowed_tools`, and returns its mode.
    fn allow(&mut self, choice: &Value) -> Result<Value> {
        const TOOLS: &str = "tool_choice.allowed_tools.tools";
        // Chat Completions has the list one level deeper than Responses
        let inner = choice.get("allowed_tools").unwrap_or(choice);
        let list = inner.get("tools").and_then(Value::as_array);
        let list = list.ok_or_else(|| Error::invalid(TOOLS, format!("{TOOLS} is missing")))?;
        let name = |tool: &Value| {
            let nested = ["function", "custom"].iter().find_map(|kind| tool.get(kind)?.get("name")?.as_str());
            nested.or_else(|| tool.get("name")?.as_str()).map(str::to_owned)
        };
        let allowed: HashSet<String> = list.iter().filter_map(name).collect();
        self.tools.retain(|tool| allowed.contains(&tool.name));
        if self.tools.is_empty() {
            return Err(Error::invalid(TOOLS, format!("{TOOLS} names none of the tools")));
        }
        Ok(inner.get("mode").cloned().unwrap_or_default())
    }
}

/// A body that was posted to Chat Completions.
#[derive(Debug)]
pub enum Body {
    /// A chat.
    Chat(Box<Chat>),
    /// One of Responses: it has `input` in place of `messages`.
    Responses,
}

/// Reads a request's body. Errors name the field, as a path such as `messages[0].content`.
pub fn read(body: &[u8]) -> Result<Body> {
    let request: Request = json::read(body)?;
    if request.messages.is_none() && request.rest.get("input").is_some_and(|input| !input.is_null()) {
        return Ok(Body::Responses);
    }
    request.into_chat().map(|chat| Body::Chat(Box::new(chat)))
}

#[derive(Deserialize)]
struct Request {
    model: Option<String>,
    messages: Option<Vec<RawMessage>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[serde(default, deserialize_with = "numbers::real")]
    temperature: Option<f64>,
    #[serde(default, deserialize_with = "numbers::real")]
    top_p: Option<f64>,
    #[serde(default, deserialize_with = "numbers::limit")]
    max_tokens: Option<u64>,
    #[serde(default, deserialize_with = "numbers::limit")]
    max_completion_tokens: Option<u64>,
    stop: Option<OneOrMany>,
    #[serde(default, deserialize_with = "numbers::count")]
    n: Option<u64>,
    #[serde(default, deserialize_with = "numbers::signed")]
    seed: Option<i64>,
    #[serde(default, deserialize_with = "numbers::real")]
    presence_penalty: Option<f64>,
    #[serde(default, deserialize_with = "numbers::real")]
    frequency_penalty: Option<f64>,
    logit_bias: Option<BTreeMap<String, f64>>,
    logprobs: Option<bool>,
    modalities: Option<Vec<String>>,
    audio: Option<Value>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    functions: Option<Vec<Value>>,
    function_call: Option<Value>,
    response_format: Option<RawFormat>,
    reasoning_effort: Option<String>,
    reasoning: Option<RawReasoning>,
    extra_body: Option<Map<String, Value>>,
    poe: Option<RawPoe>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// The longest text that ends an answer: the end of every piece is compared with it.
pub const MOST_STOP_BYTES: usize = 1000;

/// One text or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// `"a"`
    One(String),
    /// `["a", "b"]`
    Many(Vec<String>),
}

impl OneOrMany {
    /// `stop`, of which there may be `most`; empty texts end nothing.
    pub fn stops(self, most: usize) -> Result<Vec<String>> {
        let mut stops = match self {
            OneOrMany::One(stop) => vec![stop],
            OneOrMany::Many(stops) => stops,
        };
        if stops.len() > most {
            return Err(Error::invalid("stop", format!("stop: at most {most} texts")));
        }
        if stops.iter().any(|stop| stop.len() > MOST_STOP_BYTES) {
            return Err(Error::invalid("stop", format!("stop: texts of at most {MOST_STOP_BYTES} bytes")));
        }
        stops.retain(|stop| !stop.is_empty());
        Ok(stops)
    }
}

#[derive(Deserialize)]
struct RawFormat {
    r#type: String,
    json_schema: Option<RawSchema>,
}

#[derive(Deserialize)]
struct RawSchema {
    name: Option<String>,
    schema: Option<Value>,
}

#[derive(Deserialize)]
struct RawReasoning {
    effort: Option<String>,
    #[serde(default, deserialize_with = "numbers::limit")]
    max_tokens: Option<u64>,
    enabled: Option<bool>,
}

#[derive(Deserialize)]
struct RawPoe {
    parameters: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct RawMessage {
    role: String,
    #[serde(default)]
    content: Content<RawPart>,
    name: Option<String>,
    tool_calls: Option<Vec<RawCall>>,
    tool_call_id: Option<String>,
    function_call: Option<RawFunctionCall>,
}

#[derive(Deserialize)]
struct RawCall {
    id: Option<String>,
    #[serde(default)]
    function: Option<RawFunctionCall>,
    #[serde(default)]
    custom: Option<RawCustomCall>,
}

#[derive(Deserialize)]
struct RawCustomCall {
    name: String,
    #[serde(default)]
    input: String,
}

#[derive(Deserialize)]
struct RawFunctionCall {
    name: String,
    #[serde(default)]
    arguments: Value,
}

/// One part of a message's content, of any kind that clients send.
#[derive(Deserialize)]
struct RawPart {
    r#type: Option<String>,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<Url>,
    video_url: Option<Url>,
    file: Option<RawFile>,
    input_audio: Option<Audio>,
    // Anthropic's way, which some editors use here too
    source: Option<RawSource>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Value>,
    tool_use_id: Option<String>,
    #[serde(default)]
    content: Content<RawPart>,
}

#[derive(Deserialize)]
struct RawFile {
    file_data: Option<String>,
    filename: Option<String>,
    #[serde(alias = "file_url")]
    url: Option<String>,
}

#[derive(Deserialize)]
struct RawSource {
    r#type: Option<String>,
    media_type: Option<String>,
    data: Option<String>,
    url: Option<String>,
}

impl Request {
    fn into_chat(mut self) -> Result<Chat> {
        let model = self.model.take().map(|model| model.trim().to_owned()).filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| Error::invalid("model", "you must provide a model parameter"))?;
        let messages = messages(self.messages.take())?;
        self.refuse_what_cannot_be()?;
        let has_functions = self.functions.is_some() && self.tools.is_none();
        let (mut parameters, reasoning) = (Map::new(), self.reasoning());
        for extra in [self.extra_body.take(), self.poe.take().and_then(|poe| poe.parameters)] {
            parameters.extend(extra.into_iter().flatten());
        }
        let mut offered = self.tools()?;
        let tool_choice = self.tool_choice(&mut offered)?;
        let plain_text = offered.plain_text;
        let chat = ChatRequest {
            bot: model.clone(),
            model,
            messages,
            tools: offered.tools,
            tool_choice,
            // the old way has no place for a second call
            parallel_tool_calls: if has_functions { Some(false) } else { self.parallel_tool_calls },
            sampling: self.sampling()?,
            reasoning,
            format: self.format()?,
            parameters,
            choices: choices(self.n)?,
            hints: std::mem::take(&mut self.rest),
        };
        if let ToolChoice::Named(name) = &chat.tool_choice
            && !chat.tools.iter().any(|tool| tool.name == *name)
        {
            let param = if has_functions { "function_call" } else { "tool_choice" };
            return Err(Error::invalid(
                param,
                format!("{param} names `{name:.64}`, which is not one of the tools"),
            ));
        }
        let includes_usage = self.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
        Ok(Chat { chat, stream: self.stream.unwrap_or(false), includes_usage, has_functions, plain_text })
    }

    fn refuse_what_cannot_be(&self) -> Result<()> {
        if self.logprobs == Some(true) {
            return Err(Error::invalid(
                "logprobs",
                "logprobs are not available: Poe's bots do not give them",
            ));
        }
        let speaks =
            self.modalities.iter().flatten().any(|modality| !["text", "image"].contains(&modality.as_str()));
        if speaks || self.audio.as_ref().is_some_and(|audio| !audio.is_null()) {
            let param = if speaks { "modalities" } else { "audio" };
            return Err(Error::invalid(
                param,
                "only text and images are available; ask an audio bot for sound",
            ));
        }
        Ok(())
    }

    fn sampling(&mut self) -> Result<Sampling> {
        json::within("temperature", self.temperature, 0.0, 2.0)?;
        json::within("top_p", self.top_p, 0.0, 1.0)?;
        json::within("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        json::within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        let stop = self.stop.take().map_or(Ok(Vec::new()), |stop| stop.stops(4))?;
        let (param, max_tokens) = match self.max_completion_tokens {
            Some(most) => ("max_completion_tokens", Some(most)),
            None => ("max_tokens", self.max_tokens),
        };
        if max_tokens == Some(0) {
            return Err(Error::invalid(param, format!("{param} must be at least 1")));
        }
        Ok(Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_tokens,
            stop,
            logit_bias: self.logit_bias.take(),
            seed: self.seed,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
        })
    }

    fn tools(&mut self) -> Result<Offered> {
        let mut offered = Offered::default();
        for (position, raw) in self.tools.take().into_iter().flatten().enumerate() {
            let path = format!("tools[{position}]");
            match raw.get("type").and_then(Value::as_str).unwrap_or("function") {
                "function" => offered.tools.push(tools::function(&path, &raw)?),
                // the way of Anthropic's clients, whose `custom` is a function
                "custom" if raw.get("input_schema").is_some() => {
                    offered.tools.push(tools::function(&path, &raw)?)
                }
                "custom" => {
                    let tool = tools::plain_text(&path, &raw)?.0;
                    offered.plain_text.insert(tool.name.clone());
                    offered.tools.push(tool);
                }
                kind if kind.starts_with("web_search") => {
                    self.rest.entry("web_search_options").or_insert_with(|| Map::new().into());
                }
                other => {
                    log::debug!("a tool of type {other} was ignored: only functions can be offered")
                }
            }
        }
        for (position, raw) in self.functions.take().into_iter().flatten().enumerate() {
            offered.tools.push(tools::function(&format!("functions[{position}]"), &raw)?);
        }
        Ok(offered)
    }

    /// `tool_choice`, which may take away tools.
    fn tool_choice(&mut self, offered: &mut Offered) -> Result<ToolChoice> {
        let (param, mut choice) = match self.tool_choice.take() {
            Some(choice) => ("tool_choice", choice),
            None => ("function_call", self.function_call.take().unwrap_or_default()),
        };
        if choice.get("type").is_some_and(|kind| kind == "allowed_tools") {
            choice = offered.allow(&choice)?;
        }
        let name = choice.pointer("/custom/name").or_else(|| choice.pointer("/function/name"));
        let name = name.or_else(|| choice.get("name")).and_then(Value::as_str);
        // in Anthropic's way all choices are objects
        let word = choice.as_str().or_else(|| choice.get("type").filter(|_| name.is_none())?.as_str());
        match (word, name) {
            _ if choice.is_null() => Ok(ToolChoice::Auto),
            (Some("auto"), _) => Ok(ToolChoice::Auto),
            (Some("none"), _) => Ok(ToolChoice::None),
            (Some("required" | "any"), _) => Ok(ToolChoice::Required),
            (None, Some(name)) => Ok(ToolChoice::Named(name.to_owned())),
            _ => {
                Err(Error::invalid(param, format!("{param} must be none, auto, required or name a function")))
            }
        }
    }

    fn format(&mut self) -> Result<Format> {
        let Some(format) = self.response_format.take() else { return Ok(Format::Text) };
        let schema = format.json_schema.map(|schema| (schema.name, schema.schema));
        match (format.r#type.as_str(), schema) {
            ("text", _) => Ok(Format::Text),
            ("json_object", _) => Ok(Format::JsonObject),
            ("json_schema", Some((_, Some(schema)))) if !schema.is_object() => Err(Error::invalid(
                "response_format.json_schema.schema",
                "response_format.json_schema.schema must be an object",
            )),
            ("json_schema", Some((name, Some(schema)))) => {
                Ok(Format::JsonSchema { name: name.unwrap_or_else(|| "answer".into()), schema })
            }
            ("json_schema", Some((_, None))) => Ok(Format::JsonObject),
            ("json_schema", None) => {
                Err(Error::invalid("response_format.json_schema", "response_format.json_schema is missing"))
            }
            (other, _) => Err(Error::invalid(
                "response_format.type",
                format!("response_format.type is {other}, it must be text, json_object or json_schema"),
            )),
        }
    }

    /// Every client has its own way to say how hard to think.
    fn reasoning(&mut self) -> Option<Reasoning> {
        let own = self.reasoning.take();
        let effort = self.reasoning_effort.take();
        let own = own.map_or_else(Reasoning::default, |own| Reasoning {
            effort: own.effort,
            budget: own.max_tokens,
            enabled: own.enabled,
        });
        let own = Reasoning { effort: effort.or(own.effort), ..own };
        thinking::read(own, self.extra_body.as_mut(), &self.rest)
    }
}

/// `n`, the number of answers.
pub fn choices(n: Option<u64>) -> Result<usize> {
    match n {
        None => Ok(1),
        Some(n @ 1..=8) => Ok(n as usize),
        Some(n) => Err(Error::invalid("n", format!("n is {n}, it must be 1 to 8"))),
    }
}

fn messages(raw: Option<Vec<RawMessage>>) -> Result<Vec<Message>> {
    let raw = raw.ok_or_else(|| Error::invalid("messages", "you must provide a messages parameter"))?;
    if raw.is_empty() {
        return Err(Error::invalid("messages", "messages is empty: at least one message is needed"));
    }
    let (mut messages, mut has_calls) = (Vec::with_capacity(raw.len()), false);
    for (position, raw) in raw.into_iter().enumerate() {
        let before = messages.len();
        message(position, raw, has_calls, &mut messages)?;
        has_calls |= messages[before..].iter().any(|message| !message.tool_calls.is_empty());
    }
    Ok(messages)
}

/// Adds the turn at `position`, in front of it the results of calls that it brings in Anthropic's way. `has_calls`: a turn
/// before it has one.
fn message(position: usize, raw: RawMessage, has_calls: bool, messages: &mut Vec<Message>) -> Result<()> {
    let role = match raw.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" | "bot" | "model" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        other => {
            let param = format!("messages[{position}].role");
            let known = "system, developer, user, assistant or tool";
            return Err(Error::invalid(&param, format!("{param} is `{other}`, it must be {known}")));
        }
    };
    let before = messages.len();
    let mut said = Said { has_calls, ..Said::default() };
    said.read(&format!("messages[{position}].content"), raw.content)?;
    let Said { parts, mut tool_calls, results, .. } = said;
    messages.extend(results);
    for (at, raw) in raw.tool_calls.into_iter().flatten().enumerate() {
        tool_calls.push(call(&format!("messages[{position}].tool_calls[{at}]"), raw)?);
    }
    let mut tool_call_id = raw.tool_call_id;
    if let Some(function) = raw.function_call {
        // the old way has no ids: the function's name stands for them
        tool_calls.push(function_call(Some(function.name.clone()), function));
    }
    if role == Role::Tool && tool_call_id.is_none() {
        tool_call_id = raw.name.clone();
    }
    if messages.len() == before || !parts.is_empty() || !tool_calls.is_empty() {
        messages.push(Message { role, parts, tool_calls, tool_call_id, name: raw.name });
    }
    Ok(())
}

/// What the content of a turn holds.
#[derive(Default)]
struct Said {
    parts: Vec<Part>,
    tool_calls: Vec<ToolCall>,
    results: Vec<Message>,
    /// A call stands before it, which a result without an id can be that of.
    has_calls: bool,
}

impl Said {
    fn read(&mut self, path: &str, content: Content<RawPart>) -> Result<()> {
        let parts = match content {
            Content::Null => Vec::new(),
            Content::Text(text) => {
                self.parts.push(Part::Text(text));
                Vec::new()
            }
            Content::Object(_) => {
                let message = format!("{path} is an object, it must be a string or a list of parts");
                return Err(Error::invalid(path, message));
            }
            Content::Parts(parts) => parts,
        };
        for (index, raw) in parts.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            match raw.r#type.as_deref() {
                Some("tool_use") => {
                    let name = raw.name.ok_or_else(|| missing(&path, "name"))?;
                    let function = RawFunctionCall { name, arguments: raw.input.unwrap_or_default() };
                    self.tool_calls.push(function_call(raw.id, function));
                }
                Some("tool_result") => {
                    if raw.tool_use_id.is_none() && !self.has_calls {
                        return Err(missing(&path, "tool_use_id"));
                    }
                    let id = raw.tool_use_id;
                    let mut result = Said::default();
                    result.read(&format!("{path}.content"), raw.content)?;
                    let (role, parts) = (Role::Tool, result.parts);
                    self.results.push(Message { role, parts, tool_call_id: id, ..Message::default() });
                }
                _ => self.parts.extend(part(&path, raw)?),
            }
        }
        Ok(())
    }
}

fn missing(path: &str, field: &str) -> Error {
    Error::invalid(format!("{path}.{field}"), format!("{path}.{field} is missing"))
}

fn call(path: &str, raw: RawCall) -> Result<ToolCall> {
    match (raw.function, raw.custom) {
        (Some(function), _) => Ok(function_call(raw.id, function)),
        (None, Some(RawCustomCall { name, input })) => {
            Ok(ToolCall { id: raw.id.unwrap_or_default(), name, arguments: custom::wrapped(&input) })
        }
        (None, None) => Err(missing(path, "function")),
    }
}

fn function_call(id: Option<String>, function: RawFunctionCall) -> ToolCall {
    let arguments = match function.arguments {
        Value::String(text) => text,
        Value::Null => String::new(),
        value => value.to_string(),
    };
    ToolCall { id: id.unwrap_or_default(), name: function.name, arguments }
}

/// A part that is not for the bot, such as its own thought sent back, is `None`.
fn part(path: &str, raw: RawPart) -> Result<Option<Part>> {
    let kind = raw.r#type.as_deref().unwrap_or("text");
    let missing = |field| missing(path, field);
    let file = match kind {
        "text" | "input_text" | "output_text" => {
            return raw.text.map(|text| Some(Part::Text(text))).ok_or_else(|| missing("text"));
        }
        "refusal" => return Ok(raw.refusal.map(Part::Text)),
        "thinking" | "redacted_thinking" | "reasoning" => return Ok(None),
        "image_url" | "input_image" => {
            let url = raw.image_url.ok_or_else(|| missing("image_url"))?;
            by_url(&format!("{path}.image_url"), url.text(), None)?
        }
        "video_url" => {
            let url = raw.video_url.ok_or_else(|| missing("video_url"))?;
            by_url(&format!("{path}.video_url"), url.text(), None)?
        }
        "file" | "input_file" => file(&format!("{path}.file"), raw.file.ok_or_else(|| missing("file"))?)?,
        "input_audio" => {
            let audio = raw.input_audio.ok_or_else(|| missing("input_audio"))?;
            audio.file(&format!("{path}.input_audio"))?
        }
        "image" | "document" => {
            let raw = raw.source.ok_or_else(|| missing("source"))?;
            if raw.r#type.as_deref() == Some("text") {
                return Ok(raw.data.map(Part::Text));
            }
            source(&format!("{path}.source"), raw)?
        }
        other => {
            if let Some(text) = &raw.text {
                return Ok(Some(unknown::marked(other, text)));
            }
            let param = format!("{path}.type");
            return Err(Error::invalid(&param, format!("{param} is `{other}`, which is not supported")));
        }
    };
    Ok(Some(Part::File(file)))
}

fn file(path: &str, raw: RawFile) -> Result<FileSource> {
    match (raw.file_data, raw.url) {
        (Some(content), _) if content.starts_with("data:") => {
            data_url(&format!("{path}.file_data"), &content, raw.filename)
        }
        (Some(content), _) if content.starts_with("http://") || content.starts_with("https://") => {
            Ok(FileSource::Link { url: content, name: raw.filename })
        }
        (Some(content), _) => {
            let content_type = raw.filename.as_deref().map_or(OCTETS, content_type_of).to_owned();
            data(&format!("{path}.file_data"), &content, content_type, raw.filename)
        }
        (None, Some(url)) => by_url(&format!("{path}.url"), url, raw.filename),
        (None, None) => {
            let param = format!("{path}.file_data");
            Err(Error::invalid(&param, format!("{param} is missing; files by id are not kept here")))
        }
    }
}

fn source(path: &str, raw: RawSource) -> Result<FileSource> {
    match (raw.data, raw.url) {
        (Some(content), _) => {
            let content_type = raw.media_type.unwrap_or_else(|| OCTETS.to_owned());
            data(&format!("{path}.data"), &content, content_type, None)
        }
        (None, Some(url)) => by_url(&format!("{path}.url"), url, None),
        (None, None) => Err(Error::invalid(format!("{path}.data"), format!("{path}.data is missing"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use serde_json::json;

    fn read_value(value: Value) -> Result<Box<Chat>> {
        match read(value.to_string().as_bytes())? {
            Body::Chat(chat) => Ok(chat),
            Body::Responses => panic!("{value}"),
        }
    }

    fn with(field: &str, value: Value) -> Result<Box<Chat>> {
        let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        request[field] = value;
        read_value(request)
    }

    #[test]
    fn content_as_string_as_parts_and_null() {
        let chat = read_value(
            json!({"model": " m ", "stream": true, "stream_options": {"include_usage": true}, "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null, "reasoning_content": "hm", "refusal": null},
            {"role": "user", "content": "x", "invented": 1}]}),
        );
        let chat = chat.unwrap();
        assert!(chat.stream && chat.includes_usage);
        assert_eq!((chat.chat.model.as_str(), chat.chat.choices), ("m", 1));
        let turns: Vec<_> = chat.chat.messages.iter().map(|m| (m.role, m.text())).collect();
        assert_eq!(
            turns,
            [(Role::System, "a\nb".into()), (Role::Assistant, "".into()), (Role::User, "x".into())]
        );
    }

    #[test]
    fn errors_name_the_field() {
        let user = |content: Value| json!([{"role": "user", "content": content}]);
        let cases = [
            ("messages", user(json!(7)), "messages[0].content"),
            ("messages", user(json!({"text": "x"})), "messages[0].content"),
            ("messages", user(json!([{"type": "text", "text": 7}])), "messages[0].content[0].text"),
            ("messages", user(json!([{"type": "text"}])), "messages[0].content[0].text"),
            ("messages", user(json!([{"type": "hologram"}])), "messages[0].content[0].type"),
            ("messages", user(json!([{"type": "tool_result"}])), "messages[0].content[0].tool_use_id"),
            ("messages", user(json!([{"type": "tool_use"}])), "messages[0].content[0].name"),
            (
                "messages",
                user(json!([{"type": "image_url", "image_url": {"url": "ftp://x"}}])),
                "messages[0].content[0].image_url",
            ),
            (
                "messages",
                user(json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,%%"}}])),
                "messages[0].content[0].image_url",
            ),
            (
                "messages",
                user(json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}])),
                "messages[0].content[0].image_url",
            ),
            (
                "messages",
                user(json!([{"type": "file", "file": {"file_id": "f"}}])),
                "messages[0].content[0].file.file_data",
            ),
            ("messages", json!([{"role": "king", "content": "x"}]), "messages[0].role"),
            ("messages", json!([{"content": "x"}]), "messages[0]"),
            ("messages", json!([]), "messages"),
            ("messages", json!("x"), "messages"),
            ("messages", Value::Null, "messages"),
            ("model", Value::Null, "model"),
            ("model", json!(""), "model"),
            ("model", json!(1), "model"),
            ("stream", json!("yes"), "stream"),
            ("temperature", json!(2.5), "temperature"),
            ("temperature", json!("hot"), "temperature"),
            ("top_p", json!(2), "top_p"),
            ("n", json!(0), "n"),
            ("n", json!(9), "n"),
            ("stop", json!(["1", "2", "3", "4", "5"]), "stop"),
            ("stop", json!(5), "stop"),
            ("max_tokens", json!(-2), "max_tokens"),
            ("max_completion_tokens", json!(0), "max_completion_tokens"),
            ("logprobs", json!(true), "logprobs"),
            ("modalities", json!(["text", "audio"]), "modalities"),
            ("audio", json!({"voice": "x"}), "audio"),
            ("tools", json!([{"type": "function"}]), "tools[0].name"),
            ("tools", json!([{"type": "function", "function": {}}]), "tools[0].function.name"),
            ("tool_choice", json!("maybe"), "tool_choice"),
            ("response_format", json!({"type": "xml"}), "response_format.type"),
            ("response_format", json!({"type": "json_schema"}), "response_format.json_schema"),
            (
                "response_format",
                json!({"type": "json_schema", "json_schema": {"schema": 7}}),
                "response_format.json_schema.schema",
            ),
            ("stop", json!("x".repeat(1001)), "stop"),
        ];
        for (field, value, param) in cases {
            let error = with(field, value.clone()).err().unwrap_or_else(|| panic!("{field}: {value}"));
            assert_eq!(error.param.as_deref(), Some(param), "{field}: {value}: {error}");
            assert_eq!(error.kind, Kind::InvalidRequest);
        }
        for body in ["", "{", "[]", "7", "{\"model\":\"m\"} x", "\u{0}"] {
            assert_eq!(read(body.as_bytes()).unwrap_err().kind, Kind::InvalidRequest, "{body}");
        }
    }

    #[test]
    fn null_is_as_good_as_absent() {
        for field in [
            "temperature",
            "stop",
            "tools",
            "tool_choice",
            "n",
            "stream",
            "response_format",
            "logprobs",
            "audio",
            "max_tokens",
            "stream_options",
            "extra_body",
            "reasoning_effort",
            "logit_bias",
        ] {
            assert!(with(field, Value::Null).is_ok(), "{field}");
        }
    }

    #[test]
    fn tools_in_both_fashions() {
        let chat = with(
            "tools",
            json!([{"type": "function", "function": {"name": "a", "strict": true}},
                                        {"type": "function", "name": "flat", "parameters": {}}, {"type": "web_search"}]),
        )
        .unwrap();
        assert_eq!(chat.chat.tools.len(), 2);
        assert!(!chat.has_functions);
        assert_eq!(chat.chat.hints, *json!({"web_search_options": {}}).as_object().unwrap());
        let chat = read_value(json!({"model": "m", "functions": [{"name": "b", "parameters": {}}], "function_call": {"name": "b"},
            "messages": [{"role": "user", "content": "x"},
                         {"role": "assistant", "content": null, "function_call": {"name": "b", "arguments": "{}"}},
                         {"role": "function", "name": "b", "content": "1"}]})).unwrap();
        assert!(chat.has_functions);
        assert_eq!(chat.chat.tool_choice, ToolChoice::Named("b".into()));
        assert_eq!(
            chat.chat.messages[1].tool_calls[0].id,
            chat.chat.messages[2].tool_call_id.clone().unwrap()
        );
        for (value, expected) in [
            (json!("none"), ToolChoice::None),
            (json!("required"), ToolChoice::Required),
            (json!({"type": "function", "function": {"name": "f"}}), ToolChoice::Named("f".into())),
            (json!({"type": "any"}), ToolChoice::Required),
            (json!({"type": "tool", "name": "f"}), ToolChoice::Named("f".into())),
        ] {
            let tools = json!([{"type": "function", "function": {"name": "f"}}]);
            let messages = json!([{"role": "user", "content": "x"}]);
            let chat = json!({"model": "m", "messages": messages, "tools": tools, "tool_choice": value});
            assert_eq!(read_value(chat).unwrap().chat.tool_choice, expected);
        }
    }

    #[test]
    fn a_choice_of_no_tool_on_offer_is_refused() {
        let messages = json!([{"role": "user", "content": "x"}]);
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let named = json!({"type": "function", "function": {"name": "g"}});
        let old = json!([{"name": "f"}]);
        for (chat, param) in [
            (
                json!({"model": "m", "messages": messages, "tools": tools, "tool_choice": named}),
                "tool_choice",
            ),
            (json!({"model": "m", "messages": messages, "tool_choice": named}), "tool_choice"),
            (
                json!({"model": "m", "messages": messages, "functions": old, "function_call": {"name": "g"}}),
                "function_call",
            ),
        ] {
            let error = read_value(chat).err().unwrap();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::InvalidRequest, Some(param)));
            assert!(error.message.contains("`g`"), "{error}");
        }
    }

    #[test]
    fn calls_and_results_in_anthropics_way() {
        let chat = with(
            "messages",
            json!([
                {"role": "user", "content": "weather?"},
                {"role": "assistant", "content": [{"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"city": "Rome"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1",
                    "content": [{"type": "text", "text": "sunny"}]}]},
                {"role": "user", "content": [{"type": "text", "text": "and now?"},
                    {"type": "tool_result", "tool_use_id": "c1", "content": "rain"},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "notes"}}]},
            ]),
        );
        let messages = chat.unwrap().chat.messages;
        let turns: Vec<_> =
            messages.iter().map(|turn| (turn.role, turn.text(), turn.tool_call_id.as_deref())).collect();
        let expected = [
            (Role::User, "weather?", None),
            (Role::Assistant, "I look.", None),
            (Role::Tool, "sunny", Some("c1")),
            (Role::Tool, "rain", Some("c1")),
            (Role::User, "and now?\nnotes", None),
        ];
        assert_eq!(turns, expected.map(|(role, text, id)| (role, text.to_owned(), id)));
        let call = &messages[1].tool_calls[0];
        assert_eq!(
            (call.id.as_str(), call.name.as_str(), call.arguments.as_str()),
            ("c1", "f", r#"{"city":"Rome"}"#)
        );
        let chat = with("tools", json!([{"name": "f", "input_schema": {"type": "object", "x": 1}}])).unwrap();
        assert_eq!(chat.chat.tools[0].parameters, Some(json!({"type": "object", "x": 1})));
    }

    #[test]
    fn every_way_to_say_how_hard_to_think() {
        let reasoning_setting =
            |field: &str, value: Value| with(field, value).unwrap().chat.reasoning.unwrap();
        assert_eq!(reasoning_setting("reasoning_effort", json!("high")).effort.as_deref(), Some("high"));
        assert_eq!(reasoning_setting("reasoning", json!({"effort": "low", "max_tokens": 9})).budget, Some(9));
        let thinking = reasoning_setting("thinking", json!({"type": "enabled", "budget_tokens": 5}));
        assert_eq!((thinking.budget, thinking.enabled), (Some(5), Some(true)));
        assert_eq!(reasoning_setting("thinking", json!({"type": "disabled"})).enabled, Some(false));
        assert_eq!(reasoning_setting("enable_thinking", json!(false)).enabled, Some(false));
        let google = json!({"google": {"thinking_config": {"thinking_budget": 8}}, "quality": "high"});
        let chat = with("extra_body", google).unwrap();
        assert_eq!(chat.chat.reasoning.unwrap().budget, Some(8));
        assert_eq!(chat.chat.parameters, *json!({"quality": "high"}).as_object().unwrap());
        assert_eq!(with("user", json!("u")).unwrap().chat.reasoning, None);
    }

    #[test]
    fn unknown_fields_are_hints_and_poe_parameters_are_parameters() {
        let chat = read_value(
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "aspect_ratio": "1:1",
            "user": "u", "poe": {"parameters": {"web_search": true}}}),
        )
        .unwrap();
        assert_eq!(chat.chat.hints, *json!({"aspect_ratio": "1:1", "user": "u"}).as_object().unwrap());
        assert_eq!(chat.chat.parameters, *json!({"web_search": true}).as_object().unwrap());
    }

    #[test]
    fn files_in_every_form() {
        let content = json!([
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            {"type": "image_url", "image_url": "data:image/png;base64,AAEC"},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "AAEC"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA\nEC"}},
            {"type": "input_audio", "input_audio": {"data": "AAEC", "format": "mp3"}},
            {"type": "video_url", "video_url": {"url": "https://x/y.mp4"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "AAEC"}},
        ]);
        let chat = with("messages", json!([{"role": "user", "content": content}])).unwrap();
        let kinds: Vec<_> = chat.chat.messages[0]
            .parts
            .iter()
            .map(|part| match part {
                Part::File(FileSource::Data { bytes, content_type, .. }) => {
                    assert_eq!(bytes.as_slice(), &[0, 1, 2]);
                    content_type.clone()
                }
                Part::File(FileSource::Link { url, .. }) => url.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            kinds,
            [
                "https://x/y.png",
                "image/png",
                "application/pdf",
                "application/pdf",
                "audio/mpeg",
                "https://x/y.mp4",
                "image/gif"
            ]
        );
    }
}
