//! Tunnels: forwards whose connections travel through one SSH session, or several.
//!
//! - `handle`: [`Tunnel`], which the binding holds; `config`, `event`, `error`, `stats`, `pending`:
//!   the types of its methods; `shared`: what it reads without the driver.
//! - `driver`: the task of a tunnel, which applies the effects of the parts below.
//! - `worker`: one session with its connections; `pool`: several of them.
//! - `connection`: the connections; `forward`: the forwards.

mod config;
mod connection;
mod driver;
mod error;
mod event;
mod forward;
mod handle;
mod pending;
mod pool;
mod shared;
mod stats;
mod worker;

pub use config::{Config, Sessions, Settings};
pub use error::Error;
pub use event::{
    Answer, ClosedBy, ConnectionEnd, ConnectionInfo, ConnectionRequest, ConnectionState, Event,
    Observer, SessionStep,
};
pub use forward::listener::CAN_REUSE_PORT;
pub use forward::spec::{
    DEFAULT_FORWARD, DIAL_FORWARD, Endpoint, ForwardInfo, ForwardOptions, ForwardSpec,
    RemoteTarget, SocketFile,
};
pub use handle::Tunnel;
pub use pending::Pending;
pub use shared::TunnelState;
pub use stats::{Bytes, ConnectionStats, SessionStats, Stats};

pub use crate::socks::Login;
