//! Decodes a request of Ollama's API. Options that only a local model could follow are dropped.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Task, model_name};
use crate::dialect::chat::OneOrMany;
use crate::dialect::files::{FileText, OCTETS, data, data_url};
use crate::dialect::json::{self, within, without_value};
use crate::dialect::{numbers, tools};
use crate::error::{Error, Result};
use crate::pipeline::tools::name_results;
use crate::pipeline::{
    ChatRequest, FileSource, Format, Gap, Message, Part, Reasoning, Role, Sampling, ToolCall,
    completion_prompt,
};

/// The most texts that may end an answer.
const MOST_STOPS: usize = 16;

/// A decoded request: what is asked, and how the answer is to be rendered.
#[derive(Debug)]
pub struct Asked {
    /// The model's name as the client wrote it.
    pub model: String,
    /// What is asked, unless the request only loads or unloads the model.
    pub chat_request: Option<ChatRequest>,
    /// What it is for otherwise.
    pub task: Option<Task>,
    /// As lines; Ollama's default.
    pub stream: bool,
    /// Whether the model's thought is shown.
    pub shows_thought: bool,
}

#[derive(Deserialize)]
struct Chat {
    messages: Option<Vec<RawMessage>>,
    tools: Option<Vec<Value>>,
    #[serde(flatten)]
    common: Common,
}

#[derive(Deserialize)]
struct Generate {
    prompt: Option<String>,
    suffix: Option<String>,
    system: Option<String>,
    images: Option<Vec<FileText>>,
    #[serde(flatten)]
    common: Common,
}

/// What both ways to ask have in common. Its parts are read one by one, for an error to name its field.
#[derive(Deserialize)]
struct Common {
    #[serde(default)]
    model: Value,
    #[serde(default)]
    stream: Value,
    #[serde(default)]
    format: Value,
    #[serde(default)]
    options: Value,
    #[serde(default)]
    think: Value,
    #[serde(default)]
    keep_alive: Value,
}

#[derive(Deserialize, Default)]
struct Options {
    #[serde(default, deserialize_with = "numbers::real")]
    temperature: Option<f64>,
    #[serde(default, deserialize_with = "numbers::real")]
    top_p: Option<f64>,
    #[serde(default, deserialize_with = "numbers::signed")]
    num_predict: Option<i64>,
    stop: Option<OneOrMany>,
    #[serde(default, deserialize_with = "numbers::signed")]
    seed: Option<i64>,
    #[serde(default, deserialize_with = "numbers::real")]
    presence_penalty: Option<f64>,
    #[serde(default, deserialize_with = "numbers::real")]
    frequency_penalty: Option<f64>,
    /// `top_k` and others that the model may declare.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct RawMessage {
    role: String,
    content: Option<String>,
    images: Option<Vec<FileText>>,
    tool_calls: Option<Vec<RawCall>>,
    #[serde(alias = "name")]
    tool_name: Option<String>,
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
struct RawCall {
    id: Option<String>,
    function: RawFunctionCall,
}

#[derive(Deserialize)]
struct RawFunctionCall {
    name: String,
    #[serde(default)]
    arguments: Value,
}

/// Reads the body of `POST /api/chat`. Errors name the field.
pub fn read_chat(body: &[u8]) -> Result<Asked> {
    let chat: Chat = json::read(body)?;
    let mut offered = Vec::new();
    for (at, raw) in chat.tools.into_iter().flatten().enumerate() {
        match raw.get("type").and_then(Value::as_str) {
            None | Some("function") => offered.push(tools::function(&format!("tools[{at}]"), &raw)?),
            Some(other) => log::debug!("a tool of type {other} was ignored: only functions can be offered"),
        }
    }
    let messages = messages(chat.messages.unwrap_or_default())?;
    let is_question = !messages.is_empty();
    chat.common.asked(is_question, |chat_request| {
        chat_request.messages = messages;
        chat_request.tools = offered;
    })
}

/// Reads the body of `POST /api/generate`. Errors name the field.
pub fn read_generate(body: &[u8]) -> Result<Asked> {
    let generate: Generate = json::read(body)?;
    let (prompt, suffix) = (generate.prompt.unwrap_or_default(), generate.suffix);
    let images = generate.images.unwrap_or_default();
    let images: Vec<Part> = images
        .into_iter()
        .enumerate()
        .map(|(at, image)| picture(&format!("images[{at}]"), image))
        .collect::<Result<_>>()?;
    let is_question =
        !prompt.is_empty() || !images.is_empty() || suffix.as_ref().is_some_and(|text| !text.is_empty());
    let gap = Gap::read(&prompt, suffix.as_deref());
    generate.common.asked(is_question, |chat_request| {
        if let Some(system) = generate.system.filter(|system| !system.is_empty()) {
            chat_request.messages.push(turn(Role::System, system));
        }
        match gap.after {
            Some(_) => completion_prompt(chat_request, &gap),
            None => chat_request.messages.push(turn(Role::User, prompt)),
        }
        if let Some(last) = chat_request.messages.last_mut() {
            last.parts.extend(images);
        }
    })
}

#[derive(Deserialize)]
struct Show {
    model: Option<String>,
    name: Option<String>,
}

/// Reads the body of `POST /api/show`: the model's name.
pub fn decode_show(body: &[u8]) -> Result<String> {
    let show: Show = json::read(body)?;
    let name = show.model.or(show.name).map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty()).ok_or_else(|| Error::invalid("model", "model is required"))
}

