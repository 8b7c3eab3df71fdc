//! keys.yaml: keys of clients with their limits. Only hashes of the keys are stored.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use crate::clock;
use crate::error::{Error, Kind, Result};

/// The file's name inside the configuration directory.
pub const FILE_NAME: &str = "keys.yaml";
/// How many keys there may be.
pub const MAX_KEYS: usize = 1000;
/// How keys that are made here begin: clients and scanners take it for a key.
const BEGINNING: &str = "sk-p2o-";
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789xy";
const LENGTH: usize = 36;
/// How much of the end of a key stays visible.
const SHOWN: usize = 4;
const MAX_NAME: usize = 64;
const MAX_NOTE: usize = 500;
const MAX_MODELS: usize = 200;
const MAX_PATTERN: usize = 200;
/// The times of a key's requests within the last minute are kept.
const MAX_A_MINUTE: u64 = 10_000;
const MAX_BUDGET: f64 = 1e9;
const HEAD: &str = "# Keys of clients, each stored as its SHA-256. Written by the server and by `poe2openai keys`; comments are not kept.\n\
                    # Without its last line the file is torn and is not applied.\n";

/// Whether a key was made here, or would have been: it is of no use elsewhere.
pub fn is_made_here(key: &str) -> bool {
    key.starts_with(BEGINNING)
}

/// The SHA-256 of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Of the key that a client shows. Keys are random, so that a fast hash is enough.
    pub fn of(key: &str) -> KeyHash {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
        KeyHash(bytes)
    }

    /// Whether both are of the same key, in constant time.
    pub fn is(&self, other: &KeyHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.hex().serialize(to)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<KeyHash, D::Error> {
        let text = String::deserialize(from)?;
        let byte = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
        let bytes = bytes.filter(|_| text.len() == 64).and_then(|bytes| bytes.try_into().ok());
        bytes.map(KeyHash).ok_or_else(|| serde::de::Error::custom("sha256: expected 64 hexadecimal digits"))
    }
}

/// One key of keys.yaml.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientKey {
    /// By what it is called in the admin API; made of the hash where the file has none.
    #[serde(default)]
    pub id: String,
    /// What the operator calls it.
    pub name: String,
    /// What is kept of the key.
    pub sha256: KeyHash,
    /// Beginning and end of the key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// When it was made, in seconds since 1970.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// From when on it is not accepted, in seconds since 1970.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// Names and patterns of the models that it may use; all if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// How many requests within 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// How many points a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_points: Option<f64>,
    /// How many points a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_points: Option<f64>,
    /// How many dollars a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_cost: Option<f64>,
    /// How many dollars a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_cost: Option<f64>,
    /// For the operator.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Not accepted for now.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disabled: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Times as people write them.
mod time {
    use super::*;

    pub(super) fn serialize<S: Serializer>(time: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        time.map(clock::rfc3339).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let read = |text: String| {
            let wrong = || {
                serde::de::Error::custom(format!(
                    "expected a time such as 2027-01-31T12:00:00Z, found {text}"
                ))
            };
            clock::parse(&text).ok_or_else(wrong)
        };
        text.map(read).transpose()
    }
}

