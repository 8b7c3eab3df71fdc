//! Resources are released: slow readers, crowded addresses, invalid keys and a slow Poe do not block other clients.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{
    PATIENCE, Poe, TestServer, Wire, binary, chat, chat_body, eventually, get, post, streamed, text, timed,
};

/// Time limit for closing the connection to Poe after the client disconnects.
const SOON: Duration = Duration::from_secs(2);
/// One byte of a drip after the other.
const DRIP: Duration = Duration::from_millis(300);

/// Clients that request an endless answer and read one byte of it at intervals, while `body` runs.
fn with_slow_readers(server: &TestServer, count: usize, body: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let mut readers: Vec<Wire> = (0..count).map(|_| server.wire()).collect();
    for wire in &mut readers {
        socket2::SockRef::from(&wire.socket).set_recv_buffer_size(4 << 10).expect("an option");
        wire.send(chat(&streamed("demo-fast", "1000000")));
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for wire in &mut readers {
                    // the server may have dropped it by then
                    let _ = wire.socket.read(&mut [0]);
                }
                thread::sleep(DRIP);
            }
        });
        body();
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_full_server_evicts_the_slowest_readers() {
    let server = TestServer::demo(&["--max-connections", "4", "--send-timeout-seconds", "600"]);
    with_slow_readers(&server, 4, || {
        for _ in 0..3 {
            let served = || (server.ask(&get("/health")).status == 200).then_some(());
            eventually(PATIENCE, "a slow reader makes way", served);
        }
    });
}

#[test]
fn a_reader_that_takes_too_little_is_dropped() {
    let server = TestServer::demo(&["--send-timeout-seconds", "2"]);
    with_slow_readers(&server, 3, || {
        let dropped = || (server.output().matches("status=499").count() == 3).then_some(());
        eventually(PATIENCE, "all three are dropped", dropped);
    });
}

#[test]
fn clients_that_stop_reading_use_little_memory() {
    const READERS: usize = 80;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let url = bad_bots(move |_, mut socket| {
        counted.fetch_add(1, Ordering::Relaxed);
        let event = format!("event: text\r\ndata: {{\"text\": \"{}\"}}\r\n\r\n", "lorem ipsum ".repeat(1400));
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        while socket.write_all(event.as_bytes()).is_ok() {}
    });
    let server = TestServer::start(binary(), &["--poe-base-url", &url]);
    let before = server.memory("VmHWM:");
    let mut readers: Vec<Wire> = (0..READERS).map(|_| server.wire()).collect();
    for wire in &mut readers {
        wire.send(chat(&streamed("demo-fast", "1000000")));
    }
    let all = || (asked.load(Ordering::Relaxed) == READERS).then_some(());
    eventually(3 * PATIENCE, "all are asked", all);
    // with all of them blocked the server has nothing to do any more
    let mut last = Duration::ZERO;
    eventually(6 * PATIENCE, "all are blocked", || {
        thread::sleep(Duration::from_secs(1));
        let now = server.cpu();
        (now - std::mem::replace(&mut last, now) <= Duration::from_millis(50)).then_some(())
    });
    let grown = server.memory("VmHWM:").saturating_sub(before);
    println!("{READERS} readers who stopped: {grown} KiB");
    assert!(grown < 80 << 10, "{grown} KiB");
}

#[test]
fn connections_per_address_are_limited() {
    let server = TestServer::demo(&["--max-connections-per-client", "2"]);
    let mut busy: Vec<Wire> = (0..2).map(|_| server.wire()).collect();
    for wire in &mut busy {
        wire.stream(&chat(&streamed("demo-stall-late", "x"))).begin();
    }
    let refused = server.ask(&get("/health"));
    assert_eq!((refused.status, refused.header("connection")), (429, Some("close")));
    assert!(refused.error("message").contains("MAX_CONNECTIONS_PER_CLIENT"), "{refused:?}");
    busy.pop().expect("one").leave();
    let served = || (server.ask(&get("/health")).status == 200).then_some(());
    eventually(PATIENCE, "a place of its own is free", served);
    let mut idle = server.wire();
    assert_eq!(idle.ask(&get("/health")).status, 200);
    // a moment after its answer it idles
    eventually(PATIENCE, "its own idle connection makes way", served);
}

#[test]
fn ordinary_clients_are_served_with_few_descriptors() {
    let poe = Poe::start();
    let mut shell = Command::new("/bin/sh");
    shell.env_clear().arg("-c").arg("ulimit -n 64 && exec \"$0\" \"$@\"");
    shell.arg(env!("CARGO_BIN_EXE_poe2openai"));
    let server = TestServer::start(shell, &["--poe-base-url", &poe.at.base_url]);
    for round in 0..5 {
        // connections of the round before are closed at the same moment
        let mut wires: Vec<Wire> = (0..16).map(|_| server.wire()).collect();
        for _ in 0..2 {
            for wire in &mut wires {
                wire.send(chat(&chat_body("demo-slow-start", "x")));
            }
            for wire in &mut wires {
                let answer = wire.answer();
                assert_eq!(answer.status, 200, "round {round}: {answer:?}");
            }
        }
    }
}

