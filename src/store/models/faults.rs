//! What is wrong with a models.yaml, in words that tell the place and repeat no value.

use std::fmt;

use super::Place;

/// What is wrong with a text: "line 3, column 5: models.gpt-4o.enable: …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands, if that is known.
    pub place: Option<Place>,
    /// Which field it is; empty for a text that is no YAML.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Fault {
    /// Line and field alone, for everybody to see; empty if neither is known.
    pub fn spot(&self) -> String {
        let place = self.place.map(|Place { line, column }| format!("line {line}, column {column}"));
        let field = Some(self.field.clone()).filter(|field| !field.is_empty());
        place.into_iter().chain(field).collect::<Vec<_>>().join(": ")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        match self.field.is_empty() {
            true => f.write_str(&self.message),
            false => write!(f, "{}: {}", self.field, self.message),
        }
    }
}

impl std::error::Error for Fault {}

/// The parser's error, with its words and the place taken apart.
pub(super) fn describe(error: serde_path_to_error::Error<serde_yaml::Error>) -> Fault {
    let field = error.path().to_string();
    let field = if field == "." || field == "?" { String::new() } else { field };
    let mut fault = Fault { field, ..yaml_fault(&error.into_inner()) };
    // the parser's own words carry the path too
    if let Some(rest) = fault.message.strip_prefix(&format!("{}: ", fault.field)) {
        fault.message = rest.to_owned();
    }
    fault.message = without_value(&fault.message);
    fault
}

/// The parser's words without the value that it did not expect: that may be a secret under a wrong key.
fn without_value(message: &str) -> String {
    let starts = ["invalid type: ", "invalid value: ", "unknown variant"];
    let Some(start) = starts.iter().filter_map(|word| Some(message.find(word)? + word.len())).min() else {
        return message.to_owned();
    };
    let (said, rest) = message.split_at(start);
    let (value, expected) = rest.rsplit_once(", expected ").unwrap_or((rest, ""));
    let kind = value.split(['"', '`', '\'']).next().unwrap_or_default().trim_end();
    match expected {
        "" => format!("{said}{kind}"),
        _ => format!("{said}{kind}, expected {expected}"),
    }
}

pub(super) fn yaml_fault(error: &serde_yaml::Error) -> Fault {
    let place = error.location().map(Place::from);
    let message = error.to_string();
    let message = match place {
        Some(Place { line, column }) => message.replace(&format!(" at line {line} column {column}"), ""),
        None => message,
    };
    Fault { place, field: String::new(), message }
}
