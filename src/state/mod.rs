//! State that outlives a request: upload cache, stored responses, rate limiter, login throttle.

pub mod limiter;
pub mod login_throttle;
pub mod refusals;
pub mod responses;
pub mod single_flight;
pub mod upload_cache;
