//! The closing table a second time: the end that an event calls for, found from what both ends have done.

use super::act::{Setting, Why};
use super::world::World;
use crate::net::close::CloseMode;
use crate::tunnel::connection::phase::{
    Client, CloseLimit, End, Event, LingerTime, Origin, Phase, Reason,
};

/// What becomes of a connection in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Everything is delivered, then FIN.
    Fin(Why),
    /// Everything is delivered, then RST.
    Reset(Why),
    /// RST at once.
    ResetNow(Why),
    /// A SOCKS reply, then FIN.
    Reply,
    /// It waits for another session.
    Requeue,
    /// Its channel is refused.
    Refuse,
    /// Its channel is gone with the session.
    Lose,
}

impl Ending {
    /// What the transition asked for, with the reason as the driver understands it.
    pub(super) fn of(end: End, why: impl Fn(Reason) -> Why) -> Self {
        match end {
            End::Requeue => Ending::Requeue,
            End::Refuse => Ending::Refuse,
            End::Lose => Ending::Lose,
            End::Reply => Ending::Reply,
            End::Reset { reason, .. } => Ending::ResetNow(why(reason)),
            End::Close { mode: CloseMode::Fin | CloseMode::FinSent, reason, .. } => {
                Ending::Fin(why(reason))
            }
            End::Close { mode: CloseMode::Reset | CloseMode::ResetAfterFin, reason, .. } => {
                Ending::Reset(why(reason))
            }
            End::Report => unreachable!("the task ends by itself"),
        }
    }
}

/// The end that this event calls for; `None`: the connection goes on.
pub(super) fn ending(world: &World, event: Event, given: Why) -> Option<Ending> {
    use Ending::{Fin, Lose, Refuse, Reply, Requeue, Reset, ResetNow};
    let reset_by_local = Why::Reason(Reason::ResetByLocal);
    let is_hard = world.setting == Setting::Hard;
    let rejected = |reply| Some(if reply { Reply } else { ResetNow(given) });
    match (world.phase, event) {
        (Phase::Deferred, Event::SessionLost { .. }) => None,
        (
            Phase::AwaitingApproval(Origin::Inbound) | Phase::ConnectingTarget,
            Event::Close { .. } | Event::Force { .. },
        ) => Some(Refuse),
        (
            Phase::AwaitingApproval(Origin::Inbound) | Phase::ConnectingTarget,
            Event::SessionLost { .. },
        ) => Some(Lose),
        (Phase::Opening, Event::SessionLost { comes_back: true, .. }) => Some(Requeue),
        (Phase::Opening, Event::OpenFailed { reply }) => rejected(reply),
        (
            Phase::Deferred
            | Phase::AwaitingApproval(Origin::Local)
            | Phase::AwaitingSession
            | Phase::Opening,
            Event::SessionLost { comes_back: false, reply }
            | Event::Close { reply, .. }
            | Event::Force { reply },
        ) => rejected(reply),

        (Phase::PassingOn(_), Event::RemoteClose { .. }) => Some(ResetNow(reset_by_local)),
        (Phase::Draining(_), Event::RemoteClose { .. }) => world.first.map(Fin),
        (Phase::Open(_), Event::RemoteClose { client }) => Some(match client {
            _ if world.fin_read && world.remote_eof => Fin(Why::Reason(Reason::Completed)),
            Client::Reset => ResetNow(reset_by_local),
            Client::Ended if !world.remote_eof => Reset(Why::Reason(Reason::CutByRemote)),
            _ if is_hard => ResetNow(Why::Reason(Reason::ClosedByRemote)),
            Client::Sending | Client::Ended => Fin(Why::Reason(Reason::ClosedByRemote)),
        }),
        (Phase::PassingOn(_), Event::SessionLost { .. }) => Some(ResetNow(given)),
        (Phase::Open(_) | Phase::Draining(_), Event::SessionLost { .. }) => {
            Some(if is_hard { ResetNow(given) } else { Reset(given) })
        }
        (Phase::Open(_), Event::Close { .. }) => is_hard.then_some(ResetNow(given)),
        (Phase::Open(_), Event::Force { .. }) => Some(ResetNow(given)),
        (Phase::Draining(_), Event::Force { .. } | Event::LingerExpired) => {
            world.first.map(ResetNow)
        }
        (Phase::Draining(_), Event::LingerChanged) if is_hard => world.first.map(ResetNow),
        (Phase::PassingOn(_), Event::Force { .. } | Event::LingerExpired) => {
            Some(ResetNow(reset_by_local))
        }
        (Phase::PassingOn(_), Event::LingerChanged) if is_hard => Some(ResetNow(reset_by_local)),
        (Phase::Open(_) | Phase::Draining(_), Event::LocalReset { unread }) => {
            let passes_on = unread && !is_hard && !world.eof;
            (!passes_on).then_some(ResetNow(reset_by_local))
        }
        (Phase::PassingOn(_), Event::LocalReset { unread }) => {
            (!unread).then_some(ResetNow(reset_by_local))
        }
        (Phase::PassingOn(_), Event::LocalEof | Event::LastSent) => Some(ResetNow(reset_by_local)),
        _ => None,
    }
}

/// What limits the task that closes the socket.
pub(super) fn limit(world: &World, why: Why) -> CloseLimit {
    match (world.setting, why) {
        (Setting::Hard, Why::Reason(Reason::CutByRemote)) => CloseLimit::Reading,
        (Setting::Bounded, why) if why != Why::Reason(Reason::Completed) => CloseLimit::Linger,
        _ => CloseLimit::None,
    }
}

/// The linger time of a closing socket after an event.
pub(super) fn time(setting: Setting, before: LingerTime, event: Event) -> LingerTime {
    let anew = match setting {
        Setting::Graceful => LingerTime::Unlimited,
        Setting::Hard => LingerTime::Over,
        Setting::Bounded => LingerTime::Running,
    };
    match (event, before) {
        (Event::Force { .. }, _) => LingerTime::Over,
        (Event::LingerChanged, LingerTime::Unlimited | LingerTime::Running)
        | (Event::Close { .. }, LingerTime::Unlimited) => anew,
        _ => before,
    }
}
