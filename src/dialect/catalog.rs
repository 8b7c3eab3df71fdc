//! Lists of models: in OpenAI's format, extended by Poe's fields, and in Anthropic's.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::error::{Error, Result};

/// What is known of a model.
#[derive(Debug, Clone, Default)]
pub struct Model<'a> {
    /// The name under which it is listed.
    pub id: &'a str,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Who made it.
    pub owned_by: &'a str,
    /// What people read about it, in place of what Poe says.
    pub description: Option<&'a str>,
    /// Listed under a name that is not its own.
    pub is_renamed: bool,
    /// Its entry in Poe's list.
    pub entry: Option<&'a RawValue>,
}

/// What of Poe's entry is passed on as it is.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Details<'a> {
    #[serde(borrow, skip_serializing_if = "is_nothing")]
    description: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "is_nothing")]
    context_length: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "is_nothing")]
    context_window: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "is_nothing")]
    architecture: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "is_nothing")]
    pricing: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "is_nothing")]
    supported_features: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "is_nothing")]
    supported_endpoints: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "is_nothing")]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "is_nothing")]
    parameters: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "is_nothing")]
    metadata: Option<&'a RawValue>,
}

fn is_nothing(value: &Option<&RawValue>) -> bool {
    value.is_none_or(|value| value.get() == "null")
}

/// The member `name` of an object, if it has the type.
fn member<T: for<'de> Deserialize<'de>>(object: Option<&RawValue>, name: &str) -> Option<T> {
    let members: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(object?.get()).ok()?;
    serde_json::from_str(members.get(name)?.get()).ok()
}

#[derive(Serialize)]
struct OpenAi<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_modalities: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_modalities: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    /// Where Poe has it in `context_window` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u64>,
    #[serde(flatten)]
    details: Flat<'a>,
}

/// The details without the description where models.yaml has a better one.
struct Flat<'a> {
    description: Option<&'a str>,
    details: Details<'a>,
}

impl Serialize for Flat<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Described<'a> {
            description: &'a str,
            #[serde(flatten)]
            details: &'a Details<'a>,
        }
        match self.description {
            Some(description) => Described { description, details: &self.details }.serialize(to),
            None => self.details.serialize(to),
        }
    }
}

impl<'a> Model<'a> {
    fn details(&self) -> Details<'a> {
        self.entry.and_then(|entry| serde_json::from_str(entry.get()).ok()).unwrap_or_default()
    }

    fn openai(&self) -> OpenAi<'a> {
        let mut details = self.details();
        if self.description.is_some() {
            details.description = None;
        }
        let window = |name| member(details.context_window, name);
        OpenAi {
            id: self.id,
            object: "model",
            created: self.created,
            owned_by: self.owned_by,
            input_modalities: member(details.architecture, "input_modalities"),
            output_modalities: member(details.architecture, "output_modalities"),
            max_output_tokens: window("max_output_tokens"),
            context_length: if is_nothing(&details.context_length) { window("context_length") } else { None },
            details: Flat { description: self.description, details },
        }
    }

    fn anthropic(&self) -> Value {
        let details = self.details();
        let display: Option<String> = member(details.metadata, "display_name").filter(|_| !self.is_renamed);
        let old = || serde_json::from_str(details.context_length?.get()).ok();
        let length: Option<u64> = member(details.context_window, "context_length").or_else(old);
        json!({
            "type": "model",
            "id": self.id,
            "display_name": display.as_deref().unwrap_or(self.id),
            "created_at": rfc3339(self.created),
            "lifecycle": "active",
            "max_input_tokens": length,
            "max_tokens": member::<u64>(details.context_window, "max_output_tokens"),
        })
    }
}

/// `GET /v1/models`
pub fn list(models: &[Model<'_>]) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'a> {
        object: &'static str,
        data: Vec<OpenAi<'a>>,
    }
    written(&List { object: "list", data: models.iter().map(Model::openai).collect() })
}

/// `GET /v1/models/{id}`
pub fn one(model: &Model<'_>) -> Vec<u8> {
    written(&model.openai())
}

fn written(value: &impl Serialize) -> Vec<u8> {
    // keys are text and values were read from JSON: nothing can fail
    serde_json::to_vec(value).unwrap_or_default()
}

/// Which part of the list an Anthropic client wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    limit: Option<usize>,
    after: Option<String>,
    before: Option<String>,
}

impl Page {
    const USUAL: usize = 20;
    const MOST: usize = 1000;

    /// The page that `limit`, `after_id` and `before_id` among `pairs` ask for.
    ///
    /// # Errors
    /// When `limit` is no number from 1 to 1000.
    pub fn read(pairs: impl Iterator<Item = (String, String)>) -> Result<Page> {
        let mut page = Page::default();
        for (name, value) in pairs.filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=Page::MOST).contains(limit));
                    let wrong = || Error::invalid("limit", "limit: expected a number from 1 to 1000");
                    page.limit = Some(limit.ok_or_else(wrong)?);
                }
                "after_id" => page.after = Some(value),
                "before_id" => page.before = Some(value),
                _ => {}
            }
        }
        Ok(page)
    }
}

