//! Clients of a remote forward that name their target in SOCKS, until that is connected.
//!
//! The server opens the channel before the handshake. Until the target is connected, the relay of such a
//! connection has a stream in memory in place of the target's socket. What the client is told is written to
//! the other end of that stream, and the pump sends it. What the client sends after its request stays in the
//! write buffer of the pump, without credit, until the target takes it.

use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::net::local_stream::Stream;
use crate::net::memory::{End, pair};
use crate::socks::{Fault, Handshake, Login, Request, Step as Parsed};
use crate::tunnel::ConnectionState;

/// More than a handshake tells its client in all.
const CAPACITY: usize = 64;

/// The handshake of a client behind an open channel, and what follows until its target is connected.
pub(crate) struct InboundSocks {
    /// The other end of the relay's stream.
    end: End,
    step: Step,
}

enum Step {
    /// The client is asked for its target.
    Handshake(Box<Handshake>),
    /// Waits for the application's decision.
    AwaitingApproval,
    /// The target is being dialed.
    ConnectingTarget(#[expect(dead_code, reason = "dropping it aborts the dial")] Dial),
    /// The target is connected, and the client is being told.
    Connected(Stream),
    /// The client is being told that it is refused.
    Refused,
}

/// The task that dials the target. Dropping this aborts it.
struct Dial(AbortHandle);

impl Drop for Dial {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl InboundSocks {
    /// Begins a handshake. Returns it with the stream for the relay.
    pub(crate) fn new(login: Option<Arc<Login>>) -> (Self, Stream) {
        let (end, stream) = pair(CAPACITY);
        (Self { end, step: Step::Handshake(Box::new(Handshake::new(login))) }, stream.into())
    }

    /// Handles bytes of the client. Returns how many of them belong to the handshake, and the request once
    /// that is complete.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(usize, Option<Request>), Fault> {
        let mut taken = 0;
        while let Step::Handshake(handshake) = &mut self.step
            && taken < bytes.len()
        {
            let space = handshake.space();
            let count = space.len().min(bytes.len() - taken);
            space[..count].copy_from_slice(&bytes[taken..taken + count]);
            taken += count;
            match handshake.received(count)? {
                Parsed::Receive => {}
                Parsed::Send(message) => self.tell(&message),
                Parsed::Request(request) => {
                    self.step = Step::AwaitingApproval;
                    return Ok((taken, Some(request)));
                }
            }
        }
        Ok((taken, None))
    }

    /// Returns whether the request is not complete.
    pub(crate) fn is_incomplete(&self) -> bool {
        matches!(self.step, Step::Handshake(_))
    }

    /// Returns whether the application has not decided yet.
    pub(crate) fn awaits_approval(&self) -> bool {
        matches!(self.step, Step::AwaitingApproval)
    }

    /// The target is being dialed by this task.
    pub(crate) fn connecting(&mut self, dial: AbortHandle) {
        self.step = Step::ConnectingTarget(Dial(dial));
    }

    /// The target is connected: tells the client.
    pub(crate) fn connected(&mut self, target: Stream, reply: &[u8]) {
        self.tell(reply);
        self.step = Step::Connected(target);
    }

    /// Tells the client that it is refused.
    pub(crate) fn refuse(&mut self, reply: &[u8]) {
        self.tell(reply);
        self.step = Step::Refused;
    }

    /// Takes the connected target.
    pub(crate) fn into_target(self) -> Option<Stream> {
        match self.step {
            Step::Connected(target) => Some(target),
            Step::Handshake(_)
            | Step::AwaitingApproval
            | Step::ConnectingTarget(_)
            | Step::Refused => None,
        }
    }

    /// Returns whether the target is connected.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.step, Step::Connected(_))
    }

    /// The state as the application sees it.
    pub(crate) fn state(&self) -> ConnectionState {
        match self.step {
            Step::Handshake(_) => ConnectionState::Negotiating,
            Step::AwaitingApproval => ConnectionState::Requested,
            Step::ConnectingTarget(_) | Step::Connected(_) => ConnectionState::Opening,
            Step::Refused => ConnectionState::Closing,
        }
    }

    /// What the connection waits for within readyTimeout.
    pub(crate) fn awaited(&self) -> Option<&'static str> {
        match self.step {
            Step::Handshake(_) => Some("complete SOCKS request"),
            Step::AwaitingApproval => Some("answer to the connection request"),
            Step::ConnectingTarget(_) => Some("connection to the target"),
            Step::Connected(_) => Some("room for the SOCKS reply"),
            Step::Refused => None,
        }
    }

    fn tell(&self, message: &[u8]) {
        let written = self.end.try_write(message);
        debug_assert!(written.is_ok_and(|count| count == message.len()), "there is room for all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socks::Version;

    fn said(stream: &Stream) -> Vec<u8> {
        let mut said = vec![0; CAPACITY];
        let count = stream.try_read(&mut said).unwrap_or_default();
        said.truncate(count);
        said
    }

    #[test]
    fn a_request_may_come_in_any_pieces_and_data_after_it_is_left() {
        let message = b"\x05\x01\x00\x05\x01\x00\x03\x04host\x00\x50GET /";
        for size in 1..=message.len() {
            let (mut socks, stream) = InboundSocks::new(None);
            let (mut taken, mut requests) = (0, Vec::new());
            for piece in message.chunks(size) {
                let (count, request) = socks.receive(piece).expect("a valid request");
                taken += count;
                requests.extend(request);
            }
            let request = Request { version: Version::Five, host: "host".into(), port: 80 };
            assert_eq!((taken, requests), (message.len() - 5, vec![request]), "{size}");
            assert_eq!(said(&stream), b"\x05\x00");
            assert_eq!(socks.state(), ConnectionState::Requested);
        }
    }

    #[test]
    fn an_invalid_request_is_a_fault_and_nothing_is_read_after_a_refusal() {
        let (mut socks, stream) = InboundSocks::new(None);
        let fault = socks.receive(b"GET / HTTP/1.1\r\n");
        assert!(matches!(fault, Err(Fault::NotSocks(b'G'))), "{fault:?}");
        socks.refuse(b"no");
        assert_eq!(said(&stream), b"no");
        assert!(matches!(socks.receive(b"\x05\x01\x00"), Ok((0, None))));
        assert_eq!((socks.state(), socks.awaited()), (ConnectionState::Closing, None));
    }
}
