//! Waiting on Poe over HTTPS is as watchful as over HTTP, though other layers lie in between.

#[expect(dead_code, reason = "shared by all house tests; none uses everything")]
mod common;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{Poe, TestServer, binary, chat, chat_body, eventually, streamed, timed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/");

/// Puts TLS in front of `poe` and says where.
fn front(poe: &Poe) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let config = Arc::new(config());
    let behind = poe.address().to_owned();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (config, behind) = (Arc::clone(&config), behind.clone());
            // a connection that ends in an error is one that was hung up
            thread::spawn(move || carry(socket, &behind, config));
        }
    });
    port
}

fn config() -> ServerConfig {
    let read = |name: &str| fs::read(format!("{FILES}{name}")).expect("a fixture");
    let chain =
        CertificateDer::pem_slice_iter(&read("cert.pem")).map(|item| item.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_slice(&read("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("a matching key")
}

/// Carries bytes both ways until either side ends.
fn carry(socket: TcpStream, behind: &str, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut plain = TcpStream::connect(behind)?;
    plain.set_nonblocking(true)?;
    socket.set_nonblocking(true)?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut secret = StreamOwned::new(connection, socket);
    loop {
        let moved = pass(&mut secret, &mut plain)? + pass(&mut plain, &mut secret)?;
        if moved == 0 {
            thread::sleep(Duration::from_millis(2)); // this is the network, not a wait for the server's state
        }
    }
}

fn pass(from: &mut impl Read, to: &mut impl Write) -> io::Result<usize> {
    let mut bytes = [0; 4096];
    match from.read(&mut bytes) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => to.write_all(&bytes[..count]).and_then(|()| to.flush()).map(|()| count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error),
    }
}

/// A server that knows `poe` only behind TLS.
fn server(poe: &Poe) -> TestServer {
    let mut program = binary();
    program.env("POE_BASE_URL", format!("https://localhost:{}", front(poe)));
    program.env("SSL_CERT_FILE", format!("{FILES}ca.pem"));
    let limits = ["--upstream-first-byte-timeout-seconds", "1", "--upstream-idle-timeout-seconds", "1"];
    TestServer::start(program, &limits)
}

#[test]
fn a_silent_poe_is_given_up_over_tls() {
    let poe = Poe::start();
    let server = server(&poe);
    assert_eq!(server.chat(&chat_body("demo-echo", "hello")).status, 200);
    for bot in ["demo-stall-headers", "demo-stall", "demo-stall-late"] {
        let (answer, took) = timed(|| server.chat(&chat_body(bot, "x")));
        assert!((500..=504).contains(&answer.status), "{bot}: {}", answer.status);
        assert!(took < Duration::from_secs(5), "{bot}: {took:?}");
    }
}

#[test]
fn a_client_that_leaves_is_noticed_over_tls() {
    let poe = Poe::start();
    let mut program = binary();
    program.env("POE_BASE_URL", format!("https://localhost:{}", front(&poe)));
    program.env("SSL_CERT_FILE", format!("{FILES}ca.pem"));
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
