//! Stage for thought that ends with a mark and begins with none: templates of some models put the opening mark into the
//! prompt, so that the answer begins inside the thought.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::pipeline::{Event, Stage};

/// The marks, each with the one that would open it. All have ASCII letters, in lower case.
const MARKS: [(&str, &str); 6] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<mm:think>", "</mm:think>"),
    ("<seed:think>", "</seed:think>"),
    ("[think]", "[/think]"),
];
/// In a longer text no mark is looked for, in bytes.
const LONGEST: usize = 1 << 20;
/// White space behind a mark that is held, in bytes.
const MOST_WHITE: usize = 64;

/// Treats all text in front of the first closing mark as thought: it is retracted, and given back as
/// [`Event::Thinking`] where it was remembered, which a stream does not do.
///
/// The mark counts only as the last of its line, in front of an answer or a call, outside code, and in a
/// text that has neither thought of its own nor an opening mark. Anything else stays text, byte for byte.
pub struct UnopenedThought {
    state: State,
    /// Whether the text is remembered.
    remembers: bool,
    /// The text so far, while it is remembered.
    text: Option<String>,
    /// How long it is.
    len: usize,
    /// What may be a mark, and the white space behind it.
    held: String,
    fence: Fence,
}

/// A fence of code: every three backticks open or close one.
#[derive(Default)]
struct Fence {
    is_open: bool,
    backticks: usize,
}

