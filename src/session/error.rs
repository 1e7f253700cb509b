//! Why there is no session, or why it was disconnected.

use std::borrow::Cow;
use std::path::PathBuf;

use ssh_proto::{AuthFailure, OpenFailure};

use crate::session::{HostKeyReason, HostKeyRefusal};

/// 407 Proxy Authentication Required; 401 Unauthorized, as tinyproxy replies to wrong credentials. In
/// reply to CONNECT only a proxy can send either.
const AUTH_REQUIRED: [u16; 2] = [401, 407];

/// The reason code of a DISCONNECT (RFC 4253 section 11.1).
const TOO_MANY_CONNECTIONS: u32 = 12;

/// Why a session could not be established, or was disconnected.
#[derive(Debug, thiserror::Error, Clone)]
pub enum Error {
    /// The server could not be reached.
    #[error("{syscall} {code} {address}")]
    Dial {
        /// Name of the failed call, as in Node: `connect`, `bind`, `getaddrinfo`, `spawn`.
        syscall: &'static str,
        /// Name of the system error.
        code: Cow<'static, str>,
        /// Number of the system error, if there is one.
        errno: Option<i32>,
        /// Address of the server, `host:port`; or a local address or program.
        address: String,
    },
    /// The session was not established within `readyTimeout`.
    #[error("{host}: no SSH session within {limit} ms, waiting for {step}")]
    Timeout {
        /// Host of the server.
        host: String,
        /// `readyTimeout` in milliseconds.
        limit: u128,
        /// Step that was waited for.
        step: &'static str,
    },
    /// The host key was refused. Nothing about the user was sent.
    #[error("{}", .0.text)]
    HostKey(Box<HostKeyRefusal>),
    /// A file of host keys cannot be read or written.
    #[error("{text}")]
    HostKeyFile {
        /// Message.
        text: String,
        /// The file, if there is one.
        file: Option<PathBuf>,
        /// Number of the line, from 1, if one is the cause.
        line: Option<usize>,
    },
    /// The private key cannot be read: it is not a key, or the passphrase is missing or wrong.
    #[error("{0}")]
    PrivateKey(String),
    /// The application did not give its credentials.
    #[error("{text}")]
    Credentials {
        /// Code of the error: of a function that threw, or of a result of the wrong type.
        code: String,
        /// Message.
        text: String,
    },
    /// The server refused all credentials.
    #[error("{}", .0.text)]
    Auth(Box<AuthFailure>),
    /// The server and this client have no algorithm in common.
    #[error("{0}")]
    Algorithm(String),
    /// The server violated the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The jump host refused to connect to the next server.
    #[error("{text}")]
    Refused {
        /// Reason that the jump host gave.
        reason: OpenFailure,
        /// Message.
        text: String,
    },
    /// An error at a jump host.
    #[error("jump host {address}: {error}")]
    Hop {
        /// Address of the jump host, `host:port`.
        address: String,
        /// The error.
        error: Box<Error>,
    },
    /// An error before the end of authentication, with a text that the server had sent for the
    /// user.
    #[error("{error}; the server said: \"{}\"", last_line(banner))]
    WithBanner {
        /// The error.
        error: Box<Error>,
        /// The last lines and banners, without control characters.
        banner: String,
    },
    /// The proxy did not connect to the server.
    #[error("{}", .0.text)]
    Proxy(Box<ProxyRefusal>),
    /// An error because of an exception of the application.
    #[error("{error}")]
    Caused {
        /// The error.
        error: Box<Error>,
        /// The exception.
        thrown: Thrown,
    },
    /// The stream of the application has served a session before.
    #[error("options.sock served an earlier session: a stream cannot be connected again")]
    SockUsed,
    /// The application gave no stream.
    #[error("options.sock: {0}")]
    Sock(String),
    /// The session was disconnected, by the network, the server or a timeout.
    #[error("{text}")]
    Disconnected {
        /// How the session ended; `None` if there was none.
        reason: Option<LossReason>,
        /// Message.
        text: String,
    },
}

/// The number of an exception of the application, which is the cause of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thrown(pub u32);

/// Why the application gave no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsFailure {
    /// Code of the error.
    pub code: String,
    /// Message of the error.
    pub text: String,
    /// What was thrown, if anything was.
    pub thrown: Option<Thrown>,
}

impl CredentialsFailure {
    /// Code of a function that threw.
    pub const CODE: &'static str = "ERR_SSH_CREDENTIALS";

