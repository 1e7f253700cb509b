//! The connection protocol (RFC 4254).

pub(crate) mod channel;
pub(crate) mod pacing;
pub(crate) mod receive_window;
