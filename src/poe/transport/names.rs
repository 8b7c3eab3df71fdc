//! Resolver of host names, with a short cache and its own threads.
//!
//! The system's resolver blocks, for many seconds if a name server is gone, and a blocked thread cannot be cancelled.
//! So each name has at most one look-up, which all who need it wait for, and there are few at a time.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::{Ended, has_ended, resolve_name, step};

/// How long addresses are used without asking again.
const FRESH: Duration = Duration::from_secs(30);
/// How long they are used while the resolver fails.
const STALE: Duration = Duration::from_secs(3600);
/// While it fails, it is asked again after this.
const FAILING: Duration = Duration::from_secs(5);
/// Who has old addresses waits only this long for new ones.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most look-ups at a time.
const MAX_THREADS: usize = 4;
/// The most names that are kept.
const MAX_NAMES: usize = 256;

/// Addresses of one name, in the resolver's order.
pub(super) type Addresses = Arc<[IpAddr]>;

type Resolve = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Cache of addresses by host name.
pub(super) struct Names {
    shared: Arc<Shared>,
}

struct Shared {
    resolve: Box<Resolve>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    names: HashMap<String, Name>,
    running: usize,
}

#[derive(Default)]
struct Name {
    found: Option<Found>,
    is_running: bool,
    /// How many look-ups have ended.
    ended: u64,
    failure: Option<String>,
}

struct Found {
    addresses: Addresses,
    at: Instant,
    fresh_until: Instant,
}

impl Name {
    fn fresh(&self) -> Option<Addresses> {
        self.found.as_ref().filter(|it| Instant::now() < it.fresh_until).map(|it| Arc::clone(&it.addresses))
    }

    /// The resolver fails or hangs: not every request has to wait for that.
    fn keep_for_now(&mut self) {
        if let Some(found) = &mut self.found {
            found.fresh_until = Instant::now() + FAILING;
        }
    }

    fn stale(&self) -> Option<Addresses> {
        self.found.as_ref().filter(|it| it.at.elapsed() < STALE).map(|it| Arc::clone(&it.addresses))
    }
}

impl Names {
    /// Names as the system resolves them.
    pub(super) fn of_system() -> Names {
        let resolve = |host: &str| (host, 0).to_socket_addrs().map(|all| all.map(|it| it.ip()).collect());
        Names::resolved_by(Box::new(resolve))
    }

    pub(super) fn resolved_by(resolve: Box<Resolve>) -> Names {
        Names { shared: Arc::new(Shared { resolve, state: Mutex::default(), changed: Condvar::new() }) }
    }

    /// The addresses of `host`. The wait is cancelled like any other of this thread; `TimedOut` after `limit`.
    pub(super) fn find(&self, host: &str, limit: Option<Duration>) -> io::Result<Addresses> {
        if let Ok(address) = host.parse() {
            return Ok(Arc::new([address]));
        }
        let (start, mut state) = (Instant::now(), self.shared.lock());
        let ended_before = state.names.get(host).map_or(0, |name| name.ended);
        loop {
            let name = state.names.entry(host.to_owned()).or_default();
            if let Some(addresses) = name.fresh() {
                return Ok(addresses);
            }
            if let Some(failure) = name.failure.as_ref().filter(|_| name.ended != ended_before) {
                return Err(io::Error::other(failure.clone()));
            }
            match name.stale() {
                Some(addresses) if start.elapsed() >= PATIENCE => {
                    name.keep_for_now();
                    return Ok(addresses);
                }
                _ if limit.is_some_and(|limit| start.elapsed() >= limit) => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                _ => {}
            }
            if !name.is_running && state.running < MAX_THREADS {
                self.start(&mut state, host)?;
            }
            let left = limit.map_or(Duration::MAX, |limit| limit.saturating_sub(start.elapsed()));
            let wait = step(start.elapsed()).min(left);
            state = self.shared.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            drop(state);
            resolve_name(start.elapsed());
            if has_ended() {
                return Err(Ended::error());
            }
            state = self.shared.lock();
        }
    }

    /// Has `host` looked up again by the next who needs it: none of its addresses could be reached.
    pub(super) fn distrust(&self, host: &str) {
        if let Some(found) = self.shared.lock().names.get_mut(host).and_then(|name| name.found.as_mut()) {
            found.fresh_until = Instant::now();
        }
    }

