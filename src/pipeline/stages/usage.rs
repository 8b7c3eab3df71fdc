//! Stage that counts the tokens of prompt and answer and writes them into the `Finish`.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::CountRunning;
use crate::pipeline::{ChatRequest, Event, Part, Stage, TokenUsage};

/// So much text is counted at once: each count looks at the word again that the last one ended in.
const COUNTED_AT_ONCE: usize = 4 << 10;

/// The last counting stage: sees every character that the answer shows.
pub struct Usage<C, P> {
    prompt: P,
    fresh: C,
    text: Tokens<C>,
    thinking: Tokens<C>,
    calls: Tokens<C>,
}

/// The tokens of one kind of text.
struct Tokens<C> {
    counter: C,
    /// Text that has not been counted yet.
    pending: String,
}

impl<C: CountRunning> Tokens<C> {
    fn new(counter: C) -> Tokens<C> {
        Tokens { counter, pending: String::new() }
    }

    fn add(&mut self, text: &str) {
        if self.pending.len() + text.len() > COUNTED_AT_ONCE {
            self.counter.push(&self.pending);
            self.pending.clear();
        }
        match text.len() > COUNTED_AT_ONCE {
            true => self.counter.push(text),
            false => self.pending.push_str(text),
        }
    }

    fn total(&mut self) -> u64 {
        self.counter.push(&self.pending);
        self.pending.clear();
        self.counter.count() as u64
    }
}

impl<C: CountRunning, P: FnMut() -> u64> Usage<C, P> {
    /// Counts an answer with `counter`, which is fresh; `prompt` counts its prompt, at the end, so that the answer is not
    /// delayed.
    pub fn new(counter: C, prompt: P) -> Usage<C, P> {
        let [text, thinking, calls] = [(); 3].map(|()| Tokens::new(counter.clone()));
        Usage { prompt, fresh: counter, text, thinking, calls }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::ToolCall(delta) => {
                self.calls.add(delta.name.as_deref().unwrap_or_default());
                self.calls.add(&delta.arguments);
            }
            Event::Retract => {
                self.text = Tokens::new(self.fresh.clone());
                self.thinking = Tokens::new(self.fresh.clone());
            }
            _ => {}
        }
    }
}

impl<C: CountRunning, P: FnMut() -> u64> Stage for Usage<C, P> {
    #[inline]
    fn pass(&mut self, event: Event) -> Result<Event, Event> {
        match &event {
            Event::Text(text) => self.text.add(text),
            Event::Thinking(text) => self.thinking.add(text),
            _ => return Err(event),
        }
        Ok(event)
    }

    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match self.pass(event) {
            Ok(event) => out.push_back(event),
            Err(Event::Finish(mut finish)) => {
                let reasoning = self.thinking.total();
                let completion = self.text.total() + self.calls.total() + reasoning;
                finish.usage = Some(TokenUsage { prompt: (self.prompt)(), completion, reasoning });
                out.push_back(Event::Finish(finish));
            }
            Err(event) => {
                self.note(&event);
                out.push_back(event);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Tokens of the question, by OpenAI's published rule for chats: three for each turn, one for each name, three to
/// open the answer, and all text in between. Files count nothing: their price is not known here.
pub fn prompt_tokens(chat: &ChatRequest, mut count: impl FnMut(&str) -> usize) -> u64 {
    let mut tokens = 3;
    for message in &chat.messages {
        tokens += 4; // three and the role, which is one token by itself
        for part in &message.parts {
            if let Part::Text(text) = part {
                tokens += count(text);
            }
        }
        if let Some(name) = &message.name {
            tokens += 1 + count(name);
        }
        for call in &message.tool_calls {
            tokens += count(&call.name) + count(&call.arguments);
        }
    }
    for tool in &chat.tools {
        tokens += count(&tool.name);
        tokens += tool.description.as_deref().map_or(0, &mut count);
        tokens += tool.parameters.as_ref().map_or(0, |schema| count(&schema.to_string()));
    }
    tokens as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Finish, Message, Role, Stages};

    #[derive(Clone, Default)]
    struct Words(String);

    impl CountRunning for Words {
        fn fits(&mut self, _: &str, _: usize) -> usize {
            unreachable!("nothing is limited here")
        }

        fn push(&mut self, piece: &str) {
            self.0.push_str(piece);
        }

        fn count(&self) -> usize {
            self.0.split_whitespace().count()
        }
    }

    #[test]
    fn a_long_answer_is_not_kept() {
        let mut stage = Usage::new(Words::default(), || 7);
        let mut out = VecDeque::new();
        for _ in 0..10_000 {
            assert!(stage.pass(Event::Text("some words ".into())).is_ok());
            assert!(stage.text.pending.capacity() <= 2 * COUNTED_AT_ONCE);
        }
        assert!(stage.push(Event::Text("x".repeat(COUNTED_AT_ONCE + 1)), &mut out).is_continue());
        assert!(stage.push(Event::Finish(Finish::default()), &mut out).is_continue());
        let Some(Event::Finish(finish)) = out.pop_back() else { panic!("{out:?}") };
        assert_eq!(finish.usage, Some(TokenUsage { prompt: 7, completion: 20_001, reasoning: 0 }));
    }

    #[test]
    fn the_finish_carries_what_was_shown() {
        let events = vec![
            Event::Text("gone gone".into()),
            Event::Retract,
            Event::Thinking("one two".into()),
            Event::Text("three fo".into()),
            Event::Text("ur".into()),
            Event::Finish(Finish::default()),
        ];
        let last =
            events.into_iter().map(Ok).through(Usage::new(Words::default(), || 7)).last().unwrap().unwrap();
        let Event::Finish(finish) = last else { panic!("{last:?}") };
        assert_eq!(finish.usage, Some(TokenUsage { prompt: 7, completion: 4, reasoning: 2 }));
    }

    #[test]
    fn the_question_is_counted_as_openai_counts_chats() {
        let message =
            Message { role: Role::User, parts: vec![Part::Text("a b".into())], ..Message::default() };
        let chat = ChatRequest { messages: vec![message], ..ChatRequest::default() };
        assert_eq!(prompt_tokens(&chat, |text| text.split_whitespace().count()), 3 + 4 + 2);
    }
}
