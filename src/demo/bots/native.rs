//! Bots with native tools: `json` events that hold chunks as OpenAI streams them.

use serde_json::{Value, json};

use super::Turn;
use super::toolbox::{self, Act, Bench, Call};
use crate::demo::script::{EVEN, Refusal, Script, Step, error, pieces, split, stream, text, whole};

/// What is said before a call.
pub const BEFORE: &str = "Let me use a tool for that.";

pub fn tools(turn: &Turn) -> Script {
    carry(toolbox::plan, turn)
}

/// With tools in the request it calls them, else it repeats the message.
pub fn endpoint(turn: &Turn) -> Script {
    match turn.query.tools.is_empty() {
        true => super::talk::echo(turn),
        false => tools(turn),
    }
}

pub fn shy(turn: &Turn) -> Script {
    let bench = toolbox::from_query(turn.query);
    whole(steps(&bench, &toolbox::shy(turn, &bench)))
}

/// Neither a `finish_reason` nor anything else says that the calls are complete, but for `done`.
pub fn unfinished(turn: &Turn) -> Script {
    match toolbox::plan(&toolbox::from_query(turn.query)) {
        Act::Say(words) => whole(pieces(&words, EVEN)),
        Act::Call(calls) => whole([said(BEFORE), called(&calls)].concat()),
    }
}

/// The same id for every call but the last, which has none; chunks without choices; text beside `json`.
pub fn odd(turn: &Turn) -> Script {
    match toolbox::plan(&toolbox::from_query(turn.query)) {
        Act::Say(words) => whole(vec![text(words)]),
        Act::Call(mut calls) => {
            let last = calls.len() - 1;
            calls.iter_mut().for_each(|call| call.id = "call_0".into());
            let mut steps = vec![
                json_event(json!({"id": "chatcmpl-odd"})),
                text("Odd, "),
                chunk(json!({"content": "but true."}), None),
            ];
            steps.extend(called(&calls).into_iter().map(|step| without_id(step, last)));
            steps.push(chunk(json!({}), Some("tool_calls")));
            steps.push(json_event(json!({"choices": []})));
            whole(steps)
        }
    }
}

fn without_id(mut step: Step, index: usize) -> Step {
    if let Step::Event { data, .. } = &mut step
        && let Some(call) = data["choices"][0]["delta"]["tool_calls"][0].as_object_mut()
        && call.get("index") == Some(&json!(index))
        && index > 0
    {
        call.shift_remove("id");
    }
    step
}

/// Listed with tools and yet without: the bot says so in an event.
pub fn refused(turn: &Turn) -> Script {
    match turn.query.tools.is_empty() {
        true => super::xml::tools(turn),
        false => stream(vec![error(false, None, "Bot demo-tools-refused does not support tool calling")]),
    }
}

/// The same as a whole answer, as recorded from Poe.
pub fn refused_http(turn: &Turn) -> Script {
    if turn.query.tools.is_empty() {
        return super::xml::tools(turn);
    }
    let body = json!({"error": {"message": "Model demo-tools-refused-http does not support tool calling",
        "type": "invalid_request_error", "param": "model", "code": "unsupported_feature_for_model"}});
    Script::Refuse(Refusal { status: 400, headers: Vec::new(), body })
}

/// The events that carry `act`, up to the end of the answer. Poe's library reads only `text` events in the answer that
/// follows results, so that is how these bots send it.
pub fn steps(bench: &Bench, act: &Act) -> Vec<Step> {
    match act {
        Act::Say(words) if !bench.results.is_empty() => pieces(words, EVEN),
        Act::Say(words) => [said(words), vec![chunk(json!({}), Some("stop"))]].concat(),
        Act::Call(calls) => {
            // A chunk with a finish_reason carries nothing else, and chunks may still follow it.
            let end = vec![chunk(json!({}), Some("tool_calls")), json_event(json!({"choices": []}))];
            [said(BEFORE), called(calls), end].concat()
        }
    }
}

/// With tools on offer, text too comes in `json` events.
fn said(words: &str) -> Vec<Step> {
    split(words, EVEN).into_iter().map(|piece| chunk(json!({"content": piece}), None)).collect()
}

