//! Why there is no SSH session, or none any more.

use std::borrow::Cow;
use std::io;

/// Why a session could not be set up, or was lost.
#[derive(Debug, thiserror::Error, Clone)]
pub enum Error {
    /// The server could not be reached.
    #[error("{syscall} {code} {address}")]
    Dial {
        /// The call that failed, as Node names it: `connect` or `getaddrinfo`.
        syscall: &'static str,
        /// The name of the system error.
        code: Cow<'static, str>,
        /// The system's error number where there is one.
        errno: Option<i32>,
        /// The server: host and port.
        address: String,
    },
    /// Dialing and logging on took longer than allowed; says what was waited for.
    #[error("{host}: no SSH session within {limit} ms, waiting for {step}")]
    Timeout {
        /// The server's host.
        host: String,
        /// `readyTimeout` in milliseconds.
        limit: u128,
        /// What had not come yet.
        step: &'static str,
    },
    /// The host key was not accepted. Nothing about the user was sent.
    #[error("{0}")]
    HostKey(String),
    /// The private key could not be read: not a key, or the passphrase is missing or wrong.
    #[error("{0}")]
    PrivateKey(String),
    /// The server refused every method of authentication that we have.
    #[error("{0}")]
    Auth(String),
    /// Both sides have no algorithm in common.
    #[error("{0}")]
    Algorithm(String),
    /// The server broke the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The session ended: the connection broke, or the server disconnected or fell silent.
    #[error("{0}")]
    Disconnected(String),
}

impl Error {
    /// The string that programs compare.
    pub fn code(&self) -> Cow<'static, str> {
        match self {
            Error::Dial { code, .. } => code.clone(),
            Error::Timeout { .. } => "ETIMEDOUT".into(),
            Error::HostKey(_) => "ERR_SSH_HOST_KEY".into(),
            Error::PrivateKey(_) => "ERR_SSH_PRIVATE_KEY".into(),
            Error::Auth(_) => "ERR_SSH_AUTH".into(),
            Error::Algorithm(_) => "ERR_SSH_ALGORITHM".into(),
            Error::Protocol(_) => "ERR_SSH_PROTOCOL".into(),
            Error::Disconnected(_) => "ERR_SSH_DISCONNECTED".into(),
        }
    }

    /// There is no session to carry a connection.
    pub(crate) fn no_session() -> Self {
        Error::Disconnected("there is no session".into())
    }

    /// The system call and error number behind it, where there are any.
    pub fn system(&self) -> Option<(&'static str, Option<i32>)> {
        match self {
            Error::Dial { syscall, errno, .. } => Some((syscall, *errno)),
            Error::Timeout { .. }
            | Error::HostKey(_)
            | Error::PrivateKey(_)
            | Error::Auth(_)
            | Error::Algorithm(_)
            | Error::Protocol(_)
            | Error::Disconnected(_) => None,
        }
    }
}

impl From<ssh_proto::Error> for Error {
    fn from(error: ssh_proto::Error) -> Self {
        use ssh_proto::Error as Proto;
        let text = error.to_string();
        match error {
            Proto::NotSsh(_) | Proto::Protocol(_) | Proto::Integrity => Error::Protocol(text),
            Proto::NoCommonAlgorithm { .. } => Error::Algorithm(text),
            Proto::HostKey(_) | Proto::HostKeyRefused => Error::HostKey(text),
            Proto::Auth(_) => Error::Auth(text),
            Proto::Disconnected { .. } | Proto::Silent(_) => Error::Disconnected(text),
        }
    }
}

/// The name of a failed look-up. The system's own code does not survive in the error, its words do.
pub(crate) fn lookup_code(error: &io::Error) -> Cow<'static, str> {
    if error.raw_os_error().is_some() {
        return system_code(error);
    }
    if error.to_string().contains("Temporary failure") { "EAI_AGAIN" } else { "ENOTFOUND" }.into()
}

/// The name of a system error as Node spells it.
pub fn system_code(error: &io::Error) -> Cow<'static, str> {
    use io::ErrorKind as Kind;
    let name = match error.kind() {
        Kind::ConnectionRefused => "ECONNREFUSED",
        Kind::ConnectionReset => "ECONNRESET",
        Kind::ConnectionAborted => "ECONNABORTED",
        Kind::HostUnreachable => "EHOSTUNREACH",
        Kind::NetworkUnreachable => "ENETUNREACH",
        Kind::NetworkDown => "ENETDOWN",
        Kind::NotConnected => "ENOTCONN",
        Kind::AddrInUse => "EADDRINUSE",
        Kind::AddrNotAvailable => "EADDRNOTAVAIL",
        Kind::BrokenPipe => "EPIPE",
        Kind::NotFound => "ENOENT",
        Kind::PermissionDenied => "EACCES",
        Kind::TimedOut => "ETIMEDOUT",
        Kind::InvalidInput => "EINVAL",
        Kind::OutOfMemory => "ENOMEM",
        _ => "",
    };
    if !name.is_empty() {
        return name.into();
    }
    match error.raw_os_error() {
        #[cfg(unix)]
        Some(libc::EMFILE) => "EMFILE".into(),
        #[cfg(unix)]
        Some(libc::ENFILE) => "ENFILE".into(),
        #[cfg(unix)]
        Some(libc::ENOBUFS) => "ENOBUFS".into(),
        Some(number) => format!("E{number}").into(),
        None => "EIO".into(),
    }
}
