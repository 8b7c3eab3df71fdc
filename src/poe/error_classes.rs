//! Classifies errors by status, type, message, or the page of a proxy.

use std::time::Duration;

use serde_json::Value;

use super::loose::Loose;
use super::page::Page;
use super::{ends, phrases};
use crate::clock;
use crate::error::{Error, Excess, Kind};

/// The most characters of an error text that are passed on.
const MAX_WORDS: usize = 2000;
/// The most characters that are shown of a body that is no error.
const MOST_SHOWN: usize = 200;
/// What an operator can do about an answer that is not Poe's.
const CHECK: &str = "check POE_BASE_URL and the proxies on the way";

/// Types and codes of errors that identify the cause, from all sources: the bot protocol, Poe's other endpoints, makers
/// of models.
const TYPES: &[(&str, Kind)] = &[
    ("user_message_too_long", Kind::ContextTooLong),
    ("context_length_exceeded", Kind::ContextTooLong),
    ("context_window_exceeded", Kind::ContextTooLong),
    ("request_too_large", Kind::ContextTooLong),
    ("message_too_large", Kind::ContextTooLong),
    ("message_too_long", Kind::ContextTooLong),
    ("prompt_too_long", Kind::ContextTooLong),
    ("insufficient_fund", Kind::InsufficientQuota),
    ("insufficient_funds", Kind::InsufficientQuota),
    ("insufficient_credits", Kind::InsufficientQuota),
    ("insufficient_quota", Kind::InsufficientQuota),
    ("insufficient_points", Kind::InsufficientQuota),
    ("insufficient_balance", Kind::InsufficientQuota),
    ("subscription_required", Kind::InsufficientQuota),
    ("payment_required", Kind::InsufficientQuota),
    ("billing_error", Kind::InsufficientQuota),
    ("billing_hard_limit_reached", Kind::InsufficientQuota),
    ("quota_exceeded", Kind::InsufficientQuota),
    ("daily_limit_reached", Kind::InsufficientQuota),
    ("moderation_error", Kind::ContentFilter),
    ("moderation_blocked", Kind::ContentFilter),
    ("content_filter", Kind::ContentFilter),
    ("content_policy_violation", Kind::ContentFilter),
    ("responsible_ai_policy_violation", Kind::ContentFilter),
    ("data_inspection_failed", Kind::ContentFilter),
    ("privacy_authorization_error", Kind::Forbidden),
    ("permission_error", Kind::Forbidden),
    ("permission_denied", Kind::Forbidden),
    ("access_denied", Kind::Forbidden),
    ("unsupported_feature_for_model", Kind::Unsupported),
    ("rate_limit_error", Kind::RateLimited),
    ("rate_limit_exceeded", Kind::RateLimited),
    ("rate_limited", Kind::RateLimited),
    ("too_many_requests", Kind::RateLimited),
    ("throttling_exception", Kind::RateLimited),
    ("resource_exhausted", Kind::RateLimited),
    ("authentication_error", Kind::Unauthorized),
    ("invalid_api_key", Kind::Unauthorized),
    ("invalid_token", Kind::Unauthorized),
    ("unauthorized", Kind::Unauthorized),
    ("unauthenticated", Kind::Unauthorized),
    ("not_found_error", Kind::ModelNotFound),
    ("bot_not_found", Kind::ModelNotFound),
    ("model_not_found", Kind::ModelNotFound),
    ("timeout_error", Kind::ModelTimeout),
    ("model_timeout", Kind::ModelTimeout),
    ("timeout", Kind::ModelTimeout),
    ("deadline_exceeded", Kind::ModelTimeout),
    ("overloaded_error", Kind::Overloaded),
    ("overloaded", Kind::Overloaded),
    ("engine_overloaded", Kind::Overloaded),
    ("engine_overloaded_error", Kind::Overloaded),
    ("service_unavailable", Kind::Overloaded),
    ("service_unavailable_error", Kind::Overloaded),
];

