//! Generates a value that fits a JSON Schema, from the user's message where it contains one, else by type.

use serde_json::{Map, Number, Value, json};

/// Deeper than any sensible schema; ends schemas that contain themselves.
const DEEPEST: usize = 8;

/// A value that fits `schema`. `words` may hold `name=value` or `name="a value"` for properties.
pub fn fitting(schema: &Value, words: &str) -> Value {
    Sampler { root: schema, words }.value(schema, None, 0)
}

/// What `words` give for `name`, written `name=value` or `name="a value"`.
pub fn named<'w>(words: &'w str, name: &str) -> Option<&'w str> {
    let mark = format!("{name}=");
    let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let (at, _) = words.match_indices(&mark).find(|(at, _)| !words[..*at].ends_with(inside))?;
    let rest = &words[at + mark.len()..];
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => Some(rest.split_whitespace().next().unwrap_or("").trim_end_matches([',', '.', ';'])),
    }
}

struct Sampler<'s> {
    root: &'s Value,
    words: &'s str,
}

impl Sampler<'_> {
    fn value(&self, schema: &Value, name: Option<&str>, depth: usize) -> Value {
        if depth > DEEPEST {
            return Value::Null;
        }
        let rendered = name.and_then(|name| named(self.words, name));
        if let Some(inner) = self.inner(schema) {
            return self.value(inner, name, depth + 1);
        }
        if let Some(rendered) = rendered {
            return typed(rendered, kind(schema));
        }
        for fixed in ["const", "default"] {
            if let Some(value) = schema.get(fixed) {
                return value.clone();
            }
        }
        if let Some(first) = schema["enum"].get(0) {
            return first.clone();
        }
        self.by_type(schema, depth)
    }

    /// The schema that stands behind a reference or is the first of several choices.
    fn inner<'a>(&'a self, schema: &'a Value) -> Option<&'a Value> {
        if let Some(path) = schema["$ref"].as_str() {
            return self.root.pointer(path.strip_prefix('#')?);
        }
        let choices = ["anyOf", "oneOf", "allOf"].iter().find_map(|word| schema[word].as_array())?;
        choices.iter().find(|choice| choice["type"] != "null").or(choices.first())
    }

    fn by_type(&self, schema: &Value, depth: usize) -> Value {
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => {
                let least = schema["minItems"].as_u64().unwrap_or(1).min(16);
                (0..least.max(1)).map(|_| self.value(&schema["items"], None, depth + 1)).collect()
            }
            "integer" => bounded(schema, 1.0).as_f64().map_or(json!(1), |number| json!(number as i64)),
            "number" => bounded(schema, 1.5),
            "boolean" => Value::Bool(true),
            "null" => Value::Null,
            _ => Value::String(sample_text(schema)),
        }
    }

    /// Every required property, and each other one that the words name or, without `required`, that exists.
    fn object(&self, schema: &Value, depth: usize) -> Value {
        let required = schema["required"].as_array();
        let wanted = |name: &str| match required {
            Some(names) => names.iter().any(|one| one == name) || named(self.words, name).is_some(),
            // A schema that contains itself in many places would grow beyond bounds.
            None => depth <= DEEPEST / 2,
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        let chosen = properties.filter(|(name, _)| wanted(name));
        let pairs = chosen.map(|(name, inner)| (name.clone(), self.value(inner, Some(name), depth + 1)));
        Value::Object(pairs.collect::<Map<_, _>>())
    }
}

/// The one type that a schema asks for; of several the first that is not `null`.
pub fn kind(schema: &Value) -> &str {
    let listed = || schema["type"].as_array()?.iter().filter_map(Value::as_str).find(|kind| *kind != "null");
    match schema["type"].as_str().or_else(listed) {
        Some(kind) => kind,
        None if schema.get("properties").is_some() => "object",
        None if schema.get("items").is_some() => "array",
        None => "string",
    }
}

/// `rendered` read as `kind`; what cannot be read so stays text.
fn typed(rendered: &str, kind: &str) -> Value {
    match kind {
        "string" => rendered.into(),
        _ => serde_json::from_str(rendered).unwrap_or_else(|_| rendered.into()),
    }
}

fn bounded(schema: &Value, preferred: f64) -> Value {
    let least = schema["minimum"].as_f64().or(schema["exclusiveMinimum"].as_f64().map(|bound| bound + 1.0));
    let most = schema["maximum"].as_f64().or(schema["exclusiveMaximum"].as_f64().map(|bound| bound - 1.0));
    let number = preferred.max(least.unwrap_or(preferred)).min(most.unwrap_or(f64::MAX));
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// What a string of each `format` looks like.
const FORMATS: &[(&str, &str)] = &[
    ("date", "2026-01-31"),
    ("time", "12:00:00Z"),
    ("date-time", "2026-01-31T12:00:00Z"),
    ("email", "cat@example.com"),
    ("uri", "https://example.com/"),
    ("uuid", "00000000-0000-4000-8000-000000000000"),
];

fn sample_text(schema: &Value) -> String {
    let format = FORMATS.iter().find(|(format, _)| schema["format"] == *format);
    let mut text = format.map_or("sample", |(_, text)| text).to_string();
    let least = schema["minLength"].as_u64().unwrap_or(0).min(1000) as usize;
    while text.len() < least {
        text.push('x');
    }
    let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
    text.chars().take(usize::try_from(most).unwrap_or(usize::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fill_the_properties_they_name() {
        let schema = json!({"type": "object", "properties": {
            "city": {"type": "string"}, "days": {"type": "integer"}, "zip": {"type": "string"},
            "exact": {"type": "boolean"}, "spare": {"type": "string"}}, "required": ["city"]});
        let words = r#"weather for city="New York", days=3 zip=00501. exact=false electricity=no"#;
        let expected = json!({"city": "New York", "days": 3, "zip": "00501", "exact": false});
        assert_eq!(fitting(&schema, words), expected);
    }

    #[test]
    fn the_rest_is_made_by_type() {
        let schema = json!({"type": "object", "properties": {
            "a": {"enum": ["x", "y"]}, "b": {"type": "integer", "minimum": 5}, "c": {"type": ["null", "number"]},
            "d": {"type": "array", "items": {"$ref": "#/$defs/Point"}, "minItems": 2},
            "e": {"anyOf": [{"type": "null"}, {"type": "boolean"}]}, "f": {"type": "string", "format": "date"},
            "g": {"default": 7}, "h": {"const": "k"}},
            "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "number"}}}}});
        assert_eq!(
            fitting(&schema, ""),
            json!({"a": "x", "b": 5, "c": 1.5, "d": [{"x": 1.5}, {"x": 1.5}],
            "e": true, "f": "2026-01-31", "g": 7, "h": "k"})
        );
    }

    #[test]
    fn a_schema_that_contains_itself_ends() {
        let schema = json!({"$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
            "$ref": "#/$defs/Node"});
        assert!(fitting(&schema, "").is_object());
        assert_eq!(fitting(&json!({}), ""), json!("sample"));
        assert_eq!(fitting(&json!({"type": "object"}), ""), json!({}));
    }
}
