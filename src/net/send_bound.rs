//! How much bulk data may wait in a socket.
//!
//! What was given to a socket goes out in its order. A request that is written after megabytes of bulk
//! data waits for all of it, so while somebody asks bulk data waits in the local sockets: the socket of
//! the session has no more than its path carries in one round trip and a little more. When nobody asks
//! it has what the path carries in some tenths of a second, which keeps it busy, lets connections that
//! begin later have their share soon, and is what the first request waits for.

use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::net::sys::{self, PathInfo};

/// Bytes that may wait to be sent.
const UNSENT: u32 = 16 * 1024;
/// The same when nobody asks: what the path carries in [`AHEAD`]. What needs more than the largest
/// has no limit but that of the system.
const AHEAD: Duration = Duration::from_millis(200);
const MIN_AHEAD: u64 = 128 * 1024;
const MAX_AHEAD: u64 = 4 * 1024 * 1024;
/// Time between two looks at the path for that.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes that may wait to be acknowledged beyond the bandwidth-delay product.
const SLACK: u64 = 16 * 1024;
/// The same while the round trip is measured.
const DRAINED: u64 = 8 * 1024;
/// Bytes of one read: what the path carries in [`PORTION_TIME`].
const MIN_PORTION: u64 = 8 * 1024;
const MAX_PORTION: u64 = 256 * 1024;
const PORTION_TIME: Duration = Duration::from_millis(1);
/// What is acknowledged wakes nobody, so room for more is awaited by the clock, whose resolution is
/// this.
const TICK: Duration = Duration::from_millis(1);

/// Bounds what waits in one socket.
#[derive(Debug, Default)]
pub(crate) struct SendBound {
    /// How many bytes may wait to be sent, if that is limited.
    unsent: Option<u32>,
    /// Whether the system does not offer this.
    unsupported: bool,
    /// When there is room again.
    due: Option<Instant>,
    /// When to look at the path again while nobody asks.
    look: Option<Instant>,
    /// How many bytes may wait to be sent then.
    ahead: u64,
    /// How many bytes had been acknowledged when that last became more.
    acknowledged: u64,
}

/// How much bulk data may be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// So many bytes.
    Bytes(usize),
    /// Nothing: it is asked for again when [`SendBound::due`] is reached.
    Wait,
    /// The system does not tell.
    Unknown,
}

impl SendBound {
    /// Returns how much bulk data may be read now, while somebody asks. With `draining` the queue is to
    /// become short, so that the round trip can be measured.
    pub(crate) fn room(&mut self, socket: &SockRef<'_>, draining: bool, now: Instant) -> Room {
        self.limit(socket, Some(UNSENT));
        let Some(path) = self.path(socket) else { return Room::Unknown };
        match room(&path, draining) {
            Ok(count) => {
                self.due = None;
                Room::Bytes(usize::try_from(count).unwrap_or(usize::MAX))
            }
            Err(wait) => {
                self.due = Some(now + wait);
                Room::Wait
            }
        }
    }

    /// Lets the socket take what keeps its path busy: nobody asks.
    pub(crate) fn lift(&mut self, socket: &SockRef<'_>, now: Instant) {
        self.due = None;
        if self.look.is_some_and(|look| now < look) && self.unsent != Some(UNSENT) {
            return;
        }
        self.look = Some(now + LOOK);
        if let Some(path) = self.path(socket) {
            self.look_ahead(&path);
            self.limit(socket, (self.ahead <= MAX_AHEAD).then_some(self.ahead as u32));
        }
    }

    /// Sets how many bytes may wait to be sent when nobody asks. The first rate may be that of a burst,
    /// so they become more only when as many have arrived.
    fn look_ahead(&mut self, path: &PathInfo) {
        let arrived = path.acknowledged.saturating_sub(self.acknowledged);
        let most = if arrived >= self.ahead { 2 * self.ahead } else { self.ahead };
        let most = most.clamp(MIN_AHEAD, 2 * MAX_AHEAD);
        let before = self.ahead;
        self.ahead = carried(path, AHEAD).clamp(MIN_AHEAD, most);
        if self.ahead > before {
            self.acknowledged = path.acknowledged;
        }
    }

    fn limit(&mut self, socket: &SockRef<'_>, unsent: Option<u32>) {
        if self.unsent != unsent && !self.unsupported {
            self.unsent = unsent;
            self.unsupported = sys::set_notsent_lowat(socket, unsent).is_err();
        }
    }

    fn path(&mut self, socket: &SockRef<'_>) -> Option<PathInfo> {
        if self.unsupported {
            return None;
        }
        let path = sys::path_info(socket);
        self.unsupported = path.is_err();
        path.ok()
    }

    /// Returns whether what may wait to be sent is limited: the path is the bottleneck.
    pub(crate) fn is_limited(&self) -> bool {
        self.unsent.is_some()
    }

    /// Returns when to ask for room again.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Notes that room is asked for again; returns whether it was due.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}

/// Returns how many bytes the path carries in a time.
fn carried(path: &PathInfo, time: Duration) -> u64 {
    let bytes = u128::from(path.rate) * time.as_nanos() / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX).min(u64::MAX / 4)
}

