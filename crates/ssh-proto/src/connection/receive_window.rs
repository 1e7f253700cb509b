//! Receive windows: how much a server may send ahead of what has left us.
//!
//! A channel brings at most one window in each round trip, and a connection that stops reading
//! costs at most one window of memory. So every window begins small and follows what its path
//! takes: it grows while the bandwidth-delay product fills it and growing helps, and goes back when
//! the product has become small. What is granted cannot be taken back, so a window goes back only
//! as data leaves.

use std::time::{Duration, Instant};

/// What a channel begins with while there is memory for it. OpenSSH grants the same.
pub(crate) const WINDOW: u32 = 2 * 1024 * 1024;
/// What a channel begins with when there is none: four of the largest packets, enough for requests
/// and their answers.
pub(crate) const LEAST: u32 = 128 * 1024;
/// The most that a limit may allow: so far below 2^32 that no sum of windows and credit gets there.
const MOST: u32 = 1 << 30;
/// Credit is given back in portions of this part of the window: half as often costs throughput on
/// long links, twice as often costs messages.
const PORTIONS: u32 = 8;
/// What is consumed in less time says more about the reads than about the path.
const SHORTEST_EPOCH: Duration = Duration::from_millis(10);
/// So many slow epochs in a row, and the window goes back: a pause alone is no reason.
const SLOW_EPOCHS: u32 = 8;

/// How large receive windows may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Bytes of one channel; taken as 128 KiB if it is less, and as 1 GiB if it is more.
    pub limit: u32,
    /// Bytes of all channels together. When it is used up, no window grows, and a new channel gets
    /// 128 KiB all the same.
    pub memory: u64,
}

impl Default for Windows {
    /// - 16 MiB: 160 MiB/s at a round trip of 100 ms.
    /// - 1 GiB: 512 channels that have never been faster than 2 MiB in a round trip.
    fn default() -> Self {
        Self { limit: 16 * 1024 * 1024, memory: 1 << 30 }
    }
}

/// The memory that the windows of a session share.
#[derive(Debug)]
pub(crate) struct Budget {
    windows: Windows,
    /// The sum of all windows.
    held: u64,
}

impl Budget {
    pub(crate) fn new(windows: Windows) -> Self {
        let limit = windows.limit.clamp(LEAST, MOST);
        Self { windows: Windows { limit, ..windows }, held: 0 }
    }

    /// The window of a new channel.
    pub(crate) fn open(&mut self) -> Window {
        let base = self.base();
        let size = if u64::from(base) <= self.left() { base } else { LEAST };
        self.held += u64::from(size);
        Window { size, remaining: size, consumed: 0, epoch: None, pace: 0, slow: 0 }
    }

    /// The channel is gone.
    pub(crate) fn release(&mut self, window: &Window) {
        self.held -= u64::from(window.size);
    }

    /// What a window never goes back below.
    fn base(&self) -> u32 {
        WINDOW.min(self.windows.limit)
    }

    fn left(&self) -> u64 {
        self.windows.memory.saturating_sub(self.held)
    }

    /// By how much a window of this size may grow now.
    fn growth(&self, size: u32) -> u32 {
        let left = u32::try_from(self.left()).unwrap_or(u32::MAX);
        size.min(self.windows.limit.saturating_sub(size)).min(left)
    }
}

/// What a stretch of time says about a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is as it should be, or nothing is known yet.
    Fits,
    /// It holds up the data, which moves at this pace.
    Narrow(u64),
    /// It is far larger than what moves, and has been for long.
    Wide,
}

/// What left us in a stretch of time of at least one round trip.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    since: Instant,
    bytes: u64,
}

/// The receive window of one channel.
#[derive(Debug)]
pub(crate) struct Window {
    /// The most that may be under way and unread together.
    size: u32,
    /// How much of it the server may still send.
    remaining: u32,
    /// How much of what it sent has left us, and is not given back as credit yet.
    consumed: u32,
    /// `None` until something has left us.
    epoch: Option<Epoch>,
    /// Bytes a second at which the window was last too small: it grows again only for a better
    /// pace. A round trip that is measured behind our own data is too long, and a window that
    /// followed it would grow to its limit for nothing.
    pace: u64,
    /// Slow epochs in a row.
    slow: u32,
}

impl Window {
    /// That of a channel on which nothing may come yet.
    pub(crate) fn none() -> Self {
        Self { size: 0, remaining: 0, consumed: 0, epoch: None, pace: 0, slow: 0 }
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// The server has sent so much; `None` if that is more than it may.
    pub(crate) fn received(&mut self, count: u32) -> Option<()> {
        self.remaining = self.remaining.checked_sub(count)?;
        Some(())
    }

    /// So much has left us.
    pub(crate) fn consumed(&mut self, count: u32, now: Instant) {
        self.consumed += count;
        match &mut self.epoch {
            Some(epoch) => epoch.bytes += u64::from(count),
            // How long this took to come, nobody knows.
            None => self.epoch = Some(Epoch { since: now, bytes: 0 }),
        }
    }

    /// The credit to give now, if any.
    pub(crate) fn credit(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
        budget: &mut Budget,
    ) -> Option<u32> {
        if self.consumed < self.size / PORTIONS {
            return None;
        }
        let mut credit = std::mem::take(&mut self.consumed);
        match round_trip.map_or(Verdict::Fits, |round_trip| self.judge(now, round_trip)) {
            Verdict::Fits => {}
            Verdict::Narrow(pace) => {
                let growth = budget.growth(self.size);
                if growth > 0 {
                    self.pace = pace;
                }
                budget.held += u64::from(growth);
                self.size += growth;
                credit += growth;
            }
            Verdict::Wide => {
                let excess = credit.min(self.size.saturating_sub(budget.base()));
                budget.held -= u64::from(excess);
                self.size -= excess;
                credit -= excess;
                self.pace = 0;
            }
        }
        self.remaining += credit;
        (credit > 0).then_some(credit)
    }

    /// Looks at the epoch, if it is long enough, and begins the next.
    fn judge(&mut self, now: Instant, round_trip: Duration) -> Verdict {
        let Some(epoch) = self.epoch else { return Verdict::Fits };
        let elapsed = now.saturating_duration_since(epoch.since);
        if elapsed < round_trip.max(SHORTEST_EPOCH) {
            return Verdict::Fits;
        }
        self.epoch = Some(Epoch { since: now, bytes: 0 });
        let product = per(epoch.bytes, round_trip, elapsed);
        let size = u64::from(self.size);
        self.slow = if product < size / 8 { self.slow.saturating_add(1) } else { 0 };
        if self.slow >= SLOW_EPOCHS {
            return Verdict::Wide;
        }
        let pace = per(epoch.bytes, Duration::from_secs(1), elapsed);
        if product < size / 2 || pace < self.pace.saturating_add(self.pace / 4) {
            return Verdict::Fits;
        }
        // What had piled up at a program that paused leaves faster than the window lets anything
        // come.
        let bound = per(size, Duration::from_secs(1), round_trip);
        Verdict::Narrow(pace.min(bound))
    }
}

/// What `bytes` in a time of `elapsed`, which is not zero, come to in the time of `span`.
fn per(bytes: u64, span: Duration, elapsed: Duration) -> u64 {
    let scaled = u128::from(bytes) * span.as_nanos() / elapsed.as_nanos().max(1);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
