//! How connections come in: accepted, asked about, held while there is no session, and opened.

use std::task::{Context, Poll};
use std::time::Instant;

use ssh_proto::OpenFailure;

use crate::tunnel::connection::cause::Cause;
#[cfg(unix)]
use crate::tunnel::connection::dial::Dial;
use crate::tunnel::connection::relay::{Connection, Meta, PendingConnection, Stage};
use crate::tunnel::connection::report::Report;
use crate::tunnel::connection::socks_handshake::SocksClient;
use crate::tunnel::driver::Driver;
use crate::tunnel::forward::listener::{Accepted, PAUSE};
use crate::tunnel::forward::spec::{DIAL_FORWARD, Endpoint, ForwardSpec};
use crate::tunnel::{ConnectionInfo, ConnectionRequest, ConnectionState, Event};

/// Connections accepted in one turn by one forward.
const ACCEPTED: usize = 64;
/// Connections that are held at once while there is no session; others wait in the system's
/// backlog. Each costs a descriptor, and the spec back to a session needs some too.
const MAX_HELD: usize = 1024;

/// Channels that nobody here has any use for, and that the server has neither opened nor closed:
/// each costs some memory until it does.
const MAX_UNCONFIRMED: usize = 4096;

/// Who asks for a connection, in the words of the protocol, if it has no address.
const ORIGINATOR: (&str, u16) = ("127.0.0.1", 65_535);

/// What a connection waits for that is not open yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaiting {
    /// Its program's word on where to.
    Request,
    /// Its owner's word.
    Answer,
    /// A session.
    Session,
    /// The target at this side, which is being dialed.
    Target,
    /// The server's word on this channel.
    Channel(usize),
}

impl Awaiting {
    /// What did not come.
    fn name(self) -> &'static str {
        match self {
            Awaiting::Request => "complete SOCKS request",
            Awaiting::Answer => "answer to the connection request",
            Awaiting::Session => "SSH session",
            Awaiting::Target => "connection to the target",
            Awaiting::Channel(_) => "answer to the opening of the channel",
        }
    }
}

impl Driver {
    /// Whether a forward, or the whole tunnel, has as many connections as it may have.
    pub(crate) fn is_full(&self, forward: i64) -> bool {
        let is_at = |live: u64, most: Option<u32>| most.is_some_and(|most| live >= most.into());
        is_at(self.counters.live(), self.config.max_connections)
            || is_at(self.counters.live_of(forward), self.forwards.max_connections(forward))
    }

    /// Whether the server has so much to answer, or to read, that it is asked for nothing more.
    fn is_server_behind(&self) -> bool {
        self.session.as_ref().is_some_and(|session| {
            let unconfirmed = session.client.channel_count().saturating_sub(self.table.len());
            unconfirmed > MAX_UNCONFIRMED || !session.client.wants_input()
        })
    }

    /// Takes new connections from all listeners.
    pub(crate) fn accept(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.accepts_at.is_some_and(|at| now < at) {
            return false;
        }
        self.accepts_at = self.observer.is_behind().then(|| now + PAUSE);
        // What makes room in the server wakes this task.
        if self.accepts_at.is_some() || self.is_server_behind() {
            return false;
        }
        let mut busy = false;
        let mut from = i64::MIN;
        while let Some(id) = self.forwards.next(from) {
            busy |= self.accept_from(id, cx, now);
            from = id + 1;
        }
        busy
    }

