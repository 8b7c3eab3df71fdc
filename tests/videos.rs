//! OpenAI's Videos API against the embedded Poe.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;
#[path = "common/published.rs"]
mod published;
#[path = "common/scripted_poe.rs"]
mod scripted_poe;

use std::net::TcpListener;

use common::{Answer, PATIENCE, Poe, TestServer, eventually, post};
use published::check;
use rustix::process::Signal;
use scripted_poe::{Answer as Said, Script};
use serde_json::{Value, json};

const KEY: &str = "Authorization: Bearer some-key";
const OTHER: &str = "Authorization: Bearer other-key";
const ERROR: &str = include_str!("schemas/error.json");
const VIDEO: &str = include_str!("schemas/video.json");

fn request(method: &str, path: &str, headers: &[&str]) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

fn ask(server: &TestServer, method: &str, path: &str) -> Answer {
    server.ask(&request(method, path, &[KEY]))
}

/// A new job: its answer.
fn create(server: &TestServer, key: &str, bot: &str, more: Value) -> Answer {
    let mut body = json!({"model": bot, "prompt": "an orange"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    server.ask(&post("/v1/videos", &[key], &body.to_string()))
}

fn id_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let video = answer.json();
    check(&video, VIDEO);
    assert!(["queued", "in_progress"].contains(&video["status"].as_str().expect("a status")), "{video}");
    video["id"].as_str().expect("an id").to_owned()
}

fn retrieve(server: &TestServer, id: &str) -> Value {
    let answer = ask(server, "GET", &format!("/v1/videos/{id}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let video = answer.json();
    check(&video, VIDEO);
    video
}

/// The job once nothing more happens to it.
fn ended(server: &TestServer, id: &str) -> Value {
    let is_over =
        |video: &Value| ["completed", "failed"].contains(&video["status"].as_str().unwrap_or_default());
    eventually(PATIENCE, "the job ends", || Some(retrieve(server, id)).filter(is_over))
}

fn refused(answer: &Answer) -> (u16, String) {
    check(&answer.json(), ERROR);
    (answer.status, answer.error("param"))
}

#[test]
fn a_video_is_made_watched_downloaded_and_deleted() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    for bot in ["demo-video", "demo-video-link"] {
        let id = id_of(&create(&server, KEY, bot, json!({"size": "720x1280", "seconds": "8"})));
        let video = ended(&server, &id);
        assert_eq!((&video["status"], &video["progress"]), (&json!("completed"), &json!(100)), "{video}");
        assert_eq!(
            (&video["size"], &video["seconds"], &video["prompt"], &video["model"]),
            (&json!("720x1280"), &json!("8"), &json!("an orange"), &json!(bot))
        );
        let turn = poe.last_query()["query"][0].clone();
        let expected = json!({"aspect_ratio": "9:16", "resolution": "720p", "duration": "8"});
        assert_eq!((&turn["parameters"], &turn["content"]), (&expected, &json!("an orange")));

        let path = format!("/v1/videos/{id}/content");
        let whole = ask(&server, "GET", &path);
        assert_eq!((whole.status, whole.header("content-type")), (200, Some("video/mp4")));
        assert_eq!(&whole.body[4..12], b"ftypisom");
        let length = whole.body.len().to_string();
        assert_eq!(whole.header("content-length"), Some(length.as_str()));
        let head = ask(&server, "HEAD", &path);
        assert_eq!(
            (head.status, head.header("content-length"), head.body.len()),
            (200, Some(length.as_str()), 0)
        );
        let part = server.ask(&request("GET", &path, &[KEY, "Range: bytes=4-11"]));
        let expected = format!("bytes 4-11/{length}");
        assert_eq!((part.status, part.header("content-range")), (206, Some(expected.as_str())));
        assert_eq!(part.body, b"ftypisom");
        let beyond = server.ask(&request("GET", &path, &[KEY, "Range: bytes=9999-"]));
        assert_eq!(beyond.status, 416);
        assert_eq!(
            refused(&ask(&server, "GET", &format!("{path}?variant=thumbnail"))),
            (400, "variant".into())
        );

        let deleted = ask(&server, "DELETE", &format!("/v1/videos/{id}"));
        assert_eq!(deleted.json(), json!({"id": id, "object": "video.deleted", "deleted": true}));
        for (method, path) in
            [("GET", &path), ("GET", &format!("/v1/videos/{id}")), ("DELETE", &format!("/v1/videos/{id}"))]
        {
            assert_eq!(refused(&ask(&server, method, path)).0, 404, "{method} {path}");
        }
    }
}

#[test]
fn a_form_with_a_reference_is_understood() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &["--poe-file-upload-url", &poe.at.upload_url]);
    let part = |name: &str, more: &str, content: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{content}\r\n")
    };
    let file = part("input_reference", "; filename=\"a.png\"\r\nContent-Type: image/png", "a picture");
    let body =
        [part("model", "", "demo-video"), part("prompt", "", "move it"), part("seconds", "", "12"), file];
    let body = body.concat() + "--b--\r\n";
    let request = format!(
        "POST /v1/videos HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\nContent-Type: multipart/form-data; boundary=b\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let id = id_of(&server.ask(&request));
    assert_eq!(ended(&server, &id)["status"], "completed");
    let turn = poe.last_query()["query"][0].clone();
    assert_eq!(
        (&turn["attachments"][0]["name"], &turn["parameters"]["duration"]),
        (&json!("a.png"), &json!("12"))
    );
}

