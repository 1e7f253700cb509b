//! The tokio runtimes of the process: threads that each serve their sockets and tasks alone.
//!
//! Where several threads share one set of sockets, the one that rests is woken for every event of a
//! socket that another is working on. So a task stays on its thread with all its sockets, and what
//! is to use another core gets another thread.

pub(crate) mod cutoff;
pub(crate) mod timer;

use std::future::pending;
use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::task::coop::unconstrained;

/// A session is one task: more threads than this serve only tunnels with more sessions.
const MAX_THREADS: usize = 16;

/// A thread, and how many have their place on it.
struct Worker {
    handle: Handle,
    places: usize,
}

/// Never empty. The threads are never stopped, so that a process can exit at any time without
/// waiting for a tunnel.
static WORKERS: LazyLock<Mutex<Vec<Worker>>> = LazyLock::new(|| {
    let first = start().expect("the system gives a process its threads and an epoll descriptor");
    Mutex::new(vec![first])
});

static FIRST: LazyLock<Handle> = LazyLock::new(|| workers()[0].handle.clone());

/// The thread for whatever is short, or needs no other. The first call starts it.
pub(crate) fn handle() -> &'static Handle {
    &FIRST
}

/// A place on one of the threads, for a task that lives long and works hard.
pub(crate) struct WorkerSlot {
    worker: usize,
    handle: Handle,
}

impl WorkerSlot {
    /// On the thread that has the fewest, or on a new one while there are cores.
    pub(crate) fn take() -> Self {
        let most = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let mut workers = workers();
        if workers.iter().all(|worker| worker.places > 0)
            && workers.len() < most
            && let Ok(worker) = start()
        {
            workers.push(worker);
        }
        let least = workers.iter_mut().enumerate().min_by_key(|(_, worker)| worker.places);
        let (index, worker) = least.expect("the first thread is never stopped");
        worker.places += 1;
        Self { worker: index, handle: worker.handle.clone() }
    }

    /// The thread's runtime.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Starts the task, which gives its place back when it is done. It bounds its own work and
    /// yields; tokio's budget on top would only make it spin.
    pub(crate) fn spawn(self, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.handle.clone();
        handle.spawn(async move {
            let _place = self;
            unconstrained(task).await;
        });
    }
}

impl Drop for WorkerSlot {
    fn drop(&mut self) {
        workers()[self.worker].places -= 1;
    }
}

/// The lock is held for no longer than it takes to start a thread, and nothing under it panics.
fn workers() -> MutexGuard<'static, Vec<Worker>> {
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start() -> io::Result<Worker> {
    let runtime = Builder::new_current_thread().thread_name("sshtunnel").enable_all().build()?;
    let handle = runtime.handle().clone();
    let serve = move || runtime.block_on(pending::<()>());
    thread::Builder::new().name("sshtunnel".to_owned()).spawn(serve)?;
    Ok(Worker { handle, places: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_share_a_thread_only_when_there_are_no_more() {
        let cores = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let taken: Vec<_> = (0..cores).map(|_| WorkerSlot::take()).collect();
        let used = || workers().iter().filter(|worker| worker.places > 0).count();
        assert!(used() >= cores.min(2), "{} threads for {cores} tasks", used());
        assert!(workers().len() <= cores);
        let before: usize = workers().iter().map(|worker| worker.places).sum();
        drop(taken);
        let after: usize = workers().iter().map(|worker| worker.places).sum();
        assert!(after <= before, "places are given back");
    }
}
