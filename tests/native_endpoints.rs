//! Poe's native endpoints: requests and answers pass byte by byte, and fallback for unsupported models and fields.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::{
    Answer, Ending, PATIENCE, Poe, SECRET, TestServer, binary, chat, chat_body, content, eventually, post,
    run, streamed, text, timed,
};
use serde_json::{Value, json};

/// Time limit for closing the connection to Poe after the client disconnects.
const SOON: Duration = Duration::from_secs(2);

const CHAT: &str = "/v1/chat/completions";

/// A server in front of `poe` with the given `route`.
fn server(poe: &Poe, route: &str, args: &[&str]) -> TestServer {
    TestServer::before(poe, &[&["--poe-route", route, "--log-level", "debug"], args].concat())
}

/// A request to `path` whose body is exactly `body`.
fn raw(path: &str, body: &str) -> String {
    post(path, &["Authorization: Bearer some-key"], body)
}

/// The last request to a native endpoint: received and sent bytes.
fn passage(poe: &Poe) -> (String, String) {
    let endpoints = poe.endpoints();
    let last = endpoints.last().expect("a passage");
    let text = |name: &str| last[name].as_str().expect("text").to_owned();
    (text("body"), text("answer"))
}

fn through(poe: &Poe) -> (usize, u64) {
    (poe.endpoints().len(), poe.queries())
}

/// A directory with this models.yaml, gone with the test.
struct Dir(PathBuf);

impl Dir {
    fn with(name: &str, models_yaml: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("poe2openai-native-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        fs::write(path.join("models.yaml"), models_yaml).expect("a file");
        Dir(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Spaces, escapes and an order that no serializer would write.
const ODD: &str = "{ \"stream\" : false,\n\t\"messages\": [ {\"role\":\"user\" , \"content\":\"gr\\u00fc\\u00DFe \\/ \"} ],\"temperature\":1.0,  \"model\":\"demo-native\"}\n";

#[test]
fn a_body_that_needs_no_change_goes_through_byte_by_byte() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    let mut wire = server.wire();
    for _ in 0..2 {
        let answer = wire.ask(&raw(CHAT, ODD));
        assert_eq!(content(&answer), "grüße / ");
        let (came, left) = passage(&poe);
        assert_eq!(came, ODD);
        assert_eq!(answer.text(), left);
        assert_eq!(answer.json()["id"], serde_json::from_str::<Value>(&left).unwrap()["id"]);
    }
    assert_eq!(through(&poe), (2, 0));
}

#[test]
fn a_stream_comes_back_byte_by_byte() {
    let poe = Poe::start();
    let server = server(&poe, "auto", &[]);
    let mut body = streamed("demo-native", "tell me");
    body["stream_options"] = json!({"include_usage": true});
    let mut wire = server.wire();
    for _ in 0..2 {
        let answer = wire.ask(&chat(&body));
        let (came, left) = passage(&poe);
        assert_eq!((came, answer.text()), (body.to_string(), left));
        assert!(answer.text().ends_with("data: [DONE]\n\n") && answer.text().contains("prompt_tokens"));
        assert_eq!((answer.status, answer.ending), (200, Ending::Framed));
        assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    }
    assert_eq!(through(&poe), (2, 0));
}

#[test]
fn tools_are_called_through_the_native_endpoint() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    let mut body = chat_body("demo-native", "city=Rome");
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    body["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]);
    let answer = server.chat(&body).json();
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], json!({"city": "Rome"}).to_string());
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(passage(&poe).0, body.to_string());
}

#[test]
fn names_change_both_ways_and_nothing_else_does() {
    let poe = Poe::start();
    let dir =
        Dir::with("names", "enable: true\nmodels: {demo-native: {mapping: 'my \"own\"', route: native}}\n");
    let server = server(&poe, "bot", &["--config-dir", dir.path()]);
    for stream in [false, true] {
        let body = json!({"model": "My \"own\"", "stream": stream,
            "messages": [{"role": "user", "content": "\"model\":\"demo-native\""}]});
        let answer = server.chat(&body);
        let (came, left) = passage(&poe);
        assert_eq!(came, body.to_string().replace("My \\\"own\\\"", "demo-native"));
        assert!(left.contains("\"model\":\"demo-native\""), "{left}");
        // in the text the quotes are escaped, so only the field is met
        assert_eq!(answer.text(), left.replace("\"model\":\"demo-native\"", "\"model\":\"My \\\"own\\\"\""));
    }
    assert_eq!(through(&poe), (2, 0));
}

#[test]
fn rejected_fields_are_removed_and_parameters_translated_for_the_native_endpoint() {
    let poe = Poe::start();
    let dir = Dir::with("wishes", "enable: true\nmodels: {demo-gpt: {parameters: {verbosity: low}}}\n");
    let server = server(&poe, "native", &["--config-dir", dir.path()]);
    let body = r#"{"seed": 7, "model": "demo-gpt-high", "user": "me", "messages": [{"role": "user", "content": "hi"}], "store": true}"#;
    let sent = r#"{"model": "demo-gpt", "messages": [{"role": "user", "content": "hi"}],"reasoning_effort":"high","verbosity":"low"}"#;
    for _ in 0..2 {
        let answer = server.ask(&raw(CHAT, body));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(passage(&poe).0, sent);
        assert_eq!(answer.json()["model"], "demo-gpt-high");
    }
}

#[test]
fn cached_tokens_of_a_growing_conversation_are_logged() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    let turn = |words: &str| {
        let long = "Remember this. ".repeat(600);
        let body = format!(
            r#"{{"model":"demo-gpt","messages":[{{"role":"system","content":"{long}"}},{{"role":"user","content":"{words}"}}]}}"#
        );
        server.ask(&raw(CHAT, &body)).json()["usage"].clone()
    };
    assert_eq!(turn("first")["prompt_tokens_details"]["cached_tokens"], 0);
    let second = turn("second");
    let cached = second["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    assert!(cached > 2000, "{second}");
    let line = server.wait_for_line(&format!("cached_tokens={cached}"));
    let tokens = format!(
        "prompt_tokens={} completion_tokens={}",
        second["prompt_tokens"], second["completion_tokens"]
    );
    assert!(line.contains("route=native") && line.contains(&tokens), "{line}");
}

#[test]
fn usage_of_streams_is_logged() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    let mut body = streamed("demo-native", "count me");
    body["stream_options"] = json!({"include_usage": true});
    let answer = server.chat(&body).text();
    let usage = answer.lines().filter_map(|line| line.strip_prefix("data: ")).rev().nth(1).unwrap();
    let usage = serde_json::from_str::<Value>(usage).unwrap()["usage"].clone();
    let line = server.wait_for_line(&format!(
        "prompt_tokens={} completion_tokens={}",
        usage["prompt_tokens"], usage["completion_tokens"]
    ));
    assert!(line.contains("route=native") && line.contains("model=\"demo-native\" "), "{line}");
}

