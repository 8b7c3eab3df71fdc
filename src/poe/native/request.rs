//! Adapts a client's request to one of Poe's endpoints: the same bytes except for the bot's name, fields that the endpoint
//! refuses, and what the bot protocol would send beside them, in the endpoint's own words.
//!
//! Poe's prompt cache compares bytes, so everything that can stay is left as it is: a request that needs no
//! change is sent as it came, and equal requests stay equal.

use serde_json::{Map, Value, json};

use super::json::{Edit, Field, Fields, quoted};
use crate::error::{Error, Kind, Result};
use crate::pipeline::{ChatRequest, FileSource, Format, NativeEndpoint, Part, Reasoning, Sampling};
use crate::poe::catalog::Entry;
use crate::poe::parameters::{self, Meaning};

/// Fields that the endpoint takes for every model. Chat takes the parameters of the model's entry, too; Messages hands on
/// what is not in its list, which its clients send in the hope that it is understood.
const fn fields(endpoint: NativeEndpoint) -> &'static str {
    match endpoint {
        NativeEndpoint::Chat => {
            "model messages stream stream_options temperature top_p max_tokens max_completion_tokens stop n tools \
             tool_choice parallel_tool_calls"
        }
        NativeEndpoint::Responses => {
            "model input instructions stream stream_options temperature top_p top_logprobs max_output_tokens \
             max_tool_calls tools tool_choice parallel_tool_calls reasoning text include truncation store background \
             metadata previous_response_id conversation prompt prompt_cache_key prompt_cache_retention \
             safety_identifier service_tier user"
        }
        NativeEndpoint::Messages => {
            "model messages system max_tokens stream temperature top_p top_k stop_sequences tools tool_choice thinking \
             output_config output_format context_management cache_control mcp_servers container"
        }
    }
}

/// Fields that change nothing in what is answered: for accounts, caches and statistics.
const HINTS: &str = "prompt_cache_key prompt_cache_retention safety_identifier user service_tier client_metadata metadata \
                     diagnostics";
/// Where clients put parameters of the model.
const ENVELOPES: &str = "extra_body poe";
/// Anthropic's least budget of thought.
const LEAST_BUDGET: u64 = 1024;

fn is_in(list: &str, name: &str) -> bool {
    list.split(' ').any(|known| known == name)
}

/// All that is known of a request which is to go through a native endpoint.
#[derive(Debug, Clone, Copy)]
pub struct NativeRequest<'a> {
    /// The endpoint.
    pub endpoint: NativeEndpoint,
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

/// What the endpoint lacks for this request.
pub fn missing_feature(body: &[u8], native_request: &NativeRequest<'_>) -> Option<MissingFeature> {
    let chat = native_request.chat;
    let given = |name: &str| field(body, name).is_some() && native_request.entry.parameter(name).is_none();
    let (field, why) = match native_request.endpoint {
        NativeEndpoint::Responses | NativeEndpoint::Messages => return None,
        NativeEndpoint::Chat if !matches!(chat.format, Format::Text) && given("response_format") => {
            ("response_format", "it is ignored")
        }
        NativeEndpoint::Chat if given("functions") => ("functions", "it accepts tools, not functions"),
        NativeEndpoint::Chat if chat.choices > 1 => ("n", "it supports one choice only"),
        NativeEndpoint::Chat if chat.sampling.logit_bias.is_some() => ("logit_bias", "it is ignored"),
        NativeEndpoint::Chat if has_sound(chat) => ("messages", "it ignores sound and video"),
        NativeEndpoint::Chat => return None,
    };
    Some(MissingFeature { field, why, is_ours: false })
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

fn read(body: &[u8]) -> Option<Fields<'_>> {
    std::str::from_utf8(body).ok().and_then(Fields::read)
}

/// The value of a field in JSON, unless it is null.
pub fn field<'b>(body: &'b [u8], name: &str) -> Option<&'b str> {
    Some(read(body)?.get(name).filter(|field| !field.is_null())?.value)
}

