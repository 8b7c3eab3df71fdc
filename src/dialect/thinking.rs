//! The switches of thinking that makers of models have added to OpenAI's fields, wherever a client puts them.

use serde_json::{Map, Value};

use super::numbers;
use crate::pipeline::Reasoning;

/// Switches that are objects: they are read here, and no bot has a parameter of that kind.
const OBJECTS: [&str; 6] =
    ["chat_template_kwargs", "extra_body", "google", "thinking", "reasoning", "thinking_config"];

/// Completes `reasoning` by the switches among `fields`; what it holds already counts more.
pub fn complete(reasoning: &mut Reasoning, fields: &Map<String, Value>) {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let flag = |name: &str| fields.get(name).and_then(Value::as_bool);
    let number = |name: &str| fields.get(name).and_then(|value| numbers::limit_of(value).ok().flatten());
    let effort = ["reasoning_effort", "thinking_level", "thinkingLevel"].iter().find_map(|name| text(name));
    let budget = ["thinking_budget", "thinkingBudget"].iter().find_map(|name| number(name));
    reasoning.effort = reasoning.effort.take().or(effort);
    reasoning.budget = reasoning.budget.or(budget);
    reasoning.enabled = reasoning.enabled.or(flag("enable_thinking")).or(flag("thinking"));
    if let Some(thinking) = fields.get("thinking").and_then(Value::as_object) {
        let kind = thinking.get("type").and_then(Value::as_str);
        reasoning.enabled = reasoning.enabled.or(kind.map(|kind| kind != "disabled"));
        member(thinking, "budget_tokens", &mut reasoning.budget);
    }
    if let Some(own) = fields.get("reasoning").and_then(Value::as_object) {
        let effort = own.get("effort").and_then(Value::as_str).map(str::to_owned);
        reasoning.effort = reasoning.effort.take().or(effort);
        reasoning.enabled = reasoning.enabled.or(own.get("enabled").and_then(Value::as_bool));
        member(own, "max_tokens", &mut reasoning.budget);
    }
    for name in ["chat_template_kwargs", "extra_body", "google", "thinking_config"] {
        if let Some(inner) = fields.get(name).and_then(Value::as_object) {
            complete(reasoning, inner);
        }
    }
}

fn member(fields: &Map<String, Value>, name: &str, budget: &mut Option<u64>) {
    let given = || fields.get(name).and_then(|value| numbers::limit_of(value).ok().flatten());
    *budget = budget.or_else(given);
}

/// The reasoning of a request: `own` fields of its dialect, then the switches in `extra_body` and the other fields. Those
/// that are objects are taken out of `extra_body`, the rest of which are the bot's own parameters.
pub fn read(
    own: Reasoning,
    extra_body: Option<&mut Map<String, Value>>,
    rest: &Map<String, Value>,
) -> Option<Reasoning> {
    let mut reasoning = own;
    complete(&mut reasoning, rest);
    if let Some(extra) = extra_body {
        complete(&mut reasoning, extra);
        extra.retain(|name, value| !(value.is_object() && OBJECTS.contains(&name.as_str())));
    }
    (reasoning != Reasoning::default()).then_some(reasoning)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_switch_in_every_place() {
        let on = Reasoning { enabled: Some(true), ..Reasoning::default() };
        let off = Reasoning { enabled: Some(false), ..Reasoning::default() };
        let budget = Reasoning { budget: Some(8), ..Reasoning::default() };
        let high = Reasoning { effort: Some("high".into()), ..Reasoning::default() };
        for (fields, expected) in [
            (json!({"enable_thinking": true}), &on),
            (json!({"thinking": true}), &on),
            (json!({"thinking": {"type": "enabled"}}), &on),
            (json!({"thinking": {"type": "disabled"}}), &off),
            (json!({"chat_template_kwargs": {"enable_thinking": false}}), &off),
            (json!({"chat_template_kwargs": {"thinking": false}}), &off),
            (json!({"extra_body": {"chat_template_kwargs": {"thinking": true}}}), &on),
            (json!({"thinking_budget": "8"}), &budget),
            (json!({"google": {"thinking_config": {"thinking_budget": 8.0}}}), &budget),
            (json!({"extra_body": {"google": {"thinking_config": {"thinking_level": "high"}}}}), &high),
            (json!({"reasoning": {"effort": "high", "max_tokens": -1}}), &high),
            (json!({"reasoning_effort": "high", "thinking_budget": -1}), &high),
        ] {
            let Value::Object(mut fields) = fields else { panic!() };
            let rest = fields.clone();
            assert_eq!(read(Reasoning::default(), None, &rest).as_ref(), Some(expected), "{rest:?}");
            assert_eq!(
                read(Reasoning::default(), Some(&mut fields), &Map::new()).as_ref(),
                Some(expected),
                "{rest:?}"
            );
            assert!(fields.values().all(|value| !value.is_object()), "{fields:?}");
        }
        assert_eq!(read(Reasoning::default(), None, &Map::new()), None);
        assert_eq!(read(off.clone(), None, json!({"enable_thinking": true}).as_object().unwrap()), Some(off));
    }
}
