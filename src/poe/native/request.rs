//! Adapts a client's request to one of Poe's endpoints: the same bytes except for the bot's name, fields that the endpoint
//! refuses, and settings by the names of the endpoint.
//!
//! Poe's prompt cache compares bytes, so everything that can stay is left as it is: a request that needs no
//! change is sent as it came, and equal requests stay equal.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::json::{Edit, Field, Fields, quoted};
use crate::error::{Error, Kind, Result};
use crate::pipeline::{ChatRequest, FileSource, Format, NativeEndpoint, Part, Reasoning};
use crate::poe::catalog::Entry;
use crate::poe::parameters;

/// Fields that the endpoint takes for every model; it refuses others unless the model's entry declares them. Messages has no
/// such list: Poe hands its requests on as they are.
fn fields(endpoint: NativeEndpoint) -> Option<&'static [&'static str]> {
    match endpoint {
        NativeEndpoint::Chat => Some(&[
            "model",
            "messages",
            "stream",
            "stream_options",
            "temperature",
            "top_p",
            "max_tokens",
            "max_completion_tokens",
            "stop",
            "n",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
        ]),
        NativeEndpoint::Responses => Some(&[
            "model",
            "input",
            "instructions",
            "stream",
            "stream_options",
            "temperature",
            "top_p",
            "top_logprobs",
            "max_output_tokens",
            "max_tool_calls",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "reasoning",
            "text",
            "include",
            "truncation",
            "store",
            "background",
            "metadata",
            "previous_response_id",
            "conversation",
            "prompt",
            "prompt_cache_key",
            "prompt_cache_retention",
            "safety_identifier",
            "service_tier",
            "user",
        ]),
        NativeEndpoint::Messages => None,
    }
}

/// Fields that change nothing in what is answered: for accounts, caches and statistics.
const HINTS: &[&str] = &[
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "user",
    "service_tier",
    "client_metadata",
    "metadata",
    "diagnostics",
];
/// Fields of Messages that count for the answer. What is none of them is news of Anthropic's, which its clients send in
/// the hope that it is understood.
const MEANT: &[&str] = &[
    "model",
    "messages",
    "system",
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "context_management",
    "cache_control",
    "mcp_servers",
    "container",
];
/// Fields of Chat Completions by which clients say how hard to think, each in its own way.
const REASONING_FIELDS: &[&str] =
    &["reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget", "google"];
/// Parameters of models that an effort behind the model's name takes the place of.
const EFFORTS: &[&str] =
    &["reasoning_effort", "output_effort", "thinking_level", "thinking_budget", "enable_thinking"];
/// Anthropic's least budget of thought.
const LEAST_BUDGET: u64 = 1024;

/// All that is known of a request which is to go through a native endpoint.
#[derive(Debug, Clone, Copy)]
pub struct NativeRequest<'a> {
    /// The request as decoded.
    pub chat: &'a ChatRequest,
    /// The bot's entry in Poe's list.
    pub entry: &'a Entry,
    /// The effort that stood behind the model's name.
    pub effort: Option<&'a str>,
    /// What models.yaml sends along, under Poe's names.
    pub defaults: &'a Map<String, Value>,
}

/// What an endpoint is known to leave out or to refuse, though it can be had without it.
#[derive(Debug, PartialEq, Eq)]
pub struct MissingFeature {
    /// The field of the request.
    pub field: &'static str,
    /// What the endpoint does with it.
    pub why: &'static str,
    /// Whether only this server can answer such a request.
    pub is_ours: bool,
}

/// What `endpoint` lacks for this request.
pub fn missing_feature(
    endpoint: NativeEndpoint,
    body: &[u8],
    native_request: &NativeRequest<'_>,
) -> Option<MissingFeature> {
    let chat = native_request.chat;
    let given = |name: &str| has(body, name) && native_request.entry.parameter(name).is_none();
    let (field, why) = match endpoint {
        NativeEndpoint::Chat if !matches!(chat.format, Format::Text) && given("response_format") => {
            ("response_format", "it is ignored")
        }
        NativeEndpoint::Chat if given("functions") => ("functions", "it accepts tools, not functions"),
        NativeEndpoint::Chat if chat.choices > 1 => ("n", "it supports one choice only"),
        NativeEndpoint::Chat if chat.sampling.logit_bias.is_some() => ("logit_bias", "it is ignored"),
        NativeEndpoint::Chat if has_sound(chat) => ("messages", "it ignores sound and video"),
        NativeEndpoint::Responses if given("previous_response_id") => {
            ("previous_response_id", "it stores no responses")
        }
        _ => return None,
    };
    Some(MissingFeature { field, why, is_ours: field == "previous_response_id" })
}

