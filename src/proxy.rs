//! Proxy for connections to Poe, from the proxy variables of the environment, read as curl and the SDKs read them.

mod except;

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

pub use except::NoProxy;

/// What a password looks like wherever a person may see it.
const MASK: &str = "••••";

/// Protocol spoken with a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP: CONNECT for https, the absolute form for http.
    Http,
    /// The same over TLS.
    Https,
    /// SOCKS4: the name is resolved here, to an IPv4 address.
    Socks4,
    /// SOCKS4a: the name is resolved by the proxy.
    Socks4a,
    /// SOCKS5: the name is resolved here.
    Socks5,
    /// SOCKS5: the name is resolved by the proxy.
    Socks5h,
}

impl Protocol {
    /// `socks` is what desktops write for a SOCKS5 proxy.
    const NAMES: &[(&str, Protocol)] = &[
        ("http", Protocol::Http),
        ("https", Protocol::Https),
        ("socks4", Protocol::Socks4),
        ("socks4a", Protocol::Socks4a),
        ("socks5", Protocol::Socks5),
        ("socks5h", Protocol::Socks5h),
        ("socks", Protocol::Socks5h),
    ];

    fn named(scheme: &str) -> Option<Protocol> {
        Protocol::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(scheme)).map(|(_, found)| *found)
    }

    fn name(self) -> &'static str {
        Protocol::NAMES.iter().find(|(_, protocol)| *protocol == self).map_or("", |(name, _)| name)
    }

    fn default_port(self) -> u16 {
        match self {
            Protocol::Http => 80,
            Protocol::Https => 443,
            _ => 1080,
        }
    }

    /// Whether the proxy is one of the SOCKS family.
    pub fn is_socks(self) -> bool {
        !matches!(self, Protocol::Http | Protocol::Https)
    }
}

/// User name and password, decoded. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password, empty if there is none.
    pub password: String,
}

/// One proxy. Its `Display` shows no login, so that it can stand in errors and logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What it is sent about the user.
    pub login: Option<Login>,
    /// The variable that named it.
    pub variable: &'static str,
}

impl Proxy {
    /// Reads `[SCHEME://][USER[:PASSWORD]@]HOST[:PORT]`, the value of `variable`. The error says what is wrong with it
    /// and repeats nothing of the login.
    pub fn parse(text: &str, variable: &'static str) -> Result<Proxy, String> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let protocol = Protocol::named(scheme).ok_or_else(|| {
            format!("unknown scheme `{}`, expected {}", scheme.escape_debug(), Proxy::schemes())
        })?;
        // the last `@`, because passwords hold unescaped ones
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(Login::parse(login)?), place),
            None => (None, rest),
        };
        let place = place.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = host_and_port(place)?;
        let too_long = |text: &str| text.len() > 255;
        if protocol.is_socks()
            && login.as_ref().is_some_and(|it| too_long(&it.user) || too_long(&it.password))
        {
            return Err("SOCKS takes at most 255 bytes of user name and of password".to_owned());
        }
        Ok(Proxy { protocol, host, port: port.unwrap_or(protocol.default_port()), login, variable })
    }

    /// The schemes that [`Proxy::parse`] knows, as a list for people.
    pub fn schemes() -> &'static str {
        "http, https, socks5, socks5h, socks4a or socks4"
    }

    /// The host as URLs write it: an IPv6 address in brackets.
    pub fn bracketed_host(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        }
    }

    /// The whole proxy for the operator: user name shown, password masked.
    pub fn masked(&self) -> String {
        let login = match &self.login {
            Some(Login { user, password }) if password.is_empty() => format!("{}@", user.escape_debug()),
            Some(Login { user, .. }) => format!("{}:{MASK}@", user.escape_debug()),
            None => String::new(),
        };
        format!("{}://{login}{}:{}", self.protocol.name(), self.bracketed_host(), self.port)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.protocol.name(), self.bracketed_host(), self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Login {
    fn parse(text: &str) -> Result<Login, String> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let decode = |part: &str| {
            let decoded = percent_decode_str(part).decode_utf8();
            decoded.map(|text| text.into_owned()).map_err(|_| "user name or password is not UTF-8".to_owned())
        };
        Ok(Login { user: decode(user)?, password: decode(password)? })
    }
}

/// Splits `HOST[:PORT]`. An IPv6 address may stand without brackets if no port follows.
fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text.to_ascii_lowercase(), None));
    }
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, rest)) if host.parse::<Ipv6Addr>().is_ok() => (host, rest),
        Some(_) => return Err("not an IPv6 address between the brackets".to_owned()),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if host.is_empty() {
        return Err("no host".to_owned());
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if !host.bytes().all(is_plain) {
        return Err("the host is neither a name nor an address".to_owned());
    }
    let bad_port = || "bad port, expected a number from 1 to 65535".to_owned();
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return Err(bad_port()),
        Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port != 0).ok_or_else(bad_port)?)
        }
        Some(_) => return Err(bad_port()),
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// What `POE_PROXY` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// `none`: no proxy, whatever the other variables say.
    Direct,
    /// This one for everything.
    Proxy(Proxy),
}

