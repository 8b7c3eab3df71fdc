//! The admin page's endpoint: who may open it, and what lies behind.
//!
//! In this order: is there a page at all, may this address see it, does the password fit, and does a call that
//! changes something come from the page itself.

mod account;
mod activity;
mod config;
mod models;
mod settings;

pub use activity::uploads;

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::pages;
use super::router::{error_answer, is_local, refuse, send};
use crate::dialect::chat;
use crate::error::{Error, Kind, Result};
use crate::gateway::app::{App, Lock};
use crate::gateway::record::Record;
use crate::gateway::relay::{self, cancel_on_disconnect};
use crate::poe::pause;
use crate::server::connection::Call;
use crate::server::head::Head;
use crate::state::login_throttle::Verdict;

const CHALLENGE: &str = "Basic realm=\"poe2openai\", charset=\"UTF-8\"";
const METHODS: &str = "GET, HEAD, POST";
/// A guesser that does not follow a 429 gets it late, so that guesses cost time however they are sent.
const SLOW: Duration = Duration::from_millis(400);
/// What a proxy on this machine adds: then the request is not this machine's, whatever its `Host` says.
const SIGNS_OF_A_PROXY: [&str; 5] = ["forwarded", "x-real-ip", "via", "cf-connecting-ip", "true-client-ip"];
/// The header with a Poe key that the page's user has typed in.
const TYPED_KEY: &str = "x-poe-key";

/// Answers everything below `/admin` and `/api/admin`; `path` is split at its slashes.
pub fn answer(app: &App, call: &mut Call<'_>, record: &mut Record, path: &[&str]) -> io::Result<()> {
    call.for_operator();
    record.is_routine = call.head().method != "POST";
    if let Err(error) = enter(app, call) {
        record.fault = Some(error.message.clone());
        if error.kind == Kind::RateLimited && pause(SLOW, &cancel_on_disconnect(call)).is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let answer = error_answer(record, &error);
        let answer = match error.kind {
            Kind::Unauthorized => answer.header("WWW-Authenticate", CHALLENGE),
            Kind::MethodNotAllowed => answer.header("Allow", METHODS),
            _ => answer,
        };
        return send(call, record, answer);
    }
    let is_post = call.head().method == "POST";
    let answer = match (is_post, path) {
        (true, ["api", "admin", "try"]) => {
            record.endpoint = "/api/admin/try";
            record.begin(app, call);
            match key(app, call.head()) {
                Ok(key) => call.grant_key(key),
                Err(error) => return refuse(call, record, &error),
            }
            return relay::answer(app, call, record, |_, body, stamp| chat::decode(body, stamp));
        }
        (false, ["admin", name @ ..]) => pages::page(&name.join("/")).ok_or_else(|| nothing(path)),
        (false, ["api", "admin", "activity"]) => activity::report(app, call),
        (true, ["api", "admin", "activity", "stop"]) => activity::stop(app, call),
        (true, ["api", "admin", "inspection"]) => activity::inspection(app, call),
        (false, ["api", "admin", "account"]) => {
            account_key(app, call.head()).and_then(|key| account::answer(app, call, &key))
        }
        (false, ["api", "admin", "settings"]) => settings::answer(app, call),
        (_, ["api", "admin", "config", ..] | ["api", "admin", "models"]) => {
            config::answer(app, call, &path[2..])
        }
        _ => Err(nothing(path)),
    };
    match answer {
        Ok(answer) => send(call, record, answer),
        Err(error) => refuse(call, record, &error),
    }
}

fn nothing(path: &[&str]) -> Error {
    Error::new(Kind::NotFound, format!("there is nothing at /{}", path.join("/")))
}

/// Poe's key for what the page asks: the server's own, else the one that the page's user has typed in.
fn key(app: &App, head: &Head) -> Result<String> {
    app.own_poe_key().or_else(|| typed(head)).map(str::to_owned).ok_or_else(no_key)
}

/// The key whose account is looked at: the typed one, else the server's own.
fn account_key(app: &App, head: &Head) -> Result<String> {
    typed(head).or(app.own_poe_key()).map(str::to_owned).ok_or_else(no_key)
}

fn typed(head: &Head) -> Option<&str> {
    head.header(TYPED_KEY).map(str::trim).filter(|key| !key.is_empty())
}

fn no_key() -> Error {
    Error::new(Kind::Unauthorized, "this server has no Poe key: type one in")
}

