//! Parses request bodies as JSON, with errors that name the field.

use serde::Deserialize;
use serde::de::DeserializeOwned;
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

/// Serde's message without the value that it found, which may be long and private.
pub fn without_value(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message };
    // `invalid type: string "…"`, `unknown variant `…``
    let end = found.find(['"', '`']).unwrap_or(found.len());
    format!("{}, expected {expected}", found[..end].trim_end())
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
}
