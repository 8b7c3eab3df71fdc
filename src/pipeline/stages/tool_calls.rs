//! Makes the calls of a bot with native tools well-formed, whatever pieces it sends them in.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::pipeline::{Event, FinishReason, Stage, ToolDelta};

/// Repairs [`Event::ToolCall`]s so that any client can join them.
///
/// - The first piece of a call carries id and name, no later piece does; arguments that come before the name wait
///   for it. A missing id is made, and so is one that another call of the answer has.
/// - Calls are numbered from 0 in the order in which they first appear. A piece with a name and another id than
///   the call of its index begins a new call: some bots number all calls alike.
/// - Empty arguments become `{}` at the end. A call that never gets a name is no call and is dropped.
/// - The answer ends with [`FinishReason::ToolCalls`] if it made a call and never otherwise. An answer that was
///   cut short or refused keeps that reason: its last call may be incomplete.
pub struct ToolCalls<I> {
    make_id: I,
    /// In the order of their appearance: up to `announced` open ones, behind that waiting ones.
    calls: Vec<Call>,
    announced: usize,
}

struct Call {
    /// The index by which the bot speaks of it.
    theirs: usize,
    /// The id that the bot gave it.
    given: Option<String>,
    stage: Progress,
}

enum Progress {
    /// No name yet, or an earlier call has none.
    Waiting { name: Option<String>, arguments: String },
    /// Announced to the client, under this id, without arguments so far.
    Bare { id: String },
    /// Announced to the client, with arguments.
    Filled { id: String },
}

impl<I: FnMut() -> String> ToolCalls<I> {
    /// `make_id` makes an id that no other call has.
    pub fn new(make_id: I) -> ToolCalls<I> {
        ToolCalls { make_id, calls: Vec::new(), announced: 0 }
    }

    fn piece(&mut self, delta: ToolDelta, out: &mut VecDeque<Event>) {
        let id = delta.id.filter(|id| !id.is_empty());
        let name = delta.name.filter(|name| !name.is_empty());
        let at = self.call(delta.index, id.as_deref(), name.is_some());
        let call = &mut self.calls[at];
        call.given = call.given.take().or(id);
        match &mut call.stage {
            Progress::Waiting { name: known, arguments } => {
                *known = known.take().or(name);
                arguments.push_str(&delta.arguments);
                self.announce(out);
            }
            stage => more(stage, at, delta.arguments, out),
        }
    }

    /// Where the call lies that a piece belongs to.
    fn call(&mut self, index: usize, id: Option<&str>, named: bool) -> usize {
        let known = self.calls.iter().rposition(|call| call.theirs == index);
        if let Some(at) = known {
            let given = self.calls[at].given.as_deref();
            let another = named && id.is_some() && given.is_some() && id != given;
            // A piece may come late for a call that shares its index with a later one.
            let same = self
                .calls
                .iter()
                .position(|call| call.theirs == index && id.is_some() && call.given.as_deref() == id);
            if !another || same.is_some() {
                return same.unwrap_or(at);
            }
        }
        let stage = Progress::Waiting { name: None, arguments: String::new() };
        self.calls.push(Call { theirs: index, given: None, stage });
        self.calls.len() - 1
    }

    /// Announces the calls that have a name, up to the first that has none.
    fn announce(&mut self, out: &mut VecDeque<Event>) {
        while let Some(call) = self.calls.get_mut(self.announced) {
            let Progress::Waiting { name, arguments } = &mut call.stage else {
                unreachable!("announced in order")
            };
            let Some(name) = name.take() else { return };
            let arguments = std::mem::take(arguments);
            let id = self.unused_id();
            out.push_back(Event::ToolCall(ToolDelta {
                index: self.announced,
                id: Some(id.clone()),
                name: Some(name),
                arguments: String::new(),
            }));
            let mut stage = Progress::Bare { id };
            more(&mut stage, self.announced, arguments, out);
            self.calls[self.announced].stage = stage;
            self.announced += 1;
        }
    }

    /// The id of the next call to announce: the bot's own if it is free.
    fn unused_id(&mut self) -> String {
        let own = self.calls[self.announced].given.clone();
        match own.filter(|id| !self.is_used(id)) {
            Some(id) => id,
            None => loop {
                let id = (self.make_id)();
                if !self.is_used(&id) {
                    return id;
                }
            },
        }
    }

    fn is_used(&self, id: &str) -> bool {
        self.calls.iter().any(|call| match &call.stage {
            Progress::Waiting { .. } => false,
            Progress::Bare { id: used } | Progress::Filled { id: used } => used == id,
        })
    }

    fn close(&mut self, out: &mut VecDeque<Event>) {
        // What has no name by now never will: let those behind it through.
        self.calls.retain(|call| !matches!(call.stage, Progress::Waiting { name: None, .. }));
        self.announce(out);
        for (at, call) in self.calls.iter_mut().enumerate() {
            if matches!(call.stage, Progress::Bare { .. }) {
                more(&mut call.stage, at, "{}".into(), out);
            }
        }
    }
}

/// Passes on more `arguments` of the call at `index`; white space in front of the first is dropped.
fn more(stage: &mut Progress, index: usize, arguments: String, out: &mut VecDeque<Event>) {
    if let Progress::Bare { id } = stage {
        if arguments.trim().is_empty() {
            return;
        }
        *stage = Progress::Filled { id: std::mem::take(id) };
    }
    if !arguments.is_empty() {
        out.push_back(Event::ToolCall(ToolDelta { index, arguments, ..ToolDelta::default() }));
    }
}

impl<I: FnMut() -> String> Stage for ToolCalls<I> {
    #[inline]
    fn pass(&mut self, event: Event) -> Result<Event, Event> {
        match event {
            Event::ToolCall(_) | Event::Finish(_) => Err(event),
            other => Ok(other),
        }
    }

    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match event {
            Event::ToolCall(delta) => self.piece(delta, out),
            Event::Finish(mut finish) => {
                self.close(out);
                finish.reason = match (finish.reason, self.calls.is_empty()) {
                    (FinishReason::Stop, false) => FinishReason::ToolCalls,
                    (FinishReason::ToolCalls, true) => FinishReason::Stop,
                    (reason, _) => reason,
                };
                out.push_back(Event::Finish(finish));
            }
            other => out.push_back(other),
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self, out: &mut VecDeque<Event>) {
        self.close(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Reply;
    use crate::pipeline::testing::{end, replay};

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
    fn the_reason_tells_whether_calls_were_made() {
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
