//! Stage that splits off the reasoning a bot writes in front of its answer: `*Thinking...*` and quoted lines, or marks such as
//! `<think>` around it.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::pipeline::{Event, Stage};

/// The line that opens a thought, as Poe's bots write it.
const MARKERS: [&str; 4] = ["*Thinking...*", "Thinking...", "*Thinking…*", "Thinking…"];

/// Marks around a thought, in lower case.
const MARKS: [(&str, &str); 14] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<mm:think>", "</mm:think>"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("[think]", "[/think]"),
    ("<|start_thinking|>", "<|end_thinking|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("<|start|>assistant<|channel|>analysis<|message|>", "<|end|>"),
];
/// Marks in front of an answer that mean nothing in it, in lower case.
const ANSWER_MARKS: [&str; 3] =
    ["<|channel|>final<|message|>", "<|start|>assistant<|channel|>final<|message|>", "<|start_response|>"];
/// White space inside a thought that is held back because it may be its end.
const MOST_WHITE: usize = 64;

/// Turns a thought at the start of the text into [`Event::Thinking`].
///
/// The thought is a marker on a line of its own, then lines that begin with `>`; blank lines before the marker and
/// between marker and thought are tolerated. It ends with the first line that does not begin with `>`: a quote
/// behind a blank line belongs to the answer. The line breaks between its lines are kept, the one that ends it
/// and the blank lines before the answer are layout. Or the thought stands between one of the pairs of `MARKS`, in
/// any case, several of them one behind the other; white space around it is layout, and without a closing mark it ends
/// with the text. Anything else stays text, byte for byte.
#[derive(Debug, Default)]
pub struct Thinking {
    state: State,
    /// Text that is not decided yet; what it means depends on the state.
    held: String,
}

/// How far the text has been understood.
#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// Nothing but white space so far, held.
    #[default]
    Blank,
    /// A line that may still become the marker; it begins at `from` in what is held.
    Marker { from: usize },
    /// The marker is whole; only blanks may follow on its line. Held.
    MarkerEnd,
    /// Behind the marker's line: blank lines, held, until the first quoted line.
    Marked,
    /// Behind `>`: one blank still belongs to the prefix.
    Prefix,
    /// In a line of the thought. Nothing held.
    Line,
    /// Behind a tool mode return in the thought, held: half a line break, perhaps.
    Return,
    /// Behind a line of the thought; its line break is held.
    LineEnd,
    /// Between thought and answer; the indentation of the current line is held.
    Gap,
    /// Behind white space: what may still become an opening mark; it begins at `from` in what is held.
    Opening { from: usize },
    /// Between marks, the pair of this place; white space and the beginning of the closing mark are held.
    Between { pair: usize, place: Place },
    /// Behind a closing mark: the line so far is held.
    Closed(Place),
    /// In the answer: everything is text. Nothing held.
    Answer,
}

/// What stands in front of a place in a thought.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Nothing, of any thought.
    Start,
    /// Another thought.
    Again,
    /// A part of the same thought.
    Begun,
}

/// What one piece of text turned into. Thought never follows text.
#[derive(Default)]
struct Said {
    thought: String,
    text: String,
}

impl Said {
    /// Adds to the thought, without white space in front of its first word.
    fn think(&mut self, text: &str, place: &mut Place) {
        let is_begun = matches!(place, Place::Begun);
        let text = if is_begun { text } else { text.trim_start() };
        if text.is_empty() {
            return;
        }
        if matches!(place, Place::Again) {
            self.thought.push('\n');
        }
        *place = Place::Begun;
        self.thought.push_str(text);
    }
}

impl Stage for Thinking {
    #[inline]
    fn passes(&mut self, event: &Event) -> bool {
        matches!((event, self.state), (Event::Text(_), State::Answer))
    }

    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match event {
            Event::Text(text) if matches!(self.state, State::Answer) => out.push_back(Event::Text(text)),
            Event::Text(text) => self.split(&text, out),
            Event::Retract => {
                *self = Thinking::default();
                out.push_back(Event::Retract);
            }
            // A call ends the text in front of it, which must be said first.
            event @ Event::ToolCall(_) => {
                self.give_up(out);
                out.push_back(event);
            }
            event @ Event::Finish(_) => {
                self.finish(out);
                out.push_back(event);
            }
            other => out.push_back(other),
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self, out: &mut VecDeque<Event>) {
        self.give_up(out);
        self.held.clear();
    }
}

