//! Limits of what clients and bots may send: the process keeps running, and memory stays within its budget.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;
#[expect(dead_code, reason = "what was asked is nothing to these tests")]
#[path = "common/scripted_poe.rs"]
mod scripted_poe;

use std::time::Duration;

use common::{Answer, TestServer, Wire, binary, chat, chat_body, content, eventually, get, post};
use scripted_poe::{Answer as Said, Poe, Script};
use serde_json::{Value, json};

/// As long as the chains in the report that a small stack was overflowed by.
const CHAIN: usize = 15_000;
const KEY: &str = "Authorization: Bearer some-key";

/// Every endpoint that reads JSON, with a body that it answers and the list in it that holds the conversation.
fn endpoints() -> Vec<(&'static str, Value, &'static str)> {
    let messages = json!([{"role": "user", "content": "x"}]);
    vec![
        ("/v1/chat/completions", json!({"model": "demo-echo", "messages": messages}), "messages"),
        ("/v1/messages", json!({"model": "demo-echo", "max_tokens": 9, "messages": messages}), "messages"),
        ("/v1/messages/count_tokens", json!({"model": "demo-echo", "messages": messages}), "messages"),
        ("/v1/responses", json!({"model": "demo-echo", "input": messages}), "input"),
        ("/v1/responses/input_tokens", json!({"model": "demo-echo", "input": messages}), "input"),
        ("/api/chat", json!({"model": "demo-echo", "messages": messages, "stream": false}), "messages"),
    ]
}

fn ask(server: &TestServer, path: &str, body: &Value) -> Answer {
    server.ask(&post(path, &[KEY], &body.to_string()))
}

fn serves(server: &TestServer) {
    assert_eq!(server.ask(&get("/health")).status, 200, "the server has ended");
}

