//! Connecting, and reconnecting after the loss of the session.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ssh_proto::Windows;

use crate::runtime::cutoff::CutoffWatch;
use crate::session::{self, Attempt, Backoff, Log, OpenEarly, Reconnect, Session};
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::meta::{ChannelRequest, PendingConnection};
use crate::tunnel::connection::state::State;
use crate::tunnel::driver::{Driver, Uptime};
use crate::tunnel::{Config, DIAL_FORWARD, Event, Observer};

/// The maximum number of channels that are opened with the authentication. More wait until it is over.
const MAX_EARLY: usize = 64;

/// The connections that wait for the session that connects, for channels that are opened with its
/// authentication.
#[derive(Clone, Default)]
pub(crate) struct EarlyConnections(Arc<Mutex<Vec<ChannelRequest>>>);

impl EarlyConnections {
    /// Adds a connection.
    pub(crate) fn add(&self, request: ChannelRequest) {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() < MAX_EARLY {
            requests.push(request);
        }
    }

    /// Returns what begins the channels of the connections that wait by then.
    fn opener(&self) -> Arc<OpenEarly> {
        let requests = self.0.clone();
        Arc::new(move |client| {
            let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests.drain(..).map(|request| (request.id, request.open(client))).collect()
        })
    }
}

/// The attempts to reconnect.
pub(crate) struct Reconnecter {
    /// `None`: the tunnel does not reconnect.
    backoff: Option<Backoff>,
    outage: Outage,
}

/// The state of a tunnel between two sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// A session is up, or none is needed.
    None,
    /// The next attempt begins at this time.
    Waiting(Instant),
    /// An attempt is under way.
    Connecting,
}

impl Reconnecter {
    pub(crate) fn new(policy: Option<Reconnect>) -> Self {
        Self { backoff: policy.map(Backoff::urgent), outage: Outage::None }
    }

    /// Returns whether the session was lost and another one is to follow.
    pub(crate) fn is_under_way(&self) -> bool {
        self.outage != Outage::None
    }

    /// Returns when the next attempt begins.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.outage {
            Outage::Waiting(due) => Some(due),
            Outage::None | Outage::Connecting => None,
        }
    }

    /// Stops reconnecting.
    pub(crate) fn cancel(&mut self) {
        self.outage = Outage::None;
    }

    /// Returns whether the first session is attempted again, too.
    fn is_initial(&self) -> bool {
        self.backoff.as_ref().is_some_and(Backoff::is_initial)
    }

    /// Returns the next attempt after one for the first session has failed, if there is to be one.
    fn next_initial(&mut self, error: &session::Error, now: Instant) -> Option<Attempt> {
        if !self.is_under_way()
            && let Some(backoff) = &mut self.backoff
        {
            backoff.begin();
        }
        self.next(error, now)
    }

    /// Records that a session is up.
    fn up(&mut self, now: Instant) {
        self.outage = Outage::None;
        if let Some(backoff) = &mut self.backoff {
            backoff.up(now);
        }
    }

    /// Records that the lost session had carried data from a target.
    pub(crate) fn served(&mut self) {
        if let Some(backoff) = &mut self.backoff {
            backoff.served();
        }
    }

    /// Begins an attempt. Returns whether it follows the loss of a session.
    fn begin(&mut self) -> bool {
        if self.is_under_way() {
            self.outage = Outage::Connecting;
        }
        self.is_under_way()
    }

    /// Returns the next attempt after a failure, if there is to be one.
    fn next(&mut self, error: &session::Error, now: Instant) -> Option<Attempt> {
        let attempt = self.backoff.as_mut().and_then(|backoff| backoff.next(error, now));
        self.outage = attempt.map_or(Outage::None, |attempt| Outage::Waiting(now + attempt.delay));
        attempt
    }
}

/// Connects and authenticates. The observer answers what only the application knows.
pub(crate) fn connect_session(
    config: &Config,
    windows: Windows,
    observer: &Arc<dyn Observer>,
    early: &EarlyConnections,
    limit: CutoffWatch,
    log: Log,
) -> impl Future<Output = Result<Session, session::Error>> + Send + use<> {
    let application = observer.clone();
    session::connect(config.target.clone(), windows, application, early.opener(), limit, log)
}

