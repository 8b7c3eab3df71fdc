//! Tool definitions as clients of every dialect write them: flat or nested, the schema under any of its names.

use serde_json::{Map, Value, json};

use super::custom;
use crate::error::{Error, Result};
use crate::pipeline::Tool;

/// The names that a schema of arguments has.
const SCHEMAS: [&str; 4] = ["parameters", "input_schema", "inputSchema", "parameters_json_schema"];

/// The function that `raw`, which stands at `path`, defines.
pub fn function(path: &str, raw: &Value) -> Result<Tool> {
    let (path, raw) = nested(path, raw, "function");
    let (name, description) = head(&path, raw)?;
    let found = SCHEMAS
        .iter()
        .find_map(|name| raw.get(name).filter(|value| !value.is_null()).map(|value| (name, value)));
    let parameters = match found {
        Some((name, value)) => Some(schema(&format!("{path}.{name}"), value)?),
        None => None,
    };
    Ok(Tool { name, description, parameters })
}

/// The tool of plain text that `raw`, which stands at `path`, defines, and its format.
pub fn plain_text<'v>(path: &str, raw: &'v Value) -> Result<(Tool, Option<&'v Value>)> {
    let (path, raw) = nested(path, raw, "custom");
    let (name, description) = head(&path, raw)?;
    let format = raw.get("format").filter(|format| !format.is_null());
    Ok((custom::offer(name, description, format), format))
}

/// A tool and where it stands: Chat Completions has its fields one level deeper than the other dialects, and clients of
/// each write both.
fn nested<'v>(path: &str, raw: &'v Value, kind: &str) -> (String, &'v Value) {
    match raw.get(kind).filter(|inner| inner.is_object()) {
        Some(inner) => (format!("{path}.{kind}"), inner),
        None => (path.to_owned(), raw),
    }
}

fn head(path: &str, raw: &Value) -> Result<(String, Option<String>)> {
    if !raw.is_object() {
        return Err(Error::invalid(path, format!("{path}: expected an object")));
    }
    let text = |field: &str| match raw.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => {
            let param = format!("{path}.{field}");
            Err(Error::invalid(&param, format!("{param}: expected a string")))
        }
    };
    let param = format!("{path}.name");
    let name = text("name")?.ok_or_else(|| Error::invalid(&param, format!("{param} is missing")))?;
    match name.is_empty() {
        true => Err(Error::invalid(&param, format!("{param} is empty"))),
        false => Ok((name, text("description")?)),
    }
}

/// The schema of arguments at `path` as JSON Schema has it: languages in which an empty object is an empty list, and
/// clients that write every field that they know, mean an object without properties.
pub fn schema(path: &str, raw: &Value) -> Result<Value> {
    let mut schema = match raw {
        Value::Object(members) => members.clone(),
        Value::Array(items) if items.is_empty() => Map::new(),
        _ => return Err(Error::invalid(path, format!("{path} must be an object: a JSON Schema"))),
    };
    let is_bare = schema.get("type").is_some_and(Value::is_null) || raw.is_array();
    mend(&mut schema);
    if is_bare {
        schema.insert("type".into(), "object".into());
    }
    if raw.is_array() {
        schema.insert("properties".into(), json!({}));
    }
    Ok(schema.into())
}

/// Mends a schema and those inside it. Nesting is limited where requests are received.
fn mend(schema: &mut Map<String, Value>) {
    if schema.get("type").is_some_and(Value::is_null) {
        schema.remove("type");
    }
    if schema.get("required").is_some_and(|required| !required.is_array() && !required.is_boolean()) {
        schema.remove("required");
    }
    for field in ["properties", "$defs", "definitions", "patternProperties"] {
        match schema.get_mut(field) {
            Some(Value::Object(members)) => {
                members.values_mut().filter_map(Value::as_object_mut).for_each(mend)
            }
            Some(other) if field == "properties" => *other = json!({}),
            Some(_) => drop(schema.remove(field)),
            None => {}
        }
    }
    for field in ["items", "additionalProperties", "not", "anyOf", "oneOf", "allOf", "prefixItems"] {
        match schema.get_mut(field) {
            Some(Value::Object(inner)) => mend(inner),
            Some(Value::Array(inner)) => inner.iter_mut().filter_map(Value::as_object_mut).for_each(mend),
            Some(Value::Null) => drop(schema.remove(field)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_that_are_not_quite_are_objects() {
        let empty = json!({"type": "object", "properties": {}});
        for raw in [
            json!([]),
            json!({"type": "object", "properties": []}),
            json!({"type": "object", "properties": null}),
            json!({"type": null, "properties": [], "required": null}),
            json!({"type": "object", "properties": false, "required": {}, "$defs": [], "items": null}),
        ] {
            assert_eq!(schema("p", &raw).unwrap(), empty, "{raw}");
        }
        let inner = json!({"type": "object", "properties": {"required": {"type": null, "properties": []},
            "list": {"type": "array", "items": {"type": "object", "properties": [], "required": null}}}});
        let mended = json!({"type": "object", "properties": {"required": {"properties": {}},
            "list": {"type": "array", "items": {"type": "object", "properties": {}}}}});
        assert_eq!(schema("p", &inner).unwrap(), mended);
        for right in [json!({}), json!({"$ref": "#/$defs/a", "$defs": {"a": {"required": ["x"]}}}), mended] {
            assert_eq!(schema("p", &right).unwrap(), right);
        }
        for wrong in [json!(7), json!("{}"), json!([1]), json!(true)] {
            assert_eq!(schema("p", &wrong).unwrap_err().param.as_deref(), Some("p"));
        }
    }

    #[test]
    fn a_function_in_every_spelling() {
        let schema = json!({"type": "object", "properties": {"a": {}}});
        for raw in [
            json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}),
            json!({"function": {"name": "f", "description": "d", "input_schema": schema, "parameters": null}}),
            json!({"type": "function", "name": "f", "description": "d", "parameters": schema}),
            json!({"name": "f", "description": "d", "input_schema": schema, "parameters": null}),
            json!({"name": "f", "description": "d", "inputSchema": schema, "function": null}),
        ] {
            let tool = function("tools[0]", &raw).unwrap();
            let expected = ("f", Some("d"), Some(&schema));
            assert_eq!(
                (tool.name.as_str(), tool.description.as_deref(), tool.parameters.as_ref()),
                expected,
                "{raw}"
            );
        }
        for (raw, param) in [
            (json!({"function": {"name": 7}}), "t.function.name"),
            (json!({"function": {}}), "t.function.name"),
            (json!({"name": ""}), "t.name"),
            (json!({"name": "f", "description": []}), "t.description"),
            (json!({"name": "f", "input_schema": "x"}), "t.input_schema"),
            (json!([]), "t"),
        ] {
            assert_eq!(function("t", &raw).unwrap_err().param.as_deref(), Some(param), "{raw}");
        }
    }
}
