//! Poe's native endpoints when they fail: statuses, second tries, and answers in another form than was asked for.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;
#[path = "common/scripted_poe.rs"]
mod scripted_poe;

use std::fs;

use common::{Answer as Received, TestServer, binary, fresh_path, post};
use scripted_poe::{Answer, Cut, Poe, Script};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";
const PATHS: [&str; 3] = [CHAT, RESPONSES, MESSAGES];

/// A Poe whose one model has all endpoints.
fn poe() -> Poe {
    let entry = json!({"id": "m", "supported_endpoints": PATHS, "supported_features": ["tools"], "parameters": [
        {"name": "reasoning_effort", "schema": {"enum": ["low", "high"]}},
        {"name": "verbosity", "schema": {"enum": ["low", "high"]}}]});
    Poe::start(json!({"object": "list", "data": [entry]}).to_string())
}

fn server(poe: &Poe, route: &str, more: &[&str]) -> TestServer {
    let args = ["--poe-base-url", &poe.base_url, "--poe-route", route, "--log-level", "debug"];
    TestServer::start(binary(), &[&args, more].concat())
}

fn body(path: &str, stream: bool) -> Value {
    match path {
        RESPONSES => json!({"model": "m", "input": "hi", "stream": stream}),
        _ => {
            json!({"model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "hi"}], "stream": stream})
        }
    }
}

fn ask(server: &TestServer, path: &str, stream: bool) -> Received {
    server.ask(&post(path, &["Authorization: Bearer some-key"], &body(path, stream).to_string()))
}

/// The paths at which Poe was asked: those of endpoints, or a bot.
fn asked(poe: &Poe) -> Vec<String> {
    poe.asked().queries.iter().map(|query| query["bot"].as_str().expect("a name").to_owned()).collect()
}

fn play(poe: &Poe, answers: &[Answer], cut: Cut) {
    poe.play(Script { answers: answers.to_vec(), cut, ..Script::default() });
}

fn events(events: &[Value]) -> Answer {
    let frame = |event: &Value| match event["type"].as_str() {
        Some(name) => format!("event: {name}\ndata: {event}\n\n"),
        None => format!("data: {event}\n\n"),
    };
    Answer::stream(events.iter().map(frame).collect::<String>().into_bytes())
}

fn whole(status: &str, body: &Value) -> Answer {
    Answer { head: format!("{status}\nContent-Type: application/json"), body: body.to_string().into_bytes() }
}

fn said_by_bot(text: &str) -> Answer {
    Answer::stream(
        format!("event: text\ndata: {{\"text\":\"{text}\"}}\n\nevent: done\ndata: {{}}\n\n").into_bytes(),
    )
}

fn anthropics(kind: &str, words: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": words}})
}

fn failed(code: &str, words: &str) -> Value {
    json!({"type": "response.failed", "response": {"id": "resp_1", "error": {"code": code, "message": words}}})
}

/// An error of each endpoint, the status and the code or type that it has to have.
fn errors() -> Vec<(&'static str, Value, u16, &'static str)> {
    vec![
        (
            MESSAGES,
            anthropics("invalid_request_error", "prompt is too long: 9 tokens > 5 maximum"),
            400,
            "invalid_request_error",
        ),
        (MESSAGES, anthropics("rate_limit_error", "Too many"), 429, "rate_limit_error"),
        (MESSAGES, anthropics("authentication_error", "invalid x-api-key"), 401, "authentication_error"),
        (MESSAGES, anthropics("overloaded_error", "Overloaded"), 529, "overloaded_error"),
        (MESSAGES, anthropics("api_error", "Internal server error"), 502, "api_error"),
        (
            RESPONSES,
            failed("context_length_exceeded", "Your input exceeds the context window"),
            400,
            "context_length_exceeded",
        ),
        (RESPONSES, failed("rate_limit_exceeded", "Please try again in 7s."), 429, "rate_limit_exceeded"),
        (
            RESPONSES,
            json!({"type": "error", "code": "invalid_api_key", "message": "Incorrect key"}),
            401,
            "invalid_api_key",
        ),
        (RESPONSES, failed("server_error", "sorry"), 502, "upstream_error"),
        (
            CHAT,
            json!({"error": {"message": "This model's maximum context length is 5 tokens", "type": "invalid_request_error", "code": "context_length_exceeded", "param": null}}),
            400,
            "context_length_exceeded",
        ),
        (
            CHAT,
            json!({"error": {"code": 429, "type": "rate_limit_error", "message": "Too many", "metadata": {}}}),
            429,
            "rate_limit_exceeded",
        ),
        (
            CHAT,
            json!({"error": {"code": 401, "type": "authentication_error", "message": "no", "metadata": {}}}),
            401,
            "invalid_api_key",
        ),
        (
            CHAT,
            json!({"error": {"code": 402, "message": "You have no points left", "metadata": {}}}),
            402,
            "insufficient_quota",
        ),
        (
            CHAT,
            json!({"error": {"code": 529, "type": "overloaded_error", "message": "full", "metadata": {}}}),
            503,
            "overloaded",
        ),
    ]
}

fn check(answer: &Received, path: &str, status: u16, code: &str) {
    let member = if path == MESSAGES { "type" } else { "code" };
    let found = (answer.status, answer.error(member));
    assert_eq!(found, (status, code.to_owned()), "{path}: {}", answer.text());
}

#[test]
fn an_error_as_the_first_event_has_its_true_status_and_is_not_asked_twice() {
    let poe = poe();
    for route in ["auto", "native"] {
        for (path, error, status, code) in errors() {
            let server = server(&poe, route, &[]);
            for (before, cut) in [(vec![], Cut::Nowhere), (vec![json!({"type": "ping"})], Cut::Everywhere)] {
                let before = if path == MESSAGES { before } else { vec![] };
                play(&poe, &[events(&[before, vec![error.clone()]].concat())], cut);
                let answer = ask(&server, path, true);
                check(&answer, path, status, code);
                assert_eq!(asked(&poe), [path], "{route} {error}");
                let wait = answer.header("retry-after");
                assert_eq!(wait, error.to_string().contains("7s").then_some("7"), "{route} {error}");
            }
        }
    }
}

#[test]
fn an_error_in_place_of_a_whole_answer_is_a_refusal() {
    let poe = poe();
    for route in ["auto", "native"] {
        for (path, error, status, code) in errors().into_iter().filter(|row| row.1["error"].is_object()) {
            let server = server(&poe, route, &[]);
            for stream in [false, true] {
                play(&poe, &[whole("200", &error)], Cut::Nowhere);
                check(&ask(&server, path, stream), path, status, code);
                assert_eq!(asked(&poe), [path], "{route} {stream} {error}");
            }
        }
        let server = server(&poe, route, &[]);
        for path in PATHS {
            let page = Answer {
                head: "200\nContent-Type: text/html".into(),
                body: b"<html><title>Sign in</title></html>".to_vec(),
            };
            for stream in [false, true] {
                play(&poe, std::slice::from_ref(&page), Cut::Nowhere);
                let answer = ask(&server, path, stream);
                assert_eq!(answer.status, 502, "{route} {path}");
                assert!(answer.error("message").contains("Sign in"), "{}", answer.text());
            }
        }
    }
}

#[test]
fn a_stream_that_is_answered_by_one_json_is_that_answer() {
    let poe = poe();
    let server = server(&poe, "native", &[]);
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "input_tokens": 3, "output_tokens": 2, "total_tokens": 5});
    let chat = json!({"id": "c", "object": "chat.completion", "usage": usage,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "one piece"}}]});
    let item = json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "one piece"}]});
    let response = json!({"id": "resp_1", "object": "response", "status": "completed", "usage": usage, "output": [item]});
    let message = json!({"type": "message", "role": "assistant", "usage": usage, "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "one piece"}]});
    for (path, answer, end) in [
        (CHAT, chat, "data: [DONE]"),
        (RESPONSES, response, "event: response.completed"),
        (MESSAGES, message, "event: message_stop"),
    ] {
        for head in ["200\nContent-Type: application/json", "200\nContent-Type: text/event-stream", "200"] {
            let body = format!("\n {answer}").into_bytes();
            play(&poe, &[Answer { head: head.into(), body }], Cut::Everywhere);
            let received = ask(&server, path, true);
            let text = received.text();
            assert_eq!((received.status, asked(&poe).as_slice()), (200, &[path.to_owned()][..]), "{text}");
            assert_eq!(received.header("content-type"), Some("text/event-stream; charset=utf-8"));
            assert!(text.contains("one piece") && text.contains(end), "{path} {head}: {text}");
        }
        server.wait_for_line(&format!("POST {path} model=\"m\" route=native status=200"));
    }
    server.wait_for_line("prompt_tokens=3 completion_tokens=2");
}

#[test]
fn what_comes_together_with_an_error_does_not_depend_on_timing() {
    let poe = poe();
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": null}]});
    let start = json!({"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 1}}});
    let created = json!({"type": "response.created", "response": {"id": "resp_1", "model": "m", "status": "in_progress"}});
    for route in ["auto", "native"] {
        let server = server(&poe, route, &[]);
        for (path, first, error) in [
            (CHAT, chunk.clone(), json!({"error": {"message": "broke", "code": 500}})),
            (RESPONSES, created.clone(), failed("server_error", "broke")),
            (MESSAGES, start.clone(), anthropics("overloaded_error", "broke")),
        ] {
            let received = [Cut::Nowhere, Cut::Everywhere].map(|cut| {
                play(&poe, &[events(&[first.clone(), error.clone()])], cut);
                let answer = ask(&server, path, true);
                assert_eq!((answer.status, asked(&poe).len()), (200, 1), "{route} {path}: {}", answer.text());
                answer.text()
            });
            assert_eq!(received[0], received[1], "{route} {path}");
            assert_eq!(received[0].matches("broke").count(), 1, "{route} {path}: {}", received[0]);
        }
    }
}

#[test]
fn poes_ids_and_limits_are_passed_on() {
    let poe = poe();
    let server = server(&poe, "native", &[]);
    let headers = "x-request-id: poes-own\nX-RateLimit-Limit-Requests: 500\nx-ratelimit-remaining-requests: 499\n\
                   anthropic-ratelimit-requests-remaining: 7\nx-other: no\nSet-Cookie: a=b";
    for path in PATHS {
        let answer = json!({"choices": [{"message": {"content": "x"}}], "content": [], "output": []});
        let cases = [
            (false, 200, whole(&format!("200\n{headers}"), &answer)),
            (
                true,
                200,
                Answer {
                    head: format!("200\n{headers}"),
                    ..events(&[
                        json!({"choices": [{"finish_reason": "stop"}], "type": "message_stop"}),
                        json!({"type": "response.completed", "response": {}}),
                    ])
                },
            ),
            (false, 429, whole(&format!("429\n{headers}"), &json!({"error": {"message": "slow"}}))),
            (true, 429, whole(&format!("429\n{headers}"), &json!({"error": {"message": "slow"}}))),
        ];
        for (stream, status, answer) in cases {
            play(&poe, &[answer], Cut::Nowhere);
            let own = ["Authorization: Bearer some-key", "X-Request-Id: mine"];
            let received = server.ask(&post(path, &own, &body(path, stream).to_string()));
            assert_eq!(received.status, status, "{path}: {}", received.text());
            for (name, value) in [
                ("x-request-id", Some("poes-own")),
                ("request-id", Some("mine")),
                ("x-ratelimit-limit-requests", Some("500")),
                ("x-ratelimit-remaining-requests", Some("499")),
                ("anthropic-ratelimit-requests-remaining", Some("7")),
                ("x-other", None),
                ("set-cookie", None),
            ] {
                assert_eq!(received.header(name), value, "{path} {stream} {name}");
            }
        }
    }
    // everywhere else both are ours
    play(&poe, &[said_by_bot("x")], Cut::Nowhere);
    let headers = ["Authorization: Bearer some-key", "X-Request-Id: mine"];
    let answer = server.ask(&post("/api/chat", &headers, &body(CHAT, false).to_string()));
    assert_eq!((answer.header("x-request-id"), answer.header("request-id")), (Some("mine"), Some("mine")));
}

/// Requests at Poe while a client asks three times, as SDKs do.
fn hits(poe: &Poe, server: &TestServer, path: &str, stream: bool, answers: &[Answer]) -> Vec<String> {
    play(poe, answers, Cut::Nowhere);
    for _ in 0..3 {
        assert!(ask(server, path, stream).status >= 400, "{path} {stream}");
    }
    asked(poe)
}

#[test]
fn retries_do_not_multiply() {
    let poe = poe();
    let refusal = |status: &str| whole(status, &json!({"error": {"message": "sorry", "code": 500}}));
    for (route, status) in ["native", "auto"]
        .into_iter()
        .flat_map(|route| ["500", "502", "503", "529", "503\nRetry-After: 1"].map(|status| (route, status)))
    {
        for path in PATHS {
            for stream in [false, true] {
                // of what failed before a fresh server knows nothing
                let server = server(&poe, route, &[]);
                let asked = hits(&poe, &server, path, stream, &[refusal(status)]);
                assert!((3..=4).contains(&asked.len()), "{route} {status} {path} {stream}: {asked:?}");
                assert_eq!(asked[0], path);
                assert_eq!(asked[1], if route == "auto" { "m" } else { path }, "the second try");
                if status == "503\nRetry-After: 1" && path == CHAT {
                    break;
                }
            }
            if status.contains("Retry-After") {
                break; // waits
            }
        }
    }
    for route in ["native", "auto"] {
        let server = server(&poe, route, &[]);
        for path in PATHS {
            for status in ["429", "429\nRetry-After: 60"] {
                let asked = hits(&poe, &server, path, true, &[refusal(status)]);
                assert_eq!(asked, [path; 3], "{route}: nothing is sent again");
            }
        }
    }
}

#[test]
fn an_endpoint_that_fails_three_times_in_a_row_is_left_alone() {
    let poe = poe();
    let server = server(&poe, "auto", &[]);
    let down = whole("503", &json!({"error": {"message": "down"}}));
    let good = said_by_bot("by the bot protocol");
    let answers: Vec<Answer> = [&down, &good].into_iter().cycle().take(6).cloned().collect();
    play(&poe, &answers, Cut::Nowhere);
    for _ in 0..5 {
        let answer = ask(&server, CHAT, true);
        assert!(answer.status == 200 && answer.text().contains("by the bot protocol"), "{}", answer.text());
    }
    assert_eq!(asked(&poe), [CHAT, "m", CHAT, "m", CHAT, "m", "m", "m"]);
    let output = server.output();
    let warnings: Vec<&str> =
        output.lines().filter(|line| line.contains("WARN") && line.contains("failed")).collect();
    assert_eq!(warnings.len(), 1, "{output}");
    assert!(warnings[0].contains(CHAT) && warnings[0].contains("10 minutes"), "{warnings:?}");
    // another endpoint of the model has not failed
    play(&poe, &[whole("200", &json!({"content": [], "usage": {}}))], Cut::Nowhere);
    assert_eq!(ask(&server, MESSAGES, false).status, 200);
    assert_eq!(asked(&poe), [MESSAGES]);
}

#[test]
fn settings_without_words_at_an_endpoint_select_the_bot_protocol_or_are_warned_about() {
    let poe = poe();
    let directory = fresh_path("native-words");
    fs::create_dir_all(&directory).expect("a directory");
    let yaml = "enable: true\nmodels: {m: {parameters: {verbosity: low}}}\n";
    fs::write(directory.join("models.yaml"), yaml).expect("a file");
    let more = ["--config-dir", directory.to_str().expect("UTF-8")];
    let (auto, native) = (server(&poe, "auto", &more), server(&poe, "native", &more));
    let high = |path: &str| {
        let mut body = body(path, false);
        body["model"] = "m-high".into();
        post(path, &["Authorization: Bearer some-key"], &body.to_string())
    };
    let good = whole("200", &json!({"choices": [], "content": [], "output": [], "usage": {}}));
    let sent = |server: &TestServer, path: &str, answer: &Answer| {
        play(&poe, std::slice::from_ref(answer), Cut::Nowhere);
        let received = server.ask(&high(path));
        assert_eq!(received.status, 200, "{path}: {}", received.text());
        poe.asked().queries[0].clone()
    };
    for server in [&auto, &native] {
        let chat = sent(server, CHAT, &good);
        assert_eq!(
            (&chat["body"]["reasoning_effort"], &chat["body"]["verbosity"]),
            (&json!("high"), &json!("low"))
        );
        let response = sent(server, RESPONSES, &good);
        assert_eq!(
            (&response["body"]["reasoning"], &response["body"]["text"]),
            (&json!({"effort": "high"}), &json!({"verbosity": "low"}))
        );
    }
    let by_bot = sent(&auto, MESSAGES, &said_by_bot("x"));
    assert_eq!(by_bot["bot"], "m");
    assert_eq!(
        by_bot["body"]["query"][0]["parameters"],
        json!({"reasoning_effort": "high", "verbosity": "low"})
    );
    for _ in 0..2 {
        let message = sent(&native, MESSAGES, &good);
        assert_eq!(
            (&message["bot"], &message["body"]["output_config"]),
            (&json!(MESSAGES), &json!({"effort": "high"}))
        );
    }
    let output = native.output();
    let warnings: Vec<&str> =
        output.lines().filter(|line| line.contains("WARN") && line.contains("verbosity")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains(MESSAGES), "{output}");
    fs::remove_dir_all(directory).expect("the directory");
}
