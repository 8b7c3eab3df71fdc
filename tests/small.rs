//! A small machine: in a control group of 64 MB the server holds 200 streams and refuses what it has no room for.
//!
//! `PROGRAM=path` tests a release build. One for debugging, with stacks and code several times as large, gets three times the memory.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use common::{
    Ending, PATIENCE, Poe, TestServer, Wire, chat, chat_body, content, eventually, skipped, streamed,
};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;
const STREAMS: usize = 200;

/// A control group, of either version, with a limit of memory.
struct Group(PathBuf);

impl Group {
    fn new(limit: usize) -> Option<Group> {
        let name = format!("poe2openai-test-{}", std::process::id());
        for (top, file) in [("memory", "memory.limit_in_bytes"), ("", "memory.max")] {
            let path = Path::new("/sys/fs/cgroup").join(top).join(&name);
            if fs::create_dir(&path).is_ok() {
                let group = Group(path);
                if fs::write(group.0.join(file), limit.to_string()).is_ok() {
                    let _ = fs::write(group.0.join("memory.swap.max"), "0"); // of version 2 only
                    return Some(group);
                }
            }
        }
        None
    }

    /// How many processes the kernel has killed in it for want of memory.
    fn kills(&self) -> u64 {
        let read = |file: &str| fs::read_to_string(self.0.join(file)).ok();
        let text = read("memory.oom_control").or_else(|| read("memory.events")).expect("a counter");
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).expect("the line");
        line.parse().expect("a number")
    }

    fn peak(&self) -> u64 {
        let read = |file: &str| fs::read_to_string(self.0.join(file)).ok();
        let text = read("memory.max_usage_in_bytes").or_else(|| read("memory.peak")).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    }

    /// The program inside the group.
    fn program(&self, program: &str) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.env_clear().args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]);
        shell.arg(&self.0).arg(program);
        shell
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // the server may still be ending
        (0..100).take_while(|_| fs::remove_dir(&self.0).is_err()).for_each(|_| {
            thread::sleep(std::time::Duration::from_millis(20));
        });
    }
}

/// A chat with a file of so many bytes of base64.
fn with_file(bytes: usize) -> Value {
    let url = format!("data:text/plain;base64,{}", "QUFB".repeat(bytes / 4));
    let parts = json!([
        {"type": "text", "text": "x"},
        {"type": "file", "file": {"filename": "a.txt", "file_data": url}},
    ]);
    json!({"model": "demo-echo", "messages": [{"role": "user", "content": parts}]})
}

#[test]
fn sixty_four_megabytes_hold_two_hundred_streams_and_refuse_what_would_not_fit() {
    let (program, limit) = match std::env::var("PROGRAM") {
        Ok(program) => (program, 64 * MIB),
        Err(_) => (env!("CARGO_BIN_EXE_poe2openai").to_owned(), 192 * MIB),
    };
    let Some(group) = Group::new(limit) else {
        return skipped("no control group with a limit of memory can be made");
    };
    let poe = Poe::start();
    let url = format!("{}/upload", poe.at.base_url);
    let args = ["--poe-base-url", &poe.at.base_url, "--poe-file-upload-url", &url, "--poe-proxy", "none"];
    let server = TestServer::start(group.program(&program), &args);
    let request = chat(&streamed("demo-pings", "10"));
    let mut wires: Vec<Wire> = (0..STREAMS).map(|_| server.wire()).collect();
    for wire in &mut wires {
        wire.send(&request);
    }
    eventually(PATIENCE, "all are held", || (poe.open() == STREAMS as u64).then_some(()));
    println!("{STREAMS} streams held: {} KiB (RSS)", server.memory("VmRSS:"));

    let huge = server.chat(&with_file(limit));
    assert_eq!(huge.status, 413);
    assert!(huge.error("message").contains("MAX_REQUEST_SIZE"), "{}", huge.error("message"));
    let most: usize =
        huge.error("message").split(['(', ' ']).find_map(|word| word.parse().ok()).expect("the limit");
    let fits = chat(&with_file(most - 64 * 1024));
    let served = thread::scope(|scope| {
        let ask = || {
            let answer = server.wire().ask(&fits);
            let is_right = answer.status == 200 && content(&answer).starts_with('x');
            assert!(
                is_right || (answer.status == 503 && answer.header("retry-after").is_some()),
                "{answer:?}"
            );
            usize::from(answer.status == 200)
        };
        let asked: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|thread| thread.join().expect("an answer")).sum::<usize>()
    });
    println!("16 requests of {most} bytes at once: {served} served, {} told to come again", 16 - served);
    for wire in &mut wires {
        let answer = wire.answer();
        assert_eq!((answer.status, answer.ending), (200, Ending::Framed));
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
    }
    // what fits is accepted once there is room
    assert_eq!(server.wire().ask(&fits).status, 200);
    assert_eq!(server.chat(&chat_body("demo-echo", "x")).status, 200);
    println!("at most {} KiB (RSS), {} bytes in the group", server.memory("VmHWM:"), group.peak());
    assert_eq!(group.kills(), 0);
    drop(server);
}
