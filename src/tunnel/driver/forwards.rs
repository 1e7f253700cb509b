//! Forwards as the driver runs them: started, bound, requested from the server, and stopped.

use std::task::Context;
use std::time::Instant;

use ssh_proto::ForwardEvent;

use crate::session;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::driver::Driver;
use crate::tunnel::forward::remote::{ForwardRequest, SessionId};
use crate::tunnel::forward::table::Effect;
use crate::tunnel::pending::Reply;
use crate::tunnel::{DEFAULT_FORWARD, Error, Event, ForwardInfo, ForwardOptions};

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
        for ended in self.forwards.take_removed() {
            self.counters.forward_stopped(ended);
        }
        self.counters.add_forward(id);
        if self.has_session() {
            self.forwards.begin(id);
            self.request_forwards(now);
        } else {
            self.connect_session();
        }
    }

    /// Continues with everything that waits for a session.
    pub(crate) fn begin_forwards(&mut self, now: Instant) {
        self.forwards.session_ready();
        self.request_forwards(now);
    }

    /// Continues with the local forwards that became ready, and binds the ones that can be bound.
    pub(crate) fn poll_bound(&mut self, cx: &Context<'_>, now: Instant) -> bool {
        self.forwards.wake(cx, now);
        let mut busy = false;
        while let Some(outcome) = self.forwards.poll_bound() {
            match outcome {
                Ok(info) => {
                    if info.id == DEFAULT_FORWARD {
                        self.emit(Event::Listening(info.bound));
                    }
                    // The event comes before the replies.
                    self.forwards.begin(info.id);
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

    /// Rejects the connections of a forward that wait for a session, as the system resets connections
    /// that were not accepted. Stops connecting if nothing else needs a session.
    pub(crate) fn forward_stopped(&mut self, id: i64, cause: &Cause) {
        if self.reconnecter.is_under_way() {
            self.reject_all(cause, |forward| forward == id);
        }
        self.stop_connecting_for_nothing();
    }

    /// Stops connecting if nothing needs a session.
    pub(crate) fn stop_connecting_for_nothing(&mut self) {
        if self.operations.session_wanted || !self.forwards.is_empty() {
            return;
        }
        let is_awaited =
            !self.operations.connecting.is_empty() || self.worker.registry().awaits_session();
        if !is_awaited {
            self.cancel_connect();
        }
        // Who waits for the first session has no answer before it is up or given up.
        if !(is_awaited && self.is_first_session()) {
            self.reconnecter.cancel();
        }
    }

    /// Requests the remote forwards that wait for a session, or for their time, if there is one.
    pub(crate) fn request_forwards(&mut self, now: Instant) {
        let session = match &self.pool {
            Some(pool) => pool.least_loaded(now),
            None => self.session_id.filter(|_| self.worker.has_session()),
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
        match &mut self.pool {
            Some(pool) => pool.send_request(session, request),
            None => self.worker.forward_request(request),
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
        if let Some(pool) = self.pool.as_mut().filter(|_| ends) {
            pool.forward_ended(session);
        }
        match self.forwards.server_event(session, id, event, now) {
            Some(Effect::Inbound { channel, originator, target }) => {
                self.inbound_channel(session, id, channel, originator, target, now);
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
        self.worker.inbound_lost(session, error);
        let has_session = self.has_session();
        self.forwards.session_lost(session, error, has_session);
    }

    /// A listener broke for good.
    pub(crate) fn listener_failed(&mut self, forward: i64, error: &std::io::Error) {
        let address = self.forwards.listen_address(forward).map(|address| address.to_string());
        let error = Error::listen("accept", address.unwrap_or_default(), error);
        self.forwards.remove(forward, &error);
        self.forward_stopped(forward, &Cause::SessionLost(session::Error::no_session()));
        self.emit(Event::Error(error));
    }
}
