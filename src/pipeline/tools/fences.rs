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
    /// The letter before: whether a quotation mark opens a quotation depends on it.
    before: char,
}

impl Inline {
    /// What stands behind `run` backticks, or a blank.
    fn behind(run: usize) -> Inline {
        Inline { run, before: ' ', ..Inline::default() }
    }
}

/// What closes the quotation that `letter` opens.
fn closing(letter: char) -> Option<char> {
    Some(match letter {
        '"' | '\'' => letter,
        '“' => '”',
        '‘' => '’',
        '„' => '“',
        '«' => '»',
        '「' => '」',
        '『' => '』',
        _ => return None,
    })
}

/// Whether a byte neither ends a line nor opens or closes anything in it. All quotation marks but the ASCII ones begin with
/// one of three bytes.
pub const fn is_inert(byte: u8) -> bool {
    !matches!(byte, b'\n' | b'`' | b'"' | b'\'' | 0xC2 | 0xE2 | 0xE3)
}

static INERT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_inert(byte as u8);
        byte += 1;
    }
    table
};

impl Fences {
    /// Takes the next piece of the text if all of it is inert and stands behind other text in its line.
    #[inline]
    pub fn follow_inert(&mut self, text: &str) -> bool {
        let Line::Plain(inline) = &mut self.line else { return false };
        let follows = inline.run == 0;
        if let (true, Some(last)) = (follows, text.chars().next_back()) {
            inline.before = last;
        }
        follows
    }

    /// Takes the next piece of the text.
    pub fn follow(&mut self, text: &str) {
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let taken = match &mut self.line {
                Line::Plain(inline) if letter != '\n' && self.open.is_none() => inline.follow(rest),
                Line::Plain(_) | Line::Quoted if letter != '\n' => {
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
        self.line = Line::Plain(Inline::behind(0));
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
                let mut inline = Inline::behind(run);
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
    /// Takes the text up to the end of its line; how many bytes that are.
    fn follow(&mut self, text: &str) -> usize {
        let mut rest = text;
        loop {
            let len = rest.bytes().take_while(|byte| INERT[usize::from(*byte)]).count();
            let (inert, other) = rest.split_at(len);
            if let Some(last) = inert.chars().next_back() {
                self.end_run();
                self.before = last;
            }
            match other.chars().next() {
                None | Some('\n') => return text.len() - other.len(),
                Some(letter) => {
                    self.letter(letter);
                    rest = &other[letter.len_utf8()..];
                }
            }
        }
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
                None if !matches!(letter, '"' | '\'') || is_opening(self.before) => {
                    self.quote = closing(letter);
                }
                None => {}
            }
        }
        self.before = letter;
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
