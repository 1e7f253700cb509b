//! The sessions of a tunnel: numbered, reported, and with several of them, each in a worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::coop::unconstrained;

use crate::runtime::{self, WorkerSlot};
use crate::session::{self, Session};
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::meta::PendingConnection;
use crate::tunnel::driver::reconnect::connect_session;
use crate::tunnel::driver::{Driver, Inbox};
use crate::tunnel::pending::Reply;
use crate::tunnel::pool::message::{FromWorker, ToWorker};
use crate::tunnel::pool::supervisor::{Role, Supervisor};
use crate::tunnel::pool::worker::WorkerEvents;
use crate::tunnel::shared::Shared;
use crate::tunnel::stats::Snapshot;
use crate::tunnel::{
    Config, ConnectionEnd, ConnectionInfo, DIAL_FORWARD, Event, Observer, SessionStep, Settings,
    Stats,
};

impl Driver {
    /// Returns whether connections can be opened.
    pub(crate) fn has_session(&self) -> bool {
        self.session.is_some() || self.role.pool().is_some_and(Supervisor::is_up)
    }

    /// Reports that a session begins to connect. Returns its id.
    pub(crate) fn begin_session(&mut self) -> u32 {
        self.last_session += 1;
        self.report_session(self.last_session, SessionStep::Started);
        self.last_session
    }

    fn session_ready(&mut self, id: u32, connect_time: Duration) {
        self.counters.session_ready(connect_time);
        self.report_session(id, SessionStep::Ready(connect_time));
    }

    /// Reports that a session could not connect or authenticate.
    pub(crate) fn session_failed(&mut self, id: u32, error: &session::Error) {
        self.counters.session_failed();
        self.report_session(id, SessionStep::Ended(Some(error.clone().into())));
    }

    /// Reports that a session was lost.
    pub(crate) fn session_lost(&mut self, id: u32, error: &session::Error) {
        self.counters.session_lost();
        self.report_session(id, SessionStep::Lost(error.clone().into()));
        self.report_session(id, SessionStep::Ended(Some(error.clone().into())));
    }

    /// Reports that a session has ended because it is not needed any more.
    pub(crate) fn session_ended(&mut self, id: u32) {
        self.report_session(id, SessionStep::Ended(None));
    }

    fn report_session(&self, number: u32, step: SessionStep) {
        self.emit(Event::Session { number, step });
    }

    /// Takes a session that has come up.
    pub(crate) fn add_session(&mut self, session: Session, now: Instant) {
        if let Some(id) = self.session_number {
            self.session_ready(id, session.connect_time);
        }
        match self.role {
            // It stays on the thread of this task, which has connected it and does little else.
            Role::Supervisor(_) => {
                if let Some(id) = self.session_number.take() {
                    self.start_worker(id, session, None, now);
                }
            }
            Role::Single | Role::Worker(_) => self.session = Some(session),
        }
    }

    /// Starts the worker of a session that is up, on the thread that has connected it.
    fn start_worker(&mut self, id: u32, session: Session, slot: Option<WorkerSlot>, now: Instant) {
        let Role::Supervisor(pool) = &mut self.role else { return };
        // Weak: a worker does not keep its tunnel alive.
        let sender = self.sender.clone();
        let send = move |event| {
            if let Some(sender) = sender.upgrade() {
                let _ = sender.send(Box::new(move |driver: &mut Self, now| {
                    driver.worker_event(id, event, now);
                }));
            }
        };
        let (messages, mut worker) =
            Self::worker(self.config.clone(), send, self.observer.clone(), now);
        if let Role::Worker(events) = &worker.role {
            pool.add(id, messages, events.throughput().clone(), now);
        }
        worker.begin_worker(session);
        match slot {
            Some(slot) => slot.spawn(worker),
            None => drop(tokio::spawn(unconstrained(worker))),
        }
    }

