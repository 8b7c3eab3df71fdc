//! Refusals of native endpoints: what they mean, and whether only the endpoint does not know what it was sent.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::Headers;
use crate::error::{Error, Kind};
use crate::pipeline::NativeEndpoint;
use crate::poe::error_classes::{self, hide};

/// Why there is no answer.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status; 200 where the refusal came in place of an answer, 0 where no answer came.
    pub status: u16,
    /// The body in Poe's words, the key hidden.
    pub body: Vec<u8>,
    /// Headers that are passed on.
    pub headers: Headers,
    /// What it means.
    pub error: Box<Error>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal { status: 0, body: Vec::new(), headers: Vec::new(), error: Box::new(error) }
    }
}

/// What an endpoint does not know, as far as its refusal states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// The model.
    Model,
    /// This field of the request, whatever its value.
    Field(String),
    /// The value of this field, or something inside it.
    Value(String),
    /// Something of the request.
    Something,
}

/// Phrases (in lower case) of an endpoint that does not know the model.
const UNKNOWN_MODELS: &[&str] = &[
    "unknown model",
    "invalid model",
    "unsupported model",
    "model not found",
    "not a valid model",
    "not supported on this endpoint",
    "not available on this endpoint",
    "does not support this endpoint",
];
/// Phrases (in lower case) of an endpoint that does not know a field by its name.
const UNKNOWN_FIELDS: &[&str] = &[
    "unknown parameter",
    "unknown field",
    "unsupported parameter",
    "unsupported field",
    "unrecognized request argument",
    "unrecognized parameter",
    "unexpected keyword",
    "extra inputs are not permitted",
    "extra fields not permitted",
    "additional properties are not allowed",
];
/// Phrases (in lower case) of an endpoint that does not know a value, or something else that this one request asks for.
const UNKNOWN_VALUES: &[&str] =
    &["unsupported value", "does not support", "is not supported", "are not supported"];
/// The types of errors that Anthropic documents; clients know no others.
const ANTHROPICS_TYPES: &[&str] = &[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
];

impl Refusal {
    /// An answer with an error status.
    pub(super) fn of_status(status: u16, retry_after: Option<&str>, body: Vec<u8>) -> Refusal {
        let error = error_classes::of_status(status, retry_after, &body);
        // a limit without a time gets no better by another request
        let transient = error.transient && (status != 429 || error.retry_after.is_some());
        Refusal { status, body, ..Error { transient, ..error }.into() }
    }

    /// An error in place of the first event. The request has been taken, so that it is not sent again.
    pub(super) fn of_event(frame: &[u8]) -> Refusal {
        let text = String::from_utf8_lossy(frame);
        let data: Vec<&str> =
            text.split(['\n', '\r']).filter_map(|line| line.strip_prefix("data:")).map(str::trim).collect();
        let data = data.concat();
        let value = serde_json::from_str::<Value>(&data).unwrap_or_default();
        let failed =
            value["response"]["error"].is_object().then(|| json!({"error": value["response"]["error"]}));
        let words = failed.map_or_else(|| data.clone(), |failed| failed.to_string());
        let error = error_classes::of_event(words.as_bytes());
        Refusal { status: 200, body: data.into_bytes(), ..Error { transient: false, ..error }.into() }
    }

    /// The same without `key`: services are known to repeat keys that they refuse.
    pub(super) fn without(self, key: &str) -> Refusal {
        Refusal { body: hidden(self.body, key), error: Box::new(hide(*self.error, key)), ..self }
    }

