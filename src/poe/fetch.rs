//! Fetches what bots made, from where Poe keeps it and from nowhere else.

use std::io::Read;
use std::time::{Duration, Instant};

use ureq::http::Uri;

use super::client::{Poe, finished};
use super::transport::{CancelCheck, cancellable};
use crate::error::{Error, Kind, Result};

/// The largest work that is fetched.
const MAX_BYTES: usize = 32 << 20;
/// How long a fetch may take in all, whatever comes meanwhile.
const MAX_TIME: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 16 << 10;

/// A work, fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The MIME type that its server states.
    pub content_type: Option<String>,
}

impl Poe {
    /// Fetches `url`, which must lie at Poe: no key is sent, no redirect is followed, and size and time are bounded.
    pub fn fetch(&self, url: &str, cancel: &CancelCheck) -> Result<Fetched> {
        let settings = self.settings();
        let local = settings.is_local.then_some(settings.base_url.as_str());
        if !lies_at_poe(url, local) {
            let message = format!("the bot's file is not fetched, because it does not lie at Poe: {url}");
            return Err(Error::new(Kind::Upstream, message));
        }
        let request = self.agent().get(url);
        let (response, ended) = cancellable(cancel, settings.first_byte_timeout, || request.call());
        let response = finished(response, ended)?;
        if response.status() != 200 {
            let message = format!("the bot's file could not be fetched: {} from {url}", response.status());
            return Err(Error::new(Kind::Upstream, message));
        }
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.map(str::to_owned);
        let (start, mut bytes) = (Instant::now(), Vec::new());
        let mut body = response.into_body().into_reader();
        let mut piece = vec![0; READ_BYTES];
        loop {
            let (count, ended) = cancellable(cancel, settings.idle_timeout, || body.read(&mut piece));
            if let Some(error) = ended {
                return Err(error);
            }
            match count {
                Ok(0) => return Ok(Fetched { bytes, content_type }),
                Ok(count) => bytes.extend_from_slice(&piece[..count]),
                Err(error) => {
                    return Err(Error::new(Kind::Upstream, format!("the bot's file broke off: {error}")));
                }
            }
            if bytes.len() > MAX_BYTES {
                let message = format!("the bot's file is larger than {} MiB", MAX_BYTES >> 20);
                return Err(Error::new(Kind::Upstream, message));
            }
            if start.elapsed() > MAX_TIME {
                let message = format!("the bot's file took longer than {} seconds", MAX_TIME.as_secs());
                return Err(Error::new(Kind::UpstreamTimeout, message));
            }
            cancel()?;
        }
    }
}

/// Whether `url` leads to one of Poe's hosts for files, or to the embedded Poe at `local`.
fn lies_at_poe(url: &str, local: Option<&str>) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let place = (uri.scheme_str(), uri.authority());
    let is_local = local
        .and_then(|local| local.parse::<Uri>().ok())
        .is_some_and(|local| place.1.is_some() && place == (local.scheme_str(), local.authority()));
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let is_cdn = host == "poecdn.net" || host.ends_with(".poecdn.net");
    // a port or a user name of its own means that somebody else has made the link
    let is_plain = place.1.is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(&host));
    is_local || is_cdn && is_plain && place.0 == Some("https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_poes_own_files_are_fetched() {
        let demo = Some("http://127.0.0.1:4711");
        for url in
            ["https://pfst.cf2.poecdn.net/base/image/1?w=2", "https://poecdn.net/x", "https://A.POECDN.NET/x"]
        {
            assert!(lies_at_poe(url, None), "{url}");
        }
        assert!(lies_at_poe("http://127.0.0.1:4711/art/cat.png", demo));
        for url in [
            "http://127.0.0.1:4711/art/cat.png",
            "http://pfst.cf2.poecdn.net/x",
            "https://pfst.cf2.poecdn.net:8443/x",
            "https://user@pfst.cf2.poecdn.net/x",
            "https://pfst.cf2.poecdn.net@evil.example/x",
            "https://poecdn.net.evil.example/x",
            "https://evilpoecdn.net/x",
            "https://evil.example/.poecdn.net",
            "https://evil.example#.poecdn.net",
            "file:///etc/passwd",
            "//poecdn.net/x",
            "/art/cat.png",
            "",
        ] {
            assert!(!lies_at_poe(url, None), "{url}");
        }
        for url in [
            "http://127.0.0.1:22/",
            "https://127.0.0.1:4711/",
            "http://127.0.0.1/",
            "http://localhost:4711/",
            "/x",
        ] {
            assert!(!lies_at_poe(url, demo), "{url}");
        }
    }
}
