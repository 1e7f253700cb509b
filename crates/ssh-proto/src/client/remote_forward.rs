//! Commands about remote forwards, and the channels that the server opens for them.

use super::{Client, Event};
use crate::Error;
use crate::connection::channel::ChannelId;
use crate::connection::remote_forward::{ForwardEvent, ForwardId, ListenAddr};
use crate::message::{CHANNEL_OPEN_FAILURE, OpenFailure};
use crate::text::one_line;
use crate::wire::{Reader, Writer, message};

/// Inbound channels that may await the application, which connects to a target first; more than
/// these are rejected.
const MAX_PENDING_INBOUND: usize = 1024;

impl Client {
    /// Asks the server to listen on `address`: [`ForwardEvent::Listening`] or
    /// [`ForwardEvent::Failed`] follows. An address that is too long for a message fails too. To be
    /// called after [`Event::Ready`].
    pub fn request_forward(&mut self, address: ListenAddr) -> ForwardId {
        self.log.write(|| format!("remote forward: asks the server to listen on {address}"));
        let (id, event) = self.forwards.request(address, &mut self.requests);
        self.events.extend(event.map(|event| Ok(Event::Forward(id, event))));
        self.send_requests(self.keepalive.last_received());
        id
    }

    /// Asks the server to stop listening. New channels for the forward are rejected from now on;
    /// inbound channels that await the application are not. [`ForwardEvent::Cancelled`] follows. Has
    /// no effect on a forward that has failed or was cancelled before.
    pub fn cancel_forward(&mut self, id: ForwardId) {
        self.forwards.cancel(id, &mut self.requests);
        self.send_requests(self.keepalive.last_received());
    }

    /// Accepts the channel of [`ForwardEvent::InboundChannel`]: it is open from now on. Has no
    /// effect on any other channel.
    pub fn accept(&mut self, channel: ChannelId) {
        if let Some(payload) = self.channels.accept(channel) {
            self.send(&payload);
        }
    }

    /// Rejects the channel of [`ForwardEvent::InboundChannel`]: its number is free. Has no effect on
    /// any other channel.
    pub fn reject(&mut self, channel: ChannelId, reason: OpenFailure) {
        if let Some(remote) = self.channels.reject(channel) {
            self.send_open_failure(remote, reason);
        }
    }

    /// Handles CHANNEL_OPEN: `string type, uint32 channel, uint32 window, uint32 maximum packet
    /// size`, and what the type demands (RFC 4254 section 7.2). Only channels of our forwards are
    /// accepted.
    pub(super) fn inbound_channel(
        &mut self,
        reader: &mut Reader<'_>,
    ) -> Result<Option<Event>, Error> {
        // One reply follows in any case, now or later.
        self.count_reply()?;
        let channel_type = reader.string()?;
        let remote = reader.uint32()?;
        let is_tcp = channel_type == b"forwarded-tcpip";
        if !is_tcp && channel_type != b"forwarded-streamlocal@openssh.com" {
            self.log
                .write(|| format!("channel of the server: rejected, {}", one_line(channel_type)));
            self.send_open_failure(remote, OpenFailure::AdministrativelyProhibited);
            return Ok(None);
        }
        let (window, max_packet) = (reader.uint32()?, reader.uint32()?);
        // The address that was connected to, then the originator's; of a Unix socket its path, then
        // a reserved string.
        let address = reader.string()?;
        let port = if is_tcp { reader.uint32()? } else { 0 };
        let originator = reader.string()?;
        let originator_port = if is_tcp { reader.uint32()? } else { 0 };
        let forward = if is_tcp {
            let unwanted: Vec<_> = self.requests.unwanted().collect();
            self.forwards.by_port(address, port, &unwanted)
        } else {
            self.forwards.by_path(address)
        };
        let Some(forward) = forward else {
            self.log.write(|| {
                let address = one_line(address);
                format!("channel of the server: rejected, no forward for {address} port {port}")
            });
            self.send_open_failure(remote, OpenFailure::AdministrativelyProhibited);
            return Ok(None);
        };
        if self.channels.pending_inbound() >= MAX_PENDING_INBOUND {
            self.send_open_failure(remote, OpenFailure::ResourceShortage);
            return Ok(None);
        }
        let channel = self.channels.add_inbound(remote, window, max_packet)?;
        let originator = one_line(if is_tcp { originator } else { b"" });
        let originator_port = u16::try_from(originator_port).unwrap_or_default();
        self.log.write(|| {
            let to = one_line(address);
            format!(
                "channel {channel}: the server opens it for {to} port {port}, from {originator}"
            )
        });
        let event = ForwardEvent::InboundChannel { channel, originator, originator_port };
        Ok(Some(Event::Forward(forward, event)))
    }

    /// Sends CHANNEL_OPEN_FAILURE: `uint32 channel, uint32 reason, string description, string
    /// language tag`.
    fn send_open_failure(&mut self, remote: u32, reason: OpenFailure) {
        let mut payload = message(CHANNEL_OPEN_FAILURE);
        payload.put_uint32(remote);
        payload.put_uint32(reason.into());
        payload.put_string(reason.text().as_bytes());
        payload.put_string(b"");
        self.send(&payload);
    }
}
