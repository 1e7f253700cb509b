//! Whether somebody asks: small messages are sent whose answers must not wait behind bulk data.
//!
//! While that is so, bulk data of other channels keeps the queues on its way short, in both
//! directions. It is so while a request is unanswered, and some seconds longer, because the next
//! request would otherwise find the queues full. Bulk data alone is never restrained, nor is a
//! download by another one: a request that is answered by bulk data is none that waits behind it.

use std::time::{Duration, Instant};

/// How long it lasts after the last request or answer.
const HOLD: Duration = Duration::from_secs(10);
/// How long an answer may take. Some requests never get one.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Bytes of an answer to the only request of a channel that make it a download: bulk data itself.
const DOWNLOAD: u64 = 256 * 1024;

/// What a channel has asked.
#[derive(Debug, Default)]
pub(crate) struct Asker {
    /// The last period in which it has asked, and counts.
    period: u64,
    requests: u64,
    /// Bytes that have arrived since the last request.
    answer: u64,
    /// Whether nothing has arrived since the last request.
    awaits_answer: bool,
}

/// Finds out whether somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Interactive {
    /// The number of the period in which somebody asks, from 1 on.
    period: u64,
    /// How many channels ask in this period.
    askers: usize,
    /// Whether some ask beyond the end of a channel in this period, who may be several.
    beyond: bool,
    /// How many channels wait for an answer.
    unanswered: usize,
    /// When the last request was sent.
    asked: Option<Instant>,
    /// When the last request was sent or answered.
    active: Option<Instant>,
}

impl Interactive {
    /// Records a request of a channel.
    pub(crate) fn asked(&mut self, own: &mut Asker, now: Instant) {
        self.begin(now);
        if own.period != self.period {
            own.period = self.period;
            self.askers += 1;
        }
        own.requests += 1;
        own.answer = 0;
        self.unanswered += usize::from(!std::mem::replace(&mut own.awaits_answer, true));
    }

    /// Records that some have asked whose answers do not show.
    pub(crate) fn asked_beyond(&mut self, now: Instant) {
        self.begin(now);
        self.beyond = true;
    }

    /// Begins a period, unless one lasts.
    fn begin(&mut self, now: Instant) {
        if !self.is_on(now) {
            self.period += 1;
            (self.askers, self.beyond) = (0, false);
        }
        (self.asked, self.active) = (Some(now), Some(now));
    }

    /// Records `count` bytes that have arrived on a channel.
    pub(crate) fn arrived(&mut self, own: &mut Asker, count: u64, now: Instant) {
        if std::mem::take(&mut own.awaits_answer) {
            self.unanswered -= 1;
            self.active = Some(now);
        }
        if own.requests != 1 || own.answer >= DOWNLOAD {
            return;
        }
        own.answer += count;
        if own.answer >= DOWNLOAD && own.period == self.period {
            own.period = 0;
            self.askers -= 1;
        }
    }

    /// Records that a channel is gone. What it has asked counts until the period ends.
    pub(crate) fn closed(&mut self, own: &Asker) {
        self.unanswered -= usize::from(own.awaits_answer);
    }

    /// Returns when it ends, unless something changes.
    pub(crate) fn end(&self) -> Option<Instant> {
        let active = self.active?;
        if self.askers == 0 && !self.beyond {
            return Some(active);
        }
        let held = active + HOLD;
        if self.unanswered == 0 { Some(held) } else { Some(held.max(self.asked? + MAX_WAIT)) }
    }

    /// Returns whether somebody asks.
    pub(crate) fn is_on(&self, now: Instant) -> bool {
        self.end().is_some_and(|end| now < end)
    }

