//! Which server, who logs on, and whom we believe the server to be.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ssh_proto::{AlgorithmKind, Algorithms, AuthMethod, Rekey, Windows};

use crate::session::auth::encrypted_secret::EncryptedSecret;
use crate::session::auth::key_file::KeyFile;
use crate::session::connect::happy_eyeballs::Dialing;
#[cfg(unix)]
use crate::session::connect::proxy_command::ProxyCommand;
#[cfg(unix)]
use crate::session::connect::sock::Sock;
use crate::session::host_key::pin::Pin;

/// The SSH server and everything that logging on to it takes.
#[derive(Debug)]
pub struct Target {
    /// Name or address of the SSH server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How to reach it.
    pub route: Route,
    /// Which jump host of the tunnel it is, counted from 0; `None`: the tunnel's own server.
    pub hop: Option<u32>,
    /// The user to log on as.
    pub username: String,
    /// What proves to the server who we are.
    pub credentials: Credentials,
    /// What proves to us who the server is.
    pub trust: Trust,
    /// Which algorithms may be used, the preferred ones first.
    pub algorithms: Algorithms,
    /// How long dialing and logging on may take in all.
    pub ready_timeout: Duration,
    /// Ask the server for a sign of life when it was silent this long; `None`: never.
    pub keepalive_interval: Option<Duration>,
    /// The session counts as lost after this many unanswered questions in a row.
    pub keepalive_count_max: u32,
    /// When keys are changed from our side.
    pub rekey: Rekey,
    /// How much it may send ahead.
    pub windows: Windows,
}

impl Target {
    /// The owner's stream that the way to it begins with, if it does.
    #[cfg(unix)]
    pub fn sock(&self) -> Option<&Arc<Sock>> {
        match &self.route {
            Route::Sock(sock) => Some(sock),
            Route::Jump(hop) => hop.sock(),
            Route::Direct(_) | Route::Command(_) => None,
        }
    }
}

/// How a server is reached.
#[derive(Debug)]
pub enum Route {
    /// By a TCP connection.
    Direct(Dialing),
    /// Through a session at this other server, which connects to it.
    #[cfg(unix)]
    Jump(Arc<Target>),
    /// By a program that passes its input on to it and gives out what comes back.
    #[cfg(unix)]
    Command(ProxyCommand),
    /// By a stream of the owner's.
    #[cfg(unix)]
    Sock(Arc<Sock>),
}

/// What proves to the server who we are. Encrypted until it is used, never printed.
#[derive(Default)]
pub struct Credentials {
    /// The user's password.
    pub password: Option<EncryptedSecret>,
    /// Private keys, in the order in which they are offered.
    pub private_keys: Vec<KeyFile>,
    /// Where an agent listens that holds keys.
    pub agent: Option<String>,
    /// The blobs of the only keys of the agent to use; `None`: all.
    pub agent_keys: Option<Vec<Vec<u8>>>,
    /// Whether the observer answers the server's questions.
    pub interactive: bool,
    /// The only methods to use, in this order; `None`: all that there is something for.
    pub methods: Option<Vec<AuthMethod>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Where the trust in a host key comes from; without a match in any of them it is refused.
#[derive(Debug)]
pub struct Trust {
    /// Keys that are trusted without a line in a file.
    pub pins: Vec<Pin>,
    /// Files of known hosts, in order. A file that does not exist counts as empty.
    pub known_hosts: Vec<PathBuf>,
    /// Whether the observer is asked about a key that nothing else decides.
    pub verifier: bool,
    /// What becomes of a key that nothing vouches for.
    pub strictness: Strictness,
    /// The name to look for in files and certificates, in place of the host's name and port.
    pub alias: Option<String>,
    /// Whether files learn the other keys of a host that they know.
    pub update: bool,
    /// Files of keys that are never trusted. One that does not exist is an error.
    pub revoked: Vec<PathBuf>,
    /// Bits that an RSA key has to have, of a host or of an authority.
    pub rsa_bits: usize,
    /// The signatures of authorities that count.
    pub ca_signatures: Vec<&'static str>,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            pins: Vec::new(),
            known_hosts: Vec::new(),
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

/// What becomes of a host key that nothing vouches for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// It is refused.
    #[default]
    Yes,
    /// Where no other key of the host is known, it is accepted and written down.
    AcceptNew,
    /// The same, also where it cannot be written down. With another key OpenSSH would connect and
    /// forward nothing: what is left of a tunnel then is nothing.
    No,
    /// It is accepted. Where no other key of the host is known, it is written down.
    Off,
}

/// What a server shows to the user before it lets him in.
#[derive(Clone, Debug)]
pub struct Banner {
    /// The server's host as it was given.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The text, fit to be shown: lines, with nothing but line feeds and tabs that controls anything.
    pub message: String,
    /// The language of the text; nearly always empty.
    pub language: String,
}

/// A host key, to decide about.
#[derive(Clone, Debug)]
pub struct HostKeyInfo {
    /// The host as it was given.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Which jump host it is: see [`Target::hop`].
    pub hop: Option<u32>,
    /// The key's type: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`.
    pub key_type: String,
    /// The key as the server sent it (the blob of RFC 4253 section 6.6).
    pub key: Vec<u8>,
    /// `SHA256:` and the unpadded base64 of its digest, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}
