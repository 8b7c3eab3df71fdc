//! A chat request, independent of any dialect.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

/// One request for an answer.
#[derive(Debug, Clone, Default)]
pub struct ChatRequest {
    /// The model's name as the client wrote it; answers carry it back.
    pub model: String,
    /// The bot that answers; the same as `model` unless a mapping or a folded name says otherwise.
    pub bot: String,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// Functions the model may call.
    pub tools: Vec<Tool>,
    /// Whether the model may, must or must not call them.
    pub tool_choice: ToolChoice,
    /// Whether several calls in one answer are welcome; `None` leaves it to the model.
    pub parallel_tool_calls: Option<bool>,
    /// How the text is drawn.
    pub sampling: Sampling,
    /// How hard the model should think.
    pub reasoning: Option<Reasoning>,
    /// What form the text must have.
    pub format: Format,
    /// Parameters by the bot's own names, as the client gave them.
    pub parameters: Map<String, Value>,
    /// Fields that are sent only where the model declares a parameter of that name.
    pub hints: Map<String, Value>,
    /// How many answers are wanted: 1 to 8.
    pub choices: usize,
}

/// One turn of the conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Text and files, in the order given.
    pub parts: Vec<Part>,
    /// Calls that an assistant turn made.
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool turn answers.
    pub tool_call_id: Option<String>,
    /// The speaker's name, where the client gives one.
    pub name: Option<String>,
}

impl Message {
    /// All text of the turn; parts are joined by a line break.
    pub fn text(&self) -> String {
        self.joined().into_owned()
    }

    /// As [`Message::text`]; a single part is not copied.
    pub fn joined(&self) -> Cow<'_, str> {
        let mut text = Cow::Borrowed("");
        for part in &self.parts {
            match part {
                Part::Text(piece) if text.is_empty() => text = Cow::Borrowed(piece),
                Part::Text(piece) => {
                    let text = text.to_mut();
                    text.push('\n');
                    text.push_str(piece);
                }
                Part::File(_) => {}
            }
        }
        text
    }
}

/// Who speaks. OpenAI's `developer` is a system turn here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person or program that asks.
    #[default]
    User,
    /// The model.
    Assistant,
    /// What a tool gave back.
    Tool,
}

/// A piece of a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Plain text or Markdown.
    Text(String),
    /// A file that must reach the bot; `attach` turns every source into an [`FileSource::Attached`].
    File(FileSource),
}

/// Where a file of the conversation comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum FileSource {
    /// A link that Poe fetches itself.
    Link {
        /// An `http` or `https` URL.
        url: String,
        /// The name to show, if the client gave one.
        name: Option<String>,
    },
    /// The file's own bytes.
    Data {
        /// The content; shared, because it may be large and be sent more than once.
        bytes: Arc<Vec<u8>>,
        /// Its MIME type.
        content_type: String,
        /// The name to show, if the client gave one.
        name: Option<String>,
    },
    /// Already at Poe.
    Attached(Attachment),
}

/// A file that lies at Poe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// Where Poe keeps it.
    pub url: String,
    /// Its MIME type.
    pub content_type: String,
    /// Its name.
    pub name: String,
    /// The reference by which the text speaks of it (`[inline_ref]`).
    pub inline_ref: Option<String>,
}

/// A function that the model may call.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments; absent means no arguments are described.
    pub parameters: Option<Value>,
}

/// A call that the model made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The id by which its result refers to it.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// Its arguments: a JSON object as text.
    pub arguments: String,
}

/// Whether functions are called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model likes.
    #[default]
    Auto,
    /// Not at all: the functions are not even offered.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// How the text is drawn. Every field is optional: absent means the bot's own default.
#[derive(Debug, Clone, Default)]
pub struct Sampling {
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// The most tokens that the answer may have.
    pub max_tokens: Option<u64>,
    /// Texts that end the answer; they are not shown.
    pub stop: Vec<String>,
    /// Token id → bias, as the client wrote it.
    pub logit_bias: Option<BTreeMap<String, f64>>,
    /// For repeatable answers.
    pub seed: Option<i64>,
    /// −2 to 2.
    pub presence_penalty: Option<f64>,
    /// −2 to 2.
    pub frequency_penalty: Option<f64>,
}

/// How hard the model should think.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reasoning {
    /// `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`.
    pub effort: Option<String>,
    /// The most tokens of thought; 0 switches thinking off.
    pub budget: Option<u64>,
    /// Plain on or off.
    pub enabled: Option<bool>,
}

/// What form the text must have.
#[derive(Debug, Clone, Default)]
pub enum Format {
    /// Any text.
    #[default]
    Text,
    /// Any text, without a Markdown fence around the whole of it.
    Bare,
    /// Some JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// The name the client gave the schema.
        name: String,
        /// The JSON Schema.
        schema: Value,
    },
}

impl Format {
    /// Whether the text must be JSON.
    pub fn is_json(&self) -> bool {
        matches!(self, Format::JsonObject | Format::JsonSchema { .. })
    }
}
