//! Forwards whose ports are the server's: asked for on one session, and on the next when that is
//! lost.
//!
//! The table of forwards has them like all others. Whoever owns a session runs the forward_requests for
//! them, and tells what the server says: with one session that is this task, with several the task
//! of the one that has the port, its `Home`.

use std::time::{Duration, Instant};

use ssh_proto::{ChannelId, ForwardEvent, ForwardId, ListenAddr, OpenFailure, RequestError};

use crate::session;
use crate::tunnel::command::Reply;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::driver::Driver;
use crate::tunnel::forward::table::Endpoint;
use crate::tunnel::pool::supervisor::Role;
use crate::tunnel::pool::worker::WorkerEvent;
use crate::tunnel::{Error, Event};

/// After the loss of a session the server may hold its ports until it has noticed: how long to wait
/// before it is asked once more, first and later.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// A port that the server chose is asked for again until its pause is longer than this, 700 ms in
/// all; then the server chooses another.
const LAST_PAUSE_FOR_CHOSEN: Duration = Duration::from_millis(400);

/// The session that has a forward: by the number of the member whose it is, or this task's own.
pub(crate) type Home = Option<u32>;

/// What is asked of the task that has the session.
#[derive(Debug)]
pub(crate) enum ForwardRequest {
    /// Ask the server to listen for the forward with this number.
    Listen(i64, Endpoint),
    /// Ask it to do so no longer.
    Stop(i64),
    /// Refuse to open a channel that it has offered.
    Refuse(ChannelId, OpenFailure),
}

/// How far the server is with a forward.
pub(crate) struct Remote {
    /// What the owner asked for.
    wanted: Endpoint,
    /// Where the server listens, or is asked to: a port that it has chosen once, by its number.
    place: Endpoint,
    step: Step,
    /// Once it has been up: what a refusal means from then on.
    again: Option<Again>,
}

enum Step {
    /// There is no session to ask.
    Waiting,
    /// The server was asked.
    Asked(Home),
    /// It refused, and is asked once more at this time.
    Refused(Instant),
    /// The server listens.
    Listening(Home),
    /// It was asked to stop; who waits for that.
    LingerMode(Home, Vec<Reply<()>>),
}

/// How a port is asked for that was lost with its session.
struct Again {
    /// Until when a refusal is no verdict; set when it is asked for the first time.
    until: Option<Instant>,
    /// How long to wait after the next refusal.
    pause: Duration,
}

impl Again {
    fn new() -> Self {
        Self { until: None, pause: FIRST_PAUSE }
    }
}

impl Remote {
    pub(crate) fn new(wanted: Endpoint) -> Self {
        Self { place: wanted.clone(), wanted, step: Step::Waiting, again: None }
    }

    /// Where the server listens, if it does.
    pub(crate) fn bound(&self) -> Option<&Endpoint> {
        matches!(self.step, Step::Listening(_)).then_some(&self.place)
    }

