//! Observability: request ids, running requests and their cancellation, metrics, readiness, the log; never a text or a key.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{
    Answer, Ending, PATIENCE, Poe, SECRET, TestServer, Wire, binary, chat_body, claims_success, content,
    eventually, fault, streamed, timed,
};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Time limit for a request to end after the operator stops it.
const SOON: Duration = Duration::from_secs(2);
const OPERATOR: &str = "Host: localhost\r\nAuthorization: Basic YWRtaW46MTIzNDU2\r\n";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{OPERATOR}\r\n")
}

fn post(server: &TestServer, path: &str, body: &Value) -> Value {
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.1\r\n{OPERATOR}Content-Type: application/json\r\n");
    let answer = server.ask(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// A chat request with more headers.
fn chat(headers: &[&str], body: &Value) -> String {
    common::post(
        "/v1/chat/completions",
        &[&["Authorization: Bearer some-key"], headers].concat(),
        &body.to_string(),
    )
}

fn activity(server: &TestServer, after: u64) -> Value {
    server.ask(&get(&format!("/api/admin/activity?after={after}"))).json()
}

/// The request called `id` once it has ended.
fn ended(server: &TestServer, id: &str) -> Value {
    eventually(PATIENCE, "the request has ended", || {
        let requests = activity(server, 0)["requests"].clone();
        requests.as_array()?.iter().find(|request| request["id"] == id).cloned()
    })
}

/// The request called `id` while it runs.
fn running(server: &TestServer, id: &str) -> Value {
    eventually(PATIENCE, "the request runs", || {
        let requests = activity(server, 0)["running"].clone();
        requests.as_array()?.iter().find(|request| request["id"] == id).cloned()
    })
}

fn ids(answer: &Answer) -> (&str, &str) {
    (answer.header("x-request-id").expect("an id"), answer.header("request-id").expect("an id"))
}

#[test]
fn every_answer_and_its_line_in_the_log_carry_the_requests_id() {
    let server = TestServer::demo(&[]);
    let given = "given.by-the_client/1";
    let id = format!("X-Request-Id: {given}");
    let answers = [
        server.ask(&chat(&[&id], &chat_body("demo-echo", "x"))),
        server.ask(&chat(&[&id], &chat_body("demo-error-http-402", "x"))),
        server.ask(&chat(&[&id], &json!({"nonsense": true}))),
        server.ask(&common::get("/nowhere").replace("\r\n\r\n", &format!("\r\n{id}\r\n\r\n"))),
        server.ask(&get("/api/admin/nowhere").replace("\r\n\r\n", &format!("\r\n{id}\r\n\r\n"))),
        server.wire().stream(&chat(&[&id], &streamed("demo-echo", "x"))).answer.clone(),
    ];
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 402, 400, 404, 404, 200]);
    for answer in &answers {
        assert_eq!(ids(answer), (given, given), "{answer:?}");
    }
    assert!(server.wait_for_line("status=402").contains(&format!("id={given}")));

    let long = "x".repeat(129);
    let mut seen = Vec::new();
    for header in ["", "X-Request-Id: two words", "X-Request-Id: ümlaut", &format!("X-Request-Id: {long}")] {
        let headers: &[&str] = if header.is_empty() { &[] } else { &[header] };
        let answer = server.ask(&chat(headers, &chat_body("demo-echo", "x")));
        let (id, other) = ids(&answer);
        assert!(id.starts_with("req_") && id == other, "{id}");
        seen.push(id.to_owned());
    }
    // of requests that could not be read, too
    let answer = server.wire().ask("nonsense\r\n\r\n");
    assert_eq!(answer.status, 400);
    seen.push(ids(&answer).0.to_owned());
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5, "each has its own");
}

