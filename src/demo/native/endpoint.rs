//! Poe's native endpoints: their paths and error formats.

use serde_json::json;

use crate::demo::script::Refusal;

/// One of the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NativeEndpoint {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

impl NativeEndpoint {
    /// The endpoint at this path.
    pub fn at(path: &str) -> Option<NativeEndpoint> {
        [NativeEndpoint::Chat, NativeEndpoint::Responses, NativeEndpoint::Messages]
            .into_iter()
            .find(|endpoint| endpoint.path() == path)
    }

    /// Its path, which is also how entries of the list declare it.
    pub fn path(self) -> &'static str {
        match self {
            NativeEndpoint::Chat => "/v1/chat/completions",
            NativeEndpoint::Responses => "/v1/responses",
            NativeEndpoint::Messages => "/v1/messages",
        }
    }

    /// The same refusal in this endpoint's words.
    pub fn refusal(self, refusal: Refusal) -> Refusal {
        let error = &refusal.body["error"];
        match self {
            NativeEndpoint::Messages => {
                let body =
                    json!({"type": "error", "error": {"type": error["type"], "message": error["message"]}});
                Refusal { body, ..refusal }
            }
            NativeEndpoint::Chat | NativeEndpoint::Responses => refusal,
        }
    }

    /// Only Claude has Messages, and the endpoint fails in its own way for others.
    pub fn unknown(self, name: &str) -> Refusal {
        match self {
            NativeEndpoint::Messages => Refusal::new(500, "api_error", "Internal server error"),
            NativeEndpoint::Chat | NativeEndpoint::Responses => {
                openai(404, &format!("The model `{name}` does not exist"), "model", "model_not_found")
            }
        }
    }
}

/// An error as OpenAI writes it.
pub(super) fn openai(status: u16, message: &str, param: &str, code: &str) -> Refusal {
    let error = json!({"message": message, "type": "invalid_request_error", "param": param, "code": code});
    Refusal { status, headers: Vec::new(), body: json!({"error": error}) }
}
