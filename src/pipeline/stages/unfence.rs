//! Stage that removes a Markdown fence around the whole answer, because code completion needs the code alone.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::pipeline::{Event, Stage};

/// What opens and closes a fence.
const FENCE: &str = "```";
/// The longest first line that is waited for: a fence's is short.
const LONGEST_OPENING: usize = 64;

/// Leaves out the line that opens a fence at the very start, and the one that closes it. An answer that begins in any
/// other way is passed on as it comes. What stands behind the closing fence is left out; a fence that stands further in than
/// the opening one closes nothing.
#[derive(Default)]
pub struct Unfence {
    phase: Phase,
}

enum Phase {
    /// What came so far may be the opening of a fence; it begins with so many bytes of white space.
    Opening(String, usize),
    /// Behind an opening.
    Fenced(Fenced),
    /// Behind the closing fence.
    Closed,
    /// An answer without a fence around it.
    Plain,
}

/// Text inside a fence.
struct Fenced {
    /// How far in the opening fence stands.
    indent: usize,
    /// From the line break on behind which the closing fence may stand.
    held: String,
    /// Whose line break `held` begins with.
    break_of: Line,
}

#[derive(Clone, Copy, PartialEq)]
enum Line {
    /// The opening fence's, which is no code.
    Opening,
    Code,
}

impl Default for Phase {
    fn default() -> Phase {
        Phase::Opening(String::new(), 0)
    }
}

/// What the beginning of an answer is.
enum Opening {
    /// So many bytes open a fence that stands so far in.
    Fence {
        end: usize,
        indent: usize,
    },
    Undecided,
    Absent,
}

/// `blank` bytes of `text` are known to be white space; those that follow are added.
fn opening(text: &str, blank: &mut usize) -> Opening {
    let inside = text[*blank..].trim_start_matches(['\n', '\r', ' ', '\t']);
    let before = &text[..text.len() - inside.len()];
    *blank = before.len();
    if inside.len() < FENCE.len() && FENCE.starts_with(inside) {
        return Opening::Undecided;
    }
    let Some(info) = inside.strip_prefix(FENCE) else { return Opening::Absent };
    // backticks in its line make it inline code
    let is_info = |info: &str| info.len() <= LONGEST_OPENING && !info.contains('`');
    match info.find('\n') {
        Some(end) if is_info(&info[..end]) => {
            // a line further in closes nothing, so that no long one is held
            let indent = before.rsplit(['\n', '\r']).next().map_or(0, columns).min(LONGEST_OPENING);
            Opening::Fence { end: before.len() + FENCE.len() + end + 1, indent }
        }
        None if is_info(info) => Opening::Undecided,
        _ => Opening::Absent,
    }
}

/// How far in what stands behind `blanks` is.
fn columns(blanks: &str) -> usize {
    blanks.bytes().map(|blank| if blank == b'\t' { 4 } else { 1 }).sum()
}

impl Fenced {
    /// Takes more text: what of it is code for certain, and whether the fence is closed.
    fn take(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let mut at = 0;
        while let Some(line) = self.held[at..].find('\n').map(|found| at + found) {
            let whole = &self.held[line + 1..];
            let rest = whole.trim_start_matches([' ', '\t']);
            let is_closed = rest.starts_with(FENCE);
            let may_close = columns(&whole[..whole.len() - rest.len()]) <= self.indent;
            if may_close && (is_closed || FENCE.starts_with(rest)) {
                return (self.code(line), is_closed);
            }
            at = line + 1;
        }
        (self.code(self.held.len()), false)
    }

    /// Takes the code before `end` out of what is held.
    fn code(&mut self, end: usize) -> String {
        let mut code: String = self.held.drain(..end).collect();
        if self.break_of == Line::Opening && !code.is_empty() {
            self.break_of = Line::Code;
            code.remove(0);
        }
        code
    }

    /// The answer is over: a line break is code, the beginning of a closing fence is not.
    fn rest(mut self) -> String {
        match self.held.contains('`') {
            true => String::new(),
            false => self.code(self.held.len()),
        }
    }
}

