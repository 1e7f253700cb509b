//! A local listener whose connections travel through one SSH session, or several.
//!
//! [`Tunnel`] is the handle that the outside holds. One task per tunnel, the `driver`, owns the
//! session's socket, the listener and every local socket; nothing else touches them:
//!
//! - `driver`: the turn that the task repeats; `operations`: what it is asked to do; `recovery`: the
//!   session as it comes and goes; `leaving`: the end of all.
//! - `arrivals`: connections that come in; `flow`: bytes in both directions; `parting`: connections
//!   that leave.
//! - `sessions`: several sessions instead of one; `pool`: which there are; `member`: the task of one;
//!   `load`: what it has to do.
//! - `connection`, `table`: the connections; `ending`: why one ends and the account of it.
//! - `listener`: the local port; `ready`: who has something to do.

mod arrivals;
mod command;
mod connection;
mod driver;
mod ending;
mod error;
mod events;
mod flow;
mod leaving;
mod listener;
mod load;
mod member;
mod operations;
mod parting;
mod pool;
mod ready;
mod recovery;
mod sessions;
mod settings;
mod table;

pub use error::Error;
pub use events::{
    Answer, ClosedBy, ConnectionEnd, ConnectionInfo, ConnectionRequest, ConnectionState, Event,
    Observer,
};
pub use listener::CAN_SHARE;
pub use settings::{Config, Settings};

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::linger::Linger;
use crate::runtime::Place;
use command::{Command, Reply};
use driver::Driver;
use pool::Role;

/// A tunnel. Every method returns at once; operations begin in the order of their calls, whether
/// or not their [`Pending`] is awaited.
///
/// Dropping it resets every connection, frees the port and drops the SSH session: what was under
/// way is lost, and the programs at the local port see that it was.
pub struct Tunnel {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    /// The task, until the first operation starts it: a tunnel that is never used costs no thread.
    driver: Mutex<Option<Driver>>,
}

/// What the handle and the task both look at.
#[derive(Debug)]
struct Shared {
    settings: Mutex<Settings>,
    listening: AtomicBool,
    ready: AtomicBool,
    port: AtomicU16,
    /// The port that was asked for.
    wanted_port: u16,
}

impl Shared {
    fn new(settings: Settings, port: u16) -> Self {
        Self {
            settings: Mutex::new(settings),
            listening: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            port: AtomicU16::new(port),
            wanted_port: port,
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        // Plain values: they are whole whatever panicked.
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_port(&self, port: Option<u16>) {
        self.port.store(port.unwrap_or(self.wanted_port), Ordering::Release);
        self.listening.store(port.is_some(), Ordering::Release);
    }
}

impl Tunnel {
    /// Makes a tunnel that does nothing yet; starts no thread and touches no network.
    pub fn new(config: Config, settings: Settings, observer: Arc<dyn Observer>) -> Self {
        let shared = Arc::new(Shared::new(settings, config.local_port));
        let role = Role::of(&config);
        let config = Arc::new(config);
        let (commands, received) = mpsc::unbounded_channel();
        let driver =
            Driver::new(config, shared.clone(), observer, received, commands.downgrade(), role);
        Self { shared, commands, driver: Mutex::new(Some(driver)) }
    }

    /// What the next connections will take over.
    pub fn settings(&self) -> Settings {
        *self.shared.settings()
    }

    /// Changes what the next connections take over; those that exist keep theirs.
    pub fn update_settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.settings());
    }

    /// Whether the local port is bound.
    pub fn listening(&self) -> bool {
        self.shared.listening.load(Ordering::Acquire)
    }

    /// The local port while it is bound, else the one that was asked for.
    pub fn local_port(&self) -> u16 {
        self.shared.port.load(Ordering::Acquire)
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
    pub fn start_listening(&self) -> Pending<()> {
        self.operation(Command::StartListening)
    }

    /// Gives up the local port; open connections and the session live on. Connections that wait to
    /// be accepted are reset by the system, those that wait for a lost session by us.
    pub fn stop_listening(&self) -> Pending<()> {
        self.operation(Command::StopListening)
    }

    /// Closes one connection by its Linger. Done when its end is reported:
    /// gracefully, that is when everything that had come from either side is delivered; bounded,
    /// when that is done or its time is over; hard, at once.
    pub fn disconnect(&self, connection: u64) -> Pending<()> {
        self.operation(|reply| Command::Disconnect(connection, reply))
    }

    /// Gives up the port, closes every connection as [`Tunnel::disconnect`] does, and logs off. Done
    /// when nothing is left. Operations that were under way fail with [`Error::Closed`].
    pub fn shutdown(&self) -> Pending<()> {
        self.operation(Command::Shutdown)
    }

    /// Gives up the port and lets connections finish by themselves for at most `timeout` (`None`:
    /// without limit), then does what [`Tunnel::shutdown`] does.
    pub fn close(&self, timeout: Option<Duration>) -> Pending<()> {
        self.operation(|reply| Command::Close(timeout, reply))
    }

    /// The connections that exist now, those that are being closed included.
    pub fn connections(&self) -> Pending<Vec<ConnectionInfo>> {
        self.operation(Command::Connections)
    }

    /// How a connection will be closed, or is being closed.
    pub fn linger(&self, connection: u64) -> Pending<Linger> {
        self.operation(|reply| Command::Linger(connection, reply))
    }

    /// Decides anew how a connection will be closed. Fails with [`Error::NoConnection`] once it is
    /// being closed: it goes on as it began.
    pub fn set_linger(&self, connection: u64, linger: Linger) -> Pending<()> {
        self.operation(|reply| Command::SetLinger(connection, linger, reply))
    }

    fn operation<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Pending<T> {
        let (reply, outcome) = oneshot::channel();
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = driver.take() {
            Place::take().spawn(driver);
        }
        // Under the lock, so that the order of the calls is the order in the queue. A task that is
        // gone drops the reply, which says "closed".
        let _ = self.commands.send(command(reply));
        Pending(outcome)
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
