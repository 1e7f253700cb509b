//! One timer for whatever is due first.

use std::pin::Pin;
use std::task::Context;
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// Wakes a task when the first of many things is due. Costs nothing while there is none.
#[derive(Default)]
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Sees to it that the task is woken at `due` at the latest; `None` stops the timer. Returns
    /// whether the time has come, or may have: one that fires too early only causes a look, while
    /// moving it back on every packet would cost.
    pub(crate) fn poll(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(due) = due else {
            self.0 = None;
            return false;
        };
        let early =
            |timer: &Pin<Box<Sleep>>| !timer.is_elapsed() && timer.deadline().into_std() <= due;
        let timer = match self.0.take().filter(early) {
            Some(timer) => timer,
            None => Box::pin(sleep_until(due.into())),
        };
        self.0.insert(timer).as_mut().poll(cx).is_ready()
    }
}
