//! Connections to Redis: a bounded pool, time limits, and a breaker.
//!
//! Connections are made by a thread of their own, because resolving a name can take longer than a request may wait.
//! While the breaker is open no request tries Redis; the thread tries it once a second.

use std::fmt::{self, Debug, Formatter};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use redis::{
    Client, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    RedisResult, ServerErrorKind, TlsCertificates,
};

use super::seal::token;
use crate::state::shared::{SharedStatus, SharedStore};

/// How many connections one process opens.
const MAX_CONNECTIONS: usize = 16;
/// How many operations in a row may fail before the breaker opens.
const MAX_FAILURES: u32 = 2;
/// How often Redis is tried while it is not usable.
const RETRY: Duration = Duration::from_secs(1);
/// How often a replica says that it lives, and for how long that holds.
const BEAT: Duration = Duration::from_secs(2);
const ALIVE: Duration = Duration::from_secs(15);
/// How long a start waits for the first connection.
const START: Duration = Duration::from_secs(1);

/// Where Redis is, and how to log in.
#[derive(Clone)]
pub struct Address {
    /// Where it listens.
    pub place: Place,
    /// The user, unless it is the default one.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The number of the database.
    pub database: u32,
    /// PEM text of the root certificates for TLS, in place of the system's.
    pub root_certificates: Option<Vec<u8>>,
}

/// Where Redis listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A host and a port.
    Tcp(String, u16),
    /// A host and a port, by TLS.
    Tls(String, u16),
    /// A socket on this machine.
    Unix(PathBuf),
}

/// The connection layer.
pub struct RedisLink {
    client: Client,
    /// The address without user and password.
    place: String,
    /// What all names in Redis begin with.
    prefix: String,
    /// The name of this replica: that of its machine, and a random one.
    replica: String,
    timeout: Duration,
    pool: Mutex<Pool>,
    /// A connection has come, or the breaker has opened.
    arrived: Condvar,
    /// A connection is wanted, or the link is dropped.
    wanted: Condvar,
    operations: AtomicU64,
    failures: AtomicU64,
}

struct Pool {
    idle: Vec<Connection>,
    /// Connections that are open, idle or not.
    open: usize,
    /// Requests that wait for one.
    waiting: usize,
    /// Operations that failed since the last that did not.
    failures: u32,
    health: Health,
    /// Counts the times that all connections were given up.
    generation: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Health {
    /// Not tried yet.
    New,
    Up,
    /// Not usable, and why.
    Down(String),
}

/// A connection in use.
struct Lent {
    connection: Connection,
    generation: u64,
    /// It has been idle, so the other end may have closed it.
    was_idle: bool,
}

impl RedisLink {
    /// Connects to `address`, and goes on trying when that fails. An error names what the address lacks.
    pub fn open(address: Address, prefix: String, timeout: Duration) -> Result<Arc<RedisLink>, String> {
        let (client, place) = client(address)?;
        let link = Arc::new(RedisLink {
            client,
            place,
            prefix,
            replica: format!("{}-{}", host_name(), &token()[..8]),
            timeout,
            pool: Mutex::new(Pool {
                idle: Vec::new(),
                open: 0,
                waiting: 0,
                failures: 0,
                health: Health::New,
                generation: 0,
            }),
            arrived: Condvar::new(),
            wanted: Condvar::new(),
            operations: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&link);
        thread::spawn(move || keep_connected(&weak));
        let is_new = |pool: &mut Pool| pool.health == Health::New;
        let pool = link.arrived.wait_timeout_while(link.lock(), START, is_new);
        drop(pool.unwrap_or_else(PoisonError::into_inner));
        Ok(link)
    }

    /// The full name of an entry.
    pub(super) fn name(&self, rest: &str) -> String {
        format!("{}:{rest}", self.prefix)
    }

    /// The name of this replica.
    pub(super) fn replica(&self) -> &str {
        &self.replica
    }

    /// The name of the entry that is there as long as `replica` lives.
    pub(super) fn alive(&self, replica: &str) -> String {
        self.name(&format!("alive:{replica}"))
    }

    /// Whether Redis is usable now.
    pub(super) fn is_up(&self) -> bool {
        self.lock().health == Health::Up
    }

    /// The result of `work` with a connection; nothing if Redis is not usable. `work` may be called twice.
    pub(super) fn run<T>(&self, work: impl Fn(&mut Connection) -> RedisResult<T>) -> Option<T> {
        let done = self.attempt(&work);
        let counter = if done.is_some() { &self.operations } else { &self.failures };
        counter.fetch_add(1, Ordering::Relaxed);
        done
    }

    fn attempt<T>(&self, work: &dyn Fn(&mut Connection) -> RedisResult<T>) -> Option<T> {
        loop {
            let mut lent = self.lend()?;
            let error = match work(&mut lent.connection) {
                Ok(done) => {
                    self.give_back(lent);
                    return Some(done);
                }
                Err(error) => error,
            };
            let may_be_stale = lent.was_idle && is_lost(&error);
            self.drop_connection(&lent, may_be_stale);
            if !may_be_stale {
                self.note_failure(&error);
                return None;
            }
        }
    }

    /// A connection that is idle or made within the time limit.
    fn lend(&self) -> Option<Lent> {
        let until = Instant::now() + self.timeout;
        let mut pool = self.lock();
        loop {
            if pool.health != Health::Up {
                return None;
            }
            if let Some(connection) = pool.idle.pop() {
                return Some(Lent { connection, generation: pool.generation, was_idle: true });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.count_failure(&mut pool, "no connection within the time limit");
                return None;
            }
            pool.waiting += 1;
            self.wanted.notify_all();
            pool = self.arrived.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner).0;
            pool.waiting -= 1;
        }
    }

