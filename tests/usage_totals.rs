//! Usage totals over real sockets: what is counted, shown and stored, and what survives.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use common::{Answer, PATIENCE, Poe, TestServer, chat_body, eventually, fresh_path, run, streamed};
use serde_json::{Value, json};

const OPERATOR: &str = "Host: localhost\r\nAuthorization: Basic YWRtaW46MTIzNDU2\r\n";

fn admin(server: &TestServer, path: &str) -> Answer {
    let answer = server.ask(&format!("GET /api/admin/{path} HTTP/1.1\r\n{OPERATOR}\r\n"));
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer
}

fn refused(server: &TestServer, path: &str) -> Value {
    let answer = server.ask(&format!("GET /api/admin/{path} HTTP/1.1\r\n{OPERATOR}\r\n"));
    assert_eq!(answer.status, 400, "{path}: {answer:?}");
    answer.json()["error"]["param"].clone()
}

fn add_key(server: &TestServer, name: &str) -> Option<String> {
    let body = json!({"name": name}).to_string();
    let head = format!("POST /api/admin/keys HTTP/1.1\r\n{OPERATOR}Content-Type: application/json\r\n");
    let answer = server.ask(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    (answer.status == 201).then(|| answer.json()["secret"].as_str().expect("a key").to_owned())
}

fn post(path: &str, key: &str, body: &Value) -> String {
    common::post(path, &[&format!("Authorization: Bearer {key}")], &body.to_string())
}

fn server(poe: &Poe, dir: &Path, args: &[&str]) -> TestServer {
    let usual = ["--poe-api-key", "demo", "--usage-write-seconds", "1", "--config-dir"];
    TestServer::before(poe, &[&usual, &[dir.to_str().expect("a path")][..], args].concat())
}

fn directory() -> PathBuf {
    let path = fresh_path("usage");
    fs::create_dir_all(&path).expect("a directory");
    path
}

fn total(server: &TestServer) -> Value {
    admin(server, "usage").json()["total"].clone()
}

#[test]
fn every_request_is_counted_by_model_key_and_endpoint() {
    let poe = Poe::start();
    let server = server(&poe, &directory(), &["--proxy-api-keys", "a-key-of-the-proxy"]);
    let secret = add_key(&server, "Kay").expect("a key");
    let ask = |path: &str, key: &str, body: &Value| server.ask(&post(path, key, body)).status;
    for _ in 0..3 {
        assert_eq!(ask("/v1/chat/completions", &secret, &chat_body("demo-gpt", "hello")), 200);
    }
    let stream =
        server.wire().stream(&post("/v1/chat/completions", &secret, &streamed("demo-echo", "hello"))).rest();
    assert!(!stream.is_empty());
    let message =
        json!({"model": "demo-gpt", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]});
    assert_eq!(ask("/v1/messages", "a-key-of-the-proxy", &message), 200);
    assert_eq!(ask("/v1/chat/completions", &secret, &chat_body("nowhere-to-be-found", "hello")), 404);
    assert_eq!(ask("/v1/chat/completions", "a wrong key", &chat_body("demo-gpt", "hello")), 401);

    let usage = |query: &str| admin(&server, &format!("usage?{query}")).json();
    let rows = |query: &str, fields: &[&str]| -> Vec<Vec<Value>> {
        let rows = usage(query)["rows"].as_array().expect("rows").clone();
        rows.iter().map(|row| fields.iter().map(|field| row[*field].clone()).collect()).collect()
    };
    let counted = eventually(PATIENCE, "all are counted", || {
        let total = total(&server);
        (total["requests"] == 6).then_some(total)
    });
    assert_eq!((&counted["errors"], &counted["error_kinds"]), (&json!(1), &json!({"model_not_found": 1})));
    assert!(counted["points"].as_f64() > Some(0.0) && counted["first_token_p50_ms"].is_u64(), "{counted}");
    assert_eq!(
        rows("by=model", &["model", "requests"]),
        [[json!("demo-gpt"), json!(4)], [json!("demo-echo"), json!(1)], [json!("other"), json!(1)]]
    );
    assert_eq!(
        rows("by=key", &["key_name", "requests"]),
        [[json!("Kay"), json!(5)], [json!("PROXY_API_KEYS 1"), json!(1)]]
    );
    assert_eq!(
        rows("by=endpoint&key=proxy-1", &["endpoint", "requests"]),
        [[json!("/v1/messages"), json!(1)]]
    );
    for (step, tz) in
        [("day", 0), ("hour", 0), ("day", 480), ("hour", -300), ("day", 330), ("day", 840), ("day", -840)]
    {
        let found = rows(&format!("by={step}&tz={tz}"), &["requests"]);
        let sum: u64 = found.iter().filter_map(|row| row[0].as_u64()).sum();
        assert_eq!(sum, 6, "by={step}&tz={tz}");
    }
    let day = usage("by=day")["rows"][0]["day"].as_str().expect("a day").to_owned();
    assert_eq!(usage(&format!("from={day}&to={day}"))["total"]["requests"], 6);
    assert_eq!(usage("from=2020-01-01&to=2020-12-31")["total"]["requests"], 0);
    for (query, param) in [
        ("by=week", "by"),
        ("from=soon", "from"),
        ("tz=1000", "tz"),
        ("format=xml", "format"),
        ("from=9&to=8", "from"),
    ] {
        assert_eq!(refused(&server, &format!("usage?{query}")), param);
    }
    let csv = admin(&server, "usage?by=model,key&format=csv");
    assert!(csv.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")));
    let text = csv.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("model,key,key_name,requests,errors,input_tokens") && lines.len() == 5,
        "{text}"
    );
    let metrics = server.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").text();
    let line = "poe2openai_requests_total{endpoint=\"/v1/chat/completions\",model=\"demo-gpt\",status=\"200\",key=\"Kay\"} 3";
    assert!(metrics.lines().any(|other| other == line), "{metrics}");
}

