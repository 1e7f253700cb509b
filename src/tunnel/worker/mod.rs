//! One session with its connections: the part of a tunnel that moves bytes.
//!
//! A [`Worker`] has no task of its own. With one session it is part of the tunnel's driver, with several
//! each has a `task`. It handles messages and input, and queues events for the task that it is part of
//! ([`FromWorker`]).
//!
//! - `data`: bytes between sockets and channels; `close`: how connections end; `disconnect`: how the
//!   session ends; `limits`: those of connections; `requested`: its remote forwards; `negotiate`: their clients
//!   that speak SOCKS; `schedule`: which connection is read next; `turn`: the loop of a task; `task`: a worker
//!   alone in a task.

mod close;
mod data;
mod disconnect;
mod limits;
mod negotiate;
mod requested;
pub(crate) mod schedule;
pub(crate) mod task;
pub(crate) mod turn;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ssh_proto::{ChannelId, ForwardEvent, ForwardId, ListenAddr, OpenFailure};

use crate::net::close::Outcome;
use crate::runtime::cutoff::{Cutoff, CutoffWatch};
use crate::runtime::timer::Timer;
use crate::session::{self, Session, TimeoutGate};
use crate::tunnel::connection::cause::{Cause, Force};
use crate::tunnel::connection::meta::PendingConnection;
use crate::tunnel::connection::phase::Event as Step;
use crate::tunnel::connection::registry::{Expiry, Registry};
use crate::tunnel::connection::relay::Relay;
use crate::tunnel::connection::state::State;
use crate::tunnel::forward::remote::ForwardRequest;
use crate::tunnel::pending::Reply;
use crate::tunnel::pool::message::{ConnectionCommand, FromWorker, ToWorker};
use crate::tunnel::stats::Snapshot;
use crate::tunnel::worker::close::Given;
use crate::tunnel::worker::disconnect::Exit;
use crate::tunnel::worker::requested::RequestedForwards;
use crate::tunnel::worker::schedule::Schedule;
use crate::tunnel::{ConnectionInfo, Endpoint};

/// The maximum number of channels of ended connections that the server has neither opened nor closed.
/// Each costs some memory until it does.
const MAX_UNCONFIRMED: usize = 4096;

/// A session with its connections, before and after it, too.
pub(crate) struct Worker {
    session: Option<Session>,
    /// Whether the session may have input that was read before it came here.
    is_new: bool,
    registry: Registry,
    /// The remote forwards that the server was asked for.
    forwards: RequestedForwards,
    exit: Exit,
    forced: Option<Force>,
    /// Limits the end of transports in a forced shutdown.
    transports: Cutoff,
    /// How long a peer may take to answer.
    ready_timeout: Duration,
    /// Saves the host keys that the server announces.
    target: Arc<session::Target>,

    events: VecDeque<FromWorker>,
    /// The callers that wait for the end of a connection, by its id.
    closing: HashMap<u64, Vec<Reply<()>>>,
    /// The connections that return from a session that is being lost.
    returned: Vec<PendingConnection>,

    /// The channels of the connections to read from.
    schedule: Schedule,
    timer: Timer,
    timeout_gate: TimeoutGate,
    /// Reused by every turn.
    ready: Vec<usize>,
    touched: Vec<usize>,
    closed: Vec<usize>,
}

