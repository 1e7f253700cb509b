//! A stream of the application: the application carries its bytes to the server.

use std::sync::{Mutex, PoisonError};

use crate::net::memory::End;
use crate::session::Error;
use crate::session::connect::bridge;
use crate::session::connect::transport::Stream;

/// Stream in memory between a session and the application. A stream of the application cannot be
/// connected again, so it serves one session only.
#[derive(Default)]
pub struct Sock(Mutex<State>);

#[derive(Default)]
enum State {
    /// The stream is not made yet.
    #[default]
    Unused,
    /// The application has one end; this is the other.
    Attached(Stream),
    /// A session has taken it.
    Used,
}

impl Sock {
    /// Makes the stream and returns the application's end; `None` if it was made before.
    pub(crate) fn attach(&self) -> Option<End> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Unused => {
                let (ours, theirs, _) = bridge::pair();
                *state = State::Attached(ours);
                Some(theirs)
            }
            State::Attached(_) | State::Used => None,
        }
    }

    /// Takes the session's end. An error if it was taken before.
    pub(crate) fn take(&self) -> Result<Stream, Error> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Used) {
            State::Attached(ours) => Ok(ours),
            State::Unused | State::Used => Err(Error::SockUsed),
        }
    }
}

impl std::fmt::Debug for Sock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sock").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_serves_one_session() {
        let sock = Sock::default();
        assert!(sock.attach().is_some());
        assert!(sock.attach().is_none());
        assert!(sock.take().is_ok());
        let error = sock.take().map(drop).expect_err("it was used");
        assert_eq!(error.code(), "ERR_TUNNEL_SOCK_USED");
        assert!(sock.attach().is_none());
    }
}