    /// Makes a worker, which lives until the sender of its messages is dropped.
    fn worker(
        config: Arc<Config>,
        send: impl Fn(FromWorker) + Send + Sync + 'static,
        observer: Arc<dyn Observer>,
        now: Instant,
    ) -> (UnboundedSender<ToWorker>, Self) {
        let (messages, inbox) = unbounded_channel();
        let events = Arc::new(WorkerEvents::new(send, observer, now));
        // Its own: a worker binds no port and does not say whether the tunnel is ready.
        let shared = Arc::new(Shared::new(Settings::default()));
        let role = Role::Worker(events.clone());
        let (commands, _) = unbounded_channel();
        let (inbox, sender) = (Inbox::Worker(inbox), commands.downgrade());
        (messages, Self::new(config, shared, events, inbox, sender, role))
    }

    /// Gives a worker its session.
    fn begin_worker(&mut self, session: Session) {
        self.logon = Some(Box::pin(std::future::ready(Ok(session))));
        self.operations.session_wanted = true;
        // A worker that is shut down before its first turn reports its end, too.
        self.active = true;
    }

    /// Handles a message of the supervisor.
    pub(crate) fn handle_message(&mut self, message: ToWorker, now: Instant) {
        match message {
            ToWorker::Open(mut pending) => {
                pending.stream = pending.stream.moved_here();
                self.open(pending, now);
            }
            ToWorker::Accept(mut pending, channel) => {
                pending.stream = pending.stream.moved_here();
                self.accept_inbound(pending, channel, now);
            }
            ToWorker::Connection(id, command) => self.connection(id, command),
            ToWorker::Forward(request) => self.forward_request(request),
            ToWorker::Connections(reply) => {
                let _ = reply.send(Ok(self.registry.infos()));
            }
            ToWorker::Snapshot(reply) => {
                let _ = reply.send(Ok(self.snapshot()));
            }
            ToWorker::ShutDown(method) => self.shut_down_worker(method),
            ToWorker::Force(force) => {
                self.shut_down_worker(force.method());
                self.force(force);
            }
        }
    }

    /// Places a connection for which this task has no session.
    pub(crate) fn open_elsewhere(&mut self, pending: PendingConnection, now: Instant) {
        let wants_another = match &self.role {
            Role::Single => return self.hold(pending, now),
            Role::Worker(worker) => return worker.send(FromWorker::Returned(pending)),
            Role::Supervisor(pool) => pool.wants_another(now),
        };
        let another = wants_another.then(|| self.begin_session());
        let Role::Supervisor(pool) = &mut self.role else { return };
        if let Some(id) = another {
            let limit = self.shutdown.transport_limit();
            pool.connect(id, connect_session(&self.config, &self.observer, limit));
        }
        if let Some(pending) = pool.open(pending, now) {
            self.hold(pending, now);
        }
    }

