//! Global requests of ours, and which of them an answer belongs to.
//!
//! An answer names no request: answers come in the order of the requests (RFC 4254 section 4). That
//! is enough for a server that answers all of them, and some do not: they leave out
//! `keepalive@openssh.com`, or `tcpip-forward`, and every later answer would be taken for that of
//! the request before. A port that the server has given to one forward would then lead to the target
//! of another. So nothing is concluded from the order alone that could do harm:
//!
//! - A request whose answer means something is sent when every other has its answer, and nothing but
//!   a keepalive that is due follows it before it has one. There is nothing to confuse it with.
//! - `SSH_MSG_UNIMPLEMENTED` names a packet, and so a request.
//! - A request without an answer is given up after its time, and remembered. An answer that comes
//!   later is taken for its own, as the order says: a success is cancelled, whatever it was for. The
//!   one that was sent meanwhile then fails, too, which is the worst that a server without order
//!   can do.
//! - An answer that a request cannot have is not its own: only a request for any port is answered
//!   with a port.
//! - A success that comes after all were answered is cancelled, too: a refusal before it may have been
//!   for a keepalive that came late, or the server has changed its mind.
//! - A server may answer keepalives or ignore them all. Until it is known which, the others wait for
//!   the answer to the first, but not for long. If it answers, the order counts from then on; if it
//!   does not, an answer is for a keepalive only where nothing else waits for one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::remote_forward::{Place, port_of};
use super::{Client, Event};
use crate::transport::PacketNumber;
use crate::wire::Reader;

/// The longest that others wait for the answer to the first keepalive, or for a proof of host keys,
/// however long forwards have.
const MAX_DOUBT: Duration = Duration::from_secs(5);
/// Keepalives without an answer that are remembered, of a server that has answered some.
const MAX_KEEPALIVES: usize = 64;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any answer is a sign of life.
    Keepalive,
    /// A proof that the server owns its host keys.
    HostKeys,
    /// To listen at a place.
    Listen(Place),
    /// To stop that.
    Stop(Place),
}

impl Kind {
    /// Whether this can be the answer, `content` if it is a success.
    fn admits(&self, content: Option<Reader<'_>>) -> bool {
        let Some(content) = content else { return true };
        let is_empty = content.remaining() == 0;
        match self {
            Kind::Keepalive | Kind::Stop(_) | Kind::Listen(Place::Unix(_)) => is_empty,
            Kind::HostKeys => content.remaining() > 4,
            Kind::Listen(Place::Tcp { port: 0, .. }) => port_of(content).is_some(),
            // Some servers name the port, too, that they were asked for.
            Kind::Listen(Place::Tcp { port, .. }) => is_empty || port_of(content) == Some(*port),
        }
    }

    /// How long an answer is waited for, of the time that a forward has.
    fn patience(&self, whole: Duration) -> Duration {
        match self {
            Kind::Keepalive | Kind::HostKeys => (whole / 4).min(MAX_DOUBT),
            Kind::Listen(_) | Kind::Stop(_) => whole,
        }
    }
}

/// A request that has to wait for its turn.
#[derive(Debug)]
struct Waiting {
    number: u64,
    kind: Kind,
    payload: Vec<u8>,
    /// Since when its time runs; `None` until somebody tells what time it is.
    since: Option<Instant>,
}

/// A request that the server has not answered.
#[derive(Debug)]
struct Sent {
    number: u64,
    kind: Kind,
    packet: PacketNumber,
    since: Option<Instant>,
    /// Nobody waits for the answer any more.
    given_up: bool,
}

/// A request, and what becomes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// It was given up before.
    pub(super) given_up: bool,
    /// It had to wait for its turn until then, and was never sent.
    pub(super) unsent: bool,
}

/// The requests that have no answer.
#[derive(Debug)]
pub(super) struct Requests {
    last: u64,
    waiting: VecDeque<Waiting>,
    /// In the order in which the server has got them.
    sent: VecDeque<Sent>,
    /// Where the server would not listen last. It may do so nevertheless.
    refused: Option<Place>,
    /// The time for the answer to a forward.
    patience: Duration,
    keepalives: Keepalives,
}

