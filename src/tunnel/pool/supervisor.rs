//! The sessions of a tunnel that has several, each with a task of its own (`member`): which connection
//! is where, which session has the least to do, and whether there is to be another one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ssh_proto::ChannelId;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::runtime::WorkerSlot;
use crate::session::{self, Backoff, Reconnect, Session};
use crate::tunnel::command::{Command, Reply};
use crate::tunnel::connection::cause::Force;
use crate::tunnel::connection::relay::PendingConnection;
use crate::tunnel::forward::remote::ForwardRequest;
use crate::tunnel::pool::worker::Worker;
use crate::tunnel::{Config, Error};

/// Logons that are under way at once. sshd turns clients away at random from 10 on (MaxStartups),
/// and there are others.
const LOGONS: usize = 4;
/// How many bytes of the last second weigh as much as one connection.
const CONNECTION: u64 = 64 * 1024;
/// How long a session has no connection before it is ended, if it is not the last one.
const IDLE: Duration = Duration::from_secs(60);
/// When a further session is begun again after one that was lost or could not be set up. Nobody
/// waits for it: the others do the work.
const AGAIN: Reconnect = Reconnect {
    initial_delay: Duration::from_secs(10),
    max_delay: Duration::from_secs(60),
    max_attempts: None,
};

/// What came of the logon of the session with this number, and on which thread.
type Logon = (u32, Result<(Session, WorkerSlot), session::Error>);

/// What a driver is to its tunnel.
pub(crate) enum Role {
    /// All there is: it owns the port and the one session.
    Single,
    /// It owns the port; the sessions have tasks of their own.
    Supervisor(Box<Supervisor>),
    /// It owns one session of several.
    Worker(Arc<Worker>),
}

impl Role {
    pub(crate) fn of(config: &Config) -> Self {
        if config.sessions > 1 {
            Role::Supervisor(Box::new(Supervisor::new(config.sessions)))
        } else {
            Role::Single
        }
    }

    pub(crate) fn member(&self) -> Option<&Worker> {
        match self {
            Role::Worker(member) => Some(member),
            Role::Single | Role::Supervisor(_) => None,
        }
    }

    pub(crate) fn pool(&self) -> Option<&Supervisor> {
        match self {
            Role::Supervisor(pool) => Some(pool),
            Role::Single | Role::Worker(_) => None,
        }
    }
}

/// The sessions of a tunnel, and which connection is where.
pub(crate) struct Supervisor {
    /// How many there may be.
    most: usize,
    /// By their numbers, until their tasks have nothing left.
    members: BTreeMap<u32, Entry>,
    /// The members' numbers by those of the connections they have.
    homes: HashMap<u64, u32>,
    /// Logons of further sessions. The first one, without which there is no tunnel, is not here.
    logons: JoinSet<Logon>,
    /// Their sessions' numbers.
    coming: BTreeSet<u32>,
    backoff: Backoff,
    retry: Retry,
    /// Whether the owner knows that further sessions do not come up.
    told: bool,
}

/// A member as the tunnel sees it.
struct Entry {
    commands: UnboundedSender<Command>,
    member: Arc<Worker>,
    state: State,
    connections: usize,
    /// How many forwards its server was asked for, which keep it.
    forwards: usize,
    /// Since when there has been none.
    idle: Option<Instant>,
}

/// What is known of a member's session.
enum State {
    /// It takes connections.
    Up,
    /// It had none for long, and logs off.
    Retiring,
    /// It was lost; connections of it are still being closed.
    Lost(session::Error),
}

/// Whether a further session may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    /// At any time: the last one came up.
    Now,
    /// Not before this time: one was lost, or did not come up.
    At(Instant),
    /// Not before somebody has put something right, which the next session of any kind shows.
    Never,
}

impl Entry {
    fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// Since when it has had no purpose.
    fn idle_since(&self) -> Option<Instant> {
        self.idle.filter(|_| self.forwards == 0)
    }

    fn weight(&self, now: Instant) -> u64 {
        self.connections as u64 * CONNECTION + self.member.load.recent(now)
    }

    fn send(&self, command: Command) {
        // Its task lives as long as this sender.
        let _ = self.commands.send(command);
    }
}

impl Supervisor {
    fn new(most: usize) -> Self {
        Self {
            most,
            members: BTreeMap::new(),
            homes: HashMap::new(),
            logons: JoinSet::new(),
            coming: BTreeSet::new(),
            backoff: Backoff::new(AGAIN),
            retry: Retry::Now,
            told: false,
        }
    }

    /// Whether a session takes connections.
    pub(crate) fn is_up(&self) -> bool {
        self.up().next().is_some()
    }

