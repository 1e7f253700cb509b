//! The states of a connection, and what each event makes of them.
//!
//! [`step`] is a function without sockets and without a clock: the driver tells it what happened, with the
//! facts that matter, and does what the returned [`Actions`] say. This table is what it implements:
//!
//! | event | graceful | hard |
//! |---|---|---|
//! | EOF both ways, CLOSE | deliver, FIN | the same |
//! | CLOSE before our EOF | deliver, FIN | RST |
//! | our EOF, then CLOSE without EOF | deliver, RST | RST |
//! | reset by the local client | flush up, CLOSE | CLOSE |
//! | open refused, rejected, unanswered | RST | RST |
//! | session lost | deliver, RST | RST |
//! | session lost before it was open | another one, now or later, else RST | the same |
//! | disconnect, shutdown, idle | drain both ways, CLOSE, FIN | RST, CLOSE |
//!
//! A bounded close is a graceful one whose linger time starts with the event. When the time is over, the
//! connection is reset, whether it still has a channel or not. No time runs where both sides have ended by
//! themselves, until the application closes the connection.
//!
//! Every state can be ended: a new Linger also applies to a connection that is being closed, and a forced
//! shutdown resets all of them.

use crate::net::close::CloseMode;
use crate::net::linger::LingerMode;
use crate::session::{Down, Up};
use crate::tunnel::connection::phase::{
    Actions, Client, CloseLimit, End, Event, Flow, LingerTime, Origin, Phase, Reason, Timer,
};

/// The next state of a connection, and what is to be done. An event that has no meaning in a state changes
/// nothing.
pub(crate) fn step(phase: Phase, linger: LingerMode, event: Event) -> (Phase, Actions) {
    match phase {
        Phase::Deferred | Phase::AwaitingSession | Phase::AwaitingApproval(Origin::Local) => {
            waiting(phase, linger, event)
        }
        Phase::SocksHandshake | Phase::SocksAborted => handshake(phase, event),
        Phase::AwaitingApproval(Origin::Inbound) | Phase::ConnectingTarget => inbound(phase, event),
        Phase::Negotiating(flow) => negotiating(flow, linger, event),
        Phase::Opening => opening(linger, event),
        Phase::Open(flow) => open(flow, linger, event),
        Phase::Draining(flow) => draining(flow, linger, event),
        Phase::PassingOn(flow) => passing_on(flow, linger, event),
        Phase::Closing(time) => closing(time, linger, event),
        Phase::Ended => keep(phase),
    }
}

fn keep(phase: Phase) -> (Phase, Actions) {
    (phase, Actions::default())
}

fn end(end: End) -> (Phase, Actions) {
    (Phase::Ended, Actions { end: Some(end), ..Actions::default() })
}

/// Ends a connection that was never open: with a SOCKS reply if there is one to send, else with RST.
fn reject(linger: LingerMode, reply: bool) -> (Phase, Actions) {
    if reply {
        let actions = Actions { end: Some(End::Reply), ..Actions::default() };
        (Phase::Closing(CloseLimit::of(linger).time()), actions)
    } else {
        end(End::Reset { reason: Reason::Given, forced: false })
    }
}

/// Resets a connection with a channel.
fn reset(reason: Reason, forced: bool) -> (Phase, Actions) {
    let end = Some(End::Reset { reason, forced });
    (Phase::Ended, Actions { close: true, end, ..Actions::default() })
}

/// Resets a connection that the local client has reset, after its bytes were passed on.
fn unconfirmed(forced: bool) -> (Phase, Actions) {
    let (next, actions) = reset(Reason::ResetByLocal, forced);
    (next, Actions { confirm: true, ..actions })
}

/// Delivers what is left to the local client of a connection that loses its channel, then ends its stream.
fn close(mode: CloseMode, reason: Reason, flow: Flow, linger: LingerMode) -> (Phase, Actions) {
    let mode = match (mode, flow.down) {
        (CloseMode::Fin, Down::Finished) => CloseMode::FinSent,
        (CloseMode::Reset, Down::Finished) => CloseMode::ResetAfterFin,
        (mode, Down::Flowing | Down::Ended | Down::Finished) => mode,
    };
    let limit = match (reason, linger) {
        (Reason::Completed, LingerMode::Bounded(_)) => CloseLimit::None,
        (Reason::CutByRemote, LingerMode::Hard) => CloseLimit::Reading,
        _ => CloseLimit::of(linger),
    };
    let end = Some(End::Close { mode, reason, limit });
    (Phase::Closing(limit.time()), Actions { close: true, end, ..Actions::default() })
}

