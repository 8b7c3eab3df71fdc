//! OpenAI's legacy Completions API: continues a text or fills a gap in it.

mod answer;
mod request;
mod stream;

pub use stream::Encoder;

use super::{DecodedRequest, Stamp};
use crate::error::Result;
use crate::pipeline::FinishReason;

/// What all pieces of one answer have in common.
#[derive(Debug, Clone)]
pub struct Meta {
    /// `cmpl-…`
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The model's name as the client wrote it.
    pub model: String,
    /// How many choices each prompt has; those of the first prompt come first.
    pub n: usize,
    /// The prompts, if the answer is to begin with them (`echo`).
    pub echo: Option<Vec<String>>,
}

impl Meta {
    /// What stands before the text of choice `index`.
    fn echoed(&self, index: usize) -> &str {
        let prompt = self.echo.as_ref().and_then(|prompts| prompts.get(index / self.n));
        prompt.map_or("", String::as_str)
    }

    /// Whether choice `index` is the first of its prompt's, with which the prompt counts.
    fn is_first(&self, index: usize) -> bool {
        index.is_multiple_of(self.n)
    }
}

/// Reads a request's body. Errors name the field.
pub fn decode(body: &[u8], stamp: &Stamp<'_>) -> Result<DecodedRequest> {
    let completion = request::read(body)?;
    let chat = &completion.chats[0];
    let meta = Meta {
        id: (stamp.make_id)("cmpl-"),
        created: stamp.now,
        model: chat.model.clone(),
        n: chat.choices,
        echo: completion.echo,
    };
    let choices = completion.chats.iter().map(|chat| chat.choices).sum();
    let encoder = Encoder::new(meta, choices, completion.includes_usage);
    let stream = completion.stream;
    Ok(DecodedRequest {
        chats: completion.chats,
        stream,
        endpoint: None,
        earlier: None,
        named: None,
        encoder: Box::new(encoder),
    })
}

/// OpenAI's word for why a text ended.
fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
    }
}
