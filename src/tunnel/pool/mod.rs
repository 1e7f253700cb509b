//! Several sessions of one tunnel.
//!
//! - `supervisor`: places connections on sessions; `worker`: the way back from a session's task;
//!   `message`: what both send; `throughput`: how busy each session is.

pub(crate) mod message;
pub(crate) mod supervisor;
pub(crate) mod throughput;
pub(crate) mod worker;
