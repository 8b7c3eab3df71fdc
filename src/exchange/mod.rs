//! The hall: what is asked, what is answered piece by piece, and the stages in between. Pure; knows no floor.

mod ask;
mod call_arguments;
mod cut;
mod door;
mod event;
#[cfg(test)]
mod everywhere;
mod file_refs;
mod fill;
mod held;
pub mod json_format;
mod markup;
mod media_type;
mod named_urls;
mod progress;
mod reply;
pub mod schema;
mod settle;
mod stage;
#[cfg(test)]
mod testing;
mod thinking;
mod tool_calls;
mod tool_prompt;
mod tools;
mod unfence;
mod usage;
mod works;

pub use ask::{
    Ask, Attachment, FileSource, Format, Message, Part, Reasoning, Role, Sampling, Tool, ToolCall, ToolChoice,
};
pub use cut::{CountRunning, Cut};
pub use door::Door;
pub use event::{Event, Finish, FinishReason, TokenUsage, ToolDelta};
pub use file_refs::{FileRefs, Link, at_poe, carry_pictures, poe_links};
pub use fill::{Gap, complete};
pub use held::Held;
pub use media_type::media_type;
pub use progress::{is_progress, may_be_progress};
pub use reply::Reply;
pub use settle::Settle;
pub use stage::{Stage, Stages, Through};
pub use thinking::Thinking;
pub use tool_calls::ToolCalls;
pub use tool_prompt::{PastCalls, carry_in_prompt, check_tool_turns, firmer, tell_calls_apart};
pub use tools::{ToolXml, Words, repaired};
pub use unfence::Unfence;
pub use usage::{CountTokens, Usage, prompt_tokens};
pub use works::{Work, works};
