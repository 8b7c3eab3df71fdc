//! HTTP/1.1 server on `std::net`: listener, connections, worker pool, request heads and bodies, responses, event streams.
//!
//! It serves whatever implements [`Handler`] and has no knowledge of Poe or of any client API.

mod abort;
pub(crate) mod answer;
pub mod body;
pub(crate) mod connection;
pub(crate) mod connection_slots;
pub(crate) mod event_stream;
pub(crate) mod head;
mod listener;
pub(crate) mod network;
pub mod probe;
mod send;
mod systemd;
pub(crate) mod url;
mod worker_pool;

pub use answer::Answer;
pub use connection::{Call, Client, Handler};
pub use connection_slots::{Limits, ShutdownPhase, Stop};
pub use event_stream::EventStream;
pub use head::Head;
pub use listener::{Server, connections_that_fit};
pub use probe::{lan_address, probe};
pub use systemd::{inherited, notify};
