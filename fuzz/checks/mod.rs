//! What must hold for any bytes: run by the fuzzer, and by `cargo test` on the committed seeds and near them.

mod chat_request;
mod replay;
mod sse;
mod thinking;
mod tool_xml;

pub use chat_request::chat_request;
pub use sse::sse;
pub use thinking::thinking;
pub use tool_xml::tool_xml;
