//! Converts a client's settings to the parameters that the model declares in Poe's list.

use serde_json::{Map, Value};

use super::catalog::{Entry, Parameter};
use super::media_params;
use crate::pipeline::{ChatRequest, Reasoning};

/// Efforts from the least to the most.
const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max"];
/// Parameters that take an effort, a number of tokens, a plain yes or no.
const EFFORT_NAMES: &[&str] = &["reasoning_effort", "output_effort", "thinking_level", "effort"];
const BUDGET_NAMES: &[&str] = &["thinking_budget", "budget_tokens"];
const SWITCH_NAMES: &[&str] = &["enable_thinking", "thinking"];
/// Tokens of thought that stand for an effort where the model only takes a number, in the order of [`EFFORTS`].
const BUDGETS: &[u64] = &[0, 1_024, 4_096, 12_288, 24_576, 49_152, u64::MAX];
/// Parameters that search the web.
const SEARCH_NAMES: &[&str] = &["web_search", "enable_web_search"];

/// What a parameter is about, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// An effort of thought, as a word.
    Effort,
    /// Tokens of thought.
    Budget,
    /// Thought or none.
    Switch,
    /// The search of the web.
    Search,
    /// Anything else.
    Other,
}

impl Meaning {
    /// The meaning of `name`.
    pub fn of(name: &str) -> Meaning {
        let names = [
            (EFFORT_NAMES, Meaning::Effort),
            (BUDGET_NAMES, Meaning::Budget),
            (SWITCH_NAMES, Meaning::Switch),
        ];
        let names = names.into_iter().chain([(SEARCH_NAMES, Meaning::Search)]);
        names
            .into_iter()
            .find(|(names, _)| names.contains(&name))
            .map_or(Meaning::Other, |(_, meaning)| meaning)
    }

    /// Whether it is about how hard to think.
    pub fn is_reasoning(self) -> bool {
        matches!(self, Meaning::Effort | Meaning::Budget | Meaning::Switch)
    }
}

impl Entry {
    /// Whether the model has a parameter for the reasoning effort.
    pub fn thinks(&self) -> bool {
        [EFFORT_NAMES, BUDGET_NAMES, SWITCH_NAMES].concat().iter().any(|name| self.parameter(name).is_some())
    }

    /// Whether the model has a parameter that makes it search the web.
    pub fn searches(&self) -> bool {
        SEARCH_NAMES.iter().any(|name| self.parameter(name).is_some())
    }
}

/// Adds to `chat.parameters` what else the client requested and the model declares. `entry` is the model's in Poe's list;
/// of a model without one nothing is known, and only the reasoning setting is passed on, under its common names.
pub fn fit(chat: &mut ChatRequest, entry: Option<&Entry>) {
    let mut fitted = Map::new();
    if let Some(reasoning_setting) = chat.reasoning.take() {
        match entry {
            Some(entry) => think(&reasoning_setting, entry, &mut fitted),
            None => think_somehow(&reasoning_setting, &mut fitted),
        }
    }
    let hints = std::mem::take(&mut chat.hints).into_iter().chain(sampling(chat));
    for (name, value) in hints {
        if let Some(found) = entry.and_then(|entry| media_params::fit(&name, &value, entry)) {
            if found.is_empty() {
                log::debug!("{name} dropped: the model has no equivalent of {value}");
            }
            fitted.extend(found);
            continue;
        }
        match entry.and_then(|entry| declared(entry, &name)) {
            Some(parameter) => match fitting(&value, &parameter.schema) {
                Some(value) => drop(fitted.insert(parameter.name.clone(), value)),
                None => log::debug!("{name} dropped: the model does not accept {value}"),
            },
            None => log::debug!("{name} dropped: the model declares no such parameter"),
        }
    }
    // what the client gave by the model's own names counts most
    fitted.extend(std::mem::take(&mut chat.parameters));
    chat.parameters = fitted;
}