#[test]
fn auto_uses_the_bot_protocol_without_a_native_endpoint() {
    let poe = Poe::start();
    let server = server(&poe, "auto", &[]);
    assert_eq!(content(&server.chat(&chat_body("demo-echo", "hi"))), "hi");
    assert_eq!(through(&poe), (0, 1));
    server.wait_for_line("route=bot");
    // a field that an endpoint does not support selects the bot protocol
    let mut body = chat_body("demo-gpt", "make JSON");
    body["response_format"] = json!({"type": "json_object"});
    assert_ne!(server.chat(&body).status, 400);
    body = chat_body("demo-gpt", "twice");
    body["n"] = 2.into();
    assert_eq!(server.chat(&body).json()["choices"].as_array().map(Vec::len), Some(2));
    assert!(poe.endpoints().is_empty() && poe.queries() >= 4, "{:?}", through(&poe));
}

#[test]
fn a_native_endpoint_without_the_model_is_tried_once() {
    let poe = Poe::start();
    let server = server(&poe, "auto", &[]);
    for (stream, passages) in [(false, 1), (true, 1), (false, 1)] {
        let mut body = chat_body("demo-native-unknown", "hi");
        body["stream"] = stream.into();
        let answer = server.chat(&body);
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("hi"), "{}", answer.text());
        assert_eq!(poe.endpoints().len(), passages);
    }
    assert_eq!(poe.queries(), 3);
}

#[test]
fn a_field_rejected_by_a_native_endpoint_selects_the_bot_protocol() {
    let poe = Poe::start();
    let server = server(&poe, "auto", &[]);
    let mut hot = chat_body("demo-native-picky", "hi");
    hot["temperature"] = 1.into();
    assert_eq!(content(&server.chat(&hot)), "hi");
    assert_eq!(through(&poe), (1, 1));
    assert_eq!(content(&server.chat(&hot)), "hi");
    assert_eq!(through(&poe), (1, 2));
    assert_eq!(content(&server.chat(&chat_body("demo-native-picky", "hi"))), "hi");
    assert_eq!(through(&poe), (2, 2));
}

#[test]
fn route_native_rejects_unsupported_requests_clearly() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    let answer = server.chat(&chat_body("demo-echo", "hi"));
    assert_eq!((answer.status, answer.error("param").as_str()), (400, "model"));
    for words in ["route", "native", CHAT, "auto", "POE_ROUTE", "models.yaml"] {
        assert!(answer.error("message").contains(words), "{}", answer.text());
    }
    let mut body = chat_body("demo-gpt", "hi");
    body["response_format"] = json!({"type": "json_object"});
    let answer = server.chat(&body);
    assert_eq!((answer.status, answer.error("param").as_str()), (400, "response_format"));
    // errors of the endpoint are passed on unchanged
    let answer = server.chat(&chat_body("demo-native-unknown", "hi"));
    assert_eq!((answer.status, answer.error("code").as_str()), (404, "model_not_found"));
    let mut hot = chat_body("demo-native-picky", "hi");
    hot["temperature"] = 1.into();
    let answer = server.chat(&hot);
    assert_eq!((answer.status, answer.error("code").as_str()), (400, "unknown_parameter"));
    assert_eq!(answer.error("param"), "temperature");
    assert_eq!(poe.queries(), 0);
    // a dialect that Poe has no native endpoint for
    let body = chat_body("demo-native", "hi").to_string();
    assert_eq!(server.ask(&raw("/api/chat", &body)).status, 200);
    assert_eq!(poe.queries(), 1);
}

#[test]
fn errors_keep_their_meaning_and_the_bot_protocol_is_the_second_try() {
    let poe = Poe::start();
    for stream in [false, true] {
        let server = server(&poe, "auto", &[]);
        let ask = |bot: &str| {
            let mut body = chat_body(bot, "x");
            body["stream"] = stream.into();
            poe.reset();
            server.chat(&body)
        };
        let refused = ask("demo-native-402");
        assert_eq!((refused.status, refused.error("code").as_str()), (402, "insufficient_quota"));
        assert_eq!(through(&poe), (1, 0));
        let refused = ask("demo-native-429");
        assert_eq!((refused.status, refused.error("code").as_str()), (429, "rate_limit_exceeded"));
        assert_eq!((refused.header("retry-after"), through(&poe)), (Some("7"), (1, 0)));
        let refused = ask("demo-native-503");
        assert_eq!((refused.status, refused.error("code").as_str()), (503, "overloaded"));
        assert_eq!(through(&poe), (1, 1));
        let answered = ask("demo-native-flaky");
        assert_eq!((answered.status, through(&poe)), (200, (1, 1)));
    }
    let server = server(&poe, "native", &[]);
    poe.reset();
    assert_eq!((server.chat(&chat_body("demo-native-flaky", "x")).status, through(&poe)), (200, (2, 0)));
}

