//! Events of a bot's answer, through every stage and every encoder.

use std::time::Instant;

use poe2openai::dialect::responses::{self, ResponseStore};
use poe2openai::dialect::{DecodedRequest, Stamp, chat, completions, messages, ollama};
use poe2openai::error::{Error, Kind, Result};
use poe2openai::pipeline::stages::{BufferAll, FileRefs, Limits, Retractions, Thinking, ToolCalls, Usage};
use poe2openai::pipeline::{
    Attachment, Event, Finish, MediaKind, Reply, Stages, TokenUsage, ToolDelta, ToolXml, media_files,
};
use poe2openai::tokens::{self, Running};

use super::texts::tool;
use super::{Cases, Random};

/// One event of a repetition; `at` counts them all.
type Make = fn(usize) -> Event;

fn call(index: usize, named: bool, arguments: &str) -> Event {
    let id = named.then(|| format!("c{index}"));
    let name = named.then(|| "f".to_owned());
    Event::ToolCall(ToolDelta { index, id, name, arguments: arguments.to_owned() })
}

fn file(at: usize, inline_ref: Option<String>) -> Event {
    let url = format!("https://pfst.cf2.poecdn.net/base/image/{at}.png");
    Event::File(Attachment { url, content_type: "image/png".into(), name: format!("n{at}"), inline_ref })
}

const EVENTS: &[(&str, Make)] = &[
    ("text", |_| Event::Text("word ".into())),
    ("a line", |_| Event::Text("word\n".into())),
    ("white space", |_| Event::Text(" \n".into())),
    ("no text", |_| Event::Text(String::new())),
    ("a long text", |_| Event::Text("word ".repeat(50))),
    ("a letter", |_| Event::Text("a".into())),
    ("a reference", |at| Event::Text(format!("![x][r{at}] "))),
    ("a link", |at| Event::Text(format!("![x](https://pfst.cf2.poecdn.net/base/image/{at}.png)\n"))),
    ("an opening", |_| Event::Text("![".into())),
    ("markup", |_| Event::Text("<tool_call>".into())),
    ("progress", |at| Event::Text(format!("Thinking... ({at}s elapsed)\n\n"))),
    ("thinking", |_| Event::Thinking("word ".into())),
    ("a call", |at| call(at, true, "{}")),
    ("a call without arguments", |at| call(at, true, "")),
    ("an incomplete call", |at| call(at, true, "{\"a\":")),
    ("the first call anew", |_| call(0, true, "{}")),
    ("a part of the first call", |_| call(0, false, "{\"a\":1}")),
    ("an open bracket in the first call", |_| call(0, false, "{\"a")),
    ("white space in the first call", |_| call(0, false, " ")),
    ("a number in the first call", |_| call(0, false, "1")),
    ("a part of the second call", |_| call(1, false, "[1,")),
    ("a part of a call without a name", |at| call(at, false, "{}")),
    ("a file", |at| file(at, None)),
    ("a file with a reference", |at| file(at, Some(format!("r{at}")))),
    ("the same file", |_| file(0, Some("r".into()))),
    ("a suggestion", |at| Event::Suggestion(format!("s{at}"))),
    ("metadata", |at| Event::Metadata(format!("m{at}"))),
    ("a retraction", |_| Event::Retract),
];

/// Beginnings that leave something open.
const STARTS: &[(&str, &[Make])] = &[
    ("nothing", &[]),
    ("a text", &[|_| Event::Text("word ".into())]),
    ("an open call", &[|_| call(0, true, "{\"a\":\"")]),
    ("two open calls", &[|_| call(0, true, "{\"a\":["), |_| call(1, true, "{\"a\":[")]),
    ("a number", &[|_| call(0, true, "1")]),
    ("a long answer that is replaced", &[|_| Event::Text("word ".repeat(20_000)), |_| Event::Retract]),
];

fn events(start: &[Make], unit: &[Make], count: usize) -> Vec<Event> {
    let start = start.iter().map(|make| make(0));
    let finish = Finish { usage: Some(TokenUsage::default()), ..Finish::default() };
    let units = (0..count).flat_map(|at| unit.iter().map(move |make| make(at + 2)));
    start.chain(units).chain([Event::Finish(finish)]).collect()
}

fn stamp() -> Stamp<'static> {
    Stamp { now: 0, make_id: &|prefix| format!("{prefix}1") }
}

type Open = fn() -> Result<DecodedRequest>;

