//! Forwards as the driver runs them: started, bound, requested from the server, and stopped.

use std::task::Context;
use std::time::Instant;

use ssh_proto::{ForwardEvent, ForwardId, ListenAddr};

use crate::session;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::driver::Driver;
use crate::tunnel::forward::remote::{ForwardRequest, SessionId};
use crate::tunnel::forward::table::Effect;
use crate::tunnel::pending::Reply;
use crate::tunnel::pool::message::FromWorker;
use crate::tunnel::pool::supervisor::Role;
use crate::tunnel::{DEFAULT_FORWARD, Endpoint, Error, Event, ForwardInfo, ForwardOptions};

/// The forwards that the server of one session was asked for.
#[derive(Default)]
pub(crate) struct Requests {
    /// The server's ids and the tunnel's.
    sent: Vec<(ForwardId, i64)>,
    /// Requests that reached a worker before its first turn.
    queued: Vec<ForwardRequest>,
}

impl Requests {
    /// Returns whether the server listens, or may begin to.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }
}

fn listen_addr(address: Endpoint) -> ListenAddr {
    match address {
        Endpoint::Tcp { host, port } => ListenAddr::Tcp { host: (*host).into(), port },
        Endpoint::Unix(path) => ListenAddr::Unix((*path).into()),
    }
}

/// Forwards in the task that owns them.
impl Driver {
    /// Starts a forward, or waits with other callers for it to listen.
    pub(crate) fn start_forward(
        &mut self,
        id: i64,
        options: ForwardOptions,
        reply: Reply<ForwardInfo>,
        now: Instant,
    ) {
        if self.shutdown.is_under_way() {
            return self.operations.defer_forward(id, options, reply);
        }
        self.forwards.start(id, options, reply);
        self.counters.add_forward(id, |id| self.forwards.contains(id));
        if self.has_session() {
            self.begin_forwards(now);
        } else {
            self.connect_session();
        }
    }

    /// Continues with everything that waits for a session.
    pub(crate) fn begin_forwards(&mut self, now: Instant) {
        self.forwards.session_ready();
        for request in std::mem::take(&mut self.remote_requests.queued) {
            self.forward_request(request);
        }
        self.request_forwards(now);
    }

    /// Continues the binding of local forwards.
    pub(crate) fn poll_bound(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        while let Some(outcome) = self.forwards.poll_bound(cx) {
            match outcome {
                Ok(info) => {
                    if info.id == DEFAULT_FORWARD {
                        self.emit(Event::Listening(info.bound));
                    }
                    // The event comes before the replies.
                    self.forwards.session_ready();
                }
                Err((id, error)) => self.forwards.remove(id, &error),
            }
            busy = true;
        }
        busy
    }

    /// Stops a forward on behalf of the named method.
    pub(crate) fn stop_forward(&mut self, id: i64, method: &'static str, reply: Reply<()>) {
        self.operations.cancel_forward(id);
        if let Some((session, request)) = self.forwards.stop(id, Some(reply)) {
            self.send_forward_request(session, request);
        }
        self.forward_stopped(id, &Cause::Application(method));
    }

    /// Stops all forwards.
    pub(crate) fn stop_forwards(&mut self) {
        for (session, request) in self.forwards.stop_all() {
            self.send_forward_request(session, request);
        }
    }

    /// Rejects the connections of a forward that wait for a session, as the system resets those that
    /// were not accepted. Stops connecting if nothing else needs a session.
    pub(crate) fn forward_stopped(&mut self, id: i64, cause: &Cause) {
        if self.reconnecter.is_under_way() {
            self.reject_all(cause, |forward| forward == id);
        }
        if !self.operations.session_wanted && self.forwards.is_empty() {
            self.reconnecter.cancel();
            if self.operations.connecting.is_empty() && !self.registry.awaits_session() {
                self.cancel_connect();
            }
        }
    }

    /// Requests the remote forwards that wait for a session, or for their time, if there is one.
    pub(crate) fn request_forwards(&mut self, now: Instant) {
        let session = match &self.role {
            Role::Supervisor(pool) => pool.least_loaded(now).map(Some),
            Role::Single | Role::Worker(_) => self.session.is_some().then_some(None),
        };
        let Some(session) = session else { return };
        for request in self.forwards.requests(session, now) {
            self.send_forward_request(session, request);
        }
    }