#[test]
fn a_request_that_is_still_arriving_can_be_stopped() {
    let server = TestServer::demo(&[]);
    let mut wire = server.wire();
    wire.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer demo\r\nX-Request-Id: slow\r\nContent-Length: 99\r\n\r\n{");
    eventually(PATIENCE, "it runs", || Some(running(&server, "slow")));
    assert_eq!(post(&server, "/api/admin/activity/stop", &json!({"id": "slow"})), json!({"stopped": true}));
    let (answer, took) = timed(|| wire.answer());
    assert_eq!((answer.status, answer.error("code").as_str()), (403, "stopped"));
    assert!(took < SOON, "{took:?}");
}

#[test]
fn a_request_whose_client_does_not_read_can_be_stopped() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    let mut wire = server.wire();
    wire.send(chat(&["X-Request-Id: deaf"], &streamed("demo-fast", "2000000")));
    running(&server, "deaf");
    assert_eq!(post(&server, "/api/admin/activity/stop", &json!({"id": "deaf"})), json!({"stopped": true}));
    ended(&server, "deaf");
    eventually(PATIENCE, "the call to Poe is cancelled", || (poe.open() == 0).then_some(()));
}

#[test]
fn errors_are_logged_without_the_clients_texts() {
    let server = TestServer::demo(&[]);
    let text = "private ".repeat(100_000);
    let answer =
        server.ask(&chat(&["X-Request-Id: wrong"], &json!({"model": "demo-echo", "messages": text})));
    assert_eq!((answer.status, answer.error("param").as_str()), (400, "messages"));
    assert!(answer.error("message").contains("expected") && !answer.text().contains("private"));
    let role = json!({"model": text, "messages": [{"role": text, "content": "x"}]});
    assert_eq!(server.ask(&chat(&["X-Request-Id: long"], &role)).status, 400);
    for id in ["wrong", "long"] {
        assert!(ended(&server, id).to_string().len() < 2500, "{id}");
        assert!(server.wait_for_line(&format!("id={id}")).len() < 2500, "{id}");
    }
}

#[test]
fn running_requests_are_listed_and_can_be_stopped() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    let mut wire = server.wire();
    let mut stream = wire
        .stream(&chat(&["X-Request-Id: a-stream", "User-Agent: a-program/1"], &streamed("Demo-Story", "x")));
    stream.begin();
    let seen = eventually(PATIENCE, "its first byte is recorded", || {
        Some(running(&server, "a-stream")).filter(|seen| seen["first_byte_ms"].is_u64())
    });
    let expected = json!({
        "seq": 0, "endpoint": "/v1/chat/completions", "method": "POST", "model": "Demo-Story", "bot": "demo-story",
        "route": "bot", "status": 0, "stream": true, "error": null, "inspection": null, "client": "127.0.0.1",
        "agent": "a-program/1",
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&seen[name], value, "{name}");
    }
    assert!(seen["duration_ms"].is_u64(), "{seen}");
    let (events, took) = timed(|| {
        assert_eq!(
            post(&server, "/api/admin/activity/stop", &json!({"id": "a-stream"})),
            json!({"stopped": true})
        );
        stream.rest()
    });
    assert!(took < SOON, "{took:?}");
    assert_eq!(stream.answer.ending, Ending::Framed);
    let (code, message) = fault(&events).expect("an error");
    assert!(code == "stopped" && message.contains("operator"), "{code} {message}");
    assert!(!claims_success(&events));
    eventually(SOON, "the call to Poe is cancelled", || (poe.open() == 0).then_some(()));
    let seen = ended(&server, "a-stream");
    assert_eq!((&seen["status"], &seen["error"]), (&json!(200), &json!(message)));

    // non-streamed answers, also of a silent Poe
    for bot in ["demo-stall-headers", "demo-stall", "demo-stall-late"] {
        let mut wire = server.wire();
        wire.send(chat(&[&format!("X-Request-Id: {bot}")], &chat_body(bot, "x")));
        eventually(PATIENCE, "Poe is asked", || (poe.open() == 1).then_some(()));
        assert_eq!(post(&server, "/api/admin/activity/stop", &json!({"id": bot})), json!({"stopped": true}));
        let (answer, took) = timed(|| wire.answer());
        assert_eq!((answer.status, answer.error("code").as_str()), (403, "stopped"), "{bot}");
        assert!(took < SOON, "{bot}: {took:?}");
        eventually(SOON, "the call to Poe is cancelled", || (poe.open() == 0).then_some(()));
        assert_eq!(
            wire.ask(&chat(&[], &chat_body("demo-echo", "x"))).status,
            200,
            "the connection stays open"
        );
    }
    assert_eq!(
        post(&server, "/api/admin/activity/stop", &json!({"id": "nobody"})),
        json!({"stopped": false})
    );
}

