//! Checks against published JSON Schemas, by a validator that shares no code with the program.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::Value;

/// Compiled schemas by name; compiling one takes far longer than a check.
static VALIDATORS: Mutex<BTreeMap<String, Arc<Validator>>> = Mutex::new(BTreeMap::new());

/// Panics unless `value` is an instance of the schema that is known as `name` and made by `schema`.
pub fn check_named(value: &Value, name: &str, schema: impl FnOnce() -> Value) {
    let validator = {
        let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
        let compiled = validators.entry(name.to_owned()).or_insert_with(|| {
            let validator = jsonschema::validator_for(&schema());
            Arc::new(validator.unwrap_or_else(|error| panic!("{name}: {error}")))
        });
        Arc::clone(compiled)
    };
    let faults: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(faults.is_empty(), "{name}: {}\n{value:#}", faults.join("\n"));
}

/// The same for a schema as text, which is its own name.
pub fn check(value: &Value, schema: &str) {
    check_named(value, schema, || serde_json::from_str(schema).expect("a schema is JSON"));
}