impl Thinking {
    fn split(&mut self, text: &str, out: &mut VecDeque<Event>) {
        let mut said = Said::default();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            rest = match self.state {
                State::Answer => {
                    said.text.push_str(rest);
                    ""
                }
                State::Line => self.line(rest, &mut said),
                State::Between { pair, place } => self.between(pair, place, rest, &mut said),
                _ => {
                    self.letter(letter, &mut said);
                    &rest[letter.len_utf8()..]
                }
            };
        }
        if !said.thought.is_empty() {
            out.push_back(Event::Thinking(said.thought));
        }
        if !said.text.is_empty() {
            out.push_back(Event::Text(said.text));
        }
    }

    /// Takes the rest of a line of the thought, up to its line break.
    fn line<'t>(&mut self, rest: &'t str, said: &mut Said) -> &'t str {
        let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
        said.thought.push_str(&rest[..end]);
        let Some(line_break) = rest[end..].chars().next() else { return "" };
        self.held.push(line_break);
        self.state = if line_break == '\n' { State::LineEnd } else { State::Return };
        &rest[end + 1..]
    }

    fn letter(&mut self, letter: char, said: &mut Said) {
        match self.state {
            State::Blank => self.blank(letter, said),
            State::Marker { from } => self.marker(from, letter, said),
            State::MarkerEnd => {
                self.held.push(letter);
                match letter {
                    ' ' | '\t' | '\r' => {}
                    '\n' => self.state = State::Marked,
                    _ => self.answer(said),
                }
            }
            State::Marked if letter == '>' && self.held.ends_with('\n') => {
                self.held.clear();
                self.state = State::Prefix;
            }
            State::Marked => {
                self.held.push(letter);
                if !is_blank(letter) {
                    self.answer(said);
                }
            }
            State::Prefix => {
                self.state = State::Line;
                if letter != ' ' {
                    self.line(letter.encode_utf8(&mut [0; 4]), said);
                }
            }
            State::Return if letter == '\n' => {
                self.held.push(letter);
                self.state = State::LineEnd;
            }
            State::Return => {
                said.thought.push_str(&self.held);
                self.held.clear();
                self.state = State::Line;
                self.line(letter.encode_utf8(&mut [0; 4]), said);
            }
            State::LineEnd if letter == '>' => {
                said.thought.push_str(&self.held);
                self.held.clear();
                self.state = State::Prefix;
            }
            State::LineEnd => {
                self.held.clear();
                self.state = State::Gap;
                self.gap(letter, said);
            }
            State::Gap => self.gap(letter, said),
            State::Opening { from } => {
                self.held.push(letter);
                self.opening(from, said);
            }
            State::Closed(_) if letter == '\n' && self.held.trim().is_empty() => self.held.clear(),
            State::Closed(_) => {
                self.held.push(letter);
                let from = self.held.len() - self.held.trim_start().len();
                if from < self.held.len() {
                    self.opening(from, said);
                } else if from > MOST_WHITE {
                    self.answer(said);
                }
            }
            State::Line | State::Between { .. } | State::Answer => {
                unreachable!("`split` takes these in one piece")
            }
        }
    }

    fn blank(&mut self, letter: char, said: &mut Said) {
        let from = self.held.len();
        let at_line_start = from == 0 || self.held.ends_with('\n');
        self.held.push(letter);
        match letter {
            _ if is_blank(letter) => {}
            '*' | 'T' if at_line_start => self.state = State::Marker { from },
            '<' | '[' | '◁' => self.opening(from, said),
            _ => self.answer(said),
        }
    }

    /// Decides on what is held from `from` on, which may be an opening mark.
    fn opening(&mut self, from: usize, said: &mut Said) {
        let mark = self.held[from..].to_lowercase();
        let place = if let State::Closed(place) = self.state { Some(place) } else { None };
        let begins = |known: &&str| known.starts_with(&mark);
        if let Some(pair) = MARKS.iter().position(|(opens, _)| *opens == mark) {
            self.held.clear();
            self.state = State::Between { pair, place: place.unwrap_or(Place::Start) };
        } else if ANSWER_MARKS.contains(&mark.as_str()) {
            self.held.clear();
            self.state = State::Gap;
        } else if MARKS.iter().map(|(opens, _)| opens).chain(&ANSWER_MARKS).any(begins) {
            if place.is_none() {
                self.state = State::Opening { from };
            }
        } else {
            self.answer(said);
        }
    }

    /// Takes text between marks up to the closing one; what follows it.
    fn between<'t>(&mut self, pair: usize, mut place: Place, rest: &'t str, said: &mut Said) -> &'t str {
        let closing = MARKS[pair].1;
        let first = closing.chars().next().unwrap_or_default();
        for (at, letter) in rest.char_indices() {
            let white = self.held.len() - self.held.trim_start().len();
            let is_mark = self.held.len() > white || letter == first;
            self.held.push(letter);
            if is_mark {
                let mark = self.held[white..].to_lowercase();
                if mark == closing {
                    self.held.clear();
                    let had_none = matches!(place, Place::Start);
                    self.state = State::Closed(if had_none { Place::Start } else { Place::Again });
                    return &rest[at + letter.len_utf8()..];
                }
                if closing.starts_with(&mark) {
                    continue;
                }
                // the letter may begin the mark anew
                let kept =
                    if letter == first { self.held.len() - letter.len_utf8() } else { self.held.len() };
                said.think(&self.held[..kept], &mut place);
                self.held.drain(..kept);
            } else if !is_blank(letter) || self.held.len() > MOST_WHITE {
                said.think(&self.held, &mut place);
                self.held.clear();
            }
        }
        self.state = State::Between { pair, place };
        ""
    }

    fn marker(&mut self, from: usize, letter: char, said: &mut Said) {
        self.held.push(letter);
        let line = &self.held[from..];
        if MARKERS.contains(&line) {
            self.state = State::MarkerEnd;
        } else if !MARKERS.iter().any(|marker| marker.starts_with(line)) {
            self.answer(said);
        }
    }

    fn gap(&mut self, letter: char, said: &mut Said) {
        self.held.push(letter);
        match letter {
            '\n' => self.held.clear(),
            _ if is_blank(letter) => {}
            _ => self.answer(said),
        }
    }

    /// The answer has begun, with what is held.
    fn answer(&mut self, said: &mut Said) {
        said.text.push_str(&self.held);
        self.held.clear();
        self.state = State::Answer;
    }

    /// What is held and not yet part of a thought is the beginning of the answer.
    fn give_up(&mut self, out: &mut VecDeque<Event>) {
        if let State::Between { .. } = self.state {
            let held = std::mem::take(&mut self.held);
            if !held.trim().is_empty() {
                out.push_back(Event::Thinking(held.trim_end().to_owned()));
            }
            return;
        }
        let may_be_answer = match self.state {
            State::Blank
            | State::Marker { .. }
            | State::MarkerEnd
            | State::Marked
            | State::Opening { .. } => true,
            State::Closed(_) => !self.held.trim().is_empty(),
            _ => false,
        };
        if may_be_answer && !self.held.is_empty() {
            out.push_back(Event::Text(std::mem::take(&mut self.held)));
            self.state = State::Answer;
        }
    }
}

fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::testing::{all_cuts, all_cuts_of, answer, replay};
    use crate::pipeline::{FinishReason, ToolDelta};

    #[test]
    fn a_thought_is_split_from_its_answer() {
        for (desc, text, thought, said) in [
            ("Poe's form", "*Thinking...*\n\n> Let me see.\n> 2+2.\n\nFour.", "Let me see.\n2+2.", "Four."),
            ("no stars", "Thinking...\n> a\n> b\n\nc", "a\nb", "c"),
            ("an ellipsis", "*Thinking…*\n> a\n\nc", "a", "c"),
            ("an ellipsis without stars", "Thinking…\n\n> a\n\nc", "a", "c"),
            ("blank lines before it", "\n \n*Thinking...*\n> a\n\nc", "a", "c"),
            ("blanks behind the marker", "*Thinking...*  \n> a\n\nc", "a", "c"),
            ("bare prefixes", "*Thinking...*\n> a\n>\n>b\n> \n\nc", "a\n\nb\n", "c"),
            ("one blank only is prefix", "Thinking...\n>   a\n> > b\n\nc", "  a\n> b", "c"),
            ("CRLF", "*Thinking...*\r\n\r\n> a\r\n> b\r\n\r\nc\r\n", "a\r\nb", "c\r\n"),
            ("a lone carriage return", "Thinking...\n> a\rb\r\r\n> c\n\nd", "a\rb\r\r\nc", "d"),
            ("no blank line before the answer", "Thinking...\n> a\nb", "a", "b"),
            ("stray blank lines before the answer", "Thinking...\n> a\n\n \n\nb\n\nc", "a", "b\n\nc"),
            ("indentation of the answer stays", "Thinking...\n> a\n\n    b", "a", "    b"),
            ("a quote in the answer", "Thinking...\n> a\n\n> b\nc", "a", "> b\nc"),
            ("the words again", "Thinking...\n> a\n\nThinking...\n> b", "a", "Thinking...\n> b"),
            ("a thought without an answer", "*Thinking...*\n> a\n", "a", ""),
            ("a thought that breaks off", "*Thinking...*\n> a\n> b", "a\nb", ""),
            ("an empty thought", "*Thinking...*\n>\n\nc", "", "c"),
        ] {
            let reply = all_cuts(text, Thinking::default);
            assert_eq!((reply.thinking.as_str(), reply.text.as_str()), (thought, said), "{desc}");
        }
    }

    #[test]
    fn a_thought_between_marks_is_split_from_its_answer() {
        for (desc, text, thought, said) in [
            ("think", "<think>\nLet me see.\n\n2+2.\n</think>\n\nFour.", "Let me see.\n\n2+2.", "Four."),
            ("in one line", "<think>a</think>b", "a", "b"),
            ("thinking", "\n<thinking>\na\n</thinking>\nb\n\nc\n", "a", "b\n\nc\n"),
            ("thought", "<thought>a</thought> b", "a", " b"),
            ("Kimi", "◁think▷a ◁ b◁/think▷c", "a ◁ b", "c"),
            ("Magistral", "[THINK]a[0][/THINK]b", "a[0]", "b"),
            ("upper case", "<Think>a</THINK>b", "a", "b"),
            ("nothing", "<think>\n\n</think>\n\nb", "", "b"),
            ("other tags inside", "<think>a < b </thin <b></b></think>c", "a < b </thin <b></b>", "c"),
            ("half a mark in front of the mark", "<think>a<</think>b", "a<", "b"),
            (
                "a call inside",
                "<think><tool_call><now/></tool_call></think>b",
                "<tool_call><now/></tool_call>",
                "b",
            ),
            ("never closed", "<think>\na\n", "a", ""),
            ("never closed, half a mark", "<think>a</thi", "a</thi", ""),
            ("two", "<think>a</think>\n<think>b</think>\nc", "a\nb", "c"),
            ("half a mark behind a thought", "<think>a</think><thi\nc", "a", "<thi\nc"),
            ("the mark again in the answer", "<think>a</think>b <think>c</think>", "a", "b <think>c</think>"),
            ("indentation of the answer stays", "<think>a</think>\n\n    b", "a", "    b"),
            (
                "gpt-oss",
                "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b",
                "a",
                "b",
            ),
            ("gpt-oss without a thought", "<|channel|>final<|message|>b", "", "b"),
            ("Gemma 4", "<|channel>thought\na<channel|>b", "a", "b"),
            ("Command A", "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b", "a", "b"),
        ] {
            let reply = all_cuts(text, Thinking::default);
            assert_eq!((reply.thinking.as_str(), reply.text.as_str()), (thought, said), "{desc}");
        }
        for text in [
            "<think",
            "<thinker>a</thinker>",
            "a <think>b</think>",
            "`<think>` is a tag",
            "[TH",
            "<b>a</b>",
            "< think>",
            "Use <think>.",
            "<|channel|>commentary to=f<|message|>{}",
            "[1] says",
            "◁",
        ] {
            let reply = all_cuts(text, Thinking::default);
            assert_eq!((reply.thinking.as_str(), reply.text.as_str()), ("", text));
        }
    }

    #[test]
    fn everything_else_stays_text() {
        for text in [
            "",
            "\n\n  ",
            "Hello",
            "\n\n  Hello\n",
            "Thinking about it…\n> no",
            "Thinking...",
            "*Thinking...*\n\n",
            "*Thinking...*\n\nHello",
            "*Thinking...*\n  > indented",
            "*Thinking...\n> half a marker",
            "*Thinking... *\n> a",
            "Thinking....\n> four dots",
            "Thinking... (12s elapsed)",
            "Thinking... (12s elapsed)\n> a",
            "  *Thinking...*\n> indented marker",
            "Well.\n*Thinking...*\n> a\n\nb",
            "> a quote\n\nThinking...\n> a",
            "*Thinking..",
            "T",
        ] {
            let reply = all_cuts(text, Thinking::default);
            assert_eq!((reply.thinking.as_str(), reply.text.as_str()), ("", text), "{text:?}");
        }
    }

    #[test]
    fn the_thought_streams_as_it_comes() {
        let mut stage = Thinking::default();
        for (piece, expected) in [
            ("*Thinking", vec![]),
            ("...*\n\n", vec![]),
            ("> Let", vec![Event::Thinking("Let".into())]),
            (" me", vec![Event::Thinking(" me".into())]),
            ("\n", vec![]),
            ("> see", vec![Event::Thinking("\nsee".into())]),
            ("\n\n", vec![]),
            ("Four", vec![Event::Text("Four".into())]),
            (".\n", vec![Event::Text(".\n".into())]),
        ] {
            let mut out = VecDeque::new();
            assert!(stage.push(Event::Text(piece.into()), &mut out).is_continue());
            assert_eq!(out, expected, "after {piece:?}");
        }
    }

    #[test]
    fn a_text_that_cannot_be_the_marker_is_not_delayed() {
        for text in ["Th\u{e9}", "*T ", "  a", "Thinking:", "Thinking.. ."] {
            let mut out = VecDeque::new();
            assert!(Thinking::default().push(Event::Text(text.into()), &mut out).is_continue());
            assert_eq!(out, [Event::Text(text.into())]);
        }
    }

    #[test]
    fn the_answer_is_passed_on_as_it_is() {
        let mut stage = Thinking::default();
        let mut out = VecDeque::new();
        assert!(stage.push(Event::Text("A".into()), &mut out).is_continue());
        let text = String::from("nswer.");
        let at = text.as_ptr();
        assert!(stage.push(Event::Text(text), &mut out).is_continue());
        assert!(matches!(&out[1], Event::Text(text) if text.as_ptr() == at));
    }

    #[test]
    fn a_retraction_starts_over() {
        let mut events = vec![Event::Text("*Thinki".into()), Event::Retract];
        events.push(Event::Text("Thinking... (12s elapsed)".into()));
        events.push(Event::Retract);
        events.extend(answer("*Thinking...*\n> a\n\nb"));
        let reply = all_cuts_of(&events, Thinking::default);
        assert_eq!((reply.thinking.as_str(), reply.text.as_str()), ("a", "b"));
    }

    #[test]
    fn held_text_comes_before_a_call_and_before_the_end() {
        let call = Event::ToolCall(ToolDelta::default());
        let events = vec![Event::Text("Thinking...".into()), call.clone()];
        assert_eq!(replay(events.clone(), Thinking::default()), events);
        let end = crate::pipeline::testing::end(FinishReason::Length);
        let events = vec![Event::Text("Thinking...".into()), end];
        assert_eq!(replay(events.clone(), Thinking::default()), events);
    }

    proptest! {
        #[test]
        fn cuts_never_matter(text in "(\n|<think>|</think>|</thi|<|◁think▷|◁|\\*|Thinking|\\.\\.\\.|…| |>|a|\r){0,24}") {
            all_cuts(&text, Thinking::default);
        }

        #[test]
        fn an_answer_without_the_marker_is_untouched(text in "(\n| |>|é|Thinking about|\\*){0,24}") {
            let reply = all_cuts(&text, Thinking::default);
            prop_assert_eq!(reply.text, text);
        }
    }
}
