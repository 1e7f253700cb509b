//! The connections of a tunnel, from accept to report.
//!
//! - `registry`: all of them, by their numbers, channels and deadlines.
//! - `state`: a connection in each of its states; `meta`: what all states share. The payloads:
//!   `socks_handshake`, `inbound_channel`, `inbound_socks`, `relay`, `closing`. `dial`: one that the application opens.
//! - `transition`: what each event makes of a state; `phase`: the small values for that.
//! - `cause`: why a connection ends; `report`: the report of its end.

pub(crate) mod cause;
pub(crate) mod closing;
pub(crate) mod dial;
pub(crate) mod inbound_channel;
pub(crate) mod inbound_socks;
pub(crate) mod meta;
pub(crate) mod phase;
pub(crate) mod registry;
pub(crate) mod relay;
pub(crate) mod report;
pub(crate) mod socks_handshake;
pub(crate) mod state;
pub(crate) mod transition;
