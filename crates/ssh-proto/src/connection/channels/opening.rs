//! Opening of channels by either side (RFC 4254 sections 5.1 and 7.2).

use super::{Channels, MAX_PACKET, channel_message, find};
use crate::Error;
use crate::connection::channel::{ChannelId, Flow, Remote, Stage};
use crate::connection::receive_window::ReceiveWindow;
use crate::message::{CHANNEL_CLOSE, CHANNEL_OPEN, CHANNEL_OPEN_CONFIRMATION, OpenFailure};
use crate::transport::PacketNumber;
use crate::wire::{Reader, Writer, message};

/// The effect of a CHANNEL_OPEN_CONFIRMATION.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    Opened,
    /// The application has closed the channel meanwhile: this CHANNEL_CLOSE is to be sent.
    Abandoned(Vec<u8>),
}

impl Channels {
    // Channels that we open.

    /// Starts a `direct-tcpip` channel (section 7.2); returns the message to send.
    pub(crate) fn open(
        &mut self,
        host: &str,
        port: u16,
        originator: &str,
        originator_port: u16,
    ) -> (ChannelId, Vec<u8>) {
        let (channel, mut payload) = self.begin(b"direct-tcpip");
        payload.put_string(host.as_bytes());
        payload.put_uint32(port.into());
        payload.put_string(originator.as_bytes());
        payload.put_uint32(originator_port.into());
        (channel, payload)
    }

    /// Starts a `direct-streamlocal@openssh.com` channel (OpenSSH's PROTOCOL, section 2.4); returns
    /// the message to send.
    pub(crate) fn open_streamlocal(&mut self, path: &str) -> (ChannelId, Vec<u8>) {
        let (channel, mut payload) = self.begin(b"direct-streamlocal@openssh.com");
        payload.put_string(path.as_bytes());
        // Both are reserved.
        payload.put_string(b"");
        payload.put_uint32(0);
        (channel, payload)
    }

    /// Adds a channel; returns the beginning of its CHANNEL_OPEN.
    fn begin(&mut self, channel_type: &[u8]) -> (ChannelId, Vec<u8>) {
        let window = self.open_window();
        let remaining = window.remaining();
        let id = self.add(Stage::Opening, window);
        let mut payload = message(CHANNEL_OPEN);
        payload.put_string(channel_type);
        payload.put_uint32(id.number);
        payload.put_uint32(remaining);
        payload.put_uint32(MAX_PACKET);
        (id, payload)
    }

    /// Records which packet carries a channel's CHANNEL_OPEN.
    pub(crate) fn open_sent(&mut self, id: ChannelId, packet: PacketNumber) {
        if let Some(channel) = self.get_mut(id) {
            channel.open_packet = Some(packet);
        }
    }

    /// Returns whether a channel's CHANNEL_OPEN was sent, in the packet with this sequence number.
    pub(crate) fn is_open_sent(&self, id: ChannelId, sequence: u32) -> bool {
        let packet = self.get(id).and_then(|channel| channel.open_packet);
        packet.is_some_and(|packet| packet.sequence == sequence)
    }

    /// Records that a channel's CHANNEL_OPEN has had no effect and will be sent again.
    pub(crate) fn open_void(&mut self, id: ChannelId) {
        if let Some(channel) = self.get_mut(id) {
            channel.open_packet = None;
        }
    }

    /// Returns whether the application still wants a channel that is not open yet.
    pub(crate) fn is_wanted(&self, id: ChannelId) -> bool {
        self.get(id).is_some_and(|channel| channel.stage.awaits_reply() == Some(true))
    }

    /// Removes a channel whose CHANNEL_OPEN is never sent; returns whether the application still
    /// wanted it.
    pub(crate) fn open_unsent(&mut self, id: ChannelId) -> bool {
        let Some(channel) = self.get(id) else { return false };
        let is_wanted = channel.stage.awaits_reply() == Some(true);
        self.remove(id);
        is_wanted
    }

