//! Limits of one answer: what a bot may send before the answer is ended.

use crate::error::{Error, Kind, Result};
use crate::pipeline::Event;

/// The most bytes of text, thought, calls, files and suggested replies that one answer has, what was replaced not counted.
const MOST_BYTES: usize = 64 << 20;
/// The most calls, and the most files, of one answer.
const MOST_CALLS: usize = 1_000;
const MOST_FILES: usize = 1_000;
/// The most suggested replies of one answer; clients show no more.
const MOST_SUGGESTIONS: usize = 100;
/// The most responses beside the first, by their `index`.
const MOST_OTHERS: usize = 64;

/// What has come of an answer so far.
#[derive(Debug)]
pub struct AnswerLimits {
    most_bytes: usize,
    /// Bytes that a replacement takes back.
    text: usize,
    /// Bytes that stay.
    kept: usize,
    calls: usize,
    files: usize,
    suggestions: usize,
}

/// Whether the answer may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// More may come.
    Left,
    /// The answer is as long as one may be: it ends here, as too long.
    Full,
}

impl Default for AnswerLimits {
    fn default() -> AnswerLimits {
        AnswerLimits::of(MOST_BYTES)
    }
}

impl AnswerLimits {
    /// The limits of an answer of at most `most_bytes` of text.
    pub fn of(most_bytes: usize) -> AnswerLimits {
        AnswerLimits { most_bytes, text: 0, kept: 0, calls: 0, files: 0, suggestions: 0 }
    }

    /// Counts an event. An error says what of the answer is too much.
    pub fn count(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Text(text) | Event::Thinking(text) => self.text += text.len(),
            Event::Metadata(text) => self.text += text.len(),
            Event::ToolCall(delta) => {
                let names = [&delta.id, &delta.name].into_iter().flatten().map(String::len);
                self.kept += delta.arguments.len() + names.sum::<usize>();
                self.calls = self.calls.max(delta.index + 1);
            }
            Event::Retract => self.text = 0,
            Event::File(file) => {
                self.kept += file.url.len() + file.name.len() + file.content_type.len();
                self.kept += file.inline_ref.as_ref().map_or(0, String::len);
                self.files += 1;
            }
            Event::Suggestion(text) => {
                self.kept += text.len();
                self.suggestions += 1;
            }
            Event::Finish(_) => {}
        }
        match () {
            () if self.calls > MOST_CALLS => Err(too_many(MOST_CALLS, "calls")),
            () if self.files > MOST_FILES => Err(too_many(MOST_FILES, "files")),
            () if self.suggestions > MOST_SUGGESTIONS => Err(too_many(MOST_SUGGESTIONS, "suggested replies")),
            () => Ok(()),
        }
    }

    /// Whether more may come, while `others` holds the bytes of other responses in one stream.
    pub fn room(&self, others: impl ExactSizeIterator<Item = usize>) -> Result<Room> {
        if others.len() > MOST_OTHERS {
            return Err(too_many(MOST_OTHERS, "responses"));
        }
        let held: usize = others.sum();
        Ok(if self.text + self.kept + held > self.most_bytes { Room::Full } else { Room::Left })
    }
}

fn too_many(most: usize, what: &str) -> Error {
    let message = format!("the bot sent more than {most} {what} in one answer");
    Error::new(Kind::Upstream, message).for_good()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Attachment, ToolDelta};

    const MOST: usize = 4000;

    fn sent(events: impl IntoIterator<Item = Event>) -> Result<Room> {
        let mut limits = AnswerLimits::of(MOST);
        events.into_iter().try_for_each(|event| limits.count(&event))?;
        limits.room([].into_iter())
    }

    #[test]
    fn text_ends_at_a_length_and_what_was_replaced_does_not_count() {
        let piece = || Event::Text("x".repeat(MOST / 4));
        let thought = || Event::Thinking("x".repeat(MOST / 4));
        assert_eq!(sent([piece(), thought(), piece(), thought()]), Ok(Room::Left));
        assert_eq!(sent([piece(), thought(), piece(), thought(), Event::Text("x".into())]), Ok(Room::Full));
        assert_eq!(sent((0..20).flat_map(|_| [piece(), piece(), Event::Retract])), Ok(Room::Left));
    }

    #[test]
    fn what_is_not_replaced_counts_to_the_end() {
        let long = || "x".repeat(MOST / 4);
        let call = |delta| Event::ToolCall(ToolDelta { index: 1, ..delta });
        for event in [
            call(ToolDelta { arguments: long(), ..ToolDelta::default() }),
            call(ToolDelta { name: Some(long()), ..ToolDelta::default() }),
            call(ToolDelta { id: Some(long()), ..ToolDelta::default() }),
            Event::File(Attachment { url: long(), ..Attachment::default() }),
            Event::File(Attachment { inline_ref: Some(long()), ..Attachment::default() }),
            Event::Suggestion(long()),
        ] {
            let events = |count: usize| (0..count).flat_map(|_| [event.clone(), Event::Retract]);
            assert_eq!(sent(events(4)), Ok(Room::Left), "{event:?}");
            assert_eq!(sent(events(5)), Ok(Room::Full), "{event:?}");
        }
    }

    #[test]
    fn calls_files_and_suggestions_are_counted() {
        let call = |index| Event::ToolCall(ToolDelta { index, ..ToolDelta::default() });
        assert!(sent((0..MOST_CALLS).map(call)).is_ok());
        assert!(sent((0..9 * MOST_CALLS).map(|_| call(0))).is_ok(), "pieces of one");
        assert!(sent([call(MOST_CALLS)]).unwrap_err().message.contains("calls"));
        let file = |_| Event::File(Attachment::default());
        assert!(sent((0..MOST_FILES).map(file)).is_ok());
        assert!(sent((0..=MOST_FILES).map(file)).is_err());
        assert!(sent((0..=MOST_SUGGESTIONS).map(|_| Event::Suggestion("x".into()))).is_err());
    }

    #[test]
    fn other_responses_in_the_same_stream_count() {
        let limits = AnswerLimits::of(MOST);
        assert_eq!(limits.room([MOST].into_iter()), Ok(Room::Left));
        assert_eq!(limits.room([MOST, 1].into_iter()), Ok(Room::Full));
        assert!(limits.room([1; MOST_OTHERS + 1].into_iter()).is_err());
    }
}
