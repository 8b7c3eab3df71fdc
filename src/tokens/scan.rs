//! Splits text into the pieces that o200k_base merges separately, one character at a time, so that it can stop
//! where the text stops and continue when more arrives.
//!
//! Does by hand what this pattern says (the alternatives are tried in order, `\s` includes line ends):
//!
//! ```text
//! [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! \p{N}{1,3}
//!  ?[^\s\p{L}\p{N}]+[\r\n/]*
//! \s*[\r\n]+
//! \s+(?!\S)
//! \s+
//! ```

use super::tables::{Class, class};

/// The scan of one piece. Offsets are bytes from the begin of the piece.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    state: State,
    /// How much has been looked at.
    len: usize,
}

/// What was seen so far.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Nothing.
    #[default]
    Start,
    /// One character of class `Other`: leads a word or begins punctuation.
    Lead,
    /// One space: leads a word or punctuation or begins white space.
    Blank,
    /// Another white space character: leads a word or begins white space.
    Space,
    /// Letters, none lower case yet. Should none follow, then the first alternative ends after the last character
    /// that is not upper case either, here `cut`; 0 if there is none, and then the second takes all.
    Upper { cut: usize },
    /// Letters, after the first in lower case: upper case ends the word.
    Lower,
    /// A word that ends at `word`, and an apostrophe.
    Apostrophe { word: usize },
    /// The same and the first letter of `'re`, `'ve` or `'ll`; `second` completes it.
    Contraction { word: usize, second: char },
    /// Nothing can be added to it.
    Complete,
    /// So many digits.
    Number(u8),
    /// Punctuation.
    Punctuation,
    /// Line ends (and slashes) that belong to the punctuation before them.
    PunctuationEnd,
    /// White space: `line` is the end of its last line end, or 0, and `last` the begin of its last character.
    White { line: usize, last: usize },
}

impl Scan {
    /// Looks at the part of `text` not seen yet; `text` is the begin of the piece and what follows. Returns the
    /// length of the piece once no further text can change it, else `None`.
    pub fn resume(&mut self, text: &str) -> Option<usize> {
        for character in text[self.len..].chars() {
            match self.next(character) {
                Next::Take(state) => {
                    self.state = state;
                    self.len += character.len_utf8();
                }
                Next::End(len) => return Some(len),
            }
        }
        None
    }

    /// Length of the piece if the text ends here. What remains after it is one piece, or nothing.
    pub fn len_at_end(&self) -> usize {
        match self.state {
            State::Upper { cut } | State::White { line: cut, .. } if cut > 0 => cut,
            State::Apostrophe { word } | State::Contraction { word, .. } => word,
            _ => self.len,
        }
    }

    fn next(&self, character: char) -> Next {
        let class = class(character);
        match self.state {
            State::Start => self.first(character, class),
            State::Lead => self.word(character, class).unwrap_or_else(|| self.punctuation(class)),
            State::Blank => self.word(character, class).unwrap_or_else(|| match class {
                Class::Other => Next::Take(State::Punctuation),
                _ => self.white(class, 0, 0),
            }),
            State::Space => self.word(character, class).unwrap_or_else(|| self.white(class, 0, 0)),
            State::Upper { cut } => self.upper(character, class, cut),
            State::Lower => match class {
                Class::Lower | Class::Letter | Class::Mark => Next::Take(State::Lower),
                _ => self.after_word(character),
            },
            State::Apostrophe { word } => contraction(character, word),
            State::Contraction { word, second } => match character.to_ascii_lowercase() == second {
                true => Next::Take(State::Complete),
                false => Next::End(word),
            },
            State::Number(digits) if class == Class::Number && digits < 3 => {
                Next::Take(State::Number(digits + 1))
            }
            State::Number(_) | State::Complete => Next::End(self.len),
            State::Punctuation => self.punctuation(class),
            State::PunctuationEnd if character == '/' || class == Class::LineEnd => {
                Next::Take(State::PunctuationEnd)
            }
            State::PunctuationEnd => Next::End(self.len),
            State::White { line, last } => self.white(class, line, last),
        }
    }

    fn first(&self, character: char, class: Class) -> Next {
        let state = match class {
            Class::Other => State::Lead,
            Class::Number => State::Number(1),
            Class::Space if character == ' ' => State::Blank,
            Class::Space => State::Space,
            Class::LineEnd => State::White { line: 1, last: 0 },
            // A mark may lead a word too, but as the first letter of the word it takes the same text.
            Class::Upper | Class::Lower | Class::Letter | Class::Mark => {
                return self.upper(character, class, 0);
            }
        };
        Next::Take(state)
    }

