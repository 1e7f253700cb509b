//! The shape in which a failure crosses to JavaScript, which makes an `Error` of it.

use napi_derive::napi;

#[cfg(unix)]
use crate::net::external;
#[cfg(unix)]
use crate::session;
use crate::tunnel::Error;

/// Everything that `lib/errors.js` needs for an `Error`.
#[napi(object, object_from_js = false)]
#[derive(Clone, Debug)]
pub struct Failure {
    /// The string that programs compare.
    pub code: String,
    /// The same for people.
    pub message: String,
    /// The system's error number, positive; JavaScript turns the sign as Node does.
    pub errno: Option<i32>,
    /// The system call that failed.
    pub syscall: Option<String>,
    /// Host and port that it was about.
    pub address: Option<String>,
    /// What the server had said to the user before.
    pub banner: Option<String>,
}

impl Failure {
    /// A failure that no system call is behind.
    pub(crate) fn new(code: &str, message: String) -> Self {
        Self {
            code: code.to_owned(),
            message,
            errno: None,
            syscall: None,
            address: None,
            banner: None,
        }
    }

    /// A failure of a system call that is about nothing but this process.
    #[cfg(unix)]
    pub(crate) fn of_system(syscall: &str, error: &std::io::Error) -> Self {
        let code = session::system_code(error);
        Self {
            errno: error.raw_os_error(),
            syscall: Some(syscall.to_owned()),
            ..Self::new(&code, format!("{syscall} {code}"))
        }
    }

    /// Likewise on a socket of the program's; or the call was not even made.
    #[cfg(unix)]
    pub(crate) fn of_socket(syscall: &str, error: &external::Error) -> Self {
        match error {
            external::Error::System(error) => Self::of_system(syscall, error),
            external::Error::NotTcp => Self {
                errno: Some(libc::ENOTSUP),
                syscall: Some(syscall.to_owned()),
                ..Self::new("ENOTSUP", format!("{syscall} ENOTSUP: {error}"))
            },
        }
    }

    /// A blocking call met a question that only this JavaScript thread could answer.
    pub(crate) fn would_deadlock() -> Self {
        let message = "The logon has to ask options.hostVerifier or the 'keyboard-interactive' \
                       listener, which cannot run while this call blocks its thread. Pass a \
                       callback or use tunnel.promises";
        Self::new("ERR_TUNNEL_WOULD_DEADLOCK", message.to_owned())
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let (syscall, errno) = error.system().unzip();
        Self {
            code: error.code().into_owned(),
            message: error.to_string(),
            errno: errno.flatten(),
            syscall: syscall.map(str::to_owned),
            address: address(error).map(str::to_owned),
            banner: match error {
                Error::Session(error) => error.banner().map(str::to_owned),
                _ => None,
            },
        }
    }
}

/// Where a system call was directed.
fn address(error: &Error) -> Option<&str> {
    match error {
        Error::Session(error) => error.address(),
        Error::Listen { address, .. } => Some(address),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_error_keeps_its_name_number_and_address() {
        let error = Error::Listen {
            syscall: "listen",
            code: "EADDRINUSE".into(),
            errno: Some(98),
            address: "127.0.0.1:80".into(),
        };
        let failure = Failure::from(&error);
        assert_eq!(failure.code, "EADDRINUSE");
        assert_eq!(failure.message, "listen EADDRINUSE 127.0.0.1:80");
        assert_eq!(failure.errno, Some(98));
        assert_eq!(failure.syscall.as_deref(), Some("listen"));
        assert_eq!(failure.address.as_deref(), Some("127.0.0.1:80"));
    }

    #[test]
    fn our_own_errors_name_no_system_call() {
        let failure = Failure::from(&Error::NoConnection(7));
        assert_eq!(failure.code, "ERR_TUNNEL_NO_CONNECTION");
        assert_eq!((failure.errno, failure.syscall, failure.address), (None, None, None));
    }
}
