//! Table of a session's channels, and their messages (RFC 4254 section 5): data and the end of
//! channels here, their opening in `opening`, what restrains bulk data in `restraint`.

mod opening;
mod restraint;

pub(crate) use opening::Confirmation;

use std::time::{Duration, Instant};

use super::channel::{Channel, ChannelId, Flow, Remote, Stage};
use super::interactive::{Asker, Interactive};
use super::pacing::Pacing;
use super::receive_share::{ReceiveShare, Received};
use super::receive_window::{ReceiveWindow, WindowBudget, Windows};
use crate::Error;
use crate::message::{CHANNEL_CLOSE, CHANNEL_EOF, CHANNEL_WINDOW_ADJUST};
use crate::wire::{Reader, Writer, message};

/// The maximum packet size that we announce: bytes of data in one packet. OpenSSH sends no more in
/// any case.
const MAX_PACKET: u32 = 32 * 1024;

const UNKNOWN: Error = Error::Protocol("a message about a channel that does not exist");
const NOT_OPEN: Error = Error::Protocol("a message about a channel that is not open");

/// How much data a channel may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendLimits {
    /// The server's number of the channel.
    pub(crate) remote: u32,
    /// Bytes in one packet.
    pub(crate) max_packet: usize,
    /// Bytes in all.
    pub(crate) window: usize,
}

/// The channels of a session.
#[derive(Debug)]
pub(crate) struct Channels {
    slots: Vec<Option<Channel>>,
    /// Indices of empty slots.
    free: Vec<u32>,
    /// How many channels there have been.
    count: u32,
    /// How many inbound channels await the application's decision.
    inbound: usize,
    /// The memory that the receive windows share.
    budget: WindowBudget,
    /// Whether somebody asks.
    interactive: Interactive,
    /// Limits the data in flight to the server then.
    pacing: Pacing,
    /// Limits the data in flight to us.
    share: ReceiveShare,
    /// The time of the latest command, and the round trip then.
    clock: Option<(Instant, Option<Duration>)>,
}

