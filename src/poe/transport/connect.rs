//! Makes connections to Poe, directly or through a proxy. ureq's own connectors cannot be cancelled, and read
//! the proxy variables differently from curl and the SDKs.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, Transport,
    TransportAdapter,
};
use ureq::{Error, Timeout};

use super::dial::dial;
use super::names::{Addresses, Names};
use super::via::{self, AbsoluteForm, At, ProxyFault, Target};
use super::{Ended, Line, has_ended, limit};
use crate::proxy::{Protocol, Proxy, Route, Rules};

/// The most addresses of Poe that a SOCKS proxy is asked for.
const MAX_TARGETS: usize = 4;

/// ureq resolves names for each request; the connector does it for each connection.
#[derive(Debug)]
pub(super) struct NoLookUp;

impl Resolver for NoLookUp {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// Makes all connections.
#[derive(Debug)]
pub(super) struct PoeConnector {
    rules: Rules,
    names: Names,
    /// For proxies that are spoken to over TLS.
    tls: RustlsConnector,
}

/// Where a URL leads.
struct Place<'u> {
    /// Without brackets.
    host: &'u str,
    port: u16,
    /// `host:port`, an IPv6 address in brackets.
    authority: String,
    is_https: bool,
}

impl<'u> Place<'u> {
    fn of(uri: &'u Uri) -> Result<Place<'u>, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Place { host: bare, port, authority: format!("{host}:{port}"), is_https })
    }
}

/// Until when the connection has to stand.
#[derive(Clone, Copy)]
struct Deadline {
    end: Option<Instant>,
    timeout: NextTimeout,
}

impl Deadline {
    fn of(details: &ConnectionDetails<'_>) -> Deadline {
        let end = limit(details.timeout).and_then(|left| Instant::now().checked_add(left));
        Deadline { end, timeout: details.timeout }
    }

    fn left(&self) -> Option<Duration> {
        self.end.map(|end| end.saturating_duration_since(Instant::now()))
    }

    fn timeout(&self) -> NextTimeout {
        let after = self.left().map_or(self.timeout.after, Into::into);
        NextTimeout { after, ..self.timeout }
    }
}

impl Connector<()> for PoeConnector {
    type Out = Link;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Link>, Error> {
        let place = Place::of(details.uri)?;
        let scheme = if place.is_https { "https" } else { "http" };
        let deadline = Deadline::of(details);
        let link = match self.rules.route(scheme, place.host, place.port) {
            Route::Direct(_) => self.direct(details, &place, deadline)?,
            Route::Proxy(proxy) if proxy.protocol.is_socks() => {
                self.through_socks(details, &place, &proxy, deadline)?
            }
            Route::Proxy(proxy) => self.through_http(details, &place, proxy, deadline)?,
        };
        Ok(Some(link))
    }
}

impl PoeConnector {
    pub(super) fn new(rules: Rules, names: Names) -> PoeConnector {
        PoeConnector { rules, names, tls: RustlsConnector::default() }
    }

