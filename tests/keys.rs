//! Client keys over real sockets: who may come in, which models they may use, what they may spend.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use common::{Answer, PATIENCE, Poe, TestServer, chat_body, content, eventually, fresh_path, run, streamed};
use serde_json::{Value, json};

const OPERATOR: &str = "Host: localhost\r\nAuthorization: Basic YWRtaW46MTIzNDU2\r\n";
const SOON: Duration = Duration::from_secs(2);

fn admin(server: &TestServer, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!("{method} /api/admin/{path} HTTP/1.1\r\n{OPERATOR}Content-Type: application/json\r\n");
    server.ask(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
}

fn keys(server: &TestServer) -> Value {
    let answer = admin(server, "GET", "keys", None);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// A new key: its id and the key itself.
fn add(server: &TestServer, fields: Value) -> (String, String) {
    let answer = admin(server, "POST", "keys", Some(&fields));
    assert_eq!(answer.status, 201, "{answer:?}");
    let body = answer.json();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&body["key"]["id"]), text(&body["secret"]))
}

fn post(path: &str, key: &str, body: &Value) -> String {
    common::post(path, &[&format!("Authorization: Bearer {key}")], &body.to_string())
}

fn chat(server: &TestServer, key: &str, bot: &str) -> Answer {
    server.ask(&post("/v1/chat/completions", key, &chat_body(bot, "hello")))
}

fn get(server: &TestServer, key: &str, path: &str) -> Answer {
    server.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"))
}

