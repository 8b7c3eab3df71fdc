//! The neutral request, the neutral events of an answer, and the stages that change events. Pure: no input or output.

mod api;
mod call_arguments;
pub(crate) mod completion_prompt;
mod event;
#[cfg(test)]
mod every_split;
pub mod json;
mod media;
pub(crate) mod media_type;
mod named_urls;
mod progress;
mod reply;
mod request;
mod stage;
pub mod stages;
#[cfg(test)]
mod testing;
pub mod tools;

pub use api::NativeEndpoint;
pub use completion_prompt::{Gap, completion_prompt};
pub use event::{Event, Finish, FinishReason, TokenUsage, ToolDelta};
pub use media::{MediaKind, SAID, made, media_files};
pub use media_type::media_type;
pub use progress::{is_progress, may_be_progress, percentage};
pub use reply::Reply;
pub use request::{
    Attachment, ChatRequest, FileSource, Format, Message, Part, Reasoning, Role, Sampling, Tool, ToolCall,
    ToolChoice,
};
pub use stage::{Stage, Stages, Through};
pub use tools::{ToolXml, Words, repaired};
