//! Settings from flags, environment and files: parsing, precedence and error messages.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use poe2openai::settings::{self, Command, Host, Refusal, Settings, Source, TABLE};

type Env<'a> = &'a [(&'a str, &'a str)];

fn parse(args: &[&str], env: Env) -> Result<Command, Refusal> {
    let env: HashMap<&str, &str> = env.iter().copied().collect();
    settings::parse(args.iter().map(OsString::from), &|name| env.get(name).map(OsString::from))
}

fn serve(args: &[&str], env: Env) -> Settings {
    match parse(args, env) {
        Ok(Command::Serve(settings)) => settings,
        other => panic!("{args:?} {env:?}: {other:?}"),
    }
}

fn refusal(args: &[&str], env: Env) -> Refusal {
    let refusal = parse(args, env).expect_err(&format!("{args:?} {env:?}"));
    assert!(!refusal.message.contains('\n'), "{refusal}");
    refusal
}

/// The value of one setting as text.
fn shown(settings: &Settings, name: &str) -> String {
    settings.rows().into_iter().find(|row| row.setting.name == name).expect(name).value
}

/// A file with `content` that no other test uses.
fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("settings-{name}"));
    fs::write(&path, content).expect("the test directory is writable");
    path
}

#[test]
fn defaults_are_those_of_the_table() {
    let settings = serve(&[], &[]);
    assert_eq!(settings.host, Host::Address([0, 0, 0, 0].into()));
    assert_eq!(settings.port, 8080);
    assert_eq!(settings.max_request_size, 0, "follows the memory budget");
    assert_eq!(settings.url_cache_size, 100 << 20);
    assert_eq!(settings.rate_limit, Duration::from_millis(100));
    assert_eq!(settings.upstream_first_byte_timeout, Duration::from_secs(100));
    assert_eq!(settings.admin_password.expose(), "123456");
    for row in settings.rows() {
        assert_eq!(row.source, Source::Default, "{row:?}");
        if row.setting.secret() {
            assert!(!row.value.contains("123456"));
        } else if !row.setting.default.is_empty() {
            assert_eq!(row.value, row.setting.default, "{row:?}");
        }
    }
    assert_eq!(settings::effective(&Settings::default()), settings::effective(&settings));
}

#[test]
fn every_setting_has_a_variable_and_a_flag_and_flags_win() {
    for setting in TABLE {
        let (one, two) = match setting.name {
            "HOST" => ("127.0.0.1", "::1"),
            "LOG_LEVEL" => ("warn", "debug"),
            "DEMO" | "METRICS" | "EXPOSE_USAGE" => ("true", "false"),
            "LOG_FORMAT" => ("text", "json"),
            "POE_ROUTE" => ("auto", "native"),
            "POE_PROXY" => ("http://a", "none"),
            "REDIS_URL" => ("redis://a", "unix:///b"),
            name if name.starts_with("POE_") && name.ends_with("_URL") => ("http://a", "https://b"),
            _ => ("11", "12"),
        };
        // The key rules have a test of their own.
        let others = [("HOST", "127.0.0.1"), ("POE_API_KEY", "k")];
        let others = others.into_iter().filter(|(name, _)| *name != setting.name);
        let env: Vec<_> = others.chain([(setting.name, one)]).collect();
        let flag = format!("--{}={two}", setting.flag());

        let from_env = serve(&[], &env);
        assert_eq!(from_env.source(setting.name), Source::Environment, "{}", setting.name);
        let from_flag = serve(&[&flag], &env);
        assert_eq!(from_flag.source(setting.name), Source::Flag, "{}", setting.name);
        if !setting.secret() {
            assert_eq!(shown(&from_env, setting.name), one, "{}", setting.name);
            assert_eq!(shown(&from_flag, setting.name), two, "{}", setting.name);
        }
    }
}

