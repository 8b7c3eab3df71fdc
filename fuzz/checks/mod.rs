//! Checks that must hold for any bytes; run by the fuzzer, and by `cargo test` on the committed seeds and mutations of them.

mod events;
mod repair;
mod replay;
mod request;
mod sse;
mod thinking;
mod tool_xml;

pub use events::events;
pub use repair::repair;
pub use request::{
    chat_request, completions_request, images_request, messages_request, ollama_request, responses_request,
    speech_request,
};
pub use sse::sse;
pub use thinking::thinking;
pub use tool_xml::tool_xml;
