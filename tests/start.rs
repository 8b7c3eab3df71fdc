//! Startup: errors are reported in one line, and keys are used only for authorized clients.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{Poe, SECRET, TestServer, binary, chat, chat_body, content, get, post, run, streamed};

/// Output of a failed start: exit code `code`, one line, nothing on stdout.
fn refusal(args: &[&str], env: &[(&str, &str)], code: i32) -> String {
    let output = run(args, env);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?} {env:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{args:?} {env:?}: {said}");
    said
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An empty directory that no other test uses.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("start-{name}"));
    fs::create_dir_all(&path).expect("the test directory is writable");
    path
}

#[test]
fn an_invalid_value_is_named() {
    let env: &[(&str, &str, &[&str])] = &[
        ("PORT", "abc", &["PORT", "abc", "expected"]),
        ("PORT", "99999", &["PORT", "99999"]),
        ("RATE_LIMIT_MS", "-1", &["RATE_LIMIT_MS", "-1", "expected"]),
        ("LOG_LEVEL", "loud", &["LOG_LEVEL", "loud", "trace"]),
        ("MAX_REQUEST_SIZE", "1 GB", &["MAX_REQUEST_SIZE"]),
        ("POE_BASE_URL", "poe.com", &["POE_BASE_URL", "poe.com"]),
        ("MAX_CONNECTIONS", "0", &["MAX_CONNECTIONS"]),
    ];
    for (name, value, words) in env {
        let said = refusal(&[], &[(name, value)], 2);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    for (args, word) in [
        (["--nonsense"].as_slice(), "--nonsense"),
        (&["-x"], "-x"),
        (&["dance"], "dance"),
        (&["--port", "abc"], "--port"),
        (&["--port"], "--port"),
        (&["serve", "check"], "check"),
    ] {
        let said = refusal(args, &[], 2);
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_port_in_use_is_reported_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = refusal(&["--demo", "--host", "127.0.0.1", "--port", &port], &[], 1);
    assert!(said.contains(&port) && said.contains("in use") && said.contains("--port"), "{said}");
}

#[test]
fn a_poe_key_is_not_open_to_the_network() {
    for env in [
        [("POE_API_KEY", SECRET), ("HOST", "0.0.0.0")],
        [("POE_API_KEY", SECRET), ("HOST", "::")],
        [("POE_API_KEY", SECRET), ("PORT", "0")],
    ] {
        let said = refusal(&[], &env, 2);
        assert!(said.contains("POE_API_KEY") && said.contains("PROXY_API_KEYS"), "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
}

#[test]
fn on_loopback_a_poe_key_serves_everybody() {
    let mut program = binary();
    program.env("POE_API_KEY", SECRET);
    let server = TestServer::start(program, &["--demo"]);
    let body = chat_body("demo-echo", "no key needed").to_string();
    assert_eq!(content(&server.ask(&post("/v1/chat/completions", &[], &body))), "no key needed");
}

fn ask_with(server: &TestServer, key: &str) -> common::Answer {
    let header = format!("Authorization: Bearer {key}");
    server.ask(&post("/v1/chat/completions", &[&header], &chat_body("demo-echo", "x").to_string()))
}

#[test]
fn proxy_keys_open_the_proxy_and_poe_sees_its_own() {
    let poe = Poe::start();
    let start = |poe_key: &str| {
        let mut program = binary();
        program.env("POE_API_KEY", poe_key).env("PROXY_API_KEYS", "one-of-ours, wrong-key");
        TestServer::start(program, &["--poe-base-url", &poe.at.base_url])
    };
    let server = start(SECRET);
    for key in ["nobody-knows", SECRET, "one-of-our", "one-of-ours,", "ONE-OF-OURS"] {
        let refused = ask_with(&server, key);
        assert_eq!((refused.status, refused.error("code").as_str()), (401, "invalid_api_key"), "{key}");
    }
    let without = post("/v1/chat/completions", &[], &chat_body("demo-echo", "x").to_string());
    assert_eq!(server.ask(&without).status, 401);
    assert_eq!(server.ask(&get("/v1/models")).status, 401);
    assert_eq!(
        server.ask("GET /v1/models HTTP/1.1\r\nHost: h\r\nx-api-key: one-of-ours\r\n\r\n").status,
        200
    );
    assert_eq!(server.ask("GET /health HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    assert_eq!(poe.queries(), 0, "Poe heard of strangers");
    // Poe refuses the key `wrong-key`: as the proxy's key it works, so Poe did not see it
    assert_eq!((ask_with(&server, "one-of-ours").status, ask_with(&server, "wrong-key").status), (200, 200));
    let refused = ask_with(&start("wrong-key"), "one-of-ours");
    assert_eq!(refused.status, 401, "and Poe did see its own");
    assert!(refused.error("message").contains("Incorrect API key"));
}

#[test]
fn keys_may_come_from_files() {
    let file = directory("keys").join("key");
    fs::write(&file, "wrong-key\n").unwrap();
    let mut program = binary();
    program.env("POE_API_KEY_FILE", &file);
    let server = TestServer::start(program, &["--demo"]);
    assert_eq!(ask_with(&server, "anything").status, 401, "the file's key is refused by Poe");
    let said = refusal(&["--poe-api-key-file", "/nowhere/key", "--host", "127.0.0.1"], &[], 1);
    assert!(said.contains("/nowhere/key"), "{said}");
}

#[test]
fn no_key_is_ever_logged() {
    let mut program = binary();
    program
        .env("POE_API_KEY", "sk-poe-secret")
        .env("PROXY_API_KEYS", SECRET)
        .env("ADMIN_PASSWORD", "hush-hush");
    let server = TestServer::start(program, &["--demo", "--log-level", "trace"]);
    let body = chat_body("demo-echo", "x").to_string();
    let bearer = format!("Authorization: Bearer {SECRET}");
    let requests = [
        post("/v1/chat/completions", &[&bearer], &body),
        post("/v1/chat/completions", &[&bearer], &streamed("demo-flaky", "x").to_string()),
        post("/v1/chat/completions", &[&bearer], &streamed("demo-error-late", "x").to_string()),
        post("/v1/chat/completions", &[&bearer], "nonsense"),
        post("/v1/chat/completions", &[&format!("X-Api-Key: {SECRET}")], &body),
        post(&format!("/v1/chat/completions?key={SECRET}"), &[], &body),
        post("/v1/chat/completions", &["Authorization: Bearer sk-guess-secret"], &body),
        post("/v1/chat/completions", &["Authorization: sk-guess-secret"], &body),
        format!("GET /v1/models HTTP/1.1\r\nHost: h\r\n{bearer}\r\n\r\n"),
        format!("GET /v1/models?key={SECRET} HTTP/1.1\r\nHost: h\r\n\r\n"),
        format!("GET /nowhere?key={SECRET} HTTP/1.1\r\nHost: h\r\n\r\n"),
        format!("GET http://h/nowhere?key={SECRET} HTTP/1.1\r\nHost: h\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\nHost: h\r\n{bearer}\0\r\n\r\n"),
    ];
    for request in &requests {
        let answer = server.ask(request);
        for secret in [SECRET, "sk-poe-secret", "sk-guess-secret"] {
            assert!(!answer.text().contains(secret), "{request}: {answer:?}");
        }
    }
    server.ask(&get("/the-last-one"));
    server.wait_for_line("/the-last-one");
    let output = server.output();
    assert!(output.contains("POST /v1/chat/completions"), "{output}");
    for secret in [SECRET, "sk-poe-secret", "sk-guess-secret", "hush-hush"] {
        assert!(!output.contains(secret), "{secret} in {output}");
    }
}

#[test]
fn the_demo_says_how_to_use_it() {
    let server = TestServer::demo(&[]);
    let curl = server.wait_for_line("curl -N http://127.0.0.1:");
    assert!(curl.contains(&server.port.to_string()), "{curl}");
    server.wait_for_line("demo-story");
    let body = server.wait_for_line("-d '{");
    let body = body.trim().trim_start_matches("-d '").trim_end_matches('\'');
    let answer = server.ask(&chat(&serde_json::from_str(body).unwrap()));
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
}

fn check(directory: &Path, env: &[(&str, &str)]) -> Output {
    run(&["check", "--config-dir", directory.to_str().expect("UTF-8")], env)
}

#[test]
fn check_shows_effective_settings_and_masks_secrets() {
    let directory = directory("check");
    let good = check(&directory, &[("POE_API_KEY", SECRET), ("HOST", "127.0.0.1"), ("PORT", "1234")]);
    let said = text(&good.stdout);
    assert_eq!(good.status.code(), Some(0), "{said}");
    assert!(said.contains("PORT") && said.contains("1234") && said.contains("POE_API_KEY"), "{said}");
    assert!(!said.contains(SECRET) && !said.contains("123456"), "{said}");
    let bad = check(&directory, &[("PORT", "abc")]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad.stderr).contains("PORT"));
    fs::write(directory.join("models.yaml"), "models: [").unwrap();
    let bad = check(&directory, &[]);
    fs::remove_file(directory.join("models.yaml")).unwrap();
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad.stderr).contains("models.yaml"), "{}", text(&bad.stderr));
}

#[test]
fn health_can_be_asked_without_a_shell() {
    let server = TestServer::demo(&[]);
    let port = server.port.to_string();
    let well = run(&["healthcheck", "--port", &port], &[]);
    assert_eq!((well.status.code(), text(&well.stderr).as_str()), (Some(0), ""));
    assert_eq!(run(&["healthcheck"], &[("PORT", port.as_str())]).status.code(), Some(0));
    drop(server);
    let said = refusal(&["healthcheck", "--port", &port], &[], 1);
    assert!(said.contains(&port), "{said}");
}

#[test]
fn help_and_version_are_plain() {
    for flag in ["--help", "-h"] {
        let help = run(&[flag], &[("PORT", "abc")]);
        assert_eq!(help.status.code(), Some(0));
        for word in ["serve", "check", "healthcheck", "--port", "--demo", "POE_API_KEY"] {
            assert!(text(&help.stdout).contains(word), "{word}");
        }
    }
    for word in ["--version", "version"] {
        let version = run(&[word], &[]);
        assert_eq!(version.status.code(), Some(0));
        assert_eq!(text(&version.stdout), format!("poe2openai {}\n", env!("CARGO_PKG_VERSION")));
    }
    let help = text(&run(&["help"], &[]).stdout);
    assert!(help.lines().count() <= 24, "a screen has 24 lines:\n{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 80), "and 80 columns:\n{help}");
    assert_eq!(help, text(&run(&["--help"], &[]).stdout));
    let all = text(&run(&["help", "settings"], &[]).stdout);
    let man = text(&run(&["man"], &[]).stdout);
    for setting in poe2openai::settings::TABLE {
        assert!(
            all.contains(&format!("--{}", setting.flag())) && man.contains(setting.name),
            "{}",
            setting.name
        );
    }
}

/// What a shell offers after the words of a command line.
fn completed(words: &str) -> Vec<String> {
    let script = text(&run(&["completions", "bash"], &[]).stdout);
    let ask = format!(
        "{script}\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _poe2openai; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["--norc", "-c", &ask]).output().expect("bash");
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn shells_complete_commands_flags_and_values() {
    assert_eq!(completed("poe2openai ch"), ["check"]);
    assert_eq!(completed("poe2openai --log-f"), ["--log-format"]);
    assert_eq!(completed("poe2openai --log-format ''"), ["text", "json"]);
    assert_eq!(completed("poe2openai check --s").first().map(String::as_str), Some("--ssl-cert-file"));
    assert!(completed("poe2openai check --str").contains(&"--strict".to_owned()));
    assert_eq!(completed("poe2openai completions f"), ["fish"]);
    assert_eq!(completed("poe2openai --ssl-cert-file Cargo.t"), ["Cargo.toml"]);
    for shell in ["zsh", "fish"] {
        let script = run(&["completions", shell], &[]);
        for setting in poe2openai::settings::TABLE {
            assert!(text(&script.stdout).contains(&setting.flag()), "{shell}: {}", setting.name);
        }
        let Ok(mut program) = Command::new(shell).arg("-n").stdin(Stdio::piped()).spawn() else { continue };
        program.stdin.take().expect("piped").write_all(&script.stdout).expect("it reads");
        assert!(program.wait().expect("a child").success(), "{shell}");
    }
    let said = refusal(&["completions"], &[], 2);
    assert!(said.contains("fish"), "{said}");
    let said = refusal(&["serve", "--strict"], &[], 2);
    assert!(said.contains("`check`"), "{said}");
}

#[test]
fn check_online_asks_poe() {
    let online = |args: &[&str]| run(&[&["check", "--online", "--host", "127.0.0.1"], args].concat(), &[]);
    let good = online(&["--demo"]);
    let said = text(&good.stdout);
    assert_eq!(good.status.code(), Some(0), "{said}{}", text(&good.stderr));
    for words in
        ["Poe's list of models: ", "each client sends its own key", "upload host: ", "proxy for Poe: none"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let said = text(&online(&["--demo", "--poe-api-key", SECRET]).stdout);
    assert!(said.contains("POE_API_KEY: valid, ") && said.contains(" points left"), "{said}");
    let bad = online(&["--demo", "--poe-api-key", "wrong-key"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad.stderr).contains("POE_API_KEY: "), "{}", text(&bad.stderr));
    assert!(!text(&bad.stderr).contains("wrong-key"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = format!("http://{nobody}");
    let away =
        online(&["--poe-base-url", &nowhere, "--poe-file-upload-url", &nowhere, "--poe-proxy", "none"]);
    assert_eq!(away.status.code(), Some(1));
    let said = text(&away.stderr);
    assert!(said.contains("Poe's list of models: ") && said.contains("upload host: "), "{said}");
}

#[test]
fn check_strict_fails_on_warnings() {
    let directory = directory("strict");
    let strict = || {
        let place = directory.to_str().expect("UTF-8");
        run(&["check", "--strict", "--config-dir", place], &[])
    };
    assert_eq!(strict().status.code(), Some(0));
    for file in ["models:\n  GPT-5.2: {mapping: fast}\n", "custom_models:\n  - {id: mine, owned_by: me}\n"] {
        fs::write(directory.join("models.yaml"), file).unwrap();
        let output = strict();
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert!(text(&output.stdout).contains("warning: ") && text(&output.stdout).contains("enable: true"));
        assert_eq!(check(&directory, &[]).status.code(), Some(0), "only --strict minds");
    }
    fs::remove_file(directory.join("models.yaml")).unwrap();
}

#[test]
fn a_missing_configuration_directory_is_created_and_an_impossible_one_is_reported() {
    let directory = common::fresh_path("start-missing");
    let place = directory.join("a/b");
    assert_eq!(check(&place, &[]).status.code(), Some(0));
    assert!(!directory.exists(), "a check creates nothing");
    let server = TestServer::demo(&["--config-dir", place.to_str().expect("UTF-8")]);
    assert!(place.is_dir());
    drop(server);

    fs::write(directory.join("file"), "").unwrap();
    let place = directory.join("file/data");
    let place = place.to_str().expect("UTF-8");
    let words = format!("cannot write CONFIG_DIR ({place}): not a directory");
    let mut program = binary();
    program.env("ADMIN_PASSWORD", "open");
    let server = TestServer::start(program, &["--demo", "--config-dir", place]);
    server.wait_for_line(&words);
    let settings = "GET /api/admin/settings HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YWRtaW46b3Blbg==\r\n\r\n";
    let settings = server.ask(settings).json();
    assert!(
        settings["config_dir"]["error"].as_str().is_some_and(|error| error.contains(&words)),
        "{settings}"
    );
    assert!(settings["warnings"].as_array().unwrap().contains(&"config_dir".into()), "{settings}");
    let lenient = check(Path::new(place), &[]);
    assert_eq!(lenient.status.code(), Some(0));
    assert!(text(&lenient.stdout).contains(&format!("warning: {words}")), "{}", text(&lenient.stdout));
    assert_eq!(run(&["check", "--strict", "--config-dir", place], &[]).status.code(), Some(1));
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_start_says_where_to_go_and_with_which_keys() {
    let open = TestServer::demo(&["--host", "0.0.0.0"]);
    open.wait_for_line(&format!("open http://localhost:{}", open.port));
    open.wait_for_line(&format!("page http://localhost:{}/admin", open.port));
    open.wait_for_line("keys any");
    open.wait_for_line(" at /v1/models");
    let poe = Poe::start();
    let mut program = binary();
    program.env("POE_API_KEY", SECRET).env("PROXY_API_KEYS", "one,two").env("ADMIN_PASSWORD", "");
    let server = TestServer::start(program, &["--poe-base-url", &poe.at.base_url]);
    server.wait_for_line("keys clients send one of 2 PROXY_API_KEYS");
    server.wait_for_line("page closed");
    TestServer::before(&poe, &[]).wait_for_line("keys each client sends its own Poe key");
}

#[test]
fn all_addresses_of_this_machine_can_be_bound() {
    let server = TestServer::demo(&["--host", "0.0.0.0"]);
    assert_eq!(server.ask(&get("/health")).status, 200);
    if TcpListener::bind("[::1]:0").is_ok() {
        let server = TestServer::demo(&["--host", "::"]);
        assert_eq!(server.ask(&get("/health")).status, 200, "an IPv6 wildcard takes IPv4 clients too");
    }
}

/// Requests that a page can send without a CORS preflight are rejected, and the page can read the error.
#[test]
fn pages_of_other_origins_must_ask_before_they_send() {
    let server = TestServer::demo(&[]);
    let body = chat_body("demo-echo", "x").to_string();
    let ask = |target: &str, headers: &str| {
        let head = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n{headers}");
        server.ask(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    let page = "Origin: https://page.example\r\n";
    for headers in [
        format!("{page}Content-Type: text/plain;charset=UTF-8\r\n"),
        format!("{page}Content-Type: application/x-www-form-urlencoded\r\n"),
        format!("{page}Content-Type: multipart/form-data; boundary=x\r\n"),
        page.to_owned(),
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nContent-Type: text/plain\r\n".to_owned(),
    ] {
        for path in [
            "/v1/chat/completions",
            "/v1/messages",
            "/v1/responses",
            "/api/chat",
            "/v1/images/edits",
            "/api/show",
        ] {
            let answer = ask(&format!("{path}?key=x"), &headers);
            assert_eq!(answer.status, 403, "{path} {headers}");
            assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"), "{answer:?}");
            assert!(answer.text().contains("application/json"), "{answer:?}");
        }
    }
    let cors = format!(
        "{page}Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\nContent-Type: application/json\r\n"
    );
    let answer = ask("/v1/chat/completions", &format!("{cors}Authorization: Bearer x\r\n"));
    assert_eq!((answer.status, answer.header("Access-Control-Allow-Origin")), (200, Some("*")), "{answer:?}");
    assert_eq!(ask("/v1/chat/completions?key=x", "Content-Type: text/plain\r\n").status, 200, "a program");
}

#[test]
fn keys_are_checked_before_bodies_are_read() {
    let mut program = binary();
    program.env("POE_API_KEY", "sk-poe").env("PROXY_API_KEYS", SECRET);
    let server = TestServer::start(program, &["--demo"]);
    for path in [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/responses",
        "/v1/responses/input_tokens",
        "/v1/responses/compact",
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/audio/speech",
        "/api/chat",
        "/api/generate",
        "/api/show",
        "/api/admin/try",
        "/api/admin/config",
        "/api/admin/config/file",
        "/api/admin/activity/stop",
        "/api/admin/inspection",
    ] {
        // the body is never sent: the answer is sent anyway
        let answer = server.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n"
        ));
        assert_eq!(answer.status, 401, "{path}");
    }
}

#[test]
fn wrong_keys_are_throttled_and_valid_ones_are_not() {
    let mut program = binary();
    program.env("POE_API_KEY", "sk-poe").env("PROXY_API_KEYS", format!("{SECRET},short"));
    let server = TestServer::start(program, &["--demo"]);
    server.wait_for_line("PROXY_API_KEYS: 1 of 2 keys have fewer than 16 characters");
    let body = chat_body("demo-echo", "x").to_string();
    let ask = |key: &str| {
        server.ask(&post("/v1/chat/completions", &[&format!("Authorization: Bearer {key}")], &body))
    };
    assert_eq!(ask(SECRET).status, 200);
    let statuses: Vec<u16> = (0..12).map(|number| ask(&format!("guess-{number}")).status).collect();
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 2]].concat());
    let wait = ask("guess").header("Retry-After").and_then(|wait| wait.parse::<u64>().ok());
    assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{wait:?}");
    assert_eq!(ask("short").status, 429, "a correct guess is rejected too");
    assert_eq!(ask(SECRET).status, 200, "a key that was right before goes on");
}

#[test]
fn a_websocket_is_refused_so_that_clients_fall_back() {
    let server = TestServer::demo(&[]);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    let head = |extra: &str| {
        format!("GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n{extra}\r\n")
    };
    let answer = server.ask(&head(upgrade));
    assert_eq!((answer.status, answer.header("Upgrade")), (426, Some("HTTP/1.1")), "{answer:?}");
    assert_eq!(server.ask(&head("")).status, 405);
}

/// Streams and whole answers have one writer of heads.
#[test]
fn every_response_head_has_date_and_server() {
    let server = TestServer::demo(&[]);
    for body in [chat_body("demo-echo", "x"), streamed("demo-echo", "x")] {
        let answer = server.chat(&body);
        assert_eq!(answer.status, 200);
        let date = answer.header("Date").expect("a date");
        assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
        for name in ["Server", "x-request-id", "request-id", "Access-Control-Allow-Origin", "Content-Type"] {
            assert!(answer.header(name).is_some(), "{name}: {answer:?}");
        }
    }
}

/// A foreign page in a browser on this machine must not use the key.
#[test]
fn no_web_page_spends_the_servers_key() {
    let mut program = binary();
    program.env("POE_API_KEY", SECRET);
    let server = TestServer::start(program, &["--demo"]);
    let body = chat_body("demo-echo", "x").to_string();
    let send = |head: &str| {
        server
            .ask(&format!("POST /v1/chat/completions {head}Content-Length: {}\r\n\r\n{body}", body.len()))
            .status
    };
    let ask = |headers: &str| send(&format!("HTTP/1.1\r\n{headers}Content-Type: application/json\r\n"));
    assert_eq!(ask("Host: localhost\r\n"), 200);
    assert_eq!(ask("Host: localhost\r\nOrigin: http://localhost:3000\r\n"), 200);
    assert_eq!(ask("Host: localhost\r\nOrigin: https://evil.example\r\n"), 403);
    assert_eq!(ask("Host: evil.example\r\n"), 403, "by a name of its own");
    assert_eq!(ask("Host: localhost:80@evil.example\r\n"), 403);
    for sign in [
        "X-Forwarded-For: ::1",
        "X-Forwarded-Proto: https",
        "Forwarded: for=_x",
        "Via: 1.1 x",
        "X-Real-IP: x",
        "CF-Ray: x",
    ] {
        assert_eq!(ask(&format!("Host: localhost\r\n{sign}\r\n")), 403, "{sign}");
    }
    assert_eq!(send("HTTP/1.0\r\nHost: localhost\r\n"), 403, "nginx's default until March 2026");
    let preflight = "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\
                     Access-Control-Request-Private-Network: true\r\n\r\n";
    let refused = server.ask(preflight);
    assert_eq!((refused.status, refused.header("Access-Control-Allow-Origin")), (403, Some("*")));
    assert!(refused.header("Access-Control-Allow-Headers").is_some(), "{refused:?}");
    assert!(refused.error("message").contains("PROXY_API_KEYS"), "{refused:?}");
}

#[test]
fn preflights_are_logged_at_debug() {
    let preflight =
        "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: https://page.example\r\n\r\n";
    for (level, is_logged) in [("info", false), ("debug", true)] {
        let server = TestServer::demo(&["--log-level", level]);
        assert_eq!(server.ask(preflight).status, 204);
        if is_logged {
            server.wait_for_line("OPTIONS /v1/chat/completions");
            continue;
        }
        // each line is queued before the connection's next request is read
        let mut wire = server.wire();
        assert_eq!(wire.ask(preflight).status, 204);
        wire.ask(&get("/the-last-one"));
        server.wait_for_line("/the-last-one");
        assert!(!server.output().contains("OPTIONS /v1"), "{level}");
    }
}

#[test]
fn the_list_of_models_is_that_of_models_yaml() {
    let place = directory("models");
    let file = "enable: true\nmodels:\n  demo-echo:\n    mapping: parrot\n  demo-story:\n    enable: false\n\
                custom_models:\n  - id: my-private-bot\n    owned_by: me\n";
    fs::write(place.join("models.yaml"), file).unwrap();
    let server = TestServer::demo(&["--config-dir", place.to_str().expect("UTF-8")]);
    let list = server.ask(&get("/v1/models")).json();
    let listed = |name: &str| list["data"].as_array().unwrap().iter().any(|model| model["id"] == name);
    assert!(listed("parrot") && listed("my-private-bot") && listed("demo-think"));
    assert!(!listed("demo-echo") && !listed("demo-story"));
    assert_eq!(server.ask(&get("/v1/models/parrot")).status, 200);
    assert_eq!(server.ask(&get("/v1/models/demo-story")).status, 404);
    let answer = server.chat(&chat_body("parrot", "hello"));
    assert_eq!((content(&answer).as_str(), answer.json()["model"].as_str()), ("hello", Some("parrot")));
    assert_eq!(server.chat(&chat_body("demo-story", "x")).status, 404);
}
