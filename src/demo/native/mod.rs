//! The demo's native endpoints: Chat Completions, Responses and Messages, for bots that declare them.
//!
//! `read` turns a request to a native endpoint into a query, strictly: a field that neither the endpoint nor the model declares
//! is refused. `write` encodes the bot's steps in the endpoint's format. The bots do the same at every endpoint, except those
//! whose entry in the list is wrong ([`quirk`]).

pub mod endpoint;
mod read;
mod write;

use endpoint::NativeEndpoint;
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
