//! Types of setting values: how each is parsed and displayed, and what an error about it says is expected.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use super::values::MASK;
use super::{Host, LogFormat, Secret, Shape};
use crate::config::models::Route;
use crate::proxy::{Own, Proxy};

/// The longest time a setting may name, in seconds: about 100 years, so that adding it to a clock never overflows.
const FOREVER: u64 = 100 * 365 * 86_400;

/// How one sort of value is read and shown.
pub(super) trait Kind {
    type Value;
    const SHAPE: Shape = Shape::Plain;
    /// The words that it can be, if they are few.
    const CHOICES: &'static [&'static str] = &[];

    /// What to write, to follow the word "expected".
    fn expected() -> String;
    fn read(text: &str) -> Option<Self::Value>;
    fn show(value: &Self::Value) -> String;
}

/// A whole number between two bounds, both included; spaces around it are forgiven.
fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    let text = text.trim();
    // `parse` would take a plus sign, which is never meant.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (least..=most).contains(number))
}

fn a_number(of: &str, least: u64, most: u64) -> String {
    format!("a whole number {of}from {least} to {most}")
}

pub(super) struct Port;
impl Kind for Port {
    type Value = u16;
    fn expected() -> String {
        a_number("", 0, u16::MAX.into())
    }
    fn read(text: &str) -> Option<u16> {
        number(text, 0, u16::MAX.into())?.try_into().ok()
    }
    fn show(value: &u16) -> String {
        value.to_string()
    }
}

pub(super) struct Count<const LEAST: u32, const MOST: u32>;
impl<const LEAST: u32, const MOST: u32> Kind for Count<LEAST, MOST> {
    type Value = u32;
    fn expected() -> String {
        a_number("", LEAST.into(), MOST.into())
    }
    fn read(text: &str) -> Option<u32> {
        number(text, LEAST.into(), MOST.into())?.try_into().ok()
    }
    fn show(value: &u32) -> String {
        value.to_string()
    }
}

pub(super) struct Millis<const LEAST: u64>;
impl<const LEAST: u64> Kind for Millis<LEAST> {
    type Value = Duration;
    fn expected() -> String {
        a_number("of milliseconds ", LEAST, FOREVER * 1000)
    }
    fn read(text: &str) -> Option<Duration> {
        number(text, LEAST, FOREVER * 1000).map(Duration::from_millis)
    }
    fn show(value: &Duration) -> String {
        value.as_millis().to_string()
    }
}

pub(super) struct Seconds<const LEAST: u64>;
impl<const LEAST: u64> Kind for Seconds<LEAST> {
    type Value = Duration;
    fn expected() -> String {
        a_number("of seconds ", LEAST, FOREVER)
    }
    fn read(text: &str) -> Option<Duration> {
        number(text, LEAST, FOREVER).map(Duration::from_secs)
    }
    fn show(value: &Duration) -> String {
        value.as_secs().to_string()
    }
}

pub(super) struct Size;
impl Kind for Size {
    type Value = u64;
    fn expected() -> String {
        a_number("of bytes ", 0, u64::MAX)
    }
    fn read(text: &str) -> Option<u64> {
        number(text, 0, u64::MAX)
    }
    fn show(value: &u64) -> String {
        value.to_string()
    }
}

pub(super) struct Mebibytes;
impl Mebibytes {
    const MOST: u64 = 1 << 30;
}
impl Kind for Mebibytes {
    /// In bytes.
    type Value = u64;
    fn expected() -> String {
        a_number("of MiB ", 0, Self::MOST)
    }
    fn read(text: &str) -> Option<u64> {
        number(text, 0, Self::MOST).map(|mebibytes| mebibytes << 20)
    }
    fn show(value: &u64) -> String {
        (value >> 20).to_string()
    }
}

pub(super) struct Switch;
impl Kind for Switch {
    type Value = bool;
    const SHAPE: Shape = Shape::Switch;
    fn expected() -> String {
        "true or false".into()
    }
    fn read(text: &str) -> Option<bool> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }
    fn show(value: &bool) -> String {
        value.to_string()
    }
}

