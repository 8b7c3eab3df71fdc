//! Decodes a Messages request. Unknown fields are ignored, or passed on where the model declares them.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::content::{Block, Turns};
use super::known;
use crate::dialect::chat::MOST_STOP_BYTES;
use crate::dialect::content::Content;
use crate::dialect::{json, numbers, thinking, tools};
use crate::error::{Error, Kind, Result};
use crate::pipeline::{ChatRequest, Format, Message, Reasoning, Sampling, Tool, ToolChoice};

/// A decoded request: what is asked, and how the answer is to be rendered.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub chat: ChatRequest,
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
    system: Content<Block>,
    #[serde(default, deserialize_with = "numbers::limit")]
    max_tokens: Option<u64>,
    stream: Option<bool>,
    #[serde(default, deserialize_with = "numbers::real")]
    temperature: Option<f64>,
    #[serde(default, deserialize_with = "numbers::real")]
    top_p: Option<f64>,
    stop_sequences: Option<Vec<String>>,
    tools: Option<Vec<Value>>,
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
    content: Content<Block>,
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
    #[serde(default, deserialize_with = "numbers::limit")]
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
        let (reasoning, shows_thought) = self.reasoning()?;
        let chat = ChatRequest {
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
        Ok(Request { chat, stream: self.stream.unwrap_or(false), shows_thought })
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
                    "max_tokens: must be greater than or equal to 1: cache warm-up is not supported",
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
        if let Some(at) = stop.iter().position(|stop| stop.len() > MOST_STOP_BYTES) {
            let path = format!("stop_sequences.{at}");
            let fault = format!("{path}: String should have at most {MOST_STOP_BYTES} bytes");
            return Err(Error::invalid(path, fault));
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
        let mut offered = Tools::default();
        for (position, tool) in self.tools.take().into_iter().flatten().enumerate() {
            let path = format!("tools.{position}");
            let name = tool.get("name").and_then(Value::as_str);
            match tool.get("type").and_then(Value::as_str) {
                None | Some("custom" | "function") => offered.offered.push(tools::function(&path, &tool)?),
                Some(kind) => {
                    // one of a family, for its schema is much longer than its name
                    let known = known::tool(kind, name.unwrap_or(kind))
                        .filter(|(_, family)| !offered.known.contains(family));
                    if let Some((tool, family)) = known {
                        offered.offered.push(tool);
                        offered.known.push(family);
                        continue;
                    }
                    log::debug!("a tool of type {kind} was ignored: only Anthropic's servers have it");
                    offered.searches |= kind.starts_with("web_search");
                    offered.ignored.extend(name.map(str::to_owned));
                }
            }
        }
        Ok(offered)
    }

    /// Whether tools are called, and whether several at a time.
    fn tool_choice(&mut self, tools: &Tools) -> Result<(ToolChoice, Option<bool>)> {
        let Some(choice) = self.tool_choice.take() else { return Ok((ToolChoice::Auto, None)) };
        let parallel = choice.disable_parallel_tool_use.map(|is_disabled| !is_disabled);
        let choice = match (choice.r#type.as_deref(), choice.name) {
            (Some("auto"), _) => ToolChoice::Auto,
            (Some("none"), _) => ToolChoice::None,
            // what Anthropic's servers have a native endpoint may have, too
            (Some("any"), _) if tools.offered.is_empty() && !tools.ignored.is_empty() => {
                ToolChoice::Named(tools.ignored.join(", "))
            }
            (Some("any"), _) if tools.offered.is_empty() => ToolChoice::Auto,
            (Some("any"), _) => ToolChoice::Required,
            (Some("tool"), Some(name))
                if tools.ignored.contains(&name) || tools.offered.iter().any(|tool| tool.name == name) =>
            {
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
    fn reasoning(&mut self) -> Result<(Option<Reasoning>, bool)> {
        let effort = self.output_config.as_mut().and_then(|output| output.effort.take());
        let mut reasoning_setting = Reasoning { effort, ..Reasoning::default() };
        let mut is_shown = false;
        if let Some(thinking) = self.thinking.take() {
            reasoning_setting.enabled = match thinking.r#type.as_deref() {
                Some("enabled" | "adaptive") => Some(true),
                Some("disabled") => Some(false),
                _ => {
                    let fault = "thinking.type: Input should be 'enabled', 'adaptive' or 'disabled'";
                    return Err(Error::invalid("thinking.type", fault));
                }
            };
            reasoning_setting.budget = thinking.budget_tokens;
            is_shown =
                reasoning_setting.enabled == Some(true) && thinking.display.as_deref() != Some("omitted");
        }
        Ok((thinking::read(reasoning_setting, None, &self.rest), is_shown))
    }

    fn format(&mut self) -> Result<Format> {
        let format = self.output_config.take().and_then(|output| output.format);
        let Some(format) = format.or(self.output_format.take()) else { return Ok(Format::Text) };
        match (format.r#type.as_deref(), format.schema) {
            (Some("json_schema"), Some(schema)) if !schema.is_object() => Err(Error::invalid(
                "output_config.format.schema",
                "output_config.format.schema: Input should be an object",
            )),
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
        hints.remove("metadata"); // identifies the user to Anthropic only
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
    /// The families of those whose schemas only Anthropic's models know.
    known: Vec<&'static str>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{FileSource, Part, Role};
    use serde_json::json;

    fn read_value(value: Value) -> Result<Request> {
        read(value.to_string().as_bytes(), Purpose::Answer)
    }

    fn with(field: &str, value: Value) -> Result<Request> {
        let mut request =
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]});
        request[field] = value;
        read_value(request)
    }

    fn turns(messages: Value) -> Result<Vec<Message>> {
        with("messages", messages).map(|request| request.chat.messages)
    }

    fn rendered(messages: &[Message]) -> Vec<(Role, String)> {
        messages.iter().map(|message| (message.role, message.text())).collect()
    }

    fn fault(outcome: Result<impl std::fmt::Debug>) -> (String, String) {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, Kind::InvalidRequest);
        (error.param.unwrap_or_default(), error.message)
    }

    #[test]
    fn content_as_string_and_as_blocks_and_the_system_before_it() {
        let request = read_value(json!({
            "model": " m ", "max_tokens": 5, "stream": true,
            "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=1"},
                       {"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": ""}]},
                {"role": "assistant", "content": "b"},
                {"role": "user", "content": "c"}],
        }))
        .unwrap();
        assert!(request.stream && !request.shows_thought);
        assert_eq!((request.chat.model.as_str(), request.chat.sampling.max_tokens), ("m", Some(5)));
        let expected =
            [(Role::System, "be brief"), (Role::User, "a"), (Role::Assistant, "b"), (Role::User, "c")];
        assert_eq!(rendered(&request.chat.messages), expected.map(|(role, text)| (role, text.to_owned())));
        assert_eq!(request.chat.messages[1].parts.len(), 1, "empty blocks are dropped");
        let plain = with("system", json!("be kind")).unwrap();
        assert_eq!(plain.chat.messages[0].text(), "be kind");
    }

    #[test]
    fn errors_name_the_field_as_anthropic_does() {
        let block = |block: Value| turns(json!([{"role": "user", "content": ["x", block]}]));
        let rows = [
            (
                fault(read_value(json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}))),
                "max_tokens",
            ),
            (fault(read_value(json!({"max_tokens": 1, "messages": []}))), "model"),
            (fault(read_value(json!({"model": "m", "max_tokens": 1}))), "messages"),
            (fault(with("messages", json!([]))), "messages"),
            (fault(with("max_tokens", json!(0))), "max_tokens"),
            (fault(with("max_tokens", json!("many"))), "max_tokens"),
            (fault(with("temperature", json!(3))), "temperature"),
            (fault(with("tools", json!([{"input_schema": {}}]))), "tools.0.name"),
            (fault(with("tool_choice", json!({"type": "some"}))), "tool_choice.type"),
            (fault(with("tool_choice", json!({"type": "tool"}))), "tool_choice.name"),
            (fault(with("tool_choice", json!({"type": "tool", "name": "f"}))), "tool_choice.name"),
            (fault(with("stop_sequences", json!([1]))), "stop_sequences.0"),
            (fault(with("output_config", json!({"format": {"type": "xml"}}))), "output_config.format.type"),
            (fault(turns(json!([{"role": "tool", "content": "x"}]))), "messages.0.role"),
            (fault(turns(json!([{"content": "x"}]))), "messages.0.role"),
            (fault(turns(json!([{"role": "user", "content": 7}]))), "messages.0.content"),
            (fault(turns(json!([{"role": "user"}]))), "messages.0.content"),
            (
                fault(turns(json!([{"role": "user", "content": {"type": "text", "text": "lost"}}]))),
                "messages.0.content",
            ),
            (fault(with("stop_sequences", json!(["a", "b".repeat(1001)]))), "stop_sequences.1"),
            (fault(with("tools", json!([{"name": "f", "input_schema": 7}]))), "tools.0.input_schema"),
            (fault(with("thinking", json!({"type": "some"}))), "thinking.type"),
            (
                fault(with("output_config", json!({"format": {"type": "json_schema", "schema": 7}}))),
                "output_config.format.schema",
            ),
        ];
        for ((param, message), expected) in rows {
            assert_eq!(param, expected, "{message}");
            assert!(message.starts_with(expected), "{message}");
        }
        assert!(block(json!("y")).is_err(), "a block is an object");
        let rows = [
            (json!({"type": "picture"}), "messages.0.content.0.type"),
            (json!({"type": "text"}), "messages.0.content.0.text"),
            (json!({"type": "image"}), "messages.0.content.0.source"),
            (
                json!({"type": "image", "source": {"type": "base64", "data": "!"}}),
                "messages.0.content.0.source.data",
            ),
            (json!({"type": "image", "source": {"type": "url"}}), "messages.0.content.0.source.url"),
            (
                json!({"type": "image", "source": {"type": "url", "url": "file:///x"}}),
                "messages.0.content.0.source.url",
            ),
            (
                json!({"type": "document", "source": {"type": "file", "file_id": "f"}}),
                "messages.0.content.0.source.type",
            ),
            (json!({"type": "tool_result"}), "messages.0.content.0.tool_use_id"),
            (json!({"type": "tool_result", "tool_use_id": "c"}), "messages.0.content.0"),
        ];
        for (block, expected) in rows {
            let (param, message) = fault(turns(json!([{"role": "user", "content": [block]}])));
            assert_eq!(param, expected, "{message}");
            assert!(message.starts_with(expected), "{message}");
        }
        let call = json!([{"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]}]);
        assert_eq!(fault(turns(call)).0, "messages.0.content.0.id");
        let typed = json!([{"role": "user", "content": "x"}, {"role": "user", "content": [{"type": "text", "text": 1}]}]);
        assert_eq!(fault(turns(typed)).0, "messages.1.content.0.text");
        assert_eq!(fault(read(b"{", Purpose::Answer)).0, "");
    }

    #[test]
    fn a_result_that_is_an_object_reaches_the_bot() {
        let call = json!([{"type": "tool_use", "id": "c", "name": "f", "input": {}}]);
        let result = json!([{"type": "tool_result", "tool_use_id": "c", "content": {"temp": 21}}]);
        let messages =
            turns(json!([{"role": "assistant", "content": call}, {"role": "user", "content": result}]));
        assert_eq!(messages.unwrap()[1].text(), r#"{"temp":21}"#);
    }

    #[test]
    fn a_thread_is_not_kept() {
        let error = with("thread", json!({"type": "create"})).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (Kind::ThreadUnsupported, Some("thread")));
        assert!(with("thread", Value::Null).is_ok());
    }

    #[test]
    fn what_is_counted_needs_no_limit() {
        let body = br#"{"model": "m", "messages": [{"role": "user", "content": "x"}]}"#;
        assert!(read(body, Purpose::Count).is_ok());
    }

    #[test]
    fn calls_and_results_come_before_what_the_user_says() {
        let messages = turns(json!([
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"b": 1, "a": [2]}},
                {"type": "tool_use", "id": "c2", "name": "g", "input": {}, "caller": {"type": "direct"}}]},
            {"role": "user", "content": [
                {"type": "text", "text": "and now?"},
                {"type": "tool_result", "tool_use_id": "c2", "is_error": true, "content": "no such file"},
                {"type": "tool_result", "tool_use_id": "c1", "content": [
                    {"type": "text", "text": "one"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAEC"}}]},
                {"type": "text", "text": "<system-reminder>be quick</system-reminder>"}]},
        ]))
        .unwrap();
        let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::Tool, Role::User]);
        assert_eq!(messages[1].text(), "I look.");
        let calls: Vec<_> = messages[1].tool_calls.iter().map(|call| call.arguments.as_str()).collect();
        assert_eq!(calls, ["{\"b\":1,\"a\":[2]}", "{}"]);
        assert_eq!(messages[2].tool_call_id.as_deref(), Some("c2"));
        assert_eq!(messages[2].text(), "Error:\nno such file");
        assert_eq!(messages[3].text(), "one\n<system-reminder>be quick</system-reminder>");
        assert!(
            matches!(&messages[3].parts[1], Part::File(FileSource::Data { content_type, .. }) if content_type == "image/png")
        );
        assert_eq!(messages[4].text(), "and now?");
    }

    #[test]
    fn an_error_that_says_so_is_not_called_one_twice() {
        let result = |content: Value| {
            turns(json!([
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "c", "is_error": true, "content": content}]}]))
            .unwrap()[1]
                .text()
        };
        assert_eq!(
            result(json!("<tool_use_error>no</tool_use_error>")),
            "<tool_use_error>no</tool_use_error>"
        );
        assert_eq!(result(Value::Null), "Error:");
    }

    #[test]
    fn turns_of_one_speaker_are_one() {
        let messages = turns(json!([
            {"role": "user", "content": "a"}, {"role": "user", "content": "b"},
            {"role": "assistant", "content": "c"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": "{}"}]},
            {"role": "user", "content": "d"},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]},
        ]))
        .unwrap();
        let texts = rendered(&messages);
        let expected = [(Role::User, "a\nb"), (Role::Assistant, "c"), (Role::Tool, ""), (Role::User, "d")];
        assert_eq!(texts, expected.map(|(role, text)| (role, text.to_owned())));
        assert_eq!(messages[1].tool_calls[0].arguments, "{}");
    }

    #[test]
    fn instructions_in_the_middle_stand_before_the_question() {
        let messages = turns(json!([
            {"role": "user", "content": "a"},
            {"role": "system", "content": "first"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "r"}]},
            {"role": "system", "content": [{"type": "text", "text": "second"}]},
            {"role": "system", "content": "third"},
        ]))
        .unwrap();
        let texts: Vec<String> = messages.iter().map(Message::text).collect();
        assert_eq!(texts, ["first", "a", "", "second\nthird", "r"]);
    }

    #[test]
    fn an_answer_that_has_begun_is_asked_to_go_on() {
        let begun = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "It is ("}]);
        let messages = turns(begun).unwrap();
        assert_eq!((messages.len(), messages[2].role), (3, Role::User));
        assert!(messages[2].text().starts_with("Go on"));
        let called = json!([{"role": "assistant", "content": [
            {"type": "text", "text": "x"}, {"type": "tool_use", "id": "1", "name": "f", "input": {}}]}]);
        assert_eq!(turns(called).unwrap().len(), 1);
    }

    #[test]
    fn files_in_every_form() {
        let pdf = json!({"type": "base64", "media_type": "application/pdf", "data": "AAEC"});
        let content = json!([
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "data:image/gif;base64,AAEC"}},
            {"type": "document", "source": pdf, "title": "a.pdf", "context": "of May",
             "citations": {"enabled": true}, "cache_control": {"type": "ephemeral"}},
            {"type": "document", "source": {"type": "url", "url": "https://x/b.pdf"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}, "title": "t"},
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "inner"}]}},
            {"type": "search_result", "source": "https://x", "title": "found", "content": [{"type": "text", "text": "it"}]},
        ]);
        let messages = turns(json!([{"role": "user", "content": content}])).unwrap();
        let said = messages[0].parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::File(FileSource::Link { url, .. }) => url.clone(),
            Part::File(FileSource::Data { content_type, name, .. }) => format!("{content_type} {name:?}"),
            Part::File(other) => panic!("{other:?}"),
        });
        let expected = [
            "https://x/y.png",
            "image/gif None",
            "of May",
            "application/pdf Some(\"a.pdf\")",
            "https://x/b.pdf",
            "t",
            "plain",
            "inner",
            "found\nhttps://x",
            "it",
        ];
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn of_blocks_of_anthropics_own_servers_the_results_are_kept_as_text() {
        let content = json!([
            {"type": "text", "text": "a"},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": [
                {"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "e", "page_age": null}]},
            {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {"type": "error", "error_code": "x"}},
            {"type": "compaction", "content": "so far"},
        ]);
        let messages =
            turns(json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": content},
            {"role": "user", "content": "y"}]))
            .unwrap();
        let results = "[web_search_tool_result]\nt\nu\n[code_execution_tool_result]\nx";
        assert_eq!(messages[1].text(), format!("a\n{results}\nso far"));
    }

    #[test]
    fn tools_of_clients_are_offered_and_those_of_servers_are_not() {
        let tools = json!([
            {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}, "strict": true,
             "eager_input_streaming": true, "defer_loading": false, "cache_control": {"type": "ephemeral"},
             "input_examples": [{}]},
            {"type": "custom", "name": "g"},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
            {"type": "code_execution_20250825", "name": "code_execution"},
            {"type": "bash_20250124", "name": "bash"},
        ]);
        let request = |choice: Value| {
            read_value(json!({"model": "m", "max_tokens": 1, "tools": tools, "tool_choice": choice,
                "messages": [{"role": "user", "content": "x"}]}))
            .unwrap()
            .chat
        };
        let chat = request(json!({"type": "auto", "disable_parallel_tool_use": true}));
        assert_eq!(chat.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["f", "g", "bash"]);
        assert_eq!(chat.tools[0].parameters, Some(json!({"type": "object", "properties": {}})));
        assert_eq!((chat.tool_choice, chat.parallel_tool_calls), (ToolChoice::Auto, Some(false)));
        assert_eq!(chat.hints, *json!({"web_search_options": {}}).as_object().unwrap());
        let rows = [
            (json!({"type": "any"}), ToolChoice::Required),
            (json!({"type": "none"}), ToolChoice::None),
            (json!({"type": "tool", "name": "g"}), ToolChoice::Named("g".into())),
            (json!({"type": "tool", "name": "web_search"}), ToolChoice::Named("web_search".into())),
            (Value::Null, ToolChoice::Auto),
        ];
        for (choice, expected) in rows {
            let chat = request(choice);
            assert_eq!((chat.tool_choice, chat.parallel_tool_calls), (expected, None));
        }
        let chat = request(json!({"type": "auto", "disable_parallel_tool_use": false}));
        assert_eq!(chat.parallel_tool_calls, Some(true));
        let alone = with("tool_choice", json!({"type": "any"})).unwrap();
        assert_eq!(alone.chat.tool_choice, ToolChoice::Auto);
    }

    #[test]
    fn every_way_to_say_how_hard_to_think() {
        let reasoning_setting = |thinking: Value, output: Value| {
            let request = read_value(json!({"model": "m", "max_tokens": 9, "thinking": thinking,
                "output_config": output, "messages": [{"role": "user", "content": "x"}]}))
            .unwrap();
            (request.chat.reasoning, request.shows_thought)
        };
        let some = |effort: Option<&str>, budget, enabled| {
            Some(Reasoning { effort: effort.map(Into::into), budget, enabled })
        };
        let rows = [
            (Value::Null, Value::Null, (None, false)),
            (
                json!({"type": "enabled", "budget_tokens": 1024}),
                Value::Null,
                (some(None, Some(1024), Some(true)), true),
            ),
            (json!({"type": "adaptive"}), Value::Null, (some(None, None, Some(true)), true)),
            (
                json!({"type": "adaptive"}),
                json!({"effort": "max"}),
                (some(Some("max"), None, Some(true)), true),
            ),
            (
                json!({"type": "adaptive", "display": "omitted"}),
                Value::Null,
                (some(None, None, Some(true)), false),
            ),
            (
                json!({"type": "disabled"}),
                json!({"effort": "low"}),
                (some(Some("low"), None, Some(false)), false),
            ),
            (Value::Null, json!({"effort": "low"}), (some(Some("low"), None, None), false)),
        ];
        for (thinking, output, expected) in rows {
            assert_eq!(reasoning_setting(thinking.clone(), output), expected, "{thinking}");
        }
    }

    #[test]
    fn sampling_format_and_the_models_own_parameters() {
        let schema = json!({"type": "object"});
        let request =
            read_value(json!({"model": "m", "max_tokens": 9, "temperature": 1, "top_p": 0.5, "top_k": 4,
            "stop_sequences": ["END", ""], "metadata": {"user_id": "u"}, "service_tier": "auto",
            "output_config": {"format": {"type": "json_schema", "schema": schema}},
            "poe": {"parameters": {"aspect_ratio": "1:1"}}, "messages": [{"role": "user", "content": "x"}]}))
            .unwrap();
        let chat = request.chat;
        assert_eq!((chat.sampling.temperature, chat.sampling.top_p), (Some(1.0), Some(0.5)));
        assert_eq!(chat.sampling.stop, ["END"]);
        assert_eq!(chat.hints, *json!({"top_k": 4, "service_tier": "auto"}).as_object().unwrap());
        assert_eq!(chat.parameters, *json!({"aspect_ratio": "1:1"}).as_object().unwrap());
        assert!(matches!(chat.format, Format::JsonSchema { schema: found, .. } if found == schema));
        let older = with("output_format", json!({"type": "json_schema", "schema": {}})).unwrap();
        assert!(matches!(older.chat.format, Format::JsonSchema { .. }));
        assert!(with("stop_sequences", json!(vec!["x"; 65])).is_err());
    }
}
