//! Authentication: client keys, the operator's password, and the rules for web pages of other origins.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::config::client_keys;
use crate::error::{Error, Kind, Result};
use crate::gateway::app::{App, Client, Lock};
use crate::server::head::Head;
use crate::server::url::{Authority, pairs};
use crate::state::login_throttle::Verdict;
use crate::state::responses::Owner;

/// Asks a browser for the operator's user name and password.
pub const CHALLENGE: &str = "Basic realm=\"poe2openai\", charset=\"UTF-8\"";
/// The methods of the admin page.
pub const OPERATOR_METHODS: &str = "GET, HEAD, POST, PATCH, DELETE";
/// Headers that proxies, load balancers and tunnels add, and programs on this machine do not.
const PROXY_HEADERS: &[&str] = &[
    "cdn-loop",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-amzn-trace-id",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-real-ip",
];
/// How the names of others begin.
const PROXY_PREFIXES: &[&str] = &["cf-", "tailscale-", "x-envoy-", "x-forwarded", "x-original-"];

/// The keys of a client.
pub struct Keys {
    /// The key to ask Poe with.
    pub poe: Arc<str>,
    /// The client as its stored responses know it: by the key that it shows, or Poe's where none has to be shown.
    pub owner: Owner,
    /// The client as limits and usage know it.
    pub client: Client,
}

/// The keys of a request. Where no key has to be shown, only one that was made here matters.
pub fn keys(app: &App, head: &Head, address: Option<IpAddr>) -> Result<Keys> {
    let shown = match app.is_keyless() {
        true => shown_key(head).ok().flatten().filter(|key| client_keys::is_made_here(key)),
        false => shown_key(head)?,
    };
    let poe = app.poe_key(shown.as_deref());
    if let (Some(shown), Some(address), true) = (&shown, address, app.requires_keys()) {
        check_guessing(app, shown, poe.is_ok(), address)?;
    }
    let (poe, client) = poe?;
    let owner = Owner::of(shown.as_deref().unwrap_or(&poe));
    Ok(Keys { poe: poe.into(), owner, client })
}

fn check_guessing(app: &App, shown: &str, is_right: bool, address: IpAddr) -> Result<()> {
    match app.access.key_tries.judge(address, shown, is_right, Instant::now()) {
        Verdict::Right => Ok(()),
        Verdict::Wrong => {
            log::warn!("wrong API key from {address}");
            Ok(()) // refused by its own error
        }
        Verdict::Wait(wait) => {
            let message = "too many wrong API keys from this address: try again in a minute";
            Err(Error::new(Kind::RateLimited, message).retry_after(wait))
        }
    }
}

/// The key that the client shows: as a Bearer token, in `x-api-key`, or as `?key=`.
fn shown_key(head: &Head) -> Result<Option<String>> {
    // programs that have only another key send this header with nothing in it
    let shown = head.header("authorization").map(str::trim);
    if let Some(value) = shown.filter(|value| !value.is_empty() && !value.eq_ignore_ascii_case("bearer")) {
        let malformed =
            || Error::new(Kind::Unauthorized, "the Authorization header must be `Bearer YOUR_KEY`");
        let (scheme, key) = value.split_once(' ').ok_or_else(malformed)?;
        let key = key.trim();
        let is_token = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        return match scheme.eq_ignore_ascii_case("bearer") && is_token {
            true => Ok(Some(key.to_owned())),
            false => Err(malformed()),
        };
    }
    let in_query = || pairs(head.query.as_deref()).find(|(name, _)| name == "key").map(|(_, key)| key);
    let key = head.header("x-api-key").map(|key| key.trim().to_owned()).or_else(in_query);
    Ok(key.filter(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic())))
}

