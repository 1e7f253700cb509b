//! Timers and deadlines for a process that may be paused.
//!
//! A process can be paused at any moment: by SIGSTOP, a container's freezer, a machine that sleeps,
//! or a machine too busy to run it. When it resumes, its timers are due and its sockets are ready
//! at the same moment. Two rules keep it from timing out peers for its own pause:
//!
//! - a task that runs much later than it had asked to notices the pause, and everything that it waits
//!   for has its full time again;
//! - a deadline counts only after the input that had arrived by then was handled.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::select;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep_until};

use crate::net::sys;

/// Delay from which a task counts as paused.
const TOLERANCE: Duration = Duration::from_millis(500);
/// Longest sleep that is not split. A longer wait is halved, so that a pause that ends before the
/// wait does is noticed too, and a deadline mostly counts time in which the process runs.
const MAX_SLEEP: Duration = Duration::from_secs(1);
/// Number of futures that may complete after the deadline without waiting: input that had arrived
/// by then takes a few steps to handle.
const GRACE: u32 = 8;

/// Wakes a task when the earliest of its timers is due, and notices when the task was paused.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    pauses: Pauses,
}

impl Timer {
    /// Wakes the task at `due` at the latest; `None` stops the timer. Returns whether the time may
    /// have come: the timer is not moved back on every packet, and may fire too early.
    pub(crate) fn poll(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(due) = due else {
            self.sleep = None;
            self.pauses.expected = None;
            return false;
        };
        let early =
            |sleep: &Pin<Box<Sleep>>| !sleep.is_elapsed() && sleep.deadline().into_std() <= due;
        let boot = sys::since_boot();
        if self.pauses.look(boot) {
            return true;
        }
        let now = Instant::now();
        let sleep = self.sleep.take().filter(early).unwrap_or_else(|| {
            let time = sleep_time(due.saturating_duration_since(now));
            Box::pin(sleep_until((now + time).into()))
        });
        let time = sleep.deadline().into_std().saturating_duration_since(now);
        self.pauses.expected = Some(boot + time);
        self.sleep.insert(sleep).as_mut().poll(cx).is_ready()
    }

    /// Returns whether the task was paused since the last call, and notes that it runs: a pause that
    /// begins before it sleeps again is noticed however long it was to sleep. Must be called whenever
    /// the task runs.
    pub(crate) fn begin_turn(&mut self) -> bool {
        let boot = sys::since_boot();
        self.pauses.look(boot);
        self.pauses.expected = Some(boot);
        std::mem::take(&mut self.pauses.noticed)
    }

    /// Returns whether the task was paused since the last call. For a deadline, which is not looked at
    /// whenever its task runs.
    fn was_paused(&mut self) -> bool {
        self.pauses.look(sys::since_boot());
        std::mem::take(&mut self.pauses.noticed)
    }
}

/// Returns the time to sleep before looking again.
fn sleep_time(wait: Duration) -> Duration {
    if wait > MAX_SLEEP { wait / 2 } else { wait }
}

/// Notices that a task runs later than it should.
#[derive(Debug, Default)]
struct Pauses {
    /// When the task is to run at the latest; `None` for any time.
    expected: Option<Duration>,
    /// Whether a pause was noticed and not reported yet.
    noticed: bool,
}

impl Pauses {
    /// Notes that the task runs at `now`. Returns whether there is a pause to report.
    fn look(&mut self, now: Duration) -> bool {
        self.noticed |= self.expected.is_some_and(|at| at + TOLERANCE < now);
        // A task that does not sleep runs all the time.
        if self.expected.is_none_or(|at| at < now) {
            self.expected = Some(now);
        }
        self.noticed
    }
}

/// Runs the task again after the runtime has polled all sockets and the tasks that they wake. To be
/// called before the task returns `Pending`.
pub(crate) fn run_after_input(cx: &mut Context<'_>) {
    // Polled once, it leaves the waker with the runtime.
    let _ = pin!(yield_now()).poll(cx);
}

/// Deadline for the futures that a function awaits one after the other. After a pause of the
/// process it has its full length again.
#[derive(Debug)]
pub(crate) struct Deadline {
    length: Duration,
    due: Instant,
    timer: Timer,
    /// Whether the runtime has polled the sockets since the deadline was found to be over.
    polled: bool,
    /// Number of futures that have completed since.
    late: u32,
}

impl Deadline {
    /// Returns a deadline `length` from now.
    pub(crate) fn after(length: Duration) -> Self {
        Self::at(Instant::now() + length, length)
    }

    /// Returns a deadline at `due` that began `length` before. If it is long over, the process was
    /// paused meanwhile.
    pub(crate) fn at(due: Instant, length: Duration) -> Self {
        let overdue = Instant::now().saturating_duration_since(due);
        let mut timer = Timer::default();
        timer.pauses.expected = Some(sys::since_boot().saturating_sub(overdue));
        Self { length, due, timer, polled: false, late: 0 }
    }

    /// Returns whether the deadline is over. The caller handles input that has arrived first.
    pub(crate) fn is_over(&mut self) -> bool {
        if self.timer.was_paused() {
            self.due = Instant::now() + self.length;
            (self.polled, self.late) = (false, 0);
        }
        self.due <= Instant::now()
    }

    /// Ready when the deadline is over and the input that arrived before was handled.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.is_over() {
                if std::mem::replace(&mut self.polled, true) {
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

    /// Completes when the deadline is over.
    pub(crate) async fn over(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Returns the outcome of `work`, or `None` if the deadline is over first. That also bounds a
    /// loop of futures that complete at once.
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
    fn a_pause_in_a_turn_is_noticed_however_long_the_task_was_to_sleep() {
        let mut timer = Timer::default();
        timer.pauses.expected = Some(sys::since_boot() + SECOND * 60);
        assert!(!timer.begin_turn(), "woken early");
        let began = timer.pauses.expected.expect("it runs");
        timer.pauses.expected = Some(began - SECOND);
        assert!(timer.begin_turn() && !timer.begin_turn(), "told once");
    }

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
    fn a_long_wait_is_a_series_of_shorter_sleeps() {
        assert_eq!(sleep_time(SECOND * 60), SECOND * 30);
        assert_eq!(sleep_time(SECOND), SECOND);
        let mut left = SECOND * 3600;
        let sleeps = std::iter::from_fn(|| {
            let slept = sleep_time(left);
            left -= slept;
            (!slept.is_zero()).then_some(slept)
        });
        assert!(sleeps.count() < 16, "an idle hour costs little");
    }

    #[test]
    fn futures_that_complete_at_once_are_bounded() {
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
    fn input_before_the_deadline_is_handled_first() {
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
        // Paused before anything waited for it.
        let past = |late| Instant::now().checked_sub(late).expect("the machine runs for longer");
        let mut deadline = Deadline::at(past(SECOND), SECOND * 60);
        assert!(!deadline.is_over());
        assert!(deadline.due > Instant::now() + SECOND * 30);
        assert!(Deadline::at(past(TOLERANCE / 2), SECOND * 60).is_over(), "a busy machine");
        assert!(Deadline::at(past(SECOND), Duration::ZERO).is_over(), "it has no length");
    }
}
