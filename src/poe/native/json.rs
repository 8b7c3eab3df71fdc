//! Positions of the fields in a JSON object's text, so that one can be changed and every other byte stays.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One field of an object.
#[derive(Debug)]
pub struct Field<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its name as it stands in the text, quotes included.
    key: &'a str,
    /// Its value as it stands in the text.
    pub value: &'a str,
}

impl<'a> Field<'a> {
    /// The value, if it is a text.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        serde_json::from_str::<Text<'a>>(self.value).ok().map(|text| text.0)
    }

    /// Whether the value is `null`.
    pub fn is_null(&self) -> bool {
        self.value == "null"
    }
}

/// A text that is borrowed where no escapes stand in it.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of an object, in their order.
#[derive(Debug)]
pub struct Fields<'a> {
    text: &'a str,
    all: Vec<Field<'a>>,
}

/// What becomes of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// It stays, byte by byte.
    Keep,
    /// It goes, and the comma with it.
    Cut,
    /// It has this value, in JSON.
    Set(String),
}

impl<'a> Fields<'a> {
    /// The fields of the object that `text` is; `None` if it is none.
    pub fn read(text: &'a str) -> Option<Fields<'a>> {
        let Pairs(pairs) = serde_json::from_str(text).ok()?;
        let all = pairs.into_iter().map(|(key, value)| {
            let name = serde_json::from_str::<Text<'a>>(key.get()).ok()?.0;
            Some(Field { name, key: key.get(), value: value.get() })
        });
        Some(Fields { text, all: all.collect::<Option<_>>()? })
    }

    /// The object's text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Every field, in order.
    pub fn all(&self) -> &[Field<'a>] {
        &self.all
    }

    /// The field called `name`.
    pub fn get(&self, name: &str) -> Option<&Field<'a>> {
        self.all.iter().find(|field| field.name == name)
    }

    /// The fields of the object that is the value of `name`.
    pub fn inside(&self, name: &str) -> Option<Fields<'a>> {
        Fields::read(self.get(name)?.value)
    }

    /// The number that is the value of `name`.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.value.parse().ok()
    }

    /// The names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|field| field.name.as_ref())
    }

    /// The text with every field edited as `edit` says, and `added` behind the last. What is not touched keeps its
    /// bytes, spaces and order; the same edits of the same text are the same text.
    pub fn edited(&self, mut edit: impl FnMut(&Field<'a>) -> Edit, added: &[(String, String)]) -> String {
        let Some(first) = self.all.first() else {
            let fields = added.iter().map(field).collect::<Vec<_>>();
            return format!("{{{}}}", fields.join(","));
        };
        let start = within(self.text, first.key).start;
        let mut out = String::with_capacity(self.text.len() + 64);
        out.push_str(&self.text[..start]);
        let (mut end, mut is_first) = (start, true);
        for one in &self.all {
            let (key, value) = (within(self.text, one.key), within(self.text, one.value));
            let separator = &self.text[end..key.start];
            end = value.end;
            let edit = edit(one);
            if edit == Edit::Cut {
                continue;
            }
            if !std::mem::take(&mut is_first) {
                out.push_str(separator);
            }
            out.push_str(&self.text[key.start..value.start]);
            match &edit {
                Edit::Set(new) => out.push_str(new),
                Edit::Keep | Edit::Cut => out.push_str(one.value),
            }
        }
        for pair in added {
            if !std::mem::take(&mut is_first) {
                out.push(',');
            }
            out.push_str(&field(pair));
        }
        out.push_str(&self.text[end..]);
        out
    }
}

fn field((name, value): &(String, String)) -> String {
    format!("{}:{value}", quoted(name))
}

/// `text` as JSON.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where `part`, a piece of `text`, stands in it.
pub fn within(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + part.len()
}

struct Pairs<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<'a>, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(key) = map.next_key()? {
                    pairs.push((key, map.next_value()?));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    const TEXT: &str = " { \"a\" : 1 ,\n \"b\\u0062\":\"x,}\" , \"c\": {\"d\": [1,  2]}, \"e\":null } ";

    fn edited(edit: impl Fn(&str) -> Edit, added: &[(&str, &str)]) -> String {
        let added: Vec<(String, String)> =
            added.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Fields::read(TEXT).unwrap().edited(|field| edit(&field.name), &added)
    }

    #[test]
    fn fields_are_read_as_they_stand() {
        let fields = Fields::read(TEXT).unwrap();
        assert_eq!(fields.names().collect::<Vec<_>>(), ["a", "bb", "c", "e"]);
        assert_eq!(fields.get("c").unwrap().value, "{\"d\": [1,  2]}");
        assert_eq!(fields.get("bb").unwrap().text().unwrap(), "x,}");
        assert_eq!((fields.number("a"), fields.get("e").unwrap().is_null()), (Some(1), true));
        assert_eq!(fields.inside("c").unwrap().get("d").unwrap().value, "[1,  2]");
        assert!(Fields::read("[1]").is_none() && Fields::read("{\"a\":").is_none());
    }

    #[test]
    fn only_what_is_edited_changes() {
        assert_eq!(edited(|_| Edit::Keep, &[]), TEXT);
        let set = |name: &str| if name == "a" { Edit::Set("2".into()) } else { Edit::Keep };
        assert_eq!(edited(set, &[]), TEXT.replace(": 1", ": 2"));
        let cut = |names: &'static [&str]| {
            move |name: &str| if names.contains(&name) { Edit::Cut } else { Edit::Keep }
        };
        assert_eq!(
            edited(cut(&["a"]), &[]),
            " { \"b\\u0062\":\"x,}\" , \"c\": {\"d\": [1,  2]}, \"e\":null } "
        );
        assert_eq!(
            edited(cut(&["e"]), &[("f", "0")]),
            " { \"a\" : 1 ,\n \"b\\u0062\":\"x,}\" , \"c\": {\"d\": [1,  2]},\"f\":0 } "
        );
        assert_eq!(edited(cut(&["a", "bb", "c", "e"]), &[("f", "0")]), " { \"f\":0 } ");
        assert_eq!(
            Fields::read("{ }").unwrap().edited(|_| Edit::Keep, &[("f".into(), "0".into())]),
            "{\"f\":0}"
        );
    }

    proptest! {
        #[test]
        fn what_is_cut_is_gone_and_the_rest_is_the_same(
            names in proptest::collection::btree_set("[a-z\"\\\\é]{0,4}", 0..6), cuts in proptest::collection::vec(any::<bool>(), 6)
        ) {
            let object: Map<String, Value> = names.iter().map(|name| (name.clone(), Value::from(name.len()))).collect();
            let text = serde_json::to_string_pretty(&object).unwrap();
            let is_cut = |name: &str| names.iter().zip(&cuts).any(|(other, cut)| other == name && *cut);
            let fields = Fields::read(&text).unwrap();
            let after = fields.edited(|field| if is_cut(&field.name) { Edit::Cut } else { Edit::Keep }, &[]);
            let left: Map<String, Value> = object.into_iter().filter(|(name, _)| !is_cut(name)).collect();
            prop_assert_eq!(serde_json::from_str::<Map<String, Value>>(&after).unwrap(), left);
        }
    }
}
