//! OpenAI's Chat Completions.

/// x
pub fn error_answer(error: &crate::error::Error) -> Vec<u8> {
    error.message.clone().into_bytes()
}
