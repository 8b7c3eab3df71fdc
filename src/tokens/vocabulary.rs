//! Code shared by the build script and the counter of byte pair tokens: the hash, and the test of two adjacent pieces.

/// Length of the longest token, in bytes; the build script checks it.
pub const MAX_TOKEN: usize = 128;

/// Slots of the hash table, a power of two. A slot holds 14 bits of the hash and 18 bits of rank + 1; 0 is free.
pub const SLOTS: usize = 1 << 18;

/// Entries of the table from the last four bytes of a text to the lengths of the tokens that end so.
pub const ENDINGS: usize = 1 << 15;

/// Tokens per block of the offset table.
pub const BLOCK: usize = 256;

/// The hash of a token: eight bytes at a time, since the tokens that cost most are the long ones.
#[derive(Clone, Copy)]
pub struct Hash(u64);

impl Hash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Hash {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut sum = bytes.len() as u64;
        for word in words {
            sum = mix(sum ^ u64::from_le_bytes(*word));
        }
        let last = rest.iter().rev().fold(0, |last, &byte| last << 8 | u64::from(byte));
        Hash(mix(sum ^ last))
    }

    /// The slot to look at first, and the tag to find there.
    pub fn slot_and_tag(self) -> (usize, u32) {
        let mixed = mix(self.0);
        (mixed as usize & (SLOTS - 1), (mixed >> 50) as u32)
    }
}

fn mix(sum: u64) -> u64 {
    let product = sum.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ (product >> 32)
}

/// The entry of the endings table for a text of at least four bytes.
pub fn ending(text: &[u8]) -> usize {
    let last = &text[text.len() - 4..];
    let key = u32::from_le_bytes([last[0], last[1], last[2], last[3]]);
    (key.wrapping_mul(0x9E37_79B1) >> (32 - ENDINGS.trailing_zeros())) as usize
}

/// The bit of an endings entry that stands for tokens of `len` bytes, `len` being at least four.
pub fn ending_bit(len: usize) -> u32 {
    (len as u32 - 4).min(63)
}

/// A set of ranked tokens, and for each the place where its last merge joined it.
pub trait Vocabulary {
    /// The rank of a token; lower ranks merge first.
    fn rank(&self, token: &[u8]) -> Option<u32>;

    /// Length of the left half of the last merge that makes the token. 0 if none does: a single byte, or a token
    /// that merging its own bytes never yields.
    fn split(&self, rank: u32) -> usize;

    /// Whether merging leaves the tokens `left` and `right`, which meet at byte `at` of `text`, side by side.
    ///
    /// Takes the last merges of both apart again, latest first, and looks each time whether the two parts then at
    /// the border would have merged earlier. Merges with ranks of `limit` and more have not happened yet.
    fn stay_apart(&self, text: &[u8], at: usize, mut left: Part, mut right: Part, mut limit: u32) -> bool {
        loop {
            let joined = self.rank(&text[at - left.len..at + right.len]);
            if joined.is_some_and(|rank| rank < limit) {
                return false;
            }
            let (left_split, right_split) = (self.split(left.rank), self.split(right.rank));
            // Of equal ranks the one further left merges first, so the right one is the first to undo.
            let undo_left = left_split > 0 && (right_split == 0 || left.rank > right.rank);
            if undo_left {
                limit = left.rank;
                left = self.part(&text[at - left.len + left_split..at]);
            } else if right_split > 0 {
                limit = right.rank + 1; // at equal rank the border, being further left, would have won
                right = self.part(&text[at..at + right_split]);
            } else {
                return true;
            }
        }
    }

    /// A half of a token, which is a token itself.
    fn part(&self, bytes: &[u8]) -> Part {
        Part { rank: self.rank(bytes).unwrap_or(u32::MAX), len: bytes.len() }
    }
}

/// A token in a text.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its rank.
    pub rank: u32,
    /// Its length in bytes.
    pub len: usize,
}
