//! Connections to Poe through real proxies: HTTP and SOCKS, with and without a login, with TLS behind and before them.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::proxy::{HIDDEN_NAME, Proxy};
use common::tls::{TLS_FILES, tls_front};
use common::{Poe, TestServer, binary, chat, chat_body, content, fresh_path, post, run, streamed, text};
use serde_json::{Value, json};

const PASSWORD: &str = "p@ss/w0rd:%";
/// The same, as it stands in a URL.
const ENCODED: &str = "p%40ss%2Fw0rd%3A%25";

fn program(env: &[(&str, &str)]) -> Command {
    let mut program = binary();
    program.envs(env.iter().copied());
    program
}

/// A server for the Poe at `base_url`, with `env`.
fn server(poe: &Poe, base_url: &str, env: &[(&str, &str)]) -> TestServer {
    let uploads = poe.at.upload_url.clone();
    TestServer::start(program(env), &["--poe-base-url", base_url, "--poe-file-upload-url", &uploads])
}

/// `address` as a TLS URL.
fn https_at(address: &str) -> String {
    format!("https://{}", address.replace("127.0.0.1", "localhost"))
}

/// Poe's URL by a name that only the proxies know.
fn hidden(poe: &Poe) -> String {
    format!("http://{HIDDEN_NAME}:{}", poe.address().rsplit(':').next().expect("a port"))
}

fn answers(server: &TestServer) {
    let answer = server.chat(&chat_body("demo-echo", "over there"));
    assert_eq!((answer.status, content(&answer).as_str()), (200, "over there"), "{}", answer.text());
    let events = server.wire().stream(&chat(&streamed("demo-echo", "and back"))).rest();
    assert_eq!(text(&events), "and back");
}

/// A 502 with `proxy`, the proxy's address and `words`, without a password; Poe received no query.
fn is_refused(server: &TestServer, poe: &Poe, proxy: &str, words: &str) {
    let answer = server.chat(&chat_body("demo-echo", "x"));
    let said = answer.text();
    assert_eq!(answer.status, 502, "{said}");
    for part in ["proxy", proxy, words] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let all = said.to_owned() + &server.output();
    for secret in [PASSWORD, ENCODED, "wrong-password", &BASE64_STANDARD.encode("joe:wrong-password")] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
    assert_eq!(poe.queries(), 0, "never in silence without the proxy");
}

#[test]
fn http_goes_to_an_http_proxy_in_absolute_form() {
    let (poe, proxy) = (Poe::start(), Proxy::closed("joe", PASSWORD));
    let url = format!("http://joe:{ENCODED}@{}", proxy.address());
    let server = server(&poe, &hidden(&poe), &[("HTTP_PROXY", &url)]);
    for _ in 0..5 {
        answers(&server);
    }
    assert!(proxy.saw(&format!("POST {}/bot/demo-echo HTTP/1.1", hidden(&poe))), "{:?}", proxy.seen());
    assert!(!poe.last_record()["headers"].to_string().to_lowercase().contains("proxy-authorization"));
    // all requests to Poe use the proxy
    assert!(proxy.saw(&format!("GET {}/v1/models HTTP/1.1", hidden(&poe))), "{:?}", proxy.seen());
    let picture = format!("data:text/plain;base64,{}", BASE64_STANDARD.encode("a file"));
    let parts = json!([{"type": "text", "text": "read"}, {"type": "file", "file": {"file_data": picture, "filename": "a.txt"}}]);
    let mut body = chat_body("demo-echo", "x");
    body["messages"][0]["content"] = parts;
    assert_eq!(server.chat(&body).status, 200);
    assert!(proxy.saw(&format!("POST {} HTTP/1.1", poe.at.upload_url)), "{:?}", proxy.seen());
    let seen = proxy.seen();
    assert!(seen.connections < seen.requests.len() / 2, "connections are used again: {seen:?}");
}

#[test]
fn https_goes_through_an_http_proxy_by_connect() {
    let (poe, proxy) = (Poe::start(), Proxy::closed("joe", PASSWORD));
    let front = tls_front(poe.address());
    let base = format!("https://localhost:{front}");
    let ca = format!("{TLS_FILES}ca.pem");
    let url = format!("joe:{ENCODED}@{}", proxy.address());
    let server = server(
        &poe,
        &base,
        &[
            ("HTTPS_PROXY", &url),
            ("HTTP_PROXY", "127.0.0.1:1"),
            ("NO_PROXY", "127.0.0.1"),
            ("SSL_CERT_FILE", &ca),
        ],
    );
    answers(&server);
    assert!(proxy.saw(&format!("CONNECT localhost:{front} HTTP/1.1")), "{:?}", proxy.seen());
    // the proxy itself behind TLS
    let proxy_front = tls_front(&proxy.address());
    let url = format!("https://joe:{ENCODED}@localhost:{proxy_front}");
    for (base, words) in [(base, "CONNECT"), (hidden(&poe), "POST http")] {
        let before = proxy.seen().requests.len();
        let server = self::server(&poe, &base, &[("POE_PROXY", &url), ("SSL_CERT_FILE", &ca)]);
        answers(&server);
        assert!(
            proxy.seen().requests[before..].iter().any(|request| request.starts_with(words)),
            "{:?}",
            proxy.seen()
        );
    }
}

