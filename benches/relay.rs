//! CPU time and memory of the program beside a blocking byte relay, on loopback: `cargo bench --bench relay`.
//!
//! Three processes take part: a mock Poe, the server that is measured, and this one, which is all clients. What is
//! measured is the server's CPU clock and memory, from `/proc`; runs of the servers alternate, and medians are printed.
//!
//! | argument | meaning |
//! |---|---|
//! | `rounds=3` | how often each row is measured |
//! | `scale=1.0` | how many requests, against the usual number |
//! | `rows=whole,stream` | only rows whose name contains one of the words |
//! | `program=PATH` | another build of the program |
//! | `other='COMMAND'` | one more column: a proxy that serves `/v1/chat/completions` on port `$PORT` in front of `$POE_URL` |

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, hint};

/// A stream that never ends by itself.
const HOLD: &str = "bench-hold";
/// Marks the time in an event's text: nanoseconds, 19 digits.
const STAMP: &str = "at=";
const END: &[u8] = b"0\r\n\r\n";

fn main() -> io::Result<()> {
    // `cargo bench` adds `--bench`
    let given: Vec<String> = env::args().skip(1).filter(|one| one != "--bench").collect();
    match given.first().map(String::as_str) {
        Some("serve-poe") => serve(mock_poe),
        Some("serve-relay") => {
            let poe = given[1].clone();
            serve(move |client| relay(client, &poe))
        }
        _ => measure(&Options::read(&given)),
    }
}

struct Options {
    rounds: usize,
    scale: f64,
    rows: Vec<String>,
    program: String,
    other: Option<String>,
}

impl Options {
    fn read(given: &[String]) -> Options {
        let value = |name: &str| given.iter().find_map(|one| one.strip_prefix(&format!("{name}=")));
        Options {
            rounds: value("rounds").map_or(3, |text| text.parse().expect("rounds=NUMBER")),
            scale: value("scale").map_or(1.0, |text| text.parse().expect("scale=NUMBER")),
            rows: value("rows").map_or_else(Vec::new, |text| text.split(',').map(str::to_owned).collect()),
            program: value("program").unwrap_or(env!("CARGO_BIN_EXE_poe2openai")).to_owned(),
            other: value("other").map(str::to_owned),
        }
    }

    fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|word| row.contains(word.as_str()))
    }
}

// ---- what is measured ----

/// One row of the table: what the clients do.
struct Row {
    name: &'static str,
    load: Load,
}

