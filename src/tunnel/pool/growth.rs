//! When a further session may connect: what the application and the server allow.

use std::time::{Duration, Instant};

use crate::session::{self, Backoff, LossReason, Reconnect};

/// The maximum number of sessions that connect at once. sshd drops clients at random from 10 on
/// (MaxStartups), and this tunnel may not be its only client.
pub(super) const MAX_CONNECTING: usize = 4;
/// A session that the server ends earlier, without any data from a target, was refused.
const EARLY: Duration = Duration::from_secs(5);
/// The waits before a further session after a failure. Nothing waits for it: the others do the work.
const RETRY: Reconnect = Reconnect {
    initial_delay: Duration::from_secs(1),
    max_delay: Duration::from_secs(60),
    max_attempts: None,
    initial: false,
};

/// The sessions of a tunnel by what they do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// Those that the server has authenticated, also while they are being disconnected.
    pub(super) existing: usize,
    pub(super) connecting: usize,
}

/// The number of sessions that a tunnel may have.
pub(super) struct Growth {
    max: usize,
    /// The number that the server has refused to exceed, until a session is lost.
    limit: Option<usize>,
    permit: Permit,
    /// The latest session that the server has ended as soon as it could.
    refused: Option<Refused>,
    /// The maximum number of sessions that connect at once.
    at_once: usize,
    backoff: Backoff,
    /// Whether the failure of further sessions has been reported.
    reported: bool,
}

/// Whether a further session may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permit {
    /// At any time: the latest one came up.
    Always,
    /// From this time on, alone: one was lost or failed.
    From(Instant),
    /// Once any other session has come up: a retry would fail in the same way.
    Never,
}

/// A session that the server has ended as soon as it could.
#[derive(Clone, Copy, Debug)]
struct Refused {
    /// The number of other sessions.
    existing: usize,
    /// Whether another one has come up since.
    up_since: bool,
}

/// How a server has refused a session that its user might have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// It has too many connections that are not authenticated, for now.
    Busy,
    /// It ended this one, perhaps because of its number of sessions.
    Ended,
    /// It has as many sessions as it allows.
    TooMany,
}

impl Refusal {
    /// Returns how the server refused to begin a session; `None` if something else went wrong.
    fn of(error: &session::Error) -> Option<Self> {
        let session::Error::Disconnected { reason, .. } = error.root() else { return None };
        match reason.as_ref()? {
            LossReason::Unidentified => Some(Self::Busy),
            LossReason::Closed | LossReason::Disconnect => Some(Self::Ended),
            LossReason::TooMany => Some(Self::TooMany),
            LossReason::Network | LossReason::Silent | LossReason::Rekey | LossReason::Protocol => {
                None
            }
        }
    }
}

impl Growth {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            limit: None,
            permit: Permit::Always,
            refused: None,
            at_once: MAX_CONNECTING,
            backoff: Backoff::new(RETRY),
            reported: false,
        }
    }

    /// Returns whether a further session may connect now.
    pub(super) fn allows(&self, counts: Counts, now: Instant) -> bool {
        let all = counts.existing + counts.connecting;
        let is_permitted = match self.permit {
            Permit::Always => true,
            Permit::From(due) => due <= now && counts.connecting == 0,
            Permit::Never => false,
        };
        let max = self.limit.map_or(self.max, |limit| limit.min(self.max));
        is_permitted && all < max && counts.connecting < self.at_once
    }

    /// Records that a session has come up, the last of this number.
    pub(super) fn up(&mut self, existing: usize, now: Instant) {
        self.backoff.up(now);
        self.reported = false;
        if existing == 1 {
            self.at_once = MAX_CONNECTING;
        }
        self.limit = self.limit.map(|limit| limit.max(existing));
        self.refused = self.refused.map(|refused| Refused { up_since: true, ..refused });
        self.permit = Permit::Always;
    }

    /// Records that a further session could not connect beside this number. Returns whether that is to
    /// be reported.
    pub(super) fn failed(&mut self, error: &session::Error, existing: usize, now: Instant) -> bool {
        let refusal = Refusal::of(error);
        if refusal == Some(Refusal::Busy) {
            self.at_once = (self.at_once / 2).max(1);
        }
        // One that came up since shows that the server refused the earlier one for another reason.
        self.refused = self.refused.filter(|refused| !refused.up_since);
        self.wait_after(error, refusal, existing, now);
        refusal.is_none() && !std::mem::replace(&mut self.reported, true)
    }

    /// Records that a session was lost that had come up at this time, and may have carried data from a
    /// target. This number is left.
    pub(super) fn lost(
        &mut self,
        error: &session::Error,
        (since, served): (Instant, bool),
        existing: usize,
        now: Instant,
    ) {
        if served {
            self.backoff.served();
        }
        let is_early = !served && now.duration_since(since) < EARLY;
        let refusal = Refusal::of(error).filter(|refusal| is_early || *refusal == Refusal::TooMany);
        if refusal.is_none() {
            // The server may allow more from now on.
            self.limit = None;
            self.refused = None;
        }
        self.wait_after(error, refusal, existing, now);
    }

    /// Delays the next session after the failure of one.
    fn wait_after(
        &mut self,
        error: &session::Error,
        refusal: Option<Refusal>,
        existing: usize,
        now: Instant,
    ) {
        if refusal == Some(Refusal::TooMany) {
            self.limit = Some(existing.max(1));
            return;
        }
        match self.permit {
            // Sessions that connect and fail together are one failure.
            Permit::From(due) if due > now => return,
            Permit::Never => return,
            Permit::Always | Permit::From(_) => {}
        }
        if refusal == Some(Refusal::Ended) {
            let before = self.refused.replace(Refused { existing, up_since: false });
            if before.is_some_and(|before| before.existing >= existing) {
                // Twice, the second time alone, is no coincidence.
                self.limit = Some(existing.max(1));
                self.permit = Permit::Always;
                return;
            }
        }
        let next = self.backoff.next(error, now);
        self.permit = next.map_or(Permit::Never, |attempt| Permit::From(now + attempt.delay));
    }
}

#[cfg(test)]
mod tests;