fn turn(role: Role, text: String) -> Message {
    Message { role, parts: vec![Part::Text(text)], ..Message::default() }
}

/// A value of its type; null is as good as absent.
fn typed<T: for<'de> Deserialize<'de>>(param: &str, value: Value) -> Result<Option<T>> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let param = if path == "." { param.to_owned() } else { format!("{param}.{path}") };
        let message = format!("{param}: {}", without_value(&error.into_inner()));
        Error::invalid(param, message)
    })
}

impl Common {
    fn asked(self, is_question: bool, fill: impl FnOnce(&mut ChatRequest)) -> Result<Asked> {
        let model: Option<String> = typed("model", self.model)?;
        let model = model.map(|model| model.trim().to_owned()).filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| Error::invalid("model", "model is required"))?;
        let stream = typed("stream", self.stream)?.unwrap_or(true);
        let shows_thought = self.think != Value::Bool(false);
        if !is_question {
            let is_over = matches!(self.keep_alive, Value::Number(ref time) if time.as_f64() == Some(0.0))
                || matches!(self.keep_alive, Value::String(ref time) if time.trim_start_matches('0').len() <= 1 && time.starts_with('0'));
            let task = Some(if is_over { Task::Unload } else { Task::Load });
            return Ok(Asked { model, chat_request: None, task, stream, shows_thought });
        }
        let options: Options = typed("options", self.options)?.unwrap_or_default();
        let bot = model_name(&model).to_owned();
        let mut chat_request = ChatRequest {
            model: bot.clone(),
            bot,
            reasoning: reasoning(self.think)?,
            format: format(self.format)?,
            choices: 1,
            ..ChatRequest::default()
        };
        chat_request.sampling = sampling(options, &mut chat_request.hints)?;
        fill(&mut chat_request);
        Ok(Asked { model, chat_request: Some(chat_request), task: None, stream, shows_thought })
    }
}

fn sampling(options: Options, hints: &mut Map<String, Value>) -> Result<Sampling> {
    within("options.temperature", options.temperature, 0.0, 2.0)?;
    within("options.top_p", options.top_p, 0.0, 1.0)?;
    *hints = options.rest;
    Ok(Sampling {
        temperature: options.temperature,
        top_p: options.top_p,
        // -1 and -2 stand for no limit
        max_tokens: options.num_predict.and_then(|most| u64::try_from(most).ok()).filter(|most| *most > 0),
        stop: options.stop.map_or(Ok(Vec::new()), |stop| stop.stops(MOST_STOPS))?,
        seed: options.seed,
        presence_penalty: options.presence_penalty,
        frequency_penalty: options.frequency_penalty,
        logit_bias: None,
    })
}

