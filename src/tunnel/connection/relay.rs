//! A connection with a channel: the pump between its socket and its channel.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use ssh_proto::{ChannelId, Client};

use crate::net::local_stream::Stream;
use crate::session::{Down, Pump, Up};
use crate::socks::{Fault, Login, Request};
use crate::tunnel::connection::inbound_socks::InboundSocks;
use crate::tunnel::connection::phase::Flow;
use crate::tunnel::stats::Bytes;
use crate::tunnel::worker::schedule::Place;

/// The pump of a connection, and its place in the driver.
pub(crate) struct Relay {
    pub(crate) pump: Pump,
    /// Its place among the connections to read from.
    pub(crate) place: Place,
    /// The handshake of a client that names its target over the channel, until that is connected. The pump
    /// has a stream in memory meanwhile.
    socks: Option<Box<InboundSocks>>,
}

impl Relay {
    pub(crate) fn new(stream: Stream, channel: ChannelId, now: Instant) -> Self {
        Self { pump: Pump::new(stream, channel, now), place: Place::default(), socks: None }
    }

    /// A relay whose target is named by the client of the channel.
    pub(crate) fn negotiating(channel: ChannelId, login: Option<Arc<Login>>, now: Instant) -> Self {
        let (socks, stream) = InboundSocks::new(login);
        Self { socks: Some(Box::new(socks)), ..Self::new(stream, channel, now) }
    }

    pub(crate) fn socks(&self) -> Option<&InboundSocks> {
        self.socks.as_deref()
    }

    pub(crate) fn socks_mut(&mut self) -> Option<&mut InboundSocks> {
        self.socks.as_deref_mut()
    }

    /// Whether both ends are there.
    pub(crate) fn has_both_ends(&self) -> bool {
        self.socks.is_none()
    }

    /// Passes what has arrived to the handshake. What does not belong to it stays, without credit.
    pub(crate) fn negotiate(
        &mut self,
        client: &mut Client,
        now: Instant,
    ) -> Result<Option<Request>, Fault> {
        let Some(socks) = &mut self.socks else { return Ok(None) };
        let (mut taken, mut outcome) = (0, Ok(None));
        for range in self.pump.arrived.drain(..) {
            let bytes = client.bytes(range);
            let count = match socks.receive(bytes) {
                Ok((count, request)) => {
                    if request.is_some() {
                        outcome = Ok(request);
                    }
                    count
                }
                Err(fault) => {
                    outcome = Err(fault);
                    bytes.len()
                }
            };
            taken += count;
            self.pump.write_buffer.push(&bytes[count..]);
            if outcome.is_err() {
                break;
            }
        }
        client.consumed(self.pump.channel, taken, now);
        outcome
    }

    /// Whether the client has ended its stream before its request was complete.
    pub(crate) fn has_ended_early(&self) -> bool {
        self.pump.down != Down::Flowing && self.socks().is_some_and(InboundSocks::is_incomplete)
    }

    /// Continues with the target, if that is connected, in place of the handshake. Returns whether it is.
    pub(crate) fn connect_target(&mut self, now: Instant) -> bool {
        if !self.socks().is_some_and(InboundSocks::is_connected) {
            return false;
        }
        let Some(target) = self.socks.take().and_then(|socks| socks.into_target()) else {
            return false;
        };
        let pump = Pump::new(target, self.pump.channel, now);
        let handshake = std::mem::replace(&mut self.pump, pump);
        // The bytes of the handshake do not count.
        self.pump.down = handshake.down;
        self.pump.received = handshake.write_buffer.len() as u64;
        self.pump.write_buffer = handshake.write_buffer;
        true
    }

    /// How far both directions are.
    pub(crate) fn flow(&self) -> Flow {
        Flow { up: self.pump.up, down: self.pump.down }
    }

    pub(crate) fn set_flow(&mut self, flow: Flow) {
        (self.pump.up, self.pump.down) = (flow.up, flow.down);
    }

    /// Bytes that the local client has sent and that can be read now.
    pub(crate) fn unread(&self) -> usize {
        self.pump.unread()
    }

    /// Whether the remote end's EOF has come, and all bytes before it are delivered.
    pub(crate) fn is_delivered(&self) -> bool {
        self.pump.down == Down::Ended && self.pump.write_buffer.is_empty() && self.has_both_ends()
    }

