//! Anthropic's Messages against the real server: paths, keys, errors and stop reasons.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;
#[path = "common/messages.rs"]
mod messages;
#[path = "common/scripted_poe.rs"]
mod scripted_poe;
#[path = "common/summary.rs"]
#[expect(dead_code, reason = "shared with the stories of other dialects")]
mod summary;

use common::{Answer, TestServer, binary, get, post};
use serde_json::{Value, json};

const KEY: &str = "x-api-key: some-key";
const VERSION: &str = "anthropic-version: 2023-06-01";

fn chat_body(bot: &str, words: &str) -> Value {
    json!({"model": bot, "max_tokens": 1000, "messages": [{"role": "user", "content": words}]})
}

fn streamed(bot: &str, words: &str) -> Value {
    let mut body = chat_body(bot, words);
    body["stream"] = true.into();
    body
}

fn ask(server: &TestServer, body: &Value) -> Answer {
    server.ask(&post("/v1/messages", &[KEY, VERSION], &body.to_string()))
}

/// The error that an answer is: its type and message.
fn fault(answer: &Answer) -> (String, String) {
    let body = answer.json();
    assert_eq!(body["type"], "error", "{body}");
    let part = |name: &str| body["error"][name].as_str().expect("text").to_owned();
    (part("type"), part("message"))
}

#[test]
fn every_path_and_every_way_to_show_a_key() {
    let server = TestServer::demo(&[]);
    let body = chat_body("demo-echo", "hi").to_string();
    for path in
        ["/v1/messages", "/v1/messages?beta=true", "/anthropic/v1/messages", "/v1/v1/messages/", "/messages"]
    {
        let answer = server.ask(&post(path, &[KEY], &body));
        assert_eq!((answer.status, messages::summary(&answer.text()).text.as_str()), (200, "hi"), "{path}");
    }
    let bearer = server.ask(&post("/v1/messages", &["Authorization: Bearer some-key"], &body));
    assert_eq!(bearer.json()["model"], "demo-echo");
    let none = server.ask(&post("/v1/messages", &[], &body));
    assert_eq!((none.status, fault(&none).0.as_str()), (401, "authentication_error"));
}

