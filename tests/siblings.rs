//! The same meaning through Chat Completions, Responses, Messages and Ollama becomes the same query at Poe.

#[expect(dead_code, reason = "shared by all integration tests; none uses everything")]
mod common;

use std::collections::HashMap;

use common::{Poe, TestServer, post};
use serde_json::{Map, Value, json};

const KEY: &str = "Authorization: Bearer some-key";
/// Each with its path, in the order of the rows below.
const DIALECTS: [(&str, &str); 4] = [
    ("chat", "/v1/chat/completions"),
    ("responses", "/v1/responses"),
    ("messages", "/v1/messages"),
    ("ollama", "/api/chat"),
];
/// A bot with native tools, one without tools, one with a parameter for everything, and one that no list names.
const BOTS: [&str; 4] = ["demo-tools", "demo-echo", "demo-gpt", "nobody-lists-me"];
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const LINK: &str = "https://example.org/cat.png";
/// Signs in a row that stand for escapes no Rust string can hold: the two halves of an emoji.
const HALVES: [(&str, &str); 2] = [("\u{e000}", "\\ud83d"), ("\u{e001}", "\\ude00")];

/// One meaning: a name, what each dialect says for it (`null`: it cannot), and what must stand in the query at least.
struct Row {
    name: &'static str,
    said: [Value; 4],
    holds: &'static str,
}

fn row(name: &'static str, holds: &'static str, said: [Value; 4]) -> Row {
    Row { name, said, holds }
}

/// The query that Poe gets for `said` by `dialect`, with ids of calls by their order.
fn query(server: &TestServer, poe: &Poe, bot: &str, dialect: usize, said: &Value) -> Value {
    let mut body = json!({"model": bot, "stream": false});
    let turns = json!([{"role": "user", "content": "Hello"}]);
    let turns_field = if dialect == 1 { "input" } else { "messages" };
    body[turns_field] = turns;
    if dialect == 2 {
        body["max_tokens"] = 1000.into();
    }
    body.as_object_mut().expect("an object").extend(said.as_object().expect("an object").clone());
    poe.reset();
    let text = HALVES.iter().fold(body.to_string(), |text, (sign, escape)| text.replace(sign, escape));
    let answer = server.ask(&post(DIALECTS[dialect].1, &[KEY], &text));
    let sent = poe.first_query();
    assert!(!sent.is_null(), "{} {body}: {}", DIALECTS[dialect].0, answer.text());
    let mut ids = HashMap::new();
    numbered(&sent, &mut ids)
}

/// Ids that only tie things together are numbered.
fn numbered(value: &Value, ids: &mut HashMap<String, String>) -> Value {
    let mut number = |id: &str| {
        let next = format!("id{}", ids.len());
        ids.entry(id.to_owned()).or_insert(next).clone()
    };
    match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| match (name.as_str(), value.as_str()) {
                ("id" | "tool_call_id", Some(id)) => (name.clone(), number(id).into()),
                _ => (name.clone(), Value::Null),
            };
            let mut known: Map<String, Value> = members.iter().map(member).collect();
            for (name, value) in members {
                if known[name].is_null() {
                    known[name] = numbered(value, ids);
                }
            }
            Value::Object(known)
        }
        Value::Array(items) => items.iter().map(|item| numbered(item, ids)).collect(),
        other => other.clone(),
    }
}

fn compare(rows: Vec<Row>) {
    let poe = Poe::start();
    let server = TestServer::before(&poe, &["--poe-file-upload-url", &poe.at.upload_url]);
    let mut faults = Vec::new();
    for Row { name, said, holds } in &rows {
        for bot in BOTS {
            let mut first: Option<(usize, Value)> = None;
            for (dialect, said) in said.iter().enumerate().filter(|(_, said)| !said.is_null()) {
                let sent = query(&server, &poe, bot, dialect, said);
                if !sent.to_string().contains(holds) {
                    faults.push(format!("{name}, {bot}, {}: no {holds} in {sent}", DIALECTS[dialect].0));
                }
                match &first {
                    None => first = Some((dialect, sent)),
                    Some((other, known)) if *known != sent => faults.push(format!(
                        "{name}, {bot}: {} and {} differ:\n{known}\n{sent}",
                        DIALECTS[*other].0, DIALECTS[dialect].0
                    )),
                    Some(_) => {}
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} differences:\n{}", faults.len(), faults.join("\n\n"));
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]})
}