    fn give_back(&self, lent: Lent) {
        let mut pool = self.lock();
        if lent.generation != pool.generation {
            return;
        }
        pool.failures = 0;
        pool.idle.push(lent.connection);
        if pool.waiting > 0 {
            self.arrived.notify_one();
        }
    }

    /// Gives one connection up, or all of them.
    fn drop_connection(&self, lent: &Lent, all: bool) {
        let mut pool = self.lock();
        if lent.generation != pool.generation {
            return;
        }
        match all {
            true => pool.give_up(),
            false => pool.open -= 1,
        }
    }

    fn note_failure(&self, error: &RedisError) {
        let reason = describe(error);
        let mut pool = self.lock();
        match error.kind() {
            // what Redis says of itself holds for the next operation too
            ErrorKind::Server(_) | ErrorKind::AuthenticationFailed | ErrorKind::Extension
                if is_unusable(error) =>
            {
                self.fail(&mut pool, reason);
            }
            ErrorKind::Io => self.count_failure(&mut pool, &reason),
            _ => log::debug!("Redis at {}: {reason}", self.place),
        }
    }

    fn count_failure(&self, pool: &mut Pool, reason: &str) {
        pool.failures += 1;
        if pool.failures >= MAX_FAILURES {
            self.fail(pool, reason.to_owned());
        }
    }

    /// Opens the breaker.
    fn fail(&self, pool: &mut Pool, reason: String) {
        pool.give_up();
        if matches!(pool.health, Health::Up | Health::New) {
            log::warn!(
                "Redis at {} is not usable: {reason}; state is kept in memory and not shared until it is",
                self.place
            );
        }
        pool.health = Health::Down(reason);
        self.arrived.notify_all();
        self.wanted.notify_all();
    }

    /// Makes a connection if one is wanted.
    fn connect(&self) {
        let (generation, was_up) = {
            let pool = self.lock();
            (pool.generation, pool.health == Health::Up)
        };
        let made = self.make(was_up);
        let mut pool = self.lock();
        match made {
            Ok(connection) if generation == pool.generation => {
                if let Health::Down(_) = pool.health {
                    log::warn!("Redis at {} is usable again: state is shared", self.place);
                }
                if pool.health != Health::Up {
                    pool.failures = 0;
                }
                pool.health = Health::Up;
                pool.open += 1;
                pool.idle.push(connection);
                self.arrived.notify_all();
            }
            Ok(_) => {}
            Err(error) => self.fail(&mut pool, describe(&error)),
        }
    }

    /// Says that this replica lives, if a connection is idle: this thread is the one that makes them.
    fn beat(&self) {
        let mut pool = self.lock();
        let Some(connection) = pool.idle.pop() else { return };
        let mut lent = Lent { connection, generation: pool.generation, was_idle: true };
        drop(pool);
        let alive = self.alive(&self.replica);
        let mut set = redis::cmd("SET");
        set.arg(alive).arg(1).arg("PX").arg(ALIVE.as_millis() as u64);
        match set.exec(&mut lent.connection) {
            Ok(()) => self.give_back(lent),
            Err(error) => {
                self.drop_connection(&lent, is_lost(&error));
                if !is_lost(&error) {
                    self.note_failure(&error);
                }
            }
        }
    }

    fn wants_connection(&self, pool: &Pool) -> bool {
        match pool.health {
            Health::New | Health::Down(_) => true,
            Health::Up => pool.waiting > pool.idle.len() && pool.open < MAX_CONNECTIONS,
        }
    }

