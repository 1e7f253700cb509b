//! [`Tunnel`], the handle of a tunnel's driver.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ssh_proto::key::PublicKey;
use tokio::sync::mpsc;

use crate::net::linger::Linger;
use crate::net::memory::End;
use crate::net::rate::MaxRate;
use crate::runtime::{self, WorkerSlot};
use crate::tunnel::connection::dial::{self, Dial};
use crate::tunnel::driver::Driver;
use crate::tunnel::driver::commands::Command;
use crate::tunnel::pending::{Pending, Reply};
use crate::tunnel::pool::message::ConnectionCommand;
use crate::tunnel::shared::Shared;
use crate::tunnel::{
    Config, ConnectionInfo, DEFAULT_FORWARD, Endpoint, Error, ForwardInfo, ForwardOptions,
    Observer, Settings, Stats, TunnelState,
};

/// A tunnel. Every method returns at once; operations begin in the order of their calls, whether
/// or not their [`Pending`] is awaited.
///
/// Dropping it resets every connection, frees the ports and drops the SSH sessions without closing
/// them; local clients see a reset.
pub struct Tunnel {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    config: Arc<Config>,
    /// The id of the last forward.
    last_forward: AtomicI64,
    /// The driver, until the first operation starts its task: an unused tunnel costs no thread.
    driver: Mutex<Option<Driver>>,
}

impl Tunnel {
    /// Makes a tunnel. Starts no thread and touches no network.
    pub fn new(config: Config, settings: Settings, observer: Arc<dyn Observer>) -> Self {
        let shared = Arc::new(Shared::new(settings, config.max_rate));
        let config = Arc::new(config);
        let (commands, received) = mpsc::unbounded_channel();
        let sender = commands.downgrade();
        let driver = Driver::new(config.clone(), shared.clone(), observer, received, sender);
        let driver = Mutex::new(Some(driver));
        Self { shared, commands, config, last_forward: AtomicI64::new(DEFAULT_FORWARD), driver }
    }

    /// Returns the settings for new connections.
    pub fn settings(&self) -> Settings {
        *self.shared.settings()
    }

