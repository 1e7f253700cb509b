//! Table of a tunnel's forwards: the state of each, and the callers waiting for it to listen.
//!
//! A forward is in the table from its start until it is stopped, cannot be bound, or the session is
//! lost for good. It needs a session to be bound first, and stays bound during a reconnect.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ssh_proto::{ChannelId, ForwardEvent, OpenFailure, RequestError};

use crate::session;
use crate::tunnel::forward::listener::{Listener, listen};
use crate::tunnel::forward::remote::{Cancelled, ForwardRequest, Remote, SessionId};
use crate::tunnel::forward::spec::{Endpoint, ForwardInfo, ForwardOptions, ForwardSpec};
use crate::tunnel::pending::{Reply, reply_all};
use crate::tunnel::shared::Shared;
use crate::tunnel::{Config, Error};

struct Forward {
    spec: ForwardSpec,
    max_connections: Option<u32>,
    state: State,
    /// The callers waiting for it to listen.
    starting: Vec<Reply<ForwardInfo>>,
}

enum State {
    /// Waits for a session.
    Waiting,
    /// Resolves and binds its address.
    Binding(Pin<Box<dyn Future<Output = Result<Listener, Error>> + Send>>),
    Bound(Listener),
    Remote(Remote),
}

impl Forward {
    fn new(options: ForwardOptions) -> Self {
        let ForwardOptions { spec, max_connections } = options;
        let state = match &spec {
            ForwardSpec::Local { .. } | ForwardSpec::Dynamic { .. } => State::Waiting,
            ForwardSpec::Remote { listen, .. } => State::Remote(Remote::new(listen.clone())),
        };
        Self { spec, max_connections, state, starting: Vec::new() }
    }

    fn info(&self, id: i64) -> Option<ForwardInfo> {
        let bound = match &self.state {
            State::Bound(listener) => listener.address(),
            State::Remote(remote) => remote.bound()?.clone(),
            State::Waiting | State::Binding(_) => return None,
        };
        Some(ForwardInfo { id, bound, listening: true, spec: self.spec.clone() })
    }

    fn remote(&self) -> Option<&Remote> {
        match &self.state {
            State::Remote(remote) => Some(remote),
            State::Waiting | State::Binding(_) | State::Bound(_) => None,
        }
    }

    fn remote_mut(&mut self) -> Option<&mut Remote> {
        match &mut self.state {
            State::Remote(remote) => Some(remote),
            State::Waiting | State::Binding(_) | State::Bound(_) => None,
        }
    }

    fn listener(&self) -> Option<&Listener> {
        match &self.state {
            State::Bound(listener) => Some(listener),
            State::Waiting | State::Binding(_) | State::Remote(_) => None,
        }
    }

    fn reply(&mut self, outcome: &Result<ForwardInfo, Error>) {
        reply_all(self.starting.drain(..), outcome);
    }
}

/// What the driver does about an event of a remote forward.
pub(crate) enum Effect {
    /// Accepts or rejects an inbound channel that leads to this target.
    Inbound { channel: ChannelId, originator: Option<SocketAddr>, target: Endpoint },
    /// Sends this request on the same session.
    Request(ForwardRequest),
    /// Requests again the forwards that wait for it.
    RequestAgain,
    /// The forward has ended: reports it if it `was_up`, that is if no caller has the error.
    Failed { error: Error, was_up: bool },
}

/// The forwards of a tunnel, by id.
pub(crate) struct Forwards {
    table: BTreeMap<i64, Forward>,
    /// Also has the bound forwards, for the handle.
    shared: Arc<Shared>,
    /// Whether other listeners may share the local ports.
    reuse_port: bool,
    /// How long the server may take to answer a request, and to free the ports of a lost session.
    ready_timeout: Duration,
}

impl Forwards {
    pub(crate) fn new(shared: Arc<Shared>, config: &Config) -> Self {
        Self {
            table: BTreeMap::new(),
            shared,
            reuse_port: config.reuse_port,
            ready_timeout: config.target.ready_timeout,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(crate) fn contains(&self, id: i64) -> bool {
        self.table.contains_key(&id)
    }

    /// Returns the first id from this one on, to iterate while the table changes.
    pub(crate) fn next(&self, from: i64) -> Option<i64> {
        self.table.range(from..).next().map(|(id, _)| *id)
    }

    /// Returns the maximum number of simultaneous connections; `None`: unlimited.
    pub(crate) fn max_connections(&self, id: i64) -> Option<u32> {
        self.table.get(&id)?.max_connections
    }

    /// Returns a bound local or dynamic forward and its listener.
    pub(crate) fn listener(&mut self, id: i64) -> Option<(&ForwardSpec, &mut Listener)> {
        let forward = self.table.get_mut(&id)?;
        match &mut forward.state {
            State::Bound(listener) => Some((&forward.spec, listener)),
            State::Waiting | State::Binding(_) | State::Remote(_) => None,
        }
    }

    /// Returns whether any forward accepts connections here.
    pub(crate) fn has_listeners(&self) -> bool {
        self.listeners().next().is_some()
    }

    fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.table.values().filter_map(Forward::listener)
    }

    /// Returns when the first paused listener may accept again.
    pub(crate) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.listeners().filter_map(|listener| listener.paused_until(now)).min()
    }

