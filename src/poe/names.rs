//! Resolves the model name that a client sends to a bot.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::LazyLock;

use super::catalog::Entry;

/// The longest name of a model, in bytes: no bot of Poe's is called like a longer one.
pub const LONGEST_NAME: usize = 256;
/// The most prefixes (`openrouter/openai/`) that are taken off a name.
const MOST_PREFIXES: usize = 3;

/// The most names that are suggested for one that does not exist.
const SUGGESTIONS: usize = 3;
/// Similarity below which a name is no suggestion.
const LEAST_SIMILARITY: f64 = 0.75;
/// Efforts that may stand behind a name, as in `gpt-5.2-high`.
const SUFFIXES: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// Models in Poe's order, each found by its name without a walk through the others.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    all: Vec<Entry>,
    /// Names in lower case, to the first entry of that name.
    places: HashMap<String, usize>,
}

impl From<Vec<Entry>> for Entries {
    fn from(all: Vec<Entry>) -> Entries {
        let mut places = HashMap::with_capacity(all.len());
        for (place, entry) in all.iter().enumerate() {
            places.entry(entry.id.to_lowercase()).or_insert(place);
        }
        Entries { all, places }
    }
}

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.all
    }
}

impl Entries {
    /// A list without models.
    pub fn none() -> &'static Entries {
        static NONE: LazyLock<Entries> = LazyLock::new(Entries::default);
        &NONE
    }

    /// The model that is listed under `name` to the letter, in any case.
    pub fn exact(&self, name: &str) -> Option<&Entry> {
        self.places.get(&name.to_lowercase()).map(|place| &self.all[*place])
    }

    /// The model that is listed under `name` itself, in any case, or under an Anthropic name without its date and in
    /// Poe's order.
    pub fn listed(&self, name: &str) -> Option<&Entry> {
        self.exact(name).or_else(|| self.exact(&folded(name)))
    }

    /// Finds the model that `name` means, by the first of its [`readings`] that is [`Entries::listed`].
    pub fn find(&self, name: &str) -> Option<Named<'_>> {
        readings(name).find_map(|(name, effort)| self.listed(name).map(|entry| Named { entry, effort }))
    }
}

/// Those of `names` that are most like `name`, the likest first.
pub fn nearest<'a>(names: impl Iterator<Item = &'a str>, name: &str) -> Vec<&'a str> {
    if name.len() > LONGEST_NAME {
        return Vec::new();
    }
    let name = name.to_lowercase();
    let scored = names.map(|other| (strsim::jaro_winkler(&other.to_lowercase(), &name), other));
    let mut alike: Vec<_> = scored.filter(|(score, _)| *score >= LEAST_SIMILARITY).collect();
    alike.sort_by(|one, other| other.0.total_cmp(&one.0));
    alike.into_iter().take(SUGGESTIONS).map(|(_, name)| name).collect()
}

/// A name that was understood.
#[derive(Debug)]
pub struct Named<'a> {
    /// The model it means.
    pub entry: &'a Entry,
    /// The effort that stood behind the name.
    pub effort: Option<&'static str>,
}

/// All that `name` may mean, the likeliest first: itself, without providers before it or marks around it (Claude Code's
/// `[1m]`, `:latest`, `@`), and all that without an effort behind it. A name that is too long means nothing.
pub fn readings(name: &str) -> impl Iterator<Item = (&str, Option<&'static str>)> {
    let name = Some(name.trim()).filter(|name| name.len() <= LONGEST_NAME);
    let plain = name.map(unmarked).filter(|plain| Some(*plain) != name);
    let forms = move || {
        let names = [name, plain].into_iter().flatten();
        names.flat_map(|name| {
            std::iter::successors(Some(name), |name| name.split_once('/').map(|(_, rest)| rest))
                .take(1 + MOST_PREFIXES)
                .flat_map(|name| [Some(name), name.strip_prefix('@')])
                .flatten()
        })
    };
    let stripped = forms().filter_map(|name: &str| {
        let (base, suffix) = name.rsplit_once('-')?;
        let effort = SUFFIXES.iter().find(|known| known.eq_ignore_ascii_case(suffix))?;
        Some((base, Some(*effort)))
    });
    forms().map(|name| (name, None)).chain(stripped)
}

/// The name of a bot that no list has, without what programs put around names: `poe/NAME`, `@NAME`, `NAME:latest`,
/// `NAME[1m]`. `None` if nothing stands around it.
pub fn plain_name(name: &str) -> Option<&str> {
    let mut plain = unmarked(name);
    for _ in 0..MOST_PREFIXES {
        plain = plain.split_once('/').map_or(plain, |(_, rest)| unmarked(rest));
    }
    Some(plain).filter(|plain| !plain.is_empty() && *plain != name)
}

