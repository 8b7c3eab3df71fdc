//! Chat Completions: non-streamed and streamed answers, errors, models.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::collections::BTreeSet;
use std::thread;

use common::{
    Answer, Ending, Event, Piece, Poe, TestServer, chat, chat_body, claims_success, content, fault, get,
    post, streamed, text,
};
use serde_json::{Value, json};

const WORDS: &str = "Grüße an alle: 世界 🌍, \"quoted\" and\na second line";

fn stream(server: &TestServer, body: &Value) -> (Answer, Vec<Event>) {
    let mut wire = server.wire();
    let mut stream = wire.stream(&chat(body));
    let events = stream.rest();
    (stream.answer, events)
}

#[test]
fn a_whole_answer_has_every_field() {
    let server = TestServer::demo(&[]);
    let answer = server.chat(&chat_body("demo-echo", WORDS));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let body = answer.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "demo-echo");
    assert!(body["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-") && id.len() > 20));
    assert!(body["created"].as_u64().is_some_and(|time| (1_700_000_000..10_000_000_000).contains(&time)));
    let choice = &body["choices"][0];
    assert_eq!((&choice["index"], &choice["finish_reason"]), (&json!(0), &json!("stop")));
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(content(&answer), WORDS);
    let usage = &body["usage"];
    let tokens = |name: &str| usage[name].as_u64().unwrap();
    assert!(tokens("completion_tokens") > 10 && tokens("prompt_tokens") > 10, "{usage}");
    assert_eq!(tokens("total_tokens"), tokens("prompt_tokens") + tokens("completion_tokens"));
}

#[test]
fn a_stream_sends_each_field_once() {
    let server = TestServer::demo(&[]);
    let (head, events) = stream(&server, &streamed("demo-echo", WORDS));
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(head.header("cache-control"), Some("no-cache"));
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert_eq!((head.header("content-length"), head.ending), (None, Ending::Framed));
    assert_eq!(text(&events), WORDS);
    assert_eq!(events.last().unwrap().piece, Piece::Done);
    let chunks: Vec<&Value> = events.iter().filter_map(Event::json).collect();
    assert_eq!(chunks.len() + 1, events.len(), "one [DONE], no comments");
    for name in ["id", "created", "model", "object"] {
        let values: BTreeSet<String> = chunks.iter().map(|chunk| chunk[name].to_string()).collect();
        assert_eq!(values.len(), 1, "{name} changes: {values:?}");
    }
    assert_eq!(chunks[0]["object"], "chat.completion.chunk");
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let roles = chunks.iter().filter(|chunk| chunk["choices"][0]["delta"].get("role").is_some()).count();
    let reasons: Vec<_> =
        chunks.iter().map(|c| &c["choices"][0]["finish_reason"]).filter(|r| !r.is_null()).collect();
    assert_eq!((roles, reasons), (1, vec![&json!("stop")]));
    assert!(chunks.iter().all(|chunk| chunk["choices"].as_array().unwrap().len() == 1));
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()), "usage only when asked");
}

#[test]
fn usage_in_a_stream_comes_last_and_equals_that_of_a_whole_answer() {
    let server = TestServer::demo(&[]);
    let mut body = streamed("demo-echo", WORDS);
    body["stream_options"] = json!({"include_usage": true});
    let (_, events) = stream(&server, &body);
    let (last, before) = events[..events.len() - 1].split_last().unwrap();
    assert_eq!(last.json().unwrap()["choices"], json!([]));
    assert!(before.iter().all(|event| event.json().unwrap()["usage"] == Value::Null));
    assert!(before.iter().all(|event| event.json().unwrap().get("usage").is_some()));
    let whole = server.chat(&chat_body("demo-echo", WORDS)).json();
    assert_eq!(last.json().unwrap()["usage"], whole["usage"]);
    body["stream_options"] = json!({"include_usage": false});
    let (_, events) = stream(&server, &body);
    assert!(events.iter().filter_map(Event::json).all(|chunk| chunk.get("usage").is_none()));
}

#[test]
fn text_is_streamed_as_it_is_generated() {
    let server = TestServer::demo(&[]);
    let (whole, events) = thread::scope(|scope| {
        let whole = scope.spawn(|| content(&server.chat(&chat_body("demo-story", "Tell me a story"))));
        let (_, events) = stream(&server, &streamed("demo-story", "Tell me a story"));
        (whole.join().unwrap(), events)
    });
    let pieces: Vec<_> = events.iter().filter(|event| event.json().is_some()).collect();
    assert!(pieces.len() > 100);
    let spread = pieces[pieces.len() - 1].at - pieces[0].at;
    assert!(spread.as_secs_f64() > 2.0, "it came all at once, within {spread:?}");
    assert_eq!(text(&events), whole);
}