/// What holds for every request to a path that is not the operator's, before its key is looked at.
pub fn check_sender(app: &App, head: &Head, address: Option<IpAddr>) -> Result<()> {
    if app.is_keyless() && !is_this_machine(address, head) {
        let message = "this server spends its own Poe key, so only programs on its machine may use it: no web \
            pages of other origins, and no reverse proxy; set PROXY_API_KEYS or add a key (`poe2openai keys add NAME`) to admit other clients";
        return Err(Error::new(Kind::Forbidden, message));
    }
    match is_blind_request(head) {
        false => Ok(()),
        true => {
            let message = "a web page of another origin must send this by CORS with Content-Type: application/json, \
                           so that the browser sends a preflight request first";
            Err(Error::new(Kind::Forbidden, message))
        }
    }
}

/// Whether a page of another origin has sent this without a preflight: as a form, by `no-cors`, as text. Any page can
/// do that in any browser, also to servers that only the browser's machine can reach.
fn is_blind_request(head: &Head) -> bool {
    if Sender::of(head) == Sender::Own {
        return false;
    }
    let is_cors = match (head.sole("sec-fetch-site"), head.sole("sec-fetch-mode")) {
        (Ok(_), Ok(Some(mode))) => mode == "cors",
        (Ok(None), Ok(None)) => true, // an old browser, or one that does not trust this address
        _ => false,
    };
    match head.method.as_str() {
        // links lead here
        "GET" | "HEAD" | "OPTIONS" => !is_cors && head.header("sec-fetch-mode") != Some("navigate"),
        "POST" => !is_cors || !needs_preflight(head),
        _ => !is_cors,
    }
}

/// Whether browsers ask before a page may send this POST to another origin: because of its content type, or because of
/// a header with a key beside a content type that API clients use.
fn needs_preflight(head: &Head) -> bool {
    let essence = essence(head).to_ascii_lowercase();
    let has_key = head.header("authorization").is_some() || head.header("x-api-key").is_some();
    match essence.as_str() {
        "application/json" => true,
        "text/plain" | "application/x-www-form-urlencoded" => false,
        other => other.ends_with("+json") || has_key,
    }
}

/// Whether a request names only this machine. A browser states which page sends it (`Origin`) and by which name it
/// found the server (`Host`), which a foreign page cannot forge.
fn is_local(head: &Head) -> bool {
    let (Ok(host), Ok(origin)) = (head.sole("host"), head.sole("origin")) else { return false };
    let host = host.map_or(Some(true), |host| Authority::parse(host).map(|host| host.is_loopback()));
    let origin =
        origin.map_or(Some(true), |origin| Authority::of_origin(origin).map(|origin| origin.is_loopback()));
    host == Some(true) && origin == Some(true)
}

