//! Error format of OpenAI's APIs.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::error::{Error, Kind};

/// An error in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`.
pub fn error_answer(error: &Error) -> Vec<u8> {
    error_value(error).to_string().into_bytes()
}

/// The same as a value.
pub fn error_value(error: &Error) -> Value {
    let (kind, code) = kind_and_code(error.kind);
    json!({"error": {"message": message(error), "type": kind, "param": error.param, "code": code}})
}

/// What the user reads. A conversation that is too long is sent with the length that the model takes, in the words by
/// which agents know that they must shorten it.
pub fn message(error: &Error) -> Cow<'_, str> {
    let Some(excess) = error.excess else { return Cow::Borrowed(&error.message) };
    if error.message.to_lowercase().contains("maximum context length") {
        return Cow::Borrowed(&error.message);
    }
    let said = error.message.trim_end_matches(['.', '!']);
    let length = excess.limit.map_or_else(|| "exceeded".to_owned(), |tokens| format!("{tokens} tokens"));
    Cow::Owned(format!("{said}. This model's maximum context length is {length}."))
}

/// The error as clients of Responses read it: it says in so many words when to try again, and calls the conversation
/// by its name there.
pub fn for_responses(error: &Error) -> Error {
    let message = match (error.kind, error.retry_after) {
        (Kind::RateLimited, Some(wait)) => {
            let seconds = wait.as_secs_f64().ceil().max(1.0);
            if error.message.contains(&format!("again in {seconds}")) {
                return error.clone();
            }
            format!("{}. Please try again in {seconds}s.", error.message.trim_end_matches('.'))
        }
        _ => message(error).into_owned(),
    };
    // turns and items are not numbered alike
    let is_turn = error.param.as_deref().is_some_and(|param| param.starts_with("messages"));
    let param = if is_turn { Some("input".to_owned()) } else { error.param.clone() };
    Error { message, param, ..error.clone() }
}

/// OpenAI's `type` and `code`.
pub fn kind_and_code(kind: Kind) -> (&'static str, Option<&'static str>) {
    const INVALID: &str = "invalid_request_error";
    match kind {
        Kind::InvalidRequest => (INVALID, None),
        Kind::ContextTooLong => (INVALID, Some("context_length_exceeded")),
        Kind::ThreadUnsupported => (INVALID, Some("thread_unsupported_request")),
        Kind::Unsupported => (INVALID, Some("unsupported_feature_for_model")),
        Kind::FileUnavailable => (INVALID, Some("file_unavailable")),
        Kind::ContentFilter => (INVALID, Some("content_filter")),
        Kind::Unauthorized => (INVALID, Some("invalid_api_key")),
        Kind::InsufficientQuota => ("insufficient_quota", Some("insufficient_quota")),
        Kind::Forbidden => ("permission_error", Some("forbidden")),
        Kind::Stopped => ("permission_error", Some("stopped")),
        Kind::NotFound => (INVALID, Some("not_found")),
        Kind::ModelNotFound => (INVALID, Some("model_not_found")),
        Kind::PreviousNotFound => (INVALID, Some("previous_response_not_found")),
        Kind::MethodNotAllowed => (INVALID, Some("method_not_allowed")),
        Kind::RequestTimeout => (INVALID, Some("request_timeout")),
        Kind::ModelTimeout => ("timeout_error", Some("model_timeout")),
        Kind::Conflict => (INVALID, Some("conflict")),
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
