//! A Messages request as an `Ask`. Unknown fields are ignored, or hints to the model where it declares them.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::content::{Content, Turns};
use crate::dialect::json;
use crate::error::{Error, Kind, Result};
use crate::exchange::{Ask, Format, Message, Reasoning, Sampling, Tool, ToolChoice};

/// A decoded request: what is asked, and how the answer is to be rendered.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub ask: Ask,
    /// As server-sent events.
    pub stream: bool,
    /// The client asked for thought and will not take it for the answer.
    pub shows_thought: bool,
}

/// What a request is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be answered.
    Answer,
    /// To be counted: nothing limits an answer that is not given.
    Count,
}

/// Reads a request's body. Errors name the field, as a path such as `messages.0.content.1.type`.
pub fn read(body: &[u8], purpose: Purpose) -> Result<Request> {
    let raw: Raw = json::read(body).map_err(dotted)?;
    raw.into_request(purpose)
}

/// The most stop texts: every piece of the answer is compared with all of them.
const MOST_STOPS: usize = 64;

#[derive(Deserialize)]
struct Raw {
    model: Option<String>,
    messages: Option<Vec<RawMessage>>,
    #[serde(default)]
    system: Content,
    max_tokens: Option<u64>,
    stream: Option<bool>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    stop_sequences: Option<Vec<String>>,
    tools: Option<Vec<RawTool>>,
    tool_choice: Option<RawToolChoice>,
    thinking: Option<RawThinking>,
    output_config: Option<RawOutput>,
    output_format: Option<RawFormat>,
    thread: Option<Value>,
    poe: Option<RawPoe>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct RawMessage {
    role: Option<String>,
    #[serde(default)]
    content: Content,
}

#[derive(Deserialize)]
struct RawTool {
    r#type: Option<String>,
    name: Option<String>,
    description: Option<String>,
    input_schema: Option<Value>,
}

#[derive(Deserialize)]
struct RawToolChoice {
    r#type: Option<String>,
    name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Deserialize)]
struct RawThinking {
    r#type: Option<String>,
    budget_tokens: Option<u64>,
    display: Option<String>,
}

#[derive(Deserialize)]
struct RawOutput {
    effort: Option<String>,
    format: Option<RawFormat>,
}

#[derive(Deserialize)]
struct RawFormat {
    r#type: Option<String>,
    schema: Option<Value>,
}

#[derive(Deserialize)]
struct RawPoe {
    parameters: Option<Map<String, Value>>,
}

