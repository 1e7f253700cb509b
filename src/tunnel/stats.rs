//! What a tunnel counts, from when it was made on: its sessions, its connections and their bytes.
//!
//! Events are counted where they happen, by the task that owns them. Bytes are not: connections count
//! their own, which are added up when somebody asks, and when a connection ends. A member of several
//! sessions counts its connections, the tunnel's own task everything else.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use super::connection::Connection;
use super::driver::Driver;
use super::pool::Pool;
use super::{ClosedBy, ConnectionEnd, Event, SessionStep};
use crate::session;

/// What was counted since a tunnel was made, up to the moment of asking. No count ever goes back.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The sessions.
    pub sessions: SessionStats,
    /// The connections.
    pub connections: ConnectionStats,
}

/// The sessions of a tunnel.
#[derive(Clone, Debug, Default)]
pub struct SessionStats {
    /// Those that are up now.
    pub up: u64,
    /// Logons that succeeded.
    pub logons: u64,
    /// Logons that failed.
    pub logon_failures: u64,
    /// Sessions that were up and broke.
    pub losses: u64,
    /// Attempts to set a lost session up again that were begun.
    pub reconnect_attempts: u64,
    /// How long the last successful logon took, from dialing on.
    pub logon_time: Option<Duration>,
    /// The least round trip of late to the server, if one was measured in a session that is up.
    pub round_trip: Option<Duration>,
}

/// The connections of a tunnel.
#[derive(Clone, Debug, Default)]
pub struct ConnectionStats {
    /// Those that came in.
    pub accepted: u64,
    /// Those that were open from end to end, once.
    pub opened: u64,
    /// Those that ended without having been.
    pub unopened: u64,
    /// Those that ended, by their codes.
    pub ended: BTreeMap<Cow<'static, str>, u64>,
    /// Those that ended with both directions delivered to their ends of stream.
    pub clean: u64,
    /// Those whose local program saw FIN.
    pub graceful: u64,
    /// Those whose local program saw RST.
    pub reset: u64,
    /// Those whose linger time ran out.
    pub linger_expired: u64,
    /// Bytes of all connections, of those that exist as far as they have come.
    pub bytes: Bytes,
}

/// What became of bytes. Of a connection that exists: no more than what is certain, so that its end
/// takes nothing back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Bytes from local programs that were handed to the SSH session.
    pub up: u64,
    /// Bytes from the far side that were delivered: that the local program's kernel has acknowledged.
    pub down: u64,
    /// Bytes that local programs had sent and that were not passed on.
    pub dropped_up: u64,
    /// Bytes that had come from the far side and were not delivered.
    pub dropped_down: u64,
}

impl Bytes {
    fn add(&mut self, other: &Self) {
        self.up += other.up;
        self.down += other.down;
        self.dropped_up += other.dropped_up;
        self.dropped_down += other.dropped_down;
    }
}

impl From<&ConnectionEnd> for Bytes {
    fn from(end: &ConnectionEnd) -> Self {
        Self {
            up: end.bytes_up,
            down: end.bytes_down,
            dropped_up: end.dropped_up,
            dropped_down: end.dropped_down,
        }
    }
}

impl ConnectionStats {
    /// Those that are open now, or are being closed after that.
    pub fn open(&self) -> u64 {
        self.opened + self.unopened - self.ended.values().sum::<u64>()
    }

    /// Those that came in, have not ended, and were not open yet.
    pub fn pending(&self) -> u64 {
        self.accepted - self.opened - self.unopened
    }

    /// Those that ended in such a way that `holds` for its code.
    pub fn ended_by(&self, holds: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, u64)> {
        let all = self.ended.iter().map(|(code, count)| (code.as_ref(), *count));
        all.filter(move |(code, _)| holds(code))
    }

    fn count_end(&mut self, end: &ConnectionEnd) {
        *self.ended.entry(end.code.clone()).or_default() += 1;
        self.unopened += u64::from(!end.opened);
        self.clean += u64::from(end.clean);
        match end.closed_by {
            ClosedBy::Graceful => self.graceful += 1,
            ClosedBy::Reset => self.reset += 1,
        }
        self.linger_expired += u64::from(end.linger_expired);
        self.bytes.add(&end.into());
    }

