//! The loop of a task: turns of fixed steps until there is nothing to do.

use std::task::{Context, Poll};
use std::time::Instant;

use crate::runtime::timer::run_after_input;
use crate::session::Session;
use crate::tunnel::worker::Worker;

/// The maximum number of turns before other tasks of the runtime run.
const MAX_TURNS: usize = 8;

/// The outcome of a turn.
pub(crate) enum Turn {
    /// Something was done; there may be more.
    Busy,
    /// The task will be woken.
    Idle,
    /// The task has ended.
    Over,
}

/// A task with a worker.
pub(crate) trait Turns {
    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Turn;

    /// Begins every deadline anew after a pause of the process.
    fn resumed(&mut self, now: Instant);

    /// Returns the first deadline of the task beside those of the worker.
    fn due(&self) -> Option<Instant>;

    fn worker(&mut self) -> &mut Worker;
}

/// Polls a task.
pub(crate) fn poll_turns(task: &mut impl Turns, cx: &mut Context<'_>) -> Poll<()> {
    for _ in 0..MAX_TURNS {
        let now = Instant::now();
        if task.worker().timer.begin_turn() {
            task.resumed(now);
        }
        let busy = match task.turn(cx, now) {
            Turn::Busy => true,
            Turn::Idle => false,
            Turn::Over => return Poll::Ready(()),
        };
        let due = task.due();
        let worker = task.worker();
        if let Some(session) = worker.session.as_mut().filter(|_| !busy) {
            session.idle(now);
        }
        if worker.timeout_gate.yields(busy) {
            run_after_input(cx);
            return Poll::Pending;
        }
        if !busy {
            let timer = worker.session.as_ref().and_then(Session::timeout);
            let dues = [due, timer, worker.due(), worker.registry.next_paced()];
            let due = dues.into_iter().flatten().min();
            if !worker.timer.poll(due, cx) {
                return Poll::Pending;
            }
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}
