//! Decodes the items of a conversation as turns: messages, calls and their results. Reasoning and unknown items are skipped.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::compaction;
use super::tools::Names;
use crate::dialect::content::{Audio, Content, Url};
use crate::dialect::files::{OCTETS, by_url, content_type_of, data, data_url};
use crate::dialect::{custom, json, unknown};
use crate::error::{Error, Result};
use crate::pipeline::{Message, Part, Role, ToolCall};

/// The turns of a conversation, as far as they have been read.
pub struct Conversation<'a> {
    /// The turns so far, oldest first.
    pub messages: Vec<Message>,
    names: &'a Names,
    called: HashSet<String>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawMessage {
    role: String,
    #[serde(default)]
    content: Content<RawPart>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawCall {
    call_id: Option<String>,
    id: Option<String>,
    name: String,
    namespace: Option<String>,
    #[serde(default)]
    arguments: Value,
    #[serde(default)]
    input: String,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawOutput {
    call_id: Option<String>,
    #[serde(default)]
    output: Content<RawPart>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawPart {
    r#type: Option<String>,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<Url>,
    file_id: Option<String>,
    file_data: Option<String>,
    file_url: Option<String>,
    filename: Option<String>,
    input_audio: Option<Audio>,
}

/// How the id of a call begins that has none.
const UNNAMED: &str = "call_unnamed_";

impl<'a> Conversation<'a> {
    /// An empty one, in which the client calls its tools by `names`.
    pub fn new(names: &'a Names) -> Conversation<'a> {
        Conversation { messages: Vec::new(), names, called: HashSet::new() }
    }

    /// Adds the item at `path` of the request.
    pub fn add(&mut self, path: &str, item: &Value) -> Result<()> {
        if item.get("type").is_some_and(|kind| !kind.is_string() && !kind.is_null()) {
            let param = format!("{path}.type");
            return Err(Error::invalid(&param, format!("{param} must be a string")));
        }
        match kind(item) {
            "message" => self.message(path, json::read_value(path, item)?),
            "function_call" => {
                let raw: RawCall = json::read_value(path, item)?;
                let arguments = match raw.arguments {
                    Value::String(ref text) => text.clone(),
                    Value::Null => String::new(),
                    ref value => value.to_string(),
                };
                self.call(raw, arguments, false)
            }
            "custom_tool_call" => {
                let raw: RawCall = json::read_value(path, item)?;
                let arguments = custom::wrapped(&raw.input);
                self.call(raw, arguments, true)
            }
            "function_call_output" | "custom_tool_call_output" => {
                self.output(path, json::read_value(path, item)?)
            }
            "compaction" | "compaction_summary" => {
                self.messages.extend(compaction::opened(item));
                Ok(())
            }
            "image_generation_call" => self.picture(path, item),
            // bots do not take their thoughts back; tools are read with the others
            "reasoning" | "additional_tools" | "item_reference" => Ok(()),
            other => {
                match unknown::text(item) {
                    text if text.is_empty() => {
                        log::debug!("{path} was ignored: bots do not support items of type {other:?}");
                    }
                    text => self
                        .messages
                        .push(Message { parts: vec![unknown::marked(other, &text)], ..Message::default() }),
                }
                Ok(())
            }
        }
    }

    /// A picture of an earlier answer: `result` is its base64, or a link.
    fn picture(&mut self, path: &str, item: &Value) -> Result<()> {
        let Some(result) = item.get("result").and_then(Value::as_str).filter(|result| !result.is_empty())
        else {
            log::debug!("{path} was ignored: it has no picture");
            return Ok(());
        };
        let path = format!("{path}.result");
        let source = match result.split_once(':') {
            Some(_) => by_url(&path, result.to_owned(), None)?,
            None => data(&path, result, "image/png".to_owned(), None)?,
        };
        let parts = vec![Part::File(source)];
        match self.messages.last_mut() {
            Some(last) if last.role == Role::Assistant => last.parts.extend(parts),
            _ => self.messages.push(Message { role: Role::Assistant, parts, ..Message::default() }),
        }
        Ok(())
    }

    /// Adds an item that was kept, or of it what can be read: the client cannot mend it any more.
    pub fn recall(&mut self, item: &Value) {
        const PATH: &str = "previous_response_id";
        let Err(error) = self.add(PATH, item) else { return };
        let mut rest = item.clone();
        for field in ["content", "output"] {
            if let Some(parts) = rest.get_mut(field).and_then(Value::as_array_mut) {
                parts.retain(is_readable);
            }
        }
        let is_lost = self.add(PATH, &rest).is_err();
        log::debug!("{} of a stored item was ignored: {error}", if is_lost { "all" } else { "a part" });
    }

    fn message(&mut self, path: &str, raw: RawMessage) -> Result<()> {
        let role = match raw.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            other => {
                let param = format!("{path}.role");
                let known = "system, developer, user or assistant";
                return Err(Error::invalid(&param, format!("{param} is `{other}`, it must be {known}")));
            }
        };
        let parts = raw.content.parts(&format!("{path}.content"))?;
        match self.messages.last_mut() {
            // one answer of the bot: calls, and text after them
            Some(last) if role == Role::Assistant && !last.tool_calls.is_empty() => last.parts.extend(parts),
            _ => self.messages.push(Message { role, parts, ..Message::default() }),
        }
        Ok(())
    }

    fn call(&mut self, raw: RawCall, arguments: String, is_custom: bool) -> Result<()> {
        let is_said = |id: &String| !id.is_empty();
        // the first result without an id is that of the first such call
        let id = raw.call_id.filter(is_said).or(raw.id.filter(is_said));
        let id = id.unwrap_or_else(|| format!("{UNNAMED}{}", self.called.len()));
        let name = self.names.offered(&raw.name, raw.namespace.as_deref(), is_custom);
        let is_bare = self.names.is_custom(&name) && !custom::is_wrapped(&arguments);
        let arguments = if is_bare { custom::wrapped(&arguments) } else { arguments };
        self.called.insert(id.clone());
        let call = ToolCall { id, name, arguments };
        match self.messages.last_mut() {
            Some(last) if last.role == Role::Assistant => last.tool_calls.push(call),
            _ => self.messages.push(Message {
                role: Role::Assistant,
                tool_calls: vec![call],
                ..Message::default()
            }),
        }
        Ok(())
    }

    fn output(&mut self, path: &str, raw: RawOutput) -> Result<()> {
        let call_id = raw.call_id.filter(|id| !id.is_empty());
        let is_known = match &call_id {
            Some(id) => self.called.contains(id),
            None => !self.called.is_empty(),
        };
        if !is_known {
            let id = call_id.as_deref().unwrap_or("(missing)");
            let message = format!("No tool call found for function call output with call_id {id}.");
            return Err(Error::invalid(format!("{path}.call_id"), message));
        }
        let parts = raw.output.parts(&format!("{path}.output"))?;
        self.messages.push(Message { role: Role::Tool, parts, tool_call_id: call_id, ..Message::default() });
        Ok(())
    }
}

/// An item's type. Messages may leave it out.
pub fn kind(item: &Value) -> &str {
    item.get("type").and_then(Value::as_str).unwrap_or("message")
}

impl Content<RawPart> {
    fn parts(self, path: &str) -> Result<Vec<Part>> {
        match self {
            Content::Null => Ok(Vec::new()),
            Content::Text(text) => Ok(vec![Part::Text(text)]),
            Content::Object(object) => Ok(vec![Part::Text(Value::from(object).to_string())]),
            Content::Parts(parts) => {
                let parts = parts.into_iter().enumerate();
                let parts: Result<Vec<_>> =
                    parts.map(|(at, raw)| part(&format!("{path}[{at}]"), raw)).collect();
                Ok(parts?.into_iter().flatten().collect())
            }
        }
    }
}

/// A part that is not for the bot, such as its own thought sent back, is `None`.
fn part(path: &str, raw: RawPart) -> Result<Option<Part>> {
    let at = |field: &str| format!("{path}.{field}");
    let missing = |field: &str| Error::invalid(at(field), format!("{} is missing", at(field)));
    let by_id = |_: String| {
        Error::invalid(at("file_id"), format!("{}: files by id are not kept here", at("file_id")))
    };
    let file = match raw.r#type.as_deref().unwrap_or("input_text") {
        "input_text" => {
            return raw.text.map(|text| Some(Part::Text(text))).ok_or_else(|| missing("text"));
        }
        // what bots and tools said, sent back: clients keep parts in which nothing was said
        "output_text" | "text" | "summary_text" => return Ok(raw.text.map(Part::Text)),
        "refusal" => return Ok(raw.refusal.map(Part::Text)),
        "reasoning_text" => return Ok(None),
        "input_image" | "image_url" => match (raw.image_url, raw.file_id) {
            (Some(url), _) => by_url(&at("image_url"), url.text(), None)?,
            (None, id) => return Err(id.map_or_else(|| missing("image_url"), by_id)),
        },
        "input_file" => match (raw.file_data, raw.file_url, raw.file_id) {
            (Some(content), _, _) if content.starts_with("data:") => {
                data_url(&at("file_data"), &content, raw.filename)?
            }
            (Some(url), _, _) if url.starts_with("http://") || url.starts_with("https://") => {
                by_url(&at("file_data"), url, raw.filename)?
            }
            (Some(content), _, _) => {
                let content_type = raw.filename.as_deref().map_or(OCTETS, content_type_of).to_owned();
                data(&at("file_data"), &content, content_type, raw.filename)?
            }
            (None, Some(url), _) => by_url(&at("file_url"), url, raw.filename)?,
            (None, None, id) => return Err(id.map_or_else(|| missing("file_data"), by_id)),
        },
        "input_audio" => raw.input_audio.ok_or_else(|| missing("input_audio"))?.file(&at("input_audio"))?,
        other => {
            if let Some(text) = &raw.text {
                return Ok(Some(unknown::marked(other, text)));
            }
            let fault = format!("{} is `{other}`, which is not supported", at("type"));
            return Err(Error::invalid(at("type"), fault));
        }
    };
    Ok(Some(Part::File(file)))
}

fn is_readable(raw: &Value) -> bool {
    RawPart::deserialize(raw).is_ok_and(|raw| part("", raw).is_ok())
}

/// The item as it is kept and listed: a message in its long form, each with an id.
pub fn numbered(mut item: Value, make_id: &dyn Fn(&str) -> String) -> Value {
    let prefix = match kind(&item) {
        "message" => "msg_",
        "function_call" => "fc_",
        "function_call_output" => "fco_",
        "custom_tool_call" => "ctc_",
        "custom_tool_call_output" => "ctco_",
        "reasoning" => "rs_",
        _ => "item_",
    };
    let is_message = prefix == "msg_";
    let Some(members) = item.as_object_mut() else { return item };
    if members.get("id").and_then(Value::as_str).is_none() {
        members.insert("id".into(), make_id(prefix).into());
    }
    if prefix != "item_" && prefix != "rs_" {
        members.entry("status").or_insert("completed".into());
    }
    if is_message {
        members.insert("type".into(), "message".into());
        let is_answer = members.get("role").is_some_and(|role| role == "assistant");
        if let Some(Value::String(text)) = members.get_mut("content") {
            let text = std::mem::take(text);
            let part = match is_answer {
                true => json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
                false => json!({"type": "input_text", "text": text}),
            };
            members.insert("content".into(), json!([part]));
        }
    }
    item
}

/// The id of the response whose output has an item of this id, if the id was made here.
pub fn id_of_response(item: &str) -> Option<String> {
    let mut parts = item.split('_');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(random), Some(_), None) => Some(format!("resp_{random}")),
        _ => None,
    }
}

