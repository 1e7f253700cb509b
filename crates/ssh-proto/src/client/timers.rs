//! What has to be done now and then: asking a silent server, changing worn keys, giving up on a
//! server that does not get it done.

use std::time::Instant;

use super::{Client, Event, Phase};
use crate::Error;

impl Client {
    /// When [`Client::handle_timeout`] is to be called, if ever.
    pub fn timeout(&self) -> Option<Instant> {
        let wear = if self.keys.may_change() {
            self.wear.deadline()
        } else {
            // At once, to learn when it began.
            self.wear.patience().or(self.watch.last_heard())
        };
        let restraint = self.channels.pacing_timeout();
        let requests = self.requests.timeout(self.watch.last_heard(), self.keys.are_settled());
        let due = [self.watch.deadline(), wear, restraint, requests].into_iter().flatten().min();
        due.filter(|_| self.is_connected())
    }

    /// The process was paused, by SIGSTOP or a sleeping machine: whatever the server is waited for
    /// has its full time again from `now` on.
    pub fn resumed(&mut self, now: Instant) {
        self.watch.resumed(now);
        self.wear.resumed(now);
        self.round_trip.resumed();
        self.channels.pacing().resumed(now);
        self.requests.resumed(now);
    }

    /// Asks a silent server for a sign of life, or gives it up; changes keys that are old, or gives
    /// up a server with which that takes too long; gives up requests that it does not answer; lets
    /// channels go on that were held back in favour of small messages: [`Client::next_event`] tells
    /// of these.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if !self.is_connected() {
            return Ok(());
        }
        self.keep_up(now).inspect_err(|_| {
            self.phase = Phase::Over;
            // Nothing follows the end.
            self.ahead.clear();
        })
    }

    fn keep_up(&mut self, now: Instant) -> Result<(), Error> {
        let released = self.channels.pacing().expire(now);
        self.ahead.extend(released.into_iter().map(|channel| Ok(Event::Window(channel))));
        if self.watch.expired(now)? {
            self.ask_alive(now);
        }
        self.expire_requests(now);
        if self.keys.may_change() && self.wear.deadline().is_some_and(|due| due <= now) {
            self.offer();
        }
        if self.keys.may_change() { Ok(()) } else { self.wear.changing(now) }
    }

    /// Starts a key exchange when the keys of one direction have carried enough.
    pub(super) fn rekey_if_due(&mut self) {
        let is_out =
            self.wear.is_out(self.outbound.volume()) || self.wear.is_out(self.inbound.volume());
        if is_out && self.is_connected() && self.keys.may_change() {
            self.offer();
        }
    }
}
