//! Cost of one streamed text event from Poe's bytes to the client's: decode, stages, encode.
//!
//! ```text
//! cargo bench --bench events              # 20000 events, 41 rounds
//! cargo bench --bench events -- 5000 11   # so many events, so many rounds
//! cargo bench --bench events -- 5000 1 "a plain chat" code    # one chain and one text alone, for callgrind
//! ```
//!
//! Pure and in one thread: no socket, no clock but the one that measures. The chains take turns within each round, and
//! each figure is the median over the rounds, so that other work on the machine hits all of them alike. Instructions,
//! which other work does not change at all, are counted by callgrind: those of 3 rounds less those of 1, by 2 and by events.

use std::collections::VecDeque;
use std::hint::black_box;
use std::slice::Chunks;
use std::time::Instant;

use poe2openai::dialect::Encoder as _;
use poe2openai::dialect::chat::{Encoder, Meta};
use poe2openai::error::{Error, Kind, Result};
use poe2openai::pipeline::json::format::JsonOnly;
use poe2openai::pipeline::stages::{
    FileRefs, Limits, Retractions, Thinking, ToolCalls, UnopenedThought, Usage,
};
use poe2openai::pipeline::{Event, Stages, Tool, ToolXml};
use poe2openai::poe::{Decode, Progress, SseDecoder};
use poe2openai::tokens::{self, Running};

/// Buffer size of the client for Poe.
const PIECE_BYTES: usize = 16 << 10;
/// A mixture of all that a stage looks at.
const MIXTURE: (&str, &[&str]) = (
    "a mixture",
    &["The ", "answer ", "is ", "\"four\"", ".\n", "caf\u{e9} ", "\u{4f60}\u{597d}", "`x < y` "],
);
/// What bots write, cut as they send it: about a token at a time.
const TEXTS: &[(&str, &[&str])] = &[
    (
        "prose",
        &[
            "The", " short", " answer", " is", " no", ":", " the", " two", " clocks", " don", "'t", " agree",
            ",", " and", " a", " queue", " that", " is", " \"", "almost", " empty", "\"", " hides", " it",
            ".", "\n\n", "Once", " the", " load", " rises", " (", "say", ",", " by", " 20", "%", "),",
            " both", " are", " late", ".",
        ],
    ),
    (
        "Markdown",
        &[
            "##", " Why", " it", " fails", "\n\n", "1", ".", " **", "Order", "**:", " `", "close", "()`",
            " runs", " first", ".", "\n", "2", ".", " **", "Reads", "**", " see", " [", "the", " docs", "](",
            "https", "://", "example", ".org", "/a", ").\n\n", "|", " a", " |", " b", " |", "\n", "|---",
            "|---", "|\n",
        ],
    ),
    (
        "code",
        &[
            "```", "rust", "\n", "fn", " main", "()", " {\n", "   ", " let", " v", ":", " Vec", "<u", "8",
            ">", " =", " vec", "![", "1", ",", " 2", "];\n", "   ", " if", " v", "[", "0", "]", " <", " 2",
            " &&", " true", " {", " println", "!(\"", "{:?}", "\",", " v", ");", " }\n", "}\n", "```",
            "\n\n",
        ],
    ),
    (
        "JSON",
        &[
            "{\"", "rows", "\":", " [", "{\"", "id", "\":", " 1", ",", " \"", "name", "\":", " \"", "first",
            "\",", " \"", "tags", "\":", " [\"", "a", "\",", " \"", "b", "\"]", "},\n", " {\"", "id", "\":",
            " 2", "}]", "}\n",
        ],
    ),
    (
        "Chinese",
        &[
            "\u{7b80}\u{77ed}",
            "\u{7684}",
            "\u{56de}\u{7b54}",
            "\u{662f}",
            "\u{201c}",
            "\u{4e0d}",
            "\u{201d}",
            "\u{ff0c}",
            "\u{56e0}\u{4e3a}",
            "\u{4e24}\u{4e2a}",
            "\u{65f6}\u{949f}",
            "\u{4e0d}",
            "\u{4e00}\u{81f4}",
            "\u{3002}",
            "\n\n",
            "\u{5f53}",
            "\u{8d1f}\u{8f7d}",
            "\u{589e}\u{52a0}",
            "\u{65f6}",
            "\u{ff0c}",
            "\u{4e8c}\u{8005}",
            "\u{90fd}",
            "\u{4f1a}",
            "\u{53d8}\u{6162}",
            "\u{3002}",
        ],
    ),
];

