//! How a tunnel goes: its forwards, its connections, then its session.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::runtime::cutoff::{Cutoff, Limit};
use crate::runtime::timer::Deadline;
use crate::session::{self, Session};
use crate::tunnel::command::Reply;
use crate::tunnel::connection::cause::{Cause, Force};
use crate::tunnel::driver::Driver;
use crate::tunnel::driver::commands::{Operations, answer_all};
use crate::tunnel::pool::supervisor::{Role, Supervisor};
use crate::tunnel::{Error, Event};

/// How long the server may take to confirm what it was sent last.
const CONFIRMATION: Duration = Duration::from_secs(2);
/// How long connections may take to close by their Linger when the timeout of `close()` has expired.
const GRACE: Duration = Duration::from_millis(1200);
/// How long the server, and whatever carries the session, may take to end it in a forced shutdown.
/// With [`GRACE`] and the last moment of carriers less than the two seconds that are promised.
const FORCED: Duration = Duration::from_millis(500);

/// How far a shutdown has come.
#[derive(Default)]
pub(crate) enum Shutdown {
    /// None was asked for.
    #[default]
    No,
    /// Connections may finish by themselves for so long.
    Draining { limit: Option<Limit>, replies: Vec<Reply<()>> },
    /// Every connection is being closed.
    Closing { replies: Vec<Reply<()>> },
    /// No connection is left here; the server may still hold the last bytes of some of them.
    Confirming { until: Instant, replies: Vec<Reply<()>> },
    /// The session is being ended; nothing else is left.
    Disconnecting { replies: Vec<Reply<()>> },
}

impl Shutdown {
    /// When to go on whatever has come of the step.
    fn deadline(&self) -> Option<Instant> {
        match self {
            Shutdown::Draining { limit, .. } => limit.map(|limit| limit.due),
            Shutdown::Confirming { until, .. } => Some(*until),
            Shutdown::No | Shutdown::Closing { .. } | Shutdown::Disconnecting { .. } => None,
        }
    }

    /// The process was paused until now: the step has its full time again.
    fn resumed(&mut self, now: Instant) {
        match self {
            Shutdown::Draining { limit, .. } => {
                *limit = limit.and_then(|limit| limit.resumed(now));
            }
            Shutdown::Confirming { until, .. } => *until = now + CONFIRMATION,
            Shutdown::No | Shutdown::Closing { .. } | Shutdown::Disconnecting { .. } => {}
        }
    }
}

impl Operations {
    /// When a shutdown goes on whatever has come of its step.
    pub(crate) fn shutdown_due(&self) -> Option<Instant> {
        let bound = self.bound.map(|bound| bound.due);
        [self.leaving.deadline(), bound].into_iter().flatten().min()
    }

    /// The process was paused until now: a shutdown has its full time again.
    pub(crate) fn resumed(&mut self, now: Instant) {
        self.leaving.resumed(now);
        self.bound = self.bound.and_then(|bound| bound.resumed(now));
    }
}

impl Driver {
    /// Lets connections finish by themselves.
    pub(crate) fn drain(&mut self, limit: Option<Limit>, reply: Reply<()>) {
        self.drop_deferred("close");
        match &mut self.operations.leaving {
            Shutdown::No => {
                self.stop("close");
                self.operations.leaving = Shutdown::Draining { limit, replies: vec![reply] };
            }
            Shutdown::Draining { limit: earlier, replies } => {
                // The earlier of two deadlines wins.
                *earlier = [*earlier, limit].into_iter().flatten().min();
                replies.push(reply);
            }
            Shutdown::Closing { replies }
            | Shutdown::Confirming { replies, .. }
            | Shutdown::Disconnecting { replies } => {
                replies.push(reply);
                // What is being closed has had its time by then.
                let bound = &mut self.operations.bound;
                *bound = [*bound, limit].into_iter().flatten().min();
            }
        }
    }

