//! Real proxies for tests: HTTP (CONNECT and absolute form), SOCKS4a and SOCKS5 on one port, with or without a login.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// A host name that only the proxies resolve, to 127.0.0.1.
pub const HIDDEN_NAME: &str = "poe.hidden.test";

/// A running proxy, until the test ends.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    login: Option<(String, String)>,
    seen: Mutex<Seen>,
}

/// What a proxy was asked for.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Connections that were made to it.
    pub connections: usize,
    /// Connections that are open now.
    pub open: usize,
    /// `CONNECT host:port`, `POST http://…`, `socks5 name poe:80` and the like, as they came.
    pub requests: Vec<String>,
}

impl Proxy {
    /// One that anybody may use.
    pub fn open() -> Proxy {
        Proxy::start(None)
    }

    /// One that wants this login.
    pub fn closed(user: &str, password: &str) -> Proxy {
        Proxy::start(Some((user.to_owned(), password.to_owned())))
    }

    fn start(login: Option<(String, String)>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared { login, seen: Mutex::default() });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                thread::spawn(move || {
                    serving.seen().connections += 1;
                    serving.seen().open += 1;
                    // an error means that the connection was closed
                    let _ = serving.serve(socket);
                    serving.seen().open -= 1;
                });
            }
        });
        Proxy { port, shared }
    }

    /// `127.0.0.1:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn seen(&self) -> Seen {
        self.shared.seen().clone()
    }

    /// Whether one of the requests holds `words`.
    pub fn saw(&self, words: &str) -> bool {
        self.seen().requests.iter().any(|request| request.contains(words))
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut reader = BufReader::new(socket.try_clone()?);
        match reader.fill_buf()?.first() {
            Some(4) => self.socks4(reader, socket),
            Some(5) => self.socks5(reader, socket),
            _ => self.http(reader, socket),
        }
    }

    fn http(&self, mut reader: BufReader<TcpStream>, mut socket: TcpStream) -> io::Result<()> {
        let mut upstream: Option<TcpStream> = None;
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            let (line, rest) = head.split_once("\r\n").expect("a line");
            self.seen().requests.push(line.to_owned());
            if !self.is_login(header(rest, "proxy-authorization")) {
                let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
                              Content-Length: 4\r\nConnection: close\r\n\r\nlog!";
                socket.write_all(answer.as_bytes())?;
                return socket.shutdown(Shutdown::Write);
            }
            let words: Vec<_> = line.split(' ').collect();
            if words[0] == "CONNECT" {
                return match connect(words[1]) {
                    Ok(upstream) => {
                        socket.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")?;
                        relay(reader, socket, upstream)
                    }
                    Err(_) => socket.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
                };
            }
            let Some((host, path)) = words[1].strip_prefix("http://").and_then(|url| url.split_once('/'))
            else {
                return socket.write_all(b"HTTP/1.1 400 Not absolute\r\nContent-Length: 0\r\n\r\n");
            };
            if upstream.is_none() {
                let made = connect(host)?;
                let (from, to) = (made.try_clone()?, socket.try_clone()?);
                thread::spawn(move || copy(from, to));
                upstream = Some(made);
            }
            let to = upstream.as_mut().expect("just made");
            let kept = rest.lines().filter(|line| !line.to_ascii_lowercase().starts_with("proxy-"));
            let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
            to.write_all(format!("{} /{path} HTTP/1.1\r\n{kept}", words[0]).as_bytes())?;
            let length = header(rest, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
            io::copy(&mut (&mut reader).take(length), to)?;
        }
    }

    fn is_login(&self, shown: Option<&str>) -> bool {
        let wanted = self.login.as_ref().map(|(user, password)| {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
        });
        wanted.is_none() || wanted.as_deref() == shown
    }

    fn socks4(&self, mut reader: BufReader<TcpStream>, mut socket: TcpStream) -> io::Result<()> {
        let mut head = [0; 8];
        reader.read_exact(&mut head)?;
        let port = u16::from_be_bytes([head[2], head[3]]);
        let mut user = Vec::new();
        reader.read_until(0, &mut user)?;
        let host = if head[4..7] == [0, 0, 0] {
            let mut name = Vec::new();
            reader.read_until(0, &mut name)?;
            name.pop();
            self.seen().requests.push(format!("socks4a name {}:{port}", String::from_utf8_lossy(&name)));
            String::from_utf8_lossy(&name).into_owned()
        } else {
            let address = std::net::Ipv4Addr::new(head[4], head[5], head[6], head[7]).to_string();
            self.seen().requests.push(format!("socks4 address {address}:{port}"));
            address
        };
        match connect(&format!("{host}:{port}")) {
            Ok(upstream) => {
                socket.write_all(&[0, 90, 0, 0, 0, 0, 0, 0])?;
                relay(reader, socket, upstream)
            }
            Err(_) => socket.write_all(&[0, 91, 0, 0, 0, 0, 0, 0]),
        }
    }

    fn socks5(&self, mut reader: BufReader<TcpStream>, mut socket: TcpStream) -> io::Result<()> {
        let methods = block(&mut reader, 1)?;
        match &self.login {
            None => socket.write_all(&[5, 0])?,
            Some(_) if !methods.contains(&2) => {
                socket.write_all(&[5, 255])?;
                return socket.shutdown(Shutdown::Write);
            }
            Some((user, password)) => {
                socket.write_all(&[5, 2])?;
                let shown = (block(&mut reader, 1)?, block(&mut reader, 0)?);
                let is_right = shown == (user.clone().into_bytes(), password.clone().into_bytes());
                socket.write_all(&[1, u8::from(!is_right)])?;
                if !is_right {
                    return socket.shutdown(Shutdown::Write);
                }
            }
        }
        let mut head = [0; 4];
        reader.read_exact(&mut head)?;
        let (sort, host) = match head[3] {
            1 => {
                let mut address = [0; 4];
                reader.read_exact(&mut address)?;
                ("address", std::net::Ipv4Addr::from(address).to_string())
            }
            4 => {
                let mut address = [0; 16];
                reader.read_exact(&mut address)?;
                ("address", format!("[{}]", std::net::Ipv6Addr::from(address)))
            }
            _ => ("name", String::from_utf8_lossy(&block(&mut reader, 0)?).into_owned()),
        };
        let mut port = [0; 2];
        reader.read_exact(&mut port)?;
        let target = format!("{host}:{}", u16::from_be_bytes(port));
        self.seen().requests.push(format!("socks5 {sort} {target}"));
        match connect(&target) {
            Ok(upstream) => {
                socket.write_all(&[&[5, 0, 0, 3, 4][..], b"host", &[0, 0]].concat())?;
                relay(reader, socket, upstream)
            }
            Err(_) => socket.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]),
        }
    }
}

/// A block of bytes behind its length, after `skip` bytes.
fn block(reader: &mut impl Read, skip: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; skip + 1];
    reader.read_exact(&mut head)?;
    let mut bytes = vec![0; usize::from(head[skip])];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn connect(target: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target.replace(HIDDEN_NAME, "127.0.0.1"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn relay(mut reader: BufReader<TcpStream>, socket: TcpStream, upstream: TcpStream) -> io::Result<()> {
    let from = upstream.try_clone()?;
    let back = thread::spawn(move || copy(from, socket));
    let mut to = upstream;
    let copied = io::copy(&mut reader, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = back.join();
    copied.map(|_| ())
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn header<'h>(head: &'h str, wanted: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
}
