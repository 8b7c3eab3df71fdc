//! State that outlives a request: upload cache, stored responses, jobs, rate limiter, login throttle, client keys, budgets,
//! usage. What several replicas have to share has a version in memory and one in Redis.

pub mod budgets;
pub mod client_keys;
pub mod limiter;
pub mod login_throttle;
#[cfg(feature = "redis")]
mod redis;
pub mod refusals;
pub mod responses;
pub mod shared;
pub mod single_flight;
pub mod upload_cache;
pub mod usage;
pub mod usage_file;
pub mod videos;

#[cfg(feature = "redis")]
pub use redis::{
    Address, Place, RedisBudgets, RedisClientKeys, RedisLink, RedisResponseStore, RedisSlots,
    RedisUploadCache, RedisUsage, RedisVideos,
};