/// What the clients ask for.
#[derive(Clone, Copy)]
enum Load {
    /// Nothing at all.
    Idle,
    /// So many clients ask so often, each time after the answer.
    ChatRequest { clients: usize, requests: usize, bot: &'static str, stream: bool, prompt: usize },
    /// So many streams are begun and held.
    Hold { clients: usize },
    /// One answer of so many events; what it takes at most.
    Big { bot: &'static str, stream: bool },
}

const ROWS: &[Row] = &[
    Row { name: "idle", load: Load::Idle },
    Row { name: "whole, 1 client", load: chat(1, 3000, "bench-3-0", false, 20) },
    Row { name: "whole, 32 clients", load: chat(32, 200, "bench-3-0", false, 20) },
    Row { name: "whole, 100 KB prompt", load: chat(1, 600, "bench-3-0", false, 100_000) },
    Row { name: "stream, 1 client", load: chat(1, 200, "bench-500-0", true, 20) },
    Row { name: "stream, 32 clients", load: chat(32, 10, "bench-500-0", true, 20) },
    Row { name: "stream, 128 clients", load: chat(128, 3, "bench-500-0", true, 20) },
    Row { name: "paced stream, 100 clients", load: chat(100, 1, "bench-150-20", true, 20) },
    Row { name: "1000 held streams", load: Load::Hold { clients: 1000 } },
    Row { name: "streamed answer of 100 MB", load: Load::Big { bot: "bench-big", stream: true } },
    Row { name: "whole answer of 100 MB", load: Load::Big { bot: "bench-big", stream: false } },
];

const fn chat(clients: usize, requests: usize, bot: &'static str, stream: bool, prompt: usize) -> Load {
    Load::ChatRequest { clients, requests, bot, stream, prompt }
}

/// Figures of one run by name; what is printed is their median.
type Figures = BTreeMap<&'static str, f64>;

fn measure(options: &Options) -> io::Result<()> {
    let myself = env::current_exe()?;
    let mut poe = Server::start(Command::new(&myself).arg("serve-poe"))?;
    let poe_at = format!("127.0.0.1:{}", poe.port);
    let mut kinds = vec![Kind::Program, Kind::Relay];
    kinds.extend(options.other.is_some().then_some(Kind::Other));
    let mut all: BTreeMap<(usize, Kind, &'static str), Vec<f64>> = BTreeMap::new();
    for round in 0..options.rounds {
        for (number, row) in ROWS.iter().enumerate().filter(|(_, row)| options.wants(row.name)) {
            for turn in 0..kinds.len() {
                let kind = kinds[(round + turn) % kinds.len()];
                let mut server = kind.start(options, &poe_at)?;
                let figures = run(&server, kind, row.load, options.scale);
                server.stop();
                for (name, value) in figures {
                    all.entry((number, kind, name)).or_default().push(value);
                }
            }
            eprintln!("round {}: {}", round + 1, row.name);
        }
    }
    poe.stop();
    print(&mut all);
    println!("\nbinary: {:.1} MB", fs::metadata(&options.program)?.len() as f64 / 1e6);
    Ok(())
}

fn print(all: &mut BTreeMap<(usize, Kind, &'static str), Vec<f64>>) {
    let medians: BTreeMap<_, _> = all.iter_mut().map(|(key, values)| (*key, median(values))).collect();
    println!("| load | figure | poe2openai | relay | ratio | other |\n|---|---|---|---|---|---|");
    for ((row, kind, name), value) in &medians {
        if *kind != Kind::Program {
            continue;
        }
        let of = |kind| medians.get(&(*row, kind, *name));
        let shown = |value: Option<&f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"));
        let ratio = of(Kind::Relay).map(|relay| value / relay);
        let ratio = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        let (relay, other) = (shown(of(Kind::Relay)), shown(of(Kind::Other)));
        println!("| {} | {name} | {value:.1} | {relay} | {ratio} | {other} |", ROWS[*row].name);
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn run(server: &Server, kind: Kind, load: Load, scale: f64) -> Figures {
    match load {
        Load::Idle => {
            thread::sleep(Duration::from_secs(2)); // until the list of models is read
            Figures::from([("RSS, MB", server.memory("VmRSS:"))])
        }
        Load::ChatRequest { clients, requests, bot, stream, prompt } => {
            let requests = ((requests as f64 * scale) as usize).max(1);
            let request = kind.request(bot, stream, prompt);
            ask_all(server, clients, requests, &request, stream)
        }
        Load::Hold { clients } => hold_all(server, clients, &kind.request(HOLD, true, 20)),
        Load::Big { bot, stream } => {
            let request = kind.request(bot, stream, 20);
            let mut client = Client::connect(server.port);
            client.chat(&kind.request("bench-3-0", stream, 20));
            let (before, start) = (server.memory("VmRSS:"), server.cpu());
            let size = client.chat(&request).bytes as f64 / 1e6;
            let cpu = (server.cpu() - start).as_secs_f64();
            let grown = server.memory("VmHWM:") - before;
            Figures::from([("peak over RSS before, MB", grown), ("CPU, ms/MB", cpu * 1e3 / size)])
        }
    }
}

/// All clients ask `requests` times each; a first answer to each comes before what is measured.
fn ask_all(server: &Server, clients: usize, requests: usize, request: &[u8], stream: bool) -> Figures {
    let mut all: Vec<Client> = (0..clients).map(|_| Client::connect(server.port)).collect();
    thread::scope(|scope| all.iter_mut().for_each(|client| drop(scope.spawn(|| client.chat(request)))));
    let (cpu, start) = (server.cpu(), Instant::now());
    let answers: Vec<Answer> = thread::scope(|scope| {
        let one = |client| {
            move || -> Vec<Answer> {
                let client: &mut Client = client;
                (0..requests).map(|_| client.chat(request)).collect()
            }
        };
        let running: Vec<_> = all.iter_mut().map(|client| scope.spawn(one(client))).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("a client")).collect()
    });
    let (cpu, took) = ((server.cpu() - cpu).as_secs_f64() * 1e6, start.elapsed().as_secs_f64());
    let count = answers.len() as f64;
    let mut times: Vec<f64> = answers.iter().map(|answer| answer.took * 1e6).collect();
    if !stream {
        let figures = [("CPU, µs/request", cpu / count), ("p50, µs", median(&mut times))];
        return figures.into_iter().chain([("requests/s", count / took)]).collect();
    }
    let events = answers.iter().map(|answer| answer.events).sum::<usize>() as f64;
    let mut firsts: Vec<f64> = answers.iter().map(|answer| answer.first * 1e6).collect();
    let mut lags: Vec<f64> = answers.into_iter().flat_map(|answer| answer.lags).collect();
    lags.sort_by(f64::total_cmp);
    let late = lags.get(lags.len() * 99 / 100).copied().unwrap_or_default();
    let figures = [("CPU, µs/event", cpu / events), ("first content p50, µs", median(&mut firsts))];
    figures.into_iter().chain([("lag p99, µs", late * 1e6)]).collect()
}

fn hold_all(server: &Server, clients: usize, request: &[u8]) -> Figures {
    let before = server.memory("VmRSS:");
    let mut all: Vec<Client> = (0..clients).map(|_| Client::connect(server.port)).collect();
    all.iter_mut().for_each(|client| client.begin(request));
    let held = server.memory("VmRSS:");
    let each = (held - before) * 1e3 / clients as f64;
    Figures::from([("RSS, MB", held), ("KB/stream", each)])
}

// ---- the servers ----

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Program,
    Relay,
    Other,
}

impl Kind {
    fn start(self, options: &Options, poe: &str) -> io::Result<Server> {
        match self {
            Kind::Program => {
                let home = env::temp_dir().join(format!("poe2openai-bench-{}", std::process::id()));
                fs::create_dir_all(&home)?;
                let mut command = Command::new(&options.program);
                let base = format!("http://{poe}");
                command.env_clear().args(["--host", "127.0.0.1", "--port", "0", "--poe-base-url", &base]);
                command.args(["--rate-limit-ms", "0", "--max-connections", "4000", "--log-level", "error"]);
                Server::start(command.arg("--config-dir").arg(home))
            }
            Kind::Relay => Server::start(Command::new(env::current_exe()?).args(["serve-relay", poe])),
            Kind::Other => {
                let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
                let mut command = Command::new("sh");
                let line = format!("exec {}", options.other.as_deref().unwrap_or_default());
                command.args(["-c", &line]).env("PORT", port.to_string());
                Server::start_at(command.env("POE_URL", format!("http://{poe}")), port)
            }
        }
    }

    /// What a client of this server sends for the same question.
    fn request(self, bot: &str, stream: bool, prompt: usize) -> Vec<u8> {
        let prompt = "word ".repeat(prompt / 5);
        let (path, body) = match self {
            Kind::Relay => (
                format!("/bot/{bot}"),
                format!(
                    r#"{{"version":"1.2","type":"query","query":[{{"role":"user","content":"{prompt}","content_type":"text/markdown"}}]}}"#
                ),
            ),
            _ => (
                "/v1/chat/completions".to_owned(),
                format!(
                    r#"{{"model":"{bot}","stream":{stream},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
                ),
            ),
        };
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer bench\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts what prints its address when it is ready.
    fn start(command: &mut Command) -> io::Result<Server> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line)?;
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        Ok(Server { child, port: port.unwrap_or_else(|| panic!("no port in {line:?}")) })
    }

    /// Starts what listens at `port` sooner or later.
    fn start_at(command: &mut Command, port: u16) -> io::Result<Server> {
        let child = command.stdout(Stdio::null()).spawn()?;
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "nothing listens at {port}");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Server { child, port })
    }

    /// CPU time of all its threads, those that have ended too; the clock has ticks of 10 ms.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("Linux");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// A line of its `/proc/PID/status`, in MB.
    fn memory(&self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        let kib: f64 = line.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number");
        kib * 1024.0 / 1e6
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

// ---- the clients ----

struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Default)]
struct Answer {
    /// Seconds to its end, and to the first content.
    took: f64,
    first: f64,
    bytes: usize,
    events: usize,
    /// Seconds from the mock to here, for each event with a time in it.
    lags: Vec<f64>,
}

impl Client {
    fn connect(port: u16) -> Client {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("the server accepts");
        socket.set_nodelay(true).expect("an option");
        Client { socket, buffer: vec![0; 64 << 10] }
    }

