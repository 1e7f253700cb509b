//! One remote forward: a port, or a path, that the SSH server listens on. It is requested on one
//! session, and on the next when that one is disconnected.

use std::time::{Duration, Instant};

use ssh_proto::{ChannelId, OpenFailure};

use crate::tunnel::Endpoint;
use crate::tunnel::pending::Reply;

/// After the loss of a session the server may hold its ports until it notices: the first and the
/// longest wait before a refused request is repeated.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_secs(2);
/// A port that the server chose is requested until the wait is longer than this, 700 ms in all; then
/// the server chooses another.
const MAX_WAIT_FOR_CHOSEN: Duration = Duration::from_millis(400);

/// The id of a session.
pub(crate) type SessionId = u32;

/// A request to the server about a remote forward.
#[derive(Debug)]
pub(crate) enum ForwardRequest {
    /// Asks it to listen for the forward with this id.
    Listen(i64, Endpoint),
    /// Asks it to stop listening.
    Cancel(i64),
    /// Rejects an inbound channel.
    Reject(ChannelId, OpenFailure),
}

/// A remote forward.
pub(crate) struct Remote {
    /// The address as the application gave it.
    configured: Endpoint,
    /// The address to request: once the server has chosen a port, with that port.
    address: Endpoint,
    state: State,
    /// Once it has listened: how refusals are treated.
    retry: Option<Retry>,
}

enum State {
    /// Waits for a session.
    Waiting,
    Requested(SessionId),
    /// Was refused; will be requested again at this time.
    Refused(Instant),
    Listening(SessionId),
    /// The request is cancelled; the callers wait for the server's answer.
    Cancelling(SessionId, Vec<Reply<()>>),
}

/// The repetition of refused requests after the loss of a session.
struct Retry {
    /// When a refusal becomes final; set by the first request.
    until: Option<Instant>,
    /// The wait after the next refusal.
    wait: Duration,
}

impl Retry {
    fn new() -> Self {
        Self { until: None, wait: FIRST_WAIT }
    }
}

impl Remote {
    pub(crate) fn new(configured: Endpoint) -> Self {
        Self { address: configured.clone(), configured, state: State::Waiting, retry: None }
    }

    /// Returns the address to request.
    pub(crate) fn address(&self) -> &Endpoint {
        &self.address
    }

    /// Returns the address that the server listens on.
    pub(crate) fn bound(&self) -> Option<&Endpoint> {
        matches!(self.state, State::Listening(_)).then_some(&self.address)
    }

