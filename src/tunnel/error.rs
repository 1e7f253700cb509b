//! The errors of a tunnel's operations.

use std::borrow::Cow;
use std::io;

use crate::net::error_code;
use crate::session;

/// An error of an operation on a tunnel.
#[derive(Debug, thiserror::Error, Clone)]
pub enum Error {
    /// The SSH session could not connect or authenticate, or was lost.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// The local address could not be bound, or its listener failed for good.
    #[error("{syscall} {code} {address}")]
    Listen {
        /// The call that failed, in Node's words: `listen`, `accept` or `getaddrinfo`.
        syscall: &'static str,
        /// The name of the system error.
        code: Cow<'static, str>,
        /// The number of the system error, if there is one.
        errno: Option<i32>,
        /// The local address: host and port, or a path.
        address: String,
    },
    /// The tunnel was shut down during the operation.
    #[error("the tunnel was shut down")]
    Closed,
    /// The tunnel was made without a forward.
    #[error("there is nothing to listen for: the tunnel has no forwardHost")]
    NoForward,
    /// No forward has this id.
    #[error("there is no forward {0}, or it was stopped long ago")]
    UnknownForward(i64),
    /// The server refused to listen at this address.
    #[error("the server refused to listen on {0}")]
    ForwardRefused(String),
    /// The server's reply to the request to listen at this address has no port that can be used.
    #[error(
        "the server's reply to the request to listen on {0} has no port that can be used for it"
    )]
    ForwardWithoutPort(String),
    /// The server refused to stop listening at this address.
    #[error("the server refused to stop listening on {0}")]
    ForwardKept(String),
    /// The server does not implement requests to listen.
    #[error(
        "the server does not support remote forwards: it does not implement the request to listen on {0}"
    )]
    ForwardUnimplemented(String),
    /// The server did not answer the request to listen, or to stop listening, at an address.
    #[error("the server did not answer the request to {} {place} within {limit} ms", if *.stop { "stop listening on" } else { "listen on" })]
    ForwardUnanswered {
        /// The address.
        place: String,
        /// `readyTimeout` in milliseconds.
        limit: u128,
        /// Whether the request was to stop.
        stop: bool,
    },
    /// No connection has this id.
    #[error("there is no connection {0}")]
    NoConnection(u64),
}

impl Error {
    /// Returns the code that programs compare: a system error's name, `ERR_SSH_...` or `ERR_TUNNEL_...`.
    pub fn code(&self) -> Cow<'static, str> {
        match self {
            Error::Session(error) => error.code(),
            Error::Listen { code, .. } => code.clone(),
            Error::Closed => "ERR_TUNNEL_CLOSED".into(),
            Error::NoForward | Error::UnknownForward(_) => "ERR_TUNNEL_NO_FORWARD".into(),
            Error::ForwardRefused(_)
            | Error::ForwardWithoutPort(_)
            | Error::ForwardKept(_)
            | Error::ForwardUnimplemented(_) => "ERR_SSH_FORWARD_REFUSED".into(),
            Error::ForwardUnanswered { .. } => "ETIMEDOUT".into(),
            Error::NoConnection(_) => "ERR_TUNNEL_NO_CONNECTION".into(),
        }
    }

    /// Returns the failed system call, its error number and its address.
    pub fn failed_call(&self) -> Option<(&'static str, Option<i32>, &str)> {
        match self {
            Error::Session(error) => error.failed_call(),
            Error::Listen { syscall, errno, address, .. } => Some((syscall, *errno, address)),
            Error::Closed
            | Error::NoForward
            | Error::UnknownForward(_)
            | Error::ForwardRefused(_)
            | Error::ForwardWithoutPort(_)
            | Error::ForwardKept(_)
            | Error::ForwardUnimplemented(_)
            | Error::ForwardUnanswered { .. }
            | Error::NoConnection(_) => None,
        }
    }
}

impl Error {
    /// Makes the error of a failed `syscall` of the listener at `address`.
    pub(crate) fn listen(syscall: &'static str, address: String, error: &io::Error) -> Self {
        let code = error_code::system_code(error);
        Error::Listen { syscall, code, errno: error.raw_os_error(), address }
    }

    /// Makes the error of a local address that could not be resolved.
    pub(crate) fn lookup(address: String, error: &io::Error) -> Self {
        let code = error_code::lookup_code(error);
        Error::Listen { syscall: "getaddrinfo", code, errno: None, address }
    }
}
