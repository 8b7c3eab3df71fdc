//! Every flag and environment variable, read once into `Settings`; an invalid value is an error that names it.
//!
//! One table (`settings!` below) makes the fields, the parser, help, completions, `check`'s output and the documentation's table.

mod guide;
mod keys;
mod kinds;
mod line;
mod redis_url;
mod values;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use crate::config::client_keys;
use crate::config::models::Route;
use crate::proxy;
pub use guide::{completions, help, help_settings, man, markdown};
pub use keys::{KeyAction, KeyCommand};
use kinds::*;
use line::{Action, Flags, Line};
use redis_url::{Prefix, RedisAddress};

pub use redis_url::{RedisPlace, RedisUrl};
use values::MASK;
pub use values::{Host, LogFormat, Secret};

/// A default as the documentation of its field shows it.
macro_rules! shown_default {
    ("") => {
        "unset"
    };
    ($default:tt) => {
        concat!("`", $default, "`")
    };
}

/// One row for each setting: variable, field, kind, default (empty: unset), meaning.
macro_rules! settings {
    ($($name:literal $field:ident: $type:ty as $kind:ty = $default:tt, $meaning:literal;)*) => {
        /// Everything that can be set from outside. Where a value comes from: flag, else environment, else default.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $(
                #[doc = concat!("`", $name, "`, default ", shown_default!($default), ": ", $meaning, ".")]
                pub $field: $type,
            )*
            /// The proxies in force, by `POE_PROXY` and the proxy variables of the environment.
            pub proxies: proxy::Rules,
            sources: BTreeMap<&'static str, Source>,
        }

        /// Every setting, in the order in which people read about them.
        pub const TABLE: &[Setting] = &[$(Setting {
            name: $name,
            default: $default,
            meaning: $meaning,
            shape: <$kind as Kind>::SHAPE,
            choices: <$kind as Kind>::CHOICES,
        }),*];

        impl Settings {
            fn build(given: &BTreeMap<&'static str, Given>) -> Result<Settings, Refusal> {
                Ok(Settings {
                    $($field: read::<$kind>(given.get($name), $default)?,)*
                    proxies: proxy::Rules::default(),
                    sources: given.iter().map(|(name, given)| (*name, given.source)).collect(),
                })
            }

            /// The values as text, in the order of [`TABLE`], secrets masked.
            fn shown(&self) -> Vec<String> {
                vec![$(<$kind as Kind>::show(&self.$field)),*]
            }
        }
    };
}

