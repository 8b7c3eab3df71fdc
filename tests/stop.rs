//! Shutdown: running answers finish, idle connections cause no delay, the port is free again.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use common::{
    Ending, Event, PATIENCE, Piece, Poe, TestServer, Wire, binary, chat, chat_body, claims_success, content,
    eventually, fault, get, post, streamed, text, timed,
};
use rustix::process::{Pid, Signal, kill_process};

const AT_ONCE: Duration = Duration::from_secs(1);

/// Opens `count` streams, signals the server to stop once all have started, and reads them to their ends.
fn stopped_under(server: &TestServer, count: usize, bot: &str) -> Vec<(Ending, Vec<Event>)> {
    let mut wires: Vec<Wire> = (0..count).map(|_| server.wire()).collect();
    let request = chat(&streamed(bot, "x"));
    for wire in &mut wires {
        wire.send(&request);
    }
    let mut streams: Vec<_> = wires.iter_mut().map(|wire| wire.stream("")).collect();
    let begun: Vec<Event> = streams.iter_mut().map(|stream| stream.begin()).collect();
    server.signal(Signal::TERM);
    let ended = streams.iter_mut().zip(begun).map(|(stream, first)| {
        let mut events = vec![first];
        events.extend(stream.rest());
        (stream.answer.ending, events)
    });
    ended.collect()
}

#[test]
fn running_streams_finish_within_the_grace_period() {
    let mut server = TestServer::demo(&[]);
    let streams = stopped_under(&server, 20, "demo-story");
    let whole = text(&streams[0].1);
    for (ending, events) in &streams {
        assert_eq!((*ending, &text(events)), (Ending::Framed, &whole));
        assert_eq!(events.last().unwrap().piece, Piece::Done);
    }
    assert!(whole.ends_with("And since nobody counted the points, it did.\n"), "{whole}");
    assert_eq!(server.wait(AT_ONCE).code(), Some(0));
}

#[test]
fn streams_that_take_longer_end_with_an_error() {
    for (bot, grace) in [("demo-story", "1"), ("demo-stall-late", "1"), ("demo-story", "0")] {
        let mut server = TestServer::demo(&["--shutdown-grace-seconds", grace]);
        let (streams, took) = timed(|| stopped_under(&server, 20, bot));
        assert!(took < Duration::from_secs(4), "{bot}: {took:?}");
        for (ending, events) in &streams {
            assert_eq!(*ending, Ending::Framed, "{bot}");
            assert_eq!(fault(events).unwrap().0, "overloaded", "{bot}: {events:?}");
            assert!(!claims_success(events), "{bot}");
        }
        assert_eq!(server.wait(AT_ONCE).code(), Some(0), "{bot}");
    }
}

#[test]
fn non_streamed_answers_finish_or_get_an_error_message() {
    let poe = Poe::start();
    let mut server = TestServer::before(&poe, &["--shutdown-grace-seconds", "6"]);
    let (mut short, mut long) = (server.wire(), server.wire());
    short.send(chat(&chat_body("demo-pings", "1")));
    long.send(chat(&chat_body("demo-stall-headers", "x")));
    eventually(PATIENCE, "both are asked", || (poe.open() == 2).then_some(()));
    server.signal(Signal::INT);
    let short = short.answer();
    assert_eq!(
        (short.status, content(&short).as_str()),
        (200, "Still here."),
        "fits within the grace period"
    );
    assert_eq!(short.header("connection"), Some("close"));
    let long = long.answer();
    assert_eq!((long.status, long.error("code").as_str()), (503, "overloaded"));
    assert_eq!(server.wait(AT_ONCE).code(), Some(0));
}

#[test]
fn nobody_new_is_let_in() {
    let mut server = TestServer::demo(&[]);
    let mut wire = server.wire();
    let mut stream = wire.stream(&chat(&streamed("demo-story", "x")));
    stream.begin();
    server.signal(Signal::TERM);
    server.wait_for_line("stopping");
    let port = server.port;
    let refused = || TcpStream::connect(("127.0.0.1", port)).is_err().then_some(());
    eventually(AT_ONCE, "new connections are refused", refused);
    assert!(claims_success(&stream.rest()), "the running one finishes");
    assert_eq!(server.wait(AT_ONCE).code(), Some(0));
}

#[test]
fn an_idle_server_ends_within_a_second() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut fresh = TestServer::demo(&[]);
        fresh.signal_and_end(signal);

        let mut used = TestServer::demo(&[]);
        assert_eq!(used.chat(&chat_body("demo-echo", "x")).status, 200);
        used.signal_and_end(signal);

        let mut crowded = TestServer::demo(&[]);
        let mut idle: Vec<Wire> = (0..20).map(|_| crowded.wire()).collect();
        for wire in &mut idle {
            assert_eq!(wire.ask(&chat(&chat_body("demo-echo", "x"))).status, 200);
        }
        let silent: Vec<Wire> = (0..5).map(|_| crowded.wire()).collect();
        crowded.signal_and_end(signal);
        assert!(idle.iter_mut().all(Wire::is_closed));
        drop(silent);
    }
}

#[test]
fn a_signal_during_startup_is_handled() {
    for millis in [0, 1, 2, 4, 8, 16, 32, 64] {
        let mut program = binary();
        program
            .args(["--demo", "--host", "127.0.0.1", "--port", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut program = program.spawn().expect("the program");
        thread::sleep(Duration::from_millis(millis)); // whatever has been done by then
        kill_process(Pid::from_child(&program), Signal::TERM).expect("a signal");
        let ended = eventually(PATIENCE, "the program ends", || program.try_wait().expect("a child"));
        // before the program handles signals, the kernel does
        let is_right = ended.code() == Some(0) || ended.signal() == Some(Signal::TERM.as_raw());
        assert!(is_right, "{millis} ms: {ended:?}");
    }
    for _ in 0..5 {
        TestServer::demo(&[]).signal_and_end(Signal::TERM);
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = TestServer::demo(&[]);
    let mut wire = server.wire();
    wire.stream(&chat(&streamed("demo-stall-late", "x"))).begin();
    server.signal(Signal::TERM);
    server.wait_for_line("stopping");
    let (status, took) = timed(|| {
        server.signal(Signal::TERM);
        server.wait(PATIENCE)
    });
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(!status.success(), "{status:?}");
}

#[test]
fn the_port_can_be_bound_again_at_once() {
    let mut server = TestServer::demo(&[]);
    let port = server.port.to_string();
    for _ in 0..3 {
        let mut wire = server.wire();
        assert_eq!(wire.ask(&get("/health")).status, 200);
        // the server closes first, so that the old connection lingers in the kernel
        server.signal_and_end(Signal::TERM);
        assert!(wire.is_closed());
        server = TestServer::demo(&["--port", &port]);
    }
    assert_eq!(server.ask(&get("/health")).status, 200);
}

#[test]
fn a_slow_sender_does_not_delay_the_shutdown() {
    let mut server = TestServer::demo(&["--shutdown-grace-seconds", "1"]);
    let headers = ["Authorization: Bearer k", "Expect: 100-continue"];
    let request = post("/v1/chat/completions", &headers, &chat_body("demo-echo", "x").to_string());
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let mut body = server.wire();
    body.send(format!("{head}\r\n\r\n"));
    let mut half = server.wire();
    half.send(&head[..20]);
    assert_eq!(body.head().status, 100, "the server waits for the body");
    body.send("{");
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(body.answer().error("message"), "the server is shutting down"));
        server.signal(Signal::TERM);
        assert_eq!(server.wait(Duration::from_secs(3)).code(), Some(0));
    });
}