    /// Closes everything now, with `force` whatever its Linger and its state.
    pub(crate) fn shutdown(&mut self, force: bool, reply: Reply<()>) {
        self.drop_deferred("shutdown");
        match &mut self.operations.leaving {
            Shutdown::No => {
                self.stop("shutdown");
                self.operations.leaving = Shutdown::Closing { replies: vec![reply] };
                self.close_everything("shutdown");
            }
            Shutdown::Draining { limit, replies } => {
                let (limit, mut replies) = (*limit, std::mem::take(replies));
                replies.push(reply);
                // The close() before is still a bound.
                self.operations.bound = limit.and_then(|limit| limit.and(GRACE));
                self.operations.leaving = Shutdown::Closing { replies };
                self.close_everything("shutdown");
            }
            Shutdown::Closing { replies }
            | Shutdown::Confirming { replies, .. }
            | Shutdown::Disconnecting { replies } => replies.push(reply),
        }
        if force {
            self.force(Force::Shutdown);
        }
    }

    /// Ends everything that a shutdown still waits for: connections at once, the session and whatever
    /// carries it in a moment.
    pub(crate) fn force(&mut self, force: Force) {
        self.operations.bound = None;
        if self.operations.forced.replace(force).is_some() {
            return;
        }
        self.operations.carriers.set(Limit::new(Instant::now(), FORCED));
        for id in self.ids() {
            self.cut(id, force);
        }
        if let Role::Supervisor(pool) = &self.role {
            pool.force(force);
        }
    }

    /// As a member of several sessions: closes everything now, on behalf of this method.
    pub(crate) fn leave(&mut self, method: &'static str) {
        if !self.operations.is_shutting_down() {
            self.stop(method);
            self.operations.leaving = Shutdown::Closing { replies: Vec::new() };
            self.close_everything(method);
        }
    }

    /// Stops what would bring new connections; what was under way fails.
    fn stop(&mut self, method: &'static str) {
        self.operations.session_wanted = false;
        answer_all(&mut self.operations.connecting, &Err(Error::Closed));
        self.stop_forwards();
        if self.reconnecter.is_under_way() {
            self.reject_all(&Cause::Application(method), |_| true);
        }
        self.reconnecter.cancel();
        if self.held.is_empty() {
            self.cancel_connect();
        }
    }

    /// What was to begin after a shutdown does not, because of another one.
    fn drop_deferred(&mut self, method: &'static str) {
        let mut deferred = std::mem::take(&mut self.operations.deferred);
        answer_all(&mut deferred.connecting, &Err(Error::Closed));
        for (_, _, reply) in deferred.forwards {
            let _ = reply.send(Err(Error::Closed));
        }
        #[cfg(unix)]
        for dial in deferred.dials {
            self.reject_dial(dial, Cause::Application(method));
        }
    }

    fn close_everything(&mut self, method: &'static str) {
        for id in self.ids() {
            self.close_connection(id, Cause::Application(method));
        }
        if let Role::Supervisor(pool) = &self.role {
            pool.leave(method);
        }
    }

    /// Closes what did not finish in time.
    pub(crate) fn expire_drain(&mut self, now: Instant) -> bool {
        if self.operations.bound.is_some_and(|bound| bound.due <= now) {
            self.force(Force::Timeout);
            return true;
        }
        match &mut self.operations.leaving {
            Shutdown::Draining { limit: Some(limit), replies } if limit.due <= now => {
                let replies = std::mem::take(replies);
                self.operations.leaving = Shutdown::Closing { replies };
                self.operations.bound = Limit::new(now, GRACE);
                self.close_everything("close");
                true
            }
            Shutdown::No
            | Shutdown::Draining { .. }
            | Shutdown::Closing { .. }
            | Shutdown::Confirming { .. }
            | Shutdown::Disconnecting { .. } => false,
        }
    }

    /// Looks whether something is complete: a shutdown, or the end of all there was. Returns whether
    /// that began something new.
    pub(crate) fn settle(&mut self, now: Instant) -> bool {
        // A session that was made for the listener has no purpose without it and its connections.
        if self.has_session()
            && !self.operations.session_wanted
            && !self.operations.is_shutting_down()
            && self.forwards.is_empty()
            && self.is_empty()
        {
            self.operations.leaving = Shutdown::Closing { replies: Vec::new() };
        }
        let logs_off = self.is_empty() && self.confirm(now);
        if logs_off {
            self.disconnect_session();
        }
        let nothing = self.is_empty()
            && self.session.is_none()
            && self.role.pool().is_none_or(Supervisor::is_empty)
            && self.logon.is_none()
            && !self.reconnecter.is_under_way()
            && self.disconnecting_session.is_none()
            && self.forwards.is_empty();
        if nothing {
            self.gone(now);
        }
        logs_off
    }