    /// Repeats the refused requests that are due.
    pub(crate) fn expire_refusals(&mut self, now: Instant) -> bool {
        let is_due = self.forwards.refused_until().is_some_and(|due| due <= now);
        // Without a session they wait for the next one.
        if is_due && self.has_session() {
            self.request_forwards(now);
            return true;
        }
        false
    }

    /// Sends a request on a session.
    pub(crate) fn send_forward_request(&mut self, session: SessionId, request: ForwardRequest) {
        match (session, &mut self.role) {
            (Some(id), Role::Supervisor(pool)) => pool.send_request(id, request),
            _ => self.forward_request(request),
        }
    }

    /// Handles the server's event of a remote forward.
    pub(crate) fn handle_forward_event(
        &mut self,
        session: SessionId,
        id: i64,
        event: ForwardEvent,
        now: Instant,
    ) {
        let ends = matches!(event, ForwardEvent::Failed(_) | ForwardEvent::Cancelled(_));
        if let (Some(worker), Role::Supervisor(pool), true) = (session, &mut self.role, ends) {
            pool.forward_ended(worker);
        }
        match self.forwards.server_event(session, id, event, now) {
            Some(Effect::Inbound { channel, originator, target }) => {
                self.offered(session, id, channel, originator, target, now);
            }
            Some(Effect::Request(request)) => self.send_forward_request(session, request),
            Some(Effect::RequestAgain) => self.request_forwards(now),
            Some(Effect::Failed { error, was_up }) => {
                self.forward_stopped(id, &Cause::Application("stop"));
                if was_up {
                    let is_last = self.forwards.is_empty() && !self.operations.session_wanted;
                    self.emit(if is_last {
                        Event::Error(error)
                    } else {
                        Event::ForwardError(id, error)
                    });
                }
            }
            None => {}
        }
    }

    /// Ends what the tunnel had on a lost session: its inbound channels, and its forwards until the
    /// next one.
    pub(crate) fn forwards_lost(&mut self, session: SessionId, error: &session::Error) {
        if session.is_none() {
            self.remote_requests.sent.clear();
        }
        self.lose_inbound(session, error);
        let has_session = self.has_session();
        self.forwards.session_lost(session, error, has_session);
    }

    /// A listener broke for good.
    pub(crate) fn listener_failed(&mut self, forward: i64, error: &std::io::Error) {
        let listener = self.forwards.listener(forward);
        let address = listener.map(|(_, listener)| listener.address().to_string());
        let error = Error::listen("accept", address.unwrap_or_default(), error);
        self.forwards.remove(forward, &error);
        self.forward_stopped(forward, &Cause::SessionLost(session::Error::no_session()));
        self.emit(Event::Error(error));
    }
}

/// Forwards in the task that has their session.
impl Driver {
    /// Sends a request to this session's server. Requests about a lost session are dropped: its
    /// forwards have ended.
    pub(crate) fn forward_request(&mut self, request: ForwardRequest) {
        let Some(session) = &mut self.session else {
            if self.role.worker().is_some() && self.logon.is_some() {
                self.remote_requests.queued.push(request);
            }
            return;
        };
        match request {
            ForwardRequest::Listen(id, address) => {
                let sent = session.client.request_forward(listen_addr(address));
                self.remote_requests.sent.push((sent, id));
            }
            ForwardRequest::Cancel(id) => {
                if let Some((sent, _)) = self.remote_requests.sent.iter().find(|(_, it)| *it == id)
                {
                    session.client.cancel_forward(*sent);
                }
            }
            ForwardRequest::Reject(channel, reason) => session.client.reject(channel, reason),
        }
    }

    /// Passes on what this session's server says about a forward.
    pub(crate) fn forward_event(&mut self, sent: ForwardId, event: ForwardEvent, now: Instant) {
        let Some(at) = self.remote_requests.sent.iter().position(|(it, _)| *it == sent) else {
            return;
        };
        let (_, id) = self.remote_requests.sent[at];
        match event {
            ForwardEvent::Failed(_) | ForwardEvent::Cancelled(_) => {
                self.remote_requests.sent.swap_remove(at);
            }
            ForwardEvent::Listening { .. } | ForwardEvent::InboundChannel { .. } => {}
        }
        match &self.role {
            Role::Worker(worker) => worker.send(FromWorker::Forward(id, event)),
            Role::Single | Role::Supervisor(_) => self.handle_forward_event(None, id, event, now),
        }
    }
}
