//! The token counter against counts made by OpenAI's tiktoken, and against itself for text that arrives in pieces.

use poe2openai::tokens::{Running, count};
use proptest::prelude::*;

/// Pairs of a count by tiktoken 0.14 (`encode_ordinary` with the ranks and the pattern of o200k_base) and its text.
const FIXTURE: &str = include_str!("fixtures/o200k.json");

fn fixture() -> Vec<(usize, String)> {
    serde_json::from_str(FIXTURE).expect("a list of pairs")
}

/// The text in pieces of the lengths in `cuts`, repeated.
fn pieces(text: &str, cuts: &[usize]) -> Vec<String> {
    let mut characters = text.chars().peekable();
    let mut pieces = Vec::new();
    for cut in cuts.iter().cycle() {
        if characters.peek().is_none() {
            break;
        }
        pieces.push(characters.by_ref().take(*cut).collect());
    }
    pieces
}

fn running_equals_count_after_each(pieces: &[String]) {
    let mut running = Running::new();
    let mut text = String::new();
    for piece in pieces {
        text.push_str(piece);
        assert_eq!(running.push(piece), count(&text), "{text:?}");
        assert_eq!(running.total(), count(&text));
    }
}

#[test]
fn counts_are_those_of_tiktoken() {
    let fixture = fixture();
    assert!(fixture.len() >= 400);
    for (tokens, text) in fixture {
        assert_eq!(count(&text), tokens, "{text:?}");
    }
}

#[test]
fn known_texts_in_pieces() {
    for (_, text) in fixture() {
        running_equals_count_after_each(&pieces(&text, &[1]));
        running_equals_count_after_each(&pieces(&text, &[7, 1, 2, 30]));
    }
}

#[test]
fn what_fits_is_the_longest_begin_within_the_limit() {
    for (tokens, text) in fixture().into_iter().filter(|(_, text)| text.len() < 200) {
        let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        let counts: Vec<_> = ends.map(|end| (end, count(&text[..end]))).collect();
        for limit in [0, 1, tokens / 2, tokens.saturating_sub(1), tokens] {
            let longest = counts.iter().filter(|(_, tokens)| *tokens <= limit).max();
            let mut running = Running::new();
            let fitting = running.fits(&text, limit);
            assert_eq!(longest, Some(&(fitting, running.total())), "{limit} of {text:?}");
        }
    }
}

#[test]
fn a_stream_never_shows_more_than_the_limit() {
    let text = "The count of a text may fall as it grows.   \n\n   字字字 ".repeat(20);
    for limit in [1, 10, 57, 300] {
        let mut running = Running::new();
        let mut shown = String::new();
        for piece in pieces(&text, &[3, 1, 5]) {
            let fitting = running.fits(&piece, limit);
            shown.push_str(&piece[..fitting]);
            assert!(count(&shown) <= limit);
            if fitting < piece.len() {
                break;
            }
        }
        assert_eq!(running.total(), count(&shown));
        assert!(running.total() + 1 >= limit);
    }
}

/// Debug builds are slow, so these are shorter than what a release build takes in a second.
#[test]
fn an_unbroken_piece_is_no_trouble() {
    for piece in ["a", " ", "=", "字", "\n "] {
        let text = piece.repeat(6_000 / piece.len());
        let mut running = Running::new();
        for character in pieces(&text, &[1]) {
            running.push(&character);
        }
        assert_eq!(running.total(), count(&text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn any_text_in_any_pieces(
        text in "[ \n\r\t]{0,9}([aAbB字éǅ\u{301}']{1,40}|[ \n/!]{1,20}|[ -~]{0,40}|\\PC{0,20}){1,6}",
        cuts in prop::collection::vec(1_usize..20, 1..8),
    ) {
        running_equals_count_after_each(&pieces(&text, &cuts));
    }

    #[test]
    fn long_runs_in_any_pieces(
        runs in prop::collection::vec(("[aA 字\n=\u{301}]", 1_usize..300), 1..4),
        cuts in prop::collection::vec(1_usize..60, 1..8),
    ) {
        let text: String = runs.iter().map(|(run, times)| run.repeat(*times)).collect();
        running_equals_count_after_each(&pieces(&text, &cuts));
    }
}
