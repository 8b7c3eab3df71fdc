//! poe2openai: a proxy between clients of OpenAI, Anthropic and Ollama and the bots of Poe.
//!
//! Requests go down through these modules to Poe, and answers come up through the same ones.
//!
//! | module | what it holds |
//! |---|---|
//! | [`server`] | HTTP/1.1 on `std::net`: listener, connections, worker pool, requests and responses |
//! | [`api`] | what each URL does: routes, authentication, one file for each family of endpoints, the admin page |
//! | [`gateway`] | one request's life; **start reading in `gateway/relay.rs`** |
//! | [`dialect`] | for each client API: bytes into a `ChatRequest`, events into bytes; pure |
//! | [`pipeline`] | `ChatRequest`, `Event`, `Reply`, and the stages that change events; pure |
//! | [`poe`] | client of Poe: queries, events, model list, uploads, native endpoints; the only user of ureq |
//! | [`config`] | models.yaml and the files of `CONFIG_DIR` |
//! | [`state`] | what outlives a request: upload cache, stored responses, rate limiter |
//! | [`telemetry`] | log, metrics, activity, recorded prompts |
//! | [`tokens`] | token counter for o200k_base |
//! | [`demo`] | an embedded Poe, for a first try and for the tests |
//!
//! [`settings`] are read once at the start, [`ids`] and [`clock`] make ids and dates, and every failure is an
//! [`error::Error`]. `tests/architecture.rs` enforces which module may import which.

pub mod api;
pub mod budget;
pub mod clock;
pub mod config;
pub mod demo;
pub mod dialect;
pub mod error;
pub mod gateway;
pub mod ids;
pub mod json_limits;
pub mod pipeline;
pub mod poe;
pub mod proxy;
pub mod server;
pub mod settings;
pub mod state;
pub mod telemetry;
pub mod tokens;