    /// Sends a request and reads the answer to its end.
    fn chat(&mut self, request: &[u8]) -> Answer {
        let (start, mut answer) = (Instant::now(), Answer::default());
        self.socket.write_all(request).expect("the server reads");
        let (mut head, mut left, mut tail) = (Vec::new(), None, Vec::new());
        let mut has_head = false;
        loop {
            let count = self.socket.read(&mut self.buffer).expect("the server answers");
            assert!(count > 0, "the server hung up after {}", String::from_utf8_lossy(&head));
            let mut piece = &self.buffer[..count];
            if !has_head {
                head.extend_from_slice(piece);
                let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
                left = content_length(&head[..end + 4]);
                piece = &piece[count - (head.len() - end - 4)..];
                has_head = true;
            }
            answer.bytes += piece.len();
            answer.look_at(piece, start);
            tail.extend_from_slice(&piece[piece.len().saturating_sub(END.len())..]);
            tail.drain(..tail.len().saturating_sub(END.len()));
            let is_over = left.map_or(tail == END, |length| answer.bytes >= length);
            if is_over {
                answer.took = start.elapsed().as_secs_f64();
                return answer;
            }
        }
    }

    /// Sends a request and reads the beginning of the answer.
    fn begin(&mut self, request: &[u8]) {
        self.socket.write_all(request).expect("the server reads");
        let mut seen = Vec::new();
        while !contains(&seen, STAMP.as_bytes()) {
            let count = self.socket.read(&mut self.buffer).expect("the server answers");
            assert!(count > 0, "the server hung up after {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&self.buffer[..count]);
        }
    }
}

impl Answer {
    /// Counts events by their marks. One that is cut in two is missed; there are few of those.
    fn look_at(&mut self, piece: &[u8], start: Instant) {
        let now = nanoseconds();
        let marks = piece.windows(STAMP.len()).enumerate().filter(|(_, window)| *window == STAMP.as_bytes());
        for (at, _) in marks {
            if self.events == 0 {
                self.first = start.elapsed().as_secs_f64();
            }
            self.events += 1;
            let digits = piece.get(at + STAMP.len()..at + STAMP.len() + 19);
            let sent = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u128>().ok());
            self.lags.extend(sent.map(|sent| now.saturating_sub(sent) as f64 / 1e9));
        }
    }
}

fn nanoseconds() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
}

