//! [`Tunnel`], the handle of a tunnel's task.

use std::collections::{BTreeMap, HashMap};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::command::{Command, Reply};
use super::driver::Driver;
use super::pool::supervisor::Role;
use super::{
    Config, ConnectionInfo, Endpoint, Error, ForwardInfo, ForwardSpec, OWN, Observer, Settings,
    Stats,
};
use crate::net::linger::Linger;
use crate::runtime::WorkerSlot;

/// A tunnel. Every method returns at once; operations begin in the order of their calls, whether
/// or not their [`Pending`] is awaited.
///
/// Dropping it resets every connection, frees the port and drops the SSH session: what was under
/// way is lost, and the programs at the local port see that it was.
pub struct Tunnel {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    config: Arc<Config>,
    prepared: Mutex<Prepared>,
    /// The task, until the first operation starts it: a tunnel that is never used costs no thread.
    driver: Mutex<Option<Driver>>,
}

/// Forwards that have a number and were not asked for yet.
#[derive(Default)]
struct Prepared {
    specs: HashMap<i64, ForwardSpec>,
    last: i64,
}

/// What the handle and the task both look at.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: Mutex<Settings>,
    pub(crate) ready: AtomicBool,
    /// The forwards that are bound, by their numbers.
    bound: Mutex<BTreeMap<i64, ForwardInfo>>,
    /// The number that the last connection got.
    last_id: AtomicU64,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings: Mutex::new(settings),
            ready: AtomicBool::new(false),
            bound: Mutex::default(),
            last_id: AtomicU64::new(0),
        }
    }

    pub(crate) fn settings(&self) -> MutexGuard<'_, Settings> {
        // Plain values: they are whole whatever panicked.
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bound(&self) -> MutexGuard<'_, BTreeMap<i64, ForwardInfo>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_bound(&self, id: i64, info: Option<ForwardInfo>) {
        match info {
            Some(info) => self.bound().insert(id, info),
            None => self.bound().remove(&id),
        };
    }

    /// The number of the next connection.
    pub(crate) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Tunnel {
    /// Makes a tunnel that does nothing yet; starts no thread and touches no network.
    pub fn new(config: Config, settings: Settings, observer: Arc<dyn Observer>) -> Self {
        let shared = Arc::new(Shared::new(settings));
        let role = Role::of(&config);
        let config = Arc::new(config);
        let (commands, received) = mpsc::unbounded_channel();
        let sender = commands.downgrade();
        let driver = Driver::new(config.clone(), shared.clone(), observer, received, sender, role);
        let prepared = Mutex::default();
        Self { shared, commands, config, prepared, driver: Mutex::new(Some(driver)) }
    }

    /// What the next connections will take over.
    pub fn settings(&self) -> Settings {
        *self.shared.settings()
    }

    /// Changes what the next connections take over; those that exist keep theirs.
    pub fn update_settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.settings());
    }

    /// Whether the local port is bound that the tunnel was made with.
    pub fn listening(&self) -> bool {
        self.forward(OWN).is_some()
    }

    /// That port while it is bound, else the one that was asked for.
    pub fn local_port(&self) -> u16 {
        let bound = self.forward(OWN).map(|info| info.bound);
        let wanted = || self.config.forward.as_ref().map(|way| way.listen().clone());
        match bound.or_else(wanted) {
            Some(Endpoint::Tcp { port, .. }) => port,
            Some(Endpoint::Unix(_)) | None => 0,
        }
    }

    /// The forward with this number, if it is bound, or is to be so again.
    pub fn forward(&self, id: i64) -> Option<ForwardInfo> {
        self.shared.bound().get(&id).cloned()
    }

    /// Whether any forward is bound.
    pub fn has_forwards(&self) -> bool {
        !self.shared.bound().is_empty()
    }

    /// Whether an SSH session is up.
    pub fn ready(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire)
    }

    /// Logs on to the SSH server. Done when the session is up; at once when it is up already. While
    /// a lost session waits to be set up again, the next attempt begins now, and its outcome is
    /// that of the call.
    pub fn connect(&self) -> Pending<()> {
        self.operation(Command::Connect)
    }

    /// Logs on if needed, then binds the local port. Done when a connection would be forwarded.
    /// Fails with [`Error::NoForward`] if the tunnel was made without one.
    pub fn start_listening(&self) -> Pending<ForwardInfo> {
        match &self.config.forward {
            Some(way) => {
                self.operation(|reply| Command::StartForward(OWN, way.clone().into(), reply))
            }
            None => Pending::failed(Error::NoForward),
        }
    }

    /// Gives up the local port; open connections and the session live on. Connections that wait to
    /// be accepted are reset by the system, those that wait for a lost session by us.
    pub fn stop_listening(&self) -> Pending<()> {
        self.operation(|reply| Command::StopForward(OWN, "stopListening", reply))
    }

    /// Gives a forward its number, under which it can be started once.
    pub fn prepare(&self, spec: ForwardSpec) -> i64 {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.last += 1;
        let id = prepared.last;
        prepared.specs.insert(id, spec);
        id
    }

    /// Opens a forward that was prepared, as [`Tunnel::start_listening`] does its own.
    pub fn start_forward(&self, id: i64) -> Pending<ForwardInfo> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        match prepared.specs.remove(&id) {
            Some(spec) => self.operation(|reply| Command::StartForward(id, spec, reply)),
            None => Pending::failed(Error::NoForward),
        }
    }

    /// Gives a forward up, as [`Tunnel::stop_listening`] does. One that is gone already is no error.
    pub fn stop_forward(&self, id: i64) -> Pending<()> {
        self.operation(|reply| Command::StopForward(id, "stop", reply))
    }

    /// Opens a connection whose local end is the other one of a pair with `socket`, logging on first
    /// if needed. Returns its number; the observer is told when it is open and how it ended, which
    /// it also does if it cannot be opened. The other end is never ended cleanly where the
    /// connection was reset: whoever has it learns that from the report, and closes it.
    #[cfg(unix)]
    pub fn dial(&self, socket: UnixStream, target: Endpoint) -> u64 {
        let id = self.shared.next_id();
        let settings = self.settings();
        self.command(Command::Dial(super::driver::accept::Dial { id, socket, target, settings }));
        id
    }

    /// Closes one connection by its Linger. Done when its end is reported:
    /// gracefully, that is when everything that had come from either side is delivered; bounded,
    /// when that is done or its time is over; hard, at once.
    pub fn disconnect(&self, connection: u64) -> Pending<()> {
        self.operation(|reply| Command::Disconnect(connection, reply))
    }

    /// Resets one connection, whatever its Linger and its state. Done when its end is reported, at once.
    pub fn reset(&self, connection: u64) -> Pending<()> {
        self.operation(|reply| Command::Reset(connection, reply))
    }

    /// Gives up all forwards, closes every connection as [`Tunnel::disconnect`] does, and logs off. Done
    /// when nothing is left. Operations that were under way fail with [`Error::Closed`].
    ///
    /// With `force` every connection is reset, also one that is being closed already, and the session
    /// is ended within a second, whatever the server does; so it is done within two seconds.
    pub fn shutdown(&self, force: bool) -> Pending<()> {
        self.operation(|reply| Command::Shutdown { force, reply })
    }

    /// Gives up all forwards and lets connections finish by themselves for at most `timeout` (`None`:
    /// without limit), then does what [`Tunnel::shutdown`] does. Within two seconds after `timeout`
    /// it ends by force what is left, also what another operation had begun to close.
    pub fn close(&self, timeout: Option<Duration>) -> Pending<()> {
        self.operation(|reply| Command::Close(timeout, reply))
    }

    /// The connections that exist now, those that are being closed included.
    pub fn connections(&self) -> Pending<Vec<ConnectionInfo>> {
        self.operation(Command::Connections)
    }

    /// What was counted since the tunnel was made; with a forward's number, of the connections that
    /// came by it alone. Fails with [`Error::UnknownForward`] if that one was never started, or
    /// given up long ago.
    pub fn stats(&self, forward: Option<i64>) -> Pending<Stats> {
        self.operation(|reply| Command::Stats(forward, reply))
    }

    /// How a connection will be closed, or is being closed.
    pub fn linger(&self, connection: u64) -> Pending<Linger> {
        self.operation(|reply| Command::Linger(connection, reply))
    }

    /// Decides anew how a connection will be closed. One that is being closed goes on by the new value:
    /// hard resets it at once, a linger time runs from now.
    pub fn set_linger(&self, connection: u64, linger: Linger) -> Pending<()> {
        self.operation(|reply| Command::SetLinger(connection, linger, reply))
    }

    fn operation<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Pending<T> {
        let (reply, outcome) = oneshot::channel();
        self.command(command(reply));
        Pending(outcome)
    }

    fn command(&self, command: Command) {
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = driver.take() {
            WorkerSlot::take().spawn(driver);
        }
        // Under the lock, so that the order of the calls is the order in the queue. A task that is
        // gone drops the reply, which says "closed".
        let _ = self.commands.send(command);
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// The outcome of an operation that has begun. Dropping it changes nothing about the operation.
#[derive(Debug)]
pub struct Pending<T>(oneshot::Receiver<Result<T, Error>>);

impl<T> Pending<T> {
    /// The outcome of one that did not even begin.
    fn failed(error: Error) -> Self {
        let (reply, outcome) = oneshot::channel();
        let _ = reply.send(Err(error));
        Self(outcome)
    }

    /// Blocks this thread until the operation is done. Not for the runtime's own threads.
    pub fn wait(self) -> Result<T, Error> {
        self.0.blocking_recv().unwrap_or(Err(Error::Closed))
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A task that is gone has shut its tunnel down.
        Pin::new(&mut self.0).poll(cx).map(|outcome| outcome.unwrap_or(Err(Error::Closed)))
    }
}
