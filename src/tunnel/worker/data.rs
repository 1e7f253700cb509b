//! Bytes between local sockets and channels: the hot path of a tunnel.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use ssh_proto::{ChannelId, Event as Proto};

use crate::session::{BULK, ReadOutcome};
use crate::socks::Reply;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::phase::{Client, Event as Step};
use crate::tunnel::connection::relay::Relay;
use crate::tunnel::connection::state::State;
use crate::tunnel::pool::message::FromWorker;
use crate::tunnel::worker::Worker;
use crate::tunnel::worker::close::Given;

/// The maximum number of bytes that the remote end may send to a local client that has reset its connection,
/// without reading what that client sent before: a remote end that sends more never reads it.
const MAX_DISCARDED: u64 = 16 * 1024 * 1024;

/// Bytes of one turn of a connection with bulk data beside others of its kind: the buffers of their
/// sockets differ, their turns do not.
const BULK_TURN: usize = 64 * 1024;

impl Worker {
    /// Reads from the session once, and handles the input.
    pub(crate) fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if std::mem::take(&mut self.is_new) {
            // Input that arrived with the end of the authentication is read already.
            self.handle_events(now);
            return true;
        }
        let Some(session) = &mut self.session else { return false };
        if let Err(error) = session.poll_path(cx, now) {
            self.lost(error);
            return true;
        }
        if !session.client.wants_input() {
            return false;
        }
        match session.poll_receive(cx, now) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => {
                self.handle_events(now);
                true
            }
            Poll::Ready(Err(error)) => {
                self.broken(&error);
                true
            }
        }
    }

    /// The session's socket failed.
    pub(super) fn broken(&mut self, error: &io::Error) {
        if let Some(session) = &self.session {
            self.lost(session.disconnect_error(error));
        }
    }

    /// Handles the events of the input.
    pub(crate) fn handle_events(&mut self, now: Instant) {
        let failure = loop {
            let Some(session) = &mut self.session else { return };
            match session.client.next_event() {
                Ok(Some(event)) => self.handle_event(event, now),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        // The data of one read goes to each socket in one write.
        let mut touched = std::mem::take(&mut self.touched);
        for index in touched.drain(..) {
            self.deliver(index, now);
        }
        self.touched = touched;
        let mut closed = std::mem::take(&mut self.closed);
        for index in closed.drain(..) {
            self.closed_by_remote(index);
        }
        self.closed = closed;
        if let Some(error) = failure {
            // Sends DISCONNECT with the reason, if that needs no wait.
            if let Some(session) = &mut self.session {
                session.try_flush();
            }
            self.lost(error.into());
        }
    }

    fn handle_event(&mut self, event: Proto, now: Instant) {
        match event {
            Proto::Data { channel, range } => {
                let Some(session) = &mut self.session else { return };
                let Some(relay) = self.registry.relay(channel) else { return };
                session.served = true;
                let pump = &mut relay.pump;
                let is_first = pump.arrived.is_empty();
                pump.receive(&mut session.client, range, now);
                if is_first && !pump.arrived.is_empty() {
                    self.touched.push(channel.index());
                } else if pump.discarded > MAX_DISCARDED
                    && let Some(id) = self.registry.id_at(channel.index())
                {
                    self.step(id, Step::LocalReset { unread: false }, Given::Nothing);
                }
            }
            Proto::Opened(channel) => self.opened(channel, now),
            Proto::OpenFailed { channel, reason, description } => {
                self.open_failed(channel, Cause::Refused(reason, description));
            }
            Proto::Window(channel) => self.enqueue(channel.index()),
            Proto::Eof(channel) => {
                let Some(id) = self.registry.id_at(channel.index()) else { return };
                self.step(id, Step::RemoteEof, Given::Nothing);
                if self.registry.relay(channel).is_some_and(|relay| relay.pump.arrived.is_empty()) {
                    self.touched.push(channel.index());
                }
            }
            Proto::Close(channel) => self.closed.push(channel.index()),
            // Connections that wait for room are in the queue, which every turn reads.
            Proto::Rekeyed => {}
            Proto::HostKeys(keys) => self.target.update_host_keys(keys),
            Proto::HostKey(_) | Proto::Banner(_) | Proto::Question(_) | Proto::Ready => {
                unreachable!("a session authenticates once")
            }
            Proto::Forward(forward, event) => self.forward_event(forward, event),
        }
    }

    /// Opens the connection: the server has confirmed its channel.
    pub(crate) fn opened(&mut self, channel: ChannelId, now: Instant) {
        let Some(id) = self.registry.id_at(channel.index()) else { return };
        self.step(id, Step::Opened, Given::Nothing);
        let Some(connection) = self.registry.get_mut(id) else { return };
        let reply = connection.meta.socks.take().map(|version| version.reply(Reply::Granted));
        let Some(relay) = connection.state.relay_mut() else { return };
        relay.pump.active = now;
        relay.pump.set_rates(&connection.meta.rates);
        let is_told = reply.is_none_or(|reply| relay.send_reply(&reply));
        let info = connection.info();
        self.registry.watch_idle(id, now);
        if let Some(info) = info {
            self.events.push_back(FromWorker::Opened(info));
        }
        if !is_told {
            self.reset_by_local(channel.index());
        }
    }

    /// Rejects the connection: the server has refused its channel.
    fn open_failed(&mut self, channel: ChannelId, cause: Cause) {
        let Some(connection) = self.registry.at(channel.index()) else { return };
        let (id, reply) = (connection.meta.id, connection.meta.socks_reply(&cause).is_some());
        self.step(id, Step::OpenFailed { reply }, Given::Cause(cause));
    }

    /// Handles the CLOSE of the remote end, after all data before it.
    fn closed_by_remote(&mut self, index: usize) {
        let Some(connection) = self.registry.at(index) else { return };
        let client = connection.state.relay().map_or(Ok(false), |relay| relay.pump.has_ended());
        let client = match client {
            Ok(false) => Client::Sending,
            Ok(true) => Client::Ended,
            Err(_) => Client::Reset,
        };
        let id = connection.meta.id;
        self.step(id, Step::RemoteClose { client }, Given::Nothing);
    }

    /// Adds a connection to those to read.
    pub(crate) fn enqueue(&mut self, index: usize) {
        if let Some(relay) = self.registry.at(index).and_then(|it| it.state.relay_mut()) {
            self.schedule.add(index, &mut relay.place);
        }
    }

    /// Writes received data to the local client, then FIN after the remote end's EOF.
    fn deliver(&mut self, index: usize, now: Instant) {
        let Some(session) = &mut self.session else { return };
        let Some((relay, waker)) = self.registry.with_waker(index) else { return };
        if !relay.has_both_ends() {
            return self.negotiate_further(index, now);
        }
        if !relay.pump.arrived.is_empty() {
            let cx = &mut Context::from_waker(waker);
            if relay.pump.deliver(&mut session.client, cx, now).is_err() {
                return self.reset_by_local(index);
            }
            self.watch_pace(index, now);
        }
        self.delivered(index);
    }

    /// Sends FIN to the local client once everything before the remote end's EOF is delivered.
    pub(super) fn delivered(&mut self, index: usize) {
        let Some(connection) = self.registry.at(index) else { return };
        if connection.state.relay().is_some_and(Relay::is_delivered) {
            let id = connection.meta.id;
            self.step(id, Step::Delivered, Given::Nothing);
        }
    }

    /// Continues a connection whose socket became ready or failed.
    pub(crate) fn woken(&mut self, index: usize, now: Instant) {
        let Some(session) = &mut self.session else { return };
        let Some((relay, waker)) = self.registry.with_waker(index) else { return };
        if !relay.pump.write_buffer.is_empty() && relay.has_both_ends() {
            let cx = &mut Context::from_waker(waker);
            if relay.pump.flush(&mut session.client, cx, now).is_err() {
                return self.reset_by_local(index);
            }
            self.watch_pace(index, now);
            self.delivered(index);
        }
        let Some(session) = &mut self.session else { return };
        let Some(connection) = self.registry.at(index) else { return };
        if matches!(connection.state, State::Opening(_)) {
            return;
        }
        let Some((relay, waker)) = self.registry.with_waker(index) else { return };
        if relay.may_read(session.client.window(relay.pump.channel)) {
            self.enqueue(index);
        } else if relay.pump.watch_for_reset(&mut Context::from_waker(waker)) {
            // Without reading, a reset shows only as an error of the socket.
            self.reset_by_local(index);
        }
    }

    /// Reads each connection that waits once, directly into the packets to send: first those with
    /// little to send, then those with bulk data while there is room for it.
    pub(crate) fn send_up(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut busy = false;
        let (first, bulk) = self.schedule.len();
        for _ in 0..first {
            if !self.has_room(cx, &mut busy) {
                return busy;
            }
            let Some(index) = self.schedule.next_first() else { break };
            busy |= self.take_from(index, None, now);
        }
        for _ in 0..bulk {
            let Some(index) = self.schedule.peek_bulk() else { break };
            let Some(room) = self.bulk_room(index, cx, now, &mut busy) else { break };
            self.schedule.next_bulk();
            // With several, each gets what the socket of any of them holds.
            let room = if bulk > 1 { room.min(BULK_TURN) } else { room };
            busy |= self.take_from(index, Some(room), now);
        }
        busy
    }

    /// Returns whether there is room for another packet. Sending makes room, unless keys are being
    /// exchanged or the server is slow. Then the connections wait, in the same order.
    fn has_room(&mut self, cx: &mut Context<'_>, busy: &mut bool) -> bool {
        let has_room =
            |it: &Self| it.session.as_ref().is_some_and(|session| session.client.has_room());
        if !has_room(self) {
            *busy |= self.flush(cx);
        }
        has_room(self)
    }

    /// Returns how much of a connection with bulk data may be read now. While somebody asks, what was
    /// read before has to have left first.
    fn bulk_room(
        &mut self,
        index: usize,
        cx: &mut Context<'_>,
        now: Instant,
        busy: &mut bool,
    ) -> Option<usize> {
        if !self.has_room(cx, busy) {
            return None;
        }
        let channel = self.registry.with_waker(index).map(|(relay, _)| relay.pump.channel);
        let session = self.session.as_mut()?;
        // Of a connection that is gone, nothing is read.
        let Some(channel) = channel else { return Some(0) };
        if session.client.is_restrained(channel, now) && !session.client.pending().is_empty() {
            *busy |= self.flush(cx);
        }
        self.session.as_mut()?.bulk_room(channel, now)
    }

    /// Reads one connection: a part of its quantum, or `turn` bytes if its turn has come. Returns
    /// whether there may be more to do at once.
    fn take_from(&mut self, index: usize, turn: Option<usize>, now: Instant) -> bool {
        let Some(session) = &mut self.session else { return false };
        let Some((relay, waker)) = self.registry.with_waker(index) else { return false };
        self.schedule.taken(&mut relay.place);
        let (pump, place) = (&mut relay.pump, &mut relay.place);
        let room = turn.unwrap_or_else(|| {
            let asked = session.client.is_restrained(pump.channel, now);
            if asked || session.is_slow() { place.quantum() } else { BULK }
        });
        let before = pump.sent;
        let cx = &mut Context::from_waker(waker);
        let outcome = pump.read(&mut session.client, cx, now, room);
        let count = pump.sent - before;
        self.schedule.read(place, count as usize, outcome == ReadOutcome::Drained);
        if pump.has_asked(count, outcome) {
            session.asked(pump.channel, now);
        }
        let event = match outcome {
            ReadOutcome::More => {
                self.enqueue(index);
                return true;
            }
            ReadOutcome::Drained if !relay.has_both_ends() => return self.told(index, now),
            ReadOutcome::Drained => return false,
            ReadOutcome::NoWindow => {
                self.watch_pace(index, now);
                return false;
            }
            ReadOutcome::Reset => {
                self.reset_by_local(index);
                return true;
            }
            ReadOutcome::End => Step::LocalEof,
            ReadOutcome::LastDone => Step::LastSent,
        };
        if let Some(id) = self.registry.id_at(index) {
            self.step(id, event, Given::Nothing);
        }
        true
    }
}
