//! The vocabulary and the character classes: read-only tables in the binary, used in place.

use super::vocabulary::{BLOCK, Hash, MAX_TOKEN, Part, SLOTS, Vocabulary, ending, ending_bit};

/// Tokens in rank order, each a byte of length and its bytes.
static RANKS: &[u8] = include_bytes!("../../assets/o200k/ranks.bin");
/// A u32 per block of tokens: where it begins in `RANKS`.
static BLOCKS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k_blocks.bin"));
/// A u16 per token: where it begins in its block.
static OFFSETS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k_offsets.bin"));
/// The hash table, a u32 per slot.
static SLOT_TABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k_slots.bin"));
/// A byte per token: [`Vocabulary::split`].
static SPLITS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k_splits.bin"));
/// A u64 per entry: lengths of the tokens with an ending.
static ENDING_TABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k_endings.bin"));
/// A byte per 256 code points: their page in `CLASS_PAGES`.
static CLASS_INDEX: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k_class_index.bin"));
/// Pages of 256 classes.
static CLASS_PAGES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k_class_pages.bin"));

/// What the splitting pattern of o200k_base states apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Punctuation, symbols, controls, unassigned.
    Other,
    /// Upper and title case letters.
    Upper,
    /// Lower case letters.
    Lower,
    /// Letters without case, and modifiers.
    Letter,
    /// Combining marks.
    Mark,
    /// Digits and other numbers.
    Number,
    /// White space but for line ends.
    Space,
    /// CR and LF.
    LineEnd,
}

/// The class of a character.
pub fn class(character: char) -> Class {
    let code = character as usize;
    let page = usize::from(CLASS_INDEX[code >> 8]);
    match CLASS_PAGES[page << 8 | code & 255] {
        1 => Class::Upper,
        2 => Class::Lower,
        3 => Class::Letter,
        4 => Class::Mark,
        5 => Class::Number,
        6 => Class::Space,
        7 => Class::LineEnd,
        _ => Class::Other,
    }
}

/// The vocabulary o200k_base.
pub struct O200k;

impl Vocabulary for O200k {
    fn rank(&self, token: &[u8]) -> Option<u32> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (mut slot, tag) = Hash::of(token).slot_and_tag();
        loop {
            let entry = word32(SLOT_TABLE, slot);
            let rank = (entry & 0x3_FFFF).checked_sub(1)?;
            if entry >> 18 == tag && token_of(rank) == token {
                return Some(rank);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    fn split(&self, rank: u32) -> usize {
        SPLITS.get(rank as usize).copied().map_or(0, usize::from)
    }
}

/// Puts the tokens that merging can yield and that end `text` into `found`, shortest first.
pub fn suffixes(text: &[u8], found: &mut Vec<Part>) {
    found.clear();
    let text = &text[text.len().saturating_sub(MAX_TOKEN)..];
    let lengths = if text.len() < 4 { 0 } else { word64(ENDING_TABLE, ending(text)) };
    for len in 1..=text.len() {
        let suffix = &text[text.len() - len..];
        if len >= 4 {
            match lengths >> ending_bit(len) {
                0 => return,
                rest if rest & 1 == 0 => continue,
                _ => {}
            }
        }
        if let Some(rank) = O200k.rank(suffix)
            && (len == 1 || O200k.split(rank) > 0)
        {
            found.push(Part { rank, len });
        }
    }
}

fn token_of(rank: u32) -> &'static [u8] {
    let rank = rank as usize;
    let offset = u16::from_le_bytes([OFFSETS[2 * rank], OFFSETS[2 * rank + 1]]);
    let begin = word32(BLOCKS, rank / BLOCK) as usize + usize::from(offset);
    let len = usize::from(RANKS[begin]);
    &RANKS[begin + 1..=begin + len]
}

fn word32(table: &[u8], index: usize) -> u32 {
    let bytes = &table[4 * index..4 * index + 4];
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn word64(table: &[u8], index: usize) -> u64 {
    u64::from(word32(table, 2 * index)) | u64::from(word32(table, 2 * index + 1)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_found_at_its_rank() {
        let mut rank = 0;
        let mut rest = RANKS;
        while let Some((&len, tail)) = rest.split_first() {
            let (token, tail) = tail.split_at(usize::from(len));
            assert_eq!(O200k.rank(token), Some(rank));
            rank += 1;
            rest = tail;
        }
        assert_eq!(rank, 199_998);
        assert_eq!(O200k.rank(b""), None);
        assert_eq!(O200k.rank(b"no such token"), None);
    }

    #[test]
    fn suffixes_are_all_tokens_at_the_end() {
        let mut found = Vec::new();
        suffixes(b"internationalization", &mut found);
        let lengths: Vec<usize> = found.iter().map(|part| part.len).collect();
        let expected: Vec<usize> = (1..=20)
            .filter(|len| {
                let rank = O200k.rank(&b"internationalization"[20 - len..]);
                rank.is_some_and(|rank| *len == 1 || O200k.split(rank) > 0)
            })
            .collect();
        assert_eq!(lengths, expected);
        assert!(lengths.len() > 3);
    }

    #[test]
    fn classes_follow_unicode() {
        let sample = "!AbǅʰßΩ字\u{301}5½ \u{a0}\n\u{ad}";
        use Class::*;
        let expected = [
            Other, Upper, Lower, Upper, Letter, Lower, Upper, Letter, Mark, Number, Number, Space, Space,
            LineEnd, Other,
        ];
        assert_eq!(sample.chars().map(class).collect::<Vec<_>>(), expected);
    }
}
