//! The types of settings that are more than a number: secrets and hosts.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What stands in place of a secret.
pub(super) const MASK: &str = "••••";

/// A text that no log, message or debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(super) String);

impl Secret {
    /// The text itself, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// What log lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level, message and fields, for people.
    Text,
    /// One JSON object, for programs.
    Json,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name that the system resolves.
    Name(String),
}

impl Host {
    /// Whether only programs on this machine can connect. A name counts only if it cannot mean anything else.
    pub fn is_loopback(&self) -> bool {
        match self {
            Host::Address(address) => address.to_canonical().is_loopback(),
            Host::Name(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                name == "localhost" || name.ends_with(".localhost")
            }
        }
    }

    /// The address, where it is none by name.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Host::Address(address) => Some(*address),
            Host::Name(_) => None,
        }
    }

    /// Whether it stands for all addresses.
    pub fn is_unspecified(&self) -> bool {
        matches!(self, Host::Address(address) if address.is_unspecified())
    }

    /// The host under which a program on this machine reaches the server: loopback for "all addresses".
    pub fn local(&self) -> Host {
        match self {
            Host::Address(IpAddr::V4(address)) if address.is_unspecified() => {
                Host::Address(Ipv4Addr::LOCALHOST.into())
            }
            Host::Address(IpAddr::V6(address)) if address.is_unspecified() => {
                Host::Address(Ipv6Addr::LOCALHOST.into())
            }
            other => other.clone(),
        }
    }

    /// `host:port` as URLs and the resolver want it: an IPv6 address in brackets.
    pub fn with_port(&self, port: u16) -> String {
        match self {
            Host::Address(IpAddr::V6(address)) => format!("[{address}]:{port}"),
            other => format!("{other}:{port}"),
        }
    }
}

/// Without brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(address) => write!(f, "{address}"),
            Host::Name(name) => f.write_str(name),
        }
    }
}
