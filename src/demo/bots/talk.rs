//! Bots that answer with text, each showing one part of the protocol.

use serde_json::{Value, json};

use super::Turn;
use crate::demo::query::{Attachment, Query};
use crate::demo::script::{
    AWKWARD, EVEN, Script, Step, done, pause, pieces, say, split, stream, text, whole,
};

/// What a bot answers that repeats the user.
pub fn echoed(query: &Query) -> String {
    let mut words =
        if query.said().is_empty() { "(nothing was said)".into() } else { query.said().to_string() };
    let files: Vec<&Attachment> = query.attachments().collect();
    if !files.is_empty() {
        words.push_str("\n\nAttachments:");
        for file in files {
            words.push_str(&format!("\n- {} ({}) {}", file.name, file.content_type, file.url));
        }
    }
    words
}

pub fn echo(turn: &Turn) -> Script {
    say(&echoed(turn.query))
}

const STORY: &str = "\
Once there was a small server that lived on a loopback address. It had no account, no points and no friends beyond the machine, \
yet every morning it opened its one port and listened.

One day a client knocked. \"I speak only OpenAI's tongue,\" it said, \"and I was told that you know somebody at Poe.\" \
The server was not sure what to answer, so it did what it did best: it translated the question, event by event, and waited.

The answer came back slowly, one word after the other, like rain that cannot decide. The server passed on each drop as it fell. \
It kept none for itself, and when the last word had come it said so, once, and closed the stream.

\"That was all?\" asked the client. \"That was all,\" said the server. \"But you may ask again.\"

And since nobody counted the points, it did.
";

/// Whatever it is asked to complete, in a fence and with a remark, though it was instructed to leave them out.
pub fn coder(_: &Turn) -> Script {
    whole(pieces("```python\n    return a + b\n```\n\nThis adds the two.", AWKWARD))
}

/// One word each 30 ms; about five seconds in all.
pub fn story(_: &Turn) -> Script {
    let words = STORY.split_inclusive([' ', '\n']).collect::<Vec<_>>();
    whole(words.into_iter().flat_map(|word| [text(word), pause(30)]).collect())
}

/// Frames are made once and copied: a benchmark shall measure who reads them.
pub fn fast(turn: &Turn) -> Script {
    let frame = text("word ").frame().unwrap_or_default();
    let count = turn.query.count("events", 200, 1_000_000) as usize;
    Script::Stream(Box::new(std::iter::repeat_n(Step::Raw(frame), count.max(1)).chain([done()])))
}

pub fn long(turn: &Turn) -> Script {
    let lines = turn.query.count("lines", 2000, 100_000);
    let line = move |number| {
        text(format!("Line {number} of {lines}: the quick brown fox jumps over the lazy dog.\n"))
    };
    Script::Stream(Box::new((1..=lines.max(1)).map(line).chain([done()])))
}

const NUMBERS: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen \
    sixteen seventeen eighteen nineteen twenty";

pub fn count(_: &Turn) -> Script {
    whole(pieces(NUMBERS, &[4]))
}

const MARKUP: &str = "I would read the file:\n<read_file><path>a</path></read_file>\nor call a tool:\n<tool_call>\
    <invoke name=\"look\"><parameter name=\"at\">it</parameter></invoke></tool_call>\n> a quotation\n`a < b && b > c`";

pub fn markup(_: &Turn) -> Script {
    whole(pieces(MARKUP, AWKWARD))
}

pub fn parameters(turn: &Turn) -> Script {
    let last = turn.query.body["query"]
        .as_array()
        .and_then(|all| all.iter().rev().find(|one| one["role"] == "user"));
    let of_last = |name: &str| last.map_or(Value::Null, |message| message[name].clone());
    let mut shown = json!({"parameters": of_last("parameters"), "attachments": of_last("attachments")});
    for name in ["temperature", "stop_sequences", "logit_bias"] {
        shown[name] = turn.query.body[name].clone();
    }
    whole(vec![text(shown.to_string())])
}

pub fn whole_query(turn: &Turn) -> Script {
    whole(pieces(&turn.query.body.to_string(), &[200]))
}

/// `meta` can only come first; of several `data` events the last one counts.
pub fn suggest(_: &Turn) -> Script {
    let event = |name, data| Step::Event { name, data };
    let suggestion = |words: &str| event("suggested_reply", json!({"text": words}));
    let meta = json!({"linkify": true, "suggested_replies": true, "content_type": "text/markdown"});
    whole(vec![
        event("meta", meta),
        text("Ask me "),
        event("data", json!({"metadata": "first note"})),
        text("anything."),
        suggestion("What can you do?"),
        suggestion("Tell me a story."),
        event("data", json!({"metadata": "last note"})),
    ])
}

/// The index says to which of the two answers an event belongs.
pub fn multi(_: &Turn) -> Script {
    let answer = |index, words| split(words, &[6]).into_iter().map(move |piece| text(piece).indexed(index));
    let both = answer(0, "The first answer.").zip(answer(1, "The second answer"));
    whole(both.flat_map(|(one, two)| [one, two]).collect())
}

