//! A whole answer: the events of a stream folded into one.

use super::{Attachment, Event, Finish, ToolCall};
use crate::error::Result;

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
}

impl Reply {
    /// Reads `events` up to their `Finish`.
    pub fn fold(events: impl Iterator<Item = Result<Event>>) -> Result<Reply> {
        let mut reply = Reply::default();
        for event in events {
            let event = event?;
            let is_last = matches!(event, Event::Finish(_));
            reply.push(event);
            if is_last {
                break;
            }
        }
        Ok(reply)
    }

    /// Takes one event in.
    pub(crate) fn push(&mut self, event: Event) {
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
                self.text.clear();
                self.thinking.clear();
            }
            Event::Finish(finish) => self.finish = finish,
        }
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
