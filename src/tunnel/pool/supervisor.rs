//! The sessions of a tunnel that may have several: which worker has a connection, which has the least
//! load, and when a further session is worthwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ssh_proto::ChannelId;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use crate::runtime::WorkerSlot;
use crate::session::{self, Session};
use crate::socks::Login;
use crate::tunnel::Sessions;
use crate::tunnel::connection::meta::{Meta, PendingConnection};
use crate::tunnel::forward::remote::ForwardRequest;
use crate::tunnel::pending::{Pending, Reply};
use crate::tunnel::pool::growth::{Counts, Growth};
use crate::tunnel::pool::message::{ConnectionCommand, ToWorker};
use crate::tunnel::pool::throughput::Throughput;
use crate::tunnel::pool::up::UpSessions;
use crate::tunnel::pool::worker::{State, Worker};

/// The bytes of the last second that weigh as much as one connection.
const CONNECTION_WEIGHT: u64 = 64 * 1024;
/// The bytes of the last one to two seconds from which on a session is saturated: more than a link of
/// 1 Gbit/s carries, so that the limit is a core rather than the link.
const SATURATED: u64 = 256 * 1024 * 1024;
/// How long a session stays up without a connection, unless it is the last one.
const IDLE: Duration = Duration::from_secs(60);
/// OpenSSH's server looks at each channel of a session whenever it wakes up. With fewer connections than
/// this and half of it for each session, none waits for a further session.
const UNCROWDED: usize = 32;
/// How long connections wait for a further session, at most, since the latest one came up.
const PATIENCE: Duration = Duration::from_secs(3);

/// A session that has come up or failed, with its id and the thread that has connected it.
type Connected = (u32, Result<(Session, WorkerSlot), session::Error>);

/// The workers of a tunnel, and the connections of each.
pub(crate) struct Supervisor {
    /// The number of connections of each session from which on there is to be another.
    connections_each: usize,
    /// By session id, until they have exited.
    workers: BTreeMap<u32, Worker>,
    /// The sessions that take connections.
    up: UpSessions,
    /// The number of sessions that are up or being disconnected.
    existing: usize,
    /// The worker of each connection.
    placed: HashMap<u64, u32>,
    /// Further sessions that connect. The first one, which the tunnel waits for, is not among them.
    connecting: JoinSet<Connected>,
    /// The ids of these sessions.
    connecting_ids: BTreeSet<u32>,
    growth: Growth,
    /// Until when connections wait for a further session.
    patient_until: Option<Instant>,
    /// The session with the larger share of the memory, if the shares differ. It stays up.
    large: Option<u32>,
}

