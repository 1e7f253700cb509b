//! A connection that the application opens itself, over a pair of sockets instead of a port.

use std::os::unix::net::UnixStream;

use crate::net::local_stream::Stream;
use crate::tunnel::connection::meta::{Meta, PendingConnection};
use crate::tunnel::{DIAL_FORWARD, Endpoint, Settings};

/// A connection that `dial()` opens.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) id: u64,
    /// The tunnel's end of the pair.
    pub(crate) socket: UnixStream,
    pub(crate) target: Endpoint,
    /// The tunnel's settings at the call.
    pub(crate) settings: Settings,
}

impl Dial {
    /// Makes a pending connection of it. `None` only if the runtime cannot register the socket: the
    /// application then reads the end of its stream.
    pub(crate) fn into_pending(self) -> Option<PendingConnection> {
        let Self { id, socket, target, settings } = self;
        let stream = Stream::pair(socket).ok()?;
        let (forward, remote, local, socks) = (DIAL_FORWARD, None, None, None);
        let target = Some(target);
        let meta = Meta { id, forward, remote, local, target, socks, settings };
        Some(PendingConnection { meta, stream })
    }
}
