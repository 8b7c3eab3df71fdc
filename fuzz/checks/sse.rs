//! Poe's stream: splits do not change the result, events follow the standard, and output is not longer than the input.

use std::collections::VecDeque;

use poe2openai::error::{Error, Kind, Result};
use poe2openai::pipeline::stages::{BufferAll, FileRefs, Retractions, Thinking, ToolCalls};
use poe2openai::pipeline::{Event, Reply, Stages};
use poe2openai::poe::{Decode, Progress, SseDecoder};

use super::replay::split;

/// Result of a stream.
#[derive(Debug, PartialEq)]
struct Rendered {
    /// Names and data.
    frames: Vec<(Vec<u8>, Vec<u8>)>,
    events: Vec<Event>,
    /// Whether `done` was received, or the error that interrupted the answer.
    end: Result<bool, String>,
}

/// Checks one input.
pub fn sse(data: &[u8]) {
    let (cuts, stream) = split(data);
    let whole = decode([stream]);
    assert_eq!(whole.frames, frames(stream), "the standard says otherwise");
    assert_eq!(decode(pieces(&cuts, stream)), whole);
    assert_eq!(decode(stream.chunks(1)), whole);
    let said: usize = whole.events.iter().map(size).sum();
    // an invalid UTF-8 byte becomes a character of three bytes
    assert!(said <= 3 * stream.len(), "{said} bytes said in a stream of {}", stream.len());
    fold(&whole);
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Rendered {
    let (mut sse, mut decode) = (SseDecoder::default(), Decode::default());
    let (mut frames, mut events, mut end) = (Vec::new(), VecDeque::new(), Ok(false));
    for piece in pieces {
        sse.feed(piece).expect("small streams are never too large");
        while let Some(frame) = sse.next_frame() {
            frames.push((frame.name.to_vec(), frame.data.to_vec()));
            if end == Ok(false) {
                end = match decode.push(&frame, &mut events) {
                    Ok(progress) => Ok(progress == Progress::Done),
                    Err(error) => Err(format!("{error:?}")),
                };
            }
        }
    }
    Rendered { frames, events: events.into(), end }
}

fn pieces<'a>(cuts: &[usize], stream: &'a [u8]) -> Vec<&'a [u8]> {
    let (mut cuts, mut rest, mut pieces) = (cuts.iter().cycle(), stream, Vec::new());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(cuts.next().map_or(3, |&cut| cut).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// The events of a whole stream, read line by line as the standard describes it.
fn frames(stream: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rest = stream.strip_prefix("\u{feff}".as_bytes()).unwrap_or(stream);
    let (mut frames, mut name, mut data) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(end) = rest.iter().position(|byte| b"\r\n".contains(byte)) {
        let line = &rest[..end];
        rest = &rest[end..];
        rest = rest.strip_prefix(b"\r\n").unwrap_or(&rest[1..]);
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut name), std::mem::take(&mut data));
            // other than the standard wants, a name alone is an event: `done` needs no data
            if !data.is_empty() || !name.is_empty() {
                frames.push((name, data.join(&b'\n')));
            }
            continue;
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => name = value.to_vec(),
            b"data" => data.push(value.to_vec()),
            _ => {}
        }
    }
    frames
}

/// The bytes that an event holds.
fn size(event: &Event) -> usize {
    match event {
        Event::Text(text) | Event::Thinking(text) | Event::Suggestion(text) | Event::Metadata(text) => {
            text.len()
        }
        Event::ToolCall(delta) => {
            let id_and_name = [&delta.id, &delta.name].into_iter().flatten().map(String::len).sum::<usize>();
            id_and_name + delta.arguments.len()
        }
        Event::File(file) => {
            let inline_ref = file.inline_ref.as_ref().map_or(0, String::len);
            // the type may be a guess
            file.url.len() + file.name.len() + inline_ref
        }
        Event::Retract | Event::Finish(_) => 0,
    }
}

/// Runs the events through the response stages: unchanged, as a non-streamed answer, and as both kinds of streams.
fn fold(rendered: &Rendered) {
    let events = || {
        let broken =
            rendered.end.as_ref().err().map(|message| Err(Error::new(Kind::Upstream, message.as_str())));
        rendered.events.iter().cloned().map(Ok).chain(broken)
    };
    let ids = || {
        let mut made = 0;
        move || {
            made += 1;
            format!("call_{made}")
        }
    };
    let below = || events().through(Thinking::default()).through(ToolCalls::new(ids()));
    let plain = Reply::fold(events());
    let whole = Reply::fold(below().through(FileRefs::whole()));
    let settled = Reply::fold(below().through(FileRefs::streaming()).through(Retractions::default()));
    let held = Reply::fold(below().through(FileRefs::streaming()).through(BufferAll::default()));
    let untouched = Reply::fold(events().through(FileRefs::streaming()).through(BufferAll::default()));
    assert_eq!(plain.is_err(), rendered.end.is_err());
    for reply in [&whole, &settled, &held, &untouched] {
        let is_half_a_call = reply.as_ref().is_err_and(|error| error.message.contains("break off"));
        assert!(reply.is_ok() == plain.is_ok() || is_half_a_call);
    }
    let (Ok(plain), Ok(untouched)) = (plain, untouched) else { return };
    let calls = rendered.events.iter().filter(|event| matches!(event, Event::ToolCall(_))).count();
    assert!(plain.tool_calls.len() <= calls, "more calls than pieces of calls");
    let retracts = rendered.events.iter().any(|event| matches!(event, Event::Retract));
    if !retracts && plain.files.is_empty() {
        assert_eq!((untouched.text, untouched.thinking), (plain.text, plain.thinking));
    }
}
