//! Limits of the rate at which connections move bytes: token buckets, and the turns of connections at them.
//!
//! A `Bucket` sells time: a connection reserves the time that a portion of bytes takes, and waits until that
//! time begins. Connections that always have something to move reserve one portion after the other, in turn, and
//! so have equal shares, also in several tasks. What a portion has left over is given back.
//!
//! Nothing here reads a clock or waits: the callers pass in the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time that a bucket may save up while little moves. It makes up for timers, which are late by a millisecond or
/// so.
const BURST: Duration = Duration::from_millis(20);
/// A portion takes about this time, the part of a second.
const PORTIONS: u64 = 50;
/// The smallest portion, if a second has as many bytes, and the largest.
const MIN_PORTION: u64 = 1024;
const MAX_PORTION: u64 = 64 * 1024;

/// Limit of one direction.
#[derive(Debug)]
struct Bucket {
    /// Bytes in a second; 0 is no limit.
    rate: AtomicU64,
    /// When everything that was reserved has left, in nanoseconds of the clock.
    next: AtomicU64,
}

/// A direction of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the local client to the remote end.
    Up,
    /// From the remote end to the local client.
    Down,
}

/// Bytes in a second, by direction; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxRate {
    /// From the local client to the remote end.
    pub up: u64,
    /// From the remote end to the local client.
    pub down: u64,
}

/// Limits of a tunnel, of a forward, or of a connection, for everything that moves in it together.
#[derive(Debug)]
pub(crate) struct Rate {
    /// The beginning of the buckets' time.
    origin: Instant,
    up: Bucket,
    down: Bucket,
}

impl Bucket {
    fn new(rate: u64) -> Self {
        Self { rate: AtomicU64::new(rate), next: AtomicU64::new(0) }
    }

    fn rate(&self) -> u64 {
        self.rate.load(Ordering::Relaxed)
    }

    /// Returns the bytes to reserve at once: a portion, and what was saved up. A connection that waits for its
    /// turn under another limit thus makes up for it.
    fn portion(&self, now: u64) -> u64 {
        let rate = self.rate();
        let portion = portion(rate);
        let saved = now.saturating_sub(self.next.load(Ordering::Relaxed));
        let saved = saved.min(BURST.as_nanos() as u64);
        let saved = u128::from(saved) * u128::from(rate) / 1_000_000_000;
        portion.saturating_add(saved as u64).min(MAX_PORTION)
    }

    /// Reserves the time for `bytes`. Returns its beginning.
    fn reserve(&self, bytes: u64, now: u64) -> u64 {
        let cost = nanoseconds(bytes, self.rate());
        let earliest = now.saturating_sub(BURST.as_nanos() as u64);
        let reserve = |next: u64| Some(next.max(earliest).saturating_add(cost));
        let next = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve);
        next.unwrap_or_else(|next| next).max(earliest)
    }

    /// Gives back the time for bytes that did not move.
    fn give_back(&self, bytes: u64) {
        let cost = nanoseconds(bytes, self.rate());
        let give = |next: u64| Some(next.saturating_sub(cost));
        let _ = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
    }
}

/// Returns the bytes of a portion.
fn portion(rate: u64) -> u64 {
    (rate / PORTIONS).clamp(rate.min(MIN_PORTION), MAX_PORTION)
}

/// Returns the time that bytes take; none without a limit.
fn nanoseconds(bytes: u64, rate: u64) -> u64 {
    if rate == 0 {
        return 0;
    }
    let time = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
    u64::try_from(time).unwrap_or(u64::MAX)
}

impl Rate {
    pub(crate) fn new(max: MaxRate, now: Instant) -> Self {
        Self { origin: now, up: Bucket::new(max.up), down: Bucket::new(max.down) }
    }

    pub(crate) fn get(&self) -> MaxRate {
        MaxRate { up: self.up.rate(), down: self.down.rate() }
    }

    /// Changes the limits; what was reserved under the old ones does not count. Connections that wait have to
    /// [ask again](Pace::ask_again).
    pub(crate) fn set(&self, max: MaxRate, now: Instant) {
        for (bucket, rate) in [(&self.up, max.up), (&self.down, max.down)] {
            bucket.rate.store(rate, Ordering::Relaxed);
            bucket.next.store(self.time(now), Ordering::Relaxed);
        }
    }

