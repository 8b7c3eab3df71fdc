//! models.yaml while the server runs: edits are applied without a restart, an invalid file leaves the last valid one in
//! effect, and saves are atomic.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::{
    Answer, PATIENCE, Poe, TestServer, Wire, binary, chat_body, content, eventually, fresh_path, get, post,
    run,
};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Time limit for a manual edit to be applied.
const SOON: Duration = Duration::from_secs(2);
const LOGIN: &str = "Authorization: Basic YWRtaW46MTIzNDU2";

/// A configuration directory that is gone after the test.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Place {
    fn new() -> Place {
        let place = Place(fresh_path("config"));
        fs::create_dir_all(&place.0).expect("a directory");
        place
    }

    fn with(text: &str) -> Place {
        let place = Place::new();
        place.write(text);
        place
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, text: &str) {
        fs::write(self.file("models.yaml"), text).expect("the test directory is writable");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn arg(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .expect("the directory")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn demo(place: &Place) -> TestServer {
    TestServer::demo(&["--config-dir", place.arg()])
}

fn admin(server: &TestServer, path: &str) -> Answer {
    server.ask(&format!("GET /api/admin/{path} HTTP/1.1\r\nHost: localhost\r\n{LOGIN}\r\n\r\n"))
}

fn save_with(server: &TestServer, path: &str, headers: &[&str], body: &Value) -> Answer {
    let headers = [&[LOGIN], headers].concat();
    server.ask(&post(&format!("/api/admin/{path}"), &headers, &body.to_string()))
}

fn save(server: &TestServer, body: &Value) -> Answer {
    save_with(server, "config", &[], body)
}

fn state(server: &TestServer) -> Value {
    admin(server, "config/state").json()
}

fn is_listed(server: &TestServer, name: &str) -> bool {
    let list = server.ask(&get("/v1/models")).json();
    list["data"].as_array().expect("a list").iter().any(|model| model["id"] == name)
}

fn health(server: &TestServer) -> Value {
    let answer = server.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("ok")), "it lives");
    answer.json()["config"].clone()
}

const ONE: &str = "enable: true\nmodels:\n  demo-echo:\n    mapping: one # mine\n";
const TWO: &str = "enable: true\nmodels:\n  demo-echo:\n    mapping: two\n";
const BROKEN: &str = "enable: true\nmodels:\n  demo-echo:\n    enable: 3\n";

#[test]
fn names_are_mapped_disabled_and_kept_in_answers() {
    let place = Place::with(
        "enable: true\nmodels:\n  Demo-Echo:\n    mapping: My-Parrot\n    aliases: [polly, claude-3-5-sonnet-latest]\n  \
         demo-story: {enable: false}\n",
    );
    let poe = Poe::start();
    let server = TestServer::before(&poe, &["--config-dir", place.arg()]);
    assert!(
        is_listed(&server, "My-Parrot")
            && !is_listed(&server, "demo-echo")
            && !is_listed(&server, "demo-story")
    );
    for name in
        ["My-Parrot", "MY-PARROT", "polly", "Claude-3-5-Sonnet-Latest", "demo-echo", "openai/my-parrot"]
    {
        poe.reset();
        let answer = server.chat(&chat_body(name, "hello"));
        assert_eq!((content(&answer).as_str(), &answer.json()["model"]), ("hello", &json!(name)));
        assert_eq!(poe.queries(), 1, "{name} reaches the original bot");
        assert_eq!(server.ask(&get(&format!("/v1/models/{name}"))).status, 200, "{name}");
    }
    let queries = poe.queries();
    for name in ["demo-story", "DEMO-STORY"] {
        let answer = server.chat(&chat_body(name, "x"));
        assert_eq!((answer.status, answer.error("code").as_str()), (404, "model_not_found"));
        assert_eq!(server.ask(&get(&format!("/v1/models/{name}"))).status, 404);
    }
    assert_eq!(poe.queries(), queries, "Poe is not asked for what is disabled");
}

