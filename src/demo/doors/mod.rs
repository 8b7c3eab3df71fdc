//! Poe's own doors beside the bots' one: Chat Completions, Responses and Messages, for bots that declare them.
//!
//! `read` makes a query of what comes through a door, strictly: a field that is neither of the door's nor the model's is
//! refused. `tell` makes the door's words of the bot's steps. What the bots do is the same at every door, but for those
//! whose entry in the list is wrong ([`quirk`]).

mod read;
mod tell;

pub use read::{Asked, read};
pub use tell::{Teller, Tokens};

use serde_json::json;

use super::bots::Bot;
use super::script::Refusal;

/// One of the doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

impl Door {
    /// The door at this path.
    pub fn at(path: &str) -> Option<Door> {
        [Door::Chat, Door::Responses, Door::Messages].into_iter().find(|door| door.path() == path)
    }

    /// Its path, which is also how entries of the list declare it.
    pub fn path(self) -> &'static str {
        match self {
            Door::Chat => "/v1/chat/completions",
            Door::Responses => "/v1/responses",
            Door::Messages => "/v1/messages",
        }
    }

    /// The same refusal in this door's words.
    pub fn refusal(self, refusal: Refusal) -> Refusal {
        let error = &refusal.body["error"];
        match self {
            Door::Messages => {
                let body =
                    json!({"type": "error", "error": {"type": error["type"], "message": error["message"]}});
                Refusal { body, ..refusal }
            }
            Door::Chat | Door::Responses => refusal,
        }
    }

    /// Only Claude has Messages, and the door fails in its own way for others.
    pub fn unknown(self, name: &str) -> Refusal {
        match self {
            Door::Messages => Refusal::new(500, "api_error", "Internal server error"),
            Door::Chat | Door::Responses => {
                openai(404, &format!("The model `{name}` does not exist"), "model", "model_not_found")
            }
        }
    }
}

/// An error as OpenAI writes it.
fn openai(status: u16, message: &str, param: &str, code: &str) -> Refusal {
    let error = json!({"message": message, "type": "invalid_request_error", "param": param, "code": code});
    Refusal { status, headers: Vec::new(), body: json!({"error": error}) }
}

/// How a bot's entry in the list is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quirk {
    /// The doors that it declares do not know it.
    Unknown,
    /// Its doors do not take these fields.
    Without(&'static [&'static str]),
}

/// What is wrong with the entry of `bot`.
pub fn quirk(bot: &Bot) -> Option<Quirk> {
    match bot.name {
        "demo-door-unknown" => Some(Quirk::Unknown),
        "demo-door-picky" => Some(Quirk::Without(&["temperature", "prompt_cache_key", "metadata"])),
        _ => None,
    }
}
