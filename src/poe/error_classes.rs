//! Poe's words, read in one place: what an error means that comes as a status, a type or only a sentence.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Excess, Kind};

/// The most characters of an error text that are passed on.
const MAX_WORDS: usize = 2000;

/// Phrases (in lower case) and what they mean; the first that matches counts.
const PHRASES: &[(&str, Kind)] = &[
    ("does not support tool", Kind::Unsupported),
    ("tool calling is not supported", Kind::Unsupported),
    ("does not support function", Kind::Unsupported),
    ("tools are not supported", Kind::Unsupported),
    ("fetch attachment", Kind::FileUnavailable),
    ("fetch the attachment", Kind::FileUnavailable),
    ("download attachment", Kind::FileUnavailable),
    ("download the attachment", Kind::FileUnavailable),
    ("attachment is no longer", Kind::FileUnavailable),
    ("attachment has expired", Kind::FileUnavailable),
    ("invalid attachment", Kind::FileUnavailable),
    ("prompt is too long", Kind::ContextTooLong),
    ("message too long", Kind::ContextTooLong),
    ("message is too long", Kind::ContextTooLong),
    ("context length", Kind::ContextTooLong),
    ("context window", Kind::ContextTooLong),
    ("context limit", Kind::ContextTooLong),
    ("maximum context", Kind::ContextTooLong),
    ("too many tokens", Kind::ContextTooLong),
    ("input is too long", Kind::ContextTooLong),
    ("exceeds the token limit", Kind::ContextTooLong),
    ("exceed the token limit", Kind::ContextTooLong),
    ("input tokens exceed", Kind::ContextTooLong),
    ("input token count", Kind::ContextTooLong),
    ("message exceeds the maximum length", Kind::ContextTooLong),
    ("reduce the length of", Kind::ContextTooLong),
    ("request too large for", Kind::ContextTooLong),
    ("not enough points", Kind::InsufficientQuota),
    ("insufficient points", Kind::InsufficientQuota),
    ("insufficient credits", Kind::InsufficientQuota),
    ("insufficient fund", Kind::InsufficientQuota),
    ("needs more points", Kind::InsufficientQuota),
    ("need more points", Kind::InsufficientQuota),
    ("used up your points", Kind::InsufficientQuota),
    ("rate limit", Kind::RateLimited),
    ("too many requests", Kind::RateLimited),
    ("invalid api key", Kind::Unauthorized),
    ("invalid_api_key", Kind::Unauthorized),
    ("incorrect api key", Kind::Unauthorized),
    ("bot does not exist", Kind::ModelNotFound),
    ("bot not found", Kind::ModelNotFound),
    ("model not found", Kind::ModelNotFound),
    ("no such bot", Kind::ModelNotFound),
    ("cannot access private bots", Kind::Forbidden),
];

/// Error types, of the bot protocol and of Poe's OpenAI endpoint, and what they mean.
const TYPES: &[(&str, Kind)] = &[
    ("user_message_too_long", Kind::ContextTooLong),
    ("context_length_exceeded", Kind::ContextTooLong),
    ("insufficient_fund", Kind::InsufficientQuota),
    ("insufficient_credits", Kind::InsufficientQuota),
    ("insufficient_quota", Kind::InsufficientQuota),
    ("insufficient_points", Kind::InsufficientQuota),
    ("privacy_authorization_error", Kind::Forbidden),
    ("unsupported_feature_for_model", Kind::Unsupported),
    ("user_caused_error", Kind::InvalidRequest),
    ("overloaded_error", Kind::Overloaded),
];

fn by_type(name: &str) -> Option<Kind> {
    TYPES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

fn by_phrase(text: &str) -> Option<Kind> {
    let text = text.to_lowercase();
    PHRASES.iter().find(|(phrase, _)| text.contains(phrase)).map(|(_, kind)| *kind)
}

/// Data of an `error` event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorEvent {
    allow_retry: Option<bool>,
    text: Option<String>,
    raw_response: Option<Value>,
    error_type: Option<String>,
}

/// What an `error` event says.
pub fn of_event(data: &[u8]) -> Error {
    let event: ErrorEvent = serde_json::from_slice(data).unwrap_or_default();
    let raw = event.raw_response.as_ref().and_then(|raw| Said::of(raw).message);
    let text = event.text.filter(|text| !text.trim().is_empty()).or(raw);
    let text = text.as_deref().unwrap_or("the bot ended with an error and gave no reason");
    let kind = event.error_type.as_deref().and_then(by_type).or_else(|| by_phrase(text));
    let mut error = rendered(kind.unwrap_or(Kind::Upstream), shorten(text));
    error.transient = event.allow_retry.unwrap_or(true)
        && matches!(error.kind, Kind::Upstream | Kind::RateLimited | Kind::Overloaded);
    error.is_final = event.allow_retry == Some(false);
    error
}