#[test]
fn commands_are_told_apart() {
    let name = |args: &[&str]| match parse(args, &[]) {
        Ok(Command::Serve(_)) => "serve",
        Ok(Command::Check(_, settings::Check { online: false, strict: false })) => "check",
        Ok(Command::Check(..)) => "check with flags",
        Ok(Command::Healthcheck(_)) => "healthcheck",
        Ok(Command::Help) => "help",
        Ok(Command::HelpSettings) => "help settings",
        Ok(Command::Version) => "version",
        Ok(Command::Keys(_)) => "keys",
        Ok(Command::Completions(shell)) => shell,
        Ok(Command::Man) => "man",
        Err(refusal) => panic!("{args:?}: {refusal}"),
    };
    let cases: &[(&[&str], &str)] = &[
        (&[], "serve"),
        (&["serve"], "serve"),
        (&["serve", "--demo"], "serve"),
        (&["--demo", "serve"], "serve"),
        (&["keys", "add", "x", "--daily-points", "5"], "keys"),
        (&["check"], "check"),
        (&["--port", "80", "check"], "check"),
        (&["healthcheck"], "healthcheck"),
        (&["-h"], "help"),
        (&["check", "--help"], "help"),
        (&["--version"], "version"),
        (&["-V"], "version"),
        (&["help"], "help"),
        (&["help", "settings"], "help settings"),
        (&["version"], "version"),
        (&["completions", "fish"], "fish"),
        (&["man"], "man"),
        (&["check", "--online"], "check with flags"),
        (&["--strict", "check"], "check with flags"),
    ];
    for (args, expected) in cases {
        assert_eq!(name(args), *expected, "{args:?}");
    }
    // Help helps even where the environment is broken.
    assert!(matches!(parse(&["--help"], &[("PORT", "abc")]), Ok(Command::Help)));
}

#[test]
fn values_are_read_as_meant() {
    let cases: &[(&[&str], Env, &str, &str)] = &[
        (&["--port", "0"], &[], "PORT", "0"),
        (&["--port=65535"], &[], "PORT", "65535"),
        (&["--port", "1", "--port", "2"], &[], "PORT", "2"),
        (&[], &[("PORT", " 81 ")], "PORT", "81"),
        (&[], &[("PORT", "")], "PORT", "8080"),
        (&[], &[("CONFIG_DIR", ""), ("SSL_CERT_FILE", "")], "CONFIG_DIR", "./"),
        (&[], &[("LOG_LEVEL", "WARN")], "LOG_LEVEL", "warn"),
        (&["--log-level", "Trace"], &[], "LOG_LEVEL", "trace"),
        (&["--demo"], &[], "DEMO", "true"),
        (&["--demo=no"], &[("DEMO", "1")], "DEMO", "false"),
        (&[], &[("HOST", "[::1]")], "HOST", "::1"),
        (&[], &[("HOST", "::")], "HOST", "::"),
        (&[], &[("HOST", "my-host.example.")], "HOST", "my-host.example."),
        (&[], &[("RATE_LIMIT_MS", "0")], "RATE_LIMIT_MS", "0"),
        (
            &[],
            &[("POE_BASE_URL", "http://localhost:9000/poe//")],
            "POE_BASE_URL",
            "http://localhost:9000/poe",
        ),
        (&[], &[("POE_BASE_URL", "HTTPS://[::1]:9")], "POE_BASE_URL", "HTTPS://[::1]:9"),
        (&["--ssl-cert-file", ""], &[("SSL_CERT_FILE", "/ca.pem")], "SSL_CERT_FILE", "unset"),
        (&[], &[("SSL_CERT_FILE", "/ca.pem")], "SSL_CERT_FILE", "/ca.pem"),
        (&[], &[("ADMIN_PASSWORD", "")], "ADMIN_PASSWORD", "(empty)"),
    ];
    for (args, env, name, expected) in cases {
        assert_eq!(shown(&serve(args, env), name), *expected, "{args:?} {env:?}");
    }
}

