//! The real program under test, a Poe for it, and an HTTP client that sees every byte and when it came.

mod program;
pub mod proxy;
mod raw_http;
pub mod tls;

pub use program::*;
pub use raw_http::*;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Timeout that a working test never reaches, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Calls `look` until it returns a value; fails after `limit`.
pub fn eventually<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A chat request to `bot`.
pub fn chat_body(bot: &str, words: &str) -> Value {
    json!({"model": bot, "messages": [{"role": "user", "content": words}]})
}

/// The same, answered as a stream.
pub fn streamed(bot: &str, words: &str) -> Value {
    let mut body = chat_body(bot, words);
    body["stream"] = true.into();
    body
}

/// The head and body of a chat request with a key.
pub fn chat(body: &Value) -> String {
    post("/v1/chat/completions", &["Authorization: Bearer some-key"], &body.to_string())
}

/// The head and body of a POST.
pub fn post(path: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// The head of a GET.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer some-key\r\n\r\n")
}

/// The text in the deltas of a stream.
pub fn text(events: &[Event]) -> String {
    let content = |event: &Event| Some(event.json()?["choices"][0]["delta"]["content"].as_str()?.to_owned());
    events.iter().filter_map(content).collect()
}

/// The text of a whole answer.
pub fn content(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
}

/// The error that a stream ended with: its `code` and `message`.
pub fn fault(events: &[Event]) -> Option<(String, String)> {
    let error = &events.last()?.json()?["error"];
    let part = |name: &str| error[name].as_str().map(str::to_owned);
    Some((part("code")?, part("message")?))
}

/// Whether anything in the stream says that the answer is complete.
pub fn claims_success(events: &[Event]) -> bool {
    let finished = |event: &Event| match &event.piece {
        Piece::Data(data) => data["choices"][0]["finish_reason"].is_string(),
        Piece::Done => true,
        Piece::Comment(_) => false,
    };
    events.iter().any(finished)
}