/// `GET /v1/models` for a client that speaks Anthropic's dialect.
///
/// # Errors
/// When the model that the page begins or ends at is not listed.
pub fn anthropic_list(models: &[Model<'_>], page: &Page) -> Result<Vec<u8>> {
    let place = |field: &str, id: &str| {
        let found = models.iter().position(|model| model.id == id);
        found.ok_or_else(|| Error::invalid(field, format!("{field}: there is no model `{id}`")))
    };
    let start =
        page.after.as_ref().map(|id| place("after_id", id).map(|at| at + 1)).transpose()?.unwrap_or(0);
    let end = page.before.as_ref().map(|id| place("before_id", id)).transpose()?.unwrap_or(models.len());
    let all = &models[start.min(end)..end];
    let count = page.limit.unwrap_or(Page::USUAL).min(all.len());
    // going back, the page is the one right before its end
    let shown = if page.before.is_some() { &all[all.len() - count..] } else { &all[..count] };
    let list = json!({
        "data": shown.iter().map(Model::anthropic).collect::<Vec<_>>(),
        "has_more": count < all.len(),
        "first_id": shown.first().map(|model| model.id),
        "last_id": shown.last().map(|model| model.id),
    });
    Ok(written(&list))
}

/// `GET /v1/models/{id}` for a client that speaks Anthropic's dialect.
pub fn anthropic_one(model: &Model<'_>) -> Vec<u8> {
    written(&model.anthropic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"{"id":"gpt-5.2","created":1765227300074,"description":"Poe's words","owned_by":"OpenAI",
        "architecture":{"input_modalities":["text","image"],"output_modalities":["text"],"modality":"text,image->text"},
        "supported_endpoints":["/v1/responses"],"pricing":{"prompt":"0.0000016"},"reasoning":null,
        "context_window":{"context_length":400000,"max_output_tokens":128000},"context_length":400000,
        "metadata":{"display_name":"GPT-5.2"},"parameters":[{"name":"a","schema":{"z":1,"b":2}}],"later":1}"#;

    fn entry() -> Box<RawValue> {
        RawValue::from_string(ENTRY.to_owned()).unwrap()
    }

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn openais_format_contains_poes_fields() {
        let entry = entry();
        let model =
            Model { id: "x", created: 7, owned_by: "OpenAI", entry: Some(&entry), ..Model::default() };
        let expected = json!({"id": "x", "object": "model", "created": 7, "owned_by": "OpenAI",
            "description": "Poe's words", "context_length": 400_000, "max_output_tokens": 128_000,
            "context_window": {"context_length": 400_000, "max_output_tokens": 128_000},
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"], "modality": "text,image->text"},
            "input_modalities": ["text", "image"], "output_modalities": ["text"],
            "pricing": {"prompt": "0.0000016"}, "supported_endpoints": ["/v1/responses"],
            "metadata": {"display_name": "GPT-5.2"}, "parameters": [{"name": "a", "schema": {"z": 1, "b": 2}}]});
        assert_eq!(value(&one(&model)), expected);
        assert_eq!(value(&list(std::slice::from_ref(&model))), json!({"object": "list", "data": [expected]}));
        let described = Model { description: Some("ours"), ..model };
        let text = String::from_utf8(one(&described)).unwrap();
        assert_eq!(text.matches("\"description\"").count(), 1, "{text}");
        assert_eq!(value(text.as_bytes())["description"], "ours");
        let plain = json!({"id": "c", "object": "model", "created": 0, "owned_by": "me"});
        assert_eq!(value(&one(&Model { id: "c", owned_by: "me", ..Model::default() })), plain);
    }

    #[test]
    fn anthropics_shape_is_paged() {
        let entry = entry();
        let ids: Vec<String> = (0..45).map(|number| format!("m{number}")).collect();
        let models: Vec<Model<'_>> = ids.iter().map(|id| Model { id, ..Model::default() }).collect();
        let page = |query: &[(&str, &str)]| {
            let pairs = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let list = value(&anthropic_list(&models, &Page::read(pairs)?)?);
            let text = |name: &str| list[name].as_str().unwrap_or("-").to_owned();
            Ok::<_, Error>((text("first_id"), text("last_id"), list["has_more"] == true))
        };
        let cases: [(&[(&str, &str)], _); 8] = [
            (&[], ("m0", "m19", true)),
            (&[("limit", "1000"), ("beta", "true")], ("m0", "m44", false)),
            (&[("after_id", "m19"), ("limit", "")], ("m20", "m39", true)),
            (&[("after_id", "m39")], ("m40", "m44", false)),
            (&[("after_id", "m44")], ("-", "-", false)),
            (&[("before_id", "m40"), ("limit", "5")], ("m35", "m39", true)),
            (&[("before_id", "m3")], ("m0", "m2", false)),
            (&[("after_id", "m9"), ("before_id", "m3")], ("-", "-", false)),
        ];
        for (query, (first, last, more)) in cases {
            assert_eq!(page(query).unwrap(), (first.to_owned(), last.to_owned(), more), "{query:?}");
        }
        for (query, field) in
            [(("limit", "0"), "limit"), (("limit", "1001"), "limit"), (("after_id", "x"), "after_id")]
        {
            assert_eq!(page(&[query]).unwrap_err().param.as_deref(), Some(field));
        }
        let model = Model { id: "gpt", created: 1_765_227_300, entry: Some(&entry), ..Model::default() };
        assert_eq!(
            value(&anthropic_one(&model)),
            json!({"type": "model", "id": "gpt", "display_name": "GPT-5.2", "created_at": "2025-12-08T20:55:00Z", "lifecycle": "active",
                "max_input_tokens": 400_000, "max_tokens": 128_000})
        );
        assert_eq!(value(&anthropic_one(&Model { is_renamed: true, ..model }))["display_name"], "gpt");
    }
}
