//! Messages of the connection protocol (RFC 4254).

use std::ops::Range;

use super::host_key_update::ANNOUNCEMENT;
use super::{Client, Event};
use crate::Error;
use crate::connection::channel::{Answer, about};
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_EOF, CHANNEL_EXTENDED_DATA, CHANNEL_FAILURE, CHANNEL_OPEN,
    CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE, CHANNEL_REQUEST, CHANNEL_SUCCESS,
    GLOBAL_REQUEST, OpenFailure, REQUEST_FAILURE, REQUEST_SUCCESS, UNIMPLEMENTED,
};
use crate::text::one_line;
use crate::wire::{Reader, Writer, message};

/// Replies to the server that may be held while it does not answer our KEXINIT. What it sent before
/// it saw that needs a few; nothing else bounds them.
const MOST_REPLIES: usize = 4096;

impl Client {
    /// CHANNEL_DATA: `byte, uint32 channel, string data`.
    pub(super) fn data(&mut self, range: Range<usize>) -> Result<Option<Event>, Error> {
        let end = range.end;
        let mut reader = Reader::new(self.inbound.bytes(range));
        reader.byte()?;
        let (channel, length) = self.channels.data(&mut reader, false)?;
        Ok((length > 0).then(|| Event::Data { channel, range: end - length..end }))
    }

    /// CHANNEL_WINDOW_ADJUST: `byte, uint32 channel, uint32 bytes`.
    pub(super) fn window_adjust(&mut self, range: Range<usize>) -> Result<Option<Event>, Error> {
        let mut reader = Reader::new(self.inbound.bytes(range));
        reader.byte()?;
        // Known, or this message would not be here.
        let Some(heard) = self.watch.last_heard() else { return Ok(None) };
        let (channel, waited) = self.channels.adjusted(&mut reader, heard)?;
        Ok(waited.then_some(Event::Window(channel)))
    }

    /// Everything else.
    pub(super) fn connection(
        &mut self,
        number: u8,
        payload: &[u8],
    ) -> Result<Option<Event>, Error> {
        let mut reader = Reader::new(payload);
        reader.byte()?;
        match number {
            CHANNEL_OPEN_CONFIRMATION => {
                let (channel, answer) = self.channels.confirmed(&mut reader)?;
                match answer {
                    Answer::Opened => return Ok(Some(Event::Opened(channel))),
                    Answer::Unwanted(close) => self.send(&close),
                }
            }
            CHANNEL_OPEN_FAILURE => {
                let (channel, reason) = self.channels.refused(&mut reader)?;
                let description = one_line(reader.string()?);
                return Ok(reason.map(|reason| Event::OpenFailed { channel, reason, description }));
            }
            CHANNEL_EXTENDED_DATA => {
                // Nobody reads an error stream of a forwarded connection: away with it, so that it
                // does not use up the window.
                let (channel, length) = self.channels.data(&mut reader, true)?;
                if let Some(heard) = self.watch.last_heard() {
                    self.consumed(channel, length, heard);
                }
            }
            CHANNEL_EOF => {
                return Ok(Some(Event::Eof(self.channels.ended(&mut reader)?)));
            }
            CHANNEL_CLOSE => {
                return Ok(Some(Event::Close(self.channels.closed(&mut reader)?)));
            }
            CHANNEL_REQUEST => {
                let remote = self.channels.answerable(&mut reader)?;
                reader.string()?;
                let want_reply = reader.boolean()?;
                if let Some(remote) = remote.filter(|_| want_reply) {
                    self.reply(&about(CHANNEL_FAILURE, remote))?;
                }
            }
            CHANNEL_OPEN => return self.open_by_server(&mut reader),
            GLOBAL_REQUEST => {
                let name = reader.string()?;
                let want_reply = reader.boolean()?;
                if name == ANNOUNCEMENT {
                    self.announced(reader);
                }
                // keepalive@openssh.com and whatever else: not known.
                if want_reply {
                    self.reply(&[REQUEST_FAILURE])?;
                }
            }
            REQUEST_SUCCESS => return Ok(self.global_answer(Some(reader))),
            REQUEST_FAILURE => return Ok(self.global_answer(None)),
            CHANNEL_SUCCESS | CHANNEL_FAILURE => {}
            _ => {
                let mut reply = message(UNIMPLEMENTED);
                reply.put_uint32(self.inbound.sequence().wrapping_sub(1));
                self.reply(&reply)?;
            }
        }
        Ok(None)
    }

    /// The server does not know the message with this sequence number: it may have been one that
    /// opens a channel.
    pub(super) fn open_unimplemented(&mut self, sequence: u32) -> Option<Event> {
        let (channel, is_awaited) = self.channels.unimplemented(sequence)?;
        let description = "the server does not implement it".to_owned();
        let reason = OpenFailure::UnknownChannelType;
        is_awaited.then_some(Event::OpenFailed { channel, reason, description })
    }

    /// Sends what the server asked for.
    fn reply(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.expect_reply()?;
        self.send(payload);
        Ok(())
    }

    /// The server asked for something that is answered now or later.
    pub(super) fn expect_reply(&mut self) -> Result<(), Error> {
        if !self.keys.are_settled() {
            self.replies += 1;
            if self.replies > MOST_REPLIES {
                return Err(Error::Protocol("requests without end instead of a key exchange"));
            }
        }
        Ok(())
    }
}
