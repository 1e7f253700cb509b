//! Several sessions of one tunnel.
//!
//! - `supervisor`: places connections on sessions; `worker`: what it knows of each; `growth`: when a
//!   further one may connect; `message`: what it and the workers send; `throughput`: how busy each session
//!   is; `up`: the sessions that take connections, sorted.

mod growth;
pub(crate) mod message;
pub(crate) mod supervisor;
pub(crate) mod throughput;
mod up;
mod worker;