/// What a server does with keepalives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keepalives {
    /// None had the time to be answered.
    Unknown,
    Answered,
    Ignored,
}

impl Requests {
    pub(super) fn new(patience: Duration) -> Self {
        let (waiting, sent) = (VecDeque::new(), VecDeque::new());
        let keepalives = Keepalives::Unknown;
        Self { last: 0, waiting, sent, refused: None, patience, keepalives }
    }

    /// Whether every request has its answer, but for those that were given up.
    pub(super) fn are_settled(&self) -> bool {
        self.waiting.is_empty() && self.sent.iter().all(|sent| sent.given_up)
    }

    /// Places that nobody wants the server to listen at, although it may.
    pub(super) fn unwanted(&self) -> impl Iterator<Item = &Place> {
        self.sent.iter().filter(|sent| sent.given_up).map(|sent| &sent.kind).filter_map(|kind| {
            match kind {
                Kind::Listen(place) | Kind::Stop(place) => Some(place),
                Kind::Keepalive | Kind::HostKeys => None,
            }
        })
    }

    /// The next request to send, if one may be sent now.
    fn next(&mut self, now: Option<Instant>) -> Option<Waiting> {
        self.doubt_keepalives(now);
        let known = self.keepalives != Keepalives::Unknown;
        let may_follow = |sent: &Sent| sent.given_up || (known && sent.kind == Kind::Keepalive);
        match self.waiting.front()?.kind {
            Kind::Keepalive => {}
            _ if self.sent.iter().all(may_follow) => {}
            _ => return None,
        }
        self.waiting.pop_front()
    }

    /// When a request has had its time; `None` while that has not begun.
    fn due(&self, since: Option<Instant>, kind: &Kind) -> Option<Instant> {
        since?.checked_add(kind.patience(self.patience))
    }

    /// Looks whether a server that has never answered a keepalive has had the time for one.
    fn doubt_keepalives(&mut self, now: Option<Instant>) {
        let is_late = |sent: &Sent| {
            let due = self.due(sent.since, &sent.kind).filter(|_| sent.kind == Kind::Keepalive);
            due.zip(now).is_some_and(|(due, now)| due <= now)
        };
        if self.keepalives == Keepalives::Unknown && self.sent.iter().any(is_late) {
            self.keepalives = Keepalives::Ignored;
        }
    }

    /// Forgets the oldest keepalives, where a server answers others and not these.
    fn bound_keepalives(&mut self) {
        let is_keepalive = |sent: &Sent| sent.kind == Kind::Keepalive;
        if self.sent.iter().filter(|sent| is_keepalive(sent)).count() > MAX_KEEPALIVES
            && let Some(at) = self.sent.iter().position(is_keepalive)
        {
            self.sent.remove(at);
        }
    }

    /// Which request an answer is for: the first that can have it, or the first but for keepalives
    /// where the server ignores those.
    fn find(&self, content: Option<Reader<'_>>) -> usize {
        let admits = |sent: &Sent| sent.kind.admits(content);
        let is_other = |sent: &Sent| admits(sent) && sent.kind != Kind::Keepalive;
        let ignores = self.keepalives == Keepalives::Ignored;
        let other = self.sent.iter().position(is_other).filter(|_| ignores);
        other.or_else(|| self.sent.iter().position(admits)).unwrap_or_default()
    }

    /// The place that was refused last, if this success can only be about that: no request can have
    /// it, or none but keepalives that the server ignores.
    fn take_refused(&mut self, content: Reader<'_>, now: Option<Instant>) -> Option<Place> {
        self.doubt_keepalives(now);
        let ignores = self.keepalives == Keepalives::Ignored;
        let may_have = |sent: &Sent| {
            sent.kind.admits(Some(content)) && !(ignores && sent.kind == Kind::Keepalive)
        };
        if self.sent.iter().any(may_have) {
            return None;
        }
        self.refused.take_if(|place| Kind::Listen(place.clone()).admits(Some(content)))
    }

