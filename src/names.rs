//! The second gate for names: hosts, users, paths of sockets. `lib/validate/names.js` is the first and keeps the
//! same rules; what passes it by mistake, and what comes from SOCKS clients, is refused here.

use std::fmt;

/// Bytes of a host name: as many as getaddrinfo(3) and ssh take (`NI_MAXHOST`).
pub(crate) const MAX_HOST: usize = 1024;
/// Bytes of a user name.
pub(crate) const MAX_USER: usize = 1024;
/// Bytes of the path of a Unix socket, on this machine or at a server.
pub(crate) const MAX_PATH: usize = 1023;

/// Characters that mean something to a shell wherever they stand. OpenSSH refuses most of them in
/// names that it expands.
const SHELL: &[char] =
    &['\'', '`', '"', '$', '\\', ';', '&', '<', '>', '|', '(', ')', '{', '}', '*', '?', '[', ']'];

/// Why a text is no name: what follows "the name".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It has no characters.
    Empty,
    /// It has more bytes than this.
    Long(usize),
    /// It would end a line, or control a terminal.
    Control,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Empty => f.write_str("must not be empty"),
            Fault::Long(most) => write!(f, "must not be longer than {most} bytes"),
            Fault::Control => f.write_str("must not contain control characters"),
        }
    }
}

/// Checks a name of at most `most` bytes.
pub(crate) fn check(text: &str, most: usize) -> Result<(), Fault> {
    match text {
        "" => Err(Fault::Empty),
        _ if text.len() > most => Err(Fault::Long(most)),
        _ if text.contains(is_control) => Err(Fault::Control),
        _ => Ok(()),
    }
}

/// Controls, and the separators of lines and paragraphs.
fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// The name, if a shell takes it for nothing but itself, quoted or not; otherwise what is wrong with
/// the command that names it.
pub(crate) fn for_shell(name: &str) -> Result<&str, String> {
    let strange = |character: char| {
        SHELL.contains(&character) || character.is_whitespace() || is_control(character)
    };
    match name.chars().find(|&character| strange(character)) {
        Some(character) => {
            Err(format!("would hand the character {character:?} of a name to a shell"))
        }
        None if name.starts_with('-') => Err("would hand a name to a program as an option".into()),
        None if name.starts_with(['#', '~']) => {
            Err("would hand a name to a shell that makes something else of it".into())
        }
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_characters_a_length_and_no_controls() {
        for name in ["a", "db.internal", "fe80::1%eth0", "DOMAIN\\user", "a b", "müller", "a$"] {
            assert_eq!(check(name, MAX_HOST), Ok(()), "{name}");
        }
        assert_eq!(check("", MAX_HOST), Err(Fault::Empty));
        assert_eq!(check(&"x".repeat(MAX_HOST), MAX_HOST), Ok(()));
        assert_eq!(check(&"ä".repeat(MAX_HOST / 2 + 1), MAX_HOST), Err(Fault::Long(MAX_HOST)));
        for control in ['\0', '\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{2028}']
        {
            assert_eq!(check(&format!("a{control}b"), MAX_HOST), Err(Fault::Control));
        }
    }

    #[test]
    fn nothing_reaches_a_shell_that_it_would_act_on() {
        for name in ["db", "db.internal", "fe80::1%eth0", "me@example.org", "a#b", "a-b", "x=y"] {
            assert_eq!(for_shell(name), Ok(name));
        }
        for name in [
            "a;b",
            "$(id)",
            "a b",
            "a\nb",
            "`id`",
            "a'b",
            "a\"b",
            "a|b",
            "a\\b",
            "-oX",
            "a*",
            "a?",
            "[a]",
            "~root",
            "#a",
            "{a,b}",
            "a\u{2028}b",
            "a\0b",
            "$[a",
            "a\tb",
            "a>b",
            "a<b",
        ] {
            assert!(for_shell(name).is_err(), "{name:?}");
        }
    }
}