#[test]
fn invalid_settings_are_rejected_by_name() {
    let number = "expected a whole number";
    let host = "expected an IPv4 address, an IPv6 address or a host name, without port";
    let url = "expected an http:// or https:// URL with a host, without user name, query or fragment";
    let all: &[(&[&str], Env, String)] = &[
        (&[], &[("PORT", "abc")], format!("PORT=abc: {number} from 0 to 65535")),
        (&["--port", "65536"], &[], format!("--port 65536: {number} from 0 to 65535")),
        (&["--port=+1"], &[], format!("--port +1: {number} from 0 to 65535")),
        (&["--port", ""], &[], format!("--port '': {number} from 0 to 65535")),
        (&[], &[("PORT", "1\n2")], format!("PORT=1\\n2: {number} from 0 to 65535")),
        (
            &[],
            &[("RATE_LIMIT_MS", "-1")],
            format!("RATE_LIMIT_MS=-1: {number} of milliseconds from 0 to 3153600000000"),
        ),
        (
            &["--rate-limit-ms", "-1"],
            &[],
            format!("--rate-limit-ms -1: {number} of milliseconds from 0 to 3153600000000"),
        ),
        (&[], &[("RATE_LIMIT_BURST", "0")], format!("RATE_LIMIT_BURST=0: {number} from 1 to 1000000")),
        (
            &[],
            &[("IDLE_TIMEOUT_SECONDS", "1.5")],
            format!("IDLE_TIMEOUT_SECONDS=1.5: {number} of seconds from 1 to 3153600000"),
        ),
        (
            &[],
            &[("MAX_REQUEST_SIZE", "1GB")],
            format!("MAX_REQUEST_SIZE=1GB: {number} of bytes from 0 to 18446744073709551615"),
        ),
        (
            &[],
            &[("URL_CACHE_SIZE_MB", "99999999999")],
            format!("URL_CACHE_SIZE_MB=99999999999: {number} of MiB from 0 to 1073741824"),
        ),
        (&[], &[("LOG_LEVEL", "off")], "LOG_LEVEL=off: expected error, warn, info, debug or trace".into()),
        (
            &["--log-level", "loud"],
            &[],
            "--log-level loud: expected error, warn, info, debug or trace".into(),
        ),
        (&[], &[("DEMO", "perhaps")], "DEMO=perhaps: expected true or false".into()),
        (&[], &[("HOST", "0.0.0.0:80")], format!("HOST=0.0.0.0:80: {host}")),
        (&[], &[("HOST", "256.1.1.1")], format!("HOST=256.1.1.1: {host}")),
        (&[], &[("HOST", "127.1")], format!("HOST=127.1: {host}")),
        (&[], &[("HOST", "[::1")], format!("HOST=[::1: {host}")),
        (&[], &[("HOST", "a b")], format!("HOST=a b: {host}")),
        (&["--host", ""], &[], format!("--host '': {host}")),
        (&[], &[("POE_BASE_URL", "api.poe.com")], format!("POE_BASE_URL=api.poe.com: {url}")),
        (&[], &[("POE_BASE_URL", "ftp://x")], format!("POE_BASE_URL=ftp://x: {url}")),
        (&[], &[("POE_BASE_URL", "http://")], format!("POE_BASE_URL=http://: {url}")),
        (&[], &[("POE_BASE_URL", "http:///x")], format!("POE_BASE_URL=http:///x: {url}")),
        (&[], &[("POE_BASE_URL", "http://:80")], format!("POE_BASE_URL=http://:80: {url}")),
        (&[], &[("POE_BASE_URL", "http://a:b")], format!("POE_BASE_URL=http://a:b: {url}")),
        (&[], &[("POE_BASE_URL", "http://a?x=1")], format!("POE_BASE_URL=http://a?x=1: {url}")),
        (&[], &[("POE_FILE_UPLOAD_URL", "https://u:geheim@a")], format!("POE_FILE_UPLOAD_URL=••••: {url}")),
        (&["--config-dir="], &[], "--config-dir '': expected a directory".into()),
        (&["--prot", "80"], &[], "unknown flag --prot: expected perhaps --port".into()),
        (
            &["--rate_limit_ms=1"],
            &[],
            "unknown flag --rate_limit_ms: expected perhaps --rate-limit-ms".into(),
        ),
        (&["--versio"], &[], "unknown flag --versio: expected perhaps --version".into()),
        (&["--colour"], &[], "unknown flag --colour: expected one of those in --help".into()),
        (&["--port-file", "x"], &[], "unknown flag --port-file: expected one of those in --help".into()),
        (&["-p", "80"], &[], "unknown flag -p: expected one of those in --help".into()),
        (&["--port"], &[], "--port: expected a value after it".into()),
        (&["--host", "--port", "80"], &[], "--host: expected a value after it".into()),
        (&["start"], &[], "unknown command start: expected one of serve, check, keys, healthcheck, help, version, completions, man".into()),
        (&["serve", "check"], &[], "unexpected argument check: expected flags after the command".into()),
    ];
    for (args, env, expected) in all {
        let refusal = refusal(args, env);
        assert_eq!(refusal.message, *expected);
        assert_eq!(refusal.code, 2, "{refusal}");
    }
}

#[test]
fn other_bytes_than_utf8_are_refused_by_name() {
    let bytes = || OsString::from_vec(vec![b'a', 0xff]);
    let none = |_: &str| None;
    let flag = settings::parse([OsString::from("--config-dir"), bytes()].into_iter(), &none).unwrap_err();
    assert_eq!(flag.message, "--config-dir: expected UTF-8 text, found other bytes");
    let env = |name: &str| (name == "POE_API_KEY").then(bytes);
    let variable = settings::parse([].into_iter(), &env).unwrap_err();
    assert_eq!(variable.message, "POE_API_KEY: expected UTF-8 text, found other bytes");
    let word = settings::parse([bytes()].into_iter(), &none).unwrap_err();
    assert_eq!(
        word.message,
        "unknown command a\u{fffd}: expected one of serve, check, keys, healthcheck, help, version, completions, man"
    );
}

