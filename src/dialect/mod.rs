//! The dialects (client APIs): each decodes bytes into a [`ChatRequest`] and encodes events as frames. Pure.
//!
//! A dialect's `decode` turns a body into a [`DecodedRequest`], which contains the [`Encoder`] of the answer.

pub mod anthropic;
pub mod catalog;
pub mod chat;
pub mod completions;
mod content;
pub mod count;
mod custom;
pub mod files;
pub mod form;
pub mod images;
mod json;
pub mod messages;
mod numbers;
pub mod ollama;
pub mod openai;
pub mod responses;
#[cfg(test)]
mod siblings;
pub mod speech;
mod thinking;
mod tools;
mod unknown;
pub mod videos;

use crate::error::{Error, Kind};
use crate::pipeline::{ChatRequest, Event, NativeEndpoint, Reply};

/// Whose words a client reads: the shape of errors, whole and before any question is decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's.
    #[default]
    OpenAi,
    /// OpenAI's as clients of Responses read them.
    Responses,
    /// Anthropic's.
    Anthropic,
    /// Ollama's.
    Ollama,
}

impl Dialect {
    /// An error as the body of a whole answer.
    pub fn error_answer(self, error: &Error, request: Option<&str>) -> Vec<u8> {
        match self {
            Dialect::OpenAi => openai::error_answer(error),
            Dialect::Responses => openai::error_answer(&openai::for_responses(error)),
            Dialect::Anthropic => anthropic::error_answer(error, request),
            Dialect::Ollama => ollama::error_answer(error),
        }
    }

    /// The HTTP status of that answer.
    pub fn status(self, kind: Kind) -> u16 {
        match self {
            Dialect::Anthropic => anthropic::status(kind),
            Dialect::OpenAi | Dialect::Responses | Dialect::Ollama => kind.status(),
        }
    }
}

/// What every answer carries whatever the dialect: where ids and the time come from.
#[derive(Clone, Copy)]
pub struct Stamp<'a> {
    /// Seconds since 1970.
    pub now: u64,
    /// A new id that begins with the given prefix.
    pub make_id: &'a dyn Fn(&str) -> String,
}

/// A decoded request: what is asked, and how its answer is sent.
pub struct DecodedRequest {
    /// What is asked, one answer made of all; none where nothing is to be asked.
    pub chats: Vec<ChatRequest>,
    /// The model that is named where nothing is to be asked: one that is not served is refused all the same.
    pub named: Option<String>,
    /// As a stream.
    pub stream: bool,
    /// Poe's native endpoint through which the body could go as it came; `None` where Poe has none for the dialect.
    pub endpoint: Option<NativeEndpoint>,
    /// The items of the conversation that a request of Responses goes on from, read only where they are sent.
    pub earlier: Option<responses::Items>,
    /// Encodes the answer.
    pub encoder: Box<dyn Encoder>,
}

/// Encodes one answer in one dialect: whole, or event by event.
pub trait Encoder {
    /// The MIME type of the stream.
    fn content_type(&self) -> &'static str {
        "text/event-stream; charset=utf-8"
    }

    /// The answer as one piece, one reply for each choice: all choices of the first ask, then those of the next.
    fn whole(&mut self, replies: &[Reply]) -> Vec<u8>;

    /// The error to send in place of these replies, if they cannot be encoded.
    fn fault(&self, _replies: &[Reply]) -> Option<Error> {
        None
    }

    /// The answer begins: `prompt` counts the tokens of the question as it was sent, for dialects that state them first.
    fn begin(&mut self, _prompt: &dyn Fn() -> u64) {}

    /// Renders `event` of choice `index` into `out`.
    fn event(&mut self, index: usize, event: &Event, out: &mut Vec<u8>);

    /// The end of the stream, after every choice had its `Finish`.
    fn end(&mut self, out: &mut Vec<u8>);

    /// The end of a stream that failed.
    fn error(&mut self, error: &Error, out: &mut Vec<u8>);

    /// Others have sent these events of the stream, whole ones.
    fn passed(&mut self, _events: &[u8]) {}

    /// The end of a stream that failed after others have sent the beginning, in pieces of their own.
    fn break_off(&mut self, error: &Error, out: &mut Vec<u8>) {
        self.error(error, out);
    }

    /// Others have sent the answer; this is all of it, as one piece.
    fn rendered(&mut self, _whole: &[u8]) {}

    /// A sign of life while nothing else comes.
    fn keep_alive(&mut self, out: &mut Vec<u8>);
}
