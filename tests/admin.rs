//! Access control of the admin page: passwords, addresses, and requests from foreign pages.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::{
    Answer, PATIENCE, Poe, SECRET, TestServer, Wire, binary, chat_body, claims_success, content, eventually,
    skipped, streamed, text, timed,
};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

/// Headers of every answer of the page, whatever its status.
const LOCKED_DOWN: [(&str, &str); 4] = [
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
];

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

fn known() -> String {
    basic("admin", "123456")
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

/// A POST with headers of its own, all but the length.
fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A POST as the page sends it.
fn send(server: &TestServer, path: &str, body: &Value) -> Answer {
    let headers = format!("Host: localhost\r\nContent-Type: application/json\r\n{}", known());
    server.ask(&post(path, &headers, &body.to_string()))
}

fn is_locked_down(answer: &Answer) {
    for (name, value) in LOCKED_DOWN {
        assert_eq!(answer.header(name), Some(value), "{name}: {answer:?}");
    }
    let policy = answer.header("Content-Security-Policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "{answer:?}");
    assert_eq!(answer.header("Access-Control-Expose-Headers"), None, "{answer:?}");
}

/// With a password of its own.
fn guarded(user: &str, password: &str, args: &[&str]) -> TestServer {
    let mut program = binary();
    program.env("ADMIN_USERNAME", user).env("ADMIN_PASSWORD", password);
    TestServer::start(program, &[&["--demo"], args].concat())
}

/// An address of this machine that is not loopback, if it has one. Nothing is sent to find it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect("192.0.2.200:9").ok()?;
    let address = socket.local_addr().expect("bound").ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn only_user_name_and_password_open_the_page() {
    for (user, password) in [("admin", "s3cret: with ä colon"), ("管理员", "пароль")] {
        let server = guarded(user, password, &[]);
        let asked = server.ask(&get("/admin", ""));
        assert_eq!(asked.status, 401);
        assert_eq!(asked.header("WWW-Authenticate"), Some("Basic realm=\"poe2openai\", charset=\"UTF-8\""));
        for path in ["/admin", "/admin/", "/admin/app.js", "/admin/style.css", "/api/admin/settings"] {
            let answer = server.ask(&get(path, &basic(user, password)));
            assert_eq!(answer.status, 200, "{path}");
            is_locked_down(&answer);
        }
        let wrong = [
            basic(user, "other"),
            basic("other", password),
            basic("other", "other"),
            basic(user, ""),
            "Authorization: Basic !!!\r\n".to_owned(),
            format!("Authorization: Bearer {SECRET}\r\n"),
            format!("X-Api-Key: {SECRET}\r\n"),
        ];
        for header in wrong {
            let answer = server.ask(&get("/api/admin/settings", &header));
            assert_eq!(answer.status, 401, "{header}");
            is_locked_down(&answer);
        }
    }
}

#[test]
fn every_answer_is_locked_down() {
    let server = TestServer::demo(&[]);
    let json = "Host: localhost\r\nContent-Type: application/json\r\n";
    let cases = [
        (200, get("/admin", &known())),
        (404, get("/admin/../Cargo.toml", &known())),
        (404, get("/api/admin/nothing", &known())),
        (401, get("/admin", "")),
        (401, "OPTIONS /api/admin/settings HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
        (403, get("/admin", "Origin: http://x\r\n").replace("GET", "OPTIONS")),
        (405, format!("PUT /api/admin/settings HTTP/1.1\r\nHost: localhost\r\n{}\r\n", known())),
        (403, format!("GET /admin HTTP/1.1\r\nHost: evil.example\r\n{}\r\n", known())),
        (415, post("/api/admin/inspection", &format!("Host: localhost\r\n{}", known()), "{\"on\":true}")),
        (400, post("/api/admin/inspection", &format!("{json}{}", known()), "{\"on\":1}")),
        (401, post("/api/admin/try", &format!("{json}Authorization: Bearer x\r\n"), "{}")),
    ];
    for (status, request) in cases {
        let answer = server.ask(&request);
        assert_eq!(answer.status, status, "{request}");
        is_locked_down(&answer);
        if status != 200 {
            assert!(!answer.error("message").is_empty(), "{request}");
        }
        if status == 405 {
            assert_eq!(answer.header("Allow"), Some("GET, HEAD, POST, PATCH, DELETE"));
        }
    }
}

#[test]
fn malformed_credentials_are_rejected() {
    let server = TestServer::demo(&[]);
    let ask = |head: &[u8]| {
        let mut wire = server.wire();
        wire.send(
            [
                head,
                known().as_bytes(),
                b"Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"on\":false}",
            ]
            .concat(),
        );
        wire.answer().status
    };
    let post = "POST /api/admin/inspection HTTP/1.1\r\n";
    let mut headers: Vec<(Vec<u8>, u16)> =
        vec![(b"Host: localhost\r\n".to_vec(), 200), (b"Host: \xff\r\n".to_vec(), 403)];
    for header in [
        &b"X-Forwarded-For: \xff, 203.0.113.9"[..],
        b"Via: \xff",
        b"X-Forwarded-Host: example.com",
        b"CF-Connecting-IP: 203.0.113.9",
        b"Origin: http://\xff",
        b"Origin: http://localhost\r\nOrigin: http://evil.example",
        b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site",
    ] {
        headers.push(([b"Host: localhost\r\n", header, b"\r\n"].concat(), 403));
    }
    for (header, status) in headers {
        let shown = String::from_utf8_lossy(&header).into_owned();
        assert_eq!(ask(&[post.as_bytes(), &header].concat()), status, "{shown}");
    }
}

#[test]
fn where_others_reach_the_server_no_built_in_password_works() {
    // a proxy that adds no header and speaks HTTP/1.1 cannot be told from a program on this machine
    let poe = Poe::start();
    let nowhere = common::fresh_path("nowhere");
    let server = TestServer::before(&poe, &["--host", "0.0.0.0", "--config-dir", nowhere.to_str().unwrap()]);
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        for host in ["localhost", "127.0.0.1", "poe.example"] {
            let head = format!("GET /api/admin/settings {version}\r\nHost: {host}\r\n{}\r\n", known());
            assert_eq!(server.ask(&head).status, 401, "{head}");
        }
    }
}

#[test]
fn the_built_in_password_works_on_this_machine_only() {
    let server = TestServer::demo(&[]);
    server.wait_for_line("opens on this machine only");
    assert_eq!(server.ask(&get("/admin", &known())).status, 200);
    let warnings = server.ask(&get("/api/admin/settings", &known())).json()["warnings"].clone();
    assert_eq!(warnings, json!(["default_password"]));
    let elsewhere = [
        // a name that resolves to this machine may be DNS rebinding
        format!("GET /admin HTTP/1.1\r\nHost: rebound.example\r\n{}\r\n", known()),
        format!("GET /admin HTTP/1.1\r\nHost: [::1].evil.com\r\n{}\r\n", known()),
        format!("GET /admin HTTP/1.1\r\nHost: localhost:80@evil\r\n{}\r\n", known()),
        get("/admin", &format!("{}Origin: http://evil.example\r\n", known())),
        // behind a proxy every client has a local address
        get("/admin", &format!("{}X-Forwarded-For: 192.0.2.1\r\n", known())),
        get("/admin", &format!("{}Forwarded: for=192.0.2.1\r\n", known())),
        get("/admin", &format!("{}CF-Ray: 1\r\n", known())),
    ];
    for request in elsewhere {
        let answer = server.ask(&request);
        assert_eq!(answer.status, 403, "{request}");
        assert!(answer.error("message").contains("ADMIN_PASSWORD"), "{answer:?}");
    }
}

/// What the server prints when it has made a password.
fn printed_password(server: &TestServer) -> String {
    let line = server.wait_for_line(" password: ");
    let password = line.split(" password: ").nth(1).and_then(|rest| rest.split(' ').next());
    password.expect("a password").to_owned()
}

fn status(server: &TestServer, password: &str) -> u16 {
    server.ask(&get("/api/admin/settings", &basic("admin", password))).status
}

#[test]
fn a_server_reachable_by_others_generates_a_password_and_stores_its_hash() {
    let poe = Poe::start();
    let directory = common::fresh_path("made-password");
    fs::create_dir_all(&directory).unwrap();
    let args = ["--host", "0.0.0.0", "--config-dir", directory.to_str().unwrap()];
    let file = directory.join("admin-password.json");

    let server = TestServer::before(&poe, &args);
    let password = printed_password(&server);
    assert_eq!([status(&server, &password), status(&server, "123456"), status(&server, "")], [200, 401, 401]);
    let behind_a_proxy = format!(
        "GET /api/admin/settings HTTP/1.1\r\nHost: poe.example\r\nX-Forwarded-For: 192.0.2.1\r\n{}\r\n",
        basic("admin", &password)
    );
    let settings = server.ask(&behind_a_proxy);
    assert_eq!((settings.status, &settings.json()["warnings"]), (200, &json!([])));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&file).unwrap().contains(&password));
    assert!(!settings.text().contains(&password));
    drop(server);

    let server = TestServer::before(&poe, &args);
    server.wait_for_line("an earlier start printed");
    assert_eq!(status(&server, &password), 200, "kept");
    assert!(!server.output().contains(&password), "printed once");
    drop(server);

    let mut program = binary();
    program.env("ADMIN_PASSWORD", "my own password");
    let server = TestServer::start(program, &[&["--poe-base-url", &poe.at.base_url], &args[..]].concat());
    assert_eq!([status(&server, "my own password"), status(&server, &password)], [200, 401], "replaced");
    assert!(!file.exists());
    drop(server);

    let server = TestServer::before(&poe, &args);
    assert_ne!(printed_password(&server), password, "made anew");
    drop(server);
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_password_that_cannot_be_stored_is_generated_at_each_start() {
    let poe = Poe::start();
    let file = common::fresh_path("nowhere");
    fs::write(&file, "no directory").unwrap();
    let nowhere = file.join("data");
    let args = ["--host", "0.0.0.0", "--config-dir", nowhere.to_str().unwrap()];
    let passwords = [TestServer::before(&poe, &args), TestServer::before(&poe, &args)].map(|server| {
        let password = printed_password(&server);
        assert_eq!(status(&server, &password), 200);
        password
    });
    assert_ne!(passwords[0], passwords[1]);
    fs::remove_file(file).unwrap();

    let directory = common::fresh_path("demo-password");
    fs::create_dir_all(&directory).unwrap();
    let args = ["--host", "0.0.0.0", "--config-dir", directory.to_str().unwrap(), "--log-format", "json"];
    let server = TestServer::demo(&args);
    assert_eq!(status(&server, &printed_password(&server)), 200);
    assert!(!directory.join("admin-password.json").exists(), "a demo stores no password");
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn paths_of_other_prefixes_do_not_lead_to_the_page() {
    let server = TestServer::demo(&[]);
    for path in
        ["/v1/admin", "/anthropic/admin", "/v1/api/admin/settings", "/anthropic/v1/api/admin/settings"]
    {
        assert_eq!(server.ask(&get(path, &known())).status, 404, "{path}");
    }
}

#[test]
fn a_password_that_was_set_works_from_everywhere() {
    let server = guarded("admin", "123456", &["--host", "0.0.0.0"]);
    server.wait_for_line("ADMIN_PASSWORD is the default password");
    let address = own_address().unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let mut wire = Wire::open_at(SocketAddr::from((address, server.port)));
    let answer =
        wire.ask(&format!("GET /admin HTTP/1.1\r\nHost: poe.example\r\nVia: 1.1 proxy\r\n{}\r\n", known()));
    assert_eq!(answer.status, 200);
    let settings = wire.ask(&get("/api/admin/settings", &known())).json();
    assert_eq!(settings["warnings"], json!(["default_password"]));

    let server = guarded("admin", "another", &["--host", "0.0.0.0"]);
    let settings = server.ask(&get("/api/admin/settings", &basic("admin", "another"))).json();
    assert_eq!(settings["warnings"], json!([]));
    assert!(!server.output().contains("ADMIN_PASSWORD"), "nothing to warn of");
}

#[test]
fn an_empty_password_closes_the_page() {
    let server = guarded("admin", "", &[]);
    for path in ["/admin", "/api/admin/settings", "/api/admin/config"] {
        for header in [String::new(), basic("admin", ""), known()] {
            assert_eq!(server.ask(&get(path, &header)).status, 404, "{path} {header}");
        }
    }
    assert_eq!(server.chat(&chat_body("demo-echo", "x")).status, 200, "the rest is open");
}

#[test]
fn wrong_passwords_are_throttled() {
    let server = guarded("admin", "right", &[]);
    let checked = AtomicUsize::new(0);
    thread::scope(|scope| {
        for guesser in 0..40 {
            let (server, checked) = (&server, &checked);
            scope.spawn(move || {
                let mut wire = server.wire();
                for number in 0..5 {
                    let guess = format!("wrong {guesser}.{number}");
                    let answer = wire.ask(&get("/admin", &basic("admin", &guess)));
                    match answer.status {
                        401 => drop(checked.fetch_add(1, Ordering::Relaxed)),
                        429 => {
                            let wait = answer.header("Retry-After").and_then(|wait| wait.parse::<u64>().ok());
                            assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{answer:?}");
                            is_locked_down(&answer);
                        }
                        status => panic!("{status}"),
                    }
                }
            });
        }
    });
    assert_eq!(checked.into_inner(), 10, "all further attempts wait for the minute to pass");
    // whether a password is right is not sent before that either
    let (answer, took) = timed(|| server.ask(&get("/admin", &basic("admin", "right"))));
    assert_eq!(answer.status, 429);
    // late enough for two hundred in a row to take longer than a minute
    assert!(took * 190 > Duration::from_secs(60), "{took:?}");
    assert_eq!(server.ask(&get("/admin", "")).status, 401, "a request without a password is not an attempt");

    // another address is not throttled
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let other = SocketAddr::from(([127, 0, 0, 2], 0));
    match socket.bind(&other.into()) {
        Ok(()) => {
            socket
                .connect(&SocketAddr::from(([127, 0, 0, 1], server.port)).into())
                .expect("the server accepts");
            assert_eq!(Wire::of(socket.into()).ask(&get("/admin", &basic("admin", "right"))).status, 200);
        }
        Err(_) => skipped("another address of this machine: only Linux has all of 127.0.0.0/8"),
    }
    assert_eq!(server.chat(&chat_body("demo-echo", "x")).status, 200, "the rest is open");
}

#[test]
fn foreign_pages_cannot_change_anything() {
    let server = TestServer::demo(&[]);
    let inspects = || {
        server.ask(&get("/api/admin/activity", &known())).json()["inspection"].as_bool().expect("a boolean")
    };
    let own = format!("localhost:{}", server.port);
    let json = "Content-Type: application/json\r\n";
    let body = "{\"on\":true}";
    let foreign = [
        format!("Host: {own}\r\nOrigin: http://localhost:1\r\n{json}"),
        format!("Host: {own}\r\nOrigin: null\r\n{json}"),
        format!("Host: {own}\r\nOrigin: http://{own}\r\nSec-Fetch-Site: cross-site\r\n{json}"),
        format!("Host: {own}\r\nSec-Fetch-Site: same-site\r\n{json}"),
        format!("Host: {own}\r\nOrigin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n{json}"),
        // what a form or a simple fetch of a foreign page can send
        format!("Host: {own}\r\nOrigin: http://{own}\r\nContent-Type: text/plain\r\n"),
        format!("Host: {own}\r\nContent-Type: application/x-www-form-urlencoded\r\n"),
        format!("Host: {own}\r\n"),
    ];
    for headers in foreign {
        for path in
            ["/api/admin/inspection", "/api/admin/config", "/api/admin/try", "/api/admin/activity/stop"]
        {
            let answer = server.ask(&post(path, &format!("{headers}{}", known()), body));
            assert!([403, 415].contains(&answer.status), "{path} {headers} {answer:?}");
            is_locked_down(&answer);
        }
        assert!(!inspects(), "{headers}");
    }
    let ours = [
        format!("Host: {own}\r\nOrigin: http://{own}\r\nSec-Fetch-Site: same-origin\r\n{json}"),
        format!("Host: {own}\r\nOrigin: http://{own}\r\nContent-Type: application/json; charset=utf-8\r\n"),
        format!("Host: {own}\r\n{json}"),
    ];
    for headers in ours {
        let answer = server.ask(&post("/api/admin/inspection", &format!("{headers}{}", known()), body));
        assert_eq!((answer.status, inspects()), (200, true), "{headers} {answer:?}");
        send(&server, "/api/admin/inspection", &json!({"on": false}));
        assert!(!inspects());
    }
}

#[test]
fn keys_of_clients_do_not_open_the_page() {
    let mut program = binary();
    program.env("POE_API_KEY", SECRET).env("PROXY_API_KEYS", "a-proxy-key");
    let server = TestServer::start(program, &["--demo"]);
    for header in [
        "Authorization: Bearer a-proxy-key\r\n",
        &basic("admin", "a-proxy-key"),
        "X-Api-Key: a-proxy-key\r\n",
    ] {
        assert_eq!(server.ask(&get("/api/admin/settings", header)).status, 401, "{header}");
    }
    // and where no key is needed at all, the page needs its password still
    let mut program = binary();
    program.env("POE_API_KEY", SECRET);
    let server = TestServer::start(program, &["--demo"]);
    assert_eq!(server.chat(&chat_body("demo-echo", "x")).status, 200);
    assert_eq!(server.ask(&get("/api/admin/settings", "")).status, 401);
    assert_eq!(server.ask(&get("/api/admin/settings", &known())).status, 200);
}

#[test]
fn settings_show_where_they_come_from_and_no_secret() {
    let mut program = binary();
    program
        .env("POE_API_KEY", SECRET)
        .env("PROXY_API_KEYS", "a-proxy-key")
        .env("ADMIN_PASSWORD", "a-password");
    let server = TestServer::start(program, &["--demo", "--max-connections", "7"]);
    let answer = server.ask(&get("/api/admin/settings", &basic("admin", "a-password")));
    for secret in [SECRET, "a-proxy-key", "a-password", "123456"] {
        assert!(!answer.text().contains(secret), "{secret}");
    }
    let settings = answer.json();
    let row = |name: &str| {
        let rows = settings["rows"].as_array().expect("rows");
        rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    let connections = row("MAX_CONNECTIONS");
    assert_eq!((&connections["value"], &connections["source"]), (&json!("7"), &json!("flag")));
    assert_eq!(
        (&connections["flag"], &connections["default"]),
        (&json!("--max-connections"), &json!("1024"))
    );
    assert_eq!(row("POE_API_KEY")["source"], "environment");
    assert_eq!(row("LOG_LEVEL")["source"], "default");
    assert_eq!(settings["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(settings["health"]["status"], "ready");
    assert!(settings["health"]["uptime_seconds"].is_u64());
    assert_eq!((&settings["has_poe_key"], &settings["warnings"]), (&json!(true), &json!([])));
}

#[test]
fn a_model_can_be_tried() {
    let server = TestServer::demo(&[]);
    let answer = send(&server, "/api/admin/try", &chat_body("demo-echo", "said"));
    assert_eq!((content(&answer).as_str(), answer.status), ("said", 200));
    is_locked_down(&answer);
    let headers = format!("Host: localhost\r\nContent-Type: application/json\r\n{}", known());
    let body = streamed("demo-echo", "streamed").to_string();
    let mut wire = server.wire();
    let mut stream = wire.stream(&post("/api/admin/try", &headers, &body));
    is_locked_down(&stream.answer);
    let events = stream.rest();
    assert!(claims_success(&events));
    assert_eq!(text(&events), "streamed");
    eventually(PATIENCE, "the operator's own request is seen too", || {
        let activity = server.ask(&get("/api/admin/activity", &known())).json();
        let requests = activity["requests"].as_array().expect("a list");
        // which of the two ended last is open
        let is_stream =
            |one: &serde_json::Value| one["endpoint"] == "/api/admin/try" && one["stream"] == true;
        requests.iter().any(is_stream).then_some(())
    });
}

#[test]
fn without_a_server_key_the_page_requires_one() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    let settings = server.ask(&get("/api/admin/settings", &known())).json();
    assert_eq!(settings["has_poe_key"], false);
    let ask = |key: &str| {
        let headers = format!("Host: localhost\r\nContent-Type: application/json\r\n{}{key}", known());
        let answer = server.ask(&post("/api/admin/try", &headers, &chat_body("demo-echo", "x").to_string()));
        let account = server.ask(&get("/api/admin/account", &format!("{}{key}", known())));
        (answer.status, account.status)
    };
    assert_eq!(ask(""), (401, 401));
    assert_eq!(ask("X-Poe-Key: wrong-key\r\n"), (401, 401));
    assert_eq!(ask(&format!("X-Poe-Key: {SECRET}\r\n")), (200, 200));
    // the password of the page is not a Poe key
    assert_eq!(poe.queries(), 2, "only what shows a key is asked");
}

#[test]
fn the_account_shows_points_by_day_and_by_bot() {
    let server = TestServer::demo(&[]);
    let account = || server.ask(&get("/api/admin/account", &known())).json();
    let before = account();
    for _ in 0..120 {
        server.chat(&chat_body("demo-echo", "x"));
    }
    server.chat(&chat_body("demo-think", "x"));
    let after = account();
    let points =
        |account: &Value| account["days"].as_array().expect("days").last().expect("today")["points"].clone();
    let (balance, spent) =
        (after["balance"].as_i64().expect("a number"), points(&after).as_i64().expect("a number"));
    assert_eq!((points(&before), after["days"].as_array().map(Vec::len)), (json!(0), Some(30)));
    // all pages of the history were read
    assert_eq!(before["balance"].as_i64().expect("a number") - balance, spent);
    assert!(spent >= 121 * 10, "{spent}");
    assert_eq!((&after["top"][0]["bot"], &after["partial"]), (&json!("demo-echo"), &json!(false)));
}

#[test]
fn files_of_the_embedded_poe_are_served_here_too() {
    let server = TestServer::demo(&[]);
    let sound = server.ask(&get("/art/hello.wav", ""));
    assert_eq!((sound.status, sound.header("Content-Type")), (200, Some("audio/wav")));
    assert_eq!(sound.header("X-Content-Type-Options"), Some("nosniff"));
    assert!(sound.body.starts_with(b"RIFF"));
    for path in ["/art/none.png", "/art/..%2fdemo%2fqueries", "/art/a%3fb", "/art/"] {
        assert_eq!(server.ask(&get(path, "")).status, 404, "{path}");
    }
    let poe = Poe::start();
    let other = TestServer::before(&poe, &[]);
    assert_eq!(other.ask(&get("/art/cat.png", "")).status, 404, "it is no embedded Poe");
}

#[test]
fn a_browser_that_may_not_enter_is_told_what_to_do() {
    let html = "Accept: text/html,application/xhtml+xml\r\n";
    let open = TestServer::demo(&[]);
    let guarded = guarded("admin", "a password", &["--host", "127.0.0.1"]);
    let closed = {
        let mut program = binary();
        program.env("ADMIN_PASSWORD", "");
        TestServer::start(program, &["--demo"])
    };
    let proxied = format!("{html}X-Forwarded-For: 203.0.113.9\r\n");
    let cases = [
        (&guarded, html, 401, "Sign in to open the admin page"),
        (&open, proxied.as_str(), 403, "own machine only"),
        (&closed, html, 404, "The admin page is closed"),
    ];
    for (server, headers, status, words) in cases {
        let answer = server.ask(&get("/admin", headers));
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, status, "{text}");
        assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!(answer.header("WWW-Authenticate").is_some(), status == 401);
        is_locked_down(&answer);
        for part in [words, "ADMIN_PASSWORD=choose-one poe2openai", "lang=\"zh-TW\"", "lang=\"zh-CN\""] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let program = server.ask(&get("/admin", &headers.replace("text/html", "*/*")));
        assert_eq!((program.status, program.header("Content-Type")), (status, Some("application/json")));
        let call = server.ask(&get("/api/admin/settings", headers));
        assert_eq!(call.header("Content-Type"), Some("application/json"), "the page's own calls get JSON");
    }
}

#[test]
fn signing_out_is_one_refusal() {
    let server = TestServer::demo(&[]);
    let now = server.ask(&get("/api/admin/settings", &known())).json()["now"].as_u64().expect("a time");
    let sign_out = |at: u64| server.ask(&get(&format!("/admin/sign-out?at={at}"), &known()));
    let out = sign_out(now);
    assert_eq!((out.status, out.header("WWW-Authenticate").is_some()), (401, true));
    assert!(String::from_utf8_lossy(&out.body).contains("Signed out"));
    let later = sign_out(now - 60);
    assert_eq!(
        (later.status, later.header("Location")),
        (303, Some("/admin")),
        "a password typed in leads back"
    );
}

#[test]
fn the_page_is_compressed_for_those_who_take_it() {
    let server = TestServer::demo(&[]);
    let plain = server.ask(&get("/admin/app.js", &known()));
    let packed = server.ask(&get("/admin/app.js", &format!("Accept-Encoding: br, gzip\r\n{}", known())));
    assert_eq!((plain.header("Content-Encoding"), packed.header("Content-Encoding")), (None, Some("gzip")));
    assert_eq!(
        (plain.header("Vary"), packed.header("Vary")),
        (Some("Accept-Encoding"), Some("Accept-Encoding"))
    );
    assert!(packed.body.starts_with(&[0x1F, 0x8B]) && packed.body.len() < plain.body.len() / 2);
}

#[test]
fn the_last_lines_of_the_log_are_shown_without_secrets() {
    let server = TestServer::demo(&[]);
    server.chat(&chat_body("demo-echo", "x"));
    let log = |after: u64| server.ask(&get(&format!("/api/admin/log?after={after}"), &known())).json();
    let news = eventually(PATIENCE, "the request's line", || {
        let news = log(0);
        let lines = news["lines"].as_array().expect("lines").clone();
        lines
            .iter()
            .any(|line| line["text"].as_str().is_some_and(|text| text.contains("/v1/chat/completions")))
            .then_some(news)
    });
    assert!(!news.to_string().contains(SECRET) && !news.to_string().contains("Bearer"));
    let seq = news["seq"].as_u64().expect("a number");
    assert!(log(seq)["lines"].as_array().expect("lines").iter().all(|line| line["seq"].as_u64() > Some(seq)));
    assert_eq!(server.ask(&get("/api/admin/log?after=x", &known())).status, 400);
}

#[test]
fn the_file_before_the_last_save_is_restored() {
    let server = TestServer::demo(&[]);
    let save = |yaml: &str| send(&server, "/api/admin/config/file", &json!({"yaml": yaml})).status;
    let nothing = send(&server, "/api/admin/config/restore", &json!({}));
    assert_eq!(nothing.status, 404, "{}", nothing.json());
    let secret = "enable: true\nmodels:\n  demo-echo: {mapping: first}\napi_token: token-of-the-first\n";
    assert_eq!((save(secret), save("enable: true\n# second\n")), (200, 200));
    assert_eq!(send(&server, "/api/admin/config/restore", &json!({"version": "another"})).status, 409);
    assert_eq!(send(&server, "/api/admin/config/restore", &json!({})).status, 200);
    let now = server.ask(&get("/api/admin/config", &known())).json();
    assert_eq!(now["models"]["demo-echo"]["mapping"], "first");
    assert_eq!(send(&server, "/api/admin/config/restore", &json!({})).status, 200, "and back");
    assert!(
        server.ask(&get("/api/admin/config/file", &known())).json()["yaml"]
            .as_str()
            .is_some_and(|yaml| yaml.contains("# second"))
    );
}
