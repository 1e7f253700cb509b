//! The state that the handle and the driver of a tunnel share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::net::rate::{MaxRate, Rate};
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

/// One call in the word of the state.
const CONNECTING_CALL: u64 = 1 << 8;

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
    /// A [`TunnelState`] in the lowest byte. Above it, the number of calls that connect and that the
    /// driver has not run yet.
    state: AtomicU64,
    /// The bound forwards, by id.
    bound: Mutex<BTreeMap<i64, ForwardInfo>>,
    /// The id of the latest connection.
    last_id: AtomicU64,
    /// The limits of the rate of all connections together.
    rate: Arc<Rate>,
}

impl Shared {
    pub(crate) fn new(settings: Settings, max_rate: MaxRate) -> Self {
        Self {
            settings: Mutex::new(settings),
            ready: AtomicBool::new(false),
            state: AtomicU64::new(TunnelState::Idle as u64),
            bound: Mutex::default(),
            last_id: AtomicU64::new(0),
            rate: Arc::new(Rate::new(max_rate, Instant::now())),
        }
    }

    /// Returns the limits of the rate of all connections together.
    pub(crate) fn rate(&self) -> &Arc<Rate> {
        &self.rate
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

    /// Returns what the tunnel is doing. A tunnel that is not up is connecting from the call on.
    pub(crate) fn state(&self) -> TunnelState {
        let word = self.state.load(Ordering::Acquire);
        let state = TunnelState::ALL[(word % CONNECTING_CALL) as usize];
        match state {
            TunnelState::Idle | TunnelState::Closed if word >= CONNECTING_CALL => {
                TunnelState::Connecting
            }
            state => state,
        }
    }

    /// Notes a call that connects the tunnel if it is not up.
    pub(crate) fn begin_connecting(&self) {
        self.state.fetch_add(CONNECTING_CALL, Ordering::AcqRel);
    }

    /// Sets the state after the driver has run `calls` that connect.
    pub(crate) fn set_state(&self, state: TunnelState, calls: u64) {
        let next = |word| Some((word / CONNECTING_CALL - calls) * CONNECTING_CALL + state as u64);
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    /// Returns the id for a new connection.
    pub(crate) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_connects_is_seen_until_the_driver_has_run_it() {
        let shared = Shared::new(Settings::default(), MaxRate::default());
        shared.begin_connecting();
        assert_eq!(shared.state(), TunnelState::Connecting);
        // The driver ends its turn, and has not found the call yet.
        shared.set_state(TunnelState::Closed, 0);
        assert_eq!(shared.state(), TunnelState::Connecting);
        shared.set_state(TunnelState::Ready, 0);
        assert_eq!(shared.state(), TunnelState::Ready);
        shared.begin_connecting();
        shared.set_state(TunnelState::Closed, 2);
        assert_eq!(shared.state(), TunnelState::Closed);
    }
}
