//! Protocols of proxies: CONNECT, SOCKS, and requests in absolute form.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::unversioned::transport::{NextTimeout, Transport};

use crate::proxy::{Login, Protocol, Proxy};

/// The longest head of an answer to CONNECT.
const MAX_HEAD: usize = 16 << 10;
/// As much of an answer as its status takes: `HTTP/1.1 407`.
const STATUS_END: usize = 12;
const USER_AGENT: &str = concat!("poe2openai/", env!("CARGO_PKG_VERSION"));

/// Why a proxy could not be used. It names the proxy, and never its login.
#[derive(Debug)]
pub(super) struct ProxyFault {
    pub(super) message: String,
    /// A second try may help.
    pub(super) is_transient: bool,
}

impl ProxyFault {
    /// `what` went wrong with `proxy`, and may go well the next time.
    pub(super) fn passing(proxy: &Proxy, what: impl fmt::Display) -> ProxyFault {
        ProxyFault { message: format!("the proxy {proxy} ({}) {what}", proxy.variable), is_transient: true }
    }

    /// `what` is wrong with `proxy`, and will be the next time.
    fn lasting(proxy: &Proxy, what: impl fmt::Display) -> ProxyFault {
        ProxyFault { is_transient: false, ..ProxyFault::passing(proxy, what) }
    }

    /// Tried once only: who has waited that long would wait as long again.
    pub(super) fn late(proxy: &Proxy) -> ProxyFault {
        ProxyFault::lasting(proxy, "did not answer in time")
    }

    fn login(proxy: &Proxy) -> ProxyFault {
        let what = match proxy.login {
            Some(_) => format!("rejected the user name or password in {}", proxy.variable),
            None => format!(
                "requires a user name and password: put USER:PASSWORD@ before its host in {}",
                proxy.variable
            ),
        };
        ProxyFault::lasting(proxy, what)
    }

    /// The connection to the proxy failed while it was spoken to.
    pub(super) fn broken(proxy: &Proxy, error: &io::Error) -> ProxyFault {
        let is_late =
            matches!(error.get_ref().and_then(|inner| inner.downcast_ref()), Some(ureq::Error::Timeout(_)));
        match error.kind() {
            _ if is_late => ProxyFault::late(proxy),
            io::ErrorKind::TimedOut => ProxyFault::late(proxy),
            io::ErrorKind::UnexpectedEof => {
                ProxyFault::passing(proxy, "closed the connection before it answered")
            }
            io::ErrorKind::InvalidData => {
                ProxyFault::lasting(proxy, format_args!("offers no secure connection: {error}"))
            }
            _ => ProxyFault::passing(proxy, format_args!("broke off the connection: {error}")),
        }
    }
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ProxyFault {}

impl From<ProxyFault> for ureq::Error {
    fn from(fault: ProxyFault) -> ureq::Error {
        ureq::Error::Other(Box::new(fault))
    }
}

/// `Basic …`, for `Proxy-Authorization`.
fn basic(login: &Login) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", login.user, login.password)))
}

/// Has an HTTP proxy connect to `target`, which is `host:port`.
pub(super) fn connect(wire: &mut (impl Read + Write), proxy: &Proxy, target: &str) -> Result<(), ProxyFault> {
    let broken = |error| ProxyFault::broken(proxy, &error);
    let login = proxy.login.as_ref().map(|login| format!("Proxy-Authorization: {}\r\n", basic(login)));
    let request = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {USER_AGENT}\r\n\
         Proxy-Connection: Keep-Alive\r\n{}\r\n",
        login.unwrap_or_default()
    );
    wire.write_all(request.as_bytes()).map_err(broken)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        // byte by byte: what follows the head is Poe's
        let mut byte = [0];
        wire.read_exact(&mut byte).map_err(broken)?;
        head.extend(byte);
        if head.len() == STATUS_END && !head.starts_with(b"HTTP/1.") || head.len() > MAX_HEAD {
            return Err(ProxyFault::lasting(proxy, "does not support HTTP"));
        }
    }
    let head = String::from_utf8_lossy(&head);
    let answer =
        head.lines().next().and_then(|line| line.split_once(' ')).map_or("", |(_, answer)| answer.trim());
    match answer.as_bytes() {
        [b'2', ..] => Ok(()),
        [b'4', b'0', b'7', ..] => Err(ProxyFault::login(proxy)),
        [first, ..] => {
            let what = format!("answered CONNECT {target} with {}", printable(answer));
            let make = if *first == b'5' { ProxyFault::passing } else { ProxyFault::lasting };
            Err(make(proxy, what))
        }
        [] => Err(ProxyFault::lasting(proxy, "does not support HTTP")),
    }
}

