//! The repair of almost-JSON: the output is JSON, and valid JSON keeps its value.

use poe2openai::pipeline::{Words, repaired};
use serde_json::Value;
use serde_json::value::RawValue;

/// Checks one input.
pub fn repair(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for words in [Words::Refused, Words::Strings] {
        let Some(json) = repaired(&text, words) else { continue };
        serde_json::from_str::<&RawValue>(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(repaired(&json, words).as_deref().map(meaning), Some(meaning(&json)), "{json}");
    }
    let is_container = text.trim_start().starts_with(['{', '[']);
    if let (true, Ok(value)) = (is_container, serde_json::from_str::<Value>(&text)) {
        let json = repaired(&text, Words::Refused);
        if json.is_some() || depth(&value) < 60 {
            assert_eq!(json.and_then(|json| serde_json::from_str(&json).ok()), Some(value));
        }
    }
}

/// The value, or the text where no value can hold it: half of a surrogate pair.
fn meaning(json: &str) -> Result<Value, String> {
    serde_json::from_str(json).map_err(|_| json.to_owned())
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
