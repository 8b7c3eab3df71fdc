//! A soak: many clients of every dialect at once, with tools, uploads, disconnects, faults, saved settings and changing
//! keys. Every answer must be right to the byte, and memory, descriptors and threads must not grow.
//!
//! `SOAK_MINUTES=30 cargo test --release --test soak -- --nocapture` runs it long; without the variable it takes seconds.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Answer, PATIENCE, Poe, TestServer, Wire, binary, claims_success, eventually, fault, post};
use serde_json::{Value, json};

const ADMIN: &str = "Authorization: Basic YWRtaW46b3Blbg==";

/// One client: what it asks is decided by its own number and count.
struct Client<'s> {
    server: &'s TestServer,
    number: u64,
    count: u64,
    kept: Option<Wire>,
}

/// A way to ask, and how the text of an answer is read.
struct Way {
    path: &'static str,
    body: fn(&str, bool) -> Value,
    whole: fn(&Value) -> String,
    piece: fn(&Value) -> Option<&str>,
    /// Whether a stream is lines of JSON and not events.
    is_lines: bool,
}

fn messages(text: &str, stream: bool) -> Value {
    json!({"model": "demo-echo", "max_tokens": 9999, "stream": stream, "messages": [{"role": "user", "content": text}]})
}

const WAYS: [Way; 4] = [
    Way {
        path: "/v1/chat/completions",
        body: messages,
        whole: |body| body["choices"][0]["message"]["content"].as_str().unwrap_or_default().into(),
        piece: |event| event["choices"][0]["delta"]["content"].as_str(),
        is_lines: false,
    },
    Way {
        path: "/v1/messages",
        body: messages,
        whole: |body| body["content"][0]["text"].as_str().unwrap_or_default().into(),
        piece: |event| event["delta"]["text"].as_str(),
        is_lines: false,
    },
    Way {
        path: "/v1/responses",
        body: |text, stream| json!({"model": "demo-echo", "input": text, "stream": stream}),
        whole: |body| body["output"][0]["content"][0]["text"].as_str().unwrap_or_default().into(),
        piece: |event| event["delta"].as_str(),
        is_lines: false,
    },
    Way {
        path: "/api/chat",
        body: messages,
        whole: |body| body["message"]["content"].as_str().unwrap_or_default().into(),
        piece: |event| event["message"]["content"].as_str(),
        is_lines: true,
    },
];

impl Way {
    fn text(&self, answer: &Answer, is_stream: bool) -> String {
        let body = answer.text();
        if !is_stream {
            return (self.whole)(&answer.json());
        }
        let data = |line: &str| {
            let json = if self.is_lines { line } else { line.strip_prefix("data: ")? };
            serde_json::from_str::<Value>(json).ok()
        };
        body.lines().filter_map(data).filter_map(|event| (self.piece)(&event).map(str::to_owned)).collect()
    }
}

impl Client<'_> {
    /// A text that no other request has.
    fn nonce(&self) -> String {
        format!(
            "client {} request {} ‹{:x}› 世界",
            self.number,
            self.count,
            self.number.wrapping_mul(0x9E37_79B9) ^ self.count
        )
    }

    fn request(&self, path: &str, body: &Value) -> String {
        // a key serves for some requests, then another
        let key = format!("Authorization: Bearer key-{}-{}", self.number, self.count / 50);
        post(path, &[&key], &body.to_string())
    }

    fn ask(&mut self, path: &str, body: &Value) -> Answer {
        let request = self.request(path, body);
        let mut wire = self.kept.take().unwrap_or_else(|| self.server.wire());
        let answer = wire.ask(&request);
        if answer.header("connection").is_none() && !self.count.is_multiple_of(7) {
            self.kept = Some(wire);
        }
        answer
    }

    fn turn(&mut self) {
        self.count += 1;
        match (self.number + self.count) % 12 {
            0 => self.disconnects(),
            1 => self.calls_a_tool(),
            2 => self.uploads(),
            3 => self.meets_a_fault(),
            4 => self.has_a_wrong_key(),
            step => self.echoes(&WAYS[step as usize % WAYS.len()]),
        }
    }

    fn echoes(&mut self, way: &Way) {
        let is_stream = self.count.is_multiple_of(2);
        let nonce = self.nonce().repeat(1 + self.count as usize % 20);
        let answer = self.ask(way.path, &(way.body)(&nonce, is_stream));
        assert_eq!(
            (answer.status, way.text(&answer, is_stream)),
            (200, nonce),
            "{} {}",
            way.path,
            answer.text()
        );
    }

    fn disconnects(&mut self) {
        let mut wire = self.server.wire();
        let mut body = messages("x", true);
        body["model"] = "demo-story".into();
        wire.stream(&self.request("/v1/chat/completions", &body)).begin();
        wire.leave();
    }

    fn calls_a_tool(&mut self) {
        let name = format!("tool_{}_{}", self.number, self.count);
        let mut body = messages("call it", self.count.is_multiple_of(2));
        body["model"] = if self.count % 4 < 2 { "demo-tools" } else { "demo-xml-tools" }.into();
        let parameters =
            json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        body["tools"] = json!([{"type": "function", "function": {"name": name, "parameters": parameters}}]);
        let answer = self.ask("/v1/chat/completions", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.text().contains(&format!("\"name\":\"{name}\"")), "{}", answer.text());
    }

    fn uploads(&mut self) {
        let nonce = self.nonce();
        let name = format!("file-{}-{}.txt", self.number, self.count);
        let content = format!(
            "data:text/plain;base64,{}",
            format!("{:016}", self.number * 1_000_000 + self.count).repeat(64)
        );
        let mut body = messages("", false);
        body["messages"][0]["content"] = json!([
            {"type": "text", "text": nonce},
            {"type": "file", "file": {"filename": name, "file_data": content}},
        ]);
        let answer = self.ask("/v1/chat/completions", &body);
        let text = (WAYS[0].whole)(&answer.json());
        assert!(text.starts_with(&nonce) && text.contains(&name) && text.lines().count() == 4, "{text}");
    }

    fn meets_a_fault(&mut self) {
        let (bot, status) = [
            ("demo-error-http-402", 402),
            ("demo-error-http-429", 429),
            ("demo-truncated", 502),
            ("demo-error-late", 200),
        ][self.count as usize % 4];
        let mut body = messages(&self.nonce(), status == 200);
        body["model"] = bot.into();
        let request = self.request("/v1/chat/completions", &body);
        let mut wire = self.server.wire();
        let mut stream = match status {
            200 => wire.stream(&request),
            _ => {
                let answer = wire.ask(&request);
                return assert_eq!(answer.status, status, "{bot}: {answer:?}");
            }
        };
        let events = stream.rest();
        assert!(fault(&events).is_some() && !claims_success(&events), "{events:?}");
    }

    fn has_a_wrong_key(&mut self) {
        let body = messages("x", false).to_string();
        let answer =
            self.server.ask(&post("/v1/chat/completions", &["Authorization: Bearer wrong-key"], &body));
        assert_eq!(answer.status, 401, "{answer:?}");
    }
}

