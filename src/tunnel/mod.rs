//! Tunnels: forwards whose connections travel through one SSH session, or several.
//!
//! - `handle`: [`Tunnel`], which the binding holds; `config`, `event`, `error`, `stats`: its types;
//!   `command`: what it asks of the task.
//! - `driver`: the task of a tunnel. It alone touches the session, the listeners and the local
//!   sockets.
//! - `connection`: the connections; `forward`: where they come from; `pool`: several sessions.

mod command;
mod config;
mod connection;
mod driver;
mod error;
mod event;
mod forward;
mod handle;
mod pool;
mod stats;

pub use config::{Config, Settings};
pub use error::Error;
pub use event::{
    Answer, ClosedBy, ConnectionEnd, ConnectionInfo, ConnectionRequest, ConnectionState, Event,
    Observer, SessionStep,
};
pub use forward::listener::CAN_SHARE;
pub use forward::table::{DIALED, Endpoint, ForwardInfo, ForwardSpec, OWN, Way};
pub use handle::{Pending, Tunnel};
pub use stats::{Bytes, ConnectionStats, SessionStats, Stats};

pub use crate::socks::Login;
pub(crate) use handle::Shared;
