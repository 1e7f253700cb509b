//! What the outside asks of a tunnel's task.

use std::time::Duration;

use ssh_proto::ChannelId;
use tokio::sync::oneshot;

use crate::net::linger::Linger;
use crate::tunnel::connection::cause::Force;
use crate::tunnel::connection::relay::PendingConnection;
#[cfg(unix)]
use crate::tunnel::driver::accept::Dial;
use crate::tunnel::forward::remote::ForwardRequest;
use crate::tunnel::forward::table::{ForwardInfo, ForwardSpec};
use crate::tunnel::pool::worker::WorkerEvent;
use crate::tunnel::stats::Present;
use crate::tunnel::{ConnectionInfo, Error, Stats};

/// Where the outcome of an operation goes. Nobody may be waiting any more: that is no error.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// An operation, in the order of the calls.
#[derive(Debug)]
pub(crate) enum Command {
    /// Log on to the SSH server.
    Connect(Reply<()>),
    /// Log on if needed, then open the forward with this number.
    StartForward(i64, ForwardSpec, Reply<ForwardInfo>),
    /// Give up the forward with this number, for the sake of this method; connections live on.
    StopForward(i64, &'static str, Reply<()>),
    /// Log on if needed, then open a connection of the program's own.
    #[cfg(unix)]
    Dial(Dial),
    /// Close one connection by its Linger.
    Disconnect(u64, Reply<()>),
    /// Reset one connection, whatever its Linger and its state.
    Reset(u64, Reply<()>),
    /// Close everything by its Linger, or by force, and log off.
    Shutdown { force: bool, reply: Reply<()> },
    /// Give up all forwards, let connections finish within this time, then shut down.
    Close(Option<Duration>, Reply<()>),
    /// Tell which connections there are.
    Connections(Reply<Vec<ConnectionInfo>>),
    /// Tell how a connection will be closed.
    Linger(u64, Reply<Linger>),
    /// Decide anew how a connection will be closed.
    SetLinger(u64, Linger, Reply<()>),
    /// The owner's word on a connection request.
    Answer(u64, bool),
    /// A member of several sessions has told something.
    Heard(u32, WorkerEvent),
    /// All members have told their connections, which were asked for.
    Listed(Vec<ConnectionInfo>, Reply<Vec<ConnectionInfo>>),
    /// Tell what was counted, of the forward with this number or of all.
    Stats(Option<i64>, Reply<Stats>),
    /// All members have told what they have, which was asked for.
    Counted(Vec<Present>, Option<i64>, Reply<Stats>),
    /// To a member: tell what there is to be counted.
    Present(Reply<Present>),
    /// To a member: serve this connection.
    Carry(PendingConnection),
    /// To a member: do this about a forward.
    ForwardRequest(ForwardRequest),
    /// To a member: open the channel that its server has offered for this connection.
    Accept(PendingConnection, ChannelId),
    /// To a member: close everything by its Linger on behalf of this method, and log off.
    Leave(&'static str),
    /// To a member: as above, by force.
    Force(Force),
}

impl Command {
    /// The connection that an operation is about.
    pub(crate) fn connection(&self) -> Option<u64> {
        match self {
            Command::Disconnect(id, _)
            | Command::Reset(id, _)
            | Command::Linger(id, _)
            | Command::SetLinger(id, ..) => Some(*id),
            #[cfg(unix)]
            Command::Dial(_) => None,
            Command::Connect(_)
            | Command::StartForward(..)
            | Command::StopForward(..)
            | Command::Shutdown { .. }
            | Command::Close(..)
            | Command::Connections(_)
            | Command::Answer(..)
            | Command::Heard(..)
            | Command::Listed(..)
            | Command::Stats(..)
            | Command::Present(_)
            | Command::Counted(..)
            | Command::Carry(_)
            | Command::ForwardRequest(_)
            | Command::Accept(..)
            | Command::Leave(_)
            | Command::Force(_) => None,
        }
    }
}
