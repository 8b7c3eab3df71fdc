//! models.yaml as JSON for the admin page, and back into YAML: what a program does not know survives it.
//!
//! The secret in the file is shown as [`MASK`], in JSON and in YAML; a mask that comes back stands for the secret.

use std::ops::Range;

use serde_json::{Map, Value};
use serde_yaml::{Mapping, Value as Yaml};

use super::{Fault, KEYS, MODEL_KEYS, locate, yaml_fault};

/// What stands in place of a secret.
pub const MASK: &str = "********";

const TOKEN: &str = "api_token";

/// The text as a tree; nothing at all is null.
pub(super) fn tree(text: &str) -> Result<Yaml, Fault> {
    match serde_yaml::from_str(text) {
        Ok(tree) => Ok(tree),
        Err(error) if error.location().is_none() => Ok(Yaml::Null),
        Err(error) => Err(yaml_fault(&error)),
    }
}

/// The file as JSON, its secret masked: the keys of the reference are always there, foreign ones where the file has them.
pub fn to_json(text: &str) -> Result<Map<String, Value>, Fault> {
    let Yaml::Mapping(tree) = tree(text)? else { return Ok(with_defaults(Map::new())) };
    let mut json = Map::new();
    for (key, value) in &tree {
        json.insert(name_of(key), json_of(value));
    }
    let is_set = json.get(TOKEN).is_some_and(|token| !token.is_null() && token.as_str() != Some(""));
    json.insert(TOKEN.to_owned(), if is_set { MASK.into() } else { Value::Null });
    Ok(with_defaults(json))
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
/// them away; a model is as posted, and one that is not posted is gone; keys that nobody here knows stay in either.
pub fn merged(before: &str, posted: &Map<String, Value>) -> Result<String, Fault> {
    let mut tree = match tree(before)? {
        Yaml::Mapping(tree) => tree,
        _ => Mapping::new(),
    };
    let known = KEYS.iter().copied().filter(|key| posted.contains_key(*key));
    let foreign = posted.keys().map(String::as_str).filter(|key| !KEYS.contains(key));
    for key in known.chain(foreign) {
        let value = &posted[key];
        if key == TOKEN && value.as_str() == Some(MASK) {
            continue;
        }
        match (value, key) {
            (Value::Null, key) if KEYS.contains(&key) => drop(tree.shift_remove(key)),
            (Value::Object(models), "models") => {
                let models = merged_models(tree.get("models"), models);
                tree.insert(key.into(), models);
            }
            (Value::Array(custom), "custom_models") => {
                let custom = merged_custom(tree.get(key), custom);
                tree.insert(key.into(), custom);
            }
            _ => put(&mut tree, key, value),
        }
    }
    write(&Yaml::Mapping(tree))
}

fn merged_models(before: Option<&Yaml>, posted: &Map<String, Value>) -> Yaml {
    let before = before.and_then(Yaml::as_mapping);
    let entry_of = |bot: &str| {
        let entries = || before.into_iter().flatten();
        let exact = entries().find(|(name, _)| name_of(name) == bot);
        exact.or_else(|| entries().find(|(name, _)| name_of(name).to_lowercase() == bot.to_lowercase()))
    };
    let models = posted.iter().map(|(bot, entry)| {
        let entry = match entry {
            Value::Object(entry) => merged_entry(entry_of(bot).map(|(_, entry)| entry), entry, MODEL_KEYS),
            other => yaml_of(other),
        };
        (Yaml::from(bot.as_str()), entry)
    });
    Yaml::Mapping(models.collect())
}

fn merged_custom(before: Option<&Yaml>, posted: &[Value]) -> Yaml {
    let before = before.and_then(Yaml::as_sequence);
    let entry_of =
        |id: &Value| before?.iter().find(|entry| entry.get("id").map(json_of).as_ref() == Some(id));
    let models = posted.iter().map(|model| match model {
        Value::Object(model) => merged_entry(model.get("id").and_then(entry_of), model, super::CUSTOM_KEYS),
        other => yaml_of(other),
    });
    Yaml::Sequence(models.collect())
}

/// What `posted` says, under the keys of `known` alone, with the foreign keys of both; in the order of `before`.
fn merged_entry(before: Option<&Yaml>, posted: &Map<String, Value>, known: &[&str]) -> Yaml {
    let mut entry = before.and_then(Yaml::as_mapping).cloned().unwrap_or_default();
    entry.retain(|key, _| {
        let name = name_of(key);
        !known.contains(&name.as_str()) || posted.get(&name).is_some_and(|value| !value.is_null())
    });
    for (key, value) in
        posted.iter().filter(|(key, value)| !value.is_null() || !known.contains(&key.as_str()))
    {
        put(&mut entry, key, value);
    }
    Yaml::Mapping(entry)
}

/// Puts `value` where the key is, unless it is what stands there already, perhaps in words that JSON does not have.
fn put(mapping: &mut Mapping, key: &str, value: &Value) {
    let place = mapping.iter_mut().find(|(name, _)| name_of(name) == key);
    match place {
        Some((_, before)) if json_of(before) == *value => {}
        Some((_, before)) => *before = yaml_of(value),
        None => drop(mapping.insert(key.into(), yaml_of(value))),
    }
}

fn write(tree: &Yaml) -> Result<String, Fault> {
    let unwritten = |message: String| Fault { place: None, field: String::new(), message };
    let text = serde_yaml::to_string(tree).map_err(|error| unwritten(error.to_string()))?;
    match self::tree(&text) {
        Ok(read) if read == *tree => Ok(text),
        _ => Err(unwritten("it cannot be written as YAML without a loss".to_owned())),
    }
}

fn name_of(key: &Yaml) -> String {
    match locate::Step::from_key(key) {
        locate::Step::Key(name) => name,
        locate::Step::Place(place) => place.to_string(),
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

fn yaml_of(value: &Value) -> Yaml {
    serde_yaml::to_value(value).unwrap_or_default()
}

/// The text with every value of an `api_token` masked, also in comments and in a text that is no YAML. `tokens` are
/// those known of it: should one stand anywhere else, it is masked there too.
pub fn masked(text: &str, tokens: &[&str]) -> String {
    let mut masked = text.to_owned();
    for span in secrets(text).into_iter().rev() {
        let space = if text[..span.start].ends_with(':') { " " } else { "" };
        masked.replace_range(span, &format!("{space}\"{MASK}\""));
    }
    for token in tokens.iter().filter(|token| token.len() >= SHORTEST_SECRET) {
        masked = masked.replace(token, MASK);
    }
    masked
}

/// What is shorter may be a part of any word.
const SHORTEST_SECRET: usize = 8;

/// The text with the mask of `api_token` replaced by the token itself, where there is one.
pub fn unmasked(text: &str, token: Option<&str>) -> Result<String, Fault> {
    let is_masked = |text: &str| {
        let tree = tree(text).unwrap_or_default();
        tree.get(TOKEN).and_then(Yaml::as_str) == Some(MASK)
    };
    if !is_masked(text) {
        return Ok(text.to_owned());
    }
    let lost = || Fault {
        place: locate::place(text, &[TOKEN.into()]),
        field: TOKEN.to_owned(),
        message: format!("{MASK} stands for a secret, and the file holds none"),
    };
    let token = Value::from(token.ok_or_else(lost)?).to_string(); // a string of JSON is one of YAML too
    let mut unmasked = text.to_owned();
    for span in secrets(text).into_iter().rev() {
        if unmasked[span.clone()].trim_matches(['"', '\'']) == MASK && !in_comment(text, span.start) {
            unmasked.replace_range(span, &token);
        }
    }
    if is_masked(&unmasked) { Err(lost()) } else { Ok(unmasked) }
}

fn in_comment(text: &str, at: usize) -> bool {
    text[..at].rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with('#'))
}

/// Where the values of keys called `api_token` stand, as the eye finds them: on the rest of the line, or on the deeper
/// lines below it.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices(TOKEN) {
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let rest = &text[at + TOKEN.len()..];
        let after_quote = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start_matches([' ', '\t']);
        let Some(value) = after_quote.strip_prefix(':') else { continue };
        let value = value.trim_start_matches([' ', '\t']);
        let start = text.len() - value.len();
        let same_line = start + length(value);
        let indent = text[line..at].len() - text[line..at].trim_start_matches([' ', '\t']).len();
        let is_block = value.starts_with(['|', '>', '\n', '\r', '&', '!', '#']);
        let end = if is_block { end_of_block(text, start, indent) } else { same_line };
        let is_new = found.last().is_none_or(|last| last.end <= start);
        if end > start && is_new && !text[start..end].trim().is_empty() {
            found.push(start..end);
        }
    }
    found
}