    /// When the server is asked once more.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.step {
            Step::Refused(due) => Some(due),
            Step::Waiting | Step::Asked(_) | Step::Listening(_) | Step::LingerMode(..) => None,
        }
    }

    /// Whether the server has ever listened.
    pub(crate) fn was_up(&self) -> bool {
        self.again.is_some()
    }

    /// Whether nobody wants it any more.
    fn is_ending(&self) -> bool {
        matches!(self.step, Step::LingerMode(..))
    }

    /// The session on which it is up, or something is under way about it.
    fn home(&self) -> Option<Home> {
        match self.step {
            Step::Asked(home) | Step::Listening(home) | Step::LingerMode(home, _) => Some(home),
            Step::Waiting | Step::Refused(_) => None,
        }
    }

    /// The process was paused: a server that still refuses has until then to give up what was lost
    /// with a session.
    pub(crate) fn resumed(&mut self, until: Instant) {
        if let Some(again) = &mut self.again {
            again.until = again.until.map(|_| until);
        }
    }

    /// There is a session: what to ask of the server now, if anything.
    fn ask(&mut self, home: Home, now: Instant, patience: Duration) -> Option<Endpoint> {
        match self.step {
            Step::Waiting => {}
            Step::Refused(due) if due <= now => {}
            Step::Refused(_) | Step::Asked(_) | Step::Listening(_) | Step::LingerMode(..) => {
                return None;
            }
        }
        if let Some(again) = &mut self.again {
            again.until.get_or_insert(now + patience);
        }
        self.step = Step::Asked(home);
        Some(self.place.clone())
    }

    /// The server listens, at this port.
    fn up(&mut self, home: Home, found: u16) {
        self.step = Step::Listening(home);
        self.again = Some(Again::new());
        if let Endpoint::Tcp { port, .. } = &mut self.place {
            *port = found;
        }
    }

    /// The server will not listen; whether that is its last word.
    fn refused(&mut self, now: Instant) -> bool {
        let Some(again) = &mut self.again else { return true };
        let is_over = again.until.is_none_or(|until| until <= now);
        if self.place != self.wanted && (is_over || again.pause > LAST_PAUSE_FOR_CHOSEN) {
            // It had chosen the port, and may choose another.
            self.place = self.wanted.clone();
            self.step = Step::Refused(now);
            return false;
        }
        if is_over {
            return true;
        }
        self.step = Step::Refused(now + again.pause);
        again.pause = (again.pause * 2).min(LAST_PAUSE);
        false
    }
}

fn place_of(endpoint: Endpoint) -> ListenAddr {
    match endpoint {
        Endpoint::Tcp { host, port } => ListenAddr::Tcp { host: (*host).into(), port },
        Endpoint::Unix(path) => ListenAddr::Unix((*path).into()),
    }
}

/// What the task does that has a session.
impl Driver {
    /// Does what is to be done on this session. Of one that is lost everything was told already; one
    /// that a member was given a moment ago may not have been taken up.
    pub(crate) fn run_forward_request(&mut self, request: ForwardRequest) {
        let Some(session) = &mut self.session else {
            if self.role.member().is_some() && self.logon.is_some() {
                self.forward_requests.push(request);
            }
            return;
        };
        match request {
            ForwardRequest::Listen(number, place) => {
                let id = session.client.request_forward(place_of(place));
                self.asked.push((id, number));
            }
            ForwardRequest::Stop(number) => {
                if let Some((id, _)) = self.asked.iter().find(|(_, asked)| *asked == number) {
                    session.client.cancel_forward(*id);
                }
            }
            ForwardRequest::Refuse(channel, reason) => session.client.reject(channel, reason),
        }
    }

    /// The server has said something about a forward.
    pub(crate) fn forward_event(&mut self, id: ForwardId, event: ForwardEvent, now: Instant) {
        let Some(at) = self.asked.iter().position(|(asked, _)| *asked == id) else { return };
        let (_, number) = self.asked[at];
        match event {
            ForwardEvent::Failed(_) | ForwardEvent::Cancelled(_) => {
                self.asked.swap_remove(at);
            }
            ForwardEvent::Listening { .. } | ForwardEvent::InboundChannel { .. } => {}
        }
        match &self.role {
            Role::Worker(member) => member.tell(WorkerEvent::Forward(number, event)),
            Role::Single | Role::Supervisor(_) => self.heard_of_forward(None, number, event, now),
        }
    }
}

/// What the task does that has the forwards.
impl Driver {
    /// Has something done on a session.
    pub(crate) fn send_forward_request(&mut self, home: Home, request: ForwardRequest) {
        match (home, &mut self.role) {
            (Some(number), Role::Supervisor(pool)) => pool.send(number, request),
            _ => self.run_forward_request(request),
        }
    }

