//! Threads of the process, each with a tokio runtime of its own.
//!
//! Threads that share one runtime wake each other: an idle thread is woken for every event of a
//! socket that another thread is serving. So a task and all its sockets stay on one thread, and
//! work for another core gets another thread.

pub(crate) mod changes;
pub(crate) mod cutoff;
pub(crate) mod deadlines;
pub(crate) mod ready_list;
pub(crate) mod timer;

use std::future::pending;
use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::task::coop::unconstrained;

/// Maximum number of threads. A session is one task, so more threads only help tunnels with more
/// sessions.
const MAX_THREADS: usize = 16;

/// A thread, and its number of long-running tasks.
struct Thread {
    handle: Handle,
    tasks: usize,
}

/// Never empty. The threads are never stopped, so that the process can exit at any time.
static THREADS: LazyLock<Mutex<Vec<Thread>>> = LazyLock::new(|| {
    let first = start().expect("the system gives a process its threads and an epoll descriptor");
    Mutex::new(vec![first])
});

static FIRST: LazyLock<Handle> = LazyLock::new(|| threads()[0].handle.clone());

/// Returns the runtime of the first thread, which the first call starts.
pub(crate) fn handle() -> &'static Handle {
    &FIRST
}

/// A slot on one of the threads for a long-running task.
pub(crate) struct WorkerSlot {
    thread: usize,
    handle: Handle,
}

impl WorkerSlot {
    /// Takes a slot on an idle thread, on a new one while there are cores, or on the least loaded
    /// one.
    pub(crate) fn take() -> Self {
        let max = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let mut threads = threads();
        if threads.iter().all(|thread| thread.tasks > 0)
            && threads.len() < max
            && let Ok(thread) = start()
        {
            threads.push(thread);
        }
        let least = threads.iter_mut().enumerate().min_by_key(|(_, thread)| thread.tasks);
        let (index, thread) = least.expect("the first thread is never stopped");
        thread.tasks += 1;
        Self { thread: index, handle: thread.handle.clone() }
    }

    /// Returns the runtime of the thread.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Spawns a task, which frees the slot when it ends. The task bounds its own work and yields,
    /// so it is exempt from tokio's budget, which would make it spin.
    pub(crate) fn spawn(self, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.handle.clone();
        handle.spawn(async move {
            let _slot = self;
            unconstrained(task).await;
        });
    }
}

impl Drop for WorkerSlot {
    fn drop(&mut self) {
        threads()[self.thread].tasks -= 1;
    }
}

/// Locks the list. The lock is held while a thread starts at most, and nothing panics under it.
fn threads() -> MutexGuard<'static, Vec<Thread>> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start() -> io::Result<Thread> {
    let runtime = Builder::new_current_thread().thread_name("sshtunnel").enable_all().build()?;
    let handle = runtime.handle().clone();
    let serve = move || runtime.block_on(pending::<()>());
    thread::Builder::new().name("sshtunnel".to_owned()).spawn(serve)?;
    Ok(Thread { handle, tasks: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_share_a_thread_only_when_there_are_no_more_cores() {
        let cores = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let taken: Vec<_> = (0..cores).map(|_| WorkerSlot::take()).collect();
        let used = || threads().iter().filter(|thread| thread.tasks > 0).count();
        assert!(used() >= cores.min(2), "{} threads for {cores} tasks", used());
        assert!(threads().len() <= cores);
        let before: usize = threads().iter().map(|thread| thread.tasks).sum();
        drop(taken);
        let after: usize = threads().iter().map(|thread| thread.tasks).sum();
        assert!(after <= before, "tasks are freed");
    }
}