#[test]
fn a_stream_that_breaks_off_ends_with_an_error() {
    let poe = Poe::start();
    let server = server(&poe, "auto", &[]);
    for bot in ["demo-native-broken", "demo-native-truncated", "demo-native-late"] {
        poe.reset();
        let mut wire = server.wire();
        let mut stream = wire.stream(&chat(&streamed(bot, "x")));
        let events = stream.rest();
        assert_eq!((stream.answer.status, stream.answer.ending), (200, Ending::Framed), "{bot}");
        assert!(text(&events).starts_with("This "), "{bot}");
        assert!(!common::claims_success(&events), "{bot}: {events:?}");
        let last = events.last().and_then(common::Event::json).expect("data");
        assert!(last["error"]["message"].is_string(), "{bot}: {last}");
        let errors = events.iter().filter(|event| event.json().is_some_and(|data| !data["error"].is_null()));
        assert_eq!(errors.count(), 1, "{bot}");
        assert_eq!(through(&poe), (1, 0), "{bot}: retried after the client had received bytes");
        // the connection stays open
        assert_eq!(wire.ask(&chat(&chat_body("demo-native", "and on"))).status, 200, "{bot}");
        let whole = server.chat(&chat_body(bot, "x"));
        assert_eq!((whole.status, whole.error("code").as_str()), (502, "upstream_error"), "{bot}");
        server.wait_for_line(&format!("model=\"{bot}\" route=native status=200"));
    }
}

#[test]
fn a_client_disconnect_cancels_the_call_to_poe() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    for bot in
        ["demo-native-stall-headers", "demo-native-stall", "demo-native-stall-late", "demo-native-story"]
    {
        for stream in [true, false] {
            let mut body = chat_body(bot, "x");
            body["stream"] = stream.into();
            let mut wire = server.wire();
            wire.send(chat(&body));
            eventually(PATIENCE, "Poe is asked", || (poe.open() == 1).then_some(()));
            wire.leave();
            eventually(SOON, "the call to Poe is cancelled", || (poe.open() == 0).then_some(()));
        }
    }
    assert_eq!(through(&poe), (8, 0));
}

#[test]
fn silence_is_filled_and_ends_in_time() {
    let poe = Poe::start();
    let limits = ["--upstream-idle-timeout-seconds", "3", "--upstream-first-byte-timeout-seconds", "3"];
    let server = server(&poe, "native", &[&limits[..], &["--keep-alive-seconds", "1"]].concat());
    std::thread::scope(|scope| {
        for (bot, said) in [
            ("demo-native-stall-headers", ""),
            ("demo-native-stall", ""),
            ("demo-native-stall-late", "This is"),
        ] {
            let server = &server;
            scope.spawn(move || {
                let (answer, took) = timed(|| server.chat(&streamed(bot, "x")));
                let body = answer.text();
                assert!(body.contains(": keep-alive\n") && body.contains(said), "{bot}: {body}");
                assert!(!body.contains("keep-alive\n\n"), "an empty event to some readers: {bot}: {body}");
                assert!(body.contains("\"code\":\"upstream_timeout\""), "{bot}: {body}");
                assert!(!body.contains("[DONE]") && answer.ending == Ending::Framed, "{bot}: {body}");
                assert!(took >= Duration::from_secs(3) && took < PATIENCE, "{bot}: {took:?}");
            });
        }
    });
}

#[test]
fn rate_limit_and_keys_apply_to_native_endpoints() {
    let poe = Poe::start();
    let mut program = binary();
    program.envs([("POE_API_KEY", SECRET), ("PROXY_API_KEYS", "alpha,beta")]);
    let server = TestServer::start(
        program,
        &[
            "--poe-base-url",
            &poe.at.base_url,
            "--poe-route",
            "auto",
            "--rate-limit-ms",
            "60000",
            "--rate-limit-max-wait-ms",
            "0",
            "--log-level",
            "debug",
        ],
    );
    let body = chat_body("demo-native", "hi").to_string();
    let ask = |key: &str| server.ask(&post(CHAT, &[&format!("Authorization: Bearer {key}")], &body));
    assert_eq!((ask("gamma").status, poe.endpoints().len()), (401, 0));
    assert_eq!((ask("alpha").status, poe.endpoints().len()), (200, 1));
    let limited = ask("beta");
    assert_eq!((limited.status, poe.endpoints().len()), (429, 1));
    assert!(limited.error("message").contains("RATE_LIMIT_MS"));
    assert!(!server.output().contains(SECRET), "a key was logged");
}

#[test]
fn a_key_rejected_by_poe_is_rejected_by_the_server() {
    let poe = Poe::start();
    let server = server(&poe, "auto", &[]);
    for (key, status) in [("wrong-key", 401), ("poor-key", 402), ("slow-down", 429)] {
        let refused: Answer = server.ask(&post(
            CHAT,
            &[&format!("x-api-key: {key}")],
            &chat_body("demo-native", "x").to_string(),
        ));
        assert_eq!(refused.status, status);
        assert_eq!(poe.queries(), 0, "{key}: the bot protocol was used too");
    }
    assert!(!server.output().contains("wrong-key"));
}

