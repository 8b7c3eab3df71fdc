//! The tongues: bytes into an [`Ask`], events into frames. Pure; siblings are alike.
//!
//! A dialect's `decode` makes a [`Question`] of a body. The question brings the [`Encoder`] that tells its answer.

pub mod catalog;
pub mod chat;
mod custom;
pub mod files;
mod json;
pub mod openai;
pub mod responses;

use crate::error::Error;
use crate::exchange::{Ask, Event, Reply};

/// Whose words a client reads: the shape of errors, whole and before any question is decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's.
    #[default]
    OpenAi,
    /// OpenAI's as clients of Responses read them.
    Responses,
}

impl Dialect {
    /// An error as the body of a whole answer.
    pub fn error_answer(self, error: &Error) -> Vec<u8> {
        match self {
            Dialect::OpenAi => openai::error_answer(error),
            Dialect::Responses => openai::error_answer(&openai::for_responses(error)),
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

/// A decoded request: what is asked, and how its answer is told.
pub struct Question {
    /// What is asked.
    pub ask: Ask,
    /// As a stream.
    pub stream: bool,
    /// Tells the answer.
    pub encoder: Box<dyn Encoder>,
}

/// Tells one answer in one dialect: whole, or event by event.
pub trait Encoder {
    /// The answer as one piece, one reply for each choice.
    fn whole(&mut self, replies: &[Reply]) -> Vec<u8>;

    /// Renders `event` of choice `index` into `out`.
    fn event(&mut self, index: usize, event: &Event, out: &mut Vec<u8>);

    /// The end of the stream, after every choice had its `Finish`.
    fn end(&mut self, out: &mut Vec<u8>);

    /// The end of a stream that failed.
    fn error(&mut self, error: &Error, out: &mut Vec<u8>);

    /// A sign of life while nothing else comes.
    fn keep_alive(&mut self, out: &mut Vec<u8>);
}
