//! Counts the tokens of a text that arrives in pieces.

use super::merge::{Prefixes, SHORT, short};
use super::scan::Scan;

/// Text is tried so many bytes at a time against a limit, before it is tried character by character.
const STRIDE: usize = 256;

/// The token count of a text that grows at its end, always that of the whole text.
///
/// A push costs time in proportion to the new text and to the last unfinished piece (a word, a run of spaces or of
/// punctuation), of which no more than 128 bytes are merged anew. A longer piece, however long, is merged byte by
/// byte as it comes. What is finished is forgotten; memory holds the unfinished piece and a few KiB.
#[derive(Clone, Debug, Default)]
pub struct Running {
    /// The text that is not forgotten.
    tail: String,
    count: Count,
}

impl Running {
    /// No text yet.
    pub fn new() -> Running {
        Running::default()
    }

    /// Tokens of all text so far.
    pub fn total(&self) -> usize {
        self.count.total
    }

    /// Adds `piece` to the text and returns the tokens of all text so far.
    pub fn push(&mut self, piece: &str) -> usize {
        self.forget();
        self.add(piece)
    }

    /// Adds as much of the begin of `piece` as leaves the text with no more than `limit` tokens, and returns the
    /// length of that in bytes, which is always a character boundary. Less than `piece.len()` means that the text
    /// ends here; the rest was not added.
    ///
    /// The count of a text may fall as it grows, since what arrives may join two tokens. So this is the longest
    /// begin of `piece` within the limit, which may contain a shorter one that is not. But it does not know the
    /// next piece: a text cut in the middle of a token may end one token early.
    ///
    /// Costs as much as [`push`](Self::push), and where the limit is met a few hundred bytes character by character.
    pub fn fits(&mut self, piece: &str, limit: usize) -> usize {
        let mut fitting = 0;
        while fitting < piece.len() {
            self.forget();
            let before = (self.tail.len(), self.count.clone());
            let end = boundary(piece, fitting + STRIDE);
            if self.add(&piece[fitting..end]) > limit {
                self.go_back(before);
                return fitting + self.fits_by_characters(&piece[fitting..], limit);
            }
            fitting = end;
        }
        fitting
    }

    fn fits_by_characters(&mut self, piece: &str, limit: usize) -> usize {
        let before = (self.tail.len(), self.count.clone());
        let mut fitting = 0;
        for (begin, character) in piece.char_indices() {
            let end = begin + character.len_utf8();
            if self.add(&piece[begin..end]) <= limit {
                fitting = end;
            } else if self.count.lowest() > limit {
                break;
            }
        }
        self.go_back(before);
        if fitting > 0 {
            self.add(&piece[..fitting]);
        }
        fitting
    }

    fn add(&mut self, piece: &str) -> usize {
        self.tail.push_str(piece);
        self.count.advance(&self.tail);
        self.count.total
    }

    /// Takes back all that was added since `before`, if nothing was forgotten since.
    fn go_back(&mut self, before: (usize, Count)) {
        self.tail.truncate(before.0);
        self.count = before.1;
    }

    /// Drops the finished pieces.
    fn forget(&mut self) {
        self.tail.drain(..self.count.begin);
        self.count.begin = 0;
    }
}

/// What is known of the text, so that it can be restored without a copy of the text.
#[derive(Clone, Debug, Default)]
struct Count {
    /// Tokens of all finished pieces.
    settled: usize,
    /// Where the unfinished piece begins in the tail.
    begin: usize,
    /// How far it is understood.
    scan: Scan,
    /// The piece as it is if the text ends here.
    head: Growing,
    /// What then remains behind it, and where that begins in the piece.
    rest: Growing,
    rest_begin: usize,
    /// Tokens of all text.
    total: usize,
}

impl Count {
    /// Counts `tail`, which has grown at its end.
    fn advance(&mut self, tail: &str) {
        self.settle(tail);
        let end = self.scan.len_at_end();
        if self.rest_begin != end {
            self.rest_begin = end;
            self.rest.reset();
        }
        let (head, rest) = tail.as_bytes()[self.begin..].split_at(end);
        self.total = self.settled + self.head.tokens(head) + self.rest.tokens(rest);
    }

    /// Moves on behind the pieces that no further text can change.
    fn settle(&mut self, tail: &str) {
        while let Some(len) = self.scan.resume(&tail[self.begin..]) {
            let end = self.begin + len;
            self.settled += self.head.tokens(&tail.as_bytes()[self.begin..end]);
            self.begin = end;
            self.scan = Scan::default();
            self.head.reset();
            self.rest.reset();
        }
    }

    /// No longer text has fewer tokens.
    fn lowest(&self) -> usize {
        let empty = self.scan.len_at_end() == 0;
        self.settled + self.head.lowest().unwrap_or(usize::from(!empty))
    }
}

/// The tokens of a piece that may grow; remembers nothing of short ones.
#[derive(Clone, Debug, Default)]
pub struct Growing(Prefixes);

impl Growing {
    /// Tokens of `piece`, which must begin as before unless [`reset`](Self::reset).
    pub fn tokens(&mut self, piece: &[u8]) -> usize {
        match piece.len() {
            0..=SHORT => short(piece),
            _ => self.0.tokens(piece),
        }
    }

    /// Forgets the piece for another.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    fn lowest(&self) -> Option<usize> {
        self.0.lowest()
    }
}

/// The first character boundary at or after byte `at`, or the end.
fn boundary(text: &str, at: usize) -> usize {
    (at..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())
}
