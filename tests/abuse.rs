//! Hostile clients and too many clients: other clients are still served promptly.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, Poe, TestServer, Wire, chat, chat_body, content, eventually, get, streamed, timed};

/// Time limit for a normal request during a flood.
const SOON: Duration = Duration::from_secs(2);
/// Duration of a flood.
const SIEGE: Duration = Duration::from_secs(5);

/// Keeps `wires` open and sends one byte on each of them every second, while `body` runs.
fn dripping(mut wires: Vec<Wire>, drip: u8, body: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let round = Instant::now();
                for wire in &mut wires {
                    // the server may have closed it by then
                    let _ = wire.socket.write_all(&[drip]);
                }
                thread::sleep(Duration::from_secs(1).saturating_sub(round.elapsed()));
            }
        });
        body();
        over.store(true, Ordering::Relaxed);
    });
}

/// Repeats requests while the flood lasts; returns the longest response time.
fn send_requests_forever(server: &TestServer) -> Duration {
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    while start.elapsed() < SIEGE {
        let (answer, took) = timed(|| server.chat(&chat_body("demo-echo", "still there?")));
        assert_eq!(content(&answer), "still there?", "{answer:?}");
        assert!(took < SOON, "answered after {took:?}");
        longest = longest.max(took);
        thread::sleep(Duration::from_millis(100));
    }
    longest
}

#[test]
fn five_hundred_slow_heads_do_not_delay_others() {
    let server = TestServer::demo(&[]);
    let wires = (0..500).map(|_| server.wire()).map(|mut wire| {
        wire.send("GET /health HTTP/1.1\r\nX-Slow: ");
        wire
    });
    dripping(wires.collect(), b'x', || {
        println!("500 slow heads: an answer took {:?} at most", send_requests_forever(&server));
    });
}

#[test]
fn two_hundred_slow_bodies_do_not_delay_others() {
    let server = TestServer::demo(&[]);
    let request = chat(&chat_body("demo-echo", "never to be finished"));
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let wires = (0..200).map(|_| server.wire()).map(|mut wire| {
        wire.send(format!("{head}\r\n\r\n"));
        wire
    });
    dripping(wires.collect(), b' ', || {
        println!("200 slow bodies: an answer took {:?} at most", send_requests_forever(&server));
    });
}

#[test]
fn more_slow_heads_than_connections_delay_others_only_briefly() {
    let server = TestServer::demo(&["--max-connections", "50"]);
    let wires = (0..50).map(|_| server.wire()).map(|mut wire| {
        wire.send("GET /health HTTP/1.1\r\nX-Slow: ");
        wire
    });
    dripping(wires.collect(), b'x', || served_soon(&server));
}

#[test]
fn more_slow_bodies_than_connections_do_not_block_others_forever() {
    let server = TestServer::demo(&["--max-connections", "20"]);
    let request = chat(&chat_body("demo-echo", "never to be finished"));
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let mut slow: Vec<Wire> = (0..20).map(|_| server.wire()).collect();
    for wire in &mut slow {
        wire.send(format!("{head}\r\n\r\n{{"));
    }
    let served = || (server.chat(&chat_body("demo-echo", "x")).status == 200).then_some(());
    eventually(Duration::from_secs(13), "the slowest is evicted", served);
    let ended = || slow.iter().position(Wire::has_ended);
    let place = eventually(SOON, "the evicted client gets its answer", ended);
    let answer = slow[place].answer();
    assert_eq!((answer.status, answer.error("code").as_str()), (503, "overloaded"), "with the reason");
}

/// A client that retries after a 503 is served within two seconds.
fn served_soon(server: &TestServer) {
    let (_, took) = timed(|| {
        eventually(SOON, "a normal request is answered", || {
            let answer = server.chat(&chat_body("demo-echo", "x"));
            match answer.status {
                200 => Some(()),
                503 => {
                    assert!(answer.header("retry-after").is_some());
                    None
                }
                other => panic!("{other}: {answer:?}"),
            }
        })
    });
    println!("served after {took:?}");
}

/// The program with at most `count` open files.
fn with_few_files(count: u32) -> Command {
    let mut shell = Command::new("/bin/sh");
    let script = format!("ulimit -n {count} && exec \"$0\" \"$@\"");
    shell.env_clear().arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_poe2openai"));
    shell
}

#[test]
fn four_hundred_connections_on_256_files_keep_the_server_running() {
    let server = TestServer::start(with_few_files(256), &["--demo"]);
    let idle: Vec<Wire> = (0..400).map(|_| server.wire()).collect();
    served_soon(&server);
    served_soon(&server);
    drop(idle);
    served_soon(&server);
}

#[test]
fn four_hundred_requests_on_256_files_keep_the_server_running() {
    let server = TestServer::start(with_few_files(256), &["--demo"]);
    let mut wires: Vec<Wire> = (0..400).map(|_| server.wire()).collect();
    for wire in &mut wires {
        wire.send(chat(&streamed("demo-slow-start", "x")));
    }
    let statuses: Vec<u16> = wires.iter_mut().map(|wire| wire.answer().status).collect();
    let count = |status: u16| statuses.iter().filter(|other| **other == status).count();
    println!("{} answered, {} turned away", count(200), count(503));
    assert_eq!(count(200) + count(503), 400, "{statuses:?}");
    assert!(count(200) >= 50, "{statuses:?}");
    served_soon(&server);
}

