//! Which connection is read next: a connection that sends little goes before one that sends much.
//!
//! As in fq_codel, a connection that has been empty goes first, until it has sent a quantum without
//! becoming empty again. Then it is a bulk connection, and the bulk connections take turns. A bulk
//! connection that becomes empty goes first again only after the others that waited have had their
//! turns, so that many small messages cannot keep bulk data from moving.

use std::collections::VecDeque;

/// Bytes that a connection may send before others that wait.
pub(super) const QUANTUM: usize = 16 * 1024;

/// A connection's place in the schedule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// Whether it waits to be read.
    queued: bool,
    /// Whether it takes turns.
    bulk: bool,
    /// What is left of its quantum.
    quantum: usize,
    /// The turn from which on it goes first, when it has been empty.
    first_from: u64,
}

impl Place {
    /// Returns what is left of its quantum.
    pub(super) fn quantum(&self) -> usize {
        self.quantum
    }
}

/// The connections that wait to be read, by their index.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    first: VecDeque<usize>,
    bulk: VecDeque<usize>,
    /// How many turns bulk connections have had.
    turns: u64,
}

impl Schedule {
    /// Adds a connection, unless it waits already.
    pub(super) fn add(&mut self, index: usize, place: &mut Place) {
        if std::mem::replace(&mut place.queued, true) {
            return;
        }
        place.bulk |= !self.bulk.is_empty() && self.turns < place.first_from;
        if place.bulk {
            return self.bulk.push_back(index);
        }
        if place.quantum == 0 {
            place.quantum = QUANTUM;
        }
        self.first.push_back(index);
    }

    /// Returns how many connections go first, and how many take turns.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.first.len(), self.bulk.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    pub(super) fn next_first(&mut self) -> Option<usize> {
        self.first.pop_front()
    }

    /// Returns the bulk connection whose turn is next.
    pub(super) fn peek_bulk(&self) -> Option<usize> {
        self.bulk.front().copied()
    }

    pub(super) fn next_bulk(&mut self) -> Option<usize> {
        self.turns += 1;
        self.bulk.pop_front()
    }

    /// Notes that a connection leaves the schedule to be read.
    pub(super) fn taken(&self, place: &mut Place) {
        place.queued = false;
    }

    /// Notes that `count` bytes of it were read, and whether it has become empty.
    pub(super) fn read(&self, place: &mut Place, count: usize, empty: bool) {
        if empty {
            place.bulk = false;
            place.quantum = 0;
            place.first_from = self.turns + self.bulk.len() as u64;
        } else if !place.bulk {
            place.quantum = place.quantum.saturating_sub(count);
            place.bulk = place.quantum == 0;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
