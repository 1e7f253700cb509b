//! Channels and their flow control (RFC 4254 section 5).

use std::time::{Duration, Instant};

use crate::Error;
use crate::connection::pacing::Pacing;
use crate::connection::receive_window::{Budget, Window, Windows};
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_EOF, CHANNEL_OPEN, CHANNEL_OPEN_CONFIRMATION, CHANNEL_WINDOW_ADJUST,
    OpenFailure,
};
use crate::transport::PacketNumber;
use crate::wire::{Reader, Writer, message};

/// The most data that we take in one packet; OpenSSH sends no more in any case.
const LONGEST_DATA: u32 = 32 * 1024;

const ABSENT: Error = Error::Protocol("a message about a channel that does not exist");

/// A channel of a session. Its number may be given to another channel once both sides closed it; what
/// is then said about the earlier one has no effect on the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelId {
    number: u32,
    /// How many channels the session had before this one.
    ordinal: u32,
}

impl ChannelId {
    #[cfg(test)]
    pub(crate) fn for_tests(number: u32) -> Self {
        Self { number, ordinal: 0 }
    }

    /// A small number, fit as an index: the channels of a session are counted from 0.
    pub fn index(self) -> usize {
        self.number as usize
    }
}

/// Where a channel stands.
#[derive(Debug)]
enum Stage {
    /// CHANNEL_OPEN is sent, the answer has not come.
    Opening,
    /// As `Opening`, but nobody waits any more: a confirmation is answered with CLOSE.
    Abandoned,
    /// The server has asked for it, and we have not answered.
    Offered(Remote),
    /// One side asked for it, the other confirmed it.
    Open(Remote),
}

/// The server's end of an open channel.
#[derive(Debug)]
struct Remote {
    id: u32,
    /// How much it takes before we must wait for credit.
    window: u32,
    /// The most that this ever was: what is missing from it is under way.
    most: u32,
    /// The most data that it takes in one packet.
    longest: u32,
    sending: Flow,
    receiving: Flow,
}

impl Remote {
    /// As the server describes it when it asks for the channel, or confirms it.
    fn new(id: u32, window: u32, longest: u32) -> Result<Self, Error> {
        if longest == 0 {
            return Err(Error::Protocol("a channel that takes no data in a packet"));
        }
        let (sending, receiving) = (Flow::Open, Flow::Open);
        Ok(Self { id, window, most: window, longest, sending, receiving })
    }

    /// What was sent and not given back as credit.
    fn without_credit(&self) -> u64 {
        u64::from(self.most - self.window)
    }
}

/// One direction of an open channel. It only ever moves downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Flow {
    Open,
    /// EOF was said: no data will follow.
    Eof,
    /// CLOSE was said: nothing will follow.
    Closed,
}

#[derive(Debug)]
struct Channel {
    ordinal: u32,
    stage: Stage,
    /// The packet that asked the server for it, once it is sent, if we did.
    asked: Option<PacketNumber>,
    /// What the server may send.
    window: Window,
}

/// What became of a CHANNEL_OPEN.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Opened,
    /// It was confirmed, but nobody waits: this CLOSE has to be sent.
    Unwanted(Vec<u8>),
}

/// The channels of a session.
#[derive(Debug)]
pub(crate) struct Channels {
    slots: Vec<Option<Channel>>,
    /// Indices of empty slots.
    free: Vec<u32>,
    /// How many channels there have been.
    placed: u32,
    /// How many channels the server waits for.
    offered: usize,
    /// What their windows share.
    budget: Budget,
    /// What is under way to the server.
    pacing: Pacing,
}

