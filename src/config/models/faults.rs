//! Faults of models.yaml: messages that state the place and repeat no value.

use std::fmt;

use super::Place;
use super::locate::{self, Step};

/// How many brackets may be open at once. The parser's time grows with the square of that number, and it gives up at
/// this depth anyway.
const MOST_OPEN: usize = 128;

/// Said of a key that stands twice in one mapping.
pub(super) const TWICE: &str = "given twice";

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
    /// Line and field alone, which may be public; empty if neither is known.
    pub fn location(&self) -> String {
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

/// The fault of a text that is not parsed at all. Brackets in strings count too: that many of them open nothing else.
/// Those in comments do not, but what looks like one and has a quote in it may be a string that ends there.
pub(super) fn too_deep(text: &str) -> Option<Fault> {
    let mut open = 0_usize;
    for (number, line) in text.split('\n').enumerate() {
        let quoted = line.rfind(['"', '\'']).map_or(0, |last| last + 1);
        if quoted == 0 && line.trim_start().starts_with('#') {
            continue;
        }
        let end = line[quoted..].find(" #").map_or(line.len(), |comment| quoted + comment);
        for (column, character) in line[..end].chars().enumerate() {
            match character {
                '[' | '{' => open += 1,
                ']' | '}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > MOST_OPEN {
                let place = Some(Place { line: number + 1, column: column + 1 });
                let message = format!("more than {MOST_OPEN} open brackets");
                return Some(Fault { place, field: String::new(), message });
            }
        }
    }
    None
}

/// The parser's error, with its words and the place in `text` taken apart.
pub(super) fn describe(text: &str, error: serde_path_to_error::Error<serde_yaml::Error>) -> Fault {
    let path = error.path().to_string();
    let step = |segment: &serde_path_to_error::Segment| match segment {
        serde_path_to_error::Segment::Seq { index } => Some(Step::Place(*index)),
        serde_path_to_error::Segment::Map { key } => Some(Step::Key(key.clone())),
        // the parser had not got there yet
        _ => None,
    };
    let field = locate::join(&error.path().iter().filter_map(step).collect::<Vec<_>>());
    let mut fault = yaml_fault(text, &error.into_inner());
    // the parser's own words carry the path too
    if let Some(rest) = fault.message.strip_prefix(&format!("{path}: ")) {
        fault.message = rest.to_owned();
    }
    if fault.field.is_empty() {
        fault.field = field;
    }
    fault.message = without_value(&fault.message);
    fault
}

/// The key that stands twice in one mapping and what stands before it in the path, by the parser's words.
fn duplicate_key(message: &str) -> Option<(&str, &str)> {
    let (path, key) = match message.split_once("duplicate field `") {
        Some((path, key)) => (path, key.strip_suffix('`')?),
        None => {
            let (path, key) = message.split_once("duplicate entry with key ")?;
            (path, key.trim_matches('"'))
        }
    };
    Some((path.trim_end_matches(": "), key))
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

pub(super) fn yaml_fault(text: &str, error: &serde_yaml::Error) -> Fault {
    let place = error.location().map(Place::from);
    let message = error.to_string();
    let message = match place {
        Some(Place { line, column }) => message.replace(&format!(" at line {line} column {column}"), ""),
        None => message,
    };
    if let Some((path, key)) = duplicate_key(&message) {
        let field = [path, key].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        return Fault { place: locate::duplicate_key(text).or(place), field, message: TWICE.to_owned() };
    }
    let place =
        place.or_else(|| second_document(text).filter(|_| message.contains("more than one document")));
    Fault { place, field: String::new(), message }
}

/// The line that ends the first document of several.
fn second_document(text: &str) -> Option<Place> {
    let is_content = |line: &str| !line.trim().is_empty() && !line.starts_with(['#', '%']);
    let mut lines =
        text.lines().enumerate().skip_while(|(_, line)| !is_content(line) || line.starts_with("---"));
    let (number, _) = lines.find(|(_, line)| line.starts_with("---"))?;
    Some(Place { line: number + 1, column: 1 })
}
