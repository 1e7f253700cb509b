//! Which sockets of a task have something to do. Their wakers leave a key here, and wake the one task
//! that serves all of them: a turn looks at the ready ones only, whatever the number of the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// The keys of what became ready.
#[derive(Debug)]
pub(crate) struct ReadyList<K> {
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    keys: Vec<K>,
    /// The task to wake.
    task: Option<Waker>,
}

impl<K> Default for ReadyList<K> {
    fn default() -> Self {
        Self { state: Mutex::new(State { keys: Vec::new(), task: None }) }
    }
}

impl<K> ReadyList<K> {
    /// Makes the waker for a key.
    pub(crate) fn waker(self: &Arc<Self>, key: K) -> Arc<ReadyWaker<K>> {
        let listed = AtomicBool::new(false);
        Arc::new(ReadyWaker { key, listed, list: self.clone() })
    }

    /// Swaps the list for `keys`, which must be empty, and keeps the task's waker for the next.
    pub(crate) fn take(&self, keys: &mut Vec<K>, cx: &Context<'_>) {
        let mut state = self.lock();
        std::mem::swap(&mut state.keys, keys);
        match &mut state.task {
            Some(task) if task.will_wake(cx.waker()) => {}
            task => *task = Some(cx.waker().clone()),
        }
    }

    /// The lock is held for a few instructions that cannot panic.
    fn lock(&self) -> std::sync::MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the task on behalf of one socket.
#[derive(Debug)]
pub(crate) struct ReadyWaker<K> {
    key: K,
    /// Whether the key is on the list already.
    listed: AtomicBool,
    list: Arc<ReadyList<K>>,
}

impl<K> ReadyWaker<K> {
    /// The key was taken from the list: the next wake puts it there again.
    pub(crate) fn taken(&self) {
        self.listed.store(false, Ordering::Release);
    }
}

impl<K: Copy + Send + Sync + 'static> Wake for ReadyWaker<K> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let task = {
            let mut state = self.list.lock();
            state.keys.push(self.key);
            // The first one wakes; the task takes all that come until it looks.
            if state.keys.len() == 1 { state.task.clone() } else { None }
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
    fn a_key_is_listed_once_and_the_task_woken_once() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let task = Waker::from(count.clone());
        let cx = Context::from_waker(&task);
        let list = Arc::new(ReadyList::default());
        let (one, two) = (list.waker(1), list.waker(2));
        let mut keys = Vec::new();
        list.take(&mut keys, &cx);
        assert!(keys.is_empty());
        one.wake_by_ref();
        two.wake_by_ref();
        one.wake_by_ref();
        list.take(&mut keys, &cx);
        assert_eq!(keys, [1, 2]);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        keys.clear();
        one.taken();
        one.wake_by_ref();
        two.wake_by_ref();
        list.take(&mut keys, &cx);
        assert_eq!(keys, [1], "two was not marked as taken");
    }

    #[test]
    fn a_wake_reaches_the_task_that_looked_last() {
        let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
        let list = Arc::new(ReadyList::default());
        for count in &counts {
            let task = Waker::from(count.clone());
            list.take(&mut Vec::new(), &Context::from_waker(&task));
        }
        list.waker(1).wake();
        let woken = counts.map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1]);
    }
}