impl Channels {
    pub(crate) fn new(windows: Windows) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            count: 0,
            inbound: 0,
            budget: WindowBudget::new(windows),
            interactive: Interactive::default(),
            pacing: Pacing::default(),
            share: ReceiveShare::default(),
            clock: None,
        }
    }

    // Data (section 5.2).

    /// Returns how much data the channel may send now, if it can send at all.
    pub(crate) fn send_limits(&self, id: ChannelId) -> Option<SendLimits> {
        let remote = self.sending(id)?;
        Some(SendLimits {
            remote: remote.id,
            max_packet: remote.max_packet as usize,
            window: remote.window as usize,
        })
    }

    /// Counts `count` bytes of data as sent.
    pub(crate) fn sent(&mut self, id: ChannelId, count: usize) {
        if let Some(remote) = self.remote_mut(id) {
            let before = remote.in_flight();
            remote.sent(count);
            let after = remote.in_flight();
            self.pacing.in_flight_changed(before, after);
        }
    }

    /// Handles CHANNEL_WINDOW_ADJUST: `uint32 channel, uint32 bytes`. Returns whether the channel
    /// was waiting for it.
    pub(crate) fn window_adjusted(
        &mut self,
        reader: &mut Reader<'_>,
        now: Instant,
    ) -> Result<(ChannelId, bool), Error> {
        let (id, remote) = self.addressed_open(reader)?;
        let credit = reader.uint32()?;
        let can_send = credit > 0 && remote.sending == Flow::Open;
        let was_used_up = remote.window == 0;
        let before = remote.in_flight();
        remote.add_credit(credit)?;
        let after = remote.in_flight();
        self.pacing.in_flight_changed(before, after);
        let was_held = self.pacing.credited(id, before - after, now);
        Ok((id, can_send && (was_used_up || was_held)))
    }

    /// Handles CHANNEL_DATA: `uint32 channel, string data`, or with `extended` set
    /// CHANNEL_EXTENDED_DATA: `uint32 channel, uint32 type, string data`. Returns the length of the
    /// data, at whose first byte the reader is left. Data may come until the server has closed too.
    pub(crate) fn data(
        &mut self,
        reader: &mut Reader<'_>,
        extended: bool,
    ) -> Result<(ChannelId, usize), Error> {
        let (id, channel) = self.addressed(reader)?;
        if extended {
            reader.uint32()?;
        }
        let length = reader.uint32()?;
        if length as usize != reader.remaining() {
            return Err(Error::Protocol("data of a length other than announced"));
        }
        if length > MAX_PACKET {
            return Err(Error::Protocol("data beyond the maximum packet size"));
        }
        let remote = channel.stage.open().ok_or(NOT_OPEN)?;
        if remote.receiving != Flow::Open {
            return Err(Error::Protocol("data after the end of a channel"));
        }
        let fits = channel.window.received(length);
        fits.ok_or(Error::Protocol("data beyond the window"))?;
        Ok((id, length as usize))
    }

    /// Records that `count` bytes of received data were delivered; returns the
    /// CHANNEL_WINDOW_ADJUST to send when credit is due.
    pub(crate) fn consumed(
        &mut self,
        id: ChannelId,
        count: usize,
        now: Instant,
        round_trip: Option<Duration>,
    ) -> Option<[u8; 9]> {
        let filled = |it: ChannelId| self.get(it).map_or(0, |channel| channel.window.filled_size());
        let largest = self.share.bulk().map(filled).max().unwrap_or(0);
        let channel = find(&mut self.slots, id)?;
        let remote = channel.stage.open()?;
        channel.window.consumed(count as u32, now);
        if remote.receiving != Flow::Open || remote.sending == Flow::Closed {
            return None;
        }
        let credit = if self.interactive.restrains(&channel.asker, now) {
            let limit =
                self.share.limit(&channel.received, round_trip, self.pacing.is_draining(now));
            channel.window.limited_credit(limit)?
        } else {
            channel.window.credit(now, round_trip, largest, &mut self.budget)?
        };
        let mut payload = [CHANNEL_WINDOW_ADJUST; 9];
        payload[1..5].copy_from_slice(&remote.id.to_be_bytes());
        payload[5..9].copy_from_slice(&credit.to_be_bytes());
        Some(payload)
    }

    // The end of a channel (section 5.3).

    /// Ends our direction; returns the CHANNEL_EOF to send, unless it was sent before.
    pub(crate) fn eof(&mut self, id: ChannelId) -> Option<Vec<u8>> {
        let remote = self.remote_mut(id)?;
        if remote.sending != Flow::Open {
            return None;
        }
        remote.sending = Flow::Eof;
        Some(channel_message(CHANNEL_EOF, remote.id))
    }

    /// Closes the channel from our side; returns the CHANNEL_CLOSE to send. There is none if it was
    /// sent before, or if the server has not confirmed the channel: then it is sent on confirmation.
    pub(crate) fn close(&mut self, id: ChannelId) -> Option<Vec<u8>> {
        let channel = self.get_mut(id)?;
        match &mut channel.stage {
            Stage::Opening => channel.stage = Stage::Abandoned,
            Stage::Abandoned | Stage::Inbound(_) => {}
            Stage::Open(remote) if remote.sending == Flow::Closed => {}
            Stage::Open(remote) => {
                remote.sending = Flow::Closed;
                let payload = channel_message(CHANNEL_CLOSE, remote.id);
                if remote.receiving == Flow::Closed {
                    self.remove(id);
                }
                return Some(payload);
            }
        }
        None
    }

    /// Handles CHANNEL_EOF: `uint32 channel`.
    pub(crate) fn eof_received(&mut self, reader: &mut Reader<'_>) -> Result<ChannelId, Error> {
        let (id, remote) = self.addressed_open(reader)?;
        if remote.receiving != Flow::Open {
            return Err(Error::Protocol("EOF on a channel that has ended"));
        }
        remote.receiving = Flow::Eof;
        Ok(id)
    }

    /// Handles CHANNEL_CLOSE: `uint32 channel`. Removes the channel if we have closed it before.
    pub(crate) fn close_received(&mut self, reader: &mut Reader<'_>) -> Result<ChannelId, Error> {
        let (id, remote) = self.addressed_open(reader)?;
        if remote.receiving == Flow::Closed {
            return Err(Error::Protocol("a channel was closed twice"));
        }
        remote.receiving = Flow::Closed;
        if remote.sending == Flow::Closed {
            self.remove(id);
        }
        Ok(id)
    }

    /// Reads the channel of a CHANNEL_REQUEST; returns the server's number of it, to reply to.
    /// `None` after our CHANNEL_CLOSE, which nothing may follow.
    pub(crate) fn reply_to(&mut self, reader: &mut Reader<'_>) -> Result<Option<u32>, Error> {
        let (_, remote) = self.addressed_open(reader)?;
        Ok((remote.sending != Flow::Closed).then_some(remote.id))
    }

    // The table.

    /// Returns the number of channels that are not closed by both sides.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Gives a channel a number.
    fn add(&mut self, stage: Stage, window: ReceiveWindow) -> ChannelId {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        let ordinal = self.count;
        self.count = self.count.wrapping_add(1);
        self.slots[number as usize] = Some(Channel {
            ordinal,
            stage,
            open_packet: None,
            window,
            received: Received::default(),
            asker: Asker::default(),
        });
        ChannelId { number, ordinal }
    }

    fn remove(&mut self, id: ChannelId) {
        if let Some(channel) = self.slots[id.index()].take() {
            self.budget.close(&channel.window);
            self.interactive.closed(&channel.asker);
            if let Stage::Open(remote) = &channel.stage {
                self.pacing.closed(id, remote.in_flight());
            }
            self.free.push(id.number);
        }
    }

    /// Reads the recipient channel of a message.
    fn addressed(&mut self, reader: &mut Reader<'_>) -> Result<(ChannelId, &mut Channel), Error> {
        let number = reader.uint32()?;
        let channel =
            self.slots.get_mut(number as usize).and_then(Option::as_mut).ok_or(UNKNOWN)?;
        Ok((ChannelId { number, ordinal: channel.ordinal }, channel))
    }

    fn addressed_open(
        &mut self,
        reader: &mut Reader<'_>,
    ) -> Result<(ChannelId, &mut Remote), Error> {
        let (id, channel) = self.addressed(reader)?;
        Ok((id, channel.stage.open_mut().ok_or(NOT_OPEN)?))
    }

    fn get(&self, id: ChannelId) -> Option<&Channel> {
        self.slots.get(id.index())?.as_ref().filter(|channel| channel.ordinal == id.ordinal)
    }

    fn get_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        find(&mut self.slots, id)
    }

    fn remote(&self, id: ChannelId) -> Option<&Remote> {
        self.get(id)?.stage.open()
    }

    fn remote_mut(&mut self, id: ChannelId) -> Option<&mut Remote> {
        self.get_mut(id)?.stage.open_mut()
    }

    /// The server's end of a channel that can still send data.
    fn sending(&self, id: ChannelId) -> Option<&Remote> {
        self.remote(id).filter(|remote| remote.sending == Flow::Open)
    }
}

/// Returns the channel, unless its number is free or another channel's.
fn find(slots: &mut [Option<Channel>], id: ChannelId) -> Option<&mut Channel> {
    slots.get_mut(id.index())?.as_mut().filter(|channel| channel.ordinal == id.ordinal)
}

/// Returns a message that consists of the recipient channel.
pub(crate) fn channel_message(number: u8, remote: u32) -> Vec<u8> {
    let mut payload = message(number);
    payload.put_uint32(remote);
    payload
}

#[cfg(test)]
mod tests;
