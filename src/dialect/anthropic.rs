//! Error format of Anthropic's API.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::error::{Error, Kind};

/// An error in Anthropic's shape: `{"type": "error", "error": {"type", "message"}, "request_id"}`.
pub fn error_answer(error: &Error, request: Option<&str>) -> Vec<u8> {
    let mut answer = error_value(error);
    answer["request_id"] = request.into();
    answer.to_string().into_bytes()
}

/// The same as the value of an `error` event.
pub fn error_value(error: &Error) -> Value {
    let mut value = json!({"type": kind(error.kind), "message": message(error)});
    if error.kind == Kind::ThreadUnsupported {
        // by this the SDKs know that they have to send the whole conversation
        value["details"] = json!({"error_code": "thread_unsupported_request"});
    }
    json!({"type": "error", "error": value})
}

/// Anthropic's `type`.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::InvalidRequest
        | Kind::ContextTooLong
        | Kind::ThreadUnsupported
        | Kind::Unsupported
        | Kind::FileUnavailable
        | Kind::ContentFilter
        | Kind::PreviousNotFound
        | Kind::MethodNotAllowed
        | Kind::Conflict
        | Kind::UnsupportedEncoding
        | Kind::NotImplemented => "invalid_request_error",
        Kind::Unauthorized => "authentication_error",
        Kind::InsufficientQuota => "billing_error",
        Kind::Forbidden | Kind::Stopped => "permission_error",
        Kind::NotFound | Kind::ModelNotFound => "not_found_error",
        Kind::RequestTimeout | Kind::ModelTimeout | Kind::UpstreamTimeout => "timeout_error",
        Kind::TooLarge => "request_too_large",
        Kind::RateLimited => "rate_limit_error",
        Kind::ClientGone | Kind::Internal | Kind::Upstream => "api_error",
        Kind::Overloaded => "overloaded_error",
    }
}

/// The HTTP status: Anthropic's own where it differs.
pub fn status(kind: Kind) -> u16 {
    match kind {
        Kind::Overloaded => 529,
        kind => kind.status(),
    }
}

/// What the user reads. A conversation that is too long is sent in the words by which Claude Code knows that it must
/// shorten it, and by how much.
fn message(error: &Error) -> Cow<'_, str> {
    if error.kind != Kind::ContextTooLong {
        return Cow::Borrowed(&error.message);
    }
    let said = &error.message;
    if says_by_how_much(said) {
        return Cow::Borrowed(said);
    }
    if error.excess.is_none() && said.get(1..).is_some_and(|rest| rest.starts_with("rompt is too long")) {
        return Cow::Owned(format!("p{}", &said[1..]));
    }
    Cow::Owned(match error.excess {
        Some(excess) => {
            // what the model refuses is longer than it takes, even if another tokenizer counts less; and a client
            // that shortens by the difference has to shorten by enough
            let tokens = excess
                .limit
                .map_or(excess.tokens, |limit| excess.tokens.max(limit + excess.tokens.div_ceil(10)));
            match excess.limit {
                Some(limit) => format!("prompt is too long: {tokens} tokens > {limit} maximum ({said})"),
                None => format!("prompt is too long: {tokens} tokens ({said})"),
            }
        }
        None if said.starts_with("prompt is too long") => return Cow::Borrowed(said),
        None => format!("prompt is too long: {said}"),
    })
}

/// Whether Claude Code finds what it needs: `prompt is too long: N tokens > M maximum`, or ``input length and
/// `max_tokens` exceed context limit: A + B > C``, after which it asks for less.
fn says_by_how_much(message: &str) -> bool {
    let follows = |phrase: &str, sign: &str| {
        let (_, rest) = message.split_once(phrase)?;
        let (number, rest) = rest.trim_start().split_once(sign)?;
        Some(
            number.trim().parse::<u64>().is_ok()
                && rest.trim_start().starts_with(|c: char| c.is_ascii_digit()),
        )
    };
    follows("prompt is too long:", "tokens >").or_else(|| follows("exceed context limit:", "+")) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Excess;

    fn rendered(error: &Error) -> Value {
        serde_json::from_slice(&error_answer(error, Some("req_1"))).unwrap()
    }

    #[test]
    fn errors_have_anthropics_shape() {
        let error = Error::invalid("max_tokens", "max_tokens: Field required");
        let error_type = json!({"type": "invalid_request_error", "message": "max_tokens: Field required"});
        assert_eq!(rendered(&error), json!({"type": "error", "error": error_type, "request_id": "req_1"}));
        let rows = [
            (Kind::Unauthorized, 401, "authentication_error"),
            (Kind::InsufficientQuota, 402, "billing_error"),
            (Kind::Forbidden, 403, "permission_error"),
            (Kind::ModelNotFound, 404, "not_found_error"),
            (Kind::TooLarge, 413, "request_too_large"),
            (Kind::RateLimited, 429, "rate_limit_error"),
            (Kind::Internal, 500, "api_error"),
            (Kind::Upstream, 502, "api_error"),
            (Kind::UpstreamTimeout, 504, "timeout_error"),
            (Kind::Overloaded, 529, "overloaded_error"),
        ];
        for (kind, code, name) in rows {
            assert_eq!(status(kind), code, "{kind:?}");
            assert_eq!(rendered(&Error::new(kind, "x"))["error"]["type"], name, "{kind:?}");
        }
    }

    #[test]
    fn a_thread_is_refused_so_that_sdks_go_on_without_one() {
        let error = rendered(&Error::new(Kind::ThreadUnsupported, "x"));
        assert_eq!(error["error"]["details"]["error_code"], "thread_unsupported_request");
        assert_eq!(error["error"]["type"], "invalid_request_error");
    }

    #[test]
    fn a_conversation_that_is_too_long_says_by_how_much() {
        let message = |excess| {
            let error = Error { excess, ..Error::new(Kind::ContextTooLong, "no") };
            rendered(&error)["error"]["message"].as_str().unwrap().to_owned()
        };
        let excess = |tokens, limit| Some(Excess { tokens, limit });
        let rows = [
            (excess(9, Some(5)), "prompt is too long: 9 tokens > 5 maximum (no)"),
            (excess(40, Some(50)), "prompt is too long: 54 tokens > 50 maximum (no)"),
            (excess(3, None), "prompt is too long: 3 tokens (no)"),
            (None, "prompt is too long: no"),
        ];
        for (excess, expected) in rows {
            assert_eq!(message(excess), expected);
        }
        let bare = rendered(&Error::new(Kind::ContextTooLong, "Prompt is too long."));
        assert_eq!(bare["error"]["message"], "prompt is too long.");
        for said in [
            "prompt is too long: 215000 tokens > 200000 maximum",
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease one of them",
        ] {
            let error = Error { excess: excess(9, Some(5)), ..Error::new(Kind::ContextTooLong, said) };
            assert_eq!(rendered(&error)["error"]["message"], said);
        }
    }
}