    /// Returns when a refused request is repeated.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Refused(due) => Some(due),
            State::Waiting | State::Requested(_) | State::Listening(_) | State::Cancelling(..) => {
                None
            }
        }
    }

    /// Returns whether it waits for a session.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    /// Returns whether the server has ever listened.
    pub(crate) fn was_up(&self) -> bool {
        self.retry.is_some()
    }

    pub(crate) fn is_cancelling(&self) -> bool {
        matches!(self.state, State::Cancelling(..))
    }

    /// Returns whether it listens, or has a request, on this session.
    pub(crate) fn is_on(&self, session: SessionId) -> bool {
        match self.state {
            State::Requested(id) | State::Listening(id) | State::Cancelling(id, _) => id == session,
            State::Waiting | State::Refused(_) => false,
        }
    }

    /// Gives a server that still refuses its full time after a pause of the process.
    pub(crate) fn resumed(&mut self, until: Instant) {
        if let Some(retry) = &mut self.retry {
            retry.until = retry.until.map(|_| until);
        }
    }

    /// Returns the address to request on this session now, if any.
    pub(crate) fn request(
        &mut self,
        session: SessionId,
        now: Instant,
        timeout: Duration,
    ) -> Option<Endpoint> {
        match self.state {
            State::Waiting => {}
            State::Refused(due) if due <= now => {}
            State::Refused(_)
            | State::Requested(_)
            | State::Listening(_)
            | State::Cancelling(..) => return None,
        }
        if let Some(retry) = &mut self.retry {
            retry.until.get_or_insert(now + timeout);
        }
        self.state = State::Requested(session);
        Some(self.address.clone())
    }

    /// Records that the server listens, on this port.
    pub(crate) fn listening(&mut self, session: SessionId, bound: u16) {
        self.state = State::Listening(session);
        self.retry = Some(Retry::new());
        if let Endpoint::Tcp { port, .. } = &mut self.address {
            *port = bound;
        }
    }

    /// Records a refusal. Returns whether it is final.
    pub(crate) fn refused(&mut self, now: Instant) -> bool {
        let Some(retry) = &mut self.retry else { return true };
        let is_over = retry.until.is_none_or(|until| until <= now);
        if self.address != self.configured && (is_over || retry.wait > MAX_WAIT_FOR_CHOSEN) {
            // The server had chosen the port, and may choose another.
            self.address = self.configured.clone();
            self.state = State::Refused(now);
            return false;
        }
        if is_over {
            return true;
        }
        self.state = State::Refused(now + retry.wait);
        retry.wait = (retry.wait * 2).min(MAX_WAIT);
        false
    }

    /// Waits for another session, after the loss of this one.
    pub(crate) fn disconnected(&mut self) {
        self.retry = self.retry.take().map(|_| Retry::new());
        self.state = State::Waiting;
    }

    /// Cancels the request. Takes the caller if that needs the server's answer.
    pub(crate) fn cancel(&mut self, reply: &mut Option<Reply<()>>) -> Cancelled {
        match &mut self.state {
            State::Cancelling(_, replies) => {
                replies.extend(reply.take());
                Cancelled::Before
            }
            State::Requested(session) | State::Listening(session) => {
                let session = *session;
                self.state = State::Cancelling(session, reply.take().into_iter().collect());
                Cancelled::On(session)
            }
            State::Waiting | State::Refused(_) => Cancelled::Unrequested,
        }
    }

    /// Takes the callers that wait for the cancellation.
    pub(crate) fn take_cancelling(&mut self) -> Vec<Reply<()>> {
        match &mut self.state {
            State::Cancelling(_, replies) => std::mem::take(replies),
            State::Waiting | State::Requested(_) | State::Refused(_) | State::Listening(_) => {
                Vec::new()
            }
        }
    }
}

/// The outcome of [`Remote::cancel`].
pub(crate) enum Cancelled {
    /// The server has to be asked, on this session.
    On(SessionId),
    /// The server has been asked already.
    Before,
    /// There is no request to cancel.
    Unrequested,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn tcp(port: u16) -> Endpoint {
        Endpoint::Tcp { host: "".into(), port }
    }

    /// Refuses until another port is requested. Returns how long that took.
    fn refuse_until_another(remote: &mut Remote, start: Instant) -> Option<Duration> {
        let mut now = start;
        let first = remote.request(1, now, TIMEOUT);
        loop {
            if remote.refused(now) {
                return None;
            }
            now = remote.due().expect("a repeated request");
            if remote.request(1, now, TIMEOUT) != first {
                return Some(now - start);
            }
        }
    }

    #[test]
    fn a_port_that_the_server_chose_is_requested_again_before_another() {
        let now = Instant::now();
        let mut remote = Remote::new(tcp(0));
        remote.request(1, now, TIMEOUT);
        remote.listening(1, 4711);
        remote.state = State::Waiting;
        assert_eq!(refuse_until_another(&mut remote, now), Some(Duration::from_millis(700)));
        assert_eq!(remote.address, tcp(0));
    }

    #[test]
    fn a_configured_port_is_not_replaced() {
        let now = Instant::now();
        let mut remote = Remote::new(tcp(80));
        remote.request(1, now, TIMEOUT);
        remote.listening(1, 80);
        remote.state = State::Waiting;
        assert_eq!(refuse_until_another(&mut remote, now), None);
    }
}
