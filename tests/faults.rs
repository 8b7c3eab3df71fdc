//! Failures of Poe and of clients: incomplete answers are reported, and disconnects cancel calls.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;
#[path = "common/scripted_poe.rs"]
mod scripted_poe;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use common::{
    Ending, Event, PATIENCE, Piece, Poe, TestServer, Wire, binary, chat, chat_body, claims_success, content,
    eventually, fault, post, streamed, text, timed,
};
use scripted_poe::{Answer as Said, Script};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

/// Time limit for closing the connection to Poe after the client disconnects.
const SOON: Duration = Duration::from_secs(2);
const AT_ONCE: Duration = Duration::from_secs(1);

fn comments(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| matches!(event.piece, Piece::Comment(_))).collect()
}

#[test]
fn an_answer_without_its_end_is_an_error() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    for bot in ["demo-truncated", "demo-broken", "demo-error-late"] {
        poe.reset();
        let mut wire = server.wire();
        let mut stream = wire.stream(&chat(&streamed(bot, "x")));
        let events = stream.rest();
        assert_eq!((stream.answer.status, stream.answer.ending), (200, Ending::Framed), "{bot}");
        assert!(text(&events).starts_with("This "), "{bot}");
        assert!(!claims_success(&events), "{bot}: {events:?}");
        assert!(fault(&events).is_some(), "{bot}: {events:?}");
        assert_eq!(poe.queries(), 1, "{bot}: retried after the client had received bytes");
        assert_eq!(wire.ask(&chat(&chat_body("demo-echo", "and on"))).status, 200, "{bot}");
        let whole = server.chat(&chat_body(bot, "x"));
        assert_eq!((whole.status, whole.error("code").as_str()), (502, "upstream_error"), "{bot}");
    }
}

#[test]
fn after_done_the_stream_ends_at_once() {
    let server = TestServer::demo(&[]);
    let (_, took) = timed(|| {
        let mut wire = server.wire();
        let mut stream = wire.stream(&chat(&streamed("demo-linger", "said")));
        let events = stream.rest();
        assert_eq!((text(&events).as_str(), stream.answer.ending), ("said", Ending::Framed));
        assert!(claims_success(&events));
    });
    assert!(took < AT_ONCE, "streamed: {took:?}");
    let (answer, took) = timed(|| server.chat(&chat_body("demo-linger", "said")));
    assert_eq!(content(&answer), "said");
    assert!(took < AT_ONCE, "whole: {took:?}");
}

#[test]
fn a_transient_error_is_retried_once() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    for bot in ["demo-flaky", "demo-flaky-http", "demo-drop"] {
        poe.reset();
        let (answer, took) = timed(|| server.chat(&chat_body(bot, "whole")));
        assert_eq!((content(&answer).as_str(), poe.queries()), ("whole", 2), "{bot}");
        assert!(took < SOON, "{bot}: {took:?}");
        let mut wire = server.wire();
        let events = wire.stream(&chat(&streamed(bot, "streamed"))).rest();
        assert_eq!((text(&events).as_str(), poe.queries()), ("streamed", 4), "{bot}");
        assert!(claims_success(&events));
    }
}

/// The client disconnects once Poe has received the query and `bot` has gone silent.
fn leave(poe: &Poe, server: &TestServer, body: &Value) {
    let mut wire = server.wire();
    wire.send(chat(body));
    eventually(PATIENCE, "Poe is asked", || (poe.open() == 1).then_some(()));
    wire.leave();
    let (_, took) =
        timed(|| eventually(SOON, "the call to Poe is cancelled", || (poe.open() == 0).then_some(())));
    println!("{}, stream: {}: Poe was left after {took:?}", body["model"], body["stream"]);
}

#[test]
fn a_client_disconnect_cancels_the_call_to_poe() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    for bot in ["demo-stall-headers", "demo-stall", "demo-stall-late", "demo-story", "demo-pings"] {
        leave(&poe, &server, &streamed(bot, "60"));
        leave(&poe, &server, &chat_body(bot, "60"));
    }
    assert_eq!(poe.queries(), 10, "a call of a disconnected client was retried");
}

#[test]
fn a_client_disconnect_in_mid_stream_cancels_the_call_to_poe() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    for bot in ["demo-story", "demo-stall-late"] {
        let mut wire = server.wire();
        wire.stream(&chat(&streamed(bot, "x"))).begin();
        assert_eq!(poe.open(), 1);
        wire.leave();
        eventually(SOON, "the call to Poe is cancelled", || (poe.open() == 0).then_some(()));
    }
}

