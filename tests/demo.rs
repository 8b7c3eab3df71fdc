//! The embedded Poe over real sockets: its endpoints, keys, streams and recorded queries.

use std::io::Read;
use std::time::{Duration, Instant};

use poe2openai::demo::{self, Demo};
use poe2openai::server::{ShutdownPhase, Stop};

use serde_json::{Value, json};

/// A running demo that stops with its test.
struct Poe {
    at: Demo,
    stop: Stop,
}

impl Drop for Poe {
    fn drop(&mut self) {
        self.stop.go(ShutdownPhase::Ending);
    }
}

type Reply = ureq::http::Response<ureq::Body>;

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into()
}

impl Poe {
    fn start() -> Poe {
        let stop = Stop::new().expect("a stop");
        Poe { at: demo::start(stop.clone()).expect("a demo"), stop }
    }

    fn get(&self, path: &str, key: &str) -> Value {
        let request = agent()
            .get(format!("{}{path}", self.at.base_url))
            .header("Authorization", format!("Bearer {key}"));
        json_of(request.call().expect("an answer"))
    }

    fn send(&self, bot: &str, key: &str, body: &Value) -> Result<Reply, ureq::Error> {
        let request = agent().post(format!("{}/bot/{bot}", self.at.base_url));
        let request = request.header("Authorization", format!("Bearer {key}"));
        request.header("Content-Type", "application/json").send(body.to_string().as_bytes())
    }

    fn ask(&self, bot: &str, words: &str) -> Result<Reply, ureq::Error> {
        self.send(bot, "key", &asking(words))
    }

    fn upload(&self, key: &str, content_type: &str, body: &[u8]) -> (u16, Value) {
        let request = agent().post(&self.at.upload_url).header("Authorization", key);
        let reply = request.header("Content-Type", content_type).send(body).expect("an answer");
        (reply.status().as_u16(), json_of(reply))
    }
}

fn json_of(mut reply: Reply) -> Value {
    serde_json::from_slice(&reply.body_mut().read_to_vec().expect("a whole body")).expect("JSON")
}

fn asking(words: &str) -> Value {
    json!({"version": "1.2", "type": "query", "user_id": "", "conversation_id": "", "message_id": "",
        "query": [{"role": "user", "content": words, "content_type": "text/markdown"}]})
}

#[test]
fn a_bot_streams_its_answer_and_is_done() {
    let poe = Poe::start();
    let mut reply = poe.ask("Demo-Echo", "hello").expect("an answer");
    assert_eq!(reply.headers()["content-type"], "text/event-stream; charset=utf-8");
    let body = reply.body_mut().read_to_string().expect("text");
    assert_eq!(body, "event: text\ndata: {\"text\":\"hello\"}\n\nevent: done\ndata: {}\n\n");
}

#[test]
fn failures_have_their_status_and_headers() {
    let poe = Poe::start();
    let failed = |bot: &str, key: &str, body: &Value| {
        let reply = poe.send(bot, key, body).expect("an answer");
        let wait = reply.headers().get("retry-after").map(|value| value.to_str().expect("text").to_string());
        (reply.status().as_u16(), wait, json_of(reply)["error"]["type"].clone())
    };
    let rate = Some("7".to_string());
    assert_eq!(
        failed("demo-error-http-429", "key", &asking("x")),
        (429, rate.clone(), json!("rate_limit_error"))
    );
    assert_eq!(failed("demo-echo", "slow-down", &asking("x")), (429, rate, json!("rate_limit_error")));
    assert_eq!(failed("demo-echo", "wrong-key", &asking("x")), (401, None, json!("authentication_error")));
    assert_eq!(failed("demo-echo", "poor-key", &asking("x")), (402, None, json!("insufficient_credits")));
    assert_eq!(failed("nobody", "key", &asking("x")), (404, None, json!("not_found_error")));
    assert_eq!(
        failed("demo-echo", "key", &json!({"type": "query"})),
        (400, None, json!("invalid_request_error"))
    );
}

#[test]
fn failing_bots_fail_as_described() {
    let poe = Poe::start();
    assert!(poe.ask("demo-drop", "x").is_err(), "hangs up before the head");
    assert_eq!(poe.ask("demo-drop", "x").expect("the second time").status().as_u16(), 200);
    let read = |bot: &str| {
        let mut body = Vec::new();
        let mut reply = poe.ask(bot, "x").expect("a head");
        let ended = reply.body_mut().as_reader().read_to_end(&mut body);
        (ended.is_ok(), String::from_utf8_lossy(&body).contains("event: done"))
    };
    assert_eq!(read("demo-echo"), (true, true));
    assert_eq!(read("demo-truncated"), (true, false));
    assert_eq!(read("demo-broken"), (false, false));
}

