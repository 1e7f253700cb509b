//! The state that the handle and the driver of a tunnel share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::tunnel::{ForwardInfo, Settings};

/// State that the handle reads without asking the driver.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: Mutex<Settings>,
    ready: AtomicBool,
    /// The bound forwards, by id.
    bound: Mutex<BTreeMap<i64, ForwardInfo>>,
    /// The id of the latest connection.
    last_id: AtomicU64,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings: Mutex::new(settings),
            ready: AtomicBool::new(false),
            bound: Mutex::default(),
            last_id: AtomicU64::new(0),
        }
    }

    pub(crate) fn settings(&self) -> MutexGuard<'_, Settings> {
        // Plain values, which a panic cannot leave half written.
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bound(&self) -> MutexGuard<'_, BTreeMap<i64, ForwardInfo>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_bound(&self, id: i64, info: Option<ForwardInfo>) {
        match info {
            Some(info) => self.bound().insert(id, info),
            None => self.bound().remove(&id),
        };
    }

    /// Returns whether an SSH session is up.
    pub(crate) fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Returns the id for a new connection.
    pub(crate) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}
