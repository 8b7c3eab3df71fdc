//! The cellar: what outlives a request.

pub mod activity;
pub mod admin_password;
pub mod config;
pub mod dir;
pub mod doors;
pub mod files;
pub mod inspection;
pub mod kept_list;
pub mod limiter;
pub mod metrics;
pub mod models;
pub mod refreshed;
pub mod responses;
pub mod tokens;
pub mod tries;
