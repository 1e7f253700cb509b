//! Connections that leave: each event of the closing table, and the ending that it calls for.
//!
//! | event | graceful | hard |
//! |---|---|---|
//! | both ends of stream, CLOSE | deliver, FIN | the same |
//! | CLOSE before our EOF | deliver, FIN | RST |
//! | our EOF, then CLOSE without EOF | deliver, RST | RST |
//! | reset by the local program | flush up, CLOSE | CLOSE |
//! | refused, rejected, unanswered | RST | RST |
//! | session lost | deliver, RST | RST |
//! | session lost before it was open | another one, now or later, else RST | the same |
//! | disconnect, shutdown, idle | drain both ways, CLOSE, FIN | RST, CLOSE |
//!
//! A bounded close is a graceful one whose linger time runs from the event on: when it is over, the
//! connection is reset, be it still in the table or closing already. Where both sides have ended by
//! themselves nobody closes it, and no time runs, until the owner does.
//!
//! Every state can be ended: a new Linger counts for a connection that is being closed, too, and a
//! forced shutdown cuts all of them.

use std::time::Instant;

use crate::net::close::{self, CloseMode, CloseOutcome, Outcome};
use crate::net::linger::{Linger, LingerMode};
use crate::net::local_stream::Stream;
use crate::net::sys;
use crate::net::write_buffer::WriteBuffer;
use crate::runtime::cutoff::{Cutoff, Limit};
use crate::session::{self, Down, Pump, Up};
use crate::tunnel::connection::cause::{Cause, Force};
use crate::tunnel::connection::relay::{Connection, Stage};
use crate::tunnel::connection::report::Report;
use crate::tunnel::driver::Driver;
use crate::tunnel::driver::accept::Awaiting;
use crate::tunnel::stats::Live;
use crate::tunnel::{ConnectionEnd, ConnectionInfo, ConnectionState, Error, Event, Settings};

/// Within `idleTimeout` idle connections are looked for this often at the most.
const IDLE_LOOKS: u32 = 16;

/// A connection whose socket is being closed elsewhere.
pub(crate) struct ClosingConnection {
    /// As it was when that began.
    pub(crate) info: ConnectionInfo,
    /// Likewise.
    pub(crate) live: Live,
    report: Report,
    /// When it is cut short.
    limit: Cutoff,
}

impl ClosingConnection {
    /// Lets its linger time run, unless it does so already.
    fn begin_to_linger(&self) {
        if self.limit.due().is_none() {
            self.limit.set(self.info.linger.limit(Instant::now()));
        }
    }

    /// Lets it go on by this Linger. `false`: it is being reset already, and nothing puts that off.
    fn set_linger(&mut self, linger: Linger) -> bool {
        if self.limit.is_at_once() {
            return linger.mode() == LingerMode::Hard;
        }
        self.info.linger = linger;
        self.report.set_linger(linger);
        self.limit.set(linger.limit(Instant::now()));
        true
    }

    /// Ends it at once, if its time is not over anyway.
    fn force(&mut self, force: Force) {
        let now = Limit::now();
        if self.limit.due().is_none_or(|due| due > now.due) {
            self.report.force(force);
        }
        self.limit.set(Some(now));
    }
}

impl Driver {
    /// Closes a connection on its owner's behalf; `false` when there is none with this number.
    pub(crate) fn close_connection(&mut self, id: u64, cause: Cause) -> bool {
        if let Some(pending) = self.requests.remove(&id).or_else(|| self.held.remove(&id)) {
            self.reject(pending, cause);
            return true;
        }
        if self.socks_clients.contains_key(&id) {
            return self.break_off(id, cause);
        }
        if self.inbound_channels.has(id) {
            self.close_offer(id, cause);
            return true;
        }
        #[cfg(unix)]
        if let Some(dial) = self.operations.take_dial(id) {
            self.reject_dial(dial, cause);
            return true;
        }
        if let Some(closing) = self.closing.get(&id) {
            closing.begin_to_linger();
            return true;
        }
        let Some(index) = self.table.find(id) else { return false };
        let Some(connection) = self.table.get(index) else { return false };
        let hard = connection.meta.settings.linger.mode() == LingerMode::Hard;
        match connection.stage {
            // Being closed already.
            Stage::Closing(_) | Stage::Reset => {}
            Stage::Opening => self.refused(index, cause),
            Stage::Open if hard => self.reset(index, cause),
            Stage::Open => self.begin_closing(index, cause),
        }
        true
    }

