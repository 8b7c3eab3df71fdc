//! The door: sockets, heads, bodies, answers, routes.
//!
//! `relay` is one request's life: start reading there. `listener` accepts and seats connections, `connection` lives
//! one connection's life, `head` and `body` read with limits and deadlines, `answer`, `event_stream` and
//! `send` write.

mod admin;
mod answer;
mod body;
mod catalog;
mod connection;
mod event_stream;
mod halt;
mod head;
mod listener;
mod metrics;
mod native;
mod ollama;
mod order;
mod outlet;
mod pages;
mod pool;
mod probe;
mod record;
mod relay;
mod responses;
mod router;
mod routes;
mod seats;
mod send;
mod state;
mod unserved;
mod works;

pub use answer::Answer;
pub use connection::{Call, Client, Handler};
pub use event_stream::EventStream;
pub use head::Head;
pub use listener::{Server, connections_that_fit};
pub use probe::probe;
pub use router::Door;
pub use seats::{Going, Limits, Stop};
