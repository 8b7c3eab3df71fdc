//! Several choices of one request, queried in parallel.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::thread;
use std::time::Duration;

use common::{Ending, TestServer, chat, claims_success, fault, streamed, timed};
use rustix::process::Signal;
use serde_json::Value;

fn two_choices(bot: &str, words: &str) -> Value {
    let mut body = streamed(bot, words);
    body["n"] = 2.into();
    body
}

#[test]
fn a_slow_client_slows_down_reading_from_poe() {
    let poe = common::Poe::start();
    let server = TestServer::before(&poe, &[]);
    let mut lazy = server.wire();
    lazy.send(chat(&two_choices("demo-fast", "2000000")));
    // two million events of two choices would take hundreds of megabytes; the test runs as long as buffering them took before
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(100));
        let memory = server.memory("VmRSS:");
        assert!(memory < 64 << 10, "{memory} KiB");
    }
}

#[test]
fn busy_choices_end_with_an_error_when_the_server_stops() {
    let mut server = TestServer::demo(&["--shutdown-grace-seconds", "0"]);
    let mut wire = server.wire();
    let mut stream = wire.stream(&chat(&two_choices("demo-story", "x")));
    let first = stream.begin();
    server.signal(Signal::TERM);
    let (rest, took) = timed(|| stream.rest());
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(stream.answer.ending, Ending::Framed);
    assert_eq!(fault(&rest).expect("an error event").0, "overloaded", "{first:?} {rest:?}");
    assert!(!claims_success(&rest));
    assert_eq!(server.wait(Duration::from_secs(2)).code(), Some(0));
}
