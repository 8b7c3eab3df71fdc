//! Converts models.yaml to JSON for the admin page and back to YAML; unknown keys are kept.
//!
//! Secrets are shown as a mask; a mask that is sent back leaves the secret as it is.

use std::collections::HashMap;

use serde_json::{Map, Value};
use serde_yaml::{Mapping, Value as Yaml};

use super::mask::{MASK, is_secret};
pub use super::mask::{masked, unmasked};
use super::tree::{name_of, tree};
use super::{CUSTOM_KEYS, Fault, KEYS, MODEL_KEYS};

/// The file as JSON, its secrets masked: the keys of the reference are always there, unknown ones where the file has them.
pub fn to_json(text: &str) -> Result<Map<String, Value>, Fault> {
    let Value::Object(mut json) = json_of(&tree(text)?) else { return Ok(with_defaults(Map::new())) };
    for (_, value) in json.iter_mut().filter(|(key, _)| is_secret(key)) {
        *value = if is_empty(value) { Value::Null } else { MASK.into() };
    }
    Ok(with_defaults(json))
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

fn with_defaults(mut json: Map<String, Value>) -> Map<String, Value> {
    let mut put = |name: &str, default: Value| {
        let value = json.entry(name).or_insert(Value::Null);
        if value.is_null() {
            *value = default;
        }
    };
    put("enable", false.into());
    put("models", Map::new().into());
    put("custom_models", Vec::<Value>::new().into());
    put("api_token", Value::Null);
    put("use_v1_api", Value::Null);
    for model in json.get_mut("models").and_then(Value::as_object_mut).into_iter().flatten() {
        if model.1.is_null() {
            *model.1 = Map::new().into();
        }
        let Some(entry) = model.1.as_object_mut() else { continue };
        entry.retain(|key, value| !(value.is_null() && MODEL_KEYS.contains(&key.as_str())));
        entry.entry("enable").or_insert(true.into());
        entry.entry("replace_response").or_insert(false.into());
    }
    json
}

/// The text of `before` with what `posted` says. Top-level keys that `posted` leaves out stay as they are, null removes
/// them; models are as posted, and one that is not posted is removed; unknown keys stay.
pub fn merged(before: &str, posted: &Map<String, Value>) -> Result<String, Fault> {
    let mut tree = match tree(before)? {
        Yaml::Mapping(tree) => tree,
        _ => Mapping::new(),
    };
    let known = KEYS.iter().copied().filter(|key| posted.contains_key(*key));
    let unknown = posted.keys().map(String::as_str).filter(|key| !KEYS.contains(key));
    for key in known.chain(unknown) {
        match &posted[key] {
            Value::Null if KEYS.contains(&key) => drop(tree.shift_remove(key)),
            Value::Object(models) if key == "models" => {
                let models = merged_models(tree.get(key), models);
                tree.insert(key.into(), models);
            }
            Value::Array(custom) if key == "custom_models" => {
                let custom = merged_custom(tree.get(key), custom);
                tree.insert(key.into(), custom);
            }
            Value::String(mask) if mask == MASK && is_secret(key) => {
                if !tree.iter().any(|(name, value)| name_of(name) == key && !is_empty(&json_of(value))) {
                    let message = format!(
                        "{MASK} stands for a secret that the file does not have; enter the secret itself"
                    );
                    return Err(Fault { place: None, field: key.to_owned(), message });
                }
            }
            value => put(&mut tree, key, value),
        }
    }
    write(&Yaml::Mapping(tree))
}

fn merged_models(before: Option<&Yaml>, posted: &Map<String, Value>) -> Yaml {
    let (mut exact, mut lower) = (HashMap::new(), HashMap::new());
    for (name, entry) in before.and_then(Yaml::as_mapping).into_iter().flatten() {
        let name = name_of(name);
        lower.entry(name.to_lowercase()).or_insert(entry);
        exact.entry(name).or_insert(entry);
    }
    let entry_of = |bot: &str| exact.get(bot).or_else(|| lower.get(&bot.to_lowercase())).copied();
    let models =
        posted.iter().map(|(bot, model)| (bot.as_str().into(), entry(entry_of(bot), model, MODEL_KEYS)));
    Yaml::Mapping(models.collect())
}

fn merged_custom(before: Option<&Yaml>, posted: &[Value]) -> Yaml {
    let mut entries: HashMap<Value, &Yaml> = HashMap::new();
    for entry in before.and_then(Yaml::as_sequence).into_iter().flatten() {
        if let Some(id) = entry.get("id") {
            entries.entry(json_of(id)).or_insert(entry);
        }
    }
    let before_of = |model: &Value| entries.get(model.get("id")?).copied();
    Yaml::Sequence(posted.iter().map(|model| entry(before_of(model), model, CUSTOM_KEYS)).collect())
}

/// The entry that `posted` describes: of the keys in `known` only those that are posted, and the unknown keys of both.
fn entry(before: Option<&Yaml>, posted: &Value, known: &[&str]) -> Yaml {
    let Value::Object(posted) = posted else { return yaml_of(posted) };
    let mut entry = before.and_then(Yaml::as_mapping).cloned().unwrap_or_default();
    let is_removed = |key: &str| known.contains(&key) && posted.get(key).is_none_or(Value::is_null);
    entry.retain(|key, _| !is_removed(&name_of(key)));
    for (key, value) in posted.iter().filter(|(key, _)| !is_removed(key)) {
        put(&mut entry, key, value);
    }
    Yaml::Mapping(entry)
}

/// Sets a key, unless its value is the same, perhaps in a form that JSON does not have.
fn put(mapping: &mut Mapping, key: &str, value: &Value) {
    match mapping.iter_mut().find(|(name, _)| name_of(name) == key) {
        Some((_, before)) if json_of(before) == *value => {}
        Some((_, before)) => *before = yaml_of(value),
        None => drop(mapping.insert(key.into(), yaml_of(value))),
    }
}

fn write(tree: &Yaml) -> Result<String, Fault> {
    let unwritten = |message: String| Fault { place: None, field: String::new(), message };
    let text = serde_yaml::to_string(tree).map_err(|error| unwritten(error.to_string()))?;
    match super::tree::tree(&text) {
        Ok(read) if read == *tree => Ok(text),
        _ => Err(unwritten("it cannot be written as YAML without loss of data".to_owned())),
    }
}

/// A value as JSON: keys become text, tags are dropped, and what JSON does not have (infinity) is null.
fn json_of(value: &Yaml) -> Value {
    match value {
        Yaml::Mapping(mapping) => {
            Value::Object(mapping.iter().map(|(key, value)| (name_of(key), json_of(value))).collect())
        }
        Yaml::Sequence(all) => Value::Array(all.iter().map(json_of).collect()),
        Yaml::Tagged(tagged) => json_of(&tagged.value),
        plain => serde_json::to_value(plain).unwrap_or_default(),
    }
}

fn yaml_of(value: &Value) -> Yaml {
    serde_yaml::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn json_has_the_keys_of_the_reference_and_foreign_ones() {
        let text = "enable: true\nmodels:\n  A: {mapping: x, colour: red}\n  B:\n  4: {enable: false, mapping: }\n\
                    api_token: geheim-geheim\nport: 80\n1: {2: !tag y}\n";
        let expected = json!({"enable": true, "models": {
                "A": {"mapping": "x", "colour": "red", "enable": true, "replace_response": false},
                "B": {"enable": true, "replace_response": false},
                "4": {"enable": false, "replace_response": false}},
            "api_token": MASK, "port": 80, "1": {"2": "y"}, "custom_models": [], "use_v1_api": null});
        assert_eq!(Value::Object(to_json(text).unwrap()), expected);
        let nothing = json!({"enable": false, "models": {}, "custom_models": [], "api_token": null, "use_v1_api": null});
        assert_eq!(Value::Object(to_json("").unwrap()), nothing);
        assert_eq!(to_json("api_token: ''").unwrap()["api_token"], Value::Null);
    }

    #[test]
    fn what_json_does_not_know_stays() {
        let before = "port: 80 # old\nenable: true\nmodels:\n  A: {colour: red, mapping: x, tools: prompt, 7: y}\n  C: {}\n\
                      custom_models:\n- {id: i, size: 3, created: 1}\napi_token: geheim\nodd: !tag z\n";
        let posted = object(json!({
            "enable": false,
            "models": {"a": {"mapping": "y", "enable": true, "replace_response": false, "tools": null}, "D": {}},
            "custom_models": [{"id": "i", "owned_by": "me"}, {"id": "j"}],
            "api_token": MASK, "use_v1_api": null, "odd": "z", "new": [1],
        }));
        let after = merged(before, &posted).unwrap();
        let expected = "port: 80\nenable: false\nmodels:\n  a:\n    colour: red\n    mapping: y\n    7: y\n    enable: true\n    \
                        replace_response: false\n  D: {}\ncustom_models:\n- id: i\n  size: 3\n  owned_by: me\n- id: j\n\
                        api_token: geheim\nodd: !tag z\nnew:\n- 1\n";
        assert_eq!(after, expected);
        // what is left out at the top stays, null goes
        let after = merged(&after, &object(json!({"api_token": null, "models": {}}))).unwrap();
        assert_eq!(
            after,
            "port: 80\nenable: false\nmodels: {}\ncustom_models:\n- id: i\n  size: 3\n  owned_by: me\n- id: j\n\
             odd: !tag z\nnew:\n- 1\n"
        );
        assert_eq!(merged("# nothing\n", &object(json!({"enable": true}))).unwrap(), "enable: true\n");
    }

    #[test]
    fn words_that_yaml_reads_otherwise_stay_words() {
        let words =
            ["yes", "1e3", "~", "null", " a ", "a: b", "# c", "line\nbreak", "0x1F", "é", "", "- a", "\u{7}"];
        for word in words {
            let posted = object(json!({"models": {word: {"mapping": word, "aliases": [word]}}}));
            let text = merged("", &posted).unwrap();
            assert_eq!(to_json(&text).unwrap()["models"][word]["mapping"], word, "{text}");
        }
    }

    #[test]
    fn secrets_are_masked_and_a_mask_keeps_them() {
        let before = "api_token: geheim-1\npassword:\n- geheim-2\nmodels:\n  Secret: {mapping: x}\n";
        let mut json = to_json(before).unwrap();
        assert_eq!((&json["api_token"], &json["password"]), (&json!(MASK), &json!(MASK)));
        assert_eq!(json["models"]["Secret"]["mapping"], "x");
        json["models"]["Secret"]["mapping"] = "y".into();
        let after = tree(&merged(before, &json).unwrap()).unwrap();
        assert_eq!(
            (&after["api_token"], &after["password"]),
            (&"geheim-1".into(), &tree(before).unwrap()["password"])
        );
        assert_eq!(after["models"]["Secret"]["mapping"], "y");
        json["api_token"] = "new".into();
        assert_eq!(tree(&merged(before, &json).unwrap()).unwrap()["api_token"], "new");
        for text in ["", "api_token: ''"] {
            assert_eq!(merged(text, &object(json!({"api_token": MASK}))).unwrap_err().field, "api_token");
        }
    }

    proptest! {
        #[test]
        fn any_words_survive_the_way_through_yaml(words in prop::collection::vec(any::<String>(), 3)) {
            let [bot, name, about] = <[String; 3]>::try_from(words).unwrap();
            let posted = object(json!({"models": {bot.clone(): {"mapping": name, "description": about}}}));
            match merged("", &posted) {
                Ok(text) => {
                    let json = to_json(&text).unwrap();
                    prop_assert_eq!(&json["models"][&bot]["mapping"], &json!(name), "{}", text);
                    prop_assert_eq!(&json["models"][&bot]["description"], &json!(about), "{}", text);
                }
                Err(fault) => prop_assert!(fault.message.contains("without loss of data"), "{}", fault),
            }
        }
    }
}
