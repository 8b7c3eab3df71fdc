//! A mock of Poe that streams what the bot's name says, and the relay.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::clients::{content_length, nanoseconds};
use crate::rows::{Load, ROWS};

/// A stream that never ends by itself.
pub const HOLD: &str = "bench-hold";
/// Marks the time in an event's text: nanoseconds, 19 digits.
pub const STAMP: &str = "at=";
pub const END: &[u8] = b"0\r\n\r\n";

/// Serves each connection on a thread of its own, for ever.
pub fn serve(one: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    io::stdout().flush()?;
    for socket in listener.incoming() {
        let (socket, one) = (socket?, one.clone());
        socket.set_nodelay(true)?;
        // an error means that the connection was closed
        thread::Builder::new().stack_size(64 << 10).spawn(move || drop(one(socket)))?;
    }
    Ok(())
}

/// Reads a whole request: head and body.
fn read_request(socket: &mut TcpStream, request: &mut Vec<u8>) -> io::Result<bool> {
    request.clear();
    let mut piece = [0; 16 << 10];
    loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let whole = end + 4 + content_length(&request[..end + 4]).unwrap_or(0);
            while request.len() < whole {
                let count = socket.read(&mut piece)?;
                request.extend_from_slice(&piece[..count]);
            }
            return Ok(true);
        }
        match socket.read(&mut piece)? {
            0 => return Ok(false),
            count => request.extend_from_slice(&piece[..count]),
        }
    }
}

/// One thread, two blocking connections, and no look at what goes by but for where it ends.
pub fn relay(mut client: TcpStream, poe: &str) -> io::Result<()> {
    let mut upstream = TcpStream::connect(poe)?;
    upstream.set_nodelay(true)?;
    let (mut request, mut piece) = (Vec::new(), [0; 16 << 10]);
    while read_request(&mut client, &mut request)? {
        upstream.write_all(&request)?;
        loop {
            let count = upstream.read(&mut piece)?;
            client.write_all(&piece[..count])?;
            if count == 0 || piece[..count].ends_with(END) {
                break;
            }
        }
    }
    Ok(())
}

/// Answers `/v1/models` and `/upload`, and `/bot/NAME` with a stream.
pub fn mock(mut socket: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    while read_request(&mut socket, &mut request)? {
        let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        let path = line.split(' ').nth(1).unwrap_or_default();
        let fixed = match path {
            "/v1/models" => Some(models()),
            "/upload" => {
                Some(r#"{"attachment_url":"http://localhost/file","mime_type":"image/png"}"#.to_owned())
            }
            _ => None,
        };
        if let Some(body) = fixed {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
            socket.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes())?;
            continue;
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        socket.write_all(head.as_bytes())?;
        render(&mut socket, path.trim_start_matches("/bot/"))?;
    }
    Ok(())
}

/// What each event of an answer says after the time.
fn more(kind: &str) -> String {
    match kind {
        "page" => "0123456789 ".repeat(900),
        "chinese" => "你好世界".to_owned(),
        "angle" => "<<<<<<<<".to_owned(),
        "spaces" => "        ".to_owned(),
        "markup" => "<tool_call><think>".to_owned(),
        "letter" => "aaaaaaaa".to_owned(),
        _ => String::new(),
    }
}

/// Streams the answer of `bench-EVENTS-MILLISECONDS-KIND`, or of [`HOLD`].
fn render(socket: &mut TcpStream, bot: &str) -> io::Result<()> {
    let mut frame = String::new();
    let mut event = |name: &str, data: &str| {
        let event = format!("event: {name}\r\ndata: {data}\r\n\r\n");
        frame = format!("{:x}\r\n{event}\r\n", event.len());
        socket.write_all(frame.as_bytes())
    };
    let text = |more: &str| format!("{{\"text\": \"{STAMP}{} {more}\"}}", nanoseconds());
    if bot == HOLD {
        event("text", &text(""))?;
        loop {
            thread::sleep(Duration::from_secs(5));
            event("ping", "{}")?;
        }
    }
    let mut fields = bot.split('-').skip(1);
    let mut number = || fields.next().and_then(|number| number.parse::<u64>().ok());
    let (events, gap) = (number().unwrap_or(1), number().unwrap_or(0));
    let more = more(fields.next().unwrap_or_default());
    for _ in 0..events {
        event("text", &text(&more))?;
        if gap > 0 {
            thread::sleep(Duration::from_millis(gap));
        }
    }
    event("done", "{}")?;
    socket.write_all(END)
}

/// A list as long as Poe's.
fn models() -> String {
    let names = ROWS.iter().filter_map(|row| match row.load {
        Load::Chat { bot, .. } => Some(bot.to_owned()),
        _ => None,
    });
    let names =
        names.chain([HOLD.to_owned(), "bench-10000-0-page".to_owned(), "bench-5000-0-page".to_owned()]);
    let names = names.chain((0..300).map(|number| format!("Model-Number-{number}")));
    let entry = |name: String| {
        format!(
            r#"{{"id":"{name}","object":"model","created":1700000000,"owned_by":"Somebody","description":"{}","architecture":{{"input_modalities":["text","image"],"output_modalities":["text"],"modality":"text,image->text"}},"context_window":{{"context_length":200000,"max_output_tokens":64000}}}}"#,
            "A model for everything. ".repeat(8)
        )
    };
    let entries: Vec<String> = names.map(entry).collect();
    format!(r#"{{"object":"list","data":[{}]}}"#, entries.join(","))
}