/// A variable whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its name as it was set.
    pub variable: &'static str,
    /// Its value; `None` where it may hold a password.
    pub value: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

/// Which proxy is used for which URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    except: NoProxy,
    /// Why there is no proxy for anything, where that was said.
    direct_by: &'static str,
}

/// The way to one URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// No proxy; with the variable that says so, or nothing.
    Direct(&'static str),
    /// Through this proxy.
    Proxy(Arc<Proxy>),
}

impl Rules {
    /// No proxy for anything, because of `reason`.
    pub fn direct(reason: &'static str) -> Rules {
        Rules { direct_by: reason, ..Rules::default() }
    }

    /// Reads the variables that `env` knows; `own` is the value of `POE_PROXY` and overrules them all.
    pub fn read(own: Option<&Own>, env: &dyn Fn(&str) -> Option<String>) -> Result<Rules, Fault> {
        match own {
            Some(Own::Direct) => return Ok(Rules::direct("POE_PROXY")),
            Some(Own::Proxy(proxy)) => {
                let proxy = Some(Arc::new(proxy.clone()));
                return Ok(Rules { http: proxy.clone(), https: proxy, ..Rules::default() });
            }
            None => {}
        }
        // In a CGI program `HTTP_PROXY` is the request header `Proxy`, which anybody can send.
        let is_cgi = env("REQUEST_METHOD").is_some();
        let http = if is_cgi { &["http_proxy"][..] } else { &["http_proxy", "HTTP_PROXY"] };
        let all = first(&["all_proxy", "ALL_PROXY"], env)?;
        let http = first(http, env)?.or_else(|| all.clone());
        let https = first(&["https_proxy", "HTTPS_PROXY"], env)?.or(all);
        let except = ["no_proxy", "NO_PROXY"].into_iter().find_map(|name| given(name, env));
        Ok(Rules { http, https, except: NoProxy::parse(&except.unwrap_or_default()), direct_by: "" })
    }

    /// The way to `host` (an IPv6 address with or without brackets) by the URL's scheme.
    pub fn route(&self, scheme: &str, host: &str, port: u16) -> Route {
        let proxy = if scheme.eq_ignore_ascii_case("https") { &self.https } else { &self.http };
        match proxy {
            Some(_) if self.except.contains(host, port) => Route::Direct("NO_PROXY"),
            Some(proxy) => Route::Proxy(Arc::clone(proxy)),
            None => Route::Direct(self.direct_by),
        }
    }

    /// The way to `url`, which begins with `http://` or `https://`.
    pub fn route_to(&self, url: &str) -> Route {
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let default_port = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
        let (host, port) = host_and_port(authority).unwrap_or_default();
        self.route(scheme, &host, port.unwrap_or(default_port))
    }
}

