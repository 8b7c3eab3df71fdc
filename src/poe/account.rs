//! Client of Poe's usage API: the points a key has left and has spent.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::client::{self, MAX_ERROR_BYTES, Poe};
use super::error_classes;
use super::transport::{CancelCheck, cancellable};
use crate::error::{Error, Kind, Result};
use crate::json_limits;

/// How far back Poe remembers.
const DAYS: u64 = 30;
/// The most that one page holds, and that are asked for: an account that spends faster is shown in part.
const PAGE: usize = 100;
const MAX_PAGES: usize = 30;
const MAX_RECENT_PAGES: usize = 5;
/// How many bots are named.
const TOP: usize = 10;
const MAX_PAGE_BYTES: u64 = 4 << 20;

/// What a key has left and what it spent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    /// Points left, if Poe says so.
    pub balance: Option<i64>,
    /// Points by day, the oldest first; days are counted from 1970. The last is today.
    pub days: Vec<(u64, i64)>,
    /// Points by bot, the dearest first.
    pub top: Vec<(String, i64)>,
    /// Whether there is more than could be read.
    pub is_partial: bool,
}

/// Reads a member that is missing, `null` or of another type as if it were not there: one odd member of one entry must
/// not hide the others.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(from: D) -> Result<T, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).unwrap_or_default())
}

#[derive(Deserialize)]
struct Balance {
    #[serde(default, deserialize_with = "lenient")]
    current_point_balance: Option<f64>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default, deserialize_with = "lenient")]
    has_more: bool,
    data: Vec<Charge>,
}

/// What Poe took for one query.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Charge {
    /// Which bot was asked.
    #[serde(default, alias = "app_name", deserialize_with = "lenient")]
    pub bot_name: Option<String>,
    /// In microseconds since 1970.
    #[serde(default, deserialize_with = "lenient")]
    creation_time: Option<f64>,
    /// The query's id.
    #[serde(default, deserialize_with = "lenient")]
    pub query_id: Option<String>,
    /// How many points; a new entry may say 0 at first.
    #[serde(default, deserialize_with = "lenient")]
    pub cost_points: Option<f64>,
}

impl Charge {
    /// When, since 1970.
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.creation_time.unwrap_or_default().max(0.0) as u64)
    }
}

fn whole(points: f64) -> i64 {
    points.round() as i64
}

impl Poe {
    /// What `key` has left and what it spent in the 30 days up to `now`, a time since 1970.
    pub fn account(&self, key: &str, now: Duration, cancel: &CancelCheck) -> Result<Account> {
        let balance = self.balance(key, cancel)?;
        let today = now.as_secs() / 86_400;
        let first = (today + 1).saturating_sub(DAYS);
        let mut days: BTreeMap<u64, f64> = (first..=today).map(|day| (day, 0.0)).collect();
        let mut bots: BTreeMap<String, f64> = BTreeMap::new();
        let is_partial = !self.history(key, MAX_PAGES, cancel, &mut |charge| {
            let day = charge.time().as_secs() / 86_400;
            let points = charge.cost_points.unwrap_or(0.0);
            match days.get_mut(&day) {
                Some(sum) => {
                    *sum += points;
                    *bots.entry(charge.bot_name.clone().unwrap_or_default()).or_default() += points;
                }
                None => return day < first,
            }
            false
        })?;
        let mut top: Vec<_> = bots.into_iter().map(|(bot, points)| (bot, whole(points))).collect();
        top.sort_by_key(|(_, points)| std::cmp::Reverse(*points));
        top.truncate(TOP);
        Ok(Account {
            balance: balance.map(whole),
            days: days.into_iter().map(|(day, points)| (day, whole(points))).collect(),
            top,
            is_partial,
        })
    }

    /// The points that `key` has left, if Poe says so. An invalid key is an error.
    pub fn balance(&self, key: &str, cancel: &CancelCheck) -> Result<Option<f64>> {
        let balance: Balance = self.usage("current_balance", &[], key, cancel)?;
        Ok(balance.current_point_balance)
    }

    /// What `key` was charged since `since`, a time since 1970, the newest first.
    pub fn charges(&self, key: &str, since: Duration, cancel: &CancelCheck) -> Result<Vec<Charge>> {
        let mut charges = Vec::new();
        self.history(key, MAX_RECENT_PAGES, cancel, &mut |charge| {
            let is_older = charge.time() < since;
            if !is_older {
                charges.push(charge.clone());
            }
            is_older
        })?;
        Ok(charges)
    }