#[test]
fn finished_requests_are_listed_and_totalled() {
    let server = TestServer::demo(&[]);
    // sequential: an answer is sent before its request is recorded
    server.ask(&chat(&["X-Request-Id: good"], &chat_body("demo-echo", "hello there")));
    let good = ended(&server, "good");
    assert_eq!(
        (&good["status"], &good["route"], &good["stream"]),
        (&json!(200), &json!("bot"), &json!(false))
    );
    let tokens = ["prompt_tokens", "completion_tokens"].map(|name| good[name].as_u64().expect("counted"));
    assert!(tokens.iter().all(|count| *count > 0), "{good}");
    server
        .ask(&chat(&["X-Request-Id: refused"], &chat_body("DEMO-ECHO", "")).replace("some-key", "wrong-key"));
    let refused = ended(&server, "refused");
    assert_eq!(refused["status"], 401);
    assert!(refused["error"].is_string());
    server.ask(&common::post("/v1/embeddings/nothing", &["X-Request-Id: nowhere"], "{}"));
    assert_eq!(ended(&server, "nowhere")["endpoint"], "/v1/embeddings/nothing");
    server.ask(&common::get("/nowhere"));
    server.ask(&common::get("/health"));
    server.ask(&common::get("/v1/models").replace("\r\n\r\n", "\r\nX-Request-Id: models\r\n\r\n"));
    ended(&server, "models");
    let list = activity(&server, 0);
    let endpoints: Vec<_> = list["requests"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|request| request["endpoint"].clone())
        .collect();
    assert_eq!(
        endpoints,
        ["/v1/models", "/v1/embeddings/nothing", "/v1/chat/completions", "/v1/chat/completions"],
        "the newest first, and neither polls nor strangers"
    );
    let sum = json!({
        "model": "demo-echo", "requests": 2, "errors": 1, "prompt_tokens": tokens[0], "completion_tokens": tokens[1],
    });
    assert_eq!(list["totals"], json!([sum]), "one bot, however its name is written");
    assert_eq!(list["running"], json!([]));
    let seq = list["seq"].as_u64().expect("a number");
    assert_eq!((seq, activity(&server, seq)["requests"].clone()), (4, json!([])));
    server.ask(&chat(&["X-Request-Id: news"], &chat_body("demo-echo", "x")));
    ended(&server, "news");
    assert_eq!(activity(&server, seq)["requests"][0]["id"], "news");
    assert_eq!(activity(&server, seq)["requests"].as_array().map(Vec::len), Some(1));
    let counters = &activity(&server, 0)["counters"];
    assert!(counters["pool"]["connections"].as_u64().is_some_and(|count| count >= 1), "{counters}");
    assert_eq!(counters["limiter"]["refused"], 0);
    assert_eq!(server.ask(&get("/api/admin/activity?after=x")).status, 400);
}