#[test]
fn each_model_has_its_own_route() {
    let poe = Poe::start();
    let yaml = "enable: true\nmodels:\n  demo-native: {route: auto}\n  demo-gpt: {route: bot}\n";
    let dir = Dir::with("routes", yaml);
    let server = server(&poe, "native", &["--config-dir", dir.path()]);
    server.chat(&chat_body("demo-native", "x"));
    assert_eq!(through(&poe), (1, 0));
    server.chat(&chat_body("demo-gpt", "x"));
    assert_eq!(through(&poe), (1, 1));
    server.chat(&chat_body("demo-gemini", "x"));
    assert_eq!(through(&poe), (2, 1));
}

#[test]
fn an_invalid_route_is_rejected_by_name() {
    let dir = Dir::with("wrong", "enable: true\nmodels:\n  demo-native:\n    route: sideways\n");
    let checked = run(&["check", "--config-dir", dir.path()], &[]);
    let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert_eq!(checked.status.code(), Some(1), "{said}");
    for words in ["line 4", "route", "`native`"] {
        assert!(said.contains(words), "{said}");
    }
    let refused = run(&[], &[("POE_ROUTE", "sideways")]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("POE_ROUTE") && said.contains("bot, native or auto"), "{said}");
}

const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";

/// The same request to `bot` at each endpoint, in bytes that no serializer would write.
fn questions(bot: &str, words: &str, stream: bool) -> [(&'static str, String); 3] {
    [
        (
            CHAT,
            format!(
                "{{ \"messages\":[{{\"role\":\"user\",\"content\":\"{words}\"}}],\t\"model\":\"{bot}\", \"stream\": {stream} }}"
            ),
        ),
        (
            RESPONSES,
            format!(
                "{{ \"input\" :[{{\"role\":\"user\",\"content\":\"{words}\"}}],\n\"model\":\"{bot}\",\"store\":false, \"stream\": {stream} }}"
            ),
        ),
        (
            MESSAGES,
            format!(
                "{{\"max_tokens\":  999, \"messages\":[{{\"role\":\"user\",\"content\":[{{\"type\":\"text\",\"text\":\"{words}\",\"cache_control\":{{\"type\":\"ephemeral\"}}}}]}}],\"model\":\"{bot}\", \"stream\": {stream} }}"
            ),
        ),
    ]
}

#[test]
fn every_native_endpoint_passes_request_and_answer_unchanged() {
    let poe = Poe::start();
    let server = server(&poe, "auto", &[]);
    let mut wire = server.wire();
    let mut passages = 0;
    for stream in [false, true] {
        for (path, body) in questions("demo-native", "gr\\u00fc\\u00DFe", stream) {
            for _ in 0..2 {
                let answer = wire.ask(&raw(path, &body));
                let (came, left) = passage(&poe);
                assert_eq!((answer.status, came), (200, body.clone()), "{path}: {}", answer.text());
                assert_eq!(answer.text(), left, "{path}");
                assert!(left.contains("grü"), "{path}: {left}");
                passages += 1;
            }
        }
    }
    assert_eq!(through(&poe), (passages, 0));
    let last = poe.endpoints().pop().expect("a passage");
    assert_eq!(
        (&last["door"], &last["headers"]["anthropic-version"]),
        (&json!(MESSAGES), &json!("2023-06-01"))
    );
}

#[test]
fn every_native_endpoint_maps_the_clients_model_name() {
    let poe = Poe::start();
    let dir = Dir::with("all-names", "enable: true\nmodels: {demo-native: {mapping: mine, route: native}}\n");
    let server = server(&poe, "bot", &["--config-dir", dir.path()]);
    for stream in [false, true] {
        for (path, body) in questions("mine", "hi", stream) {
            let answer = server.ask(&raw(path, &body));
            let (came, left) = passage(&poe);
            assert_eq!((answer.status, came), (200, body.replace("mine", "demo-native")), "{path}");
            let named = |name: &str| format!("\"model\":\"{name}\"");
            let mut expected = left.clone();
            for name in ["demo-native", "demo-native-2026-03-05", "demo-native-20250514"] {
                expected = expected.replace(&named(name), &named("mine"));
            }
            assert_ne!(expected, left, "{path}");
            assert_eq!(answer.text(), expected, "{path}");
        }
    }
}

#[test]
fn every_native_endpoint_logs_its_usage() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    for place in 0..3 {
        for stream in [false, true] {
            let words = format!("{place} {stream} {}", "again and ".repeat(600));
            let (path, mut body) = questions("demo-native", &words, stream)[place].clone();
            if path == CHAT && stream {
                body = body.replace(" }", ",\"stream_options\":{\"include_usage\":true} }");
            }
            for _ in 0..2 {
                assert_eq!(server.ask(&raw(path, &body)).status, 200, "{path}");
            }
            // the demo counts four bytes per token, and recognizes the second request by the first
            let (prompt, completion, cached) =
                (body.len().div_ceil(4), words.len().div_ceil(4), body.len() / 4);
            let line = server.wait_for_line(&format!(
                "prompt_tokens={prompt} completion_tokens={completion} cached_tokens={cached}"
            ));
            assert!(line.contains(path) && line.contains("route=native"), "{line}");
        }
    }
}

#[test]
fn every_dialect_falls_back_and_caches_the_result() {
    let poe = Poe::start();
    let server = server(&poe, "auto", &[]);
    for (path, body) in questions("demo-native-unknown", "hi", false) {
        poe.reset();
        let first = server.ask(&raw(path, &body));
        assert_eq!(first.status, 200, "{path}: {}", first.text());
        assert_eq!(through(&poe), (1, 1), "{path}");
        assert_eq!(server.ask(&raw(path, &body)).status, 200, "{path}");
        // Anthropic's endpoint fails with 500, and may have failed for another reason
        assert_eq!(through(&poe), (if path == MESSAGES { 2 } else { 1 }, 2), "{path}");
    }
}

