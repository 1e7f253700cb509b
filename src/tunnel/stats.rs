//! Counters of a tunnel: sessions, connections and bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::tunnel::{ClosedBy, ConnectionEnd};

/// Counters since the tunnel was made. No counter ever decreases.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Counters of the sessions.
    pub sessions: SessionStats,
    /// Counters of the connections.
    pub connections: ConnectionStats,
}

/// Counters of a tunnel's sessions.
#[derive(Clone, Debug, Default)]
pub struct SessionStats {
    /// Sessions that are up now.
    pub up: u64,
    /// Sessions that came up.
    pub logons: u64,
    /// Sessions that could not connect or authenticate.
    pub logon_failures: u64,
    /// Sessions that came up and were lost.
    pub losses: u64,
    /// Attempts to reconnect.
    pub reconnect_attempts: u64,
    /// The time that the latest session took to connect and authenticate.
    pub connect_time: Option<Duration>,
    /// The shortest recent round trip to the server of all sessions that are up.
    pub round_trip: Option<Duration>,
}

/// Counters of connections.
#[derive(Clone, Debug, Default)]
pub struct ConnectionStats {
    /// Connections that were accepted or dialed.
    pub accepted: u64,
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that ended without being opened.
    pub unopened: u64,
    /// Connections that ended, by code.
    pub ended: BTreeMap<Cow<'static, str>, u64>,
    /// Connections that ended with both directions delivered up to the end of stream.
    pub clean: u64,
    /// Connections whose local client received FIN.
    pub graceful: u64,
    /// Connections whose local client received RST.
    pub reset: u64,
    /// Connections whose linger time expired.
    pub linger_expired: u64,
    /// Bytes of all connections, ended or not.
    pub bytes: Bytes,
}

/// Counters of bytes. An existing connection counts only bytes whose outcome is certain, so that its
/// end decreases nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Bytes from local clients that were passed to the SSH session.
    pub up: u64,
    /// Bytes from remote ends that the local client's kernel has acknowledged.
    pub down: u64,
    /// Bytes from local clients that were not passed on.
    pub dropped_up: u64,
    /// Bytes from remote ends that were not delivered.
    pub dropped_down: u64,
    /// Bytes from remote ends that may or may not have been delivered: the system did not tell.
    pub unconfirmed_down: u64,
}

impl Bytes {
    pub(crate) fn add(&mut self, other: &Self) {
        self.up += other.up;
        self.down += other.down;
        self.dropped_up += other.dropped_up;
        self.dropped_down += other.dropped_down;
        self.unconfirmed_down += other.unconfirmed_down;
    }
}

impl From<&ConnectionEnd> for Bytes {
    fn from(end: &ConnectionEnd) -> Self {
        Self {
            up: end.bytes_up,
            down: end.bytes_down,
            dropped_up: end.dropped_up,
            dropped_down: end.dropped_down,
            unconfirmed_down: end.unconfirmed_down,
        }
    }
}

impl ConnectionStats {
    /// Returns how many connections are open, or closing after having been open.
    pub fn open(&self) -> u64 {
        (self.opened + self.unopened).saturating_sub(self.ended.values().sum())
    }

    /// Returns how many connections have not opened or ended yet.
    pub fn pending(&self) -> u64 {
        self.accepted.saturating_sub(self.opened + self.unopened)
    }

    /// Returns the codes that `matches` accepts, and how many connections ended with each.
    pub fn ended_by(&self, matches: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, u64)> {
        let all = self.ended.iter().map(|(code, count)| (code.as_ref(), *count));
        all.filter(move |(code, _)| matches(code))
    }

    pub(crate) fn count_end(&mut self, end: &ConnectionEnd) {
        *self.ended.entry(end.code.clone()).or_default() += 1;
        *if end.opened { &mut self.opened } else { &mut self.unopened } += 1;
        self.clean += u64::from(end.clean);
        match end.closed_by {
            ClosedBy::Graceful => self.graceful += 1,
            ClosedBy::Reset => self.reset += 1,
        }
        self.linger_expired += u64::from(end.linger_expired);
        self.bytes.add(&end.into());
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.opened += other.opened;
        self.unopened += other.unopened;
        for (code, count) in &other.ended {
            *self.ended.entry(code.clone()).or_default() += count;
        }
        self.clean += other.clean;
        self.graceful += other.graceful;
        self.reset += other.reset;
        self.linger_expired += other.linger_expired;
        self.bytes.add(&other.bytes);
    }
}

/// The counters of an existing connection.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) id: u64,
    pub(crate) forward: i64,
    /// Whether it is, or was, open.
    pub(crate) opened: bool,
    pub(crate) bytes: Bytes,
}

/// The counters of a task's connections and session at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) live: Vec<Live>,
    pub(crate) round_trip: Option<Duration>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::net::linger::Linger;

    pub(crate) fn end(
        forward: i64,
        code: &'static str,
        opened: bool,
        closed_by: ClosedBy,
    ) -> ConnectionEnd {
        ConnectionEnd {
            id: 1,
            forward,
            code: code.into(),
            reason: "".into(),
            description: None,
            opened,
            clean: code == "OK",
            closed_by,
            bytes_up: 1,
            bytes_down: 20,
            dropped_up: 300,
            dropped_down: 4000,
            unconfirmed_down: 50_000,
            linger: Linger::GRACEFUL,
            linger_expired: false,
        }
    }

    fn bytes([up, down, dropped_up, dropped_down, unconfirmed_down]: [u64; 5]) -> Bytes {
        Bytes { up, down, dropped_up, dropped_down, unconfirmed_down }
    }

    /// Counters of four connections: one ended after it was open, one before, one is open.
    fn counted() -> ConnectionStats {
        let mut stats = ConnectionStats { accepted: 4, ..ConnectionStats::default() };
        stats.count_end(&end(0, "OK", true, ClosedBy::Graceful));
        stats.count_end(&end(0, "ERR_TUNNEL_REJECTED", false, ClosedBy::Reset));
        stats.opened += 1;
        stats
    }

    #[test]
    fn every_connection_is_pending_open_or_ended() {
        let stats = counted();
        assert_eq!((stats.pending(), stats.open()), (1, 1));
        assert_eq!((stats.clean, stats.graceful, stats.reset), (1, 1, 1));
        assert_eq!(stats.bytes, bytes([2, 40, 600, 8000, 100_000]));
        let rejected: Vec<_> = stats.ended_by(|code| code != "OK").collect();
        assert_eq!(rejected, [("ERR_TUNNEL_REJECTED", 1)]);
    }

    #[test]
    fn sums_have_every_counter() {
        let mut all = counted();
        all.add(&counted());
        assert_eq!((all.accepted, all.opened, all.unopened), (8, 4, 2));
        assert_eq!((all.pending(), all.open(), all.clean), (2, 2, 2));
        assert_eq!((all.graceful, all.reset, all.linger_expired), (2, 2, 0));
        assert_eq!(all.bytes, bytes([4, 80, 1200, 16_000, 200_000]));
        assert_eq!(all.ended_by(|_| true).map(|(_, count)| count).collect::<Vec<_>>(), [2, 2]);
    }
}
