//! Derives the token counter's look-up tables from `assets/o200k` into `OUT_DIR`, so that they are in the binary
//! ready to use and not in the repository.

use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/tokens/vocabulary.rs"]
mod vocabulary;

use vocabulary::{BLOCK, ENDINGS, Hash, MAX_TOKEN, Part, SLOTS, Vocabulary, ending, ending_bit};

const RANKS: &str = "assets/o200k/ranks.bin";
const CLASSES: &str = "assets/o200k/classes.txt";

fn main() {
    for input in ["build.rs", "src/tokens/vocabulary.rs", RANKS, CLASSES] {
        println!("cargo:rerun-if-changed={input}");
    }
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));

    let ranks = fs::read(root.join(RANKS)).expect(RANKS);
    let mut vocabulary = Tables::new(&ranks);
    vocabulary.find_splits();
    write(
        &out,
        "o200k_slots.bin",
        &vocabulary.slots.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>(),
    );
    write(&out, "o200k_splits.bin", &vocabulary.splits);
    let (blocks, offsets) = vocabulary.offsets();
    write(&out, "o200k_blocks.bin", &blocks);
    write(&out, "o200k_offsets.bin", &offsets);
    write(&out, "o200k_endings.bin", &vocabulary.endings());

    let classes = fs::read_to_string(root.join(CLASSES)).expect(CLASSES);
    let (index, pages) = pages(&classes);
    write(&out, "o200k_class_index.bin", &index);
    write(&out, "o200k_class_pages.bin", &pages);
}

fn write(out: &Path, name: &str, bytes: &[u8]) {
    fs::write(out.join(name), bytes).expect(name);
}

struct Tables<'a> {
    tokens: Vec<&'a [u8]>,
    slots: Vec<u32>,
    splits: Vec<u8>,
}

impl<'a> Tables<'a> {
    /// Reads tokens in rank order, each a byte of length and its bytes, into the hash table.
    fn new(mut ranks: &'a [u8]) -> Tables<'a> {
        let mut tokens = Vec::new();
        while let Some((&len, rest)) = ranks.split_first() {
            let (token, rest) = rest.split_at(usize::from(len));
            assert!((1..=MAX_TOKEN).contains(&token.len()), "a token of {len} bytes");
            tokens.push(token);
            ranks = rest;
        }
        let mut slots = vec![0; SLOTS];
        for (token, number) in tokens.iter().zip(1..) {
            let (mut slot, tag) = Hash::of(token).slot_and_tag();
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = tag << 18 | number;
        }
        let splits = vec![0; tokens.len()];
        Tables { tokens, slots, splits }
    }

    /// Finds for each token the one pair of earlier tokens that merging its bytes ends with.
    fn find_splits(&mut self) {
        for rank in 0..self.tokens.len() {
            let token = self.tokens[rank];
            let split = (1..token.len()).find(|&at| self.is_split(token, at, rank as u32));
            self.splits[rank] = split.unwrap_or(0) as u8;
        }
    }

    fn is_split(&self, token: &[u8], at: usize, rank: u32) -> bool {
        let half = |bytes: &[u8]| {
            let half = Part { rank: self.rank(bytes)?, len: bytes.len() };
            (half.rank < rank && self.can_be_made(half)).then_some(half)
        };
        let Some(left) = half(&token[..at]) else { return false };
        let Some(right) = half(&token[at..]) else { return false };
        self.stay_apart(token, at, left, right, rank)
    }

    fn can_be_made(&self, part: Part) -> bool {
        part.len == 1 || self.split(part.rank) > 0
    }

    /// Where each token begins in the rank file: a u32 per block, and a u16 per token relative to its block.
    fn offsets(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut blocks, mut offsets) = (Vec::new(), Vec::new());
        let mut begin = 0_u32;
        for block in self.tokens.chunks(BLOCK) {
            blocks.extend(begin.to_le_bytes());
            let mut offset = 0_u16;
            for token in block {
                offsets.extend(offset.to_le_bytes());
                offset += 1 + token.len() as u16;
            }
            begin += u32::from(offset);
        }
        (blocks, offsets)
    }

    /// A u64 per hash of four bytes: which lengths occur among the tokens that end with them.
    fn endings(&self) -> Vec<u8> {
        let mut endings = vec![0_u64; ENDINGS];
        for (token, &split) in self.tokens.iter().zip(&self.splits) {
            if token.len() < 4 || split == 0 {
                continue;
            }
            endings[ending(token)] |= 1 << ending_bit(token.len());
        }
        endings.iter().flat_map(|bits| bits.to_le_bytes()).collect()
    }
}

impl Vocabulary for Tables<'_> {
    fn rank(&self, token: &[u8]) -> Option<u32> {
        let (mut slot, tag) = Hash::of(token).slot_and_tag();
        while self.slots[slot] != 0 {
            let number = self.slots[slot] & 0x3_FFFF;
            if self.slots[slot] >> 18 == tag && self.tokens[number as usize - 1] == token {
                return Some(number - 1);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }

    fn split(&self, rank: u32) -> usize {
        usize::from(self.splits[rank as usize])
    }
}

/// Unfolds the runs of character classes into pages of 256 classes, each distinct page once, and their index.
fn pages(runs: &str) -> (Vec<u8>, Vec<u8>) {
    let mut classes = vec![0_u8; 0x11_0000];
    let runs = runs.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (first, class) = line.split_once(' ').expect(line);
        (usize::from_str_radix(first, 16).expect(line), class.parse::<u8>().expect(line))
    });
    let runs: Vec<_> = runs.collect();
    for (number, &(first, class)) in runs.iter().enumerate() {
        let end = runs.get(number + 1).map_or(classes.len(), |next| next.0);
        classes[first..end].fill(class);
    }
    let (mut index, mut pages) = (Vec::new(), Vec::<&[u8]>::new());
    for page in classes.chunks(256) {
        let known = pages.iter().position(|other| *other == page);
        let number = known.unwrap_or_else(|| {
            pages.push(page);
            pages.len() - 1
        });
        index.push(u8::try_from(number).expect("at most 256 distinct pages"));
    }
    (index, pages.concat())
}