#[test]
fn a_manual_edit_is_applied_without_a_restart() {
    let place = Place::new();
    let server = demo(&place);
    assert_eq!(
        (state(&server)["state"].clone(), health(&server)["state"].clone()),
        (json!("none"), json!("none"))
    );
    place.write(ONE);
    eventually(SOON, "a new file is applied", || is_listed(&server, "one").then_some(()));
    assert_eq!(health(&server), json!({"state": "good", "error": null, "warnings": 0}));
    // as editors do it: beside it and over it
    fs::write(place.file("new"), TWO).unwrap();
    fs::rename(place.file("new"), place.file("models.yaml")).unwrap();
    eventually(SOON, "a replaced file is applied", || is_listed(&server, "two").then_some(()));
    fs::remove_file(place.file("models.yaml")).unwrap();
    eventually(SOON, "a deleted file is no longer applied", || is_listed(&server, "demo-echo").then_some(()));
    assert_eq!(state(&server)["state"], "none");
}

#[test]
fn a_signal_reads_the_file_at_once() {
    let place = Place::with(ONE);
    let server = demo(&place);
    place.write(BROKEN);
    server.signal(Signal::HUP);
    // an invalid file is read a second time only without a signal
    server.wait_for_line("models.demo-echo.enable");
    place.write(TWO);
    server.signal(Signal::HUP);
    eventually(SOON, "the signal is handled", || is_listed(&server, "two").then_some(()));
    assert_eq!(server.ask(&get("/health")).status, 200, "SIGHUP does not end the server");
}

#[test]
fn an_invalid_edit_keeps_the_last_valid_file_and_is_reported() {
    let place = Place::with(ONE);
    let server = demo(&place);
    place.write(BROKEN);
    let rendered =
        eventually(SOON, "the error is reported", || health(&server)["error"].as_str().map(str::to_owned));
    for part in ["models.yaml: line 4, column 13", "models.demo-echo.enable"] {
        assert!(rendered.contains(part), "{rendered}");
    }
    server.wait_for_line("models.demo-echo.enable");
    let state = state(&server);
    assert_eq!(
        (&state["state"], state["error"].as_str()),
        (
            &json!("broken"),
            Some(
                "models.yaml: line 4, column 13: models.demo-echo.enable: invalid type: integer, expected a boolean"
            )
        )
    );
    assert_eq!(
        rendered, "models.yaml: line 4, column 13: models.demo-echo.enable",
        "the public message has no details"
    );
    assert!(is_listed(&server, "one"));
    assert_eq!(content(&server.chat(&chat_body("one", "still here"))), "still here");
    place.write(TWO);
    eventually(SOON, "a corrected file is applied", || is_listed(&server, "two").then_some(()));
    assert_eq!(health(&server), json!({"state": "good", "error": null, "warnings": 0}));
}

#[test]
fn a_start_with_a_broken_file_takes_the_last_good_one() {
    let place = Place::with(ONE);
    drop(demo(&place));
    place.write(BROKEN);
    let server = demo(&place);
    server.wait_for_line("models.demo-echo.enable");
    assert!(is_listed(&server, "one"));
    assert_eq!(health(&server)["state"], "broken");
    assert_eq!(place.read("models.yaml"), BROKEN, "the server leaves it as it is");
    // saved from the page, the broken one is kept beside
    let mut shown = admin(&server, "config").json();
    assert_eq!(shown["models"]["demo-echo"]["mapping"], "one");
    shown["models"]["demo-echo"]["mapping"] = "three".into();
    let saved = save(&server, &shown);
    assert_eq!(saved.status, 200, "{saved:?}");
    assert_eq!(place.read("models.yaml.broken"), BROKEN);
    assert!(saved.json()["warnings"].to_string().contains("stored as models.yaml.broken"), "{saved:?}");
    assert!(is_listed(&server, "three"));
    assert_eq!(health(&server), json!({"state": "good", "error": null, "warnings": 0}));
}

