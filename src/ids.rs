//! Unguessable, unique ids.

use std::cell::RefCell;

use ring::rand::{SecureRandom, SystemRandom};

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789xy";
const LENGTH: usize = 24;

/// So many ids are made of what the system gives at once.
const AT_ONCE: usize = 16;

thread_local! {
    /// Random bytes that are in no id yet.
    static RANDOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// `prefix` and 24 random letters and digits.
pub fn id(prefix: &str) -> String {
    let mut id = String::with_capacity(prefix.len() + LENGTH);
    id.push_str(prefix);
    RANDOM.with_borrow_mut(|random| {
        if random.len() < LENGTH {
            random.resize(AT_ONCE * LENGTH, 0);
            if SystemRandom::new().fill(random).is_err() {
                // the system has no randomness to give; the clock is still different every time
                let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
                random.truncate(LENGTH);
                random[..16].copy_from_slice(&now.to_le_bytes());
            }
        }
        let bytes = random.drain(random.len() - LENGTH..);
        id.extend(bytes.map(|byte| char::from(LETTERS[usize::from(byte % 64)])));
    });
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