impl Worker {
    pub(crate) fn new(target: Arc<session::Target>) -> Self {
        Self {
            session: None,
            is_new: false,
            registry: Registry::default(),
            forwards: RequestedForwards::default(),
            exit: Exit::default(),
            forced: None,
            transports: Cutoff::default(),
            ready_timeout: target.ready_timeout,
            target,
            events: VecDeque::new(),
            closing: HashMap::new(),
            returned: Vec::new(),
            schedule: Schedule::default(),
            timer: Timer::default(),
            timeout_gate: TimeoutGate::default(),
            ready: Vec::new(),
            touched: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Takes a session that has come up.
    pub(crate) fn set_session(&mut self, session: Session) {
        self.session = Some(session);
        self.is_new = true;
    }

    /// Returns whether the session is up.
    pub(crate) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Returns the connections of this task.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Returns the next event for the task that has this worker.
    pub(crate) fn next_event(&mut self) -> Option<FromWorker> {
        self.events.pop_front()
    }

    /// Returns the limit for a transport that begins now.
    pub(crate) fn transport_limit(&self) -> CutoffWatch {
        self.transports.watch()
    }

    /// Handles a message of the supervisor.
    pub(crate) fn handle(&mut self, message: ToWorker, now: Instant) {
        match message {
            ToWorker::Open(pending) => self.open(pending, now),
            ToWorker::Accept(pending, channel) => self.accept(pending, channel, now),
            ToWorker::Negotiate(meta, channel, login) => self.negotiate(meta, channel, login, now),
            ToWorker::Connection(id, command) => self.connection(id, command, now),
            ToWorker::Forward(request) => self.forward_request(request),
            ToWorker::Connections(reply) => {
                let _ = reply.send(Ok(self.infos()));
            }
            ToWorker::Snapshot(reply) => {
                let _ = reply.send(Ok(self.snapshot()));
            }
            ToWorker::RatesChanged => self.rates_changed(now),
            ToWorker::ShutDown(method) => self.shut_down(method),
            ToWorker::Force(force) => {
                self.shut_down(force.method());
                self.force(force, now);
            }
        }
    }

    pub(crate) fn infos(&self) -> Vec<ConnectionInfo> {
        self.registry.infos()
    }

    pub(crate) fn snapshot(&mut self) -> Snapshot {
        let round_trip = self.session.as_ref().and_then(|session| session.client.round_trip());
        Snapshot { live: self.registry.live(), round_trip }
    }

    /// Returns the bytes that the session has moved so far.
    pub(crate) fn moved(&self) -> Option<u64> {
        self.session.as_ref().map(|session| session.moved)
    }

    /// Returns whether the server has too much to answer, or to read, for a further channel. What makes
    /// room there wakes this task.
    pub(crate) fn is_server_behind(&self) -> bool {
        self.session.as_ref().is_some_and(|session| {
            let unconfirmed =
                session.client.channel_count().saturating_sub(self.registry.with_channel());
            unconfirmed > MAX_UNCONFIRMED || !session.client.wants_input()
        })
    }

    /// Returns when something that begins now has to be answered.
    pub(crate) fn answer_due(&self, now: Instant) -> Instant {
        now + self.ready_timeout
    }

    /// Opens a channel for a connection, which returns if there is no session.
    pub(crate) fn open(&mut self, pending: PendingConnection, now: Instant) {
        if self.is_server_behind() {
            let text = "it leaves too many others without an answer".into();
            return self.reject(pending, Cause::Refused(OpenFailure::ResourceShortage, text));
        }
        let due = self.answer_due(now);
        let Some(session) = &mut self.session else {
            return self.events.push_back(FromWorker::Returned(pending));
        };
        session.client.set_clock(now);
        let PendingConnection { meta, stream } = pending;
        let early = session.take_early(meta.id);
        let channel = early.unwrap_or_else(|| meta.channel_request().open(&mut session.client));
        self.registry.insert(meta, State::Opening(Relay::new(stream, channel, now)), Some(due));
    }

    /// Closes the channels that were opened with the authentication for connections that have ended
    /// meanwhile.
    pub(crate) fn close_early(&mut self) {
        if let Some(session) = &mut self.session {
            session.close_early();
        }
    }

    /// Confirms an inbound channel, whose target is connected.
    pub(crate) fn accept(&mut self, pending: PendingConnection, channel: ChannelId, now: Instant) {
        let Some(session) = &mut self.session else {
            return self.reject(pending, Cause::SessionLost(session::Error::no_session()));
        };
        session.client.set_clock(now);
        session.client.accept(channel);
        let PendingConnection { meta, stream } = pending;
        self.registry.insert(meta, State::Opening(Relay::new(stream, channel, now)), None);
        self.opened(channel, now);
    }

    /// Rejects a connection that has no channel, and is not in the registry.
    pub(crate) fn reject(&mut self, pending: PendingConnection, cause: Cause) {
        let PendingConnection { meta, stream } = pending;
        let id = meta.id;
        self.registry.insert(meta, State::AwaitingSession(stream), None);
        self.close_connection(id, cause);
    }

    /// Runs a command on a connection, or returns it if there is none with this id.
    pub(crate) fn connection(&mut self, id: u64, command: ConnectionCommand, now: Instant) {
        if self.registry.get(id).is_none() {
            return self.events.push_back(FromWorker::NoConnection(id, command));
        }
        match command {
            ConnectionCommand::Close(reply) => {
                let replies = self.closing.entry(id).or_default();
                replies.push(reply);
                if replies.len() == 1 {
                    self.close_connection(id, Cause::Application("disconnect"));
                }
            }
            ConnectionCommand::Reset(reply) => self.reset_connection(id, reply),
            ConnectionCommand::Answer(accept) => self.answered(id, accept, now),
            ConnectionCommand::GetLinger(reply) => {
                let _ = reply.send(self.linger_of(id));
            }
            ConnectionCommand::SetLinger(linger, reply) => {
                let _ = reply.send(self.set_linger(id, linger));
            }
            ConnectionCommand::SetIdleTimeout(limit, reply) => {
                self.set_idle_timeout(id, limit);
                let _ = reply.send(Ok(()));
            }
            ConnectionCommand::SetKeepAlive(delay, reply) => {
                self.set_keep_alive(id, delay);
                let _ = reply.send(Ok(()));
            }
            ConnectionCommand::GetMaxRate(reply) => {
                let _ = reply.send(Ok(self.max_rate(id)));
            }
            ConnectionCommand::SetMaxRate(max, reply) => {
                self.set_max_rate(id, max);
                let _ = reply.send(Ok(()));
            }
        }
    }

    /// Sends the server a request about a remote forward, unless the session is lost: its forwards have
    /// ended.
    pub(crate) fn forward_request(&mut self, request: ForwardRequest) {
        let Some(session) = &mut self.session else { return };
        match request {
            ForwardRequest::Listen(id, address) => {
                let address = match address {
                    Endpoint::Tcp { host, port } => ListenAddr::Tcp { host: (*host).into(), port },
                    Endpoint::Unix(path) => ListenAddr::Unix((*path).into()),
                };
                self.forwards.add(session.client.request_forward(address), id);
            }
            ForwardRequest::Cancel(id) => {
                if let Some(sent) = self.forwards.sent(id) {
                    session.client.cancel_forward(sent);
                }
            }
            ForwardRequest::Reject(channel, reason) => session.client.reject(channel, reason),
        }
    }

    /// Passes on what the server says about a remote forward.
    fn forward_event(&mut self, sent: ForwardId, event: ForwardEvent) {
        let Some(id) = self.forwards.id(sent) else { return };
        match event {
            ForwardEvent::Failed(_) | ForwardEvent::Cancelled(_) => self.forwards.remove(sent),
            ForwardEvent::Listening { .. } | ForwardEvent::InboundChannel { .. } => {}
        }
        self.events.push_back(FromWorker::Forward(id, event));
    }

    /// Ends the connections with a channel, because the session is lost. Those that were not open return.
    pub(super) fn lost(&mut self, error: session::Error) {
        let Some(session) = self.session.take() else { return };
        self.forwards.clear();
        if self.exit.is_under_way() && self.registry.is_empty() {
            // The session was only kept for the last bytes.
            return self.events.push_back(FromWorker::Disconnecting);
        }
        // The event comes before those of the connections.
        let at = self.events.len();
        self.schedule.clear();
        let cause = Cause::SessionLost(error.clone());
        for id in self.registry.ids(|connection| connection.state.relay().is_some()) {
            let lost = Step::SessionLost { comes_back: true, reply: false };
            self.step(id, lost, Given::Cause(cause.clone()));
        }
        let (served, returned) = (session.served, std::mem::take(&mut self.returned));
        self.events.insert(at, FromWorker::Disconnected { error, served, returned });
    }

    /// Handles the end of a task that closed a socket.
    pub(crate) fn socket_closed(&mut self, id: u64, outcome: Outcome) {
        self.step(id, Step::SocketClosed, Given::Outcome(outcome));
    }

    /// Returns the first deadline of a peer. Input that has arrived by then is handled first.
    pub(crate) fn due(&self) -> Option<Instant> {
        let session = self.session.as_ref().and_then(|session| session.client.timeout());
        [session, self.registry.next_due(), self.exit.due()].into_iter().flatten().min()
    }

    /// Returns whether deadlines that are due can be handled now.
    pub(crate) fn opens_gate(&mut self, is_due: bool) -> bool {
        self.timeout_gate.opens(is_due, self.session.as_ref())
    }

    /// Handles the timeouts of the session's socket, and continues connections whose limit of the rate
    /// allows it. These are no deadlines of a peer.
    pub(crate) fn expire_socket(&mut self, now: Instant) -> bool {
        let mut busy = self.session.as_mut().is_some_and(|session| session.expire(now));
        while let Some(index) = self.registry.take_paced(now) {
            self.woken(index, now);
            busy = true;
        }
        busy
    }

    /// Handles the deadlines that are over.
    pub(crate) fn handle_timeouts(&mut self, now: Instant) -> bool {
        let mut busy = false;
        match self.session.as_mut().map_or(Ok(false), |session| session.handle_timeout(now)) {
            Ok(expired) => {
                // Connections that were held back may continue.
                if expired {
                    self.handle_events(now);
                }
                busy |= expired;
            }
            Err(error) => {
                self.lost(error.into());
                busy = true;
            }
        }
        while let Some(expiry) = self.registry.take_overdue(now) {
            match expiry {
                Expiry::State(id) => self.expire(id),
                Expiry::Idle(id) => self.expire_idle(id, now),
            }
            busy = true;
        }
        busy
    }

    /// Closes a connection if it has been idle for its time.
    fn expire_idle(&mut self, id: u64, now: Instant) {
        let client = self.session.as_ref().map(|session| &session.client);
        if self.registry.is_idle(id, client, now) {
            self.close_connection(id, Cause::Idle);
        }
    }

    /// Begins every deadline anew after a pause of the process.
    pub(crate) fn resumed(&mut self, now: Instant) {
        self.timeout_gate = TimeoutGate::None;
        if let Some(session) = &mut self.session {
            session.client.resumed(now);
        }
        self.registry.resumed(now, self.ready_timeout);
        self.exit.resumed(now);
    }

    /// Continues with the connections whose sockets became ready.
    pub(crate) fn wake_connections(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut ready = std::mem::take(&mut self.ready);
        self.registry.take_ready(&mut ready, cx);
        let busy = !ready.is_empty();
        for index in ready.drain(..) {
            self.woken(index, now);
        }
        self.ready = ready;
        busy
    }

    /// Sends what is queued for the server.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(session) = &mut self.session else { return false };
        if session.client.pending().is_empty() {
            return false;
        }
        let paused = !session.client.wants_input();
        let flushed = session.poll_flush(cx);
        // No event says that input which has arrived is wanted again.
        let resumes = paused && session.client.wants_input();
        match flushed {
            // There is room for connections that wait for it.
            Poll::Ready(Ok(())) => resumes || !self.schedule.is_empty(),
            Poll::Ready(Err(error)) => {
                self.broken(&error);
                true
            }
            Poll::Pending => resumes,
        }
    }

    /// Resets every connection without a report.
    pub(crate) fn abandon(&mut self) {
        for connection in self.registry.drain() {
            connection.abandon();
        }
    }
}
