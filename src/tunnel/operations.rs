//! What a tunnel is asked to do: begun in the order of the calls, answered when it is done.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::net::lookup_host;

use super::command::{Command, Reply};
use super::driver::Driver;
use super::ending::Cause;
use super::listener::Listener;
use super::{ConnectionInfo, Error, Event};
use crate::session::{self, Link};

/// Who waits for what.
#[derive(Default)]
pub(super) struct Operations {
    connecting: Vec<Reply<()>>,
    listening: Vec<Reply<()>>,
    disconnecting: HashMap<u64, Vec<Reply<()>>>,
    leaving: Leaving,
    /// What was asked after a shutdown began and needs what it takes down: done afterwards.
    deferred: Vec<Command>,
    /// Whether the session was asked for by itself, not only for the listener's sake.
    session_wanted: bool,
}

/// How far a shutdown has come.
#[derive(Default)]
enum Leaving {
    /// None was asked for.
    #[default]
    No,
    /// Connections may finish by themselves until the deadline.
    Draining { until: Option<Instant>, replies: Vec<Reply<()>> },
    /// Every connection is being closed.
    Closing { replies: Vec<Reply<()>> },
    /// The session is being ended; nothing else is left.
    LoggingOff { replies: Vec<Reply<()>> },
}

impl Operations {
    /// When connections that drain are to be closed.
    pub(super) fn drain_deadline(&self) -> Option<Instant> {
        match &self.leaving {
            Leaving::Draining { until, .. } => *until,
            Leaving::No | Leaving::Closing { .. } | Leaving::LoggingOff { .. } => None,
        }
    }

    /// Whoever waits for the end of this connection.
    pub(super) fn disconnected(&mut self, id: u64) {
        answer_all(&mut self.disconnecting.remove(&id).unwrap_or_default(), &Ok(()));
    }

    /// Whoever asked for `which` to be done after the shutdown has been overtaken.
    fn give_up_deferred(&mut self, which: impl Fn(&Command) -> bool) {
        let deferred = std::mem::take(&mut self.deferred);
        let (given_up, kept) = deferred.into_iter().partition(which);
        self.deferred = kept;
        for command in given_up {
            if let Command::Connect(reply) | Command::StartListening(reply) = command {
                answer(reply, &Err(Error::Closed));
            }
        }
    }

    fn is_leaving(&self) -> bool {
        !matches!(self.leaving, Leaving::No)
    }
}

fn answer(reply: Reply<()>, outcome: &Result<(), Error>) {
    // Whoever asked may have lost interest.
    let _ = reply.send(outcome.clone());
}

fn answer_all(replies: &mut Vec<Reply<()>>, outcome: &Result<(), Error>) {
    for reply in replies.drain(..) {
        answer(reply, outcome);
    }
}