#[test]
fn the_servers_poe_key_is_used_only_for_authorized_clients() {
    let poe = ("POE_API_KEY", "poe-geheim");
    let proxy = ("PROXY_API_KEYS", "a, b,");
    // (arguments, environment, the beginning of the refusal; empty: it starts)
    let cases: &[(&[&str], Env, &str)] = &[
        (
            &[],
            &[poe],
            "POE_API_KEY without PROXY_API_KEYS would let anyone who reaches HOST 0.0.0.0 spend its points: set",
        ),
        (
            &["--poe-api-key=k", "--host=::"],
            &[],
            "--poe-api-key without PROXY_API_KEYS would let anyone who reaches --host :: spend",
        ),
        (&["--host", "10.0.0.1"], &[poe], "POE_API_KEY without PROXY_API_KEYS"),
        (&["--host", "my.host"], &[poe], "POE_API_KEY without PROXY_API_KEYS"),
        (&["--host", "localhost.example"], &[poe], "POE_API_KEY without PROXY_API_KEYS"),
        (&["--demo"], &[poe], "POE_API_KEY without PROXY_API_KEYS"),
        (&["--host", "127.0.0.1"], &[poe], ""),
        (&["--host", "127.9.9.9"], &[poe], ""),
        (&["--host", "::1"], &[poe], ""),
        (&["--host", "[::ffff:127.0.0.1]"], &[poe], ""),
        (&["--host", "LocalHost"], &[poe], ""),
        (&[], &[poe, proxy], ""),
        (&[], &[proxy], "PROXY_API_KEYS without POE_API_KEY: expected a Poe key too"),
        (&["--proxy-api-keys", "a"], &[], "--proxy-api-keys without POE_API_KEY"),
        (&["--demo"], &[proxy], ""),
        (&[], &[("POE_API_KEY", ""), ("PROXY_API_KEYS", "")], ""),
    ];
    for (args, env, expected) in cases {
        match (parse(args, env), *expected) {
            (Ok(Command::Serve(_)), "") => {}
            (Err(refusal), expected) if !expected.is_empty() => {
                assert!(refusal.message.starts_with(expected), "{refusal}");
                assert!(!refusal.message.contains("geheim"), "{refusal}");
                assert_eq!(refusal.code, 2);
            }
            (other, _) => panic!("{args:?} {env:?}: {other:?}"),
        }
    }
    let keys = serve(&[], &[poe, proxy]).proxy_api_keys;
    assert_eq!(keys.iter().map(|key| key.expose()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn secrets_come_from_files_too() {
    let key = file("key", b"from-file\n");
    let key = key.to_str().unwrap();
    let windows = file("windows", b"pass word\r\n");
    let keys = file("keys", b"a\nb\n");
    let empty = file("empty", b"\n");

    let settings = serve(&["--host=localhost"], &[("POE_API_KEY_FILE", key), ("POE_API_KEY", "")]);
    assert_eq!(settings.poe_api_key.as_ref().map(|key| key.expose()), Some("from-file"));
    assert_eq!(settings.source("POE_API_KEY"), Source::File);

    let settings = serve(&["--admin-password-file", windows.to_str().unwrap()], &[("ADMIN_PASSWORD", "env")]);
    assert_eq!(settings.admin_password.expose(), "pass word");
    let settings = serve(&["--admin-password-file", empty.to_str().unwrap()], &[]);
    assert!(settings.admin_password.is_empty());
    let settings = serve(&["--poe-api-key=k"], &[("PROXY_API_KEYS_FILE", keys.to_str().unwrap())]);
    assert_eq!(settings.proxy_api_keys.len(), 2);

    // A flag wins over both variables; two of one kind contradict each other.
    let settings = serve(&["--poe-api-key=flag", "--host=::1"], &[("POE_API_KEY_FILE", key)]);
    assert_eq!(settings.poe_api_key.as_ref().map(|key| key.expose()), Some("flag"));
    let both = refusal(&[], &[("POE_API_KEY", "x"), ("POE_API_KEY_FILE", key)]);
    assert_eq!(both.message, "POE_API_KEY and POE_API_KEY_FILE are both given: expected only one of them");
    let both = refusal(&["--poe-api-key=x", "--poe-api-key-file", key], &[]);
    assert_eq!(
        both.message,
        "--poe-api-key and --poe-api-key-file are both given: expected only one of them"
    );

    let missing = refusal(&[], &[("POE_API_KEY_FILE", "/nowhere/key")]);
    assert!(missing.message.starts_with("POE_API_KEY_FILE: cannot read /nowhere/key: "), "{missing}");
    assert_eq!(missing.code, 1);
    let spaced = file("spaced", b"geheim geheim\n");
    let spaced = refusal(&[], &[("POE_API_KEY_FILE", spaced.to_str().unwrap())]);
    assert_eq!(
        spaced.message,
        "POE_API_KEY_FILE=••••: expected one key of printable ASCII characters without spaces"
    );
}

#[test]
fn secrets_are_never_shown() {
    let env: Env = &[
        ("POE_API_KEY", "geheim-1"),
        ("PROXY_API_KEYS", "geheim-2,geheim-3"),
        ("ADMIN_PASSWORD", "geheim-4"),
    ];
    let settings = serve(&[], env);
    let texts = [
        format!("{settings:?}"),
        format!("{settings:#?}"),
        settings::effective(&settings),
        format!("{:?}", settings.rows()),
    ];
    for text in texts {
        assert!(!text.contains("geheim"), "{text}");
        assert!(text.contains("••••"), "{text}");
    }
    for name in ["POE_API_KEY", "PROXY_API_KEYS", "ADMIN_PASSWORD"] {
        let refusal = refusal(&[], &[(name, "geheim\u{7}heim")]);
        assert!(refusal.message.starts_with(&format!("{name}=••••: expected ")), "{refusal}");
    }
    assert!(!refusal(&["--poe-api-ky=geheim"], &[]).message.contains("geheim"));
}

#[test]
fn check_answers_with_its_own_exit_code() {
    assert_eq!(refusal(&["check"], &[("PORT", "abc")]).code, 1);
    assert_eq!(refusal(&["check"], &[("POE_API_KEY", "k")]).code, 1);
    assert_eq!(refusal(&["check", "--prot", "1"], &[]).code, 2);
}

#[test]
fn the_effective_settings_stand_in_columns() {
    let text = settings::effective(&serve(
        &["--port", "81", "--poe-api-key", "k", "--host", "::1"],
        &[("LOG_LEVEL", "warn")],
    ));
    let columns: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(columns.len(), TABLE.len());
    for row in [
        ["HOST", "::1", "flag"],
        ["PORT", "81", "flag"],
        ["LOG_LEVEL", "warn", "environment"],
        ["POE_API_KEY", "••••", "flag"],
    ] {
        assert!(columns.iter().any(|found| *found == row), "{row:?} in\n{text}");
    }
    let column = |line: &str| line.chars().count() - line.split(' ').next_back().unwrap().chars().count();
    assert!(text.lines().all(|line| column(line) == column(text.lines().next().unwrap())), "{text}");
}

#[test]
fn hosts_are_written_as_urls_want_them() {
    // (HOST, with a port, the one to reach it from this machine)
    let cases = [
        ("0.0.0.0", "0.0.0.0:80", "127.0.0.1"),
        ("::", "[::]:80", "::1"),
        ("[2001:db8::1]", "[2001:db8::1]:80", "2001:db8::1"),
        ("name", "name:80", "name"),
    ];
    for (host, with_port, local) in cases {
        let host = serve(&["--host", host], &[]).host;
        assert_eq!(host.with_port(80), with_port);
        assert_eq!(host.local().to_string(), local);
    }
}

#[test]
fn help_and_readme_name_every_setting() {
    let (help, markdown) = (settings::help_settings(), settings::markdown());
    for setting in TABLE {
        assert!(help.contains(&format!("--{}", setting.flag())), "{}", setting.name);
        assert!(help.contains(&format!("[{}, ", setting.name)), "{}", setting.name);
        assert!(markdown.contains(&format!("| `{}` |", setting.name)), "{}", setting.name);
        assert!(!setting.meaning.contains('|'), "{} would break the table", setting.name);
    }
}

/// `UPDATE=1 cargo test` writes the table into docs/configuration.md.
#[test]
fn the_documentation_shows_the_table() {
    const START: &str = "<!-- settings -->\n";
    const END: &str = "<!-- /settings -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) =
        readme.split_once(START).expect("docs/configuration.md has a line <!-- settings -->");
    let (_, after) = rest.split_once(END).expect("docs/configuration.md has <!-- /settings -->");
    let expected = format!("{before}{START}\n{}\n{END}{after}", settings::markdown());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, expected).unwrap();
    } else {
        assert!(
            readme == expected,
            "the settings table of docs/configuration.md is outdated: run UPDATE=1 cargo test"
        );
    }
}
