//! How many bytes a session has moved lately: written by its worker once a turn, read by the
//! supervisor when it places a connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The bytes of the current second and of the previous one.
///
/// One task writes. A reader may see the counter of one second with the number of another, which
/// only makes one choice slightly worse: no memory ordering is needed.
#[derive(Debug)]
pub(crate) struct Throughput {
    since: Instant,
    /// All bytes so far.
    total: AtomicU64,
    /// The number of the latest second in which bytes moved, counted from `since`.
    second: AtomicU64,
    /// The bytes of that second.
    this: AtomicU64,
    /// The bytes of the second before.
    before: AtomicU64,
}

impl Throughput {
    pub(crate) fn new(since: Instant) -> Self {
        let [total, second, this, before] = std::array::from_fn(|_| AtomicU64::new(0));
        Self { since, total, second, this, before }
    }

    /// Records the number of bytes since the beginning.
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

    /// Returns the bytes of the last one to two seconds.
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
        let throughput = Throughput::new(start);
        assert_eq!(throughput.recent(at(0)), 0);
        throughput.moved(10, at(100));
        throughput.moved(15, at(900));
        assert_eq!(throughput.recent(at(900)), 15);
        throughput.moved(16, at(1500));
        assert_eq!([1500, 2500, 3000].map(|time| throughput.recent(at(time))), [16, 1, 0]);
        // Old bytes do not return with new ones.
        throughput.moved(20, at(9000));
        throughput.moved(20, at(9999));
        assert_eq!([9999, 10_999, 11_000].map(|time| throughput.recent(at(time))), [4, 4, 0]);
    }
}
