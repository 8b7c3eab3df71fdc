//! Validates JSON against the subset of JSON Schema that clients send with their requests.
//!
//! Judged: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `minProperties`,
//! `maxProperties`, `items`, `prefixItems`, `minItems`, `maxItems`, `uniqueItems`, `minimum`, `maximum`,
//! `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf`, `minLength`, `maxLength`, `anyOf`, `oneOf`, `allOf`, `not`,
//! and `$ref` within the same schema. Not judged: `pattern` and `patternProperties` (a regex engine is a large
//! thing to carry, and names that only a pattern allows pass), `format`, conditionals, and references to other
//! documents. What is not judged passes: a good answer is never refused for a rule that is not understood, nor
//! because its check takes too long.
//!
//! The validator crates bring a hundred dependencies each, a regex engine and Unicode tables among them.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use serde_json::{Map, Number, Value};

/// The first rule that a value breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// JSON Pointer to the place in the value, long names cut; empty means all of it.
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

/// Checks `value` against `schema`. An answer whose check takes too long passes.
pub fn check(value: &Value, schema: &Value) -> Result<(), Fault> {
    let mut checker = Checker {
        root: schema,
        path: Vec::new(),
        depth: 0,
        work: 0,
        is_spent: false,
        is_quiet: false,
        enums: HashMap::new(),
        hashes: RandomState::new(),
    };
    match checker.value(value, schema) {
        Err(miss) if !checker.is_spent => Err(miss.fault),
        _ => Ok(()),
    }
}

/// A schema comes from a client and may branch without end: after this much work the check gives up.
const MOST_WORK: usize = 8_000_000;

/// What a schema costs that is applied to a value. One unit is what a member, an item or some bytes cost.
const STEP: usize = 16;

/// The most schemas inside schemas; a level of JSON takes up to three (`items`, `anyOf`, `$ref`). Bounded because
/// the check recurses, and a thread's stack is small.
const DEEPEST: usize = 128;

/// Values and names in messages are cut after so many bytes.
const LONGEST_VALUE: usize = 2000;
const LONGEST_NAME: usize = 200;

/// Shorter lists are compared one by one.
const FEW: usize = 8;

struct Checker<'a> {
    root: &'a Value,
    path: Vec<Place<'a>>,
    depth: usize,
    work: usize,
    /// The check has given up.
    is_spent: bool,
    /// Faults need no words, because alternatives are tried.
    is_quiet: bool,
    /// The places in the longer `enum`s by the hashes of their values, by the addresses of the lists.
    enums: HashMap<*const Value, Places>,
    hashes: RandomState,
}

type Places = HashMap<u64, Vec<usize>>;

/// A fault while it is sought.
struct Miss {
    /// How deep in the value it lies.
    depth: usize,
    /// Empty while alternatives are tried.
    fault: Fault,
}

enum Place<'a> {
    Name(&'a str),
    Index(usize),
}

type Checked = Result<(), Miss>;

impl<'a> Checker<'a> {
    fn value(&mut self, value: &'a Value, schema: &'a Value) -> Checked {
        self.spend(STEP);
        if self.depth >= DEEPEST || self.is_spent {
            self.is_spent = true;
            return Ok(());
        }
        self.depth += 1;
        let result = match schema {
            Value::Object(rules) => self.rules(value, rules),
            Value::Bool(false) => self.fault(|| "nothing is allowed here [false]".to_owned()),
            _ => Ok(()),
        };
        self.depth -= 1;
        result
    }

    fn spend(&mut self, work: usize) {
        self.work += work;
        self.is_spent |= self.work > MOST_WORK;
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
        self.spend(reference.len());
        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy();
        match self.root.pointer(&pointer) {
            Some(schema) => self.value(value, schema),
            None if pointer.starts_with('/') => {
                self.fault(|| format!("the schema has nothing at {} [$ref]", cut(rules.get("$ref"))))
            }
            None => Ok(()), // an anchor
        }
    }

    fn kind(&mut self, value: &Value, rules: &Map<String, Value>) -> Checked {
        let wanted = rules.get("type");
        let kinds = match wanted {
            Some(Value::Array(kinds)) => kinds.as_slice(),
            Some(kind @ Value::String(_)) => std::slice::from_ref(kind),
            _ => return Ok(()),
        };
        self.spend(kinds.len());
        let fits = |kind: &Value| kind.as_str().is_none_or(|kind| is_a(value, kind));
        self.ensure(kinds.iter().any(fits), || {
            let names: Vec<&str> = kinds.iter().filter_map(Value::as_str).take(FEW).collect();
            format!("must be of type {}, is {} [type]", names.join(" or "), name_of(value))
        })
    }