/// Without a channel, with its socket at hand.
fn waiting(phase: Phase, linger: LingerMode, event: Event) -> (Phase, Actions) {
    match event {
        Event::SessionLost { comes_back: false, reply } if phase != Phase::Deferred => {
            reject(linger, reply)
        }
        Event::Close { reply, .. } | Event::Force { reply } => reject(linger, reply),
        Event::SessionLost { .. }
        | Event::Opened
        | Event::OpenFailed { .. }
        | Event::LocalEof
        | Event::LastSent
        | Event::LocalReset { .. }
        | Event::RemoteEof
        | Event::Delivered
        | Event::RemoteClose { .. }
        | Event::LingerChanged
        | Event::LingerExpired
        | Event::SocketClosed => keep(phase),
    }
}

/// Without a channel, while a task has its socket.
fn handshake(phase: Phase, event: Event) -> (Phase, Actions) {
    match event {
        Event::SessionLost { comes_back: false, .. }
        | Event::Close { .. }
        | Event::Force { .. } => {
            let (abort, timer) = (phase == Phase::SocksHandshake, Timer::Stop);
            (Phase::SocksAborted, Actions { abort, timer, ..Actions::default() })
        }
        Event::SessionLost { comes_back: true, .. }
        | Event::Opened
        | Event::OpenFailed { .. }
        | Event::LocalEof
        | Event::LastSent
        | Event::LocalReset { .. }
        | Event::RemoteEof
        | Event::Delivered
        | Event::RemoteClose { .. }
        | Event::LingerChanged
        | Event::LingerExpired
        | Event::SocketClosed => keep(phase),
    }
}

/// With an inbound channel that is not open, and without a socket.
fn inbound(phase: Phase, event: Event) -> (Phase, Actions) {
    match event {
        Event::Close { .. } | Event::Force { .. } => end(End::Refuse),
        Event::SessionLost { .. } => end(End::Lose),
        Event::Opened
        | Event::OpenFailed { .. }
        | Event::LocalEof
        | Event::LastSent
        | Event::LocalReset { .. }
        | Event::RemoteEof
        | Event::Delivered
        | Event::RemoteClose { .. }
        | Event::LingerChanged
        | Event::LingerExpired
        | Event::SocketClosed => keep(phase),
    }
}

/// With an open channel whose client names its target. A reply that refuses it is sent before the channel is
/// closed, so that the connection is drained like an open one.
fn negotiating(flow: Flow, linger: LingerMode, event: Event) -> (Phase, Actions) {
    match event {
        Event::Opened => {
            let actions = Actions { timer: Timer::Stop, read: true, ..Actions::default() };
            (Phase::Open(flow), actions)
        }
        Event::RemoteEof => remote_eof(Phase::Negotiating, flow),
        Event::RemoteClose { .. } => reset(Reason::ClosedByRemote, false),
        Event::SessionLost { .. } | Event::Close { reply: false, .. } => {
            reset(Reason::Given, false)
        }
        Event::Close { unread, reply: true } => {
            let flow = Flow { up: Up::Last(unread), ..flow };
            // A reply is sent whatever the Linger, as to a client here.
            let timer = if linger == LingerMode::Hard { Timer::Stop } else { Timer::Restart };
            (Phase::Draining(flow), Actions { timer, read: true, ..Actions::default() })
        }
        Event::Force { .. } => reset(Reason::Given, true),
        Event::OpenFailed { .. }
        | Event::LocalEof
        | Event::LastSent
        | Event::LocalReset { .. }
        | Event::Delivered
        | Event::LingerChanged
        | Event::LingerExpired
        | Event::SocketClosed => keep(Phase::Negotiating(flow)),
    }
}

