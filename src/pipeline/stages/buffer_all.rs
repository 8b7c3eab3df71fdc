//! Stage that buffers a whole answer and emits it once, for bots that keep replacing their text.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::pipeline::{Event, Finish, FinishReason, Reply, Stage, ToolCall, ToolDelta};

/// Folds the answer and emits it at its end: thought, text, files, calls, suggestions. Where the server has no memory for
/// more, the answer ends there, as too long.
#[derive(Default)]
pub struct BufferAll {
    reply: Reply,
}

impl BufferAll {
    fn render(&mut self, out: &mut VecDeque<Event>) {
        let reply = std::mem::take(&mut self.reply);
        let said = |text: &String| !text.is_empty();
        out.extend(Some(reply.thinking).filter(said).map(Event::Thinking));
        out.extend(Some(reply.text).filter(said).map(Event::Text));
        out.extend(reply.files.into_iter().map(Event::File));
        out.extend(reply.tool_calls.into_iter().enumerate().map(whole_call));
        out.extend(reply.suggestions.into_iter().map(Event::Suggestion));
        out.extend(reply.metadata.map(Event::Metadata));
    }
}

impl Stage for BufferAll {
    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match event {
            Event::Finish(_) => {
                self.render(out);
                out.push_back(event);
            }
            event => {
                if self.reply.push(event).is_err() {
                    self.render(out);
                    let reason = FinishReason::Length;
                    out.push_back(Event::Finish(Finish { reason, ..Finish::default() }));
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self, out: &mut VecDeque<Event>) {
        self.render(out);
    }
}

/// A call in one piece.
fn whole_call((index, call): (usize, ToolCall)) -> Event {
    let ToolCall { id, name, arguments } = call;
    Event::ToolCall(ToolDelta {
        index,
        id: Some(id).filter(|id| !id.is_empty()),
        name: Some(name),
        arguments,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::every_split::{end, every_split, text, thinking};
    use crate::pipeline::{Attachment, Stages};

    fn answer() -> Vec<Event> {
        let call = |id: Option<&str>, arguments: &str| {
            let id: Option<String> = id.map(Into::into);
            Event::ToolCall(ToolDelta { index: 0, name: id.clone(), id, arguments: arguments.into() })
        };
        vec![
            text("Generating (1s)"),
            Event::File(Attachment::default()),
            Event::Retract,
            text("fi"),
            thinking("hm"),
            call(Some("f"), "{"),
            Event::Suggestion("more?".into()),
            call(None, "}"),
            text("nal"),
            end(),
        ]
    }

    #[test]
    fn everything_is_emitted_once_and_at_the_end() {
        let out: Vec<_> =
            answer().into_iter().map(Ok).through(BufferAll::default()).map(Result::unwrap).collect();
        let call =
            ToolDelta { index: 0, id: Some("f".into()), name: Some("f".into()), arguments: "{}".into() };
        let file = Event::File(Attachment::default());
        let more = Event::Suggestion("more?".into());
        assert_eq!(out, [thinking("hm"), text("final"), file, Event::ToolCall(call), more, end()]);
    }

    #[test]
    fn the_same_reply_wherever_it_is_cut() {
        let plain = Reply::fold(answer().into_iter().map(Ok)).unwrap();
        assert_eq!(every_split(BufferAll::default, &answer()), plain);
    }

    #[test]
    fn what_was_held_comes_before_an_error() {
        let broken = crate::error::Error::new(crate::error::Kind::Upstream, "broken");
        let events = vec![Ok(text("a")), Ok(text("b")), Err(broken.clone())];
        let out: Vec<_> = events.into_iter().through(BufferAll::default()).collect();
        assert_eq!(out, [Ok(text("ab")), Err(broken)]);
    }
}