/// The tool in the words of each dialect.
fn tools() -> [Value; 4] {
    let function = json!({"name": "weather", "description": "Weather of a city", "parameters": schema()});
    let nested = json!([{"type": "function", "function": function}]);
    let flat = json!([{"type": "function", "name": "weather", "description": "Weather of a city", "parameters": schema()}]);
    let anthropic =
        json!([{"name": "weather", "description": "Weather of a city", "input_schema": schema()}]);
    [nested.clone(), flat, anthropic, nested]
}

fn with_tools(more: [Value; 4]) -> [Value; 4] {
    let mut said = more;
    for (said, tools) in said.iter_mut().zip(tools()) {
        if let Value::Object(said) = said {
            said.insert("tools".into(), tools);
        }
    }
    said
}

#[test]
fn tools_and_choices() {
    let odd = json!({"type": null, "properties": [], "required": null});
    let odd_tool =
        |key: &str| json!([{"type": "function", "name": "now", "description": "The time", key: odd}]);
    compare(vec![
        row("a tool", "weather", with_tools([json!({}), json!({}), json!({}), json!({})])),
        row(
            "an odd schema",
            "now",
            [
                json!({"tools": [{"type": "function", "function": {"name": "now", "description": "The time", "parameters": odd}}]}),
                json!({"tools": odd_tool("parameters")}),
                json!({"tools": [{"name": "now", "description": "The time", "input_schema": odd}]}),
                json!({"tools": [{"type": "function", "function": {"name": "now", "description": "The time", "parameters": odd}}]}),
            ],
        ),
        row(
            "a call is required",
            "weather",
            with_tools([
                json!({"tool_choice": "required"}),
                json!({"tool_choice": "required"}),
                json!({"tool_choice": {"type": "any"}}),
                Value::Null,
            ]),
        ),
        row(
            "this call is required",
            "weather",
            with_tools([
                json!({"tool_choice": {"type": "function", "function": {"name": "weather"}}}),
                json!({"tool_choice": {"type": "function", "name": "weather"}}),
                json!({"tool_choice": {"type": "tool", "name": "weather"}}),
                Value::Null,
            ]),
        ),
        row(
            "no call is allowed",
            "Hello",
            with_tools([
                json!({"tool_choice": "none"}),
                json!({"tool_choice": "none"}),
                json!({"tool_choice": {"type": "none"}}),
                Value::Null,
            ]),
        ),
        row(
            "one call at a time",
            "weather",
            with_tools([
                json!({"parallel_tool_calls": false}),
                json!({"parallel_tool_calls": false}),
                json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
                Value::Null,
            ]),
        ),
    ]);
}

/// A question, two calls and their results in the other order, and what follows.
fn past(more: &[(&str, &str)], results: &[(&str, &str)]) -> [Value; 4] {
    let calls = [("a", "Oslo"), ("b", "Rome")];
    let arguments = |city: &str| format!("{{\"city\":\"{city}\"}}");
    let openai = |(id, city): &(&str, &str)| json!({"id": id, "type": "function", "function": {"name": "weather", "arguments": arguments(city)}});
    let openai: Vec<Value> = calls.iter().map(openai).collect();
    let ollama = |(id, city): &(&str, &str)| json!({"id": id, "function": {"name": "weather", "arguments": {"city": city}}});
    let ollama: Vec<Value> = calls.iter().map(ollama).collect();
    let mut said = [(); 4].map(|()| vec![json!({"role": "user", "content": "Oslo and Rome?"})]);
    said[0].push(json!({"role": "assistant", "content": "I look.", "tool_calls": openai}));
    said[1].push(json!({"role": "assistant", "content": "I look."}));
    for (id, city) in calls {
        said[1].push(
            json!({"type": "function_call", "call_id": id, "name": "weather", "arguments": arguments(city)}),
        );
    }
    let blocks = calls
        .map(|(id, city)| json!({"type": "tool_use", "id": id, "name": "weather", "input": {"city": city}}));
    let blocks: Vec<Value> = [json!({"type": "text", "text": "I look."})].into_iter().chain(blocks).collect();
    said[2].push(json!({"role": "assistant", "content": blocks}));
    said[3].push(json!({"role": "assistant", "content": "I look.", "tool_calls": ollama}));
    let mut blocks = Vec::new();
    for (id, result) in results {
        said[0].push(json!({"role": "tool", "tool_call_id": id, "content": result}));
        said[1].push(json!({"type": "function_call_output", "call_id": id, "output": result}));
        blocks.push(json!({"type": "tool_result", "tool_use_id": id, "content": result}));
        said[3].push(json!({"role": "tool", "tool_call_id": id, "content": result}));
    }
    said[2].push(json!({"role": "user", "content": blocks}));
    for (role, content) in more {
        said.iter_mut().for_each(|said| said.push(json!({"role": role, "content": content})));
    }
    let fields = ["messages", "input", "messages", "messages"];
    let mut bodies = [Value::Null, Value::Null, Value::Null, Value::Null];
    for ((body, field), said) in bodies.iter_mut().zip(fields).zip(said) {
        *body = json!({field: said});
    }
    with_tools(bodies)
}

