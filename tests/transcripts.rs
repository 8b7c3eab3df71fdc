//! Runs the transcripts; see `tests/transcripts/README.md`.

#[path = "common/byte_splits.rs"]
mod byte_splits;
#[path = "common/fold.rs"]
mod fold;
#[path = "common/in_process.rs"]
mod in_process;
#[path = "common/scripted_poe.rs"]
mod scripted_poe;
#[path = "common/transcript.rs"]
mod transcript;

use std::collections::BTreeMap;
use std::fs;

use in_process::{Reply, TestServer};
use scripted_poe::{Asked, Cut, Poe, Script};
use serde_json::{Value, json};
use transcript::{Transcript, root};

/// The line of an about.md with the reason why a stream differs from the non-streamed answer.
const DIFFERS: &str = "Differs in a stream:";

#[path = "transcripts/list.rs"]
mod transcripts;

#[test]
fn every_transcript_is_replayed() {
    let read = fs::read_dir(root()).expect("the transcripts");
    let dirs = read.map(|entry| entry.expect("an entry")).filter(|entry| entry.path().is_dir());
    let mut found: Vec<String> =
        dirs.map(|entry| entry.file_name().to_str().expect("a name").to_owned()).collect();
    found.sort();
    let mut listed = transcripts::NAMES.to_vec();
    listed.sort_unstable();
    assert_eq!(found, listed, "tests/transcripts/list.rs names every directory");
}

/// The result of one run.
struct Outcome {
    reply: Reply,
    asked: Asked,
}

/// Runs a transcript non-streamed and streamed: as it stands, a byte at a time, and with all text in single characters.
fn replay(name: &str) {
    let transcript = Transcript::read(name);
    let poe = Poe::start(transcript.models());
    let config = transcript.config("transcripts", name);
    // every run has its own server: cached results would change the next run
    let open =
        || TestServer::open(&in_process::app(&poe.base_url, &config, &[("KEEP_ALIVE_SECONDS", "600")]));
    let play = |stream, script: &Script| transcript.play(&open(), &poe, stream, script);

    let whole = play(false, &transcript.script);
    let streamed = play(true, &transcript.script);
    transcript.expect(&whole, &streamed);

    let bytes = Script { cut: Cut::Everywhere, ..transcript.script.clone() };
    let (cut, cut_stream) = (play(false, &bytes), play(true, &bytes));
    same("a byte at a time", &whole.shown(), &cut.shown());
    same("a stream, a byte at a time", &streamed.shown(), &cut_stream.shown());

    let spelt = transcript.spelt();
    let (cut, cut_stream) = (play(false, &spelt), play(true, &spelt));
    same("all text in single characters", &whole.shown(), &cut.shown());
    let rendered = pretty(&streamed.folded());
    same("a stream with all text in single characters", &rendered, &pretty(&cut_stream.folded()));
    if !transcript.about.contains(DIFFERS) {
        same("whole and streamed", &pretty(&whole.folded()), &rendered);
    }
}

