//! OpenAI's speech API: a text that an audio bot reads out. The answer is the audio file.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::json;
use crate::error::{Error, Result};
use crate::pipeline::{ChatRequest, Message, Part, Role};

#[derive(Deserialize)]
struct Request {
    model: Option<String>,
    input: Option<String>,
    voice: Option<Voice>,
    response_format: Option<String>,
    stream_format: Option<String>,
    extra_body: Option<Map<String, Value>>,
    /// `speed`, `instructions` and whatever else the model may declare.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Voice {
    Name(String),
    Object { id: String },
}

/// Reads the body of `POST /v1/audio/speech`. Errors name the field.
pub fn decode(body: &[u8]) -> Result<ChatRequest> {
    let request: Request = json::read(body)?;
    let given = |param: &str, text: Option<String>| {
        let text = text.filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| Error::invalid(param, format!("you must provide {param}")))
    };
    let model = given("model", request.model)?.trim().to_owned();
    let input = given("input", request.input)?;
    if request.stream_format.as_deref() == Some("sse") {
        return Err(Error::invalid(
            "stream_format",
            "speech is sent as a whole file: stream_format must be audio",
        ));
    }
    let mut hints = request.rest;
    let voice = request.voice.map(|voice| match voice {
        Voice::Name(name) | Voice::Object { id: name } => name,
    });
    for (name, value) in [("voice", voice), ("output_format", request.response_format)] {
        hints.extend(value.map(|value| (name.to_owned(), Value::from(value))));
    }
    let parts = vec![Part::Text(input)];
    Ok(ChatRequest {
        bot: model.clone(),
        model,
        messages: vec![Message { role: Role::User, parts, ..Message::default() }],
        parameters: request.extra_body.unwrap_or_default(),
        hints,
        choices: 1,
        ..ChatRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_settings_are_hints_for_the_model() {
        let body = json!({"model": "m", "input": "hello", "voice": {"id": "Sarah"}, "response_format": "mp3",
            "speed": 1.5, "instructions": "cheerful"});
        let chat = decode(body.to_string().as_bytes()).unwrap();
        let hints =
            json!({"speed": 1.5, "instructions": "cheerful", "voice": "Sarah", "output_format": "mp3"});
        assert_eq!((chat.messages[0].text(), Value::Object(chat.hints)), ("hello".into(), hints));
    }

    #[test]
    fn errors_name_the_field() {
        for (field, value, param) in [
            ("model", json!(""), "model"),
            ("input", Value::Null, "input"),
            ("voice", json!(7), "voice"),
            ("stream_format", json!("sse"), "stream_format"),
        ] {
            let mut body = json!({"model": "m", "input": "hello", "voice": "alloy"});
            body[field] = value;
            assert_eq!(
                decode(body.to_string().as_bytes()).unwrap_err().param.as_deref(),
                Some(param),
                "{field}"
            );
        }
    }
}
