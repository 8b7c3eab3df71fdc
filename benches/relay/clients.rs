//! The clients of the load generator.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::poe::{END, STAMP};

/// One connection to the server that is measured.
pub struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
}

/// What came, and when.
#[derive(Default)]
pub struct Answer {
    /// Seconds to its end, and to the first content.
    pub took: f64,
    pub first: f64,
    pub bytes: usize,
    pub events: usize,
    /// Seconds from the mock to here, for each event with a time in it.
    pub lags: Vec<f64>,
}

impl Client {
    pub fn connect(port: u16) -> Client {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("the server accepts");
        socket.set_nodelay(true).expect("an option");
        Client { socket, buffer: vec![0; 64 << 10] }
    }

    /// Sends a request and reads the answer to its end.
    pub fn ask(&mut self, request: &[u8]) -> Answer {
        let (start, mut answer) = (Instant::now(), Answer::default());
        self.socket.write_all(request).expect("the server reads");
        let (mut head, mut left, mut tail) = (Vec::new(), None, Vec::new());
        let mut has_head = false;
        loop {
            let count = self.socket.read(&mut self.buffer).expect("the server answers");
            assert!(count > 0, "the server hung up after {}", String::from_utf8_lossy(&head));
            let mut piece = &self.buffer[..count];
            if !has_head {
                head.extend_from_slice(piece);
                let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
                left = content_length(&head[..end + 4]);
                piece = &piece[count - (head.len() - end - 4)..];
                has_head = true;
            }
            answer.bytes += piece.len();
            answer.look_at(piece, start);
            tail.extend_from_slice(&piece[piece.len().saturating_sub(END.len())..]);
            tail.drain(..tail.len().saturating_sub(END.len()));
            let is_over = left.map_or(tail == END, |length| answer.bytes >= length);
            if is_over {
                answer.took = start.elapsed().as_secs_f64();
                return answer;
            }
        }
    }

    /// Sends a request with `Connection: close` and reads the answer to its end, whatever its status is.
    pub fn status(mut self, request: &[u8]) -> u16 {
        // a body that is too large is refused before it has been read
        let _ = self.socket.write_all(request);
        let count = self.socket.read(&mut self.buffer).expect("the server answers");
        let status = std::str::from_utf8(&self.buffer[9..12.min(count)]).expect("a status line").parse();
        while self.socket.read(&mut self.buffer).is_ok_and(|count| count > 0) {}
        status.expect("a number")
    }

    /// Sends a request and reads the beginning of the answer.
    pub fn begin(&mut self, request: &[u8]) {
        self.socket.write_all(request).expect("the server reads");
        let mut seen = Vec::new();
        while !contains(&seen, STAMP.as_bytes()) {
            let count = self.socket.read(&mut self.buffer).expect("the server answers");
            assert!(count > 0, "the server hung up after {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&self.buffer[..count]);
        }
    }
}

impl Answer {
    /// Counts events by their marks. One that is cut in two is missed; there are few of those.
    fn look_at(&mut self, piece: &[u8], start: Instant) {
        let now = nanoseconds();
        let marks = piece.windows(STAMP.len()).enumerate().filter(|(_, window)| *window == STAMP.as_bytes());
        for (at, _) in marks {
            if self.events == 0 {
                self.first = start.elapsed().as_secs_f64();
            }
            self.events += 1;
            let digits = piece.get(at + STAMP.len()..at + STAMP.len() + 19);
            let sent = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u128>().ok());
            self.lags.extend(sent.map(|sent| now.saturating_sub(sent) as f64 / 1e9));
        }
    }
}

pub fn nanoseconds() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

pub fn content_length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
}

/// A request with a JSON body.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    request(path, "", body)
}

/// As [`post`], on a connection that then ends.
pub fn last_post(path: &str, body: &str) -> Vec<u8> {
    request(path, "Connection: close\r\n", body)
}

fn request(path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer bench\r\nContent-Type: application/json\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
