//! The program: reads the settings, runs the command, starts the server, handles signals.

use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::{ExitCode, exit};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{io, panic, thread};

use poe2openai::api::Api;
use poe2openai::gateway::app::{self, Announcement, App, Lock};
use poe2openai::gateway::videos::wait_for_end;
use poe2openai::server::{
    self, Limits, Server, ShutdownPhase, Stop, connections_that_fit, inherited, lan_address, probe,
};
use poe2openai::settings::{self, Check, Command, Host, LogFormat, Settings};
use poe2openai::telemetry::logger;
use poe2openai::{budget, demo};

use rustix::process::{Resource, Rlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long background work pauses after a panic, so that one that lasts costs nothing.
const PAUSE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    // a core file would hold keys and conversations; where even this is forbidden there is nothing else to try
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let command = match settings::from_process() {
        Ok(command) => command,
        Err(refusal) => {
            eprintln!("poe2openai: {refusal}");
            return ExitCode::from(refusal.code);
        }
    };
    let outcome = match command {
        Command::Serve(settings) => serve(settings),
        Command::Check(settings, what) => check(settings, what),
        Command::Healthcheck(settings) => probe(&settings.host.local().with_port(settings.port)),
        Command::Keys(command) => app::run_key_command(&command).and_then(|text| print(&text)),
        Command::Help => print(&settings::help()),
        Command::HelpSettings => print(&settings::help_settings()),
        Command::Version => print(concat!("poe2openai ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Completions(shell) => print(&settings::completions(shell)),
        Command::Man => print(&settings::man()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("poe2openai: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(mut settings: Settings) -> Result<(), String> {
    write_log(&settings);
    budget::limit_process(settings.memory_budget);
    let limits = limits(&settings);
    let server = listen(&mut settings, limits)?;
    // before anybody is sent that the server runs: from here on a signal ends it in good order
    let stop = Stop::new().map_err(|error| error.to_string())?;
    let opened = Arc::new(OnceLock::new());
    handle_signals(&stop, &opened, !settings.shutdown_delay.is_zero())
        .map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let port = server.local_addr().map_err(|error| error.to_string())?.port();
    if settings.demo {
        open_demo(&mut settings)?;
    }
    let app = Arc::new(App::open(settings)?);
    // a signal that came before this changes nothing: the file has only just been read
    let _ = opened.set(Arc::clone(&app));
    keep_fresh(&app);
    startup_message(&app, port);
    name_proxies(&app.settings);
    announce_password(&app, port);
    warn_of_secrets(&app);
    notify("READY=1");
    server.serve(Arc::new(Api::new(Arc::clone(&app))), &stop);
    wait_for_end(&app);
    if let Err(error) = app.store_usage() {
        log::warn!("usage was not stored: {error}");
    }
    log::logger().flush();
    Ok(())
}

/// The socket that systemd passes, or one of our own. The settings then name the address that is in force.
fn listen(settings: &mut Settings, limits: Limits) -> Result<Server, String> {
    let passed =
        |error| format!("the socket that was passed at the start (LISTEN_FDS) cannot be used: {error}");
    let Some(listener) = inherited().map_err(passed)? else {
        return Server::bind(address(settings)?, limits).map_err(|error| unbound(settings, &error));
    };
    let server = Server::adopt(listener, limits).map_err(passed)?;
    let actual = Host::Address(server.local_addr().map_err(passed)?.ip());
    // what is open to the network is judged by HOST
    if settings.host.is_loopback() && !actual.is_loopback() {
        let host = &settings.host;
        return Err(format!(
            "the socket that was passed listens on {actual}, and HOST is {host}: make them agree"
        ));
    }
    settings.host = actual;
    Ok(server)
}

fn unbound(settings: &Settings, error: &io::Error) -> String {
    let address = settings.host.with_port(settings.port);
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: {error}; another program uses this port; stop it, or choose another \
             port with --port or PORT"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    }
}

/// Tells systemd, where it started the program as a service that notifies.
fn notify(state: &str) {
    if let Some(Err(error)) = settings::notify_socket().map(|path| server::notify(&path, state)) {
        log::warn!("cannot notify systemd: {error}");
    }
}

/// Prints the settings in force and what is wrong.
fn check(mut settings: Settings, what: Check) -> Result<(), String> {
    println!("{}", settings::effective(&settings));
    println!("{}", settings::proxies(&settings));
    if what.online && settings.demo {
        open_demo(&mut settings)?;
    }
    let found = app::check(&settings, what.online);
    found.facts.iter().for_each(|fact| println!("{fact}"));
    found.warnings.iter().for_each(|warning| println!("warning: {warning}"));
    match (found.errors.as_slice(), found.warnings.len()) {
        ([], count) if count > 0 && what.strict => Err(format!("{count} warnings, and --strict is given")),
        ([], _) => Ok(()),
        (errors, _) => Err(errors.join("\npoe2openai: ")),
    }
}

fn print(text: &str) -> Result<(), String> {
    match io::stdout().write_all(text.as_bytes()) {
        // a pager that was closed has seen enough
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// Starts the embedded Poe and puts it in Poe's place.
fn open_demo(settings: &mut Settings) -> Result<(), String> {
    let no_demo = |error| format!("cannot start the embedded Poe: {error}");
    let demo = demo::start(Stop::new().map_err(no_demo)?).map_err(no_demo)?;
    settings.poe_base_url = demo.base_url;
    settings.poe_file_upload_url = demo.upload_url;
    Ok(())
}

/// Says where the server is found, which keys it takes and, in a demo, what to do there.
fn startup_message(app: &App, port: u16) {
    let settings = &app.settings;
    let place = format!("http://{}", settings.host.with_port(port));
    let words = format!("poe2openai {} listens on {place}", env!("CARGO_PKG_VERSION"));
    logger::announce(&words, settings.log_format);
    let local = format!("http://{}:{port}", local_name(&settings.host));
    let network = settings.host.is_unspecified().then(lan_address).flatten();
    let network =
        network.map(|address| format!(", in the network http://{}", Host::Address(address).with_port(port)));
    logger::announce(&format!("open {local}{}", network.unwrap_or_default()), settings.log_format);
    let page = match app.lock() {
        Lock::Closed => "closed, as ADMIN_PASSWORD is empty".to_owned(),
        Lock::ThisMachine | Lock::Password => format!("{local}/admin"),
    };
    logger::announce(&format!("page {page}"), settings.log_format);
    logger::announce(&format!("keys {}", app.key_mode()), settings.log_format);
    // who reads objects reads no instructions
    if !settings.demo || settings.log_format == LogFormat::Json {
        return;
    }
    println!("\nAnswers come from the embedded Poe: no account, no network. Its bots:");
    for (bot, about) in demo::SHOWN {
        println!("  {bot:<20} {about}");
    }
    println!(
        "\nTry one:\n\ncurl -N http://{}/v1/chat/completions -H 'Authorization: Bearer demo' \\\n  \
         -H 'Content-Type: application/json' \\\n  \
         -d '{{\"model\": \"demo-story\", \"stream\": true, \
         \"messages\": [{{\"role\": \"user\", \"content\": \"Tell me a story\"}}]}}'\n",
        settings.host.local().with_port(port)
    );
}

/// Logs which proxy is in force, because the variables of other programs decide it.
fn name_proxies(settings: &Settings) {
    let in_force = settings::proxies(settings);
    in_force.lines().filter(|line| !line.contains(": none")).for_each(|line| log::info!("{line}"));
}

/// The name under which a browser on this machine opens the server.
fn local_name(host: &Host) -> String {
    match host.is_unspecified() || *host == Host::Address([127, 0, 0, 1].into()) {
        true => "localhost".to_owned(),
        false => host.with_port(0).trim_end_matches(":0").to_owned(),
    }
}

fn address(settings: &Settings) -> Result<SocketAddr, String> {
    let wanted = settings.host.with_port(settings.port);
    let mut found = wanted.to_socket_addrs().map_err(|error| format!("HOST: {wanted}: {error}"))?;
    found.next().ok_or_else(|| format!("HOST: {wanted} has no address"))
}

fn limits(settings: &Settings) -> Limits {
    // each connection may need one more to Poe; the embedded Poe holds the other end of that too
    let fit = connections_that_fit(if settings.demo { 3 } else { 2 });
    Limits {
        connections: fit.min(settings.max_connections as usize),
        connections_per_client: settings.max_connections_per_client as usize,
        head_timeout: settings.head_timeout,
        idle_timeout: settings.idle_timeout,
        body_timeout: settings.body_timeout,
        send_timeout: settings.send_timeout,
        leave: settings.shutdown_delay,
        grace: settings.shutdown_grace,
    }
}

/// Looks after what comes from outside: Poe's list of models, models.yaml, client keys, and what requests took.
fn keep_fresh(app: &Arc<App>) {
    let (catalog, config) = (Arc::clone(app), Arc::clone(app));
    thread::spawn(move || {
        logger::keep_running("the refresh of the model list", PAUSE, || catalog.refresh_catalog())
    });
    thread::spawn(move || logger::keep_running("the watch of models.yaml", PAUSE, || config.watch_config()));
    let (keys, usage, points) = (Arc::clone(app), Arc::clone(app), Arc::clone(app));
    thread::spawn(move || logger::keep_running("the watch of client keys", PAUSE, || keys.watch_keys()));
    thread::spawn(move || logger::keep_running("the storing of usage", PAUSE, || usage.keep_usage()));
    thread::spawn(move || logger::keep_running("the watch of points", PAUSE, || points.watch_points()));
}

fn write_log(settings: &Settings) {
    // a second logger in one process would be a fault of ours, and the first goes on
    let _ = logger::open(settings.log_level, settings.log_format);
    panic::set_hook(Box::new(|info| log::error!("a fault in the program: {info}")));
}

/// Prints a password that the server has made for the admin page, at the start at which it is made.
fn announce_password(app: &App, port: u16) {
    let (settings, file) = (&app.settings, app.password_file());
    let place = format!("http://{}/admin", settings.host.local().with_port(port));
    match &app.access.announcement {
        Some(Announcement::Made(made)) => {
            let validity = match &made.unkept {
                Some(reason) => format!("valid until the server stops: {reason}"),
                None => format!("its hash is stored in {}, and it is not shown again", file.display()),
            };
            let user = &settings.admin_username;
            let words = format!(
                "admin page: {place} user: {user} password: {} ({validity}; set ADMIN_PASSWORD to choose your own)",
                made.password
            );
            logger::announce(&words, settings.log_format);
        }
        Some(Announcement::Kept) => log::info!(
            "admin page: {place}, with the password that an earlier start printed; set ADMIN_PASSWORD, or remove {} \
             to have another one made",
            file.display()
        ),
        None => {}
    }
}

/// Warns of passwords and keys that do not protect much.
fn warn_of_secrets(app: &App) {
    let (short, all) = (app.short_keys(), app.settings.proxy_api_keys.len());
    if short > 0 {
        log::warn!(
            "PROXY_API_KEYS: {short} of {all} keys have fewer than 16 characters and can be guessed; use longer ones"
        );
    }
    match app.lock() {
        Lock::Password if app.has_default_password() => {
            log::warn!(
                "ADMIN_PASSWORD is the default password, and the admin page is open to all who reach it"
            );
        }
        Lock::ThisMachine => log::warn!(
            "the admin page has its built-in password and opens on this machine only; set ADMIN_PASSWORD to one of \
             your own, or to nothing to close the page"
        ),
        Lock::Closed | Lock::Password => {}
    }
}

/// The first SIGTERM or SIGINT drains, the second ends at once; SIGHUP has models.yaml read again, unless it comes because
/// the terminal is gone that the server was started in.
fn handle_signals(stop: &Stop, app: &Arc<OnceLock<Arc<App>>>, leaves: bool) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let (stop, app) = (stop.clone(), Arc::clone(app));
    let had_terminal = io::stdin().is_terminal();
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP && had_terminal == io::stdin().is_terminal() {
                app.get().into_iter().for_each(|app| app.config.reload());
                continue;
            }
            if stop.shutdown_phase() != ShutdownPhase::On {
                log::logger().flush();
                exit(128 + signal);
            }
            stop.go(if leaves { ShutdownPhase::Leaving } else { ShutdownPhase::Draining });
            notify("STOPPING=1");
            log::info!("stopping: running answers may finish");
        }
    })?;
    Ok(())
}
