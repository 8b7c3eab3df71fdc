//! What is known of Poe's native endpoints: what they refused although the list declares it, and whether they work.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// How many bots are remembered, each with an endpoint.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);
/// How many fields for one bot at one endpoint: names of fields are the clients' to invent.
const MOST_FIELDS: usize = 64;
const LONGEST_FIELD: usize = 256;
/// An endpoint that has failed so often in a row is left alone for so long.
const MOST_FAILURES: u32 = 3;
const REST: Duration = Duration::from_secs(600);
/// After a second try that failed, too, there is none for so long: clients send such requests again themselves.
const NO_SECOND_TRY: Duration = Duration::from_secs(60);

/// What is known, by bot and endpoint. Endpoints and lists get repaired, so everything expires.
#[derive(Debug)]
pub struct EndpointRefusals(Mutex<LruCache<(String, String), Known>>);

#[derive(Debug, Default)]
struct Known {
    refused: Vec<Refused>,
    /// Failures in a row.
    failures: u32,
    /// When the endpoint is tried again.
    rests_until: Option<Instant>,
    /// When there is a second try again.
    second_try_from: Option<Instant>,
    /// Fields of which the log has been told that they are not sent.
    reported: Vec<String>,
}

#[derive(Debug)]
struct Refused {
    /// `None`: the bot itself, whatever the request.
    field: Option<String>,
    until: Instant,
}

impl Default for EndpointRefusals {
    fn default() -> EndpointRefusals {
        EndpointRefusals(Mutex::new(LruCache::new(MOST)))
    }
}

impl EndpointRefusals {
    /// Remembers from `now` on, for `time`, that `endpoint` does not take `field` for `bot`, or not the bot at all.
    pub fn remember(&self, bot: &str, endpoint: &str, field: Option<&str>, now: Instant, time: Duration) {
        if field.is_some_and(|field| field.len() > LONGEST_FIELD) {
            return;
        }
        self.change(bot, endpoint, |known| {
            // a field that was refused twice counts once
            known.refused.retain(|one| one.until > now && one.field.as_deref() != field);
            if known.refused.len() >= MOST_FIELDS {
                known.refused.remove(0);
            }
            known.refused.push(Refused { field: field.map(str::to_owned), until: now + time });
        });
    }

    /// Whether `endpoint` is known not to take a request with these fields for `bot`.
    pub fn refuses(&self, bot: &str, endpoint: &str, fields: &[String], now: Instant) -> bool {
        let concerns = |one: &Refused| one.field.as_ref().is_none_or(|field| fields.contains(field));
        self.look(bot, endpoint, |known| known.refused.iter().any(|one| one.until > now && concerns(one)))
    }

    /// The fields that `endpoint` is known not to take for `bot`.
    pub fn fields(&self, bot: &str, endpoint: &str, now: Instant) -> Vec<String> {
        self.look(bot, endpoint, |known| {
            let current = known.refused.iter().filter(|one| one.until > now);
            current.filter_map(|one| one.field.clone()).collect()
        })
    }

    /// Notes that `endpoint` has answered for `bot`.
    pub fn worked(&self, bot: &str, endpoint: &str) {
        if self.look(bot, endpoint, |known| known.failures > 0 || known.second_try_from.is_some()) {
            self.change(bot, endpoint, |known| (known.failures, known.second_try_from) = (0, None));
        }
    }

    /// Notes that `endpoint` has failed for `bot`; for how long it is left alone, if it has just been once too often.
    pub fn failed(&self, bot: &str, endpoint: &str, now: Instant) -> Option<Duration> {
        self.change(bot, endpoint, |known| {
            known.failures += 1;
            let is_over = known.failures >= MOST_FAILURES;
            if is_over {
                (known.failures, known.rests_until) = (0, Some(now + REST));
            }
            is_over.then_some(REST)
        })
    }

    /// Whether `endpoint` is left alone for `bot`, because it has failed.
    pub fn rests(&self, bot: &str, endpoint: &str, now: Instant) -> bool {
        self.look(bot, endpoint, |known| known.rests_until.is_some_and(|until| until > now))
    }

    /// Notes that a second try after a failure of `endpoint` has failed, too.
    pub fn second_try_failed(&self, bot: &str, endpoint: &str, now: Instant) {
        self.change(bot, endpoint, |known| known.second_try_from = Some(now + NO_SECOND_TRY));
    }

    /// Whether a failure of `endpoint` is worth a second try.
    pub fn allows_second_try(&self, bot: &str, endpoint: &str, now: Instant) -> bool {
        self.look(bot, endpoint, |known| known.second_try_from.is_none_or(|from| from <= now))
    }

