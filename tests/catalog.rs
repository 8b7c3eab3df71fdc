//! Lists of models: contents, format per dialect, and the source while Poe is not reachable.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use common::{Answer, PATIENCE, Poe, TestServer, binary, chat_body, content, eventually, fresh_path, get};
use serde_json::{Value, json};

/// No server listens on this address.
const NOWHERE: &str = "http://127.0.0.1:9";
const CACHE: &str = "models-cache.json";

/// A configuration directory that is gone after the test.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Place {
    fn new(models: Option<&str>) -> Place {
        let place = Place(fresh_path("catalog"));
        fs::create_dir_all(&place.0).expect("a directory");
        if let Some(models) = models {
            fs::write(place.0.join("models.yaml"), models).expect("a file");
        }
        place
    }

    fn arg(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }

    fn cache(&self) -> PathBuf {
        self.0.join(CACHE)
    }

    fn start(&self, poe: &str, more: &[&str]) -> TestServer {
        TestServer::start(binary(), &[&["--poe-base-url", poe, "--config-dir", self.arg()], more].concat())
    }
}

fn ids(answer: &Answer) -> Vec<String> {
    let list = answer.json();
    let data = list["data"].as_array().unwrap_or_else(|| panic!("a list: {answer:?}"));
    data.iter().map(|model| model["id"].as_str().expect("a name").to_owned()).collect()
}

fn anthropic(server: &TestServer, target: &str) -> Answer {
    server.ask(&format!(
        "GET {target} HTTP/1.1\r\nHost: h\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n\r\n"
    ))
}

/// Asks until the answer comes from `source`.
fn from(server: &TestServer, source: &str) -> Answer {
    eventually(PATIENCE, source, || {
        let list = server.ask(&get("/v1/models"));
        (list.header("x-models-source") == Some(source)).then_some(list)
    })
}

#[test]
fn a_model_is_listed_with_all_fields_from_poe() {
    let server = TestServer::demo(&[]);
    let model = server.ask(&get("/v1/models/demo-claude")).json();
    for (field, expected) in [
        ("object", json!("model")),
        ("context_length", json!(200_000)),
        ("max_output_tokens", json!(64_000)),
        ("input_modalities", json!(["text", "image"])),
        ("output_modalities", json!(["text"])),
        ("supported_features", json!(["web_search", "tools"])),
    ] {
        assert_eq!(model[field], expected, "{field} of {model}");
    }
    assert_eq!(model["pricing"]["prompt"], "0.0000016");
    assert_eq!(model["architecture"]["modality"], "text,image->text");
    assert_eq!(model["parameters"][2]["schema"], json!({"type": "number", "minimum": 0, "maximum": 63999}));
    assert!(model["description"].is_string() && model["supported_endpoints"].is_array(), "{model}");
    assert!(server.ask(&get("/v1/models/demo-echo")).json().get("pricing").is_none(), "null is left out");
}

#[test]
fn every_path_has_its_list_and_one_of_them_is_unfiltered() {
    let place = Place::new(Some(
        "enable: true\nmodels:\n  demo-echo: {mapping: parrot, description: says it again}\n  demo-story: {enable: false}\n  \
         hidden: {enable: false}\n  other: {mapping: renamed}\ncustom_models: [{id: mine}, {id: hidden}, {id: other}]\n",
    ));
    let server = TestServer::demo(&["--config-dir", place.arg()]);
    let list = server.ask(&get("/v1/models"));
    assert_eq!(ids(&list), ids(&server.ask(&get("/models"))));
    assert_eq!((list.header("x-models-source"), list.header("warning")), (Some("poe"), None));
    assert!(list.header("age").unwrap().parse::<u64>().unwrap() < 60);
    let served = ids(&list);
    for (name, is_served) in [
        ("parrot", true),
        ("mine", true),
        ("renamed", true),
        ("demo-echo", false),
        ("demo-story", false),
        ("hidden", false),
        ("other", false),
    ] {
        assert_eq!(served.iter().any(|id| id == name), is_served, "{name}");
    }
    let all = ids(&server.ask(&get("/api/models")));
    for (name, is_there) in [("demo-echo", true), ("demo-story", true), ("parrot", false), ("mine", false)] {
        assert_eq!(all.iter().any(|id| id == name), is_there, "{name}");
    }
    assert_eq!(server.ask(&get("/v1/models/parrot")).json()["description"], "says it again");
    assert_eq!(server.ask(&get("/v1/models/mine")).json()["owned_by"], "custom");
    assert_eq!(server.ask(&get("/v1/models/demo-gpt-high")).status, 200, "with an effort behind");
    assert_eq!(server.ask(&get("/v1/models/hidden")).status, 404);
}

