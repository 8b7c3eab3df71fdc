//! HTTP on the wire: valid requests in every form, and rejected malformed requests.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::time::Duration;

use common::{Ending, TestServer, chat, chat_body, content, get, post, streamed, text, timed};

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: h\r\n\r\n";
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn a_connection_carries_many_requests() {
    let server = TestServer::demo(&[]);
    let mut wire = server.wire();
    for number in 0..3 {
        let words = format!("number {number}");
        assert_eq!(content(&wire.ask(&chat(&chat_body("demo-echo", &words)))), words);
        let mut stream = wire.stream(&chat(&streamed("demo-echo", &words)));
        assert_eq!(text(&stream.rest()), words);
        assert_eq!((stream.answer.ending, stream.answer.header("connection")), (Ending::Framed, None));
        assert_eq!(wire.ask("GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n").status, 404);
        assert_eq!(wire.ask("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    }
    let last = wire.ask("GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert!(wire.is_closed());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = TestServer::demo(&[]);
    let mut wire = server.wire();
    let all = [
        chat(&chat_body("demo-echo", "first")),
        HEALTH.to_owned(),
        chat(&streamed("demo-echo", "third")),
        "\r\n".to_owned() + &get("/v1/models/demo-echo"),
        chat(&chat_body("demo-echo", "last")),
    ];
    wire.send(all.concat());
    assert_eq!(content(&wire.answer()), "first");
    assert_eq!(wire.answer().json()["status"], "ok");
    assert!(wire.answer().text().ends_with("data: [DONE]\n\n"));
    assert_eq!(wire.answer().json()["id"], "demo-echo");
    assert_eq!(content(&wire.answer()), "last");
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = TestServer::demo(&[]);
    let mut wire = server.wire();
    for byte in chat(&chat_body("demo-echo", "drop by drop")).bytes() {
        wire.send([byte]);
    }
    assert_eq!(content(&wire.answer()), "drop by drop");
}

#[test]
fn http_1_0_is_supported() {
    let server = TestServer::demo(&[]);
    let mut wire = server.wire();
    let answer = wire.ask("GET /health HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.version.as_str()), (200, "HTTP/1.0"));
    assert!(answer.header("content-length").is_some() && wire.is_closed());

    let mut wire = server.wire();
    let kept = "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(wire.ask(kept).header("connection"), Some("keep-alive"));
    assert_eq!(wire.ask(kept).status, 200);

    let request = chat(&streamed("demo-echo", "until the end")).replace("HTTP/1.1", "HTTP/1.0");
    let mut stream = wire.stream(&request);
    let events = stream.rest();
    assert_eq!((stream.answer.version.as_str(), stream.answer.ending), ("HTTP/1.0", Ending::Closed));
    assert_eq!((stream.answer.header("transfer-encoding"), text(&events).as_str()), (None, "until the end"));
    assert!(common::claims_success(&events));
}

#[test]
fn a_body_may_be_asked_for_first() {
    let server = TestServer::demo(&[]);
    let request = post(
        "/v1/chat/completions",
        &["Authorization: Bearer k", "Expect: 100-continue"],
        &chat_body("demo-echo", "at last").to_string(),
    );
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut wire = server.wire();
    wire.send(format!("{head}\r\n\r\n"));
    assert_eq!(wire.head().status, 100);
    assert_eq!(content(&wire.send(body).answer()), "at last");

    // refused: without a body being asked for
    let mut wire = server.wire();
    let refused = wire.ask(&format!("{head}\r\n\r\n").replace("Bearer k", "nonsense"));
    assert_eq!((refused.status, refused.header("connection")), (401, Some("close")));
    assert!(wire.is_closed());
}

#[test]
fn a_body_may_come_in_chunks() {
    let server = TestServer::demo(&[]);
    let body = chat_body("demo-echo", "piece by piece").to_string();
    let (one, two) = body.split_at(20);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut wire = server.wire();
    for _ in 0..2 {
        wire.send(format!("{head}{:x}\r\n{one}\r\n{:X};note=\"x\"\r\n{two}\r\n", one.len(), two.len()));
        wire.send("0\r\nTrailer: x\r\n\r\n");
        assert_eq!(content(&wire.answer()), "piece by piece");
    }
    let (one, two) =
        (format!("{:x}\r\n{one}\r\n", one.len()), format!("{:x}\r\n{two}\r\n0\r\n\r\n", two.len()));
    for byte in [head, &one, &two].concat().bytes() {
        wire.send([byte]);
    }
    assert_eq!(content(&wire.answer()), "piece by piece");
}

#[test]
fn heads_have_no_body() {
    let server = TestServer::demo(&[]);
    let mut wire = server.wire();
    for path in ["/", "/health", "/v1/models", "/nowhere"] {
        let full = wire.ask(&get(path));
        let bare = wire.ask(&get(path).replacen("GET", "HEAD", 1));
        assert_eq!(full.status, bare.status, "{path}");
        assert_eq!(bare.header("content-type"), full.header("content-type"), "{path}");
        if full.status == 200 {
            assert_eq!(bare.header("content-length"), full.header("content-length"), "{path}");
        }
    }
    let looked = wire.ask("HEAD /v1/messages HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((looked.status, looked.header("Allow")), (200, Some("POST, HEAD, OPTIONS")));
    let home = wire.ask(&get("/"));
    assert!(home.text().contains("poe2openai") && home.text().contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn web_pages_may_call_from_anywhere() {
    let server = TestServer::demo(&[]);
    let mut wire = server.wire();
    let asked = "authorization,content-type,x-stainless-os,anthropic-dangerous-direct-browser-access";
    for path in ["/v1/chat/completions", "/v1/models", "/nowhere", "*"] {
        let answer = wire.ask(&format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: h\r\nOrigin: http://page\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: {asked}\r\n\r\n"
        ));
        assert_eq!((answer.status, answer.header("content-length")), (204, None), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(answer.header("access-control-allow-headers"), Some(asked), "{path}");
        assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{path}");
    }
    let stream = wire.ask(&chat(&streamed("demo-echo", "x")));
    let answers = [
        stream,
        wire.ask(HEALTH),
        wire.ask(&get("/nowhere")),
        wire.ask(&get("/v1/chat/completions")),
        wire.ask(&post("/v1/chat/completions", &[], "{}")),
        wire.ask(&chat(&chat_body("demo-error-http-503", "x"))),
        wire.ask("nonsense\r\n\r\n"),
    ];
    for answer in answers {
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
    }
}

#[test]
fn unknown_paths_and_methods_have_different_statuses() {
    let server = TestServer::demo(&[]);
    let mut wire = server.wire();
    let answer = wire.ask(&post("/v1/nowhere", &[], "{}"));
    assert_eq!((answer.status, answer.error("type").as_str()), (404, "invalid_request_error"));
    for (method, path, allow) in [
        ("GET", "/v1/chat/completions", "POST, HEAD, OPTIONS"),
        ("DELETE", "/v1/chat/completions", "POST, HEAD, OPTIONS"),
        ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("PUT", "/health", "GET, HEAD, OPTIONS"),
    ] {
        let answer =
            wire.ask(&format!("{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{{}}"));
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
        let keys: Vec<String> = answer.json()["error"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["message", "type", "param", "code"]);
    }
}

/// Ambiguous or malformed requests; each is followed by a smuggled request.
const MALFORMED: &[&str] = &[
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0, 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
    "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\nHost: h\n\n",
    "GET / HTTP/1.1\r\nHost: h\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\n: no name\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
    "GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET http://other/health HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET http://h?/health HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
    "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n",
    "GET /\r\n\r\n",
    "G(T / HTTP/1.1\r\nHost: h\r\n\r\n",
    "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n",
];

/// Bodies in chunks that are not framed as they should be.
const BAD_CHUNKS: &[&str] = &[
    "5\r\nhello0\r\n\r\n",
    "5\nhello\n0\n\n",
    "-1\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "fffffffffffffffff\r\n",
    "\r\nhello",
    " 5\r\nhello\r\n0\r\n\r\n",
    "5 5\r\nhello\r\n0\r\n\r\n",
    "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "5;a\0b\r\nhello\r\n0\r\n\r\n",
    "5;\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    "5\r\nhello\r\n0\r\nA: b\r\n folded\r\n\r\n",
    "5\r\nhello\r\n0\r\n folded: too\r\n\r\n",
    "5\r\nhello\r\n0\r\nA : b\r\n\r\n",
    "5\r\nhello\r\n0\r\nA: b\0\r\n\r\n",
    "5\r\nhello\r\n0\r\nA: b\rc\r\n\r\n",
    "5\r\nhello\r\n0\r\nA: b\n\r\n",
];

fn refused(server: &TestServer, request: &str, status: u16) {
    let mut wire = server.wire();
    wire.send(format!("{request}{HEALTH}"));
    let answer = wire.answer();
    assert_eq!(answer.status, status, "{request:?}");
    assert_eq!(answer.header("connection"), Some("close"), "{request:?}");
    assert_eq!(answer.error("type"), "invalid_request_error", "{request:?}");
    assert!(wire.is_closed(), "{request:?}: what was hidden behind it was answered");
}

#[test]
fn requests_that_can_be_read_in_two_ways_are_refused() {
    let server = TestServer::demo(&[]);
    for request in MALFORMED {
        refused(&server, request, 400);
    }
    for body in BAD_CHUNKS {
        let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\nTransfer-Encoding: chunked";
        refused(&server, &format!("{head}\r\n\r\n{body}"), 400);
    }
    for encoding in ["xchunked", "gzip, chunked", "chunked, chunked", "chunked, identity", "identity"] {
        let request = format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: {encoding}\r\n\r\n0\r\n\r\n");
        refused(&server, &request, 501);
    }
    assert_eq!(server.ask(HEALTH).status, 200);
}

#[test]
fn heads_have_a_limit() {
    let server = TestServer::demo(&[]);
    let fields: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
    refused(&server, &format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"), 400);
    refused(&server, &format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(20_000)), 400);
    let mut wire = server.wire();
    // without an end: refused as soon as it is too long
    wire.send("GET / HTTP/1.1\r\nHost: h\r\nX: ").send("x".repeat(40_000));
    assert_eq!(wire.answer().status, 400);
    let fields: String = (0..90).map(|number| format!("X-{number}: {}\r\n", "x".repeat(100))).collect();
    assert_eq!(server.ask(&format!("GET /health HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).status, 200);
}

#[test]
fn a_declared_too_large_body_is_rejected_unread() {
    let server = TestServer::demo(&["--max-request-size", "1000"]);
    let ask = |length: &str, more: &str| {
        let mut wire = server.wire();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\n{more}Content-Length: {length}\r\n\r\n"
        );
        let (answer, took) = timed(|| wire.ask(&request));
        assert!(took < AT_ONCE, "{took:?}");
        assert_eq!((answer.status, answer.error("code").as_str()), (413, "request_too_large"), "{length}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(wire.is_closed());
    };
    ask("1001", "");
    ask("99999999999999", "");
    ask("18446744073709551615", "");
    ask("99999999999999", "Expect: 100-continue\r\n");

    let mut wire = server.wire();
    wire.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\nTransfer-Encoding: chunked\r\n\r\n");
    wire.send(format!("200\r\n{}\r\n200\r\n", "x".repeat(0x200)));
    assert_eq!(wire.answer().status, 413, "known from the second chunk's size");
    // the client keeps sending after the error: it can still read the error
    let mut wire = server.wire();
    wire.send(post("/v1/chat/completions", &["Authorization: Bearer k"], &"x".repeat(1 << 20)));
    assert_eq!(wire.answer().status, 413);
    assert_eq!(server.chat(&chat_body("demo-echo", "unharmed")).status, 200);
}

#[test]
fn an_unread_body_does_not_become_the_next_request() {
    let server = TestServer::demo(&[]);
    let mut wire = server.wire();
    let answer = wire.ask(&post("/nowhere", &[], HEALTH));
    assert_eq!(answer.status, 404);
    assert_eq!(wire.ask(HEALTH).json()["status"], "ok");
    let large = post("/nowhere", &[], &HEALTH.repeat(10_000));
    let answer = wire.ask(&large);
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    assert!(wire.is_closed());
}

#[test]
fn a_half_sent_request_is_no_request() {
    let server = TestServer::demo(&["--head-timeout-seconds", "1", "--body-timeout-seconds", "1"]);
    let request = chat(&chat_body("demo-echo", "x"));
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let mut wire = server.wire();
    assert_eq!(wire.send(&head[..30]).answer().status, 408, "the head");
    assert!(wire.is_closed());
    let mut wire = server.wire();
    assert_eq!(wire.send(format!("{head}\r\n\r\n{{")).answer().status, 408, "the body");
    assert!(wire.is_closed());
}

#[test]
fn an_idle_connection_is_closed_quietly() {
    let server = TestServer::demo(&["--idle-timeout-seconds", "1", "--head-timeout-seconds", "1"]);
    let mut wire = server.wire();
    assert_eq!(wire.ask(HEALTH).status, 200);
    let mut silent = server.wire();
    assert!(wire.is_closed() && silent.is_closed());
}

#[test]
fn a_compressed_body_is_refused_by_name() {
    let server = TestServer::demo(&[]);
    let request = post("/v1/chat/completions", &["Authorization: Bearer k", "Content-Encoding: gzip"], "{}");
    let answer = server.ask(&request);
    assert_eq!((answer.status, answer.error("code").as_str()), (415, "unsupported_encoding"));
}

#[test]
fn large_answers_and_questions_come_through_whole() {
    let server = TestServer::demo(&[]);
    let words = "Grüße 世界 ".repeat(40_000);
    assert_eq!(content(&server.chat(&chat_body("demo-echo", &words))), words);
    let mut wire = server.wire();
    let long = text(&wire.stream(&chat(&streamed("demo-long", "2000"))).rest());
    assert_eq!(long.lines().count(), 2000);
    assert!(long.ends_with("Line 2000 of 2000: the quick brown fox jumps over the lazy dog.\n"));
}
