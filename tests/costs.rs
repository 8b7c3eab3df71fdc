//! What requests and answers cost the running program, in processor time and in memory at its high-water mark. The bounds
//! hold for a debug build on a busy machine, and what they guard against passes them by far.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;
#[expect(dead_code, reason = "what was asked is nothing to these tests")]
#[path = "common/scripted_poe.rs"]
mod scripted_poe;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use common::{Answer, PATIENCE, TestServer, binary, chat, chat_body, content, eventually, get, post};
use scripted_poe::{Answer as Said, Poe, Script};
use serde_json::{Value, json};

const KEY: &str = "Authorization: Bearer some-key";

/// A server in front of a Poe that answers with `events`, each a name and its data, and how many bytes these are.
fn in_front(events: &[(&str, Value)], args: &[&str]) -> (TestServer, Poe, u64) {
    let poe = Poe::start(r#"{"object":"list","data":[]}"#.into());
    let done = [("done", json!({}))];
    let events = events.iter().chain(&done);
    let body: String = events.map(|(name, data)| format!("event: {name}\ndata: {data}\n\n")).collect();
    let size = body.len() as u64;
    poe.play(Script { answers: vec![Said::stream(body.into_bytes())], ..Script::default() });
    let server = TestServer::start(binary(), &[&["--poe-base-url", &poe.base_url], args].concat());
    (server, poe, size)
}

fn ask(server: &TestServer, path: &str, body: &Value) -> Answer {
    server.ask(&post(path, &[KEY], &body.to_string()))
}

/// Reading all that is kept took 1.7 s for each page of such a conversation.
#[test]
fn a_page_of_input_items_costs_what_it_shows() {
    let (server, _poe, _) = in_front(&[("text", json!({"text": "x"}))], &["--responses-max-mb", "64"]);
    let mut previous = Value::Null;
    for _ in 0..3 {
        let item = json!({"role": "user", "content": "a question of some length, so that there is something to read"});
        let body = json!({"model": "bot", "input": vec![item; 6000], "previous_response_id": previous});
        let answer = ask(&server, "/v1/responses", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        previous = answer.json()["id"].clone();
    }
    let id = previous.as_str().expect("an id");
    for order in ["desc", "asc"] {
        let cost = server.cpu_of(|| {
            for _ in 0..20 {
                let page = server.ask(&get(&format!("/v1/responses/{id}/input_items?limit=1&order={order}")));
                assert_eq!((page.status, page.json()["data"].as_array().map(Vec::len)), (200, Some(1)));
                assert_eq!(page.json()["has_more"], true);
            }
        });
        println!("20 pages, {order}: {cost:?}");
        assert!(cost < Duration::from_millis(1500), "{order}: {cost:?}");
    }
}

/// Each `/` of a name made another reading, which was compared with every model: 15 s for the path, 89 s for the body.
#[test]
fn a_long_name_of_a_model_costs_nothing() {
    let server = TestServer::demo(&[]);
    assert_eq!(server.chat(&chat_body("demo-echo", "x")).status, 200);
    let path = get(&format!("/v1/models/{}", "a%2F".repeat(1500)));
    let show = post("/api/show", &[KEY], &json!({"model": "a/".repeat(6000)}).to_string());
    let bodies = ["/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens", "/api/chat"];
    let cost = server.cpu_of(|| {
        assert_eq!(server.ask(&path).status, 404);
        assert_eq!(server.ask(&show).status, 404);
        for path in bodies {
            let mut body = chat_body(&"a/".repeat(6000), "x");
            body["max_tokens"] = 9.into();
            assert_eq!(ask(&server, path, &body).status, 404, "{path}");
        }
        let body = json!({"model": "a/".repeat(6000), "input": "x"});
        assert_eq!(ask(&server, "/v1/responses", &body).status, 404);
    });
    println!("seven long names: {cost:?}");
    assert!(cost < Duration::from_millis(500), "{cost:?}");
    // a name that could be one is looked for no longer either
    let cost = server.cpu_of(|| assert_eq!(server.chat(&chat_body(&"a/".repeat(127), "x")).status, 404));
    assert!(cost < Duration::from_millis(500), "{cost:?}");
}

/// The processor time after which the server is quiet once the client of `request` has left in the middle of the work for it.
fn cost_when_left(server: &TestServer, request: &str) -> Duration {
    let before = server.cpu();
    let mut wire = server.wire();
    wire.send(request);
    // the last byte has been read when the work begins
    let begun = || (server.cpu() > before + Duration::from_millis(300)).then_some(());
    eventually(3 * PATIENCE, "the work begins", begun);
    wire.leave();
    let mut last = server.cpu();
    eventually(3 * PATIENCE, "the server is quiet", || {
        thread::sleep(Duration::from_secs(1));
        let now = server.cpu();
        (now - std::mem::replace(&mut last, now) <= Duration::from_millis(50)).then_some(())
    });
    server.cpu() - before
}

/// Tokens are the longest work on a request. What is left behind them is not counted on.
#[test]
fn the_work_for_a_client_that_has_left_ends() {
    let (server, _poe, _) = in_front(&[("text", json!({"text": "x"}))], &[]);
    let body = |size: usize, stream: bool| {
        let text = "some words that are no others ".repeat(size / 30);
        json!({"model": "bot", "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": text}]})
    };
    for (path, stream) in [("/v1/messages/count_tokens", false), ("/v1/messages", true)] {
        let small = server.cpu_of(|| {
            let answer = ask(&server, path, &body(1 << 20, stream));
            assert_eq!(answer.status, 200, "{path}");
        });
        let left = cost_when_left(&server, &post(path, &[KEY], &body(15 << 20, stream).to_string()));
        println!("{path}: {small:?} for 1 MiB, {left:?} of 15 MiB until the client was missed");
        assert!(left < 8 * small, "{path}: {left:?} of 15 times {small:?}");
    }
}

