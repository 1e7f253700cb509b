//! The messages between the supervisor of a tunnel's sessions and their workers.

use std::sync::Arc;
use std::time::Duration;

use ssh_proto::{ChannelId, ForwardEvent, OpenFailure};

use crate::net::linger::Linger;
use crate::net::rate::MaxRate;
use crate::session;
use crate::socks::Login;
use crate::tunnel::connection::cause::Force;
use crate::tunnel::connection::inbound_channel::InboundChannel;
use crate::tunnel::connection::meta::{Meta, PendingConnection};
use crate::tunnel::forward::remote::ForwardRequest;
use crate::tunnel::pending::Reply;
use crate::tunnel::stats::Snapshot;
use crate::tunnel::{ConnectionEnd, ConnectionInfo, Error};

/// A message to the worker of a session.
#[derive(Debug)]
pub(crate) enum ToWorker {
    /// Opens a channel for a connection.
    Open(PendingConnection),
    /// Confirms an inbound channel, whose target this connection is.
    Accept(PendingConnection, ChannelId),
    /// Confirms an inbound channel, whose client names its target in SOCKS.
    Negotiate(Meta, ChannelId, Option<Arc<Login>>),
    /// Runs a command on the connection with this id.
    Connection(u64, ConnectionCommand),
    /// Sends a request about a remote forward.
    Forward(ForwardRequest),
    /// Returns the worker's connections.
    Connections(Reply<Vec<ConnectionInfo>>),
    /// Returns the worker's counters.
    Snapshot(Reply<Snapshot>),
    /// Continues connections that wait because of a limit of the rate that has changed.
    RatesChanged,
    /// Closes every connection on behalf of the named method, then disconnects.
    ShutDown(&'static str),
    /// Resets every connection and disconnects.
    Force(Force),
}

/// A message from the worker of a session. Messages arrive in the order of what they report.
#[derive(Debug)]
pub(crate) enum FromWorker {
    /// The session is lost. Its open connections end.
    Disconnected {
        /// Why it was lost.
        error: session::Error,
        /// Whether data has arrived from a target.
        served: bool,
        /// The connections that were not open yet, and need another session.
        returned: Vec<PendingConnection>,
    },
    /// The session is being disconnected; no connection is left.
    Disconnecting,
    /// Neither connections nor a session are left.
    Exited,
    /// A connection arrived without a session, and needs another one.
    Returned(PendingConnection),
    /// A connection has named its target, and waits for [`ConnectionCommand::Answer`].
    Requested(ConnectionInfo),
    /// A connection is open.
    Opened(ConnectionInfo),
    /// A connection has ended. The callers that wait for its end have their reply after its report.
    Ended(Box<ConnectionEnd>, Vec<Reply<()>>),
    /// A connection has ended that was to begin after the shutdown. `Ended` follows.
    DeferredEnded,
    /// An inbound channel is to be rejected on its session.
    InboundRejected(InboundChannel, OpenFailure),
    /// The server has answered a request about the remote forward with this id.
    Forward(i64, ForwardEvent),
    /// The connection of this command has left the worker.
    NoConnection(u64, ConnectionCommand),
}

/// A command on one connection.
#[derive(Debug)]
pub(crate) enum ConnectionCommand {
    /// Closes it as its Linger says.
    Close(Reply<()>),
    /// Resets it, whatever its Linger and its state.
    Reset(Reply<()>),
    /// Allows or rejects its target.
    Answer(bool),
    /// Returns its Linger.
    GetLinger(Reply<Linger>),
    /// Changes its Linger.
    SetLinger(Linger, Reply<()>),
    /// Changes how long it may be idle; `None`: without limit.
    SetIdleTimeout(Option<Duration>, Reply<()>),
    /// Turns keep-alive of its local socket on, with this time before the first probe, or off.
    SetKeepAlive(Option<Duration>, Reply<()>),
    /// Returns the limits of its rate.
    GetMaxRate(Reply<MaxRate>),
    /// Changes the limits of its rate.
    SetMaxRate(MaxRate, Reply<()>),
}

impl ConnectionCommand {
    /// Replies that there is no connection with this id.
    pub(crate) fn fail(self, id: u64) {
        let error = Error::NoConnection(id);
        match self {
            ConnectionCommand::Close(reply)
            | ConnectionCommand::Reset(reply)
            | ConnectionCommand::SetLinger(_, reply)
            | ConnectionCommand::SetIdleTimeout(_, reply)
            | ConnectionCommand::SetKeepAlive(_, reply)
            | ConnectionCommand::SetMaxRate(_, reply) => drop(reply.send(Err(error))),
            ConnectionCommand::GetMaxRate(reply) => drop(reply.send(Err(error))),
            ConnectionCommand::GetLinger(reply) => drop(reply.send(Err(error))),
            ConnectionCommand::Answer(_) => {}
        }
    }
}
