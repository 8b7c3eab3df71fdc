//! The command `keys`: its words and flags.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::Refusal;

/// Flags of `keys add`, and whether their values are numbers.
pub(super) const FLAGS: &[(&str, bool)] = &[
    ("models", false),
    ("requests-per-minute", true),
    ("daily-points", true),
    ("monthly-points", true),
    ("daily-cost", true),
    ("monthly-cost", true),
    ("expires", false),
    ("note", false),
];

/// Text of `--help`.
pub(super) const HELP: &str = "  keys         client keys of keys.yaml in CONFIG_DIR, also while the server runs:\n\
    \x20              keys add NAME [--models NAME,PATTERN*] [--requests-per-minute N] [--daily-points N]\n\
    \x20                [--monthly-points N] [--daily-cost DOLLARS] [--monthly-cost DOLLARS] [--expires 2027-01-31] [--note TEXT]\n\
    \x20              keys list, keys disable NAME, keys enable NAME, keys delete NAME\n";

/// What is to be done with the client keys.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyCommand {
    /// The directory of keys.yaml.
    pub dir: PathBuf,
    /// What.
    pub action: KeyAction,
}

/// One action on the client keys.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyAction {
    /// Adds a key with these fields.
    Add(Map<String, Value>),
    /// Prints all keys.
    List,
    /// Disables the key of that name or id, or enables it.
    Disable(String, bool),
    /// Deletes the key of that name or id.
    Delete(String),
}

/// What the words behind `keys` ask for; `flags` are those of [`FLAGS`] that were given.
pub(super) fn read(words: &[String], flags: &[(String, String)]) -> Result<KeyAction, Refusal> {
    let expected = "keys: expected add NAME, list, disable NAME, enable NAME or delete NAME";
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let (Some((flag, _)), false) = (flags.first(), words.first() == Some(&"add")) {
        return Err(Refusal::new(format!("--{flag} is a flag of `keys add` alone")));
    }
    match words.as_slice() {
        ["add", name] => {
            let mut fields = Map::from_iter([("name".to_owned(), Value::from(*name))]);
            for (flag, text) in flags {
                fields.insert(flag.replace('-', "_"), value(flag, text)?);
            }
            Ok(KeyAction::Add(fields))
        }
        ["list"] => Ok(KeyAction::List),
        ["disable", name] => Ok(KeyAction::Disable((*name).to_owned(), true)),
        ["enable", name] => Ok(KeyAction::Disable((*name).to_owned(), false)),
        ["delete", name] => Ok(KeyAction::Delete((*name).to_owned())),
        [] => Err(Refusal::new(expected)),
        [word @ ("add" | "disable" | "enable" | "delete")] => {
            Err(Refusal::new(format!("keys {word}: expected the name of a key behind it")))
        }
        [word, ..] => Err(Refusal::new(format!("{expected}; found {}", super::one_line(word)))),
    }
}

fn value(flag: &str, text: &str) -> Result<Value, Refusal> {
    let is_number = FLAGS.iter().any(|(name, is_number)| *name == flag && *is_number);
    if flag == "models" {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        return Ok(names.map(Value::from).collect());
    }
    if !is_number {
        return Ok(text.into());
    }
    let number = text.parse::<u64>().map(Value::from).or_else(|_| text.parse::<f64>().map(Value::from));
    let wrong = |_| Refusal::new(format!("--{flag} {}: expected a number", super::one_line(text)));
    number.map_err(wrong)
}