fn has(body: &[u8], name: &str) -> bool {
    let fields = std::str::from_utf8(body).ok().and_then(Fields::read);
    fields.is_some_and(|fields| fields.get(name).is_some_and(|field| !field.is_null()))
}

fn has_sound(chat: &ChatRequest) -> bool {
    let parts = chat.messages.iter().flat_map(|message| &message.parts);
    parts.into_iter().any(|part| match part {
        Part::File(FileSource::Data { content_type, .. }) => {
            content_type.starts_with("audio/") || content_type.starts_with("video/")
        }
        _ => false,
    })
}

/// The names of the request's fields.
pub fn names(body: &[u8]) -> Vec<String> {
    let fields = std::str::from_utf8(body).ok().and_then(Fields::read);
    fields.map_or_else(Vec::new, |fields| fields.names().map(str::to_owned).collect())
}

/// Whether the answer is the same without the field `name`, so that `endpoint` can be asked without it.
pub fn is_hint(endpoint: NativeEndpoint, name: &str) -> bool {
    HINTS.contains(&name) || (endpoint == NativeEndpoint::Messages && !MEANT.contains(&name))
}

/// `body` without these fields; every other byte stays.
pub fn without(body: Vec<u8>, cut: &[String]) -> Vec<u8> {
    let fields = std::str::from_utf8(&body).ok().and_then(Fields::read);
    let Some(fields) = fields.filter(|fields| fields.names().any(|name| cut.iter().any(|one| one == name)))
    else {
        return body;
    };
    let edit = |field: &Field<'_>| match cut.iter().any(|one| *one == field.name) {
        true => Edit::Cut,
        false => Edit::Keep,
    };
    fields.edited(edit, &[]).into_bytes()
}

/// The body as `endpoint` takes it.
pub fn rewrite<'b>(
    endpoint: NativeEndpoint,
    body: &'b [u8],
    native_request: &NativeRequest<'_>,
) -> Result<Cow<'b, [u8]>> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Error::new(Kind::InvalidRequest, "the body is not valid JSON: it is not UTF-8"))?;
    let fields = Fields::read(text)
        .ok_or_else(|| Error::new(Kind::InvalidRequest, "the body is not valid JSON: it is no object"))?;
    let changes = match endpoint {
        NativeEndpoint::Chat => chat(&fields, native_request),
        NativeEndpoint::Responses => responses(&fields, native_request),
        NativeEndpoint::Messages => messages(&fields, native_request),
    };
    let edit = |field: &Field<'_>| match field.name.as_ref() {
        "model" if field.text().as_deref() != Some(&native_request.entry.id) => {
            Edit::Set(quoted(&native_request.entry.id))
        }
        name => {
            changes.set.iter().find(|(other, _)| other == name).map_or(Edit::Keep, |(_, edit)| edit.clone())
        }
    };
    if changes.added.is_empty() && fields.all().iter().all(|field| edit(field) == Edit::Keep) {
        return Ok(Cow::Borrowed(body));
    }
    Ok(Cow::Owned(fields.edited(edit, &changes.added).into_bytes()))
}

/// What changes beside the model's name.
#[derive(Debug, Default)]
struct Changes {
    set: Vec<(String, Edit)>,
    added: Vec<(String, String)>,
}

impl Changes {
    fn cut(&mut self, name: &str) {
        log::debug!("{name} dropped: Poe's endpoint does not accept it for this model");
        self.set.push((name.to_owned(), Edit::Cut));
    }

    /// Leaves out what `endpoint` does not take.
    fn drop_unknown_fields(&mut self, endpoint: NativeEndpoint, fields: &Fields<'_>, entry: &Entry) {
        let Some(known) = self::fields(endpoint) else { return };
        for name in fields.names() {
            if !known.contains(&name) && entry.parameter(name).is_none() {
                self.cut(name);
            }
        }
    }

