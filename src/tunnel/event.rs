//! The events of a tunnel, and the questions to its observer.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::linger::Linger;
use crate::session::{Application, LogSink};
use crate::tunnel::{Endpoint, Error};

/// Receives the events of a tunnel and the lines of its log, beside the questions of its sessions. Called
/// on the runtime's threads; must return at once.
pub trait Observer: Application + LogSink + 'static {
    /// Receives an event. The events of one tunnel arrive in order.
    fn event(&self, event: Event);

    /// Returns whether new connections wait for the answer to a [`Event::ConnectionRequest`].
    fn decides_connections(&self) -> bool;

    /// Returns whether too many events are unread to accept new connections.
    fn is_behind(&self) -> bool;
}

/// An event of a tunnel.
#[derive(Debug)]
pub enum Event {
    /// The SSH session is up: forwarding can begin.
    Ready,
    /// A session has reached a step. Every session reports, also with several of them.
    Session {
        /// The number of the session, counted from 1.
        number: u32,
        /// The step.
        step: SessionStep,
    },
    /// The configured forward is bound to this address, and the SSH session is up.
    Listening(Endpoint),
    /// A connection was accepted and waits for an answer; only if the observer decides.
    ConnectionRequest(ConnectionRequest),
    /// A connection is open.
    Connection(ConnectionInfo),
    /// A connection has ended. The last event of every connection.
    Disconnected(ConnectionEnd),
    /// The SSH session was lost, and the tunnel reconnects. `Ready`, another attempt or `Error`
    /// follows.
    Reconnecting {
        /// The number of the attempt, counted from 1 after each loss.
        attempt: u32,
        /// The wait before the attempt, in whole milliseconds.
        delay: Duration,
        /// Why the session, or the previous attempt, failed.
        error: Error,
    },
    /// One of several sessions was lost, or a further one failed to connect; the tunnel continues
    /// with the others. Repeated failures to connect are reported once.
    SessionError(Error),
    /// After a reconnect the server refused to listen for the remote forward with this id; the
    /// tunnel continues without it.
    ForwardError(i64, Error),
    /// The SSH session was lost for good, or a listener failed. `Close` follows.
    Error(Error),
    /// The tunnel has no port, no connection and no session any more. It can start again.
    Close,
}

impl Event {
    /// Describes the event for the log; `None` for one that is there already, or that concerns a
    /// single connection.
    pub(crate) fn describe(&self) -> Option<String> {
        Some(match self {
            Event::Session { number, step } => format!("session {number}: {step}"),
            Event::Listening(endpoint) => format!("listens on {endpoint}"),
            Event::Reconnecting { attempt, delay, error } => {
                format!("reconnect: attempt {attempt} in {} ms: {error}", delay.as_millis())
            }
            Event::SessionError(error) => format!("continues with other sessions: {error}"),
            Event::ForwardError(id, error) => format!("forward {id}: {error}"),
            Event::Error(error) => format!("failed: {error}"),
            Event::Close => "closed".to_owned(),
            Event::Ready
            | Event::ConnectionRequest(_)
            | Event::Connection(_)
            | Event::Disconnected(_) => return None,
        })
    }
}

/// A step of a session. The last one is always [`SessionStep::Ended`].
#[derive(Debug)]
pub enum SessionStep {
    /// The session begins to connect.
    Started,
    /// The session is up, this long after it began to connect.
    Ready(Duration),
    /// The session was up, and was lost.
    Lost(Error),
    /// The session has ended, with an error if it failed or was lost.
    Ended(Option<Error>),
}

impl fmt::Display for SessionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionStep::Started => f.write_str("started"),
            SessionStep::Ready(time) => write!(f, "ready after {} ms", time.as_millis()),
            SessionStep::Lost(error) => write!(f, "disconnected: {error}"),
            SessionStep::Ended(Some(error)) => write!(f, "ended: {error}"),
            SessionStep::Ended(None) => f.write_str("ended"),
        }
    }
}

