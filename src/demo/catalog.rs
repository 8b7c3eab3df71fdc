//! The model list of `GET /v1/models` and the settings of a bot, in the shapes that Poe gives them.

use serde_json::{Value, json};

use super::bots::{self, Bot};
use super::traits::{Parameter, Traits};

/// Tables hold valid JSON; a test says so.
fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

/// `{"object":"list","data":[…]}`, one entry for each bot.
pub fn models(base: &str) -> Value {
    let entries: Vec<Value> = bots::all().enumerate().map(|(index, bot)| entry(bot, index, base)).collect();
    json!({"object": "list", "data": entries})
}

/// `created` is in milliseconds, unlike OpenAI's.
fn entry(bot: &Bot, index: usize, base: &str) -> Value {
    let traits = bot.traits;
    let context = traits.context;
    json!({
        "id": bot.name,
        "object": "model",
        "created": 1_765_227_300_074_u64 + index as u64 * 1000,
        "description": bot.about,
        "owned_by": if bot.is_failure() { "Demo Failures" } else { "Demo" },
        "root": bot.name,
        "architecture": {
            "input_modalities": traits.input,
            "output_modalities": [traits.output],
            "modality": format!("{}->{}", traits.input.join(","), traits.output),
        },
        "supported_features": traits.features,
        // Empty for three of four real entries too: these bots answer at the bot endpoint only.
        "supported_endpoints": traits.endpoints.iter().map(|endpoint| endpoint.path()).collect::<Vec<_>>(),
        "pricing": context.map(|_| json!({"prompt": "0.0000016", "completion": "0.000013", "image": null, "request": null,
            "input_cache_read": "0.00000016", "input_cache_write": null})),
        "context_window": context.map(|(length, output)| json!({"context_length": length, "max_output_tokens": output})),
        "context_length": context.map(|(length, _)| length),
        "metadata": {
            "display_name": display_name(bot.name),
            "image": {"url": format!("{base}/art/cat.png"), "alt": bot.name, "width": 16, "height": 16},
            "url": format!("{base}/bot/{}", bot.name),
        },
        "reasoning": reasoning(traits),
        "parameters": traits.parameters.iter().map(declared).collect::<Vec<_>>(),
    })
}

fn declared(parameter: &Parameter) -> Value {
    json!({"name": parameter.name, "schema": parsed(parameter.schema), "default_value": parsed(parameter.default),
        "description": parameter.about})
}

/// Null for models that do not think, as for most of the real list.
fn reasoning(traits: &Traits) -> Value {
    let named = |name: &str| traits.parameters.iter().find(|parameter| parameter.name == name);
    let effort = named("reasoning_effort").or(named("output_effort")).is_some();
    let budget = named("thinking_budget").map(|parameter| {
        let schema = parsed(parameter.schema);
        json!({"min": schema["minimum"], "max": schema["maximum"]})
    });
    if !effort && budget.is_none() && named("thinking_level").is_none() {
        return Value::Null;
    }
    json!({"budget": budget, "required": false, "supports_reasoning_effort": effort})
}

/// `demo-fast` → `Demo Fast`.
fn display_name(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').filter(|word| !word.is_empty()).map(capital).collect::<Vec<_>>().join(" ")
}

/// What a bot answers to `{"type":"settings"}`.
pub fn settings(bot: &Bot) -> Value {
    let controls: Vec<Value> = bot.traits.parameters.iter().map(control).collect();
    let sections = json!({"api_version": "2", "sections": [{"name": "Parameters", "controls": controls}]});
    json!({
        "response_version": 2,
        "server_bot_dependencies": {},
        "allow_attachments": true,
        "introduction_message": bot.about,
        "parameter_controls": if controls.is_empty() { Value::Null } else { sections },
    })
}

/// The control of Poe's page for a parameter: a list to choose from, a switch, a slider, or a field.
fn control(parameter: &Parameter) -> Value {
    let schema = parsed(parameter.schema);
    let option = |value: &Value| json!({"value": value, "name": value});
    let mut control = match (schema["enum"].as_array(), schema["type"].as_str()) {
        (Some(values), _) => {
            json!({"control": "drop_down", "options": values.iter().map(option).collect::<Vec<_>>()})
        }
        (None, Some("boolean")) => json!({"control": "toggle_switch"}),
        (None, Some("number")) => json!({"control": "slider", "min_value": schema["minimum"],
            "max_value": schema["maximum"], "step": 1}),
        _ => json!({"control": "text_field"}),
    };
    control["label"] = parameter.about.into();
    control["parameter_name"] = parameter.name.into();
    control["default_value"] = parsed(parameter.default);
    control
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry_of(name: &str) -> Value {
        let list = models("http://poe");
        list["data"].as_array().unwrap().iter().find(|entry| entry["id"] == name).unwrap().clone()
    }

    #[test]
    fn the_rich_entry_has_all_that_a_real_one_has() {
        let entry = entry_of("demo-gpt");
        assert_eq!(entry["context_window"], json!({"context_length": 400_000, "max_output_tokens": 128_000}));
        assert_eq!(entry["supported_features"], json!(["web_search", "tools"]));
        assert_eq!(
            entry["reasoning"],
            json!({"budget": null, "required": false, "supports_reasoning_effort": true})
        );
        assert_eq!(entry["architecture"]["modality"], "text,image->text");
        assert_eq!(
            entry["parameters"][1],
            json!({"name": "reasoning_effort", "schema": {"enum": ["none", "low", "medium", "high", "xhigh"]},
                "default_value": "none", "description": "Effort of thought"})
        );
        assert!(entry["created"].as_u64().unwrap() > 1_000_000_000_000);
    }

    #[test]
    fn plain_entries_leave_null_what_poe_leaves_null() {
        let entry = entry_of("demo-error-late");
        assert_eq!(
            (&entry["pricing"], &entry["context_window"], &entry["reasoning"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
        assert_eq!(entry["owned_by"], "Demo Failures");
        assert_eq!(entry_of("demo-painter")["architecture"]["output_modalities"], json!(["image"]));
        assert_eq!(entry_of("demo-slow-start")["metadata"]["display_name"], "Demo Slow Start");
    }

    #[test]
    fn all_tables_hold_valid_json() {
        for parameter in bots::all().flat_map(|bot| bot.traits.parameters) {
            for json in [parameter.schema, parameter.default] {
                assert!(serde_json::from_str::<Value>(json).is_ok(), "{json}");
            }
        }
    }

    #[test]
    fn settings_offer_controls() {
        let claude = settings(bots::find("demo-claude").unwrap());
        let controls = &claude["parameter_controls"]["sections"][0]["controls"];
        let kinds: Vec<&str> =
            controls.as_array().unwrap().iter().map(|one| one["control"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["toggle_switch", "drop_down", "slider"]);
        assert!(settings(bots::find("demo-echo").unwrap())["parameter_controls"].is_null());
    }
}
