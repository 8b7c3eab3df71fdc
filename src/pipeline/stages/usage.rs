//! Stage that counts the tokens of prompt and answer and writes them into the `Finish`.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::pipeline::{ChatRequest, Event, Part, Stage, TokenUsage};

/// Counts the tokens of a text; passed in, because this layer does not import `tokens`.
pub type CountTokens = fn(&str) -> usize;

/// The last counting stage: sees every character that the answer shows.
pub struct Usage<P> {
    count: CountTokens,
    prompt: P,
    text: String,
    thinking: String,
    calls: String,
}

impl<P: FnMut() -> u64> Usage<P> {
    /// Counts an answer; `prompt` counts its prompt, at the end, so that the answer is not delayed.
    pub fn new(count: CountTokens, prompt: P) -> Usage<P> {
        Usage { count, prompt, text: String::new(), thinking: String::new(), calls: String::new() }
    }
}

impl<P: FnMut() -> u64> Stage for Usage<P> {
    #[inline]
    fn passes(&mut self, event: &Event) -> bool {
        match event {
            Event::Text(text) => self.text.push_str(text),
            Event::Thinking(text) => self.thinking.push_str(text),
            _ => return false,
        }
        true
    }

    fn push(&mut self, mut event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match &mut event {
            Event::ToolCall(delta) => {
                self.calls.push_str(delta.name.as_deref().unwrap_or_default());
                self.calls.push_str(&delta.arguments);
            }
            Event::Retract => {
                self.text.clear();
                self.thinking.clear();
            }
            Event::Finish(finish) => {
                let count = |text: &str| (self.count)(text) as u64;
                let reasoning = count(&self.thinking);
                let completion = count(&self.text) + count(&self.calls) + reasoning;
                finish.usage = Some(TokenUsage { prompt: (self.prompt)(), completion, reasoning });
            }
            _ => {}
        }
        out.push_back(event);
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

    #[test]
    fn the_finish_carries_what_was_shown() {
        let count: CountTokens = |text| text.split_whitespace().count();
        let events = vec![
            Event::Text("gone gone".into()),
            Event::Retract,
            Event::Thinking("one two".into()),
            Event::Text("three fo".into()),
            Event::Text("ur".into()),
            Event::Finish(Finish::default()),
        ];
        let last = events.into_iter().map(Ok).through(Usage::new(count, || 7)).last().unwrap().unwrap();
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
