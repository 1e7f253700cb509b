//! Connecting to an SSH server: the stream to it, the key exchange, the authentication.
//!
//! - `establish`: a session from the first byte to SSH_MSG_USERAUTH_SUCCESS.
//! - `transport`: the stream that a session runs on; `happy_eyeballs`: one of TCP.
//! - `jump`: a stream through a jump host; `proxy_command`: through a program; `sock`: of the
//!   application; `bridge`: what these three share.

#[cfg(unix)]
pub(crate) mod bridge;
pub(crate) mod establish;
pub(crate) mod happy_eyeballs;
#[cfg(unix)]
pub(crate) mod jump;
#[cfg(unix)]
pub(crate) mod proxy_command;
#[cfg(unix)]
pub(crate) mod sock;
pub(crate) mod transport;
