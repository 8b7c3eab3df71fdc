//! Numbers as clients write them: `150`, `150.0` and `"150"` are the same, `null` is absent, `-1` is no limit.

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

/// A limit: a whole number of at least 0. `-1` stands for no limit.
pub fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    limit_of(&Value::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// The same of a value that has been read; the error says what was expected.
pub fn limit_of(value: &Value) -> Result<Option<u64>, String> {
    match whole(value)? {
        None | Some(-1) => Ok(None),
        Some(number) => u64::try_from(number)
            .map(Some)
            .map_err(|_| format!("expected a whole number of at least 0 (or -1 for no limit), got {number}")),
    }
}

/// A count: a whole number of at least 0.
pub fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = whole(&Value::deserialize(deserializer)?).map_err(de::Error::custom)?;
    let fault = |number| de::Error::custom(format!("expected a whole number of at least 0, got {number}"));
    number.map(|number| u64::try_from(number).map_err(|_| fault(number))).transpose()
}

/// A whole number of either sign.
pub fn signed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    whole(&Value::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// Any number.
pub fn real<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    real_of(&Value::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn real_of(value: &Value) -> Result<Option<f64>, String> {
    let fault = || format!("expected a number, got {}", name_of(value));
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => number.as_f64().map(Some).ok_or_else(fault),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => {
            let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
            number.map(Some).ok_or_else(fault)
        }
        _ => Err(fault()),
    }
}

fn whole(value: &Value) -> Result<Option<i64>, String> {
    /// Up to here every whole number is a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let exact = match value {
        Value::Number(number) => number.as_i64().or(number.as_u64().map(|_| i64::MAX)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    if exact.is_some() {
        return Ok(exact);
    }
    match real_of(value) {
        Ok(None) => Ok(None),
        Ok(Some(number)) if number.fract() == 0.0 && number.abs() <= EXACT => Ok(Some(number as i64)),
        Ok(Some(_)) => Err("expected a whole number, got one with a fraction or out of range".to_owned()),
        Err(_) => Err(format!("expected a whole number, got {}", name_of(value))),
    }
}

/// What kind of value it is, in words.
fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "another number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_number_in_all_its_spellings() {
        for value in [json!(150), json!(150.0), json!(1.5e2), json!("150"), json!(" 150.0 ")] {
            assert_eq!(limit_of(&value), Ok(Some(150)), "{value}");
            assert_eq!(real_of(&value), Ok(Some(150.0)), "{value}");
        }
        for value in [json!(null), json!(-1), json!(-1.0), json!("-1"), json!("")] {
            assert_eq!(limit_of(&value), Ok(None), "{value}");
        }
        for value in [
            json!(1.5),
            json!("1.5"),
            json!("many"),
            json!(-2),
            json!([]),
            json!({}),
            json!(true),
            json!(1e300),
        ] {
            let fault = limit_of(&value).unwrap_err();
            assert!(fault.contains("whole number"), "{value}: {fault}");
        }
        assert_eq!(whole(&json!(u64::MAX)), Ok(Some(i64::MAX)));
        assert_eq!(whole(&json!(-7.0)), Ok(Some(-7)));
        assert!(real_of(&json!("inf")).is_err() && real_of(&json!("0.7")) == Ok(Some(0.7)));
    }
}
