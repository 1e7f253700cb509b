//! What all channels together may have in flight to us while somebody asks.
//!
//! Data of all channels shares one path, so what the server may send on one of them delays the
//! others. While somebody asks, the windows of bulk channels are therefore worth no more than the
//! path carries in one round trip and a little more, all together, in equal parts: their shares of
//! the path are as their windows.

use std::time::{Duration, Instant};

use super::channel::ChannelId;
use super::receive_window::scale;

/// Bytes that may be in flight beyond the bandwidth-delay product.
const SLACK: u64 = 64 * 1024;
/// Bytes that may be in flight while the round trip is measured.
const PROBE: u64 = 16 * 1024;
/// The least that a channel may have in flight.
const MIN_SHARE: u64 = 8 * 1024;
/// Bytes in an epoch that make a channel a bulk channel.
const BULK: u64 = 16 * 1024;
/// Bytes that an epoch has if the path carries them: on a slow one, each of several bulk channels needs
/// time to be seen.
const ENOUGH: u64 = 8 * BULK;
/// Shorter round trips say more about this machine's load than about the path.
const MIN_ROUND_TRIP: Duration = Duration::from_millis(1);
/// Shorter epochs say more about the reads than about the path.
const MIN_EPOCH: Duration = Duration::from_millis(50);
/// Longer ones, without a longer round trip, say too late what has changed.
const MAX_EPOCH: Duration = Duration::from_millis(500);

/// What a channel has received in an epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    epoch: u64,
    bytes: u64,
    /// The last epoch in which it was a bulk channel.
    bulk: Option<u64>,
}

/// Measures what arrives, and divides what may be in flight.
#[derive(Debug, Default)]
pub(crate) struct ReceiveShare {
    /// The number of the epoch, and when it began.
    epoch: u64,
    since: Option<Instant>,
    /// Bytes in this epoch.
    bytes: u64,
    /// Bytes a second: a maximum that decays while there is bulk data.
    rate: u64,
    /// The bulk channels of this epoch, and of the one before.
    bulk: Vec<ChannelId>,
    before: Vec<ChannelId>,
}

impl ReceiveShare {
    /// Counts `count` bytes that have arrived on a channel.
    pub(crate) fn received(
        &mut self,
        channel: ChannelId,
        own: &mut Received,
        count: u64,
        now: Instant,
        round_trip: Option<Duration>,
    ) {
        let least = MIN_EPOCH.max(2 * round_trip.unwrap_or_default());
        let length = least.max(self.time_for_enough().min(MAX_EPOCH));
        let since = *self.since.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= length || (elapsed >= least && self.bytes >= ENOUGH) {
            self.end_epoch(elapsed, length);
            self.since = Some(now);
        }
        self.bytes += count;
        if own.epoch != self.epoch {
            (own.epoch, own.bytes) = (self.epoch, 0);
        }
        own.bytes += count;
        if own.bytes >= BULK && own.bulk != Some(self.epoch) {
            own.bulk = Some(self.epoch);
            self.bulk.push(channel);
        }
    }

    /// Returns how long [`ENOUGH`] takes at the rate that is known.
    fn time_for_enough(&self) -> Duration {
        let micros = (ENOUGH * 1_000_000).checked_div(self.rate);
        micros.map_or(Duration::ZERO, Duration::from_micros)
    }

    fn end_epoch(&mut self, elapsed: Duration, length: Duration) {
        let sample = scale(self.bytes, Duration::from_secs(1), elapsed);
        // What came after a pause, or without bulk data, says how little the path carries at least.
        let is_full = !self.bulk.is_empty() && elapsed < 2 * length;
        let decayed = if is_full { self.rate - self.rate / 8 } else { self.rate };
        self.rate = sample.max(decayed);
        self.epoch += 1;
        self.bytes = 0;
        self.before = std::mem::take(&mut self.bulk);
        if elapsed >= 2 * length {
            self.before.clear();
        }
    }

    /// Returns the bulk channels of this epoch and the one before; some may be there twice, and some
    /// may be closed.
    pub(crate) fn bulk(&self) -> impl Iterator<Item = ChannelId> {
        self.bulk.iter().chain(&self.before).copied()
    }

