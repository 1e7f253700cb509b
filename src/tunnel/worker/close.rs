//! The events of connections: each goes through the transitions, whose actions are done here.

use std::task::Context;
use std::time::Instant;

use crate::net::close::{self, CloseMode, CloseOutcome, Outcome};
use crate::net::linger::{Linger, LingerMode};
use crate::net::local_stream::Stream;
use crate::net::write_buffer::WriteBuffer;
use crate::runtime::cutoff::Limit;
use crate::session::{self, Down, Up};
use crate::tunnel::connection::cause::{Cause, Force};
use crate::tunnel::connection::closing::Closing;
use crate::tunnel::connection::inbound_channel::failure;
use crate::tunnel::connection::meta::{Meta, PendingConnection};
use crate::tunnel::connection::phase::{
    Actions, CloseLimit, End, Event as Step, LingerTime, Phase, Reason, Timer,
};
use crate::tunnel::connection::relay::Relay;
use crate::tunnel::connection::report::Report;
use crate::tunnel::connection::state::{Connection, State};
use crate::tunnel::connection::transition::step;
use crate::tunnel::forward::remote::SessionId;
use crate::tunnel::pending::{Reply, reply_all};
use crate::tunnel::pool::message::FromWorker;
use crate::tunnel::stats::Bytes;
use crate::tunnel::worker::Worker;
use crate::tunnel::{ConnectionEnd, Error};

/// The payload of an event.
pub(crate) enum Given {
    Nothing,
    /// The reason to end the connection.
    Cause(Cause),
    /// The outcome of the close of its socket.
    Outcome(Outcome),
}

impl Given {
    fn cause(self) -> Cause {
        match self {
            Given::Cause(cause) => cause,
            // Nothing else comes without a cause.
            Given::Nothing | Given::Outcome(_) => Cause::ResetByLocal,
        }
    }
}

impl Worker {
    /// Closes a connection as its Linger says. Returns whether there is one with this id.
    pub(crate) fn close_connection(&mut self, id: u64, cause: Cause) -> bool {
        let Some(connection) = self.registry.get_mut(id) else { return false };
        let reply = connection.meta.socks_reply(&cause);
        if let (State::Negotiating(relay), Some(reply)) = (&mut connection.state, &reply)
            && let Some(socks) = relay.socks_mut()
        {
            socks.refuse(reply);
        }
        let unread = connection.state.relay().map_or(0, Relay::unread);
        let reply = reply.is_some();
        self.step(id, Step::Close { unread, reply }, Given::Cause(cause));
        true
    }

    /// Returns the Linger of a connection.
    pub(crate) fn linger_of(&self, id: u64) -> Result<Linger, Error> {
        let connection = self.registry.get(id).ok_or(Error::NoConnection(id))?;
        Ok(connection.meta.settings.linger)
    }

    /// Changes the Linger of a connection. A closing connection continues by the new value, and its linger
    /// time begins anew.
    pub(crate) fn set_linger(&mut self, id: u64, linger: Linger) -> Result<(), Error> {
        let connection = self.registry.get_mut(id).ok_or(Error::NoConnection(id))?;
        if connection.state.phase() == Phase::Closing(LingerTime::Over) {
            // It is being reset already, and no Linger delays that.
            return if linger.mode() == LingerMode::Hard {
                Ok(())
            } else {
                Err(Error::NoConnection(id))
            };
        }
        connection.meta.settings.linger = linger;
        self.step(id, Step::LingerChanged, Given::Nothing);
        Ok(())
    }

    /// Resets a connection, whatever its Linger and its state.
    pub(crate) fn cut(&mut self, id: u64, force: Force) {
        let Some(connection) = self.registry.get(id) else { return };
        let cause = Cause::Application(force.method());
        let reply = connection.meta.socks_reply(&cause).is_some();
        self.step(id, Step::Force { reply }, Given::Cause(cause));
    }

