//! The configuration of a tunnel, and the settings of its new connections.

use std::sync::Arc;
use std::time::Duration;

use crate::net::linger::Linger;
use crate::net::rate::MaxRate;
use crate::session::{Reconnect, Target};
use crate::tunnel::ForwardSpec;

/// The configuration of a tunnel.
#[derive(Debug)]
pub struct Config {
    /// The SSH server, and how to connect and authenticate to it.
    pub target: Arc<Target>,
    /// How to reconnect after the loss of the session; `None`: not at all.
    pub reconnect: Option<Reconnect>,
    /// How many sessions there are.
    pub sessions: Sessions,
    /// The forward that `start_listening()` starts.
    pub forward: Option<ForwardSpec>,
    /// The maximum number of simultaneous connections of all forwards; `None`: unlimited.
    pub max_connections: Option<u32>,
    /// The limits of the rate of all connections together.
    pub max_rate: MaxRate,
    /// Whether other listeners may share its local ports; see
    /// [`CAN_REUSE_PORT`](super::CAN_REUSE_PORT).
    pub reuse_port: bool,
}

/// How many sessions a tunnel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// The maximum number of simultaneous sessions, at least 1.
    pub max: usize,
    /// The number of connections of each session from which on there is to be another, at least 1.
    pub connections_each: usize,
    /// The memory of all receive windows of a session, in bytes. One of them has that of the target.
    pub further_memory: u64,
}

/// The settings that a connection takes when it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How the connection closes.
    pub linger: Linger,
    /// SO_KEEPALIVE of the accepted socket.
    pub keep_alive: bool,
    /// How long a connection may be idle in both directions before it is closed; `None`: unlimited.
    pub idle_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { linger: Linger::GRACEFUL, keep_alive: false, idle_timeout: None }
    }
}
