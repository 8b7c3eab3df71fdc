//! Which bot a client means by the name it writes.

use super::catalog::Entry;

/// The most names that are suggested for one that does not exist.
const SUGGESTIONS: usize = 3;
/// Similarity below which a name is no suggestion.
const LEAST_SIMILARITY: f64 = 0.75;
/// Efforts that may stand behind a name, as in `gpt-5.2-high`.
const SUFFIXES: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// A name that was understood.
#[derive(Debug)]
pub struct Named<'a> {
    /// The model it means.
    pub entry: &'a Entry,
    /// The effort that stood behind the name.
    pub effort: Option<&'static str>,
}

/// All that `name` may mean, the likeliest first: itself, without a provider before it or brackets behind it (Claude
/// Code's `[1m]`), and all that without an effort behind it.
pub fn readings(name: &str) -> impl Iterator<Item = (&str, Option<&'static str>)> {
    let name = name.trim();
    let plain = name.strip_suffix(']').and_then(|name| name.rsplit_once('[')).map(|(name, _)| name);
    let forms = move || {
        let names = [Some(name), plain].into_iter().flatten();
        names.flat_map(|name| {
            std::iter::successors(Some(name), |name| name.split_once('/').map(|(_, rest)| rest))
        })
    };
    let stripped = forms().filter_map(|name: &str| {
        let (base, suffix) = name.rsplit_once('-')?;
        let effort = SUFFIXES.iter().find(|known| known.eq_ignore_ascii_case(suffix))?;
        Some((base, Some(*effort)))
    });
    forms().map(|name| (name, None)).chain(stripped)
}

/// The model that is listed under `name` itself, in any case, or under an Anthropic name without its date and in Poe's
/// order.
pub fn listed<'a>(catalog: &'a [Entry], name: &str) -> Option<&'a Entry> {
    exact(catalog, name).or_else(|| exact(catalog, &folded(name)))
}

/// Finds the model that `name` means, by the first of its [`readings`] that is [`listed`].
pub fn find<'a>(catalog: &'a [Entry], name: &str) -> Option<Named<'a>> {
    readings(name).find_map(|(name, effort)| listed(catalog, name).map(|entry| Named { entry, effort }))
}

/// The names most like one that does not exist, the likest first.
pub fn suggestions<'a>(catalog: &'a [Entry], name: &str) -> Vec<&'a str> {
    let name = name.to_lowercase();
    let likeness =
        |entry: &'a Entry| (strsim::jaro_winkler(&entry.id.to_lowercase(), &name), entry.id.as_str());
    let mut alike: Vec<_> =
        catalog.iter().map(likeness).filter(|(score, _)| *score >= LEAST_SIMILARITY).collect();
    alike.sort_by(|one, other| other.0.total_cmp(&one.0));
    alike.into_iter().take(SUGGESTIONS).map(|(_, id)| id).collect()
}

/// The model that is listed under `name` to the letter, in any case.
pub fn exact<'a>(catalog: &'a [Entry], name: &str) -> Option<&'a Entry> {
    catalog.iter().find(|entry| same_name(&entry.id, name))
}

/// Whether both are one name: case does not matter, in any alphabet.
pub fn same_name(one: &str, other: &str) -> bool {
    match one.is_ascii() && other.is_ascii() {
        true => one.eq_ignore_ascii_case(other),
        false => one.to_lowercase() == other.to_lowercase(),
    }
}

/// `claude-3-7-sonnet-20250219` as `claude-sonnet-3.7`: dates and `latest` dropped, versions with a dot and last.
fn folded(name: &str) -> String {
    let name = name.to_lowercase();
    let is_date = |word: &&str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_version =
        |word: &str| !word.is_empty() && word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit());
    let words: Vec<&str> =
        name.split(['-', '@', ':']).filter(|word| !is_date(word) && *word != "latest").collect();
    if words.first() != Some(&"claude") {
        return words.join("-");
    }
    let (version, family): (Vec<&str>, Vec<&str>) =
        words[1..].iter().partition(|word| is_version(word) || word.parse::<f32>().is_ok());
    let mut folded = String::from("claude");
    for part in
        family.into_iter().chain(Some(version.join(".").as_str()).filter(|version| !version.is_empty()))
    {
        folded.push('-');
        folded.push_str(part);
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Vec<Entry> {
        [
            "GPT-5.2",
            "gpt-5.2-high-res",
            "claude-sonnet-4.5",
            "claude-opus-4",
            "claude-sonnet-3.7",
            "odd-low",
            "a/b",
            "ÄÖÜ-Bot",
        ]
        .map(|id| Entry { id: id.into(), ..Entry::default() })
        .into()
    }

    fn found(name: &str) -> Option<(String, Option<&'static str>)> {
        find(&catalog(), name).map(|named| (named.entry.id.clone(), named.effort))
    }

    #[test]
    fn names_in_all_their_forms() {
        let cases = [
            ("gpt-5.2", Some(("GPT-5.2", None))),
            (" GPT-5.2 ", Some(("GPT-5.2", None))),
            ("openai/gpt-5.2", Some(("GPT-5.2", None))),
            ("openrouter/openai/gpt-5.2", Some(("GPT-5.2", None))),
            ("a/b", Some(("a/b", None))),
            ("claude-sonnet-4-5-20250929", Some(("claude-sonnet-4.5", None))),
            ("anthropic/claude-sonnet-4-5", Some(("claude-sonnet-4.5", None))),
            ("claude-opus-4-20250514", Some(("claude-opus-4", None))),
            ("claude-3-7-sonnet-latest", Some(("claude-sonnet-3.7", None))),
            ("claude-opus-4@20250514", Some(("claude-opus-4", None))),
            ("claude-opus-4-20250514[1m]", Some(("claude-opus-4", None))),
            ("anthropic/claude-sonnet-4-5[1m]", Some(("claude-sonnet-4.5", None))),
            ("claude-3-7-sonnet@20250219", Some(("claude-sonnet-3.7", None))),
            ("gpt-5.2-high", Some(("GPT-5.2", Some("high")))),
            ("poe/gpt-5.2-xhigh", Some(("GPT-5.2", Some("xhigh")))),
            ("odd-low", Some(("odd-low", None))),
            ("x/äöü-BOT", Some(("ÄÖÜ-Bot", None))),
            ("äöü-bot-20250514-low", Some(("ÄÖÜ-Bot", Some("low")))),
            ("gpt-5.2-turbo", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(found(name), expected.map(|(id, effort)| (id.to_owned(), effort)), "{name}");
        }
    }

    #[test]
    fn the_nearest_names_are_suggested() {
        assert_eq!(suggestions(&catalog(), "claude-sonet-4.5")[0], "claude-sonnet-4.5");
        assert!(suggestions(&catalog(), "zzzzzz").is_empty());
    }
}