    /// Resets a connection on behalf of the application; done when its end is reported.
    pub(super) fn reset_connection(&mut self, id: u64, reply: Reply<()>) {
        self.closing.entry(id).or_default().push(reply);
        match self.set_linger(id, Linger::HARD) {
            // Resets a closing connection by itself.
            Ok(()) => {
                self.close_connection(id, Cause::Application("reset"));
            }
            Err(error) => {
                reply_all(self.closing.remove(&id).unwrap_or_default(), &Err(error));
            }
        }
    }

    /// Handles a reset by the local client.
    pub(crate) fn reset_by_local(&mut self, index: usize) {
        let Some(connection) = self.registry.at(index) else { return };
        let unread = connection.state.relay().is_some_and(|relay| relay.unread() > 0);
        let id = connection.meta.id;
        self.step(id, Step::LocalReset { unread }, Given::Nothing);
    }

    /// Ends the connections whose inbound channels are lost with their session.
    pub(crate) fn inbound_lost(&mut self, session: SessionId, error: &session::Error) {
        let is_lost = |it: &Connection| it.state.inbound().is_some_and(|it| it.session == session);
        for id in self.registry.ids(is_lost) {
            let lost = Step::SessionLost { comes_back: false, reply: false };
            self.step(id, lost, Given::Cause(Cause::SessionLost(error.clone())));
        }
    }

    /// Handles the end of a connection's deadline.
    pub(crate) fn expire(&mut self, id: u64) {
        let Some(connection) = self.registry.get(id) else { return };
        match connection.state.awaited() {
            Some(awaited) => {
                self.close_connection(id, Cause::Unanswered(awaited));
            }
            None => self.step(id, Step::LingerExpired, Given::Nothing),
        }
    }

    /// Passes an event to the transitions, and does the actions.
    pub(crate) fn step(&mut self, id: u64, event: Step, given: Given) {
        let Some(connection) = self.registry.get_mut(id) else { return };
        let (linger, phase) = (connection.meta.settings.linger.mode(), connection.state.phase());
        let (next, actions) = step(phase, linger, event);
        if let Some(relay) = connection.state.relay_mut() {
            if actions.fin && relay.pump.finish_down().is_err() {
                let unread = relay.unread() > 0;
                return self.step(id, Step::LocalReset { unread }, Given::Nothing);
            }
            let channel = relay.pump.channel;
            if actions.drop_buffer && actions.close {
                relay.pump.drop_write_buffer();
            }
            if let Some(session) = &mut self.session {
                if actions.drop_buffer && !actions.close {
                    relay.pump.set_reset(&mut session.client, Instant::now());
                }
                if actions.eof {
                    session.client.eof(channel);
                }
                if actions.close {
                    session.client.close(channel);
                }
                session.unconfirmed |= actions.confirm && relay.pump.sent > 0;
            }
        }
        match actions.end {
            Some(end) => self.end(id, end, given),
            None => self.go_on(id, next, actions, given),
        }
    }

    /// Continues a connection in another state.
    fn go_on(&mut self, id: u64, next: Phase, actions: Actions, given: Given) {
        let cause = given.cause();
        let force = self.forced;
        let Some(connection) = self.registry.get_mut(id) else { return };
        match &mut connection.state {
            State::SocksHandshake(handshake) => {
                if actions.abort {
                    handshake.abort(cause);
                }
            }
            State::Closing(closing) => {
                let linger = connection.meta.settings.linger;
                match (actions.timer, force) {
                    (Timer::Start | Timer::Restart, _) => closing.start(linger),
                    (Timer::Force, Some(force)) => closing.force(force),
                    (Timer::Keep | Timer::Stop | Timer::Force, _) => {}
                }
                return;
            }
            state if state.phase() == next => {}
            _ => self.registry.change(id, |state| state.enter(next, cause)),
        }
        debug_assert_eq!(self.registry.get(id).map(|it| it.state.phase()), Some(next));
        match actions.timer {
            Timer::Keep | Timer::Force => {}
            Timer::Stop => self.registry.set_due(id, None),
            Timer::Start => self.registry.start_linger(id, Instant::now()),
            Timer::Restart => self.registry.restart_linger(id, Instant::now()),
        }
        let index = self.registry.get(id).and_then(|it| it.state.relay());
        let Some(index) = index.map(|relay| relay.pump.channel.index()) else { return };
        if actions.read {
            self.enqueue(index);
        }
        // Nothing is read any more, so a reset has to be noticed otherwise.
        if actions.eof
            && let Some((relay, waker)) = self.registry.with_waker(index)
            && relay.pump.watch_for_reset(&mut Context::from_waker(waker))
        {
            self.reset_by_local(index);
        }
    }

