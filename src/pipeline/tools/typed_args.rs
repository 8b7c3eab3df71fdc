//! Converts the arguments of a call from the text in the markup to the types in the tool's JSON Schema.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// The arguments as the text of a JSON object: `values` by name, typed by the tool's `schema`.
///
/// Where the schema allows a string and nothing else, a value is that string, whatever it looks like. Where it
/// allows something else, a value that reads as such becomes it; where it allows both, only if it is written just
/// as JSON writes it. Where it says nothing, or the value fits nothing it says, a value is JSON if it parses as an
/// object or array and a string otherwise. A name given twice counts with its last value. Numbers keep their
/// digits, however many.
pub fn typed_args(values: &[(String, String)], schema: Option<&Value>) -> String {
    let root = schema.unwrap_or(&Value::Null);
    let schemas = Schemas::of(root);
    let places = schemas.nodes(&[root]);
    let last: HashMap<&str, usize> =
        values.iter().enumerate().map(|(at, (name, _))| (name.as_str(), at)).collect();
    let mut out = String::from("{");
    for (at, (name, text)) in values.iter().enumerate() {
        if last.get(name.as_str()) != Some(&at) {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&quoted(name));
        out.push(':');
        out.push_str(&schemas.typed(text, &schemas.property(&places, name)));
    }
    out.push('}');
    out
}

/// The names of the arguments that `schema` declares and of those that it requires.
pub fn declared_args(schema: Option<&Value>) -> (Vec<String>, Vec<String>) {
    let (mut declared, mut required) = (Vec::new(), Vec::new());
    let Some(root) = schema else { return (declared, required) };
    for node in Schemas::of(root).nodes(&[root]) {
        if let Some(Value::Object(properties)) = node.get("properties") {
            declared.extend(properties.keys().cloned());
        }
    }
    // Only what the schema itself requires: what one of several alternatives requires may be left out.
    if let Some(Value::Array(names)) = root.get("required") {
        required.extend(names.iter().filter_map(Value::as_str).map(String::from));
    }
    (declared, required)
}

/// `text` as a JSON string.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// JSON's types as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Types(u8);

impl Types {
    const STRING: Types = Types(1);
    const INTEGER: Types = Types(2);
    const NUMBER: Types = Types(4 | 2);
    const BOOLEAN: Types = Types(8);
    const NULL: Types = Types(16);
    const OBJECT: Types = Types(32);
    const ARRAY: Types = Types(64);

    fn named(name: &str) -> Types {
        match name {
            "string" => Types::STRING,
            "integer" => Types::INTEGER,
            "number" => Types::NUMBER,
            "boolean" => Types::BOOLEAN,
            "null" => Types::NULL,
            "object" => Types::OBJECT,
            "array" => Types::ARRAY,
            _ => Types(0),
        }
    }

    fn of(value: &Value) -> Types {
        match value {
            Value::Null => Types::NULL,
            Value::Bool(_) => Types::BOOLEAN,
            Value::Number(number) if number.is_f64() => Types::NUMBER,
            Value::Number(_) => Types::INTEGER,
            Value::String(_) => Types::STRING,
            Value::Array(_) => Types::ARRAY,
            Value::Object(_) => Types::OBJECT,
        }
    }

    fn has(self, types: Types) -> bool {
        self.0 & types.0 == types.0
    }

    fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }
}

/// What two keywords of one schema allow together; `None` says nothing.
fn both(one: Option<Types>, other: Option<Types>) -> Option<Types> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Types(one.0 & other.0)),
        (one, other) => one.or(other),
    }
}

/// How closely text must be written like JSON to be something else than a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Exactly: it may be meant as a string.
    Exact,
    /// As a person may write it: it cannot be meant as a string.
    Loose,
}

/// The most schemas inside schemas, and values inside an argument, that are followed by recursion: both come from
/// others, and a thread's stack is small.
const DEEPEST: usize = 64;

/// A schema with what its references point to.
struct Schemas<'s> {
    root: &'s Value,
    /// What may still be spent: references can multiply without end, and so can places with arguments.
    budget: Cell<usize>,
}

/// What it costs to look at a schema; a property or a value of an `enum` costs 1.
const VISIT: usize = 100;