    fn constant(&mut self, value: &'a Value, rules: &'a Map<String, Value>) -> Checked {
        if let Some(wanted) = rules.get("const") {
            let is_same = self.same(value, wanted);
            self.ensure(is_same, || format!("must be {} [const]", cut(Some(wanted))))?;
        }
        if let Some(listed @ Value::Array(allowed)) = rules.get("enum") {
            let is_listed = self.lists(listed, allowed, value);
            self.ensure(is_listed, || format!("must be one of {} [enum]", cut(Some(listed))))?;
        }
        Ok(())
    }

    /// Whether `value` is one of `allowed`, the items of `listed`.
    fn lists(&mut self, listed: &'a Value, allowed: &'a [Value], value: &'a Value) -> bool {
        if allowed.len() <= FEW {
            return allowed.iter().any(|one| self.same(value, one));
        }
        let hash = self.hash(value);
        if !self.enums.contains_key(&std::ptr::from_ref(listed)) {
            let places = self.places(allowed);
            self.enums.insert(listed, places);
        }
        let alike = self.enums.get(&std::ptr::from_ref(listed)).and_then(|places| places.get(&hash));
        let alike = alike.cloned().unwrap_or_default();
        alike.into_iter().any(|place| self.same(value, &allowed[place]))
    }

    fn places(&self, all: &[Value]) -> Places {
        let mut places = Places::new();
        for (place, one) in all.iter().enumerate() {
            let mut hasher = self.hashes.build_hasher();
            hash(one, &mut hasher);
            let alike = places.entry(hasher.finish()).or_default();
            // one that is listed again and again is found once
            if !alike.iter().any(|earlier| same(&all[*earlier], one, &mut 0)) {
                alike.push(place);
            }
        }
        places
    }

    /// Equal for what is the [`same`](Checker::same).
    fn hash(&mut self, value: &Value) -> u64 {
        let mut hasher = self.hashes.build_hasher();
        let work = hash(value, &mut hasher);
        self.spend(work);
        hasher.finish()
    }

    fn same(&mut self, left: &Value, right: &Value) -> bool {
        let mut work = 0;
        let is_same = same(left, right, &mut work);
        self.spend(work);
        is_same
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

    fn string(&mut self, text: &str, rules: &Map<String, Value>) -> Checked {
        if !rules.contains_key("minLength") && !rules.contains_key("maxLength") {
            return Ok(());
        }
        self.spend(text.len() / STEP);
        self.amount(text.chars().count(), "characters", rules, ["minLength", "maxLength"])
    }

    fn array(&mut self, items: &'a [Value], rules: &'a Map<String, Value>) -> Checked {
        self.amount(items.len(), "items", rules, ["minItems", "maxItems"])?;
        // Older drafts write the list of `prefixItems` into `items`, and what follows it into `additionalItems`.
        let (first, rest) = match rules.get("items") {
            Some(Value::Array(first)) => (first.as_slice(), rules.get("additionalItems")),
            rest => (rules.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice), rest),
        };
        let judged = if rest.is_some() { items.len() } else { first.len() };
        for (index, item) in items.iter().enumerate().take(judged) {
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
        let mut places = Places::new();
        for (index, item) in items.iter().enumerate() {
            let alike = places.entry(self.hash(item)).or_default();
            let duplicate_key = alike.iter().copied().find(|earlier| self.same(&items[*earlier], item));
            alike.push(index);
            let message =
                |duplicate_key| format!("items {duplicate_key} and {index} are the same [uniqueItems]");
            duplicate_key.map_or(Ok(()), |duplicate_key| self.fault(|| message(duplicate_key)))?;
            if self.is_spent {
                break;
            }
        }
        Ok(())
    }

    fn object(&mut self, members: &'a Map<String, Value>, rules: &'a Map<String, Value>) -> Checked {
        let required = alternatives(rules, "required");
        self.spend(required.len() + members.len());
        for name in required {
            if let Value::String(text) = name {
                let is_there = members.contains_key(text);
                self.ensure(is_there, || format!("{} is missing [required]", cut(Some(name))))?;
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
                self.fault(|| format!("{:?} is not allowed [additionalProperties]", short(name)))
            }
            Some(schema) => self.inside(Place::Name(name), member, schema),
            None => Ok(()),
        }
    }

    fn all(&mut self, value: &'a Value, rules: &'a Map<String, Value>) -> Checked {
        alternatives(rules, "allOf").iter().try_for_each(|schema| self.value(value, schema))
    }

    fn any(&mut self, value: &'a Value, rules: &'a Map<String, Value>) -> Checked {
        match self.try_all(value, alternatives(rules, "anyOf"), 1) {
            Tried { fitting: 0, nearest: Some((_, nearest)) } => self.none_fits(value, nearest, "anyOf"),
            _ => Ok(()),
        }
    }

    fn one(&mut self, value: &'a Value, rules: &'a Map<String, Value>) -> Checked {
        match self.try_all(value, alternatives(rules, "oneOf"), usize::MAX) {
            Tried { fitting: 0, nearest: Some((_, nearest)) } => self.none_fits(value, nearest, "oneOf"),
            Tried { fitting: 0 | 1, .. } => Ok(()),
            Tried { fitting, .. } => {
                self.fault(|| format!("fits {fitting} alternatives, must fit one [oneOf]"))
            }
        }
    }

    /// Tries `schemas` until so many as `enough` fit.
    fn try_all(&mut self, value: &'a Value, schemas: &'a [Value], enough: usize) -> Tried<'a> {
        let mut tried = Tried { fitting: 0, nearest: None };
        for schema in schemas {
            match self.quietly(value, schema) {
                Ok(()) => tried.fitting += 1,
                // the one that is found deeper was followed further
                Err(miss) if tried.nearest.is_none_or(|(depth, _)| depth < miss.depth) => {
                    tried.nearest = Some((miss.depth, schema));
                }
                Err(_) => {}
            }
            if tried.fitting >= enough || self.is_spent {
                break;
            }
        }
        tried
    }