    /// Ends a connection, or takes it from its channel.
    fn end(&mut self, id: u64, end: End, given: Given) {
        let Some(connection) = self.registry.remove(id) else { return };
        let due = connection.due();
        let Connection { meta, state, .. } = connection;
        if state.is_deferred() {
            self.events.push_back(FromWorker::DeferredEnded);
        }
        match (end, given) {
            (End::Report, Given::Outcome(outcome)) => {
                if let State::Closing(closing) = state {
                    self.ended(closing.end(outcome));
                }
            }
            (End::Report, Given::Nothing | Given::Cause(_)) => {}
            (End::Requeue, _) => {
                if let Some(stream) = state.into_stream() {
                    self.returned.push(PendingConnection { meta, stream });
                }
            }
            (End::Refuse, given) => self.end_inbound(&meta, &state, given.cause(), true),
            (End::Lose, given) => self.end_inbound(&meta, &state, given.cause(), false),
            (End::Reply, given) => self.reply(meta, state, given.cause()),
            (End::Reset { reason, forced }, given) => {
                let cause = cause_of(reason, given.cause(), &state);
                let force = self.forced.filter(|_| forced);
                self.reset(&meta, state, cause, due, force);
            }
            (End::Close { mode, reason, limit }, given) => {
                let cause = cause_of(reason, given.cause(), &state);
                let limit = limit_of(limit, &meta, due);
                self.close(meta, state, mode, cause, limit);
            }
        }
    }

    /// Ends a connection whose inbound channel is not open, and rejects the channel if its session is up.
    fn end_inbound(&mut self, meta: &Meta, state: &State, cause: Cause, refuse: bool) {
        if let State::ConnectingTarget(_, dial) = state {
            dial.abort();
        }
        if let Some(inbound) = state.inbound().filter(|_| refuse) {
            self.events.push_back(FromWorker::InboundRejected(inbound, failure(&cause)));
        }
        self.ended_without_socket(Report::unopened(meta, cause), CloseOutcome::Reset);
    }

    /// Ends a connection without a channel with a SOCKS reply and the end of the stream, whatever its Linger.
    fn reply(&mut self, meta: Meta, state: State, cause: Cause) {
        let reply = meta.socks_reply(&cause).unwrap_or_default();
        let Some(stream) = state.into_stream() else { return };
        let mut buffer = WriteBuffer::default();
        buffer.push(&reply);
        let limit = limit_of(CloseLimit::of(meta.settings.linger.mode()), &meta, None);
        let closing = Closing::new(Report::unopened(&meta, cause), 0, Bytes::default(), limit);
        self.start_close(meta, stream, buffer, CloseMode::Fin, closing);
    }

