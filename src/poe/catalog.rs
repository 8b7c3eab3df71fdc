//! Lenient parser of Poe's list of models: a field that an entry omits is absent, not an error.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error_classes;
use super::price::{Price, number};
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
    /// What it costs.
    pub price: Price,
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

/// From here on a time can only be in milliseconds, microseconds, nanoseconds: as seconds it would lie beyond the year
/// 5000.
const FIRST_MILLISECONDS: f64 = 1e11;
const FIRST_MICROSECONDS: f64 = 1e14;
const FIRST_NANOSECONDS: f64 = 1e17;

/// Reads the answer of `GET /v1/models`. A member of an entry that cannot be read is absent; an entry without a name is
/// left out, and the log says so.
pub fn parse(body: &[u8]) -> Result<Vec<Entry>> {
    let list = list(body).ok_or_else(|| error_classes::of_body(body, "a list of models"))?;
    let entries: Vec<_> = list.iter().filter_map(|raw| entry(raw)).collect();
    match (entries.len(), list.len()) {
        (0, 1..) => {
            let message = format!("none of the {} entries of Poe's list of models has an id", list.len());
            return Err(Error::new(Kind::Upstream, message));
        }
        (known, all) if known < all => {
            log::warn!("Poe's list of models: {} of {all} entries have no id and are left out", all - known);
        }
        _ => {}
    }
    Ok(entries)
}

/// The entries: under `data` or `models`, or the whole body.
fn list(body: &[u8]) -> Option<Vec<&RawValue>> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(borrow, alias = "models")]
        data: Vec<&'a RawValue>,
    }
    let listed = serde_json::from_slice::<List<'_>>(body).map(|list| list.data);
    listed.or_else(|_| serde_json::from_slice(body)).ok()
}

fn entry(raw: &RawValue) -> Option<Entry> {
    let value: Value = serde_json::from_str(raw.get()).ok()?;
    let id = ["id", "root", "name"].iter().find_map(|name| text(value.get(name)?))?;
    let architecture = value.get("architecture");
    let modalities = architecture.and_then(|architecture| architecture.get("input_modalities"));
    let inputs = names(modalities.or_else(|| value.get("input_modalities")), &[',', ' ']);
    let modality = architecture.and_then(|architecture| text(architecture.get("modality")?));
    let modality = modality.as_deref().and_then(|modality| modality.split("->").next());
    Some(Entry {
        id,
        created: created(value.get("created")),
        owned_by: value.get("owned_by").and_then(owner).unwrap_or_else(|| "Poe".to_owned()),
        context_length: context_length(&value),
        features: names(value.get("supported_features"), &[',', ' ']),
        inputs: match (inputs.is_empty(), modality) {
            (true, Some(modality)) => names(Some(&modality.into()), &[',', '+', ' ']),
            _ => inputs,
        },
        endpoints: names(value.get("supported_endpoints"), &[',', ' '])
            .iter()
            .map(|path| endpoint(path))
            .collect(),
        parameters: parameters(value.get("parameters")),
        price: Price::of(&value),
        raw: Some(Arc::from(raw.to_owned())),
    })
}

/// A name, which may have been written as a number.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

fn owner(value: &Value) -> Option<String> {
    text(value).or_else(|| ["name", "id", "display_name"].iter().find_map(|name| text(value.get(name)?)))
}

