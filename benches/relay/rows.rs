//! The rows of the table, and how each is measured.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{Answer, Client, last_post, post};
use crate::median;
use crate::poe::HOLD;
use crate::servers::{Kind, Server};

/// One row of the table: what the clients do, and what the figures must be.
pub struct Row {
    pub name: &'static str,
    pub load: Load,
    pub musts: &'static [(&'static str, Must)],
}

/// A bound of a figure.
#[derive(Clone, Copy)]
pub enum Must {
    /// At most so many times the relay's.
    Ratio(f64),
    RatioAtLeast(f64),
    AtMost(f64),
}

/// What the clients ask for.
#[derive(Clone, Copy)]
pub enum Load {
    /// Nothing at all.
    Idle,
    /// So many clients ask so often, each time after the answer.
    Chat { clients: usize, requests: usize, bot: &'static str, stream: bool, prompt: usize },
    /// So many streams are begun and held.
    Hold { clients: usize },
    /// So many streams are begun, held and left, three times.
    HoldAndLeave { clients: usize },
    /// One answer of 100 MB; what it takes at most.
    Big { stream: bool },
    /// So many clients ask for 100 MB each and do not read.
    Stalled { clients: usize },
    /// So many requests, one after the other, against the `megabytes` that matter in one of them.
    Peak { path: &'static str, content: Content, megabytes: usize, times: usize },
    /// The peak of one request in a container of 64 MB with the settings of compose.yaml.
    Small { path: &'static str, content: Content },
    /// A request with so many tools, against the same on `/v1/chat/completions`.
    Tools { path: &'static str, tools: usize },
}

/// What a large request consists of, or asks for.
#[derive(Clone, Copy)]
pub enum Content {
    Prompt,
    /// A file as base64.
    File,
    /// A short question whose answer is large.
    Answer {
        stream: bool,
    },
}

const PEAK: &str = "peak over idle, × the data";
const LEFT: &str = "left, × the data";
const CPU_REQUEST: &str = "CPU, µs/request";
const CPU_EVENT: &str = "CPU, µs/event";
const FIRST: &str = "first content p50, µs";
const LAG: &str = "lag p99, µs";
const GROWN: &str = "peak over idle, MB";
const RSS: &str = "RSS, MB";

use Must::{AtMost, Ratio, RatioAtLeast};

pub const ROWS: &[Row] = &[
    row("idle, 300 models", Load::Idle, &[(RSS, AtMost(6.0))]),
    row(
        "whole, 1 client",
        chat(1, 3000, "bench-3-0", false, 20),
        &[(CPU_REQUEST, Ratio(2.2)), ("p50, µs", Ratio(1.8))],
    ),
    row("whole, 32 clients", chat(32, 200, "bench-3-0", false, 20), &[("requests/s", RatioAtLeast(0.8))]),
    row("whole, 100 KB prompt", chat(1, 600, "bench-3-0", false, 100_000), &[(CPU_REQUEST, Ratio(4.5))]),
    row(
        "stream, 1 client",
        chat(1, 200, "bench-500-0", true, 20),
        &[(FIRST, Ratio(2.0)), (CPU_EVENT, Ratio(1.8))],
    ),
    row("stream, 32 clients", chat(32, 10, "bench-500-0", true, 20), &[(CPU_EVENT, Ratio(1.0))]),
    row("stream, 128 clients", chat(128, 3, "bench-500-0", true, 20), &[(CPU_EVENT, Ratio(1.0))]),
    row(
        "paced stream, 100 clients",
        chat(100, 1, "bench-150-20", true, 20),
        &[(CPU_EVENT, Ratio(1.3)), (LAG, Ratio(1.5))],
    ),
    row("1000 held streams", Load::Hold { clients: 1000 }, &[(RSS, Ratio(2.0))]),
    row(
        "1000 streams left, three times",
        Load::HoldAndLeave { clients: 1000 },
        &[("left, MB", AtMost(15.0))],
    ),
    row("streamed answer of 100 MB", Load::Big { stream: true }, &[(GROWN, AtMost(16.0))]),
    row("whole answer of 100 MB", Load::Big { stream: false }, &[]),
    row("80 readers who stop reading", Load::Stalled { clients: 80 }, &[(GROWN, AtMost(80.0))]),
    row("file of 20 MB, chat", peak(CHAT, Content::File, 20, 1), &[(PEAK, AtMost(2.5))]),
    row("file of 20 MB, Responses", peak(RESPONSES, Content::File, 20, 1), &[(PEAK, AtMost(2.5))]),
    row("file of 20 MB, Messages", peak(MESSAGES, Content::File, 20, 1), &[(PEAK, AtMost(2.5))]),
    row(
        "streamed answer of 50 MB, Responses",
        peak(RESPONSES, Content::Answer { stream: true }, 50, 1),
        &[(PEAK, AtMost(3.0))],
    ),
    row(
        "whole answer of 50 MB, Responses",
        peak(RESPONSES, Content::Answer { stream: false }, 50, 1),
        &[(PEAK, AtMost(3.0))],
    ),
    row(
        "three prompts of 16 MB, chat",
        peak(CHAT, Content::Prompt, 16, 3),
        &[(PEAK, AtMost(3.2)), (LEFT, AtMost(0.3))],
    ),
    row(
        "three prompts of 16 MB, Messages",
        peak(MESSAGES, Content::Prompt, 16, 3),
        &[(PEAK, AtMost(3.2)), (LEFT, AtMost(0.3))],
    ),
    row(
        "three prompts of 16 MB, Responses",
        peak(RESPONSES, Content::Prompt, 16, 3),
        &[(PEAK, AtMost(4.0)), (LEFT, AtMost(0.3))],
    ),
    row("64 MB container, prompt of 12 MB, chat", small(CHAT, Content::Prompt), SMALL),
    row("64 MB container, prompt of 12 MB, Messages", small(MESSAGES, Content::Prompt), SMALL),
    row("64 MB container, prompt of 12 MB, Responses", small(RESPONSES, Content::Prompt), SMALL),
    row("64 MB container, prompt of 12 MB, Ollama", small(OLLAMA, Content::Prompt), SMALL),
    row("64 MB container, file of 12 MB, chat", small(CHAT, Content::File), SMALL),
    row("64 MB container, file of 12 MB, Messages", small(MESSAGES, Content::File), SMALL),
    row("64 MB container, file of 12 MB, Responses", small(RESPONSES, Content::File), SMALL),
    row("2000 tools, chat", Load::Tools { path: CHAT, tools: 2000 }, &[]),
    row(
        "2000 tools, Responses",
        Load::Tools { path: RESPONSES, tools: 2000 },
        &[("CPU, × chat", AtMost(1.3)), ("peak over idle, × the body", AtMost(15.0))],
    ),
];

const SMALL: &[(&str, Must)] = &[("peak RSS, MB", AtMost(60.0))];
pub const CHAT: &str = "/v1/chat/completions";
pub const MESSAGES: &str = "/v1/messages";
pub const RESPONSES: &str = "/v1/responses";
const OLLAMA: &str = "/api/chat";

const fn row(name: &'static str, load: Load, musts: &'static [(&'static str, Must)]) -> Row {
    Row { name, load, musts }
}

const fn chat(clients: usize, requests: usize, bot: &'static str, stream: bool, prompt: usize) -> Load {
    Load::Chat { clients, requests, bot, stream, prompt }
}

const fn peak(path: &'static str, content: Content, megabytes: usize, times: usize) -> Load {
    Load::Peak { path, content, megabytes, times }
}

const fn small(path: &'static str, content: Content) -> Load {
    Load::Small { path, content }
}

/// The size of a request that compose.yaml allows, less what stands around the data.
const SMALL_BYTES: usize = 12_582_912 - 4096;

impl Load {
    /// Whether the figures are compared with the data alone: the relay has none that mean the same.
    pub fn is_ours(self) -> bool {
        matches!(self, Load::Peak { .. } | Load::Small { .. } | Load::Tools { .. })
    }

    /// Environment variables for the program.
    pub fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Load::Small { .. } => &[("MAX_REQUEST_SIZE", "12582912"), ("MEMORY_BUDGET_MB", "48")],
            _ => &[],
        }
    }
}

/// Figures of one run by name; what is printed is their median.
pub type Figures = BTreeMap<&'static str, f64>;

pub fn run(server: &Server, kind: Kind, load: Load, scale: f64) -> Figures {
    match load {
        Load::Idle => {
            thread::sleep(Duration::from_secs(2)); // until the list of models is read
            Figures::from([(RSS, server.memory("VmRSS:"))])
        }
        Load::Chat { clients, requests, bot, stream, prompt } => {
            let requests = ((requests as f64 * scale) as usize).max(1);
            ask_all(server, clients, requests, &kind.request(bot, stream, prompt), stream)
        }
        Load::Hold { clients } => hold_all(server, clients, &kind.request(HOLD, true, 20)),
        Load::HoldAndLeave { clients } => hold_and_leave(server, clients, &kind.request(HOLD, true, 20)),
        Load::Big { stream } => big(server, kind, stream),
        Load::Stalled { clients } => stalled(server, clients, &kind.request("bench-10000-0-page", true, 20)),
        Load::Peak { path, content, megabytes, times } => {
            let bytes = megabytes * 1_000_000;
            let (before, status, left) = peak_of(server, &content.request(path, bytes), times);
            assert_eq!(status, 200, "{path} was not answered");
            let part = |megabytes: f64| megabytes.max(0.0) / (bytes as f64 / 1e6);
            let figures = [(PEAK, part(server.memory("VmHWM:") - before)), (LEFT, part(left - before))];
            figures.into()
        }
        Load::Small { path, content } => {
            let bytes = match content {
                Content::File => SMALL_BYTES / 4 * 3,
                _ => SMALL_BYTES,
            };
            let (_, status, _) = peak_of(server, &content.request(path, bytes), 1);
            [("peak RSS, MB", server.memory("VmHWM:")), ("status", status.into())].into()
        }
        Load::Tools { path, tools } => with_tools(server, path, tools, scale),
    }
}

/// All clients ask `requests` times each; a first answer to each comes before what is measured.
pub fn ask_all(server: &Server, clients: usize, requests: usize, request: &[u8], stream: bool) -> Figures {
    let mut all: Vec<Client> = (0..clients).map(|_| Client::connect(server.port)).collect();
    thread::scope(|scope| all.iter_mut().for_each(|client| drop(scope.spawn(|| client.ask(request)))));
    let (cpu, start) = (server.cpu(), Instant::now());
    let answers: Vec<Answer> = thread::scope(|scope| {
        let one = |client| {
            move || -> Vec<Answer> {
                let client: &mut Client = client;
                (0..requests).map(|_| client.ask(request)).collect()
            }
        };
        let running: Vec<_> = all.iter_mut().map(|client| scope.spawn(one(client))).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("a client")).collect()
    });
    let (cpu, took) = ((server.cpu() - cpu).as_secs_f64() * 1e6, start.elapsed().as_secs_f64());
    let count = answers.len() as f64;
    let mut times: Vec<f64> = answers.iter().map(|answer| answer.took * 1e6).collect();
    if !stream {
        let figures = [(CPU_REQUEST, cpu / count), ("p50, µs", median(&mut times))];
        return figures.into_iter().chain([("requests/s", count / took)]).collect();
    }
    let events = answers.iter().map(|answer| answer.events).sum::<usize>() as f64;
    let mut firsts: Vec<f64> = answers.iter().map(|answer| answer.first * 1e6).collect();
    let mut lags: Vec<f64> = answers.into_iter().flat_map(|answer| answer.lags).collect();
    lags.sort_by(f64::total_cmp);
    let late = lags.get(lags.len() * 99 / 100).copied().unwrap_or_default();
    [(CPU_EVENT, cpu / events), (FIRST, median(&mut firsts)), (LAG, late * 1e6)].into()
}

fn hold(server: &Server, clients: usize, request: &[u8]) -> Vec<Client> {
    let mut all: Vec<Client> = (0..clients).map(|_| Client::connect(server.port)).collect();
    all.iter_mut().for_each(|client| client.begin(request));
    all
}

fn hold_all(server: &Server, clients: usize, request: &[u8]) -> Figures {
    let before = server.memory("VmRSS:");
    let _all = hold(server, clients, request);
    let held = server.settled_memory();
    Figures::from([(RSS, held), ("KB/stream", (held - before) * 1e3 / clients as f64)])
}

fn hold_and_leave(server: &Server, clients: usize, request: &[u8]) -> Figures {
    Client::connect(server.port).begin(request);
    let before = server.memory("VmRSS:");
    let lefts = [(); 3].map(|()| {
        drop(hold(server, clients, request));
        // an idle thread ends after some seconds
        server.least_memory(Duration::from_secs(16)) - before
    });
    Figures::from([("left, MB", lefts[2])])
}

fn big(server: &Server, kind: Kind, stream: bool) -> Figures {
    let mut client = Client::connect(server.port);
    client.ask(&kind.request("bench-3-0", stream, 20));
    let (before, start) = (server.memory("VmRSS:"), server.cpu());
    let size = client.ask(&kind.request("bench-10000-0-page", stream, 20)).bytes as f64 / 1e6;
    let cpu = (server.cpu() - start).as_secs_f64();
    Figures::from([(GROWN, server.memory("VmHWM:") - before), ("CPU, ms/MB", cpu * 1e3 / size)])
}

fn stalled(server: &Server, clients: usize, request: &[u8]) -> Figures {
    let before = server.memory("VmRSS:");
    let mut all: Vec<Client> = (0..clients).map(|_| Client::connect(server.port)).collect();
    all.iter_mut().for_each(|client| client.begin(request));
    server.settled_memory();
    Figures::from([(GROWN, server.memory("VmHWM:") - before)])
}

/// Memory before `times` requests, the status of the last, and memory afterwards.
fn peak_of(server: &Server, request: &[u8], times: usize) -> (f64, u16, f64) {
    Client::connect(server.port).ask(&Kind::Program.request("bench-3-0", true, 20));
    let before = server.settled_memory();
    let status = (0..times).map(|_| Client::connect(server.port).status(request)).last();
    (before, status.unwrap_or_default(), server.settled_memory())
}

fn with_tools(server: &Server, path: &str, tools: usize, scale: f64) -> Figures {
    let requests = ((60.0 * scale) as usize).max(5);
    let cpu_of = |path: &str| {
        let (mut client, request) = (Client::connect(server.port), tools_request(path, tools));
        client.ask(&request);
        let before = server.cpu();
        (0..requests).for_each(|_| drop(client.ask(&request)));
        (server.cpu() - before).as_secs_f64() * 1e3 / requests as f64
    };
    Client::connect(server.port).ask(&Kind::Program.request("bench-3-0", true, 20));
    let before = server.settled_memory();
    let own = cpu_of(path);
    let size = tools_request(path, tools).len() as f64 / 1e6;
    let peak = (server.memory("VmHWM:") - before) / size;
    let mut figures = Figures::from([("CPU, ms/request", own), ("peak over idle, × the body", peak)]);
    if path != CHAT {
        figures.insert("CPU, × chat", own / cpu_of(CHAT));
    }
    figures
}

/// A request for a short answer with `tools` tools.
pub fn tools_request(path: &str, tools: usize) -> Vec<u8> {
    let tool = |number: usize| {
        let fields = format!(
            r#""name":"tool_{number}","description":"Reads a file and does something with it.","parameters":{{"type":"object","properties":{{"path":{{"type":"string","description":"The file"}},"limit":{{"type":"integer"}}}},"required":["path"]}}"#
        );
        match path {
            CHAT => format!(r#"{{"type":"function","function":{{{fields}}}}}"#),
            _ => format!(r#"{{"type":"function",{fields}}}"#),
        }
    };
    let tools: Vec<String> = (0..tools).map(tool).collect();
    let question = match path {
        CHAT => r#""messages":[{"role":"user","content":"hi"}]"#,
        _ => r#""input":"hi","store":false"#,
    };
    post(path, &format!(r#"{{"model":"bench-3-0",{question},"tools":[{}]}}"#, tools.join(",")))
}

impl Content {
    /// A request with, or for, so many bytes of this.
    fn request(self, path: &str, bytes: usize) -> Vec<u8> {
        let (mut bot, mut stream) = ("bench-3-0".to_owned(), false);
        let content = match (self, path) {
            (Content::Prompt, _) => {
                let words = ["word ", "other ", "more, ", "and\\n", "so "];
                let text = words.iter().cycle().scan(0, |size, word| {
                    *size += word.len();
                    (*size <= bytes).then_some(*word)
                });
                format!("\"{}\"", text.collect::<String>())
            }
            (Content::Answer { stream: wanted }, _) => {
                (bot, stream) = (format!("bench-{}-0-page", bytes / 10_000), wanted);
                "\"hi\"".to_owned()
            }
            (Content::File, path) => {
                let data = "iVBORw0KGgoA".repeat(bytes / 9);
                match path {
                    MESSAGES => format!(
                        r#"[{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}]"#
                    ),
                    RESPONSES => {
                        format!(r#"[{{"type":"input_image","image_url":"data:image/png;base64,{data}"}}]"#)
                    }
                    _ => format!(
                        r#"[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}]"#
                    ),
                }
            }
        };
        let turn = format!(r#"[{{"role":"user","content":{content}}}]"#);
        let turns = match path {
            RESPONSES => format!(r#""input":{turn}"#),
            MESSAGES => format!(r#""max_tokens":1000000,"messages":{turn}"#),
            _ => format!(r#""messages":{turn}"#),
        };
        last_post(path, &format!(r#"{{"model":"{bot}","stream":{stream},{turns}}}"#))
    }
}
