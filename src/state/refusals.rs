//! Fields that Poe's native endpoints refused although the list declares them: the next request uses the bot protocol at once.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// How many refusals are remembered.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// How many of them for one bot at one endpoint: names of fields are the clients' to invent.
const MOST_FIELDS: usize = 64;
const LONGEST_FIELD: usize = 256;

/// The refusals, by bot, endpoint and field. Endpoints and lists get repaired, so each entry expires.
#[derive(Debug)]
pub struct EndpointRefusals(Mutex<LruCache<(String, String), Vec<Refused>>>);

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
        let mut all = self.lock();
        let known = all.get_or_insert_mut((bot.to_owned(), endpoint.to_owned()), Vec::new);
        // a field that was refused twice counts once
        known.retain(|one| one.until > now && one.field.as_deref() != field);
        if known.len() >= MOST_FIELDS {
            known.remove(0);
        }
        known.push(Refused { field: field.map(str::to_owned), until: now + time });
    }

    /// Whether `endpoint` is known not to take a request with these fields for `bot`.
    pub fn refuses(&self, bot: &str, endpoint: &str, fields: &[String], now: Instant) -> bool {
        let mut all = self.lock();
        let Some(known) = all.get(&(bot.to_owned(), endpoint.to_owned())) else { return false };
        let concerns = |one: &Refused| one.field.as_ref().is_none_or(|field| fields.contains(field));
        known.iter().any(|one| one.until > now && concerns(one))
    }

    /// The fields that `endpoint` is known not to take for `bot`.
    pub fn fields(&self, bot: &str, endpoint: &str, now: Instant) -> Vec<String> {
        let mut all = self.lock();
        let known = all.get(&(bot.to_owned(), endpoint.to_owned())).into_iter().flatten();
        known.filter(|one| one.until > now).filter_map(|one| one.field.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<(String, String), Vec<Refused>>> {
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
    }
}