    /// An answer has come, `content` if it is a success. Returns the request that it is for, and
    /// those before it that the server has passed over.
    fn answered(
        &mut self,
        content: Option<Reader<'_>>,
        now: Option<Instant>,
    ) -> Option<(Fate, Vec<Fate>)> {
        self.doubt_keepalives(now);
        let at = self.find(content);
        let mut fates: Vec<_> =
            self.sent.drain(..self.sent.len().min(at + 1)).map(Fate::from).collect();
        let fate = fates.pop()?;
        self.go_on(&fate, now);
        Some((fate, fates))
    }

    /// The server does not know the message with this number; returns the request that it was.
    fn unimplemented(&mut self, sequence: u32, now: Option<Instant>) -> Option<Fate> {
        let named = |sent: &Sent| sent.packet.sequence == sequence;
        let live = self.sent.iter().position(|sent| named(sent) && !sent.given_up);
        let at = live.or_else(|| self.sent.iter().position(named))?;
        let fate = self.sent.remove(at).map(Fate::from)?;
        self.go_on(&fate, now);
        Some(fate)
    }

    /// The server answers: those that wait for their turn have all of their time again.
    fn go_on(&mut self, answered: &Fate, now: Option<Instant>) {
        if answered.kind == Kind::Keepalive {
            self.keepalives = Keepalives::Answered;
        }
        for waiting in &mut self.waiting {
            waiting.since = now;
        }
    }

    /// When [`Requests::expire`] has something to do; at once, `now` or long ago, where a time has to
    /// be begun. `may_send`: nothing but other requests keeps one from being sent.
    pub(super) fn timeout(&self, now: Option<Instant>, may_send: bool) -> Option<Instant> {
        let due = |since: Option<Instant>, kind: &Kind| match since {
            None => now,
            since => self.due(since, kind),
        };
        let waiting = self.waiting.iter().filter(|waiting| waiting.kind != Kind::Keepalive);
        let waiting = waiting.map(|waiting| due(waiting.since, &waiting.kind));
        let live = self.sent.iter().filter(|sent| !sent.given_up);
        let (keepalives, others): (Vec<_>, Vec<_>) =
            live.partition(|sent| sent.kind == Kind::Keepalive);
        // Nothing but the first keepalive keeps others waiting.
        let keeps = may_send
            && self.keepalives == Keepalives::Unknown
            && !self.waiting.is_empty()
            && others.is_empty();
        let keepalives = keepalives.iter().filter(|_| keeps);
        let sent = others.iter().chain(keepalives).map(|sent| due(sent.since, &sent.kind));
        waiting.chain(sent).flatten().min()
    }

    /// The process was paused: everything has all of its time again.
    pub(super) fn resumed(&mut self, now: Instant) {
        let sent = self.sent.iter_mut().map(|sent| &mut sent.since);
        for since in sent.chain(self.waiting.iter_mut().map(|waiting| &mut waiting.since)) {
            *since = Some(now);
        }
    }

    /// Gives up what had enough time.
    fn expire(&mut self, now: Instant) -> Vec<Fate> {
        let patience = self.patience;
        let is_due = |since: &mut Option<Instant>, kind: &Kind| {
            let since = *since.get_or_insert(now);
            since.checked_add(kind.patience(patience)).is_some_and(|due| due <= now)
        };
        let mut fates = Vec::new();
        for sent in &mut self.sent {
            let due = is_due(&mut sent.since, &sent.kind);
            if due && !sent.given_up && sent.kind != Kind::Keepalive {
                let (number, kind) = (sent.number, sent.kind.clone());
                fates.push(Fate { number, kind, given_up: false, unsent: false });
                sent.given_up = true;
            }
        }
        self.waiting.retain_mut(|waiting| {
            let due = is_due(&mut waiting.since, &waiting.kind) && waiting.kind != Kind::Keepalive;
            if due {
                let (number, kind) = (waiting.number, waiting.kind.clone());
                fates.push(Fate { number, kind, given_up: false, unsent: true });
            }
            !due
        });
        fates
    }
}

impl From<Sent> for Fate {
    fn from(sent: Sent) -> Self {
        Self { number: sent.number, kind: sent.kind, given_up: sent.given_up, unsent: false }
    }
}

impl Client {
    /// Sends a global request that wants an answer, now or in its turn; returns its number.
    pub(super) fn request(&mut self, kind: Kind, payload: Vec<u8>) -> u64 {
        self.requests.last += 1;
        let number = self.requests.last;
        let waiting = Waiting { number, kind, payload, since: None };
        self.requests.waiting.push_back(waiting);
        self.send_requests(self.watch.last_heard());
        number
    }

