//! Bots that answer JSON as models do: in a fence, with prose around it, and not always valid.

use serde_json::{Value, json};

use super::talk::echoed;
use super::{Turn, toolbox};
use crate::demo::sample;
use crate::demo::script::{AWKWARD, Script, pieces, say, whole};

/// The words of a complaint that [`late`] waits for.
const COMPLAINT: &str = "did not fit";

pub fn json(turn: &Turn) -> Script {
    answer(turn, true)
}

pub fn late(turn: &Turn) -> Script {
    answer(turn, turn.query.mentions(COMPLAINT))
}

pub fn never(turn: &Turn) -> Script {
    answer(turn, false)
}

fn answer(turn: &Turn, right: bool) -> Script {
    let prompt = toolbox::context(turn.query);
    let schema = schema_in(&prompt);
    if schema.is_none() && !prompt.contains("JSON") && !prompt.contains("json") {
        return say(&echoed(turn.query));
    }
    let value = match schema {
        Some(schema) if right => sample::fitting(&schema, turn.query.said()),
        None if right => json!({"answer": turn.query.said()}),
        Some(schema) if sample::kind(&schema) == "array" => json!({"not": "what was asked for"}),
        _ => json!(["not what was asked for"]),
    };
    let fenced =
        format!("Here is the JSON:\n\n```json\n{value:#}\n```\n\nTell me if you need anything else.");
    whole(pieces(&fenced, AWKWARD))
}

/// The first JSON object in the prompt that looks like a schema, or its `schema` if it is OpenAI's wrapper.
fn schema_in(prompt: &str) -> Option<Value> {
    let objects = prompt.match_indices('{').filter_map(|(at, _)| object_at(&prompt[at..]));
    objects.map(|object| object.get("schema").cloned().unwrap_or(object)).find(is_schema)
}

fn object_at(text: &str) -> Option<Value> {
    serde_json::Deserializer::from_str(text).into_iter().next()?.ok()
}

fn is_schema(object: &Value) -> bool {
    ["type", "properties", "$ref", "anyOf", "enum"].iter().any(|word| object.get(word).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::bots::tests::{steps, text as said};
    use crate::demo::query::tests::{asking, with};

    fn answered(bot: &str, prompt: &str) -> Value {
        let query = with(
            json!({"query": [{"role": "system", "content": prompt}, {"role": "user", "content": "age=7"}]}),
        );
        let text = said(&steps(bot, &query));
        let fenced = text.split("```json\n").nth(1).unwrap().split("\n```").next().unwrap();
        serde_json::from_str(fenced).unwrap()
    }

    const SCHEMA: &str =
        "Answer in JSON like {this}:\n{\"type\":\"object\",\"properties\":{\"age\":{\"type\":\"integer\"}}}";

    #[test]
    fn the_schema_is_found_and_met() {
        assert_eq!(answered("demo-json", SCHEMA), json!({"age": 7}));
        let wrapped = "{\"name\":\"n\",\"schema\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"}}}";
        assert_eq!(answered("demo-json", wrapped), json!([true]));
        assert_eq!(answered("demo-json", "Answer in JSON."), json!({"answer": "age=7"}));
    }

    #[test]
    fn late_needs_a_complaint_and_never_learns() {
        let complaint = format!("{SCHEMA}\nYour last answer did not fit: age is missing.");
        assert_eq!(answered("demo-json-late", SCHEMA), json!(["not what was asked for"]));
        assert_eq!(answered("demo-json-late", &complaint), json!({"age": 7}));
        assert_eq!(answered("demo-json-never", &complaint), json!(["not what was asked for"]));
    }

    #[test]
    fn without_a_word_of_it_there_is_no_json() {
        assert_eq!(said(&steps("demo-json", &asking("hello"))), "hello");
    }
}