    /// What the endpoint does not know, of a request with these fields. `None` if the refusal has another reason, which would
    /// be the same at the bot protocol.
    pub fn unknown(&self, fields: &[String]) -> Option<Unknown> {
        let said = self.error.message.to_lowercase();
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| said.contains(phrase));
        let is_json = || serde_json::from_slice::<Value>(&self.body).is_ok();
        let status = if self.status == 200 { self.error.kind.status() } else { self.status };
        match (status, self.error.kind) {
            // files, vector stores and the like, which one request names, may not be there either
            (404, _) if is_json() && !said.contains("model") => Some(Unknown::Something),
            (404 | 405 | 501, _) | (_, Kind::ModelNotFound) => Some(Unknown::Model),
            (400 | 422, _) if says(UNKNOWN_MODELS) => Some(Unknown::Model),
            (400 | 422, Kind::Unsupported) => Some(Unknown::Field("tools".into())),
            (400 | 422, _) if says(UNKNOWN_FIELDS) => Some(self.field(fields)),
            (400 | 422, _) if says(UNKNOWN_VALUES) => Some(match self.field(fields) {
                Unknown::Field(name) => Unknown::Value(name),
                other => other,
            }),
            _ => None,
        }
    }

    /// The field of the request that the refusal speaks of, or inside which it does.
    fn field(&self, fields: &[String]) -> Unknown {
        const ALWAYS: &[&str] = &["model", "messages", "input", "stream"];
        // a request may have as many fields as the message has words
        let fields: HashSet<&str> = fields.iter().map(String::as_str).collect();
        let known = |path: &str| {
            let root = path.split(['.', '[']).next().filter(|root| !ALWAYS.contains(root))?;
            let name = (*fields.get(root)?).to_owned();
            Some(if path.len() == root.len() { Unknown::Field(name) } else { Unknown::Value(name) })
        };
        let is_in_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']');
        let paths = self.error.message.split(|c| !is_in_path(c)).map(|path| path.trim_end_matches('.'));
        let param = self.error.param.as_deref().and_then(known);
        param.or_else(|| paths.into_iter().find_map(known)).unwrap_or(Unknown::Something)
    }

    /// Whether the body has the shape in which `endpoint` states errors, in words that its clients know, so that they can be
    /// given it as it is.
    pub fn is_in_shape(&self, endpoint: NativeEndpoint) -> bool {
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else { return false };
        let error = &body["error"];
        let text_or_null = |name: &str| error[name].is_string() || error[name].is_null();
        let has_message_and_type = error["message"].is_string() && error["type"].is_string();
        match endpoint {
            NativeEndpoint::Messages => {
                let kind = error["type"].as_str().unwrap_or_default();
                has_message_and_type && body["type"] == "error" && ANTHROPICS_TYPES.contains(&kind)
            }
            NativeEndpoint::Chat | NativeEndpoint::Responses => {
                has_message_and_type && text_or_null("code") && text_or_null("param")
            }
        }
    }
}

/// An error where a whole answer should be: JSON with an `error`, or no JSON at all.
pub(super) fn check(body: &[u8]) -> Result<(), Refusal> {
    let error = match serde_json::from_slice::<Value>(body) {
        Ok(value @ Value::Object(_)) => match error_classes::of_answer(&value) {
            Some(error) => error,
            None => return Ok(()),
        },
        _ => error_classes::of_body(body, "an answer"),
    };
    Err(Refusal { status: 200, body: body.to_vec(), ..Error { transient: false, ..error }.into() })
}