/// What the high-water mark rises by for a request, as a multiple of what the bot sent.
fn factor(server: &TestServer, body: &Value, size: u64) -> (Answer, f64) {
    // code, tables and a first request are no part of it
    let _ = server.ask(&get("/health"));
    let before = server.memory("VmHWM:");
    let answer = server.chat(body);
    let grown = server.memory("VmHWM:") - before;
    (answer, grown as f64 * 1024.0 / size as f64)
}

/// Files took 15 times their bytes, native calls 17 times, an answer that must be JSON 12 times.
#[test]
fn an_answer_takes_a_few_times_its_bytes() {
    let padding = "x".repeat(9 << 10);
    let file = |at: usize| {
        let url = format!("https://pfst.cf2.poecdn.net/base/image/{at}?{padding}");
        (
            "file",
            json!({"url": url, "content_type": "image/png", "name": "n", "inline_ref": format!("r{at}")}),
        )
    };
    let call = |at: usize| {
        let arguments = json!({"a": padding}).to_string();
        let call =
            json!({"index": at, "id": format!("c{at}"), "function": {"name": "f", "arguments": arguments}});
        ("json", json!({"choices": [{"delta": {"tool_calls": [call]}}]}))
    };
    let row = json!({"name": "n", "value": [1, 2, 3], "other": "word"});
    let rows = json!({"rows": vec![row; 150_000]}).to_string();
    let pieces = rows.as_bytes().chunks(16 << 10);
    let text = pieces.map(|piece| ("text", json!({"text": std::str::from_utf8(piece).expect("ASCII")})));
    let mut wants_json = chat_body("bot", "x");
    wants_json["response_format"] = json!({"type": "json_object"});
    let mut tools = chat_body("bot", "x");
    tools["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    let rows = [
        ("files", (0..900).map(file).collect::<Vec<_>>(), chat_body("bot", "x"), 11.5),
        ("calls", (0..900).map(call).collect(), tools, 7.0),
        ("JSON", text.collect(), wants_json, 6.0),
    ];
    for (name, events, body, most) in rows {
        let (server, _poe, size) = in_front(&events, &[]);
        let (answer, factor) = factor(&server, &body, size);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert!(answer.body.len() as u64 > size / 2, "{name}: all of it has come");
        println!("{name}: {factor:.1} times {size} bytes");
        assert!(factor < most, "{name}: {factor:.1} times {size} bytes");
    }
}

