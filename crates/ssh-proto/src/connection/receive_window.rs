//! Receive windows: how much a server may send ahead of what was delivered.
//!
//! A channel carries at most one window in a round trip, and a connection that stops reading costs
//! at most one window of memory. So every window begins small and follows its path: it grows while
//! the bandwidth-delay product fills it and growing helps, and shrinks when the product has become
//! small. Credit cannot be taken back, so a window shrinks only as data is delivered.

use std::time::{Duration, Instant};

/// Initial window of a channel while there is memory for it. OpenSSH grants the same.
pub(crate) const INITIAL_WINDOW: u32 = 2 * 1024 * 1024;
/// Initial window of a channel without memory for more: four of the largest packets, enough for
/// requests and responses.
pub(crate) const MIN_WINDOW: u32 = 128 * 1024;
/// Upper bound of [`Windows::limit`]: no sum of windows and credit reaches 2^32.
const MAX_WINDOW: u32 = 1 << 30;
/// Credit is given in portions of this part of the window: half as often costs throughput on long
/// links, twice as often costs messages.
const PORTIONS: u32 = 8;
/// The same for a window that is limited, and much smaller.
const LIMITED_PORTIONS: u32 = 4;
/// Shorter epochs say more about the reads than about the path.
const MIN_EPOCH: Duration = Duration::from_millis(10);
/// Slow epochs in a row after which the window shrinks: a pause alone is no reason.
const SLOW_EPOCHS: u32 = 8;

/// Limits of the receive windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Bytes of one channel; taken as 128 KiB if it is less, and as 1 GiB if it is more.
    pub limit: u32,
    /// Bytes of all channels together. When they are used up, no window grows, and a new channel
    /// gets 128 KiB all the same.
    pub memory: u64,
}

impl Windows {
    /// The smallest `limit`.
    pub const MIN_LIMIT: u32 = MIN_WINDOW;
    /// The largest `limit`.
    pub const MAX_LIMIT: u32 = MAX_WINDOW;
    /// - 16 MiB: 160 MiB/s at a round trip of 100 ms.
    /// - 1 GiB: 512 channels that have never been faster than 2 MiB in a round trip.
    pub const DEFAULT: Self = Self { limit: 16 * 1024 * 1024, memory: 1 << 30 };
}

impl Default for Windows {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The memory that the windows of a session share.
#[derive(Debug)]
pub(crate) struct WindowBudget {
    windows: Windows,
    /// The sum of all windows.
    reserved: u64,
}

impl WindowBudget {
    pub(crate) fn new(windows: Windows) -> Self {
        let limit = windows.limit.clamp(MIN_WINDOW, MAX_WINDOW);
        Self { windows: Windows { limit, ..windows }, reserved: 0 }
    }

    /// Returns the window of a new channel. The server may use `limit` of it.
    pub(crate) fn open(&mut self, limit: u32) -> ReceiveWindow {
        let base = self.base();
        let size = if u64::from(base) <= self.available() { base } else { MIN_WINDOW };
        self.reserved += u64::from(size);
        let remaining = size.min(limit);
        ReceiveWindow { size, remaining, consumed: size - remaining, ..ReceiveWindow::none() }
    }

    /// Takes back the window of a channel that is gone.
    pub(crate) fn close(&mut self, window: &ReceiveWindow) {
        self.reserved -= u64::from(window.size);
    }

    /// The size below which no window shrinks.
    fn base(&self) -> u32 {
        INITIAL_WINDOW.min(self.windows.limit)
    }

    fn available(&self) -> u64 {
        self.windows.memory.saturating_sub(self.reserved)
    }

    /// Returns by how much a window of this size may grow now.
    fn growth(&self, size: u32) -> u32 {
        let available = u32::try_from(self.available()).unwrap_or(u32::MAX);
        size.min(self.windows.limit.saturating_sub(size)).min(available)
    }
}

/// How a window's size compares to its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trend {
    /// It fits, or nothing is known yet.
    Keep,
    /// It limits the data, which moves at this pace.
    Grow(u64),
    /// Others of their path are larger, so that they have more of it.
    Level,
    /// It has been far too large for long.
    Shrink,
}

/// What was delivered in a period of at least one round trip.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    since: Instant,
    bytes: u64,
}

/// The receive window of one channel.
#[derive(Debug)]
pub(crate) struct ReceiveWindow {
    /// The most that may be in flight and unread together.
    size: u32,
    /// How much of it the server may still send.
    remaining: u32,
    /// Bytes for which credit can be given: they were delivered, or withheld from the first on.
    consumed: u32,
    /// `None` until something was delivered.
    epoch: Option<Epoch>,
    /// Bytes a second at which the window was last too small: it grows again only for a better
    /// pace. A round trip that is measured behind our own data is too long, and a window that
    /// followed it would grow to its limit for nothing.
    pace: u64,
    /// Slow epochs in a row.
    slow: u32,
    /// Whether the data of the last epoch fills a good part of it.
    fills: bool,
}

