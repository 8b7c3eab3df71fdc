//! Unguessable, unique ids.

use ring::rand::{SecureRandom, SystemRandom};

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789xy";
const LENGTH: usize = 24;

/// `prefix` and 24 random letters and digits.
pub fn id(prefix: &str) -> String {
    let mut bytes = [0; LENGTH];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // the system has no randomness to give; the clock is still different every time
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        bytes[..16].copy_from_slice(&now.to_le_bytes());
    }
    let mut id = String::with_capacity(prefix.len() + LENGTH);
    id.push_str(prefix);
    id.extend(bytes.map(|byte| char::from(LETTERS[usize::from(byte % 64)])));
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_keep_their_form() {
        let (one, two) = (id("chatcmpl-"), id("chatcmpl-"));
        assert_ne!(one, two);
        assert!(one.starts_with("chatcmpl-") && one.len() == 33);
        assert!(one["chatcmpl-".len()..].bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