    /// Returns whether bulk data of this channel is restrained: some other channel asks.
    pub(crate) fn restrains(&self, own: &Asker, now: Instant) -> bool {
        let asks_alone = self.askers == 1 && own.period == self.period && !self.beyond;
        self.is_on(now) && !asks_alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn lasts_some_seconds_after_the_last_answer() {
        let (mut asker, bulk) = (Asker::default(), Asker::default());
        let start = Instant::now();
        let mut interactive = Interactive::default();
        assert!(!interactive.restrains(&bulk, start) && interactive.end().is_none());
        interactive.asked(&mut asker, start);
        interactive.arrived(&mut asker, 100, start + SECOND);
        assert!(interactive.restrains(&bulk, start + HOLD));
        assert_eq!(interactive.end(), Some(start + SECOND + HOLD));
        assert!(!interactive.restrains(&bulk, start + SECOND + HOLD));
    }

    #[test]
    fn does_not_end_before_an_answer() {
        let (mut asker, bulk) = (Asker::default(), Asker::default());
        let start = Instant::now();
        let mut interactive = Interactive::default();
        interactive.asked(&mut asker, start);
        assert!(interactive.restrains(&bulk, start + MAX_WAIT - SECOND));
        assert!(!interactive.restrains(&bulk, start + MAX_WAIT), "it may never come");
        interactive.asked(&mut asker, start + HOLD * 2);
        interactive.arrived(&mut asker, 100, start + HOLD * 3);
        assert!(interactive.restrains(&bulk, start + HOLD * 4 - SECOND));
        assert!(!interactive.restrains(&bulk, start + HOLD * 4));
    }

    #[test]
    fn a_channel_that_asks_alone_is_free() {
        let (mut asker, mut bulk) = (Asker::default(), Asker::default());
        let start = Instant::now();
        let mut interactive = Interactive::default();
        interactive.asked(&mut asker, start);
        assert!(interactive.is_on(start) && !interactive.restrains(&asker, start));
        interactive.asked(&mut bulk, start + SECOND);
        assert!(interactive.restrains(&asker, start + SECOND));
        interactive.arrived(&mut asker, 100, start + SECOND);
        interactive.closed(&bulk);
        let mut bulk = Asker::default();
        let later = start + HOLD * 2;
        interactive.asked(&mut bulk, later);
        assert!(!interactive.restrains(&bulk, later), "the others are forgotten");
        assert!(interactive.restrains(&asker, later));
        interactive.asked_beyond(later);
        assert!(interactive.restrains(&bulk, later), "they may be several");
    }

    #[test]
    fn downloads_do_not_restrain_each_other() {
        let start = Instant::now();
        let mut interactive = Interactive::default();
        let mut downloads = [Asker::default(), Asker::default()];
        for own in &mut downloads {
            interactive.asked(own, start);
        }
        assert!(interactive.restrains(&downloads[0], start), "the answers may be small");
        let [first, second] = &mut downloads;
        interactive.arrived(first, DOWNLOAD - 1, start);
        interactive.arrived(second, DOWNLOAD, start);
        assert!(interactive.restrains(second, start) && !interactive.restrains(first, start));
        interactive.arrived(first, 1, start);
        assert!(!interactive.is_on(start));
        assert_eq!(interactive.end(), Some(start), "what was held may go on at once");

        // The next request is one of a client that asks again and again.
        interactive.asked(first, start + SECOND);
        interactive.arrived(first, 2 * DOWNLOAD, start + SECOND);
        assert!(interactive.restrains(second, start + SECOND));
    }

    #[test]
    fn a_download_that_was_asked_for_in_an_earlier_period_counts_in_no_other() {
        let (mut download, mut asker) = (Asker::default(), Asker::default());
        let start = Instant::now();
        let mut interactive = Interactive::default();
        interactive.asked(&mut download, start);
        interactive.arrived(&mut download, 1, start);
        interactive.asked(&mut asker, start + HOLD * 2);
        interactive.arrived(&mut download, DOWNLOAD, start + HOLD * 2);
        assert!(interactive.restrains(&download, start + HOLD * 2));
    }
}
