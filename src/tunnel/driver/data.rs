//! How bytes flow: the hot path of a tunnel.

use std::task::{Context, Poll};
use std::time::Instant;

use ssh_proto::{ChannelId, Event as Proto};

use crate::session::{Down, ReadOutcome, Up};
use crate::tunnel::Event;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::relay::Stage;
use crate::tunnel::driver::Driver;

/// How much the far side may send to a local program that has reset its connection without taking
/// a byte of what that program sent before: then it never will.
const MAX_DISCARDED: u64 = 16 * 1024 * 1024;

/// What a program sends at once and then waits for the answer to is less than this.
const SMALL: u64 = 16 * 1024;

impl Driver {
    /// One read from the session, or what the last one has left, and everything that follows.
    pub(crate) fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(session) = &mut self.session else { return false };
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

    /// Everything that follows from what was read.
    pub(crate) fn handle_events(&mut self, now: Instant) {
        let failure = loop {
            let Some(session) = &mut self.session else { return };
            match session.client.next_event() {
                Ok(Some(event)) => self.handle_event(event, now),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        // Everything that came in one read goes to each socket in one write.
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
            // What went wrong is told to the server if it can be told at once.
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
                let Some(connection) = self.table.of(channel) else { return };
                session.served = true;
                let pump = &mut connection.pump;
                let is_first = pump.arrived.is_empty();
                pump.receive(&mut session.client, range, now);
                if is_first && !pump.arrived.is_empty() {
                    self.touched.push(channel.index());
                } else if pump.discarded > MAX_DISCARDED {
                    self.reset(channel.index(), Cause::ResetByLocal);
                }
            }
            Proto::Opened(channel) => self.opened(channel, now),
            Proto::OpenFailed { channel, reason, description } => {
                self.refused(channel.index(), Cause::Refused(reason, description));
            }
            Proto::Window(channel) => self.enqueue(channel.index()),
            Proto::Eof(channel) => {
                let Some(connection) = self.table.of(channel) else { return };
                connection.pump.down = Down::Ended;
                if connection.pump.arrived.is_empty() {
                    self.touched.push(channel.index());
                }
                if connection.pump.up.is_over()
                    && let Some(session) = &mut self.session
                {
                    session.client.close(channel);
                }
            }
            Proto::Close(channel) => self.closed.push(channel.index()),
            // Whoever waited for room is in the queue, which is looked at in every turn.
            Proto::Rekeyed => {}
            Proto::HostKeys(keys) => self.config.target.update_host_keys(keys),
            Proto::HostKey(_) | Proto::Banner(_) | Proto::Question(_) | Proto::Ready => {
                unreachable!("a session logs on once")
            }
            Proto::Forward(forward, event) => self.forward_event(forward, event, now),
        }
    }

    pub(crate) fn opened(&mut self, channel: ChannelId, now: Instant) {
        let Some(connection) = self.table.of(channel) else { return };
        connection.stage = Stage::Open;
        connection.pump.active = now;
        if let Some(limit) = connection.meta.settings.idle_timeout {
            let look = now + limit;
            self.next_idle_look = Some(self.next_idle_look.map_or(look, |next| next.min(look)));
        }
        let told = connection.tell_opened();
        let info = connection.info();
        self.emit(Event::Connection(info));
        if told {
            self.enqueue(channel.index());
        } else {
            self.reset_by_local(channel.index());
        }
    }

    /// Puts a connection into the queue of those to be read from.
    pub(crate) fn enqueue(&mut self, index: usize) {
        if let Some(connection) = self.table.get(index)
            && !std::mem::replace(&mut connection.queued, true)
        {
            self.queue.push_back(index);
        }
    }

    /// Writes to the local program what has come for it, then its end if that has come too.
    fn deliver(&mut self, index: usize, now: Instant) {
        let Some(session) = &mut self.session else { return };
        let Some((connection, waker)) = self.table.with_waker(index) else { return };
        if !connection.pump.arrived.is_empty() {
            let cx = &mut Context::from_waker(waker);
            if connection.pump.deliver(&mut session.client, cx, now).is_err() {
                return self.reset_by_local(index);
            }
        }
        self.finish_down(index);
    }

