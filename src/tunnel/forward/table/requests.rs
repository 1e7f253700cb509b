//! Remote forwards: their requests to the server, and its answers.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ssh_proto::{ChannelId, ForwardEvent, OpenFailure, RequestError};

use super::{Forward, Forwards};
use crate::session;
use crate::tunnel::Error;
use crate::tunnel::forward::remote::{ForwardRequest, Remote, SessionId};
use crate::tunnel::forward::spec::{ForwardSpec, RemoteTarget};
use crate::tunnel::pending::reply_all;

/// What the driver does about an event of a remote forward.
pub(crate) enum Effect {
    /// Accepts or rejects an inbound channel that leads to this target.
    Inbound { channel: ChannelId, originator: Option<SocketAddr>, target: RemoteTarget },
    /// Sends this request on the same session.
    Request(ForwardRequest),
    /// Requests again the forwards that wait for it.
    RequestAgain,
    /// The forward has ended: reports it if it `was_up`, that is if no caller has the error.
    Failed { error: Error, was_up: bool },
}

impl Forwards {
    /// Returns the requests for the remote forwards that wait for a session, or for their time.
    pub(crate) fn requests(&mut self, session: SessionId, now: Instant) -> Vec<ForwardRequest> {
        let mut ids = std::mem::take(&mut self.unrequested);
        ids.extend(std::iter::from_fn(|| self.refused.take_over(now)));
        let mut requests = Vec::new();
        for id in ids {
            let remote = self.table.get_mut(&id).and_then(Forward::remote_mut);
            let address = remote.and_then(|it| it.request(session, now, self.ready_timeout));
            requests.extend(address.map(|address| ForwardRequest::Listen(id, address)));
            self.sort(id);
        }
        requests
    }

    /// Handles an event of a remote forward on this session.
    pub(crate) fn server_event(
        &mut self,
        session: SessionId,
        id: i64,
        event: ForwardEvent,
        now: Instant,
    ) -> Option<Effect> {
        let forward = self.table.get_mut(&id);
        let target = match forward.as_ref().map(|forward| &forward.spec) {
            Some(ForwardSpec::Remote { target, .. }) => Some(target.clone()),
            Some(ForwardSpec::Local { .. } | ForwardSpec::Dynamic { .. }) | None => None,
        };
        let remote = forward.and_then(Forward::remote_mut).filter(|remote| remote.is_on(session));
        match (event, remote.zip(target)) {
            (
                ForwardEvent::InboundChannel { channel, originator, originator_port },
                Some((remote, target)),
            ) if !remote.is_cancelling() => {
                let address = originator.parse::<IpAddr>().ok();
                let originator = address.map(|address| (address, originator_port).into());
                Some(Effect::Inbound { channel, originator, target })
            }
            (ForwardEvent::InboundChannel { channel, .. }, _) => {
                let reason = OpenFailure::AdministrativelyProhibited;
                Some(Effect::Request(ForwardRequest::Reject(channel, reason)))
            }
            // The answer to the cancellation follows.
            (ForwardEvent::Listening { .. } | ForwardEvent::Failed(_), Some((remote, _)))
                if remote.is_cancelling() =>
            {
                None
            }
            (ForwardEvent::Listening { port }, Some((remote, _))) => {
                remote.listening(session, port);
                self.listening(id);
                None
            }
            (ForwardEvent::Failed(error), Some((remote, _))) => {
                if !remote.refused(now) {
                    self.sort(id);
                    return Some(Effect::RequestAgain);
                }
                let (address, was_up) = (remote.address().to_string(), remote.was_up());
                let error = self.request_error(address, error, false);
                self.remove(id, &error);
                Some(Effect::Failed { error, was_up })
            }
            (ForwardEvent::Cancelled(outcome), Some((remote, _))) => {
                let address = remote.address().to_string();
                let outcome = outcome.map_err(|error| self.request_error(address, error, true));
                self.cancelled(id, &outcome);
                None
            }
            (_, None) => None,
        }
    }

    /// Returns the error for a failed request to listen, or with `stop` to stop listening.
    fn request_error(&self, place: String, error: RequestError, stop: bool) -> Error {
        match (error, stop) {
            (RequestError::NoPort, _) => Error::ForwardWithoutPort(place),
            (RequestError::Denied, false) => Error::ForwardRefused(place),
            (RequestError::Denied, true) => Error::ForwardKept(place),
            (RequestError::Unimplemented, _) => Error::ForwardUnimplemented(place),
            (RequestError::TimedOut, _) => {
                Error::ForwardUnanswered { place, limit: self.ready_timeout.as_millis(), stop }
            }
        }
    }

    fn listening(&mut self, id: i64) {
        let Some(forward) = self.table.get_mut(&id) else { return };
        if let Some(info) = forward.info(id) {
            self.shared.set_bound(id, Some(info.clone()));
            forward.reply(&Ok(info));
        }
    }

    /// The server has ended a forward: replies to the callers of its stop.
    fn cancelled(&mut self, id: i64, outcome: &Result<(), Error>) {
        let remote = self.table.get_mut(&id).and_then(Forward::remote_mut);
        let replies = remote.map(Remote::take_cancelling).unwrap_or_default();
        self.remove(id, &Error::Closed);
        reply_all(replies, outcome);
    }

    /// Lets the remote forwards of a lost session wait for another one. A forward that never
    /// listened fails, unless there is another session already.
    pub(crate) fn session_lost(
        &mut self,
        session: SessionId,
        error: &session::Error,
        has_session: bool,
    ) {
        let mut from = i64::MIN;
        while let Some(id) = self.next(from) {
            from = id + 1;
            let remote = self.table.get_mut(&id).and_then(Forward::remote_mut);
            let Some(remote) = remote.filter(|remote| remote.is_on(session)) else { continue };
            if remote.is_cancelling() {
                self.cancelled(id, &Ok(()));
            } else if remote.was_up() || has_session {
                remote.disconnected();
                self.sort(id);
                if let Some(info) = self.shared.bound().get_mut(&id) {
                    info.listening = false;
                }
            } else {
                self.remove(id, &error.clone().into());
            }
        }
    }
}
