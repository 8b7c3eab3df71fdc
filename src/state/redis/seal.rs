//! Encryption of what lies in Redis, and the names under which it lies. Both come from a secret that is not there.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// The characters of a name: 128 bits in base64.
pub const NAME: usize = 22;

/// A random name.
pub fn token() -> String {
    let mut bytes = [0; 16];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // the system has no randomness to give; the clock is still different every time
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        bytes = now.to_le_bytes();
    }
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Keys derived from one secret for one purpose.
pub struct Seal {
    names: hmac::Key,
    texts: LessSafeKey,
}

impl Seal {
    /// The keys of `secret` for `purpose`; nothing if they cannot be made, which ring does not do for these lengths.
    pub fn new(secret: &[u8], purpose: &str) -> Option<Seal> {
        let prk = Salt::new(HKDF_SHA256, purpose.as_bytes()).extract(secret);
        let (mut names, mut texts) = ([0; 32], [0; 32]);
        prk.expand(&[b"names"], HKDF_SHA256).and_then(|okm| okm.fill(&mut names)).ok()?;
        prk.expand(&[b"texts"], HKDF_SHA256).and_then(|okm| okm.fill(&mut texts)).ok()?;
        let texts = UnboundKey::new(&AES_256_GCM, &texts).ok()?;
        Some(Seal { names: hmac::Key::new(hmac::HMAC_SHA256, &names), texts: LessSafeKey::new(texts) })
    }

    /// The name of `what` among entries of `kind`.
    pub fn name(&self, kind: &str, what: &str) -> String {
        let mut context = hmac::Context::with_key(&self.names);
        for part in [kind, "\0", what] {
            context.update(part.as_bytes());
        }
        BASE64_URL_SAFE_NO_PAD.encode(&context.sign().as_ref()[..16])
    }

    /// `text` encrypted for the entry called `name`, behind its nonce.
    pub fn seal(&self, name: &str, text: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + text.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(text);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.texts.seal_in_place_separate_tag(
            nonce,
            Aad::from(name.as_bytes()),
            &mut sealed[NONCE_LEN..],
        );
        sealed.extend_from_slice(tag.ok()?.as_ref());
        Some(sealed)
    }

    /// The text that was sealed for the entry called `name`; nothing if it was changed or belongs elsewhere.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let length = self.texts.open_in_place(nonce, Aad::from(name.as_bytes()), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_secret_and_name_open_what_was_sealed() {
        let seal = |secret: &[u8], purpose| Seal::new(secret, purpose).unwrap();
        let own = seal(b"secret", "a");
        let sealed = own.seal("name", b"text").unwrap();
        assert_eq!(seal(b"secret", "a").open("name", &sealed).as_deref(), Some(&b"text"[..]));
        assert!(own.open("other", &sealed).is_none());
        assert!(seal(b"other", "a").open("name", &sealed).is_none());
        assert!(seal(b"secret", "b").open("name", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(own.open("name", &changed).is_none(), "{at}");
            assert!(own.open("name", &sealed[..at]).is_none(), "{at}");
        }
        assert!(!sealed.windows(4).any(|part| part == b"text"));
        assert_ne!(sealed, own.seal("name", b"text").unwrap(), "a nonce is used once");
    }

    #[test]
    fn names_depend_on_secret_kind_and_content() {
        let (a, b) = (Seal::new(b"a", "p").unwrap(), Seal::new(b"b", "p").unwrap());
        let names = [a.name("k", "x"), a.name("k", "y"), a.name("l", "x"), b.name("k", "x")];
        assert!(names.iter().all(|name| name.len() == NAME));
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name));
        }
        assert_eq!(a.name("k", "x"), names[0]);
    }
}
