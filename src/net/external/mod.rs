//! Sockets of the application, by their descriptors: the LINGER structure of TCP sockets, and closing by it;
//! `listener`: listening sockets for forwards.
//!
//! Most of the TCP sockets belong to Node.js. A descriptor is used only after the kernel has
//! confirmed that it is a socket, and only during the call; a close that takes longer has its own
//! descriptor.

mod close;
mod listener;
mod sockopt;

use std::io;
use std::os::fd::RawFd;

use socket2::{Domain, Socket, Type};
use thiserror::Error as ThisError;

pub use self::close::{Closed, ClosingSocket, Output};
pub use self::listener::{listener_address, take_listener};
pub use self::sockopt::{linger, set_linger, switch_linger};

use crate::net::sys;

/// Why a call failed. It has changed nothing.
#[derive(Debug, ThisError)]
pub enum Error {
    /// An error of the system, such as EBADF or ENOTSOCK.
    #[error("{0}")]
    System(#[from] io::Error),
    /// A socket on which SO_LINGER has no effect, such as a Unix or UDP socket.
    #[error("not a TCP socket")]
    NotTcp,
    /// Not a stream socket that listens at a port or at a Unix address.
    #[error("not a listening TCP or Unix stream socket")]
    NotListening,
}

/// Calls `work` with a TCP socket. Other threads may close the descriptor during the call.
fn with_tcp<T>(descriptor: RawFd, work: impl FnOnce(&Socket) -> io::Result<T>) -> Result<T, Error> {
    sys::with_socket(descriptor, |socket| {
        let is_stream = socket.r#type()? == Type::STREAM;
        let is_ip = [Domain::IPV4, Domain::IPV6].contains(&socket.local_addr()?.domain());
        if is_stream && is_ip { work(socket).map(Some) } else { Ok(None) }
    })?
    .ok_or(Error::NotTcp)
}
