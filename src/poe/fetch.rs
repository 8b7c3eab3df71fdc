//! Fetches files that bots made, only from Poe's hosts.

use std::io::Read;
use std::time::{Duration, Instant};

use ureq::BodyReader;
use ureq::http::Uri;

use super::client::{Poe, finished};
use super::transport::{CancelCheck, cancellable};
use crate::budget::Reservation;
use crate::error::{Error, Kind, Result};

/// The largest work that is fetched.
const MAX_BYTES: usize = 32 << 20;
/// How long a fetch may take in all, whatever comes meanwhile.
const MAX_TIME: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 16 << 10;
/// A work is held as it came and as base64.
const COPIES: usize = 3;

/// A work, fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The MIME type that its server states.
    pub content_type: Option<String>,
    /// The memory that is reserved for the bytes and for an answer that holds them.
    pub memory: Reservation,
}

/// A work whose bytes are read as they come.
pub struct Download {
    /// 200, 206 for a part, or 416 for one that does not exist.
    pub status: u16,
    /// The MIME type that its server states.
    pub content_type: Option<String>,
    /// The bytes that follow, where their number is known.
    pub length: Option<usize>,
    /// Which part this is.
    pub range: Option<String>,
    body: BodyReader<'static>,
    idle_timeout: Duration,
}

impl Download {
    /// Reads the next bytes into `piece`; 0 is the end.
    pub fn read(&mut self, piece: &mut [u8], cancel: &CancelCheck) -> Result<usize> {
        let (count, ended) = cancellable(cancel, self.idle_timeout, || self.body.read(piece));
        match (count, ended) {
            (_, Some(error)) => Err(error),
            (Ok(count), None) => Ok(count),
            (Err(error), None) => {
                Err(Error::new(Kind::Upstream, format!("the bot's file broke off: {error}")))
            }
        }
    }
}

impl Poe {
    /// Fetches `url`, which must lie at Poe: no key is sent, no redirect is followed, and size and time are bounded.
    pub fn fetch(&self, url: &str, cancel: &CancelCheck) -> Result<Fetched> {
        let mut download = self.download(url, None, cancel)?;
        let (start, mut bytes, mut memory) = (Instant::now(), Vec::new(), Reservation::default());
        let mut piece = vec![0; READ_BYTES];
        loop {
            let left = MAX_TIME.saturating_sub(start.elapsed());
            download.idle_timeout = self.settings().idle_timeout.min(left);
            match download.read(&mut piece, cancel)? {
                0 => return Ok(Fetched { bytes, content_type: download.content_type, memory }),
                count => {
                    memory.grow(count * COPIES)?;
                    bytes.extend_from_slice(&piece[..count]);
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

    /// Opens `url`, which must lie at Poe, or the part of it that `range` names: no key is sent, no redirect is followed.
    pub fn download(&self, url: &str, range: Option<&str>, cancel: &CancelCheck) -> Result<Download> {
        let settings = self.settings();
        if !lies_at_poe(url, &settings.base_url) {
            let message = format!(
                "the bot's file is not fetched, because it is neither on poecdn.net nor on the host of \
                 POE_BASE_URL: {url}"
            );
            return Err(Error::new(Kind::Upstream, message));
        }
        // compressed bytes could not be counted
        let mut request = self.agent().get(url).header("Accept-Encoding", "identity");
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        let (response, ended) = cancellable(cancel, settings.first_byte_timeout, || request.call());
        let response = finished(response, ended)?;
        let status = response.status().as_u16();
        if status != 200 && !(range.is_some() && matches!(status, 206 | 416)) {
            let message = format!("the bot's file could not be fetched: {} from {url}", response.status());
            return Err(Error::new(Kind::Upstream, message));
        }
        let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        Ok(Download {
            status,
            content_type: header("content-type"),
            length: header("content-length").and_then(|length| length.parse().ok()),
            range: header("content-range"),
            body: response.into_body().into_reader(),
            idle_timeout: settings.idle_timeout,
        })
    }
}

/// Whether `url` leads to one of Poe's hosts for files, or to the server at `base_url`, which answers for Poe.
fn lies_at_poe(url: &str, base_url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let is_base = base_url.parse::<Uri>().is_ok_and(|base| {
        let server = server(&uri);
        server.is_some() && server == self::server(&base)
    });
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let is_cdn = host == "poecdn.net" || host.ends_with(".poecdn.net");
    // a port or a user name of its own means that the link is not Poe's
    let is_plain = uri.authority().is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(&host));
    is_base || is_cdn && is_plain && uri.scheme_str() == Some("https")
}

/// Scheme, host and port, without a user name.
fn server(uri: &Uri) -> Option<(String, String, u16)> {
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let usual = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let host = authority.host().to_ascii_lowercase();
    let is_plain = !authority.as_str().contains('@') && !host.is_empty();
    is_plain.then(|| (scheme.to_owned(), host, authority.port_u16().unwrap_or(usual)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_poes_own_files_are_fetched() {
        let (demo, poe) = ("http://127.0.0.1:4711", "https://api.poe.com");
        for url in
            ["https://pfst.cf2.poecdn.net/base/image/1?w=2", "https://poecdn.net/x", "https://A.POECDN.NET/x"]
        {
            assert!(lies_at_poe(url, poe), "{url}");
        }
        assert!(lies_at_poe("http://127.0.0.1:4711/art/cat.png", demo));
        for (url, base) in [
            ("https://api.poe.com/files/1", poe),
            ("https://poe.example.org/cdn/1.png", "https://poe.example.org/poe"),
            ("https://POE.example.org:443/cdn/1.png", "https://poe.example.org"),
            ("http://poe.lan/x", "http://poe.lan:80/v"),
        ] {
            assert!(lies_at_poe(url, base), "{url} {base}");
        }
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
            assert!(!lies_at_poe(url, poe), "{url}");
        }
        for url in [
            "http://127.0.0.1:22/",
            "https://127.0.0.1:4711/",
            "http://127.0.0.1/",
            "http://localhost:4711/",
            "http://user@127.0.0.1:4711/",
            "http://127.0.0.1:4711@evil.example/",
            "/x",
        ] {
            assert!(!lies_at_poe(url, demo), "{url}");
        }
    }
}