    /// Handles CHANNEL_OPEN_CONFIRMATION: `uint32 channel, uint32 server's channel, uint32 window,
    /// uint32 maximum packet size`.
    pub(crate) fn confirmed(
        &mut self,
        reader: &mut Reader<'_>,
    ) -> Result<(ChannelId, Confirmation), Error> {
        let (id, channel) = self.addressed(reader)?;
        let (number, window, max_packet) = (reader.uint32()?, reader.uint32()?, reader.uint32()?);
        let mut remote = Remote::new(number, window, max_packet)?;
        let unexpected = Error::Protocol("a confirmation of a channel that was not requested");
        let confirmation = if channel.stage.awaits_reply().ok_or(unexpected)? {
            Confirmation::Opened
        } else {
            remote.sending = Flow::Closed;
            Confirmation::Abandoned(channel_message(CHANNEL_CLOSE, number))
        };
        channel.stage = Stage::Open(remote);
        Ok((id, confirmation))
    }

    /// Handles CHANNEL_OPEN_FAILURE: `uint32 channel, uint32 reason`, then a description, which is
    /// left in the reader. Returns the reason if the application still wants the channel.
    pub(crate) fn open_failed(
        &mut self,
        reader: &mut Reader<'_>,
    ) -> Result<(ChannelId, Option<OpenFailure>), Error> {
        let (id, channel) = self.addressed(reader)?;
        let unexpected = Error::Protocol("a refusal of a channel that was not requested");
        let is_wanted = channel.stage.awaits_reply().ok_or(unexpected)?;
        let reason = OpenFailure::from(reader.uint32()?);
        self.remove(id);
        Ok((id, is_wanted.then_some(reason)))
    }

    /// Handles the server's UNIMPLEMENTED for the packet with this sequence number. If the packet
    /// was a CHANNEL_OPEN, removes the channel and returns it, and whether the application still
    /// wants it. Of two such packets the older one counts: numbers may restart with new keys.
    pub(crate) fn unimplemented(&mut self, sequence: u32) -> Option<(ChannelId, bool)> {
        let awaited = self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let channel = slot.as_ref()?;
            let packet = channel.open_packet.filter(|packet| packet.sequence == sequence)?;
            let id = ChannelId { number: index as u32, ordinal: channel.ordinal };
            Some((packet.epoch, id, channel.stage.awaits_reply()?))
        });
        let (_, id, is_wanted) = awaited.min_by_key(|(epoch, ..)| *epoch)?;
        self.remove(id);
        Some((id, is_wanted))
    }

    // Channels that the server opens.

    /// Returns the number of inbound channels that were neither accepted nor rejected.
    pub(crate) fn pending_inbound(&self) -> usize {
        self.inbound
    }

    /// Adds a channel that the server opens. It gets a receive window when it is accepted.
    pub(crate) fn add_inbound(
        &mut self,
        remote: u32,
        window: u32,
        max_packet: u32,
    ) -> Result<ChannelId, Error> {
        let stage = Stage::Inbound(Remote::new(remote, window, max_packet)?);
        self.inbound += 1;
        Ok(self.add(stage, ReceiveWindow::none()))
    }

    /// Accepts an inbound channel; returns the message to send.
    pub(crate) fn accept(&mut self, id: ChannelId) -> Option<Vec<u8>> {
        if !matches!(self.get(id)?.stage, Stage::Inbound(_)) {
            return None;
        }
        let window = self.open_window();
        let channel = find(&mut self.slots, id)?;
        let stage = std::mem::replace(&mut channel.stage, Stage::Abandoned);
        let Stage::Inbound(remote) = stage else { return None };
        self.inbound -= 1;
        channel.window = window;
        let mut payload = message(CHANNEL_OPEN_CONFIRMATION);
        payload.put_uint32(remote.id);
        payload.put_uint32(id.number);
        payload.put_uint32(channel.window.remaining());
        payload.put_uint32(MAX_PACKET);
        channel.stage = Stage::Open(remote);
        Some(payload)
    }

    /// Removes an inbound channel; returns the server's number of it.
    pub(crate) fn reject(&mut self, id: ChannelId) -> Option<u32> {
        let Stage::Inbound(Remote { id: remote, .. }) = self.get(id)?.stage else { return None };
        self.inbound -= 1;
        self.remove(id);
        Some(remote)
    }
}
