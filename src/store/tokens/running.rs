//! Counts a text that arrives in pieces.

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
    /// Tokens of all finished pieces.
    settled: usize,
    /// The text behind them.
    tail: String,
    /// How far `tail` is understood.
    scan: Scan,
    /// The piece that `tail` begins with, were it to end now.
    head: Growing,
    /// What follows that piece, and where it begins.
    rest: Growing,
    rest_begin: usize,
    /// Tokens of all text.
    total: usize,
}

impl Running {
    /// No text yet.
    pub fn new() -> Running {
        Running::default()
    }

    /// Tokens of all text so far.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Adds `piece` to the text and returns the tokens of all text so far.
    pub fn push(&mut self, piece: &str) -> usize {
        self.tail.push_str(piece);
        self.settle();
        let end = self.scan.len_at_end();
        if self.rest_begin != end {
            self.rest_begin = end;
            self.rest.reset();
        }
        let (head, rest) = self.tail.as_bytes().split_at(end);
        self.total = self.settled + self.head.tokens(head) + self.rest.tokens(rest);
        self.total
    }

    /// Adds as much of the begin of `piece` as leaves the text with no more than `limit` tokens, and returns the
    /// length of that in bytes, which is always a character boundary. Less than `piece.len()` means that the text
    /// ends here; the rest was not added.
    ///
    /// The count of a text may fall as it grows, since what arrives may join two tokens. So this is the longest
    /// begin of `piece` within the limit, which may contain a shorter one that is not. But it does not know the
    /// next piece: a text cut in the middle of a token may end one token early.
    ///
    /// Costs as much as [`push`](Self::push), and near the limit a copy of the unfinished piece and up to 256 bytes
    /// character by character.
    pub fn fits(&mut self, piece: &str, limit: usize) -> usize {
        // A token has at least one byte.
        if self.settled + self.tail.len() + piece.len() <= limit {
            self.push(piece);
            return piece.len();
        }
        let mut fitting = 0;
        while fitting < piece.len() {
            let end = boundary(piece, fitting + STRIDE);
            let mut longer = self.clone();
            if longer.push(&piece[fitting..end]) > limit {
                return fitting + self.fits_by_characters(&piece[fitting..], limit);
            }
            *self = longer;
            fitting = end;
        }
        fitting
    }

    fn fits_by_characters(&mut self, piece: &str, limit: usize) -> usize {
        let mut trial = self.clone();
        let mut fitting = 0;
        for (begin, character) in piece.char_indices() {
            let end = begin + character.len_utf8();
            if trial.push(&piece[begin..end]) <= limit {
                fitting = end;
            } else if trial.lowest() > limit {
                break;
            }
        }
        if fitting > 0 {
            self.push(&piece[..fitting]);
        }
        fitting
    }

    /// Counts and forgets the pieces that no further text can change.
    fn settle(&mut self) {
        let mut begin = 0;
        while let Some(len) = self.scan.resume(&self.tail[begin..]) {
            self.settled += self.head.tokens(&self.tail.as_bytes()[begin..begin + len]);
            begin += len;
            self.scan = Scan::default();
            self.head.reset();
            self.rest.reset();
        }
        self.tail.drain(..begin);
    }

    /// No longer text has fewer tokens.
    fn lowest(&self) -> usize {
        let head = self.head.lowest().unwrap_or(usize::from(!self.tail.is_empty()));
        self.settled + head
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
