//! The end of a tunnel: its forwards, its connections, then its session.

use std::time::{Duration, Instant};

use crate::runtime::cutoff::{Cutoff, CutoffWatch, Limit};
use crate::runtime::timer::Deadline;
use crate::session::{self, Session};
use crate::tunnel::connection::cause::{Cause, Force};
use crate::tunnel::driver::Driver;
use crate::tunnel::pending::{Reply, reply_all};
use crate::tunnel::pool::supervisor::{Role, Supervisor};
use crate::tunnel::{Error, Event};

/// How long the server may take to confirm the last bytes.
const CONFIRMATION: Duration = Duration::from_secs(2);
/// How long connections may take to close by their Linger once the timeout of `close()` has expired.
const GRACE: Duration = Duration::from_millis(1200);
/// How long disconnecting may take in a forced shutdown. With [`GRACE`] and
/// [`session::FINAL_BRIDGE_TIMEOUT`] this is less than the two seconds that are promised.
const FORCED: Duration = Duration::from_millis(500);

/// A shutdown of the tunnel.
#[derive(Default)]
pub(crate) struct Shutdown {
    step: Step,
    replies: Vec<Reply<()>>,
    /// When what is left is ended by force.
    bound: Option<Limit>,
    forced: Option<Force>,
    /// Limits the end of the sessions' transports in a forced shutdown.
    transports: Cutoff,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    /// There is none.
    #[default]
    None,
    /// Connections may end by themselves until this time.
    Draining(Option<Limit>),
    /// All connections are closing.
    Closing,
    /// No connection is left here; the server may still deliver the last bytes of some.
    Confirming(Instant),
    /// The session is being disconnected; nothing else is left.
    Disconnecting,
}

/// What the driver does for a shutdown, in this order.
#[derive(Default)]
struct Effects {
    /// Stops forwards and connecting.
    stop: bool,
    /// Closes all connections.
    close: bool,
    /// Ends what is left by force.
    force: Option<Force>,
}

impl Shutdown {
    pub(crate) fn is_under_way(&self) -> bool {
        self.step != Step::None
    }

    /// Returns whether every connection is to close.
    pub(crate) fn closes_connections(&self) -> bool {
        match self.step {
            Step::None | Step::Draining(_) => false,
            Step::Closing | Step::Confirming(_) | Step::Disconnecting => true,
        }
    }

    /// Returns whether the session is only kept for the last bytes.
    pub(crate) fn is_confirming(&self) -> bool {
        matches!(self.step, Step::Confirming(_))
    }

    pub(crate) fn is_disconnecting(&self) -> bool {
        self.step == Step::Disconnecting
    }

    pub(crate) fn forced(&self) -> Option<Force> {
        self.forced
    }

    /// Returns the limit for a transport that begins now.
    pub(crate) fn transport_limit(&self) -> CutoffWatch {
        self.transports.watch()
    }