/// Types that stand for many things: the words beside them count before them.
const WEAK_TYPES: &[(&str, Kind)] = &[
    ("user_caused_error", Kind::InvalidRequest),
    ("invalid_request_error", Kind::InvalidRequest),
    ("invalid_argument", Kind::InvalidRequest),
    ("bad_request", Kind::InvalidRequest),
    ("bad_request_error", Kind::InvalidRequest),
    ("validation_error", Kind::InvalidRequest),
    ("provider_error", Kind::Upstream),
    ("upstream_error", Kind::Upstream),
    ("server_error", Kind::Upstream),
    ("internal_error", Kind::Upstream),
    ("internal_server_error", Kind::Upstream),
    ("api_error", Kind::Upstream),
];

fn by_type(table: &[(&str, Kind)], name: &str) -> Option<Kind> {
    let name = ends::plain(name);
    table.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// What an `error` event says. Its data may be an object of Poe's, of a maker of models, or no JSON at all.
pub fn of_event(data: &[u8]) -> Error {
    let text = String::from_utf8_lossy(data);
    let Some(event) = Loose::read(text.trim()) else {
        let error = of_said(0, Said::read(data));
        return Error { transient: passes(error.kind), ..error };
    };
    let value = event.value();
    let mut said = Said::of(&value);
    let raw = value.get("raw_response").map(|raw| match raw.as_str() {
        Some(text) => Said::read(text.as_bytes()),
        None => Said::of(raw),
    });
    if let Some(raw) = raw {
        said.add(raw);
    }
    let mut error = of_said(0, said);
    let allows = value.get("allow_retry").and_then(|allows| match allows {
        Value::String(text) => text.parse().ok(),
        allows => allows.as_bool(),
    });
    error.transient = allows.unwrap_or(true) && passes(error.kind);
    error.is_final = allows == Some(false);
    error
}

/// Whether a bot's error of this kind may pass.
fn passes(kind: Kind) -> bool {
    matches!(kind, Kind::Upstream | Kind::RateLimited | Kind::Overloaded | Kind::ModelTimeout)
}

/// What an error says that comes where an answer should be: a JSON object with an `error`. `None`: it is none.
pub fn of_answer(value: &Value) -> Option<Error> {
    let is_empty = |error: &Value| match error {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) => false,
    };
    value.get("error").filter(|error| !is_empty(error))?;
    let said = Said::of(value);
    let code = said.code.unwrap_or(500);
    let error = of_said(200, said);
    Some(Error { transient: is_transient(code, error.kind), ..error })
}

/// What a body says that came with status 200 in place of `expected`.
pub fn of_body(body: &[u8], expected: &str) -> Error {
    let value = serde_json::from_slice::<Value>(body).ok();
    if let Some(error) = value.as_ref().and_then(of_answer) {
        return error;
    }
    let said = Said::read(body);
    let is_error =
        value.as_ref().is_some_and(|value| value.get("choices").is_none()) && said.message.is_some();
    match (&said.page, value) {
        (Some(page), _) => {
            let message = format!("{} answered in place of Poe with status 200: {CHECK}", page.what);
            rendered(page.kind.unwrap_or(Kind::Upstream), message)
        }
        (None, Some(_)) if is_error => of_said(200, said),
        (None, Some(value)) => {
            let shown = shorten_to(&value.to_string(), MOST_SHOWN);
            rendered(Kind::Upstream, format!("Poe answered with JSON in place of {expected}: {shown}"))
        }
        (None, None) => {
            let shown = shorten_to(String::from_utf8_lossy(body).trim(), MOST_SHOWN);
            rendered(Kind::Upstream, format!("Poe answered with text in place of {expected}: {shown}"))
        }
    }
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
    let error = of_said(status, Said::read(body));
    Error { retry_after: retry_after.and_then(wait).or(error.retry_after), ..error }
}

/// What was said with an HTTP status, or with none: 0.
fn of_said(status: u16, said: Said) -> Error {
    if let Some(page) = &said.page {
        return of_page(status, page);
    }
    let message = match &said.message {
        Some(message) => shorten(message),
        None if status == 0 => "the bot ended with an error and gave no reason".to_owned(),
        None => format!("Poe answered with status {status} and gave no reason"),
    };
    let kind = of_words(status, &said, &message);
    let waits = matches!(kind, Kind::RateLimited | Kind::Overloaded);
    let retry_after = phrases::wait(&message).filter(|_| waits);
    let mut error = Error { retry_after, ..rendered(kind, message) };
    error.param = said.param;
    error.transient = is_transient(status, kind);
    error
}

