//! Every connection of a task, from accept to report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ssh_proto::{ChannelId, Client};
use tokio::task::{AbortHandle, JoinSet};

use crate::net::close::{self, CloseMode, Outcome};
use crate::net::local_stream::Stream;
use crate::net::rate::{Direction, Pace};
use crate::net::write_buffer::WriteBuffer;
use crate::runtime::deadlines::Deadlines;
use crate::runtime::ready_list::{ReadyList, ReadyWaker};
use crate::session;
use crate::socks::Login;
use crate::tunnel::connection::closing::Closing;
use crate::tunnel::connection::inbound_channel::{InboundChannel, connect_target};
use crate::tunnel::connection::meta::Meta;
use crate::tunnel::connection::relay::Relay;
use crate::tunnel::connection::socks_handshake::{self, Handshake, perform};
use crate::tunnel::connection::state::{Connection, State};
use crate::tunnel::stats::Live;
use crate::tunnel::{ConnectionInfo, Endpoint};

/// Within `idleTimeout` the registry looks at most this often whether a connection is idle.
const IDLE_LOOKS: u32 = 16;

/// The connections by their numbers and by their channels, the tasks that work for them, and their deadlines.
#[derive(Default)]
pub(crate) struct Registry {
    /// Boxed: a slot that is free costs little.
    slots: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    /// The slots of the connections, by their numbers.
    by_id: BTreeMap<u64, usize>,
    /// The slots of the connections with a channel, by the number of that.
    by_channel: Vec<ChannelEntry>,
    deadlines: Deadlines<Expiry>,
    /// The connections that wait because of a limit of the rate, by their numbers.
    paced: Deadlines<u64>,
    tasks: JoinSet<(u64, Finished)>,
    ready: Arc<ReadyList<usize>>,
    counts: Counts,
}

/// What the time of a connection with this number is over for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Expiry {
    /// Something has to have happened to it by now.
    State(u64),
    /// It may have been idle for as long as it may.
    Idle(u64),
}

/// The number of a channel serves one connection after the other. A waker stays with the number; a wake that was
/// meant for an earlier connection only causes a needless look.
struct ChannelEntry {
    slot: Option<usize>,
    ready: Arc<ReadyWaker<usize>>,
    waker: Waker,
}

/// How many connections there are of some kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    waiting: usize,
    awaiting_session: usize,
    deferred: usize,
    with_channel: usize,
}

/// The result of a task that worked for a connection.
pub(crate) enum Finished {
    /// The SOCKS handshake, and the socket.
    Handshake(Stream, socks_handshake::Outcome),
    /// The connection to the target of an inbound channel.
    Target(Result<Stream, session::Error>),
    /// The close of the socket.
    Close(Outcome),
}

impl Counts {
    fn change(&mut self, state: &State, change: impl Fn(&mut usize)) {
        if state.is_waiting() {
            change(&mut self.waiting);
        }
        if matches!(state, State::AwaitingSession(_)) {
            change(&mut self.awaiting_session);
        }
        if state.is_deferred() {
            change(&mut self.deferred);
        }
        if state.relay().is_some() {
            change(&mut self.with_channel);
        }
    }
}