    /// Takes a shutdown that has no connections left on to its end; true when the session is to be
    /// ended now.
    fn confirm(&mut self, now: Instant) -> bool {
        let (until, replies) = match std::mem::take(&mut self.operations.leaving) {
            Shutdown::Draining { limit, replies } => {
                self.operations.bound = limit.and_then(|limit| limit.and(GRACE));
                (now + CONFIRMATION, replies)
            }
            Shutdown::Closing { replies } => (now + CONFIRMATION, replies),
            Shutdown::Confirming { until, replies } => (until, replies),
            other @ (Shutdown::No | Shutdown::Disconnecting { .. }) => {
                self.operations.leaving = other;
                return false;
            }
        };
        // With DISCONNECT the server drops what its targets have not taken yet, and its ports are
        // given up only some time later.
        let is_unanswered = self.session.as_ref().is_some_and(Session::is_unconfirmed)
            || (self.session.is_some() && !self.asked.is_empty());
        let waits = is_unanswered
            && self.operations.forced.is_none()
            && (now < until || self.timeout_gate.is_waiting());
        self.operations.leaving = if waits {
            Shutdown::Confirming { until, replies }
        } else {
            Shutdown::Disconnecting { replies }
        };
        !waits
    }

    /// The tunnel holds nothing any more.
    fn gone(&mut self, now: Instant) {
        if std::mem::take(&mut self.active) {
            self.emit(Event::Close);
        }
        if let Shutdown::Disconnecting { mut replies } =
            std::mem::take(&mut self.operations.leaving)
        {
            answer_all(&mut replies, &Ok(()));
        }
        self.operations.bound = None;
        if self.operations.forced.take().is_some() {
            self.operations.carriers = Cutoff::default();
        }
        let deferred = std::mem::take(&mut self.operations.deferred);
        for reply in deferred.connecting {
            self.connect(reply);
        }
        for (id, spec, reply) in deferred.forwards {
            self.start_forward(id, spec, reply);
        }
        #[cfg(unix)]
        for dial in deferred.dials {
            self.dial(dial, now);
        }
    }

    /// Whether no connection is left in any state.
    fn is_empty(&self) -> bool {
        self.handshakes.is_empty()
            && self.requests.is_empty()
            && self.held.is_empty()
            && self.inbound_channels.is_empty()
            && self.table.is_empty()
            && self.closings.is_empty()
            && !self.role.pool().is_some_and(Supervisor::has_connections)
    }

    fn ids(&self) -> Vec<u64> {
        let waiting =
            self.requests.keys().chain(self.held.keys()).chain(self.closing.keys()).copied();
        let waiting =
            waiting.chain(self.socks_clients.keys().copied()).chain(self.inbound_channels.ids());
        waiting.chain(self.table.iter().map(|(_, connection)| connection.meta.id)).collect()
    }

    fn disconnect_session(&mut self) {
        self.cancel_connects();
        if let Role::Supervisor(pool) = &self.role {
            pool.leave("shutdown");
            self.shared.ready.store(false, Ordering::Release);
        }
        // Whoever waited for it has given up.
        self.cancel_connect();
        let session = self.session.take();
        if session.is_some() {
            self.shared.ready.store(false, Ordering::Release);
            self.lose_forwards(None, &session::Error::no_session());
        }
        self.disconnecting_session =
            Some(Box::pin(disconnect_session(session, self.operations.carriers.clone())));
    }
}

/// Ends the session. Under a limit it waits for whatever carried sessions, also those that had not
/// come up.
async fn disconnect_session(session: Option<Session>, carriers: Cutoff) {
    if let Some(session) = session {
        session.disconnect(carriers.watch()).await;
    }
    if let Some(due) = carriers.due() {
        let mut limit =
            Deadline::at(due + session::FINAL_BRIDGE_TIMEOUT, session::FINAL_BRIDGE_TIMEOUT);
        let _ = limit.within(carriers.unwatched()).await;
    }
}