/// A connection that waits to be accepted or rejected.
#[derive(Debug)]
pub struct ConnectionRequest {
    /// The connection, in state [`ConnectionState::Requested`].
    pub info: ConnectionInfo,
    /// Accepts or rejects the connection.
    pub answer: Answer,
}

/// Accepts or rejects a connection. Dropping it rejects the connection.
pub struct Answer(Option<Box<dyn FnOnce(bool) + Send>>);

impl Answer {
    pub(crate) fn new(decide: impl FnOnce(bool) + Send + 'static) -> Self {
        Self(Some(Box::new(decide)))
    }

    /// Accepts the connection with `true`, rejects it with `false`.
    pub fn send(mut self, accept: bool) {
        self.decide(accept);
    }

    fn decide(&mut self, accept: bool) {
        if let Some(decide) = self.0.take() {
            decide(accept);
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.decide(false);
    }
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// The client of a dynamic forward is in its SOCKS handshake.
    Negotiating,
    /// The connection waits for the answer to its [`ConnectionRequest`].
    Requested,
    /// The SSH server connects to the target.
    Opening,
    /// The connection is open; either direction may have reached its end of stream.
    Open,
    /// The connection is closing as its [`Linger`] says.
    Closing,
}

/// A connection at one moment.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The id of the connection, unique within the tunnel, counted from 1.
    pub id: u64,
    /// The id of its forward, or [`DIAL_FORWARD`](super::DIAL_FORWARD).
    pub forward: i64,
    /// The address of the local client; `None` without TCP.
    pub remote: Option<SocketAddr>,
    /// The local address that the client connected to; `None` without TCP.
    pub local: Option<SocketAddr>,
    /// The target; `None` during a SOCKS handshake.
    pub target: Option<Endpoint>,
    /// The LINGER structure that it will close by.
    pub linger: Linger,
    /// The state of the connection.
    pub state: ConnectionState,
    /// Bytes from the local client that were passed to the SSH session so far.
    pub bytes_up: u64,
    /// Bytes from the remote end that were written to the local socket so far.
    pub bytes_down: u64,
}

/// How the stream of the local client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// With FIN: an end of stream after the bytes in `bytes_down`.
    Graceful,
    /// With RST: a read or write after the delivered bytes fails with ECONNRESET.
    Reset,
}

/// The report of a connection that has ended.
#[derive(Clone, Debug)]
pub struct ConnectionEnd {
    /// The id of the connection.
    pub id: u64,
    /// The id of its forward, or [`DIAL_FORWARD`](super::DIAL_FORWARD).
    pub forward: i64,
    /// `OK`, or the code of what went wrong: a system error's name, `ERR_SSH_...` or `ERR_TUNNEL_...`.
    pub code: Cow<'static, str>,
    /// The reason in words.
    pub reason: Cow<'static, str>,
    /// What the server said when it refused to open the connection.
    pub description: Option<String>,
    /// Whether the connection had been open.
    pub opened: bool,
    /// Whether both directions reached their end of stream with every byte delivered.
    pub clean: bool,
    /// How the stream of the local client ended.
    pub closed_by: ClosedBy,
    /// Bytes from the local client that were passed to the SSH session.
    pub bytes_up: u64,
    /// Bytes from the remote end that were delivered: after FIN, the bytes that the local client's
    /// kernel has acknowledged; after a reset, the bytes that had been sent to it.
    pub bytes_down: u64,
    /// Bytes from the local client that were not passed on.
    pub dropped_up: u64,
    /// Bytes from the remote end that were not delivered.
    pub dropped_down: u64,
    /// Bytes from the remote end that the system has taken and that may or may not have been delivered:
    /// the system did not tell.
    pub unconfirmed_down: u64,
    /// The LINGER structure that the connection closed by.
    pub linger: Linger,
    /// Whether the linger time expired before the close was complete.
    pub linger_expired: bool,
}
