//! For tests: the same events split at every position where a network could split them.

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
pub(crate) fn every_split<S: Stage>(stage: impl Fn() -> S, events: &[Event]) -> Reply {
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
    Event::Finish(super::Finish { reason, ..super::Finish::default() })
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::Attachment;
    use crate::pipeline::stages::{CountRunning, FileRefs, Limits, Retractions, Usage};

    #[derive(Clone, Default)]
    struct Chars(usize);

    impl CountRunning for Chars {
        fn fits(&mut self, piece: &str, limit: usize) -> usize {
            let ends = piece.char_indices().map(|(at, char)| at + char.len_utf8());
            let room = limit.saturating_sub(self.0);
            self.0 += room.min(piece.chars().count());
            ends.take(room).last().unwrap_or(0)
        }

        fn push(&mut self, piece: &str) {
            self.0 += piece.chars().count();
        }

        fn count(&self) -> usize {
            self.0
        }
    }

    /// The stages of a stream in their order; sent again and again, so that none keeps anything of the last answer.
    fn chain(events: Vec<Event>) -> Reply {
        let cut = Limits::new(&["STOP".into(), "\n\n#".into()], Some(60), Chars::default());
        let seen = RefCell::new(Vec::new());
        let stream = events.into_iter().map(Ok).through(cut).through(FileRefs::streaming());
        let stream = stream.through(Usage::new(Chars::default(), || 0)).through(Retractions::default());
        let reply = Reply::fold(stream.inspect(|event| seen.borrow_mut().push(event.clone()))).unwrap();
        let seen = seen.into_inner();
        assert!(!seen.contains(&Ok(Event::Retract)));
        assert_eq!(seen.iter().flatten().filter(|event| matches!(event, Event::Finish(_))).count(), 1);
        assert!(matches!(seen.last(), Some(Ok(Event::Finish(_)))));
        reply
    }

    /// Poe sends a replacement whole, and `Retractions` goes by that; here none ends in what another stage holds back and
    /// joins with the text behind it.
    fn replacement(piece: &str) -> String {
        piece.trim_start_matches("ST").replace(['[', '!', '\n'], "")
    }

    fn picture() -> Event {
        let url = "https://pfst.cf2.poecdn.net/base/image/1".into();
        let inline_ref = Some("r1".into());
        Event::File(Attachment { url, content_type: "image/png".into(), name: "cat".into(), inline_ref })
    }

    #[test]
    fn an_image_bot_through_all_stages() {
        let events = [
            text("Generating image (1s elapsed)"),
            Event::Retract,
            text("Generating image (2s elapsed)"),
            Event::Retract,
            picture(),
            text("A cat: ![cat][r1]"),
            text("\n\n# not shown"),
            end(),
        ];
        let reply = same(&events, chain);
        assert_eq!(reply.text, "A cat: ![cat](https://pfst.cf2.poecdn.net/base/image/1)");
        assert_eq!(reply.thinking, "Generating image (1s elapsed)\nGenerating image (2s elapsed)");
        assert_eq!(reply.files.len(), 1);
    }

    proptest! {
        #[test]
        fn all_stages_together_do_not_depend_on_cuts(
            pieces in proptest::collection::vec("(STOP|ST|[a-c \\[\\]!]{0,6}|\\[r1\\]|Thinking|\\.\\.\\.|\n)", 1..6),
            kinds in proptest::collection::vec(0usize..5, 6),
        ) {
            let mut events = Vec::new();
            for (piece, kind) in pieces.iter().zip(kinds) {
                match kind {
                    0 => events.push(thinking(piece)),
                    1 => events.extend([Event::Retract, text(&replacement(piece))]),
                    2 => events.extend([text(piece), picture()]),
                    _ => events.push(text(piece)),
                }
            }
            events.push(end());
            let reply = same(&events, |events| {
                let Reply { text, files, finish, .. } = chain(events);
                (text, files, finish)
            });
            prop_assert!(!reply.0.contains("STOP"));
        }
    }
}
