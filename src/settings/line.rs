//! Parses the command line into command and flags with `lexopt`; anything unknown is an error with a hint.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::{Check, Refusal, Shape, TABLE, keys, one_line, utf8};

/// Shells that completions are made for.
pub const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// What the free words ask for.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Serve,
    Check(Check),
    Healthcheck,
    Keys,
    Help,
    HelpSettings,
    Version,
    Completions(&'static str),
    Man,
}

/// A command, as the guide shows it.
pub(super) struct Named {
    pub(super) name: &'static str,
    /// What can follow it.
    argument: &'static str,
    pub(super) about: &'static str,
    /// Flags that only it takes, with their meanings.
    pub(super) flags: &'static [(&'static str, &'static str)],
}

impl Named {
    /// The command and what can follow it.
    pub(super) fn usage(&self) -> String {
        format!("{} {}", self.name, self.argument).trim_end().to_owned()
    }
}

/// Every command, in the order in which people read about them.
pub(super) const COMMANDS: &[Named] = &[
    command("serve", "", "run the server (the default)", &[]),
    command(
        "check",
        "",
        "print settings and problems; --online asks Poe, --strict",
        &[
            ("online", "ask Poe as well: list of models, key and points, upload host"),
            ("strict", "exit with 1 when there is a warning"),
        ],
    ),
    command("keys", "add|list|…", "client keys: add NAME, list, disable, enable, delete", &[]),
    command("healthcheck", "", "ask the local server; exit code 0 or 1", &[]),
    command("help", "[settings]", "print this, or every setting", &[]),
    command("version", "", "print the version", &[]),
    command("completions", "SHELL", "print completions for bash, zsh or fish", &[]),
    command("man", "", "print the manual page: poe2openai man | man -l -", &[]),
];

const fn command(
    name: &'static str,
    argument: &'static str,
    about: &'static str,
    flags: &'static [(&'static str, &'static str)],
) -> Named {
    Named { name, argument, about, flags }
}

/// Values of flags by flag, without dashes.
pub(super) type Flags = BTreeMap<String, OsString>;

/// The command line, split up but not yet understood.
pub(super) struct Line {
    pub(super) action: Action,
    pub(super) flags: Flags,
    /// The words behind `keys`, and its own flags.
    pub(super) words: Vec<String>,
    pub(super) key_flags: Vec<(String, String)>,
}

impl Line {
    fn only(action: Action) -> Line {
        Line { action, flags: Flags::new(), words: Vec::new(), key_flags: Vec::new() }
    }

    pub(super) fn read(args: impl Iterator<Item = OsString>) -> Result<Line, Refusal> {
        use lexopt::Arg::{Long, Short, Value};

        let mut parser = lexopt::Parser::from_args(args);
        let (mut words, mut own, mut flags) = (Vec::new(), Vec::new(), Flags::new());
        let mut key_flags = Vec::new();
        loop {
            let is_keys = words.first().is_some_and(|word| word == "keys");
            match parser.next().map_err(|error| Refusal::new(one_line(&error.to_string())))? {
                None => {
                    let action = action(&words, &own)?;
                    return Ok(Line { action, flags, words: words.split_off(words.len().min(1)), key_flags });
                }
                Some(Short('h') | Long("help")) => return Ok(Line::only(Action::Help)),
                Some(Short('V') | Long("version")) => return Ok(Line::only(Action::Version)),
                Some(Long(flag)) => {
                    let flag = flag.to_owned();
                    match own_flag(&flag) {
                        Some(flag) => own.push(flag),
                        None if is_keys && keys::FLAGS.iter().any(|(name, _)| *name == flag) => {
                            let value = utf8(required_value(&mut parser, &flag)?, &format!("--{flag}"))?;
                            key_flags.push((flag, value));
                        }
                        None => {
                            let value = flag_value(&mut parser, &flag)?;
                            flags.insert(flag, value);
                        }
                    }
                }
                Some(Value(word)) if is_keys => words.push(utf8(word, "keys")?),
                Some(Value(word)) => words.push(one_line(&word.to_string_lossy())),
                Some(Short(letter)) => {
                    let letter = letter.escape_debug();
                    return Err(Refusal::new(format!(
                        "unknown flag -{letter}: expected one of those in --help"
                    )));
                }
            }
        }
    }
}

