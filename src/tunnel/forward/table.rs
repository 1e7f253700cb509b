//! Table of a tunnel's forwards: the state of each, and the callers waiting for it to listen.
//!
//! A forward is in the table from its start until it is stopped, cannot be bound, or the session is
//! lost for good. It needs a session to be bound first, and stays bound during a reconnect.
//!
//! A turn costs what is ready, whatever the number of forwards: beside the table are the forwards that
//! have something to do, each kind by itself: for their sockets in `accepting`, for the server in `requests`.

mod accepting;
mod requests;

pub(crate) use requests::Effect;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::net::rate::Rate;
use crate::runtime::deadlines::Deadlines;
use crate::runtime::ready_list::{ReadyList, ReadyWaker};
use crate::tunnel::Error;
use crate::tunnel::forward::listener::{Listener, listen};
use crate::tunnel::forward::remote::{Cancelled, ForwardRequest, Remote, SessionId};
use crate::tunnel::forward::spec::{ForwardInfo, ForwardOptions, ForwardSpec, SocketFile};
use crate::tunnel::pending::{Reply, reply_all};
use crate::tunnel::shared::Shared;

struct Forward {
    spec: ForwardSpec,
    max_connections: Option<u32>,
    rate: Arc<Rate>,
    file: SocketFile,
    /// The socket that it takes over in place of binding one, until then.
    socket: Option<Socket>,
    state: State,
    /// The callers waiting for it to listen.
    starting: Vec<Reply<ForwardInfo>>,
    /// Wakes the task for its listener, or for the binding of that.
    ready: Arc<ReadyWaker<i64>>,
    waker: Waker,
    /// Whether connections may wait that it has no room for.
    is_full: bool,
    /// When its listener accepts again, or its refused request is repeated.
    due: Option<Instant>,
}

enum State {
    /// Waits for a session.
    Waiting,
    /// Resolves and binds its address.
    Binding(Pin<Box<dyn Future<Output = Result<Listener, Error>> + Send>>),
    Bound(Listener),
    Remote(Remote),
}

impl Forward {
    fn new(options: ForwardOptions, ready: Arc<ReadyWaker<i64>>) -> Self {
        let ForwardOptions { spec, max_connections, max_rate, file, socket } = options;
        let rate = Arc::new(Rate::new(max_rate, Instant::now()));
        let waker = ready.clone().into();
        let state = match &spec {
            ForwardSpec::Local { .. } | ForwardSpec::Dynamic { .. } => State::Waiting,
            ForwardSpec::Remote { listen, .. } => State::Remote(Remote::new(listen.clone())),
        };
        let (starting, is_full, due) = (Vec::new(), false, None);
        Self {
            spec,
            max_connections,
            rate,
            file,
            socket,
            state,
            starting,
            ready,
            waker,
            is_full,
            due,
        }
    }

    fn info(&self, id: i64) -> Option<ForwardInfo> {
        let bound = match &self.state {
            State::Bound(listener) => listener.address(),
            State::Remote(remote) => remote.bound()?.clone(),
            State::Waiting | State::Binding(_) => return None,
        };
        Some(ForwardInfo { id, bound, listening: true, spec: self.spec.clone() })
    }

    fn remote(&self) -> Option<&Remote> {
        match &self.state {
            State::Remote(remote) => Some(remote),
            State::Waiting | State::Binding(_) | State::Bound(_) => None,
        }
    }

    fn remote_mut(&mut self) -> Option<&mut Remote> {
        match &mut self.state {
            State::Remote(remote) => Some(remote),
            State::Waiting | State::Binding(_) | State::Bound(_) => None,
        }
    }

    fn listener(&self) -> Option<&Listener> {
        match &self.state {
            State::Bound(listener) => Some(listener),
            State::Waiting | State::Binding(_) | State::Remote(_) => None,
        }
    }

    fn reply(&mut self, outcome: &Result<ForwardInfo, Error>) {
        reply_all(self.starting.drain(..), outcome);
    }
}

