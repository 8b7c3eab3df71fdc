//! Counts the tokens of one piece: short ones by merging them, long ones by extending the answer byte by byte.

use super::tables::{O200k, suffixes};
use super::vocabulary::{MAX_TOKEN, Part, Vocabulary};

/// Longest piece that [`merge`] takes, in bytes. Nothing longer is a token, so only here can a piece be one as a
/// whole.
pub const SHORT: usize = MAX_TOKEN;

const NONE: u32 = u32::MAX;

/// Tokens of a piece of at most [`SHORT`] bytes.
pub fn short(piece: &[u8]) -> usize {
    match piece.len() {
        0 => 0,
        1 => 1,
        _ if O200k.rank(piece).is_some() => 1,
        _ => merge(piece),
    }
}

/// Byte pair encoding as it is defined: of all neighbours join the pair of lowest rank, leftmost first, until no
/// pair is a token.
fn merge(piece: &[u8]) -> usize {
    let mut parts = piece.len();
    // Where each part begins, and the rank of its union with the next part.
    let mut begins = [0_u8; SHORT + 1];
    let mut ranks = [NONE; SHORT + 1];
    for (place, begin) in begins.iter_mut().zip(0..).take(parts + 1) {
        *place = begin;
    }
    let union = |begins: &[u8], at: usize, parts: usize| match at + 2 <= parts {
        true => O200k.rank(&piece[usize::from(begins[at])..usize::from(begins[at + 2])]).unwrap_or(NONE),
        false => NONE,
    };
    for (at, rank) in ranks.iter_mut().enumerate().take(parts) {
        *rank = union(&begins, at, parts);
    }
    while let Some((at, _)) =
        ranks[..parts].iter().enumerate().min_by_key(|(_, rank)| **rank).filter(|(_, rank)| **rank != NONE)
    {
        begins.copy_within(at + 2..=parts, at + 1);
        ranks.copy_within(at + 2..=parts, at + 1);
        parts -= 1;
        ranks[at] = union(&begins, at, parts);
        if at > 0 {
            ranks[at - 1] = union(&begins, at - 1, parts);
        }
    }
    parts
}

/// The token counts of all prefixes of a piece, found in order; only the last [`MAX_TOKEN`] are kept.
///
/// The encoding of a prefix is that of a shorter prefix and one last token, and of the tokens that the prefix ends
/// with exactly one stays apart from the token before it. So a byte more costs a bounded number of look-ups however
/// long the piece is, and the memory is bounded too (a few KiB).
#[derive(Clone, Debug, Default)]
pub struct Prefixes {
    /// The prefix of length `n`, of those kept, is at `n % MAX_TOKEN`. Empty before first use.
    kept: Vec<Prefix>,
    /// Length of the longest prefix known, in bytes.
    len: usize,
    /// Kept only for its memory.
    found: Vec<Part>,
    /// Ranks of two tokens and whether they stay apart, the latest for each hash. A long run of one character, the
    /// costliest piece there is, asks for the same few over and over. Empty before first use.
    asked: Vec<(u32, u32, bool)>,
}

/// Entries of the memory for pairs, a power of two.
const ASKED: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Prefix {
    tokens: usize,
    last: Part,
}

impl Prefixes {
    /// Tokens of `piece`, which is the piece asked for before, longer or up to a few bytes shorter.
    pub fn tokens(&mut self, piece: &[u8]) -> usize {
        if self.len >= piece.len() + MAX_TOKEN {
            self.reset(); // no longer kept
        }
        while self.len < piece.len() {
            self.extend(&piece[..self.len + 1]);
        }
        self.kept[piece.len() % MAX_TOKEN].tokens
    }

    /// The least number of tokens that the piece can have, however it goes on; `None` before first use.
    pub fn lowest(&self) -> Option<usize> {
        // The last token of a longer piece begins behind the prefix it extends, and that is one of those kept or
        // an extension of one.
        self.kept.iter().map(|prefix| prefix.tokens).min()
    }

    /// Forgets the piece.
    pub fn reset(&mut self) {
        self.len = 0;
        self.kept.clear();
    }