impl<'s> Schemas<'s> {
    fn of(root: &'s Value) -> Schemas<'s> {
        Schemas { root, budget: Cell::new(20_000 * VISIT) }
    }

    /// `None` once all is spent.
    fn spend(&self, cost: usize) -> Option<()> {
        let left = self.budget.get().checked_sub(cost);
        self.budget.set(left.unwrap_or(0));
        left.map(drop)
    }

    fn resolve(&self, reference: &str) -> Option<&'s Value> {
        let pointer = reference.strip_prefix('#')?;
        self.root.pointer(pointer)
    }

    /// The types that `schema` allows; `None` if it does not say, or lies deeper than [`DEEPEST`]. `path` holds the
    /// reference of each schema that led here, empty for a branch.
    fn types(&self, schema: &'s Value, path: &mut Vec<&'s str>) -> Option<Types> {
        let map = schema.as_object().filter(|_| path.len() < DEEPEST)?;
        let listed = branches(map, "enum").len();
        self.spend(VISIT + listed)?;
        let mut rendered = match map.get("type") {
            Some(Value::String(name)) => Some(Types::named(name)),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                Some(names.fold(Types(0), |types, name| types.or(Types::named(name))))
            }
            _ if map.contains_key("properties") => Some(Types::OBJECT),
            _ if map.contains_key("items") => Some(Types::ARRAY),
            _ => None,
        };
        if map.get("nullable") == Some(&Value::Bool(true)) {
            rendered = rendered.map(|types| types.or(Types::NULL)); // OpenAPI's way
        }
        if let Some(Value::Array(values)) = map.get("enum") {
            rendered =
                both(rendered, Some(values.iter().fold(Types(0), |types, value| types.or(Types::of(value)))));
        }
        rendered = both(rendered, map.get("const").map(Types::of));
        if let Some(reference) = map.get("$ref").and_then(Value::as_str)
            && !path.contains(&reference)
            && let Some(target) = self.resolve(reference)
        {
            rendered = both(rendered, self.types_below(target, reference, path));
        }
        for part in branches(map, "allOf") {
            rendered = both(rendered, self.types_below(part, "", path));
        }
        for key in ["anyOf", "oneOf"] {
            let any = branches(map, key).map(|branch| self.types_below(branch, "", path));
            rendered = both(rendered, any.reduce(|one, other| Some(one?.or(other?))).flatten());
        }
        rendered
    }

    fn types_below(&self, schema: &'s Value, reference: &'s str, path: &mut Vec<&'s str>) -> Option<Types> {
        path.push(reference);
        let types = self.types(schema, path);
        path.pop();
        types
    }

    /// The types that any of `places` allows; `None` if none says.
    fn allowed(&self, places: &[&'s Value]) -> Option<Types> {
        places.iter().filter_map(|place| self.types(place, &mut Vec::new())).reduce(Types::or)
    }

    /// `places` and all that they refer to and are composed of, as plain schemas.
    fn nodes(&self, places: &[&'s Value]) -> Vec<&'s Map<String, Value>> {
        let (mut nodes, mut seen, mut open) = (Vec::new(), HashSet::new(), places.to_vec());
        while let Some(schema) = open.pop() {
            let (Some(map), Some(())) = (schema.as_object(), self.spend(VISIT)) else { continue };
            nodes.push(map);
            for key in ["allOf", "anyOf", "oneOf"] {
                open.extend(branches(map, key));
            }
            if let Some(reference) = map.get("$ref").and_then(Value::as_str)
                && seen.insert(reference)
            {
                open.extend(self.resolve(reference));
            }
        }
        nodes
    }

    /// The schemas that `nodes` have for the property `name`.
    fn property(&self, nodes: &[&'s Map<String, Value>], name: &str) -> Vec<&'s Value> {
        if self.spend(nodes.len()).is_none() {
            return Vec::new();
        }
        let own = nodes.iter().filter_map(|node| node.get("properties")?.get(name));
        let own: Vec<_> = own.collect();
        if own.is_empty() {
            nodes.iter().filter_map(|node| node.get("additionalProperties")).collect()
        } else {
            own
        }
    }

    /// The JSON that `text` stands for in a place described by `places`.
    fn typed(&self, text: &str, places: &[&'s Value]) -> String {
        let Some(allowed) = self.allowed(places) else { return untyped(text) };
        if !allowed.has(Types::STRING) {
            let read = self.read(text.trim(), allowed, places, Reading::Loose, 0);
            return read.unwrap_or_else(|| untyped(text));
        }
        let listed = listed_strings(&self.nodes(places));
        if let Some(exact) = [text, text.trim()].into_iter().find(|text| listed.contains(text)) {
            return quoted(exact);
        }
        self.read(text, allowed, places, Reading::Exact, 0).unwrap_or_else(|| quoted(text))
    }

    /// `text` as something else than a string, if `allowed` and if it reads as such. It stands `depth` levels inside an
    /// argument.
    fn read(
        &self,
        text: &str,
        allowed: Types,
        places: &[&'s Value],
        reading: Reading,
        depth: usize,
    ) -> Option<String> {
        let loose = reading == Reading::Loose;
        if allowed.has(Types::NULL) && (text == "null" || loose && matches!(text, "" | "None")) {
            return Some("null".into());
        }
        if allowed.has(Types::BOOLEAN) {
            for word in ["true", "false"] {
                if text == word || loose && text.eq_ignore_ascii_case(word) {
                    return Some(word.into());
                }
            }
        }
        if allowed.has(Types::INTEGER)
            && let Some(number) = read_number(text, allowed, reading)
        {
            return Some(number);
        }
        if allowed.has(Types::OBJECT) || allowed.has(Types::ARRAY) {
            let mut value = container(text).filter(|value| allowed.has(Types::of(value)))?;
            return Some(match self.mend(&mut value, places, depth) {
                Mended::No => text.trim().to_string(), // as it was written: long numbers stay exact
                Mended::Yes => value.to_string(),
            });
        }
        None
    }

    /// Gives what lies inside `value` the types of the schema where the model mixed up strings and the rest. What lies
    /// deeper than [`DEEPEST`] stays as it is: JSON in strings inside JSON has no other bound.
    fn mend(&self, value: &mut Value, places: &[&'s Value], depth: usize) -> Mended {
        let nodes = if depth < DEEPEST { self.nodes(places) } else { Vec::new() };
        if nodes.is_empty() {
            return Mended::No;
        }
        let depth = depth + 1;
        match value {
            Value::Object(map) => {
                let all =
                    map.iter_mut().map(|(name, value)| self.mend(value, &self.property(&nodes, name), depth));
                all.fold(Mended::No, Mended::or)
            }
            Value::Array(items) => {
                let items = items.iter_mut().enumerate();
                let all = items.map(|(at, item)| self.mend(item, &item_at(&nodes, at), depth));
                all.fold(Mended::No, Mended::or)
            }
            scalar => self.mend_scalar(scalar, places, depth),
        }
    }

    fn mend_scalar(&self, scalar: &mut Value, places: &[&'s Value], depth: usize) -> Mended {
        let Some(allowed) = self.allowed(places) else { return Mended::No };
        let mended = match scalar {
            Value::String(text) if !allowed.has(Types::STRING) => self
                .read(text.trim(), allowed, places, Reading::Loose, depth)
                .and_then(|json| serde_json::from_str(&json).ok()),
            Value::Number(_) | Value::Bool(_) if allowed == Types::STRING => {
                Some(Value::String(scalar.to_string()))
            }
            _ => None,
        };
        match mended {
            Some(value) => {
                *scalar = value;
                Mended::Yes
            }
            None => Mended::No,
        }
    }
}

/// Whether a value had to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mended {
    No,
    Yes,
}

impl Mended {
    fn or(self, other: Mended) -> Mended {
        if self == Mended::Yes { self } else { other }
    }
}

fn branches<'s>(map: &'s Map<String, Value>, key: &str) -> std::slice::Iter<'s, Value> {
    map.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice).iter()
}

/// The schemas that `nodes` have for the item at `at` of an array.
fn item_at<'s>(nodes: &[&'s Map<String, Value>], at: usize) -> Vec<&'s Value> {
    let item = |node: &&'s Map<String, Value>| {
        let first = node.get("prefixItems").and_then(|items| items.get(at));
        first.or_else(|| match node.get("items")? {
            Value::Array(items) => items.get(at),
            schema => Some(schema),
        })
    };
    nodes.iter().filter_map(item).collect()
}

