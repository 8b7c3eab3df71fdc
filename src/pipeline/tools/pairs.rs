//! Brings calls and their results together, however a client orders and names them.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::pipeline::{Message, Part, Role};

/// What stands in the place of a result that a client does not send: bots refuse a call without one.
const NO_RESULT: &str = "(no result: the call was not answered)";

/// Gives an id to calls without one, and to results without one that of the call which they answer: the first open one of
/// their function's name, else the first open one. A result that answers no call stays as it is.
pub fn name_results(messages: &mut [Message]) {
    let mut calls = Calls::default();
    for (turn, message) in messages.iter_mut().enumerate() {
        for (at, call) in message.tool_calls.iter_mut().enumerate() {
            if call.id.is_empty() {
                call.id = own_id(turn, at);
            }
            calls.add(&call.id, &call.name, (turn, at));
        }
        if message.role != Role::Tool {
            continue;
        }
        let given = message.tool_call_id.take().filter(|id| !id.is_empty());
        let is_answered = given.as_ref().is_some_and(|id| calls.answer(id));
        // the old way states the function's name in the place of an id
        let name = message.name.as_ref().or(given.as_ref()).filter(|_| !is_answered);
        let named = name.and_then(|name| calls.take_named(name));
        message.tool_call_id = named.or(given).or_else(|| calls.take_first());
    }
    for (turn, at) in calls.renamed {
        messages[turn].tool_calls[at].id = own_id(turn, at);
    }
}

fn own_id(turn: usize, at: usize) -> String {
    format!("call_{turn}_{at}")
}

/// The calls so far, each found without a walk through the others.
#[derive(Default)]
struct Calls {
    all: Vec<Call>,
    /// Before this one all are answered.
    first: usize,
    /// Calls of one id, those answered by it aside, and the newest of all.
    by_id: HashMap<String, (Vec<usize>, usize)>,
    by_name: HashMap<String, VecDeque<usize>>,
    /// Calls that were answered without an id, and have it no longer because a newer call has it, too.
    renamed: Vec<(usize, usize)>,
}

struct Call {
    id: String,
    is_open: bool,
    /// Its turn, and which call of the turn.
    place: (usize, usize),
}

impl Calls {
    fn add(&mut self, id: &str, name: &str, place: (usize, usize)) {
        let number = self.all.len();
        let (open, newest) = self.by_id.entry(id.to_owned()).or_default();
        open.push(number);
        *newest = number;
        self.by_name.entry(name.to_owned()).or_default().push_back(number);
        self.all.push(Call { id: id.to_owned(), is_open: true, place });
    }

    /// Closes the last open call of this id; whether there is a call of this id at all.
    fn answer(&mut self, id: &str) -> bool {
        let Some((open, _)) = self.by_id.get_mut(id) else { return false };
        while open.pop().is_some_and(|number| !std::mem::take(&mut self.all[number].is_open)) {}
        true
    }

    /// Closes the first open call of the function `name`.
    fn take_named(&mut self, name: &str) -> Option<String> {
        let numbers = self.by_name.get_mut(name)?;
        let number = std::iter::from_fn(|| numbers.pop_front()).find(|number| self.all[*number].is_open)?;
        Some(self.close(number))
    }

    /// Closes the first open call.
    fn take_first(&mut self) -> Option<String> {
        self.first += self.all[self.first..].iter().position(|call| call.is_open)?;
        Some(self.close(self.first))
    }

    fn close(&mut self, number: usize) -> String {
        let call = &mut self.all[number];
        call.is_open = false;
        if self.by_id.get(&call.id).is_none_or(|(_, newest)| *newest == number) {
            return call.id.clone();
        }
        self.renamed.push(call.place);
        own_id(call.place.0, call.place.1)
    }
}

/// Moves every result directly behind the turn of its call, and puts a placeholder where a call has none. Ids are unique.
pub fn results_behind_calls(messages: &mut Vec<Message>) {
    if messages.iter().all(|message| message.tool_calls.is_empty()) {
        return;
    }
    let calls = messages.iter().flat_map(|message| &message.tool_calls);
    let called: HashSet<String> = calls.map(|call| call.id.clone()).collect();
    let mut results: HashMap<String, (usize, Message)> = HashMap::new();
    let mut turns = Vec::with_capacity(messages.len());
    for (at, message) in std::mem::take(messages).into_iter().enumerate() {
        match message.tool_call_id.clone() {
            Some(id) if message.role == Role::Tool && called.contains(&id) => {
                drop(results.insert(id, (at, message)))
            }
            _ => turns.push(message),
        }
    }
    for turn in turns {
        let ids: Vec<String> = turn.tool_calls.iter().map(|call| call.id.clone()).collect();
        messages.push(turn);
        let mut found: Vec<(usize, Message)> = ids
            .into_iter()
            .map(|id| results.remove(&id).unwrap_or_else(|| (usize::MAX, placeholder(id))))
            .collect();
        found.sort_by_key(|(at, _)| *at);
        messages.extend(found.into_iter().map(|(_, result)| result));
    }
}

