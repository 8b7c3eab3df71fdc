//! Stage for bots that retract or replace text: decides what a stream can still send.

use std::collections::{BTreeSet, VecDeque};
use std::ops::{Bound, ControlFlow};

use crate::pipeline::progress::{is_progress, may_be_progress};
use crate::pipeline::{Event, Stage};

/// Takes every [`Event::Retract`] out of a stream: what was sent to a client cannot be called back.
///
/// - Text that replaces other text is held while it may be a row of progress: its first piece until something
///   follows, and then for as long as it is one short line. What is replaced in turn was a row and is sent as
///   thought, each row once; what is followed by more text, a file, a call or the end was the answer.
/// - An answer that continues what was shown is sent from there on; any other starts a new paragraph.
/// - Text at the very start is held only while it reads like a row that is known to come from bots.
///
/// A row that reads like a known one is sent as soon as it has come, so that the person waiting sees it.
#[derive(Default)]
pub struct Retractions {
    phase: Phase,
    text: Track,
    thought: Track,
    rows: Rows,
}

/// What is known of the text since the last retraction.
enum Phase {
    /// Nothing was retracted yet, and all text so far may become a known row.
    Start(String),
    /// Retracted, and what was said since may be a row in turn.
    Row(Row),
    /// Part of the answer.
    Answer,
}

#[derive(Default)]
struct Row {
    /// The replacement and what was appended to it; empty before it has come.
    text: String,
    /// The row that was replaced, until it is certain that this text is not the same row grown longer.
    before: String,
}

impl Default for Phase {
    fn default() -> Phase {
        Phase::Start(String::new())
    }
}

impl Retractions {
    fn take_text(&mut self, piece: String, out: &mut VecDeque<Event>) {
        match std::mem::replace(&mut self.phase, Phase::Answer) {
            Phase::Answer => self.say(piece, out),
            Phase::Start(held) => {
                let text = join(held, piece);
                if may_be_progress(&text) {
                    self.phase = Phase::Start(text);
                } else {
                    self.say(text, out);
                }
            }
            Phase::Row(row) => self.take_row(row, piece, out),
        }
    }

    fn take_row(&mut self, row: Row, piece: String, out: &mut VecDeque<Event>) {
        // The replacement comes whole and may have several lines; rows that come in pieces are short lines.
        let whole = row.text.is_empty();
        let mut row = Row { text: join(row.text, piece), ..row };
        let grows = self.grows(&row);
        if row.text.starts_with(&row.before) {
            row.before.clear();
        } else if grows || !row.before.starts_with(&row.text) {
            self.rows.render(&std::mem::take(&mut row.before), out);
        }
        if grows || !(whole || is_short_line(&row.text) || may_be_progress(&row.text)) {
            self.rows.render(&row.before, out);
            return self.say(row.text, out);
        }
        if row.before.is_empty() {
            self.rows.render(progress_row(&row.text), out);
        }
        self.phase = Phase::Row(row);
    }

    /// Whether the answer itself grows: some bots stream by replacing it with a longer one. That is certain where
    /// the text goes on after what was shown, or after a replacement that was too long for a row.
    fn grows(&self, row: &Row) -> bool {
        // the cheaper question first: what was said may be long
        let goes_on = |said: &str| row.text.starts_with(said) && !said.trim().is_empty();
        goes_on(&self.text.shown) || !is_short_line(&row.before) && goes_on(&row.before)
    }

    fn retract(&mut self, out: &mut VecDeque<Event>) {
        let mut before = match std::mem::replace(&mut self.phase, Phase::Answer) {
            Phase::Answer => String::new(),
            Phase::Start(text) => text,
            Phase::Row(row) => {
                self.rows.render(&row.before, out);
                row.text
            }
        };
        if self.text.shown.starts_with(&before) {
            before.clear(); // it was on its way to repeat what is shown
        }
        self.phase = Phase::Row(Row { text: String::new(), before });
        self.text.retract();
        self.thought.retract();
    }

    fn take_thought(&mut self, piece: String, out: &mut VecDeque<Event>) {
        if let Some(piece) = self.thought.say(piece) {
            out.extend(self.rows.separate());
            out.push_back(Event::Thinking(piece));
        }
    }