fn opening(linger: LingerMode, event: Event) -> (Phase, Actions) {
    match event {
        Event::Opened => {
            let actions = Actions { timer: Timer::Stop, read: true, ..Actions::default() };
            (Phase::Open(Flow::OPEN), actions)
        }
        Event::OpenFailed { reply }
        | Event::SessionLost { comes_back: false, reply }
        | Event::Close { reply, .. }
        | Event::Force { reply } => {
            let (next, actions) = reject(linger, reply);
            (next, Actions { close: true, ..actions })
        }
        Event::SessionLost { comes_back: true, .. } => {
            let end = Some(End::Requeue);
            (Phase::AwaitingSession, Actions { end, ..Actions::default() })
        }
        Event::LocalEof
        | Event::LastSent
        | Event::LocalReset { .. }
        | Event::RemoteEof
        | Event::Delivered
        | Event::RemoteClose { .. }
        | Event::LingerChanged
        | Event::LingerExpired
        | Event::SocketClosed => keep(Phase::Opening),
    }
}

fn open(flow: Flow, linger: LingerMode, event: Event) -> (Phase, Actions) {
    match event {
        Event::LocalEof => {
            let (flow, close) = (Flow { up: Up::Ended, ..flow }, flow.down != Down::Flowing);
            (Phase::Open(flow), Actions { eof: true, close, ..Actions::default() })
        }
        Event::LocalReset { unread } => local_reset(flow, linger, unread),
        Event::RemoteEof => remote_eof(Phase::Open, flow),
        Event::Delivered => delivered(Phase::Open, flow),
        Event::RemoteClose { client } => {
            let both = flow.up == Up::Ended && flow.down != Down::Flowing;
            match (client, linger) {
                _ if both => close(CloseMode::Fin, Reason::Completed, flow, linger),
                (Client::Reset, _) => reset(Reason::ResetByLocal, false),
                (Client::Ended, linger) if flow.down == Down::Flowing => {
                    let (next, actions) =
                        close(CloseMode::Reset, Reason::CutByRemote, flow, linger);
                    (next, Actions { drop_buffer: linger == LingerMode::Hard, ..actions })
                }
                (Client::Sending | Client::Ended, LingerMode::Hard) => {
                    reset(Reason::ClosedByRemote, false)
                }
                (
                    Client::Sending | Client::Ended,
                    LingerMode::Graceful | LingerMode::Bounded(_),
                ) => close(CloseMode::Fin, Reason::ClosedByRemote, flow, linger),
            }
        }
        Event::SessionLost { .. } => session_lost(flow, linger),
        Event::Close { unread, .. } => match (linger, flow.up) {
            (LingerMode::Hard, _) => reset(Reason::Given, false),
            (LingerMode::Graceful | LingerMode::Bounded(_), Up::Flowing) => {
                let flow = Flow { up: Up::Last(unread), ..flow };
                let actions = Actions { timer: Timer::Start, read: true, ..Actions::default() };
                (Phase::Draining(flow), actions)
            }
            (LingerMode::Graceful | LingerMode::Bounded(_), Up::Last(_) | Up::Cut | Up::Ended) => {
                // EOF was sent before.
                let actions = Actions { timer: Timer::Start, close: true, ..Actions::default() };
                (Phase::Draining(flow), actions)
            }
        },
        Event::Force { .. } => reset(Reason::Given, true),
        Event::Opened
        | Event::OpenFailed { .. }
        | Event::LastSent
        | Event::LingerChanged
        | Event::LingerExpired
        | Event::SocketClosed => keep(Phase::Open(flow)),
    }
}

fn draining(flow: Flow, linger: LingerMode, event: Event) -> (Phase, Actions) {
    match event {
        Event::LocalEof | Event::LastSent => {
            let up = if event == Event::LocalEof { Up::Ended } else { Up::Cut };
            let actions = Actions { eof: true, close: true, ..Actions::default() };
            (Phase::Draining(Flow { up, ..flow }), actions)
        }
        Event::LocalReset { unread } => local_reset(flow, linger, unread),
        Event::RemoteEof => remote_eof(Phase::Draining, flow),
        Event::Delivered => delivered(Phase::Draining, flow),
        Event::RemoteClose { .. } => close(CloseMode::Fin, Reason::First, flow, linger),
        Event::SessionLost { .. } => session_lost(flow, linger),
        Event::LingerChanged => linger_changed(Phase::Draining(flow), linger),
        Event::Force { .. } => reset(Reason::First, true),
        Event::LingerExpired => reset(Reason::First, false),
        Event::Opened | Event::OpenFailed { .. } | Event::Close { .. } | Event::SocketClosed => {
            keep(Phase::Draining(flow))
        }
    }
}

