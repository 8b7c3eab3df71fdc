//! The floor plan of poe2openai: requests come in at the door, go down to the well, and answers rise through the
//! same floors.
//!
//! | module | floor | what it does |
//! |---|---|---|
//! | [`http`] | the door | sockets, heads, bodies, answers, routes; `http/relay.rs` is one request's life |
//! | [`dialect`] | the tongues | bytes into an `Ask`, events into frames; pure |
//! | [`exchange`] | the hall | `Ask`, `Event`, `Reply`, and the stages that change events; pure |
//! | [`poe`] | the well | an `Ask` into Poe's query, Poe's stream into events; the only floor that knows ureq |
//! | [`store`] | the cellar | what outlives a request |
//! | [`demo`] | beside the house | an embedded Poe, for a first try and for the tests |
//!
//! [`attach`] brings files to Poe, [`ids`] and [`clock`] make ids and dates, [`journal`] writes the log. [`settings`] are read
//! once at the start, [`app`] is what all requests share, and every failure is an
//! [`error::Error`]. Which module may know which is written down, and enforced, in `tests/house.rs`.

pub mod app;
pub mod attach;
pub mod budget;
pub mod clock;
pub mod demo;
pub mod dialect;
pub mod error;
pub mod exchange;
pub mod http;
pub mod ids;
pub mod journal;
pub mod json_limits;
pub mod poe;
pub mod proxy;
pub mod settings;
pub mod store;
