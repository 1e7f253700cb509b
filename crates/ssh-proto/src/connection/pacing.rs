//! How much channel data may be under way to the server while small messages are to get through.
//!
//! All channels share one stream: what one of them has put on its way, the others wait behind, up
//! to a whole window of the server. Alone, bulk data may fill that window. Beside requests it is
//! held to what the path takes in one round trip and a little more. That costs it some of its rate,
//! up to a quarter where both ends share their cores, and spares each request most of its wait.

use std::time::{Duration, Instant};

use crate::connection::channel::ChannelId;

/// For how long one small message says that there will be others.
const FAVOUR: Duration = Duration::from_secs(1);
/// Credit comes in portions: so much of what a channel has sent may have been used up long ago.
/// OpenSSH gives it for every 96 KiB.
const PORTION: u64 = 128 * 1024;
/// What may be under way beyond the bandwidth-delay product.
const SLACK: u64 = 16 * 1024;
/// What comes in less time says more about the reads than about the path.
const SHORTEST_EPOCH: Duration = Duration::from_millis(5);
/// For how long a round trip counts that was measured with little under way. One that was measured
/// behind our own data is too long, and would let ever more of it under way.
const FRESH: Duration = Duration::from_secs(60);
/// A server from which no credit comes for so long, beside four round trips, gives it in larger
/// portions than we would wait for.
const PATIENCE: Duration = Duration::from_millis(50);

/// Holds bulk data back.
#[derive(Debug, Default)]
pub(crate) struct Pacing {
    /// While this has not come, small messages are favoured.
    until: Option<Instant>,
    /// What is under way on all channels for certain.
    in_flight: u64,
    /// Credit of all channels since the epoch began.
    epoch: Option<(Instant, u64)>,
    /// Bytes a second that the server uses up: a maximum that fades.
    rate: u64,
    /// Channels that were told to wait.
    held: Vec<ChannelId>,
    /// When to give up hope for credit to one of them, and how long that was waited for.
    patience: Option<Instant>,
    wait: Duration,
    /// The server gives credit too seldom.
    hopeless: bool,
    /// When the round trip was last measured with little under way.
    measured: Option<Instant>,
    /// Whether it is to be measured again, which takes a moment without bulk.
    draining: bool,
}

impl Pacing {
    /// A small message was sent.
    pub(crate) fn favour(&mut self, now: Instant, round_trip: Option<Duration>) {
        if self.hopeless || round_trip.is_none() {
            return;
        }
        self.until = Some(now + FAVOUR);
        let fresh = |measured| now.saturating_duration_since(measured) < FRESH;
        self.draining |= !self.measured.is_some_and(fresh);
    }

    /// Whether the round trip can be measured that waits to be.
    pub(crate) fn is_drained(&self) -> bool {
        self.draining && self.in_flight <= SLACK
    }

    /// The round trip was measured.
    pub(crate) fn measured(&mut self, now: Instant) {
        self.measured = Some(now);
        self.draining = false;
    }

