//! The state of a connection with its payload, and everything that depends on it.
//!
//! Each method has a match without a wildcard: the compiler names every place that a new state concerns.

use std::time::Instant;

use tokio::task::AbortHandle;

use crate::net::close;
use crate::net::local_stream::Stream;
use crate::net::write_buffer::WriteBuffer;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::closing::Closing;
use crate::tunnel::connection::inbound_channel::InboundChannel;
use crate::tunnel::connection::inbound_socks::InboundSocks;
use crate::tunnel::connection::meta::Meta;
use crate::tunnel::connection::phase::{Flow, Origin, Phase};
use crate::tunnel::connection::relay::Relay;
use crate::tunnel::connection::socks_handshake::Handshake;
use crate::tunnel::stats::{Bytes, Live};
use crate::tunnel::{ConnectionInfo, ConnectionState};

/// A connection from accept to report.
pub(crate) struct Connection {
    pub(crate) meta: Meta,
    pub(crate) state: State,
    /// When something has to have happened; the registry sorts by it.
    pub(super) due: Option<Instant>,
    /// When it may have been idle for its time; the registry sorts by it, too.
    pub(super) idle: Option<Instant>,
    /// When it continues that waits because of a limit of the rate; sorted like the others.
    pub(super) paced: Option<Instant>,
}

/// Where a connection is between accept and report.
pub(crate) enum State {
    /// Dialed while the tunnel shuts down: it begins after that.
    Deferred(Stream),
    /// The local client is asked for its target in SOCKS; the task of the handshake has its socket.
    SocksHandshake(Handshake),
    /// Waits for the application's decision.
    AwaitingApproval(Source),
    /// Waits for an SSH session. Nothing is read from it.
    AwaitingSession(Stream),
    /// The target of an inbound channel is being dialed.
    ConnectingTarget(InboundChannel, AbortHandle),
    /// The client of an inbound channel, which is open, names its target in SOCKS; then that is dialed.
    Negotiating(Relay),
    /// The server was asked to open a channel.
    Opening(Relay),
    /// Open from end to end.
    Open(Relay),
    /// Being closed gracefully, for this reason: both directions are drained.
    Draining(Relay, Cause),
    /// Reset by the local client: what it sent before is passed on.
    PassingOn(Relay),
    /// Without a channel: the socket is being closed in a task of its own.
    Closing(Closing),
}

/// The side that has connected, and waits for the other one.
pub(crate) enum Source {
    /// A local client.
    Local(Stream),
    /// A client of a remote forward.
    Inbound(InboundChannel),
}

impl State {
    pub(crate) fn phase(&self) -> Phase {
        match self {
            State::Deferred(_) => Phase::Deferred,
            State::SocksHandshake(Handshake::Running(_)) => Phase::SocksHandshake,
            State::SocksHandshake(Handshake::Aborted(_)) => Phase::SocksAborted,
            State::AwaitingApproval(Source::Local(_)) => Phase::AwaitingApproval(Origin::Local),
            State::AwaitingApproval(Source::Inbound(_)) => Phase::AwaitingApproval(Origin::Inbound),
            State::AwaitingSession(_) => Phase::AwaitingSession,
            State::ConnectingTarget(..) => Phase::ConnectingTarget,
            State::Negotiating(relay) => Phase::Negotiating(relay.flow()),
            State::Opening(_) => Phase::Opening,
            State::Open(relay) => Phase::Open(relay.flow()),
            State::Draining(relay, _) => Phase::Draining(relay.flow()),
            State::PassingOn(relay) => Phase::PassingOn(relay.flow()),
            State::Closing(closing) => Phase::Closing(closing.time()),
        }
    }

    /// The state that a connection with a channel goes on to: open, draining or passing on.
    pub(crate) fn enter(self, next: Phase, cause: Cause) -> Self {
        let go_on = |mut relay: Relay, flow: Flow| {
            relay.set_flow(flow);
            relay
        };
        match (self, next) {
            (State::Negotiating(relay), Phase::Negotiating(flow)) => {
                State::Negotiating(go_on(relay, flow))
            }
            (
                State::Negotiating(relay) | State::Opening(relay) | State::Open(relay),
                Phase::Open(flow),
            ) => State::Open(go_on(relay, flow)),
            (State::Negotiating(relay) | State::Open(relay), Phase::Draining(flow)) => {
                State::Draining(go_on(relay, flow), cause)
            }
            (State::Draining(relay, first), Phase::Draining(flow)) => {
                State::Draining(go_on(relay, flow), first)
            }
            (
                State::Open(relay) | State::Draining(relay, _) | State::PassingOn(relay),
                Phase::PassingOn(flow),
            ) => State::PassingOn(go_on(relay, flow)),
            (state, _) => state,
        }
    }

