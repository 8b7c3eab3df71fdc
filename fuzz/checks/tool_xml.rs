//! The extractor of calls: splits do not change the result, arguments are JSON objects, and text without a call is unchanged.

use poe2openai::pipeline::{FinishReason, Tool, ToolXml};

use serde_json::{Map, Value, json};

use super::replay::{Answer, fold};

/// Checks one input.
pub fn tool_xml(data: &[u8]) {
    let answer = Answer::of(data);
    let tools = tools();
    let stage = || {
        let mut made = 0;
        ToolXml::new(&tools, move || {
            made += 1;
            format!("call_{made}")
        })
    };
    let whole = fold(answer.whole(), stage());
    assert_eq!(fold(answer.pieces(), stage()), whole);
    assert_eq!(fold(answer.letters(), stage()), whole);
    for call in &whole.tool_calls {
        assert!(tools.iter().any(|tool| tool.name == call.name));
        serde_json::from_str::<Map<String, Value>>(&call.arguments).expect("arguments are a JSON object");
    }
    match whole.tool_calls.is_empty() {
        true => assert_eq!(whole.text, answer.text),
        false => assert_eq!(whole.finish.reason, FinishReason::ToolCalls),
    }
    let nothing_offered = fold(answer.pieces(), ToolXml::new(&[], String::new));
    assert_eq!(nothing_offered.text, answer.text);
}

fn tools() -> Vec<Tool> {
    let tool = |name: &str, parameters| Tool { name: name.into(), description: None, parameters };
    let text = json!({"type": "string"});
    let typed = json!({
        "type": "object",
        "properties": {
            "s": text, "i": {"type": "integer"}, "n": {"type": "number"}, "b": {"type": ["boolean", "null"]},
            "a": {"type": "array", "items": {"$ref": "#/$defs/D"}}, "o": {"$ref": "#/$defs/D"},
            "e": {"enum": ["x", 1, null]}, "m": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        },
        "$defs": {"D": {"type": "object", "properties": {"i": {"type": "integer"}, "d": {"$ref": "#/$defs/D"}}}},
    });
    vec![
        tool("f", Some(typed)),
        tool("g", None),
        tool("h", Some(json!({"properties": {"p": text, "q": text}, "required": ["p"]}))),
    ]
}
