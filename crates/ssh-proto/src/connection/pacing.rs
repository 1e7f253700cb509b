//! Pacing: how much channel data the server may have before it while somebody asks.
//!
//! All channels share one stream: what one of them has in flight delays the others, up to a whole
//! window of the server. The driver bounds what waits in this machine and on its connection; what
//! waits behind that, in a relay or because the server is busy, shows in the credit of the server
//! alone. While somebody asks, it is limited to what the server reads in one round trip and a little
//! more. Credit comes in large portions, so this is the coarser of the two bounds.

use std::time::{Duration, Instant};

use super::channel::ChannelId;
use super::receive_window::scale;

/// Credit comes in portions: this much of what a channel has sent may have been read long ago.
/// OpenSSH gives credit for every 96 KiB.
const PORTION: u64 = 128 * 1024;
/// Bytes that may be in flight beyond the bandwidth-delay product.
const SLACK: u64 = 16 * 1024;
/// Shorter epochs say more about the reads than about the path.
const MIN_EPOCH: Duration = Duration::from_millis(5);
/// How long a round trip counts that was measured with little in flight. One that was measured
/// behind our own data is too long, and would let ever more data in flight.
const FRESH: Duration = Duration::from_secs(60);
/// The longest that bulk data waits so that the round trip can be measured.
const MAX_DRAIN: Duration = Duration::from_secs(1);
/// Time without credit, in addition to four round trips, after which pacing is given up: the server
/// gives credit in portions too large to wait for. On a link of 1 Mbit/s a portion takes a second.
const MAX_WAIT: Duration = Duration::from_millis(1500);

/// Limits the channel data in flight.
#[derive(Debug, Default)]
pub(crate) struct Pacing {
    /// Bytes in flight on all channels, as far as it is certain.
    in_flight: u64,
    /// Credit of all channels since the epoch began.
    epoch: Option<(Instant, u64)>,
    /// Bytes a second that the server reads: a decaying maximum.
    rate: u64,
    /// Channels that wait until they may send.
    held: Vec<ChannelId>,
    /// When the wait for credit for one of them ends, and how long it was.
    wait_until: Option<Instant>,
    wait: Duration,
    /// The server gives credit too seldom.
    given_up: bool,
    /// When the round trip was last measured with little in flight, or an attempt at that began.
    measured: Option<Instant>,
    /// Until when bulk data waits so that it can be measured.
    draining: Option<Instant>,
}

impl Pacing {
    /// Begins to measure the round trip if that was long ago: somebody asks.
    pub(crate) fn begin(&mut self, now: Instant, round_trip: Option<Duration>) {
        let fresh = |measured| now.saturating_duration_since(measured) < FRESH;
        if round_trip.is_some() && !self.measured.is_some_and(fresh) {
            self.measured = Some(now);
            self.draining = Some(now + MAX_DRAIN);
        }
    }

    /// Returns whether bulk data waits so that the round trip can be measured.
    pub(crate) fn is_draining(&self, now: Instant) -> bool {
        self.draining.is_some_and(|until| now < until)
    }

    /// Returns whether little enough is in flight to the server for that.
    pub(crate) fn is_drained(&self) -> bool {
        self.in_flight <= SLACK
    }

    /// Records that the round trip was measured.
    pub(crate) fn measured(&mut self, now: Instant) {
        self.measured = Some(now);
        self.draining = None;
    }

    /// Returns when [`Pacing::expire`] is due; `end` is when nobody will ask any more.
    pub(crate) fn timeout(&self, end: Option<Instant>) -> Option<Instant> {
        if self.held.is_empty() { None } else { self.wait_until.into_iter().chain(end).min() }
    }

    /// Returns the channels that may send because their wait is over, or because nobody asks.
    pub(crate) fn expire(&mut self, now: Instant, asking: bool) -> Vec<ChannelId> {
        self.given_up |= self.wait_until.is_some_and(|limit| limit <= now);
        if !self.given_up && asking {
            return Vec::new();
        }
        self.wait_until = None;
        std::mem::take(&mut self.held)
    }

    /// Restarts the wait for credit after a pause of the process.
    pub(crate) fn resumed(&mut self, now: Instant) {
        self.wait_until = self.wait_until.map(|_| now + self.wait);
        // The pause would count into the rate.
        self.epoch = None;
    }

