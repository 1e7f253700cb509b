//! The operations of a tunnel: begun in the order of the calls, replied to when they are done.

use std::time::Instant;

use crate::net::rate::MaxRate;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::driver::Driver;
use crate::tunnel::pending::{Reply, reply_all};
use crate::tunnel::pool::message::{ConnectionCommand, ToWorker};
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

    /// Forgets the calls that nobody waits for any more.
    fn withdraw(&mut self) {
        for connecting in [&mut self.connecting, &mut self.deferred.connecting] {
            connecting.retain(|reply| !reply.is_closed());
        }
        self.deferred.forwards.retain(|(_, _, reply)| !reply.is_closed());
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

    /// Undoes what calls had begun that nobody waits for any more.
    pub(crate) fn withdraw(&mut self, _: Instant) {
        self.operations.withdraw();
        for id in self.forwards.withdraw() {
            if let Some((session, request)) = self.forwards.stop(id, None) {
                self.send_forward_request(session, request);
            }
            self.forward_stopped(id, &Cause::Application("stop"));
        }
        self.stop_connecting_for_nothing();
    }

    /// Continues the connections that wait because of a limit of the rate that has changed.
    pub(crate) fn rates_changed(&mut self, now: Instant) {
        self.worker.rates_changed(now);
        if let Some(pool) = &self.pool {
            pool.tell(|| ToWorker::RatesChanged);
        }
    }

    /// Changes the limits of the rate of a forward's connections together.
    pub(crate) fn set_forward_rate(
        &mut self,
        id: i64,
        max: MaxRate,
        now: Instant,
        reply: Reply<()>,
    ) {
        let Some(rate) = self.forwards.rate(id) else {
            return drop(reply.send(Err(Error::UnknownForward(id))));
        };
        rate.set(max, now);
        self.rates_changed(now);
        let _ = reply.send(Ok(()));
    }

    /// Returns the limits of the rate of a forward's connections together.
    pub(crate) fn forward_rate(&self, id: i64, reply: Reply<MaxRate>) {
        let rate = self.forwards.rate(id).map(|rate| rate.get());
        let _ = reply.send(rate.ok_or(Error::UnknownForward(id)));
    }

    /// Runs a command on a connection, in the task that has it.
    pub(crate) fn connection(&mut self, id: u64, command: ConnectionCommand, now: Instant) {
        let command = match &self.pool {
            Some(pool) => pool.send_command(id, command),
            None => Some(command),
        };
        let Some(command) = command else { return };
        if self.worker.registry().get(id).is_some() {
            self.worker.connection(id, command, now);
        } else {
            command.fail(id);
        }
    }
}