    /// The first letter of a word after what led it; `None` if it is no letter.
    fn word(&self, character: char, class: Class) -> Option<Next> {
        match class {
            Class::Upper | Class::Lower | Class::Letter | Class::Mark => {
                Some(self.upper(character, class, 0))
            }
            _ => None,
        }
    }

    fn upper(&self, character: char, class: Class, cut: usize) -> Next {
        match class {
            Class::Upper => Next::Take(State::Upper { cut }),
            Class::Letter | Class::Mark => Next::Take(State::Upper { cut: self.len + character.len_utf8() }),
            Class::Lower => Next::Take(State::Lower),
            _ if 0 < cut && cut < self.len => Next::End(cut),
            _ => self.after_word(character),
        }
    }

    fn after_word(&self, character: char) -> Next {
        match character {
            '\'' => Next::Take(State::Apostrophe { word: self.len }),
            _ => Next::End(self.len),
        }
    }

    fn punctuation(&self, class: Class) -> Next {
        match class {
            Class::Other | Class::Mark => Next::Take(State::Punctuation),
            Class::LineEnd => Next::Take(State::PunctuationEnd),
            _ => Next::End(self.len),
        }
    }

    fn white(&self, class: Class, line: usize, last: usize) -> Next {
        match class {
            Class::Space => Next::Take(State::White { line, last: self.len }),
            Class::LineEnd => Next::Take(State::White { line: self.len + 1, last: self.len }),
            _ if line > 0 => Next::End(line),
            // The last white space before a word is left to lead it.
            _ if last > 0 => Next::End(last),
            _ => Next::End(self.len),
        }
    }
}

/// What becomes of one more character.
enum Next {
    /// It was looked at, and the state is this.
    Take(State),
    /// It ends the piece, which has this length.
    End(usize),
}

/// The letter after an apostrophe after a word that ends at `word`.
fn contraction(character: char, word: usize) -> Next {
    match character {
        // U+017F is an s to a pattern that ignores case.
        's' | 'S' | 't' | 'T' | 'm' | 'M' | 'd' | 'D' | '\u{17f}' => Next::Take(State::Complete),
        'r' | 'R' | 'v' | 'V' => Next::Take(State::Contraction { word, second: 'e' }),
        'l' | 'L' => Next::Take(State::Contraction { word, second: 'l' }),
        _ => Next::End(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(mut text: &str) -> Vec<&str> {
        let mut pieces = Vec::new();
        while !text.is_empty() {
            let mut scan = Scan::default();
            let end = scan.resume(text).unwrap_or_else(|| scan.len_at_end());
            pieces.push(&text[..end]);
            text = &text[end..];
        }
        pieces
    }

    #[test]
    fn words_take_what_leads_them() {
        assert_eq!(pieces("a b\tc(d  e"), ["a", " b", "\tc", "(d", " ", " e"]);
        assert_eq!(pieces("camelCase HTTPServer"), ["camel", "Case", " HTTPServer"]);
        assert_eq!(pieces("ABC字DEF"), ["ABC字", "DEF"]);
        assert_eq!(pieces("字ABCd字E"), ["字ABCd字", "E"]);
    }

    #[test]
    fn contractions_belong_to_the_word() {
        assert_eq!(pieces("I'll don'T we'VE x'\u{17f}y"), ["I'll", " don'T", " we'VE", " x'\u{17f}", "y"]);
        assert_eq!(pieces("don'x you'r we'"), ["don", "'x", " you", "'r", " we", "'"]);
        assert_eq!(pieces("it'sme"), ["it's", "me"]);
    }

    #[test]
    fn marks_are_letters() {
        assert_eq!(pieces("\u{301}A"), ["\u{301}", "A"]);
        assert_eq!(pieces("!\u{301}A"), ["!\u{301}", "A"]);
        assert_eq!(pieces("!!\u{301}a"), ["!!\u{301}", "a"]);
    }

    #[test]
    fn digits_go_by_three() {
        assert_eq!(pieces("12345 6"), ["123", "45", " ", "6"]);
    }

    #[test]
    fn punctuation_takes_line_ends_and_slashes() {
        assert_eq!(pieces("a ();\r\n//\n b"), ["a", " ();\r\n//\n", " b"]);
    }

    #[test]
    fn white_space_ends_at_its_last_line_end() {
        assert_eq!(pieces("  \n \n   a"), ["  \n \n", "  ", " a"]);
        assert_eq!(pieces("\n  "), ["\n", "  "]);
        assert_eq!(pieces("a   "), ["a", "   "]);
        assert_eq!(pieces("\u{a0}1"), ["\u{a0}", "1"]);
    }
}