/// The name without the marks around it.
fn unmarked(name: &str) -> &str {
    const LATEST: &str = ":latest";
    let mut plain = name.trim();
    loop {
        let before = plain;
        plain = plain.trim_start_matches('@');
        plain =
            plain.strip_suffix(']').and_then(|name| name.rsplit_once('[')).map_or(plain, |(name, _)| name);
        let tag = plain.len().checked_sub(LATEST.len()).and_then(|at| plain.split_at_checked(at));
        let name = tag.filter(|(_, tag)| tag.eq_ignore_ascii_case(LATEST)).map(|(name, _)| name);
        plain = name.unwrap_or(plain).trim();
        if plain == before {
            return plain;
        }
    }
}

/// Whether both are one name: case does not matter, in any alphabet.
pub fn same_name(one: &str, other: &str) -> bool {
    match one.is_ascii() && other.is_ascii() {
        true => one.eq_ignore_ascii_case(other),
        false => one.to_lowercase() == other.to_lowercase(),
    }
}

/// `claude-3-7-sonnet-20250219` as `claude-sonnet-3.7`: dates and `latest` dropped, versions with a dot and last.
pub fn folded(name: &str) -> String {
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

    fn catalog() -> Entries {
        let ids = [
            "GPT-5.2",
            "gpt-5.2-high-res",
            "claude-sonnet-4.5",
            "claude-opus-4",
            "claude-sonnet-3.7",
            "odd-low",
            "a/b",
            "ÄÖÜ-Bot",
        ];
        Vec::from(ids.map(|id| Entry { id: id.into(), ..Entry::default() })).into()
    }

    fn found(name: &str) -> Option<(String, Option<&'static str>)> {
        catalog().find(name).map(|named| (named.entry.id.clone(), named.effort))
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
            ("@GPT-5.2", Some(("GPT-5.2", None))),
            ("poe/@gpt-5.2:latest", Some(("GPT-5.2", None))),
            ("gpt-5.2:Latest", Some(("GPT-5.2", None))),
            ("gpt-5.2:latest[1m]", Some(("GPT-5.2", None))),
            ("@poe/gpt-5.2-high:latest", Some(("GPT-5.2", Some("high")))),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(found(name), expected.map(|(id, effort)| (id.to_owned(), effort)), "{name}");
        }
    }

    #[test]
    fn long_names_and_many_prefixes_have_few_readings() {
        assert_eq!(found("a/b/c/gpt-5.2"), Some(("GPT-5.2".to_owned(), None)));
        assert_eq!(found("a/b/c/d/gpt-5.2"), None);
        assert!(readings(&"a/".repeat(128)).count() <= 16);
        let long = "a/".repeat(127) + "abc";
        assert_eq!((long.len(), readings(&long).count()), (257, 0));
        assert!(nearest(["claude-sonnet-4.5"].into_iter(), &"claude-sonnet-4.5".repeat(20)).is_empty());
    }

    #[test]
    fn of_two_models_of_one_name_the_first_is_found() {
        let entry = |id: &str, created| Entry { id: id.into(), created, ..Entry::default() };
        let entries = Entries::from(vec![entry("One", 1), entry("ONE", 2)]);
        assert_eq!((entries.exact("one").unwrap().created, entries.len()), (1, 2));
    }

    #[test]
    fn names_of_bots_that_no_list_has_are_freed_of_what_stands_around_them() {
        for (name, expected) in [
            ("My-Bot", None),
            ("poe/My-Bot", Some("My-Bot")),
            ("openrouter/poe/My-Bot", Some("My-Bot")),
            ("My-Bot:latest", Some("My-Bot")),
            ("My-Bot[1m]", Some("My-Bot")),
            ("@My-Bot", Some("My-Bot")),
            ("poe/@My-Bot:latest[1m]", Some("My-Bot")),
            (" My-Bot ", Some("My-Bot")),
            ("My-Bot:8b", None),
            ("@", None),
            ("poe/", None),
            ("[1m]", None),
            ("", None),
        ] {
            assert_eq!(plain_name(name), expected, "{name}");
        }
    }

    #[test]
    fn the_nearest_names_are_suggested() {
        let entries = catalog();
        let nearest = |name| nearest(entries.iter().map(|entry| entry.id.as_str()), name);
        assert_eq!(nearest("claude-sonet-4.5")[0], "claude-sonnet-4.5");
        assert!(nearest("zzzzzz").is_empty());
    }
}