fn placeholder(id: String) -> Message {
    let parts = vec![Part::Text(NO_RESULT.to_owned())];
    Message { role: Role::Tool, parts, tool_call_id: Some(id), ..Message::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::ToolCall;
    use crate::pipeline::tools::unique_call_ids;

    fn say(role: Role, text: &str) -> Message {
        Message { role, parts: vec![Part::Text(text.into())], ..Message::default() }
    }

    fn calling(calls: &[(&str, &str)]) -> Message {
        let call = |(id, name): &(&str, &str)| ToolCall {
            id: (*id).into(),
            name: (*name).into(),
            arguments: "{}".into(),
        };
        Message { role: Role::Assistant, tool_calls: calls.iter().map(call).collect(), ..Message::default() }
    }

    fn result(id: Option<&str>, name: Option<&str>, text: &str) -> Message {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Message { tool_call_id: owned(id), name: owned(name), ..say(Role::Tool, text) }
    }

    /// `messages` after all steps: the role's first letter and the text, for results with the name of their call.
    fn paired(mut messages: Vec<Message>) -> Vec<String> {
        name_results(&mut messages);
        unique_call_ids(&mut messages);
        results_behind_calls(&mut messages);
        let calls: Vec<ToolCall> = messages.iter().flat_map(|message| message.tool_calls.clone()).collect();
        let name = |message: &Message| {
            let found = calls.iter().find(|call| Some(&call.id) == message.tool_call_id.as_ref());
            found.map_or(String::new(), |call| format!("{}=", call.name))
        };
        messages
            .iter()
            .map(|message| format!("{:?} {}{}", message.role, name(message), message.text()))
            .collect()
    }

    #[test]
    fn calls_and_results_belong_together() {
        let user = || say(Role::User, "wait");
        let (a, b) = (|| calling(&[("a", "f")]), || calling(&[("a", "f"), ("b", "g")]));
        let none = format!("Tool f={NO_RESULT}");
        for (desc, messages, expected) in [
            (
                "a turn in between",
                vec![a(), user(), result(Some("a"), None, "1")],
                vec!["Assistant ", "Tool f=1", "User wait"],
            ),
            (
                "no id",
                vec![b(), result(None, None, "1"), result(None, None, "2")],
                vec!["Assistant ", "Tool f=1", "Tool g=2"],
            ),
            ("empty id", vec![a(), result(Some(""), None, "1")], vec!["Assistant ", "Tool f=1"]),
            (
                "by name",
                vec![b(), result(None, Some("g"), "2"), result(None, Some("f"), "1")],
                vec!["Assistant ", "Tool g=2", "Tool f=1"],
            ),
            (
                "name as id",
                vec![b(), result(Some("g"), None, "2"), result(Some("a"), None, "1")],
                vec!["Assistant ", "Tool g=2", "Tool f=1"],
            ),
            ("no result", vec![a(), user()], vec!["Assistant ", &none, "User wait"]),
            (
                "one of two",
                vec![b(), result(Some("b"), None, "2"), user()],
                vec!["Assistant ", "Tool g=2", &none, "User wait"],
            ),
            (
                "one id twice",
                vec![a(), result(Some("a"), None, "1"), a(), result(Some("a"), None, "2")],
                vec!["Assistant ", "Tool f=1", "Assistant ", "Tool f=2"],
            ),
            (
                "one id of two calls, the last of which is answered by it",
                vec![
                    calling(&[("a", "f")]),
                    calling(&[("a", "f")]),
                    result(Some("a"), None, "2"),
                    result(None, Some("f"), "1"),
                ],
                vec!["Assistant ", "Tool f=1", "Assistant ", "Tool f=2"],
            ),
            (
                "two results",
                vec![a(), result(Some("a"), None, "1"), result(Some("a"), None, "2")],
                vec!["Assistant ", "Tool f=2"],
            ),
            (
                "no ids at all",
                vec![calling(&[("", "f"), ("", "g")]), result(None, None, "1"), result(None, None, "2")],
                vec!["Assistant ", "Tool f=1", "Tool g=2"],
            ),
        ] {
            assert_eq!(paired(messages), expected, "{desc}");
        }
    }

    #[test]
    fn a_result_of_no_call_is_left_to_be_refused() {
        let mut messages = vec![calling(&[("a", "f")]), result(Some("x"), None, "1")];
        name_results(&mut messages);
        assert_eq!(messages[1].tool_call_id.as_deref(), Some("x"));
        let mut messages = vec![result(None, None, "1"), calling(&[("a", "f")])];
        name_results(&mut messages);
        assert_eq!(messages[0].tool_call_id, None);
    }
}
