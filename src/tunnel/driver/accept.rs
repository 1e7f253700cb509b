//! New connections: accepted or dialed, approved by the application, kept without a session, opened.

use std::task::Poll;
use std::time::{Duration, Instant};

use crate::net::rate::Rates;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::dial::Dial;
use crate::tunnel::connection::meta::{Meta, PendingConnection};
use crate::tunnel::connection::state::{Connection, Source, State};
use crate::tunnel::driver::Driver;
use crate::tunnel::forward::listener::{Accepted, PAUSE};
use crate::tunnel::forward::spec::{DIAL_FORWARD, ForwardSpec};
use crate::tunnel::pool::message::ConnectionCommand;
use crate::tunnel::{ConnectionInfo, ConnectionRequest, ConnectionState, Event};

/// The maximum number of connections that one forward accepts in one turn.
const MAX_ACCEPTED: usize = 64;
/// The maximum number of connections that wait for a session; others wait in the system's backlog.
/// Each costs a descriptor, and reconnecting needs some, too.
const MAX_WAITING: usize = 1024;

/// Returns whether there are as many as may be; `None`: without limit.
fn is_at(live: u64, max: Option<u32>) -> bool {
    max.is_some_and(|max| live >= max.into())
}

impl Driver {
    /// Returns whether a forward, or the whole tunnel, has its maximum number of connections.
    pub(crate) fn is_full(&self, forward: i64) -> bool {
        is_at(self.counters.live(), self.config.max_connections) || self.is_forward_full(forward)
    }

    fn is_forward_full(&self, forward: i64) -> bool {
        is_at(self.counters.live_of(forward), self.forwards.max_connections(forward))
    }

    /// Returns whether no forward may accept: the tunnel has its maximum number of connections, or too
    /// many wait for a session.
    fn has_no_room(&mut self, now: Instant) -> bool {
        is_at(self.counters.live(), self.config.max_connections)
            || (self.worker.registry().waiting() >= MAX_WAITING
                && (!self.has_session() || self.is_crowded(now)))
    }

    /// Accepts new connections from the listeners that may have some.
    pub(crate) fn accept(&mut self, now: Instant) -> bool {
        if !self.forwards.may_accept() || self.accepts_at.is_some_and(|at| now < at) {
            return false;
        }
        self.accepts_at = self.observer.is_behind().then(|| now + PAUSE);
        // The server's answers wake this task.
        if self.accepts_at.is_some() || self.worker.is_server_behind() {
            return false;
        }
        let mut busy = false;
        let mut from = i64::MIN;
        // What makes room wakes this task, too.
        while !self.has_no_room(now)
            && let Some(id) = self.forwards.next_accepting(from)
        {
            busy |= self.accept_from(id, now);
            from = id + 1;
        }
        busy
    }