impl Registry {
    /// Adds a connection; `due` is when its state has to have changed.
    pub(crate) fn insert(&mut self, meta: Meta, state: State, due: Option<Instant>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let id = meta.id;
        self.counts.change(&state, |count| *count += 1);
        if let Some(relay) = state.relay() {
            let index = relay.pump.channel.index();
            while self.by_channel.len() <= index {
                let ready = self.ready.waker(self.by_channel.len());
                let waker = ready.clone().into();
                self.by_channel.push(ChannelEntry { slot: None, waker, ready });
            }
            self.by_channel[index].slot = Some(slot);
        }
        self.slots[slot] =
            Some(Box::new(Connection { meta, state, due: None, idle: None, paced: None }));
        self.by_id.insert(id, slot);
        self.set_due(id, due);
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Connection> {
        let slot = self.by_id.remove(&id)?;
        let connection = *self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        self.counts.change(&connection.state, |count| *count -= 1);
        if let Some(relay) = connection.state.relay() {
            self.by_channel[relay.pump.channel.index()].slot = None;
        }
        self.deadlines.remove(Expiry::State(id), connection.due);
        self.deadlines.remove(Expiry::Idle(id), connection.idle);
        self.paced.remove(id, connection.paced);
        Some(connection)
    }

    /// Moves a connection with a channel to another state with the same one.
    pub(crate) fn change(&mut self, id: u64, change: impl FnOnce(State) -> State) {
        let Some(slot) = self.by_id.get(&id).and_then(|slot| self.slots.get_mut(*slot)) else {
            return;
        };
        if let Some(mut connection) = slot.take() {
            let state = connection.state;
            connection.state = change(state);
            *slot = Some(connection);
        }
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Connection> {
        self.slots[*self.by_id.get(&id)?].as_deref()
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Connection> {
        self.slots[*self.by_id.get(&id)?].as_deref_mut()
    }

    /// The number of the connection with this channel number.
    pub(crate) fn id_at(&self, index: usize) -> Option<u64> {
        let slot = self.by_channel.get(index)?.slot?;
        Some(self.slots[slot].as_deref()?.meta.id)
    }

    /// The connection with this channel number.
    pub(crate) fn at(&mut self, index: usize) -> Option<&mut Connection> {
        self.slots[self.by_channel.get(index)?.slot?].as_deref_mut()
    }

    pub(crate) fn relay(&mut self, channel: ChannelId) -> Option<&mut Relay> {
        self.at(channel.index())?.state.relay_mut()
    }

    /// The connection with this channel number, and the waker to arm for it.
    pub(crate) fn with_waker(&mut self, index: usize) -> Option<(&mut Relay, &Waker)> {
        let entry = self.by_channel.get(index)?;
        let connection = self.slots[entry.slot?].as_deref_mut()?;
        Some((connection.state.relay_mut()?, &entry.waker))
    }

    /// Swaps the list of channel numbers whose sockets became ready for `numbers`, which must be empty.
    pub(crate) fn take_ready(&self, numbers: &mut Vec<usize>, cx: &Context<'_>) {
        self.ready.take(numbers, cx);
        for number in numbers {
            if let Some(entry) = self.by_channel.get(*number) {
                entry.ready.taken();
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.by_id.values().filter_map(|slot| self.slots[*slot].as_deref())
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.slots.iter_mut().filter_map(Option::as_deref_mut)
    }

    /// The numbers of the connections whose state is like this, in the order of their accepts.
    pub(crate) fn ids(&self, is_like: impl Fn(&Connection) -> bool) -> Vec<u64> {
        self.iter().filter(|it| is_like(it)).map(|it| it.meta.id).collect()
    }

    /// The connections as the application sees them.
    pub(crate) fn infos(&self) -> Vec<ConnectionInfo> {
        self.iter().filter_map(Connection::info).collect()
    }

    /// What the statistics count of them.
    pub(crate) fn live(&mut self) -> Vec<Live> {
        self.iter_mut().filter_map(Connection::live).collect()
    }

    /// Whether no connection has begun that has not ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.len() == self.counts.deferred
    }

    /// How many connections wait for a session.
    pub(crate) fn waiting(&self) -> usize {
        self.counts.waiting
    }

    /// How many connections have a channel.
    pub(crate) fn with_channel(&self) -> usize {
        self.counts.with_channel
    }

    /// How many connections wait for nothing but a session.
    pub(crate) fn awaiting_session(&self) -> usize {
        self.counts.awaiting_session
    }

    /// Whether a connection waits for nothing but a session.
    pub(crate) fn awaits_session(&self) -> bool {
        self.counts.awaiting_session > 0
    }

    /// Takes everything out. Tasks are aborted, and the sockets that they have reset.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Connection> {
        std::mem::take(self).slots.into_iter().flatten().map(|connection| *connection)
    }
}

/// Tasks.
impl Registry {
    /// Adds a client of a dynamic forward, and begins its SOCKS handshake.
    pub(crate) fn start_handshake(
        &mut self,
        meta: Meta,
        stream: Stream,
        login: Option<Arc<Login>>,
        due: Instant,
    ) {
        let id = meta.id;
        let (handshake, aborted) = Handshake::new();
        self.tasks.spawn(async move {
            let outcome = perform(&stream, login, aborted).await;
            (id, Finished::Handshake(stream, outcome))
        });
        self.insert(meta, State::SocksHandshake(handshake), Some(due));
    }

    /// Adds an inbound channel, and begins to dial its target.
    pub(crate) fn start_target(
        &mut self,
        meta: Meta,
        channel: InboundChannel,
        target: Endpoint,
        due: Instant,
    ) {
        let state = State::ConnectingTarget(channel, self.dial(meta.id, target));
        self.insert(meta, state, Some(due));
    }

    /// Begins to dial the target of the connection with this number.
    pub(crate) fn dial(&mut self, id: u64, target: Endpoint) -> AbortHandle {
        self.tasks.spawn(async move { (id, Finished::Target(connect_target(target).await)) })
    }

    /// Adds a connection whose socket begins to close.
    pub(crate) fn start_close(
        &mut self,
        meta: Meta,
        stream: Stream,
        buffer: WriteBuffer,
        mode: CloseMode,
        closing: Closing,
    ) {
        let id = meta.id;
        let mut limit = closing.watch();
        let mut meta = meta;
        if !buffer.is_empty() {
            // A limit that the connection gets from now on counts for the task, too.
            meta.rates.own(Instant::now());
        }
        let pace = Pace::new(meta.rates.clone(), Direction::Down);
        self.tasks.spawn(async move {
            let outcome = close::close(stream, buffer, pace, mode, limit.reached()).await;
            (id, Finished::Close(outcome))
        });
        self.insert(meta, State::Closing(closing), None);
    }

    /// The result of a task, and the number of its connection.
    pub(crate) fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Option<(u64, Finished)>> {
        loop {
            match self.tasks.poll_join_next(cx) {
                Poll::Ready(Some(Ok(finished))) => return Poll::Ready(Some(finished)),
                // Only a dial is aborted while the driver lives, after its connection has ended. No task
                // panics.
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Deadlines.
impl Registry {
    /// Replaces the deadline of a connection; `None` removes it.
    pub(crate) fn set_due(&mut self, id: u64, due: Option<Instant>) {
        if let Some(connection) = self.by_id.get(&id).and_then(|it| self.slots[*it].as_mut()) {
            self.deadlines.set(Expiry::State(id), &mut connection.due, due);
        }
    }

    /// Starts the linger time of a connection, unless it runs already.
    pub(crate) fn start_linger(&mut self, id: u64, now: Instant) {
        if self.get(id).is_some_and(|connection| connection.due.is_none()) {
            self.restart_linger(id, now);
        }
    }

    /// Starts the linger time of a connection anew.
    pub(crate) fn restart_linger(&mut self, id: u64, now: Instant) {
        let Some(connection) = self.get(id) else { return };
        let limit = connection.meta.settings.linger.limit(now);
        self.set_due(id, limit.map(|limit| limit.due));
    }

    /// The first deadline, or time to look whether a connection is idle.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// A connection whose time is over; each is told once.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> Option<Expiry> {
        self.deadlines.take_over(now)
    }

    /// The process was paused until now: every deadline has its full time again, and no connection was idle
    /// meanwhile.
    pub(crate) fn resumed(&mut self, now: Instant, ready_timeout: Duration) {
        let ids = self.ids(|connection| connection.due.is_some());
        for id in ids {
            let Some(connection) = self.get(id) else { continue };
            if connection.state.awaited().is_some() {
                self.set_due(id, Some(now + ready_timeout));
            } else {
                self.restart_linger(id, now);
            }
        }
        for connection in self.iter_mut() {
            if let Some(relay) = connection.state.relay_mut() {
                relay.pump.active = now;
            }
        }
    }

    /// A connection is open, and may be without a byte for its idle timeout from now on.
    pub(crate) fn watch_idle(&mut self, id: u64, now: Instant) {
        if let Some(connection) = self.by_id.get(&id).and_then(|it| self.slots[*it].as_mut()) {
            let look = connection.meta.settings.idle_timeout.map(|limit| now + limit);
            self.deadlines.set(Expiry::Idle(id), &mut connection.idle, look);
        }
    }

    /// Whether nothing has moved on a connection for as long as it may be idle. Looks again later if
    /// something has.
    pub(crate) fn is_idle(&mut self, id: u64, client: Option<&Client>, now: Instant) -> bool {
        let connection = self.by_id.get(&id).and_then(|it| self.slots[*it].as_mut());
        let Some(connection) = connection else { return false };
        let Some(limit) = connection.meta.settings.idle_timeout else { return false };
        // It may be closing already.
        let State::Open(relay) = &connection.state else { return false };
        let due = relay.pump.active + limit;
        // Bytes that wait because of a limit of the rate count as moving.
        if due <= now
            && connection.paced.is_none()
            && !client.is_some_and(|client| relay.pump.has_input(client))
        {
            return true;
        }
        // Not at once for a connection whose bytes move slowly.
        let look = due.max(now + limit / IDLE_LOOKS);
        self.deadlines.set(Expiry::Idle(id), &mut connection.idle, Some(look));
        false
    }
}

/// Limits of the rate.
impl Registry {
    /// Notes when a connection continues that waits because of a limit of the rate, if one does.
    pub(crate) fn watch_pace(&mut self, index: usize, now: Instant) {
        let slot = self.by_channel.get(index).and_then(|entry| entry.slot);
        let Some(connection) = slot.and_then(|slot| self.slots[slot].as_deref_mut()) else {
            return;
        };
        let until = connection.state.relay().and_then(|relay| relay.pump.paced_until(now));
        if until != connection.paced {
            self.paced.set(connection.meta.id, &mut connection.paced, until);
        }
    }

    /// Returns when the first of these connections continues.
    pub(crate) fn next_paced(&self) -> Option<Instant> {
        self.paced.next()
    }

    /// Takes a connection that continues now; returns the number of its channel.
    pub(crate) fn take_paced(&mut self, now: Instant) -> Option<usize> {
        let id = self.paced.take_over(now)?;
        let connection = self.get_mut(id)?;
        connection.paced = None;
        Some(connection.state.relay()?.pump.channel.index())
    }

    /// Takes all of them; returns the numbers of their channels.
    pub(crate) fn take_all_paced(&mut self) -> Vec<usize> {
        let mut indexes = Vec::new();
        while let Some(last) = self.paced.last() {
            indexes.extend(self.take_paced(last));
        }
        indexes
    }
}

#[cfg(test)]
mod tests;
