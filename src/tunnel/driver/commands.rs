//! What a tunnel is asked to do: begun in the order of the calls, answered when it is done.

use std::collections::HashMap;
use std::time::Instant;

use crate::net::linger::Linger;
use crate::runtime::cutoff::{Cutoff, Limit};
use crate::tunnel::command::{Command, Reply};
use crate::tunnel::connection::cause::{Cause, Force};
use crate::tunnel::connection::socks_handshake::SocksClient;
use crate::tunnel::driver::Driver;
#[cfg(unix)]
use crate::tunnel::driver::accept::Dial;
use crate::tunnel::driver::shutdown::Shutdown;
use crate::tunnel::forward::table::{ForwardInfo, ForwardSpec};
use crate::tunnel::pool::supervisor::Role;
use crate::tunnel::pool::worker::WorkerEvent;
use crate::tunnel::{ConnectionInfo, ConnectionState, Error, Settings};

/// Who waits for what.
#[derive(Default)]
pub(crate) struct Operations {
    pub(crate) connecting: Vec<Reply<()>>,
    /// What was asked for after a shutdown began: it begins when that is over.
    pub(crate) deferred: Deferred,
    disconnecting: HashMap<u64, Vec<Reply<()>>>,
    pub(crate) leaving: Shutdown,
    /// When a shutdown waits for nobody any more, and ends by force what is left.
    pub(crate) bound: Option<Limit>,
    /// What has made that happen.
    pub(crate) forced: Option<Force>,
    /// For whatever carries sessions, of this tunnel and of its members.
    pub(crate) carriers: Cutoff,
    /// Whether the session was asked for by itself, not only for the sake of forwards.
    pub(crate) session_wanted: bool,
}

/// What is to begin when a shutdown is over.
#[derive(Default)]
pub(crate) struct Deferred {
    pub(crate) connecting: Vec<Reply<()>>,
    pub(crate) forwards: Vec<(i64, ForwardSpec, Reply<ForwardInfo>)>,
    #[cfg(unix)]
    pub(crate) dials: Vec<Dial>,
}

impl Deferred {
    fn stop(&mut self, id: i64) {
        for (_, _, reply) in self.forwards.extract_if(.., |(forward, ..)| *forward == id) {
            let _ = reply.send(Err(Error::Closed));
        }
    }

    /// The one with this number, which is not to begin.
    #[cfg(unix)]
    pub(crate) fn take_dial(&mut self, id: u64) -> Option<Dial> {
        let at = self.dials.iter().position(|dial| dial.id == id)?;
        Some(self.dials.remove(at))
    }

    /// The settings of the connection that is to be dialed with this number.
    #[cfg(unix)]
    pub(crate) fn settings_of(&mut self, id: u64) -> Option<&mut Settings> {
        self.dials.iter_mut().find(|dial| dial.id == id).map(|dial| &mut dial.settings)
    }

    #[cfg(not(unix))]
    pub(crate) fn settings_of(&mut self, _: u64) -> Option<&mut Settings> {
        None
    }
}

impl Operations {
    /// Whoever waits for the end of this connection.
    pub(crate) fn disconnected(&mut self, id: u64) {
        answer_all(&mut self.disconnecting.remove(&id).unwrap_or_default(), &Ok(()));
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        !matches!(self.leaving, Shutdown::No)
    }
}

fn answer(reply: Reply<()>, outcome: &Result<(), Error>) {
    // Whoever asked may have lost interest.
    let _ = reply.send(outcome.clone());
}

pub(crate) fn answer_all(replies: &mut Vec<Reply<()>>, outcome: &Result<(), Error>) {
    for reply in replies.drain(..) {
        answer(reply, outcome);
    }
}