    /// Returns when the first refused request is repeated.
    pub(crate) fn refused_until(&self) -> Option<Instant> {
        self.table.values().filter_map(Forward::remote).filter_map(Remote::due).min()
    }

    /// Gives servers their full time after a pause of the process.
    pub(crate) fn resumed(&mut self, now: Instant) {
        for forward in self.table.values_mut() {
            if let Some(remote) = forward.remote_mut() {
                remote.resumed(now + self.ready_timeout);
            }
        }
    }

    /// Adds a forward, or another caller that waits for it to listen.
    pub(crate) fn start(&mut self, id: i64, options: ForwardOptions, reply: Reply<ForwardInfo>) {
        let forward = self.table.entry(id).or_insert_with(|| Forward::new(options));
        forward.starting.push(reply);
    }

    /// Stops a forward. A local one has stopped by the return; a remote one stops when the server
    /// answers the request that is returned.
    pub(crate) fn stop(
        &mut self,
        id: i64,
        mut reply: Option<Reply<()>>,
    ) -> Option<(SessionId, ForwardRequest)> {
        let forward = self.table.get_mut(&id);
        let remote = forward.and_then(Forward::remote_mut);
        let cancelled = remote.map(|remote| remote.cancel(&mut reply));
        match cancelled.unwrap_or(Cancelled::Unrequested) {
            Cancelled::On(session) => {
                self.shared.set_bound(id, None);
                if let Some(forward) = self.table.get_mut(&id) {
                    forward.reply(&Err(Error::Closed));
                }
                Some((session, ForwardRequest::Cancel(id)))
            }
            Cancelled::Before => None,
            Cancelled::Unrequested => {
                self.remove(id, &Error::Closed);
                reply_all(reply, &Ok(()));
                None
            }
        }
    }

    /// Stops all forwards.
    pub(crate) fn stop_all(&mut self) -> Vec<(SessionId, ForwardRequest)> {
        let ids: Vec<_> = self.table.keys().copied().collect();
        ids.into_iter().filter_map(|id| self.stop(id, None)).collect()
    }

    /// Removes a forward; its callers get the error.
    pub(crate) fn remove(&mut self, id: i64, error: &Error) {
        if let Some(mut forward) = self.table.remove(&id) {
            self.shared.set_bound(id, None);
            // The port is free before a caller has the error.
            forward.state = State::Waiting;
            forward.reply(&Err(error.clone()));
        }
    }

    /// Removes all forwards.
    pub(crate) fn clear(&mut self, error: &Error) {
        while let Some((&id, _)) = self.table.first_key_value() {
            self.remove(id, error);
        }
    }

    /// Removes the forwards that were never bound, for there is no session. All callers get the
    /// error.
    pub(crate) fn fail(&mut self, error: &Error) {
        let mut from = i64::MIN;
        while let Some(id) = self.next(from) {
            from = id + 1;
            let Some(forward) = self.table.get_mut(&id) else { continue };
            let stays =
                forward.listener().is_some() || forward.remote().is_some_and(Remote::was_up);
            if stays {
                forward.reply(&Err(error.clone()));
            } else {
                self.remove(id, error);
            }
        }
    }

    /// Binds the local forwards that wait for a session, and replies for the bound ones.
    pub(crate) fn session_ready(&mut self) {
        for (id, forward) in &mut self.table {
            if let Some(info) = forward.info(*id) {
                forward.reply(&Ok(info));
            } else if matches!(forward.state, State::Waiting) {
                let work = listen(forward.spec.listen().clone(), self.reuse_port);
                forward.state = State::Binding(Box::pin(work));
            }
        }
    }

    /// Returns the next local forward that is bound, or cannot be; its callers have no reply yet.
    pub(crate) fn poll_bound(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Option<Result<ForwardInfo, (i64, Error)>> {
        let (id, outcome) = self.table.iter_mut().find_map(|(id, forward)| {
            let State::Binding(work) = &mut forward.state else { return None };
            match work.as_mut().poll(cx) {
                Poll::Ready(outcome) => Some((*id, outcome)),
                Poll::Pending => None,
            }
        })?;
        let forward = self.table.get_mut(&id)?;
        match outcome {
            Ok(listener) => {
                forward.state = State::Bound(listener);
                let info = forward.info(id)?;
                self.shared.set_bound(id, Some(info.clone()));
                Some(Ok(info))
            }
            Err(error) => Some(Err((id, error))),
        }
    }

    /// Returns the requests for the remote forwards that wait for a session, or for their time.
    pub(crate) fn requests(&mut self, session: SessionId, now: Instant) -> Vec<ForwardRequest> {
        let timeout = self.ready_timeout;
        let request = |(id, forward): (&i64, &mut Forward)| {
            let address = forward.remote_mut()?.request(session, now, timeout)?;
            Some(ForwardRequest::Listen(*id, address))
        };
        self.table.iter_mut().filter_map(request).collect()
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

    /// Lets the remote forwards of a lost session wait for another one. Those that never listened
    /// fail, unless there is another session already.
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
                if let Some(info) = self.shared.bound().get_mut(&id) {
                    info.listening = false;
                }
            } else {
                self.remove(id, &error.clone().into());
            }
        }
    }
}