#[test]
fn prompts_and_answers_are_recorded_only_while_switched_on() {
    let server = TestServer::demo(&[]);
    let words = format!("my key is {SECRET} and my picture data:image/png;base64,iVBORw0KGgo=");
    let ask = |id: &str, body: &Value| {
        let request = chat(&[&format!("X-Request-Id: {id}")], body).replace("some-key", SECRET);
        assert_eq!(server.ask(&request).status, 200);
        ended(&server, id)["inspection"].clone()
    };
    assert_eq!(ask("unseen", &chat_body("demo-echo", &words)), Value::Null);
    assert_eq!(post(&server, "/api/admin/inspection", &json!({"on": true})), json!({"on": true}));
    for body in [chat_body("demo-echo", &words), streamed("demo-echo", &words)] {
        let kept = ask(if body["stream"] == true { "streamed" } else { "whole" }, &body);
        for part in ["request", "answer"] {
            let text = kept[part].as_str().expect("kept");
            assert!(text.contains("my key is") && text.contains("and my picture"), "{text}");
            assert!(!text.contains(SECRET) && !text.contains("iVBORw0"), "{text}");
        }
    }
    assert_eq!(post(&server, "/api/admin/inspection", &json!({"on": false})), json!({"on": false}));
    let list = activity(&server, 0).to_string();
    assert!(!list.contains("my key is"), "forgotten");
    assert_eq!(ask("unseen-again", &chat_body("demo-echo", &words)), Value::Null);
}

/// The value of a series, written as on the page; 0 if it is not there.
fn metric(server: &TestServer, series: &str) -> f64 {
    let page = server.ask(&common::get("/metrics")).text();
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or(0.0)
}

/// Waits for a series to have a value: an answer leaves before its request is counted.
fn becomes(server: &TestServer, series: &str, value: f64) {
    eventually(PATIENCE, series, || (metric(server, series) == value).then_some(()));
}

#[test]
fn metrics_count_what_happens() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &["--max-connections", "4"]);
    let page = server.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    assert_eq!(page.header("Access-Control-Allow-Origin"), None, "no web page can read it");

    server.ask(&chat(&[], &chat_body("Demo-Echo", "hello")));
    server.ask(&chat(&[], &chat_body("demo-flaky", "again")));
    for invented in 0..3 {
        server.ask(&chat(&[], &chat_body(&format!("invented-{invented}"), "x")));
    }
    server.ask(&chat(&[], &chat_body("demo-error-http-402", "x")));
    let endpoint = "endpoint=\"/v1/chat/completions\"";
    // unknown names create no series
    for (model, status, count) in [
        ("demo-echo", 200, 1.0),
        ("demo-flaky", 200, 1.0),
        ("other", 404, 3.0),
        ("demo-error-http-402", 402, 1.0),
    ] {
        let labels = format!("{endpoint},model=\"{model}\",status=\"{status}\"");
        becomes(&server, &format!("poe2openai_requests_total{{{labels}}}"), count);
    }
    assert_eq!(metric(&server, "poe2openai_upstream_retries_total"), 1.0);
    assert_eq!(metric(&server, "poe2openai_upstream_errors_total{kind=\"insufficient_quota\"}"), 1.0);
    assert!(metric(&server, "poe2openai_tokens_total{kind=\"prompt\",model=\"demo-echo\"}") > 0.0);
    for name in ["first_byte", "request_duration"] {
        assert_eq!(metric(&server, &format!("poe2openai_{name}_seconds_count{{{endpoint}}}")), 6.0, "{name}");
    }

    let mut wires: Vec<Wire> = (0..3).map(|_| server.wire()).collect();
    for wire in &mut wires {
        wire.send(chat(&[], &streamed("demo-stall-late", "x")));
    }
    becomes(&server, "poe2openai_running", 3.0);
    // four connections, and one more client
    let held = eventually(PATIENCE, "the fourth connection is free again after the metrics request", || {
        let mut wire = server.wire();
        wire.send(chat(&[], &streamed("demo-stall-late", "x")));
        let is_listed = eventually(PATIENCE, "it is accepted or rejected", || {
            (poe.open() == 4 || wire.has_ended()).then(|| poe.open() == 4)
        });
        is_listed.then_some(wire)
    });
    assert_eq!(server.ask(&common::get("/health")).status, 503);
    wires.pop().expect("one of them").leave();
    eventually(PATIENCE, "a connection is free", || {
        (server.ask(&common::get("/health")).status == 200).then_some(())
    });
    let refused = || (metric(&server, "poe2openai_connections_refused_total") >= 1.0).then_some(());
    eventually(PATIENCE, "the rejected one is counted", refused);
    becomes(&server, "poe2openai_connections", 4.0);
    drop(held);
}