#[test]
fn past_calls_and_results() {
    let both = [("b", "sun & <fog>"), ("a", "rain")];
    let later = [("assistant", "Rain and sun."), ("user", "Thanks. And Paris?")];
    compare(vec![
        row("results that the bot waits for", "rain", past(&[], &both)),
        row("a call without a result", "no result", past(&[], &both[..1])),
        row("results of a turn that is over", "And Paris?", past(&later, &both)),
    ]);
}

#[test]
fn system_texts_and_turns() {
    let user = json!({"role": "user", "content": "Hello"});
    let of = |role: &str, content: &str| json!({"role": role, "content": content});
    let talk = json!([user, of("assistant", "Hi."), of("user", "How are you?")]);
    let text = |text: &str| json!({"type": "text", "text": text});
    let parts = json!([{"role": "user", "content": [text("one"), text("two")]}]);
    let input = json!([{"role": "user", "content": [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}]}]);
    compare(vec![
        row(
            "a system text",
            "Be kind.",
            [
                json!({"messages": [of("system", "Be kind."), user]}),
                json!({"instructions": "Be kind."}),
                json!({"system": "Be kind."}),
                json!({"messages": [of("system", "Be kind."), user]}),
            ],
        ),
        row(
            "a system text as a turn",
            "Be kind.",
            [
                json!({"messages": [of("developer", "Be kind."), user]}),
                json!({"input": [of("developer", "Be kind."), user]}),
                json!({"system": [text("Be kind.")]}),
                json!({"messages": [of("system", "Be kind."), user]}),
            ],
        ),
        row(
            "a conversation",
            "How are you?",
            [
                json!({"messages": talk}),
                json!({"input": talk}),
                json!({"messages": talk}),
                json!({"messages": talk}),
            ],
        ),
        row(
            "parts of text",
            "one",
            [json!({"messages": parts}), json!({"input": input}), json!({"messages": parts}), Value::Null],
        ),
    ]);
}

#[test]
fn half_an_emoji_is_never_refused() {
    let user = |content: Value| json!({"messages": [{"role": "user", "content": content}], "input": [{"role": "user", "content": content}]});
    let cut = |kind: &str| {
        user(json!([{"type": kind, "text": "one\u{e000}"}, {"type": kind, "text": "\u{e001}two"}]))
    };
    let system = json!({"role": "system", "content": "Be\u{e000} kind."});
    let hello = json!({"role": "user", "content": "Hello"});
    let city = past(&[], &[("a", "rain"), ("b", "sun")])
        .map(|said| said.to_string().replace("Oslo", "Os\u{e000}lo").parse().expect("JSON"));
    compare(vec![
        row("in a text", "a\u{fffd}b", [(); 4].map(|()| user(json!("a\u{e000}b")))),
        row("the second alone", "a\u{fffd}b", [(); 4].map(|()| user(json!("a\u{e001}b")))),
        row("both", "a\u{1f600}b", [(); 4].map(|()| user(json!("a\u{e000}\u{e001}b")))),
        row(
            "cut between two parts",
            "one\u{fffd}",
            [cut("text"), cut("input_text"), cut("text"), Value::Null],
        ),
        row(
            "in a system text",
            "Be\u{fffd} kind.",
            [
                json!({"messages": [system, hello]}),
                json!({"instructions": "Be\u{e000} kind."}),
                json!({"system": "Be\u{e000} kind."}),
                json!({"messages": [system, hello]}),
            ],
        ),
        row("in a result", "rain\u{fffd}", past(&[], &[("a", "rain\u{e000}"), ("b", "\u{e001}sun")])),
        row("in arguments", "Os\u{fffd}lo", city),
    ]);
}

