//! The events of a whole answer, for a client that asked for a stream.

use serde_json::{Value, json};

use crate::pipeline::{Event, Finish, FinishReason, NativeEndpoint, TokenUsage, ToolDelta};
use crate::poe::ends::{self, End};

/// What the answer `body` of `endpoint` says, event by event.
pub fn events(endpoint: NativeEndpoint, body: &[u8], usage: Option<TokenUsage>) -> Vec<Event> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut events = Vec::new();
    let word = match endpoint {
        NativeEndpoint::Chat => {
            let (choice, message) = (&answer["choices"][0], &answer["choices"][0]["message"]);
            let thought = [&message["reasoning_content"], &message["reasoning"]];
            add_thought(thought.iter().find_map(|thought| thought.as_str()), &mut events);
            [&message["content"], &message["tool_calls"]].iter().for_each(|part| add(part, &mut events));
            &choice["finish_reason"]
        }
        NativeEndpoint::Responses => {
            add(&answer["output"], &mut events);
            &answer["incomplete_details"]["reason"]
        }
        NativeEndpoint::Messages => {
            add(&answer["content"], &mut events);
            &answer["stop_reason"]
        }
    };
    let calls = events.iter().any(|event| matches!(event, Event::ToolCall(_)));
    let reason = match ends::end(word.as_str().unwrap_or_default()) {
        Some(End::Reason(reason)) if reason != FinishReason::Stop => reason,
        _ if calls => FinishReason::ToolCalls,
        _ => FinishReason::Stop,
    };
    events.push(Event::Finish(Finish { reason, usage, ..Finish::default() }));
    events
}

/// Adds what `part` says: a text, a list of parts, an item, a block or a call.
fn add(part: &Value, events: &mut Vec<Event>) {
    match part["type"].as_str() {
        _ if part.is_string() => add_text(part, events),
        _ if part.is_array() => part.as_array().into_iter().flatten().for_each(|part| add(part, events)),
        Some("message") => add(&part["content"], events),
        Some("thinking") => add_thought(part["thinking"].as_str(), events),
        Some("reasoning") => {
            let summary = part["summary"].as_array().into_iter().flatten();
            summary.for_each(|one| add_thought(one["text"].as_str(), events));
        }
        Some("tool_use") => add_call(&part["id"], &part["name"], &part["input"], events),
        Some("function_call") => add_call(&part["call_id"], &part["name"], &part["arguments"], events),
        Some("custom_tool_call") => {
            add_call(&part["call_id"], &part["name"], &json!({"input": part["input"]}), events);
        }
        Some("function") => {
            add_call(&part["id"], &part["function"]["name"], &part["function"]["arguments"], events);
        }
        _ => [&part["text"], &part["refusal"]].iter().for_each(|text| add_text(text, events)),
    }
}

fn add_text(text: &Value, events: &mut Vec<Event>) {
    let text = text.as_str().filter(|text| !text.is_empty());
    events.extend(text.map(|text| Event::Text(text.to_owned())));
}

fn add_thought(text: Option<&str>, events: &mut Vec<Event>) {
    events.extend(text.filter(|text| !text.is_empty()).map(|text| Event::Thinking(text.to_owned())));
}

fn add_call(id: &Value, name: &Value, arguments: &Value, events: &mut Vec<Event>) {
    let index = events.iter().filter(|event| matches!(event, Event::ToolCall(_))).count();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    events.push(Event::ToolCall(ToolDelta {
        index,
        id: id.as_str().map(str::to_owned),
        name: Some(text(name)),
        arguments: if arguments.is_null() { "{}".to_owned() } else { text(arguments) },
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Reply;

    #[test]
    fn the_same_answer_of_every_endpoint_is_the_same_events() {
        let chat = json!({"choices": [{"finish_reason": "tool_calls", "message": {"role": "assistant",
            "reasoning_content": "hm", "reasoning": "hm", "content": "see", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}}]});
        let responses = json!({"status": "completed", "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "content": [{"type": "output_text", "text": "see"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a\":1}"}]});
        let messages = json!({"stop_reason": "tool_use", "content": [{"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "see"}, {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}]});
        let usage = Some(TokenUsage { prompt: 3, completion: 2, reasoning: 1 });
        for (endpoint, body) in
            NativeEndpoint::ALL.into_iter().zip([chat, responses, messages].map(|body| body.to_string()))
        {
            let reply = Reply::fold(events(endpoint, body.as_bytes(), usage).into_iter().map(Ok)).unwrap();
            assert_eq!((reply.thinking.as_str(), reply.text.as_str()), ("hm", "see"), "{endpoint:?}");
            let call = &reply.tool_calls[0];
            assert_eq!(
                (call.id.as_str(), call.name.as_str(), call.arguments.as_str()),
                ("c", "f", "{\"a\":1}")
            );
            assert_eq!((reply.finish.reason, reply.finish.usage), (FinishReason::ToolCalls, usage));
        }
        let cut = [
            json!({"choices": [{"finish_reason": "length", "message": {"content": [{"type": "text", "text": "a"}]}}]}),
            json!({"output": [{"type": "message", "content": "a"}], "incomplete_details": {"reason": "max_output_tokens"}}),
            json!({"content": [{"type": "text", "text": "a"}], "stop_reason": "max_tokens"}),
        ];
        for (endpoint, body) in NativeEndpoint::ALL.into_iter().zip(cut.map(|body| body.to_string())) {
            let events = events(endpoint, body.as_bytes(), None);
            let [Event::Text(text), Event::Finish(finish)] = &events[..] else { panic!("{events:?}") };
            assert_eq!((text.as_str(), finish.reason), ("a", FinishReason::Length), "{endpoint:?}");
        }
    }
}
