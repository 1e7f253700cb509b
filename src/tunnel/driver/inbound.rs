//! Inbound channels, from the server's request to its answer, and the outcomes of connections' tasks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use ssh_proto::{ChannelId, OpenFailure};

use crate::net::descriptors;
use crate::net::local_stream::Stream;
use crate::session;
use crate::socks::{Login, Request};
use crate::tunnel::Endpoint;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::inbound_channel::InboundChannel;
use crate::tunnel::connection::meta::{Meta, PendingConnection};
use crate::tunnel::connection::registry::Finished;
use crate::tunnel::connection::socks_handshake;
use crate::tunnel::connection::state::{Connection, Source, State};
use crate::tunnel::driver::Driver;
use crate::tunnel::forward::remote::{ForwardRequest, SessionId};
use crate::tunnel::forward::spec::RemoteTarget;

impl Driver {
    /// Handles an inbound channel of a remote forward.
    pub(crate) fn inbound_channel(
        &mut self,
        session: SessionId,
        forward: i64,
        channel: ChannelId,
        remote: Option<SocketAddr>,
        target: RemoteTarget,
        now: Instant,
    ) {
        if self.is_full(forward) || self.observer.is_behind() || descriptors::are_scarce_now() {
            let reason = OpenFailure::ResourceShortage;
            return self.send_forward_request(session, ForwardRequest::Reject(channel, reason));
        }
        self.counters.accepted(forward);
        let (id, settings) = (self.shared.next_id(), *self.shared.settings());
        let (local, socks, rates) = (None, None, self.rates(forward));
        let (target, login) = match target {
            RemoteTarget::Fixed(target) => (Some(target), None),
            RemoteTarget::Socks { login } => (None, Some(login)),
        };
        let meta = Meta { id, forward, remote, local, target, socks, settings, rates };
        if let Some(login) = login {
            return self.negotiate(session, meta, channel, login, now);
        }
        let channel = InboundChannel { session, channel };
        if self.observer.decides_connections() {
            self.ask(meta, Source::Inbound(channel), now);
        } else {
            self.connect_target(meta, channel, now);
        }
    }

    /// Begins the SOCKS handshake with the client of an inbound channel, where its session is.
    fn negotiate(
        &mut self,
        session: SessionId,
        meta: Meta,
        channel: ChannelId,
        login: Option<Arc<Login>>,
        now: Instant,
    ) {
        let left = match &mut self.pool {
            Some(pool) => pool.negotiate(session, meta, channel, login.clone()),
            None => Some(meta),
        };
        if let Some(meta) = left {
            self.worker.negotiate(meta, channel, login, now);
        }
    }

    /// Connects to the target of an inbound channel.
    pub(crate) fn connect_target(&mut self, meta: Meta, channel: InboundChannel, now: Instant) {
        let Some(target) = meta.target.clone() else { return };
        let due = self.worker.answer_due(now);
        self.worker.registry_mut().start_target(meta, channel, target, due);
    }

    /// Handles the outcomes of SOCKS handshakes, connects to targets, and closes of sockets.
    pub(crate) fn poll_finished(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut busy = false;
        while let Poll::Ready(Some((id, finished))) = self.worker.registry_mut().poll_finished(cx) {
            match finished {
                Finished::Handshake(stream, outcome) => {
                    self.handshake_ended(id, stream, outcome, now);
                }
                Finished::Target(Ok(stream)) => self.target_connected(id, stream, now),
                Finished::Target(Err(error)) => {
                    self.worker.close_connection(id, Cause::Unreached(error));
                }
                Finished::Close(outcome) => self.worker.socket_closed(id, outcome),
            }
            busy = true;
        }
        busy
    }

    fn handshake_ended(
        &mut self,
        id: u64,
        stream: Stream,
        outcome: socks_handshake::Outcome,
        now: Instant,
    ) {
        let Some(Connection { mut meta, state: State::SocksHandshake(handshake), .. }) =
            self.worker.registry_mut().remove(id)
        else {
            return;
        };
        match handshake.end(outcome) {
            Ok(Request { version, host, port }) => {
                meta.target = Some(Endpoint::Tcp { host: host.into(), port });
                meta.socks = Some(version);
                self.admit(PendingConnection { meta, stream }, now);
            }
            Err(cause) => self.worker.reject(PendingConnection { meta, stream }, cause),
        }
    }

    fn target_connected(&mut self, id: u64, stream: Stream, now: Instant) {
        let connection = self.worker.registry().get(id);
        if connection.is_some_and(|it| matches!(it.state, State::Negotiating(_))) {
            return self.worker.target_connected(id, stream);
        }
        let Some(Connection { mut meta, state: State::ConnectingTarget(inbound, _), .. }) =
            self.worker.registry_mut().remove(id)
        else {
            return;
        };
        meta.connected_to(&stream);
        let pending = PendingConnection { meta, stream };
        let Some(pool) = &mut self.pool else {
            return self.worker.accept(pending, inbound.channel, now);
        };
        if let Some(pending) = pool.accept(inbound.session, pending, inbound.channel) {
            self.worker.reject(pending, Cause::SessionLost(session::Error::no_session()));
        }
    }
}