type Events<'w> = Box<dyn Iterator<Item = Result<Event>> + 'w>;
type Chain = for<'w> fn(Replay<'w>) -> Events<'w>;

/// What is measured. The first two are what the others are compared with: the bare cost, and that of the first
/// chain that could state the usage.
const CHAINS: &[(&str, Chain)] = &[
    ("decode and encode", bare),
    ("with tokens counted", counted),
    ("a plain chat", full_chain),
    ("tools on offer", offered),
    ("tools and limits too", at_work),
    ("only: absent stage", |events| Box::new(events.through(None::<Usage<fn() -> u64>>))),
    ("only: Thinking", |events| Box::new(events.through(Thinking::default()))),
    ("only: UnopenedThought", |events| Box::new(events.through(UnopenedThought::streaming()))),
    ("only: ToolXml", |events| Box::new(events.through(ToolXml::new(&[tool()], String::new)))),
    ("only: Cut", |events| Box::new(events.through(Limits::new(&[], None, Running::new())))),
    ("only: FileRefs", |events| Box::new(events.through(FileRefs::streaming()))),
    ("only: Settle", |events| Box::new(events.through(Retractions::default()))),
];

/// Nothing between decoder and encoder.
fn bare(events: Replay<'_>) -> Events<'_> {
    Box::new(events)
}

/// The cost of counting the usage.
fn counted(events: Replay<'_>) -> Events<'_> {
    Box::new(events.through(Usage::new(tokens::count, || 7)))
}

/// Every stage that `gateway/prepared_request.rs` puts behind a stream, in its order; nothing was asked for but an answer.
fn full_chain(events: Replay<'_>) -> Events<'_> {
    chain(events, &[], Limits::new(&[], None, Running::new()))
}

/// The same with a tool on offer, which the answer does not call.
fn offered(events: Replay<'_>) -> Events<'_> {
    chain(events, &[tool()], Limits::new(&[], None, Running::new()))
}

fn tool() -> Tool {
    Tool { name: "read_file".to_owned(), description: None, parameters: None }
}

/// The same where the tools are carried in the prompt, with a stop text and a limit that are never met.
fn at_work(events: Replay<'_>) -> Events<'_> {
    chain(events, &[tool()], Limits::new(&["STOP".to_owned()], Some(u64::MAX >> 32), Running::new()))
}

fn chain<'w>(events: Replay<'w>, tools: &[Tool], cut: Limits<Running>) -> Events<'w> {
    let make_id = || String::from("call_1");
    let events = events
        .through(Thinking::default())
        .through(UnopenedThought::streaming())
        .through(ToolCalls::new(make_id).offering(tools))
        .through((!tools.is_empty()).then(|| ToolXml::new(tools, make_id)))
        .through(None::<JsonOnly>)
        .through(cut)
        .through(FileRefs::streaming())
        .through(Usage::new(tokens::count, || 7))
        .through(Retractions::default());
    Box::new(events)
}

fn main() {
    // cargo itself passes `--bench`
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let (count, rounds) = (numbers.next().unwrap_or(20_000).max(1), numbers.next().unwrap_or(41).max(1));
    let (only, text) = (std::env::args().nth(3), std::env::args().nth(4));
    if let Some((_, chain)) = CHAINS.iter().find(|(name, _)| only.as_deref() == Some(name)) {
        let named = TEXTS.iter().find(|(name, _)| text.as_deref() == Some(name));
        let wire = wire(named.unwrap_or(&MIXTURE).1, count);
        for _ in 0..rounds {
            black_box(run(*chain, &wire));
        }
        return;
    }
    all_chains(count, rounds);
    with_and_without_tools(count, rounds);
}

/// Every chain with the mixture, compared with the first two.
fn all_chains(count: usize, rounds: usize) {
    let wire = wire(MIXTURE.1, count);
    let chains: Vec<_> = CHAINS.iter().map(|(_, chain)| *chain).collect();
    let medians = medians(&chains, &wire, count, rounds);
    println!("{count} text events of {} bytes, {rounds} rounds", wire.len() / count);
    println!("{:<21} {:>15} {:>6} {:>6}", "", "median", "x 1st", "x 2nd");
    for ((name, _), median) in CHAINS.iter().zip(&medians) {
        let ratio = |to: usize| median / medians[to];
        println!("{name:<21} {median:>6.0} ns/event {:>6.2} {:>6.2}", ratio(0), ratio(1));
    }
}

/// What it costs that calls are looked for in the text, for every kind of text.
fn with_and_without_tools(count: usize, rounds: usize) {
    println!("\n{:<21} {:>10} {:>10} {:>8}", "", "a chat", "with tools", "with/without");
    for (name, text) in TEXTS.iter().chain([&MIXTURE]) {
        let medians = medians(&[full_chain, offered], &wire(text, count), count, rounds);
        let ratio = medians[1] / medians[0];
        println!("{name:<21} {:>7.0} ns {:>7.0} ns {ratio:>8.3}", medians[0], medians[1]);
    }
}

/// The median time of an event for each chain, in nanoseconds.
fn medians(chains: &[Chain], wire: &[u8], count: usize, rounds: usize) -> Vec<f64> {
    let mut times = vec![Vec::with_capacity(rounds); chains.len()];
    for round in 0..rounds {
        for turn in 0..chains.len() {
            let place = (round + turn) % chains.len(); // no chain always runs first
            let start = Instant::now();
            black_box(run(chains[place], wire));
            times[place].push(start.elapsed().as_secs_f64() * 1e9 / count as f64);
        }
    }
    times.iter_mut().map(|times| median(times)).collect()
}

/// A stream of `count` text events and its end, as Poe sends it.
fn wire(text: &[&str], count: usize) -> Vec<u8> {
    let mut wire = String::new();
    for piece in text.iter().cycle().take(count) {
        let piece = serde_json::Value::from(*piece);
        wire += &format!("event: text\r\ndata: {{\"text\": {piece}}}\r\n\r\n");
    }
    wire += "event: done\r\ndata: {}\r\n\r\n";
    wire.into_bytes()
}

/// Sends one answer all the way and says how many frames came out.
fn run(chain: Chain, wire: &[u8]) -> usize {
    let meta = Meta {
        id: "chatcmpl-0123456789abcdefghijklmn".to_owned(),
        created: 1_700_000_000,
        model: "Claude-Sonnet-4.5".to_owned(),
        has_functions: false,
        plain_text: Default::default(),
    };
    let mut encoder = Encoder::new(meta, 1, true);
    let (mut frame, mut frames) = (Vec::new(), 0);
    for event in chain(Replay::new(wire)) {
        encoder.event(0, &event.expect("the stream is well-formed"), &mut frame);
        black_box(frame.as_slice());
        frame.clear();
        frames += 1;
    }
    encoder.end(&mut frame);
    black_box(frame.as_slice());
    frames
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// An answer that comes from memory instead of a connection; otherwise as in `poe/bot_stream.rs`.
struct Replay<'w> {
    pieces: Chunks<'w, u8>,
    sse: SseDecoder,
    decode: Decode,
    ready: VecDeque<Event>,
    progress: Progress,
}

impl<'w> Replay<'w> {
    fn new(wire: &'w [u8]) -> Replay<'w> {
        Replay {
            pieces: wire.chunks(PIECE_BYTES),
            sse: SseDecoder::default(),
            decode: Decode::default(),
            ready: VecDeque::new(),
            progress: Progress::More,
        }
    }

    fn read(&mut self) -> Result<()> {
        let broken = || Error::new(Kind::Upstream, "the stream ended without `done`");
        self.sse.feed(self.pieces.next().ok_or_else(broken)?)?;
        while let Some(frame) = self.sse.next_frame() {
            self.progress = self.decode.push(&frame, &mut self.ready)?;
        }
        Ok(())
    }
}

impl Iterator for Replay<'_> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Result<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.progress == Progress::Done {
                return None;
            }
            if let Err(error) = self.read() {
                return Some(Err(error));
            }
        }
    }
}
