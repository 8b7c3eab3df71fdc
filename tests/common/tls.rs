//! TLS in front of a plain server, with the certificate of the fixtures, which is `localhost`'s.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub const TLS_FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/");

/// Puts TLS in front of `behind`, a `host:port`, and returns its own port.
pub fn tls_front(behind: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let config = Arc::new(config());
    let behind = behind.to_owned();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (config, behind) = (Arc::clone(&config), behind.clone());
            // an error means that the connection was closed
            thread::spawn(move || carry(socket, &behind, config));
        }
    });
    port
}

fn config() -> ServerConfig {
    let read = |name: &str| fs::read(format!("{TLS_FILES}{name}")).expect("a fixture");
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
