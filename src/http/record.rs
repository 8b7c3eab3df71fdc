//! What is written down of one request: one line in the log, never a key.

use std::time::{Duration, Instant};

use crate::dialect::Dialect;
use crate::exchange::TokenUsage;

/// The notes on one request.
#[derive(Debug)]
pub struct Record {
    start: Instant,
    /// The request's id.
    pub id: String,
    /// In whose words errors are told.
    pub dialect: Dialect,
    /// The model asked for, once known.
    pub model: Option<String>,
    /// The HTTP status; 0 while nothing has been answered.
    pub status: u16,
    /// What it took, once counted.
    pub usage: Option<TokenUsage>,
    /// Why it failed, if it did.
    pub fault: Option<String>,
    first_byte: Option<Duration>,
}

impl Record {
    /// A request that begins now.
    pub fn new(id: String) -> Record {
        let start = Instant::now();
        Record {
            start,
            id,
            dialect: Dialect::default(),
            model: None,
            status: 0,
            usage: None,
            fault: None,
            first_byte: None,
        }
    }

    /// The first byte of the answer leaves now.
    pub fn first_byte(&mut self) {
        self.first_byte.get_or_insert(self.start.elapsed());
    }

    /// Adds what one choice took. All choices answer one question, so that counts once.
    pub fn add_usage(&mut self, usage: Option<TokenUsage>) {
        let Some(usage) = usage else { return };
        let sum = self.usage.get_or_insert_default();
        sum.prompt = usage.prompt;
        sum.completion += usage.completion;
        sum.reasoning += usage.reasoning;
    }

    /// Writes the line.
    pub fn log(&self, method: &str, path: &str) {
        let total = self.start.elapsed();
        let first = self.first_byte.unwrap_or(total).as_millis();
        let mut line = format!("{method} {path} id={} ", self.id);
        if let Some(model) = &self.model {
            line += &format!("model={model:?} ");
        }
        line += &format!("status={} first={first}ms total={}ms", self.status, total.as_millis());
        if let Some(usage) = self.usage {
            line += &format!(" tokens={}+{}", usage.prompt, usage.completion);
        }
        if let Some(fault) = &self.fault {
            line += &format!(" error={fault:?}");
        }
        log::info!("{line}");
    }
}
