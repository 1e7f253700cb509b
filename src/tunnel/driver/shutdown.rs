//! The shutdown of a tunnel: its forwards, its connections, then its sessions.

use std::time::{Duration, Instant};

use crate::runtime::cutoff::Limit;
use crate::tunnel::connection::cause::{Cause, Force};
use crate::tunnel::driver::{Driver, Uptime};
use crate::tunnel::pending::{Reply, reply_all};
use crate::tunnel::pool::message::ToWorker;
use crate::tunnel::pool::supervisor::Supervisor;
use crate::tunnel::{Error, Event};

/// How long connections may take to close by their Linger once the timeout of `close()` has expired.
const GRACE: Duration = Duration::from_millis(1200);

/// A shutdown of the tunnel.
#[derive(Default)]
pub(crate) struct Shutdown {
    step: Step,
    replies: Vec<Reply<()>>,
    /// When what is left is ended by force.
    bound: Option<Limit>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    /// There is none.
    #[default]
    None,
    /// Connections may end by themselves until this time.
    Draining(Option<Limit>),
    /// All connections are closing, and then the sessions are disconnected.
    Closing,
}

/// What the driver does for a shutdown, in this order.
#[derive(Default)]
struct Effects {
    /// Stops forwards and connecting.
    stop: bool,
    /// Closes all connections, then disconnects.
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
        self.step == Step::Closing
    }

    /// Returns when the step ends at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        let draining = match self.step {
            Step::Draining(limit) => limit,
            Step::None | Step::Closing => None,
        };
        [draining, self.bound].into_iter().flatten().map(|limit| limit.due).min()
    }

    /// Begins every limit anew after a pause of the process.
    pub(crate) fn resumed(&mut self, now: Instant) {
        if let Step::Draining(limit) = &mut self.step {
            *limit = limit.and_then(|limit| limit.resumed(now));
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
            Step::Closing => self.bound = earlier(self.bound),
        }
        Effects { stop, ..Effects::default() }
    }

    /// Closes all connections now.
    fn close(&mut self, reply: Option<Reply<()>>) -> Effects {
        self.replies.extend(reply);
        let (stop, close) = (!self.is_under_way(), !self.closes_connections());
        if let Step::Draining(limit) = self.step {
            // The close() before is still a bound.
            self.bound = limit.and_then(|limit| limit.and(GRACE));
        }
        self.step = Step::Closing;
        Effects { stop, close, force: None }
    }

    /// Handles a limit that is due.
    fn expire(&mut self, now: Instant) -> Option<Effects> {
        if self.bound.take_if(|bound| bound.due <= now).is_some() {
            return Some(Effects { force: Some(Force::Timeout), ..Effects::default() });
        }
        match self.step {
            Step::Draining(Some(limit)) if limit.due <= now => {
                self.step = Step::Closing;
                self.bound = Limit::new(now, GRACE);
                Some(Effects { close: true, ..Effects::default() })
            }
            Step::None | Step::Draining(_) | Step::Closing => None,
        }
    }

    /// Ends the shutdown when nothing is left. Returns its callers.
    fn finish(&mut self) -> Vec<Reply<()>> {
        std::mem::take(self).replies
    }
}

impl Driver {
    /// Stops forwards and lets connections end by themselves.
    pub(crate) fn drain(&mut self, timeout: Option<Duration>, reply: Reply<()>, now: Instant) {
        self.drop_deferred("close");
        let limit = timeout.and_then(|timeout| Limit::new(now, timeout));
        let effects = self.shutdown.drain(limit, reply);
        self.apply_shutdown(&effects, "close", now);
    }

    /// Closes everything now, with `force` whatever its Linger and its state.
    pub(crate) fn shut_down(&mut self, force: bool, reply: Reply<()>, now: Instant) {
        self.drop_deferred("shutdown");
        let mut effects = self.shutdown.close(Some(reply));
        effects.force = force.then_some(Force::Shutdown);
        self.apply_shutdown(&effects, "shutdown", now);
    }

    /// Handles the limits of a shutdown that are due.
    pub(crate) fn expire_shutdown(&mut self, now: Instant) -> bool {
        let Some(effects) = self.shutdown.expire(now) else { return false };
        self.apply_shutdown(&effects, "close", now);
        true
    }

    fn apply_shutdown(&mut self, effects: &Effects, method: &'static str, now: Instant) {
        if effects.stop {
            self.stop(method);
        }
        if effects.close {
            // No connection is opened any more, and a session that came up later would not be shut down.
            self.cancel_connects();
            self.cancel_connect();
            self.worker.shut_down(method);
            if let Some(pool) = &self.pool {
                pool.tell(|| ToWorker::ShutDown(method));
            }
        }
        if let Some(force) = effects.force {
            self.shutdown.bound = None;
            self.worker.force(force, now);
            if let Some(pool) = &self.pool {
                pool.tell(|| ToWorker::Force(force));
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
        if !self.worker.registry().awaits_session() {
            self.cancel_connect();
        }
    }

    /// Cancels the calls that were to begin after an earlier shutdown.
    fn drop_deferred(&mut self, method: &'static str) {
        let deferred = self.operations.take_deferred();
        reply_all(deferred.connecting, &Err(Error::Closed));
        let forwards = deferred.forwards.into_iter().map(|(_, _, reply)| reply);
        reply_all(forwards, &Err(Error::Closed));
        for id in self.worker.registry().ids(|connection| connection.state.is_deferred()) {
            self.worker.close_connection(id, Cause::Application(method));
        }
    }

    /// Continues a shutdown whose connections are closed, and the tunnel once nothing is left.
    /// Returns whether the sessions begin to disconnect.
    pub(crate) fn settle(&mut self, now: Instant) -> bool {
        if !self.is_empty() {
            return false;
        }
        // A session that was made for forwards ends with them and their connections.
        let is_unused = self.has_session()
            && !self.operations.session_wanted
            && !self.shutdown.is_under_way()
            && self.forwards.is_empty();
        let disconnects = is_unused || matches!(self.shutdown.step, Step::Draining(_));
        if disconnects {
            let effects = Effects { stop: false, ..self.shutdown.close(None) };
            self.apply_shutdown(&effects, "shutdown", now);
        }
        if self.shutdown.closes_connections() && self.pool.is_some() {
            self.shared.set_ready(false);
        }
        let is_closed = self.worker.is_disconnected()
            && self.pool.as_ref().is_none_or(Supervisor::is_empty)
            && self.connecting.is_none()
            && !self.reconnecter.is_under_way()
            && self.forwards.is_empty();
        if is_closed {
            self.closed(now);
        }
        disconnects
    }

    /// Returns whether the sessions are being disconnected, with no connection left.
    pub(crate) fn is_disconnecting(&self) -> bool {
        self.shutdown.closes_connections() && self.is_empty()
    }

    /// Ends the shutdown: nothing is left.
    fn closed(&mut self, now: Instant) {
        let replies = self.shutdown.finish();
        if self.uptime == Uptime::Up {
            self.uptime = Uptime::Closed;
            self.emit(Event::Close);
        }
        self.worker.end_force();
        self.publish_state();
        reply_all(replies, &Ok(()));
        let deferred = self.operations.take_deferred();
        for reply in deferred.connecting {
            self.connect(reply);
        }
        for (id, options, reply) in deferred.forwards {
            self.start_forward(id, options, reply, now);
        }
        self.begin_deferred(now);
    }

    /// Returns whether no connection is left in any task.
    pub(crate) fn is_empty(&self) -> bool {
        let pool = self.pool.as_ref();
        self.worker.registry().is_empty() && !pool.is_some_and(Supervisor::has_connections)
    }
}
