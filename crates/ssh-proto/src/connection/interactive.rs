//! Whether somebody asks: small messages are sent whose answers must not wait behind bulk data.
//!
//! While that is so, bulk data of other channels keeps the queues on its way short, in both
//! directions. It is so while a request is unanswered, and some seconds longer, because the next
//! request would otherwise find the queues full. Bulk data alone is never restrained.

use std::time::{Duration, Instant};

use super::channel::ChannelId;

/// How long it lasts after the last request or answer.
const HOLD: Duration = Duration::from_secs(10);
/// How long an answer may take. Some requests never get one.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The channels that have asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Askers {
    #[default]
    None,
    One(ChannelId),
    Several,
}

/// Finds out whether somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Interactive {
    askers: Askers,
    /// How many channels wait for an answer.
    unanswered: usize,
    /// When the last request was sent.
    asked: Option<Instant>,
    /// When the last request was sent or answered.
    active: Option<Instant>,
}

impl Interactive {
    /// Records a request; `waited` says whether the channel was waiting for an answer before.
    pub(crate) fn asked(&mut self, channel: ChannelId, waited: bool, now: Instant) {
        let before = if self.is_on(now) { self.askers } else { Askers::None };
        self.askers = match before {
            Askers::None => Askers::One(channel),
            Askers::One(other) if other == channel => before,
            Askers::One(_) | Askers::Several => Askers::Several,
        };
        self.unanswered += usize::from(!waited);
        (self.asked, self.active) = (Some(now), Some(now));
    }

    /// Records that some have asked whose answers do not show.
    pub(crate) fn asked_by_several(&mut self, now: Instant) {
        self.askers = Askers::Several;
        (self.asked, self.active) = (Some(now), Some(now));
    }

    /// Records that a channel got its answer, or that it was closed, which has no time.
    pub(crate) fn answered(&mut self, now: Option<Instant>) {
        self.unanswered -= 1;
        self.active = now.or(self.active);
    }

    /// Returns when it ends, unless something changes.
    pub(crate) fn end(&self) -> Option<Instant> {
        let held = self.active? + HOLD;
        if self.unanswered == 0 { Some(held) } else { Some(held.max(self.asked? + MAX_WAIT)) }
    }

    /// Returns whether somebody asks.
    pub(crate) fn is_on(&self, now: Instant) -> bool {
        self.end().is_some_and(|end| now < end)
    }

    /// Returns whether bulk data of this channel is restrained: some other channel asks.
    pub(crate) fn restrains(&self, channel: ChannelId, now: Instant) -> bool {
        self.is_on(now) && self.askers != Askers::One(channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn lasts_some_seconds_after_the_last_answer() {
        let (asker, bulk) = (ChannelId::for_tests(1), ChannelId::for_tests(2));
        let start = Instant::now();
        let mut interactive = Interactive::default();
        assert!(!interactive.restrains(bulk, start) && interactive.end().is_none());
        interactive.asked(asker, false, start);
        interactive.answered(Some(start + SECOND));
        assert!(interactive.restrains(bulk, start + HOLD));
        assert_eq!(interactive.end(), Some(start + SECOND + HOLD));
        assert!(!interactive.restrains(bulk, start + SECOND + HOLD));
    }

    #[test]
    fn does_not_end_before_an_answer() {
        let (asker, bulk) = (ChannelId::for_tests(1), ChannelId::for_tests(2));
        let start = Instant::now();
        let mut interactive = Interactive::default();
        interactive.asked(asker, false, start);
        assert!(interactive.restrains(bulk, start + MAX_WAIT - SECOND));
        assert!(!interactive.restrains(bulk, start + MAX_WAIT), "it may never come");
        interactive.asked(asker, true, start + HOLD * 2);
        interactive.answered(Some(start + HOLD * 3));
        assert!(interactive.restrains(bulk, start + HOLD * 4 - SECOND));
        assert!(!interactive.restrains(bulk, start + HOLD * 4));
    }

    #[test]
    fn a_channel_that_asks_alone_is_free() {
        let (asker, bulk) = (ChannelId::for_tests(1), ChannelId::for_tests(2));
        let start = Instant::now();
        let mut interactive = Interactive::default();
        interactive.asked(asker, false, start);
        assert!(interactive.is_on(start) && !interactive.restrains(asker, start));
        interactive.asked(bulk, false, start + SECOND);
        assert!(interactive.restrains(asker, start + SECOND));
        interactive.answered(Some(start + SECOND));
        interactive.answered(None);
        let later = start + HOLD * 2;
        interactive.asked(bulk, false, later);
        assert!(!interactive.restrains(bulk, later), "the others are forgotten");
        assert!(interactive.restrains(asker, later));
    }
}
