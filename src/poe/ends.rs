//! Maps the finish reasons of all model providers to ours.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::error::Kind;
use crate::pipeline::FinishReason;

/// What a `finish_reason` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The answer is complete, or as complete as it gets.
    Reason(FinishReason),
    /// The model or its server failed; an answer without content is no answer.
    Failed(Kind),
}

use End::{Failed, Reason};
use FinishReason::{ContentFilter, Length, Stop, ToolCalls};

/// Words in lower case, with `_` between their parts and without the prefixes of [`PREFIXES`].
const ENDS: &[(&str, End)] = &[
    // OpenAI, Anthropic, Gemini, Cohere, Bedrock, Titan, AI21, Together, TGI, Baidu, Replicate
    ("stop", Reason(Stop)),
    ("end_turn", Reason(Stop)),
    ("endturn", Reason(Stop)),
    ("stop_sequence", Reason(Stop)),
    ("stop_sequences", Reason(Stop)),
    ("stop_token", Reason(Stop)),
    ("stop_criteria_met", Reason(Stop)),
    ("pause_turn", Reason(Stop)),
    ("turn_complete", Reason(Stop)),
    ("eos", Reason(Stop)),
    ("eos_token", Reason(Stop)),
    ("end_of_text", Reason(Stop)),
    ("endoftext", Reason(Stop)),
    ("complete", Reason(Stop)),
    ("completed", Reason(Stop)),
    ("done", Reason(Stop)),
    ("end", Reason(Stop)),
    ("finish", Reason(Stop)),
    ("finished", Reason(Stop)),
    ("normal", Reason(Stop)),
    ("success", Reason(Stop)),
    ("succeeded", Reason(Stop)),
    ("unspecified", Reason(Stop)),
    ("other", Reason(Stop)),
    ("unknown", Reason(Stop)),
    ("null", Reason(Stop)),
    // the answer was cut short
    ("length", Reason(Length)),
    ("max_tokens", Reason(Length)),
    ("max_token", Reason(Length)),
    ("max_tokens_reached", Reason(Length)),
    ("max_length", Reason(Length)),
    ("max_len", Reason(Length)),
    ("max_new_tokens", Reason(Length)),
    ("max_output", Reason(Length)),
    ("max_output_tokens", Reason(Length)),
    ("max_completion_tokens", Reason(Length)),
    ("max_context", Reason(Length)),
    ("model_length", Reason(Length)),
    ("model_context_window_exceeded", Reason(Length)),
    ("context_window_exceeded", Reason(Length)),
    ("context_length_exceeded", Reason(Length)),
    ("context_length", Reason(Length)),
    ("context_limit", Reason(Length)),
    ("token_limit", Reason(Length)),
    ("token_limit_reached", Reason(Length)),
    ("length_limit", Reason(Length)),
    ("output_limit", Reason(Length)),
    ("error_limit", Reason(Length)),
    ("time_limit", Reason(Length)),
    ("limit", Reason(Length)),
    ("truncated", Reason(Length)),
    ("incomplete", Reason(Length)),
    // the content was refused
    ("content_filter", Reason(ContentFilter)),
    ("content_filtered", Reason(ContentFilter)),
    ("content_policy", Reason(ContentFilter)),
    ("content_policy_violation", Reason(ContentFilter)),
    ("policy_violation", Reason(ContentFilter)),
    ("safety", Reason(ContentFilter)),
    ("unsafe", Reason(ContentFilter)),
    ("sensitive", Reason(ContentFilter)),
    ("refusal", Reason(ContentFilter)),
    ("refused", Reason(ContentFilter)),
    ("recitation", Reason(ContentFilter)),
    ("blocklist", Reason(ContentFilter)),
    ("blocked", Reason(ContentFilter)),
    ("prohibited_content", Reason(ContentFilter)),
    ("spii", Reason(ContentFilter)),
    ("image_safety", Reason(ContentFilter)),
    ("image_prohibited_content", Reason(ContentFilter)),
    ("image_recitation", Reason(ContentFilter)),
    ("model_armor", Reason(ContentFilter)),
    ("guardrail_intervened", Reason(ContentFilter)),
    ("guardrail", Reason(ContentFilter)),
    ("guardrails", Reason(ContentFilter)),
    ("error_toxic", Reason(ContentFilter)),
    ("moderation", Reason(ContentFilter)),
    ("moderated", Reason(ContentFilter)),
    ("flagged", Reason(ContentFilter)),
    // calls
    ("tool_calls", Reason(ToolCalls)),
    ("tool_call", Reason(ToolCalls)),
    ("tool_use", Reason(ToolCalls)),
    ("function_call", Reason(ToolCalls)),
    ("function_calls", Reason(ToolCalls)),
    ("requires_action", Reason(ToolCalls)),
    // failures
    ("error", Failed(Kind::Upstream)),
    ("failed", Failed(Kind::Upstream)),
    ("failure", Failed(Kind::Upstream)),
    ("server_error", Failed(Kind::Upstream)),
    ("internal_error", Failed(Kind::Upstream)),
    ("network_error", Failed(Kind::Upstream)),
    ("malformed_function_call", Failed(Kind::Upstream)),
    ("malformed_tool_use", Failed(Kind::Upstream)),
    ("malformed_tool_call", Failed(Kind::Upstream)),
    ("malformed_model_output", Failed(Kind::Upstream)),
    ("malformed_response", Failed(Kind::Upstream)),
    ("unexpected_tool_call", Failed(Kind::Upstream)),
    ("too_many_tool_calls", Failed(Kind::Upstream)),
    ("missing_thought_signature", Failed(Kind::Upstream)),
    ("language", Failed(Kind::Upstream)),
    ("no_image", Failed(Kind::Upstream)),
    ("image_other", Failed(Kind::Upstream)),
    ("abort", Failed(Kind::Upstream)),
    ("aborted", Failed(Kind::Upstream)),
    ("interrupted", Failed(Kind::Upstream)),
    ("cancel", Failed(Kind::Upstream)),
    ("canceled", Failed(Kind::Upstream)),
    ("cancelled", Failed(Kind::Upstream)),
    ("user_cancel", Failed(Kind::Upstream)),
    ("timeout", Failed(Kind::UpstreamTimeout)),
    ("timed_out", Failed(Kind::UpstreamTimeout)),
    ("rate_limit", Failed(Kind::RateLimited)),
    ("rate_limit_exceeded", Failed(Kind::RateLimited)),
    ("resource_exhausted", Failed(Kind::Overloaded)),
    ("insufficient_system_resource", Failed(Kind::Overloaded)),
    ("overloaded", Failed(Kind::Overloaded)),
];

