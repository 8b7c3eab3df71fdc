//! Decodes the turns of a Messages request: blocks of text, files, calls and results.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::dialect::content::Content;
use crate::dialect::files::{FileText, OCTETS, by_url, data, data_url};
use crate::dialect::unknown;
use crate::error::{Error, Result};
use crate::pipeline::{Message, Part, Role, ToolCall};

impl Content<Block> {
    /// As blocks, each with its path below `path`.
    fn blocks(self, path: &str) -> Vec<(String, Block)> {
        match self {
            // an object is the result of a tool of Anthropic's own
            Content::Null | Content::Object(_) => Vec::new(),
            Content::Text(text) => vec![(path.to_owned(), Block { text: Some(text), ..Block::default() })],
            Content::Parts(blocks) => {
                let path = |at| format!("{path}.{at}");
                blocks.into_iter().enumerate().map(|(at, block)| (path(at), block)).collect()
            }
        }
    }
}

/// A block of any kind that clients send.
#[derive(Default, Deserialize)]
pub struct Block {
    r#type: Option<String>,
    text: Option<String>,
    source: Option<Source>,
    title: Option<String>,
    url: Option<String>,
    tool_name: Option<String>,
    context: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Value>,
    tool_use_id: Option<String>,
    is_error: Option<bool>,
    #[serde(default)]
    content: Content<Block>,
}

impl Block {
    fn kind(&self) -> &str {
        self.r#type.as_deref().unwrap_or("text")
    }
}