#[test]
fn every_variation_of_poes_stream_is_accepted() {
    let server = TestServer::demo(&[]);
    let said = |bot: &str| {
        let (_, events) = stream(&server, &streamed(bot, "x"));
        assert_eq!(events.last().unwrap().piece, Piece::Done, "{bot}");
        let whole = content(&server.chat(&chat_body(bot, "x")));
        assert_eq!(text(&events), whole, "{bot}");
        whole
    };
    assert_eq!(said("demo-wire"), "Grüße, 世界 🌍!\nNext line.");
    assert_eq!(said("demo-suggest"), "Ask me anything.");
    assert_eq!(said("demo-pings"), "Still here.");
    assert_eq!(said("demo-empty"), "");
}

#[test]
fn content_may_be_text_parts_or_null_and_roles_are_mapped() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    let body = json!({"model": "demo-query", "user": "someone", "temperature": 0.5, "top_k": 7, "unknown": {"a": [1]},
        "messages": [
            {"role": "developer", "content": "Be brief.", "unknown": 1},
            {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": null, "refusal": null},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": "go"}]});
    assert_eq!(server.chat(&body).status, 200);
    let query = poe.last_query();
    assert_eq!((&query["version"], &query["type"]), (&json!("1.2"), &json!("query")));
    assert_eq!(query["temperature"], 0.5);
    let turns = query["query"].as_array().unwrap();
    let first = &turns[0];
    assert_eq!((&first["role"], &first["content"]), (&json!("system"), &json!("Be brief.")));
    assert!(turns.iter().all(|turn| turn["content_type"] == "text/markdown"), "{turns:?}");
    assert!(turns.iter().any(|turn| turn["role"] == "bot" && turn["content"] == "yes"), "{turns:?}");
    let last = turns.last().unwrap();
    assert_eq!((&last["role"], &last["content"]), (&json!("user"), &json!("go")));
    assert!(query.get("stop_sequences").is_none_or(|stop| stop.as_array().is_some_and(Vec::is_empty)));
}

/// Fields that SillyTavern sends with its presets, most of them for local model servers.
const ROLEPLAY: &str = r#"{
    "temperature": 1, "max_tokens": 300, "max_completion_tokens": 300, "presence_penalty": 0.1,
    "frequency_penalty": 0, "top_p": 1, "top_k": 0, "top_a": 0, "min_p": 0.05, "typical_p": 1, "typical":
    1, "tfs": 1, "epsilon_cutoff": 0, "eta_cutoff": 0, "repetition_penalty": 1.1, "rep_pen": 1.1,
    "rep_pen_range": 0, "rep_pen_slope": 1, "no_repeat_ngram_size": 0, "encoder_repetition_penalty": 1,
    "mirostat": 0, "mirostat_mode": 0, "mirostat_tau": 5, "mirostat_eta": 0.1, "dynatemp_low": 1,
    "dynatemp_high": 1, "dynatemp_exponent": 1, "smoothing_factor": 0, "smoothing_curve": 1,
    "dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 2, "dry_sequence_breakers": ["\n",
    ":", "\"", "*"], "xtc_threshold": 0.1, "xtc_probability": 0, "nsigma": 0, "sampler_order": [6, 0, 1,
    3, 4, 2, 5], "samplers": ["top_k", "min_p"], "seed": -1, "n": 1, "stop": [], "banned_tokens": [],
    "logit_bias": {}, "grammar": "", "guidance_scale": 1, "negative_prompt": "", "add_bos_token": true,
    "ban_eos_token": false, "skip_special_tokens": true, "truncation_length": 8192, "reasoning_effort":
    "auto", "verbosity": "auto", "include_reasoning": true, "enable_web_search": false, "request_images":
    false, "use_fallback": false, "chat_completion_source": "custom", "user_name": "me", "char_name":
    "you", "group_names": [], "provider": [], "transforms": ["middle-out"],
    "custom_prompt_post_processing": "", "assistant_prefill": "", "user": "me", "logprobs": null,
    "json_schema": null, "tools": null, "tool_choice": null
}"#;

#[test]
fn fields_of_roleplay_programs_are_accepted() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    let fields: Value = serde_json::from_str(ROLEPLAY).unwrap();
    for bot in ["demo-echo", "demo-gpt", "demo-claude", "demo-gemini"] {
        for stream in [false, true] {
            let mut body = chat_body(bot, "hi");
            body["stream"] = stream.into();
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let answer = server.chat(&body);
            assert_eq!(answer.status, 200, "{bot}: {}", answer.text());
            assert!(answer.text().contains("hi"), "{bot}: {}", answer.text());
            let turn = &poe.last_query()["query"][0];
            assert!(!turn["parameters"].to_string().contains("auto"), "Poe would refuse it: {turn}");
        }
    }
    assert_eq!(poe.queries(), 8, "no request was retried");
}