pub(super) struct Level;
impl Kind for Level {
    type Value = LevelFilter;
    const CHOICES: &'static [&'static str] = &["error", "warn", "info", "debug", "trace"];
    fn expected() -> String {
        "error, warn, info, debug or trace".into()
    }
    fn read(text: &str) -> Option<LevelFilter> {
        // The crate's own parser accepts `off` too; a server without any log cannot be diagnosed.
        text.trim().parse().ok().filter(|level| *level != LevelFilter::Off)
    }
    fn show(value: &LevelFilter) -> String {
        value.as_str().to_ascii_lowercase()
    }
}

pub(super) struct RouteName;
impl Kind for RouteName {
    type Value = Route;
    const CHOICES: &'static [&'static str] = &["bot", "native", "auto"];
    fn expected() -> String {
        "bot, native or auto".into()
    }
    fn read(text: &str) -> Option<Route> {
        match text.trim().to_ascii_lowercase().as_str() {
            "bot" => Some(Route::Bot),
            "native" => Some(Route::Native),
            "auto" => Some(Route::Auto),
            _ => None,
        }
    }
    fn show(value: &Route) -> String {
        let name = match value {
            Route::Bot => "bot",
            Route::Native => "native",
            Route::Auto => "auto",
        };
        name.into()
    }
}

pub(super) struct Format;
impl Kind for Format {
    type Value = LogFormat;
    const CHOICES: &'static [&'static str] = &["text", "json"];
    fn expected() -> String {
        "text or json".into()
    }
    fn read(text: &str) -> Option<LogFormat> {
        match text.trim().to_ascii_lowercase().as_str() {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }
    fn show(value: &LogFormat) -> String {
        match value {
            LogFormat::Text => "text".into(),
            LogFormat::Json => "json".into(),
        }
    }
}

pub(super) struct HostName;
impl Kind for HostName {
    type Value = Host;
    fn expected() -> String {
        "an IPv4 address, an IPv6 address or a host name, without port".into()
    }
    fn read(text: &str) -> Option<Host> {
        let text = text.trim();
        if let Some(inner) = text.strip_prefix('[') {
            return inner
                .strip_suffix(']')?
                .parse::<Ipv6Addr>()
                .ok()
                .map(|address| Host::Address(address.into()));
        }
        match text.parse() {
            Ok(address) => Some(Host::Address(address)),
            Err(_) => is_host_name(text).then(|| Host::Name(text.into())),
        }
    }
    fn show(value: &Host) -> String {
        value.to_string()
    }
}

/// Labels of letters, digits, `-` and `_`; the last not a number, which resolvers would read as an odd IPv4 address.
fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let ends_in_number =
        text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(label) && !ends_in_number
}

pub(super) struct Url;
impl Kind for Url {
    /// Without a slash at its end.
    type Value = String;
    fn expected() -> String {
        "an http:// or https:// URL with a host, without user name, query or fragment".into()
    }
    fn read(text: &str) -> Option<String> {
        let text = text.trim().trim_end_matches('/');
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.split('/').next()?;
        let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        let plain = |c: char| c.is_ascii_graphic() && !"?#@\\\"<>^`{|}".contains(c);
        (known && text.chars().all(plain) && is_authority(authority)).then(|| text.into())
    }
    fn show(value: &String) -> String {
        value.clone()
    }
}

/// `host` or `host:port`, an IPv6 address in brackets.
fn is_authority(text: &str) -> bool {
    let host_end =
        text.rfind(']').map_or_else(|| text.find(':').unwrap_or(text.len()), |bracket| bracket + 1);
    let (host, port) = text.split_at(host_end);
    let port_is_good =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| number(port, 1, 65_535).is_some());
    HostName::read(host).is_some() && port_is_good
}