    fn is_cut(&self, name: &str) -> bool {
        self.set.iter().any(|(other, edit)| other == name && *edit == Edit::Cut)
    }

    /// Puts a field in that is not there, or that is there and counts less.
    fn put(&mut self, fields: &Fields<'_>, name: &str, value: &Value) {
        self.set.retain(|(other, _)| other != name);
        match fields.get(name) {
            Some(_) => self.set.push((name.to_owned(), Edit::Set(value.to_string()))),
            None => self.added.push((name.to_owned(), value.to_string())),
        }
    }
}

/// The effort and the parameters of models.yaml, by the model's own names.
fn own_words(native_request: &NativeRequest<'_>, mut reasoning_fields: ChatRequest) -> Map<String, Value> {
    if let Some(effort) = native_request.effort {
        reasoning_fields.reasoning.get_or_insert_with(Reasoning::default).effort = Some(effort.to_owned());
    }
    parameters::fit(&mut reasoning_fields, Some(native_request.entry));
    reasoning_fields.parameters
}

fn chat(fields: &Fields<'_>, native_request: &NativeRequest<'_>) -> Changes {
    let mut changes = Changes::default();
    let (chat, entry) = (native_request.chat, native_request.entry);
    changes.drop_unknown_fields(NativeEndpoint::Chat, fields, entry);
    if native_request.effort.is_some() {
        let said = fields.names().filter(|name| EFFORTS.contains(name) && !changes.is_cut(name));
        let said: Vec<String> = said.map(str::to_owned).collect();
        said.iter().for_each(|name| changes.cut(name));
    }
    let is_lost = REASONING_FIELDS.iter().any(|name| changes.is_cut(name));
    let reasoning_fields = ChatRequest {
        reasoning: chat.reasoning.clone().filter(|_| is_lost || fields.get("extra_body").is_some()),
        parameters: chat.parameters.clone(),
        hints: chat.hints.clone(),
        ..ChatRequest::default()
    };
    let mut added = own_words(native_request, reasoning_fields);
    for (name, value) in native_request.defaults {
        added.entry(name).or_insert_with(|| value.clone());
    }
    for (name, value) in added {
        let is_there = fields.get(&name).is_some_and(|field| !field.is_null()) && !changes.is_cut(&name);
        if !is_there {
            changes.put(fields, &name, &value);
        }
    }
    changes
}

fn responses(fields: &Fields<'_>, native_request: &NativeRequest<'_>) -> Changes {
    let mut changes = Changes::default();
    changes.drop_unknown_fields(NativeEndpoint::Responses, fields, native_request.entry);
    instruct(fields, &mut changes);
    let default = |name: &str| native_request.defaults.get(name);
    let effort = native_request.effort.map(Value::from);
    let is_said = fields.get("reasoning").is_some_and(|field| !field.is_null());
    let effort = effort.or_else(|| default("reasoning_effort").filter(|_| !is_said).cloned());
    if let Some(effort) = effort {
        let mut reasoning = object(fields, "reasoning");
        reasoning.insert("effort".into(), effort);
        changes.put(fields, "reasoning", &reasoning.into());
    }
    let mut text = object(fields, "text");
    if let Some(verbosity) = default("verbosity").filter(|_| !text.contains_key("verbosity")) {
        text.insert("verbosity".into(), verbosity.clone());
        changes.put(fields, "text", &text.into());
    }
    changes
}

/// The endpoint ignores `instructions`, so they become the first turn of the input.
fn instruct(fields: &Fields<'_>, changes: &mut Changes) {
    let Some(instructions) = fields.get("instructions").filter(|field| !field.is_null()) else { return };
    let Some(input) = fields.get("input").map(|field| field.value) else { return };
    let first = format!("{{\"role\":\"system\",\"content\":{}}}", instructions.value);
    let input = match input.strip_prefix('[') {
        Some(rest) if rest.trim_start() == "]" => format!("[{first}]"),
        Some(rest) => format!("[{first},{rest}"),
        None => format!("[{first},{{\"role\":\"user\",\"content\":{input}}}]"),
    };
    changes.set.push(("instructions".into(), Edit::Cut));
    changes.set.push(("input".into(), Edit::Set(input)));
}

