//! How long a question to the server and its answer are under way.
//!
//! It is measured in SSH, by a global request: what the socket's own TCP knows ends at a proxy or
//! a jump host. An answer queues behind the data that is under way, so only the least of several
//! counts.

use std::time::{Duration, Instant};

use super::Client;

/// The least time between two questions.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long at least the least round trip is remembered, and half of how long at most while
/// answers come: a path may change for the worse.
const MEMORY: Duration = Duration::from_secs(60);

/// What is known of the round trip.
#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    /// The number of the request that waits for its answer, and when it was sent.
    asked: Option<(u64, Instant)>,
    /// Whether it was sent when little was under way: then the answer is the truth, not a bound.
    undisturbed: bool,
    /// When the last one was sent.
    last: Option<Instant>,
    /// When the present stretch of memory began.
    since: Option<Instant>,
    /// The least of the present stretch, and of the one before.
    present: Option<Duration>,
    before: Option<Duration>,
}

impl RoundTrip {
    /// The least of late, if any is known.
    pub(super) fn least(&self) -> Option<Duration> {
        self.present.into_iter().chain(self.before).min()
    }

    fn is_due(&self, now: Instant) -> bool {
        let rested = self.last.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL);
        self.asked.is_none() && rested
    }

    fn asked(&mut self, number: u64, now: Instant) {
        self.asked = Some((number, now));
        self.last = Some(now);
        self.undisturbed = false;
    }

    /// The process was paused: an answer under way tells nothing of the path.
    pub(super) fn resumed(&mut self) {
        self.asked = None;
    }

    /// The request of this number was answered. Returns whether it was the undisturbed one.
    pub(super) fn answered(&mut self, number: u64, now: Instant) -> bool {
        let Some((_, sent)) = self.asked.take_if(|(asked, _)| *asked == number) else {
            return false;
        };
        let sample = now.saturating_duration_since(sent);
        if self.undisturbed {
            (self.since, self.present, self.before) = (Some(now), Some(sample), None);
            return true;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= MEMORY {
            self.before = self.present.take();
            self.since = Some(now);
        }
        self.present = Some(self.present.map_or(sample, |least| least.min(sample)));
        false
    }
}

impl Client {
    /// The least time of late that a question to the server and its answer took, if one was
    /// answered.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.least()
    }

    /// A small message was sent on some channel, for which others are not to wait long: for a second
    /// from `now` on, channels that send in bulk have no more under way than the path takes in one
    /// round trip and a little. No effect while the round trip is not known.
    pub fn favour_small(&mut self, now: Instant) {
        let pacing = self.channels.pacing();
        pacing.favour(now, self.round_trip.least());
        let asks = pacing.is_drained() && self.round_trip.asked.is_none();
        if asks && self.may_measure() {
            let number = self.ask_alive(now);
            self.round_trip.asked(number, now);
            self.round_trip.undisturbed = true;
        }
    }

    /// A request was answered by what was received last.
    pub(super) fn answered(&mut self, number: u64) {
        let Some(heard) = self.watch.last_heard() else { return };
        if self.round_trip.answered(number, heard) {
            self.channels.pacing().measured(heard);
        }
    }

    /// Whether a question would be sent and answered at once. It would wait while keys are being
    /// changed, and leave doubt which answer is whose beside other requests.
    fn may_measure(&self) -> bool {
        self.is_connected() && self.keys.are_settled() && self.requests.are_settled()
    }

    /// Asks again if it is time.
    pub(super) fn measure(&mut self, now: Instant) {
        if self.may_measure() && self.round_trip.is_due(now) {
            let number = self.ask_alive(now);
            self.round_trip.asked(number, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn the_least_counts_and_is_forgotten_slowly() {
        let start = Instant::now();
        let mut round_trip = RoundTrip::default();
        let mut sample = |second: u64, delay: u32| {
            let now = start + Duration::from_secs(second);
            assert!(round_trip.is_due(now));
            round_trip.asked(second, now);
            round_trip.answered(second, now + MILLISECOND * delay);
            round_trip.least()
        };
        assert_eq!(sample(1, 50), Some(MILLISECOND * 50));
        assert_eq!(sample(2, 20), Some(MILLISECOND * 20));
        assert_eq!(sample(3, 90), Some(MILLISECOND * 20));
        assert_eq!(sample(62, 90), Some(MILLISECOND * 20), "it is of the stretch before");
        assert_eq!(sample(121, 80), Some(MILLISECOND * 20));
        assert_eq!(sample(123, 100), Some(MILLISECOND * 80));
    }

    #[test]
    fn an_undisturbed_answer_replaces_all_others() {
        let now = Instant::now();
        let mut round_trip = RoundTrip::default();
        round_trip.asked(1, now);
        assert!(!round_trip.answered(1, now + MILLISECOND));
        round_trip.asked(2, now);
        round_trip.undisturbed = true;
        assert!(round_trip.answered(2, now + MILLISECOND * 5));
        assert_eq!(round_trip.least(), Some(MILLISECOND * 5));
    }

    #[test]
    fn asks_once_a_second_and_one_thing_at_a_time() {
        let start = Instant::now();
        let mut round_trip = RoundTrip::default();
        round_trip.asked(7, start);
        assert!(!round_trip.is_due(start + INTERVAL * 10), "the answer is missing");
        round_trip.answered(6, start + MILLISECOND);
        assert_eq!(round_trip.least(), None, "it was to another request");
        round_trip.answered(7, start + MILLISECOND);
        assert_eq!(round_trip.least(), Some(MILLISECOND));
        assert!(!round_trip.is_due(start + INTERVAL - MILLISECOND));
        assert!(round_trip.is_due(start + INTERVAL));
    }
}