    /// Sends FIN to the local program once the far side has ended and everything is delivered.
    fn finish_down(&mut self, index: usize) {
        let Some(connection) = self.table.get(index) else { return };
        if connection.pump.finish_down().is_err() {
            self.reset_by_local(index);
        }
    }

    /// A connection's socket became ready for something, or broke.
    pub(crate) fn woken(&mut self, index: usize, now: Instant) {
        let Some(session) = &mut self.session else { return };
        let Some((connection, waker)) = self.table.with_waker(index) else { return };
        if matches!(connection.stage, Stage::Opening) {
            return;
        }
        if !connection.pump.write_buffer.is_empty() {
            let cx = &mut Context::from_waker(waker);
            if connection.pump.flush(&mut session.client, cx, now).is_err() {
                return self.reset_by_local(index);
            }
            self.finish_down(index);
        }
        let Some(session) = &mut self.session else { return };
        let Some((connection, waker)) = self.table.with_waker(index) else { return };
        match connection.pump.up {
            Up::Flowing | Up::Last(_) if session.client.window(connection.pump.channel) > 0 => {
                self.enqueue(index);
            }
            // Nothing can be read now, so a reset shows only as an error of the socket.
            Up::Flowing | Up::Last(_) | Up::Cut | Up::Ended => {
                if connection.pump.watch_for_reset(&mut Context::from_waker(waker)) {
                    self.reset_by_local(index);
                }
            }
        }
    }

    /// Reads from each connection in the queue once, straight into the packets to be sent.
    pub(crate) fn send_up(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut busy = false;
        for _ in 0..self.queue.len() {
            let Some(session) = &mut self.session else { break };
            if !session.client.has_room() {
                // Sending makes room, unless keys are being changed or the server is slow: then
                // they stay in the queue, unread, and the first of them is the first again.
                busy |= self.flush(cx);
                if !self.session.as_ref().is_some_and(|session| session.client.has_room()) {
                    break;
                }
            }
            let Some(index) = self.queue.pop_front() else { break };
            busy |= self.take_from(index, now);
        }
        busy
    }

    /// Returns whether there may be more to do at once.
    fn take_from(&mut self, index: usize, now: Instant) -> bool {
        let Some(session) = &mut self.session else { return false };
        let several = self.table.has_several();
        let Some((connection, waker)) = self.table.with_waker(index) else { return false };
        connection.queued = false;
        let before = connection.pump.sent;
        let cx = &mut Context::from_waker(waker);
        let outcome = connection.pump.read(&mut session.client, cx, now);
        let is_small = (1..SMALL).contains(&(connection.pump.sent - before));
        if is_small && several {
            session.prioritize_small(now);
        }
        match outcome {
            ReadOutcome::More => {
                self.enqueue(index);
                true
            }
            ReadOutcome::Drained | ReadOutcome::NoWindow => false,
            ReadOutcome::End => {
                self.end_up(index, Up::Ended);
                true
            }
            ReadOutcome::LastDone => {
                self.end_up(index, Up::Cut);
                true
            }
            ReadOutcome::Reset => {
                self.reset_by_local(index);
                true
            }
        }
    }

    /// The local program's direction is through, as `end` says: tells the far side.
    pub(crate) fn end_up(&mut self, index: usize, end: Up) {
        let Some(session) = &mut self.session else { return };
        let Some((connection, waker)) = self.table.with_waker(index) else { return };
        if matches!(connection.stage, Stage::Reset) {
            // The owner was closing it, so no more than what had come by then was to be passed on.
            return self.reset(index, Cause::ResetByLocal);
        }
        connection.pump.up = end;
        session.client.eof(connection.pump.channel);
        let closing = matches!(connection.stage, Stage::Closing(_));
        if closing || connection.pump.down != Down::Flowing {
            session.client.close(connection.pump.channel);
        }
        // Nothing will be read from it any more: a reset must be noticed all the same.
        if connection.pump.watch_for_reset(&mut Context::from_waker(waker)) {
            self.reset_by_local(index);
        }
    }
}
