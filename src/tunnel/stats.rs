//! What a tunnel counts, from when it was made on: its sessions, its connections and their bytes.
//!
//! The tunnel's own task counts, events when they happen and connections when they end. Those that
//! exist count their own bytes, which are added up when somebody asks: members of several sessions
//! are asked for what they have, and tell of each end when it comes. One that has ended since a member
//! answered is in the counts, so what was said of it before is left out.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::session;
use crate::tunnel::command::Reply;
use crate::tunnel::connection::relay::{Connection, Stage};
use crate::tunnel::driver::Driver;
use crate::tunnel::forward::table::{DIALED, OWN};
use crate::tunnel::pool::supervisor::Supervisor;
use crate::tunnel::{ClosedBy, ConnectionEnd, ConnectionInfo, Error, Event, SessionStep};

/// Forwards that were given up and whose counts are still kept apart.
const KEPT: usize = 256;

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
    pub connect_time: Option<Duration>,
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
        (self.opened + self.unopened).saturating_sub(self.ended.values().sum())
    }

    /// Those that came in, have not ended, and were not open yet.
    pub fn pending(&self) -> u64 {
        self.accepted.saturating_sub(self.opened + self.unopened)
    }

    /// Those that ended in such a way that `holds` for its code.
    pub fn ended_by(&self, holds: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, u64)> {
        let all = self.ended.iter().map(|(code, count)| (code.as_ref(), *count));
        all.filter(move |(code, _)| holds(code))
    }

    fn count_end(&mut self, end: &ConnectionEnd) {
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

    fn add(&mut self, other: &Self) {
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

/// What was counted, without what connections that exist have to say.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sessions: SessionStats,
    /// By the forwards' numbers.
    forwards: BTreeMap<i64, ConnectionStats>,
    /// How many connections exist, in all and by the forwards' numbers.
    live: u64,
    live_of: HashMap<i64, u64>,
    /// Of forwards that were given up long ago.
    earlier: ConnectionStats,
}

impl Counts {
    /// Keeps count of a forward from now on; of those that are gone, as `is_there` tells, the oldest
    /// are not told apart any more when there are many.
    pub(crate) fn begin(&mut self, forward: i64, is_there: impl Fn(i64) -> bool) {
        self.forwards.entry(forward).or_default();
        let ids = self.forwards.keys().copied();
        let gone: Vec<_> = ids.filter(|id| *id > OWN && !is_there(*id)).collect();
        for id in &gone[..gone.len().saturating_sub(KEPT)] {
            self.earlier.add(&self.forwards.remove(id).unwrap_or_default());
        }
    }

    fn of(&mut self, forward: i64) -> &mut ConnectionStats {
        self.forwards.get_mut(&forward).unwrap_or(&mut self.earlier)
    }

    /// A connection has come in by this forward.
    pub(crate) fn accepted(&mut self, forward: i64) {
        self.of(forward).accepted += 1;
        self.live += 1;
        *self.live_of.entry(forward).or_default() += 1;
    }

    /// A connection has ended.
    fn ended(&mut self, end: &ConnectionEnd) {
        self.of(end.forward).count_end(end);
        self.live -= 1;
        if let Entry::Occupied(mut live) = self.live_of.entry(end.forward) {
            *live.get_mut() -= 1;
            if *live.get() == 0 {
                live.remove();
            }
        }
    }

    /// How many connections exist.
    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    /// How many of them came by this forward.
    pub(crate) fn live_of(&self, forward: i64) -> u64 {
        self.live_of.get(&forward).copied().unwrap_or_default()
    }

    /// Of one forward, or of all; `None` if that one is not told apart.
    fn connections(&self, forward: Option<i64>) -> Option<ConnectionStats> {
        if let Some(forward) = forward {
            return self.forwards.get(&forward).cloned();
        }
        let mut all = self.earlier.clone();
        for forward in self.forwards.values() {
            all.add(forward);
        }
        Some(all)
    }
}

/// A connection that exists.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    id: u64,
    forward: i64,
    /// Whether it is, or was, open from end to end.
    opened: bool,
    bytes: Bytes,
}

/// What a task has at the moment of asking.
#[derive(Debug)]
pub(crate) struct Present {
    live: Vec<Live>,
    round_trip: Option<Duration>,
}

impl Live {
    /// Of a connection that is not open, and will not be.
    pub(crate) fn unopened(info: &ConnectionInfo) -> Self {
        Self { id: info.id, forward: info.forward, opened: false, bytes: Bytes::default() }
    }
}

impl Connection {
    /// How far it has come.
    pub(crate) fn live(&mut self) -> Live {
        let bytes = Bytes {
            up: self.pump.sent,
            down: self.pump.acknowledged(),
            dropped_up: 0,
            dropped_down: self.pump.dropped,
        };
        let opened = !matches!(self.stage, Stage::Opening);
        Live { id: self.meta.id, forward: self.meta.forward, opened, bytes }
    }
}

impl Driver {
    /// What this task has. Connections without a channel have moved nothing.
    pub(crate) fn present(&mut self) -> Present {
        let mut live: Vec<_> = self.table.iter_mut().map(Connection::live).collect();
        live.extend(self.closing.values().map(|closing| closing.live.clone()));
        let round_trip = self.session.as_ref().and_then(|session| session.client.round_trip());
        Present { live, round_trip }
    }

