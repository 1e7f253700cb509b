//! Timers: keepalive, rekey, pacing, and the time for replies.

use std::time::Instant;

use super::{Client, Event, Phase};
use crate::Error;

impl Client {
    /// Returns when [`Client::handle_timeout`] is to be called, if ever.
    pub fn timeout(&self) -> Option<Instant> {
        let last_received = self.keepalive.last_received();
        let rekey = if self.keys.may_start() {
            self.rekey.deadline()
        } else {
            // At once, to record when the exchange began.
            self.rekey.exchange_deadline().or(last_received)
        };
        let pacing = self.channels.release_due();
        let requests = self.requests.next_timeout(last_received, self.keys.are_settled());
        let due = [self.keepalive.deadline(), rekey, pacing, requests].into_iter().flatten().min();
        due.filter(|_| self.is_connected())
    }

    /// Restarts all timers that wait for the server, and asks it for a sign of life. To be called after
    /// the process was paused, by SIGSTOP or a sleeping machine.
    pub fn resumed(&mut self, now: Instant) {
        self.keepalive.resumed(now);
        self.rekey.resumed(now);
        self.rtt.resumed();
        self.channels.pacing().resumed(now);
        self.requests.resumed(now);
        self.ask(now);
    }

    /// Sends a keepalive at once, because the path to the server may have changed. Without keepalives, its
    /// reply is not waited for: a connection that is gone then fails by itself.
    pub fn ask(&mut self, now: Instant) {
        if self.is_connected() && self.keepalive.asked(now) {
            self.send_keepalive(now);
        }
    }

    /// Handles the timers that are due: sends a keepalive to a silent server, or gives it up; starts
    /// a key exchange, or gives up a server with which one takes too long; gives up requests without
    /// a reply; releases channels that were held back for small messages, as events.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if !self.is_connected() {
            return Ok(());
        }
        self.expire(now).inspect_err(|error| {
            self.log.write(|| error);
            self.phase = Phase::Over;
            self.events.clear();
        })
    }

    fn expire(&mut self, now: Instant) -> Result<(), Error> {
        let released = self.channels.release(now);
        self.events.extend(released.into_iter().map(|channel| Ok(Event::Window(channel))));
        if self.keepalive.expired(now)? {
            self.log.write(|| {
                format!("keepalive: {} sent since the server was heard", self.keepalive.sent())
            });
            self.send_keepalive(now);
        }
        self.expire_requests(now);
        if self.keys.may_start() && self.rekey.deadline().is_some_and(|due| due <= now) {
            self.start_kex();
        }
        if self.keys.may_start() { Ok(()) } else { self.rekey.check_exchange(now) }
    }

    /// Starts a key exchange when the keys of one direction have reached a limit.
    pub(super) fn rekey_if_due(&mut self) {
        let (sent, received) = (self.outbound.volume(), self.inbound.volume());
        let is_due = self.rekey.is_due(sent) || self.rekey.is_due(received);
        if is_due && self.is_connected() && self.keys.may_start() {
            self.start_kex();
        }
    }
}
