//! The vocabulary of [`transition`](super::transition): states, events and actions, as small values.

use crate::net::close::CloseMode;
use crate::net::linger::LingerMode;
use crate::session::{Down, Up};

/// The state of a connection without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Dialed while the tunnel shuts down: it begins after that.
    Deferred,
    /// The local client is asked for its target in SOCKS.
    SocksHandshake,
    /// Closed during its SOCKS handshake, whose task still has the socket.
    SocksAborted,
    /// Waits for the application's decision.
    AwaitingApproval(Origin),
    /// Waits for an SSH session.
    AwaitingSession,
    /// The target of an inbound channel is being dialed.
    ConnectingTarget,
    /// The client of an inbound channel, which is open, names its target in SOCKS; then that is dialed.
    Negotiating(Flow),
    /// The server was asked to open a channel.
    Opening,
    /// Open from end to end.
    Open(Flow),
    /// Being closed gracefully: both directions are drained.
    Draining(Flow),
    /// Reset by the local client: what it sent before is passed on.
    PassingOn(Flow),
    /// Without a channel: the socket is being closed in a task of its own.
    Closing(LingerTime),
    /// Reported.
    Ended,
}

/// The side that opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A local client.
    Local,
    /// A client of a remote forward, by an inbound channel.
    Inbound,
}

/// How far both directions of a connection with a channel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    pub(crate) up: Up,
    pub(crate) down: Down,
}

impl Flow {
    pub(crate) const OPEN: Flow = Flow { up: Up::Flowing, down: Down::Flowing };
}

/// The time until the close of a socket is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LingerTime {
    /// There is none.
    Unlimited,
    /// It runs.
    Running,
    /// It is over: nothing puts the reset off.
    Over,
}

impl LingerTime {
    pub(crate) fn of(linger: LingerMode) -> Self {
        match linger {
            LingerMode::Graceful => LingerTime::Unlimited,
            LingerMode::Hard => LingerTime::Over,
            LingerMode::Bounded(_) => LingerTime::Running,
        }
    }
}

/// What happened to a connection, with the facts that the next state depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// The server opened the channel.
    Opened,
    /// The server refused to open the channel. `reply`: the client is told so in SOCKS.
    OpenFailed { reply: bool },
    /// The local client's FIN was read.
    LocalEof,
    /// All the bytes are sent that had come before the application closed the connection.
    LastSent,
    /// The local client reset the connection. `unread`: bytes that it sent before can still be read.
    LocalReset { unread: bool },
    /// The remote end's EOF.
    RemoteEof,
    /// The local socket has taken all the bytes that came from the remote end.
    Delivered,
    /// The remote end's CLOSE. `client`: what the local client has done, read or not.
    RemoteClose { client: Client },
    /// The session was lost. `comes_back`: there is another one, or there will be.
    SessionLost { comes_back: bool, reply: bool },
    /// disconnect(), shutdown(), rejection, idleTimeout or readyTimeout. `unread`: bytes that the local
    /// client has sent and that can be read now.
    Close { unread: usize, reply: bool },
    /// The application gave the connection another Linger.
    LingerChanged,
    /// A forced shutdown. `reply`: as above.
    Force { reply: bool },
    /// The linger time is over.
    LingerExpired,
    /// The task that closed the socket has ended.
    SocketClosed,
}

/// What a local client has done to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// It may send more.
    Sending,
    /// It has ended its stream.
    Ended,
    /// It has reset the connection.
    Reset,
}

/// What a transition asks the driver to do, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actions {
    /// Abort the SOCKS handshake.
    pub(crate) abort: bool,
    /// Drop the bytes that the local socket has not taken.
    pub(crate) drop_buffer: bool,
    /// Send FIN to the local client.
    pub(crate) fin: bool,
    /// Send EOF on the channel.
    pub(crate) eof: bool,
    /// Send CLOSE on the channel.
    pub(crate) close: bool,
    /// Before the session is ended, wait for the server's CLOSE: it may hold the last bytes of the client.
    pub(crate) confirm: bool,
    /// Go on reading from the local client.
    pub(crate) read: bool,
    pub(crate) timer: Timer,
    /// The end of the connection as far as its channel is concerned.
    pub(crate) end: Option<End>,
}

/// What becomes of the deadline of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Timer {
    /// As it was.
    #[default]
    Keep,
    /// No deadline.
    Stop,
    /// The linger time starts, unless it already runs.
    Start,
    /// The linger time starts anew.
    Restart,
    /// The linger time is over, by a forced shutdown.
    Force,
}

/// How a connection leaves its channel, or ends without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It waits for another session.
    Requeue,
    /// Its inbound channel is refused, and the end reported.
    Refuse,
    /// Its inbound channel is lost with its session; the end is reported.
    Lose,
    /// Its socket gets a SOCKS reply and FIN, in a task of its own.
    Reply,
    /// Its socket is reset at once, and the end reported. `forced`: by a forced shutdown.
    Reset { reason: Reason, forced: bool },
    /// Its socket is closed in this mode, in a task of its own.
    Close { mode: CloseMode, reason: Reason, limit: CloseLimit },
    /// The end is reported with the outcome of that task.
    Report,
}

/// Why a connection ends, as far as the transition knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// Both directions reached their end of stream.
    Completed,
    /// The remote end closed the channel.
    ClosedByRemote,
    /// The remote end closed the channel without EOF, and the local client waits for an answer.
    CutByRemote,
    /// The local client reset the connection.
    ResetByLocal,
    /// The cause that came with the event.
    Given,
    /// The cause for which it was being closed already.
    First,
}

/// What limits the close of a socket in a task of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseLimit {
    /// Nothing.
    None,
    /// What is left of the linger time.
    Linger,
    /// A moment for the client to read what was written already: it could take a reset that it finds
    /// together with the last bytes for the end of the stream.
    Reading,
}

impl CloseLimit {
    pub(crate) fn of(linger: LingerMode) -> Self {
        match linger {
            LingerMode::Graceful | LingerMode::Hard => CloseLimit::None,
            LingerMode::Bounded(_) => CloseLimit::Linger,
        }
    }

    pub(crate) fn time(self) -> LingerTime {
        match self {
            CloseLimit::None => LingerTime::Unlimited,
            CloseLimit::Linger | CloseLimit::Reading => LingerTime::Running,
        }
    }
}
