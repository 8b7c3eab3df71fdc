//! A request in any dialect: any bytes are rejected with an error or become a query for Poe, in every tool mode.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Instant;

use poe2openai::dialect::responses::{self, Items, Kept, ResponseStore, Sought};
use poe2openai::dialect::{
    DecodedRequest, Dialect, Stamp, chat, completions, count, form, images, messages, ollama, speech,
};
use poe2openai::error::{Error, Kind, Result};
use poe2openai::gateway::attachments::to_user_turns;
use poe2openai::pipeline::json::format;
use poe2openai::pipeline::stages::pictures_into_user_turns;
use poe2openai::pipeline::tools::{
    check_tool_turns, insist_on_call, name_results, tools_into_prompt, unique_call_ids,
};
use poe2openai::pipeline::{
    Attachment, ChatRequest, Event, FileSource, Finish, Part, Reply, ToolCall, ToolXml,
};
use poe2openai::poe::{Entry, encode_query, fit_parameters, parse_catalog};

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::replay::{Answer, fold};

/// Checks one input as a chat request.
pub fn chat_request(body: &[u8]) {
    request(body, chat::decode);
}

/// Checks one input as a request of Anthropic's Messages, to be answered and to be counted.
pub fn messages_request(body: &[u8]) {
    request(body, messages::decode);
    // Anthropic's dialect validates the turns itself, for error messages in its own terms
    let stamp = Stamp { now: 0, make_id: &str::to_owned };
    if let Ok(mut decoded) = messages::decode(body, &stamp) {
        for chat in &mut decoded.chats {
            name_results(&mut chat.messages);
            check_tool_turns(&chat.messages).expect("turns in order");
        }
    }
    match messages::decode_count(body) {
        Ok(chat) => assert!(count::tokens(&chat, |text| text.len()) > 0, "nothing costs nothing"),
        Err(error) => refusal(&error, body),
    }
}

/// Checks one input as a request for legacy completions.
pub fn completions_request(body: &[u8]) {
    request(body, completions::decode);
}

/// Checks one input as a request of either kind to Ollama.
pub fn ollama_request(body: &[u8]) {
    request(body, |body, stamp| ollama::decode_chat(body, stamp, Instant::now));
    request(body, |body, stamp| ollama::decode_generate(body, stamp, Instant::now));
    if let Err(error) = ollama::decode_show(body) {
        refusal(&error, body);
    }
}

/// Checks one input as a request for pictures: in JSON and as a form.
pub fn images_request(body: &[u8]) {
    let form = |body: &[u8]| images::decode_edit("multipart/form-data; boundary=b", body);
    for image_request in
        [images::decode_generation(body), images::decode_edit("application/json", body), form(body)]
    {
        match image_request {
            Ok(image_request) => asked(&[image_request.chat], body),
            Err(error) => refusal(&error, body),
        }
    }
    // the boundary may be anything too
    if let (Ok(content_type), rest) = (std::str::from_utf8(&body[..body.len() / 2]), &body[body.len() / 2..])
        && let Some(Ok(fields)) = form::read(content_type, rest)
    {
        assert!(fields.iter().map(|field| field.content.len()).sum::<usize>() <= rest.len());
    }
}

/// Checks one input as a request for speech.
pub fn speech_request(body: &[u8]) {
    match speech::decode(body) {
        Ok(chat) => asked(&[chat], body),
        Err(error) => refusal(&error, body),
    }
}