// ---- the mock Poe and the relay ----

/// Serves each connection on a thread of its own, for ever.
fn serve(one: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    io::stdout().flush()?;
    for socket in listener.incoming() {
        let (socket, one) = (socket?, one.clone());
        socket.set_nodelay(true)?;
        // an error means that the connection was closed
        thread::Builder::new().stack_size(64 << 10).spawn(move || drop(one(socket)))?;
    }
    Ok(())
}

/// Reads a whole request: head and body.
fn read_request(socket: &mut TcpStream, request: &mut Vec<u8>) -> io::Result<bool> {
    request.clear();
    let mut piece = [0; 16 << 10];
    loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let whole = end + 4 + content_length(&request[..end + 4]).unwrap_or(0);
            while request.len() < whole {
                let count = socket.read(&mut piece)?;
                request.extend_from_slice(&piece[..count]);
            }
            return Ok(true);
        }
        match socket.read(&mut piece)? {
            0 => return Ok(false),
            count => request.extend_from_slice(&piece[..count]),
        }
    }
}

/// One thread, two blocking connections, and no look at what goes by but for where it ends.
fn relay(mut client: TcpStream, poe: &str) -> io::Result<()> {
    let mut upstream = TcpStream::connect(poe)?;
    upstream.set_nodelay(true)?;
    let (mut request, mut piece) = (Vec::new(), [0; 16 << 10]);
    while read_request(&mut client, &mut request)? {
        upstream.write_all(&request)?;
        loop {
            let count = upstream.read(&mut piece)?;
            client.write_all(&piece[..count])?;
            if count == 0 || piece[..count].ends_with(END) {
                break;
            }
        }
    }
    Ok(())
}

