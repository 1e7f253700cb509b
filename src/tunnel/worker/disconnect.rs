//! The end of a session: its connections, the server's confirmation of the last bytes, DISCONNECT.

use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use crate::runtime::cutoff::{Cutoff, Limit};
use crate::runtime::timer::Deadline;
use crate::session::{self, Session};
use crate::tunnel::connection::cause::{Cause, Force};
use crate::tunnel::pool::message::FromWorker;
use crate::tunnel::worker::Worker;

/// How long the server may take to confirm the last bytes.
const CONFIRMATION: Duration = Duration::from_secs(2);
/// How long disconnecting may take in a forced shutdown. With the time for connections to close and
/// [`session::FINAL_BRIDGE_TIMEOUT`] this is less than the two seconds that are promised.
const FORCED: Duration = Duration::from_millis(500);

/// The steps of the end of a session.
#[derive(Default)]
pub(super) enum Exit {
    /// The session is not to end.
    #[default]
    None,
    /// All connections are closing.
    Closing,
    /// No connection is left here; the server may still deliver the last bytes of some.
    Confirming(Instant),
    /// The session is being disconnected.
    Disconnecting(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Exit {
    pub(super) fn is_under_way(&self) -> bool {
        !matches!(self, Exit::None)
    }

    /// Returns when the step ends at the latest.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Exit::Confirming(until) => Some(*until),
            Exit::None | Exit::Closing | Exit::Disconnecting(_) => None,
        }
    }

    /// Begins the step's time anew after a pause of the process.
    pub(super) fn resumed(&mut self, now: Instant) {
        match self {
            Exit::Confirming(until) => *until = now + CONFIRMATION,
            Exit::None | Exit::Closing | Exit::Disconnecting(_) => {}
        }
    }
}

impl Worker {
    /// Closes every connection on behalf of the named method, then disconnects the session.
    pub(crate) fn shut_down(&mut self, method: &'static str) {
        if self.exit.is_under_way() {
            return;
        }
        self.exit = Exit::Closing;
        for id in self.registry.ids(|connection| !connection.state.is_deferred()) {
            self.close_connection(id, Cause::Application(method));
        }
    }

    /// Resets every connection, and limits the time to disconnect.
    pub(crate) fn force(&mut self, force: Force, now: Instant) {
        if self.forced.replace(force).is_some() {
            return;
        }
        self.transports.set(Limit::new(now, FORCED));
        for id in self.registry.ids(|connection| !connection.state.is_deferred()) {
            self.cut(id, force);
        }
    }

    /// Ends a forced shutdown; later connections and transports have no limit.
    pub(crate) fn end_force(&mut self) {
        if self.forced.take().is_some() {
            self.transports = Cutoff::default();
        }
    }

    /// Returns whether there is neither a session nor the end of one.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.session.is_none() && !self.exit.is_under_way()
    }

    /// Continues the end of the session when no connection is left. Returns whether it made progress.
    ///
    /// After DISCONNECT the server drops what its targets have not taken, and frees its ports later. So
    /// it has some time to confirm first, and more only while input that has arrived is being read.
    pub(crate) fn poll_disconnect(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let until = match &mut self.exit {
            Exit::Closing if self.registry.is_empty() => now + CONFIRMATION,
            Exit::Confirming(until) => *until,
            Exit::Disconnecting(work) => {
                let ended = work.as_mut().poll(cx).is_ready();
                if ended {
                    self.exit = Exit::None;
                    self.events.push_back(FromWorker::Exited);
                }
                return ended;
            }
            Exit::None | Exit::Closing => return false,
        };
        let unconfirmed =
            self.session.as_ref().is_some_and(Session::is_unconfirmed) || !self.forwards.is_empty();
        if unconfirmed && self.forced.is_none() && (now < until || self.timeout_gate.is_waiting()) {
            self.exit = Exit::Confirming(until);
            return false;
        }
        let session = self.session.take();
        self.forwards.clear();
        if session.is_some() {
            self.events.push_back(FromWorker::Disconnecting);
        }
        self.exit = Exit::Disconnecting(Box::pin(disconnect(session, self.transports.clone())));
        true
    }
}

/// Disconnects a session. Under a limit it waits for all transports, also those of sessions that did
/// not come up.
async fn disconnect(session: Option<Session>, transports: Cutoff) {
    if let Some(session) = session {
        session.disconnect(transports.watch()).await;
    }
    if let Some(due) = transports.due() {
        let mut limit =
            Deadline::at(due + session::FINAL_BRIDGE_TIMEOUT, session::FINAL_BRIDGE_TIMEOUT);
        let _ = limit.within(transports.unwatched()).await;
    }
}