    /// Takes further sessions that have come up or failed.
    pub(crate) fn poll_sessions(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut busy = false;
        while let Role::Supervisor(pool) = &mut self.role {
            match pool.poll_connected(cx) {
                Poll::Ready(Some((id, Ok((session, slot))))) => {
                    self.session_ready(id, session.connect_time);
                    self.start_worker(id, session, Some(slot), now);
                }
                Poll::Ready(Some((id, Err(error)))) => {
                    let is_first = pool.failed(&error, now);
                    self.session_failed(id, &error);
                    if is_first {
                        self.emit(Event::SessionError(error.into()));
                    }
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
            busy = true;
        }
        busy
    }

    /// Cancels further sessions that are connecting.
    pub(crate) fn cancel_connects(&mut self) {
        let Role::Supervisor(pool) = &mut self.role else { return };
        for id in pool.cancel_connects() {
            self.session_ended(id);
        }
    }

    /// Handles a message of a worker.
    fn worker_event(&mut self, id: u32, event: FromWorker, now: Instant) {
        let Role::Supervisor(pool) = &mut self.role else { return };
        match event {
            FromWorker::Disconnected { error, served } => {
                self.worker_disconnected(id, error, served, now);
            }
            FromWorker::Returned(pending) => {
                pool.connection_left(pending.meta.id, now);
                self.connection_returned(id, pending, now);
            }
            FromWorker::Forward(forward, event) => {
                self.handle_forward_event(Some(id), forward, event, now);
            }
            FromWorker::Ended(end) => {
                pool.connection_left(end.id, now);
                self.count_end(&end);
            }
            FromWorker::NoConnection(connection, command) => self.connection(connection, command),
            FromWorker::Exited => {
                if pool.remove(id) {
                    self.session_ended(id);
                }
                self.forwards_lost(Some(id), &session::Error::no_session());
            }
        }
    }

    /// The session of a worker is lost; the tunnel reconnects only if that was the last one.
    fn worker_disconnected(&mut self, id: u32, error: session::Error, served: bool, now: Instant) {
        let Role::Supervisor(pool) = &mut self.role else { return };
        if served {
            pool.served();
            self.reconnecter.served();
        }
        let was_up = pool.disconnected(id, &error, now);
        self.forwards_lost(Some(id), &error);
        if !was_up || self.shutdown.is_disconnecting() {
            return self.session_ended(id);
        }
        self.session_lost(id, &error);
        if self.has_session() {
            self.emit(Event::SessionError(error.into()));
            self.request_forwards(now);
        } else {
            self.cancel_connects();
            self.lost(error);
        }
    }

    /// A connection was not open when its session was lost: opens it on another session, now or after
    /// the reconnect, if there is to be one.
    fn connection_returned(&mut self, worker: u32, pending: PendingConnection, now: Instant) {
        let waits = self.has_session() || self.reconnecter.is_under_way();
        if waits && !self.shutdown.closes_connections() {
            return self.open_elsewhere(pending, now);
        }
        let lost = self.role.pool().and_then(|pool| pool.loss(worker)).cloned();
        let error = lost.unwrap_or_else(session::Error::no_session);
        self.reject(pending, Cause::SessionLost(error));
    }

    /// Counts a connection that `dial()` opens.
    pub(crate) fn count_dial(&mut self) {
        self.counters.add_forward(DIAL_FORWARD, |_| true);
        self.counters.accepted(DIAL_FORWARD);
    }

    /// Counts a connection that has ended, before the observer can ask for its counters. A worker
    /// leaves that to the supervisor.
    pub(crate) fn count_end(&mut self, end: &ConnectionEnd) {
        if self.role.worker().is_none() {
            self.counters.ended(end);
        }
    }

    /// Returns the connections of all tasks.
    pub(crate) fn connections(&mut self, reply: Reply<Vec<ConnectionInfo>>) {
        self.ask_workers(ToWorker::Connections, |driver, infos| {
            // A connection that moved meanwhile may be in two lists, or only here.
            let pool = driver.role.pool();
            let infos = infos.into_iter().flatten();
            let infos = infos.filter(|info| pool.is_some_and(|pool| pool.has(info.id)));
            let all: BTreeMap<_, _> =
                infos.chain(driver.registry.infos()).map(|info| (info.id, info)).collect();
            let _ = reply.send(Ok(all.into_values().collect()));
        });
    }

    /// Returns the counters of one forward, or of all.
    pub(crate) fn stats(&mut self, forward: Option<i64>, reply: Reply<Stats>) {
        self.ask_workers(ToWorker::Snapshot, move |driver, mut snapshots| {
            if driver.role.pool().is_none() {
                snapshots.push(driver.snapshot());
            }
            let pool = driver.role.pool();
            let up = pool.map_or(u64::from(driver.session.is_some()), Supervisor::count_up);
            let exists = |id| pool.is_none_or(|pool| pool.has(id));
            let _ = reply.send(driver.counters.stats(forward, &snapshots, exists, up));
        });
    }

    fn snapshot(&mut self) -> Snapshot {
        let live = self.registry.live();
        let round_trip = self.session.as_ref().and_then(|session| session.client.round_trip());
        Snapshot { live, round_trip }
    }

    /// Asks every worker, and continues with the answers, at once if there is no worker.
    fn ask_workers<T: Send + 'static>(
        &mut self,
        message: impl Fn(Reply<T>) -> ToWorker,
        then: impl FnOnce(&mut Self, Vec<T>) + Send + 'static,
    ) {
        let Some(pool) = self.role.pool().filter(|pool| !pool.is_empty()) else {
            return then(self, Vec::new());
        };
        let (pending, sender) = (pool.ask(message), self.sender.clone());
        runtime::handle().spawn(async move {
            let mut answers = Vec::new();
            for answer in pending {
                answers.extend(answer.await.ok());
            }
            if let Some(sender) = sender.upgrade() {
                let _ = sender.send(Box::new(move |driver: &mut Self, _| then(driver, answers)));
            }
        });
    }
}

#[cfg(test)]
mod tests;
