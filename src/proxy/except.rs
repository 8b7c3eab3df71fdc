//! `NO_PROXY`: the hosts that are reached without a proxy.

use std::net::IpAddr;

/// The list, parsed. Entries that mean nothing match nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoProxy {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    host: Host,
    /// Any, if there is none.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// `*`
    Any,
    /// `example.com` and `.example.com`: the name and all below it.
    Domain(String),
    /// `*.example.com`: what lies below the name.
    Below(String),
    /// `10.*`: what begins so.
    Prefix(String),
    /// An address, or a network by the length of its prefix.
    Network(IpAddr, u8),
}

impl NoProxy {
    /// Reads a list separated by commas, blanks or both.
    pub fn parse(text: &str) -> NoProxy {
        let words = text.split(|c: char| c == ',' || c == ';' || c.is_whitespace());
        NoProxy { entries: words.filter(|word| !word.is_empty()).filter_map(Entry::parse).collect() }
    }

    /// Whether `host`, a name or an address with or without brackets, is on the list.
    pub fn contains(&self, host: &str, port: u16) -> bool {
        let host =
            host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok();
        let is_port = |entry: &Entry| entry.port.is_none_or(|wanted| wanted == port);
        self.entries.iter().any(|entry| is_port(entry) && entry.host.matches(&host, address))
    }
}

impl Entry {
    fn parse(word: &str) -> Option<Entry> {
        let word = word.to_ascii_lowercase();
        let (host, port) = split_port(&word);
        Some(Entry { host: Host::parse(host)?, port })
    }
}

/// Splits `HOST:PORT`; the colons of an IPv6 address are none of it.
fn split_port(word: &str) -> (&str, Option<u16>) {
    let Some((host, port)) = word.rsplit_once(':') else { return (word, None) };
    let is_whole = !host.contains(':') || host.ends_with(']') || host.starts_with('[') && host.contains("]/");
    match port.parse() {
        Ok(port) if is_whole => (host, Some(port)),
        _ => (word, None),
    }
}

impl Host {
    fn parse(text: &str) -> Option<Host> {
        if text == "*" {
            return Some(Host::Any);
        }
        // `[fd00::]/8` and `[fd00::/8]` are both seen
        let bare = text.replace(['[', ']'], "");
        if let Some((address, bits)) = bare.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits = bits.parse().ok().filter(|bits| *bits <= width(address))?;
            return Some(Host::Network(address, bits));
        }
        if let Ok(address) = bare.parse() {
            return Some(Host::Network(address, width(address)));
        }
        let name = |text: &str| Some(text.trim_end_matches('.').to_owned()).filter(|name| !name.is_empty());
        if let Some(below) = text.strip_prefix("*.") {
            return name(below).map(Host::Below);
        }
        match text.strip_suffix('*') {
            Some(prefix) => Some(Host::Prefix(prefix.to_owned())),
            None => name(text.trim_start_matches('.')).map(Host::Domain),
        }
    }

    fn matches(&self, host: &str, address: Option<IpAddr>) -> bool {
        let lies_below =
            |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1);
        match self {
            Host::Any => true,
            Host::Domain(name) => host == name || address.is_none() && lies_below(name),
            Host::Below(name) => address.is_none() && lies_below(name),
            Host::Prefix(prefix) => host.starts_with(prefix.as_str()),
            Host::Network(network, bits) => address.is_some_and(|address| is_in(address, *network, *bits)),
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn is_in(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    // an IPv4 address may be written as an IPv6 one
    let address = if network.is_ipv4() { address.to_canonical() } else { address };
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (address.to_bits() ^ network.to_bits()).leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            (address.to_bits() ^ network.to_bits()).leading_zeros() >= u32::from(bits)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_match_what_people_mean() {
        for (list, yes, no) in [
            ("*", &["a:1", "[::1]:1"][..], &[][..]),
            (
                "example.com",
                &["example.com:1", "a.example.com:1", "EXAMPLE.com.:9"],
                &["badexample.com:1", "example.co:1"],
            ),
            (".example.com", &["example.com:1", "a.b.example.com:1"], &["badexample.com:1"]),
            ("*.example.com", &["a.example.com:1"], &["example.com:1", "xexample.com:1"]),
            ("Example.com.", &["example.com:1"], &["example.org:1"]),
            ("a.com, b.com ,  c.com", &["a.com:1", "b.com:1", "c.com:1"], &["d.com:1"]),
            ("a.com b.com;c.com", &["a.com:1", "b.com:1", "c.com:1"], &[]),
            ("example.com:8080", &["example.com:8080", "a.example.com:8080"], &["example.com:80"]),
            ("10.1.2.3", &["10.1.2.3:1", "[::ffff:10.1.2.3]:1"], &["10.1.2.30:1", "110.1.2.3:1"]),
            (
                "10.0.0.0/8,192.168.1.128/25",
                &["10.255.0.1:1", "192.168.1.200:1"],
                &["11.0.0.1:1", "192.168.1.1:1", "a10.0.0.1:1"],
            ),
            ("0.0.0.0/0", &["1.2.3.4:1"], &["[::1]:1", "localhost:1"]),
            ("10.0.0.1:443", &["10.0.0.1:443"], &["10.0.0.1:80"]),
            ("::1", &["[::1]:1"], &["[::2]:1"]),
            ("[::1]", &["[::1]:1"], &["127.0.0.1:1"]),
            ("[::1]:80", &["[::1]:80"], &["[::1]:81"]),
            ("fd00::/8", &["[fd12::1]:1"], &["[fe12::1]:1"]),
            ("[fd00::]/8", &["[fd12::1]:1"], &["[fe12::1]:1"]),
            ("10.*", &["10.2.3.4:1"], &["100.2.3.4:1"]),
            ("2.3.4", &[], &["1.2.3.4:1"]),
            ("10.0.0.0/33,:80,.,,", &[], &["10.0.0.1:1", "x:80"]),
            ("", &[], &["a:1"]),
        ] {
            let list_read = NoProxy::parse(list);
            let at = |place: &&str| {
                let (host, port) = place.rsplit_once(':').unwrap();
                list_read.contains(host, port.parse().unwrap())
            };
            assert_eq!(yes.iter().filter(|place| !at(place)).collect::<Vec<_>>(), [] as [&&str; 0], "{list}");
            assert_eq!(no.iter().filter(|place| at(place)).collect::<Vec<_>>(), [] as [&&str; 0], "{list}");
        }
    }
}