fn printable(text: &str) -> String {
    text.chars().take(100).filter(|c| !c.is_control()).collect()
}

/// What a SOCKS proxy is to connect to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'t> {
    Address(IpAddr),
    Name(&'t str),
}

/// Has a SOCKS proxy connect to `target`.
pub(super) fn socks(
    wire: &mut (impl Read + Write),
    proxy: &Proxy,
    target: Target<'_>,
    port: u16,
) -> Result<(), ProxyFault> {
    let broken = |error| ProxyFault::broken(proxy, &error);
    match proxy.protocol {
        Protocol::Socks4 | Protocol::Socks4a => {
            wire.write_all(&socks4_request(proxy, target, port)?).map_err(broken)?;
            let mut answer = [0; 8];
            wire.read_exact(&mut answer).map_err(broken)?;
            match answer {
                [0, 90, ..] => Ok(()),
                [0, 92 | 93, ..] => Err(ProxyFault::login(proxy)),
                [0, 91, ..] => Err(ProxyFault::passing(proxy, "refused to connect to Poe")),
                _ => Err(ProxyFault::lasting(proxy, "does not support SOCKS4")),
            }
        }
        _ => {
            greet(wire, proxy)?;
            wire.write_all(&socks5_request(proxy, target, port)?).map_err(broken)?;
            read_socks5_answer(wire, proxy)
        }
    }
}

fn socks4_request(proxy: &Proxy, target: Target<'_>, port: u16) -> Result<Vec<u8>, ProxyFault> {
    let user = proxy.login.as_ref().map_or("", |login| login.user.as_str());
    if user.contains('\0') {
        return Err(ProxyFault::login(proxy));
    }
    // an address 0.0.0.x says that the name follows
    let (address, name) = match target {
        Target::Address(IpAddr::V4(address)) => (address.octets(), None),
        Target::Address(IpAddr::V6(_)) => {
            return Err(ProxyFault::lasting(proxy, "cannot reach an IPv6 address by SOCKS4"));
        }
        Target::Name(name) => ([0, 0, 0, 1], Some(name)),
    };
    let head = [4, 1];
    let mut request = [&head[..], &port.to_be_bytes(), &address, user.as_bytes(), &[0]].concat();
    if let Some(name) = name {
        request.extend(name.bytes().chain([0]));
    }
    Ok(request)
}

/// Agrees on a way to log in, and does so.
fn greet(wire: &mut (impl Read + Write), proxy: &Proxy) -> Result<(), ProxyFault> {
    let broken = |error| ProxyFault::broken(proxy, &error);
    let methods: &[u8] = if proxy.login.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
    wire.write_all(methods).map_err(broken)?;
    let mut answer = [0; 2];
    wire.read_exact(&mut answer).map_err(broken)?;
    match (answer, &proxy.login) {
        ([5, 0], _) => Ok(()),
        ([5, 2], Some(Login { user, password })) => {
            let length = |text: &str| u8::try_from(text.len()).map_err(|_| ProxyFault::login(proxy));
            let mut login = vec![1, length(user)?];
            login.extend_from_slice(user.as_bytes());
            login.push(length(password)?);
            login.extend_from_slice(password.as_bytes());
            wire.write_all(&login).map_err(broken)?;
            wire.read_exact(&mut answer).map_err(broken)?;
            if answer[1] == 0 { Ok(()) } else { Err(ProxyFault::login(proxy)) }
        }
        ([5, _], _) => Err(ProxyFault::login(proxy)),
        _ => Err(ProxyFault::lasting(proxy, "does not support SOCKS5")),
    }
}