    /// Whatever was held is the answer.
    fn release(&mut self, out: &mut VecDeque<Event>) {
        match std::mem::replace(&mut self.phase, Phase::Answer) {
            Phase::Start(text) => self.say(text, out),
            Phase::Row(row) => {
                self.rows.render(&row.before, out);
                self.say(row.text, out);
            }
            Phase::Answer => {}
        }
    }

    /// Whether what is held is a row even though a file follows: bots send files between the rows.
    fn holds_progress_row(&self) -> bool {
        match &self.phase {
            Phase::Start(text) => is_progress(text),
            Phase::Row(row) => row.text.is_empty() || is_progress(&row.text),
            Phase::Answer => false,
        }
    }

    fn say(&mut self, text: String, out: &mut VecDeque<Event>) {
        if !text.is_empty() {
            out.extend(self.text.say(text).map(Event::Text));
        }
    }
}

impl Stage for Retractions {
    #[inline]
    fn passes(&mut self, event: &Event) -> bool {
        match (event, &self.phase, &self.text.again) {
            (Event::Text(text), Phase::Answer, Again::No) if !text.is_empty() => {
                self.text.shown.push_str(text);
                true
            }
            _ => false,
        }
    }

    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match event {
            Event::Text(piece) => self.take_text(piece, out),
            Event::Thinking(piece) => self.take_thought(piece, out),
            Event::Retract => self.retract(out),
            Event::Suggestion(_) | Event::Metadata(_) => out.push_back(event),
            Event::File(_) if self.holds_progress_row() => out.push_back(event),
            Event::File(_) | Event::ToolCall(_) | Event::Finish(_) => {
                self.release(out);
                out.push_back(event);
            }
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self, out: &mut VecDeque<Event>) {
        if let Phase::Start(text) | Phase::Row(Row { text, .. }) = &self.phase
            && is_progress(text)
        {
            self.retract(out); // the answer broke off while the bot was still at work
        }
        self.release(out);
    }
}

/// What was shown of one kind of text, against which text after a retraction is compared.
#[derive(Default)]
struct Track {
    shown: String,
    again: Again,
}

#[derive(Default)]
enum Again {
    /// New text goes on after what was shown.
    #[default]
    No,
    /// The text is sent anew; so far it repeats so many bytes of what was shown.
    Repeats(usize),
}

impl Track {
    fn retract(&mut self) {
        if !self.shown.is_empty() {
            self.again = Again::Repeats(0);
        }
    }

    /// What is to be sent when `piece` is said.
    fn say(&mut self, piece: String) -> Option<String> {
        match std::mem::take(&mut self.again) {
            Again::No => {
                self.shown.push_str(&piece);
                Some(piece)
            }
            Again::Repeats(said) => self.compare(said, &piece),
        }
    }

    /// What is to be sent when `piece` follows on `said` bytes that were shown before.
    fn compare(&mut self, said: usize, piece: &str) -> Option<String> {
        let expected = &self.shown.as_bytes()[said..];
        if expected.starts_with(piece.as_bytes()) {
            self.again = Again::Repeats(said + piece.len());
            return None;
        }
        let rest = match piece.as_bytes().starts_with(expected) {
            true => piece[expected.len()..].to_owned(),
            false => format!("\n\n{}{piece}", &self.shown[..said]),
        };
        self.shown.truncate(said);
        self.shown.push_str(piece);
        Some(rest)
    }
}

/// The rows of progress that were sent as thought.
#[derive(Default)]
struct Rows {
    rendered: BTreeSet<String>,
    last: String,
    line: Line,
}

/// What the thought sent so far ends with.
#[derive(Default, Clone, Copy)]
enum Line {
    #[default]
    Empty,
    Row,
    Thought,
}

impl Rows {
    /// Emits a progress row once. A row that continues the last one ("Searching.", "Searching..") continues its line.
    fn render(&mut self, row: &str, out: &mut VecDeque<Event>) {
        let row = row.trim();
        // of those that are not before it in order, the first one begins with it if any does
        let next = self.rendered.range::<str, _>((Bound::Included(row), Bound::Unbounded)).next();
        if row.is_empty() || next.is_some_and(|rendered| rendered.starts_with(row)) {
            return;
        }
        let rest = row.strip_prefix(self.last.as_str());
        let piece = match (self.line, rest) {
            (Line::Empty, _) => row.to_owned(),
            (Line::Row, Some(rest)) => rest.to_owned(),
            (Line::Row | Line::Thought, _) => format!("\n{row}"),
        };
        out.push_back(Event::Thinking(piece));
        self.line = Line::Row;
        self.rendered.insert(row.to_owned());
        row.clone_into(&mut self.last);
    }