/// Fields that Poe's protocol has no place for.
fn sampling(chat: &ChatRequest) -> impl Iterator<Item = (String, Value)> + use<> {
    let sampling = &chat.sampling;
    let fields: [(&str, Option<Value>); 5] = [
        ("top_p", sampling.top_p.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("max_tokens", sampling.max_tokens.map(Value::from)),
    ];
    fields.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)))
}

/// The parameter that `name` means, under any of the names that models have for it.
fn declared<'a>(entry: &'a Entry, name: &str) -> Option<&'a Parameter> {
    let names: &[&str] = match name {
        "max_tokens" => &["max_tokens", "max_output_tokens", "max_completion_tokens"],
        "web_search_options" | "web_search" | "enable_web_search" => SEARCH_NAMES,
        _ => return entry.parameter(name),
    };
    names.iter().find_map(|name| entry.parameter(name))
}

/// `value` as `schema` takes it, if it does: within the range, of the right type, one of those listed.
fn fitting(value: &Value, schema: &Value) -> Option<Value> {
    if let Some(options) = schema.get("enum").and_then(Value::as_array) {
        let same = |option: &&Value| *option == value || as_text(option) == as_text(value);
        return options.iter().find(same).cloned();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => match value {
            Value::Object(_) => Some(true.into()), // such as OpenAI's web_search_options
            Value::String(text) => text.parse::<bool>().ok().map(Value::from),
            other => other.is_boolean().then(|| other.clone()),
        },
        Some("integer" | "number") => {
            let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))?;
            Some(media_params::clamped(number, schema))
        }
        Some("string") => as_text(value).map(Value::from),
        _ => Some(value.clone()),
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Sets the reasoning by the model's own parameter.
fn think(reasoning_setting: &Reasoning, entry: &Entry, fitted: &mut Map<String, Value>) {
    let find = |names: &[&str]| names.iter().find_map(|name| entry.parameter(name));
    let (effort, budget, switch) = (find(EFFORT_NAMES), find(BUDGET_NAMES), find(SWITCH_NAMES));
    let rank = rank(reasoning_setting);
    // a number is the better answer to a number, a word to a word
    let wants_number = reasoning_setting.effort.is_none() && reasoning_setting.budget.is_some();
    let chosen = match (effort, budget, switch) {
        (_, Some(budget), _) if wants_number => {
            Some((budget, tokens(reasoning_setting, rank, &budget.schema)))
        }
        (Some(effort), _, _) => nearest(rank, &effort.schema).map(|value| (effort, value)),
        (None, Some(budget), _) => Some((budget, tokens(reasoning_setting, rank, &budget.schema))),
        (None, None, Some(switch)) => Some((switch, Value::from(rank > 0))),
        (None, None, None) => None,
    };
    match chosen {
        Some((parameter, value)) => {
            fitted.insert(parameter.name.clone(), value);
        }
        None => {
            log::debug!("reasoning effort dropped: {} declares no such parameter", entry.id)
        }
    }
    // some models accept no other reasoning parameter unless reasoning is switched on
    if let (Some(switch), true) = (switch, rank == 0 || effort.or(budget).is_some()) {
        fitted.insert(switch.name.clone(), Value::from(rank > 0));
    }
}

fn think_somehow(reasoning_setting: &Reasoning, fitted: &mut Map<String, Value>) {
    match (&reasoning_setting.effort, reasoning_setting.budget, reasoning_setting.enabled) {
        (None, None, Some(false)) => {
            fitted.insert("reasoning_effort".into(), "none".into());
        }
        (None, None, _) => {}
        (effort, budget, _) => {
            if let Some(effort) = effort {
                fitted.insert("reasoning_effort".into(), effort.as_str().into());
            }
            if let Some(budget) = budget {
                fitted.insert("thinking_budget".into(), budget.into());
            }
        }
    }
}