/// Repeats the request until the server, which allows few connections, answers: the call to Poe of a disconnected
/// client ends shortly before its connection is free.
fn occupied(poe: &Poe, server: &TestServer) -> Wire {
    let before = poe.queries();
    eventually(SOON, "a connection is free", || {
        let mut wire = server.wire();
        wire.send(chat(&streamed("demo-stall-headers", "x")));
        let turned_away = || poe.queries() == before && wire.has_ended();
        eventually(PATIENCE, "accepted or rejected", || {
            (poe.queries() > before || turned_away()).then_some(())
        });
        (!turned_away()).then_some(wire)
    })
}

#[test]
fn client_disconnects_free_their_connections() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &["--max-connections", "2"]);
    for _ in 0..3 {
        let both = [occupied(&poe, &server), occupied(&poe, &server)];
        eventually(PATIENCE, "both are being answered", || (poe.open() == 2).then_some(()));
        assert_eq!(server.chat(&chat_body("demo-echo", "x")).status, 503, "a third connection is accepted");
        both.into_iter().for_each(Wire::leave);
        eventually(SOON, "the call to Poe is cancelled", || (poe.open() == 0).then_some(()));
    }
    let answered = || (server.chat(&chat_body("demo-echo", "x")).status == 200).then_some(());
    eventually(SOON, "another client is served", answered);
}

#[test]
fn silence_is_filled_with_comments_and_ends_in_time() {
    let server = TestServer::demo(&[
        "--keep-alive-seconds",
        "1",
        "--upstream-idle-timeout-seconds",
        "4",
        "--upstream-first-byte-timeout-seconds",
        "4",
    ]);
    thread::scope(|scope| {
        for bot in ["demo-stall", "demo-stall-headers", "demo-stall-late"] {
            scope.spawn(|| fall_silent(&server, bot));
        }
    });
}

/// Some parsers treat a blank line as the end of an event and fail on an event without data.
#[test]
fn no_blank_line_follows_a_keep_alive_comment() {
    let server = TestServer::demo(&["--keep-alive-seconds", "1"]);
    let answer = server.chat(&streamed("demo-slow-start", "x"));
    let text = answer.text();
    assert!(text.starts_with(": keep-alive\n") && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(!text.contains("keep-alive\n\n"), "{text}");
}

fn fall_silent(server: &TestServer, bot: &str) {
    let mut wire = server.wire();
    let (mut stream, begun) = timed(|| wire.stream(&chat(&streamed(bot, "x"))));
    assert!(begun < SOON, "{bot}: the head came after {begun:?}");
    let (events, took) = timed(|| stream.rest());
    assert_eq!((stream.answer.status, stream.answer.ending), (200, Ending::Framed), "{bot}");
    assert!((2.0..7.0).contains(&(begun + took).as_secs_f64()), "{bot}: ended after {took:?}");
    let comments = comments(&events);
    assert!((2..=4).contains(&comments.len()), "{bot}: {events:?}");
    let apart = comments[1].at - comments[0].at;
    assert!((0.9..2.0).contains(&apart.as_secs_f64()), "{bot}: comments are {apart:?} apart");
    assert!(!claims_success(&events), "{bot}");
    assert_eq!(fault(&events).expect("an error").0, "upstream_timeout", "{bot}");
}

#[test]
fn a_silent_poe_ends_with_a_timeout_status() {
    let poe = Poe::start();
    let limits =
        ["--upstream-idle-timeout-seconds", "1", "--upstream-first-byte-timeout-seconds", "1"].as_slice();
    let server = TestServer::before(&poe, limits);
    for body in [
        chat_body("demo-stall", "x"),
        chat_body("demo-stall-headers", "x"),
        chat_body("demo-stall-late", "x"),
        streamed("demo-stall", "x"),
        streamed("demo-stall-headers", "x"),
    ] {
        let (answer, took) = timed(|| server.chat(&body));
        assert_eq!((answer.status, answer.error("code").as_str()), (504, "upstream_timeout"), "{body}");
        assert!((0.9..3.0).contains(&took.as_secs_f64()), "{body}: {took:?}");
    }
    eventually(SOON, "the call to Poe is cancelled", || (poe.open() == 0).then_some(()));
    assert_eq!(poe.queries(), 5, "a silent Poe is not retried");
}

#[test]
fn pings_count_as_life() {
    let server = TestServer::demo(&["--upstream-idle-timeout-seconds", "1", "--keep-alive-seconds", "1"]);
    let mut wire = server.wire();
    let events = wire.stream(&chat(&streamed("demo-pings", "3"))).rest();
    assert_eq!(text(&events), "Still here.");
    assert!(comments(&events).len() >= 2, "the client receives nothing while Poe pings: {events:?}");
    assert!(claims_success(&events));
}

#[test]
fn a_poe_that_cannot_be_reached_is_a_bad_gateway() {
    let server = TestServer::start(common::binary(), &["--poe-base-url", "http://127.0.0.1:9"]);
    for body in [chat_body("demo-echo", "x"), streamed("demo-echo", "x")] {
        let (answer, took) = timed(|| server.chat(&body));
        assert_eq!((answer.status, answer.error("code").as_str()), (502, "upstream_error"));
        assert!(took < SOON, "{took:?}");
    }
    let list = server.ask(&common::get("/v1/models"));
    assert_eq!((list.status, list.error("code").as_str()), (503, "overloaded"));
    assert!(list.header("retry-after").is_some());
    assert_eq!(server.ask(&common::get("/health")).status, 200);
}

/// A Poe whose connections are never accepted: no query is read or answered.
fn deaf_poe() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    (listener, url)
}

