//! Our global requests, and which reply belongs to which of them (RFC 4254 section 4).
//!
//! A reply names no request: replies come in the order of the requests. That is enough for a server
//! that replies to all of them. Some leave out `keepalive@openssh.com` or `tcpip-forward`, and every
//! later reply would be taken for that of the request before: a port that the server has given to
//! one forward would lead to the target of another. So the order alone decides nothing that could do
//! harm:
//!
//! - A request whose reply matters is sent when every other has its reply, and nothing but a
//!   keepalive that is due follows it before it has one.
//! - `SSH_MSG_UNIMPLEMENTED` names a packet, and so a request.
//! - A request without a reply is given up after its time, and remembered. A later reply is taken
//!   for its own, as the order says: a success is cancelled, whatever it was for. The request that
//!   was sent meanwhile then fails too, which is the worst that a server without order can cause.
//! - A reply that a request cannot have is not its own: only a request for any port is answered with
//!   a port.
//! - A success that comes after all requests have their replies is cancelled too: a failure before
//!   it may have been for a late keepalive, or the server has changed its mind.
//! - A server may reply to keepalives or ignore them all. Until it is known which, other requests
//!   wait for the reply to the first keepalive, but not for long. If it replies, the order counts
//!   from then on; if it does not, a reply is for a keepalive only where no other request awaits
//!   one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::remote_forward::{ListenAddr, port_in};
use crate::message::GLOBAL_REQUEST;
use crate::transport::PacketNumber;
use crate::wire::{Reader, Writer, message};

/// How long other requests wait at most for the reply to the first keepalive, and how long a proof
/// of host keys is awaited, however long the time for forwards is.
const MAX_KEEPALIVE_WAIT: Duration = Duration::from_secs(5);
/// Keepalives without a reply that are remembered, of a server that has replied to some.
const MAX_KEEPALIVES: usize = 64;

/// Why a global request has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The server reports success, and no port of its own that is free.
    NoPort,
    /// The server has denied it.
    Denied,
    /// The server does not know such requests.
    Unimplemented,
    /// The server has not replied in time.
    TimedOut,
}

/// The subject of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any reply is a sign of life.
    Keepalive,
    /// A proof that the server owns its host keys.
    HostKeys,
    /// To listen on an address.
    Listen(ListenAddr),
    /// To stop listening on it.
    Cancel(ListenAddr),
}

impl Kind {
    /// Whether this can be the reply: `success` holds the rest of REQUEST_SUCCESS.
    fn admits(&self, success: Option<Reader<'_>>) -> bool {
        let Some(rest) = success else { return true };
        let is_empty = rest.remaining() == 0;
        match self {
            Kind::Keepalive | Kind::Cancel(_) | Kind::Listen(ListenAddr::Unix(_)) => is_empty,
            Kind::HostKeys => rest.remaining() > 4,
            Kind::Listen(ListenAddr::Tcp { port: 0, .. }) => port_in(rest).is_some(),
            // Some servers repeat the port that was requested.
            Kind::Listen(ListenAddr::Tcp { port, .. }) => is_empty || port_in(rest) == Some(*port),
        }
    }

    /// Returns how long the reply is awaited, given the time for forwards.
    fn timeout(&self, forwards: Duration) -> Duration {
        match self {
            Kind::Keepalive | Kind::HostKeys => (forwards / 4).min(MAX_KEEPALIVE_WAIT),
            Kind::Listen(_) | Kind::Cancel(_) => forwards,
        }
    }
}

/// A request that waits for its turn.
#[derive(Debug)]
struct Queued {
    number: u64,
    kind: Kind,
    payload: Vec<u8>,
    /// When its time began; `None` until the time is known.
    since: Option<Instant>,
}

/// A request that the server has not replied to.
#[derive(Debug)]
struct Sent {
    number: u64,
    kind: Kind,
    packet: PacketNumber,
    since: Option<Instant>,
    /// The reply is not awaited any more.
    given_up: bool,
}

/// A request that has its reply, or gets none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    /// It was given up before.
    pub(crate) given_up: bool,
    /// It was never sent.
    pub(crate) unsent: bool,
}

impl From<Sent> for Finished {
    fn from(sent: Sent) -> Self {
        Self { number: sent.number, kind: sent.kind, given_up: sent.given_up, unsent: false }
    }
}

/// The requests that await a reply.
#[derive(Debug)]
pub(crate) struct GlobalRequests {
    last_number: u64,
    queued: VecDeque<Queued>,
    /// In the order in which the server receives them.
    sent: VecDeque<Sent>,
    /// The address of the last request to listen that was denied. The server may listen
    /// nevertheless.
    denied: Option<ListenAddr>,
    /// The time for the reply to a forward.
    timeout: Duration,
    keepalives: Keepalives,
}

