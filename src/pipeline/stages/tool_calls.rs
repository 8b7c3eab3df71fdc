//! Stage that makes native tool calls well-formed, in whatever pieces the bot sends them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::rc::Rc;

use crate::error::{Error, Kind};
use crate::pipeline::call_arguments::Arguments;
use crate::pipeline::tools::cleaned_name;
use crate::pipeline::{Event, FinishReason, Stage, Tool, ToolDelta};

/// Repairs [`Event::ToolCall`]s so that any client can join them.
///
/// - The first piece of a call carries id and name, no later piece does; arguments that come before the name wait
///   for it. A missing id is made, and so is one that another call of the answer has.
/// - Calls are numbered from 0 in the order in which they first appear. A piece with a name and another id than
///   the call of its index begins a new call: some bots number all calls alike.
/// - Empty arguments become `{}` at the end. A call that never gets a name is no call and is dropped.
/// - A whole object of arguments is replaced by another that follows it, see `Arguments`; it is passed on once
///   something else follows, an empty one at the end.
/// - Arguments that break off end the answer with an error, unless the answer was cut short or refused.
/// - A name that is not on offer loses what stands around one that is: `functions.f`, `f<|channel|>json`.
/// - The answer ends with [`FinishReason::ToolCalls`] if it made a call and never otherwise. An answer that was
///   cut short or refused keeps that reason: its last call may be incomplete.
pub struct ToolCalls<I> {
    make_id: I,
    /// In the order of their appearance: up to `announced` open ones, behind that waiting ones.
    calls: Vec<Call>,
    announced: usize,
    /// The last call of each index of the bot's.
    last: HashMap<usize, usize>,
    /// The first call of each index and id of the bot's.
    given: HashMap<(usize, Rc<str>), usize>,
    /// The ids of the calls that were announced.
    used: HashSet<Rc<str>>,
    /// The call whose arguments are whole and held back.
    held: Option<usize>,
    /// Names of the tools on offer.
    offered: HashSet<String>,
    fault: Option<Error>,
}

struct Call {
    /// The id that the bot gave it.
    given: Option<Rc<str>>,
    /// The name that the bot gave it.
    name: Option<String>,
    stage: Progress,
    arguments: Arguments,
}

enum Progress {
    /// No name yet, or an earlier call has none.
    Waiting { name: Option<String> },
    /// Announced to the client.
    Announced,
}

impl<I: FnMut() -> String> ToolCalls<I> {
    /// `make_id` makes an id that no other call has.
    pub fn new(make_id: I) -> ToolCalls<I> {
        ToolCalls {
            make_id,
            calls: Vec::new(),
            announced: 0,
            last: HashMap::new(),
            given: HashMap::new(),
            used: HashSet::new(),
            held: None,
            offered: HashSet::new(),
            fault: None,
        }
    }

    /// Corrects names to those of `tools`.
    pub fn offering(mut self, tools: &[Tool]) -> ToolCalls<I> {
        self.offered = tools.iter().map(|tool| tool.name.clone()).collect();
        self
    }

    fn piece(&mut self, delta: ToolDelta, out: &mut VecDeque<Event>) {
        let id: Option<Rc<str>> = delta.id.filter(|id| !id.is_empty()).map(Rc::from);
        let name = delta.name.filter(|name| !name.is_empty());
        let at = self.call(delta.index, id.as_ref(), name.as_deref());
        if self.held.is_some_and(|held| held != at) {
            self.let_go(out);
        }
        let call = &mut self.calls[at];
        if let (None, Some(id)) = (&call.given, id) {
            self.given.entry((delta.index, Rc::clone(&id))).or_insert(at);
            call.given = Some(id);
        }
        call.name = call.name.take().or(name.clone());
        let arguments = call.arguments.push(&delta.arguments);
        match &mut call.stage {
            Progress::Waiting { name: known } => {
                *known = known.take().or(name.map(|name| cleaned_name(name, &self.offered)));
                // what is passed on waits for the name
                call.arguments.keep(arguments.len());
                self.announce(out);
            }
            Progress::Announced => pass_on(at, arguments, out),
        }
        self.held = self.calls[at].arguments.is_held().then_some(at).filter(|at| *at < self.announced);
    }

    /// Passes on the arguments that were held back.
    fn let_go(&mut self, out: &mut VecDeque<Event>) {
        if let Some(at) = self.held.take() {
            pass_on(at, self.calls[at].arguments.rest(), out);
        }
    }

