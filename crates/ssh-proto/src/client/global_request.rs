//! Sending of global requests, and the effects of their replies.

use std::time::Instant;

use super::{Client, Event};
use crate::connection::global_request::{Finished, Kind, RequestError};
use crate::connection::host_key_update::HostKeyUpdate;
use crate::connection::remote_forward::{ForwardEvent, cancel_message};
use crate::wire::Reader;

impl Client {
    /// Asks for [`Event::HostKeys`]: the keys that the server has beside those `known`. To be called
    /// before [`Client::trust`], if the key is trusted for its own sake: a certificate may tell only
    /// of itself.
    pub fn request_host_keys(&mut self, known: Vec<Vec<u8>>) {
        self.host_keys = HostKeyUpdate::Awaited(known);
    }

    /// Sends a keepalive before all requests that wait; returns the number of the request.
    pub(super) fn send_keepalive(&mut self, now: Instant) -> u64 {
        let number = self.requests.push_keepalive(now);
        self.send_requests(Some(now));
        number
    }

    /// Sends the requests whose turn has come. They wait during a key exchange.
    pub(super) fn send_requests(&mut self, now: Option<Instant>) {
        while self.is_connected() && self.keys.are_settled() {
            let packet = self.outbound.next_number();
            let Some(payload) = self.requests.next(now, packet) else { return };
            self.send(&payload);
        }
    }

    /// Handles REQUEST_SUCCESS, with the rest of it, or REQUEST_FAILURE.
    pub(super) fn request_replied(&mut self, success: Option<Reader<'_>>) -> Option<Event> {
        let now = self.keepalive.last_received();
        if let Some(reply) = success
            && let Some(address) = self.requests.take_denied(reply, now)
        {
            if let Some(cancel) = self.forwards.listening_late(address, reply) {
                self.send(&cancel);
            }
            return None;
        }
        let (replied, left_out) = self.requests.replied(success, now)?;
        for request in left_out {
            self.unanswered(&request);
        }
        self.finish(replied, success.ok_or(RequestError::Denied));
        self.send_requests(now);
        self.events.pop_front().and_then(Result::ok)
    }

    /// Handles UNIMPLEMENTED: `uint32 sequence number` of our message.
    pub(super) fn unimplemented(&mut self, reader: &mut Reader<'_>) -> Option<Event> {
        let sequence = reader.uint32().ok()?.wrapping_sub(self.keys.counts_ahead());
        if !self.is_connected() {
            self.early_open_unimplemented(sequence);
            return None;
        }
        let now = self.keepalive.last_received();
        let Some(request) = self.requests.unimplemented(sequence, now) else {
            return self.open_unimplemented(sequence);
        };
        self.finish(request, Err(RequestError::Unimplemented));
        self.send_requests(now);
        self.events.pop_front().and_then(Result::ok)
    }

    /// Gives up the requests whose time is over.
    pub(super) fn expire_requests(&mut self, now: Instant) {
        for request in self.requests.expire(now) {
            self.unanswered(&request);
            if let Finished { kind: Kind::Cancel(address), unsent: true, .. } = &request {
                self.send(&cancel_message(address, false));
            }
        }
        self.send_requests(Some(now));
    }

    /// Handles a request that gets no reply.
    fn unanswered(&mut self, request: &Finished) {
        if !request.given_up {
            self.finish_subject(request.number, Err(RequestError::TimedOut));
        }
    }

    fn finish(&mut self, request: Finished, reply: Result<Reader<'_>, RequestError>) {
        if request.given_up {
            if let (Kind::Listen(address), Ok(reply)) = (request.kind, reply)
                && let Some(cancel) = self.forwards.listening_late(address, reply)
            {
                self.send(&cancel);
            }
            return;
        }
        self.round_trip_ended(request.number);
        if let (Kind::Listen(address), Err(_)) = (request.kind, reply) {
            self.requests.set_denied(address);
        }
        self.finish_subject(request.number, reply);
    }

    /// Tells the forward or the update of host keys that the request of this number was about.
    fn finish_subject(&mut self, number: u64, reply: Result<Reader<'_>, RequestError>) {
        let event = match self.forwards.replied(number, reply, &mut self.requests) {
            Some((id, event)) => {
                self.log.write(|| match &event {
                    ForwardEvent::Listening { port } => {
                        format!("remote forward: the server listens on port {port}")
                    }
                    ForwardEvent::Failed(error) => format!("remote forward: refused, {error:?}"),
                    other => format!("remote forward: {other:?}"),
                });
                Some(Event::Forward(id, event))
            }
            None => {
                let session = self.keys.session();
                self.host_keys.replied(number, reply.ok(), session).map(Event::HostKeys)
            }
        };
        self.events.extend(event.map(Ok));
    }
}
