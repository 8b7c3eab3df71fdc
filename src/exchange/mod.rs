//! The hall: what is asked, what is answered piece by piece, and the stages in between. Pure; knows no floor.

mod ask;
mod cut;
mod event;
#[cfg(test)]
mod everywhere;
mod file_refs;
mod held;
pub mod json_format;
mod reply;
pub mod schema;
mod settle;
mod stage;
mod usage;

pub use ask::{
    Ask, Attachment, FileSource, Format, Message, Part, Reasoning, Role, Sampling, Tool, ToolCall, ToolChoice,
};
pub use cut::{CountRunning, Cut};
pub use event::{Event, Finish, FinishReason, TokenUsage, ToolDelta};
pub use file_refs::{FileRefs, Link, carry_pictures, poe_links};
pub use held::Held;
pub use reply::Reply;
pub use settle::Settle;
pub use stage::{Stage, Stages, Through};
pub use usage::{CountTokens, Usage, prompt_tokens};
