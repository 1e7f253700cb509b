//! The connection protocol (RFC 4254): its state and its messages, without input, output or clock.
//!
//! - `channels`: the table of a session's channels; [`channel`] is one of them.
//! - `receive_window`: how much the server may send ahead.
//! - `interactive`: whether somebody asks; then `receive_share` has how much may be in flight to us on
//!   all channels together, and `pacing` how much to the server.
//! - `global_request`: our global requests, and which reply belongs to which of them.
//! - `remote_forward`: what the server listens on for us.
//! - `host_key_update`: the other host keys of a server.

pub(crate) mod channel;
pub(crate) mod channels;
pub(crate) mod global_request;
pub(crate) mod host_key_update;
pub(crate) mod interactive;
pub(crate) mod pacing;
pub(crate) mod receive_share;
pub(crate) mod receive_window;
pub(crate) mod remote_forward;
