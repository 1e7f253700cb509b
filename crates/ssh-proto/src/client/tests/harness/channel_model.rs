//! A model of one channel.

use crate::ChannelId;

/// How far one side has ended its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    None,
    Eof,
    Close,
}

/// The server's reply to a CHANNEL_OPEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The message has not arrived.
    NotArrived,
    Owed,
    Confirmed,
    Refused,
}

/// The state of one channel from its opening to its end, as both sides should see it.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) id: ChannelId,
    pub(crate) client_end: End,
    pub(crate) client_sent: usize,
    pub(crate) client_got: usize,
    /// Data that the client has received and not reported as consumed.
    pub(crate) unconsumed: usize,
    /// Events of the end that the client has returned.
    pub(crate) client_received_end: End,
    pub(crate) refusal_seen: bool,
    pub(crate) answer: Answer,
    pub(crate) server_end: End,
    pub(crate) server_received_end: End,
    pub(crate) server_sent: usize,
    pub(crate) server_got: usize,
    /// How much the server may send.
    pub(crate) down: u32,
    /// How much the client may send, in all and in one packet.
    pub(crate) up: u32,
    pub(crate) max_packet: usize,
}

impl Channel {
    /// A channel that the client has just opened.
    pub(crate) fn new(id: ChannelId) -> Self {
        Self {
            id,
            client_end: End::None,
            client_sent: 0,
            client_got: 0,
            unconsumed: 0,
            client_received_end: End::None,
            refusal_seen: false,
            answer: Answer::NotArrived,
            server_end: End::None,
            server_received_end: End::None,
            server_sent: 0,
            server_got: 0,
            down: 0,
            up: 0,
            max_packet: 0,
        }
    }

    /// Returns whether the client's number of it is free.
    pub(crate) fn is_gone(&self) -> bool {
        let closed = self.client_end == End::Close;
        self.refusal_seen
            || closed && (self.client_received_end == End::Close || self.answer == Answer::Refused)
    }
}

/// Returns the byte at an offset of a stream.
pub(crate) fn byte(channel: usize, up: bool, at: usize) -> u8 {
    let direction = if up { 101 } else { 0 };
    (at.wrapping_mul(31) ^ (at >> 8) ^ channel.wrapping_mul(59) ^ direction) as u8
}
