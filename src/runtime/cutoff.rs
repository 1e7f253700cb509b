//! A time limit that can be set, moved and removed while tasks wait for it.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::select;
use tokio::sync::watch;

use crate::runtime::timer::Deadline;

/// A point in time, and the time that is left again after a pause of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Limit {
    pub(crate) due: Instant,
    length: Duration,
}

impl Limit {
    /// Returns a limit `length` after `now`; `None` if that cannot be represented.
    pub(crate) fn new(now: Instant, length: Duration) -> Option<Self> {
        Some(Self { due: now.checked_add(length)?, length })
    }

    /// Returns a limit at `due` that began `length` before.
    pub(crate) fn at(due: Instant, length: Duration) -> Self {
        Self { due, length }
    }

    /// Returns a limit that is reached at once.
    pub(crate) fn now() -> Self {
        Self { due: Instant::now(), length: Duration::ZERO }
    }

    /// Returns a later limit.
    pub(crate) fn and(self, more: Duration) -> Option<Self> {
        Some(Self { due: self.due.checked_add(more)?, length: self.length.checked_add(more)? })
    }

    /// Returns whether the limit was reached when it was made.
    fn is_at_once(self) -> bool {
        self.length.is_zero()
    }

    /// Returns the limit after a pause of the process that ended at `now`.
    pub(crate) fn resumed(self, now: Instant) -> Option<Self> {
        Self::new(now, self.length)
    }
}

/// Sets the limit.
#[derive(Clone, Debug)]
pub(crate) struct Cutoff(Arc<watch::Sender<Option<Limit>>>);

impl Cutoff {
    /// Makes a cutoff; without a limit it is never reached.
    pub(crate) fn new(limit: Option<Limit>) -> Self {
        Self(Arc::new(watch::Sender::new(limit)))
    }

    /// Replaces the limit; `None` removes it.
    pub(crate) fn set(&self, limit: Option<Limit>) {
        self.0.send_replace(limit);
    }

    /// Returns when the limit is reached, pauses aside.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.0.borrow().map(|limit| limit.due)
    }

    /// Returns whether the limit was reached as soon as it was set.
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

/// Waits for the limit.
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
                // The sender is gone, so the limit is final.
                return match deadline {
                    None => pending().await,
                    Some(deadline) => deadline.over().await,
                };
            }
        }
    }

    /// Returns whether the limit was reached, pauses aside.
    pub(crate) fn is_reached(&self) -> bool {
        self.0.borrow().is_some_and(|limit| limit.due <= Instant::now())
    }
}

/// Returns the outcome of `work`, or `None` if `limit` completes first.
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
    fn a_limit_can_be_set_moved_and_removed_while_a_task_waits() {
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
    fn the_last_limit_counts_when_the_sender_is_gone() {
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
