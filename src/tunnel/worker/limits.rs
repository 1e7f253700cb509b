//! Limits of connections that the application changes: idle time, keep-alive, rate.

use std::time::{Duration, Instant};

use crate::net::rate::MaxRate;
use crate::tunnel::connection::state::State;
use crate::tunnel::worker::Worker;

impl Worker {
    /// Changes how long a connection may be idle, from now on; `None`: without limit.
    pub(super) fn set_idle_timeout(&mut self, id: u64, limit: Option<Duration>) {
        let Some(connection) = self.registry.get_mut(id) else { return };
        connection.meta.settings.idle_timeout = limit;
        if matches!(connection.state, State::Open(_)) {
            self.registry.watch_idle(id, Instant::now());
        }
    }

    /// Turns keep-alive of a connection's local socket on, with this time before the first probe (zero: as
    /// the system has it), or off. A socket that a task has stays as it is.
    pub(super) fn set_keep_alive(&mut self, id: u64, delay: Option<Duration>) {
        if let Some(stream) = self.registry.get(id).and_then(|it| it.state.stream()) {
            stream.set_keep_alive(delay);
        }
    }

    /// Returns the limits of a connection's own rate.
    pub(super) fn max_rate(&self, id: u64) -> MaxRate {
        let own = self.registry.get(id).and_then(|it| it.meta.rates.own.as_ref());
        own.map_or_else(MaxRate::default, |rate| rate.get())
    }

    /// Changes the limits of a connection's own rate.
    pub(super) fn set_max_rate(&mut self, id: u64, max: MaxRate) {
        let now = Instant::now();
        let Some(connection) = self.registry.get_mut(id) else { return };
        connection.meta.rates.own(now).set(max, now);
        let Some(relay) = connection.state.relay_mut() else { return };
        relay.pump.set_rates(&connection.meta.rates);
        let index = relay.pump.channel.index();
        self.woken(index, now);
    }

    /// Continues the connections that wait for their time under limits that have changed.
    pub(crate) fn rates_changed(&mut self, now: Instant) {
        for index in self.registry.take_all_paced() {
            if let Some(connection) = self.registry.at(index)
                && let Some(relay) = connection.state.relay_mut()
            {
                relay.pump.set_rates(&connection.meta.rates);
            }
            self.woken(index, now);
        }
    }

    /// Continues a connection later, if it waits because of a limit of the rate.
    pub(super) fn watch_pace(&mut self, index: usize, now: Instant) {
        self.registry.watch_pace(index, now);
    }
}
