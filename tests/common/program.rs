//! Starts the program as a user would, and stops it with the test.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use poe2openai::demo::{self, Demo};
use poe2openai::server::{ShutdownPhase, Stop};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Answer, PATIENCE, Wire, chat, eventually, get, post};

/// A key that must never be seen in a log.
pub const SECRET: &str = "sk-never-to-be-seen";

/// The program itself. It sees no environment but what a test gives it.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poe2openai"));
    command.env_clear();
    command
}

/// Ends a test that this machine cannot run: with a line, or with a failure where `STRICT=1` or `CI=true` says that it can.
pub fn skipped(reason: &str) {
    let is_set = |name, value| std::env::var(name).is_ok_and(|found| found == value);
    assert!(!is_set("STRICT", "1") && !is_set("CI", "true"), "this must not be skipped here: {reason}");
    println!("skipped: {reason}");
}

/// Runs the program to its end.
pub fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = binary();
    command.args(args).envs(env.iter().copied()).output().expect("the program starts")
}

/// A Poe that the test can inspect.
pub struct Poe {
    pub at: Demo,
    stop: Stop,
}

impl Drop for Poe {
    fn drop(&mut self) {
        self.stop.go(ShutdownPhase::Ending);
    }
}

impl Poe {
    pub fn start() -> Poe {
        let stop = Stop::new().expect("a stop");
        Poe { at: demo::start(stop.clone()).expect("a demo"), stop }
    }

    /// `host:port`
    pub fn address(&self) -> &str {
        self.at.base_url.trim_start_matches("http://")
    }

    fn wire(&self) -> Wire {
        let port = self.at.base_url.rsplit(':').next().and_then(|port| port.parse().ok());
        Wire::open(port.expect("a port"))
    }

    pub fn stats(&self) -> Value {
        self.wire().ask(&get("/demo/stats")).json()
    }

    /// How many queries have come.
    pub fn queries(&self) -> u64 {
        self.stats()["queries"].as_u64().expect("a number")
    }

    /// How many answers are being given now.
    pub fn open(&self) -> u64 {
        self.stats()["open"].as_u64().expect("a number")
    }

    /// The last query: `{"bot", "headers", "body"}`.
    pub fn last_record(&self) -> Value {
        let queries = self.wire().ask(&get("/demo/queries")).json();
        queries.as_array().and_then(|all| all.last()).expect("a query").clone()
    }

    /// The body of the first query.
    pub fn first_query(&self) -> Value {
        self.wire().ask(&get("/demo/queries")).json()[0]["body"].clone()
    }

    /// The body of the last query.
    pub fn last_query(&self) -> Value {
        self.last_record()["body"].clone()
    }

    /// The bot of the last query, as its path names it.
    pub fn last_bot(&self) -> String {
        self.last_record()["bot"].as_str().expect("a name").to_owned()
    }

    /// What came through Poe's native endpoints and what left through them, oldest first.
    pub fn endpoints(&self) -> Vec<Value> {
        let endpoints = self.wire().ask(&get("/demo/doors")).json();
        endpoints.as_array().expect("a list").clone()
    }

    pub fn reset(&self) {
        assert_eq!(self.wire().ask(&post("/demo/reset", &[], "")).status, 200);
    }
}

/// A running server.
pub struct TestServer {
    child: Child,
    pub port: u16,
    output: Arc<Lines>,
    /// Its configuration directory, if the test did not choose one.
    directory: PathBuf,
}

/// A path that no other test has.
pub fn fresh_path(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{name}-{}-{number}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory); // mostly there is none
    }
}

impl TestServer {
    /// With the embedded Poe.
    pub fn demo(args: &[&str]) -> TestServer {
        TestServer::start(binary(), &[&["--demo"], args].concat())
    }

    /// In front of `poe`.
    pub fn before(poe: &Poe, args: &[&str]) -> TestServer {
        TestServer::start(binary(), &[&["--poe-base-url", &poe.at.base_url], args].concat())
    }

    /// As `program` says, on a free port of the loopback address, without a rate limit.
    pub fn start(mut program: Command, args: &[&str]) -> TestServer {
        for usual in [["--host", "127.0.0.1"], ["--port", "0"], ["--rate-limit-ms", "0"]] {
            if !args.contains(&usual[0]) {
                program.args(usual);
            }
        }
        // the state of a server must not be shared
        let directory = fresh_path("config");
        if !args.contains(&"--config-dir") {
            fs::create_dir_all(&directory).expect("a directory");
            program.arg("--config-dir").arg(&directory);
        }
        program.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().expect("the program starts");
        let output = Arc::new(Lines::default());
        output.follow(child.stdout.take().expect("piped"));
        output.follow(child.stderr.take().expect("piped"));
        let mut server = TestServer { child, port: 0, output, directory };
        let line = server.wait_for_line("listens on http://");
        server.port = line
            .trim_end_matches(['"', '}'])
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port");
        server
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("a child");
    }

    pub fn wire(&self) -> Wire {
        Wire::open(self.port)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, request: &str) -> Answer {
        self.wire().ask(request)
    }

    /// One chat request on a connection of its own.
    pub fn chat(&self, body: &Value) -> Answer {
        self.ask(&chat(body))
    }

    /// The first line of output that contains `words`; waits for it.
    pub fn wait_for_line(&self, words: &str) -> String {
        self.output.wait_for(words)
    }

    /// Everything that was printed and logged so far.
    pub fn output(&self) -> String {
        self.output.lock().join("\n")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server runs");
    }

    /// Sends `signal` to a server that is idle: it ends well, within a second.
    pub fn signal_and_end(&mut self, signal: Signal) {
        self.signal(signal);
        assert_eq!(self.wait(Duration::from_secs(1)).code(), Some(0), "{signal:?}");
    }

    /// Waits until the server has ended; fails after `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        eventually(limit, "the server ends", || self.child.try_wait().expect("a child"))
    }

    /// The processor time that it has used, to a hundredth of a second.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("Linux");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number"));
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    /// The processor time that it uses for `work`, which it has done when that returns.
    pub fn cpu_of(&self, work: impl FnOnce()) -> Duration {
        let before = self.cpu();
        work();
        self.cpu() - before
    }

    /// A line of `/proc/PID/status`, in KiB.
    pub fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    }
}

/// Lines of output, passed on to the test's own.
#[derive(Default)]
struct Lines {
    all: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(self: &Arc<Self>, output: impl Read + Send + 'static) {
        let lines = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                println!("| {line}");
                lines.lock().push(line);
                lines.grown.notify_all();
            }
        });
    }

    fn wait_for(&self, words: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let mut all = self.lock();
        loop {
            if let Some(line) = all.iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the server never said {words:?}, only {all:?}");
            all = self.grown.wait_timeout(all, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
