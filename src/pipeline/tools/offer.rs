//! The request's tools, indexed by name.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use serde_json::Value;

use super::grammars::PREFIXES;
use super::typed_args::declared_args;
use crate::pipeline::Tool;

/// `name`, or the one of `offered` that it is meant to be: behind `functions.`, or with stray markup behind it.
pub fn cleaned_name(name: String, offered: &HashSet<String>) -> String {
    if offered.is_empty() || offered.contains(&name) {
        return name;
    }
    let is_part = |letter: char| letter.is_alphanumeric() || "_-.:/".contains(letter);
    let start = name.trim_start();
    let clean = &start[..start.find(|letter| !is_part(letter)).unwrap_or(start.len())];
    let bare = PREFIXES.iter().find_map(|prefix| clean.strip_prefix(prefix)).unwrap_or(clean);
    let numberless = bare.trim_end_matches(|letter: char| letter.is_ascii_digit()).trim_end_matches(':');
    let known = [clean, bare, numberless].into_iter().find(|name| offered.contains(*name));
    known.map_or(name.clone(), str::to_owned)
}

/// All tools on offer.
#[derive(Debug, Default)]
pub struct Offer {
    tools: Vec<Offered>,
    by_name: BTreeMap<String, usize>,
}

/// A tool with what its schema says at a glance.
#[derive(Debug)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// JSON Schema of its arguments.
    pub schema: Option<Value>,
    /// Names of its arguments.
    declared: BTreeMap<String, ()>,
    /// Names of those that must be given.
    pub required: HashSet<String>,
}

impl Offer {
    /// Reads the schemas of `tools`. Of two with one name the first counts.
    pub fn new(tools: &[Tool]) -> Offer {
        let mut offer = Offer::default();
        for tool in tools {
            let (declared, required) = declared_args(tool.parameters.as_ref());
            offer.by_name.entry(tool.name.clone()).or_insert(offer.tools.len());
            offer.tools.push(Offered {
                name: tool.name.clone(),
                schema: tool.parameters.clone(),
                declared: declared.into_iter().map(|name| (name, ())).collect(),
                required: required.into_iter().collect(),
            });
        }
        offer
    }

    /// Whether nothing is on offer.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// The tool at `place`, which [`Offer::find`] has given.
    pub fn tool(&self, place: usize) -> &Offered {
        &self.tools[place]
    }

    /// Place of the tool with this name, exactly or behind a prefix such as `functions.`.
    pub fn find(&self, name: &str) -> Option<usize> {
        let known = |name: &str| self.by_name.get(name).copied();
        let bare = || PREFIXES.iter().find_map(|prefix| known(name.strip_prefix(prefix)?));
        known(name).or_else(bare)
    }

    /// Whether some name begins so.
    fn has_beginning(&self, beginning: &str) -> bool {
        begins(&self.by_name, beginning)
    }

    /// Whether this may become a name, perhaps behind a prefix.
    pub fn may_be_named(&self, beginning: &str) -> bool {
        let behind = |prefix: &&str| match beginning.strip_prefix(*prefix) {
            Some(beginning) => self.has_beginning(beginning),
            None => prefix.starts_with(beginning),
        };
        self.has_beginning(beginning) || PREFIXES.iter().any(behind)
    }
}

impl Offered {
    /// Whether its schema declares this argument.
    pub fn declares(&self, name: &str) -> bool {
        self.declared.contains_key(name)
    }

    /// Whether its schema declares no arguments at all.
    pub fn declares_none(&self) -> bool {
        self.declared.is_empty()
    }

    /// Whether some argument's name begins so.
    pub fn declares_beginning(&self, beginning: &str) -> bool {
        begins(&self.declared, beginning)
    }
}

fn begins<T>(names: &BTreeMap<String, T>, beginning: &str) -> bool {
    let range = (Bound::Included(beginning), Bound::Unbounded);
    names.range::<str, _>(range).next().is_some_and(|(name, _)| name.starts_with(beginning))
}
