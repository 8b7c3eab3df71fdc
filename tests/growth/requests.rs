//! Requests of every dialect, from their bytes to Poe's query.

use std::collections::BTreeSet;
use std::time::Instant;

use poe2openai::dialect::responses::{self, Items, ResponseStore, Sought};
use poe2openai::dialect::{
    DecodedRequest, Stamp, catalog, chat, completions, count, images, messages, ollama, speech,
};
use poe2openai::error::Result;
use poe2openai::gateway::attachments::to_user_turns;
use poe2openai::json_limits;
use poe2openai::pipeline::json::format;
use poe2openai::pipeline::stages::{pictures_into_user_turns, prompt_tokens};
use poe2openai::pipeline::tools::{
    check_tool_turns, insist_on_call, name_results, results_behind_calls, tools_into_prompt, unique_call_ids,
};
use poe2openai::pipeline::{Attachment, ChatRequest, FileSource, NativeEndpoint, Part, Reply};
use poe2openai::poe::{encode_query, fit_parameters, native, parse_catalog};
use serde_json::{Value, json};

use super::Cases;
use super::texts::repeated;

/// Reads the body of one endpoint.
type Decode = fn(&[u8]) -> Result<DecodedRequest>;

fn stamp() -> Stamp<'static> {
    Stamp { now: 0, make_id: &|prefix| format!("{prefix}1") }
}

/// Earlier items as many as the request is long could refer to.
fn earlier(sought: Sought<'_>) -> Option<Items> {
    let message =
        |at: usize| json!({"id": format!("msg_{at}"), "type": "message", "role": "user", "content": "x"});
    match sought {
        Sought::Conversation(_) => Some(Box::new((0..100).map(message))),
        Sought::Item(id) => {
            let at = id.strip_prefix("msg_")?.parse().ok()?;
            Some(Box::new(std::iter::once(message(at))))
        }
    }
}

fn store<'a>() -> ResponseStore<'a> {
    ResponseStore { find: &earlier, keep: Box::new(drop), clock: || 0 }
}

