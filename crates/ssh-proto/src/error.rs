//! The errors that end a session.

use crate::message::DisconnectReason;
use crate::wire::Malformed;

/// The reason why a session is over. After the first error the client does nothing any more.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The server does not speak SSH 2.0.
    #[error("not an SSH 2.0 server: {0}")]
    NotSsh(String),
    /// The server violated the protocol.
    #[error("the server broke the SSH protocol: {0}")]
    Protocol(&'static str),
    /// A packet was damaged or forged.
    #[error("message authentication code incorrect: a packet was damaged or forged")]
    Integrity,
    /// Both sides have no algorithm of one kind in common.
    #[error("no {kind} in common: the server offers {theirs}; this client offers {ours}")]
    NoCommonAlgorithm {
        /// The kind: key exchange, host key, cipher, MAC, compression.
        kind: &'static str,
        /// The server's list.
        theirs: String,
        /// The client's list.
        ours: String,
    },
    /// The host key cannot be used, or the server has not proved that it owns it.
    #[error("the server's host key proves nothing: {0}")]
    HostKey(String),
    /// The application does not trust the host key.
    #[error("the host key was refused")]
    HostKeyRejected,
    /// No method of authentication is left.
    #[error("{}", .0.text)]
    Auth(Box<AuthFailure>),
    /// The server ended the session with DISCONNECT.
    #[error("the server disconnected: {description} (reason {reason})")]
    Disconnected {
        /// The reason code of RFC 4253 section 11.1.
        reason: u32,
        /// The server's description: bounded and printable.
        description: String,
    },
    /// The server sent no packet after as many keepalives as are allowed.
    #[error("the server has not responded for {0} ms")]
    KeepaliveTimeout(u128),
    /// The server did not finish a key exchange in time.
    #[error("the server has not finished a key exchange within {0} seconds")]
    RekeyTimeout(u64),
}

/// Why authentication failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthFailure {
    /// The reason in words.
    pub text: String,
    /// The methods that were used, in this order, each once; an agent's keys are `agent`.
    pub tried: Vec<&'static str>,
    /// The methods that the server accepts, as it listed them last; empty if it listed none.
    pub accepted: Vec<String>,
}

impl Error {
    /// An authentication that failed before a method was used.
    pub(crate) fn auth(text: impl Into<String>) -> Self {
        Error::Auth(Box::new(AuthFailure { text: text.into(), ..AuthFailure::default() }))
    }

    /// Returns what to tell the server; `None` where it would not read it.
    pub(crate) fn reason(&self) -> Option<DisconnectReason> {
        match self {
            Error::Protocol(_) | Error::Integrity => Some(DisconnectReason::ProtocolError),
            Error::NoCommonAlgorithm { .. } | Error::HostKey(_) => {
                Some(DisconnectReason::KeyExchangeFailed)
            }
            Error::HostKeyRejected => Some(DisconnectReason::HostKeyNotVerifiable),
            Error::Auth(_) => Some(DisconnectReason::NoMoreAuthMethods),
            Error::NotSsh(_)
            | Error::Disconnected { .. }
            | Error::KeepaliveTimeout(_)
            | Error::RekeyTimeout(_) => None,
        }
    }
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Error::Protocol("a message ends before its contents do")
    }
}