#[test]
fn socks_carries_names_and_addresses() {
    let poe = Poe::start();
    let front = tls_front(poe.address());
    let (named, hidden) = (poe.at.base_url.replace("127.0.0.1", "localhost"), hidden(&poe));
    let port = poe.address().rsplit(':').next().expect("a port");
    let secure = format!("https://localhost:{front}");
    let ca = format!("{TLS_FILES}ca.pem");
    let login = format!("joe:{ENCODED}@");
    for (scheme, login, base, seen) in [
        ("socks5", "", &poe.at.base_url, format!("socks5 address 127.0.0.1:{port}")),
        ("socks5", login.as_str(), &named, format!("socks5 address 127.0.0.1:{port}")),
        // what this machine cannot resolve is left to the proxy
        ("socks5", "", &hidden, format!("socks5 name {HIDDEN_NAME}:{port}")),
        ("socks5h", "", &hidden, format!("socks5 name {HIDDEN_NAME}:{port}")),
        ("socks5h", login.as_str(), &hidden, format!("socks5 name {HIDDEN_NAME}:{port}")),
        ("socks5h", login.as_str(), &secure, format!("socks5 name localhost:{front}")),
        ("socks5", "", &secure, format!("socks5 address 127.0.0.1:{front}")),
        ("socks", "", &hidden, format!("socks5 name {HIDDEN_NAME}:{port}")),
        ("socks4a", "", &hidden, format!("socks4a name {HIDDEN_NAME}:{port}")),
        ("socks4", "", &named, format!("socks4 address 127.0.0.1:{port}")),
    ] {
        let proxy = if login.is_empty() { Proxy::open() } else { Proxy::closed("joe", PASSWORD) };
        let url = format!("{scheme}://{login}{}", proxy.address());
        let server = server(&poe, base, &[("ALL_PROXY", &url), ("SSL_CERT_FILE", &ca)]);
        answers(&server);
        assert!(proxy.saw(&seen), "{url}: {:?} without {seen}", proxy.seen());
    }
}

