//! Checks JSON against the part of JSON Schema that clients send with their requests.
//!
//! Judged: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `minProperties`,
//! `maxProperties`, `items`, `prefixItems`, `minItems`, `maxItems`, `uniqueItems`, `minimum`, `maximum`,
//! `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf`, `minLength`, `maxLength`, `anyOf`, `oneOf`, `allOf`, `not`,
//! and `$ref` within the same schema. Not judged: `pattern` and `patternProperties` (a regex engine is a large
//! thing to carry, and names that only a pattern allows pass), `format`, conditionals, and references to other
//! documents. What is not judged passes: a good answer is never refused for a rule that is not understood.
//!
//! The validator crates bring a hundred dependencies each, a regex engine and Unicode tables among them.

use std::fmt;

use serde_json::{Map, Number, Value};

/// The first rule that a value breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// JSON Pointer to the place in the value; empty means all of it.
    pub pointer: String,
    /// What is wrong there; the rule's keyword stands in brackets at the end.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => write!(f, "at the root: {}", self.message),
            pointer => write!(f, "at {pointer}: {}", self.message),
        }
    }
}

/// Checks `value` against `schema`.
pub fn check(value: &Value, schema: &Value) -> Result<(), Fault> {
    let mut checker = Checker { root: schema, path: Vec::new(), depth: 0, steps: 0 };
    let result = checker.value(value, schema);
    // `not` turns faults around, so the end of patience is asked for by itself.
    if checker.steps > MOST_STEPS {
        return Err(Fault { pointer: String::new(), message: "the schema takes too long to check".into() });
    }
    result
}

/// A schema comes from a client and may branch without end: after this many steps the check gives up.
const MOST_STEPS: usize = 200_000;

/// The most schemas inside schemas; a level of JSON takes up to three (`items`, `anyOf`, `$ref`). Bounded because
/// the check recurses, and a thread's stack is small.
const DEEPEST: usize = 128;

struct Checker<'a> {
    root: &'a Value,
    path: Vec<Place<'a>>,
    depth: usize,
    steps: usize,
}

enum Place<'a> {
    Name(&'a str),
    Index(usize),
}

type Checked = Result<(), Fault>;

impl<'a> Checker<'a> {
    fn value(&mut self, value: &'a Value, schema: &'a Value) -> Checked {
        self.steps += 1;
        if self.depth >= DEEPEST || self.steps > MOST_STEPS {
            return self.fault("this is too deep, or the schema refers to itself without end [$ref]");
        }
        self.depth += 1;
        let result = match schema {
            Value::Object(rules) => self.rules(value, rules),
            Value::Bool(false) => self.fault("nothing is allowed here [false]"),
            _ => Ok(()),
        };
        self.depth -= 1;
        result
    }

    fn rules(&mut self, value: &'a Value, rules: &'a Map<String, Value>) -> Checked {
        self.reference(value, rules)?;
        self.kind(value, rules)?;
        self.constant(value, rules)?;
        match value {
            Value::Number(number) => self.number(number, rules)?,
            Value::String(text) => self.string(text, rules)?,
            Value::Array(items) => self.array(items, rules)?,
            Value::Object(members) => self.object(members, rules)?,
            Value::Null | Value::Bool(_) => {}
        }
        self.all(value, rules)?;
        self.any(value, rules)?;
        self.one(value, rules)?;
        self.not(value, rules)
    }

    fn reference(&mut self, value: &'a Value, rules: &'a Map<String, Value>) -> Checked {
        let Some(Value::String(reference)) = rules.get("$ref") else { return Ok(()) };
        let Some(pointer) = reference.strip_prefix('#') else { return Ok(()) };
        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy();
        match self.root.pointer(&pointer) {
            Some(schema) => self.value(value, schema),
            None if pointer.starts_with('/') => {
                self.fault(&format!("the schema has nothing at {reference:?} [$ref]"))
            }
            None => Ok(()), // an anchor
        }
    }