/// The names of the request's fields.
pub fn names(body: &[u8]) -> Vec<String> {
    read(body).map_or_else(Vec::new, |fields| fields.names().map(str::to_owned).collect())
}

/// Whether the answer is the same without the field `name`, so that `endpoint` can be asked without it.
pub fn is_hint(endpoint: NativeEndpoint, name: &str) -> bool {
    is_in(HINTS, name) || (endpoint == NativeEndpoint::Messages && !is_in(fields(endpoint), name))
}

/// `body` without these fields; every other byte stays.
pub fn without(body: Vec<u8>, cut: &[String]) -> Vec<u8> {
    let is_cut = |name: &str| cut.iter().any(|one| one == name);
    let Some(fields) = read(&body).filter(|fields| fields.names().any(is_cut)) else { return body };
    let edit = |field: &Field<'_>| if is_cut(&field.name) { Edit::Cut } else { Edit::Keep };
    fields.edited(edit, &[]).into_bytes()
}

/// `body`, a request of Responses, with the items that it goes on from in front of its own: the endpoint keeps none.
pub fn expanded(body: &[u8], earlier: impl Iterator<Item = Value>) -> Vec<u8> {
    let Some(fields) = read(body) else { return body.to_vec() };
    let mut items: Vec<String> = earlier.filter_map(returned).map(|item| item.to_string()).collect();
    match fields.get("input").map(|field| field.value) {
        None | Some("null") => {}
        Some(own) => match own.strip_prefix('[').and_then(|own| own.strip_suffix(']')) {
            Some(own) => items.extend(Some(own.trim().to_owned()).filter(|own| !own.is_empty())),
            None => items.push(format!("{{\"role\":\"user\",\"content\":{own}}}")),
        },
    }
    let input = format!("[{}]", items.join(","));
    let edit = |field: &Field<'_>| match field.name.as_ref() {
        "previous_response_id" => Edit::Cut,
        "input" => Edit::Set(input.clone()),
        _ => Edit::Keep,
    };
    let added = fields.get("input").is_none().then(|| ("input".to_owned(), input.clone()));
    fields.edited(edit, added.as_slice()).into_bytes()
}

/// An item as the endpoint takes it back: without an id, because it keeps no items, and a thought only where it can be
/// read again.
fn returned(mut item: Value) -> Option<Value> {
    let is_thought = item["type"] == "reasoning";
    if is_thought && !item["encrypted_content"].is_string() {
        return None;
    }
    if !is_thought {
        item.as_object_mut()?.shift_remove("id");
    }
    Some(item)
}

/// A request as the endpoint takes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Adapted {
    /// The body.
    pub body: Vec<u8>,
    /// Parameters for which the endpoint has no words.
    pub unsaid: Vec<String>,
}

/// The body as the endpoint takes it.
pub fn adapt(body: &[u8], native_request: &NativeRequest<'_>) -> Result<Adapted> {
    let fields = read(body).ok_or_else(|| {
        Error::new(Kind::InvalidRequest, "the body is not valid JSON: it is no object in UTF-8")
    })?;
    let mut adapting =
        Adapting { request: *native_request, fields: &fields, set: Vec::new(), added: Vec::new() };
    adapting.rename();
    adapting.cut();
    if native_request.endpoint == NativeEndpoint::Responses {
        adapting.instruct();
    }
    let unsaid = adapting.say_parameters();
    let Adapting { set, added, .. } = adapting;
    if set.is_empty() && added.is_empty() {
        return Ok(Adapted { body: body.to_vec(), unsaid });
    }
    let edit = |field: &Field<'_>| {
        set.iter().find(|(name, _)| *name == field.name).map_or(Edit::Keep, |(_, edit)| edit.clone())
    };
    Ok(Adapted { body: fields.edited(edit, &added).into_bytes(), unsaid })
}

/// What changes in a request.
struct Adapting<'a> {
    request: NativeRequest<'a>,
    fields: &'a Fields<'a>,
    set: Vec<(String, Edit)>,
    added: Vec<(String, String)>,
}

