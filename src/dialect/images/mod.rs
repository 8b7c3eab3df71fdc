//! OpenAI's Images: pictures from a bot that paints.

mod answer;
mod request;

pub use answer::{Picture, encode};
pub use request::{ImageRequest, Wanted, decode_edit, decode_generation};