    fn kind(&self, value: &Value, rules: &Map<String, Value>) -> Checked {
        let fits = |kind: &Value| kind.as_str().is_none_or(|kind| is_a(value, kind));
        let (fine, wanted) = match rules.get("type") {
            Some(Value::Array(kinds)) => {
                let names: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
                (kinds.iter().any(fits), names.join(" or "))
            }
            Some(kind @ Value::String(name)) => (fits(kind), name.clone()),
            _ => return Ok(()),
        };
        self.ensure(fine, || format!("must be of type {wanted}, is {} [type]", name_of(value)))
    }

    fn constant(&mut self, value: &Value, rules: &Map<String, Value>) -> Checked {
        if let Some(wanted) = rules.get("const") {
            self.ensure(same(value, wanted), || format!("must be {wanted} [const]"))?;
        }
        if let Some(Value::Array(allowed)) = rules.get("enum") {
            self.steps += allowed.len();
            let listed = || Value::Array(allowed.clone());
            self.ensure(allowed.iter().any(|one| same(value, one)), || {
                format!("must be one of {} [enum]", listed())
            })?;
        }
        Ok(())
    }

    fn number(&self, number: &Number, rules: &Map<String, Value>) -> Checked {
        for (rule, bound, what) in bounds(rules) {
            let fine = match what {
                Bound::Least => !less(number, bound),
                Bound::Most => !less(bound, number),
                Bound::Above => less(bound, number),
                Bound::Below => less(number, bound),
            };
            self.ensure(fine, || format!("{number} must be {} {bound} [{rule}]", what.words()))?;
        }
        if let Some(Value::Number(step)) = rules.get("multipleOf") {
            self.ensure(is_multiple(number, step), || {
                format!("{number} is no multiple of {step} [multipleOf]")
            })?;
        }
        Ok(())
    }

    fn string(&self, text: &str, rules: &Map<String, Value>) -> Checked {
        if !rules.contains_key("minLength") && !rules.contains_key("maxLength") {
            return Ok(());
        }
        self.amount(text.chars().count(), "characters", rules, ["minLength", "maxLength"])
    }

