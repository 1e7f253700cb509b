//! The state that the handle and the driver of a tunnel share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::tunnel::{ForwardInfo, Settings};

/// What a tunnel is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TunnelState {
    /// Nothing is up, and nothing was.
    Idle,
    /// The first session, or the first after [`Closed`](Self::Closed), connects.
    Connecting,
    /// A session is up.
    Ready,
    /// The session was lost, and another one is to follow.
    Reconnecting,
    /// A shutdown is under way, or the last connections of a lost session end.
    Closing,
    /// Nothing is up any more.
    Closed,
}

impl TunnelState {
    const ALL: [Self; 6] = [
        Self::Idle,
        Self::Connecting,
        Self::Ready,
        Self::Reconnecting,
        Self::Closing,
        Self::Closed,
    ];
}

/// State that the handle reads without asking the driver.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: Mutex<Settings>,
    ready: AtomicBool,
    /// A [`TunnelState`].
    state: AtomicU8,
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
            state: AtomicU8::new(TunnelState::Idle as u8),
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

    /// Returns what the tunnel is doing.
    pub(crate) fn state(&self) -> TunnelState {
        TunnelState::ALL[usize::from(self.state.load(Ordering::Acquire))]
    }

    pub(crate) fn set_state(&self, state: TunnelState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Notes that a call is about to connect a tunnel that is not up. The driver then says what it does.
    pub(crate) fn begin_connecting(&self) {
        for not_up in [TunnelState::Idle, TunnelState::Closed] {
            let (from, to) = (not_up as u8, TunnelState::Connecting as u8);
            let _ = self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Returns the id for a new connection.
    pub(crate) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}