    /// Resets the socket of a connection.
    fn reset(
        &mut self,
        meta: &Meta,
        state: State,
        cause: Cause,
        due: Option<Instant>,
        force: Option<Force>,
    ) {
        let is_closing = state.cause().is_some();
        let (mut report, outcome) = match state {
            State::Open(relay) | State::Draining(relay, _) | State::PassingOn(relay) => {
                let report = Report::of(meta, &relay, cause);
                let finished = relay.pump.down == Down::Finished;
                (report, close::reset(relay.pump.stream, &relay.pump.write_buffer, finished))
            }
            state => {
                let Some(stream) = state.into_stream() else { return };
                let report = Report::unopened(meta, cause);
                (report, close::reset(stream, &WriteBuffer::default(), false))
            }
        };
        let is_over = is_closing && due.is_some_and(|due| due <= Instant::now());
        let ended = if is_over {
            CloseOutcome::Cut
        } else if let Some(force) = force {
            report.force(force);
            CloseOutcome::Cut
        } else {
            outcome.ended
        };
        self.ended(report.end(Outcome { ended, ..outcome }));
    }

    /// Delivers the rest to the local client, then ends its stream, in a task of its own: a client that does
    /// not read may take any time.
    fn close(
        &mut self,
        meta: Meta,
        state: State,
        mode: CloseMode,
        cause: Cause,
        limit: Option<Limit>,
    ) {
        let (State::Open(mut relay) | State::Draining(mut relay, _) | State::PassingOn(mut relay)) =
            state
        else {
            return;
        };
        let report = Report::of(&meta, &relay, cause);
        if !relay.has_both_ends() {
            // Its client was told the reason, and then the end of the stream.
            return self.ended_without_socket(report, CloseOutcome::Fin);
        }
        let is_over = mode == CloseMode::FinSent && relay.pump.up == Up::Ended;
        if is_over && close::is_acknowledged(&relay.pump.stream) {
            // Both sides have ended and acknowledged everything. The linger that protects an open
            // connection would turn this close into a reset.
            let _ = relay.pump.stream.set_linger(Linger::GRACEFUL);
            let ended = CloseOutcome::Fin;
            let outcome =
                Outcome { ended, unsent: 0, known: true, discarded: 0, peer_finished: true };
            return self.ended(report.end(outcome));
        }
        let closing = Closing::new(report, relay.pump.delivered(), relay.bytes(), limit);
        self.start_close(meta, relay.pump.stream, relay.pump.write_buffer, mode, closing);
    }

    fn start_close(
        &mut self,
        meta: Meta,
        stream: Stream,
        buffer: WriteBuffer,
        mode: CloseMode,
        mut closing: Closing,
    ) {
        if let Some(force) = self.forced {
            closing.force(force);
        }
        self.registry.start_close(meta, stream, buffer, mode, closing);
    }

    /// Reports the end of a connection.
    pub(crate) fn ended(&mut self, end: ConnectionEnd) {
        let replies = self.closing.remove(&end.id).unwrap_or_default();
        self.events.push_back(FromWorker::Ended(Box::new(end), replies));
    }
}

/// Returns the cause of an end from the transition's reason, the state and the event.
fn cause_of(reason: Reason, given: Cause, state: &State) -> Cause {
    match reason {
        Reason::Completed => Cause::Completed,
        Reason::ClosedByRemote => Cause::ClosedByRemote,
        Reason::CutByRemote => Cause::CutByRemote,
        Reason::ResetByLocal => Cause::ResetByLocal,
        Reason::Given => given,
        Reason::First => state.cause().cloned().unwrap_or(given),
    }
}

/// Returns the limit of a close; `due` is the end of the linger time, if that has begun.
fn limit_of(limit: CloseLimit, meta: &Meta, due: Option<Instant>) -> Option<Limit> {
    let now = Instant::now();
    let linger = meta.settings.linger;
    match (limit, linger.mode(), due) {
        (CloseLimit::None, _, _) => None,
        (CloseLimit::Reading, _, _) => Limit::new(now, close::RESET_DELAY),
        (CloseLimit::Linger, LingerMode::Bounded(time), Some(due)) => Some(Limit::at(due, time)),
        (CloseLimit::Linger, _, _) => linger.limit(now),
    }
}
