//! A connection that the application opens itself, over a stream in memory instead of a port.

use crate::net::memory::{End, pair};
use crate::tunnel::connection::meta::{Meta, PendingConnection};
use crate::tunnel::{DIAL_FORWARD, Endpoint, Settings};

/// Bytes that each direction of the stream holds: what the session reads at once, twice. With less,
/// a bulk transfer needs more wakes.
const CAPACITY: usize = 512 * 1024;

/// Makes the stream of a connection that `dial()` opens: the tunnel's end, and the application's.
pub(crate) fn stream() -> (End, End) {
    pair(CAPACITY)
}

/// A connection that `dial()` opens.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) id: u64,
    /// The tunnel's end of the stream.
    pub(crate) end: End,
    pub(crate) target: Endpoint,
    /// The tunnel's settings at the call.
    pub(crate) settings: Settings,
}

impl Dial {
    /// Makes a pending connection of it.
    pub(crate) fn into_pending(self) -> PendingConnection {
        let Self { id, end, target, settings } = self;
        let (forward, remote, local, socks) = (DIAL_FORWARD, None, None, None);
        let target = Some(target);
        let meta = Meta { id, forward, remote, local, target, socks, settings };
        PendingConnection { meta, stream: end.into() }
    }
}