    fn array(&mut self, items: &'a [Value], rules: &'a Map<String, Value>) -> Checked {
        self.amount(items.len(), "items", rules, ["minItems", "maxItems"])?;
        // Older drafts write the list of `prefixItems` into `items`, and what follows it into `additionalItems`.
        let (first, rest) = match rules.get("items") {
            Some(Value::Array(first)) => (first.as_slice(), rules.get("additionalItems")),
            rest => (rules.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice), rest),
        };
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or(rest) {
                self.inside(Place::Index(index), item, schema)?;
            }
        }
        self.unique(items, rules)
    }

    fn unique(&mut self, items: &[Value], rules: &Map<String, Value>) -> Checked {
        if rules.get("uniqueItems") != Some(&Value::Bool(true)) {
            return Ok(());
        }
        for (index, item) in items.iter().enumerate() {
            self.steps += index;
            if self.steps > MOST_STEPS {
                break;
            }
            let duplicate_key = items[..index].iter().position(|earlier| same(earlier, item));
            self.ensure(duplicate_key.is_none(), || {
                format!("items {} and {index} are the same [uniqueItems]", duplicate_key.unwrap_or_default())
            })?;
        }
        Ok(())
    }

    fn object(&mut self, members: &'a Map<String, Value>, rules: &'a Map<String, Value>) -> Checked {
        for name in rules.get("required").and_then(Value::as_array).into_iter().flatten() {
            if let Value::String(name) = name {
                self.ensure(members.contains_key(name), || format!("{name:?} is missing [required]"))?;
            }
        }
        self.amount(members.len(), "members", rules, ["minProperties", "maxProperties"])?;
        let known = rules.get("properties").and_then(Value::as_object);
        for (name, member) in members {
            match known.and_then(|known| known.get(name)) {
                Some(schema) => self.inside(Place::Name(name), member, schema)?,
                None => self.additional(name, member, rules)?,
            }
        }
        Ok(())
    }

    fn additional(&mut self, name: &'a str, member: &'a Value, rules: &'a Map<String, Value>) -> Checked {
        if rules.contains_key("patternProperties") {
            return Ok(()); // a pattern may allow it
        }
        match rules.get("additionalProperties") {
            Some(Value::Bool(false)) => {
                self.fault(&format!("{name:?} is not allowed [additionalProperties]"))
            }
            Some(schema) => self.inside(Place::Name(name), member, schema),
            None => Ok(()),
        }
    }

    fn all(&mut self, value: &'a Value, rules: &'a Map<String, Value>) -> Checked {
        alternatives(rules, "allOf").iter().try_for_each(|schema| self.value(value, schema))
    }

    fn any(&mut self, value: &'a Value, rules: &'a Map<String, Value>) -> Checked {
        let mut nearest: Option<Fault> = None;
        for schema in alternatives(rules, "anyOf") {
            match self.value(value, schema) {
                Ok(()) => return Ok(()),
                Err(fault) => nearest = Some(nearer(nearest, fault)),
            }
        }
        nearest.map_or(Ok(()), |nearest| self.none_fits(&nearest, "anyOf"))
    }

    fn one(&mut self, value: &'a Value, rules: &'a Map<String, Value>) -> Checked {
        let mut nearest: Option<Fault> = None;
        let mut fitting = 0;
        for schema in alternatives(rules, "oneOf") {
            match self.value(value, schema) {
                Ok(()) => fitting += 1,
                Err(fault) => nearest = Some(nearer(nearest, fault)),
            }
        }
        match (fitting, nearest) {
            (1, _) | (0, None) => Ok(()),
            (0, Some(nearest)) => self.none_fits(&nearest, "oneOf"),
            (fitting, _) => self.several_fit(fitting),
        }
    }

    #[cold]
    fn none_fits(&self, nearest: &Fault, rule: &str) -> Checked {
        self.fault(&format!("fits none of the alternatives; the nearest says: {nearest} [{rule}]"))
    }

    #[cold]
    fn several_fit(&self, fitting: usize) -> Checked {
        self.fault(&format!("fits {fitting} alternatives, must fit one [oneOf]"))
    }

    fn not(&mut self, value: &'a Value, rules: &'a Map<String, Value>) -> Checked {
        let Some(schema) = rules.get("not") else { return Ok(()) };
        match self.value(value, schema) {
            Ok(()) => self.fault("fits what it must not fit [not]"),
            Err(_) => Ok(()),
        }
    }

    fn inside(&mut self, place: Place<'a>, value: &'a Value, schema: &'a Value) -> Checked {
        self.path.push(place);
        let result = self.value(value, schema);
        self.path.pop();
        result
    }

    fn amount(
        &self,
        count: usize,
        what: &str,
        rules: &Map<String, Value>,
        [least, most]: [&str; 2],
    ) -> Checked {
        let bound = |rule: &str| rules.get(rule).and_then(Value::as_f64);
        if let Some(bound) = bound(least) {
            let message = || format!("has {count} {what}, must have at least {bound} [{least}]");
            self.ensure(count as f64 >= bound, message)?;
        }
        if let Some(bound) = bound(most) {
            let message = || format!("has {count} {what}, must have at most {bound} [{most}]");
            self.ensure(count as f64 <= bound, message)?;
        }
        Ok(())
    }

    fn ensure(&self, fine: bool, message: impl FnOnce() -> String) -> Checked {
        if fine { Ok(()) } else { self.fault(&message()) }
    }

    fn fault(&self, message: &str) -> Checked {
        Err(Fault { pointer: self.pointer(), message: message.to_owned() })
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for place in &self.path {
            pointer.push('/');
            match place {
                Place::Name(name) => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
                Place::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        pointer
    }
}

/// The fault that lies deeper: that alternative was followed further.
fn nearer(nearest: Option<Fault>, fault: Fault) -> Fault {
    let depth = |fault: &Fault| fault.pointer.matches('/').count();
    match nearest {
        Some(nearest) if depth(&nearest) >= depth(&fault) => nearest,
        _ => fault,
    }
}

fn alternatives<'a>(rules: &'a Map<String, Value>, rule: &str) -> &'a [Value] {
    rules.get(rule).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[derive(Clone, Copy)]