#[test]
fn native_routes_use_the_proxy_too() {
    let (poe, proxy) = (Poe::start(), Proxy::open());
    let url = format!("http://{}", proxy.address());
    let server = server(&poe, &hidden(&poe), &[("http_proxy", &url), ("POE_ROUTE", "native")]);
    let answer = server.chat(&chat_body("demo-native", "x"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(proxy.saw("/v1/chat/completions"), "{:?}", proxy.seen());
}

#[test]
fn a_proxy_that_does_not_work_is_named() {
    let poe = Poe::start();
    let ca = format!("{TLS_FILES}ca.pem");
    let secure = format!("https://localhost:{}", tls_front(poe.address()));
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let down = closed.local_addr().expect("an address").to_string();
    drop(closed);
    let proxy = Proxy::closed("joe", PASSWORD);
    let plain = &poe.at.base_url;
    for (base, url, words) in [
        (plain, format!("http://joe:{ENCODED}@{down}"), "cannot be reached"),
        (&secure, format!("http://{down}"), "cannot be reached"),
        (plain, format!("socks5h://{down}"), "cannot be reached"),
        (plain, "http://proxy.nowhere.invalid:3128".to_owned(), "could not be resolved"),
        (plain, format!("http://{}", proxy.address()), "requires a user name and password"),
        (&secure, format!("http://{}", proxy.address()), "requires a user name and password"),
        (plain, format!("socks5://{}", proxy.address()), "requires a user name and password"),
        (
            plain,
            format!("http://joe:wrong-password@{}", proxy.address()),
            "rejected the user name or password",
        ),
        (
            &secure,
            format!("http://joe:wrong-password@{}", proxy.address()),
            "rejected the user name or password",
        ),
        (
            &secure,
            format!("socks5://joe:wrong-password@{}", proxy.address()),
            "rejected the user name or password",
        ),
        // no TLS there
        (plain, https_at(poe.address()), "offers no secure connection"),
    ] {
        let address = url.rsplit(['@', '/']).next().expect("an address").to_owned();
        let server =
            server(&poe, base, &[("ALL_PROXY", &url), ("SSL_CERT_FILE", &ca), ("LOG_LEVEL", "debug")]);
        is_refused(&server, &poe, &address, words);
    }
}

#[test]
fn a_proxy_that_cannot_reach_poe_says_so() {
    let (poe, proxy) = (Poe::start(), Proxy::open());
    let nowhere = "https://127.0.0.1:1";
    for (url, words) in [
        (format!("http://{}", proxy.address()), "502 Bad Gateway"),
        (format!("socks5://{}", proxy.address()), "connection refused"),
        (format!("socks4://{}", proxy.address()), "refused to connect"),
    ] {
        let server = server(&poe, nowhere, &[("HTTPS_PROXY", &url)]);
        is_refused(&server, &poe, &proxy.address(), words);
    }
}

#[test]
fn a_silent_proxy_can_be_cancelled_and_times_out() {
    let (poe, silent) = (Poe::start(), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let address = silent.local_addr().expect("an address").to_string();
    for scheme in ["http", "https", "socks5h", "socks4a"] {
        let url = format!("{scheme}://{address}");
        let server = TestServer::start(
            program(&[("POE_PROXY", &url)]),
            &[
                "--poe-base-url",
                "https://poe.hidden.test",
                "--upstream-connect-timeout-seconds",
                "1",
                "--models-refresh-seconds",
                "0",
            ],
        );
        is_refused(&server, &poe, &address, "did not answer in time");
    }
    let url = format!("socks5h://{address}");
    let server = TestServer::start(
        program(&[("POE_PROXY", &url)]),
        &[
            "--poe-base-url",
            "https://poe.hidden.test",
            "--upstream-connect-timeout-seconds",
            "60",
            "--models-refresh-seconds",
            "0",
        ],
    );
    let mut wire = server.wire();
    wire.send(chat(&streamed("demo-echo", "x")));
    wire.leave();
    server.wait_for_line("status=499");
}

#[test]
fn no_proxy_and_our_own_variable_bypass_the_proxies() {
    let (poe, proxy) = (Poe::start(), Proxy::open());
    let (url, dead) = (format!("http://{}", proxy.address()), "http://127.0.0.1:1");
    let named = poe.at.base_url.replace("127.0.0.1", "localhost");
    let port = poe.address().rsplit(':').next().expect("a port").to_owned();
    let with_port = format!("other.example, 127.0.0.1:{port}");
    for (base, env) in [
        (&poe.at.base_url, [("HTTP_PROXY", dead), ("NO_PROXY", "example.com, 127.0.0.0/8")]),
        (&poe.at.base_url, [("ALL_PROXY", dead), ("no_proxy", with_port.as_str())]),
        (&named, [("HTTP_PROXY", dead), ("NO_PROXY", ".localhost")]),
        (&named, [("HTTP_PROXY", dead), ("NO_PROXY", "*")]),
        (&named, [("HTTP_PROXY", "ftp://unusable"), ("POE_PROXY", "none")]),
        (&named, [("HTTPS_PROXY", dead), ("NO_PROXY", "")]),
    ] {
        answers(&server(&poe, base, &env));
    }
    let env = [("HTTP_PROXY", dead), ("NO_PROXY", "*"), ("POE_PROXY", url.as_str())];
    answers(&server(&poe, &hidden(&poe), &env));
    assert!(proxy.saw("POST http://"), "{:?}", proxy.seen());
    // a flag is as good as a variable
    let before = proxy.seen().connections;
    let server = TestServer::start(program(&[]), &["--poe-base-url", &hidden(&poe), "--poe-proxy", &url]);
    answers(&server);
    assert!(proxy.seen().connections > before);
    answers(&TestServer::start(
        program(&[("ALL_PROXY", "ftp://unusable"), ("HTTPS_PROXY", dead)]),
        &["--demo"],
    ));
}

#[test]
fn an_unusable_proxy_ends_the_start_by_name() {
    for (variable, value, words) in [
        ("HTTPS_PROXY", "ftp://proxy:1", "unknown scheme `ftp`"),
        ("https_proxy", "http://", "no host"),
        ("HTTP_PROXY", "http://proxy:99999", "bad port"),
        ("http_proxy", "http://joe:hunter2@proxy:x", "bad port"),
        ("ALL_PROXY", "socks9://proxy", "unknown scheme"),
        ("all_proxy", "http://joe:hunter2@", "no host"),
        ("POE_PROXY", "ftp://joe:hunter2@proxy", "expected none, or"),
    ] {
        for (command, code) in [("serve", 2), ("check", 1)] {
            let output = run(&[command, "--port", "0"], &[(variable, value)]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{variable}: {said}");
            assert!(said.contains(&format!("{variable}=")) && said.contains(words), "{said}");
            assert!(!said.contains("hunter2") && said.trim().lines().count() == 1, "{said}");
        }
    }
}

#[test]
fn the_proxies_in_force_are_shown_without_passwords() {
    let env = [("HTTPS_PROXY", "http://joe:hunter2@proxy.corp:3128"), ("NO_PROXY", "quora.com")];
    let directory = fresh_path("proxies");
    fs::create_dir_all(&directory).expect("a directory");
    let output = run(&["check", "--config-dir", directory.to_str().expect("UTF-8")], &env);
    let said = String::from_utf8_lossy(&output.stdout);
    for line in
        ["proxy for Poe: http://joe:••••@proxy.corp:3128 (HTTPS_PROXY)", "proxy for uploads: none (NO_PROXY)"]
    {
        assert!(said.lines().any(|found| found == line), "{line}: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");

    let mut program = program(&env);
    program.env("ADMIN_PASSWORD", "a-password").env("POE_PROXY", "socks5h://joe:hunter2@[::1]");
    let server = TestServer::start(program, &["--models-refresh-seconds", "0"]);
    let login = format!("Authorization: Basic {}", BASE64_STANDARD.encode("admin:a-password"));
    let asked = format!("GET /api/admin/settings HTTP/1.1\r\nHost: localhost\r\n{login}\r\n\r\n");
    let answer = server.ask(&asked);
    assert!(!answer.text().contains("hunter2") && !server.output().contains("hunter2"));
    let expected: Vec<Value> = ["Poe", "uploads"]
        .map(|what| json!({"for": what, "proxy": "socks5h://joe:••••@[::1]:1080", "source": "POE_PROXY"}))
        .into();
    assert_eq!(answer.json()["proxies"], json!(expected));
    let shown = answer.json()["rows"].as_array().expect("rows").clone();
    let shown = shown.iter().find(|row| row["name"] == "proxy for uploads").expect("a row").clone();
    assert_eq!((&shown["value"], &shown["flag"]), (&expected[0]["proxy"], &json!("POE_PROXY")));
    server.wait_for_line("proxy for Poe: socks5h://joe:••••@[::1]:1080 (POE_PROXY)");
}

#[test]
fn requests_over_open_connections_start_no_thread() {
    let poe = Poe::start();
    let named = poe.at.base_url.replace("127.0.0.1", "localhost");
    let look_ups = |server: &TestServer| server.output().matches("looking up the name").count();
    for (base, most) in [(&named, 1), (&poe.at.base_url, 0)] {
        let server = TestServer::start(
            program(&[("LOG_LEVEL", "debug")]),
            &["--poe-base-url", base, "--models-refresh-seconds", "0"],
        );
        let mut wire = server.wire();
        let mut ask = || assert_eq!(wire.ask(&chat(&chat_body("demo-echo", "x"))).status, 200);
        (0..3).for_each(|_| ask());
        let threads = server.memory("Threads:");
        (0..20).for_each(|_| ask());
        assert!(server.memory("Threads:") <= threads);
        assert_eq!(look_ups(&server), most, "{base}");
    }
}

#[test]
fn root_certificates_come_from_a_directory_too() {
    let poe = Poe::start();
    let base = format!("https://localhost:{}", tls_front(poe.address()));
    let directory = fresh_path("certificates");
    fs::create_dir_all(&directory).expect("a directory");
    // as systems do it: twice the same, and things that are none
    for name in ["one.pem", "0a1b2c3d.0"] {
        fs::copy(format!("{TLS_FILES}ca.pem"), directory.join(name)).expect("a copy");
    }
    fs::write(directory.join("README"), b"nothing \xff").expect("a file");
    let path = directory.to_str().expect("UTF-8");
    answers(&server(&poe, &base, &[("SSL_CERT_DIR", path)]));
    let server = server(&poe, &base, &[("SSL_CERT_DIR", "/nowhere")]);
    server.wait_for_line("SSL_CERT_DIR: no certificate in /nowhere");
    let answer = server.ask(&post(
        "/v1/chat/completions",
        &["Authorization: Bearer k"],
        &chat_body("demo-echo", "x").to_string(),
    ));
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("SSL_CERT_FILE has to name"), "{}", answer.text());
}
