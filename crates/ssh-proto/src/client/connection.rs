//! Messages of the connection protocol (RFC 4254).

use std::ops::Range;

use super::{Client, Event};
use crate::Error;
use crate::connection::channel::ChannelId;
use crate::connection::channels::{Confirmation, channel_message};
use crate::connection::host_key_update::ANNOUNCEMENT;
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_EOF, CHANNEL_EXTENDED_DATA, CHANNEL_FAILURE, CHANNEL_OPEN,
    CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE, CHANNEL_REQUEST, CHANNEL_SUCCESS,
    GLOBAL_REQUEST, OpenFailure, REQUEST_FAILURE, REQUEST_SUCCESS, UNIMPLEMENTED,
};
use crate::text::one_line;
use crate::wire::{Reader, Writer, message};

/// Replies that may be held while the server does not answer our KEXINIT. What it sent before it saw
/// that needs a few; nothing else bounds them.
const MAX_HELD_REPLIES: usize = 4096;

impl Client {
    /// Handles CHANNEL_DATA: `byte, uint32 channel, string data`.
    pub(super) fn data(&mut self, range: Range<usize>) -> Result<Option<Event>, Error> {
        let end = range.end;
        let mut reader = Reader::new(self.inbound.bytes(range));
        reader.byte()?;
        let (channel, length) = self.channels.data(&mut reader, false)?;
        // Known, as this message was received.
        if let Some(now) = self.keepalive.last_received().filter(|_| length > 0) {
            self.channels.arrived(channel, length, now, self.rtt.min());
        }
        Ok((length > 0).then(|| Event::Data { channel, range: end - length..end }))
    }

    /// Handles CHANNEL_WINDOW_ADJUST: `byte, uint32 channel, uint32 bytes`.
    pub(super) fn window_adjust(&mut self, range: Range<usize>) -> Result<Option<Event>, Error> {
        let mut reader = Reader::new(self.inbound.bytes(range));
        reader.byte()?;
        // Known, as this message was received.
        let Some(now) = self.keepalive.last_received() else { return Ok(None) };
        let (channel, was_waiting) = self.channels.window_adjusted(&mut reader, now)?;
        Ok(was_waiting.then_some(Event::Window(channel)))
    }

    /// Handles every other message.
    pub(super) fn connection(
        &mut self,
        number: u8,
        payload: &[u8],
    ) -> Result<Option<Event>, Error> {
        let mut reader = Reader::new(payload);
        reader.byte()?;
        match number {
            CHANNEL_OPEN_CONFIRMATION => match self.channels.confirmed(&mut reader)? {
                (channel, Confirmation::Opened) => {
                    self.log.write(|| format!("channel {channel}: open"));
                    return Ok(Some(Event::Opened(channel)));
                }
                (_, Confirmation::Abandoned(close)) => self.send(&close),
            },
            CHANNEL_OPEN_FAILURE => {
                let (channel, reason) = self.channels.open_failed(&mut reader)?;
                let description = one_line(reader.string()?);
                if let Some(reason) = reason {
                    self.log_refusal(channel, reason, &description);
                }
                return Ok(reason.map(|reason| Event::OpenFailed { channel, reason, description }));
            }
            CHANNEL_EXTENDED_DATA => {
                // A forwarded connection has no error stream: discarded, so that it does not use up
                // the window.
                let (channel, length) = self.channels.data(&mut reader, true)?;
                if let Some(now) = self.keepalive.last_received() {
                    self.consumed(channel, length, now);
                }
            }
            CHANNEL_EOF => {
                return Ok(Some(Event::Eof(self.channels.eof_received(&mut reader)?)));
            }
            CHANNEL_CLOSE => {
                return Ok(Some(Event::Close(self.channels.close_received(&mut reader)?)));
            }
            CHANNEL_REQUEST => {
                let remote = self.channels.reply_to(&mut reader)?;
                reader.string()?;
                let want_reply = reader.boolean()?;
                if let Some(remote) = remote.filter(|_| want_reply) {
                    self.reply(&channel_message(CHANNEL_FAILURE, remote))?;
                }
            }
            CHANNEL_OPEN => return self.inbound_channel(&mut reader),
            GLOBAL_REQUEST => {
                let name = reader.string()?;
                let want_reply = reader.boolean()?;
                if name == ANNOUNCEMENT {
                    let keys = self.host_keys.announced(reader, &mut self.requests);
                    self.events.extend(keys.map(|keys| Ok(Event::HostKeys(keys))));
                    self.send_requests(self.keepalive.last_received());
                }
                // keepalive@openssh.com and all others: not known.
                if want_reply {
                    self.reply(&[REQUEST_FAILURE])?;
                }
            }
            REQUEST_SUCCESS => return Ok(self.request_replied(Some(reader))),
            REQUEST_FAILURE => return Ok(self.request_replied(None)),
            CHANNEL_SUCCESS | CHANNEL_FAILURE => {}
            _ => {
                let mut reply = message(UNIMPLEMENTED);
                reply.put_uint32(self.inbound.sequence().wrapping_sub(1));
                self.reply(&reply)?;
            }
        }
        Ok(None)
    }

    /// Handles UNIMPLEMENTED for a packet that may have been a CHANNEL_OPEN.
    pub(super) fn open_unimplemented(&mut self, sequence: u32) -> Option<Event> {
        let (channel, is_wanted) = self.channels.unimplemented(sequence)?;
        let description = "the server does not implement it".to_owned();
        let reason = OpenFailure::UnknownChannelType;
        self.log_refusal(channel, reason, &description);
        is_wanted.then_some(Event::OpenFailed { channel, reason, description })
    }

    fn log_refusal(&self, channel: ChannelId, reason: OpenFailure, description: &str) {
        let text = reason.text();
        self.log.write(|| format!("channel {channel}: refused, {text}: {description}"));
    }

    /// Sends a reply to the server.
    fn reply(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.count_reply()?;
        self.send(payload);
        Ok(())
    }

    /// Counts a reply that follows now or later.
    pub(super) fn count_reply(&mut self) -> Result<(), Error> {
        if !self.keys.are_settled() {
            self.held_replies += 1;
            if self.held_replies > MAX_HELD_REPLIES {
                return Err(Error::Protocol("too many requests during a key exchange"));
            }
        }
        Ok(())
    }
}
