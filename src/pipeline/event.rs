//! Events of an answer, independent of any dialect.

use super::Attachment;

/// One piece of an answer. `Finish` comes once and last; an answer that breaks off ends with an error instead.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Text to append.
    Text(String),
    /// Thought to append; not part of the answer's text.
    Thinking(String),
    /// A piece of a call to a function.
    ToolCall(ToolDelta),
    /// A file that the bot made.
    File(Attachment),
    /// A reply that the bot suggests to the user; never part of the text.
    Suggestion(String),
    /// What the bot attached to its message for itself: Poe's `data`. Only the last counts.
    Metadata(String),
    /// Forget all text and thought so far: Poe's `replace_response`.
    Retract,
    /// The end.
    Finish(Finish),
}

/// A piece of a call. The first piece of each index holds the name; arguments come in any number of pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolDelta {
    /// Which call of this answer, from 0.
    pub index: usize,
    /// The call's id, in the first piece only.
    pub id: Option<String>,
    /// The function's name, in the first piece only.
    pub name: Option<String>,
    /// The next characters of the arguments' JSON.
    pub arguments: String,
}

/// How an answer ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Finish {
    /// Why it ended.
    pub reason: FinishReason,
    /// What it took, once counted.
    pub usage: Option<TokenUsage>,
    /// The stop text that was met, where it was met here: a bot that follows stop texts does not say so.
    pub stop: Option<String>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FinishReason {
    /// The model had said what it wanted, or a stop text was met.
    #[default]
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// The model waits for the results of its calls.
    ToolCalls,
    /// The content was refused.
    ContentFilter,
}

/// Tokens, counted by o200k_base and not billed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Tokens of the question.
    pub prompt: u64,
    /// Tokens of the answer, thought included.
    pub completion: u64,
    /// Tokens of the thought alone.
    pub reasoning: u64,
}

impl TokenUsage {
    /// Question and answer together.
    pub fn total(&self) -> u64 {
        self.prompt + self.completion
    }
}
