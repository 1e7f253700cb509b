//! How connections end: which ending an event calls for, and the account that is given of it.

use std::borrow::Cow;

use ssh_proto::OpenFailure;

use super::connection::{Arrival, Connection, Down, Stage, Up};
use super::{ClosedBy, ConnectionEnd};
use crate::closing::{Ended, Outcome};
use crate::linger::{Ending, Linger};
use crate::session;

/// Why a connection ends.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// Both directions reached their end of stream and the far side has confirmed it.
    Completed,
    /// The far side closed the channel before the local program had ended its direction.
    ClosedByFar,
    /// The local program reset the connection.
    ResetByLocal,
    /// The owner's disconnect() or shutdown(); the name says which.
    Owner(&'static str),
    /// The owner rejected it.
    Rejected,
    /// No byte for as long as `idleTimeout`.
    Idle,
    /// Nobody answered in time: the owner the request, or the server the opening.
    Unanswered(&'static str),
    /// The server refused to open the far side.
    Refused(OpenFailure, String),
    /// The SSH session was lost.
    SessionLost(session::Error),
}

impl Cause {
    fn code(&self, hard: bool) -> Cow<'static, str> {
        match self {
            Cause::Completed => "OK",
            Cause::ClosedByFar => "ERR_SSH_CHANNEL_CLOSED",
            Cause::ResetByLocal => "ECONNRESET",
            Cause::Owner(_) if hard => "ECONNABORTED",
            Cause::Owner(_) => "OK",
            Cause::Rejected => "ERR_TUNNEL_REJECTED",
            Cause::Idle | Cause::Unanswered(_) => "ETIMEDOUT",
            Cause::Refused(OpenFailure::AdministrativelyProhibited, _) => {
                "ERR_SSH_OPEN_ADMINISTRATIVELY_PROHIBITED"
            }
            Cause::Refused(OpenFailure::ConnectFailed, _) => "ERR_SSH_OPEN_CONNECT_FAILED",
            Cause::Refused(OpenFailure::UnknownChannelType, _) => {
                "ERR_SSH_OPEN_UNKNOWN_CHANNEL_TYPE"
            }
            Cause::Refused(OpenFailure::ResourceShortage, _) => "ERR_SSH_OPEN_RESOURCE_SHORTAGE",
            Cause::Refused(OpenFailure::Other(_), _) => "ERR_SSH_OPEN_FAILED",
            Cause::SessionLost(_) => "ERR_SSH_DISCONNECTED",
        }
        .into()
    }

    fn reason(&self) -> String {
        match self {
            Cause::Completed => "both directions reached their end of stream".into(),
            Cause::ClosedByFar => {
                "the far side closed the channel before the local side had ended its stream".into()
            }
            Cause::ResetByLocal => "the local program reset the connection".into(),
            Cause::Owner(method) => format!("closed by {method}()"),
            Cause::Rejected => "the connection request was rejected".into(),
            Cause::Idle => "no byte moved for as long as idleTimeout".into(),
            Cause::Unanswered(what) => format!("no answer to {what} within readyTimeout"),
            Cause::Refused(OpenFailure::Other(code), text) => {
                format!("the server refused to open the channel (reason {code}): {text}")
            }
            Cause::Refused(_, text) => format!("the server refused to open the channel: {text}"),
            Cause::SessionLost(error) => format!("the SSH session was lost: {error}"),
        }
    }
}

/// What is known about a connection when its socket is given up; with what becomes of the socket
/// it makes the account.
pub(super) struct Report {
    id: u64,
    cause: Cause,
    linger: Linger,
    sent: u64,
    received: u64,
    dropped: u64,
    up: Up,
    down: Down,
    opened: bool,
}

impl Report {
    pub(super) fn of_arrival(arrival: &Arrival, cause: Cause) -> Self {
        Self {
            id: arrival.id,
            cause,
            linger: arrival.settings.linger,
            sent: 0,
            received: 0,
            dropped: 0,
            up: Up::Flowing,
            down: Down::Flowing,
            opened: false,
        }
    }

    pub(super) fn of(connection: &Connection, cause: Cause) -> Self {
        Self {
            sent: connection.sent,
            received: connection.received,
            dropped: connection.dropped,
            up: connection.up,
            down: connection.down,
            opened: !matches!(connection.stage, Stage::Opening),
            ..Self::of_arrival(&connection.arrival, cause)
        }
    }

    /// The account, once the socket has ended.
    pub(super) fn end(self, outcome: Outcome) -> ConnectionEnd {
        let lost_down = self.dropped + outcome.unsent;
        let whole = lost_down == 0 && outcome.discarded == 0;
        let far_ended = self.down != Down::Flowing;
        let both_ended = far_ended && (self.up == Up::Ended || outcome.peer_finished);
        let finished = outcome.ended == Ended::Fin;
        let cause = match self.cause {
            // Some servers close the channel together with their end of stream. When the local
            // program then had nothing more to say, all is well.
            Cause::ClosedByFar if both_ended && whole && finished => Cause::Completed,
            Cause::Completed | Cause::ClosedByFar | Cause::Owner(_)
                if outcome.ended == Ended::ByPeer =>
            {
                Cause::ResetByLocal
            }
            cause => cause,
        };
        // The stream had ended before the reset, and all of it had left: what the local program
        // reads ends with the end of stream, only what it writes fails.
        let had_fin = self.down == Down::Finished && outcome.unsent == 0;
        let graceful = match outcome.ended {
            Ended::Fin => true,
            Ended::Reset => had_fin,
            Ended::ByPeer => false,
        };
        let clean = finished
            && both_ended
            && whole
            && matches!(cause, Cause::Completed | Cause::Owner(_) | Cause::Idle);
        ConnectionEnd {
            id: self.id,
            code: cause.code(!self.opened || self.linger.ending() == Ending::Hard),
            reason: cause.reason(),
            clean,
            closed_by: if graceful { ClosedBy::Graceful } else { ClosedBy::Reset },
            bytes_up: self.sent,
            bytes_down: self.received - lost_down.min(self.received),
            dropped_up: outcome.discarded,
            dropped_down: lost_down,
            linger: self.linger,
            linger_expired: false,
        }
    }
}
