//! Parses request bodies as JSON, with errors that name the field.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Kind, Result};

/// Reads a request's body. Errors name the field, as a path such as `messages[0].content`.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let request = serde_path_to_error::deserialize(&mut json).map_err(malformed)?;
    json.end().map_err(|error| {
        Error::new(Kind::InvalidRequest, format!("the body is not one JSON value: {error}"))
    })?;
    Ok(request)
}

/// A body of JSON.
pub fn bytes(value: &impl Serialize) -> Vec<u8> {
    // what is encoded here has no key that JSON cannot have
    serde_json::to_vec(value).unwrap_or_default()
}

/// Reads what stands at `path` of a request. Errors name the field, as `path` and what follows it.
pub fn read_value<'de, T: Deserialize<'de>>(path: &str, value: &'de Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let inside = error.path().to_string();
        let param = match inside.as_str() {
            "." => path.to_owned(),
            inside if inside.starts_with('[') => format!("{path}{inside}"),
            inside => format!("{path}.{inside}"),
        };
        let message = format!("{param}: {}", without_value(&error.into_inner()));
        Error::invalid(param, message)
    })
}

/// Refuses a number at `param` that is out of range.
pub fn within(param: &str, value: Option<f64>, least: f64, most: f64) -> Result<()> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(Error::invalid(param, format!("{param} is {value}, it must be between {least} and {most}")))
        }
        _ => Ok(()),
    }
}

fn malformed(error: serde_path_to_error::Error<serde_json::Error>) -> Error {
    let path = error.path().to_string();
    let inner = error.into_inner();
    if inner.is_syntax() || inner.is_eof() {
        return Error::new(Kind::InvalidRequest, format!("the body is not valid JSON: {inner}"));
    }
    match path.as_str() {
        "." => {
            Error::new(Kind::InvalidRequest, format!("the body is not a request: {}", without_value(&inner)))
        }
        path => Error::invalid(path, format!("{path}: {}", without_value(&inner))),
    }
}

/// Serde's message in plain words: without the names of Rust's types, and without the value that it found, which may be
/// long and private.
pub fn without_value(error: &serde_json::Error) -> String {
    let message = error.to_string();
    // the path says where it is
    let message = match message.rsplit_once(" at line ") {
        Some((message, place)) if place.starts_with(|c: char| c.is_ascii_digit()) => message,
        _ => &message,
    };
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("the field {field} is missing");
    }
    if let Some(field) = message.strip_prefix("duplicate field ") {
        return format!("the field {field} is there twice");
    }
    if message.starts_with("data did not match any variant") {
        return "it has none of the forms that are understood here".to_owned();
    }
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    // `invalid type: string "…"`, `unknown variant `…``
    let end = found.find(['"', '`']).unwrap_or(found.len());
    match found_in_words(found[..end].trim_end()) {
        Some(found) => format!("expected {}, got {found}", expected_in_words(expected)),
        None => format!("unknown word, expected {}", expected_in_words(expected)),
    }
}

fn found_in_words(found: &str) -> Option<&str> {
    let Some(kind) = found.strip_prefix("invalid type: ") else {
        return match found.split_once(' ').map_or(found, |(first, _)| first) {
            "unknown" => None,
            _ => Some("a value out of range"),
        };
    };
    Some(match kind {
        "map" => "an object",
        "sequence" => "a list",
        "string" | "character" => "a string",
        "integer" => "a whole number",
        "floating point" => "a number",
        "boolean" => "true or false",
        "unit value" => "null",
        kind => kind,
    })
}

fn expected_in_words(expected: &str) -> &str {
    let first = expected.split_once(' ').map_or(expected, |(first, _)| first);
    match (first, expected) {
        ("struct" | "internally" | "adjacently", _) | (_, "a map") => "an object",
        ("tuple", _) | (_, "a sequence") => "a list",
        ("u8" | "u16" | "u32" | "u64" | "u128" | "usize", _) => "a whole number of at least 0",
        ("i8" | "i16" | "i32" | "i64" | "i128" | "isize", _) => "a whole number",
        ("f32" | "f64", _) => "a number",
        (_, "a boolean") => "true or false",
        ("enum" | "variant", _) => "a word that is known here",
        ("unit", _) => "null",
        _ => expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_field_holds_is_not_repeated() {
        #[derive(Debug, Deserialize)]
        struct Body {
            #[expect(dead_code, reason = "only read")]
            list: Vec<u8>,
        }
        for value in ["\"private, expected \\\" words\"", "7", "{\"private\": 1}", "[\"private\"]", "true"] {
            let body = format!("{{\"list\": {value}}}");
            let error = read::<Body>(body.as_bytes()).unwrap_err();
            assert!(!error.message.contains("private"), "{error}");
            assert!(error.message.contains("expected"), "{error}");
            assert!(error.param.unwrap().starts_with("list"));
        }
    }
    #[test]
    fn faults_are_in_plain_words() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only read")]
        struct Inner {
            a: String,
            b: Option<u8>,
        }
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Word {
            Low,
        }
        #[derive(Debug, Deserialize)]
        #[serde(untagged)]
        #[expect(dead_code, reason = "only read")]
        enum Either {
            One(String),
            Many(Vec<String>),
        }
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only read")]
        struct Body {
            inner: Option<Inner>,
            list: Option<Vec<u64>>,
            map: Option<std::collections::BTreeMap<String, f64>>,
            word: Option<Word>,
            either: Option<Either>,
            flag: Option<bool>,
        }
        for (body, expected) in [
            (r#"{"inner": "x"}"#, "inner: expected an object, got a string"),
            (r#"{"inner": ["x"]}"#, "inner: expected an object, got a value out of range"),
            (r#"{"inner": {}}"#, "inner: the field `a` is missing"),
            (
                r#"{"inner": {"a": "", "b": 300}}"#,
                "inner.b: expected a whole number of at least 0, got a value out of range",
            ),
            (r#"{"list": {}}"#, "list: expected a list, got an object"),
            (r#"{"list": [1.5]}"#, "list[0]: expected a whole number of at least 0, got a number"),
            (r#"{"map": []}"#, "map: expected an object, got a list"),
            (r#"{"map": {"a": null}}"#, "map.a: expected a number, got null"),
            (r#"{"word": "high"}"#, "word: unknown word, expected `low`"),
            (r#"{"either": 7}"#, "either: it has none of the forms that are understood here"),
            (r#"{"flag": 1}"#, "flag: expected true or false, got a whole number"),
            ("[]", "the body is not a request: expected an object, got a value out of range"),
            ("7", "the body is not a request: expected an object, got a whole number"),
        ] {
            assert_eq!(read::<Body>(body.as_bytes()).unwrap_err().message, expected, "{body}");
        }
    }
}