fn messages(fields: &Fields<'_>, native_request: &NativeRequest<'_>) -> Changes {
    let mut changes = Changes::default();
    let is_said = |name: &str| fields.get(name).is_some_and(|field| !field.is_null());
    let mut own = own_words(native_request, ChatRequest::default());
    let by_name = !own.is_empty();
    for name in ["output_effort", "thinking_budget"] {
        // a client that says how hard to think counts more than models.yaml, and less than the name that it asks for
        let default = native_request.defaults.get(name).filter(|_| !by_name);
        if let Some(value) = default.filter(|_| !is_said("thinking") && !is_said("output_config")) {
            own.insert(name.into(), value.clone());
        }
    }
    let budget = own.get("thinking_budget").and_then(Value::as_u64);
    match own.get("output_effort").and_then(Value::as_str) {
        Some("none") => changes.put(fields, "thinking", &json!({"type": "disabled"})),
        Some(effort) => {
            let mut config = object(fields, "output_config");
            config.insert("effort".into(), effort.into());
            changes.put(fields, "output_config", &config.into());
        }
        None => {}
    }
    let most = fields.number("max_tokens").unwrap_or(0).saturating_sub(1);
    match budget.map(|budget| budget.min(most)) {
        Some(0) => changes.put(fields, "thinking", &json!({"type": "disabled"})),
        Some(budget) if budget >= LEAST_BUDGET => {
            changes.put(fields, "thinking", &json!({"type": "enabled", "budget_tokens": budget}));
        }
        Some(_) => log::debug!("thinking dropped: max_tokens is too small for it"),
        None => {}
    }
    changes
}

