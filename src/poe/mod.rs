//! The well: an [`Ask`](crate::exchange::Ask) becomes a query, Poe's stream becomes [`Event`](crate::exchange::Event)s.
//! The only floor that knows ureq.

mod account;
mod answer_limits;
mod aside;
mod catalog;
mod client;
mod counters;
mod decode;
pub mod door;
mod ends;
mod fetch;
mod live;
mod loose;
mod names;
mod page;
mod parameters;
mod phrases;
mod query;
mod sse;
mod studio;
mod transport;
mod upload;
mod words;

pub use account::Account;
pub use aside::{aside, listen};
pub use catalog::{Entry, Parameter, parse as parse_catalog};
pub use client::{Poe, Settings, pause};
pub use counters::Counters;
pub use decode::{Decode, Progress};
pub use fetch::Fetched;
pub use live::Live;
pub use names::{Entries, LONGEST_NAME, Named, plain_name, readings, same_name};
pub use parameters::fit as fit_parameters;
pub use query::encode as encode_query;
pub use sse::{Decoder as SseDecoder, Frame};
pub use transport::Watch;
