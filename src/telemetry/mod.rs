//! What operators see: log, metrics, activity, recorded prompts.

pub mod activity;
pub mod inspection;
pub mod logger;
pub mod metrics;
pub mod recent_log;