impl Driver {
    pub(crate) fn command(&mut self, command: Command, now: Instant) {
        let Some(command) = self.route(command) else { return };
        let deferred = self.operations.is_shutting_down().then_some(&mut self.operations.deferred);
        match (command, deferred) {
            (Command::Connect(reply), Some(deferred)) => deferred.connecting.push(reply),
            (Command::Connect(reply), None) => self.connect(reply),
            (Command::StartForward(id, spec, reply), Some(deferred)) => {
                deferred.forwards.push((id, spec, reply));
            }
            (Command::StartForward(id, spec, reply), None) => self.start_forward(id, spec, reply),
            (Command::StopForward(id, method, reply), _) => {
                self.operations.deferred.stop(id);
                self.stop_forward(id, method, reply);
            }
            (Command::ForwardRequest(request), _) => self.run_forward_request(request),
            (Command::Accept(pending, channel), _) => self.accept_offer(pending, channel, now),
            #[cfg(unix)]
            (Command::Dial(dial), Some(deferred)) => deferred.dials.push(dial),
            #[cfg(unix)]
            (Command::Dial(dial), None) => self.dial(dial, now),
            (Command::Disconnect(id, reply), _) => self.disconnect(id, reply),
            (Command::Reset(id, reply), _) => self.reset_connection(id, reply),
            (Command::Shutdown { force, reply }, _) => self.shutdown(force, reply),
            (Command::Close(timeout, reply), _) => {
                let limit = timeout.and_then(|timeout| Limit::new(now, timeout));
                self.drain(limit, reply);
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
            (Command::Stats(forward, reply), _) => self.tell_stats(forward, reply),
            (Command::Counted(present, forward, reply), _) => {
                self.counted(&present, forward, reply);
            }
            (Command::Present(reply), _) => {
                let _ = reply.send(Ok(self.present()));
            }
            (Command::Carry(pending), _) => self.carry(pending, now),
            (Command::Leave(method), _) => self.leave(method),
            (Command::Force(force), _) => {
                self.leave(force.method());
                self.force(force);
            }
        }
    }

    /// Sends what is about a connection to where that is; back if it is for this task.
    fn route(&mut self, command: Command) -> Option<Command> {
        match (&self.role, command.connection()) {
            (Role::Supervisor(pool), Some(_)) => pool.forward(command),
            (Role::Worker(member), Some(id)) if !self.has(id) => {
                member.tell(WorkerEvent::Unknown(Box::new(command)));
                None
            }
            (Role::Single | Role::Supervisor(_) | Role::Worker(_), _) => Some(command),
        }
    }

    pub(crate) fn connect(&mut self, reply: Reply<()>) {
        if self.has_session() {
            self.operations.session_wanted = true;
            answer(reply, &Ok(()));
        } else {
            self.operations.connecting.push(reply);
            self.connect_session();
        }
    }

    fn disconnect(&mut self, id: u64, reply: Reply<()>) {
        let waiting = self.operations.disconnecting.entry(id).or_default();
        let known = !waiting.is_empty();
        waiting.push(reply);
        if !known && !self.close_connection(id, Cause::Application("disconnect")) {
            let mut replies = self.operations.disconnecting.remove(&id).unwrap_or_default();
            answer_all(&mut replies, &Err(Error::NoConnection(id)));
        }
    }

    fn reset_connection(&mut self, id: u64, reply: Reply<()>) {
        self.operations.disconnecting.entry(id).or_default().push(reply);
        match self.set_linger(id, Linger::HARD) {
            // That has ended one that was being closed already.
            Ok(()) => {
                self.close_connection(id, Cause::Application("reset"));
            }
            Err(error) => {
                let mut replies = self.operations.disconnecting.remove(&id).unwrap_or_default();
                answer_all(&mut replies, &Err(error));
            }
        }
    }

    pub(crate) fn infos(&self) -> Vec<ConnectionInfo> {
        let requested = self.requests.values().map(|pending| pending.meta.info());
        let held = self.held.values().map(|pending| ConnectionInfo {
            state: ConnectionState::Opening,
            ..pending.meta.info()
        });
        let open = self.table.iter().map(|(_, connection)| connection.info());
        let closing = self.closing.values().map(|closing| closing.info.clone());
        let socks_clients = self.socks_clients.values().map(SocksClient::info);
        let waiting =
            socks_clients.chain(requested).chain(held).chain(self.inbound_channels.infos());
        let mut infos: Vec<_> = waiting.chain(open).chain(closing).collect();
        infos.sort_by_key(|info| info.id);
        infos
    }
}
