//! A local listener whose connections travel through one SSH session.
//!
//! [`Tunnel`] is the handle that the outside holds; a task per tunnel does the work.

mod error;
mod events;
mod settings;

pub use error::Error;
pub use events::{
    ClosedBy, ConnectionEnd, ConnectionInfo, ConnectionRequest, ConnectionState, Event, Observer,
};
pub use settings::{Config, Settings};

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

/// A tunnel. Every method returns at once; operations begin in the order of their calls, whether
/// or not their [`Pending`] is awaited.
#[derive(Debug)]
pub struct Tunnel {
    settings: std::sync::Mutex<Settings>,
}

impl Tunnel {
    /// Makes a tunnel that does nothing yet; starts no thread and touches no network.
    pub fn new(_config: Config, settings: Settings, _observer: Arc<dyn Observer>) -> Self {
        Self { settings: settings.into() }
    }
    /// What the next connections will take over.
    pub fn settings(&self) -> Settings {
        *self.settings.lock().expect("stub")
    }
    /// Changes what the next connections take over; those that exist keep theirs.
    pub fn update_settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings.lock().expect("stub"));
    }
    /// The local port while listening, else 0 (or the configured one).
    pub fn local_port(&self) -> u16 {
        0
    }
    /// Whether the local port is bound.
    pub fn listening(&self) -> bool {
        false
    }
    /// Whether an SSH session is up.
    pub fn ready(&self) -> bool {
        false
    }
    /// Logs on to the SSH server.
    pub fn connect(&self) -> Pending<()> {
        Pending::nothing()
    }
    /// Logs on if needed, then binds the local port.
    pub fn start_listening(&self) -> Pending<()> {
        Pending::nothing()
    }
    /// Closes the listener; open connections live on.
    pub fn stop_listening(&self) -> Pending<()> {
        Pending::nothing()
    }
    /// Closes one connection by the Linger it was accepted with; done when its end is reported.
    pub fn disconnect(&self, _connection: u64) -> Pending<()> {
        Pending::nothing()
    }
    /// Stops listening, closes every connection by its Linger, logs off.
    pub fn shutdown(&self) -> Pending<()> {
        Pending::nothing()
    }
    /// Stops listening, lets connections finish for at most `timeout` (`None`: without limit), then shuts down.
    pub fn close(&self, _timeout: Option<Duration>) -> Pending<()> {
        Pending::nothing()
    }
    /// The connections that exist now.
    pub fn connections(&self) -> Pending<Vec<ConnectionInfo>> {
        Pending::nothing()
    }
}

/// The outcome of an operation that has begun.
#[derive(Debug)]
pub struct Pending<T>(oneshot::Receiver<Result<T, Error>>);

impl<T> Pending<T> {
    fn nothing() -> Self {
        Self(oneshot::channel().1)
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