/// Where a block's content comes from: a search result names it, a file is described.
enum Source {
    Named(String),
    File(Box<RawFile>),
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Source, D::Error> {
        struct SourceVisitor;
        impl<'de> Visitor<'de> for SourceVisitor {
            type Value = Source;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a source")
            }
            fn visit_str<E>(self, name: &str) -> Result<Source, E> {
                Ok(Source::Named(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Source, A::Error> {
                RawFile::deserialize(MapAccessDeserializer::new(object))
                    .map(|file| Source::File(Box::new(file)))
            }
        }
        deserializer.deserialize_any(SourceVisitor)
    }
}

#[derive(Deserialize)]
struct RawFile {
    r#type: Option<String>,
    media_type: Option<String>,
    data: Option<FileText>,
    url: Option<String>,
    #[serde(default)]
    content: Content<Block>,
}

/// What a continued answer is asked for with: few bots go on with a last turn of their own by themselves.
const GO_ON: &str = "Go on with your last answer exactly where it stops. Write only what follows, without repeating any \
                     of it and without a word about it.";
/// What clients add to a turn on their own account, such as Claude Code to results.
const REMINDER: (&str, &str) = ("<system-reminder>", "</system-reminder>");

/// The conversation as it is read, turn by turn.
#[derive(Default)]
pub struct Turns {
    messages: Vec<Message>,
    /// How many of them stand before the conversation.
    preface: usize,
    called: HashSet<String>,
}

impl Turns {
    /// The instructions that stand before the conversation.
    pub fn instruct(&mut self, system: Content<Block>) -> Result<()> {
        let mut parts = texts("system", system)?;
        // states Anthropic who is to pay, and changes with every version
        parts.retain(
            |part| !matches!(part, Part::Text(text) if text.starts_with("x-anthropic-billing-header:")),
        );
        if !parts.is_empty() {
            self.messages.push(Message { role: Role::System, parts, ..Message::default() });
            self.preface = 1;
        }
        Ok(())
    }

    /// A turn at `path`. Turns of one speaker that follow each other are one.
    pub fn push(&mut self, path: &str, role: &str, content: Content<Block>) -> Result<()> {
        let inner = format!("{path}.content");
        match (&content, role) {
            (Content::Object(_), _) => {
                let fault = format!("{inner}: Input should be a valid string or a list of blocks");
                return Err(Error::invalid(inner, fault));
            }
            (Content::Null, "user") => {
                return Err(Error::invalid(&inner, format!("{inner}: Field required")));
            }
            _ => {}
        }
        match role {
            "user" => self.user(content.blocks(&inner)),
            "assistant" => self.assistant(content.blocks(&inner)),
            // bots look for the question in the last turn, so what is said behind it goes before it
            "system" => {
                let parts = texts(&inner, content)?;
                let turn = self.last_turn();
                match self.messages[self.preface..turn].last_mut() {
                    Some(before) if before.role == Role::System => before.parts.extend(parts),
                    _ => {
                        let role = Role::System;
                        self.messages.insert(turn, Message { role, parts, ..Message::default() });
                    }
                }
                Ok(())
            }
            _ => {
                let path = format!("{path}.role");
                let fault = format!("{path}: Input should be 'user', 'assistant' or 'system'");
                Err(Error::invalid(path, fault))
            }
        }
    }

    /// All turns.
    pub fn finish(mut self) -> Vec<Message> {
        let is_begun = self.messages.last().is_some_and(|last| {
            last.role == Role::Assistant && last.tool_calls.is_empty() && !last.joined().trim().is_empty()
        });
        if is_begun {
            self.messages.push(Message { parts: vec![Part::Text(GO_ON.into())], ..Message::default() });
        }
        self.messages
    }

    /// Where the last turn of the user begins, results included.
    fn last_turn(&self) -> usize {
        let is_other = |message: &Message| !matches!(message.role, Role::User | Role::Tool);
        self.messages.iter().rposition(is_other).map_or(0, |last| last + 1)
    }

    fn user(&mut self, blocks: Vec<(String, Block)>) -> Result<()> {
        let (mut results, mut parts) = (Vec::new(), Vec::new());
        for (path, block) in blocks {
            match block.kind() {
                "tool_result" => results.push(self.result(&path, block)?),
                _ => part(&path, block, &mut parts)?,
            }
        }
        if let Some(last) = results.last_mut() {
            // as a turn of their own they would make it look as if the calls belonged to a turn that is over
            let (reminders, rest) = parts.into_iter().partition(is_reminder);
            last.parts.extend::<Vec<Part>>(reminders);
            parts = rest;
        }
        let is_answered = !results.is_empty();
        // results come before all that the user says, whatever the order
        let at =
            self.messages.iter().rposition(|message| message.role != Role::User).map_or(0, |last| last + 1);
        self.messages.splice(at..at, results);
        match self.messages.last_mut() {
            Some(last) if last.role == Role::User => last.parts.extend(parts),
            _ if is_answered && parts.is_empty() => {}
            _ => self.messages.push(Message { parts, ..Message::default() }),
        }
        Ok(())
    }

    fn assistant(&mut self, blocks: Vec<(String, Block)>) -> Result<()> {
        let (mut calls, mut parts) = (Vec::new(), Vec::new());
        for (path, block) in blocks {
            match block.kind() {
                "tool_use" => {
                    let call = call(&path, block)?;
                    self.called.insert(call.id.clone());
                    calls.push(call);
                }
                _ => part(&path, block, &mut parts)?,
            }
        }
        match self.messages.last_mut() {
            Some(last) if last.role == Role::Assistant => {
                last.parts.extend(parts);
                last.tool_calls.extend(calls);
            }
            _ => {
                let role = Role::Assistant;
                self.messages.push(Message { role, parts, tool_calls: calls, ..Message::default() });
            }
        }
        Ok(())
    }

    fn result(&self, path: &str, block: Block) -> Result<Message> {
        let id = match block.tool_use_id.filter(|id| !id.is_empty()) {
            None if self.called.is_empty() => required(path, "tool_use_id", None)?,
            id => id,
        };
        if let Some(id) = &id
            && !self.called.contains(id)
        {
            let fault = format!(
                "{path}: unexpected `tool_use_id` found in `tool_result` blocks: {id:.64}. Each `tool_result` block must \
                 have a corresponding `tool_use` block in a message before it."
            );
            return Err(Error::invalid(path, fault));
        }
        let mut parts = Vec::new();
        match block.content {
            // what a tool gave, as it is
            Content::Object(result) => parts.push(Part::Text(Value::Object(result).to_string())),
            content => {
                for (path, block) in content.blocks(&format!("{path}.content")) {
                    part(&path, block, &mut parts)?;
                }
            }
        }
        if block.is_error == Some(true) {
            let says_so = matches!(parts.first(), Some(Part::Text(text)) if has_error(text));
            if !says_so {
                parts.insert(0, Part::Text("Error:".into()));
            }
        }
        Ok(Message { role: Role::Tool, parts, tool_call_id: id, ..Message::default() })
    }
}

fn has_error(text: &str) -> bool {
    text.get(..32.min(text.len())).unwrap_or(text).to_ascii_lowercase().contains("error")
}

fn is_reminder(part: &Part) -> bool {
    let Part::Text(text) = part else { return false };
    text.trim_start().starts_with(REMINDER.0) && text.trim_end().ends_with(REMINDER.1)
}

/// The longest name of a called function, in bytes.
const MOST_NAME_BYTES: usize = 256;

fn call(path: &str, block: Block) -> Result<ToolCall> {
    let name = required(path, "name", block.name)?;
    if name.len() > MOST_NAME_BYTES {
        let path = format!("{path}.name");
        let fault = format!("{path}: String should have at most {MOST_NAME_BYTES} characters");
        return Err(Error::invalid(path, fault));
    }
    let arguments = match block.input {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(Value::String(text)) => text,
        Some(input) => input.to_string(),
    };
    Ok(ToolCall { id: required(path, "id", block.id)?, name, arguments })
}

/// Content that is text alone.
fn texts(path: &str, content: Content<Block>) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for (path, block) in content.blocks(path) {
        part(&path, block, &mut parts)?;
    }
    parts.retain(|part| matches!(part, Part::Text(_)));
    Ok(parts)
}

/// Puts what `block` says into `parts`. Not everything is for the bot: its own thought sent back, for example.
fn part(path: &str, block: Block, parts: &mut Vec<Part>) -> Result<()> {
    match block.kind() {
        "text" => {
            let text = required(path, "text", block.text)?;
            if !text.is_empty() {
                parts.push(Part::Text(text));
            }
        }
        "image" | "document" => file(path, block, parts)?,
        "search_result" => {
            let about = match &block.source {
                Some(Source::Named(source)) => source.as_str(),
                _ => "",
            };
            let title = block.title.as_deref().unwrap_or_default();
            parts.push(Part::Text(format!("{title}\n{about}").trim().to_owned()));
            for (path, block) in block.content.blocks(&format!("{path}.content")) {
                part(&path, block, parts)?;
            }
        }
        "thinking" | "redacted_thinking" => {}
        // a conversation that was shortened by Anthropic's server
        "compaction" => {
            if let Content::Text(text) = block.content {
                parts.push(Part::Text(text));
            }
        }
        kind if is_foreign(kind) => {
            let mut text = String::new();
            // a call of the model's own says nothing that its result does not
            if !kind.ends_with("_tool_use") {
                foreign_text(&block, &mut text);
            }
            match text.is_empty() {
                true => log::debug!("{path} was ignored: Poe's bots do not support blocks of type {kind}"),
                false => parts.push(unknown::marked(kind, &text)),
            }
        }
        kind if block.text.as_ref().is_some_and(|text| !text.is_empty()) => {
            parts.push(unknown::marked(kind, block.text.as_deref().unwrap_or_default()));
        }
        kind => {
            let fault = format!("{path}.type: '{kind:.64}' is not a supported type of block");
            return Err(Error::invalid(format!("{path}.type"), fault));
        }
    }
    Ok(())
}

/// All that a block says whose type has no meaning here.
fn foreign_text(block: &Block, text: &mut String) {
    let mut add = |piece: &str| {
        if !piece.trim().is_empty() {
            text.push_str(if text.is_empty() { "" } else { "\n" });
            text.push_str(piece);
        }
    };
    let named = [&block.name, &block.tool_name, &block.title, &block.url, &block.text];
    named.into_iter().flatten().for_each(|piece| add(piece));
    block
        .input
        .as_ref()
        .filter(|input| !input.is_null())
        .into_iter()
        .for_each(|input| add(&input.to_string()));
    match &block.content {
        Content::Null => {}
        Content::Text(piece) => add(piece),
        Content::Object(result) => add(&unknown::text(&Value::Object(result.clone()))),
        Content::Parts(blocks) => blocks.iter().for_each(|block| foreign_text(block, text)),
    }
}

/// Blocks of what only Anthropic's servers do.
fn is_foreign(kind: &str) -> bool {
    let known = ["server_tool_use", "container_upload", "tool_reference", "browser_state", "mcp_tool_use"];
    known.contains(&kind) || kind.ends_with("_tool_result") && kind != "tool_result"
}

fn file(path: &str, block: Block, parts: &mut Vec<Part>) -> Result<()> {
    let path = format!("{path}.source");
    let Some(Source::File(file)) = block.source else {
        return Err(Error::invalid(&path, format!("{path}: Field required")));
    };
    let RawFile { r#type, media_type, data: bytes, url, content } = *file;
    let title = block.title.filter(|title| !title.is_empty());
    let kind = match (r#type.as_deref(), &url) {
        (Some(kind), _) => kind,
        (None, Some(_)) => "url",
        (None, None) => "base64",
    };
    let source = match kind {
        "base64" => {
            let bytes = required(&path, "data", bytes)?;
            let path = format!("{path}.data");
            match bytes.is_data_url() {
                true => data_url(&path, bytes, title)?,
                false => data(&path, bytes, media_type.unwrap_or_else(|| OCTETS.to_owned()), title)?,
            }
        }
        "url" => by_url(&format!("{path}.url"), required(&path, "url", url)?, title)?,
        "text" | "content" => {
            let head = [title, block.context].into_iter().flatten().collect::<Vec<_>>().join("\n");
            parts.push(Part::Text(head));
            match bytes {
                Some(text) => parts.push(Part::Text(text.into_text())),
                None => {
                    for (path, block) in content.blocks(&format!("{path}.content")) {
                        part(&path, block, parts)?;
                    }
                }
            }
            parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
            return Ok(());
        }
        other => {
            let fault =
                format!("{path}.type: '{other:.64}' is not supported; files by id are not stored here");
            return Err(Error::invalid(format!("{path}.type"), fault));
        }
    };
    parts.extend(block.context.filter(|context| !context.is_empty()).map(Part::Text));
    parts.push(Part::File(source));
    Ok(())
}

fn required<T>(path: &str, field: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| {
        let path = format!("{path}.{field}");
        let fault = format!("{path}: Field required");
        Error::invalid(path, fault)
    })
}
