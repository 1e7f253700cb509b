//! Pauses of the process and changes of the network, noticed once for all sessions.
//!
//! A session whose path has changed looks healthy until its keepalives are not answered. One task of the
//! process therefore looks for what may have changed paths, and wakes the tasks with sessions, which ask
//! their servers at once:
//!
//! - It runs at intervals, and finds by the clock that the process was stopped or the machine slept.
//! - On Linux, the kernel tells it that addresses or routes have changed.
//!
//! While there is no session it does nothing.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::select;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::net::sys;
#[cfg(target_os = "linux")]
use crate::net::sys::NetworkChanges;
use crate::runtime;

/// Time between two looks at the clock.
const TICK: Duration = Duration::from_secs(2);
/// Delay of a look from which the process was paused.
const TOLERANCE: Duration = Duration::from_secs(1);
/// Time in which changes of the network are collected.
const SETTLE: Duration = Duration::from_millis(500);
/// Time after a change of the network for an address to come back, as after a renewed lease.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// What has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The process was paused, or the machine slept.
    pub(crate) pause: bool,
    /// Addresses or routes may be others.
    pub(crate) network: bool,
}

/// The changes that a task has not seen yet. It is woken by new ones from the first call of
/// [`Changes::poll`] on.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The key of the task's waker, and a copy of that.
    registered: Option<(u64, Waker)>,
    pauses: u32,
    network: u32,
}

impl Changes {
    /// Returns what has changed since the last call.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Changed {
        if !self.registered.as_ref().is_some_and(|(_, waker)| waker.will_wake(cx.waker())) {
            let first = self.registered.is_none();
            let key = WATCH.register(self.registered.take().map(|(key, _)| key), cx.waker());
            self.registered = Some((key, cx.waker().clone()));
            if first {
                (self.pauses, self.network) = WATCH.counts();
            }
        }
        let (pauses, network) = WATCH.counts();
        Changed {
            pause: std::mem::replace(&mut self.pauses, pauses) != pauses,
            network: std::mem::replace(&mut self.network, network) != network,
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if let Some((key, _)) = self.registered.take() {
            WATCH.tasks().remove(&key);
        }
    }
}

static WATCH: LazyLock<Watch> = LazyLock::new(|| {
    runtime::handle().spawn(run());
    Watch::default()
});

#[derive(Debug, Default)]
struct Watch {
    pauses: AtomicU32,
    network: AtomicU32,
    last: AtomicU64,
    /// The tasks with sessions.
    tasks: Mutex<HashMap<u64, Waker>>,
    /// Notified by the first of them.
    wanted: Notify,
}

impl Watch {
    fn counts(&self) -> (u32, u32) {
        (self.pauses.load(Ordering::Acquire), self.network.load(Ordering::Acquire))
    }

    /// Keeps the waker of a task, in place of an earlier one. Returns its key.
    fn register(&self, before: Option<u64>, waker: &Waker) -> u64 {
        let key = before.unwrap_or_else(|| self.last.fetch_add(1, Ordering::Relaxed));
        let mut tasks = self.tasks();
        if tasks.is_empty() {
            self.wanted.notify_one();
        }
        tasks.insert(key, waker.clone());
        key
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<u64, Waker>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, changed: Changed) {
        self.pauses.fetch_add(u32::from(changed.pause), Ordering::Release);
        self.network.fetch_add(u32::from(changed.network), Ordering::Release);
        if changed != Changed::default() {
            self.tasks().values().for_each(Waker::wake_by_ref);
        }
    }
}

/// Looks for changes while there are sessions.
async fn run() {
    let network = Network::open();
    let mut again: Option<Instant> = None;
    loop {
        if WATCH.tasks().is_empty() {
            WATCH.wanted.notified().await;
            network.drain();
            continue;
        }
        let before = sys::since_boot();
        let told = select! {
            () = sleep(TICK) => false,
            () = network.changed() => true,
        };
        let pause = sys::since_boot().saturating_sub(before) > TICK + TOLERANCE;
        if told {
            sleep(SETTLE).await;
            network.drain();
            again = Some(Instant::now() + GRACE);
        }
        let is_over = again.take_if(|due| *due <= Instant::now()).is_some();
        WATCH.tell(Changed { pause, network: told || is_over || pause });
        if pause {
            again = Some(Instant::now() + GRACE);
        }
    }
}

/// What the kernel tells about the network.
struct Network(#[cfg(target_os = "linux")] Option<NetworkChanges>);

#[cfg(target_os = "linux")]
impl Network {
    fn open() -> Self {
        Self(NetworkChanges::open())
    }

    async fn changed(&self) {
        match &self.0 {
            Some(changes) if changes.changed().await.is_ok() => {}
            _ => pending().await,
        }
    }

    fn drain(&self) {
        self.0.iter().for_each(NetworkChanges::drain);
    }
}

#[cfg(not(target_os = "linux"))]
impl Network {
    fn open() -> Self {
        Self()
    }

    async fn changed(&self) {
        pending().await
    }

    fn drain(&self) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_task_is_woken_by_changes_and_sees_each_once() {
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(counter.clone());
        let cx = Context::from_waker(&waker);
        let mut changes = Changes::default();
        assert_eq!(changes.poll(&cx), Changed::default(), "what was before does not count");
        let key = changes.registered.as_ref().expect("registered").0;
        WATCH.tell(Changed { pause: true, network: false });
        assert!(counter.0.load(Ordering::SeqCst) > 0);
        assert!(changes.poll(&cx).pause);
        WATCH.tell(Changed { pause: false, network: true });
        assert!(changes.poll(&cx).network);
        drop(changes);
        assert!(!WATCH.tasks().contains_key(&key));
    }
}