    /// What stands between the rows and a thought of the bot that now follows.
    fn separate(&mut self) -> Option<Event> {
        match std::mem::replace(&mut self.line, Line::Thought) {
            Line::Row => Some(Event::Thinking("\n".into())),
            Line::Empty | Line::Thought => None,
        }
    }
}

/// The longest row of progress, in bytes.
const LONGEST_ROW: usize = 120;

fn is_short_line(text: &str) -> bool {
    text.len() <= LONGEST_ROW && !text.trim().contains('\n')
}

/// The longest start of a short line that reads like a known row, or nothing.
fn progress_row(text: &str) -> &str {
    if is_progress(text) {
        return text;
    }
    let last = (0..=LONGEST_ROW.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let ends = [last].into_iter().chain(text[..last].char_indices().rev().map(|(end, _)| end));
    let begins = text.char_indices().nth(1).is_none_or(|(end, _)| may_be_progress(&text[..end]));
    ends.filter(|_| begins).find(|end| is_progress(&text[..*end])).map_or("", |end| &text[..end])
}

/// Both pieces in one, without a copy when the first is empty.
fn join(held: String, piece: String) -> String {
    if held.is_empty() { piece } else { held + &piece }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::Event::Retract;
    use crate::pipeline::every_split::{end, every_split, same, text, thinking};
    use crate::pipeline::{Attachment, Reply, Stages, ToolDelta};

    fn run(events: Vec<Event>) -> Vec<Event> {
        events.into_iter().map(Ok).through(Retractions::default()).map(Result::unwrap).collect()
    }

    /// What a client sees: nothing is retracted any more.
    fn settled(events: &[Event]) -> Reply {
        same(events, |events| assert!(!run(events).contains(&Retract)));
        every_split(Retractions::default, events)
    }

    fn seen(reply: &Reply) -> (&str, &str) {
        (&reply.thinking, &reply.text)
    }

    #[test]
    fn rows_of_progress_are_thought_and_never_content() {
        let reply = settled(&[
            text("Thinking... (1s elapsed)"),
            Retract,
            text("Thinking... (2s elapsed)"),
            Retract,
            text("Thinking... (2s elapsed)"),
            Retract,
            text("Generating image (3s)…"),
            Retract,
            text("The answer is 4."),
            end(),
        ]);
        let rows = "Thinking... (1s elapsed)\nThinking... (2s elapsed)\nGenerating image (3s)…";
        assert_eq!(seen(&reply), (rows, "The answer is 4."));
    }

    #[test]
    fn rows_nobody_knew_are_held_too() {
        let reply = settled(&[
            Retract,
            text("Asking the oracle [1/2]"),
            Retract,
            text("Asking the sibyl"),
            Retract,
            text("4"),
            text("2"),
            end(),
        ]);
        assert_eq!(seen(&reply), ("Asking the oracle [1/2]\nAsking the sibyl", "42"));
    }

    #[test]
    fn a_row_is_seen_while_the_bot_works() {
        let out = run(vec![Retract, text("Thinking... (1s elapsed)")]);
        assert_eq!(out[0], thinking("Thinking... (1s elapsed)"));
        let out = run(vec![
            text("Thinking... (1s elapsed)"),
            Retract,
            text("Thinking... (2s elapsed)"),
            thinking("x"),
        ]);
        assert_eq!(out[..3], ["Thinking... (1s elapsed)", "\nThinking... (2s elapsed)", "\n"].map(thinking));
    }

    #[test]
    fn a_replacement_of_many_lines_is_held_until_something_follows() {
        let rows = [text("a"), Retract, text("one\ntwo"), Retract, text("final"), end()];
        let out = run(rows.to_vec());
        let shown: Vec<_> = out.iter().filter(|event| matches!(event, Event::Text(_))).cloned().collect();
        assert_eq!(shown, [text("a"), text("\n\nfinal")]);
    }

    #[test]
    fn only_the_rest_is_sent_when_the_new_text_continues_the_old() {
        for rest in [vec![text("Hello world")], vec![text("Hello"), text(" wor"), text("ld")]] {
            let mut events = vec![text("Hel"), text("lo"), Retract];
            events.extend(rest);
            events.push(end());
            assert_eq!(settled(&events).text, "Hello world");
        }
        assert_eq!(settled(&[text("Hello"), Retract, text("Hello"), end()]).text, "Hello");
        assert_eq!(settled(&[text("Hello"), Retract, text("Hel"), end()]).text, "Hello");
    }

    #[test]
    fn an_answer_that_grows_by_replacing_is_streamed() {
        let events = ["The", "The sum is\n4", "The sum is\n4, I", "The sum is\n4, I think"].map(text);
        let events = events.into_iter().flat_map(|event| [Retract, event]).collect();
        let out = run(events);
        assert_eq!(out, [text("The sum is\n4, I"), text(" think")]);
    }

    #[test]
    fn other_text_starts_a_new_paragraph() {
        let proof = [text("Proof:\n"), text("4\n")];
        let mut events = vec![text("Guess: 5"), Retract];
        events.extend(proof);
        events.extend([Retract, text("Proof:\n4"), end()]);
        assert_eq!(settled(&events).text, "Guess: 5\n\nProof:\n4\n");
        let reply = settled(&[text("It is 5."), Retract, text("It is 4."), text(" Done"), end()]);
        assert_eq!(reply.text, "It is 5.\n\nIt is 4. Done");
    }

    #[test]
    fn repeated_thought_is_sent_once() {
        let reply = settled(&[thinking("one"), text("a"), Retract, thinking("one two"), text("ab"), end()]);
        assert_eq!(seen(&reply), ("one two", "ab"));
    }

    #[test]
    fn a_call_or_a_file_makes_text_final() {
        let call = Event::ToolCall(ToolDelta::default());
        let file = Event::File(Attachment::default());
        assert_eq!(run(vec![Retract, text("hm"), call.clone()]), [text("hm"), call]);
        assert_eq!(run(vec![Retract, text("hm"), file.clone()]), [text("hm"), file.clone()]);
        let row = "Generating image (3s)";
        let out = run(vec![Retract, text(row), file.clone(), Retract, text("Here"), end()]);
        assert_eq!(out, [thinking(row), file, text("Here"), end()]);
    }

    #[test]
    fn what_reads_like_a_row_but_goes_on_is_the_answer() {
        for answer in ["Thinking about it… I'd say 4", "Generating functions are sums.\n\nThey", "Loading..."]
        {
            assert_eq!(seen(&settled(&[text(answer), end()])), ("", answer));
        }
    }

    #[test]
    fn what_was_held_comes_before_an_error() {
        let broken = || Err(crate::error::Error::new(crate::error::Kind::Upstream, "broken"));
        let out =
            |held| vec![Ok(Retract), Ok(text(held)), broken()].into_iter().through(Retractions::default());
        assert_eq!(out("half an").next(), Some(Ok(text("half an"))));
        assert_eq!(out("Thinking... (1s)").collect::<Vec<_>>(), [Ok(thinking("Thinking... (1s)")), broken()]);
    }

    #[test]
    fn plain_text_passes_without_a_copy() {
        let piece = String::from("some text");
        let place = piece.as_ptr();
        let mut out = VecDeque::new();
        let _ = Retractions::default().push(Event::Text(piece), &mut out);
        let Some(Event::Text(piece)) = out.pop_front() else { panic!("no text") };
        assert_eq!(piece.as_ptr(), place);
    }

    proptest! {
        #[test]
        fn nothing_final_is_lost(
            first in "[a-c ]{0,5}", rows in proptest::collection::vec("[a-c ]{0,5}", 0..4), rest in "[a-c \n]{0,5}",
        ) {
            let mut events = vec![text(&first)];
            for row in &rows {
                events.extend([Retract, text(row)]);
            }
            events.extend([text(&rest), end()]);
            let whole = Reply::fold(events.clone().into_iter().map(Ok)).unwrap().text;
            let shown = settled(&events).text;
            prop_assert!(shown.ends_with(&whole) || first.starts_with(&whole), "{:?} {:?}", shown, whole);
        }
    }
}