fn same(what: &str, expected: &str, found: &str) {
    if expected == found {
        return;
    }
    let mut lines = expected.lines().zip(found.lines()).enumerate();
    let (number, (wanted, got)) = lines.find(|(_, (one, other))| one != other).unwrap_or_default();
    panic!(
        "{what}: line {}\nexpected: {wanted}\nfound:    {got}\n\nall that was found:\n{found}",
        number + 1
    );
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

impl Transcript {
    fn spelt(&self) -> Script {
        let mut script = self.script.clone();
        for answer in script.answers.iter_mut().filter(|answer| answer.head.contains("event-stream")) {
            answer.body = byte_splits::letters(&answer.body);
        }
        script
    }

    fn play(&self, server: &TestServer, poe: &Poe, stream: bool, script: &Script) -> Outcome {
        poe.play(script.clone());
        let mut request = self.request.clone();
        if stream {
            request["stream"] = true.into();
            let options = json!({"include_usage": true});
            request.as_object_mut().expect("an object").entry("stream_options").or_insert(options);
        }
        let reply = server.chat("key", &request.to_string());
        let mut asked = poe.asked();
        asked.uploads.sort_by_key(Value::to_string);
        Outcome { reply: Reply { body: normal(&reply.body), ..reply }, asked }
    }

    /// Compares both answers with the expectations, or writes them.
    fn expect(&self, whole: &Outcome, streamed: &Outcome) {
        let mut files = queries(&whole.asked.queries);
        let few = &streamed.asked.queries;
        assert_eq!(whole.asked.queries.get(..few.len()), Some(few.as_slice()), "a stream asks the same");
        if !whole.asked.uploads.is_empty() {
            assert_eq!(whole.asked.uploads, streamed.asked.uploads);
            files.insert("chat.uploads.json".into(), pretty(&whole.asked.uploads.clone().into()));
        }
        files.insert("chat.expected.json".into(), whole.shown());
        files.insert("chat.expected.sse".into(), streamed.shown());
        let read = fs::read_dir(&self.dir).expect("a directory");
        let names =
            read.map(|entry| entry.expect("an entry").file_name().to_str().expect("a name").to_owned());
        let stale = names.filter(|name| {
            name.starts_with("chat.") && name != "chat.request.json" && !files.contains_key(name)
        });
        let update = std::env::var_os("UPDATE").is_some();
        for name in stale {
            assert!(update, "{name} is not expected any more: UPDATE=1 cargo test --test transcripts");
            fs::remove_file(self.dir.join(name)).expect("a file to remove");
        }
        for (name, found) in &files {
            match (update, self.text(name)) {
                (true, _) => fs::write(self.dir.join(name), found).expect("a file to write"),
                (false, Some(expected)) => same(name, &expected, found),
                (false, None) => panic!("{name} is missing: UPDATE=1 cargo test --test transcripts"),
            }
        }
    }
}

/// One file for queries that are all the same, else one for each.
fn queries(queries: &[Value]) -> BTreeMap<String, String> {
    let Some(first) = queries.first() else { return BTreeMap::new() };
    if queries.iter().all(|query| query == first) {
        let mut query = first.clone();
        if queries.len() > 1 {
            query["times"] = queries.len().into();
        }
        return BTreeMap::from([("chat.query.json".into(), pretty(&query))]);
    }
    let name = |turn| format!("chat.{}.query.json", turn + 1);
    queries.iter().enumerate().map(|(turn, query)| (name(turn), pretty(query))).collect()
}

impl Outcome {
    fn is_stream(&self) -> bool {
        self.reply.body.starts_with("data: ")
    }

    fn folded(&self) -> Value {
        match self.is_stream() {
            true => fold::stream(&self.reply.body),
            false => fold::whole(self.reply.status, &self.reply.body),
        }
    }

    /// The answer in the form of the expectation.
    fn shown(&self) -> String {
        if self.is_stream() {
            return by_choice(&self.reply.body);
        }
        let body: Value = serde_json::from_str(&self.reply.body).expect("an answer is JSON");
        if self.reply.status == 200 {
            return pretty(&body);
        }
        let mut shown = json!({"status": self.reply.status});
        if let Some(wait) = &self.reply.retry_after {
            shown["retry_after"] = wait.as_str().into();
        }
        shown["error"] = body["error"].clone();
        pretty(&shown)
    }
}

/// A stream with the chunks of each choice together: the order of interleaved choices varies.
fn by_choice(body: &str) -> String {
    let mut frames: Vec<&str> = body.split_inclusive("\n\n").collect();
    frames.sort_by_key(|frame| {
        let json = frame.strip_prefix("data: ").and_then(|json| serde_json::from_str::<Value>(json).ok());
        let index = json.and_then(|chunk| chunk["choices"][0]["index"].as_u64());
        index.unwrap_or(u64::MAX)
    });
    frames.concat()
}

/// `body` without generated ids and times.
fn normal(body: &str) -> String {
    let mut known: Vec<String> = Vec::new();
    let (mut out, mut rest) = (String::new(), body);
    while let Some((before, prefix, id)) = next_id(rest) {
        let at = known.iter().position(|one| one == id).unwrap_or(known.len());
        if at == known.len() {
            known.push(id.to_owned());
        }
        let number = if prefix == "call_" { format!("made{at}") } else { "0".into() };
        out += &format!("{before}{prefix}{number}");
        rest = &rest[before.len() + prefix.len() + id.len()..];
    }
    out += rest;
    let mut pieces = out.split("\"created\":");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |out, piece| {
        let digits = piece.trim_start_matches(|letter: char| letter.is_ascii_digit());
        format!("{out}\"created\":0{digits}")
    })
}

/// The next id that was made here: what stands before it, its prefix, and its 24 letters.
fn next_id(text: &str) -> Option<(&str, &'static str, &str)> {
    let found = ["chatcmpl-", "call_"].into_iter().flat_map(|prefix| {
        text.match_indices(prefix).filter_map(move |(at, _)| {
            let rest = &text[at + prefix.len()..];
            let length = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
            (length == 24).then(|| (&text[..at], prefix, &rest[..length]))
        })
    });
    found.min_by_key(|(before, ..)| before.len())
}
