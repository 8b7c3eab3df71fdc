//! The last lines of the log, for the admin page.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// How many lines are kept.
const MAX_LINES: usize = 1000;

static LINES: Mutex<Lines> = Mutex::new(Lines::new());

/// One line as it was written in the text format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Rises by one with every line.
    pub seq: u64,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// The line with its time.
    pub text: String,
}

/// The lines after a number.
#[derive(Debug, Serialize)]
pub struct News {
    /// The number of the last line.
    pub seq: u64,
    /// The oldest first.
    pub lines: Vec<Line>,
}

struct Lines {
    seq: u64,
    kept: VecDeque<Line>,
}

impl Lines {
    const fn new() -> Lines {
        Lines { seq: 0, kept: VecDeque::new() }
    }

    fn push(&mut self, level: &'static str, text: String) {
        self.seq += 1;
        self.kept.push_back(Line { seq: self.seq, level, text });
        if self.kept.len() > MAX_LINES {
            self.kept.pop_front();
        }
    }

    fn after(&self, seq: u64) -> News {
        let new = self.kept.iter().rev().take_while(|line| line.seq > seq).count();
        News { seq: self.seq, lines: self.kept.iter().skip(self.kept.len() - new).cloned().collect() }
    }
}

/// Keeps a line that is being logged.
pub(super) fn keep(level: log::Level, text: String) {
    let level = match level {
        log::Level::Error => "error",
        log::Level::Warn => "warn",
        log::Level::Info => "info",
        log::Level::Debug => "debug",
        log::Level::Trace => "trace",
    };
    lock().push(level, text);
}

/// The lines after the one with the number `seq`.
pub fn after(seq: u64) -> News {
    lock().after(seq)
}

fn lock() -> MutexGuard<'static, Lines> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_only_new_ones_are_reported() {
        let mut lines = Lines::new();
        for number in 1..=2500 {
            lines.push("info", format!("line {number}"));
        }
        let all = lines.after(0);
        assert_eq!((all.seq, all.lines.len(), all.lines[0].text.as_str()), (2500, MAX_LINES, "line 1501"));
        let new = lines.after(2498);
        assert_eq!(new.lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [2499, 2500]);
        assert!(lines.after(2500).lines.is_empty() && lines.after(9999).lines.is_empty());
    }
}