settings! {
    "HOST" host: Host as HostName = "0.0.0.0", "address or host name to listen on; IPv6 with or without brackets";
    "PORT" port: u16 as Port = "8080", "port to listen on; 0 picks a free one and prints it";
    "CONFIG_DIR" config_dir: PathBuf as Directory = "./", "directory of models.yaml and saved state; created if it is missing";
    "LOG_LEVEL" log_level: LevelFilter as Level = "info", "how much is logged: error, warn, info, debug or trace";
    "LOG_FORMAT" log_format: LogFormat as Format = "text", "text, or json: one JSON object for each line";
    "METRICS" metrics: bool as Switch = "true", "answer /metrics, which shows names of models and counts, but no text and no key";
    "DEMO" demo: bool as Switch = "false", "answer from a small Poe inside this program: no account, no network";
    "POE_API_KEY" poe_api_key: Option<Secret> as ApiKey = "", "Poe key used for every client; needs PROXY_API_KEYS unless only this machine can connect";
    "PROXY_API_KEYS" proxy_api_keys: Vec<Secret> as ApiKeys = "", "keys that clients send instead of a Poe key, separated by commas";
    "EXPOSE_USAGE" expose_usage: bool as Switch = "false", "let clients that use POE_API_KEY see its account at Poe: balance, history of points, owner";
    "ADMIN_USERNAME" admin_username: String as Text = "admin", "user name for the admin page";
    "ADMIN_PASSWORD" admin_password: Secret as Password = "123456", "password for the admin page; unset, the built-in one works where HOST is a loopback address, and elsewhere one is generated and printed at the first start; an empty one closes the page";
    "POE_BASE_URL" poe_base_url: String as Url = "https://api.poe.com", "base URL of Poe's API";
    "POE_FILE_UPLOAD_URL" poe_file_upload_url: String as Url = "https://www.quora.com/poe_api/file_upload_3RD_PARTY_POST", "URL to which files are uploaded";
    "POE_ROUTE" poe_route: Route as RouteName = "bot", "how bots are called: bot (the bot protocol), native (Poe's endpoint for the client's dialect) or auto (native where there is one)";
    "POE_PROXY" poe_proxy: Option<proxy::Own> as ProxyUrl = "", "proxy for everything that goes to Poe, in place of HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY: http, https, socks5, socks5h, socks4a or socks4 URL; none uses no proxy";
    "MODELS_REFRESH_SECONDS" models_refresh: Duration as Seconds<0> = "600", "interval at which Poe's list of models is fetched again, in seconds; 0 fetches it only when there is none";
    "SSL_CERT_FILE" ssl_cert_file: Option<PathBuf> as File = "", "PEM file of trusted root certificates, in place of the built-in ones; system is this machine's own file";
    "SSL_CERT_DIR" ssl_cert_dir: Option<PathBuf> as File = "", "directory of PEM files with trusted root certificates, beside SSL_CERT_FILE and in place of the built-in ones";
    "RATE_LIMIT_MS" rate_limit: Duration as Millis<0> = "100", "least interval between requests to Poe, in milliseconds, for the whole server; 0 is off";
    "RATE_LIMIT_BURST" rate_limit_burst: u32 as Count<1, 1_000_000> = "1", "requests that may start at once after a pause";
    "RATE_LIMIT_MAX_WAIT_MS" rate_limit_max_wait: Duration as Millis<0> = "10000", "a request that would have to wait longer for its turn gets 429, in milliseconds";
    "URL_CACHE_TTL_SECONDS" url_cache_ttl: Duration as Seconds<0> = "259200", "how long the URL of an uploaded file is remembered, in seconds";
    "URL_CACHE_SIZE_MB" url_cache_size: u64 as Mebibytes = "100", "memory for remembered URLs, in MiB; 0 remembers none";
    "RESPONSES_TTL_SECONDS" responses_ttl: Duration as Seconds<0> = "86400", "how long a response can be retrieved or continued after its last use, in seconds";
    "RESPONSES_MAX_MB" responses_max: u64 as Mebibytes = "16", "memory for such responses, in MiB; 0 keeps none";
    "REDIS_URL" redis_url: Option<RedisUrl> as RedisAddress = "", "Redis or Valkey through which several replicas share their state, see docs/scaling.md: redis://, rediss:// (TLS) or unix:// URL; unset, state is in memory";
    "REDIS_PREFIX" redis_prefix: String as Prefix = "poe2openai", "what all names in Redis begin with; replicas with the same one share their state";
    "REDIS_TIMEOUT_MS" redis_timeout: Duration as Millis<1> = "250", "time for Redis to answer, in milliseconds; after two failures in a row state is kept in memory until Redis answers again";
    "USAGE_WRITE_SECONDS" usage_write: Duration as Seconds<1> = "60", "interval at which usage totals are written to usage.json, in seconds; they are also written at the end";
    "MAX_REQUEST_SIZE" max_request_size: u64 as Size = "0", "largest request body, in bytes; above it: 413. 0 takes a third of MEMORY_BUDGET_MB, what a request with files needs in memory, and at most 1 GiB";
    "MEMORY_BUDGET_MB" memory_budget: u64 as Mebibytes = "0", "memory for requests and for answers that are held whole, in MiB; when it is used up: 503. 0 takes three quarters of what the container's limit leaves beside 32 MiB for the program, or half of the machine's memory";
    "MAX_CONNECTIONS" max_connections: u32 as Count<1, 1_000_000> = "1024", "connections served at once; above it: 503";
    "MAX_CONNECTIONS_PER_CLIENT" max_connections_per_client: u32 as Count<0, 1_000_000> = "0", "connections from one client address (of IPv6 from one /64 network); above it: 429; 0 is off. Behind a reverse proxy all clients have the proxy's address: leave it off there";
    "HEAD_TIMEOUT_SECONDS" head_timeout: Duration as Seconds<1> = "15", "time for a client to send the whole head of a request, in seconds";
    "BODY_TIMEOUT_SECONDS" body_timeout: Duration as Seconds<1> = "30", "time before a request body has to arrive at 8 KiB/s or more, in seconds";
    "SEND_TIMEOUT_SECONDS" send_timeout: Duration as Seconds<1> = "60", "time before a client has to take its answer at 1 KiB/s or more, in seconds; a slower one is dropped";
    "IDLE_TIMEOUT_SECONDS" idle_timeout: Duration as Seconds<1> = "75", "time that a connection is kept open between requests, in seconds";
    "KEEP_ALIVE_SECONDS" keep_alive: Duration as Seconds<1> = "15", "interval of keep-alive comments while a stream is silent, in seconds";
    "UPSTREAM_CONNECT_TIMEOUT_SECONDS" upstream_connect_timeout: Duration as Seconds<1> = "10", "time to connect to Poe, in seconds";
    "UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS" upstream_first_byte_timeout: Duration as Seconds<1> = "100", "time for Poe to begin its answer, in seconds";
    "UPSTREAM_IDLE_TIMEOUT_SECONDS" upstream_idle_timeout: Duration as Seconds<1> = "100", "time that Poe may be silent in the middle of an answer, in seconds; pings count as activity";
    "SHUTDOWN_DELAY_SECONDS" shutdown_delay: Duration as Seconds<0> = "0", "time after SIGTERM or SIGINT in which connections are still accepted while /ready is 503 and each answer closes its connection, in seconds: a load balancer goes elsewhere before anything is refused";
    "SHUTDOWN_GRACE_SECONDS" shutdown_grace: Duration as Seconds<0> = "20", "time for running answers to finish after SIGTERM or SIGINT, in seconds";
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Run the server.
    Serve(Settings),
    /// Print the effective settings and what is wrong, and what else is to be done.
    Check(Settings, Check),
    /// Ask the local server's `/health`.
    Healthcheck(Settings),
    /// Read or change the client keys.
    Keys(KeyCommand),
    /// Print [`help`].
    Help,
    /// Print [`help_settings`].
    HelpSettings,
    /// Print the version.
    Version,
    /// Print [`completions`] for the shell of that name.
    Completions(&'static str),
    /// Print [`man`].
    Man,
}

/// What `check` does beyond reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Check {
    /// Ask Poe.
    pub online: bool,
    /// A warning is a failure.
    pub strict: bool,
}

