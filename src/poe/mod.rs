//! The well: an [`Ask`](crate::exchange::Ask) becomes a query, Poe's stream becomes [`Event`](crate::exchange::Event)s.
//! The only floor that knows ureq.

mod catalog;
mod client;
pub mod decode;
mod live;
mod query;
pub mod sse;
mod transport;
mod words;

pub use catalog::{Entry, Parameter, parse as parse_catalog};
pub use client::{Poe, Settings, pause};
pub use live::Live;
pub use query::encode as encode_query;
pub use transport::Watch;