#[test]
fn exhausted_file_descriptors_keep_the_server_running() {
    // more connections are allowed than there are files for both ends: accepting fails for a while
    let poe = Poe::start();
    let server = TestServer::start(with_few_files(100), &["--poe-base-url", &poe.at.base_url]);
    for _ in 0..3 {
        let idle: Vec<Wire> = (0..200).map(|_| server.wire()).collect();
        served_soon(&server);
        drop(idle);
    }
}

#[test]
fn an_absurd_content_length_costs_no_memory() {
    let server = TestServer::demo(&[]);
    assert_eq!(server.ask(&get("/health")).status, 200);
    let before = server.memory("VmRSS:");
    for _ in 0..20 {
        let answer = server.ask(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\nContent-Length: 99999999999999\r\n\r\n",
        );
        assert_eq!((answer.status, answer.error("code").as_str()), (413, "request_too_large"));
    }
    // within the limit of a gigabyte, but never sent: memory grows with what arrives
    let mut wires: Vec<Wire> = (0..20).map(|_| server.wire()).collect();
    for wire in &mut wires {
        wire.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\nContent-Length: 1000000000\r\n\r\n{");
    }
    assert_eq!(content(&server.chat(&chat_body("demo-echo", "unharmed"))), "unharmed");
    let grown = server.memory("VmRSS:").saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more");
}

#[test]
fn over_the_limit_a_client_gets_503_at_once() {
    let server = TestServer::demo(&["--max-connections", "4"]);
    let mut busy: Vec<Wire> = (0..4).map(|_| server.wire()).collect();
    for wire in &mut busy {
        wire.stream(&chat(&streamed("demo-stall-late", "x"))).begin();
    }
    for _ in 0..3 {
        let (answer, took) = timed(|| server.chat(&chat_body("demo-echo", "x")));
        assert_eq!((answer.status, answer.error("code").as_str()), (503, "overloaded"));
        assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("1"), Some("close")));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
    busy.pop().unwrap().leave();
    served_soon(&server);
}

#[test]
fn idle_connections_are_evicted_for_new_clients() {
    let server = TestServer::demo(&["--max-connections", "4"]);
    let mut idle: Vec<Wire> = (0..4).map(|_| server.wire()).collect();
    for wire in &mut idle {
        assert_eq!(wire.ask(&get("/health")).status, 200);
    }
    // a connection idles before its line is written
    eventually(SOON, "all four idle", || {
        (server.output().matches("GET /health status=200").count() == 4).then_some(())
    });
    let mut newcomers: Vec<Wire> = (0..3).map(|_| server.wire()).collect();
    for wire in &mut newcomers {
        let (answer, took) = timed(|| wire.ask(&chat(&chat_body("demo-echo", "new"))));
        assert_eq!(content(&answer), "new");
        assert!(took < SOON, "{took:?}");
    }
    // three were evicted and one was not; the order of eviction is tested in the unit test of the slots
    eventually(SOON, "three have ended", || {
        (idle.iter().filter(|wire| wire.has_ended()).count() == 3).then_some(())
    });
    let open = idle.iter_mut().find(|wire| !wire.has_ended()).expect("one is open");
    assert_eq!(open.ask(&get("/health")).status, 200);
}

#[test]
fn a_client_that_stops_reading_does_not_delay_others() {
    let server = TestServer::demo(&[]);
    let mut lazy: Vec<Wire> = (0..8).map(|_| server.wire()).collect();
    for wire in &mut lazy {
        wire.send(chat(&streamed("demo-fast", "100000")));
    }
    for _ in 0..5 {
        let (answer, took) = timed(|| server.chat(&chat_body("demo-echo", "x")));
        assert_eq!(answer.status, 200);
        assert!(took < SOON, "{took:?}");
    }
}

#[test]
fn a_full_rate_limiter_sends_retry_after() {
    let poe = Poe::start();
    let limits = ["--rate-limit-ms", "1500", "--rate-limit-max-wait-ms", "2000"];
    let server = TestServer::before(&poe, &limits);
    let mut wires: Vec<Wire> = (0..4).map(|_| server.wire()).collect();
    for wire in &mut wires {
        wire.send(chat(&chat_body("demo-echo", "x")));
    }
    let (mut statuses, took) = timed(|| {
        let answers = wires.iter_mut().map(|wire| {
            let answer = wire.answer();
            assert_eq!(answer.header("retry-after").is_some(), answer.status == 429);
            answer.status
        });
        answers.collect::<Vec<u16>>()
    });
    statuses.sort_unstable();
    assert_eq!((statuses, poe.queries()), (vec![200, 200, 429, 429], 2));
    assert!((1.0..4.0).contains(&took.as_secs_f64()), "the second waits for the rate limiter: {took:?}");
}

#[test]
fn malformed_requests_are_rejected_and_released() {
    let server = TestServer::demo(&[]);
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("a process").count();
    assert_eq!(server.chat(&chat_body("demo-echo", "fine")).status, 200);
    server.wait_for_line("models: ");
    let before = descriptors();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..200 {
        let mut noise: Vec<u8> = (0..64)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed as u8
            })
            .collect();
        let mut wire = server.wire();
        if round % 2 == 0 {
            wire.send(noise);
            wire.leave();
        } else {
            noise.extend(b"\r\n\r\n");
            wire.send(&noise);
            assert_eq!(wire.answer().status, 400, "{noise:?}");
            assert!(wire.is_closed(), "{noise:?}");
        }
    }
    assert_eq!(content(&server.chat(&chat_body("demo-echo", "fine"))), "fine");
    // one more connection to the embedded Poe, both of whose ends are here, may be kept for later
    eventually(PATIENCE, "all connections are gone", || (descriptors() <= before + 2).then_some(()));
    assert!(!server.output().contains("a fault in the program"));
}