    /// Asks for a sign of life, before everything that waits. Returns the number of the request.
    pub(super) fn ask_alive(&mut self, now: Instant) -> u64 {
        let asks = |waiting: &Waiting| waiting.kind == Kind::Keepalive;
        if let Some(waiting) = self.requests.waiting.front().filter(|front| asks(front)) {
            return waiting.number;
        }
        self.requests.last += 1;
        let number = self.requests.last;
        let payload = super::keepalive::request();
        let waiting = Waiting { number, kind: Kind::Keepalive, payload, since: Some(now) };
        self.requests.waiting.push_front(waiting);
        self.send_requests(Some(now));
        number
    }

    /// Sends the requests whose turn has come. While keys are being changed they wait.
    pub(super) fn send_requests(&mut self, now: Option<Instant>) {
        while self.is_connected() && self.keys.are_settled() {
            let Some(next) = self.requests.next(now) else { return };
            let packet = self.outbound.next_number();
            let Waiting { number, kind, payload, since } = next;
            let sent = Sent { number, kind, packet, since, given_up: false };
            self.requests.sent.push_back(sent);
            self.requests.bound_keepalives();
            self.send(&payload);
        }
    }

    /// An answer to a global request of ours, `content` if it was granted.
    pub(super) fn global_answer(&mut self, content: Option<Reader<'_>>) -> Option<Event> {
        let heard = self.watch.last_heard();
        if let Some(content) = content
            && let Some(place) = self.requests.take_refused(content, heard)
        {
            self.stop_late(place, content);
            return None;
        }
        let (answered, skipped) = self.requests.answered(content, heard)?;
        for fate in skipped {
            self.unanswered(&fate);
        }
        self.settle(answered, content, None);
        self.send_requests(heard);
        self.ahead.pop_front().and_then(Result::ok)
    }

    /// UNIMPLEMENTED: `uint32 sequence number` of the message that the server does not know.
    pub(super) fn unimplemented(&mut self, reader: &mut Reader<'_>) -> Option<Event> {
        let sequence = reader.uint32().ok()?.wrapping_sub(self.keys.counts_ahead());
        if !self.is_connected() {
            return None;
        }
        let heard = self.watch.last_heard();
        let Some(fate) = self.requests.unimplemented(sequence, heard) else {
            return self.open_unimplemented(sequence);
        };
        self.settle(fate, None, Some(Refusal::Unimplemented));
        self.send_requests(heard);
        self.ahead.pop_front().and_then(Result::ok)
    }

    /// Gives up the requests that had enough time.
    pub(super) fn expire_requests(&mut self, now: Instant) {
        for fate in self.requests.expire(now) {
            self.unanswered(&fate);
            if let Fate { kind: Kind::Stop(place), unsent: true, .. } = &fate {
                self.stop_unasked(place);
            }
        }
        self.send_requests(Some(now));
    }

    /// There will be no answer.
    fn unanswered(&mut self, fate: &Fate) {
        if !fate.given_up {
            let event = self.forward_answer(fate.number, Err(Refusal::Silent));
            self.ahead.extend(event.map(Ok));
            self.proof(fate.number, None);
        }
    }

    fn settle(&mut self, fate: Fate, content: Option<Reader<'_>>, refusal: Option<Refusal>) {
        if fate.given_up {
            if let (Kind::Listen(place), Some(content)) = (fate.kind, content) {
                self.stop_late(place, content);
            }
            return;
        }
        self.answered(fate.number);
        if let (Kind::Listen(place), None) = (fate.kind, content) {
            self.requests.refused = Some(place);
        }
        let answer = content.ok_or(refusal.unwrap_or(Refusal::Denied));
        let event = self.forward_answer(fate.number, answer);
        let event = event.or_else(|| self.proof(fate.number, content));
        self.ahead.extend(event.map(Ok));
    }
}

/// Why a server does not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It says no.
    Denied,
    /// It does not know such requests.
    Unimplemented,
    /// It does not answer.
    Silent,
}