/// The forwards of a tunnel, by id.
pub(crate) struct Forwards {
    table: BTreeMap<i64, Forward>,
    /// Also has the bound forwards, for the handle.
    shared: Arc<Shared>,
    /// Whether other listeners may share the local ports.
    reuse_port: bool,
    /// How long the server may take to answer a request, and to free the ports of a lost session.
    ready_timeout: Duration,

    /// The forwards whose sockets became ready since the last turn.
    ready: Arc<ReadyList<i64>>,
    /// Reused by every turn.
    taken: Vec<i64>,
    /// The forwards whose binding may continue.
    binding: BTreeSet<i64>,
    /// The forwards whose listeners may have connections.
    accepting: BTreeSet<i64>,
    /// The paused listeners, by the ends of their pauses.
    paused: Deadlines<i64>,
    /// The remote forwards that wait for a session.
    unrequested: BTreeSet<i64>,
    /// The refused requests, by the times of their repetition.
    refused: Deadlines<i64>,
    /// The ids of the forwards that were removed since [`Forwards::take_removed`].
    removed: Vec<i64>,
}

impl Forwards {
    pub(crate) fn new(shared: Arc<Shared>, reuse_port: bool, ready_timeout: Duration) -> Self {
        Self {
            table: BTreeMap::new(),
            shared,
            reuse_port,
            ready_timeout,
            ready: Arc::default(),
            taken: Vec::new(),
            binding: BTreeSet::new(),
            accepting: BTreeSet::new(),
            paused: Deadlines::default(),
            unrequested: BTreeSet::new(),
            refused: Deadlines::default(),
            removed: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Takes the ids of forwards that have ended.
    pub(crate) fn take_removed(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.removed)
    }

    /// Returns the first id from this one on, to iterate while the table changes.
    fn next(&self, from: i64) -> Option<i64> {
        self.table.range(from..).next().map(|(id, _)| *id)
    }

    /// Returns the maximum number of simultaneous connections; `None`: unlimited.
    pub(crate) fn max_connections(&self, id: i64) -> Option<u32> {
        self.table.get(&id)?.max_connections
    }

    /// Returns the limits of the rate of a forward's connections together.
    pub(crate) fn rate(&self, id: i64) -> Option<&Arc<Rate>> {
        Some(&self.table.get(&id)?.rate)
    }

    /// Returns when the first refused request is repeated.
    pub(crate) fn refused_until(&self) -> Option<Instant> {
        self.refused.next()
    }

    /// Gives servers their full time after a pause of the process.
    pub(crate) fn resumed(&mut self, now: Instant) {
        for forward in self.table.values_mut() {
            if let Some(remote) = forward.remote_mut() {
                remote.resumed(now + self.ready_timeout);
            }
        }
    }

    /// Adds a forward, or another caller that waits for it to listen.
    pub(crate) fn start(&mut self, id: i64, options: ForwardOptions, reply: Reply<ForwardInfo>) {
        let new = || Forward::new(options, self.ready.waker(id));
        self.table.entry(id).or_insert_with(new).starting.push(reply);
        self.sort(id);
    }

    /// Sorts a remote forward in whose state has changed.
    fn sort(&mut self, id: i64) {
        let Some(forward) = self.table.get_mut(&id) else { return };
        let State::Remote(remote) = &forward.state else { return };
        self.refused.set(id, &mut forward.due, remote.due());
        if remote.is_waiting() {
            self.unrequested.insert(id);
        } else {
            self.unrequested.remove(&id);
        }
    }

    /// Stops a forward. A local one has stopped by the return; a remote one stops when the server
    /// answers the request that is returned.
    pub(crate) fn stop(
        &mut self,
        id: i64,
        mut reply: Option<Reply<()>>,
    ) -> Option<(SessionId, ForwardRequest)> {
        let forward = self.table.get_mut(&id);
        let remote = forward.and_then(Forward::remote_mut);
        let cancelled = remote.map(|remote| remote.cancel(&mut reply));
        self.sort(id);
        match cancelled.unwrap_or(Cancelled::Unrequested) {
            Cancelled::On(session) => {
                self.shared.set_bound(id, None);
                if let Some(forward) = self.table.get_mut(&id) {
                    forward.reply(&Err(Error::Closed));
                }
                Some((session, ForwardRequest::Cancel(id)))
            }
            Cancelled::Before => None,
            Cancelled::Unrequested => {
                self.remove(id, &Error::Closed);
                reply_all(reply, &Ok(()));
                None
            }
        }
    }

    /// Forgets the callers that have stopped waiting. Returns the forwards that were begun for them alone,
    /// and do not listen yet.
    pub(crate) fn withdraw(&mut self) -> Vec<i64> {
        let mut unwanted = Vec::new();
        for (id, forward) in &mut self.table {
            let waited = !forward.starting.is_empty();
            forward.starting.retain(|reply| !reply.is_closed());
            let was_up =
                forward.listener().is_some() || forward.remote().is_some_and(Remote::was_up);
            if waited && forward.starting.is_empty() && !was_up {
                unwanted.push(*id);
            }
        }
        unwanted
    }

    /// Stops all forwards.
    pub(crate) fn stop_all(&mut self) -> Vec<(SessionId, ForwardRequest)> {
        let ids: Vec<_> = self.table.keys().copied().collect();
        ids.into_iter().filter_map(|id| self.stop(id, None)).collect()
    }

    /// Removes a forward; its callers get the error.
    pub(crate) fn remove(&mut self, id: i64, error: &Error) {
        if let Some(mut forward) = self.table.remove(&id) {
            self.shared.set_bound(id, None);
            for sorted in [&mut self.binding, &mut self.accepting, &mut self.unrequested] {
                sorted.remove(&id);
            }
            for deadlines in [&mut self.paused, &mut self.refused] {
                deadlines.remove(id, forward.due);
            }
            self.removed.push(id);
            // The port is free, and the socket that it was to take over is closed, before a caller has
            // the error.
            let starting = std::mem::take(&mut forward.starting);
            drop(forward);
            reply_all(starting, &Err(error.clone()));
        }
    }

    /// Removes all forwards.
    pub(crate) fn clear(&mut self, error: &Error) {
        while let Some((&id, _)) = self.table.first_key_value() {
            self.remove(id, error);
        }
    }

    /// Removes the forwards that were never bound, for there is no session. All callers get the
    /// error.
    pub(crate) fn fail(&mut self, error: &Error) {
        let mut from = i64::MIN;
        while let Some(id) = self.next(from) {
            from = id + 1;
            let Some(forward) = self.table.get_mut(&id) else { continue };
            let stays =
                forward.listener().is_some() || forward.remote().is_some_and(Remote::was_up);
            if stays {
                forward.reply(&Err(error.clone()));
            } else {
                self.remove(id, error);
            }
        }
    }

    /// Begins to bind all local forwards that wait for a session, and replies for the bound ones.
    pub(crate) fn session_ready(&mut self) {
        let mut from = i64::MIN;
        while let Some(id) = self.next(from) {
            from = id + 1;
            self.begin(id);
        }
    }

    /// Begins to bind a local forward, as there is a session, or replies if it is bound.
    pub(crate) fn begin(&mut self, id: i64) {
        let Some(forward) = self.table.get_mut(&id) else { return };
        if let Some(info) = forward.info(id) {
            forward.reply(&Ok(info));
        } else if matches!(forward.state, State::Waiting) {
            let address = forward.spec.listen().clone();
            let work = listen(address, self.reuse_port, forward.file, forward.socket.take());
            forward.state = State::Binding(Box::pin(work));
            self.binding.insert(id);
        }
    }

    /// Returns the next local forward that is bound, or cannot be; its callers have no reply yet.
    pub(crate) fn poll_bound(&mut self) -> Option<Result<ForwardInfo, (i64, Error)>> {
        while let Some(id) = self.binding.pop_first() {
            let Some(forward) = self.table.get_mut(&id) else { continue };
            let State::Binding(work) = &mut forward.state else { continue };
            match work.as_mut().poll(&mut Context::from_waker(&forward.waker)) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return Some(Err((id, error))),
                Poll::Ready(Ok(listener)) => {
                    forward.state = State::Bound(listener);
                    let Some(info) = forward.info(id) else { continue };
                    self.shared.set_bound(id, Some(info.clone()));
                    self.accepting.insert(id);
                    return Some(Ok(info));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