/// What an error says that comes where an answer should be: a JSON object with an `error`. `None`: it is none.
pub fn of_answer(value: &Value) -> Option<Error> {
    let error = value.get("error").filter(|error| !error.is_null())?;
    let status = error.get("code").and_then(Value::as_u64).filter(|code| (400..600).contains(code));
    Some(of_said(status.map_or(500, |status| status as u16), Said::of(value)))
}

/// An error in Poe's words, with the numbers they hold.
fn rendered(kind: Kind, message: String) -> Error {
    let excess = (kind == Kind::ContextTooLong).then(|| excess(&message)).flatten();
    Error { excess, ..Error::new(kind, message) }
}

/// By how much a conversation is too long, if `message` says so: of two numbers the larger is what it has, the other
/// what the model takes.
fn excess(message: &str) -> Option<Excess> {
    let plain = message.replace(',', "");
    let numbers = plain.split(|c: char| !c.is_ascii_alphanumeric());
    // smaller numbers are parts of names, counts of messages and the like
    let mut numbers = numbers.filter_map(|text| text.parse::<u64>().ok()).filter(|number| *number >= 1000);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(one), Some(other), None) if one != other => {
            Some(Excess { tokens: one.max(other), limit: Some(one.min(other)) })
        }
        _ => None,
    }
}

/// What an HTTP answer with an error status says. `retry_after` is the header of that name.
pub fn of_status(status: u16, retry_after: Option<&str>, body: &[u8]) -> Error {
    let mut error = of_said(status, Said::read(body));
    error.retry_after = retry_after.and_then(seconds);
    error
}

fn of_said(status: u16, said: Said) -> Error {
    let message = match &said.message {
        Some(message) => shorten(message),
        None => format!("Poe answered with status {status} and gave no reason"),
    };
    let known = said.types.iter().find_map(|name| by_type(name));
    let phrase = || by_phrase(&message).filter(|_| matches!(status, 400 | 402 | 403 | 404 | 413 | 500..));
    let kind = known.or_else(phrase).unwrap_or(match status {
        401 => Kind::Unauthorized,
        402 => Kind::InsufficientQuota,
        403 => Kind::Forbidden,
        404 => Kind::ModelNotFound,
        408 => Kind::ModelTimeout,
        // in Poe's table: more tokens than the model's window
        413 => Kind::ContextTooLong,
        429 => Kind::RateLimited,
        400..=499 => Kind::InvalidRequest,
        503 | 529 => Kind::Overloaded,
        _ => Kind::Upstream,
    });
    let mut error = rendered(kind, message);
    error.param = said.param;
    error.transient = status == 429 || (status >= 500 && matches!(kind, Kind::Upstream | Kind::Overloaded));
    error
}

