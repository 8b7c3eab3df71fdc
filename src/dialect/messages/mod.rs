//! Anthropic's Messages API.

mod answer;
mod content;
mod known;
mod request;
mod stream;

use serde_json::{Value, json};

pub use stream::Encoder;

use super::{DecodedRequest, Stamp};
use crate::error::Result;
use crate::pipeline::{ChatRequest, Finish, FinishReason, NativeEndpoint, TokenUsage};
use request::Purpose;

/// What all pieces of one answer have in common.
#[derive(Debug, Clone)]
pub struct Meta {
    /// `msg_…`
    pub id: String,
    /// The model's name as the client wrote it.
    pub model: String,
    /// The client reads thought. Others take the first block for the answer.
    pub shows_thought: bool,
}

/// Placeholder for Anthropic's signature of a thinking block. Clients require one and send it back; it is not checked
/// here.
pub const SIGNATURE: &str = "cG9lMm9wZW5haTogbm90IGEgc2lnbmF0dXJl";

/// Reads a request's body. Errors name the field, as a path such as `messages.0.content.1.type`.
pub fn decode(body: &[u8], stamp: &Stamp<'_>) -> Result<DecodedRequest> {
    let request = request::read(body, Purpose::Answer)?;
    let meta = Meta {
        id: (stamp.make_id)("msg_"),
        model: request.chat.model.clone(),
        shows_thought: request.shows_thought,
    };
    let encoder = Encoder::new(meta);
    let (chats, endpoint) = (vec![request.chat], Some(NativeEndpoint::Messages));
    Ok(DecodedRequest {
        chats,
        stream: request.stream,
        endpoint,
        earlier: None,
        named: None,
        encoder: Box::new(encoder),
    })
}

/// Reads a request whose tokens are to be counted.
pub fn decode_count(body: &[u8]) -> Result<ChatRequest> {
    Ok(request::read(body, Purpose::Count)?.chat)
}

/// The answer to `count_tokens`.
pub fn encode_count(tokens: u64) -> Vec<u8> {
    json!({"input_tokens": tokens}).to_string().into_bytes()
}

/// Anthropic's word for why an answer ended, `calls` telling whether it made any.
fn stop_reason(finish: &Finish, calls: bool) -> &'static str {
    match finish.reason {
        FinishReason::Stop if finish.stop.is_some() => "stop_sequence",
        FinishReason::Stop | FinishReason::ToolCalls if calls => "tool_use",
        FinishReason::Stop | FinishReason::ToolCalls => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ContentFilter => "refusal",
    }
}

/// Anthropic's `usage`.
fn usage(usage: TokenUsage) -> Value {
    json!({
        "input_tokens": usage.prompt,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "service_tier": "standard",
    })
}

/// A call's arguments as the object that Anthropic's clients want, whatever the model wrote.
fn input(arguments: &str) -> Value {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(input)) => Value::Object(input),
        Ok(value) => json!({"arguments": value}),
        Err(_) if arguments.trim().is_empty() => json!({}),
        Err(_) => json!({"arguments": arguments}),
    }
}