impl Adapting<'_> {
    fn rename(&mut self) {
        let id = &self.request.entry.id;
        let model = self.fields.get("model").and_then(Field::text);
        if model.is_some_and(|model| model != *id) {
            self.set.push(("model".into(), Edit::Set(quoted(id))));
        }
    }

    /// Leaves out what the endpoint does not take: parameters come back in its own words.
    fn cut(&mut self) {
        let NativeRequest { endpoint, entry, effort, .. } = self.request;
        for name in self.fields.names() {
            let is_parameter = entry.parameter(name).is_some();
            let is_known = is_in(fields(endpoint), name);
            let is_cut = match endpoint {
                // an effort behind the name counts more than all other words for it
                NativeEndpoint::Chat if effort.is_some() && Meaning::of(name).is_reasoning() => true,
                NativeEndpoint::Chat => !is_known && !is_parameter,
                NativeEndpoint::Responses => !is_known,
                NativeEndpoint::Messages => !is_known && (is_parameter || is_in(ENVELOPES, name)),
            };
            if is_cut {
                log::debug!("{name} left out: {} does not take it in this form", endpoint.path());
                self.set.push((name.to_owned(), Edit::Cut));
            }
        }
    }

    /// The endpoint ignores `instructions`, so they become the first turn of the input.
    fn instruct(&mut self) {
        let Some(instructions) = self.fields.get("instructions").filter(|field| !field.is_null()) else {
            return;
        };
        let Some(input) = self.fields.get("input").map(|field| field.value) else { return };
        let first = format!("{{\"role\":\"system\",\"content\":{}}}", instructions.value);
        let input = match input.strip_prefix('[') {
            Some(rest) if rest.trim_start() == "]" => format!("[{first}]"),
            Some(rest) => format!("[{first},{rest}"),
            None => format!("[{first},{{\"role\":\"user\",\"content\":{input}}}]"),
        };
        self.set.push(("instructions".into(), Edit::Cut));
        self.set.push(("input".into(), Edit::Set(input)));
    }

    /// Says all parameters that the bot protocol would send and the request does not say yet; those that cannot be said.
    fn say_parameters(&mut self) -> Vec<String> {
        let NativeRequest { chat, entry, effort, defaults, .. } = self.request;
        let mut asked = ChatRequest {
            reasoning: chat.reasoning.clone(),
            parameters: chat.parameters.clone(),
            hints: chat.hints.clone(),
            sampling: Sampling::default(), // has fields at every endpoint
            ..ChatRequest::default()
        };
        if let Some(effort) = effort {
            asked.reasoning.get_or_insert_with(Reasoning::default).effort = Some(effort.to_owned());
        }
        parameters::fit(&mut asked, Some(entry));
        let mut all = asked.parameters;
        for (name, value) in defaults {
            all.entry(name).or_insert_with(|| value.clone());
        }
        let thinks = all.keys().any(|name| matches!(Meaning::of(name), Meaning::Effort | Meaning::Budget));
        let mut unsaid = Vec::new();
        for (name, value) in all {
            let meaning = Meaning::of(&name);
            let is_overruled = effort.is_some() && meaning.is_reasoning();
            // elsewhere than on Chat a switch goes without saying
            let is_implied = thinks
                && meaning == Meaning::Switch
                && value == true
                && self.request.endpoint != NativeEndpoint::Chat;
            let is_said = !is_overruled && self.is_said(&name, meaning);
            if !is_said && !is_implied && !self.say(&name, meaning, &value) {
                unsaid.push(name);
            }
        }
        unsaid
    }

    fn is_cut(&self, name: &str) -> bool {
        self.set.iter().any(|(other, edit)| other == name && *edit == Edit::Cut)
    }

    /// Whether the request itself says it, in the endpoint's words.
    fn is_said(&self, name: &str, meaning: Meaning) -> bool {
        use NativeEndpoint::{Chat, Messages, Responses};
        let has =
            |name: &str| self.fields.get(name).is_some_and(|field| !field.is_null()) && !self.is_cut(name);
        match (self.request.endpoint, meaning) {
            (Chat, _) => has(name),
            (Responses | Messages, Meaning::Search) => {
                let tools = self.fields.get("tools").map_or("", |field| field.value);
                let tools: Vec<Value> = serde_json::from_str(tools).unwrap_or_default();
                tools
                    .iter()
                    .any(|tool| tool["type"].as_str().is_some_and(|kind| kind.starts_with("web_search")))
            }
            (Responses, _) if meaning.is_reasoning() => !self.object("reasoning")["effort"].is_null(),
            (Responses, _) if name == "verbosity" => !self.object("text")["verbosity"].is_null(),
            (Messages, _) if meaning.is_reasoning() => {
                has("thinking") || !self.object("output_config")["effort"].is_null()
            }
            (Responses | Messages, _) => has(name),
        }
    }

    /// Says a parameter in the endpoint's words; false: it has none for it.
    fn say(&mut self, name: &str, meaning: Meaning, value: &Value) -> bool {
        use NativeEndpoint::{Chat, Messages, Responses};
        let NativeRequest { endpoint, entry, effort, .. } = self.request;
        match (endpoint, meaning, value) {
            (Chat, ..) if entry.parameter(name).is_some() || is_in(fields(endpoint), name) => {
                self.put(name, value);
            }
            (Responses, Meaning::Effort, Value::String(_)) => self.put_inside("reasoning", "effort", value),
            (Responses, Meaning::Budget | Meaning::Switch, _) => {
                match (effort, value.as_u64(), value.as_bool()) {
                    (Some(word), ..) => self.put_inside("reasoning", "effort", &word.into()),
                    (_, Some(0), _) | (_, _, Some(false)) => {
                        self.put_inside("reasoning", "effort", &"none".into())
                    }
                    _ => return false,
                }
            }
            (Responses, Meaning::Other, Value::String(_)) if name == "verbosity" => {
                self.put_inside("text", "verbosity", value);
            }
            (Messages, Meaning::Effort, Value::String(word)) => match word.as_str() {
                "none" => self.think(&json!({"type": "disabled"})),
                "minimal" => self.put_inside("output_config", "effort", &"low".into()),
                _ => self.put_inside("output_config", "effort", value),
            },
            (Messages, Meaning::Switch, Value::Bool(is_on)) => {
                self.think(&json!({"type": if *is_on { "adaptive" } else { "disabled" }}));
            }
            (Messages, Meaning::Budget, Value::Number(budget)) => {
                let most = self.fields.number("max_tokens").unwrap_or(0).saturating_sub(1);
                match budget.as_u64().map(|budget| budget.min(most)) {
                    Some(0) if budget.as_u64() == Some(0) => self.think(&json!({"type": "disabled"})),
                    Some(budget) if budget >= LEAST_BUDGET => {
                        self.think(&json!({"type": "enabled", "budget_tokens": budget}));
                    }
                    _ => return false,
                }
            }
            (Responses, Meaning::Search, Value::Bool(true)) => {
                self.search(r#"{"type":"web_search_preview"}"#)
            }
            (Messages, Meaning::Search, Value::Bool(true)) => {
                self.search(r#"{"type":"web_search_20250305","name":"web_search"}"#);
            }
            // nothing is searched without a tool, unless the model does so by itself
            (Responses | Messages, Meaning::Search, Value::Bool(false)) => {
                return entry.parameter(name).is_none_or(|parameter| parameter.default_value != true);
            }
            (Responses | Messages, Meaning::Other, _) if is_in(fields(endpoint), name) => {
                self.put(name, value)
            }
            _ => return false,
        }
        true
    }

    /// Puts a field in that is not there, or that is there and counts less.
    fn put(&mut self, name: &str, value: &Value) {
        self.put_text(name, value.to_string());
    }

    fn put_text(&mut self, name: &str, value: String) {
        self.set.retain(|(other, _)| other != name);
        self.added.retain(|(other, _)| other != name);
        match self.fields.get(name) {
            Some(_) => self.set.push((name.to_owned(), Edit::Set(value))),
            None => self.added.push((name.to_owned(), value)),
        }
    }

    fn think(&mut self, thinking: &Value) {
        self.put("thinking", thinking);
    }

    fn put_inside(&mut self, name: &str, member: &str, value: &Value) {
        let mut object = self.object(name);
        object[member] = value.clone();
        self.put(name, &object);
    }

    /// The object that is the value of `name`, or an empty one.
    fn object(&self, name: &str) -> Value {
        let object: Option<Map<String, Value>> =
            self.fields.get(name).and_then(|field| serde_json::from_str(field.value).ok());
        object.unwrap_or_default().into()
    }

    /// Adds a tool behind those that are there.
    fn search(&mut self, tool: &str) {
        let own =
            self.fields.get("tools").map_or("", |field| field.value).strip_suffix(']').map(str::trim_end);
        let tools = match own {
            Some(own) if own != "[" => format!("{own},{tool}]"),
            _ => format!("[{tool}]"),
        };
        self.put_text("tools", tools);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use NativeEndpoint::{Chat, Messages, Responses};

    fn entry(parameters: Value) -> Entry {
        let parameters = serde_json::from_value(parameters).unwrap();
        Entry { id: "Bot".into(), parameters, ..Entry::default() }
    }

    fn gpt() -> Entry {
        entry(json!([
            {"name": "web_search", "schema": {"type": "boolean"}},
            {"name": "reasoning_effort", "schema": {"enum": ["none", "low", "medium", "high"]}},
            {"name": "verbosity", "schema": {"enum": ["low", "medium", "high"]}}]))
    }

    fn claude() -> Entry {
        entry(json!([{"name": "thinking_budget", "schema": {"type": "number", "maximum": 63999}}]))
    }

    struct Case {
        chat: ChatRequest,
        entry: Entry,
        effort: Option<&'static str>,
        defaults: Value,
    }

    impl Default for Case {
        fn default() -> Case {
            Case { chat: ChatRequest::default(), entry: gpt(), effort: None, defaults: json!({}) }
        }
    }

    impl Case {
        fn adapted(&self, endpoint: NativeEndpoint, body: &str) -> (String, Vec<String>) {
            let (chat, entry, defaults) = (&self.chat, &self.entry, self.defaults.as_object().unwrap());
            let native_request = NativeRequest { endpoint, chat, entry, effort: self.effort, defaults };
            let adapted = adapt(body.as_bytes(), &native_request).unwrap();
            assert_eq!(adapted, adapt(body.as_bytes(), &native_request).unwrap(), "twice the same");
            (String::from_utf8(adapted.body).unwrap(), adapted.unsaid)
        }

        fn sent(&self, endpoint: NativeEndpoint, body: &str) -> String {
            let (sent, unsaid) = self.adapted(endpoint, body);
            assert!(unsaid.is_empty(), "{unsaid:?}");
            sent
        }
    }

    #[test]
    fn a_request_that_needs_no_change_has_none() {
        let rows = [
            (
                Chat,
                "{ \"messages\" : [ {\"role\":\"user\", \"content\":\"\\u00e9 \"} ],\n\"model\":\"Bot\", \"web_search\":true, \"reasoning_effort\":\"low\"}\n",
            ),
            (Responses, "{\"model\": \"B\\u006ft\", \"input\": [ ], \"reasoning\": {\"effort\":\"low\"}}"),
            (Messages, "{\"model\":\"Bot\",\"thread_of_tomorrow\":1,\"max_tokens\":1.0,\"messages\":[]}"),
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
        assert_eq!(Case::default().sent(Chat, body), r#"{"model":"Bot","messages":[],"web_search":true}"#);
        let body = r#"{"model":"Bot","input":"x","client_metadata":{"a":1},"store":false}"#;
        assert_eq!(Case::default().sent(Responses, body), r#"{"model":"Bot","input":"x","store":false}"#);
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
        assert!(is_hint(Responses, "prompt_cache_key") && is_hint(Messages, "of_tomorrow"));
        assert!(!is_hint(Responses, "of_tomorrow") && !is_hint(Messages, "tools"));
    }

    #[test]
    fn reasoning_that_would_be_cut_uses_the_models_parameters() {
        let reasoning = Some(Reasoning { budget: Some(20_000), ..Reasoning::default() });
        let case = Case { chat: ChatRequest { reasoning, ..ChatRequest::default() }, ..Case::default() };
        let body = r#"{"model":"Bot","thinking":{"type":"enabled","budget_tokens":20000},"messages":[]}"#;
        assert_eq!(case.sent(Chat, body), r#"{"model":"Bot","messages":[],"reasoning_effort":"medium"}"#);
        // said in the model's own words they stay as they are
        let body = r#"{"model":"Bot","reasoning_effort":"minimal","messages":[]}"#;
        assert_eq!(case.sent(Chat, body), body);
        let body = r#"{"model":"Bot","reasoning":{"effort":"minimal","summary":"auto"},"input":"x"}"#;
        assert_eq!(case.sent(Responses, body), body);
        let body = r#"{"model":"Bot","thinking":{"type":"enabled","budget_tokens":20000},"messages":[]}"#;
        assert_eq!(case.sent(Messages, body), body);
    }

    #[test]
    fn fields_of_extra_body_come_in_the_endpoints_words() {
        let parameters = json!({"web_search": true}).as_object().unwrap().clone();
        let case = Case { chat: ChatRequest { parameters, ..ChatRequest::default() }, ..Case::default() };
        let rows = [
            (Chat, r#""web_search":true"#),
            (Responses, r#""tools":[{"type":"web_search_preview"}]"#),
            (Messages, r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#),
        ];
        for (endpoint, expected) in rows {
            let body = r#"{"model":"Bot","extra_body":{"web_search":true},"max_tokens":9}"#;
            let kept = if endpoint == Responses { "" } else { r#","max_tokens":9"# };
            assert_eq!(case.sent(endpoint, body), format!(r#"{{"model":"Bot"{kept},{expected}}}"#));
        }
    }

    #[test]
    fn an_effort_suffix_becomes_the_endpoints_field() {
        let case = Case { effort: Some("high"), ..Case::default() };
        let body = r#"{"model":"Bot-high","reasoning_effort":"low","messages":[]}"#;
        assert_eq!(case.sent(Chat, body), r#"{"model":"Bot","reasoning_effort":"high","messages":[]}"#);
        let body = r#"{"model":"Bot-high","reasoning":{"summary":"auto"},"input":"x"}"#;
        let expected = r#"{"model":"Bot","reasoning":{"summary":"auto","effort":"high"},"input":"x"}"#;
        assert_eq!(case.sent(Responses, body), expected);
        let body = r#"{"model":"Bot-high","output_config":{"format":{}},"messages":[]}"#;
        let expected = r#"{"model":"Bot","output_config":{"format":{},"effort":"high"},"messages":[]}"#;
        assert_eq!(case.sent(Messages, body), expected);
        let case = Case { effort: Some("low"), entry: claude(), ..Case::default() };
        let body = r#"{"model":"Bot-low","max_tokens":9000,"messages":[]}"#;
        let expected = r#"{"model":"Bot","max_tokens":9000,"messages":[],"thinking":{"type":"enabled","budget_tokens":4096}}"#;
        assert_eq!(case.sent(Messages, body), expected);
        // no more than there is room for
        let body = r#"{"model":"Bot-low","max_tokens":2000,"messages":[]}"#;
        assert!(case.sent(Messages, body).ends_with(r#""budget_tokens":1999}}"#));
        let body = r#"{"model":"Bot-low","max_tokens":500,"messages":[]}"#;
        let unchanged = r#"{"model":"Bot","max_tokens":500,"messages":[]}"#;
        assert_eq!(case.adapted(Messages, body), (unchanged.into(), vec!["thinking_budget".into()]));
    }

    /// What the bot protocol would send is in the request, or reported: nothing is lost silently.
    #[test]
    fn every_parameter_of_every_model_is_said_at_every_endpoint_or_reported() {
        let schemas: &[(&str, Value, &[Value])] = &[
            ("reasoning_effort", json!({"enum": ["none", "low", "high"]}), &[json!("low"), json!("none")]),
            ("output_effort", json!({"enum": ["none", "low", "max"]}), &[json!("max"), json!("none")]),
            ("thinking_level", json!({"enum": ["minimal", "high"]}), &[json!("minimal")]),
            ("thinking_budget", json!({"type": "number", "maximum": 63999}), &[json!(2048), json!(0)]),
            ("enable_thinking", json!({"type": "boolean"}), &[json!(true), json!(false)]),
            ("web_search", json!({"type": "boolean"}), &[json!(true)]),
            ("enable_web_search", json!({"type": "boolean"}), &[json!(true)]),
            ("verbosity", json!({"enum": ["low", "high"]}), &[json!("low")]),
            ("aspect_ratio", json!({"enum": ["1:1", "16:9"]}), &[json!("16:9")]),
            ("top_k", json!({"type": "number"}), &[json!(7)]),
        ];
        let unsaid_there = |endpoint, name: &str, value: &Value| match (endpoint, name) {
            (Chat, _) => false,
            (Responses, "thinking_budget") => *value != 0,
            (Responses, "enable_thinking") => *value == true,
            (Responses, "top_k") | (_, "aspect_ratio") | (Messages, "verbosity") => true,
            _ => false,
        };
        let (mut said, mut reported) = (0, 0);
        for (name, schema, values) in schemas {
            let entry = entry(json!([{"name": name, "schema": schema}]));
            for (endpoint, value) in
                NativeEndpoint::ALL.iter().flat_map(|one| values.iter().map(|value| (*one, value)))
            {
                let body =
                    r#"{"model":"Bot","max_tokens":9000,"max_output_tokens":9000,"messages":[],"input":"x"}"#;
                let plain = Case { entry: entry.clone(), ..Case::default() }.sent(endpoint, body);
                let case = Case { entry: entry.clone(), defaults: json!({*name: value}), ..Case::default() };
                let (sent, unsaid) = case.adapted(endpoint, body);
                let is_unsaid = unsaid_there(endpoint, name, value);
                assert_eq!(
                    (unsaid == [*name], sent == plain),
                    (is_unsaid, is_unsaid),
                    "{endpoint:?} {name}: {sent}"
                );
                (said, reported) = (said + usize::from(!is_unsaid), reported + usize::from(is_unsaid));
            }
            for (endpoint, effort) in
                NativeEndpoint::ALL.iter().flat_map(|one| ["none", "low", "max"].map(|word| (*one, word)))
            {
                let is_reasoning = Meaning::of(name).is_reasoning();
                let case = Case { entry: entry.clone(), effort: Some(effort), ..Case::default() };
                let plain = Case { entry: entry.clone(), ..Case::default() };
                let body = r#"{"model":"Bot","max_tokens":9000,"messages":[],"input":"x"}"#;
                let (sent, unsaid) = case.adapted(endpoint, body);
                assert!(unsaid.is_empty(), "{endpoint:?} {name} {effort}: {unsaid:?}");
                assert_eq!(
                    sent != plain.sent(endpoint, body),
                    is_reasoning,
                    "{endpoint:?} {name} {effort}: {sent}"
                );
            }
        }
        assert!(said > 30 && reported > 3, "{said} {reported}");
        // what the list does not declare the strict endpoint refuses
        let case = Case { entry: claude(), defaults: json!({"invented": 1}), ..Case::default() };
        assert_eq!(case.adapted(Chat, r#"{"model":"Bot"}"#).1, ["invented"]);
    }

    #[test]
    fn defaults_of_models_yaml_are_added_where_the_client_says_nothing() {
        let defaults = json!({"web_search": true, "reasoning_effort": "low", "verbosity": "high"});
        let case = Case { defaults, ..Case::default() };
        let body = r#"{"model":"Bot","web_search":false,"messages":[]}"#;
        let expected =
            r#"{"model":"Bot","web_search":false,"messages":[],"reasoning_effort":"low","verbosity":"high"}"#;
        assert_eq!(case.sent(Chat, body), expected);
        let expected = r#"{"model":"Bot","input":"x","tools":[{"type":"web_search_preview"}],"reasoning":{"effort":"low"},"text":{"verbosity":"high"}}"#;
        assert_eq!(case.sent(Responses, r#"{"model":"Bot","input":"x"}"#), expected);
        let own = r#"{"model":"Bot","input":"x","tools":[ {"type":"web_search"} ],"reasoning":{"effort":"none"},"text":{"verbosity":"low"}}"#;
        assert_eq!(case.sent(Responses, own), own);
        let tools = r#"{"model":"Bot","input":"x","tools":[ {"type":"function"} ],"reasoning":{"effort":"none"},"text":{"verbosity":"low"}}"#;
        let expected = tools.replace("} ],", r#"},{"type":"web_search_preview"}],"#);
        assert_eq!(case.sent(Responses, tools), expected);
        let case = Case { defaults: json!({"thinking_budget": 2048}), entry: claude(), ..Case::default() };
        let said = r#"{"model":"Bot","max_tokens":9000,"thinking":{"type":"disabled"},"messages":[]}"#;
        assert_eq!(case.sent(Messages, said), said);
        let silent = r#"{"model":"Bot","max_tokens":9000,"messages":[]}"#;
        let expected = r#","thinking":{"type":"enabled","budget_tokens":2048}}"#;
        assert!(case.sent(Messages, silent).ends_with(expected));
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
            assert_eq!(Case::default().sent(Responses, &body), expected);
        }
    }

    #[test]
    fn a_conversation_is_put_in_front_of_the_input() {
        let earlier = || {
            let items = [
                json!({"role": "user", "content": "one", "id": "msg_1"}),
                json!({"type": "reasoning", "id": "rs_1", "summary": []}),
                json!({"type": "reasoning", "id": "rs_2", "encrypted_content": "gA"}),
                json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}),
            ];
            items.into_iter()
        };
        let before = r#"{"role":"user","content":"one"},{"type":"reasoning","id":"rs_2","encrypted_content":"gA"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#;
        for (own, after) in [
            (r#","input":"tw\u00f6""#, r#",{"role":"user","content":"tw\u00f6"}"#),
            (r#","input":[ {"role": "user"} ]"#, r#",{"role": "user"}"#),
            (r#","input":[ ]"#, ""),
            (r#","input":null"#, ""),
            ("", ""),
        ] {
            let body = format!(r#"{{"previous_response_id":"r","model":"Bot"{own}}}"#);
            let sent = String::from_utf8(expanded(body.as_bytes(), earlier())).unwrap();
            assert_eq!(sent, format!(r#"{{"model":"Bot","input":[{before}{after}]}}"#), "{own}");
        }
    }

    #[test]
    fn features_missing_at_an_endpoint_are_known() {
        let lacks = |endpoint, chat: ChatRequest, body: &str| {
            let (entry, defaults) = (gpt(), Map::new());
            let native_request =
                NativeRequest { endpoint, chat: &chat, entry: &entry, effort: None, defaults: &defaults };
            missing_feature(body.as_bytes(), &native_request).map(|missing_feature| missing_feature.field)
        };
        let json_wanted = || ChatRequest { format: Format::JsonObject, ..ChatRequest::default() };
        assert_eq!(lacks(Chat, json_wanted(), r#"{"response_format":{}}"#), Some("response_format"));
        assert_eq!(lacks(Responses, json_wanted(), r#"{"text":{}}"#), None);
        assert_eq!(lacks(Chat, ChatRequest::default(), r#"{"functions":[]}"#), Some("functions"));
        let twice = ChatRequest { choices: 2, ..ChatRequest::default() };
        assert_eq!(lacks(Chat, twice, "{}"), Some("n"));
    }
}
