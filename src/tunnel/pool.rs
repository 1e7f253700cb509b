//! The sessions of a tunnel that has several: each is a task of its own (`member`), and connections
//! are handed to the one that has the least to do.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::command::{Command, Reply};
use super::connection::Arrival;
use super::driver::Driver;
use super::ending::Cause;
use super::leaving::Leaving;
use super::member::{Member, Word};
use super::recovery::log_on;
use super::{Config, ConnectionInfo, Event};
use crate::runtime;
use crate::session::{self, Backoff, Link, Reconnect};

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

/// What a driver is to its tunnel.
pub(super) enum Role {
    /// All there is: it owns the port and the one session.
    Single,
    /// It owns the port; the sessions have tasks of their own.
    Pool(Box<Pool>),
    /// It owns one session of several.
    Member(Arc<Member>),
}

impl Role {
    pub(super) fn of(config: &Config) -> Self {
        if config.sessions > 1 {
            Role::Pool(Box::new(Pool::new(config.sessions)))
        } else {
            Role::Single
        }
    }

    pub(super) fn member(&self) -> Option<&Member> {
        match self {
            Role::Member(member) => Some(member),
            Role::Single | Role::Pool(_) => None,
        }
    }

    pub(super) fn pool(&self) -> Option<&Pool> {
        match self {
            Role::Pool(pool) => Some(pool),
            Role::Single | Role::Member(_) => None,
        }
    }
}

/// The sessions of a tunnel, and which connection is where.
pub(super) struct Pool {
    /// How many there may be.
    most: usize,
    /// By their numbers, until their tasks have nothing left.
    members: BTreeMap<u32, Entry>,
    last_number: u32,
    /// The members' numbers by those of the connections they have.
    homes: HashMap<u64, u32>,
    /// Logons of further sessions. The first one, without which there is no tunnel, is not here.
    logons: JoinSet<Result<Link, session::Error>>,
    backoff: Backoff,
    retry: Retry,
    /// Whether the owner knows that further sessions do not come up.
    told: bool,
}

/// A member as the tunnel sees it.
struct Entry {
    commands: UnboundedSender<Command>,
    member: Arc<Member>,
    state: State,
    connections: usize,
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

    fn weight(&self, now: Instant) -> u64 {
        self.connections as u64 * CONNECTION + self.member.load.recent(now)
    }

    fn send(&self, command: Command) {
        // Its task lives as long as this sender.
        let _ = self.commands.send(command);
    }
}

impl Pool {
    fn new(most: usize) -> Self {
        Self {
            most,
            members: BTreeMap::new(),
            last_number: 0,
            homes: HashMap::new(),
            logons: JoinSet::new(),
            backoff: Backoff::new(AGAIN),
            retry: Retry::Now,
            told: false,
        }
    }

    /// Whether a session takes connections.
    pub(super) fn is_up(&self) -> bool {
        self.up().next().is_some()
    }

    /// Whether no member is left, whatever it does.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether any member has a connection.
    pub(super) fn has_connections(&self) -> bool {
        !self.homes.is_empty()
    }

    fn up(&self) -> impl Iterator<Item = &Entry> {
        self.members.values().filter(|entry| entry.is_up())
    }

    fn add(
        &mut self,
        number: u32,
        commands: UnboundedSender<Command>,
        member: Arc<Member>,
        now: Instant,
    ) {
        let entry = Entry { commands, member, state: State::Up, connections: 0, idle: Some(now) };
        self.members.insert(number, entry);
        self.backoff.up(now);
        self.retry = Retry::Now;
        self.told = false;
    }