#[test]
fn the_overview_has_series_of_one_length() {
    let poe = Poe::start();
    let server = server(&poe, &directory(), &[]);
    for bot in ["demo-gpt", "demo-echo", "demo-error-http-402"] {
        server.ask(&post("/v1/chat/completions", "x", &streamed(bot, "hello")));
    }
    for (range, count) in [("24h", 24), ("7d", 7), ("30d", 30)] {
        let overview = eventually(PATIENCE, "all are counted and the balance is read", || {
            let overview = admin(&server, &format!("overview?range={range}&tz=480")).json();
            (overview["days30"]["requests"] == 3 && overview["account"].is_object()).then_some(overview)
        });
        let list = |value: &Value| value.as_array().expect("a list").clone();
        assert_eq!(list(&overview["times"]).len(), count);
        for name in ["requests", "errors", "tokens", "points", "first_token_p50_ms", "first_token_p95_ms"] {
            assert_eq!(list(&overview[name]).len(), count, "{name}");
        }
        for series in list(&overview["models"]).iter().chain(&list(&overview["keys"])) {
            for name in ["requests", "tokens", "points"] {
                assert_eq!(list(&series[name]).len(), count, "{series}");
            }
        }
        let sum: u64 = list(&overview["requests"]).iter().filter_map(Value::as_u64).sum();
        assert_eq!((sum, list(&overview["models"]).len()), (3, 3), "{overview}");
        assert_eq!(overview["keys"][0]["id"], "none");
        let error = &overview["latest_errors"][0];
        assert_eq!((&error["model"], &error["status"]), (&json!("demo-error-http-402"), &json!(402)));
        assert!(overview["account"]["days_left"].as_f64() > Some(0.0), "{}", overview["account"]);
    }
    assert_eq!(refused(&server, "overview?range=1y"), "range");
}

#[test]
fn points_of_poes_history_replace_estimates() {
    let poe = Poe::start();
    let server = server(&poe, &directory(), &[]);
    let secret = add_key(&server, "Kay").expect("a key");
    for words in ["hello", "what is the time?"] {
        assert_eq!(
            server.ask(&post("/v1/chat/completions", &secret, &chat_body("demo-gpt", words))).status,
            200
        );
    }
    let exact = eventually(PATIENCE, "nothing is an estimate any more", || {
        let total = total(&server);
        (total["requests"] == 2 && total["points_estimated"] == 0.0).then(|| total["points"].as_f64())?
    });
    let account = admin(&server, "account").json();
    assert_eq!(Some(exact), account["top"][0]["points"].as_f64(), "{account}");
}

