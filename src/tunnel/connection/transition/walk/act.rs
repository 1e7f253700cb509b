//! What can happen to a connection, its Lingers, and the causes of its end.

use std::time::Duration;

use crate::net::linger::{Linger, LingerMode};
use crate::session;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::phase::Reason;

/// A Linger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Setting {
    Graceful,
    Hard,
    Bounded,
}

impl Setting {
    pub(super) const ALL: [Setting; 3] = [Setting::Graceful, Setting::Hard, Setting::Bounded];

    pub(super) fn linger(self) -> Linger {
        match self {
            Setting::Graceful => Linger::GRACEFUL,
            Setting::Hard => Linger::HARD,
            Setting::Bounded => Linger { onoff: 1, linger: 5 },
        }
    }

    pub(super) fn mode(self) -> LingerMode {
        match self {
            Setting::Graceful => LingerMode::Graceful,
            Setting::Hard => LingerMode::Hard,
            Setting::Bounded => LingerMode::Bounded(Duration::from_secs(5)),
        }
    }
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Act {
    /// The local client writes a byte.
    LocalData,
    LocalFin,
    LocalRst,
    /// The local client stops reading, with its buffers full; or goes on.
    Stall,
    Release,
    /// A byte comes on the channel.
    RemoteData,
    RemoteEof,
    RemoteClose,
    Opened,
    OpenFailed,
    SessionLost {
        comes_back: bool,
    },
    SessionUp,
    /// The application approves the connection, or the shutdown ends that it waited for.
    Approve,
    HandshakeDone {
        request: bool,
    },
    TargetDone {
        connected: bool,
    },
    Disconnect,
    Shutdown,
    Idle,
    SetLinger(Setting),
    Force,
    LingerExpires,
    /// The driver reads from the local client.
    Read,
    /// The driver notices the reset of the local client.
    Wake,
    /// The task that closes the socket has done all it can.
    TaskEnds,
}

impl Act {
    pub(super) const ALL: [Act; 29] = [
        Act::LocalData,
        Act::LocalFin,
        Act::LocalRst,
        Act::Stall,
        Act::Release,
        Act::RemoteData,
        Act::RemoteEof,
        Act::RemoteClose,
        Act::Opened,
        Act::OpenFailed,
        Act::SessionLost { comes_back: true },
        Act::SessionLost { comes_back: false },
        Act::SessionUp,
        Act::Approve,
        Act::HandshakeDone { request: true },
        Act::HandshakeDone { request: false },
        Act::TargetDone { connected: true },
        Act::TargetDone { connected: false },
        Act::Disconnect,
        Act::Shutdown,
        Act::Idle,
        Act::SetLinger(Setting::Graceful),
        Act::SetLinger(Setting::Hard),
        Act::SetLinger(Setting::Bounded),
        Act::Force,
        Act::LingerExpires,
        Act::Read,
        Act::Wake,
        Act::TaskEnds,
    ];
}

/// Why the connection ends, as the model remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Why {
    Reason(Reason),
    Closed,
    Idle,
    Lost,
    Refused,
    Socks,
}

impl Why {
    pub(super) fn cause(self) -> Cause {
        match self {
            Why::Reason(Reason::Completed) => Cause::Completed,
            Why::Reason(Reason::ClosedByRemote) => Cause::ClosedByRemote,
            Why::Reason(Reason::CutByRemote) => Cause::CutByRemote,
            Why::Reason(Reason::ResetByLocal) => Cause::ResetByLocal,
            Why::Reason(Reason::Given | Reason::First) => unreachable!("resolved"),
            Why::Closed => Cause::Application("disconnect"),
            Why::Idle => Cause::Idle,
            Why::Lost => Cause::SessionLost(session::Error::no_session()),
            Why::Refused => Cause::Unanswered("answer"),
            Why::Socks => Cause::Socks(crate::socks::Fault::Ended),
        }
    }
}