#[test]
fn every_dialect_reports_an_interrupted_stream_in_its_format() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    for bot in ["demo-native-broken", "demo-native-truncated"] {
        for (path, body) in questions(bot, "hi", true) {
            let answer = server.ask(&raw(path, &body));
            let text = answer.text();
            assert_eq!((answer.status, answer.ending), (200, Ending::Framed), "{path}");
            let last = text.trim_end().rsplit("\n\n").next().expect("an event");
            let (name, data) = match last.split_once('\n') {
                Some((name, data)) => (name, data),
                None => ("", last),
            };
            let ends =
                [(CHAT, ""), (RESPONSES, "event: response.failed")].into_iter().find(|(of, _)| *of == path);
            assert_eq!(name, ends.map_or("event: error", |(_, end)| end), "{path}: {last}");
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
            let failed = if path == RESPONSES { &data["response"] } else { &data };
            let message = &failed["error"]["message"];
            assert!(message.is_string(), "{path}: {data}");
            for end in ["[DONE]", "message_stop", "response.completed"] {
                assert!(!text.contains(end), "{path}: {text}");
            }
            assert_eq!(
                text.matches("response.created").count(),
                if path == RESPONSES { 2 } else { 0 },
                "one event, named twice"
            );
        }
    }
}

#[test]
fn every_dialect_returns_errors_in_its_format() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    let kind = |answer: &Answer| answer.error("type");
    let (limit, quota, busy) = ("rate_limit_exceeded", "insufficient_quota", "overloaded_error");
    let refusals = [
        ("demo-native-402", 402, quota, quota, "billing_error", "You have used up your points"),
        ("demo-native-429", 429, "rate_limit_error", limit, "rate_limit_error", "Too many requests"),
        ("demo-native-503", 503, busy, "overloaded", busy, "Poe is not available"),
    ];
    for (bot, status, openais, code, anthropics, words) in refusals {
        for stream in [false, true] {
            for (path, body) in questions(bot, "hi", stream) {
                let answer = server.ask(&raw(path, &body));
                let said = answer.json();
                let status = if path == MESSAGES && status == 503 { 529 } else { status };
                assert_eq!(answer.status, status, "{path}: {said}");
                match path {
                    MESSAGES => assert_eq!(
                        (&said["type"], kind(&answer).as_str(), &said["error"]["code"]),
                        (&json!("error"), anthropics, &Value::Null)
                    ),
                    _ => assert_eq!(
                        (&said["type"], kind(&answer).as_str(), &said["error"]["code"]),
                        (&Value::Null, openais, &json!(code))
                    ),
                }
                let message = answer.error("message");
                assert!(message.starts_with(words), "{path}: {said}");
                // the sentence from which Codex parses the delay
                let waits = message.ends_with("Please try again in 7s.");
                assert_eq!(waits, path == RESPONSES && status == 429, "{path}: {said}");
                assert_eq!(answer.header("retry-after"), (status == 429).then_some("7"), "{path}");
            }
        }
    }
    for (path, body) in questions("demo-echo", "hi", true) {
        let answer = server.ask(&raw(path, &body));
        assert_eq!((answer.status, kind(&answer).as_str()), (400, "invalid_request_error"), "{path}");
        assert!(answer.error("message").contains(path), "{}", answer.text());
    }
    // in the shape of the dialect it goes through unchanged
    let body = questions("demo-native-picky", "hi", false)[2].1.replace("{\"max", "{\"temperature\":1,\"max");
    let answer = server.ask(&raw(MESSAGES, &body));
    assert_eq!(
        (answer.status, answer.error("message").as_str()),
        (400, "temperature: Extra inputs are not permitted")
    );
}

#[test]
fn silent_native_endpoints_send_keep_alives_in_their_dialect() {
    let poe = Poe::start();
    let limits = ["--upstream-idle-timeout-seconds", "3", "--upstream-first-byte-timeout-seconds", "3"];
    let server = server(&poe, "native", &[&limits[..], &["--keep-alive-seconds", "1"]].concat());
    std::thread::scope(|scope| {
        for (path, body) in questions("demo-native-stall-late", "hi", true) {
            let server = &server;
            scope.spawn(move || {
                let text = server.ask(&raw(path, &body)).text();
                let (after, sign) = match path {
                    CHAT => ("This is", ": keep-alive\n"),
                    RESPONSES => ("This is", "event: response.in_progress\n"),
                    _ => ("This is", "event: ping\n"),
                };
                let (before, rest) = text.split_once(after).expect("a beginning");
                if path == RESPONSES {
                    let first = before.lines().find(|line| line.starts_with("event:"));
                    assert_eq!(first, Some("event: response.created"), "{text}");
                }
                assert!(rest.contains(sign), "{path}: {text}");
            });
        }
    });
}

