//! How connections come in: accepted, asked about, and opened through the session.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use super::connection::{Arrival, Connection, Stage};
use super::driver::Driver;
use super::ending::{Cause, Report};
use super::{Answer, ConnectionRequest, Error, Event};
use crate::backlog::Backlog;
use crate::{closing, session};

/// Connections accepted in one turn.
const ACCEPTED: usize = 64;

/// What a connection waits for that is not open yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Its owner's word.
    Answer,
    /// The server's word on this channel.
    Channel(usize),
}

impl Driver {
    /// Takes new connections from the local port.
    pub(super) fn accept(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for accepted in 0..ACCEPTED {
            let Some(listener) = &mut self.listener else { return accepted > 0 };
            match listener.poll_accept(cx, now) {
                Poll::Pending => return accepted > 0,
                Poll::Ready(Ok((stream, remote, local))) => {
                    self.last_id += 1;
                    let settings = *self.shared.settings();
                    let id = self.last_id;
                    self.arrived(Arrival { id, stream, remote, local, settings }, now);
                }
                Poll::Ready(Err(error)) => {
                    self.listener_failed(&error);
                    return true;
                }
            }
        }
        true
    }

    fn arrived(&mut self, arrival: Arrival, now: Instant) {
        let settings = arrival.settings;
        // Fails only on a socket that is dead already, which the first read will tell.
        if settings.keep_alive {
            let _ = socket2::SockRef::from(&arrival.stream).set_keepalive(true);
        }
        if !self.observer.decides_connections() {
            self.open(arrival, now);
            return;
        }
        let answer = Answer::new(arrival.id, self.sender.clone());
        let info = arrival.info(&self.config, &self.forward_host);
        let due = now + self.config.target.ready_timeout;
        self.unanswered.push_back((due, arrival.id, Awaited::Answer));
        self.requests.insert(arrival.id, arrival);
        self.emit(Event::ConnectionRequest(ConnectionRequest { info, answer }));
    }

    /// The owner's word on a request; one that is gone needs none.
    pub(super) fn answered(&mut self, id: u64, accept: bool, now: Instant) {
        let Some(arrival) = self.requests.remove(&id) else { return };
        if accept {
            self.open(arrival, now);
        } else {
            self.turn_away(arrival, Cause::Rejected);
        }
    }

    /// Asks the server for the far side.
    fn open(&mut self, arrival: Arrival, now: Instant) {
        let Some(link) = &mut self.link else {
            self.turn_away(arrival, Cause::SessionLost(session::Error::no_session()));
            return;
        };
        let channel = link.client.open_direct_tcpip(
            &self.config.forward_host,
            self.config.forward_port,
            &arrival.remote.ip().to_string(),
            arrival.remote.port(),
        );
        let awaited = Awaited::Channel(channel.index());
        self.unanswered.push_back((now + self.config.target.ready_timeout, arrival.id, awaited));
        self.table.insert(Connection::new(arrival, channel, now), &self.ready);
    }

    /// The listener broke for good.
    pub(super) fn listener_failed(&mut self, error: &io::Error) {
        let address = self.listener.take().map(|listener| listener.address().to_string());
        self.shared.set_port(None);
        self.emit(Event::Error(Error::listen("accept", address.unwrap_or_default(), error)));
    }

    /// Gives up on requests and openings that nobody answered in time.
    pub(super) fn expire_unanswered(&mut self, now: Instant) -> bool {
        let mut busy = false;
        while let Some((due, id, awaited)) = self.unanswered.front().copied() {
            if self.is_unanswered(id, awaited) {
                if due > now {
                    break;
                }
                self.give_up_unanswered(id, awaited);
                busy = true;
            }
            self.unanswered.pop_front();
        }
        busy
    }

    fn is_unanswered(&mut self, id: u64, awaited: Awaited) -> bool {
        match awaited {
            Awaited::Answer => self.requests.contains_key(&id),
            Awaited::Channel(index) => self.table.get(index).is_some_and(|connection| {
                connection.arrival.id == id && matches!(connection.stage, Stage::Opening)
            }),
        }
    }

    fn give_up_unanswered(&mut self, id: u64, awaited: Awaited) {
        match awaited {
            Awaited::Answer => {
                if let Some(arrival) = self.requests.remove(&id) {
                    self.turn_away(arrival, Cause::Unanswered("the connection request"));
                }
            }
            Awaited::Channel(index) => {
                self.refused(index, Cause::Unanswered("the opening of the channel"));
            }
        }
    }

    /// Rejects a connection that has no channel.
    pub(super) fn turn_away(&mut self, arrival: Arrival, cause: Cause) {
        let report = Report::of_arrival(&arrival, cause);
        let outcome = closing::reset(arrival.stream, &Backlog::default(), false);
        self.ended(report.end(outcome));
    }
}
