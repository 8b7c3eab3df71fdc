//! Lenient JSON reader for events with missing, repeated or mistyped members.
//!
//! Only for events that a strict reader has given back: values are sliced out of the text level by level, so that a
//! string with half a surrogate pair, which is no Rust string, spoils nothing but itself.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The deepest nesting that is looked into.
const DEEPEST: usize = 24;

/// One value, as its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loose<'a>(&'a str);

/// The members of an object, in their order.
#[derive(Debug)]
pub struct Members<'a>(Vec<(String, Loose<'a>)>);

/// The characters of a string in UTF-8, except that half a surrogate pair is encoded as if it were a character.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wide(Vec<u8>);

impl<'a> Loose<'a> {
    /// No value.
    pub const NULL: Loose<'static> = Loose("null");

    /// The value that is the whole of `text`.
    pub fn read(text: &'a str) -> Option<Loose<'a>> {
        serde_json::from_str::<&RawValue>(text).ok().map(|raw| Loose(raw.get()))
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// Whether it is an object or an array.
    pub fn is_compound(self) -> bool {
        self.0.starts_with(['{', '['])
    }

    /// The members of an object; none of anything else.
    pub fn members(self) -> Members<'a> {
        let members = if self.is_object() { serde_json::from_str(self.0).ok() } else { None };
        members.unwrap_or(Members(Vec::new()))
    }

    /// The items of an array; anything else but `null` is the only item of itself.
    pub fn items(self) -> Vec<Loose<'a>> {
        match self.0.as_bytes().first() {
            Some(b'[') => serde_json::from_str::<Items<'a>>(self.0).map(|items| items.0).unwrap_or_default(),
            _ if self.is_null() => Vec::new(),
            _ => vec![self],
        }
    }

    /// The string that it is.
    pub fn string(self) -> Option<Wide> {
        let is_string = self.0.starts_with('"');
        is_string.then(|| serde_json::from_str::<Wide>(self.0).ok()).flatten()
    }

    /// The number or boolean that it is, as written.
    pub fn scalar(self) -> Option<&'a str> {
        (!self.is_compound() && !self.is_null() && !self.0.starts_with('"')).then_some(self.0)
    }

    /// The whole number that it means, whether it is written as one, with a fraction, or in quotes.
    pub fn number(self) -> Option<i64> {
        let text = self.0.trim_matches('"').trim();
        text.parse::<i64>().ok().or_else(|| {
            let float = text.parse::<f64>().ok().filter(|float| float.is_finite())?;
            Some(float as i64)
        })
    }

    /// It as a value, half surrogate pairs replaced.
    pub fn value(self) -> Value {
        serde_json::from_str(self.0).unwrap_or_else(|_| self.mended(0))
    }

    fn mended(self, depth: usize) -> Value {
        match self.0.as_bytes().first() {
            Some(b'{' | b'[') if depth >= DEEPEST => Value::Null,
            Some(b'{') => {
                let members = self.members().0.into_iter();
                Value::Object(
                    members.map(|(name, value)| (name, value.mended(depth + 1))).collect::<Map<_, _>>(),
                )
            }
            Some(b'[') => self.items().into_iter().map(|item| item.mended(depth + 1)).collect(),
            Some(b'"') => self.string().map_or(Value::Null, |text| text.lossy().into()),
            _ => serde_json::from_str(self.0).unwrap_or(Value::Null),
        }
    }
}

impl<'a> Members<'a> {
    /// The member that has one of `names`, the first name first. Of two with one name the last counts, `null` never.
    pub fn get(&self, names: &[&str]) -> Option<Loose<'a>> {
        names.iter().find_map(|name| {
            let mut same = self.0.iter().rev().filter(|(other, value)| other == name && !value.is_null());
            same.next().map(|(_, value)| *value)
        })
    }
}

impl Wide {
    /// The characters; a half that `before` ended with is joined with a half at the start of this one. The second is a
    /// half that this one ends with. Halves without their other half are U+FFFD.
    pub fn join(self, before: Option<u16>) -> (String, Option<u16>) {
        if before.is_none() || self.0.is_empty() {
            match String::from_utf8(self.0) {
                Ok(text) => (text, before),
                Err(error) => joined(&error.into_bytes(), before),
            }
        } else {
            joined(&self.0, before)
        }
    }

    /// The characters, halves of surrogate pairs replaced by U+FFFD.
    pub fn lossy(self) -> String {
        let (mut text, rest) = self.join(None);
        text.extend(rest.map(|_| char::REPLACEMENT_CHARACTER));
        text
    }

