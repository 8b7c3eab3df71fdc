//! Many concurrent streams: all start, all end, and texts do not mix.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    Ending, Event, Piece, Poe, TestServer, Wire, chat, chat_body, claims_success, content, eventually,
    streamed, text,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const CROWD: usize = 64;

/// Opens a stream for each of `bodies` at the same instant, on threads of their own.
fn all_at_once(server: &TestServer, bodies: &[serde_json::Value]) -> Vec<Vec<Event>> {
    let barrier = Barrier::new(bodies.len());
    let one = |body: &serde_json::Value| {
        let request = chat(body);
        barrier.wait();
        let mut wire = server.wire();
        let mut stream = wire.stream(&request);
        let events = stream.rest();
        assert_eq!((stream.answer.status, stream.answer.ending), (200, Ending::Framed));
        events
    };
    thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = bodies.iter().map(|body| scope.spawn(move || one(body))).collect();
        running.into_iter().map(|thread| thread.join().expect("a stream")).collect()
    })
}

fn identity(events: &[Event]) -> String {
    events[0].json().expect("a chunk")["id"].to_string()
}

#[test]
fn sixty_four_streams_begin_together_and_end_whole() {
    let server = TestServer::demo(&[]);
    let summary = content(&server.chat(&chat_body("demo-story", "x")));
    let start = Instant::now();
    let streams = all_at_once(&server, &vec![streamed("demo-story", "x"); CROWD]);
    let last_begin = streams.iter().map(|events| events[0].at).max().unwrap();
    let first_end = streams.iter().map(|events| events.last().unwrap().at).min().unwrap();
    println!("{CROWD} streams: the last began after {:?}", last_begin - start);
    assert!(last_begin < first_end, "some waited for others to end");
    assert!(last_begin - start < Duration::from_secs(2));
    for events in &streams {
        assert_eq!(text(events), summary);
        assert_eq!(events.last().unwrap().piece, Piece::Done);
    }
    let ids: BTreeSet<String> = streams.iter().map(|events| identity(events)).collect();
    assert_eq!(ids.len(), CROWD);
}

#[test]
fn sixty_four_streams_do_not_mix_their_texts() {
    let server = TestServer::demo(&[]);
    let words = |number: usize| format!("I am stream {number} and nobody else: 世界. ").repeat(50);
    let bodies: Vec<_> = (0..CROWD).map(|number| streamed("demo-echo", words(number).trim())).collect();
    for _ in 0..3 {
        for (number, events) in all_at_once(&server, &bodies).iter().enumerate() {
            assert_eq!(text(events), words(number).trim());
            let ids: BTreeSet<_> =
                events.iter().filter_map(Event::json).map(|c| c["id"].to_string()).collect();
            assert_eq!(ids.len(), 1);
        }
    }
}

/// Raises the limit of open files of this process towards `count`, and returns what it is.
fn raise_files(count: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(count, |most| most.min(count));
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
            .expect("below the maximum");
    }
    limit.current.map_or(count, |current| current.max(wanted))
}

#[test]
fn a_thousand_streams_are_held_and_complete() {
    // this process, the server and the embedded Poe need one each, and all three have the same limit
    let many = usize::try_from((raise_files(3000) / 3).min(1000)).expect("a small number");
    assert!(many >= 200, "the system allows too few open files for this test: {many} streams");
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    println!("idle: {} KiB", server.memory("VmRSS:"));
    let start = Instant::now();
    // each is held for ten seconds in which Poe only pings
    let request = chat(&streamed("demo-pings", "10"));
    let mut wires: Vec<Wire> = (0..many).map(|_| server.wire()).collect();
    for wire in &mut wires {
        wire.send(&request);
    }
    eventually(Duration::from_secs(10), "all are held", || (poe.open() == many as u64).then_some(()));
    println!(
        "{many} held after {:?}: {} KiB, {} KiB of them not shared",
        start.elapsed(),
        server.memory("VmRSS:"),
        server.memory("RssAnon:")
    );
    for wire in &mut wires {
        let answer = wire.answer();
        assert_eq!((answer.status, answer.ending), (200, Ending::Framed));
        assert!(answer.text().contains("Still here.") && answer.text().ends_with("data: [DONE]\n\n"));
    }
    println!("all ended after {:?}, {} KiB at most", start.elapsed(), server.memory("VmHWM:"));
    let mut wire = server.wire();
    assert!(claims_success(&wire.stream(&chat(&streamed("demo-echo", "x"))).rest()));
}
