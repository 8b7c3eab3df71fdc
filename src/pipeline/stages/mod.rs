//! Stages that change the events of an answer, one file each.

mod buffer_all;
pub(crate) mod file_refs;
mod limits;
mod progress_reports;
mod retractions;
mod thinking;
mod tool_calls;
mod unfence;
mod unopened_thought;
mod usage;

pub use buffer_all::BufferAll;
pub use file_refs::{FileRefs, Link, at_poe, pictures_into_user_turns, poe_links};
pub use limits::{CountRunning, Limits};
pub use progress_reports::ProgressReports;
pub use retractions::Retractions;
pub use thinking::Thinking;
pub use tool_calls::ToolCalls;
pub use unfence::Unfence;
pub use unopened_thought::UnopenedThought;
pub use usage::{CountTokens, Usage, prompt_tokens};
