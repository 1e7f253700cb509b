//! A stream of the application: the application carries its bytes to the server.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use crate::net::error_code::system_code;
use crate::session::Error;
use crate::session::connect::bridge;
use crate::session::connect::transport::Stream;

/// Socket pair between a session and the application. A stream cannot be connected again, so it
/// serves one session only.
#[derive(Debug, Default)]
pub struct Sock(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// The pair is not made yet.
    #[default]
    Unused,
    /// The application has one end; this is the other.
    Attached(UnixStream),
    /// A session has taken it.
    Used,
}

impl Sock {
    /// Makes the pair and returns the application's end; `None` if it was made before.
    pub fn attach(&self) -> io::Result<Option<OwnedFd>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Unused => {
                let (ours, theirs) = UnixStream::pair()?;
                *state = State::Attached(ours);
                Ok(Some(theirs.into()))
            }
            State::Attached(_) | State::Used => Ok(None),
        }
    }

    /// Takes the session's end. An error if it was taken before.
    pub(crate) fn take(&self, address: &str) -> Result<Stream, Error> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Used) {
            State::Attached(ours) => wrap(ours).map_err(|error| {
                let (code, address) = (system_code(&error), address.to_owned());
                Error::Dial { syscall: "socketpair", code, errno: error.raw_os_error(), address }
            }),
            State::Unused | State::Used => Err(Error::SockUsed),
        }
    }
}

/// Makes a stream of one end of the pair.
fn wrap(socket: UnixStream) -> io::Result<Stream> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::UnixStream::from_std(socket)?;
    Ok(Stream::bridged(socket.into(), bridge::sides().0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime;

    #[test]
    fn it_serves_one_session() {
        let _runtime = runtime::handle().enter();
        let sock = Sock::default();
        assert!(sock.attach().expect("a pair").is_some());
        assert!(sock.attach().expect("no pair").is_none());
        assert!(sock.take("host:22").is_ok());
        let error = sock.take("host:22").map(drop).expect_err("it was used");
        assert_eq!(error.code(), "ERR_TUNNEL_SOCK_USED");
        assert!(sock.attach().expect("no pair").is_none());
    }
}
