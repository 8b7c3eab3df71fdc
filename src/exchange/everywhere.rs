//! For tests: the same events cut at every place where a network could cut them.

use std::fmt::Debug;

use super::{Event, FinishReason, Reply, Stage, Stages};

/// The events uncut, with one text cut in two at each character, and with every text cut into single characters.
pub(crate) fn cuts(events: &[Event]) -> Vec<Vec<Event>> {
    let mut all = vec![events.to_vec(), events.iter().flat_map(characters).collect()];
    for (index, event) in events.iter().enumerate() {
        let (Event::Text(text) | Event::Thinking(text)) = event else { continue };
        for (at, _) in text.char_indices().skip(1) {
            let mut cut = events.to_vec();
            let halves = [again(event, &text[..at]), again(event, &text[at..])];
            cut.splice(index..=index, halves);
            all.push(cut);
        }
    }
    all
}

/// What a stage makes of `events`, folded. Asserts that `Finish` comes once and last.
pub(crate) fn fold(stage: impl Stage, events: Vec<Event>) -> Reply {
    let out: Vec<Event> = events.into_iter().map(Ok).through(stage).map(Result::unwrap).collect();
    let ends = out.iter().filter(|event| matches!(event, Event::Finish(_))).count();
    assert_eq!(ends, 1, "one end in {out:?}");
    assert!(matches!(out.last(), Some(Event::Finish(_))), "the end is last in {out:?}");
    Reply::fold(out.into_iter().map(Ok)).unwrap()
}

/// Folds the events behind a fresh stage, cut everywhere, and asserts that it is the same each time.
pub(crate) fn everywhere<S: Stage>(stage: impl Fn() -> S, events: &[Event]) -> Reply {
    same(events, |events| fold(stage(), events))
}

/// Asserts that `run` gives the same for `events` wherever they are cut.
pub(crate) fn same<T: PartialEq + Debug>(events: &[Event], run: impl Fn(Vec<Event>) -> T) -> T {
    let whole = run(events.to_vec());
    for cut in cuts(events) {
        let shown = format!("{cut:?}");
        assert_eq!(run(cut), whole, "cut as {shown}");
    }
    whole
}

/// A text event.
pub(crate) fn text(text: &str) -> Event {
    Event::Text(text.into())
}

/// A thinking event.
pub(crate) fn thinking(text: &str) -> Event {
    Event::Thinking(text.into())
}

/// The usual end.
pub(crate) fn end() -> Event {
    ended(FinishReason::Stop)
}

/// An end for a reason.
pub(crate) fn ended(reason: FinishReason) -> Event {
    Event::Finish(super::Finish { reason, usage: None })
}

fn characters(event: &Event) -> Vec<Event> {
    match event {
        Event::Text(text) | Event::Thinking(text) => {
            text.chars().map(|char| again(event, char.encode_utf8(&mut [0; 4]))).collect()
        }
        other => vec![other.clone()],
    }
}

fn again(event: &Event, piece: &str) -> Event {
    match event {
        Event::Thinking(_) => thinking(piece),
        _ => text(piece),
    }
}
