//! The trait of stages, which change the events of an answer, and `Through`, which applies a stage to a source of events.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::Event;
use crate::error::{Error, Result};

/// One change to a stream of events: one event in, any number out. Knows no neighbour and does no I/O.
///
/// A stage passes on what it does not know, resets on [`Event::Retract`] and passes it on, and releases what it
/// held back before it passes on [`Event::Finish`].
pub trait Stage {
    /// The short way, for what most events are: whether `event` goes on as it is and this stage has taken note of it.
    /// Otherwise it comes to [`Stage::push`]. A stage that never takes the short way is slower, and as right.
    #[inline]
    fn passes(&mut self, _event: &Event) -> bool {
        false
    }

    /// Takes one event and puts what follows from it into `out`. `Break` ends the stream after `out`: nothing
    /// more is read from upstream, so a stage that breaks puts a `Finish` into `out` itself.
    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()>;

    /// The stream broke off without a `Finish`: release what was held back.
    fn finish(&mut self, _out: &mut VecDeque<Event>) {}

    /// The error that the stream ends with after a `Break` without a `Finish`.
    fn fault(&mut self) -> Option<Error> {
        None
    }
}

/// A stage that may be absent: `None` passes everything on.
impl<S: Stage> Stage for Option<S> {
    #[inline]
    fn passes(&mut self, event: &Event) -> bool {
        self.as_mut().is_none_or(|stage| stage.passes(event))
    }

    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        match self {
            Some(stage) => stage.push(event, out),
            None => {
                out.push_back(event);
                ControlFlow::Continue(())
            }
        }
    }

    fn finish(&mut self, out: &mut VecDeque<Event>) {
        if let Some(stage) = self {
            stage.finish(out);
        }
    }

    fn fault(&mut self) -> Option<Error> {
        self.as_mut().and_then(S::fault)
    }
}

/// A stream of events with a stage behind it.
pub struct Through<I, S> {
    upstream: Option<I>,
    stage: S,
    ready: VecDeque<Event>,
    failed: Option<Error>,
}

impl<I: Iterator<Item = Result<Event>>, S: Stage> Iterator for Through<I, S> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Result<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            let Some(upstream) = &mut self.upstream else {
                return self.failed.take().map(Err);
            };
            match upstream.next() {
                Some(Ok(event)) if self.stage.passes(&event) => return Some(Ok(event)),
                Some(Ok(event)) => {
                    if self.stage.push(event, &mut self.ready).is_break() {
                        self.upstream = None; // hangs up
                        self.failed = self.stage.fault();
                    }
                }
                end => {
                    self.upstream = None;
                    self.stage.finish(&mut self.ready);
                    self.failed = end.and_then(Result::err);
                }
            }
        }
    }
}

/// Lets a stream of events say `.through(stage)`.
pub trait Stages: Iterator<Item = Result<Event>> + Sized {
    /// Puts `stage` behind this stream.
    fn through<S: Stage>(self, stage: S) -> Through<Self, S> {
        Through { upstream: Some(self), stage, ready: VecDeque::new(), failed: None }
    }
}

impl<I: Iterator<Item = Result<Event>>> Stages for I {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::pipeline::{Finish, FinishReason};

    /// Doubles text, holds the last piece back, ends at "stop".
    #[derive(Default)]
    struct Probe {
        held: Option<Event>,
    }

    impl Stage for Probe {
        fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
            out.extend(self.held.take());
            match event {
                Event::Text(text) if text == "stop" => {
                    out.push_back(Event::Finish(Finish::default()));
                    return ControlFlow::Break(());
                }
                Event::Text(text) => {
                    out.push_back(Event::Text(text.clone()));
                    self.held = Some(Event::Text(text));
                }
                other => out.push_back(other),
            }
            ControlFlow::Continue(())
        }

        fn finish(&mut self, out: &mut VecDeque<Event>) {
            out.extend(self.held.take());
        }
    }

    fn text(text: &str) -> Event {
        Event::Text(text.into())
    }

    #[test]
    fn one_event_may_become_many_and_none() {
        let events = [text("a"), text("b"), Event::Finish(Finish::default())].map(Ok);
        let out: Vec<_> = events.into_iter().through(Probe::default()).map(Result::unwrap).collect();
        let end = Event::Finish(Finish { reason: FinishReason::Stop, ..Finish::default() });
        assert_eq!(out, [text("a"), text("a"), text("b"), text("b"), end]);
    }

    #[test]
    fn what_was_held_back_comes_before_the_error() {
        let events = vec![Ok(text("a")), Err(Error::new(Kind::Upstream, "broken"))];
        let out: Vec<_> = events.into_iter().through(Probe::default()).collect();
        assert_eq!(out.len(), 3);
        assert_eq!(out[1], Ok(text("a")));
        assert_eq!(out[2].as_ref().unwrap_err().message, "broken");
    }

    #[test]
    fn a_stage_that_breaks_drops_upstream() {
        struct Watched<'a>(&'a std::cell::Cell<bool>, std::vec::IntoIter<Event>);
        impl Iterator for Watched<'_> {
            type Item = Result<Event>;
            fn next(&mut self) -> Option<Result<Event>> {
                self.1.next().map(Ok)
            }
        }
        impl Drop for Watched<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let dropped = std::cell::Cell::new(false);
        let events = vec![text("stop"), text("never")].into_iter();
        let mut stream = Watched(&dropped, events).through(Probe::default());
        assert_eq!(stream.next(), Some(Ok(Event::Finish(Finish::default()))));
        assert!(dropped.get(), "upstream is hung up at once");
        assert_eq!(stream.next(), None);
    }

    #[test]
    fn an_absent_stage_changes_nothing() {
        let events = vec![Ok(text("a")), Ok(Event::Retract)];
        let out: Vec<_> = events.clone().into_iter().through(None::<Probe>).collect();
        assert_eq!(out, events);
    }
}
