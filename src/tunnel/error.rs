//! What an operation on a tunnel can fail with.

use std::borrow::Cow;
use std::io;

use crate::session;

/// Why an operation on a tunnel failed.
#[derive(Debug, thiserror::Error, Clone)]
pub enum Error {
    /// The SSH session could not be set up, or was lost.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// The local port could not be bound, or accepting from it failed for good.
    #[error("{syscall} {code} {address}")]
    Listen {
        /// The call that failed, as Node names it: `listen`, `accept` or `getaddrinfo`.
        syscall: &'static str,
        /// The name of the system error.
        code: Cow<'static, str>,
        /// The system's error number where there is one.
        errno: Option<i32>,
        /// Where it was to listen: host and port, or a path.
        address: String,
    },
    /// The operation was under way when the tunnel was shut down.
    #[error("the tunnel was shut down")]
    Closed,
    /// Nothing was said of what to listen for.
    #[error("the tunnel was made without forwardHost")]
    NoForward,
    /// Nothing is known of a forward with that number.
    #[error("there is no forward {0}, or it was given up long ago")]
    UnknownForward(i64),
    /// The server will not listen there.
    #[error("the server refused to listen on {0}")]
    ForwardRefused(String),
    /// The server would not stop listening there.
    #[error("the server refused to give up {0}")]
    ForwardKept(String),
    /// The server does not know requests to listen somewhere.
    #[error(
        "the server does not support remote forwards: it refused the request about {0} as not implemented"
    )]
    ForwardUnimplemented(String),
    /// The server did not say whether it listens, or no longer listens, there.
    #[error("the server did not answer the request to {} {place} within {limit} ms", if *.stop { "give up" } else { "listen on" })]
    ForwardUnanswered {
        /// Where.
        place: String,
        /// `readyTimeout` in milliseconds.
        limit: u128,
        /// Whether it was asked to stop.
        stop: bool,
    },
    /// No connection with that number is open.
    #[error("there is no connection {0}")]
    NoConnection(u64),
}

impl Error {
    /// The string that programs compare: a system error's name, `ERR_SSH_...` or `ERR_TUNNEL_...`.
    pub fn code(&self) -> Cow<'static, str> {
        match self {
            Error::Session(error) => error.code(),
            Error::Listen { code, .. } => code.clone(),
            Error::Closed => "ERR_TUNNEL_CLOSED".into(),
            Error::NoForward | Error::UnknownForward(_) => "ERR_TUNNEL_NO_FORWARD".into(),
            Error::ForwardRefused(_) | Error::ForwardKept(_) | Error::ForwardUnimplemented(_) => {
                "ERR_SSH_FORWARD_REFUSED".into()
            }
            Error::ForwardUnanswered { .. } => "ETIMEDOUT".into(),
            Error::NoConnection(_) => "ERR_TUNNEL_NO_CONNECTION".into(),
        }
    }

    /// The system call and error number behind it, where there are any.
    pub fn system(&self) -> Option<(&'static str, Option<i32>)> {
        match self {
            Error::Session(error) => error.system(),
            Error::Listen { syscall, errno, .. } => Some((syscall, *errno)),
            Error::Closed
            | Error::NoForward
            | Error::UnknownForward(_)
            | Error::ForwardRefused(_)
            | Error::ForwardKept(_)
            | Error::ForwardUnimplemented(_)
            | Error::ForwardUnanswered { .. }
            | Error::NoConnection(_) => None,
        }
    }
}

impl Error {
    /// A failure of `syscall` on the local listener at `address`.
    pub(crate) fn listen(syscall: &'static str, address: String, error: &io::Error) -> Self {
        let code = session::system_code(error);
        Error::Listen { syscall, code, errno: error.raw_os_error(), address }
    }

    /// The address to listen on could not be found out.
    pub(crate) fn lookup(address: String, error: &io::Error) -> Self {
        let code = session::lookup_code(error);
        Error::Listen { syscall: "getaddrinfo", code, errno: None, address }
    }
}
