//! Local sockets: the LINGER structure, and closing a socket by it.
//!
//! - [`linger`]: the structure and its modes; [`close`]: closes one socket.
//! - `local_stream`: a TCP or Unix socket, or one end of a stream inside the process, which `memory`
//!   has; `tcp`: a TCP socket that counts what it takes; `write_buffer`: bytes that it has not taken yet; `try_io`: reads and writes that keep the
//!   readiness of a socket exact; `rcvlowat`: SO_RCVLOWAT;
//!   `send_bound`: how much may wait in a socket; [`rate`]: limits of the rate of connections.
//! - `descriptors`: how many descriptors the process has left; `error_code`: names of system errors;
//!   `datagram`: datagrams to Unix sockets; `sys`: the only unsafe code.
//! - [`external`]: sockets of the application, by their descriptors.

pub mod close;
#[cfg(unix)]
pub(crate) mod datagram;
pub(crate) mod descriptors;
pub(crate) mod error_code;
#[cfg(unix)]
pub mod external;
pub mod linger;
pub(crate) mod local_stream;
pub(crate) mod memory;
pub mod rate;
pub(crate) mod rcvlowat;
pub(crate) mod send_bound;
pub(crate) mod sys;
pub(crate) mod tcp;
pub(crate) mod try_io;
pub(crate) mod write_buffer;
