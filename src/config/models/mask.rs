//! Secrets of models.yaml: shown as a mask, and restored where the mask is sent back.
//!
//! A secret is the value of a top-level key whose name ends in `token`, `key`, `password` or `secret`.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use serde_yaml::Value as Yaml;

use super::tree::{name_of, tree};
use super::{Fault, Place};

/// Stands in place of a secret.
pub(super) const MASK: &str = "********";
/// A shorter secret can be a part of any word, so only its own value is masked.
const SHORTEST: usize = 8;

/// Whether the value of this top-level key is a secret.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    let key = key.strip_suffix('s').unwrap_or(&key);
    ["token", "key", "password", "secret"].iter().any(|end| key.ends_with(end))
}

/// The secrets of a file, the longest first, because one may be a part of another.
pub(super) fn secrets(tree: &Yaml) -> Vec<String> {
    let mut found = Vec::new();
    let top = tree.as_mapping().into_iter().flatten();
    for (_, value) in top.filter(|(key, _)| is_secret(&name_of(key))) {
        collect(value, &mut found);
    }
    found.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    found.dedup();
    found
}

/// Recursion is bounded by the parser's own limit of depth.
fn collect(value: &Yaml, found: &mut Vec<String>) {
    match value {
        Yaml::Mapping(mapping) => mapping.values().for_each(|value| collect(value, found)),
        Yaml::Sequence(all) => all.iter().for_each(|value| collect(value, found)),
        Yaml::Tagged(tagged) => collect(&tagged.value, found),
        Yaml::String(text) => found.push(text.clone()),
        Yaml::Number(number) => found.push(number.to_string()),
        _ => {}
    }
}

/// A top-level key with a secret as it stands in the text, also in a comment.
struct Entry<'a> {
    key: &'a str,
    is_comment: bool,
    /// From the colon to the end of the last line of the value.
    value: Range<usize>,
}

/// The entries of a text, which need not be valid YAML. A key written in another way than `key: value` is not found.
fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut found: Vec<Entry<'_>> = Vec::new();
    let (mut start, mut is_open) = (0, false);
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end_matches(['\n', '\r']).len();
        let goes_on = line.starts_with([' ', '\t', '-']) || line.trim().is_empty();
        match found.last_mut() {
            Some(last) if is_open && goes_on && !last.is_comment => {
                last.value.end = if line.trim().is_empty() { last.value.end } else { end };
            }
            _ => {
                let entry = entry(text, start..end);
                is_open = entry.is_some();
                found.extend(entry);
            }
        }
        start += line.len();
    }
    found.retain(|entry| !text[entry.value.clone()].trim().is_empty());
    found
}

fn entry(text: &str, line: Range<usize>) -> Option<Entry<'_>> {
    let content = text[line.clone()].trim_start_matches('#');
    let is_comment = content.len() < line.len();
    let content = if is_comment { content.trim_start() } else { content };
    let (key, _) = content.split_once(':')?;
    let value = line.end - content.len() + key.len() + 1..line.end;
    let key = key.trim_end().trim_matches(['"', '\'']);
    (!key.starts_with([' ', '\t', '{']) && is_secret(key)).then_some(Entry { key, is_comment, value })
}

/// The text with its secrets masked, those in comments and in a broken file too; `known` are further secrets.
pub fn masked(text: &str, known: &[&str]) -> String {
    let (mut shown, mut end) = (String::with_capacity(text.len()), 0);
    for entry in entries(text) {
        shown += &format!("{} \"{MASK}\"", &text[end..entry.value.start]);
        end = entry.value.end;
    }
    shown += &text[end..];
    let own = tree(text).map(|tree| secrets(&tree)).unwrap_or_default();
    hide(&shown, own.iter().map(String::as_str).chain(known.iter().copied()).collect())
}

/// The text with all `secrets` masked, in one walk through it: there may be as many as it has lines.
fn hide(text: &str, mut secrets: Vec<&str>) -> String {
    secrets.sort_by_key(|secret| Reverse(secret.len()));
    secrets.dedup();
    let mut by_start: HashMap<&[u8], Vec<&str>> = HashMap::new();
    for secret in secrets.into_iter().filter(|secret| secret.len() >= SHORTEST) {
        by_start.entry(&secret.as_bytes()[..SHORTEST]).or_default().push(secret);
    }
    let (mut shown, mut copied, mut at) = (String::with_capacity(text.len()), 0, 0);
    while let Some(start) = text.as_bytes().get(at..at + SHORTEST) {
        let same_start = by_start.get(start).map_or(&[][..], Vec::as_slice);
        match same_start.iter().find(|secret| text.as_bytes()[at..].starts_with(secret.as_bytes())) {
            Some(secret) => {
                shown += &text[copied..at];
                shown += MASK;
                at += secret.len();
                copied = at;
            }
            None => at += 1,
        }
    }
    shown += &text[copied..];
    shown
}