/// Saves models.yaml with another alias, as the page does.
fn save(server: &TestServer, turn: u64) {
    let yaml = format!("enable: true\nmodels:\n  demo-story:\n    aliases: [story-{turn}]\n");
    let answer = server.ask(&post("/api/admin/config/file", &[ADMIN], &json!({"yaml": yaml}).to_string()));
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = server.ask(&format!("GET /v1/models/story-{turn} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_eq!(list.status, 200, "{list:?}");
}

/// What the server holds of the system.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    kib: u64,
    files: u64,
    threads: u64,
}

impl Held {
    fn by(server: &TestServer) -> Held {
        let files = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("Linux").count() as u64;
        Held { kib: server.memory("VmRSS:"), files, threads: server.memory("Threads:") }
    }

    fn most(all: &[Held]) -> Held {
        let most = |of: fn(&Held) -> u64| all.iter().map(of).max().unwrap_or_default();
        Held {
            kib: most(|held| held.kib),
            files: most(|held| held.files),
            threads: most(|held| held.threads),
        }
    }
}

/// The thirds of what was measured after the beginning: the last may not hold more than the first.
fn is_flat(measured: &[Held]) {
    let settled = &measured[measured.len() / 4..];
    let third = settled.len() / 3;
    let (first, last) = (Held::most(&settled[..third]), Held::most(&settled[settled.len() - third..]));
    println!("first third: {first:?}\nlast third:  {last:?}");
    assert!(last.kib <= first.kib + first.kib / 5 + (8 << 10), "memory grows: {measured:?}");
    assert!(last.files <= first.files + 60, "descriptors grow: {measured:?}");
    assert!(last.threads <= first.threads + 60, "threads grow: {measured:?}");
}

#[test]
fn many_clients_for_a_long_time() {
    let minutes = std::env::var("SOAK_MINUTES").ok().and_then(|text| text.parse::<f64>().ok());
    let clients = if minutes.is_some() { 100 } else { 24 };
    let duration = Duration::from_secs_f64(minutes.unwrap_or(0.2) * 60.0);
    let poe = Poe::start();
    let upload = format!("{}/upload", poe.at.base_url);
    let mut program = match std::env::var_os("PROGRAM") {
        Some(path) => {
            let mut program = std::process::Command::new(path);
            program.env_clear();
            program
        }
        None => binary(),
    };
    program.env("ADMIN_PASSWORD", "open");
    let args = [
        "--poe-base-url",
        &poe.at.base_url,
        "--poe-file-upload-url",
        &upload,
        "--poe-proxy",
        "none",
        "--log-level",
        "error",
    ];
    let server = TestServer::start(program, &args);
    let idle = Held::by(&server);
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut measured = Vec::new();
    thread::scope(|scope| {
        for number in 0..clients {
            let (server, done, answered) = (&server, &done, &answered);
            scope.spawn(move || {
                let mut client = Client { server, number, count: 0, kept: None };
                while !done.load(Ordering::Relaxed) {
                    client.turn();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let end = Instant::now() + duration;
        let mut turn = 0;
        while Instant::now() < end {
            thread::sleep(duration / 60);
            turn += 1;
            save(&server, turn);
            measured.push(Held::by(&server));
        }
        done.store(true, Ordering::Relaxed);
    });
    let answered = answered.into_inner();
    println!("{answered} requests of {clients} clients in {} s, all right", duration.as_secs());
    is_flat(&measured);
    assert!(answered > 10 * clients, "hardly anything was asked: {answered}");
    // connections to Poe and to its upload host are kept for the next request, at most 64 each
    let kept = 2 * 64;
    eventually(PATIENCE * 2, "the connections of clients are closed", || {
        let held = Held::by(&server);
        (held.files <= idle.files + kept && poe.open() == 0).then_some(())
    });
    println!("idle before: {idle:?}\nidle after:  {:?}", Held::by(&server));
}