#[test]
fn headers_of_claude_code_reach_the_native_endpoint() {
    let poe = Poe::start();
    let mut program = binary();
    program.envs([("POE_API_KEY", SECRET), ("PROXY_API_KEYS", "alpha")]);
    let server = TestServer::start(program, &["--poe-base-url", &poe.at.base_url, "--poe-route", "auto"]);
    let headers = [
        "x-api-key: alpha",
        "anthropic-version: 2024-01-01",
        "anthropic-beta: one",
        "anthropic-beta: two",
        "poe-feature: chat",
    ];
    let body = questions("demo-native", "hi", true)[2].1.clone();
    let answer = server.ask(&post("/v1/messages?beta=true", &headers, &body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let came = &poe.endpoints()[0];
    assert_eq!(
        (came["headers"]["anthropic-version"].as_str(), came["headers"]["anthropic-beta"].as_str()),
        (Some("2024-01-01"), Some("one,two"))
    );
    assert_eq!(came["headers"]["poe-feature"], "chat");
    assert_eq!(came["body"], body);
}

/// Headers added by a proxy or a browser describe the client and must not reach Poe.
#[test]
fn headers_not_meant_for_poe_are_removed() {
    let poe = Poe::start();
    let server = server(&poe, "auto", &[]);
    let strange = [
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Host: mine.example",
        "X-Real-IP: 192.0.2.7",
        "Forwarded: for=192.0.2.7",
        "Via: 1.1 mine.example",
        "Cookie: session=mine",
        "Origin: https://mine.example",
        "Referer: https://mine.example/page",
        "User-Agent: mine/1",
        "X-Stainless-Lang: mine",
        "OpenAI-Organization: mine",
    ];
    let headers = [&["Authorization: Bearer some-key"], &strange[..]].concat();
    for bot in ["demo-native", "demo-echo"] {
        for (path, body) in questions(bot, "hi", false) {
            poe.reset();
            assert_eq!(server.ask(&post(path, &headers, &body)).status, 200, "{bot} {path}");
            let came = poe.endpoints().pop().unwrap_or_else(|| poe.last_record())["headers"].clone();
            assert!(came["content-length"].is_string(), "all headers are recorded: {came}");
            for line in strange.iter().filter(|line| !line.starts_with("User-Agent")) {
                let name = line.split(':').next().expect("a name").to_lowercase();
                assert_eq!(came.get(&name), None, "{bot} {path}");
            }
            assert!(!came.to_string().contains("mine") && !came.to_string().contains("192.0.2"), "{came}");
        }
    }
}

#[test]
fn a_response_of_a_native_endpoint_can_be_continued() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    for stream in [false, true] {
        poe.reset();
        let first = json!({"model": "demo-native", "input": "first", "stream": stream});
        let answer = server.ask(&raw(RESPONSES, &first.to_string())).text();
        let id = answer
            .split("\"id\":\"")
            .find_map(|rest| rest.split('"').next().filter(|id| id.starts_with("resp_")));
        let id = id.expect("an id").to_owned();
        assert_eq!(through(&poe), (1, 0));
        let kept = server.ask(&common::get(&format!("{RESPONSES}/{id}")));
        assert_eq!((kept.status, kept.json()["id"].as_str()), (200, Some(id.as_str())));
        // Poe keeps none, so the conversation is put together here
        let next =
            json!({"model": "demo-native", "input": "second", "previous_response_id": id, "stream": stream});
        let answer = server.ask(&raw(RESPONSES, &next.to_string()));
        let (came, left) = passage(&poe);
        assert_eq!((answer.status, through(&poe)), (200, (2, 0)), "{}", answer.text());
        let sent: Value = serde_json::from_str(&came).expect("JSON");
        let said = |at: usize| sent["input"][at]["content"][0]["text"].clone();
        assert_eq!((said(0), said(1)), (json!("first"), json!("first")));
        assert_eq!(sent["input"][2], json!({"role": "user", "content": "second"}));
        assert_eq!(
            (&sent["previous_response_id"], sent["input"].as_array().map(Vec::len)),
            (&Value::Null, Some(3))
        );
        assert!(sent["input"].as_array().expect("items").iter().all(|item| item["id"].is_null()), "{sent}");
        // the endpoint knows nothing of what is kept here
        let echoed = left
            .replace("\"store\":false", "\"store\":true")
            .replace("\"previous_response_id\":null", &format!("\"previous_response_id\":\"{id}\""));
        assert_eq!(answer.text(), echoed);
        let third =
            echoed.rsplit("\"id\":\"resp_").next().and_then(|rest| rest.split('"').next()).expect("an id");
        let third = json!({"model": "demo-native", "input": "third", "previous_response_id": format!("resp_{third}")});
        assert_eq!(server.ask(&raw(RESPONSES, &third.to_string())).status, 200);
        let sent: Value = serde_json::from_str(&passage(&poe).0).expect("JSON");
        assert_eq!((sent["input"].as_array().map(Vec::len), through(&poe)), (Some(5), (3, 0)), "{sent}");
    }
}

#[test]
fn what_a_response_says_of_its_storage_is_what_the_client_asked_for() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    for (store, expected) in [(json!(true), true), (json!(false), false), (Value::Null, true)] {
        for stream in [false, true] {
            let body = json!({"model": "demo-native", "input": "x", "store": store, "stream": stream});
            let text = server.ask(&raw(RESPONSES, &body.to_string())).text();
            assert!(text.contains(&format!("\"store\":{expected}")), "{store}: {text}");
            assert!(!text.contains(&format!("\"store\":{}", !expected)), "{store}: {text}");
            let sent: Value = serde_json::from_str(&passage(&poe).0).expect("JSON");
            assert_eq!(sent["store"], store);
        }
    }
}

#[test]
fn instructions_reach_the_model_although_the_native_endpoint_ignores_them() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    let body = r#"{"model":"demo-native","instructions":"be \u00e9","input":"hi","client_metadata":{},"store":false}"#;
    assert_eq!(server.ask(&raw(RESPONSES, body)).status, 200);
    let sent = r#"{"model":"demo-native","input":[{"role":"system","content":"be \u00e9"},{"role":"user","content":"hi"}],"store":false}"#;
    assert_eq!(passage(&poe).0, sent);
}