/// Why the program does not start: one line for the user, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One line that names the flag or variable as the user wrote it, and what was expected.
    pub message: String,
    /// 2 for a value or an argument that is invalid; 1 for a file that cannot be read, and for bad values under `check`.
    pub code: u8,
}

impl Refusal {
    fn new(message: impl Into<String>) -> Refusal {
        Refusal { message: message.into(), code: 2 }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A flag on the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The file that `NAME_FILE` or `--name-file` names.
    File,
    /// The value is not set; the default applies.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Source::Flag => "flag",
            Source::Environment => "environment",
            Source::File => "file",
            Source::Default => "default",
        })
    }
}

/// What the outside of a setting looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A value that anybody may see.
    Plain,
    /// On or off: its flag needs no value.
    Switch,
    /// A value that is masked everywhere, and may come from a file. Empty means unset.
    Secret,
    /// A secret for which empty is a value of its own, so that an empty variable is not taken for an unset one.
    Password,
}

/// One row of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable, such as `RATE_LIMIT_MS`.
    pub name: &'static str,
    /// The default as text; empty when there is none.
    pub default: &'static str,
    /// What it does, with its unit.
    pub meaning: &'static str,
    /// How it is given and shown.
    pub shape: Shape,
    /// The words that it can be, if they are few.
    pub choices: &'static [&'static str],
}

impl Setting {
    /// The flag without its dashes: `rate-limit-ms` for `RATE_LIMIT_MS`.
    pub fn flag(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }

    /// Whether the value must never be shown, and may come from a file.
    pub fn secret(&self) -> bool {
        matches!(self.shape, Shape::Secret | Shape::Password)
    }
}

/// One setting as `check` and the settings page show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which one.
    pub setting: &'static Setting,
    /// Its value; masked if it is secret.
    pub value: String,
    /// Where the value comes from.
    pub source: Source,
}

/// Reads the arguments and the environment of this process.
pub fn from_process() -> Result<Command, Refusal> {
    parse(std::env::args_os().skip(1), &|name| std::env::var_os(name))
}

/// Where systemd wants to be notified of the service's state.
pub fn notify_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())
}