#[test]
fn what_broke_off_has_tokens_and_points() {
    let poe = Poe::start();
    let server = server(&poe, &directory(), &[]);
    let secret = add_key(&server, "Kay").expect("a key");
    let mut wire = server.wire();
    wire.stream(&post(
        "/v1/chat/completions",
        &secret,
        &streamed("demo-stall-late", "tell me something long"),
    ))
    .begin();
    wire.leave();
    let total = eventually(PATIENCE, "it is counted", || {
        let total = total(&server);
        (total["requests"] == 1).then_some(total)
    });
    assert_eq!((&total["errors"], &total["error_kinds"]), (&json!(0), &json!({"client_gone": 1})));
    assert!(total["input_tokens"].as_u64() > Some(0) && total["points"].as_f64() > Some(0.0), "{total}");
}

#[test]
fn totals_survive_a_restart_and_a_foreign_file_is_put_aside() {
    let (poe, dir) = (Poe::start(), directory());
    let mut first = server(&poe, &dir, &["--usage-write-seconds", "3600"]);
    assert_eq!(first.ask(&post("/v1/chat/completions", "x", &chat_body("demo-echo", "hello"))).status, 200);
    first.signal(rustix::process::Signal::TERM);
    first.wait(PATIENCE);
    let second = server(&poe, &dir, &[]);
    assert_eq!(total(&second)["requests"], 1, "written at the end");
    drop(second);
    let file = dir.join("usage.json");
    assert!(!fs::read_to_string(&file).expect("the file").contains("hello"));
    for foreign in ["{\"format\": 1, \"usa", "[]", ""] {
        fs::write(&file, foreign).expect("written");
        let third = server(&poe, &dir, &[]);
        third.wait_for_line("usage.json.broken");
        assert_eq!(total(&third)["requests"], 0);
        assert_eq!(fs::read_to_string(dir.join("usage.json.broken")).expect("put aside"), foreign);
    }
}

/// The requests that the file of usage has; it is never torn.
fn written(dir: &Path) -> u64 {
    let Ok(text) = fs::read(dir.join("usage.json")) else { return 0 };
    let file: Value = serde_json::from_slice(&text).expect("a whole file");
    let slots = file["usage"]["days"].as_array().expect("days").clone();
    let rows = slots.iter().flat_map(|slot| slot[1].as_array().expect("rows").clone());
    rows.map(|row| row[1][0].as_u64().expect("requests")).sum()
}

#[test]
fn kill_9_loses_nothing_that_was_written_and_tears_no_file() {
    let (poe, dir) = (Poe::start(), directory());
    let (mut kept, mut known) = (0, Vec::<String>::new());
    for round in 0..6 {
        let mut server = server(&poe, &dir, &[]);
        assert!(total(&server)["requests"].as_u64() >= Some(kept), "round {round}");
        for key in &known {
            assert_eq!(
                server.ask(&post("/v1/chat/completions", key, &chat_body("demo-echo", "hello"))).status,
                200
            );
        }
        let (is_over, count) = (AtomicBool::new(false), AtomicU64::new(0));
        let first = add_key(&server, &format!("first {round}")).expect("a key");
        let port = server.port;
        let added: Vec<String> = thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let request = post("/v1/chat/completions", &first, &chat_body("demo-echo", "hello"));
                let ask = || common::Wire::open(port).ask(&request).status == 200;
                while !is_over.load(Ordering::Relaxed) && ask() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
            let mut added = Vec::new();
            eventually(PATIENCE, "usage was written", || {
                let name = format!("{round}-{}", added.len());
                // what was answered must be there after the kill
                added.extend(Some(()).filter(|()| added.len() < 20).and_then(|()| add_key(&server, &name)));
                (written(&dir) > kept).then_some(())
            });
            is_over.store(true, Ordering::Relaxed);
            asking.join().expect("no fault");
            added
        });
        kept = written(&dir);
        server.kill();
        known.push(first);
        known.extend(added.into_iter().take(2));
        let list = run(&["keys", "list", "--config-dir", dir.to_str().expect("a path")], &[]);
        assert_eq!(list.status.code(), Some(0), "{list:?}");
        assert!(!dir.join("usage.json.broken").exists());
    }
    assert!(kept > 6 && known.len() > 12);
}