/// The reasoning setting as an index into [`EFFORTS`].
fn rank(reasoning_setting: &Reasoning) -> usize {
    if reasoning_setting.enabled == Some(false) {
        return 0;
    }
    let by_word = reasoning_setting.effort.as_deref().map(|effort| {
        let known = EFFORTS.iter().position(|known| known.eq_ignore_ascii_case(effort));
        known.unwrap_or(3) // an unknown word asks for some thought
    });
    // any thought at all is more than none
    let place = |budget: u64| BUDGETS.iter().rposition(|least| *least <= budget).unwrap_or(0);
    let by_number = || reasoning_setting.budget.map(|budget| place(budget).max(usize::from(budget > 0)));
    by_word.or_else(by_number).unwrap_or(3)
}

/// The option nearest to `rank` among those that the model lists; of two as near the stronger.
fn nearest(rank: usize, schema: &Value) -> Option<Value> {
    let options = schema.get("enum").and_then(Value::as_array)?;
    let place = |option: &Value| {
        let word = option.as_str()?.to_ascii_lowercase();
        EFFORTS.iter().position(|known| *known == word)
    };
    let known = options.iter().filter_map(|option| place(option).map(|place| (place, option)));
    known
        .min_by_key(|(place, _)| (place.abs_diff(rank), usize::MAX - place))
        .map(|(_, option)| option.clone())
}

