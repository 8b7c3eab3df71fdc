//! The program as a service: notifications of its state, a listening socket that outlives it, and restarts behind nginx.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::{
    Ending, PATIENCE, TestServer, Wire, binary, chat, chat_body, claims_success, content, eventually,
    fresh_path, get, skipped, streamed, text,
};
use rustix::process::Signal;

#[test]
fn systemd_is_notified_of_start_and_stop() {
    let path = fresh_path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let state = || {
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).expect("a notification");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut program = binary();
    program.env("NOTIFY_SOCKET", &path);
    let mut server = TestServer::start(program, &["--demo"]);
    assert_eq!(state(), "READY=1");
    assert_eq!(server.ask(&get("/ready")).status, 200);
    server.signal(Signal::TERM);
    assert_eq!(state(), "STOPPING=1");
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
    fs::remove_file(path).expect("the socket's file");
}

/// The program with `listener` as systemd would pass it.
fn activated(listener: &TcpListener) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.env_clear().arg("-c");
    shell.arg("exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"");
    shell.arg(env!("CARGO_BIN_EXE_poe2openai"));
    shell.stdin(Stdio::from(OwnedFd::from(listener.try_clone().expect("a copy"))));
    shell
}

/// Asks `port` for one answer after another on connections of their own, streamed and whole in turn, and counts those that
/// are as they should be.
fn ask_until(done: &AtomicBool, answered: &AtomicU64, client: usize, port: u16) {
    let mut count = 0;
    while !done.load(Ordering::Relaxed) {
        let words = format!("client {client}, request {count}");
        let mut wire = Wire::open(port);
        match count % 2 {
            0 => {
                let answer = wire.ask(&chat(&chat_body("demo-echo", &words)));
                assert_eq!((answer.status, content(&answer)), (200, words), "{answer:?}");
            }
            _ => {
                let mut stream = wire.stream(&chat(&streamed("demo-echo", &words)));
                let events = stream.rest();
                assert_eq!((stream.answer.status, stream.answer.ending), (200, Ending::Framed), "{words}");
                assert_eq!((text(&events), claims_success(&events)), (words, true));
            }
        }
        count += 1;
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets `clients` ask `port` while `work` is done, and returns how many answers there were. Each must be right.
fn under_load(clients: usize, port: u16, work: impl FnOnce(&AtomicU64)) -> u64 {
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for client in 0..clients {
            let (done, answered) = (&done, &answered);
            scope.spawn(move || ask_until(done, answered, client, port));
        }
        work(&answered);
        done.store(true, Ordering::Relaxed);
    });
    answered.into_inner()
}

/// Waits until so many more requests have been answered.
fn more(answered: &AtomicU64, count: u64) {
    let goal = answered.load(Ordering::Relaxed) + count;
    eventually(PATIENCE, "requests are answered", || {
        (answered.load(Ordering::Relaxed) >= goal).then_some(())
    });
}

#[test]
fn a_restart_with_a_passed_socket_loses_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut server = TestServer::start(activated(&listener), &["--demo"]);
    assert_eq!(server.port, port);
    let answers = under_load(8, port, |answered| {
        for _ in 0..5 {
            more(answered, 20);
            server.signal(Signal::TERM);
            assert_eq!(server.wait(PATIENCE).code(), Some(0));
            // requests that come now wait until the next one starts
            server = TestServer::start(activated(&listener), &["--demo"]);
        }
        more(answered, 20);
    });
    println!("{answers} requests, 5 restarts, none lost");
}

#[test]
fn a_passed_socket_must_not_be_wider_than_host_says() {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let output = activated(&listener).args(["--demo", "--host", "127.0.0.1"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("HOST is 127.0.0.1"), "{said}");
}

#[test]
fn before_it_stops_the_server_is_not_ready_and_closes_its_connections() {
    let mut server = TestServer::demo(&["--shutdown-delay-seconds", "2"]);
    let mut kept = server.wire();
    assert_eq!(kept.ask(&chat(&chat_body("demo-echo", "x"))).header("connection"), None);
    server.signal(Signal::TERM);
    server.wait_for_line("stopping");
    let ready = server.ask(&get("/ready"));
    assert_eq!((ready.status, ready.json()["status"].as_str()), (503, Some("draining")));
    let last = kept.ask(&chat(&chat_body("demo-echo", "still served")));
    assert_eq!((last.status, content(&last).as_str()), (200, "still served"));
    assert_eq!(last.header("connection"), Some("close"));
    assert!(kept.is_closed());
    assert_eq!(server.chat(&chat_body("demo-echo", "new ones too")).status, 200);
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

/// nginx with the configuration of `deploy/nginx.conf`, on `port` and without TLS, in front of `servers`.
struct Nginx {
    child: Child,
    directory: PathBuf,
}

impl Nginx {
    fn start(port: u16, servers: &[u16]) -> Nginx {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx.conf"))
            .expect("a file");
        let servers: String =
            servers.iter().map(|port| format!("server 127.0.0.1:{port} max_fails=0;")).collect();
        let line = |line: &str| match line.trim() {
            known if known.starts_with("server 127.0.0.1:8080") => servers.clone(),
            "listen 443 ssl;" => format!("listen 127.0.0.1:{port};"),
            known if known.starts_with("listen ") || known.starts_with("ssl_") => String::new(),
            _ => line.to_owned(),
        };
        let site: Vec<String> = text.lines().map(line).collect();
        let directory = fresh_path("nginx");
        fs::create_dir_all(directory.join("logs")).expect("a directory");
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {}/{name};\n", directory.display()))
            .concat();
        let whole = format!(
            "user root;\ndaemon off;\npid nginx.pid;\nworker_processes 2;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{}\n}}\n",
            site.join("\n")
        );
        fs::write(directory.join("nginx.conf"), whole).expect("a file");
        let mut program = Command::new("nginx");
        program.arg("-p").arg(&directory).args(["-e", "logs/error.log", "-c", "nginx.conf"]);
        Nginx { child: program.spawn().expect("nginx starts"), directory }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, Signal::TERM); // its workers end with it
        let _ = self.child.wait();
        if thread::panicking() {
            println!("{}", fs::read_to_string(self.directory.join("logs/error.log")).unwrap_or_default());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn a_rolling_restart_behind_nginx_loses_no_request() {
    if Command::new("nginx").arg("-v").output().is_err() {
        return skipped("nginx is not installed");
    }
    let start = |port: &str| TestServer::demo(&["--shutdown-delay-seconds", "1", "--port", port]);
    let mut servers = [start("0"), start("0")];
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let _nginx = Nginx::start(port, &[servers[0].port, servers[1].port]);
    let is_up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(());
    eventually(PATIENCE, "nginx listens", is_up);
    let answers = under_load(16, port, |answered| {
        for turn in 0..4 {
            more(answered, 50);
            let server = &mut servers[turn % 2];
            server.signal(Signal::TERM);
            assert_eq!(server.wait(PATIENCE + Duration::from_secs(1)).code(), Some(0));
            more(answered, 20); // by the other one alone
            *server = start(&server.port.to_string());
        }
        more(answered, 50);
    });
    println!("{answers} requests, 4 restarts, none lost");
}
