//! State that several replicas share through Redis or Valkey. Whatever happens to Redis, a request goes on with the
//! memory of its own replica.

mod link;
mod responses;
mod seal;
mod slots;
mod uploads;
mod videos;

pub use link::{Address, Place, RedisLink};
pub use responses::RedisResponseStore;
pub use slots::RedisSlots;
pub use uploads::RedisUploadCache;
pub use videos::RedisVideos;
