//! Cost of one streamed text event from Poe's bytes to the client's: decode, stages, encode.
//!
//! ```text
//! cargo bench --bench events              # 20000 events, 41 rounds
//! cargo bench --bench events -- 5000 11   # so many events, so many rounds
//! cargo bench --bench events -- 5000 1 "a plain chat"    # one chain alone, for callgrind, which counts instructions
//! ```
//!
//! Pure and in one thread: no socket, no clock but the one that measures. The chains take turns within each round, and
//! each figure is the median over the rounds, so that other work on the machine hits all of them alike.

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
const WORDS: &[&str] =
    &["The ", "answer ", "is ", "\\\"four\\\"", ".\\n", "caf\u{e9} ", "\u{4f60}\u{597d}", "`x < y` "];

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
    chain(events, None, Limits::new(&[], None, Running::new()))
}

/// The same with a tool on offer, which the answer does not call.
fn offered(events: Replay<'_>) -> Events<'_> {
    chain(events, Some(&[tool()]), Limits::new(&[], None, Running::new()))
}

fn tool() -> Tool {
    Tool { name: "read_file".to_owned(), description: None, parameters: None }
}

/// The same where the tools are carried in the prompt, with a stop text and a limit that are never met.
fn at_work(events: Replay<'_>) -> Events<'_> {
    chain(events, Some(&[tool()]), Limits::new(&["STOP".to_owned()], Some(u64::MAX >> 32), Running::new()))
}

fn chain<'w>(events: Replay<'w>, tools: Option<&[Tool]>, cut: Limits<Running>) -> Events<'w> {
    let make_id = || String::from("call_1");
    let events = events
        .through(Thinking::default())
        .through(UnopenedThought::streaming())
        .through(tools.map(|tools| ToolCalls::new(make_id).offering(tools)))
        .through(tools.map(|tools| ToolXml::new(tools, make_id)))
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
    let wire = wire(count);
    let only = std::env::args().nth(3);
    if let Some((_, chain)) = CHAINS.iter().find(|(name, _)| only.as_deref() == Some(name)) {
        for _ in 0..rounds {
            black_box(run(*chain, &wire));
        }
        return;
    }
    let mut times = vec![Vec::with_capacity(rounds); CHAINS.len()];
    let mut frames = 0;
    for round in 0..rounds {
        for turn in 0..CHAINS.len() {
            let place = (round + turn) % CHAINS.len(); // no chain always runs first
            let start = Instant::now();
            frames = run(CHAINS[place].1, &wire);
            times[place].push(start.elapsed().as_secs_f64() * 1e9 / count as f64);
        }
    }
    println!("{count} text events of {} bytes, {frames} frames out, {rounds} rounds", wire.len() / count);
    println!("{:<21} {:>15} {:>6} {:>6}", "", "median", "x 1st", "x 2nd");
    let medians: Vec<_> = times.iter_mut().map(|times| median(times)).collect();
    for ((name, _), median) in CHAINS.iter().zip(&medians) {
        let ratio = |to: usize| median / medians[to];
        println!("{name:<21} {median:>6.0} ns/event {:>6.2} {:>6.2}", ratio(0), ratio(1));
    }
    let of =
        |name: &str| CHAINS.iter().position(|(known, _)| *known == name).map_or(f64::NAN, |at| medians[at]);
    let more = (of("tools on offer") / of("a plain chat") - 1.0) * 100.0;
    println!("tools on offer cost {more:.1} % more than a plain chat");
}

/// A stream of `count` text events and its end, as Poe sends it.
fn wire(count: usize) -> Vec<u8> {
    let mut wire = String::new();
    for word in WORDS.iter().cycle().take(count) {
        wire += &format!("event: text\r\ndata: {{\"text\": \"{word}\"}}\r\n\r\n");
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
