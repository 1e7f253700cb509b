//! The sessions that take connections, sorted by what the supervisor asks for: a turn and a new connection
//! cost the same, whatever the number of sessions.

use std::collections::BTreeSet;
use std::time::Instant;

/// The sessions that are up, by their connections and by how long they have been unused.
#[derive(Debug, Default)]
pub(super) struct UpSessions {
    by_connections: BTreeSet<(usize, u32)>,
    /// Those with neither a connection nor a remote forward, by the beginning of that.
    unused: BTreeSet<(Instant, u32)>,
    /// The connections of all.
    connections: usize,
}

impl UpSessions {
    pub(super) fn insert(&mut self, id: u32, connections: usize, unused: Option<Instant>) {
        self.by_connections.insert((connections, id));
        self.unused.extend(unused.map(|since| (since, id)));
        self.connections += connections;
    }

    /// Removes a session that was inserted with these values.
    pub(super) fn remove(&mut self, id: u32, connections: usize, unused: Option<Instant>) {
        self.by_connections.remove(&(connections, id));
        if let Some(since) = unused {
            self.unused.remove(&(since, id));
        }
        self.connections -= connections;
    }

    pub(super) fn len(&self) -> usize {
        self.by_connections.len()
    }

    /// Returns the connections of all sessions.
    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    /// Returns the smallest number of connections of a session.
    pub(super) fn fewest(&self) -> Option<usize> {
        self.by_connections.first().map(|(connections, _)| *connections)
    }

    /// Returns the sessions with fewer connections than this, but with some.
    pub(super) fn ids_below(&self, connections: usize) -> impl Iterator<Item = u32> {
        self.by_connections.range((1, 0)..(connections.max(1), 0)).map(|(_, id)| *id)
    }

    /// Returns the session with the least load of those with at least this number of connections: the
    /// weight of its connections, and what `extra` adds.
    pub(super) fn least_loaded(
        &self,
        from: usize,
        weight: u64,
        extra: impl Fn(u32) -> u64,
    ) -> Option<u32> {
        let mut least: Option<(u64, u32)> = None;
        for &(connections, id) in self.by_connections.range((from, 0)..) {
            let load = connections as u64 * weight;
            // The sessions from here on have at least this load.
            if least.is_some_and(|(least, _)| least <= load) {
                break;
            }
            let load = load + extra(id);
            if least.is_none_or(|(least, _)| load < least) {
                least = Some((load, id));
            }
        }
        least.map(|(_, id)| id)
    }

    /// Returns the session that has been unused for longest, and since when.
    pub(super) fn longest_unused(&self) -> Option<(Instant, u32)> {
        self.unused.first().copied()
    }
}
