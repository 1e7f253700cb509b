//! SSH tunnels for Node.js whose connections close exactly as the application asks.
//!
//! Dependencies point down:
//!
//! - [`binding`]: Node-API. Arguments, callbacks, errors and events; no logic.
//! - [`tunnel`]: forwards, their connections, and the one task that moves their bytes.
//! - [`session`]: from a host name to an authenticated SSH session, on `ssh_proto`, the protocol
//!   itself.
//! - `socks`: the server side of SOCKS 4 and 5.
//! - [`net`]: local sockets, the LINGER structure, and how a socket is closed.
//! - `runtime`: the threads, timers and deadlines that everything runs on.
//! - `names`: the rules for names of hosts, users and sockets.
//! - `random`: random bytes from the kernel.

pub mod binding;
mod names;
pub mod net;
mod random;
mod runtime;
pub mod session;
mod socks;
pub mod tunnel;
