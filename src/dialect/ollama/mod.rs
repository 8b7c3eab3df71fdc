//! Ollama's API, for programs that support no other: chats and completions as lines of JSON, and descriptions of models.

mod answer;
mod catalog;
mod request;
mod stream;

use std::time::Instant;

use serde_json::json;

pub use catalog::{Model, VERSION, model_name, running, show, tags, version};
pub use request::decode_show;
pub use stream::Encoder;

use super::{DecodedRequest, Stamp};
use crate::clock::rfc3339;
use crate::error::{Error, Result};

/// Which of Ollama's two ways to ask an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `/api/chat`: the answer's text stands in `message.content`.
    Chat,
    /// `/api/generate`: it stands in `response`.
    Generate,
}

/// What a request without a question is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// To have the model ready.
    Load,
    /// To put it away (`keep_alive: 0`).
    Unload,
}

/// What all pieces of one answer have in common.
#[derive(Debug, Clone)]
pub struct Meta {
    /// The model's name as the client wrote it.
    pub model: String,
    /// When the answer began, as in `2026-01-31T12:00:00Z`.
    pub created: String,
    /// How it was asked.
    pub way: Way,
    /// Whether the model's thought is shown.
    pub shows_thought: bool,
    /// What the request is for when nothing is asked.
    pub task: Option<Task>,
}

/// Reads the body of `POST /api/chat`. `clock` states the time that passes.
pub fn decode_chat(body: &[u8], stamp: &Stamp<'_>, clock: fn() -> Instant) -> Result<DecodedRequest> {
    Ok(decoded(Way::Chat, request::read_chat(body)?, stamp, clock))
}

/// Reads the body of `POST /api/generate`. `clock` states the time that passes.
pub fn decode_generate(body: &[u8], stamp: &Stamp<'_>, clock: fn() -> Instant) -> Result<DecodedRequest> {
    Ok(decoded(Way::Generate, request::read_generate(body)?, stamp, clock))
}

fn decoded(way: Way, asked: request::Asked, stamp: &Stamp<'_>, clock: fn() -> Instant) -> DecodedRequest {
    let named = asked.task.is_some().then(|| model_name(&asked.model).to_owned());
    let meta = Meta {
        model: asked.model,
        created: rfc3339(stamp.now),
        way,
        shows_thought: asked.shows_thought,
        task: asked.task,
    };
    let encoder = Encoder::new(meta, clock);
    DecodedRequest {
        chats: asked.chat_request.into_iter().collect(),
        named,
        stream: asked.stream,
        encoder: Box::new(encoder),
        endpoint: None,
        earlier: None,
    }
}

/// An error in Ollama's shape: `{"error": "message"}`.
pub fn error_answer(error: &Error) -> Vec<u8> {
    json!({"error": error.message}).to_string().into_bytes()
}
