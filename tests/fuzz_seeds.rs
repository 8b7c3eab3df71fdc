//! The fuzzer's checks on its seeds and on random mutations of them, the same ones in every run.

#[path = "../fuzz/checks/mod.rs"]
mod checks;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many mutations each target gets.
const MUTATIONS: usize = 2000;
/// A slow machine gets fewer of them.
const MOST_TIME: Duration = Duration::from_secs(30);
/// Mutations are cut to this length.
const MOST_BYTES: usize = 2048;

#[test]
fn sse() {
    run("sse", checks::sse);
}

#[test]
fn thinking() {
    run("thinking", checks::thinking);
}

#[test]
fn tool_xml() {
    run("tool_xml", checks::tool_xml);
}

#[test]
fn repair() {
    run("repair", checks::repair);
}

#[test]
fn chat_request() {
    run("chat_request", checks::chat_request);
}

#[test]
fn messages_request() {
    run("messages_request", checks::messages_request);
}

#[test]
fn completions_request() {
    run("completions_request", checks::completions_request);
}

#[test]
fn images_request() {
    run("images_request", checks::images_request);
}

#[test]
fn speech_request() {
    run("speech_request", checks::speech_request);
}

#[test]
fn ollama_request() {
    run("ollama_request", checks::ollama_request);
}

#[test]
fn responses_request() {
    run("responses_request", checks::responses_request);
}

fn run(target: &str, check: fn(&[u8])) {
    let seeds = seeds(target);
    for (name, seed) in &seeds {
        checked(name, seed, check);
    }
    let begun = Instant::now();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for number in 0..MUTATIONS {
        if begun.elapsed() > MOST_TIME {
            return eprintln!("{target}: only {number} mutations in the time there is");
        }
        checked(&format!("mutation {number}"), &mutation(&seeds, &mut random), check);
    }
}

fn checked(name: &str, input: &[u8], check: fn(&[u8])) {
    let _shown = Shown(name, input);
    check(input);
}

/// An input that is printed when its check fails.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: b\"{}\"", self.0, self.1.escape_ascii());
        }
    }
}

/// The committed seeds, always in the same order.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus-seeds").join(target);
    let files = fs::read_dir(&folder).expect("the target has seeds").map(|file| file.expect("a file").path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    assert!(files.len() > 3, "{target} has hardly any seeds");
    files.iter().map(|file| (file.display().to_string(), fs::read(file).expect("a seed"))).collect()
}

/// A seed with a few changes, each of which may take something from another seed.
fn mutation(seeds: &[(String, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let mut input = random.one_of(seeds).1.clone();
    for _ in 0..=random.below(4) {
        let from = random.below(input.len() + 1);
        let to = (from + random.below(12)).min(input.len());
        let new = match random.below(6) {
            0 => Vec::new(),
            1 => vec![random.below(256) as u8],
            2 => vec![*random.one_of(b"\n\r \0:,\"'\\{}[]()<>/!&*`-=.019eE\xEF\xBB\xBF\xF0")],
            3 => input[from..to].repeat(1 + random.below(9)),
            _ => {
                let other = &random.one_of(seeds).1;
                let start = random.below(other.len() + 1);
                let end = start + random.below(40);
                let piece = other[start..end.min(other.len())].to_vec();
                input.splice(from..from, piece);
                continue;
            }
        };
        input.splice(from..to, new);
    }
    input.truncate(MOST_BYTES);
    input
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
