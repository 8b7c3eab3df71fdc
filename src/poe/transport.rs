//! Waiting on Poe without being deaf meanwhile: a link in ureq's chain that looks up about once a second.
//!
//! ureq blocks until something arrives. While it does, the client may leave, a stream may need a sign of life, or
//! the server may have to stop. [`Ticking`] therefore waits in short steps and calls the waiting thread's [`Watch`]
//! between them; an error from it ends the wait, the call and the connection to Poe.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector,
    Transport,
};
use ureq::{Agent, Timeout};

use super::Settings;
use crate::error::{Error, Kind, Result};

/// Called about once a second while Poe is silent; an error ends the wait.
pub type Watch = Rc<dyn Fn() -> Result<()>>;

/// How often a waiting thread looks up.
pub const TICK: Duration = Duration::from_millis(500);

struct Waiting {
    watch: Watch,
    limit: Duration,
    failed: Option<Error>,
}

thread_local! {
    /// What this thread does while it waits: ureq gives its links no other way to hear from the caller.
    static WAITING: RefCell<Option<Waiting>> = const { RefCell::new(None) };
}

/// Runs `call`, with `watch` called while Poe is silent. A silence longer than `limit` ends it with a timeout.
/// The second value is why the wait was ended, if it was: it counts for more than what `call` says.
pub fn watched<T>(watch: &Watch, limit: Duration, call: impl FnOnce() -> T) -> (T, Option<Error>) {
    let waiting = Waiting { watch: Rc::clone(watch), limit, failed: None };
    let outer = WAITING.with(|cell| cell.replace(Some(waiting)));
    let result = call();
    let waiting = WAITING.with(|cell| cell.replace(outer));
    (result, waiting.and_then(|waiting| waiting.failed))
}

/// One look up after a silence of `silent`; false when the wait must end.
fn look_up(silent: Duration) -> bool {
    let Some((watch, limit)) =
        WAITING.with(|cell| cell.borrow().as_ref().map(|w| (Rc::clone(&w.watch), w.limit)))
    else {
        return true;
    };
    let outcome = watch().and_then(|()| match silent >= limit {
        false => Ok(()),
        true => Err(Error::new(
            Kind::UpstreamTimeout,
            format!("Poe was silent for {} seconds", limit.as_secs_f64().round()),
        )),
    });
    match outcome {
        Ok(()) => true,
        Err(error) => {
            WAITING.with(|cell| {
                if let Some(waiting) = cell.borrow_mut().as_mut() {
                    waiting.failed = Some(error);
                }
            });
            false
        }
    }
}

/// How long the next step may take: never past the limit of silence.
fn step(silent: Duration) -> Duration {
    let left = WAITING.with(|cell| cell.borrow().as_ref().map(|w| w.limit.saturating_sub(silent)));
    left.unwrap_or(TICK).clamp(Duration::from_millis(1), TICK)
}

#[derive(Debug)]
struct TickingConnector;

impl<In: Transport> Connector<In> for TickingConnector {
    type Out = Ticking<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Ticking<In>>, ureq::Error> {
        Ok(chained.map(Ticking))
    }
}

#[derive(Debug)]
struct Ticking<T>(T);

impl<T: Transport> Transport for Ticking<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, mut timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let start = Instant::now();
        let total = timeout.after;
        loop {
            timeout.per_read = Some(step(start.elapsed()).into());
            match self.0.await_input(timeout) {
                Err(ureq::Error::Timeout(Timeout::PerRead)) => {}
                outcome => return outcome,
            }
            let silent = start.elapsed();
            if !look_up(silent) {
                return Err(ureq::Error::Io(io::ErrorKind::Interrupted.into()));
            }
            if !total.is_not_happening() {
                if silent >= *total {
                    return Err(ureq::Error::Timeout(timeout.reason));
                }
                timeout.after = (*total - silent).into();
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
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
        .input_buffer_size(16 << 10)
        .output_buffer_size(16 << 10)
        .max_idle_connections(64)
        .max_idle_connections_per_host(64)
        .user_agent(concat!("poe2openai/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .tls_config(TlsConfig::builder().root_certs(roots).build());
    let config: Config = match settings.is_local {
        true => config.proxy(None).build(),
        false => config.build(),
    };
    let chain =
        ().chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(TickingConnector)
            .chain(RustlsConnector::default());
    Ok(Agent::with_parts(config, chain, DefaultResolver::default()))
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
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            Error::new(Kind::UpstreamTimeout, "Poe could not be reached in time")
        }
        ureq::Error::Timeout(_) => Error::new(Kind::UpstreamTimeout, "Poe did not answer in time"),
        ureq::Error::HostNotFound => {
            Error::new(Kind::Upstream, "Poe's host name could not be resolved").transient()
        }
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            Error::new(Kind::Upstream, format!("no secure connection to Poe: {error}"))
        }
        other => Error::new(Kind::Upstream, format!("the connection to Poe failed: {other}")).transient(),
    }
}
