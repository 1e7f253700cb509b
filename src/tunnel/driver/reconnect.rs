//! The session of a tunnel: how it comes up, what follows when it is lost, and how it comes back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::runtime::cutoff::CutoffWatch;
use crate::session::{self, Attempt, Backoff, Reconnect, Session};
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::driver::Driver;
use crate::tunnel::driver::commands::answer_all;
use crate::tunnel::driver::shutdown::Shutdown;
use crate::tunnel::pool::worker::WorkerEvent;
use crate::tunnel::{Config, Event, Observer};

/// The way back to a session that was lost.
pub(crate) struct Reconnecter {
    /// `None`: there is no way back.
    backoff: Option<Backoff>,
    outage: Outage,
}

/// Where a tunnel stands whose session was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// There is none: a session is up, or nobody wants one.
    None,
    /// The next attempt begins at this time.
    Waiting(Instant),
    /// An attempt is under way.
    Trying,
}

impl Reconnecter {
    pub(crate) fn new(policy: Option<Reconnect>) -> Self {
        Self { backoff: policy.map(Backoff::new), outage: Outage::None }
    }

    /// Whether the session was lost and is to come back.
    pub(crate) fn is_under_way(&self) -> bool {
        match self.outage {
            Outage::None => false,
            Outage::Waiting(_) | Outage::Trying => true,
        }
    }

    /// When the next attempt begins.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.outage {
            Outage::Waiting(due) => Some(due),
            Outage::None | Outage::Trying => None,
        }
    }

    /// Nobody waits for a session any more.
    pub(crate) fn cancel(&mut self) {
        self.outage = Outage::None;
    }

    fn up(&mut self, now: Instant) {
        self.outage = Outage::None;
        if let Some(backoff) = &mut self.backoff {
            backoff.up(now);
        }
    }

    /// The session that is lost has carried data from a target.
    pub(crate) fn served(&mut self) {
        if let Some(backoff) = &mut self.backoff {
            backoff.served();
        }
    }

    /// A logon begins; returns whether it is to bring a lost session back.
    fn begin(&mut self) -> bool {
        if self.is_under_way() {
            self.outage = Outage::Trying;
        }
        self.is_under_way()
    }

    fn next(&mut self, error: &session::Error, now: Instant) -> Option<Attempt> {
        let attempt = self.backoff.as_mut().and_then(|backoff| backoff.next(error, now));
        self.outage = attempt.map_or(Outage::None, |attempt| Outage::Waiting(now + attempt.delay));
        attempt
    }
}

/// Logs on to the server. Whatever only the owner knows is asked of the observer.
pub(crate) fn connect_session(
    config: &Config,
    observer: &Arc<dyn Observer>,
    carriers: CutoffWatch,
) -> impl Future<Output = Result<Session, session::Error>> + Send + use<> {
    let asked = observer.clone();
    let verify = Arc::new(move |key, answer| asked.verify_host_key(key, answer));
    let asked = observer.clone();
    let prompt = Arc::new(move |prompts, answer| asked.answer_prompts(prompts, answer));
    let shown = observer.clone();
    let show = Arc::new(move |banner| shown.event(Event::Banner(banner)));
    session::connect(config.target.clone(), verify, prompt, show, carriers)
}

impl Driver {
    /// Begins a logon. One that waits for its time begins at once: somebody asks for it.
    pub(crate) fn connect_session(&mut self) {
        if self.logon.is_none() {
            self.counts.sessions.reconnect_attempts += u64::from(self.reconnecter.begin());
            self.session_number = Some(self.begin_session());
            self.logon = Some(Box::pin(connect_session(
                &self.config,
                &self.observer,
                self.operations.carriers.watch(),
            )));
        }
    }

    pub(crate) fn session_connected(
        &mut self,
        outcome: Result<Session, session::Error>,
        now: Instant,
    ) {
        match outcome {
            Ok(session) => self.is_up(session, now),
            Err(error) => {
                if let Some(number) = self.session_number.take() {
                    self.session_failed(number, &error);
                }
                let failure = error.clone().into();
                self.forwards.fail(&failure);
                answer_all(&mut self.operations.connecting, &Err(failure));
                if self.reconnecter.is_under_way() {
                    self.recover(error, now);
                } else {
                    // Who dialed without a session is told why there is none.
                    self.operations.session_wanted = false;
                    self.reject_all(&Cause::NoSession(error), |_| true);
                }
            }
        }
    }

    fn is_up(&mut self, session: Session, now: Instant) {
        self.take_session(session, now);
        self.active = true;
        self.reconnecter.up(now);
        self.shared.ready.store(true, Ordering::Release);
        self.emit(Event::Ready);
        self.operations.session_wanted |= !self.operations.connecting.is_empty();
        answer_all(&mut self.operations.connecting, &Ok(()));
        self.begin_forwards(now);
        self.open_held(now);
        // What came with the server's last word on the logon is read already: no event of the
        // socket will announce it.
        self.handle_events(now);
    }

    /// The session is gone: ends every connection accordingly, and sets it up again or gives up.
    pub(crate) fn lost(&mut self, error: session::Error) {
        let served = self.session.take().is_some_and(|session| session.served);
        if served {
            self.reconnecter.served();
        }
        self.shared.ready.store(false, Ordering::Release);
        self.lose_forwards(None, &error);
        if matches!(self.operations.leaving, Shutdown::Confirming { .. }) {
            // Nobody needs it any more.
            return self.end_session();
        }
        if let Some(member) = self.role.member() {
            member.tell(WorkerEvent::Lost { error: error.clone(), served });
        }
        if let Some(number) = self.session_number.take() {
            self.session_is_lost(number, &error);
        }
        self.forwards.fail(&error.clone().into());
        self.recover(error, Instant::now());
    }

    /// Waits for the next attempt at a session, or tells the owner that there will be none.
    fn recover(&mut self, error: session::Error, now: Instant) {
        let wanted = !self.forwards.is_empty() || self.operations.session_wanted;
        let attempt = if wanted { self.reconnecter.next(&error, now) } else { None };
        if attempt.is_none() {
            self.operations.session_wanted = false;
            self.forwards.clear(&error.clone().into());
        }
        self.end_all(&error, now);
        let error = error.into();
        self.emit(match attempt {
            Some(Attempt { number: attempt, delay }) => {
                Event::Reconnecting { attempt, delay, error }
            }
            None => Event::Error(error),
        });
    }

    /// Gives up on a logon that is under way.
    pub(crate) fn cancel_connect(&mut self) {
        if self.logon.take().is_some() {
            self.end_session();
        }
    }

    /// The session that is told of here was ended, or its logon given up.
    pub(crate) fn end_session(&mut self) {
        if let Some(number) = self.session_number.take() {
            self.session_is_over(number);
        }
    }

    /// The session's socket failed.
    pub(crate) fn broken(&mut self, error: &io::Error) {
        if let Some(session) = &self.session {
            self.lost(session.loss(error));
        }
    }
}
