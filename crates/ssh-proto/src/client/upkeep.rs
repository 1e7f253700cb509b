//! What has to be done now and then: asking a silent server, changing worn keys.

use std::time::Instant;

use super::{Client, Phase, keepalive};
use crate::Error;

impl Client {
    /// When [`Client::handle_timeout`] is to be called, if ever.
    pub fn timeout(&self) -> Option<Instant> {
        let wear = self.wear.deadline().filter(|_| self.keys.may_change());
        let due = self.watch.deadline().into_iter().chain(wear).min();
        due.filter(|_| self.is_connected())
    }

    /// Asks a silent server for a sign of life, or gives it up; changes keys that are old.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if !self.is_connected() {
            return Ok(());
        }
        match self.watch.expired(now) {
            Ok(true) => {
                self.host_keys.requested();
                self.send(&keepalive::request());
            }
            Ok(false) => {}
            Err(error) => {
                self.phase = Phase::Over;
                return Err(error);
            }
        }
        if self.keys.may_change() && self.wear.deadline().is_some_and(|due| due <= now) {
            self.offer();
        }
        Ok(())
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