/// The text with each mask replaced by the value of the same key in `before`, the text that was shown.
///
/// # Errors
/// The place of a mask that stands for no value.
pub fn unmasked(text: &str, before: &str, known: &[&str]) -> Result<String, Fault> {
    if masked(before, known) == text {
        return Ok(before.to_owned());
    }
    let mut values: HashMap<(&str, bool), Vec<&str>> = HashMap::new();
    for entry in entries(before).into_iter().rev() {
        values.entry((entry.key, entry.is_comment)).or_default().push(&before[entry.value]);
    }
    let mut restored = String::new();
    let mut end = 0;
    for entry in entries(text) {
        if text[entry.value.clone()].trim().trim_matches(['"', '\'']) != MASK {
            continue;
        }
        let value = values.get_mut(&(entry.key, entry.is_comment)).and_then(Vec::pop);
        let value = value.ok_or_else(|| lost(text, entry.value.start, entry.key))?;
        restored += &text[end..entry.value.start];
        restored += value;
        end = entry.value.end;
    }
    restored += &text[end..];
    match restored.matches(MASK).count() > before.matches(MASK).count() {
        true => Err(lost(&restored, restored.rfind(MASK).unwrap_or(0), "")),
        false => Ok(restored),
    }
}

fn lost(text: &str, at: usize, key: &str) -> Fault {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = text[..start].matches('\n').count() + 1;
    let place = Some(Place { line, column: text[start..at].chars().count() + 1 });
    let message =
        format!("{MASK} stands for a secret that the file does not have here; enter the secret itself");
    Fault { place, field: key.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_secret_is_masked_and_restored() {
        let texts = [
            "api_token: geheim-geheim\n",
            "enable: true\napi_token: \"geheim\"\n",
            "api_token:   geheim-a b   # theirs: geheim\nmodels: {}\n",
            "'api_token' : 'it''s geheim'\n",
            "\"api_token\": \"geheim \\\" geheim\"\r\nmodels: {}\r\n",
            "api_token: |\n  geheim-a\n\n  geheim-b\n\nenable: true\n",
            "api_token: !x &t geheim-geheim\n",
            "api_token: *t\nkeys: &t geheim-geheim # geheim-geheim\n",
            "enable: &t geheim-geheim\napi_token: *t\n",
            "api_token: geheim-geheim\nurl: https://geheim-geheim@x\nmodels: {}\n",
            "# api_token: geheim-old\n#api_token: geheim-older\napi_token: geheim-new\nenable: true\n",
            "PASSWORDS:\n- geheim-aa\n- geheim-bb\nPOE_API_KEY: {a: [geheim-cc]}\nmy secret: geheim\n",
            "{\"api_token\":\"geheim-geheim\",\"models\":{}}",
            "api_token: geheim-geheim\nmodels: [\n",
        ];
        for text in texts {
            let shown = masked(text, &[]);
            assert!(!shown.contains("geheim") && shown.contains(MASK), "{shown}");
            assert_eq!(unmasked(&shown, text, &[]).unwrap(), text);
        }
        assert_eq!(
            masked("x: geheim-last\n", &["geheim-last"]),
            "x: ********\n",
            "of the file before it broke"
        );
        for plain in ["api_token:\nenable: true\n", "max_tokens_x: 5\nmodels:\n  Secret: {mapping: x}\n", ""]
        {
            assert_eq!(masked(plain, &[]), plain);
        }
    }

    #[test]
    fn every_one_of_many_secrets_is_masked_wherever_it_is() {
        let secret = |at: usize| format!("é-secret-number-{at}");
        let known: Vec<String> = (0..300).map(secret).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let text: String = (0..300).map(|at| format!("# {0} and {0}é\n", secret(at))).collect();
        assert_eq!(masked(&text, &known), format!("# {MASK} and {MASK}é\n").repeat(300));
        assert_eq!(masked("# a é-secret-numbe", &known), "# a é-secret-numbe");
    }

    #[test]
    fn a_changed_text_keeps_the_secrets_of_its_masks() {
        let before = "# api_token: geheim-old\napi_token: geheim-a # theirs\npassword: |\n  geheim-b\n  geheim-c\nx: ********\n";
        let shown = masked(before, &[]);
        let turned = "password: '********'\nenable: true\napi_token: \"********\"\n# api_token: \"********\"\nx: ********\n";
        assert_eq!(
            unmasked(turned, before, &[]).unwrap(),
            "password: |\n  geheim-b\n  geheim-c\nenable: true\napi_token: geheim-a # theirs\n# api_token: geheim-old\nx: ********\n"
        );
        assert_eq!(unmasked(&format!("{shown}new: 1\n"), before, &[]).unwrap(), format!("{before}new: 1\n"));
        assert_eq!(unmasked("api_token: new\n", before, &[]).unwrap(), "api_token: new\n");
        for (text, at) in [
            ("enable: true\ntoken: ********\n", "line 2, column 7: token: "),
            (
                "api_token: ********\nmodels: {a: {description: ********}}\ny: ********\n",
                "line 3, column 4: ",
            ),
            ("? api_token\n: '********'\n# ********\n", "line 3, column 3: "),
        ] {
            let fault = unmasked(text, before, &[]).unwrap_err().to_string();
            assert!(fault.starts_with(at) && fault.contains("enter the secret itself"), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn what_was_shown_and_is_sent_back_is_the_file(text in r##"(api_token|password|models|geheim-geheim|"|'|:|: | |\n|\r|\n  |\\|é|#|\||-|,|\{|\}|\[|\*){0,40}"##) {
            let shown = masked(&text, &[]);
            if let Some(secret) = tree(&text).ok().and_then(|tree| secrets(&tree).into_iter().find(|secret| secret.len() >= SHORTEST)) {
                prop_assert!(!shown.contains(&secret), "{}", shown);
            }
            prop_assert_eq!(unmasked(&shown, &text, &[]).unwrap(), text.clone());
            let _ = unmasked(&format!("{shown}\nx"), &text, &[]);
        }
    }
}
