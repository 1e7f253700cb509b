//! Files of known hosts (the format is in sshd(8) under SSH_KNOWN_HOSTS FILE FORMAT).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::hmac;
use ssh_key::known_hosts::{HostPatterns, Marker};

use super::Error;

/// A file of known hosts is there and cannot be read.
///
/// That is no empty file: what it says about a revoked or changed key would go unheard.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot read the known hosts file {}: {source}", path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: Arc<io::Error>,
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Error::HostKey(error.to_string())
    }
}

/// How lines and certificates name a host.
pub(super) struct Names {
    /// With its port, as OpenSSH writes it: `[host]:port`, or the bare name for port 22.
    pub(super) full: String,
    /// Without a port that is not 22; `None` where `full` is the bare name.
    pub(super) bare: Option<String>,
    /// Without any port: what certificates name.
    pub(super) name: String,
}

impl Names {
    /// The names of a host as the user gave it.
    pub(super) fn new(host: &str, port: u16) -> Self {
        // Host names do not tell cases apart, and hashes are made of small letters.
        let name = host.to_ascii_lowercase();
        match port {
            22 => Names { full: name.clone(), bare: None, name },
            port => Names { full: format!("[{name}]:{port}"), bare: Some(name.clone()), name },
        }
    }

    /// The name that the user gave in place of the host's: it stands for the port, too.
    pub(super) fn alias(alias: &str) -> Self {
        let name = alias.to_ascii_lowercase();
        Names { full: name.clone(), bare: None, name }
    }
}

/// One line with a key.
pub(super) struct Line {
    /// Counted from 1, as editors do.
    pub(super) number: usize,
    /// `@revoked`, `@cert-authority`
    pub(super) marker: Option<Marker>,
    /// The hosts it is about.
    hosts: HostPatterns,
    /// The key.
    pub(super) key: ssh_key::PublicKey,
}

/// The content of a file; empty when there is none.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    match fs::read(path) {
        Ok(text) => Ok(text),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(ReadError { path: path.to_owned(), source: Arc::new(error) }),
    }
}

/// The lines of a file that can be read. Comments and damaged lines are passed over, as OpenSSH
/// does: one bad line must not make all hosts unknown.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = Line> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .filter_map(|(index, line)| Line::parse(index + 1, str::from_utf8(line).ok()?))
}

impl Line {
    /// ```text
    /// [marker] hosts type base64 [comment]
    /// ```
    fn parse(number: usize, line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace().peekable();
        let marker = match fields.next_if(|field| field.starts_with('@')) {
            Some(field) => Some(field.parse().ok()?),
            None => None,
        };
        let hosts = fields.next().filter(|hosts| !hosts.starts_with('#'))?.parse().ok()?;
        let key = public_key(fields.next()?, fields.next()?)?;
        Some(Line { number, marker, hosts, key })
    }

    /// Whether it has the key of this blob.
    pub(super) fn is(&self, blob: &[u8]) -> bool {
        self.key.to_bytes().is_ok_and(|own| own == blob)
    }

    /// Whether it names its hosts one by one, two at most, as programs write it. What people write
    /// is theirs to change.
    pub(super) fn is_simple(&self) -> bool {
        match &self.hosts {
            HostPatterns::HashedName { .. } => true,
            HostPatterns::Patterns(patterns) => {
                patterns.len() <= 2 && !patterns.iter().any(|one| one.contains(['*', '?', '!']))
            }
        }
    }

    /// Whether it is about a host of this name.
    pub(super) fn names(&self, name: &str) -> bool {
        match &self.hosts {
            HostPatterns::HashedName { salt, hash } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                hmac::verify(&key, name.as_bytes(), hash).is_ok()
            }
            HostPatterns::Patterns(patterns) => {
                let mut named = false;
                for pattern in patterns {
                    let pattern = pattern.to_ascii_lowercase();
                    match pattern.strip_prefix('!') {
                        // Whatever else the line says.
                        Some(pattern) if matches(pattern.as_bytes(), name.as_bytes()) => {
                            return false;
                        }
                        Some(_) => {}
                        None => named |= matches(pattern.as_bytes(), name.as_bytes()),
                    }
                }
                named
            }
        }
    }
}

/// A key from its type and its base64, which have to agree.
pub(super) fn public_key(key_type: &str, base64: &str) -> Option<ssh_key::PublicKey> {
    ssh_key::PublicKey::from_openssh(&format!("{key_type} {base64}")).ok()
}

/// Whether a name fits a pattern in which `*` stands for any characters and `?` for one.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where to go on when the last star has to take one more character.
    let mut retry = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, seen));
                at += 1;
                continue;
            }
            Some(byte) if *byte == b'?' || *byte == name[seen] => {
                at += 1;
                seen += 1;
                continue;
            }
            Some(_) | None => {}
        }
        let Some((after, taken)) = retry else { return false };
        retry = Some((after, taken + 1));
        (at, seen) = (after, taken + 1);
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("host", "host", true),
            ("host", "hosts", false),
            ("hosts", "host", false),
            ("", "", true),
            ("*", "", true),
            ("*", "anything", true),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("10.0.0.?", "10.0.0.7", true),
            ("10.0.0.?", "10.0.0.77", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("[*.example.org]:22??", "[a.example.org]:2222", true),
            ("***", "x", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
        // Stars do not multiply.
        assert!(!matches("*a".repeat(40).as_bytes(), "a".repeat(39).as_bytes()));
    }

    #[test]
    fn what_is_no_line_is_passed_over() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBkqvR5oGJ88+ILy2bqTRrF/STgQypgyhBZw3/v+mroE";
        let text = format!(
            "# host {key}\n\n  # host {key}\nhost\nhost ssh-ed25519\nhost ssh-ed25519 AAAA\n\
             host ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIBkqvR5oGJ88+ILy2bqTRrF/STgQypgyhBZw3/v+mroE\n@unknown host {key}\n|1|%%|AAAA {key}\n\
             host 1024 35 1234567\n\u{fe}\n\thost \t {key} and a comment\r\n"
        );
        let mut bytes = text.into_bytes();
        bytes.splice(0..0, *b"\xff\xfe broken\n");
        let numbers: Vec<usize> = lines(&bytes).map(|line| line.number).collect();
        assert_eq!(numbers, [13]);
        for length in 0..bytes.len() {
            lines(&bytes[..length]).for_each(drop);
        }
    }
}
