//! The door: sockets, heads, bodies, answers, routes.
//!
//! Three layers, each of which imports only from those before it:
//!
//! - HTTP server: `listener` accepts and seats connections, `connection` lives one connection's life, `head` and `body`
//!   read with limits and deadlines, `answer`, `event_stream` and `send` write; `halt`, `pool`, `probe`, `seats`, `url`.
//! - One request's life: start reading in `relay`. `context` carries a request, `access` decides who may ask, `order`
//!   makes a request ready for Poe, `native` passes it on; `outlet`, `record`.
//! - Endpoints: `routes` is the table of them, `router` finds the row and its handler; all other files are handlers.

mod access;
mod admin;
mod answer;
mod body;
mod catalog;
mod chat;
mod connection;
mod context;
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
mod route;
mod router;
mod routes;
mod seats;
mod send;
mod status;
mod unserved;
mod url;
mod works;

pub use answer::Answer;
pub use connection::{Call, Client, Handler};
pub use event_stream::EventStream;
pub use head::Head;
pub use listener::{Server, connections_that_fit};
pub use probe::probe;
pub use router::Door;
pub use seats::{Going, Limits, Stop};
