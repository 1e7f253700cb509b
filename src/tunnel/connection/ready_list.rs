//! Which connections have something to do: their wakers leave their numbers here and wake the one
//! task that serves them all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// The numbers of connections whose sockets became ready.
#[derive(Debug, Default)]
pub(crate) struct ReadyList {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    numbers: Vec<usize>,
    /// The task to wake.
    task: Option<Waker>,
}

impl ReadyList {
    /// Makes the waker of the connection with this number.
    pub(crate) fn waker(self: &Arc<Self>, number: usize) -> Arc<ReadyWaker> {
        let listed = AtomicBool::new(false);
        Arc::new(ReadyWaker { number, listed, list: self.clone() })
    }

    /// Swaps the list for `numbers`, which must be empty, and keeps the task's waker for the next.
    pub(crate) fn take(&self, numbers: &mut Vec<usize>, cx: &Context<'_>) {
        let mut state = self.lock();
        std::mem::swap(&mut state.numbers, numbers);
        match &mut state.task {
            Some(task) if task.will_wake(cx.waker()) => {}
            task => *task = Some(cx.waker().clone()),
        }
    }

    /// The lock is held for a few instructions that cannot panic.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the task on behalf of one connection.
#[derive(Debug)]
pub(crate) struct ReadyWaker {
    number: usize,
    /// Whether the number is on the list already.
    listed: AtomicBool,
    list: Arc<ReadyList>,
}

impl ReadyWaker {
    /// The number was taken from the list: the next wake puts it there again.
    pub(crate) fn taken(&self) {
        self.listed.store(false, Ordering::Release);
    }
}

impl Wake for ReadyWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let task = {
            let mut state = self.list.lock();
            state.numbers.push(self.number);
            // The first one wakes; the task takes all that come until it looks.
            if state.numbers.len() == 1 { state.task.clone() } else { None }
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_number_is_listed_once_and_the_task_woken_once() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let task = Waker::from(count.clone());
        let cx = Context::from_waker(&task);
        let list = Arc::new(ReadyList::default());
        let (one, two) = (list.waker(1), list.waker(2));
        let mut numbers = Vec::new();
        list.take(&mut numbers, &cx);
        assert!(numbers.is_empty());
        one.wake_by_ref();
        two.wake_by_ref();
        one.wake_by_ref();
        list.take(&mut numbers, &cx);
        assert_eq!(numbers, [1, 2]);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        numbers.clear();
        one.taken();
        one.wake_by_ref();
        two.wake_by_ref();
        list.take(&mut numbers, &cx);
        assert_eq!(numbers, [1], "two was not marked as taken");
    }

    #[test]
    fn a_wake_reaches_the_task_that_looked_last() {
        let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
        let list = Arc::new(ReadyList::default());
        for count in &counts {
            let task = Waker::from(count.clone());
            list.take(&mut Vec::new(), &Context::from_waker(&task));
        }
        list.waker(1).wake_by_ref();
        let woken = counts.map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1]);
    }
}
