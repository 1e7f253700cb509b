//! Local sockets: the LINGER structure, and how a socket is closed.
//!
//! - [`linger`]: the structure and its modes; [`close`]: the end of one socket by them.
//! - `local_stream`: a socket of TCP or of the Unix domain; `write_buffer`: the bytes that it has not
//!   taken yet; `try_io`: a call on it that may have to wait; `rcvlowat`: SO_RCVLOWAT.
//! - `descriptors`: how many descriptors the process has left; `sys`: the only unsafe code.
//! - [`external`]: sockets of other parts of the program, by their descriptors.

pub mod close;
pub(crate) mod descriptors;
#[cfg(unix)]
pub mod external;
pub mod linger;
pub(crate) mod local_stream;
pub(crate) mod rcvlowat;
pub(crate) mod sys;
pub(crate) mod try_io;
pub(crate) mod write_buffer;
