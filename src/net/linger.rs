//! The LINGER structure of the sockets API, its boolean form, and SO_LINGER of a socket.

use std::io;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::net::sys;
use crate::runtime::cutoff::Limit;

/// The LINGER structure: what a close does with unsent data.
///
/// Both members are unsigned shorts, as the sockets API documents them; `linger` counts whole
/// seconds. This is not an `Option<Duration>`, because the kernel would take a duration below one
/// second for `{1, 0}`, which resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Linger {
    /// `l_onoff`: zero for a graceful close in the background, nonzero for a close by `linger`.
    pub onoff: u16,
    /// `l_linger`: seconds to send unsent data before the connection is reset; 0 resets at once.
    pub linger: u16,
}

/// How a close treats unsent data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LingerMode {
    /// Everything is sent, then FIN; without a time limit.
    Graceful,
    /// The connection is reset at once, and unsent data is dropped.
    Hard,
    /// Graceful for at most this long after the close, then hard.
    Bounded(Duration),
}

impl Linger {
    /// `{0, 0}`: the default mode of stream sockets.
    pub const GRACEFUL: Linger = Linger { onoff: 0, linger: 0 };
    /// `{1, 0}`: reset on close.
    pub const HARD: Linger = Linger { onoff: 1, linger: 0 };

    /// Converts the boolean property: `true` closes gracefully, `false` hard.
    pub fn from_property(graceful: bool) -> Self {
        if graceful { Self::GRACEFUL } else { Self::HARD }
    }

    /// Returns the boolean property: `false` only for a hard close. A bounded close sends its data
    /// first.
    pub fn property(self) -> bool {
        self.mode() != LingerMode::Hard
    }

    /// Returns how a close treats unsent data.
    pub fn mode(self) -> LingerMode {
        match (self.onoff, self.linger) {
            (0, _) => LingerMode::Graceful,
            (_, 0) => LingerMode::Hard,
            (_, seconds) => LingerMode::Bounded(Duration::from_secs(seconds.into())),
        }
    }

    /// Returns when a close that begins at `now` is cut short; `None` for never.
    pub(crate) fn limit(self, now: Instant) -> Option<Limit> {
        match self.mode() {
            LingerMode::Graceful => None,
            LingerMode::Hard => Limit::new(now, Duration::ZERO),
            LingerMode::Bounded(time) => Limit::new(now, time),
        }
    }

    /// Sets SO_LINGER to this value.
    pub fn apply<'s, S: Into<SockRef<'s>>>(self, socket: S) -> io::Result<()> {
        sys::set_linger(&socket.into(), self.onoff, self.linger)
    }

    /// Reads SO_LINGER.
    pub fn of<'s, S: Into<SockRef<'s>>>(socket: S) -> io::Result<Self> {
        let (onoff, linger) = sys::linger(&socket.into())?;
        Ok(Self { onoff, linger })
    }
}

impl Default for Linger {
    fn default() -> Self {
        Self::GRACEFUL
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn socket() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        TcpStream::connect(listener.local_addr().expect("address")).expect("connect")
    }

    #[test]
    fn the_property_is_false_only_for_a_reset() {
        assert!(Linger::default().property());
        assert!(Linger { onoff: 0, linger: 9 }.property());
        assert!(Linger { onoff: 1, linger: 9 }.property());
        assert!(!Linger { onoff: 1, linger: 0 }.property());
        assert_eq!(Linger::from_property(false), Linger::HARD);
        assert_eq!(Linger::from_property(true), Linger::GRACEFUL);
    }

    #[test]
    fn a_bound_is_whole_seconds() {
        let bounded = Linger { onoff: 2, linger: 7 };
        assert_eq!(bounded.mode(), LingerMode::Bounded(Duration::from_secs(7)));
    }

    #[test]
    fn a_close_is_cut_short_never_at_once_or_after_the_linger_time() {
        let now = Instant::now();
        let due = |linger: Linger| linger.limit(now).map(|limit| limit.due);
        assert_eq!(due(Linger { onoff: 0, linger: 9 }), None);
        assert_eq!(due(Linger::HARD), Some(now));
        let longest = Linger { onoff: 1, linger: 65535 };
        assert_eq!(due(longest), Some(now + Duration::from_secs(65535)));
    }

    #[test]
    fn the_kernel_stores_what_was_set() {
        let socket = socket();
        for value in [Linger::HARD, Linger { onoff: 1, linger: 65535 }, Linger::GRACEFUL] {
            value.apply(&socket).expect("set");
            let stored = Linger::of(&socket).expect("get");
            assert_eq!(stored.onoff, value.onoff);
            assert!(value.onoff == 0 || stored.linger == value.linger);
        }
    }
}