fn of_words(status: u16, said: &Said, message: &str) -> Kind {
    let by = |table| said.types.iter().find_map(|name| by_type(table, name));
    let phrase = || {
        let found = phrases::kind(message)?;
        let counts = match status {
            // elsewhere the status says more than the words
            0..=400 | 403 | 404 | 413 | 422 | 500.. => true,
            429 => found == Kind::InsufficientQuota,
            _ => false,
        };
        counts.then_some(found)
    };
    // an error of this kind has a code of its own where Poe answers with a status
    let late = |kind| if status >= 500 && kind == Kind::ModelTimeout { Kind::UpstreamTimeout } else { kind };
    let code = said.code.filter(|_| matches!(status, 0 | 200 | 500));
    by(TYPES)
        .or_else(phrase)
        .map(late)
        .or_else(|| code.map(of_code))
        .or_else(|| if matches!(status, 0 | 200) { by(WEAK_TYPES) } else { None })
        .or_else(|| {
            phrases::status(message)
                .filter(|code| status == 0 && matches!(code, 408 | 429 | 503 | 504 | 529))
                .map(of_code)
        })
        .unwrap_or_else(|| of_code(status))
}

/// What a status alone means.
fn of_code(status: u16) -> Kind {
    match status {
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
        504 | 522 | 524 => Kind::UpstreamTimeout,
        _ => Kind::Upstream,
    }
}

fn is_transient(status: u16, kind: Kind) -> bool {
    let passes =
        matches!(kind, Kind::Upstream | Kind::Overloaded | Kind::ModelTimeout | Kind::UpstreamTimeout);
    status == 429 && kind == Kind::RateLimited || status >= 500 && passes
}

/// What a page means that a proxy answered with.
fn of_page(status: u16, page: &Page) -> Error {
    let kind = page.kind.filter(|_| !matches!(status, 401 | 429)).unwrap_or(match status {
        // neither Poe nor the model has seen the request
        404 => Kind::NotFound,
        413 => Kind::TooLarge,
        status => of_code(status),
    });
    let message = match status {
        0 => format!("the bot ended with {}", page.what),
        status => format!("{} answered in place of Poe with status {status}: {CHECK}", page.what),
    };
    Error { transient: is_transient(status, kind), ..Error::new(kind, message) }
}

/// The wait that `Retry-After` names, in seconds or as a date.
fn wait(value: &str) -> Option<Duration> {
    let seconds = value.trim().parse::<f64>().ok();
    let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.or_else(|| Some(clock::parse_http_date(value)?.saturating_sub(clock::now())))
}

/// The contents of an error body of any known shape.
#[derive(Default)]
struct Said {
    message: Option<String>,
    types: Vec<String>,
    /// A status of HTTP in the body.
    code: Option<u16>,
    param: Option<String>,
    /// The body is no answer of Poe's.
    page: Option<Page>,
}

/// The members that hold words, the first that does counts.
const MESSAGES: &[&str] = &[
    "message",
    "detail",
    "text",
    "error",
    "error_message",
    "errorMessage",
    "error_description",
    "msg",
    "Message",
    "errors",
    "description",
    "reason",
    "title",
];
/// The deepest nesting in which words are looked for.
const DEEPEST: usize = 6;
/// Messages that leave everything to what stands beside them.
const EMPTY_WORDS: &[&str] = &[
    "internal server error",
    "provider returned error",
    "an error occurred",
    "error",
    "unknown error",
    "bad request",
];

impl Said {
    fn read(body: &[u8]) -> Said {
        if let Ok(value) = serde_json::from_slice::<Value>(body) {
            return Said::of(&value);
        }
        if let Some(page) = Page::read(body) {
            return Said { page: Some(page), ..Said::default() };
        }
        let text = String::from_utf8_lossy(body);
        let plain = Some(text.trim()).filter(|text| !text.is_empty());
        Said { message: plain.map(str::to_owned), ..Said::default() }
    }

