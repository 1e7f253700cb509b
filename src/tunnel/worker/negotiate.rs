//! Connections of remote forwards whose clients name their targets in SOCKS, from the channel to the target.

use std::sync::Arc;
use std::time::Instant;

use ssh_proto::ChannelId;

use crate::net::close::{CloseOutcome, Outcome};
use crate::net::local_stream::Stream;
use crate::session;
use crate::socks::{Fault, Login, Reply, Request};
use crate::tunnel::Endpoint;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::inbound_socks::InboundSocks;
use crate::tunnel::connection::meta::Meta;
use crate::tunnel::connection::relay::Relay;
use crate::tunnel::connection::report::Report;
use crate::tunnel::connection::state::State;
use crate::tunnel::pool::message::FromWorker;
use crate::tunnel::worker::Worker;

impl Worker {
    /// Confirms an inbound channel, and begins the SOCKS handshake with its client.
    pub(crate) fn negotiate(
        &mut self,
        meta: Meta,
        channel: ChannelId,
        login: Option<Arc<Login>>,
        now: Instant,
    ) {
        let due = self.answer_due(now);
        let Some(session) = &mut self.session else {
            let lost = Cause::SessionLost(session::Error::no_session());
            let report = Report::unopened(&meta, lost);
            return self.ended_without_socket(report, CloseOutcome::Reset);
        };
        session.client.set_clock(now);
        session.client.accept(channel);
        let relay = Relay::negotiating(channel, login, now);
        self.registry.insert(meta, State::Negotiating(relay), Some(due));
        // Arms the waker of its stream.
        self.enqueue(channel.index());
    }

    /// Reports the end of a connection without a socket.
    pub(super) fn ended_without_socket(&mut self, report: Report, ended: CloseOutcome) {
        let outcome = Outcome { ended, unsent: 0, known: true, discarded: 0, peer_finished: false };
        self.ended(report.end(outcome));
    }

    /// Passes what has arrived from the client of a connection without a target to its handshake.
    pub(super) fn negotiate_further(&mut self, index: usize, now: Instant) {
        let Some(session) = &mut self.session else { return };
        let Some(connection) = self.registry.at(index) else { return };
        let id = connection.meta.id;
        let Some(relay) = connection.state.relay_mut() else { return };
        match relay.negotiate(&mut session.client, now) {
            Ok(Some(request)) => self.requested(id, request, now),
            Ok(None) if relay.has_ended_early() => {
                self.close_connection(id, Cause::Socks(Fault::Ended));
            }
            Ok(None) => {}
            Err(fault) => {
                self.close_connection(id, Cause::Socks(fault));
            }
        }
    }

    /// The client has named its target: the application is asked.
    fn requested(&mut self, id: u64, request: Request, now: Instant) {
        let due = self.answer_due(now);
        self.registry.set_due(id, Some(due));
        let Some(connection) = self.registry.get_mut(id) else { return };
        let Request { version, host, port } = request;
        connection.meta.target = Some(Endpoint::Tcp { host: host.into(), port });
        connection.meta.socks = Some(version);
        self.events.extend(connection.info().map(FromWorker::Requested));
    }

    /// Handles the application's decision on a connection that has named its target.
    pub(super) fn answered(&mut self, id: u64, accept: bool, now: Instant) {
        let due = self.answer_due(now);
        let Some(connection) = self.registry.get(id) else { return };
        let awaits = connection.state.relay().and_then(Relay::socks);
        let Some(target) = connection.meta.target.clone() else { return };
        if !awaits.is_some_and(InboundSocks::awaits_approval) {
            return;
        }
        if !accept {
            self.close_connection(id, Cause::Rejected);
            return;
        }
        let dial = self.registry.dial(id, target);
        self.registry.set_due(id, Some(due));
        if let Some(socks) = self.socks_mut(id) {
            socks.connecting(dial);
        }
    }

    /// Tells the client that its target is connected.
    pub(crate) fn target_connected(&mut self, id: u64, stream: Stream) {
        let Some(connection) = self.registry.get_mut(id) else { return };
        let State::Negotiating(relay) = &mut connection.state else { return };
        connection.meta.connected_to(&stream);
        let version = connection.meta.socks.take();
        let reply = version.map(|version| version.reply(Reply::Granted)).unwrap_or_default();
        if let Some(socks) = relay.socks_mut() {
            socks.connected(stream, &reply);
        }
        let index = relay.pump.channel.index();
        self.enqueue(index);
    }

    /// Everything that the client was to be told is sent: opens the connection if its target is connected.
    /// Returns whether it did.
    pub(super) fn told(&mut self, index: usize, now: Instant) -> bool {
        let Some(connection) = self.registry.at(index) else { return false };
        let State::Negotiating(relay) = &mut connection.state else { return false };
        if !relay.connect_target(now) {
            return false;
        }
        let channel = relay.pump.channel;
        self.opened(channel, now);
        self.woken(index, now);
        // The client may have ended its stream already.
        self.delivered(index);
        true
    }

    fn socks_mut(&mut self, id: u64) -> Option<&mut InboundSocks> {
        self.registry.get_mut(id)?.state.relay_mut()?.socks_mut()
    }
}
