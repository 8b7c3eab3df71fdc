//! Counters of requests, and the writer of Prometheus's text exposition format (version 0.0.4).
//!
//! Labels come from a bounded set: a client that invents names of models does not make series of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many models have series of their own, and how many series of requests there are; the rest is `other`.
const MAX_MODELS: usize = 100;
const MAX_SERIES: usize = 500;
/// How many keys have series of their own.
const MAX_KEYS: usize = 50;
/// What stands for a model that does not exist.
pub const OTHER: &str = "other";

/// Upper bounds of the histograms, in seconds.
const BOUNDS: [f64; 14] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Done<'a> {
    /// Which route.
    pub endpoint: &'static str,
    /// The model, if it is one that exists.
    pub model: Option<&'a str>,
    /// The name of the client's key, if it has one.
    pub key: Option<&'a str>,
    /// The HTTP status.
    pub status: u16,
    /// How long the first byte took, if there was any.
    pub first_byte: Option<Duration>,
    /// How long all of it took.
    pub duration: Duration,
    /// Tokens of the question, of the answer, and of the thought within it.
    pub tokens: Option<[u64; 3]>,
}

const TOKEN_KINDS: [&str; 3] = ["prompt", "completion", "reasoning"];

/// Counters of requests.
#[derive(Debug, Default)]
pub struct Metrics {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    models: BTreeSet<String>,
    requests: BTreeMap<(&'static str, String, Option<String>, u16), u64>,
    keys: BTreeSet<String>,
    first_byte: BTreeMap<&'static str, Histogram>,
    duration: BTreeMap<&'static str, Histogram>,
    tokens: BTreeMap<(usize, String, Option<String>), u64>,
}

#[derive(Debug, Default)]
struct Histogram {
    /// One for each bound, and one for what lies above.
    buckets: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Histogram {
    fn add(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket] += 1;
        self.sum += seconds;
    }
}

impl Metrics {
    /// Counts a request that has ended.
    pub fn count(&self, done: &Done<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let model = label(&mut state.models, MAX_MODELS, done.model.unwrap_or(OTHER));
        let key = done.key.map(|key| label(&mut state.keys, MAX_KEYS, key));
        let series = (done.endpoint, model.clone(), key.clone(), done.status);
        let series = match state.requests.len() < MAX_SERIES || state.requests.contains_key(&series) {
            true => series,
            false => (done.endpoint, OTHER.to_owned(), key.as_ref().map(|_| OTHER.to_owned()), done.status),
        };
        *state.requests.entry(series).or_default() += 1;
        if let Some(first_byte) = done.first_byte {
            state.first_byte.entry(done.endpoint).or_default().add(first_byte);
        }
        state.duration.entry(done.endpoint).or_default().add(done.duration);
        for (kind, count) in done.tokens.into_iter().flatten().enumerate() {
            let series = (kind, model.clone(), key.clone());
            let series = match state.tokens.len() < MAX_SERIES || state.tokens.contains_key(&series) {
                true => series,
                false => (kind, OTHER.to_owned(), key.as_ref().map(|_| OTHER.to_owned())),
            };
            *state.tokens.entry(series).or_default() += count;
        }
    }

    /// Writes all of it.
    pub fn write(&self, page: &mut Page) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        page.family("poe2openai_requests_total", "counter", "Requests that have ended.");
        for ((endpoint, model, key, status), count) in &state.requests {
            let status = status.to_string();
            let labels: [(&str, &str); 3] = [("endpoint", endpoint), ("model", model), ("status", &status)];
            let labels: Vec<_> = labels.into_iter().chain(key_label(key)).collect();
            page.sample("poe2openai_requests_total", &labels, count);
        }
        let first_byte = "Time to the first byte of the answer.";
        page.histograms("poe2openai_first_byte_seconds", first_byte, &state.first_byte);
        page.histograms("poe2openai_request_duration_seconds", "Time to the answer's end.", &state.duration);
        page.family("poe2openai_tokens_total", "counter", "Tokens, counted and not billed.");
        for ((kind, model, key), count) in &state.tokens {
            let labels: [(&str, &str); 2] = [("kind", TOKEN_KINDS[*kind]), ("model", model)];
            let labels: Vec<_> = labels.into_iter().chain(key_label(key)).collect();
            page.sample("poe2openai_tokens_total", &labels, count);
        }
    }
}