pub(super) struct ProxyUrl;
impl Kind for ProxyUrl {
    type Value = Option<Own>;
    /// It may hold a password, and so may come from a file; the rest of it is shown.
    const SHAPE: Shape = Shape::Secret;
    fn expected() -> String {
        format!("none, or [SCHEME://][USER:PASSWORD@]HOST[:PORT] with the scheme {}", Proxy::schemes())
    }
    fn read(text: &str) -> Option<Option<Own>> {
        match text.trim() {
            "" => Some(None),
            word if word.eq_ignore_ascii_case("none") => Some(Some(Own::Direct)),
            url => Proxy::parse(url, "POE_PROXY").ok().map(Own::Proxy).map(Some),
        }
    }
    fn show(value: &Option<Own>) -> String {
        match value {
            None => "unset".into(),
            Some(Own::Direct) => "none".into(),
            Some(Own::Proxy(proxy)) => proxy.masked(),
        }
    }
}

pub(super) struct Directory;
impl Kind for Directory {
    type Value = PathBuf;
    fn expected() -> String {
        "a directory".into()
    }
    fn read(text: &str) -> Option<PathBuf> {
        (!text.is_empty() && !text.contains('\0')).then(|| text.into())
    }
    fn show(value: &PathBuf) -> String {
        value.display().to_string()
    }
}

pub(super) struct File;
impl Kind for File {
    type Value = Option<PathBuf>;
    fn expected() -> String {
        "a file".into()
    }
    fn read(text: &str) -> Option<Option<PathBuf>> {
        (!text.contains('\0')).then(|| Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty()))
    }
    fn show(value: &Option<PathBuf>) -> String {
        value.as_ref().map_or_else(|| "unset".into(), |path| path.display().to_string())
    }
}

pub(super) struct Text;
impl Kind for Text {
    type Value = String;
    fn expected() -> String {
        "a name without colon or control characters".into()
    }
    fn read(text: &str) -> Option<String> {
        // HTTP Basic ends the user name at the first colon.
        (!text.is_empty() && !text.contains(|c: char| c == ':' || c.is_control())).then(|| text.into())
    }
    fn show(value: &String) -> String {
        value.clone()
    }
}

pub(super) struct Password;
impl Kind for Password {
    type Value = Secret;
    const SHAPE: Shape = Shape::Password;
    fn expected() -> String {
        "a password without control characters".into()
    }
    fn read(text: &str) -> Option<Secret> {
        (!text.contains(char::is_control)).then(|| Secret(text.into()))
    }
    fn show(value: &Secret) -> String {
        if value.is_empty() { "(empty)".into() } else { MASK.into() }
    }
}

/// A key goes into a header: printable ASCII, no spaces.
fn key(text: &str) -> Option<Secret> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Secret(text.into()))
}

pub(super) struct ApiKey;
impl Kind for ApiKey {
    type Value = Option<Secret>;
    const SHAPE: Shape = Shape::Secret;
    fn expected() -> String {
        "one key of printable ASCII characters without spaces".into()
    }
    fn read(text: &str) -> Option<Option<Secret>> {
        let text = text.trim();
        if text.is_empty() { Some(None) } else { key(text).map(Some) }
    }
    fn show(value: &Option<Secret>) -> String {
        if value.is_some() { MASK.into() } else { "unset".into() }
    }
}

pub(super) struct ApiKeys;
impl Kind for ApiKeys {
    type Value = Vec<Secret>;
    const SHAPE: Shape = Shape::Secret;
    fn expected() -> String {
        "keys of printable ASCII characters without spaces, separated by commas".into()
    }
    fn read(text: &str) -> Option<Vec<Secret>> {
        if text.trim().is_empty() {
            return Some(Vec::new());
        }
        // A comma at the end is forgiven; a file may hold one key a line.
        let words = text.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty());
        let keys: Option<Vec<Secret>> = words.map(key).collect();
        keys.filter(|keys| !keys.is_empty())
    }
    fn show(value: &Vec<Secret>) -> String {
        match value.len() {
            0 => "unset".into(),
            1 => MASK.into(),
            many => format!("{MASK} ({many} keys)"),
        }
    }
}
