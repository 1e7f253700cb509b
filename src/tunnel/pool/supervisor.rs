//! The sessions of a tunnel that has several: which worker has a connection, which has the least
//! load, and when a further session is worthwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ssh_proto::ChannelId;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use crate::runtime::WorkerSlot;
use crate::session::{self, Backoff, Reconnect, Session};
use crate::tunnel::connection::cause::Force;
use crate::tunnel::connection::meta::PendingConnection;
use crate::tunnel::forward::remote::ForwardRequest;
use crate::tunnel::pending::{Pending, Reply};
use crate::tunnel::pool::message::{ConnectionCommand, ToWorker};
use crate::tunnel::pool::throughput::Throughput;
use crate::tunnel::pool::up::UpSessions;

/// The maximum number of sessions that connect at once. sshd drops clients at random from 10 on
/// (MaxStartups), and this tunnel may not be its only client.
const MAX_CONNECTING: usize = 4;
/// The bytes of the last second that weigh as much as one connection.
const CONNECTION_WEIGHT: u64 = 64 * 1024;
/// How long a session stays up without a connection, unless it is the last one.
const IDLE: Duration = Duration::from_secs(60);
/// The waits before a further session after a failure. Nothing waits for it: the others do the work.
const RETRY: Reconnect = Reconnect {
    initial_delay: Duration::from_secs(10),
    max_delay: Duration::from_secs(60),
    max_attempts: None,
};

/// A session that has come up or failed, with its id and the thread that has connected it.
type Connected = (u32, Result<(Session, WorkerSlot), session::Error>);

/// The workers of a tunnel, and the connections of each.
pub(crate) struct Supervisor {
    max_sessions: usize,
    /// By session id, until they have exited.
    workers: BTreeMap<u32, Worker>,
    /// The sessions that take connections.
    up: UpSessions,
    /// The number of sessions that are being disconnected.
    closing: usize,
    /// The worker of each connection.
    placed: HashMap<u64, u32>,
    /// Further sessions that connect. The first one, which the tunnel waits for, is not among them.
    connecting: JoinSet<Connected>,
    /// The ids of these sessions.
    connecting_ids: BTreeSet<u32>,
    backoff: Backoff,
    retry: Retry,
    /// Whether the failure of further sessions has been reported.
    reported: bool,
}

/// A worker as its supervisor sees it.
struct Worker {
    messages: UnboundedSender<ToWorker>,
    throughput: Arc<Throughput>,
    state: State,
    connections: usize,
    /// The remote forwards that were requested on it. They keep the session up.
    forwards: usize,
    /// Since when it has had no connection.
    idle: Option<Instant>,
}

/// The session of a worker.
enum State {
    /// It takes connections.
    Up,
    /// It was idle for long, and is being disconnected.
    Closing,
    /// It was lost; its connections are still closing.
    Lost(session::Error),
}

/// When a further session may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    /// At any time: the latest one came up.
    Now,
    /// From this time on: one was lost or failed.
    At(Instant),
    /// Once any other session has come up: a retry would fail in the same way.
    Never,
}

impl Worker {
    /// Returns since when the session has had neither a connection nor a remote forward.
    fn unused_since(&self) -> Option<Instant> {
        self.idle.filter(|_| self.forwards == 0)
    }

    fn send(&self, message: ToWorker) {
        // The worker lives as long as this sender.
        let _ = self.messages.send(message);
    }
}

impl Supervisor {
    pub(crate) fn new(max_sessions: usize) -> Self {
        Self {
            max_sessions,
            workers: BTreeMap::new(),
            up: UpSessions::default(),
            closing: 0,
            placed: HashMap::new(),
            connecting: JoinSet::new(),
            connecting_ids: BTreeSet::new(),
            backoff: Backoff::new(RETRY),
            retry: Retry::Now,
            reported: false,
        }
    }

    /// Returns whether a session takes connections.
    pub(crate) fn is_up(&self) -> bool {
        self.up.len() > 0
    }

    /// Returns the number of sessions that take connections.
    pub(crate) fn count_up(&self) -> u64 {
        self.up.len() as u64
    }

    /// Returns whether all workers have exited.
    pub(crate) fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// Returns whether any worker has a connection.
    pub(crate) fn has_connections(&self) -> bool {
        !self.placed.is_empty()
    }

    /// Returns whether a worker has this connection, or will receive it.
    pub(crate) fn has(&self, connection: u64) -> bool {
        self.placed.contains_key(&connection)
    }

    /// Changes a worker, and sorts it in again.
    fn change<T>(&mut self, id: u32, change: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        let mut worker = self.take(id)?;
        let changed = change(&mut worker);
        self.put(id, worker);
        Some(changed)
    }