    fn make(&self, was_up: bool) -> RedisResult<Connection> {
        let mut connection = self.client.get_connection_with_timeout(self.timeout)?;
        connection.set_read_timeout(Some(self.timeout))?;
        connection.set_write_timeout(Some(self.timeout))?;
        if !was_up {
            // a replica and a full Redis answer reads only
            let probe = self.name("probe");
            redis::cmd("SET").arg(probe).arg(1).arg("PX").arg(1000).exec(&mut connection)?;
        }
        Ok(connection)
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for RedisLink {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLink").field("place", &self.place).finish_non_exhaustive()
    }
}

impl SharedStore for RedisLink {
    fn status(&self) -> SharedStatus {
        let pool = self.lock();
        SharedStatus {
            place: self.place.clone(),
            replica: self.replica.clone(),
            fault: match &pool.health {
                Health::Up => None,
                Health::New => Some("not connected yet".to_owned()),
                Health::Down(reason) => Some(reason.clone()),
            },
            connections: pool.open,
            operations: self.operations.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}

impl Pool {
    /// Drops all connections: those that are in use are dropped when they come back.
    fn give_up(&mut self) {
        self.idle.clear();
        self.open = 0;
        self.generation += 1;
    }
}

/// Makes connections for as long as there is a link.
fn keep_connected(link: &Weak<RedisLink>) {
    let mut beat = None::<Instant>;
    while let Some(link) = link.upgrade() {
        if link.wants_connection(&link.lock()) {
            link.connect();
        }
        if beat.is_none_or(|beat| beat.elapsed() >= BEAT) && link.is_up() {
            link.beat();
            beat = Some(Instant::now());
        }
        let pool = link.lock();
        match pool.health {
            Health::Up if link.wants_connection(&pool) => {}
            Health::Up => drop(link.wanted.wait_timeout(pool, RETRY)),
            Health::New | Health::Down(_) => {
                drop(pool);
                thread::sleep(RETRY);
            }
        }
    }
}

/// The name of this machine or container, as far as it may stand in a name.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    if name.is_empty() { "replica".to_owned() } else { name }
}

fn client(address: Address) -> Result<(Client, String), String> {
    let (place, shown) = match address.place {
        Place::Tcp(host, port) => {
            let shown = format!("{host}:{port}");
            (ConnectionAddr::Tcp(host, port), shown)
        }
        Place::Tls(host, port) => {
            let shown = format!("{host}:{port}");
            (ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }, shown)
        }
        Place::Unix(path) => {
            let shown = path.display().to_string();
            (ConnectionAddr::Unix(path), shown)
        }
    };
    let mut login = RedisConnectionInfo::default().set_db(address.database.into());
    if let Some(user) = address.user {
        login = login.set_username(user);
    }
    if let Some(password) = address.password {
        login = login.set_password(password);
    }
    let by_tls = matches!(place, ConnectionAddr::TcpTls { .. });
    let info = place.into_connection_info().map(|info| info.set_redis_settings(login));
    let info = info.map_err(|error| describe(&error))?;
    let client = match address.root_certificates.filter(|_| by_tls) {
        Some(roots) => {
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(roots) };
            Client::build_with_tls(info, certificates)
        }
        None => Client::open(info),
    };
    Ok((client.map_err(|error| describe(&error))?, shown))
}

/// Whether the connection is gone, rather than slow.
fn is_lost(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Io && !error.is_timeout()
}

/// Whether Redis said that it cannot do its work now, rather than that it did not understand.
fn is_unusable(error: &RedisError) -> bool {
    use ServerErrorKind::*;
    match error.kind() {
        ErrorKind::Server(kind) => {
            matches!(
                kind,
                BusyLoading | ReadOnly | MasterDown | ClusterDown | NoPerm | Moved | Ask | TryAgain
            ) || error.code().is_some_and(is_unusable_code)
                || error.detail().is_some_and(|detail| detail.contains("maxmemory"))
        }
        ErrorKind::AuthenticationFailed => true,
        _ => error.code().is_some_and(is_unusable_code),
    }
}

fn is_unusable_code(code: &str) -> bool {
    ["OOM", "MISCONF", "NOAUTH", "WRONGPASS", "NOREPLICAS", "READONLY", "BUSY", "MASTERDOWN"].contains(&code)
}

/// What went wrong, without what was sent.
fn describe(error: &RedisError) -> String {
    match error.is_timeout() {
        true => "timed out".to_owned(),
        false => error.to_string().chars().filter(|c| !c.is_control()).take(200).collect(),
    }
}