    /// Where the call lies that a piece belongs to.
    fn call(&mut self, index: usize, id: Option<&Rc<str>>, name: Option<&str>) -> usize {
        if let Some(&at) = self.last.get(&index) {
            let given = self.calls[at].given.as_ref();
            let another = match (id, given) {
                (Some(_), Some(_)) => name.is_some() && id != given,
                _ => {
                    name.is_some_and(|name| self.calls[at].name.as_deref().is_some_and(|known| known != name))
                }
            };
            // A piece may come late for a call that shares its index with a later one.
            let same = id.and_then(|id| self.given.get(&(index, Rc::clone(id)))).copied();
            if !another || same.is_some() {
                return same.unwrap_or(at);
            }
        }
        let (stage, arguments) = (Progress::Waiting { name: None }, Arguments::default());
        self.calls.push(Call { given: None, name: None, stage, arguments });
        self.last.insert(index, self.calls.len() - 1);
        self.calls.len() - 1
    }

    /// Announces the calls that have a name, up to the first that has none.
    fn announce(&mut self, out: &mut VecDeque<Event>) {
        while let Some(call) = self.calls.get_mut(self.announced) {
            let Progress::Waiting { name } = &mut call.stage else { unreachable!("announced in order") };
            let Some(name) = name.take() else { return };
            let arguments = call.arguments.begun();
            let id = self.unused_id();
            out.push_back(Event::ToolCall(ToolDelta {
                index: self.announced,
                id: Some(id.as_ref().to_owned()),
                name: Some(name),
                arguments: String::new(),
            }));
            pass_on(self.announced, arguments, out);
            self.used.insert(id);
            self.calls[self.announced].stage = Progress::Announced;
            self.announced += 1;
        }
    }

    /// The id of the next call to announce: the bot's own if it is free.
    fn unused_id(&mut self) -> Rc<str> {
        let own = self.calls[self.announced].given.clone();
        match own.filter(|id| !self.used.contains(id)) {
            Some(id) => id,
            None => loop {
                let id = (self.make_id)();
                if !self.used.contains(id.as_str()) {
                    return id.into();
                }
            },
        }
    }

    fn close(&mut self, out: &mut VecDeque<Event>) {
        // What has no name by now never will: let those behind it through.
        self.calls.retain(|call| !matches!(call.stage, Progress::Waiting { name: None }));
        self.last.clear();
        self.given.clear();
        self.announce(out);
        for (at, call) in self.calls.iter_mut().enumerate() {
            pass_on(at, call.arguments.close(), out);
        }
        self.held = None;
    }

    /// The error that an answer ends with whose last words are half a call.
    fn broken(&self, reason: FinishReason) -> Option<Error> {
        let is_cut_short = matches!(reason, FinishReason::Length | FinishReason::ContentFilter);
        let is_cut = self.calls.iter().any(|call| call.arguments.are_cut());
        let message = "the bot called a function, but its arguments break off before the end";
        (is_cut && !is_cut_short).then(|| Error::new(Kind::Upstream, message))
    }
}

/// Passes on more `arguments` of the call at `index`.
fn pass_on(index: usize, arguments: String, out: &mut VecDeque<Event>) {
    if !arguments.is_empty() {
        out.push_back(Event::ToolCall(ToolDelta { index, arguments, ..ToolDelta::default() }));
    }
}

impl<I: FnMut() -> String> Stage for ToolCalls<I> {
    #[inline]
    fn passes(&mut self, event: &Event) -> bool {
        self.held.is_none() && !matches!(event, Event::ToolCall(_) | Event::Finish(_))
    }

    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match event {
            Event::ToolCall(delta) => self.piece(delta, out),
            Event::Finish(mut finish) => {
                self.close(out);
                self.fault = self.broken(finish.reason);
                if self.fault.is_some() {
                    return ControlFlow::Break(());
                }
                finish.reason = match (finish.reason, self.calls.is_empty()) {
                    (FinishReason::Stop, false) => FinishReason::ToolCalls,
                    (FinishReason::ToolCalls, true) => FinishReason::Stop,
                    (reason, _) => reason,
                };
                out.push_back(Event::Finish(finish));
            }
            other => {
                self.let_go(out);
                out.push_back(other);
            }
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self, out: &mut VecDeque<Event>) {
        self.close(out);
    }

