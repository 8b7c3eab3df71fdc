//! Chat Completions against the embedded Poe: cases with several requests, headers, or bots with special behaviour.

#[path = "common/fold.rs"]
mod fold;
#[path = "common/in_process.rs"]
mod in_process;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use in_process::{Reply, TestServer};
use poe2openai::demo::{self, Demo};
use poe2openai::gateway::app::App;
use poe2openai::server::{ShutdownPhase, Stop};

use serde_json::{Value, json};

/// A server in front of the embedded Poe.
struct Tested {
    app: Arc<App>,
    server: TestServer,
    poe: Demo,
    stop: Stop,
}

impl Drop for Tested {
    fn drop(&mut self) {
        self.stop.go(ShutdownPhase::Ending);
    }
}

fn open(more: &[(&str, &str)]) -> Tested {
    let stop = Stop::new().expect("a stop");
    let poe = demo::start(stop.clone()).expect("an embedded Poe");
    let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join("complete");
    std::fs::create_dir_all(&config).expect("a directory");
    let app = in_process::app(&poe.base_url, &config, more);
    Tested { server: TestServer::open(&app), app, poe, stop }
}

impl Tested {
    fn chat(&self, request: &Value) -> Reply {
        self.server.chat("key", &request.to_string())
    }

    /// Content of a non-streamed answer.
    fn whole(&self, request: &Value) -> Value {
        let reply = self.chat(request);
        fold::whole(reply.status, &reply.body)
    }

    /// Content of a streamed answer.
    fn stream(&self, request: &Value) -> Value {
        let reply = self.chat(&streamed(request));
        assert_eq!(reply.status, 200, "{}", reply.body);
        fold::stream(&reply.body)
    }

    /// What the embedded Poe states of itself at `path`.
    fn rendered(&self, path: &str) -> Value {
        let mut reply = ureq::get(format!("{}{path}", self.poe.base_url)).call().expect("an answer");
        serde_json::from_slice(&reply.body_mut().read_to_vec().expect("a body")).expect("JSON")
    }

    fn expire_files(&self) {
        ureq::post(format!("{}/demo/expire-files", self.poe.base_url)).send_empty().expect("an answer");
    }

    fn uploads(&self) -> Value {
        self.rendered("/demo/stats")["uploads"]["total"].clone()
    }

    fn queries(&self) -> usize {
        self.rendered("/demo/queries").as_array().expect("a list").len()
    }
}

fn asking(model: &str, words: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": words}]})
}

fn with(mut request: Value, more: Value) -> Value {
    let more = more.as_object().expect("an object").clone();
    request.as_object_mut().expect("an object").extend(more);
    request
}

fn streamed(request: &Value) -> Value {
    with(request.clone(), json!({"stream": true, "stream_options": {"include_usage": true}}))
}

fn showing(model: &str, name: &str, content: &str) -> Value {
    let data = format!("data:text/plain;base64,{}", BASE64_STANDARD.encode(content));
    let file = json!({"type": "file", "file": {"filename": name, "file_data": data}});
    json!({"model": model, "messages": [{"role": "user", "content": [{"type": "text", "text": "Look"}, file]}]})
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[test]
fn files_cache_second_use_is_a_hit() {
    let tested = open(&[]);
    let request = showing("demo-echo", "a.txt", "hello");
    let first = tested.whole(&request);
    assert_eq!(first, tested.whole(&request), "the same attachment");
    let counters = tested.app.files.counters();
    assert_eq!((tested.uploads(), count(&counters.misses), count(&counters.hits)), (json!(1), 1, 1));
    tested.whole(&showing("demo-echo", "a.txt", "hello!"));
    assert_eq!(tested.uploads(), 2, "the whole content counts");
}

#[test]
fn files_cache_of_another_key_is_not_used() {
    let tested = open(&[]);
    let request = showing("demo-echo", "a.txt", "hello").to_string();
    for key in ["one", "other", "one"] {
        assert_eq!(tested.server.chat(key, &request).status, 200);
    }
    assert_eq!(tested.uploads(), 2);
}

#[test]
fn files_cache_dead_url_recovers_within_the_same_request() {
    let tested = open(&[]);
    let request = showing("demo-dead-file", "a.txt", "hello");
    let ask: [&dyn Fn() -> Value; 2] = [&|| tested.whole(&request), &|| tested.stream(&request)];
    for (round, ask) in ask.iter().enumerate() {
        let alive = ask();
        assert!(alive["error"].is_null(), "{alive}");
        tested.expire_files();
        let again = ask();
        assert!(again["error"].is_null(), "the file is uploaded again: {again}");
        assert_eq!(count(&tested.app.files.counters().dead), round as u64 + 1);
        assert_eq!(tested.uploads(), round as u64 + 2);
    }
}

#[test]
fn files_cache_dead_url_recovers_for_every_choice() {
    let tested = open(&[]);
    let request = with(showing("demo-dead-file", "a.txt", "hello"), json!({"n": 3}));
    tested.whole(&request);
    tested.expire_files();
    let again = tested.stream(&request);
    assert_eq!(again["choices"].as_array().map(Vec::len), Some(3), "{again}");
}

#[test]
fn files_cache_joins_uploads_of_the_same_file() {
    let tested = open(&[]);
    let mut request = showing("demo-echo", "slow.txt", "hello");
    let part = request["messages"][0]["content"][1].clone();
    request["messages"][0]["content"].as_array_mut().expect("parts").push(part);
    tested.whole(&request);
    assert_eq!((tested.uploads(), count(&tested.app.files.counters().joined)), (json!(1), 1));
}

#[test]
fn files_cache_keeps_nothing_without_time_or_room() {
    for setting in [("URL_CACHE_TTL_SECONDS", "0"), ("URL_CACHE_SIZE_MB", "0")] {
        let tested = open(&[setting]);
        let request = showing("demo-echo", "a.txt", "hello");
        assert_eq!(tested.whole(&request)["choices"][0]["finish"], "stop");
        tested.whole(&request);
        assert_eq!(tested.uploads(), 2, "{setting:?}");
    }
}

#[test]
fn files_cache_does_not_keep_what_failed() {
    let tested = open(&[]);
    for _ in 0..2 {
        let reply = tested.chat(&showing("demo-echo", "refused.txt", "hello"));
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains("This file cannot be processed"), "{}", reply.body);
        assert!(reply.body.contains("messages[0].content[1]"), "{}", reply.body);
    }
    assert_eq!(count(&tested.app.files.counters().misses), 2);
}

