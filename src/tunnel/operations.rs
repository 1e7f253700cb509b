//! What a tunnel is asked to do: begun in the order of the calls, answered when it is done.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::net::lookup_host;

use super::command::{Command, Reply};
use super::driver::Driver;
use super::ending::Cause;
use super::leaving::Leaving;
use super::listener::Listener;
use super::member::Word;
use super::pool::Role;
use super::{ConnectionInfo, ConnectionState, Error, Event};

/// Who waits for what.
#[derive(Default)]
pub(super) struct Operations {
    pub(super) starts: Starts,
    /// Starts that were asked for after a shutdown began: they begin when it is over.
    pub(super) deferred: Starts,
    disconnecting: HashMap<u64, Vec<Reply<()>>>,
    pub(super) leaving: Leaving,
    /// Whether the session was asked for by itself, not only for the listener's sake.
    pub(super) session_wanted: bool,
}

/// Who waits for the tunnel to come up.
#[derive(Default)]
pub(super) struct Starts {
    pub(super) connecting: Vec<Reply<()>>,
    pub(super) listening: Vec<Reply<()>>,
}

impl Starts {
    pub(super) fn fail(&mut self, error: &Error) {
        for replies in [&mut self.connecting, &mut self.listening] {
            answer_all(replies, &Err(error.clone()));
        }
    }
}

impl Operations {
    /// Whoever waits for the end of this connection.
    pub(super) fn disconnected(&mut self, id: u64) {
        answer_all(&mut self.disconnecting.remove(&id).unwrap_or_default(), &Ok(()));
    }

    pub(super) fn is_leaving(&self) -> bool {
        !matches!(self.leaving, Leaving::No)
    }
}

fn answer(reply: Reply<()>, outcome: &Result<(), Error>) {
    // Whoever asked may have lost interest.
    let _ = reply.send(outcome.clone());
}

pub(super) fn answer_all(replies: &mut Vec<Reply<()>>, outcome: &Result<(), Error>) {
    for reply in replies.drain(..) {
        answer(reply, outcome);
    }
}

impl Driver {
    pub(super) fn command(&mut self, command: Command, now: Instant) {
        let Some(command) = self.route(command) else { return };
        let deferred = self.operations.is_leaving().then_some(&mut self.operations.deferred);
        match (command, deferred) {
            (Command::Connect(reply), Some(deferred)) => deferred.connecting.push(reply),
            (Command::StartListening(reply), Some(deferred)) => deferred.listening.push(reply),
            (Command::Connect(reply), None) => self.connect(reply),
            (Command::StartListening(reply), None) => self.start_listening(reply),
            (Command::StopListening(reply), _) => {
                answer_all(&mut self.operations.deferred.listening, &Err(Error::Closed));
                self.stop_listening("stopListening");
                answer(reply, &Ok(()));
            }
            (Command::Disconnect(id, reply), _) => self.disconnect(id, reply),
            (Command::Shutdown(reply), _) => self.shutdown(reply),
            (Command::Close(timeout, reply), _) => {
                let until = timeout.and_then(|timeout| now.checked_add(timeout));
                self.drain(until, reply);
            }
            (Command::Connections(reply), _) => {
                self.list(reply);
            }
            (Command::Linger(id, reply), _) => {
                let _ = reply.send(self.linger_of(id));
            }
            (Command::SetLinger(id, linger, reply), _) => {
                answer(reply, &self.set_linger(id, linger));
            }
            (Command::Answer(id, accept), _) => self.answered(id, accept, now),
            (Command::Heard(number, word), _) => self.heard(number, word, now),
            (Command::Listed(infos, reply), _) => self.listed(infos, reply),
            (Command::Carry(arrival), _) => self.carry(arrival, now),
            (Command::Leave(method), _) => self.leave(method),
        }
    }

    /// Sends what is about a connection to where that is; back if it is for this task.
    fn route(&mut self, command: Command) -> Option<Command> {
        match (&self.role, command.connection()) {
            (Role::Pool(pool), Some(_)) => pool.forward(command),
            (Role::Member(member), Some(id)) if !self.has(id) => {
                member.tell(Word::Unknown(Box::new(command)));
                None
            }
            (Role::Single | Role::Pool(_) | Role::Member(_), _) => Some(command),
        }
    }

    pub(super) fn connect(&mut self, reply: Reply<()>) {
        if self.has_session() {
            self.operations.session_wanted = true;
            answer(reply, &Ok(()));
        } else {
            self.operations.starts.connecting.push(reply);
            self.log_on();
        }
    }

    pub(super) fn start_listening(&mut self, reply: Reply<()>) {
        if self.listener.is_some() && self.has_session() {
            answer(reply, &Ok(()));
        } else {
            self.operations.starts.listening.push(reply);
            if self.has_session() { self.resolve() } else { self.log_on() }
        }
    }

    /// Looks up where to listen.
    pub(super) fn resolve(&mut self) {
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
            Ok(addresses) => Listener::bind(&addresses, self.config.reuse_port)
                .map_err(|error| Error::listen("listen", place, &error)),
            Err(error) => Err(Error::lookup(place, &error)),
        };
        let outcome = bound.map(|listener| {
            let address = listener.address();
            self.listener = Some(listener);
            self.shared.set_port(Some(address.port()));
            self.emit(Event::Listening(address));
        });
        answer_all(&mut self.operations.starts.listening, &outcome);
    }

    /// Gives up the port, for the sake of the `method` that was called.
    pub(super) fn stop_listening(&mut self, method: &'static str) {
        self.binding = None;
        answer_all(&mut self.operations.starts.listening, &Err(Error::Closed));
        self.close_port();
        self.forsake(&Cause::Owner(method));
    }

    pub(super) fn close_port(&mut self) {
        self.listener = None;
        self.shared.set_port(None);
    }

    /// Without a port: turns away who came through it and waits for a session, as the system does
    /// with those that were not accepted, and sets up none that nobody else wants.
    pub(super) fn forsake(&mut self, cause: &Cause) {
        if self.recovery.is_under_way() {
            self.turn_away_all(cause);
        }
        if !self.operations.session_wanted {
            self.recovery.cancel();
            if self.operations.starts.connecting.is_empty() {
                self.logon = None;
            }
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

    pub(super) fn infos(&self) -> Vec<ConnectionInfo> {
        let (config, host) = (&self.config, &self.forward_host);
        let requested = self.requests.values().map(|arrival| arrival.info(config, host));
        let held = self.held.values().map(|arrival| ConnectionInfo {
            state: ConnectionState::Opening,
            ..arrival.info(config, host)
        });
        let open = self.table.iter().map(|(_, connection)| connection.info(config, host));
        let parting = self.parting.values().map(|parting| parting.info.clone());
        let mut infos: Vec<_> = requested.chain(held).chain(open).chain(parting).collect();
        infos.sort_by_key(|info| info.id);
        infos
    }
}