/// The strings that `enum` and `const` list.
fn listed_strings<'s>(nodes: &[&'s Map<String, Value>]) -> Vec<&'s str> {
    let values = nodes.iter().flat_map(|node| branches(node, "enum").chain(node.get("const")));
    values.filter_map(Value::as_str).collect()
}

fn untyped(text: &str) -> String {
    if container(text).is_some() { text.trim().to_string() } else { quoted(text) }
}

/// `text` as a JSON object or array.
fn container(text: &str) -> Option<Value> {
    let text = text.trim();
    text.starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

/// `text` as the JSON of a number: its own digits where they are JSON.
fn read_number(text: &str, allowed: Types, reading: Reading) -> Option<String> {
    let loose = reading == Reading::Loose;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain && (digits == "0" || !digits.starts_with('0')) {
        return Some(text.into());
    }
    let whole = allowed.has(Types::NUMBER);
    if whole && is_json_number(text) && (loose || !text.contains(['e', 'E'])) {
        return Some(text.into());
    }
    if !loose || !text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return None;
    }
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    let exact = number.fract() == 0.0 && number.abs() < 9e15;
    match (exact, whole) {
        (true, _) => Some(format!("{number:.0}")),
        (false, true) => Some(Value::from(number).to_string()),
        (false, false) => None,
    }
}