    /// Whether there are no characters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends what follows.
    pub fn push(&mut self, next: &Wide) {
        self.0.extend_from_slice(&next.0);
    }
}

impl From<&str> for Wide {
    fn from(text: &str) -> Wide {
        Wide(text.as_bytes().to_vec())
    }
}

fn joined(mut bytes: &[u8], mut high: Option<u16>) -> (String, Option<u16>) {
    let mut text = String::with_capacity(bytes.len() + 4);
    while !bytes.is_empty() {
        let half = half(bytes);
        let plain = match half {
            Some(_) => 0,
            None => (1..bytes.len()).find(|&at| self::half(&bytes[at..]).is_some()).unwrap_or(bytes.len()),
        };
        match (high.take(), half) {
            (Some(first), Some(second @ 0xDC00..)) => {
                text.extend(char::decode_utf16([first, second]).flatten())
            }
            (first, second) => {
                text.extend(first.map(|_| char::REPLACEMENT_CHARACTER));
                match second {
                    Some(0xDC00..) => text.push(char::REPLACEMENT_CHARACTER),
                    second => high = second,
                }
            }
        }
        text.push_str(&String::from_utf8_lossy(&bytes[..plain]));
        bytes = &bytes[if half.is_some() { 3 } else { plain }..];
    }
    (text, high)
}

/// The half of a surrogate pair that `bytes` begin with.
fn half(bytes: &[u8]) -> Option<u16> {
    match bytes {
        [0xED, second @ 0xA0..=0xBF, third, ..] => {
            Some(0xD000 | (u16::from(second & 0x3F) << 6) | u16::from(third & 0x3F))
        }
        _ => None,
    }
}

struct Items<'a>(Vec<Loose<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Items<'a>, D::Error> {
        struct ItemsVisitor;
        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<&RawValue>()? {
                    items.push(Loose(item.get()));
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'a>, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<Wide>()? {
                    members.push((name.lossy(), Loose(map.next_value::<&RawValue>()?.get())));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

impl<'de> Deserialize<'de> for Wide {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Wide, D::Error> {
        struct WideVisitor;
        impl Visitor<'_> for WideVisitor {
            type Value = Wide;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Wide, E> {
                Ok(Wide(bytes.to_vec()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Wide, E> {
                Ok(Wide::from(text))
            }
        }
        // as a string it would have to be well-formed
        deserializer.deserialize_bytes(WideVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn string(json: &str) -> Wide {
        Loose::read(json).unwrap().string().unwrap()
    }

    #[test]
    fn halves_are_joined_or_replaced() {
        let halves = [r#""a\ud83d""#, r#""\ude00b""#].map(string);
        let (first, rest) = halves[0].clone().join(None);
        assert_eq!((first.as_str(), rest), ("a", Some(0xD83D)));
        assert_eq!(halves[1].clone().join(rest), ("\u{1f600}b".into(), None));
        assert_eq!(halves[0].clone().join(rest), ("\u{fffd}a".into(), Some(0xD83D)));
        assert_eq!(halves[1].clone().lossy(), "\u{fffd}b");
        assert_eq!(
            string(r#""\ud83dx\ud83d\ud83d\ude00\udc00""#).lossy(),
            "\u{fffd}x\u{fffd}\u{1f600}\u{fffd}"
        );
        assert_eq!(string(r#""""#).join(rest), (String::new(), rest));
        assert_eq!(string(r#""é\u00e9""#).join(rest), ("\u{fffd}éé".into(), None));
    }

    #[test]
    fn members_twice_null_and_odd() {
        let value = Loose::read(r#"{"a":1,"b":null,"a":"x","a":null,"\ud83d":[],"c":["y",null]}"#).unwrap();
        let members = value.members();
        assert_eq!(members.get(&["b", "a"]).unwrap().string().unwrap().lossy(), "x");
        assert!(members.get(&["b"]).is_none() && members.get(&["z"]).is_none());
        assert_eq!(members.get(&["c"]).unwrap().items().len(), 2);
        let numbers =
            [r#""7""#, "7.0", "-1", "1e3", "\"x\"", "{}"].map(|text| Loose::read(text).unwrap().number());
        assert_eq!(numbers, [Some(7), Some(7), Some(-1), Some(1000), None, None]);
        assert_eq!(value.value()["\u{fffd}"], json!([]));
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        assert!(Loose::read(&deep).unwrap().value().is_array());
    }
}
