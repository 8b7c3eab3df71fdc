//! Stage that reports how far a bot's work is, as its rows of progress state it. Every event passes as it is.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::pipeline::{Event, Stage, is_progress, percentage};

/// Longer texts hold no progress.
const LONGEST: usize = 1024;

/// Calls `report` with the percentage of each row that states one.
pub struct ProgressReports<R> {
    report: R,
    text: String,
}

impl<R: Fn(u8)> ProgressReports<R> {
    /// Reports to `report`.
    pub fn new(report: R) -> ProgressReports<R> {
        ProgressReports { report, text: String::new() }
    }
}

impl<R: Fn(u8)> Stage for ProgressReports<R> {
    fn passes(&mut self, event: &Event) -> bool {
        match event {
            Event::Retract => self.text.clear(),
            Event::Text(text) if self.text.len() < LONGEST => {
                self.text.push_str(text);
                if is_progress(&self.text)
                    && let Some(percent) = percentage(&self.text)
                {
                    (self.report)(percent);
                }
            }
            _ => {}
        }
        true
    }

    fn push(&mut self, event: Event, out: &mut VecDeque<Event>) -> ControlFlow<()> {
        out.push_back(event);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::pipeline::Stages;

    #[test]
    fn rows_are_reported_and_answers_are_not() {
        let text = |text: &str| Event::Text(text.into());
        let events = vec![
            text("Generating video"),
            text("… (1s)"),
            Event::Retract,
            text("[###       ] "),
            text("30%"),
            Event::Retract,
            text("███████░░░ 70%"),
            Event::Retract,
            text("I am 100% sure"),
        ];
        let seen = RefCell::new(Vec::new());
        let reports = ProgressReports::new(|percent| seen.borrow_mut().push(percent));
        let passed: Vec<Event> =
            events.clone().into_iter().map(Ok).through(reports).map(|event| event.unwrap()).collect();
        assert_eq!((passed, seen.into_inner()), (events, vec![30, 30, 70]));
    }
}
