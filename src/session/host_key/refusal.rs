//! Refused host keys.

use std::fmt;
use std::path::PathBuf;

/// A refused host key, and why it was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeyRefusal {
    /// Reason for the refusal.
    pub reason: HostKeyReason,
    /// Message.
    pub text: String,
    /// Fingerprint of the key; `None` if the key exchange failed.
    pub fingerprint: Option<String>,
    /// Fingerprint of the key that `line` has for this host.
    pub known: Option<String>,
    /// The line that decided.
    pub line: Option<FileLine>,
    /// The key, for a user who may trust it; `None` if the key exchange failed.
    pub offered: Option<OfferedKey>,
}

/// A key that a host has offered, with all that a line of known hosts needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedKey {
    /// Host as it was given.
    pub host: String,
    /// Port of the host.
    pub port: u16,
    /// Name of the host in files of known hosts: `host`, `[host]:port`, or its alias.
    pub name: String,
    /// Type of the key.
    pub key_type: String,
    /// Type and base64 of the key.
    pub line: String,
}

/// Reason for refusing a host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeyReason {
    /// The key is not known.
    Unknown,
    /// A file has another key for this host.
    Changed,
    /// A file revokes the key, or the authority that signed its certificate.
    Revoked,
    /// The application rejected the key.
    Rejected,
    /// The key, its signature or its certificate is invalid: too short, expired, or for another
    /// host.
    Invalid,
}

/// A line of a file, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    /// The file.
    pub path: PathBuf,
    /// Number of the line.
    pub number: usize,
}

impl fmt::Display for FileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.number)
    }
}