/// Unknown names share one label; custom models have their own.
#[test]
fn unknown_model_names_share_one_metric_label() {
    let directory = common::fresh_path("invented");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("models.yaml"), "enable: true\ncustom_models: [{id: My-Bot}]\n")
        .expect("a file");
    let server = TestServer::demo(&["--config-dir", directory.to_str().expect("UTF-8")]);
    for (number, name) in ["ghost-1", "ghost-2", "my-bot", "MY-BOT", "demo-echo"].into_iter().enumerate() {
        server.ask(&chat(&[&format!("X-Request-Id: nr-{number}")], &chat_body(name, "x")));
        ended(&server, &format!("nr-{number}"));
    }
    let totals = activity(&server, 0)["totals"].clone();
    let sums: Vec<_> = totals
        .as_array()
        .expect("a list")
        .iter()
        .map(|sum| (sum["model"].as_str(), sum["requests"].as_u64()))
        .collect();
    assert_eq!(sums, [(Some("My-Bot"), Some(2)), (Some("other"), Some(2)), (Some("demo-echo"), Some(1))]);
    let page = server.ask(&common::get("/metrics")).text();
    let series = |name: &str| {
        format!(
            "poe2openai_requests_total{{endpoint=\"/v1/chat/completions\",model=\"{name}\",status=\"404\"}} 2"
        )
    };
    assert!(
        page.contains(&series("My-Bot")) && page.contains(&series("other")) && !page.contains("ghost"),
        "{page}"
    );
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn metrics_can_be_switched_off() {
    let server = TestServer::demo(&["--metrics=false"]);
    assert_eq!(server.ask(&common::get("/metrics")).status, 404);
}

#[test]
fn waiting_in_the_rate_limiter_is_counted() {
    let server = TestServer::demo(&["--rate-limit-ms", "60000", "--rate-limit-max-wait-ms", "100000"]);
    assert_eq!(server.chat(&chat_body("demo-echo", "x")).status, 200);
    let mut waiting = server.wire();
    waiting.send(chat(&["X-Request-Id: patient"], &chat_body("demo-echo", "x")));
    becomes(&server, "poe2openai_queued", 1.0);
    let counters = activity(&server, 0)["counters"].clone();
    assert_eq!((&counters["pool"]["queued"], &counters["limiter"]["waited"]), (&json!(1), &json!(1)));
    // waiting can be stopped too, and the next would have to wait too long
    assert_eq!(server.chat(&chat_body("demo-echo", "x")).status, 429);
    assert_eq!(metric(&server, "poe2openai_limiter_refused_total"), 1.0);
    post(&server, "/api/admin/activity/stop", &json!({"id": "patient"}));
    assert_eq!(waiting.answer().error("code"), "stopped");
    assert_eq!(metric(&server, "poe2openai_queued"), 0.0);
}

#[test]
fn keys_are_seen_nowhere() {
    let mut program = binary();
    program.env("POE_API_KEY", SECRET).env("PROXY_API_KEYS", "a-key-of-our-own").env("LOG_LEVEL", "debug");
    let server = TestServer::start(program, &["--demo"]);
    post(&server, "/api/admin/inspection", &json!({"on": true}));
    for key in ["a-key-of-our-own", SECRET, "somebody-elses-key"] {
        for body in [chat_body("demo-echo", key), streamed("demo-error-late", key), json!({"model": 1})] {
            let id = format!("X-Request-Id: {}", body["model"]);
            server.ask(&chat(&[&id], &body).replace("some-key", key));
        }
    }
    server.ask(&format!("GET /v1/models?key={SECRET} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let (seen, _) = (ended(&server, "\"demo-echo\""), server.wait_for_line("/v1/models"));
    let page = server.ask(&common::get("/metrics")).text();
    for key in [SECRET, "a-key-of-our-own"] {
        for shown in [server.output(), page.clone(), activity(&server, 0).to_string(), seen.to_string()] {
            assert!(!shown.contains(key), "{shown}");
        }
    }
}

