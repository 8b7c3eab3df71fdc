//! stub
/// stub
pub fn count(text: &str) -> usize {
    text.len() / 4
}
