//! Logger: writes each record as one line of text or JSON to standard output, without blocking requests.
//!
//! Lines wait in a queue for a thread of their own. A standard output that is not read fills the queue and then
//! loses lines, whose number is logged later; it does not stop requests.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use log::kv::{self, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record, SetLoggerError};
use serde_json::{Map, json};

use super::recent_log;
use crate::clock;
use crate::settings::LogFormat;

/// How many lines may wait.
const QUEUE: usize = 1024;
/// How long the end of the program waits for lines that have not been written yet.
const LAST_LINES: Duration = Duration::from_millis(500);
/// What the message of a request's line says already.
const IN_MESSAGE: [&str; 2] = ["method", "path"];
/// What is no word of ours and may hold anything.
const QUOTED: [&str; 3] = ["model", "bot", "error"];

/// The most characters of a message, and at debug and trace, whose messages quote what clients and bots send.
const MAX_MESSAGE: usize = 1000;
const MAX_DEBUG_MESSAGE: usize = 300;

static LOST: AtomicU64 = AtomicU64::new(0);

/// Begins to write the log. Our own lines only: libraries may log what must stay secret.
pub fn open(level: LevelFilter, format: LogFormat) -> Result<(), SetLoggerError> {
    let (sender, receiver) = sync_channel(QUEUE);
    log::set_boxed_logger(Box::new(Logger { level, format, queue: sender }))?;
    log::set_max_level(level);
    let writer = thread::Builder::new().name("journal".into());
    // without a thread lines are lost, and the program does its work
    drop(writer.spawn(move || keep_running("the log", Duration::from_secs(1), || write(&receiver, format))));
    Ok(())
}

/// Runs `work` until it returns. A panic in it is logged, and after `pause` it is run again.
pub fn keep_running(what: &str, pause: Duration, work: impl Fn()) {
    // what a panic leaves half done is behind locks that are taken all the same
    while catch_unwind(AssertUnwindSafe(&work)).is_err() {
        log::error!("{what} failed; it restarts in {} seconds", pause.as_secs());
        thread::sleep(pause);
    }
}

enum Item {
    Line(String),
    /// Answered when all lines before it have been written.
    Mark(SyncSender<()>),
}