    fn accept_from(&mut self, forward: i64, now: Instant) -> bool {
        for accepted in 0..MAX_ACCEPTED {
            if self.is_forward_full(forward) {
                self.forwards.set_full(forward);
                return accepted > 0;
            }
            if self.has_no_room(now) {
                return accepted > 0;
            }
            let (is_first, rates) = (self.counters.live() == 0, self.rates(forward));
            match self.forwards.poll_accept(forward, now, is_first) {
                Poll::Pending => return accepted > 0,
                Poll::Ready(Ok((spec, accepted))) => {
                    self.counters.accepted(forward);
                    if self.shared.settings().keep_alive {
                        accepted.stream.set_keep_alive(Some(Duration::ZERO));
                    }
                    let Accepted { stream, remote, local } = accepted;
                    let (id, settings) = (self.shared.next_id(), *self.shared.settings());
                    let (target, socks) = (None, None);
                    let mut meta =
                        Meta { id, forward, remote, local, target, socks, settings, rates };
                    match spec {
                        ForwardSpec::Local { target, .. } => {
                            meta.target = Some(target.clone());
                            self.admit(PendingConnection { meta, stream }, now);
                        }
                        ForwardSpec::Dynamic { login, .. } => {
                            let (login, due) = (login.clone(), self.worker.answer_due(now));
                            self.worker.registry_mut().start_handshake(meta, stream, login, due);
                        }
                        ForwardSpec::Remote { .. } => unreachable!("the server listens for it"),
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.listener_failed(forward, &error);
                    return true;
                }
            }
        }
        true
    }

    /// Returns the limits of the rate of a forward's new connection.
    pub(crate) fn rates(&self, forward: i64) -> Rates {
        let tunnel = Some(self.shared.rate().clone());
        Rates { tunnel, forward: self.forwards.rate(forward).cloned(), own: None }
    }

    /// Opens a connection that the application dials. Like `connect()`, this keeps the session up.
    pub(crate) fn dial(&mut self, dial: Dial, now: Instant) {
        let pending = dial.into_pending(self.rates(DIAL_FORWARD));
        if self.shutdown.is_under_way() {
            let PendingConnection { meta, stream } = pending;
            self.worker.registry_mut().insert(meta, State::Deferred(stream), None);
        } else {
            self.begin_dial(pending, now);
        }
    }

    fn begin_dial(&mut self, pending: PendingConnection, now: Instant) {
        let is_full = self.is_full(DIAL_FORWARD);
        self.count_dial();
        if is_full {
            return self.worker.reject(pending, Cause::Full);
        }
        if self.has_session() {
            self.operations.session_wanted = true;
            self.open(pending, now);
        } else {
            // It is wanted once it is up: a dial that ends before has connected to nothing.
            self.hold(pending, now);
            self.connect_session();
        }
    }

    /// Begins the dials that waited for the end of a shutdown.
    pub(crate) fn begin_deferred(&mut self, now: Instant) {
        for id in self.worker.registry().ids(|connection| connection.state.is_deferred()) {
            if let Some(pending) = self.take_pending(id) {
                self.begin_dial(pending, now);
            }
        }
    }

    /// Asks the application about a connection, or opens it.
    pub(crate) fn admit(&mut self, pending: PendingConnection, now: Instant) {
        if !self.observer.decides_connections() {
            return self.open(pending, now);
        }
        let PendingConnection { meta, stream } = pending;
        self.ask(meta, Source::Local(stream), now);
    }

    /// Asks the application about a connection.
    pub(crate) fn ask(&mut self, meta: Meta, source: Source, now: Instant) {
        let answer = self.answer_for(meta.id);
        let info = meta.info(ConnectionState::Requested);
        let due = self.worker.answer_due(now);
        self.worker.registry_mut().insert(meta, State::AwaitingApproval(source), Some(due));
        self.emit(Event::ConnectionRequest(ConnectionRequest { info, answer }));
    }

    /// Asks the application about a connection with a channel, whose client has named its target.
    pub(crate) fn requested(&mut self, info: ConnectionInfo, now: Instant) {
        if self.observer.decides_connections() {
            let answer = self.answer_for(info.id);
            self.emit(Event::ConnectionRequest(ConnectionRequest { info, answer }));
        } else {
            self.answered(info.id, true, now);
        }
    }

    /// Handles the application's decision on a connection, which may have ended meanwhile.
    pub(crate) fn answered(&mut self, id: u64, accept: bool, now: Instant) {
        let connection = self.worker.registry().get(id);
        if !connection.is_some_and(|it| matches!(it.state, State::AwaitingApproval(_))) {
            // The worker that has it, if any.
            return self.connection(id, ConnectionCommand::Answer(accept), now);
        }
        if !accept {
            self.worker.close_connection(id, Cause::Rejected);
            return;
        }
        let approved = self.worker.registry_mut().remove(id);
        if let Some(Connection { meta, state: State::AwaitingApproval(source), .. }) = approved {
            match source {
                Source::Local(stream) => self.open(PendingConnection { meta, stream }, now),
                Source::Inbound(channel) => self.connect_target(meta, channel, now),
            }
        }
    }

    /// Opens a connection on a session, now or after the next reconnect.
    pub(crate) fn open(&mut self, pending: PendingConnection, now: Instant) {
        if self.pool.is_none() && self.worker.has_session() {
            self.worker.open(pending, now);
        } else {
            self.open_elsewhere(pending, now);
        }
    }

    /// Keeps a connection until there is a session. Nothing is read from it.
    pub(crate) fn hold(&mut self, pending: PendingConnection, now: Instant) {
        let PendingConnection { meta, stream } = pending;
        let due = self.worker.answer_due(now);
        if self.pool.is_none() {
            self.early.add(meta.channel_request());
        }
        self.worker.registry_mut().insert(meta, State::AwaitingSession(stream), Some(due));
    }

    /// Opens the connections that waited for a session, in the order in which they were accepted, while
    /// there is room.
    pub(crate) fn open_waiting(&mut self, now: Instant) {
        if self.is_crowded(now) {
            return;
        }
        let waits = |connection: &Connection| matches!(connection.state, State::AwaitingSession(_));
        for id in self.worker.registry().ids(waits) {
            if self.is_crowded(now) {
                break;
            }
            if let Some(pending) = self.take_pending(id) {
                self.open(pending, now);
            }
        }
    }

    /// Removes a connection from the registry, with its socket.
    fn take_pending(&mut self, id: u64) -> Option<PendingConnection> {
        let Connection { meta, state, .. } = self.worker.registry_mut().remove(id)?;
        Some(PendingConnection { meta, stream: state.into_stream()? })
    }

    /// Rejects the connections of these forwards that wait for a decision or a session.
    pub(crate) fn reject_all(&mut self, cause: &Cause, matches: impl Fn(i64) -> bool) {
        let waits = |it: &Connection| it.state.is_waiting() && matches(it.meta.forward);
        for id in self.worker.registry().ids(waits) {
            self.worker.close_connection(id, cause.clone());
        }
    }
}