    /// Returns how much a channel may send that has `own` bytes in flight, while somebody asks.
    pub(crate) fn room(&self, own: u64, now: Instant, round_trip: Option<Duration>) -> u64 {
        let Some(round_trip) = round_trip.filter(|_| !self.given_up) else {
            return u64::MAX;
        };
        let round_trip = if self.is_draining(now) { Duration::ZERO } else { round_trip };
        let limit = SLACK.saturating_add(scale(self.rate, round_trip, Duration::from_secs(1)));
        limit.saturating_sub(self.in_flight) + PORTION.saturating_sub(own)
    }

    /// Has a channel wait for credit.
    pub(crate) fn hold(&mut self, channel: ChannelId, now: Instant, round_trip: Option<Duration>) {
        if !self.held.contains(&channel) {
            self.held.push(channel);
        }
        self.wait = MAX_WAIT + 4 * round_trip.unwrap_or_default();
        self.wait_until.get_or_insert(now + self.wait);
    }

    /// Records that the bytes in flight on a channel have changed.
    pub(crate) fn in_flight_changed(&mut self, before: u64, after: u64) {
        let counted = |own: u64| own.saturating_sub(PORTION);
        self.in_flight = (self.in_flight + counted(after)).saturating_sub(counted(before));
    }

    /// Removes a channel that had `own` bytes in flight.
    pub(crate) fn closed(&mut self, channel: ChannelId, own: u64) {
        self.held.retain(|held| *held != channel);
        self.in_flight_changed(own, 0);
        if self.held.is_empty() {
            self.wait_until = None;
        }
    }

    /// Records `count` bytes of credit for a channel; returns whether the channel waited for it.
    pub(crate) fn credited(&mut self, channel: ChannelId, count: u64, now: Instant) -> bool {
        let (since, bytes) = self.epoch.get_or_insert((now, 0));
        *bytes += count;
        let elapsed = now.saturating_duration_since(*since);
        if elapsed >= MIN_EPOCH {
            let sample = scale(*bytes, Duration::from_secs(1), elapsed);
            self.rate = sample.max(self.rate - self.rate / 8);
            self.epoch = Some((now, 0));
        }
        let Some(at) = self.held.iter().position(|held| *held == channel) else { return false };
        self.held.swap_remove(at);
        // The wait of the others starts over.
        self.wait_until = (!self.held.is_empty()).then(|| now + self.wait);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);
    const TRIP: Option<Duration> = Some(MILLISECOND);
    const MIB: u64 = 1024 * 1024;

    fn channel() -> ChannelId {
        ChannelId::for_tests(3)
    }

    /// With a gibibyte a second and a round trip of a millisecond behind it.
    fn pacing(now: Instant) -> Pacing {
        let mut pacing = Pacing::default();
        pacing.credited(channel(), 0, now);
        pacing.credited(channel(), 10 * MIB, now + 10 * MILLISECOND);
        pacing.measured(now);
        pacing
    }

    #[test]
    fn one_round_trip_is_in_flight() {
        let now = Instant::now();
        let end = Some(now + FRESH);
        let mut pacing = pacing(now);
        pacing.begin(now, TRIP);
        let room = pacing.room(0, now, TRIP);
        assert_eq!(room, PORTION + SLACK + MIB);
        pacing.in_flight_changed(0, room);
        assert_eq!(pacing.room(room, now, TRIP), 0);
        assert_eq!(
            pacing.room(10, now, TRIP),
            PORTION - 10,
            "what needs no credit always has room"
        );
        pacing.in_flight_changed(room, room - 1000);
        assert_eq!(pacing.room(room, now, TRIP), 1000);
        assert_eq!(pacing.timeout(end), None, "nobody waits");
        pacing.hold(channel(), now, TRIP);
        assert_eq!(pacing.timeout(Some(now + MILLISECOND)), Some(now + MILLISECOND));
        assert!(pacing.expire(now + MILLISECOND, true).is_empty());
        assert_eq!(pacing.expire(now + MILLISECOND, false), [channel()]);
        assert_eq!(pacing.timeout(end), None);
    }

    #[test]
    fn data_that_waits_for_a_portion_is_not_in_flight() {
        let mut pacing = pacing(Instant::now());
        for _ in 0..1000 {
            pacing.in_flight_changed(0, PORTION);
        }
        assert_eq!(pacing.in_flight, 0);
        pacing.in_flight_changed(PORTION, 3 * PORTION);
        pacing.closed(channel(), 3 * PORTION);
        assert_eq!(pacing.in_flight, 0);
    }

