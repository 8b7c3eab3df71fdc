//! Endpoints of Poe's about an account, passed through, and Poe's spellings of the endpoints for media.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use common::{Answer, Poe, SECRET, TestServer, binary, get, post};
use serde_json::{Value, json};

const KEY: &str = "Authorization: Bearer some-key";

fn get_with(path: &str, headers: &[&str]) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

#[test]
fn tools_of_poe_find_an_account_at_every_path() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    for words in ["one", "two", "three"] {
        assert_eq!(server.chat(&common::chat_body("demo-echo", words)).status, 200);
    }
    let ask = |path: &str| {
        let answer = server.ask(&get(path));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    };
    for path in ["/v1/balance", "/balance", "/usage/current_balance", "/v1/usage/current_balance"] {
        assert_eq!(
            ask(path)["current_point_balance"],
            1_000_000 - 3 * spent(&ask("/usage/points_history")),
            "{path}"
        );
    }
    for path in ["/usage/points_history", "/v1/usage/points_history", "/v1/usage/history", "/usage/history"] {
        let all = ask(path);
        assert_eq!(all["length"], 3, "{path}");
        let first = ask(&format!("{path}?limit=1&key=some-key"));
        assert_eq!((&first["length"], &first["has_more"]), (&json!(1), &json!(true)), "{path}");
        let id = first["data"][0]["query_id"].as_str().expect("an id");
        let rest = ask(&format!("{path}?starting_after={id}&limit=100"));
        assert_eq!((&rest["length"], &rest["data"][0]), (&json!(2), &all["data"][1]), "{path}");
        // a value stays a value, whatever stands in it
        assert_eq!(ask(&format!("{path}?x=a%26limit%3D1"))["length"], 3, "{path}");
        assert_eq!(ask(&format!("{path}?x=%23%20%2B%25&limit=1"))["length"], 1, "{path}");
    }
    for path in ["/v1/whoami", "/whoami"] {
        let answer = server.ask(&post(path, &[KEY], ""));
        assert_eq!((answer.status, &answer.json()["handle"]), (200, &json!("demo")), "{path}");
        let wrong = server.ask(&get(path));
        assert_eq!((wrong.status, wrong.header("allow").is_some()), (405, true), "{path}");
    }
}

fn spent(history: &Value) -> u64 {
    history["data"][0]["cost_points"].as_u64().expect("points")
}

#[test]
fn errors_about_an_account_are_in_the_clients_dialect() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    let refused = |answer: &Answer| (answer.status, answer.error("type"), answer.json()["type"].clone());
    for (path, is_post) in [("/v1/balance", false), ("/usage/points_history", false), ("/v1/whoami", true)] {
        let ask = |headers: &[&str]| {
            server.ask(&if is_post { post(path, headers, "{}") } else { get_with(path, headers) })
        };
        let wrong = "Authorization: Bearer wrong-key";
        assert_eq!(refused(&ask(&[wrong])), (401, "invalid_request_error".into(), Value::Null), "{path}");
        let anthropic = ask(&[wrong, "anthropic-version: 2023-06-01"]);
        assert_eq!(refused(&anthropic), (401, "authentication_error".into(), json!("error")), "{path}");
        assert_eq!(ask(&[]).status, 401, "{path}: without a key");
        let slow = ask(&["Authorization: Bearer slow-down"]);
        assert_eq!((slow.status, slow.header("retry-after")), (429, Some("7")), "{path}");
    }
    assert!(!server.output().contains("wrong-key"));
}

#[test]
fn the_servers_own_account_is_shown_only_where_the_operator_allows_it() {
    let poe = Poe::start();
    let start = |more: &[&str]| {
        let mut program = binary();
        program.envs([("POE_API_KEY", SECRET), ("PROXY_API_KEYS", "alpha")]);
        TestServer::start(program, &[&["--poe-base-url", &poe.at.base_url], more].concat())
    };
    let (closed, open) = (start(&[]), start(&["--expose-usage"]));
    let headers = ["Authorization: Bearer alpha"];
    for request in [
        get_with("/v1/balance", &headers),
        get_with("/usage/current_balance?key=alpha", &[]),
        get_with("/usage/points_history", &headers),
        get_with("/v1/usage/history", &headers),
        post("/v1/whoami", &headers, ""),
    ] {
        let answer = closed.ask(&request);
        assert_eq!((answer.status, answer.error("code").as_str()), (403, "forbidden"), "{request}");
        assert!(answer.error("message").contains("EXPOSE_USAGE"), "{}", answer.text());
        assert_eq!(open.ask(&request).status, 200, "{request}");
    }
    let unknown = closed.ask(&get_with("/v1/balance", &["Authorization: Bearer beta"]));
    assert_eq!(unknown.status, 401);
    assert!(![closed.output(), open.output()].concat().contains(SECRET));
}

#[test]
fn poes_spellings_of_media_endpoints_are_those_of_openai() {
    let server = TestServer::demo(&[]);
    let picture = json!({"model": "demo-painter", "prompt": "a cat"});
    for path in ["/v1/images", "/images", "/v1/images/generations"] {
        let answer = server.ask(&post(path, &[KEY], &picture.to_string()));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.json()["data"][0]["url"].is_string(), "{path}");
    }
    let sound = json!({"model": "demo-voice", "input": "hello"});
    for path in ["/v1/audio", "/v1/audio/speech"] {
        let answer = server.ask(&post(path, &[KEY], &sound.to_string()));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("audio/wav")), "{path}");
    }
    let nothing = server.ask(&post("/v1/images", &[KEY], &json!({"model": "demo-painter"}).to_string()));
    assert_eq!((nothing.status, nothing.error("param").as_str()), (400, "prompt"));
}
