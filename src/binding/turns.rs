//! The order of callbacks: that of the calls, whichever outcome comes first.

use std::collections::BTreeMap;

/// Puts items that arrive in any order in the order of their turns.
pub(crate) struct Turns<T> {
    next: u64,
    early: BTreeMap<u64, T>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { next: 0, early: BTreeMap::new() }
    }
}

impl<T> Turns<T> {
    /// Releases `item` and the items that waited for it, or keeps it until its turn comes.
    pub(crate) fn arrive(&mut self, turn: u64, item: T, mut release: impl FnMut(T)) {
        if turn != self.next {
            self.early.insert(turn, item);
            return;
        }
        release(item);
        self.next += 1;
        while let Some(item) = self.early.remove(&self.next) {
            release(item);
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_released_in_order_whatever_arrives_first() {
        let mut turns = Turns::default();
        let mut released = Vec::new();
        for turn in [2, 0, 3, 1, 5, 4] {
            turns.arrive(turn, turn, |turn| released.push(turn));
        }
        assert_eq!(released, [0, 1, 2, 3, 4, 5]);
        assert!(turns.early.is_empty());
    }

    #[test]
    fn a_turn_waits_for_those_before_it() {
        let mut turns = Turns::default();
        turns.arrive(1, 'b', |_| panic!("not its turn"));
        let mut released = String::new();
        turns.arrive(0, 'a', |item| released.push(item));
        assert_eq!(released, "ab");
    }
}
