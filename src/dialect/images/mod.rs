//! OpenAI's Images API, answered by a bot that makes pictures.

mod answer;
mod request;

pub use answer::{Picture, encode};
pub use request::{ImageRequest, Wanted, decode_edit, decode_generation};
