//! State that several replicas share through Redis or Valkey. Whatever happens to Redis, a request goes on with the
//! memory of its own replica.

mod budgets;
mod keys;
mod link;
mod responses;
mod seal;
mod slots;
mod uploads;
mod usage;
mod videos;

pub use budgets::RedisBudgets;
pub use keys::RedisClientKeys;
pub use link::{Address, Place, RedisLink};
pub use responses::RedisResponseStore;
pub use slots::RedisSlots;
pub use uploads::RedisUploadCache;
pub use usage::RedisUsage;
pub use videos::RedisVideos;