    /// Whether no member is left, whatever it does.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether any member has a connection.
    pub(crate) fn has_connections(&self) -> bool {
        !self.homes.is_empty()
    }

    fn up(&self) -> impl Iterator<Item = &Entry> {
        self.members.values().filter(|entry| entry.is_up())
    }

    pub(crate) fn add(
        &mut self,
        number: u32,
        commands: UnboundedSender<Command>,
        member: Arc<Worker>,
        now: Instant,
    ) {
        let entry = Entry {
            commands,
            member,
            state: State::Up,
            connections: 0,
            forwards: 0,
            idle: Some(now),
        };
        self.members.insert(number, entry);
        self.backoff.up(now);
        self.retry = Retry::Now;
        self.told = false;
    }

    /// Passes a request for a connection on to the member that has it, or gives it back.
    pub(crate) fn forward(&self, command: Command) -> Option<Command> {
        let home = command.connection().and_then(|id| self.homes.get(&id));
        match home.and_then(|number| self.members.get(number)) {
            Some(entry) => {
                entry.send(command);
                None
            }
            None => Some(command),
        }
    }

    /// Gives the connection to the session that has the least to do; back if none is up.
    pub(crate) fn carry(
        &mut self,
        pending: PendingConnection,
        now: Instant,
    ) -> Option<PendingConnection> {
        let least = self.least(now);
        let entry = least.and_then(|number| Some((number, self.members.get_mut(&number)?)));
        let Some((number, entry)) = entry else { return Some(pending) };
        self.homes.insert(pending.meta.id, number);
        entry.connections += 1;
        entry.idle = None;
        entry.send(Command::Carry(pending));
        None
    }

    /// The session that has the least to do.
    pub(crate) fn least(&self, now: Instant) -> Option<u32> {
        let up = self.members.iter().filter(|(_, entry)| entry.is_up());
        up.min_by_key(|(_, entry)| entry.weight(now)).map(|(number, _)| *number)
    }

    /// Has something done about a forward on this session, if it is there.
    pub(crate) fn send(&mut self, number: u32, request: ForwardRequest) {
        let Some(entry) = self.members.get_mut(&number) else { return };
        if matches!(request, ForwardRequest::Listen(..)) {
            entry.forwards += 1;
        }
        entry.send(Command::ForwardRequest(request));
    }

    /// The server of this session does not listen any more for one of its forwards.
    pub(crate) fn lost_forward(&mut self, number: u32) {
        if let Some(entry) = self.members.get_mut(&number) {
            entry.forwards -= 1;
        }
    }

    /// Gives the connection back to the session whose server has offered it; back if that is gone.
    pub(crate) fn accept(
        &mut self,
        number: u32,
        pending: PendingConnection,
        channel: ChannelId,
    ) -> Option<PendingConnection> {
        let Some(entry) = self.members.get_mut(&number) else { return Some(pending) };
        self.homes.insert(pending.meta.id, number);
        entry.connections += 1;
        entry.idle = None;
        entry.send(Command::Accept(pending, channel));
        None
    }

    /// The connection is not with its member any more.
    pub(crate) fn left(&mut self, id: u64, now: Instant) {
        let Some(entry) = self.homes.remove(&id).and_then(|home| self.members.get_mut(&home))
        else {
            return;
        };
        entry.connections -= 1;
        if entry.connections == 0 {
            entry.idle = Some(now);
        }
    }

    /// Whether the connection that has come is reason to begin a further session: every one that is
    /// up has something to do, and those that are coming up will have.
    pub(crate) fn wants_another(&self, now: Instant) -> bool {
        let coming = self.logons.len();
        let (mut up, mut connections) = (0, 0);
        for entry in self.up() {
            if entry.connections == 0 {
                return false;
            }
            up += 1;
            connections += entry.connections;
        }
        let retiring = self.members.values().filter(|it| matches!(it.state, State::Retiring));
        let may = match self.retry {
            Retry::Now => true,
            Retry::At(due) => due <= now && coming == 0,
            Retry::Never => false,
        };
        may && up > 0
            && up + retiring.count() + coming < self.most
            && coming < LOGONS
            && connections >= up + coming
    }

    /// The member has nothing left. Returns whether that is the end of its session, too.
    pub(crate) fn remove(&mut self, number: u32) -> bool {
        self.members.remove(&number).is_some_and(|entry| match entry.state {
            State::Up | State::Retiring => true,
            State::Lost(_) => false,
        })
    }

    /// How many sessions are up.
    pub(crate) fn count_up(&self) -> u64 {
        self.up().count() as u64
    }