#[test]
fn no_chain_of_references_overflows_a_stack() {
    let server = TestServer::demo(&[]);
    let link = |at: usize| json!({"$ref": format!("#/$defs/{at}")});
    let defs: serde_json::Map<_, _> = (0..CHAIN).map(|at| (at.to_string(), link(at + 1))).collect();
    let schema = json!({"type": "object", "properties": {"x": {"$ref": "#/$defs/0"}}, "$defs": defs});
    let call = json!({"name": "f", "arguments": "{\"x\":\"1\"}"});
    let talk = json!([
        {"role": "user", "content": "call"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
        {"role": "user", "content": "again"},
    ]);
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": schema}}]);
    let chat = json!({"model": "demo-xml-tools", "messages": talk, "tools": tools});
    let tools = json!([{"name": "f", "input_schema": schema}]);
    let talk = json!([{"role": "user", "content": "call"}]);
    let messages = json!({"model": "demo-xml-tools", "max_tokens": 9, "messages": talk, "tools": tools});
    let tools = json!([{"type": "function", "name": "f", "parameters": schema}]);
    let responses = json!({"model": "demo-xml-tools", "input": "call", "tools": tools});
    let mut format = chat_body("demo-json", "{\"x\": 1}");
    format["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    for (path, body) in [
        ("/v1/chat/completions", chat),
        ("/v1/messages", messages.clone()),
        ("/v1/messages/count_tokens", messages),
        ("/v1/responses", responses),
        ("/v1/chat/completions", format),
    ] {
        // an answer that is too deep to be judged may be refused
        let status = ask(&server, path, &body).status;
        assert!([200, 502].contains(&status), "{path}: {status}");
        serves(&server);
    }
}

#[test]
fn no_depth_of_json_overflows_a_stack() {
    let server = TestServer::demo(&[]);
    let nested = |depth: usize, open: &str, close: &str| open.repeat(depth) + "1" + &close.repeat(depth);
    for (path, body, list) in endpoints() {
        // where a value is read by type, as any value, and where nothing is known of it
        let places = ["tools", "metadata", "unknown", "tool_choice", list];
        for place in places {
            for (open, close) in [
                ("[", "]"),
                ("{\"a\":", "}"),
                ("{\"type\":\"tool_result\",\"tool_use_id\":\"c\",\"content\":[", "]}"),
                ("{\"role\":\"user\",\"content\":[", "]}"),
            ] {
                for depth in [50, 100, CHAIN] {
                    let mut body = body.clone();
                    body[place] = "HERE".into();
                    let body = body.to_string().replace("\"HERE\"", &nested(depth, open, close));
                    let status = server.ask(&post(path, &[KEY], &body)).status;
                    let is_right = if depth == CHAIN { status == 400 } else { [200, 400].contains(&status) };
                    assert!(is_right, "{status} for {path} {place} {open} {depth}");
                }
            }
        }
        serves(&server);
    }
}

#[test]
fn too_many_items_are_rejected_by_field_in_every_dialect() {
    let server = TestServer::demo(&[]);
    let many = |item: Value, count: usize| Value::Array(vec![item; count]);
    for (path, body, list) in endpoints() {
        let part = json!({"type": "text", "text": ""});
        let rows = [
            (list, many(json!({"role": "user", "content": "x"}), 20_001), list.to_owned()),
            (list, json!([{"role": "user", "content": many(part, 10_001)}]), format!("{list}[0].content")),
            ("tools", many(json!({}), 2_001), "tools".to_owned()),
            ("unknown", many(json!(1), 20_001), "unknown".to_owned()),
        ];
        for (field, value, named) in rows {
            let mut body = body.clone();
            body[field] = value;
            let answer = ask(&server, path, &body);
            assert_eq!(answer.status, 400, "{path} {named}");
            let said = match path {
                "/api/chat" => answer.json()["error"].to_string(),
                _ => answer.error("message"),
            };
            assert!(said.contains(&named), "{path} {named}: {said}");
            if path == "/v1/chat/completions" {
                assert!(answer.error("param").starts_with(&named), "{named}");
            }
        }
        let mut wire = server.wire();
        assert_eq!(wire.ask(&post(path, &[KEY], "{}")).status, 400);
        assert_eq!(wire.ask(&get("/health")).status, 200, "the connection is of use after a refusal");
    }
    let mut body = chat_body("demo-echo", "x");
    body["unknown"] = json!({"all": vec![1; 1_000_001]});
    assert!(server.chat(&body).error("param").starts_with("unknown.all["));
    body["unknown"] = "word ".repeat(4 << 20).into();
    let answer = server.chat(&body);
    assert_eq!((answer.status, answer.error("param").as_str()), (413, "unknown"));
    assert!(answer.error("message").contains("16 MiB"), "not a limit that a setting could raise: {answer:?}");
}

#[test]
fn small_values_take_little_memory() {
    let server = TestServer::demo(&[]);
    serves(&server);
    let before = server.memory("VmHWM:");
    for (path, body, list) in endpoints() {
        let mut body = body.clone();
        let part = if list == "input" {
            json!({"type": "input_text", "text": ""})
        } else {
            json!({"type": "text", "text": ""})
        };
        let message = json!({"role": "user", "content": vec![part; 9_000]});
        body[list] = vec![message; 3].into();
        let _ = ask(&server, path, &body);
        println!("{path}: {} KiB", server.memory("VmHWM:") - before);
    }
    let mut body = chat_body("demo-echo", "x");
    body["unknown"] = json!({"all": vec![json!({"a": ""}); 100_000]});
    assert_eq!(server.chat(&body).status, 200);
    let most = server.memory("VmHWM:") - before;
    assert!(most < 150 << 10, "{most} KiB");
    serves(&server);
}

/// A chat request whose body, a file of `size` bytes, has arrived but for its last bytes.
fn unfinished(server: &TestServer, size: usize) -> Wire {
    let mut body = chat_body("demo-echo", "x");
    body["unknown"] = "QUJD".repeat(size / 4).into();
    let request = chat(&body);
    let mut wire = server.wire();
    wire.send(&request[..request.len() - 10]);
    wire
}

#[test]
fn an_exhausted_memory_budget_rejects_requests_and_recovers() {
    let server = TestServer::demo(&["--memory-budget-mb", "16", "--max-request-size", "1073741824"]);
    let waiting: Vec<Wire> = (0..2).map(|_| unfinished(&server, 7 << 20)).collect();
    let big = chat_body("demo-echo", &"x ".repeat(512 << 10));
    eventually(Duration::from_secs(20), "the budget is used up", || {
        let answer = server.chat(&big);
        match answer.status {
            200 => None,
            503 => {
                assert_eq!(answer.header("retry-after"), Some("2"));
                Some(())
            }
            other => panic!("{other}: {}", answer.text()),
        }
    });
    let mut body = big.clone();
    body["max_tokens"] = 9.into();
    let answer = ask(&server, "/v1/messages", &body);
    assert_eq!((answer.status, answer.error("type").as_str()), (529, "overloaded_error"));
    assert!(answer.header("retry-after").is_some());
    serves(&server);
    drop(waiting);
    eventually(Duration::from_secs(20), "the budget is free again", || {
        (server.chat(&big).status == 200).then_some(())
    });
    let huge = chat_body("demo-echo", &"x ".repeat(6 << 20));
    let answer = server.chat(&huge);
    assert_eq!(answer.status, 413, "more than the whole budget: a retry does not help");
    assert!(answer.error("message").contains("MEMORY_BUDGET_MB"), "{answer:?}");
    serves(&server);
}

/// A server in front of a Poe that answers with `events`, each a name and its data.
fn in_front(events: &[(&str, Value)], args: &[&str]) -> (TestServer, Poe) {
    let poe = Poe::start(r#"{"object":"list","data":[]}"#.into());
    let mut body = String::new();
    for (name, data) in events {
        body.push_str(&format!("event: {name}\ndata: {data}\n\n"));
    }
    poe.play(Script { answers: vec![Said::stream(body.into_bytes())], ..Script::default() });
    let server = TestServer::start(binary(), &[&["--poe-base-url", &poe.base_url], args].concat());
    (server, poe)
}

#[test]
fn whole_answers_stay_within_the_budget() {
    let mut events = vec![("text", json!({"text": "word ".repeat(100 << 10)})); 20];
    events.push(("done", json!({})));
    let (server, _poe) = in_front(&events, &["--memory-budget-mb", "24"]);
    let before = server.memory("VmHWM:");
    let answer = server.chat(&chat_body("bot", "x"));
    assert!([502, 503].contains(&answer.status), "{}", answer.text());
    assert!(answer.error("message").contains("MEMORY_BUDGET_MB"), "{}", answer.text());
    let most = server.memory("VmHWM:") - before;
    assert!(most < 32 << 10, "{most} KiB");
    let (server, _poe) = in_front(&events, &["--memory-budget-mb", "64"]);
    assert_eq!(content(&server.chat(&chat_body("bot", "x"))).len(), 20 * (500 << 10));
}

#[test]
fn text_under_other_indexes_counts() {
    let mut events: Vec<_> = (0..100).map(|at| ("text", json!({"text": "x", "index": at}))).collect();
    events.push(("done", json!({})));
    let (server, _poe) = in_front(&events, &[]);
    let answer = server.chat(&chat_body("bot", "x"));
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.error("message").contains("64 responses"), "{}", answer.text());
    let mut events: Vec<_> =
        (0..20).map(|at| ("text", json!({"text": "word ".repeat(100 << 10), "index": at}))).collect();
    events.push(("done", json!({})));
    let (server, _poe) = in_front(&events, &["--memory-budget-mb", "8"]);
    assert!([502, 503].contains(&server.chat(&chat_body("bot", "x")).status));
}

#[test]
fn calls_and_files_have_a_number() {
    let call = |at: usize| json!({"index": at, "id": format!("c{at}"), "function": {"name": "f", "arguments": "{}"}});
    let calls: Vec<_> = (0..1_001).map(call).collect();
    let file = json!({"url": "https://pfst.cf2.poecdn.net/x", "content_type": "image/png", "name": "n"});
    for (events, word) in [
        (vec![("json", json!({"choices": [{"delta": {"tool_calls": calls}}]}))], "calls"),
        (vec![("file", file); 1_001], "files"),
    ] {
        let (server, _poe) = in_front(&[events, vec![("done", json!({}))]].concat(), &[]);
        let answer = server.chat(&chat_body("bot", "x"));
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(answer.error("message").contains(word), "{}", answer.text());
    }
}

#[test]
fn nesting_in_an_event_costs_no_copies() {
    let text = "x".repeat(200 << 10);
    let nested = (0..30).fold(json!({"type": "text", "text": text}), |inner, _| json!([inner]));
    let event = |content: &Value| ("json", json!({"choices": [{"delta": {"content": content}}]}));
    let (server, _poe) = in_front(&[event(&nested), ("done", json!({}))], &[]);
    let before = server.memory("VmHWM:");
    let said = content(&server.chat(&chat_body("bot", "x")));
    assert!(said == text, "{} bytes of {}", said.len(), text.len());
    let most = server.memory("VmHWM:") - before;
    assert!(most < 16 << 10, "{most} KiB");
    let deep = (0..60).fold(json!({"type": "text", "text": text}), |inner, _| json!([[inner]]));
    for content in [deep, vec![json!({"type": "text", "text": ""}); 50_000].into()] {
        let (server, _poe) = in_front(&[event(&content), ("done", json!({}))], &[]);
        let before = server.memory("VmHWM:");
        let answer = server.chat(&chat_body("bot", "x"));
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(server.memory("VmHWM:") - before < 24 << 10);
    }
}

#[test]
fn memory_comes_back_after_a_burst() {
    const MOST: u64 = 60 << 10;
    let server = TestServer::demo(&[]);
    let small = chat_body("demo-echo", "x");
    assert_eq!(server.chat(&small).status, 200);
    let before = server.memory("VmRSS:");
    let mut file = small.clone();
    file["unknown"] = "QUJD".repeat(2 << 20).into();
    let mut values = small.clone();
    values["unknown"] = json!({"all": vec![json!({"a": ["b"]}); 20_000]});
    std::thread::scope(|scope| {
        for body in [&file, &values].into_iter().cycle().take(12) {
            scope.spawn(|| assert_eq!(server.chat(body).status, 200));
        }
    });
    let peak = server.memory("VmHWM:");
    let after = eventually(Duration::from_secs(20), "memory comes back", || {
        Some(server.memory("VmRSS:")).filter(|after| *after < before + MOST)
    });
    println!("{before} KiB before, {peak} KiB at most, {after} KiB after");
    assert!(peak > before + MOST, "the burst was too small to show anything: {peak} KiB");
}
