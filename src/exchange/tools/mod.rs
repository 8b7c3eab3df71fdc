//! Calls that bots write into their text: found in any of the forms of [`grammars`], lifted out by [`ToolXml`].

mod arguments;
mod call;
mod fences;
mod grammars;
mod marks;
mod objects;
mod offer;
mod repair;
mod scanner;
mod typed_args;

pub use call::read_one;
pub use offer::{Offer, cleaned_name};
pub use repair::{Words, repaired};
pub use scanner::{ToolXml, boundary};
pub use typed_args::quoted;