fn called(calls: &[Call]) -> Vec<Step> {
    calls.iter().enumerate().flat_map(|(index, call)| deltas(index, call)).collect()
}

/// Id, type and name in the first delta of a call only; the arguments in pieces.
fn deltas(index: usize, call: &Call) -> Vec<Step> {
    let function = json!({"name": call.name, "arguments": ""});
    let mut parts = vec![json!({"index": index, "id": call.id, "type": "function", "function": function})];
    let pieces = split(&call.arguments.to_string(), &[9]);
    parts.extend(pieces.into_iter().map(|piece| json!({"index": index, "function": {"arguments": piece}})));
    parts.into_iter().map(|part| chunk(json!({"tool_calls": [part]}), None)).collect()
}

fn chunk(delta: Value, finish: Option<&str>) -> Step {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    json_event(
        json!({"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 0, "model": "demo", "choices": [choice]}),
    )
}

fn json_event(data: Value) -> Step {
    Step::Event { name: "json", data }
}

/// Carries `act` of an agent.
pub fn carry(plan: fn(&Bench) -> Act, turn: &Turn) -> Script {
    let bench = toolbox::from_query(turn.query);
    whole(steps(&bench, &plan(&bench)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::bots::tests::{calls, nth_script, nth_steps, steps as steps_of, text as said, tool};
    use crate::demo::query::Query;
    use crate::demo::query::tests::with;

    fn offering(task: &str, more: Value) -> Query {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
        let time = json!({"type": "object", "properties": {}});
        let mut fields = json!({"query": [{"role": "user", "content": task}],
            "tools": [tool("weather", schema), tool("time", time)]});
        for (name, value) in more.as_object().unwrap() {
            fields[name] = value.clone();
        }
        with(fields)
    }

    #[test]
    fn calls_come_in_deltas() {
        let steps = steps_of("demo-tools", &offering("city=Rome days=3", json!({})));
        assert_eq!(said(&steps), BEFORE);
        let expected = ("call_1_0_0".into(), "weather".into(), json!({"city": "Rome", "days": 3}));
        assert_eq!(calls(&steps), [expected]);
    }

    #[test]
    fn both_means_two_calls() {
        let names: Vec<String> = calls(&steps_of("demo-tools", &offering("both", json!({}))))
            .into_iter()
            .map(|call| call.1)
            .collect();
        assert_eq!(names, ["weather", "time"]);
    }

    #[test]
    fn results_and_choices_are_heeded() {
        let result = json!({"role": "tool", "name": "weather", "tool_call_id": "c", "content": "sunny"});
        let query = offering("city=Rome", json!({"tool_results": [result]}));
        assert_eq!(said(&steps_of("demo-tools", &query)), "weather says: sunny");
        let none = offering("city=Rome", json!({"tool_choice": "none"}));
        assert!(calls(&steps_of("demo-tools", &none)).is_empty());
        let time = offering("x", json!({"tool_choice": {"type": "function", "function": {"name": "time"}}}));
        assert_eq!(calls(&steps_of("demo-tools", &time))[0].1, "time");
    }

    #[test]
    fn unfinished_and_odd_calls_leave_things_out() {
        let unfinished = steps_of("demo-tools-unfinished", &offering("city=Rome", json!({})));
        let finished = |step: &Step| matches!(step, Step::Event { data, .. } if data["choices"][0]["finish_reason"].is_string());
        assert!(!unfinished.iter().any(finished));
        let odd = calls(&steps_of("demo-tools-odd", &offering("both", json!({}))));
        assert_eq!((odd[0].0.as_str(), odd[1].0.as_str()), ("call_0", ""));
    }

    #[test]
    fn some_refuse_and_some_are_shy() {
        let query = offering("city=Rome", json!({}));
        assert!(matches!(nth_script("demo-tools-refused-http", &query, 1), Script::Refuse(_)));
        let [Step::Event { name: "error", .. }] = steps_of("demo-tools-refused", &query)[..] else {
            panic!("no error")
        };
        assert!(calls(&nth_steps("demo-tools-shy", &query, 1)).is_empty());
        assert_eq!(calls(&nth_steps("demo-tools-shy", &query, 2)).len(), 1);
    }
}