/// Poe is asked for a custom model by its own name, however the client writes it.
#[test]
fn a_custom_model_is_reached_in_any_case_and_form() {
    let place = Place::new(Some(
        "enable: true\nmodels:\n  my-bot: {reasoning: true}\n  never: {mapping: x, reasoning: false}\ncustom_models: \
         [{id: My-Bot}, {id: Ünïcode-Custom}, {id: Demo-Echo-High}, {id: Demo-Story-20250101}, {id: Never}]\n",
    ));
    let poe = Poe::start();
    let server = place.start(&poe.at.base_url, &[]);
    from(&server, "poe");
    for (asked, bot, effort) in [
        ("My-Bot", "My-Bot", json!(null)),
        ("my-bot", "My-Bot", json!(null)),
        ("openai/MY-BOT", "My-Bot", json!(null)),
        ("my-bot-high", "My-Bot", json!("high")),
        ("ünïcode-custom", "Ünïcode-Custom", json!(null)),
        ("ÜNÏCODE-CUSTOM-low", "Ünïcode-Custom", json!("low")),
        ("demo-echo-high", "Demo-Echo-High", json!(null)),
        ("x/demo-story-20250101", "Demo-Story-20250101", json!(null)),
        ("X", "Never", json!(null)),
    ] {
        poe.reset();
        server.chat(&chat_body(asked, "x"));
        assert_eq!(poe.last_bot(), bot, "{asked}");
        let sent = &poe.last_query()["query"];
        let parameters = sent.as_array().and_then(|turns| turns.last()).map(|turn| &turn["parameters"]);
        assert_eq!(parameters.expect("a turn")["reasoning_effort"], effort, "{asked}");
        let path =
            asked.replace('ü', "%C3%BC").replace('ï', "%C3%AF").replace('Ü', "%C3%9C").replace('Ï', "%C3%8F");
        let shown = server.ask(&get(&format!("/v1/models/{path}")));
        assert_eq!((shown.status, &shown.json()["owned_by"]), (200, &json!("custom")), "{asked}");
    }
    assert_eq!(server.chat(&chat_body("x-high", "x")).status, 404, "it has no efforts");
}

/// What chat answers to is found by its name, and the other way round.
#[test]
fn every_name_that_chat_accepts_is_found() {
    let place = Place::new(Some(
        "enable: true\nmodels:\n  demo-gpt-high: {mapping: fast}\n  private: {mapping: p}\n  demo-echo: {aliases: [parrot]}\n  \
         demo-story: {enable: false, aliases: [tale]}\ncustom_models: [{id: Mine}]\n",
    ));
    let poe = Poe::start();
    let server = place.start(&poe.at.base_url, &[]);
    assert!(ids(&from(&server, "poe")).iter().any(|id| id == "fast"), "a given name is listed");
    for name in ["fast", "p", "parrot", "demo-echo", "mine", "tale", "demo-story"] {
        for around in ["{}", "poe/{}", "openai/{}", "@{}", "{}:latest", "{}[1m]", "{}-high", "{}-20250101"] {
            let asked = around.replace("{}", &name.to_uppercase());
            let shown =
                server.ask(&get(&format!("/v1/models/{}", asked.replace('[', "%5B").replace(']', "%5D"))));
            let answered = server.chat(&chat_body(&asked, "x"));
            let expected = if ["tale", "demo-story"].contains(&name) { 404 } else { 200 };
            assert_eq!(shown.status, expected, "{asked}");
            match name {
                // this Poe has no such bots, but is asked for them
                "p" => assert_eq!(poe.last_bot(), "private", "{asked}"),
                "mine" => assert_eq!(poe.last_bot(), "Mine", "{asked}"),
                _ => assert_eq!(answered.status, expected, "{asked}"),
            }
        }
    }
}

#[test]
fn anthropics_clients_get_anthropics_shape() {
    let server = TestServer::demo(&[]);
    let all = ids(&server.ask(&get("/v1/models")));
    let first = anthropic(&server, "/v1/models").json();
    assert_eq!(first["data"].as_array().unwrap().len(), 20);
    assert_eq!((&first["has_more"], &first["first_id"]), (&json!(true), &json!(all[0])));
    let model = &first["data"][0];
    assert_eq!((&model["type"], &model["id"]), (&json!("model"), &json!(all[0])));
    assert!(model["display_name"].is_string());
    let created = model["created_at"].as_str().unwrap();
    assert!(created.len() == 20 && created.starts_with("20") && created.ends_with('Z'), "{created}");
    // page by page, everything comes once
    let mut seen: Vec<String> = Vec::new();
    loop {
        let after = seen.last().map_or_else(String::new, |id| format!("&after_id={id}"));
        let page = anthropic(&server, &format!("/v1/models?limit=7{after}"));
        seen.extend(ids(&page));
        assert_eq!(page.json()["last_id"].as_str(), seen.last().map(String::as_str));
        if page.json()["has_more"] == false {
            break;
        }
    }
    assert_eq!(seen, all);
    let whole = anthropic(&server, "/v1/models?limit=1000");
    assert_eq!((ids(&whole), &whole.json()["has_more"]), (all, &json!(false)));
    assert_eq!(anthropic(&server, "/v1/models/demo-gpt").json()["display_name"], "Demo Gpt");
    assert_eq!(anthropic(&server, "/v1/models?limit=0").status, 400);
    assert_eq!(anthropic(&server, "/v1/models/nobody").status, 404);
}