/// Returns the size of the next read, or how long to wait for room.
fn room(path: &PathInfo, draining: bool) -> Result<u64, Duration> {
    let product = carried(path, path.round_trip);
    let ticks = carried(path, 2 * TICK);
    let limit = if draining { DRAINED } else { SLACK + product + product / 4 + ticks };
    if path.queued < limit {
        return Ok(carried(path, PORTION_TIME).clamp(MIN_PORTION, MAX_PORTION));
    }
    // Until a portion fits and a half of the slack is left to send.
    let excess = path.queued - limit + SLACK.min(limit) / 4;
    let wait = Duration::from_secs_f64(excess as f64 / path.rate.max(1) as f64);
    Err(wait.clamp(TICK, 20 * TICK))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn path(rate: u64, round_trip: Duration, queued: u64) -> PathInfo {
        PathInfo { round_trip, rate, queued, acknowledged: 0 }
    }

    #[test]
    fn the_product_and_some_slack_may_wait() {
        for (rate, round_trip) in [(0, 1), (625_000, 0), (625_000, 100), (12_500_000, 20)] {
            let round_trip = MILLISECOND * round_trip;
            let product = carried(&path(rate, round_trip, 0), round_trip);
            let limit = SLACK + product + product / 4 + rate / 500;
            assert!(room(&path(rate, round_trip, limit - 1), false).is_ok());
            assert!(room(&path(rate, round_trip, limit), false).is_err());
            assert!(room(&path(rate, round_trip, DRAINED), true).is_err());
        }
    }

    #[test]
    fn a_read_is_what_the_path_carries_in_a_millisecond() {
        let portion = |rate| room(&path(rate, MILLISECOND, 0), false);
        assert_eq!(portion(625_000), Ok(MIN_PORTION));
        assert_eq!(portion(12_500_000), Ok(12_500));
        assert_eq!(portion(5_000_000_000), Ok(MAX_PORTION));
    }

    #[test]
    fn what_may_wait_grows_with_what_arrives() {
        let mut bound = SendBound::default();
        let mut look = |rate, acknowledged| {
            bound.look_ahead(&PathInfo { acknowledged, ..path(rate, MILLISECOND, 0) });
            bound.ahead
        };
        let fast = 1 << 30;
        assert_eq!(look(fast, 10_000), MIN_AHEAD);
        assert_eq!(look(fast, 10_000 + MIN_AHEAD - 1), MIN_AHEAD);
        assert_eq!(look(fast, 10_000 + MIN_AHEAD), 2 * MIN_AHEAD);
        assert_eq!(look(fast, 10_000 + MIN_AHEAD), 2 * MIN_AHEAD);
        assert_eq!(look(1_250_000, 400_000), 250_000);
        for turn in 1..10 {
            look(fast, turn * fast);
        }
        assert_eq!(look(fast, 10 * fast), 2 * MAX_AHEAD, "which is no limit");
        assert_eq!(look(0, 10 * fast), MIN_AHEAD);
    }

    #[test]
    fn the_wait_for_room_is_as_long_as_it_takes() {
        let wait = |queued| room(&path(1_000_000, MILLISECOND, queued), false).unwrap_err();
        assert!(wait(30_000) >= 10 * MILLISECOND && wait(30_000) <= 15 * MILLISECOND);
        assert_eq!(wait(10_000_000), 20 * TICK);
        let second = MILLISECOND * 1000;
        assert_eq!(room(&path(u64::MAX, second, 10), false), Ok(MAX_PORTION), "no overflow");
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod socket_tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::runtime;

    /// While somebody asks a socket takes little, although its buffer could have more; then it takes
    /// what its path carries.
    #[test]
    fn a_socket_takes_little_while_somebody_asks() {
        runtime::handle().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            let address = listener.local_addr().expect("address");
            let stream = TcpStream::connect(address).await.expect("connect");
            let (_peer, _) = listener.accept().await.expect("accept");
            let socket = SockRef::from(&stream);
            let mut bound = SendBound::default();
            let now = Instant::now();
            assert!(matches!(bound.room(&socket, false, now), Room::Bytes(8192..)));
            // The peer does not read.
            let fill = || while stream.try_write(&[1; 8192]).is_ok_and(|count| count > 0) {};
            fill();
            let unsent = || sys::never_sent(&socket, sys::Sent { bytes: 0, before: 0, fin: false });
            let low = unsent().expect("alive").expect("Linux tells");
            assert!(low <= u64::from(UNSENT) + 128 * 1024, "{low} bytes wait");
            assert_eq!(bound.room(&socket, true, now), Room::Wait);
            let due = bound.due().expect("there is room later");
            assert!(!bound.expire(now) && bound.expire(due) && bound.due().is_none());

            bound.lift(&socket, now);
            stream.writable().await.expect("alive");
            fill();
            let high = unsent().expect("alive").expect("Linux tells");
            assert!(high > low + 64 * 1024, "{low}, then {high}");
        });
    }
}
