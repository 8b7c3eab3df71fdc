//! The tongues: bytes into an [`Ask`](crate::exchange::Ask), events into frames. Pure; siblings are alike.

pub mod catalog;
pub mod chat;
pub mod files;