const ENCODERS: &[(&str, Open)] = &[
    ("chat", || {
        chat::decode(br#"{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}"#, &stamp())
    }),
    ("completions", || completions::decode(br#"{"model":"m","stream":true,"prompt":"x"}"#, &stamp())),
    ("messages", || {
        messages::decode(
            br#"{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#,
            &stamp(),
        )
    }),
    ("responses", || {
        let body = br#"{"model":"m","stream":true,"input":"x","tools":[{"type":"custom","name":"g"}]}"#;
        responses::decode(
            body,
            &stamp(),
            ResponseStore { find: &|_| None, keep: Box::new(drop), clock: || 0 },
        )
    }),
    ("ollama", || {
        ollama::decode_chat(
            br#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#,
            &stamp(),
            Instant::now,
        )
    }),
];

fn streamed(open: Open, events: &[Event]) {
    let mut encoder = open().expect("a request").encoder;
    let mut out = Vec::new();
    encoder.begin(&|| 7);
    for event in events {
        encoder.event(0, event, &mut out);
        out.clear(); // it has been sent
    }
    encoder.keep_alive(&mut out);
    encoder.end(&mut out);
    std::hint::black_box(&out);
}

fn broken(open: Open, events: &[Event]) {
    let mut encoder = open().expect("a request").encoder;
    let mut out = Vec::new();
    events[..events.len() - 1].iter().for_each(|event| encoder.event(0, event, &mut out));
    encoder.error(&Error::new(Kind::Upstream, "broken"), &mut out);
    std::hint::black_box(&out);
}

fn whole(open: Open, events: &[Event]) {
    let mut encoder = open().expect("a request").encoder;
    if let Ok(reply) = Reply::fold(events.iter().cloned().map(Ok)) {
        media_files(&reply, MediaKind::Picture);
        drop(encoder.fault(std::slice::from_ref(&reply)));
        std::hint::black_box(encoder.whole(&[reply]));
    }
}

type Out = Box<dyn Iterator<Item = Result<Event>>>;

const STAGES: &[(&str, fn(Out) -> Out)] = &[
    ("Thinking", |events| Box::new(events.through(Thinking::default()))),
    ("ToolCalls", |events| Box::new(events.through(ToolCalls::new(String::new).offering(&[tool()])))),
    ("ToolXml", |events| Box::new(events.through(ToolXml::new(&[tool()], String::new)))),
    ("Limits", |events| {
        Box::new(events.through(Limits::new(&["STOP".into()], Some(1 << 30), Running::new())))
    }),
    ("FileRefs in a stream", |events| Box::new(events.through(FileRefs::streaming()))),
    ("FileRefs of a whole answer", |events| Box::new(events.through(FileRefs::whole()))),
    ("Usage", |events| Box::new(events.through(Usage::new(tokens::count, || 7)))),
    ("Retractions", |events| Box::new(events.through(Retractions::default()))),
    ("BufferAll", |events| Box::new(events.through(BufferAll::default()))),
    ("all stages", |events| {
        let events =
            events.through(Thinking::default()).through(ToolCalls::new(String::new).offering(&[tool()]));
        let events = events.through(ToolXml::new(&[tool()], String::new)).through(FileRefs::streaming());
        Box::new(events.through(Usage::new(tokens::count, || 7)).through(Retractions::default()))
    }),
];

fn check_encoders(cases: &mut Cases, name: &str, start: &[Make], unit: &[Make]) {
    let ways: [(&str, fn(Open, &[Event])); 3] = [("stream", streamed), ("broken", broken), ("whole", whole)];
    for (dialect, open) in ENCODERS {
        for (way, work) in ways {
            cases.check(&format!("{dialect}, {way}: {name}"), &|units| {
                let events = events(start, unit, units);
                Box::new(move || work(*open, &events))
            });
        }
    }
}

fn check_stages(cases: &mut Cases, name: &str, start: &[Make], unit: &[Make]) {
    for (stage, through) in STAGES {
        cases.check(&format!("{stage}: {name}"), &|units| {
            let events = events(start, unit, units);
            Box::new(move || through(Box::new(events.into_iter().map(Ok))).for_each(drop))
        });
    }
}

/// Every event by itself behind every start, and mixtures of them.
fn combinations(mut check: impl FnMut(&str, &[Make], &[Make])) {
    for (name, make) in EVENTS {
        check(name, &[], &[*make]);
    }
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for (started, start) in STARTS.iter().cycle().take(30) {
        let unit: Vec<_> = (0..1 + random.below(3)).map(|_| *random.one_of(EVENTS)).collect();
        let names: Vec<_> = unit.iter().map(|(name, _)| *name).collect();
        let makes: Vec<_> = unit.iter().map(|(_, make)| *make).collect();
        check(&format!("{} behind {started}", names.join(", ")), start, &makes);
    }
}

#[test]
fn any_events_through_every_encoder() {
    let mut cases = Cases::default();
    combinations(|name, start, unit| check_encoders(&mut cases, name, start, unit));
}

#[test]
fn any_events_through_every_stage() {
    let mut cases = Cases::default();
    combinations(|name, start, unit| check_stages(&mut cases, name, start, unit));
}

/// What Poe's native endpoints send, and this server only reads in passing.
#[test]
fn a_passed_stream_through_every_encoder() {
    let mut cases = Cases::default();
    let frames = [
        "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":1,\"response\":{}}\n\n",
        "event: x\ndata: {\"sequence_number\":1}\n\n",
        ": keep-alive\n\n",
    ];
    for (dialect, open) in ENCODERS {
        for frame in frames {
            cases.check(&format!("{dialect}: {frame:?}"), &|units| {
                Box::new(move || {
                    let (mut encoder, mut out) = (open().expect("a request").encoder, Vec::new());
                    (0..units).for_each(|_| encoder.passed(frame.as_bytes()));
                    encoder.break_off(&Error::new(Kind::Upstream, "broken"), &mut out);
                })
            });
        }
    }
}
