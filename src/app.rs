//! What all requests share.

use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

use crate::error::{Error, Kind, Result};
use crate::poe::{self, Entry, Poe, Watch};
use crate::settings::{Secret, Settings};
use crate::store::limiter::Limiter;
use crate::store::refreshed::Refreshed;

/// How long Poe's list of models is as good as new.
const CATALOG_LIFETIME: Duration = Duration::from_secs(600);

/// What all requests share.
pub struct App {
    /// Every setting, read once.
    pub settings: Settings,
    /// The well.
    pub poe: Poe,
    /// One request per interval for the whole server.
    pub limiter: Limiter,
    catalog: Refreshed<Vec<Entry>>,
}

impl App {
    /// Opens the house. An error is a sentence for whoever starts it.
    pub fn open(settings: Settings) -> Result<App, String> {
        let root_certificates = match &settings.ssl_cert_file {
            Some(path) => {
                Some(fs::read(path).map_err(|e| format!("SSL_CERT_FILE: {}: {e}", path.display()))?)
            }
            None => None,
        };
        let poe = Poe::new(poe::Settings {
            base_url: settings.poe_base_url.clone(),
            file_upload_url: settings.poe_file_upload_url.clone(),
            connect_timeout: settings.upstream_connect_timeout,
            first_byte_timeout: settings.upstream_first_byte_timeout,
            idle_timeout: settings.upstream_idle_timeout,
            root_certificates,
            is_local: settings.demo,
        });
        Ok(App {
            poe: poe.map_err(|error| format!("SSL_CERT_FILE: {error}"))?,
            limiter: Limiter::new(
                settings.rate_limit,
                settings.rate_limit_burst,
                settings.rate_limit_max_wait,
            ),
            catalog: Refreshed::new(CATALOG_LIFETIME),
            settings,
        })
    }

    /// Poe's models. The list is public, so no key is spent on it.
    pub fn catalog(&self, watch: &Watch) -> Result<Arc<Vec<Entry>>> {
        self.catalog.get(|| self.poe.models(None, watch))
    }

    /// What is known of Poe's models now, without waiting.
    pub fn known_catalog(&self) -> Option<Arc<Vec<Entry>>> {
        self.catalog.peek()
    }

    /// Fetches the list of models ahead of the first request.
    pub fn warm_up(&self) {
        let nobody: Watch = Rc::new(|| Ok(()));
        if let Err(error) = self.catalog(&nobody) {
            log::warn!("Poe's list of models could not be fetched: {error}");
        }
    }

    /// The key to ask Poe with, for a client that shows `shown`. With keys of the proxy's own, clients show one of
    /// those and Poe's stays here; with Poe's key alone everybody who gets here (from this machine only) may use it.
    pub fn poe_key(&self, shown: Option<&str>) -> Result<String> {
        let settings = &self.settings;
        match (&settings.poe_api_key, settings.proxy_api_keys.as_slice()) {
            (Some(key), []) => Ok(key.expose().to_owned()),
            (Some(key), known) => match shown {
                Some(shown) if is_one_of(shown, known) => Ok(key.expose().to_owned()),
                Some(_) => Err(Error::new(Kind::Unauthorized, "this API key is not known here")),
                None => Err(no_key()),
            },
            (None, _) => shown.map(str::to_owned).ok_or_else(no_key),
        }
    }
}

fn no_key() -> Error {
    let message = "no API key was given: send it as `Authorization: Bearer YOUR_KEY`";
    Error::new(Kind::Unauthorized, message)
}

/// Compares hashes of equal length in constant time, and all of them: the time tells nothing of any key.
fn is_one_of(shown: &str, known: &[Secret]) -> bool {
    let hash = |text: &str| digest(&SHA256, text.as_bytes());
    let shown = hash(shown);
    let same = |key: &Secret| shown.as_ref().ct_eq(hash(key.expose()).as_ref());
    known.iter().map(same).fold(subtle::Choice::from(0), |found, same| found | same).into()
}