#[test]
fn files() {
    let data = format!("data:image/png;base64,{PNG}");
    let bare = format!("data:;base64,{PNG}");
    let pdf = "JVBERi0xLjQK";
    let chat = |url: &str| {
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": url}}]}]})
    };
    let responses = |url: &str| {
        json!({"input": [{"role": "user", "content": [{"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": url}]}]})
    };
    let messages = |block: Value| json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Look"}, block]}]});
    let source = json!({"type": "base64", "media_type": "image/png", "data": PNG});
    let file = json!({"filename": "a.pdf", "file_data": format!("data:application/pdf;base64,{pdf}")});
    compare(vec![
        row(
            "a picture by its link",
            "cat.png",
            [
                chat(LINK),
                responses(LINK),
                messages(json!({"type": "image", "source": {"type": "url", "url": LINK}})),
                Value::Null,
            ],
        ),
        row(
            "a picture by its bytes",
            "image/png",
            [
                chat(&data),
                responses(&data),
                messages(json!({"type": "image", "source": source})),
                json!({"messages": [{"role": "user", "content": "Look", "images": [PNG]}]}),
            ],
        ),
        row(
            "a picture without a type",
            "image/png",
            [chat(&bare), responses(&bare), Value::Null, Value::Null],
        ),
        row(
            "a document",
            "application/pdf",
            [
                json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "file", "file": file}]}]}),
                json!({"input": [{"role": "user", "content": [{"type": "input_text", "text": "Look"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": format!("data:application/pdf;base64,{pdf}")}]}]}),
                messages(json!({"type": "document", "title": "a.pdf",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": pdf}})),
                Value::Null,
            ],
        ),
    ]);
}

#[test]
fn numbers_formats_and_effort() {
    let format = json!({"type": "json_schema", "name": "answer", "schema": schema()});
    let wrapped = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema()}});
    compare(vec![
        row(
            "a number as text",
            "0.5",
            [
                json!({"temperature": "0.5", "max_tokens": 150.0}),
                json!({"temperature": "0.5", "max_output_tokens": 150.0}),
                json!({"temperature": "0.5", "max_tokens": 150.0}),
                json!({"options": {"temperature": "0.5", "num_predict": 150.0}}),
            ],
        ),
        row(
            "texts that end the answer",
            "END",
            [
                json!({"stop": ["END"]}),
                Value::Null,
                json!({"stop_sequences": ["END"]}),
                json!({"options": {"stop": ["END"]}}),
            ],
        ),
        row(
            "JSON by a schema",
            "days",
            [
                json!({"response_format": wrapped}),
                json!({"text": {"format": format}}),
                json!({"output_config": {"format": {"type": "json_schema", "schema": schema()}}}),
                json!({"format": schema()}),
            ],
        ),
        row(
            "any JSON",
            "JSON",
            [
                json!({"response_format": {"type": "json_object"}}),
                json!({"text": {"format": {"type": "json_object"}}}),
                Value::Null,
                json!({"format": "json"}),
            ],
        ),
        row(
            "effort",
            "Hello",
            [
                json!({"reasoning_effort": "high"}),
                json!({"reasoning": {"effort": "high"}}),
                json!({"output_config": {"effort": "high"}}),
                json!({"think": "high"}),
            ],
        ),
        row(
            "no thought",
            "Hello",
            [
                json!({"reasoning_effort": "none"}),
                json!({"reasoning": {"effort": "none"}}),
                json!({"thinking": {"type": "disabled"}}),
                json!({"think": false}),
            ],
        ),
    ]);
}
