//! Script of a bot's answer to one query, as plain data: a refusal, or a sequence of steps.

use std::time::Duration;

use serde_json::{Value, json};

/// A bot's whole reaction to one query.
pub enum Script {
    /// A whole answer with an error status; no stream.
    Refuse(Refusal),
    /// A stream of steps. Running out of steps ends the answer properly framed.
    Stream(Box<dyn Iterator<Item = Step>>),
    /// The connection is dropped before the head of an answer.
    HangUp,
    /// Not even the head of an answer comes, until the client leaves.
    Silence,
}

/// A whole answer that is an error.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Headers beside those that each answer has.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Value,
}

impl Refusal {
    /// Poe's shape: `{"error":{"code":401,"type":"authentication_error","message":"…","metadata":{}}}`.
    pub fn new(status: u16, kind: &str, message: impl Into<String>) -> Refusal {
        let error = json!({"code": status, "type": kind, "message": message.into(), "metadata": {}});
        Refusal { status, headers: Vec::new(), body: json!({"error": error}) }
    }

    /// The same refusal with one more header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Refusal {
        self.headers.push((name, value.into()));
        self
    }
}

/// One thing that a bot does while it answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// An event of the protocol.
    Event {
        /// `text`, `replace_response`, `file`, `json`, `done`, …
        name: &'static str,
        /// What stands behind `data:`.
        data: Value,
    },
    /// Bytes as they are, for frames that a well-behaved bot would not write.
    Raw(Vec<u8>),
    /// A comment line, which readers skip.
    Comment(&'static str),
    /// Wait.
    Pause(Duration),
    /// Silent until the client leaves.
    Stall,
    /// The connection is dropped in mid answer, so that the client can state.
    BreakOff,
}

impl Step {
    /// The bytes that this step puts on the wire: `event:` and `data:` lines, then a blank line.
    pub fn frame(&self) -> Option<Vec<u8>> {
        match self {
            Step::Event { name, data } => Some(format!("event: {name}\ndata: {data}\n\n").into_bytes()),
            Step::Raw(bytes) => Some(bytes.clone()),
            Step::Comment(words) => Some(format!(": {words}\n\n").into_bytes()),
            Step::Pause(_) | Step::Stall | Step::BreakOff => None,
        }
    }

    /// The same event as one of several answers in one stream.
    pub fn indexed(mut self, index: u32) -> Step {
        if let Step::Event { data, .. } = &mut self {
            data["index"] = index.into();
        }
        self
    }
}

/// Append `text` to the answer.
pub fn text(text: impl Into<String>) -> Step {
    Step::Event { name: "text", data: json!({"text": text.into()}) }
}

/// Forget the answer so far and put `text` in its place.
pub fn replace(text: impl Into<String>) -> Step {
    Step::Event { name: "replace_response", data: json!({"text": text.into()}) }
}

/// A file that the bot made; `[inline_ref]` in the text speaks of it.
pub fn file(url: String, content_type: &str, name: &str, inline_ref: Option<&str>) -> Step {
    let data = json!({"url": url, "content_type": content_type, "name": name, "inline_ref": inline_ref});
    Step::Event { name: "file", data }
}

/// The end of a complete answer.
pub fn done() -> Step {
    Step::Event { name: "done", data: json!({}) }
}

/// A failure; nothing follows it. `kind` is one of Poe's four `error_type`s; most failures come without.
pub fn error(allow_retry: bool, kind: Option<&str>, text: &str) -> Step {
    let mut data = json!({"allow_retry": allow_retry, "text": text});
    if let Some(kind) = kind {
        data["error_type"] = kind.into();
    }
    Step::Event { name: "error", data }
}

/// A wait in milliseconds.
pub fn pause(milliseconds: u64) -> Step {
    Step::Pause(Duration::from_millis(milliseconds))
}

/// Text events that hold pieces of `words` of the given sizes in characters, the last size again and again.
pub fn pieces(words: &str, sizes: &[usize]) -> Vec<Step> {
    split(words, sizes).into_iter().map(text).collect()
}

/// `words` cut into pieces of the given sizes in characters, over and over from the first size.
pub fn split(words: &str, sizes: &[usize]) -> Vec<String> {
    let mut sizes = sizes.iter().copied().cycle();
    let mut letters = words.chars().peekable();
    let mut pieces = Vec::new();
    while letters.peek().is_some() {
        pieces.push(letters.by_ref().take(sizes.next().unwrap_or(16).max(1)).collect());
    }
    pieces
}

/// Sizes that cut words, tags and line marks where it hurts.
pub const AWKWARD: &[usize] = &[1, 2, 3, 5, 7, 4];

/// Sizes as a model's tokens would have them.
pub const EVEN: &[usize] = &[12];

/// A stream of these steps, as they are.
pub fn stream(steps: Vec<Step>) -> Script {
    Script::Stream(Box::new(steps.into_iter()))
}

/// A stream of these steps that ends as it should.
pub fn whole(mut steps: Vec<Step>) -> Script {
    steps.push(done());
    stream(steps)
}

/// A plain answer.
pub fn say(words: &str) -> Script {
    whole(pieces(words, EVEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_framed_as_the_standard_has_it() {
        let frame = |step: Step| String::from_utf8(step.frame().unwrap()).unwrap();
        assert_eq!(frame(text("a\n\"b\"")), "event: text\ndata: {\"text\":\"a\\n\\\"b\\\"\"}\n\n");
        assert_eq!(frame(done()), "event: done\ndata: {}\n\n");
        assert_eq!(frame(Step::Comment("still here")), ": still here\n\n");
        assert_eq!(frame(text("x").indexed(1)), "event: text\ndata: {\"text\":\"x\",\"index\":1}\n\n");
        assert_eq!(pause(5).frame(), None);
    }

    #[test]
    fn an_error_without_type_has_no_field_for_it() {
        let internal = error(true, None, "Internal server error");
        let expected = json!({"allow_retry": true, "text": "Internal server error"});
        assert_eq!(internal, Step::Event { name: "error", data: expected });
    }

    #[test]
    fn pieces_are_cut_between_characters_and_lose_none() {
        let words = "Grüße, 世界 🌍!";
        assert_eq!(split(words, AWKWARD).concat(), words);
        assert_eq!(split(words, &[3]).len(), 4);
        assert!(split("", AWKWARD).is_empty());
    }
}
