//! Converts models.yaml to JSON for the admin page and back to YAML; unknown keys survive.
//!
//! Secrets are shown as [`MASK`]; a mask that comes back stands for the secret.

use std::collections::HashMap;

use serde_json::{Map, Value};
use serde_yaml::{Mapping, Value as Yaml};

pub use super::mask::{MASK, masked, unmasked};
use super::mask::{TOKEN, bots, is_secret, long, tokens};
use super::tree::{name_of, tree};
use super::{Fault, KEYS, MODEL_KEYS};

/// The file as JSON, its secret masked: the keys of the reference are always there, foreign ones where the file has them.
pub fn to_json(text: &str) -> Result<Map<String, Value>, Fault> {
    let tree = tree(text)?;
    let secrets = tokens(&tree);
    match shown(&tree, &secrets) {
        Value::Object(mut json) => {
            if json.get(TOKEN).is_some_and(|token| token.as_str() == Some("")) {
                json.insert(TOKEN.to_owned(), Value::Null);
            }
            Ok(with_defaults(json))
        }
        _ => Ok(with_defaults(Map::new())),
    }
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
    put(TOKEN, Value::Null);
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

/// The text of `before` with what `posted` says. Keys at the top that `posted` leaves out stay as they are, null takes
/// them away; a model is as posted, and one that is not posted is gone; unknown keys stay in either.
pub fn merged(before: &str, posted: &Map<String, Value>) -> Result<String, Fault> {
    let tree = tree(before)?;
    let merge = Merge { secrets: tokens(&tree) };
    let mut tree = match tree {
        Yaml::Mapping(tree) => tree,
        _ => Mapping::new(),
    };
    let known = KEYS.iter().copied().filter(|key| posted.contains_key(*key));
    let foreign = posted.keys().map(String::as_str).filter(|key| !KEYS.contains(key));
    for key in known.chain(foreign) {
        match (&posted[key], key) {
            (Value::Null, key) if KEYS.contains(&key) => drop(tree.shift_remove(key)),
            (Value::Object(models), "models") => {
                let models = merge.models(tree.get("models"), models)?;
                tree.insert(key.into(), models);
            }
            (Value::Array(custom), "custom_models") => {
                let custom = merge.custom(tree.get(key), custom)?;
                tree.insert(key.into(), custom);
            }
            (value, _) => merge.put(&mut tree, key, value, key)?,
        }
    }
    write(&Yaml::Mapping(tree))
}

/// Puts together what was there and what is posted.
struct Merge {
    /// Those of the file, which masks in what is posted stand for.
    secrets: Vec<String>,
}

impl Merge {
    fn models(&self, before: Option<&Yaml>, posted: &Map<String, Value>) -> Result<Yaml, Fault> {
        let before = before.and_then(Yaml::as_mapping);
        let (mut exact, mut small) = (HashMap::new(), HashMap::new());
        for (name, entry) in before.into_iter().flatten() {
            let name = name_of(name);
            small.entry(name.to_lowercase()).or_insert(entry);
            exact.entry(name).or_insert(entry);
        }
        let entry_of = |bot: &str| exact.get(bot).or_else(|| small.get(&bot.to_lowercase())).copied();
        let models = posted.iter().map(|(bot, entry)| {
            let (before, at) = (entry_of(bot), format!("models.{bot}"));
            let entry = match entry {
                Value::Object(entry) => self.entry(before, entry, MODEL_KEYS, &at)?,
                other => self.value(before, other, &at, false)?,
            };
            Ok((Yaml::from(bot.as_str()), entry))
        });
        Ok(Yaml::Mapping(models.collect::<Result<_, Fault>>()?))
    }

    fn custom(&self, before: Option<&Yaml>, posted: &[Value]) -> Result<Yaml, Fault> {
        let mut entries: HashMap<Value, &Yaml> = HashMap::new();
        for entry in before.and_then(Yaml::as_sequence).into_iter().flatten() {
            if let Some(id) = entry.get("id") {
                entries.entry(json_of(id)).or_insert(entry);
            }
        }
        let entry_of = |id: &Value| entries.get(id).copied();
        let models = posted.iter().enumerate().map(|(at, model)| {
            let at = format!("custom_models[{at}]");
            match model {
                Value::Object(model) => {
                    self.entry(model.get("id").and_then(entry_of), model, super::CUSTOM_KEYS, &at)
                }
                other => self.value(None, other, &at, false),
            }
        });
        Ok(Yaml::Sequence(models.collect::<Result<_, Fault>>()?))
    }

    /// What `posted` says, under the keys of `known` alone, with the foreign keys of both; in the order of `before`.
    fn entry(
        &self,
        before: Option<&Yaml>,
        posted: &Map<String, Value>,
        known: &[&str],
        at: &str,
    ) -> Result<Yaml, Fault> {
        let mut entry = before.and_then(Yaml::as_mapping).cloned().unwrap_or_default();
        entry.retain(|key, _| {
            let name = name_of(key);
            !known.contains(&name.as_str()) || posted.get(&name).is_some_and(|value| !value.is_null())
        });
        for (key, value) in
            posted.iter().filter(|(key, value)| !value.is_null() || !known.contains(&key.as_str()))
        {
            self.put(&mut entry, key, value, &format!("{at}.{key}"))?;
        }
        Ok(Yaml::Mapping(entry))
    }

    /// Puts `value` where the key is, unless it is what stands there already, perhaps in words that JSON does not have.
    fn put(&self, mapping: &mut Mapping, key: &str, value: &Value, at: &str) -> Result<(), Fault> {
        let hides = is_secret(key);
        match mapping.iter_mut().find(|(name, _)| name_of(name) == key) {
            Some((_, before)) => *before = self.value(Some(before), value, at, hides)?,
            None => drop(mapping.insert(key.into(), self.value(None, value, at, hides)?)),
        }
        Ok(())
    }

    /// What is posted in place of `before`, with the secrets that masks in it stand for.
    fn value(&self, before: Option<&Yaml>, posted: &Value, at: &str, hides: bool) -> Result<Yaml, Fault> {
        if let Some(same) = before.filter(|before| shown_at(before, &self.secrets, hides) == *posted) {
            return Ok(same.clone());
        }
        match posted {
            Value::Object(posted) => {
                let before = before.and_then(Yaml::as_mapping);
                let entry = |(key, value): (&String, &Value)| {
                    let before = before.into_iter().flatten().find(|(name, _)| name_of(name) == *key);
                    let (at, hides) = (format!("{at}.{key}"), hides || is_secret(key));
                    let value = self.value(before.map(|(_, value)| value), value, &at, hides)?;
                    Ok((before.map_or_else(|| key.as_str().into(), |(name, _)| name.clone()), value))
                };
                Ok(Yaml::Mapping(posted.iter().map(entry).collect::<Result<_, Fault>>()?))
            }
            Value::Array(posted) => {
                let before = before.and_then(Yaml::as_sequence).map_or(&[][..], |before| before);
                let counterparts = self.counterparts(before, posted, hides);
                let all = posted.iter().zip(counterparts).enumerate().map(|(place, (value, before))| {
                    self.value(before, value, &format!("{at}[{place}]"), hides)
                });
                Ok(Yaml::Sequence(all.collect::<Result<_, Fault>>()?))
            }
            Value::String(text) if text.contains(MASK) && (hides || !self.secrets.is_empty()) => {
                let message = format!("{MASK} stands for a secret that the file does not hold here");
                Err(Fault { place: None, field: at.to_owned(), message })
            }
            other => Ok(yaml_of(other)),
        }
    }

    /// For each item of a list what it was before: the one that looks alike, for items move; else, while none came and
    /// none went, the one at its place. Among items that look alike it is undecidable which is meant.
    fn counterparts<'a>(&self, before: &'a [Yaml], posted: &[Value], hides: bool) -> Vec<Option<&'a Yaml>> {
        let shown: Vec<Value> = before.iter().map(|one| shown_at(one, &self.secrets, hides)).collect();
        // the first of those that look alike, if they are alike
        let mut firsts: HashMap<&Value, Option<usize>> = HashMap::new();
        for (at, one) in shown.iter().enumerate() {
            let first = firsts.entry(one).or_insert(Some(at));
            *first = first.filter(|first| before[*first] == before[at]);
        }
        let is_as_long = before.len() == posted.len();
        let mut taken = vec![false; before.len()];
        let alike = |(at, value): (usize, &Value)| match is_as_long && shown[at] == *value {
            true => Some(at),
            false => firsts.get(value).copied().flatten(),
        };
        let found: Vec<Option<usize>> = posted.iter().enumerate().map(alike).collect();
        found.iter().flatten().for_each(|at| taken[*at] = true);
        let at_its_place = |at: usize| Some(at).filter(|at| is_as_long && !taken[*at]);
        let places = found.iter().enumerate().map(|(at, found)| found.or_else(|| at_its_place(at)));
        places.map(|place| Some(&before[place?])).collect()
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

/// A value as JSON: keys become text, tags go, and what JSON cannot say (infinity) is null.
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

/// As [`json_of`], without the secrets.
fn shown(tree: &Yaml, secrets: &[String]) -> Value {
    let Yaml::Mapping(top) = tree else { return shown_at(tree, secrets, false) };
    let entry = |(key, value): (&Yaml, &Yaml)| {
        let name = name_of(key);
        let shown_bots = |bots: &Mapping| {
            let bots = bots.iter().map(|(bot, config)| (name_of(bot), shown_at(config, secrets, false)));
            Value::Object(bots.collect())
        };
        let hides = is_secret(&name);
        (name, bots(key, value).map_or_else(|| shown_at(value, secrets, hides), shown_bots))
    };
    Value::Object(top.iter().map(entry).collect())
}

fn shown_at(value: &Yaml, secrets: &[String], hides: bool) -> Value {
    match value {
        Yaml::Mapping(mapping) if !hides => {
            let entry = |(key, value): (&Yaml, &Yaml)| {
                let name = name_of(key);
                let hides = is_secret(&name);
                (name, shown_at(value, secrets, hides))
            };
            Value::Object(mapping.iter().map(entry).collect())
        }
        Yaml::Sequence(all) if !hides => {
            Value::Array(all.iter().map(|value| shown_at(value, secrets, false)).collect())
        }
        Yaml::Tagged(tagged) => shown_at(&tagged.value, secrets, hides),
        Yaml::Null => Value::Null,
        Yaml::String(text) if text.is_empty() => "".into(),
        _ if hides => MASK.into(),
        Yaml::String(text) => {
            let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
            long(&secrets).fold(text.clone(), |text, secret| text.replace(secret, MASK)).into()
        }
        plain => json_of(plain),
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
    fn nested_secrets_are_masked_and_a_mask_leaves_them_alone() {
        let before = "api_token: geheim-top\nmodels:\n  A: {api_token: geheim-a, mapping: x}\n  B: {}\n\
                      mine:\n- {api_token: [geheim-l, geheim-m], url: 'https://geheim-top@x'}\n";
        let shown = to_json(before).unwrap();
        let text = Value::Object(shown.clone()).to_string();
        assert!(!text.contains("geheim"), "{text}");
        let after = merged(before, &shown).unwrap();
        assert_eq!(tree(&after).unwrap()["models"]["A"]["api_token"], "geheim-a");
        assert_eq!(tree(&after).unwrap()["mine"], tree(before).unwrap()["mine"]);
        let mut changed = shown.clone();
        changed["models"]["A"]["mapping"] = "y".into();
        changed["mine"][0]["new"] = 1.into();
        let after = merged(before, &changed).unwrap();
        for kept in
            ["api_token: geheim-top", "api_token: geheim-a", "- geheim-l", "https://geheim-top@x", "new: 1"]
        {
            assert!(after.contains(kept), "{kept}: {after}");
        }
        let mut moved = shown.clone();
        moved["models"] = json!({"C": {"api_token": MASK}});
        assert_eq!(merged(before, &moved).unwrap_err().field, "models.C.api_token");
        assert_eq!(merged("", &object(json!({"api_token": MASK}))).unwrap_err().field, "api_token");
    }

    #[test]
    fn every_kind_of_secret_is_masked_and_stays_with_its_key() {
        let before = "password: geheim-1111\ntoken: geheim-2222\nmodels:\n  Top-Secret: {mapping: x, api_key: geheim-3333}\n\
                      users:\n- {name: a, secret: geheim-4444}\n- {name: b, secret: geheim-5555}\n";
        let shown = to_json(before).unwrap();
        let text = Value::Object(shown.clone()).to_string();
        assert!(!text.contains("geheim"), "{text}");
        assert_eq!(shown["models"]["Top-Secret"]["mapping"], "x");
        let mut changed = shown.clone();
        changed["users"] = json!([shown["users"][1], shown["users"][0]]);
        changed["models"]["Top-Secret"]["mapping"] = "y".into();
        let after = merged(before, &changed).unwrap();
        let users = |text: &str| tree(text).unwrap()["users"].as_sequence().unwrap().clone();
        let [one, other] = <[Yaml; 2]>::try_from(users(before)).unwrap();
        assert_eq!(users(&after), [other, one], "moved with what they belong to");
        for kept in ["password: geheim-1111", "token: geheim-2222", "api_key: geheim-3333", "mapping: y"] {
            assert!(after.contains(kept), "{kept}: {after}");
        }
        // one moved and the other new: it is undecidable whose the mask is
        changed["users"] = json!([{"name": "c", "secret": MASK}, shown["users"][0]]);
        assert_eq!(merged(before, &changed).unwrap_err().field, "users[0].secret");
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