/// The connection of a disconnected client is freed: with a limit of one, another client is served.
fn freed(server: &TestServer) {
    let answered = || (server.ask(&common::get("/health")).status == 200).then_some(());
    eventually(SOON, "the connection is free", answered);
}

/// More bytes than all buffers between two programs hold.
const LARGE: usize = 24 << 20;

#[test]
fn a_client_disconnect_cancels_a_blocked_write_to_poe() {
    let (listener, url) = deaf_poe();
    let server = TestServer::start(common::binary(), &["--poe-base-url", &url, "--max-connections", "1"]);
    let mut wire = server.wire();
    wire.send(chat(&chat_body("demo-echo", &"x".repeat(LARGE))));
    let mut calls = listener.incoming().map(|call| call.expect("a call"));
    let _held = calls.find(is_a_question).expect("Poe is called");
    wire.leave();
    freed(&server);
}

/// The list of models is fetched too.
fn is_a_question(mut call: &TcpStream) -> bool {
    let mut method = [0; 4];
    call.read_exact(&mut method).expect("a request");
    &method == b"POST"
}

#[test]
fn a_blocked_write_to_poe_times_out() {
    let (_listener, url) = deaf_poe();
    let server = TestServer::start(
        common::binary(),
        &["--poe-base-url", &url, "--upstream-first-byte-timeout-seconds", "1"],
    );
    let (answer, took) = timed(|| server.chat(&chat_body("demo-echo", &"x".repeat(LARGE))));
    assert_eq!((answer.status, answer.error("code").as_str()), (504, "upstream_timeout"));
    println!("given up after {took:?}");
}

#[test]
fn a_client_disconnect_cancels_a_pending_connect_to_poe() {
    let (_full, url) = full_poe();
    let server = TestServer::start(common::binary(), &["--poe-base-url", &url, "--max-connections", "1"]);
    let mut wire = server.wire();
    wire.send(chat(&chat_body("demo-echo", "x")));
    wire.leave();
    freed(&server);
}

/// A Poe with a full listen backlog.
fn full_poe() -> (Vec<Socket>, String) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    listener.listen(0).expect("a listener");
    let address = listener.local_addr().expect("bound");
    let url = format!("http://{}", address.as_socket().expect("IPv4"));
    let mut all = vec![listener];
    loop {
        let caller = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let outcome = caller.connect_timeout(&address, Duration::from_millis(300));
        all.push(caller);
        if outcome.is_err() {
            return (all, url);
        }
    }
}

#[test]
fn a_silent_list_of_models_fails_for_all_at_once() {
    let (_listener, url) = deaf_poe();
    let server = TestServer::start(
        common::binary(),
        &["--poe-base-url", &url, "--upstream-first-byte-timeout-seconds", "2"],
    );
    let mut wires: Vec<_> = (0..6).map(|_| server.wire()).collect();
    let (_, took) = timed(|| {
        for wire in &mut wires {
            wire.send(common::get("/v1/models"));
        }
        for wire in &mut wires {
            assert_eq!(wire.answer().status, 503);
        }
    });
    assert!(took < Duration::from_secs(5), "one after the other, in {took:?}");
}

#[test]
fn an_endless_error_body_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        let mut kept = Vec::new();
        for mut socket in listener.incoming().flatten() {
            // the query need not be read: it fits into the socket
            let _ = socket.write_all(b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\n{");
            kept.push(socket);
        }
    });
    let mut program = binary();
    program.env("POE_BASE_URL", url);
    let server = TestServer::start(program, &["--upstream-idle-timeout-seconds", "1"]);
    let (answer, took) = timed(|| server.chat(&chat_body("any", "x")));
    assert_eq!(answer.status, 502);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// A Poe that answers every query with `events` at once.