/// Answers `/v1/models`, and `/bot/bench-EVENTS-MILLISECONDS` with a stream.
fn mock_poe(mut socket: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    while read_request(&mut socket, &mut request)? {
        let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        let path = line.split(' ').nth(1).unwrap_or_default();
        if path == "/v1/models" {
            let body = models();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
            socket.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes())?;
            continue;
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        socket.write_all(head.as_bytes())?;
        render(&mut socket, path.trim_start_matches("/bot/"))?;
    }
    Ok(())
}

fn render(socket: &mut TcpStream, bot: &str) -> io::Result<()> {
    let mut frame = String::new();
    let mut event = |name: &str, data: &str| {
        let event = format!("event: {name}\r\ndata: {data}\r\n\r\n");
        frame = format!("{:x}\r\n{event}\r\n", event.len());
        socket.write_all(frame.as_bytes())
    };
    let text = |more: &str| format!("{{\"text\": \"{STAMP}{} {more}\"}}", nanoseconds());
    match bot {
        HOLD => {
            event("text", &text(""))?;
            loop {
                thread::sleep(Duration::from_secs(5));
                event("ping", "{}")?;
            }
        }
        "bench-big" => {
            let page = "0123456789 ".repeat(900);
            for _ in 0..10_000 {
                event("text", &text(&page))?;
            }
        }
        _ => {
            let mut numbers = bot.split('-').skip(1).map(|number| number.parse::<u64>().unwrap_or(0));
            let (events, gap) = (numbers.next().unwrap_or(1), numbers.next().unwrap_or(0));
            for _ in 0..events {
                event("text", &text(""))?;
                if gap > 0 {
                    thread::sleep(Duration::from_millis(gap));
                }
            }
        }
    }
    event("done", "{}")?;
    socket.write_all(END)
}

/// A list as long as Poe's.
fn models() -> String {
    let names = ROWS.iter().filter_map(|row| match row.load {
        Load::ChatRequest { bot, .. } | Load::Big { bot, .. } => Some(bot.to_owned()),
        Load::Hold { .. } => Some(HOLD.to_owned()),
        Load::Idle => None,
    });
    let names = names.chain((0..300).map(|number| format!("Model-Number-{number}")));
    let entry = |name: String| {
        format!(
            r#"{{"id":"{name}","object":"model","created":1700000000,"owned_by":"Somebody","description":"{}","architecture":{{"input_modalities":["text","image"],"output_modalities":["text"],"modality":"text,image->text"}},"context_window":{{"context_length":200000,"max_output_tokens":64000}}}}"#,
            "A model for everything. ".repeat(8)
        )
    };
    let entries: Vec<String> = names.map(entry).collect();
    hint::black_box(format!(r#"{{"object":"list","data":[{}]}}"#, entries.join(",")))
}