enum Bound {
    Least,
    Most,
    Above,
    Below,
}

impl Bound {
    fn words(self) -> &'static str {
        match self {
            Bound::Least => "at least",
            Bound::Most => "at most",
            Bound::Above => "more than",
            Bound::Below => "less than",
        }
    }
}

/// The bounds of a number. In the oldest draft `exclusiveMinimum` is a flag beside `minimum`.
fn bounds(rules: &Map<String, Value>) -> impl Iterator<Item = (&'static str, &Number, Bound)> {
    let flag = |rule| rules.get(rule) == Some(&Value::Bool(true));
    let least = if flag("exclusiveMinimum") { Bound::Above } else { Bound::Least };
    let most = if flag("exclusiveMaximum") { Bound::Below } else { Bound::Most };
    let all = [
        ("minimum", least),
        ("maximum", most),
        ("exclusiveMinimum", Bound::Above),
        ("exclusiveMaximum", Bound::Below),
    ];
    all.into_iter().filter_map(|(rule, what)| match rules.get(rule) {
        Some(Value::Number(bound)) => Some((rule, bound, what)),
        _ => None,
    })
}

fn is_a(value: &Value, kind: &str) -> bool {
    match (kind, value) {
        ("null", Value::Null)
        | ("boolean", Value::Bool(_))
        | ("number", Value::Number(_))
        | ("string", Value::String(_))
        | ("array", Value::Array(_))
        | ("object", Value::Object(_)) => true,
        ("integer", Value::Number(number)) => is_whole(number),
        _ => false,
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if is_whole(number) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// `1.0` is a whole number in JSON Schema.
fn is_whole(number: &Number) -> bool {
    integer(number).is_some() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

fn less(left: &Number, right: &Number) -> bool {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left < right,
        _ => float(left) < float(right),
    }
}

fn is_multiple(number: &Number, step: &Number) -> bool {
    if let (Some(number), Some(step)) = (integer(number), integer(step)) {
        return step == 0 || number % step == 0;
    }
    // 0.3 / 0.1 is not 3 in binary: a near miss is a multiple.
    let times = float(number) / float(step);
    !times.is_finite() || (times - times.round()).abs() <= 1e-9 * times.abs().max(1.0)
}

/// Equal as JSON Schema understands it: `1` and `1.0` are the same number, the order of members means nothing.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => !less(left, right) && !less(right, left),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let duplicate_key =
                |(name, value): (&String, &Value)| right.get(name).is_some_and(|other| same(value, other));
            left.len() == right.len() && left.iter().all(duplicate_key)
        }
        (left, right) => left == right,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each of `good` fits; each of `bad` breaks `rule` at the pointer beside it.
    fn judge(schema: Value, rule: &str, good: &[Value], bad: &[(Value, &str)]) {
        for value in good {
            assert_eq!(check(value, &schema), Ok(()), "{value} against {schema}");
        }
        for (value, pointer) in bad {
            let fault = check(value, &schema).expect_err(&format!("{value} against {schema}"));
            assert_eq!(fault.pointer, *pointer, "{fault}");
            assert!(fault.message.ends_with(&format!("[{rule}]")), "{fault}");
        }
    }

    #[test]
    fn types() {
        let every = [json!(null), json!(true), json!(1), json!(1.5), json!("a"), json!([]), json!({})];
        for (kind, fitting) in [
            ("null", &[0][..]),
            ("boolean", &[1]),
            ("integer", &[2]),
            ("number", &[2, 3]),
            ("string", &[4]),
            ("array", &[5]),
            ("object", &[6]),
        ] {
            for (index, value) in every.iter().enumerate() {
                let fits = check(value, &json!({"type": kind})).is_ok();
                assert_eq!(fits, fitting.contains(&index), "{value} is a {kind}");
            }
        }
        judge(
            json!({"type": "integer"}),
            "type",
            &[json!(1.0), json!(-3), json!(u64::MAX)],
            &[(json!("1"), "")],
        );
        judge(json!({"type": ["string", "null"]}), "type", &[json!("a"), json!(null)], &[(json!(1), "")]);
        let fault = check(&json!([1]), &json!({"type": ["string", "null"]})).unwrap_err();
        assert_eq!(fault.to_string(), "at the root: must be of type string or null, is array [type]");
    }

    #[test]
    fn constants() {
        judge(json!({"const": {"a": [1]}}), "const", &[json!({"a": [1.0]})], &[(json!({"a": [2]}), "")]);
        judge(
            json!({"enum": ["a", 1, null]}),
            "enum",
            &[json!("a"), json!(1.0), json!(null)],
            &[(json!("b"), "")],
        );
    }

    #[test]
    fn objects() {
        let schema =
            json!({"properties": {"a": {"type": "string"}, "b/~": {"type": "integer"}}, "required": ["a"]});
        judge(schema.clone(), "required", &[json!({"a": "", "x": 1}), json!(3)], &[(json!({}), "")]);
        judge(schema, "type", &[], &[(json!({"a": 1}), "/a"), (json!({"a": "", "b/~": "x"}), "/b~1~0")]);
        let closed = json!({"properties": {"a": {}}, "additionalProperties": false});
        judge(closed, "additionalProperties", &[json!({"a": 1}), json!({})], &[(json!({"b": 1}), "")]);
        judge(
            json!({"additionalProperties": {"type": "null"}}),
            "type",
            &[json!({"b": null})],
            &[(json!({"b": 1}), "/b")],
        );
        judge(json!({"minProperties": 1}), "minProperties", &[json!({"a": 1})], &[(json!({}), "")]);
        judge(json!({"maxProperties": 0}), "maxProperties", &[json!({})], &[(json!({"a": 1}), "")]);
        let patterned = json!({"patternProperties": {"^x": {}}, "additionalProperties": false});
        judge(patterned, "", &[json!({"xy": 1})], &[]);
    }

    #[test]
    fn arrays() {
        judge(
            json!({"items": {"type": "integer"}}),
            "type",
            &[json!([]), json!([1, 2])],
            &[(json!([1, "a"]), "/1")],
        );
        let pair = json!({"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false});
        judge(pair.clone(), "type", &[json!(["a", 1]), json!(["a"])], &[(json!(["a", "b"]), "/1")]);
        judge(pair, "false", &[], &[(json!(["a", 1, 2]), "/2")]);
        let old = json!({"items": [{"type": "string"}], "additionalItems": {"type": "null"}});
        judge(old, "type", &[json!(["a", null])], &[(json!(["a", 1]), "/1")]);
        judge(json!({"minItems": 1}), "minItems", &[json!([1])], &[(json!([]), "")]);
        judge(json!({"maxItems": 1}), "maxItems", &[json!([1])], &[(json!([1, 2]), "")]);
        let duplicate_keys = [(json!([1, {"a": 1, "b": 2}, {"b": 2, "a": 1.0}]), "")];
        judge(json!({"uniqueItems": true}), "uniqueItems", &[json!([1, "1", [1]])], &duplicate_keys);
    }

    #[test]
    fn numbers() {
        judge(json!({"minimum": 1}), "minimum", &[json!(1), json!(1.5), json!("0")], &[(json!(0.9), "")]);
        judge(json!({"maximum": 1}), "maximum", &[json!(1.0), json!(-5)], &[(json!(u64::MAX), "")]);
        judge(
            json!({"exclusiveMinimum": 0}),
            "exclusiveMinimum",
            &[json!(0.1)],
            &[(json!(0), ""), (json!(-1), "")],
        );
        judge(json!({"exclusiveMaximum": 5}), "exclusiveMaximum", &[json!(4)], &[(json!(5), "")]);
        judge(json!({"minimum": 1, "exclusiveMinimum": true}), "minimum", &[json!(2)], &[(json!(1), "")]);
        judge(json!({"multipleOf": 3}), "multipleOf", &[json!(9), json!(0), json!(6.0)], &[(json!(10), "")]);
        judge(json!({"multipleOf": 0.1}), "multipleOf", &[json!(0.3), json!(7)], &[(json!(0.35), "")]);
    }

    #[test]
    fn strings_are_measured_in_code_points() {
        judge(json!({"minLength": 2}), "minLength", &[json!("äö"), json!(1)], &[(json!("界"), "")]);
        judge(json!({"maxLength": 2}), "maxLength", &[json!("界界")], &[(json!("abc"), "")]);
    }

    #[test]
    fn combinations() {
        let either =
            json!({"anyOf": [{"type": "string"}, {"properties": {"a": {"type": "null"}}, "type": "object"}]});
        judge(either.clone(), "anyOf", &[json!("x"), json!({"a": null})], &[(json!(1), "")]);
        let fault = check(&json!({"a": 1}), &either).unwrap_err();
        assert!(fault.message.contains("at /a: must be of type null"), "the nearest is named: {fault}");
        let one = json!({"oneOf": [{"minimum": 1}, {"minimum": 5}]});
        judge(one, "oneOf", &[json!(3)], &[(json!(7), ""), (json!(0), "")]);
        judge(json!({"allOf": [{"minimum": 1}, {"maximum": 3}]}), "maximum", &[json!(2)], &[(json!(4), "")]);
        judge(json!({"not": {"type": "string"}}), "not", &[json!(1)], &[(json!("a"), "")]);
        judge(json!({"properties": {"a": false}}), "false", &[json!({})], &[(json!({"a": 1}), "/a")]);
    }

    #[test]
    fn references() {
        let tree = json!({
            "$defs": {"node/~": {"type": "object", "properties": {
                "value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node~1~0"}, {"type": "null"}]}}}},
            "$ref": "#/%24defs/node~1~0",
        });
        let good = json!({"value": 1, "next": {"value": 2, "next": null}});
        judge(tree.clone(), "type", &[good], &[(json!({"value": "1"}), "/value")]);
        judge(tree, "anyOf", &[], &[(json!({"next": {"value": "2"}}), "/next")]);
        let root = json!({"properties": {"child": {"$ref": "#"}, "n": {"type": "null"}}});
        judge(root, "type", &[json!({"child": {"child": {}}})], &[(json!({"child": {"n": 1}}), "/child/n")]);
        judge(json!({"$ref": "#/definitions/gone"}), "$ref", &[], &[(json!(1), "")]);
        judge(json!({"$ref": "https://example.com/other.json"}), "", &[json!(1)], &[]);
        let old = json!({"definitions": {"s": {"type": "string"}}, "items": {"$ref": "#/definitions/s"}});
        judge(old, "type", &[json!(["a"])], &[(json!([1]), "/0")]);
    }

    #[test]
    fn a_schema_without_end_is_a_fault_and_not_a_hang() {
        assert!(check(&json!(1), &json!({"$ref": "#"})).is_err());
        for schema in [
            json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}]}),
            json!({"not": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}),
        ] {
            let fault = check(&json!(1), &schema).unwrap_err();
            assert!(fault.message.contains("too long"), "{fault}");
        }
    }

    #[test]
    fn the_deepest_check_fits_a_small_stack() {
        let schema = json!({"items": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}});
        let deep = (0..30).fold(json!(null), |inner, _| json!([inner]));
        let endless = json!({"allOf": [{"oneOf": [{"$ref": "#"}]}]});
        let run = move || (check(&deep, &schema).is_ok(), check(&deep, &endless).is_err());
        let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(run).unwrap();
        assert_eq!(thread.join().unwrap(), (true, true));
    }

    #[test]
    fn what_is_not_understood_passes() {
        let schema = json!({"pattern": "^a", "format": "email", "type": 7, "items": 3, "required": "a", "minimum": "x"});
        for value in [json!("b"), json!([1]), json!({}), json!(1)] {
            assert_eq!(check(&value, &schema), Ok(()));
        }
    }
}