fn passing_on(flow: Flow, linger: LingerMode, event: Event) -> (Phase, Actions) {
    match event {
        Event::LocalReset { unread: true } => {
            (Phase::PassingOn(flow), Actions { read: true, ..Actions::default() })
        }
        Event::LocalReset { unread: false }
        | Event::LocalEof
        | Event::LastSent
        | Event::LingerExpired => unconfirmed(false),
        Event::Force { .. } => unconfirmed(true),
        Event::RemoteClose { .. } => reset(Reason::ResetByLocal, false),
        Event::RemoteEof => remote_eof(Phase::PassingOn, flow),
        Event::SessionLost { .. } => reset(Reason::Given, false),
        Event::LingerChanged => linger_changed(Phase::PassingOn(flow), linger),
        // Nothing more can be written to the local client.
        Event::Delivered
        | Event::Opened
        | Event::OpenFailed { .. }
        | Event::Close { .. }
        | Event::SocketClosed => keep(Phase::PassingOn(flow)),
    }
}

fn closing(time: LingerTime, linger: LingerMode, event: Event) -> (Phase, Actions) {
    let timed = |timer, time| (Phase::Closing(time), Actions { timer, ..Actions::default() });
    match (event, time) {
        (Event::SocketClosed, _) => end(End::Report),
        (Event::Close { .. }, LingerTime::Unlimited) => timed(Timer::Start, LingerTime::of(linger)),
        (Event::LingerChanged, LingerTime::Unlimited | LingerTime::Running) => {
            timed(Timer::Restart, LingerTime::of(linger))
        }
        (Event::Force { .. }, _) => timed(Timer::Force, LingerTime::Over),
        (Event::Close { .. }, LingerTime::Running | LingerTime::Over)
        | (Event::LingerChanged, LingerTime::Over)
        | (
            Event::Opened
            | Event::OpenFailed { .. }
            | Event::LocalEof
            | Event::LastSent
            | Event::LocalReset { .. }
            | Event::RemoteEof
            | Event::Delivered
            | Event::RemoteClose { .. }
            | Event::SessionLost { .. }
            // The task itself observes it, and ends with the outcome.
            | Event::LingerExpired,
            _,
        ) => keep(Phase::Closing(time)),
    }
}

/// The kernel keeps what the local client sent before its reset: that is passed on, unless the Linger is
/// hard.
fn local_reset(flow: Flow, linger: LingerMode, unread: bool) -> (Phase, Actions) {
    if linger == LingerMode::Hard {
        return reset(Reason::ResetByLocal, false);
    }
    if !unread || flow.up.is_over() {
        return unconfirmed(false);
    }
    let (timer, read) = (Timer::Start, true);
    (Phase::PassingOn(flow), Actions { drop_buffer: true, timer, read, ..Actions::default() })
}

fn remote_eof(phase: fn(Flow) -> Phase, flow: Flow) -> (Phase, Actions) {
    let actions = Actions { close: flow.up.is_over(), ..Actions::default() };
    (phase(Flow { down: Down::Ended, ..flow }), actions)
}

fn delivered(phase: fn(Flow) -> Phase, flow: Flow) -> (Phase, Actions) {
    match flow.down {
        Down::Ended => {
            let flow = Flow { down: Down::Finished, ..flow };
            (phase(flow), Actions { fin: true, ..Actions::default() })
        }
        Down::Flowing | Down::Finished => keep(phase(flow)),
    }
}

/// A stream that was cut never looks complete.
fn session_lost(flow: Flow, linger: LingerMode) -> (Phase, Actions) {
    match linger {
        LingerMode::Hard => reset(Reason::Given, false),
        LingerMode::Graceful | LingerMode::Bounded(_) => {
            close(CloseMode::Reset, Reason::Given, flow, linger)
        }
    }
}

fn linger_changed(phase: Phase, linger: LingerMode) -> (Phase, Actions) {
    match linger {
        LingerMode::Hard => reset(Reason::First, false),
        LingerMode::Graceful | LingerMode::Bounded(_) => {
            (phase, Actions { timer: Timer::Restart, ..Actions::default() })
        }
    }
}

#[cfg(test)]
mod negotiating;
#[cfg(test)]
mod walk;