#[test]
fn a_restart_without_network_lists_the_cached_models() {
    let place = Place::new(Some("enable: true\nmodels:\n  demo-echo: {mapping: parrot}\n"));
    let poe = Poe::start();
    let address = poe.at.base_url.clone();
    let before = ids(&from(&place.start(&address, &[]), "poe"));
    eventually(PATIENCE, "the list is kept", || place.cache().exists().then_some(()));
    drop(poe);
    let server = place.start(&address, &[]);
    let list = from(&server, "cache");
    assert_eq!(ids(&list), before);
    assert!(list.header("age").unwrap().parse::<u64>().unwrap() < 600);
    assert_eq!(server.ask(&get("/v1/models/parrot")).json()["context_length"], Value::Null);
    assert_eq!(
        server.ask(&get("/v1/models/demo-claude")).json()["context_length"],
        200_000,
        "with all its details"
    );
    drop(server);
    // the cache is also used for another address when there is no network
    let kept = fs::read_to_string(place.cache()).unwrap();
    let other = place.start(NOWHERE, &[]);
    let list = other.ask(&get("/v1/models"));
    assert_eq!((list.status, list.header("x-models-source"), ids(&list)), (200, Some("cache"), before));
    other.wait_for_line("holds the list of another POE_BASE_URL");
    assert_eq!(fs::read_to_string(place.cache()).unwrap(), kept, "it stays that Poe's");
}

#[test]
fn an_invalid_list_is_ignored() {
    for nonsense in ["", "{", "[1]", "{\"format\":1,\"poe\":\"x\",\"fetched\":1}", "\u{0}\u{1}"] {
        let place = Place::new(None);
        fs::write(place.cache(), nonsense).unwrap();
        let poe = Poe::start();
        let server = place.start(&poe.at.base_url, &[]);
        assert!(ids(&from(&server, "poe")).len() > 60, "{nonsense:?}");
        eventually(PATIENCE, "a good one is kept", || {
            (fs::read(place.cache()).ok()?.len() > 10_000).then_some(())
        });
    }
}

#[test]
fn a_first_start_without_network_lists_the_models_of_models_yaml() {
    let place = Place::new(Some("enable: true\ncustom_models: [{id: mine, owned_by: me}]\n"));
    let server = place.start(NOWHERE, &[]);
    let list = server.ask(&get("/v1/models"));
    assert_eq!((list.status, ids(&list)), (200, vec!["mine".to_owned()]));
    assert!(list.header("warning").is_some_and(|text| text.starts_with("199 - \"Poe's list")), "{list:?}");
    assert_eq!(list.header("x-models-source"), Some("none"));
    assert_eq!(server.ask(&get("/v1/models/mine")).status, 200);
    let server = Place::new(None).start(NOWHERE, &[]);
    for path in ["/v1/models", "/models", "/api/models", "/v1/models/x"] {
        let refused = server.ask(&get(path));
        assert_eq!((refused.status, refused.error("code").as_str()), (503, "overloaded"), "{path}");
        assert!(
            refused.header("retry-after").is_some() && refused.error("message").contains("list of models")
        );
    }
}

#[test]
fn an_unwritable_cache_causes_one_warning() {
    let place = Place::new(None);
    // a directory in the file's place: neither read nor replaced
    fs::create_dir(place.cache()).unwrap();
    let poe = Poe::start();
    let server = place.start(&poe.at.base_url, &["--models-refresh-seconds", "1"]);
    from(&server, "poe");
    server.wait_for_line("will not survive a restart");
    assert_eq!(content(&server.chat(&chat_body("demo-echo", "served all the same"))), "served all the same");
}

/// A Poe that has one model, named by how often the list was asked for.
fn counting_poe() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        for (count, socket) in listener.incoming().flatten().enumerate() {
            let mut socket = socket;
            let mut head = [0; 4096];
            let _ = socket.read(&mut head);
            let body = json!({"data": [{"id": format!("asked-{}", count + 1)}]}).to_string();
            let length = body.len();
            let _ = write!(
                socket,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        }
    });
    url
}