struct Logger {
    level: LevelFilter,
    format: LogFormat,
    queue: SyncSender<Item>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level && metadata.target().starts_with(env!("CARGO_PKG_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let time = clock::now();
        let text = line(record, LogFormat::Text, time);
        recent_log::keep(record.level(), text.clone());
        let line = match self.format {
            LogFormat::Text => text,
            LogFormat::Json => line(record, LogFormat::Json, time),
        };
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Item::Line(line)) {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {
        let (sender, receiver) = sync_channel(1);
        if self.queue.try_send(Item::Mark(sender)).is_ok() {
            let _ = receiver.recv_timeout(LAST_LINES);
        }
    }
}

fn write(queue: &Receiver<Item>, format: LogFormat) {
    while let Ok(item) = queue.recv() {
        match item {
            Item::Line(line) => print(line),
            Item::Mark(sender) => drop(sender.send(())),
        }
        let lost = LOST.swap(0, Ordering::Relaxed);
        if lost > 0 {
            print(line(
                &Record::builder()
                    .level(log::Level::Warn)
                    .args(format_args!("{lost} log lines were lost: standard output is not read fast enough"))
                    .build(),
                format,
                clock::now(),
            ));
        }
    }
}

fn print(mut line: String) {
    line.push('\n');
    // a reader that has gone is no reason to stop
    let _ = io::stdout().lock().write_all(line.as_bytes());
}

/// Prints a message that the operator needs at the start, at any log level.
pub fn announce(words: &str, format: LogFormat) {
    print(match format {
        LogFormat::Text => words.to_owned(),
        LogFormat::Json => {
            let words = format_args!("{words}");
            line(&Record::builder().level(log::Level::Info).args(words).build(), format, clock::now())
        }
    });
}

/// One line without its end.
fn line(record: &Record<'_>, format: LogFormat, time: Duration) -> String {
    let message = message(record);
    match format {
        LogFormat::Text => {
            let line = format!("{} [{}] {message}", clock::timestamp(time), record.level());
            // what comes from outside begins no line of its own, and states a terminal nothing
            let mut line = line.replace(char::is_control, " ");
            let _ = record.key_values().visit(&mut Words(&mut line));
            line
        }
        LogFormat::Json => {
            let mut object = Map::new();
            object.insert("ts".into(), clock::timestamp(time).into());
            object.insert("level".into(), record.level().as_str().to_ascii_lowercase().into());
            object.insert("msg".into(), message.into());
            let _ = record.key_values().visit(&mut Fields(&mut object));
            serde_json::Value::Object(object).to_string()
        }
    }
}

/// The message, cut where it is longer than anybody reads.
fn message(record: &Record<'_>) -> String {
    let most = match record.level() {
        Level::Debug | Level::Trace => MAX_DEBUG_MESSAGE,
        Level::Error | Level::Warn | Level::Info => MAX_MESSAGE,
    };
    let mut message = record.args().to_string();
    if let Some((end, _)) = message.char_indices().nth(most) {
        message.truncate(end);
        message.push('\u{2026}');
    }
    message
}

struct Words<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Words<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        if IN_MESSAGE.contains(&key.as_str()) {
            return Ok(());
        }
        *self.0 += &match value.to_borrowed_str() {
            Some(text) if is_plain(text) && !QUOTED.contains(&key.as_str()) => format!(" {key}={text}"),
            Some(text) => format!(" {key}={text:?}"),
            None => format!(" {key}={value}"),
        };
        Ok(())
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

struct Fields<'a>(&'a mut Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let json = match (value.to_u64(), value.to_bool(), value.to_borrowed_str()) {
            (Some(number), _, _) => number.into(),
            (_, Some(is_so), _) => is_so.into(),
            (_, _, Some(text)) => text.into(),
            _ => json!(value.to_string()),
        };
        self.0.insert(key.as_str().to_owned(), json);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: LogFormat) -> String {
        let pairs: &[(&str, Value<'_>)] = &[
            ("id", Value::from("req_1")),
            ("path", Value::from("/v1")),
            ("stream", Value::from(true)),
            ("status", Value::from(200_u16)),
            ("error", Value::from("it is\n\"so\"")),
        ];
        let mut record = Record::builder();
        let record = record.level(log::Level::Info).key_values(&pairs);
        line(&record.args(format_args!("GET /v1\nX")).build(), format, Duration::from_secs(1))
    }

    #[test]
    fn work_that_panics_is_run_again() {
        let runs = AtomicU64::new(0);
        keep_running("the test", Duration::ZERO, || {
            assert!(runs.fetch_add(1, Ordering::Relaxed) > 0, "the first run fails")
        });
        assert_eq!(runs.into_inner(), 2);
    }

    #[test]
    fn both_forms_say_the_same_on_one_line() {
        assert_eq!(
            written(LogFormat::Text),
            "1970-01-01T00:00:01.000Z [INFO] GET /v1 X id=req_1 stream=true status=200 error=\"it is\\n\\\"so\\\"\""
        );
        let object: serde_json::Value = serde_json::from_str(&written(LogFormat::Json)).unwrap();
        assert_eq!(
            object,
            json!({"ts": "1970-01-01T00:00:01.000Z", "level": "info", "msg": "GET /v1\nX", "id": "req_1",
                   "path": "/v1", "stream": true, "status": 200, "error": "it is\n\"so\""})
        );
    }

    #[test]
    fn what_clients_send_is_cut() {
        let long = "ä".repeat(1 << 20);
        for (level, most) in [(Level::Debug, MAX_DEBUG_MESSAGE), (Level::Info, MAX_MESSAGE)] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let mut record = Record::builder();
                let line =
                    line(&record.level(level).args(format_args!("{long}")).build(), format, Duration::ZERO);
                assert_eq!(line.matches('ä').count(), most);
            }
        }
    }
}
