//! Rules for names of hosts, users and socket paths.
//!
//! `lib/validate/names.js` checks the same rules first. The checks here cover names from SOCKS
//! clients, and any name that JavaScript lets through by mistake.

use std::fmt;

/// Maximum bytes of a host name: the limit of getaddrinfo(3) and ssh (`NI_MAXHOST`).
pub(crate) const MAX_HOST: usize = 1024;
/// Maximum bytes of a user name.
pub(crate) const MAX_USER: usize = 1024;
/// Maximum bytes of the path of a Unix socket, on this machine or on a server.
pub(crate) const MAX_PATH: usize = 1023;

/// Characters that a shell interprets anywhere in a word. OpenSSH refuses most of them in names
/// that it expands.
const SHELL: &[char] =
    &['\'', '`', '"', '$', '\\', ';', '&', '<', '>', '|', '(', ')', '{', '}', '*', '?', '[', ']'];

/// Further characters that cmd.exe interprets, also between quotes.
const CMD: &[char] = if cfg!(windows) { &['%', '^', '!'] } else { &[] };

/// Reason why a name is invalid, as a predicate of "the name".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The name is empty.
    Empty,
    /// The name has more bytes than this.
    Long(usize),
    /// The name contains characters that end a line or control a terminal.
    Control,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Empty => f.write_str("must not be empty"),
            Fault::Long(max) => write!(f, "must not be longer than {max} bytes"),
            Fault::Control => f.write_str("must not contain control characters"),
        }
    }
}

/// Checks that a name is not empty, has at most `max` bytes, and contains no control characters.
pub(crate) fn check(text: &str, max: usize) -> Result<(), Fault> {
    match text {
        "" => Err(Fault::Empty),
        _ if text.len() > max => Err(Fault::Long(max)),
        _ if text.contains(is_control) => Err(Fault::Control),
        _ => Ok(()),
    }
}

/// Returns whether a character is a control, or separates lines or paragraphs.
fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Returns the name if a shell does not interpret any part of it, quoted or not. The error is a
/// predicate of "the name".
pub(crate) fn for_shell(name: &str) -> Result<&str, String> {
    let is_special = |character: char| {
        SHELL.contains(&character)
            || CMD.contains(&character)
            || character.is_whitespace()
            || is_control(character)
    };
    let fault = match name.chars().find(|&character| is_special(character)) {
        Some(character) => format!("contains {character:?}, which the shell would interpret"),
        None if name.starts_with('-') => "starts with '-', as an option does".into(),
        None if name.starts_with(['#', '~']) => {
            format!("starts with '{}', which the shell would interpret", &name[..1])
        }
        None => return Ok(name),
    };
    Err(fault)
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
    fn a_name_that_a_shell_would_interpret_is_refused() {
        for name in ["db", "db.internal", "me@example.org", "a#b", "a-b", "x=y"] {
            assert_eq!(for_shell(name), Ok(name));
        }
        for name in ["fe80::1%eth0", "a^b", "a!b"] {
            assert_eq!(for_shell(name).is_err(), cfg!(windows), "{name}");
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
