//! Set of the URLs that a text names, as hashes, because the text of a stream is not kept.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The longest URL that is remembered, in bytes, and how many are.
const LONGEST: usize = 4096;
const MOST: usize = 1024;

/// The URLs in a text that is read piece by piece.
#[derive(Default)]
pub struct Named {
    /// What stands behind `//` so far, while a URL is being read.
    open: Option<String>,
    /// The last character was a slash outside of a URL.
    follows_slash: bool,
    known: HashSet<u64>,
}

impl Named {
    /// Whether the text before ends outside of a URL, so that a piece without `/` names none.
    pub fn is_idle(&self) -> bool {
        self.open.is_none() && !self.follows_slash
    }

    /// Reads the next piece of the text.
    pub fn read(&mut self, piece: &str) {
        if self.is_idle() && !piece.contains('/') {
            return;
        }
        for char in piece.chars() {
            match (&mut self.open, char) {
                (Some(_), char) if ends_url(char) => {
                    self.close();
                    self.follows_slash = false;
                }
                (Some(url), char) if url.len() < LONGEST => url.push(char),
                (Some(_), _) => {}
                (None, '/') if self.follows_slash => {
                    self.open = Some(String::new());
                    self.follows_slash = false;
                }
                (None, char) => self.follows_slash = char == '/',
            }
        }
    }

    fn close(&mut self) {
        let Some(url) = self.open.take() else { return };
        self.remember(&url);
    }

    fn remember(&mut self, url: &str) {
        let url = trimmed(url);
        if url.len() < LONGEST && self.known.len() < MOST {
            self.known.insert(hash(url));
            // pictures are named with their size where the file is not, and the other way round
            self.known.insert(hash(without_query(url)));
        }
    }

    /// Whether the text names `url`, whatever the query behind it if it lies at Poe.
    pub fn has(&mut self, url: &str) -> bool {
        if let Some(open) = self.open.clone() {
            self.remember(&open);
        }
        let Some((_, url)) = url.split_once("//") else { return false };
        let host = url.split('/').next().unwrap_or_default();
        let is_poes = host == "poecdn.net" || host.ends_with(".poecdn.net");
        let known = |url: &str| self.known.contains(&hash(trimmed(url)));
        known(url) || known(&escaped(url)) || is_poes && known(without_query(url))
    }
}

/// The characters that end a URL in running text.
fn ends_url(char: char) -> bool {
    char.is_whitespace() || matches!(char, ')' | ']' | '>' | '<' | '"' | '\'' | '`' | '\\' | '|')
}

fn trimmed(url: &str) -> &str {
    url.trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_'])
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// As Markdown needs it.
fn escaped(url: &str) -> String {
    url.replace('(', "%28").replace(')', "%29").replace(' ', "%20").replace('<', "%3C").replace('>', "%3E")
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pieces: &[&str], url: &str) -> bool {
        let mut named = Named::default();
        pieces.iter().for_each(|piece| named.read(piece));
        named.has(url)
    }

    #[test]
    fn urls_are_found_however_they_are_cut() {
        let url = "https://pfst.cf2.poecdn.net/base/image/1?w=2";
        for text in [
            format!("a/b // {url}"),
            format!("![x]({url})."),
            format!("<{url}> and on"),
            format!("{url}!"),
            "https://pfst.cf2.poecdn.net/base/image/1 here".into(),
        ] {
            for (cut, _) in text.char_indices() {
                assert!(named(&[&text[..cut], &text[cut..]], url), "{text} cut at {cut}");
            }
            let letters: Vec<String> = text.chars().map(String::from).collect();
            assert!(named(&letters.iter().map(String::as_str).collect::<Vec<_>>(), url), "{text}");
        }
        for text in
            ["", "https://x.org/1?w=3", "https://pfst.cf2.poecdn.net/base/image/12", "/base/image/1?w=2"]
        {
            assert!(!named(&[text], url), "{text}");
        }
        assert!(!named(&["https://x.org/1?w=3 "], "https://x.org/1?w=2"));
        assert!(named(&["(https://x.org/a%28b%29)"], "https://x.org/a(b)"));
        assert!(!named(&["x//y"], "no url"));
    }
}
