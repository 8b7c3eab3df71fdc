//! The door: sockets, heads, bodies, answers, routes. (Signatures first; the bodies follow.)
#![expect(missing_docs, reason = "signatures only, replaced by the next commit")]
#![expect(unused_variables, reason = "signatures only, replaced by the next commit")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;

/// What answers requests. `Err` means that the connection is broken; everything else is an answer.
pub trait Handler: Send + Sync + 'static {
    fn answer(&self, call: &mut Call<'_>) -> io::Result<()>;
}

/// The head of one request.
pub struct Head {
    pub method: String,
    /// Percent-encoded path without the query.
    pub path: String,
    pub query: Option<String>,
}
impl Head {
    /// Header value by case-insensitive name.
    pub fn header(&self, name: &str) -> Option<&str> {
        unimplemented_stub()
    }
}

/// One request and the means to answer it.
pub struct Call<'c>(std::marker::PhantomData<&'c ()>);
impl Call<'_> {
    pub fn head(&self) -> &Head {
        unimplemented_stub()
    }
    /// The whole body, or an error that says why not (too large, too slow, malformed).
    pub fn body(&mut self, limit: u64) -> Result<Vec<u8>> {
        unimplemented_stub()
    }
    /// Sends a whole answer.
    pub fn send(&mut self, answer: Answer) -> io::Result<()> {
        unimplemented_stub()
    }
    /// Begins a stream of server-sent events with status 200.
    pub fn event_stream(&mut self) -> EventStream {
        unimplemented_stub()
    }
    pub fn client(&self) -> Client {
        unimplemented_stub()
    }
}

/// The client's side of the connection, to be watched while waiting.
#[derive(Clone)]
pub struct Client;
impl Client {
    /// Whether the client has hung up.
    pub fn is_gone(&self) -> bool {
        unimplemented_stub()
    }
}

/// A whole answer.
pub struct Answer;
impl Answer {
    pub fn json(status: u16, body: Vec<u8>) -> Answer {
        unimplemented_stub()
    }
    pub fn text(status: u16, body: &str) -> Answer {
        unimplemented_stub()
    }
    pub fn header(self, name: &'static str, value: String) -> Answer {
        unimplemented_stub()
    }
}

/// A chunked stream of server-sent events. Dropped without `end`, it shuts the socket so that the client sees the break.
pub struct EventStream;
impl EventStream {
    /// Sends bytes of whole frames: one chunk, one write, one flush.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        unimplemented_stub()
    }
    /// Frames the end properly.
    pub fn end(self) -> io::Result<()> {
        unimplemented_stub()
    }
}

/// A bound listener.
pub struct Server;
impl Server {
    pub fn bind(address: SocketAddr, limits: Limits) -> io::Result<Server> {
        unimplemented_stub()
    }
    pub fn local_addr(&self) -> SocketAddr {
        unimplemented_stub()
    }
    /// Serves until `stop` says otherwise.
    pub fn serve(self, handler: Arc<dyn Handler>, stop: &Stop) {
        unimplemented_stub()
    }
}

/// How much one server takes on.
#[derive(Clone)]
pub struct Limits {
    pub connections: usize,
    pub head_timeout: Duration,
    pub idle_timeout: Duration,
}

/// Ends a server from another thread.
#[derive(Clone)]
pub struct Stop;

#[expect(clippy::panic, reason = "signatures only, replaced by the next commit")]
fn unimplemented_stub() -> ! {
    panic!("signature only")
}