/// How long the scalar is with which `value` begins.
fn length(value: &str) -> usize {
    let line = value.find(['\n', '\r']).unwrap_or(value.len());
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let bytes = value.as_bytes();
            let mut at = 1;
            while at < bytes.len() && bytes[at] != quote as u8 {
                at += if bytes[at] == b'\\' && quote == '"' { 2 } else { 1 };
            }
            (at + 1).min(value.len())
        }
        _ => {
            let plain = &value[..line];
            let end = [plain.find(" #"), plain.find(','), plain.find('}')];
            end.into_iter().flatten().min().unwrap_or(plain.trim_end().len())
        }
    }
}

/// The end of the lines below that are deeper than `indent`.
fn end_of_block(text: &str, start: usize, indent: usize) -> usize {
    let mut end = start + text[start..].find('\n').unwrap_or(text.len() - start);
    while let Some(line) = text.get(end + 1..).filter(|rest| !rest.is_empty()) {
        let line = line.split('\n').next().unwrap_or_default();
        let depth = line.len() - line.trim_start_matches([' ', '\t']).len();
        if depth <= indent || line.trim().is_empty() {
            break;
        }
        end += 1 + line.len();
    }
    end.min(text.len())
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
    fn secrets_are_masked_however_they_are_written() {
        let texts = [
            "api_token: geheim-geheim\nenable: true\n",
            "enable: true\napi_token:   'geheim-geheim'  # mine\n",
            "{\"enable\": true, \"api_token\": \"geheim-geheim\", \"models\": {}}",
            "{enable: true, api_token: geheim-geheim}",
            "api_token:\n  geheim-geheim\nenable: true\n",
            "api_token: |-\n  geheim-geheim\nenable: true\n",
            "api_token: &t geheim-geheim\nenable: true\n",
            "enable: true\r\napi_token: geheim-geheim\r\nmodels: {}\r\n",
        ];
        for text in texts {
            let shown = masked(text, &["geheim-geheim"]);
            assert!(!shown.contains("geheim"), "{shown}");
            assert_eq!(tree(&shown).unwrap()[TOKEN], MASK, "{shown}");
            let back = unmasked(&shown, Some("geheim-geheim")).unwrap();
            assert_eq!(tree(&back).unwrap(), tree(text).unwrap(), "{back}");
        }
        let broken = masked("models: [\n# api_token: geheim-geheim\napi_token: geheim-geheim\n", &[]);
        assert!(!broken.contains("geheim") && broken.contains("models: ["), "{broken}");
        let elsewhere = masked("api_token: *t\nkeys: &t geheim-geheim # geheim-geheim\n", &["geheim-geheim"]);
        assert!(!elsewhere.contains("geheim"), "{elsewhere}");
        for plain in ["api_token:\nenable: true\n", "api_token: \n", "models: {api_tokens: 1}\n", ""] {
            assert_eq!(masked(plain, &[]), plain);
        }
    }

    #[test]
    fn comments_outlive_the_mask_and_a_mask_needs_its_secret() {
        let text = "# top\napi_token: \"old \\\" one\" # mine\n# api_token: older\nmodels: {a: {description: '********'}}\n";
        let shown = masked(text, &["old \" one"]);
        let back = unmasked(&shown, Some("old \" one")).unwrap();
        assert_eq!(back, text.replace("older", "\"********\""));
        let fault = unmasked("enable: true\napi_token: '********'\n", None).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "line 2, column 1: api_token: ******** stands for a secret, and the file holds none"
        );
        assert_eq!(unmasked("api_token: new", Some("old")).unwrap(), "api_token: new");
    }

    proptest! {
        /// However it is written, broken or not: nothing panics, and a secret that the file has is not seen.
        #[test]
        fn no_text_shows_its_secret(text in r##"(api_token|geheim-geheim|"|'|:|: | |\n|\n  |\\|é|#|\||-|,|\{|\}|\[){0,40}"##) {
            let token = tree(&text).ok().and_then(|tree| Some(tree.get(TOKEN)?.as_str()?.to_owned()));
            let known: Vec<&str> = token.as_deref().into_iter().collect();
            let shown = masked(&text, &known);
            if let Some(token) = token.as_deref().filter(|token| token.contains("geheim-geheim") && !token.contains('\n')) {
                prop_assert!(!shown.contains(token), "{shown}");
            }
            let _ = unmasked(&shown, token.as_deref());
        }

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
                Err(fault) => prop_assert!(fault.message.contains("without a loss"), "{}", fault),
            }
        }
    }
}
