//! A whole answer: the events of a stream folded into one value.

use super::{Attachment, Event, Finish, ToolCall};
use crate::budget::Reservation;
use crate::error::Result;

/// A whole answer is held as its parts, as the text that is sent and while that is written.
const COPIES: usize = 4;
/// What a file, a call or a suggestion takes beside its text.
const AROUND: usize = 512;

/// All that a bot answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// The text.
    pub text: String,
    /// The thought before it.
    pub thinking: String,
    /// The calls, in the order of their index.
    pub tool_calls: Vec<ToolCall>,
    /// Files that the bot made.
    pub files: Vec<Attachment>,
    /// Replies that the bot suggests to the user.
    pub suggestions: Vec<String>,
    /// What the bot attached to its message for itself.
    pub metadata: Option<String>,
    /// How it ended.
    pub finish: Finish,
    /// The memory that is reserved for it.
    pub memory: Reservation,
}

impl Reply {
    /// Reads `events` up to their `Finish`.
    pub fn fold(events: impl Iterator<Item = Result<Event>>) -> Result<Reply> {
        let mut reply = Reply::default();
        for event in events {
            let event = event?;
            let is_last = matches!(event, Event::Finish(_));
            reply.push(event)?;
            if is_last {
                break;
            }
        }
        Ok(reply)
    }

    /// Takes one event in. An error says that the server has no memory for it.
    pub fn push(&mut self, event: Event) -> Result<()> {
        self.memory.grow(size(&event) * COPIES)?;
        match event {
            Event::Text(text) => self.text.push_str(&text),
            Event::Thinking(text) => self.thinking.push_str(&text),
            Event::ToolCall(delta) => {
                if self.tool_calls.len() <= delta.index {
                    self.tool_calls.resize_with(delta.index + 1, ToolCall::default);
                }
                let call = &mut self.tool_calls[delta.index];
                if let Some(id) = delta.id {
                    call.id = id;
                }
                if let Some(name) = delta.name {
                    call.name = name;
                }
                call.arguments.push_str(&delta.arguments);
            }
            Event::File(file) => self.files.push(file),
            Event::Suggestion(text) => self.suggestions.push(text),
            Event::Metadata(text) => self.metadata = Some(text),
            Event::Retract => {
                self.memory.ungrow((self.text.len() + self.thinking.len()) * COPIES);
                self.text.clear();
                self.thinking.clear();
            }
            Event::Finish(finish) => self.finish = finish,
        }
        Ok(())
    }
}

/// The bytes that an event adds to an answer that is held.
fn size(event: &Event) -> usize {
    match event {
        Event::Text(text) | Event::Thinking(text) => text.len(),
        Event::Suggestion(text) | Event::Metadata(text) => text.len() + AROUND,
        Event::File(file) => file.url.len() + file.name.len() + AROUND,
        // a piece of a call takes no more than its text
        Event::ToolCall(delta) => delta.arguments.len() + delta.name.as_ref().map_or(0, |_| AROUND),
        Event::Retract | Event::Finish(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{FinishReason, ToolDelta};

    #[test]
    fn folds_text_calls_and_retractions() {
        let delta = |index, id: Option<&str>, arguments: &str| {
            Event::ToolCall(ToolDelta {
                index,
                id: id.map(Into::into),
                name: id.map(|_| "f".into()),
                arguments: arguments.into(),
            })
        };
        let events = vec![
            Event::Text("progress".into()),
            Event::Retract,
            Event::Thinking("hm".into()),
            Event::Text("a".into()),
            Event::Text("b".into()),
            delta(0, Some("x"), "{"),
            delta(1, Some("y"), "{}"),
            delta(0, None, "}"),
            Event::Finish(Finish { reason: FinishReason::ToolCalls, ..Finish::default() }),
        ];
        let reply = Reply::fold(events.into_iter().map(Ok)).unwrap();
        assert_eq!((reply.text.as_str(), reply.thinking.as_str()), ("ab", "hm"));
        let calls: Vec<_> = reply.tool_calls.iter().map(|c| (c.id.as_str(), c.arguments.as_str())).collect();
        assert_eq!(calls, [("x", "{}"), ("y", "{}")]);
        assert_eq!(reply.finish.reason, FinishReason::ToolCalls);
    }
}