    /// Returns the failure of an application that is gone, or that answers another question.
    pub(crate) fn unanswered() -> Self {
        let text = "the application gave no credentials".to_owned();
        Self { code: Self::CODE.to_owned(), text, thrown: None }
    }
}

/// How a session ended without being asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// The server closed the connection without DISCONNECT, or the stream or program that leads to
    /// it ended.
    Closed,
    /// The connection failed, for example with a reset.
    Network,
    /// The connection ended before the server identified itself, as when it has too many that are not
    /// authenticated (MaxStartups).
    Unidentified,
    /// The server sent DISCONNECT.
    Disconnect,
    /// The server sent DISCONNECT, because it has too many connections.
    TooMany,
    /// The server did not answer keepalive requests.
    Silent,
    /// The server did not finish a key exchange in time.
    Rekey,
    /// Another error of the session, such as a violation of the protocol.
    Protocol,
}

/// What a proxy did in place of connecting to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRefusal {
    /// Host of the proxy as it was given.
    pub host: String,
    /// Port of the proxy.
    pub port: u16,
    /// What happened.
    pub fault: ProxyFault,
    /// Message.
    pub text: String,
}

/// What went wrong at a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyFault {
    /// An HTTP response with another status than 2xx.
    Status {
        /// Status code.
        code: u16,
        /// Reason phrase, printable; may be empty.
        phrase: String,
    },
    /// A reply code of SOCKS 5 other than 0.
    Reply(u8),
    /// The SOCKS 5 proxy requires other credentials.
    Login,
    /// Its reply violates the protocol.
    Invalid,
    /// It closed the connection, or the network broke it.
    Closed,
}

impl ProxyFault {
    /// Returns whether the proxy wants other credentials.
    pub(crate) fn is_about_the_login(&self) -> bool {
        match self {
            ProxyFault::Status { code, .. } => AUTH_REQUIRED.contains(code),
            ProxyFault::Login => true,
            ProxyFault::Reply(_) | ProxyFault::Invalid | ProxyFault::Closed => false,
        }
    }
}

impl Error {
    /// Returns the code that programs compare.
    pub fn code(&self) -> Cow<'static, str> {
        match self {
            Error::Dial { code, .. } => code.clone(),
            Error::Timeout { .. } => "ETIMEDOUT".into(),
            Error::HostKey(_) | Error::HostKeyFile { .. } => "ERR_SSH_HOST_KEY".into(),
            Error::PrivateKey(_) => "ERR_SSH_PRIVATE_KEY".into(),
            Error::Credentials { code, .. } => code.clone().into(),
            Error::Auth(_) => "ERR_SSH_AUTH".into(),
            Error::Algorithm(_) => "ERR_SSH_ALGORITHM".into(),
            Error::Protocol(_) => "ERR_SSH_PROTOCOL".into(),
            Error::Refused { reason, .. } => open_code(*reason).into(),
            Error::Hop { error, .. }
            | Error::WithBanner { error, .. }
            | Error::Caused { error, .. } => error.code(),
            Error::Proxy(_) => "ERR_TUNNEL_PROXY".into(),
            Error::SockUsed => "ERR_TUNNEL_SOCK_USED".into(),
            Error::Sock(_) => "ERR_TUNNEL_SOCK".into(),
            Error::Disconnected { .. } => "ERR_SSH_DISCONNECTED".into(),
        }
    }

    /// Makes the error for a connection without a session.
    pub(crate) fn no_session() -> Self {
        Error::Disconnected { reason: None, text: "there is no session".into() }
    }

    /// Returns the failed system call, its error number, and its address: `host:port`, or a program.
    pub fn failed_call(&self) -> Option<(&'static str, Option<i32>, &str)> {
        match self.root() {
            Error::Dial { syscall, errno, address, .. } => Some((syscall, *errno, address)),
            _ => None,
        }
    }

    /// Returns the error without its jump host, banner and exception.
    pub fn root(&self) -> &Self {
        match self {
            Error::Hop { error, .. }
            | Error::WithBanner { error, .. }
            | Error::Caused { error, .. } => error.root(),
            error => error,
        }
    }

    /// Returns the exception of the application that is the cause.
    pub fn thrown(&self) -> Option<Thrown> {
        match self {
            Error::Caused { thrown, .. } => Some(*thrown),
            Error::Hop { error, .. } | Error::WithBanner { error, .. } => error.thrown(),
            _ => None,
        }
    }

    /// Adds the exception that is the cause, if there is one.
    pub(crate) fn caused_by(self, thrown: Option<Thrown>) -> Self {
        match thrown {
            Some(thrown) => Error::Caused { error: Box::new(self), thrown },
            None => self,
        }
    }

    /// Returns the address of the jump host at which the error occurred, and the error there.
    pub fn hop(&self) -> Option<(&str, &Self)> {
        match self {
            Error::Hop { address, error } => Some((address, error)),
            _ => None,
        }
    }

    /// Returns the text that the server, or the jump host with the error, has sent for the user:
    /// lines before its identification, and banners.
    pub fn banner(&self) -> Option<&str> {
        match self {
            Error::WithBanner { banner, .. } => Some(banner),
            Error::Hop { error, .. } | Error::Caused { error, .. } => error.banner(),
            _ => None,
        }
    }

    /// Adds the text that the server had sent, if it may explain the error.
    pub(crate) fn with_banner(self, banner: String) -> Self {
        match self {
            Error::Caused { error, thrown } => error.with_banner(banner).caused_by(Some(thrown)),
            Error::Auth(_)
            | Error::Timeout { .. }
            | Error::Disconnected { .. }
            | Error::Protocol(_)
                if !banner.trim().is_empty() =>
            {
                Error::WithBanner { error: Box::new(self), banner }
            }
            other => other,
        }
    }

    /// Adds the jump host at which the error occurred. An error of an earlier jump host is returned
    /// unchanged.
    pub(crate) fn at_hop(self, address: String) -> Self {
        match self {
            Error::Hop { .. } => self,
            error => Error::Hop { address, error: Box::new(error) },
        }
    }

    /// Converts any error of an established session to [`Error::Disconnected`].
    pub(crate) fn into_disconnected(self) -> Self {
        match self {
            Error::Hop { .. } | Error::Disconnected { .. } => self,
            error => {
                Error::Disconnected { reason: Some(LossReason::Protocol), text: error.to_string() }
            }
        }
    }
}