    fn quietly(&mut self, value: &'a Value, schema: &'a Value) -> Checked {
        let was_quiet = std::mem::replace(&mut self.is_quiet, true);
        let result = self.value(value, schema);
        self.is_quiet = was_quiet;
        result
    }

    /// The words for it are found only here, where they are wanted.
    #[cold]
    fn none_fits(&mut self, value: &'a Value, nearest: &'a Value, rule: &str) -> Checked {
        if self.is_quiet || self.is_spent {
            return self.fault(String::new);
        }
        let said = self.value(value, nearest).err().map(|miss| miss.fault);
        // that none fits is known even if there was no time for more
        self.is_spent = false;
        self.fault(|| match said {
            Some(nearest) => {
                format!("fits none of the alternatives; the nearest says: {nearest} [{rule}]")
            }
            None => format!("fits none of the alternatives [{rule}]"),
        })
    }

    fn not(&mut self, value: &'a Value, rules: &'a Map<String, Value>) -> Checked {
        let Some(schema) = rules.get("not") else { return Ok(()) };
        match self.quietly(value, schema) {
            Ok(()) => self.fault(|| "fits what it must not fit [not]".to_owned()),
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
        if fine { Ok(()) } else { self.fault(message) }
    }

    fn fault(&self, message: impl FnOnce() -> String) -> Checked {
        let fault = match self.is_quiet {
            true => Fault { pointer: String::new(), message: String::new() },
            false => Fault { pointer: self.pointer(), message: message() },
        };
        Err(Miss { depth: self.path.len(), fault })
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for place in &self.path {
            pointer.push('/');
            match place {
                Place::Name(name) => pointer.push_str(&short(name).replace('~', "~0").replace('/', "~1")),
                Place::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        pointer
    }
}

/// What became of alternatives.
struct Tried<'a> {
    fitting: usize,
    /// The schema whose fault lies deepest, and how deep.
    nearest: Option<(usize, &'a Value)>,
}

/// A name, cut where it is too long for a message.
fn short(name: &str) -> &str {
    let ends = name.char_indices().map(|(at, _)| at);
    &name[..ends
        .take_while(|at| *at <= LONGEST_NAME)
        .last()
        .filter(|_| name.len() > LONGEST_NAME)
        .unwrap_or(name.len())]
}

/// A value as JSON, cut where it is too long for a message.
fn cut(value: Option<&Value>) -> String {
    /// Takes in no more than it may hold.
    struct Bounded(String);

    impl fmt::Write for Bounded {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = LONGEST_VALUE - self.0.len();
            let end = (0..=room.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
            self.0.push_str(&text[..end]);
            if end < text.len() { Err(fmt::Error) } else { Ok(()) }
        }
    }

    let mut shown = Bounded(String::new());
    let is_whole = value.is_none_or(|value| write!(shown, "{value}").is_ok());
    if !is_whole {
        shown.0.push('…');
    }
    shown.0
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
fn same(left: &Value, right: &Value, work: &mut usize) -> bool {
    *work += 1;
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => !less(left, right) && !less(right, left),
        (Value::String(left), Value::String(right)) => {
            *work += if left.len() == right.len() { left.len() / STEP } else { 0 };
            left == right
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right, work))
        }
        (Value::Object(left), Value::Object(right)) => {
            let mut duplicate_key = |(name, value): (&String, &Value)| {
                right.get(name).is_some_and(|other| same(value, other, work))
            };
            left.len() == right.len() && left.iter().all(&mut duplicate_key)
        }
        (left, right) => left == right,
    }
}

/// Hashes `value` so that what is the [`same`] has the same hash, and states how much work that was.
fn hash(value: &Value, to: &mut impl Hasher) -> usize {
    std::mem::discriminant(value).hash(to);
    match value {
        Value::Null => 1,
        Value::Bool(flag) => {
            flag.hash(to);
            1
        }
        Value::Number(number) => {
            // of two zeros the sign means nothing
            (float(number) + 0.0).to_bits().hash(to);
            1
        }
        Value::String(text) => {
            text.hash(to);
            1 + text.len() / STEP
        }
        Value::Array(items) => {
            items.len().hash(to);
            1 + items.iter().map(|item| hash(item, to)).sum::<usize>()
        }
        Value::Object(members) => {
            members.len().hash(to);
            let mut names: Vec<_> = members.iter().collect();
            names.sort_unstable_by_key(|(name, _)| *name);
            let hash = |(name, value): (&String, &Value)| {
                name.hash(to);
                1 + name.len() / STEP + hash(value, to)
            };
            1 + names.into_iter().map(hash).sum::<usize>()
        }
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
    fn a_schema_without_end_judges_nothing_and_does_not_hang() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}]}),
            json!({"not": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}),
        ] {
            assert_eq!(check(&json!(1), &schema), Ok(()));
        }
    }

    #[test]
    fn large_answers_are_judged_to_their_end() {
        let unique: Vec<String> = (0..20_000).map(|n| n.to_string()).collect();
        judge(
            json!({"uniqueItems": true}),
            "uniqueItems",
            &[json!(unique)],
            &[(json!([unique.clone(), vec!["7".to_owned()]].concat()), "")],
        );
        let rows: Vec<&String> = unique.iter().cycle().take(30_000).collect();
        judge(
            json!({"items": {"enum": unique}}),
            "enum",
            &[json!(rows)],
            &[(json!([&rows[..], &[&"x".into()]].concat()), "/30000")],
        );
        let either: Vec<Value> =
            (0..20).map(|n| json!({"properties": {"kind": {"const": n}}, "required": ["kind"]})).collect();
        let mut rows = vec![json!({"kind": 19}); 6_000];
        let schema = json!({"items": {"anyOf": either}});
        assert_eq!(check(&json!(rows), &schema), Ok(()));
        rows.push(json!({"kind": 20}));
        let fault = check(&json!(rows), &schema).unwrap_err();
        assert!(fault.message.contains("at /6000/kind: must be 0 [const]"), "{fault}");
    }

    #[test]
    fn an_answer_whose_check_takes_too_long_passes() {
        let names: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
        let member: Map<String, Value> = names.iter().map(|name| (name.clone(), json!(1))).collect();
        let slow = vec![json!({"required": names, "not": {}}); 100];
        let rows = json!(vec![member; 100]);
        for schema in [
            json!({"not": {"items": {"not": {"anyOf": slow}}}}),
            json!({"items": {"anyOf": [{"not": {"allOf": [{"not": {"anyOf": slow}}]}}, {}]}, "minItems": 101}),
        ] {
            let is_judged = schema.get("minItems").is_some();
            assert_eq!(check(&rows, &schema).is_err(), is_judged, "what is cheap is judged first");
        }
    }

    #[test]
    fn long_values_are_cut_in_messages() {
        let long = json!("x".repeat(1 << 20));
        let schema = json!({"anyOf": vec![json!({"const": long}); 1000]});
        let fault =
            check(&json!({long.as_str().unwrap(): 1}), &json!({"additionalProperties": schema})).unwrap_err();
        assert!(fault.to_string().len() < 3 * LONGEST_VALUE, "{}", fault.to_string().len());
    }

    #[test]
    fn numbers_that_are_the_same_are_found_by_hash() {
        let many: Vec<Value> =
            (0..50).map(|n| json!(n)).chain([json!(9_007_199_254_740_993_u64), json!(-0.0)]).collect();
        let good = [json!(1.0), json!(9_007_199_254_740_992.0), json!(0), json!(49)];
        judge(
            json!({"enum": many}),
            "enum",
            &good,
            &[(json!(9_007_199_254_740_992_u64), ""), (json!("1"), "")],
        );
        let objects: Vec<Value> = (0..50).map(|n| json!({"a": n, "b": [n]})).collect();
        judge(
            json!({"enum": objects}),
            "enum",
            &[json!({"b": [7.0], "a": 7})],
            &[(json!({"b": [7], "a": 8}), "")],
        );
    }

    #[test]
    fn the_deepest_check_fits_a_small_stack() {
        let schema = json!({"items": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}});
        let deep = (0..30).fold(json!(null), |inner, _| json!([inner]));
        let endless = json!({"allOf": [{"oneOf": [{"$ref": "#"}]}]});
        let run = move || (check(&deep, &schema).is_ok(), check(&deep, &endless).is_ok());
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