    fn accept_from(&mut self, forward: i64, cx: &mut Context<'_>, now: Instant) -> bool {
        for accepted in 0..ACCEPTED {
            let waiting = self.socks_clients.len() + self.requests.len() + self.held.len();
            let full = (!self.has_session() && waiting >= MAX_HELD) || self.is_full(forward);
            let is_first = self.counters.live() == 0;
            let listener = self.forwards.listener(forward).filter(|_| !full);
            let Some((spec, listener)) = listener else { return accepted > 0 };
            match listener.poll_accept(cx, now, is_first) {
                Poll::Pending => return accepted > 0,
                Poll::Ready(Ok(accepted)) => {
                    self.counters.accepted(forward);
                    // Fails only on a socket that is dead already, which the first read will tell.
                    if self.shared.settings().keep_alive {
                        let _ = socket2::SockRef::from(&accepted.stream).set_keepalive(true);
                    }
                    match spec {
                        ForwardSpec::Local { target, .. } => {
                            let target = target.clone();
                            self.come(forward, accepted, target, now);
                        }
                        ForwardSpec::Dynamic { login, .. } => {
                            let login = login.clone();
                            self.greet(forward, accepted, login, now);
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

    /// Opens a connection that the program itself asks for. The session is wanted from then on, as
    /// by a call of connect().
    #[cfg(unix)]
    pub(crate) fn dial(&mut self, dial: Dial, now: Instant) {
        if self.shutdown.is_under_way() {
            return self.operations.defer_dial(dial);
        }
        if self.is_full(DIAL_FORWARD) {
            return self.reject_dial(dial, Cause::Full);
        }
        let Some(pending) = dial.into_pending() else { return };
        self.count_dial();
        self.operations.session_wanted = true;
        if self.has_session() {
            self.open(pending, now);
        } else {
            self.hold(pending, now);
            self.connect_session();
        }
    }

    /// Tells who dialed that nothing comes of it.
    #[cfg(unix)]
    pub(crate) fn reject_dial(&mut self, dial: Dial, cause: Cause) {
        if let Some(pending) = dial.into_pending() {
            self.count_dial();
            self.reject(pending, cause);
        }
    }

    /// A connection came in whose target is its forward's.
    fn come(&mut self, forward: i64, accepted: Accepted, target: Endpoint, now: Instant) {
        let Accepted { stream, remote, local } = accepted;
        let id = self.shared.next_id();
        let settings = *self.shared.settings();
        let meta = Meta { id, forward, remote, local, target, settings };
        let pending = PendingConnection { meta, stream, socks: None };
        self.arrived(pending, now);
    }

    /// Asks its owner about a connection, or opens it.
    pub(crate) fn arrived(&mut self, pending: PendingConnection, now: Instant) {
        if !self.observer.decides_connections() {
            self.open(pending, now);
            return;
        }
        let answer = self.answer_for(pending.meta.id);
        let info = pending.meta.info();
        self.await_in_time(pending.meta.id, Awaiting::Answer, now);
        self.requests.insert(pending.meta.id, pending);
        self.emit(Event::ConnectionRequest(ConnectionRequest { info, answer }));
    }

    /// The owner's word on a request; one that is gone needs none.
    pub(crate) fn answered(&mut self, id: u64, accept: bool, now: Instant) {
        let Some(pending) = self.requests.remove(&id) else {
            return self.offer_answered(id, accept, now);
        };
        if accept {
            self.open(pending, now);
        } else {
            self.reject(pending, Cause::Rejected);
        }
    }

    /// Asks the server for the far side, now or when there is a session again.
    pub(crate) fn open(&mut self, pending: PendingConnection, now: Instant) {
        if self.is_server_behind() {
            let text = "it leaves too many others without an answer".into();
            return self.reject(pending, Cause::Refused(OpenFailure::ResourceShortage, text));
        }
        let Some(session) = &mut self.session else { return self.open_elsewhere(pending, now) };
        let channel = match &pending.meta.target {
            Endpoint::Tcp { host, port } => {
                let asker = pending.meta.remote.map(|it| (it.ip().to_string(), it.port()));
                let (asker, asker_port) =
                    asker.as_ref().map_or(ORIGINATOR, |(address, port)| (address, *port));
                session.client.open_direct_tcpip(host, *port, asker, asker_port)
            }
            Endpoint::Unix(path) => session.client.open_direct_streamlocal(path),
        };
        self.await_in_time(pending.meta.id, Awaiting::Channel(channel.index()), now);
        self.table.insert(Connection::new(pending, channel, now), &self.ready);
    }

    /// Keeps a connection until there is a session again. Nothing is read from it.
    pub(crate) fn hold(&mut self, pending: PendingConnection, now: Instant) {
        self.await_in_time(pending.meta.id, Awaiting::Session, now);
        self.held.insert(pending.meta.id, pending);
    }

    /// There is a session again: opens what waited for it, in the order of their pending.
    pub(crate) fn open_held(&mut self, now: Instant) {
        self.unanswered.retain(|(.., awaited)| *awaited != Awaiting::Session);
        for (_, pending) in std::mem::take(&mut self.held) {
            self.open(pending, now);
        }
    }

    /// A connection that is not open gives up when its time is over.
    pub(crate) fn await_in_time(&mut self, id: u64, awaited: Awaiting, now: Instant) {
        self.unanswered.push_back((now + self.config.target.ready_timeout, id, awaited));
    }

    /// Gives up on connections for which nothing came in time.
    pub(crate) fn expire_unanswered(&mut self, now: Instant) -> bool {
        let mut busy = false;
        while let Some((due, id, awaited)) = self.unanswered.front().copied() {
            if self.is_unanswered(id, awaited) {
                if due > now {
                    break;
                }
                self.give_up(id, awaited);
                busy = true;
            }
            self.unanswered.pop_front();
        }
        busy
    }

    fn is_unanswered(&mut self, id: u64, awaited: Awaiting) -> bool {
        match awaited {
            Awaiting::Request => self.socks_clients.get(&id).is_some_and(SocksClient::is_talking),
            Awaiting::Answer => {
                self.requests.contains_key(&id) || self.inbound_channels.is_requested(id)
            }
            Awaiting::Target => self.inbound_channels.is_dialing(id),
            Awaiting::Session => self.held.contains_key(&id),
            Awaiting::Channel(index) => self.table.get(index).is_some_and(|connection| {
                connection.meta.id == id && matches!(connection.stage, Stage::Opening)
            }),
        }
    }

    fn give_up(&mut self, id: u64, awaited: Awaiting) {
        let cause = Cause::Unanswered(awaited.name());
        match awaited {
            Awaiting::Request | Awaiting::Answer | Awaiting::Session | Awaiting::Target => {
                self.close_connection(id, cause);
            }
            Awaiting::Channel(index) => self.refused(index, cause),
        }
    }

    /// Rejects the connections that wait for a word or a session, of these forwards.
    pub(crate) fn reject_all(&mut self, cause: &Cause, which: impl Fn(i64) -> bool) {
        let waiting = self.requests.iter().chain(&self.held).map(|(id, it)| (*id, it.meta.forward));
        let waiting =
            waiting.chain(self.socks_clients.iter().map(|(id, client)| (*id, client.forward)));
        let rejected = waiting.filter(|(_, forward)| which(*forward)).map(|(id, _)| id);
        for id in rejected.collect::<Vec<_>>() {
            self.close_connection(id, cause.clone());
        }
    }

    /// Rejects a connection that has no channel.
    pub(crate) fn reject(&mut self, pending: PendingConnection, cause: Cause) {
        let reply = pending.socks.zip(cause.socks_reply());
        let last_word = reply.map(|(version, reply)| version.reply(reply));
        let info = ConnectionInfo { state: ConnectionState::Closing, ..pending.meta.info() };
        let report = Report::of_arrival(&pending.meta, cause);
        self.close_with_reply(pending.stream, &last_word.unwrap_or_default(), info, report);
    }
}
