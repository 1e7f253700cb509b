//! How much a session has moved lately: written by its task once a turn, read by the tunnel's task
//! when a connection is to be placed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The bytes of the second that runs and of the one before.
///
/// One task writes. Who reads while it does may take a number of the second before for one of this
/// second, which only makes one choice a little worse: no order is asked for.
#[derive(Debug)]
pub(crate) struct Load {
    since: Instant,
    /// All bytes so far.
    total: AtomicU64,
    /// The number of the last second in which bytes moved, counted from `since`.
    second: AtomicU64,
    /// The bytes of that second.
    this: AtomicU64,
    /// The bytes of the one before.
    before: AtomicU64,
}

impl Load {
    pub(crate) fn new(since: Instant) -> Self {
        let [total, second, this, before] = std::array::from_fn(|_| AtomicU64::new(0));
        Self { since, total, second, this, before }
    }

    /// So many bytes have moved since the beginning.
    pub(crate) fn moved(&self, total: u64, now: Instant) {
        let fresh = total - self.total.load(Ordering::Relaxed);
        if fresh == 0 {
            return;
        }
        self.total.store(total, Ordering::Relaxed);
        let second = self.number(now);
        let this = self.this.load(Ordering::Relaxed);
        match second - self.second.load(Ordering::Relaxed) {
            0 => return self.this.store(this + fresh, Ordering::Relaxed),
            1 => self.before.store(this, Ordering::Relaxed),
            _ => self.before.store(0, Ordering::Relaxed),
        }
        self.this.store(fresh, Ordering::Relaxed);
        self.second.store(second, Ordering::Relaxed);
    }

    /// The bytes of the last one to two seconds.
    pub(crate) fn recent(&self, now: Instant) -> u64 {
        let this = self.this.load(Ordering::Relaxed);
        match self.number(now).saturating_sub(self.second.load(Ordering::Relaxed)) {
            0 => this + self.before.load(Ordering::Relaxed),
            1 => this,
            _ => 0,
        }
    }

    fn number(&self, now: Instant) -> u64 {
        now.duration_since(self.since).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bytes_count_for_the_second_in_which_they_moved_and_the_next() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let load = Load::new(start);
        assert_eq!(load.recent(at(0)), 0);
        load.moved(10, at(100));
        load.moved(15, at(900));
        assert_eq!(load.recent(at(900)), 15);
        load.moved(16, at(1500));
        assert_eq!([1500, 2500, 3000].map(|time| load.recent(at(time))), [16, 1, 0]);
        // What moved long ago does not come back with what moves now.
        load.moved(20, at(9000));
        load.moved(20, at(9999));
        assert_eq!([9999, 10_999, 11_000].map(|time| load.recent(at(time))), [4, 4, 0]);
    }
}