    fn of(value: &Value) -> Said {
        let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
        // beside a name of the error its words may stand
        let beside: Vec<&str> = MESSAGES.iter().copied().filter(|name| *name != "error").collect();
        let outer = if error.is_string() { words(value, &beside, 0) } else { None };
        let mut said = Said { message: outer.or_else(|| words(error, MESSAGES, 0)), ..Said::default() };
        for place in [error, value] {
            let member = |name: &&str| place.get(*name);
            let named = ["code", "type", "error_type", "status"].iter().filter_map(member);
            for name in named {
                match name {
                    Value::String(text) if text.parse::<u16>().is_err() => said.types.push(text.clone()),
                    Value::String(text) => said.code = said.code.or(text.parse().ok()),
                    name => said.code = said.code.or(name.as_u64().and_then(|code| u16::try_from(code).ok())),
                }
            }
        }
        said.types.extend(error.as_str().map(str::to_owned));
        said.code = said.code.filter(|code| (400..600).contains(code));
        said.param = error.get("param").and_then(Value::as_str).map(str::to_owned);
        if let Some(raw) =
            error.get("metadata").and_then(|metadata| metadata.get("raw")).and_then(Value::as_str)
        {
            said.add(Said::read(raw.as_bytes()));
        }
        // one error may be packed into another's words
        match said.message.as_deref().filter(|message| message.trim_start().starts_with(['{', '<'])) {
            Some(message) => {
                let inner = Said::read(message.as_bytes());
                if inner.message.is_some() || inner.page.is_some() {
                    said.message = None;
                    said.add(inner);
                }
                said
            }
            None => said,
        }
    }

    /// Takes in what stands behind this error: it says more where this one says nothing.
    fn add(&mut self, behind: Said) {
        let is_empty = |text: &str| {
            EMPTY_WORDS.contains(&text.trim().trim_end_matches(['.', '!']).to_lowercase().as_str())
        };
        let inner = behind.message.or(behind.page.as_ref().map(|page| page.what.clone()));
        self.message = match (self.message.take(), inner) {
            (None, inner) => {
                self.page = behind.page;
                inner
            }
            (Some(own), Some(inner)) if is_empty(&own) && own != inner => Some(format!("{own}: {inner}")),
            (own, _) => own,
        };
        self.types.extend(behind.types);
        self.code = self.code.or(behind.code);
    }
}

/// The words in `value`, in one of the members `names` if it is an object.
fn words(value: &Value, names: &[&str], depth: usize) -> Option<String> {
    if depth > DEEPEST {
        return None;
    }
    let said = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Array(items) => {
            let said: Vec<_> =
                items.iter().take(5).filter_map(|item| words(item, names, depth + 1)).collect();
            said.join("; ")
        }
        Value::Object(members) => {
            let message = names.iter().find_map(|name| words(members.get(*name)?, names, depth + 1))?;
            match members.get("loc").and_then(Value::as_array) {
                Some(path) => format!("{}: {message}", located(path)),
                None => message,
            }
        }
        _ => String::new(),
    };
    Some(said).filter(|said| !said.is_empty())
}

/// FastAPI's `["body", "query", 0, "role"]`
fn located(path: &[Value]) -> String {
    let names = path.iter().map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned));
    names.collect::<Vec<_>>().join(".")
}

fn shorten(text: &str) -> String {
    shorten_to(text, MAX_WORDS)
}

