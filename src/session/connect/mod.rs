//! Connecting to an SSH server: the stream to it, the key exchange, the authentication.
//!
//! - `establish`: connects and authenticates a session.
//! - `transport`: the socket of a session; `happy_eyeballs`: a TCP connection; `proxy`: one through an
//!   HTTP or SOCKS proxy.
//! - `jump`: a stream through a jump host; `proxy_command`: through a program; `sock`: through a stream
//!   of the application; `bridge`: the stream in memory that these three share.

pub(crate) mod bridge;
pub(crate) mod establish;
pub(crate) mod happy_eyeballs;
pub(crate) mod jump;
pub(crate) mod proxy;
pub(crate) mod proxy_command;
pub(crate) mod sock;
pub(crate) mod transport;