/// What a server does with keepalives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keepalives {
    /// None had the time to be replied to.
    Unknown,
    Answered,
    Ignored,
}

impl GlobalRequests {
    pub(crate) fn new(timeout: Duration) -> Self {
        let (queued, sent) = (VecDeque::new(), VecDeque::new());
        let keepalives = Keepalives::Unknown;
        Self { last_number: 0, queued, sent, denied: None, timeout, keepalives }
    }

    /// Queues a request that wants a reply; returns its number.
    pub(crate) fn push(&mut self, kind: Kind, payload: Vec<u8>) -> u64 {
        self.last_number += 1;
        let number = self.last_number;
        self.queued.push_back(Queued { number, kind, payload, since: None });
        number
    }

    /// Queues a keepalive before all other requests, unless one is there; returns its number.
    pub(crate) fn push_keepalive(&mut self, now: Instant) -> u64 {
        if let Some(Queued { number, kind: Kind::Keepalive, .. }) = self.queued.front() {
            return *number;
        }
        let mut payload = message(GLOBAL_REQUEST);
        // Any reply will do, and servers reply to requests that they do not know.
        payload.put_string(b"keepalive@openssh.com");
        payload.put_boolean(true);
        self.last_number += 1;
        let number = self.last_number;
        let keepalive = Queued { number, kind: Kind::Keepalive, payload, since: Some(now) };
        self.queued.push_front(keepalive);
        number
    }

    /// Whether every request has its reply or was given up.
    pub(crate) fn are_settled(&self) -> bool {
        self.queued.is_empty() && self.sent.iter().all(|sent| sent.given_up)
    }

    /// Returns the addresses that the server may listen on although nobody wants it to.
    pub(crate) fn unwanted(&self) -> impl Iterator<Item = &ListenAddr> {
        self.sent.iter().filter(|sent| sent.given_up).filter_map(|sent| match &sent.kind {
            Kind::Listen(address) | Kind::Cancel(address) => Some(address),
            Kind::Keepalive | Kind::HostKeys => None,
        })
    }

    /// Takes the next request, if one may be sent now; `packet` is the number of its packet.
    pub(crate) fn next(&mut self, now: Option<Instant>, packet: PacketNumber) -> Option<Vec<u8>> {
        self.check_keepalives(now);
        let known = self.keepalives != Keepalives::Unknown;
        let may_follow = |sent: &Sent| sent.given_up || (known && sent.kind == Kind::Keepalive);
        let is_keepalive = self.queued.front()?.kind == Kind::Keepalive;
        if !is_keepalive && !self.sent.iter().all(may_follow) {
            return None;
        }
        let Queued { number, kind, payload, since } = self.queued.pop_front()?;
        self.sent.push_back(Sent { number, kind, packet, since, given_up: false });
        self.bound_keepalives();
        Some(payload)
    }

    /// Returns when the time of a request is over; `None` while it has not begun.
    fn due(&self, since: Option<Instant>, kind: &Kind) -> Option<Instant> {
        since?.checked_add(kind.timeout(self.timeout))
    }

    /// Checks whether a server that has never replied to a keepalive had the time to.
    fn check_keepalives(&mut self, now: Option<Instant>) {
        let is_late = |sent: &Sent| {
            let due = self.due(sent.since, &sent.kind).filter(|_| sent.kind == Kind::Keepalive);
            due.zip(now).is_some_and(|(due, now)| due <= now)
        };
        if self.keepalives == Keepalives::Unknown && self.sent.iter().any(is_late) {
            self.keepalives = Keepalives::Ignored;
        }
    }

    /// Forgets the oldest keepalives, where a server replies to others and not to these.
    fn bound_keepalives(&mut self) {
        let is_keepalive = |sent: &Sent| sent.kind == Kind::Keepalive;
        if self.sent.iter().filter(|sent| is_keepalive(sent)).count() > MAX_KEEPALIVES
            && let Some(at) = self.sent.iter().position(is_keepalive)
        {
            self.sent.remove(at);
        }
    }

    /// Returns which request a reply is for: the first that can have it. Where the server ignores
    /// keepalives, the first other one.
    fn find(&self, success: Option<Reader<'_>>) -> usize {
        let admits = |sent: &Sent| sent.kind.admits(success);
        let is_other = |sent: &Sent| admits(sent) && sent.kind != Kind::Keepalive;
        let ignores = self.keepalives == Keepalives::Ignored;
        let other = self.sent.iter().position(is_other).filter(|_| ignores);
        other.or_else(|| self.sent.iter().position(admits)).unwrap_or_default()
    }