impl Raw {
    fn into_request(mut self, purpose: Purpose) -> Result<Request> {
        let model = self.model.take().map(|model| model.trim().to_owned()).filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| required("model"))?;
        if self.thread.as_ref().is_some_and(|thread| !thread.is_null()) {
            let message = "thread: conversations are not kept here; send all messages without `thread`";
            return Err(Error::new(Kind::ThreadUnsupported, message).about("thread"));
        }
        let messages = self.messages()?;
        let sampling = self.sampling(purpose)?;
        let tools = self.tools()?;
        let (tool_choice, parallel_tool_calls) = self.tool_choice(&tools)?;
        let (reasoning, shows_thought) = self.reasoning();
        let ask = Ask {
            bot: model.clone(),
            model,
            messages,
            tools: tools.offered,
            tool_choice,
            parallel_tool_calls,
            sampling,
            reasoning,
            format: self.format()?,
            parameters: self.poe.take().and_then(|poe| poe.parameters).unwrap_or_default(),
            choices: 1,
            hints: self.hints(tools.searches),
        };
        Ok(Request { ask, stream: self.stream.unwrap_or(false), shows_thought })
    }

    fn messages(&mut self) -> Result<Vec<Message>> {
        let raw = self.messages.take().ok_or_else(|| required("messages"))?;
        if raw.is_empty() {
            return Err(Error::invalid("messages", "messages: at least one message is required"));
        }
        let mut turns = Turns::default();
        turns.instruct(std::mem::take(&mut self.system))?;
        for (position, message) in raw.into_iter().enumerate() {
            let path = format!("messages.{position}");
            let role = message.role.ok_or_else(|| required(&format!("{path}.role")))?;
            turns.push(&path, &role, message.content)?;
        }
        Ok(turns.finish())
    }

    fn sampling(&mut self, purpose: Purpose) -> Result<Sampling> {
        // Anthropic's own go to 1, the bots' to 2
        within("temperature", self.temperature, 2.0)?;
        within("top_p", self.top_p, 1.0)?;
        match (self.max_tokens, purpose) {
            (None, Purpose::Answer) => return Err(required("max_tokens")),
            (Some(0), Purpose::Answer) => {
                return Err(Error::invalid(
                    "max_tokens",
                    "max_tokens: must be greater than or equal to 1: there is no cache to warm up here",
                ));
            }
            _ => {}
        }
        let mut stop = self.stop_sequences.take().unwrap_or_default();
        stop.retain(|stop| !stop.is_empty());
        if stop.len() > MOST_STOPS {
            let fault = format!("stop_sequences: at most {MOST_STOPS} texts");
            return Err(Error::invalid("stop_sequences", fault));
        }
        Ok(Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_tokens: self.max_tokens,
            stop,
            ..Sampling::default()
        })
    }

    fn tools(&mut self) -> Result<Tools> {
        let mut tools = Tools::default();
        for (position, tool) in self.tools.take().into_iter().flatten().enumerate() {
            match tool.r#type.as_deref() {
                None | Some("custom" | "function") => {
                    let name = tool.name.filter(|name| !name.is_empty());
                    let name = name.ok_or_else(|| required(&format!("tools.{position}.name")))?;
                    let RawTool { description, input_schema: parameters, .. } = tool;
                    tools.offered.push(Tool { name, description, parameters });
                }
                Some(kind) => {
                    log::debug!("a tool of type {kind} was ignored: only Anthropic's servers have it");
                    tools.searches |= kind.starts_with("web_search");
                    tools.ignored.extend(tool.name);
                }
            }
        }
        Ok(tools)
    }

    /// Whether tools are called, and whether several at a time.
    fn tool_choice(&mut self, tools: &Tools) -> Result<(ToolChoice, Option<bool>)> {
        let Some(choice) = self.tool_choice.take() else { return Ok((ToolChoice::Auto, None)) };
        let parallel = (choice.disable_parallel_tool_use == Some(true)).then_some(false);
        let choice = match (choice.r#type.as_deref(), choice.name) {
            (Some("auto"), _) => ToolChoice::Auto,
            (Some("none"), _) => ToolChoice::None,
            // nothing that was offered can be called
            (Some("any"), _) if tools.offered.is_empty() => ToolChoice::Auto,
            (Some("any"), _) => ToolChoice::Required,
            (Some("tool"), Some(name)) if tools.ignored.contains(&name) => ToolChoice::Auto,
            (Some("tool"), Some(name)) if tools.offered.iter().any(|tool| tool.name == name) => {
                ToolChoice::Named(name)
            }
            (Some("tool"), Some(name)) => {
                let fault = format!("tool_choice.name: Tool '{name:.64}' not found in provided tools");
                return Err(Error::invalid("tool_choice.name", fault));
            }
            (Some("tool"), None) => return Err(required("tool_choice.name")),
            _ => {
                let fault = "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'";
                return Err(Error::invalid("tool_choice.type", fault));
            }
        };
        Ok((choice, parallel))
    }

    /// How hard to think, and whether to show it.
    fn reasoning(&mut self) -> (Option<Reasoning>, bool) {
        let effort = self.output_config.as_mut().and_then(|output| output.effort.take());
        let mut wish = Reasoning { effort, ..Reasoning::default() };
        let mut is_shown = false;
        if let Some(thinking) = self.thinking.take() {
            wish.enabled = Some(thinking.r#type.as_deref() != Some("disabled"));
            // a word and a number together: the word is the newer way
            wish.budget = thinking.budget_tokens.filter(|_| wish.effort.is_none());
            is_shown = wish.enabled == Some(true) && thinking.display.as_deref() != Some("omitted");
        }
        ((wish != Reasoning::default()).then_some(wish), is_shown)
    }

    fn format(&mut self) -> Result<Format> {
        let format = self.output_config.take().and_then(|output| output.format);
        let Some(format) = format.or(self.output_format.take()) else { return Ok(Format::Text) };
        match (format.r#type.as_deref(), format.schema) {
            (Some("json_schema"), Some(schema)) => Ok(Format::JsonSchema { name: "answer".into(), schema }),
            (Some("json_schema"), None) => Err(required("output_config.format.schema")),
            (Some("text") | None, _) => Ok(Format::Text),
            _ => {
                let fault = "output_config.format.type: Input should be 'json_schema'";
                Err(Error::invalid("output_config.format.type", fault))
            }
        }
    }

    /// What may be one of the model's own parameters.
    fn hints(&mut self, searches: bool) -> Map<String, Value> {
        let mut hints = std::mem::take(&mut self.rest);
        hints.remove("metadata"); // names the user to Anthropic, and is nobody else's business
        if searches {
            hints.insert("web_search_options".into(), Map::new().into());
        }
        hints
    }
}

/// The tools of a request.
#[derive(Default)]
struct Tools {
    offered: Vec<Tool>,
    /// The names of those that only Anthropic's servers have.
    ignored: Vec<String>,
    /// One of them searches the web, which many models can do by themselves.
    searches: bool,
}

fn required(path: &str) -> Error {
    Error::invalid(path, format!("{path}: Field required"))
}

fn within(param: &str, value: Option<f64>, most: f64) -> Result<()> {
    match value {
        Some(value) if !(0.0..=most).contains(&value) => {
            Err(Error::invalid(param, format!("{param}: {value} is not between 0 and {most}")))
        }
        _ => Ok(()),
    }
}

/// The same error with its path as Anthropic writes it: `messages.0.content` for `messages[0].content`.
fn dotted(mut error: Error) -> Error {
    let Some(path) = &error.param else { return error };
    let dotted = path.replace('[', ".").replace(']', "");
    if let Some(rest) = error.message.strip_prefix(path.as_str()) {
        error.message = format!("{dotted}{rest}");
    }
    error.param = Some(dotted);
    error
}
