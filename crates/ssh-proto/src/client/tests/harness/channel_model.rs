//! The books that are kept about one channel.

use crate::ChannelId;

/// How far one side has ended its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Said {
    Nothing,
    Eof,
    Close,
}

/// What the server made of an open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The open has not arrived.
    Unheard,
    Owed,
    Confirmed,
    Refused,
}

/// One channel from its open to its end, in the books of both sides.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: ChannelId,
    pub(crate) client_said: Said,
    pub(crate) client_sent: usize,
    pub(crate) client_got: usize,
    /// Data that the client has and did not report as consumed.
    pub(crate) unconsumed: usize,
    /// Events of the end that the client saw.
    pub(crate) seen: Said,
    pub(crate) refusal_seen: bool,
    pub(crate) answer: Answer,
    pub(crate) server_said: Said,
    pub(crate) server_heard: Said,
    pub(crate) server_sent: usize,
    pub(crate) server_got: usize,
    /// How much the server may send.
    pub(crate) down: u32,
    /// How much the server lets the client send, and in which packets.
    pub(crate) up: u32,
    pub(crate) longest: usize,
}

impl Link {
    /// A channel that the client has just asked for.
    pub(crate) fn new(id: ChannelId) -> Self {
        Self {
            id,
            client_said: Said::Nothing,
            client_sent: 0,
            client_got: 0,
            unconsumed: 0,
            seen: Said::Nothing,
            refusal_seen: false,
            answer: Answer::Unheard,
            server_said: Said::Nothing,
            server_heard: Said::Nothing,
            server_sent: 0,
            server_got: 0,
            down: 0,
            up: 0,
            longest: 0,
        }
    }

    /// Whether the client's number of it is free.
    pub(crate) fn is_gone(&self) -> bool {
        let closed = self.client_said == Said::Close;
        self.refusal_seen || closed && (self.seen == Said::Close || self.answer == Answer::Refused)
    }
}

/// The byte at a place of a stream.
pub(crate) fn byte(link: usize, up: bool, at: usize) -> u8 {
    let direction = if up { 101 } else { 0 };
    (at.wrapping_mul(31) ^ (at >> 8) ^ link.wrapping_mul(59) ^ direction) as u8
}
