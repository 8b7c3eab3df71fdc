//! State of the demo: recorded queries for tests, tries, open streams, points spent.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::query::Query;

/// Older queries and charges are forgotten, and queries sooner if they are large.
const MOST_RECORDS: usize = 100;
const MOST_CHARGES: usize = 1000;
const MOST_RECORDED_BYTES: usize = 32 << 20;
const MOST_CONVERSATIONS: usize = 10_000;

/// Points on a fresh account.
const BALANCE: u64 = 1_000_000;

/// Shared by all connections.
#[derive(Default)]
pub struct State(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    records: VecDeque<(usize, Value)>,
    tries: HashMap<(&'static str, String), u32>,
    streams: BTreeMap<&'static str, Streams>,
    charges: VecDeque<Value>,
    queries: u64,
    spent: u64,
    endpoints: VecDeque<Passage>,
    passages: u64,
}

/// What came through one of Poe's native endpoints and what left through it, byte by byte.
#[derive(Default)]
struct Passage {
    number: u64,
    endpoint: &'static str,
    bot: &'static str,
    headers: Value,
    body: Vec<u8>,
    answer: Vec<u8>,
}

/// Shorter beginnings of a question are not worth to be kept.
const LEAST_CACHED_TOKENS: usize = 1024;

/// Streams of one bot.
#[derive(Default)]
struct Streams {
    open: u64,
    total: u64,
}

impl State {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a query of `bytes` bytes as it came, well-formed or not.
    pub fn record(&self, record: Value, bytes: usize) {
        let mut memory = self.memory();
        memory.queries += 1;
        memory.records.push_back((bytes, record));
        let held = |memory: &Memory| memory.records.iter().map(|(bytes, _)| bytes).sum::<usize>();
        while memory.records.len() > MOST_RECORDS
            || held(&memory) > MOST_RECORDED_BYTES && memory.records.len() > 1
        {
            memory.records.pop_front();
        }
    }

    /// All queries that are remembered, oldest first.
    pub fn queries(&self) -> Value {
        self.memory().records.iter().map(|(_, record)| record.clone()).collect()
    }

    /// Remembers what came through `endpoint`, and gives it a number. The second value is how many tokens of the question are
    /// known from an earlier one: four bytes are one.
    pub fn enter(
        &self,
        endpoint: &'static str,
        bot: &'static str,
        headers: Value,
        body: Vec<u8>,
    ) -> (u64, usize) {
        let mut memory = self.memory();
        memory.passages += 1;
        let same = memory.endpoints.iter().filter(|one| one.endpoint == endpoint && one.bot == bot);
        let common = same.map(|one| one.body.iter().zip(&body).take_while(|(a, b)| a == b).count()).max();
        let cached =
            Some(common.unwrap_or(0) / 4).filter(|tokens| *tokens >= LEAST_CACHED_TOKENS).unwrap_or(0);
        let number = memory.passages;
        memory.endpoints.push_back(Passage { number, endpoint, bot, headers, body, ..Passage::default() });
        let held = |memory: &Memory| memory.endpoints.iter().map(|one| one.body.len()).sum::<usize>();
        while memory.endpoints.len() > MOST_RECORDS
            || held(&memory) > MOST_RECORDED_BYTES && memory.endpoints.len() > 1
        {
            memory.endpoints.pop_front();
        }
        (number, cached)
    }

    /// Remembers bytes of the answer to what came as `number`.
    pub fn leave(&self, number: u64, bytes: &[u8]) {
        if let Some(one) = self.memory().endpoints.iter_mut().find(|one| one.number == number) {
            one.answer.extend_from_slice(bytes);
        }
    }

    /// What came through the endpoints and what left through them, oldest first.
    pub fn endpoints(&self) -> Value {
        let shown = |one: &Passage| {
            json!({"door": one.endpoint, "bot": one.bot, "headers": one.headers,
                "body": String::from_utf8_lossy(&one.body), "answer": String::from_utf8_lossy(&one.answer)})
        };
        self.memory().endpoints.iter().map(shown).collect()
    }

    /// How often the bot was asked this, this time included. What the user said last, up to its first line end, states one
    /// conversation from another: what a client adds to its question when it asks again stands behind that.
    pub fn count_try(&self, bot: &'static str, query: &Query) -> u32 {
        let line = query.said().lines().next().unwrap_or("");
        let mut memory = self.memory();
        if memory.tries.len() >= MOST_CONVERSATIONS {
            memory.tries.clear();
        }
        let tries = memory.tries.entry((bot, line.into())).or_default();
        *tries += 1;
        *tries
    }

    /// Takes points for a query that is answered, and writes it down as Poe's usage API shows it.
    pub fn charge(&self, bot: &'static str, bytes: usize, microseconds: u64) {
        let tokens = (bytes / 4).max(1) as u64;
        let points = 10 + tokens / 10;
        let mut memory = self.memory();
        memory.spent += points;
        let id = format!("query-{:020}", memory.queries);
        memory.charges.push_front(json!({
            "bot_name": bot,
            "creation_time": microseconds,
            "query_id": id,
            "cost_usd": format!("{:.6}", points as f64 * 0.00003),
            "cost_points": points,
            "cost_breakdown_in_points": {"Input": format!("{points} points ({tokens} tokens)"),
                "Total": format!("{points} points")},
            "usage_type": "API",
            "chat_name": null,
            "api_key_name": "demo",
        }));
        memory.charges.truncate(MOST_CHARGES);
    }

    /// `GET /usage/current_balance`.
    pub fn balance(&self) -> Value {
        json!({"current_point_balance": BALANCE.saturating_sub(self.memory().spent)})
    }

    /// `GET /usage/points_history`, newest first, from behind the query `after`.
    pub fn history(&self, limit: usize, after: Option<&str>) -> Value {
        let memory = self.memory();
        let start = after.map_or(0, |id| {
            let found = memory.charges.iter().position(|charge| charge["query_id"] == id);
            found.map_or(memory.charges.len(), |at| at + 1)
        });
        let page: Vec<Value> = memory.charges.iter().skip(start).take(limit).cloned().collect();
        json!({"has_more": start + page.len() < memory.charges.len(), "length": page.len(), "data": page})
    }

    /// Counts a stream as open for as long as the guard lives.
    pub fn open(&self, bot: &'static str) -> Open<'_> {
        let mut memory = self.memory();
        let streams = memory.streams.entry(bot).or_default();
        streams.open += 1;
        streams.total += 1;
        Open { state: self, bot }
    }

    /// Streams that are open and ever were, in all and by bot; queries that ever came.
    pub fn stats(&self) -> Value {
        let memory = self.memory();
        let sum = |of: fn(&Streams) -> u64| memory.streams.values().map(of).sum::<u64>();
        let row = |(bot, streams): (&&str, &Streams)| {
            ((*bot).to_string(), json!({"open": streams.open, "total": streams.total}))
        };
        let bots: serde_json::Map<String, Value> = memory.streams.iter().map(row).collect();
        json!({"queries": memory.queries, "doors": memory.passages, "open": sum(|one| one.open), "total": sum(|one| one.total), "bots": bots})
    }

    /// Forgets all but the streams that are open now.
    pub fn reset(&self) {
        let mut memory = self.memory();
        let mut streams = std::mem::take(&mut memory.streams);
        streams.retain(|_, one| one.open > 0);
        streams.values_mut().for_each(|one| one.total = one.open);
        *memory = Memory { streams, ..Memory::default() };
    }
}

/// An open stream.
pub struct Open<'s> {
    state: &'s State,
    bot: &'static str,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(streams) = self.state.memory().streams.get_mut(self.bot) {
            streams.open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::query::tests::asking;

    #[test]
    fn tries_are_counted_by_bot_and_question() {
        let state = State::default();
        assert_eq!(state.count_try("a", &asking("x")), 1);
        assert_eq!(state.count_try("a", &asking("x\nAnd now properly!")), 2);
        assert_eq!(state.count_try("a", &asking("y")), 1);
        assert_eq!(state.count_try("b", &asking("x")), 1);
        state.reset();
        assert_eq!(state.count_try("a", &asking("x")), 1);
    }

    #[test]
    fn open_streams_are_seen_and_survive_a_reset() {
        let state = State::default();
        let (first, second) = (state.open("a"), state.open("a"));
        drop(first);
        assert_eq!(state.stats()["bots"]["a"], json!({"open": 1, "total": 2}));
        state.reset();
        assert_eq!(state.stats()["bots"]["a"], json!({"open": 1, "total": 1}));
        drop(second);
        assert_eq!(state.stats()["open"], 0);
    }

    #[test]
    fn records_are_bounded_by_number_and_size() {
        let state = State::default();
        (0..MOST_RECORDS + 5).for_each(|number| state.record(json!(number), 1));
        assert_eq!(state.queries().as_array().map(Vec::len), Some(MOST_RECORDS));
        assert_eq!(state.queries()[0], 5);
        state.record(json!("huge"), MOST_RECORDED_BYTES + 1);
        assert_eq!(state.queries(), json!(["huge"]));
    }

    #[test]
    fn a_question_that_begins_like_an_earlier_one_is_cached() {
        let state = State::default();
        let body = |end: &str| [&[b'x'; 8192], end.as_bytes()].concat();
        assert_eq!(state.enter("/v1/x", "a", Value::Null, body("one")), (1, 0));
        assert_eq!(state.enter("/v1/x", "a", Value::Null, body("two")), (2, 2048));
        assert_eq!(state.enter("/v1/x", "b", Value::Null, body("two")), (3, 0));
        state.leave(2, b"answer");
        assert_eq!(
            (&state.endpoints()[1]["answer"], &state.endpoints()[2]["answer"]),
            (&json!("answer"), &json!(""))
        );
    }

    #[test]
    fn points_are_spent_and_listed_by_pages() {
        let state = State::default();
        for number in 0..3 {
            state.record(json!(number), 1);
            state.charge("a", 40, number);
        }
        assert_eq!(state.balance(), json!({"current_point_balance": BALANCE - 33}));
        let first = state.history(2, None);
        assert_eq!((&first["has_more"], &first["length"]), (&json!(true), &json!(2)));
        let last = first["data"][1]["query_id"].as_str();
        let second = state.history(2, last);
        assert_eq!((&second["has_more"], &second["data"][0]["creation_time"]), (&json!(false), &json!(0)));
    }
}
