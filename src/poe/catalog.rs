//! Poe's list of models, read leniently: what an entry leaves out is absent, not wrong.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, Kind, Result};
use crate::pipeline::NativeEndpoint;

/// One model of Poe's list.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// The bot's name.
    pub id: String,
    /// When it was made, in seconds since 1970 (Poe says milliseconds).
    pub created: u64,
    /// Who made it.
    pub owned_by: String,
    /// The most tokens of question and answer, if known.
    pub context_length: Option<u64>,
    /// What it can do: `tools`, `web_search`.
    pub features: Vec<String>,
    /// What it reads: `text`, `image`, `video`, …
    pub inputs: Vec<String>,
    /// The parameters it declares, with their JSON Schemas.
    pub parameters: Vec<Parameter>,
    /// The endpoints of Poe's that it declares, by their paths: `/v1/chat/completions`. Three of four declare none.
    pub endpoints: Vec<String>,
    /// The entry as Poe wrote it.
    pub raw: Option<Arc<RawValue>>,
}

/// A parameter that a model declares.
#[derive(Debug, Clone, Deserialize)]
pub struct Parameter {
    /// The name under which it is sent.
    pub name: String,
    /// The JSON Schema of its values.
    #[serde(default)]
    pub schema: Value,
    /// What counts when it is not sent.
    #[serde(default)]
    pub default_value: Value,
}

impl Entry {
    /// Whether the model declares that it can call tools.
    pub fn has_tools(&self) -> bool {
        self.features.iter().any(|feature| feature == "tools")
    }

    /// Whether the model declares that it reads files of this kind, such as `image`.
    pub fn reads(&self, kind: &str) -> bool {
        self.inputs.iter().any(|input| input == kind)
    }

    /// Whether the model declares that it stands behind `endpoint`.
    pub fn has_native_endpoint(&self, endpoint: NativeEndpoint) -> bool {
        self.endpoints.iter().any(|path| path == endpoint.path())
    }

    /// The parameter of that name, if the model declares it.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Raw {
    id: String,
    #[serde(default)]
    created: Option<f64>,
    #[serde(default)]
    owned_by: Option<String>,
    #[serde(default)]
    context_length: Option<u64>,
    #[serde(default)]
    supported_features: Option<Vec<String>>,
    #[serde(default)]
    architecture: Option<Architecture>,
    #[serde(default)]
    parameters: Option<Vec<Value>>,
    #[serde(default)]
    supported_endpoints: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Architecture {
    #[serde(default)]
    input_modalities: Option<Vec<String>>,
}

/// From here on a time can only be in milliseconds: as seconds it would lie beyond the year 5000.
const FIRST_MILLISECONDS: f64 = 100_000_000_000.0;

/// Reads the answer of `GET /v1/models`. Entries that are invalid are left out, and said so in the log.
pub fn parse(body: &[u8]) -> Result<Vec<Entry>> {
    let nonsense = |error| Error::new(Kind::Upstream, format!("Poe's list of models is invalid: {error}"));
    let list: List<'_> = serde_json::from_slice(body).map_err(nonsense)?;
    let entry = |value: &RawValue| match serde_json::from_str::<Raw>(value.get()) {
        Ok(raw) => Some(Entry { raw: Some(Arc::from(value.to_owned())), ..Entry::from(raw) }),
        Err(error) => {
            log::debug!("an entry of Poe's list of models was left out: {error}");
            None
        }
    };
    Ok(list.data.into_iter().filter_map(entry).collect())
}

impl From<Raw> for Entry {
    fn from(raw: Raw) -> Entry {
        let created = raw.created.unwrap_or(0.0).max(0.0);
        let seconds = if created >= FIRST_MILLISECONDS { created / 1000.0 } else { created };
        let parameters = raw.parameters.unwrap_or_default();
        Entry {
            id: raw.id,
            created: seconds as u64,
            owned_by: raw.owned_by.unwrap_or_else(|| "Poe".to_owned()),
            context_length: raw.context_length,
            features: raw.supported_features.unwrap_or_default(),
            inputs: raw
                .architecture
                .and_then(|architecture| architecture.input_modalities)
                .unwrap_or_default(),
            endpoints: raw.supported_endpoints.unwrap_or_default(),
            parameters: parameters
                .into_iter()
                .filter_map(|value| serde_json::from_value(value).ok())
                .collect(),
            raw: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_poe_writes_them() {
        let body = br#"{"object":"list","data":[
            {"id":"gpt-5.2","object":"model","created":1765227300074,"owned_by":"OpenAI","context_length":400000,
             "supported_features":["web_search","tools"],"pricing":null,"architecture":{"input_modalities":["text","image"]},
             "supported_endpoints":["/v1/responses"],
             "parameters":[{"name":"web_search","schema":{"type":"boolean"},"default_value":false}]},
            {"id":"old","created":1700000000,"owned_by":null,"parameters":null},
            {"object":"model without a name"}]}"#;
        let entries = parse(body).unwrap();
        assert_eq!(entries.len(), 2);
        let (gpt, old) = (&entries[0], &entries[1]);
        assert_eq!((gpt.created, gpt.context_length, gpt.has_tools()), (1_765_227_300, Some(400_000), true));
        assert!(gpt.reads("image") && !gpt.reads("video") && !gpt.thinks() && !old.reads("text"));
        assert_eq!(gpt.parameter("web_search").unwrap().schema["type"], "boolean");
        assert!(
            gpt.has_native_endpoint(NativeEndpoint::Responses)
                && !gpt.has_native_endpoint(NativeEndpoint::Chat)
                && !old.has_native_endpoint(NativeEndpoint::Responses)
        );
        assert!(gpt.raw.as_ref().unwrap().get().contains(r#""pricing":null"#), "as Poe wrote it");
        assert_eq!((old.created, old.owned_by.as_str(), old.has_tools()), (1_700_000_000, "Poe", false));
        assert_eq!(parse(b"<html>").unwrap_err().kind, Kind::Upstream);
    }
}