/// Reads `args`, without the program's name, and the variables that `env` knows.
pub fn parse(
    args: impl Iterator<Item = OsString>,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Command, Refusal> {
    let line = Line::read(args)?;
    let settings = || Settings::gather(&line.flags, env);
    match line.action {
        Action::Help => Ok(Command::Help),
        Action::HelpSettings => Ok(Command::HelpSettings),
        Action::Version => Ok(Command::Version),
        Action::Completions(shell) => Ok(Command::Completions(shell)),
        Action::Man => Ok(Command::Man),
        Action::Serve => settings().map(Command::Serve),
        Action::Healthcheck => settings().map(Command::Healthcheck),
        // what the server needs beside keys is not needed here
        Action::Keys => {
            let (_, settings) = Settings::unchecked(&line.flags, env)?;
            let action = keys::read(&line.words, &line.key_flags)?;
            Ok(Command::Keys(KeyCommand { dir: settings.config_dir, action }))
        }
        // `check` did its work when it found something: that is 1, like any other finding of it.
        Action::Check(check) => settings()
            .map(|settings| Command::Check(settings, check))
            .map_err(|refusal| Refusal { code: 1, ..refusal }),
    }
}

/// Every setting with its value and source, aligned, one a line; secrets masked.
pub fn effective(settings: &Settings) -> String {
    let rows = settings.rows();
    let name = rows.iter().map(|row| row.setting.name.len()).max().unwrap_or(0);
    let value = rows.iter().map(|row| row.value.chars().count()).max().unwrap_or(0);
    rows.iter()
        .map(|row| format!("{:name$}  {:value$}  {}\n", row.setting.name, row.value, row.source))
        .collect()
}

/// The proxies in force, one a line; passwords masked.
pub fn proxies(settings: &Settings) -> String {
    let line = |(what, proxy, variable): (&str, String, &str)| match variable {
        "" => format!("proxy for {what}: {proxy}\n"),
        _ => format!("proxy for {what}: {proxy} ({variable})\n"),
    };
    settings.proxy_rows().into_iter().map(line).collect()
}

impl Settings {
    /// Every setting with its value and source, in the order of [`TABLE`].
    pub fn rows(&self) -> Vec<Row> {
        TABLE
            .iter()
            .zip(self.shown())
            .map(|(setting, value)| Row { setting, value, source: self.source(setting.name) })
            .collect()
    }

    /// Where the value of the setting called `name` comes from.
    pub fn source(&self, name: &str) -> Source {
        self.sources.get(name).copied().unwrap_or(Source::Default)
    }

    fn gather(flags: &Flags, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Settings, Refusal> {
        let (given, mut settings) = Settings::unchecked(flags, env)?;
        settings.guard_keys(&given)?;
        settings.proxies = settings.read_proxies(env)?;
        Ok(settings)
    }

    /// The settings by themselves, whether they fit together or not.
    fn unchecked(
        flags: &Flags,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<(BTreeMap<&'static str, Given>, Settings), Refusal> {
        let mut given = BTreeMap::new();
        for setting in TABLE {
            let from_flags = Given::find(setting, Source::Flag, &|name| flags.get(&as_flag(name)).cloned());
            let found = match from_flags? {
                Some(found) => Some(found),
                None => Given::find(setting, Source::Environment, env)?,
            };
            if let Some(found) = found {
                given.insert(setting.name, found);
            }
        }
        let settings = Settings::build(&given)?;
        Ok((given, settings))
    }

    /// The embedded Poe is on this machine and needs no proxy, whatever the variables say.
    fn read_proxies(&self, env: &dyn Fn(&str) -> Option<OsString>) -> Result<proxy::Rules, Refusal> {
        if self.demo {
            return Ok(proxy::Rules::direct("DEMO"));
        }
        let env = |name: &str| env(name).map(|value| value.to_string_lossy().into_owned());
        proxy::Rules::read(self.poe_proxy.as_ref(), &env).map_err(|fault| {
            let shown = fault.value.as_deref().map_or_else(|| MASK.into(), one_line);
            Refusal::new(format!("{}={shown}: unusable proxy: {}", fault.variable, fault.reason))
        })
    }

    /// The proxies in force: for what, which (password masked, or `none`) and the variable that says so.
    pub fn proxy_rows(&self) -> Vec<(&'static str, String, &'static str)> {
        let row = |(what, url): (&'static str, &String)| match self.proxies.route_to(url) {
            proxy::Route::Direct(reason) => (what, "none".to_owned(), reason),
            proxy::Route::Proxy(proxy) => (what, proxy.masked(), proxy.variable),
        };
        [("Poe", &self.poe_base_url), ("uploads", &self.poe_file_upload_url)].map(row).into()
    }

    /// A Poe key costs money: a client that uses it must have presented a key of the proxy, or run on this machine.
    fn guard_keys(&self, given: &BTreeMap<&'static str, Given>) -> Result<(), Refusal> {
        let written = |name: &'static str| given.get(name).map_or(name, |given| given.written.as_str());
        let has_file = self.config_dir.join(client_keys::FILE_NAME).exists();
        if self.poe_api_key.is_some()
            && self.proxy_api_keys.is_empty()
            && !has_file
            && !self.host.is_loopback()
        {
            return Err(Refusal::new(format!(
                "{} without PROXY_API_KEYS would let anyone who reaches {} {} spend its points: \
                 set PROXY_API_KEYS, add a key (poe2openai keys add NAME), or set a loopback HOST such as 127.0.0.1",
                written("POE_API_KEY"),
                written("HOST"),
                self.host,
            )));
        }
        if has_file && self.poe_api_key.is_none() && !self.demo {
            return Err(Refusal::new(format!(
                "{} without POE_API_KEY: expected a Poe key too, because Poe does not accept the proxy's own keys",
                self.config_dir.join(client_keys::FILE_NAME).display(),
            )));
        }
        if !self.proxy_api_keys.is_empty() && self.poe_api_key.is_none() && !self.demo {
            return Err(Refusal::new(format!(
                "{} without POE_API_KEY: expected a Poe key too, because Poe does not accept the proxy's own keys",
                written("PROXY_API_KEYS"),
            )));
        }
        Ok(())
    }
}

/// The settings of a server for which none is set.
impl Default for Settings {
    fn default() -> Settings {
        Settings::build(&BTreeMap::new())
            .unwrap_or_else(|refusal| unreachable!("a test reads every default: {refusal}"))
    }
}

/// What the user gave for one setting.
struct Given {
    text: String,
    source: Source,
    /// The flag or variable as the user wrote it.
    written: String,
}

impl Given {
    /// Looks for `setting`, itself or in a file, among flags or among variables (`source` says which).
    fn find(
        setting: &Setting,
        source: Source,
        lookup: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Given>, Refusal> {
        let written =
            |name: &str| if source == Source::Flag { format!("--{}", as_flag(name)) } else { name.into() };
        let keeps_empty = source == Source::Flag || setting.shape == Shape::Password;
        let here = lookup(setting.name).filter(|value| keeps_empty || !value.is_empty());
        let file_name = format!("{}_FILE", setting.name);
        let file = lookup(&file_name).filter(|value| setting.secret() && !value.is_empty());
        match (here, file) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(Refusal::new(format!(
                "{} and {} are both given: expected only one of them",
                written(setting.name),
                written(&file_name),
            ))),
            (Some(value), None) => {
                let written = written(setting.name);
                Ok(Some(Given { text: utf8(value, &written)?, source, written }))
            }
            (None, Some(path)) => {
                let written = written(&file_name);
                Ok(Some(Given { text: read_secret(&path, &written)?, source: Source::File, written }))
            }
        }
    }
}

fn as_flag(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn utf8(value: OsString, written: &str) -> Result<String, Refusal> {
    value
        .into_string()
        .map_err(|_| Refusal::new(format!("{written}: expected UTF-8 text, found other bytes")))
}

/// The content of a secret's file without its last line break, which editors and `echo` add.
fn read_secret(path: &OsStr, written: &str) -> Result<String, Refusal> {
    let text = std::fs::read_to_string(path).map_err(|error| Refusal {
        message: format!("{written}: cannot read {}: {error}", one_line(&path.to_string_lossy())),
        code: 1,
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Reads what was given, or the default.
fn read<K: Kind>(given: Option<&Given>, default: &str) -> Result<K::Value, Refusal> {
    let text = given.map_or(default, |given| given.text.as_str());
    K::read(text).ok_or_else(|| {
        let written = given.map_or("a default", |given| given.written.as_str());
        // A URL may carry a password before its `@`.
        let hidden = matches!(K::SHAPE, Shape::Secret | Shape::Password) || text.contains('@');
        let shown = if hidden { MASK.into() } else { one_line(text) };
        let equals = if written.starts_with("--") { ' ' } else { '=' };
        Refusal::new(format!("{written}{equals}{shown}: expected {}", K::expected()))
    })
}

/// `text` so that it cannot break or flood the one line it is put into.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars().take(200) {
        if c.is_control() { line.extend(c.escape_debug()) } else { line.push(c) }
    }
    match text.chars().count() {
        0 => "''".into(),
        count if count > 200 => line + "…",
        _ => line,
    }
}
