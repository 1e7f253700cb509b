//! Several sessions of one tunnel.
//!
//! - `supervisor`: spreads the connections; `worker`: the task of one session; `throughput`: how
//!   much each has to do.

pub(crate) mod supervisor;
pub(crate) mod throughput;
pub(crate) mod worker;
