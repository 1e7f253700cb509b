//! Timers of a process that may be paused, and limits in time that are judged by them.
//!
//! A process can be paused at any moment: by SIGSTOP, a container's freezer, a machine that sleeps,
//! or a machine too busy to run it. When it goes on, its timers are due and its sockets are ready
//! in the same moment. Two rules keep it from taking its own absence for the silence of others:
//!
//! - a pause is noticed by a task that runs much later than it had asked to, and everything that
//!   it waits for has its full time again;
//! - a limit is judged only after what had come by then was handled.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::select;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep_until};

use crate::net::sys;

/// A task that runs so much later than it had asked to was paused.
const TOLERANCE: Duration = Duration::from_millis(500);
/// A longer wait is halved, so that a pause that ends before its end is noticed, too: whatever has
/// a limit in time gets most of it while the process runs.
const LONGEST_STRETCH: Duration = Duration::from_secs(1);
/// How often something is awaited after its limit if it never has to be waited for: what had come
/// by then takes a few steps to be handled.
const GRACE: u32 = 8;

/// Wakes a task when the first of many things is due, and notices when the task was paused.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    pauses: Pauses,
}

impl Timer {
    /// Sees to it that the task is woken at `due` at the latest; `None` stops the timer. Returns
    /// whether the time has come, or may have: one that fires too early only causes a look, while
    /// moving it back on every packet would cost.
    pub(crate) fn poll(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(due) = due else {
            self.sleep = None;
            self.pauses.expected = None;
            return false;
        };
        let early =
            |sleep: &Pin<Box<Sleep>>| !sleep.is_elapsed() && sleep.deadline().into_std() <= due;
        let sleep = match self.sleep.take().filter(early) {
            Some(sleep) => sleep,
            None => {
                let boot = sys::since_boot();
                if self.pauses.look(boot) {
                    return true;
                }
                let now = Instant::now();
                let stretch = stretch(due.saturating_duration_since(now));
                self.pauses.expected = Some(boot + stretch);
                Box::pin(sleep_until((now + stretch).into()))
            }
        };
        self.sleep.insert(sleep).as_mut().poll(cx).is_ready()
    }

    /// Whether the task was paused since it was asked last. To be asked whenever it runs.
    pub(crate) fn was_paused(&mut self) -> bool {
        self.pauses.look(sys::since_boot());
        std::mem::take(&mut self.pauses.noticed)
    }
}

/// How long to sleep of a wait.
fn stretch(wait: Duration) -> Duration {
    if wait > LONGEST_STRETCH { wait / 2 } else { wait }
}

/// Notices that a task runs later than it should.
#[derive(Debug, Default)]
struct Pauses {
    /// When it is to run at the latest; `None`: at any time.
    expected: Option<Duration>,
    /// Whether there was one that nobody was told of.
    noticed: bool,
}

impl Pauses {
    /// The task runs at this time. Returns whether there is a pause to be told of.
    fn look(&mut self, now: Duration) -> bool {
        self.noticed |= self.expected.is_some_and(|at| at + TOLERANCE < now);
        // While it does not sleep it is to run all the time.
        if self.expected.is_none_or(|at| at < now) {
            self.expected = Some(now);
        }
        self.noticed
    }
}

/// Has the task run again after the runtime has looked at all sockets and at the other tasks that
/// they wake. To be called where the task is about to return `Pending`.
pub(crate) fn run_after_input(cx: &mut Context<'_>) {
    // Polled once, it leaves the waker with the runtime.
    let _ = pin!(yield_now()).poll(cx);
}

/// A limit in time for what an asynchronous function awaits, one thing after the other. After a
/// pause it is as long as at first.
#[derive(Debug)]
pub(crate) struct Deadline {
    length: Duration,
    due: Instant,
    timer: Timer,
    /// Whether the sockets were looked at since it was seen to be due.
    looked: bool,
    /// How often something was done since.
    late: u32,
}

impl Deadline {
    /// So long from now.
    pub(crate) fn after(length: Duration) -> Self {
        let mut timer = Timer::default();
        timer.was_paused();
        Self { length, due: Instant::now() + length, timer, looked: false, late: 0 }
    }