#[test]
fn no_core_file_is_written() {
    let server = TestServer::demo(&[]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).expect("Linux");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("the line");
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
}

#[test]
fn little_is_read_after_a_refusal() {
    let server = TestServer::demo(&[]);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\n";
    for start in [
        "GET / HTTP/1.1\r\nHost: h\r\nX: ".to_owned(),
        "GET /".to_owned(),
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n".to_owned(),
        format!("{head}Content-Length: 99999999999\r\n\r\n"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nz\r\n"),
    ] {
        let mut wire = server.wire();
        socket2::SockRef::from(&wire.socket).set_send_buffer_size(16 << 10).expect("an option");
        wire.send(&start);
        let piece = [b'x'; 16 << 10];
        let taken = (0..4096).take_while(|_| wire.socket.write_all(&piece).is_ok()).count() * piece.len();
        // kernel buffers on both sides are not counted
        assert!(taken < 8 << 20, "{start:?}: {taken} bytes were taken");
    }
    assert_eq!(server.ask(&get("/health")).status, 200);
}

#[test]
fn a_too_large_body_error_gives_the_limit() {
    let server = TestServer::demo(&["--max-request-size", "1000"]);
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/chat"] {
        let answer = server.ask(&post(path, &["Authorization: Bearer k"], &"x".repeat(1001)));
        assert_eq!(answer.status, 413, "{path}");
        let said = answer.text();
        assert!(said.contains("MAX_REQUEST_SIZE") && said.contains("1000 bytes"), "{path}: {said}");
    }
}

/// A Poe with scripted faults: `serve` receives the head of every request.
fn bad_poe(serve: impl Fn(&str, &TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || request(&socket).map(|head| serve(&head, &socket)));
        }
    });
    url
}

/// The same for questions only; it has no list of models.
fn bad_bots(serve: impl Fn(&str, &TcpStream) + Send + Sync + 'static) -> String {
    bad_poe(move |head, mut socket| match head.starts_with("POST") {
        true => serve(head, socket),
        false => drop(socket.write_all(b"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n")),
    })
}

/// The head of a request whose body has been read.
fn request(socket: &TcpStream) -> Option<String> {
    let (mut reader, mut head) = (BufReader::new(socket), String::new());
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).ok().filter(|count| *count > 0)?;
    }
    let length = head
        .to_lowercase()
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next().and_then(|value| value.parse().ok()));
    reader.read_exact(&mut vec![0; length.unwrap_or(0)]).ok()?;
    Some(head)
}

/// Sends `start` and then `more` repeatedly until the other side closes.
fn drip(mut socket: &TcpStream, start: &[u8], more: &[u8]) {
    let _ = socket.write_all(start);
    while socket.write_all(more).is_ok() {
        thread::sleep(DRIP);
    }
}

/// In its head; in an error's body; before the first event of a stream.
const DRIPS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nX: ",
    "HTTP/1.1 429 Slow\r\nContent-Length: 60000\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n1;",
];

#[test]
fn a_client_disconnect_cancels_a_slowly_dripping_poe() {
    for start in DRIPS {
        for body in [chat_body("demo-echo", "x"), streamed("demo-echo", "x")] {
            let (asked, left) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let (is_asked, is_left) = (Arc::clone(&asked), Arc::clone(&left));
            let url = bad_bots(move |_, socket| {
                is_asked.store(true, Ordering::Relaxed);
                drip(socket, start.as_bytes(), b"x");
                is_left.store(true, Ordering::Relaxed);
            });
            let server = TestServer::start(binary(), &["--poe-base-url", &url]);
            let mut wire = server.wire();
            wire.send(chat(&body));
            eventually(PATIENCE, "Poe is asked", || asked.load(Ordering::Relaxed).then_some(()));
            thread::sleep(DRIP); // into the drip
            wire.leave();
            let is_left = || left.load(Ordering::Relaxed).then_some(());
            eventually(SOON + 2 * DRIP, &format!("the call to Poe is cancelled: {start:?}"), is_left);
        }
    }
}

