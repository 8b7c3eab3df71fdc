//! Poe's native endpoints beside the bots' one: Chat Completions, Responses and Messages, for bots that declare them.
//!
//! `read` makes a query of what comes through a native endpoint, strictly: a field that is neither of the endpoint's nor the model's is
//! refused. `render` makes the endpoint's words of the bot's steps. What the bots do is the same at every endpoint, but for those
//! whose entry in the list is wrong ([`quirk`]).

mod endpoint;
mod read;
mod write;

pub use endpoint::NativeEndpoint;
pub use read::{Asked, read};
pub use write::{EndpointWriter, Tokens};

use super::bots::Bot;

/// How a bot's entry in the list is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quirk {
    /// The endpoints that it declares do not know it.
    Unknown,
    /// Its endpoints do not take these fields.
    Without(&'static [&'static str]),
}

/// What is wrong with the entry of `bot`.
pub fn quirk(bot: &Bot) -> Option<Quirk> {
    match bot.name {
        "demo-native-unknown" => Some(Quirk::Unknown),
        "demo-native-picky" => Some(Quirk::Without(&["temperature", "prompt_cache_key", "metadata"])),
        _ => None,
    }
}