impl Supervisor {
    pub(crate) fn new(sessions: Sessions) -> Self {
        Self {
            connections_each: sessions.connections_each,
            workers: BTreeMap::new(),
            up: UpSessions::default(),
            existing: 0,
            placed: HashMap::new(),
            connecting: JoinSet::new(),
            connecting_ids: BTreeSet::new(),
            growth: Growth::new(sessions.max),
            patient_until: None,
            large: None,
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

    /// Returns since when a session has had neither a connection nor a remote forward, if that may end it.
    fn unused_since(&self, id: u32, worker: &Worker) -> Option<Instant> {
        worker.idle.filter(|_| worker.forwards == 0 && self.large != Some(id))
    }

    /// Gives a session that begins to connect the larger share of the memory, unless another has it.
    pub(crate) fn take_large(&mut self, id: u32) -> bool {
        *self.large.get_or_insert(id) == id
    }

    fn give_large_back(&mut self, id: u32) {
        self.large = self.large.filter(|large| *large != id);
    }

    fn put(&mut self, id: u32, worker: Worker) {
        match worker.state {
            State::Up => {
                self.existing += 1;
                self.up.insert(id, worker.connections, self.unused_since(id, &worker));
            }
            State::Closing => self.existing += 1,
            State::Lost(_) => {}
        }
        self.workers.insert(id, worker);
    }

    fn take(&mut self, id: u32) -> Option<Worker> {
        let worker = self.workers.remove(&id)?;
        match worker.state {
            State::Up => {
                self.existing -= 1;
                self.up.remove(id, worker.connections, self.unused_since(id, &worker));
            }
            State::Closing => self.existing -= 1,
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
            since: now,
            connections: 0,
            forwards: 0,
            idle: Some(now),
        };
        self.put(id, worker);
        self.growth.up(self.existing, now);
        self.patient_until = Some(now + PATIENCE);
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
            Some(id) => self.place(id, pending.meta.id, pending, ToWorker::Open),
            None => Some(pending),
        }
    }

    /// Confirms the inbound channel that this connection is the target of, unless the worker has exited.
    pub(crate) fn accept(
        &mut self,
        id: u32,
        pending: PendingConnection,
        channel: ChannelId,
    ) -> Option<PendingConnection> {
        self.place(id, pending.meta.id, pending, |pending| ToWorker::Accept(pending, channel))
    }

    /// Confirms an inbound channel whose client names its target in SOCKS, likewise.
    pub(crate) fn negotiate(
        &mut self,
        id: u32,
        meta: Meta,
        channel: ChannelId,
        login: Option<Arc<Login>>,
    ) -> Option<Meta> {
        self.place(id, meta.id, meta, |meta| ToWorker::Negotiate(meta, channel, login))
    }

    /// Gives a connection to a worker, unless that has exited.
    fn place<T>(
        &mut self,
        id: u32,
        connection: u64,
        pending: T,
        message: impl FnOnce(T) -> ToWorker,
    ) -> Option<T> {
        if !self.workers.contains_key(&id) {
            return Some(pending);
        }
        self.placed.insert(connection, id);
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

    /// Returns the session with the least load. One without connections is left to end while another
    /// has room.
    pub(crate) fn least_loaded(&self, now: Instant) -> Option<u32> {
        let least = |from| self.up.least_loaded(from, CONNECTION_WEIGHT, |id| self.recent(id, now));
        // Comparing sessions costs a look at each that is busy, so it is done once where none has room.
        let with_room = self.up.ids_below(self.connections_each).next().and_then(|_| least(1));
        with_room.filter(|id| self.has_room(*id, now)).or_else(|| least(0))
    }

    /// Returns the bytes that a session has moved lately.
    fn recent(&self, id: u32, now: Instant) -> u64 {
        self.workers.get(&id).map_or(0, |worker| worker.throughput.recent(now))
    }

    fn has_room(&self, id: u32, now: Instant) -> bool {
        let connections = self.workers.get(&id).map_or(0, |worker| worker.connections);
        connections < self.connections_each && self.recent(id, now) < SATURATED
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

    /// Returns whether a new connection justifies a further session, with this number of others that
    /// wait: no session that is up has room, and every one that is connecting will be full.
    pub(crate) fn wants_another(&self, waiting: usize, now: Instant) -> bool {
        let counts = Counts { existing: self.existing, connecting: self.connecting.len() };
        let will_be = self.up.len() + counts.connecting;
        self.is_up()
            && self.growth.allows(counts, now)
            && (counts.connecting == 0
                || self.up.connections() + waiting >= self.connections_each * will_be)
            && self.up.fewest().is_some_and(|fewest| fewest > 0)
            && !self.up.ids_below(self.connections_each).any(|id| self.has_room(id, now))
    }

    /// Returns until when new connections wait for a session that is connecting: each that is up has so
    /// many that the server would become slow.
    pub(crate) fn crowded_until(&self, now: Instant) -> Option<Instant> {
        let full = self.connections_each.max(UNCROWDED);
        let is_full = self.up.fewest().is_some_and(|fewest| fewest >= full + full / 2);
        let waits = is_full && !self.connecting_ids.is_empty();
        self.patient_until.filter(|until| waits && now < *until)
    }

    /// Connects a further session, on the thread where its worker will run.
    pub(crate) fn connect(
        &mut self,
        id: u32,
        connecting: impl Future<Output = Result<Session, session::Error>> + Send + 'static,
        now: Instant,
    ) {
        let slot = WorkerSlot::take();
        let handle = slot.handle().clone();
        if self.connecting_ids.is_empty() {
            self.patient_until = Some(now + PATIENCE);
        }
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
                    if connected.1.is_err() {
                        self.give_large_back(connected.0);
                    }
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
        let ids = std::mem::take(&mut self.connecting_ids);
        self.large = self.large.filter(|large| !ids.contains(large));
        ids
    }

    /// Records that a further session has failed. Returns whether that is to be reported.
    pub(crate) fn failed(&mut self, error: &session::Error, now: Instant) -> bool {
        self.growth.failed(error, self.existing, now)
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
        let lost = State::Lost(error.clone());
        let change = |worker: &mut Worker| {
            let was_up = matches!(std::mem::replace(&mut worker.state, lost), State::Up);
            was_up.then_some(worker.since)
        };
        let since = self.change(id, change).flatten();
        self.give_large_back(id);
        let Some(since) = since else { return false };
        self.growth.lost(error, (since, served), self.existing, now);
        true
    }

    /// Returns why a worker's session was lost.
    pub(crate) fn loss(&self, id: u32) -> Option<&session::Error> {
        match &self.workers.get(&id)?.state {
            State::Lost(error) => Some(error),
            State::Up | State::Closing => None,
        }
    }

    /// Removes a worker that has exited. Returns whether its session had not been lost.
    pub(crate) fn remove(&mut self, id: u32) -> bool {
        let worker = self.take(id);
        self.give_large_back(id);
        worker.is_some_and(|worker| !matches!(worker.state, State::Lost(_)))
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

    /// Sends every worker a message.
    pub(crate) fn tell(&self, message: impl Fn() -> ToWorker) {
        for worker in self.workers.values() {
            worker.send(message());
        }
    }
}

#[cfg(test)]
mod tests;