fn shorten_to(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// No key is shorter. What is, such as the `demo` of a first try, may be a part of any sentence.
const SHORTEST_KEY: usize = 8;
/// What a query is answered with.
pub(super) const EVENTS: &str = "events";

/// The same error without `key`: services are known to repeat keys that they refuse, and errors are logged.
pub fn hide(error: Error, key: &str) -> Error {
    match key.len() >= SHORTEST_KEY && error.message.contains(key) {
        true => Error { message: error.message.replace(key, "••••"), ..error },
        false => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_of_tools_is_understood_in_any_words() {
        for text in [
            "Tools are only supported for function calling models",
            "Function calling is not enabled for this bot.",
            "`tools` is not supported with this model",
            "This model doesn't support tools.",
            "tool use is unsupported",
            "Error: the parameter `tool_choice` is not available here",
        ] {
            let data = json!({"text": text}).to_string();
            assert_eq!(of_event(data.as_bytes()).kind, Kind::Unsupported, "{text}");
        }
        for text in
            ["The tool failed. Images are not supported.", "Internal server error", "This is not supported"]
        {
            let data = json!({"text": text}).to_string();
            assert_ne!(of_event(data.as_bytes()).kind, Kind::Unsupported, "{text}");
        }
    }

    #[test]
    fn every_type_is_understood() {
        for (name, kind) in TYPES {
            let data = json!({"error_type": name, "text": "x", "allow_retry": true}).to_string();
            let error = of_event(data.as_bytes());
            let passes = [Kind::Overloaded, Kind::RateLimited, Kind::ModelTimeout].contains(kind);
            assert_eq!((error.kind, error.transient), (*kind, passes), "{name}");
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
            (502, "", Kind::Upstream, "Poe answered with status 502 and gave no reason"),
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
        let in_a_minute = clock::http_date(clock::now().as_secs() + 60);
        let wait = of_status(429, Some(&in_a_minute), b"try again in 7s").retry_after.unwrap();
        assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs(60), "{wait:?}");
        let past = of_status(503, Some("Sun, 06 Nov 1994 08:49:37 GMT"), b"").retry_after;
        assert_eq!(past, Some(Duration::ZERO));
        let said = br#"{"error":{"type":"rate_limit_error","message":"Please try again in 7s."}}"#;
        assert_eq!(of_status(429, None, said).retry_after, Some(Duration::from_secs(7)));
        assert_eq!(of_event(said).retry_after, Some(Duration::from_secs(7)));
        assert_eq!(of_status(400, None, b"Please wait 7 s").retry_after, None);
    }

    #[test]
    fn errors_of_all_types_in_events_and_bodies() {
        for (name, kind) in TYPES.iter().chain(WEAK_TYPES) {
            for error in [
                json!({"type": name, "message": "x"}),
                json!({"code": name, "message": "x"}),
                json!({"code": 418, "type": name.to_uppercase(), "message": "x", "metadata": {}}),
            ] {
                let answer = of_answer(&json!({"error": error})).unwrap();
                let strong = TYPES.iter().any(|(other, _)| other == name);
                if strong && *kind != Kind::ModelTimeout {
                    assert_eq!(answer.kind, *kind, "{error}");
                    assert_eq!(
                        of_status(400, None, json!({"error": error}).to_string().as_bytes()).kind,
                        *kind
                    );
                }
                let event = of_event(json!({"error": error}).to_string().as_bytes());
                assert!(event.kind == *kind || !strong && error["code"] == 418, "{error}: {:?}", event.kind);
            }
        }
    }

    #[test]
    fn an_event_of_any_shape_says_its_error() {
        for (data, kind, message) in [
            (
                r#"{"text":null,"error_type":"subscription_required"}"#,
                Kind::InsufficientQuota,
                "the bot ended with an error and gave no reason",
            ),
            (r#"{"text":"x","error_type":7,"allow_retry":"false"}"#, Kind::Upstream, "x"),
            (r#"{"text":["a","b"]}"#, Kind::Upstream, "a; b"),
            (r#"{"text":"a\ud83d"}"#, Kind::Upstream, "a\u{fffd}"),
            (
                r#"{"message":"You do not have enough points"}"#,
                Kind::InsufficientQuota,
                "You do not have enough points",
            ),
            (r#"{"error":{"code":402,"message":"x"}}"#, Kind::InsufficientQuota, "x"),
            (r#"{"code":"429","text":"x"}"#, Kind::RateLimited, "x"),
            ("out of points", Kind::InsufficientQuota, "out of points"),
            (r#""Overloaded""#, Kind::Overloaded, "Overloaded"),
            (
                r#"{"text":"Internal server error","raw_response":"{\"detail\":\"prompt is too long\"}"}"#,
                Kind::ContextTooLong,
                "Internal server error: prompt is too long",
            ),
            (
                r#"{"text":"{\"error\":{\"message\":\"Rate limit\",\"type\":\"x\"}}"}"#,
                Kind::RateLimited,
                "Rate limit",
            ),
            (
                r#"{"text":"","raw_response":"<html><title>Oops</title></html>"}"#,
                Kind::Upstream,
                "the bot ended with an HTML page titled \"Oops\"",
            ),
            (r#"{"text":"Error code: 529 - x"}"#, Kind::Overloaded, "Error code: 529 - x"),
        ] {
            let error = of_event(data.as_bytes());
            assert_eq!((error.kind, error.message.as_str()), (kind, message), "{data}");
        }
        assert!(of_event(br#"{"text":"x","allow_retry":"false"}"#).is_final);
    }

    #[test]
    fn bodies_that_are_not_poes() {
        let page = "<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>";
        let timeout =
            "<html><title>api.poe.com | 524: A timeout occurred</title><a href=/cdn-cgi/l>Error code 524</a>";
        let nginx =
            "<html><head><title>413 Request Entity Too Large</title></head><center>nginx</center></html>";
        let fields = r#"{"detail":[{"loc":["body","query",0,"role"],"msg":"Input should be 'user'","type":"x"},{"loc":["body"],"msg":"too much"}]}"#;
        let cases: &[(u16, &str, Kind, &str)] = &[
            (
                403,
                page,
                Kind::Forbidden,
                "an HTML page from Cloudflare titled \"Just a moment...\" answered in place of Poe with status 403",
            ),
            (503, page, Kind::Overloaded, "status 503"),
            (524, timeout, Kind::UpstreamTimeout, "titled \"api.poe.com | 524: A timeout occurred\""),
            (
                429,
                "error code: 1015",
                Kind::RateLimited,
                "Cloudflare (\"error code: 1015\") answered in place of Poe with status 429",
            ),
            (403, "error code: 1020", Kind::Forbidden, "error code: 1020"),
            (413, nginx, Kind::TooLarge, "from nginx titled \"413 Request Entity Too Large\""),
            (404, "<html><h1>Not here</h1></html>", Kind::NotFound, "that says \"Not here\""),
            (502, "<html>bad</html>", Kind::Upstream, "that says \"bad\""),
            (504, "<html></html>", Kind::UpstreamTimeout, "without a title"),
            (422, fields, Kind::InvalidRequest, "body.query.0.role: Input should be 'user'; body: too much"),
            (400, r#"{"detail":{"message":"x y"}}"#, Kind::InvalidRequest, "x y"),
            (400, r#"{"errors":["one","two"]}"#, Kind::InvalidRequest, "one; two"),
            (
                404,
                r#"{"status":404,"error":"Not Found","message":"No handler","path":"/x"}"#,
                Kind::ModelNotFound,
                "No handler",
            ),
            (
                401,
                r#"{"error":"invalid_token","error_description":"it has expired"}"#,
                Kind::Unauthorized,
                "it has expired",
            ),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#,
                Kind::InsufficientQuota,
                "You exceeded",
            ),
            (
                402,
                r#"{"error":{"message":"more credits, or reduce the length"}}"#,
                Kind::InsufficientQuota,
                "more credits",
            ),
            (
                500,
                r#"{"error":{"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"Overloaded\"}}"}}}"#,
                Kind::Overloaded,
                "Provider returned error: Overloaded",
            ),
            (
                500,
                "upstream connect error or disconnect/reset before headers",
                Kind::Upstream,
                "Envoy (\"upstream connect error",
            ),
        ];
        for (status, body, kind, message) in cases {
            let error = of_status(*status, None, body.as_bytes());
            assert!(error.message.contains(message), "{status} {body}: {}", error.message);
            assert_eq!(error.kind, *kind, "{status} {body}: {}", error.message);
            assert!(!error.message.contains("no reason"));
        }
    }

    #[test]
    fn bodies_in_place_of_an_answer() {
        for (body, kind, message) in [
            (r#"{"error":{"code":402,"message":"No points"}}"#, Kind::InsufficientQuota, "No points"),
            (r#"{"detail":"Bot not found"}"#, Kind::ModelNotFound, "Bot not found"),
            (
                r#"{"choices":[{"message":{"content":"hi"}}]}"#,
                Kind::Upstream,
                "Poe answered with JSON in place of events: {\"choices\":",
            ),
            (
                "<html><title>Sign in</title></html>",
                Kind::Upstream,
                "an HTML page titled \"Sign in\" answered in place of Poe with status 200",
            ),
            ("hello", Kind::Upstream, "Poe answered with text in place of events: hello"),
        ] {
            let error = of_body(body.as_bytes(), "events");
            assert!(error.message.contains(message), "{body}: {}", error.message);
            assert_eq!(error.kind, kind, "{body}");
        }
    }
}