    fn put(&mut self, id: u32, worker: Worker) {
        match worker.state {
            State::Up => self.up.insert(id, worker.connections, worker.unused_since()),
            State::Closing => self.closing += 1,
            State::Lost(_) => {}
        }
        self.workers.insert(id, worker);
    }

    fn take(&mut self, id: u32) -> Option<Worker> {
        let worker = self.workers.remove(&id)?;
        match worker.state {
            State::Up => self.up.remove(id, worker.connections, worker.unused_since()),
            State::Closing => self.closing -= 1,
            State::Lost(_) => {}
        }
        Some(worker)
    }

    /// Adds a session that has come up. Dropping `messages` resets what the worker still has.
    pub(crate) fn add(
        &mut self,
        id: u32,
        messages: UnboundedSender<ToWorker>,
        throughput: Arc<Throughput>,
        now: Instant,
    ) {
        let worker = Worker {
            messages,
            throughput,
            state: State::Up,
            connections: 0,
            forwards: 0,
            idle: Some(now),
        };
        self.put(id, worker);
        self.backoff.up(now);
        self.retry = Retry::Now;
        self.reported = false;
    }

    /// Sends a command to the worker that has the connection; gives it back if none has.
    pub(crate) fn send_command(
        &self,
        connection: u64,
        command: ConnectionCommand,
    ) -> Option<ConnectionCommand> {
        let id = self.placed.get(&connection);
        match id.and_then(|id| self.workers.get(id)) {
            Some(worker) => {
                worker.send(ToWorker::Connection(connection, command));
                None
            }
            None => Some(command),
        }
    }

    /// Opens the connection on the session with the least load; gives it back if none is up.
    pub(crate) fn open(
        &mut self,
        pending: PendingConnection,
        now: Instant,
    ) -> Option<PendingConnection> {
        match self.least_loaded(now) {
            Some(id) => self.place(id, pending, ToWorker::Open),
            None => Some(pending),
        }
    }

    /// Confirms the inbound channel that this connection is the target of; gives the connection back
    /// if the worker has exited.
    pub(crate) fn accept(
        &mut self,
        id: u32,
        pending: PendingConnection,
        channel: ChannelId,
    ) -> Option<PendingConnection> {
        self.place(id, pending, |pending| ToWorker::Accept(pending, channel))
    }

    fn place(
        &mut self,
        id: u32,
        pending: PendingConnection,
        message: impl FnOnce(PendingConnection) -> ToWorker,
    ) -> Option<PendingConnection> {
        if !self.workers.contains_key(&id) {
            return Some(pending);
        }
        self.placed.insert(pending.meta.id, id);
        self.change(id, |worker| {
            worker.connections += 1;
            worker.idle = None;
            worker.send(message(pending));
        });
        None
    }

    /// Records that the connection has left its worker.
    pub(crate) fn connection_left(&mut self, connection: u64, now: Instant) {
        let Some(id) = self.placed.remove(&connection) else { return };
        self.change(id, |worker| {
            worker.connections -= 1;
            if worker.connections == 0 {
                worker.idle = Some(now);
            }
        });
    }

    /// Returns the session with the least load.
    pub(crate) fn least_loaded(&self, now: Instant) -> Option<u32> {
        let recent = |id| self.workers.get(&id).map_or(0, |worker| worker.throughput.recent(now));
        self.up.least_loaded(CONNECTION_WEIGHT, recent)
    }

    /// Sends a request about a remote forward to a worker, unless it has exited.
    pub(crate) fn send_request(&mut self, id: u32, request: ForwardRequest) {
        self.change(id, |worker| {
            if matches!(request, ForwardRequest::Listen(..)) {
                worker.forwards += 1;
            }
            worker.send(ToWorker::Forward(request));
        });
    }

    /// Records that the server of this session does not listen for one of its forwards any more.
    pub(crate) fn forward_ended(&mut self, id: u32) {
        self.change(id, |worker| worker.forwards -= 1);
    }

    /// Returns whether a new connection justifies a further session: every session that is up has a
    /// connection, and every one that is connecting will have one.
    pub(crate) fn wants_another(&self, now: Instant) -> bool {
        let connecting = self.connecting.len();
        let (up, connections) = (self.up.len(), self.up.connections());
        let may_connect = match self.retry {
            Retry::Now => true,
            Retry::At(due) => due <= now && connecting == 0,
            Retry::Never => false,
        };
        may_connect
            && self.up.fewest().is_some_and(|fewest| fewest > 0)
            && up + self.closing + connecting < self.max_sessions
            && connecting < MAX_CONNECTING
            && connections >= up + connecting
    }