#[test]
fn the_list_is_refreshed_only_when_due() {
    let url = counting_poe();
    let place = Place::new(None);
    let server = place.start(&url, &["--models-refresh-seconds", "1"]);
    eventually(PATIENCE, "a third list", || {
        let list = ids(&server.ask(&get("/v1/models")));
        (list == ["asked-3"]).then_some(())
    });
    drop(server);
    // with 0 the cached list never expires
    let once = place.start(&counting_poe(), &["--models-refresh-seconds", "0"]);
    assert_eq!(ids(&from(&once, "poe")), ["asked-1"], "another Poe's is not: it is replaced");
    let kept = fs::read_to_string(place.cache()).unwrap();
    drop(once);
    assert!(kept.contains("asked-1"), "{kept}");
}

#[test]
fn a_list_cached_forever_is_not_refreshed() {
    let (url, place) = (counting_poe(), Place::new(None));
    let first = place.start(&url, &["--models-refresh-seconds", "0"]);
    assert_eq!(ids(&from(&first, "poe")), ["asked-1"]);
    drop(first);
    let second = place.start(&url, &["--models-refresh-seconds", "0"]);
    assert_eq!(ids(&second.ask(&get("/v1/models"))), ["asked-1"]);
    assert_eq!(
        second.chat(&chat_body("asked-1", "x")).status,
        502,
        "it is no bot, and this was the second question"
    );
    drop(second);
    let third = place.start(&url, &["--models-refresh-seconds", "1"]);
    eventually(PATIENCE, "a new list", || (ids(&third.ask(&get("/v1/models"))) != ["asked-1"]).then_some(()));
}

#[test]
fn concurrent_requests_share_one_fetch_of_the_list() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let server = TestServer::start(binary(), &["--poe-base-url", &url]);
    // the fetch at startup is blocked until all clients have sent their requests
    let (mut asked, _) = listener.accept().expect("the question");
    let mut wires: Vec<_> = (0..6).map(|_| server.wire()).collect();
    for wire in &mut wires {
        wire.send(get("/v1/models"));
    }
    let body = json!({"data": [{"id": "one"}]}).to_string();
    write!(asked, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("sent");
    for wire in &mut wires {
        assert_eq!(ids(&wire.answer()), ["one"]);
    }
    listener.set_nonblocking(true).expect("an option");
    assert!(listener.accept().is_err(), "a second question");
}

#[test]
fn the_admin_page_sees_every_model_as_it_is() {
    let place = Place::new(Some(
        "enable: true\nmodels:\n  Demo-Claude: {mapping: sonnet, colour: red}\n  demo-story: {enable: false}\n  \
         private: {mapping: p}\ncustom_models: [{id: mine, owned_by: me, created: 7}]\n",
    ));
    let server = TestServer::demo(&["--config-dir", place.arg()]);
    server.ask(&get("/v1/models"));
    let login = "Authorization: Basic YWRtaW46MTIzNDU2";
    let shown =
        server.ask(&format!("GET /api/admin/models HTTP/1.1\r\nHost: localhost\r\n{login}\r\n\r\n")).json();
    assert_eq!(shown["source"], "poe");
    assert!(shown["age_seconds"].is_u64());
    let model = |id: &str| {
        let models = shown["models"].as_array().unwrap();
        models.iter().find(|model| model["id"] == id).unwrap_or_else(|| panic!("{id}")).clone()
    };
    let claude = model("demo-claude");
    assert_eq!(
        (&claude["name"], &claude["enabled"], &claude["custom"], &claude["tools"]),
        (&json!("sonnet"), &json!(true), &json!(false), &json!(true))
    );
    assert_eq!((&claude["context_length"], &claude["max_output_tokens"]), (&json!(200_000), &json!(64_000)));
    assert_eq!(claude["parameters"][0]["description"], "Search the web");
    assert_eq!(
        claude["config"],
        json!({"mapping": "sonnet", "colour": "red", "enable": true, "replace_response": false})
    );
    let summary = model("demo-story");
    assert_eq!(
        (&summary["name"], &summary["enabled"], &summary["parameters"]),
        (&json!(null), &json!(false), &json!([]))
    );
    let mine = model("mine");
    assert_eq!(
        (&mine["name"], &mine["custom"], &mine["owned_by"], &mine["created"], &mine["config"]),
        (&json!("mine"), &json!(true), &json!("me"), &json!(7), &json!(null))
    );
    assert_eq!((&model("private")["name"], &model("private")["custom"]), (&json!(null), &json!(false)));
    assert_eq!(model("demo-echo")["config"], json!(null));
}
