//! One channel: its number, how far its opening and closing have come, and the server's window.

use std::fmt;

use super::interactive::Asker;
use super::receive_share::Received;
use super::receive_window::ReceiveWindow;
use crate::Error;
use crate::transport::PacketNumber;

/// Identifies a channel of a session. Its number may be given to another channel once both sides have
/// closed it; commands for the earlier channel then have no effect on the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelId {
    pub(super) number: u32,
    /// How many channels the session had before this one.
    pub(super) ordinal: u32,
}

impl ChannelId {
    #[cfg(test)]
    pub(crate) fn for_tests(number: u32) -> Self {
        Self { number, ordinal: 0 }
    }

    /// Returns a small number, usable as an index: the channels of a session are counted from 0.
    pub fn index(self) -> usize {
        self.number as usize
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

/// A channel that has a number.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) ordinal: u32,
    pub(super) stage: Stage,
    /// The packet with our CHANNEL_OPEN, once it is sent.
    pub(super) open_packet: Option<PacketNumber>,
    /// How much the server may send.
    pub(super) window: ReceiveWindow,
    /// What it has received of late.
    pub(super) received: Received,
    /// What was asked on it.
    pub(super) asker: Asker,
}

/// How far the opening of a channel has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// CHANNEL_OPEN is sent, the reply is awaited.
    Opening,
    /// As `Opening`, but the application has closed the channel: a confirmation is answered with CLOSE.
    Abandoned,
    /// The server has sent CHANNEL_OPEN; the application has neither accepted nor rejected it.
    Inbound(Remote),
    /// One side has opened it, the other has confirmed it.
    Open(Remote),
}

impl Stage {
    /// Whether the reply to our CHANNEL_OPEN is awaited, and if so, whether the application still
    /// wants the channel.
    pub(super) fn awaits_reply(&self) -> Option<bool> {
        match self {
            Stage::Opening => Some(true),
            Stage::Abandoned => Some(false),
            Stage::Inbound(_) | Stage::Open(_) => None,
        }
    }

    pub(super) fn open(&self) -> Option<&Remote> {
        match self {
            Stage::Open(remote) => Some(remote),
            Stage::Opening | Stage::Abandoned | Stage::Inbound(_) => None,
        }
    }

    pub(super) fn open_mut(&mut self) -> Option<&mut Remote> {
        match self {
            Stage::Open(remote) => Some(remote),
            Stage::Opening | Stage::Abandoned | Stage::Inbound(_) => None,
        }
    }
}

/// The server's end of a channel.
#[derive(Debug)]
pub(super) struct Remote {
    /// The server's number of the channel.
    pub(super) id: u32,
    /// How many bytes may be sent before more credit is needed.
    pub(super) window: u32,
    /// The largest value that `window` has had: the difference is in flight.
    max_window: u32,
    /// The maximum packet size: bytes of data in one packet.
    pub(super) max_packet: u32,
    pub(super) sending: Flow,
    pub(super) receiving: Flow,
}

impl Remote {
    /// The values of the server's CHANNEL_OPEN or CHANNEL_OPEN_CONFIRMATION.
    pub(super) fn new(id: u32, window: u32, max_packet: u32) -> Result<Self, Error> {
        if max_packet == 0 {
            return Err(Error::Protocol("a channel with a maximum packet size of 0"));
        }
        let (sending, receiving) = (Flow::Open, Flow::Open);
        Ok(Self { id, window, max_window: window, max_packet, sending, receiving })
    }

    /// Returns the number of bytes that were sent and not given back as credit.
    pub(super) fn in_flight(&self) -> u64 {
        u64::from(self.max_window - self.window)
    }

    /// Counts `count` bytes as sent.
    pub(super) fn sent(&mut self, count: usize) {
        self.window = self.window.saturating_sub(count as u32);
    }

    /// Adds credit of the server's CHANNEL_WINDOW_ADJUST.
    pub(super) fn add_credit(&mut self, credit: u32) -> Result<(), Error> {
        let window = self.window.checked_add(credit);
        self.window = window.ok_or(Error::Protocol("a window grew beyond 2^32 - 1"))?;
        self.max_window = self.max_window.max(self.window);
        Ok(())
    }
}

/// One direction of an open channel. It only moves downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Open,
    /// After CHANNEL_EOF: no data follows.
    Eof,
    /// After CHANNEL_CLOSE: nothing follows.
    Closed,
}
