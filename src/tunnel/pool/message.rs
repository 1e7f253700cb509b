//! The messages between the supervisor of a tunnel's sessions and their workers.

use ssh_proto::{ChannelId, ForwardEvent};

use crate::net::linger::Linger;
use crate::session;
use crate::tunnel::connection::cause::Force;
use crate::tunnel::connection::meta::PendingConnection;
use crate::tunnel::forward::remote::ForwardRequest;
use crate::tunnel::pending::Reply;
use crate::tunnel::stats::Snapshot;
use crate::tunnel::{ConnectionEnd, ConnectionInfo};

/// A message to the worker of a session.
#[derive(Debug)]
pub(crate) enum ToWorker {
    /// Opens a channel for a connection.
    Open(PendingConnection),
    /// Confirms an inbound channel, whose target this connection is.
    Accept(PendingConnection, ChannelId),
    /// Runs a command on the connection with this id.
    Connection(u64, ConnectionCommand),
    /// Sends a request about a remote forward.
    Forward(ForwardRequest),
    /// Returns the worker's connections.
    Connections(Reply<Vec<ConnectionInfo>>),
    /// Returns the worker's counters.
    Snapshot(Reply<Snapshot>),
    /// Closes every connection on behalf of the named method, then disconnects.
    ShutDown(&'static str),
    /// Resets every connection and disconnects.
    Force(Force),
}

/// A message from the worker of a session. Messages arrive in the order of what they report.
#[derive(Debug)]
pub(crate) enum FromWorker {
    /// The session is disconnected. Its open connections end; the others return.
    Disconnected {
        /// Why it ended.
        error: session::Error,
        /// Whether data has arrived from a target.
        served: bool,
    },
    /// A connection was not open yet, and needs another session.
    Returned(PendingConnection),
    /// The server has answered a request about the remote forward with this id.
    Forward(i64, ForwardEvent),
    /// A connection has ended, and the observer has its report.
    Ended(Box<ConnectionEnd>),
    /// The connection of this command has left the worker.
    NoConnection(u64, ConnectionCommand),
    /// Neither connections nor a session are left.
    Exited,
}

/// A command on one connection.
#[derive(Debug)]
pub(crate) enum ConnectionCommand {
    /// Closes it as its Linger says.
    Close(Reply<()>),
    /// Resets it, whatever its Linger and its state.
    Reset(Reply<()>),
    /// Returns its Linger.
    GetLinger(Reply<Linger>),
    /// Changes its Linger.
    SetLinger(Linger, Reply<()>),
}
