//! The username and password of a dynamic forward.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use zeroize::Zeroizing;

use crate::random::random;
use crate::socks::MAX_LENGTH;

/// Two texts in fields of fixed size, each with its length and padded with zeros. The time of a
/// comparison depends neither on the texts nor on their lengths.
type Fields = Zeroizing<[u8; 2 * (1 + MAX_LENGTH)]>;

/// The credentials that clients must present, as a tag under a random key: neither the username nor
/// the password stays in memory.
pub struct Login {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Login {
    /// Makes credentials. `None` if either text is empty or longer than RFC 1929 allows.
    pub fn new(username: &[u8], password: &[u8]) -> Option<Self> {
        let is_valid = |text: &[u8]| (1..=MAX_LENGTH).contains(&text.len());
        (is_valid(username) && is_valid(password)).then(|| {
            let mut bytes = Zeroizing::new([0; 32]);
            random(&mut *bytes);
            let key = hmac::Key::new(HMAC_SHA256, &*bytes);
            Self { tag: hmac::sign(&key, &*fields(username, password)), key }
        })
    }

    /// Compares in constant time.
    pub(crate) fn matches(&self, username: &[u8], password: &[u8]) -> bool {
        hmac::verify(&self.key, &*fields(username, password), self.tag.as_ref()).is_ok()
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// Neither text is longer than [`MAX_LENGTH`].
fn fields(username: &[u8], password: &[u8]) -> Fields {
    let mut fields = Zeroizing::new([0; 2 * (1 + MAX_LENGTH)]);
    for (field, text) in fields.chunks_mut(1 + MAX_LENGTH).zip([username, password]) {
        field[0] = text.len() as u8;
        field[1..=text.len()].copy_from_slice(text);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_must_match() {
        let login = Login::new(b"anna", b"secret").expect("short enough");
        assert!(login.matches(b"anna", b"secret"));
        for (username, password) in [
            ("anna", "secreT"),
            ("Anna", "secret"),
            ("anna", "secret\0"),
            ("anna", ""),
            ("", "secret"),
            ("", ""),
            ("annasecret", ""),
        ] {
            assert!(
                !login.matches(username.as_bytes(), password.as_bytes()),
                "{username} {password}"
            );
        }
    }

    #[test]
    fn the_lengths_that_are_allowed() {
        let longest = [7; MAX_LENGTH];
        let login = Login::new(&longest, b"x").expect("the maximum length");
        assert!(login.matches(&longest, b"x"));
        assert!(!login.matches(&longest[1..], b"x"));
        assert!(Login::new(&[7; MAX_LENGTH + 1], b"x").is_none());
        assert!(Login::new(b"x", &[7; MAX_LENGTH + 1]).is_none());
        assert!(Login::new(b"", b"x").is_none());
        assert!(Login::new(b"x", b"").is_none());
    }

    #[test]
    fn debug_output_has_no_secret() {
        let login = Login::new(b"anna", b"secret").expect("short enough");
        assert_eq!(format!("{login:?}"), "Login { .. }");
    }
}