impl From<CredentialsFailure> for Error {
    fn from(failure: CredentialsFailure) -> Self {
        let CredentialsFailure { code, text, thrown } = failure;
        Error::Credentials { code, text }.caused_by(thrown)
    }
}

impl From<ssh_proto::Error> for Error {
    fn from(error: ssh_proto::Error) -> Self {
        use ssh_proto::Error as Proto;
        let text = error.to_string();
        let refused = |reason, text| {
            Error::HostKey(Box::new(HostKeyRefusal {
                reason,
                text,
                fingerprint: None,
                known: None,
                line: None,
                offered: None,
            }))
        };
        let lost = |reason, text| Error::Disconnected { reason: Some(reason), text };
        match error {
            Proto::NotSsh(_) | Proto::Protocol(_) | Proto::Integrity => Error::Protocol(text),
            Proto::NoCommonAlgorithm { .. } => Error::Algorithm(text),
            Proto::HostKey(_) => refused(HostKeyReason::Invalid, text),
            Proto::HostKeyRejected => refused(HostKeyReason::Rejected, text),
            Proto::Auth(failure) => Error::Auth(failure),
            Proto::Disconnected { reason: TOO_MANY_CONNECTIONS, .. } => {
                lost(LossReason::TooMany, text)
            }
            Proto::Disconnected { .. } => lost(LossReason::Disconnect, text),
            Proto::KeepaliveTimeout(_) => lost(LossReason::Silent, text),
            Proto::RekeyTimeout(_) => lost(LossReason::Rekey, text),
        }
    }
}

/// Returns the end of a text as one line.
fn last_line(text: &str) -> String {
    const MAX: usize = 256;
    ssh_proto::one_line(ssh_proto::tail(text.trim_end(), MAX).as_bytes())
}

/// Returns the code for a server's refusal to open a channel.
pub(crate) fn open_code(reason: OpenFailure) -> &'static str {
    match reason {
        OpenFailure::AdministrativelyProhibited => "ERR_SSH_OPEN_ADMINISTRATIVELY_PROHIBITED",
        OpenFailure::ConnectFailed => "ERR_SSH_OPEN_CONNECT_FAILED",
        OpenFailure::UnknownChannelType => "ERR_SSH_OPEN_UNKNOWN_CHANNEL_TYPE",
        OpenFailure::ResourceShortage => "ERR_SSH_OPEN_RESOURCE_SHORTAGE",
        OpenFailure::Other(_) => "ERR_SSH_OPEN_FAILED",
    }
}

#[cfg(test)]
mod tests;