/// Checks one input as a request for a response, and its stored part as the start of the next.
pub fn responses_request(body: &[u8]) {
    request(body, |body, stamp| {
        responses::decode(body, stamp, ResponseStore { find: &earlier, keep: Box::new(drop), clock: || 0 })
    });
    let stamp = Stamp { now: 0, make_id: &|prefix| format!("{prefix}2") };
    let kept = Rc::new(RefCell::new(None));
    let response_store = Rc::clone(&kept);
    let keep = Box::new(move |done: Kept| drop(response_store.borrow_mut().replace(done)));
    let Ok(mut question) =
        responses::decode(body, &stamp, ResponseStore { find: &earlier, keep, clock: || 0 })
    else {
        return;
    };
    let names = question.chats.iter().flat_map(|chat| &chat.tools).map(|tool| tool.name.clone());
    let call = |name| ToolCall { id: "c".into(), name, arguments: "{\"input\":\"x\"}".into() };
    let reply = Reply { text: "text".into(), tool_calls: names.map(call).collect(), ..Reply::default() };
    let answer: Value = serde_json::from_slice(&question.encoder.whole(&[reply])).expect("an answer is JSON");
    let Some(kept) = kept.take() else { return };
    let lines = kept.input.split_inclusive(|byte| *byte == b'\n');
    let added: Vec<Value> = lines.map(|line| serde_json::from_slice(line).expect("an item a line")).collect();
    assert!(added.iter().all(|item| item["id"].is_string()), "every item has an id");
    if answer["instructions"].is_array() {
        return; // they are not kept, and a call may stand in them
    }
    let earlier = kept.previous.and_then(|id| earlier(Sought::Conversation(&id)));
    let mut items: Vec<Value> = earlier.into_iter().flatten().chain(added).collect();
    items.extend(answer["output"].as_array().expect("output").iter().cloned());
    let tools = &answer["tools"];
    let next =
        json!({"model": "m", "input": "more", "previous_response_id": "resp_2", "tools": tools}).to_string();
    let find = |_: Sought<'_>| Some(Box::new(items.clone().into_iter()) as Items);
    let response_store = ResponseStore { find: &find, keep: Box::new(drop), clock: || 0 };
    if let Err(error) = responses::decode(next.as_bytes(), &stamp, response_store) {
        panic!("what was kept cannot be gone on from: {error}");
    }
}

/// The stored part of an earlier response.
fn earlier(sought: Sought<'_>) -> Option<Items> {
    let question = json!({"id": "msg_1", "type": "message", "role": "user", "content": "one"});
    let call =
        json!({"id": "fc_1_0", "type": "function_call", "call_id": "c0", "name": "a", "arguments": "{}"});
    let is_kept = matches!(sought, Sought::Conversation("resp_1") | Sought::Item("fc_1_0"));
    is_kept.then(|| Box::new([question, call].into_iter()) as Items)
}

/// Checks one input of a dialect.
fn request(body: &[u8], decode: fn(&[u8], &Stamp<'_>) -> Result<DecodedRequest>) {
    let stamp = Stamp { now: 0, make_id: &|prefix| format!("{prefix}1") };
    match decode(body, &stamp) {
        Ok(question) => {
            asked(&question.chats, body);
            rendered(question);
        }
        Err(error) => refusal(&error, body),
    }
}

/// Every request can be answered, non-streamed and as a stream.
fn rendered(mut question: DecodedRequest) {
    let choices: usize = question.chats.iter().map(|chat| chat.choices).sum();
    let reply = Reply { text: "a".into(), ..Reply::default() };
    let whole = question.encoder.whole(&vec![reply; choices]);
    serde_json::from_slice::<IgnoredAny>(&whole).expect("an answer is JSON");
    let mut out = Vec::new();
    for index in (0..choices).rev() {
        question.encoder.event(index, &Event::Text("a\n".into()), &mut out);
        question.encoder.event(index, &Event::Finish(Finish::default()), &mut out);
    }
    question.encoder.end(&mut out);
    assert!(out.ends_with(b"\n"));
}

/// Checks for the chat requests of one request.
fn asked(chats: &[ChatRequest], body: &[u8]) {
    assert!(chats.iter().map(|chat| chat.choices).sum::<usize>() <= 8);
    for chat in chats {
        assert!(!chat.messages.is_empty() && !chat.model.is_empty() && chat.model.trim() == chat.model);
        assert!((1..=8).contains(&chat.choices) && chat.sampling.stop.len() <= 64);
        for entry in [None, Some(entry())] {
            prepare(chat.clone(), entry, body);
        }
    }
}

/// Runs a request through the request stages.
fn prepare(mut chat: ChatRequest, entry: Option<&Entry>, body: &[u8]) {
    fit_parameters(&mut chat, entry);
    assert!(chat.reasoning.is_none() && chat.hints.is_empty());
    if let Err(error) = check_tool_turns(&chat.messages) {
        return refusal(&error, body);
    }
    chat.messages.iter_mut().flat_map(|message| &mut message.parts).for_each(upload);
    unique_call_ids(&mut chat.messages);
    let ids: Vec<_> = chat.messages.iter().flat_map(|turn| &turn.tool_calls).map(|call| &call.id).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "two calls have one id");
    to_user_turns(&mut chat.messages);
    pictures_into_user_turns(&mut chat.messages);
    format::instruct(&mut chat);
    for value in VALUES {
        let _ = format::check(value, &chat.format);
    }
    encoded(&chat, body);
    let offered = tools_into_prompt(&mut chat);
    let query = encoded(&chat, body);
    for field in ["tools", "tool_choice", "parallel_tool_calls", "tool_calls", "tool_results"] {
        assert!(!query.contains_key(field), "{field} belongs into the prompt");
    }
    for tool in &offered {
        let answer = format!("<invoke name=\"{}\"><parameter name=\"a\">[1]</parameter></invoke>", tool.name);
        let answer = Answer::of(format!("\n{answer}").as_bytes());
        let whole = fold(answer.whole(), ToolXml::new(&offered, || "id".into()));
        assert_eq!(fold(answer.pieces(), ToolXml::new(&offered, || "id".into())), whole);
    }
    insist_on_call(&mut chat);
    format::insist_on_json(&mut chat, "answer", "fault");
    encoded(&chat, body);
}

