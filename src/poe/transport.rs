//! Transport that polls about once a second, so that a blocked call can be cancelled.
//!
//! ureq blocks until data arrives. Meanwhile the client may disconnect, a stream may need a keep-alive, or
//! the server may have to stop. [`Line`] therefore waits in short steps and calls the waiting thread's [`CancelCheck`]
//! between them; an error from it ends the wait, the call and the connection to Poe.

mod connect;
mod dial;
mod names;
mod via;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::Socket;
use ureq::config::Config;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::{
    Buffers, Connector, LazyBuffers, NextTimeout, RustlsConnector, Transport,
};
use ureq::{Agent, Timeout};

use connect::{NoLookUp, PoeConnector};
use names::Names;
use via::ProxyFault;

use super::settings::Settings;
use crate::budget;
use crate::error::{Error, Kind, Result};

/// Called about once a second while Poe is silent; an error ends the wait.
pub type CancelCheck = Rc<dyn Fn() -> Result<()>>;

/// How often a waiting thread looks up.
pub const TICK: Duration = Duration::from_millis(500);

struct Waiting {
    cancel: CancelCheck,
    limit: Duration,
    failed: Option<Error>,
    /// When the call began, or Poe last took a part of the request. What arrives does not count: a head that comes
    /// byte by byte, or framing without content, must not take longer than `limit` either.
    since: Instant,
    /// When the watch was last called.
    looked_up: Instant,
}

thread_local! {
    /// What this thread does while it waits: ureq gives its connectors no other way to be cancelled.
    static WAITING: RefCell<Option<Waiting>> = const { RefCell::new(None) };
}

/// Runs `call`, with `cancel` called while it waits. One that takes longer than `limit` after the request has been sent
/// ends with a timeout.
/// The second value is why the wait was ended, if it was: it counts for more than what `call` says.
pub fn cancellable<T>(cancel: &CancelCheck, limit: Duration, call: impl FnOnce() -> T) -> (T, Option<Error>) {
    let now = Instant::now();
    let waiting = Waiting { cancel: Rc::clone(cancel), limit, failed: None, since: now, looked_up: now };
    let outer = Outer(WAITING.with(|cell| cell.replace(Some(waiting))));
    let result = call();
    let failed = WAITING.with(|cell| cell.borrow_mut().as_mut().and_then(|waiting| waiting.failed.take()));
    drop(outer);
    (result, failed)
}

/// What the thread waited for before, put back also when the call panics.
struct Outer(Option<Waiting>);

impl Drop for Outer {
    fn drop(&mut self) {
        let outer = self.0.take();
        drop(WAITING.with(|cell| cell.replace(outer)));
    }
}

/// Why a wait was ended: by the watch or by the limit of silence. Its own type, because the layers above try again
/// after the kinds of error that a system knows; `Interrupted` they would repeat for ever.
#[derive(Debug)]
struct Ended;

impl Ended {
    fn error() -> io::Error {
        io::Error::other(Ended)
    }

    fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Ended>())
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the wait was ended")
    }
}

impl std::error::Error for Ended {}

/// Whether this thread's wait has been ended already; a further call does not wait again.
fn has_ended() -> bool {
    WAITING.with(|cell| cell.borrow().as_ref().is_some_and(|waiting| waiting.failed.is_some()))
}

/// Calls the watch if that is due although something has just arrived; an error if the wait is to end.
fn look_up_if_due() -> io::Result<()> {
    let is_due = |waiting: &Waiting| waiting.looked_up.elapsed() >= TICK;
    if WAITING.with(|cell| cell.borrow().as_ref().is_some_and(is_due)) {
        resolve_name(Duration::ZERO);
    }
    if has_ended() { Err(Ended::error()) } else { Ok(()) }
}

/// Poe has taken a part of the request.
fn note_progress() {
    WAITING.with(|cell| cell.borrow_mut().iter_mut().for_each(|waiting| waiting.since = Instant::now()));
}