    /// Asks the server for what waits for a session, or for its time, if there is a session.
    pub(crate) fn ask_server(&mut self, now: Instant) {
        let home = match &self.role {
            Role::Supervisor(pool) => pool.least(now).map(Some),
            Role::Single | Role::Worker(_) => self.session.is_some().then_some(None),
        };
        let Some(home) = home else { return };
        let patience = self.config.target.ready_timeout;
        let ask = |(number, remote): (i64, &mut Remote)| {
            remote.ask(home, now, patience).map(|place| ForwardRequest::Listen(number, place))
        };
        let forward_requests: Vec<_> = self.forwards.remotes().filter_map(ask).collect();
        for request in forward_requests {
            self.send_forward_request(home, request);
        }
    }

    /// Asks once more for what was refused, when it is time.
    pub(crate) fn expire_refusals(&mut self, now: Instant) -> bool {
        let is_due = self.forwards.refused_until().is_some_and(|due| due <= now);
        // Without a session the next one is the time.
        if is_due && self.has_session() {
            self.ask_server(now);
            return true;
        }
        false
    }

    /// Has the server stop, or forgets what it was not asked for; `reply` is told when that is done.
    pub(crate) fn stop_remote(&mut self, number: i64, reply: Option<Reply<()>>) {
        let Some(remote) = self.forwards.remote(number) else { return };
        match &mut remote.step {
            Step::LingerMode(_, waiting) => waiting.extend(reply),
            Step::Asked(home) | Step::Listening(home) => {
                let home = *home;
                remote.step = Step::LingerMode(home, reply.into_iter().collect());
                self.forwards.is_stopped(number);
                self.send_forward_request(home, ForwardRequest::Stop(number));
            }
            Step::Waiting | Step::Refused(_) => {
                self.forwards.remove(number, &Error::Closed);
                finish(reply, &Ok(()));
            }
        }
    }

    /// The server has said something about a forward, on this session.
    pub(crate) fn heard_of_forward(
        &mut self,
        home: Home,
        number: i64,
        event: ForwardEvent,
        now: Instant,
    ) {
        let ends = matches!(event, ForwardEvent::Failed(_) | ForwardEvent::Cancelled(_));
        if let (Some(member), Role::Supervisor(pool), true) = (home, &mut self.role, ends) {
            pool.lost_forward(member);
        }
        let remote = self.forwards.remote(number).filter(|remote| remote.home() == Some(home));
        match (event, remote) {
            (
                ForwardEvent::InboundChannel { channel, originator, originator_port },
                Some(remote),
            ) if !remote.is_ending() => {
                let address = originator.parse::<std::net::IpAddr>().ok();
                let from = address.map(|address| (address, originator_port).into());
                self.offered(home, number, channel, from, now);
            }
            (ForwardEvent::InboundChannel { channel, .. }, _) => {
                let reason = OpenFailure::AdministrativelyProhibited;
                self.send_forward_request(home, ForwardRequest::Refuse(channel, reason));
            }
            // Asked to stop before it had said so: that comes next.
            (ForwardEvent::Listening { .. } | ForwardEvent::Failed(_), Some(remote))
                if remote.is_ending() => {}
            (ForwardEvent::Listening { port }, Some(remote)) => {
                remote.up(home, port);
                self.forwards.is_up(number);
            }
            (ForwardEvent::Failed(refusal), Some(remote)) => {
                let place = remote.place.to_string();
                let was_up = remote.was_up();
                if remote.refused(now) {
                    let error = self.forward_refused(place, refusal, false);
                    self.lose_forward(number, error, was_up);
                } else {
                    self.ask_server(now);
                }
            }
            (ForwardEvent::Cancelled(outcome), Some(remote)) => {
                let place = remote.place.to_string();
                let outcome = outcome.map_err(|why| self.forward_refused(place, why, true));
                self.end_remote(number, &outcome);
            }
            (_, None) => {}
        }
    }

