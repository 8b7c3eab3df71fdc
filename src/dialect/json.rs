//! Bodies as JSON, with errors that name the field.

use serde::de::DeserializeOwned;

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

fn malformed(error: serde_path_to_error::Error<serde_json::Error>) -> Error {
    let path = error.path().to_string();
    let inner = error.into_inner();
    if inner.is_syntax() || inner.is_eof() {
        return Error::new(Kind::InvalidRequest, format!("the body is not valid JSON: {inner}"));
    }
    match path.as_str() {
        "." => Error::new(Kind::InvalidRequest, format!("the body is not a request: {inner}")),
        path => Error::invalid(path, format!("{path}: {inner}")),
    }
}