impl Unfence {
    fn take(&mut self, piece: String, out: &mut VecDeque<Event>) {
        match &mut self.phase {
            Phase::Plain => say(piece, out),
            Phase::Closed => {}
            Phase::Opening(held, blank) => {
                held.push_str(&piece);
                match opening(held, blank) {
                    Opening::Undecided => {}
                    Opening::Absent => {
                        let held = std::mem::take(held);
                        self.phase = Phase::Plain;
                        say(held, out);
                    }
                    Opening::Fence { end, indent } => {
                        let code = held[end - 1..].to_owned();
                        let fenced = Fenced { indent, held: String::new(), break_of: Line::Opening };
                        self.phase = Phase::Fenced(fenced);
                        self.take(code, out);
                    }
                }
            }
            Phase::Fenced(fenced) => {
                let (code, is_closed) = fenced.take(&piece);
                if is_closed {
                    self.phase = Phase::Closed;
                }
                say(code, out);
            }
        }
    }

    /// The answer is over: what is held was no closing fence.
    fn release(&mut self, out: &mut VecDeque<Event>) {
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Opening(held, _) => say(held, out),
            Phase::Fenced(fenced) => say(fenced.rest(), out),
            Phase::Plain | Phase::Closed => {}
        }
    }
}

impl Stage for Unfence {
    #[inline]
    fn passes(&mut self, event: &Event) -> bool {
        matches!((event, &self.phase), (Event::Text(_), Phase::Plain))
    }

    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match event {
            Event::Text(piece) => self.take(piece, out),
            Event::Retract => {
                self.phase = Phase::default();
                out.push_back(event);
            }
            Event::Finish(_) => {
                self.release(out);
                out.push_back(event);
            }
            event => out.push_back(event),
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self, out: &mut VecDeque<Event>) {
        self.release(out);
    }
}

fn say(text: String, out: &mut VecDeque<Event>) {
    if !text.is_empty() {
        out.push_back(Event::Text(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::every_split::{end, every_split, text};

    #[test]
    fn a_fence_around_the_whole_answer_is_taken_off() {
        for (desc, answer, code) in [
            ("plain text", "return a + b\n", "return a + b\n"),
            ("a fence", "```\na\n```", "a"),
            ("a language", "```python\na\n  b\n```\n", "a\n  b"),
            ("white space before it", "\n ```rs\na\n ```", "a"),
            ("a fence further in", "```py\ns = '\n    ```\n\t```\n'\n```", "s = '\n    ```\n\t```\n'"),
            ("a closing fence further out", "  ```\n  a\n   ```\n ```\nb", "  a\n   ```"),
            ("words behind it", "```\na\n```\nThis adds.", "a"),
            ("an empty block", "```\n```", ""),
            ("an empty first line", "```\n\na\n```", "\na"),
            ("a fence left open", "```c\na\n", "a\n"),
            ("a closing fence cut short", "```c\na\n``", "a"),
            ("backticks in code", "```js\nx = `a`\ny = ``\n```", "x = `a`\ny = ``"),
            ("CRLF", "```c\r\na\r\n```", "a\r"),
            ("inline code", "```a``` is b", "```a``` is b"),
            ("a fence in the middle", "See:\n```\na\n```\n", "See:\n```\na\n```\n"),
            ("only backticks", "``", "``"),
            ("an opening and nothing else", "```python", "```python"),
            (
                "a first line too long for one",
                &format!("```{}\na", "x".repeat(70)),
                &format!("```{}\na", "x".repeat(70)),
            ),
            ("nothing", "", ""),
        ] {
            let found = every_split(Unfence::default, &[text(answer), end()]).text;
            assert_eq!(found, code, "{desc}");
        }
    }

    #[test]
    fn a_retracted_fence_is_forgotten() {
        let events = [text("```\na"), Event::Retract, text("b"), end()];
        assert_eq!(every_split(Unfence::default, &events).text, "b");
    }
}
