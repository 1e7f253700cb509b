//! A connection that the application opens itself, over a stream in memory instead of a port.

use crate::net::memory::{End, pair};
use crate::net::rate::Rates;
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
    pub(crate) fn into_pending(self, rates: Rates) -> PendingConnection {
        let Self { id, end, target, settings } = self;
        let (forward, remote, local, socks) = (DIAL_FORWARD, None, None, None);
        let target = Some(target);
        let meta = Meta { id, forward, remote, local, target, socks, settings, rates };
        PendingConnection { meta, stream: end.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::linger::Linger;

    #[test]
    fn a_dial_becomes_a_pending_connection_over_its_stream() {
        let (end, application) = stream();
        let target = Endpoint::Tcp { host: "host".into(), port: 80 };
        let settings = Settings { linger: Linger::HARD, ..Settings::default() };
        let PendingConnection { meta, stream } =
            Dial { id: 9, end, target: target.clone(), settings }.into_pending(Rates::default());
        assert_eq!((meta.id, meta.forward), (9, DIAL_FORWARD));
        assert_eq!((meta.target, meta.settings), (Some(target), settings));
        assert_eq!((meta.remote, meta.local, meta.socks), (None, None, None), "there is no port");
        // A stream in JavaScript writes up to 64 KiB at a time.
        assert_eq!(application.try_write(&[7; 65536]).expect("there is room"), 65536);
        assert_eq!(stream.unread(), 65536);
    }
}
