//! The servers that are measured, as processes.

use std::io::{self, BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use crate::Options;
use crate::clients::post;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Program,
    Relay,
    Other,
}

impl Kind {
    /// Starts the server; `settings` are the program's.
    pub fn start(self, options: &Options, poe: &str, settings: &[(&str, &str)]) -> io::Result<Server> {
        match self {
            Kind::Program => {
                let home = match settings.iter().find(|(name, _)| *name == "CONFIG_DIR") {
                    Some((_, home)) => home.into(),
                    None => env::temp_dir().join(format!("poe2openai-bench-{}", std::process::id())),
                };
                fs::create_dir_all(&home)?;
                let mut command = Command::new(&options.program);
                let base = format!("http://{poe}");
                command.env_clear().args(["--host", "127.0.0.1", "--port", "0", "--poe-base-url", &base]);
                command.args(["--rate-limit-ms", "0", "--max-connections", "4000", "--log-level", "error"]);
                command.args(["--poe-file-upload-url", &format!("{base}/upload")]);
                command.envs(settings.iter().copied());
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
    pub fn request(self, bot: &str, stream: bool, prompt: usize) -> Vec<u8> {
        self.request_with(bot, stream, &"word ".repeat(prompt / 5))
    }

    /// As [`Kind::request`], with a text that can stand in JSON.
    pub fn request_with(self, bot: &str, stream: bool, prompt: &str) -> Vec<u8> {
        match self {
            Kind::Relay => post(
                &format!("/bot/{bot}"),
                &format!(
                    r#"{{"version":"1.2","type":"query","query":[{{"role":"user","content":"{prompt}","content_type":"text/markdown"}}]}}"#
                ),
            ),
            _ => post(
                "/v1/chat/completions",
                &format!(
                    r#"{{"model":"{bot}","stream":{stream},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
                ),
            ),
        }
    }
}

/// One process, killed when it is dropped.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    /// Starts what prints its address when it is ready.
    pub fn start(command: &mut Command) -> io::Result<Server> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line)?;
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        Ok(Server { child, port: port.unwrap_or_else(|| panic!("no port in {line:?}")) })
    }

    /// Starts what listens at `port` sooner or later.
    fn start_at(command: &mut Command, port: u16) -> io::Result<Server> {
        let server = Server { child: command.stdout(Stdio::null()).spawn()?, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "nothing listens at {port}");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// CPU time of all its threads, those that have ended too; the clock has ticks of 10 ms.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("Linux");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// A line of its `/proc/PID/status`, in MB.
    pub fn memory(&self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        let kib: f64 = line.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number");
        kib * 1024.0 / 1e6
    }

    /// RSS once it has not changed for two seconds, in MB.
    pub fn settled_memory(&self) -> f64 {
        let start = Instant::now();
        let (mut last, mut since) = (self.memory("VmRSS:"), Instant::now());
        while since.elapsed() < Duration::from_secs(2) && start.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(50));
            let now = self.memory("VmRSS:");
            if (now - last).abs() > 0.1 {
                (last, since) = (now, Instant::now());
            }
        }
        self.memory("VmRSS:")
    }

    /// The least RSS within `time`, in MB.
    pub fn least_memory(&self, time: Duration) -> f64 {
        let (start, mut least) = (Instant::now(), f64::MAX);
        while start.elapsed() < time {
            thread::sleep(Duration::from_millis(200));
            least = least.min(self.memory("VmRSS:"));
        }
        least
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
