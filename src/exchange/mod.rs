//! The hall: what is asked, what is answered piece by piece, and the stages in between. Pure; knows no floor.

mod ask;
mod candidate;
mod event;
mod fences;
mod markup;
mod reply;
mod stage;
mod tag;
#[cfg(test)]
mod testing;
mod thinking;
mod tool_calls;
mod tool_prompt;
mod tool_xml;
mod typed_args;
mod usage;

pub use ask::{
    Ask, Attachment, FileSource, Format, Message, Part, Reasoning, Role, Sampling, Tool, ToolCall, ToolChoice,
};
pub use event::{Event, Finish, FinishReason, TokenUsage, ToolDelta};
pub use reply::Reply;
pub use stage::{Stage, Stages, Through};
pub use thinking::Thinking;
pub use tool_calls::ToolCalls;
pub use tool_prompt::{carry_in_prompt, check_tool_turns, firmer};
pub use tool_xml::ToolXml;
pub use usage::{CountTokens, Usage, prompt_tokens};