    /// When to call [`Pacing::expire`].
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.until.into_iter().chain(self.patience).min()
    }

    /// Ends the restraint if its time is over; those who may go on then.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<ChannelId> {
        self.hopeless |= self.patience.is_some_and(|limit| limit <= now);
        if !self.hopeless && self.until.is_none_or(|until| until > now) {
            return Vec::new();
        }
        self.until = None;
        self.patience = None;
        std::mem::take(&mut self.held)
    }

    /// The process was paused: credit that was on its way has its full time again.
    pub(crate) fn resumed(&mut self, now: Instant) {
        self.patience = self.patience.map(|_| now + self.wait);
        // What came meanwhile came in no time, and in all of the pause.
        self.epoch = None;
    }

    /// How much a channel may send that has sent `own` bytes without credit for them.
    pub(crate) fn room(&self, own: u64, round_trip: Option<Duration>) -> u64 {
        let Some(round_trip) = round_trip.filter(|_| self.until.is_some()) else {
            return u64::MAX;
        };
        let round_trip = if self.draining { Duration::ZERO } else { round_trip };
        let product = u128::from(self.rate) * round_trip.as_nanos() / 1_000_000_000;
        let limit = SLACK.saturating_add(u64::try_from(product).unwrap_or(u64::MAX));
        limit.saturating_sub(self.in_flight) + PORTION.saturating_sub(own)
    }

    /// The channel was told that it has no room.
    pub(crate) fn hold(&mut self, channel: ChannelId, now: Instant, round_trip: Option<Duration>) {
        if !self.held.contains(&channel) {
            self.held.push(channel);
        }
        self.wait = PATIENCE + 4 * round_trip.unwrap_or_default();
        self.patience.get_or_insert(now + self.wait);
    }

    /// What a channel has sent without credit for it has become `now` bytes and was `before`.
    pub(crate) fn sent(&mut self, before: u64, now: u64) {
        let counted = |own: u64| own.saturating_sub(PORTION);
        self.in_flight = (self.in_flight + counted(now)).saturating_sub(counted(before));
    }

    /// The channel is gone, with what it had under way.
    pub(crate) fn closed(&mut self, channel: ChannelId, own: u64) {
        self.held.retain(|held| *held != channel);
        self.sent(own, 0);
        if self.held.is_empty() {
            self.patience = None;
        }
    }

    /// Credit has come for a channel; whether it waited for that.
    pub(crate) fn credited(&mut self, channel: ChannelId, count: u64, now: Instant) -> bool {
        let (since, bytes) = self.epoch.get_or_insert((now, 0));
        *bytes += count;
        let elapsed = now.saturating_duration_since(*since);
        if elapsed >= SHORTEST_EPOCH {
            let sample = u128::from(*bytes) * 1_000_000_000 / elapsed.as_nanos();
            let sample = u64::try_from(sample).unwrap_or(u64::MAX);
            self.rate = sample.max(self.rate - self.rate / 8);
            self.epoch = Some((now, 0));
        }
        let Some(place) = self.held.iter().position(|held| *held == channel) else { return false };
        self.held.swap_remove(place);
        // For those that are still held the wait begins anew.
        self.patience = (!self.held.is_empty()).then(|| now + self.wait);
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
    fn bulk_alone_is_not_held() {
        let mut pacing = pacing(Instant::now());
        pacing.sent(0, 100 * MIB);
        assert_eq!(pacing.room(100 * MIB, TRIP), u64::MAX);
        assert_eq!(pacing.timeout(), None);
    }

    #[test]
    fn beside_small_messages_a_round_trip_is_under_way() {
        let now = Instant::now();
        let mut pacing = pacing(now);
        pacing.favour(now, TRIP);
        let room = pacing.room(0, TRIP);
        assert_eq!(room, PORTION + SLACK + MIB);
        pacing.sent(0, room);
        assert_eq!(pacing.room(room, TRIP), 0);
        assert_eq!(pacing.room(10, TRIP), PORTION - 10, "what needs no credit always has room");
        pacing.sent(room, room - 1000);
        assert_eq!(pacing.room(room, TRIP), 1000);
        assert_eq!(pacing.timeout(), Some(now + FAVOUR));
        assert!(pacing.expire(now + FAVOUR - MILLISECOND).is_empty());
        assert_eq!(pacing.room(room, TRIP), 1000);
        pacing.hold(channel(), now + FAVOUR - MILLISECOND, TRIP);
        assert_eq!(pacing.expire(now + FAVOUR), [channel()]);
        assert_eq!((pacing.room(room, TRIP), pacing.timeout()), (u64::MAX, None));
    }

    #[test]
    fn what_waits_for_its_portion_is_not_under_way() {
        let mut pacing = pacing(Instant::now());
        for _ in 0..1000 {
            pacing.sent(0, PORTION);
        }
        assert_eq!(pacing.in_flight, 0);
        pacing.sent(PORTION, 3 * PORTION);
        pacing.closed(channel(), 3 * PORTION);
        assert_eq!(pacing.in_flight, 0);
    }

    #[test]
    fn a_round_trip_that_is_old_is_measured_without_bulk() {
        let now = Instant::now();
        let mut pacing = pacing(now);
        let own = PORTION + SLACK + 1;
        pacing.sent(0, own);
        pacing.favour(now + FRESH - MILLISECOND, TRIP);
        assert!(pacing.room(own, TRIP) > 0);
        pacing.favour(now + FRESH, TRIP);
        assert_eq!(pacing.room(own, TRIP), 0);
        assert!(!pacing.is_drained());
        pacing.sent(own, own - 1);
        assert!(pacing.is_drained());
        pacing.measured(now + FRESH);
        assert!(!pacing.is_drained());
        assert!(pacing.room(own - 1, TRIP) > 0);
    }

    #[test]
    fn nobody_is_held_without_a_round_trip() {
        let now = Instant::now();
        let mut pacing = pacing(now);
        pacing.favour(now, None);
        assert_eq!(pacing.timeout(), None);
        assert_eq!(pacing.room(10 * MIB, None), u64::MAX);
    }

    #[test]
    fn a_server_that_gives_credit_seldom_is_not_waited_for() {
        let now = Instant::now();
        let mut pacing = pacing(now);
        pacing.favour(now, TRIP);
        pacing.hold(channel(), now, TRIP);
        let limit = now + PATIENCE + 4 * MILLISECOND;
        assert_eq!(pacing.timeout(), Some(limit));
        assert!(pacing.expire(limit - MILLISECOND).is_empty());
        assert!(pacing.credited(channel(), 1, limit - MILLISECOND), "it waited for that");
        assert!(!pacing.credited(channel(), 1, limit - MILLISECOND));

        pacing.hold(channel(), limit, TRIP);
        assert!(pacing.expire(limit).is_empty(), "the wait began anew");
        assert_eq!(pacing.expire(limit + PATIENCE + 4 * MILLISECOND), [channel()]);
        assert_eq!(pacing.room(10 * MIB, TRIP), u64::MAX);
        pacing.favour(limit + 2 * FAVOUR, TRIP);
        assert_eq!(pacing.timeout(), None, "never again in this session");
    }

    #[test]
    fn nobody_waits_for_ever_while_others_come_and_go() {
        let now = Instant::now();
        let mut pacing = pacing(now);
        let other = ChannelId::for_tests(4);
        pacing.favour(now, TRIP);
        pacing.hold(channel(), now, TRIP);
        pacing.hold(other, now, TRIP);
        let limit = now + PATIENCE + 4 * MILLISECOND;
        pacing.closed(ChannelId::for_tests(5), 0);
        assert_eq!(pacing.timeout(), Some(limit), "that of another says nothing");
        assert!(pacing.credited(other, 1, now + MILLISECOND));
        assert_eq!(pacing.timeout(), Some(limit + MILLISECOND), "one is still held");
        pacing.closed(channel(), 0);
        assert_eq!(pacing.timeout(), Some(now + FAVOUR));
    }

    #[test]
    fn the_rate_fades_and_follows() {
        let now = Instant::now();
        let mut pacing = pacing(now);
        let before = pacing.rate;
        pacing.credited(channel(), 0, now + 20 * MILLISECOND);
        assert_eq!(pacing.rate, before - before / 8);
        pacing.credited(channel(), 100 * MIB, now + 30 * MILLISECOND);
        assert!(pacing.rate > 9 * before);
    }
}
