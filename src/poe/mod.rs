//! Client for Poe's API: a [`ChatRequest`](crate::pipeline::ChatRequest) becomes a query, Poe's stream becomes [`Event`](crate::pipeline::Event)s.
//! The only layer that uses ureq.

mod account;
mod answer_limits;
mod bot_stream;
mod catalog;
mod client;
mod counters;
mod decode;
mod ends;
mod error_classes;
mod fetch;
mod loose;
mod media_params;
mod names;
pub mod native;
mod page;
mod parallel;
mod parameters;
mod phrases;
mod price;
mod query;
mod settings;
mod sse;
mod transport;
mod upload;
mod wire;

pub use account::{Account, Charge};
pub use bot_stream::BotStream;
pub use catalog::{Entry, Parameter, parse as parse_catalog};
pub use client::{Poe, pause, retry_wait};
pub use counters::Counters;
pub use decode::{Decode, Progress};
pub use fetch::{Download, Fetched};
pub use names::{Entries, LONGEST_NAME, folded, nearest, plain_name, readings, same_name};
pub use parallel::{fan_in, run_parallel};
pub use parameters::fit as fit_parameters;
pub use price::{Consumption, DOLLARS_A_POINT, Price};
pub use query::encode as encode_query;
pub use settings::Settings;
pub use sse::{Decoder as SseDecoder, Frame};
pub use transport::CancelCheck;
