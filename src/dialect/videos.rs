//! Decodes OpenAI's requests for videos, from JSON or from a form with a reference.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::files::by_url;
use super::form::{self, Field};
use super::json;
use crate::error::{Error, Result};
use crate::pipeline::{ChatRequest, FileSource, Message, Part, Role};

/// OpenAI takes no longer prompts either.
const MAX_PROMPT: usize = 32_000;
const MAX_SECONDS: f64 = 3600.0;

/// A decoded request: what is asked, and what the job repeats of it.
#[derive(Debug)]
pub struct VideoRequest {
    /// What is asked.
    pub chat: ChatRequest,
    /// The words.
    pub prompt: String,
    /// The size, as the client wrote it.
    pub size: Option<String>,
    /// The length, as the client wrote it.
    pub seconds: Option<String>,
}

#[derive(Deserialize, Default)]
struct Request {
    model: Option<String>,
    prompt: Option<String>,
    size: Option<String>,
    seconds: Option<Value>,
    input_reference: Option<Value>,
    extra_body: Option<Map<String, Value>>,
    /// Whatever else the model may declare.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Reads the body of `POST /v1/videos`. Errors name the field.
pub fn decode(content_type: &str, body: &[u8]) -> Result<VideoRequest> {
    let (mut request, mut files) = match form::read(content_type, body) {
        Some(fields) => from_form(fields?)?,
        None => (json::read(body)?, Vec::new()),
    };
    match request.input_reference.take() {
        Some(Value::Array(several)) => {
            for (at, value) in several.into_iter().enumerate() {
                files.push(reference(&format!("input_reference[{at}]"), value)?);
            }
        }
        Some(value) if !value.is_null() => files.push(reference("input_reference", value)?),
        _ => {}
    }
    request.into_video_request(files)
}

/// A link, a data URL, or an object that has one.
fn reference(path: &str, value: Value) -> Result<FileSource> {
    let expected = "expected a URL, a data URL, or an object with image_url";
    match value {
        Value::String(url) => by_url(path, url, None),
        Value::Object(mut object) => {
            if object.get("file_id").is_some_and(|id| !id.is_null()) {
                let message = format!("{path}.file_id: files are not kept here; {expected}");
                return Err(Error::invalid(format!("{path}.file_id"), message));
            }
            let found = ["image_url", "video_url", "url"].into_iter().find_map(|name| object.remove(name));
            match found {
                Some(inner @ (Value::String(_) | Value::Object(_))) => reference(path, inner),
                _ => Err(Error::invalid(path, format!("{path}: {expected}"))),
            }
        }
        _ => Err(Error::invalid(path, format!("{path}: {expected}"))),
    }
}

/// The fields of a form as they would stand in JSON, and its files.
fn from_form(fields: Vec<Field<'_>>) -> Result<(Request, Vec<FileSource>)> {
    let (mut request, mut files) = (Request::default(), Vec::new());
    for field in fields {
        let name = field.name.replace(['[', ']'], ".");
        let name = name.trim_matches('.').replace("..", ".");
        match (name.as_str(), &field.file_name) {
            ("input_reference", Some(_)) => {
                files.push(field.file(&["image/", "video/", "audio/"], "image/png")?)
            }
            ("input_reference", None) => request.input_reference = Some(written(field.text()?)),
            ("model", _) => request.model = Some(field.text()?.to_owned()),
            ("prompt", _) => request.prompt = Some(field.text()?.to_owned()),
            ("size", _) => request.size = Some(field.text()?.to_owned()),
            ("seconds", _) => request.seconds = Some(field.text()?.into()),
            (name, _) => match name.strip_prefix("input_reference.") {
                Some(inner) => {
                    let mut object = Map::new();
                    object.insert(inner.to_owned(), field.text()?.into());
                    request.input_reference = Some(object.into());
                }
                None => drop(request.rest.insert(name.to_owned(), field.text()?.into())),
            },
        }
    }
    Ok((request, files))
}

/// An object as JSON, or else the text itself.
fn written(text: &str) -> Value {
    serde_json::from_str(text).ok().filter(Value::is_object).unwrap_or_else(|| text.into())
}

impl Request {
    fn into_video_request(self, files: Vec<FileSource>) -> Result<VideoRequest> {
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let model = given(self.model).map(|model| model.trim().to_owned()).ok_or_else(|| {
            Error::invalid("model", "you must provide a model parameter: the name of a bot that makes videos")
        })?;
        let prompt = given(self.prompt)
            .ok_or_else(|| Error::invalid("prompt", "you must provide a prompt parameter"))?;
        if prompt.chars().nth(MAX_PROMPT).is_some() {
            let message = format!("prompt is too long: it may have {MAX_PROMPT} characters");
            return Err(Error::invalid("prompt", message));
        }
        let (size, seconds) = (given(self.size), self.seconds.map(seconds).transpose()?.flatten());
        let mut hints = self.rest;
        for (name, value) in [("size", &size), ("seconds", &seconds)] {
            hints.extend(value.iter().map(|value| (name.to_owned(), Value::from(value.as_str()))));
        }
        let mut parts = vec![Part::Text(prompt.clone())];
        parts.extend(files.into_iter().map(Part::File));
        let chat = ChatRequest {
            bot: model.clone(),
            model,
            messages: vec![Message { role: Role::User, parts, ..Message::default() }],
            choices: 1,
            parameters: self.extra_body.unwrap_or_default(),
            hints,
            ..ChatRequest::default()
        };
        Ok(VideoRequest { chat, prompt, size, seconds })
    }
}

/// `"8"`, `8` and `"8s"` are the same length.
fn seconds(value: Value) -> Result<Option<String>> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => text.trim().trim_end_matches(['s', 'S']).trim_end().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= MAX_SECONDS => Ok(Some(number.to_string())),
        _ => Err(Error::invalid("seconds", "seconds: expected a number of seconds, such as \"8\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn json(more: Value) -> Result<VideoRequest> {
        let mut request = json!({"model": "m", "prompt": "a cat"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        decode("application/json", request.to_string().as_bytes())
    }

    fn form(parts: &[(&str, &str, &str)]) -> Result<VideoRequest> {
        let part = |(name, more, content): &(&str, &str, &str)| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{content}\r\n")
        };
        let body: String = parts.iter().map(part).chain(["--b--\r\n".into()]).collect();
        decode("multipart/form-data; boundary=b", body.as_bytes())
    }

    fn file(request: &VideoRequest) -> Option<&FileSource> {
        request.chat.messages[0].parts.iter().find_map(|part| match part {
            Part::File(source) => Some(source),
            Part::Text(_) => None,
        })
    }

    #[test]
    fn json_and_forms_mean_the_same() {
        let written = json(json!({"size": "1280x720", "seconds": 8, "seed": "1"})).unwrap();
        let filled = form(&[
            ("model", "", "m"),
            ("prompt", "", "a cat"),
            ("size", "", "1280x720"),
            ("seconds", "", "8"),
            ("seed", "", "1"),
        ])
        .unwrap();
        for request in [written, filled] {
            assert_eq!((request.prompt.as_str(), request.chat.model.as_str()), ("a cat", "m"));
            let expected = json!({"seed": "1", "size": "1280x720", "seconds": "8"});
            assert_eq!(Value::Object(request.chat.hints), expected);
            assert_eq!((request.size.as_deref(), request.seconds.as_deref()), (Some("1280x720"), Some("8")));
        }
        for (value, expected) in [
            (json!("4s"), Some("4")),
            (json!(" 12 "), Some("12")),
            (json!(7.5), Some("7.5")),
            (json!(""), None),
            (json!(null), None),
        ] {
            let request = json(json!({"seconds": value})).unwrap();
            assert_eq!(request.seconds.as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn a_reference_is_a_file_a_link_or_an_object() {
        let link = FileSource::Link { url: "https://x/a.png".into(), name: None };
        for value in [
            json!("https://x/a.png"),
            json!({"image_url": "https://x/a.png"}),
            json!({"type": "image_url", "image_url": {"url": "https://x/a.png"}}),
            json!([{"image_url": "https://x/a.png"}]),
        ] {
            assert_eq!(file(&json(json!({"input_reference": value})).unwrap()), Some(&link), "{value}");
        }
        let (model, prompt) = (("model", "", "m"), ("prompt", "", "p"));
        for (name, content) in [
            ("input_reference", "https://x/a.png"),
            ("input_reference", "{\"image_url\": \"https://x/a.png\"}"),
            ("input_reference[image_url]", "https://x/a.png"),
        ] {
            assert_eq!(file(&form(&[model, prompt, (name, "", content)]).unwrap()), Some(&link), "{name}");
        }
        let upload = ("input_reference", "; filename=\"a.webp\"\r\nContent-Type: image/webp", "x");
        let request = form(&[model, prompt, upload]).unwrap();
        assert!(
            matches!(file(&request), Some(FileSource::Data { content_type, .. }) if content_type == "image/webp")
        );
        assert!(file(&json(json!({"input_reference": null})).unwrap()).is_none());
    }

    #[test]
    fn errors_name_the_field() {
        for (more, param) in [
            (json!({"model": null}), "model"),
            (json!({"prompt": " "}), "prompt"),
            (json!({"prompt": "x".repeat(MAX_PROMPT + 1)}), "prompt"),
            (json!({"seconds": "long"}), "seconds"),
            (json!({"seconds": 0}), "seconds"),
            (json!({"seconds": "inf"}), "seconds"),
            (json!({"seconds": []}), "seconds"),
            (json!({"size": 7}), "size"),
            (json!({"input_reference": 7}), "input_reference"),
            (json!({"input_reference": {"file_id": "file-1"}}), "input_reference.file_id"),
            (json!({"input_reference": {"name": "x"}}), "input_reference"),
            (json!({"input_reference": [{"image_url": "x"}]}), "input_reference[0]"),
        ] {
            let error = json(more.clone()).map(drop).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{more}: {error}");
        }
    }
}