impl Fence {
    fn follow(&mut self, text: &str) {
        if self.backticks == 0 && !text.contains('`') {
            return;
        }
        for byte in text.bytes() {
            self.backticks = if byte == b'`' { self.backticks + 1 } else { 0 };
            self.is_open ^= self.backticks == 3;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A mark may come.
    Looking,
    /// One is held; what follows decides.
    Marked,
    /// None comes any more.
    Over,
}

impl UnopenedThought {
    /// For whole answers, in which the thought can be moved to its place.
    pub fn whole() -> UnopenedThought {
        UnopenedThought { remembers: true, text: Some(String::new()), ..UnopenedThought::streaming() }
    }

    /// For streams, in which the thought has been sent as text.
    pub fn streaming() -> UnopenedThought {
        let (state, held) = (State::Looking, String::new());
        UnopenedThought { state, remembers: false, text: None, len: 0, held, fence: Fence::default() }
    }

    fn say(&mut self, text: &str, out: &mut VecDeque<Event>) {
        if text.is_empty() {
            return;
        }
        self.note(text);
        if self.len > LONGEST {
            self.over();
        }
        send(text, out);
    }

    fn note(&mut self, text: &str) {
        self.fence.follow(text);
        self.len += text.len();
        if let Some(said) = &mut self.text {
            said.push_str(text);
        }
    }

    fn over(&mut self) {
        self.state = State::Over;
        self.text = None;
    }

    fn take(&mut self, piece: &str, out: &mut VecDeque<Event>) {
        let joined = std::mem::take(&mut self.held) + piece;
        let mut rest = joined.as_str();
        while let Some(at) = rest.find(['<', '[']).filter(|_| self.state != State::Over) {
            self.say(&rest[..at], out);
            rest = &rest[at..];
            match self.read(rest) {
                Read::Held => {
                    rest.clone_into(&mut self.held);
                    return;
                }
                Read::Thought(len) => {
                    self.retract(out);
                    rest = rest[len..].trim_start();
                }
                Read::Text => {
                    self.say(&rest[..1], out);
                    rest = &rest[1..];
                }
            }
        }
        match self.state {
            State::Over if !rest.is_empty() => send(rest, out),
            _ => self.say(rest, out),
        }
    }

    /// What stands at the start of `text`, which begins with a bracket.
    fn read(&mut self, text: &str) -> Read {
        let lower = |len: usize| text.get(..len).map(str::to_ascii_lowercase);
        let is = |mark: &str| lower(mark.len()).is_some_and(|begun| begun == mark);
        let may_be = |mark: &str| mark.starts_with(&text.to_ascii_lowercase());
        if self.fence.is_open {
            return Read::Text;
        }
        if MARKS.iter().any(|(opens, _)| is(opens)) {
            self.over();
            return Read::Text;
        }
        let Some((_, closes)) = MARKS.iter().find(|(_, closes)| is(closes)) else {
            let is_open = MARKS.iter().any(|(opens, closes)| may_be(opens) || may_be(closes));
            return if is_open { Read::Held } else { Read::Text };
        };
        self.state = State::Marked;
        let behind = &text[closes.len()..];
        let white = behind.len() - behind.trim_start().len();
        let is_last_of_line = behind[..white].contains('\n');
        match white == behind.len() {
            true if white <= MOST_WHITE => Read::Held,
            false if is_last_of_line => Read::Thought(closes.len()),
            _ => {
                self.over();
                Read::Text
            }
        }
    }

    /// The text so far was thought.
    fn retract(&mut self, out: &mut VecDeque<Event>) {
        if self.len > 0 {
            out.push_back(Event::Retract);
        }
        if let Some(text) = self.text.take().filter(|text| !text.trim().is_empty()) {
            out.push_back(Event::Thinking(text.trim().to_owned()));
        }
        self.state = State::Over;
    }

    /// What is held is text, unless a call follows a mark.
    fn release(&mut self, is_before_call: bool, out: &mut VecDeque<Event>) {
        let held = std::mem::take(&mut self.held);
        if is_before_call && self.state == State::Marked {
            return self.retract(out);
        }
        self.say(&held, out);
    }
}

/// Whether a mark, or the beginning of one, may stand in `text`.
fn may_hold_mark(text: &str) -> bool {
    let may_begin = |at: usize| {
        let rest = &text.as_bytes()[at..];
        let is_alike = |mark: &str| {
            let len = mark.len().min(rest.len());
            // the first byte is compared before a function is called
            mark.as_bytes()[0] == rest[0] && mark.as_bytes()[..len].eq_ignore_ascii_case(&rest[..len])
        };
        MARKS.iter().any(|(opens, closes)| is_alike(opens) || is_alike(closes))
    };
    text.bytes().enumerate().any(|(at, byte)| matches!(byte, b'<' | b'[') && may_begin(at))
}

/// Sends text on, in one event with text in front of it: what came in one event leaves in one.
fn send(text: &str, out: &mut VecDeque<Event>) {
    match out.back_mut() {
        Some(Event::Text(said)) => said.push_str(text),
        _ => out.push_back(Event::Text(text.to_owned())),
    }
}

enum Read {
    /// It may become a mark, or what follows the mark is not known.
    Held,
    /// A mark that is so long, with an answer behind it.
    Thought(usize),
    /// Nothing that matters.
    Text,
}

impl Stage for UnopenedThought {
    #[inline]
    fn passes(&mut self, event: &Event) -> bool {
        match (event, self.state) {
            (Event::Text(_), State::Over) => true,
            (Event::Text(text), State::Looking) if self.held.is_empty() && self.len < LONGEST => {
                let is_plain = !may_hold_mark(text);
                if is_plain {
                    self.note(text);
                }
                is_plain
            }
            _ => false,
        }
    }

    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match &event {
            Event::Text(text) if self.state != State::Over || !self.held.is_empty() => {
                self.take(text, out);
                return ControlFlow::Continue(());
            }
            // such a bot marks its thought
            Event::Thinking(_) => {
                self.release(false, out);
                self.over();
            }
            Event::Retract => {
                *self = match self.remembers {
                    true => UnopenedThought::whole(),
                    false => UnopenedThought::streaming(),
                };
            }
            Event::ToolCall(_) => self.release(true, out),
            Event::Finish(_) => self.release(false, out),
            Event::Text(_) | Event::File(_) | Event::Suggestion(_) | Event::Metadata(_) => {}
        }
        out.push_back(event);
        ControlFlow::Continue(())
    }

    fn finish(&mut self, out: &mut VecDeque<Event>) {
        self.release(false, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::testing::{all_cuts, all_cuts_of, end};
    use crate::pipeline::{FinishReason, ToolDelta};

    #[test]
    fn text_in_front_of_a_lone_closing_mark_is_thought() {
        for (desc, text, thought, said) in [
            ("DeepSeek", "Let me see.\n\n2+2.\n</think>\n\nFour.", "Let me see.\n\n2+2.", "Four."),
            ("behind a word", "2+2.</think>\nFour.", "2+2.", "Four."),
            ("blanks behind it", "a\n</think> \r\n\n b\n", "a", "b\n"),
            ("in upper case", "a\n[/THINK]\nb", "a", "b"),
            ("the first alone", "a\n</think>\nb\n</think>\nc", "a", "b\n</think>\nc"),
            ("another name", "a < b [1]\n</seed:think>\n<b>", "a < b [1]", "<b>"),
            ("in prose", "The tag </think> ends it.\nSo.", "", "The tag </think> ends it.\nSo."),
            ("at the end", "a\n</think>\n", "", "a\n</think>\n"),
            ("at the start", "</think>\n\nb", "", "b"),
            ("in inline code", "Use `</think>`\nor", "", "Use `</think>`\nor"),
            ("in a fence", "```\n</think>\nx\n```\n", "", "```\n</think>\nx\n```\n"),
            ("opened before", "Write <think>\nx\n</think>\ny", "", "Write <think>\nx\n</think>\ny"),
            ("half a mark", "a </thin", "", "a </thin"),
            ("no mark", "a <b> [c] </thing>\nd", "", "a <b> [c] </thing>\nd"),
        ] {
            let reply = all_cuts(text, UnopenedThought::whole);
            assert_eq!((reply.thinking.as_str(), reply.text.as_str()), (thought, said), "{desc}");
            let reply = all_cuts(text, UnopenedThought::streaming);
            assert_eq!((reply.thinking.as_str(), reply.text.as_str()), ("", said), "{desc}, streamed");
        }
    }

    #[test]
    fn marked_thought_and_retractions_are_kept_apart() {
        let text = |text: &str| Event::Text(text.into());
        let thought = Event::Thinking("hm".into());
        let reply =
            all_cuts_of(&[thought, text("a\n</think>\nb"), end(FinishReason::Stop)], UnopenedThought::whole);
        assert_eq!((reply.thinking.as_str(), reply.text.as_str()), ("hm", "a\n</think>\nb"));
        let events =
            [text("Generating… (1s)"), Event::Retract, text("a\n</think>\nb"), end(FinishReason::Stop)];
        let reply = all_cuts_of(&events, UnopenedThought::whole);
        assert_eq!((reply.thinking.as_str(), reply.text.as_str()), ("a", "b"));
    }

    #[test]
    fn a_call_ends_the_thought_too() {
        let call = Event::ToolCall(ToolDelta { name: Some("f".into()), ..ToolDelta::default() });
        let events = [Event::Text("a\n</think>\n".into()), call, end(FinishReason::Stop)];
        let reply = all_cuts_of(&events, UnopenedThought::whole);
        assert_eq!((reply.thinking.as_str(), reply.text.as_str(), reply.tool_calls.len()), ("a", "", 1));
    }
}
