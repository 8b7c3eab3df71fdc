//! The cellar: what outlives a request.

pub mod doors;
pub mod files;
pub mod limiter;
pub mod models;
pub mod refreshed;
pub mod responses;
pub mod tokens;
