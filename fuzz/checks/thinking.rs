//! The thinking splitter: splits do not change the result, and text without reasoning is unchanged.

use poe2openai::pipeline::stages::Thinking;

use super::replay::{Answer, fold};

/// Checks one input.
pub fn thinking(data: &[u8]) {
    let answer = Answer::of(data);
    let whole = fold(answer.whole(), Thinking::default());
    assert_eq!(fold(answer.pieces(), Thinking::default()), whole);
    assert_eq!(fold(answer.letters(), Thinking::default()), whole);
    if whole.thinking.is_empty() {
        let first = answer.text.trim_start();
        let marked = first.starts_with(['*', 'T', '<', '[', '\u{25c1}']);
        assert!(whole.text == answer.text || marked);
    }
    assert!(answer.text.ends_with(&whole.text), "the answer is the end of the text");
}
