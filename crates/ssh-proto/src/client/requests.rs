//! Global requests of ours, and which of them an answer belongs to.

use super::Client;

/// Counts requests and answers: an answer names no request, but they come in the order of the
/// requests (RFC 4254 section 4).
#[derive(Debug, Default)]
pub(super) struct Requests {
    sent: u64,
    answered: u64,
}

impl Requests {
    /// An answer has come; returns the number of its request, if there is one.
    pub(super) fn answered(&mut self) -> Option<u64> {
        if self.answered == self.sent {
            return None;
        }
        self.answered += 1;
        Some(self.answered)
    }
}

impl Client {
    /// Sends a global request that wants an answer; returns its number.
    pub(super) fn request(&mut self, payload: &[u8]) -> u64 {
        self.requests.sent += 1;
        self.send(payload);
        self.requests.sent
    }
}