    /// Visits the history of `key`, the newest first, until `is_enough`; false if there is more than so many pages.
    fn history(
        &self,
        key: &str,
        most_pages: usize,
        cancel: &CancelCheck,
        is_enough: &mut dyn FnMut(&Charge) -> bool,
    ) -> Result<bool> {
        let mut after: Option<String> = None;
        let mut seen = HashSet::new();
        for _ in 0..most_pages {
            let mut query = vec![("limit".to_owned(), PAGE.to_string())];
            query.extend(after.take().map(|after| ("starting_after".to_owned(), after)));
            let page: Page = self.usage("points_history", &query, key, cancel)?;
            let mut is_over = !page.has_more || page.data.is_empty();
            // an entry without a time says nothing about how far back the others are
            for charge in page.data.iter().filter(|charge| charge.creation_time.is_some()) {
                is_over |= is_enough(charge);
            }
            after = page.data.last().and_then(|charge| charge.query_id.clone());
            // a Poe that gives the same page again would be asked for ever
            is_over |= after.as_ref().is_none_or(|after| !seen.insert(after.clone()));
            if is_over {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One view of the usage API.
    fn usage<T: DeserializeOwned>(
        &self,
        view: &str,
        query: &[(String, String)],
        key: &str,
        cancel: &CancelCheck,
    ) -> Result<T> {
        let body = self.about_account(&format!("/usage/{view}"), query, None, key, cancel)?;
        serde_json::from_slice(&body).map_err(|error| {
            Error::new(Kind::Upstream, format!("Poe's answer about the account is invalid: {error}"))
        })
    }

    /// What Poe answers about the account of `key` at `path` with the parameters `query`, as it came: one JSON value. A
    /// `body` is posted.
    pub fn about_account(
        &self,
        path: &str,
        query: &[(String, String)],
        body: Option<&[u8]>,
        key: &str,
        cancel: &CancelCheck,
    ) -> Result<Vec<u8>> {
        let url = format!("{}{path}", self.settings().base_url);
        let query = || query.iter().map(|(name, value)| (name, value));
        let read = || {
            let (authorization, json) = (client::bearer(key), "application/json");
            let (response, ended) = cancellable(cancel, self.settings().first_byte_timeout, || match body {
                None => {
                    self.agent().get(&url).query_pairs(query()).header("Authorization", authorization).call()
                }
                Some(body) => {
                    let request = self.agent().post(&url).query_pairs(query());
                    let request = request.header("Authorization", authorization);
                    request.header("Content-Type", json).header("Accept", json).send(body)
                }
            });
            let response = client::finished(response, ended)?;
            if response.status() != 200 {
                return Err(self.refusal(response, cancel));
            }
            let body = self.read(response, MAX_PAGE_BYTES.max(MAX_ERROR_BYTES), cancel)?;
            // parsed, small values take many times their bytes
            json_limits::check_event(path.as_bytes(), &body)?;
            match serde_json::from_slice(&body) {
                Ok(value) => error_classes::of_answer(&value).map_or(Ok(body), Err),
                Err(_) => Err(error_classes::of_body(&body, "the account")),
            }
        };
        client::with_retry(self.counters(), cancel, || {
            read().map_err(|error| error_classes::hide(error, key))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_come_and_go_hide_no_others() {
        let page = r#"{"has_more": null, "length": 4, "data": [
            {"bot_name": "a", "creation_time": 1700000000000000, "query_id": "q1", "cost_points": 3, "canvas_tab_name": "x"},
            {"app_name": "b", "creation_time": null, "query_id": 7, "cost_points": "3", "cost_usd": "0.1"},
            {"creation_time": "soon", "bot_name": null, "query_id": null, "cost_points": null},
            {}
        ]}"#;
        let page: Page = serde_json::from_str(page).unwrap();
        assert!(!page.has_more);
        let first = &page.data[0];
        assert_eq!((first.bot_name.as_deref(), first.query_id.as_deref()), (Some("a"), Some("q1")));
        assert_eq!((first.time().as_secs(), first.cost_points), (1_700_000_000, Some(3.0)));
        let names: Vec<_> = page.data.iter().map(|charge| charge.bot_name.as_deref()).collect();
        assert_eq!(names, [Some("a"), Some("b"), None, None]);
        assert!(
            page.data[1..]
                .iter()
                .all(|charge| charge.creation_time.is_none() && charge.cost_points.is_none())
        );
        for (text, points) in [
            (
                r#"{"current_point_balance": 5, "next_monthly_grant_time": null, "next_monthly_grant_points": 1}"#,
                Some(5.0),
            ),
            (r#"{"current_point_balance": null}"#, None),
            ("{}", None),
        ] {
            let balance: Balance = serde_json::from_str(text).unwrap();
            assert_eq!(balance.current_point_balance, points, "{text}");
        }
    }
}