#[test]
fn side_requests_of_claude_code_need_no_query_to_poe() {
    // with PROXY_API_KEYS set: none of these requests needs a key
    let server = TestServer::demo(&["--poe-api-key", "demo", "--proxy-api-keys", "mine"]);
    for path in ["/", "/api/hello", "/anthropic/api/hello"] {
        for method in ["HEAD", "GET"] {
            let answer = server.ask(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            assert_eq!(answer.status, 200, "{method} {path}");
            assert_eq!(answer.body.is_empty(), method == "HEAD", "{method} {path}");
        }
    }
    let events = server.ask(&post("/api/event_logging/batch", &[], &json!({"events": [{}]}).to_string()));
    assert_eq!((events.status, events.json()), (200, json!({})));
}

#[test]
fn errors_have_anthropics_format_for_its_clients() {
    let server = TestServer::demo(&[]);
    let rows = [
        (chat_body("there-is-no-such-bot", "x"), 404, "not_found_error"),
        (chat_body("demo-error-http-400", "x"), 400, "invalid_request_error"),
        (chat_body("demo-error-http-401", "x"), 401, "authentication_error"),
        (chat_body("demo-error-http-402", "x"), 402, "billing_error"),
        (chat_body("demo-error-http-403", "x"), 403, "permission_error"),
        (chat_body("demo-error-http-429", "x"), 429, "rate_limit_error"),
        (chat_body("demo-error-http-500", "x"), 502, "api_error"),
        (streamed("demo-error-insufficient_fund", "x"), 402, "billing_error"),
        (
            json!({"model": "demo-echo", "messages": [{"role": "user", "content": "x"}]}),
            400,
            "invalid_request_error",
        ),
    ];
    for (body, status, kind) in rows {
        let answer = ask(&server, &body);
        assert_eq!((answer.status, fault(&answer).0.as_str()), (status, kind), "{body}");
    }
    let missing =
        ask(&server, &json!({"model": "demo-echo", "messages": [{"role": "user", "content": "x"}]}));
    assert_eq!(fault(&missing).1, "max_tokens: Field required");
    let limited = ask(&server, &chat_body("demo-error-http-429", "x"));
    assert_eq!(limited.header("retry-after"), Some("7"));
    let method = server.ask(&get("/v1/messages"));
    assert_eq!((method.status, fault(&method).0.as_str()), (405, "invalid_request_error"));
    for path in ["/v1/models/there-is-no-such-bot", "/v1/nowhere"] {
        let request = get(path).replace("\r\n\r\n", &format!("\r\n{VERSION}\r\n\r\n"));
        let answer = server.ask(&request);
        assert_eq!((answer.status, fault(&answer).0.as_str()), (404, "not_found_error"), "{path}");
        assert!(server.ask(&get(path)).json()["error"]["code"].is_string(), "OpenAI's without the header");
    }
}

#[test]
fn a_thread_is_refused_so_that_sdks_send_the_whole_conversation() {
    let server = TestServer::demo(&[]);
    let mut body = chat_body("demo-echo", "x");
    body["thread"] = json!({"type": "create"});
    let answer = ask(&server, &body);
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"]["details"]["error_code"], "thread_unsupported_request");
}

#[test]
fn a_too_long_conversation_error_gives_the_excess() {
    let models = json!({"data": [
        {"id": "Small", "context_length": 50}, {"id": "Huge", "context_length": 9_000_000}, {"id": "Unknown"}]});
    let error =
        json!({"allow_retry": false, "text": "message too long", "error_type": "user_message_too_long"});
    let body = format!("event: error\ndata: {error}\n\n");
    let poe = scripted_poe::Poe::start(models.to_string());
    poe.play(scripted_poe::Script {
        answers: vec![scripted_poe::Answer::stream(body.into_bytes())],
        ..scripted_poe::Script::default()
    });
    let server = TestServer::start(binary(), &["--poe-base-url", &poe.base_url]);
    let words = "word ".repeat(100);
    for (bot, start, end) in [
        ("Small", "prompt is too long: 1", " tokens > 50 maximum (message too long)"),
        ("Huge", "prompt is too long: 90000", " tokens > 9000000 maximum (message too long)"),
        ("Unknown", "prompt is too long: 1", " tokens (message too long)"),
    ] {
        for body in [chat_body(bot, &words), streamed(bot, &words)] {
            let answer = ask(&server, &body);
            let (kind, message) = fault(&answer);
            assert_eq!((answer.status, kind.as_str()), (400, "invalid_request_error"));
            assert!(message.starts_with(start) && message.ends_with(end), "{message}");
        }
    }
    let chat = json!({"model": "Small", "messages": [{"role": "user", "content": words}]});
    let chat = server.ask(&post("/v1/chat/completions", &[KEY], &chat.to_string()));
    assert_eq!(chat.error("message"), "message too long. This model's maximum context length is 50 tokens.");
}

/// A Poe with one model, whose answers are all `events`, and a server in front of it.
fn rendered(events: &str) -> (scripted_poe::Poe, TestServer) {
    let poe = scripted_poe::Poe::start(json!({"data": [{"id": "Small", "context_length": 50}]}).to_string());
    let answers = vec![scripted_poe::Answer::stream(events.as_bytes().to_vec())];
    poe.play(scripted_poe::Script { answers, ..scripted_poe::Script::default() });
    let server = TestServer::start(binary(), &["--poe-base-url", &poe.base_url]);
    (poe, server)
}

/// Claude Code parses these numbers: the first triggers compaction, the second a shorter answer.
#[test]
fn the_models_own_message_for_too_long_is_unchanged() {
    for words in [
        "prompt is too long: 215000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or \
         `max_tokens` and try again",
    ] {
        let event = format!("event: error\ndata: {}\n\n", json!({"allow_retry": false, "text": words}));
        let (poe, server) = rendered(&event);
        let refusal =
            json!({"error": {"code": 400, "type": "invalid_request_error", "message": words}}).to_string();
        let refusal = scripted_poe::Answer { head: "400".into(), body: refusal.into_bytes() };
        for answers in [vec![scripted_poe::Answer::stream(event.into_bytes())], vec![refusal]] {
            poe.play(scripted_poe::Script { answers, ..scripted_poe::Script::default() });
            for body in [chat_body("Small", "x"), streamed("Small", "x")] {
                let answer = ask(&server, &body);
                let expected = ("invalid_request_error".to_owned(), words.to_owned());
                assert_eq!((answer.status, fault(&answer)), (400, expected));
            }
        }
    }
}

/// The keep-alive that is due during the count of a long prompt was written through the writer that the count held.
#[test]
fn a_stream_begins_with_the_count_of_a_long_prompt() {
    let (_poe, server) = rendered("event: text\ndata: {\"text\": \"x\"}\n\nevent: done\ndata: {}\n\n");
    let answer = ask(&server, &streamed("bot", &"some words that are no others ".repeat(30_000)));
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    let start = text.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event");
    let start: Value = serde_json::from_str(start).expect("JSON");
    assert!(start["message"]["usage"]["input_tokens"].as_u64() > Some(100_000), "{start}");
    assert!(text.contains("message_stop"), "{text}");
}

#[test]
fn a_too_long_conversation_in_mid_answer_is_reported_once() {
    for said in [
        json!({"text": "prompt is too long: 215000 tokens > 200000 maximum"}),
        json!({"text": "prompt is too long"}),
        json!({"text": "message too long", "error_type": "user_message_too_long"}),
    ] {
        let (_poe, server) = rendered(&format!(
            "event: text\ndata: {{\"text\": \"It is \"}}\n\nevent: error\ndata: {said}\n\n"
        ));
        let answer = ask(&server, &streamed("Small", "x"));
        let text = answer.text();
        let summary = messages::summary(&text);
        assert_eq!(
            (answer.status, summary.finish.as_str(), summary.text.as_str()),
            (200, "error", "It is "),
            "{text}"
        );
        let last = summary::data(&text).0.pop().expect("an event");
        let message = last["error"]["message"].as_str().expect("words");
        assert!(message.starts_with("prompt is too long"), "{message}");
        assert_eq!(message.matches("prompt is too long").count(), 1, "{message}");
        assert_eq!(last["error"]["type"], "invalid_request_error");
    }
}

#[test]
fn empty_blocks_that_mark_the_cache_are_no_turns() {
    let (poe, server) = rendered("event: text\ndata: {\"text\": \"hi\"}\n\nevent: done\ndata: {}\n\n");
    let empty = || json!({"type": "text", "text": "", "cache_control": {"type": "ephemeral"}});
    let text = |text: &str| json!({"type": "text", "text": text});
    let mut body = chat_body("Small", "x");
    body["system"] = json!([text("Be brief."), empty()]);
    body["messages"] = json!([
        {"role": "user", "content": [empty(), text("one"), empty()]},
        {"role": "assistant", "content": [text("two"), empty()]},
        {"role": "user", "content": [text("three"), empty()]}]);
    let sent = || -> Vec<(String, String)> {
        let query = poe.asked().queries.pop().expect("a query")["body"]["query"].clone();
        let word = |turn: &Value, name: &str| turn[name].as_str().expect("text").to_owned();
        query
            .as_array()
            .expect("turns")
            .iter()
            .map(|turn| (word(turn, "role"), word(turn, "content")))
            .collect()
    };
    let turn = |role: &str, words: &str| (role.to_owned(), words.to_owned());
    let answer = ask(&server, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        sent(),
        [turn("system", "Be brief."), turn("user", "one"), turn("bot", "two"), turn("user", "three")]
    );
    body["system"] = json!([empty()]);
    body["messages"] =
        json!([{"role": "user", "content": [empty()]}, {"role": "user", "content": [text("go"), empty()]}]);
    let answer = ask(&server, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(sent(), [turn("user", "go")]);
}

#[test]
fn a_stream_that_fails_ends_with_an_error_event() {
    let server = TestServer::demo(&[]);
    for bot in ["demo-error-late", "demo-broken", "demo-truncated"] {
        let answer = ask(&server, &streamed(bot, "x"));
        assert_eq!(answer.status, 200);
        let summary = messages::summary(&answer.text());
        assert_eq!(summary.finish, "error", "{bot}");
        assert!(summary.text.starts_with("This"), "what was said stays said: {}", summary.text);
        assert!(!answer.text().contains("message_stop"), "{bot}");
    }
}

#[test]
fn silence_is_filled_with_pings() {
    let server = TestServer::demo(&["--keep-alive-seconds", "1"]);
    let answer = ask(&server, &streamed("demo-slow-start", "x"));
    let text = answer.text();
    let start = text.find("event: message_start").expect("a start");
    assert!(text[..start].matches("event: ping\ndata: {\"type\":\"ping\"}\n\n").count() >= 1, "{text}");
    messages::summary(&text[start..]);
}

#[test]
fn every_end_is_told() {
    let server = TestServer::demo(&[]);
    for stream in [false, true] {
        let end = |mut body: Value| {
            body["stream"] = stream.into();
            let answer = ask(&server, &body);
            messages::summary(&answer.text());
            let whole = serde_json::from_slice::<Value>(&answer.body).ok();
            let rendered = whole.or_else(|| {
                let frames = summary::data(&answer.text()).0;
                frames
                    .into_iter()
                    .find(|frame| frame["type"] == "message_delta")
                    .map(|end| end["delta"].clone())
            });
            let rendered = rendered.expect("an end");
            (rendered["stop_reason"].clone(), rendered["stop_sequence"].clone())
        };
        let mut body = chat_body("demo-stop", "go");
        body["stop_sequences"] = json!(["never", "seven"]);
        assert_eq!(end(body), (json!("stop_sequence"), json!("seven")));
        let mut body = chat_body("demo-story", "go");
        body["max_tokens"] = 5.into();
        assert_eq!(end(body), (json!("max_tokens"), Value::Null));
        assert_eq!(end(chat_body("demo-echo", "hi")), (json!("end_turn"), Value::Null));
        let mut body = chat_body("demo-tools", "city=Rome");
        body["tools"] = json!([{"name": "weather", "input_schema": {"type": "object",
            "properties": {"city": {"type": "string"}}, "required": ["city"]}}]);
        assert_eq!(end(body), (json!("tool_use"), Value::Null));
    }
}

#[test]
fn reasoning_is_sent_only_when_requested() {
    let server = TestServer::demo(&[]);
    for stream in [false, true] {
        let mut body = chat_body("demo-think", "x");
        body["stream"] = stream.into();
        let plain = messages::summary(&ask(&server, &body).text());
        assert!(plain.thinking.is_empty() && !plain.text.is_empty());
        body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
        let shown = messages::summary(&ask(&server, &body).text());
        assert!(!shown.thinking.is_empty());
        assert_eq!(shown.text, plain.text);
    }
}

#[test]
fn tokens_are_counted_without_a_query_to_poe() {
    let server = TestServer::demo(&[]);
    let count = |path: &str, body: &Value| {
        let answer = server.ask(&post(path, &[KEY, VERSION], &body.to_string()));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["input_tokens"].as_u64().expect("a number")
    };
    let path = "/v1/messages/count_tokens?beta=true";
    let mut body = json!({"model": "demo-echo", "messages": [{"role": "user", "content": "Hello, world"}]});
    let words = count(path, &body);
    assert_eq!(count("/anthropic/v1/messages/count_tokens", &body), words);
    assert!(words > 0);
    let answered = ask(&server, &chat_body("demo-echo", "Hello, world")).json();
    assert_eq!(answered["usage"]["input_tokens"], words, "an answer says the same");
    body["tools"] =
        json!([{"name": "weather", "description": "of a city", "input_schema": {"type": "object"}}]);
    let tools = count(path, &body);
    // this bot has no native tools: they are described in the prompt
    let mut asked = chat_body("demo-echo", "Hello, world");
    asked["tools"] = body["tools"].clone();
    assert_eq!(ask(&server, &asked).json()["usage"]["input_tokens"], tools, "an answer says the same");
    assert!(tools > words);
    body["messages"][0]["content"] = json!([
        {"type": "text", "text": "Hello, world"},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}]);
    assert!(count(path, &body) > tools + 1000);
    let empty = json!({"model": "demo-echo", "messages": [{"role": "user", "content": ""}]});
    assert!(count(path, &empty) > 0);
    let unkeyed = server.ask(&post("/v1/messages/count_tokens", &[], &empty.to_string()));
    assert_eq!((unkeyed.status, fault(&unkeyed).0.as_str()), (401, "authentication_error"));
    let wrong = server.ask(&post(path, &[KEY], "{}"));
    assert_eq!(fault(&wrong), ("invalid_request_error".into(), "model: Field required".into()));
}

#[test]
fn names_of_claude_code_reach_the_bots_of_poe() {
    let models = json!({"data": [
        {"id": "claude-sonnet-4.5"}, {"id": "claude-haiku-3.5"}, {"id": "claude-opus-4.1"}, {"id": "claude-haiku-4.5"}]});
    let poe = scripted_poe::Poe::start(models.to_string());
    let server = TestServer::start(binary(), &["--poe-base-url", &poe.base_url]);
    let rows = [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4.5"),
        ("claude-3-5-haiku-latest", "claude-haiku-3.5"),
        ("claude-opus-4-1[1m]", "claude-opus-4.1"),
        ("claude-haiku-4-5", "claude-haiku-4.5"),
        ("claude-haiku-4-5@20251001", "claude-haiku-4.5"),
        ("anthropic/claude-sonnet-4-5", "claude-sonnet-4.5"),
    ];
    for (name, bot) in rows {
        let said = b"event: text\ndata: {\"text\": \"hi\"}\n\nevent: done\ndata: {}\n\n".to_vec();
        poe.play(scripted_poe::Script {
            answers: vec![scripted_poe::Answer::stream(said)],
            ..scripted_poe::Script::default()
        });
        let answer = ask(&server, &chat_body(name, "x"));
        assert_eq!(answer.json()["model"], name, "{}", answer.text());
        assert_eq!(poe.asked().queries[0]["bot"], bot);
    }
}