/// `body` without `key`.
pub(super) fn hidden(body: Vec<u8>, key: &str) -> Vec<u8> {
    match String::from_utf8(body) {
        Ok(text) => hide(Error::new(Kind::Upstream, text), key).message.into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal::of_status(status, None, body.into()).without("sk-a-long-key")
    }

    #[test]
    fn refusals_of_unknown_fields_are_recognized() {
        let fields = ["model", "messages", "tools", "reasoning_effort", "seed"].map(String::from);
        let unknown = |status, body: &str| refusal(status, body).unknown(&fields);
        let field = |name: &str| Some(Unknown::Field(name.into()));
        let rows = [
            (404, r#"{"error":{"message":"The model `x` does not exist"}}"#, Some(Unknown::Model)),
            (400, r#"{"error":{"message":"Invalid model: x"}}"#, Some(Unknown::Model)),
            (500, r#"{"error":{"message":"Internal server error"}}"#, None),
            (400, r#"{"error":{"message":"Unknown parameter: 'seed'.","param":"seed"}}"#, field("seed")),
            (400, r#"{"error":{"message":"Unknown parameter: 'seed'."}}"#, field("seed")),
            (400, r#"{"error":{"message":"seed: Extra inputs are not permitted"}}"#, field("seed")),
            // recorded
            (
                400,
                r#"{"error":{"message":"Model kimi-k2.5-fw does not support tool calling. Use a tool-capable model or remove tools from the request.","type":"invalid_request_error","param":"model","code":"unsupported_feature_for_model"}}"#,
                field("tools"),
            ),
            (
                400,
                r#"{"error":{"message":"Unsupported value: 'high' is not supported with the 'gpt-5.2-chat-latest' model. Supported values are: 'medium'.","type":"invalid_request_error"}}"#,
                Some(Unknown::Something),
            ),
            // of one value, or of what stands inside a field
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.0.content.0.image.source.media_type: image/x-foo is not supported"}}"#,
                Some(Unknown::Something),
            ),
            (
                400,
                r#"{"error":{"message":"seed 7.5 is not supported","param":"seed"}}"#,
                Some(Unknown::Value("seed".into())),
            ),
            (
                400,
                r#"{"error":{"message":"tools.0.custom.odd: Extra inputs are not permitted"}}"#,
                Some(Unknown::Value("tools".into())),
            ),
            (
                400,
                r#"{"error":{"message":"Unknown parameter: 'tools[0].odd'.","param":"tools[0].odd"}}"#,
                Some(Unknown::Value("tools".into())),
            ),
            (404, r#"{"error":{"message":"No such file: file-1"}}"#, Some(Unknown::Something)),
            (404, "<html>nothing here</html>", Some(Unknown::Model)),
            (400, r#"{"error":{"message":"messages[0].content is empty"}}"#, None),
            (402, r#"{"error":{"message":"No points"}}"#, None),
            (429, "", None),
        ];
        for (status, body, expected) in rows {
            assert_eq!(unknown(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn only_errors_in_the_endpoints_own_shape_pass() {
        let fits = |endpoint, body: &str| refusal(400, body).is_in_shape(endpoint);
        let openai = r#"{"error":{"message":"m","type":"t","param":"model","code":"c"}}"#;
        let poes = r#"{"error":{"code":401,"type":"authentication_error","message":"m","metadata":{}}}"#;
        let anthropics = r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
        let half = r#"{"type":"error","error":{"type":"service_unavailable","message":"m"}}"#;
        assert_eq!(
            [openai, poes, "<html>", "{}"].map(|body| fits(NativeEndpoint::Chat, body)),
            [true, false, false, false]
        );
        assert_eq!(
            [openai, poes, anthropics, half].map(|body| fits(NativeEndpoint::Messages, body)),
            [false, false, true, false]
        );
    }

    #[test]
    fn a_refused_key_is_not_repeated() {
        let refusal = refusal(401, r#"{"error":{"message":"Incorrect API key: sk-a-long-key"}}"#);
        assert!(!String::from_utf8(refusal.body).unwrap().contains("sk-a-long-key"));
        assert!(!refusal.error.message.contains("sk-a-long-key"));
    }

    #[test]
    fn an_error_in_place_of_an_answer_has_its_own_status() {
        use Kind::{ContextTooLong, ModelNotFound, Overloaded, RateLimited, Unauthorized, Upstream};
        let anthropics =
            |kind: &str, words: &str| json!({"type": "error", "error": {"type": kind, "message": words}});
        let failed = |code: &str, words: &str| json!({"type": "response.failed", "response": {"error": {"code": code, "message": words}}});
        let rows = [
            (anthropics("invalid_request_error", "prompt is too long: 9 tokens > 5 maximum"), ContextTooLong),
            (anthropics("rate_limit_error", "slow"), RateLimited),
            (anthropics("authentication_error", "who"), Unauthorized),
            (anthropics("overloaded_error", "Overloaded"), Overloaded),
            (anthropics("api_error", "Internal server error"), Upstream),
            (anthropics("not_found_error", "model: x"), ModelNotFound),
            (failed("context_length_exceeded", "no"), ContextTooLong),
            (failed("rate_limit_exceeded", "try again in 7s"), RateLimited),
            (failed("server_error", "sorry"), Upstream),
            (
                json!({"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": null}),
                RateLimited,
            ),
            (json!({"error": {"code": 429, "type": "x", "message": "m"}}), RateLimited),
            (json!({"error": {"code": 529, "message": "m", "metadata": {}}}), Overloaded),
            (
                json!({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}),
                Unauthorized,
            ),
        ];
        for (data, kind) in rows {
            for frame in [format!("event: error\ndata: {data}\n\n"), format!("data:{data}\r\n\r\n")] {
                let refusal = Refusal::of_event(frame.as_bytes());
                assert_eq!((refusal.error.kind, refusal.error.transient), (kind, false), "{data}");
                assert_eq!(refusal.body, data.to_string().as_bytes());
            }
            if data["response"].is_null() && data["error"].is_object() {
                let refusal = check(data.to_string().as_bytes()).unwrap_err();
                assert_eq!((refusal.error.kind, refusal.error.transient), (kind, false), "{data}");
            }
        }
        assert!(check(br#"{"error":null,"id":"x"}"#).is_ok());
        for odd in ["<html><title>Sorry</title></html>", "", "[1]", "7"] {
            assert_eq!(check(odd.as_bytes()).unwrap_err().error.kind, Upstream, "{odd}");
        }
        let refusal = Refusal::of_status(429, None, Vec::new());
        assert!(!refusal.error.transient && Refusal::of_status(429, Some("1"), Vec::new()).error.transient);
    }
}
