//! Which host keys are trusted, and a host key to decide about.

use std::path::PathBuf;

use ssh_proto::{AlgorithmKind, Algorithms};

use crate::session::host_key::known_hosts_command::KnownHostsCommand;
use crate::session::host_key::pin::Pin;

/// Sources of trust in a host key. A key without a match in any of them is treated by `strictness`.
#[derive(Debug)]
pub struct Trust {
    /// Keys that are trusted without a line in a file.
    pub pins: Vec<Pin>,
    /// Files of known hosts, in order. A file that does not exist counts as empty.
    pub known_hosts: Vec<PathBuf>,
    /// A program that prints further lines, after those of the files.
    pub command: Option<KnownHostsCommand>,
    /// Whether a server at a loopback address is trusted with any key that is not revoked, unless
    /// it has an alias.
    pub any_local: bool,
    /// Whether the name of a host is written as a hash.
    pub hashes: bool,
    /// Whether the application decides about a key that is not known.
    pub verifier: bool,
    /// Treatment of a key that is not known.
    pub strictness: Strictness,
    /// Name to look for in files and certificates, in place of the host and port.
    pub alias: Option<String>,
    /// Whether other keys of a known host are written to its file.
    pub update: bool,
    /// Files of revoked keys. A file that does not exist is an error.
    pub revoked: Vec<PathBuf>,
    /// Minimum bits of an RSA key, of a host or of an authority.
    pub rsa_bits: usize,
    /// Signature algorithms that authorities may use.
    pub ca_signatures: Vec<&'static str>,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            pins: Vec::new(),
            known_hosts: Vec::new(),
            command: None,
            any_local: false,
            hashes: false,
            verifier: false,
            strictness: Strictness::default(),
            alias: None,
            update: false,
            revoked: Vec::new(),
            rsa_bits: 0,
            ca_signatures: Algorithms::default().names(AlgorithmKind::CaSignature).to_vec(),
        }
    }
}

/// Treatment of a host key that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// It is refused.
    #[default]
    Yes,
    /// It is accepted and written to a file, unless a file has another key of the host.
    AcceptNew,
    /// As `AcceptNew`, and also accepted if it cannot be written. A host with another key in a file
    /// is refused: OpenSSH would connect without any forward, which leaves nothing of a tunnel.
    No,
    /// It is accepted, and written to a file unless a file has another key of the host.
    Off,
}

/// A host key for the application to decide about.
#[derive(Clone, Debug)]
pub struct HostKeyInfo {
    /// Host as it was given.
    pub host: String,
    /// Port of the host.
    pub port: u16,
    /// Index among the jump hosts; see [`Target::hop`](crate::session::Target::hop).
    pub hop: Option<u32>,
    /// Type of the key: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`.
    pub key_type: String,
    /// Blob of the key (RFC 4253, section 6.6).
    pub key: Vec<u8>,
    /// `SHA256:` and the unpadded base64 of the digest, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}
