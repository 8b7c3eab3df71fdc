//! The floor plan of poe2openai.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at once"))]

pub mod error;
pub mod exchange;
pub mod http;
pub mod store;
