//! Parts of URLs as requests carry them: the host of `Host` and `Origin`, percent-encoding, the query.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use percent_encoding::percent_decode_str;

/// Host and port of a `Host` header or an origin, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Authority {
    /// Reads `host` or `host:port` and nothing else: no user name, no path, no text behind the brackets of an IPv6
    /// address.
    pub fn parse(text: &str) -> Option<Authority> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(inner) => {
                let (address, rest) = inner.split_once(']')?;
                (Host::Address(address.parse::<Ipv6Addr>().ok()?.into()), rest)
            }
            None => {
                let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
                (
                    host.parse::<Ipv4Addr>()
                        .map_or_else(|_| name(host), |ip| Some(Host::Address(ip.into())))?,
                    rest,
                )
            }
        };
        let port = match rest.strip_prefix(':') {
            Some(digits) => Some(port(digits)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        Some(Authority { host, port })
    }

    /// Reads an `Origin` header: `scheme://host` or `scheme://host:port`.
    pub fn of_origin(origin: &str) -> Option<Authority> {
        origin.split_once("://").and_then(|(_, authority)| Authority::parse(authority))
    }

    /// Whether the host can only be this machine: a loopback address or `localhost`.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Address(address) => address.to_canonical().is_loopback(),
            Host::Name(name) => name == "localhost",
        }
    }
}

/// A name of letters, digits, `-`, `_` and dots: what resolvers take.
fn name(text: &str) -> Option<Host> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!text.is_empty() && text.bytes().all(fits)).then(|| Host::Name(text.to_ascii_lowercase()))
}

fn port(digits: &str) -> Option<u16> {
    let plain = (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// A part of a path or a query without its percent-encoding.
pub fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// Names and values of `query`, decoded.
pub fn pairs(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_loopback_hosts_are_this_machine() {
        let is_local = |text: &str| Authority::parse(text).is_some_and(|authority| authority.is_loopback());
        for text in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.8.9.1",
            "[::1]",
            "[::1]:65535",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_local(text), "{text}");
        }
        for text in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "[::1].evil.com",
            "[::1]evil.com",
            "[::1]@evil.com",
            "[::1]:80@evil.com",
            "localhost:80@evil",
            "localhost@evil",
            "user@localhost",
            "localhost:",
            "localhost:x",
            "localhost:80:80",
            "localhost:+80",
            "localhost:65536",
            "localhost:000080",
            "localhost/",
            "localhost#",
            "localhost?x",
            "localhost\\evil",
            " localhost",
            "localhost ",
            "localhost,evil",
            "localhost:80/..",
            "127.0.0.1.evil.com",
            "127.1",
            "0x7f.0.0.1",
            "2130706433",
            "127.0.0.1:80.evil.com",
            "[127.0.0.1]",
            "[::1",
            "::1",
            "[::1%lo]",
            "[localhost]",
            "[::2]",
            "0.0.0.0",
            "10.0.0.1",
            "loc\u{212a}alhost",
            "localhost%00",
        ] {
            assert!(!is_local(text), "{text}");
        }
    }

    #[test]
    fn origins_are_a_scheme_and_a_host() {
        let read = |text: &str| Authority::of_origin(text);
        assert_eq!(read("http://H:80"), Authority::parse("h:80"));
        assert_eq!(read("chrome-extension://abc"), Authority::parse("abc"));
        for text in [
            "null",
            "",
            "localhost",
            "http://",
            "http://localhost/",
            "http://localhost:80@evil",
            "http://a b",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let read = |query| pairs(query).collect::<Vec<_>>();
        assert_eq!(read(Some("a=b%20c&d&%65=f=g")), [("a".into(), "b c".into()), ("e".into(), "f=g".into())]);
        assert_eq!(read(None), []);
    }
}