fn tokens(reasoning_setting: &Reasoning, rank: usize, schema: &Value) -> Value {
    let budget = match (rank, reasoning_setting.effort.is_none(), reasoning_setting.budget) {
        (0, _, _) => 0,
        (_, true, Some(budget)) => budget,
        (rank, ..) => BUDGETS[rank],
    };
    media_params::clamped(budget as f64, schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(parameters: Value) -> Entry {
        Entry { id: "m".into(), parameters: serde_json::from_value(parameters).unwrap(), ..Entry::default() }
    }

    fn effort(name: &str, options: &[&str]) -> Value {
        json!([{"name": name, "schema": {"enum": options}}])
    }

    fn thought(reasoning_setting: Reasoning, parameters: Option<Value>) -> Value {
        let mut chat = ChatRequest { reasoning: Some(reasoning_setting), ..ChatRequest::default() };
        fit(&mut chat, parameters.map(entry).as_ref());
        Value::Object(chat.parameters)
    }

    fn by_effort(effort: &str) -> Reasoning {
        Reasoning { effort: Some(effort.into()), ..Reasoning::default() }
    }

    fn by_budget(budget: u64) -> Reasoning {
        Reasoning { budget: Some(budget), ..Reasoning::default() }
    }

    #[test]
    fn efforts_become_the_models_own_word() {
        let gpt = || effort("reasoning_effort", &["none", "low", "medium", "high", "xhigh"]);
        let claude = || effort("output_effort", &["low", "medium", "high", "max"]);
        let gemini = || effort("thinking_level", &["low", "high"]);
        let cases = [
            (by_effort("high"), gpt(), json!({"reasoning_effort": "high"})),
            (by_effort("minimal"), gpt(), json!({"reasoning_effort": "low"})),
            (by_effort("max"), gpt(), json!({"reasoning_effort": "xhigh"})),
            (by_effort("xhigh"), claude(), json!({"output_effort": "max"})),
            (by_effort("none"), claude(), json!({"output_effort": "low"})),
            (by_effort("medium"), gemini(), json!({"thinking_level": "high"})),
            (by_budget(0), gpt(), json!({"reasoning_effort": "none"})),
            (by_budget(5000), gpt(), json!({"reasoning_effort": "low"})),
            (by_budget(100_000), gpt(), json!({"reasoning_effort": "xhigh"})),
            (
                Reasoning { enabled: Some(false), ..by_effort("high") },
                gpt(),
                json!({"reasoning_effort": "none"}),
            ),
        ];
        for (reasoning_setting, parameters, expected) in cases {
            assert_eq!(
                thought(reasoning_setting.clone(), Some(parameters)),
                expected,
                "{reasoning_setting:?}"
            );
        }
    }

    #[test]
    fn budgets_stay_within_the_models_range() {
        let budget = || json!([{"name": "thinking_budget", "schema": {"type": "number", "minimum": 0, "maximum": 31999}}]);
        let cases = [
            (by_budget(5000), json!({"thinking_budget": 5000})),
            (by_budget(99_999), json!({"thinking_budget": 31999})),
            (by_effort("low"), json!({"thinking_budget": 4096})),
            (by_effort("max"), json!({"thinking_budget": 31999})),
            (by_effort("none"), json!({"thinking_budget": 0})),
        ];
        for (reasoning_setting, expected) in cases {
            assert_eq!(thought(reasoning_setting.clone(), Some(budget())), expected, "{reasoning_setting:?}");
        }
        let both = json!([{"name": "output_effort", "schema": {"enum": ["low", "high"]}},
                          {"name": "thinking_budget", "schema": {"type": "number", "maximum": 63999}}]);
        assert_eq!(thought(by_budget(7), Some(both.clone())), json!({"thinking_budget": 7}));
        assert_eq!(thought(by_effort("low"), Some(both)), json!({"output_effort": "low"}));
    }

    #[test]
    fn switches_and_models_without_any_knob() {
        let switch = || json!([{"name": "enable_thinking", "schema": {"type": "boolean"}}]);
        assert_eq!(thought(by_effort("high"), Some(switch())), json!({"enable_thinking": true}));
        assert_eq!(thought(by_effort("none"), Some(switch())), json!({"enable_thinking": false}));
        assert_eq!(thought(by_effort("high"), Some(json!([]))), json!({}));
    }

    #[test]
    fn unknown_models_get_the_common_names() {
        let reasoning_setting = Reasoning { budget: Some(9), ..by_effort("low") };
        assert_eq!(
            thought(reasoning_setting, None),
            json!({"reasoning_effort": "low", "thinking_budget": 9})
        );
    }

    #[test]
    fn hints_are_sent_where_the_model_declares_them() {
        let entry = entry(json!([
            {"name": "aspect_ratio", "schema": {"enum": ["1:1", "16:9"]}},
            {"name": "duration", "schema": {"enum": ["5", "10"]}},
            {"name": "web_search", "schema": {"type": "boolean"}},
            {"name": "max_output_tokens", "schema": {"type": "integer", "maximum": 100}},
            {"name": "quality", "schema": {"type": "string"}}]));
        let hints = json!({"aspect_ratio": "16:9", "duration": 5, "web_search_options": {}, "quality": "low",
                           "invented": 1});
        let mut chat = ChatRequest { hints: hints.as_object().unwrap().clone(), ..ChatRequest::default() };
        chat.sampling.max_tokens = Some(500);
        chat.sampling.top_p = Some(0.5);
        chat.parameters.insert("quality".into(), "high".into());
        chat.parameters.insert("own".into(), 7.into());
        fit(&mut chat, Some(&entry));
        let expected = json!({"aspect_ratio": "16:9", "duration": "5", "web_search": true, "max_output_tokens": 100,
                              "quality": "high", "own": 7});
        assert_eq!(Value::Object(chat.parameters), expected);
    }

    #[test]
    fn the_search_of_the_web_goes_by_any_of_its_names() {
        for declared in SEARCH_NAMES {
            let entry = entry(json!([{"name": declared, "schema": {"type": "boolean"}}]));
            for (name, value) in [
                ("web_search", json!(true)),
                ("enable_web_search", json!(true)),
                ("web_search_options", json!({})),
            ] {
                let mut chat = ChatRequest::default();
                chat.hints.insert(name.into(), value);
                fit(&mut chat, Some(&entry));
                assert_eq!(Value::Object(chat.parameters), json!({*declared: true}), "{name} for {declared}");
            }
        }
    }

    #[test]
    fn a_value_that_the_model_does_not_take_is_left_out() {
        let entry = entry(json!([{"name": "aspect_ratio", "schema": {"enum": ["1:1"]}}]));
        let mut chat = ChatRequest {
            hints: json!({"aspect_ratio": "2:1"}).as_object().unwrap().clone(),
            ..ChatRequest::default()
        };
        fit(&mut chat, Some(&entry));
        assert!(chat.parameters.is_empty());
    }
}