#[test]
fn a_client_that_leaves_frees_its_stream_soon() {
    let poe = Poe::start();
    for bot in ["demo-stall", "demo-stall-late", "demo-story", "demo-linger"] {
        let mut reply = poe.ask(bot, "x").expect("a head");
        reply.body_mut().as_reader().read_exact(&mut [0]).expect("a first byte");
        assert_eq!(poe.get("/demo/stats", "key")["bots"][bot]["open"], 1, "{bot}");
        drop(reply);
        let left = Instant::now();
        while poe.get("/demo/stats", "key")["open"] != 0 {
            assert!(left.elapsed() < Duration::from_secs(2), "{bot} goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn queries_are_remembered_without_their_key() {
    let poe = Poe::start();
    poe.ask("demo-echo", "remember me").expect("an answer");
    let queries = poe.get("/demo/queries", "key");
    assert_eq!(queries[0]["bot"], "demo-echo");
    assert_eq!(queries[0]["body"]["query"][0]["content"], "remember me");
    assert_eq!(queries[0]["headers"]["content-type"], "application/json");
    assert!(queries[0]["headers"].get("authorization").is_none());
    agent().post(format!("{}/demo/reset", poe.at.base_url)).send_empty().expect("an answer");
    assert_eq!(poe.get("/demo/queries", "key"), json!([]));
}

#[test]
fn files_come_in_go_out_and_expire() {
    let poe = Poe::start();
    let body = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\0\xff\r\n--b--\r\n";
    let (status, answer) = poe.upload("key", "multipart/form-data; boundary=b", body);
    assert_eq!((status, &answer["mime_type"]), (200, &json!("image/png")));
    let url = answer["attachment_url"].as_str().expect("a URL");
    let mut file = agent().get(url).call().expect("the file");
    assert_eq!(file.headers()["content-type"], "image/png");
    assert_eq!(file.body_mut().read_to_vec().expect("bytes"), b"\0\xff");
    assert_eq!(poe.upload("Bearer key", "multipart/form-data; boundary=b", body).0, 401);

    let mut query = asking("look");
    query["query"][0]["attachments"] = json!([{"url": url, "content_type": "image/png", "name": "a.png"}]);
    let look = || poe.send("demo-dead-file", "key", &query).expect("an answer").body_mut().read_to_string();
    assert!(look().expect("text").ends_with("event: done\ndata: {}\n\n"));
    agent().post(format!("{}/demo/expire-files", poe.at.base_url)).send_empty().expect("an answer");
    assert!(
        look()
            .expect("text")
            .starts_with("event: error\ndata: {\"allow_retry\":false,\"text\":\"Failed to fetch")
    );
    assert_eq!(agent().get(url).call().expect("an answer").status().as_u16(), 404);
}

#[test]
fn the_model_list_and_the_points_are_open() {
    let poe = Poe::start();
    let models =
        json_of(agent().get(format!("{}/v1/models", poe.at.base_url)).call().expect("no key needed"));
    assert!(models["data"].as_array().is_some_and(|entries| entries.len() > 60));
    assert_eq!(poe.get("/v1/models", "")["error"]["code"], 401, "an empty key is refused");
    poe.ask("demo-echo", "spend").expect("an answer");
    let history = poe.get("/usage/points_history?limit=5", "key");
    assert_eq!((&history["length"], &history["data"][0]["bot_name"]), (&json!(1), &json!("demo-echo")));
    assert!(poe.get("/usage/current_balance", "key")["current_point_balance"].as_u64() < Some(1_000_000));
    assert_eq!(poe.get("/usage/current_balance", "poor-key")["current_point_balance"], 0);
    let settings = json_of(
        poe.send("demo-gpt", "key", &json!({"version": "1.2", "type": "settings"})).expect("an answer"),
    );
    assert_eq!(settings["parameter_controls"]["api_version"], "2");
}

#[test]
fn the_painting_is_served() {
    let poe = Poe::start();
    let mut cat = agent().get(format!("{}/art/cat.png", poe.at.base_url)).call().expect("the cat");
    assert_eq!(cat.headers()["content-type"], "image/png");
    assert!(cat.body_mut().read_to_vec().expect("bytes").starts_with(b"\x89PNG"));
}

#[test]
fn recorded_queries_are_not_readable_by_web_pages() {
    let poe = Poe::start();
    for path in ["/demo/queries", "/demo/doors", "/demo/uploads", "/demo/stats"] {
        let reply = agent().get(format!("{}{path}", poe.at.base_url)).call().expect("an answer");
        assert_eq!(reply.status(), 200, "{path}");
        assert!(reply.headers().get("access-control-allow-origin").is_none(), "{path}");
    }
}
