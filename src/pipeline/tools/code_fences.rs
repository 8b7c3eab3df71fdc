//! Knows where a Markdown text shows code, so that a call shown as an example is not taken for one.

/// Follows a text line by line. Cuts do not matter.
#[derive(Debug, Default)]
pub struct Fences {
    /// The fence that is open: its character and how many of them.
    open: Option<(u8, usize)>,
    line: Line,
}

/// Where in its line the text stands.
#[derive(Debug, Clone, Copy, Default)]
enum Line {
    /// Only blanks so far. Fences in lists stand far in, so any number of them is taken.
    #[default]
    Indent,
    /// That many characters of a fence.
    Fence(u8, usize),
    /// Behind the characters of an opening fence.
    Info(u8, usize),
    /// Behind the characters of a closing fence.
    Closing(u8, usize),
    /// In other text.
    Plain,
    /// In other text, right behind a backtick.
    Backtick,
}

impl Fences {
    /// Takes the next piece of the text.
    pub fn follow(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while let Some(&byte) = rest.first() {
            let taken = match self.line {
                Line::Plain | Line::Backtick if byte != b'\n' => self.plain(rest),
                _ => {
                    self.byte(byte);
                    1
                }
            };
            rest = &rest[taken..];
        }
    }

    /// What follows stands behind something else in its line.
    pub fn leave_line_start(&mut self) {
        self.line = Line::Plain;
    }

    /// Whether what follows is code: in a fence, in the line that opens one, or right behind a backtick.
    pub fn shows_code(&self) -> bool {
        self.open.is_some()
            || match self.line {
                Line::Fence(mark, len) => mark == b'`' || len >= 3,
                Line::Info(..) | Line::Backtick => true,
                Line::Indent | Line::Closing(..) | Line::Plain => false,
            }
    }

    /// Takes the rest of a line that is no fence; how many bytes that were.
    fn plain(&mut self, rest: &[u8]) -> usize {
        let len = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        self.line = if rest[len - 1] == b'`' { Line::Backtick } else { Line::Plain };
        len
    }

    fn byte(&mut self, byte: u8) {
        let blank = matches!(byte, b' ' | b'\t' | b'\r');
        self.line = match self.line {
            _ if byte == b'\n' => {
                self.end_line();
                Line::Indent
            }
            Line::Indent if blank => Line::Indent,
            Line::Indent if matches!(byte, b'`' | b'~') => Line::Fence(byte, 1),
            Line::Fence(mark, len) if byte == mark => Line::Fence(mark, len + 1),
            Line::Fence(mark, len) if len >= 3 && self.open.is_none() => Line::Info(mark, len),
            Line::Fence(mark, len) if len >= 3 && blank => Line::Closing(mark, len),
            Line::Closing(mark, len) if blank => Line::Closing(mark, len),
            Line::Info(b'`', _) if byte == b'`' => Line::Backtick, // ```inline code```
            Line::Info(mark, len) => Line::Info(mark, len),
            _ if byte == b'`' => Line::Backtick,
            _ => Line::Plain,
        };
    }

    fn end_line(&mut self) {
        let (Line::Fence(mark, len) | Line::Info(mark, len) | Line::Closing(mark, len)) = self.line else {
            return;
        };
        self.open = match self.open {
            None if len >= 3 => Some((mark, len)),
            Some((open, least)) if open == mark && len >= least => None,
            unchanged => unchanged,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_text() {
        for (desc, text, code) in [
            ("text", "a", false),
            ("a fence", "a\n```xml\n", true),
            ("the line of a fence", "```xml ", true),
            ("a closed fence", "```\na\n```\n", false),
            ("right behind a closed fence", "```\na\n```\nb", false),
            ("a fence in a list", "1. a\n     ```\nb\n", true),
            ("tildes", "~~~\n", true),
            ("tildes do not close backticks", "```\n~~~\n", true),
            ("a longer fence holds a shorter", "````\n```\n", true),
            ("a longer fence closes", "```\na\n`````  \n", false),
            ("text behind a fence does not close it", "```\n``` a\n", true),
            ("inline code of three backticks", "```a``` b\n", false),
            ("two are none", "``\n", false),
            ("behind a backtick", "see `", true),
            ("behind a backtick at the line's start", "`", true),
            ("behind inline code", "see `a`, ", false),
            ("a backtick in the last line", "`\n", false),
            ("CRLF", "```\r\na\r\n```\r\n", false),
        ] {
            let mut whole = Fences::default();
            whole.follow(text);
            assert_eq!(whole.shows_code(), code, "{desc}");
            let mut letters = Fences::default();
            text.chars().for_each(|letter| letters.follow(&letter.to_string()));
            assert_eq!(letters.shows_code(), code, "{desc}, letter by letter");
        }
    }
}
