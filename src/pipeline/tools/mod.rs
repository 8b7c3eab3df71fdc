//! Tools for bots without native ones: the prompt that explains them, and the scanner that finds calls in the text.

pub(crate) mod code_fences;
mod escaping;
mod prompt;
pub(crate) mod scanner;
mod tag;
mod typed_arguments;

pub use prompt::{check_tool_turns, insist_on_call, tools_into_prompt, unique_call_ids};