/// `think`: on, off, or how hard.
fn reasoning(think: Value) -> Result<Option<Reasoning>> {
    match think {
        Value::Null => Ok(None),
        Value::Bool(enabled) => Ok(Some(Reasoning { enabled: Some(enabled), ..Reasoning::default() })),
        Value::String(effort) => Ok(Some(Reasoning { effort: Some(effort), ..Reasoning::default() })),
        _ => Err(Error::invalid("think", "think must be true, false or a word such as low")),
    }
}

/// `format`: `"json"` or a JSON Schema.
fn format(format: Value) -> Result<Format> {
    match format {
        Value::Null => Ok(Format::Text),
        Value::String(word) if word.is_empty() => Ok(Format::Text),
        Value::String(word) if word == "json" => Ok(Format::JsonObject),
        schema @ Value::Object(_) => Ok(Format::JsonSchema { name: "answer".into(), schema }),
        _ => Err(Error::invalid("format", "format must be \"json\" or a JSON Schema")),
    }
}

/// Ollama's messages. Its calls have no ids, and results state at most their function's name: each result is that of
/// the first call which has none yet.
fn messages(raw: Vec<RawMessage>) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    for (at, raw) in raw.into_iter().enumerate() {
        let role = match raw.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            other => {
                let param = format!("messages[{at}].role");
                let message = format!("{param} is `{other}`, it must be system, user, assistant or tool");
                return Err(Error::invalid(&param, message));
            }
        };
        let mut parts: Vec<Part> =
            raw.content.into_iter().filter(|text| !text.is_empty()).map(Part::Text).collect();
        for (place, image) in raw.images.into_iter().flatten().enumerate() {
            parts.push(picture(&format!("messages[{at}].images[{place}]"), image)?);
        }
        let mut tool_calls = Vec::new();
        for (place, call) in raw.tool_calls.into_iter().flatten().enumerate() {
            let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{at}_{place}"));
            let arguments = match call.function.arguments {
                Value::String(text) => text,
                Value::Null => "{}".to_owned(),
                value => value.to_string(),
            };
            tool_calls.push(ToolCall { id, name: call.function.name, arguments });
        }
        let (tool_call_id, name) = match role {
            Role::Tool => (raw.tool_call_id, raw.tool_name),
            _ => (None, None),
        };
        messages.push(Message { role, parts, tool_calls, tool_call_id, name });
    }
    name_results(&mut messages);
    let mut called = HashSet::new();
    for (at, message) in messages.iter_mut().enumerate() {
        called.extend(message.tool_calls.iter().map(|call| call.id.clone()));
        message.name = None;
        if message.role == Role::Tool && !message.tool_call_id.as_ref().is_some_and(|id| called.contains(id))
        {
            let param = format!("messages[{at}]");
            let message = format!("{param} is the result of a tool, but no call before it lacks a result");
            return Err(Error::invalid(&param, message));
        }
    }
    Ok(messages)
}

