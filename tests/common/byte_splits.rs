//! A stream of Poe's with all its text cut into single characters.

use poe2openai::poe::SseDecoder;
use serde_json::{Value, json};

/// `sse` with one event for each character of a `text` event, and of text and arguments in `json` events.
pub fn letters(sse: &[u8]) -> Vec<u8> {
    let mut decoder = SseDecoder::default();
    decoder.feed(sse).expect("a stream of events");
    let mut out = Vec::new();
    while let Some(frame) = decoder.next_frame() {
        let name = String::from_utf8_lossy(frame.name).into_owned();
        let pieces = match serde_json::from_slice::<Value>(frame.data) {
            Ok(data) if name == "text" => spelt(&data, "/text"),
            Ok(data) if name == "json" => spelt_chunk(data),
            Ok(data) => vec![data],
            Err(_) => Vec::new(),
        };
        if pieces.is_empty() {
            out.extend(format!("event: {name}\ndata: {}\n\n", String::from_utf8_lossy(frame.data)).bytes());
        }
        out.extend(pieces.iter().flat_map(|data| format!("event: {name}\ndata: {data}\n\n").into_bytes()));
    }
    out
}

/// One copy of `data` for each character of the text at `place`.
fn spelt(data: &Value, place: &str) -> Vec<Value> {
    let Some(text) = data.pointer(place).and_then(Value::as_str) else { return vec![data.clone()] };
    let copy = |letter: char| {
        let mut copy = data.clone();
        if let Some(text) = copy.pointer_mut(place) {
            *text = letter.to_string().into();
        }
        copy
    };
    if text.is_empty() { vec![data.clone()] } else { text.chars().map(copy).collect() }
}

/// Text first, then the calls one after the other, then what else the chunk says.
fn spelt_chunk(mut chunk: Value) -> Vec<Value> {
    let mut pieces = Vec::new();
    let Some(delta) = chunk.pointer_mut("/choices/0/delta").and_then(Value::as_object_mut) else {
        return vec![chunk];
    };
    if delta.get("reasoning_content").and_then(Value::as_str).is_some_and(|text| !text.is_empty()) {
        delta.remove("reasoning"); // the same text
    }
    for field in ["reasoning_content", "reasoning", "content", "refusal"] {
        if delta.get(field).is_some_and(Value::is_string) {
            let delta = json!({"choices": [{"delta": {field: delta.remove(field)}}]});
            pieces.extend(spelt(&delta, &format!("/choices/0/delta/{field}")));
        }
    }
    for call in delta.remove("tool_calls").and_then(|calls| calls.as_array().cloned()).into_iter().flatten() {
        pieces.extend(spelt_call(call));
    }
    pieces.push(chunk);
    pieces
}

/// Id and name of a call first, then its arguments, a character each.
fn spelt_call(mut call: Value) -> Vec<Value> {
    let chunk = |call: Value| json!({"choices": [{"delta": {"tool_calls": [call]}}]});
    let index = call["index"].clone();
    let arguments = match call.pointer_mut("/function/arguments") {
        // without an index the pieces of two calls in one chunk could not be distinguished
        Some(arguments) if arguments.is_string() && index.is_u64() => arguments.take(),
        _ => return vec![chunk(call)],
    };
    let letter = |letter: char| chunk(json!({"index": index, "function": {"arguments": letter.to_string()}}));
    let letters = arguments.as_str().unwrap_or_default().chars().map(letter);
    [chunk(call)].into_iter().chain(letters).collect()
}
