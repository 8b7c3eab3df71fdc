//! Recorded prompts and answers, while the operator has switched recording on: truncated, without keys and files.

use std::mem;

use serde::Serialize;

/// The most that is kept of a request, and of its answer.
const MAX_KEPT: usize = 16 << 10;
/// What is looked at to make that; files shrink to a word.
const MAX_TAKEN: usize = 256 << 10;
/// The end of what was cut may be the first half of a key.
const MARGIN: usize = 512;
/// A run of letters and digits of this length is no word of any language: it is masked if it looks like a key.
const KEY_LENGTH: usize = 32;
/// One of this length is masked whatever it looks like: base64.
const BLOB_LENGTH: usize = 128;
/// No key is shorter: what is may be a part of any sentence.
const SHORTEST_SECRET: usize = 8;

const MASK: &str = "••••";

/// How keys of well-known services begin.
const KEY_BEGINNINGS: &[&str] = &[
    "sk-",
    "pk-",
    "rk-",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "AIza",
    "hf_",
    "npm_",
    "eyJ",
];
/// What stands before a secret.
const SECRET_NAMES: &[&str] = &[
    "authorization",
    "api_key",
    "api-key",
    "apikey",
    "access_token",
    "refresh_token",
    "token",
    "secret",
    "password",
    "passwd",
    "cookie",
];

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The request's body.
    pub request: String,
    /// What the bot answered.
    pub answer: String,
}

/// What was said so far, as it was said.
#[derive(Default)]
pub struct Capture {
    request: Vec<u8>,
    answer: String,
}

impl Capture {
    /// The request's body.
    pub fn request(&mut self, body: &[u8]) {
        self.request = body[..body.len().min(MAX_TAKEN)].to_vec();
    }

    /// A piece of the answer.
    pub fn answer(&mut self, piece: &str) {
        let room = MAX_TAKEN.saturating_sub(self.answer.len());
        self.answer.push_str(&piece[..boundary(piece, room)]);
    }

    /// The answer so far was taken back.
    pub fn retract(&mut self) {
        self.answer.clear();
    }

    /// What may be kept: without `secrets` and whatever else looks like one, and without files.
    pub fn keep(&mut self, secrets: &[&str]) -> Kept {
        let request = mem::take(&mut self.request);
        let kept = |text: &str| shorten(redact(text, secrets), text.len() >= MAX_TAKEN);
        Kept { request: kept(&String::from_utf8_lossy(&request)), answer: kept(&mem::take(&mut self.answer)) }
    }
}

fn shorten(mut text: String, was_cut: bool) -> String {
    let end = if was_cut { text.len().saturating_sub(MARGIN) } else { text.len() };
    if was_cut || end > MAX_KEPT {
        text.truncate(boundary(&text, end.min(MAX_KEPT)));
        text.push('…');
    }
    text
}

/// The last place at or before `at` where `text` can be cut.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// `text` with `secrets`, keys, tokens and files masked. It may be JSON or not, and JSON inside of JSON.
fn redact(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET) {
        text = text.replace(secret, MASK);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let run = rest.find(|c: char| !is_run(c)).unwrap_or(rest.len());
        if run == 0 {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..next]);
            rest = &rest[next..];
            continue;
        }
        let (word, after) = rest.split_at(run);
        rest = match masked(word, after) {
            Masked::Word(mask) => {
                out.push_str(&mask);
                // a token's parts are joined by dots
                let rest = if word.starts_with("eyJ") { run_length(after) } else { 0 };
                &after[rest..]
            }
            Masked::Following(length) => {
                out.push_str(word);
                out.push_str(&after[..after.len() - value_of(after).len()]);
                out.push_str(MASK);
                &value_of(after)[length..]
            }
            Masked::Nothing => {
                out.push_str(word);
                after
            }
        };
    }
    out
}

enum Masked {
    /// The word itself, by this.
    Word(String),
    /// So much of the value behind the word.
    Following(usize),
    Nothing,
}

fn masked(word: &str, after: &str) -> Masked {
    let value = value_of(after);
    if word.eq_ignore_ascii_case("base64") && after.starts_with(',') {
        return Masked::Following(run_length(value));
    }
    if word.eq_ignore_ascii_case("data") && after.starts_with(':') && value.contains(',') {
        let length = value.find(['"', '\'', '\\', ')', '>', ' ', '\n']).unwrap_or(value.len());
        if value[..length].contains(',') {
            return Masked::Following(length);
        }
    }
    if let Some(length) = login_length(after) {
        return Masked::Following(length);
    }
    let name = word.to_ascii_lowercase();
    let shown = &value[..run_length(value)];
    let is_scheme = after.starts_with(' ')
        && match name.as_str() {
            "bearer" => shown.len() >= 6,
            // basic words follow this word, too
            "basic" => {
                shown.len() >= 6 && !shown.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.')
            }
            _ => false,
        };
    if is_scheme {
        return Masked::Following(run_length(value));
    }
    let is_secret = SECRET_NAMES.iter().any(|known| name.ends_with(known)) && is_assigned(after);
    // `?key=…`
    if is_secret || name == "key" && after.starts_with('=') && !shown.is_empty() {
        return Masked::Following(secret_length(&name, after, value));
    }
    let looks_like_key = word.len() >= KEY_LENGTH
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().any(|byte| byte.is_ascii_alphabetic());
    let begins_like_key =
        word.len() >= 16 && KEY_BEGINNINGS.iter().any(|beginning| word.starts_with(beginning));
    if word.len() >= BLOB_LENGTH {
        return Masked::Word(format!("[{} characters]", word.len()));
    }
    match looks_like_key || begins_like_key {
        true => Masked::Word(MASK.to_owned()),
        false => Masked::Nothing,
    }
}

