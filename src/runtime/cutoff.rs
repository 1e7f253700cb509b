//! A limit in time that can be set, moved and removed while something waits for it.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::select;
use tokio::sync::watch;

use crate::runtime::timer::Deadline;

/// When something is over, and how long it may take after a pause of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Limit {
    pub(crate) due: Instant,
    length: Duration,
}

impl Limit {
    /// So long from `now`; `None`: longer than time can be counted.
    pub(crate) fn new(now: Instant, length: Duration) -> Option<Self> {
        Some(Self { due: now.checked_add(length)?, length })
    }

    /// At this time, of a limit of this length that began earlier.
    pub(crate) fn at(due: Instant, length: Duration) -> Self {
        Self { due, length }
    }

    /// At once.
    pub(crate) fn now() -> Self {
        Self { due: Instant::now(), length: Duration::ZERO }
    }

    /// So much later.
    pub(crate) fn and(self, more: Duration) -> Option<Self> {
        Some(Self { due: self.due.checked_add(more)?, length: self.length.checked_add(more)? })
    }

    /// Whether it leaves no time at all.
    fn is_at_once(self) -> bool {
        self.length.is_zero()
    }

    /// The process was paused until `now`.
    pub(crate) fn resumed(self, now: Instant) -> Option<Self> {
        Self::new(now, self.length)
    }
}

/// The side that sets the limit.
#[derive(Clone, Debug)]
pub(crate) struct Cutoff(Arc<watch::Sender<Option<Limit>>>);

impl Cutoff {
    /// Without a limit it is never reached.
    pub(crate) fn new(limit: Option<Limit>) -> Self {
        Self(Arc::new(watch::Sender::new(limit)))
    }

    /// Replaces the limit; `None` removes it.
    pub(crate) fn set(&self, limit: Option<Limit>) {
        self.0.send_replace(limit);
    }

    /// When it is reached, pauses aside.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.0.borrow().map(|limit| limit.due)
    }

    /// Whether it was reached as soon as it was set.
    pub(crate) fn is_at_once(&self) -> bool {
        self.0.borrow().is_some_and(Limit::is_at_once)
    }

    pub(crate) fn watch(&self) -> CutoffWatch {
        CutoffWatch(self.0.subscribe())
    }

    /// Completes when every [`CutoffWatch`] is dropped.
    pub(crate) async fn unwatched(&self) {
        self.0.closed().await;
    }
}

impl Default for Cutoff {
    fn default() -> Self {
        Self::new(None)
    }
}

/// The side that waits.
#[derive(Clone, Debug)]
pub(crate) struct CutoffWatch(watch::Receiver<Option<Limit>>);

impl CutoffWatch {
    /// Completes when the limit is reached. Cancel safe.
    pub(crate) async fn reached(&mut self) {
        loop {
            let limit = *self.0.borrow_and_update();
            let mut deadline = limit.map(|limit| Deadline::at(limit.due, limit.length));
            let changed = self.0.changed();
            let change = match &mut deadline {
                None => changed.await,
                Some(deadline) => match deadline.within(changed).await {
                    Some(change) => change,
                    None => return,
                },
            };
            if change.is_err() {
                // Nobody can move it any more.
                return match deadline {
                    None => pending().await,
                    Some(deadline) => deadline.over().await,
                };
            }
        }
    }

    /// Whether the limit was reached, pauses aside.
    pub(crate) fn is_reached(&self) -> bool {
        self.0.borrow().is_some_and(|limit| limit.due <= Instant::now())
    }
}

/// The outcome of `work`, or `None` when `limit` completes first.
pub(crate) async fn before<T>(
    limit: impl Future<Output = ()>,
    work: impl Future<Output = T>,
) -> Option<T> {
    select! {
        biased;
        outcome = work => Some(outcome),
        () = limit => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::runtime;

    const MOMENT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    fn limit(length: Duration) -> Option<Limit> {
        Limit::new(Instant::now(), length)
    }

    #[test]
    fn it_can_be_set_moved_and_removed_while_somebody_waits() {
        runtime::handle().block_on(async {
            let cutoff = Cutoff::default();
            let mut watch = cutoff.watch();
            assert!(timeout(MOMENT, watch.reached()).await.is_err() && !watch.is_reached());
            let waiting = tokio::spawn(async move { watch.reached().await });
            cutoff.set(limit(LONG));
            cutoff.set(None);
            cutoff.set(limit(MOMENT));
            waiting.await.expect("no panic");
            cutoff.unwatched().await;
            assert!(cutoff.watch().is_reached());
        });
    }

    #[test]
    fn the_last_limit_counts_when_nobody_can_move_it_any_more() {
        runtime::handle().block_on(async {
            for (limit, reached) in [(None, false), (Some(Limit::now()), true)] {
                let cutoff = Cutoff::new(limit);
                let mut watch = cutoff.watch();
                drop(cutoff);
                assert_eq!(timeout(LONG / 100, watch.reached()).await.is_ok(), reached);
            }
        });
    }
}
