//! Makes `assets/o200k` from the public rank file of o200k_base.
//!
//! Needed only when the vocabulary or the version of Unicode changes. The rank file is OpenAI's
//! `o200k_base.tiktoken`; the crate `tiktoken-rs` carries a copy in its `assets`:
//!
//! ```text
//! cargo run --example o200k_assets -- path/to/o200k_base.tiktoken
//! ```
//!
//! Writes `ranks.bin` (the tokens in rank order, each one byte of length and its bytes) and `classes.txt` (one
//! line per run of characters of one class: the first code point and the class). `build.rs` derives all else.

#![expect(clippy::unwrap_used, reason = "a developer's tool may panic")]

use std::fmt::Write as _;
use std::{env, fs};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex_syntax::hir::{Class, HirKind};

const SHA256: &str = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d";

/// The classes, later ones winning over earlier; each becomes its place in this list. 0 is everything else.
const CLASSES: [&str; 8] =
    [r"\p{any}", r"[\p{Lu}\p{Lt}]", r"\p{Ll}", r"[\p{Lm}\p{Lo}]", r"\p{M}", r"\p{N}", r"\s", r"[\r\n]"];

fn main() {
    let path = env::args().nth(1).expect("usage: o200k_assets path/to/o200k_base.tiktoken");
    let file = fs::read(path).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &file);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, SHA256, "not the rank file of o200k_base");

    fs::create_dir_all("assets/o200k").unwrap();
    fs::write("assets/o200k/ranks.bin", ranks(std::str::from_utf8(&file).unwrap())).unwrap();
    fs::write("assets/o200k/classes.txt", classes()).unwrap();
}

/// The tokens in rank order, each one byte of length and its bytes.
fn ranks(file: &str) -> Vec<u8> {
    let mut ranks = Vec::new();
    for (expected, line) in file.lines().enumerate() {
        let (token, rank) = line.split_once(' ').unwrap();
        assert_eq!(rank.parse(), Ok(expected), "ranks have a gap");
        let token = STANDARD.decode(token).unwrap();
        ranks.push(u8::try_from(token.len()).unwrap());
        ranks.extend(token);
    }
    ranks
}

/// A line per run of characters of one class.
fn classes() -> String {
    let mut table = vec![0_u8; 0x11_0000];
    for (number, class) in (0..).zip(CLASSES) {
        let HirKind::Class(Class::Unicode(class)) = regex_syntax::parse(class).unwrap().into_kind() else {
            panic!("{class} is no class");
        };
        for range in class.ranges() {
            table[range.start() as usize..=range.end() as usize].fill(number);
        }
    }
    let mut text = String::from("# 1 upper 2 lower 3 letter 4 mark 5 number 6 space 7 line end 0 other\n");
    let mut before = None;
    for (code, class) in table.into_iter().enumerate() {
        if before.replace(class) != Some(class) {
            writeln!(text, "{code:X} {class}").unwrap();
        }
    }
    text
}