impl Driver {
    pub(super) fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Connect(_) | Command::StartListening(_) if self.operations.is_leaving() => {
                self.operations.deferred.push(command);
            }
            Command::Connect(reply) => {
                self.operations.session_wanted = true;
                if self.link.is_some() {
                    answer(reply, &Ok(()));
                } else {
                    self.operations.connecting.push(reply);
                    self.log_on();
                }
            }
            Command::StartListening(reply) => {
                if self.listener.is_some() && self.link.is_some() {
                    answer(reply, &Ok(()));
                } else {
                    self.operations.listening.push(reply);
                    if self.link.is_some() { self.resolve() } else { self.log_on() }
                }
            }
            Command::StopListening(reply) => {
                let listens = |command: &Command| matches!(command, Command::StartListening(_));
                self.operations.give_up_deferred(listens);
                self.stop_listening();
                answer(reply, &Ok(()));
            }
            Command::Disconnect(id, reply) => self.disconnect(id, reply),
            Command::Shutdown(reply) => self.shutdown(reply),
            Command::Close(timeout, reply) => {
                let until = timeout.and_then(|timeout| now.checked_add(timeout));
                self.drain(until, reply);
            }
            Command::Connections(reply) => {
                let _ = reply.send(Ok(self.infos()));
            }
            Command::Answer(id, accept) => self.answered(id, accept, now),
        }
    }

    fn log_on(&mut self) {
        if self.logon.is_none() {
            let observer = self.observer.clone();
            let verify = Arc::new(move |key, answer| observer.verify_host_key(key, answer));
            let observer = self.observer.clone();
            let prompt = Arc::new(move |prompts, answer| observer.answer_prompts(prompts, answer));
            let logon = session::open(self.config.target.clone(), verify, prompt);
            self.logon = Some(Box::pin(logon));
        }
    }

    pub(super) fn logged_on(&mut self, outcome: Result<Link, session::Error>, now: Instant) {
        match outcome {
            Ok(link) => {
                self.link = Some(link);
                self.active = true;
                self.shared.ready.store(true, Ordering::Release);
                self.emit(Event::Ready);
                answer_all(&mut self.operations.connecting, &Ok(()));
                if !self.operations.listening.is_empty() {
                    self.resolve();
                }
                // What came with the server's last word on the logon is read already: no event of
                // the socket will announce it.
                self.handle_events(now);
            }
            Err(error) => {
                let outcome = Err(error.into());
                answer_all(&mut self.operations.connecting, &outcome);
                answer_all(&mut self.operations.listening, &outcome);
                self.operations.session_wanted = false;
            }
        }
    }

    fn resolve(&mut self) {
        if self.binding.is_none() {
            let config = self.config.clone();
            self.binding = Some(Box::pin(async move {
                let place = (config.local_host.as_str(), config.local_port);
                lookup_host(place).await.map(Iterator::collect)
            }));
        }
    }

    pub(super) fn bind(&mut self, addresses: io::Result<Vec<SocketAddr>>) {
        let place = format!("{}:{}", self.config.local_host, self.config.local_port);
        let bound = match addresses {
            Ok(addresses) => {
                Listener::bind(&addresses).map_err(|error| Error::listen("listen", place, &error))
            }
            Err(error) => Err(Error::lookup(place, &error)),
        };
        match bound {
            Ok(listener) => {
                let address = listener.address();
                self.listener = Some(listener);
                self.shared.set_port(Some(address.port()));
                self.emit(Event::Listening(address));
                answer_all(&mut self.operations.listening, &Ok(()));
            }
            Err(error) => {
                answer_all(&mut self.operations.listening, &Err(error));
            }
        }
    }

    fn stop_listening(&mut self) {
        self.binding = None;
        self.listener = None;
        self.shared.set_port(None);
        answer_all(&mut self.operations.listening, &Err(Error::Closed));
        // Whoever was about to connect gets no answer from here any more.
        if self.logon.is_some() && self.operations.connecting.is_empty() {
            self.logon = None;
        }
    }

    fn disconnect(&mut self, id: u64, reply: Reply<()>) {
        let waiting = self.operations.disconnecting.entry(id).or_default();
        let known = !waiting.is_empty();
        waiting.push(reply);
        if !known && !self.close_connection(id, Cause::Owner("disconnect")) {
            let mut replies = self.operations.disconnecting.remove(&id).unwrap_or_default();
            answer_all(&mut replies, &Err(Error::NoConnection(id)));
        }
    }

    fn drain(&mut self, until: Option<Instant>, reply: Reply<()>) {
        self.operations.give_up_deferred(|_| true);
        match &mut self.operations.leaving {
            Leaving::No => {
                self.stop();
                self.operations.leaving = Leaving::Draining { until, replies: vec![reply] };
            }
            Leaving::Draining { until: earlier, replies } => {
                // The more impatient of two callers gets his way.
                *earlier = [*earlier, until].into_iter().flatten().min();
                replies.push(reply);
            }
            Leaving::Closing { replies } | Leaving::LoggingOff { replies } => replies.push(reply),
        }
    }

    fn shutdown(&mut self, reply: Reply<()>) {
        self.operations.give_up_deferred(|_| true);
        match &mut self.operations.leaving {
            Leaving::No => {
                self.stop();
                self.operations.leaving = Leaving::Closing { replies: vec![reply] };
                self.close_everything();
            }
            Leaving::Draining { replies, .. } => {
                let mut replies = std::mem::take(replies);
                replies.push(reply);
                self.operations.leaving = Leaving::Closing { replies };
                self.close_everything();
            }
            Leaving::Closing { replies } | Leaving::LoggingOff { replies } => replies.push(reply),
        }
    }

    /// Stops what would bring new connections; what was under way fails.
    fn stop(&mut self) {
        self.logon = None;
        answer_all(&mut self.operations.connecting, &Err(Error::Closed));
        self.stop_listening();
        self.operations.session_wanted = false;
    }

    fn close_everything(&mut self) {
        for id in self.ids() {
            self.close_connection(id, Cause::Owner("shutdown"));
        }
    }

    /// Closes what did not finish in time.
    pub(super) fn expire_drain(&mut self, now: Instant) -> bool {
        match &mut self.operations.leaving {
            Leaving::Draining { until: Some(until), replies } if *until <= now => {
                let replies = std::mem::take(replies);
                self.operations.leaving = Leaving::Closing { replies };
                for id in self.ids() {
                    self.close_connection(id, Cause::Owner("close"));
                }
                true
            }
            Leaving::No
            | Leaving::Draining { .. }
            | Leaving::Closing { .. }
            | Leaving::LoggingOff { .. } => false,
        }
    }

    /// Looks whether something is complete: a shutdown, or the end of all there was.
    pub(super) fn settle(&mut self) {
        // A session that was made for the listener has no purpose without it and its connections.
        if self.link.is_some()
            && !self.operations.session_wanted
            && !self.operations.is_leaving()
            && self.binding.is_none()
            && self.listener.is_none()
            && self.is_empty()
        {
            self.operations.leaving = Leaving::Closing { replies: Vec::new() };
        }
        if self.operations.is_leaving() && self.is_empty() {
            let leaving = std::mem::replace(&mut self.operations.leaving, Leaving::No);
            match leaving {
                Leaving::No => {}
                Leaving::Draining { replies, .. } | Leaving::Closing { replies } => {
                    self.log_off();
                    self.operations.leaving = Leaving::LoggingOff { replies };
                }
                Leaving::LoggingOff { replies } => {
                    self.operations.leaving = Leaving::LoggingOff { replies };
                }
            }
        }
        let nothing = self.is_empty()
            && self.link.is_none()
            && self.logon.is_none()
            && self.farewell.is_none()
            && self.binding.is_none()
            && self.listener.is_none();
        if !nothing {
            return;
        }
        if std::mem::take(&mut self.active) {
            self.emit(Event::Close);
        }
        if let Leaving::LoggingOff { mut replies } =
            std::mem::replace(&mut self.operations.leaving, Leaving::No)
        {
            answer_all(&mut replies, &Ok(()));
        }
        for command in std::mem::take(&mut self.operations.deferred) {
            self.command(command, Instant::now());
        }
    }

    /// Whether no connection is left in any state.
    fn is_empty(&self) -> bool {
        self.table.is_empty() && self.requests.is_empty() && self.closings.is_empty()
    }

    fn log_off(&mut self) {
        let Some(link) = self.link.take() else { return };
        self.shared.ready.store(false, Ordering::Release);
        self.farewell = Some(Box::pin(link.log_off()));
    }

    /// The session is gone: ends every connection accordingly and tells the owner.
    pub(super) fn lost(&mut self, error: session::Error) {
        self.link = None;
        self.shared.ready.store(false, Ordering::Release);
        answer_all(&mut self.operations.listening, &Err(error.clone().into()));
        self.stop_listening();
        self.operations.session_wanted = false;
        self.end_all(&error);
        self.emit(Event::Error(error.into()));
    }

    /// The session's socket failed.
    pub(super) fn broken(&mut self, error: &io::Error) {
        if let Some(link) = &self.link {
            self.lost(link.loss(error));
        }
    }

    fn infos(&self) -> Vec<ConnectionInfo> {
        let waiting = self.requests.values();
        let mut infos: Vec<_> = waiting
            .map(|arrival| arrival.info(&self.config, &self.forward_host))
            .chain(
                self.table
                    .iter()
                    .map(|(_, connection)| connection.info(&self.config, &self.forward_host)),
            )
            .chain(self.parting.values().cloned())
            .collect();
        infos.sort_by_key(|info| info.id);
        infos
    }

    fn ids(&self) -> Vec<u64> {
        let waiting = self.requests.keys().copied();
        waiting.chain(self.table.iter().map(|(_, connection)| connection.arrival.id)).collect()
    }
}
