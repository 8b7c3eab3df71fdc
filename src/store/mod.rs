//! The cellar: what outlives a request.

pub mod files;
pub mod limiter;
pub mod models;
pub mod refreshed;
pub mod tokens;
pub mod tries;