    /// The socket and channel of a connection that has one.
    pub(crate) fn relay(&self) -> Option<&Relay> {
        match self {
            State::Negotiating(relay)
            | State::Opening(relay)
            | State::Open(relay)
            | State::Draining(relay, _)
            | State::PassingOn(relay) => Some(relay),
            State::Deferred(_)
            | State::SocksHandshake(_)
            | State::AwaitingApproval(_)
            | State::AwaitingSession(_)
            | State::ConnectingTarget(..)
            | State::Closing(_) => None,
        }
    }

    pub(crate) fn relay_mut(&mut self) -> Option<&mut Relay> {
        match self {
            State::Negotiating(relay)
            | State::Opening(relay)
            | State::Open(relay)
            | State::Draining(relay, _)
            | State::PassingOn(relay) => Some(relay),
            State::Deferred(_)
            | State::SocksHandshake(_)
            | State::AwaitingApproval(_)
            | State::AwaitingSession(_)
            | State::ConnectingTarget(..)
            | State::Closing(_) => None,
        }
    }

    /// The socket, where no task has it.
    pub(crate) fn into_stream(self) -> Option<Stream> {
        match self {
            State::Deferred(stream)
            | State::AwaitingApproval(Source::Local(stream))
            | State::AwaitingSession(stream) => Some(stream),
            State::Negotiating(relay)
            | State::Opening(relay)
            | State::Open(relay)
            | State::Draining(relay, _)
            | State::PassingOn(relay) => Some(relay.pump.stream),
            State::SocksHandshake(_)
            | State::AwaitingApproval(Source::Inbound(_))
            | State::ConnectingTarget(..)
            | State::Closing(_) => None,
        }
    }

    /// The socket, likewise.
    pub(crate) fn stream(&self) -> Option<&Stream> {
        match self {
            State::Deferred(stream)
            | State::AwaitingApproval(Source::Local(stream))
            | State::AwaitingSession(stream) => Some(stream),
            State::Negotiating(relay)
            | State::Opening(relay)
            | State::Open(relay)
            | State::Draining(relay, _)
            | State::PassingOn(relay) => Some(&relay.pump.stream),
            State::SocksHandshake(_)
            | State::AwaitingApproval(Source::Inbound(_))
            | State::ConnectingTarget(..)
            | State::Closing(_) => None,
        }
    }

    /// The channel that the server asks to open, of a connection that waits for its target.
    pub(crate) fn inbound(&self) -> Option<InboundChannel> {
        match self {
            State::AwaitingApproval(Source::Inbound(channel))
            | State::ConnectingTarget(channel, _) => Some(*channel),
            State::Deferred(_)
            | State::SocksHandshake(_)
            | State::AwaitingApproval(Source::Local(_))
            | State::AwaitingSession(_)
            | State::Negotiating(_)
            | State::Opening(_)
            | State::Open(_)
            | State::Draining(..)
            | State::PassingOn(_)
            | State::Closing(_) => None,
        }
    }

    /// Why a connection with a channel is being closed, if it is.
    pub(crate) fn cause(&self) -> Option<&Cause> {
        match self {
            State::Draining(_, cause) => Some(cause),
            State::PassingOn(_) => Some(&Cause::ResetByLocal),
            State::Deferred(_)
            | State::SocksHandshake(_)
            | State::AwaitingApproval(_)
            | State::AwaitingSession(_)
            | State::ConnectingTarget(..)
            | State::Negotiating(_)
            | State::Opening(_)
            | State::Open(_)
            | State::Closing(_) => None,
        }
    }