/// Every endpoint that decodes a body to questions: its fields but for the conversation, and the name of that.
const ENDPOINTS: &[(&str, Decode, &str, &str)] = &[
    ("chat", |body| chat::decode(body, &stamp()), r#"{"model":"m","stream":true}"#, "messages"),
    (
        "messages",
        |body| messages::decode(body, &stamp()),
        r#"{"model":"m","max_tokens":9,"stream":true}"#,
        "messages",
    ),
    (
        "responses",
        |body| responses::decode(body, &stamp(), store()),
        r#"{"model":"m","stream":true}"#,
        "input",
    ),
    ("compact", |body| responses::compact(body, &stamp(), store()), r#"{"model":"m"}"#, "input"),
    ("ollama", |body| ollama::decode_chat(body, &stamp(), Instant::now), r#"{"model":"m"}"#, "messages"),
    ("generate", |body| ollama::decode_generate(body, &stamp(), Instant::now), r#"{"model":"m"}"#, "prompt"),
    ("completions", |body| completions::decode(body, &stamp()), r#"{"model":"m","stream":true}"#, "prompt"),
];

/// Everything that happens to a question before it is sent.
fn prepared(mut chat: ChatRequest) {
    fit_parameters(&mut chat, None);
    name_results(&mut chat.messages);
    if check_tool_turns(&chat.messages).is_err() {
        return;
    }
    for part in chat.messages.iter_mut().flat_map(|message| &mut message.parts) {
        if let Part::File(source) = part {
            let url = "https://pfst.cf2.poecdn.net/base/image/x".to_owned();
            *source = FileSource::Attached(Attachment { url, ..Attachment::default() });
        }
    }
    unique_call_ids(&mut chat.messages);
    results_behind_calls(&mut chat.messages);
    to_user_turns(&mut chat.messages);
    pictures_into_user_turns(&mut chat.messages);
    format::instruct(&mut chat);
    prompt_tokens(&chat, str::len);
    count::tokens(&chat, str::len);
    encode_query(&chat).expect("a query");
    tools_into_prompt(&mut chat);
    insist_on_call(&mut chat);
    format::insist_on_json(&mut chat, "answer", "fault");
    encode_query(&chat).expect("a query");
}

fn asked(decode: Decode, body: &[u8]) {
    if json_limits::check_request(body).is_err() {
        return;
    }
    if let Ok(mut decoded) = decode(body) {
        let choices = decoded.chats.iter().map(|chat| chat.choices).sum();
        decoded.chats.into_iter().for_each(prepared);
        decoded.encoder.whole(&vec![Reply::default(); choices]);
    }
}

fn list(units: usize, item: impl Fn(usize) -> Value) -> Value {
    (0..units).map(item).collect()
}

fn flat(items: Vec<Vec<Value>>) -> Value {
    items.into_iter().flatten().collect()
}

/// The conversation, and other fields, by the number of units; for the dialects in whose form they are.
type Row = (&'static str, &'static [&'static str], fn(usize) -> (Value, Value));

const ALL: &[&str] = &["chat", "messages", "responses", "compact", "ollama"];
const TEXT: &[&str] = &["generate", "completions"];

fn user(content: impl Into<Value>) -> Value {
    json!({"role": "user", "content": content.into()})
}

const ROWS: &[Row] = &[
    ("turns", ALL, |n| {
        (
            list(n, |at| {
                let role = ["user", "assistant"][at % 2];
                json!({"role": role, "content": "x"})
            }),
            json!({}),
        )
    }),
    ("turns of one speaker", ALL, |n| (list(n, |_| user("x")), json!({}))),
    ("system turns", ALL, |n| (list(n, |_| json!({"role": "system", "content": "x"})), json!({}))),
    ("a long text", ALL, |n| (json!([user("word ".repeat(n))]), json!({}))),
    ("parts", ALL, |n| (json!([user(list(n, |_| json!({"type": "text", "text": "x"})))]), json!({}))),
    ("input parts", ALL, |n| {
        (json!([user(list(n, |_| json!({"type": "input_text", "text": "x"})))]), json!({}))
    }),
    ("pictures", ALL, |n| {
        let url = |at| format!("https://x.org/{at}.png");
        let part = |at: usize| json!({"type": "image_url", "image_url": {"url": url(at)}});
        (json!([user(list(n, part))]), json!({}))
    }),
    ("pictures in turns", ALL, |n| {
        let part =
            |at: usize| json!({"type": "image_url", "image_url": {"url": format!("https://x.org/{at}.png")}});
        let turn = |at: usize| user(json!([part(at)]));
        (list(n, turn), json!({}))
    }),
    ("Anthropic's pictures", &["messages"], |n| {
        let source = |at: usize| json!({"type": "url", "url": format!("https://x.org/{at}.png")});
        (list(n, |at| user(json!([{"type": "image", "source": source(at)}]))), json!({}))
    }),
    ("links of the bot", ALL, |n| {
        let said = repeated("", "![x](https://pfst.cf2.poecdn.net/base/image/#.png)\n", n);
        (json!([user("x"), {"role": "assistant", "content": said}, user("y")]), json!({}))
    }),
    ("links in turns", ALL, |n| {
        let said = |at: usize| format!("![x](https://pfst.cf2.poecdn.net/base/image/{at}.png)");
        let turn = |at: usize| vec![user("x"), json!({"role": "assistant", "content": said(at)})];
        (flat((0..n / 2).map(turn).chain([vec![user("y")]]).collect()), json!({}))
    }),
    ("calls and results", &["chat", "ollama"], |n| {
        let call = |at: usize| json!({"id": format!("c{at}"), "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let turn = |at: usize| {
            vec![
                json!({"role": "assistant", "tool_calls": [call(at)]}),
                json!({"role": "tool", "tool_call_id": format!("c{at}"), "content": "1"}),
            ]
        };
        (flat((0..n / 2).map(turn).collect()), json!({}))
    }),
    ("calls of one id", &["chat"], |n| {
        let call = |_| json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let result = |_| json!({"role": "tool", "tool_call_id": "c", "content": "1"});
        (
            flat(vec![
                vec![json!({"role": "assistant", "tool_calls": list(n, call)})],
                (0..n).map(result).collect(),
            ]),
            json!({}),
        )
    }),
    ("calls and results without ids", &["chat", "ollama"], |n| {
        let call = |at: usize| json!({"type": "function", "function": {"name": format!("f{}", at % 7), "arguments": "{}"}});
        let result = |at: usize| json!({"role": "tool", "name": format!("f{}", at % 3), "content": "1"});
        (
            flat(vec![
                vec![json!({"role": "assistant", "tool_calls": list(n, call)})],
                (0..n).rev().map(result).collect(),
            ]),
            json!({}),
        )
    }),
    ("results of the last call first", &["chat"], |n| {
        let call = |at: usize| json!({"id": format!("c{at}"), "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let result = |at: usize| json!({"role": "tool", "tool_call_id": format!("c{at}"), "content": "1"});
        (
            flat(vec![
                vec![json!({"role": "assistant", "tool_calls": list(n, call)})],
                (0..n).rev().map(result).collect(),
            ]),
            json!({}),
        )
    }),
    ("arguments", &["chat"], |n| {
        let arguments: serde_json::Map<_, _> = (0..n).map(|at| (format!("p{at}"), json!(1))).collect();
        let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": Value::Object(arguments).to_string()}});
        let turns = json!([{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "1"}]);
        let tool = json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
        (turns, json!({"tools": [tool]}))
    }),
    ("old functions", &["chat"], |n| {
        let turn = |_| {
            vec![
                json!({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}),
                json!({"role": "function", "name": "f", "content": "1"}),
            ]
        };
        (flat((0..n / 2).map(turn).collect()), json!({}))
    }),
    ("Anthropic's calls", &["messages"], |n| {
        let turn = |at: usize| {
            vec![
                json!({"role": "assistant", "content": [{"type": "tool_use", "id": format!("c{at}"), "name": "f", "input": {}}]}),
                user(json!([{"type": "tool_result", "tool_use_id": format!("c{at}"), "content": "1"}])),
            ]
        };
        (flat((0..n / 2).map(turn).collect()), json!({}))
    }),
    ("Anthropic's calls in one turn", &["messages"], |n| {
        let call = |at: usize| json!({"type": "tool_use", "id": format!("c{at}"), "name": "f", "input": {}});
        let result =
            |at: usize| json!({"type": "tool_result", "tool_use_id": format!("c{at}"), "content": "1"});
        (json!([{"role": "assistant", "content": list(n, call)}, user(list(n, result))]), json!({}))
    }),
    ("calls of Responses", &["responses", "compact"], |n| {
        let turn = |at: usize| {
            vec![
                json!({"type": "function_call", "call_id": format!("c{at}"), "name": "f", "arguments": "{}"}),
                json!({"type": "function_call_output", "call_id": format!("c{at}"), "output": "1"}),
            ]
        };
        (flat((0..n / 2).map(turn).collect()), json!({}))
    }),
    ("all calls of Responses first", &["responses"], |n| {
        let call = |at: usize| json!({"type": "function_call", "call_id": format!("c{at}"), "name": "f", "arguments": "{}"});
        let result =
            |at: usize| json!({"type": "function_call_output", "call_id": format!("c{at}"), "output": "1"});
        (flat(vec![(0..n).map(call).collect(), (0..n).rev().map(result).collect()]), json!({}))
    }),
    ("references", &["responses", "compact"], |n| {
        (list(n, |at| json!({"type": "item_reference", "id": format!("msg_{at}")})), json!({}))
    }),
    ("one reference again and again", &["responses"], |n| {
        (
            list(n, |_| json!({"type": "item_reference", "id": "msg_7"})),
            json!({"previous_response_id": "resp_1"}),
        )
    }),
    ("thoughts", &["responses"], |n| {
        (
            list(
                n,
                |at| json!({"type": "reasoning", "id": format!("rs_{at}"), "summary": [{"type": "summary_text", "text": "x"}]}),
            ),
            json!({}),
        )
    }),
    ("thoughts", &["messages"], |n| {
        (
            json!([user("x"), {"role": "assistant", "content": list(n, |_| json!({"type": "thinking", "thinking": "x", "signature": "s"}))}, user("x")]),
            json!({}),
        )
    }),
    ("items of an unknown kind", &["responses", "compact"], |n| {
        (list(n, |at| json!({"type": "x", "id": at, "y": {}})), json!({}))
    }),
    ("blocks of an unknown kind", &["chat", "messages"], |n| {
        (json!([user(list(n, |at| json!({"type": "x", "y": at})))]), json!({}))
    }),
    ("tools", &["chat", "ollama"], |n| {
        let tool = |at: usize| json!({"type": "function", "function": {"name": format!("f{at}"), "parameters": {"type": "object"}}});
        (json!([user("x")]), json!({"tools": list(n, tool)}))
    }),
    ("tools of one name", &["chat"], |n| {
        (
            json!([user("x")]),
            json!({"tools": list(n, |_| json!({"type": "function", "function": {"name": "f"}}))}),
        )
    }),
    ("Anthropic's tools", &["messages"], |n| {
        (
            json!([user("x")]),
            json!({"tools": list(n, |at| json!({"name": format!("f{at}"), "input_schema": {}}))}),
        )
    }),
    ("tools of Responses", &["responses"], |n| {
        let tool = |at: usize| json!({"type": "function", "name": format!("f{at}"), "parameters": {}});
        (json!([user("x")]), json!({"tools": list(n, tool)}))
    }),
    ("namespaces", &["responses"], |n| {
        let tool = |at: usize| json!({"type": "function", "name": format!("f{at}"), "parameters": {}});
        let space = |at: usize| json!({"type": "namespace", "name": format!("n{at}"), "tools": [tool(at)]});
        (json!([user("x")]), json!({"tools": list(n, space)}))
    }),
    ("custom tools", &["responses", "chat"], |n| {
        (
            json!([user("x")]),
            json!({"tools": list(n, |at| json!({"type": "custom", "name": format!("f{at}"), "custom": {"name": format!("f{at}")}}))}),
        )
    }),
    ("a schema", &["chat"], |n| {
        let members: serde_json::Map<_, _> =
            (0..n).map(|at| (format!("p{at}"), json!({"type": "integer"}))).collect();
        let schema = json!({"type": "object", "properties": members});
        (
            json!([user("x")]),
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}),
        )
    }),
    ("stop texts", &["chat", "messages"], |n| {
        let stops = list(n, |at| json!(format!("s{at}")));
        (json!([user("x")]), json!({"stop": stops, "stop_sequences": stops}))
    }),
    ("unknown fields", ALL, |n| {
        (json!([user("x")]), Value::Object((0..n).map(|at| (format!("x{at}"), json!(at))).collect()))
    }),
    ("metadata", ALL, |n| {
        (
            json!([user("x")]),
            json!({"metadata": Value::Object((0..n).map(|at| (format!("x{at}"), json!("y"))).collect())}),
        )
    }),
    ("logit_bias", &["chat"], |n| {
        (
            json!([user("x")]),
            json!({"logit_bias": Value::Object((0..n).map(|at| (at.to_string(), json!(1))).collect())}),
        )
    }),
    ("a long name", ALL, |n| (json!([user("x")]), json!({"model": "a/".repeat(n)}))),
    ("a file in base64", ALL, |n| {
        let url = format!("data:image/png;base64,{}", "QUJD".repeat(n));
        (json!([user(json!([{"type": "image_url", "image_url": {"url": url}}]))]), json!({}))
    }),
    ("prompts", TEXT, |n| (list(n, |_| json!("x")), json!({}))),
    ("a long prompt", TEXT, |n| (json!("word ".repeat(n)), json!({}))),
    ("a long suffix", TEXT, |n| {
        (json!("x"), json!({"suffix": "word ".repeat(n), "prompt": "<fim>".repeat(n)}))
    }),
    ("tokens as a prompt", TEXT, |n| (list(n, |at| json!(at)), json!({}))),
];

fn body(fields: &str, name: &str, conversation: Value, more: Value) -> Vec<u8> {
    let mut body: Value = serde_json::from_str(fields).expect("an object");
    body[name] = conversation;
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body.to_string().into_bytes()
}

#[test]
fn any_request_of_every_dialect() {
    let mut cases = Cases::default();
    let mut met = BTreeSet::new();
    for (name, dialects, row) in ROWS {
        for (dialect, decode, fields, conversation) in
            ENDPOINTS.iter().filter(|row| dialects.contains(&row.0))
        {
            met.insert(dialect);
            cases.check(&format!("{dialect}: {name}"), &|units| {
                let (messages, more) = row(units);
                let body = body(fields, conversation, messages, more);
                Box::new(move || asked(*decode, &body))
            });
        }
    }
    assert_eq!(met.len(), ENDPOINTS.len());
}

/// The same in single functions, which the limits on a request's parts do not protect.
#[test]
fn any_request_through_its_functions() {
    let mut cases = Cases::default();
    for (name, dialects, row) in ROWS {
        let Some((dialect, decode, fields, conversation)) =
            ENDPOINTS.iter().find(|row| dialects.contains(&row.0))
        else {
            continue;
        };
        let input = |units: usize| {
            let (messages, more) = row(units);
            body(fields, conversation, messages, more)
        };
        cases.check(&format!("{dialect} decoded: {name}"), &|units| {
            let body = input(units);
            Box::new(move || drop(decode(&body)))
        });
        cases.check(&format!("{dialect} prepared: {name}"), &|units| {
            let chats = decode(&input(units)).map(|decoded| decoded.chats).unwrap_or_default();
            Box::new(move || chats.into_iter().for_each(prepared))
        });
        cases.check(&format!("{dialect} natively: {name}"), &|units| {
            let body = input(units);
            Box::new(move || natively(&body))
        });
    }
}

fn is_thought(id: &str) -> bool {
    id.starts_with("rs_")
}

fn natively(body: &[u8]) {
    let marks = native::Marks { signature: "s", seal: "seal", is_thought };
    for endpoint in [NativeEndpoint::Chat, NativeEndpoint::Messages, NativeEndpoint::Responses] {
        native::ours(endpoint, body, &marks);
        native::unmarked(endpoint, body, &marks);
        let names = native::names(body);
        native::without(body.to_vec(), &names[..names.len().min(10)]);
    }
}

#[test]
fn small_requests_of_any_size() {
    let mut cases = Cases::default();
    let rows: [(&str, fn(&str)); 4] = [
        ("speech", |text| {
            drop(speech::decode(&body("{}", "input", text.into(), json!({"model": "m", "voice": text}))))
        }),
        ("images", |text| {
            drop(images::decode_generation(&body(
                "{}",
                "prompt",
                text.into(),
                json!({"model": "m", "size": text}),
            )))
        }),
        ("edit", |text| {
            let form =
                format!("--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n{text}\r\n--b--\r\n");
            drop(images::decode_edit("multipart/form-data; boundary=b", form.as_bytes()));
        }),
        ("show", |text| drop(ollama::decode_show(&body("{}", "model", text.into(), json!({}))))),
    ];
    for (name, function) in rows {
        for unit in ["x", "word ", "\r\n", "\r\n--", "1024x"] {
            cases.check(&format!("{name} of {unit:?}"), &|units| {
                let text = unit.repeat(units);
                Box::new(move || function(&text))
            });
        }
    }
    cases.check("the list of models", &|units| {
        let raw = json!({"data": list(units / 4, |at| json!({"id": format!("m{at}"), "parameters": [{"name": "n", "schema": {}}]}))});
        let raw = raw.to_string();
        Box::new(move || drop(parse_catalog(raw.as_bytes())))
    });
    cases.check("a page of the list", &|units| {
        let query = (0..units).map(|at| (format!("x{at}"), "y".to_owned()));
        Box::new(move || drop(catalog::Page::read(query)))
    });
}