    /// Passes a request for a connection on to the member that has it, or gives it back.
    pub(super) fn forward(&self, command: Command) -> Option<Command> {
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
    fn carry(&mut self, arrival: Arrival, now: Instant) -> Option<Arrival> {
        let up = self.members.iter_mut().filter(|(_, entry)| entry.is_up());
        let Some((number, entry)) = up.min_by_key(|(_, entry)| entry.weight(now)) else {
            return Some(arrival);
        };
        self.homes.insert(arrival.id, *number);
        entry.connections += 1;
        entry.idle = None;
        entry.send(Command::Carry(arrival));
        None
    }

    /// The connection is not with its member any more.
    fn left(&mut self, id: u64, now: Instant) {
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
    fn wants_another(&self, now: Instant) -> bool {
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

    /// A session was lost, or a further one could not be set up: the next one has to wait.
    fn failed(&mut self, error: &session::Error, now: Instant) {
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
    pub(super) fn due(&self) -> Option<Instant> {
        let several = self.up().nth(1).is_some();
        let since = self.up().filter_map(|entry| entry.idle).min().filter(|_| several);
        since.map(|since| since + IDLE)
    }

    /// Ends sessions that have been without a connection for long.
    pub(super) fn retire(&mut self, now: Instant) -> bool {
        let mut busy = false;
        while self.due().is_some_and(|due| due <= now) {
            let up = self.members.values_mut().filter(|entry| entry.is_up());
            let Some(entry) = up.filter(|it| it.idle.is_some()).min_by_key(|it| it.idle) else {
                break;
            };
            entry.state = State::Retiring;
            entry.send(Command::Leave("shutdown"));
            busy = true;
        }
        busy
    }

    /// Has every connection closed by its Linger, as that `method` asks, and every session ended.
    pub(super) fn leave(&self, method: &'static str) {
        for entry in self.members.values() {
            entry.send(Command::Leave(method));
        }
    }

    /// Gives up on further sessions.
    pub(super) fn abandon_logons(&mut self) {
        self.logons = JoinSet::new();
    }
}

impl Driver {
    /// Whether connections can be opened.
    pub(super) fn has_session(&self) -> bool {
        self.link.is_some() || self.role.pool().is_some_and(Pool::is_up)
    }

    /// A session has come up.
    pub(super) fn take_session(&mut self, link: Link, now: Instant) {
        let Role::Pool(pool) = &mut self.role else {
            self.link = Some(link);
            return;
        };
        pool.last_number += 1;
        let number = pool.last_number;
        let (config, observer) = (self.config.clone(), self.observer.clone());
        let (commands, member) =
            Member::start(number, link, config, observer, self.sender.clone(), now);
        pool.add(number, commands, member, now);
    }

    /// Takes care of a connection for which there is no session here.
    pub(super) fn open_elsewhere(&mut self, arrival: Arrival, now: Instant) {
        let pool = match &mut self.role {
            Role::Single => return self.hold(arrival, now),
            Role::Member(member) => return member.tell(Word::Back(arrival)),
            Role::Pool(pool) => pool,
        };
        if pool.wants_another(now) {
            let logon = log_on(&self.config, &self.observer);
            pool.logons.spawn_on(logon, runtime::handle());
        }
        if let Some(arrival) = pool.carry(arrival, now) {
            self.hold(arrival, now);
        }
    }

    /// Takes further sessions that have come up, and notes those that have not.
    pub(super) fn collect_logons(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut busy = false;
        while let Role::Pool(pool) = &mut self.role {
            match pool.logons.poll_join_next(cx) {
                Poll::Ready(Some(Ok(Ok(link)))) => self.take_session(link, now),
                Poll::Ready(Some(Ok(Err(error)))) => {
                    pool.failed(&error, now);
                    if !std::mem::replace(&mut pool.told, true) {
                        self.emit(Event::SessionError(error.into()));
                    }
                }
                // A logon does not panic, and those that are cancelled are not waited for.
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) | Poll::Pending => break,
            }
            busy = true;
        }
        busy
    }

    /// What a member has told.
    pub(super) fn heard(&mut self, number: u32, word: Word, now: Instant) {
        let Role::Pool(pool) = &mut self.role else { return };
        match word {
            Word::Lost(error) => self.lost_one(number, error, now),
            Word::Back(arrival) => {
                pool.left(arrival.id, now);
                self.came_back(number, arrival, now);
            }
            Word::Ended(id) => pool.left(id, now),
            Word::Unknown(command) => self.command(*command, now),
            Word::Over => {
                pool.members.remove(&number);
            }
        }
    }

    /// One session is lost: the tunnel's own loss only if it was the last one.
    fn lost_one(&mut self, number: u32, error: session::Error, now: Instant) {
        let Role::Pool(pool) = &mut self.role else { return };
        let Some(entry) = pool.members.get_mut(&number) else { return };
        let retiring = matches!(entry.state, State::Retiring);
        entry.state = State::Lost(error.clone());
        if retiring || matches!(self.operations.leaving, Leaving::LoggingOff { .. }) {
            // Nobody needs it any more.
            return;
        }
        pool.failed(&error, now);
        if pool.is_up() {
            self.emit(Event::SessionError(error.into()));
        } else {
            pool.abandon_logons();
            self.lost(error);
        }
    }

    /// A connection that was not open when its session was lost has lost nothing: it goes to another
    /// one, or waits for the next, if there is to be one.
    fn came_back(&mut self, number: u32, arrival: Arrival, now: Instant) {
        let closes = match self.operations.leaving {
            Leaving::No | Leaving::Draining { .. } => false,
            Leaving::Closing { .. } | Leaving::Confirming { .. } | Leaving::LoggingOff { .. } => {
                true
            }
        };
        if !closes && (self.has_session() || self.recovery.is_under_way()) {
            return self.open_elsewhere(arrival, now);
        }
        let entry = self.role.pool().and_then(|pool| pool.members.get(&number));
        let error = match entry.map(|entry| &entry.state) {
            Some(State::Lost(error)) => error.clone(),
            Some(State::Up | State::Retiring) | None => session::Error::no_session(),
        };
        self.turn_away(arrival, Cause::SessionLost(error));
    }

    /// Tells which connections there are, wherever they are.
    pub(super) fn list(&self, reply: Reply<Vec<ConnectionInfo>>) {
        let mut infos = self.infos();
        let Some(pool) = self.role.pool().filter(|pool| pool.has_connections()) else {
            let _ = reply.send(Ok(infos));
            return;
        };
        let asked: Vec<_> = pool.members.values().map(Entry::list).collect();
        let sender = self.sender.clone();
        runtime::handle().spawn(async move {
            for answer in asked {
                infos.extend(answer.await.ok().and_then(Result::ok).unwrap_or_default());
            }
            if let Some(sender) = sender.upgrade() {
                let _ = sender.send(Command::Listed(infos, reply));
            }
        });
    }

    /// All members have told their connections. One that changed its place meanwhile may be among
    /// them twice, or not any more but here.
    pub(super) fn listed(&self, found: Vec<ConnectionInfo>, reply: Reply<Vec<ConnectionInfo>>) {
        let here = self.infos().into_iter().map(|info| (info.id, info));
        let mut infos: BTreeMap<_, _> = here.collect();
        if let Some(pool) = self.role.pool() {
            let there = found.into_iter().filter(|info| pool.homes.contains_key(&info.id));
            infos.extend(there.map(|info| (info.id, info)));
        }
        let _ = reply.send(Ok(infos.into_values().collect()));
    }
}

impl Entry {
    fn list(&self) -> oneshot::Receiver<Result<Vec<ConnectionInfo>, super::Error>> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Connections(reply));
        answer
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use tokio::sync::oneshot::Sender;

    use super::*;
    use crate::session::{HostKeyInfo, Prompts, Responses};
    use crate::tunnel::Observer;
    use crate::tunnel::connection::tests::{client, connection};

    const SECOND: Duration = Duration::from_secs(1);

    struct Nobody;

    impl Observer for Nobody {
        fn event(&self, _: Event) {}
        fn decides_connections(&self) -> bool {
            false
        }
        fn verify_host_key(&self, _: HostKeyInfo, _: Sender<bool>) {}
        fn answer_prompts(&self, _: Prompts, _: Sender<Responses>) {}
    }

    /// A pool of members without tasks, and what these are told.
    struct Trial {
        pool: Pool,
        now: Instant,
        told: Vec<UnboundedReceiver<Command>>,
        last_id: u64,
    }

    impl Trial {
        fn new(most: usize, members: u32) -> Self {
            let (pool, now) = (Pool::new(most), Instant::now());
            let mut trial = Self { pool, now, told: Vec::new(), last_id: 0 };
            for _ in 0..members {
                trial.up();
            }
            trial
        }

        /// One more session has come up.
        fn up(&mut self) {
            let (commands, told) = unbounded_channel();
            let member = Member::new(0, commands.downgrade(), Arc::new(Nobody), self.now);
            self.told.push(told);
            let number = self.told.len() as u32;
            self.pool.add(number, commands, Arc::new(member), self.now);
        }

        /// Where the next connection goes.
        fn place(&mut self) -> u32 {
            let (connection, _) =
                runtime::handle().block_on(async { connection(&mut client()).await });
            self.last_id += 1;
            let arrival = Arrival { id: self.last_id, ..connection.arrival };
            assert!(self.pool.carry(arrival, self.now).is_none(), "a session is up");
            self.pool.homes[&self.last_id]
        }

        fn moved(&self, number: u32, total: u64) {
            self.pool.members[&number].member.load.moved(total, self.now);
        }

        /// Who was told to leave.
        fn left(&mut self) -> Vec<usize> {
            let mut left = |told: &mut UnboundedReceiver<Command>| {
                std::iter::from_fn(|| told.try_recv().ok())
                    .any(|command| matches!(command, Command::Leave(_)))
            };
            (1..).zip(&mut self.told).filter_map(|(n, told)| left(told).then_some(n)).collect()
        }
    }

    fn broken() -> session::Error {
        session::Error::no_session()
    }

    #[test]
    fn connections_go_where_the_fewest_are() {
        let mut trial = Trial::new(3, 3);
        assert_eq!([1, 2, 3, 1].map(|_| trial.place()), [1, 2, 3, 1]);
        trial.pool.left(2, trial.now);
        assert_eq!([1, 2, 3].map(|_| trial.place()), [2, 2, 3]);
    }

    #[test]
    fn bytes_weigh_while_they_are_fresh() {
        let mut trial = Trial::new(2, 2);
        assert_eq!([trial.place(), trial.place()], [1, 2]);
        trial.moved(1, 3 * CONNECTION - 1);
        assert_eq!([1, 2, 3, 4].map(|_| trial.place()), [2, 2, 2, 1]);
        trial.now += 2 * SECOND;
        assert_eq!(trial.place(), 1);
    }

    #[test]
    fn a_further_session_is_wanted_when_every_one_has_a_connection() {
        let mut trial = Trial::new(3, 0);
        assert!(!trial.pool.wants_another(trial.now), "the first one is not a further one");
        trial.up();
        assert!(!trial.pool.wants_another(trial.now));
        trial.place();
        assert!(trial.pool.wants_another(trial.now));
        trial.up();
        assert!(!trial.pool.wants_another(trial.now));
        trial.place();
        assert!(trial.pool.wants_another(trial.now));
        trial.pool.left(1, trial.now);
        assert!(!trial.pool.wants_another(trial.now));
        trial.place();
        trial.up();
        trial.place();
        assert!(!trial.pool.wants_another(trial.now), "there are as many as there may be");
    }

    #[test]
    fn sessions_that_are_coming_count() {
        let mut trial = Trial::new(64, 1);
        for coming in 1..=LOGONS {
            trial.place();
            assert!(trial.pool.wants_another(trial.now));
            trial.pool.logons.spawn_on(std::future::pending(), runtime::handle());
            assert_eq!(trial.pool.logons.len(), coming);
            assert!(!trial.pool.wants_another(trial.now), "one will be there for it");
        }
        trial.place();
        trial.place();
        assert!(!trial.pool.wants_another(trial.now), "not too many at once");
    }

    #[test]
    fn the_next_one_waits_after_a_failure() {
        let mut trial = Trial::new(4, 1);
        trial.place();
        trial.pool.failed(&broken(), trial.now);
        trial.pool.failed(&broken(), trial.now);
        assert!(!trial.pool.wants_another(trial.now + 4 * SECOND));
        assert!(trial.pool.wants_another(trial.now + 10 * SECOND), "together they are one failure");
        trial.pool.failed(&broken(), trial.now + 10 * SECOND);
        assert!(!trial.pool.wants_another(trial.now + 19 * SECOND));

        // One that was up counts as well, and an error that would only repeat itself is the last.
        trial.up();
        trial.place();
        assert!(trial.pool.wants_another(trial.now));
        trial.pool.failed(&session::Error::Auth("text".into()), trial.now);
        assert!(!trial.pool.wants_another(trial.now + 1000 * SECOND));
        trial.up();
        trial.place();
        assert!(trial.pool.wants_another(trial.now));
    }

    #[test]
    fn sessions_without_connections_retire_but_the_last() {
        let mut trial = Trial::new(3, 3);
        assert_eq!([1, 2, 3].map(|_| trial.place()), [1, 2, 3]);
        assert_eq!(trial.pool.due(), None);
        for (after, id) in [(1, 2), (2, 1), (3, 3)] {
            trial.pool.left(id, trial.now + after * SECOND);
        }
        assert_eq!(trial.pool.due(), Some(trial.now + SECOND + IDLE));
        assert!(!trial.pool.retire(trial.now + IDLE));
        assert!(trial.pool.retire(trial.now + SECOND + IDLE));
        assert_eq!(trial.left(), [2]);
        assert!(trial.pool.retire(trial.now + 10 * IDLE));
        assert_eq!(trial.left(), [1]);
        assert_eq!(trial.pool.due(), None);
        assert!(trial.pool.is_up());
        assert_eq!(trial.place(), 3);
    }
}