    /// Connects a further session, on the thread where its worker will run.
    pub(crate) fn connect(
        &mut self,
        id: u32,
        connecting: impl Future<Output = Result<Session, session::Error>> + Send + 'static,
    ) {
        let slot = WorkerSlot::take();
        let handle = slot.handle().clone();
        self.connecting_ids.insert(id);
        let connected = async move { (id, connecting.await.map(|session| (session, slot))) };
        self.connecting.spawn_on(connected, &handle);
    }

    /// Returns the next further session that has come up or failed; `None` if none is connecting.
    pub(crate) fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<Option<Connected>> {
        loop {
            match ready!(self.connecting.poll_join_next(cx)) {
                Some(Ok(connected)) => {
                    self.connecting_ids.remove(&connected.0);
                    return Poll::Ready(Some(connected));
                }
                None => return Poll::Ready(None),
                // A cancelled one; none panics.
                Some(Err(_)) => {}
            }
        }
    }

    /// Cancels the further sessions that are connecting. Returns their ids.
    pub(crate) fn cancel_connects(&mut self) -> BTreeSet<u32> {
        self.connecting = JoinSet::new();
        std::mem::take(&mut self.connecting_ids)
    }

    /// Records that a further session has failed. Returns whether that is to be reported.
    pub(crate) fn failed(&mut self, error: &session::Error, now: Instant) -> bool {
        self.wait_after(error, now);
        !std::mem::replace(&mut self.reported, true)
    }

    /// Records the loss of a worker's session, which may have carried data from a target. Returns
    /// whether it still took connections.
    pub(crate) fn disconnected(
        &mut self,
        id: u32,
        error: &session::Error,
        served: bool,
        now: Instant,
    ) -> bool {
        if served {
            self.backoff.served();
        }
        let lost = State::Lost(error.clone());
        match self.change(id, |worker| std::mem::replace(&mut worker.state, lost)) {
            Some(State::Up) => {
                self.wait_after(error, now);
                true
            }
            Some(State::Closing | State::Lost(_)) | None => false,
        }
    }

    /// Returns why a worker's session was lost.
    pub(crate) fn loss(&self, id: u32) -> Option<&session::Error> {
        match &self.workers.get(&id)?.state {
            State::Lost(error) => Some(error),
            State::Up | State::Closing => None,
        }
    }

    /// Delays the next session after the failure of one.
    fn wait_after(&mut self, error: &session::Error, now: Instant) {
        let waits = match self.retry {
            Retry::Now => false,
            Retry::At(due) => due > now,
            Retry::Never => true,
        };
        // Sessions that connect and fail together are one failure.
        if !waits {
            let next = self.backoff.next(error, now);
            self.retry = next.map_or(Retry::Never, |attempt| Retry::At(now + attempt.delay));
        }
    }

    /// Removes a worker that has exited. Returns whether its session had not been lost.
    pub(crate) fn remove(&mut self, id: u32) -> bool {
        self.take(id).is_some_and(|worker| match worker.state {
            State::Up | State::Closing => true,
            State::Lost(_) => false,
        })
    }

    /// Sends every worker a message that has a reply. Returns where the replies arrive.
    pub(crate) fn ask<T>(&self, message: impl Fn(Reply<T>) -> ToWorker) -> Vec<Pending<T>> {
        let ask = |worker: &Worker| {
            let (reply, pending) = Pending::new();
            worker.send(message(reply));
            pending
        };
        self.workers.values().map(ask).collect()
    }

    /// Returns when the next unused session is disconnected, if it is not the last one.
    pub(crate) fn due(&self) -> Option<Instant> {
        let unused = self.up.longest_unused().filter(|_| self.up.len() > 1);
        unused.map(|(since, _)| since + IDLE)
    }

    /// Begins every idle time anew after a pause of the process.
    pub(crate) fn resumed(&mut self, now: Instant) {
        let ids: Vec<_> = self.workers.keys().copied().collect();
        for id in ids {
            self.change(id, |worker| worker.idle = worker.idle.map(|_| now));
        }
    }

    /// Disconnects sessions that have been unused for long.
    pub(crate) fn close_unused(&mut self, now: Instant) -> bool {
        let mut busy = false;
        while self.due().is_some_and(|due| due <= now) {
            let Some((_, id)) = self.up.longest_unused() else { break };
            self.change(id, |worker| {
                worker.state = State::Closing;
                worker.send(ToWorker::ShutDown("shutdown"));
            });
            busy = true;
        }
        busy
    }

    /// Closes every connection on behalf of the named method, and disconnects every session.
    pub(crate) fn shut_down(&self, method: &'static str) {
        for worker in self.workers.values() {
            worker.send(ToWorker::ShutDown(method));
        }
    }

    /// Resets every connection and disconnects every session.
    pub(crate) fn force(&self, force: Force) {
        for worker in self.workers.values() {
            worker.send(ToWorker::Force(force));
        }
    }
}

#[cfg(test)]
mod tests;