/// `name` if it is one of the first `most`, else [`OTHER`].
fn label(known: &mut BTreeSet<String>, most: usize, name: &str) -> String {
    if known.contains(name) {
        return name.to_owned();
    }
    if name == OTHER || known.len() >= most {
        return OTHER.to_owned();
    }
    known.insert(name.to_owned());
    name.to_owned()
}

fn key_label(key: &Option<String>) -> Option<(&str, &str)> {
    key.as_deref().map(|key| ("key", key))
}

/// A page of metrics.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }

    /// Announces what follows under `name`.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One value.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            let opening = if position == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{opening}{label}=\"{}\"", escaped(text));
        }
        let closing = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{closing} {value}");
    }

    /// A family with one value and no label.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn histograms(&mut self, name: &str, help: &str, histograms: &BTreeMap<&'static str, Histogram>) {
        self.family(name, "histogram", help);
        for (endpoint, histogram) in histograms {
            let mut total = 0;
            for (bucket, count) in histogram.buckets.iter().enumerate() {
                total += count;
                let bound = BOUNDS.get(bucket).map_or_else(|| "+Inf".to_owned(), f64::to_string);
                let labels = [("endpoint", *endpoint), ("le", &bound)];
                self.sample(&format!("{name}_bucket"), &labels, total);
            }
            let labels = [("endpoint", *endpoint)];
            self.sample(&format!("{name}_sum"), &labels, histogram.sum);
            self.sample(&format!("{name}_count"), &labels, total);
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = "/v1/chat/completions";

    fn done(model: Option<&str>, status: u16) -> Done<'_> {
        let duration = Duration::from_millis(300);
        Done {
            endpoint: CHAT,
            model,
            key: None,
            status,
            first_byte: Some(duration / 10),
            duration,
            tokens: Some([1, 2, 0]),
        }
    }

    fn page(metrics: &Metrics) -> String {
        let mut page = Page::default();
        metrics.write(&mut page);
        page.into_text()
    }

    #[test]
    fn requests_become_series() {
        let metrics = Metrics::default();
        metrics.count(&done(Some("a\"b\\c\nd"), 200));
        metrics.count(&done(Some("a\"b\\c\nd"), 200));
        metrics.count(&Done { first_byte: None, tokens: None, ..done(None, 401) });
        metrics.count(&Done { key: Some("Kay"), ..done(Some("b"), 200) });
        let page = page(&metrics);
        for line in [
            r#"poe2openai_requests_total{endpoint="/v1/chat/completions",model="a\"b\\c\nd",status="200"} 2"#,
            r#"poe2openai_requests_total{endpoint="/v1/chat/completions",model="other",status="401"} 1"#,
            r#"poe2openai_requests_total{endpoint="/v1/chat/completions",model="b",status="200",key="Kay"} 1"#,
            r#"poe2openai_tokens_total{kind="completion",model="b",key="Kay"} 2"#,
            r#"poe2openai_tokens_total{kind="completion",model="a\"b\\c\nd"} 4"#,
            r#"poe2openai_first_byte_seconds_bucket{endpoint="/v1/chat/completions",le="0.025"} 0"#,
            r#"poe2openai_first_byte_seconds_bucket{endpoint="/v1/chat/completions",le="0.05"} 3"#,
            r#"poe2openai_request_duration_seconds_bucket{endpoint="/v1/chat/completions",le="+Inf"} 4"#,
            r#"poe2openai_request_duration_seconds_count{endpoint="/v1/chat/completions"} 4"#,
        ] {
            assert!(page.lines().any(|other| other == line), "{line}\n{page}");
        }
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let metrics = Metrics::default();
        for number in 0..1000 {
            for status in [200, 400, 401, 402, 404, 429, 500, 502] {
                let key = format!("key {}", number % 300);
                let key = Some(key.as_str()).filter(|_| number % 2 == 0);
                metrics.count(&Done { key, ..done(Some(&format!("model {number}")), status) });
            }
        }
        let page = page(&metrics);
        let count = |name: &str| page.lines().filter(|line| line.starts_with(name)).count();
        // those of the last models of their own that still fit, and one for each status beyond
        assert!(count("poe2openai_requests_total") <= MAX_SERIES + 16);
        assert!(count("poe2openai_tokens_total") <= MAX_SERIES + 6);
        assert!(page.contains("model=\"other\",status=\"200\",key=\"other\""), "{page}");
        let sum: u64 = page
            .lines()
            .filter(|line| line.starts_with("poe2openai_requests_total{"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        assert_eq!(sum, 8000, "nothing is left out");
    }
}
