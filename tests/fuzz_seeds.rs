//! The fuzzer's checks on its seeds and on random mutations of them, the same ones in every run.

#[path = "../fuzz/checks/mod.rs"]
mod checks;

use std::fs;
use std::path::Path;

/// How many mutations each target gets.
const MUTATIONS: usize = 2000;
/// Mutations are cut to this length; what is wrong only with long inputs is looked for by `large`.
const MOST_BYTES: usize = 2048;
/// How often a large input repeats its unit.
const REPEATS: usize = 4000;
/// Units that bots and clients can repeat: markup, brackets, references, events.
const UNITS: &[&str] = &[
    "<",
    "</",
    "<think>",
    "</think>",
    "<tool_call>",
    "<invoke name=\"f\">",
    "<parameter name=\"a\">x</parameter>",
    "```\n",
    "`",
    "[",
    "![x](",
    "[a][b] ",
    "{",
    "{\"a\":",
    "\\",
    "\\ud83d",
    "\"",
    "\n",
    "\n\n",
    " ",
    "a",
    "你",
    "data: {}\n\n",
    "event: text\ndata: {\"text\":\"x\"}\n\n",
    "event: json\ndata: {\"choices\":[]}\n\n",
    "https://x.poecdn.net/a.png ",
    "<|",
    "<|tool_call_begin|>",
    "[TOOL_CALLS]",
    "- a\n",
    "> ",
];

#[test]
fn sse() {
    run("sse", checks::sse);
}

#[test]
fn events() {
    run("events", checks::events);
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
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for number in 0..MUTATIONS {
        checked(&format!("mutation {number}"), &mutation(&seeds, &mut random), check);
    }
    for (name, input) in large(&seeds, &mut random) {
        checked(&name, &input, check);
    }
}

fn checked(name: &str, input: &[u8], check: fn(&[u8])) {
    let _shown = Shown(name, input);
    check(input);
}

/// Inputs of tens of kilobytes: a unit again and again, by itself and in the place of a seed's longest string.
fn large(seeds: &[(String, Vec<u8>)], random: &mut Random) -> Vec<(String, Vec<u8>)> {
    let mut inputs = Vec::new();
    for unit in UNITS {
        let repeated = unit.repeat(REPEATS.min(40_000 / unit.len()));
        let (name, seed) = random.one_of(seeds);
        let escaped = serde_json::to_string(&repeated).expect("a string");
        let inside = [
            &seed[..longest_string(seed).start],
            escaped.trim_matches('"').as_bytes(),
            &seed[longest_string(seed).end..],
        ];
        inputs.push((format!("{name} with {unit:?} repeated"), inside.concat()));
        inputs.push((format!("{unit:?} repeated"), repeated.into_bytes()));
    }
    inputs.extend(wide(seeds, random));
    inputs
}

/// A seed that is JSON, with the elements of its longest array repeated.
fn wide(seeds: &[(String, Vec<u8>)], random: &mut Random) -> Option<(String, Vec<u8>)> {
    let (name, seed) = random.one_of(seeds);
    let mut value: serde_json::Value = serde_json::from_slice(seed).ok()?;
    let arrays = value.as_object_mut()?.values_mut().filter_map(serde_json::Value::as_array_mut);
    let array = arrays.max_by_key(|array| array.len()).filter(|array| !array.is_empty())?;
    *array = array.iter().cycle().take(REPEATS / 10).cloned().collect();
    Some((format!("{name} with {} elements", array.len()), value.to_string().into_bytes()))
}

/// Where the longest string of `text` is, without its quotes; somewhere in the middle if there is none.
fn longest_string(text: &[u8]) -> std::ops::Range<usize> {
    let quotes: Vec<_> =
        (0..text.len()).filter(|&at| text[at] == b'"' && (at == 0 || text[at - 1] != b'\\')).collect();
    let strings = quotes.chunks_exact(2).map(|pair| pair[0] + 1..pair[1]);
    strings.max_by_key(std::ops::Range::len).unwrap_or(text.len() / 2..text.len() / 2)
}

/// An input that is printed when its check fails.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let shown = &self.1[..self.1.len().min(4096)];
            eprintln!("{}: {} bytes, b\"{}\"", self.0, self.1.len(), shown.escape_ascii());
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

/// Marsaglia's xorshift generator.
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
