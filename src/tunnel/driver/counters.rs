//! Counters of a tunnel: its sessions, and its connections by forward.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::tunnel::stats::Snapshot;
use crate::tunnel::{ConnectionEnd, ConnectionStats, DEFAULT_FORWARD, Error, SessionStats, Stats};

/// The maximum number of stopped forwards with counters of their own.
const MAX_STOPPED: usize = 256;

/// The counters of a tunnel, without the bytes of existing connections.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    sessions: SessionStats,
    /// By forward.
    forwards: BTreeMap<i64, ConnectionStats>,
    /// The stopped forwards that still have counters of their own.
    stopped: BTreeSet<i64>,
    /// The sum of forwards that stopped long ago.
    earlier: ConnectionStats,
    /// The number of existing connections, in all and by forward.
    live: u64,
    live_of: HashMap<i64, u64>,
}

impl Counters {
    /// Adds a forward.
    pub(crate) fn add_forward(&mut self, forward: i64) {
        self.forwards.entry(forward).or_default();
        self.stopped.remove(&forward);
    }

    /// Records that a forward has stopped. When many have, the oldest of them are merged.
    pub(crate) fn forward_stopped(&mut self, forward: i64) {
        if forward > DEFAULT_FORWARD {
            self.stopped.insert(forward);
        }
        while self.stopped.len() > MAX_STOPPED
            && let Some(oldest) = self.stopped.pop_first()
        {
            self.earlier.add(&self.forwards.remove(&oldest).unwrap_or_default());
        }
    }

    fn of(&mut self, forward: i64) -> &mut ConnectionStats {
        self.forwards.get_mut(&forward).unwrap_or(&mut self.earlier)
    }

    /// Counts a connection that was accepted.
    pub(crate) fn accepted(&mut self, forward: i64) {
        self.of(forward).accepted += 1;
        self.live += 1;
        *self.live_of.entry(forward).or_default() += 1;
    }

    /// Counts a connection that has ended.
    pub(crate) fn ended(&mut self, end: &ConnectionEnd) {
        self.of(end.forward).count_end(end);
        self.live -= 1;
        if let Entry::Occupied(mut live) = self.live_of.entry(end.forward) {
            *live.get_mut() -= 1;
            if *live.get() == 0 {
                live.remove();
            }
        }
    }

    /// Returns the number of existing connections.
    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    /// Returns the number of existing connections of a forward.
    pub(crate) fn live_of(&self, forward: i64) -> u64 {
        self.live_of.get(&forward).copied().unwrap_or_default()
    }

    /// Counts an attempt to reconnect.
    pub(crate) fn reconnecting(&mut self) {
        self.sessions.reconnect_attempts += 1;
    }

    /// Counts a session that came up.
    pub(crate) fn session_ready(&mut self, connect_time: Duration) {
        self.sessions.logons += 1;
        self.sessions.connect_time = Some(connect_time);
    }

    /// Counts a session that could not connect or authenticate.
    pub(crate) fn session_failed(&mut self) {
        self.sessions.logon_failures += 1;
    }

    /// Counts a session that was lost.
    pub(crate) fn session_lost(&mut self) {
        self.sessions.losses += 1;
    }

    /// Returns the counters of one forward or of all, with those of existing connections. Connections
    /// that do not satisfy `exists` have ended since their snapshot. `up` is the number of sessions.
    pub(crate) fn stats(
        &self,
        forward: Option<i64>,
        snapshots: &[Snapshot],
        exists: impl Fn(u64) -> bool,
        up: u64,
    ) -> Result<Stats, Error> {
        let mut connections = self.connections(forward)?;
        let live = snapshots.iter().flat_map(|snapshot| &snapshot.live);
        let live = live.filter(|it| forward.is_none_or(|forward| forward == it.forward));
        for live in live.filter(|it| exists(it.id)) {
            connections.opened += u64::from(live.opened);
            connections.bytes.add(&live.bytes);
        }
        let round_trip = snapshots.iter().filter_map(|snapshot| snapshot.round_trip).min();
        let sessions = SessionStats { up, round_trip, ..self.sessions.clone() };
        Ok(Stats { sessions, connections })
    }

    fn connections(&self, forward: Option<i64>) -> Result<ConnectionStats, Error> {
        if let Some(id) = forward {
            return self.forwards.get(&id).cloned().ok_or(Error::UnknownForward(id));
        }
        let mut all = self.earlier.clone();
        for forward in self.forwards.values() {
            all.add(forward);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::ClosedBy;
    use crate::tunnel::stats::tests::end;

    #[test]
    fn forwards_that_stopped_long_ago_share_their_counters() {
        let mut counters = Counters::default();
        let last = MAX_STOPPED as i64 + 10;
        // Forward 1 stays; the others stop at once.
        for id in 0..=last {
            counters.add_forward(id);
            counters.of(id).accepted += 1;
            if id != 1 && id != last {
                counters.forward_stopped(id);
            }
        }
        let accepted = |id| counters.connections(Some(id)).ok().map(|it| it.accepted);
        assert_eq!([0, 1, 2, last].map(accepted), [Some(1), Some(1), None, Some(1)]);
        assert_eq!(counters.forwards.len(), MAX_STOPPED + 3);
        counters.of(2).count_end(&end(2, "OK", true, ClosedBy::Graceful));
        let all = counters.connections(None).expect("the sum");
        assert_eq!((all.accepted, all.clean), (MAX_STOPPED as u64 + 11, 1));
    }
}
