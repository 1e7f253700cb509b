//! What a tunnel tells its owner, and what it asks.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::net::linger::Linger;
use crate::session::{Banner, HostKeyInfo, Prompts, Responses};
use crate::tunnel::{Endpoint, Error};

/// Receives what happens to a tunnel. Called on the runtime's threads: must return at once.
pub trait Observer: Send + Sync + 'static {
    /// Something happened. Events of one tunnel come in the order in which they happened.
    fn event(&self, event: Event);

    /// Whether new connections wait for an answer to [`Event::ConnectionRequest`].
    fn decides_connections(&self) -> bool;

    /// Whether so many events wait to be heard that no new connections are to make others.
    fn is_behind(&self) -> bool;

    /// Asks whether the server's host key is to be trusted; dropping `answer` means no.
    fn verify_host_key(&self, key: HostKeyInfo, answer: oneshot::Sender<bool>);

    /// Passes on what the server asks the user; dropping `answer` gives up on it.
    fn answer_prompts(&self, prompts: Prompts, answer: oneshot::Sender<Responses>);
}

/// What happened to a tunnel.
#[derive(Debug)]
pub enum Event {
    /// A server on the way, or the last one, shows this to the user before it lets him in.
    Banner(Banner),
    /// The SSH session is up: logged on, forwarding can begin.
    Ready,
    /// A session, which this number is given to at the beginning of its logon, has come so far; of
    /// several, each is told of.
    Session {
        /// Counted from 1.
        number: u32,
        /// How far.
        step: SessionStep,
    },
    /// The forward that the tunnel was made with is bound there and the SSH session is up.
    Listening(Endpoint),
    /// A connection came in and waits for an answer; only where the observer decides.
    ConnectionRequest(ConnectionRequest),
    /// A connection is open from end to end.
    Connection(ConnectionInfo),
    /// A connection has ended; the last event about it.
    Disconnected(ConnectionEnd),
    /// The SSH session was lost and is set up again; `Ready` follows, the next attempt, or `Error`.
    Reconnecting {
        /// The number of the attempt, from 1 after each loss.
        attempt: u32,
        /// How long is waited before it, in whole milliseconds.
        delay: Duration,
        /// What broke the session, or the attempt before.
        error: Error,
    },
    /// One of several sessions was lost, or a further one could not be set up, which is told once
    /// until one can: the tunnel goes on with the others.
    SessionError(Error),
    /// The server will not listen any more for the remote forward with this number, which was lost
    /// with its session: it is given up, and the tunnel goes on without it.
    ForwardError(i64, Error),
    /// The SSH session was lost for good, or a listener broke. `Close` follows.
    Error(Error),
    /// The tunnel holds nothing any more: no port, no connection, no session. It can start again.
    Close,
}

/// How far a session has come. The last step is always [`SessionStep::Ended`].
#[derive(Debug)]
pub enum SessionStep {
    /// Dialing and logging on begins.
    Started,
    /// It is up, so long after that.
    Ready(Duration),
    /// It was up, and broke.
    Lost(Error),
    /// Nothing is left of it: after this failure of the logon, or this loss; or because nobody wants
    /// it any more.
    Ended(Option<Error>),
}

/// A connection that waits for its owner's word.
#[derive(Debug)]
pub struct ConnectionRequest {
    /// The connection in question, in state [`ConnectionState::Requested`].
    pub info: ConnectionInfo,
    /// Where the word is given.
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

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Came by a dynamic forward, and has not said yet where to.
    Negotiating,
    /// Waits for the answer to its [`ConnectionRequest`].
    Requested,
    /// The SSH server was asked to open the far side.
    Opening,
    /// Open from end to end; either direction may have reached its end of stream.
    Open,
    /// Being closed: what is still under way is delivered, or dropped, by its [`Linger`].
    Closing,
}

/// A connection through the tunnel, at the moment of asking.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Its number, unique within the tunnel, counted from 1.
    pub id: u64,
    /// The number of the forward that it came by, or [`DIAL_FORWARD`](super::DIAL_FORWARD).
    pub forward: i64,
    /// The address of the program that connected; `None`: not by TCP.
    pub remote: Option<SocketAddr>,
    /// The local address that it connected to; `None`: not by TCP.
    pub local: Option<SocketAddr>,
    /// What the SSH server connects it to; `None` while the program has not said so.
    pub target: Option<Endpoint>,
    /// The LINGER structure that it will be closed by: as it was accepted with, if nobody changed it.
    pub linger: Linger,
    /// Where it stands.
    pub state: ConnectionState,
    /// Bytes read from the local program and handed to the SSH session so far.
    pub bytes_up: u64,
    /// Bytes from the far side handed to the local socket so far.
    pub bytes_down: u64,
}

/// What the local program saw at the end of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// FIN: an end of stream after everything that `bytes_down` counts.
    Graceful,
    /// RST: its next read or write after the delivered bytes fails with ECONNRESET.
    Reset,
}

/// How a connection ended, and what became of its bytes.
#[derive(Clone, Debug)]
pub struct ConnectionEnd {
    /// The connection's number.
    pub id: u64,
    /// The number of the forward that it came by, or [`DIAL_FORWARD`](super::DIAL_FORWARD).
    pub forward: i64,
    /// `OK`, or what went wrong: a system error's name, `ERR_SSH_...` or `ERR_TUNNEL_...`.
    pub code: Cow<'static, str>,
    /// The same for people to read.
    pub reason: String,
    /// Whether it had been open from end to end.
    pub opened: bool,
    /// Whether both directions reached their end of stream with every byte delivered.
    pub clean: bool,
    /// What the local program saw.
    pub closed_by: ClosedBy,
    /// Bytes from the local program that were handed to the SSH session.
    pub bytes_up: u64,
    /// Bytes from the far side that were delivered: after FIN, those that the local program's kernel
    /// has acknowledged; after a reset, those that had left for it.
    pub bytes_down: u64,
    /// Bytes that the local program had sent and that were not passed on.
    pub dropped_up: u64,
    /// Bytes that had come from the far side and were not delivered.
    pub dropped_down: u64,
    /// The LINGER structure that it was closed by.
    pub linger: Linger,
    /// Whether the linger time ran out and cut a graceful close short.
    pub linger_expired: bool,
}