impl Driver {
    /// Begins to connect, also before the time of the next attempt.
    pub(crate) fn connect_session(&mut self) {
        if self.connecting.is_none() {
            if self.reconnecter.begin() {
                self.counters.reconnecting();
            }
            let id = self.begin_session();
            self.session_id = Some(id);
            let limit = self.worker.transport_limit();
            self.early = EarlyConnections::default();
            // Several sessions share the connections once they are up.
            if self.pool.is_none() {
                let waiting = self.worker.registry().iter().filter_map(|connection| {
                    let waits = matches!(connection.state, State::AwaitingSession(_));
                    waits.then(|| connection.meta.channel_request())
                });
                waiting.for_each(|request| self.early.add(request));
            }
            let windows = self.config.target.windows;
            let (config, observer) = (&self.config, &self.observer);
            let log = self.log.within(&format!("session {id}: "));
            let connecting = connect_session(config, windows, observer, &self.early, limit, log);
            self.connecting = Some(Box::pin(connecting));
        }
    }

    /// Continues with the session that has come up or failed.
    pub(crate) fn session_connected(
        &mut self,
        outcome: Result<Session, session::Error>,
        now: Instant,
    ) {
        match outcome {
            Ok(session) => self.session_up(session, now),
            Err(error) => {
                if let Some(id) = self.session_id.take() {
                    self.session_failed(id, &error);
                }
                if self.is_first_session() && self.reconnecter.is_initial() {
                    // Whoever waits for the session goes on waiting.
                    if let Some(Attempt { number: attempt, delay }) =
                        self.reconnecter.next_initial(&error, now)
                    {
                        let error = error.into();
                        self.emit(Event::Reconnecting { attempt, delay, error });
                        return;
                    }
                }
                let failure = error.clone().into();
                self.forwards.fail(&failure);
                self.operations.connected(&Err(failure));
                if self.reconnecter.is_under_way() {
                    self.recover(error, Vec::new(), now);
                } else {
                    self.operations.session_wanted = false;
                    self.reject_all(&Cause::NoSession(error), |_| true);
                }
            }
        }
    }

    fn session_up(&mut self, session: Session, now: Instant) {
        self.add_session(session, now);
        self.uptime = Uptime::Up;
        self.reconnecter.up(now);
        self.shared.set_ready(true);
        self.emit(Event::Ready);
        self.operations.connected(&Ok(()));
        let has_dial = self.worker.registry().iter().any(|it| it.meta.forward == DIAL_FORWARD);
        self.operations.session_wanted |= has_dial;
        self.begin_forwards(now);
        self.open_waiting(now);
        self.worker.close_early();
    }

    /// Waits for the next attempt after the loss of the last session, or reports that there will be
    /// none. Connections that were not open yet wait with it, or are rejected.
    pub(crate) fn recover(
        &mut self,
        error: session::Error,
        returned: Vec<PendingConnection>,
        now: Instant,
    ) {
        let wanted = !self.forwards.is_empty() || self.operations.session_wanted;
        let attempt = if wanted { self.reconnecter.next(&error, now) } else { None };
        if attempt.is_none() {
            self.operations.session_wanted = false;
            self.forwards.clear(&error.clone().into());
            self.reject_all(&Cause::SessionLost(error.clone()), |_| true);
        }
        for pending in returned {
            self.connection_returned(pending, &error, now);
        }
        // The reports of connections come before the next event.
        self.handle_worker_events(now);
        let error = error.into();
        self.emit(match attempt {
            Some(Attempt { number: attempt, delay }) => {
                Event::Reconnecting { attempt, delay, error }
            }
            None => Event::Error(error),
        });
    }

    /// Returns whether no session was up since the tunnel was made, or closed.
    pub(crate) fn is_first_session(&self) -> bool {
        self.uptime != Uptime::Up
    }

    /// Stops connecting.
    pub(crate) fn cancel_connect(&mut self) {
        if self.connecting.take().is_some() {
            self.end_session();
        }
    }

    /// Reports the end of this task's session.
    pub(crate) fn end_session(&mut self) {
        if let Some(id) = self.session_id.take() {
            self.session_ended(id);
        }
    }
}