/// What runs of base64, of keys and of words are made of.
fn is_run(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '_' | '-')
}

fn run_length(text: &str) -> usize {
    // a slash may be escaped in JSON, and `=` fills base64 up
    text.find(|c: char| !is_run(c) && !matches!(c, '=' | '\\' | '.' | '~' | '%')).unwrap_or(text.len())
}

/// What stands behind a name, its quotes and its colon.
fn value_of(after: &str) -> &str {
    after.trim_start_matches([' ', ':', '=', ',', '"', '\'', '\\'])
}

/// Whether a value is given behind a name: `: "` and the like.
fn is_assigned(after: &str) -> bool {
    after.len() > value_of(after).len()
        && after[..after.len() - value_of(after).len()].contains([':', '='])
        && !value_of(after).starts_with(['{', '['])
}

/// The name and password in an address, `//name:password` before an `@`.
fn login_length(after: &str) -> Option<usize> {
    let place = after.strip_prefix("://")?;
    let login = &place[..place.find('@')?];
    let is_login = login.contains(':')
        && !login.contains(['/', '?', '#', '"', '\\'])
        && !login.contains(char::is_whitespace);
    is_login.then(|| "//".len() + login.len())
}

/// A value in quotes ends with them, a header with its line, any other with the next space.
fn secret_length(name: &str, after: &str, value: &str) -> usize {
    let is_quoted = after[..after.len() - value.len()].trim_end_matches('\\').ends_with(['"', '\'']);
    let is_header = name.ends_with("authorization") || name.ends_with("cookie");
    let ends: &[char] = match (is_quoted, is_header) {
        (true, _) => &['"', '\'', '\\'],
        (false, true) => &['\n', '\\', '"'],
        (false, false) => &['&', ',', '}', ' ', '\t', '\n', '\\', '"'],
    };
    value.find(ends).unwrap_or(value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_stay_secret_is_masked() {
        let long = "a1B2".repeat(12);
        let blob = "iVBORw0KGgo".repeat(30);
        let cases = [
            ("my key is the-poe-key, keep it".to_owned(), "the-poe-key"),
            (format!("token {long} end"), &long),
            (format!(r#"{{"url":"data:image/png;base64,{blob}"}}"#), "iVBORw0"),
            (r#"{"url":"data:image/png;base64,aGVsbG8="}"#.to_owned(), "aGVsbG8"),
            (r#"{"url":"data:text/plain,hello%20there"}"#.to_owned(), "hello"),
            (format!(r#"{{"data":"{blob}"}}"#), "iVBORw0"),
            (r#"{"data":"iVBORw0\/KGgo\/iVBORw0KGgoiVBORw0KGgoiVBORw0KGgo"}"#.to_owned(), "iVBORw0KGgoi"),
            ("Authorization: Bearer abcdefgh".to_owned(), "abcdefgh"),
            ("curl -H 'x-api-key: hunter2hunter2'".to_owned(), "hunter2"),
            (r#"{"password": "two words"}"#.to_owned(), "words"),
            (r#"{"content":"{\"password\": \"two words\"}"}"#.to_owned(), "words"),
            ("POE_API_KEY=hunter2\nnext".to_owned(), "hunter2"),
            ("try sk-proj-abcdefghijklmno".to_owned(), "proj-abc"),
            ("see https://me:hunter2@example.org/x".to_owned(), "hunter2"),
            ("postgres://me:hunter2@db".to_owned(), "hunter2"),
            ("https://x.org/?key=hunter2&a=b".to_owned(), "hunter2"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF".to_owned(), "abcDEF"),
            ("Cookie: a=hunter2; b=hunter3".to_owned(), "hunter3"),
        ];
        for (text, secret) in cases {
            let shown = redact(&text, &["the-poe-key"]);
            assert!(!shown.contains(secret), "{text}\n{shown}");
            assert!(shown.contains(MASK) || shown.contains(" characters]"), "{shown}");
        }
    }

    #[test]
    fn everything_else_stays() {
        for text in [
            "",
            "Hello, world! 你好 token by token, password managers and basic facts.",
            r#"{"model":"gpt-5.2","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"a/b c-d_e"}]}"#,
            "data: {\"x\": 1}",
            "call_ABCDEFGHIJKLMNOPQRSTUVWX",
            "https://example.org/a@b: see the key above",
        ] {
            assert_eq!(redact(text, &["", "short"]), text);
        }
        assert!(redact("POE_API_KEY=hunter2\nnext", &[]).ends_with("\nnext"));
        assert_eq!(redact("token: abcdef is what I use", &[]), format!("token: {MASK} is what I use"));
        assert!(redact(r#"{"password": "a b", "user": "c"}"#, &[]).contains(r#", "user": "c"}"#));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut capture = Capture::default();
        capture.request("é ".repeat(MAX_TAKEN).as_bytes());
        for _ in 0..MAX_TAKEN {
            capture.answer("字 ");
        }
        let kept = capture.keep(&[]);
        for text in [&kept.request, &kept.answer] {
            assert!((MAX_KEPT - 8..=MAX_KEPT + 8).contains(&text.len()), "{}", text.len());
            assert!(text.ends_with('…'));
        }
        assert_eq!(capture.keep(&[]), Kept::default());
    }

    #[test]
    fn half_a_key_at_the_cut_is_not_shown() {
        let mut capture = Capture::default();
        let key = "k3y".repeat(8);
        // all but the end shrinks to a word
        let blob = "a".repeat(MAX_TAKEN - 30);
        capture.request(format!("{blob} {}", "k3y".repeat(14)).as_bytes());
        assert!(!capture.keep(&[]).request.contains(&key));
    }
}