impl ClientKey {
    /// A new key called `name`, and the key itself, which is shown once.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn make(name: &str, now: u64) -> Result<(ClientKey, String)> {
        let mut bytes = [0; LENGTH];
        let random = SystemRandom::new().fill(&mut bytes);
        random.map_err(|_| Error::new(Kind::Internal, "the system has no random numbers"))?;
        let letters: String = bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 64)])).collect();
        let secret = format!("{BEGINNING}{letters}");
        let sha256 = KeyHash::of(&secret);
        let key = ClientKey {
            id: id_of(&sha256),
            name: name.to_owned(),
            sha256,
            hint: format!("{BEGINNING}…{}", &letters[LENGTH - SHOWN..]),
            created: Some(now),
            expires: None,
            models: Vec::new(),
            requests_per_minute: None,
            daily_points: None,
            monthly_points: None,
            daily_cost: None,
            monthly_cost: None,
            note: String::new(),
            disabled: false,
        };
        Ok((key, secret))
    }

    /// Whether it is no longer accepted at `now`.
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Whether one of `names`, all of one model, is allowed.
    pub fn allows(&self, names: &[&str]) -> bool {
        let fits = |pattern: &String| names.iter().any(|name| fits(pattern, name));
        self.models.is_empty() || self.models.iter().any(fits)
    }

    /// Changes what `fields` say; null clears a limit.
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn apply(&mut self, fields: &Map<String, Value>) -> Result<()> {
        for (field, value) in fields {
            match field.as_str() {
                "name" => self.name = name(value)?,
                "note" => self.note = text(field, value, MAX_NOTE)?,
                "models" => self.models = models(value)?,
                "expires" => self.expires = expiry(value)?,
                "disabled" => {
                    let wrong = || Error::invalid("disabled", "disabled: expected true or false");
                    self.disabled = value.as_bool().ok_or_else(wrong)?;
                }
                "requests_per_minute" => self.requests_per_minute = a_minute(value)?,
                "daily_points" => self.daily_points = budget(field, value)?,
                "monthly_points" => self.monthly_points = budget(field, value)?,
                "daily_cost" => self.daily_cost = budget(field, value)?,
                "monthly_cost" => self.monthly_cost = budget(field, value)?,
                _ => return Err(Error::invalid(field, format!("{field}: there is no such field of a key"))),
            }
        }
        Ok(())
    }

    /// The same checks for what the file says.
    fn check(&self) -> Result<()> {
        let mut fields = serde_json::to_value(self).unwrap_or_default();
        let fields = fields.as_object_mut().map(std::mem::take).unwrap_or_default();
        let is_set = |name: &str| !["id", "sha256", "hint", "created"].contains(&name);
        let fields = fields.into_iter().filter(|(name, _)| is_set(name)).collect();
        self.clone().apply(&fields)
    }
}

fn id_of(hash: &KeyHash) -> String {
    format!("key_{}", &hash.hex()[..16])
}

fn text(field: &str, value: &Value, most: usize) -> Result<String> {
    let is_text = |text: &&str| text.chars().count() <= most && !text.chars().any(char::is_control);
    let wrong = || format!("{field}: expected a text of at most {most} characters on one line");
    match value {
        Value::Null => Ok(String::new()),
        value => {
            let text = value.as_str().map(str::trim).filter(is_text);
            text.map(str::to_owned).ok_or_else(|| Error::invalid(field, wrong()))
        }
    }
}

fn name(value: &Value) -> Result<String> {
    match text("name", value, MAX_NAME)? {
        name if name.is_empty() => Err(Error::invalid("name", "name: expected a name for the key")),
        name => Ok(name),
    }
}

fn models(value: &Value) -> Result<Vec<String>> {
    let wrong = |field: String, words: &str| Error::invalid(&field, format!("{field}: {words}"));
    let list = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) if list.len() <= MAX_MODELS => list,
        _ => {
            let words = format!("expected a list of at most {MAX_MODELS} names or patterns");
            return Err(wrong("models".to_owned(), &words));
        }
    };
    let name = |(at, value): (usize, &Value)| {
        let field = format!("models[{at}]");
        match text(&field, value, MAX_PATTERN)? {
            name if name.is_empty() => Err(wrong(field, "expected the name of a model, or a pattern with *")),
            name => Ok(name),
        }
    };
    list.iter().enumerate().map(name).collect()
}

/// A time, or a day at whose end the key expires.
fn expiry(value: &Value) -> Result<Option<u64>> {
    const A_DAY: u64 = 86_400;
    let time = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_u64().filter(|time| *time < 1 << 40),
        Value::String(text) if text.len() == "2027-01-31".len() => clock::parse(text).map(|day| day + A_DAY),
        Value::String(text) => clock::parse(text),
        _ => None,
    };
    let expected =
        "expires: expected a day (2027-01-31), a time of UTC (2027-01-31T12:00:00Z) or seconds since 1970";
    time.map(Some).ok_or_else(|| Error::invalid("expires", expected))
}

fn a_minute(value: &Value) -> Result<Option<u64>> {
    let is_number = |number: &u64| (1..=MAX_A_MINUTE).contains(number);
    let wrong = || {
        let message = format!("requests_per_minute: expected a whole number from 1 to {MAX_A_MINUTE}");
        Error::invalid("requests_per_minute", message)
    };
    match value {
        Value::Null => Ok(None),
        value => value.as_u64().filter(is_number).map(Some).ok_or_else(wrong),
    }
}

