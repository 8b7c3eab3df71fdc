//! Timeouts and cancellation work over HTTPS as over HTTP.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::time::Duration;

use common::tls::{TLS_FILES, tls_front};
use common::{Poe, TestServer, binary, chat, chat_body, eventually, streamed, timed};

/// A server that reaches `poe` over TLS only.
fn server(poe: &Poe) -> TestServer {
    let mut program = binary();
    program.env("POE_BASE_URL", format!("https://localhost:{}", tls_front(poe.address())));
    program.env("SSL_CERT_FILE", format!("{TLS_FILES}ca.pem"));
    let limits = ["--upstream-first-byte-timeout-seconds", "1", "--upstream-idle-timeout-seconds", "1"];
    TestServer::start(program, &limits)
}

#[test]
fn a_silent_poe_times_out_over_tls() {
    let poe = Poe::start();
    let server = server(&poe);
    assert_eq!(server.chat(&chat_body("demo-echo", "hello")).status, 200);
    for bot in ["demo-stall-headers", "demo-stall", "demo-stall-late"] {
        let (answer, took) = timed(|| server.chat(&chat_body(bot, "x")));
        assert_eq!((answer.status, answer.error("code").as_str()), (504, "upstream_timeout"), "{bot}");
        assert!(took < Duration::from_secs(5), "{bot}: {took:?}");
    }
}

#[test]
fn a_client_disconnect_is_noticed_over_tls() {
    let poe = Poe::start();
    let mut program = binary();
    program.env("POE_BASE_URL", format!("https://localhost:{}", tls_front(poe.address())));
    program.env("SSL_CERT_FILE", format!("{TLS_FILES}ca.pem"));
    let server = TestServer::start(program, &[]);
    for bot in ["demo-stall-headers", "demo-stall-late", "demo-story"] {
        for body in [chat_body(bot, "x"), streamed(bot, "x")] {
            let mut wire = server.wire();
            wire.send(chat(&body));
            eventually(Duration::from_secs(5), "Poe is asked", || (poe.open() == 1).then_some(()));
            wire.leave();
            eventually(Duration::from_secs(2), "Poe is hung up on", || (poe.open() == 0).then_some(()));
        }
    }
}

#[test]
fn what_lingers_after_the_end_keeps_nobody_over_tls() {
    let poe = Poe::start();
    let server = server(&poe);
    let mut wire = server.wire();
    for _ in 0..2 {
        let (answer, took) = timed(|| wire.ask(&chat(&chat_body("demo-linger", "said"))));
        assert_eq!(answer.status, 200);
        assert!(took < Duration::from_millis(900), "{took:?}");
    }
}
