//! OpenAI's Chat Completions API.

mod answer;
mod cursor;
mod request;
mod stream;

use std::collections::HashSet;

use serde_json::{Value, json};

pub(in crate::dialect) use request::{MOST_STOP_BYTES, OneOrMany, choices};
pub use stream::Encoder;

use request::Body;

use super::{DecodedRequest, Stamp};
use crate::error::Result;
use crate::pipeline::NativeEndpoint;

/// What all pieces of one answer have in common.
#[derive(Debug, Clone)]
pub struct Meta {
    /// `chatcmpl-…`
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The model's name as the client wrote it.
    pub model: String,
    /// The client asked in the old way, with `functions`, and is answered in kind.
    pub has_functions: bool,
    /// The names of the tools that take plain text and are called in kind.
    pub plain_text: HashSet<String>,
}

/// Reads a request's body. Errors name the field, as a path such as `messages[0].content`.
pub fn decode(body: &[u8], stamp: &Stamp<'_>) -> Result<DecodedRequest> {
    let chat = match request::read(body)? {
        Body::Chat(chat) => chat,
        Body::Responses => return cursor::decode(body, stamp),
    };
    let meta = Meta {
        id: (stamp.make_id)("chatcmpl-"),
        created: stamp.now,
        model: chat.chat.model.clone(),
        has_functions: chat.has_functions,
        plain_text: chat.plain_text,
    };
    let encoder = Encoder::new(meta, chat.chat.choices, chat.includes_usage);
    let (chats, endpoint) = (vec![chat.chat], Some(NativeEndpoint::Chat));
    Ok(DecodedRequest {
        chats,
        stream: chat.stream,
        endpoint,
        earlier: None,
        named: None,
        encoder: Box::new(encoder),
    })
}

/// OpenAI's word for why an answer ended.
fn finish_reason(reason: crate::pipeline::FinishReason, meta: &Meta) -> &'static str {
    use crate::pipeline::FinishReason;
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls if meta.has_functions => "function_call",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}

/// OpenAI's `usage`.
pub(crate) fn usage(usage: crate::pipeline::TokenUsage) -> Value {
    json!({
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total(),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}
