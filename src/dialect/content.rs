//! Content of a message in every dialect: a string, a list of parts, or null.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::files::{FileText, data};
use crate::error::Result;
use crate::pipeline::FileSource;

/// A `content`.
#[derive(Default)]
pub enum Content<P> {
    /// Nothing.
    #[default]
    Null,
    /// A text.
    Text(String),
    /// Several parts.
    Parts(Vec<P>),
    /// An object, which only some dialects have a meaning for.
    Object(Map<String, Value>),
}

// not an untagged enum: errors shall name the part that is wrong
impl<'de, P: Deserialize<'de>> Deserialize<'de> for Content<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Content<P>, D::Error> {
        deserializer.deserialize_any(ContentVisitor(PhantomData))
    }
}

struct ContentVisitor<P>(PhantomData<P>);

impl<'de, P: Deserialize<'de>> Visitor<'de> for ContentVisitor<P> {
    type Value = Content<P>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a list of parts or null")
    }

    fn visit_str<E>(self, text: &str) -> Result<Content<P>, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Content<P>, E> {
        Ok(Content::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Content<P>, E> {
        Ok(Content::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content<P>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(parts)).map(Content::Parts)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Content<P>, A::Error> {
        Map::deserialize(MapAccessDeserializer::new(members)).map(Content::Object)
    }
}

/// The URL of a part: plain, or inside an object.
pub struct Url(FileText);

impl Url {
    /// The URL itself.
    pub fn text(self) -> FileText {
        self.0
    }
}

// not an untagged enum: that would copy the string, which may be a whole file
impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
        deserializer.deserialize_any(UrlVisitor)
    }
}

struct UrlVisitor;

impl<'de> Visitor<'de> for UrlVisitor {
    type Value = Url;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, or an object with one")
    }

    fn visit_str<E>(self, url: &str) -> Result<Url, E> {
        Ok(Url(url.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Url, A::Error> {
        #[derive(Deserialize)]
        struct Object {
            url: FileText,
        }
        Object::deserialize(MapAccessDeserializer::new(members)).map(|object| Url(object.url))
    }
}

/// Sound inside a part: `{"data", "format"}`.
#[derive(Deserialize)]
pub struct Audio {
    data: FileText,
    format: Option<String>,
}

impl Audio {
    /// The sound as a file; errors name `path`.
    pub fn file(self, path: &str) -> Result<FileSource> {
        let content_type = match self.format.as_deref().unwrap_or("wav") {
            "mp3" => "audio/mpeg".to_owned(),
            format => format!("audio/{format}"),
        };
        data(&format!("{path}.data"), self.data, content_type, None)
    }
}