    /// At this time, of a limit of this length that began earlier.
    pub(crate) fn at(due: Instant, length: Duration) -> Self {
        Self { due, ..Self::after(length) }
    }

    /// Whether it is over, for those who look now and then and handle what has come before.
    pub(crate) fn is_over(&mut self) -> bool {
        if self.timer.was_paused() {
            self.due = Instant::now() + self.length;
            (self.looked, self.late) = (false, 0);
        }
        self.due <= Instant::now()
    }

    /// Ready when it is over, and nothing that came before is left for the runtime to tell.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.is_over() {
                if std::mem::replace(&mut self.looked, true) {
                    return Poll::Ready(());
                }
                run_after_input(cx);
                return Poll::Pending;
            }
            if !self.timer.poll(Some(self.due), cx) {
                return Poll::Pending;
            }
        }
    }

    /// Ready when it is over.
    pub(crate) async fn over(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// The outcome of `work`, or `None` if that takes longer. Work that is always done at once
    /// cannot go on for ever either.
    pub(crate) async fn within<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        select! {
            biased;
            outcome = work => self.is_in_time().then_some(outcome),
            () = poll_fn(|cx| self.poll(cx)) => None,
        }
    }

    fn is_in_time(&mut self) -> bool {
        self.late = if self.is_over() { self.late + 1 } else { 0 };
        self.late <= GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_task_that_runs_much_later_than_it_asked_to_was_paused() {
        let mut pauses = Pauses::default();
        assert!(!pauses.look(SECOND), "nothing was expected yet");
        pauses.expected = Some(SECOND * 10);
        assert!(!pauses.look(SECOND * 2), "woken by something else");
        assert!(!pauses.look(SECOND * 10 + TOLERANCE), "a busy machine");
        // Paused while it slept, and while it was at work.
        for expected in [Some(SECOND * 20), None] {
            if expected.is_some() {
                pauses.expected = expected;
            }
            let late = pauses.expected.expect("it sleeps or works") + SECOND;
            assert!(pauses.look(late) && pauses.look(late), "until it is told");
            assert!(std::mem::take(&mut pauses.noticed) && !pauses.look(late));
        }
        pauses.expected = None;
        assert!(!pauses.look(SECOND * 50), "it did not ask to run");
    }

    #[test]
    fn long_waits_are_slept_in_ever_shorter_stretches() {
        assert_eq!(stretch(SECOND * 60), SECOND * 30);
        assert_eq!(stretch(SECOND), SECOND);
        let mut left = SECOND * 3600;
        let stretches = std::iter::from_fn(|| {
            let slept = stretch(left);
            left -= slept;
            (!slept.is_zero()).then_some(slept)
        });
        assert!(stretches.count() < 16, "an idle hour costs little");
    }

    #[test]
    fn what_is_done_at_once_cannot_go_on_for_ever() {
        runtime::handle().block_on(async {
            let mut deadline = Deadline::after(Duration::ZERO);
            let mut rounds = 0;
            while deadline.within(async {}).await.is_some() {
                rounds += 1;
            }
            assert_eq!(rounds, GRACE);
        });
    }

    #[test]
    fn what_came_before_the_limit_is_handled_before_it_is_judged() {
        runtime::handle().block_on(async {
            let task = tokio::spawn(async {
                let (answer, answered) = tokio::sync::oneshot::channel();
                tokio::spawn(async move { answer.send(7) });
                Deadline::after(Duration::ZERO).within(answered).await
            });
            let outcome = task.await.expect("no panic");
            assert_eq!(outcome.map(Result::ok), Some(Some(7)));
        });
    }

    #[test]
    fn after_a_pause_there_is_the_full_time_again() {
        let mut deadline = Deadline::at(Instant::now(), SECOND * 60);
        deadline.timer.pauses.expected = Some(sys::since_boot().saturating_sub(SECOND));
        assert!(!deadline.is_over());
        assert!(deadline.due > Instant::now() + SECOND * 30);
    }
}