/// Line ends of all three kinds, comments, fields without a space, data over several lines, unknown fields and events, and a
/// character cut in two. Read properly it says `Grüße, 世界 🌍!`, a line end and `Next line.`
pub fn wire(_: &Turn) -> Script {
    let mut raw = b": a comment\r\n\r\nevent:text\r\ndata:{\"text\":\"Gr\"}\r\n\r\n".to_vec();
    raw.extend_from_slice(
        "id: 7\rretry: 100\revent: text\rdata: {\"text\":\rdata: \"üße, \"}\r\r".as_bytes(),
    );
    raw.extend_from_slice("event: weather\ndata: {\"sun\":true}\n\nevent: text\nevent: text\n".as_bytes());
    raw.extend_from_slice("data: {\"text\":\"世界 🌍!\\nNext line.\"}\n\n".as_bytes());
    let chunks = raw.chunks(13).map(|chunk| Step::Raw(chunk.to_vec()));
    let mut steps: Vec<Step> = chunks.collect();
    steps.push(done());
    stream(steps)
}

pub fn pings(turn: &Turn) -> Script {
    let ping = Step::Event { name: "ping", data: json!({}) };
    let count = turn.query.count("seconds", 3, 300) as usize * 2;
    let pings =
        std::iter::repeat_n([ping, pause(250), Step::Comment("still here"), pause(250)], count).flatten();
    Script::Stream(Box::new(pings.chain([text("Still here.")]).chain([done()])))
}

pub fn slow_start(turn: &Turn) -> Script {
    let answer = pieces(&echoed(turn.query), EVEN);
    whole([Step::Comment("wait"), pause(3000)].into_iter().chain(answer).collect())
}

/// A reader must not wait for the connection once it has read `done`.
pub fn linger(turn: &Turn) -> Script {
    let mut steps = pieces(&echoed(turn.query), EVEN);
    steps.extend([done(), pause(30_000)]);
    stream(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::bots::tests::{steps, text as said};
    use crate::demo::query::tests::{asking, with};

    #[test]
    fn echo_repeats_exactly_in_several_events() {
        let words = "Grüße an alle: 世界 and `code` <tag>\nsecond line";
        let steps = steps("demo-echo", &asking(words));
        assert_eq!(said(&steps), words);
        assert!(steps.len() > 3);
    }

    #[test]
    fn echo_lists_attachments() {
        let query = with(json!({"query": [{"role": "user", "content": "see",
            "attachments": [{"url": "http://f/1", "content_type": "image/png", "name": "cat.png"}]}]}));
        assert_eq!(
            said(&steps("demo-echo", &query)),
            "see\n\nAttachments:\n- cat.png (image/png) http://f/1"
        );
    }

    #[test]
    fn fast_counts_by_parameter_or_by_number() {
        let by_parameter =
            with(json!({"query": [{"role": "user", "content": "go", "parameters": {"events": 5}}]}));
        assert_eq!(steps("demo-fast", &by_parameter).len(), 6);
        assert_eq!(steps("demo-fast", &asking("7")).len(), 8);
        assert_eq!(steps("demo-fast", &asking("go")).len(), 201);
    }

    #[test]
    fn the_story_takes_less_than_eight_seconds() {
        let waits =
            steps("demo-story", &asking("tell")).iter().filter(|step| matches!(step, Step::Pause(_))).count();
        assert!((100..266).contains(&waits), "{waits}");
    }

    #[test]
    fn parameters_show_what_reached_the_bot() {
        let query = with(json!({"temperature": 0.5,
            "query": [{"role": "user", "content": "x", "parameters": {"aspect": "16:9"}}]}));
        let expected = json!({"parameters": {"aspect": "16:9"}, "attachments": null, "temperature": 0.5,
            "stop_sequences": null, "logit_bias": null});
        let shown: Value = serde_json::from_str(&said(&steps("demo-parameters", &query))).unwrap();
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_answers_of_multi_do_not_mix() {
        let steps = steps("demo-multi", &asking("x"));
        let of = |index: u64| -> String {
            let mine = steps.iter().filter_map(|step| match step {
                Step::Event { data, .. } if data["index"] == index => data["text"].as_str(),
                _ => None,
            });
            mine.collect()
        };
        assert_eq!((of(0).as_str(), of(1).as_str()), ("The first answer.", "The second answer"));
    }

    #[test]
    fn wire_cuts_frames_but_loses_no_byte() {
        let bytes: Vec<u8> =
            steps("demo-wire", &asking("x")).iter().filter_map(Step::frame).flatten().collect();
        let whole = String::from_utf8(bytes).unwrap();
        assert!(whole.contains("世界 🌍!") && whole.ends_with("event: done\ndata: {}\n\n"));
    }
}