/// A job is kept for a day: what a bot says of it must not take memory for as long.
#[test]
fn of_what_a_bot_says_of_a_video_little_is_kept() {
    let long = "x".repeat(1 << 20);
    let file = json!({"url": format!("https://pfst.cf2.poecdn.net/{long}"), "content_type": "video/mp4", "name": "n"});
    let fault = json!({"allow_retry": false, "text": long});
    for event in [("error", fault), ("text", json!({"text": long})), ("file", file)] {
        let (server, _poe, _) = in_front(&[event], &[]);
        let made = ask(&server, "/v1/videos", &json!({"model": "bot", "prompt": "x"})).json();
        let path = format!("/v1/videos/{}", made["id"].as_str().expect("an id"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\n\r\n");
        let video = eventually(PATIENCE, "the job ends", || {
            Some(server.ask(&request)).filter(|answer| answer.json()["status"] == "failed")
        });
        assert!(video.body.len() < 8000, "{} bytes", video.body.len());
    }
}

/// 4 MiB of empty lists in the account of a key became more than ten times as much.
#[test]
fn what_poe_says_of_an_account_is_counted_before_it_is_parsed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let body = format!("{{\"data\":[{}[]]}}", "[],".repeat(1_300_000));
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            request(&mut socket);
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = socket.write_all((head + &body).as_bytes());
        }
    });
    let server = TestServer::start(binary(), &["--poe-base-url", &url]);
    let _ = server.ask(&get("/health"));
    let before = server.memory("VmHWM:");
    let request = format!("GET /v1/usage/points_history HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\n\r\n");
    let answer = server.ask(&request);
    assert_eq!(answer.status, 502, "{}", answer.text());
    let grown = server.memory("VmHWM:") - before;
    println!("{grown} KiB for an account of 4 MiB");
    assert!(grown < 30 << 10, "{grown} KiB");
}

/// A Poe that says `content_type` of the sound that its bot has made, in the event and where the sound lies.
fn sound(content_type: &'static str, header: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let base = url.clone();
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let request = request(&mut socket);
            let event =
                json!({"url": format!("{base}/file"), "content_type": content_type, "name": content_type});
            let answer = match request.split(' ').take(2).collect::<Vec<_>>()[..] {
                ["POST", _] => format!(
                    "200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: file\ndata: {event}\n\nevent: done\ndata: {{}}\n\n"
                ),
                ["GET", "/file"] => format!("200 OK\r\n{header}Content-Length: 5\r\n\r\nsound"),
                _ => "404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            };
            let _ = socket.write_all(
                format!("HTTP/1.1 {}", answer.replacen("\r\n", "\r\nConnection: close\r\n", 1)).as_bytes(),
            );
        }
    });
    url
}

/// The head of a request, whose body has been read.
fn request(socket: &mut TcpStream) -> String {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
                return String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        match socket.read(&mut piece) {
            Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
            _ => return String::new(),
        }
    }
}

/// A type in `/v1/audio/speech` added a cookie.
#[test]
fn a_bots_file_cannot_add_a_header() {
    for (content_type, header, expected) in [
        ("audio/mpeg", "", "audio/mpeg"),
        ("audio/mpeg\r\nSet-Cookie: a=b", "", "application/octet-stream"),
        ("audio/mpeg\nSet-Cookie: a=b", "", "application/octet-stream"),
        ("audio/mpeg\rSet-Cookie: a=b", "", "application/octet-stream"),
        ("audio/mpeg;\r\nSet-Cookie: a=b", "", "audio/mpeg"),
        ("audio/\u{2028}Set-Cookie", "", "application/octet-stream"),
        ("audio/wav", "Content-Type: audio/ogg; x=\"\r\n", "audio/ogg"),
        ("audio/wav", "Content-Type: audio/<script>\r\n", "application/octet-stream"),
        ("audio/wav", "Content-Type: text/html\r\n", "audio/wav"),
    ] {
        let url = sound(content_type, header);
        let server = TestServer::start(binary(), &["--poe-base-url", &url]);
        let speech = json!({"model": "bot", "input": "x", "voice": "alloy"});
        let answer = ask(&server, "/v1/audio/speech", &speech);
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"sound"[..]), "{content_type:?}");
        assert_eq!(answer.header("content-type"), Some(expected), "{content_type:?} {header:?}");
        assert_eq!(answer.header("set-cookie"), None, "{content_type:?}");
        // where the same words stand in a text they are a text
        let mut wire = server.wire();
        let said = wire.ask(&chat(&chat_body("bot", "x")));
        assert_eq!((said.status, said.header("set-cookie")), (200, None), "{content_type:?}");
        assert!(content(&said).contains("/file"), "{content_type:?}");
        assert_eq!(wire.ask(&get("/health")).status, 200, "the connection is in order");
    }
}