/// `Retry-After` in seconds; its date form is not used by Poe.
fn seconds(value: &str) -> Option<Duration> {
    value.trim().parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// What can be read out of an error body, whichever of Poe's endpoints wrote it.
#[derive(Default)]
struct Said {
    message: Option<String>,
    types: Vec<String>,
    param: Option<String>,
}

impl Said {
    fn read(body: &[u8]) -> Said {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            let text = String::from_utf8_lossy(body);
            let plain = !text.trim().is_empty() && !text.trim_start().starts_with('<');
            return Said { message: plain.then(|| text.trim().to_owned()), ..Said::default() };
        };
        Said::of(&value)
    }

    fn of(value: &Value) -> Said {
        let error = value.get("error").unwrap_or(value);
        let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
        let message = ["message", "detail", "text", "error"].into_iter().find_map(text);
        Said {
            message: message.or_else(|| error.as_str().map(str::to_owned)),
            types: ["code", "type", "error_type"].into_iter().filter_map(text).collect(),
            param: text("param"),
        }
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_phrase_is_understood_where_it_stands() {
        for (phrase, kind) in PHRASES {
            let data = json!({"text": format!("Sorry: {}!", phrase.to_uppercase())}).to_string();
            assert_eq!(of_event(data.as_bytes()).kind, *kind, "{phrase}");
        }
    }

    #[test]
    fn every_type_is_understood() {
        for (name, kind) in TYPES {
            let data = json!({"error_type": name, "text": "x", "allow_retry": true}).to_string();
            let error = of_event(data.as_bytes());
            assert_eq!((error.kind, error.transient), (*kind, *kind == Kind::Overloaded), "{name}");
        }
    }

    #[test]
    fn error_events() {
        let error = of_event(br#"{"allow_retry":true,"text":"Internal server error"}"#);
        assert_eq!((error.kind, error.message.as_str()), (Kind::Upstream, "Internal server error"));
        assert!(error.transient);
        assert!(!of_event(br#"{"allow_retry":false,"text":"Internal server error"}"#).transient);
        assert_eq!(of_event(b"no JSON").kind, Kind::Upstream);
        assert_eq!(of_event(br#"{"text":"","raw_response":"from below"}"#).message, "from below");
        let below = of_event(br#"{"raw_response":{"error":{"message":"prompt is too long"}}}"#);
        assert_eq!((below.kind, below.message.as_str()), (Kind::ContextTooLong, "prompt is too long"));
    }

    #[test]
    fn only_a_plain_no_is_final() {
        assert!(of_event(br#"{"allow_retry":false,"text":"x"}"#).is_final);
        assert!(!of_event(br#"{"allow_retry":true,"text":"x"}"#).is_final);
        assert!(!of_event(br#"{"text":"x"}"#).is_final);
    }

    #[test]
    fn an_error_in_the_place_of_an_answer() {
        let error = |value| of_answer(&value).map(|error| (error.kind, error.message));
        let points = json!({"error": {"code": 402, "message": "No points"}});
        assert_eq!(error(points), Some((Kind::InsufficientQuota, "No points".into())));
        assert_eq!(error(json!({"error": "oops"})), Some((Kind::Upstream, "oops".into())));
        for none in [json!({"error": null}), json!({"choices": []}), json!([]), json!(null)] {
            assert_eq!(error(none.clone()), None, "{none}");
        }
    }

    /// As models of several makers put it.
    #[test]
    fn numbers_of_what_is_too_long_are_read() {
        let cases = [
            ("prompt is too long: 215000 tokens > 200000 maximum", Some((215_000, 200_000))),
            (
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9,001 tokens.",
                Some((9001, 8192)),
            ),
            (
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                Some((1_200_000, 1_048_576)),
            ),
            ("gpt-4-0314: input is too long for requested model, 3 messages", None),
            ("Input tokens exceed the configured limit of 272000 tokens.", None),
            ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", None),
        ];
        for (text, expected) in cases {
            let error = of_event(json!({"text": text}).to_string().as_bytes());
            assert_eq!(error.kind, Kind::ContextTooLong, "{text}");
            let found = error.excess.map(|excess| (excess.tokens, excess.limit.unwrap()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn statuses() {
        let cases: &[(u16, &str, Kind, &str)] = &[
            (
                401,
                r#"{"error":{"code":401,"type":"authentication_error","message":"Bad key"}}"#,
                Kind::Unauthorized,
                "Bad key",
            ),
            (402, r#"{"error":{"code":402,"message":"No points"}}"#, Kind::InsufficientQuota, "No points"),
            (403, r#"{"error":"no"}"#, Kind::Forbidden, "no"),
            (404, r#"{"detail":"gone"}"#, Kind::ModelNotFound, "gone"),
            (408, "slow", Kind::ModelTimeout, "slow"),
            (
                400,
                r#"{"error":{"message":"This model's maximum context length is 8 tokens"}}"#,
                Kind::ContextTooLong,
                "This model's maximum context length is 8 tokens",
            ),
            (
                413,
                r#"{"error":{"message":"prompt is too long: 9 > 8"}}"#,
                Kind::ContextTooLong,
                "prompt is too long: 9 > 8",
            ),
            (413, r#"{"error":{"type":"request_too_large","message":"big"}}"#, Kind::ContextTooLong, "big"),
            (429, r#"{"error":{"message":"slow down"}}"#, Kind::RateLimited, "slow down"),
            (500, r#"{"error":{"type":"provider_error","message":"oops"}}"#, Kind::Upstream, "oops"),
            (502, "<html>bad</html>", Kind::Upstream, "Poe answered with status 502 and gave no reason"),
            (529, r#"{"error":{"type":"overloaded_error","message":"busy"}}"#, Kind::Overloaded, "busy"),
            (
                400,
                r#"{"error":{"message":"Model x does not support tool calling.","code":"unsupported_feature_for_model","param":"model"}}"#,
                Kind::Unsupported,
                "Model x does not support tool calling.",
            ),
            (418, "", Kind::InvalidRequest, "Poe answered with status 418 and gave no reason"),
        ];
        for (status, body, kind, message) in cases {
            let error = of_status(*status, None, body.as_bytes());
            assert_eq!((error.kind, error.message.as_str()), (*kind, *message), "{status} {body}");
        }
        let error = of_status(429, Some("7"), b"");
        assert_eq!((error.retry_after, error.transient), (Some(Duration::from_secs(7)), true));
        assert_eq!(of_status(429, Some("soon"), b"").retry_after, None);
    }
}
