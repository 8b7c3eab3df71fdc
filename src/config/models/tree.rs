//! models.yaml as a YAML tree, and the names of its keys.

use serde_yaml::Value as Yaml;

use super::faults::{too_deep, yaml_fault};
use super::{Fault, locate};

/// The text as a tree; nothing at all is null.
pub(super) fn tree(text: &str) -> Result<Yaml, Fault> {
    if let Some(fault) = too_deep(text) {
        return Err(fault);
    }
    match serde_yaml::from_str(text) {
        Ok(tree) => Ok(tree),
        Err(error) if error.to_string() == super::EMPTY => Ok(Yaml::Null),
        Err(error) => Err(yaml_fault(text, &error)),
    }
}

pub(super) fn name_of(key: &Yaml) -> String {
    match locate::Step::from_key(key) {
        locate::Step::Key(name) => name,
        locate::Step::Place(place) => place.to_string(),
    }
}
