//! Channels that are opened before the user is authenticated.
//!
//! What follows the authentication request that is granted belongs to the connection protocol (RFC 4252
//! section 5.1). So a CHANNEL_OPEN may leave in the same flight, which saves a round trip. If the
//! request is refused, a server has to disconnect because of that message (section 6). OpenSSH does
//! not: it answers UNIMPLEMENTED and goes on, so that the message can be sent again. Therefore only
//! OpenSSH gets it early, once; with all others, and after a refusal, it is sent after SUCCESS.

use super::Client;
use crate::connection::channel::ChannelId;

/// A channel and its CHANNEL_OPEN.
struct EarlyOpen {
    channel: ChannelId,
    payload: Vec<u8>,
}

/// The channels whose opening was asked for before the user is authenticated.
#[derive(Default)]
pub(super) struct EarlyOpens {
    /// To be sent when the user is authenticated, or before.
    waiting: Vec<EarlyOpen>,
    /// Sent behind a request that was not answered yet.
    sent: Vec<EarlyOpen>,
    /// Whether any was sent early.
    tried: bool,
    /// Channels whose message is too long to be sent.
    unsent: Vec<ChannelId>,
}

impl EarlyOpens {
    /// Adds a channel; `None`: its message is too long to be sent.
    pub(super) fn add(&mut self, channel: ChannelId, payload: Option<&[u8]>) {
        match payload {
            Some(payload) => self.waiting.push(EarlyOpen { channel, payload: payload.to_vec() }),
            None => self.unsent.push(channel),
        }
    }
}

impl Client {
    /// Sends the waiting messages behind an authentication request, if that is safe.
    pub(super) fn send_early_opens(&mut self) {
        let safe = self.keys.accepts_early_opens()
            && self.keys.are_settled()
            // The server would take it for compressed.
            && !self.outbound.will_compress();
        if !safe || self.early.tried || !self.auth.may_be_granted() {
            return;
        }
        for open in std::mem::take(&mut self.early.waiting) {
            if self.send_if_wanted(&open) {
                self.early.tried = true;
                self.early.sent.push(open);
            }
        }
    }

    /// Handles the refusal of the request before the early messages: they have had no effect.
    pub(super) fn early_opens_refused(&mut self) {
        for open in self.early.sent.drain(..) {
            self.channels.open_void(open.channel);
            self.early.waiting.push(open);
        }
    }

    /// Handles UNIMPLEMENTED for one of the early messages, before the answer to the request.
    pub(super) fn early_open_unimplemented(&mut self, sequence: u32) {
        let channels = &mut self.channels;
        let has_sequence = |open: &mut EarlyOpen| channels.is_open_sent(open.channel, sequence);
        for open in self.early.sent.extract_if(.., has_sequence) {
            self.early.waiting.push(open);
        }
    }

    /// Sends what is waiting: the user is authenticated.
    pub(super) fn finish_early_opens(&mut self) {
        let EarlyOpens { waiting, unsent, .. } = std::mem::take(&mut self.early);
        self.unsent.extend(unsent);
        for open in waiting {
            self.send_if_wanted(&open);
        }
    }

    /// Sends a CHANNEL_OPEN, or removes the channel if the application has closed it meanwhile.
    fn send_if_wanted(&mut self, EarlyOpen { channel, payload }: &EarlyOpen) -> bool {
        let is_wanted = self.channels.is_wanted(*channel);
        if is_wanted {
            self.send_open(payload, Some(*channel));
        } else {
            self.channels.open_unsent(*channel);
        }
        is_wanted
    }
}