impl ReceiveWindow {
    /// The window of a channel on which nothing may come yet.
    pub(crate) fn none() -> Self {
        Self { size: 0, remaining: 0, consumed: 0, epoch: None, pace: 0, slow: 0, fills: false }
    }

    /// Returns its size if its data fills it, or else 0.
    pub(crate) fn filled_size(&self) -> u32 {
        if self.fills { self.size } else { 0 }
    }

    /// Returns how much the server may still send.
    pub(crate) fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Counts `count` bytes as received; `None` if the server may not send as many.
    pub(crate) fn received(&mut self, count: u32) -> Option<()> {
        self.remaining = self.remaining.checked_sub(count)?;
        Some(())
    }

    /// Counts `count` bytes as delivered.
    pub(crate) fn consumed(&mut self, count: u32, now: Instant) {
        self.consumed += count;
        match &mut self.epoch {
            Some(epoch) => epoch.bytes += u64::from(count),
            // It is unknown how long these took to arrive.
            None => self.epoch = Some(Epoch { since: now, bytes: 0 }),
        }
    }

    /// Returns the credit to give now, if any; `largest` is the largest of the windows that share the
    /// path.
    pub(crate) fn credit(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
        largest: u32,
        budget: &mut WindowBudget,
    ) -> Option<u32> {
        if self.consumed < self.size / PORTIONS {
            return None;
        }
        let mut credit = std::mem::take(&mut self.consumed);
        match round_trip.map_or(Trend::Keep, |it| self.trend(now, it, largest)) {
            Trend::Keep => {}
            Trend::Level => {
                let growth = budget.growth(self.size).min(largest - self.size);
                budget.reserved += u64::from(growth);
                self.size += growth;
                credit += growth;
            }
            Trend::Grow(pace) => {
                let growth = budget.growth(self.size);
                if growth > 0 {
                    self.pace = pace;
                }
                budget.reserved += u64::from(growth);
                self.size += growth;
                credit += growth;
            }
            Trend::Shrink => {
                let excess = credit.min(self.size.saturating_sub(budget.base()));
                budget.reserved -= u64::from(excess);
                self.size -= excess;
                credit -= excess;
                self.pace = 0;
            }
        }
        self.remaining += credit;
        (credit > 0).then_some(credit)
    }

    /// Returns the credit to give now, if any, while no more than `limit` bytes of the window may be in
    /// flight and unread. Credit beyond that is withheld, until the limit is higher or gone.
    pub(crate) fn limited_credit(&mut self, limit: u32) -> Option<u32> {
        // What is measured now says nothing about the window.
        self.epoch = None;
        let used = self.size - self.consumed;
        let credit = self.consumed.min(limit.saturating_sub(used));
        if credit == 0 || credit < self.size.min(limit) / LIMITED_PORTIONS {
            return None;
        }
        self.consumed -= credit;
        self.remaining += credit;
        Some(credit)
    }

    /// Evaluates the epoch, if it is long enough, and begins the next.
    fn trend(&mut self, now: Instant, round_trip: Duration, largest: u32) -> Trend {
        let Some(epoch) = self.epoch else { return Trend::Keep };
        let elapsed = now.saturating_duration_since(epoch.since);
        if elapsed < round_trip.max(MIN_EPOCH) {
            return Trend::Keep;
        }
        self.epoch = Some(Epoch { since: now, bytes: 0 });
        let product = scale(epoch.bytes, round_trip, elapsed);
        let size = u64::from(self.size);
        self.slow = if product < size / 8 { self.slow.saturating_add(1) } else { 0 };
        if self.slow >= SLOW_EPOCHS {
            return Trend::Shrink;
        }
        self.fills = product >= size / 8;
        if self.fills && self.size < largest {
            return Trend::Level;
        }
        let pace = scale(epoch.bytes, Duration::from_secs(1), elapsed);
        if product < size / 2 || pace < self.pace.saturating_add(self.pace / 4) {
            return Trend::Keep;
        }
        // What had piled up while the application paused is delivered faster than the window lets
        // anything arrive.
        let bound = scale(size, Duration::from_secs(1), round_trip);
        Trend::Grow(pace.min(bound))
    }
}

/// Scales `bytes` in a time of `elapsed`, which is not zero, to the time of `span`.
pub(super) fn scale(bytes: u64, span: Duration, elapsed: Duration) -> u64 {
    let scaled = u128::from(bytes) * span.as_nanos() / elapsed.as_nanos().max(1);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