fn code(answer: &Answer) -> String {
    answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

/// With its Poe's key, before `poe`.
fn server(poe: &Poe, args: &[&str]) -> TestServer {
    TestServer::before(poe, &[&["--poe-api-key", "demo"], args].concat())
}

fn directory() -> PathBuf {
    let path = fresh_path("keys");
    fs::create_dir_all(&path).expect("a directory");
    path
}

#[test]
fn a_key_is_made_used_changed_and_deleted() {
    let poe = Poe::start();
    let dir = directory();
    let server = server(&poe, &["--config-dir", dir.to_str().expect("a path")]);
    assert_eq!(
        (chat(&server, "anything", "demo-echo").status, keys(&server)["required"].clone()),
        (200, json!(false))
    );
    let (id, secret) = add(&server, json!({"name": "Kay", "note": "for the phone", "daily_points": 5000}));
    assert_eq!(chat(&server, "anything", "demo-echo").status, 401);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let body = chat_body("demo-echo", "hello").to_string();
    for shown in [format!("Authorization: Bearer {secret}\r\n"), format!("x-api-key: {secret}\r\n")] {
        let answer = server.ask(&format!("{head}{shown}Content-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!((answer.status, content(&answer).is_empty()), (200, false), "{shown}");
    }
    assert_eq!(
        server.ask(&common::post(&format!("/v1/chat/completions?key={secret}"), &[], &body)).status,
        200
    );
    let shown = eventually(PATIENCE, "all three are counted", || {
        let found = keys(&server);
        (found["keys"][0]["usage"]["today"]["requests"] == 3).then_some(found)
    });
    let key = &shown["keys"][0];
    assert_eq!(
        (&key["id"], &key["name"], &key["state"], &key["source"]),
        (&json!(id), &json!("Kay"), &json!("active"), &json!("keys.yaml"))
    );
    assert_eq!(
        (&key["usage"]["today"]["requests"], &key["usage"]["days30"]["errors"]),
        (&json!(3), &json!(0))
    );
    assert!(key["budgets"][0]["spent"].as_f64() > Some(0.0) && key["budgets"][0]["of"] == 5000.0, "{key}");
    let file = fs::read_to_string(dir.join("keys.yaml")).expect("the file");
    assert!(
        !file.contains(&secret) && !shown.to_string().contains(&secret) && !server.output().contains(&secret)
    );
    let path = format!("keys/{id}");
    let changed = admin(&server, "PATCH", &path, Some(&json!({"name": "Kate", "disabled": true})));
    assert_eq!((changed.status, &changed.json()["key"]["state"]), (200, &json!("disabled")));
    assert_eq!(chat(&server, &secret, "demo-echo").status, 401);
    assert_eq!(admin(&server, "PATCH", &path, Some(&json!({"disabled": false}))).status, 200);
    assert_eq!(chat(&server, &secret, "demo-echo").status, 200);
    assert_eq!(admin(&server, "DELETE", &path, None).status, 200);
    assert_eq!(chat(&server, &secret, "demo-echo").status, 401);
    assert_eq!(keys(&server)["required"], true, "a file without keys lets nobody in");
    let usage = eventually(PATIENCE, "all of the key's requests are counted", || {
        let usage = admin(&server, "GET", &format!("usage?by=key&key={id}"), None).json();
        (usage["total"]["requests"] == 4).then_some(usage)
    });
    let row = usage["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .find(|row| row["key"] == json!(id))
        .expect("the key's row");
    assert_eq!((&row["key_name"], &row["requests"]), (&json!("Kate"), &json!(4)), "usage outlives its key");
}

#[test]
fn what_is_wrong_is_named() {
    let poe = Poe::start();
    let server = server(&poe, &["--proxy-api-keys", "the-first-proxy-key"]);
    add(&server, json!({"name": "Kay"}));
    for (fields, status, param) in [
        (json!({}), 400, "name"),
        (json!({"name": "KAY"}), 409, "name"),
        (json!({"name": "b", "models": [1]}), 400, "models[0]"),
        (json!({"name": "b", "daily_points": -1}), 400, "daily_points"),
        (json!({"name": "b", "colour": 1}), 400, "colour"),
    ] {
        let answer = admin(&server, "POST", "keys", Some(&fields));
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (status, &json!(param)), "{fields}");
    }
    let list = keys(&server);
    assert_eq!(
        (&list["keys"][0]["id"], &list["keys"][0]["name"]),
        (&json!("proxy-1"), &json!("PROXY_API_KEYS 1"))
    );
    assert_eq!(admin(&server, "DELETE", "keys/proxy-1", None).status, 403);
    assert_eq!(admin(&server, "DELETE", "keys/key_none", None).status, 404);
    assert_eq!(admin(&server, "PATCH", "keys/key_none", Some(&json!({"note": "x"}))).status, 404);
    assert_eq!(chat(&server, "the-first-proxy-key", "demo-echo").status, 200, "both kinds of keys come in");
    let foreign = "DELETE /api/admin/keys/proxy-1 HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\
                   Authorization: Basic YWRtaW46MTIzNDU2\r\n\r\n";
    assert_eq!(server.ask(foreign).status, 403);
    let own = TestServer::before(&poe, &[]);
    assert_eq!(admin(&own, "POST", "keys", Some(&json!({"name": "a"}))).status, 409, "without a Poe key");
}

#[test]
fn a_deleted_key_is_cut_off_while_its_stream_runs() {
    let poe = Poe::start();
    let server = server(&poe, &[]);
    let (id, secret) = add(&server, json!({"name": "Kay"}));
    let (_, other) = add(&server, json!({"name": "Lee"}));
    let mut streams = Vec::new();
    for key in [&secret, &other] {
        let mut wire = server.wire();
        wire.send(post("/v1/chat/completions", key, &streamed("demo-stall-late", "hello")).as_bytes());
        streams.push(wire);
    }
    eventually(PATIENCE, "both streams run", || (poe.open() == 2).then_some(()));
    assert_eq!(admin(&server, "DELETE", &format!("keys/{id}"), None).status, 200);
    eventually(SOON + SOON, "one stream has ended", || (poe.open() == 1).then_some(()));
    assert_eq!(chat(&server, &secret, "demo-echo").status, 401);
    assert_eq!(chat(&server, &other, "demo-echo").status, 200);
}

#[test]
fn the_command_works_beside_a_running_server() {
    let poe = Poe::start();
    let dir = directory();
    let dir = dir.to_str().expect("a path");
    let server = server(&poe, &["--config-dir", dir]);
    let command = |args: &[&str]| {
        let output = run(&[&["keys"], args, &["--config-dir", dir]].concat(), &[]);
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (status, words) = command(&[
        "add",
        "Kay",
        "--models",
        "demo-echo,demo-s*",
        "--daily-points",
        "5000",
        "--note",
        "a phone",
    ]);
    assert_eq!(status, Some(0), "{words}");
    let secret =
        words.split_whitespace().find(|word| word.starts_with("sk-p2o-")).expect("the key").to_owned();
    eventually(SOON, "the server asks for a key", || {
        (chat(&server, "other", "demo-echo").status == 401).then_some(())
    });
    assert_eq!(chat(&server, &secret, "demo-echo").status, 200);
    assert_eq!(chat(&server, &secret, "demo-gpt").status, 403);
    assert_eq!(chat(&server, "other", "demo-echo").status, 401);
    let (_, list) = command(&["list"]);
    assert!(
        list.contains("Kay") && list.contains("demo-s*") && list.contains("5000") && !list.contains(&secret),
        "{list}"
    );
    for (word, is_accepted) in [("disable", false), ("enable", true), ("delete", false)] {
        assert_eq!(command(&[word, "kay"]).0, Some(0));
        // a key that is refused again and again is throttled, too
        eventually(SOON + SOON, word, || {
            let status = chat(&server, &secret, "demo-echo").status;
            (if is_accepted { status == 200 } else { [401, 429].contains(&status) }).then_some(())
        });
    }
    for (wrong, words) in [
        (&["add"][..], "name"),
        (&["add", "x", "--daily-points", "many"], "--daily-points"),
        (&["add", "x", "--requests-per-minute", "0"], "requests_per_minute"),
        (&["delete", "nobody"], "nobody"),
        (&["paint", "x"], "paint"),
        (&["add", "x", "--colour", "red"], "--colour"),
    ] {
        let (status, said) = command(wrong);
        assert!(status != Some(0) && said.contains(words), "{wrong:?}: {said}");
    }
}

#[test]
fn a_torn_file_leaves_the_last_good_keys_in_force() {
    let poe = Poe::start();
    let dir = directory();
    let server = server(&poe, &["--config-dir", dir.to_str().expect("a path")]);
    let (_, secret) = add(&server, json!({"name": "Kay"}));
    let file = dir.join("keys.yaml");
    let good = fs::read(&file).expect("the file");
    fs::write(&file, &good[..good.len() / 2]).expect("written");
    let broken = |expected: &str| {
        eventually(PATIENCE, expected, || {
            let found = keys(&server);
            (found["file"]["state"] == expected).then_some(found)
        })
    };
    let shown = broken("broken");
    assert!(shown["file"]["error"].as_str().is_some_and(|error| error.starts_with("keys.yaml")), "{shown}");
    assert_eq!(
        (chat(&server, &secret, "demo-echo").status, chat(&server, "other", "demo-echo").status),
        (200, 401)
    );
    assert_eq!(admin(&server, "POST", "keys", Some(&json!({"name": "Lee"}))).status, 409);
    fs::write(&file, &good).expect("written");
    broken("good");
    add(&server, json!({"name": "Lee"}));
}

#[test]
fn keys_that_cannot_be_read_guard_the_servers_poe_key_and_nothing_else() {
    let poe = Poe::start();
    let dir = directory();
    fs::create_dir(dir.join("keys.yaml")).expect("a directory, which is no file that can be read");
    let args = ["--config-dir", dir.to_str().expect("a path")];
    let asked = |server: &TestServer, key: &str| chat(server, key, "demo-echo").status;
    let guarded = server(&poe, &args);
    assert_eq!((asked(&guarded, "anything"), asked(&guarded, "sk-p2o-unknown")), (401, 401));
    let open = TestServer::demo(&args);
    assert_eq!((asked(&open, "anything"), asked(&open, "sk-p2o-unknown")), (200, 401));
    assert!(open.output().contains("keys.yaml"), "the operator reads of it: {}", open.output());
}

/// Every endpoint that takes a model, with a body for it.
fn endpoints(model: &str) -> Vec<(&'static str, Value)> {
    let messages = json!([{"role": "user", "content": "hello"}]);
    vec![
        ("/v1/chat/completions", json!({"model": model, "messages": messages})),
        ("/v1/chat/completions", json!({"model": model, "messages": messages, "stream": true})),
        ("/v1/completions", json!({"model": model, "prompt": ["hello", "there"]})),
        ("/v1/responses", json!({"model": model, "input": "hello"})),
        ("/v1/responses/input_tokens", json!({"model": model, "input": "hello"})),
        ("/v1/responses/compact", json!({"model": model, "input": "hello"})),
        ("/v1/messages", json!({"model": model, "messages": messages, "max_tokens": 100})),
        ("/v1/messages/count_tokens", json!({"model": model, "messages": messages})),
        ("/v1/images/generations", json!({"model": model, "prompt": "a cat"})),
        (
            "/v1/images/edits",
            json!({"model": model, "prompt": "a cat", "image": "data:image/png;base64,iVBORw0KGgo="}),
        ),
        ("/v1/audio/speech", json!({"model": model, "input": "hello", "voice": "alloy"})),
        ("/api/chat", json!({"model": model, "messages": messages})),
        ("/api/chat", json!({"model": model, "messages": []})),
        ("/api/generate", json!({"model": model, "prompt": "hello"})),
        ("/api/generate", json!({"model": model, "keep_alive": 0})),
        ("/v1/images", json!({"model": model, "prompt": "a cat"})),
        ("/v1/audio", json!({"model": model, "input": "hello", "voice": "alloy"})),
        ("/v1/videos", json!({"model": model, "prompt": "a cat"})),
    ]
}

#[test]
fn a_model_that_is_not_allowed_is_refused_everywhere_and_listed_nowhere() {
    for route in ["bot", "native", "auto"] {
        let poe = Poe::start();
        let server = server(&poe, &["--poe-route", route]);
        let (_, secret) = add(&server, json!({"name": "Kay", "models": ["demo-echo", "demo-c*"]}));
        for model in [
            "demo-gpt",
            "DEMO-GPT:latest",
            "poe/demo-gpt",
            "demo-gpt-high",
            "some-private-bot",
            "demo-c/some-private-bot",
        ] {
            for (path, body) in endpoints(model) {
                let answer = server.ask(&post(path, &secret, &body));
                assert_eq!(answer.status, 403, "{route} {path} {model}: {answer:?}");
                let words = answer.json();
                let error = &words["error"];
                let said = error["message"].as_str().or(error.as_str()).expect("a message");
                assert!(said.contains("may not use the model"), "{path}: {words}");
            }
            for path in [format!("/v1/models/{model}"), format!("/anthropic/v1/models/{model}")] {
                assert_eq!(get(&server, &secret, &path).status, 404, "{path}");
            }
            assert_eq!(server.ask(&post("/api/show", &secret, &json!({"model": model}))).status, 404);
        }
        assert_eq!(poe.queries(), 0, "{route}");
        for path in ["/v1/models", "/api/models", "/anthropic/v1/models", "/api/tags"] {
            let list = get(&server, &secret, path).json();
            let models = list["data"].as_array().or(list["models"].as_array()).expect("a list").clone();
            let name =
                |model: &Value| model["id"].as_str().or(model["name"].as_str()).expect("a name").to_owned();
            let names: Vec<String> = models.iter().map(name).collect();
            let is_allowed = |name: &String| name.starts_with("demo-echo") || name.starts_with("demo-c");
            assert!(names.len() >= 2 && names.iter().all(is_allowed), "{path}: {names:?}");
        }
        if route != "native" {
            assert_eq!(chat(&server, &secret, "demo-echo").status, 200);
        }
    }
}

#[test]
fn a_minute_has_its_limit_in_every_dialect() {
    let poe = Poe::start();
    let server = server(&poe, &[]);
    let (_, secret) = add(&server, json!({"name": "Kay", "requests_per_minute": 2}));
    let (_, other) = add(&server, json!({"name": "Lee"}));
    assert_eq!(
        [chat(&server, &secret, "demo-echo").status, chat(&server, &secret, "demo-echo").status],
        [200, 200]
    );
    let answer = chat(&server, &secret, "demo-echo");
    let wait: u64 = answer.header("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
    assert!(
        answer.status == 429 && code(&answer) == "rate_limit_exceeded" && (1..=60).contains(&wait),
        "{answer:?}"
    );
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .is_some_and(|said| said.contains("2 requests a minute") && said.contains("UTC"))
    );
    let anthropic = server.ask(&post("/v1/messages", &secret, &endpoints("demo-echo")[6].1));
    assert_eq!((anthropic.status, &anthropic.json()["error"]["type"]), (429, &json!("rate_limit_error")));
    let ollama = server.ask(&post("/api/chat", &secret, &endpoints("demo-echo")[11].1));
    assert!(
        ollama.status == 429 && ollama.json()["error"].as_str().is_some_and(|said| said.contains("a minute"))
    );
    assert_eq!(chat(&server, &other, "demo-echo").status, 200);
}

#[test]
fn parallel_requests_exceed_a_budget_by_one_at_most() {
    let poe = Poe::start();
    let server = server(&poe, &[]);
    // one of these requests takes about 0.9 points by the price of the list
    let (id, secret) = add(&server, json!({"name": "Kay", "daily_points": 6}));
    let statuses: Vec<u16> = thread::scope(|scope| {
        let ask = || scope.spawn(|| chat(&server, &secret, "demo-gpt").status);
        let asked: Vec<_> = (0..50).map(|_| ask()).collect();
        asked.into_iter().map(|one| one.join().expect("an answer")).collect()
    });
    let good = statuses.iter().filter(|status| **status == 200).count();
    assert!(good > 0 && statuses.iter().all(|status| [200, 402].contains(status)), "{statuses:?}");
    let shown = keys(&server);
    let budget = shown["keys"]
        .as_array()
        .and_then(|keys| keys.iter().find(|key| key["id"] == json!(id)))
        .expect("the key")["budgets"][0]
        .clone();
    let spent = budget["spent"].as_f64().expect("points");
    let one = spent / good as f64;
    assert!(spent >= 6.0 && spent < 6.0 + one && budget["reserved"] == 0.0, "{good} requests: {budget}");
    assert_eq!(poe.queries(), good as u64);
    let refused = chat(&server, &secret, "demo-gpt");
    assert_eq!(
        (refused.status, code(&refused), refused.header("retry-after")),
        (402, "insufficient_quota".to_owned(), None)
    );
    let said = refused.json()["error"]["message"].as_str().expect("words").to_owned();
    assert!(said.contains("6 points a day") && said.contains("T00:00:00Z (UTC)"), "{said}");
    let anthropic = server.ask(&post("/v1/messages", &secret, &endpoints("demo-gpt")[6].1));
    assert_eq!((anthropic.status, &anthropic.json()["error"]["type"]), (402, &json!("billing_error")));
    let ollama = server.ask(&post("/api/chat", &secret, &endpoints("demo-gpt")[11].1));
    assert!(
        ollama.status == 402 && ollama.json()["error"].as_str().is_some_and(|said| said.contains("used up"))
    );
    assert_eq!(
        admin(&server, "PATCH", &format!("keys/{id}"), Some(&json!({"daily_points": 1000}))).status,
        200
    );
    assert_eq!(chat(&server, &secret, "demo-gpt").status, 200);
}

#[test]
fn a_key_that_was_made_here_is_never_taken_for_one_of_poes() {
    let poe = Poe::start();
    let unknown = "sk-p2o-of-another-replica-or-deleted-long-ago";
    for server in [server(&poe, &[]), TestServer::before(&poe, &[])] {
        assert_eq!(chat(&server, "anything", "demo-echo").status, 200);
        let asked = poe.queries();
        assert_eq!(chat(&server, unknown, "demo-echo").status, 401);
        assert_eq!(
            server.ask(&common::post(&format!("/v1/chat/completions?key={unknown}"), &[], "{}")).status,
            401
        );
        assert_eq!(poe.queries(), asked);
    }
}

#[test]
fn a_key_expires() {
    let poe = Poe::start();
    let server = server(&poe, &[]);
    let (id, secret) = add(&server, json!({"name": "Kay", "expires": "2020-01-01"}));
    let answer = chat(&server, &secret, "demo-echo");
    assert!(
        answer.status == 401
            && answer.json()["error"]["message"].as_str().is_some_and(|said| said.contains("expired"))
    );
    assert_eq!(admin(&server, "PATCH", &format!("keys/{id}"), Some(&json!({"expires": null}))).status, 200);
    assert_eq!(chat(&server, &secret, "demo-echo").status, 200);
}

#[test]
fn keys_let_a_server_be_reached_from_elsewhere() {
    let dir = directory();
    let dir = dir.to_str().expect("a path");
    let start = |env: &[(&str, &str)]| run(&["check", "--host", "0.0.0.0", "--config-dir", dir], env);
    assert_eq!(start(&[("POE_API_KEY", "p")]).status.code(), Some(1));
    assert_eq!(run(&["keys", "add", "Kay", "--config-dir", dir], &[]).status.code(), Some(0));
    assert_eq!(start(&[("POE_API_KEY", "p")]).status.code(), Some(0));
    let without = start(&[]);
    let words = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(without.status.code() == Some(1) && words.contains("keys.yaml without POE_API_KEY"), "{words}");
}