    /// Whether there is a connection with this number.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.table.find(id).is_some()
            || self.closing.contains_key(&id)
            || self.socks_clients.contains_key(&id)
            || self.requests.contains_key(&id)
            || self.held.contains_key(&id)
            || self.inbound_channels.has(id)
    }

    /// How a connection will be closed, or is being closed.
    pub(crate) fn linger_of(&mut self, id: u64) -> Result<Linger, Error> {
        if let Some(closing) = self.closing.get(&id) {
            return Ok(closing.info.linger);
        }
        self.settings_of(id).map(|settings| settings.linger)
    }

    /// Decides anew how a connection will be closed. One that is being closed goes on by the new value,
    /// and its linger time runs from now.
    pub(crate) fn set_linger(&mut self, id: u64, linger: Linger) -> Result<(), Error> {
        if let Some(closing) = self.closing.get_mut(&id) {
            return if closing.set_linger(linger) { Ok(()) } else { Err(Error::NoConnection(id)) };
        }
        self.settings_of(id)?.linger = linger;
        let Some(index) = self.table.find(id) else { return Ok(()) };
        if let Some(cause) = self.table.get(index).and_then(|it| it.stage.closing()) {
            if linger.mode() == LingerMode::Hard {
                self.reset(index, cause);
            } else {
                self.table.linger_anew(index);
            }
        }
        Ok(())
    }

    /// Ends a connection at once, whatever its Linger and its state.
    pub(crate) fn cut(&mut self, id: u64, force: Force) {
        let index = self.table.find(id);
        let stage = index.and_then(|index| Some(&self.table.get(index)?.stage));
        let cause = match stage {
            Some(Stage::Open) => Some(Cause::Application(force.method())),
            Some(stage) => stage.closing(),
            None => None,
        };
        if let Some((index, cause)) = index.zip(cause) {
            return self.reset_by(index, cause, Some(force));
        }
        self.close_connection(id, Cause::Application(force.method()));
        if let Some(closing) = self.closing.get_mut(&id) {
            closing.force(force);
        }
    }

    fn settings_of(&mut self, id: u64) -> Result<&mut Settings, Error> {
        if let Some(client) = self.socks_clients.get_mut(&id) {
            return Ok(&mut client.settings);
        }
        if self.inbound_channels.has(id) {
            return self.inbound_channels.settings_of(id).ok_or(Error::NoConnection(id));
        }
        let meta = match self.table.find(id) {
            Some(index) => self.table.get(index).map(|connection| &mut connection.meta),
            None => {
                let waiting = self.requests.get_mut(&id).or_else(|| self.held.get_mut(&id));
                waiting.map(|pending| &mut pending.meta)
            }
        };
        match meta {
            Some(meta) => Ok(&mut meta.settings),
            None => self.operations.deferred_settings(id).ok_or(Error::NoConnection(id)),
        }
    }

    /// Drains both directions: what has come from the local program by now is still passed on, and
    /// what comes from the far side until it confirms is still delivered.
    fn begin_closing(&mut self, index: usize, cause: Cause) {
        self.table.begin_to_linger(index);
        let Some(connection) = self.table.get(index) else { return };
        connection.stage = Stage::Closing(cause);
        match connection.pump.up {
            Up::Flowing => {
                let socket = socket2::SockRef::from(&connection.pump.stream);
                connection.pump.up = Up::Last(sys::unread(&socket).unwrap_or_default());
                self.enqueue(index);
            }
            up @ (Up::Last(_) | Up::Cut | Up::Ended) => self.end_up(index, up),
        }
    }

    /// The far side closed the channel; everything that came before has been handed over.
    pub(crate) fn closed_by_remote(&mut self, index: usize) {
        let Some(connection) = self.remove(index) else { return };
        let hard = connection.meta.settings.linger.mode() == LingerMode::Hard;
        match connection.stage {
            Stage::Closing(ref cause) => {
                let cause = cause.clone();
                self.part(connection, CloseMode::Fin, cause);
            }
            Stage::Reset => self.part_reset(connection, Cause::ResetByLocal, None),
            Stage::Open
                if connection.pump.up == Up::Ended && connection.pump.down != Down::Flowing =>
            {
                self.part(connection, CloseMode::Fin, Cause::Completed);
            }
            Stage::Opening | Stage::Open => match connection.pump.has_ended() {
                // The remote end has not ended its stream, and the client waits for nothing else.
                Ok(true) if connection.pump.down == Down::Flowing => self.cut_by_remote(connection),
                Ok(_) if hard => self.part_reset(connection, Cause::ClosedByRemote, None),
                Ok(_) => self.part(connection, CloseMode::Fin, Cause::ClosedByRemote),
                Err(_) => self.part_reset(connection, Cause::ResetByLocal, None),
            },
        }
    }

    fn cut_by_remote(&mut self, mut connection: Connection) {
        if connection.meta.settings.linger.mode() == LingerMode::Hard {
            connection.pump.drop_write_buffer();
        }
        self.part(connection, CloseMode::Reset, Cause::CutByRemote);
    }

    /// The local program has reset the connection, or is gone.
    pub(crate) fn reset_by_local(&mut self, index: usize) {
        let Some(connection) = self.table.get(index) else { return };
        let graceful = connection.meta.settings.linger.mode() != LingerMode::Hard;
        let socket = socket2::SockRef::from(&connection.pump.stream);
        let unread = sys::unread(&socket).unwrap_or_default();
        // The kernel keeps what came before the reset: that is passed on before the end.
        if graceful && unread > 0 && !connection.pump.up.is_over() {
            if !matches!(connection.stage, Stage::Reset)
                && let Some(session) = &mut self.session
            {
                connection.stage = Stage::Reset;
                connection.pump.set_reset(&mut session.client, Instant::now());
            }
            self.table.begin_to_linger(index);
            self.enqueue(index);
            return;
        }
        self.reset(index, Cause::ResetByLocal);
    }

    /// Cuts short the closes whose linger time is over.
    pub(crate) fn expire_lingers(&mut self, now: Instant) -> bool {
        let mut busy = false;
        while let Some(index) = self.table.take_overdue(now) {
            self.cut_short(index);
            busy = true;
        }
        busy
    }

    fn cut_short(&mut self, index: usize) {
        let Some(connection) = self.table.get(index) else { return };
        // No time runs before the close.
        if let Some(cause) = connection.stage.closing() {
            self.reset(index, cause);
        }
    }

    /// The channel was not opened, or is not wanted any more before it was: there was never
    /// anything behind the local socket, and RST says so.
    pub(crate) fn refused(&mut self, index: usize, cause: Cause) {
        if let Some(connection) = self.remove(index) {
            self.reject(connection.into_pending(), cause);
        }
    }

    /// Closes the connections on which nothing has moved for as long as they may be idle; returns
    /// when to look again.
    pub(crate) fn close_idle(&mut self, now: Instant) -> Option<Instant> {
        let mut idle = Vec::new();
        let mut next: Option<Instant> = None;
        let client = self.session.as_ref().map(|session| &session.client);
        for (_, connection) in self.table.iter() {
            let Some(limit) = connection.meta.settings.idle_timeout else { continue };
            if !matches!(connection.stage, Stage::Open) {
                // Not open yet: its time begins then. Or being closed already.
                continue;
            }
            let is_idle = connection.pump.active + limit <= now;
            if !is_idle || client.is_some_and(|client| connection.pump.has_input(client)) {
                // Not for each of many connections in turn: a little later for all of them.
                let look = (connection.pump.active + limit).max(now + limit / IDLE_LOOKS);
                next = Some(next.map_or(look, |next| next.min(look)));
            } else {
                idle.push(connection.meta.id);
            }
        }
        for id in idle {
            self.close_connection(id, Cause::Idle);
        }
        next
    }

    /// The session is lost: a stream that was cut never looks complete. Connections that were not
    /// open yet have lost nothing: they wait for the next session, if there is to be one.
    pub(crate) fn end_all(&mut self, error: &session::Error, now: Instant) {
        let cause = Cause::SessionLost(error.clone());
        let comes_back = self.reconnecter.is_under_way() || self.role.worker().is_some();
        if !comes_back {
            self.reject_all(&cause, |_| true);
        }
        self.queue.clear();
        self.unanswered.retain(|(.., awaited)| !matches!(awaited, Awaiting::Channel(_)));
        for connection in self.table.drain() {
            let hard = connection.meta.settings.linger.mode() == LingerMode::Hard;
            match connection.stage {
                Stage::Opening if comes_back => self.open_elsewhere(connection.into_pending(), now),
                Stage::Opening => self.reject(connection.into_pending(), cause.clone()),
                Stage::Reset => self.part_reset(connection, cause.clone(), None),
                Stage::Open | Stage::Closing(_) if hard => {
                    self.part_reset(connection, cause.clone(), None);
                }
                Stage::Open | Stage::Closing(_) => {
                    self.part(connection, CloseMode::Reset, cause.clone());
                }
            }
        }
    }

    /// Resets a connection at once and closes its channel.
    pub(crate) fn reset(&mut self, index: usize, cause: Cause) {
        self.reset_by(index, cause, None);
    }

    fn reset_by(&mut self, index: usize, cause: Cause, force: Option<Force>) {
        let Some(connection) = self.remove(index) else { return };
        let graceful = connection.meta.settings.linger.mode() != LingerMode::Hard;
        if let Some(session) = &mut self.session
            && graceful
            && matches!(cause, Cause::ResetByLocal)
        {
            session.unconfirmed |= connection.pump.sent > 0;
        }
        self.part_reset(connection, cause, force);
    }

    /// Takes a connection out of the table and closes its channel from our side.
    fn remove(&mut self, index: usize) -> Option<Connection> {
        let connection = self.table.remove(index)?;
        if let Some(session) = &mut self.session {
            session.client.close(connection.pump.channel);
        }
        Some(connection)
    }

    fn part_reset(&mut self, connection: Connection, cause: Cause, force: Option<Force>) {
        let mut report = Report::of(&connection, cause);
        let finished = connection.pump.down == Down::Finished;
        let mut outcome =
            close::reset(connection.pump.stream, &connection.pump.write_buffer, finished);
        if connection.limit.is_some_and(|limit| limit <= Instant::now()) {
            outcome.ended = CloseOutcome::Cut;
        } else if let Some(force) = force {
            report.force(force);
            outcome.ended = CloseOutcome::Cut;
        }
        self.ended(report.end(outcome));
    }

    /// Delivers what is left to the local program, then ends its stream. Done elsewhere, because a
    /// program that does not read may take for ever.
    fn part(&mut self, mut connection: Connection, finish: CloseMode, cause: Cause) {
        let info = ConnectionInfo { state: ConnectionState::Closing, ..connection.info() };
        let limit = match (info.linger.mode(), &cause) {
            // What was written already has its moment, or the client could take the reset for the end.
            (LingerMode::Hard, Cause::CutByRemote) => {
                Limit::new(Instant::now(), close::RESET_DELAY)
            }
            (LingerMode::Graceful | LingerMode::Hard, _)
            | (LingerMode::Bounded(_), Cause::Completed) => None,
            (LingerMode::Bounded(time), _) => match connection.limit {
                Some(due) => Some(Limit::at(due, time)),
                None => info.linger.limit(Instant::now()),
            },
        };
        let report = Report::of(&connection, cause);
        let finish = match (finish, connection.pump.down) {
            (CloseMode::Fin, Down::Finished) => CloseMode::FinSent,
            (CloseMode::Reset, Down::Finished) => CloseMode::ResetAfterFin,
            (finish, _) => finish,
        };
        let over = finish == CloseMode::FinSent && connection.pump.up == Up::Ended;
        if over && close::is_acknowledged(&connection.pump.stream) {
            // Both sides have ended and acknowledged: there is nothing left to wait for. The linger
            // that protects an open connection would turn this close into a reset.
            let _ = Linger::GRACEFUL.apply(&connection.pump.stream);
            let outcome =
                Outcome { ended: CloseOutcome::Fin, unsent: 0, discarded: 0, peer_finished: true };
            self.ended(report.end(outcome));
            return;
        }
        let live = connection.live();
        let Pump { stream, write_buffer, .. } = connection.pump;
        let limit = Cutoff::new(limit);
        self.close(stream, write_buffer, finish, ClosingConnection { info, live, report, limit });
    }

    /// Ends a connection that has no channel. Its program reads `last_word` and then the end of the
    /// stream, in every Linger setting; without one it is reset, since nothing was ever there.
    pub(crate) fn close_with_reply(
        &mut self,
        stream: Stream,
        last_word: &[u8],
        info: ConnectionInfo,
        report: Report,
    ) {
        let mut backlog = WriteBuffer::default();
        if last_word.is_empty() {
            let outcome = close::reset(stream, &backlog, false);
            return self.ended(report.end(outcome));
        }
        backlog.push(last_word);
        let limit = match info.linger.mode() {
            LingerMode::Graceful | LingerMode::Hard => None,
            LingerMode::Bounded(_) => info.linger.limit(Instant::now()),
        };
        let live = Live::unopened(&info);
        let limit = Cutoff::new(limit);
        self.close(
            stream,
            backlog,
            CloseMode::Fin,
            ClosingConnection { info, live, report, limit },
        );
    }

    /// Closes a socket in a task of its own.
    fn close(
        &mut self,
        stream: Stream,
        backlog: WriteBuffer,
        finish: CloseMode,
        mut closing: ClosingConnection,
    ) {
        if let Some(force) = self.shutdown.forced() {
            closing.force(force);
        }
        let id = closing.info.id;
        let mut limit = closing.limit.watch();
        self.closing.insert(id, closing);
        self.closings.spawn(async move {
            (id, close::close(stream, backlog, finish, limit.reached()).await)
        });
    }

    /// A socket is closed that had a task for it.
    pub(crate) fn parted(&mut self, id: u64, outcome: Outcome) {
        if let Some(closing) = self.closing.remove(&id) {
            self.ended(closing.report.end(outcome));
        }
    }

    /// The last word about a connection.
    pub(crate) fn ended(&mut self, end: ConnectionEnd) {
        let id = end.id;
        self.count_end(&end);
        self.emit(Event::Disconnected(end));
        self.operations.closed(id, &Ok(()));
    }
}
