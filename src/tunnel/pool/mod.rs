//! Several sessions of one tunnel.
//!
//! - `supervisor`: places connections on sessions; `message`: what it and the workers send;
//!   `throughput`: how busy each session is; `up`: the sessions that take connections, sorted.

pub(crate) mod message;
pub(crate) mod supervisor;
pub(crate) mod throughput;
mod up;
