//! Every command of README and docs is run as it is written, or is named here with the reason why it cannot be.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{TestServer, binary, fresh_path};

/// Commands that no test of this file runs: how they begin, and where they are run instead or why nowhere.
const ELSEWHERE: &[(&str, &str)] = &[
    ("docker ", "tests/container/run builds the image with an engine and runs it with the same flags"),
    ("cargo ", "building and testing is what runs this test; .ci/run runs each of these"),
    ("UPDATE=1 cargo ", "rewrites files of the repository"),
    (".ci/run", "runs this test"),
    ("./target/release/poe2openai", "serves until it is stopped: every test of tests/ starts it"),
    ("claude", "tests/clients/claude_code.py"),
    ("codex", "tests/clients/codex_agent.py"),
    ("sudo ", "tests/package/run runs what stands behind it as root in a Debian system of its own"),
    ("systemctl ", "needs systemd as the first process"),
    ("journalctl ", "needs systemd as the first process"),
    ("kubectl ", "needs a cluster; .ci/run deploy checks the manifests against the published schemas"),
    ("brew ", "needs macOS"),
];
/// Documents whose commands belong to other programs.
const OTHER_PROGRAMS: &[(&str, &str)] = &[
    ("docs/architecture.md", "shows faults of tiny_http with a program of the reader's"),
    ("docs/scaling.md", "needs several servers and a shared store"),
    ("docs/performance.md", "measures for minutes"),
];

/// A command and where it stands.
struct Written {
    /// Assignments above it in its block.
    variables: String,
    place: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let markdown = |folder: PathBuf| {
        let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
        files.filter(|path| path.extension().is_some_and(|end| end == "md")).collect::<Vec<_>>()
    };
    let mut all = [markdown(root().to_owned()), markdown(root().join("docs"))].concat();
    all.sort();
    all
}

/// The commands in blocks marked `sh`: a line each, with the lines that a backslash or an open quotation mark continue.
fn commands() -> Vec<Written> {
    let mut all = Vec::new();
    for path in documents() {
        let name = path.strip_prefix(root()).expect("inside").display().to_string();
        if OTHER_PROGRAMS.iter().any(|(document, _)| *document == name) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a file");
        // what stands behind the mark is written from assets/clients.json, and tests/clients runs it with the clients
        let text = text.split("<!-- settings to copy").next().unwrap_or_default();
        let (mut is_shell, mut command, mut variables) = (false, String::new(), String::new());
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                is_shell = !is_shell && line.trim_start() == "```sh";
                variables.clear();
                continue;
            }
            if !is_shell {
                continue;
            }
            command += line.trim_start();
            let is_open = command.matches('\'').count() % 2 == 1;
            if command.ends_with('\\') || is_open {
                command.push('\n');
                continue;
            }
            let text = std::mem::take(&mut command);
            if is_assignment(&text) {
                variables += &format!("{text}\n");
            } else if !text.is_empty() && !text.starts_with('#') {
                let place = format!("{name}:{}", number + 1);
                all.push(Written { place, variables: variables.clone(), text });
            }
        }
    }
    assert!(all.len() > 20, "the commands were not found");
    all
}

/// `NAME=…`, whose value the commands below it use.
fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, value)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase()) && value.starts_with("$(")
    })
}

/// Runs the script in bash, in a directory where `poe2openai` and `curl` are found. An answer that is an error fails.
fn run(script: &str, directory: &Path, server: &TestServer) -> Result<(), String> {
    let path = format!("{}:{}", directory.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", script]).current_dir(directory);
    shell.env_clear().env("PATH", path).env("HOME", directory).env("ADMIN_PASSWORD", "some password");
    shell.env("YOUR_POE_KEY", "demo").env("CONFIG_DIR", directory.join("config")).env("POE_API_KEY", "demo");
    let output = shell.output().expect("bash");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    drop(server.output());
    output.status.success().then_some(()).ok_or(said)
}

#[test]
fn every_command_of_the_documents_runs_as_it_is_written() {
    let directory = fresh_path("commands");
    fs::create_dir_all(directory.join("bin")).expect("a directory");
    symlink(env!("CARGO_BIN_EXE_poe2openai"), directory.join("bin/poe2openai")).expect("a link");
    // a user sees an error by reading it, a test by the exit code
    let curl = "#!/bin/sh\nPATH=${PATH#*:}\ncase \" $* \" in *' -f '*) fail=-f ;; *) fail=--fail-with-body ;; esac\nexec curl -sS $fail --max-time 30 \"$@\"\n";
    fs::write(directory.join("bin/curl"), curl).expect("a file");
    fs::set_permissions(directory.join("bin/curl"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let names = "enable: true\nmodels:\n  demo-echo:\n    aliases: [GPT-4o, GPT-5.2]\n";
    fs::write(directory.join("models.yaml"), names).expect("a file");
    // client keys that commands make are not the server's, whose documents' commands show another key
    fs::create_dir_all(directory.join("config")).expect("a directory");
    fs::copy(directory.join("models.yaml"), directory.join("config/models.yaml")).expect("a copy");
    let mut program = binary();
    program.env("ADMIN_PASSWORD", "some password");
    let config = directory.to_str().expect("UTF-8").to_owned();
    let server = TestServer::start(program, &["--demo", "--config-dir", &config]);
    let port = format!(":{}", server.port);

    let (mut failed, mut done, mut used) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for Written { place, variables, text } in commands() {
        if let Some((begin, _)) = ELSEWHERE.iter().find(|(begin, _)| text.starts_with(begin)) {
            used.insert(*begin);
            continue;
        }
        // the port of the documents may be another program's here
        let script = (variables + &text).replace(":8080", &port);
        if done.insert(script.clone())
            && let Err(said) = run(&script, &directory, &server)
        {
            failed.push(format!("{place}: {text}\n{said}"));
        }
    }
    println!("{} commands ran; elsewhere: {used:?}", done.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(done.len() >= 10, "hardly any command was run: {done:?}");
    fs::remove_dir_all(directory).expect("no more in use");
}

/// README, docs and compose.yaml say the same about the container.
#[test]
fn the_container_has_one_set_of_numbers() {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect("a file");
    let compose = read("compose.yaml");
    let value = |key: &str| {
        let line = compose.lines().find_map(|line| line.trim().strip_prefix(key)).expect("a line");
        line.trim().trim_matches('"').to_owned()
    };
    let (memory, port) = (value("mem_limit:"), compose.contains("\"8080:8080\""));
    assert!(
        port && compose.contains("- poe2openai:/data") && compose.contains("name: poe2openai\n"),
        "{compose}"
    );
    let mut seen = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a file");
        for (at, _) in text.match_indices("docker run ") {
            let command = text[at..].split("```").next().unwrap_or_default();
            let command = command.split("\n\n").next().unwrap_or_default();
            if !command.contains(" -d ") || !command.contains(" poe2openai") {
                continue;
            }
            seen += 1;
            for part in [
                &*format!("--memory {memory}"),
                "-p 8080:8080",
                "ADMIN_PASSWORD",
                "--read-only",
                "--cap-drop ALL",
            ] {
                assert!(command.contains(part), "{}: no {part} in {command}", path.display());
            }
        }
    }
    assert!(seen >= 3, "README in three languages and docs/operations.md");
    assert!(read("tests/container/run").contains(&format!("--memory {memory}")), "and so it is tested");
}