/// Validates values by the client's schema.
const VALUES: [&str; 4] = ["{}", r#"{"a":{"a":[1,"x",null]},"b":-0.5}"#, "[[],1e300]", "\"a\""];

fn refusal(error: &Error, body: &[u8]) {
    let is_clients =
        matches!(error.kind, Kind::InvalidRequest | Kind::ThreadUnsupported | Kind::PreviousNotFound);
    assert!(is_clients, "{error}");
    for dialect in [Dialect::OpenAi, Dialect::Responses, Dialect::Anthropic, Dialect::Ollama] {
        let answer = dialect.error_answer(error, Some("req_1"));
        serde_json::from_slice::<IgnoredAny>(&answer).expect("an error is JSON");
        proportionate(answer.len(), body);
    }
}

/// Replaces `attach`: files that are not at Poe get an upload.
fn upload(part: &mut Part) {
    let Part::File(source) = part else { return };
    let (url, content_type, name) = match source {
        FileSource::Link { url, name } => (url.clone(), String::new(), name.clone()),
        FileSource::Data { bytes, content_type, name } => {
            assert!(!bytes.is_empty(), "an empty file");
            ("https://pfst.cf2.poecdn.net/base/image/x".into(), content_type.clone(), name.clone())
        }
        FileSource::Attached(_) => unreachable!("no client has attached anything"),
    };
    let file = Attachment { url, content_type, name: name.unwrap_or_default(), inline_ref: None };
    *source = FileSource::Attached(file);
}

fn encoded(chat: &ChatRequest, body: &[u8]) -> BTreeMap<String, IgnoredAny> {
    let query = encode_query(chat).expect("every ask can be written");
    proportionate(query.len(), body);
    let fields: BTreeMap<String, IgnoredAny> = serde_json::from_slice(&query).expect("a query is JSON");
    assert!(fields.contains_key("query"));
    fields
}

fn proportionate(size: usize, body: &[u8]) {
    assert!(size <= (8 << 10) + 32 * body.len(), "{} bytes became {size}", body.len());
}

/// A model with one parameter of each kind.
fn entry() -> &'static Entry {
    static ENTRY: OnceLock<Entry> = OnceLock::new();
    ENTRY.get_or_init(|| {
        let entries = parse_catalog(LIST).expect("the list makes sense");
        entries.into_iter().next().expect("one entry")
    })
}

const LIST: &[u8] = br#"{"data": [{"id": "m", "parameters": [
        {"name": "reasoning_effort", "schema": {"enum": ["low", "high"]}},
        {"name": "thinking_budget", "schema": {"type": "number", "minimum": 9, "maximum": 1}},
        {"name": "enable_thinking", "schema": {"type": "boolean"}},
        {"name": "max_output_tokens", "schema": {"type": "integer", "maximum": 100}},
        {"name": "web_search", "schema": {"type": "boolean"}},
        {"name": "aspect_ratio", "schema": {"enum": ["1:1", 2, null]}},
        {"name": "quality", "schema": {"type": "string"}},
        {"name": "size", "schema": {"enum": ["512*512", "1024x1536", "x", 7]}},
        {"name": "width", "schema": {"type": "number", "maximum": -1}},
        {"name": "height", "schema": {"type": "string", "minimum": 1e300}},
        {"name": "image_size", "schema": {"enum": ["1K", "4K"]}},
        {"name": "voice_id", "schema": {"enum": ["Ada", null]}},
        {"name": "speed", "schema": {"enum": ["0.5", "x"]}},
        {"name": "seed", "schema": {}}]}]}"#;
