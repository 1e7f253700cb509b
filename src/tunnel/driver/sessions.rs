//! The sessions of a tunnel: numbered, reported, and with several of them, each in a task.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::coop::unconstrained;

use crate::runtime::{self, WorkerSlot};
use crate::session::{self, Session};
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::meta::PendingConnection;
use crate::tunnel::driver::Driver;
use crate::tunnel::driver::reconnect::{EarlyConnections, connect_session};
use crate::tunnel::forward::remote::{ForwardRequest, SessionId};
use crate::tunnel::pending::{Reply, reply_all};
use crate::tunnel::pool::message::{FromWorker, ToWorker};
use crate::tunnel::pool::supervisor::Supervisor;
use crate::tunnel::pool::throughput::Throughput;
use crate::tunnel::worker::task::Task;
use crate::tunnel::{ConnectionEnd, ConnectionInfo, DIAL_FORWARD, Event, SessionStep, Stats};

impl Driver {
    /// Returns whether connections can be opened.
    pub(crate) fn has_session(&self) -> bool {
        self.worker.has_session() || self.pool.as_ref().is_some_and(Supervisor::is_up)
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

    /// Takes a session that has come up: into this task, or with several sessions into a worker's.
    pub(crate) fn add_session(&mut self, session: Session, now: Instant) {
        let Some(id) = self.session_id else { return };
        self.session_ready(id, session.connect_time);
        if let Some(pool) = &mut self.pool {
            self.session_id = None;
            if self.config.sessions.further_memory < self.config.target.windows.memory {
                pool.take_large(id);
            }
            // It stays on this thread, which has connected it and does little else.
            self.start_worker(id, session, None, now);
        } else {
            self.worker.set_session(session);
        }
    }

    /// Starts the worker of a session that is up, on the thread that has connected it.
    fn start_worker(&mut self, id: u32, session: Session, slot: Option<WorkerSlot>, now: Instant) {
        let Some(pool) = &mut self.pool else { return };
        // Weak: a worker does not keep its tunnel alive.
        let sender = self.sender.clone();
        let report = move |event| {
            if let Some(sender) = sender.upgrade() {
                let _ = sender.send(Box::new(move |driver: &mut Self, now| {
                    driver.worker_event(id, event, now);
                }));
            }
        };
        let (messages, inbox) = unbounded_channel();
        let throughput = Arc::new(Throughput::new(now));
        pool.add(id, messages, throughput.clone(), now);
        let (target, observer) = (self.config.target.clone(), self.observer.clone());
        let task = Task::new(session, target, inbox, report, observer, throughput);
        match slot {
            Some(slot) => slot.spawn(task),
            None => drop(tokio::spawn(unconstrained(task))),
        }
    }

    /// Opens a connection on a session of another task, or keeps it until there is a session with room.
    pub(crate) fn open_elsewhere(&mut self, pending: PendingConnection, now: Instant) {
        self.begin_further_session(now);
        let is_crowded = self.is_crowded(now);
        let pool = self.pool.as_mut().filter(|_| !is_crowded);
        let left = match pool {
            Some(pool) => pool.open(pending, now),
            None => Some(pending),
        };
        if let Some(pending) = left {
            self.hold(pending, now);
        }
    }

    /// Begins a further session if a new connection, or one that waits, justifies it.
    fn begin_further_session(&mut self, now: Instant) {
        let waiting = self.worker.registry().awaiting_session();
        if !self.pool.as_ref().is_some_and(|pool| pool.wants_another(waiting, now)) {
            return;
        }
        let id = self.begin_session();
        let limit = self.worker.transport_limit();
        let Some(pool) = &mut self.pool else { return };
        let mut windows = self.config.target.windows;
        let further_memory = self.config.sessions.further_memory;
        if further_memory < windows.memory && !pool.take_large(id) {
            windows.memory = further_memory;
        }
        let (config, observer) = (&self.config, &self.observer);
        let early = EarlyConnections::default();
        let log = self.log.within(&format!("session {id}: "));
        pool.connect(id, connect_session(config, windows, observer, &early, limit, log), now);
    }

    /// Returns whether new connections wait for a further session.
    pub(crate) fn is_crowded(&mut self, now: Instant) -> bool {
        let until = self.pool.as_ref().and_then(|pool| pool.crowded_until(now));
        self.crowded_until = until.and_then(|until| {
            // None waits so long that it would fail.
            let since = *self.crowded_since.get_or_insert(now);
            let limit = since + self.config.target.ready_timeout / 2;
            Some(until.min(limit)).filter(|until| now < *until)
        });
        self.crowded_until.is_some()
    }

    /// Opens the connections that wait for a session, while there is one with room.
    pub(crate) fn open_crowded(&mut self, now: Instant) -> bool {
        let before = self.worker.registry().awaiting_session();
        if before == 0 || self.pool.is_none() || !self.has_session() {
            (self.crowded_since, self.crowded_until) = (None, None);
            return false;
        }
        self.begin_further_session(now);
        self.open_waiting(now);
        self.worker.registry().awaiting_session() < before
    }

    /// Takes further sessions that have come up or failed.
    pub(crate) fn poll_sessions(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut busy = false;
        while let Some(pool) = &mut self.pool {
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
        busy | self.open_crowded(now)
    }

    /// Cancels further sessions that are connecting.
    pub(crate) fn cancel_connects(&mut self) {
        let Some(pool) = &mut self.pool else { return };
        for id in pool.cancel_connects() {
            self.session_ended(id);
        }
    }

    /// Handles the events of this task's worker.
    pub(crate) fn handle_worker_events(&mut self, now: Instant) {
        while let Some(event) = self.worker.next_event() {
            match event {
                FromWorker::Opened(info) => self.emit(Event::Connection(info)),
                FromWorker::Ended(end, replies) => {
                    // Counted first: the observer may ask for the counters.
                    self.count_end(&end);
                    self.emit(Event::Disconnected(*end));
                    reply_all(replies, &Ok(()));
                    // A dial may have been all that needed a session.
                    self.stop_connecting_for_nothing();
                }
                event => self.worker_event(self.session_id.unwrap_or_default(), event, now),
            }
        }
    }

    /// Handles an event of the worker that has this session.
    fn worker_event(&mut self, id: SessionId, event: FromWorker, now: Instant) {
        match event {
            FromWorker::Disconnected { error, served, returned } => {
                self.session_disconnected(id, error, served, returned, now);
            }
            FromWorker::Disconnecting => {
                if self.pool.is_none() {
                    self.shared.set_ready(false);
                }
                self.forwards_lost(id, &session::Error::no_session());
            }
            FromWorker::Exited => match &mut self.pool {
                Some(pool) => {
                    if pool.remove(id) {
                        self.session_ended(id);
                    }
                }
                None => self.end_session(),
            },
            FromWorker::Returned(pending) => {
                self.connection_left(pending.meta.id, now);
                let lost = self.pool.as_ref().and_then(|pool| pool.loss(id)).cloned();
                let error = lost.unwrap_or_else(session::Error::no_session);
                self.connection_returned(pending, &error, now);
            }
            FromWorker::Forward(forward, event) => {
                self.handle_forward_event(id, forward, event, now);
            }
            FromWorker::InboundRejected(inbound, reason) => {
                let request = ForwardRequest::Reject(inbound.channel, reason);
                self.send_forward_request(inbound.session, request);
            }
            FromWorker::NoConnection(connection, command) => {
                self.connection(connection, command, now);
            }
            FromWorker::Requested(info) => self.requested(info, now),
            FromWorker::DeferredEnded => self.count_dial(),
            FromWorker::Ended(end, _) => {
                self.connection_left(end.id, now);
                self.count_end(&end);
            }
            // The worker's task reports it.
            FromWorker::Opened(_) => {}
        }
    }

    /// Counts a connection that has ended, which may make room for another one of its forward.
    fn count_end(&mut self, end: &ConnectionEnd) {
        self.counters.ended(end);
        self.forwards.connection_ended(end.forward);
    }

    fn connection_left(&mut self, id: u64, now: Instant) {
        if let Some(pool) = &mut self.pool {
            pool.connection_left(id, now);
        }
    }

    /// A session is lost; the tunnel reconnects if that was the last one.
    fn session_disconnected(
        &mut self,
        id: SessionId,
        error: session::Error,
        served: bool,
        returned: Vec<PendingConnection>,
        now: Instant,
    ) {
        if served {
            self.reconnecter.served();
        }
        for pending in &returned {
            self.connection_left(pending.meta.id, now);
        }
        let was_up =
            self.pool.as_mut().is_none_or(|pool| pool.disconnected(id, &error, served, now));
        self.forwards_lost(id, &error);
        if !was_up || self.is_disconnecting() {
            self.session_ended(id);
            for pending in returned {
                self.connection_returned(pending, &error, now);
            }
            return;
        }
        self.session_lost(id, &error);
        if self.has_session() {
            for pending in returned {
                self.connection_returned(pending, &error, now);
            }
            self.emit(Event::SessionError(error.into()));
            self.request_forwards(now);
        } else {
            self.session_id = None;
            self.cancel_connects();
            self.shared.set_ready(false);
            self.forwards.fail(&error.clone().into());
            self.recover(error, returned, now);
        }
    }

    /// Opens a connection on another session, now or after the reconnect, if there is to be one.
    pub(crate) fn connection_returned(
        &mut self,
        pending: PendingConnection,
        error: &session::Error,
        now: Instant,
    ) {
        let waits = self.has_session() || self.reconnecter.is_under_way();
        if waits && !self.shutdown.closes_connections() {
            self.open_elsewhere(pending, now);
        } else {
            self.worker.reject(pending, Cause::SessionLost(error.clone()));
        }
    }

    /// Counts a connection that `dial()` opens.
    pub(crate) fn count_dial(&mut self) {
        self.counters.add_forward(DIAL_FORWARD);
        self.counters.accepted(DIAL_FORWARD);
    }

    /// Returns the connections of all tasks.
    pub(crate) fn connections(&mut self, reply: Reply<Vec<ConnectionInfo>>) {
        self.ask_workers(ToWorker::Connections, |driver, infos| {
            // A connection that moved meanwhile may be in two lists, or only here.
            let pool = driver.pool.as_ref();
            let infos = infos.into_iter().flatten();
            let infos = infos.filter(|info| pool.is_some_and(|pool| pool.has(info.id)));
            let all: BTreeMap<_, _> =
                infos.chain(driver.worker.infos()).map(|info| (info.id, info)).collect();
            let _ = reply.send(Ok(all.into_values().collect()));
        });
    }

    /// Returns the counters of one forward, or of all.
    pub(crate) fn stats(&mut self, forward: Option<i64>, reply: Reply<Stats>) {
        self.ask_workers(ToWorker::Snapshot, move |driver, mut snapshots| {
            if driver.pool.is_none() {
                snapshots.push(driver.worker.snapshot());
            }
            let (pool, worker) = (driver.pool.as_ref(), &driver.worker);
            let up = pool.map_or(u64::from(worker.has_session()), Supervisor::count_up);
            let exists = |id| pool.is_none_or(|pool| pool.has(id));
            let _ = reply.send(driver.counters.stats(forward, &snapshots, exists, up));
        });
    }

    /// Asks every worker, and continues with the answers, at once if there is no worker.
    fn ask_workers<T: Send + 'static>(
        &mut self,
        message: impl Fn(Reply<T>) -> ToWorker,
        then: impl FnOnce(&mut Self, Vec<T>) + Send + 'static,
    ) {
        let Some(pool) = self.pool.as_ref().filter(|pool| !pool.is_empty()) else {
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
