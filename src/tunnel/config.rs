//! What a tunnel is told: fixed at its making, or shared by connections still to come.

use std::sync::Arc;
use std::time::Duration;

use crate::net::linger::Linger;
use crate::session::{Reconnect, Target};
use crate::tunnel::ForwardSpec;

/// What is fixed when a tunnel is made.
#[derive(Debug)]
pub struct Config {
    /// The SSH server and how to log on to it.
    pub target: Arc<Target>,
    /// How a session that was lost is set up again; `None`: not at all.
    pub reconnect: Option<Reconnect>,
    /// How many sessions there may be at once, at least 1. Whatever is to hold for the tunnel as a
    /// whole, each of them may have this part of.
    pub sessions: usize,
    /// What to listen for, and what to do with it; others can be asked for later.
    pub forward: Option<ForwardSpec>,
    /// How many connections the tunnel may have at once, whichever way they come; `None`: any
    /// number.
    pub max_connections: Option<u32>,
    /// Whether others may share the ports that it listens on; see [`CAN_REUSE_PORT`](super::CAN_REUSE_PORT).
    pub reuse_port: bool,
}

/// What connections take over when they are accepted; a change touches later ones only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How a connection is closed.
    pub linger: Linger,
    /// SO_KEEPALIVE of the accepted socket.
    pub keep_alive: bool,
    /// A connection without a byte in either direction for this long is closed; `None`: never.
    pub idle_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { linger: Linger::GRACEFUL, keep_alive: false, idle_timeout: None }
    }
}