/// A request of Codex 0.169, with its own tool types.
const CODEX: &str = r#"{"model":"BOT","instructions":"You are Codex.","input":[{"type":"message","role":"developer","content":[{"type":"input_text","text":"rules"}]},{"type":"message","role":"user","content":[{"type":"input_text","text":"hello"}]}],"tools":[{"type":"function","name":"exec_command","description":"Runs it.","strict":false,"parameters":{"type":"object","properties":{"cmd":{"type":"string"}},"required":["cmd"],"additionalProperties":false}},{"type":"custom","name":"apply_patch","description":"Edits.","format":{"type":"grammar","syntax":"lark","definition":"start: /.+/"}},{"type":"web_search","external_web_access":false},{"type":"namespace","name":"mcp__x","description":"More.","tools":[{"type":"function","name":"y","strict":false,"parameters":{"type":"object","properties":{}}}]},{"type":"tool_search"}],"tool_choice":"auto","parallel_tool_calls":true,"reasoning":{"effort":"medium","summary":"auto"},"store":false,"stream":true,"include":["reasoning.encrypted_content"],"prompt_cache_key":"0199-ab","client_metadata":{"x-codex-installation-id":"7"},"text":{"verbosity":"low"}}"#;

#[test]
fn codex_uses_the_native_endpoint_although_it_rejects_a_hint() {
    for route in ["native", "auto"] {
        let poe = Poe::start();
        let server = server(&poe, route, &[]);
        for (bot, first) in [("demo-native", 1), ("demo-native-picky", 2)] {
            let body = CODEX.replace("BOT", bot);
            let instructed = r#""input":[{"role":"system","content":"You are Codex."},"#;
            let mut sent = body
                .replace(r#""instructions":"You are Codex.","#, "")
                .replace(r#""input":["#, instructed)
                .replace(r#","client_metadata":{"x-codex-installation-id":"7"}"#, "");
            if first == 2 {
                sent = sent.replace(r#","prompt_cache_key":"0199-ab""#, "");
            }
            poe.reset();
            for passages in [first, first + 1, first + 2] {
                let answer = server.ask(&raw(RESPONSES, &body));
                let text = answer.text();
                assert_eq!(answer.status, 200, "{route} {bot}: {text}");
                assert!(text.contains("event: response.completed"), "{route} {bot}: {text}");
                let (came, left) = passage(&poe);
                assert_eq!((came.as_str(), left.as_str()), (sent.as_str(), text.as_str()), "{route} {bot}");
                assert_eq!(through(&poe), (passages, 0), "{route} {bot}: a refusal is cached");
            }
        }
    }
}

#[test]
fn hints_unsupported_by_messages_are_removed() {
    for route in ["native", "auto"] {
        let poe = Poe::start();
        let server = server(&poe, route, &[]);
        let (_, sent) = questions("demo-native-picky", "hi", true)[2].clone();
        let hints = r#"{"diagnostics":{"a":1},"of_tomorrow":true,"metadata":{"user_id":"me"},"max"#;
        let body = sent.replace("{\"max", hints);
        for passages in [4, 5] {
            let answer = server.ask(&raw(MESSAGES, &body));
            assert_eq!(answer.status, 200, "{route}: {}", answer.text());
            assert_eq!(passage(&poe).0, sent, "{route}");
            assert_eq!(through(&poe), (passages, 0), "{route}");
        }
    }
}

#[test]
fn hints_supported_by_responses_are_sent() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    let body = r#"{"model":"demo-native","input":"hi","store":false,"prompt_cache_key":"k","prompt_cache_retention":"24h","safety_identifier":"s","user":"me","service_tier":"default","metadata":{"a":"b"},"max_tool_calls":3}"#;
    let answer = server.ask(&raw(RESPONSES, body));
    assert_eq!((answer.status, passage(&poe).0.as_str()), (200, body), "{}", answer.text());
    assert_eq!(through(&poe), (1, 0));
}

#[test]
fn the_first_event_of_responses_comes_from_the_native_endpoint() {
    let poe = Poe::start();
    let limits = ["--upstream-idle-timeout-seconds", "3", "--upstream-first-byte-timeout-seconds", "3"];
    let server = server(&poe, "native", &[&limits[..], &["--keep-alive-seconds", "1"]].concat());
    let body = questions("demo-native-stall-headers", "hi", true)[1].1.clone();
    let text = server.ask(&raw(RESPONSES, &body)).text();
    let (signs, rest) = text.split_once("event:").expect("an end");
    // OpenAI's libraries break at an event in this place
    assert!(signs.contains(": keep-alive\n") && !signs.contains("data:"), "{text}");
    assert!(!signs.contains("\n\n"), "an empty event to some readers: {text}");
    assert!(rest.contains("upstream_timeout") || rest.contains("server_error"), "{text}");
}

#[test]
fn the_operator_can_stop_a_request_to_a_native_endpoint() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    for (path, body) in questions("demo-native-story", "x", true) {
        poe.reset();
        let id = format!("stop-{}", path.len());
        let headers = ["Authorization: Bearer some-key", &format!("X-Request-Id: {id}")];
        let request = post(path, &headers, &body);
        let operator = ["Authorization: Basic YWRtaW46MTIzNDU2"];
        let stop = || {
            server.ask(&post("/api/admin/activity/stop", &operator, &json!({"id": id}).to_string())).json()
        };
        std::thread::scope(|scope| {
            let client = scope.spawn(|| server.ask(&request));
            let activity =
                common::get("/api/admin/activity").replace("Bearer some-key", "Basic YWRtaW46MTIzNDU2");
            let has_begun = || {
                let report = server.ask(&activity).json();
                let running = report["running"].as_array().expect("a list").clone();
                running.iter().any(|one| one["id"] == id.as_str() && one["first_byte_ms"].is_u64())
            };
            eventually(PATIENCE, "the story begins", || has_begun().then_some(()));
            assert_eq!(poe.open(), 1, "{path}");
            let (answer, took) = timed(|| {
                assert_eq!(stop(), json!({"stopped": true}), "{path}");
                client.join().expect("an answer")
            });
            let text = answer.text();
            assert!(took < SOON, "{path}: {took:?}");
            assert_eq!((answer.status, answer.ending), (200, Ending::Framed), "{path}");
            let last = text.trim_end().rsplit("\n\n").next().expect("an event");
            assert!(last.contains("error") && last.contains("operator"), "{path}: {last}");
            for end in ["[DONE]", "message_stop", "response.completed"] {
                assert!(!text.contains(end), "{path}: {text}");
            }
        });
        eventually(SOON, "the call to Poe is cancelled", || (poe.open() == 0).then_some(()));
        assert_eq!(stop(), json!({"stopped": false}), "{path}");
        assert_eq!(through(&poe), (1, 0), "{path}");
    }
}

#[test]
fn one_clients_value_does_not_reroute_other_requests() {
    let poe = Poe::start();
    let server = server(&poe, "auto", &[]);
    for (path, body) in questions("demo-native-picky", "hi", false) {
        poe.reset();
        let with = |top_p: &str| body.replacen('{', &format!("{{\"top_p\":{top_p},"), 1);
        for (top_p, passages) in [("0", (1, 1)), ("0.5", (2, 1)), ("0", (3, 2)), ("0.5", (4, 2))] {
            let answer = server.ask(&raw(path, &with(top_p)));
            assert_eq!((answer.status, through(&poe)), (200, passages), "{path} {top_p}: {}", answer.text());
        }
    }
}

#[test]
fn items_created_by_this_server_are_not_sent_to_a_native_endpoint() {
    let poe = Poe::start();
    for route in ["auto", "native"] {
        let server = server(&poe, route, &[]);
        // a server of its own: bots without endpoints are asked by the bot protocol
        let bots = TestServer::before(&poe, &[]);
        let rendered = |server: &TestServer, path: &str, body: &Value| {
            let answer = server.ask(&raw(path, &body.to_string()));
            assert_eq!(answer.status, 200, "{route} {path}: {}", answer.text());
            answer.json()
        };
        let include = json!(["reasoning.encrypted_content"]);
        let thought = rendered(
            &bots,
            RESPONSES,
            &json!({"model": "demo-think", "input": "x", "include": include}),
        )["output"]
            .clone();
        assert_eq!(thought[0]["type"], "reasoning");
        let compact = raw("/v1/responses/compact", &json!({"model": "demo-echo", "input": "x"}).to_string());
        let compaction = bots.ask(&compact).json()["output"][1].clone();
        assert_eq!(compaction["type"], "compaction");
        let user = json!({"role": "user", "content": "go on"});
        let ask = |input: Value| {
            poe.reset();
            rendered(&server, RESPONSES, &json!({"model": "demo-native", "store": false, "input": input}));
            through(&poe)
        };
        assert_eq!(ask(json!([compaction, user])), (0, 1), "{route}");
        assert!(poe.last_query().to_string().contains("Summary of the conversation"), "{route}");
        if route == "auto" {
            assert_eq!(ask(json!([thought[0], thought[1], user])), (0, 1));
        } else {
            assert_eq!(ask(json!([thought[0], thought[1], user])), (1, 0));
            let sent = json!({"model": "demo-native", "store": false, "input": [thought[1], user]});
            assert_eq!(passage(&poe).0, sent.to_string());
        }
        let thinking = json!({"type": "enabled", "budget_tokens": 1024});
        let body =
            json!({"model": "demo-think", "max_tokens": 2000, "thinking": thinking, "messages": [user]});
        let content = rendered(&bots, MESSAGES, &body)["content"].clone();
        assert_eq!(content[0]["type"], "thinking");
        let next = |content: Value| json!({"model": "demo-native", "max_tokens": 2000, "messages": [user, {"role": "assistant", "content": content}, user]});
        poe.reset();
        rendered(&server, MESSAGES, &next(content.clone()));
        if route == "auto" {
            assert_eq!(through(&poe), (0, 1));
        } else {
            assert_eq!(passage(&poe).0, next(json!([content[1]])).to_string());
        }
        // an endpoint's own marks go back to it, byte by byte
        poe.reset();
        let endpoints_own =
            next(json!([{"type": "thinking", "thinking": "hm", "signature": "EqQB"}, content[1]]));
        rendered(&server, MESSAGES, &endpoints_own);
        assert_eq!((through(&poe), passage(&poe).0), ((1, 0), endpoints_own.to_string()), "{route}");
    }
}

#[test]
fn an_item_of_a_native_endpoint_is_found_by_reference() {
    let poe = Poe::start();
    let server = server(&poe, "native", &[]);
    let ask = |body: &Value| server.ask(&raw(RESPONSES, &body.to_string())).json();
    let first = ask(&json!({"model": "demo-native", "input": "first"}));
    let listed = server
        .ask(&common::get(&format!("{RESPONSES}/{}/input_items", first["id"].as_str().expect("an id"))));
    let refer = |item: &Value| json!({"type": "item_reference", "id": item["id"]});
    let input = json!([refer(&listed.json()["data"][0]), refer(&first["output"][0]), {"role": "user", "content": "second"}]);
    let next = ask(&json!({"model": "demo-native", "input": input}));
    assert_eq!((&next["status"], through(&poe)), (&json!("completed"), (1, 1)), "{next}");
    let turns = poe.last_query()["query"].clone();
    let said: Vec<_> = turns.as_array().expect("turns").iter().map(|turn| turn["content"].clone()).collect();
    assert_eq!(said, ["first", "first", "second"]);
}
