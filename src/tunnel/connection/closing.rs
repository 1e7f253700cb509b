//! A connection whose socket is being closed in a task of its own.

use std::time::Instant;

use crate::net::close::Outcome;
use crate::net::linger::Linger;
use crate::runtime::cutoff::{Cutoff, CutoffWatch, Limit};
use crate::tunnel::ConnectionEnd;
use crate::tunnel::connection::cause::Force;
use crate::tunnel::connection::phase::LingerTime;
use crate::tunnel::connection::report::Report;
use crate::tunnel::stats::Bytes;

/// The registry's end of a close.
pub(crate) struct Closing {
    report: Report,
    /// Bytes handed to the local socket by the time the close began.
    pub(crate) handed: u64,
    /// The bytes that are certain by then.
    pub(crate) bytes: Bytes,
    /// When the close is cut short.
    limit: Cutoff,
}

impl Closing {
    pub(crate) fn new(report: Report, handed: u64, bytes: Bytes, limit: Option<Limit>) -> Self {
        Self { report, handed, bytes, limit: Cutoff::new(limit) }
    }

    pub(crate) fn watch(&self) -> CutoffWatch {
        self.limit.watch()
    }

    /// Whether the connection was open from end to end.
    pub(crate) fn was_open(&self) -> bool {
        self.report.opened()
    }

    pub(crate) fn time(&self) -> LingerTime {
        match self.limit.due() {
            None => LingerTime::Unlimited,
            Some(_) if self.limit.is_at_once() => LingerTime::Over,
            Some(_) => LingerTime::Running,
        }
    }

    /// Starts the time of this Linger now.
    pub(crate) fn start(&mut self, linger: Linger) {
        self.report.set_linger(linger);
        self.limit.set(linger.limit(Instant::now()));
    }

    /// Cuts the close short, unless its time is over anyway.
    pub(crate) fn force(&mut self, force: Force) {
        let now = Limit::now();
        if self.limit.due().is_none_or(|due| due > now.due) {
            self.report.force(force);
        }
        self.limit.set(Some(now));
    }

    /// The account of the connection.
    pub(crate) fn end(self, outcome: Outcome) -> ConnectionEnd {
        self.report.end(outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use super::*;
    use crate::net::close::CloseOutcome;
    use crate::tunnel::connection::cause::Cause;
    use crate::tunnel::connection::phase::Flow;
    use crate::tunnel::connection::report::tests::report_of;

    fn closing(limit: Option<Limit>) -> Closing {
        let cause = Cause::Application("disconnect");
        let report = report_of(Linger::GRACEFUL, cause, Flow::OPEN, [0; 3], true);
        Closing::new(report, 0, Bytes::default(), limit)
    }

    fn reason(closing: Closing) -> Cow<'static, str> {
        let ended = CloseOutcome::Cut;
        closing
            .end(Outcome { ended, unsent: 0, known: true, discarded: 0, peer_finished: false })
            .reason
    }

    #[test]
    fn a_close_takes_the_time_of_the_last_linger() {
        let mut closing = closing(None);
        assert!(closing.was_open());
        assert_eq!(closing.time(), LingerTime::Unlimited);
        for (linger, time) in [
            (Linger { onoff: 1, linger: 5 }, LingerTime::Running),
            (Linger::GRACEFUL, LingerTime::Unlimited),
            (Linger::HARD, LingerTime::Over),
        ] {
            closing.start(linger);
            assert_eq!(closing.time(), time);
            assert_eq!(closing.watch().is_reached(), time == LingerTime::Over);
        }
        closing.start(Linger { onoff: 1, linger: 5 });
        assert!(reason(closing).ends_with("; its linger time ran out"));
    }

    #[test]
    fn force_cuts_a_close_short_and_is_reported_unless_its_time_was_over() {
        let hour = Duration::from_secs(3600);
        for (limit, reported) in [
            (None, true),
            (Limit::new(Instant::now(), hour), true),
            (Limit::new(Instant::now(), Duration::ZERO), false),
        ] {
            let mut closing = closing(limit);
            closing.force(Force::Shutdown);
            assert_eq!(closing.time(), LingerTime::Over);
            assert!(closing.watch().is_reached());
            assert_eq!(reason(closing).contains("force: true"), reported, "{limit:?}");
        }
    }
}