fn socks5_request(proxy: &Proxy, target: Target<'_>, port: u16) -> Result<Vec<u8>, ProxyFault> {
    let mut request = vec![5, 1, 0];
    match target {
        Target::Address(IpAddr::V4(address)) => {
            request.push(1);
            request.extend(address.octets());
        }
        Target::Address(IpAddr::V6(address)) => {
            request.push(4);
            request.extend(address.octets());
        }
        Target::Name(name) => {
            let length = u8::try_from(name.len())
                .map_err(|_| ProxyFault::lasting(proxy, "does not accept a host name that long"))?;
            request.extend([3, length]);
            request.extend(name.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

fn read_socks5_answer(wire: &mut impl Read, proxy: &Proxy) -> Result<(), ProxyFault> {
    let broken = |error| ProxyFault::broken(proxy, &error);
    let mut answer = [0; 4];
    wire.read_exact(&mut answer).map_err(broken)?;
    let reason = match answer[1] {
        _ if answer[0] != 5 => return Err(ProxyFault::lasting(proxy, "does not support SOCKS5")),
        0 => None,
        2 => return Err(ProxyFault::lasting(proxy, "does not allow connections to Poe")),
        3 => Some("network unreachable"),
        4 => Some("host unreachable"),
        5 => Some("connection refused"),
        6 => Some("time to live expired"),
        7 | 8 => return Err(ProxyFault::lasting(proxy, "does not support this kind of connection")),
        _ => Some("general failure"),
    };
    if let Some(reason) = reason {
        return Err(ProxyFault::passing(proxy, format_args!("could not connect to Poe: {reason}")));
    }
    // the address that the proxy itself uses: it has to be read, and says nothing
    let mut length = [0];
    let rest = match answer[3] {
        1 => 4,
        4 => 16,
        3 => {
            wire.read_exact(&mut length).map_err(broken)?;
            usize::from(length[0])
        }
        _ => return Err(ProxyFault::lasting(proxy, "does not support SOCKS5")),
    };
    let mut unused = vec![0; rest + 2];
    wire.read_exact(&mut unused).map_err(broken)
}

/// Requests for an HTTP proxy that passes them on: with the whole URL in the first line, and the login in a header.
#[derive(Debug)]
pub(super) struct AbsoluteForm {
    /// `http://host:port`
    pub(super) origin: String,
    pub(super) proxy: std::sync::Arc<Proxy>,
    pub(super) at: At,
}

/// Where in the exchange of one request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// What is sent next begins a request.
    Request,
    /// The request's first line is sent; what comes next begins the answer.
    Answer,
}

impl AbsoluteForm {
    /// Sends the first `amount` bytes of the output, changed if a request begins there.
    pub(super) fn transmit(
        &mut self,
        inner: &mut dyn Transport,
        amount: usize,
        timeout: NextTimeout,
    ) -> Result<(), ureq::Error> {
        if self.at == At::Answer {
            return inner.transmit_output(amount, timeout);
        }
        self.at = At::Answer;
        let changed = self.changed(&inner.buffers().output()[..amount]);
        let mut rest = changed.as_slice();
        while !rest.is_empty() {
            let output = inner.buffers().output();
            let count = rest.len().min(output.len());
            output[..count].copy_from_slice(&rest[..count]);
            inner.transmit_output(count, timeout)?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// `POST /path HTTP/1.1` becomes `POST http://host:port/path HTTP/1.1`, and the login follows that line.
    fn changed(&self, head: &[u8]) -> Vec<u8> {
        let path = head.iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
        let line = head.windows(2).position(|two| two == b"\r\n").map_or(head.len(), |at| at + 2);
        let login =
            self.proxy.login.as_ref().map(|login| format!("Proxy-Authorization: {}\r\n", basic(login)));
        let login = login.unwrap_or_default();
        [&head[..path], self.origin.as_bytes(), &head[path..line], login.as_bytes(), &head[line..]].concat()
    }

    /// Looks at the first bytes of an answer: a 407 is the proxy's own.
    pub(super) fn examine(&mut self, input: &[u8]) -> Result<(), ureq::Error> {
        if self.at == At::Request || input.len() < STATUS_END {
            return Ok(());
        }
        self.at = At::Request;
        match input.starts_with(b"HTTP/1.") && input[..STATUS_END].ends_with(b" 407") {
            true => Err(ProxyFault::login(&self.proxy).into()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// The proxy's side of the conversation: what it says, and what it was sent. Reads bring one byte each.
    struct Script {
        says: io::Cursor<Vec<u8>>,
        rendered: Vec<u8>,
    }

    impl Script {
        fn new(says: &[&[u8]]) -> Script {
            Script { says: io::Cursor::new(says.concat()), rendered: Vec::new() }
        }

        fn rest(&self) -> &[u8] {
            &self.says.get_ref()[self.says.position() as usize..]
        }
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(1);
            self.says.read(&mut buffer[..count])
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.rendered.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn proxy(url: &str) -> Proxy {
        Proxy::parse(url, "ALL_PROXY").unwrap()
    }

    const V4: Target<'_> = Target::Address(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));
    const V6: Target<'_> = Target::Address(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST));
    const NAME: Target<'_> = Target::Name("poe");
    const GOOD: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    #[test]
    fn socks_requests_are_as_the_standards_have_them_and_leave_what_is_poes() {
        type Parts<'p> = &'p [&'p [u8]];
        let cases: &[(&str, Target<'_>, Parts<'_>, Parts<'_>)] = &[
            ("socks5://p", V4, &[&[5, 0], GOOD], &[&[5, 1, 0], &[5, 1, 0, 1, 10, 0, 0, 1, 1, 187]]),
            (
                "socks5h://p",
                NAME,
                &[&[5, 0, 5, 0, 0, 3, 1, 7, 0, 0]],
                &[&[5, 1, 0, 5, 1, 0, 3, 3], b"poe", &[1, 187]],
            ),
            (
                "socks5://me:pw@p",
                V6,
                &[&[5, 2, 1, 0, 5, 0, 0, 4], &[0; 18]],
                &[&[5, 2, 0, 2, 1, 2], b"me", &[2], b"pw", &[5, 1, 0, 4], &[0; 15], &[1, 1, 187]],
            ),
            ("socks5://me:pw@p", V4, &[&[5, 0], GOOD], &[&[5, 2, 0, 2, 5, 1, 0, 1, 10, 0, 0, 1, 1, 187]]),
            (
                "socks4://me@p",
                V4,
                &[&[0, 90, 0, 0, 0, 0, 0, 0]],
                &[&[4, 1, 1, 187, 10, 0, 0, 1], b"me", &[0]],
            ),
            (
                "socks4a://p",
                NAME,
                &[&[0, 90, 0, 0, 0, 0, 0, 0]],
                &[&[4, 1, 1, 187, 0, 0, 0, 1, 0], b"poe", &[0]],
            ),
        ];
        for (url, target, says, rendered) in cases {
            let mut script = Script::new(&[&says.concat(), b"poe's"]);
            socks(&mut script, &proxy(url), *target, 443).unwrap_or_else(|fault| panic!("{url}: {fault}"));
            assert_eq!(script.rendered, rendered.concat(), "{url}");
            assert_eq!(script.rest(), b"poe's", "{url}");
        }
    }

    #[test]
    fn socks_faults_say_what_is_wrong() {
        let cases: &[(&str, Target<'_>, &[u8], &str, bool)] = &[
            ("socks5://p", V4, &[5, 255], "requires a user name and password", false),
            ("socks5://p", V4, &[5, 2], "requires a user name and password", false),
            ("socks5://a:b@p", V4, &[5, 2, 1, 1], "rejected the user name or password", false),
            ("socks5://p", V4, b"HTTP/1.1 400 Bad", "does not support SOCKS5", false),
            ("socks5://p", V4, &[5, 0, 5, 2, 0, 1], "does not allow", false),
            ("socks5://p", V4, &[5, 0, 5, 4, 0, 1], "host unreachable", true),
            ("socks5://p", V4, &[5, 0, 5, 1, 0, 1], "general failure", true),
            ("socks5://p", V4, &[5, 0, 5, 0, 0, 9], "does not support SOCKS5", false),
            ("socks5://p", V4, &[5, 0, 5], "closed the connection", true),
            ("socks4://p", V4, &[0, 91, 0, 0, 0, 0, 0, 0], "refused to connect", true),
            ("socks4://p", V4, &[0, 93, 0, 0, 0, 0, 0, 0], "requires a user name", false),
            ("socks4://p", V4, b"HTTP/1.1 400", "does not support SOCKS4", false),
            ("socks4://p", V6, &[], "IPv6", false),
        ];
        for (url, target, says, words, is_transient) in cases {
            let fault = socks(&mut Script::new(&[says]), &proxy(url), *target, 443).unwrap_err();
            assert!(fault.message.contains(words), "{url} {says:?}: {fault}");
            assert_eq!(fault.is_transient, *is_transient, "{url} {says:?}: {fault}");
            assert!(
                fault.message.starts_with("the proxy socks") && fault.message.contains("(ALL_PROXY)"),
                "{fault}"
            );
        }
    }

    #[test]
    fn connect_reads_the_head_and_no_more() {
        let mut script = Script::new(&[b"HTTP/1.0 200 OK\r\nVia: x\r\n\r\n", b"poe's"]);
        connect(&mut script, &proxy("http://me:p%20w@p"), "poe:443").unwrap();
        let rendered = String::from_utf8(script.rendered.clone()).unwrap();
        assert!(rendered.starts_with("CONNECT poe:443 HTTP/1.1\r\nHost: poe:443\r\n"), "{rendered}");
        assert!(
            rendered.contains("\r\nProxy-Authorization: Basic bWU6cCB3\r\n")
                && rendered.ends_with("\r\n\r\n"),
            "{rendered}"
        );
        assert_eq!(script.rest(), b"poe's");
        let long = [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'x'; 20_000]].concat();
        let cases: &[(&[u8], &str, bool)] = &[
            (b"HTTP/1.1 407 Login\r\n\r\n", "rejected the user name or password", false),
            (b"HTTP/1.1 403 Not for\x1b you\r\n\r\n", "answered CONNECT poe:443 with 403 Not for you", false),
            (b"HTTP/1.1 503\r\n\r\n", "answered CONNECT poe:443 with 503", true),
            (b"SSH-2.0-OpenSSH_9\r\n", "does not support HTTP", false),
            (b"HTTP/1.1 20", "closed the connection", true),
            (&long, "does not support HTTP", false),
        ];
        for (says, words, is_transient) in cases {
            let fault = connect(&mut Script::new(&[says]), &proxy("http://me:pw@p"), "poe:443").unwrap_err();
            assert!(fault.message.contains(words), "{fault}");
            assert_eq!(fault.is_transient, *is_transient, "{fault}");
        }
    }

    #[test]
    fn a_request_gets_its_absolute_form() {
        let form = |url: &str| AbsoluteForm {
            origin: "http://poe:80".into(),
            proxy: Arc::new(proxy(url)),
            at: At::Request,
        };
        let changed = form("http://me:pw@p").changed(b"POST /bot/x?y HTTP/1.1\r\nHost: poe\r\n\r\nbody");
        let expected = "POST http://poe:80/bot/x?y HTTP/1.1\r\nProxy-Authorization: Basic bWU6cHc=\r\nHost: poe\r\n\r\nbody";
        assert_eq!(String::from_utf8(changed).unwrap(), expected);
        let changed = form("http://p").changed(b"GET / HTTP/1.1\r\nHost: poe\r\n\r\n");
        assert_eq!(String::from_utf8(changed).unwrap(), "GET http://poe:80/ HTTP/1.1\r\nHost: poe\r\n\r\n");
    }
}