fn budget(field: &str, value: &Value) -> Result<Option<f64>> {
    let is_budget = |number: &f64| *number > 0.0 && *number <= MAX_BUDGET;
    let wrong =
        || Error::invalid(field, format!("{field}: expected a number above 0, of at most {MAX_BUDGET}"));
    match value {
        Value::Null => Ok(None),
        value => value.as_f64().filter(is_budget).map(Some).ok_or_else(wrong),
    }
}

/// Whether `name` fits a pattern in which `*` stands for any characters. Case does not matter.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(last)
}

/// All keys of the file.
#[derive(Debug, Default)]
pub struct KeyList {
    /// In the order of the file.
    pub keys: Vec<Arc<ClientKey>>,
    by_hash: HashMap<KeyHash, Arc<ClientKey>>,
}

impl KeyList {
    /// Puts keys together.
    pub fn new(keys: Vec<ClientKey>) -> KeyList {
        let keys: Vec<Arc<ClientKey>> = keys.into_iter().map(Arc::new).collect();
        KeyList { by_hash: keys.iter().map(|key| (key.sha256, Arc::clone(key))).collect(), keys }
    }

    /// The key with this hash. How long the search takes depends on the hash alone, which nobody can choose.
    pub fn find(&self, hash: &KeyHash) -> Option<&Arc<ClientKey>> {
        self.by_hash.get(hash)
    }

