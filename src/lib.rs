//! An SSH tunnel whose connections close exactly the way their owner asks.
//!
//! The layers, each of which knows only the ones below it:
//!
//! - [`node`]: Node-API. Arguments, callbacks, errors, events; no logic.
//! - [`tunnel`]: a local listener, its connections, and the one task that moves their bytes.
//! - [`session`]: from a host name to a logged-on SSH session.
//! - [`ssh_proto`]: the SSH protocol itself, bytes in and bytes out.
//! - [`socket`]: any other TCP socket of the program, by its descriptor: SO_LINGER, and closing it.
//! - `names`: what every layer refuses as a name of a host, a user or a socket.
//! - [`closing`]: how one socket ends. Stands on [`linger`], the LINGER structure, on `stream`, a
//!   socket of TCP or of the Unix domain, and on `sys`, the few raw socket calls.

mod attempt;
mod backlog;
pub mod closing;
mod cutoff;
mod descriptors;
pub mod linger;
mod low_water;
mod names;
pub mod node;
mod runtime;
pub mod session;
#[cfg(unix)]
pub mod socket;
mod stream;
mod sys;
mod timer;
pub mod tunnel;
