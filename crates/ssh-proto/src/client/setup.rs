//! The parameters of a session.

use std::time::Duration;

use super::keepalive::Keepalive;
use super::rekey::Rekey;
use crate::Log;
use crate::connection::receive_window::Windows;
use crate::transport::{Algorithms, KnownKeys};
use crate::userauth::Credentials;

/// The parameters of a session.
#[derive(Debug)]
pub struct Setup {
    /// The user, and what proves who the user is.
    pub credentials: Credentials,
    /// How long the server may be silent; `None`: for ever.
    pub keepalive: Option<Keepalive>,
    /// When the client starts a key exchange.
    pub rekey: Rekey,
    /// The algorithms to offer.
    pub algorithms: Algorithms,
    /// The known host keys of the server. Their algorithms are offered first, so that a server with
    /// several keys shows one that can be recognized.
    pub known_keys: KnownKeys,
    /// How much the server may send ahead.
    pub windows: Windows,
    /// How long the server may take to reply to a request to listen, or to stop listening.
    pub reply_timeout: Duration,
    /// What the session does, a line an event.
    pub log: Log,
}

/// As long as the tunnel gives everything else that the server has to reply to.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

impl Setup {
    /// Returns the defaults: every algorithm in its usual order, the usual limits for keys and
    /// windows, and no keepalive.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            keepalive: None,
            rekey: Rekey::default(),
            algorithms: Algorithms::default(),
            known_keys: KnownKeys::default(),
            windows: Windows::default(),
            reply_timeout: REPLY_TIMEOUT,
            log: Log::default(),
        }
    }
}
