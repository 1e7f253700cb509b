//! Username and password of those who may use a forward.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use super::LONGEST;

/// A text in a place of fixed size: its length, itself, zeros. So neither its content nor its length
/// shows in the time that a comparison takes.
type Field = Zeroizing<[u8; 1 + LONGEST]>;

/// What a program has to send. Not printed, and wiped when it is freed.
pub struct Login {
    username: Field,
    password: Field,
}

impl Login {
    /// `None` when one of them is longer than RFC 1929 can carry, or empty, which it does not allow.
    pub fn new(username: &[u8], password: &[u8]) -> Option<Self> {
        let whole = |text: &[u8]| (1..=LONGEST).contains(&text.len());
        (whole(username) && whole(password))
            .then(|| Self { username: field(username), password: field(password) })
    }

    /// Whether these are they. Takes the same time whatever they are.
    pub(super) fn is(&self, username: &[u8], password: &[u8]) -> bool {
        let equal = |own: &Field, given: &[u8]| {
            verify_slices_are_equal(own.as_slice(), field(given).as_slice()).is_ok()
        };
        // Not `&&`, which would not look at the second once the first is wrong.
        equal(&self.username, username) & equal(&self.password, password)
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// Texts come from places that hold no more than [`LONGEST`].
fn field(text: &[u8]) -> Field {
    let mut field = Zeroizing::new([0; 1 + LONGEST]);
    field[0] = text.len() as u8;
    field[1..=text.len()].copy_from_slice(text);
    field
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
