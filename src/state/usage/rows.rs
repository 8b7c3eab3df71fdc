//! The numbers of one row, and histograms of times.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::state::budgets::Millipoints;

/// How many buckets a histogram has: the first ends at 100 ms, each further one at twice the time, the last has no end.
pub const BUCKETS: usize = 12;
const FIRST_MS: u64 = 100;

/// Times in buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u32>", into = "Vec<u32>")]
pub struct Histogram([u32; BUCKETS]);

impl From<Vec<u32>> for Histogram {
    fn from(counts: Vec<u32>) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.0.iter_mut().zip(counts).for_each(|(bucket, count)| *bucket = count);
        histogram
    }
}

/// Without the empty buckets at its end.
impl From<Histogram> for Vec<u32> {
    fn from(histogram: Histogram) -> Vec<u32> {
        let end = histogram.0.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        histogram.0[..end].to_vec()
    }
}

impl Histogram {
    /// Of one time.
    pub fn of(time: Duration) -> Histogram {
        let milliseconds = time.as_millis();
        let bucket = (0..BUCKETS - 1).find(|bucket| milliseconds <= u128::from(FIRST_MS << bucket));
        let mut histogram = Histogram::default();
        histogram.0[bucket.unwrap_or(BUCKETS - 1)] = 1;
        histogram
    }

    /// Adds the times of `other`.
    pub fn add(&mut self, other: &Histogram) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, count)| *sum = sum.saturating_add(count));
    }

    /// The time, in milliseconds, below which `share` of all times lie, as if the times of a bucket lay evenly in it.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let total: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let wanted = (total as f64 * share).max(f64::MIN_POSITIVE);
        let mut below = 0.0;
        for (bucket, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (count, end) = (f64::from(*count), (FIRST_MS << bucket) as f64);
            if below + count >= wanted {
                let start = if bucket == 0 { 0.0 } else { end / 2.0 };
                return Some((start + (end - start) * (wanted - below) / count).round() as u64);
            }
            below += count;
        }
        None
    }
}

/// The numbers of one row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Requests that ended.
    pub requests: u32,
    /// Files that they needed at Poe.
    pub uploads: u32,
    /// Tokens of the questions.
    pub input: u64,
    /// Tokens of the answers, thought included.
    pub output: u64,
    /// Tokens of the thought.
    pub reasoning: u64,
    /// How many tokens of the questions came out of Poe's cache.
    pub cached: u64,
    /// What they took, by Poe's own account.
    pub exact: Millipoints,
    /// What the others took by estimate.
    pub estimated: Millipoints,
    /// How long streams took to begin.
    pub first_token: Histogram,
    /// How long requests took.
    pub total: Histogram,
    /// Failed requests by the code of their error.
    pub errors: Vec<(Code, u32)>,
}

/// The code of an error, from a fixed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(u8);

/// The code of requests whose client left: neither side failed.
const CLIENT_GONE: &str = "client_gone";
/// The codes of errors, as OpenAI's dialect has them. The first stands for all others.
const CODES: &[&str] = &[
    super::OTHER,
    CLIENT_GONE,
    "invalid_request_error",
    "context_length_exceeded",
    "thread_unsupported_request",
    "unsupported_feature_for_model",
    "file_unavailable",
    "content_filter",
    "invalid_api_key",
    "insufficient_quota",
    "forbidden",
    "stopped",
    "not_found",
    "model_not_found",
    "previous_response_not_found",
    "method_not_allowed",
    "request_timeout",
    "model_timeout",
    "conflict",
    "request_too_large",
    "unsupported_encoding",
    "rate_limit_exceeded",
    "internal_error",
    "not_implemented",
    "upstream_error",
    "overloaded",
    "upstream_timeout",
];
/// How many codes one row tells apart.
const MAX_CODES: usize = 6;

impl Code {
    /// The code called `name`.
    pub fn of(name: &str) -> Code {
        let at = CODES.iter().position(|code| *code == name);
        Code(at.and_then(|at| u8::try_from(at).ok()).unwrap_or(0))
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        CODES.get(usize::from(self.0)).copied().unwrap_or(super::OTHER)
    }
}

impl Amounts {
    /// Adds those of another row.
    pub fn add(&mut self, other: &Amounts) {
        self.requests = self.requests.saturating_add(other.requests);
        self.uploads = self.uploads.saturating_add(other.uploads);
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
        self.cached = self.cached.saturating_add(other.cached);
        self.exact = self.exact.saturating_add(other.exact);
        self.estimated = self.estimated.saturating_add(other.estimated);
        self.first_token.add(&other.first_token);
        self.total.add(&other.total);
        for (code, count) in &other.errors {
            let is_known = self.errors.iter().any(|(known, _)| known == code);
            let code = if is_known || self.errors.len() < MAX_CODES { *code } else { Code::of(super::OTHER) };
            match self.errors.iter_mut().find(|(known, _)| *known == code) {
                Some((_, sum)) => *sum = sum.saturating_add(*count),
                None => self.errors.push((code, *count)),
            }
        }
    }

    /// How many requests failed.
    pub fn failed(&self) -> u64 {
        let failed = self.errors.iter().filter(|(code, _)| code.name() != CLIENT_GONE);
        failed.map(|(_, count)| u64::from(*count)).sum()
    }

    /// What the requests took.
    pub fn points(&self) -> Millipoints {
        self.exact.saturating_add(self.estimated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_the_bucket_of_their_times() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for milliseconds in [30, 60, 90, 150, 700, 700, 700, 3000, 5_000, 999_999] {
            histogram.add(&Histogram::of(Duration::from_millis(milliseconds)));
        }
        let quantile = |share| histogram.quantile(share).unwrap();
        assert!(quantile(0.1) <= 100 && (400..=800).contains(&quantile(0.5)) && quantile(1.0) > 100_000);
        assert!((3200..=6400).contains(&quantile(0.9)), "{}", quantile(0.9));
        let counts: Vec<u32> = histogram.into();
        assert_eq!(Histogram::from(counts), histogram);
        assert_eq!(Vec::from(Histogram::of(Duration::ZERO)), [1]);
    }
}
