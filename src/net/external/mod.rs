//! Any TCP socket of the program, by its descriptor: its LINGER structure, and closing it by that.
//!
//! The sockets belong to others, most of them to Node.js. So nothing here trusts a number before
//! the kernel has answered for it, and nothing keeps a number: what takes longer than a call works
//! on a descriptor of its own.

mod close;
mod sockopt;

use std::io;
use std::os::fd::RawFd;

use socket2::{Domain, Socket, Type};
use thiserror::Error as ThisError;

pub use self::close::{Closed, Output, Taken};
pub use self::sockopt::{linger, set_linger, switch_linger};

use crate::net::sys;

/// Why nothing was done, and nothing has changed.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The system's own reason: EBADF, ENOTSOCK and others.
    #[error("{0}")]
    System(#[from] io::Error),
    /// A socket that has no use for SO_LINGER, such as one of the Unix domain or of UDP.
    #[error("not a TCP socket")]
    NotTcp,
}

/// Does something with a TCP socket; what it is meanwhile, other threads may change.
fn with_tcp<T>(descriptor: RawFd, work: impl FnOnce(&Socket) -> io::Result<T>) -> Result<T, Error> {
    sys::with_socket(descriptor, |socket| {
        let is_stream = socket.r#type()? == Type::STREAM;
        let is_ip = [Domain::IPV4, Domain::IPV6].contains(&socket.local_addr()?.domain());
        if is_stream && is_ip { work(socket).map(Some) } else { Ok(None) }
    })?
    .ok_or(Error::NotTcp)
}