    /// Returns the address that was denied last, if this success can only be about it: no request
    /// can have it, or only keepalives that the server ignores.
    pub(crate) fn take_denied(
        &mut self,
        success: Reader<'_>,
        now: Option<Instant>,
    ) -> Option<ListenAddr> {
        self.check_keepalives(now);
        let ignores = self.keepalives == Keepalives::Ignored;
        let may_have = |sent: &Sent| {
            sent.kind.admits(Some(success)) && !(ignores && sent.kind == Kind::Keepalive)
        };
        if self.sent.iter().any(may_have) {
            return None;
        }
        self.denied.take_if(|address| Kind::Listen(address.clone()).admits(Some(success)))
    }

    /// Remembers the address of a request to listen that has failed.
    pub(crate) fn set_denied(&mut self, address: ListenAddr) {
        self.denied = Some(address);
    }

    /// Handles a reply; `success` holds the rest of REQUEST_SUCCESS. Returns the request that it is
    /// for, and the earlier ones, which the server has left out.
    pub(crate) fn replied(
        &mut self,
        success: Option<Reader<'_>>,
        now: Option<Instant>,
    ) -> Option<(Finished, Vec<Finished>)> {
        self.check_keepalives(now);
        let at = self.find(success);
        let mut finished: Vec<_> =
            self.sent.drain(..self.sent.len().min(at + 1)).map(Finished::from).collect();
        let replied = finished.pop()?;
        self.restart_queue(&replied, now);
        Some((replied, finished))
    }

    /// Handles UNIMPLEMENTED for the packet with this sequence number; returns its request.
    pub(crate) fn unimplemented(
        &mut self,
        sequence: u32,
        now: Option<Instant>,
    ) -> Option<Finished> {
        let is_it = |sent: &Sent| sent.packet.sequence == sequence;
        let awaited = self.sent.iter().position(|sent| is_it(sent) && !sent.given_up);
        let at = awaited.or_else(|| self.sent.iter().position(is_it))?;
        let replied = self.sent.remove(at).map(Finished::from)?;
        self.restart_queue(&replied, now);
        Some(replied)
    }

    /// Restarts the time of the queued requests: the server replies.
    fn restart_queue(&mut self, replied: &Finished, now: Option<Instant>) {
        if replied.kind == Kind::Keepalive {
            self.keepalives = Keepalives::Answered;
        }
        for queued in &mut self.queued {
            queued.since = now;
        }
    }

    /// Returns when [`GlobalRequests::expire`] is due; `now`, or long ago, where a time has to
    /// begin. `may_send`: nothing but other requests keeps one from being sent.
    pub(crate) fn next_timeout(&self, now: Option<Instant>, may_send: bool) -> Option<Instant> {
        let due = |since: Option<Instant>, kind: &Kind| match since {
            None => now,
            since => self.due(since, kind),
        };
        let queued = self.queued.iter().filter(|queued| queued.kind != Kind::Keepalive);
        let queued = queued.map(|queued| due(queued.since, &queued.kind));
        let awaited = self.sent.iter().filter(|sent| !sent.given_up);
        let (keepalives, others): (Vec<_>, Vec<_>) =
            awaited.partition(|sent| sent.kind == Kind::Keepalive);
        // Nothing but the first keepalive delays other requests.
        let is_delaying = may_send
            && self.keepalives == Keepalives::Unknown
            && !self.queued.is_empty()
            && others.is_empty();
        let keepalives = keepalives.iter().filter(|_| is_delaying);
        let sent = others.iter().chain(keepalives).map(|sent| due(sent.since, &sent.kind));
        queued.chain(sent).flatten().min()
    }

    /// Restarts all times after a pause of the process.
    pub(crate) fn resumed(&mut self, now: Instant) {
        let sent = self.sent.iter_mut().map(|sent| &mut sent.since);
        for since in sent.chain(self.queued.iter_mut().map(|queued| &mut queued.since)) {
            *since = Some(now);
        }
    }

    /// Gives up the requests whose time is over, and begins the times that have not.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Finished> {
        let timeout = self.timeout;
        let is_due = |since: &mut Option<Instant>, kind: &Kind| {
            let since = *since.get_or_insert(now);
            let due = since.checked_add(kind.timeout(timeout)).is_some_and(|due| due <= now);
            due && *kind != Kind::Keepalive
        };
        let finished = |number: u64, kind: &Kind, unsent| Finished {
            number,
            kind: kind.clone(),
            given_up: false,
            unsent,
        };
        let mut expired = Vec::new();
        for sent in &mut self.sent {
            if is_due(&mut sent.since, &sent.kind) && !sent.given_up {
                expired.push(finished(sent.number, &sent.kind, false));
                sent.given_up = true;
            }
        }
        self.queued.retain_mut(|queued| {
            let is_due = is_due(&mut queued.since, &queued.kind);
            if is_due {
                expired.push(finished(queued.number, &queued.kind, true));
            }
            !is_due
        });
        expired
    }
}

#[cfg(test)]
mod tests;
