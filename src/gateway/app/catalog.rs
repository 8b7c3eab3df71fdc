//! Poe's list of models: fetched at intervals, stored on disk, and still used while Poe is unreachable.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::value::RawValue;

use super::App;
use crate::config::catalog_cache;
use crate::config::directory::Dir;
use crate::error::{Error, Kind, Result};
use crate::poe::{self, CancelCheck, Entries, Entry};

/// How soon a failed fetch is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How long after the start requests wait for the very first list.
const FIRST: Duration = Duration::from_secs(3);
/// How long a request for the list waits for it, when there is none yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// A list that is still the same is not written again before it is so old: disks like to sleep.
const SAME_FOR: Duration = Duration::from_secs(86_400);

/// Poe's models at one moment.
#[derive(Debug)]
pub struct Catalog {
    /// The models, in Poe's order.
    pub entries: Entries,
    /// When Poe gave them.
    pub fetched: SystemTime,
    /// Where they come from.
    pub source: ListSource,
}

/// Where a list comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListSource {
    /// From Poe, since this start.
    Poe,
    /// From the disk.
    Cache,
    /// From the disk, where another Poe's list lay: better than none until this one answers.
    Elsewhere,
}

impl ListSource {
    /// Its name in headers and in the admin API.
    pub fn name(self) -> &'static str {
        match self {
            ListSource::Poe => "poe",
            ListSource::Cache | ListSource::Elsewhere => "cache",
        }
    }
}

impl Catalog {
    /// How old it is.
    pub fn age(&self) -> Duration {
        self.fetched.elapsed().unwrap_or_default()
    }

    /// The entries as Poe wrote them.
    pub(super) fn raw(&self) -> impl Iterator<Item = &Arc<RawValue>> {
        self.entries.iter().filter_map(|entry| entry.raw.as_ref())
    }

    /// The list that an earlier start kept, of this Poe or of another. The embedded Poe's is always at hand, and not kept.
    pub(super) fn kept(dir: &Dir, settings: &crate::settings::Settings) -> Option<Catalog> {
        if settings.demo {
            return None;
        }
        let kept = catalog_cache::read(dir, &settings.poe_base_url)?;
        let entries = poe::parse_catalog(&kept.body).ok().filter(|entries| !entries.is_empty())?;
        let source = if kept.is_own { ListSource::Cache } else { ListSource::Elsewhere };
        Some(Catalog { entries: entries.into(), fetched: kept.fetched, source })
    }
}

/// The bots' names in lower case.
pub(super) fn names(entries: &[Entry]) -> HashSet<String> {
    entries.iter().map(|entry| entry.id.to_lowercase()).collect()
}

impl App {
    /// Poe's models, for a request that shows them. It waits only while there is no list at all.
    pub fn catalog(&self, cancel: &CancelCheck) -> Result<Arc<Catalog>> {
        let (end, inner) = (Instant::now() + PATIENCE, Rc::clone(cancel));
        let cancel: CancelCheck = Rc::new(move || {
            inner()?;
            match Instant::now() < end {
                true => Ok(()),
                false => {
                    Err(Error::new(Kind::UpstreamTimeout, "Poe's list of models did not arrive in time"))
                }
            }
        });
        self.catalog.get(&*cancel, || self.fetch_catalog(&cancel))
    }

    /// Poe's models as far as they are known.
    pub fn peek_catalog(&self) -> Option<Arc<Catalog>> {
        self.catalog.peek()
    }

    /// What is known of Poe's models now. Only right after the start is there something to wait for.
    pub(super) fn known_catalog(&self, cancel: &CancelCheck) -> Result<Option<Arc<Catalog>>> {
        self.catalog.first(self.opened + FIRST, &**cancel)
    }

    /// Keeps the list of models fresh, for ever.
    pub fn refresh_catalog(&self) {
        let never_cancelled: CancelCheck = Rc::new(|| Ok(()));
        let interval = self.settings.models_refresh;
        loop {
            let fetch = || self.fetch_catalog(&never_cancelled);
            let outcome = match self.catalog.peek() {
                // a request for the list may be fetching it already
                None => Some(self.catalog.get(&*never_cancelled, fetch)),
                Some(kept) => {
                    let is_due = !interval.is_zero() || kept.source == ListSource::Elsewhere;
                    is_due.then(|| self.catalog.refresh(fetch))
                }
            };
            self.computed_warnings();
            match outcome {
                Some(Err(error)) => {
                    log::warn!("Poe's list of models could not be fetched: {error}");
                    thread::sleep(self.retry_catalog());
                }
                // looked after by those who miss it
                _ if interval.is_zero() => return,
                _ => thread::sleep(interval),
            }
        }
    }

    /// When a list that cannot be had is worth another question.
    pub fn retry_catalog(&self) -> Duration {
        match self.settings.models_refresh {
            Duration::ZERO => RETRY,
            interval => RETRY.min(interval),
        }
    }

    fn fetch_catalog(&self, cancel: &CancelCheck) -> Result<Catalog> {
        // the list is public, so no key is spent on it
        let entries = self.poe.models(None, cancel)?;
        if entries.is_empty() {
            return Err(Error::new(Kind::Upstream, "Poe's list of models is empty"));
        }
        let catalog =
            Catalog { entries: entries.into(), fetched: SystemTime::now(), source: ListSource::Poe };
        if !self.settings.demo {
            self.keep_catalog(&catalog);
        }
        Ok(catalog)
    }

    fn keep_catalog(&self, catalog: &Catalog) {
        let raw = || catalog.raw().map(|raw| raw.get());
        let mut written = super::lock(&self.written);
        let is_same = written.as_ref().is_some_and(|(before, when)| {
            *when + SAME_FOR > catalog.fetched && raw().eq(before.iter().map(|raw| raw.get()))
        });
        if !is_same {
            catalog_cache::write(&self.dir, &self.settings.poe_base_url, catalog.fetched, raw());
            *written = Some((catalog.raw().cloned().collect(), catalog.fetched));
        }
    }
}
