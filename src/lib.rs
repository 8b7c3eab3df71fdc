//! The floor plan of poe2openai.

pub mod error;
pub mod exchange;
pub mod http;
pub mod settings;
pub mod store;
