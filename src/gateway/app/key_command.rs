//! The command `keys`, which works on the file of client keys, also beside a running server.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::clients::{add_key, change_key, delete_key};
use crate::clock;
use crate::config::client_keys::{ClientKey, FILE_NAME};
use crate::config::directory::Dir;
use crate::config::key_store::KeyStore;
use crate::error::{Error, Kind};
use crate::settings::{KeyAction, KeyCommand};

/// Does what the command asks for; returns what is printed. Of `add` that is the key alone, so that programs can take it.
///
/// # Errors
/// A message for the operator.
pub fn run(command: &KeyCommand) -> Result<String, String> {
    let store = KeyStore::open(Arc::new(Dir::new(&command.dir)));
    let meant =
        |key: &ClientKey, name: &str| key.id == name || key.name.to_lowercase() == name.to_lowercase();
    let named = |name: &str, error: Error| match error.kind {
        Kind::NotFound => format!("there is no key {name} in {}", store.path().display()),
        _ => error.message,
    };
    match &command.action {
        KeyAction::Add(fields) => {
            let (key, secret) = add_key(&store, fields).map_err(|error| error.message)?;
            eprintln!(
                "{} was added to {} as {}; the key is shown this once:",
                key.name,
                store.path().display(),
                key.id
            );
            Ok(format!("{secret}\n"))
        }
        KeyAction::List => match &store.current().error {
            Some(error) => Err(error.clone()),
            None => Ok(listed(&store)),
        },
        KeyAction::Disable(name, is_disabled) => {
            let fields = Map::from_iter([("disabled".to_owned(), Value::from(*is_disabled))]);
            let done = if *is_disabled { "disabled" } else { "enabled" };
            change_key(&store, &|key| meant(key, name), &fields)
                .map(|()| format!("{name} was {done}\n"))
                .map_err(|error| named(name, error))
        }
        KeyAction::Delete(name) => delete_key(&store, &|key| meant(key, name))
            .map(|()| format!("{name} was deleted\n"))
            .map_err(|error| named(name, error)),
    }
}

/// A line for each key.
fn listed(store: &KeyStore) -> String {
    let keys = &store.current().list.keys;
    if keys.is_empty() {
        return format!("{FILE_NAME} has no keys: add one with `poe2openai keys add NAME`\n");
    }
    let now = clock::now().as_secs();
    let rows: Vec<[String; 5]> = keys
        .iter()
        .map(|key| {
            let state = match key {
                key if key.disabled => "disabled",
                key if key.is_expired(now) => "expired",
                _ => "active",
            };
            [key.name.clone(), key.hint.clone(), state.to_owned(), limits(key), key.note.clone()]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3), 0];
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn limits(key: &ClientKey) -> String {
    let models = (!key.models.is_empty()).then(|| format!("models {}", key.models.join(",")));
    let minute = key.requests_per_minute.map(|most| format!("{most} requests a minute"));
    let points = |most: Option<f64>, period: &str| most.map(|most| format!("{most} points a {period}"));
    let cost = |most: Option<f64>, period: &str| most.map(|most| format!("${most} a {period}"));
    let expires = key.expires.map(|end| format!("until {}", clock::rfc3339(end)));
    let all = [
        models,
        minute,
        points(key.daily_points, "day"),
        points(key.monthly_points, "month"),
        cost(key.daily_cost, "day"),
        cost(key.monthly_cost, "month"),
        expires,
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { "no limits".to_owned() } else { all.join("; ") }
}