    /// The key with this id.
    pub fn by_id(&self, id: &str) -> Option<&Arc<ClientKey>> {
        self.keys.iter().find(|key| key.id == id)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: Vec<ClientKey>,
    /// The last line: the beginning of a YAML file is a YAML file too, with fewer limits.
    #[serde(default)]
    complete: bool,
}

/// Reads the text of the file.
///
/// # Errors
/// What is wrong, with the line or the key concerned. A limit that is not understood may not be ignored.
pub fn parse(text: &str) -> Result<Vec<ClientKey>, String> {
    let file: File = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    let head = HEAD.lines().next().unwrap_or_default();
    if text.starts_with(head) && !file.complete {
        return Err("the file is torn: its last line, `complete: true`, is missing".to_owned());
    }
    let mut keys = file.keys;
    for key in keys.iter_mut().filter(|key| key.id.is_empty()) {
        key.id = id_of(&key.sha256);
    }
    check(&keys).map_err(|error| error.message)?;
    Ok(keys)
}

/// The text of the file.
///
/// # Errors
/// None in practice: every key can be written.
pub fn render(keys: &[ClientKey]) -> Result<String, String> {
    let file = File { keys: keys.to_vec(), complete: true };
    serde_yaml::to_string(&file).map(|text| format!("{HEAD}{text}")).map_err(|error| error.to_string())
}

/// Whether the keys can stand beside each other.
///
/// # Errors
/// The field that is wrong.
pub fn check(keys: &[ClientKey]) -> Result<()> {
    if keys.len() > MAX_KEYS {
        return Err(Error::new(Kind::InvalidRequest, format!("there may be at most {MAX_KEYS} keys")));
    }
    let (mut names, mut ids, mut hashes) = (HashSet::new(), HashSet::new(), HashSet::new());
    for key in keys {
        let wrong = |error: Error| Error { message: format!("key {}: {}", key.name, error.message), ..error };
        key.check().map_err(wrong)?;
        if !names.insert(key.name.to_lowercase()) {
            let message = format!("name: there is a key called {} already", key.name);
            return Err(Error::new(Kind::Conflict, message).about("name"));
        }
        let is_id = key.id.len() <= MAX_NAME
            && key.id.starts_with("key_")
            && key.id.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_id || !ids.insert(&key.id) || !hashes.insert(key.sha256) {
            return Err(Error::new(
                Kind::Conflict,
                format!("key {}: id or sha256 is that of another key", key.name),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(name: &str) -> ClientKey {
        ClientKey::make(name, 1_795_400_000).unwrap().0
    }

    fn changed(fields: Value) -> Result<ClientKey> {
        let mut changed = key("a");
        changed.apply(fields.as_object().unwrap()).map(|()| changed)
    }

    #[test]
    fn what_is_written_is_read_again_and_holds_no_key() {
        let (mut one, secret) = ClientKey::make("daughter: \"x\"", 1_795_400_000).unwrap();
        let fields = json!({"models": ["claude-*", "*"], "expires": "2027-01-31", "requests_per_minute": 5,
            "daily_points": 5000, "monthly_cost": 0.5, "note": "- a: b", "disabled": true});
        one.apply(fields.as_object().unwrap()).unwrap();
        assert_eq!(one.expires, clock::parse("2027-02-01"), "at the end of the day");
        let keys = vec![one, key("b")];
        let text = render(&keys).unwrap();
        assert_eq!(parse(&text).unwrap(), keys);
        assert!(!text.contains(&secret) && text.contains(&secret[secret.len() - SHOWN..]));
        assert!(secret.len() == BEGINNING.len() + LENGTH && KeyHash::of(&secret) == keys[0].sha256);
        for cut in (0..text.trim_end().len()).filter(|cut| text.is_char_boundary(*cut)) {
            assert!(parse(&text[..cut]).is_err(), "{}", &text[..cut]);
        }
        assert_eq!(parse(&render(&[]).unwrap()).unwrap(), []);
        assert_eq!(parse("keys: []").unwrap(), []);
    }

    #[test]
    fn what_people_write_by_hand_needs_a_name_and_a_hash() {
        let hash = KeyHash::of("my own key").hex();
        let keys = parse(&format!("keys:\n- name: me\n  sha256: {hash}\n  expires: 2027-01-31\n")).unwrap();
        assert_eq!(
            (keys[0].id.as_str(), keys[0].expires),
            (id_of(&KeyHash::of("my own key")).as_str(), clock::parse("2027-01-31"))
        );
        let wrong = [
            format!("keys:\n- name: me\n  sha256: {hash}\n  daily_point: 5\n"),
            format!("keys:\n- name: me\n  sha256: {hash}\n  daily_points: -5\n"),
            format!(
                "keys:\n- name: me\n  sha256: {hash}\n- name: ME\n  sha256: {}\n",
                KeyHash::of("x").hex()
            ),
            format!("keys:\n- name: me\n  sha256: {hash}\n- name: you\n  sha256: {hash}\n"),
            "keys:\n- name: me\n  sha256: abc\n".to_owned(),
            "keys:\n- name: me\n".to_owned(),
            "key: []\n".to_owned(),
            "keys: [\n".to_owned(),
            String::new(),
        ];
        for text in wrong {
            assert!(parse(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        for (fields, field) in [
            (json!({"name": ""}), "name"),
            (json!({"name": "a\nb"}), "name"),
            (json!({"name": "x".repeat(65)}), "name"),
            (json!({"models": "gpt"}), "models"),
            (json!({"models": ["a", 1]}), "models[1]"),
            (json!({"models": [" "]}), "models[0]"),
            (json!({"expires": "tomorrow"}), "expires"),
            (json!({"expires": -1}), "expires"),
            (json!({"requests_per_minute": 0}), "requests_per_minute"),
            (json!({"requests_per_minute": 1.5}), "requests_per_minute"),
            (json!({"daily_points": 0}), "daily_points"),
            (json!({"monthly_cost": "5"}), "monthly_cost"),
            (json!({"disabled": "yes"}), "disabled"),
            (json!({"id": "x"}), "id"),
            (json!({"sha256": "x"}), "sha256"),
        ] {
            assert_eq!(changed(fields.clone()).unwrap_err().param.as_deref(), Some(field), "{fields}");
        }
        let cleared = changed(json!({"daily_points": 1, "expires": 5, "note": "n"})).and_then(|mut key| {
            key.apply(
                json!({"daily_points": null, "expires": null, "note": null, "models": null})
                    .as_object()
                    .unwrap(),
            )?;
            Ok(key)
        });
        let cleared = cleared.unwrap();
        assert_eq!((cleared.daily_points, cleared.expires, cleared.note.as_str()), (None, None, ""));
    }

    #[test]
    fn patterns_allow_what_they_name() {
        let allows = |models: Value, name: &str| changed(json!({"models": models})).unwrap().allows(&[name]);
        for (models, name, expected) in [
            (json!([]), "anything", true),
            (json!(["GPT-5.2"]), "gpt-5.2", true),
            (json!(["gpt-5.2"]), "gpt-5.2-pro", false),
            (json!(["claude-*"]), "Claude-Opus", true),
            (json!(["claude-*"]), "my-claude-opus", false),
            (json!(["*-mini", "a*b*c"]), "gpt-mini", true),
            (json!(["a*b*c"]), "a-b-b-c", true),
            (json!(["a*b*c"]), "acb", false),
            (json!(["ab*ba"]), "aba", false),
            (json!(["*"]), "", true),
        ] {
            assert_eq!(allows(models.clone(), name), expected, "{models} {name}");
        }
    }
}
