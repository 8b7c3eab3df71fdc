//! Decodes a request for pictures into a `ChatRequest`, from JSON or from a form with pictures.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::dialect::chat::choices;
use crate::dialect::files::by_url;
use crate::dialect::form::{self, Field};
use crate::dialect::json;
use crate::error::{Error, Result};
use crate::pipeline::{ChatRequest, FileSource, Message, Part, Role};

/// The most pictures that one request may bring.
const MOST_PICTURES: usize = 16;

/// A decoded request: what is asked, and how the pictures are wanted.
#[derive(Debug)]
pub struct ImageRequest {
    /// What is asked.
    pub chat: ChatRequest,
    /// How the pictures are wanted.
    pub wanted: Wanted,
}

/// How pictures are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// As links.
    Url,
    /// As base64 inside the answer.
    Base64,
}

#[derive(Deserialize, Default)]
struct Request {
    model: Option<String>,
    prompt: Option<String>,
    n: Option<u64>,
    response_format: Option<String>,
    stream: Option<bool>,
    image: Option<Images>,
    images: Option<Images>,
    mask: Option<Image>,
    extra_body: Option<Map<String, Value>>,
    /// `size`, `quality` and whatever else the model may declare.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Images {
    One(Image),
    Many(Vec<Image>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Image {
    Plain(String),
    Object { image_url: ImageUrl },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ImageUrl {
    Plain(String),
    Object { url: String },
}

impl Image {
    fn source(self, path: &str) -> Result<FileSource> {
        match self {
            Image::Plain(url)
            | Image::Object { image_url: ImageUrl::Plain(url) | ImageUrl::Object { url } } => {
                by_url(path, url, None)
            }
        }
    }
}

/// Reads the body of `POST /v1/images/generations`. Errors name the field.
pub fn decode_generation(body: &[u8]) -> Result<ImageRequest> {
    let request: Request = json::read(body)?;
    request.into_image_request(Vec::new())
}

/// Reads the body of `POST /v1/images/edits`: a form, or JSON with links or data URLs. Errors name the field.
pub fn decode_edit(content_type: &str, body: &[u8]) -> Result<ImageRequest> {
    let (mut request, mut pictures) = match form::read(content_type, body) {
        Some(fields) => from_form(fields?)?,
        None => (json::read(body)?, Vec::new()),
    };
    for (name, images) in [("image", request.image.take()), ("images", request.images.take())] {
        match images {
            None => {}
            Some(Images::One(image)) => pictures.push(image.source(name)?),
            Some(Images::Many(images)) => {
                for (at, image) in images.into_iter().enumerate() {
                    pictures.push(image.source(&format!("{name}[{at}]"))?);
                }
            }
        }
    }
    if pictures.is_empty() {
        return Err(Error::invalid("image", "image is missing: expected a picture to edit"));
    }
    if pictures.len() > MOST_PICTURES {
        return Err(Error::invalid("image", format!("image: at most {MOST_PICTURES} pictures")));
    }
    if let Some(mask) = request.mask.take() {
        pictures.push(mask.source("mask")?);
        request.rest.insert("use_mask".into(), true.into());
    }
    request.into_image_request(pictures)
}

/// The fields of a form as they would stand in JSON, and its pictures, a mask last.
fn from_form(fields: Vec<Field<'_>>) -> Result<(Request, Vec<FileSource>)> {
    let (mut request, mut pictures, mut mask) = (Request::default(), Vec::new(), None);
    for field in fields {
        match field.name.as_str() {
            name if name == "image" || name.starts_with("image[") => pictures.push(picture(&field)?),
            "mask" => mask = Some(picture(&field)?),
            "model" => request.model = Some(field.text()?.to_owned()),
            "prompt" => request.prompt = Some(field.text()?.to_owned()),
            "response_format" => request.response_format = Some(field.text()?.to_owned()),
            "n" => request.n = Some(parsed(&field)?),
            "stream" => request.stream = Some(parsed(&field)?),
            name => {
                request.rest.insert(name.trim_end_matches("[]").to_owned(), field.text()?.into());
            }
        }
    }
    if let Some(mask) = mask.filter(|_| !pictures.is_empty()) {
        pictures.push(mask);
        request.rest.insert("use_mask".into(), true.into());
    }
    Ok((request, pictures))
}

fn parsed<T: std::str::FromStr>(field: &Field<'_>) -> Result<T> {
    let (name, text) = (&field.name, field.text()?.trim());
    text.parse().map_err(|_| Error::invalid(name, format!("{name} is invalid: {text:?}")))
}

fn picture(field: &Field<'_>) -> Result<FileSource> {
    field.file(&["image/"], "image/png")
}

impl Request {
    fn into_image_request(self, pictures: Vec<FileSource>) -> Result<ImageRequest> {
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let model = given(self.model).map(|model| model.trim().to_owned());
        let model = model.ok_or_else(|| {
            Error::invalid(
                "model",
                "you must provide a model parameter: the name of a bot that makes pictures",
            )
        })?;
        let prompt = given(self.prompt)
            .ok_or_else(|| Error::invalid("prompt", "you must provide a prompt parameter"))?;
        if self.stream == Some(true) {
            return Err(Error::invalid("stream", "pictures are not streamed here: leave stream out"));
        }
        let wanted = match self.response_format.as_deref() {
            Some("url") => Wanted::Url,
            Some("b64_json") => Wanted::Base64,
            // as at OpenAI, where these models know no links
            None if model.to_ascii_lowercase().starts_with("gpt-image") => Wanted::Base64,
            None => Wanted::Url,
            Some(other) => {
                let message = format!("response_format is `{other}`, it must be url or b64_json");
                return Err(Error::invalid("response_format", message));
            }
        };
        let mut parts = vec![Part::Text(prompt)];
        parts.extend(pictures.into_iter().map(Part::File));
        let chat = ChatRequest {
            bot: model.clone(),
            model,
            messages: vec![Message { role: Role::User, parts, ..Message::default() }],
            choices: choices(self.n)?,
            parameters: self.extra_body.unwrap_or_default(),
            hints: self.rest,
            ..ChatRequest::default()
        };
        Ok(ImageRequest { chat, wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn generation(more: Value) -> Result<ImageRequest> {
        let mut request = json!({"model": "m", "prompt": "a cat"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        decode_generation(request.to_string().as_bytes())
    }

    fn form(parts: &[(&str, &str, &str)]) -> Result<ImageRequest> {
        let part = |(name, more, content): &(&str, &str, &str)| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{content}\r\n")
        };
        let body: String = parts.iter().map(part).chain(["--b--\r\n".into()]).collect();
        decode_edit("multipart/form-data; boundary=b", body.as_bytes())
    }

    fn files(image_request: &ImageRequest) -> Vec<(&str, Option<&str>)> {
        let parts = image_request.chat.messages[0].parts.iter();
        parts
            .filter_map(|part| match part {
                Part::File(FileSource::Data { content_type, name, .. }) => {
                    Some((content_type.as_str(), name.as_deref()))
                }
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_the_model_may_declare_is_a_hint() {
        let image_request =
            generation(json!({"n": 2, "size": "1024x1536", "quality": "hd", "user": "u"})).unwrap();
        assert_eq!((image_request.chat.choices, image_request.wanted), (2, Wanted::Url));
        assert_eq!(image_request.chat.hints["size"], "1024x1536");
        assert_eq!(image_request.chat.messages[0].text(), "a cat");
        assert_eq!(generation(json!({"response_format": "b64_json"})).unwrap().wanted, Wanted::Base64);
        assert_eq!(generation(json!({"model": "GPT-Image-1"})).unwrap().wanted, Wanted::Base64);
        assert_eq!(
            generation(json!({"model": "GPT-Image-1", "response_format": "url"})).unwrap().wanted,
            Wanted::Url
        );
    }

    #[test]
    fn a_form_brings_pictures_and_a_mask() {
        let image_request = form(&[
            ("image[]", "; filename=\"a.jpg\"", "\u{89}"),
            ("image[1]", "; filename=\"b\"\r\nContent-Type: image/webp", "x"),
            ("mask", "; filename=\"m.png\"", "x"),
            ("prompt", "", "a hat"),
            ("model", "", "m"),
            ("n", "", "2"),
            ("size", "", "512x512"),
        ])
        .unwrap();
        let expected =
            [("image/jpeg", Some("a.jpg")), ("image/webp", Some("b")), ("image/png", Some("m.png"))];
        assert_eq!(files(&image_request), expected);
        assert_eq!(
            (&image_request.chat.hints["use_mask"], &image_request.chat.hints["size"]),
            (&json!(true), &json!("512x512"))
        );
        assert_eq!(image_request.chat.choices, 2);
    }

    #[test]
    fn json_brings_links_and_data() {
        let body = json!({"model": "m", "prompt": "p", "images": [{"image_url": "https://x/a.png"},
            {"image_url": {"url": "data:image/png;base64,AAEC"}}], "mask": {"image_url": "https://x/m.png"}});
        let image_request = decode_edit("application/json", body.to_string().as_bytes()).unwrap();
        assert_eq!(image_request.chat.messages[0].parts.len(), 4);
        let one = json!({"model": "m", "prompt": "p", "image": "https://x/a.png"});
        assert_eq!(decode_edit("", one.to_string().as_bytes()).unwrap().chat.messages[0].parts.len(), 2);
    }

    #[test]
    fn errors_name_the_field() {
        for (more, param) in [
            (json!({"model": null}), "model"),
            (json!({"prompt": " "}), "prompt"),
            (json!({"stream": true}), "stream"),
            (json!({"n": 9}), "n"),
            (json!({"response_format": "png"}), "response_format"),
        ] {
            assert_eq!(generation(more.clone()).unwrap_err().param.as_deref(), Some(param), "{more}");
        }
        let image = ("image", "; filename=\"a.png\"", "x");
        for (parts, param) in [
            (vec![("prompt", "", "p"), ("model", "", "m")], "image"),
            (vec![image, ("model", "", "m")], "prompt"),
            (vec![image, ("n", "", "two")], "n"),
            (vec![("image", "; filename=\"a.png\"", "")], "image"),
        ] {
            assert_eq!(form(&parts).unwrap_err().param.as_deref(), Some(param), "{parts:?}");
        }
    }
}