/// The command and its own flag, for a flag that only one command takes.
fn own_flag(flag: &str) -> Option<(&'static str, &'static str)> {
    let own = |command: &'static Named| command.flags.iter().map(move |(name, _)| (command.name, *name));
    COMMANDS.iter().flat_map(own).find(|(_, name)| *name == flag)
}

/// What the free `words` ask for, with the flags that only some commands take.
fn action(words: &[String], own: &[(&str, &str)]) -> Result<Action, Refusal> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let name = words.first().copied().unwrap_or("serve");
    if let Some((command, flag)) = own.iter().find(|(command, _)| *command != name) {
        return Err(Refusal::new(format!("--{flag}: only `{command}` takes it")));
    }
    let has = |flag: &str| own.iter().any(|(_, name)| *name == flag);
    let (action, used) = match words.as_slice() {
        [] => (Action::Serve, 0),
        ["serve", ..] => (Action::Serve, 1),
        ["check", ..] => (Action::Check(Check { online: has("online"), strict: has("strict") }), 1),
        ["keys", ..] => (Action::Keys, words.len()),
        ["healthcheck", ..] => (Action::Healthcheck, 1),
        ["help", "settings", ..] => (Action::HelpSettings, 2),
        ["help", ..] => (Action::Help, 1),
        ["version", ..] => (Action::Version, 1),
        ["man", ..] => (Action::Man, 1),
        ["completions", rest @ ..] => {
            let shell = SHELLS.into_iter().find(|shell| rest.first() == Some(shell));
            let expected = || Refusal::new("completions: expected bash, zsh or fish after it");
            (Action::Completions(shell.ok_or_else(expected)?), 2)
        }
        [other, ..] => {
            let names: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
            let names = names.join(", ");
            return Err(Refusal::new(format!("unknown command {other}: expected one of {names}")));
        }
    };
    match words.get(used) {
        None => Ok(action),
        Some(word) => {
            Err(Refusal::new(format!("unexpected argument {word}: expected flags after the command")))
        }
    }
}

fn flag_value(parser: &mut lexopt::Parser, flag: &str) -> Result<OsString, Refusal> {
    let Some(known) = known_flags().find(|(name, _)| name == flag) else {
        return Err(unknown_flag(flag));
    };
    if known.1 == Shape::Switch {
        return Ok(parser.optional_value().unwrap_or_else(|| "true".into()));
    }
    required_value(parser, flag)
}

fn required_value(parser: &mut lexopt::Parser, flag: &str) -> Result<OsString, Refusal> {
    if let Some(value) = parser.optional_value() {
        return Ok(value);
    }
    // `--host --port 80` forgot a value; a value that does begin with dashes can be given as `--host=--port`.
    let next = parser
        .try_raw_args()
        .and_then(|args| args.peek().map(|next| !next.as_encoded_bytes().starts_with(b"--")));
    match next {
        Some(true) => parser.value().map_err(|error| Refusal::new(one_line(&error.to_string()))),
        _ => Err(Refusal::new(format!("--{flag}: expected a value after it"))),
    }
}

/// Every flag that takes part in the settings, those that name a secret's file included.
fn known_flags() -> impl Iterator<Item = (String, Shape)> {
    let files = TABLE.iter().filter(|setting| setting.secret());
    let files = files.map(|setting| (format!("{}-file", setting.flag()), Shape::Plain));
    TABLE.iter().map(|setting| (setting.flag(), setting.shape)).chain(files)
}

fn unknown_flag(flag: &str) -> Refusal {
    let others = ["help", "version", "online", "strict"].map(str::to_owned);
    let nearest = known_flags().map(|(name, _)| name).chain(others).min_by_key(|name| distance(name, flag));
    let shown = one_line(flag);
    // More than half of the letters wrong is no typo but another word.
    match nearest.filter(|name| distance(name, flag) * 2 <= name.len()) {
        Some(name) => Refusal::new(format!("unknown flag --{shown}: expected perhaps --{name}")),
        None => Refusal::new(format!("unknown flag --{shown}: expected one of those in --help")),
    }
}

/// How many letters must be changed, added or dropped to make `a` out of `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
