//! Calls that a bot both writes into its text and sends natively: each comes once.

use serde_json::Value;

use super::call::Found;
use crate::pipeline::ToolDelta;

/// Arguments that are longer are not compared, in bytes.
const LONGEST: usize = 1 << 20;

/// The calls of an answer so far, written ones and native ones. A call has at most one twin.
#[derive(Default)]
pub struct Twins {
    /// Written calls that have no native twin yet: name and arguments.
    written: Vec<(String, Value)>,
    /// Native calls that have no written twin yet.
    native: Vec<Native>,
}

struct Native {
    /// The bot's index of it.
    index: usize,
    name: String,
    arguments: String,
    /// The pieces that are held back, because a written call may be the same.
    held: Option<Vec<ToolDelta>>,
}

impl Twins {
    /// Takes in a written call; whether it is new.
    pub fn is_new(&mut self, found: &Found) -> bool {
        let Ok(arguments) = serde_json::from_str(&found.arguments) else { return true };
        let is_twin = |call: &Native| call.held.is_none() && call.name == found.name && call.is(&arguments);
        if let Some(at) = self.native.iter().position(is_twin) {
            self.native.swap_remove(at);
            return false;
        }
        self.written.push((found.name.clone(), arguments));
        true
    }

    /// Takes in a piece of a native call; the pieces that can be passed on now.
    pub fn native(&mut self, delta: ToolDelta) -> Vec<ToolDelta> {
        let index = delta.index;
        if let Some(name) = &delta.name {
            let may_be_twin = self.written.iter().any(|(written, _)| written == name);
            let held = may_be_twin.then(Vec::new);
            self.native.push(Native { index, name: name.clone(), arguments: String::new(), held });
        }
        let Some(at) = self.native.iter().rposition(|call| call.index == index) else { return vec![delta] };
        let call = &mut self.native[at];
        if call.arguments.len() <= LONGEST {
            call.arguments.push_str(&delta.arguments);
        }
        let Some(held) = &mut call.held else { return vec![delta] };
        held.push(delta);
        match call.arguments.ends_with('}') || call.arguments.len() > LONGEST {
            true => self.decide(at),
            false => Vec::new(),
        }
    }

    /// Nothing more comes: the pieces that were held back and are no twin's.
    pub fn close(&mut self) -> Vec<ToolDelta> {
        let held = self.native.iter_mut().filter_map(|call| call.held.take()).flatten();
        held.collect()
    }

    /// Decides on the call at `at` once its arguments are whole.
    fn decide(&mut self, at: usize) -> Vec<ToolDelta> {
        let call = &mut self.native[at];
        let is_too_long = call.arguments.len() > LONGEST;
        let arguments: Option<Value> = serde_json::from_str(&call.arguments).ok();
        if arguments.is_none() && !is_too_long {
            return Vec::new();
        }
        let same =
            |(name, written): &(String, Value)| *name == call.name && arguments.as_ref() == Some(written);
        match self.written.iter().position(same) {
            Some(written) => {
                self.written.swap_remove(written);
                call.name.clear(); // it is the written call
                call.held = None;
                self.native.swap_remove(at);
                Vec::new()
            }
            None => call.held.take().unwrap_or_default(),
        }
    }
}

impl Native {
    fn is(&self, arguments: &Value) -> bool {
        self.arguments.len() <= LONGEST
            && serde_json::from_str::<Value>(&self.arguments).is_ok_and(|own| own == *arguments)
    }
}