impl Channels {
    pub(crate) fn new(windows: Windows) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            placed: 0,
            offered: 0,
            budget: Budget::new(windows),
            pacing: Pacing::default(),
        }
    }

    /// Starts a `direct-tcpip` channel; returns the message to send.
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

    /// A channel of our own, and the start of the message that opens it.
    fn begin(&mut self, kind: &[u8]) -> (ChannelId, Vec<u8>) {
        let window = self.budget.open();
        let size = window.size();
        let id = self.place(Stage::Opening, window);
        let mut payload = message(CHANNEL_OPEN);
        payload.put_string(kind);
        payload.put_uint32(id.number);
        payload.put_uint32(size);
        payload.put_uint32(LONGEST_DATA);
        (id, payload)
    }

    /// Gives a channel a number.
    fn place(&mut self, stage: Stage, window: Window) -> ChannelId {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        let ordinal = self.placed;
        self.placed = self.placed.wrapping_add(1);
        self.slots[number as usize] = Some(Channel { ordinal, stage, asked: None, window });
        ChannelId { number, ordinal }
    }

    /// How many channels have a number.
    pub(crate) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many channels of the server wait for our answer.
    pub(crate) fn offered(&self) -> usize {
        self.offered
    }

    /// The server asks for a channel; what it may send is decided when we accept it.
    pub(crate) fn offer(
        &mut self,
        remote: u32,
        window: u32,
        longest: u32,
    ) -> Result<ChannelId, Error> {
        let stage = Stage::Offered(Remote::new(remote, window, longest)?);
        self.offered += 1;
        Ok(self.place(stage, Window::none()))
    }

    /// Opens a channel that the server asked for; returns the message to send.
    pub(crate) fn accept(&mut self, id: ChannelId) -> Option<Vec<u8>> {
        let channel = find(&mut self.slots, id)?;
        let stage = std::mem::replace(&mut channel.stage, Stage::Abandoned);
        let Stage::Offered(remote) = stage else {
            channel.stage = stage;
            return None;
        };
        self.offered -= 1;
        channel.window = self.budget.open();
        let mut payload = message(CHANNEL_OPEN_CONFIRMATION);
        payload.put_uint32(remote.id);
        payload.put_uint32(id.number);
        payload.put_uint32(channel.window.size());
        payload.put_uint32(LONGEST_DATA);
        channel.stage = Stage::Open(remote);
        Some(payload)
    }

    /// Forgets a channel that the server asked for; returns the server's number of it.
    pub(crate) fn refuse(&mut self, id: ChannelId) -> Option<u32> {
        let channel = self.get(id)?;
        let Stage::Offered(Remote { id: remote, .. }) = channel.stage else { return None };
        self.offered -= 1;
        self.release(id);
        Some(remote)
    }

    /// How much data the channel may send now, and the server's number of it and its limit.
    pub(crate) fn sendable(&self, id: ChannelId) -> Option<(u32, usize, usize)> {
        let remote = self.remote(id)?;
        (remote.sending == Flow::Open).then_some((
            remote.id,
            remote.longest as usize,
            remote.window as usize,
        ))
    }

    /// How much of what [`Channels::sendable`] says it should send now, so that small messages of
    /// others get through.
    pub(crate) fn room(&self, id: ChannelId, round_trip: Option<Duration>) -> usize {
        let Some(remote) = self.remote(id).filter(|remote| remote.sending == Flow::Open) else {
            return 0;
        };
        let room = self.pacing.room(remote.without_credit(), round_trip);
        usize::try_from(room.min(remote.window.into())).unwrap_or(usize::MAX)
    }

    /// The channel waits until it has room: [`Channels::adjusted`] tells, or
    /// [`Pacing::expire`].
    pub(crate) fn hold(&mut self, id: ChannelId, now: Instant, round_trip: Option<Duration>) {
        if self.remote(id).is_some_and(|remote| remote.window > 0) {
            self.pacing.hold(id, now, round_trip);
        }
    }

    pub(crate) fn sent(&mut self, id: ChannelId, count: usize) {
        if let Some(remote) = self.remote_mut(id) {
            let before = remote.without_credit();
            remote.window = remote.window.saturating_sub(count as u32);
            let after = remote.without_credit();
            self.pacing.sent(before, after);
        }
    }

    /// When [`Pacing::expire`] is due.
    pub(crate) fn pacing_timeout(&self) -> Option<Instant> {
        self.pacing.timeout()
    }

    /// What holds bulk data back in favour of small messages.
    pub(crate) fn pacing(&mut self) -> &mut Pacing {
        &mut self.pacing
    }

    /// Takes note that `count` bytes have left us; returns the credit to send when it is due.
    pub(crate) fn consumed(
        &mut self,
        id: ChannelId,
        count: usize,
        now: Instant,
        round_trip: Option<Duration>,
    ) -> Option<[u8; 9]> {
        let channel = find(&mut self.slots, id)?;
        let Stage::Open(remote) = &channel.stage else { return None };
        channel.window.consumed(count as u32, now);
        if remote.receiving != Flow::Open || remote.sending == Flow::Closed {
            return None;
        }
        let credit = channel.window.credit(now, round_trip, &mut self.budget)?;
        let mut payload = [0; 9];
        payload[0] = CHANNEL_WINDOW_ADJUST;
        payload[1..5].copy_from_slice(&remote.id.to_be_bytes());
        payload[5..9].copy_from_slice(&credit.to_be_bytes());
        Some(payload)
    }

    /// Ends our direction; returns the EOF to send unless it was said before.
    pub(crate) fn eof(&mut self, id: ChannelId) -> Option<Vec<u8>> {
        let remote = self.remote_mut(id)?;
        if remote.sending != Flow::Open {
            return None;
        }
        remote.sending = Flow::Eof;
        Some(about(CHANNEL_EOF, remote.id))
    }

    /// Closes the channel from our side; returns the CLOSE to send unless it was said before, or
    /// cannot be said yet: then it will be once the server confirms the channel.
    pub(crate) fn close(&mut self, id: ChannelId) -> Option<Vec<u8>> {
        let channel = find(&mut self.slots, id)?;
        match &mut channel.stage {
            Stage::Opening => {
                channel.stage = Stage::Abandoned;
                None
            }
            Stage::Abandoned | Stage::Offered(_) => None,
            Stage::Open(remote) => {
                if remote.sending == Flow::Closed {
                    return None;
                }
                remote.sending = Flow::Closed;
                let payload = about(CHANNEL_CLOSE, remote.id);
                let both = remote.receiving == Flow::Closed;
                if both {
                    self.release(id);
                }
                Some(payload)
            }
        }
    }

    /// CHANNEL_OPEN_CONFIRMATION.
    pub(crate) fn confirmed(
        &mut self,
        reader: &mut Reader<'_>,
    ) -> Result<(ChannelId, Answer), Error> {
        let id = self.addressed(reader)?;
        let (number, window, longest) = (reader.uint32()?, reader.uint32()?, reader.uint32()?);
        let mut remote = Remote::new(number, window, longest)?;
        let channel = self.channel(id)?;
        let answer = match channel.stage {
            Stage::Opening => Answer::Opened,
            Stage::Abandoned => {
                remote.sending = Flow::Closed;
                Answer::Unwanted(about(CHANNEL_CLOSE, number))
            }
            Stage::Offered(_) | Stage::Open(_) => {
                return Err(Error::Protocol("a channel was confirmed that was not asked for"));
            }
        };
        channel.stage = Stage::Open(remote);
        Ok((id, answer))
    }

    /// CHANNEL_OPEN_FAILURE; returns the reason unless nobody waits for it.
    pub(crate) fn refused(
        &mut self,
        reader: &mut Reader<'_>,
    ) -> Result<(ChannelId, Option<OpenFailure>), Error> {
        let id = self.addressed(reader)?;
        let reason = OpenFailure::from(reader.uint32()?);
        let wanted = match self.channel(id)?.stage {
            Stage::Opening => true,
            Stage::Abandoned => false,
            Stage::Offered(_) | Stage::Open(_) => {
                return Err(Error::Protocol("a channel was refused that was not asked for"));
            }
        };
        self.release(id);
        Ok((id, wanted.then_some(reason)))
    }

    /// Frees a channel that the server was never asked for; whether anybody waits for it.
    pub(crate) fn unasked(&mut self, id: ChannelId) -> bool {
        let Ok(channel) = self.channel(id) else { return false };
        let wanted = matches!(channel.stage, Stage::Opening);
        self.release(id);
        wanted
    }

    /// The packet with this number asks for the channel.
    pub(crate) fn open_sent(&mut self, id: ChannelId, packet: PacketNumber) {
        if let Ok(channel) = self.channel(id) {
            channel.asked = Some(packet);
        }
    }

    /// The server does not know the message with this sequence number. If that asked for a channel,
    /// there is none; tells which, and whether anybody waits for it. The older one if there are two:
    /// numbers may start over with new keys.
    pub(crate) fn unimplemented(&mut self, sequence: u32) -> Option<(ChannelId, bool)> {
        let asked = |channel: &Channel| match channel.stage {
            Stage::Opening => channel.asked.map(|packet| (packet, true)),
            Stage::Abandoned => channel.asked.map(|packet| (packet, false)),
            Stage::Offered(_) | Stage::Open(_) => None,
        };
        let (index, (_, is_awaited)) = self
            .slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| Some((index, asked(slot.as_ref()?)?)))
            .filter(|(_, (packet, _))| packet.sequence == sequence)
            .min_by_key(|(_, (packet, _))| packet.epoch)?;
        let ordinal = self.slots[index].as_ref()?.ordinal;
        let id = ChannelId { number: index as u32, ordinal };
        self.release(id);
        Some((id, is_awaited))
    }

    /// CHANNEL_WINDOW_ADJUST; tells whether the channel was waiting for it.
    pub(crate) fn adjusted(
        &mut self,
        reader: &mut Reader<'_>,
        now: Instant,
    ) -> Result<(ChannelId, bool), Error> {
        let id = self.addressed(reader)?;
        let credit = reader.uint32()?;
        let remote = self.opened(id)?;
        let sends = credit > 0 && remote.sending == Flow::Open;
        let was_used_up = remote.window == 0;
        let before = remote.without_credit();
        remote.window = remote
            .window
            .checked_add(credit)
            .ok_or(Error::Protocol("a window grew beyond 2^32 - 1"))?;
        remote.most = remote.most.max(remote.window);
        let after = remote.without_credit();
        self.pacing.sent(before, after);
        let was_held = self.pacing.credited(id, before - after, now);
        Ok((id, sends && (was_used_up || was_held)))
    }

    /// CHANNEL_DATA, or with `extended` set CHANNEL_EXTENDED_DATA; returns the length of the data.
    /// The reader is left at its first byte. Data may come until the server has closed too.
    pub(crate) fn data(
        &mut self,
        reader: &mut Reader<'_>,
        extended: bool,
    ) -> Result<(ChannelId, usize), Error> {
        let id = self.addressed(reader)?;
        if extended {
            reader.uint32()?;
        }
        let length = reader.uint32()?;
        if length as usize != reader.remaining() {
            return Err(Error::Protocol("data of a length other than announced"));
        }
        if length > LONGEST_DATA {
            return Err(Error::Protocol("more data in a packet than was allowed"));
        }
        let channel = self.channel(id)?;
        let Stage::Open(remote) = &channel.stage else {
            return Err(Error::Protocol("data on a channel that is not open"));
        };
        if remote.receiving != Flow::Open {
            return Err(Error::Protocol("data after the end of a channel"));
        }
        channel
            .window
            .received(length)
            .ok_or(Error::Protocol("more data than the window allows"))?;
        Ok((id, length as usize))
    }

    /// CHANNEL_EOF.
    pub(crate) fn ended(&mut self, reader: &mut Reader<'_>) -> Result<ChannelId, Error> {
        let id = self.addressed(reader)?;
        let remote = self.opened(id)?;
        if remote.receiving != Flow::Open {
            return Err(Error::Protocol("an end of stream after the end"));
        }
        remote.receiving = Flow::Eof;
        Ok(id)
    }

    /// CHANNEL_CLOSE. The channel is gone if we closed it before, else we still have to.
    pub(crate) fn closed(&mut self, reader: &mut Reader<'_>) -> Result<ChannelId, Error> {
        let id = self.addressed(reader)?;
        let remote = self.opened(id)?;
        if remote.receiving == Flow::Closed {
            return Err(Error::Protocol("a channel was closed twice"));
        }
        remote.receiving = Flow::Closed;
        if remote.sending == Flow::Closed {
            self.release(id);
        }
        Ok(id)
    }

    /// Reads which of our channels a request is about; returns the server's number of it, unless
    /// we have said CLOSE: nothing may follow that, not even an answer.
    pub(crate) fn answerable(&mut self, reader: &mut Reader<'_>) -> Result<Option<u32>, Error> {
        let id = self.addressed(reader)?;
        let remote = self.opened(id)?;
        Ok((remote.sending != Flow::Closed).then_some(remote.id))
    }

    /// Whether no channel exists any more, on either side.
    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    fn addressed(&mut self, reader: &mut Reader<'_>) -> Result<ChannelId, Error> {
        let number = reader.uint32()?;
        let channel = self.slots.get(number as usize).and_then(Option::as_ref).ok_or(ABSENT)?;
        Ok(ChannelId { number, ordinal: channel.ordinal })
    }

    fn get(&self, id: ChannelId) -> Option<&Channel> {
        self.slots.get(id.index())?.as_ref().filter(|channel| channel.ordinal == id.ordinal)
    }

    fn channel(&mut self, id: ChannelId) -> Result<&mut Channel, Error> {
        find(&mut self.slots, id).ok_or(ABSENT)
    }

    fn opened(&mut self, id: ChannelId) -> Result<&mut Remote, Error> {
        match &mut self.channel(id)?.stage {
            Stage::Open(remote) => Ok(remote),
            Stage::Opening | Stage::Abandoned | Stage::Offered(_) => {
                Err(Error::Protocol("a message about a channel that is not open"))
            }
        }
    }

    fn remote(&self, id: ChannelId) -> Option<&Remote> {
        match &self.get(id)?.stage {
            Stage::Open(remote) => Some(remote),
            Stage::Opening | Stage::Abandoned | Stage::Offered(_) => None,
        }
    }

    fn remote_mut(&mut self, id: ChannelId) -> Option<&mut Remote> {
        self.opened(id).ok()
    }

    fn release(&mut self, id: ChannelId) {
        if let Some(channel) = self.slots[id.index()].take() {
            self.budget.release(&channel.window);
            if let Stage::Open(remote) = &channel.stage {
                self.pacing.closed(id, remote.without_credit());
            }
            self.free.push(id.number);
        }
    }
}

/// The channel, unless its number is free or another one's.
fn find(slots: &mut [Option<Channel>], id: ChannelId) -> Option<&mut Channel> {
    slots.get_mut(id.index())?.as_mut().filter(|channel| channel.ordinal == id.ordinal)
}

/// A message that says nothing but which channel it is about.
pub(crate) fn about(number: u8, remote: u32) -> Vec<u8> {
    let mut payload = message(number);
    payload.put_uint32(remote);
    payload
}

#[cfg(test)]
mod tests;