#[test]
fn a_start_with_a_broken_file_and_no_good_one_serves_every_bot() {
    let place = Place::with(BROKEN);
    let server = demo(&place);
    server.wait_for_line("models.demo-echo.enable");
    assert_eq!(content(&server.chat(&chat_body("demo-echo", "open"))), "open");
    assert_eq!(health(&server)["state"], "broken");
    assert_eq!(place.names(), ["models.yaml"]);
}

#[test]
fn the_page_saves_and_the_list_changes() {
    let place = Place::with(
        "# mine\nenable: true\nport: 80\nmodels:\n  demo-echo: {mapping: one, colour: red, 7: x}\napi_token: sk-geheim\n",
    );
    let poe = Poe::start();
    let server = TestServer::before(&poe, &["--config-dir", place.arg()]);
    assert!(is_listed(&server, "one"));
    fs::set_permissions(place.file("models.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = place.read("models.yaml");
    let shown = admin(&server, "config");
    let etag = shown.header("etag").unwrap().to_owned();
    let mut config = shown.json();
    assert_eq!(etag, format!("\"{}\"", config["version"].as_str().unwrap()));
    assert_eq!(config["api_token"], "********");
    config["models"]["demo-echo"] =
        json!({"mapping": "two", "enable": true, "replace_response": false, "description": "says it again"});
    config["models"]["demo-story"] = json!({"enable": false});
    config["custom_models"] = json!([{"id": "my-own", "owned_by": "me"}]);
    let saved = save_with(&server, "config", &[&format!("If-Match: {etag}")], &config);
    assert_eq!((saved.status, &saved.json()["status"]), (200, &json!("success")), "{saved:?}");
    assert_eq!(saved.json()["version"], admin(&server, "config").json()["version"]);
    assert!(is_listed(&server, "two") && is_listed(&server, "my-own"));
    assert!(!is_listed(&server, "one") && !is_listed(&server, "demo-story"));
    assert_eq!(content(&server.chat(&chat_body("two", "to the original"))), "to the original");
    assert_eq!(poe.stats()["bots"]["demo-echo"]["total"], 1);
    let file = place.read("models.yaml");
    for kept in ["port: 80", "colour: red", "7: x", "api_token: sk-geheim", "description: says it again"] {
        assert!(file.contains(kept), "{kept} in {file}");
    }
    assert_eq!(place.read("models.yaml.bak"), before, "with its comments");
    assert!(!saved.json()["warnings"].to_string().contains("If-Match"), "{saved:?}");
    let blind = save(&server, &json!({"use_v1_api": true}));
    assert!(blind.json()["warnings"].to_string().contains("neither version nor If-Match"), "{blind:?}");
    let mode = |name: &str| fs::metadata(place.file(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("models.yaml"), mode("models.yaml.bak"), mode("models.yaml.good")),
        (0o640, 0o640, 0o640)
    );
    assert!(!place.names().iter().any(|name| name.ends_with(".tmp")), "{:?}", place.names());
    for secret in [admin(&server, "config").text(), admin(&server, "config/file").text(), server.output()] {
        assert!(!secret.contains("sk-geheim"), "{secret}");
    }
}

#[test]
fn the_file_itself_can_be_edited_with_its_comments() {
    let place = Place::with(
        "# top\nenable: true\napi_token: 'sk-geheim' # theirs\nmodels: {demo-echo: {mapping: one}}\n",
    );
    let server = demo(&place);
    let shown = admin(&server, "config/file").json();
    assert_eq!(shown["backup"], false);
    let yaml = shown["yaml"].as_str().unwrap();
    assert!(yaml.contains("# top") && yaml.contains("********") && !yaml.contains("geheim"), "{yaml}");
    let edited = yaml.replace("mapping: one", "mapping: two");
    let saved = save_with(&server, "config/file", &[], &json!({"yaml": edited, "version": shown["version"]}));
    assert_eq!(saved.status, 200, "{saved:?}");
    let file = place.read("models.yaml");
    assert!(file.contains("# top") && file.contains("# theirs") && file.contains("'sk-geheim'"), "{file}");
    assert!(is_listed(&server, "two"));
    assert_eq!(admin(&server, "config/file").json()["backup"], true);
    let wrong = json!({"yaml": "enable: true\nmodels:\n  a: {enable: 3}\n"});
    let refused = save_with(&server, "config/file", &[], &wrong);
    assert_eq!((refused.status, refused.error("param").as_str()), (400, "models.a.enable"));
    assert!(refused.error("message").contains("line 3, column 15"), "{refused:?}");
    let no_yaml = save_with(&server, "config/file", &[], &json!({"yaml": "a: b: c"}));
    assert_eq!((no_yaml.status, no_yaml.error("param").as_str()), (400, "yaml"));
    assert_eq!(place.read("models.yaml"), file);
}

/// Other programs keep more than one secret in the file.
#[test]
fn no_secret_of_any_program_is_shown() {
    let place = Place::with(
        "enable: true\npassword: geheim-1 # theirs\nOTHER_KEYS: {a: geheim-22, b: geheim-33}\nmy-secret: [geheim-4]\n\
         models:\n  demo-echo: {mapping: one}\n",
    );
    let server = demo(&place);
    let (json, file) = (admin(&server, "config"), admin(&server, "config/file"));
    for shown in [&json, &file, &admin(&server, "models"), &admin(&server, "config/state")] {
        assert!(shown.status == 200 && !shown.text().contains("geheim"), "{shown:?}");
    }
    let yaml = file.json()["yaml"].as_str().unwrap().replace("mapping: one", "mapping: two");
    assert_eq!(save_with(&server, "config/file", &[], &json!({"yaml": yaml})).status, 200);
    let expected = place.read("models.yaml.bak").replace("mapping: one", "mapping: two");
    assert_eq!(place.read("models.yaml"), expected);
    let mut config = admin(&server, "config").json();
    config["models"]["demo-echo"]["mapping"] = "three".into();
    assert_eq!(save(&server, &config).status, 200);
    for kept in ["password: geheim-1", "a: geheim-22", "b: geheim-33", "- geheim-4", "mapping: three"] {
        assert!(place.read("models.yaml").contains(kept), "{kept}");
    }
}

#[test]
fn invalid_values_are_rejected_with_their_field_and_change_nothing() {
    let place = Place::with(ONE);
    let server = demo(&place);
    assert!(is_listed(&server, "one"));
    let cases = [
        (json!({"models": {"a": {"enable": "maybe"}}}), "models.a.enable"),
        (json!({"models": []}), "models"),
        (json!({"models": {"a": {"mapping": "x"}, "b": {"mapping": "X"}}}), "models.b.mapping"),
        (json!({"models": {"a": {}, "A": {}}}), "models.A"),
        (json!({"models": {"a": {"tools": "often"}}}), "models.a.tools"),
        (json!({"custom_models": [{"owned_by": "me"}]}), "custom_models[0]"),
        (json!({"enable": 1}), "enable"),
        (json!({"api_token": ["12345678"]}), "api_token"),
        // Poe's list has a bot of that name
        (json!({"models": {"demo-echo": {"mapping": "Demo-Story"}}}), "models.demo-echo.mapping"),
        (json!({"models": {"demo-echo": {"aliases": ["x", "demo-story"]}}}), "models.demo-echo.aliases[1]"),
        (json!({"version": 7}), "version"),
    ];
    for (body, field) in cases {
        let refused = save(&server, &body);
        assert_eq!((refused.status, refused.error("param").as_str()), (400, field), "{body}: {refused:?}");
        assert!(!refused.text().contains("12345678"), "a secret is not repeated");
    }
    assert_eq!(save_with(&server, "config", &[], &json!([])).status, 400);
    let plain = format!(
        "POST /api/admin/config HTTP/1.1\r\nHost: localhost\r\n{LOGIN}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    assert_eq!(server.ask(&plain).status, 415, "a form of another page cannot be posted");
    assert_eq!(place.read("models.yaml"), ONE);
    assert!(is_listed(&server, "one"));
    // the name of a bot that the file itself renames or disables is free
    let free = json!({"models": {"demo-echo": {"mapping": "demo-story"}, "demo-story": {"enable": false}}});
    assert_eq!(save(&server, &free).status, 200);
    assert_eq!(content(&server.chat(&chat_body("demo-story", "parrot"))), "parrot");
}

#[test]
fn a_name_that_hides_a_bot_is_warned_of_where_it_was_before() {
    let place = Place::with("enable: true\nmodels:\n  demo-echo: {mapping: demo-story}\n");
    let server = demo(&place);
    assert!(is_listed(&server, "demo-story"));
    let warned = state(&server)["warnings"].to_string();
    assert!(warned.contains("line 3, column 15: models.demo-echo.mapping"), "{warned}");
    server.wait_for_line("models.yaml: line 3, column 15: models.demo-echo.mapping");
    let saved = save(&server, &json!({"use_v1_api": true}));
    assert_eq!(saved.status, 200, "{saved:?}");
    assert!(saved.json()["warnings"].to_string().contains("models.demo-echo.mapping"), "{saved:?}");
    // a new one is refused, and as text with its place
    let yaml = "enable: true\nmodels:\n  demo-fast:\n    mapping: demo-think\n";
    let refused = save_with(&server, "config/file", &[], &json!({"yaml": yaml}));
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.error("message").contains("line 4"), "{refused:?}");
    let json = json!({"models": {"demo-fast": {"mapping": "demo-think"}}});
    let refused = save(&server, &json);
    assert_eq!((refused.status, refused.error("param").as_str()), (400, "models.demo-fast.mapping"));
}

/// Poe's schema may be wrong: a value outside it is sent, and reported with line and field everywhere.
#[test]
fn defaults_that_the_model_does_not_take_are_warned_of() {
    let place = Place::with(
        "enable: true\nmodels:\n  Demo-Claude:\n    parameters:\n      web_search: true\n      thinking_budget: hello\n      \
         colour: red\n  demo-echo: {parameters: {anything: 1}, mapping: demo-story}\n",
    );
    let expected = [
        "models.yaml: line 8, column 42: models.demo-echo.mapping: demo-story is the name of a bot of Poe's",
        "models.yaml: line 6, column 7: models.Demo-Claude.parameters.thinking_budget: not as demo-claude declares it",
        "models.yaml: line 7, column 7: models.Demo-Claude.parameters.colour: demo-claude declares no such parameter",
    ];
    let poe = Poe::start();
    let server = TestServer::before(&poe, &["--config-dir", place.arg()]);
    for line in expected {
        server.wait_for_line(line);
    }
    let rendered = state(&server)["warnings"].clone();
    assert_eq!(rendered.as_array().map(Vec::len), Some(3), "{rendered}");
    assert!(rendered.to_string().contains("must be of type number, is string"), "{rendered}");
    assert_eq!(health(&server)["warnings"], 3);
    assert!(!content(&server.chat(&chat_body("demo-claude", "served"))).is_empty());
    let sent = poe.last_query()["query"].as_array().and_then(|turns| turns.last().cloned()).expect("a turn");
    assert_eq!(sent["parameters"]["thinking_budget"], "hello");
    // once for each file and list
    let before = server.output();
    for line in expected {
        assert_eq!(before.matches(line).count(), 1, "{line}");
    }
    let saved = save(&server, &json!({"use_v1_api": true}));
    assert!(saved.json()["warnings"].to_string().contains("parameters.colour"), "{saved:?}");
    assert_eq!(state(&server)["warnings"].as_array().map(Vec::len), Some(3), "none twice");
    // and without a server, by the list that was kept
    drop(server);
    place.write(&place.read("models.yaml.bak"));
    let checked = run(&["check", "--config-dir", place.arg()], &[]);
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    for line in expected {
        assert!(checked.contains(line), "{line}: {checked}");
    }
}

#[test]
fn of_two_concurrent_saves_the_second_gets_409() {
    let place = Place::with(ONE);
    let server = demo(&place);
    let first = admin(&server, "config").json();
    let mut second = first.clone();
    second["models"]["demo-echo"]["mapping"] = "theirs".into();
    assert_eq!(save(&server, &second).status, 200);
    let saved = place.read("models.yaml");
    let late = save(&server, &first);
    assert_eq!((late.status, late.error("code").as_str()), (409, "conflict"));
    let tag = format!("If-Match: \"{}\"", first["version"].as_str().unwrap());
    assert_eq!(save_with(&server, "config", &[&tag], &json!({})).status, 409);
    let file = json!({"yaml": TWO, "version": first["version"]});
    assert_eq!(save_with(&server, "config/file", &[], &file).status, 409);
    assert_eq!(place.read("models.yaml"), saved);
    // a manual edit that was not reloaded yet is also a conflict
    let current = admin(&server, "config").json();
    place.write(TWO);
    assert_eq!(save(&server, &current).status, 409);
    assert_eq!(place.read("models.yaml"), TWO);
}

#[test]
fn concurrent_saves_do_not_mix() {
    let place = Place::with(ONE);
    let server = demo(&place);
    let from = admin(&server, "config").json();
    let answers: Vec<u16> = thread::scope(|scope| {
        let savers: Vec<_> = (0..8)
            .map(|number| {
                let (server, mut config) = (&server, from.clone());
                config["models"]["demo-echo"]["mapping"] = format!("saver-{number}").into();
                scope.spawn(move || save(server, &config).status)
            })
            .collect();
        savers.into_iter().map(|saver| saver.join().expect("an answer")).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 409).count(), 7, "{answers:?}");
    let winner = answers.iter().position(|status| *status == 200).unwrap();
    assert!(is_listed(&server, &format!("saver-{winner}")));
    assert_eq!(place.read("models.yaml.bak"), ONE);
}

#[test]
fn two_servers_share_one_file() {
    let place = Place::with(ONE);
    let (here, there) = (demo(&place), demo(&place));
    let stale = admin(&there, "config").json();
    assert_eq!(save(&here, &json!({"models": {"demo-echo": {"mapping": "two"}}})).status, 200);
    assert_eq!(save(&there, &stale).status, 409, "before it has looked");
    eventually(SOON, "the other sees it", || is_listed(&there, "two").then_some(()));
}

/// Alternates between two contents until the server is killed.
fn save_for_ever(port: u16, sizes: [usize; 2]) {
    thread::spawn(move || {
        let bodies = sizes.map(|size| {
            let models: serde_json::Map<String, Value> =
                (0..size).map(|at| (format!("bot-{at}"), json!({"mapping": format!("name-{at}")}))).collect();
            json!({"enable": true, "models": models}).to_string()
        });
        for body in bodies.iter().cycle() {
            let request = post("/api/admin/config", &[LOGIN], body);
            let saved = std::panic::catch_unwind(|| Wire::open(port).ask(&request).status);
            if saved.ok() != Some(200) {
                return;
            }
        }
    });
}

#[test]
fn a_server_killed_while_saving_leaves_the_old_file_or_the_new() {
    let place = Place::with("enable: true\nmodels: {}\n");
    let sizes = [3, 400];
    let mut seen = [false; 2];
    for round in 0..100_u32 {
        let mut server = demo(&place);
        save_for_ever(server.port, sizes);
        // at another moment of a save each time
        let saves = 1 + round % 3;
        let saved = || server.output().matches("was saved").count() as u32;
        eventually(PATIENCE, "it saves", || (saved() >= saves).then_some(()));
        thread::sleep(Duration::from_micros(u64::from(round) * 173 % 7000));
        server.kill();
        for name in ["models.yaml", "models.yaml.bak", "models.yaml.good"] {
            let (file, _) = poe2openai::config::models::ModelsFile::parse(&place.read(name))
                .unwrap_or_else(|fault| panic!("round {round}, {name}: {fault}"));
            let count = file.models().len();
            assert!([0, sizes[0], sizes[1]].contains(&count), "round {round}, {name}: {count}");
            if name == "models.yaml" {
                sizes.iter().zip(&mut seen).for_each(|(size, seen)| *seen |= *size == count);
            }
        }
    }
    assert_eq!(seen, [true; 2], "both were found: the kills came at different moments");
    let server = demo(&place);
    assert_eq!(health(&server), json!({"state": "good", "error": null, "warnings": 0}));
    assert_eq!(
        save(&server, &json!({"enable": false})).status,
        200,
        "left-over temporary files cause no error"
    );
}

/// A small file system of its own, where one may be mounted.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: &Path) -> Option<Disk> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(path).status();
        mount.is_ok_and(|status| status.success()).then(|| Disk(path.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The server fails to save, reports the system's error message, and keeps serving.
fn cannot_save(server: &TestServer, place: &Place, body: &Value, words: &[&str]) {
    let (before, names) = (place.read("models.yaml"), place.names());
    let failed = save(server, body);
    let said = failed.error("message");
    assert_eq!(failed.status, 500, "{failed:?}");
    assert!(words.iter().any(|word| said.contains(word)) && said.contains(place.arg()), "{said}");
    assert_eq!((place.read("models.yaml"), place.names()), (before, names), "nothing is left behind");
    server.wait_for_line("[WARN] models.yaml was not saved");
    assert!(is_listed(server, "one"));
    assert_eq!(content(&server.chat(&chat_body("one", "as before"))), "as before");
}

#[test]
fn a_full_disk_changes_nothing() {
    let place = Place::new();
    let disk = Disk::mount(&place.0);
    place.write(ONE);
    let mut program = binary();
    if disk.is_none() {
        // without the right to mount, files of more than 16 KiB are the disk's end
        program = Command::new("sh");
        let limited = "trap '' XFSZ; ulimit -f 32; exec \"$0\" \"$@\"";
        program.env_clear().args(["-c", limited, env!("CARGO_BIN_EXE_poe2openai")]);
    }
    let server = TestServer::start(program, &["--demo", "--config-dir", place.arg()]);
    assert!(is_listed(&server, "one"));
    let huge = json!({"models": {"demo-echo": {"mapping": "one", "description": "x".repeat(100 << 10)}}});
    cannot_save(&server, &place, &huge, &["No space left on device", "File too large"]);
    let small = json!({"models": {"demo-echo": {"mapping": "two"}}});
    assert_eq!(save(&server, &small).status, 200, "what fits is saved");
    assert!(is_listed(&server, "two"));
    drop(server);
    drop(disk);
}

#[test]
fn a_read_only_directory_changes_nothing() {
    let place = Place::with(ONE);
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o555)).unwrap();
    let mut program = binary();
    if rustix::process::geteuid().is_root() {
        program.uid(65534).gid(65534); // root may write everywhere
    }
    let server = TestServer::start(program, &["--demo", "--config-dir", place.arg()]);
    assert_eq!(state(&server)["writable"], false);
    let body = json!({"models": {"demo-echo": {"mapping": "two"}}});
    cannot_save(&server, &place, &body, &["Permission denied"]);
    assert_eq!(server.output().matches("will not survive a restart").count(), 1, "one warning is enough");
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A file that is mounted by itself, as `docker run -v …/models.yaml:/data/models.yaml` does it, cannot be replaced.
#[test]
fn a_file_mounted_by_itself_is_refused_with_advice() {
    let (place, elsewhere) = (Place::with(ONE), Place::with(ONE));
    let file = place.file("models.yaml");
    let mount = Command::new("mount").arg("--bind").arg(elsewhere.file("models.yaml")).arg(&file).status();
    if !mount.is_ok_and(|status| status.success()) {
        return common::skipped("mount --bind needs root and CAP_SYS_ADMIN");
    }
    let _mounted = Disk(file);
    let server = demo(&place);
    assert!(is_listed(&server, "one"));
    let body = json!({"models": {"demo-echo": {"mapping": "two"}}});
    cannot_save(&server, &place, &body, &["mount its directory instead"]);
}

#[test]
fn a_missing_directory_is_reported() {
    let place = Place::with(ONE);
    let server = demo(&place);
    fs::rename(&place.0, place.0.with_extension("moved")).unwrap();
    let failed = save(&server, &json!({"enable": true}));
    assert_eq!(failed.status, 500);
    assert!(failed.error("message").contains("No such file or directory"), "{failed:?}");
    assert!(is_listed(&server, "one"), "for now");
    fs::rename(place.0.with_extension("moved"), &place.0).unwrap();
    assert_eq!(save(&server, &json!({"enable": true})).status, 200);
}

#[test]
fn a_link_stays_a_link() {
    let (place, elsewhere) = (Place::new(), Place::with(ONE));
    symlink(elsewhere.file("models.yaml"), place.file("models.yaml")).unwrap();
    let server = demo(&place);
    assert_eq!(save(&server, &json!({"models": {"demo-echo": {"mapping": "two"}}})).status, 200);
    assert!(fs::symlink_metadata(place.file("models.yaml")).unwrap().is_symlink());
    assert!(elsewhere.read("models.yaml").contains("two"));
    assert_eq!(
        (place.read("models.yaml.bak"), elsewhere.names()),
        (ONE.to_owned(), vec!["models.yaml".to_owned()])
    );
    // as Kubernetes does it: the link is turned to another directory
    let third = Place::with("enable: true\nmodels:\n  demo-echo: {mapping: three}\n");
    symlink(third.file("models.yaml"), place.file("new")).unwrap();
    fs::rename(place.file("new"), place.file("models.yaml")).unwrap();
    eventually(SOON, "the new target is applied", || is_listed(&server, "three").then_some(()));
    fs::remove_file(place.file("models.yaml")).unwrap();
    symlink("/nowhere/models.yaml", place.file("models.yaml")).unwrap();
    let failed = save(&server, &json!({}));
    assert!(
        failed.status == 500 && failed.error("message").contains("a dangling symbolic link"),
        "{failed:?}"
    );
}

/// Kubernetes mounts a ConfigMap like this: models.yaml leads to `..data/models.yaml`, and an update turns `..data`.
#[test]
fn a_config_map_is_applied_when_it_is_replaced_and_needs_no_writable_directory() {
    let place = Place::new();
    let version = |name: &str, text: &str| {
        fs::create_dir(place.file(name)).unwrap();
        fs::write(place.file(name).join("models.yaml"), text).unwrap();
        symlink(name, place.file("..data_tmp")).unwrap();
        fs::rename(place.file("..data_tmp"), place.file("..data")).unwrap();
    };
    version("..1", ONE);
    symlink("..data/models.yaml", place.file("models.yaml")).unwrap();
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o555)).unwrap();
    let mut program = binary();
    if rustix::process::geteuid().is_root() {
        program.uid(65534).gid(65534); // root may write everywhere
    }
    let server = TestServer::start(program, &["--demo", "--config-dir", place.arg()]);
    assert!(is_listed(&server, "one"));
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o755)).unwrap();
    // as often as it likes: a text of the same length, too
    for (name, text, model) in [("..2", TWO, "two"), ("..3", &TWO.replace("two", "six"), "six")] {
        version(name, text);
        eventually(SOON, "the new version is applied", || is_listed(&server, model).then_some(()));
    }
    assert_eq!(server.ask(&get("/ready")).status, 200);
}
