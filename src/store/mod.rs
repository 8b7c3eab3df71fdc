//! The cellar: what outlives a request.

pub mod activity;
pub mod files;
pub mod inspection;
pub mod limiter;
pub mod metrics;
pub mod models;
pub mod refreshed;
pub mod tokens;
pub mod tries;
