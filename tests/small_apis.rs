//! The small endpoints against the embedded Poe: completions, pictures, speech, Ollama's API, and unsupported endpoints.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;
#[path = "common/published.rs"]
mod published;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::{Answer, Piece, Poe, TestServer, get, post};
use published::check;
use serde_json::{Value, json};

const KEY: &str = "Authorization: Bearer some-key";
const COMPLETION: &str = include_str!("schemas/text_completion.json");
const CHUNK: &str = include_str!("schemas/text_completion.chunk.json");
const IMAGES: &str = include_str!("schemas/images.json");
const ERROR: &str = include_str!("schemas/error.json");

fn ask(server: &TestServer, path: &str, body: &Value) -> Answer {
    server.ask(&post(path, &[KEY], &body.to_string()))
}

/// A refused request: its status, `param` and `message`.
fn refused(answer: &Answer) -> (u16, String, String) {
    check(&answer.json(), ERROR);
    (answer.status, answer.error("param"), answer.error("message"))
}

fn complete(server: &TestServer, more: Value) -> Answer {
    let mut body = json!({"model": "demo-echo", "prompt": "Once"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    ask(server, "/v1/completions", &body)
}

/// The choices of a whole answer: index, text and reason.
fn choices(answer: &Answer) -> Vec<(u64, String, String)> {
    let body = answer.json();
    check(&body, COMPLETION);
    let choice = |choice: &Value| {
        let word = |name: &str| choice[name].as_str().expect("a text").to_owned();
        (choice["index"].as_u64().expect("a number"), word("text"), word("finish_reason"))
    };
    body["choices"].as_array().expect("choices").iter().map(choice).collect()
}

#[test]
fn several_prompts_are_answered_in_openais_order() {
    let server = TestServer::demo(&[]);
    let choice = |index, text: &str| (index, text.to_owned(), "stop".to_owned());
    assert_eq!(choices(&complete(&server, json!({}))), [choice(0, "Once")]);
    let answer = complete(&server, json!({"prompt": ["a", "b"], "n": 2, "echo": true, "best_of": 2}));
    assert_eq!(choices(&answer), [choice(0, "aa"), choice(1, "aa"), choice(2, "bb"), choice(3, "bb")]);
    let (one, both) = (complete(&server, json!({"prompt": "a"})).json(), answer.json());
    let prompt = |answer: &Value| answer["usage"]["prompt_tokens"].as_u64().expect("a number");
    assert_eq!(prompt(&both), 2 * prompt(&one), "each prompt counts once");
    let answer =
        ask(&server, "/completions/", &json!({"model": "demo-stop", "prompt": "count", "stop": "four"}));
    assert_eq!(choices(&answer), [choice(0, "one two three ")]);
    let answer = complete(&server, json!({"model": "demo-stop", "max_tokens": 2}));
    assert_eq!(choices(&answer), [(0, "one two".to_owned(), "length".to_owned())]);
}

#[test]
fn a_stream_of_completions_has_every_choice_whole() {
    let server = TestServer::demo(&[]);
    let body = json!({"model": "demo-echo", "prompt": ["first", "second"], "n": 2, "echo": true, "stream": true,
        "stream_options": {"include_usage": true}});
    let mut wire = server.wire();
    let mut stream = wire.stream(&post("/v1/completions", &[KEY], &body.to_string()));
    let events = stream.rest();
    assert_eq!(stream.answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(events.last().expect("an end").piece, Piece::Done);
    let (mut texts, mut ends, mut usage) = ([const { String::new() }; 4], [0; 4], Value::Null);
    for chunk in events.iter().filter_map(|event| event.json()) {
        check(chunk, CHUNK);
        for choice in chunk["choices"].as_array().expect("choices") {
            let index = choice["index"].as_u64().expect("a number") as usize;
            assert_eq!(ends[index], 0, "nothing follows the end of a choice");
            texts[index] += choice["text"].as_str().expect("a text");
            ends[index] += usize::from(!choice["finish_reason"].is_null());
        }
        usage = chunk["usage"].clone();
    }
    assert_eq!((texts.concat(), ends), ("firstfirstfirstfirstsecondsecondsecondsecond".to_owned(), [1; 4]));
    let whole = complete(&server, json!({"prompt": ["first", "second"], "n": 2})).json();
    assert_eq!(usage, whole["usage"]);
}

#[test]
fn a_gap_is_filled_with_code_alone() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    for streamed in [false, true] {
        let body = json!({"model": "demo-coder", "prompt": "def add(a, b):\n", "suffix": "\n\nprint(add(1, 2))", "stream": streamed});
        let answer = ask(&server, "/v1/completions", &body);
        let text = match streamed {
            false => choices(&answer)[0].1.clone(),
            true => streamed_text(&answer),
        };
        assert_eq!(text, "    return a + b");
    }
    let query = poe.last_query();
    let turns: Vec<_> =
        query["query"].as_array().expect("turns").iter().map(|turn| turn["role"].as_str()).collect();
    assert_eq!(turns, [Some("system"), Some("user")]);
    assert_eq!(query["query"][1]["content"], "def add(a, b):\n<FILL_HERE/>\n\nprint(add(1, 2))");
    let marked = json!({"model": "demo-echo", "prompt": "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>"});
    assert_eq!(choices(&ask(&server, "/v1/completions", &marked))[0].1, "a<FILL_HERE/>b");
}

fn streamed_text(answer: &Answer) -> String {
    let body = answer.text();
    let chunks = body
        .split("\n\n")
        .filter_map(|frame| serde_json::from_str::<Value>(frame.strip_prefix("data: ")?).ok());
    chunks.filter_map(|chunk| Some(chunk["choices"][0]["text"].as_str()?.to_owned())).collect()
}

#[test]
fn thought_is_no_part_of_a_completion_and_a_broken_one_is_not_done() {
    let server = TestServer::demo(&[]);
    let whole = choices(&complete(&server, json!({"model": "demo-think"})));
    assert!(!whole[0].1.contains("Thinking") && !whole[0].1.is_empty(), "{whole:?}");
    assert_eq!(streamed_text(&complete(&server, json!({"model": "demo-think", "stream": true}))), whole[0].1);
    let broken = complete(&server, json!({"model": "demo-error-late", "stream": true})).text();
    let last = broken.trim_end().rsplit("\n\n").next().and_then(|frame| frame.strip_prefix("data: "));
    let last: Value = serde_json::from_str(last.expect("a frame")).expect("JSON");
    check(&last, ERROR);
    assert!(!broken.contains("[DONE]"));
}

#[test]
fn a_slow_completion_sends_keep_alives() {
    let server = TestServer::demo(&["--keep-alive-seconds", "1"]);
    let answer = complete(&server, json!({"model": "demo-slow-start", "stream": true}));
    let text = answer.text();
    let data = text.trim_start_matches(": keep-alive\n");
    assert!(data.len() < text.len() && data.starts_with("data: {"), "{text}");
    assert!(data.contains(r#""text":"Once""#) && data.ends_with("data: [DONE]\n\n"), "{text}");
}

#[test]
fn unsupported_completions_are_rejected_by_field() {
    let server = TestServer::demo(&[]);
    for (more, param) in [
        (json!({"prompt": [1, 2, 3]}), "prompt[0]"),
        (json!({"prompt": ""}), "prompt"),
        (json!({"logprobs": 5}), "logprobs"),
        (json!({"best_of": 3}), "best_of"),
        (json!({"prompt": ["a", "b", "c"], "n": 3}), "n"),
    ] {
        let (status, named, _) = refused(&complete(&server, more));
        assert_eq!((status, named.as_str()), (400, param));
    }
    assert_eq!(complete(&server, json!({"model": "demo-error-http-402"})).status, 402);
    let keyless = server.ask(&post("/v1/completions", &[], "{}"));
    assert_eq!(refused(&keyless).0, 401);
}

#[test]
fn pictures_are_painted_as_links_or_bytes() {
    let server = TestServer::demo(&[]);
    for (model, more, wants_bytes) in [
        ("demo-painter", json!({"n": 2}), false),
        ("demo-painter-late", json!({"response_format": "url"}), false),
        ("demo-painter-link", json!({}), false),
        ("demo-painter", json!({"n": 2, "response_format": "b64_json"}), true),
        ("demo-painter-link", json!({"response_format": "b64_json"}), true),
    ] {
        let mut body =
            json!({"model": model, "prompt": "a cat", "output_format": "png", "background": "auto"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = ask(&server, "/v1/images/generations", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        check(&answer, IMAGES);
        let pictures = answer["data"].as_array().expect("pictures");
        assert_eq!(pictures.len() as u64, more["n"].as_u64().unwrap_or(1), "{model}");
        for picture in pictures {
            match wants_bytes {
                true => {
                    let bytes = BASE64_STANDARD
                        .decode(picture["b64_json"].as_str().expect("base64"))
                        .expect("base64");
                    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
                }
                false => {
                    assert!(picture["url"].as_str().expect("a link").ends_with("/art/cat.png"), "{picture}")
                }
            }
        }
    }
}

#[test]
fn picture_options_are_sent_as_the_bots_own_parameters() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &["--poe-file-upload-url", &poe.at.upload_url]);
    let body = json!({"model": "demo-painter", "prompt": "a cat", "size": "1792x1024", "quality": "hd", "style": "vivid"});
    assert_eq!(ask(&server, "/v1/images/generations", &body).status, 200);
    let query = poe.last_query();
    assert_eq!(query["query"][0]["parameters"], json!({"aspect_ratio": "16:9", "quality": "high"}));
    let part = |head: &str, content: &str| {
        format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
    };
    let form = [
        part("name=\"model\"", "demo-painter"),
        part("name=\"prompt\"", "a hat for the cat"),
        part("name=\"size\"", "1024x1536"),
        part("name=\"image[]\"; filename=\"cat.png\"", "\u{89}PNG"),
        part("name=\"image[]\"; filename=\"hat.jpg\"", "hat"),
        "--b--\r\n".to_owned(),
    ]
    .concat();
    let request = format!(
        "POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\nContent-Type: multipart/form-data; boundary=b\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = server.ask(&request);
    assert_eq!(answer.status, 200, "{answer:?}");
    check(&answer.json(), IMAGES);
    let asked = &poe.last_query()["query"][0];
    assert_eq!(
        (&asked["content"], &asked["parameters"]["aspect_ratio"]),
        (&json!("a hat for the cat"), &json!("9:16"))
    );
    let attached = asked["attachments"].as_array().expect("attachments").iter();
    let attached: Vec<_> =
        attached.map(|file| (file["name"].as_str(), file["content_type"].as_str())).collect();
    assert_eq!(attached, [(Some("cat.png"), Some("image/png")), (Some("hat.jpg"), Some("image/jpeg"))]);
}

#[test]
fn a_bot_that_only_talks_is_an_error_with_its_words() {
    let server = TestServer::demo(&[]);
    let paint = |model: &str, more: Value| {
        let mut body = json!({"model": model, "prompt": "a cat, please"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        ask(&server, "/v1/images/generations", &body)
    };
    let (status, param, message) = refused(&paint("demo-echo", json!({})));
    assert_eq!((status, param.as_str()), (400, "model"));
    assert!(message.contains("a cat, please"), "{message}");
    let (status, _, message) =
        refused(&paint("demo-painter-elsewhere", json!({"response_format": "b64_json"})));
    assert_eq!(status, 502);
    assert!(message.contains("neither on poecdn.net nor on the host of POE_BASE_URL"), "{message}");
    assert_eq!(paint("demo-painter-elsewhere", json!({})).status, 200, "a link is the client's to follow");
    for (more, param) in
        [(json!({"stream": true}), "stream"), (json!({"n": 9}), "n"), (json!({"model": null}), "model")]
    {
        assert_eq!(refused(&paint("demo-painter", more)).1, param);
    }
    let speech = json!({"model": "demo-echo", "input": "hello there", "voice": "alloy"});
    let (status, _, message) = refused(&ask(&server, "/v1/audio/speech", &speech));
    assert!(status == 400 && message.contains("hello there"), "{message}");
}

#[test]
fn speech_is_the_bots_own_file() {
    let server = TestServer::demo(&[]);
    for model in ["demo-voice", "demo-voice-link"] {
        let body = json!({"model": model, "input": "hello", "voice": "ada", "response_format": "mp3"});
        let answer = ask(&server, "/v1/audio/speech", &body);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("audio/wav")), "{answer:?}");
        assert!(answer.body.starts_with(b"RIFF"));
    }
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    let body = json!({"model": "demo-voice", "input": "hello", "voice": "bruno", "speed": 2});
    // files are fetched from the host of POE_BASE_URL too, for people behind a proxied Poe
    let answer = ask(&server, "/v1/audio/speech", &body);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("audio/wav")), "{answer:?}");
    assert_eq!(poe.last_query()["query"][0]["parameters"], json!({"voice": "Bruno", "speed": "2.0"}));
}

/// The lines of an NDJSON answer.
fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    answer.text().lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn ollama_chats_in_lines() {
    let server = TestServer::demo(&[]);
    let body = json!({"model": "demo-think:latest", "messages": [{"role": "user", "content": "hi"}]});
    let answer = ask(&server, "/api/chat", &body);
    let lines = lines(&answer);
    let joined =
        |name: &str| -> String { lines.iter().filter_map(|line| line["message"][name].as_str()).collect() };
    let mut whole = body.clone();
    whole["stream"] = false.into();
    let whole = ask(&server, "/api/chat", &whole).json();
    assert_eq!(
        (json!(joined("content")), json!(joined("thinking"))),
        (whole["message"]["content"].clone(), whole["message"]["thinking"].clone())
    );
    assert!(!joined("thinking").is_empty());
    let (last, rest) = lines.split_last().expect("lines");
    assert!(rest.iter().all(|line| line["done"] == false && line["model"] == "demo-think:latest"));
    assert_eq!(
        (&last["done"], &last["done_reason"], &last["eval_count"]),
        (&json!(true), &json!("stop"), &whole["eval_count"])
    );
    let quiet = json!({"model": "demo-think", "think": false, "stream": false, "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(ask(&server, "/api/chat", &quiet).json()["message"].get("thinking"), None);
}

#[test]
fn ollama_calls_tools_and_sends_their_results() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &[]);
    let tools = json!([{"type": "function", "function": {"name": "get_weather", "description": "The weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]);
    for model in ["demo-tools", "demo-xml-tools"] {
        let mut messages = vec![json!({"role": "user", "content": "How is the weather in Paris?"})];
        let body = json!({"model": model, "messages": messages, "tools": tools});
        let lines = lines(&ask(&server, "/api/chat", &body));
        let call = lines.iter().find_map(|line| line["message"].get("tool_calls")).expect("a call");
        assert_eq!(call[0]["function"]["name"], "get_weather");
        assert!(call[0]["function"]["arguments"].is_object(), "{call}");
        messages.push(json!({"role": "assistant", "content": "", "tool_calls": call}));
        messages.push(json!({"role": "tool", "tool_name": "get_weather", "content": "sunny, 21 degrees"}));
        let body = json!({"model": model, "messages": messages, "tools": tools, "stream": false});
        let answer = ask(&server, "/api/chat", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(poe.last_query().to_string().contains("sunny, 21 degrees"));
    }
}

#[test]
fn ollama_generates_fits_json_and_reads_pictures() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &["--poe-file-upload-url", &poe.at.upload_url]);
    let generate = |more: Value| {
        let mut body = json!({"model": "demo-echo", "prompt": "hi", "stream": false});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        ask(&server, "/api/generate", &body)
    };
    let answer =
        generate(json!({"system": "be brief", "images": [BASE64_STANDARD.encode(b"\x89PNG\r\n\x1a\n")],
        "options": {"temperature": 0.5, "num_predict": 50, "stop": ["never"]}}));
    assert!(
        answer.json()["response"].as_str().expect("a text").starts_with("hi\n\nAttachments:"),
        "{answer:?}"
    );
    let query = poe.last_query();
    assert_eq!((&query["query"][0]["content"], &query["temperature"]), (&json!("be brief"), &json!(0.5)));
    let schema = json!({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]});
    let fitting = generate(json!({"model": "demo-json", "format": schema})).json();
    let value: Value = serde_json::from_str(fitting["response"].as_str().expect("a text")).expect("JSON");
    assert!(value["age"].is_i64(), "{value}");
    assert_eq!(generate(json!({"prompt": "", "keep_alive": 0})).json()["done_reason"], "unload");
    let loaded = ask(&server, "/api/chat", &json!({"model": "demo-echo"}));
    assert_eq!(lines(&loaded)[0]["done_reason"], "load");
    let queries = poe.queries();
    ask(&server, "/api/generate", &json!({"model": "demo-echo"}));
    assert_eq!(poe.queries(), queries, "loading sends no query to Poe");
}

#[test]
fn ollama_shows_models_and_its_version() {
    let server = TestServer::demo(&[]);
    assert!(server.ask(&get("/")).text().contains("Ollama is running"));
    let version = server.ask(&get("/api/version")).json()["version"].as_str().expect("a text").to_owned();
    assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
    assert_eq!(server.ask(&get("/api/ps")).json(), json!({"models": []}));
    let tags = server.ask(&get("/api/tags")).json();
    let models = tags["models"].as_array().expect("models");
    let gpt = models.iter().find(|model| model["name"] == "demo-gpt").expect("the model");
    assert_eq!(gpt["digest"].as_str().map(str::len), Some(64));
    let show = ask(&server, "/api/show", &json!({"model": "demo-gpt:latest"})).json();
    assert_eq!(show["capabilities"], json!(["completion", "tools", "vision", "thinking"]));
    assert_eq!(show["model_info"]["poe.context_length"], 400_000);
    let plain = ask(&server, "/api/show", &json!({"name": "demo-echo"})).json();
    assert_eq!(plain["capabilities"], json!(["completion", "tools", "vision"]));
    let missing = ask(&server, "/api/show", &json!({"model": "nobody"}));
    assert_eq!((missing.status, missing.json()), (404, json!({"error": "model 'nobody' not found"})));
}

#[test]
fn ollama_errors_have_ollamas_shape_before_and_after_the_first_line() {
    let server = TestServer::demo(&[]);
    let chat = |model: &str| {
        ask(&server, "/api/chat", &json!({"model": model, "messages": [{"role": "user", "content": "hi"}]}))
    };
    for (answer, status) in [
        (chat("demo-error-http-402"), 402),
        (chat("there-is-no-such-bot"), 404),
        (ask(&server, "/api/chat", &json!({"messages": []})), 400),
        (server.ask(&post("/api/generate", &[], "{\"model\": \"demo-echo\", \"prompt\": \"x\"}")), 401),
        (server.ask(&get("/api/chat")), 405),
        (ask(&server, "/api/pull", &json!({"model": "x"})), 501),
        (ask(&server, "/api/embed", &json!({"model": "x", "input": "y"})), 404),
    ] {
        let body = answer.json();
        let fields: Vec<_> = body.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(
            (answer.status, fields, body["error"].is_string()),
            (status, vec!["error"], true),
            "{body}"
        );
    }
    let broken = lines(&chat("demo-error-late"));
    assert!(broken.last().expect("lines")["error"].is_string(), "{broken:?}");
    assert!(broken.iter().all(|line| line["done"] != true));
}

#[test]
fn a_server_with_its_own_key_serves_ollamas_programs_which_send_none() {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &["--poe-api-key", "some-key"]);
    let body = json!({"model": "demo-echo", "prompt": "hi", "stream": false}).to_string();
    assert_eq!(server.ask(&post("/api/generate", &[], &body)).json()["response"], "hi");
    let elsewhere = post("/api/generate", &["Origin: https://evil.example"], &body);
    assert_eq!(server.ask(&elsewhere).status, 403);
}

#[test]
fn unsupported_endpoints_explain_why() {
    let server = TestServer::demo(&[]);
    for (path, words) in [
        ("/v1/embeddings", "embeddings"),
        ("/embeddings", "embeddings"),
        ("/v1/moderations", "moderation"),
        ("/v1/audio/transcriptions", "Whisper"),
        ("/v1/audio/translations", "Whisper"),
        ("/v1/rerank", "rank"),
        ("/v1/files/file-1/content", "data URL"),
        ("/v1/uploads", "data URL"),
        ("/v1/batches/b", "one by one"),
        ("/v1/assistants", "/v1/chat/completions"),
        ("/v1/threads/t/runs", "/v1/chat/completions"),
        ("/v1/conversations", "/v1/chat/completions"),
        ("/v1/vector_stores", "locally"),
        ("/v1/fine_tuning/jobs", "trained"),
        ("/v1/realtime/sessions", "realtime"),
        ("/v1/videos/v/remix", "input_reference"),
        ("/v1/images/variations", "/v1/images/edits"),
        ("/v1/messages/batches", "/v1/messages"),
        ("/v1/complete", "/v1/messages"),
    ] {
        for request in [get(path), post(path, &[KEY], "{}"), get(path).replacen("GET", "DELETE", 1)] {
            let answer = server.ask(&request);
            assert_eq!(answer.status, 404, "{request}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
            let message = answer.json()["error"]["message"].as_str().expect("a text").to_owned();
            assert!(message.contains(words), "{path}: {message}");
        }
        assert_eq!(server.ask(&get(path).replacen("GET", "OPTIONS", 1)).status, 204, "{path}");
    }
}
