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
use crate::gateway::model_directory::{Catalog, ListSource, ModelDirectory};
use crate::poe::{self, CancelCheck};
use crate::settings::Settings;

/// How soon a failed fetch is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How long after the start requests wait for the very first list.
const FIRST: Duration = Duration::from_secs(3);
/// How long a request for the list waits for it, when there is none yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// A list that is still the same is not written again before it is so old: disks like to sleep.
const SAME_FOR: Duration = Duration::from_secs(86_400);

/// The entries as Poe wrote them.
pub(super) fn raw(catalog: &Catalog) -> impl Iterator<Item = &Arc<RawValue>> {
    catalog.entries.iter().filter_map(|entry| entry.raw.as_ref())
}

/// The list that an earlier start kept, of this Poe or of another. The embedded Poe's is always at hand, and not kept.
pub(super) fn kept(dir: &Dir, settings: &Settings) -> Option<Catalog> {
    if settings.demo {
        return None;
    }
    let kept = catalog_cache::read(dir, &settings.poe_base_url)?;
    let entries = poe::parse_catalog(&kept.body).ok().filter(|entries| !entries.is_empty())?;
    let source = if kept.is_own { ListSource::Cache } else { ListSource::Elsewhere };
    Some(Catalog { entries: entries.into(), fetched: kept.fetched, source })
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

    /// Waits for Poe's first list, right after the start: only then is there something to wait for.
    pub(super) fn await_catalog(&self, cancel: &CancelCheck) -> Result<()> {
        self.catalog.first(self.opened + FIRST, &**cancel).map(drop)
    }

    /// Every model that is known now. It is built anew when Poe's list or models.yaml has changed.
    pub fn directory(&self) -> Arc<ModelDirectory> {
        let mut kept = super::lock(&self.directory);
        // read under the lock, so that an older directory never replaces a newer one
        let (file, catalog) = (self.models(), self.peek_catalog());
        if !kept.is_of(&file, catalog.as_ref()) {
            *kept = Arc::new(ModelDirectory::new(file, catalog));
        }
        Arc::clone(&kept)
    }

    /// What is doubtful in models.yaml by Poe's list, a line each. It is logged when it is first found.
    pub fn computed_warnings(&self) -> Arc<[String]> {
        let all = self.directory().warnings();
        let mut logged = super::lock(&self.logged_warnings);
        if !Arc::ptr_eq(&all, &logged) {
            let known: HashSet<&String> = logged.iter().collect();
            all.iter().filter(|one| !known.contains(one)).for_each(|one| log::warn!("models.yaml: {one}"));
            *logged = Arc::clone(&all);
        }
        all
    }

    /// Everything that is doubtful in models.yaml, a line each.
    pub fn config_warnings(&self) -> Vec<String> {
        let computed_warnings = self.computed_warnings();
        self.config.current().status.warnings.iter().chain(computed_warnings.iter()).cloned().collect()
    }

    /// Keeps the list of models fresh, for ever.
    pub fn refresh_catalog(&self) {
        let never_cancelled: CancelCheck = Rc::new(|| Ok(()));
        let interval = self.settings.models_refresh;
        let mut is_told = false;
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
            if self.peek_catalog().is_some() && !std::mem::replace(&mut is_told, true) {
                log::info!("models: {} at /v1/models", self.directory().list().count());
            }
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
        let texts = || raw(catalog).map(|raw| raw.get());
        let mut written = super::lock(&self.written);
        let is_same = written.as_ref().is_some_and(|(before, when)| {
            *when + SAME_FOR > catalog.fetched && texts().eq(before.iter().map(|raw| raw.get()))
        });
        if !is_same {
            catalog_cache::write(&self.dir, &self.settings.poe_base_url, catalog.fetched, texts());
            *written = Some((raw(catalog).cloned().collect(), catalog.fetched));
        }
    }
}
