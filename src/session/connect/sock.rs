//! A server that is reached by a stream of the owner's: the owner carries it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use crate::session::Error;
use crate::session::connect::bridge;
use crate::session::connect::transport::Stream;

/// One end of a pair of sockets for the owner, the other for a session. A stream cannot be
/// connected again: it serves one session and no other.
#[derive(Debug, Default)]
pub struct Sock(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// The owner has no end of it yet.
    #[default]
    Unused,
    /// The owner has one end; this is the session's.
    Attached(UnixStream),
    /// A session had it.
    Used,
}

impl Sock {
    /// The owner's end, the first time; `None` later.
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

    /// The session's end, once.
    pub(crate) fn take(&self, place: &str) -> Result<Stream, Error> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Used) {
            State::Attached(ours) => bridge::carried(ours)
                .map(|(stream, _)| stream)
                .map_err(|error| bridge::failed(&error, place)),
            State::Unused | State::Used => Err(Error::SockUsed),
        }
    }
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
