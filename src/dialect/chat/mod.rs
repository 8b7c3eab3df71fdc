//! OpenAI's Chat Completions.

mod answer;
mod request;
mod stream;

use serde_json::{Value, json};

pub use answer::encode;
pub use request::{Chat, decode};
pub use stream::Encoder;

use crate::error::{Error, Kind};

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
}

/// An error in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`.
pub fn error_answer(error: &Error) -> Vec<u8> {
    error_value(error).to_string().into_bytes()
}

fn error_value(error: &Error) -> Value {
    let (kind, code) = kind_and_code(error.kind);
    json!({"error": {"message": error.message, "type": kind, "param": error.param, "code": code}})
}

/// OpenAI's `type` and `code`.
fn kind_and_code(kind: Kind) -> (&'static str, Option<&'static str>) {
    const INVALID: &str = "invalid_request_error";
    match kind {
        Kind::InvalidRequest => (INVALID, None),
        Kind::ContextTooLong => (INVALID, Some("context_length_exceeded")),
        Kind::Unsupported => (INVALID, Some("unsupported_feature_for_model")),
        Kind::FileUnavailable => (INVALID, Some("file_unavailable")),
        Kind::Unauthorized => (INVALID, Some("invalid_api_key")),
        Kind::InsufficientQuota => ("insufficient_quota", Some("insufficient_quota")),
        Kind::Forbidden => ("permission_error", Some("forbidden")),
        Kind::NotFound => (INVALID, Some("not_found")),
        Kind::ModelNotFound => (INVALID, Some("model_not_found")),
        Kind::MethodNotAllowed => (INVALID, Some("method_not_allowed")),
        Kind::RequestTimeout => (INVALID, Some("request_timeout")),
        Kind::ModelTimeout => ("timeout_error", Some("model_timeout")),
        Kind::TooLarge => (INVALID, Some("request_too_large")),
        Kind::UnsupportedEncoding => (INVALID, Some("unsupported_encoding")),
        Kind::RateLimited => ("rate_limit_error", Some("rate_limit_exceeded")),
        Kind::ClientGone => ("server_error", Some("client_gone")),
        Kind::Internal => ("server_error", Some("internal_error")),
        Kind::NotImplemented => (INVALID, Some("not_implemented")),
        Kind::Upstream => ("upstream_error", Some("upstream_error")),
        Kind::Overloaded => ("overloaded_error", Some("overloaded")),
        Kind::UpstreamTimeout => ("upstream_error", Some("upstream_timeout")),
    }
}

/// OpenAI's word for why an answer ended.
fn finish_reason(reason: crate::exchange::FinishReason, meta: &Meta) -> &'static str {
    use crate::exchange::FinishReason;
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls if meta.has_functions => "function_call",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}

/// OpenAI's `usage`.
fn usage(usage: crate::exchange::TokenUsage) -> Value {
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