#[test]
fn the_log_can_be_json() {
    let server = TestServer::demo(&["--log-format", "json", "--log-level", "debug"]);
    server.ask(&chat(&["X-Request-Id: whole"], &chat_body("demo-echo", "x")));
    let mut wire = server.wire();
    wire.stream(&chat(&["X-Request-Id: broken"], &streamed("demo-error-late", "x"))).rest();
    let line = |id: &str| -> Value {
        serde_json::from_str(&server.wait_for_line(&format!("\"id\":\"{id}\""))).expect("one JSON object")
    };
    let whole = line("whole");
    let expected = json!({
        "level": "info", "msg": "POST /v1/chat/completions", "method": "POST", "path": "/v1/chat/completions",
        "client": "127.0.0.1", "model": "demo-echo", "bot": "demo-echo", "route": "bot", "status": 200, "stream": false,
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&whole[name], value, "{name} in {whole}");
    }
    for number in ["first_ms", "total_ms", "prompt_tokens", "completion_tokens"] {
        assert!(whole[number].is_u64(), "{number} in {whole}");
    }
    let time = whole["ts"].as_str().expect("a time");
    assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    let broken = line("broken");
    assert_eq!((&broken["stream"], &broken["status"]), (&json!(true), &json!(200)));
    assert!(broken["error"].as_str().is_some_and(|error| error.contains("stopped responding")), "{broken}");
    // all that is logged, not only requests
    let logged = server.output();
    let logged: Vec<_> = logged.lines().collect();
    assert!(logged.len() >= 2);
    logged.iter().for_each(|line| drop(serde_json::from_str::<Value>(line).expect("JSON")));
}

#[test]
fn a_server_that_shuts_down_is_not_ready() {
    let server = TestServer::demo(&[]);
    let ready = server.ask("GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((ready.status, ready.json()), (200, json!({"status": "ready"})));
    let health = server.ask(&common::get("/health")).json();
    assert!(health["status"] == "ok" && health["uptime_seconds"].is_u64(), "{health}");
    // a running request delays the shutdown
    let mut busy = server.wire();
    busy.stream(&chat(&[], &streamed("demo-story", "x"))).begin();
    let mut wire = server.wire();
    wire.send("GET /ready HTTP/1.1\r\nHost: loc");
    server.signal(Signal::TERM);
    server.wait_for_line("stopping");
    let answer = wire.send("alhost\r\n\r\n").answer();
    assert_eq!(answer.status, 503);
    let (status, code) = (answer.json()["status"].clone(), answer.json()["error"]["code"].clone());
    // on a slow machine the connection may be closed earlier, with another message
    assert!(status == "draining" || code == "overloaded", "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"));
}

/// A server whose output is not read after the line that states the port.
fn unread() -> (Child, BufReader<impl Read + use<>>, u16) {
    let mut program = binary();
    program.args(["--demo", "--host", "127.0.0.1", "--port", "0"]).stdout(Stdio::piped());
    let mut child = program.spawn().expect("the program starts");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    (child, output, port)
}

#[test]
fn an_unread_log_does_not_block_requests() {
    let (mut child, output, port) = unread();
    let mut wire = Wire::open(port);
    for _ in 0..3000 {
        assert_eq!(wire.ask(&common::get("/nowhere")).status, 404);
    }
    let mut lines = output.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("log lines were lost")), "the loss is logged");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn inspection_does_not_change_an_answer() {
    let server = TestServer::demo(&[]);
    let answers =
        || ["demo-think", "demo-painter", "demo-echo"].map(|bot| content(&server.chat(&chat_body(bot, "x"))));
    let before = answers();
    post(&server, "/api/admin/inspection", &json!({"on": true}));
    assert_eq!(answers(), before);
}