fn is_json_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && text.ends_with(|last: char| last.is_ascii_digit())
        && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn one(schema: &Value, text: &str) -> String {
        let schema = json!({"type": "object", "properties": {"x": schema}, "$defs": {
            "Int": {"type": "integer"},
            "Loop": {"$ref": "#/$defs/Loop"},
            "Node": {"type": "object", "properties": {"n": {"type": "integer"}, "next": {"$ref": "#/$defs/Node"}}},
            "a/b": {"type": "boolean"},
        }});
        let args = typed_args(&[("x".into(), text.into())], Some(&schema));
        serde_json::from_str::<Value>(&args).unwrap();
        args.strip_prefix("{\"x\":").unwrap().strip_suffix('}').unwrap().to_string()
    }

    #[test]
    fn values_get_the_types_of_the_schema() {
        let maybe = |schema: &str| json!({"anyOf": [{"type": schema}, {"type": "null"}]});
        for (desc, schema, text, json) in [
            ("integer", json!({"type": "integer"}), " 42\n", "42"),
            ("negative", json!({"type": "integer"}), "-7", "-7"),
            (
                "long",
                json!({"type": "integer"}),
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
            ("integer as a float", json!({"type": "integer"}), "5.0", "5"),
            ("integer with zeros", json!({"type": "integer"}), "007", "7"),
            ("integer that is none", json!({"type": "integer"}), "5.5", "\"5.5\""),
            ("integer that is a word", json!({"type": "integer"}), " many ", "\" many \""),
            ("integer beyond reach", json!({"type": "integer"}), "1e400", "\"1e400\""),
            ("number", json!({"type": "number"}), "0.10", "0.10"),
            ("number as an integer", json!({"type": "number"}), "3", "3"),
            ("number with exponent", json!({"type": "number"}), "1e-7", "1e-7"),
            ("number written short", json!({"type": "number"}), "+.5", "0.5"),
            ("no number", json!({"type": "number"}), "NaN", "\"NaN\""),
            ("boolean", json!({"type": "boolean"}), "true", "true"),
            ("boolean in Python", json!({"type": "boolean"}), " False", "false"),
            ("null", json!({"type": "null"}), "null", "null"),
            ("string like a number", json!({"type": "string"}), "0042", "\"0042\""),
            ("string like a boolean", json!({"type": "string"}), "true", "\"true\""),
            ("string like null", json!({"type": "string"}), "null", "\"null\""),
            ("string like JSON", json!({"type": "string"}), "{\"a\":1}", "\"{\\\"a\\\":1}\""),
            ("string with white space", json!({"type": "string"}), "  a\n", "\"  a\\n\""),
            ("empty string", json!({"type": "string"}), "", "\"\""),
            ("array", json!({"type": "array"}), "\n[1, \"a\"]\n", "[1, \"a\"]"),
            ("array that is none", json!({"type": "array"}), "a", "\"a\""),
            ("object", json!({"type": "object"}), "{\"a\": 1.50}", "{\"a\": 1.50}"),
            ("object where an array is wanted", json!({"type": "array"}), "{}", "{}"),
            ("implied object", json!({"properties": {}}), "{}", "{}"),
            ("list of types", json!({"type": ["integer", "null"]}), "null", "null"),
            ("list of types, empty", json!({"type": ["integer", "null"]}), "", "null"),
            ("anyOf", maybe("integer"), "3", "3"),
            ("anyOf null", maybe("string"), "null", "null"),
            ("anyOf string", maybe("string"), "3", "\"3\""),
            ("anyOf empty string", maybe("string"), "", "\"\""),
            ("nullable", json!({"type": "boolean", "nullable": true}), "null", "null"),
            ("string or number", json!({"type": ["string", "number"]}), "4.5", "4.5"),
            ("string or number, zeros", json!({"type": ["string", "integer"]}), "0123", "\"0123\""),
            ("string or number, blanks", json!({"type": ["string", "integer"]}), " 1", "\" 1\""),
            ("string or number, exponent", json!({"type": ["string", "number"]}), "1e5", "\"1e5\""),
            ("string or array", json!({"type": ["string", "array"]}), "[1]", "[1]"),
            ("string or array, broken", json!({"type": ["string", "array"]}), "[1", "\"[1\""),
            ("anyOf with anything", json!({"anyOf": [{"type": "integer"}, {}]}), "3", "\"3\""),
            ("oneOf", json!({"oneOf": [{"type": "boolean"}, {"type": "integer"}]}), "1", "1"),
            (
                "allOf narrows",
                json!({"allOf": [{"type": ["string", "integer"]}, {"type": "string"}]}),
                "1",
                "\"1\"",
            ),
            ("allOf with a remark", json!({"allOf": [{"$ref": "#/$defs/Int"}, {"title": "T"}]}), "1", "1"),
            ("$ref", json!({"$ref": "#/$defs/Int"}), "1", "1"),
            ("$ref with an escape", json!({"$ref": "#/$defs/a~1b"}), "true", "true"),
            ("$ref to nothing", json!({"$ref": "#/$defs/None"}), "1", "\"1\""),
            ("$ref elsewhere", json!({"$ref": "https://example.com/a"}), "1", "\"1\""),
            ("$ref to itself", json!({"$ref": "#/$defs/Loop"}), "1", "\"1\""),
            ("enum", json!({"enum": ["a", "b"]}), "\nb ", "\"b\""),
            ("enum like a number", json!({"enum": ["1", "2"]}), "1", "\"1\""),
            ("enum of integers", json!({"enum": [1, 2]}), "2", "2"),
            ("enum of all sorts", json!({"enum": ["auto", "3", 4, null]}), "3", "\"3\""),
            ("enum of all sorts, number", json!({"enum": ["auto", "3", 4, null]}), "4", "4"),
            ("enum of all sorts, null", json!({"enum": ["auto", "3", 4, null]}), "null", "null"),
            ("const", json!({"const": 5}), "5", "5"),
            ("nothing said, word", json!({}), "7", "\"7\""),
            ("nothing said, object", json!({"description": "d"}), " {\"a\":[]} ", "{\"a\":[]}"),
            ("nothing said, array", json!(true), "[1,2]", "[1,2]"),
            ("nothing said, broken", json!({}), "{a}", "\"{a}\""),
            ("an unknown type", json!({"type": "date"}), "7", "\"7\""),
            (
                "items as strings",
                json!({"type": "array", "items": {"type": "integer"}}),
                "[\"1\",2]",
                "[1,2]",
            ),
            (
                "items by place",
                json!({"type": "array", "prefixItems": [{"type": "string"}]}),
                "[1,2]",
                "[\"1\",2]",
            ),
            (
                "nested",
                json!({"$ref": "#/$defs/Node"}),
                "{\"n\":\"1\",\"next\":{\"n\":\"2\"}}",
                "{\"n\":1,\"next\":{\"n\":2}}",
            ),
            (
                "JSON in a string in JSON",
                json!({"$ref": "#/$defs/Node"}),
                "{\"next\":\"{}\"}",
                "{\"next\":{}}",
            ),
            (
                "extra names",
                json!({"type": "object", "additionalProperties": {"type": "integer"}}),
                "{\"a\":\"1\"}",
                "{\"a\":1}",
            ),
            (
                "nested digits stay",
                json!({"type": "object"}),
                "{\"a\":12345678901234567890123}",
                "{\"a\":12345678901234567890123}",
            ),
        ] {
            assert_eq!(one(&schema, text), json, "{desc}");
        }
    }

    #[test]
    fn arguments_are_collected_by_name() {
        let given =
            [("a", "1"), ("b", "2"), ("a", "3"), ("q\"", "")].map(|(name, text)| (name.into(), text.into()));
        let schema = json!({"allOf": [{"properties": {"a": {"type": "integer"}}}], "$ref": "#/definitions/B",
            "definitions": {"B": {"properties": {"b": {"type": "number"}}}}, "required": ["a"]});
        assert_eq!(typed_args(&given, Some(&schema)), r#"{"b":2,"a":3,"q\"":""}"#);
        assert_eq!(typed_args(&given, None), r#"{"b":"2","a":"3","q\"":""}"#);
        assert_eq!(typed_args(&[], None), "{}");
        assert_eq!(declared_args(Some(&schema)), (vec!["b".into(), "a".into()], vec!["a".into()]));
    }

    #[test]
    fn references_that_multiply_come_to_an_end() {
        let mut defs = Map::new();
        for at in 0..40 {
            let next = json!({"$ref": format!("#/$defs/{}", at + 1)});
            defs.insert(at.to_string(), json!({"anyOf": [next, next]}));
        }
        let schema = json!({"properties": {"x": {"$ref": "#/$defs/0"}}, "$defs": defs});
        assert_eq!(typed_args(&[("x".into(), "1".into())], Some(&schema)), r#"{"x":"1"}"#);
    }

    #[test]
    fn nothing_that_others_nest_overflows_a_small_stack() {
        const CHAIN: usize = 15_000;
        let link = |at: usize, key: &str| match key {
            "$ref" => json!({"$ref": format!("#/$defs/{at}")}),
            key => json!({key: [{"$ref": format!("#/$defs/{at}")}]}),
        };
        let chained = move |key: &str| {
            let defs: Map<_, _> = (0..CHAIN).map(|at| (at.to_string(), link(at + 1, key))).collect();
            json!({"properties": {"x": {"$ref": "#/$defs/0"}}, "$defs": defs})
        };
        let circle = json!({"type": ["array", "object"], "items": {"$ref": "#/$defs/a"}});
        let circle = json!({"properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"a": circle}});
        // each string holds JSON that is nested in turn
        let nested = |text: &str| format!("{}{}{}", "[".repeat(120), quoted(text), "]".repeat(120));
        let nested = (0..12).fold("[]".to_owned(), |text, _| nested(&text));
        let run = move || {
            let values = [("x".to_owned(), "[1]".to_owned())];
            for key in ["$ref", "anyOf", "oneOf", "allOf"] {
                let schema = chained(key);
                assert_eq!(typed_args(&values, Some(&schema)), r#"{"x":[1]}"#, "{key}");
                declared_args(Some(&schema));
            }
            assert!(typed_args(&[("x".to_owned(), nested)], Some(&circle)).starts_with("{\"x\":[[["));
        };
        let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap();
        assert!(thread.join().is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_some_json(text in "(\\{|\\}|\\[|\\]|\"|:|,|[0-9]|-|e|\\.|null|true| |a){0,10}") {
            for kind in ["string", "integer", "number", "boolean", "null", "array", "object"] {
                let json = one(&json!({"type": kind}), &text);
                prop_assert!(kind != "string" || json == quoted(&text));
            }
            one(&json!({}), &text);
        }
    }
}
