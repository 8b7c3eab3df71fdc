//! The setting that says where Redis is.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::kinds::{HostName, Kind};
use super::{Secret, Shape};

/// Where Redis is, and how to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Where it listens.
    pub place: RedisPlace,
    /// The user, unless it is the default one.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The number of the database.
    pub database: u32,
}

/// Where Redis listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisPlace {
    /// A host and a port.
    Tcp(String, u16),
    /// A host and a port, by TLS.
    Tls(String, u16),
    /// A socket on this machine.
    Unix(PathBuf),
}

impl RedisUrl {
    fn parse(text: &str) -> Option<RedisUrl> {
        let (scheme, rest) = text.trim().split_once("://")?;
        if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return None;
        }
        match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" => RedisUrl::by_host(rest, RedisPlace::Tcp),
            "rediss" | "valkeys" => RedisUrl::by_host(rest, RedisPlace::Tls),
            "unix" | "redis+unix" | "valkey+unix" => RedisUrl::by_socket(rest),
            _ => None,
        }
    }

    fn by_host(rest: &str, place: fn(String, u16) -> RedisPlace) -> Option<RedisUrl> {
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host_end = authority.rfind(']').map_or_else(|| authority.find(':'), |end| Some(end + 1));
        let (host, port) = authority.split_at(host_end.unwrap_or(authority.len()));
        let port = match port {
            "" => 6379,
            port => port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?,
        };
        let host = HostName::read(host)?.to_string();
        let (user, password) = match login.map(|login| login.split_once(':')) {
            None => (None, None),
            Some(login) => {
                let (user, password) = login?;
                (Some(decoded(user)?).filter(|user| !user.is_empty()), Some(decoded(password)?))
            }
        };
        let database = if path.is_empty() { 0 } else { number(path)? };
        let password = password.map(Secret);
        Some(RedisUrl { place: place(host, port), user, password, database })
    }

    fn by_socket(rest: &str) -> Option<RedisUrl> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = decoded(path).filter(|path| path.len() > 1 && path.starts_with('/'))?;
        let place = RedisPlace::Unix(path.into());
        let mut url = RedisUrl { place, user: None, password: None, database: 0 };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=')? {
                ("db", value) => url.database = number(value)?,
                ("user", value) => url.user = Some(decoded(value)?),
                ("pass" | "password", value) => url.password = Some(Secret(decoded(value)?)),
                _ => return None,
            }
        }
        (url.user.is_none() || url.password.is_some()).then_some(url)
    }
}

/// Without user and password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |host: &str, port| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let login = if self.password.is_some() { "••••@" } else { "" };
        let database = self.database;
        match &self.place {
            RedisPlace::Tcp(host, port) => write!(f, "redis://{login}{}/{database}", at(host, *port)),
            RedisPlace::Tls(host, port) => write!(f, "rediss://{login}{}/{database}", at(host, *port)),
            RedisPlace::Unix(path) => write!(f, "unix://{login}{}?db={database}", path.display()),
        }
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number < 100_000)
}

fn decoded(text: &str) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8().ok()?;
    (!text.contains(char::is_control)).then(|| text.into_owned())
}

pub(super) struct RedisAddress;
impl Kind for RedisAddress {
    type Value = Option<RedisUrl>;
    /// It may hold a password, and so may come from a file; the rest of it is shown.
    const SHAPE: Shape = Shape::Secret;
    fn expected() -> String {
        "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], the same with rediss:// for TLS, or \
         unix:///PATH[?db=DATABASE&user=USER&pass=PASSWORD]"
            .into()
    }
    fn read(text: &str) -> Option<Option<RedisUrl>> {
        if text.trim().is_empty() { Some(None) } else { RedisUrl::parse(text).map(Some) }
    }
    fn show(value: &Option<RedisUrl>) -> String {
        value.as_ref().map_or_else(|| "unset".into(), RedisUrl::to_string)
    }
}

/// What all names in Redis begin with.
pub(super) struct Prefix;
impl Kind for Prefix {
    type Value = String;
    fn expected() -> String {
        "1 to 64 letters, digits and characters of `-_.:`".into()
    }
    fn read(text: &str) -> Option<String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        ((1..=64).contains(&text.len()) && text.bytes().all(allowed)).then(|| text.into())
    }
    fn show(value: &String) -> String {
        value.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_every_form_are_read() {
        let tcp = |host: &str, port| RedisPlace::Tcp(host.into(), port);
        let cases = [
            ("redis://a", tcp("a", 6379), None, None, 0, "redis://a:6379/0"),
            ("valkey://a:1/", tcp("a", 1), None, None, 0, "redis://a:1/0"),
            (
                "redis://:p%40:w@10.0.0.1:7/2",
                tcp("10.0.0.1", 7),
                None,
                Some("p@:w"),
                2,
                "redis://••••@10.0.0.1:7/2",
            ),
            ("REDIS://u:p@x@[::1]:7/2", tcp("::1", 7), Some("u"), Some("p@x"), 2, "redis://••••@[::1]:7/2"),
            ("rediss://a.b/15", RedisPlace::Tls("a.b".into(), 6379), None, None, 15, "rediss://a.b:6379/15"),
            (
                "unix:///run/a.sock",
                RedisPlace::Unix("/run/a.sock".into()),
                None,
                None,
                0,
                "unix:///run/a.sock?db=0",
            ),
            (
                "unix:///a?db=3&user=u&pass=p%20q",
                RedisPlace::Unix("/a".into()),
                Some("u"),
                Some("p q"),
                3,
                "unix://••••@/a?db=3",
            ),
        ];
        for (text, place, user, password, database, shown) in cases {
            let url = RedisUrl::parse(text).expect(text);
            assert_eq!(url.to_string(), shown);
            let password = password.map(|password| Secret(password.into()));
            assert_eq!(url, RedisUrl { place, user: user.map(Into::into), password, database }, "{text}");
        }
    }

    #[test]
    fn nonsense_is_no_url() {
        for text in [
            "a",
            "localhost:6379",
            "http://a",
            "redis://",
            "redis://a:0",
            "redis://a:99999",
            "redis://a:x",
            "redis://a/x",
            "redis://a/-1",
            "redis://a/1/2",
            "redis://user@a",
            "redis://a b",
            "redis://a?db=1",
            "redis://1.2.3",
            "unix://a",
            "unix:///",
            "unix:///a?x=1",
            "unix:///a?user=u",
            "redis://[::1",
            "redis://:%ff@a",
            "redis://a#insecure",
        ] {
            assert!(RedisUrl::parse(text).is_none(), "{text}");
        }
    }
}