    /// Whether a member has this connection, or is on its way to it.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.homes.contains_key(&id)
    }

    /// Asks every member for something; gives where each answer comes.
    pub(crate) fn ask<T>(
        &self,
        command: impl Fn(Reply<T>) -> Command,
    ) -> Vec<oneshot::Receiver<Result<T, Error>>> {
        let ask = |entry: &Entry| {
            let (reply, answer) = oneshot::channel();
            entry.send(command(reply));
            answer
        };
        self.members.values().map(ask).collect()
    }

    /// The session of a member is lost. Returns whether it was still to be used.
    pub(crate) fn lost(&mut self, number: u32, error: &session::Error, now: Instant) -> bool {
        let Some(entry) = self.members.get_mut(&number) else { return false };
        match std::mem::replace(&mut entry.state, State::Lost(error.clone())) {
            State::Up => {
                self.wait_after(error, now);
                true
            }
            State::Retiring | State::Lost(_) => false,
        }
    }

    /// What became of a member's session, if it is lost.
    pub(crate) fn loss(&self, number: u32) -> Option<&session::Error> {
        match &self.members.get(&number)?.state {
            State::Lost(error) => Some(error),
            State::Up | State::Retiring => None,
        }
    }

    /// Begins a further session, on the thread on which it is to stay.
    pub(crate) fn begin(
        &mut self,
        number: u32,
        logon: impl Future<Output = Result<Session, session::Error>> + Send + 'static,
    ) {
        let place = WorkerSlot::take();
        let handle = place.handle().clone();
        self.coming.insert(number);
        let logon = async move { (number, logon.await.map(|session| (session, place))) };
        self.logons.spawn_on(logon, &handle);
    }

    /// A further session that has come up or not; `None` when none is under way.
    pub(crate) fn poll_logon(&mut self, cx: &mut Context<'_>) -> Poll<Option<Logon>> {
        loop {
            match ready!(self.logons.poll_join_next(cx)) {
                Some(Ok(logon)) => {
                    self.coming.remove(&logon.0);
                    return Poll::Ready(Some(logon));
                }
                None => return Poll::Ready(None),
                // A logon does not panic, and those that are cancelled are not waited for.
                Some(Err(_)) => {}
            }
        }
    }

    /// A further session could not be set up. Returns whether the owner is to be told.
    pub(crate) fn failed(&mut self, error: &session::Error, now: Instant) -> bool {
        self.wait_after(error, now);
        !std::mem::replace(&mut self.told, true)
    }

    /// The session that is lost has carried data from a target.
    pub(crate) fn served(&mut self) {
        self.backoff.served();
    }

    /// The next session has to wait after what happened to one.
    fn wait_after(&mut self, error: &session::Error, now: Instant) {
        let waits = match self.retry {
            Retry::Now => false,
            Retry::At(due) => due > now,
            Retry::Never => true,
        };
        // Several that were begun together and fail together are one failure.
        if !waits {
            let next = self.backoff.next(error, now);
            self.retry = next.map_or(Retry::Never, |attempt| Retry::At(now + attempt.delay));
        }
    }

    /// When the next session has been without a connection for long, if it is not the last one.
    pub(crate) fn due(&self) -> Option<Instant> {
        let several = self.up().nth(1).is_some();
        let since = self.up().filter_map(Entry::idle_since).min().filter(|_| several);
        since.map(|since| since + IDLE)
    }

    /// The process was paused until now: no session was without a connection meanwhile.
    pub(crate) fn resumed(&mut self, now: Instant) {
        for entry in self.members.values_mut() {
            entry.idle = entry.idle.map(|_| now);
        }
    }

    /// Ends sessions that have been without a connection for long.
    pub(crate) fn retire(&mut self, now: Instant) -> bool {
        let mut busy = false;
        while self.due().is_some_and(|due| due <= now) {
            let up = self.members.values_mut().filter(|entry| entry.is_up());
            let idle = up.filter(|entry| entry.idle_since().is_some());
            let Some(entry) = idle.min_by_key(|entry| entry.idle) else {
                break;
            };
            entry.state = State::Retiring;
            entry.send(Command::Leave("shutdown"));
            busy = true;
        }
        busy
    }

    /// Has every connection closed by its Linger, as that `method` asks, and every session ended.
    pub(crate) fn leave(&self, method: &'static str) {
        for entry in self.members.values() {
            entry.send(Command::Leave(method));
        }
    }

    /// Has every connection reset and every session ended, at once.
    pub(crate) fn force(&self, force: Force) {
        for entry in self.members.values() {
            entry.send(Command::Force(force));
        }
    }

    /// Gives up on further sessions, of which it tells the numbers.
    pub(crate) fn cancel_connects(&mut self) -> BTreeSet<u32> {
        self.logons = JoinSet::new();
        std::mem::take(&mut self.coming)
    }
}

#[cfg(test)]
mod tests;