    /// Why the server does not listen at a place, or with `stop` set does not stop it.
    fn forward_refused(&self, place: String, refusal: RequestError, stop: bool) -> Error {
        match (refusal, stop) {
            (RequestError::Denied, false) => Error::ForwardRefused(place),
            (RequestError::Denied, true) => Error::ForwardKept(place),
            (RequestError::Unimplemented, _) => Error::ForwardUnimplemented(place),
            (RequestError::TimedOut, _) => {
                let limit = self.config.target.ready_timeout.as_millis();
                Error::ForwardUnanswered { place, limit, stop }
            }
        }
    }

    /// The server does not want to listen any more. Who has waited for it is told; else its owner.
    fn lose_forward(&mut self, number: i64, error: Error, was_up: bool) {
        self.forwards.remove(number, &error);
        self.forsake(number, &Cause::Application("stop"));
        if was_up {
            let is_last = self.forwards.is_empty() && !self.operations.session_wanted;
            let event =
                if is_last { Event::Error(error) } else { Event::ForwardError(number, error) };
            self.emit(event);
        }
    }

    fn end_remote(&mut self, number: i64, outcome: &Result<(), Error>) {
        let Some(remote) = self.forwards.remote(number) else { return };
        let step = std::mem::replace(&mut remote.step, Step::Waiting);
        self.forwards.remove(number, &Error::Closed);
        if let Step::LingerMode(_, waiting) = step {
            finish(waiting, outcome);
        }
    }

    /// A session is lost, and its ports and inbound_channels with it. What is wanted waits for another one.
    pub(crate) fn lose_forwards(&mut self, home: Home, error: &session::Error) {
        if home.is_none() {
            self.asked.clear();
        }
        self.lose_offers(home, error);
        let goes_on = self.has_session();
        let lost: Vec<_> = self
            .forwards
            .remotes()
            .filter(|(_, remote)| remote.home() == Some(home))
            .map(|(number, _)| number)
            .collect();
        for number in lost {
            let Some(remote) = self.forwards.remote(number) else { continue };
            if remote.is_ending() {
                self.end_remote(number, &Ok(()));
            } else if remote.was_up() {
                remote.again = Some(Again::new());
                remote.step = Step::Waiting;
                self.forwards.is_down(number);
            } else if goes_on {
                remote.step = Step::Waiting;
            } else {
                self.forwards.remove(number, &error.clone().into());
            }
        }
    }
}

fn finish(waiting: impl IntoIterator<Item = Reply<()>>, outcome: &Result<(), Error>) {
    for reply in waiting {
        // Whoever asked may have lost interest.
        let _ = reply.send(outcome.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn tcp(port: u16) -> Endpoint {
        Endpoint::Tcp { host: "".into(), port }
    }

    /// Has the server refuse until it is asked for another port, and returns how long that took.
    fn refuse_until_another(remote: &mut Remote, start: Instant) -> Option<Duration> {
        let mut now = start;
        let first = remote.ask(None, now, PATIENCE);
        loop {
            if remote.refused(now) {
                return None;
            }
            now = remote.due().expect("it is asked again");
            if remote.ask(None, now, PATIENCE) != first {
                return Some(now - start);
            }
        }
    }

    #[test]
    fn a_port_that_the_server_chose_is_asked_for_again_before_it_chooses_another() {
        let now = Instant::now();
        let mut remote = Remote::new(tcp(0));
        remote.ask(None, now, PATIENCE);
        remote.up(None, 4711);
        remote.step = Step::Waiting;
        assert_eq!(refuse_until_another(&mut remote, now), Some(Duration::from_millis(700)));
        assert_eq!(remote.place, tcp(0));
    }

    #[test]
    fn a_port_that_was_asked_for_by_number_is_not_exchanged() {
        let now = Instant::now();
        let mut remote = Remote::new(tcp(80));
        remote.ask(None, now, PATIENCE);
        remote.up(None, 80);
        remote.step = Step::Waiting;
        assert_eq!(refuse_until_another(&mut remote, now), None);
    }
}