/// Whether a request comes from this machine, and through no proxy.
fn is_this_machine(address: Option<IpAddr>, head: &Head) -> bool {
    let is_loopback = address.is_some_and(|address| address.to_canonical().is_loopback());
    let is_a_proxys = |name: &str| {
        PROXY_HEADERS.contains(&name) || PROXY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    // nginx spoke HTTP/1.0 to its upstreams until March 2026; browsers have not for decades
    let is_proxied = !head.is_http11 || head.names().any(|name| is_a_proxys(&name));
    // a name that leads here but is not this machine's own is a page's trick (DNS rebinding), or a proxy's
    is_loopback && is_local(head) && !is_proxied
}

/// Checks in this order: whether there is an admin page at all, whether this address may see it, whether the password
/// fits, and whether a request that changes something comes from the page itself.
pub fn operator(app: &App, head: &Head, address: Option<IpAddr>) -> Result<()> {
    match app.lock() {
        Lock::Closed => {
            return Err(Error::new(Kind::NotFound, "the admin page is closed: ADMIN_PASSWORD is empty"));
        }
        Lock::ThisMachine if !is_this_machine(address, head) => {
            let message = "with the built-in password the admin page opens on this machine only, at \
                http://localhost and without a reverse proxy; set ADMIN_PASSWORD to open it elsewhere";
            return Err(Error::new(Kind::Forbidden, message));
        }
        Lock::ThisMachine | Lock::Password => {}
    }
    check_password(app, head, address)?;
    match head.method.as_str() {
        "GET" | "HEAD" => Ok(()),
        "POST" | "PATCH" => check_same_origin(head).and_then(|()| check_json(head)),
        "DELETE" => check_same_origin(head),
        other => {
            let message = format!("{other} is not allowed here, only {OPERATOR_METHODS}");
            Err(Error::new(Kind::MethodNotAllowed, message))
        }
    }
}

/// Whether user name and password fit. A request without them is no guess: browsers ask like that first.
fn check_password(app: &App, head: &Head, address: Option<IpAddr>) -> Result<()> {
    let locked = || Error::new(Kind::Unauthorized, "the admin page needs its user name and password");
    let shown = head.header("authorization").unwrap_or_default().trim();
    let (_, shown) = shown
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .ok_or_else(locked)?;
    let is_right = credentials(shown.trim()).is_some_and(|(user, password)| app.opens(&user, &password));
    // a client whose address cannot be had has hung up already
    let address = address.ok_or_else(locked)?;
    match app.access.login_throttle.judge(address, is_right, Instant::now()) {
        Verdict::Right => Ok(()),
        Verdict::Wrong => {
            log::warn!("a wrong password for the admin page from {address}");
            Err(Error::new(Kind::Unauthorized, "user name or password is wrong"))
        }
        Verdict::Wait(wait) => {
            let message = "too many wrong passwords from this address: try again in a minute";
            Err(Error::new(Kind::RateLimited, message).retry_after(wait))
        }
    }
}

/// User name and password of HTTP Basic (RFC 7617), in UTF-8.
fn credentials(encoded: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Where a request comes from, as browsers say. Pages cannot forge it; programs say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// A program, the user, or a page of this server.
    Own,
    /// A page of another origin.
    OtherPage,
}

impl Sender {
    fn of(head: &Head) -> Sender {
        match (head.sole("sec-fetch-site"), head.sole("origin"), head.sole("host")) {
            (Ok(Some("same-origin" | "none")), Ok(_), _) | (Ok(None), Ok(None), _) => Sender::Own,
            (Ok(None), Ok(Some(origin)), Ok(Some(host))) => {
                match (Authority::of_origin(origin), Authority::parse(host)) {
                    (Some(origin), Some(host)) if origin == host => Sender::Own,
                    _ => Sender::OtherPage,
                }
            }
            _ => Sender::OtherPage,
        }
    }
}

/// Browsers add the operator's password to whatever any page sends here.
fn check_same_origin(head: &Head) -> Result<()> {
    match Sender::of(head) {
        Sender::Own => Ok(()),
        Sender::OtherPage => {
            Err(Error::new(Kind::Forbidden, "only the admin page itself may send this request"))
        }
    }
}

/// The one content type that a page of another origin cannot send without a preflight.
fn check_json(head: &Head) -> Result<()> {
    match is_json(head) {
        true => Ok(()),
        false => Err(Error::new(Kind::UnsupportedEncoding, "send this with Content-Type: application/json")),
    }
}

fn is_json(head: &Head) -> bool {
    essence(head).eq_ignore_ascii_case("application/json")
}

/// The content type without its parameters.
fn essence(head: &Head) -> &str {
    head.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::head;

    fn head(headers: &str) -> Head {
        head::parse(format!("POST / HTTP/1.1\r\n{headers}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn only_this_machine_is_local() {
        for headers in [
            "Host: localhost:8080\r\n",
            "Host: 127.0.0.1\r\n",
            "Host: [::1]:8080\r\n",
            "Host: localhost\r\nOrigin: http://127.0.0.1:3000\r\n",
        ] {
            assert!(is_local(&head(headers)), "{headers}");
        }
        for headers in [
            "Host: evil.example\r\n",
            "Host: localhost\r\nOrigin: https://evil.example\r\n",
            "Host: localhost\r\nOrigin: null\r\n",
            "Host: localhost.evil.example\r\n",
            "Host: [::1].evil.com\r\n",
            "Host: localhost:80@evil\r\n",
            "Host: localhost\r\nOrigin: http://[::1].evil.com\r\n",
            "Host: localhost\r\nOrigin: http://localhost:80@evil\r\n",
        ] {
            assert!(!is_local(&head(headers)), "{headers}");
        }
    }

    #[test]
    fn keys_are_read_wherever_clients_put_them() {
        let key = |target: &str, header: &str| {
            let text = format!("GET {target} HTTP/1.1\r\nHost: h\r\n{header}\r\n");
            shown_key(&head::parse(text.as_bytes()).unwrap())
        };
        for header in ["Authorization: Bearer k\r\n", "authorization: bearer  k \r\n", "X-Api-Key: k\r\n"] {
            assert_eq!(key("/", header).unwrap().as_deref(), Some("k"), "{header}");
        }
        assert_eq!(key("/?a=b&key=k", "").unwrap().as_deref(), Some("k"));
        for header in ["", "Authorization:\r\n", "Authorization: Bearer \r\n"] {
            assert_eq!(key("/", header).unwrap(), None, "{header}");
            assert_eq!(key("/?key=k", header).unwrap().as_deref(), Some("k"), "{header}");
        }
        for header in ["Authorization: k\r\n", "Authorization: Basic k\r\n", "Authorization: Bearer a b\r\n"]
        {
            assert_eq!(key("/", header).unwrap_err().kind, Kind::Unauthorized, "{header}");
        }
    }

    #[test]
    fn only_the_page_itself_changes_anything() {
        for good in [
            "Host: h\r\n",
            "Host: h:80\r\nOrigin: http://h:80\r\n",
            "Host: h\r\nOrigin: https://H\r\n",
            "Host: behind-a-proxy\r\nOrigin: https://h\r\nSec-Fetch-Site: same-origin\r\n",
            "Host: h\r\nSec-Fetch-Site: none\r\n",
        ] {
            assert!(check_same_origin(&head(good)).is_ok(), "{good}");
        }
        for bad in [
            "Host: h\r\nOrigin: http://evil\r\n",
            "Host: h:8080\r\nOrigin: http://h:3000\r\n",
            "Host: h\r\nOrigin: null\r\n",
            "Host: h\r\nOrigin: http://h\r\nSec-Fetch-Site: cross-site\r\n",
            "Host: h\r\nSec-Fetch-Site: same-site\r\n",
        ] {
            assert_eq!(check_same_origin(&head(bad)).unwrap_err().kind, Kind::Forbidden, "{bad}");
        }
    }

    #[test]
    fn pages_of_other_origins_cannot_post_without_a_preflight() {
        let page = "Host: api:8080\r\nOrigin: https://page.example\r\n";
        let site = "Host: h\r\nOrigin: https://page.example\r\nSec-Fetch-Site: cross-site\r\n";
        for good in [
            // programs
            "Host: h\r\n".to_owned(),
            "Host: h\r\nContent-Type: application/x-www-form-urlencoded\r\n".to_owned(),
            "Host: h\r\nSec-Fetch-Mode: cors\r\nContent-Type: text/plain\r\n".to_owned(), // Node's fetch
            // pages
            format!("{page}Content-Type: application/json\r\n"),
            format!("{page}Content-Type: Application/JSON; charset=utf-8\r\n"),
            format!("{page}Authorization: Bearer k\r\nContent-Type: multipart/form-data; boundary=b\r\n"),
            format!("{page}X-Api-Key: k\r\n"),
            format!("{site}Sec-Fetch-Mode: cors\r\nContent-Type: application/json\r\n"),
            "Host: h\r\nOrigin: null\r\nContent-Type: application/json\r\n".to_owned(),
            "Host: h:1\r\nOrigin: http://h:1\r\nContent-Type: text/plain\r\n".to_owned(),
            "Host: h\r\nSec-Fetch-Site: none\r\nOrigin: chrome-extension://a\r\n".to_owned(),
        ] {
            assert!(!is_blind_request(&head(&good)), "{good}");
        }
        for bad in [
            format!("{page}Content-Type: text/plain\r\n"),
            format!("{page}Content-Type: text/plain\r\nAuthorization: Bearer k\r\n"),
            format!("{page}Content-Type: application/x-www-form-urlencoded\r\n"),
            format!("{page}Content-Type: multipart/form-data; boundary=b\r\n"),
            page.to_owned(),
            "Host: h\r\nOrigin: null\r\nContent-Type: text/plain\r\n".to_owned(),
            "Host: h:8080\r\nOrigin: http://h:3000\r\nContent-Type: text/plain\r\n".to_owned(),
            "Host: h\r\nOrigin: http://h@evil\r\nContent-Type: text/plain\r\n".to_owned(),
            format!("{site}Sec-Fetch-Mode: no-cors\r\nContent-Type: text/plain\r\n"),
            format!("{site}Sec-Fetch-Mode: no-cors\r\nContent-Type: application/json\r\n"),
            format!("{site}Sec-Fetch-Mode: navigate\r\nContent-Type: text/plain\r\n"),
            format!("{site}Sec-Fetch-Mode: cors\r\nContent-Type: text/plain\r\n"),
            format!("{site}Content-Type: application/json\r\n"),
            "Host: h\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: no-cors\r\n".to_owned(),
            "Host: h\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n".to_owned(),
        ] {
            assert!(is_blind_request(&head(&bad)), "{bad}");
        }
        let get = |mode: &str| {
            let text = format!(
                "GET / HTTP/1.1\r\nHost: h\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: {mode}\r\n\r\n"
            );
            is_blind_request(&head::parse(text.as_bytes()).unwrap())
        };
        assert_eq!([get("navigate"), get("cors"), get("no-cors")], [false, false, true]);
    }

    #[test]
    fn only_json_is_taken() {
        let is_taken = |header: &str| check_json(&head(&format!("Host: h\r\n{header}"))).is_ok();
        assert!(is_taken("Content-Type: application/json\r\n"));
        assert!(is_taken("content-type: Application/JSON; charset=utf-8\r\n"));
        for bad in ["", "Content-Type: text/plain\r\n", "Content-Type: application/json-seq\r\n"] {
            assert!(!is_taken(bad), "{bad}");
        }
    }

    #[test]
    fn a_proxy_on_this_machine_is_not_this_machine() {
        let here = Some(IpAddr::from([127, 0, 0, 1]));
        assert!(is_this_machine(here, &head("Host: localhost:8080\r\n")));
        assert!(is_this_machine(Some("::ffff:127.0.0.1".parse().unwrap()), &head("Host: 127.0.0.1\r\n")));
        for (address, headers) in [
            (here, "Host: rebound.example\r\n"),
            (here, "Host: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n"),
            (Some(IpAddr::from([192, 0, 2, 1])), "Host: localhost\r\n"),
            (None, "Host: localhost\r\n"),
        ] {
            assert!(!is_this_machine(address, &head(headers)), "{address:?} {headers}");
        }
        for name in [
            "Forwarded",
            "Via",
            "X-Real-IP",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "CF-Ray",
            "CF-Connecting-IP",
        ] {
            assert!(!is_this_machine(here, &head(&format!("Host: localhost\r\n{name}: x\r\n"))), "{name}");
        }
    }

    #[test]
    fn passwords_may_hold_anything() {
        let encode = |text: &str| BASE64_STANDARD.encode(text);
        let read = |text: &str| credentials(&encode(text));
        assert_eq!(read("admin:a:b"), Some(("admin".into(), "a:b".into())));
        assert_eq!(read("管理:пароль"), Some(("管理".into(), "пароль".into())));
        assert_eq!((read("nothing"), credentials("not base64!")), (None, None));
    }
}