    #[test]
    fn an_old_round_trip_is_measured_without_bulk_data() {
        let now = Instant::now();
        let mut pacing = pacing(now);
        let own = PORTION + SLACK + 1;
        pacing.in_flight_changed(0, own);
        pacing.begin(now + FRESH - MILLISECOND, TRIP);
        assert!(pacing.room(own, now + FRESH - MILLISECOND, TRIP) > 0);
        let now = now + FRESH;
        pacing.begin(now, TRIP);
        assert_eq!(pacing.room(own, now, TRIP), 0);
        assert!(!pacing.is_drained());
        pacing.in_flight_changed(own, own - 1);
        assert!(pacing.is_drained() && pacing.is_draining(now));
        pacing.measured(now);
        assert!(!pacing.is_draining(now));
        assert!(pacing.room(own - 1, now, TRIP) > 0);
    }

    #[test]
    fn bulk_data_does_not_wait_long_for_a_measurement() {
        let now = Instant::now();
        let mut pacing = Pacing::default();
        pacing.begin(now, None);
        assert!(!pacing.is_draining(now), "the first round trip is measured in any case");
        pacing.begin(now, TRIP);
        assert!(pacing.is_draining(now + MAX_DRAIN - MILLISECOND));
        pacing.begin(now + MAX_DRAIN, TRIP);
        assert!(!pacing.is_draining(now + MAX_DRAIN), "the next attempt is later");
    }

    #[test]
    fn without_a_round_trip_no_channel_is_held() {
        let now = Instant::now();
        let mut pacing = pacing(now);
        pacing.begin(now, None);
        assert_eq!(pacing.room(10 * MIB, now, None), u64::MAX);
    }

    #[test]
    fn pacing_ends_for_a_server_that_gives_credit_rarely() {
        let now = Instant::now();
        let end = Some(now + FRESH);
        let mut pacing = pacing(now);
        pacing.hold(channel(), now, TRIP);
        let limit = now + MAX_WAIT + 4 * MILLISECOND;
        assert_eq!(pacing.timeout(end), Some(limit));
        assert!(pacing.expire(limit - MILLISECOND, true).is_empty());
        assert!(pacing.credited(channel(), 1, limit - MILLISECOND), "it waited for that");
        assert!(!pacing.credited(channel(), 1, limit - MILLISECOND));

        pacing.hold(channel(), limit, TRIP);
        assert!(pacing.expire(limit, true).is_empty(), "the wait began anew");
        assert_eq!(pacing.expire(limit + MAX_WAIT + 4 * MILLISECOND, true), [channel()]);
        assert_eq!(pacing.room(10 * MIB, limit + FRESH, TRIP), u64::MAX, "never again");
    }

    #[test]
    fn the_wait_ends_while_other_channels_come_and_go() {
        let now = Instant::now();
        let end = Some(now + FRESH);
        let mut pacing = pacing(now);
        let other = ChannelId::for_tests(4);
        pacing.hold(channel(), now, TRIP);
        pacing.hold(other, now, TRIP);
        let limit = now + MAX_WAIT + 4 * MILLISECOND;
        pacing.closed(ChannelId::for_tests(5), 0);
        assert_eq!(pacing.timeout(end), Some(limit), "that of another says nothing");
        assert!(pacing.credited(other, 1, now + MILLISECOND));
        assert_eq!(pacing.timeout(end), Some(limit + MILLISECOND), "one is still held");
        pacing.closed(channel(), 0);
        assert_eq!(pacing.timeout(end), None);
    }

    #[test]
    fn the_rate_decays_and_follows() {
        let now = Instant::now();
        let mut pacing = pacing(now);
        let before = pacing.rate;
        pacing.credited(channel(), 0, now + 20 * MILLISECOND);
        assert_eq!(pacing.rate, before - before / 8);
        pacing.credited(channel(), 100 * MIB, now + 30 * MILLISECOND);
        assert!(pacing.rate > 9 * before);
    }

    #[test]
    fn a_pause_restarts_the_wait_for_credit() {
        let now = Instant::now();
        let later = now + FRESH;
        let mut pacing = pacing(now);
        pacing.resumed(later);
        assert_eq!(pacing.wait_until, None);
        pacing.hold(channel(), now, TRIP);
        pacing.credited(ChannelId::for_tests(4), 1, now);
        pacing.resumed(later);
        assert_eq!(pacing.wait_until, Some(later + MAX_WAIT + 4 * MILLISECOND));
        assert_eq!(pacing.epoch, None, "the pause would count into the rate");
    }
}
