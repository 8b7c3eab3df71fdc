//! Parses the command line into command and flags with `lexopt`; anything unknown is an error with a hint.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::{Refusal, Shape, TABLE, keys, one_line, utf8};

/// What the first free word asks for.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Serve,
    Check,
    Healthcheck,
    Keys,
    Help,
    Version,
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
    pub(super) fn read(args: impl Iterator<Item = OsString>) -> Result<Line, Refusal> {
        use lexopt::Arg::{Long, Short, Value};

        let mut parser = lexopt::Parser::from_args(args);
        let mut action = None;
        let mut line =
            Line { action: Action::Serve, flags: Flags::new(), words: Vec::new(), key_flags: Vec::new() };
        loop {
            let is_keys = matches!(action, Some(Action::Keys));
            match parser.next().map_err(|error| Refusal::new(one_line(&error.to_string())))? {
                None => return Ok(Line { action: action.unwrap_or(Action::Serve), ..line }),
                Some(Short('h') | Long("help")) => return Ok(Line { action: Action::Help, ..line }),
                Some(Short('V') | Long("version")) => return Ok(Line { action: Action::Version, ..line }),
                Some(Long(flag)) => {
                    let flag = flag.to_owned();
                    match is_keys && keys::FLAGS.iter().any(|(name, _)| *name == flag) {
                        true => {
                            let value = utf8(required_value(&mut parser, &flag)?, &format!("--{flag}"))?;
                            line.key_flags.push((flag, value));
                        }
                        false => {
                            let value = flag_value(&mut parser, &flag)?;
                            line.flags.insert(flag, value);
                        }
                    }
                }
                Some(Value(word)) if action.is_none() => action = Some(command(&word)?),
                Some(Value(word)) if is_keys => line.words.push(utf8(word, "keys")?),
                Some(Value(word)) => {
                    let word = one_line(&word.to_string_lossy());
                    return Err(Refusal::new(format!(
                        "unexpected argument {word}: expected flags after the command"
                    )));
                }
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

fn command(word: &OsStr) -> Result<Action, Refusal> {
    match word.to_str() {
        Some("serve") => Ok(Action::Serve),
        Some("check") => Ok(Action::Check),
        Some("healthcheck") => Ok(Action::Healthcheck),
        Some("keys") => Ok(Action::Keys),
        _ => Err(Refusal::new(format!(
            "unknown command {}: expected serve, check, healthcheck or keys",
            one_line(&word.to_string_lossy()),
        ))),
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
    let others = ["help".to_owned(), "version".to_owned()];
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
