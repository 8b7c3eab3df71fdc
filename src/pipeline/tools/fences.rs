//! Tracks Markdown to detect code and quotations: a call inside them is an example.

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
    /// In a block quote: the line begins with `>`.
    Quoted,
    /// In other text.
    Plain(Inline),
}

/// What is open in a line of text.
#[derive(Debug, Clone, Copy, Default)]
struct Inline {
    /// Backticks that opened inline code; 0 outside it.
    code: usize,
    /// Backticks right before this place.
    run: usize,
    /// What closes the quotation that is open.
    quote: Option<char>,
    /// Whether a quotation mark here opens a quotation: it stands behind a blank or a bracket.
    may_open: bool,
}

/// Quotation marks: what opens, and what closes it.
const QUOTES: [(char, char); 8] =
    [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('„', '“'), ('«', '»'), ('「', '」'), ('『', '』')];

impl Fences {
    /// Takes the next piece of the text.
    pub fn follow(&mut self, text: &str) {
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let taken = match &mut self.line {
                Line::Plain(inline) if letter != '\n' => {
                    let len = rest.bytes().position(|byte| byte == b'\n').unwrap_or(rest.len());
                    inline.follow(&rest[..len]);
                    len
                }
                Line::Quoted if letter != '\n' => {
                    rest.bytes().position(|byte| byte == b'\n').unwrap_or(rest.len())
                }
                _ => {
                    self.letter(letter);
                    letter.len_utf8()
                }
            };
            rest = &rest[taken..];
        }
    }

    /// What follows stands behind something else in its line.
    pub fn leave_line_start(&mut self) {
        self.line = Line::Plain(Inline { may_open: true, ..Inline::default() });
    }

    /// Whether a line begins here, outside a fence.
    pub fn is_line_start(&self) -> bool {
        self.open.is_none() && matches!(self.line, Line::Indent)
    }

    /// Whether what follows is an example: in a fence, in the line that opens one, in inline code, in quotation marks
    /// or in a block quote.
    pub fn shows_example(&self) -> bool {
        self.open.is_some()
            || match self.line {
                Line::Fence(mark, len) => mark == b'`' || len >= 3,
                Line::Info(..) | Line::Quoted => true,
                Line::Indent | Line::Closing(..) => false,
                Line::Plain(inline) => inline.is_open(),
            }
    }

    fn letter(&mut self, letter: char) {
        let byte = u8::try_from(letter).unwrap_or(0);
        let blank = matches!(byte, b' ' | b'\t' | b'\r');
        self.line = match self.line {
            _ if byte == b'\n' => {
                self.end_line();
                Line::Indent
            }
            Line::Indent if blank => Line::Indent,
            Line::Indent if matches!(byte, b'`' | b'~') => Line::Fence(byte, 1),
            Line::Indent if byte == b'>' => Line::Quoted,
            Line::Fence(mark, len) if byte == mark => Line::Fence(mark, len + 1),
            Line::Fence(mark, len) if len >= 3 && self.open.is_none() => Line::Info(mark, len),
            Line::Fence(mark, len) if len >= 3 && blank => Line::Closing(mark, len),
            Line::Closing(mark, len) if blank => Line::Closing(mark, len),
            // ```inline code```
            Line::Info(b'`', len) if byte == b'`' => {
                Line::Plain(Inline { code: len, run: 1, ..Inline::default() })
            }
            Line::Info(mark, len) => Line::Info(mark, len),
            line => {
                let run = if let Line::Fence(b'`', len) = line { len } else { 0 };
                let mut inline = Inline { run, may_open: true, ..Inline::default() };
                inline.letter(letter);
                Line::Plain(inline)
            }
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

impl Inline {
    fn follow(&mut self, text: &str) {
        let is_simple = |byte: u8| byte.is_ascii_alphanumeric() || b" ,.:;-?!*_/".contains(&byte);
        let simple = if self.run == 0 { text.bytes().take_while(|&byte| is_simple(byte)).count() } else { 0 };
        if let Some(last) = text[..simple].bytes().last() {
            self.may_open = is_opening(last.into());
        }
        text[simple..].chars().for_each(|letter| self.letter(letter));
    }

    fn letter(&mut self, letter: char) {
        if letter == '`' {
            self.run += 1;
            return;
        }
        self.end_run();
        if self.code == 0 {
            match self.quote {
                Some(closing) if letter == closing || closing == '“' && letter == '”' => {
                    self.quote = None
                }
                Some(_) => {}
                None if self.may_open || !matches!(letter, '"' | '\'') => {
                    self.quote = QUOTES.iter().find(|(open, _)| *open == letter).map(|(_, close)| *close);
                }
                None => {}
            }
        }
        self.may_open = is_opening(letter);
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        match self.code {
            _ if run == 0 => {}
            0 => self.code = run,
            code if code == run => self.code = 0,
            _ => {}
        }
    }

    fn is_open(mut self) -> bool {
        self.end_run();
        self.code > 0 || self.quote.is_some()
    }
}

/// Whether `"` behind this letter opens a quotation.
fn is_opening(letter: char) -> bool {
    letter.is_whitespace() || "([{:=—–-*_".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_distinguished_from_text() {
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
            ("inside inline code", "see `a ", true),
            ("inline code of two backticks", "see ``a ` ", true),
            ("behind inline code of two backticks", "see ``a ` b`` ", false),
            ("a new line ends inline code", "see `a\n", false),
            ("right behind a quotation mark", "write \"", true),
            ("in a quotation", "write \"so: ", true),
            ("behind a quotation", "write \"so\": ", false),
            ("right behind a closed quotation", "he said \"hi\"", false),
            ("inches", "a 5\" screen ", false),
            ("an apostrophe", "it's ", false),
            ("in single quotes", "write 'so ", true),
            ("in English quotes", "write “so ", true),
            ("in German quotes", "schreib „so ", true),
            ("behind German quotes", "schreib „so“ ", false),
            ("in French quotes", "écris « ", true),
            ("in Chinese quotes", "写「", true),
            ("a new line ends a quotation", "write \"so\n", false),
            ("in a block quote", "> a ", true),
            ("behind a block quote", "> a\n", false),
        ] {
            let mut whole = Fences::default();
            whole.follow(text);
            assert_eq!(whole.shows_example(), code, "{desc}");
            let mut letters = Fences::default();
            text.chars().for_each(|letter| letters.follow(&letter.to_string()));
            assert_eq!(letters.shows_example(), code, "{desc}, letter by letter");
        }
    }
}
