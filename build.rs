//! Derives the token counter's look-up tables from `assets/o200k`, and the table of the page's files with their compressed forms,
//! into `OUT_DIR`, so that they are in the binary ready to use and not in the repository.

use std::path::{Path, PathBuf};
use std::{env, fs, iter};

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

    write(&out, "page_files.rs", page_files(&root.join("assets"), &out).as_bytes());
}

/// The page's files as an array of name, content and content in gzip, and the latter as files in `out`.
fn page_files(assets: &Path, out: &Path) -> String {
    println!("cargo:rerun-if-changed={}", assets.display());
    let entries = fs::read_dir(assets).expect("assets").map(|entry| entry.expect("an entry").path());
    let is_page = |path: &PathBuf| {
        path.extension().is_some_and(|end| ["html", "css", "js", "json"].iter().any(|one| end == *one))
    };
    let mut paths: Vec<PathBuf> = entries.filter(is_page).collect();
    paths.sort();
    let row = |path: &PathBuf| {
        println!("cargo:rerun-if-changed={}", path.display());
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let packed = format!("{name}.gz");
        let text = minified(name, &fs::read_to_string(path).expect(name));
        write(out, name, text.as_bytes());
        write(out, &packed, &gzip(text.as_bytes()));
        format!(
            "    ({name:?}, include_bytes!({:?}), include_bytes!({:?})),\n",
            out.join(name),
            out.join(packed)
        )
    };
    let rows: String = paths.iter().map(row).collect();
    format!("&[\n{rows}]\n")
}

/// JavaScript or JSON without comments, indentation and blanks between tokens. Line ends stay, because they may end statements.
struct Minifier<'a> {
    rest: &'a str,
    out: String,
    /// For each `${` that is open, how many braces are open inside.
    braces: Vec<usize>,
}

impl Minifier<'_> {
    fn run(text: &str) -> String {
        let mut this = Minifier { rest: text, out: String::new(), braces: Vec::new() };
        while let Some(next) = this.rest.chars().next() {
            this.token(next);
        }
        this.out
    }

    fn token(&mut self, next: char) {
        match next {
            '/' if self.rest.starts_with("//") => self.skip(self.rest.find('\n')),
            '/' if self.rest.starts_with("/*") => self.skip(self.rest.find("*/").map(|end| end + 2)),
            '/' if self.can_be_regex() => self.literal('/'),
            '\'' | '"' => self.literal(next),
            '`' => self.template(),
            '\n' if self.out.is_empty() || self.out.ends_with('\n') => self.skip(Some(1)),
            ' ' | '\t' => self.blanks(),
            '}' if self.braces.last() == Some(&0) => {
                self.braces.pop();
                self.template();
            }
            _ => {
                if let Some(open) = self.braces.last_mut() {
                    *open = *open + usize::from(next == '{') - usize::from(next == '}');
                }
                self.copy(next.len_utf8());
            }
        }
    }

    fn skip(&mut self, bytes: Option<usize>) {
        self.rest = &self.rest[bytes.unwrap_or(self.rest.len())..];
    }

    fn copy(&mut self, bytes: usize) {
        self.out.push_str(&self.rest[..bytes]);
        self.rest = &self.rest[bytes..];
    }

    /// Blanks count between two words, and between signs that would become another one.
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        let (before, after) =
            (self.out.chars().last().unwrap_or('\n'), self.rest.chars().next().unwrap_or('\n'));
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        if is_word(before) && is_word(after) || before == after && "+-".contains(before) {
            self.out.push(' ');
        }
    }

    fn can_be_regex(&self) -> bool {
        let before = self.out.trim_end_matches(' ');
        before.ends_with("return") || before.ends_with(|c| "(,=:[!&|?{};+-*%<>~^\n".contains(c))
    }

    /// Copies a string or a regular expression up to its end; in the class of one its mark is no end.
    fn literal(&mut self, mark: char) {
        let (mut escaped, mut in_class) = (false, false);
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let is_end = !escaped && !in_class && *c == mark;
            in_class = mark == '/' && !escaped && (*c == '[' || in_class && *c != ']') || in_class && escaped;
            escaped = !escaped && *c == '\\';
            is_end
        });
        self.copy(end.map_or(self.rest.len(), |(at, _)| at + 1));
    }

    /// Copies a template, from its beginning or from the end of a `${…}`, up to its end or to the next `${`.
    fn template(&mut self) {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(at, c)| {
            let is_end = !escaped && (*c == '`' || self.rest[*at..].starts_with("${"));
            escaped = !escaped && *c == '\\';
            is_end
        });
        let opens = end.is_some_and(|(_, c)| c == '$');
        self.copy(end.map_or(self.rest.len(), |(at, _)| at + 1 + usize::from(opens)));
        if opens {
            self.braces.push(0);
        }
    }
}

/// A file of the page as it is served: smaller, and the same to a browser.
fn minified(name: &str, text: &str) -> String {
    match name.rsplit('.').next() {
        Some("js" | "json") => Minifier::run(text),
        _ => text.lines().map(|line| line.trim_start_matches('\t').to_owned() + "\n").collect(),
    }
}

/// A gzip file (RFC 1952) without name and time.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let crc = bytes.iter().fold(!0_u32, |crc, byte| {
        let shift = |crc: &u32| Some(if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 });
        iter::successors(Some(crc ^ u32::from(*byte)), shift).nth(8).expect("endless")
    });
    let mut file = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 255];
    file.extend(miniz_oxide::deflate::compress_to_vec(bytes, 10));
    file.extend((!crc).to_le_bytes());
    file.extend(u32::try_from(bytes.len()).expect("a small file").to_le_bytes());
    file
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