    fn fault(&mut self) -> Option<Error> {
        self.fault.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::testing::{end, replay};
    use crate::pipeline::{Reply, Stages};

    fn delta(index: usize, id: &str, name: &str, arguments: &str) -> Event {
        let some = |text: &str| (text != "-").then(|| text.to_string());
        Event::ToolCall(ToolDelta { index, id: some(id), name: some(name), arguments: arguments.into() })
    }

    fn ids() -> impl FnMut() -> String {
        let mut made = 0;
        move || {
            made += 1;
            format!("call_{made}")
        }
    }

    /// The calls of the answer, one line each, once the stream has proven well-formed.
    fn calls(mut events: Vec<Event>, reason: FinishReason) -> (Vec<String>, FinishReason) {
        events.push(end(reason));
        let events = replay(events, ToolCalls::new(ids()));
        let mut known = 0;
        for event in &events {
            if let Event::ToolCall(delta) = event {
                assert_eq!(delta.id.is_some(), delta.index == known, "{events:?}");
                assert_eq!(delta.name.is_some(), delta.index == known, "{events:?}");
                known += usize::from(delta.index == known);
            }
        }
        let reply = Reply::fold(events.into_iter().map(Ok)).unwrap();
        let lines =
            reply.tool_calls.iter().map(|call| format!("{} {} {}", call.id, call.name, call.arguments));
        (lines.collect(), reply.finish.reason)
    }

    #[test]
    fn calls_become_well_formed() {
        for (desc, events, expected) in [
            (
                "well-formed",
                vec![delta(0, "a", "f", ""), delta(0, "-", "-", "{"), delta(0, "-", "-", "}")],
                vec!["a f {}"],
            ),
            ("in one piece", vec![delta(0, "a", "f", "{\"x\":1}")], vec!["a f {\"x\":1}"]),
            ("id and name repeated", vec![delta(0, "a", "f", "{"), delta(0, "a", "f", "}")], vec!["a f {}"]),
            (
                "no id",
                vec![delta(0, "-", "f", "{}"), delta(1, "", "g", "{}")],
                vec!["call_1 f {}", "call_2 g {}"],
            ),
            (
                "id after the name",
                vec![delta(0, "-", "f", "{"), delta(0, "a", "-", "}")],
                vec!["call_1 f {}"],
            ),
            (
                "name after arguments",
                vec![delta(0, "a", "-", "{"), delta(0, "-", "", "1"), delta(0, "-", "f", "}")],
                vec!["a f {1}"],
            ),
            (
                "same id twice",
                vec![delta(0, "a", "f", "{}"), delta(1, "a", "g", "{}")],
                vec!["a f {}", "call_1 g {}"],
            ),
            (
                "a made id that was given",
                vec![delta(0, "call_1", "f", "{}"), delta(1, "-", "g", "{}")],
                vec!["call_1 f {}", "call_2 g {}"],
            ),
            (
                "no arguments",
                vec![delta(0, "a", "f", ""), delta(1, "b", "g", " \n")],
                vec!["a f {}", "b g {}"],
            ),
            ("gaps", vec![delta(7, "a", "f", "{}"), delta(2, "b", "g", "{}")], vec!["a f {}", "b g {}"]),
            (
                "interleaved",
                vec![
                    delta(1, "a", "f", "{"),
                    delta(3, "b", "g", "{"),
                    delta(1, "-", "-", "}"),
                    delta(3, "-", "-", "}"),
                ],
                vec!["a f {}", "b g {}"],
            ),
            (
                "all numbered 0",
                vec![delta(0, "a", "f", "{}"), delta(0, "b", "f", "{"), delta(0, "-", "-", "}")],
                vec!["a f {}", "b f {}"],
            ),
            (
                "late piece by id",
                vec![delta(0, "a", "f", "{"), delta(0, "b", "f", "{}"), delta(0, "a", "-", "}")],
                vec!["a f {}", "b f {}"],
            ),
            (
                "the first waits for its name",
                vec![delta(0, "a", "-", "{}"), delta(1, "b", "g", "{}"), delta(0, "-", "f", "")],
                vec!["a f {}", "b g {}"],
            ),
            ("never named", vec![delta(0, "a", "-", "{}"), delta(1, "b", "g", "{}")], vec!["b g {}"]),
        ] {
            assert_eq!(
                calls(events, FinishReason::ToolCalls),
                (expected.into_iter().map(String::from).collect(), FinishReason::ToolCalls),
                "{desc}"
            );
        }
    }

    #[test]
    fn a_new_whole_object_replaces_the_arguments() {
        let (paris, rome) = (r#"{"c":"Paris"}"#, r#"{"c":"Rome"}"#);
        for (desc, events, expected) in [
            (
                "an empty object first",
                vec![delta(0, "a", "f", "{}"), delta(0, "-", "-", paris)],
                vec!["a f {\"c\":\"Paris\"}"],
            ),
            (
                "empty objects of two calls first",
                vec![
                    delta(0, "a", "f", "{}"),
                    delta(1, "b", "g", "{}"),
                    delta(0, "-", "-", paris),
                    delta(1, "-", "-", rome),
                ],
                vec!["a f {\"c\":\"Paris\"}", "b g {\"c\":\"Rome\"}"],
            ),
            (
                "once more at the end",
                vec![
                    delta(0, "a", "f", "{\"c\":"),
                    delta(0, "-", "-", "\"Paris\"}"),
                    delta(0, "a", "f", paris),
                ],
                vec!["a f {\"c\":\"Paris\"}"],
            ),
            (
                "each time so far",
                vec![
                    delta(0, "a", "f", "{\"c\":"),
                    delta(0, "a", "f", "{\"c\":\"Pa"),
                    delta(0, "a", "f", paris),
                ],
                vec!["a f {\"c\":\"Paris\"}"],
            ),
            ("none", vec![delta(0, "a", "f", "null")], vec!["a f {}"]),
        ] {
            let expected: Vec<String> = expected.into_iter().map(String::from).collect();
            assert_eq!(calls(events, FinishReason::ToolCalls).0, expected, "{desc}");
        }
    }

    #[test]
    fn half_a_call_is_an_error() {
        let run = |arguments: &str, reason| {
            let events = vec![delta(0, "a", "f", arguments), end(reason)];
            events.into_iter().map(Ok).through(ToolCalls::new(ids())).find_map(crate::error::Result::err)
        };
        for cut in ["{", "{\"c\": \"Par", "{\"c\": {}"] {
            let error = run(cut, FinishReason::ToolCalls).unwrap();
            assert_eq!(error.kind, Kind::Upstream);
            assert!(error.message.contains("break off"), "{error}");
            assert!(run(cut, FinishReason::Stop).is_some());
            assert_eq!(run(cut, FinishReason::Length), None, "the client knows that it was cut");
        }
        assert_eq!(run("{\"c\": \"}\"}", FinishReason::ToolCalls), None);
    }

    #[test]
    fn names_lose_what_is_around_them() {
        let tool = Tool { name: "get_weather".into(), description: None, parameters: None };
        for name in [
            "get_weather",
            "functions.get_weather",
            "get_weather<|channel|>commentary",
            "functions.get_weather:0",
            " get_weather ",
            "get_weather</tool_call>",
            "default_api:get_weather",
        ] {
            let events = vec![delta(0, "a", name, "{}"), end(FinishReason::Stop)];
            let out = replay(events, ToolCalls::new(ids()).offering(std::slice::from_ref(&tool)));
            assert_eq!(
                Reply::fold(out.into_iter().map(Ok)).unwrap().tool_calls[0].name,
                "get_weather",
                "{name}"
            );
        }
        let other = vec![delta(0, "a", "functions.other", "{}"), end(FinishReason::Stop)];
        let out = replay(other, ToolCalls::new(ids()).offering(std::slice::from_ref(&tool)));
        assert_eq!(Reply::fold(out.into_iter().map(Ok)).unwrap().tool_calls[0].name, "functions.other");
    }

    #[test]
    fn the_reason_states_whether_calls_were_made() {
        use FinishReason::*;
        let call = vec![delta(0, "a", "f", "{}")];
        for (events, reason, expected) in [
            (call.clone(), Stop, ToolCalls),
            (call.clone(), ToolCalls, ToolCalls),
            (call, Length, Length),
            (vec![], ToolCalls, Stop),
            (vec![], ContentFilter, ContentFilter),
            (vec![delta(0, "a", "-", "{}")], ToolCalls, Stop),
        ] {
            assert_eq!(calls(events, reason).1, expected);
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_closed_and_other_events_pass() {
        let events = vec![Event::Text("a".into()), delta(0, "x", "f", ""), Event::Retract];
        let out = replay(events, ToolCalls::new(ids()));
        assert_eq!(
            out,
            [Event::Text("a".into()), delta(0, "x", "f", ""), Event::Retract, delta(0, "-", "-", "{}")]
        );
    }
}