    fn bucket(&self, direction: Direction) -> &Bucket {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn time(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.origin).as_nanos() as u64
    }
}

/// The limits that a connection is under.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    /// Those of its tunnel, of its forward, and its own.
    pub(crate) tunnel: Option<Arc<Rate>>,
    pub(crate) forward: Option<Arc<Rate>>,
    pub(crate) own: Option<Arc<Rate>>,
}

impl Rates {
    /// Returns the connection's own limits, which exist from the first use on.
    pub(crate) fn own(&mut self, now: Instant) -> &Arc<Rate> {
        self.own.get_or_insert_with(|| Arc::new(Rate::new(MaxRate::default(), now)))
    }

    fn limited(&self, direction: Direction) -> impl Iterator<Item = (&Rate, &Bucket)> {
        [&self.tunnel, &self.forward, &self.own].into_iter().flatten().filter_map(move |rate| {
            let bucket = rate.bucket(direction);
            (bucket.rate() > 0).then_some((&**rate, bucket))
        })
    }
}

/// The pace of one direction of a connection: what it may move, and when.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) rates: Rates,
    direction: Direction,
    /// The bytes that it has reserved, and when they may move.
    reserved: Option<(u64, Instant)>,
}

impl Pace {
    pub(crate) fn new(rates: Rates, direction: Direction) -> Self {
        Self { rates, direction, reserved: None }
    }

    /// Returns the pace of something that has no limits.
    pub(crate) fn unlimited() -> Self {
        Self::new(Rates::default(), Direction::Down)
    }

    /// Returns whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.rates.limited(self.direction).next().is_some()
    }

    /// Returns how many of `wanted` bytes may move now, at least one, or else when some may. The caller reports
    /// what has moved to [`Pace::moved`].
    pub(crate) fn take(&mut self, wanted: usize, now: Instant) -> Result<usize, Instant> {
        let (bytes, at) = match self.reserved {
            Some(reserved) => reserved,
            None => match self.reserve(wanted as u64, now) {
                Some(reserved) => *self.reserved.insert(reserved),
                None => return Ok(wanted),
            },
        };
        if at <= now { Ok(wanted.min(bytes as usize)) } else { Err(at) }
    }

    /// Reserves a portion at every limit; `None` without one. It moves when the last of them allows it.
    fn reserve(&self, wanted: u64, now: Instant) -> Option<(u64, Instant)> {
        let limited = || self.rates.limited(self.direction);
        let portion = limited().map(|(rate, bucket)| bucket.portion(rate.time(now))).min()?;
        let bytes = wanted.min(portion).max(1);
        let begin = |(rate, bucket): (&Rate, &Bucket)| {
            rate.origin + Duration::from_nanos(bucket.reserve(bytes, rate.time(now)))
        };
        Some((bytes, limited().map(begin).max()?))
    }

    /// Records that `count` bytes have moved.
    pub(crate) fn moved(&mut self, count: usize, now: Instant) {
        let count = count as u64;
        let reserved = self.reserved.take().map_or(0, |(bytes, _)| bytes);
        for (rate, bucket) in self.rates.limited(self.direction) {
            if count < reserved {
                bucket.give_back(reserved - count);
            } else if count > reserved {
                bucket.reserve(count - reserved, rate.time(now));
            }
        }
    }

    /// Returns when the bytes that wait may move, if they wait.
    pub(crate) fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.reserved.map(|(_, at)| at).filter(|at| *at > now)
    }

    /// Returns whether bytes wait for their time, or were given it and could not move.
    pub(crate) fn has_reserved(&self) -> bool {
        self.reserved.is_some()
    }

    /// Gives back what was reserved, because a limit has changed.
    pub(crate) fn ask_again(&mut self) {
        if let Some((bytes, _)) = self.reserved.take() {
            for (_, bucket) in self.rates.limited(self.direction) {
                bucket.give_back(bytes);
            }
        }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.ask_again();
    }
}

#[cfg(test)]
mod tests;
