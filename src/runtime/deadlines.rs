//! Many deadlines, sorted: a turn handles only the ones that are over.

use std::collections::BTreeSet;
use std::time::Instant;

/// Deadlines by time. The earliest one is found at once, and a change takes a time that grows with the
/// logarithm of their number. Whatever has a deadline stores it: it is needed to remove it.
#[derive(Debug)]
pub(crate) struct Deadlines<K>(BTreeSet<(Instant, K)>);

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K: Copy + Ord> Deadlines<K> {
    /// Replaces the deadline of a key, which is stored at `due`; `None` removes it.
    pub(crate) fn set(&mut self, key: K, due: &mut Option<Instant>, new: Option<Instant>) {
        self.remove(key, std::mem::replace(due, new));
        if let Some(new) = new {
            self.0.insert((new, key));
        }
    }

    /// Removes the deadline of a key, if it has one.
    pub(crate) fn remove(&mut self, key: K, due: Option<Instant>) {
        if let Some(due) = due {
            self.0.remove(&(due, key));
        }
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(due, _)| *due)
    }

    /// Returns the latest deadline.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.0.last().map(|(due, _)| *due)
    }

    /// Removes the earliest deadline if it is over, and returns its key.
    pub(crate) fn take_over(&mut self, now: Instant) -> Option<K> {
        self.next().filter(|due| *due <= now)?;
        self.0.pop_first().map(|(_, key)| key)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn deadlines_are_over_in_order_and_once() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut deadlines = Deadlines::default();
        let mut dues = [None; 4];
        for (key, seconds) in [3, 1, 2, 2].into_iter().enumerate() {
            deadlines.set(key, &mut dues[key], Some(now + second * seconds));
        }
        assert_eq!(deadlines.next(), Some(now + second));
        assert_eq!(deadlines.take_over(now), None);
        // Moved, removed, and removed again.
        deadlines.set(1, &mut dues[1], Some(now + second * 4));
        deadlines.set(3, &mut dues[3], None);
        deadlines.set(3, &mut dues[3], None);
        assert_eq!((deadlines.len(), dues[3]), (3, None));
        let mut over = |seconds| {
            std::iter::from_fn(|| deadlines.take_over(now + second * seconds)).collect::<Vec<_>>()
        };
        assert_eq!(over(3), [2, 0]);
        assert_eq!(over(3), []);
        assert_eq!(over(9), [1]);
        assert_eq!(deadlines.next(), None);
    }
}