#[test]
fn a_slowly_dripping_poe_times_out() {
    let limits =
        ["--upstream-first-byte-timeout-seconds", "1", "--upstream-idle-timeout-seconds", "1"].as_slice();
    for (start, status) in DRIPS.iter().zip([504, 429, 504, 504]) {
        let url = bad_poe(|_, socket| drip(socket, start.as_bytes(), b"x"));
        let server = TestServer::start(binary(), &[&["--poe-base-url", &url], limits].concat());
        let (answer, took) = timed(|| server.chat(&chat_body("demo-echo", "x")));
        assert_eq!(answer.status, status, "{start:?}: {answer:?}");
        assert!(took < PATIENCE / 2, "{start:?}: {took:?}");
        // the list of models drips too, and its refresh goes on
        server.wait_for_line("list of models could not be fetched");
    }
}

#[test]
fn a_slow_but_progressing_upload_does_not_time_out() {
    let url = bad_bots(|_, mut socket| {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: text\r\ndata: {\"text\": \"all of it\"}\r\n\r\nevent: done\r\ndata: {}\r\n\r\n");
    });
    // read slowly: between this listener and the server stands one that passes on a little at a time
    let slow = TcpListener::bind("127.0.0.1:0").expect("a port");
    let slow_url = format!("http://{}", slow.local_addr().expect("bound"));
    let target = url.trim_start_matches("http://").to_owned();
    thread::spawn(move || {
        for client in slow.incoming().map_while(Result::ok) {
            socket2::SockRef::from(&client).set_recv_buffer_size(64 << 10).expect("an option");
            let poe = TcpStream::connect(&target).expect("Poe");
            thread::spawn(move || {
                let (mut back, mut forth) = (poe.try_clone()?, client.try_clone()?);
                thread::spawn(move || std::io::copy(&mut back, &mut forth));
                let mut piece = vec![0; 64 << 10];
                while let Ok(count @ 1..) = (&client).read(&mut piece) {
                    (&poe).write_all(&piece[..count])?;
                    thread::sleep(Duration::from_millis(15));
                }
                std::io::Result::Ok(())
            });
        }
    });
    let limits = ["--upstream-first-byte-timeout-seconds", "5", "--keep-alive-seconds", "1"];
    let server = TestServer::start(binary(), &[["--poe-base-url", &slow_url].as_slice(), &limits].concat());
    let mut wire = server.wire();
    let (events, took) = timed(|| wire.stream(&chat(&streamed("demo-echo", &"x".repeat(32 << 20)))).rest());
    assert_eq!(text(&events), "all of it", "{events:?} after {took:?}");
    assert!(took > Duration::from_secs(5), "it was not slow enough to show anything: {took:?}");
}

/// A Poe that accepts only the key `good` and counts its queries.
fn strict_poe() -> (String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let url = bad_bots(move |head, mut socket| {
        counted.fetch_add(1, Ordering::Relaxed);
        let answer: &[u8] = match head.contains("Bearer good\r\n") {
            true => b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nevent: text\r\ndata: {\"text\": \"yes\"}\r\n\r\nevent: done\r\ndata: {}\r\n\r\n",
            false => b"HTTP/1.1 401 No\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"error\":{\"type\":\"authentication_error\",\"message\":\"Incorrect API key\"}}",
        };
        let _ = socket.write_all(answer);
    });
    (url, count)
}

fn with_key(key: &str) -> String {
    let body = chat_body("demo-echo", "x").to_string();
    post("/v1/chat/completions", &[&format!("Authorization: Bearer {key}")], &body)
}

#[test]
fn invalid_keys_cannot_starve_a_valid_one() {
    let (url, _) = strict_poe();
    let limits = ["--rate-limit-ms", "20", "--rate-limit-max-wait-ms", "2000"];
    let server = TestServer::start(binary(), &[["--poe-base-url", &url].as_slice(), &limits].concat());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for flooder in 0..130 {
            let (server, over) = (&server, &over);
            scope.spawn(move || {
                for round in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    // a different key each time
                    let answer = server.ask(&with_key(&format!("made-up-{flooder}-{round}")));
                    assert!([401, 429].contains(&answer.status), "{answer:?}");
                }
            });
        }
        let ends = Ends(&over);
        let refused = || (server.output().matches("status=429").count() > 20).then_some(());
        eventually(PATIENCE, "the flood is larger than the limiter", refused);
        // the key is not verified yet: it may be retried, as the error says
        let served = || (server.ask(&with_key("good")).status == 200).then_some(());
        eventually(PATIENCE, "a good key is served", served);
        for _ in 0..3 {
            assert_eq!(server.ask(&with_key("good")).status, 200, "a key that has worked goes before");
        }
        drop(ends);
    });
}

/// Ends the flood also when an assertion fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_key_that_poe_has_refused_is_refused_without_a_turn() {
    let (url, asked) = strict_poe();
    let server = TestServer::start(binary(), &["--poe-base-url", &url, "--rate-limit-ms", "600000"]);
    for _ in 0..5 {
        let answer = server.ask(&with_key("bad"));
        assert_eq!((answer.status, answer.error("message").as_str()), (401, "Incorrect API key"));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "Poe was asked once");
}
