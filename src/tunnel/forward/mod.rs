//! The forwards of a tunnel.
//!
//! - `spec`: their public types; `table`: all of them; `listener`: a local port; `remote`: a port of
//!   the server.

pub(crate) mod listener;
pub(crate) mod remote;
pub(crate) mod spec;
pub(crate) mod table;