/// A list of names: of strings, of objects with a name, of the members that are not false, or of words in one string.
fn names(value: Option<&Value>, separators: &[char]) -> Vec<String> {
    let named = |value: &Value| {
        text(value).or_else(|| ["name", "id", "path", "type"].iter().find_map(|name| text(value.get(name)?)))
    };
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(named).collect(),
        Some(Value::Object(members)) => {
            let is_meant = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
            members.iter().filter(|(_, value)| is_meant(value)).map(|(name, _)| name.clone()).collect()
        }
        Some(Value::String(text)) => {
            text.split(separators).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// The path of an endpoint that may be written as a URL.
fn endpoint(path: &str) -> String {
    path.find("/v1/").map_or(path, |start| &path[start..]).trim_end_matches('/').to_owned()
}

/// Tokens: the member of `context_window`, which is Poe's present form, or the older `context_length`.
fn context_length(entry: &Value) -> Option<u64> {
    const NAMES: &[&str] = &["context_length", "context_window", "max_input_tokens", "max_context_length"];
    let window = entry.get("context_window");
    let within = window.and_then(|window| NAMES.iter().find_map(|name| count(window.get(name)?)));
    within.or_else(|| count(entry.get("context_length")?)).or_else(|| count(window?))
}

fn count(value: &Value) -> Option<u64> {
    number(value).filter(|number| *number >= 1.0).map(|number| number as u64)
}

/// Seconds since 1970, of a number in any unit.
fn created(value: Option<&Value>) -> u64 {
    let time = value.and_then(number).unwrap_or(0.0).max(0.0);
    let unit = match time {
        time if time >= FIRST_NANOSECONDS => 1e9,
        time if time >= FIRST_MICROSECONDS => 1e6,
        time if time >= FIRST_MILLISECONDS => 1e3,
        _ => 1.0,
    };
    (time / unit) as u64
}

/// Parameters as a list, or as an object of schemas by name.
fn parameters(value: Option<&Value>) -> Vec<Parameter> {
    let parameter = |name: String, value: &Value| {
        let schema = value.get("schema").filter(|schema| schema.is_object());
        let default_value = value.get("default_value").or_else(|| value.get("default"));
        Parameter {
            name,
            schema: schema.cloned().unwrap_or_default(),
            default_value: default_value.cloned().unwrap_or_default(),
        }
    };
    match value {
        Some(Value::Array(items)) => {
            items.iter().filter_map(|item| Some(parameter(text(item.get("name")?)?, item))).collect()
        }
        Some(Value::Object(members)) => members
            .iter()
            .filter(|(_, value)| value.is_object())
            .map(|(name, value)| Parameter {
                schema: value.get("schema").unwrap_or(value).clone(),
                ..parameter(name.clone(), value)
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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

    /// Entries in the forms that Poe's list has had.
    const LIST: &str = r#"{"object":"list","data":[
        {"id":"gpt-5.2","object":"model","created":1765227300074,"owned_by":"OpenAI","root":"gpt-5.2",
         "description":"x","architecture":{"input_modalities":["text","image"],"output_modalities":["text"],
         "modality":"text,image->text"},"supported_features":["web_search","tools"],
         "supported_endpoints":["/v1/responses","/v1/chat/completions"],
         "pricing":{"prompt":"0.0000016","completion":"0.000013","image":null,"request":"300"},
         "context_window":{"context_length":400000,"max_output_tokens":128000},"context_length":400000,
         "metadata":{"display_name":"GPT-5.2","image":{"url":"u"},"url":"https://poe.com/gpt-5.2"},
         "reasoning":{"budget":null,"required":false,"supports_reasoning_effort":true},
         "parameters":[{"name":"web_search","schema":{"type":"boolean"},"default_value":false,"description":"d"},
          {"name":"verbosity","schema":{"enum":["low","high"]},"default_value":"low"}]},
        {"id":"claude-sonnet-4.5","created":1758868800000000,"supported_endpoints":["/v1/messages"],
         "context_window":{"context_length":1000000}},
        {"id":"old","created":1700000000,"context_length":8192}]}"#;

    /// Everything that a member may turn into.
    fn oddities() -> Vec<Value> {
        let mut odd: Vec<Value> = vec![
            json!(null),
            json!(true),
            json!(-1),
            json!(7.5),
            json!(1e300),
            json!(""),
            json!("odd"),
            json!([]),
            json!([null]),
            json!([[1]]),
            json!([{"name": null}]),
            json!({}),
            json!({"odd": [1]}),
        ];
        odd.push(u64::MAX.into());
        odd
    }

    /// Every place in `value`, as a JSON pointer.
    fn places(value: &Value, at: &str, found: &mut Vec<String>) {
        let members: Vec<(String, &Value)> = match value {
            Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect()
            }
            _ => Vec::new(),
        };
        for (name, value) in members {
            let place = format!("{at}/{name}");
            places(value, &place, found);
            found.push(place);
        }
    }

    #[test]
    fn one_odd_member_never_hides_a_model() {
        let list: Value = serde_json::from_str(LIST).unwrap();
        let whole = parse(LIST.as_bytes()).unwrap();
        for number in 0..whole.len() {
            let mut found = Vec::new();
            places(&list["data"][number], &format!("/data/{number}"), &mut found);
            for place in found {
                let is_id = place.ends_with("/id");
                for odd in oddities() {
                    let mut list = list.clone();
                    *list.pointer_mut(&place).unwrap() = odd.clone();
                    let entries = parse(list.to_string().as_bytes()).unwrap();
                    let names: Vec<_> = entries.iter().map(|entry| entry.id.as_str()).collect();
                    let expected: Vec<_> = whole.iter().map(|entry| entry.id.as_str()).collect();
                    if !is_id {
                        assert_eq!(names, expected, "{place} is {odd}");
                    }
                    for (entry, whole) in
                        entries.iter().zip(&whole).filter(|(entry, whole)| entry.id == whole.id)
                    {
                        let fields = |entry: &Entry| {
                            let Entry {
                                created,
                                context_length,
                                features,
                                inputs,
                                endpoints,
                                parameters,
                                ..
                            } = entry.clone();
                            let names: Vec<_> =
                                parameters.iter().map(|parameter| parameter.name.clone()).collect();
                            [
                                json!(created),
                                json!(context_length),
                                json!(features),
                                json!(inputs),
                                json!(endpoints),
                                json!(names),
                            ]
                        };
                        let changed =
                            fields(entry).iter().zip(&fields(whole)).filter(|(a, b)| a != b).count();
                        assert!(changed <= 1, "{place} is {odd}: {:?} {:?}", fields(entry), fields(whole));
                    }
                }
            }
        }
    }

    #[test]
    fn old_and_new_forms_say_the_same() {
        let entry = |text: &str| parse(format!("[{text}]").as_bytes()).unwrap().remove(0);
        for (text, expected) in [
            (r#"{"id":"a","context_length":8192}"#, Some(8192)),
            (r#"{"id":"a","context_window":{"context_length":8192}}"#, Some(8192)),
            (r#"{"id":"a","context_window":{"context_length":8192},"context_length":null}"#, Some(8192)),
            (r#"{"id":"a","context_window":null,"context_length":8192}"#, Some(8192)),
            (r#"{"id":"a","context_window":8192}"#, Some(8192)),
            (r#"{"id":"a","context_window":{"context_length":8192},"context_length":1}"#, Some(8192)),
            (r#"{"id":"a","context_window":{"context_length":"8,192"}}"#, Some(8192)),
            (r#"{"id":"a","context_window":{"context_length":null},"context_length":8192.0}"#, Some(8192)),
            (r#"{"id":"a","context_window":{},"context_length":0}"#, None),
        ] {
            assert_eq!(entry(text).context_length, expected, "{text}");
        }
        for created in
            ["1700000000", "1700000000000", "1700000000000000", "1700000000000000000", "\"1700000000\""]
        {
            let text = format!(r#"{{"id":"a","created":{created}}}"#);
            assert_eq!(entry(&text).created, 1_700_000_000, "{created}");
        }
        let odd = entry(
            r#"{"id":7,"supported_features":{"tools":true,"web_search":false},"architecture":{"modality":"text,image->text"},
            "supported_endpoints":["https://api.poe.com/v1/messages"],"owned_by":{"name":"Anthropic"},
            "parameters":{"effort":{"schema":{"enum":["low"]},"default":"low"}}}"#,
        );
        assert_eq!((odd.id.as_str(), odd.owned_by.as_str()), ("7", "Anthropic"));
        assert_eq!(
            (odd.has_tools(), odd.reads("image"), odd.has_native_endpoint(NativeEndpoint::Messages)),
            (true, true, true)
        );
        assert_eq!(odd.parameter("effort").unwrap().default_value, "low");
    }

    #[test]
    fn a_list_that_is_none_is_an_error_that_says_what_it_is() {
        let message = |body: &str| parse(body.as_bytes()).unwrap_err().message;
        let page = message("<html><title>Sign in</title></html>");
        assert!(page.contains("HTML page titled \"Sign in\"") && page.contains("POE_BASE_URL"), "{page}");
        assert_eq!(message(r#"{"error":{"message":"Invalid API key"}}"#), "Invalid API key");
        assert!(message(r#"{"data":[{"odd":1},{}]}"#).contains("none of the 2 entries"));
        assert_eq!(parse(br#"{"models":[{"id":"a"}]}"#).unwrap().len(), 1);
        assert_eq!(parse(br#"{"data":[]}"#).unwrap().len(), 0);
    }
}
