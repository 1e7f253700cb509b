//! Username and password of those who may use a forward.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use zeroize::Zeroizing;

use crate::random::random;
use crate::socks::LONGEST;

/// Two texts in places of fixed size: the length of each, itself, zeros. So neither their content nor
/// their lengths show in the time that a comparison takes.
type Fields = Zeroizing<[u8; 2 * (1 + LONGEST)]>;

/// What a program has to send, as a tag under a random key: neither of the two stays in memory.
pub struct Login {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Login {
    /// `None` when one of them is longer than RFC 1929 can carry, or empty, which it does not allow.
    pub fn new(username: &[u8], password: &[u8]) -> Option<Self> {
        let whole = |text: &[u8]| (1..=LONGEST).contains(&text.len());
        (whole(username) && whole(password)).then(|| {
            let mut bytes = Zeroizing::new([0; 32]);
            random(&mut *bytes);
            let key = hmac::Key::new(HMAC_SHA256, &*bytes);
            Self { tag: hmac::sign(&key, &*fields(username, password)), key }
        })
    }

    /// Whether these are they. Takes the same time whatever they are.
    pub(crate) fn is(&self, username: &[u8], password: &[u8]) -> bool {
        hmac::verify(&self.key, &*fields(username, password), self.tag.as_ref()).is_ok()
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// Texts come from places that hold no more than [`LONGEST`].
fn fields(username: &[u8], password: &[u8]) -> Fields {
    let mut fields = Zeroizing::new([0; 2 * (1 + LONGEST)]);
    for (field, text) in fields.chunks_mut(1 + LONGEST).zip([username, password]) {
        field[0] = text.len() as u8;
        field[1..=text.len()].copy_from_slice(text);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_have_to_be_right() {
        let login = Login::new(b"anna", b"secret").expect("short enough");
        assert!(login.is(b"anna", b"secret"));
        for (username, password) in [
            ("anna", "secreT"),
            ("Anna", "secret"),
            ("anna", "secret\0"),
            ("anna", ""),
            ("", "secret"),
            ("", ""),
            ("annasecret", ""),
        ] {
            assert!(!login.is(username.as_bytes(), password.as_bytes()), "{username} {password}");
        }
    }

    #[test]
    fn the_longest_and_the_shortest() {
        let longest = [7; LONGEST];
        let login = Login::new(&longest, b"x").expect("as long as may be");
        assert!(login.is(&longest, b"x"));
        assert!(!login.is(&longest[1..], b"x"));
        assert!(Login::new(&[7; LONGEST + 1], b"x").is_none());
        assert!(Login::new(b"x", &[7; LONGEST + 1]).is_none());
        assert!(Login::new(b"", b"x").is_none());
        assert!(Login::new(b"x", b"").is_none());
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let login = Login::new(b"anna", b"secret").expect("short enough");
        assert_eq!(format!("{login:?}"), "Login { .. }");
    }
}
