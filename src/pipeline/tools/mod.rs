//! Tools in the prompt: explained to the bot, and its calls found in the text in any of the `grammars` and extracted by [`ToolXml`].

mod escaping;
mod prompt;
pub use pairs::{name_results, results_behind_calls};
pub use prompt::{PastCalls, check_tool_turns, insist_on_call, tools_into_prompt, unique_call_ids};
mod call;
mod fences;
mod grammars;
mod marks;
mod offer;
mod pairs;
mod repair;
mod scanner;
mod twins;
mod typed_args;

pub use call::read_one;
pub use offer::{Offer, cleaned_name};
pub use repair::{Words, repaired};
pub use scanner::{ToolXml, boundary};
pub use typed_args::quoted;