    /// Adds what another task has counted.
    pub(super) fn add(&mut self, other: &Self) {
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

impl Stats {
    /// Adds what a member has told.
    pub(super) fn add(&mut self, member: &Self) {
        self.connections.add(&member.connections);
        let round_trips = [self.sessions.round_trip, member.sessions.round_trip];
        self.sessions.round_trip = round_trips.into_iter().flatten().min();
    }
}

impl Connection {
    /// What became of its bytes so far.
    pub(super) fn bytes(&mut self) -> Bytes {
        Bytes {
            up: self.sent,
            down: self.acknowledged(),
            dropped_up: 0,
            dropped_down: self.dropped,
        }
    }
}

impl Driver {
    /// What this task has counted, with the bytes of the connections that it has.
    pub(super) fn stats(&mut self) -> Stats {
        let mut stats = self.counts.clone();
        let bytes = &mut stats.connections.bytes;
        for connection in self.table.iter_mut() {
            bytes.add(&connection.bytes());
        }
        for parting in self.parting.values() {
            bytes.add(&parting.bytes);
        }
        let here = u64::from(self.link.is_some());
        stats.sessions.up = self.role.pool().map_or(here, Pool::count_up);
        stats.sessions.round_trip = self.link.as_ref().and_then(|link| link.client.round_trip());
        stats
    }

    pub(super) fn count_accepted(&mut self) {
        self.counts.connections.accepted += 1;
    }

    pub(super) fn count_opened(&mut self) {
        self.counts.connections.opened += 1;
    }

    /// Before anybody is told of it: whoever asks then finds it counted.
    pub(super) fn count_end(&mut self, end: &ConnectionEnd) {
        self.counts.connections.count_end(end);
    }

    /// A logon begins; it gets the number that is returned, and in the end one of the others follows.
    pub(super) fn begin_session(&mut self) -> u32 {
        self.last_session += 1;
        self.tell_session(self.last_session, SessionStep::Started);
        self.last_session
    }

    /// The logon has succeeded.
    pub(super) fn session_is_up(&mut self, number: u32, logon_time: Duration) {
        self.counts.sessions.logons += 1;
        self.counts.sessions.logon_time = Some(logon_time);
        self.tell_session(number, SessionStep::Ready(logon_time));
    }

    /// The logon has failed.
    pub(super) fn session_failed(&mut self, number: u32, error: &session::Error) {
        self.counts.sessions.logon_failures += 1;
        self.tell_session(number, SessionStep::Ended(Some(error.clone().into())));
    }

    /// The session was up, and broke.
    pub(super) fn session_is_lost(&mut self, number: u32, error: &session::Error) {
        self.counts.sessions.losses += 1;
        self.tell_session(number, SessionStep::Lost(error.clone().into()));
        self.tell_session(number, SessionStep::Ended(Some(error.clone().into())));
    }

    /// The session was ended, or its logon given up, because nobody wants it any more.
    pub(super) fn session_is_over(&mut self, number: u32) {
        self.tell_session(number, SessionStep::Ended(None));
    }

    fn tell_session(&self, number: u32, step: SessionStep) {
        self.emit(Event::Session { number, step });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linger::Linger;

    fn end(code: &'static str, opened: bool, closed_by: ClosedBy) -> ConnectionEnd {
        ConnectionEnd {
            id: 1,
            code: code.into(),
            reason: String::new(),
            opened,
            clean: code == "OK",
            closed_by,
            bytes_up: 1,
            bytes_down: 20,
            dropped_up: 300,
            dropped_down: 4000,
            linger: Linger::GRACEFUL,
            linger_expired: false,
        }
    }

    /// Four connections came in and two were opened; one of these has ended, and one other.
    fn counted() -> ConnectionStats {
        let mut stats = ConnectionStats { accepted: 4, opened: 2, ..ConnectionStats::default() };
        stats.count_end(&end("OK", true, ClosedBy::Graceful));
        stats.count_end(&end("ERR_TUNNEL_REJECTED", false, ClosedBy::Reset));
        stats
    }

    #[test]
    fn every_connection_is_pending_open_or_ended() {
        let stats = counted();
        assert_eq!((stats.pending(), stats.open()), (1, 1));
        assert_eq!((stats.clean, stats.graceful, stats.reset), (1, 1, 1));
        let expected = Bytes { up: 2, down: 40, dropped_up: 600, dropped_down: 8000 };
        assert_eq!(stats.bytes, expected);
        let rejected: Vec<_> = stats.ended_by(|code| code != "OK").collect();
        assert_eq!(rejected, [("ERR_TUNNEL_REJECTED", 1)]);
    }

    #[test]
    fn what_several_tasks_have_counted_comes_together() {
        let mut stats = Stats { connections: counted(), ..Stats::default() };
        let millisecond = Duration::from_millis(1);
        for (round_trip, least) in [(None, None), (Some(3), Some(3)), (Some(5), Some(3))] {
            let mut member = Stats { connections: counted(), ..Stats::default() };
            member.sessions.round_trip = round_trip.map(|count| millisecond * count);
            stats.add(&member);
            assert_eq!(stats.sessions.round_trip, least.map(|count| millisecond * count));
        }
        let all = stats.connections;
        assert_eq!((all.accepted, all.pending(), all.open(), all.bytes.up), (16, 4, 4, 8));
        assert_eq!(all.ended.values().sum::<u64>(), 8);
    }
}
