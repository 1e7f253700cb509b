//! The operations of a tunnel: begun in the order of the calls, replied to when they are done.

use std::collections::HashMap;
use std::time::Instant;

use crate::net::linger::Linger;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::driver::Driver;
use crate::tunnel::pending::{Reply, reply_all};
use crate::tunnel::pool::message::{ConnectionCommand, FromWorker};
use crate::tunnel::pool::supervisor::Role;
use crate::tunnel::{Answer, Error, ForwardInfo, ForwardOptions};

/// A call on the driver, which the handle makes from another thread.
pub(crate) type Command = Box<dyn FnOnce(&mut Driver, Instant) + Send>;

/// The operations that wait for something.
#[derive(Default)]
pub(crate) struct Operations {
    /// The callers of `connect()`.
    pub(crate) connecting: Vec<Reply<()>>,
    /// Whether the application wants a session for itself, not only for forwards.
    pub(crate) session_wanted: bool,
    /// The callers that wait for the end of a connection, by its id.
    closing: HashMap<u64, Vec<Reply<()>>>,
    /// The calls that were made during a shutdown; they begin after it.
    deferred: Deferred,
}

/// Calls that begin after a shutdown.
#[derive(Default)]
pub(crate) struct Deferred {
    pub(crate) connecting: Vec<Reply<()>>,
    pub(crate) forwards: Vec<(i64, ForwardOptions, Reply<ForwardInfo>)>,
}

impl Operations {
    /// Replies to the callers of `connect()`.
    pub(crate) fn connected(&mut self, outcome: &Result<(), Error>) {
        self.session_wanted |= outcome.is_ok() && !self.connecting.is_empty();
        reply_all(self.connecting.drain(..), outcome);
    }

    /// Replies to the callers that wait for the end of this connection.
    pub(crate) fn closed(&mut self, id: u64, outcome: &Result<(), Error>) {
        reply_all(self.closing.remove(&id).unwrap_or_default(), outcome);
    }

    /// Starts a forward after the shutdown.
    pub(crate) fn defer_forward(
        &mut self,
        id: i64,
        options: ForwardOptions,
        reply: Reply<ForwardInfo>,
    ) {
        self.deferred.forwards.push((id, options, reply));
    }

    /// Does not start a forward after the shutdown.
    pub(crate) fn cancel_forward(&mut self, id: i64) {
        let forwards = &mut self.deferred.forwards;
        let cancelled = forwards.extract_if(.., |(forward, ..)| *forward == id);
        reply_all(cancelled.map(|(_, _, reply)| reply), &Err(Error::Closed));
    }

    /// Takes the calls that begin after the shutdown.
    pub(crate) fn take_deferred(&mut self) -> Deferred {
        std::mem::take(&mut self.deferred)
    }
}

impl Driver {
    /// Makes the answer to the request of a connection.
    pub(crate) fn answer_for(&self, id: u64) -> Answer {
        // Weak: an answer that is never given does not keep a tunnel alive.
        let sender = self.sender.clone();
        Answer::new(move |accept| {
            if let Some(sender) = sender.upgrade() {
                let _ = sender.send(Box::new(move |driver: &mut Self, now| {
                    driver.answered(id, accept, now);
                }));
            }
        })
    }

    /// Connects, or waits with other callers for the session.
    pub(crate) fn connect(&mut self, reply: Reply<()>) {
        if self.shutdown.is_under_way() {
            return self.operations.deferred.connecting.push(reply);
        }
        self.operations.connecting.push(reply);
        if self.has_session() {
            self.operations.connected(&Ok(()));
        } else {
            self.connect_session();
        }
    }

    /// Runs a command on a connection, in the task that has it.
    pub(crate) fn connection(&mut self, id: u64, command: ConnectionCommand) {
        let command = match &self.role {
            Role::Supervisor(pool) => pool.send_command(id, command),
            Role::Worker(worker) if self.registry.get(id).is_none() => {
                return worker.send(FromWorker::NoConnection(id, command));
            }
            Role::Single | Role::Worker(_) => Some(command),
        };
        match command {
            Some(ConnectionCommand::Close(reply)) => self.disconnect(id, reply),
            Some(ConnectionCommand::Reset(reply)) => self.reset_connection(id, reply),
            Some(ConnectionCommand::GetLinger(reply)) => {
                let _ = reply.send(self.linger_of(id));
            }
            Some(ConnectionCommand::SetLinger(linger, reply)) => {
                let _ = reply.send(self.set_linger(id, linger));
            }
            None => {}
        }
    }

    fn disconnect(&mut self, id: u64, reply: Reply<()>) {
        let waiting = self.operations.closing.entry(id).or_default();
        let is_closing = !waiting.is_empty();
        waiting.push(reply);
        if !is_closing && !self.close_connection(id, Cause::Application("disconnect")) {
            self.operations.closed(id, &Err(Error::NoConnection(id)));
        }
    }

    fn reset_connection(&mut self, id: u64, reply: Reply<()>) {
        self.operations.closing.entry(id).or_default().push(reply);
        match self.set_linger(id, Linger::HARD) {
            // Resets a closing connection by itself.
            Ok(()) => {
                self.close_connection(id, Cause::Application("reset"));
            }
            Err(error) => self.operations.closed(id, &Err(error)),
        }
    }
}