/// The proxy of the first of `names` that is set.
fn first(names: &[&'static str], env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Arc<Proxy>>, Fault> {
    let Some((variable, value)) = names.iter().find_map(|name| Some((*name, given(name, env)?))) else {
        return Ok(None);
    };
    let fault = |reason| {
        let shown = (!value.contains('@')).then(|| value.clone());
        Fault { variable, value: shown, reason }
    };
    Proxy::parse(&value, variable).map(Arc::new).map(Some).map_err(fault)
}

/// The value of `name`; an empty one counts as unset.
fn given(name: &str, env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    env(name).filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(env: &[(&str, &str)]) -> Result<Rules, Fault> {
        Rules::read(None, &|name| {
            env.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn route(env: &[(&str, &str)], url: &str) -> String {
        match rules(env).expect("usable proxies").route_to(url) {
            Route::Direct(reason) => format!("direct {reason}").trim().to_owned(),
            Route::Proxy(proxy) => format!("{} {}", proxy.masked(), proxy.variable),
        }
    }

    #[test]
    fn proxies_are_read_as_people_write_them() {
        for (text, expected) in [
            ("http://proxy", "http://proxy:80"),
            ("proxy.corp:3128", "http://proxy.corp:3128"),
            ("  proxy:3128/  ", "http://proxy:3128"),
            ("HTTP://Proxy.Corp:8080/a?b#c", "http://proxy.corp:8080"),
            ("https://proxy", "https://proxy:443"),
            ("socks5://10.0.0.1", "socks5://10.0.0.1:1080"),
            ("socks5h://host_with_underscore:9", "socks5h://host_with_underscore:9"),
            ("socks://127.0.0.1:1081/", "socks5h://127.0.0.1:1081"),
            ("socks4a://h", "socks4a://h:1080"),
            ("socks4://h", "socks4://h:1080"),
            ("[::1]:3128", "http://[::1]:3128"),
            ("socks5://[FE80::1]", "socks5://[fe80::1]:1080"),
            ("::1", "http://[::1]:80"),
            ("http://proxy:", "http://proxy:80"),
            ("http://user@proxy", "http://user@proxy:80"),
            ("http://user:pass@proxy:1", "http://user:••••@proxy:1"),
            ("user:pass@proxy:1", "http://user:••••@proxy:1"),
            ("http://a%40b:p%2Fw%3A@[::1]:1", "http://a@b:••••@[::1]:1"),
            ("http://u:p@ss/w#rd?@proxy:1", "http://u:••••@proxy:1"),
        ] {
            let proxy = Proxy::parse(text, "X").unwrap_or_else(|reason| panic!("{text}: {reason}"));
            assert_eq!(proxy.masked(), expected, "{text}");
        }
        let login = Proxy::parse("http://a%40b:p%2Fw%3A%25:+@h", "X").unwrap().login.unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("a@b", "p/w:%:+"));
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for (text, reason) in [
            ("ftp://proxy", "unknown scheme `ftp`"),
            ("://proxy", "unknown scheme"),
            ("socks6://proxy", "unknown scheme"),
            ("http://", "no host"),
            ("http://:3128", "no host"),
            ("http://user:pass@", "no host"),
            ("http://user:pass@:1", "no host"),
            ("/path", "no host"),
            ("http://proxy:0", "bad port"),
            ("http://proxy:65536", "bad port"),
            ("http://proxy:abc", "bad port"),
            ("http://proxy:+1", "bad port"),
            ("proxy:1:2", "bad port"),
            ("[::1]3128", "bad port"),
            ("http://[::g]:1", "IPv6"),
            ("http://pro xy:1", "the host"),
            ("http://pröxy:1", "the host"),
            ("http://%ff@h", "UTF-8"),
        ] {
            let error = Proxy::parse(text, "X").unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let long = format!("socks5://u:{}@h", "p".repeat(256));
        assert!(Proxy::parse(&long, "X").unwrap_err().contains("255"));
    }

    #[test]
    fn a_login_is_never_shown() {
        let proxy = Proxy::parse("http://alice:hunter2@proxy:1", "X").unwrap();
        let shown = format!("{proxy} {proxy:?} {}", proxy.masked());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!proxy.to_string().contains("alice"), "{proxy}");
        let fault = rules(&[("HTTPS_PROXY", "ftp://alice:hunter2@proxy")]).unwrap_err();
        assert!(!format!("{fault:?}").contains("hunter2"), "{fault:?}");
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let (http, https) = ("http://poe.example/x", "https://poe.example");
        let both = [("HTTPS_PROXY", "s:1"), ("HTTP_PROXY", "p:1")];
        assert_eq!(route(&both, https), "http://s:1 HTTPS_PROXY");
        assert_eq!(route(&both, http), "http://p:1 HTTP_PROXY");
        assert_eq!(route(&[("HTTPS_PROXY", "s:1")], http), "direct");
        assert_eq!(route(&[("HTTP_PROXY", "p:1")], https), "direct");
        let all = [("ALL_PROXY", "socks5://a"), ("https_proxy", "s:1")];
        assert_eq!(route(&all, http), "socks5://a:1080 ALL_PROXY");
        assert_eq!(route(&all, https), "http://s:1 https_proxy");
        assert_eq!(route(&[("HTTPS_PROXY", "s:1"), ("https_proxy", "t:1")], https), "http://t:1 https_proxy");
        assert_eq!(route(&[("HTTPS_PROXY", " "), ("all_proxy", "a:1")], https), "http://a:1 all_proxy");
        let cgi = [("HTTP_PROXY", "evil:1"), ("REQUEST_METHOD", "GET")];
        assert_eq!(route(&cgi, http), "direct");
        assert_eq!(route(&[&cgi[..], &[("http_proxy", "p:1")]].concat(), http), "http://p:1 http_proxy");
        assert_eq!(route(&[("HTTPS_PROXY", "s:1"), ("NO_PROXY", "poe.example")], https), "direct NO_PROXY");
    }

    #[test]
    fn our_own_variable_overrules_all() {
        let env = |name: &str| match name {
            "HTTPS_PROXY" => Some("ftp://broken".to_owned()),
            "NO_PROXY" => Some("*".to_owned()),
            _ => None,
        };
        let direct = Rules::read(Some(&Own::Direct), &env).unwrap();
        assert_eq!(direct.route_to("https://x"), Route::Direct("POE_PROXY"));
        let own = Own::Proxy(Proxy::parse("socks5h://mine", "POE_PROXY").unwrap());
        let rules = Rules::read(Some(&own), &env).unwrap();
        for url in ["https://x", "http://x:8/y", "https://[::1]:1"] {
            let Route::Proxy(proxy) = rules.route_to(url) else { panic!("{url}") };
            assert_eq!(proxy.to_string(), "socks5h://mine:1080");
        }
        assert_eq!(Rules::read(None, &env).unwrap_err().variable, "HTTPS_PROXY");
    }
}