#[test]
fn a_model_name_never_changes_the_path_at_poe() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    for name in ["../demo/reset", "..", ".", "a/../../demo/stats", "demo-echo?x", "a b", "%2e%2e", "世界"] {
        let answer = server.chat(&chat_body(name, "x"));
        assert_eq!((answer.status, answer.error("code").as_str()), (404, "model_not_found"), "{name}");
    }
    let answer = server.chat(&chat_body("Demo-ECHO", "any case"));
    assert_eq!(content(&answer), "any case");
}

#[test]
fn keys_are_needed_and_well_formed() {
    let server = TestServer::demo(&[]);
    let body = chat_body("demo-echo", "x").to_string();
    let bad: [&[&str]; 6] = [
        &[],
        &["Authorization: some-key"],
        &["Authorization: Bearer "],
        &["Authorization: Bearer"],
        &["Authorization: Basic abc"],
        &["Authorization: Bearer two words"],
    ];
    for headers in bad {
        let answer = server.ask(&post("/v1/chat/completions", headers, &body));
        assert_eq!((answer.status, answer.error("code").as_str()), (401, "invalid_api_key"), "{headers:?}");
        assert_eq!(answer.error("type"), "invalid_request_error");
    }
    for headers in [["authorization: bearer some-key"], ["X-Api-Key: some-key"]] {
        assert_eq!(server.ask(&post("/chat/completions", &headers, &body)).status, 200, "{headers:?}");
    }
    assert_eq!(server.ask(&post("/v1/chat/completions/?key=some-key", &[], &body)).status, 200);
}

#[test]
fn poes_rejection_of_a_key_is_passed_on() {
    let server = TestServer::demo(&[]);
    let ask = |key: &str| {
        let header = format!("Authorization: Bearer {key}");
        server.ask(&post("/v1/chat/completions", &[&header], &chat_body("demo-echo", "x").to_string()))
    };
    let refused = ask("wrong-key");
    assert_eq!((refused.status, refused.error("code").as_str()), (401, "invalid_api_key"));
    assert!(refused.error("message").contains("Incorrect API key"));
    assert_eq!((ask("poor-key").status, ask("slow-down").status), (402, 429));
    assert_eq!(ask("slow-down").header("retry-after"), Some("7"));
}

#[test]
fn errors_name_the_invalid_field_of_a_request() {
    let server = TestServer::demo(&[]);
    let messages = json!([{"role": "user", "content": "x"}]);
    let cases = [
        (json!({"messages": messages}), "model"),
        (json!({"model": "", "messages": messages}), "model"),
        (json!({"model": 7, "messages": messages}), "model"),
        (json!({"model": "demo-echo"}), "messages"),
        (json!({"model": "demo-echo", "messages": []}), "messages"),
        (json!({"model": "demo-echo", "messages": "x"}), "messages"),
        (json!({"model": "demo-echo", "messages": [{"content": "x"}]}), "messages[0]"),
        (json!({"model": "demo-echo", "messages": [{"role": "nobody", "content": "x"}]}), "messages[0].role"),
        (json!({"model": "demo-echo", "messages": [{"role": "user", "content": 5}]}), "messages[0].content"),
        (json!({"model": "demo-echo", "messages": messages, "stream": "yes"}), "stream"),
        (json!({"model": "demo-echo", "messages": messages, "temperature": "hot"}), "temperature"),
        (json!({"model": "demo-echo", "messages": messages, "temperature": 9}), "temperature"),
        (json!({"model": "demo-echo", "messages": messages, "max_tokens": -2}), "max_tokens"),
        (json!({"model": "demo-echo", "messages": messages, "n": 0}), "n"),
    ];
    for (body, param) in cases {
        let answer = server.chat(&body);
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.error("type"), "invalid_request_error", "{body}");
        assert_eq!(answer.error("param"), param, "{body}");
        assert!(!answer.error("message").is_empty());
    }
    for body in ["", "{", "[]", "nonsense", "{\"model\":\"demo-echo\"} {}", "\u{0}"] {
        let answer = server.ask(&post("/v1/chat/completions", &["Authorization: Bearer k"], body));
        assert_eq!((answer.status, answer.error("param").as_str()), (400, "null"), "{body:?}");
    }
}