    /// What the connection waits for within readyTimeout.
    pub(crate) fn awaited(&self) -> Option<&'static str> {
        match self {
            State::SocksHandshake(Handshake::Running(_)) => Some("complete SOCKS request"),
            State::AwaitingApproval(_) => Some("answer to the connection request"),
            State::AwaitingSession(_) => Some("SSH session"),
            State::ConnectingTarget(..) => Some("connection to the target"),
            State::Negotiating(relay) => relay.socks().and_then(InboundSocks::awaited),
            State::Opening(_) => Some("answer to the opening of the channel"),
            State::Deferred(_)
            | State::SocksHandshake(Handshake::Aborted(_))
            | State::Open(_)
            | State::Draining(..)
            | State::PassingOn(_)
            | State::Closing(_) => None,
        }
    }

    /// Whether the connection waits here for its session, and needs none yet.
    pub(crate) fn is_waiting(&self) -> bool {
        match self {
            State::SocksHandshake(_)
            | State::AwaitingApproval(Source::Local(_))
            | State::AwaitingSession(_) => true,
            State::Deferred(_)
            | State::AwaitingApproval(Source::Inbound(_))
            | State::ConnectingTarget(..)
            | State::Negotiating(_)
            | State::Opening(_)
            | State::Open(_)
            | State::Draining(..)
            | State::PassingOn(_)
            | State::Closing(_) => false,
        }
    }

    /// Whether the connection is to begin only when the shutdown under way is over.
    pub(crate) fn is_deferred(&self) -> bool {
        match self {
            State::Deferred(_) => true,
            State::SocksHandshake(_)
            | State::AwaitingApproval(_)
            | State::AwaitingSession(_)
            | State::ConnectingTarget(..)
            | State::Negotiating(_)
            | State::Opening(_)
            | State::Open(_)
            | State::Draining(..)
            | State::PassingOn(_)
            | State::Closing(_) => false,
        }
    }
}

impl Connection {
    /// Resets the connection without a report. A task that has its socket resets it when it is aborted.
    pub(crate) fn abandon(self) {
        match self.state {
            State::Open(relay) | State::Draining(relay, _) | State::PassingOn(relay) => {
                close::reset(relay.pump.stream, &relay.pump.write_buffer, false);
            }
            state => {
                if let Some(stream) = state.into_stream() {
                    close::reset(stream, &WriteBuffer::default(), false);
                }
            }
        }
    }

    /// When something has to have happened to the connection.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The connection as the application sees it; `None` before it begins.
    pub(crate) fn info(&self) -> Option<ConnectionInfo> {
        let moved = |state, relay: &Relay| {
            if !relay.has_both_ends() {
                return self.meta.info(state);
            }
            let (bytes_up, bytes_down) = (relay.pump.sent, relay.pump.delivered());
            ConnectionInfo { bytes_up, bytes_down, ..self.meta.info(state) }
        };
        Some(match &self.state {
            State::Deferred(_) => return None,
            State::SocksHandshake(_) => self.meta.info(ConnectionState::Negotiating),
            State::AwaitingApproval(_) => self.meta.info(ConnectionState::Requested),
            State::AwaitingSession(_) | State::ConnectingTarget(..) => {
                self.meta.info(ConnectionState::Opening)
            }
            State::Negotiating(relay) => self.meta.info(relay.socks()?.state()),
            State::Opening(relay) => moved(ConnectionState::Opening, relay),
            State::Open(relay) => moved(ConnectionState::Open, relay),
            State::Draining(relay, _) | State::PassingOn(relay) => {
                moved(ConnectionState::Closing, relay)
            }
            State::Closing(closing) => {
                let (bytes_up, bytes_down) = (closing.bytes.up, closing.handed);
                ConnectionInfo { bytes_up, bytes_down, ..self.meta.info(ConnectionState::Closing) }
            }
        })
    }

    /// What the statistics count of the connection; `None` before it has a channel.
    pub(crate) fn live(&mut self) -> Option<Live> {
        let (opened, bytes) = match &mut self.state {
            State::Negotiating(_) | State::Opening(_) => (false, Bytes::default()),
            State::Draining(relay, _) if !relay.has_both_ends() => (false, Bytes::default()),
            State::Open(relay) | State::Draining(relay, _) | State::PassingOn(relay) => {
                (true, relay.bytes())
            }
            State::Closing(closing) => (closing.was_open(), closing.bytes),
            State::Deferred(_)
            | State::SocksHandshake(_)
            | State::AwaitingApproval(_)
            | State::AwaitingSession(_)
            | State::ConnectingTarget(..) => return None,
        };
        Some(Live { id: self.meta.id, forward: self.meta.forward, opened, bytes })
    }
}

#[cfg(test)]
mod tests;
