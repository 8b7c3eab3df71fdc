//! Calls written as JSON objects, under any of the keys that models and clients use.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::Found;
use crate::pipeline::tools::grammars::{ARGUMENT_KEYS, CALL_KEYS, NAME_KEYS};
use crate::pipeline::tools::offer::Offer;
use crate::pipeline::tools::repair::{Words, repaired};

/// Most calls in one list.
const MOST_CALLS: usize = 1000;
/// Deepest nesting of objects that hold calls: `{"tool_calls": [{"function": {…}}]}`.
const DEEPEST: usize = 4;

type Members<'j> = BTreeMap<String, &'j RawValue>;

/// The calls in `text`, an object or a list of objects; `None` if one of them is none or its tool is not on offer.
/// Where closing brackets are `missing`, the arguments at least must be there.
pub fn calls_in(text: &str, missing: bool, offer: &Offer) -> Option<Vec<Found>> {
    let mended;
    let json = match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => text,
        Err(_) => {
            mended = repaired(text, Words::Refused)?;
            &mended
        }
    };
    let mut found = Vec::new();
    collect(json, missing, offer, DEEPEST, &mut found)?;
    (!found.is_empty()).then_some(found)
}

fn collect(json: &str, missing: bool, offer: &Offer, depth: usize, found: &mut Vec<Found>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    if json.trim_start().starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
        return items.iter().try_for_each(|item| collect(item.get(), missing, offer, depth, found));
    }
    let members: Members<'_> = serde_json::from_str(json).ok()?;
    let is_nested = |key: &&str| members.get(*key).is_some_and(|value| value.get().starts_with(['{', '[']));
    if let Some(key) = CALL_KEYS.iter().copied().chain(["function"]).find(is_nested) {
        return collect(members.get(key)?.get(), missing, offer, depth, found);
    }
    found.push(one(&members, missing, offer)?);
    (found.len() <= MOST_CALLS).then_some(())
}

fn one(members: &Members<'_>, missing: bool, offer: &Offer) -> Option<Found> {
    let text = |key: &&str| serde_json::from_str::<String>(members.get(*key)?.get()).ok();
    let Some(name) = NAME_KEYS.iter().find_map(text) else {
        // `{"f": {…}}`
        let (name, value) = members.iter().next().filter(|_| members.len() == 1)?;
        let name = offer.tool(offer.find(name)?).name.clone();
        return Some(Found { name, arguments: arguments(value.get())? });
    };
    let given = ARGUMENT_KEYS.iter().find_map(|key| members.get(*key));
    if given.is_none() && missing {
        return None;
    }
    let arguments = given.map_or_else(|| Some("{}".into()), |given| arguments(given.get()))?;
    Some(Found { name: offer.tool(offer.find(&name)?).name.clone(), arguments })
}

/// Arguments as an object: `null` is none, and an object may stand in a string.
fn arguments(json: &str) -> Option<String> {
    match json {
        "null" | "\"\"" => Some("{}".into()),
        _ if json.starts_with('{') => Some(json.into()),
        _ => {
            let inner: String = serde_json::from_str(json).ok()?;
            let inner = inner.trim();
            let is_object = inner.starts_with('{') && serde_json::from_str::<&RawValue>(inner).is_ok();
            if is_object {
                Some(inner.into())
            } else {
                repaired(inner, Words::Refused).filter(|_| inner.starts_with('{'))
            }
        }
    }
}