/// One look up after a silence of `silent`, which may end the wait.
fn resolve_name(silent: Duration) {
    let noted = WAITING.with(|cell| {
        cell.borrow_mut().as_mut().map(|w| {
            w.looked_up = Instant::now();
            (Rc::clone(&w.cancel), w.limit, w.since)
        })
    });
    let Some((cancel, limit, since)) = noted else { return };
    let silent = silent.max(since.elapsed());
    let outcome = cancel().and_then(|()| match silent >= limit {
        false => Ok(()),
        true => Err(Error::new(
            Kind::UpstreamTimeout,
            format!("Poe was silent for {} seconds", limit.as_secs_f64().round()),
        )),
    });
    if let Err(error) = outcome {
        WAITING.with(|cell| {
            if let Some(waiting) = cell.borrow_mut().as_mut() {
                waiting.failed = Some(error);
            }
        });
    }
}

/// How long the next step may take: never past the limit of silence.
fn step(silent: Duration) -> Duration {
    let left = |w: &Waiting| w.limit.saturating_sub(silent.max(w.since.elapsed()));
    let left = WAITING.with(|cell| cell.borrow().as_ref().map(left));
    left.unwrap_or(TICK).clamp(Duration::from_millis(1), TICK)
}

/// Waits in short steps until `socket` is ready for `what`, at most for `limit`, and looks up between them.
fn await_ready(socket: &Socket, what: PollFlags, limit: Option<Duration>) -> io::Result<()> {
    let start = Instant::now();
    loop {
        if has_ended() {
            return Err(Ended::error());
        }
        let left = limit.map(|limit| limit.saturating_sub(start.elapsed()));
        let step = left.unwrap_or(TICK).min(step(start.elapsed())).max(Duration::from_millis(1));
        let step = Timespec { tv_sec: 0, tv_nsec: step.subsec_nanos().into() };
        match poll(&mut [PollFd::new(socket, what)], Some(&step)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        resolve_name(start.elapsed());
        if has_ended() {
            return Err(Ended::error());
        }
        if limit.is_some_and(|limit| start.elapsed() >= limit) {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Pieces of a request up to this size leave together: each write would wake Poe's side.
const HELD_BYTES: usize = 8 << 10;

/// One connection. Reads wait up to [`TICK`] in the kernel, so that an event costs one call; all other waiting is done in
/// [`await_ready`].
#[derive(Debug)]
struct Line {
    socket: Socket,
    buffers: LazyBuffers,
    /// Output that leaves with what follows, or before input is awaited.
    held: Vec<u8>,
    /// The answer has been silent before: the thread's stack has been given back.
    has_rested: bool,
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.has_rested = false;
        let output = &self.buffers.output()[..amount];
        if self.held.len() + amount <= HELD_BYTES {
            self.held.extend_from_slice(output);
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        send_all(&self.socket, &held, timeout)?;
        send_all(&self.socket, output, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            send_all(&self.socket, &held, timeout)?;
        }
        let buffer = self.buffers.input_append_buf();
        let count = receive(&self.socket, buffer, limit(timeout), &mut self.has_rested);
        let count = count.map_err(|error| timed_out(error, timeout))?;
        self.buffers.input_appended(count);
        look_up_if_due()?;
        Ok(count > 0)
    }

    /// A connection that waits for its next use is open as long as nothing can be read from it, not even its end.
    fn is_open(&mut self) -> bool {
        matches!(recv(&self.socket, &mut [0; 1], RecvFlags::DONTWAIT), Err(Errno::WOULDBLOCK))
    }
}

impl Line {
    fn new(socket: Socket, buffers: LazyBuffers) -> io::Result<Line> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(TICK))?;
        Ok(Line { socket, buffers, held: Vec::new(), has_rested: false })
    }
}

/// Reads once, as soon as something has come.
fn receive(
    socket: &Socket,
    buffer: &mut [u8],
    limit: Option<Duration>,
    has_rested: &mut bool,
) -> io::Result<usize> {
    let start = Instant::now();
    loop {
        let left = limit.map_or(TICK, |limit| limit.saturating_sub(start.elapsed()));
        // the kernel waits for no less than this
        let is_short = left.min(step(start.elapsed())) < TICK;
        if is_short || has_ended() {
            await_ready(socket, PollFlags::IN, limit.map(|limit| limit.saturating_sub(start.elapsed())))?;
        }
        let flags = if is_short { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
        match recv(socket, &mut *buffer, flags) {
            Ok((count, _)) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if is_short => {}
            Err(Errno::WOULDBLOCK) => {
                resolve_name(start.elapsed());
                if !std::mem::replace(has_rested, true) {
                    budget::rest();
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends all of `bytes`.
fn send_all(socket: &Socket, bytes: &[u8], timeout: NextTimeout) -> Result<(), ureq::Error> {
    let mut sent = 0;
    while sent < bytes.len() {
        match send(socket, &bytes[sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => {
                sent += count;
                note_progress();
                look_up_if_due()?;
            }
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => await_ready(socket, PollFlags::OUT, limit(timeout))
                .map_err(|error| timed_out(error, timeout))?,
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    Ok(())
}

fn timed_out(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

fn limit(timeout: NextTimeout) -> Option<Duration> {
    (!timeout.after.is_not_happening()).then_some(*timeout.after)
}

/// The one agent of the whole process: its pool keeps connections to Poe open between requests.
pub fn agent(settings: &Settings) -> Result<Agent, String> {
    let roots = match &settings.root_certificates {
        Some(pem) => RootCerts::from(certificates(pem)?),
        None => RootCerts::WebPki,
    };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(settings.connect_timeout))
        // each held stream keeps both
        .input_buffer_size(4 << 10)
        .output_buffer_size(4 << 10)
        .max_idle_connections(64)
        .max_idle_connections_per_host(64)
        .user_agent(concat!("poe2openai/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .tls_config(TlsConfig::builder().root_certs(roots).build());
    // proxies are the connector's
    let config: Config = config.proxy(None).build();
    let connector = PoeConnector::new(settings.proxies.clone(), Names::of_system());
    Ok(Agent::with_parts(config, ().chain(connector).chain(RustlsConnector::default()), NoLookUp))
}

fn certificates(pem: &[u8]) -> Result<Vec<ureq::tls::Certificate<'static>>, String> {
    let mut certificates = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(format!("not a PEM file: {error}")),
        }
    }
    match certificates.is_empty() {
        true => Err("no certificate in it".to_owned()),
        false => Ok(certificates),
    }
}

/// What a failed call means.
pub fn failure(error: &ureq::Error) -> Error {
    match error {
        ureq::Error::Other(other) if other.is::<ProxyFault>() => {
            let is_transient = other.downcast_ref().is_some_and(|fault: &ProxyFault| fault.is_transient);
            let error = Error::new(Kind::Upstream, other.to_string());
            if is_transient { error.transient() } else { error }
        }
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            Error::new(Kind::UpstreamTimeout, "Poe could not be reached in time")
        }
        ureq::Error::Timeout(_) => Error::new(Kind::UpstreamTimeout, "Poe did not answer in time"),
        ureq::Error::HostNotFound => {
            Error::new(Kind::Upstream, "Poe's host name could not be resolved").transient()
        }
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            let hint = match error.to_string().contains("UnknownIssuer") {
                true => {
                    "; where a proxy signs connections itself, SSL_CERT_FILE has to name its root certificate"
                }
                false => "",
            };
            Error::new(Kind::Upstream, format!("no secure connection to Poe: {error}{hint}"))
        }
        other => Error::new(Kind::Upstream, format!("the connection to Poe failed: {other}")).transient(),
    }
}