/// What stands before a word in the names of enums: `FINISH_REASON_UNSPECIFIED`, xAI's `REASON_MAX_LEN`.
const PREFIXES: &[&str] = &["finish_reason_", "finishreason_", "stop_reason_", "reason_"];

/// The most unknown words that are remembered, and the most of one that is logged, in characters.
const MOST_UNKNOWN: usize = 64;
const LONGEST_UNKNOWN: usize = 60;

/// What `word` means; `None` for no word at all. One that is unknown means that the answer is over.
pub fn end(word: &str) -> Option<End> {
    let plain = self::plain(word);
    if plain.is_empty() {
        return None;
    }
    Some(known(&plain).unwrap_or_else(|| {
        if is_new(&plain) {
            let shown: String = word.chars().take(LONGEST_UNKNOWN).collect();
            log::warn!("finish_reason {shown:?} is unknown and sent as `stop`");
        }
        Reason(Stop)
    }))
}

fn known(plain: &str) -> Option<End> {
    let bare = PREFIXES.iter().find_map(|prefix| plain.strip_prefix(prefix)).unwrap_or(plain);
    ENDS.iter().find(|(word, _)| *word == bare).map(|(_, end)| *end)
}

/// An identifier in lower case with `_` between its parts: `MAX_TOKENS`, `maxTokens` and `max-tokens` are one.
pub fn plain(word: &str) -> String {
    let (mut plain, mut before) = (String::new(), ' ');
    for char in word.trim().chars().take(LONGEST_UNKNOWN) {
        match char {
            char if char.is_alphanumeric() => {
                if char.is_uppercase() && before.is_lowercase() {
                    plain.push('_');
                }
                plain.extend(char.to_lowercase());
            }
            _ if plain.is_empty() || plain.ends_with('_') => {}
            _ => plain.push('_'),
        }
        before = char;
    }
    plain.truncate(plain.trim_end_matches('_').len());
    plain
}

/// Whether the word has not been met before.
fn is_new(word: &str) -> bool {
    static MET: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut met = MET.lock().unwrap_or_else(PoisonError::into_inner);
    let met = met.get_or_insert_with(HashSet::new);
    met.len() < MOST_UNKNOWN && met.insert(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_in_every_spelling() {
        for (word, expected) in ENDS {
            let camel = word.split('_').map(|part| part[..1].to_uppercase() + &part[1..]).collect::<String>();
            let spellings = [
                (*word).to_owned(),
                word.to_uppercase(),
                word.replace('_', "-"),
                word.replace('_', " "),
                format!("FINISH_REASON_{}", word.to_uppercase()),
                format!("FinishReason.{}", word.to_uppercase()),
                camel,
            ];
            for spelling in spellings {
                assert_eq!(end(&spelling), Some(*expected), "{spelling}");
            }
        }
    }

    #[test]
    fn the_words_of_the_makers() {
        let rows: &[(&[&str], End)] = &[
            (
                &["stop", "end_turn", "STOP", "COMPLETE", "STOP_SEQUENCE", "FINISH_REASON_UNSPECIFIED"],
                Reason(Stop),
            ),
            (&["max_tokens", "MAX_TOKENS", "model_context_window_exceeded", "model_length"], Reason(Length)),
            (&["ERROR_LIMIT", "REASON_MAX_LEN", "REASON_MAX_CONTEXT", "max_output_tokens"], Reason(Length)),
            (&["SAFETY", "sensitive", "refusal", "content_filter", "RECITATION"], Reason(ContentFilter)),
            (&["guardrail_intervened", "content_filtered", "ERROR_TOXIC", "SPII"], Reason(ContentFilter)),
            (&["tool_use", "TOOL_CALL", "function_call", "tool_calls", "toolUse"], Reason(ToolCalls)),
            (&["error", "ERROR", "MALFORMED_FUNCTION_CALL", "network_error"], Failed(Kind::Upstream)),
            (&["insufficient_system_resource"], Failed(Kind::Overloaded)),
            (&["TIMEOUT"], Failed(Kind::UpstreamTimeout)),
        ];
        for (words, expected) in rows {
            for word in *words {
                assert_eq!(end(word), Some(*expected), "{word}");
            }
        }
        assert_eq!([end(""), end(" "), end("--")], [None; 3]);
    }

    #[test]
    fn an_unknown_reason_is_an_end_and_is_new_once() {
        assert_eq!(end("because_i_said_so"), Some(Reason(Stop)));
        assert!(!is_new("because_i_said_so"));
        assert!(is_new("another_word_for_this_test") && !is_new("another_word_for_this_test"));
        assert_eq!(end(&"x".repeat(1 << 20)), Some(Reason(Stop)));
    }

    #[test]
    fn no_word_stands_in_the_table_twice() {
        let words: HashSet<_> = ENDS.iter().map(|(word, _)| word).collect();
        assert_eq!(words.len(), ENDS.len());
    }
}
