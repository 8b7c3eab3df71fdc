//! Helpers for the tests of stages: an answer split anywhere must fold to the same reply.

use super::{Event, Finish, FinishReason, Reply, Stage, Stages};

/// The events of `text` as one piece, ended by `Stop`.
pub fn answer(text: &str) -> Vec<Event> {
    vec![Event::Text(text.into()), end(FinishReason::Stop)]
}

/// The end of an answer for `reason`.
pub fn end(reason: FinishReason) -> Event {
    Event::Finish(Finish { reason, ..Finish::default() })
}

/// `events` behind `stage`, one by one.
pub fn replay<S: Stage>(events: Vec<Event>, stage: S) -> Vec<Event> {
    events.into_iter().map(Ok).through(stage).collect::<Result<_, _>>().unwrap()
}

/// The reply to `text`, which must be the same for every cut in two and letter by letter.
pub fn all_cuts<S: Stage>(text: &str, make: impl Fn() -> S) -> Reply {
    all_cuts_of(&answer(text), make)
}

/// The reply to `events`, which must be the same however their texts are cut.
pub fn all_cuts_of<S: Stage>(events: &[Event], make: impl Fn() -> S) -> Reply {
    let whole = fold(events.to_vec(), make());
    for (place, event) in events.iter().enumerate() {
        let Event::Text(text) = event else { continue };
        for (cut, _) in text.char_indices() {
            let mut pieces = events.to_vec();
            let halves = [&text[..cut], &text[cut..]].map(|half| Event::Text(half.into()));
            pieces.splice(place..=place, halves);
            assert_eq!(fold(pieces, make()), whole, "cut {text:?} at {cut}");
        }
    }
    let letters = events.iter().flat_map(|event| match event {
        Event::Text(text) => text.chars().map(|c| Event::Text(c.into())).collect(),
        other => vec![other.clone()],
    });
    assert_eq!(fold(letters.collect(), make()), whole, "letter by letter: {events:?}");
    whole
}

fn fold<S: Stage>(events: Vec<Event>, stage: S) -> Reply {
    Reply::fold(events.into_iter().map(Ok).through(stage)).unwrap()
}
