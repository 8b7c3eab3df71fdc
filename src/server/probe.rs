//! Health probe of a running server, for images without a shell, and the address of this machine.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(3);

/// The address under which other machines of the network reach this one, as far as its routes state. Nothing is sent.
pub fn lan_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // an address of documentation: only the route to it matters
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Asks `GET /health` at `address` (`host:port`). An error is a sentence.
pub fn probe(address: &str) -> Result<(), String> {
    let unreachable = |error| format!("{address} does not answer: {error}");
    let found = address.to_socket_addrs().map_err(unreachable)?.next();
    let found = found.ok_or_else(|| format!("{address} has no address"))?;
    let mut socket = TcpStream::connect_timeout(&found, TIMEOUT).map_err(unreachable)?;
    socket.set_read_timeout(Some(TIMEOUT)).map_err(unreachable)?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut status = [0; 12];
    socket.read_exact(&mut status).map_err(unreachable)?;
    match &status {
        b"HTTP/1.1 200" => Ok(()),
        other => Err(format!("{address} says {}", String::from_utf8_lossy(other))),
    }
}