    /// Changes the settings for new connections; existing connections keep theirs.
    pub fn update_settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.settings());
    }

    /// Returns the limits of the rate of all connections together.
    pub fn max_rate(&self) -> MaxRate {
        self.shared.rate().get()
    }

    /// Changes the limits of the rate of all connections together, also of the existing ones.
    pub fn set_max_rate(&self, max: MaxRate) {
        self.shared.rate().set(max, Instant::now());
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the first operation nothing waits, and there is no task.
        if driver.is_none() {
            let _ = self.commands.send(Box::new(Driver::rates_changed));
        }
    }

    /// Returns the limits of the rate of a forward's connections together.
    pub fn forward_max_rate(&self, id: i64) -> Pending<MaxRate> {
        self.operation(move |driver, _, reply| driver.forward_rate(id, reply))
    }

    /// Changes the limits of the rate of a forward's connections together.
    pub fn set_forward_max_rate(&self, id: i64, max: MaxRate) -> Pending<()> {
        self.operation(move |driver, now, reply| driver.set_forward_rate(id, max, now, reply))
    }

    /// Returns the limits of the rate of a connection.
    pub fn connection_max_rate(&self, connection: u64) -> Pending<MaxRate> {
        self.connection(connection, ConnectionCommand::GetMaxRate)
    }

    /// Changes the limits of the rate of a connection.
    pub fn set_connection_max_rate(&self, connection: u64, max: MaxRate) -> Pending<()> {
        self.connection(connection, move |reply| ConnectionCommand::SetMaxRate(max, reply))
    }

    /// Changes how long a connection may be idle, from now on; `None`: without limit.
    pub fn set_connection_idle_timeout(
        &self,
        connection: u64,
        limit: Option<Duration>,
    ) -> Pending<()> {
        self.connection(connection, move |reply| ConnectionCommand::SetIdleTimeout(limit, reply))
    }

    /// Turns keep-alive of a connection's local socket on, with this time before the first probe (zero: as
    /// the system has it), or off.
    pub fn set_connection_keep_alive(
        &self,
        connection: u64,
        delay: Option<Duration>,
    ) -> Pending<()> {
        self.connection(connection, move |reply| ConnectionCommand::SetKeepAlive(delay, reply))
    }

    /// Returns whether the configured forward is bound.
    pub fn listening(&self) -> bool {
        self.forward(DEFAULT_FORWARD).is_some()
    }

    /// Returns the local port of the configured forward: the bound one, or else the configured one.
    pub fn local_port(&self) -> u16 {
        let bound = self.forward(DEFAULT_FORWARD).map(|info| info.bound);
        let configured = || self.config.forward.as_ref().map(|spec| spec.listen().clone());
        match bound.or_else(configured) {
            Some(Endpoint::Tcp { port, .. }) => port,
            Some(Endpoint::Unix(_)) | None => 0,
        }
    }

    /// Returns a forward that is bound, or will be bound again after a reconnect.
    pub fn forward(&self, id: i64) -> Option<ForwardInfo> {
        self.shared.bound().get(&id).cloned()
    }

    /// Returns whether any forward is bound.
    pub fn has_forwards(&self) -> bool {
        !self.shared.bound().is_empty()
    }

    /// Returns whether an SSH session is up.
    pub fn ready(&self) -> bool {
        self.shared.ready()
    }

    /// Returns what the tunnel is doing.
    pub fn state(&self) -> TunnelState {
        self.shared.state()
    }

    /// Connects to the SSH server. Done when the session is up; at once if it already is. While a
    /// reconnect waits for its time, the next attempt begins now, and the call has its outcome.
    pub fn connect(&self) -> Pending<()> {
        self.connecting_operation(|driver, _, reply| driver.connect(reply))
    }

    /// Connects if needed, then binds the configured forward. Done when it forwards connections.
    /// Fails with [`Error::NoForward`] if none is configured.
    pub fn start_listening(&self) -> Pending<ForwardInfo> {
        match self.config.forward.clone() {
            Some(spec) => self.start(DEFAULT_FORWARD, spec.into()),
            None => Pending::failed(Error::NoForward),
        }
    }

    /// Stops the configured forward; open connections and the session stay up. Connections that wait
    /// to be accepted, or for a disconnected session, are reset.
    pub fn stop_listening(&self) -> Pending<()> {
        self.stop(DEFAULT_FORWARD, "stopListening")
    }

    /// Starts a forward under a new id, as [`Tunnel::start_listening`] does the configured one.
    pub fn start_forward(&self, options: ForwardOptions) -> Pending<ForwardInfo> {
        let id = self.last_forward.fetch_add(1, Ordering::Relaxed) + 1;
        self.start(id, options)
    }

    /// Stops a forward, as [`Tunnel::stop_listening`] does. Does nothing if it is already stopped.
    pub fn stop_forward(&self, id: i64) -> Pending<()> {
        self.stop(id, "stop")
    }

    fn start(&self, id: i64, options: ForwardOptions) -> Pending<ForwardInfo> {
        self.connecting_operation(move |driver, now, reply| {
            driver.start_forward(id, options, reply, now);
        })
    }

    fn stop(&self, id: i64, method: &'static str) -> Pending<()> {
        self.operation(move |driver, _, reply| driver.stop_forward(id, method, reply))
    }

    /// Opens a connection of the application, connecting first if needed. Returns its id and the
    /// application's end. The observer receives its [`Event`](crate::tunnel::Event)s, also if it
    /// does not open.
    pub(crate) fn dial(&self, target: Endpoint) -> (u64, End) {
        let id = self.shared.next_id();
        self.shared.begin_connecting();
        let (end, theirs) = dial::stream();
        let dial = Dial { id, end, target, settings: self.settings() };
        self.send(Box::new(move |driver, now| {
            driver.connecting_call();
            driver.dial(dial, now);
        }));
        (id, theirs)
    }

    /// Closes one connection as its Linger says. Done when its end is reported: when everything that
    /// has arrived from either side is delivered, when the linger time expires, or at once.
    pub fn disconnect(&self, connection: u64) -> Pending<()> {
        self.connection(connection, ConnectionCommand::Close)
    }

    /// Resets one connection, whatever its Linger and its state. Done when its end is reported.
    pub fn reset(&self, connection: u64) -> Pending<()> {
        self.connection(connection, ConnectionCommand::Reset)
    }

    /// Stops all forwards, closes every connection as [`Tunnel::disconnect`] does, and disconnects.
    /// Done when nothing is left. Operations that were under way fail with [`Error::Closed`].
    ///
    /// With `force`, resets every connection, also one that is already closing, and disconnects
    /// within a second; the whole call ends within two seconds.
    pub fn shutdown(&self, force: bool) -> Pending<()> {
        self.operation(move |driver, now, reply| driver.shut_down(force, reply, now))
    }

    /// Stops all forwards and waits for connections to end by themselves for at most `timeout`
    /// (`None`: without limit), then does what [`Tunnel::shutdown`] does. What is left two seconds
    /// after `timeout` is reset.
    pub fn close(&self, timeout: Option<Duration>) -> Pending<()> {
        self.operation(move |driver, now, reply| driver.drain(timeout, reply, now))
    }

    /// Adds a host key of the server at this host and port, which is on the route of the tunnel, to its file
    /// of known hosts. `None` if there is no such server.
    pub fn trust_host(&self, host: &str, port: u16, key: PublicKey) -> Option<Pending<()>> {
        let server = self.config.target.server(host, port)?;
        let (reply, pending) = Pending::new();
        runtime::handle().spawn_blocking(move || {
            let _ = reply.send(server.trust_host(&key).map_err(Error::from));
        });
        Some(pending)
    }

    /// Returns the connections that exist now, including the closing ones.
    pub fn connections(&self) -> Pending<Vec<ConnectionInfo>> {
        self.operation(|driver, _, reply| driver.connections(reply))
    }

    /// Returns the counters since the tunnel was made, of all connections or of one forward. Fails
    /// with [`Error::UnknownForward`] if that forward was never started, or stopped long ago.
    pub fn stats(&self, forward: Option<i64>) -> Pending<Stats> {
        self.operation(move |driver, _, reply| driver.stats(forward, reply))
    }

    /// Returns the Linger of a connection.
    pub fn linger(&self, connection: u64) -> Pending<Linger> {
        self.connection(connection, ConnectionCommand::GetLinger)
    }

    /// Changes the Linger of a connection. A closing connection continues by the new value: hard
    /// resets it at once, and a linger time begins now.
    pub fn set_linger(&self, connection: u64, linger: Linger) -> Pending<()> {
        self.connection(connection, move |reply| ConnectionCommand::SetLinger(linger, reply))
    }

    /// Returns a function that undoes what calls had begun whose [`Pending`] was withdrawn: the tunnel
    /// stops connecting if nothing else needs a session, and stops the forwards that nobody waits for.
    pub(crate) fn withdrawal(&self) -> impl FnOnce() + Send + use<> {
        // Weak: a call that waits does not keep the tunnel.
        let commands = self.commands.downgrade();
        move || {
            if let Some(commands) = commands.upgrade() {
                let _ = commands.send(Box::new(Driver::withdraw));
            }
        }
    }

    fn connection<T: Send + 'static>(
        &self,
        id: u64,
        command: impl FnOnce(Reply<T>) -> ConnectionCommand + Send + 'static,
    ) -> Pending<T> {
        self.operation(move |driver, now, reply| driver.connection(id, command(reply), now))
    }

    /// Begins an operation in the driver's task.
    fn operation<T: Send + 'static>(
        &self,
        begin: impl FnOnce(&mut Driver, Instant, Reply<T>) + Send + 'static,
    ) -> Pending<T> {
        let (reply, pending) = Pending::new();
        self.send(Box::new(move |driver, now| begin(driver, now, reply)));
        pending
    }

    /// Begins an operation that connects the tunnel if it is not up.
    fn connecting_operation<T: Send + 'static>(
        &self,
        begin: impl FnOnce(&mut Driver, Instant, Reply<T>) + Send + 'static,
    ) -> Pending<T> {
        self.shared.begin_connecting();
        self.operation(|driver, now, reply| {
            driver.connecting_call();
            begin(driver, now, reply);
        })
    }

    fn send(&self, command: Command) {
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = driver.take() {
            WorkerSlot::take().spawn(driver);
        }
        // Under the lock, so that commands are queued in the order of the calls. A driver that has
        // ended drops the reply, which means `Error::Closed`.
        let _ = self.commands.send(command);
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel").field("shared", &self.shared).finish_non_exhaustive()
    }
}