    fn direct(
        &self,
        details: &ConnectionDetails<'_>,
        to: &Place<'_>,
        deadline: Deadline,
    ) -> Result<Link, Error> {
        let addresses = self.names.find(to.host, deadline.left()).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Error::Timeout(Timeout::Resolve),
            _ if Ended::is(&error) => error.into(),
            _ => {
                log::debug!("{}: {error}", to.host);
                Error::HostNotFound
            }
        })?;
        let line = self.dial(details, to.host, &addresses, to.port, deadline);
        line.map(|line| Link::plain(Carrier::Line(line))).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Error::Timeout(Timeout::Connect),
            _ => error.into(),
        })
    }

    fn dial(
        &self,
        details: &ConnectionDetails<'_>,
        host: &str,
        addresses: &[IpAddr],
        port: u16,
        deadline: Deadline,
    ) -> io::Result<Line> {
        let socket = dial(addresses, port, deadline.left()).inspect_err(|error| {
            if !Ended::is(error) {
                self.names.distrust(host);
            }
        })?;
        let config = details.config;
        Line::new(socket, LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()))
    }

    /// A connection to the proxy itself.
    fn reach(
        &self,
        details: &ConnectionDetails<'_>,
        proxy: &Proxy,
        deadline: Deadline,
    ) -> Result<Carrier, Error> {
        let unreachable = |what: &str, error: &io::Error| match error.kind() {
            io::ErrorKind::TimedOut => ProxyFault::late(proxy),
            _ => ProxyFault::passing(proxy, format_args!("{what}: {error}")),
        };
        let fault = |what: &'static str| {
            move |error: io::Error| {
                if Ended::is(&error) { error.into() } else { Error::from(unreachable(what, &error)) }
            }
        };
        let addresses = self
            .names
            .find(&proxy.host, deadline.left())
            .map_err(fault("cannot be reached, its name could not be resolved"))?;
        let line = self
            .dial(details, &proxy.host, &addresses, proxy.port, deadline)
            .map_err(fault("cannot be reached"))?;
        if proxy.protocol != Protocol::Https {
            return Ok(Carrier::Line(line));
        }
        let uri = format!("https://{}:{}/", proxy.bracketed_host(), proxy.port);
        let uri: Uri = uri.parse().map_err(|_| Error::InvalidProxyUrl)?;
        let to_proxy = ConnectionDetails {
            uri: &uri,
            addrs: details.addrs.clone(),
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let broken = |error: Error| Error::from(ProxyFault::broken(proxy, &error.into_io()));
        let tls = self.tls.connect(&to_proxy, Some(line)).map_err(broken)?;
        Ok(Carrier::Tls(tls.ok_or(Error::ConnectionFailed)?.boxed()))
    }

    fn through_http(
        &self,
        details: &ConnectionDetails<'_>,
        to: &Place<'_>,
        proxy: Arc<Proxy>,
        deadline: Deadline,
    ) -> Result<Link, Error> {
        let carrier = self.reach(details, &proxy, deadline)?;
        if !to.is_https {
            let origin = format!("http://{}", to.authority);
            return Ok(Link { carrier, form: Some(AbsoluteForm { origin, proxy, at: At::Request }) });
        }
        let mut wire = TransportAdapter::new(carrier, details.current_time.clone());
        wire.set_timeout(deadline.timeout());
        via::connect(&mut wire, &proxy, &to.authority).map_err(unless_ended)?;
        Ok(Link::plain(wire.into_inner()))
    }

    fn through_socks(
        &self,
        details: &ConnectionDetails<'_>,
        to: &Place<'_>,
        proxy: &Proxy,
        deadline: Deadline,
    ) -> Result<Link, Error> {
        let addresses = self.addresses_for(to, proxy, deadline)?;
        let targets: Vec<_> = match &addresses {
            Some(found) => found.iter().map(|address| Target::Address(*address)).take(MAX_TARGETS).collect(),
            None => vec![Target::Name(to.host)],
        };
        let mut last = Error::HostNotFound;
        for target in targets {
            let carrier = self.reach(details, proxy, deadline)?;
            let mut wire = TransportAdapter::new(carrier, details.current_time.clone());
            wire.set_timeout(deadline.timeout());
            match via::socks(&mut wire, proxy, target, to.port) {
                Ok(()) => return Ok(Link::plain(wire.into_inner())),
                Err(fault) if has_ended() || !fault.is_transient => return Err(unless_ended(fault)),
                // the next address may be of the family that the proxy can reach
                Err(fault) => last = fault.into(),
            }
        }
        Err(last)
    }

    /// The addresses that a SOCKS proxy is sent, or nothing if it is sent the name. A name that is known to the proxy
    /// alone is left to it by every protocol that can carry names.
    fn addresses_for(
        &self,
        to: &Place<'_>,
        proxy: &Proxy,
        deadline: Deadline,
    ) -> Result<Option<Addresses>, Error> {
        let is_address = to.host.parse::<IpAddr>().is_ok();
        let is_its_own = matches!(proxy.protocol, Protocol::Socks5h | Protocol::Socks4a);
        if is_its_own && !is_address {
            return Ok(None);
        }
        match self.names.find(to.host, deadline.left()) {
            Err(error) if Ended::is(&error) => Err(error.into()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Error::Timeout(Timeout::Resolve)),
            Err(_) if proxy.protocol == Protocol::Socks5 => Ok(None),
            Err(_) => Err(Error::HostNotFound),
            Ok(found) if matches!(proxy.protocol, Protocol::Socks4 | Protocol::Socks4a) => {
                let only_v4: Vec<_> = found.iter().copied().filter(IpAddr::is_ipv4).collect();
                Ok(Some(if only_v4.is_empty() { found } else { only_v4.into() }))
            }
            Ok(found) => Ok(Some(found)),
        }
    }
}

fn unless_ended(fault: ProxyFault) -> Error {
    if has_ended() { Ended::error().into() } else { fault.into() }
}

/// One connection, to Poe or to a proxy. What it carries is not secured by it, even where it is TLS itself: that TLS ends
/// at the proxy.
#[derive(Debug)]
pub(super) struct Link {
    carrier: Carrier,
    form: Option<AbsoluteForm>,
}

#[derive(Debug)]
enum Carrier {
    Line(Line),
    Tls(Box<dyn Transport>),
}

impl Link {
    fn plain(carrier: Carrier) -> Link {
        Link { carrier, form: None }
    }
}

impl Transport for Link {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.carrier.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        match &mut self.form {
            Some(form) => form.transmit(&mut self.carrier, amount, timeout),
            None => self.carrier.transmit_output(amount, timeout),
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let has_come = self.carrier.await_input(timeout)?;
        if let Some(form) = &mut self.form {
            form.examine(self.carrier.buffers().input())?;
        }
        Ok(has_come)
    }

    fn is_open(&mut self) -> bool {
        self.carrier.is_open()
    }
}

impl Carrier {
    fn inner(&mut self) -> &mut dyn Transport {
        match self {
            Carrier::Line(line) => line,
            Carrier::Tls(tls) => tls,
        }
    }
}

impl Transport for Carrier {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner().buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.inner().transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner().await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner().is_open()
    }
}