#[test]
fn progress_is_what_the_bot_states() {
    let server = TestServer::demo(&[]);
    let id = id_of(&create(&server, KEY, "demo-video-slow", json!({})));
    let video = eventually(PATIENCE, "half of it is done", || {
        Some(retrieve(&server, &id)).filter(|video| video["progress"] == 50)
    });
    assert_eq!(video["status"], "in_progress");
    let content = ask(&server, "GET", &format!("/v1/videos/{id}/content"));
    assert_eq!(content.status, 404);
    assert!(content.error("message").contains("not ready"), "{}", content.text());
}

/// A file that a bot made may lie at Poe's own places only, and what lies there may be something else.
#[test]
fn a_video_comes_from_poe_and_is_a_video() {
    let poe = scripted_poe::Poe::start(json!({"data": [{"id": "any"}]}).to_string());
    let server = TestServer::start(common::binary(), &["--poe-base-url", &poe.base_url]);
    let foreign = TcpListener::bind("127.0.0.1:0").expect("a port");
    foreign.set_nonblocking(true).expect("a listener");
    let elsewhere = format!("http://{}/clip.mp4", foreign.local_addr().expect("an address"));
    let here = format!("{}/clip.mp4", poe.base_url);
    for (url, head, status, words) in [
        (&here, "200\nContent-Type: video/mp4", 200, "the clip"),
        (&here, "200\nContent-Type: video/webm; codecs=vp9", 200, "the clip"),
        (&here, "200\nContent-Type: application/octet-stream", 200, "the clip"),
        (&here, "200", 200, "the clip"),
        (&here, "200\nContent-Type: text/html", 502, "no video, but text/html"),
        (&here, "502\nContent-Type: text/html", 502, "502"),
        (&here, "404", 502, "404"),
        (&elsewhere, "200\nContent-Type: video/mp4", 502, "poecdn.net"),
        (&"file:///etc/passwd".to_owned(), "200", 502, "poecdn.net"),
    ] {
        let file = json!({"url": url, "content_type": "video/mp4", "name": "clip.mp4", "inline_ref": null});
        let events = format!("event: file\ndata: {file}\n\nevent: done\ndata: {{}}\n\n");
        let clip = Said { head: head.into(), body: b"the clip".to_vec() };
        poe.play(Script { answers: vec![Said::stream(events.into_bytes()), clip], ..Script::default() });
        let id = id_of(&create(&server, KEY, "any", json!({})));
        assert_eq!(ended(&server, &id)["status"], "completed", "{url} {head}");
        let answer = ask(&server, "GET", &format!("/v1/videos/{id}/content"));
        assert_eq!(answer.status, status, "{url} {head}: {}", answer.text());
        assert!(answer.text().contains(words), "{url} {head}: {}", answer.text());
        let fetched = poe.asked().queries.len() - 1;
        assert_eq!(fetched, usize::from(*url == here), "{url} {head}");
    }
    assert!(foreign.accept().is_err(), "nobody else's host is asked");
}

#[test]
fn deleting_a_job_ends_it_at_poe() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    let id = id_of(&create(&server, KEY, "demo-video-slow", json!({})));
    eventually(PATIENCE, "the bot is asked", || (poe.open() == 1).then_some(()));
    let foreign = server.ask(&request("DELETE", &format!("/v1/videos/{id}"), &[OTHER]));
    assert_eq!((foreign.status, poe.open()), (404, 1));
    assert_eq!(ask(&server, "DELETE", &format!("/v1/videos/{id}")).status, 200);
    eventually(PATIENCE, "the bot is left alone", || (poe.open() == 0).then_some(()));
    let line = server.wait_for_line(&format!("JOB /v1/videos/{id}"));
    assert!(line.contains("status=499") && line.contains("model=\"demo-video-slow\""), "{line}");
}