    /// All tasks have told what they have: answers what was counted of one forward, or of all.
    pub(crate) fn counted(
        &mut self,
        present: &[Present],
        forward: Option<i64>,
        reply: Reply<Stats>,
    ) {
        let outcome = match (self.counts.connections(forward), forward) {
            (Some(connections), _) => Ok(self.stats(connections, present, forward)),
            (None, forward) => Err(Error::UnknownForward(forward.unwrap_or_default())),
        };
        let _ = reply.send(outcome);
    }

    fn stats(
        &self,
        mut connections: ConnectionStats,
        present: &[Present],
        forward: Option<i64>,
    ) -> Stats {
        let pool = self.role.pool();
        let live = present.iter().flat_map(|present| &present.live);
        let live = live.filter(|it| pool.is_none_or(|pool| pool.has(it.id)));
        for live in live.filter(|it| forward.is_none_or(|forward| forward == it.forward)) {
            connections.opened += u64::from(live.opened);
            connections.bytes.add(&live.bytes);
        }
        let sessions = SessionStats {
            up: pool.map_or(u64::from(self.session.is_some()), Supervisor::count_up),
            round_trip: present.iter().filter_map(|present| present.round_trip).min(),
            ..self.counts.sessions.clone()
        };
        Stats { sessions, connections }
    }

    /// Those that the program asks for itself are a forward of their own.
    #[cfg(unix)]
    pub(crate) fn count_dialed(&mut self) {
        self.counts.begin(DIALED, |_| true);
        self.counts.accepted(DIALED);
    }

    /// Before anybody is told of it: whoever asks then finds it counted. A member leaves that to its
    /// tunnel.
    pub(crate) fn count_end(&mut self, end: &ConnectionEnd) {
        if self.role.member().is_none() {
            self.counts.ended(end);
        }
    }

    /// A logon begins; it gets the number that is returned, and in the end one of the others follows.
    pub(crate) fn begin_session(&mut self) -> u32 {
        self.last_session += 1;
        self.tell_session(self.last_session, SessionStep::Started);
        self.last_session
    }

    /// The logon has succeeded.
    pub(crate) fn session_is_up(&mut self, number: u32, connect_time: Duration) {
        self.counts.sessions.logons += 1;
        self.counts.sessions.connect_time = Some(connect_time);
        self.tell_session(number, SessionStep::Ready(connect_time));
    }

    /// The logon has failed.
    pub(crate) fn session_failed(&mut self, number: u32, error: &session::Error) {
        self.counts.sessions.logon_failures += 1;
        self.tell_session(number, SessionStep::Ended(Some(error.clone().into())));
    }

    /// The session was up, and broke.
    pub(crate) fn session_is_lost(&mut self, number: u32, error: &session::Error) {
        self.counts.sessions.losses += 1;
        self.tell_session(number, SessionStep::Lost(error.clone().into()));
        self.tell_session(number, SessionStep::Ended(Some(error.clone().into())));
    }

    /// The session was ended, or its logon given up, because nobody wants it any more.
    pub(crate) fn session_is_over(&mut self, number: u32) {
        self.tell_session(number, SessionStep::Ended(None));
    }

    fn tell_session(&self, number: u32, step: SessionStep) {
        self.emit(Event::Session { number, step });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::linger::Linger;

    fn end(forward: i64, code: &'static str, opened: bool, closed_by: ClosedBy) -> ConnectionEnd {
        ConnectionEnd {
            id: 1,
            forward,
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

    /// Four connections came in: one has ended after it was open, one before; one is open.
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
        let expected = Bytes { up: 2, down: 40, dropped_up: 600, dropped_down: 8000 };
        assert_eq!(stats.bytes, expected);
        let rejected: Vec<_> = stats.ended_by(|code| code != "OK").collect();
        assert_eq!(rejected, [("ERR_TUNNEL_REJECTED", 1)]);
    }

    #[test]
    fn sums_are_made_of_all_members() {
        let mut all = counted();
        all.add(&counted());
        assert_eq!((all.accepted, all.opened, all.unopened), (8, 4, 2));
        assert_eq!((all.pending(), all.open(), all.clean), (2, 2, 2));
        assert_eq!((all.graceful, all.reset, all.linger_expired), (2, 2, 0));
        assert_eq!(all.bytes, Bytes { up: 4, down: 80, dropped_up: 1200, dropped_down: 16_000 });
        assert_eq!(all.ended_by(|_| true).map(|(_, count)| count).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn forwards_that_are_gone_long_ago_count_together() {
        let mut counts = Counts::default();
        let last = KEPT as i64 + 10;
        // The first one stays, all others are gone at once.
        for id in 0..=last {
            counts.begin(id, |it| it == 1 || it == id);
            counts.of(id).accepted += 1;
        }
        let accepted = |id| Some(counts.connections(Some(id))?.accepted);
        assert_eq!([0, 1, 2, last].map(accepted), [Some(1), Some(1), None, Some(1)]);
        assert_eq!(counts.forwards.len(), KEPT + 3);
        counts.of(2).count_end(&end(2, "OK", true, ClosedBy::Graceful));
        let all = counts.connections(None).expect("all of them");
        assert_eq!((all.accepted, all.clean), (KEPT as u64 + 11, 1));
    }
}
