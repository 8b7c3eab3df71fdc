//! The reader of Poe's events: a member of any type neither ends an answer nor loses text.

use std::collections::VecDeque;

use poe2openai::pipeline::Event;
use poe2openai::poe::{Decode, Frame, Progress};

use serde_json::Value;

const NAMES: &[(u8, &[u8])] = &[
    (b't', b"text"),
    (b'r', b"replace_response"),
    (b'j', b"json"),
    (b'f', b"file"),
    (b's', b"suggested_reply"),
    (b'm', b"data"),
    (b'e', b"error"),
    (b'd', b"done"),
    (b'u', b""),
];

/// Checks one input: on each line a letter for the name of an event, and its data.
pub fn events(input: &[u8]) {
    let (mut decode, mut out) = (Decode::default(), VecDeque::new());
    let mut plain = Some(String::new());
    let (mut may_fail, mut end) = (false, None);
    for line in input.split(|&byte| byte == b'\n') {
        let Some((letter, data)) = line.split_first() else { continue };
        let Some((_, name)) = NAMES.iter().find(|(known, _)| known == letter) else { continue };
        let value = serde_json::from_slice::<Value>(data).ok();
        // only invalid JSON, an error and a finish reason that is a failure interrupt an answer
        may_fail |= value.is_none() || has_error(data) || *letter == b'e';
        match (letter, &value) {
            (b't', Some(Value::Object(members))) if members.len() == 1 && members.contains_key("text") => {
                plain = plain.zip(members["text"].as_str()).map(|(plain, text)| plain + text);
            }
            (b'd', _) => {}
            _ => plain = None,
        }
        match decode.push(&Frame { name, data }, &mut out) {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => {
                end = Some(());
                break;
            }
            Err(error) => {
                assert!(may_fail, "{}: {error}", line.escape_ascii());
                assert!(!error.message.is_empty());
                return;
            }
        }
    }
    let finished = out.iter().filter(|event| matches!(event, Event::Finish(_))).count();
    assert_eq!(finished, usize::from(end.is_some()), "an answer ends once");
    let said: String = out
        .iter()
        .filter_map(|event| match event {
            Event::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    if let Some(plain) = plain {
        assert_eq!(said, plain, "text as it was sent");
    }
    // an invalid UTF-8 byte becomes a character of three bytes
    assert!(said.len() <= 3 * input.len(), "{} bytes said of {}", said.len(), input.len());
}

fn has_error(data: &[u8]) -> bool {
    // the word may be escaped
    let text = String::from_utf8_lossy(data).to_ascii_lowercase();
    text.contains("error") || text.contains("finish") || text.contains("reason") || text.contains("\\u")
}