    /// Returns how much a channel may have in flight. While `probing`, the queues are to be empty, so
    /// that the round trip can be measured.
    pub(crate) fn limit(&self, own: &Received, round_trip: Option<Duration>, probing: bool) -> u32 {
        let round_trip = round_trip.unwrap_or_default().max(MIN_ROUND_TRIP);
        let product = scale(self.rate, round_trip, Duration::from_secs(1));
        let all =
            if probing { PROBE } else { SLACK.saturating_add(product).saturating_add(product / 4) };
        let is_bulk = own.bulk.is_some_and(|epoch| epoch + 1 >= self.epoch);
        let parts = if is_bulk { self.bulk.len().max(self.before.len()).max(1) } else { 1 };
        u32::try_from((all / parts as u64).max(MIN_SHARE)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);
    const TRIP: Option<Duration> = Some(Duration::from_millis(100));

    /// Lets each of some channels receive at this rate for a time.
    fn run(share: &mut ReceiveShare, channels: &mut [Received], rate: u64, from: Instant, ms: u32) {
        for at in 0..ms {
            for (number, own) in channels.iter_mut().enumerate() {
                let channel = ChannelId::for_tests(number as u32);
                share.received(channel, own, rate / 1000, from + MILLISECOND * at, TRIP);
            }
        }
    }

    #[test]
    fn the_product_and_some_slack_are_in_flight() {
        let start = Instant::now();
        let mut share = ReceiveShare::default();
        let mut channels = [Received::default()];
        assert_eq!(u64::from(share.limit(&channels[0], TRIP, false)), SLACK, "nothing is known");
        run(&mut share, &mut channels, 1_000_000, start, 1000);
        assert_eq!(u64::from(share.limit(&channels[0], TRIP, false)), SLACK + 125_000);
        assert_eq!(u64::from(share.limit(&channels[0], None, false)), SLACK + 1250);
        assert_eq!(u64::from(share.limit(&channels[0], TRIP, true)), PROBE);
    }

    #[test]
    fn bulk_channels_have_equal_parts_and_others_the_whole() {
        let start = Instant::now();
        let mut share = ReceiveShare::default();
        let mut channels = [Received::default(); 4];
        run(&mut share, &mut channels, 250_000, start, 1000);
        for own in &channels {
            assert_eq!(u64::from(share.limit(own, TRIP, false)), (SLACK + 125_000) / 4);
        }
        assert_eq!(u64::from(share.limit(&Received::default(), TRIP, false)), SLACK + 125_000);
        assert_eq!(u64::from(share.limit(&channels[0], TRIP, true)), MIN_SHARE);
        // Those that have ended leave their parts to the others.
        run(&mut share, &mut channels[..1], 1_000_000, start + MILLISECOND * 1000, 500);
        assert_eq!(u64::from(share.limit(&channels[0], TRIP, false)), SLACK + 125_000);
    }

    /// Packets of the size of a channel's part, one channel after the other.
    #[test]
    fn each_of_several_channels_on_a_slow_path_has_its_part() {
        for (rate, length) in [(250_000, 16_384), (625_000, 16_384), (625_000, 8192)] {
            let start = Instant::now();
            let mut share = ReceiveShare::default();
            let mut channels = [Received::default(); 4];
            for packet in 0..200 {
                let number = packet as usize % channels.len();
                let now = start + Duration::from_secs(1) * packet * length / rate;
                let channel = ChannelId::for_tests(number as u32);
                share.received(channel, &mut channels[number], length.into(), now, None);
                if packet < 50 {
                    continue;
                }
                let all: u64 =
                    channels.iter().map(|own| u64::from(share.limit(own, None, false))).sum();
                assert!(all < SLACK + SLACK / 4, "{all} at {rate} bytes a second, packet {packet}");
            }
        }
    }

    #[test]
    fn the_rate_follows_bulk_data_and_not_pauses() {
        let start = Instant::now();
        let mut share = ReceiveShare::default();
        let mut channels = [Received::default()];
        run(&mut share, &mut channels, 1_000_000, start, 1000);
        let rate = share.rate;
        // Small messages for ten seconds.
        run(&mut share, &mut channels, 1000, start + MILLISECOND * 1000, 10_000);
        assert!(share.rate > rate / 2, "{} of {rate}", share.rate);
        run(&mut share, &mut channels, 100_000, start + MILLISECOND * 12_000, 10_000);
        assert!(share.rate < rate / 5, "{} of {rate}", share.rate);
    }
}