/// Whether a reasoning item of this id, or with this in the place of its content, was made here.
pub fn is_thought(mark: &str) -> bool {
    let Some((random, index)) = mark.strip_prefix("rs_").and_then(|rest| rest.split_once('_')) else {
        return false;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    random.len() == 24 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()) && is_number(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::FileSource;

    fn turns(items: Value) -> Result<Vec<Message>> {
        let names = Names::default();
        let mut conversation = Conversation::new(&names);
        for (at, item) in items.as_array().unwrap().iter().enumerate() {
            conversation.add(&format!("input[{at}]"), item)?;
        }
        Ok(conversation.messages)
    }

    #[test]
    fn messages_in_every_form() {
        let turns = turns(json!([
            {"role": "user", "content": "a"},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "b"}]},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "text": "c", "annotations": [], "logprobs": []}]},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "d"}]},
            {"role": "system", "content": null}
        ]));
        let turns: Vec<_> = turns.unwrap().iter().map(|turn| (turn.role, turn.text())).collect();
        let expected = [
            (Role::User, "a"),
            (Role::System, "b"),
            (Role::Assistant, "c"),
            (Role::Assistant, "d"),
            (Role::System, ""),
        ];
        assert_eq!(turns, expected.map(|(role, text)| (role, text.to_owned())));
    }

    #[test]
    fn one_answer_is_one_turn_with_all_its_calls() {
        let turns = turns(json!([
            {"role": "user", "content": "x"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "rs_1"},
            {"role": "assistant", "content": "before"},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "patch", "input": "+\"x\""},
            {"type": "message", "role": "assistant", "content": "after"},
            {"type": "function_call", "call_id": "c3", "name": "f", "arguments": {"a": 1}},
            {"type": "function_call_output", "call_id": "c1", "output": "plain"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": [
                {"type": "input_text", "text": "part"}, {"type": "input_image", "image_url": "https://x/y.png"}]},
            {"type": "function_call_output", "call_id": "c3", "output": {"ok": true}}
        ]))
        .unwrap();
        let roles: Vec<Role> = turns.iter().map(|turn| turn.role).collect();
        assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::Tool, Role::Tool]);
        assert_eq!(turns[1].text(), "before\nafter");
        let calls: Vec<_> = turns[1].tool_calls.iter().map(|call| call.arguments.as_str()).collect();
        assert_eq!(calls, ["{}", r#"{"input":"+\"x\""}"#, r#"{"a":1}"#]);
        assert_eq!((turns[2].text().as_str(), turns[4].text().as_str()), ("plain", r#"{"ok":true}"#));
        assert_eq!((turns[3].parts.len(), turns[3].tool_call_id.as_deref()), (2, Some("c2")));
    }

    #[test]
    fn what_means_nothing_to_bots_is_passed_over() {
        let turns = turns(json!([
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
            {"type": "invented", "content": 7},
            {"type": "compaction_trigger"},
            {"type": "additional_tools", "tools": []},
            {"role": "user", "content": "x"}
        ]));
        assert_eq!(turns.unwrap().len(), 1);
    }

    #[test]
    fn faults_name_their_place() {
        let user = |part: Value| json!([{"role": "user", "content": [part]}]);
        let cases = [
            (json!([{"role": "king", "content": "x"}]), "input[0].role"),
            (json!([{"content": "x"}]), "input[0]"),
            (json!([{"role": "user", "content": 7}]), "input[0].content"),
            (json!([7]), "input[0]"),
            (user(json!({"type": "input_text"})), "input[0].content[0].text"),
            (user(json!({"type": "input_text", "text": 7})), "input[0].content[0].text"),
            (user(json!({"type": "hologram"})), "input[0].content[0].type"),
            (user(json!({"type": "input_image"})), "input[0].content[0].image_url"),
            (user(json!({"type": "input_image", "file_id": "f"})), "input[0].content[0].file_id"),
            (user(json!({"type": "input_image", "image_url": "ftp://x"})), "input[0].content[0].image_url"),
            (user(json!({"type": "input_file"})), "input[0].content[0].file_data"),
            (user(json!({"type": "input_file", "file_id": "f"})), "input[0].content[0].file_id"),
            (user(json!({"type": "input_file", "file_data": "%"})), "input[0].content[0].file_data"),
            (user(json!({"type": "input_file", "file_url": "x"})), "input[0].content[0].file_url"),
            (user(json!({"type": "input_audio"})), "input[0].content[0].input_audio"),
            (json!([{"type": "function_call", "call_id": "c"}]), "input[0]"),
            (
                json!([{"type": "custom_tool_call", "call_id": "c", "name": "f", "input": {}}]),
                "input[0].input",
            ),
            (json!([{"type": "function_call_output", "call_id": "c", "output": "x"}]), "input[0].call_id"),
            (json!([{"type": "function_call_output", "output": "x"}]), "input[0].call_id"),
        ];
        for (items, param) in cases {
            let error = turns(items.clone()).err().unwrap_or_else(|| panic!("{items}"));
            assert_eq!(error.param.as_deref(), Some(param), "{items}: {error}");
        }
    }

    #[test]
    fn a_part_in_which_nothing_was_said_is_no_part() {
        for kind in ["output_text", "text", "summary_text"] {
            let turns = turns(json!([{"role": "assistant", "content": [
                {"type": kind}, {"type": kind, "text": null}, {"type": kind, "text": "a"}]}]));
            assert_eq!(turns.unwrap()[0].parts, [Part::Text("a".into())], "{kind}");
        }
    }

    #[test]
    fn of_kept_items_is_taken_what_can_be_read() {
        let names = Names::default();
        let mut conversation = Conversation::new(&names);
        let kept = json!([
            {"role": "user", "content": [{"type": "input_text"}, 7, {"type": "hologram"}, {"type": "input_text", "text": "a"}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": {}}, {"type": "input_image"}]},
            {"type": "function_call", "call_id": "lost"},
            {"type": "function_call_output", "call_id": "lost", "output": "x"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "x"}, {"type": "input_text", "text": "b"}]},
            7
        ]);
        kept.as_array().unwrap().iter().for_each(|item| conversation.recall(item));
        let turns: Vec<_> = conversation
            .messages
            .iter()
            .map(|turn| (turn.role, turn.text(), turn.tool_calls.len()))
            .collect();
        let expected = [(Role::User, "a", 0), (Role::Assistant, "", 1), (Role::Tool, "b", 0)];
        assert_eq!(turns, expected.map(|(role, text, calls)| (role, text.to_owned(), calls)));
    }

    #[test]
    fn files_in_every_form() {
        let parts = json!([
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
            {"type": "input_image", "image_url": {"url": "data:image/png;base64,AAEC"}},
            {"type": "input_file", "filename": "a.pdf", "file_data": "AAEC"},
            {"type": "input_file", "filename": "a", "file_data": "data:text/csv;base64,AAEC"},
            {"type": "input_file", "file_url": "https://x/y.pdf"},
            {"type": "input_audio", "input_audio": {"data": "AAEC", "format": "mp3"}}
        ]);
        let turns = turns(json!([{"role": "user", "content": parts}])).unwrap();
        let kind = |part: &Part| match part {
            Part::File(FileSource::Data { content_type, .. }) => content_type.clone(),
            Part::File(FileSource::Link { url, .. }) => url.clone(),
            other => panic!("{other:?}"),
        };
        let kinds: Vec<_> = turns[0].parts.iter().map(kind).collect();
        let expected =
            ["https://x/y.png", "image/png", "application/pdf", "text/csv", "https://x/y.pdf", "audio/mpeg"];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn a_picture_of_an_earlier_answer_is_a_file_of_the_bots() {
        let picture = |result: Value| json!({"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": result});
        let turns = turns(json!([
            {"role": "user", "content": "paint"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Here."}]},
            picture(json!("iVBORw0KGgo=")), picture(json!("https://x/y.png")), picture(Value::Null),
            {"role": "user", "content": "now red"}]))
        .unwrap();
        let kind = |part: &Part| match part {
            Part::File(FileSource::Data { content_type, .. }) => content_type.clone(),
            Part::File(FileSource::Link { url, .. }) => url.clone(),
            Part::Text(text) => text.clone(),
            Part::File(other) => panic!("{other:?}"),
        };
        let kinds: Vec<_> = turns[1].parts.iter().map(kind).collect();
        assert_eq!((turns.len(), turns[1].role), (3, Role::Assistant));
        assert_eq!(kinds, ["Here.", "image/png", "https://x/y.png"]);
        let fault = super::tests::turns(json!([picture(json!("no base64!"))])).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("input[0].result"));
    }

    #[test]
    fn items_are_kept_in_their_long_form_with_an_id() {
        let make_id = |prefix: &str| format!("{prefix}1");
        let item = numbered(json!({"role": "user", "content": "x"}), &make_id);
        let expected = json!({"id": "msg_1", "type": "message", "status": "completed", "role": "user",
                              "content": [{"type": "input_text", "text": "x"}]});
        assert_eq!(item, expected);
        let answer = numbered(json!({"role": "assistant", "content": "x"}), &make_id);
        assert_eq!(answer["content"][0]["type"], "output_text");
        let output = json!({"type": "function_call_output", "call_id": "c", "output": "x"});
        assert_eq!(numbered(output, &make_id)["id"], "fco_1");
        assert_eq!(numbered(json!({"type": "invented", "id": "own"}), &make_id)["id"], "own");
        assert_eq!(id_of_response("msg_abc_3").as_deref(), Some("resp_abc"));
        assert_eq!((id_of_response("msg_abc"), id_of_response("")), (None, None));
        let own = crate::ids::id("rs_") + "_0";
        assert!(is_thought(&own));
        for other in [
            "rs_0a1b2c3d4e5f60718293a4b5c6d7e8f9",
            "rs_1_0",
            &own.replace("rs", "msg"),
            &own[..own.len() - 1],
        ] {
            assert!(!is_thought(other), "{other}");
        }
    }
}
