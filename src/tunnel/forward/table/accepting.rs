//! Listeners: which may have connections, and which are paused or have no room.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use super::{Forwards, State};
use crate::tunnel::forward::listener::{Accepted, Listener};
use crate::tunnel::forward::spec::{Endpoint, ForwardSpec};

impl Forwards {
    /// Sorts in the forwards that became ready, and the listeners whose pauses are over.
    pub(crate) fn wake(&mut self, cx: &Context<'_>, now: Instant) {
        let mut taken = std::mem::take(&mut self.taken);
        self.ready.take(&mut taken, cx);
        for id in taken.drain(..) {
            let Some(forward) = self.table.get(&id) else { continue };
            forward.ready.taken();
            match forward.state {
                State::Binding(_) => self.binding.insert(id),
                State::Bound(_) => self.accepting.insert(id),
                State::Waiting | State::Remote(_) => false,
            };
        }
        self.taken = taken;
        while let Some(id) = self.paused.take_over(now) {
            self.accepting.insert(id);
        }
    }

    /// Returns when the first paused listener may accept again.
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.paused.next()
    }

    /// Returns whether any listener may have a connection.
    pub(crate) fn may_accept(&self) -> bool {
        !self.accepting.is_empty()
    }

    /// Returns the first forward from this id on whose listener may have a connection.
    pub(crate) fn next_accepting(&self, from: i64) -> Option<i64> {
        self.accepting.range(from..).next().copied()
    }

    /// Accepts a connection. If there is none, or not now, the listener is polled again once it is
    /// ready, or its pause is over. See [`Listener::poll_accept`].
    pub(crate) fn poll_accept(
        &mut self,
        id: i64,
        now: Instant,
        is_first: bool,
    ) -> Poll<io::Result<(&ForwardSpec, Accepted)>> {
        let Some(forward) = self.table.get_mut(&id) else { return Poll::Pending };
        let State::Bound(listener) = &mut forward.state else { return Poll::Pending };
        let cx = &mut Context::from_waker(&forward.waker);
        match listener.poll_accept(cx, now, is_first) {
            Poll::Ready(accepted) => {
                Poll::Ready(accepted.map(|accepted| (&forward.spec, accepted)))
            }
            Poll::Pending => {
                self.accepting.remove(&id);
                self.paused.set(id, &mut forward.due, listener.paused_until(now));
                Poll::Pending
            }
        }
    }

    /// Returns the address of a bound listener.
    pub(crate) fn listen_address(&self, id: i64) -> Option<Endpoint> {
        self.table.get(&id)?.listener().map(Listener::address)
    }

    /// Accepts nothing from a forward that has its maximum number of connections.
    pub(crate) fn set_full(&mut self, id: i64) {
        if let Some(forward) = self.table.get_mut(&id) {
            forward.is_full = true;
            self.accepting.remove(&id);
        }
    }

    /// Records that a connection of this forward has ended.
    pub(crate) fn connection_ended(&mut self, id: i64) {
        if let Some(forward) = self.table.get_mut(&id)
            && std::mem::take(&mut forward.is_full)
        {
            self.accepting.insert(id);
        }
    }
}
