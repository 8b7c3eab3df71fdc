//! What OpenAI's dialects have in common: the shape of errors.

use serde_json::{Value, json};

use crate::error::{Error, Kind};

/// An error in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`.
pub fn error_answer(error: &Error) -> Vec<u8> {
    error_value(error).to_string().into_bytes()
}

/// The same as a value.
pub fn error_value(error: &Error) -> Value {
    let (kind, code) = kind_and_code(error.kind);
    json!({"error": {"message": error.message, "type": kind, "param": error.param, "code": code}})
}

/// OpenAI's `type` and `code`.
pub fn kind_and_code(kind: Kind) -> (&'static str, Option<&'static str>) {
    const INVALID: &str = "invalid_request_error";
    match kind {
        Kind::InvalidRequest => (INVALID, None),
        Kind::ContextTooLong => (INVALID, Some("context_length_exceeded")),
        Kind::Unsupported => (INVALID, Some("unsupported_feature_for_model")),
        Kind::FileUnavailable => (INVALID, Some("file_unavailable")),
        Kind::Unauthorized => (INVALID, Some("invalid_api_key")),
        Kind::InsufficientQuota => ("insufficient_quota", Some("insufficient_quota")),
        Kind::Forbidden => ("permission_error", Some("forbidden")),
        Kind::Stopped => ("permission_error", Some("stopped")),
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