/// A picture: base64, or a data URL as some programs send it.
fn picture(path: &str, image: FileText) -> Result<Part> {
    let source: FileSource = match image.is_data_url() {
        true => data_url(path, image, None)?,
        false => data(path, image, OCTETS.to_owned(), None)?,
    };
    Ok(Part::File(source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chat(more: Value) -> Result<Asked> {
        let mut request = json!({"model": "m:latest", "messages": [{"role": "user", "content": "hi"}]});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read_chat(request.to_string().as_bytes())
    }

    fn generate(body: Value) -> Result<Asked> {
        read_generate(body.to_string().as_bytes())
    }

    #[test]
    fn options_become_parameters() {
        let asked = chat(json!({"think": "high", "format": {"type": "object"}, "keep_alive": "5m", "options": {
            "temperature": 0.5, "top_k": 7, "num_predict": 9, "stop": ["x", ""], "seed": 3, "num_ctx": 4096}})).unwrap();
        assert!(asked.stream && asked.shows_thought);
        let chat_request = asked.chat_request.unwrap();
        assert_eq!(
            (asked.model.as_str(), chat_request.model.as_str(), chat_request.bot.as_str()),
            ("m:latest", "m", "m")
        );
        let sampling = chat_request.sampling;
        assert_eq!((sampling.temperature, sampling.max_tokens, sampling.seed), (Some(0.5), Some(9), Some(3)));
        assert_eq!((sampling.stop, &chat_request.hints["top_k"]), (vec!["x".to_owned()], &json!(7)));
        assert_eq!(chat_request.reasoning.unwrap().effort.as_deref(), Some("high"));
        assert!(matches!(chat_request.format, Format::JsonSchema { .. }));
        let asked = chat(json!({"stream": false, "think": false, "options": {"num_predict": -1}})).unwrap();
        assert!(!asked.stream && !asked.shows_thought);
        let chat_request = asked.chat_request.unwrap();
        assert_eq!(
            (chat_request.sampling.max_tokens, chat_request.reasoning.unwrap().enabled),
            (None, Some(false))
        );
    }

    #[test]
    fn results_find_their_calls() {
        let call = |name: &str| json!({"function": {"name": name, "arguments": {"a": 1}}});
        let asked = chat(json!({"messages": [
            {"role": "user", "content": "x", "images": ["iVBORw0KGgo="]},
            {"role": "assistant", "content": "", "tool_calls": [call("f"), call("g"), call("f")]},
            {"role": "tool", "tool_name": "g", "content": "G"},
            {"role": "tool", "content": "F1"},
            {"role": "tool", "tool_name": "f", "content": "F2"}]}))
        .unwrap();
        let messages = asked.chat_request.unwrap().messages;
        let Part::File(FileSource::Data { content_type, .. }) = &messages[0].parts[1] else {
            panic!("no picture")
        };
        assert_eq!(content_type, "image/png");
        assert_eq!(messages[1].tool_calls[0].arguments, r#"{"a":1}"#);
        let ids: Vec<_> = messages.iter().filter_map(|message| message.tool_call_id.as_deref()).collect();
        assert_eq!(ids, ["call_1_1", "call_1_0", "call_1_2"]);
        crate::pipeline::tools::check_tool_turns(&messages).unwrap();
    }

    #[test]
    fn a_prompt_is_a_chat_or_a_gap() {
        let chat_request =
            generate(json!({"model": "m", "prompt": "p", "system": "s", "images": ["AAEC"], "raw": true}));
        let chat_request = chat_request.unwrap().chat_request.unwrap();
        assert_eq!(
            (
                chat_request.messages[0].text(),
                chat_request.messages[1].text(),
                chat_request.messages[1].parts.len()
            ),
            ("s".into(), "p".into(), 2)
        );
        let chat_request =
            generate(json!({"model": "m", "prompt": "a", "suffix": "b"})).unwrap().chat_request.unwrap();
        assert_eq!(chat_request.messages[1].text(), "a<FILL_HERE/>b");
    }

    #[test]
    fn a_request_without_a_question_is_an_errand() {
        for (body, task) in [
            (json!({"model": "m"}), Task::Load),
            (json!({"model": "m", "prompt": "", "keep_alive": -1}), Task::Load),
            (json!({"model": "m", "keep_alive": 0}), Task::Unload),
            (json!({"model": "m", "keep_alive": "0s"}), Task::Unload),
            (json!({"model": "m", "keep_alive": "10m"}), Task::Load),
        ] {
            let asked = generate(body.clone()).unwrap();
            assert_eq!((asked.chat_request.is_none(), asked.task), (true, Some(task)), "{body}");
        }
        assert_eq!(chat(json!({"messages": []})).unwrap().task, Some(Task::Load));
    }

    #[test]
    fn errors_name_the_field() {
        for (more, param) in [
            (json!({"model": ""}), "model"),
            (json!({"model": 7}), "model"),
            (json!({"stream": "yes"}), "stream"),
            (json!({"think": 7}), "think"),
            (json!({"format": "xml"}), "format"),
            (json!({"options": 7}), "options"),
            (json!({"options": {"temperature": 3}}), "options.temperature"),
            (json!({"messages": [{"role": "king"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "user", "images": ["%"]}]}), "messages[0].images[0]"),
            (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0]"),
            (json!({"messages": [{"role": "user", "content": 7}]}), "messages[0].content"),
        ] {
            assert_eq!(chat(more.clone()).unwrap_err().param.as_deref(), Some(param), "{more}");
        }
    }
}