/// The object that is the value of `name`, or an empty one.
fn object(fields: &Fields<'_>, name: &str) -> Map<String, Value> {
    fields.get(name).and_then(|field| serde_json::from_str(field.value).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let parameters = json!([
            {"name": "web_search", "schema": {"type": "boolean"}},
            {"name": "reasoning_effort", "schema": {"enum": ["low", "medium", "high"]}}]);
        Entry {
            id: "Bot".into(),
            parameters: serde_json::from_value(parameters).unwrap(),
            ..Entry::default()
        }
    }

    fn claude() -> Entry {
        let parameters = json!([{"name": "thinking_budget", "schema": {"type": "number", "maximum": 63999}}]);
        Entry {
            id: "Bot".into(),
            parameters: serde_json::from_value(parameters).unwrap(),
            ..Entry::default()
        }
    }

    struct Case {
        chat: ChatRequest,
        entry: Entry,
        effort: Option<&'static str>,
        defaults: Value,
    }

    impl Default for Case {
        fn default() -> Case {
            Case { chat: ChatRequest::default(), entry: entry(), effort: None, defaults: json!({}) }
        }
    }

    impl Case {
        fn sent(&self, endpoint: NativeEndpoint, body: &str) -> String {
            let defaults = self.defaults.as_object().unwrap();
            let native_request =
                NativeRequest { chat: &self.chat, entry: &self.entry, effort: self.effort, defaults };
            let sent = rewrite(endpoint, body.as_bytes(), &native_request).unwrap();
            assert_eq!(sent, rewrite(endpoint, body.as_bytes(), &native_request).unwrap(), "twice the same");
            String::from_utf8(sent.into_owned()).unwrap()
        }
    }

    #[test]
    fn a_request_that_needs_no_change_has_none() {
        let rows = [
            (
                NativeEndpoint::Chat,
                "{ \"messages\" : [ {\"role\":\"user\", \"content\":\"\\u00e9 \"} ],\n\"model\":\"Bot\", \"web_search\":true, \"reasoning_effort\":\"low\"}\n",
            ),
            (
                NativeEndpoint::Responses,
                "{\"model\": \"B\\u006ft\", \"input\": [ ], \"reasoning\": {\"effort\":\"low\"}}",
            ),
            (
                NativeEndpoint::Messages,
                "{\"model\":\"Bot\",\"thread_of_tomorrow\":1,\"max_tokens\":1.0,\"messages\":[]}",
            ),
        ];
        for (endpoint, body) in rows {
            assert_eq!(Case::default().sent(endpoint, body), body);
        }
    }

    #[test]
    fn the_bots_name_takes_the_place_of_the_clients() {
        for endpoint in NativeEndpoint::ALL {
            let sent = Case::default().sent(endpoint, "{ \"model\": \"mine\" ,\"stream\":true}");
            assert_eq!(sent, "{ \"model\": \"Bot\" ,\"stream\":true}");
        }
    }

    #[test]
    fn fields_that_the_endpoint_refuses_are_cut() {
        let body = r#"{"seed":1,"model":"Bot","messages":[],"store":true,"web_search":true,"user":"me"}"#;
        assert_eq!(
            Case::default().sent(NativeEndpoint::Chat, body),
            r#"{"model":"Bot","messages":[],"web_search":true}"#
        );
        let body = r#"{"model":"Bot","input":"x","client_metadata":{"a":1},"store":false}"#;
        assert_eq!(
            Case::default().sent(NativeEndpoint::Responses, body),
            r#"{"model":"Bot","input":"x","store":false}"#
        );
    }

    #[test]
    fn hints_go_and_every_other_byte_stays() {
        let body = r#"{ "user":"me" , "model":"Bot", "prompt_cache_key": "k","input":"x" }"#;
        let cut = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
            String::from_utf8(without(body.into(), &names)).unwrap()
        };
        assert_eq!(cut(&["seed"]), body);
        assert_eq!(cut(&["prompt_cache_key", "user"]), r#"{ "model":"Bot","input":"x" }"#);
        assert!(
            is_hint(NativeEndpoint::Responses, "prompt_cache_key")
                && is_hint(NativeEndpoint::Messages, "of_tomorrow")
        );
        assert!(
            !is_hint(NativeEndpoint::Responses, "of_tomorrow") && !is_hint(NativeEndpoint::Messages, "tools")
        );
    }

    #[test]
    fn reasoning_that_would_be_cut_uses_the_models_parameters() {
        let reasoning = Some(Reasoning { budget: Some(20_000), ..Reasoning::default() });
        let case = Case { chat: ChatRequest { reasoning, ..ChatRequest::default() }, ..Case::default() };
        let body = r#"{"model":"Bot","thinking":{"type":"enabled","budget_tokens":20000},"messages":[]}"#;
        assert_eq!(
            case.sent(NativeEndpoint::Chat, body),
            r#"{"model":"Bot","messages":[],"reasoning_effort":"medium"}"#
        );
        // said in the model's own words they stay as they are
        let body = r#"{"model":"Bot","reasoning_effort":"minimal","messages":[]}"#;
        assert_eq!(case.sent(NativeEndpoint::Chat, body), body);
    }

    #[test]
    fn fields_of_extra_body_come_up() {
        let chat = ChatRequest {
            parameters: json!({"web_search": true}).as_object().unwrap().clone(),
            ..ChatRequest::default()
        };
        let case = Case { chat, ..Case::default() };
        let body = r#"{"model":"Bot","extra_body":{"web_search":true},"messages":[]}"#;
        assert_eq!(
            case.sent(NativeEndpoint::Chat, body),
            r#"{"model":"Bot","messages":[],"web_search":true}"#
        );
    }

    #[test]
    fn an_effort_suffix_becomes_the_endpoints_field() {
        let case = Case { effort: Some("high"), ..Case::default() };
        let body = r#"{"model":"Bot-high","reasoning_effort":"low","messages":[]}"#;
        assert_eq!(
            case.sent(NativeEndpoint::Chat, body),
            r#"{"model":"Bot","reasoning_effort":"high","messages":[]}"#
        );
        let body = r#"{"model":"Bot-high","reasoning":{"summary":"auto"},"input":"x"}"#;
        let expected = r#"{"model":"Bot","reasoning":{"summary":"auto","effort":"high"},"input":"x"}"#;
        assert_eq!(case.sent(NativeEndpoint::Responses, body), expected);
        let case = Case { effort: Some("low"), entry: claude(), ..Case::default() };
        let body = r#"{"model":"Bot-low","max_tokens":9000,"messages":[]}"#;
        let expected = r#"{"model":"Bot","max_tokens":9000,"messages":[],"thinking":{"type":"enabled","budget_tokens":4096}}"#;
        assert_eq!(case.sent(NativeEndpoint::Messages, body), expected);
        // no more than there is room for
        let body = r#"{"model":"Bot-low","max_tokens":2000,"messages":[]}"#;
        assert!(case.sent(NativeEndpoint::Messages, body).ends_with(r#""budget_tokens":1999}}"#));
        let body = r#"{"model":"Bot-low","max_tokens":500,"messages":[]}"#;
        assert_eq!(
            case.sent(NativeEndpoint::Messages, body),
            r#"{"model":"Bot","max_tokens":500,"messages":[]}"#
        );
    }

    #[test]
    fn defaults_of_models_yaml_are_added_where_the_client_says_nothing() {
        let case =
            Case { defaults: json!({"web_search": true, "reasoning_effort": "low"}), ..Case::default() };
        let body = r#"{"model":"Bot","web_search":false,"messages":[]}"#;
        let expected = r#"{"model":"Bot","web_search":false,"messages":[],"reasoning_effort":"low"}"#;
        assert_eq!(case.sent(NativeEndpoint::Chat, body), expected);
        let expected = r#"{"model":"Bot","input":"x","reasoning":{"effort":"low"}}"#;
        assert_eq!(case.sent(NativeEndpoint::Responses, r#"{"model":"Bot","input":"x"}"#), expected);
        let case = Case { defaults: json!({"thinking_budget": 2048}), entry: claude(), ..Case::default() };
        let said = r#"{"model":"Bot","max_tokens":9000,"thinking":{"type":"disabled"},"messages":[]}"#;
        assert_eq!(case.sent(NativeEndpoint::Messages, said), said);
        let silent = r#"{"model":"Bot","max_tokens":9000,"messages":[]}"#;
        assert!(
            case.sent(NativeEndpoint::Messages, silent)
                .ends_with(r#","thinking":{"type":"enabled","budget_tokens":2048}}"#)
        );
    }

    #[test]
    fn instructions_become_the_first_turn() {
        let rows = [
            (r#""hi""#, r#"[{"role":"system","content":"be \u00e9"},{"role":"user","content":"hi"}]"#),
            (r#"[ {"role":"user"} ]"#, r#"[{"role":"system","content":"be \u00e9"}, {"role":"user"} ]"#),
            ("[ ]", r#"[{"role":"system","content":"be \u00e9"}]"#),
        ];
        for (input, expected) in rows {
            let body = format!(r#"{{"model":"Bot","instructions":"be \u00e9","input":{input}}}"#);
            let expected = format!(r#"{{"model":"Bot","input":{expected}}}"#);
            assert_eq!(Case::default().sent(NativeEndpoint::Responses, &body), expected);
        }
    }

    #[test]
    fn features_missing_at_an_endpoint_are_known() {
        let lacks = |endpoint, chat: ChatRequest, body: &str| {
            let (entry, defaults) = (entry(), Map::new());
            let native_request =
                NativeRequest { chat: &chat, entry: &entry, effort: None, defaults: &defaults };
            missing_feature(endpoint, body.as_bytes(), &native_request)
                .map(|missing_feature| missing_feature.field)
        };
        let json_wanted = || ChatRequest { format: Format::JsonObject, ..ChatRequest::default() };
        assert_eq!(
            lacks(NativeEndpoint::Chat, json_wanted(), r#"{"response_format":{}}"#),
            Some("response_format")
        );
        assert_eq!(lacks(NativeEndpoint::Responses, json_wanted(), r#"{"text":{}}"#), None);
        assert_eq!(
            lacks(NativeEndpoint::Chat, ChatRequest::default(), r#"{"functions":[]}"#),
            Some("functions")
        );
        assert_eq!(
            lacks(NativeEndpoint::Chat, ChatRequest { choices: 2, ..ChatRequest::default() }, "{}"),
            Some("n")
        );
        assert_eq!(
            lacks(NativeEndpoint::Responses, ChatRequest::default(), r#"{"previous_response_id":null}"#),
            None
        );
        let id = r#"{"previous_response_id":"resp_1"}"#;
        assert_eq!(
            lacks(NativeEndpoint::Responses, ChatRequest::default(), id),
            Some("previous_response_id")
        );
    }
}
