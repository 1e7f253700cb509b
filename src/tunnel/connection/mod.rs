//! The connections of a tunnel, from accept to report.
//!
//! - `dial`, `socks_handshake`, `inbound_channel`: a connection before it has a target, or a channel.
//! - `relay`: one with a channel; `close`: how it ends; `cause`: why; `report`: the account of its end.
//! - `registry`: all of them; `ready_list`: the ones whose sockets became ready.

pub(crate) mod cause;
pub(crate) mod close;
#[cfg(unix)]
pub(crate) mod dial;
pub(crate) mod inbound_channel;
pub(crate) mod ready_list;
pub(crate) mod registry;
pub(crate) mod relay;
pub(crate) mod report;
pub(crate) mod socks_handshake;