/// Whether the request may come in; the error says why not.
fn enter(app: &App, call: &Call<'_>) -> Result<()> {
    let head = call.head();
    let address = call.client().address();
    match app.lock() {
        Lock::Closed => {
            return Err(Error::new(Kind::NotFound, "the admin page is closed: ADMIN_PASSWORD is empty"));
        }
        Lock::ThisMachine if !is_this_machine(address, head) => {
            let message = "with the built-in password the admin page opens on this machine only, at \
                           http://localhost and without a proxy in between; set ADMIN_PASSWORD to open it elsewhere";
            return Err(Error::new(Kind::Forbidden, message));
        }
        Lock::ThisMachine | Lock::Password => {}
    }
    authenticate(app, head, address)?;
    match head.method.as_str() {
        "GET" | "HEAD" => Ok(()),
        "POST" => check_origin(head).and_then(|()| check_type(head)),
        other => {
            Err(Error::new(Kind::MethodNotAllowed, format!("{other} is not allowed here, only {METHODS}")))
        }
    }
}

fn is_this_machine(address: Option<IpAddr>, head: &Head) -> bool {
    let is_loopback = address.is_some_and(|address| address.to_canonical().is_loopback());
    let is_a_proxys = |name: &str| SIGNS_OF_A_PROXY.contains(&name) || name.starts_with("x-forwarded-");
    // nginx speaks HTTP/1.0 to what is behind it unless sent otherwise; browsers have not for decades
    let is_proxied = !head.is_http11 || head.names().any(|name| is_a_proxys(&name));
    // a name that leads here but is not this machine's own is a page's trick (DNS rebinding), or a proxy's
    is_loopback && is_local(head) && !is_proxied
}

/// Whether user name and password fit. A request that shows none is no try: browsers ask like that first.
fn authenticate(app: &App, head: &Head, address: Option<IpAddr>) -> Result<()> {
    let locked = || Error::new(Kind::Unauthorized, "the admin page needs its user name and password");
    let shown = head.header("authorization").unwrap_or_default().trim();
    let (_, shown) = shown
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .ok_or_else(locked)?;
    let is_right = credentials(shown.trim()).is_some_and(|(user, password)| app.opens(&user, &password));
    // a client whose address cannot be sent has hung up already
    let address = address.ok_or_else(locked)?;
    match app.login_throttle.judge(address, is_right, Instant::now()) {
        Verdict::Right => Ok(()),
        Verdict::Wrong => {
            log::warn!("a wrong password for the admin page from {address}");
            Err(Error::new(Kind::Unauthorized, "user name or password is wrong"))
        }
        Verdict::Wait(wait) => {
            let message = "too many wrong passwords from this address: wait a minute";
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

/// Browsers add the password to whatever any page sends here. What they say of that page cannot be forged by it;
/// programs say nothing of the kind and may pass.
fn check_origin(head: &Head) -> Result<()> {
    let is_ours = match (head.sole("sec-fetch-site"), head.sole("origin")) {
        (Ok(Some(site)), Ok(_)) => site == "same-origin" || site == "none",
        (Ok(None), Ok(Some(origin))) => {
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            head.header("host").is_some_and(|own| own.eq_ignore_ascii_case(host))
        }
        (Ok(None), Ok(None)) => true,
        (Err(_), _) | (_, Err(_)) => false,
    };
    match is_ours {
        true => Ok(()),
        false => Err(Error::new(Kind::Forbidden, "only the admin page itself may ask for this")),
    }
}

/// The one type that a page of somebody else's cannot send without asking first.
fn check_type(head: &Head) -> Result<()> {
    let given = head.header("content-type").unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(Error::new(Kind::UnsupportedEncoding, "send this with Content-Type: application/json")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::head;

    fn head(headers: &str) -> Head {
        head::parse(format!("POST / HTTP/1.1\r\n{headers}\r\n").as_bytes()).unwrap()
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
            assert!(check_origin(&head(good)).is_ok(), "{good}");
        }
        for bad in [
            "Host: h\r\nOrigin: http://evil\r\n",
            "Host: h:8080\r\nOrigin: http://h:3000\r\n",
            "Host: h\r\nOrigin: null\r\n",
            "Host: h\r\nOrigin: http://h\r\nSec-Fetch-Site: cross-site\r\n",
            "Host: h\r\nSec-Fetch-Site: same-site\r\n",
        ] {
            assert_eq!(check_origin(&head(bad)).unwrap_err().kind, Kind::Forbidden, "{bad}");
        }
    }

    #[test]
    fn only_json_is_taken() {
        let is_taken = |header: &str| check_type(&head(&format!("Host: h\r\n{header}"))).is_ok();
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