    /// Returns when the step ends at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        let due = match self.step {
            Step::Draining(limit) => limit.map(|limit| limit.due),
            Step::Confirming(until) => Some(until),
            Step::None | Step::Closing | Step::Disconnecting => None,
        };
        [due, self.bound.map(|bound| bound.due)].into_iter().flatten().min()
    }

    /// Begins every limit anew after a pause of the process.
    pub(crate) fn resumed(&mut self, now: Instant) {
        match &mut self.step {
            Step::Draining(limit) => *limit = limit.and_then(|limit| limit.resumed(now)),
            Step::Confirming(until) => *until = now + CONFIRMATION,
            Step::None | Step::Closing | Step::Disconnecting => {}
        }
        self.bound = self.bound.and_then(|bound| bound.resumed(now));
    }

    /// Lets connections end by themselves until a limit. The earlier of two limits wins.
    fn drain(&mut self, limit: Option<Limit>, reply: Reply<()>) -> Effects {
        self.replies.push(reply);
        let earlier = |other: Option<Limit>| [other, limit].into_iter().flatten().min();
        let stop = !self.is_under_way();
        match self.step {
            Step::None => self.step = Step::Draining(limit),
            Step::Draining(other) => self.step = Step::Draining(earlier(other)),
            // The closing connections have had their time by then.
            Step::Closing | Step::Confirming(_) | Step::Disconnecting => {
                self.bound = earlier(self.bound);
            }
        }
        Effects { stop, ..Effects::default() }
    }

    /// Closes all connections now.
    fn close(&mut self, reply: Option<Reply<()>>) -> Effects {
        self.replies.extend(reply);
        let effects =
            Effects { stop: !self.is_under_way(), close: !self.closes_connections(), force: None };
        if let Step::Draining(limit) = self.step {
            // The close() before is still a bound.
            self.bound = limit.and_then(|limit| limit.and(GRACE));
        }
        if effects.close {
            self.step = Step::Closing;
        }
        effects
    }

    /// Ends everything by force.
    fn force(&mut self, force: Force, now: Instant) -> Effects {
        self.bound = None;
        let is_first = self.forced.replace(force).is_none();
        if is_first {
            self.transports.set(Limit::new(now, FORCED));
        }
        Effects { force: is_first.then_some(force), ..Effects::default() }
    }

    /// Handles a limit that is due.
    fn expire(&mut self, now: Instant) -> Option<Effects> {
        if self.bound.is_some_and(|bound| bound.due <= now) {
            return Some(self.force(Force::Timeout, now));
        }
        match self.step {
            Step::Draining(Some(limit)) if limit.due <= now => {
                self.step = Step::Closing;
                self.bound = Limit::new(now, GRACE);
                Some(Effects { close: true, ..Effects::default() })
            }
            Step::None
            | Step::Draining(_)
            | Step::Closing
            | Step::Confirming(_)
            | Step::Disconnecting => None,
        }
    }

    /// Closes a tunnel that has no purpose any more.
    fn close_unused(&mut self) {
        self.step = Step::Closing;
    }

    /// Continues when no connection is left. Returns whether to disconnect the session now.
    ///
    /// After DISCONNECT the server drops what its targets have not taken. So an `unconfirmed` session
    /// stays for a while, and longer only while input that has arrived is being read.
    fn connections_closed(&mut self, now: Instant, unconfirmed: bool, reading: bool) -> bool {
        let until = match self.step {
            Step::Draining(limit) => {
                self.bound = limit.and_then(|limit| limit.and(GRACE));
                now + CONFIRMATION
            }
            Step::Closing => now + CONFIRMATION,
            Step::Confirming(until) => until,
            Step::None | Step::Disconnecting => return false,
        };
        let waits = unconfirmed && self.forced.is_none() && (now < until || reading);
        self.step = if waits { Step::Confirming(until) } else { Step::Disconnecting };
        !waits
    }

    /// Ends the shutdown when nothing is left. Returns its callers.
    fn finish(&mut self) -> Vec<Reply<()>> {
        self.step = Step::None;
        self.bound = None;
        if self.forced.take().is_some() {
            self.transports = Cutoff::default();
        }
        std::mem::take(&mut self.replies)
    }
}

impl Driver {
    /// Stops forwards and lets connections end by themselves.
    pub(crate) fn drain(&mut self, timeout: Option<Duration>, reply: Reply<()>, now: Instant) {
        self.drop_deferred("close");
        let limit = timeout.and_then(|timeout| Limit::new(now, timeout));
        let effects = self.shutdown.drain(limit, reply);
        self.apply_shutdown(&effects, "close");
    }

    /// Closes everything now, with `force` whatever its Linger and its state.
    pub(crate) fn shut_down(&mut self, force: bool, reply: Reply<()>) {
        self.drop_deferred("shutdown");
        let effects = self.shutdown.close(Some(reply));
        self.apply_shutdown(&effects, "shutdown");
        if force {
            self.force(Force::Shutdown);
        }
    }

    /// Closes the connections of a worker and disconnects it, on behalf of the named method.
    pub(crate) fn shut_down_worker(&mut self, method: &'static str) {
        let effects = self.shutdown.close(None);
        self.apply_shutdown(&effects, method);
    }

    /// Ends everything that is left: connections at once, sessions and transports within a moment.
    pub(crate) fn force(&mut self, force: Force) {
        let effects = self.shutdown.force(force, Instant::now());
        self.apply_shutdown(&effects, force.method());
    }

    /// Handles the limits of a shutdown that are due.
    pub(crate) fn expire_shutdown(&mut self, now: Instant) -> bool {
        let Some(effects) = self.shutdown.expire(now) else { return false };
        self.apply_shutdown(&effects, "close");
        true
    }