#[test]
fn only_the_key_that_made_a_job_sees_it() {
    let server = TestServer::demo(&[]);
    let id = id_of(&create(&server, KEY, "demo-video", json!({})));
    ended(&server, &id);
    for path in [format!("/v1/videos/{id}"), format!("/v1/videos/{id}/content")] {
        assert_eq!(server.ask(&request("GET", &path, &[OTHER])).status, 404, "{path}");
        assert_eq!(server.ask(&request("GET", &path, &[])).status, 401, "{path}");
    }
    let list = server.ask(&request("GET", "/v1/videos", &[OTHER])).json();
    assert_eq!(
        list,
        json!({"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false})
    );
}

#[test]
fn jobs_are_listed_page_by_page() {
    let server = TestServer::demo(&[]);
    let ids: Vec<String> =
        (0..5).map(|_| id_of(&create(&server, KEY, "demo-video-link", json!({})))).collect();
    let page = |query: &str| {
        let list = ask(&server, "GET", &format!("/v1/videos{query}")).json();
        let data = list["data"].as_array().unwrap_or_else(|| panic!("{list}"));
        let found: Vec<_> =
            data.iter().map(|video| video["id"].as_str().expect("an id").to_owned()).collect();
        (found, list["has_more"] == true)
    };
    let newest: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(page(""), (newest.clone(), false));
    assert_eq!(page("?limit=2"), (newest[..2].to_vec(), true));
    assert_eq!(page(&format!("?limit=2&after={}", newest[1])), (newest[2..4].to_vec(), true));
    assert_eq!(page(&format!("?limit=2&order=asc&after={}", ids[2])), (ids[3..].to_vec(), false));
    for (query, param) in
        [("limit=0", "limit"), ("limit=x", "limit"), ("order=up", "order"), ("after=x", "after")]
    {
        assert_eq!(refused(&ask(&server, "GET", &format!("/v1/videos?{query}"))), (400, param.into()));
    }
}

#[test]
fn faults_of_the_request_are_refused_and_those_of_the_bot_end_the_job() {
    let server = TestServer::demo(&[]);
    for (more, param) in [
        (json!({"model": ""}), "model"),
        (json!({"prompt": ""}), "prompt"),
        (json!({"seconds": "soon"}), "seconds"),
        (json!({"input_reference": {"file_id": "file-1"}}), "input_reference.file_id"),
    ] {
        assert_eq!(refused(&create(&server, KEY, "demo-video", more)), (400, param.into()));
    }
    for (bot, code, words) in [
        ("demo-error-http-402", "insufficient_quota", "points"),
        ("demo-error-http-403", "forbidden", ""),
        ("there-is-no-such-bot", "model_not_found", "there-is-no-such-bot"),
        ("demo-painter", "unsupported_feature_for_model", "the bot sent no video"),
        ("demo-error-late", "upstream_error", ""),
        ("demo-truncated", "upstream_error", ""),
    ] {
        let video = ended(&server, &id_of(&create(&server, KEY, bot, json!({}))));
        assert_eq!((&video["status"], &video["error"]["code"]), (&json!("failed"), &json!(code)), "{video}");
        assert!(video["error"]["message"].as_str().expect("a message").contains(words), "{video}");
        let path = format!("/v1/videos/{}/content", video["id"].as_str().expect("an id"));
        assert_eq!(ask(&server, "GET", &path).status, 404);
    }
}

#[test]
fn a_key_has_a_bounded_number_of_jobs() {
    let server = TestServer::demo(&[]);
    let ids: Vec<String> =
        (0..8).map(|_| id_of(&create(&server, KEY, "demo-video-slow", json!({})))).collect();
    let ninth = create(&server, KEY, "demo-video-slow", json!({}));
    assert_eq!((ninth.status, ninth.error("code").as_str()), (429, "rate_limit_exceeded"));
    assert!(ninth.header("retry-after").is_some());
    id_of(&create(&server, OTHER, "demo-video-slow", json!({})));
    assert_eq!(ask(&server, "DELETE", &format!("/v1/videos/{}", ids[0])).status, 200);
    eventually(PATIENCE, "a place is free", || {
        (create(&server, KEY, "demo-video-slow", json!({})).status == 200).then_some(())
    });
}

#[test]
fn the_rate_limit_holds_for_jobs() {
    let server = TestServer::demo(&["--rate-limit-ms", "60000", "--rate-limit-max-wait-ms", "100"]);
    let id = id_of(&create(&server, KEY, "demo-video-link", json!({})));
    let second = create(&server, KEY, "demo-video-link", json!({}));
    assert_eq!((second.status, second.error("code").as_str()), (429, "rate_limit_exceeded"));
    assert_eq!(ended(&server, &id)["status"], "completed", "a job waits for its turn once");
}

#[test]
fn the_end_of_the_server_ends_its_jobs() {
    let poe = Poe::start();
    let mut server = TestServer::before(&poe, &[]);
    let id = id_of(&create(&server, KEY, "demo-video-slow", json!({})));
    eventually(PATIENCE, "the bot is asked", || (poe.open() == 1).then_some(()));
    server.signal(Signal::TERM);
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
    let line = server.wait_for_line(&format!("JOB /v1/videos/{id}"));
    assert!(line.contains("status=503") && line.contains("shutting down"), "{line}");
    eventually(PATIENCE, "the bot is left alone", || (poe.open() == 0).then_some(()));
}
