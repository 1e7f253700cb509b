//! What the tests drive the client with.
//!
//! - [`pair`]: the client and the server, driven against each other.
//! - [`server`]: a server that follows a script; its key exchange is in [`kex_server`], its answers
//!   to authentication requests in [`userauth_server`].
//! - [`messages`]: messages as a server writes them.
//! - [`channel_model`]: a model of one channel, which tests compare both sides with.
//! - [`random`]: seeded randomness.

pub(crate) mod channel_model;
pub(crate) mod kex_server;
pub(crate) mod messages;
pub(crate) mod pair;
pub(crate) mod random;
pub(crate) mod server;
pub(crate) mod userauth_server;