#[test]
fn files_in_link_that_poe_cannot_fetch() {
    let tested = open(&[]);
    let picture = json!({"type": "image_url", "image_url": {"url": "https://cats.invalid/cat.png"}});
    let request = json!({"model": "demo-echo", "messages": [{"role": "user", "content": [picture]}]});
    let reply = tested.chat(&request);
    assert_eq!(reply.status, 400, "{}", reply.body);
    assert!(reply.body.contains("Failed to download the file from https://cats.invalid/cat.png"));
}

#[test]
fn body_in_gzip_is_415() {
    let tested = open(&[]);
    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    let reply = tested.server.send("key", &headers, b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0");
    let body: Value = serde_json::from_str(&reply.body).expect("JSON");
    assert_eq!((reply.status, &body["error"]["code"]), (415, &json!("unsupported_encoding")));
    assert!(body["error"]["message"].as_str().is_some_and(|message| message.contains("gzip")), "{body}");
    let plain = [("Content-Type", "application/json"), ("Content-Encoding", "identity")];
    let request = asking("demo-echo", "hello").to_string();
    assert_eq!(tested.server.send("key", &plain, request.as_bytes()).status, 200);
}

#[test]
fn a_rate_limit_says_when_to_try_again() {
    let tested = open(&[]);
    let reply = tested.chat(&asking("demo-error-http-429", "hello"));
    assert_eq!((reply.status, reply.retry_after.as_deref()), (429, Some("7")));
}

#[test]
fn choices_of_a_stream_interleave() {
    let tested = open(&[]);
    let request = with(asking("demo-story", "A story"), json!({"n": 2}));
    let body = tested.chat(&streamed(&request)).body;
    let (chunks, _) = fold::chunks(&body);
    let index: Vec<u64> = chunks.iter().filter_map(|chunk| chunk["choices"][0]["index"].as_u64()).collect();
    let turns = index.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(turns > 10, "the choices are interleaved: {index:?}");
    let rendered = fold::stream(&body);
    assert_eq!(rendered["choices"][0], rendered["choices"][1]);
    assert_eq!(tested.queries(), 2);
}

#[test]
fn reasoning_is_streamed_as_it_comes() {
    let tested = open(&[]);
    let (chunks, _) = fold::chunks(&tested.chat(&streamed(&asking("demo-think", "Why?"))).body);
    let place = |field: &str| {
        let said =
            |chunk: &&Value| chunk["choices"][0]["delta"][field].as_str().is_some_and(|s| !s.is_empty());
        let places: Vec<usize> =
            chunks.iter().enumerate().filter(|(_, chunk)| said(chunk)).map(|(at, _)| at).collect();
        places
    };
    let (thought, text) = (place("reasoning_content"), place("content"));
    assert!(thought.len() > 3 && text.len() > 1, "{thought:?} {text:?}");
    assert!(thought.last() < text.first(), "reasoning comes first");
}

#[test]
fn tools_that_a_bot_rejected_are_sent_in_the_prompt_from_then_on() {
    let tested = open(&[]);
    for bot in ["demo-tools-refused", "demo-tools-refused-http"] {
        let request = with(asking(bot, "Add 2 and 3"), json!({"tools": [adder()]}));
        let before = tested.queries();
        let first = tested.whole(&request);
        assert!(first["error"].is_null(), "{first}");
        assert_eq!(tested.queries() - before, 2, "native tools first, then in the prompt");
        tested.whole(&request);
        assert_eq!(tested.queries() - before, 3, "{bot} is cached");
    }
}

fn adder() -> Value {
    json!({"type": "function", "function": {"name": "add", "description": "Adds two numbers", "parameters": {
        "type": "object", "required": ["a", "b"],
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}}})
}

#[test]
fn round_trip_with_every_kind_of_bot() {
    let bots = [
        "demo-tools",
        "demo-tools-unfinished",
        "demo-tools-odd",
        "demo-xml-tools",
        "demo-xml-tools-bare",
        "demo-xml-tools-named",
        "demo-xml-tools-cdata",
    ];
    let tested = open(&[]);
    for bot in bots {
        let mut request = with(asking(bot, "call add with a=2 b=3"), json!({"tools": [adder()]}));
        let whole = tested.whole(&request)["choices"][0].clone();
        let stream = tested.stream(&request)["choices"][0].clone();
        let call = |choice: &Value| choice["calls"][0]["function"].clone();
        assert_eq!(call(&whole), call(&stream), "{bot}");
        let arguments = whole["calls"][0]["function"]["arguments"].as_str().expect("arguments");
        let arguments: Value = serde_json::from_str(arguments).expect("JSON");
        assert_eq!((&whole["finish"], &arguments["a"]), (&json!("tool_calls"), &json!(2)), "{bot}: {whole}");
        let calls = whole["calls"].as_array().expect("calls");
        let results =
            calls.iter().map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": "5"}));
        let turn = json!({"role": "assistant", "content": whole["text"], "tool_calls": calls});
        let messages = request["messages"].as_array_mut().expect("messages");
        messages.extend(std::iter::once(turn).chain(results));
        let end = tested.whole(&request)["choices"][0].clone();
        assert_eq!((&end["finish"], &end["calls"]), (&json!("stop"), &json!([])), "{bot}: {end}");
        assert!(end["text"].as_str().is_some_and(|text| text.contains('5')), "{bot}: {end}");
    }
}

#[test]
fn tool_choice_required_retries_a_bot_that_does_not_call() {
    let tested = open(&[]);
    for bot in ["demo-tools-shy", "demo-xml-tools-shy"] {
        let more = json!({"tools": [adder()], "tool_choice": "required"});
        let whole = tested.whole(&with(asking(bot, "call add with a=2 b=3"), more));
        assert_eq!(whole["choices"][0]["finish"], "tool_calls", "{bot}: {whole}");
    }
}

#[test]
fn response_format_works_with_bots_without_support() {
    let tested = open(&[]);
    let schema = json!({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]});
    let format = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}});
    let request = |bot: &str| with(asking(bot, "age=7"), format.clone());
    for answer in [tested.whole(&request("demo-json")), tested.stream(&request("demo-json"))] {
        let text = answer["choices"][0]["text"].as_str().expect("text").to_owned();
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), json!({"age": 7}));
    }
    let never = tested.chat(&request("demo-json-never"));
    assert_eq!(never.status, 502, "{}", never.body);
    assert!(never.body.contains("does not fit response_format"), "{}", never.body);
}

#[test]
fn every_demo_bot_that_answers_is_well_formed_and_alike_whole_and_streamed() {
    let bots = [
        "demo-echo",
        "demo-stop",
        "demo-markup",
        "demo-parameters",
        "demo-suggest",
        "demo-multi",
        "demo-wire",
        "demo-think",
        "demo-think-plain",
        "demo-not-thinking",
        "demo-growing",
        "demo-painter-late",
        "demo-reporter",
        "demo-flaky",
        "demo-flaky-http",
        "demo-drop",
        "demo-empty",
        "demo-gpt",
        "demo-claude",
        "demo-gemini",
    ];
    let tested = open(&[]);
    for bot in bots {
        let (mut whole, mut stream) = (tested.whole(&asking(bot, "x")), tested.stream(&asking(bot, "x")));
        if bot.starts_with("demo-painter") {
            // progress rows are sent as reasoning where they cannot be removed
            for answer in [&mut whole, &mut stream] {
                answer["choices"][0]["reasoning"] = Value::Null;
                answer["usage"] = Value::Null;
            }
        }
        assert_eq!(whole, stream, "{bot}");
    }
}