    /// Whether it is said for the first time that `field` is not sent to `endpoint`.
    pub fn is_news(&self, bot: &str, endpoint: &str, field: &str) -> bool {
        self.change(bot, endpoint, |known| {
            let is_kept = known.reported.len() < MOST_FIELDS && field.len() <= LONGEST_FIELD;
            let is_news = is_kept && !known.reported.iter().any(|one| one == field);
            known.reported.extend(is_news.then(|| field.to_owned()));
            is_news
        })
    }

    /// Reads what is known; of an endpoint of which nothing is known nothing is kept.
    fn look<T>(&self, bot: &str, endpoint: &str, read: impl FnOnce(&Known) -> T) -> T {
        match self.lock().get(&(bot.to_owned(), endpoint.to_owned())) {
            Some(known) => read(known),
            None => read(&Known::default()),
        }
    }

    fn change<T>(&self, bot: &str, endpoint: &str, change: impl FnOnce(&mut Known) -> T) -> T {
        change(self.lock().get_or_insert_mut((bot.to_owned(), endpoint.to_owned()), Known::default))
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<(String, String), Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_concern_their_field_and_are_forgotten_in_time() {
        let (refusals, now, hour) = (EndpointRefusals::default(), Instant::now(), Duration::from_secs(3600));
        let refuses =
            |endpoint: &str, field: &str, at| refusals.refuses("bot", endpoint, &[field.into()], at);
        assert!(!refuses("/v1/x", "seed", now));
        refusals.remember("bot", "/v1/x", Some("seed"), now, hour);
        assert!(refuses("/v1/x", "seed", now));
        assert!(!refuses("/v1/x", "tools", now) && !refuses("/v1/y", "seed", now));
        assert!(!refuses("/v1/x", "seed", now + hour));
        assert_eq!(refusals.fields("bot", "/v1/x", now), ["seed"]);
        assert!(refusals.fields("bot", "/v1/x", now + hour).is_empty());
        assert!(refusals.fields("bot", "/v1/y", now).is_empty());
        refusals.remember("bot", "/v1/x", None, now, hour);
        assert!(refuses("/v1/x", "tools", now));
        assert_eq!(refusals.fields("bot", "/v1/x", now), ["seed"]);
    }

    #[test]
    fn invented_fields_do_not_pile_up() {
        let (refusals, now) = (EndpointRefusals::default(), Instant::now());
        for number in 0..3 * MOST_FIELDS {
            refusals.remember("bot", "/v1/x", Some(&number.to_string()), now, Duration::from_secs(9));
        }
        let known = refusals.fields("bot", "/v1/x", now);
        let newest = (3 * MOST_FIELDS - 1).to_string();
        assert_eq!((known.len(), known.last()), (MOST_FIELDS, Some(&newest)));
        refusals.remember("bot", "/v1/x", Some(&"x".repeat(1000)), now, Duration::from_secs(9));
        assert_eq!(refusals.fields("bot", "/v1/x", now).last(), Some(&newest));
        assert!(!refusals.is_news("bot", "/v1/x", &"x".repeat(1000)));
    }

    #[test]
    fn an_endpoint_that_fails_again_and_again_is_left_alone_for_a_while() {
        let (refusals, now) = (EndpointRefusals::default(), Instant::now());
        let fail = || refusals.failed("bot", "/v1/x", now);
        assert_eq!([fail(), fail()], [None, None]);
        refusals.worked("bot", "/v1/x");
        assert_eq!([fail(), fail()], [None, None], "failures in a row count");
        assert!(!refusals.rests("bot", "/v1/x", now));
        assert_eq!(fail(), Some(REST));
        assert!(refusals.rests("bot", "/v1/x", now) && !refusals.rests("bot", "/v1/y", now));
        assert!(!refusals.rests("bot", "/v1/x", now + REST));
        assert_eq!([fail(), fail(), fail()], [None, None, Some(REST)], "and anew after that");
    }

    #[test]
    fn a_second_try_that_failed_is_the_last_for_a_while() {
        let (refusals, now) = (EndpointRefusals::default(), Instant::now());
        let allows = |at| refusals.allows_second_try("bot", "/v1/x", at);
        assert!(allows(now));
        refusals.second_try_failed("bot", "/v1/x", now);
        assert!(!allows(now) && allows(now + NO_SECOND_TRY));
        refusals.worked("bot", "/v1/x");
        assert!(allows(now));
    }

    #[test]
    fn a_field_is_reported_once() {
        let refusals = EndpointRefusals::default();
        let news = |field: &str| refusals.is_news("bot", "/v1/x", field);
        assert_eq!([news("a"), news("a"), news("b")], [true, false, true]);
        let said = (0..2 * MOST_FIELDS).filter(|number| news(&number.to_string())).count();
        assert_eq!(said, MOST_FIELDS - 2);
    }
}
