//! An embedded Poe that implements the real bot protocol on loopback: for a first try without an account, and for the tests.
//!
//! Reading order for the protocol: `query` is what a client sends, `script` the events that a bot answers with, `bots` what
//! bots do with them, well-behaved or not; `catalog` is the model list, `uploads` the way of files into Poe, `endpoints` what
//! Poe's native endpoints make of the same bots, and `server` the routes and what opens them.
//!
//! | endpoint | what for |
//! |---|---|
//! | `POST /bot/{name}` | a query (`"type":"query"`) answered by a stream of events, or `"type":"settings"` |
//! | `POST /v1/chat/completions`, `/v1/responses`, `/v1/messages` | Poe's native endpoints, for bots that declare them |
//! | `GET /v1/models` | the model list |
//! | `POST /upload`, `GET /files/{id}/{name}` | files for queries; at real Poe on hosts of their own |
//! | `GET /usage/current_balance`, `GET /usage/points_history` | points |
//! | `GET /art/{name}` | what the bots themselves made |
//! | `GET /demo/queries`, `/demo/doors` | for tests: what came, at the bot protocol and at the others |
//! | `GET /demo/stats`, `/demo/uploads` | for tests: what is open, what is kept |
//! | `POST /demo/reset`, `/demo/expire-files` | for tests: forget; make all upload links dead |
//!
//! Every key opens it but `wrong-key` (401), `poor-key` (402) and `slow-down` (429).

mod bots;
mod catalog;
mod form;
mod native;
mod player;
mod query;
mod sample;
mod script;
mod server;
mod state;
mod traits;
mod uploads;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;

use crate::server::{Limits, Server, Stop};

/// Where a running demo is found.
#[derive(Debug, Clone)]
pub struct Demo {
    /// Takes the place of `https://api.poe.com`.
    pub base_url: String,
    /// Takes the place of Poe's upload address.
    pub upload_url: String,
}

/// Bots worth a newcomer's while: name and what it does.
pub const SHOWN: &[(&str, &str)] = &[
    ("demo-echo", "repeats what you say"),
    ("demo-story", "writes a short story, word by word"),
    ("demo-think", "thinks aloud before it answers"),
    ("demo-painter", "paints a cat"),
    ("demo-voice", "hums"),
    ("demo-video", "makes a video of one second"),
    ("demo-tools", "calls your functions"),
    ("demo-xml-tools", "calls your functions, though its model cannot"),
    ("demo-json", "answers JSON that fits your schema"),
    ("demo-agent", "creates a file for your coding agent"),
    ("demo-gpt", "looks like a large model, with all its parameters"),
    ("demo-error-http-402", "has no points left"),
];

/// Room for a test that holds a thousand streams and asks on.
const CONNECTIONS: usize = 4096;

/// Starts a demo on a free port of the loopback address, in a thread of its own, until `stop` says otherwise.
/// Its clients should stop first, because a stopped demo does not answer.
pub fn start(stop: Stop) -> io::Result<Demo> {
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    let server = Server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), limits)?;
    let base_url = format!("http://{}", server.local_addr()?);
    let upload_url = format!("{base_url}/upload");
    let poe = Arc::new(server::FakePoe::new(base_url.clone()));
    thread::Builder::new().name("demo-poe".into()).spawn(move || server.serve(poe, &stop))?;
    Ok(Demo { base_url, upload_url })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bot_that_is_shown_exists() {
        assert!(SHOWN.iter().all(|(name, _)| bots::find(name).is_some()));
    }
}