fn saying(events: &'static str) -> TestServer {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
            // the whole query is read first: closing with unread data would reset the connection
            let mut chat_body = Vec::new();
            let mut bytes = [0; 4096];
            while !chat_body.ends_with(b"}") && !chat_body.starts_with(b"GET ") {
                match socket.read(&mut bytes) {
                    Ok(count) if count > 0 => chat_body.extend_from_slice(&bytes[..count]),
                    _ => break,
                }
            }
            let _ = socket.write_all(format!("{head}{events}").as_bytes());
        }
    });
    let mut program = binary();
    program.env("POE_BASE_URL", url);
    TestServer::start(program, &[])
}

#[test]
fn a_binary_error_body_keeps_its_status() {
    let server = saying(
        "event: data\ndata: {\"metadata\": \"m\"}\n\nevent: replace_response\ndata: {\"text\": \"\"}\n\n\
         event: error\ndata: {\"error_type\": \"insufficient_fund\", \"text\": \"No points\"}\n\n",
    );
    for body in [chat_body("any", "x"), streamed("any", "x")] {
        assert_eq!(server.chat(&body).status, 402);
    }
}

#[test]
fn events_beside_the_answer_never_end_it() {
    let server = saying(
        "event: text\ndata: {\"text\": \"said\"}\n\nevent: data\ndata: {\"metadata\": null}\n\n\
         event: suggested_reply\ndata: {}\n\n\
         event: file\ndata: {\"url\": \"https://x/y\", \"name\": null, \"content_type\": null}\n\n\
         event: done\ndata: {}\n\n",
    );
    let answer = server.chat(&chat_body("any", "x"));
    assert!(content(&answer).starts_with("said"), "{}", answer.text());
}

/// A Poe that gives `answers` one after the other, and a server in front of it.
fn rendered(answers: Vec<Said>) -> (scripted_poe::Poe, TestServer) {
    let poe = scripted_poe::Poe::start(r#"{"data": [{"id": "any"}]}"#.into());
    poe.play(Script { answers, ..Script::default() });
    let server = TestServer::start(binary(), &["--poe-base-url", &poe.base_url]);
    (poe, server)
}

fn stream_of(events: &str) -> Said {
    Said::stream(events.as_bytes().to_vec())
}

fn refusal(status: u16, retry_after: &str) -> Said {
    let body = json!({"error": {"code": status, "message": "not now"}}).to_string();
    Said { head: format!("{status}\nRetry-After: {retry_after}"), body: body.into_bytes() }
}

#[test]
fn a_short_retry_after_is_waited_by_the_server() {
    for status in [429, 503] {
        for body in [chat_body("any", "x"), streamed("any", "x")] {
            let said = stream_of("event: text\ndata: {\"text\": \"now\"}\n\nevent: done\ndata: {}\n\n");
            let (poe, server) = rendered(vec![refusal(status, "1"), said]);
            let (answer, took) = timed(|| server.chat(&body));
            assert_eq!((answer.status, poe.asked().queries.len()), (200, 2), "{status}: {}", answer.text());
            assert!(answer.text().contains("now"), "{status}: {}", answer.text());
            assert!(took >= Duration::from_secs(1), "{status}: retried too soon, after {took:?}");
        }
    }
}

#[test]
fn a_long_retry_after_is_passed_to_the_client() {
    for status in [429, 503] {
        for body in [chat_body("any", "x"), streamed("any", "x")] {
            let (poe, server) = rendered(vec![refusal(status, "7")]);
            let answer = server.chat(&body);
            assert_eq!(
                (answer.status, answer.header("retry-after")),
                (status, Some("7")),
                "{}",
                answer.text()
            );
            assert_eq!(poe.asked().queries.len(), 1, "{status}");
        }
    }
}

#[test]
fn errors_marked_as_permanent_tell_clients_not_to_retry() {
    for (field, should) in
        [("\"allow_retry\": false, ", Some("false")), ("\"allow_retry\": true, ", None), ("", None)]
    {
        let event = format!("event: error\ndata: {{{field}\"text\": \"The model is broken\"}}\n\n");
        let (poe, server) = rendered(vec![stream_of(&event)]);
        let mut asked = 0;
        for stream in [false, true] {
            let turns = json!([{"role": "user", "content": "x"}]);
            for (path, key) in [
                ("/v1/chat/completions", "messages"),
                ("/v1/responses", "input"),
                ("/v1/messages", "messages"),
            ] {
                let body = json!({"model": "any", "max_tokens": 9, "stream": stream, key: turns});
                let answer = server.ask(&post(path, &["Authorization: Bearer some-key"], &body.to_string()));
                let words = answer.text();
                assert_eq!(answer.status, 502, "{path}: {words}");
                assert!(words.contains("The model is broken"), "{path}: {words}");
                assert_eq!(answer.header("x-should-retry"), should, "{path} {field:?}");
                asked += if should.is_some() { 1 } else { 2 };
                assert_eq!(poe.asked().queries.len(), asked, "{path} {field:?}");
            }
        }
    }
}