    fn apply_shutdown(&mut self, effects: &Effects, method: &'static str) {
        if effects.stop {
            self.stop(method);
        }
        if effects.close {
            for id in self.ids() {
                self.close_connection(id, Cause::Application(method));
            }
            if let Role::Supervisor(pool) = &self.role {
                pool.shut_down(method);
            }
        }
        if let Some(force) = effects.force {
            for id in self.ids() {
                self.cut(id, force);
            }
            if let Role::Supervisor(pool) = &self.role {
                pool.force(force);
            }
        }
    }

    /// Stops everything that opens new connections; operations that are under way fail.
    fn stop(&mut self, method: &'static str) {
        self.operations.connected(&Err(Error::Closed));
        self.operations.session_wanted = false;
        self.stop_forwards();
        if self.reconnecter.is_under_way() {
            self.reject_all(&Cause::Application(method), |_| true);
        }
        self.reconnecter.cancel();
        if !self.registry.awaits_session() {
            self.cancel_connect();
        }
    }

    /// Cancels the calls that were to begin after an earlier shutdown.
    fn drop_deferred(&mut self, method: &'static str) {
        let deferred = self.operations.take_deferred();
        reply_all(deferred.connecting, &Err(Error::Closed));
        let forwards = deferred.forwards.into_iter().map(|(_, _, reply)| reply);
        reply_all(forwards, &Err(Error::Closed));
        for id in self.registry.ids(|connection| connection.state.is_deferred()) {
            self.close_connection(id, Cause::Application(method));
        }
    }

    /// Continues a shutdown whose connections are closed, and the tunnel once nothing is left.
    /// Returns whether it disconnects the session now.
    pub(crate) fn settle(&mut self, now: Instant) -> bool {
        // A session that was made for forwards ends with them and their connections.
        if self.has_session()
            && !self.operations.session_wanted
            && !self.shutdown.is_under_way()
            && self.forwards.is_empty()
            && self.is_empty()
        {
            self.shutdown.close_unused();
        }
        let disconnects = self.is_empty() && {
            let unconfirmed = self.session.as_ref().is_some_and(Session::is_unconfirmed)
                || (self.session.is_some() && !self.remote_requests.is_empty());
            self.shutdown.connections_closed(now, unconfirmed, self.timeout_gate.is_waiting())
        };
        if disconnects {
            self.disconnect_session();
        }
        let is_closed = self.is_empty()
            && self.session.is_none()
            && self.role.pool().is_none_or(Supervisor::is_empty)
            && self.logon.is_none()
            && !self.reconnecter.is_under_way()
            && self.disconnecting_session.is_none()
            && self.forwards.is_empty();
        if is_closed {
            self.closed(now);
        }
        disconnects
    }

    /// Ends the shutdown: nothing is left.
    fn closed(&mut self, now: Instant) {
        if std::mem::take(&mut self.active) {
            self.emit(Event::Close);
        }
        reply_all(self.shutdown.finish(), &Ok(()));
        let deferred = self.operations.take_deferred();
        for reply in deferred.connecting {
            self.connect(reply);
        }
        for (id, options, reply) in deferred.forwards {
            self.start_forward(id, options, reply, now);
        }
        self.begin_deferred(now);
    }

    /// Returns whether no connection is left in any state.
    fn is_empty(&self) -> bool {
        self.registry.is_empty() && !self.role.pool().is_some_and(Supervisor::has_connections)
    }

    fn ids(&self) -> Vec<u64> {
        self.registry.ids(|connection| !connection.state.is_deferred())
    }

    fn disconnect_session(&mut self) {
        self.cancel_connects();
        if let Role::Supervisor(pool) = &self.role {
            pool.shut_down("shutdown");
            self.shared.set_ready(false);
        }
        self.cancel_connect();
        let session = self.session.take();
        if session.is_some() {
            self.shared.set_ready(false);
            self.forwards_lost(None, &session::Error::no_session());
        }
        let transports = self.shutdown.transports.clone();
        self.disconnecting_session = Some(Box::pin(disconnect(session, transports)));
    }
}

/// Disconnects a session. Under a limit it waits for all transports, also those of sessions that did
/// not come up.
async fn disconnect(session: Option<Session>, transports: Cutoff) {
    if let Some(session) = session {
        session.disconnect(transports.watch()).await;
    }
    if let Some(due) = transports.due() {
        let mut limit =
            Deadline::at(due + session::FINAL_BRIDGE_TIMEOUT, session::FINAL_BRIDGE_TIMEOUT);
        let _ = limit.within(transports.unwatched()).await;
    }
}
