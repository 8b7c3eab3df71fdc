//! Finds the line of a field in a YAML text, for messages about fields that parse but are invalid.
//!
//! The parser states places only in errors, so a probe descends to the field and fails there on purpose.

use std::collections::HashSet;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde_yaml::Value as Yaml;

/// One step down from a value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a sequence.
    Place(usize),
}

impl Step {
    /// Into a mapping by a key of any type.
    pub(super) fn from_key(key: &Yaml) -> Step {
        match key {
            Yaml::String(key) => Step::Key(key.clone()),
            other => Step::Key(serde_yaml::to_string(other).unwrap_or_default().trim().to_owned()),
        }
    }
}

impl From<&str> for Step {
    fn from(key: &str) -> Step {
        Step::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(place: usize) -> Step {
        Step::Place(place)
    }
}

/// The steps to `field` (`mapping`, `aliases[1]`, `parameters.size`) of the model called `bot`.
pub(super) fn steps(bot: &str, field: &str) -> Vec<Step> {
    let mut steps = vec!["models".into(), bot.into()];
    if let Some((mapping, key)) = field.split_once('.') {
        steps.extend([mapping.into(), key.into()]);
        return steps;
    }
    match field.strip_suffix(']').and_then(|field| field.split_once('[')) {
        Some((list, place)) => steps.extend([list.into(), place.parse::<usize>().unwrap_or(0).into()]),
        None => steps.push(field.into()),
    }
    steps
}

/// The steps as people write them: `models.gpt-4o.aliases[1]`.
pub(super) fn join(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Place(place) => text += &format!("[{place}]"),
            Step::Key(key) if text.is_empty() => text += key,
            Step::Key(key) => text += &format!(".{key}"),
        }
    }
    text
}

/// A place in a text, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its line.
    pub line: usize,
    /// Its column.
    pub column: usize,
}

impl From<serde_yaml::Location> for Place {
    fn from(location: serde_yaml::Location) -> Place {
        Place { line: location.line(), column: location.column() }
    }
}

/// Where the key or the element at `path` begins.
pub(super) fn place(text: &str, path: &[Step]) -> Option<Place> {
    let error = Probe(path).deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    error.location().map(Place::from)
}

/// `line 3, column 5: ` for the key or the element at `path`; empty if there is none.
pub(super) fn line(text: &str, path: &[Step]) -> String {
    place(text, path)
        .map_or_else(String::new, |Place { line, column }| format!("line {line}, column {column}: "))
}

/// Where a key stands for the second time in its mapping, if one does.
pub(super) fn duplicate_key(text: &str) -> Option<Place> {
    let error = DuplicateKeys.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    error.location().map(Place::from).filter(|_| error.to_string().contains(DUPLICATE_KEY))
}

/// The word of [`DuplicateKeys`] for what they find.
const DUPLICATE_KEY: &str = "a twin";

/// Walks everywhere and fails at the first key that its mapping has already.
struct DuplicateKeys;

impl<'de> DeserializeSeed<'de> for DuplicateKeys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DuplicateKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while map.next_key_seed(NewKey(&mut seen))?.is_some() {
            map.next_value_seed(DuplicateKeys)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(DuplicateKeys)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        tagged.variant::<String>()?.1.newtype_variant_seed(DuplicateKeys)
    }
}

/// A key that must not be among those seen.
struct NewKey<'a>(&'a mut HashSet<String>);

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if self.0.insert(key.to_owned()) { Ok(()) } else { Err(E::custom(DUPLICATE_KEY)) }
    }
}

/// Walks down its path and fails at the end of it.
struct Probe<'a>(&'a [Step]);

impl<'de> DeserializeSeed<'de> for Probe<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Probe<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value looked for")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.0.split_first() else { return Err(A::Error::custom("here")) };
        while let Some(found) = map.next_key_seed(Key { wanted: first, last: rest.is_empty() })? {
            if found {
                map.next_value_seed(Probe(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.0.split_first() else { return Err(A::Error::custom("here")) };
        let Step::Place(place) = first else { return Ok(()) };
        for _ in 0..*place {
            seq.next_element::<IgnoredAny>()?;
        }
        seq.next_element_seed(Probe(rest))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    /// A tagged value (`!tag value`): its place is that of the value.
    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom("here"))
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        IgnoredAny::deserialize(from).map(|_| ())
    }
}

/// Compares a key with the wanted one; fails at it if it is the `last` step, so that the error states the key's place.
struct Key<'a> {
    wanted: &'a Step,
    last: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        match matches!(self.wanted, Step::Key(wanted) if wanted == key) {
            true if self.last => Err(E::custom("here")),
            found => Ok(found),
        }
    }
}
