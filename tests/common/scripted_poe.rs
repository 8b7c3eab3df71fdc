//! A scripted Poe that sends given bytes and records its queries.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cut {
    /// In one piece.
    #[default]
    Nowhere,
    /// One byte per write.
    Everywhere,
}

/// What a bot, or the endpoint for files, answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status, and headers if any follow on lines of their own.
    pub head: String,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Answer {
    /// A stream of events.
    pub fn stream(body: Vec<u8>) -> Answer {
        Answer { head: "200\nContent-Type: text/event-stream".into(), body }
    }
}

/// The answers and how they are written.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// The first query gets the first answer, and so on; the last is for all that follow.
    pub answers: Vec<Answer>,
    /// How answers are written.
    pub cut: Cut,
    /// Answer to every upload instead of a URL.
    pub upload: Option<Answer>,
    /// No upload is answered before so many are there.
    pub together: usize,
}

/// Queries and uploads that Poe received.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// `{"bot", "body"}` of every query.
    pub queries: Vec<Value>,
    /// What was uploaded: name, type and content, or the link.
    pub uploads: Vec<Value>,
}

/// A running Poe; it ends when dropped.
pub struct Poe {
    /// Takes the place of `https://api.poe.com`.
    pub base_url: String,
    shared: Arc<Shared>,
}

struct Shared {
    models: String,
    state: Mutex<(Script, Asked)>,
    arrived: Condvar,
    over: AtomicBool,
}

struct Request {
    path: String,
    head: String,
    body: Vec<u8>,
}

impl Poe {
    /// A Poe that lists `models`, the answer of `GET /v1/models`.
    pub fn start(models: String) -> Poe {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base_url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared =
            Shared { models, state: Mutex::default(), arrived: Condvar::new(), over: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if served.over.load(Ordering::Relaxed) {
                    return;
                }
                let (served, stream) = (Arc::clone(&served), stream.expect("a connection"));
                // a client disconnect is not an error of Poe
                thread::spawn(move || served.answer(stream));
            }
        });
        Poe { base_url, shared }
    }

    /// Clears the records and uses `script` from now on.
    pub fn play(&self, script: Script) {
        *self.shared.lock() = (script, Asked::default());
    }

    /// Records since the script was set.
    pub fn asked(&self) -> Asked {
        self.shared.lock().1.clone()
    }
}

impl Drop for Poe {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // wakes the listener
        let _ = TcpStream::connect(self.base_url.trim_start_matches("http://"));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (Script, Asked)> {
        self.state.lock().expect("no thread panics with the state")
    }

    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let request = Request::read(&stream)?;
        let (answer, cut) = match request.path.as_str() {
            "/v1/models" => (json_answer(self.models.clone()), Cut::Nowhere),
            "/upload" => (self.upload(&request), Cut::Nowhere),
            path => self.query(path, &request.body),
        };
        let (status, headers) = answer.head.split_once('\n').unwrap_or((&answer.head, ""));
        let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
        let head = format!("HTTP/1.1 {} Said\r\n{headers}Connection: close\r\n\r\n", status.trim());
        (&stream).write_all(head.as_bytes())?;
        let size = if cut == Cut::Everywhere { 1 } else { answer.body.len().max(1) };
        answer.body.chunks(size).try_for_each(|piece| (&stream).write_all(piece))?;
        stream.shutdown(Shutdown::Write)
    }

    fn query(&self, path: &str, body: &[u8]) -> (Answer, Cut) {
        // files that a bot made are asked for without a body
        let body = match body {
            [] => Value::Null,
            body => serde_json::from_slice(body).expect("a query is JSON"),
        };
        let (script, asked) = &mut *self.lock();
        let bot = path.strip_prefix("/bot/").unwrap_or(path);
        let turn = asked.queries.len().min(script.answers.len() - 1);
        asked.queries.push(json!({"bot": bot, "body": body}));
        (script.answers[turn].clone(), script.cut)
    }

    fn upload(&self, request: &Request) -> Answer {
        let upload = uploaded(&request.head, &request.body);
        let mut state = self.lock();
        state.1.uploads.push(upload.clone());
        self.arrived.notify_all();
        let few = |state: &mut (Script, Asked)| state.1.uploads.len() < state.0.together;
        let patience = Duration::from_secs(10);
        let (state, late) = self.arrived.wait_timeout_while(state, patience, few).expect("the state");
        if late.timed_out() {
            return Answer { head: "500".into(), body: b"uploads came one after the other".to_vec() };
        }
        let name = upload["name"].as_str().expect("every upload has a name");
        let url = format!("https://pfst.cf2.poecdn.net/base/upload/{name}");
        let placed = json!({"attachment_url": url, "mime_type": upload["type"]}).to_string();
        state.0.upload.clone().unwrap_or_else(|| json_answer(placed))
    }
}

fn json_answer(body: String) -> Answer {
    Answer { head: "200\nContent-Type: application/json".into(), body: body.into_bytes() }
}

impl Request {
    fn read(stream: &TcpStream) -> std::io::Result<Request> {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
        let length = header(&head, "content-length").and_then(|value| value.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        Ok(Request { path, head, body })
    }
}

fn header<'h>(head: &'h str, wanted: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
}

/// What an upload holds, in either form that Poe takes.
fn uploaded(head: &str, body: &[u8]) -> Value {
    let kind = header(head, "content-type").unwrap_or_default();
    let Some((_, boundary)) = kind.split_once("boundary=") else {
        let form = String::from_utf8_lossy(body).into_owned();
        let field = |wanted: &str| {
            let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value);
            percent_encoding::percent_decode_str(found.unwrap_or_default()).decode_utf8_lossy().into_owned()
        };
        return json!({"link": field("download_url"), "name": field("download_filename"), "type": null});
    };
    let part = body.strip_prefix(format!("--{boundary}\r\n").as_bytes()).expect("a part begins");
    let part = part.strip_suffix(format!("\r\n--{boundary}--\r\n").as_bytes()).expect("a part ends");
    let end = part.windows(4).position(|four| four == b"\r\n\r\n").expect("a part has a head");
    let part_head = String::from_utf8_lossy(&part[..end]).into_owned();
    let name = part_head.split("filename=\"").nth(1).and_then(|rest| rest.split('"').next());
    json!({
        "name": name,
        "type": header(&part_head, "content-type"),
        "content": String::from_utf8_lossy(&part[end + 4..]),
    })
}
