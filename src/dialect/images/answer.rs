//! Encodes pictures as OpenAI's `ImagesResponse`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::pipeline::TokenUsage;

/// A picture as it is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picture {
    /// Where it lies.
    Url(String),
    /// Its own bytes.
    Bytes(Vec<u8>),
}

/// The whole answer.
pub fn encode(created: u64, pictures: &[Picture], usage: TokenUsage) -> Vec<u8> {
    let picture = |picture: &Picture| match picture {
        Picture::Url(url) => json!({"url": url}),
        Picture::Bytes(bytes) => json!({"b64_json": STANDARD.encode(bytes)}),
    };
    let data: Vec<Value> = pictures.iter().map(picture).collect();
    let usage = json!({
        "input_tokens": usage.prompt, "output_tokens": usage.completion, "total_tokens": usage.total(),
        "input_tokens_details": {"text_tokens": usage.prompt, "image_tokens": 0},
    });
    json!({"created": created, "data": data, "usage": usage}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_a_link_or_its_bytes() {
        let usage = TokenUsage { prompt: 2, completion: 3, reasoning: 0 };
        let answer = encode(7, &[Picture::Url("u".into()), Picture::Bytes(vec![0, 1, 2])], usage);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["data"], json!([{"url": "u"}, {"b64_json": "AAEC"}]));
        assert_eq!((&answer["created"], &answer["usage"]["total_tokens"]), (&json!(7), &json!(5)));
    }
}