/// Bot, status, code, and the number of queries to Poe.
const FAILURES: &[(&str, u16, &str, u64)] = &[
    ("demo-error-http-400", 400, "null", 1),
    ("demo-error-http-401", 401, "invalid_api_key", 1),
    ("demo-error-http-402", 402, "insufficient_quota", 1),
    ("demo-error-http-403", 403, "forbidden", 1),
    ("demo-error-http-404", 404, "model_not_found", 1),
    ("demo-error-http-408", 408, "model_timeout", 1),
    ("demo-error-http-413", 400, "context_length_exceeded", 1),
    ("demo-error-http-429", 429, "rate_limit_exceeded", 1),
    ("demo-error-http-500", 502, "upstream_error", 2),
    ("demo-error-http-502", 502, "upstream_error", 2),
    ("demo-error-http-503", 503, "overloaded", 2),
    ("demo-error-http-529", 503, "overloaded", 2),
    ("demo-error-user_message_too_long", 400, "context_length_exceeded", 1),
    ("demo-error-insufficient_fund", 402, "insufficient_quota", 1),
    ("demo-error-user_caused_error", 400, "null", 1),
    ("demo-error-privacy_authorization_error", 403, "forbidden", 1),
    ("demo-error-internal", 502, "upstream_error", 2),
    ("demo-error-final", 502, "upstream_error", 1),
    ("nobody-of-this-name", 404, "model_not_found", 1),
];

#[test]
fn every_failure_before_the_first_word_has_its_status() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    for &(bot, status, code, tries) in FAILURES {
        for body in [chat_body(bot, "x"), streamed(bot, "x")] {
            poe.reset();
            let answer = server.chat(&body);
            assert_eq!((answer.status, answer.error("code").as_str()), (status, code), "{body}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{body}");
            assert!(answer.error("message").len() > 10 && answer.json()["error"]["type"].is_string());
            let wait = (status == 429).then_some("7");
            assert_eq!((answer.header("retry-after"), poe.queries()), (wait, tries), "{body}");
        }
    }
}

#[test]
fn poes_error_messages_reach_the_client() {
    let server = TestServer::demo(&[]);
    let words = |bot: &str| server.chat(&chat_body(bot, "x")).error("message");
    assert!(words("demo-error-http-503").contains("Poe is not available at the moment"));
    assert!(words("demo-error-insufficient_fund").contains("You do not have enough points"));
    assert!(words("demo-error-internal").contains("Internal server error"));
    let body = chat_body("demo-nobody", "x").to_string();
    let unknown = server.ask(&post("/v1/chat/completions", &["Authorization: Bearer demo"], &body));
    assert!(
        unknown.error("message").contains("demo-nobody"),
        "the key of the first try is a word, not a secret"
    );
}

#[test]
fn a_failure_after_some_text_is_an_error_event() {
    let server = TestServer::demo(&[]);
    let (head, events) = stream(&server, &streamed("demo-error-late", "x"));
    assert_eq!((head.status, head.ending), (200, Ending::Framed));
    assert_eq!(text(&events), "This begins well");
    assert!(!claims_success(&events));
    let (code, message) = fault(&events).unwrap();
    assert_eq!((code.as_str(), message.as_str()), ("upstream_error", "The model stopped responding"));
    assert_eq!(server.chat(&chat_body("demo-error-late", "x")).status, 502);
}

#[test]
fn models_are_listed_and_found_by_name() {
    let server = TestServer::demo(&[]);
    let list = server.ask("GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n").json();
    assert_eq!(list["object"], "list");
    let models = list["data"].as_array().unwrap();
    assert!(models.len() > 60);
    for model in models {
        assert_eq!(model["object"], "model");
        assert!(model["created"].as_u64().is_some_and(|time| time < 10_000_000_000), "seconds: {model}");
        assert!(model["id"].is_string() && model["owned_by"].is_string(), "{model}");
    }
    let echo = server.ask(&get("/models/demo-echo"));
    assert_eq!((echo.status, &echo.json()["id"]), (200, &json!("demo-echo")));
    assert_eq!(models.iter().find(|model| model["id"] == "demo-echo"), Some(&echo.json()));
    assert_eq!(server.ask(&get("/models")).json(), list);
    let nobody = server.ask(&get("/v1/models/nobody"));
    assert_eq!((nobody.status, nobody.error("code").as_str()), (404, "model_not_found"));
}

#[test]
fn the_log_has_one_line_for_each_request() {
    let server = TestServer::demo(&[]);
    server.chat(&chat_body("demo-echo", "x"));
    let line = server.wait_for_line("POST /v1/chat/completions");
    for part in ["demo-echo", "200", "ms", "tokens="] {
        assert!(line.contains(part), "{line}");
    }
    server.ask(&get("/nowhere"));
    assert!(server.wait_for_line("GET /nowhere").contains("404"));
}
