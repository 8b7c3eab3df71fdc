//! The cellar: what outlives a request.

pub mod limiter;
pub mod models;