    fn start(&self, state: &mut State, host: &str) -> io::Result<()> {
        log::debug!("looking up the name {host}");
        let (shared, name) = (Arc::clone(&self.shared), host.to_owned());
        Builder::new().name("resolver".into()).spawn(move || shared.resolve_name(&name))?;
        state.running += 1;
        if let Some(name) = state.names.get_mut(host) {
            name.is_running = true;
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resolve_name(&self, host: &str) {
        let outcome = (self.resolve)(host).and_then(|addresses| match addresses.is_empty() {
            true => Err(io::Error::other("it has no address")),
            false => Ok(addresses),
        });
        let (now, mut state) = (Instant::now(), self.lock());
        state.running -= 1;
        if state.names.len() > MAX_NAMES {
            state.names.retain(|name, it| name == host || it.is_running || it.fresh().is_some());
        }
        let name = state.names.entry(host.to_owned()).or_default();
        name.is_running = false;
        name.ended += 1;
        match outcome {
            Ok(addresses) => {
                let addresses = addresses.into();
                name.found = Some(Found { addresses, at: now, fresh_until: now + FRESH });
                name.failure = None;
            }
            Err(error) => {
                name.failure = Some(error.to_string());
                if let Some(found) = name.found.as_mut().filter(|it| it.at.elapsed() < STALE) {
                    log::warn!(
                        "the name {host} could not be looked up, its last addresses are used: {error}"
                    );
                    found.fresh_until = now + FAILING;
                }
            }
        }
        drop(state);
        self.changed.notify_all();
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CancelCheck, cancellable};
    use super::*;
    use crate::error::{Error, Kind};

    use std::rc::Rc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

    /// Names that count look-ups, the first of which give `outcomes` and the others nothing.
    fn counted(outcomes: Vec<io::Result<Vec<IpAddr>>>) -> (Names, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let (counter, outcomes) = (Arc::clone(&count), Mutex::new(outcomes.into_iter()));
        let resolve = move |_: &str| {
            counter.fetch_add(1, Ordering::SeqCst);
            outcomes.lock().unwrap().next().unwrap_or_else(|| Err(io::Error::other("gone")))
        };
        (Names::resolved_by(Box::new(resolve)), count)
    }

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn an_address_needs_no_look_up() {
        let (names, count) = counted(Vec::new());
        assert_eq!(*names.find("10.0.0.1", LIMIT).unwrap(), [address(1)]);
        assert_eq!(*names.find("::1", LIMIT).unwrap(), ["::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_name_is_looked_up_once_and_again_if_its_addresses_fail() {
        let (names, count) = counted(vec![Ok(vec![address(1)]), Ok(vec![address(2)])]);
        for _ in 0..20 {
            assert_eq!(*names.find("poe", LIMIT).unwrap(), [address(1)]);
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
        names.distrust("poe");
        assert_eq!(*names.find("poe", LIMIT).unwrap(), [address(2)]);
        names.distrust("poe");
        // the resolver fails from here on: what is known stays in use, and it is not asked each time
        for _ in 0..20 {
            assert_eq!(*names.find("poe", LIMIT).unwrap(), [address(2)]);
        }
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn an_unknown_name_fails_and_is_tried_again() {
        let (names, count) =
            counted(vec![Err(io::Error::other("no such host")), Ok(Vec::new()), Ok(vec![address(1)])]);
        assert_eq!(names.find("poe", LIMIT).unwrap_err().to_string(), "no such host");
        assert_eq!(names.find("poe", LIMIT).unwrap_err().to_string(), "it has no address");
        assert_eq!(*names.find("poe", LIMIT).unwrap(), [address(1)]);
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn old_addresses_serve_while_the_resolver_hangs() {
        let (release, held) = mpsc::channel::<()>();
        let (count, held) = (Arc::new(AtomicUsize::new(0)), Mutex::new(held));
        let counter = Arc::clone(&count);
        let resolve = move |_: &str| {
            if counter.fetch_add(1, Ordering::SeqCst) > 0 {
                let _ = held.lock().unwrap().recv();
            }
            Ok(vec![address(1)])
        };
        let names = Names::resolved_by(Box::new(resolve));
        assert_eq!(*names.find("poe", LIMIT).unwrap(), [address(1)]);
        names.distrust("poe");
        for _ in 0..20 {
            assert_eq!(*names.find("poe", LIMIT).unwrap(), [address(1)]);
        }
        assert_eq!(count.load(Ordering::SeqCst), 2);
        drop(release);
    }

    #[test]
    fn look_ups_that_hang_are_joined_and_bounded_and_can_be_left() {
        let (release, held) = mpsc::channel::<()>();
        let (count, held) = (Arc::new(AtomicUsize::new(0)), Mutex::new(held));
        let counter = Arc::clone(&count);
        let resolve = move |_: &str| {
            counter.fetch_add(1, Ordering::SeqCst);
            // hangs until the test lets go
            let _ = held.lock().unwrap().recv();
            Ok(vec![address(1)])
        };
        let names = Arc::new(Names::resolved_by(Box::new(resolve)));
        // a cancelled caller does not wait for the resolver
        let cancel: CancelCheck = Rc::new(|| Err(Error::new(Kind::ClientGone, "left")));
        for turn in 0..40 {
            let host = format!("host-{}", turn % 10);
            let (found, ended) = cancellable(&cancel, Duration::from_secs(60), || names.find(&host, LIMIT));
            assert!(Ended::is(&found.unwrap_err()));
            assert_eq!(ended.unwrap().kind, Kind::ClientGone);
            if turn == 4 {
                break; // each wait takes half a second
            }
        }
        let all: Vec<_> = (0..20)
            .map(|turn| {
                let names = Arc::clone(&names);
                thread::spawn(move || {
                    names.find(&format!("host-{}", turn % 5), LIMIT).map(|found| found.len())
                })
            })
            .collect();
        assert!(count.load(Ordering::SeqCst) <= MAX_THREADS);
        drop(release);
        for one in all {
            assert_eq!(one.join().unwrap().unwrap(), 1);
        }
        assert_eq!(count.load(Ordering::SeqCst), 5, "each name is looked up once");
    }
}
