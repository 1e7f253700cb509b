//! Why an SSH session failed or ended.

use crate::message::DisconnectReason;
use crate::wire::Malformed;

/// Why the session is over. After the first error the client does nothing any more.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// What answered does not speak SSH 2.0.
    #[error("not an SSH 2.0 server: {0}")]
    NotSsh(String),
    /// The server broke the protocol.
    #[error("the server broke the SSH protocol: {0}")]
    Protocol(&'static str),
    /// A packet was damaged or forged.
    #[error("a packet failed its integrity check")]
    Integrity,
    /// Both sides have no algorithm of one kind in common.
    #[error("no {kind} in common: the server offers {theirs}; this client offers {ours}")]
    NoCommonAlgorithm {
        /// Which kind: key exchange, host key, cipher, MAC, compression.
        kind: &'static str,
        /// The server's list.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// The host key is unusable, or its owner could not prove to have it.
    #[error("the server's host key proves nothing: {0}")]
    HostKey(String),
    /// The host key was not accepted.
    #[error("the host key was refused")]
    HostKeyRefused,
    /// No method of authentication is left.
    #[error("{0}")]
    Auth(String),
    /// The server ended the session with DISCONNECT.
    #[error("the server disconnected: {description} (reason {reason})")]
    Disconnected {
        /// The reason code of RFC 4253 section 11.1.
        reason: u32,
        /// The server's words, cut to a bounded length and fit to be shown.
        description: String,
    },
    /// The server did not answer as many keepalive requests as are allowed.
    #[error("the server has been silent for {0} ms")]
    Silent(u128),
    /// The server did not finish a change of keys.
    #[error("the server has not finished a key exchange within {0} seconds")]
    Unchanged(u64),
}

impl Error {
    /// What to tell the server about it; `None` where it would not listen.
    pub(crate) fn reason(&self) -> Option<DisconnectReason> {
        match self {
            Error::Protocol(_) | Error::Integrity => Some(DisconnectReason::ProtocolError),
            Error::NoCommonAlgorithm { .. } | Error::HostKey(_) => {
                Some(DisconnectReason::KeyExchangeFailed)
            }
            Error::HostKeyRefused => Some(DisconnectReason::HostKeyNotVerifiable),
            Error::Auth(_) => Some(DisconnectReason::NoMoreAuthMethods),
            Error::NotSsh(_)
            | Error::Disconnected { .. }
            | Error::Silent(_)
            | Error::Unchanged(_) => None,
        }
    }
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Error::Protocol("a message ends before its contents do")
    }
}
