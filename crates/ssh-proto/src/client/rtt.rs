//! Round-trip time to the server.
//!
//! It is measured by a global request: the round trip of the socket's own TCP ends at a proxy or a
//! jump host. A reply queues behind the data in flight, so the minimum of several counts.

use std::time::{Duration, Instant};

use super::Client;
use crate::connection::channel::ChannelId;

/// The time between two measurements.
const INTERVAL: Duration = Duration::from_secs(1);
/// The length of a period. A minimum counts for one to two of them, as a path may become slower.
const PERIOD: Duration = Duration::from_secs(60);

/// Minimum of the round trips of the last periods.
#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    /// The number of the request whose reply is awaited, and when it was sent.
    awaited: Option<(u64, Instant)>,
    /// Whether it was sent with little in flight: then the sample is exact, not an upper bound.
    undisturbed: bool,
    /// When the last request was sent.
    last: Option<Instant>,
    /// When the current period began.
    since: Option<Instant>,
    /// The minimum of the current period, and of the previous one.
    current: Option<Duration>,
    previous: Option<Duration>,
}

impl RoundTrip {
    /// Returns the minimum, if there was a measurement.
    pub(super) fn min(&self) -> Option<Duration> {
        self.current.into_iter().chain(self.previous).min()
    }

    fn is_due(&self, now: Instant) -> bool {
        let rested = self.last.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL);
        self.awaited.is_none() && rested
    }

    fn sent(&mut self, number: u64, now: Instant) {
        self.awaited = Some((number, now));
        self.last = Some(now);
        self.undisturbed = false;
    }

    /// Drops the measurement in progress, after a pause of the process.
    pub(super) fn resumed(&mut self) {
        self.awaited = None;
    }

    /// Handles the reply to the request of this number. Returns whether the sample is exact.
    fn replied(&mut self, number: u64, now: Instant) -> bool {
        let Some((_, sent)) = self.awaited.take_if(|(awaited, _)| *awaited == number) else {
            return false;
        };
        let sample = now.saturating_duration_since(sent);
        if self.undisturbed {
            (self.since, self.current, self.previous) = (Some(now), Some(sample), None);
            return true;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= PERIOD {
            self.previous = self.current.take();
            self.since = Some(now);
        }
        self.current = Some(self.current.map_or(sample, |min| min.min(sample)));
        false
    }
}

impl Client {
    /// Returns the minimum round-trip time of the last one or two minutes, if it was measured.
    pub fn round_trip(&self) -> Option<Duration> {
        self.rtt.min()
    }

    /// Records that a small message was sent on a channel, whose answer must not wait behind bulk
    /// data of others. Until some seconds after the answer, that has no more in flight than the path
    /// carries in one round trip and a little more, in both directions.
    pub fn asked(&mut self, channel: ChannelId, now: Instant) {
        self.channels.asked(channel, now, self.rtt.min());
        self.measure_if_drained(now);
    }

    /// Records the time for commands that take none: channels that are opened now get windows for
    /// it.
    pub fn set_clock(&mut self, now: Instant) {
        self.channels.set_clock(now, self.rtt.min());
    }

    /// Records that somebody asks beyond the end of a channel.
    pub fn asked_through(&mut self, now: Instant) {
        self.channels.asked_through(now, self.rtt.min());
        self.measure_if_drained(now);
    }

    /// Returns whether somebody asks.
    pub fn is_asked(&self, now: Instant) -> bool {
        self.channels.is_asked(now)
    }

    /// Returns whether bulk data of a channel is restrained, because another one has asked.
    pub fn is_restrained(&self, channel: ChannelId, now: Instant) -> bool {
        self.channels.restrains(channel, now)
    }

    /// Returns whether bulk data should wait, so that the round trip can be measured.
    pub fn is_draining(&self, now: Instant) -> bool {
        self.channels.is_draining(now)
    }

    /// Measures the round trip once bulk data has made room for that.
    pub(super) fn measure_if_drained(&mut self, now: Instant) {
        let may_measure = self.channels.is_draining(now) && self.rtt.awaited.is_none();
        if may_measure && self.may_measure() && self.channels.is_drained() {
            let number = self.send_keepalive(now);
            self.rtt.sent(number, now);
            self.rtt.undisturbed = true;
        }
    }

    /// Handles the reply to a request, received last.
    pub(super) fn round_trip_ended(&mut self, number: u64) {
        let Some(now) = self.keepalive.last_received() else { return };
        if self.rtt.replied(number, now) {
            self.channels.pacing().measured(now);
        }
    }

    /// Returns whether a request would be sent and replied to at once. It would wait during a key
    /// exchange, and beside other requests it would be unclear which reply is whose.
    fn may_measure(&self) -> bool {
        self.is_connected() && self.keys.are_settled() && self.requests.are_settled()
    }

    /// Starts a measurement if it is time.
    pub(super) fn measure_round_trip(&mut self, now: Instant) {
        if self.may_measure() && self.rtt.is_due(now) {
            let number = self.send_keepalive(now);
            self.rtt.sent(number, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn the_minimum_counts_and_is_forgotten_slowly() {
        let start = Instant::now();
        let mut rtt = RoundTrip::default();
        let mut sample = |second: u64, delay: u32| {
            let now = start + Duration::from_secs(second);
            assert!(rtt.is_due(now));
            rtt.sent(second, now);
            rtt.replied(second, now + MILLISECOND * delay);
            rtt.min()
        };
        assert_eq!(sample(1, 50), Some(MILLISECOND * 50));
        assert_eq!(sample(2, 20), Some(MILLISECOND * 20));
        assert_eq!(sample(3, 90), Some(MILLISECOND * 20));
        assert_eq!(sample(62, 90), Some(MILLISECOND * 20), "it is of the previous period");
        assert_eq!(sample(121, 80), Some(MILLISECOND * 20));
        assert_eq!(sample(123, 100), Some(MILLISECOND * 80));
    }

    #[test]
    fn an_exact_sample_replaces_all_others() {
        let now = Instant::now();
        let mut rtt = RoundTrip::default();
        rtt.sent(1, now);
        assert!(!rtt.replied(1, now + MILLISECOND));
        rtt.sent(2, now);
        rtt.undisturbed = true;
        assert!(rtt.replied(2, now + MILLISECOND * 5));
        assert_eq!(rtt.min(), Some(MILLISECOND * 5));
    }

    #[test]
    fn measures_once_a_second_and_one_at_a_time() {
        let start = Instant::now();
        let mut rtt = RoundTrip::default();
        rtt.sent(7, start);
        assert!(!rtt.is_due(start + INTERVAL * 10), "the answer is missing");
        rtt.replied(6, start + MILLISECOND);
        assert_eq!(rtt.min(), None, "it was to another request");
        rtt.replied(7, start + MILLISECOND);
        assert_eq!(rtt.min(), Some(MILLISECOND));
        assert!(!rtt.is_due(start + INTERVAL - MILLISECOND));
        assert!(rtt.is_due(start + INTERVAL));
    }
}