    fn extend(&mut self, prefix: &[u8]) {
        if self.kept.is_empty() {
            self.kept.resize(MAX_TOKEN, Prefix { tokens: 0, last: Part { rank: NONE, len: 0 } });
            self.asked.resize(ASKED, (NONE, NONE, false));
        }
        let last = self.as_before(prefix).or_else(|| self.longest(prefix));
        debug_assert!(last.is_some(), "each prefix has an encoding");
        let last = last.unwrap_or(Part { rank: NONE, len: 1 });
        let before = self.kept[(prefix.len() - last.len) % MAX_TOKEN].tokens;
        self.len = prefix.len();
        self.kept[self.len % MAX_TOKEN] = Prefix { tokens: before + 1, last };
    }

    /// The last token, if it is that of the prefix [`MAX_TOKEN`] bytes shorter. Saves a run of spaces, which ends
    /// with up to a hundred tokens, from trying them all.
    fn as_before(&mut self, prefix: &[u8]) -> Option<Part> {
        let last = self.kept[prefix.len() % MAX_TOKEN].last;
        let before = &prefix[..prefix.len().checked_sub(MAX_TOKEN)?];
        let same = last.len > 0 && prefix.ends_with(&before[before.len().checked_sub(last.len)?..]);
        (same && self.follows(prefix, last)).then_some(last)
    }

    /// The last token, tried from the longest down.
    fn longest(&mut self, prefix: &[u8]) -> Option<Part> {
        suffixes(prefix, &mut self.found);
        while let Some(last) = self.found.pop() {
            if self.follows(prefix, last) {
                return Some(last);
            }
        }
        None
    }

    /// Whether the encoding of `prefix` ends with `last`.
    fn follows(&mut self, prefix: &[u8], last: Part) -> bool {
        let at = prefix.len() - last.len;
        if at == 0 {
            return true;
        }
        let before = self.kept[at % MAX_TOKEN].last;
        let asked = &mut self.asked[(before.rank.wrapping_mul(31) ^ last.rank) as usize % ASKED];
        if (asked.0, asked.1) != (before.rank, last.rank) {
            let apart = O200k.stay_apart(prefix, at, before, last, NONE);
            *asked = (before.rank, last.rank, apart);
        }
        asked.2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Merging for pieces of any length.
    fn merge_slowly(piece: &[u8]) -> usize {
        let mut parts: Vec<&[u8]> = piece.chunks(1).collect();
        loop {
            let union = |at: usize| [parts[at], parts[at + 1]].concat();
            let ranked = (0..parts.len() - 1).filter_map(|at| Some((O200k.rank(&union(at))?, at)));
            let Some((_, at)) = ranked.min() else { return parts.len() };
            let begin = parts[..at].iter().map(|part| part.len()).sum::<usize>();
            let len = parts[at].len() + parts[at + 1].len();
            parts.splice(at..at + 2, [&piece[begin..begin + len]]);
        }
    }

    fn agree_on_every_prefix(piece: &[u8]) {
        let mut prefixes = Prefixes::default();
        for len in 1..=piece.len() {
            let prefix = &piece[..len];
            let tokens = prefixes.tokens(prefix);
            assert_eq!(tokens, merge_slowly(prefix), "{:?}", String::from_utf8_lossy(prefix));
            if len <= SHORT {
                assert_eq!(tokens, merge(prefix));
            }
            assert!(prefixes.lowest() <= Some(tokens));
        }
    }

    #[test]
    fn prefixes_are_merged() {
        for text in ["a", " ", "=", "ab", "\n", "字", "-=", "the", "ha", "0aA"] {
            agree_on_every_prefix(text.repeat(200 / text.len()).as_bytes());
        }
    }

    #[test]
    fn a_shorter_piece_is_remembered() {
        let piece = "x".repeat(500);
        let mut prefixes = Prefixes::default();
        prefixes.tokens(piece.as_bytes());
        for len in [499, 500, 300, 500] {
            assert_eq!(prefixes.tokens(&piece.as_bytes()[..len]), merge_slowly(&piece.as_bytes()[..len]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn letters_agree(piece in "[a-e]{1,150}|[a-zA-Z]{1,150}|[ -~]{1,150}") {
            agree_on_every_prefix(piece.as_bytes());
        }

        #[test]
        fn any_bytes_agree(piece in prop::collection::vec(any::<u8>(), 1..100)) {
            agree_on_every_prefix(&piece);
        }

        #[test]
        fn any_characters_agree(piece in "\\PC{1,40}") {
            agree_on_every_prefix(piece.as_bytes());
        }
    }
}