    /// Whether reading may bring more, with this window of the channel.
    pub(crate) fn may_read(&self, window: usize) -> bool {
        match self.pump.up {
            Up::Flowing | Up::Last(_) => window > 0,
            Up::Cut | Up::Ended => false,
        }
    }

    /// Sends a SOCKS client the reply to its request, before anything else. `false`: the socket does not
    /// take these few bytes, which are the first but for two replies as small.
    pub(crate) fn send_reply(&self, reply: &[u8]) -> bool {
        let written = self.pump.stream.write_at_once(&[IoSlice::new(reply)]);
        written.is_ok_and(|count| count == reply.len())
    }

    /// What became of the bytes, as far as it is certain.
    pub(crate) fn bytes(&mut self) -> Bytes {
        let (up, down) = (self.pump.sent, self.pump.acknowledged());
        let dropped_down = self.pump.dropped;
        Bytes { up, down, dropped_up: 0, dropped_down, unconfirmed_down: 0 }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ssh_proto::{Client, Credentials, Setup};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::net::write_buffer::WriteBuffer;
    use crate::runtime;
    use crate::tunnel::connection::meta::PendingConnection;
    use crate::tunnel::connection::meta::tests::pending;

    pub(crate) fn client() -> Client {
        let credentials = Credentials { user: "user".into(), ..Credentials::default() };
        let setup = Setup::new(credentials);
        Client::new(setup, |bytes| bytes.fill(7))
    }

    /// A relay, and its local client.
    pub(crate) async fn relay(client: &mut Client) -> (Relay, TcpStream) {
        let (PendingConnection { stream, .. }, local_client) = pending(1).await;
        let channel = client.open_direct_tcpip("host", 80, "127.0.0.1", 4000);
        (Relay::new(stream, channel, Instant::now()), local_client)
    }

    #[test]
    fn everything_is_delivered_when_the_remote_end_has_ended_and_no_byte_is_left() {
        runtime::handle().block_on(async {
            let (mut relay, _local_client) = relay(&mut client()).await;
            for (down, bytes, delivered) in [
                (Down::Flowing, &b""[..], false),
                (Down::Flowing, b"left", false),
                (Down::Ended, b"left", false),
                (Down::Ended, b"", true),
                (Down::Finished, b"", false),
            ] {
                relay.pump.down = down;
                relay.pump.write_buffer = WriteBuffer::default();
                relay.pump.write_buffer.push(bytes);
                assert_eq!(relay.is_delivered(), delivered, "{down:?} {bytes:?}");
            }
        });
    }

    #[test]
    fn a_client_is_read_until_eof_was_sent_and_only_within_the_window() {
        runtime::handle().block_on(async {
            let (mut relay, _local_client) = relay(&mut client()).await;
            for (up, window, may_read) in [
                (Up::Flowing, 1, true),
                (Up::Flowing, 0, false),
                (Up::Last(3), 2, true),
                (Up::Last(3), 0, false),
                (Up::Cut, 1, false),
                (Up::Ended, 1, false),
            ] {
                relay.pump.up = up;
                assert_eq!(relay.may_read(window), may_read, "{up:?} {window}");
            }
        });
    }

    #[test]
    #[cfg_attr(windows, ignore = "the system takes a write of any size")]
    fn a_socks_reply_is_sent_whole_or_the_socket_does_not_count_as_usable() {
        runtime::handle().block_on(async {
            let (relay, mut local_client) = relay(&mut client()).await;
            assert!(relay.send_reply(b"reply"));
            let mut reply = [0; 5];
            local_client.read_exact(&mut reply).await.expect("the reply");
            assert_eq!(&reply, b"reply");
            // More than the kernels take.
            assert!(!relay.send_reply(&vec![0; 64 * 1024 * 1024]));
        });
    }

    #[test]
    fn unread_bytes_of_the_client_are_counted() {
        runtime::handle().block_on(async {
            let (relay, mut local_client) = relay(&mut client()).await;
            assert_eq!(relay.unread(), 0);
            local_client.write_all(b"bytes").await.expect("there is room");
            relay.pump.stream.readable().await.expect("alive");
            assert_eq!(relay.unread(), 5);
        });
    }
}
