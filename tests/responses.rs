//! Responses: the order of events for any input, and cases with several requests or bots with
//! special behaviour.

#[path = "common/in_process.rs"]
mod in_process;
#[path = "common/responses.rs"]
mod responses;
#[path = "common/summary.rs"]
mod summary;

use std::path::Path;
use std::sync::{Arc, Mutex};

use in_process::{Reply, TestServer};
use poe2openai::demo::{self, Demo};
use poe2openai::dialect::responses::{Kept, ResponseStore, decode};
use poe2openai::dialect::{Encoder, Stamp};
use poe2openai::error::{Error, Kind};
use poe2openai::pipeline::{Attachment, Event, Finish, FinishReason, TokenUsage, ToolDelta};
use poe2openai::server::{ShutdownPhase, Stop};

use proptest::prelude::*;
use serde_json::{Value, json};
use summary::Summary;

/// An encoder for a request with tools of both kinds, and its stored output.
fn encoder() -> (Box<dyn Encoder>, Arc<Mutex<Vec<Value>>>) {
    let body = json!({"model": "m", "input": "x", "tools": [
        {"type": "function", "name": "f0"}, {"type": "custom", "name": "f1"},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f2"}]}]});
    let kept = Arc::new(Mutex::new(Vec::new()));
    let response_store = Arc::clone(&kept);
    let keep = Box::new(move |Kept { response, .. }: Kept| {
        response_store.lock().expect("a lock").push(serde_json::from_slice(&response).expect("JSON"));
    });
    let stamp = Stamp { now: 7, make_id: &|prefix| format!("{prefix}1") };
    let response_store = ResponseStore { find: &|_| None, keep, clock: || 9 };
    (decode(body.to_string().as_bytes(), &stamp, response_store).expect("a request").encoder, kept)
}

fn text(text: &str) -> Event {
    Event::Text(text.into())
}

fn thought(text: &str) -> Event {
    Event::Thinking(text.into())
}

fn named(index: usize, name: &str) -> Event {
    let id = Some(format!("call_{index}"));
    Event::ToolCall(ToolDelta { index, id, name: Some(name.into()), arguments: String::new() })
}

fn more(index: usize, arguments: &str) -> Event {
    Event::ToolCall(ToolDelta { index, arguments: arguments.into(), ..ToolDelta::default() })
}

fn end(reason: FinishReason) -> Event {
    Event::Finish(Finish {
        reason,
        usage: Some(TokenUsage { prompt: 3, completion: 2, reasoning: 1 }),
        ..Finish::default()
    })
}

/// The stream for `events`.
fn rendered(events: &[Event]) -> String {
    let (mut encoder, _) = encoder();
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.event(0, event, &mut out));
    encoder.end(&mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn names(stream: &str) -> Vec<&str> {
    let names = stream.lines().filter_map(|line| line.strip_prefix("event: "));
    names.map(|name| name.trim_start_matches("response.")).collect()
}

#[test]
fn reasoning_text_and_calls_are_sent_one_after_the_other() {
    let events = [
        thought("hm"),
        text("hi"),
        named(0, "f0"),
        more(0, "{\"a\":"),
        more(0, "1}"),
        end(FinishReason::ToolCalls),
    ];
    let stream = rendered(&events);
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(names(&stream), expected);
    let expected = Summary {
        text: "hi".into(),
        thinking: "hm".into(),
        calls: vec![("f0".into(), "{\"a\":1}".into())],
        finish: "tool_calls".into(),
        usage: (3, 2),
    };
    assert_eq!(responses::summary(&stream), expected);
}

#[test]
fn interleaved_calls_and_text_are_sent_one_by_one() {
    let events = [
        named(0, "f0"),
        more(0, "{\"a\":"),
        named(1, "f1"),
        text("between"),
        more(1, "{\"input\":\"x"),
        more(0, "1}"),
        more(1, "y\"}"),
        named(2, "f2"),
        more(2, "{}"),
        end(FinishReason::ToolCalls),
    ];
    let stream = rendered(&events);
    let summary = responses::summary(&stream);
    let calls = summary.calls.iter().map(|(name, arguments)| (name.as_str(), arguments.as_str()));
    let expected = [("f0", "{\"a\":1}"), ("f1", "{\"input\":\"xy\"}"), ("f2", "{}")];
    assert_eq!(calls.collect::<Vec<_>>(), expected);
    assert_eq!(summary.text, "between");
    assert!(stream.contains("\"namespace\":\"n\""), "{stream}");
    assert!(names(&stream).contains(&"custom_tool_call_input.delta"));
}

#[test]
fn a_thought_in_the_middle_of_a_text_waits_for_it() {
    let stream = rendered(&[text("a"), thought("hm"), text("b"), end(FinishReason::Stop)]);
    let (events, _) = summary::data(&stream);
    let kinds: Vec<_> = events.last().expect("an end")["response"]["output"]
        .as_array()
        .expect("output")
        .iter()
        .map(|item| item["type"].clone())
        .collect();
    assert_eq!(kinds, ["message", "reasoning"]);
    assert_eq!(responses::summary(&stream).text, "ab");
}

#[test]
fn an_answer_without_its_finish_or_without_a_word_is_whole_all_the_same() {
    for events in [vec![], vec![thought("hm")], vec![text("x")], vec![end(FinishReason::Stop)]] {
        let stream = rendered(&events);
        assert_eq!(responses::summary(&stream).finish, "stop");
        assert!(names(&stream).contains(&"content_part.done"), "{stream}");
    }
}

#[test]
fn the_last_event_is_named_after_the_finish_reason() {
    for (reason, last) in [
        (FinishReason::Stop, "completed"),
        (FinishReason::ToolCalls, "completed"),
        (FinishReason::Length, "incomplete"),
        (FinishReason::ContentFilter, "incomplete"),
    ] {
        assert_eq!(names(&rendered(&[text("x"), end(reason)])).last(), Some(&last));
    }
}

#[test]
fn a_failed_stream_has_error_codes_that_clients_handle() {
    let wait = std::time::Duration::from_millis(4200);
    let cases = [
        (Error::new(Kind::ContextTooLong, "too long"), "context_length_exceeded", "too long"),
        (Error::new(Kind::InsufficientQuota, "no points"), "insufficient_quota", "no points"),
        (
            Error::new(Kind::RateLimited, "slow down.").retry_after(wait),
            "rate_limit_exceeded",
            "slow down. Please try again in 5s.",
        ),
        (Error::new(Kind::Upstream, "gone"), "server_error", "gone"),
    ];
    for (error, code, words) in cases {
        let (mut encoder, kept) = encoder();
        let mut out = Vec::new();
        [text("a"), named(0, "f0"), more(0, "{\"a\"")]
            .iter()
            .for_each(|event| encoder.event(0, event, &mut out));
        encoder.error(&error, &mut out);
        let stream = String::from_utf8(out).expect("UTF-8");
        assert_eq!(responses::summary(&stream).finish, "error");
        assert_eq!(names(&stream)[names(&stream).len() - 2..], ["error", "failed"]);
        let (events, _) = summary::data(&stream);
        let failure = &events.last().expect("an end")["response"]["error"];
        assert_eq!((&failure["code"], &failure["message"]), (&json!(code), &json!(words)));
        let calls = events.iter().filter(|event| event["item"]["type"] == "function_call").count();
        assert_eq!(calls, 1, "an interrupted call is never sent as done");
        assert!(kept.lock().expect("a lock").is_empty(), "what failed is not kept");
    }
}

#[test]
fn the_stored_response_equals_the_last_event() {
    let (mut encoder, kept) = encoder();
    let mut out = Vec::new();
    [text("a"), end(FinishReason::Stop)].iter().for_each(|event| encoder.event(0, event, &mut out));
    assert!(kept.lock().expect("a lock").is_empty());
    encoder.end(&mut out);
    let stream = String::from_utf8(out).expect("UTF-8");
    let (events, _) = summary::data(&stream);
    assert_eq!(*kept.lock().expect("a lock"), [events.last().expect("an end")["response"].clone()]);
}

/// What may happen next in a stream.
#[derive(Debug, Clone)]
enum Step {
    Text(String),
    Thought(String),
    /// More of one of the calls that are not complete, or the next call.
    Call {
        which: usize,
        length: usize,
    },
    Other(u8),
    KeepAlive,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => "\\PC{0,6}".prop_map(Step::Text),
        2 => "\\PC{0,6}".prop_map(Step::Thought),
        6 => (0..4usize, 0..9usize).prop_map(|(which, length)| Step::Call { which, length }),
        1 => (0..4u8).prop_map(Step::Other),
        1 => Just(Step::KeepAlive),
    ]
}

/// Calls that are still being sent.
struct Calls {
    /// Of each call what has to be sent yet; nothing before its name has been sent.
    rest: [Option<String>; 4],
    whole: [(String, String); 4],
}

impl Calls {
    fn new() -> Calls {
        let arguments = [
            "{}",
            "{\"input\":\"\\ud83d\\ude00 \\\"x\\\"\\n\"}",
            "{\"a\":[1,{\"b\":\"c\"}]}",
            "{\"d\":null}",
        ];
        let whole = std::array::from_fn(|at| (format!("f{at}"), arguments[at].to_owned()));
        Calls { rest: Default::default(), whole }
    }

    fn take(&mut self, which: usize, length: usize) -> Option<Event> {
        let next = self.rest.iter().position(Option::is_none);
        let at = if next.is_none_or(|next| which < next) { which } else { next? };
        let (name, arguments) = &self.whole[at];
        let Some(rest) = &mut self.rest[at] else {
            self.rest[at] = Some(arguments.clone());
            return Some(named(at, name));
        };
        let piece: String = rest.chars().take(length).collect();
        *rest = rest[piece.len()..].to_owned();
        Some(more(at, &piece))
    }

    /// What completes all calls that have begun.
    fn complete(&mut self) -> Vec<Event> {
        let rest = self.rest.iter_mut().enumerate().filter_map(|(at, rest)| {
            let rest = std::mem::take(rest.as_mut()?);
            (!rest.is_empty()).then(|| more(at, &rest))
        });
        rest.collect()
    }

    fn rendered(&self) -> Vec<(String, String)> {
        let begun = self.rest.iter().zip(&self.whole).filter(|(rest, _)| rest.is_some());
        let normal = |arguments: &str| serde_json::from_str::<Value>(arguments).expect("JSON").to_string();
        begun.map(|(_, (name, arguments))| (name.clone(), normal(arguments))).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn whatever_comes_from_below_the_stream_is_well_formed_and_says_all_of_it(
        steps in prop::collection::vec(step(), 0..40), reason in 0..5usize, fails in prop::bool::weighted(0.2),
    ) {
        let (mut encoder, kept) = encoder();
        let (mut calls, mut out) = (Calls::new(), Vec::new());
        let (mut text, mut thinking) = (String::new(), String::new());
        for step in steps {
            let event = match step {
                Step::KeepAlive => {
                    encoder.keep_alive(&mut out);
                    continue;
                }
                Step::Text(piece) => {
                    text += &piece;
                    Event::Text(piece)
                }
                Step::Thought(piece) => {
                    thinking += &piece;
                    Event::Thinking(piece)
                }
                Step::Call { which, length } => match calls.take(which, length) {
                    Some(event) => event,
                    None => continue,
                },
                Step::Other(0) => Event::Retract,
                Step::Other(1) => Event::File(Attachment::default()),
                Step::Other(2) => Event::Suggestion("more?".into()),
                Step::Other(_) => Event::Metadata("note".into()),
            };
            encoder.event(0, &event, &mut out);
        }
        if fails {
            encoder.error(&Error::new(Kind::Upstream, "gone"), &mut out);
            let stream = String::from_utf8(out).expect("UTF-8");
            prop_assert_eq!(responses::stream(&stream).finish, "error");
            return Ok(());
        }
        calls.complete().iter().for_each(|event| encoder.event(0, event, &mut out));
        let reasons =
            [FinishReason::Stop, FinishReason::ToolCalls, FinishReason::Length, FinishReason::ContentFilter];
        if let Some(reason) = reasons.get(reason) {
            encoder.event(0, &end(*reason), &mut out);
        }
        encoder.end(&mut out);
        let summary = responses::stream(&String::from_utf8(out).expect("UTF-8"));
        let normal = |(name, arguments): &(String, String)| {
            (name.clone(), serde_json::from_str::<Value>(arguments).expect("JSON").to_string())
        };
        let rendered: Vec<_> = summary.calls.iter().map(normal).collect();
        // trailing white space is not a separate message
        prop_assert_eq!(summary.text.trim_end(), text.trim_end());
        prop_assert!(text.starts_with(&summary.text));
        prop_assert_eq!((summary.thinking, rendered), (thinking, calls.rendered()));
        prop_assert_eq!(kept.lock().expect("a lock").len(), 1);
    }
}

/// A server in front of the embedded Poe.
struct Tested {
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
    let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join("responses");
    std::fs::create_dir_all(&config).expect("a directory");
    Tested { server: TestServer::open(&in_process::app(&poe.base_url, &config, more)), poe, stop }
}

impl Tested {
    fn chat(&self, request: &Value) -> Reply {
        let json = [("Content-Type", "application/json")];
        self.server.post("/v1/responses", "key", &json, request.to_string().as_bytes())
    }

    /// The last query that reached Poe.
    fn query(&self) -> Value {
        let url = format!("{}/demo/queries", self.poe.base_url);
        let mut reply = ureq::get(url).call().expect("an answer");
        let text = reply.body_mut().read_to_string().expect("text");
        let queries: Value = serde_json::from_str(&text).expect("JSON");
        queries.as_array().and_then(|queries| queries.last()).cloned().expect("a query")
    }
}

#[test]
fn silence_is_filled_with_events_and_not_with_comments() {
    let tested = open(&[("KEEP_ALIVE_SECONDS", "1")]);
    let reply = tested.chat(&json!({"model": "demo-slow-start", "input": "x", "stream": true}));
    let names = names(&reply.body);
    assert_eq!(names[..2], ["created", "in_progress"]);
    assert!(names.iter().filter(|name| **name == "in_progress").count() > 1, "{names:?}");
    assert!(reply.body.lines().all(|line| !line.starts_with(':')), "comments do not count for Codex");
    assert_eq!(responses::summary(&reply.body).finish, "stop");
}

#[test]
fn every_demo_bot_answers_the_same_whole_and_streamed() {
    let tested = open(&[]);
    for bot in
        ["demo-echo", "demo-think", "demo-multi", "demo-wire", "demo-reporter", "demo-empty", "demo-gpt"]
    {
        let whole = tested.chat(&json!({"model": bot, "input": "x"}));
        let stream = tested.chat(&json!({"model": bot, "input": "x", "stream": true}));
        assert_eq!(responses::summary(&whole.body), responses::summary(&stream.body), "{bot}");
    }
}

#[test]
fn a_search_of_the_web_becomes_the_models_own_parameter() {
    let tested = open(&[]);
    for (tools, expected) in [(json!([{"type": "web_search"}]), json!(true)), (json!([]), Value::Null)] {
        let reply = tested.chat(&json!({"model": "demo-gpt", "input": "x", "tools": tools}));
        assert_eq!(reply.status, 200, "{}", reply.body);
        let query = tested.query();
        let found = query.to_string().contains("\"web_search\":true");
        assert_eq!(found, expected == true, "{query}");
    }
}

#[test]
fn the_size_of_the_response_store_is_a_setting() {
    for (setting, is_kept) in
        [(("RESPONSES_MAX_MB", "0"), false), (("RESPONSES_TTL_SECONDS", "0"), false), (("PORT", "1"), true)]
    {
        let tested = open(&[setting]);
        let first = tested.chat(&json!({"model": "demo-echo", "input": "x"}));
        let id = serde_json::from_str::<Value>(&first.body).expect("JSON")["id"].clone();
        let next = tested.chat(&json!({"model": "demo-echo", "input": "y", "previous_response_id": id}));
        assert_eq!(next.status, if is_kept { 200 } else { 400 }, "{setting:?}: {}", next.body);
    }
}

#[test]
fn clients_with_keys_of_the_proxys_own_do_not_see_each_others_responses() {
    let tested = open(&[("POE_API_KEY", "poe"), ("PROXY_API_KEYS", "one,other")]);
    let chat = |key: &str, request: &Value| {
        let json = [("Content-Type", "application/json")];
        tested.server.post("/v1/responses", key, &json, request.to_string().as_bytes())
    };
    let first = chat("one", &json!({"model": "demo-echo", "input": "x"}));
    let id = serde_json::from_str::<Value>(&first.body).expect("JSON")["id"].clone();
    let next = json!({"model": "demo-echo", "input": "y", "previous_response_id": id});
    assert_eq!(["one", "other", "nobody"].map(|key| chat(key, &next).status), [200, 400, 401]);
}

#[test]
fn errors_of_later_stages_name_the_input() {
    let tested = open(&[]);
    let picture = json!({"type": "input_image", "image_url": "https://cats.invalid/cat.png"});
    let reply =
        tested.chat(&json!({"model": "demo-echo", "input": [{"role": "user", "content": [picture]}]}));
    let error = serde_json::from_str::<Value>(&reply.body).expect("JSON")["error"].clone();
    assert_eq!((reply.status, &error["param"]), (400, &json!("input")), "{error}");
}

#[test]
fn cursor_is_answered_in_the_dialect_of_its_endpoint() {
    let tested = open(&[]);
    let patch = json!({"type": "custom", "name": "ApplyPatch", "format": {"type": "text"}});
    let request = json!({"model": "demo-tools", "tools": [patch], "input": [
        {"role": "system", "content": "you edit"}, {"role": "user", "content": "ApplyPatch, please"}]});
    let mut rendered = Vec::new();
    for stream in [false, true] {
        let mut request = request.clone();
        request["stream"] = stream.into();
        rendered.push(summary::chat(&tested.server.chat("key", &request.to_string()).body));
    }
    let (name, arguments) = rendered[0].calls[0].clone();
    assert_eq!((name.as_str(), rendered[0].finish.as_str()), ("ApplyPatch", "tool_calls"));
    assert!(!arguments.is_empty() && !arguments.starts_with('{'), "plain text: {arguments}");
    assert_eq!((&rendered[0].calls, &rendered[0].finish), (&rendered[1].calls, &rendered[1].finish));
}

#[test]
fn a_refusal_before_the_first_byte_has_its_status_and_says_when_to_try_again() {
    let tested = open(&[]);
    for stream in [false, true] {
        let reply = tested.chat(&json!({"model": "demo-error-http-429", "input": "x", "stream": stream}));
        assert_eq!((reply.status, reply.retry_after.as_deref()), (429, Some("7")));
        assert!(reply.body.contains("Please try again in 7s."), "{}", reply.body);
        assert_eq!(responses::summary(&reply.body).finish, "error");
    }
}

#[test]
fn files_count_among_the_tokens_of_a_request() {
    let tested = open(&[]);
    let counted = |content: Value| {
        let body = json!({"model": "demo-echo", "input": [{"role": "user", "content": content}]}).to_string();
        let reply = tested.server.post("/v1/responses/input_tokens", "key", &[], body.as_bytes());
        let answer: Value = serde_json::from_str(&reply.body).expect("JSON");
        answer["input_tokens"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    };
    let text = json!({"type": "input_text", "text": "hi"});
    let picture = json!({"type": "input_image", "image_url": "data:image/gif;base64,R0lGODlhLAGQAQ=="});
    // 300 x 400 pixels
    assert_eq!(counted(json!([text, picture])), counted(json!([text])) + 160);
}

#[test]
fn a_compaction_without_a_summary_is_refused_whole_and_fails_in_a_stream() {
    let tested = open(&[]);
    let body = json!({"model": "demo-empty", "input": "x"}).to_string();
    let reply = tested.server.post("/v1/responses/compact", "key", &[], body.as_bytes());
    assert_eq!(reply.status, 502, "{}", reply.body);
    let input = json!([{"role": "user", "content": "x"}, {"type": "compaction_trigger"}]);
    let whole = tested.chat(&json!({"model": "demo-empty", "input": input}));
    assert_eq!(whole.status, 502, "{}", whole.body);
    let reply = tested.chat(&json!({"model": "demo-empty", "stream": true, "input": input}));
    assert!(reply.body.contains("\"response.failed\"") && !reply.body.contains("response.completed"));
}

#[test]
fn a_reference_finds_the_item_and_one_that_leads_nowhere_is_refused() {
    let tested = open(&[]);
    let answer = |request: Value| serde_json::from_str::<Value>(&tested.chat(&request).body).expect("JSON");
    let first = answer(json!({"model": "demo-echo", "input": "one"}));
    let refer = |id: &Value| json!({"type": "item_reference", "id": id});
    let said = refer(&first["output"][0]["id"]);
    let thought = refer(&json!("rs_gone_0"));
    let more = json!({"role": "user", "content": "two"});
    let next = tested.chat(&json!({"model": "demo-echo", "input": [thought, said, said, more]}));
    assert_eq!(next.status, 200, "{}", next.body);
    let turns: Vec<Value> = tested.query()["body"]["query"]
        .as_array()
        .expect("turns")
        .iter()
        .map(|turn| turn["content"].clone())
        .collect();
    assert_eq!(turns, ["one", "two"]);
    let lost = tested.chat(&json!({"model": "demo-echo", "input": [more, refer(&json!("msg_gone_0"))]}));
    let error = serde_json::from_str::<Value>(&lost.body).expect("JSON")["error"].clone();
    assert_eq!((lost.status, &error["param"]), (400, &json!("input[1].id")), "{error}");
    assert_eq!(error["message"], "Item with id 'msg_gone_0' not found.");
}

#[test]
fn what_a_response_repeats_is_what_the_schema_says() {
    let tested = open(&[]);
    let function = json!({"type": "function", "name": "f", "parameters": {"type": "object"}});
    let grammar = json!({"type": "grammar", "syntax": "lark", "definition": "start: /.+/"});
    let allowed =
        json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]});
    let schema = json!({"type": "json_schema", "schema": {"type": "object"}});
    let cases = [
        json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}, {"name": "g"}]}),
        json!({"tools": [{"type": "custom", "name": "c", "format": grammar}, {"type": "custom", "name": "d", "format": {}}]}),
        json!({"tools": [{"type": "namespace", "name": "n", "tools": [function]}, {"type": "namespace", "name": "m"}]}),
        json!({"tools": [{"type": "web_search"}, {"type": "invented", "x": 1}, {"type": "mcp"}]}),
        json!({"tools": [function], "tool_choice": "any"}),
        json!({"tools": [function], "tool_choice": {"type": "function", "function": {"name": "f"}}}),
        json!({"tools": [function], "tool_choice": allowed}),
        json!({"model": "demo-gpt", "tools": [{"type": "web_search_preview"}], "tool_choice": {"type": "web_search_preview"}}),
        json!({"model": "demo-json", "text": {"format": schema}}),
        json!({"reasoning": {"effort": "ultra", "summary": "none"}}),
        json!({"service_tier": "of_tomorrow", "prompt_cache_retention": "in-memory"}),
        json!({"user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "max_tool_calls": 3}),
        json!({"metadata": {"a": "b"}, "truncation": "auto", "include": ["bogus"]}),
        json!({"instructions": [{"role": "system", "content": "x"}]}),
    ];
    for case in cases {
        for stream in [false, true] {
            let mut request = json!({"model": "demo-tools", "input": "x", "stream": stream});
            request.as_object_mut().expect("an object").extend(case.as_object().expect("an object").clone());
            let reply = tested.chat(&request);
            assert_eq!(reply.status, 200, "{case}: {}", reply.body);
            // holds every object against the schema
            let summary = responses::summary(&reply.body);
            assert_ne!(summary.finish, "error", "{case}: {}", reply.body);
            assert!(!reply.body.contains("\"truncation\":\"auto\""), "nothing is left out here");
        }
    }
}

#[test]
fn invalid_fields_are_rejected_by_name_before_poe_is_queried() {
    let tested = open(&[]);
    let schema = json!({"format": {"type": "json_schema", "name": "x", "schema": 7}});
    for (field, value, param) in [
        ("text", schema, "text.format.schema"),
        ("metadata", json!({"a": 1}), "metadata.a"),
        ("tools", json!([{"type": "function", "name": "f", "parameters": "x"}]), "tools[0].parameters"),
        ("reasoning", json!("high"), "reasoning"),
        ("tool_choice", json!({"type": "file_search"}), "tool_choice"),
        ("tool_choice", json!({"type": "web_search"}), "tool_choice"),
        ("tool_choice", json!({"type": "web_search_preview"}), "tool_choice"),
    ] {
        let mut request = json!({"model": "demo-json", "input": "x"});
        request["tools"] = json!([{"type": "web_search"}, {"type": "file_search"}]);
        request[field] = value;
        let reply = tested.chat(&request);
        let error = serde_json::from_str::<Value>(&reply.body).expect("JSON")["error"].clone();
        assert_eq!((reply.status, &error["param"]), (400, &json!(param)), "{error}");
        assert!(!reply.body.contains("struct"), "{error}");
    }
}
