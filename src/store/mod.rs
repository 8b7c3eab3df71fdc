//! The cellar: what outlives a request.

pub mod config;
pub mod dir;
pub mod files;
pub mod kept_list;
pub mod limiter;
pub mod models;
pub mod refreshed;
pub mod tokens;
